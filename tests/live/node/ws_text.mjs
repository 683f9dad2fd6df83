import { WebSocket, done, within } from './common.mjs'

const [url, ada, bob, room] = process.argv.slice(2)
const open = (token) => new WebSocket(`${url.replace('http', 'ws')}/chat?format=text&room=${room}&access_token=${token}`)
const b = open(bob)
const lines = []
const said = within(new Promise((resolve) => b.on('message', (m) => {
  lines.push(m.toString())
  if (m.toString().startsWith('<')) resolve(m.toString())
})), 'line')
await within(new Promise((resolve) => b.once('open', resolve)), 'open')
const a = open(ada)
await within(new Promise((resolve) => a.once('open', resolve)), 'open')
a.send('hi')
done({ bob: await said, lines })
