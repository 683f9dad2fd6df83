// SPDX-License-Identifier: ISC
/* Time that a seed decides about, and what a browser gives to tabs: timers that sleep with them, channels. */

import { AsyncLocalStorage } from 'node:async_hooks';

const turn = globalThis.setImmediate;

/** The tab whose code runs; nothing: the world's own. */
export const here = new AsyncLocalStorage();

/** @param {number} seed @returns a source of numbers in [0, 1), and ways to ask it */
export function chance(seed) {
	let state = seed >>> 0;
	const next = () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let t = Math.imul(state ^ (state >>> 15), state | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
	};
	const below = (n) => Math.floor(next() * n);

	return { next, below, one: (list) => list[below(list.length)], is: (probability) => next() < probability };
}

/** A clock that jumps from timer to timer. */
export class Clock {
	constructor() {
		this.now = 1_700_000_000_000;
		this.timers = new Map();
		this.last = 0;
	}

	install() {
		globalThis.setTimeout = (act, ms = 0, ...args) => this.after(ms, () => act(...args), here.getStore());
		globalThis.clearTimeout = (id) => this.timers.delete(id);
		Date.now = () => this.now;
	}

	/** @param {number} ms @param {() => void} act @param {any} [tab] whose it is */
	after(ms, act, tab) {
		this.timers.set(++this.last, { at: this.now + Math.max(0, ms || 0), act, tab });
		return this.last;
	}

	of(tab) {
		return [...this.timers.values()].filter((timer) => timer.tab === tab).length;
	}

	/** Everything that is due within so many milliseconds. */
	async run(ms) {
		const end = this.now + ms;

		for (;;) {
			let first, id;
			for (const [one, timer] of this.timers) {
				if (first === undefined || timer.at < first.at)
					[first, id] = [timer, one];
			}
			if (first === undefined || first.at > end)
				break;
			this.timers.delete(id);
			this.now = first.at;
			const { tab, act } = first;
			if (tab?.isGone)
				continue;
			if (tab?.isFrozen)
				tab.late.push(act);
			else
				here.run(tab, act);
			await new Promise((resolve) => turn(resolve));
		}
		this.now = end;
	}
}

/** One direction of a line: what goes in comes out later and in order, until it is cut. */
export class Pipe {
	/** @param {Clock} clock @param {() => number} delay @param {(what: any) => void} deliver @param {any} [tab] who hears it */
	constructor(clock, delay, deliver, tab) {
		Object.assign(this, { clock, delay, deliver, tab, at: 0, isCut: false });
	}

	send(what) {
		this.at = Math.max(this.at, this.clock.now + this.delay());
		this.clock.after(this.at - this.clock.now, () => this.isCut || this.deliver(what), this.tab);
	}

	cut() {
		this.isCut = true;
	}
}

/** BroadcastChannels: in order from each sender to each receiver. */
export class Air {
	constructor(clock, delay) {
		this.clock = clock;
		this.delay = delay;
		this.all = new Set();
	}

	/** @returns the class as a tab sees it */
	channel(tab) {
		const air = this;

		return class {
			constructor(name) {
				Object.assign(this, { name, tab, pipes: new Map() });
				air.all.add(this);
			}

			postMessage(data) {
				const copy = structuredClone(data);

				for (const other of air.all) {
					if (other === this || other.name !== this.name)
						continue;
					if (!this.pipes.has(other))
						this.pipes.set(other, new Pipe(air.clock, air.delay, (text) => air.all.has(other) && other.onmessage?.({ data: text }), other.tab));
					this.pipes.get(other).send(copy);
				}
			}

			close() {
				air.all.delete(this);
			}
		};
	}

	drop(tab) {
		for (const one of this.all)
			if (one.tab === tab)
				this.all.delete(one);
	}

	of(tab) {
		return [...this.all].filter((one) => one.tab === tab).length;
	}
}
