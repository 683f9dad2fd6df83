// SPDX-License-Identifier: ISC
/*
 * The conversation. Rows stand in the order of their ids; what is not acked yet stands last. The
 * view follows the newest row unless somebody has scrolled up to read.
 */

import { applyRecord } from '../client/records.js';
import { byId, localTimes, make, nameOf, sameDay, tell } from './dom.js';
import { buildMessage, updateMessage } from './message.js';
import { Rows } from './rows.js';

/** @typedef {import('../belfry.d.ts').ChatMessage} ChatMessage */
/** @typedef {import('../belfry.d.ts').Outgoing} Outgoing */
/** @typedef {import('../belfry.d.ts').User} User */
/**
 * @typedef {object} LogRow
 * @property {number} order
 * @property {HTMLElement} [node]
 * @property {'message' | 'gap' | 'new'} kind
 * @property {number} time
 * @property {string} text
 * @property {User} [from]
 * @property {any} [message] as it is by now; none while it is on its way
 * @property {Outgoing} [outgoing] one's own, while the server has not acked it
 * @property {'pending' | 'sent' | 'failed'} [state]
 */

const KEPT_ROWS = 5000;                 // while nobody reads the older ones
const PAGE = 200;
const FAR_PAGE = 1000;                 // when somebody jumps back
const FAR_PAGES = 20;
const GROUP_MS = 5 * 60_000;            // rows of one person within it share one name
const PENDING = Number.MAX_SAFE_INTEGER;
const ASK_EVERY_MS = 80;                // less than limits.messages_per_second, and room for more
const HUSH_MS = 700;                    // a screen reader looks a little later

export class LogView {
	/** @param {Record<'log' | 'empty' | 'earlier' | 'newer', any>} [parts] left out: those of index.html */
	constructor(parts = { log: byId('log'), empty: byId('empty'), earlier: byId('earlier'), newer: byId('newer') }) {
		this.empty = parts.empty;
		this.earlier = parts.earlier;
		this.newer = parts.newer;
		/** @type {Rows<LogRow>} */
		this.rows = new Rows(parts.log, (row) => this.build(row), (row, before) => this.dress(row, before));
		/** @type {Map<number, LogRow>} */
		this.ids = new Map();
		/** @type {Map<number, {name: string, text: string} | null | undefined>} answered, but not among the rows */
		this.quotes = new Map();
		/** @type {(id: string) => User | undefined} */
		this.person = () => undefined;
		/** @type {() => User[]} who else is here */
		this.present = () => [];
		/** @type {(id: number) => Promise<any>} a message that is not among the rows */
		this.lookUp = async () => undefined;
		/** @type {Promise<void>} */
		this.asking = Promise.resolve();
		/** @type {Map<Outgoing, LogRow>} */
		this.pending = new Map();
		this.me = '';
		/** @type {(query: {before: number, limit: number}) => Promise<{messages: any[], more: boolean}>} */
		this.askEarlier = async () => ({ messages: [], more: false });
		/** @type {(message: Outgoing) => void} */
		this.sendAgain = () => {};
		/** @type {(row: LogRow) => void} one's own is what others are by now: it may be edited, answered */
		this.onsettled = () => {};
		/** @type {() => void} somebody has the newest before his eyes */
		this.onread = () => {};
		/** @type {LogRow | null} in front of the first message that nobody has looked at */
		this.mark = null;
		this.unseen = 0;
		/** @type {number | undefined} what comes after it was not read yet */
		this.unreadAfter = undefined;
		/** @type {object} another one for another room */
		this.visit = {};
		this.loading = false;
		/** @type {ReturnType<typeof setTimeout> | undefined} */
		this.hushed = undefined;
		this.earlier.firstElementChild.addEventListener('click', () => this.showEarlier());
		this.newer.addEventListener('click', () => this.rows.toEnd());
		this.rows.onbeginning = () => this.showEarlier();
		this.rows.onscroll = () => this.look();
	}

