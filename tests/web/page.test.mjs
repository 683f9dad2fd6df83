// SPDX-License-Identifier: ISC
/* The page in a real browser against the real daemon: two people, a wire that breaks, a restart. */

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { connected, join, launch, open, reads, reconnecting, say, shoot, texts } from './support/browser.mjs';
import { Daemon } from './support/daemon.mjs';
import { Proxy } from './support/proxy.mjs';

const GUESTS = {
	guests: true,
	guest_tokens_per_minute: 0,
	guest_defaults: {
		subscribe: ['chat/*', 'user/{sub}', 'notifications', 'server/stats'], publish: ['chat/*'], direct: ['*'],
	},
};

let browser;
let pages = [];

before(async () => {
	browser = await launch();
});

after(() => browser.close());

afterEach(async () => {
	const faults = pages.flatMap((page) => page.faults);

	await Promise.all(pages.splice(0).map((page) => page.context().close()));
	assert.deepEqual(faults, []);
});

async function visit(url, options) {
	const page = await open(browser, url, options);

	pages.push(page);
	return page;
}

/** In the page: does the log show its newest row? */
const atEnd = () => {
	const log = document.getElementById('log');
	return log.scrollHeight > log.clientHeight && log.scrollHeight - log.scrollTop - log.clientHeight < 2 && document.getElementById('newer').hidden;
};

/** How often a text stands in the conversation. */
const count = (page, text) => page.getByRole('log').getByText(text, { exact: true }).count();

