// SPDX-License-Identifier: ISC
/* The page: brings together who you are, the connection, the conversations and what is shown of them. */

import { Chat, userTopic } from './belfry.js';
import { Alerts } from './page/alerts.js';
import { showHelp, showInvite } from './page/dialogs.js';
import { Door } from './page/door.js';
import { byId, make, nameOf, tell } from './page/dom.js';
import { FiguresView } from './page/figures.js';
import { showIcons } from './page/icons.js';
import { Identity } from './page/identity.js';
import { listenToKeys } from './page/keys.js';
import { toast } from './page/menu.js';
import { NoticesView } from './page/notices.js';
import { Panels } from './page/panels.js';
import { ownMenu, personMenu } from './page/persons.js';
import { Places } from './page/places.js';
import { keep, keptList, tabStorage } from './page/storage.js';
import { Talk } from './page/talk.js';
import { Threads } from './page/thread.js';

/** @typedef {import('./belfry.d.ts').User} User */
/** @typedef {import('./page/places.js').Place} Place */

const NOTICES_TO_BEGIN_WITH = 50;
const LIST_ROOMS_EVERY_MS = 30_000;
const TRY_AGAIN_MS = 3_000;

const identity = new Identity();
const door = new Door(identity, enter);
const talk = new Talk(() => ({ me: me(), chat }));
const places = new Places(show, enter);
const notices = new NoticesView();
const figures = new FiguresView();
const alerts = new Alerts();
const panels = new Panels();
const pill = byId('connection');

/** @type {Chat | null} */
let chat = null;
/** @type {Threads | null} */
let threads = null;
/** @type {Place | null} where one was before */
let before = null;
/** @type {string} whose own topic we listen to */
let listeningAs = '';

/** @returns {User} */
function me() {
	const user = chat?.user ?? identity.user;

	return { id: user?.id ?? '', name: user?.name || door.nameBox.value || user?.id || '' };
}

/* --- the connection ----------------------------------------------------------------------- */

/** @returns {Chat} */
function connection() {
	if (chat !== null && chat.state !== 'closed')
		return chat;
	const name = identity.user?.name ? undefined : door.nameBox.value.trim();
	const line = chat = new Chat(undefined, {
		token: (context) => identity.token(context), name, storage: tabStorage(),
		share: identity.kind === 'none' ? identity.user?.id : undefined,        // a cookie does not say whose it is
	});

	talk.composer.ownedBy(identity.owner);
	listeningAs = '';
	threads = new Threads(line);
	threads.onnew = (thread) => {
		const key = `@${thread.name}`;
		const known = places.all.get(key);
		const place = known ?? places.add(key, { kind: 'direct', title: nameOf(thread.other), feed: thread });
		place.title = nameOf(thread.other);
		if (known === undefined)
			hear(place);
		places.show();
	};
	threads.ondirect = (thread, message) => alerts.tell(nameOf(thread.other), message.content ?? '', `@${thread.name}`, () => show(`@${thread.name}`));
	line.addEventListener('state', ({ detail }) => line === chat && showState(detail));
	line.addEventListener('open', opened);
	line.connect().catch(() => {});         // the state says it in words
	return line;
}

/** @param {{state: string, reason?: string, error?: {code: string}}} detail */
function showState({ state, reason, error }) {
	const away = byId('away');
	const again = pill.dataset.state !== 'idle';

	if (state === 'open') {
		tell(pill, 'connected');
		pill.dataset.state = 'open';
		away.hidden = true;
		return;
	}
	talk.typing.clear();
	if (state === 'closed') {
		tell(pill, 'signed off');
		pill.dataset.state = 'closed';
		away.hidden = false;
		byId('away-words').textContent = `The connection has ended: ${reason || 'the server gave no reason'}.`;
		if (error?.code === 'invalid_token' || error?.code === 'unauthorized')
			door.ended(reason ?? '');
		else if (places.here?.feed.state !== 'joined' && !door.isOpen)
			door.open(reason ?? '');
		return;
	}
	tell(pill, again ? 'reconnecting…' : 'connecting…');
	pill.dataset.state = again ? 'away' : 'idle';
	away.hidden = !again;
	byId('away-words').textContent = 'No line to the server. Go on writing: it is sent as soon as the line is back.';
}

function opened() {
	const user = me();

	byId('whoami').replaceChildren(make('span', { class: 'you-are' }, 'You are '), make('b', { dir: 'auto' }, user.name));
	byId('whoami').title = user.id;
	listen(user);
	listRooms();
}

