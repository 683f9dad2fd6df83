// SPDX-License-Identifier: ISC
/* One connection for all tabs: whoever leads goes, dies or sleeps, and nothing is lost or told twice. */

import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';

import { Chat } from '../../web/belfry.js';
import { problem, settle } from './support/fake.mjs';
import { Locks } from './support/locks.mjs';
import { Tab, Tower } from './support/tower.mjs';

const started = [];

afterEach(() => {
	for (const chat of started.splice(0))
		chat.close();
});

function world() {
	const tower = new Tower();

	tower.append('lobby', 'start', { id: 'u2', name: 'Ben' });      // with something stored it is seen when a replay is over
	return { tower, locks: new Locks() };
}

/** A tab with a room; what it hears is in `heard`. */
function open({ tower, locks }, { share = {}, token = null, room = 'lobby', ...options } = {}) {
	const tab = new Tab(locks);
	const chat = new Chat('http://tower.example/', {
		WebSocket: tower.WebSocket, backoff: { min: 1, max: 4 }, token, fetch: async () => problem(426, 'upgrade_required', 'all is well'),
		share: typeof share === 'string' ? share : share && { locks: tab.locks, BroadcastChannel: tab.BroadcastChannel, patience: 60, key: token === null ? 'u1' : undefined, ...share }, ...options,
	});
	const one = { chat, tab, room: chat.room(room), heard: [] };

	one.room.addEventListener('message', ({ detail }) => detail.content !== 'start' && one.heard.push(detail.content));
	one.room.addEventListener('sent', ({ detail }) => one.heard.push(detail.content));
	chat.connect().catch(() => {});
	started.push(chat);
	return one;
}

/** Waits until it is so. */
async function until(what, isSo) {
	for (let n = 0; !isSo(); n++) {
		assert.ok(n < 1500, `not in time: ${what()}`);
		await settle(2);
	}
}

const joined = (...tabs) => until(() => tabs.map(({ room }) => room.state), () => tabs.every(({ room }) => room.state === 'joined'));
const hear = (tabs, want) => until(() => JSON.stringify(tabs.map(({ heard }) => heard)),
	() => tabs.every(({ heard }) => heard.length >= want.length));
const say = (tower, text, room = 'lobby') => tower.append(room, text, { id: 'u2', name: 'Ben' });
const token = (claims) => `h.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.s`;

describe('tabs of one user', () => {
	test('have one connection, and each hears everything once', async () => {
		const w = world();
		say(w.tower, 'before');
		const tabs = [open(w), open(w), open(w)];

		await joined(...tabs);
		say(w.tower, 'hello');
		await hear(tabs, ['before', 'hello']);
		await tabs[1].room.send('from the second').done;
		await hear(tabs, ['before', 'hello', 'from the second']);
		say(w.tower, 'last');
		await hear(tabs, [1, 2, 3, 4]);
		await settle(20);
		for (const { heard } of tabs)
			assert.deepEqual(heard, ['before', 'hello', 'from the second', 'last']);
		assert.equal(w.tower.opened, 1);
		assert.ok(tabs.every(({ chat }) => chat.isShared));
	});

	for (const others of [0, 1]) {
		test(`a replay that is slow is heard to its end${others ? ', though another tab comes in' : ''}`, async (t) => {
			const w = world();
			const want = Array.from({ length: 6 }, (_, n) => `m${n}`);
			const { now } = Date;
			let late = 0;

			want.forEach((text) => say(w.tower, text));
			t.mock.method(Date, 'now', () => now() + late);
			const a = open(w);
			const tabs = [a];
			a.room.addEventListener('message', ({ detail }) => {
				late += 2_000;
				if (others > 0 && detail.content === 'm1')
					tabs.push(open(w));
			});
			await until(() => JSON.stringify(tabs.map(({ heard }) => heard)), () => tabs.length > others && tabs.every(({ heard }) => heard.length >= want.length));
			await settle(20);
			for (const { heard } of tabs)
				assert.deepEqual(heard, want);
			assert.equal(w.tower.opened, 1);
		});
	}

	test('one leaves a room that another is in', async () => {
		const w = world();
		const [a, b] = [open(w), open(w)];

		await joined(a, b);
		await b.room.leave();
		say(w.tower, 'still here');
		await hear([a], ['still here']);
		assert.deepEqual(b.heard, []);
		const again = b.chat.room('lobby');
		b.heard.length = 0;
		again.addEventListener('message', ({ detail }) => b.heard.push(detail.content));
		await hear([b], ['start', 'still here']);
		assert.deepEqual([a.heard, b.heard], [['still here'], ['start', 'still here']]);
	});

	test('what one has read, all have', async () => {
		const w = world();
		const [a, b] = [open(w), open(w)];

		await joined(a, b);
		say(w.tower, 'm0');
		await hear([a, b], ['m0']);
		assert.deepEqual([a.room.unread, b.room.unread], [1, 1]);
		a.room.read();
		await until(() => b.room.unread, () => b.room.unread === 0);
	});

	test('other users, other rights, other names and who wants none have lines of their own', async () => {
		const w = world();
		const all = [
			open(w, { token: token({ sub: 'u1' }) }), open(w, { token: token({ sub: 'u2' }) }), open(w, { token: token({ sub: 'u1', belfry: { role: 'admin' } }) }),
			open(w, { token: token({ sub: 'u1' }), name: 'A' }), open(w, { share: false }), open(w, { token: 'opaque' }),
		];

		await joined(...all);
		assert.equal(w.tower.opened, all.length);
		await joined(open(w, { token: token({ sub: 'u1', exp: 9 }) }));
		assert.equal(w.tower.opened, all.length);
	});

	for (const [who, at] of [['whoever leads', 0], ['another tab', 1]]) {
		test(`a line that ${who} finds dead is given up by all`, async () => {
			const w = world();
			const tabs = [open(w, { pongTimeout: 20 }), open(w, { pongTimeout: 20 })];

			await joined(...tabs);
			for (const connection of w.tower.connections) {
				connection.send = connection.tell = () => {};   // nothing comes or goes, and nobody is told
				w.tower.connections.delete(connection);
			}
			say(w.tower, 'm0');
			tabs[at].chat.retryNow();
			await hear(tabs, ['m0']);
			assert.equal(w.tower.opened, 2);
		});
	}

	test('a tab that is watched is watched once, however often the line breaks', async () => {
		const w = world();
		const tabs = [open(w), open(w)];

		await joined(...tabs);
		const waiting = w.locks.queue.length;
		for (let n = 0; n < 4; n++) {
			for (const connection of w.tower.connections)
				connection.close(1006);
			await until(() => n, () => tabs.every(({ room }) => room.state === 'waiting'));
			await joined(...tabs);
		}
		assert.equal(w.locks.queue.length, waiting);
	});

	test('without Web Locks each has its own', async () => {
		const w = world();
		const one = open(w, { share: 'u1' });

		await joined(one);
		assert.equal(one.chat.isShared, globalThis.navigator?.locks !== undefined);
	});
});

