// SPDX-License-Identifier: ISC
/* Chromium, and what people do with the page. */

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(import.meta.url);
const { chromium } = require('playwright-core');
const { source: AXE } = require('axe-core');

const SHOTS = path.join(process.env.BUILDDIR ?? path.resolve('build'), 'check/web');
const WIDTHS = [1280, 768, 320];
const AXED = new Set(['light 320', 'light 1280', 'dark 768']);     // every width and theme once, for it takes its time
const WCAG = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const PATIENCE_MS = 30_000;             // a busy machine, and a client that backs off

export async function launch() {
	return chromium.launch({
		executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
		args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update', '--disable-sync',
			'--disable-default-apps', '--no-first-run'],
	});
}

/** Opens a page in a profile of its own, and watches for what must never happen there. */
export async function open(browser, url, options = {}) {
	const context = await browser.newContext({ locale: 'en-GB', ...options });
	const page = await context.newPage();

	page.faults = [];
	page.on('pageerror', (error) => page.faults.push(String(error.stack ?? error)));
	page.on('console', (line) => {
		if (/Content Security Policy|Content-Security-Policy/.test(line.text()))
			page.faults.push(line.text());
	});
	page.on('request', (request) => {
		if (new URL(request.url()).hostname !== '127.0.0.1')
			page.faults.push(`asked for ${request.url()}`);
	});
	page.setDefaultTimeout(PATIENCE_MS);
	await page.goto(url);
	return page;
}

export const connected = (page) => page.getByRole('status').filter({ hasText: /^connected$/ }).waitFor();
export const reconnecting = (page) => page.getByRole('status').filter({ hasText: 'reconnecting' }).waitFor();

export async function join(page, room, name) {
	if (name !== undefined)
		await page.getByRole('textbox', { name: 'Name', exact: true }).fill(name);
	await page.getByRole('combobox', { name: 'Room', exact: true }).fill(room);
	await page.getByRole('button', { name: 'Join', exact: true }).click();
	await connected(page);
	await page.getByRole('list', { name: 'People' }).getByText(name ?? 'you', { exact: true }).waitFor();
}

export async function say(page, text) {
	const box = page.getByRole('textbox', { name: 'Message', exact: true });

	await box.fill(text);
	await box.press('Enter');
}

/** The texts of the conversation, from the top. */
export const texts = (page) => page.getByRole('log').locator('.text').allTextContents();

/** Waits until the conversation is exactly this. */
export async function reads(page, want) {
	const end = Date.now() + PATIENCE_MS;
	let have = await texts(page);

	while (JSON.stringify(have) !== JSON.stringify(want) && Date.now() < end) {
		await page.waitForTimeout(50);
		have = await texts(page);
	}
	assert.deepEqual(have, want);
}

/**
 * The page as it stands, in both themes and at three widths: nothing sticks out, axe has no complaint,
 * and a picture of each for somebody to look at. `arrange` opens at each width what another width has closed.
 */
export async function shoot(page, name, arrange = async () => {}) {
	const before = page.viewportSize();
	const complaints = new Set();

	await page.evaluate(AXE);
	for (const colorScheme of ['light', 'dark']) {
		await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
		for (const width of WIDTHS) {
			await page.setViewportSize({ width, height: width < 400 ? 640 : 800 });
			await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
			await arrange();
			await page.screenshot({ path: path.join(SHOTS, `${name}-${colorScheme}-${width}.png`) });
			const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
			assert.ok(wide <= 0, `${name} at ${width}: ${wide} pixels too wide`);
			for (const complaint of AXED.has(`${colorScheme} ${width}`) ? await violations(page) : [])
				complaints.add(`${colorScheme} ${width}: ${complaint}`);
		}
	}
	assert.deepEqual([...complaints], [], `axe on ${name}`);
	await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'no-preference' });
	await page.setViewportSize(before);
}

/** What axe finds against WCAG 2.2 AA. */
const violations = (page) => page.evaluate(async (values) => {
	const { violations: found } = await window.axe.run(document, { runOnly: { type: 'tag', values }, resultTypes: ['violations'] });

	return found.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id} ${target}: ${failureSummary}`));
}, WCAG);
