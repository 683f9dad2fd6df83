// SPDX-License-Identifier: ISC
/* Where one is and may go: rooms and people one talks with, each with what is unread in it. */

import { avatar, byId, make, nameOf } from './dom.js';

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
 */

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
		const place = { key, mentions: 0, entered: undefined, gaps: [], ...more };

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

		fill(this.rooms, this.of('room').map((place) => this.item(place)));
		fill(this.directs, this.of('direct').map((place) => this.item(place)));
		fill(this.others, free.slice(0, MOST_OTHERS).map((one) => this.other(one)));
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
		const sign = place.kind === 'room' ? make('span', { class: 'hash', 'aria-hidden': 'true' }, '#') : avatar(place.feed.other);
		const button = make('button', {
			type: 'button', class: 'place', 'data-key': place.key, ...(isHere ? { 'aria-current': 'page' } : {}), title: place.kind === 'direct' ? place.feed.name : place.title,
		}, sign, make('span', { class: 'place-title', dir: 'auto' }, place.title));

		if (unread > 0 && !isHere) {
			button.classList.add('unread');
			button.append(make('span', { class: place.mentions > 0 || place.kind === 'direct' ? 'badge loud' : 'badge' },
				`${place.mentions > 0 ? '@' : ''}${unread > 99 ? '99+' : unread}`, make('span', { class: 'unseen' }, ' unread')));
		}
		button.addEventListener('click', () => this.choose(place.key));
		return make('li', {}, button);
	}

	/** @param {{name: string, count?: number, unread?: number}} room */
	other({ name, count, unread }) {
		const button = make('button', { type: 'button', class: 'place other', title: name },
			make('span', { class: 'hash', 'aria-hidden': 'true' }, '#'), make('span', { class: 'place-title', dir: 'auto' }, name),
			...(count ? [make('span', { class: 'people-there' }, String(count), make('span', { class: 'unseen' }, ' there'))] : []));

		if (unread)
			button.append(make('span', { class: 'badge' }, unread > 99 ? '99+' : String(unread), make('span', { class: 'unseen' }, ' unread')));
		button.addEventListener('click', () => this.visit(name));
		return make('li', {}, button);
	}
}

/** Keeps the focus where it was. @param {HTMLElement} list @param {HTMLElement[]} items */
function fill(list, items) {
	const focused = list.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement).dataset.key : undefined;

	list.replaceChildren(...items);
	if (focused !== undefined)
		/** @type {HTMLElement | undefined} */ ([...list.querySelectorAll('button')].find((button) => button.dataset.key === focused))?.focus();
}

/** @param {import('../belfry.d.ts').User} user */
export const titleOf = (user) => nameOf(user);
