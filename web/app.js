// SPDX-License-Identifier: ISC
/* The page: brings together who you are, the connection, the room and what is shown of it. */

import { Chat, userTopic } from './belfry.js';
import { Composer } from './page/composer.js';
import { byId, make, nameOf } from './page/dom.js';
import { FiguresView } from './page/figures.js';
import { Identity } from './page/identity.js';
import { LogView } from './page/log.js';
import { NoticesView } from './page/notices.js';
import { PeopleView, TypingView } from './page/people.js';
import { tabStorage } from './page/storage.js';

/** @typedef {import('./belfry.d.ts').User} User */

const NOTICES_TO_BEGIN_WITH = 20;

const identity = new Identity();
const log = new LogView();
const people = new PeopleView();
const typing = new TypingView();
const notices = new NoticesView();
const figures = new FiguresView();
const composer = new Composer((text) => room?.send(text), (isTyping) => room?.typing(isTyping));

const form = byId('join');
const nameBox = byId('name');
const roomBox = byId('room');
const pill = byId('connection');

/** @type {Chat | null} */
let chat = null;
/** @type {import('./belfry.js').Room | null} */
let room = null;
/** @type {string} whose own topic we listen to */
let listeningAs = '';
let unseenNotices = 0;

/** @returns {User} */
function me() {
	const user = chat?.user ?? identity.user;

	return { id: user?.id ?? '', name: user?.name || nameBox.value || user?.id || '' };
}

/* --- the door ----------------------------------------------------------------------------- */

function showDoor() {
	const lead = byId('door-lead');

	byId('name-field').hidden = !identity.needsName;
	nameBox.required = identity.needsName;
	nameBox.value ||= identity.lastName;
	if (identity.user !== null) {
		lead.textContent = identity.needsName ? 'Say how you want to be called, and choose a room.'
			: `You are ${nameOf(identity.user)}. Choose a room.`;
	} else if (identity.guests) {
		lead.textContent = 'Say how you want to be called, and choose a room.';
	} else if (identity.loginUrl !== '') {
		byId('door-title').textContent = 'Sign in first';
		lead.replaceChildren('Please ', make('a', { href: identity.loginUrl }, 'sign in'), ', then come back.');
	} else if (identity.problem === '') {
		byId('door-title').textContent = 'By invitation';
		lead.textContent = 'This server takes no guests and names no place to sign in. Ask whoever runs it for a link '
			+ 'to this page that ends in #token=…';
	} else {
		byId('door-title').textContent = 'Not this time';
		lead.textContent = 'Your way in did not work.';
	}
	form.hidden = identity.user === null && !identity.guests;
	problem(identity.problem);
}

/** @param {string} words */
function problem(words) {
	const box = byId('door-problem');

	box.textContent = words;
	box.hidden = words === '';
}

/** Back to the door, with the reason. @param {string} words */
function toDoor(words) {
	document.body.dataset.view = 'door';
	byId('door-slot').append(form);
	byId('door').hidden = false;
	byId('talk').hidden = byId('panels').hidden = byId('panels-toggle').hidden = byId('whoami').hidden = true;
	room = null;
	problem(words);
	roomBox.focus();
}

function toTalk() {
	if (document.body.dataset.view === 'talk')
		return;
	document.body.dataset.view = 'talk';
	byId('switch-slot').append(form);
	byId('name-field').hidden = true;
	nameBox.required = false;
	byId('door').hidden = true;
	byId('talk').hidden = byId('panels').hidden = byId('panels-toggle').hidden = byId('whoami').hidden = false;
	problem('');
}

/** @param {Event} event */
async function submitted(event) {
	event.preventDefault();
	const wanted = roomBox.value.trim();

	if (wanted === '' || (room !== null && room.name === wanted))
		return;
	form.querySelector('button').disabled = true;
	try {
		if (identity.user === null)
			await identity.becomeGuest(nameBox.value.trim());
		enter(wanted);
	} catch (error) {
		problem(error instanceof TypeError ? 'The server cannot be reached.' : /** @type {Error} */ (error).message);
	} finally {
		form.querySelector('button').disabled = false;
	}
}

/* --- the connection ----------------------------------------------------------------------- */

/** @returns {Chat} */
function connection() {
	if (chat !== null && chat.state !== 'closed')
		return chat;
	const name = identity.user?.name ? undefined : nameBox.value.trim();

	chat = new Chat(undefined, { token: (context) => identity.token(context), name, storage: tabStorage() });
	chat.addEventListener('state', showState);
	chat.addEventListener('open', opened);
	chat.connect().catch(() => {});         // the state says it in words
	return chat;
}

/** @param {{detail: {state: string, reason?: string}}} event */
function showState({ detail: { state, reason } }) {
	const away = byId('away');
	const again = pill.dataset.state !== 'idle';

	if (state === 'open') {
		pill.textContent = 'connected';
		pill.dataset.state = 'open';
		away.hidden = true;
		return;
	}
	if (state === 'closed') {
		pill.textContent = 'signed off';
		pill.dataset.state = 'closed';
		away.hidden = false;
		byId('away-words').textContent = `The connection has ended: ${reason || 'the server gave no reason'}.`;
		if (room?.state !== 'joined' && document.body.dataset.view === 'talk')
			toDoor(reason ?? '');
		return;
	}
	pill.textContent = again ? 'reconnecting…' : 'connecting…';
	pill.dataset.state = again ? 'away' : 'idle';
	away.hidden = !again;
	byId('away-words').textContent = 'No line to the server at the moment. Go on writing: it is sent as soon as the line is back.';
	typing.clear();
}

