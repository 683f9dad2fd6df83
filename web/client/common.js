// SPDX-License-Identifier: ISC
/* What all of the client library uses: events, errors, topics, addresses, delays. */

/** @typedef {Record<string, any>} Json */

const BACKOFF = { min: 500, max: 30_000 };      // milliseconds

/* Calls between the classes of this library that are nobody else's business. */
export const START = Symbol('start');
export const RECEIVE = Symbol('receive');
export const ENDED = Symbol('ended');

/** Errors that go away: what they refused is asked again. */
export const TRY_AGAIN = new Set(['rate_limited', 'too_many', 'unavailable', 'timeout', 'internal']);

/** An event of this library: what it tells is in `detail`. */
export class BelfryEvent extends Event {
	/** @param {string} type @param {any} [detail] */
	constructor(type, detail) {
		super(type);
		this.detail = detail;
	}
}

/** An error with the server's `code` (or `closed`, `aborted`, `too_large` of our own). */
export class BelfryError extends Error {
	/** @param {string} code @param {string} message @param {Json} [more] */
	constructor(code, message, more = {}) {
		super(message, more.cause === undefined ? undefined : { cause: more.cause });
		this.name = 'BelfryError';
		this.code = code;
		this.limit = more.limit;
		this.retryAfter = more.retry_after;
		this.status = more.status;
	}
}

/**
 * The events of one type, as they come: `for await (const event of on(room, 'message'))`.
 * Ends with its signal.
 * @param {EventTarget} target @param {string} type @param {{signal?: AbortSignal}} [options]
 */
export async function* on(target, type, { signal } = {}) {
	/** @type {Event[]} */
	const queue = [];
	let wake = () => {};
	const take = (/** @type {Event} */ event) => {
		queue.push(event);
		wake();
	};
	const stop = () => wake();

	target.addEventListener(type, take);
	signal?.addEventListener('abort', stop);
	try {
		while (!signal?.aborted) {
			const next = queue.shift();
			if (next)
				yield next;
			else
				await new Promise((resolve) => (wake = () => resolve(undefined)));
		}
	} finally {
		target.removeEventListener(type, take);
		signal?.removeEventListener('abort', stop);
	}
}

/**
 * Is `topic` matched by `pattern`? `*` is one segment, a last `**` one or more; neither matches
 * `user/…` when it leads.
 * @param {string} pattern @param {string} topic
 */
export function topicMatches(pattern, topic) {
	const want = pattern.split('/');
	const have = topic.split('/');

	if (have[0] === 'user' && want[0] !== 'user')
		return false;
	for (const [at, segment] of want.entries()) {
		if (segment === '**' && at === want.length - 1)
			return have.length > at;
		if (at >= have.length || (segment !== '*' && segment !== have[at]))
			return false;
	}
	return want.length === have.length;
}

/**
 * The topic of one user: in it `%`, `/`, `*` and control characters of the id are encoded.
 * @param {string} id
 */
export function userTopic(id) {
	// eslint-disable-next-line no-control-regex
	return 'user/' + id.replace(/[%/*\u0000-\u001f\u007f-\u009f]/g, (c) => encodeURIComponent(c).replace('*', '%2A'));
}

/**
 * How long to wait before the next try, in milliseconds.
 * @param {number} failures how many in a row @param {{min?: number, max?: number} | undefined} bounds
 * @param {() => number} random
 */
export function fullJitter(failures, bounds, random) {
	const { min, max } = { ...BACKOFF, ...bounds };

	return random() * Math.min(max, min * 2 ** Math.min(failures, 30));
}

/** @param {string | URL | undefined} url the daemon's address; in a page the page's own when left out */
export function baseOf(url) {
	const here = typeof location === 'undefined' ? undefined : location.href;
	const base = new URL(url ?? '/', here);

	base.protocol = base.protocol.replace(/^ws/, 'http');
	base.hash = base.search = '';
	if (!base.pathname.endsWith('/'))
		base.pathname += '/';
	return base;
}

/** A text alone is its content. @param {string | Json} message @returns {Json} */
export const bodyOf = (message) => typeof message === 'string' ? { content: message } : message;

/** @param {() => number} random @returns {string} 20 characters that nobody has used before */
export function newKey(random) {
	const part = () => Math.floor(random() * 36 ** 6).toString(36).padStart(6, '0');

	return Date.now().toString(36).padStart(8, '0').slice(-8) + part() + part();
}

/**
 * The answer to a refused request as an error; problem details (RFC 9457) when it has them.
 * @param {Response} response
 */
export async function problemOf(response) {
	const seconds = Number(response.headers.get('Retry-After'));
	/** @type {Json} */
	let body = {};

	try {
		body = await response.json();
	} catch {
		// a proxy's page; the status says enough
	}
	return new BelfryError(body.code ?? 'http', body.detail ?? body.message ?? body.title ?? `HTTP ${response.status}`, {
		limit: body.limit,
		status: response.status,
		retry_after: body.retry_after ?? (seconds > 0 ? seconds : undefined),
	});
}
