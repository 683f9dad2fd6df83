// SPDX-License-Identifier: ISC
/* Rooms and subscriptions: what has a cursor, and is resumed on every connection. */

import { BelfryError, BelfryEvent, ENDED, RECEIVE, START, TRY_AGAIN, newKey } from './common.js';
import { Outbox, Outgoing, Shelf } from './outbox.js';

/** @typedef {import('./chat.js').Chat} Chat */
/** @typedef {import('../belfry.d.ts').FeedOptions} FeedOptions */
/** @typedef {import('../belfry.d.ts').HistoryQuery} HistoryQuery */
/** @typedef {import('../belfry.d.ts').User} User */
/** @typedef {Record<string, any>} Json */

/** What a room and a subscription have in common: a cursor, and joining again where it left off. */
class Feed extends EventTarget {
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
		/** @type {'waiting' | 'joined' | 'refused' | 'left'} */
		this.state = 'waiting';
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
			if (before !== undefined)
				await this.catchUp(before);
		} catch (error) {
			this.refused(/** @type {BelfryError} */ (error), request);
		}
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

/** A chat room: messages in, messages out, who is there, who is typing. */
export class Room extends Feed {
	/** @param {Chat} chat @param {string} name @param {FeedOptions} [options] */
	constructor(chat, name, options = {}) {
		super(chat, 'room', name, options);
		/** @type {Map<string, User>} who is there, by id (the server lists at most 100) */
		this.people = new Map();
		this.count = 0;
		/** @type {Map<number, Outgoing>} acked, but not yet passed by the cursor */
		this.acked = new Map();
		const { storage } = chat.options;
		const shelf = storage && new Shelf(storage, `${chat.url.href} ${name}`, () => chat.user?.id);
		this.outbox = new Outbox((body) => chat.request(body), (event, message) => {
			if (event === 'sent' && message.id !== undefined && message.id > (this.cursor ?? 0))
				this.acked.set(message.id, message);
			this.dispatchEvent(new BelfryEvent(event, message));
		}, shelf);
	}

	/** What is not acked yet, also from before the page was loaded. */
	get unsent() {
		return this.outbox.unsent;
	}

	/**
	 * Send a message; offline it waits. @param {string | Json} message
	 * @returns {Outgoing}
	 */
	send(message) {
		const body = typeof message === 'string' ? { content: message } : message;
		const outgoing = new Outgoing(body.key ?? newKey(this.chat.random), { ...body, type: 'chat', room: this.name });

		this.dispatchEvent(new BelfryEvent('sending', outgoing));
		this.outbox.push(outgoing);
		return outgoing;
	}

	/** Tell the others that you are writing. @param {boolean} [typing] */
	typing(typing = true) {
		if (this.state === 'joined')
			this.chat.post({ type: 'typing', room: this.name, typing });
	}

	/** Who is there, asked anew. */
	async members() {
		const answer = await this.chat.request({ type: 'members', room: this.name });

		return /** @type {User[]} */ (answer.members);
	}

	/** @param {{keep?: boolean}} [options] keep: what is unsent waits in the storage until the room is entered again */
	async leave({ keep = false } = {}) {
		const wasJoined = this.state === 'joined';

		this.chat.rooms.delete(this.name);
		if (keep && this.chat.options.storage)
			this.outbox.keep();
		this.outbox.failAll(new BelfryError('left', 'the room was left'));
		this.state = 'left';
		if (wasJoined)
			await this.chat.request({ type: 'leave', room: this.name });
	}

	quit() {
		return this.leave();
	}

	/** @param {boolean} [isAsked] */
	[START](isAsked) {
		this.begin('join', isAsked);
	}

	[ENDED]() {
		super[ENDED]();
		this.outbox.stop();
	}

	/** @param {Json} message */
	[RECEIVE](message) {
		switch (message.type) {
		case 'joined':
			this.setPeople(message.members, message.count);
			this.joined(message);
			this.outbox.disown(this.chat.user?.id);
			this.outbox.start();
			break;
		case 'members':
			this.setPeople(message.members, message.count);
			break;
		case 'count': // of a crowded room, in place of each coming and going
			this.count = message.count;
			this.dispatchEvent(new BelfryEvent('people', { people: this.people, count: this.count }));
			break;
		case 'user_joined':
		case 'user_left':
			if (message.type === 'user_joined')
				this.people.set(message.user.id, message.user);
			else
				this.people.delete(message.user.id);
			this.count = message.count ?? this.people.size;
			this.dispatchEvent(new BelfryEvent(message.type, message));
			this.dispatchEvent(new BelfryEvent('people', { people: this.people, count: this.count }));
			break;
		case 'gap':
			this.gap(message);
			break;
		case 'left':
			this.outbox.failAll(new BelfryError('left', message.reason ?? 'no longer in the room'));
			this.left(message);
			break;
		default:
			if (this.advance(message))
				this.deliver(message);
		}
	}

	/** @param {Json} message */
	deliver(message) {
		const own = message.type === 'chat' ? this.outbox.find(message.key) : undefined;
		const known = this.acked.has(message.id);

		if (own !== undefined)
			this.outbox.settle(own, message.id);
		for (const id of this.acked.keys()) {
			if (id <= message.id)
				this.acked.delete(id);
		}
		if (own === undefined && !known)
			this.dispatchEvent(new BelfryEvent(message.type === 'chat' ? 'message' : message.type, message));
	}

	/** @param {User[] | undefined} members @param {number | undefined} count */
	setPeople(members = [], count = members.length) {
		this.people = new Map(members.map((user) => [user.id, user]));
		this.count = count;
		this.dispatchEvent(new BelfryEvent('people', { people: this.people, count }));
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
		else if (this.advance(message))
			this.deliver(message);
	}
}
