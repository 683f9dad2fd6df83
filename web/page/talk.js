// SPDX-License-Identifier: ISC
/* The conversation that is shown: its log, its people, the box to write in, and what is done with messages. */

import { Composer } from './composer.js';
import { confirmed, copy } from './dialogs.js';
import { byId, nameOf } from './dom.js';
import { LogView } from './log.js';
import { Mentions } from './mentions.js';
import { toast } from './menu.js';
import { PeopleView, TypingView } from './people.js';
import { openSearch } from './search.js';
import { Tools } from './tools.js';

/** @typedef {import('./places.js').Place} Place */
/** @typedef {import('./log.js').LogRow} LogRow */
/** @typedef {import('../belfry.d.ts').User} User */

const FIRST = 50;
const AROUND_BYTES = 160;               // of a message, beside its text and its place
const MOST_FAILED = 50;

export class Talk {
	/** @param {() => {me: User, chat: import('../belfry.js').Chat | null}} who */
	constructor(who) {
		this.who = who;
		this.log = new LogView();
		this.people = new PeopleView();
		this.typing = new TypingView();
		/** @type {Place | null} */
		this.place = null;
		/** @type {Map<string, User>} everybody who was seen here */
		this.seen = new Map();
		/** @type {Set<string>} what this server cannot do */
		this.unable = new Set();
		this.composer = new Composer((text, about) => this.send(text, about), (isTyping) => this.place?.feed.typing(isTyping));
		this.composer.onup = () => this.editLast();
		this.mentions = new Mentions(byId('mentions'), this.composer.box, () => this.present());
		this.log.present = () => this.present();
		this.composer.onkey = (event) => this.mentions.key(event);
		this.tools = new Tools(this.log, (deed, row, more) => this.act(deed, row, more), (deed, row) => this.may(deed, row));
		this.log.watch();
		this.composer.watch();
		this.log.onread = () => this.place?.feed.read();
		this.log.sendAgain = (message) => {
			if (this.place !== null)
				this.place.failed = this.place.failed.filter((one) => one !== message);
			this.place?.feed.send({ ...message.body, key: message.key });
			this.composer.focus();
		};
	}

	/** @param {Place} place */
	show(place) {
		const { feed } = place;
		const { marker, unread } = feed;
		const { log } = this;

		this.place = place;
		place.mentions = 0;
		this.seen = new Map(feed.people);
		this.typing.clear();
		log.clear(this.who().me.id);
		log.person = (id) => feed.people.get(id) ?? this.seen.get(id) ?? (id === this.who().me.id ? this.who().me : undefined);
		log.askEarlier = (query) => feed.history(query);
		log.lookUp = async (id) => (await feed.history({ before: id + 1, limit: 1 })).messages.find((/** @type {any} */ one) => one.id === id);
		for (const message of feed.messages)
			this.add(message, false);
		for (const { gap, after } of place.gaps)
			log.gap(gap, after);
		for (const message of [...place.failed, ...feed.unsent])
			log.addPending(message, this.who().me);
		if (unread > 0 && marker !== undefined)
			log.markAfter(marker);
		byId('talk-title').textContent = place.kind === 'room' ? `#${place.title}` : place.title;
		byId('invite').hidden = byId('leave').hidden = place.kind !== 'room';
		byId('close').hidden = place.kind === 'room';
		this.mentions.close();
		this.composer.enter(place.kind === 'room' ? place.feed.name : place.key);
		this.people.show(feed.people, feed.count, this.who().me);
		if (place.kind === 'direct')
			byId('talk-count').textContent = 'only you two';
		log.rows.toEnd();
		log.look();
		if (feed.state === 'joined')
			this.offerEarlier(place);
	}

	/** Is there more than what is shown? @param {Place} place */
	async offerEarlier(place) {
		const { feed } = place;

		try {
			const { messages, more } = await feed.history({ limit: FIRST + 1 });
			if (place.kind === 'direct')
				messages.forEach((/** @type {any} */ one) => feed.list.has(one.id) || feed.list.add(one));
			if (this.place !== place)
				return;
			if (place.kind === 'direct')
				messages.forEach((/** @type {any} */ one) => this.add(one, false));
			if (this.log.earlier.hidden)
				this.log.settled(more || messages.length > FIRST);
		} catch {
			// the connection is gone again; the next join asks
		}
	}

