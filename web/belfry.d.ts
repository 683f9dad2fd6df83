// SPDX-License-Identifier: ISC

/** Where to begin: a message id, a duration back (`"10m"`), an RFC 3339 time, or `"all"`. */
export type Position = number | string;

export type State = 'connecting' | 'open' | 'closed';

export interface User {
	id: string;
	name: string;
}

export interface TokenContext {
	/** Why the last token was refused, when it was. */
	refused?: BelfryError;
	/** Seconds that the present token has left, when the server says that it ends. */
	expiring?: number;
}

/** A token, or a function that is asked for one on every connection; null: the cookie, or none. */
export type Token = string | null | ((context: TokenContext) => string | null | Promise<string | null>);

export interface Backoff {
	/** First upper bound of the delay, in milliseconds (500). */
	min?: number;
	/** Last upper bound (30,000). */
	max?: number;
}

interface CommonOptions {
	token?: Token;
	signal?: AbortSignal;
	backoff?: Backoff;
	/** Replaces the global `fetch`. */
	fetch?: typeof fetch;
	/** Replaces `Math.random`. */
	random?: () => number;
}

/** Where unsent messages outlive the page: `sessionStorage`, `localStorage`, or what looks like them. */
export interface OutboxStorage {
	getItem(name: string): string | null;
	setItem(name: string, value: string): void;
	removeItem(name: string): void;
}

export interface ChatOptions extends CommonOptions {
	/** Keeps the unsent messages of rooms over a reload of the page, with their keys: nothing is sent twice. */
	storage?: OutboxStorage;
	/** A display name, if the token has none. */
	name?: string;
	/** Replaces the global `WebSocket`: needed in Node before version 22. */
	WebSocket?: new (url: string, protocols?: string[]) => any;
	/** Left out: WebSocket, and SSE when WebSockets turn out to be blocked. */
	transport?: 'websocket' | 'sse';
	/** How long a silent connection has for its answer, in milliseconds (10,000). */
	pongTimeout?: number;
	/**
	 * One connection for all tabs of a page's origin that have the same user and rights. Left out: in a page, when Web Locks and
	 * BroadcastChannel are there and the token says who it is for; `false`: never; a word: shared with who gives the same one (a cookie
	 * does not say whose it is).
	 */
	share?: boolean | string | ShareOptions;
}

export interface ShareOptions {
	/** As the word above. */
	key?: string;
	/** Replaces `navigator.locks`. */
	locks?: any;
	/** Replaces the global `BroadcastChannel`. */
	BroadcastChannel?: new (name: string) => any;
	/** A tab that leads and says nothing for so long, in milliseconds (4,000), is asleep: another one takes over. */
	patience?: number;
}

export interface EventsOptions extends CommonOptions {
	/** Topics or patterns; left out: the server's default. */
	topics?: string[];
	/** How many stored messages to begin with. */
	last?: number;
	/** Where to begin; a reconnect goes on where it was. */
	after?: Position;
	/** A stream silent for so long is dead, in milliseconds (45,000). */
	silence?: number;
}

export interface FeedOptions {
	/** How many stored messages to begin with (rooms 50, topics 0). */
	last?: number;
	/** Where to begin; `last` is ignored then. A reconnect goes on where it was. */
	after?: Position;
	/** Leaves or unsubscribes when aborted. */
	signal?: AbortSignal;
	/** Of a room: how many messages `messages` keeps (200). */
	keep?: number;
}

export interface Abortable {
	/** Gives up with a BelfryError `aborted`. */
	signal?: AbortSignal;
}

export interface HistoryQuery {
	before?: Position;
	after?: Position;
	limit?: number;
	q?: string;
}

export interface HistoryPage {
	messages: Array<ChatMessage | TopicMessage>;
	/** There is more in the direction that was asked for. */
	more: boolean;
}