describe('whoever leads', () => {
	/** Three tabs; while Ben talks, the first that is alive goes in a certain way. */
	async function relay(go) {
		const w = world();
		const tabs = [open(w), open(w), open(w)];
		const want = [];

		await joined(...tabs);
		for (let n = 0; n < 30; n++) {
			const text = `m${n}`;
			want.push(text);
			if (n % 5 === 4)
				tabs.at(-1).room.send(text);
			else
				say(w.tower, text);
			if (n === 8 || n === 19)
				go(tabs[n === 8 ? 0 : 1]);
			await settle(3);
		}
		return { w, tabs, want };
	}

	const all = (texts) => [...texts].sort((a, b) => a.slice(1) - b.slice(1));

	for (const [way, go] of [['closes', ({ chat }) => chat.close()], ['dies without a word', ({ tab }) => tab.die()]]) {
		test(`${way}: the next takes over, nothing is lost or repeated`, async () => {
			const { w, tabs, want } = await relay(go);

			await hear([tabs[2]], want);
			await settle(30);
			assert.deepEqual(all(tabs[2].heard), want);
			assert.ok(w.tower.opened <= 4, `${w.tower.opened} connections`);
		});
	}

	test('sleeps: another one leads, and who wakes up has missed nothing', async () => {
		const w = world();
		const tabs = [open(w), open(w), open(w)];

		await joined(tabs[0]);
		await joined(...tabs);
		say(w.tower, 'm0');
		await hear(tabs, ['m0']);
		tabs[0].tab.sleep();
		tabs[1].room.send('m1');
		await hear([tabs[1], tabs[2]], [0, 1]);
		say(w.tower, 'm2');
		await hear([tabs[1], tabs[2]], [0, 1, 2]);
		tabs[0].tab.wake();
		say(w.tower, 'm3');
		await hear(tabs, [0, 1, 2, 3]);
		await settle(30);
		for (const { heard } of tabs)
			assert.deepEqual(all(heard), ['m0', 'm1', 'm2', 'm3']);
	});

	test('and who comes out of the cache of pages resumes, though its lock was taken', async (t) => {
		const page = new EventTarget();
		for (const name of ['addEventListener', 'removeEventListener'])
			globalThis[name] = page[name].bind(page);
		t.after(() => {
			delete globalThis.addEventListener;
			delete globalThis.removeEventListener;
		});
		const w = world();
		const tabs = [open(w), open(w)];

		await joined(...tabs);
		tabs[1].tab.sleep();
		w.locks.drop(tabs[1].tab);
		say(w.tower, 'm0');
		await hear([tabs[0]], [0]);
		await settle(10);
		tabs[1].tab.late.length = 0;    // nothing is kept for a page that is put away
		tabs[1].tab.wake();
		page.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
		say(w.tower, 'm1');
		await hear(tabs, [0, 1]);
		await settle(150);
		say(w.tower, 'm2');
		await hear(tabs, [0, 1, 2]);
		for (const { heard } of tabs)
			assert.deepEqual(all(heard), ['m0', 'm1', 'm2']);
		for (const { chat } of tabs)
			chat.close();
	});

	test('the line breaks: all tabs resume where they were', async () => {
		const w = world();
		const tabs = [open(w), open(w)];

		await joined(...tabs);
		say(w.tower, 'm0');
		await hear(tabs, [0]);
		for (const connection of w.tower.connections)
			connection.close(1006);
		say(w.tower, 'm1');
		tabs[1].room.send('m2');
		await hear(tabs, [0, 1, 2]);
		await settle(30);
		for (const { heard } of tabs)
			assert.deepEqual(all(heard), ['m0', 'm1', 'm2']);
		assert.equal(w.tower.opened, 2);
	});
});
