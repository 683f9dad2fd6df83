// SPDX-License-Identifier: ISC
/* Bad weather: tabs that sleep, tokens that end, words that are weapons, clients of every kind. */

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { promisify } from 'node:util';

import { connected, join, launch, open, reads, say, shoot } from './support/browser.mjs';
import { Daemon } from './support/daemon.mjs';
import { RawBrowser, until } from './support/raw.mjs';

const require = createRequire(import.meta.url);
const WebSocket = require('ws');
const run = promisify(execFile);
let browser;
let daemons = [];
let pages = [];

before(async () => {
	browser = await launch();
});

after(() => browser?.close());

afterEach(async () => {
	const faults = pages.flatMap((page) => page.faults ?? []);

	await Promise.all(pages.splice(0).map((page) => page.context().close()));
	await Promise.all(daemons.splice(0).map((daemon) => daemon.end()));
	assert.deepEqual(faults, []);
});

async function start(settings) {
	const daemon = await new Daemon(settings).start();

	daemons.push(daemon);
	return daemon;
}

async function enter(url, room, token) {
	const page = await open(browser, `${url}/?room=${encodeURIComponent(room)}#token=${token}`);

	pages.push(page);
	await connected(page);
	await page.getByRole('heading', { name: `#${room}` }).waitFor();
	return page;
}

test('tabs of one user share a connection; the one that has it sleeps, and wakes up; another is closed', async () => {
	const daemon = await start();
	const raw = await new RawBrowser().start();
	const url = `${daemon.url}/?room=tower#token=${daemon.token('ada', 'Ada')}`;
	const connections = async () => (await (await fetch(`${daemon.url}/api/connections`, { headers: { Authorization: `Bearer ${admin}` } })).json()).connections
		.filter((one) => JSON.stringify(one).includes("ada")).length;
	const admin = daemon.token('root', 'Root', { subscribe: [], publish: [], direct: [], role: 'admin' });
	const send = (tab, text) => tab.evaluate(`{ const box = document.getElementById('message'); box.value = ${JSON.stringify(text)}; document.getElementById('composer').requestSubmit(); }`);
	const rows = (tab) => tab.evaluate("JSON.stringify([...document.querySelectorAll('#log .text')].map((node) => node.textContent))");
	const read = (tabs, want) => Promise.all(tabs.map((tab) => until(`${want}`, async () => await rows(tab) === JSON.stringify(want))));

	try {
		const tabs = [];
		for (let n = 0; n < 3; n++) {
			const tab = await raw.open(url);
			await until('connected', () => tab.evaluate("document.getElementById('connection')?.textContent === 'connected' && document.title.startsWith('#tower')"));
			tabs.push(tab);
		}
		const [first, second, third] = tabs;
		const ben = await enter(daemon.url, 'tower', daemon.token('ben', 'Ben'));

		assert.equal(await connections(), 1);
		await send(second, 'one');
		await read(tabs, ['one']);
		await say(ben, 'two');
		await read(tabs, ['one', 'two']);
		await third.evaluate("document.getElementById('message').value = 'begun'");
		await first.sleep();
		await say(ben, 'three');
		await read([second, third], ['one', 'two', 'three']);
		await send(second, 'four');
		await reads(ben, ['one', 'two', 'three', 'four']);
		await read([second, third], ['one', 'two', 'three', 'four']);
		await first.wake();
		await read(tabs, ['one', 'two', 'three', 'four']);
		await second.close();
		await say(ben, 'five');
		await read([first, third], ['one', 'two', 'three', 'four', 'five']);
		await send(first, 'six');
		await reads(ben, ['one', 'two', 'three', 'four', 'five', 'six']);
		await read([first, third], ['one', 'two', 'three', 'four', 'five', 'six']);
		assert.equal(await third.evaluate("document.getElementById('message').value"), 'begun');
		assert.equal(await connections(), 1);
	} finally {
		await raw.end();
	}
});

test('a guest\'s token is renewed before it ends; one that cannot be is told in words', async () => {
	const daemon = await start({ auth: { guests: true, guest_ttl: '34s', leeway: '1s' } });
	const page = await open(browser, 'about:blank');
	const frames = [];

	pages.push(page);
	page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => frames.push(String(payload))));
	await page.goto(`${daemon.url}/?room=tower`);
	await join(page, 'tower', 'Ada');
	const short = daemon.token('ben', 'Ben', undefined, 4);
	const ben = await open(browser, `${daemon.url}/?room=tower#token=${short}`);
	pages.push(ben);
	await connected(ben);
	await say(ben, 'before it ends');
	await reads(page, ['before it ends']);
	await ben.getByText(/exp was \d+ s ago/).first().waitFor();
	await shoot(ben, 'ended');
	const end = Date.now() + 30_000;
	while (!frames.some((text) => text.includes('"refresh"')) && Date.now() < end)
		await page.waitForTimeout(100);
	assert.ok(frames.some((text) => text.includes('"refresh"')));
	await say(page, 'still here');
	await page.locator('.message[data-state="sent"]').waitFor();
});

