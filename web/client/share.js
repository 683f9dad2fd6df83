// SPDX-License-Identifier: ISC
/*
 * One connection for all tabs of one user. The tab that holds a Web Lock leads: it has the line, and
 * a Hub that deals with the others over a BroadcastChannel. When it goes, or sleeps, another takes the
 * lock; each tab then resumes at its own cursors, so that a change of the leader is a short break of
 * the line and no more.
 */

import { BelfryError } from './common.js';
import { Hub } from './hub.js';

/** @typedef {import('./open.js').Socket} Socket */
/** @typedef {{token: string | null, transport: string, room?: string}} Hello */
/** @typedef {Record<string, any>} Json */

export const MOVED = 4000;              // the line has another leader: come again at once
export const DEAD = 4408;               // no sign of life
const PATIENCE_MS = 4_000;              // a leader that says nothing for so long sleeps

/**
 * Whose line it is, in a word that no other user's tab has; null: an own one.
 * @param {URL} url @param {import('../belfry.d.ts').ChatOptions} options @param {string | null} token @returns {string | null}
 */
export function shareKey(url, { share, name }, token) {
	const given = typeof share === 'object' ? share : {};
	const locks = given.locks ?? globalThis.navigator?.locks;
	const isPage = typeof document !== 'undefined' || share !== undefined;
	const who = typeof share === 'string' ? share : given.key ?? subjectOf(token);

	if (share === false || !isPage || locks === undefined || who === null || (given.BroadcastChannel ?? globalThis.BroadcastChannel) === undefined)
		return null;
	return `belfry ${url.href} ${name ?? ''} ${who}`;
}

