// SPDX-License-Identifier: ISC
/* The switchboard of tabs on one stream, played by hand: the stream's address has joined a room before anybody asked. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Hub } from '../../web/client/hub.js';

const said = (id) => ({ type: 'chat', id, room: 'lobby', from: { id: 'u2', name: 'Ben' }, content: `m${id}`, time: 1 });

test('what is said before the answer to a join waits for the stored messages behind it', (context) => {
	const socket = { sent: [], send: (text) => socket.sent.push(JSON.parse(text)), close() {} };
	const told = [];
	const hub = new Hub(() => socket, (_tabs, { text }) => told.push(JSON.parse(text)));
	const hear = (message) => socket.onmessage({ data: JSON.stringify(message) });

	context.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_700_000_000_000 });
	hub.attach('t1', { token: null, transport: 'sse', room: 'lobby' });
	hear({ type: 'welcome', user: { id: 'u1', name: 'Ada' }, session: 's' });
	hub.send('t1', JSON.stringify({ type: 'join', room: 'lobby', after: 5, ref: 'r1' }));
	hear(said(9));
	hear({ type: 'joined', ref: socket.sent[0].ref, room: 'lobby', count: 1, resumed: true, latest: 9 });
	for (const id of [6, 7, 8, 9])
		hear(said(id));
	context.mock.timers.tick(2_000);
	hear(said(10));
	assert.deepEqual([...new Set(told.filter(({ type }) => type === 'chat').map(({ id }) => id))], [6, 7, 8, 9, 10]);
	hub.close();
});
