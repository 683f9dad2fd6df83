// SPDX-License-Identifier: ISC
/* What becomes of messages: edits, deletions, reactions, what is read, directs, moderation; against a socket played by hand. */

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';

import { Chat, Drafts, applyRecord } from '../../web/belfry.js';
import { isNamed } from '../../web/client/records.js';
import { fakeWebSocket, problem, settle } from './support/fake.mjs';

const started = [];

afterEach(() => {
	for (const one of started.splice(0))
		one.close();
});

const ADA = { id: 'u1', name: 'Ada' };
const BEN = { id: 'u2', name: 'Ben' };
const said = (id, more = {}) => ({ type: 'chat', id, room: 'lobby', from: BEN, content: `m${id}`, time: 1, ...more });

/** What sessionStorage is to a page. */
const memory = () => {
	const items = new Map();
	return { getItem: (name) => items.get(name) ?? null, setItem: (name, value) => items.set(name, value), removeItem: (name) => items.delete(name) };
};

async function begin(joined = {}, options = {}) {
	const WebSocket = fakeWebSocket((socket) => socket.welcome(options.welcome));
	const chat = new Chat('http://tower.example/', { WebSocket, backoff: { min: 1, max: 4 }, fetch: async () => problem(426, 'upgrade_required', ''), ...options });
	const room = chat.room('lobby');
	const heard = [];

	started.push(chat);
	for (const type of ['message', 'edited', 'deleted', 'reaction', 'changed', 'mention', 'read', 'unread'])
		room.addEventListener(type, ({ detail }) => heard.push([type, detail.message?.id ?? detail.target ?? detail.id ?? detail.read ?? detail.unread]));
	for (const type of ['direct', 'edited', 'sent', 'failed', 'sending'])
		chat.addEventListener(type, ({ detail }) => heard.push([`chat ${type}`, detail.target ?? detail.content]));
	await chat.connect();
	await settle();
	const socket = WebSocket.last;
	socket.answer('join', { type: 'joined', room: 'lobby', count: 2, members: [ADA, BEN], resumed: false, latest: 100, ...joined });
	/** Answers the request that was just made. */
	const ack = async (type, more) => {
		await settle();
		socket.answer(type, { type: 'ack', ...more });
		await settle();
	};
	return { chat, room, heard, socket, ack, WebSocket };
}

describe('records', () => {
	test('a message as it is after them', () => {
		const base = said(1);
		const record = (type, more) => ({ type, id: 9, target: 1, room: 'lobby', user: ADA, time: 5, ...more });
		const edited = applyRecord(said(1, { mentions: ['u1'] }), record('edited', { content: 'new' }));

		assert.equal(applyRecord(base, record('edited', { target: 2, content: 'x' })), base);
		assert.deepEqual([edited.content, edited.edited, edited.mentions], ['new', 5, undefined]);
		assert.deepEqual(applyRecord(said(1, { data: 1, key: 'k' }), record('deleted')), { type: 'chat', id: 1, room: 'lobby', from: BEN, time: 1, deleted: true });
		let now = applyRecord(base, record('reaction', { emoji: '👍', on: true }));
		now = applyRecord(now, record('reaction', { emoji: '👍', on: true, user: BEN }));
		now = applyRecord(now, record('reaction', { emoji: '🔔', on: true, user: BEN }));
		assert.deepEqual(now.reactions, [{ emoji: '👍', count: 2, users: ['u1', 'u2'] }, { emoji: '🔔', count: 1, users: ['u2'] }]);
		assert.equal(applyRecord(now, record('reaction', { emoji: '👍', on: true })).reactions, now.reactions);
		now = applyRecord(now, record('reaction', { emoji: '👍', on: false }));
		now = applyRecord(now, record('reaction', { emoji: '🔔', on: false, user: BEN }));
		assert.deepEqual(now.reactions, [{ emoji: '👍', count: 1, users: ['u2'] }]);
		assert.deepEqual(base.reactions, undefined, 'the old object is as it was');
	});

	test('of others change the list of the room, and move its cursor', async () => {
		const { room, heard, socket } = await begin();

		socket.tell(said(101));
		socket.tell({ type: 'edited', id: 102, target: 101, room: 'lobby', user: BEN, content: 'better', time: 7 });
		socket.tell({ type: 'edited', id: 102, target: 101, room: 'lobby', user: BEN, content: 'again', time: 8 });
		socket.tell({ type: 'deleted', id: 103, target: 50, room: 'lobby', user: BEN, time: 7 });
		assert.deepEqual(room.messages.map(({ id, content, edited }) => [id, content, edited]), [[101, 'better', 7]]);
		assert.equal(room.cursor, 103);
		assert.deepEqual(heard, [['message', 101], ['unread', 1], ['edited', 101], ['changed', 101], ['deleted', 50]]);
	});

	test('one\'s own are told once they are acked, and not again', async () => {
		const { room, heard, socket, ack } = await begin();

		room.send('tpyo');
		await ack('chat', { id: 101 });
		const editing = room.edit(101, 'typo');
		await ack('edit', { id: 102, target: 101 });
		await editing;
		room.react(101, '👍');
		await ack('react', { id: 103, target: 101 });
		assert.deepEqual(socket.of('edit')[0], { type: 'edit', target: 101, content: 'typo', room: 'lobby', ref: socket.of('edit')[0].ref });
		const [message] = room.messages;
		assert.deepEqual([message.content, message.reactions, message.from], ['typo', [{ emoji: '👍', count: 1, users: ['u1'] }], ADA]);
		socket.tell({ type: 'edited', id: 102, target: 101, room: 'lobby', user: ADA, content: 'typo' });
		assert.deepEqual(heard.filter(([type]) => type === 'edited').length, 1);
		const removing = room.remove(101);
		await settle();
		socket.answer('delete', { type: 'error', code: 'forbidden', message: 'chat.edit_window is over' });
		await assert.rejects(removing, { code: 'forbidden' });
		assert.equal(room.messages[0].content, 'typo');
	});
});

