// SPDX-License-Identifier: ISC
/* Whom a message of the server is for. */

import { BelfryEvent, RECEIVE, topicMatches } from './common.js';

const ANSWERS = new Set(['ack', 'history', 'left', 'unsubscribed']);
const OF_THE_CONNECTION = new Set(['direct', 'closing', 'expiring']);

/** @param {import('./chat.js').Chat} chat @param {Record<string, any>} message */
export function route(chat, message) {
	if (ANSWERS.has(message.type) && message.ref !== undefined)
		return;         // whoever asked has it; a room of the same name may have been joined since
	if (typeof message.room === 'string' && message.type !== 'rooms') {
		chat.rooms.get(message.room)?.[RECEIVE](message);
		if (message.type === 'left')
			chat.rooms.delete(message.room);
	} else if (typeof message.topic === 'string') {
		const isMessage = message.type === 'notification' || message.type === 'event';
		for (const subscription of [...chat.subscriptions.values()]) {
			if (isMessage ? topicMatches(subscription.name, message.topic) : subscription.name === message.topic)
				subscription[RECEIVE](message);
		}
		if (message.type === 'unsubscribed')
			chat.subscriptions.delete(message.topic);
	} else if (OF_THE_CONNECTION.has(message.type)) {
		chat.dispatchEvent(new BelfryEvent(message.type, message));
	}
}
