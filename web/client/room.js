// SPDX-License-Identifier: ISC
/* A chat room: messages in, messages out, what becomes of them, who is there, what is unread. */

import { BelfryError, BelfryEvent, ENDED, RECEIVE, START, bodyOf, newKey } from './common.js';
import { Feed } from './feeds.js';
import { Outbox, Outgoing, Shelf } from './outbox.js';
import { MessageList, RECORDS, echoOf, isNamed } from './records.js';

/** @typedef {import('./chat.js').Chat} Chat */
/** @typedef {import('../belfry.d.ts').FeedOptions} FeedOptions */
/** @typedef {import('../belfry.d.ts').Sentence} Sentence */
/** @typedef {import('../belfry.d.ts').User} User */
/** @typedef {Record<string, any>} Json */

const KEPT = 200;                       // messages in `messages`
const READ_EVERY_MS = 1_000;

export class Room extends Feed {
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	#readTimer = undefined;
	#readAt = 0;
	#readTold = 0;
	/** @type {number | undefined} what is newer is counted as unread here; what is older the server has counted */
	#countFrom = undefined;

	/** @param {Chat} chat @param {string} name @param {FeedOptions} [options] */
	constructor(chat, name, options = {}) {
		super(chat, 'room', name, options);
		/** @type {Map<string, User>} who is there, by id (the server lists at most 100) */
		this.people = new Map();
		this.count = 0;
		this.unread = 0;
		/** @type {number | undefined} up to where one has read, on any device */
		this.marker = undefined;
		this.list = new MessageList(options.keep ?? KEPT);
		const { storage } = chat.options;
		const shelf = storage && new Shelf(storage, `${chat.url.href} ${name}`, () => chat.user?.id);
		this.outbox = new Outbox((body) => chat.request(body), (event, message) => this.#settled(event, message), shelf);
	}

	/** The newest messages, as they are by now. @returns {any[]} */
	get messages() {
		return this.list.all;
	}

	/** What is not acked yet, also from before the page was loaded. */
	get unsent() {
		return this.outbox.unsent;
	}

	/** @param {'sent' | 'failed'} event @param {Outgoing} message */
	#settled(event, message) {
		if (event === 'sent') {
			this.own(message.id);
			this.list.add({ ...echoOf(message.body, { id: message.id }, this.chat.user ?? { id: '', name: '' }), key: message.key, time: message.time });
		}
		this.dispatchEvent(new BelfryEvent(event, message));
	}

	/**
	 * Send a message; offline it waits. @param {string | Json} message
	 * @returns {Outgoing}
	 */
	send(message) {
		const body = bodyOf(message);
		const outgoing = new Outgoing(body.key ?? newKey(this.chat.random), { ...body, type: 'chat', room: this.name });

		this.dispatchEvent(new BelfryEvent('sending', outgoing));
		this.outbox.push(outgoing);
		return outgoing;
	}

	/** Another wording. @param {number} target @param {string | {content?: string, data?: unknown}} message */
	edit(target, message) {
		return this.#change({ type: 'edit', target, ...bodyOf(message) });
	}

	/** Take a message back: nothing of it is left, here and on the server. @param {number} target */
	remove(target) {
		return this.#change({ type: 'delete', target });
	}

	/** @param {number} target @param {string} emoji @param {boolean} [on] */
	react(target, emoji, on = true) {
		return this.#change({ type: 'react', target, emoji, on });
	}

	/** @param {Json} request tells the others; oneself is told by the answer @returns {Promise<void>} */
	async #change(request) {
		const full = { ...request, room: this.name };
		const ack = await this.chat.request(full);
		const record = echoOf(full, ack, this.chat.user ?? { id: '', name: '' });

