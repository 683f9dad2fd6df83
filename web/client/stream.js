// SPDX-License-Identifier: ISC
/* Event streams: the parser, and chat over SSE in the shape of a WebSocket. */

import { problemOf } from './common.js';

const TOKEN_ENDED = 4401;

/** Reads the lines of an event stream (HTML standard, 9.2.6), in whatever pieces they come. */
export class StreamParser {
	/** @param {(event: {type: string, data: string, id: string}) => void} onevent */
	constructor(onevent) {
		this.onevent = onevent;
		/** @type {(id: string) => void} called for a block that only moves the cursor */
		this.onid = () => {};
		/** @type {(ms: number) => void} */
		this.onretry = () => {};
		this.id = '';
		this.rest = '';
		this.started = false;
		this.type = '';
		/** @type {string[]} */
		this.data = [];
	}

	/** @param {string} text */
	push(text) {
		if (!this.started && text !== '') {
			text = text.replace(/^\ufeff/, '');
			this.started = true;
		}
		const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);

		this.rest = lines.pop() ?? '';
		for (const line of lines)
			this.line(line);
	}

	/** @param {string} line */
	line(line) {
		if (line === '')
			return this.dispatch();
		const colon = line.indexOf(':');
		const field = colon < 0 ? line : line.slice(0, colon);
		const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');

		if (field === 'event')
			this.type = value;
		else if (field === 'data')
			this.data.push(value);
		else if (field === 'id' && !value.includes('\0'))
			this.id = value;
		else if (field === 'retry' && /^\d+$/.test(value))
			this.onretry(Number(value));
	}

	dispatch() {
		const { type, data, id } = this;

		this.type = '';
		this.data = [];
		this.onid(id);
		if (data.length > 0)
			this.onevent({ type: type || 'message', data: data.join('\n'), id });
	}
}

/**
 * Read a response as an event stream until it ends, or the signal ends it.
 * @param {Response} response @param {StreamParser} parser @param {AbortSignal} signal
 * @param {() => void} [onbytes]
 */
export async function readStream(response, parser, signal, onbytes = () => {}) {
	const decoder = new TextDecoder();
	const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();

	signal.addEventListener('abort', () => reader.cancel().catch(() => {}), { once: true });
	for (;;) {
		const { done, value } = await reader.read();
		if (done)
			return;
		onbytes();
		parser.push(decoder.decode(value, { stream: true }));
	}
}

/** Is it the chat's own error, in answer to a request? @param {string} text */
function isRefusal(text) {
	try {
		const { type, ref } = JSON.parse(text);
		return type === 'error' && ref !== undefined;
	} catch {
		return false;
	}
}

/** Problem details, or a proxy's page, as the message that an error is. @param {Response} response @param {string | undefined} ref */
async function refusal(response, ref) {
	const { code, message, limit, retryAfter } = await problemOf(response);

	return JSON.stringify({
		type: 'error', ref, code: code === 'http' && response.status >= 500 ? 'unavailable' : code, message, limit, retry_after: retryAfter,
	});
}

/**
 * Chat over SSE in the shape of a WebSocket, for networks that let no WebSocket through: a stream
 * down, one POST for each message up, in order.
 */
export class StreamSocket {
	/** @param {URL} url @param {string | null} token @param {typeof fetch} fetcher */
	constructor(url, token, fetcher) {
		/** @type {((event: any) => void) | null} */
		this.onmessage = null;
		/** @type {((event: any) => void) | null} */
		this.onclose = null;
		/** @type {((event: any) => void) | null} */
		this.onerror = null;
		this.url = url;
		this.fetch = fetcher;
		/** @type {Record<string, string>} */
		this.headers = token === null ? {} : { Authorization: `Bearer ${token}` };
		this.abort = new AbortController();
		this.session = '';
		/** @type {Promise<unknown>} */
		this.posts = Promise.resolve();
		this.run().then(() => this.ended(1006, ''), (error) => this.ended(1006, error.message, error));
	}

	async run() {
		const response = await this.fetch(this.url, {
			headers: { ...this.headers, Accept: 'text/event-stream' },
			signal: this.abort.signal,
			cache: 'no-store',
		});
		if (!response.ok)
			throw await problemOf(response);
		await readStream(response, new StreamParser((event) => {
			if (event.type === 'user')
				this.session = event.data;
			else if (event.data.startsWith('{'))
				this.onmessage?.({ data: event.data });
		}), this.abort.signal);
	}

	/** @param {string} text */
	send(text) {
		this.posts = this.posts.then(() => this.post(text)).catch((error) => this.ended(1006, String(error)));
	}

	/** @param {string} text */
	async post(text) {
		const url = new URL(`chat/${encodeURIComponent(this.session)}`, new URL('.', this.url));
		const response = await this.fetch(url, {
			method: 'POST',
			headers: { ...this.headers, 'Content-Type': 'application/json' },
			body: text,
			signal: this.abort.signal,
		});
		const answer = await response.clone().text();
		const { type, ref, token } = JSON.parse(text);
		const isOurs = isRefusal(answer);       // of what was asked, not of the asking

		if (response.status === 404 && !isOurs)
			throw new Error('the stream has ended');
		if (response.status === 401 && !isOurs) // another token may do
			return this.ended(TOKEN_ENDED, (await problemOf(response)).message);
		if (answer.startsWith('{') && (response.ok || isOurs))
			this.onmessage?.({ data: answer });
		else if (!response.ok)
			this.onmessage?.({ data: await refusal(response, ref) });
		if (type === 'refresh' && response.ok)
			this.headers = { ...this.headers, Authorization: `Bearer ${token}` };
	}

	/** @param {number} [code] @param {string} [reason] */
	close(code = 1000, reason = '') {
		this.ended(code, reason);
	}

	/** @param {number} code @param {string} reason @param {Error} [error] */
	ended(code, reason, error) {
		const tell = this.onclose;

		this.onclose = this.onmessage = null;
		this.abort.abort();
		tell?.({ code, reason, error });
	}
}
