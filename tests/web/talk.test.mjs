// SPDX-License-Identifier: ISC
/* What people do in a conversation beside talking: change, answer, react, search, moderate, go elsewhere. */

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import { Chat } from '../../web/belfry.js';
import { connected, join, reads, say, shoot, texts } from './support/browser.mjs';
import { ALL, stage } from './support/stage.mjs';

const WebSocket = createRequire(import.meta.url)('ws');
const GUESTS = { guests: true, guest_tokens_per_minute: 0 };
const { daemon, enter, visit } = stage({ auth: GUESTS, storage: { backend: 'sqlite', path: 'belfry.db' } });

/** Somebody in a room who has no page. */
async function present(room, sub, name) {
	const chat = new Chat(`${daemon.url}/`, { WebSocket, token: daemon.token(sub, name, ALL) });

	await chat.connect();
	await chat.room(room).ready;
	return chat;
}

const row = (page, text) => page.getByRole('log').locator('.message').filter({ has: page.getByText(text, { exact: true }) });
const mention = (page) => page.getByRole('log').locator('.mention');

/** Opens the menu of a message and takes one of its items. */
async function deed(page, text, item) {
	await row(page, text).hover();
	await page.getByRole('button', { name: 'More', exact: true }).click();
	await page.getByRole('menuitem', { name: item }).click();
}

test('edits, reactions, replies and deletions are seen by both, and after a reload', async () => {
	const [ada, ben] = [await enter('bells', 'ada', 'Ada'), await enter('bells', 'ben', 'Ben')];

	await say(ada, 'The bell rings at noone');
	await reads(ben, ['The bell rings at noone']);
	await deed(ada, 'The bell rings at noone', 'Edit');
	const box = ada.getByRole('textbox', { name: 'Message', exact: true });
	assert.equal(await box.inputValue(), 'The bell rings at noone');
	await box.fill('The bell rings at noon');
	await box.press('Enter');
	for (const page of [ada, ben])
		await reads(page, ['The bell rings at noon']);
	await row(ben, 'The bell rings at noon').getByText('edited', { exact: true }).waitFor();

	await row(ben, 'The bell rings at noon').hover();
	await ben.getByRole('button', { name: 'React' }).click();
	await ben.getByRole('menu').waitFor();
	await ben.keyboard.press('ArrowRight');
	await ben.keyboard.press('ArrowDown');
	await ben.keyboard.press('ArrowUp');
	await shoot(ben, 'picker');
	await ben.keyboard.press('Escape');
	await row(ben, 'The bell rings at noon').hover();
	await ben.getByRole('button', { name: 'React' }).click();
	await ben.getByRole('menuitem', { name: '🔔' }).click();
	const chip = ada.getByRole('button', { name: '🔔 1: Ben' });
	await chip.click();
	await ben.getByRole('button', { name: '🔔 2: Ben, Ada' }).or(ben.getByRole('button', { name: '🔔 2: you, Ada' })).waitFor();
	await ada.getByRole('button', { name: '🔔 2: Ben, you' }).click();
	await ada.getByRole('button', { name: '🔔 1: Ben' }).waitFor();

	await row(ben, 'The bell rings at noon').hover();
	await ben.getByRole('button', { name: 'Reply', exact: true }).click();
	await ben.getByText('Answer to Ada').waitFor();
	await shoot(ben, 'replying');
	await say(ben, 'I shall be there');
	const quote = ada.getByRole('button', { name: 'In answer to Ada The bell rings at noon' });
	await quote.click();
	await ada.locator('.message.found').filter({ hasText: 'The bell rings' }).waitFor();

	await say(ben, 'something foolish');
	await reads(ada, ['The bell rings at noon', 'I shall be there', 'something foolish']);
	await deed(ben, 'something foolish', 'Delete');
	await shoot(ben, 'deleting');
	await ben.getByRole('button', { name: 'Delete', exact: true }).click();
	const end = ['The bell rings at noon', 'I shall be there', 'This was taken back.'];
	for (const page of [ada, ben])
		await reads(page, end);
	assert.equal(await row(ben, 'This was taken back.').getByRole('button').count(), 0);
	await shoot(ada, 'changed');
	await ada.reload();
	await connected(ada);
	await reads(ada, end);
	await ada.getByRole('button', { name: '🔔 1: Ben' }).waitFor();
	await ada.getByRole('button', { name: 'In answer to Ada The bell rings at noon' }).waitFor();
	assert.equal(await row(ada, 'This was taken back.').getByRole('button').count(), 0);
});

