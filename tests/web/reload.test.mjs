// SPDX-License-Identifier: ISC
/* What a reload must not lose: unsent messages, drafts; and nothing is said twice. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { connected, join, launch, open, reads, reconnecting, say, texts } from './support/browser.mjs';
import { Daemon } from './support/daemon.mjs';

const daemon = new Daemon({ auth: { guests: true, guest_tokens_per_minute: 0 } });
let browser;

before(async () => {
	await daemon.start();
	browser = await launch();
});

after(async () => {
	await browser?.close();
	await daemon.end();
});

/** A page whose chat a test can cut off while the rest of the server is there; and whose acks it can lose. */
async function wired(room) {
	const page = await open(browser, 'about:blank');
	const line = { isCut: false, losesAcks: false, sockets: new Set() };

	await page.route(/\/chat(\?|$)/, (route) => line.isCut ? route.abort() : route.continue());
	await page.routeWebSocket(/\/chat(\?|$)/, (socket) => {
		if (line.isCut)
			return socket.close();
		const server = socket.connectToServer();
		line.sockets.add(socket);
		server.onMessage((text) => {
			if (!line.losesAcks || !String(text).includes('"ack"'))
				socket.send(text);
		});
	});
	line.cut = () => {
		line.isCut = true;
		for (const socket of line.sockets)
			socket.close({ code: 4000 }).catch(() => {});
		line.sockets.clear();
	};
	await page.goto(`${daemon.url}/?room=${room}`);
	await join(page, room, 'Ada');
	return { page, line };
}

async function ben(room) {
	const page = await open(browser, `${daemon.url}/?room=${room}#token=${daemon.token('ben', 'Ben')}`);

	await connected(page);
	return page;
}

test('written offline, then reloaded: sent once, in order; the draft is there', async () => {
	const { page, line } = await wired('one');
	const other = await ben('one');
	const box = page.getByRole('textbox', { name: 'Message', exact: true });

	await say(page, 'before');
	await reads(other, ['before']);
	line.cut();
	await reconnecting(page);
	for (const n of [1, 2, 3])
		await say(page, `offline ${n}`);
	await box.fill('a draft');
	const asked = page.waitForEvent('dialog');
	const [, dialog] = await Promise.all([page.reload(), asked.then((one) => one.accept().then(() => one))]);
	assert.equal(dialog.type(), 'beforeunload');
	await page.locator('.message[data-state="pending"]').nth(2).waitFor();
	assert.equal(await box.inputValue(), 'a draft');
	await say(other, 'meanwhile');
	line.isCut = false;
	await connected(page);
	const all = ['before', 'meanwhile', 'offline 1', 'offline 2', 'offline 3'];
	await reads(other, all);
	await reads(page, all);
	await page.reload();
	await connected(page);
	await reads(page, all);
	await reads(other, all);
	assert.deepEqual([...page.faults, ...other.faults], []);
});

test('sent, the ack lost, reloaded: said once', async () => {
	const { page, line } = await wired('two');
	const other = await ben('two');

	line.losesAcks = true;
	await say(page, 'first');
	await say(page, 'second');
	await reads(other, ['first']);
	line.losesAcks = false;
	await page.reload();
	await connected(page);
	await reads(other, ['first', 'second']);
	await reads(page, ['first', 'second']);
	await page.locator('.message[data-state="pending"]').first().waitFor({ state: 'detached' });
});

test('each room has its draft, and what was unsent in it', async () => {
	const { page, line } = await wired('three');
	const box = page.getByRole('textbox', { name: 'Message', exact: true });
	const go = async (room) => {
		await page.getByRole('combobox', { name: 'Room', exact: true }).fill(room);
		await page.getByRole('button', { name: 'Join', exact: true }).click();
		await page.getByRole('heading', { name: `#${room}` }).waitFor();
	};

	line.cut();
	await reconnecting(page);
	await say(page, 'later');
	await box.fill('begun in three');
	await go('four');
	assert.equal(await box.inputValue(), '');
	await reads(page, []);
	await go('three');
	assert.equal(await box.inputValue(), 'begun in three');
	await reads(page, ['later']);
	line.isCut = false;
	await connected(page);
	await page.locator('.message[data-state="sent"]').waitFor();
	await reads(page, ['later']);
});

test('the daemon is killed in the middle and comes back with its log: everything once', async () => {
	const kept = await new Daemon({ storage: { backend: 'sqlite', path: 'belfry.db' } }).start();

	try {
		const [ada, cleo] = await Promise.all(['Ada', 'Cleo'].map(async (name) => {
			const page = await open(browser, `${kept.url}/?room=tower#token=${kept.token(name.toLowerCase(), name)}`);
			await connected(page);
			return page;
		}));
		const want = [];

		for (let n = 0; n < 9; n++) {
			if (n === 3)
				await kept.stop('SIGKILL');
			if (n === 6)
				await kept.start();
			await say(ada, `ada ${n}`);
			await say(cleo, `cleo ${n}`);
			want.push(`ada ${n}`, `cleo ${n}`);
		}
		for (const page of [ada, cleo]) {
			await connected(page);
			await page.locator('.message').nth(want.length - 1).waitFor();
			await page.waitForFunction(() => document.querySelector('.message[data-state="pending"]') === null);
		}
		await ada.reload();
		await connected(ada);
		await ada.locator('.message').nth(want.length - 1).waitFor();
		const [atAda, atCleo] = await Promise.all([ada, cleo].map((page) => texts(page)));
		assert.deepEqual(atAda, atCleo, 'one order');
		assert.deepEqual([...atAda].sort(), [...want].sort(), 'each once');
		for (const who of ['ada', 'cleo'])
			assert.deepEqual(atAda.filter((text) => text.startsWith(who)), want.filter((text) => text.startsWith(who)));
		assert.equal(await cleo.locator('.gap').count(), 0);
	} finally {
		await kept.end();
	}
});