export interface ChatMessage {
	type: 'chat';
	id?: number;
	room: string;
	from: User;
	content?: string;
	data?: unknown;
	/** Milliseconds since 1970. */
	time: number;
	key?: string;
	/** The id of the message that this one answers. */
	reply_to?: number;
	/** Ids of the users who are named in it. */
	mentions?: string[];
	/** When it was edited last, in milliseconds since 1970. */
	edited?: number;
	/** Taken back: neither content nor data are left. */
	deleted?: boolean;
	reactions?: Reaction[];
}

export interface Reaction {
	emoji: string;
	count: number;
	/** Ids of those who did it, the first 20. */
	users: string[];
}

/** A message to one person. */
export interface DirectMessage extends Omit<ChatMessage, 'type' | 'room'> {
	type: 'direct';
	/** The id of whom it is for. */
	to: string;
}

/** What became of a message: for one of a room with `room`, for a direct without. */
export interface ChangeRecord {
	type: 'edited' | 'deleted' | 'reaction';
	id?: number;
	target: number;
	room?: string;
	user: User;
	time?: number;
}

export interface EditedRecord extends ChangeRecord {
	type: 'edited';
	content?: string;
	data?: unknown;
	mentions?: string[];
}

export interface DeletedRecord extends ChangeRecord {
	type: 'deleted';
}

export interface ReactionRecord extends ChangeRecord {
	type: 'reaction';
	emoji: string;
	on: boolean;
}

/** For how long, and why. */
export interface Sentence {
	/** Left out: without end. */
	seconds?: number;
	reason?: string;
}

/** What a room's list tells: `unread` where one has a read marker. */
export interface RoomSummary {
	room: string;
	count?: number;
	latest?: number;
	unread?: number;
}

export interface TopicMessage {
	type: 'notification' | 'event';
	id?: number;
	topic: string;
	event: string;
	title?: string;
	message?: string;
	/** Seconds since 1970. */
	timestamp?: number;
	priority?: number;
	tags?: string[];
	click?: string;
	data?: any;
	from?: User;
}

export interface Publication {
	topic?: string;
	event?: string;
	title?: string;
	message?: string;
	data?: unknown;
	priority?: number;
	tags?: string[];
	click?: string;
	to?: string;
	/** When it is due: seconds since 1970, an RFC 3339 time, or `"+10m"`; it has no id before. */
	at?: number | string;
	ttl?: number;
	key?: string;
}

/** Messages may be missing: the server has what followed `after` no longer. */
export interface Gap {
	room?: string;
	topic?: string;
	after: number | null;
	oldest: number | null;
	reason: 'trimmed' | 'outside' | 'unreadable' | 'slow';
	dropped?: number;
}

/** Every event of this library; what it tells is in `detail`. */
export class BelfryEvent<T = any> extends Event {
	constructor(type: string, detail?: T);
	readonly detail: T;
}

/** `code` is the server's, or `closed`, `aborted`, `left`, `other_user`, `too_large`, `http`. */
export class BelfryError extends Error {
	constructor(code: string, message: string, more?: Record<string, any>);
	readonly code: string;
	/** The configuration key of the limit that refused. */
	readonly limit?: string;
	/** Seconds. */
	readonly retryAfter?: number;
	readonly status?: number;
	/** What was thrown, by the token function or by `fetch`. */
	readonly cause?: unknown;
}

/** A message on its way. */
export class Outgoing {
	readonly key: string;
	readonly content?: string;
	/** When it was handed over, in milliseconds since 1970. */
	readonly time: number;
	readonly body: Record<string, any>;
	readonly state: 'pending' | 'sent' | 'failed';
	/** The server's id, once it is sent and the topic is a logged one. */
	readonly id?: number;
	readonly error?: Error;
	/** Resolves with the id when acked, rejects when refused for good. */
	readonly done: Promise<number | undefined>;
}

export interface FeedEvents {
	/** Joined or subscribed: the first time, and after every reconnect. */
	joined: { latest?: number; resumed?: boolean };
	/** History was lost; comes before anything newer. */
	gap: Gap;
	/** The server does not let you in; not asked again. */
	refused: BelfryError;
	/** No longer in it: kicked, or the new token does not grant it. */
	left: { reason?: string };
}

