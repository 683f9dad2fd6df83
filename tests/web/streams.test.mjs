// SPDX-License-Identifier: ISC
/* The client library's event streams against answers that the test writes by hand. */

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';

import { Events, StreamParser } from '../../web/belfry.js';
import { event, fakeStream, problem, settle } from './support/fake.mjs';

const BACKOFF = { min: 1, max: 4 };
const started = [];

afterEach(() => {
	for (const one of started.splice(0))
		one.close();
});

describe('event streams', () => {
	test('the parser takes every cut and every line end', () => {
		const text = '\ufeff: hello\r\nretry: 2000\n\nevent: price\rdata: 1\rdata: 2\r\r\nid: 7\n\ndata\n\ndata:  x\nid: 8\r\n\r\n';
		const read = (pieces) => {
			const got = [];
			const parser = new StreamParser((e) => got.push([e.type, e.data, e.id]));
			parser.onretry = (ms) => got.push(['retry', ms]);
			pieces.forEach((piece) => parser.push(piece));
			return got;
		};
		const whole = read([text]);

		assert.deepEqual(whole, [['retry', 2000], ['price', '1\n2', ''], ['message', '', '7'], ['message', ' x', '8']]);
		for (let at = 0; at <= text.length; at++)
			assert.deepEqual(read([text.slice(0, at), text.slice(at)]), whole, `cut at ${at}`);
		assert.deepEqual(read([...text]), whole);
	});

	test('Events sends the token in a header and resumes with Last-Event-ID', async () => {
		const asked = [];
		const streams = [fakeStream(), fakeStream()];
		const events = new Events('http://tower.example/', {
			token: 'tok', topics: ['ops/**', 'news'], last: 3, backoff: BACKOFF,
			fetch: async (url, init) => {
				asked.push([String(url), init.headers['Last-Event-ID'], init.headers.Authorization]);
				return streams[asked.length - 1]?.response ?? new Promise(() => {});
			},
		});
		const got = [];

		started.push(events);
		events.addEventListener('notification', ({ detail }) => got.push(detail.data.title));
		events.addEventListener('message', ({ detail }) => got.push(detail.data));
		events.connect();
		streams[0].write('retry: 1\n: hi\n\nid: 5\nevent: notification\ndata: {"title":"Backup"}\n\nid: 6\n\n');
		await settle();
		streams[0].end();
		await settle(20);
		streams[1].write('id: 7\ndata: plain text\n\n');
		await settle();
		assert.deepEqual(got, ['Backup', 'plain text']);
		assert.deepEqual(asked, [
			['http://tower.example/events?topic=ops%2F**&topic=news&last=3', undefined, 'Bearer tok'],
			['http://tower.example/events?topic=ops%2F**&topic=news', '6', 'Bearer tok'],
		]);
	});

	test('a silent stream is dead', async () => {
		let asked = 0;
		const events = new Events('http://tower.example/', {
			backoff: BACKOFF, silence: 20,
			fetch: async (url, { signal }) => {
				asked++;
				const stream = fakeStream();
				signal.addEventListener('abort', () => stream.end());
				return stream.response;
			},
		});

		started.push(events);
		events.connect();
		for (let n = 0; n < 500 && asked < 2; n++)
			await settle(10);
		assert.ok(asked > 1);
	});

	test('one that never answers is dead, too', async () => {
		let asked = 0;
		const events = new Events('http://tower.example/', {
			backoff: BACKOFF, silence: 20,
			fetch: (url, { signal }) => {
				asked++;
				return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
			},
		});

		started.push(events);
		events.connect();
		for (let n = 0; n < 500 && asked < 2; n++)
			await settle(10);
		assert.ok(asked > 1);
	});

	test('204 ends it for ever, 401 too when the token is fixed', async () => {
		for (const response of [new Response(null, { status: 204 }), problem(401, 'invalid_token', 'no')]) {
			const events = new Events('http://tower.example/', { token: 't', fetch: async () => response });
			const closed = event(events, 'close');

			started.push(events);
			events.connect();
			assert.equal((await closed).willRetry, false);
			assert.equal(events.state, 'closed');
		}
	});
});
