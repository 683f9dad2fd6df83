// SPDX-License-Identifier: ISC
/* What somebody has begun to write, by place; it outlives the tab when the storage does. */

const MOST = 100;                       // places

export class Drafts {
	/**
	 * @param {import('../belfry.d.ts').OutboxStorage | undefined} storage `localStorage`; left out: only as long as the page
	 * @param {string} owner whose they are: nobody else's are seen
	 */
	constructor(storage, owner) {
		this.storage = storage;
		this.name = `belfry.drafts:${owner}`;
		/** @type {Record<string, string>} */
		this.own = {};
	}

	/** All of them as they are by now: other tabs write, too. @returns {Record<string, string>} */
	load() {
		try {
			const all = JSON.parse(this.storage?.getItem(this.name) ?? 'null') ?? this.own;
			return typeof all === 'object' ? all : {};
		} catch {
			return this.own;
		}
	}

	/** @param {string} place */
	get(place) {
		const all = this.load();
		const text = Object.hasOwn(all, place) ? all[place] : '';

		return typeof text === 'string' ? text : '';
	}

	/** @param {string} place @param {string} text '': none */
	set(place, text) {
		const { [place]: before, ...others } = this.load();

		if ((before ?? '') === text)
			return;
		const all = Object.entries({ ...others, ...(text === '' ? {} : { [place]: text }) }).slice(-MOST);
		this.own = Object.fromEntries(all);
		try {
			if (all.length === 0)
				this.storage?.removeItem(this.name);
			else
				this.storage?.setItem(this.name, JSON.stringify(this.own));
		} catch {
			// full, or forbidden: kept as long as the page is
		}
	}
}
