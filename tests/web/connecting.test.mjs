// SPDX-License-Identifier: ISC
/* How the client library connects and comes back, against transports that the test plays by hand. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Chat } from '../../web/belfry.js';
import { event, fakeStream, fakeWebSocket, problem, settle } from './support/fake.mjs';
import { BACKOFF, joined, start, started } from './support/library.mjs';

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