	/** What a place tells, while it is shown. @param {Place} place */
	hear(place) {
		/** @param {string} type @param {(detail: any) => void} act */
		const hears = (type, act) => place.feed.addEventListener(type, (/** @type {any} */ event) => {
			if (this.place === place)
				act(event.detail);
		});
		const { log } = this;

		place.feed.addEventListener('joined', (/** @type {any} */ { detail }) => (place.entered ??= detail.latest));
		place.feed.addEventListener('failed', (/** @type {any} */ { detail }) => (place.failed = [...place.failed, detail].slice(-MOST_FAILED)));
		place.feed.addEventListener('gap', (/** @type {any} */ { detail }) => place.gaps.push({ gap: detail, after: place.feed.messages.at(-1)?.id ?? 0 }));
		hears('message', (message) => {
			this.add(message, place.kind === 'direct' || (place.entered !== undefined && message.id > place.entered));
			this.typing.set(message.from, false);
		});
		hears('sending', (message) => log.addPending(message, this.who().me));
		hears('sent', (message) => log.sent(message));
		hears('failed', (message) => log.failed(message));
		hears('changed', ({ message }) => log.change(message));
		for (const type of ['edited', 'deleted', 'reaction'])
			hears(type, (record) => log.record(record));
		hears('gap', (gap) => log.gap(gap));
		hears('people', ({ people, count }) => {
			people.forEach((/** @type {User} */ user) => this.seen.set(user.id, user));
			this.people.show(people, count, this.who().me);
		});
		hears('typing', (message) => this.typing.set(message.user, message.typing !== false));
		hears('user_left', (message) => this.typing.set(message.user, false));
		hears('joined', () => {
			this.offerEarlier(place);
			if (place.feed.unread > 0 && place.feed.marker !== undefined && log.mark === null)
				log.markLater(place.feed.marker);
		});
	}

	/** The others who are here; of a crowd also who was heard of, since the server names only some. @returns {User[]} */
	present() {
		const { people, count } = this.place?.feed ?? { people: new Map(), count: 0 };

		return [...new Map([...(count > people.size ? this.seen : []), ...people]).values()].filter(({ id }) => id !== this.who().me.id);
	}

	/** @param {any} message @param {boolean} isNew */
	add(message, isNew) {
		this.seen.set(message.from.id, message.from);
		this.log.add(message, isNew);
	}

	/** @param {string} text @param {import('./composer.js').About | null} about @returns {boolean} it is taken */
	send(text, about) {
		const most = this.who().chat?.limits.message ?? Infinity;

		if (new TextEncoder().encode(JSON.stringify([text, this.place?.feed.name])).length + AROUND_BYTES > most) {
			toast('That is too long for one message. Send it in parts.');
			return false;
		}
		if (about?.kind === 'edit')
			this.reword(text, about);
		else
			this.place?.feed.send(about === null ? text : { content: text, reply_to: about.id });
		return true;
	}

	/** Refused, the words come back to the box. @param {string} text @param {import('./composer.js').About} about */
	async reword(text, about) {
		const { place } = this;

		if (!await this.change('edit', () => place?.feed.edit(about.id, text)) && this.place === place && this.composer.about === null)
			this.composer.begin({ ...about, text });
	}

	/** @param {import('./tools.js').Deed} deed @param {LogRow} row */
	may(deed, { message, from }) {
		const { chat, me } = this.who();
		const isModerator = this.place?.kind === 'room' && (chat?.role === 'moderator' || chat?.role === 'admin');
		const window = chat?.limits.edit_window ?? 0;

		if (message?.id === undefined || message.deleted || this.unable.has(deed))
			return false;
		if (deed === 'reply')
			return this.place?.kind === 'room';
		if (deed === 'edit' || deed === 'remove')
			return isModerator || (from?.id === me.id && (window === 0 || Date.now() - message.time < 1000 * window));
		return true;
	}

	/** @param {import('./tools.js').Deed} deed @param {LogRow} row @param {any} [more] */
	async act(deed, row, more) {
		const { id } = row.message;
		const feed = this.place?.feed;

		if (deed === 'reply' || deed === 'edit')
			this.composer.begin({ kind: deed, id, name: nameOf(row.from ?? { id: '' }), text: row.text });
		else if (deed === 'copy')
			copy(row.text);
		else if (deed === 'react')
			this.change('react', () => feed.react(id, more.emoji, more.on));
		else if (await confirmed('Delete this message?', 'Nothing of it is left, neither here nor on the server.', 'Delete'))
			this.change('remove', () => feed.remove(id));
	}

	/** @param {string} deed @param {() => Promise<void>} act @returns {Promise<boolean>} it is done */
	async change(deed, act) {
		try {
			await act();
			return true;
		} catch (error) {
			const { code, message } = /** @type {import('../belfry.js').BelfryError} */ (error);
			if (code === 'not_implemented')
				this.unable.add(deed);
			toast(code === 'not_implemented' ? 'This server cannot do that.' : code === 'closed' ? 'Not now: there is no line to the server.' : `The server refused: ${message}`);
			return false;
		}
	}

	editLast() {
		const row = this.log.rows.all.findLast((one) => one.kind === 'message' && one.from?.id === this.who().me.id && one.message !== undefined);

		if (row !== undefined && this.may('edit', row))
			this.act('edit', row);
	}

	search() {
		const { place } = this;

		if (place !== null)
			openSearch(place.kind === 'room' ? `#${place.title}` : place.title, (query) => place.feed.history(query), (id) => this.goTo(id));
	}

	/** @param {number} id */
	async goTo(id) {
		if (!await this.log.goTo(id))
			toast('That is too far back to be shown here.');
	}

	escape() {
		if (!this.log.rows.following)
			this.log.rows.toEnd();
		this.log.unmark();
		this.composer.focus();
	}
}
