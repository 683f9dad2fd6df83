// SPDX-License-Identifier: ISC
/* Web Locks for tabs that are objects in one process, on the world's clock or on one of a test's own. */

/** navigator.locks of all tabs. */
export class Locks {
	/** @param {{after(ms: number, act: () => void, tab: object): void}} clock */
	constructor(clock = { after: (ms, act) => setTimeout(act, ms) }) {
		this.clock = clock;
		this.held = new Map();
		this.queue = [];
	}

	request(tab, name, { signal, steal }, act) {
		return new Promise((resolve, reject) => {
			const entry = { name, act, resolve, reject, tab };
			const refuse = (one, why) => this.clock.after(0, () => one.reject(new DOMException(why, 'AbortError')), one.tab);

			if (signal?.aborted)
				return refuse(entry, 'aborted');
			const abort = () => {
				if (!this.queue.includes(entry))
					return;
				this.queue = this.queue.filter((one) => one !== entry);
				refuse(entry, 'aborted');
			};

			entry.granted = () => signal?.removeEventListener('abort', abort);
			signal?.addEventListener('abort', abort);
			if (steal && this.held.has(name)) {
				refuse(this.held.get(name), 'stolen');
				this.held.delete(name);
			}
			this.queue[steal ? 'unshift' : 'push'](entry);
			this.grant();
		});
	}

	grant() {
		for (const entry of [...this.queue]) {
			if (this.held.has(entry.name))
				continue;
			this.queue = this.queue.filter((one) => one !== entry);
			this.held.set(entry.name, entry);
			entry.granted();
			this.clock.after(1, () => Promise.resolve(entry.act()).then((value) => {
				entry.resolve(value);
				this.release(entry);
			}), entry.tab);
		}
	}

	release(entry) {
		if (this.held.get(entry.name) === entry)
			this.held.delete(entry.name);
		this.grant();
	}

	/** A tab is gone with all that it held. */
	drop(tab) {
		this.queue = this.queue.filter((one) => one.tab !== tab);
		for (const entry of [...this.held.values()].filter((one) => one.tab === tab))
			this.release(entry);
	}

	of(tab) {
		return [...this.queue, ...this.held.values()].filter((one) => one.tab === tab).length;
	}
}
