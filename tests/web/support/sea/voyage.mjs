// SPDX-License-Identifier: ISC
/*
 * One voyage: a few tabs of one user, somebody else who talks, and bad weather, all out of one seed. At its end it is calm for long enough,
 * and what each tab has heard and said is held against the log.
 *
 *      node voyage.mjs --seed 17 --runs 1 [--trace]
 */

import { Chat } from '../../../../web/belfry.js';
import { Locks } from '../locks.mjs';
import { Air, Clock, chance, here } from './clock.mjs';
import { Net } from './net.mjs';
import { Server } from './server.mjs';

const ROOMS = ['lobby', 'ops', 'quiet'];
const TOPICS = ['news'];
const STORM_MS = 90_000;
const CALM_MS = 240_000;

/** What one room or subscription of a tab has told its application. */
class Watch {
	constructor(tab, feed) {
		Object.assign(this, { tab, feed, kind: feed.kind, name: feed.name, heard: [], ids: new Set(), gaps: [], said: [], first: undefined, faults: [] });
		const after = feed.options.after;
		const last = feed.options.last;

		feed.addEventListener('joined', ({ detail }) => {
			tab.trace(this.name, 'joined', detail.latest, detail.resumed);
			this.first ??= { latest: detail.latest, stored: detail.stored, asked: after ?? last };
		});
		feed.addEventListener('message', ({ detail }) => this.hear(detail));
		feed.addEventListener('sent', ({ detail }) => {
			tab.trace(this.name, 'sent', detail.id);
			if (this.ids.has(detail.id))
				this.fault(`own ${detail.id} told twice`);
			this.ids.add(detail.id);
		});
		feed.addEventListener('gap', ({ detail }) => {
			tab.trace(this.name, 'gap', detail.after, detail.oldest);
			const lost = tab.world.server.lost(this.kind, this.name, detail.after).filter(({ id }) => detail.oldest === null || id < detail.oldest);
			if (lost.every(({ id, from }) => this.ids.has(id) && from?.id !== 'u1'))        // its own do not move the cursor
				this.fault(`gap ${detail.after}..${detail.oldest}, and nothing is missing`);
			this.gaps.push(detail);
		});
		feed.addEventListener('message', () => {
			if (tab.world.dice.is(0.02))
				throw new Error('the application');
		});
	}

	fault(what) {
		this.faults.push(`${this.tab.name} ${this.name}: ${what}`);
		this.tab.trace(this.name, 'FAULT', what);
	}

	hear({ id, from }) {
		this.tab.trace(this.name, 'heard', id);
		if (this.ids.has(id))
			this.fault(`${id} heard twice`);
		this.ids.add(id);
		if (from?.id === 'u1')
			return;                 // what another tab has said may come before what was said before it
		if (id < (this.heard.at(-1) ?? 0))
			this.fault(`${id} after ${this.heard.at(-1)}`);
		this.heard.push(id);
	}

	isMissing({ id }) {
		return !this.ids.has(id) && !this.gaps.some(({ after, oldest }) => id > after && (oldest === null || id < oldest));
	}

	/** What should have come by now: up to the newest that has, when it was not in at the end. */
	check(isIn) {
		const { server } = this.tab.world;
		const { first, heard } = this;

		if (first === undefined)
			return this.faults;
		const upto = isIn ? Infinity : heard.at(-1) ?? 0;
		const all = [...server.trimmed, ...server.log].filter((one) => one[this.kind] === this.name && one.id <= upto && (isIn || one.from?.id !== 'u1'));
		const missing = all.filter((one) => (one.id > first.latest || first.stored.includes(one.id)) && this.isMissing(one));
		// what was there before it joined and went before it came: nobody says
		const lost = missing.filter((one) => one.id > first.latest || server.log.includes(one));
		if (lost.length > 0)
			this.fault(`never heard ${lost.map(({ id }) => id).join(' ')} (joined at ${first.latest}, asked ${JSON.stringify(first.asked)})`);
		return this.faults;
	}
}

