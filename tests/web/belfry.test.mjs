// SPDX-License-Identifier: ISC
/* The client library against transports that the test plays by hand. */

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';

import { Chat, on, topicMatches, userTopic } from '../../web/belfry.js';
import { event, fakeStream, fakeWebSocket, problem, settle } from './support/fake.mjs';

const BACKOFF = { min: 1, max: 4 };
const started = [];

afterEach(() => {
	for (const one of started.splice(0))
		one.close();
});

/** A chat with a fake socket; `welcomed` says hello by itself. */
function start(options = {}, { welcomed = true } = {}) {
	const WebSocket = fakeWebSocket((socket) => welcomed && socket.welcome());
	const chat = new Chat('http://tower.example/', {
		WebSocket, backoff: BACKOFF, fetch: async () => problem(426, 'upgrade_required', 'all is well'), ...options,
	});

	started.push(chat);
	return { chat, WebSocket };
}

/** A room that is joined, with the events it tells. */
async function joined(options) {
	const made = start(options);
	const room = made.chat.room('lobby');
	const heard = listen(room);

	await made.chat.connect();
	await settle();
	made.WebSocket.last.answer('join', { type: 'joined', room: 'lobby', count: 1, members: [{ id: 'u1', name: 'Ada' }], resumed: false, latest: 100 });
	return { ...made, room, heard };
}

