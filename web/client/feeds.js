// SPDX-License-Identifier: ISC
/* What has a cursor and is resumed on every connection: subscriptions here, rooms in room.js. */

import { BelfryError, BelfryEvent, ENDED, RECEIVE, START, TRY_AGAIN } from './common.js';

/** @typedef {import('./chat.js').Chat} Chat */
/** @typedef {import('../belfry.d.ts').FeedOptions} FeedOptions */
/** @typedef {import('../belfry.d.ts').HistoryQuery} HistoryQuery */
/** @typedef {Record<string, any>} Json */

/** What a room and a subscription have in common: a cursor, and joining again where it left off. */
export class Feed extends EventTarget {
	/**
	 * @param {Chat} chat @param {string} kind `room` or `topic` @param {string} name
	 * @param {FeedOptions} options
	 */
	constructor(chat, kind, name, options) {
		super();
		this.chat = chat;
		this.kind = kind;
		this.name = name;
		this.options = options;
		/** @type {number | undefined} the last id that was delivered */
		this.cursor = undefined;
		/** @type {number | undefined} the last id of the log when nothing was delivered yet */
		this.latest = undefined;
		/** @type {Set<number>} one's own that were acked, or told by another tab, but are not yet passed by the cursor */
		this.acked = new Set();
		/** @type {'waiting' | 'joined' | 'refused' | 'left'} */
		this.state = 'waiting';
		this.isLeftEarly = false;       // while it was being joined
		this.ready = new Promise((resolve, reject) => {
			this.readyResolve = resolve;
			this.readyReject = reject;
		});
		this.ready.catch(() => {});
	}

	/** Where to begin: the cursor, else what was asked for. @returns {Json} */
	position() {
		if (this.cursor !== undefined)
			return { after: this.cursor };
		if (this.latest !== undefined)
			return { after: this.latest };
		const { after, last } = this.options;
		return after !== undefined ? { after } : last !== undefined ? { last } : {};
	}

	/**
	 * @param {string} request `join` or `subscribe` @param {boolean} [isAsked] the connection was opened
	 * with this feed and its position: no request is needed
	 */
	async begin(request, isAsked = false) {
		const before = this.cursor === undefined ? this.latest : undefined;

		try {
			if (!isAsked)
				await this.chat.request({ type: request, [this.kind]: this.name, ...this.position() });
			if (this.isLeftEarly)
				return this.leftBefore(request);
			if (before !== undefined)
				await this.catchUp(before);
		} catch (error) {
			this.refused(/** @type {BelfryError} */ (error), request);
		}
	}

	/** It was left while it was being joined: the server has let us in by now. @param {string} request */
	leftBefore(request) {
		const isAnothers = (this.kind === 'room' ? this.chat.rooms : this.chat.subscriptions).has(this.name);

		if (!isAnothers)
			this.chat.request({ type: request === 'join' ? 'leave' : 'unsubscribe', [this.kind]: this.name }).catch(() => {});
	}

	/**
	 * The connection broke after `joined` and before the first message: was there none, or was
	 * it lost on the way? The history knows.
	 * @param {number} latest
	 */
	async catchUp(latest) {
		const limit = this.options.last ?? (this.kind === 'room' ? 50 : 0);

		if (limit === 0)
			return;
		const page = await this.chat.history({ [this.kind]: this.name, before: latest + 1, limit });
		for (const message of page.messages)
			this.deliver(message);
		this.cursor ??= latest;         // or the next break would bring them all again
	}

	/** @param {BelfryError} error @param {string} request */
	refused(error, request) {
		if (error.code === 'closed' || this.state === 'left')
			return;         // the next connection asks again
		if (TRY_AGAIN.has(error.code)) {
			setTimeout(() => {
				if (this.state === 'waiting' && this.chat.state === 'open')
					this.begin(request);
			}, 1000 * (error.retryAfter ?? 1));
			return;
		}
		this.state = 'refused';
		this.readyReject?.(error);
		this.dispatchEvent(new BelfryEvent('refused', error));
	}

	/** @param {Json} message */
	joined(message) {
		this.state = 'joined';
		this.latest = message.latest ?? this.latest;
		this.readyResolve?.(this);
		this.dispatchEvent(new BelfryEvent('joined', message));
	}