	/** Somebody comes back to the page. @param {AbortSignal} [signal] until then; left out: as long as the page is there */
	watch(signal) {
		document.addEventListener('visibilitychange', () => this.look(), { signal });
	}

	/** Old messages come in: nobody wants all of them read out. */
	hush() {
		this.rows.box.setAttribute('aria-live', 'off');
		clearTimeout(this.hushed);
		this.hushed = setTimeout(() => this.rows.box.removeAttribute('aria-live'), HUSH_MS);
	}

	/** An empty log for another room. @param {string} me the own user id */
	clear(me) {
		this.hush();
		this.rows.clear();
		this.ids.clear();
		this.quotes.clear();
		this.pending.clear();
		this.visit = {};
		this.loading = false;
		this.mark = null;
		this.unseen = 0;
		this.unreadAfter = undefined;
		this.me = me;
		this.earlier.hidden = this.newer.hidden = this.empty.hidden = true;
	}

	/** The room has answered: is there anything? @param {boolean} hasMore */
	settled(hasMore) {
		this.empty.hidden = this.rows.all.length > 0;
		if (hasMore)
			this.earlier.hidden = false;
	}

	/** @param {ChatMessage} message @param {boolean} [isNew] it was not there when the room was entered */
	add(message, isNew = false) {
		if (message.id !== undefined && this.ids.has(message.id))
			return;
		if (!isNew && message.id !== undefined)
			this.hush();
		const row = this.rowOf(message);
		this.quotes.delete(row.order);
		if (this.unreadAfter !== undefined && row.order > this.unreadAfter && message.from.id !== this.me) {
			this.unreadAfter = undefined;
			this.unmark();
			this.mark = { kind: 'new', order: row.order - 0.25, time: row.time, text: 'New messages' };
			this.rows.insert(this.mark);
		}
		if (isNew && message.from.id !== this.me && (document.hidden || !this.rows.following))
			this.markBefore(row);
		this.place(row);
	}

	/** @param {ChatMessage} message @returns {LogRow} */
	rowOf(message) {
		const order = message.id ?? this.lastId() + 0.5;

		/** @type {LogRow} */
		const row = { kind: 'message', order, time: message.time, text: message.content ?? '', from: message.from, message };

		if (message.id !== undefined)
			this.ids.set(message.id, row);
		return row;
	}

	/** A message is another one by now. @param {ChatMessage} message */
	change(message) {
		const row = message.id === undefined ? undefined : this.ids.get(message.id);

		if (row === undefined)
			return;
		row.message = message;
		row.text = message.content ?? '';
		this.refresh(row);
		for (const other of this.rows.all) {
			if (other.message?.reply_to === message.id)
				this.refresh(other);
		}
	}

	/** What became of a message that only this log has, since somebody scrolled back to it. @param {any} record */
	record(record) {
		const row = this.ids.get(record.target);
		const now = row?.message && applyRecord(row.message, record);

		if (now !== undefined && now !== row?.message)
			this.change(now);
	}

	/** @param {LogRow} row */
	refresh(row) {
		if (row.node !== undefined && row.from !== undefined)
			this.rows.changed(() => updateMessage(row, /** @type {HTMLElement} */ (row.node), this.around()));
	}

	/** @returns {import('./message.js').Surroundings} */
	around() {
		return { me: this.me, person: this.person, quoted: (id) => this.quoted(id), present: () => this.present() };
	}

	/** What is answered, from the rows or from the server. @param {number} id */
	quoted(id) {
		const row = this.ids.get(id);

		if (row !== undefined)
			return { name: nameOf(/** @type {User} */ (row.from)), text: row.message?.deleted ? 'This was taken back.' : row.text };
		if (this.quotes.has(id))
			return this.quotes.get(id);
		const { visit } = this;
		this.quotes.set(id, null);
		this.asking = this.asking.then(() => visit === this.visit ? this.ask(id) : undefined).catch(() => {});
		return null;
	}

