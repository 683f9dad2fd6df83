// SPDX-License-Identifier: ISC
/* Notifications as they ring, newest first. */

import { byId, make, timeNode } from './dom.js';
import { link, withLinks } from './links.js';

/** @typedef {import('../belfry.d.ts').TopicMessage} TopicMessage */

const MOST = 50;
const URGENT = 4;

export class NoticesView {
	constructor() {
		this.list = byId('notices');
		this.hint = byId('notices-hint');
		/** @type {Set<number>} */
		this.ids = new Set();
		/** @type {() => void} */
		this.onnew = () => {};
	}

	/** @param {TopicMessage} message */
	add(message) {
		if (message.id !== undefined && this.ids.has(message.id))
			return;
		if (message.id !== undefined)
			this.ids.add(message.id);
		this.list.prepend(this.item(message));
		while (this.list.childElementCount > MOST)
			this.list.lastElementChild?.remove();
		this.hint.hidden = true;
		this.onnew();
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
		const isUrgent = (message.priority ?? 3) >= URGENT;
		const item = make('li', { class: isUrgent ? 'notice urgent' : 'notice' });

		const linked = (/** @type {string} */ text) => message.click === undefined ? withLinks(text) : [link(text, message.click)];

		if (head !== undefined)
			item.append(make('p', { class: 'notice-title', dir: 'auto' }, ...linked(head)));
		if (body !== undefined && body !== '')
			item.append(make('p', { class: 'notice-text', dir: 'auto' }, ...(head === undefined ? linked(body) : withLinks(body))));
		const foot = make('p', { class: 'notice-foot' }, make('span', { class: 'topic' }, message.topic), ' ',
			timeNode(message.timestamp === undefined ? timeOf(message) : message.timestamp * 1000));
		if (isUrgent)
			foot.append(' ', make('span', { class: 'urgency' }, 'urgent'));
		for (const tag of message.tags ?? [])
			foot.append(' ', make('span', { class: 'tag' }, String(tag)));
		item.append(foot);
		return item;
	}
}

/** Ids are microseconds since 1970. @param {TopicMessage} message */
function timeOf(message) {
	return message.id === undefined ? Date.now() : message.id / 1000;
}

/** @param {unknown} data */
function asText(data) {
	return typeof data === 'string' ? data : JSON.stringify(data);
}
