// SPDX-License-Identifier: ISC
/* What one asks of a connection and sends over it, beside rooms and topics. */

import { BelfryError, BelfryEvent, baseOf, bodyOf, newKey } from './common.js';
import { Outbox, Outgoing, Shelf } from './outbox.js';
import { echoOf } from './records.js';

/** @typedef {import('../belfry.d.ts').ChatOptions} ChatOptions */
/** @typedef {import('../belfry.d.ts').User} User */
/** @typedef {Record<string, any>} Json */

export class Asking extends EventTarget {
	/** @param {string | URL | undefined} url @param {ChatOptions} options */
	constructor(url, options) {
		super();
		this.url = baseOf(url);
		this.options = options;
		this.random = options.random ?? Math.random;
		this.fetch = options.fetch ?? ((/** @type {any} */ input, /** @type {any} */ init) => fetch(input, init));
		/** @type {User | null} */
		this.user = null;
		/** @type {string | null} `user`, `moderator`, `admin`, where the server says */
		this.role = null;
		/** @type {boolean | null} may one write directly to anybody? where the server says */
		this.mayDirect = null;
		/** @type {Map<string, import('./feeds.js').Subscription>} */
		this.subscriptions = new Map();
		const ask = (/** @type {Json} */ body) => this.request(body);
		const tell = (/** @type {string} */ event, /** @type {Outgoing} */ message) => {
			if (message.body.type === 'direct' && event === 'sent' && this.ownTopic !== undefined)
				this.subscriptions.get(this.ownTopic)?.own(message.id);
			this.dispatchEvent(new BelfryEvent(event, message));
		};
		this.publishing = new Outbox(ask, tell);
		this.directs = new Outbox(ask, tell, options.storage && new Shelf(options.storage, `${this.url.href} @`, () => this.user?.id));
	}

	/** @returns {string | undefined} */
	get ownTopic() {
		return undefined;
	}

	/** Directs that are not acked yet, in their order. */
	get unsent() {
		return this.directs.unsent;
	}

	/** @param {Json} message @param {{signal?: AbortSignal, answered?: (answer: Json) => void}} [_options] @returns {Promise<Json>} */
	request(message, _options) {
		return Promise.reject(new BelfryError('closed', `not connected: ${message.type}`));
	}

	/** @param {Json} _welcome */
	welcomed(_welcome) {
		this.directs.disown(this.user?.id);
		this.directs.start();
		this.publishing.start();
	}

	stopSending() {
		this.publishing.stop();
		this.directs.stop();
	}

	/** Publish on a topic; offline it waits. @param {Json} message */
	publish(message) {
		const outgoing = new Outgoing(message.key ?? newKey(this.random), { ...message, type: 'publish' });

		this.publishing.push(outgoing);
		return outgoing;
	}

	/** To one person, who has it in all of his places; offline it waits. @param {string} to @param {string | Json} message @returns {Outgoing} */
	direct(to, message) {
		const body = bodyOf(message);
		const outgoing = new Outgoing(body.key ?? newKey(this.random), { ...body, type: 'direct', to });

		this.dispatchEvent(new BelfryEvent('sending', outgoing));
		this.directs.push(outgoing);
		return outgoing;
	}

	/** Of a direct: another wording. @param {number} target @param {string | {content?: string, data?: unknown}} message */
	edit(target, message) {
		return this.#change({ type: 'edit', target, ...bodyOf(message) });
	}

	/** Of a direct: taken back. @param {number} target */
	remove(target) {
		return this.#change({ type: 'delete', target });
	}

	/** To a direct. @param {number} target @param {string} emoji @param {boolean} [on] */
	react(target, emoji, on = true) {
		return this.#change({ type: 'react', target, emoji, on });
	}

	/** @param {Json} request @returns {Promise<void>} */
	async #change(request) {
		const ack = await this.request(request);
		const record = echoOf(request, ack, this.user ?? { id: '', name: '' });

		if (this.ownTopic !== undefined)
			this.subscriptions.get(this.ownTopic)?.own(ack.id);
		if (record !== null)
			this.dispatchEvent(new BelfryEvent(record.type, record));
	}

	/**
	 * Stored messages. @param {Json} query `room` or `topic`, `before`, `after`, `limit`, `q`
	 * @param {{signal?: AbortSignal}} [options]
	 */
	history(query, options) {
		return /** @type {Promise<any>} */ (this.request({ ...query, type: 'history' }, options));
	}

	/** Rooms you may join that have members or history. */
	async listRooms() {
		const answer = await this.request({ type: 'rooms' });

		return answer.rooms;
	}
}
