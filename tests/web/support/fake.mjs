// SPDX-License-Identifier: ISC
/* A WebSocket and a server that a test plays by hand. */

/** Lets everything that is ready run. */
export const settle = (ms = 5) => new Promise((resolve) => setTimeout(resolve, ms));

/** @returns a WebSocket class; `sockets` are those that were opened */
export function fakeWebSocket(onopen = () => {}) {
	return class FakeWebSocket {
		static sockets = [];

		constructor(url, protocols) {
			this.url = url;
			this.protocols = protocols;
			this.sent = [];
			this.isClosed = false;
			FakeWebSocket.sockets.push(this);
			queueMicrotask(() => onopen(this, FakeWebSocket.sockets.length));
		}

		static get last() {
			return FakeWebSocket.sockets.at(-1);
		}

		send(text) {
			if (this.isClosed)
				return;
			const message = JSON.parse(text);
			this.sent.push(message);
			this.onsent?.(message);
		}

		close(code, reason) {
			this.cut(code ?? 1000, reason);
		}

		/* the server's side */

		tell(message) {
			if (!this.isClosed)
				this.onmessage?.({ data: JSON.stringify(message) });
		}

		welcome(more = {}) {
			this.tell({
				type: 'welcome', user: { id: 'u1', name: 'Ada' }, session: 's', time: Date.now(), heartbeat: 30,
				limits: { message: 65536 }, ...more,
			});
		}

		cut(code = 1006, reason = '') {
			if (this.isClosed)
				return;
			this.isClosed = true;
			this.onclose?.({ code, reason });
		}

		/** The messages of a type that were sent here. */
		of(type) {
			return this.sent.filter((message) => message.type === type);
		}

		/** Answers the last message of a type. */
		answer(type, message) {
			this.tell({ ref: this.of(type).at(-1).ref, ...message });
		}
	};
}

/** A response whose event stream the test writes. */
export function fakeStream({ status = 200 } = {}) {
	let controller;
	const body = new ReadableStream({ start: (c) => (controller = c) });
	const encoder = new TextEncoder();

	return {
		response: new Response(status === 200 ? body : null, { status, headers: { 'Content-Type': 'text/event-stream' } }),
		write: (text) => controller.enqueue(encoder.encode(text)),
		end: () => controller.close(),
	};
}

export function problem(status, code, detail, headers = {}) {
	return new Response(JSON.stringify({ status, code, detail }), {
		status, headers: { 'Content-Type': 'application/problem+json', ...headers },
	});
}

/** Waits for an event of the library, at most a second. */
export function event(target, type) {
	return new Promise((resolve, reject) => {
		const timer = setTimeout(() => reject(new Error(`no ${type} event`)), 1000);
		target.addEventListener(type, (e) => {
			clearTimeout(timer);
			resolve(e.detail);
		}, { once: true });
	});
}
