// SPDX-License-Identifier: ISC
/* A daemon of a page or two: what docs/wire.md says of rooms and topics that are joined, resumed, read too slowly and said into. */

const matches = (sub, message) => (sub.kind === 'room' ? sub.name === message.room : sub.name === message.topic);
const placeOf = (message) => (message.room === undefined ? 'topic' : 'room');

export class Server {
	/** @param {import('./clock.mjs').Clock} clock @param {ReturnType<import('./clock.mjs').chance>} dice */
	constructor(clock, dice) {
		Object.assign(this, { clock, dice, log: [], trimmed: [], keys: new Map(), lines: new Set(), lastId: 1000, sessions: 0, slowMs: 2500 });
	}

	/** @returns {any[]} in order */
	stored(kind, name, after = 0) {
		return this.log.filter((one) => one[kind] === name && one.id > after);
	}

	lost(kind, name, after) {
		return this.trimmed.filter((one) => one[kind] === name && one.id > after);
	}

	append(message, line = null) {
		const whole = { ...message, id: (this.lastId += 1 + this.dice.below(3)) };

		this.log.push({ ...whole, line });
		for (const one of this.lines)
			one.live(whole, line);
		return whole.id;
	}

	/** Retention takes the oldest. */
	trim(n) {
		this.trimmed.push(...this.log.splice(0, n));
	}

	/** The process ends, with a word or without. */
	restart(isSudden) {
		for (const line of [...this.lines]) {
			if (!isSudden)
				line.tell({ type: 'closing', reason: 'shutdown', retry: 200 + this.dice.below(3000) });
			line.end(isSudden ? 1006 : 1001);
		}
	}
}

/** The daemon's end of one connection. */
export class Line {
	/** @param {Server} server @param {{id: string, name: string}} user @param {number} expires @param {(message: any) => void} tell @param {(code: number) => void} onend */
	constructor(server, user, expires, tell, onend) {
		Object.assign(this, { server, user, expires, tell, onend, subs: new Map(), session: `s${++server.sessions}`, isSlow: false, isEnded: false });
		server.lines.add(this);
		this.tell({ type: 'welcome', user, session: this.session, time: server.clock.now, heartbeat: 30, limits: { message: 65536 }, expires: Math.floor(expires / 1000) });
		this.watchToken();
	}

	watchToken() {
		const { clock } = this.server;
		const left = this.expires - clock.now;

		clock.after(Math.max(1, left - 5000), () => {
			if (!this.isEnded && this.expires - clock.now <= 5000 && !this.isWarned) {
				this.isWarned = true;
				this.tell({ type: 'expiring', in: 5 });
			}
		});
		clock.after(left, () => !this.isEnded && this.expires <= clock.now && this.end(4401));
	}

	end(code) {
		if (this.isEnded)
			return;
		this.isEnded = true;
		this.server.lines.delete(this);
		this.onend(code);
	}

	/** A message of now. */
	live(message, from) {
		for (const sub of this.subs.values()) {
			if (!matches(sub, message) || !sub.isLevel)
				continue;
			if (this.isSlow) {
				Object.assign(sub, { isLevel: false, at: message.id - 1 });
				this.later(sub);
			} else if (from !== this) {
				this.tell(message);
			}
		}
	}

