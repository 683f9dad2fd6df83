// SPDX-License-Identifier: ISC
/* Whom a message of the server is for. */

import { BelfryEvent, RECEIVE } from './common.js';
import { RECORDS, hears } from './records.js';

const ANSWERS = new Set(['ack', 'history', 'left', 'unsubscribed', 'joined', 'subscribed']);
const OF_THE_CONNECTION = new Set(['closing', 'expiring', 'denied']);

/** @param {import('./chat.js').Chat} chat @param {Record<string, any>} message */
export function route(chat, message) {
	if (ANSWERS.has(message.type) && message.ref !== undefined)
		return;         // whoever asked has it; a room of the same name may have been joined since
	if (OF_THE_CONNECTION.has(message.type)) {
		chat.dispatchEvent(new BelfryEvent(message.type, message));
		return;
	}
	const listening = [...chat.subscriptions.values()].filter(({ name }) => hears('topic', name, message, chat.ownTopic));

	if (typeof message.room === 'string' && message.type !== 'rooms') {
		chat.rooms.get(message.room)?.[RECEIVE](message);
		if (message.type === 'left')
			chat.rooms.delete(message.room);
	} else if (listening.length === 0 && typeof message.topic !== 'string' && (message.type === 'direct' || RECORDS.has(message.type))) {
		chat.dispatchEvent(new BelfryEvent(message.type, message));
	}
	for (const subscription of listening)
		subscription[RECEIVE](message);
	if (message.type === 'unsubscribed')
		chat.subscriptions.delete(message.topic);
}