test('words that are weapons are words', async () => {
	const daemon = await start({ auth: { guests: true } });
	const evil = '"\'><img src=x onerror="window.pwned=1"><script>window.pwned=1</script><svg onload=pwned=1>${7*7}{{7*7}}';
	const short = '<img src=x onerror=pwned=1>';
	const room = '<b onclick=pwned=1>&amp;"\'';
	const ada = await enter(daemon.url, room, daemon.token('ada', short));
	const socket = new WebSocket(`${daemon.url.replace('http', 'ws')}/chat?room=${encodeURIComponent(room)}`, ['belfry.v1', `bearer.${daemon.token('<i>mal</i>', evil.slice(0, 60))}`]);
	const answers = [];
	const ask = async (message) => {
		const ref = `r${answers.length}-${Math.random()}`;
		socket.send(JSON.stringify({ ...message, ref }));
		for (;;) {
			const found = answers.find((one) => one.ref === ref);
			if (found)
				return found;
			await new Promise((resolve) => setTimeout(resolve, 10));
		}
	};

	socket.on('message', (text) => answers.push(JSON.parse(text)));
	await new Promise((resolve) => socket.once('open', resolve));
	await say(ada, evil);
	const { id } = await ask({ type: 'chat', room, content: evil });
	await ask({ type: 'chat', room, content: `@${short} ${evil}`, reply_to: id, data: { evil } });
	await ask({ type: 'react', room, target: id, emoji: short.replaceAll(' ', '/') });
	await ask({ type: 'edit', room, target: id, content: `${evil}!` });
	await ask({ type: 'direct', to: 'ada', content: evil });
	for (const click of ['javascript:pwned=1', 'JaVaScRiPt:pwned=1', ' javascript:pwned=1', 'data:text/html,<script>pwned=1</script>', 'vbscript:x', '//evil.example/x', 'https://ok.example/"onclick="pwned=1']) {
		await daemon.publish('notifications', { title: evil, message: evil, tags: [short, 'javascript:x'], click, priority: 5 });
	}
	await daemon.publish('notifications', { event: 'evil-event', data: { [evil]: evil } });
	await daemon.publish(`user/${encodeURIComponent('ada')}`, { message: 'javascript:pwned=1 http://ok.example/<script>' });
	await ada.getByRole('log').getByText(`${evil}!`, { exact: true }).waitFor();
	await ada.getByRole('list', { name: 'Notifications' }).getByText('evil-event').waitFor();
	await ada.getByRole('button', { name: 'Invite' }).click();
	await ada.getByRole('dialog').waitFor();
	await ada.keyboard.press('Escape');
	await ada.getByRole('button', { name: 'Search', exact: true }).click();
	await ada.getByRole('searchbox').fill('img');
	await ada.getByRole('list', { name: 'Found' }).getByRole('button').first().waitFor();
	await ada.getByRole('button', { name: 'Close', exact: true }).last().click();
	await ada.getByRole('list', { name: 'People' }).getByRole('button').first().click();
	await ada.getByRole('menuitem', { name: 'Mention' }).click();
	await ada.reload();
	await connected(ada);
	await ada.getByRole('log').getByText(`${evil}!`, { exact: true }).waitFor();
	assert.equal(await ada.evaluate(() => window.pwned), undefined);
	assert.equal(await ada.locator('main img, main script, main iframe, main b, main i, body > script, .log svg, .panels svg, .places svg').count(), 0);
	const hrefs = await ada.locator('a').evaluateAll((nodes) => nodes.map((a) => a.protocol));
	assert.deepEqual(hrefs.filter((protocol) => !['http:', 'https:'].includes(protocol)), []);
	assert.equal(await ada.locator('[onclick], [onerror], [onload], [style*="url"]').count(), 0);
	await shoot(ada, 'weapons');
	socket.close();
});

test('wscat, curl and the page are in one room', async () => {
	const daemon = await start({ auth: { guests: true } });
	const token = daemon.token('cleo', 'Cleo');
	const page = await enter(daemon.url, 'tower', daemon.token('ada', 'Ada'));
	const address = `${daemon.url.replace('http', 'ws')}/chat?room=tower&format=text&access_token=${daemon.token('wes', 'Wes')}`;
	const wscat = spawn(process.execPath, [path.join(path.dirname(require.resolve('wscat/package.json')), 'bin/wscat'), '--no-color', '-c', address]);
	const curl = async (...args) => (await run('curl', ['-sS', '-m', '20', '-H', `Authorization: Bearer ${token}`, ...args])).stdout;
	let said = '';

	wscat.stdout.on('data', (text) => { said += text; });
	wscat.stderr.on('data', (text) => { said += text; });
	try {
		await page.getByRole('list', { name: 'People' }).getByText('Wes', { exact: true }).waitFor();
		wscat.stdin.write('from a terminal\n');
		await reads(page, ['from a terminal']);
		assert.match(await curl('-d', 'from curl', `${daemon.url}/publish/chat/tower`), /"id":\d{16}/);
		await say(page, 'from the page');
		await reads(page, ['from a terminal', 'from curl', 'from the page']);
		await until('what wscat prints', () => said.includes('<Ada>: from the page')).catch((error) => { throw new Error(`${error.message}: ${said}`); });
		assert.deepEqual([...said.matchAll(/<\w+>: .*/g)].map(([line]) => line.trim()), ['<Cleo>: from curl', '<Ada>: from the page']);
		const events = await curl(`${daemon.url}/events?topic=chat/tower&after=all&wait=0`);
		assert.deepEqual([...events.matchAll(/"content":"([^"]*)"/g)].map(([, text]) => text), ['from a terminal', 'from curl', 'from the page']);
	} finally {
		wscat.kill();
	}
});
