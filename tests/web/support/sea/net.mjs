// SPDX-License-Identifier: ISC
/* The wire between tabs and the daemon, WebSocket and fetch, and all that goes wrong on it. */

import { here, Pipe } from './clock.mjs';
import { Line } from './server.mjs';

const FORGOTTEN_MS = 60_000;            // how long the daemon keeps a line that is dead

export class Net {
	constructor(clock, dice, server) {
		Object.assign(this, { clock, dice, server, wires: new Set(), isDown: false, isBlocked: false, isSlow: false, isCalm: false, fetches: new Set() });
		this.delay = () => (this.isCalm ? 2 : this.isSlow && this.dice.is(0.02) ? this.dice.below(this.slowMs) : this.dice.below(8));
	}

	/** @returns {{user: any, expires: number} | null} */
	userOf(token) {
		const [who, expires] = (token ?? '').split('.');

		return Number(expires) > this.clock.now ? { user: { id: who, name: who.toUpperCase() }, expires: Number(expires) } : null;
	}

	/** Something happens to one of the lines. */
	trouble() {
		const wire = this.dice.one([...this.wires]);

		wire?.cut(this.dice.one(this.cuts));
	}

	webSocket(tab) {
		const net = this;

		return class {
			constructor(_url, protocols) {
				const token = protocols[1]?.slice('bearer.'.length);

				here.run(tab, () => setTimeout(() => this.open(token), net.dice.is(net.isCalm ? 0 : 0.05) ? net.dice.below(15_000) : net.dice.below(30)));
			}

			open(token) {
				const who = net.userOf(token);

				if (this.isClosed)
					return;
				if (net.isDown || net.isBlocked || who === null)
					return this.finish(1006);
				this.wire = new Wire(net, tab, (text) => this.onmessage?.({ data: text }), (code) => this.finish(code));
				this.wire.open(who, (message) => JSON.stringify(message));
			}

			send(text) {
				const { wire } = this;

				wire.up.send(() => wire.line.take(JSON.parse(text), (answer) => answer !== null && wire.line.tell(answer)));
			}

			finish(code) {
				if (this.isClosed)
					return;
				this.isClosed = true;
				this.onclose?.({ code, reason: '' });
			}

			close(code = 1000) {
				this.wire?.leave();
				here.run(tab, () => setTimeout(() => this.finish(code), net.dice.below(20)));
			}
		};
	}

	fetch(tab) {
		return (input, { method = 'GET', headers, body, signal } = {}) => new Promise((resolve, reject) => {
			const url = new URL(input);
			const token = headers.Authorization?.slice('Bearer '.length);
			const fail = () => this.clock.after(this.delay(), () => {
				this.fetches.delete(fail);
				signal?.removeEventListener('abort', abort);
				reject(new TypeError('network'));
			}, tab);
			const answer = (response) => this.clock.after(this.delay(), () => {
				this.fetches.delete(fail);
				signal?.removeEventListener('abort', abort);
				resolve(response);
			}, tab);

			this.fetches.add(fail);
			const abort = () => {
				this.fetches.delete(fail);
				reject(new DOMException('aborted', 'AbortError'));
			};

			signal?.addEventListener('abort', abort);
			this.clock.after(this.delay(), () => {
				const who = this.userOf(token);
				if (this.isDown)
					fail();
				else if (who === null)
					answer(refusal(401, 'invalid_token'));
				else if (method === 'POST')
					this.post(url, body, answer, fail);
				else if (headers.Accept !== 'text/event-stream')
					answer(refusal(426, 'upgrade_required'));
				else
					this.stream(tab, url, who, signal, answer);
			});
		});
	}

	/** A request that is answered, or not, or by a proxy. */
	post(url, body, answer, fail) {
		const session = decodeURIComponent(url.pathname.split('/').at(-1));
		const line = [...this.server.lines].find((one) => one.session === session);
		const fate = this.isCalm ? 1 : this.dice.next();

		if (fate < 0.01)
			return fail();
		if (fate < 0.02)
			return answer(refusal(503));
		if (line === undefined)
			return answer(refusal(404, 'not_found'));
		line.take(JSON.parse(body), (said) => {
			const late = this.isCalm ? 0 : this.dice.is(0.05) ? this.dice.below(this.slowMs) : this.dice.below(5);

			this.clock.after(late, () => {
				if (fate < 0.03)
					fail();
				else if (fate < 0.04)
					answer(refusal(502));
				else if (said === null)
					answer(response(204, ''));
				else
					answer(response(said.type === 'error' ? 429 : 200, JSON.stringify(said)));
			});
		});
	}

