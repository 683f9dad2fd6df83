// SPDX-License-Identifier: ISC
/* Who is in the room, and who is writing. */

import { arrange, avatar, byId, make, nameOf, tell } from './dom.js';

/** @typedef {import('../belfry.d.ts').User} User */

const order = new Intl.Collator(undefined, { numeric: true });
const TYPING_MS = 7_000;                // the server says it again before, while it goes on

export class PeopleView {
	constructor() {
		this.list = byId('people');
		this.count = byId('people-count');
		this.talkCount = byId('talk-count');
		/** @type {Map<string, {node: HTMLElement, sign: string}>} by id, as they stand in the list */
		this.items = new Map();
		/** @type {(user: User, button: HTMLElement) => void} */
		this.onperson = () => {};
	}

	/** @param {Map<string, User>} people @param {number} count @param {User | null} me */
	show(people, count, me) {
		const users = [...people.values()];

		if (me !== null && !people.has(me.id))
			users.push(me);
		users.sort((a, b) => order.compare(nameOf(a), nameOf(b)));
		count = Math.max(count, users.length);
		this.items = new Map(users.map((user) => {
			const sign = `${user.id === me?.id} ${user.name}`;
			const known = this.items.get(user.id);
			return [user.id, known?.sign === sign ? known : { node: this.item(user, user.id === me?.id), sign }];
		}));
		arrange(this.list, [...[...this.items.values()].map(({ node }) => node),
			...(count > users.length ? [make('li', { class: 'more' }, `and ${count - users.length} more`)] : [])]);
		this.count.textContent = String(count);
		this.talkCount.textContent = count === 1 ? 'only you' : `${count} people`;
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

		tell(this.line, names.length === 0 ? ''
			: names.length === 1 ? `${names[0]} is typing`
				: names.length === 2 ? `${names[0]} and ${names[1]} are typing` : 'Several people are typing');
	}
}
