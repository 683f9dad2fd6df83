import { WebSocket, done, within } from './common.mjs'

const [url, token] = process.argv.slice(2)
const headers = { Authorization: `Bearer ${token}` }
const ws = new WebSocket(`${url.replace('http', 'ws')}/echo`, { headers })
const once = (name) => within(new Promise((resolve, reject) => { ws.once(name, (...a) => resolve(a)); ws.once('error', reject) }), name)
await once('open')
const echo = []
ws.send('hello')
let [data, isBinary] = await once('message')
echo.push(isBinary ? 'binary' : 'text')
ws.send(Buffer.from([0, 255, 1]))
;[data, isBinary] = await once('message')
echo.push(isBinary ? 'binary' : 'text')
ws.send('x'.repeat(60000))
;[data] = await once('message')
const big = data.length
ws.ping('are you there')
const [pong] = await once('pong')
ws.close(1000, 'bye')
const [code] = await once('close')
const bad = new WebSocket(`${url.replace('http', 'ws')}/chat`, { headers: { Authorization: 'Bearer x.y.z' } })
const refused = await within(new Promise((resolve) => bad.once('unexpected-response', (_, r) => resolve(r.statusCode))), 'refusal')
done({ pong: pong.toString(), code, echo, big, refused })