	stream(tab, url, who, signal, answer) {
		const body = new Body();
		const wire = new Wire(this, tab, (bytes) => body.push(bytes), () => body.end(this.dice.is(0.5)));
		const room = url.searchParams.get('room') ?? 'lobby';
		const position = Object.fromEntries(['after', 'last'].filter((name) => url.searchParams.has(name)).map((name) => [name, Number(url.searchParams.get(name))]));

		signal.addEventListener('abort', () => wire.leave());
		answer({ ok: true, status: 200, body });
		wire.isStream = true;
		wire.open(who, (message) => `${message.type === 'welcome' ? `event: user\ndata: ${message.session}\n\n` : ''}`
			+ `event: ${message.type}\n${message.id !== undefined && this.dice.is(0.7) ? `id: ${message.id}\n` : ''}data: ${JSON.stringify(message)}\n\n`);
		wire.line.join({ type: 'join', room, ...position }, (joined) => wire.line.tell(joined));
	}
}

const response = (status, text, headers = {}) => {
	const made = { ok: status < 300, status, headers: new Headers(headers), text: async () => text, json: async () => JSON.parse(text), clone: () => made };
	return made;
};
const refusal = (status, code) => response(status, code === undefined ? '<h1>sorry</h1>' : JSON.stringify({ status, code, detail: code }));

/** What comes in an answer, bit by bit. */
class Body {
	constructor() {
		this.pieces = [];
		this.wake = () => {};
	}

	push(bytes) {
		this.pieces.push(bytes);
		this.wake();
	}

	end(isBroken) {
		this.over ??= isBroken ? 'broken' : 'done';
		this.wake();
	}

	getReader() {
		return {
			read: async () => {
				while (this.pieces.length === 0 && this.over === undefined)
					await new Promise((resolve) => (this.wake = resolve));
				if (this.pieces.length > 0)
					return { done: false, value: this.pieces.shift() };
				if (this.over === 'broken')
					throw new TypeError('network');
				return { done: true };
			},
			cancel: async () => this.end(false),
		};
	}
}

/** One connection, both ways. */
class Wire {
	constructor(net, tab, onmessage, onclose) {
		Object.assign(this, { net, tab, onclose });
		this.up = new Pipe(net.clock, net.delay, (act) => !this.line.isEnded && act());
		this.down = new Pipe(net.clock, net.delay, (act) => act(), tab);
		this.onmessage = onmessage;
		net.wires.add(this);
	}

	open({ user, expires }, form) {
		const encoder = new TextEncoder();

		this.line = new Line(this.net.server, user, expires, (message) => {
			const said = form(message);
			if (!this.isStream)
				return this.down.send(() => this.onmessage(said));
			const bytes = encoder.encode(said);
			const at = this.net.dice.is(0.2) ? this.net.dice.below(bytes.length) : 0;
			for (const piece of [bytes.slice(0, at), bytes.slice(at)])      // half a block may be all that comes
				if (piece.length > 0)
					this.down.send(() => this.onmessage(piece));
		}, (code) => {
			this.down.send(() => this.closed(code));
		});
	}

	/** For the tab. */
	closed(code) {
		this.net.wires.delete(this);
		this.down.cut();
		this.onclose(code);
	}

	/** The tab has gone. */
	leave() {
		this.down.cut();
		this.net.wires.delete(this);
		this.up.send(() => this.line.end(1000));
	}

	cut(how) {
		const { clock, dice } = this.net;
		const told = () => clock.after(dice.below(300), () => this.closed(1006), this.tab);

		this.net.wires.delete(this);
		this.down.cut();
		if (how === 'both' || how === 'client')
			told();
		else if (how === 'server')
			clock.after(dice.below(8000), () => this.closed(1006), this.tab);
		if (how === 'server' || how === 'both')
			this.up.cut();
		clock.after(how === 'silent' ? FORGOTTEN_MS : dice.below(3000), () => this.line.end(1006));
		if (how === 'silent')
			this.up.cut();
	}
}