export interface RoomEvents extends FeedEvents {
	/** Somebody said something; your own messages from this connection are not among them. */
	message: ChatMessage;
	/** A message of your own was handed over. */
	sending: Outgoing;
	/** … is safe on the server. */
	sent: Outgoing;
	/** … was refused for good. */
	failed: Outgoing;
	people: { people: Map<string, User>; count: number };
	user_joined: { user: User; count: number };
	user_left: { user: User; count: number };
	typing: { user: User; typing: boolean };
	/** One's own changes are told, too, once the server has them. */
	edited: EditedRecord;
	deleted: DeletedRecord;
	reaction: ReactionRecord;
	/** A message of `messages` is another one now. */
	changed: { message: ChatMessage; record: ChangeRecord };
	/** Somebody else, or oneself on another device, has read up to there. */
	read: { user: User; read: number };
	/** A new message names you. */
	mention: ChatMessage;
	unread: { unread: number };
}

export interface SubscriptionEvents extends FeedEvents {
	message: TopicMessage;
	/** Of `chat/…` topics. */
	chat: ChatMessage;
	edited: EditedRecord;
	deleted: DeletedRecord;
	reaction: ReactionRecord;
}

export interface ChatEvents {
	/** `welcome` has come; rooms and topics are being joined. */
	open: { user: User; session: string };
	/** The connection ended; `retryIn` milliseconds when it will be tried again. */
	close: { code: number; reason: string; willRetry: boolean; retryIn?: number; error?: BelfryError };
	state: { state: State; reason?: string; code?: number; retryIn?: number; error?: BelfryError };
	/** The server is about to stop; `retry` milliseconds to stay away, which is honoured. */
	closing: { reason: string; retry: number };
	/** The token ends in so many seconds; the token function was asked for a new one. */
	expiring: { in: number };
	/** To you, or from you on another device: they come with the subscription of your own topic, `userTopic(chat.user.id)`. */
	direct: DirectMessage;
	/** What became of a direct. */
	edited: EditedRecord;
	deleted: DeletedRecord;
	reaction: ReactionRecord;
	/** A room that a subscribed pattern leaves out, because one is banned there. */
	denied: { topic: string; code: string; detail: string; retry_after?: number };
	/** A message of direct() was handed over. */
	sending: Outgoing;
	/** A message of publish() or direct(), by `body.type`. */
	sent: Outgoing;
	failed: Outgoing;
	/** The server complained of something that was not a request. */
	error: BelfryError;
	/** Every message of the server, as it came. */
	frame: Record<string, any>;
}

export interface EventsEvents {
	open: undefined;
	close: { willRetry: boolean; reason: string; retryIn?: number; error?: BelfryError };
	state: { state: State; reason?: string; retryIn?: number; error?: BelfryError };
	/** Every event, whatever its name; each is dispatched under its own name too. */
	event: StreamEvent;
	/** What was published without a name. */
	message: StreamEvent;
	notification: StreamEvent;
	gap: StreamEvent;
	denied: StreamEvent;
	closing: StreamEvent;
	expiring: StreamEvent;
	expired: StreamEvent;
}

export interface StreamEvent {
	event: string;
	/** The data read as JSON, or the text when it is none. */
	data: any;
	text: string;
	id: string;
}

interface TypedTarget<Map> extends EventTarget {
	addEventListener<K extends keyof Map & string>(
		type: K, listener: (event: BelfryEvent<Map[K]>) => void, options?: boolean | AddEventListenerOptions): void;
	addEventListener(
		type: string, listener: ((event: any) => void) | null, options?: boolean | AddEventListenerOptions): void;
}

/** The events of one type as they come, until the signal ends it. */
export function on<K extends keyof RoomEvents>(target: Room, type: K, options?: Abortable): AsyncGenerator<BelfryEvent<RoomEvents[K]>>;
export function on<K extends keyof SubscriptionEvents>(
	target: Subscription, type: K, options?: Abortable): AsyncGenerator<BelfryEvent<SubscriptionEvents[K]>>;