test('broken off twice before anything new was said: what was caught up with comes once', async () => {
	const { heard, socket, WebSocket } = await begin();
	const again = async () => {
		await settle(20);
		WebSocket.last.answer('join', { type: 'joined', room: 'lobby', count: 1, members: [], resumed: true, latest: 100 });
		await settle();
	};

	socket.cut();
	await again();
	WebSocket.last.answer('history', { type: 'history', room: 'lobby', messages: [said(99), said(100)], more: false });
	await settle();
	WebSocket.last.cut();
	await again();
	assert.equal(WebSocket.last.of('join')[0].after, 100);
	assert.equal(WebSocket.last.of('history').length, 0);
	assert.deepEqual(heard.filter(([type]) => type === 'message'), [['message', 99], ['message', 100]]);
});

describe('reading', () => {
	test('counts on from what the server has counted', async () => {
		const { room, heard, socket } = await begin({ unread: 3, read: 90 });

		assert.deepEqual([room.unread, room.marker], [3, 90]);
		socket.tell(said(95));
		socket.tell(said(101, { mentions: ['u1'] }));
		socket.tell(said(102, { from: ADA }));
		assert.equal(room.unread, 4);
		assert.deepEqual(heard.filter(([type]) => type === 'mention'), [['mention', 101]]);
		room.read();
		room.read();
		await settle();
		assert.deepEqual([room.unread, socket.of('read').map(({ id }) => id)], [0, [102]]);
		socket.tell(said(103));
		socket.tell(said(104));
		socket.tell({ type: 'read', room: 'lobby', user: ADA, read: 103 });
		assert.equal(room.unread, 1);
		assert.deepEqual(heard.at(-1), ['read', 103]);
	});

	test('what was read when the line broke is told on the next one', async () => {
		const { room, socket, WebSocket } = await begin({ read: 90 });

		socket.tell(said(101));
		room.read();
		socket.cut();                   // before the server is told
		await settle(20);
		WebSocket.last.answer('join', { type: 'joined', room: 'lobby', count: 1, members: [], resumed: true, latest: 102, unread: 2, read: 90 });
		WebSocket.last.tell(said(102));
		assert.deepEqual([room.unread, room.marker], [1, 101]);
		await settle(20);
		assert.deepEqual(WebSocket.last.of('read').map(({ id }) => id), [101]);
	});

	test('is told, though the clock is set back', async (t) => {
		const { room, socket } = await begin({ read: 90 });
		const { now } = Date;

		socket.tell(said(101));
		room.read();
		await settle();
		t.mock.method(Date, 'now', () => now() - 3_600_000);
		socket.tell(said(102));
		room.read();
		await settle(1_200);
		assert.deepEqual(socket.of('read').map(({ id }) => id), [101, 102]);
	});

	test('after a reconnect what was resumed is counted once', async () => {
		const { room, socket, chat, WebSocket } = await begin();

		socket.tell(said(101));
		socket.cut();
		await settle(20);
		assert.equal(chat.state, 'open');
		WebSocket.last.answer('join', { type: 'joined', room: 'lobby', count: 1, members: [], resumed: true, latest: 103, unread: 3, read: 99 });
		WebSocket.last.tell(said(102));
		WebSocket.last.tell(said(103));
		WebSocket.last.tell(said(104));
		assert.equal(room.unread, 4);
	});
});

