// SPDX-License-Identifier: ISC
/* Messages on their way out: kept until acked, in order. */

import { TRY_AGAIN } from './common.js';

/** @typedef {import('./common.js').BelfryError} BelfryError */
/** @typedef {Record<string, any>} Json */

/** A message on its way: shown at once, sent when the connection allows, settled by its `ack`. */
export class Outgoing {
	/** @param {string} key @param {Json} body */
	constructor(key, body) {
		this.key = key;
		this.body = body;
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

/** A queue of messages to one destination: one under way at a time, so that their order holds. */
export class Outbox {
	/**
	 * @param {(body: Json) => Promise<Json>} request
	 * @param {(event: 'sent' | 'failed', message: Outgoing) => void} tell
	 */
	constructor(request, tell) {
		this.request = request;
		this.tell = tell;
		/** @type {Outgoing[]} */
		this.waiting = [];
		/** @type {Outgoing | null} */
		this.underWay = null;
		this.open = false;
		/** @type {ReturnType<typeof setTimeout> | undefined} */
		this.pause = undefined;
	}

	/** @param {Outgoing} message */
	push(message) {
		this.waiting.push(message);
		this.next();
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
	}

	/** @param {Outgoing} message @param {number | undefined} id */
	settle(message, id) {
		if (message.state === 'sent')
			return;
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
