// SPDX-License-Identifier: ISC
/* Topics over Server-Sent Events. */

import { BelfryError, BelfryEvent, baseOf, fullJitter, problemOf } from './common.js';
import { StreamParser, readStream } from './stream.js';

/** @typedef {import('../belfry.d.ts').EventsOptions} EventsOptions */
/** @typedef {import('../belfry.d.ts').State} State */
/** @typedef {Record<string, any>} Json */

const STREAM_SILENCE_MS = 45_000;               // three times the keep-alive

/** @param {number} ms @param {AbortSignal} signal ends it at once @returns {Promise<void>} */
function pause(ms, signal) {
	return new Promise((resolve) => {
		const end = () => {
			clearTimeout(timer);
			signal.removeEventListener('abort', end);
			resolve();
		};
		const timer = setTimeout(end, ms);

		signal.addEventListener('abort', end);
	});
}

/** Topics over Server-Sent Events, read with fetch so that the token travels in a header. */
export class Events extends EventTarget {
	#abort = new AbortController();
	#failures = 0;
	/** @type {number | null} */
	#retryMs = null;
	/** @type {BelfryError | undefined} */
	#refused = undefined;
	#refusals = 0;

	/** @param {string | URL | undefined} url @param {EventsOptions} [options] */
	constructor(url, options = {}) {
		super();
		this.url = baseOf(url);
		this.options = options;
		this.random = options.random ?? Math.random;
		this.fetch = options.fetch ?? ((/** @type {any} */ input, /** @type {any} */ init) => fetch(input, init));
		/** @type {State} */
		this.state = 'closed';
		/** @type {string} the position: what a reconnect resumes from */
		this.cursor = '';
		options.signal?.addEventListener('abort', () => this.close(), { once: true });
	}

	/** Connect, and stay connected until close(). */
	connect() {
		if (this.state === 'closed' && !this.options.signal?.aborted) {
			this.#abort = new AbortController();
			this.#run(this.#abort.signal);
		}
		return this;
	}

	close() {
		if (this.state === 'closed')
			return;
		this.#abort.abort();
		this.#setState('closed', { reason: 'closed by the application' });
	}

	/** @param {State} state @param {Json} [more] */
	#setState(state, more = {}) {
		this.state = state;
		this.dispatchEvent(new BelfryEvent('state', { state, ...more }));
		if (state !== 'open' && more.reason !== undefined)
			this.dispatchEvent(new BelfryEvent('close', { willRetry: state !== 'closed', ...more }));
	}

	/** @param {AbortSignal} signal */
	async #run(signal) {
		this.#setState('connecting');
		while (!signal.aborted) {
			/** @type {BelfryError} */
			let why;
			try {
				why = await this.#once(signal);
			} catch (error) {
				why = error instanceof BelfryError ? error : new BelfryError('closed', String(error), { cause: error });
			}
			if (signal.aborted)
				return;
			if (this.#isFinal(why))
				return this.#setState('closed', { reason: why.message, error: why });
			const delay = why.retryAfter ? 1000 * why.retryAfter
				: (this.#retryMs ?? 0) + fullJitter(this.#failures++, this.options.backoff, this.random);
			this.#setState('connecting', { reason: why.message, retryIn: delay });
			await pause(delay, signal);
		}
	}

	/** @param {BelfryError} why */
	#isFinal(why) {
		if (why.status === 204)
			return true;
		if (why.status !== 400 && why.status !== 401 && why.status !== 403)
			return false;
		this.#refused = why;
		return ++this.#refusals > 1 || typeof this.options.token !== 'function';
	}

	/** One stream, from request to end. @param {AbortSignal} signal */
	async #once(signal) {
		const { token, topics = [], last, after } = this.options;
		const given = (typeof token === 'function' ? await token({ refused: this.#refused }) : token) ?? null;
		const url = new URL('events', this.url);
		/** @type {Record<string, string>} */
		const headers = { Accept: 'text/event-stream' };
		const stream = new AbortController();
		const stop = () => stream.abort();
		let dead = setTimeout(stop, this.options.silence ?? STREAM_SILENCE_MS);
		const heard = () => {
			clearTimeout(dead);
			dead = setTimeout(stop, this.options.silence ?? STREAM_SILENCE_MS);
		};

		for (const topic of topics)
			url.searchParams.append('topic', topic);
		if (this.cursor !== '')
			headers['Last-Event-ID'] = this.cursor;
		else if (after !== undefined)
			url.searchParams.set('after', String(after));
		else if (last !== undefined)
			url.searchParams.set('last', String(last));
		if (given !== null)
			headers.Authorization = `Bearer ${given}`;
		signal.addEventListener('abort', stop, { once: true });
		try {
			const response = await this.fetch(url, { headers, signal: stream.signal, cache: 'no-store' });
			if (response.status === 204)
				throw new BelfryError('closed', 'the server says: never again', { status: 204 });
			if (!response.ok)
				throw await problemOf(response);
			heard();
			await this.#read(response, stream.signal, heard);
			return new BelfryError('closed', 'the stream ended');
		} finally {
			clearTimeout(dead);
			signal.removeEventListener('abort', stop);
			stop();
		}
	}

	/** @param {Response} response @param {AbortSignal} signal @param {() => void} heard */
	async #read(response, signal, heard) {
		const parser = new StreamParser((event) => this.#deliver(event));

		parser.id = this.cursor;
		parser.onid = (id) => (this.cursor = id);
		parser.onretry = (ms) => (this.#retryMs = ms);
		this.#refusals = 0;
		this.#refused = undefined;
		this.#setState('open');
		this.dispatchEvent(new BelfryEvent('open'));
		await readStream(response, parser, signal, () => {
			this.#failures = 0;
			heard();
		});
	}

	/** @param {{type: string, data: string, id: string}} event */
	#deliver({ type, data, id }) {
		/** @type {any} */
		let value = data;

		try {
			value = JSON.parse(data);
		} catch {
			// plain text, as it was published
		}
		const detail = { event: type, data: value, text: data, id };
		this.dispatchEvent(new BelfryEvent('event', detail));
		if (!['event', 'state', 'open', 'close'].includes(type))
			this.dispatchEvent(new BelfryEvent(type, detail));
	}
}
