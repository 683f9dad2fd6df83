// SPDX-License-Identifier: ISC
/* What has a cursor and is resumed on every connection: subscriptions here, rooms in room.js. */

import { BelfryError, BelfryEvent, ENDED, RECEIVE, START, TRY_AGAIN } from './common.js';

/** @typedef {import('./chat.js').Chat} Chat */
/** @typedef {import('../belfry.d.ts').FeedOptions} FeedOptions */
/** @typedef {import('../belfry.d.ts').HistoryQuery} HistoryQuery */
/** @typedef {Record<string, any>} Json */

const QUIET_MS = 1_000;
const MOST_HELD_MS = 3_000;
const LAST_ON_JOIN = 50;                // what the server sends of a room when nothing is asked

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
		/** @type {number | undefined} up to where stored messages followed when it was joined first */
		this.latest = undefined;
		/** @type {number | undefined} the same, when it was joined last */
		this.upto = undefined;
		/** @type {Set<number>} one's own that were acked, or told by another tab, but are not yet passed by the cursor */
		this.acked = new Set();
		/** @type {Json[] | null} what comes while the history is asked for what stands before it */
		this.held = null;
		this.heldAt = 0;
		/** @type {object} another one for each attempt to join */
		this.turn = {};
		/** @type {ReturnType<typeof setTimeout> | undefined} */
		this.retryTimer = undefined;
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
		const { after, last } = this.options;

		if (this.cursor !== undefined)
			return { after: this.cursor };
		if (this.isAskedAgain())
			return { after };
		if (this.latest !== undefined)
			return { after: this.latest };
		return after !== undefined ? { after } : last !== undefined ? { last } : {};
	}

	/** Is the position that was asked for the same at any time? */
	isAskedAgain() {
		const { after } = this.options;

		return after !== undefined && (after === 'all' || /^\d+$/.test(String(after)));
	}

	/**
	 * The connection broke after `joined` and before the first message: was there none, or was it lost on
	 * the way? The history knows, and comes first. How many to ask for; 0: nothing can be missing.
	 */
	lacks() {
		if (this.cursor !== undefined || this.latest === undefined || this.isAskedAgain())
			return 0;
		return this.options.last ?? (this.kind === 'room' || this.options.after !== undefined ? LAST_ON_JOIN : 0);
	}

	/**
	 * @param {string} request `join` or `subscribe` @param {boolean} [isAsked] the connection was opened
	 * with this feed and its position: no request is needed
	 */
	async begin(request, isAsked = false) {
		const turn = this.turn = {};
		const limit = this.lacks();
		const key = `${this.kind} ${this.name}`;
		const isMixed = !isAsked && !this.chat.isShared && this.chat.transport === 'sse' && this.chat.entered.has(key);

		this.chat.entered.add(key);
		clearTimeout(this.retryTimer);
		this.held = limit > 0 || isMixed ? [] : null;
		try {
			if (!isAsked)
				await this.chat.request({ type: request, [this.kind]: this.name, ...this.position() }, { answered: (answer) => this.answered(answer) });
			if (this.isLeftEarly)
				return this.leftBefore(request);
		} catch (error) {
			if (turn === this.turn)
				this.refused(/** @type {BelfryError} */ (error), request);
			return;
		}
		if (limit > 0)
			await this.catchUp(turn, limit);
		else if (isMixed && turn === this.turn)
			this.sortOut(Date.now());
	}

	/**
	 * It was in here before, on this stream: what was still under way then may stand before what it has asked
	 * for now, and looks like it. @param {number} since
	 */
	sortOut(since) {
		this.retryTimer = setTimeout(() => {
			const now = Date.now();
			if (now >= since && now < Math.min(since + MOST_HELD_MS, Math.max(since, this.heldAt) + QUIET_MS))
				this.sortOut(since);
			else
				this.release();
		}, QUIET_MS / 4);
	}

	/** What was held back, in its order. */
	release() {
		const place = (/** @type {Json} */ { id, after }) => id ?? after ?? 0;   // a gap stands behind what it is after
		const held = /** @type {Json[]} */ (this.held ?? []);

		this.held = null;
		for (const message of held.sort((a, b) => place(a) - place(b))) {
			if (this.state !== 'left')
				this[RECEIVE](message);
		}
	}

	/** Its own answer: a feed of the same name, which was left, may have one under way, too. @param {Json} answer */
	answered(answer) {
		if (answer.type !== 'error' && this.state !== 'left')
			this[RECEIVE](answer);
	}

	/** @param {object} turn @param {number} limit */
	async catchUp(turn, limit) {
		const latest = this.latest ?? 0;
		/** @type {any[]} */
		let messages = [];

		try {
			({ messages } = await this.chat.history({ [this.kind]: this.name, before: latest + 1, limit }));
		} catch (thrown) {
			const error = /** @type {BelfryError} */ (thrown);
			if (turn !== this.turn || error.code === 'closed')
				return;         // the next connection asks again
			if (TRY_AGAIN.has(error.code)) {
				this.retryTimer = setTimeout(() => this.catchUp(turn, limit), 1000 * (error.retryAfter ?? 1));
				return;
			}
			this.chat.dispatchEvent(new BelfryEvent('error', error));
		}
		if (turn !== this.turn)
			return;
		const held = /** @type {Json[]} */ (this.held ?? []);

		this.held = null;
		for (const message of messages)
			this[RECEIVE](message);
		this.cursor = Math.max(this.cursor ?? 0, latest);       // or the next break would bring them all again
		this.held = held;
		this.release();
	}

	/** Must it wait for what stands before it? @param {Json} message */
	holds(message) {
		if (typeof message.id !== 'number' && message.type !== 'gap')
			return false;
		if (this.held === null)         // before the answer: of somebody who was in here before
			return this.state === 'waiting' && this.chat.transport === 'websocket';
		this.held.push(message);
		this.heldAt = Date.now();
		return true;
	}

	[RECEIVE](/** @type {Json} */ _message) {}

	/** Nothing more is told. */
	quiet() {
		this.turn = {};
		this.held = null;
		clearTimeout(this.retryTimer);
	}

	/** It was left while it was being joined: the server has let us in by now. @param {string} request */
	leftBefore(request) {
		const isAnothers = (this.kind === 'room' ? this.chat.rooms : this.chat.subscriptions).has(this.name);

		if (!isAnothers)
			this.chat.request({ type: request === 'join' ? 'leave' : 'unsubscribe', [this.kind]: this.name }).catch(() => {});
	}

	/** @param {BelfryError} error @param {string} request */
	refused(error, request) {
		if (error.code === 'closed' || this.state === 'left')
			return;         // the next connection asks again
		if (TRY_AGAIN.has(error.code)) {
			this.retryTimer = setTimeout(() => {
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
		this.latest ??= message.latest; // what came since is not yet told: a later one would leave it out
		this.upto = message.latest;
		if (this.lacks() === 0 && !this.isAskedAgain())
			this.cursor ??= this.latest;
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
			this.cursor = Math.max(message.reason === 'trimmed' ? this.cursor ?? 0 : 0, message.oldest === null ? this.upto ?? 0 : message.oldest - 1);
		this.dispatchEvent(new BelfryEvent('gap', message));
	}

	[ENDED]() {
		this.quiet();
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
		this.quiet();
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
		this.quiet();
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
		if (this.holds(message))
			return;
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