class Tab {
	constructor(world, name) {
		Object.assign(this, { world, name, late: [], isFrozen: false, isGone: false, watches: [], page: new EventTarget(), listening: 0 });
		here.run(this, () => this.open());
	}

	trace(...what) {
		this.world.trace(this.name, ...what);
	}

	open() {
		const { world } = this;
		const { dice, net } = world;
		const share = world.isShared && { locks: { request: (name, options, act) => world.locks.request(this, name, options, act) }, BroadcastChannel: world.air.channel(this), key: 'u1' };

		this.chat = new Chat('http://sea.example/', {
			share, WebSocket: net.webSocket(this), fetch: net.fetch(this), random: dice.next, backoff: { min: 50, max: 2000 },
			token: async () => {
				if (!net.isCalm && dice.is(0.05))
					throw new Error('no token today');
				await new Promise((resolve) => setTimeout(resolve, dice.below(50)));
				return `u1.${world.clock.now + 20_000 + dice.below(60_000)}`;
			},
			...(world.isStream ? { transport: 'sse' } : {}),
		});
		this.chat.addEventListener('frame', ({ detail }) => process.argv.includes('--frames') && this.trace('frame', JSON.stringify(detail)));
		this.chat.addEventListener('state', ({ detail }) => this.trace('state', detail.state, detail.reason ?? '', this.chat.transport));
		this.chat.connect().catch(() => {});
		const n = dice.below(3);
		for (let at = 0; at < n; at++)
			this.enter();
		if (dice.is(0.4))
			this.enter('topic');
	}

	enter(kind = 'room') {
		const { dice } = this.world;
		const name = dice.one(kind === 'room' ? ROOMS : TOPICS);
		const at = this.world.server.log.findLast((one) => one[kind] === name)?.id;
		const options = dice.one([{}, {}, { last: 0 }, { last: 3 }, { last: 20 }, at === undefined ? {} : { after: at - dice.below(30) }]);
		const feed = kind === 'room' ? this.chat.room(name, options) : this.chat.subscribe(name, options);

		if (!this.watches.some((one) => one.feed === feed))
			this.watches.push(new Watch(this, feed));
	}

	/** What its user does. */
	act() {
		const { dice } = this.world;
		const mine = this.watches.filter(({ feed }) => feed.state !== 'left');
		const one = dice.one(mine);

		if (one === undefined || dice.is(0.1))
			return this.enter(dice.is(0.8) ? 'room' : 'topic');
		if (one.kind === 'topic')
			return dice.is(0.3) ? one.feed.unsubscribe().catch(() => {}) : undefined;
		const what = dice.next();
		if (what < 0.7)
			return this.say(one);
		if (what < 0.8)
			return one.feed.read();
		if (what < 0.9)
			return one.feed.typing();
		one.feed.leave().catch(() => {});
		if (dice.is(0.5))
			this.enter();
	}

	say(watch) {
		const outgoing = watch.feed.send(`said by ${this.name}`);

		this.trace(watch.name, 'says', outgoing.key);
		outgoing.done.catch((error) => {
			if (!['left', 'closed', 'aborted'].includes(error.code))
				watch.fault(`a message failed: ${error.code}`);
		});
		watch.said.push(outgoing);
	}

	freeze() {
		this.isFrozen = true;
		this.trace('freezes');
	}

	thaw() {
		this.isFrozen = false;
		this.trace('thaws');
		for (const act of this.late.splice(0))
			this.world.clock.after(0, act, this);
	}

	/** Without a word. */
	die() {
		this.trace('dies');
		this.isGone = true;
		this.world.locks.drop(this);
		this.world.air.drop(this);
		for (const wire of [...this.world.net.wires].filter(({ tab }) => tab === this))
			wire.cut('server');
	}
}

