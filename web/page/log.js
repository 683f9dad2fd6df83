// SPDX-License-Identifier: ISC
/*
 * The conversation. Rows stand in the order of their ids; what is not acked yet stands last. The
 * view follows the newest row unless somebody has scrolled up to read.
 */

import { avatar, byId, dayWords, make, nameOf, sameDay, timeNode } from './dom.js';

/** @typedef {import('../belfry.d.ts').ChatMessage} ChatMessage */
/** @typedef {import('../belfry.d.ts').Outgoing} Outgoing */
/** @typedef {{order: number, node: HTMLElement, from: string, time: number}} Row */

const MOST_ROWS = 1000;
const GROUP_MS = 5 * 60_000;            // rows of one person within it share one name
const NEAR_BOTTOM_PX = 60;
const PENDING = Number.MAX_SAFE_INTEGER;

export class LogView {
	constructor() {
		this.box = byId('log');
		this.empty = byId('empty');
		this.earlier = byId('earlier');
		this.newer = byId('newer');
		/** @type {Row[]} */
		this.rows = [];
		/** @type {Map<Outgoing, Row>} */
		this.pending = new Map();
		this.me = '';
		/** @type {(before: number) => Promise<{messages: any[], more: boolean}>} */
		this.askEarlier = async () => ({ messages: [], more: false });
		/** @type {(message: Outgoing) => void} */
		this.sendAgain = () => {};
		this.earlier.firstElementChild.addEventListener('click', () => this.showEarlier());
		this.newer.addEventListener('click', () => this.toBottom());
		this.box.addEventListener('scroll', () => {
			if (this.isAtBottom())
				this.newer.hidden = true;
		}, { passive: true });
		new ResizeObserver(() => {
			if (this.following)
				this.toBottom();
		}).observe(this.box);
		this.following = true;
	}

	/** An empty log for another room. @param {string} me the own user id */
	clear(me) {
		for (const row of this.rows)
			row.node.remove();
		this.rows = [];
		this.pending.clear();
		this.me = me;
		this.earlier.hidden = this.newer.hidden = this.empty.hidden = true;
		this.following = true;
	}

	/** The room has answered: is there anything? @param {boolean} hasMore */
	settled(hasMore) {
		this.empty.hidden = this.rows.length > 0;
		if (hasMore)
			this.earlier.hidden = false;
	}

	/** @param {ChatMessage} message */
	add(message) {
		const id = message.id ?? this.lastId() + 0.5;

		if (message.id !== undefined && this.rows.some((row) => row.order === id))
			return;
		this.place({
			order: id, from: message.from.id, time: message.time,
			node: this.article(message.from, message.time, message.content ?? '', message.from.id === this.me),
		});
	}

	/** One's own, shown before the server has it. @param {Outgoing} message @param {{id: string, name: string}} user */
	addPending(message, user) {
		const node = this.article(user, message.time, message.content ?? '', true);
		const row = { order: PENDING, from: user.id, time: message.time, node };

		node.dataset.state = 'pending';
		this.setMark(node, 'waiting');
		this.pending.set(message, row);
		this.following = true;
		this.place(row);
	}

	/** @param {Outgoing} message */
	sent(message) {
		const row = this.pending.get(message);

		if (row === undefined)
			return;
		this.pending.delete(message);
		row.node.dataset.state = 'sent';
		this.setMark(row.node, 'sent');
		this.rows.splice(this.rows.indexOf(row), 1);
		const next = this.after(row);
		row.order = message.id ?? this.lastId() + 0.5;
		this.place(row);
		this.group(next);
	}

	/** @param {Outgoing} message */
	failed(message) {
		const row = this.pending.get(message);

		if (row === undefined)
			return;
		row.node.dataset.state = 'failed';
		const again = make('button', { class: 'quiet', type: 'button' }, 'Try again');
		again.addEventListener('click', () => {
			this.pending.delete(message);
			this.rows.splice(this.rows.indexOf(row), 1);
			row.node.remove();
			this.sendAgain(message);
		});
		this.setMark(row.node, `not sent: ${message.error?.message ?? 'refused'} `, again);
	}

