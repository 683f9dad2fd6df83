// SPDX-License-Identifier: ISC
/* Directs, sorted into one conversation a person; each looks to the page like a room of two. */

import { BelfryEvent, MessageList } from '../belfry.js';
import { keepLong, keptLong } from './storage.js';

/** @typedef {import('../belfry.d.ts').User} User */

const KEPT = 500;
const PAGES_BACK = 10;                  // of all directs, in search of older ones of one person

export class Thread extends EventTarget {
	/** @param {import('../belfry.js').Chat} chat @param {User} other */
	constructor(chat, other) {
		super();
		this.chat = chat;
		this.other = other;
		this.name = other.id;
		this.list = new MessageList(KEPT);
		this.unread = 0;
		this.state = 'joined';
		/** @type {number | undefined} up to where one has read, on this device */
		this.marker = Number(keptLong(this.shelf)) || undefined;
	}

	get shelf() {
		return `seen:${this.chat.user?.id} ${this.name}`;
	}

	get messages() {
		return this.list.all;
	}

	get people() {
		const me = this.chat.user;

		return new Map([this.other, ...(me === null ? [] : [me])].map((user) => [user.id, user]));
	}

	get unsent() {
		return this.chat.unsent.filter(({ body }) => body.to === this.name);
	}

	/** @param {string | Record<string, any>} message */
	send(message) {
		return this.chat.direct(this.name, message);
	}

	typing() {}

	/** @param {number} target @param {string} text */
	edit(target, text) {
		return this.chat.edit(target, text);
	}

	/** @param {number} target */
	remove(target) {
		return this.chat.remove(target);
	}

	/** @param {number} target @param {string} emoji @param {boolean} on */
	react(target, emoji, on) {
		return this.chat.react(target, emoji, on);
	}

	/** Is it between us two? @param {any} message */
	isOurs(message) {
		return message.type === 'direct' && (message.to === this.name || message.from?.id === this.name);
	}

	/** Older ones; all directs stand in one topic. @param {Record<string, any>} query */
	async history(query) {
		const { limit, ...rest } = query;
		/** @type {any[]} */
		const found = [];
		let { before } = query;
		let more = true;

		for (let n = 0; n < PAGES_BACK && more && found.length < Math.min(limit ?? 50, 50); n++) {
			const page = await this.chat.history({ ...rest, ...(before === undefined ? {} : { before }), limit: 500, topic: this.chat.ownTopic });
			found.unshift(...page.messages.filter((/** @type {any} */ one) => this.isOurs(one)));
			before = page.messages[0]?.id;
			more = page.more && before !== undefined;
		}
		return { messages: found, more };
	}

	/** @param {any} message */
	take(message) {
		if (this.list.has(message.id))
			return;
		this.list.add(message);
		this.dispatchEvent(new BelfryEvent('message', message));
		if (message.from?.id === this.name && !message.deleted && message.id > (this.marker ?? 0))
			this.setUnread(this.unread + 1);
	}

	/** @param {any} record */
	apply(record) {
		const message = this.list.apply(record);

		this.dispatchEvent(new BelfryEvent(record.type, record));
		if (message !== undefined)
			this.dispatchEvent(new BelfryEvent('changed', { message, record }));
	}

	/** @param {number} [id] */
	read(id = this.list.all.at(-1)?.id) {
		if (id !== undefined && id > (this.marker ?? 0)) {
			this.marker = id;
			keepLong(this.shelf, String(id));
		}
		this.setUnread(0);
	}

	get count() {
		return this.people.size;
	}

	/** @param {number} unread */
	setUnread(unread) {
		if (unread === this.unread)
			return;
		this.unread = unread;
		this.dispatchEvent(new BelfryEvent('unread', { unread }));
	}
}

export class Threads {
	/** @param {import('../belfry.js').Chat} chat */
	constructor(chat) {
		this.chat = chat;
		/** @type {Map<string, Thread>} */
		this.all = new Map();
		/** @type {(thread: Thread) => void} */
		this.onnew = () => {};
		/** @type {(thread: Thread, message: any) => void} somebody else has written */
		this.ondirect = () => {};
		chat.addEventListener('direct', ({ detail }) => this.take(detail));
		for (const type of ['edited', 'deleted', 'reaction'])
			chat.addEventListener(type, ({ detail }) => this.all.forEach((thread) => thread.apply(detail)));
		for (const type of ['sending', 'sent', 'failed']) {
			chat.addEventListener(type, ({ detail }) => {
				if (detail.body.type === 'direct')
					this.outgoing(type, detail);
			});
		}
	}

	/** @param {User} other @returns {Thread} */
	of(other) {
		let thread = this.all.get(other.id);

		if (thread === undefined) {
			thread = new Thread(this.chat, other);
			this.all.set(other.id, thread);
			this.onnew(thread);
		} else if (other.name && thread.other.name !== other.name) {
			thread.other = other;
			this.onnew(thread);
		}
		return thread;
	}

	/** @param {any} message */
	take(message) {
		const isMine = message.from?.id === this.chat.user?.id;
		const thread = this.of(isMine ? this.all.get(message.to)?.other ?? { id: message.to, name: '' } : message.from);
		const before = thread.unread;

		thread.take(message);
		if (thread.unread > before)
			this.ondirect(thread, message);
	}

	/** @param {string} type @param {any} message */
	outgoing(type, message) {
		const thread = this.of(this.all.get(message.body.to)?.other ?? { id: message.body.to, name: '' });

		if (type === 'sent' && message.id !== undefined)
			thread.list.add({ type: 'direct', id: message.id, to: thread.name, from: this.chat.user, content: message.content, time: message.time, key: message.key });
		thread.dispatchEvent(new BelfryEvent(type, message));
	}
}