async function listRooms() {
	try {
		const rooms = await chat?.listRooms() ?? [];
		places.known = rooms.map((/** @type {any} */ one) => ({ name: one.room ?? one.name ?? String(one), count: one.count, unread: one.unread }));
		byId('known-rooms').replaceChildren(...places.known.map(({ name }) => make('option', { value: name })));
		places.show();
	} catch {
		// asked again when the line is back
	}
}

/** Notifications, directs and figures come over the same connection. @param {User} user */
function listen(user) {
	const line = connection();

	if (listeningAs === user.id)
		return;
	if (listeningAs !== '')                 // a guest of a restarted server is somebody new
		line.subscriptions.get(userTopic(listeningAs))?.unsubscribe().catch(() => {});
	const topics = listeningAs === '' ? ['notifications', userTopic(user.id)] : [userTopic(user.id)];
	if (listeningAs === '')
		line.subscribe('server/stats').addEventListener('message', ({ detail }) => figures.show(detail.data ?? {}));
	listeningAs = user.id;
	for (const topic of topics) {
		const subscription = line.subscribe(topic, { last: NOTICES_TO_BEGIN_WITH });
		/** @type {number | undefined} what is newer rings; no clock is asked, for the two may differ */
		let latest;
		subscription.addEventListener('joined', ({ detail }) => (latest ??= detail.latest));
		subscription.addEventListener('message', ({ detail }) => notices.add(detail, detail.id === undefined || (latest !== undefined && detail.id > latest)));
		subscription.addEventListener('gap', () => notices.say('Some are missing here: the server no longer has them.'));
		subscription.addEventListener('refused', ({ detail }) => notices.refuse(`Not for you: ${detail.message}`));
	}
}

/* --- the conversations -------------------------------------------------------------------- */

/** @param {string} name of a room */
function enter(name) {
	const key = `#${name}`;

	if (chat?.state === 'closed')
		moveIn();
	if (!places.all.has(key) || places.all.get(key)?.feed.state === 'left')
		join(name);
	show(key);
}

/** @param {string} name @returns {Place} */
function join(name) {
	const feed = connection().room(name);
	const place = places.add(`#${name}`, { kind: 'room', title: name, feed });

	hear(place);
	feed.addEventListener('refused', ({ detail }) => lost(place, `#${name} does not let you in: ${detail.message}`));
	feed.addEventListener('left', ({ detail }) => lost(place, `You are no longer in #${name}${detail.reason ? `: ${detail.reason}` : ''}.`));
	feed.addEventListener('mention', ({ detail }) => {
		if (place !== places.here || document.hidden)
			place.mentions++;
		places.show();
		alerts.tell(`${nameOf(detail.from)} in #${name}`, detail.content ?? '', `#${name}`, () => show(place.key));
	});
	remember();
	return place;
}

/** @param {Place} place */
function hear(place) {
	talk.hear(place);
	place.feed.addEventListener('failed', (/** @type {any} */ { detail }) => {
		if (place !== places.here && places.all.get(place.key) === place)
			toast(`Not sent in ${place.kind === 'room' ? '#' : ''}${place.title}: ${detail.error?.message ?? 'refused'}`);
	});
	place.feed.addEventListener('unread', () => {
		if (place.feed.unread === 0)
			place.mentions = 0;
		places.show();
	});
}

/** @param {string} key */
function show(key) {
	const place = places.all.get(key);

	if (place === undefined)
		return;
	before = place === places.here ? before : places.here;
	places.here = place;
	const query = place.kind === 'room' ? `?room=${encodeURIComponent(place.feed.name)}` : `?with=${encodeURIComponent(place.feed.name)}`;
	history.replaceState(null, '', query);
	door.close();
	panels.close();
	door.roomBox.value = '';
	talk.show(place);
	places.show();
	talk.composer.focus();
}

/** The rooms of this tab, for a reload. */
function remember() {
	keep('rooms', JSON.stringify(places.of('room').map(({ feed }) => feed.name)));
}

/** Out of a room, whether one wanted it or not. @param {Place} place @param {string} words */
function lost(place, words) {
	if (places.all.get(place.key) !== place)
		return;
	const next = places.here !== place ? null : before !== null && before !== place && places.all.get(before.key) === before ? before : places.neighbour(1);

	places.remove(place.key);
	remember();
	if (next === null)
		return toast(words);
	places.here = null;
	if (next === undefined || next === place || words !== '') {
		door.roomBox.value = place.kind === 'room' ? place.feed.name : '';
		history.replaceState(null, '', location.pathname);      // a reload does not lead back
		return door.open(words);
	}
	show(next.key);
}

