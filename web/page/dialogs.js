// SPDX-License-Identifier: ISC
/* What the page asks and tells in dialogs: help, invitation, another name, a sentence. */

import { make } from './dom.js';
import { hasSingleKeys, setSingleKeys } from './keys.js';
import { ask, field, openDialog, toast } from './menu.js';

const SHORTCUTS = [
	['Enter', 'send'], ['Shift + Enter', 'a new line'], ['@', 'whom you mean'], ['↑ in an empty box', 'another wording of your last message'],
	['Esc', 'close, cancel; else to the newest'], ['Alt + ↑ / ↓', 'the conversation above, below'], ['Ctrl + K', 'go to a room'],
	['Ctrl + Shift + F', 'search'], ['/', 'write'], ['?', 'this list'],
];
const AT_A_MESSAGE = [['↑ / ↓', 'the message above, below'], ['R', 'reply'], ['+', 'react'], ['E', 'edit'], ['C', 'copy the text'], ['Delete', 'delete'], ['Enter', 'all that can be done']];
const TIMES = [['600', '10 minutes'], ['3600', 'an hour'], ['86400', 'a day'], ['604800', 'a week'], ['', 'no end']];

/** @param {string[][]} keys */
const listOf = (keys) => make('dl', { class: 'keys' }, ...keys.map(([key, words]) => make('div', {}, make('dt', {}, make('kbd', {}, key)), make('dd', {}, words))));

export function showHelp() {
	const box = /** @type {HTMLInputElement} */ (make('input', { type: 'checkbox', id: 'single-keys' }));

	box.checked = hasSingleKeys();
	box.addEventListener('change', () => setSingleKeys(box.checked));
	openDialog('Keyboard', listOf(SHORTCUTS), make('p', { class: 'check' }, box, make('label', { for: 'single-keys' }, 'The single keys / and ? act outside of a box')),
		make('h3', {}, 'With the focus on a message'), listOf(AT_A_MESSAGE));
}

/** @param {string} text */
export async function copy(text) {
	try {
		await navigator.clipboard.writeText(text);
	} catch {
		const box = /** @type {HTMLTextAreaElement} */ (make('textarea', { class: 'unseen' }));
		(document.querySelector('dialog[open]') ?? document.body).append(box);
		box.value = text;
		box.select();
		document.execCommand('copy');
		box.remove();
	}
	if (document.querySelector('dialog[open]') === null)
		toast('Copied.');
}

/** A line to copy. @param {string} words @param {string} text */
function line(words, text) {
	const button = make('button', { class: 'quiet', type: 'button', 'aria-label': `Copy: ${words}` }, 'Copy');
	const code = make('code', { tabindex: '0', dir: 'ltr' }, text);

	button.addEventListener('click', () => {
		copy(text);
		button.textContent = 'Copied';
	});
	return make('div', { class: 'line' }, make('p', { class: 'line-head' }, make('span', {}, words), button), code);
}

/** @param {string} text inside '…' of a shell */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** How others come in, and programs. @param {string} room */
export function showInvite(room) {
	const base = new URL('.', location.href);
	const topic = `chat/${encodeURIComponent(room)}`;
	const invite = new URL(`?room=${encodeURIComponent(room)}`, base).href;
	const header = '-H "Authorization: Bearer $TOKEN"';

	openDialog(`Invite to #${room}`,
		line('A link for people', invite),
		make('h3', {}, 'From a terminal'),
		make('p', { class: 'hint' }, 'With a token in $TOKEN, which belfryctl token makes.'),
		line('Say something', `curl ${header} -d ${quoted('Hello from a terminal')} ${quoted(new URL(`publish/${topic}`, base).href)}`),
		line('Listen', `curl -N ${header} ${quoted(new URL(`events?topic=${topic}`, base).href)}`));
}

/** @param {string} now @returns {Promise<string | null>} */
export async function askName(now) {
	const input = make('input', { name: 'called', type: 'text', maxlength: '64', required: '', autocomplete: 'nickname', value: now });
	const said = await ask('Another name', 'Change', false, field('How do you want to be called?', input));

	return said === null ? null : String(said.get('called')).trim();
}

/** @param {string} title @param {string} ok @param {boolean} hasTime @returns {Promise<{seconds?: number, reason?: string} | null>} */
export async function askSentence(title, ok, hasTime) {
	const fields = [field('Why? It is told to the person.', make('input', { name: 'reason', type: 'text', maxlength: '200' }))];

	if (hasTime)
		fields.unshift(field('For how long?', make('select', { name: 'seconds' }, ...TIMES.map(([value, words]) => make('option', { value }, words)))));
	const said = await ask(title, ok, true, ...fields);
	if (said === null)
		return null;
	const seconds = Number(said.get('seconds'));
	return { ...(seconds > 0 ? { seconds } : {}), ...(said.get('reason') ? { reason: String(said.get('reason')) } : {}) };
}

/** @param {string} title @param {string} words @param {string} ok */
export async function confirmed(title, words, ok) {
	return await ask(title, ok, true, make('p', {}, words)) !== null;
}
