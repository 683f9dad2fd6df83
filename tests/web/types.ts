// SPDX-License-Identifier: ISC
/* Compiled, never run: the declarations of belfry.d.ts are those that an application needs, and the library has what they declare. */

import { BelfryError, Chat, Drafts, Events, MessageList, applyRecord, on, topicMatches, userTopic } from '../../web/belfry.js';
import '../../web/belfry-chat.js';
import type { ChatMessage, Outgoing, Room } from '../../web/belfry.js';
import { Chat as RealChat } from '../../web/client/chat.js';
import { Events as RealEvents } from '../../web/client/events.js';
import { Drafts as RealDrafts } from '../../web/client/drafts.js';
import { Subscription as RealSubscription } from '../../web/client/feeds.js';
import { MessageList as RealMessageList } from '../../web/client/records.js';
import { Room as RealRoom } from '../../web/client/room.js';

type Members<T> = { [K in keyof T]: unknown };

/* Everything declared is there. */
export const declared = (chat: RealChat, events: RealEvents, room: RealRoom, subscription: RealSubscription, drafts: RealDrafts, list: RealMessageList) => [
	chat satisfies Members<Chat>,
	events satisfies Members<Events>,
	room satisfies Members<Room>,
	subscription satisfies Members<ReturnType<Chat['subscribe']>>,
	drafts satisfies Members<Drafts>,
	list satisfies Members<MessageList>,
];

export async function talk(signal: AbortSignal): Promise<void> {
	const chat = new Chat('https://chat.example.org', {
		token: async ({ refused, expiring }) => (refused || expiring ? 'new' : 'old'), signal, backoff: { max: 5000 },
	});
	const room: Room = chat.room('lobby', { last: 20 });

	chat.addEventListener('close', ({ detail }) => console.log(detail.code, detail.willRetry, detail.retryIn));
	chat.addEventListener('state', ({ detail }) => console.log(detail.state));
	room.addEventListener('message', ({ detail }) => say(detail));
	room.addEventListener('sent', ({ detail }: { detail: Outgoing }) => console.log(detail.id, detail.key));
	room.addEventListener('gap', ({ detail }) => console.log(detail.after, detail.oldest, detail.reason));
	await chat.connect();
	try {
		const id: number | undefined = await room.send({ content: 'hi', data: { n: 1 } }).done;
		console.log(id, (await room.history({ before: id, limit: 10 })).more);
	} catch (error) {
		if (error instanceof BelfryError)
			console.log(error.code, error.retryAfter);
	}
	for await (const event of on(room, 'message', { signal }))
		say(event.detail);
	for await (const { detail } of on(chat, 'close'))
		console.log(detail.retryIn);
}

/* What must not compile. */
export async function wrong(chat: Chat, room: Room): Promise<void> {
	room.addEventListener('gap', ({ detail }) => {
		// @ts-expect-error a gap has no content
		console.log(detail.content);
	});
	for await (const { detail } of on(room, 'people')) {
		// @ts-expect-error a number
		const count: string = detail.count;
		console.log(count);
	}
	// @ts-expect-error neither text nor message
	room.send(42);
	// @ts-expect-error no such option
	await chat.connect({ timeout: 1 });
}

export async function change(chat: Chat, room: Room): Promise<void> {
	room.addEventListener('changed', ({ detail: { message } }) => console.log(message.edited, message.deleted, message.reactions?.[0].users));
	room.addEventListener('mention', ({ detail }) => say(detail));
	room.addEventListener('reaction', ({ detail }) => console.log(detail.emoji, detail.on));
	chat.addEventListener('direct', ({ detail }) => console.log(detail.to, detail.content));
	await room.edit(1, 'better');
	await room.remove(1);
	await room.react(1, '👍', false);
	room.read(1);
	await room.ban('u2', { seconds: 60, reason: 'spam' });
	const id: number | undefined = await chat.direct('u2', 'hi').done;
	const found = await room.history({ q: 'bell', before: id });
	console.log(found.more, room.messages.map((one) => applyRecord(one, { type: 'deleted', target: 1, user: { id: 'a', name: 'A' } })));
	new Chat(undefined, { share: false });
	new Chat(undefined, { share: 'u1' });
	// @ts-expect-error seconds are a number
	await room.mute('u2', { seconds: '1m' });
}

export function abortable(chat: Chat, signal: AbortSignal): void {
	chat.connect({ signal });
	chat.history({ room: 'lobby', limit: 10 }, { signal });
	chat.room('lobby', { signal }).history({}, { signal });
	chat.subscribe('build/**', { last: 10, signal });
}

export function element(): void {
	const chat = document.createElement('belfry-chat');

	chat.token = async ({ refused }) => (refused ? null : 'a.b.c');
	chat.room = 'lobby';
	chat.addEventListener('state', ({ detail }) => console.log(detail.state));
	chat.addEventListener('message', ({ detail }) => say(detail));
}

export function listen(): void {
	const events = new Events(undefined, { topics: ['ops/**', userTopic('u1')], token: null });

	events.addEventListener('notification', ({ detail }) => console.log(detail.data.title, detail.id));
	events.addEventListener('price', (event) => console.log(event.detail));
	events.connect().close();
	console.log(topicMatches('a/*', 'a/b'));
}

function say(message: ChatMessage): void {
	console.log(message.from.name, message.content, message.time);
}