export class Voyage {
	constructor(seed, trace) {
		this.clock = new Clock();
		this.clock.install();
		const dice = this.dice = chance(seed);
		Math.random = dice.next;
		const pages = () => here.getStore() ?? { page: new EventTarget() };
		globalThis.addEventListener = (type, act) => {
			pages().listening++;
			pages().page.addEventListener(type, act);
		};
		globalThis.removeEventListener = (type, act) => {
			pages().listening--;
			pages().page.removeEventListener(type, act);
		};
		this.started = this.clock.now;
		this.trace = trace ? (...what) => console.log(String(this.clock.now - this.started).padStart(7), ...what) : () => {};
		this.server = new Server(this.clock, dice);
		this.net = new Net(this.clock, dice, this.server);
		this.locks = new Locks(this.clock);
		this.air = new Air(this.clock, () => dice.below(4));
		this.isShared = dice.is(0.7);
		this.isStream = dice.is(0.4) && (!this.isShared || process.argv.includes('--all'));
		// a switchboard takes a second of silence for the end of a replay (web/client/hub.js): how slow a daemon may be before that is not so
		this.server.slowMs = this.isShared ? 300 : 2500;
		this.net.slowMs = this.isShared ? 300 : 2500;
		this.net.cuts = this.isShared && this.isStream ? ['both', 'client'] : ['both', 'both', 'client', 'server', 'silent'];
		this.tabs = [];
		this.gone = [];
		this.rough = dice.next();
	}

	newTab() {
		this.tabs.push(new Tab(this, `tab${this.tabs.length + this.gone.length}`));
	}

	say() {
		const { dice } = this;

		this.trace('-', 'Ben says', this.server.lastId);
		if (dice.is(0.85))
			this.server.append({ type: 'chat', room: dice.one(ROOMS.slice(0, 2)), from: { id: 'u2', name: 'Ben' }, content: 'hi', time: this.clock.now });
		else
			this.server.append({ type: 'notification', event: 'notification', topic: dice.one(TOPICS), title: 't', message: 'm', timestamp: 1 });
	}

	/** Something of the many things that happen. */
	event() {
		const { dice, net, server } = this;
		const awake = this.tabs.filter(({ isFrozen }) => !isFrozen);
		const tab = dice.one(awake);
		const what = dice.next();

		if (what < 0.45)
			this.say();
		else if (what < 0.75)
			tab && here.run(tab, () => tab.act());
		else if (dice.is(this.rough))
			this.fault(tab, dice.next());
		if (dice.is(0.01))
			net.isSlow = !net.isSlow;
		for (const line of server.lines)
			if (dice.is(0.02))
				line.isSlow = !line.isSlow;
	}

	fault(tab, what) {
		const { dice, net, server } = this;

		if (what < 0.4) {
			this.trace('-', 'trouble');
			net.trouble();
		} else if (what < 0.45) {
			this.trace('-', 'restart');
			server.restart(dice.is(0.5));
		} else if (what < 0.5) {
			net.isDown = !net.isDown;
			this.trace('-', 'down', net.isDown);
		} else if (what < 0.55) {
			net.isBlocked = !net.isBlocked && (!this.isShared || process.argv.includes('--all'));
		} else if (what < 0.6) {
			this.trace('-', 'trim');
			server.trim(dice.below(server.log.length));
		} else if (what < 0.65) {
			if (this.tabs.length < 4)
				this.newTab();
		} else if (what < 0.7 && tab) {
			dice.is(0.5) ? tab.die() : here.run(tab, () => tab.chat.close());
			this.tabs = this.tabs.filter((one) => one !== tab);
			this.gone.push(tab);
		} else if (what < 0.78 && tab) {
			tab.freeze();
			this.clock.after(dice.one([3000, 6000, 20_000, 3_600_000]), () => tab.isFrozen && tab.thaw());
		} else if (what < 0.83) {
			this.tabs.filter(({ isFrozen }) => isFrozen).forEach((one) => one.thaw());
		} else if (what < 0.9 && tab) {
			here.run(tab, () => tab.chat.retryNow());
		} else if (what < 0.93) {
			for (const stream of [...net.fetches])
				stream();
		}
	}

