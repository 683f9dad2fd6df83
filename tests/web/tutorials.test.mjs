// SPDX-License-Identifier: ISC
/* The pages and scripts of examples/tutorials, with nothing but address and token filled in. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { promisify } from 'node:util';

import { launch } from './support/browser.mjs';
import { Daemon, ROOT } from './support/daemon.mjs';

const TUTORIALS = path.join(ROOT, 'examples/tutorials');
const run = promisify(execFile);

let daemon;
let browser;
let site;
let origin;
const contexts = [];

before(async () => {
	site = createServer(async (request, response) => {
		try {
			const file = path.join(TUTORIALS, path.basename(new URL(request.url, 'http://x').pathname));
			response.setHeader('Content-Type', 'text/html').end(await readFile(file));
		} catch {
			response.writeHead(404).end();
		}
	}).listen(0, '127.0.0.1');
	await once(site, 'listening');
	origin = `http://127.0.0.1:${site.address().port}`;
	daemon = await new Daemon({ cors: { allow_origins: [origin] } }).start();
	browser = await launch();
});

after(async () => {
	await browser?.close();
	await daemon?.end();
	site.close();
});

afterEach(() => Promise.all(contexts.splice(0).map((context) => context.close())));

async function show(file, name, more = {}) {
	const context = await browser.newContext();
	const page = await context.newPage();
	const token = daemon.token(name.toLowerCase(), name);
	const server = /WebSocket\(/.test(await readFile(path.join(TUTORIALS, file), 'utf8')) ? daemon.url.replace('http', 'ws') : daemon.url;

	contexts.push(context);
	page.setDefaultTimeout(10_000);
	await page.goto(`${origin}/${file}?${new URLSearchParams({ server, token, ...more })}`);
	return page;
}

async function send(page, text) {
	await page.getByPlaceholder('Say something').fill(text);
	await page.getByRole('button', { name: 'Send' }).click();
}

const script = (name, times) => run(path.join(TUTORIALS, name), [String(times)], {
	env: { ...process.env, BELFRY_URL: daemon.url, BELFRY_TOKEN: daemon.token('feed', 'Feed'), PAUSE: '0.02' },
});

/** Waits until the element's text is this. */
async function becomes(locator, want) {
	await locator.filter({ hasText: want }).waitFor();
}

test('plain-chat.html: lines like <Ada>: hi', async () => {
	const ada = await show('plain-chat.html', 'Ada');
	await becomes(ada.locator('#log'), '* connected');
	const ben = await show('plain-chat.html', 'Ben');

	await becomes(ada.locator('#log'), '* Ben joined');
	await send(ben, 'hi Ada');
	await becomes(ada.locator('#log'), '<Ben>: hi Ada');
	await send(ada, 'hi Ben');
	await becomes(ben.locator('#log'), '<Ada>: hi Ben');
	assert.equal(await ada.locator('#log').textContent(), '* connected\n* Ben joined\n<Ben>: hi Ada\n<me>: hi Ben\n');
});

test('json-chat.html: Join and Chat in any case of letters', async () => {
	const ada = await show('json-chat.html', 'Ada', { room: 'json' });
	await becomes(ada.locator('#who'), '1 in json');
	const ben = await show('json-chat.html', 'Ben', { room: 'json' });

	await becomes(ben.locator('#who'), '2 in json');
	await becomes(ada.locator('#messages'), 'Ben came in');
	await send(ada, 'hello');
	await becomes(ben.locator('#messages'), 'Ada: hello');
	assert.deepEqual(await ada.locator('#messages li').allTextContents(), ['Ben came in', 'Me: hello']);
});

test('echo.html: text and bytes come back', async () => {
	const page = await show('echo.html', 'Ada');

	await becomes(page.locator('#log'), 'bytes: 1,2,3');
	await page.getByRole('button', { name: 'Send' }).click();
	await becomes(page.locator('#log'), 'Hello, is anybody there?');
	assert.equal(await page.locator('#log').textContent(), 'text: Hello\nbytes: 1,2,3\ntext: Hello, is anybody there?\n');
});

test('counter.html: onmessage, fed by counter.sh', async () => {
	const page = await show('counter.html', 'Ada');

	await page.waitForFunction(() => source.readyState === EventSource.OPEN);
	await script('counter.sh', 3);
	await page.waitForFunction(() => document.getElementById('count').textContent === '3');
});

test('notifications.html: addEventListener(notification)', async () => {
	const page = await show('notifications.html', 'Ada');

	await page.waitForFunction(() => source.readyState === EventSource.OPEN);
	await daemon.publish('notifications', { title: 'Backup', message: 'done' });
	await becomes(page.locator('#list li'), 'Backup: done');
	await run('curl', ['-fsS', '-d', 'Deploy finished', '-H', `Authorization: Bearer ${daemon.token('x', 'X')}`, `${daemon.url}/publish/notifications`]);
	await becomes(page.locator('#list li').first(), 'Deploy finished');
});

test('prices.html: events named price, published by prices.sh', async () => {
	const page = await show('prices.html', 'Ada');

	await page.waitForFunction(() => source.readyState === EventSource.OPEN);
	await script('prices.sh', 2);
	await page.waitForFunction(() => document.querySelectorAll('#prices tr').length === 2);
	await page.waitForFunction(() => /BELL9[0-9]{1,2}\.[0-9]{2}|BELL10[0-9]\.[0-9]{2}/.test(document.getElementById('prices').textContent));
});

test('sse-chat.html: an id from `user`, text posted to /chat/<id>', async () => {
	const ada = await show('sse-chat.html', 'Ada', { room: 'sse' });
	const ben = await show('sse-chat.html', 'Ben', { room: 'sse' });

	for (const page of [ada, ben])
		await becomes(page.locator('#status'), 'connected');
	await send(ada, 'no socket needed');
	await becomes(ben.locator('#log'), 'Ada: no socket needed');
	await send(ben, 'indeed');
	await becomes(ada.locator('#log'), 'Ben: indeed');
	assert.equal(await ada.locator('#log').textContent(), 'me: no socket needed\nBen: indeed\n');
});
