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
let changed = () => {}
const until = (test, what) => within((async () => {
  while (!test()) await new Promise((resolve) => { changed = resolve })
})(), what, 20)
es.onopen = () => { opens++; changed() }
es.addEventListener('gap', () => gaps++)
es.addEventListener('notification', (e) => { got.push(JSON.parse(e.data).message); changed() })
await until(() => opens === 1, 'open')
let n = 0
for (let round = 1; round <= 3; round++) {
  for (let i = 0; i < 5; i++) await publish(url, token, topic, String(n++))
  if (round < 3) {
    await until(() => got.length >= n - 3, 'events before the cut')
    cut()
  }
  for (let i = 0; i < 5; i++) await publish(url, token, topic, String(n++))
  await until(() => got.length >= n && opens >= Math.min(round + 1, 3), `${n} events`)
}
await new Promise((resolve) => setTimeout(resolve, 200))
es.close()
cut()
done({ got, opens, gaps })
