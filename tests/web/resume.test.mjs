// SPDX-License-Identifier: ISC
/* The client library joins again: what stood before comes before, and nothing is taken for what it is not. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Hub } from '../../web/client/hub.js';
import { settle } from './support/fake.mjs';
import { joined, listen, said } from './support/library.mjs';

const answered = (room, latest, more = {}) => ({ type: 'joined', room, count: 1, members: [], resumed: true, latest, ...more });
const ids = (heard) => heard.filter(([type]) => type === 'message').map(([, id]) => id);

/** Joined, and cut off before anything came. */
async function swallowed() {
	const made = await joined();

	await settle();
	made.WebSocket.last.cut();
	await settle(20);
	return made;
}

test('what a cut has swallowed comes before what was said since', async () => {
	const { WebSocket, heard } = await swallowed();
	const socket = WebSocket.last;

	assert.equal(socket.of('join').at(-1).after, 100);
	socket.answer('join', answered('lobby', 102));
	socket.tell(said(101));
	socket.tell(said(102));
	await settle();
	socket.answer('history', { type: 'history', room: 'lobby', messages: [said(98), said(100)], more: false });
	await settle();
	assert.deepEqual(ids(heard), [98, 100, 101, 102]);
});

test('and comes though the line is cut once more before it is there, or it is refused for a while', async () => {
	const { WebSocket, heard } = await swallowed();

	WebSocket.last.answer('join', answered('lobby', 101));
	WebSocket.last.tell(said(101));
	await settle();
	WebSocket.last.cut();
	await settle(20);
	assert.equal(WebSocket.last.of('join').at(-1).after, 100);
	WebSocket.last.answer('join', answered('lobby', 101));
	WebSocket.last.tell(said(101));
	await settle();
	WebSocket.last.answer('history', { type: 'error', code: 'rate_limited', message: 'slowly', retry_after: 0.01 });
	await settle(60);
	WebSocket.last.answer('history', { type: 'history', room: 'lobby', messages: [said(99)], more: false });
	await settle();
	assert.deepEqual(ids(heard), [99, 101]);
});

test('with nothing asked of the past, what was said while one was away is not left out', async () => {
	const { chat, WebSocket } = await joined();
	const ops = chat.room('ops', { last: 0 });
	const heard = listen(ops);

	await settle();
	WebSocket.last.answer('join', answered('ops', 50));
	await settle();
	for (let n = 0; n < 2; n++) {           // the second time 60 is stored, and lost on the way once more
		WebSocket.last.cut();
		await settle(20);
		assert.equal(WebSocket.last.of('join').find(({ room }) => room === 'ops').after, 50);
		WebSocket.last.tell(answered('ops', 60, { ref: WebSocket.last.of('join').find(({ room }) => room === 'ops').ref }));
		await settle();
	}
	WebSocket.last.tell(said(60, { room: 'ops' }));
	await settle();
	assert.deepEqual(ids(heard), [60]);
});

test('a room that is left and entered again at once begins with its own answer', async () => {
	const { chat, room, WebSocket } = await joined();

	room.leave().catch(() => {});
	const again = chat.room('lobby', { last: 2 });
	const heard = listen(again);
	const socket = WebSocket.last;

	await settle();
	socket.tell(said(110));                 // of the first time
	socket.answer('leave', { type: 'left', room: 'lobby' });
	socket.answer('join', answered('lobby', 110));
	socket.tell(said(109));
	socket.tell(said(110));
	await settle();
	assert.deepEqual(ids(heard), [109, 110]);
});

test('a message that failed because the room was left is not told as sent afterwards', async () => {
	const { room, heard, WebSocket } = await joined();
	const outgoing = room.send('hi');

	await settle();
	room.leave().catch(() => {});
	WebSocket.last.answer('chat', { type: 'ack', id: 101, duplicate: false });
	await settle();
	assert.equal(outgoing.state, 'failed');
	assert.deepEqual(heard.map(([type]) => type), ['failed']);
});

/** A switchboard with one tab in the lobby, which has asked for what is after 5. */
function switchboard(transport) {
	const socket = { sent: [], send: (text) => socket.sent.push(JSON.parse(text)), close() {} };
	const told = [];
	const hub = new Hub(() => socket, (_tabs, { text }) => told.push(JSON.parse(text)));
	const hear = (message) => socket.onmessage({ data: JSON.stringify(message) });

	hub.attach('t1', { token: null, transport, room: 'lobby' });
	hear({ type: 'welcome', user: { id: 'u1', name: 'Ada' }, session: 's' });
	hub.send('t1', JSON.stringify({ type: 'join', room: 'lobby', after: 5, ref: 'r1' }));
	hear({ ...answered('lobby', 9), ref: socket.sent[0].ref });
	return { hub, hear, told: () => told.filter(({ type }) => type === 'chat' || type === 'gap').map(({ id, after }) => id ?? `gap ${after}`) };
}

test('tabs that share a line hear of a gap also in the middle of a replay, and when it is too slow for what is live', () => {
	const { hub, hear, told } = switchboard('websocket');

	hear(said(6));
	hear({ type: 'gap', room: 'lobby', after: 6, oldest: 9, reason: 'trimmed' });
	hear(said(9));
	hear({ type: 'gap', room: 'lobby', after: 7, oldest: 9, reason: 'trimmed' });   // of who has asked from further back
	hear({ type: 'gap', room: 'lobby', after: 12, oldest: 20, reason: 'trimmed' });
	hear(said(20));
	assert.deepEqual(told(), [6, 'gap 6', 9, 'gap 12', 20]);
	hub.close();
});

test('over a stream a gap that was held back stands where it belongs', (context) => {
	context.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_700_000_000_000 });
	const { hub, hear, told } = switchboard('sse');

	hear(said(6));
	hear({ type: 'gap', room: 'lobby', after: 6, oldest: 9, reason: 'trimmed' });
	hear(said(9));
	context.mock.timers.tick(4_000);
	assert.deepEqual(told(), [6, 'gap 6', 9]);
	hub.close();
});

test('tabs that share a line hear of a log that starts lower, and read it again', () => {
	const socket = { sent: [], send: (text) => socket.sent.push(JSON.parse(text)), close() {} };
	const told = [];
	const hub = new Hub(() => socket, (_tabs, { text }) => told.push(JSON.parse(text)));
	const hear = (message) => socket.onmessage({ data: JSON.stringify(message) });

	hub.attach('t1', { token: null, transport: 'websocket' });
	hear({ type: 'welcome', user: { id: 'u1', name: 'Ada' }, session: 's' });
	hub.send('t1', JSON.stringify({ type: 'join', room: 'lobby', after: 500, ref: 'r1' }));
	hear({ ...answered('lobby', 300), resumed: false, ref: socket.sent[0].ref });
	hear({ type: 'gap', room: 'lobby', after: 500, oldest: 300, reason: 'outside' });
	hear(said(300));
	assert.deepEqual(told.slice(2).map(({ type }) => type), ['gap', 'chat']);
	hub.close();
});
