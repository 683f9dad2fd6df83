// SPDX-License-Identifier: ISC
/* The client library on a fake socket, and an end to it after each test. */

import { afterEach } from 'node:test';

import { Chat } from '../../../web/belfry.js';
import { fakeWebSocket, problem, settle } from './fake.mjs';

export const BACKOFF = { min: 1, max: 4 };
/** Closed after each test. */
export const started = [];

afterEach(() => {
	for (const one of started.splice(0))
		one.close();
});

/** A chat with a fake socket; `welcomed` says hello by itself. */
export function start(options = {}, { welcomed = true } = {}) {
	const WebSocket = fakeWebSocket((socket) => welcomed && socket.welcome());
	const chat = new Chat('http://tower.example/', {
		WebSocket, backoff: BACKOFF, fetch: async () => problem(426, 'upgrade_required', 'all is well'), ...options,
	});

	started.push(chat);
	return { chat, WebSocket };
}

/** A room that is joined, with the events it tells. */
export async function joined(options) {
	const made = start(options);
	const room = made.chat.room('lobby');
	const heard = listen(room);

	await made.chat.connect();
	await settle();
	made.WebSocket.last.answer('join', { type: 'joined', room: 'lobby', count: 1, members: [{ id: 'u1', name: 'Ada' }], resumed: false, latest: 100 });
	return { ...made, room, heard };
}

/** What sessionStorage is to a page. */
export const memory = () => ({
	items: new Map(),
	getItem(name) {
		return this.items.get(name) ?? null;
	},
	setItem(name, value) {
		this.items.set(name, value);
	},
	removeItem(name) {
		this.items.delete(name);
	},
});

export function listen(feed) {
	const heard = [];

	for (const type of ['message', 'sent', 'failed', 'gap', 'refused', 'left', 'typing', 'edited'])
		feed.addEventListener(type, ({ detail }) => heard.push([type, detail.id ?? detail.reason ?? detail.code ?? detail.content]));
	return heard;
}

export const said = (id, more = {}) => ({
	type: 'chat', id, room: 'lobby', from: { id: 'u2', name: 'Ben' }, content: `m${id}`, time: 1, ...more,
});
