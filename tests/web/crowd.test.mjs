// SPDX-License-Identifier: ISC
/* Twenty people, a network that is gone for a minute, and a daemon that dies. It waits a lot: a file of its own, by name the first. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { connected, launch, open, reconnecting, say, shoot, texts } from './support/browser.mjs';
import { Daemon } from './support/daemon.mjs';
import { Proxy } from './support/proxy.mjs';
import { until } from './support/raw.mjs';

const USERS = 20;
const CUT_MS = 60_000;                  // without the network
const AT_ONCE = 5;                      // pages being opened
const PATIENCE_MS = 240_000;

/** Waits until all read the same, and that is each of these texts once. */
async function allRead(all, want) {
	const sorted = [...want].sort();

	await Promise.all(all.map((page) => page.waitForFunction((count) => document.querySelectorAll('#log .text').length >= count
		&& document.querySelector('.message[data-state="pending"]') === null, want.length, { polling: 500, timeout: PATIENCE_MS })));
	const read = await Promise.all(all.map(texts));
	for (const one of read)
		assert.deepEqual([...one].sort(), sorted, 'each once');
	for (const one of read)
		assert.deepEqual(one, read[0], 'one order');
}

test('twenty people; some lose the network, the daemon is killed and comes back: every message everywhere once', async () => {
	const browser = await launch();
	const daemon = await new Daemon({ storage: { backend: 'sqlite', path: 'belfry.db' } }).start();
	const proxy = await new Proxy(daemon.port).start();
	const enter = async (url, token) => {
		const page = await open(browser, `${url}/?room=square#token=${token}`);

		await connected(page);
		await page.getByRole('heading', { name: '#square' }).waitFor();
		return page;
	};

	try {
		const all = [];
		const want = [];
		const everybodySays = async (word) => {
			want.push(...all.map((_, n) => `${word} of ${n}`));
			await Promise.all(all.map((page, n) => say(page, `${word} of ${n}`)));
		};

		for (let n = 0; n < USERS; n += AT_ONCE) {
			all.push(...await Promise.all(Array.from({ length: AT_ONCE }, (_, at) =>
				enter(at === 0 ? proxy.url : daemon.url, daemon.token(`u${n + at}`, `User ${n + at}`)))));
		}
		await everybodySays('first');
		proxy.cut();
		const minute = new Promise((resolve) => setTimeout(resolve, CUT_MS));
		await reconnecting(all[0]);
		await everybodySays('second');
		await minute;
		await daemon.stop('SIGKILL');
		await say(all[1], 'in the dark');
		want.push('in the dark');
		await all[2].getByRole('textbox', { name: 'Message', exact: true }).fill('a draft');
		await daemon.start();
		proxy.mend();
		await Promise.all(all.map(connected));
		await allRead(all, want);
		assert.equal(await all[2].getByRole('textbox', { name: 'Message', exact: true }).inputValue(), 'a draft');
		await until('twenty people', async () => await all[3].getByRole('list', { name: 'People' }).locator('.person').count() === USERS);
		assert.equal((await Promise.all(all.map((page) => page.locator('.gap, .message[data-state="pending"]').count()))).reduce((a, b) => a + b), 0);
		await shoot(all[4], 'twenty');
		assert.deepEqual(all.flatMap(({ faults }) => faults), []);
	} finally {
		await browser.close();
		await proxy.end();
		await daemon.end();
	}
});
