// SPDX-License-Identifier: ISC
/* <belfry-chat> in somebody else's page, under the strictest policy such a page can have. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';

import { connected, launch, open, reads, say, shoot } from './support/browser.mjs';
import { Daemon } from './support/daemon.mjs';

let browser;
let daemon;
let site;
let origin;

/** A page of the site: the element's attributes, and a script of its own. */
const hostPage = (attributes, script = '') => `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>A site</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<script type="module" src="${daemon.url}/belfry-chat.js"></script><script type="module" src="/script?${encodeURIComponent(script)}"></script></head>
<body><main><h1>A site of its own</h1><belfry-chat ${attributes}></belfry-chat></main></body></html>`;

before(async () => {
	const pages = new Map();

	site = createServer((request, response) => {
		const url = new URL(request.url, 'http://x');
		if (url.pathname === '/script')
			return response.setHeader('Content-Type', 'text/javascript').end(decodeURIComponent(url.search.slice(1)));
		response.setHeader('Content-Security-Policy', `default-src 'none'; script-src 'self' ${daemon.url}; `
			+ `connect-src ${daemon.url} ${daemon.url.replace('http', 'ws')}; require-trusted-types-for 'script'`);
		response.setHeader('Content-Type', 'text/html').end(pages.get(url.pathname) ?? '');
	}).listen(0, '127.0.0.1');
	site.pages = pages;
	await once(site, 'listening');
	origin = `http://127.0.0.1:${site.address().port}`;
	daemon = await new Daemon({ auth: { guests: true, guest_tokens_per_minute: 0 }, cors: { allow_origins: [origin] } }).start();
	browser = await launch();
});

after(async () => {
	await browser?.close();
	site.close();
	await daemon?.end();
});

async function visit(path, attributes, script) {
	site.pages.set(path, hostPage(attributes, script));
	return open(browser, origin + path);
}

test('with a token function: talks with the page, and goes to another room', async () => {
	const script = `const chat = document.querySelector('belfry-chat'); globalThis.heard = [];
		chat.addEventListener('message', ({ detail }) => heard.push(detail.content));
		chat.token = async () => ${JSON.stringify(daemon.token('ada', 'Ada'))};`;
	const ada = await visit('/token', 'room="tower"', script);
	const ben = await open(browser, `${daemon.url}/?room=tower#token=${daemon.token('ben', 'Ben')}`);

	await connected(ben);
	await connected(ada);
	await say(ada, 'from a site https://example.org/ <b>');
	await reads(ben, ['from a site https://example.org/ <b>']);
	await say(ben, 'from the page');
	await reads(ada, ['from a site https://example.org/ <b>', 'from the page']);
	assert.equal(await ada.getByRole('link').getAttribute('rel'), 'noopener noreferrer');
	assert.deepEqual(await ada.evaluate(() => globalThis.heard), ['from the page']);
	await shoot(ada, 'element');
	await ada.evaluate(() => document.querySelector('belfry-chat').setAttribute('room', 'cellar'));
	await ada.getByText('#cellar', { exact: true }).waitFor();
	await reads(ada, []);
	await say(ada, 'echo');
	await ada.locator('.message[data-state="sent"]').waitFor({ state: 'attached' });
	await ada.evaluate(() => document.querySelector('belfry-chat').remove());
	await ben.getByRole('list', { name: 'People' }).getByText('Ada', { exact: true }).waitFor({ state: 'detached' });
	assert.deepEqual([...ada.faults, ...ben.faults], []);
});

test('without a token: a guest who says a name, the same one after a reload', async () => {
	const page = await visit('/guest', 'room="yard"');

	await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Gus');
	await shoot(page, 'element-guest');
	await page.getByRole('button', { name: 'Join', exact: true }).click();
	await connected(page);
	await say(page, 'hello');
	await page.locator('.message[data-state="sent"]').waitFor({ state: 'attached' });
	await page.reload();
	await connected(page);
	await reads(page, ['hello']);
	assert.equal(await page.locator('.mine .text').count(), 1);
	assert.deepEqual(page.faults, []);
});

test('says what is wrong: no room, a room that is not granted', async () => {
	const none = await visit('/none', '');
	await none.getByRole('alert').filter({ hasText: 'missing' }).waitFor();

	const token = daemon.token('eve', 'Eve', { subscribe: ['chat/open'], publish: ['chat/open'] });
	const closed = await visit('/closed', `room="closed" token="${token}"`);
	await closed.getByRole('alert').filter({ hasText: '#closed does not let you in' }).waitFor();
});

test('one that is taken out of the page leaves nothing behind', async () => {
	const page = await visit('/gone', `room="gone" token="${daemon.token('ada', 'Ada')}"`);

	await connected(page);
	await page.evaluate(() => {
		globalThis.gone = new WeakRef(document.querySelector('belfry-chat'));
		gone.deref().remove();
	});
	const devtools = await page.context().newCDPSession(page);
	const end = Date.now() + 30_000;
	let isGone = false;
	while (!isGone && Date.now() < end) {   // its last timers may still be under way
		await page.waitForTimeout(300);
		await devtools.send('HeapProfiler.collectGarbage');
		isGone = await page.evaluate(() => gone.deref() === undefined);
	}
	assert.ok(isGone);
});