	/** One after the other, for the server counts what one asks. @param {number} id */
	async ask(id) {
		const { visit } = this;

		try {
			const message = await this.lookUp(id);
			if (visit !== this.visit)
				return;
			this.quotes.set(id, message && { name: nameOf(message.from), text: message.deleted ? 'This was taken back.' : message.content ?? '' });
			for (const other of this.rows.all) {
				if (other.message?.reply_to === id)
					this.refresh(other);
			}
		} catch {
			this.quotes.delete(id);         // asked again when the row is shown again
		}
		await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
	}

	/** Everything newer than this id has not been read yet. @param {number} id */
	markAfter(id) {
		const row = this.rows.all.find((one) => one.kind === 'message' && one.order > id && one.from?.id !== this.me && one.order !== PENDING);

		this.unmark();
		if (row === undefined)
			return;
		this.mark = { kind: 'new', order: row.order - 0.25, time: row.time, text: 'New messages' };
		this.rows.insert(this.mark);
		this.rows.follow();
	}

	/** As markAfter, for what is still to come. @param {number} id */
	markLater(id) {
		this.unreadAfter = id;
	}

	unmark() {
		if (this.mark !== null)
			this.rows.remove(this.mark);
		this.mark = null;
	}

	/** Shows a message, however far back. @param {number} id @returns {Promise<boolean>} it is there */
	async goTo(id) {
		const { visit } = this;

		for (let pages = 0; !this.ids.has(id) && pages < FAR_PAGES && !this.earlier.hidden && visit === this.visit; pages++) {
			const before = this.rows.all[0]?.order;
			await this.showEarlier(FAR_PAGE);
			if (this.rows.all[0]?.order === before)
				break;
			if (before !== undefined && before < id)
				break;          // it should have come by now
		}
		const row = this.ids.get(id);
		if (visit !== this.visit || row === undefined)
			return false;
		this.rows.reveal(row);
		row.node?.focus({ preventScroll: true });
		row.node?.classList.add('found');
		setTimeout(() => row.node?.classList.remove('found'), 2500);
		this.look();
		return true;
	}

	/** @param {LogRow} row the first that nobody has looked at, or one more */
	markBefore(row) {
		if (this.unseen++ > 0)
			return;
		this.unmark();
		this.mark = { kind: 'new', order: row.order - 0.25, time: row.time, text: 'New messages' };
		this.rows.insert(this.mark);
	}

	/** Somebody may have looked at what is new. */
	look() {
		if (!document.hidden && this.rows.following) {
			this.unseen = 0;
			this.onread();
		}
		this.newer.hidden = this.rows.following;
		tell(this.newer, this.unseen > 0 ? `${this.unseen} new ↓` : 'To the newest ↓');
	}

	/** One's own, shown before the server has it. @param {Outgoing} message @param {User} user */
	addPending(message, user) {
		/** @type {LogRow} */
		const row = { kind: 'message', order: PENDING, time: message.time, text: message.content ?? '', from: user, outgoing: message, state: message.state };

		this.pending.set(message, row);
		this.unmark();
		this.rows.toEnd();
		this.place(row);
	}

	/** @param {Outgoing} message */
	sent(message) {
		const row = this.pending.get(message);

		if (row === undefined)
			return;
		this.pending.delete(message);
		if (message.id !== undefined && this.ids.has(message.id))
			return this.rows.remove(row);
		const { content, data, reply_to } = message.body;
		const order = message.id ?? this.lastId() + 0.5;
		row.state = 'sent';
		if (message.id !== undefined) {
			row.message = { type: message.body.type, id: message.id, from: row.from, time: row.time, content, data, reply_to };
			this.ids.set(message.id, row);
		}
		if (this.rows.reorder(row, order)) {
			const { node } = row;
			if (node !== undefined)         // the same node, or it would be read out once more
				this.rows.changed(() => this.say(row, node));
			return this.onsettled(row);
		}
		this.rows.remove(row);
		row.order = order;
		this.place(row);
	}

