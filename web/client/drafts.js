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
		/** @type {Record<string, string>} what the storage had no room for */
		this.own = {};
	}

	/** All of them as they are by now: other tabs write, too. @returns {Record<string, string>} */
	load() {
		try {
			const all = JSON.parse(this.storage?.getItem(this.name) ?? 'null');
			return { ...(typeof all === 'object' ? all : {}), ...this.own };
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
		const all = Object.fromEntries(Object.entries({ ...others, [place]: text }).slice(-MOST));
		try {
			this.store(Object.entries(all).filter(([, one]) => one !== ''));
			this.own = this.storage === undefined ? all : {};
		} catch {
			this.own = { ...this.own, [place]: text };      // full, or forbidden: kept as long as the page is
		}
	}

	/** @param {Array<[string, string]>} all */
	store(all) {
		if (all.length === 0)
			this.storage?.removeItem(this.name);
		else
			this.storage?.setItem(this.name, JSON.stringify(Object.fromEntries(all)));
	}
}
