// SPDX-License-Identifier: ISC
/* One daemon and one browser for all tests of a file; what went wrong in a page fails the test that opened it. */

import assert from 'node:assert/strict';
import { after, afterEach, before } from 'node:test';

import { connected, launch, open } from './browser.mjs';
import { Daemon } from './daemon.mjs';

export const ALL = { subscribe: ['**', 'user/**'], publish: ['**'], direct: ['*'] };

/** To be called once, where a file begins. */
export function stage(settings) {
	const daemon = new Daemon(settings);
	const pages = [];
	let browser;

	before(async () => {
		await daemon.start();
		browser = await launch();
	});

	after(async () => {
		await browser?.close();
		await daemon.end();
	});

	afterEach(async () => {
		const faults = pages.flatMap((page) => page.faults);

		await Promise.all(pages.splice(0).map((page) => page.context().close()));
		assert.deepEqual(faults, []);
	});

	/** A page that is closed after the test. */
	async function visit(url, options) {
		const page = await open(browser, url, options);

		pages.push(page);
		return page;
	}

	/** Somebody with a token, in a room. */
	async function enter(room, sub, name, grants = ALL, options = {}) {
		const page = await visit(`${daemon.url}/?room=${room}#token=${daemon.token(sub, name, grants)}`, options);

		await connected(page);
		await page.getByRole('list', { name: 'People' }).getByText(name, { exact: true }).waitFor();
		return page;
	}

	return { daemon, enter, visit };
}