describe('a daemon with guests', () => {
	const daemon = new Daemon({ auth: GUESTS, feeds: [{ topic: 'server/stats', every: '1s' }] });
	let rooms = 0;
	let room;

	before(() => daemon.start());
	after(() => daemon.end());

	/** Two people in a room of their own. */
	async function twoPeople(urlOfAda = daemon.url) {
		room = `room${++rooms}`;
		const ada = await visit(`${urlOfAda}/?room=${room}`);
		await join(ada, room, 'Ada');
		const ben = await visit(`${daemon.url}/?room=${room}`);
		await join(ben, room, 'Ben');
		return { ada, ben };
	}

	test('asks for a name, fills the room in, joins with Enter', async () => {
		const page = await visit(`${daemon.url}/?room=square`);
		const name = page.getByRole('textbox', { name: 'Name', exact: true });

		await page.getByRole('main').waitFor();
		assert.equal(await page.getByRole('combobox', { name: 'Room', exact: true }).inputValue(), 'square');
		assert.equal(await page.getByRole('textbox', { name: 'Message' }).count(), 0);
		await shoot(page, 'door');
		await name.fill('Ada');
		await name.press('Enter');
		await connected(page);
		await page.getByRole('heading', { name: '#square' }).waitFor();
		assert.equal(await page.evaluate(() => document.activeElement.id), 'message');
	});

	test('two people talk: everything once, in one order, to both', async () => {
		const { ada, ben } = await twoPeople();

		await ada.getByRole('list', { name: 'People' }).getByText('Ben', { exact: true }).waitFor();
		await ben.getByRole('list', { name: 'People' }).getByText('Ada', { exact: true }).waitFor();
		await say(ada, 'Hello Ben');
		await reads(ben, ['Hello Ben']);
		await ben.getByRole('textbox', { name: 'Message', exact: true }).fill('Hello Ada');
		await ben.getByRole('button', { name: 'Send', exact: true }).click();
		await reads(ada, ['Hello Ben', 'Hello Ada']);
		await reads(ben, ['Hello Ben', 'Hello Ada']);
		await ada.locator('.message[data-state="sent"]').waitFor();
		for (const page of [ada, ben])
			assert.equal(await count(page, 'Hello Ben'), 1);
	});

	test('what was said before is there, after a reload as the same person', async () => {
		const { ada, ben } = await twoPeople();

		await say(ada, 'one');
		await say(ben, 'two');
		await reads(ada, ['one', 'two']);
		await ada.reload();
		await connected(ada);
		await reads(ada, ['one', 'two']);
		assert.deepEqual(await ada.locator('.mine .text').allTextContents(), ['one']);
		await say(ben, 'three');
		await reads(ada, ['one', 'two', 'three']);
	});

	test('shows who is typing, and no longer when it was sent', async () => {
		const { ada, ben } = await twoPeople();
		const status = ben.getByRole('status').filter({ hasText: 'Ada is typing' });

		await ada.getByRole('textbox', { name: 'Message', exact: true }).pressSequentially('Hm');
		await status.waitFor();
		await ada.keyboard.press('Enter');
		await reads(ben, ['Hm']);
		await status.waitFor({ state: 'detached' });
	});

	test('somebody who goes away leaves the list', async () => {
		const { ada, ben } = await twoPeople();

		await ben.close();
		await ada.getByRole('list', { name: 'People' }).getByText('Ben', { exact: true }).waitFor({ state: 'detached' });
	});

	test('the wire is cut in the middle: everything arrives exactly once', async () => {
		const proxy = await new Proxy(daemon.port).start();

		try {
			const { ada, ben } = await twoPeople(proxy.url);
			const own = ada.getByRole('textbox', { name: 'Message', exact: true });

			await say(ada, 'before');
			await reads(ben, ['before']);
			proxy.cut();
			await reconnecting(ada);
			await shoot(ada, 'reconnecting');
			for (const n of [1, 2, 3])
				await say(ben, `ben ${n}`);
			for (const n of [1, 2])
				await say(ada, `ada ${n}`);
			assert.equal(await ada.locator('.message[data-state="pending"]').count(), 2);
			await own.fill('a draft');
			proxy.mend();
			await connected(ada);
			const all = ['before', 'ben 1', 'ben 2', 'ben 3', 'ada 1', 'ada 2'];
			await reads(ben, all);
			await reads(ada, all);
			assert.equal(await own.inputValue(), 'a draft');
			assert.equal(await ada.locator('.message[data-state="pending"]').count(), 0);
			assert.equal(await ada.locator('.gap').count(), 0);
		} finally {
			await proxy.end();
		}
	});

	test('cut again and again while both talk', async () => {
		const proxy = await new Proxy(daemon.port).start();

		try {
			const { ada, ben } = await twoPeople(proxy.url);
			const want = [];
			for (let n = 0; n < 12; n++) {
				await say(ada, `a${n}`);
				if (n % 3 === 1)
					proxy.cut();
				await say(ben, `b${n}`);
				if (n % 3 === 2)
					proxy.mend();
				want.push(`a${n}`, `b${n}`);
			}
			proxy.mend();
			await connected(ada);
			await ada.locator('.message[data-state="pending"]').first().waitFor({ state: 'detached', timeout: 20_000 });
			await ada.waitForTimeout(300);
			const [atAda, atBen] = [await texts(ada), await texts(ben)];
			assert.deepEqual(atAda, atBen, 'one order');
			assert.deepEqual([...atAda].sort(), [...want].sort(), 'each once');
			for (const who of ['a', 'b'])
				assert.deepEqual(atBen.filter((text) => text.startsWith(who)), want.filter((text) => text.startsWith(who)));
		} finally {
			await proxy.end();
		}
	});

	test('notifications and live figures come over the same connection', async () => {
		const { ada } = await twoPeople();
		const list = ada.getByRole('list', { name: 'Notifications' });
		const sockets = [];

		ada.on('websocket', (socket) => sockets.push(socket.url()));
		await daemon.publish('notifications', { title: 'Backup done', message: '12 GiB in 3 minutes', priority: 5, click: 'https://example.org/' });
		await list.getByText('Backup done', { exact: true }).waitFor();
		assert.equal(await list.getByRole('link', { name: 'Backup done' }).getAttribute('href'), 'https://example.org/');
		const id = await ada.evaluate(() => document.getElementById('whoami').title);
		await daemon.publish(`user/${encodeURIComponent(id)}`, { message: 'Only for you' });
		await list.getByText('Only for you', { exact: true }).waitFor();
		await ada.getByRole('heading', { name: 'Server, live' }).waitFor();
		for (const name of ['Connections', 'Rooms', 'Messages/s', 'Memory'])
			await ada.locator('#figures').getByText(name, { exact: true }).waitFor();
		assert.deepEqual(sockets, []);
	});

	test('goes to another room', async () => {
		const { ada, ben } = await twoPeople();

		await say(ada, 'I am off');
		await reads(ben, ['I am off']);
		await join(ada, 'elsewhere');
		await ada.getByRole('heading', { name: '#elsewhere' }).waitFor();
		await reads(ada, []);
		assert.equal(new URL(ada.url()).search, '?room=elsewhere');
		await say(ben, 'are you there?');
		const back = ada.getByRole('button', { name: `${room} 1 unread` });
		await back.click();
		await reads(ada, ['I am off', 'are you there?']);
		assert.equal(await back.count(), 0);
		await ada.getByRole('button', { name: 'Leave', exact: true }).click();
		await ada.getByRole('heading', { name: '#elsewhere' }).waitFor();
		await ben.getByRole('list', { name: 'People' }).getByText('Ada', { exact: true }).waitFor({ state: 'detached' });
		await ada.getByRole('button', { name: 'Leave', exact: true }).click();
		await ada.getByRole('heading', { name: 'Come in' }).waitFor();
		assert.equal(new URL(ada.url()).search, '', 'a reload does not lead back');
		await ada.getByRole('combobox', { name: 'Room', exact: true }).press('Enter');
		await ada.getByRole('heading', { name: '#elsewhere' }).waitFor();
	});

	test('shows markup as text', async () => {
		const evil = '<img src=x onerror="document.title=1"><b>x</b>';
		const ada = await visit(`${daemon.url}/?room=markup`);
		await join(ada, 'markup', evil.slice(0, 30));
		await say(ada, evil);
		await daemon.publish('notifications', { title: evil, message: evil, click: 'javascript:alert(1)', tags: [evil] });

		await reads(ada, [evil]);
		await ada.getByRole('list', { name: 'Notifications' }).getByText(evil).first().waitFor();
		assert.equal(await ada.locator('main img, main b, a[href^="javascript"]').count(), 0);
	});

	test('reads what was said earlier on demand', async () => {
		const many = Array.from({ length: 70 }, (_, n) => ({ message: `line ${n}` }));
		await daemon.publish('chat/long', many);
		const ada = await visit(`${daemon.url}/?room=long`);

		await join(ada, 'long', 'Ada');
		await reads(ada, many.slice(20).map(({ message }) => message));
		await ada.getByRole('button', { name: 'Show earlier ones' }).evaluate((button) => button.click());
		await reads(ada, many.map(({ message }) => message));
	});

	test('falls back to SSE when WebSockets are blocked', async () => {
		const { ben } = await twoPeople();
		const page = await visit('about:blank');

		await page.addInitScript(() => {
			window.WebSocket = class {
				constructor() {
					setTimeout(() => this.onclose?.({ code: 1006, reason: '' }));
				}
				close() {}
			};
		});
		await page.goto(`${daemon.url}/?room=${room}`);
		await join(page, room, 'Eve');
		await say(page, 'through the back door');
		await reads(ben, ['through the back door']);
		await say(ben, 'welcome anyway');
		await reads(page, ['through the back door', 'welcome anyway']);
	});
});

