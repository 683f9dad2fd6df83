// SPDX-License-Identifier: ISC
/* Rooms, sending and topics in the client library, against transports that the test plays by hand. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { on, topicMatches, userTopic } from '../../web/belfry.js';
import { event, settle } from './support/fake.mjs';
import { joined, listen, memory, said, start } from './support/library.mjs';

describe('a room', () => {
	test('resumes after the last message it had', async () => {
		const { chat, room, heard, WebSocket } = await joined();

		WebSocket.last.tell(said(101));
		WebSocket.last.tell(said(102));
		WebSocket.last.cut();
		await event(chat, 'open');
		await settle();
		assert.deepEqual(WebSocket.last.of('join').map(({ room: name, after, last }) => [name, after, last]), [['lobby', 102, undefined]]);
		WebSocket.last.answer('join', { type: 'joined', room: 'lobby', count: 1, members: [], resumed: true, latest: 104 });
		for (const id of [102, 103, 104])
			WebSocket.last.tell(said(id));
		assert.deepEqual(heard, [101, 102, 103, 104].map((id) => ['message', id]));
		assert.equal(room.cursor, 104);
	});

	test('an empty one resumes after the position it was told', async () => {
		const { chat, WebSocket } = await joined();

		WebSocket.last.cut();
		await event(chat, 'open');
		await settle();
		assert.equal(WebSocket.last.of('join')[0].after, 100);
	});

	test('cut between `joined` and the stored messages, it asks the history for them', async () => {
		const { chat, heard, WebSocket } = await joined();

		WebSocket.last.cut();
		await event(chat, 'open');
		await settle();
		WebSocket.last.answer('join', { type: 'joined', room: 'lobby', count: 1, members: [], resumed: true, latest: 100 });
		await settle();
		const [asked] = WebSocket.last.of('history');
		assert.deepEqual([asked.before, asked.limit], [101, 50]);
		WebSocket.last.answer('history', { type: 'history', messages: [said(99), said(100)], more: false });
		await settle();
		assert.deepEqual(heard, [['message', 99], ['message', 100]]);
	});

	test('tells of a gap before what is newer', async () => {
		const { chat, heard, room, WebSocket } = await joined();

		WebSocket.last.tell(said(101));
		WebSocket.last.cut();
		await event(chat, 'open');
		await settle();
		WebSocket.last.answer('join', { type: 'joined', room: 'lobby', count: 1, members: [], resumed: false, latest: 900 });
		WebSocket.last.tell({ type: 'gap', room: 'lobby', after: 101, oldest: 900, reason: 'trimmed' });
		WebSocket.last.tell(said(900));
		assert.deepEqual(heard, [['message', 101], ['gap', 'trimmed'], ['message', 900]]);
		assert.equal(room.cursor, 900);
	});

	test('a log that starts lower after a restart is read again', async () => {
		const { chat, heard, WebSocket } = await joined();

		WebSocket.last.tell(said(500));
		WebSocket.last.cut();
		await event(chat, 'open');
		await settle();
		WebSocket.last.answer('join', { type: 'joined', room: 'lobby', count: 1, members: [], resumed: false, latest: 300 });
		WebSocket.last.tell({ type: 'gap', room: 'lobby', after: 500, oldest: 300, reason: 'outside' });
		WebSocket.last.tell(said(300));
		assert.deepEqual(heard.at(-1), ['message', 300]);
	});

	test('knows who is there', async () => {
		const { room, WebSocket } = await joined();

		WebSocket.last.tell({ type: 'user_joined', room: 'lobby', user: { id: 'u2', name: 'Ben' }, count: 2 });
		assert.deepEqual([...room.people.keys()], ['u1', 'u2']);
		WebSocket.last.tell({ type: 'user_left', room: 'lobby', user: { id: 'u2', name: 'Ben' }, count: 1 });
		assert.deepEqual([...room.people.keys()], ['u1']);
		assert.equal(room.count, 1);
	});

	test('a refusal is told and not repeated', async () => {
		const { chat, WebSocket } = start();
		const room = chat.room('secret');
		const refused = event(room, 'refused');

		await chat.connect();
		await settle();
		WebSocket.last.answer('join', { type: 'error', code: 'forbidden', message: 'not for you' });
		assert.equal((await refused).message, 'not for you');
		await assert.rejects(room.ready, { code: 'forbidden' });
	});

	test('one that is left is not joined again', async () => {
		const { chat, room, WebSocket } = await joined();
		const leaving = room.leave();

		WebSocket.last.answer('leave', { type: 'left', room: 'lobby' });
		await leaving;
		WebSocket.last.cut();
		await event(chat, 'open');
		await settle();
		assert.equal(WebSocket.last.of('join').length, 0);
	});

	test('one that is left while it is being joined is left there, too', async () => {
		const { chat, WebSocket } = start();
		const room = chat.room('attic');

		await chat.connect();
		await settle();
		await room.leave();
		await assert.rejects(room.ready, { code: 'left' });
		assert.equal(WebSocket.last.of('leave').length, 0);
		WebSocket.last.answer('join', { type: 'joined', room: 'attic', count: 1, members: [], latest: 1 });
		await settle();
		assert.deepEqual(WebSocket.last.of('leave').map((message) => message.room), ['attic']);
	});

	test('what is joined when the connection opens is asked for once', async () => {
		const { chat, WebSocket } = start();

		chat.addEventListener('open', () => {
			chat.room('lobby');
			chat.subscribe('news');
		}, { once: true });
		await chat.connect();
		await settle();
		assert.deepEqual([WebSocket.last.of('join').length, WebSocket.last.of('subscribe').length], [1, 1]);
	});

	test('can be read as an async iterator', async () => {
		const { room, WebSocket } = await joined();
		const abort = new AbortController();
		const got = [];
		const reading = (async () => {
			for await (const { detail } of on(room, 'message', { signal: abort.signal }))
				got.push(detail.id);
		})();

		await settle();
		WebSocket.last.tell(said(101));
		WebSocket.last.tell(said(102));
		await settle();
		abort.abort();
		await reading;
		assert.deepEqual(got, [101, 102]);
	});
});

describe('sending', () => {
	test('a message is pending until its ack', async () => {
		const { room, heard, WebSocket } = await joined();
		const message = room.send('hi');

		assert.equal(message.state, 'pending');
		const [sent] = WebSocket.last.of('chat');
		assert.equal(sent.content, 'hi');
		assert.equal(sent.key, message.key);
		assert.ok(message.key.length <= 64);
		WebSocket.last.answer('chat', { type: 'ack', id: 101, duplicate: false });
		assert.equal(await message.done, 101);
		assert.deepEqual(heard, [['sent', 101]]);
	});

	test('order holds: the next one goes when the first is acked', async () => {
		const { room, WebSocket } = await joined();

		room.send('one');
		room.send('two');
		assert.deepEqual(WebSocket.last.of('chat').map((m) => m.content), ['one']);
		WebSocket.last.answer('chat', { type: 'ack', id: 101 });
		await settle();
		assert.deepEqual(WebSocket.last.of('chat').map((m) => m.content), ['one', 'two']);
	});

	test('what was not acked is sent again with its key, what was written offline follows', async () => {
		const { chat, room, WebSocket } = await joined();
		const first = room.send('before');

		WebSocket.last.cut();
		room.send('offline');
		await event(chat, 'open');
		await settle();
		assert.equal(WebSocket.last.of('chat').length, 0, 'not before the room is joined again');
		WebSocket.last.answer('join', { type: 'joined', room: 'lobby', count: 1, members: [], resumed: true, latest: 100 });
		await settle();
		assert.deepEqual(WebSocket.last.of('chat').map((m) => [m.content, m.key]), [['before', first.key]]);
		WebSocket.last.answer('chat', { type: 'ack', id: 101, duplicate: true });
		await settle();
		assert.equal(WebSocket.last.of('chat')[1].content, 'offline');
	});

	test('its own key seen on resume is as good as an ack', async () => {
		const { chat, room, heard, WebSocket } = await joined();
		const message = room.send('hi');

		WebSocket.last.cut();
		await event(chat, 'open');
		await settle();
		WebSocket.last.answer('join', { type: 'joined', room: 'lobby', count: 1, members: [], resumed: true, latest: 105 });
		WebSocket.last.tell(said(105, { key: message.key, from: { id: 'u1', name: 'Ada' } }));
		WebSocket.last.answer('chat', { type: 'ack', id: 105, duplicate: true });
		await settle();
		assert.equal(message.id, 105);
		assert.deepEqual(heard, [['sent', 105]]);
	});

	test('an acked message that the resume replays is not told again', async () => {
		const { chat, room, heard, WebSocket } = await joined();

		room.send('hi');
		WebSocket.last.answer('chat', { type: 'ack', id: 105 });
		await settle();
		WebSocket.last.cut();
		await event(chat, 'open');
		await settle();
		WebSocket.last.answer('join', { type: 'joined', room: 'lobby', count: 1, members: [], resumed: true, latest: 106 });
		WebSocket.last.tell(said(105, { from: { id: 'u1', name: 'Ada' } }));
		WebSocket.last.tell(said(106));
		await settle();
		WebSocket.last.answer('history', { type: 'history', room: 'lobby', messages: [], more: false });
		await settle();
		assert.deepEqual(heard, [['sent', 105], ['message', 106]]);
	});

	test('waits and tries again when it was too fast', async () => {
		const { room, WebSocket } = await joined();
		const message = room.send('hi');

		WebSocket.last.answer('chat', { type: 'error', code: 'rate_limited', message: 'slow down', retry_after: 0.02 });
		await settle(40);
		assert.equal(WebSocket.last.of('chat').length, 2);
		WebSocket.last.answer('chat', { type: 'ack', id: 101 });
		assert.equal(await message.done, 101);
	});

	test('refused for good, it fails and the next one goes', async () => {
		const { room, heard, WebSocket } = await joined();

		room.send('bad');
		room.send('good');
		WebSocket.last.answer('chat', { type: 'error', code: 'muted', message: 'be quiet' });
		await settle();
		assert.deepEqual(heard, [['failed', 'bad']]);
		assert.equal(WebSocket.last.of('chat')[1].content, 'good');
	});

	test('one that is too large fails without being sent', async () => {
		const { room, WebSocket } = await joined();

		await assert.rejects(room.send('x'.repeat(70_000)).done, { code: 'too_large' });
		assert.equal(WebSocket.last.of('chat').length, 0);
	});

	test('what is unsent outlives the page, and is sent once with its key', async () => {
		const storage = memory();
		const first = await joined({ storage });
		first.room.send('under way');
		first.room.send('waiting');
		const { key } = first.WebSocket.last.of('chat')[0];
		const unloaded = new Map(storage.items);
		first.chat.close();
		storage.items = unloaded;

		const { WebSocket, room, heard } = await joined({ storage });
		assert.deepEqual(room.unsent.map((message) => message.content), ['under way', 'waiting']);
		await settle();
		assert.equal(WebSocket.last.of('chat')[0].key, key);
		WebSocket.last.answer('chat', { type: 'ack', id: 101, duplicate: true });
		await settle();
		assert.equal(WebSocket.last.of('chat')[1].content, 'waiting');
		WebSocket.last.tell(said(102, { key: WebSocket.last.of('chat')[1].key, from: { id: 'u1', name: 'Ada' } }));
		assert.deepEqual(heard, [['sent', 101], ['sent', 102]]);
		assert.equal(storage.items.size, 0);
	});

	test('what somebody else left unsent is not sent in another name', async () => {
		const storage = memory();
		const first = await joined({ storage });
		first.room.send('by u1');
		const unloaded = new Map(storage.items);
		first.chat.close();
		storage.items = unloaded;
		const { chat, WebSocket } = start({ storage }, { welcomed: false });
		const room = chat.room('lobby');
		const heard = listen(room);

		chat.connect();
		await settle();
		WebSocket.last.welcome({ user: { id: 'u9', name: 'Eve' } });
		await settle();
		WebSocket.last.answer('join', { type: 'joined', room: 'lobby', count: 1, members: [], latest: 100 });
		await settle();
		assert.deepEqual(heard.map(([type]) => type), ['failed']);
		assert.deepEqual(WebSocket.last.of('chat'), []);
	});

	test('a room that is left can keep what is unsent until it is entered again', async () => {
		const { chat, room, WebSocket, heard } = await joined({ storage: memory() });

		WebSocket.last.cut();
		room.send('offline');
		room.leave({ keep: true });
		assert.deepEqual(heard, []);
		assert.deepEqual(chat.room('lobby').unsent.map((message) => message.content), ['offline']);
	});

	test('keys differ', async () => {
		const { room } = await joined();

		assert.equal(new Set(Array.from({ length: 1000 }, () => room.send('x').key)).size, 1000);
	});

	test('a publication waits for the connection', async () => {
		const { chat, WebSocket } = start();
		const message = chat.publish({ topic: 'ops/backup', title: 'Backup done' });

		await chat.connect();
		await settle();
		assert.equal(WebSocket.last.of('publish')[0].title, 'Backup done');
		WebSocket.last.answer('publish', { type: 'ack', id: 9 });
		assert.equal(await message.done, 9);
	});
});

describe('topics', () => {
	test('a subscription resumes at its own cursor', async () => {
		const { chat, WebSocket } = start();
		const builds = chat.subscribe('build/**', { last: 5 });
		const got = [];

		builds.addEventListener('message', ({ detail }) => got.push(detail.id));
		await chat.connect();
		await settle();
		assert.equal(WebSocket.last.of('subscribe')[0].last, 5);
		WebSocket.last.answer('subscribe', { type: 'subscribed', topic: 'build/**', resumed: false, latest: 10 });
		WebSocket.last.tell({ type: 'notification', id: 11, topic: 'build/web/main', event: 'notification', message: 'ok' });
		WebSocket.last.tell({ type: 'notification', id: 12, topic: 'other', event: 'notification', message: 'not mine' });
		WebSocket.last.cut();
		await event(chat, 'open');
		await settle();
		assert.deepEqual(got, [11]);
		assert.equal(WebSocket.last.of('subscribe')[0].after, 11);
	});

	test('patterns', () => {
		for (const [pattern, topic, want] of [
			['a', 'a', true], ['a', 'b', false], ['a', 'a/b', false], ['*', 'a', true], ['*', 'a/b', false],
			['a/*', 'a/b', true], ['a/*', 'a', false], ['a/**', 'a/b/c', true], ['a/**', 'a', false], ['**', 'a/b', true],
			['**', 'user/u1', false], ['*/u1', 'user/u1', false], ['user/*', 'user/u1', true], ['a*b', 'axb', false],
			['chat/*', 'chat/lobby', true], ['*/x', 'y/x', true],
		])
			assert.equal(topicMatches(pattern, topic), want, `${pattern} ${topic}`);
	});

	test('the topic of a user is encoded', () => {
		assert.equal(userTopic('guest:ab'), 'user/guest:ab');
		assert.equal(userTopic('a/b%*\u0001'), 'user/a%2Fb%25%2A%01');
		assert.equal(userTopic('é\u0085'), 'user/é%C2%85');
	});
});
