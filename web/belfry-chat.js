// SPDX-License-Identifier: ISC
/*
 * <belfry-chat room="lobby"></belfry-chat>: a room in any page. Imported from the daemon it needs
 * nothing else; belfry-chat.d.ts says what it takes.
 */

import { BelfryError, BelfryEvent, Chat } from './belfry.js';
import { Guest, standing } from './element/guest.js';
import { style } from './element/style.js';
import { Composer } from './page/composer.js';
import { make } from './page/dom.js';
import { link } from './page/links.js';
import { LogView } from './page/log.js';
import { TypingView } from './page/people.js';
import { tabStorage } from './page/storage.js';

/** @typedef {import('./belfry.d.ts').Token} Token */

export class BelfryChat extends HTMLElement {
	static observedAttributes = ['room', 'src', 'token', 'name'];

	/** @type {Token | undefined} */
	#token = undefined;
	/** @type {Chat | null} */
	#chat = null;
	/** @type {import('./belfry.js').Room | null} */
	#room = null;
	#isDue = false;
	/** @type {object} another one for each beginning: what an older one waited for is void */
	#turn = {};
	#watch = new AbortController();
	#parts = partsOf();
	#log = new LogView(this.#parts);
	#typing = new TypingView(this.#parts.typing);
	#composer = new Composer((text) => this.#room?.send(text), (isTyping) => this.#room?.typing(isTyping),
		{ form: this.#parts.composer, box: this.#parts.box });

	constructor() {
		super();
		const root = this.attachShadow({ mode: 'open', delegatesFocus: true });
		const { title, state, problem, entry, log, newer, typing, composer } = this.#parts;

		log.append(this.#parts.earlier, this.#parts.empty);
		root.adoptedStyleSheets = [style()];
		root.append(make('div', { class: 'head', part: 'head' }, title, state), problem, entry, log,
			make('div', { class: 'below' }, newer, typing), composer);
		entry.addEventListener('submit', (/** @type {Event} */ event) => {
			event.preventDefault();
			this.#asGuest(this.#parts.nameBox.value.trim());
		});
	}

	/** The connection, while there is one. */
	get chat() {
		return this.#chat;
	}

	/** @returns {Token} */
	get token() {
		return this.#token ?? this.getAttribute('token');
	}

	set token(token) {
		this.#token = token;
		this.#begin();
	}

	get room() {
		return this.getAttribute('room') ?? '';
	}

	set room(name) {
		this.setAttribute('room', name);
	}

	/** The daemon: where this module came from unless `src` says otherwise. */
	get src() {
		return new URL(this.getAttribute('src') ?? '.', this.hasAttribute('src') ? document.baseURI : import.meta.url).href;
	}

	set src(url) {
		this.setAttribute('src', url);
	}

	connectedCallback() {
		if (Object.hasOwn(this, 'token')) {     // set before the element was defined
			const { token } = this;
			Reflect.deleteProperty(this, 'token');
			this.#token = token;
		}
		this.#watch.abort();
		this.#watch = new AbortController();
		this.#log.watch(this.#watch.signal);
		this.#composer.watch(this.#watch.signal);
		this.#begin();
	}

	disconnectedCallback() {
		this.#watch.abort();
		this.#end();
	}

	/** @param {string} name @param {string | null} before @param {string | null} now */
	attributeChangedCallback(name, before, now) {
		if (before === now)
			return;
		if (name === 'room' && this.#chat !== null && now)
			this.#enter(now);
		else
			this.#begin();
	}

	/** Once, however many attributes and properties are set before the next moment. */
	#begin() {
		if (this.#isDue || !this.isConnected)
			return;
		this.#isDue = true;
		queueMicrotask(() => {
			this.#isDue = false;
			this.#end();
			if (this.isConnected)
				this.#start();
		});
	}

	#end() {
		this.#turn = {};
		this.#chat?.close();
		this.#chat = null;
		this.#room = null;
		this.#show('nothing');
	}

	async #start() {
		const turn = this.#turn;

		this.#parts.title.textContent = this.room === '' ? '' : `#${this.room}`;
		if (this.room === '')
			return this.#problem('The attribute “room” is missing.');
		if (this.token !== null)
			return this.#connect(this.token);
		try {
			const { user, guests, login_url: login } = await standing(new URL(this.src));
			if (turn !== this.#turn)
				return;
			const name = this.getAttribute('name') ?? new Guest(new URL(this.src), '').name;
			if (user !== null)
				this.#connect(null);
			else if (guests && name !== '')
				this.#asGuest(name);
			else if (guests)
				this.#show('entry');
			else
				this.#problem('You need to sign in first. ', login ? link('Sign in', login) : '');
		} catch (error) {
			if (turn === this.#turn)
				this.#problem(error instanceof BelfryError ? error.message : 'The server cannot be reached.');
		}
	}

	/** @param {string} name */
	async #asGuest(name) {
		const guest = new Guest(new URL(this.src), name);
		const turn = this.#turn;

		try {
			await guest.token({});
			if (turn === this.#turn)
				this.#connect((context) => guest.token(context));
		} catch (error) {
			if (turn !== this.#turn)
				return;
			this.#show('entry');
			this.#problem(error instanceof BelfryError ? error.message : 'The server cannot be reached.');
		}
	}

	/** @param {Token} token */
	#connect(token) {
		const chat = this.#chat = new Chat(this.src, { token, name: this.getAttribute('name') ?? undefined, storage: tabStorage() });
		let wasOpen = false;

		chat.addEventListener('state', (event) => {
			const { state, reason } = /** @type {BelfryEvent} */ (event).detail;
			if (this.#chat !== chat)
				return;
			wasOpen ||= state === 'open';
			this.#parts.state.textContent = state === 'open' ? 'connected' : state === 'closed' ? 'signed off' : wasOpen ? 'reconnecting…' : 'connecting…';
			this.#parts.state.dataset.state = state === 'open' ? 'open' : wasOpen ? 'away' : 'idle';
			if (state === 'closed')
				this.#problem(`The connection has ended: ${reason || 'the server gave no reason'}.`);
			if (state !== 'open')
				this.#typing.clear();
			this.dispatchEvent(new BelfryEvent('state', { state, reason }));
		});
		chat.connect().catch(() => {}); // the state says it in words
		this.#enter(this.room);
	}

	/** @param {string} name */
	#enter(name) {
		const chat = /** @type {Chat} */ (this.#chat);
		this.#room?.leave({ keep: true }).catch(() => {});
		const room = this.#room = chat.room(name);
		/** @type {number | undefined} */
		let entered;
		/** @param {string} type @param {(detail: any) => void} act only while this is the room that is shown */
		const hears = (type, act) => room.addEventListener(type, (event) => {
			if (this.#room === room)
				act(/** @type {BelfryEvent} */ (event).detail);
		});

		this.#parts.title.textContent = `#${name}`;
		this.#parts.log.setAttribute('aria-label', `Conversation in ${name}`);
		this.#show('talk');
		this.#typing.clear();
		this.#log.askEarlier = (query) => room.history(query);
		this.#log.person = (id) => room.people.get(id);
		this.#log.lookUp = async (id) => (await room.history({ before: id + 1, limit: 1 })).messages.find((one) => one.id === id);
		this.#log.sendAgain = (message) => room.send({ ...message.body, key: message.key });
		this.#log.clear(chat.user?.id ?? '');
		this.#composer.ownedBy(`${this.src} ${chat.user?.id ?? this.getAttribute('name') ?? ''}`);
		this.#composer.enter(name);
		hears('joined', (message) => {
			entered ??= message.latest;
			this.#log.me = chat.user?.id ?? '';
			room.history({ limit: 51 }).then(({ messages }) => this.#room === room && this.#log.settled(messages.length > 50), () => {});
		});
		hears('message', (message) => {
			this.#log.add(message, entered !== undefined && message.id > entered);
			this.#typing.set(message.from, false);
			this.dispatchEvent(new BelfryEvent('message', message));
		});
		const me = () => chat.user ?? { id: this.#log.me, name: '' };
		hears('sending', (message) => this.#log.addPending(message, me()));
		hears('sent', (message) => this.#log.sent(message));
		hears('failed', (message) => this.#log.failed(message));
		hears('changed', ({ message }) => this.#log.change(message));
		for (const type of ['edited', 'deleted', 'reaction'])
			hears(type, (record) => this.#log.record(record));
		hears('gap', (gap) => this.#log.gap(gap));
		hears('typing', ({ user, typing }) => this.#typing.set(user, typing !== false));
		hears('user_left', ({ user }) => this.#typing.set(user, false));
		hears('refused', (error) => this.#problem(`#${name} does not let you in: ${error.message}`));
		hears('left', ({ reason }) => this.#problem(`You are no longer in #${name}${reason ? `: ${reason}` : ''}.`));
		for (const message of room.unsent)
			this.#log.addPending(message, me());
	}

	/** @param {'nothing' | 'entry' | 'talk'} what */
	#show(what) {
		const { entry, log, composer, problem, state } = this.#parts;

		entry.hidden = what !== 'entry';
		log.hidden = composer.hidden = what !== 'talk';
		problem.hidden = true;
		if (what !== 'talk')
			state.textContent = '';
	}

	/** @param {...(Node | string)} words */
	#problem(...words) {
		this.#parts.problem.replaceChildren(...words);
		this.#parts.problem.hidden = false;
	}
}

/** @returns {Record<string, any>} what the element is made of */
function partsOf() {
	const box = make('textarea', { id: 'message', rows: '1', enterkeyhint: 'send', placeholder: 'Write something', part: 'box' });
	const nameBox = make('input', { id: 'name', type: 'text', maxlength: '64', required: '', autocomplete: 'nickname' });

	return {
		box, nameBox,
		title: make('p', { class: 'title', dir: 'auto', part: 'title' }),
		state: make('p', { class: 'state', role: 'status' }),
		problem: make('p', { class: 'problem', role: 'alert', hidden: '' }),
		entry: make('form', { class: 'entry', autocomplete: 'off', hidden: '' }, make('label', { for: 'name' }, 'Name'), nameBox,
			make('button', { class: 'primary', type: 'submit' }, 'Join')),
		empty: make('p', { class: 'empty', hidden: '' }, 'Nothing has been said here yet.'),
		earlier: make('p', { class: 'earlier', hidden: '' }, make('button', { class: 'quiet', type: 'button' }, 'Show earlier ones')),
		log: make('div', { class: 'log', role: 'log', 'aria-label': 'Conversation', tabindex: '0', part: 'log', hidden: '' }),
		newer: make('button', { class: 'quiet newer', type: 'button', hidden: '' }, 'To the newest ↓'),
		typing: make('p', { class: 'typing', role: 'status' }),
		composer: make('form', { autocomplete: 'off', hidden: '', part: 'composer' }, make('label', { class: 'unseen', for: 'message' }, 'Message'), box,
			make('button', { class: 'primary', type: 'submit' }, 'Send')),
	};
}

if (customElements.get('belfry-chat') === undefined)
	customElements.define('belfry-chat', BelfryChat);