test('a picture of two people talking', async () => {
	const daemon = await new Daemon({ auth: GUESTS, feeds: [{ topic: 'server/stats', every: '1s' }] }).start();

	try {
		const ada = await visit(`${daemon.url}/?room=ropes`);
		await join(ada, 'ropes', 'Ada');
		await join(ada, 'tower');
		const ben = await visit(`${daemon.url}/?room=tower`);
		await join(ben, 'tower', 'Ben');
		const talk = [
			[ada, 'Good morning! The tower clock is repaired.'], [ben, 'Wonderful. I heard it at eight, loud and clear.'],
			[ben, 'Shall we try the big bell at noon?'], [ada, 'Yes. I will ring it once, and a notification goes out to everybody who subscribed.'],
			[ben, 'The plan: check the ropes, close the shutters, ring.'], [ada, 'See you at noon.'], [ben, '👍🏽 🔔'],
		];

		for (const [at, [page, text]] of talk.entries()) {
			await say(page, text);
			for (const one of [ada, ben])
				await reads(one, talk.slice(0, at + 1).map((line) => line[1]));
		}
		await ada.getByText('Shall we try the big bell at noon?', { exact: true }).hover();
		await ada.getByRole('button', { name: 'React' }).click();
		await ada.getByRole('menuitem', { name: '🔔' }).click();
		await ben.getByRole('button', { name: '🔔 1: Ada' }).click();
		await daemon.publish('chat/ropes', [{ message: 'The new ones are here.' }, { message: 'All of them?' }]);
		await ben.getByRole('list', { name: 'People' }).getByRole('button', { name: 'Ada' }).click();
		await ben.getByRole('menuitem', { name: 'Write directly' }).click();
		await say(ben, 'Please bring the oil.');
		await ben.getByRole('button', { name: 'tower', exact: true }).click();
		await ada.getByRole('button', { name: 'Ben 1 unread' }).waitFor();
		await ada.getByRole('button', { name: 'ropes 2 unread' }).waitFor();
		await daemon.publish('notifications', { title: 'Backup done', message: '12.4 GiB in 3 minutes, all checks passed.', tags: ['backup', 'nightly'] });
		await daemon.publish('notifications', { title: 'Disk almost full', message: '/var has 2 % left on db-1.', priority: 5 });
		await ada.getByText('Disk almost full').waitFor();
		await ada.locator('[data-figure="connections"]').waitFor();
		await ben.getByRole('textbox', { name: 'Message', exact: true }).pressSequentially('I will');
		await ada.getByText('Ben is typing').waitFor();
		await shoot(ada, 'talk');
		await ada.setViewportSize({ width: 320, height: 640 });
		await ada.getByRole('button', { name: 'Details' }).click();
		await shoot(ada, 'details');
		await shoot(ada, 'places', async () => {
			const chats = ada.getByRole('button', { name: 'Chats' });
			if (await chats.isVisible() && await chats.getAttribute('aria-expanded') === 'false')
				await chats.click();
		});
	} finally {
		await daemon.end();
	}
});

