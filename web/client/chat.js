// SPDX-License-Identifier: ISC
/* The connection: opened, watched, opened again, shared by rooms and topics. */

import {
	BelfryError, BelfryEvent, ENDED, START, fullJitter, userTopic,
} from './common.js';
import { Asking } from './asking.js';
import { Subscription } from './feeds.js';
import { Life } from './life.js';
import { openStream, openWebSocket, opening, tokenOf, whyRefused } from './open.js';
import { Requests, aborted } from './requests.js';
import { Room } from './room.js';
import { route } from './route.js';
import { DEAD, MOVED, Share, shareKey } from './share.js';

/** @typedef {import('../belfry.d.ts').ChatOptions} ChatOptions */
/** @typedef {import('../belfry.d.ts').FeedOptions} FeedOptions */
/** @typedef {import('../belfry.d.ts').State} State */
/** @typedef {import('../belfry.d.ts').User} User */
/** @typedef {Record<string, any>} Json */
/** @typedef {import('./open.js').Socket} Socket */

const WELCOME_TIMEOUT_MS = 10_000;              // from the first byte out to `welcome`
const STEADY_MS = 5_000;                        // a connection that lived so long ends a row of failures
const BLOCKED_AFTER = 2;                        // refusals without a reason before SSE is tried
const KICKED = 4403;
const TOKEN_ENDED = 4401;
const TOO_LARGE = 1009;

/** One connection to the daemon, kept up until close(); rooms and topics share it. */
export class Chat extends Asking {
	/** @type {Socket | null} */
	#socket = null;
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	#retryTimer = undefined;
	#requests = new Requests();
	#failures = 0;
	#refusals = 0;
	#blocked = 0;
	#openedAt = 0;
	/** @type {number | null} milliseconds the server asked us to stay away */
	#stayAway = null;
	/** @type {BelfryError | undefined} */
	#refused = undefined;
	/** @type {Room | undefined} the room that is part of a stream's address */
	#openedWith = undefined;
	/** @type {string | null} */
	#token = null;
	/** @type {Share | null} the connection of all tabs */
	#share = null;
	/** @type {Life} */
	#life;
	#probe = () => this.retryNow();
	#doubt = () => this.state === 'open' && this.#life.ask();