	/** True when the message is new here, and moves the cursor. @param {Json} message */
	advance(message) {
		if (typeof message.id !== 'number')
			return true;
		if (this.cursor !== undefined && message.id <= this.cursor)
			return false;
		this.cursor = message.id;
		return true;
	}

	/** One's own: it may come once more when the feed is resumed. @param {number | undefined} id */
	own(id) {
		if (id !== undefined && id > (this.cursor ?? 0))
			this.acked.add(id);
	}

	/** Is it one's own, and known? The cursor passes it. @param {Json} message */
	isKnown(message) {
		const known = this.acked.has(message.id);

		for (const id of this.acked) {
			if (id <= message.id)
				this.acked.delete(id);
		}
		return known;
	}

	/** @param {Json} message */
	deliver(message) {
		this.dispatchEvent(new BelfryEvent('message', message));
	}

	/** @param {Json} message */
	gap(message) {
		if (message.reason !== 'slow')
			this.cursor = message.oldest === null ? undefined : message.oldest - 1;
		this.dispatchEvent(new BelfryEvent('gap', message));
	}

	[ENDED]() {
		if (this.state === 'joined')
			this.state = 'waiting';
	}

	/** @param {HistoryQuery} [query] @param {{signal?: AbortSignal}} [options] */
	history(query = {}, options = {}) {
		return this.chat.history({ ...query, [this.kind]: this.name }, options);
	}

	/** Out of it when the signal says so. @param {AbortSignal | undefined} signal */
	endWith(signal) {
		const end = () => {
			if (this.state === 'waiting')
				this.readyReject?.(new BelfryError('aborted', 'aborted'));
			if (this.state !== 'left')
				this.quit().catch(() => {});
		};

		if (signal?.aborted)
			end();
		signal?.addEventListener('abort', end, { once: true });
	}

	/** @returns {Promise<void>} */
	async quit() {}

	/** @param {Json} message */
	left(message) {
		this.state = 'left';
		this.dispatchEvent(new BelfryEvent('left', message));
	}
}

/** A topic, or a pattern of topics, that is listened to. */
export class Subscription extends Feed {
	/** @param {Chat} chat @param {string} topic @param {FeedOptions} [options] */
	constructor(chat, topic, options = {}) {
		super(chat, 'topic', topic, options);
	}

	async unsubscribe() {
		const wasJoined = this.state === 'joined';

		this.chat.subscriptions.delete(this.name);
		this.state = 'left';
		this.isLeftEarly = !wasJoined;
		this.readyReject?.(new BelfryError('left', 'unsubscribed'));
		if (wasJoined)
			await this.chat.request({ type: 'unsubscribe', topic: this.name });
	}

	quit() {
		return this.unsubscribe();
	}

	[START]() {
		this.begin('subscribe');
	}

	/** @param {Json} message */
	[RECEIVE](message) {
		if (message.type === 'subscribed')
			this.joined(message);
		else if (message.type === 'gap')
			this.gap(message);
		else if (message.type === 'unsubscribed')
			this.left(message);
		else if (message.echo)
			this.told(message);
		else if (this.advance(message))
			this.deliver(message);
	}

	/** What another tab has sent over the same connection. @param {Json} message */
	told({ echo: _, ...message }) {
		if (message.id > (this.cursor ?? 0) && !this.acked.has(message.id))
			this.tell(message);
		this.own(message.id);
	}

	/** @param {Json} message */
	deliver(message) {
		const isKnown = this.isKnown(message);
		const own = message.type === 'direct' && message.key !== undefined ? this.chat.directs.find(message.key) : undefined;

		if (own !== undefined)
			this.chat.directs.settle(own, message.id);
		else if (!isKnown)
			this.tell(message);
	}

	/** Directs and what becomes of them are the connection's, whatever subscription brings them. @param {Json} message */
	tell(message) {
		if (message.type === 'notification' || message.type === 'event')
			this.dispatchEvent(new BelfryEvent('message', message));
		else
			(message.room === undefined ? this.chat : this).dispatchEvent(new BelfryEvent(message.type, message));
	}
}