		this.own(ack.id);
		if (record !== null)
			this.#apply(record);
	}

	/** Everything up to a message has been read; told to the server at most once a second. @param {number} [id] left out: the newest */
	read(id = Math.max(this.cursor ?? 0, this.list.all.at(-1)?.id ?? 0)) {
		this.#count(0);
		if (id <= (this.marker ?? 0))
			return;
		this.marker = id;
		this.#tellRead();
	}

	#tellRead() {
		const wait = this.#readAt + READ_EVERY_MS - Date.now();

		this.#readTimer ??= setTimeout(() => {
			this.#readTimer = undefined;
			if (this.state === 'joined' && this.marker !== undefined && this.marker > this.#readTold) {
				this.#readTold = this.marker;
				this.#readAt = Date.now();
				this.chat.post({ type: 'read', room: this.name, id: this.marker });
			}
		}, Math.min(READ_EVERY_MS, Math.max(0, wait)));
	}

	/** @param {string} user @param {Sentence} [sentence] */
	kick(user, sentence) {
		return this.#moderate('kick', user, sentence);
	}

	/** @param {string} user @param {Sentence} [sentence] */
	ban(user, sentence) {
		return this.#moderate('ban', user, sentence);
	}

	/** @param {string} user */
	unban(user) {
		return this.#moderate('unban', user);
	}

	/** @param {string} user @param {Sentence} [sentence] */
	mute(user, sentence) {
		return this.#moderate('mute', user, sentence);
	}

	/** @param {string} user */
	unmute(user) {
		return this.#moderate('unmute', user);
	}

	/** @param {string} type @param {string} user @param {Sentence} [sentence] @returns {Promise<void>} */
	async #moderate(type, user, { seconds, reason } = {}) {
		await this.chat.request({ type, room: this.name, user, ...(seconds ? { seconds } : {}), ...(reason ? { reason } : {}) });
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
		this.quiet();
		this.state = 'left';
		this.isLeftEarly = !wasJoined;
		this.readyReject?.(new BelfryError('left', 'the room was left'));
		clearTimeout(this.#readTimer);
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
		if (this.holds(message))
			return;
		switch (message.type) {
		case 'joined':
			this.setPeople(message.members, message.count);
			this.#entered(message);
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
		case 'read':
			this.#heardRead(message);
			break;
		case 'left':
			this.outbox.failAll(new BelfryError('left', message.reason ?? 'no longer in the room'));
			this.left(message);
			break;
		default:
			if (message.echo)
				this.#told(message);
			else if (this.advance(message))
				this.deliver(message);
		}
	}

	/** What another tab has sent over the same connection: it is not among what the server tells this connection. @param {Json} message */
	#told({ echo: _, ...message }) {
		if (!this.list.has(message.id))
			this.#tell(message);
		this.own(message.id);
	}

	/** @param {Json} message */
	deliver(message) {
		const own = message.type === 'chat' ? this.outbox.find(message.key) : undefined;
		const isKnown = this.isKnown(message);

		if (own !== undefined)
			this.outbox.settle(own, message.id);
		else if (!isKnown)
			this.#tell(message);
	}

	/** @param {Json} message */
	#tell(message) {
		if (RECORDS.has(message.type))
			return this.#apply(message);
		if (message.type !== 'chat') {
			this.dispatchEvent(new BelfryEvent(message.type, message));
			return;
		}
		const me = this.chat.user?.id;
		const isNew = this.#countFrom === undefined || message.id === undefined || message.id > this.#countFrom;

		this.list.add(message);
		this.dispatchEvent(new BelfryEvent('message', message));
		if (!isNew || message.deleted || message.from?.id === me || message.id <= (this.marker ?? 0))
			return;
		this.#count(this.unread + 1);
		if (isNamed(message, this.chat.user))
			this.dispatchEvent(new BelfryEvent('mention', message));
	}

	/** @param {Json} record */
	#apply(record) {
		if (record.id !== undefined)
			this.list.ids.add(record.id);
		const message = this.list.apply(record);

		this.dispatchEvent(new BelfryEvent(record.type, record));
		if (message !== undefined)
			this.dispatchEvent(new BelfryEvent('changed', { message, record }));
	}

	/** What is unread, as the server has counted it. @param {Json} message `joined` */
	#entered({ unread, read = 0, latest }) {
		const isBehind = this.marker !== undefined && this.marker > read;

		if (isBehind) {                 // what was read last was not told any more
			this.#readTold = read;
			this.#tellRead();
		} else if (read !== 0) {
			this.marker = read;
		}
		if (this.#countFrom === undefined || (unread !== undefined && !isBehind))
			this.#countFrom = latest;
		this.#count(isBehind ? this.unread : unread ?? this.unread);
	}

	/** @param {Json} message */
	#heardRead(message) {
		if (message.user?.id === this.chat.user?.id && message.read > (this.marker ?? 0)) {
			this.marker = message.read;
			this.#count(this.list.all.filter(({ id, from }) => id > message.read && from.id !== this.chat.user?.id).length);
		}
		this.dispatchEvent(new BelfryEvent('read', message));
	}

	/** @param {number} unread */
	#count(unread) {
		const isOther = unread !== this.unread;

		this.unread = unread;
		if (isOther)
			this.dispatchEvent(new BelfryEvent('unread', { unread }));
	}

	/** @param {User[] | undefined} members @param {number | undefined} count */
	setPeople(members = [], count = members.length) {
		this.people = new Map(members.map((user) => [user.id, user]));
		this.count = count;
		this.dispatchEvent(new BelfryEvent('people', { people: this.people, count }));
	}
}
