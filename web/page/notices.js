// SPDX-License-Identifier: ISC
/* Notifications as they ring, newest first, until somebody clears them away. */

import { byId, make, timeNode } from './dom.js';
import { link, withLinks } from './links.js';
import { keepLong, keptLong } from './storage.js';

/** @typedef {import('../belfry.d.ts').TopicMessage} TopicMessage */

const MOST = 50;
const MOST_IDS = 1000;
const URGENT = 4;
const PRIORITIES = ['', 'lowest', 'low', '', 'high', 'urgent'];

export class NoticesView {
	constructor() {
		this.list = byId('notices');
		this.hint = byId('notices-hint');
		this.clearing = byId('notices-clear');
		/** @type {Set<number>} */
		this.ids = new Set();
		this.newest = 0;
		/** what is not newer was cleared away */
		this.cleared = Number(keptLong('notices')) || 0;
		/** @type {(message: TopicMessage) => void} one that rang just now */
		this.onnew = () => {};
		this.clearing.addEventListener('click', () => this.clear());
	}

	/** @param {TopicMessage} message @param {boolean} isNew it rings just now */
	add(message, isNew) {
		if (message.id !== undefined && (this.ids.has(message.id) || message.id <= this.cleared))
			return;
		if (message.id !== undefined)
			this.ids.add(message.id);
		this.newest = Math.max(this.newest, message.id ?? 0);
		const item = this.item(message);
		this.list.setAttribute('aria-live', isNew ? 'polite' : 'off');  // nobody wants all the old ones read out
		const next = [...this.list.children].find((one) => Number(/** @type {HTMLElement} */ (one).dataset.id ?? 0) < (message.id ?? Infinity));
		this.list.insertBefore(item, next ?? null);
		while (this.list.childElementCount > MOST)
			this.list.lastElementChild?.remove();
		if (this.ids.size > MOST_IDS)
			this.ids = new Set([...this.ids].slice(-MOST_IDS / 2));
		this.hint.hidden = true;
		this.clearing.hidden = false;
		if (isNew)
			this.onnew(message);
	}

	clear() {
		this.cleared = this.newest;
		keepLong('notices', String(this.cleared));
		this.list.replaceChildren();
		this.hint.textContent = 'All cleared away.';
		this.hint.hidden = false;
		this.clearing.hidden = true;
		this.hint.focus();
	}

	/** @param {string} words */
	say(words) {
		if (this.list.firstElementChild?.textContent === words)
			return;
		this.list.prepend(make('li', { class: 'gap' }, words));
		this.hint.hidden = true;
	}

	/** @param {string} words instead of the list when it may not be read */
	refuse(words) {
		if (this.list.childElementCount > 0)
			return;
		this.hint.textContent = words;
		this.hint.hidden = false;
	}

	/** @param {TopicMessage} message */
	item(message) {
		const plain = message.title === undefined && message.message === undefined;
		const body = plain ? asText(message.data) : message.message;
		const head = message.title ?? (plain ? message.event : undefined);
		const priority = message.priority ?? 3;
		const item = make('li', { class: priority >= URGENT ? 'notice urgent' : priority < 3 ? 'notice low' : 'notice', 'data-id': String(message.id ?? '') });

		const linked = (/** @type {string} */ text) => message.click === undefined ? withLinks(text) : [link(text, message.click)];

		if (head !== undefined)
			item.append(make('p', { class: 'notice-title', dir: 'auto' }, ...linked(head)));
		if (body !== undefined && body !== '')
			item.append(make('p', { class: 'notice-text', dir: 'auto' }, ...(head === undefined ? linked(body) : withLinks(body))));
		const foot = make('p', { class: 'notice-foot' }, make('span', { class: 'topic', dir: 'auto' }, message.topic), ' ', timeNode(timeOf(message)));
		if (PRIORITIES[priority])
			foot.append(' ', make('span', { class: 'urgency' }, PRIORITIES[priority]));
		for (const tag of message.tags ?? [])
			foot.append(' ', make('span', { class: 'tag', dir: 'auto' }, String(tag)));
		item.append(foot);
		return item;
	}
}

/** When it rang, in milliseconds; ids are microseconds. @param {TopicMessage} message */
function timeOf(message) {
	return message.timestamp !== undefined ? message.timestamp * 1000 : message.id === undefined ? Date.now() : message.id / 1000;
}

/** @param {unknown} data */
function asText(data) {
	return typeof data === 'string' ? data : JSON.stringify(data);
}
