// SPDX-License-Identifier: ISC
/* Messages on their way out: kept until acked, in order. */

import { BelfryError, TRY_AGAIN } from './common.js';

/** @typedef {Record<string, any>} Json */

/** A message on its way: shown at once, sent when the connection allows, settled by its `ack`. */
export class Outgoing {
	/** @param {string} key @param {Json} body */
	constructor(key, body) {
		this.key = key;
		this.body = body;
		/** @type {string | undefined} who wrote it, when that was before the page was loaded */
		this.author = undefined;
		this.content = body.content ?? body.message;
		this.time = Date.now();
		/** @type {'pending' | 'sent' | 'failed'} */
		this.state = 'pending';
		/** @type {number | undefined} */
		this.id = undefined;
		/** @type {Error | undefined} */
		this.error = undefined;
		/** @type {Promise<number | undefined>} */
		this.done = new Promise((resolve, reject) => {
			this.resolve = resolve;
			this.reject = reject;
		});
		this.done.catch(() => {});      // who does not wait is told by the `failed` event
	}
}

/** The unsent messages of one room, in a Storage: a reload finds them again, with their keys. */
export class Shelf {
	/** @param {import('../belfry.d.ts').OutboxStorage} storage @param {string} name @param {() => string | undefined} author */
	constructor(storage, name, author) {
		this.storage = storage;
		this.name = `belfry.unsent:${name}`;
		this.author = author;
	}

	/** @returns {Outgoing[]} */
	load() {
		try {
			return JSON.parse(this.storage.getItem(this.name) ?? '[]').map((/** @type {Json} */ one) => {
				const message = new Outgoing(String(one.key), one.body);
				message.time = one.time;
				message.author = one.author;
				return message;
			});
		} catch {
			return [];
		}
	}

	/** @param {Outgoing[]} messages */
	save(messages) {
		try {
			if (messages.length === 0)
				return this.storage.removeItem(this.name);
			this.storage.setItem(this.name, JSON.stringify(messages.map(({ key, body, time, author }) => ({
				key, body, time, author: author ?? this.author(),
			}))));
		} catch {
			// full, or forbidden: they are kept as long as the page is
		}
	}
}

/** A queue of messages to one destination: one under way at a time, so that their order holds. */
export class Outbox {
	/**
	 * @param {(body: Json) => Promise<Json>} request
	 * @param {(event: 'sent' | 'failed', message: Outgoing) => void} tell
	 * @param {Shelf} [shelf] where what is unsent outlives the page
	 */
	constructor(request, tell, shelf) {
		this.request = request;
		this.tell = tell;
		this.shelf = shelf;
		/** @type {Outgoing[]} */
		this.waiting = [];
		/** @type {Outgoing | null} */
		this.underWay = null;
		this.open = false;
		/** @type {ReturnType<typeof setTimeout> | undefined} */
		this.pause = undefined;
		this.waiting = shelf?.load() ?? [];
	}

	/** Everything that is not acked yet, in its order. */
	get unsent() {
		return this.underWay === null ? [...this.waiting] : [this.underWay, ...this.waiting];
	}

	/** @param {Outgoing} message */
	push(message) {
		this.waiting.push(message);
		this.shelf?.save(this.unsent);
		this.next();
	}

	/** What somebody else wrote on this page is not sent in another name. @param {string | undefined} user */
	disown(user) {
		for (const message of this.unsent) {
			if (message.author !== undefined && message.author !== user)
				this.fail(message, new BelfryError('other_user', 'written in another name'));
		}
	}

	/** Stop, and leave what is unsent on the shelf. */
	keep() {
		this.stop();
		this.shelf = undefined;
		this.waiting = [];
	}

	start() {
		this.open = true;
		this.next();
	}

	stop() {
		this.open = false;
		clearTimeout(this.pause);
		this.pause = undefined;
		if (this.underWay !== null)
			this.waiting.unshift(this.underWay);
		this.underWay = null;
	}

	async next() {
		const message = this.open && this.underWay === null && this.pause === undefined
			? this.waiting.shift() : undefined;

		if (message === undefined)
			return;
		this.underWay = message;
		try {
			const ack = await this.request({ ...message.body, key: message.key });
			this.settle(message, ack.id);
		} catch (error) {
			this.refused(message, /** @type {BelfryError} */ (error));
		}
	}

	/** @param {Outgoing} message @param {BelfryError} error */
	refused(message, error) {
		if (error.code === 'closed' || this.underWay !== message)
			return;         // stop() has put it back
		if (!TRY_AGAIN.has(error.code))
			return this.fail(message, error);
		this.underWay = null;
		this.waiting.unshift(message);
		this.pause = setTimeout(() => {
			this.pause = undefined;
			this.next();
		}, 1000 * (error.retryAfter ?? 1));
	}

	/** @param {string | undefined} key @returns {Outgoing | undefined} */
	find(key) {
		if (key === undefined)
			return undefined;
		return this.underWay?.key === key ? this.underWay : this.waiting.find((message) => message.key === key);
	}

	/** @param {Outgoing} message */
	remove(message) {
		this.waiting = this.waiting.filter((other) => other !== message);
		if (this.underWay === message)
			this.underWay = null;
		this.shelf?.save(this.unsent);
	}

	/** @param {Outgoing} message @param {number | undefined} id */
	settle(message, id) {
		if (message.state !== 'pending')
			return;         // acked after it was told to have failed, because the room was left
		this.remove(message);
		message.state = 'sent';
		message.id = id;
		message.resolve?.(id);
		this.tell('sent', message);
		this.next();
	}

	/** @param {Outgoing} message @param {Error} error */
	fail(message, error) {
		this.remove(message);
		message.state = 'failed';
		message.error = error;
		message.reject?.(error);
		this.tell('failed', message);
		this.next();
	}

	/** @param {Error} error */
	failAll(error) {
		this.stop();
		for (const message of [...this.waiting])
			this.fail(message, error);
	}
}
