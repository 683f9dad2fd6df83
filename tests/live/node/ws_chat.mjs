import { chat, done } from './common.mjs'

const [url, ada, bob, room] = process.argv.slice(2)
const a = chat(url, ada)
await a.next((m) => m.type === 'welcome')
a.say({ type: 'join', room })
await a.next((m) => m.type === 'joined')
const b = chat(url, bob, `?room=${room}`)
const { count } = await b.next((m) => m.type === 'joined')
for (let i = 0; i < 50; i++) a.say({ type: 'chat', content: `m${i}`, ref: i })
const got = []
const ids = []
const acks = []
for (let i = 0; i < 50; i++) {
  const m = await b.next((m) => m.type === 'chat')
  got.push(m.content)
  ids.push(m.id)
  acks.push((await a.next((m) => m.type === 'ack' && m.ref === i)).id)
}
done({ count, got, ids, acks })
