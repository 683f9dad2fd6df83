// SPDX-License-Identifier: ISC
/* The connection: opened, watched, opened again, shared by rooms and topics. */

import {
	BelfryError, BelfryEvent, ENDED, RECEIVE, START, baseOf, fullJitter, newKey, topicMatches,
} from './common.js';
import { Room, Subscription } from './feeds.js';
import { openStream, openWebSocket, whyRefused } from './open.js';
import { Outbox, Outgoing } from './outbox.js';
import { Requests, aborted } from './requests.js';

/** @typedef {import('../belfry.d.ts').ChatOptions} ChatOptions */
/** @typedef {import('../belfry.d.ts').FeedOptions} FeedOptions */
/** @typedef {import('../belfry.d.ts').State} State */
/** @typedef {import('../belfry.d.ts').TokenContext} TokenContext */
/** @typedef {import('../belfry.d.ts').User} User */
/** @typedef {Record<string, any>} Json */
/** @typedef {import('./open.js').Socket} Socket */

const WELCOME_TIMEOUT_MS = 10_000;              // from the first byte out to `welcome`
const PONG_TIMEOUT_MS = 10_000;
const STEADY_MS = 5_000;                        // a connection that lived so long ends a row of failures
const BLOCKED_AFTER = 2;                        // refusals without a reason before SSE is tried
const ANSWERS = new Set(['ack', 'history', 'left', 'unsubscribed']);
const KICKED = 4403;
const TOKEN_ENDED = 4401;
const TOO_LARGE = 1009;

/** One connection to the daemon, kept up until close(); rooms and topics share it. */
export class Chat extends EventTarget {
	/** @type {Socket | null} */
	#socket = null;
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	#retryTimer = undefined;
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	#lifeTimer = undefined;
	#requests = new Requests();
	#failures = 0;
	#refusals = 0;
	#blocked = 0;
	#openedAt = 0;
	#heardAt = 0;
	#heartbeatMs = 30_000;
	/** @type {number | null} milliseconds the server asked us to stay away */
	#stayAway = null;
	/** @type {BelfryError | undefined} */
	#refused = undefined;
	/** @type {Room | undefined} the room that is part of a stream's address */
	#openedWith = undefined;
	/** @type {string | null} */
	#token = null;
	/** @type {Outbox} */
	#publishing;
	#probe = () => this.#checkLife(true);