/** Who a token is for and what it grants; a cookie does not say. @param {string | null} token */
function subjectOf(token) {
	try {
		const bytes = Uint8Array.from(atob((token ?? '').split('.')[1].replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
		const { iss, sub, name, belfry } = JSON.parse(new TextDecoder().decode(bytes));
		return JSON.stringify([iss, sub, name, belfry]);
	} catch {
		return null;
	}
}

/** What a Chat takes for its socket. */
class Port {
	/** @param {(text: string) => void} send @param {(isDead: boolean) => void} leave */
	constructor(send, leave) {
		/** @type {((event: any) => void) | null} */
		this.onmessage = null;
		/** @type {((event: any) => void) | null} */
		this.onclose = null;
		/** @type {((event: any) => void) | null} */
		this.onerror = null;
		this.send = send;
		this.leave = leave;
	}

	/** @param {number} [code] */
	close(code) {
		this.onclose = this.onmessage = null;
		this.leave(code === DEAD);
	}

	/** @param {{code: number, reason: string, error?: BelfryError}} end */
	ended(end) {
		const tell = this.onclose;

		this.onclose = this.onmessage = null;
		tell?.(end);
	}
}

export class Share {
	/** @type {Hub | null} while this tab leads */
	#hub = null;
	/** @type {Port | null} */
	#port = null;
	/** @type {Hello | null} */
	#hello = null;
	#isAttached = false;
	#isEnded = false;
	/** @type {ReturnType<typeof setTimeout> | undefined} the leader has so long for a word */
	#patience = undefined;
	#isReady = false;
	/** @type {Set<string>} tabs whose own lock is asked for, to see them go */
	#watched = new Set();
	#stop = new AbortController();
	#waiting = new AbortController();
	#release = () => {};
	#retire = () => this.#abdicate();
	/** @param {Event} event */
	#returned = (event) => /** @type {PageTransitionEvent} */ (event).persisted && this.#comeBack();

	/**
	 * @param {string} key @param {import('../belfry.d.ts').ChatOptions['share']} options
	 * @param {(hello: Hello) => Socket} line opens the real connection
	 */
	constructor(key, options, line) {
		const given = typeof options === 'object' ? options : {};
		const Channel = given.BroadcastChannel ?? BroadcastChannel;

		this.key = key;
		this.line = line;
		this.patienceMs = given.patience ?? PATIENCE_MS;
		this.locks = given.locks ?? navigator.locks;
		this.tab = Array.from({ length: 4 }, () => Math.random().toString(36).slice(2, 8)).join('');
		this.channel = new Channel(key);
		this.channel.onmessage = (/** @type {{data: Json}} */ { data }) => this.#hear(data);
		this.#hold(`${key} ${this.tab}`);
		globalThis.addEventListener?.('pagehide', this.#retire);
		globalThis.addEventListener?.('pageshow', this.#returned);
		globalThis.document?.addEventListener('freeze', this.#retire);
	}

	/** This tab's own lock, until its end: so the leader sees it go. @param {string} name */
	#hold(name) {
		this.locks.request(name, { signal: this.#stop.signal }, () => new Promise((resolve) => {
			this.#stop.signal.addEventListener('abort', () => resolve(undefined), { once: true });
			this.#isReady = true;
			this.#queue();
			if (this.#port !== null)
				this.#knock();
		})).catch(() => {});
	}

	/** Lead when nobody else does; or, when who does is asleep, at once. @param {boolean} [steal] */
	#queue(steal = false) {
		const waiting = new AbortController();

		this.#waiting.abort();
		this.#waiting = waiting;
		this.locks.request(this.key, steal ? { steal } : { signal: waiting.signal }, () => new Promise((resolve) => {
			if (this.#isEnded)
				return resolve(undefined);
			this.#release = () => resolve(undefined);
			this.#lead();
		})).catch(() => waiting === this.#waiting && this.#dethroned());
	}

	/** @param {Hello} hello @returns {Socket} */
	open(hello) {
		const port = this.#port = new Port((text) => this.#send(text), (isDead) => this.#leave(port, isDead));

		this.#hello = hello;
		this.#isAttached = false;
		this.#knock();
		return port;
	}

	/** Ask whoever leads to be let in. */
	#knock() {
		if (!this.#isReady)
			return;
		if (this.#hub !== null) {
			this.#isAttached = true;
			return this.#hub.attach(this.tab, /** @type {Hello} */ (this.#hello));
		}
		this.#post({ what: 'hello', ...this.#hello });
		this.#waitFor();
	}

	/** @param {Json} message */
	#post(message) {
		if (!this.#isEnded)
			this.channel.postMessage({ from: this.tab, ...message });
	}

	#waitFor() {
		this.#patience ??= setTimeout(() => {
			this.#patience = undefined;
			if (this.#hub === null && !this.#isEnded)
				this.#queue(true);
		}, this.patienceMs);
	}

	#heard() {
		clearTimeout(this.#patience);
		this.#patience = undefined;
	}

	/** @param {string} text */
	#send(text) {
		if (this.#hub !== null)
			return this.#hub.send(this.tab, text);
		this.#post({ what: 'send', text });
		this.#waitFor();
	}

	/** @param {Port} port @param {boolean} isDead it found no life in the line */
	#leave(port, isDead) {
		if (port !== this.#port)
			return;
		this.#port = null;
		this.#heard();
		if (this.#hub !== null)
			this.#hub.detach(this.tab, isDead);
		else
			this.#post({ what: 'bye', isDead });
	}

	/** @param {Json} data */
	#hear(data) {
		if (data.what === 'leader')
			return this.#follow();
		if (this.#hub !== null && data.to === undefined)
			return this.#serve(data);
		if (data.to?.includes(this.tab)) {
			this.#heard();
			this.#take(data);
		}
	}

	/** For this tab, from whoever leads. @param {Json} data */
	#take(data) {
		if (data.what === 'in')
			this.#isAttached = true;
		else if (data.what === 'text' && this.#isAttached)
			this.#port?.onmessage?.({ data: data.text });
		else if (data.what === 'closed')
			this.#ended({ code: data.code, reason: data.reason, error: data.error && new BelfryError(data.error.code, data.error.message, data.error) });
	}

	/** @param {{code: number, reason: string, error?: BelfryError}} end */
	#ended(end) {
		const port = this.#port;

		this.#port = null;
		this.#isAttached = false;
		port?.ended(end);
	}

	/** Somebody else leads from now on. */
	#follow() {
		if (this.#hub !== null)
			return;         // who was robbed is told by its lock
		this.#heard();
		if (this.#isAttached)
			this.#ended({ code: MOVED, reason: 'another tab leads' });
		else if (this.#port !== null)
			this.#knock();
	}

	/* --- leading --- */

	#lead() {
		this.#heard();
		this.#hub = new Hub((hello) => this.line(hello), (to, message) => {
			if (to.includes(this.tab))
				queueMicrotask(() => this.#take(message));
			const others = to.filter((tab) => tab !== this.tab);
			if (others.length > 0)
				this.#post({ to: others, ...message });
		});
		this.#post({ what: 'leader' });
		if (this.#isAttached)
			this.#ended({ code: MOVED, reason: 'this tab leads' });
		else if (this.#port !== null)
			this.#knock();
	}

	/** @param {Json} data */
	#serve({ what, from, text, isDead, ...hello }) {
		const hub = /** @type {Hub} */ (this.#hub);

		if (what === 'hello') {
			this.#post({ to: [from], what: 'in' });
			this.#watch(from);
			hub.attach(from, /** @type {Hello} */ (hello));
		} else if (what === 'send') {
			this.#post({ to: [from], what: hub.has(from) ? 'got' : 'closed', code: 1006, reason: 'not attached' });
			hub.send(from, text);
		} else if (what === 'bye') {
			hub.detach(from, isDead);
		}
	}

	/** @param {string} tab who holds its own lock as long as it lives */
	#watch(tab) {
		if (this.#watched.has(tab))
			return;
		this.#watched.add(tab);
		this.locks.request(`${this.key} ${tab}`, { signal: this.#stop.signal }, () => {
			this.#watched.delete(tab);
			this.#hub?.detach(tab);
		}).catch(() => {});
	}

	#dropHub() {
		const hub = this.#hub;

		this.#hub = null;
		hub?.close();
		if (hub !== null && this.#isAttached)
			this.#ended({ code: MOVED, reason: 'another tab leads' });
	}

	/** Another tab took the lock, because this one had not answered. */
	#dethroned() {
		if (this.#isEnded)
			return;
		this.#dropHub();
		this.#queue();
	}

	/** This tab is put to sleep: another one may lead. */
	#abdicate() {
		if (this.#hub === null)
			return;
		this.#dropHub();
		this.#release();
		this.#queue();
	}

	/** Out of the cache of pages one may go back to: the lock may be gone, and what was said meanwhile is. */
	#comeBack() {
		if (this.#isEnded)
			return;
		this.#hold(`${this.key} ${this.tab}`);
		if (this.#hub === null && this.#isAttached)
			this.#ended({ code: MOVED, reason: 'the page was away' });
	}

	end() {
		if (this.#isEnded)
			return;
		if (this.#hub === null)
			this.#post({ what: 'bye' });
		this.#hub?.close();
		this.#hub = null;
		this.#isEnded = true;
		this.#heard();
		this.#release();
		this.#waiting.abort();
		this.#stop.abort();
		this.channel.close();
		globalThis.removeEventListener?.('pagehide', this.#retire);
		globalThis.removeEventListener?.('pageshow', this.#returned);
		globalThis.document?.removeEventListener('freeze', this.#retire);
	}
}
