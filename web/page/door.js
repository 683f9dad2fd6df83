// SPDX-License-Identifier: ISC
/* The way in: a name where none is known, a room, and in words what is missing. The same form changes rooms later. */

import { byId, localTimes, make, nameOf } from './dom.js';

export class Door {
	/** @param {import('./identity.js').Identity} identity @param {(room: string) => void} enter */
	constructor(identity, enter) {
		this.identity = identity;
		this.enter = enter;
		this.form = byId('join');
		this.nameBox = byId('name');
		this.roomBox = byId('room');
		this.box = byId('door-problem');
		this.form.addEventListener('submit', (/** @type {Event} */ event) => this.submitted(event));
	}

	get isOpen() {
		return document.body.dataset.view === 'door';
	}

	/** What is known of who comes. */
	show() {
		const { identity } = this;
		const lead = byId('door-lead');

		byId('name-field').hidden = !identity.needsName;
		this.nameBox.required = identity.needsName;
		this.nameBox.value ||= identity.lastName;
		if (identity.user !== null) {
			lead.textContent = identity.needsName ? 'Say how you want to be called, and choose a room.'
				: `You are ${nameOf(identity.user)}. Choose a room.`;
		} else if (identity.guests) {
			lead.textContent = 'Say how you want to be called, and choose a room.';
		} else if (identity.loginUrl !== '') {
			byId('door-title').textContent = 'Sign in first';
			lead.replaceChildren('Please ', make('a', { href: identity.loginUrl }, 'sign in'), ', then come back.');
		} else if (identity.problem === '') {
			byId('door-title').textContent = 'By invitation';
			lead.textContent = 'This server takes no guests and names no place to sign in. Ask whoever runs it for a link '
				+ 'to this page that ends in #token=…';
		} else {
			byId('door-title').textContent = 'Not this time';
			lead.textContent = 'Your way in did not work.';
		}
		this.form.hidden = identity.user === null && !identity.guests;
		this.problem(identity.problem);
	}

	/** @param {string} words */
	problem(words) {
		this.box.textContent = localTimes(words);
		this.box.hidden = words === '';
	}

	/** @param {boolean} isDoor */
	view(isDoor) {
		document.body.dataset.view = isDoor ? 'door' : 'talk';
		byId(isDoor ? 'door-slot' : 'switch-slot').append(this.form);
		this.roomBox.placeholder = isDoor ? '' : 'Another…';
		byId('door').hidden = !isDoor;
		for (const id of ['talk', 'panels', 'places', 'panels-toggle', 'places-toggle', 'whoami'])
			byId(id).hidden = isDoor;
	}

	/** Back here, with the reason. @param {string} words */
	open(words) {
		this.view(true);
		if (this.identity.user !== null)
			byId('door-lead').textContent = `You are ${nameOf(this.identity.user)}. Choose a room.`;
		this.problem(words);
		this.roomBox.focus();
	}

	/** The token is good no longer. @param {string} why */
	ended(why) {
		const { loginUrl } = this.identity;

		this.view(true);
		byId('door-title').textContent = 'Your time here has ended';
		byId('door-lead').replaceChildren(...(loginUrl ? ['Please ', make('a', { href: loginUrl }, 'sign in'), ' again.'] : ['Come in by a new link; what you had begun to write is kept.']));
		this.form.hidden = true;
		this.problem(`The server says: ${why}`);
	}

	close() {
		if (!this.isOpen)
			return;
		this.view(false);
		byId('name-field').hidden = true;
		this.nameBox.required = false;
		this.problem('');
	}

	/** @param {Event} event */
	async submitted(event) {
		event.preventDefault();
		const wanted = this.roomBox.value.trim();
		const button = this.form.querySelector('button');

		if (wanted === '')
			return;
		button.disabled = true;
		try {
			if (this.identity.user === null)
				await this.identity.becomeGuest(this.nameBox.value.trim());
			this.enter(wanted);
		} catch (error) {
			this.problem(/** @type {Error} */ (error).message);
		} finally {
			button.disabled = false;
		}
	}
}