	async sail() {
		const { clock, dice, net, server } = this;
		const tabs = 1 + dice.below(this.isShared ? 3 : 1);

		for (let n = dice.below(60); n > 0; n--)
			this.say();
		server.trim(dice.below(10));
		for (let n = 0; n < tabs; n++)
			this.newTab();
		while (clock.now < this.started + STORM_MS) {
			await clock.run(dice.is(0.3) ? dice.below(20) : dice.below(400));
			this.event();
		}
		this.trace('-', 'calm');
		Object.assign(net, { isDown: false, isBlocked: false, isSlow: false, isCalm: true });
		for (const line of server.lines)
			line.isSlow = false;
		this.tabs.filter(({ isFrozen }) => isFrozen).forEach((one) => one.thaw());
		for (let n = 0; n < 20; n++) {
			await clock.run(CALM_MS / 20);
			this.say();
		}
		await clock.run(20_000);
		const faults = [...this.check()];
		for (const tab of this.tabs)
			here.run(tab, () => tab.chat.close());
		await clock.run(5_000);
		return [...faults, ...this.leaks()];
	}

	* check() {
		const { server } = this;
		const keys = [...server.trimmed, ...server.log].flatMap(({ key }) => key ?? []);

		if (new Set(keys).size !== keys.length)
			yield 'a message stands twice in the log';
		for (const tab of [...this.tabs, ...this.gone]) {
			const isHere = this.tabs.includes(tab);
			if (isHere && tab.chat.state !== 'open')
				yield `${tab.name} is ${tab.chat.state}`;
			for (const watch of tab.watches) {
				const isIn = isHere && watch.feed.state !== 'left';
				if (isIn && watch.feed.state !== 'joined')
					yield `${tab.name} ${watch.name} is ${watch.feed.state}`;
				yield* watch.check(isIn);
				yield* this.checkSaid(tab, watch, isIn);
			}
		}
	}

	* checkSaid(tab, { said, name, feed }, isIn) {
		const at = said.map(({ key }) => [...this.server.trimmed, ...this.server.log].find((one) => one.key === key)?.id);
		const known = at.filter((id) => id !== undefined);

		if (known.some((id, n) => id < known[n - 1]))
			yield `${tab.name} ${name}: said out of order ${known}`;
		for (const [n, { state, key }] of said.entries()) {
			if (isIn && state === 'pending')
				yield `${tab.name} ${name}: ${key} never settled`;
			if (state === 'sent' && at[n] === undefined)
				yield `${tab.name} ${name}: ${key} sent, and nobody has it`;
		}
		if (isIn && feed.acked.size > 50)
			yield `${tab.name} ${name}: remembers ${feed.acked.size} of its own`;
	}

	* leaks() {
		for (const tab of this.tabs) {
			const left = { timers: this.clock.of(tab), locks: this.locks.of(tab), channels: this.air.of(tab), listeners: tab.listening };
			if (Object.values(left).some((n) => n !== 0))
				yield `${tab.name} leaves behind ${JSON.stringify(left)}`;
		}
	}
}

const option = (name, otherwise) => {
	const at = process.argv.indexOf(`--${name}`);
	return at < 0 ? otherwise : Number(process.argv[at + 1]);
};
const seed = option('seed', 1);
const runs = option('runs', 1);
const until = process.hrtime.bigint() + BigInt(option('seconds', 1e6)) * 1_000_000_000n;
const log = console.log.bind(console);
let failed = 0;
let done = 0;

process.on('uncaughtException', (error) => {
	if (error.message !== 'the application') {
		log(error);
		process.exitCode = 1;
	}
});
for (let n = seed; n < seed + runs && process.hrtime.bigint() < until; n++) {
	const faults = await new Voyage(n, process.argv.includes('--trace')).sail();

	done++;
	if (faults.length > 0) {
		failed++;
		process.exitCode = 1;
		log(`seed ${n}: ${faults.join('; ')}`);
	}
}
log(`${done} voyages from seed ${seed}, ${failed} went wrong`);
process.exit();