	/** @param {any} message @param {(answer: any) => void} answer */
	take(message, answer) {
		const { server } = this;
		const { type, ref } = message;
		const error = (code, more = {}) => answer({ type: 'error', ref, code, message: code, ...more });

		if (server.dice.is(0.01))
			return error('rate_limited', { retry_after: 1 });
		switch (type) {
		case 'join':
		case 'subscribe':
			return this.join(message, answer);
		case 'leave':
			this.subs.delete(`room ${message.room}`);
			return answer({ type: 'left', ref, room: message.room });
		case 'unsubscribe':
			this.subs.delete(`topic ${message.topic}`);
			return answer({ type: 'unsubscribed', ref, topic: message.topic });
		case 'chat':
			return this.chat(message, answer);
		case 'history': {
			const kind = placeOf(message);
			const all = server.stored(kind, message[kind]).filter(({ id }) => message.before === undefined || id < message.before);
			const messages = all.slice(-(message.limit ?? 50)).map(({ line: _, ...one }) => one);
			return answer({ type: 'history', ref, [kind]: message[kind], messages, more: all.length > messages.length });
		}
		case 'refresh':
			this.expires = Number(message.token.split('.')[1]);
			this.isWarned = false;
			this.watchToken();
			return answer({ type: 'refreshed', ref, expires: Math.floor(this.expires / 1000) });
		case 'ping':
			return answer({ type: 'pong', ref, time: server.clock.now });
		default:
			return answer(null);            // typing, read
		}
	}

	chat({ room, content, key, ref }, answer) {
		const known = this.server.keys.get(`${this.user.id} ${key}`);
		const id = known ?? this.server.append({ type: 'chat', room, from: this.user, content, key, time: this.server.clock.now }, this);

		this.server.keys.set(`${this.user.id} ${key}`, id);
		answer({ type: 'ack', ref, id, duplicate: known !== undefined });
	}

	join({ type, ref, after, last, room, topic }, answer) {
		const { server } = this;
		const [kind, name] = type === 'join' ? ['room', room] : ['topic', topic];
		const before = this.subs.get(`${kind} ${name}`);
		const all = server.stored(kind, name);
		const most = last ?? (kind === 'room' && before === undefined ? 50 : 0);
		const sub = { kind, name, asked: server.lastId, isLevel: false, isTold: after === undefined, at: server.lastId };
		const isNothing = after === undefined && most === 0;

		if (after !== undefined)
			sub.at = after;
		else if (most > 0)
			sub.at = all.length > most ? all.at(-most - 1).id : server.lost(kind, name, 0).at(-1)?.id ?? 0;
		const stored = isNothing ? [] : server.stored(kind, name, sub.at).map(({ id }) => id);
		if (before !== undefined && !before.isLevel && !isNothing)      // what was live and is still to come does come
			sub.at = Math.min(sub.at, Math.max(before.at, before.asked));
		const isResumed = after !== undefined && server.lost(kind, name, after).length === 0;
		if (isNothing && before === undefined)
			sub.isLevel = true;
		if (!(isNothing && before !== undefined))
			this.subs.set(`${kind} ${name}`, sub);
		answer({
			type: kind === 'room' ? 'joined' : 'subscribed', ref, [kind]: name, ...(kind === 'room' ? { count: 1, members: [this.user] } : {}),
			resumed: isResumed, latest: all.at(-1)?.id ?? server.lastId, stored,
		});
		if (!sub.isLevel)
			this.later(sub);
	}

	later(sub) {
		const { dice, clock } = this.server;

		clock.after(this.isSlow ? dice.below(this.server.slowMs) : dice.below(6), () => this.read(sub));
	}

	/** One step of a reader that is behind. */
	read(sub) {
		const { kind, name } = sub;
		const { server } = this;

		if (this.isEnded || this.subs.get(`${kind} ${name}`) !== sub)
			return;
		const lost = server.lost(kind, name, sub.at);
		if (lost.length > 0) {
			this.tell({ type: 'gap', [kind]: name, after: sub.at, oldest: server.stored(kind, name)[0]?.id ?? null, reason: 'trimmed' });
			sub.at = lost.at(-1).id;
		}
		const ahead = server.stored(kind, name, sub.at);
		for (const { line, ...message } of ahead.slice(0, 1 + server.dice.below(8))) {
			sub.at = message.id;
			if (line !== this || message.id <= sub.asked)
				this.tell(message);
		}
		if (server.stored(kind, name, sub.at).length === 0)
			sub.isLevel = true;
		else
			this.later(sub);
	}
}
