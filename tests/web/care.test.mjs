// SPDX-License-Identifier: ISC
/* What people meet with on a bad day: a browser that keeps nothing, a server that is not there, words that are refused, other input than a mouse. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { join, reads, say, shoot } from './support/browser.mjs';
import { ALL, stage } from './support/stage.mjs';

const { daemon, enter, visit } = stage({ auth: { guests: true, guest_tokens_per_minute: 0 } });

const box = (page) => page.getByRole('textbox', { name: 'Message', exact: true });
const row = (page, text) => page.getByRole('log').locator('.message').filter({ has: page.getByText(text, { exact: true }) });

async function go(page, room) {
	await page.getByRole('combobox', { name: 'Room', exact: true }).fill(room);
	await page.getByRole('button', { name: 'Join', exact: true }).click();
	await page.getByRole('heading', { name: `#${room}` }).waitFor();
}

test('the Enter that ends a composition does not send, in any browser', async () => {
	const page = await enter('ime', 'ada', 'Ada');

	await box(page).fill('にほん');
	for (const how of [{ isComposing: true }, { keyCode: 229 }])
		await box(page).evaluate((node, more) => node.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true, ...more })), how);
	assert.equal(await box(page).inputValue(), 'にほん');
	await box(page).press('Enter');
	await reads(page, ['にほん']);
});

test('what was refused stays: in its room, in the box, until somebody sends it', async () => {
	const page = await enter('quiet', 'mia', 'Mia', { subscribe: ['chat/*', 'user/mia'], publish: ['chat/loud'], direct: [] });
	const much = 'x'.repeat(70_000);

	await say(page, 'may I?');
	await row(page, 'may I?').getByRole('button', { name: 'Try again' }).waitFor();
	await go(page, 'loud');
	await say(page, 'here I may');
	await box(page).fill(much);
	await box(page).press('Enter');
	await page.getByText('That is too long for one message.').waitFor();
	assert.equal(await box(page).inputValue(), much);
	await shoot(page, 'too-long', () => box(page).press('Enter'));
	await box(page).fill('');
	await go(page, 'quiet');
	await row(page, 'may I?').getByRole('button', { name: 'Try again' }).waitFor();
	await reads(page, ['may I?']);
});

test('another wording that cannot be sent comes back to the box', async () => {
	const page = await enter('words', 'ada', 'Ada');

	await say(page, 'first');
	await page.locator('.message[data-state="sent"]').waitFor();
	await box(page).press('ArrowUp');
	await page.getByText('Another wording').waitFor();
	await box(page).fill('second');
	await page.context().setOffline(true);
	await page.evaluate(async () => {
		const { Room } = await import('./belfry.js');
		const { edit } = Room.prototype;
		Room.prototype.edit = async () => {
			Room.prototype.edit = edit;
			throw Object.assign(new Error('no line'), { code: 'closed' });
		};
	});
	await page.context().setOffline(false);
	await box(page).press('Enter');
	await page.getByText('Not now: there is no line to the server.').waitFor();
	assert.equal(await box(page).inputValue(), 'second');
	await box(page).press('Enter');
	await reads(page, ['second']);
});

test('one\'s own message is one row from the first moment, read out once', async () => {
	const page = await enter('once', 'ada', 'Ada');
	const ben = await enter('once', 'ben', 'Ben');

	await say(ben, 'old');
	await reads(page, ['old']);
	await page.locator('#log:not([aria-live])').waitFor();
	await page.evaluate(() => new MutationObserver((changes) => {
		window.added = (window.added ?? 0) + changes.flatMap(({ addedNodes }) => [...addedNodes]).filter((node) => node.matches?.('.message')).length;
	}).observe(document.getElementById('log'), { childList: true }));
	await say(page, 'mine');
	await page.locator('.message[data-state="sent"][data-id]').waitFor();
	assert.equal(await page.evaluate(() => window.added), 1);
	await go(page, 'elsewhere');
	await page.getByRole('button', { name: 'once', exact: true }).click();
	assert.equal(await page.getByRole('log').getAttribute('aria-live'), 'off');
	await page.locator('#log:not([aria-live])').waitFor();
});

test('a press on a list is a click, whatever comes in between', async () => {
	const page = await enter('here', 'ada', 'Ada');
	const ben = await enter('there', 'ben', 'Ben');

	await go(page, 'there');
	await go(page, 'here');
	const place = page.getByRole('button', { name: /^there/ });
	const { x, y, width, height } = await place.boundingBox();
	await page.mouse.move(x + width / 2, y + height / 2);
	await page.mouse.down();
	await say(ben, 'hello');
	await page.getByRole('button', { name: 'there 1 unread' }).waitFor();
	await page.mouse.up();
	await page.getByRole('heading', { name: '#there' }).waitFor();
	const person = await page.getByRole('list', { name: 'People' }).getByRole('button', { name: 'Ben' }).elementHandle();
	const cleo = await enter('there', 'cleo', 'Cleo');
	await page.getByRole('list', { name: 'People' }).getByRole('button', { name: 'Cleo' }).waitFor();
	assert.ok(await person.evaluate((node) => node.isConnected));
	await cleo.close();
});

test('a browser that keeps nothing is no obstacle', async () => {
	const page = await visit('about:blank');

	await page.addInitScript(() => {
		for (const name of ['localStorage', 'sessionStorage']) {
			Object.defineProperty(window, name, { get() {
				throw new DOMException('forbidden', 'SecurityError');
			} });
		}
	});
	await page.goto(`${daemon.url}/?room=nowhere`);
	await join(page, 'nowhere', 'Ada');
	await say(page, 'hello');
	await reads(page, ['hello']);
});

test('a link with a token counts in a page that is open', async () => {
	const page = await enter('links', 'ada', 'Ada');

	await page.evaluate((token) => (location.hash = `token=${token}`), daemon.token('ben', 'Ben', ALL));
	await page.getByRole('button', { name: /You are Ben/ }).waitFor();
	assert.equal(new URL(page.url()).hash, '');
});

test('a server that is not there at first is waited for', async () => {
	const page = await visit('about:blank');
	let failures = 1;

	await page.route(/\/token$/, (route) => failures-- > 0 ? route.abort() : route.continue());
	await page.goto(`${daemon.url}/?room=late`);
	await page.getByText('The server cannot be reached. Trying again…').waitFor();
	await join(page, 'late', 'Ada');
});

test('a connection that was ended from outside is begun anew by joining', async () => {
	const page = await enter('ended', 'ada', 'Ada');
	const headers = { Authorization: `Bearer ${daemon.token('root', 'Root', { ...ALL, role: 'admin' })}` };

	await say(page, 'before');
	await page.locator('.message[data-state="sent"]').waitFor();
	const { connections } = await (await fetch(`${daemon.url}/api/connections`, { headers })).json();
	for (const { id, user } of connections.filter((one) => JSON.stringify(one).includes('"ada"')))
		assert.ok((await fetch(`${daemon.url}/api/connections/${id}`, { method: 'DELETE', headers })).ok, `${user}`);
	await page.getByRole('alert').filter({ hasText: 'administrator' }).waitFor();
	assert.match(await page.locator('#door-lead').textContent(), /You are Ada/);
	await join(page, 'ended');
	await say(page, 'after');
	await reads(page, ['before', 'after']);
	await page.locator('.message[data-state="sent"]').waitFor();
});

test('on a phone the focus goes where the eye is; a found message has it', async () => {
	const page = await enter('small', 'ada', 'Ada');

	await page.setViewportSize({ width: 360, height: 640 });
	await say(page, 'needle');
	await page.getByRole('button', { name: 'Details' }).press('Enter');
	assert.equal(await page.evaluate(() => document.activeElement.id), 'panels');
	await page.getByRole('button', { name: 'Search' }).focus();
	await page.locator('#panels').waitFor({ state: 'hidden' });
	await page.keyboard.press('Enter');
	await page.getByRole('searchbox', { name: 'Words' }).fill('needle');
	await page.locator('.found-item').click();
	await page.locator('.message.found').waitFor();
	await page.waitForTimeout(100);         // the dialog's own end comes a little later
	assert.ok(await page.evaluate(() => document.activeElement.matches('.message')));
});

test('a message that is taken back with the keyboard keeps the focus', async () => {
	const page = await enter('gone', 'ada', 'Ada');

	await say(page, 'oops');
	await page.locator('.message[data-state="sent"]').waitFor();
	await page.getByRole('log').focus();
	for (const key of ['ArrowUp', 'Enter', 'End', 'Enter'])
		await page.keyboard.press(key);
	await page.getByRole('dialog').waitFor();
	await page.keyboard.press('Enter');
	await reads(page, ['This was taken back.']);
	await page.waitForFunction(() => document.activeElement.matches('.message'));
	assert.equal(await row(page, 'This was taken back.').getByRole('button').count(), 0);
});

test('the single keys can be turned off', async () => {
	const page = await enter('keys', 'ada', 'Ada');

	await page.getByRole('log').focus();
	await page.keyboard.press('?');
	await shoot(page, 'keys');
	await page.getByRole('checkbox', { name: /single keys/ }).uncheck();
	await page.keyboard.press('Escape');
	await page.getByRole('log').focus();
	await page.keyboard.press('?');
	assert.equal(await page.getByRole('dialog').count(), 0);
});
