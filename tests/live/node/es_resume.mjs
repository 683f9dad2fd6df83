// A proxy in between cuts the stream every few events.
import net from 'node:net'
import { EventSource, done, publish, within } from './common.mjs'

const [url, token, topic] = process.argv.slice(2)
const { hostname, port } = new URL(url)
const pairs = new Set()
const proxy = net.createServer((down) => {
  const up = net.connect(Number(port), hostname)
  pairs.add([down, up])
  down.pipe(up)
  up.pipe(down)
  down.on('error', () => up.destroy())
  up.on('error', () => down.destroy())
  down.on('close', () => up.destroy())
  up.on('close', () => down.destroy())
})
await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve))
const cut = () => {
  for (const pair of pairs) pair.forEach((s) => s.destroy())
  pairs.clear()
}
const es = new EventSource(`http://127.0.0.1:${proxy.address().port}/events?topic=${encodeURIComponent(topic)}&access_token=${token}`)
const got = []
let opens = 0
let gaps = 0
let opened
es.onopen = () => { opens++; opened?.() }
es.addEventListener('gap', () => gaps++)
const first = within(new Promise((resolve) => { opened = resolve }), 'open')
await first
const all = new Promise((resolve) => es.addEventListener('notification', (e) => {
  got.push(JSON.parse(e.data).message)
  if (got.length === 5 || got.length === 17) setTimeout(cut, 0)
  if (got.length >= 30) setTimeout(resolve, 200)
}))
for (let i = 0; i < 30; i++) {
  await publish(url, token, topic, String(i))
  if (i % 6 === 5) await new Promise((resolve) => setTimeout(resolve, 150))
}
await within(all, `30 events (${got.length} so far)`, 20)
es.close()
cut()
done({ got, opens, gaps })