	/** @param {Outgoing} message */
	failed(message) {
		const row = this.pending.get(message);

		if (row === undefined)
			return;
		row.state = 'failed';
		if (row.node !== undefined)
			this.say(row, row.node);
	}

	/** @param {import('../belfry.d.ts').Gap} gap @param {number} [after] the id before it; left out: the newest */
	gap(gap, after = this.lastId()) {
		this.place({
			kind: 'gap', order: after + 0.5, time: Date.now(), text: gap.reason === 'slow'
				? 'The connection was too slow: something passed by that is not kept.'
				: 'Messages are missing here: the server no longer has what was said while you were away.',
		});
	}

	/** @param {LogRow} row @returns {HTMLElement} */
	build(row) {
		if (row.from === undefined)
			return make('p', { class: row.kind }, make('span', {}, row.text));
		const node = buildMessage(row, this.around());

		this.say(row, node);
		return node;
	}

	/** How far it has come on its way. @param {LogRow} row @param {HTMLElement} node */
	say(row, node) {
		const mark = /** @type {HTMLElement} */ (node.querySelector('.mark'));

		if (row.message?.id !== undefined)
			node.dataset.id = String(row.message.id);
		if (row.state === undefined)
			return;
		node.dataset.state = row.state;
		mark.hidden = false;
		if (row.state === 'failed')
			mark.replaceChildren(`not sent: ${localTimes(row.outgoing?.error?.message ?? 'refused')} `, this.againButton(row));
		else
			mark.textContent = row.state === 'sent' ? 'sent' : 'waiting';
	}

	/** @param {LogRow} row */
	againButton(row) {
		const again = make('button', { class: 'quiet', type: 'button' }, 'Try again');

		again.addEventListener('click', () => {
			const message = /** @type {Outgoing} */ (row.outgoing);
			this.pending.delete(message);
			this.rows.remove(row);
			this.sendAgain(message);
		});
		return again;
	}

	/** Name and day are shown where they change. @param {LogRow} row @param {LogRow | undefined} before */
	dress(row, before) {
		if (row.kind !== 'message' || row.node === undefined)
			return;
		const isNewDay = before === undefined || !sameDay(before.time, row.time);
		const isSame = !isNewDay && before.from?.id === row.from?.id && Math.abs(row.time - before.time) < GROUP_MS;
		/** @type {HTMLElement} */ (row.node.querySelector('.day')).hidden = !isNewDay;
		row.node.classList.toggle('grouped', isSame);
	}

	/** The highest id that is there. */
	lastId() {
		const row = this.rows.all.findLast((one) => one.order !== PENDING);

		return row === undefined ? 0 : row.order;
	}

	/** @param {LogRow} row */
	place(row) {
		const isFollowing = this.rows.following;

		this.rows.insert(row);
		this.empty.hidden = true;
		if (isFollowing) {
			this.rows.follow();
			for (const gone of this.rows.forget(KEPT_ROWS)) {
				this.ids.delete(gone.order);
				this.earlier.hidden = false;
			}
		}
		this.look();
	}

	/** @param {number} [limit] */
	async showEarlier(limit = PAGE) {
		const first = this.rows.all.find((row) => row.kind === 'message' && Number.isInteger(row.order) && row.order !== PENDING);
		const { visit } = this;

		if (first === undefined || this.loading || this.earlier.hidden)
			return;
		this.loading = true;
		try {
			const page = await this.askEarlier({ before: first.order, limit });
			if (visit !== this.visit)
				return;
			const messages = page.messages.filter(({ id }) => !this.ids.has(id));
			this.rows.still(() => (this.earlier.hidden = !page.more));
			this.rows.insertAbove(messages.map((message) => this.rowOf(message)));
		} catch {
			// offline: the button stays
		} finally {
			if (visit === this.visit)
				this.loading = false;
		}
	}
}