export function on<K extends keyof ChatEvents>(target: Chat, type: K, options?: Abortable): AsyncGenerator<BelfryEvent<ChatEvents[K]>>;
export function on(target: EventTarget, type: string, options?: Abortable): AsyncGenerator<any>;

/** Is the topic matched by the pattern (`*` one segment, a last `**` one or more)? */
export function topicMatches(pattern: string, topic: string): boolean;

/** The topic of one user. */
export function userTopic(id: string): string;

/** A message as it is after a record: a new object, or the old one when nothing changes. */
export function applyRecord<M extends ChatMessage | DirectMessage>(message: M, record: ChangeRecord): M;

/** The newest messages of a conversation, in the order of their ids, as they are by now. */
export class MessageList {
	constructor(most: number);
	readonly all: Array<any>;
	has(id: number | undefined): boolean;
	add(message: Record<string, any>): void;
	/** The message as it is now; undefined when it is not here, or was so before. */
	apply(record: ChangeRecord): any;
	clear(): void;
}

/** What somebody has begun to write, by place; with `localStorage` it outlives the tab. */
export class Drafts {
	constructor(storage: OutboxStorage | undefined, owner: string);
	get(place: string): string;
	/** '' forgets it. */
	set(place: string, text: string): void;
}

export class Room implements TypedTarget<RoomEvents> {
	readonly name: string;
	readonly state: 'waiting' | 'joined' | 'refused' | 'left';
	/** The last id that was delivered: where a reconnect goes on. */
	readonly cursor?: number;
	/** Who is there, by id; the server lists at most 100. */
	readonly people: Map<string, User>;
	readonly count: number;
	/** Settles with the first `joined` or `refused`, or when it is left before. */
	readonly ready: Promise<Room>;
	/** Send; offline it waits. Sent once, however often the connection breaks. */
	send(message: string | { content?: string; data?: unknown; reply_to?: number; key?: string }): Outgoing;
	/** The newest messages (FeedOptions.keep), as they are by now. */
	readonly messages: ChatMessage[];
	/** Messages of others that came after what was read. */
	readonly unread: number;
	/** The id up to which you have read, on any device. */
	readonly marker?: number;
	/** Another wording, for one's own; moderators for all. */
	edit(target: number, message: string | { content?: string; data?: unknown }): Promise<void>;
	/** Taken back: nothing of it is left on the server. */
	remove(target: number): Promise<void>;
	react(target: number, emoji: string, on?: boolean): Promise<void>;
	/** Up to there all is read (left out: all there is); told to the server at most once a second. */
	read(id?: number): void;
	/** For moderators, as the next ones. */
	kick(user: string, sentence?: Sentence): Promise<void>;
	ban(user: string, sentence?: Sentence): Promise<void>;
	unban(user: string): Promise<void>;
	mute(user: string, sentence?: Sentence): Promise<void>;
	unmute(user: string): Promise<void>;
	/** Tell the others that you are writing, or no longer. */
	typing(typing?: boolean): void;
	members(): Promise<User[]>;
	history(query?: HistoryQuery, options?: Abortable): Promise<HistoryPage>;
	/** What is not acked yet, in its order; with `storage` also from before the page was loaded. */
	readonly unsent: Outgoing[];
	/** Unsent messages fail with the code `left`; with `keep` they wait in the storage until the room is entered again. */
	leave(options?: { keep?: boolean }): Promise<void>;
	addEventListener: TypedTarget<RoomEvents>['addEventListener'];
	removeEventListener: EventTarget['removeEventListener'];
	dispatchEvent: EventTarget['dispatchEvent'];
}

/**
 * A topic or pattern. Patterns of one connection should not overlap: a message that several match
 * comes once, to all of them, and moves the cursor of each.
 */
