// SPDX-License-Identifier: ISC
/*
 * The leader's switchboard: many tabs on one connection, each with rooms and topics of its own.
 *
 * A tab hears of a room or topic from the answer to its own join on. A later join replays only for who
 * asked: for the others everything up to their `floor` is an echo of what they had. Joins of the same
 * room wait for each other's replay, since the server has one reader a subscription; one that is silent
 * may be over or only slow, so that whoever waits comes in, and what follows is passed on all the same.
 */

import { hears, echoOf } from './records.js';
import { userTopic } from './common.js';

/** @typedef {Record<string, any>} Json */
/** @typedef {import('./share.js').Hello} Hello */
/** @typedef {import('./open.js').Socket} Socket */
/**
 * @typedef {object} Feed
 * @property {'room' | 'topic'} kind
 * @property {string} name
 * @property {'asked' | 'replaying' | 'live'} state
 * @property {any} after the position asked for
 * @property {number} latest up to where stored messages follow
 * @property {number} floor the highest id that was passed on
 * @property {number} quietAt when the replay has been silent for long enough to let others in
 * @property {Json[] | null} held over a stream, whose answers come by another way than its messages: what came before it is clear what it is
 * @property {number} heldUntil at most
 */
/** @typedef {Map<string, Feed>} Tab */

const QUIET_MS = 1_000;
const MOST_HELD_MS = 3_000;
const LAST_ON_JOIN = 50;                // what the server sends when nothing is asked

/** Has the time come, also where somebody has set the clock back? @param {number} at */
const isOver = (at) => at <= Date.now() || at > Date.now() + MOST_HELD_MS;

export class Hub {
	/** @type {Map<string, Tab>} */
	#tabs = new Map();
	/** @type {Socket | null} */
	#socket = null;
	/** @type {Json | null} */
	#welcome = null;
	/** @type {Map<string, {tab: string, ref: any, request: Json, feed?: Feed}>} */
	#asked = new Map();
	#lastRef = 0;
	#isStream = false;
	/** @type {Set<string>} what this line was in; so is the room of a stream's address, before anybody has asked: what is said there comes at once */
	#entered = new Set();
	/** @type {Array<{tab: string, message: Json}>} */
	#joins = [];
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	#timer = undefined;

	/** @param {(hello: Hello) => Socket} line @param {(tabs: string[], message: Json) => void} tell */
	constructor(line, tell) {
		this.line = line;
		this.tell = tell;
	}

	/** @param {string} tab */
	has(tab) {
		return this.#tabs.has(tab);
	}

