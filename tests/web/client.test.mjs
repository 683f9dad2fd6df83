// SPDX-License-Identifier: ISC
/* The client library in Node against the real daemon, over a wire that is cut while people talk. */

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, afterEach, before, test } from 'node:test';

import { Chat, Events } from '../../web/belfry.js';
import { Daemon } from './support/daemon.mjs';
import { event, settle } from './support/fake.mjs';
import { Proxy } from './support/proxy.mjs';
import { Locks } from './support/locks.mjs';
import { Tab } from './support/tower.mjs';

const WebSocket = createRequire(import.meta.url)('ws');
const BACKOFF = { min: 20, max: 100 };

const daemon = new Daemon({ limits: { messages_per_second: 0 } });
const open = [];
let proxy;

before(async () => {
	await daemon.start();
	proxy = await new Proxy(daemon.port).start();
});

after(async () => {
	await proxy?.end();
	await daemon.end();
});

afterEach(() => {
	for (const one of open.splice(0))
		one.close();
	proxy.mend();
});

function chatOf(name, { url = daemon.url, ...options } = {}) {
	const chat = new Chat(url, {
		WebSocket, backoff: BACKOFF, token: () => daemon.token(name.toLowerCase(), name), ...options,
	});

	open.push(chat);
	chat.connect().catch(() => {});
	return chat;
}

/** What a room tells, its own messages included, as texts. */
function transcript(room) {
	const lines = new Map();
	const doubled = [];
	const take = (id, content) => {
		if (lines.has(id))
			doubled.push(content);
		lines.set(id, content);
	};

	room.addEventListener('message', ({ detail }) => take(detail.id, detail.content));
	room.addEventListener('sent', ({ detail }) => take(detail.id, detail.content));
	return {
		doubled,
		get size() {
			return lines.size;
		},
		get texts() {
			return [...lines].sort(([a], [b]) => a - b).map(([, text]) => text);
		},
	};
}

async function until(condition, what) {
	const end = Date.now() + 15_000;

	while (!condition()) {
		assert.ok(Date.now() < end, `waited for ${typeof what === 'function' ? what() : what}`);
		await settle(10);
	}
}

for (const transport of ['websocket', 'sse']) {
	test(`two clients talk while the wire is cut: each message once, in one order (${transport})`, async () => {
		const name = `cut-${transport}`;
		const ada = chatOf('Ada', { url: proxy.url, transport }).room(name);
		const ben = chatOf('Ben').room(name);
		const [atAda, atBen] = [transcript(ada), transcript(ben)];
		const gaps = [];
		const rounds = 60;

		ada.addEventListener('gap', ({ detail }) => gaps.push(detail));
		await Promise.all([ada.ready, ben.ready]);
		for (let n = 0; n < rounds; n++) {
			ada.send(`a${n}`);
			ben.send(`b${n}`);
			if (n % 15 === 7)
				proxy.cut();
			if (n % 15 === 12)
				proxy.mend();
			await settle(n % 3 * 5);
		}
		proxy.mend();
		await until(() => atAda.size === 2 * rounds && atBen.size === 2 * rounds, () => `${2 * rounds}; there are ${atAda.size} and ${atBen.size}`);
		await settle(50);
		assert.deepEqual(atAda.texts, atBen.texts);
		assert.deepEqual([...atAda.doubled, ...atBen.doubled], []);
		for (const who of ['a', 'b'])
			assert.deepEqual(atBen.texts.filter((text) => text[0] === who), Array.from({ length: rounds }, (_, n) => who + n));
		assert.deepEqual(gaps, []);
	});
}