/** What sessionStorage is to a page. */
const memory = () => ({
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

function listen(feed) {
	const heard = [];

	for (const type of ['message', 'sent', 'failed', 'gap', 'refused', 'left', 'typing', 'edited'])
		feed.addEventListener(type, ({ detail }) => heard.push([type, detail.id ?? detail.reason ?? detail.code ?? detail.content]));
	return heard;
}

const said = (id, more = {}) => ({
	type: 'chat', id, room: 'lobby', from: { id: 'u2', name: 'Ben' }, content: `m${id}`, time: 1, ...more,
});

describe('connecting', () => {
	test('offers belfry.v1 and the token as subprotocols, and the name in the query', async () => {
		const { chat, WebSocket } = start({ token: 'a.b.c', name: 'Ada L' });

		await chat.connect();
		assert.equal(WebSocket.last.url, 'ws://tower.example/chat?name=Ada+L');
		assert.deepEqual(WebSocket.last.protocols, ['belfry.v1', 'bearer.a.b.c']);
		assert.equal(chat.state, 'open');
		assert.equal(chat.user.id, 'u1');
	});

	test('keeps the path of an address behind a proxy, and uses wss for https', async () => {
		const WebSocket = fakeWebSocket((socket) => socket.welcome());
		const chat = new Chat('https://example.org/talk', { WebSocket });

		started.push(chat);
		await chat.connect();
		assert.equal(WebSocket.last.url, 'wss://example.org/talk/chat');
		assert.deepEqual(WebSocket.last.protocols, ['belfry.v1']);
	});

	test('asks for the token on each connection', async () => {
		let asked = 0;
		const { chat, WebSocket } = start({ token: async () => `t${++asked}` });

		await chat.connect();
		WebSocket.last.cut();
		await event(chat, 'open');
		assert.deepEqual(WebSocket.sockets.map((socket) => socket.protocols[1]), ['bearer.t1', 'bearer.t2']);
	});

	test('asks GET /chat why it was refused; a fixed token ends there', async () => {
		const asked = [];
		const { chat, WebSocket } = start({
			token: 'old',
			fetch: async (url, init) => {
				asked.push([String(url), init.headers.Authorization]);
				return problem(401, 'invalid_token', 'exp was 42 s ago');
			},
		}, { welcomed: false });
		const opening = chat.connect();

		await settle();
		WebSocket.last.cut();
		await assert.rejects(opening, { code: 'invalid_token', message: 'exp was 42 s ago' });
		assert.deepEqual(asked, [['http://tower.example/chat', 'Bearer old']]);
		assert.equal(chat.state, 'closed');
	});

	test('a token function is asked once more, with the reason, then it ends', async () => {
		const contexts = [];
		const WebSocket = fakeWebSocket((socket) => socket.cut());
		const { chat } = start({
			WebSocket, token: (context) => {
				contexts.push(context.refused?.message);
				return 't';
			},
			fetch: async () => problem(401, 'invalid_token', 'aud is wrong'),
		});

		await assert.rejects(chat.connect(), { code: 'invalid_token' });
		assert.deepEqual(contexts, [undefined, 'aud is wrong']);
	});

	test('a token function that fails is asked again', async () => {
		let asked = 0;
		const { chat } = start({
			token: () => {
				if (++asked < 3)
					throw new Error('the login server sleeps');
				return 't';
			},
		});

		await chat.connect();
		assert.equal(asked, 3);
	});

	test('backs off with full jitter up to the maximum', async () => {
		const delays = [];
		const WebSocket = fakeWebSocket((socket) => socket.cut());
		const chat = new Chat('http://tower.example/', {
			WebSocket, random: () => 0.5, backoff: { min: 2, max: 10 },
			fetch: async () => {
				throw new TypeError('no network');
			},
		});

		started.push(chat);
		chat.addEventListener('close', ({ detail }) => delays.push(detail.retryIn));
		chat.connect().catch(() => {});
		for (let n = 0; n < 500 && delays.length < 5; n++)
			await settle(10);
		assert.deepEqual(delays.slice(0, 5), [1, 2, 4, 5, 5]);
	});

	test('stays away as long as `closing` asks', async () => {
		const { chat, WebSocket } = start();
		const closed = event(chat, 'close');

		await chat.connect();
		WebSocket.last.tell({ type: 'closing', reason: 'shutdown', retry: 30 });
		WebSocket.last.cut(1001);
		assert.equal((await closed).retryIn, 30);
	});

	test('waits as long as Retry-After asks when there are too many', async () => {
		const { chat, WebSocket } = start({
			random: () => 0,
			fetch: async () => problem(429, 'too_many', 'limits.connections', { 'Retry-After': '2' }),
		}, { welcomed: false });

		chat.connect().catch(() => {});
		const closed = event(chat, 'close');
		await settle();
		WebSocket.last.cut();
		assert.equal((await closed).retryIn, 2000);
	});

	test('kicked out for good: 4403 is not tried again', async () => {
		const { chat, WebSocket } = start();
		const closed = event(chat, 'close');

		await chat.connect();
		WebSocket.last.cut(4403, 'banned');
		assert.deepEqual(await closed, { code: 4403, reason: 'banned', willRetry: false, error: undefined });
	});

	test('falls back to SSE when WebSockets are blocked', async () => {
		const stream = fakeStream();
		const posted = [];
		const WebSocket = fakeWebSocket((socket) => socket.cut());
		const { chat } = start({
			WebSocket,
			fetch: async (url, init) => {
				if (init.method === 'POST') {
					posted.push([String(url), JSON.parse(init.body)]);
					return new Response(JSON.stringify({ type: 'ack', ref: JSON.parse(init.body).ref, id: 7 }));
				}
				return init.headers.Accept === 'text/event-stream' ? stream.response : problem(426, 'upgrade_required', 'well');
			},
		});

		stream.write('retry: 10\n\nevent: user\ndata: s3cret\n\nevent: welcome\ndata: {"type":"welcome","user":{"id":"u","name":"U"}}\n\n');
		await chat.connect();
		assert.equal(chat.transport, 'sse');
		await chat.request({ type: 'chat', room: 'lobby', content: 'hi' });
		assert.equal(posted[0][0], 'http://tower.example/chat/s3cret');
		assert.equal(posted[0][1].content, 'hi');
	});

	test('a silent line is found dead and opened again', async () => {
		const WebSocket = fakeWebSocket((socket) => socket.welcome({ heartbeat: 0.02 }));
		const chat = new Chat('http://tower.example/', { WebSocket, backoff: BACKOFF, pongTimeout: 20 });
		const reasons = [];

		started.push(chat);
		chat.addEventListener('close', ({ detail }) => reasons.push(detail.reason));
		await chat.connect();
		await settle(80);
		assert.equal(WebSocket.sockets[0].of('ping').length, 1);
		assert.equal(reasons[0], 'no sign of life');
		assert.ok(WebSocket.sockets.length > 1);
	});

	test('ends with its AbortSignal', async () => {
		const abort = new AbortController();
		const { chat, WebSocket } = start({ signal: abort.signal });

		await chat.connect();
		abort.abort();
		assert.equal(chat.state, 'closed');
		assert.equal(WebSocket.last.isClosed, true);
	});

	test('connect ends with a signal of its own', async () => {
		const gives = new AbortController();
		const { chat, WebSocket } = start({}, { welcomed: false });
		const opened = chat.connect({ signal: gives.signal });

		await settle();
		gives.abort();
		await assert.rejects(opened, { code: 'aborted' });
		assert.equal(chat.state, 'closed');
		assert.ok(WebSocket.last.isClosed);
		await assert.rejects(chat.connect({ signal: gives.signal }), { code: 'aborted' });
	});

	test('a signal that is aborted later leaves an open connection alone', async () => {
		const late = new AbortController();
		const { chat } = start();

		await chat.connect({ signal: late.signal });
		late.abort();
		assert.equal(chat.state, 'open');
	});

	test('a question ends with its signal; its answer is nobody\'s', async () => {
		const { chat, room, WebSocket } = await joined();
		const gives = new AbortController();
		const page = room.history({ limit: 1 }, { signal: gives.signal });

		gives.abort();
		await assert.rejects(page, { code: 'aborted' });
		WebSocket.last.answer('history', { type: 'history', room: 'lobby', messages: [], more: false });
		await assert.rejects(chat.history({ room: 'lobby' }, { signal: gives.signal }), { code: 'aborted' });
		assert.equal(WebSocket.last.of('history').length, 1);
	});

	test('a room and a subscription end with their signals', async () => {
		const { chat, WebSocket } = await joined();
		const gives = new AbortController();
		const topic = chat.subscribe('build/**', { signal: gives.signal });
		const room = chat.room('attic', { signal: gives.signal });

		await settle();
		WebSocket.last.tell({ ref: WebSocket.last.of('subscribe')[0].ref, type: 'subscribed', topic: 'build/**', latest: 1 });
		await topic.ready;
		gives.abort();
		await assert.rejects(room.ready, { code: 'aborted' });
		await settle();
		assert.deepEqual(WebSocket.last.of('unsubscribe').map((message) => message.topic), ['build/**']);
		assert.equal(chat.room('cellar', { signal: gives.signal }).state, 'left');
		await settle();
		assert.deepEqual(WebSocket.last.of('join').filter((message) => message.room === 'cellar'), []);
		assert.deepEqual([topic.state, room.state, chat.subscriptions.size, chat.rooms.has('attic')], ['left', 'left', 0, false]);
	});

	describe('over a stream', () => {
		/** A chat over SSE whose POSTs the test answers. */
		async function streaming(answer, options = {}) {
			const streams = [];
			const posted = [];
			const { chat } = start({
				transport: 'sse', token: () => `t${streams.length + 1}`, fetch: async (url, init) => {
					if (init.method === 'POST') {
						posted.push([JSON.parse(init.body), init.headers.Authorization]);
						return answer(JSON.parse(init.body), streams.length);
					}
					const stream = fakeStream();
					streams.push(stream);
					stream.write(`event: user\ndata: s${streams.length}\n\nevent: welcome\ndata: {"type":"welcome","user":{"id":"u","name":"U"}}\n\n`);
					return stream.response;
				}, ...options,
			});

			await chat.connect();
			return { chat, streams, posted };
		}
		const json = (body, status = 200) => new Response(JSON.stringify(body), { status });

		test('what is sent carries the renewed token', async () => {
			const { chat, posted } = await streaming(({ type, ref }) => json(type === 'refresh' ? { type: 'refreshed', ref, expires: 9 } : { type: 'ack', ref, id: 7 }));

			await chat.refresh('newer');
			await chat.request({ type: 'chat', room: 'lobby', content: 'hi' });
			assert.deepEqual(posted.map(([, header]) => header), ['Bearer t1', 'Bearer newer']);
		});

		test('a token that has ended is asked for again, and what was under way is sent', async () => {
			const { chat, posted, streams } = await streaming(({ ref }, n) => n === 1 ? problem(401, 'invalid_token', 'exp was 1 s ago') : json({ type: 'ack', ref, id: 7 }));

			assert.equal(await chat.publish({ topic: 'news', message: 'hi' }).done, 7);
			assert.deepEqual([streams.length, posted.map(([, header]) => header)], [2, ['Bearer t1', 'Bearer t2']]);
		});

		test('what is refused is refused: by the chat, by the daemon before it, by a proxy', async () => {
			const answers = [
				({ ref }) => json({ type: 'error', ref, code: 'not_found', message: 'no such message' }, 404),
				() => problem(413, 'too_large', 'too much'), () => new Response('<html>', { status: 502 }),
			];
			const { chat, streams } = await streaming((body) => answers.shift()(body));

			for (const code of ['not_found', 'too_large', 'unavailable'])
				await assert.rejects(chat.request({ type: 'delete', target: 1, room: 'lobby' }), { code });
			assert.equal(streams.length, 1);
		});
	});

	test('asking why ends by itself', async () => {
		const signals = [];
		const { chat, WebSocket } = start({ fetch: async (_, init) => {
			signals.push(init.signal);
			throw new TypeError('no network');
		} }, { welcomed: false });

		chat.connect().catch(() => {});
		await settle();
		WebSocket.last.cut();
		await settle();
		assert.ok(signals[0] instanceof AbortSignal);
	});

	test('what the token function throws is the cause', async () => {
		const thrown = new Error('no luck');
		const { chat } = start({ token: () => {
			throw thrown;
		} });
		const closed = event(chat, 'close');
		const states = [];

		chat.addEventListener('state', ({ detail }) => states.push(detail.reason));
		chat.connect().catch(() => {});
		assert.equal((await closed).reason, 'no luck');
		assert.equal((await closed).error?.cause, thrown);
	});

	test('is told of a room that a pattern leaves out', async () => {
		const { chat, WebSocket } = start();
		const denied = event(chat, 'denied');

		await chat.connect();
		WebSocket.last.tell({ type: 'denied', topic: 'chat/attic', code: 'banned', detail: 'banned by Ann' });
		assert.equal((await denied).topic, 'chat/attic');
	});

	test('renews the token when it expires', async () => {
		const contexts = [];
		const { chat, WebSocket } = start({
			token: (context) => {
				contexts.push(context.expiring);
				return `t${contexts.length}`;
			},
		});

		await chat.connect();
		WebSocket.last.tell({ type: 'expiring', in: 30 });
		await settle();
		assert.deepEqual(contexts, [undefined, 30]);
		assert.equal(WebSocket.last.of('refresh')[0].token, 't2');
		WebSocket.last.answer('refresh', { type: 'refreshed', expires: 99 });
		await settle();
		assert.equal(chat.expires, 99);
	});
});

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
