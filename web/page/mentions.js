// SPDX-License-Identifier: ISC
/*
 * Names behind an `@`: while one is being written, whoever it may mean is offered in a list over the box.
 * The focus stays in the box (aria-activedescendant); what is chosen is written as the server reads names:
 * up to four words of letters and digits, with blanks or dots between them.
 */

import { avatar, isComposing, make, nameOf } from './dom.js';

/** @typedef {import('../belfry.d.ts').User} User */

const MOST = 8;
const MOST_BYTES = 128;                 // of a name, to the server
const MOST_TYPED = 64;
const WORD = "[\\w'\\-\\u0080-\\u{10ffff}]";
const NAME = new RegExp(`^${WORD}+([ .]+${WORD}+){0,3}$`, 'u');
const BEGUN = new RegExp(`(?:^|[^\\w'\\-\\u0080-\\u{10ffff}])@((?:${WORD}+[ .]*){0,4})$`, 'u');
const REST = new RegExp(`^${WORD}*`, 'u');
const order = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });

/** Can somebody of this name be meant by it? @param {string} name */
export const isMentionable = (name) => NAME.test(name) && new TextEncoder().encode(name).length <= MOST_BYTES;

/** What differs in case, accents and width only is the same to who types. @param {string} text */
const plain = (text) => text.normalize('NFKD').replace(/\p{Mn}/gu, '').toLowerCase();

/**
 * Who may be meant, those whose name begins so first. @param {string} typed @param {User[]} users
 * @returns {User[]} nobody where there is nothing to choose: the name is written out
 */
export function matching(typed, users) {
	const begun = plain(typed).replace(/[ .]+/g, ' ');
	/** @param {User} user 0: begins so; 1: another word of it does; 2: neither */
	const rank = (user) => {
		const name = plain(nameOf(user)).replace(/[ .]+/g, ' ');
		return name.startsWith(begun) ? 0 : begun !== '' && name.includes(` ${begun}`) ? 1 : 2;
	};
	const found = users.filter((user) => isMentionable(nameOf(user)) && rank(user) < 2)
		.sort((a, b) => rank(a) - rank(b) || order.compare(nameOf(a), nameOf(b)));
	const isWhole = users.some((user) => plain(nameOf(user)) === begun.trimEnd());

	return isWhole && (found.length === 1 || begun.endsWith(' ')) ? [] : found.slice(0, MOST);
}

export class Mentions {
	/** @param {HTMLElement} list @param {HTMLTextAreaElement} box @param {() => User[]} people */
	constructor(list, box, people) {
		this.list = list;
		this.box = box;
		this.people = people;
		/** @type {User[]} */
		this.found = [];
		this.at = 0;            // the one that Enter chooses
		this.start = -1;        // of the `@`
		this.closedAt = -1;     // of an `@` that somebody wants nothing for
		box.setAttribute('aria-autocomplete', 'list');
		box.setAttribute('aria-controls', list.id);
		for (const type of ['input', 'click'])
			box.addEventListener(type, () => this.look());
		box.addEventListener('keyup', ({ key }) => ['ArrowLeft', 'ArrowRight', 'Home', 'End'].includes(key) && this.look());
		box.addEventListener('blur', () => this.close());
		list.addEventListener('mousedown', (event) => event.preventDefault());  // the focus stays in the box
		list.addEventListener('click', ({ target }) => {
			const option = /** @type {HTMLElement} */ (target).closest('[role="option"]');
			if (option !== null)
				this.choose([...list.children].indexOf(option));
		});
	}

	/** Is a name being written where the cursor is? */
	look() {
		const { selectionStart: end, selectionEnd, value } = this.box;
		const begun = end === selectionEnd ? BEGUN.exec(value.slice(Math.max(0, end - MOST_TYPED), end)) : null;

		if (begun === null) {
			this.closedAt = -1;
			return this.close();
		}
		this.start = end - begun[1].length - 1;
		if (this.start === this.closedAt)
			return this.close();
		this.found = matching(begun[1], this.people());
		this.at = 0;
		this.show();
	}

	show() {
		const isOpen = this.found.length > 0;

		this.list.replaceChildren(...this.found.map((user, n) => make('li', { role: 'option', id: `${this.list.id}-${n}`, 'aria-selected': String(n === this.at) },
			avatar(user), make('span', { class: 'person', dir: 'auto' }, nameOf(user)),
			...(this.found.some((other) => other !== user && nameOf(other) === nameOf(user)) ? [make('small', {}, user.id)] : []))));
		this.list.hidden = !isOpen;
		if (isOpen)
			this.box.setAttribute('aria-activedescendant', `${this.list.id}-${this.at}`);
		else
			this.box.removeAttribute('aria-activedescendant');
		this.list.children[this.at]?.scrollIntoView({ block: 'nearest' });
	}

	close() {
		if (this.list.hidden)
			return;
		this.found = [];
		this.show();
	}

	/** @param {KeyboardEvent} event @returns {boolean} it was for the list */
	key(event) {
		const { length } = this.found;

		if (length === 0 || isComposing(event) || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey)
			return false;
		if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
			this.at = (this.at + (event.key === 'ArrowDown' ? 1 : length - 1)) % length;
			this.show();
		} else if (event.key === 'Enter' || event.key === 'Tab') {
			this.choose(this.at);
		} else if (event.key === 'Escape') {
			this.closedAt = this.start;
			this.close();
		} else {
			return false;
		}
		event.preventDefault();
		event.stopPropagation();
		return true;
	}

	/** @param {number} n */
	choose(n) {
		const { box, start } = this;
		const user = this.found[n];

		if (user === undefined)
			return;
		const end = box.selectionStart + (REST.exec(box.value.slice(box.selectionStart))?.[0].length ?? 0);
		const isSpaced = box.value[end] === ' ';

		this.closedAt = start;
		this.close();
		box.setRangeText(`@${nameOf(user)}${isSpaced ? '' : ' '}`, start, end, 'end');
		if (isSpaced)
			box.setSelectionRange(box.selectionEnd + 1, box.selectionEnd + 1);
		box.dispatchEvent(new InputEvent('input', { bubbles: true, inputType: 'insertReplacementText' }));
	}
}
