// SPDX-License-Identifier: ISC
/* A room with a long past: little of it in the document, all of it to be read. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { join, launch, open, say, shoot } from './support/browser.mjs';
import { Daemon } from './support/daemon.mjs';

const MESSAGES = 10_000;
const BATCH = 1000;
const MOST_ELEMENTS = 3000;
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

/** Scrolls to the top; what was read there stays in its place while older messages come. */
const scrollBack = (page) => page.evaluate(async () => {
	const log = document.getElementById('log');
	const visible = () => [...log.querySelectorAll('.text')].find((node) => node.getBoundingClientRect().top >= log.getBoundingClientRect().top);
	const first = () => log.querySelector('.text').textContent;
	const was = first();
	const end = Date.now() + 30_000;

	log.scrollTop = 150;
	const read = visible();
	const top = read.getBoundingClientRect().top;
	while (first() === was && Date.now() < end)
		await new Promise(requestAnimationFrame);
	const texts = [...log.querySelectorAll('.text')].map((node) => Number(node.textContent.slice(5)));
	return {
		moved: Math.abs(read.getBoundingClientRect().top - top), isThere: read.isConnected,
		first: texts[0], isOrdered: texts.every((n, at) => at === 0 || n === texts[at - 1] + 1),
		elements: document.querySelectorAll('*').length,
	};
});

test('ten thousand messages: read back to the first one', async () => {
	for (let n = 0; n < MESSAGES; n += BATCH)
		await daemon.publish('chat/big', Array.from({ length: BATCH }, (_, at) => ({ message: `line ${n + at}` })));
	const page = await open(browser, `${daemon.url}/?room=big`);
	const log = page.getByRole('log');
	let seen = { first: Infinity };

	await join(page, 'big', 'Ada');
	await log.getByText(`line ${MESSAGES - 1}`, { exact: true }).waitFor();
	await page.getByRole('button', { name: 'Show earlier ones' }).waitFor();
	for (let steps = 0; seen.first > 0; steps++) {
		assert.ok(steps < MESSAGES / 40, `only at ${seen.first}`);
		const now = await scrollBack(page);
		assert.ok(now.first < seen.first, `stuck at ${seen.first}`);
		assert.ok(now.isThere && now.moved <= 1, `what was read has moved by ${now.moved}`);
		assert.ok(now.isOrdered);
		assert.ok(now.elements < MOST_ELEMENTS, `${now.elements} elements`);
		seen = now;
	}
	await log.getByText('line 0', { exact: true }).waitFor();
	await daemon.publish('chat/big', { message: 'the latest' });
	await page.getByRole('button', { name: '1 new ↓' }).click();
	await log.getByText('the latest', { exact: true }).waitFor();
	await page.getByText('New messages', { exact: true }).waitFor();
	await shoot(page, 'long');
	const start = Date.now();
	await say(page, 'quick');
	await log.getByText('quick', { exact: true }).waitFor();
	console.log(`      a message of one's own is shown after ${Date.now() - start} ms`);
	assert.deepEqual(page.faults, []);
});

test('three thousand messages at once are followed', async () => {
	const page = await open(browser, `${daemon.url}/?room=burst`);
	const all = Array.from({ length: 3 * BATCH }, (_, n) => ({ message: `line ${n}` }));

	await join(page, 'burst', 'Ada');
	for (let n = 0; n < all.length; n += BATCH)
		await daemon.publish('chat/burst', all.slice(n, n + BATCH));
	await page.getByRole('log').getByText(`line ${all.length - 1}`, { exact: true }).waitFor();
	await page.waitForFunction(() => {
		const log = document.getElementById('log');
		return log.scrollHeight - log.scrollTop - log.clientHeight < 2;
	});
	const rows = await page.locator('.text').allTextContents();
	assert.ok(rows.length < 300);
	assert.deepEqual(rows, all.slice(-rows.length).map(({ message }) => message));
	assert.deepEqual(page.faults, []);
	await page.close();
});

test('addresses are links, and nothing else is', async () => {
	const page = await open(browser, `${daemon.url}/?room=links`);
	const says = [
		['see https://example.org/a_(b)?q=1&r=<x>.', ['https://example.org/a_(b)?q=1&r=']],
		['(https://example.org/x), http://b.example!', ['https://example.org/x', 'http://b.example/']],
		['javascript:alert(1) data:text/html,x file:///etc HTTPS://OK.example', ['https://ok.example/']],
		['https:// http://[ https://"onclick=x', []],
		['<a href="https://evil.example/">x</a>', ['https://evil.example/']],
	];

	await join(page, 'links', 'Ada');
	for (const [at, [text, want]] of says.entries()) {
		await say(page, text);
		const row = page.getByRole('log').locator('.message').nth(at).locator('.text');
		await row.waitFor();
		assert.equal(await row.textContent(), text);
		assert.deepEqual(await row.locator('a').evaluateAll((nodes) => nodes.map((a) => a.href)), want);
		assert.ok(await row.locator('a').evaluateAll((nodes) => nodes.every((a) => a.rel === 'noopener noreferrer' && a.target === '_blank')));
	}
	assert.deepEqual(page.faults, []);
});
