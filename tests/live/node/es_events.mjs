import { EventSource, done, json, publish, within } from './common.mjs'

const [url, token, topic] = process.argv.slice(2)
const es = new EventSource(`${url}/events?topic=${encodeURIComponent(topic)}&access_token=${token}`)
await within(new Promise((resolve, reject) => { es.onopen = resolve; es.onerror = (e) => reject(new Error(e.message)) }), 'open')
const plain = []
const price = []
const notification = []
let lastEventId
es.onmessage = (e) => plain.push(e.data)
es.addEventListener('price', (e) => price.push(JSON.parse(e.data)))
const end = within(new Promise((resolve) => es.addEventListener('notification', (e) => {
  notification.push(JSON.parse(e.data).message)
  lastEventId = e.lastEventId
  resolve()
})), 'notification')
for (let i = 0; i < 3; i++) await json(url, token, topic, { data: i })
await json(url, token, topic, { event: 'price', data: { usd: 5 } })
const { id } = await publish(url, token, topic, 'Backup done')
await end
es.close()
done({ plain, price, notification, lastEventId, id })
