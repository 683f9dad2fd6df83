// SPDX-License-Identifier: ISC
/* Questions that are under way on a connection, by their `ref`. */

import { BelfryError } from './common.js';

/** @typedef {Record<string, any>} Json */
/** @typedef {{resolve: (answer: Json) => void, reject: (error: Error) => void, answered?: (answer: Json) => void}} Waiter */

export const aborted = () => new BelfryError('aborted', 'aborted');

export class Requests {
	/** @type {Map<string, Waiter>} */
	#waiters = new Map();
	#lastRef = 0;

	/**
	 * @param {Json} message @param {(text: string) => void} send @param {number} most bytes
	 * @param {AbortSignal} [signal] @param {(answer: Json) => void} [answered] at once, before anything that follows the answer
	 * @returns {Promise<Json>}
	 */
	ask(message, send, most, signal, answered) {
		const ref = `r${++this.#lastRef}`;
		const text = JSON.stringify({ ...message, ref });

		if (signal?.aborted)
			return Promise.reject(aborted());
		if (new TextEncoder().encode(text).length > most)
			return Promise.reject(new BelfryError('too_large', `a message may have ${most} bytes`, { limit: 'limits.message' }));
		const stop = () => this.#take(ref)?.reject(aborted());
		/** @type {Promise<Json>} */
		const answer = new Promise((resolve, reject) => this.#waiters.set(ref, { resolve, reject, answered }));

		signal?.addEventListener('abort', stop, { once: true });
		send(text);
		return answer.finally(() => signal?.removeEventListener('abort', stop));
	}

	/** @param {string | undefined} ref @returns {Waiter | undefined} */
	#take(ref) {
		const waiter = ref === undefined ? undefined : this.#waiters.get(ref);

		if (ref !== undefined)
			this.#waiters.delete(ref);
		return waiter;
	}

	/** Whoever asked this, once. @param {Json} answer */
	take(answer) {
		return this.#take(answer.ref);
	}

	/** The connection is gone, and with it the answers. */
	lost() {
		const waiters = [...this.#waiters.values()];

		this.#waiters.clear();
		for (const waiter of waiters)
			waiter.reject(new BelfryError('closed', 'the connection was lost'));
	}
}