test('a restart of a daemon that keeps nothing: the gap is shown, what was unsent is sent', async () => {
	const daemon = await new Daemon({ auth: GUESTS }).start();

	try {
		const ada = await visit(`${daemon.url}/?room=lobby`);
		await join(ada, 'lobby', 'Ada');
		const token = daemon.token('ben', 'Ben');
		const ben = await visit(`${daemon.url}/?room=lobby#token=${token}`);
		await connected(ben);
		await ada.setViewportSize({ width: 1280, height: 420 });
		await say(ada, 'before the storm');
		await reads(ben, ['before the storm']);
		await say(ben, 'all quiet');
		await reads(ada, ['before the storm', 'all quiet']);
		assert.equal(await daemon.stop(), 0);
		for (const page of [ada, ben])
			await reconnecting(page);
		await say(ada, 'written in the dark');
		await daemon.start();
		for (const page of [ada, ben]) {
			await connected(page);
			await page.getByRole('log').locator('.gap').filter({ hasText: 'missing' }).waitFor();
			assert.equal(await page.getByRole('log').locator('.gap').count(), 1);
		}
		assert.ok(await ada.waitForFunction(atEnd), 'it still follows');
		await reads(ben, ['before the storm', 'all quiet', 'written in the dark']);
		await say(ben, 'light again');
		await reads(ada, ['before the storm', 'all quiet', 'written in the dark', 'light again']);
		await ada.setViewportSize({ width: 1280, height: 720 });
		await shoot(ada, 'gap');
	} finally {
		await daemon.end();
	}
});

describe('a daemon without guests', () => {
	const daemon = new Daemon();

	before(() => daemon.start());
	after(() => daemon.end());

	test('a token in the address is taken out of it, and joins at once', async () => {
		const page = await visit(`${daemon.url}/?room=lobby#token=${daemon.token('u1', 'Ada')}`);

		await connected(page);
		assert.equal(new URL(page.url()).hash, '');
		assert.equal(await page.getByRole('textbox', { name: 'Name' }).count(), 0);
		await page.getByRole('list', { name: 'People' }).getByText('Ada', { exact: true }).waitFor();
		await page.reload();
		await connected(page);
	});

	test('the cookie will do', async () => {
		const page = await visit('about:blank');

		await page.context().addCookies([{ name: 'belfry', value: daemon.token('u2', 'Cleo'), url: daemon.url }]);
		await page.goto(`${daemon.url}/?room=lobby`);
		await connected(page);
		await page.getByRole('list', { name: 'People' }).getByText('Cleo', { exact: true }).waitFor();
		await say(page, 'by cookie');
		await page.locator('.message[data-state="sent"]').waitFor();
	});

	test('without a token it says what is missing', async () => {
		const page = await visit(daemon.url);

		await page.getByText('#token=').waitFor();
		assert.equal(await page.getByRole('button', { name: 'Join' }).count(), 0);
		await shoot(page, 'closed');
	});

	test('a bad token is explained', async () => {
		const page = await visit(`${daemon.url}/#token=${daemon.token('u1', 'Ada').slice(0, -4)}AAAA`);

		await page.getByRole('alert').filter({ hasText: /signature/ }).waitFor();
		await shoot(page, 'bad-token');
		assert.equal(new URL(page.url()).hash, '');
	});

	test('a room that the token does not grant is refused in words', async () => {
		const grants = { subscribe: ['chat/open'], publish: ['chat/open'], direct: [] };
		const page = await visit(`${daemon.url}/?room=closed#token=${daemon.token('u3', 'Dora', grants)}`);

		await page.getByRole('alert').filter({ hasText: '#closed does not let you in' }).waitFor();
		await shoot(page, 'refused');
		await join(page, 'open');
	});
});

test('with a place to sign in, it leads there', async () => {
	const daemon = await new Daemon({ auth: { login_url: 'https://login.example.org/?back=belfry' } }).start();

	try {
		const page = await visit(daemon.url);
		assert.equal(await page.getByRole('link', { name: 'sign in' }).getAttribute('href'), 'https://login.example.org/?back=belfry');
	} finally {
		await daemon.end();
	}
});
