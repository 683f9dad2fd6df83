// SPDX-License-Identifier: ISC
/* Searching what was said where one is. */

import { isComposing, make, nameOf } from './dom.js';
import { openDialog } from './menu.js';

const WAIT_MS = 250;
const FOUND = 50;
const when = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

/**
 * @param {string} title @param {(query: {q: string, limit: number, before?: number}) => Promise<{messages: any[], more: boolean}>} history
 * @param {(id: number) => void} goTo
 */
export function openSearch(title, history, goTo) {
	const input = /** @type {HTMLInputElement} */ (make('input', { id: 'search-words', type: 'search', maxlength: '200', enterkeyhint: 'search' }));
	const said = make('p', { class: 'hint', role: 'status' });
	const list = make('ul', { class: 'found-list', role: 'list', 'aria-label': 'Found' });
	const dialog = openDialog(`Search ${title}`, make('p', { class: 'field' }, make('label', { for: 'search-words' }, 'Words'), input), said, list);
	let turn = 0;
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	let timer;

	/** @param {number} [before] */
	async function search(before) {
		const mine = ++turn;
		const q = input.value.trim();

		if (before === undefined)
			list.replaceChildren();
		if (q === '') {
			said.textContent = '';
			return;
		}
		said.textContent = 'Searching…';
		try {
			const { messages, more } = await history({ q, limit: FOUND, ...(before === undefined ? {} : { before }) });
			if (mine !== turn)
				return;
			list.querySelector('.more')?.remove();
			list.append(...messages.reverse().map((message) => item(message, q)));
			if (more)
				list.append(older(messages.at(-1)?.id));
			const count = list.querySelectorAll('.found-item').length;
			said.textContent = count === 0 ? 'Nothing found.' : count === 1 ? 'One message.' : `${count} messages${more ? ', and there are more' : ''}.`;
		} catch (error) {
			if (mine === turn)
				said.textContent = `It cannot be searched now: ${/** @type {Error} */ (error).message}`;
		}
	}

	/** @param {any} message @param {string} q */
	function item(message, q) {
		const button = make('button', { class: 'found-item', type: 'button' },
			make('span', { class: 'found-head' }, make('b', { dir: 'auto' }, nameOf(message.from)), ' ', make('time', {}, when.format(new Date(message.time)))),
			make('span', { class: 'found-text', dir: 'auto' }, ...marked(message.content ?? '', q)));

		button.addEventListener('click', () => {
			dialog.close();
			goTo(message.id);
		});
		return make('li', {}, button);
	}

	/** @param {number} before */
	function older(before) {
		const button = make('button', { class: 'quiet', type: 'button' }, 'Older ones');

		button.addEventListener('click', () => search(before));
		return make('li', { class: 'more' }, button);
	}

	input.addEventListener('input', () => {
		clearTimeout(timer);
		timer = setTimeout(search, WAIT_MS);
	});
	input.addEventListener('keydown', (event) => {
		if (isComposing(event))
			return;
		if (event.key === 'Enter') {
			event.preventDefault();
			clearTimeout(timer);
			search();
		} else if (event.key === 'ArrowDown') {
			event.preventDefault();
			list.querySelector('button')?.focus();
		}
	});
	list.addEventListener('keydown', (event) => {
		const all = [...list.querySelectorAll('button')];
		const at = all.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
		const to = event.key === 'ArrowDown' ? at + 1 : event.key === 'ArrowUp' ? at - 1 : undefined;
		if (to === undefined)
			return;
		event.preventDefault();
		(to < 0 ? input : all[Math.min(to, all.length - 1)]).focus();
	});
	input.addEventListener('keydown', (event) => {
		if (event.key !== 'Escape' || isComposing(event))
			return;
		event.preventDefault();         // or it would empty the box first
		event.stopPropagation();
		dialog.close();
	});
	input.focus();
}

/** The words that were searched for stand out. @param {string} text @param {string} q */
function marked(text, q) {
	const lower = text.toLowerCase();
	const words = q.toLowerCase().split(/[\s"*]+/).filter((word) => word !== '');
	/** @type {Array<HTMLElement | string>} */
	const parts = [];
	let at = 0;

	while (lower.length === text.length && at < text.length) {
		const next = words.map((word) => ({ word, found: lower.indexOf(word, at) })).filter(({ found }) => found >= 0).sort((a, b) => a.found - b.found)[0];
		if (next === undefined)
			break;
		parts.push(text.slice(at, next.found), make('mark', {}, text.slice(next.found, next.found + next.word.length)));
		at = next.found + next.word.length;
	}
	return [...parts, text.slice(at)];
}
