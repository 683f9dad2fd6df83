// SPDX-License-Identifier: ISC
/* Where one is and may go: rooms and people one talks with, each with what is unread in it. */

import { arrange, avatar, byId, make, tell } from './dom.js';

/**
 * A room or a Thread, as the page shows it.
 * @typedef {object} Place
 * @property {string} key `#room` or `@person`
 * @property {'room' | 'direct'} kind
 * @property {string} title
 * @property {any} feed
 * @property {number} mentions new ones
 * @property {number | undefined} entered what is newer came while one was here
 * @property {any[]} gaps told since
 * @property {any[]} failed one's own that were refused
 */
/** @typedef {{node: HTMLElement, button: HTMLElement, title: HTMLElement, there: HTMLElement, badge: HTMLElement, count: (unread: number, mark: string) => void}} Entry */

const MOST_OTHERS = 20;
const order = new Intl.Collator(undefined, { numeric: true });

export class Places {
	/** @param {(key: string) => void} choose @param {(name: string) => void} visit */
	constructor(choose, visit) {
		this.choose = choose;
		this.visit = visit;
		/** @type {Map<string, Place>} */
		this.all = new Map();
		/** @type {Place | null} */
		this.here = null;
		/** @type {Array<{name: string, count?: number, unread?: number}>} rooms of the server that one is not in */
		this.known = [];
		/** @type {Map<string, Entry>} */
		this.entries = new Map();
		this.rooms = byId('rooms');
		this.directs = byId('directs');
		this.others = byId('others');
		this.badge = byId('places-badge');
		/** @type {() => void} */
		this.onchange = () => {};
	}

	/** @param {string} key @param {Pick<Place, 'kind' | 'title' | 'feed'>} more @returns {Place} */
	add(key, more) {
		/** @type {Place} */
		const place = { key, mentions: 0, entered: undefined, gaps: [], failed: [], ...more };

		this.all.set(key, place);
		this.show();
		return place;
	}

	/** @param {string} key */
	remove(key) {
		this.all.delete(key);
		this.show();
	}

	/** @param {'room' | 'direct'} kind */
	of(kind) {
		return [...this.all.values()].filter((place) => place.kind === kind).sort((a, b) => order.compare(a.title, b.title));
	}

	/** In the order they are shown. */
	get ordered() {
		return [...this.of('room'), ...this.of('direct')];
	}

	/** @param {number} step the next or the one before */
	neighbour(step) {
		const all = this.ordered;
		const at = all.findIndex((place) => place === this.here);

		return all.length === 0 ? undefined : all[(at + step + all.length) % all.length];
	}

	/** All that is unread, and elsewhere. */
	get unread() {
		return [...this.all.values()].reduce((sum, { feed }) => sum + feed.unread, 0);
	}

	show() {
		const elsewhere = [...this.all.values()].filter((place) => place !== this.here).reduce((sum, { feed }) => sum + feed.unread, 0);
		const free = this.known.filter(({ name }) => !this.all.has(`#${name}`)).sort((a, b) => order.compare(a.name, b.name));
		const lists = [
			this.of('room').map((place) => this.item(place)), this.of('direct').map((place) => this.item(place)),
			free.slice(0, MOST_OTHERS).map((one) => this.other(one)),
		];

		[this.rooms, this.directs, this.others].forEach((list, n) => arrange(list, lists[n]));
		this.forget(lists.flat());
		byId('directs-title').hidden = this.directs.childElementCount === 0;
		byId('others-title').hidden = this.others.childElementCount === 0;
		this.badge.textContent = elsewhere > 99 ? '99+' : String(elsewhere);
		this.badge.hidden = elsewhere === 0;
		this.onchange();
	}

	/** @param {Place} place */
	item(place) {
		const { unread } = place.feed;
		const isHere = place === this.here;
		const entry = this.entry(place.key, () => place.kind === 'room' ? hash() : avatar(place.feed.other), () => this.choose(place.key));
		const { button } = entry;

		if (place.kind === 'direct' && entry.title.textContent !== place.title)
			button.firstElementChild?.replaceWith(avatar(place.feed.other));
		tell(entry.title, place.title);
		button.title = place.kind === 'direct' ? place.feed.name : place.title;
		button.dataset.key = place.key;
		if (isHere)
			button.setAttribute('aria-current', 'page');
		else
			button.removeAttribute('aria-current');
		button.classList.toggle('unread', unread > 0 && !isHere);
		entry.badge.classList.toggle('loud', place.mentions > 0 || place.kind === 'direct');
		entry.count(isHere ? 0 : unread, place.mentions > 0 ? '@' : '');
		return entry.node;
	}

	/** @param {{name: string, count?: number, unread?: number}} room */
	other({ name, count = 0, unread = 0 }) {
		const entry = this.entry(`other ${name}`, hash, () => this.visit(name));

		entry.button.classList.add('other');
		entry.button.title = name;
		tell(entry.title, name);
		entry.there.hidden = count === 0;
		tell(/** @type {HTMLElement} */ (entry.there.firstElementChild), String(count));
		entry.count(unread, '');
		return entry.node;
	}

	/**
	 * A place in a list, the same one each time: a press that has begun on it is a click, whatever comes in between.
	 * @param {string} key @param {() => HTMLElement} sign @param {() => void} act @returns {Entry}
	 */
	entry(key, sign, act) {
		const known = this.entries.get(key);

		if (known !== undefined)
			return known;
		const title = make('span', { class: 'place-title', dir: 'auto' });
		const there = make('span', { class: 'people-there', hidden: '' }, make('span'), make('span', { class: 'unseen' }, ' there'));
		const number = make('span');
		const badge = make('span', { class: 'badge', hidden: '' }, number, make('span', { class: 'unseen' }, ' unread'));
		const button = make('button', { type: 'button', class: 'place' }, sign(), title, there, badge);
		const entry = {
			node: make('li', {}, button), button, title, there, badge,
			count: (/** @type {number} */ unread, /** @type {string} */ mark) => {
				badge.hidden = unread === 0;
				tell(number, `${mark}${unread > 99 ? '99+' : unread}`);
			},
		};

		button.addEventListener('click', act);
		this.entries.set(key, entry);
		return entry;
	}

	/** Those that no list shows. @param {HTMLElement[]} shown */
	forget(shown) {
		const nodes = new Set(shown);

		for (const [key, { node }] of this.entries) {
			if (!nodes.has(node))
				this.entries.delete(key);
		}
	}
}

const hash = () => make('span', { class: 'hash', 'aria-hidden': 'true' }, '#');