test('with the keyboard alone: through the messages, react, edit the last, help', async () => {
	const [ada, ben] = [await enter('keys', 'ada', 'Ada'), await enter('keys', 'ben', 'Ben')];

	for (const text of ['one', 'two', 'three'])
		await say(ada, text);
	await reads(ben, ['one', 'two', 'three']);
	await ben.getByRole('log').focus();
	for (const key of ['ArrowUp', 'ArrowUp', '+', 'Enter'])
		await ben.keyboard.press(key);
	await row(ada, 'two').getByRole('button', { name: '👍 1: Ben' }).waitFor();
	for (const key of ['ArrowDown', 'r'])
		await ben.keyboard.press(key);
	await ben.getByText('Answer to Ada').waitFor();
	await ben.keyboard.press('Escape');
	await ben.getByText('Answer to Ada').waitFor({ state: 'hidden' });
	const box = ada.getByRole('textbox', { name: 'Message', exact: true });
	await box.press('ArrowUp');
	assert.equal(await box.inputValue(), 'three');
	await box.fill('four');
	await box.press('Enter');
	await reads(ben, ['one', 'two', 'four']);
	await ben.getByRole('log').focus();
	await ben.keyboard.press('?');
	await ben.getByRole('dialog', { name: 'Keyboard' }).waitFor();
	await shoot(ben, 'help');
	await ben.keyboard.press('Escape');
	await ben.getByRole('dialog').waitFor({ state: 'detached' });
	await ben.keyboard.press('Control+k');
	assert.equal(await ben.evaluate(() => document.activeElement.id), 'room');
});

test('search finds, and leads to a message far back; earlier ones come without a jump', async () => {
	await daemon.publish('chat/far', Array.from({ length: 1000 }, (_, n) => ({ message: n === 12 ? 'the needle is here' : `hay ${n}` })));
	const ada = await enter('far', 'ada', 'Ada');

	await ada.getByText('hay 999', { exact: true }).waitFor();
	await ada.getByRole('button', { name: 'Search', exact: true }).click();
	await ada.getByRole('searchbox').fill('needle');
	const found = ada.getByRole('list', { name: 'Found' }).getByRole('button');
	await found.waitFor();
	assert.equal(await found.locator('mark').textContent(), 'needle');
	await shoot(ada, 'search');
	await found.click();
	await ada.getByText('the needle is here', { exact: true }).waitFor();
	assert.ok(await ada.locator('.message.found').evaluate((node) => {
		const { top, bottom } = node.getBoundingClientRect();
		return top > 0 && bottom < innerHeight;
	}));
	await ada.getByRole('button', { name: 'To the newest ↓' }).click();
	await ada.getByText('hay 999', { exact: true }).waitFor();
});