	/** @param {import('../belfry.d.ts').Gap} gap */
	gap(gap) {
		const words = gap.reason === 'slow'
			? 'The connection was too slow: something passed by that is not kept.'
			: 'Messages are missing here: the server no longer has what was said while you were away.';

		this.place({
			order: this.lastId() + 0.5, from: '', time: Date.now(),
			node: make('p', { class: 'gap' }, make('span', {}, words)),
		});
	}

	/** @param {string} words what somebody should know, in the place where it happened */
	note(words) {
		this.place({
			order: this.lastId() + 0.5, from: '', time: Date.now(), node: make('p', { class: 'note' }, words),
		});
	}

	/** @param {{id: string, name?: string}} user @param {number} time @param {string} text @param {boolean} mine */
	article(user, time, text, mine) {
		const node = make('article', { class: mine ? 'message mine' : 'message' },
			make('p', { class: 'day', hidden: '' }, dayWords(time)),
			avatar(user),
			make('div', { class: 'bubble' },
				make('p', { class: 'byline' }, make('span', { class: 'author' }, nameOf(user)), ' ', timeNode(time)),
				make('p', { class: 'text', dir: 'auto' }, text),
				make('p', { class: 'mark', hidden: '' })));

		return node;
	}

	/** @param {HTMLElement} node @param {...(Node | string)} words */
	setMark(node, ...words) {
		const mark = /** @type {HTMLElement} */ (node.querySelector('.mark'));

		mark.replaceChildren(...words);
		mark.hidden = false;
	}

	/** The highest id that is shown. */
	lastId() {
		const row = this.rows.findLast((one) => one.order !== PENDING);

		return row === undefined ? 0 : row.order;
	}

	/** @param {Row} row */
	place(row) {
		const follow = this.following || this.isAtBottom();
		let at = this.rows.length;

		while (at > 0 && this.rows[at - 1].order > row.order)
			at--;
		this.rows.splice(at, 0, row);
		if (at + 1 < this.rows.length)
			this.rows[at + 1].node.before(row.node);
		else
			this.box.append(row.node);
		this.empty.hidden = true;
		this.group(row);
		this.group(this.after(row));
		this.trim();
		if (follow)
			this.toBottom();
		else if (at === this.rows.length - 1)
			this.newer.hidden = false;
	}

	/** @param {Row | undefined} row @returns {Row | undefined} */
	after(row) {
		return row === undefined ? undefined : this.rows[this.rows.indexOf(row) + 1];
	}

	/** Name and day are shown where they change. @param {Row | undefined} row */
	group(row) {
		const at = row === undefined ? -1 : this.rows.indexOf(row);

		if (row === undefined || at < 0 || row.from === '')
			return;
		const before = this.rows[at - 1];
		const isNewDay = before === undefined || !sameDay(before.time, row.time);
		const isSame = !isNewDay && before.from === row.from && Math.abs(row.time - before.time) < GROUP_MS;
		/** @type {HTMLElement} */ (row.node.querySelector('.day')).hidden = !isNewDay;
		row.node.classList.toggle('grouped', isSame);
	}

	trim() {
		while (this.rows.length > MOST_ROWS && this.following) {
			this.rows.shift()?.node.remove();
			this.earlier.hidden = false;
		}
	}

	async showEarlier() {
		const first = this.rows.find((row) => Number.isInteger(row.order));
		const button = this.earlier.firstElementChild;

		if (first === undefined)
			return;
		button.disabled = true;
		try {
			const page = await this.askEarlier(first.order);
			const height = this.box.scrollHeight - this.box.scrollTop;
			this.following = false;
			for (const message of page.messages)
				this.add(message);
			this.earlier.hidden = !page.more;
			this.box.scrollTop = this.box.scrollHeight - height;
		} catch {
			// offline: the button stays
		} finally {
			button.disabled = false;
		}
	}

	isAtBottom() {
		const { scrollHeight, scrollTop, clientHeight } = this.box;

		this.following = scrollHeight - scrollTop - clientHeight < NEAR_BOTTOM_PX;
		return this.following;
	}

	toBottom() {
		this.box.scrollTop = this.box.scrollHeight;
		this.following = true;
		this.newer.hidden = true;
	}
}