test('who is named: as the server says; by the words where it says nothing', () => {
	const named = (content, more) => isNamed({ content, ...more }, ADA);

	assert.deepEqual([named('hi @Ada!'), named('@ada'), named('(@ADA)'), named('@u1'), named('', { mentions: ['u1'] })], Array(5).fill(true));
	assert.deepEqual([named('hi Ada'), named('@adam'), named('mail x@ada.example'), named('@ada', { mentions: [] }), isNamed({ mentions: ['u1'] }, null)], Array(5).fill(false));
});

test('directs: sent with a key, kept over a break, told once', async () => {
	const { chat, heard, socket, WebSocket } = await begin({}, { storage: memory() });
	const own = chat.subscribe('user/u1', { last: 0 });

	await settle();
	socket.answer('subscribe', { type: 'subscribed', topic: 'user/u1', resumed: false, latest: 100 });
	socket.tell({ type: 'direct', id: 101, to: 'u1', from: BEN, content: 'psst', time: 1 });
	socket.tell({ type: 'direct', id: 101, to: 'u1', from: BEN, content: 'psst', time: 1 });
	socket.tell({ type: 'edited', id: 102, target: 101, to: 'u1', from: BEN, user: BEN, content: 'pssst', time: 1 });
	assert.equal(own.cursor, 102);
	const sending = chat.direct('u2', 'what?');
	await settle();
	const { key } = socket.of('direct')[0];
	socket.cut();
	await settle(20);
	assert.equal(WebSocket.last.of('direct')[0].key, key);
	WebSocket.last.answer('subscribe', { type: 'subscribed', topic: 'user/u1', resumed: true, latest: 103 });
	WebSocket.last.tell({ type: 'direct', id: 103, to: 'u2', from: ADA, content: 'what?', key, time: 1 });
	assert.equal(await sending.done, 103);
	assert.deepEqual(heard, [['chat direct', 'psst'], ['chat edited', 101], ['chat sending', 'what?'], ['chat sent', 'what?']]);
});

test('moderation is asked for with its time and reason', async () => {
	const { room, socket, ack } = await begin();
	const asked = room.ban('u2', { seconds: 60, reason: 'spam' });

	await ack('ban', {});
	await asked;
	room.unmute('u2').catch(() => {});
	await settle();
	const { ref: _, ...ban } = socket.of('ban')[0];
	assert.deepEqual(ban, { type: 'ban', room: 'lobby', user: 'u2', seconds: 60, reason: 'spam' });
	assert.equal(socket.of('unmute')[0].user, 'u2');
});

test('drafts that the storage has no room for live as long as the page', () => {
	const storage = memory();
	const { setItem } = storage;
	const drafts = new Drafts(storage, 'u1');

	drafts.set('lobby', 'short');
	storage.setItem = () => {
		throw new Error('full');
	};
	drafts.set('lobby', 'long');
	drafts.set('attic', 'another');
	assert.deepEqual([drafts.get('lobby'), drafts.get('attic'), new Drafts(storage, 'u1').get('lobby')], ['long', 'another', 'short']);
	drafts.set('attic', '');
	storage.setItem = setItem;
	drafts.set('cellar', 'x');
	assert.deepEqual(['lobby', 'attic', 'cellar'].map((place) => new Drafts(storage, 'u1').get(place)), ['long', '', 'x']);
});

test('drafts outlive what wrote them, one owner never sees another\'s', () => {
	const storage = memory();

	new Drafts(storage, 'u1').set('lobby', 'begun');
	new Drafts(storage, 'u1').set('__proto__', 'evil');
	assert.equal(new Drafts(storage, 'u1').get('lobby'), 'begun');
	assert.equal(new Drafts(storage, 'u1').get('toString'), '');
	assert.equal(new Drafts(storage, 'u2').get('lobby'), '');
	new Drafts(storage, 'u1').set('lobby', '');
	assert.equal(new Drafts(storage, 'u1').get('lobby'), '');
	for (let n = 0; n < 150; n++)
		new Drafts(storage, 'u1').set(`room ${n}`, 'x');
	assert.equal(new Drafts(storage, 'u1').get('room 10'), '');
	assert.equal(new Drafts(storage, 'u1').get('room 149'), 'x');
	storage.setItem('belfry.drafts:u1', '{broken');
	assert.equal(new Drafts(storage, 'u1').get('lobby'), '');
});