test('what is unread is counted elsewhere, and marked where one comes back', async () => {
	const [ada, ben] = [await enter('home', 'ada', 'Ada'), await enter('home', 'ben', 'Ben')];

	await say(ben, 'before');
	await reads(ada, ['before']);
	await join(ada, 'away');
	await say(ben, 'first');
	await say(ben, 'second');
	await ada.getByRole('button', { name: 'home 2 unread' }).waitFor();
	assert.match(await ada.title(), /^\(2\) #away/);
	await shoot(ada, 'unread');
	await ada.getByRole('button', { name: 'home 2 unread' }).click();
	await reads(ada, ['before', 'first', 'second']);
	const order = await ada.getByRole('log').locator('.text, .new').allTextContents();
	assert.deepEqual(order, ['before', 'New messages', 'first', 'second']);
	assert.match(await ada.title(), /^#home/);
	await ada.reload();
	await connected(ada);
	await ada.getByRole('button', { name: 'away', exact: true }).waitFor();
	await ada.keyboard.press('Alt+ArrowUp');
	await ada.getByRole('heading', { name: '#away' }).waitFor();
});

test('who is named is told: in the row, in the list of rooms, and by the browser when asked to', async () => {
	const ben = await enter('inn', 'ben', 'Ben');
	const ada = await visit('about:blank', { permissions: ['notifications'] });

	await ada.addInitScript(() => {
		window.told = [];
		window.Notification = class {
			static permission = 'default';
			static async requestPermission() {
				return (this.permission = 'granted');
			}
			constructor(title, { body }) {
				window.told.push(`${title}: ${body}`);
			}
			close() {}
		};
		Object.defineProperty(Document.prototype, 'hidden', { get: () => window.isAway === true });
	});
	await ada.goto(`${daemon.url}/?room=inn#token=${daemon.token('ada', 'Ada')}`);
	await connected(ada);
	await ada.getByText('you look elsewhere?').waitFor();
	await ada.getByRole('button', { name: 'Tell me' }).click();
	await ada.getByRole('button', { name: 'Stop' }).waitFor();
	await say(ben, 'hello @Ada, and welcome');
	await ada.locator('.for-me .mention.me', { hasText: '@Ada' }).waitFor();
	await shoot(ada, 'mention');
	assert.deepEqual(await ada.evaluate(() => window.told), []);
	await join(ada, 'attic');
	await say(ben, '@Ada come down');
	await ada.getByRole('button', { name: 'inn @1 unread' }).waitFor();
	await ada.evaluate(() => (window.isAway = true));
	await say(ben, 'now, @Ada');
	await ada.getByRole('button', { name: 'inn @2 unread' }).waitFor();
	assert.deepEqual(await ada.evaluate(() => window.told), ['Ben in #inn: now, @Ada']);
	await daemon.publish(`user/${encodeURIComponent('ada')}`, { title: 'Door', message: 'somebody rings' });
	await ada.waitForFunction(() => window.told.length === 2);
	assert.deepEqual(await ada.evaluate(() => window.told[1]), 'Door: somebody rings');
});

test('a name behind @ is completed: by keys, by a finger, from either side, and the server knows who is meant', async () => {
	const others = [await present('guild', 'lov', 'Ada Lovelace'), await present('guild', 'noa', 'נועה כהן'), await present('guild', 'adam', 'Adam')];
	const ben = await enter('guild', 'ben', 'Ben', ALL, { hasTouch: true });
	const box = ben.getByRole('textbox', { name: 'Message', exact: true });
	const list = ben.getByRole('listbox', { name: 'Who is meant' });
	const active = () => box.evaluate((node) => document.getElementById(node.getAttribute('aria-activedescendant'))?.textContent);

	try {
		await ben.getByRole('list', { name: 'People' }).getByText('Adam', { exact: true }).waitFor();
		await box.pressSequentially('dear @a');
		await list.getByRole('option').nth(1).waitFor();
		assert.deepEqual(await list.locator('.person').allTextContents(), ['Ada Lovelace', 'Adam']);
		assert.match(await active(), /Ada Lovelace$/);
		await shoot(ben, 'naming');
		await box.press('ArrowDown');
		assert.match(await active(), /Adam$/);
		await box.press('ArrowDown');
		await box.press('Enter');
		await list.waitFor({ state: 'hidden' });
		assert.equal(await box.inputValue(), 'dear @Ada Lovelace ');
		assert.equal(await box.getAttribute('aria-activedescendant'), null);
		await box.pressSequentially('hello');
		await box.press('Enter');
		await reads(ben, ['dear @Ada Lovelace hello']);
		assert.equal(await ben.locator('.mention').textContent(), '@Ada Lovelace');

		await box.pressSequentially('@ad');
		await list.waitFor();
		await box.press('Escape');
		await list.waitFor({ state: 'hidden' });
		await box.pressSequentially('a');
		assert.ok(await list.isHidden());
		assert.equal(await box.inputValue(), '@ada');
		await box.fill('');

		await box.pressSequentially('@נ');
		await list.getByRole('option', { name: 'נועה כהן' }).tap();
		assert.equal(await box.inputValue(), '@נועה כהן ');
		assert.ok(await box.evaluate((node) => node === document.activeElement));
		await box.press('Enter');
		await box.pressSequentially('@adam');
		await ben.waitForFunction(() => document.getElementById('mentions').hidden);
		await box.press('Enter');
		await box.pressSequentially('a@b @');
		await list.getByRole('option').nth(2).waitFor();
		await box.press('Tab');
		await box.press('Enter');
		await reads(ben, ['dear @Ada Lovelace hello', '@נועה כהן', '@adam', 'a@b @Ada Lovelace']);
		await ben.getByText('@adam', { exact: true }).tap();
		await ben.getByRole('button', { name: 'React' }).tap();
		await ben.getByRole('menuitem', { name: '👍' }).tap();
		await ben.getByRole('button', { name: '👍 1: you' }).waitFor();
		await ben.reload();
		await connected(ben);
		await ben.locator('.mention').nth(3).waitFor();
		assert.deepEqual(await ben.locator('.mention').allTextContents(), ['@Ada Lovelace', '@נועה כהן', '@adam', '@Ada Lovelace']);
	} finally {
		others.forEach((chat) => chat.close());
	}
});

test('a moderator mutes, puts out and bans from the list of people; the person is told in words', async () => {
	const ann = await enter('court', 'ann', 'Ann', { ...ALL, role: 'moderator' });
	const mal = await enter('court', 'mal', 'Mal');
	const menu = async (item) => {
		await ann.getByRole('list', { name: 'People' }).getByRole('button', { name: 'Mal' }).click();
		await ann.getByRole('menuitem', { name: item }).click();
	};

	await say(mal, 'spam spam spam');
	const person = ann.getByRole('list', { name: 'People' }).getByRole('button', { name: 'Mal' });
	await shoot(ann, 'person', async () => {
		if (!await person.isVisible())
			await ann.getByRole('button', { name: 'Details' }).click();
		if (await person.getAttribute('aria-expanded') === 'false')
			await person.click();
	});
	await ann.keyboard.press('Escape');
	await person.click();
	await ann.getByRole('menuitem', { name: 'Mute…' }).click();
	await ann.getByRole('textbox', { name: /Why/ }).fill('too loud');
	await shoot(ann, 'sentence');
	await ann.getByRole('button', { name: 'Mute', exact: true }).click();
	await ann.getByText('Mal is muted.').waitFor();
	await say(mal, 'may I?');
	await mal.getByText(/not sent: .*muted.*too loud/).waitFor();
	await shoot(mal, 'muted');
	await menu('Unmute');
	await ann.getByText('Mal may write again.').waitFor();
	await mal.getByRole('button', { name: 'Try again' }).click();
	await reads(ann, ['spam spam spam', 'may I?']);
	await deed(ann, 'spam spam spam', 'Delete');
	await ann.getByRole('button', { name: 'Delete', exact: true }).click();
	await reads(mal, ['This was taken back.', 'may I?']);
	await menu('Ban…');
	await ann.getByRole('textbox', { name: /Why/ }).fill('spam');
	await ann.getByRole('button', { name: 'Ban', exact: true }).click();
	await mal.getByRole('alert').filter({ hasText: /banned by Ann.*spam/ }).waitFor();
	await shoot(mal, 'banned');
	await mal.getByRole('combobox', { name: 'Room', exact: true }).fill('court');
	await mal.getByRole('button', { name: 'Join', exact: true }).click();
	await mal.getByRole('alert').filter({ hasText: /does not let you in.*banned/ }).waitFor();
	await ann.getByRole('list', { name: 'People' }).getByText('Mal', { exact: true }).waitFor({ state: 'detached' });
});

test('invitation and curl lines are copied; another name; signing out', async () => {
	const page = await visit(`${daemon.url}/?room=it's`, { permissions: ['clipboard-read', 'clipboard-write'] });

	await join(page, "it's", 'Ada');
	await say(page, 'by Ada');
	await page.getByRole('button', { name: 'Invite' }).click();
	await shoot(page, 'invite');
	await page.getByRole('button', { name: 'Copy: A link for people' }).click();
	assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `${daemon.url}/?room=it%27s`);
	await page.getByRole('button', { name: 'Copy: Say something' }).click();
	assert.equal(await page.evaluate(() => navigator.clipboard.readText()),
		`curl -H "Authorization: Bearer $TOKEN" -d 'Hello from a terminal' '${daemon.url}/publish/chat/it'\\''s'`);
	await page.getByRole('button', { name: 'Close', exact: true }).last().click();
	await page.getByRole('button', { name: 'You are Ada' }).click();
	await page.getByRole('menuitem', { name: 'Change your name…' }).click();
	await page.getByRole('textbox', { name: /called/ }).fill('Countess');
	await page.getByRole('button', { name: 'Change', exact: true }).click();
	await page.getByRole('button', { name: 'You are Countess' }).waitFor();
	await connected(page);
	await reads(page, ['by Ada']);
	assert.equal(await page.locator('.mine').count(), 1, 'still the same guest');
	await say(page, 'by the Countess');
	await page.locator('.message[data-state="sent"]').waitFor();
	await page.getByRole('button', { name: 'You are Countess' }).click();
	await shoot(page, 'own-menu');
	await page.getByRole('button', { name: 'You are Countess' }).click();
	await page.getByRole('menuitem', { name: 'Sign out' }).click();
	assert.equal(await page.getByRole('textbox', { name: 'Name', exact: true }).inputValue(), 'Countess');
	assert.equal(await page.evaluate(() => sessionStorage.getItem('belfry.token')), null);
});

test('right to left, long words, many people: nothing sticks out', async () => {
	const ada = await enter('rtl', 'ada', 'Ada');
	const noa = await enter('rtl', 'noa', 'נועה');

	for (const text of ['שלום לכולם, הפעמון יצלצל בשתים עשרה.', 'W'.repeat(300), 'a https://example.org/' + 'x'.repeat(200), 'line\nby\nline'])
		await say(noa, text);
	await say(ada, 'مرحبا');
	await ada.locator('.message').nth(4).waitFor();
	assert.equal(await row(ada, 'שלום לכולם, הפעמון יצלצל בשתים עשרה.').locator('.text').evaluate((node) => getComputedStyle(node).direction), 'rtl');
	await shoot(ada, 'rtl');
	await ada.evaluate(() => (document.documentElement.dir = 'rtl'));
	await shoot(ada, 'rtl-page');
	assert.deepEqual((await texts(ada)).length, 5);
	assert.equal(await mention(ada).count(), 0);
});

test('directs: to one person, counted, kept over a reload, changed like others', async () => {
	const [ada, ben] = [await enter('plaza', 'ada', 'Ada'), await enter('plaza', 'ben', 'Ben')];

	await ada.getByRole('list', { name: 'People' }).getByRole('button', { name: 'Ben' }).click();
	await ada.getByRole('menuitem', { name: 'Write directly' }).click();
	await ada.getByRole('heading', { name: 'Ben' }).waitFor();
	await say(ada, 'only for you');
	await ada.locator('.message[data-state="sent"]').waitFor();
	const thread = ben.getByRole('button', { name: 'Ada 1 unread' });
	await thread.waitFor();
	await reads(ben, []);
	await thread.click();
	await reads(ben, ['only for you']);
	await say(ben, 'thank you');
	await reads(ada, ['only for you', 'thank you']);
	await deed(ben, 'thank you', 'Edit');
	await ben.getByRole('textbox', { name: 'Message', exact: true }).fill('thanks!');
	await ben.keyboard.press('Enter');
	await row(ada, 'only for you').hover();
	await ada.getByRole('button', { name: 'React' }).click();
	await ada.getByRole('menuitem', { name: '🎉' }).click();
	await ben.getByRole('button', { name: '🎉 1: Ada' }).waitFor();
	await reads(ada, ['only for you', 'thanks!']);
	await shoot(ada, 'direct');
	await ben.reload();
	await connected(ben);
	await ben.getByRole('heading', { name: 'Ada' }).waitFor();
	await reads(ben, ['only for you', 'thanks!']);
	await ben.getByRole('button', { name: '🎉 1: Ada' }).waitFor();
	assert.equal(await ben.getByRole('button', { name: /unread/ }).count(), 0);
	await ben.getByRole('textbox', { name: 'Message', exact: true }).pressSequentially('@');
	await ben.getByRole('option', { name: 'Ada', exact: true }).waitFor();
});

test('a draft outlives its tab', async () => {
	const ada = await enter('drafts', 'ada', 'Ada');
	const { token } = await ada.evaluate(() => ({ token: JSON.parse(sessionStorage.getItem('belfry.token')).secret }));

	await ada.getByRole('textbox', { name: 'Message', exact: true }).fill('begun here');
	const second = await ada.context().newPage();
	await ada.close();
	await second.goto(`${daemon.url}/?room=drafts#token=${token}`);
	await connected(second);
	assert.equal(await second.getByRole('textbox', { name: 'Message', exact: true }).inputValue(), 'begun here');
});
