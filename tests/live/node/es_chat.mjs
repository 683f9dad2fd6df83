import { EventSource, done, within } from './common.mjs'

const [url, ada, bob, room] = process.argv.slice(2)
async function open(token) {
  const es = new EventSource(`${url}/chat?room=${room}&access_token=${token}`)
  const messages = []
  es.onmessage = (e) => messages.push(JSON.parse(e.data))
  const id = await within(new Promise((resolve) => es.addEventListener('user', (e) => resolve(e.data))), 'user')
  return { es, id, messages }
}
const a = await open(ada)
const b = await open(bob)
const heard = within(new Promise((resolve) => b.es.addEventListener('message', (e) => resolve(JSON.parse(e.data).content))), 'message')
const r = await fetch(`${url}/chat/${a.id}`, { method: 'POST', body: 'hello from ada', headers: { Authorization: `Bearer ${ada}` } })
const content = await heard
done({ bob: content, status: r.status, ada: a.messages.length })