function opened() {
	const user = me();

	byId('whoami').replaceChildren('You are ', make('b', { dir: 'auto' }, user.name));
	byId('whoami').title = user.id;
	listen(user);
	chat?.listRooms().then(showRooms, () => {});
}

/** @param {any[]} rooms names, or objects that have one */
function showRooms(rooms) {
	byId('known-rooms').replaceChildren(...rooms.map((one) => make('option', { value: one.room ?? one.name ?? String(one) })));
}

/** Notifications and figures come over the same connection. @param {User} user */
function listen(user) {
	const line = connection();

	if (listeningAs === user.id)
		return;
	if (listeningAs !== '')                 // a guest of a restarted server is somebody new
		line.subscriptions.get(userTopic(listeningAs))?.unsubscribe().catch(() => {});
	const topics = listeningAs === '' ? ['notifications', userTopic(user.id)] : [userTopic(user.id)];
	if (listeningAs === '') {
		line.subscribe('server/stats').addEventListener('message', ({ detail }) => figures.show(detail.data ?? {}));
	}
	listeningAs = user.id;
	for (const topic of topics) {
		const subscription = line.subscribe(topic, { last: NOTICES_TO_BEGIN_WITH });
		subscription.addEventListener('message', ({ detail }) => notices.add(detail));
		subscription.addEventListener('gap', () => notices.say('Some are missing here: the server no longer has them.'));
		subscription.addEventListener('refused', ({ detail }) => notices.refuse(`Not for you: ${detail.message}`));
	}
}

/* --- the room ----------------------------------------------------------------------------- */

/** @param {string} name */
function enter(name) {
	const line = connection();

	room?.leave({ keep: true }).catch(() => {});
	const mine = room = line.room(name);
	typing.clear();
	log.clear(me().id);
	log.askEarlier = (query) => mine.history(query);
	log.sendAgain = (message) => mine.send({ ...message.body, key: message.key });
	people.show(new Map(), 0, null);
	byId('talk-title').textContent = `#${name}`;
	document.title = `#${name} · Belfry`;
	history.replaceState(null, '', `?room=${encodeURIComponent(name)}`);
	toTalk();
	closePanels();
	composer.enter(name);
	composer.focus();
	hear(mine);
	for (const message of mine.unsent)
		log.addPending(message, me());
}

/** @param {import('./belfry.js').Room} mine */
function hear(mine) {
	/** @param {string} type @param {(detail: any) => void} act only while this is the room that is shown */
	const hears = (type, act) => mine.addEventListener(type, (event) => {
		if (room === mine)
			act(/** @type {CustomEvent} */ (event).detail);
	});

	/** @type {number | undefined} what is newer came while we were here */
	let entered;

	mine.addEventListener('joined', ({ detail }) => (entered ??= detail.latest), { once: true });
	hears('message', (message) => {
		log.add(message, entered !== undefined && message.id > entered);
		typing.set(message.from, false);
	});
	hears('sending', (message) => log.addPending(message, me()));
	hears('sent', (message) => log.sent(message));
	hears('failed', (message) => log.failed(message));
	hears('gap', (gap) => log.gap(gap));
	hears('people', ({ people: who, count }) => people.show(who, count, me()));
	hears('typing', (message) => typing.set(message.user, message.typing !== false));
	hears('user_left', (message) => typing.set(message.user, false));
	hears('joined', () => offerEarlier(mine));
	hears('refused', (error) => toDoor(`#${mine.name} does not let you in: ${error.message}`));
	hears('left', (message) => toDoor(`You are no longer in #${mine.name}${message.reason ? `: ${message.reason}` : ''}.`));
}

/** Is there more than what was shown on joining? @param {import('./belfry.js').Room} mine */
async function offerEarlier(mine) {
	try {
		const { messages } = await mine.history({ limit: 51 });
		if (room === mine && log.earlier.hidden)
			log.settled(messages.length > 50);
	} catch {
		// the connection is gone again; the next join asks
	}
}

/* --- the panels on narrow screens --------------------------------------------------------- */

function closePanels() {
	byId('panels').classList.remove('shown');
	byId('panels-toggle').setAttribute('aria-expanded', 'false');
}

function togglePanels() {
	const isShown = byId('panels').classList.toggle('shown');

	byId('panels-toggle').setAttribute('aria-expanded', String(isShown));
	unseenNotices = 0;
	byId('panels-badge').hidden = true;
}

function countNotice() {
	if (byId('panels').classList.contains('shown'))
		return;
	unseenNotices++;
	byId('panels-badge').textContent = String(unseenNotices);
	byId('panels-badge').hidden = false;
}

/* --- the beginning ------------------------------------------------------------------------ */

async function begin() {
	const asked = new URLSearchParams(location.search).get('room');

	if (asked)
		roomBox.value = asked;
	form.addEventListener('submit', submitted);
	byId('try-now').addEventListener('click', () => {
		if (chat?.state === 'closed')
			location.reload();
		else
			chat?.retryNow();
	});
	byId('panels-toggle').addEventListener('click', togglePanels);
	notices.onnew = countNotice;
	document.addEventListener('keydown', (event) => {
		if (event.key === 'Escape')
			closePanels();
	});
	document.addEventListener('visibilitychange', () => {
		if (!document.hidden)
			chat?.retryNow();
	});
	try {
		await identity.load();
	} catch {
		byId('door-lead').textContent = 'The server cannot be reached.';
		setTimeout(() => location.reload(), 5000);
		return;
	}
	showDoor();
	if (asked && identity.user !== null && !identity.needsName)
		return enter(asked);
	(identity.needsName && nameBox.value === '' ? nameBox : roomBox).focus();
}

begin();
