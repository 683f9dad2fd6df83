// SPDX-License-Identifier: ISC

import type { BelfryEvent, Chat, ChatMessage, State, Token } from './belfry.js';

export interface BelfryChatEventMap {
	/** The connection: connecting, open, closed. */
	state: BelfryEvent<{ state: State; reason?: string }>;
	/** Somebody else said something, or had before. */
	message: BelfryEvent<ChatMessage>;
}

/**
 * `<belfry-chat room="lobby">`: a chat room in any page. Its looks: `height` and the custom properties `--belfry-paper`, `-surface`, `-line`, `-edge`,
 * `-ink`, `-muted`, `-accent`, `-mine`, `-mine-line`, `-primary`, `-primary-ink`, `-good`, `-bad`; the parts `head`, `title`, `log`, `composer`, `box`.
 */
export class BelfryChat extends HTMLElement {
	/** The room; may be changed at any time. Attribute `room`. */
	room: string;
	/** The daemon's address; where this module came from when left out. Attribute `src`. */
	src: string;
	/**
	 * A token, or a function that is asked for one on every connection; the attribute `token` takes a string.
	 * Without any: the daemon's cookie, else a guest, whose name is the attribute `name` or is asked for.
	 */
	token: Token;
	/** The connection, while there is one. */
	readonly chat: Chat | null;
	addEventListener<K extends keyof BelfryChatEventMap>(
		type: K, listener: (event: BelfryChatEventMap[K]) => void, options?: boolean | AddEventListenerOptions): void;
	addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
}

declare global {
	interface HTMLElementTagNameMap {
		'belfry-chat': BelfryChat;
	}
}