export class Subscription implements TypedTarget<SubscriptionEvents> {
	readonly name: string;
	readonly state: 'waiting' | 'joined' | 'refused' | 'left';
	readonly cursor?: number;
	readonly ready: Promise<Subscription>;
	history(query?: HistoryQuery, options?: Abortable): Promise<HistoryPage>;
	unsubscribe(): Promise<void>;
	addEventListener: TypedTarget<SubscriptionEvents>['addEventListener'];
	removeEventListener: EventTarget['removeEventListener'];
	dispatchEvent: EventTarget['dispatchEvent'];
}

/** One connection to the daemon, kept up until close(); rooms and topics share it. */
export class Chat implements TypedTarget<ChatEvents> {
	/** @param url the daemon's address (`https://chat.example.org`); in a page the page's own when left out */
	constructor(url?: string | URL, options?: ChatOptions);
	readonly url: URL;
	readonly state: State;
	readonly transport: 'websocket' | 'sse';
	readonly user: User | null;
	/** `user`, `moderator` or `admin`, where the server says. */
	readonly role: string | null;
	/** Does the token grant directs to anybody? null where the server does not say. */
	readonly mayDirect: boolean | null;
	/** One's own topic, `userTopic(user.id)`, once it is known who one is. */
	readonly ownTopic: string | undefined;
	/** Directs that are not acked yet, in their order. */
	readonly unsent: Outgoing[];
	/** Is the line shared with other tabs? */
	readonly isShared: boolean;
	readonly session: string | null;
	readonly limits: Record<string, any>;
	/** When the token ends, in seconds since 1970. */
	readonly expires: number | null;
	readonly rooms: Map<string, Room>;
	readonly subscriptions: Map<string, Subscription>;
	/** Connect, and stay connected. Resolves when open for the first time; a signal aborted before that closes it. */
	connect(options?: Abortable): Promise<void>;
	close(code?: number, reason?: string): void;
	/** While waiting to reconnect: do it now. While open: find out whether the line is dead. */
	retryNow(): void;
	room(name: string, options?: FeedOptions): Room;
	subscribe(topic: string, options?: FeedOptions): Subscription;
	/** Publish on a topic; offline it waits. */
	publish(message: Publication): Outgoing;
	/** To one person; offline it waits, and with `storage` over a reload. */
	direct(to: string, message: string | { content?: string; data?: unknown; key?: string }): Outgoing;
	/** Of a direct; those of a room are the room's. */
	edit(target: number, message: string | { content?: string; data?: unknown }): Promise<void>;
	remove(target: number): Promise<void>;
	react(target: number, emoji: string, on?: boolean): Promise<void>;
	history(query: HistoryQuery & { room?: string; topic?: string | undefined }, options?: Abortable): Promise<HistoryPage>;
	listRooms(): Promise<RoomSummary[]>;
	refresh(token: string): Promise<Record<string, any>>;
	/** Any message of the protocol that has an answer. */
	request(message: Record<string, any>, options?: Abortable): Promise<Record<string, any>>;
	/** Any message of the protocol that has none. */
	post(message: Record<string, any>): void;
	addEventListener: TypedTarget<ChatEvents>['addEventListener'];
	removeEventListener: EventTarget['removeEventListener'];
	dispatchEvent: EventTarget['dispatchEvent'];
}

/** Topics over Server-Sent Events, read with fetch so that the token travels in a header. */
export class Events implements TypedTarget<EventsEvents> {
	constructor(url?: string | URL, options?: EventsOptions);
	readonly url: URL;
	readonly state: State;
	/** The position: what a reconnect resumes from. */
	readonly cursor: string;
	connect(): this;
	close(): void;
	addEventListener: TypedTarget<EventsEvents>['addEventListener'];
	removeEventListener: EventTarget['removeEventListener'];
	dispatchEvent: EventTarget['dispatchEvent'];
}

/** Reads the lines of an event stream, in whatever pieces they come. */
export class StreamParser {
	constructor(onevent: (event: { type: string; data: string; id: string }) => void);
	/** Called at the end of each block, also of one that only moves the cursor. */
	onid: (id: string) => void;
	onretry: (ms: number) => void;
	id: string;
	push(text: string): void;
}