	/** @param {string | URL} [url] @param {ChatOptions} [options] */
	constructor(url, options = {}) {
		super(url, options);
		/** @type {State} */
		this.state = 'closed';
		/** @type {'websocket' | 'sse'} */
		this.transport = options.transport ?? 'websocket';
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
		/** @type {Set<string>} rooms and topics that this connection was in */
		this.entered = new Set();
		this.#life = new Life(() => this.request({ type: 'ping' }), () => this.#drop(this.#socket, 'no sign of life'), options.pongTimeout);
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
		const opened = opening(this, signal);

		globalThis.addEventListener?.('online', this.#probe);
		globalThis.addEventListener?.('offline', this.#doubt);
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

	/** One's own topic, once it is known who one is: directs come there. */
	get ownTopic() {
		return this.user === null ? undefined : userTopic(this.user.id);
	}

	/** Is the line shared with other tabs? */
	get isShared() {
		return this.#share !== null;
	}

	/** While waiting to reconnect: do it now. While open: find out whether the line is dead. */
	retryNow() {
		if (this.state === 'open')
			this.#life.ask();
		else if (this.state === 'connecting' && this.#socket === null)
			this.#begin('asked to');
	}

	/** A room, joined now and after every reconnect. @param {string} name @param {FeedOptions} [options] */
	room(name, options) {
		return this.#feed(this.rooms, Room, name, options);
	}

	/** A topic or pattern, subscribed now and after every reconnect. @param {string} topic @param {FeedOptions} [options] */
	subscribe(topic, options) {
		return this.#feed(this.subscriptions, Subscription, topic, options);
	}

	/**
	 * @template {Room | Subscription} F
	 * @param {Map<string, F>} known @param {new (chat: Chat, name: string, options?: FeedOptions) => F} Kind
	 * @param {string} name @param {FeedOptions} [options] @returns {F}
	 */
	#feed(known, Kind, name, options) {
		let feed = known.get(name);

		if (feed === undefined || feed.state === 'left' || feed.state === 'refused') {
			feed = new Kind(this, name, options);
			known.set(name, feed);
			feed.endWith(options?.signal);
			if (this.state === 'open' && feed.state === 'waiting')
				feed[START]();
		}
		return feed;
	}

	/** @param {string} token a new one for the same user */
	async refresh(token) {
		const answer = await this.request({ type: 'refresh', token });

		this.#token = token;
		this.expires = answer.expires ?? null;
		return answer;
	}

	/** Ask and wait for the answer. @param {Json} message @param {{signal?: AbortSignal, answered?: (answer: Json) => void}} [options] @returns {Promise<Json>} */
	request(message, { signal, answered } = {}) {
		const socket = this.#socket;

		if (this.state !== 'open' || socket === null)
			return Promise.reject(signal?.aborted ? aborted() : new BelfryError('closed', 'not connected'));
		return this.#requests.ask(message, (text) => socket.send(text), this.limits.message ?? Infinity, signal, answered);
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

	/** @param {string} why */
	async #begin(why) {
		clearTimeout(this.#retryTimer);
		/** @type {{socket: Socket | null, opened: boolean}} */
		const mine = { socket: null, opened: false };
		const placeholder = /** @type {Socket} */ ({ onmessage: null, onclose: null, onerror: null, send() {}, close() {} });

		this.#socket = placeholder;
		this.#setState('connecting', { reason: why });
		try {
			this.#token = await tokenOf(this.options, { refused: this.#refused });
			if (this.#socket !== placeholder)
				return;         // closed in the meantime
			mine.socket = this.#open(this.#token);
		} catch (error) {
			if (this.#socket === placeholder)
				this.#notOpened(/** @type {Error} */ (error));
			return;
		}
		const socket = this.#socket = mine.socket;
		const timeout = setTimeout(() => this.#drop(socket, 'no welcome in time'), WELCOME_TIMEOUT_MS);

		socket.onmessage = (event) => {
			clearTimeout(timeout);
			this.#life.heard();
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

	/** @param {string | null} token @returns {Socket} */
	#open(token) {
		const key = shareKey(this.url, this.options, token);
		const first = this.rooms.values().next().value;

		if (this.#share !== null && this.#share.key !== key)
			this.#stopSharing();
		if (key !== null) {
			this.#share ??= new Share(key, this.options.share, (hello) => this.#line(hello.transport, hello.token,
				hello.room === undefined ? undefined : { name: hello.room, position: () => ({ last: 0 }) }));
			return this.#share.open({ token, transport: this.transport, room: first?.name });
		}
		this.#openedWith = this.transport === 'sse' ? first : undefined;
		return this.#line(this.transport, token, this.#openedWith);
	}

	/** @param {string} transport @param {string | null} token @param {{name: string, position: () => Json} | undefined} room @returns {Socket} */
	#line(transport, token, room) {
		return transport === 'sse' ? openStream(this.url, this.options, token, this.fetch, room) : openWebSocket(this.url, this.options, token);
	}

	#stopSharing() {
		this.#share?.end();
		this.#share = null;
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
		if (message.type === 'joined')
			this.entered.add(`room ${message.room}`);       // also that of a stream's address
		const waiter = this.#requests.take(message);
		if (message.type === 'error') {
			const error = new BelfryError(message.code, message.message, message);
			if (waiter !== undefined)
				waiter.reject(error);
			else
				this.dispatchEvent(new BelfryEvent('error', error));
			return;
		}
		if (message.type === 'closing')
			this.#stayAway = message.retry ?? null;
		if (message.type === 'expiring')
			this.#renew(message);
		waiter?.answered?.(message);
		route(this, message);
		waiter?.resolve(message);
	}

	/** @param {Json} message */
	#welcome(message) {
		this.user = message.user;
		this.role = message.role ?? null;
		this.mayDirect = message.direct ?? null;
		this.session = message.session ?? null;
		this.limits = message.limits ?? {};
		this.expires = message.expires ?? null;
		this.#openedAt = Date.now();
		this.#refusals = this.#blocked = 0;
		this.#refused = undefined;
		this.entered.clear();
		const [rooms, subscriptions] = [[...this.rooms.values()], [...this.subscriptions.values()]];
		this.#setState('open');
		this.dispatchEvent(new BelfryEvent('open', message));   // what a listener joins has begun by itself
		for (const room of rooms.filter(({ state }) => state !== 'left'))
			room[START](room === this.#openedWith);
		for (const subscription of subscriptions.filter(({ state }) => state !== 'left'))
			subscription[START]();
		this.#openedWith = undefined;
		this.welcomed(message);
		this.#life.start(1000 * (message.heartbeat || 30));
	}

	/** @param {Socket | null} socket @param {string} reason */
	#drop(socket, reason) {
		if (socket === null || this.#socket !== socket)
			return;
		socket.onclose = socket.onmessage = null;
		socket.close(DEAD, reason);     // other tabs on the same line are told
		this.#closed(DEAD, reason);
	}

	/** @param {Json} message */
	async #renew(message) {
		try {
			const token = await tokenOf(this.options, { expiring: message.in });
			if (token !== null && token !== this.#token)
				await this.refresh(token);
		} catch (error) {
			this.dispatchEvent(new BelfryEvent('error', error));
		}
	}

	/** The connection has ended: what was asked gets no answer, what was sent is sent again. */
	#detach() {
		this.#life.stop();
		this.#socket = null;
		this.stopSending();
		for (const feed of [...this.rooms.values(), ...this.subscriptions.values()])
			feed[ENDED]();
		this.#requests.lost();
	}

	/** @param {number} code @param {string} reason @param {Error} [error] what a stream was refused with */
	#closed(code, reason, error) {
		const wasOpen = this.state === 'open';
		const outboxes = [this.publishing, this.directs, ...[...this.rooms.values()].map((room) => room.outbox)];

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
		if (!wasOpen && code !== MOVED)
			return this.#notOpened(error);
		this.#retry({ code, reason, atOnce: code === MOVED || (code === TOKEN_ENDED && typeof this.options.token === 'function') });
	}

	/**
	 * A browser does not say why a WebSocket was refused; the same request without the upgrade does.
	 * @param {Error} [error] when it is known
	 */
	async #notOpened(error) {
		const asking = this.#socket;
		const why = error instanceof BelfryError ? error : error
			? new BelfryError('closed', error.message, { cause: error }) : await whyRefused(this.url, this.#token, this.fetch);

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
			return this.#retry({ code: 1006, reason: why.message, error: why, atOnce: true });
		}
		this.#retry({ code: 1006, reason: why?.message ?? 'cannot reach the server', error: why });
	}

	/** @param {{code: number, reason: string, error?: BelfryError, atOnce?: boolean}} end */
	#retry({ code, reason, error, atOnce = false }) {
		const delay = atOnce && this.#failures < 2 ? 0
			: this.#stayAway ?? fullJitter(this.#failures, this.options.backoff, this.random);

		this.#detach();
		this.#failures++;
		this.#stayAway = null;
		this.#setState('connecting', { reason, code, retryIn: delay, error });
		this.dispatchEvent(new BelfryEvent('close', { code, reason, willRetry: true, retryIn: delay, error }));
		if (this.state === 'connecting' && this.#socket === null)
			this.#retryTimer = setTimeout(() => this.#begin(reason), delay);
	}

	/** @param {{code: number, reason: string, error?: BelfryError}} end */
	#end({ code, reason, error }) {
		const socket = this.#socket;

		clearTimeout(this.#retryTimer);
		globalThis.removeEventListener?.('online', this.#probe);
		globalThis.removeEventListener?.('offline', this.#doubt);
		this.#detach();
		if (socket !== null) {
			socket.onclose = socket.onmessage = null;
			socket.close(code === 1000 || (code >= 3000 && code < 5000) ? code : 1000, reason);
		}
		this.#stopSharing();
		this.#setState('closed', { code, reason, error });
		this.dispatchEvent(new BelfryEvent('close', { code, reason, willRetry: false, error }));
	}
}