for (const transport of ['websocket', 'sse']) {
	test(`three tabs on one connection; the wire is cut, the leader changes: each message once in each (${transport})`, async () => {
		const locks = new Locks();
		const name = `tabs-${transport}`;
		const token = daemon.token('ada', 'Ada');
		const tabs = Array.from({ length: 3 }, () => {
			const tab = new Tab(locks);
			return chatOf('Ada', { url: proxy.url, transport, token, share: { locks: tab.locks, BroadcastChannel: tab.BroadcastChannel, patience: 2000 } });
		});
		const ben = chatOf('Ben').room(name);
		const rooms = tabs.map((chat) => chat.room(name));
		const at = rooms.map(transcript);
		const atBen = transcript(ben);
		const rounds = 40;
		const all = () => [atBen, at[1], at[2]];

		await Promise.all([ben.ready, ...rooms.map((room) => room.ready)]);
		assert.ok(tabs.every((chat) => chat.isShared));
		for (let n = 0; n < rounds; n++) {
			rooms[1 + n % 2].send(`a${n}`);
			ben.send(`b${n}`);
			if (n % 15 === 4)
				proxy.cut();
			if (n % 15 === 8)
				proxy.mend();
			if (n === 20)
				tabs[0].close();
			await settle(n % 3 * 5);
		}
		proxy.mend();
		await until(() => all().every(({ size }) => size === 2 * rounds), () => `${2 * rounds}; there are ${all().map(({ size }) => size)}`);
		await settle(50);
		assert.deepEqual(at[1].texts, atBen.texts);
		assert.deepEqual(at[2].texts, atBen.texts);
		assert.deepEqual(all().flatMap(({ doubled }) => doubled), []);
		assert.deepEqual(at[0].doubled, []);
	});
}

test('nothing is lost that was said in an empty room while away', async () => {
	const chat = chatOf('Ada', { url: proxy.url });
	const ada = chat.room('quiet');
	const ben = chatOf('Ben').room('quiet');
	const atAda = transcript(ada);

	await Promise.all([ada.ready, ben.ready]);
	proxy.cut();
	await event(chat, 'close');
	await Promise.all(Array.from({ length: 80 }, (_, n) => ben.send(`m${n}`).done));
	proxy.mend();
	await until(() => atAda.size >= 80, 'all of them');
	assert.deepEqual(atAda.texts, Array.from({ length: 80 }, (_, n) => `m${n}`));
});

test('topics, history, members, rooms, typing', async () => {
	const chat = chatOf('Ada');
	const ada = chat.room('many');
	const ben = chatOf('Ben').room('many');
	const builds = chat.subscribe('build/**');

	await Promise.all([ada.ready, ben.ready, builds.ready]);
	const typing = event(ada, 'typing');
	ben.typing();
	assert.equal((await typing).user.name, 'Ben');
	assert.deepEqual((await ada.members()).map((user) => user.name).sort(), ['Ada', 'Ben']);
	const rung = event(builds, 'message');
	await chat.publish({ topic: 'build/web/main', title: 'green', data: { n: 1 } }).done;
	await daemon.publish('build/web/main', { title: 'red', tags: ['x'] });
	assert.equal((await rung).topic, 'build/web/main');
	await ada.send({ content: 'one', data: { x: 1 } }).done;
	await ben.send('two').done;
	const page = await ada.history({ limit: 1 });
	assert.deepEqual(page.messages.map((message) => [message.type, message.content]), [['chat', 'two']]);
	assert.equal(page.more, true);
	assert.ok(JSON.stringify(await chat.listRooms()).includes('many'));
	await ben.leave();
	await until(() => ada.count === 1, 'the one who left');
});

test('a refused token is explained', async () => {
	const chat = new Chat(daemon.url, { WebSocket, token: 'a.b.c' });

	open.push(chat);
	await assert.rejects(chat.connect(), { status: 401 });
});

test('a refused room does not end the connection', async () => {
	const token = daemon.token('eve', 'Eve', { subscribe: ['chat/open'], publish: ['chat/open'] });
	const chat = chatOf('Eve', { token });

	await assert.rejects(chat.room('closed').ready, (error) => error.code === 'insufficient_scope' || error.code === 'forbidden');
	await chat.room('open').ready;
});

test('Events resumes over a cut wire', async () => {
	const events = new Events(proxy.url, {
		topics: ['ops/**'], backoff: BACKOFF, token: () => daemon.token('ada', 'Ada'),
	});
	const got = [];

	open.push(events);
	events.addEventListener('notification', ({ detail }) => got.push(detail.data.message));
	const opened = event(events, 'open');
	events.connect();
	await opened;
	await daemon.publish('ops/a', { message: 'one' });
	await until(() => got.length === 1, 'the first');
	proxy.cut();
	await daemon.publish('ops/a', { message: 'two' });
	await daemon.publish('ops/b', { message: 'three' });
	proxy.mend();
	await until(() => got.length === 3, 'the others');
	assert.deepEqual(got, ['one', 'two', 'three']);
});