	/** @param {string} tab @param {Hello} hello */
	attach(tab, hello) {
		if (this.has(tab))
			this.detach(tab);
		this.#tabs.set(tab, new Map());
		if (this.#welcome !== null)
			this.#text([tab], this.#welcome);
		else if (this.#socket === null)
			this.#open(hello);
	}

	/** @param {Hello} hello */
	#open(hello) {
		const socket = this.#socket = this.line(hello);

		this.#isStream = hello.transport === 'sse';
		this.#entered = new Set(hello.room === undefined ? [] : [`room ${hello.room}`]);
		socket.onmessage = (event) => this.#receive(event.data);
		socket.onerror = () => {};
		socket.onclose = ({ code, reason, error }) => {
			const tabs = [...this.#tabs.keys()];

			this.#reset();
			this.tell(tabs, {
				what: 'closed', code, reason,
				error: error && { code: error.code, message: error.message, status: error.status, limit: error.limit, retry_after: error.retryAfter },
			});
		};
	}

	#reset() {
		clearTimeout(this.#timer);
		this.#timer = undefined;
		this.#socket = this.#welcome = null;
		this.#tabs.clear();
		this.#asked.clear();
		this.#joins = [];
	}

	close() {
		const socket = this.#socket;

		this.#reset();
		if (socket !== null) {
			socket.onclose = socket.onmessage = null;
			socket.close(1000, '');
		}
	}

	/**
	 * @param {string} tab is gone: what only it was in is left; with the last one the line is given up
	 * @param {boolean} [isDead] it has found no life in the line, which is then given up for all
	 */
	detach(tab, isDead = false) {
		const feeds = this.#tabs.get(tab);

		if (feeds === undefined)
			return;
		if (isDead && this.#isSilentTo(tab))
			return this.#giveUp(tab);
		this.#tabs.delete(tab);
		this.#joins = this.#joins.filter((join) => join.tab !== tab);
		if (this.#tabs.size === 0)
			return this.close();
		for (const [key, { kind, name }] of feeds) {
			if (!this.#isHeld(key))
				this.#forward('', { type: kind === 'room' ? 'leave' : 'unsubscribe', [kind]: name });
		}
		this.#next();
	}

	/** Is it the line that has not answered, and not the tab that was too busy to hear it? @param {string} tab */
	#isSilentTo(tab) {
		return this.#welcome === null || [...this.#asked.values()].some((one) => one.tab === tab && one.request.type === 'ping');
	}

	/** The line is dead: who is left on it would come and go for ever. @param {string} tab knows it already */
	#giveUp(tab) {
		const others = [...this.#tabs.keys()].filter((other) => other !== tab);

		this.close();
		if (others.length > 0)
			this.tell(others, { what: 'closed', code: 4408, reason: 'no sign of life' });
	}

	/** @param {string} key */
	#isHeld(key) {
		return [...this.#tabs.values()].some((feeds) => feeds.has(key));
	}

	/** @param {string} tab @param {string} text */
	send(tab, text) {
		const feeds = this.#tabs.get(tab);
		const message = JSON.parse(text);

		if (feeds === undefined || this.#welcome === null)
			return;
		if (message.type === 'join' || message.type === 'subscribe') {
			this.#joins.push({ tab, message });
			return this.#next();
		}
		if (message.type === 'leave' || message.type === 'unsubscribe') {
			const kind = message.type === 'leave' ? 'room' : 'topic';
			feeds.delete(`${kind} ${message[kind]}`);
			if (this.#isHeld(`${kind} ${message[kind]}`))
				return this.#text([tab], { type: kind === 'room' ? 'left' : 'unsubscribed', [kind]: message[kind], ref: message.ref });
		}
		this.#forward(tab, message);
		if (message.type === 'read') {          // the server tells other connections of it, not other tabs
			const others = [...this.#tabs].filter(([other, own]) => other !== tab && own.has(`room ${message.room}`)).map(([other]) => other);
			this.#text(others, { type: 'read', room: message.room, user: this.#welcome.user, read: message.id });
		}
	}

	/** @param {string} tab @param {Json} message @param {Feed} [feed] that it is to begin */
	#forward(tab, message, feed) {
		const ref = `h${++this.#lastRef}`;

		if (message.ref === undefined && tab !== '')
			return this.#socket?.send(JSON.stringify(message));
		this.#asked.set(ref, { tab, ref: message.ref, request: message, feed });
		this.#socket?.send(JSON.stringify({ ...message, ref }));
	}

	/* --- joining --- */

	/** Joins that need not wait any longer. */
	#next() {
		const waiting = this.#joins;

		this.#joins = [];
		for (const join of waiting) {
			if (this.#mayJoin(join.tab, join.message))
				this.#join(join.tab, join.message);
			else
				this.#joins.push(join);
		}
		const isHolding = this.#release();
		clearTimeout(this.#timer);
		this.#timer = this.#joins.length === 0 && !isHolding ? undefined : setTimeout(() => this.#next(), QUIET_MS / 4);
	}

	/** What was held back and is complete by now. @returns {boolean} some still is */
	#release() {
		let isSome = false;

		for (const [tab, feeds] of this.#tabs) {
			for (const feed of feeds.values()) {
				if (feed.state !== 'asked' && feed.held !== null && isOver(Math.min(feed.quietAt, feed.heldUntil)))
					this.#flush(tab, feed);
				isSome ||= feed.held !== null;
			}
		}
		return isSome;
	}

	/** @param {string} tab @param {Feed} feed */
	#flush(tab, feed) {
		const held = feed.held ?? [];

		const place = (/** @type {Json} */ { id, after }) => id ?? after ?? 0;   // a gap stands behind what it is after

		feed.held = null;
		for (const message of held.sort((a, b) => place(a) - place(b))) {
			if (message.type === 'gap' && message.reason !== 'slow' && !this.#lacks(feed, message))
				continue;
			if (!message.echo)
				feed.floor = Math.max(feed.floor, message.id ?? 0);
			this.#text([tab], message);
		}
	}

	/** Nobody else's replay would be mixed up with it. @param {string} tab @param {Json} message */
	#mayJoin(tab, message) {
		for (const [other, feeds] of this.#tabs) {
			for (const feed of feeds.values()) {
				const isSame = message.type === 'join' ? feed.kind === 'room' && feed.name === message.room : feed.kind === 'topic';
				if (other !== tab && isSame && !this.#isLive(feed) && !this.#isQuiet(feed))
					return false;
			}
		}
		return true;
	}

	/** Is its replay certainly over? @param {Feed} feed */
	#isLive(feed) {
		if (feed.held === null && feed.state === 'replaying' && feed.floor >= feed.latest)
			feed.state = 'live';
		return feed.state === 'live';
	}

	/** Its replay may be over: others come in; what is still to come has higher ids. @param {Feed} feed */
	#isQuiet(feed) {
		const isQuiet = feed.held === null && feed.state === 'replaying' && isOver(feed.quietAt);

		if (isQuiet)
			feed.state = 'live';
		return isQuiet;
	}

	/** @param {string} tab @param {Json} message */
	#join(tab, message) {
		const kind = message.type === 'join' ? 'room' : 'topic';
		const key = `${kind} ${message[kind]}`;
		const asksNothing = message.after === undefined && message.last === undefined;

		/** @type {Feed} */
		const feed = {
			kind, name: message[kind], state: 'asked', after: message.after, latest: 0, floor: 0, quietAt: 0,
			held: this.#isStream ? [] : null, heldUntil: 0,
		};
		this.#tabs.get(tab)?.set(key, feed);
		this.#forward(tab, kind === 'room' && asksNothing ? { ...message, last: LAST_ON_JOIN } : message, feed);
	}

	/* --- what the server says --- */

	/** @param {string[]} tabs @param {Json} message */
	#text(tabs, message) {
		if (tabs.length > 0)
			this.tell(tabs, { what: 'text', text: JSON.stringify(message) });
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
		if (message.type === 'welcome') {
			this.#welcome = message;
			return this.#text([...this.#tabs.keys()], message);
		}
		const asked = message.ref === undefined ? undefined : this.#asked.get(message.ref);
		if (asked !== undefined)
			return this.#answer(asked, message);
		if (message.type === 'joined' || (message.ref !== undefined && message.type !== 'error'))
			return;         // of a stream's address, or of a tab that is gone
		this.#text([...this.#tabs].filter(([, feeds]) => this.#isFor(feeds, message)).map(([tab]) => tab), message);
	}

	/** @param {{tab: string, ref: any, request: Json, feed?: Feed}} asked @param {Json} message */
	#answer({ tab, ref, request, feed: begun }, message) {
		const kind = request.type === 'join' ? 'room' : 'topic';
		const now = this.#tabs.get(tab)?.get(`${kind} ${request[kind]}`);
		const feed = now === begun ? begun : undefined;         // else it was left meanwhile, and perhaps asked for again

		this.#asked.delete(message.ref);
		if (feed !== undefined && message.type === 'error') {
			this.#tabs.get(tab)?.delete(`${kind} ${request[kind]}`);
		} else if (feed !== undefined) {
			feed.state = 'replaying';
			feed.latest = message.latest ?? 0;
			feed.floor = typeof feed.after === 'number' && feed.after <= feed.latest ? feed.after : request.after === undefined && !(request.last ?? kind === 'room') ? feed.latest : 0;
			feed.quietAt = Date.now() + QUIET_MS;
		}
		if (this.has(tab))
			this.#text([tab], { ...message, ref });
		if (message.type === 'ack')
			this.#echo(tab, request, message);
		if (feed !== undefined && feed.held !== null && message.type !== 'error') {
			const key = `${kind} ${feed.name}`;
			const isMixed = this.#entered.has(key) || [...this.#tabs].some(([other, feeds]) => other !== tab && [...feeds.values()].some((one) => one.kind === kind && (kind === 'topic' || one.name === feed.name)));
			this.#entered.add(key);
			feed.heldUntil = isMixed ? Date.now() + MOST_HELD_MS : 0;
		}
		if (feed !== undefined)
			this.#next();
	}

	/** The other tabs are no other connections: the server does not tell them. @param {string} tab @param {Json} request @param {Json} ack */
	#echo(tab, request, ack) {
		const echo = echoOf(request, ack, this.#welcome?.user);

		if (echo === null)
			return;
		const message = { ...echo, echo: true };

		this.#text([...this.#tabs].filter(([other, feeds]) => {
			let isFor = echo.room === undefined;
			for (const feed of feeds.values()) {
				if (!this.#hears(feed, echo))
					continue;
				isFor ||= feed.state !== 'asked' && feed.held === null;
				if (other !== tab)
					feed.held?.push(message);
			}
			return other !== tab && isFor;
		}).map(([other]) => other), message);
	}

	/** @param {Feed} feed @param {Json} message */
	#hears(feed, message) {
		return hears(feed.kind, feed.name, message, userTopic(this.#welcome?.user.id ?? ''));
	}

	/** @param {Tab} feeds @param {Json} message */
	#isFor(feeds, message) {
		const isPlaced = message.type !== 'denied' && (message.room !== undefined || message.topic !== undefined || typeof message.id === 'number');
		let isFor = !isPlaced;

		for (const [key, feed] of feeds) {
			if (!this.#hears(feed, message))
				continue;
			if (feed.held !== null && (typeof message.id === 'number' || message.type === 'gap')) {
				feed.held.push(message);
				feed.quietAt = Date.now() + QUIET_MS;
				continue;
			}
			if (feed.state === 'asked')
				continue;
			if (message.type === 'gap' && message.reason !== 'slow')
				isFor = this.#lacks(feed, message) || isFor;
			else if (typeof message.id !== 'number')
				isFor = true;
			else
				isFor = this.#pass(feed, message.id) || isFor;
			if (message.type === 'left' || message.type === 'unsubscribed')
				feeds.delete(key);
		}
		return isFor;
	}

	/** Is it a gap of its own, and not of who has asked from further back? @param {Feed} feed @param {Json} gap */
	#lacks(feed, { after }) {
		if (after === null || String(after) === String(feed.after))
			return !this.#isLive(feed) && feed.after !== undefined;
		return after >= (this.#isLive(feed) ? Math.max(feed.floor, feed.latest) : feed.floor);
	}

	/** Is it new there? @param {Feed} feed @param {number} id */
	#pass(feed, id) {
		if (this.#isLive(feed) && id <= feed.floor)
			return false;
		feed.floor = Math.max(feed.floor, id);
		feed.quietAt = Date.now() + QUIET_MS;
		return true;
	}
}
