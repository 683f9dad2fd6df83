import { EventSource, done, within } from './common.mjs'

const [url, token, topic] = process.argv.slice(2)
const es = new EventSource(`${url}/events?topic=${encodeURIComponent(topic)}&after=5&access_token=${token}`)
const got = []
let gap
await within(new Promise((resolve, reject) => {
  es.onerror = (e) => reject(new Error(e.message))
  es.addEventListener('gap', (e) => { gap = JSON.parse(e.data) })
  es.addEventListener('notification', (e) => {
    got.push(JSON.parse(e.data).message)
    if (got.length === 5) resolve()
  })
}), 'five')
const state = es.readyState
es.close()
done({ gap, got, state })
