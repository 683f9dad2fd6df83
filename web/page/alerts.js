// SPDX-License-Identifier: ISC
/* Browser notifications, for who wants them: asked for by a button and never before, shown only while nobody looks. */

import { byId, shortened } from './dom.js';
import { keepLong, keptLong } from './storage.js';

const MOST_CHARACTERS = 200;

export class Alerts {
	constructor() {
		this.box = byId('alerts');
		this.words = byId('alerts-words');
		this.button = byId('alerts-button');
		this.button.addEventListener('click', () => this.toggle());
		this.show();
	}

	get canAsk() {
		return 'Notification' in globalThis && globalThis.isSecureContext;
	}

	get isOn() {
		return this.canAsk && Notification.permission === 'granted' && keptLong('alerts') === 'on';
	}

	async toggle() {
		if (this.isOn) {
			keepLong('alerts', null);
		} else {
			const answer = await Notification.requestPermission().catch(() => 'denied');
			keepLong('alerts', answer === 'granted' ? 'on' : null);
		}
		this.show();
	}

	show() {
		const isDenied = this.canAsk && Notification.permission === 'denied';

		this.box.hidden = !this.canAsk;
		this.button.hidden = isDenied;
		this.button.textContent = this.isOn ? 'Stop' : 'Tell me';
		this.words.textContent = isDenied ? 'Your browser shows none of this page: its settings say so.'
			: this.isOn ? 'Your browser tells you of what is for you while you look elsewhere.' : 'Hear of what is for you while you look elsewhere?';
	}

	/** @param {string} title @param {string} body @param {string} tag the next one of it takes its place @param {() => void} act when it is clicked */
	tell(title, body, tag, act) {
		if (!this.isOn || !document.hidden)
			return;
		try {
			const note = new Notification(title, { body: shortened(body, MOST_CHARACTERS), tag, icon: 'favicon.svg' });
			note.onclick = () => {
				window.focus();
				act();
				note.close();
			};
		} catch {
			// a phone wants a service worker for it
		}
	}
}
