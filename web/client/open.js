// SPDX-License-Identifier: ISC
/* Ways to the server: a WebSocket, a stream in its shape, and a question why neither was let in. */

import { BelfryError, problemOf } from './common.js';
import { aborted } from './requests.js';
import { StreamSocket } from './stream.js';

/**
 * What Chat asks of a transport; WebSocket is one, StreamSocket the other.
 * @typedef {object} Socket
 * @property {((event: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onclose
 * @property {((event: any) => void) | null} onerror
 * @property {(text: string) => void} send
 * @property {(code?: number, reason?: string) => void} close
 */
/** @typedef {import('../belfry.d.ts').ChatOptions} ChatOptions */

const PROTOCOL = 'belfry.v1';
const ASK_TIMEOUT_MS = 10_000;

/**
 * The first `open` of a connection that is being opened, or why there will be none.
 * @param {import('./chat.js').Chat} chat @param {AbortSignal} [signal] gives up, and closes
 * @returns {Promise<void>}
 */
export function opening(chat, signal) {
	const told = new AbortController();
	const end = () => told.abort();
	/** @type {Promise<void>} */
	const opened = new Promise((resolve, reject) => {
		chat.addEventListener('open', () => resolve(), { signal: told.signal });
		chat.addEventListener('close', (event) => {
			const { willRetry, error, reason } = /** @type {import('./common.js').BelfryEvent} */ (event).detail;
			if (!willRetry)
				reject(error ?? new BelfryError('closed', reason));
		}, { signal: told.signal });
		signal?.addEventListener('abort', () => {
			reject(aborted());
			chat.close(1000, 'aborted');
		}, { signal: told.signal });
	});

	opened.then(end, end);                  // who does not wait has the `close` event
	return opened;
}

/** @param {ChatOptions} options @param {import('../belfry.d.ts').TokenContext} context @returns {Promise<string | null>} */
export async function tokenOf({ token }, context) {
	return (typeof token === 'function' ? await token(context) : token) ?? null;
}

/** @param {URL} base @param {string | undefined} name */
function addressOf(base, name) {
	const url = new URL('chat', base);

	if (name)
		url.searchParams.set('name', name);
	return url;
}

/** @param {URL} base @param {ChatOptions} options @param {string | null} token @returns {Socket} */
export function openWebSocket(base, options, token) {
	const Socket = options.WebSocket ?? globalThis.WebSocket;
	const url = addressOf(base, options.name);

	url.protocol = url.protocol.replace(/^http/, 'ws');
	return new Socket(url.href, token === null ? [PROTOCOL] : [PROTOCOL, `bearer.${token}`]);
}

/**
 * @param {URL} base @param {ChatOptions} options @param {string | null} token @param {typeof fetch} fetcher
 * @param {{name: string, position: () => Record<string, any>} | undefined} room is part of a stream's address
 * @returns {Socket}
 */
export function openStream(base, options, token, fetcher, room) {
	const url = addressOf(base, options.name);

	if (room !== undefined) {
		url.searchParams.set('room', room.name);
		for (const [name, value] of Object.entries(room.position()))
			url.searchParams.set(name, String(value));
	}
	return new StreamSocket(url, token, fetcher);
}

/**
 * @param {URL} base @param {string | null} token @param {typeof fetch} fetcher
 * @returns {Promise<import('./common.js').BelfryError | undefined>} nothing when the server cannot be reached at all
 */
export async function whyRefused(base, token, fetcher) {
	const stop = new AbortController();
	const timer = setTimeout(() => stop.abort(), ASK_TIMEOUT_MS);

	try {
		/** @type {Record<string, string>} */
		const headers = { Accept: 'application/json' };
		if (token !== null)
			headers.Authorization = `Bearer ${token}`;
		return await problemOf(await fetcher(new URL('chat', base), { headers, cache: 'no-store', signal: stop.signal }));
	} catch {
		return undefined;
	} finally {
		clearTimeout(timer);
	}
}
