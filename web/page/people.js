// SPDX-License-Identifier: ISC
/* Who is in the room, and who is writing. */

import { avatar, byId, make, nameOf } from './dom.js';

/** @typedef {import('../belfry.d.ts').User} User */

const order = new Intl.Collator(undefined, { numeric: true });
const TYPING_MS = 7_000;                // the server says it again before, while it goes on

export class PeopleView {
	constructor() {
		this.list = byId('people');
		this.count = byId('people-count');
		this.talkCount = byId('talk-count');
		/** @type {(user: User, button: HTMLElement) => void} */
		this.onperson = () => {};
	}

	/** @param {Map<string, User>} people @param {number} count @param {User | null} me */
	show(people, count, me) {
		const users = [...people.values()];
		const focused = this.list.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement).title : undefined;

		if (me !== null && !people.has(me.id))
			users.push(me);
		users.sort((a, b) => order.compare(nameOf(a), nameOf(b)));
		count = Math.max(count, users.length);
		this.list.replaceChildren(...users.map((user) => this.item(user, user.id === me?.id)));
		if (count > users.length)
			this.list.append(make('li', { class: 'more' }, `and ${count - users.length} more`));
		this.count.textContent = String(count);
		this.talkCount.textContent = count === 1 ? 'only you' : `${count} people`;
		if (focused !== undefined)
			/** @type {HTMLElement | undefined} */ ([...this.list.querySelectorAll('button')].find((button) => button.title === focused))?.focus();
	}

	/** @param {User} user @param {boolean} isMe */
	item(user, isMe) {
		const name = make('span', { class: 'person', dir: 'auto' }, nameOf(user));

		if (isMe)
			return make('li', { title: user.id }, avatar(user), name, make('span', { class: 'you' }, 'you'));
		const button = make('button', { type: 'button', class: 'person-button', 'aria-haspopup': 'menu', 'aria-expanded': 'false', title: user.id }, avatar(user), name);
		button.addEventListener('click', () => this.onperson(user, button));
		return make('li', {}, button);
	}
}

export class TypingView {
	/** @param {HTMLElement} [line] */
	constructor(line = byId('typing')) {
		this.line = line;
		/** @type {Map<string, {name: string, timer: number}>} */
		this.writers = new Map();
	}

	/** @param {User} user @param {boolean} isTyping */
	set(user, isTyping) {
		const known = this.writers.get(user.id);

		clearTimeout(known?.timer);
		this.writers.delete(user.id);
		if (isTyping) {
			const timer = window.setTimeout(() => this.set(user, false), TYPING_MS);
			this.writers.set(user.id, { name: nameOf(user), timer });
		}
		this.show();
	}

	clear() {
		for (const { timer } of this.writers.values())
			clearTimeout(timer);
		this.writers.clear();
		this.show();
	}

	show() {
		const names = [...this.writers.values()].map((writer) => writer.name);

		this.line.textContent = names.length === 0 ? ''
			: names.length === 1 ? `${names[0]} is typing`
				: names.length === 2 ? `${names[0]} and ${names[1]} are typing` : 'Several people are typing';
	}
}