	/** @param {string | URL} [url] @param {ChatOptions} [options] */
	constructor(url, options = {}) {
		super();
		this.url = baseOf(url);
		this.options = options;
		this.random = options.random ?? Math.random;
		this.fetch = options.fetch ?? ((/** @type {any} */ input, /** @type {any} */ init) => fetch(input, init));
		/** @type {State} */
		this.state = 'closed';
		/** @type {'websocket' | 'sse'} */
		this.transport = options.transport ?? 'websocket';
		/** @type {User | null} */
		this.user = null;
		/** @type {string | null} */
		this.session = null;
		/** @type {Json} */
		this.limits = {};
		/** @type {number | null} */
		this.expires = null;
		/** @type {Map<string, Room>} */
		this.rooms = new Map();
		/** @type {Map<string, Subscription>} */
		this.subscriptions = new Map();
		this.#publishing = new Outbox((body) => this.request(body), (event, message) => {
			this.dispatchEvent(new BelfryEvent(event, message));
		});
		options.signal?.addEventListener('abort', () => this.close(), { once: true });
	}

	/**
	 * Connect, and stay connected. Resolves when open for the first time.
	 * @param {{signal?: AbortSignal}} [options] gives up, and closes, when it is aborted before that
	 * @returns {Promise<void>}
	 */
	connect({ signal } = {}) {
		if (this.options.signal?.aborted || signal?.aborted)
			return Promise.reject(aborted());
		if (this.state === 'open')
			return Promise.resolve();
		const told = new AbortController();
		/** @type {Promise<void>} */
		const opened = new Promise((resolve, reject) => {
			this.addEventListener('open', () => resolve(), { signal: told.signal });
			this.addEventListener('close', (event) => {
				const { willRetry, error, reason } = /** @type {BelfryEvent} */ (event).detail;
				if (!willRetry)
					reject(error ?? new BelfryError('closed', reason));
			}, { signal: told.signal });
			signal?.addEventListener('abort', () => {
				reject(aborted());
				this.close(1000, 'aborted');
			}, { signal: told.signal });
		});
		const end = () => told.abort();

		opened.then(end, end);          // who does not wait has the `close` event
		globalThis.addEventListener?.('online', this.#probe);
		if (this.#socket === null)
			this.#begin('first connection');
		return opened;
	}

	/** End it, for good. @param {number} [code] @param {string} [reason] */
	close(code = 1000, reason = 'closed by the application') {
		if (this.state === 'closed')
			return;
		this.#end({ code, reason });
	}

	/** While waiting to reconnect: do it now. While open: find out whether the line is dead. */
	retryNow() {
		if (this.state === 'open')
			this.#checkLife(true);
		else if (this.state === 'connecting' && this.#socket === null)
			this.#begin('asked to');
	}

	/** A room, joined now and after every reconnect. @param {string} name @param {FeedOptions} [options] */
	room(name, options) {
		let room = this.rooms.get(name);

		if (room === undefined || room.state === 'left' || room.state === 'refused') {
			room = new Room(this, name, options);
			this.rooms.set(name, room);
			room.endWith(options?.signal);
			if (this.state === 'open')
				room[START]();
		}
		return room;
	}

	/** A topic or pattern, subscribed now and after every reconnect. @param {string} topic @param {FeedOptions} [options] */
	subscribe(topic, options) {
		let subscription = this.subscriptions.get(topic);

		if (subscription === undefined || subscription.state === 'left' || subscription.state === 'refused') {
			subscription = new Subscription(this, topic, options);
			this.subscriptions.set(topic, subscription);
			subscription.endWith(options?.signal);
			if (this.state === 'open')
				subscription[START]();
		}
		return subscription;
	}

	/** Publish on a topic; offline it waits. @param {Json} message */
	publish(message) {
		const outgoing = new Outgoing(message.key ?? newKey(this.random), { ...message, type: 'publish' });

		this.#publishing.push(outgoing);
		return outgoing;
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

	/** @param {string} token a new one for the same user */
	async refresh(token) {
		const answer = await this.request({ type: 'refresh', token });

		this.#token = token;
		this.expires = answer.expires ?? null;
		return answer;
	}

	/** Ask and wait for the answer. @param {Json} message @param {{signal?: AbortSignal}} [options] @returns {Promise<Json>} */
	request(message, { signal } = {}) {
		const socket = this.#socket;

		if (this.state !== 'open' || socket === null)
			return Promise.reject(signal?.aborted ? aborted() : new BelfryError('closed', 'not connected'));
		return this.#requests.ask(message, (text) => socket.send(text), this.limits.message ?? Infinity, signal);
	}

	/** Send what has no answer; lost when not connected. @param {Json} message */
	post(message) {
		if (this.state === 'open')
			this.#socket?.send(JSON.stringify(message));
	}

	/** @param {State} state @param {Json} [more] */
	#setState(state, more = {}) {
		this.state = state;
		this.dispatchEvent(new BelfryEvent('state', { state, ...more }));
	}

	/** @param {TokenContext} context @returns {Promise<string | null>} */
	async #askToken(context) {
		const { token } = this.options;

		return (typeof token === 'function' ? await token(context) : token) ?? null;
	}

	/** @param {string} why */
	async #begin(why) {
		clearTimeout(this.#retryTimer);
		/** @type {{socket: Socket | null, opened: boolean}} */
		const mine = { socket: null, opened: false };
		const placeholder = /** @type {Socket} */ ({ onmessage: null, onclose: null, onerror: null, send() {}, close() {} });

		this.#socket = placeholder;
		this.#setState('connecting', { reason: why });
		try {
			this.#token = await this.#askToken({ refused: this.#refused });
			if (this.#socket !== placeholder)
				return;         // closed in the meantime
			mine.socket = this.transport === 'sse' ? this.#openStream() : openWebSocket(this.url, this.options, this.#token);
		} catch (error) {
			if (this.#socket === placeholder)
				this.#notOpened(/** @type {Error} */ (error));
			return;
		}
		const socket = this.#socket = mine.socket;
		const timeout = setTimeout(() => this.#drop(socket, 'no welcome in time'), WELCOME_TIMEOUT_MS);

		socket.onmessage = (event) => {
			clearTimeout(timeout);
			this.#heardAt = Date.now();
			if (this.#socket === socket)
				this.#receive(event.data);
		};
		socket.onerror = () => {};      // onclose follows, and knows more
		socket.onclose = (event) => {
			clearTimeout(timeout);
			if (this.#socket === socket)
				this.#closed(event.code, event.reason, event.error);
		};
	}

	/** @returns {Socket} */
	#openStream() {
		this.#openedWith = this.rooms.values().next().value;
		return openStream(this.url, this.options, this.#token, this.fetch, this.#openedWith);
	}

	/** @param {string} text */
	#receive(text) {
		/** @type {Json} */
		let message;

		try {
			message = JSON.parse(text);
		} catch {
			return;
		}
		if (message.type === 'welcome')
			return this.#welcome(message);
		this.dispatchEvent(new BelfryEvent('frame', message));
		const waiter = this.#requests.take(message);
		if (message.type === 'error') {
			const error = new BelfryError(message.code, message.message, message);
			if (waiter !== undefined)
				waiter.reject(error);
			else
				this.dispatchEvent(new BelfryEvent('error', error));
			return;
		}
		this.#route(message);
		waiter?.resolve(message);
	}

	/** @param {Json} message */
	#route(message) {
		if (message.type === 'closing')
			this.#stayAway = message.retry ?? null;
		if (message.type === 'expiring')
			this.#renew(message);
		if (ANSWERS.has(message.type) && message.ref !== undefined)
			return;         // whoever asked has it; a room of the same name may have been joined since
		if (typeof message.room === 'string' && message.type !== 'rooms') {
			this.rooms.get(message.room)?.[RECEIVE](message);
			if (message.type === 'left')
				this.rooms.delete(message.room);
		} else if (typeof message.topic === 'string') {
			const isMessage = message.type === 'notification' || message.type === 'event';
			for (const subscription of [...this.subscriptions.values()]) {
				if (isMessage ? topicMatches(subscription.name, message.topic) : subscription.name === message.topic)
					subscription[RECEIVE](message);
			}
			if (message.type === 'unsubscribed')
				this.subscriptions.delete(message.topic);
		} else if (['direct', 'closing', 'expiring'].includes(message.type)) {
			this.dispatchEvent(new BelfryEvent(message.type, message));
		}
	}

	/** @param {Json} message */
	#welcome(message) {
		this.user = message.user;
		this.session = message.session ?? null;
		this.limits = message.limits ?? {};
		this.expires = message.expires ?? null;
		this.#heartbeatMs = 1000 * (message.heartbeat || 30);
		this.#openedAt = Date.now();
		this.#refusals = this.#blocked = 0;
		this.#refused = undefined;
		this.#setState('open');
		this.dispatchEvent(new BelfryEvent('open', message));
		for (const room of this.rooms.values())
			room[START](room === this.#openedWith);
		for (const subscription of this.subscriptions.values())
			subscription[START]();
		this.#openedWith = undefined;
		this.#publishing.start();
		this.#watchLife();
	}

	/** Browsers hide the server's pings, so ask when it has been quiet for long. */
	#watchLife() {
		clearTimeout(this.#lifeTimer);
		this.#lifeTimer = setTimeout(() => this.#checkLife(false), this.#heartbeatMs);
	}

	/** @param {boolean} now */
	async #checkLife(now) {
		const socket = this.#socket;

		if (now && this.state === 'connecting')
			return this.retryNow();
		if (this.state !== 'open' || socket === null)
			return;
		if (!now && Date.now() - this.#heardAt < this.#heartbeatMs)
			return this.#watchLife();
		const dead = setTimeout(() => this.#drop(socket, 'no sign of life'),
			this.options.pongTimeout ?? PONG_TIMEOUT_MS);
		try {
			await this.request({ type: 'ping' });
		} catch {
			// an answer of any kind is life; a closed connection is seen by onclose
		}
		clearTimeout(dead);
		if (this.#socket === socket)
			this.#watchLife();
	}

	/** @param {Socket} socket @param {string} reason */
	#drop(socket, reason) {
		if (this.#socket !== socket)
			return;
		socket.onclose = socket.onmessage = null;
		socket.close();
		this.#closed(4408, reason);
	}

	/** @param {Json} message */
	async #renew(message) {
		try {
			const token = await this.#askToken({ expiring: message.in });
			if (token !== null && token !== this.#token)
				await this.refresh(token);
		} catch (error) {
			this.dispatchEvent(new BelfryEvent('error', error));
		}
	}

	/** The connection has ended: what was asked gets no answer, what was sent is sent again. */
	#detach() {
		clearTimeout(this.#lifeTimer);
		this.#socket = null;
		this.#publishing.stop();
		for (const feed of [...this.rooms.values(), ...this.subscriptions.values()])
			feed[ENDED]();
		this.#requests.lost();
	}

	/** @param {number} code @param {string} reason @param {Error} [error] what a stream was refused with */
	#closed(code, reason, error) {
		const wasOpen = this.state === 'open';
		const outboxes = [this.#publishing, ...[...this.rooms.values()].map((room) => room.outbox)];

		if (code === TOO_LARGE) {       // sent again it would only be refused again
			for (const outbox of outboxes) {
				if (outbox.underWay !== null)
					outbox.fail(outbox.underWay, new BelfryError('too_large', 'the message is too large'));
			}
		}
		if (wasOpen && Date.now() - this.#openedAt >= STEADY_MS)
			this.#failures = 0;
		if (code === KICKED)
			return this.#end({ code, reason });
		if (!wasOpen)
			return this.#notOpened(error);
		this.#retry({ code, reason, atOnce: code === TOKEN_ENDED && typeof this.options.token === 'function' });
	}

	/**
	 * A browser does not say why a WebSocket was refused; the same request without the upgrade does.
	 * @param {Error} [error] when it is known
	 */
	async #notOpened(error) {
		const asking = this.#socket;
		const why = error instanceof BelfryError ? error : error
			? new BelfryError('closed', error.message) : await whyRefused(this.url, this.#token, this.fetch);

		if (this.state !== 'connecting' || this.#socket !== asking)
			return;
		this.#blocked = why?.status === 426 ? this.#blocked + 1 : 0;
		if (this.#blocked >= BLOCKED_AFTER && this.options.transport === undefined)
			this.transport = 'sse';
		if (why?.retryAfter)
			this.#stayAway = 1000 * why.retryAfter * (1 + this.random() / 4);
		if (why?.status === 401 || why?.status === 403 || why?.status === 400) {
			this.#refused = why;
			this.#refusals++;
			if (this.#refusals > 1 || typeof this.options.token !== 'function')
				return this.#end({ code: 1006, reason: why.message, error: why });
			return this.#retry({ code: 1006, reason: why.message, atOnce: true });
		}
		this.#retry({ code: 1006, reason: why?.message ?? 'cannot reach the server' });
	}

	/** @param {{code: number, reason: string, atOnce?: boolean}} end */
	#retry({ code, reason, atOnce = false }) {
		const delay = atOnce && this.#failures < 2 ? 0
			: this.#stayAway ?? fullJitter(this.#failures, this.options.backoff, this.random);

		this.#detach();
		this.#failures++;
		this.#stayAway = null;
		this.#setState('connecting', { reason, code, retryIn: delay });
		this.dispatchEvent(new BelfryEvent('close', { code, reason, willRetry: true, retryIn: delay }));
		if (this.state === 'connecting' && this.#socket === null)
			this.#retryTimer = setTimeout(() => this.#begin(reason), delay);
	}

	/** @param {{code: number, reason: string, error?: BelfryError}} end */
	#end({ code, reason, error }) {
		const socket = this.#socket;

		clearTimeout(this.#retryTimer);
		globalThis.removeEventListener?.('online', this.#probe);
		this.#detach();
		if (socket !== null) {
			socket.onclose = socket.onmessage = null;
			socket.close(code === 1000 || (code >= 3000 && code < 5000) ? code : 1000, reason);
		}
		this.#setState('closed', { code, reason, error });
		this.dispatchEvent(new BelfryEvent('close', { code, reason, willRetry: false, error }));
	}
}
