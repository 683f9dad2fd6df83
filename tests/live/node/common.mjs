// What the scripts share: the packages from $BELFRY_NODE_MODULES, and waiting with a deadline.
import { createRequire } from 'node:module'
import path from 'node:path'

const require = createRequire(path.join(process.env.BELFRY_NODE_MODULES || '.', 'x.js'))
export const WebSocket = require('ws')
export const { EventSource } = require('eventsource')

export function within(promise, what, seconds = 10) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${seconds} s`)), seconds * 1000)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

export async function publish(url, token, topic, body, headers = {}) {
  const r = await fetch(`${url}/publish/${topic}`, { method: 'POST', body, headers: { Authorization: `Bearer ${token}`, ...headers } })
  if (!r.ok) throw new Error(`${r.status} ${await r.text()}`)
  return r.json()
}

export const json = (url, token, topic, doc) => publish(url, token, topic, JSON.stringify(doc), { 'Content-Type': 'application/json' })

// A WebSocket chat: messages are kept, next() gives the first that the test accepts.
export function chat(url, token, query = '') {
  const ws = new WebSocket(`${url.replace('http', 'ws')}/chat${query}`, ['belfry.v1', `bearer.${token}`])
  const kept = []
  const waiting = []
  ws.on('message', (data) => {
    const m = JSON.parse(data)
    const i = waiting.findIndex((w) => w.test(m))
    if (i >= 0) waiting.splice(i, 1)[0].resolve(m)
    else kept.push(m)
  })
  ws.on('error', (e) => waiting.forEach((w) => w.reject(e)))
  ws.next = (test) => {
    const i = kept.findIndex(test)
    if (i >= 0) return Promise.resolve(kept.splice(i, 1)[0])
    return within(new Promise((resolve, reject) => waiting.push({ test, resolve, reject })), String(test))
  }
  ws.say = (m) => ws.send(JSON.stringify(m))
  return ws
}

export function done(result) {
  console.log(JSON.stringify(result))
  process.exit(0)
}