function leave() {
	const place = places.here;

	if (place === null)
		return;
	if (place.kind === 'room')
		place.feed.leave({ keep: true }).catch(() => {});
	else
		threads?.all.delete(place.feed.name);
	lost(place, '');
	listRooms();
}

/** @param {User} user */
function direct(user) {
	threads?.of(user);
	show(`@${user.id}`);
}

/** The same rooms over another connection. */
function moveIn() {
	const rooms = places.of('room');

	chat?.close();
	chat = null;
	places.all.clear();
	before = null;
	pill.dataset.state = 'idle';
	for (const { feed, failed } of rooms)
		join(feed.name).failed = failed;
}

/** As somebody else by name: the same places over another connection. @param {string} name */
async function rename(name) {
	try {
		if (identity.kind === 'guest')
			await identity.rename(name);
		door.nameBox.value = name;
	} catch (error) {
		return toast(/** @type {Error} */ (error).message);
	}
	const here = places.here;

	for (const { feed } of places.of('room'))
		await feed.leave({ keep: true }).catch(() => {});
	moveIn();
	if (here?.kind === 'direct')
		connection() && direct(here.feed.other);
	else
		show(here?.key ?? '');
}

function signOut() {
	chat?.close();
	identity.forget();
	keep('rooms', null);
	location.assign('./');
}

/* --- the beginning ------------------------------------------------------------------------ */

function listenToPage() {
	byId('try-now').addEventListener('click', () => chat?.state === 'closed' ? location.reload() : chat?.retryNow());
	byId('whoami').addEventListener('click', () => ownMenu(identity, { name: () => me().name, renamed: rename, signOut }));
	byId('search').addEventListener('click', () => talk.search());
	byId('invite').addEventListener('click', () => places.here?.kind === 'room' && showInvite(places.here.feed.name));
	byId('leave').addEventListener('click', leave);
	byId('close').addEventListener('click', leave);
	talk.people.onperson = (user, button) => personMenu(user, button, {
		place: places.here, chat, direct, mention: (one) => {
			panels.close();
			talk.composer.insert(`@${nameOf(one)}`);
		},
	});
	notices.onnew = (/** @type {import('./belfry.d.ts').TopicMessage} */ message) => {
		panels.count();
		if ((message.priority ?? 3) >= 4 || message.topic.startsWith('user/'))
			alerts.tell(message.title ?? message.topic, message.message ?? '', `notice ${message.id}`, () => {});
	};
	places.onchange = () => {
		const { unread } = places;
		const name = places.here === null ? '' : `${places.here.kind === 'room' ? '#' : ''}${places.here.title} · `;
		document.title = `${unread > 0 ? `(${unread}) ` : ''}${name}Belfry`;
	};
	listenToKeys({
		help: showHelp, search: () => talk.search(), write: () => talk.composer.focus(), escape: () => panels.close() || door.isOpen || talk.escape(),
		rooms: () => {
			panels.open('places');
			door.roomBox.select();
			door.roomBox.focus();
		},
		up: () => show(places.neighbour(-1)?.key ?? ''), down: () => show(places.neighbour(1)?.key ?? ''),
	});
	document.addEventListener('visibilitychange', () => {
		if (!document.hidden)
			chat?.retryNow();
	});
	document.addEventListener('resume', () => chat?.retryNow());
	window.addEventListener('beforeunload', (event) => {        // what is unsent outlives a reload, but not its tab
		if ([...places.all.values()].some(({ feed }) => feed.unsent.length > 0))
			event.preventDefault();
	});
	window.addEventListener('hashchange', () => {       // a link with a token, opened in a page that is open
		if (new URLSearchParams(location.hash.slice(1)).has('token'))
			location.reload();
	});
	setInterval(() => !document.hidden && chat?.state === 'open' && listRooms(), LIST_ROOMS_EVERY_MS);
}

async function begin() {
	const query = new URLSearchParams(location.search);
	const asked = query.get('room');
	const person = query.get('with');

	if (asked)
		door.roomBox.value = asked;
	showIcons();
	listenToPage();
	for (;;) {
		try {
			await identity.load();
			break;
		} catch {
			byId('door-lead').textContent = 'The server cannot be reached. Trying again…';
			await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS));
		}
	}
	door.show();
	if ((asked || person) && identity.user !== null && !identity.needsName) {
		for (const name of keptList('rooms'))
			join(name);
		connection();
		return asked ? enter(asked) : direct({ id: /** @type {string} */ (person), name: '' });
	}
	(identity.needsName && door.nameBox.value === '' ? door.nameBox : door.roomBox).focus();
}

begin();
