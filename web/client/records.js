// SPDX-License-Identifier: ISC
/* What happens to a message after it was said: edited, deleted, reacted to. */

import { topicMatches } from './common.js';

/** @typedef {Record<string, any>} Json */

export const RECORDS = new Set(['edited', 'deleted', 'reaction']);
const MOST_USERS = 20;                  // ids that a reaction names, like the server's

/**
 * A message as it is after a record: a new object, the old one when nothing changes.
 * @template {Json} M
 * @param {M} message @param {Json} record @returns {M}
 */
export function applyRecord(message, record) {
	if (message.id !== record.target || message.deleted)
		return message;
	if (record.type === 'edited') {
		const { mentions: _, ...rest } = message;
		const changed = Object.fromEntries(['content', 'data', 'mentions'].filter((name) => record[name] !== undefined).map((name) => [name, record[name]]));
		return /** @type {any} */ ({ ...rest, ...changed, edited: record.time ?? Date.now() });
	}
	if (record.type === 'deleted') {
		const { type, id, room, to, from, time } = message;
		return /** @type {any} */ ({ type, id, ...(room === undefined ? { to } : { room }), from, time, deleted: true });
	}
	return record.type === 'reaction' ? { ...message, reactions: reacted(message.reactions ?? [], record) } : message;
}

/** @param {Json[]} reactions in the order of their first use @param {Json} record */
function reacted(reactions, { emoji, user, on = true }) {
	const known = reactions.find((one) => one.emoji === emoji);

	if (known === undefined)
		return on ? [...reactions, { emoji, count: 1, users: [user.id] }] : reactions;
	if (known.users.includes(user.id) === on)
		return reactions;
	const users = on ? [...known.users, user.id].slice(0, MOST_USERS) : known.users.filter((/** @type {string} */ id) => id !== user.id);
	const count = known.count + (on ? 1 : -1);

	return reactions.flatMap((one) => one !== known ? [one] : count > 0 ? [{ emoji, count, users }] : []);
}

/**
 * What everybody else is told of a request once it is acked: the sender of it gets the `ack` alone.
 * @param {Json} request @param {Json} ack @param {Json} user @returns {Json | null} null when nobody is told anything
 */
export function echoOf(request, ack, user) {
	const { id } = ack;
	const where = request.room === undefined ? {} : { room: request.room };
	/** @param {...string} names */
	const given = (...names) => Object.fromEntries(names.filter((name) => request[name] !== undefined).map((name) => [name, request[name]]));
	const record = { ...(id === undefined ? {} : { id }), target: request.target, ...where, user, time: Date.now() };

	switch (request.type) {
	case 'chat':
		return { type: 'chat', id, ...where, from: user, ...given('content', 'data', 'key', 'reply_to'), time: Date.now() };
	case 'direct':
		return { type: 'direct', id, from: user, ...given('to', 'content', 'data', 'key'), time: Date.now() };
	case 'edit':
		return { ...record, type: 'edited', ...given('content', 'data') };
	case 'delete':
		return { ...record, type: 'deleted' };
	case 'react':
		return ack.duplicate ? null : { ...record, type: 'reaction', emoji: request.emoji, on: request.on !== false };
	default:
		return null;
	}
}

/**
 * Is somebody named in a message? By the server, which knows whom a name means; where it says nothing, by the words.
 * @param {Json} message @param {import('../belfry.d.ts').User | null} user
 */
export function isNamed(message, user) {
	if (user === null || message.mentions !== undefined)
		return message.mentions?.includes(user?.id) === true;
	const words = String(message.content ?? '').toLowerCase();

	return [user.id, user.name].some((name) => {
		const at = name ? words.indexOf(`@${name.toLowerCase()}`) : -1;
		return at >= 0 && !/[\p{L}\p{N}_]/u.test(words[at + name.length + 1] ?? '') && !/[\p{L}\p{N}_]/u.test(words[at - 1] ?? '');
	});
}

/** Does a feed that was asked for hear a message? @param {string} kind `room` or `topic` @param {string} name @param {Json} message @param {string} [ownTopic] */
export function hears(kind, name, message, ownTopic) {
	if (typeof message.room === 'string')
		return kind === 'room' ? name === message.room : message.id !== undefined && topicMatches(name, `chat/${message.room}`);
	if (kind === 'room')
		return false;
	if (typeof message.topic === 'string')
		return message.type === 'notification' || message.type === 'event' ? topicMatches(name, message.topic) : name === message.topic;
	return (message.type === 'direct' || RECORDS.has(message.type)) && name === ownTopic;
}

/** The newest messages of a room, in the order of their ids, as they are by now. */
export class MessageList {
	/** @param {number} most */
	constructor(most) {
		this.most = most;
		/** @type {any[]} */
		this.all = [];
		/** @type {Set<number>} ids that were told lately, also when no message is kept */
		this.ids = new Set();
	}

	/** @param {number | undefined} id */
	has(id) {
		return id !== undefined && this.ids.has(id);
	}

	/** @param {Json} message */
	add(message) {
		const { id } = message;

		if (id !== undefined) {
			this.ids.add(id);
			if (this.ids.size > Math.max(2 * this.most, 256))
				this.ids = new Set([...this.ids].slice(-Math.max(this.most, 128)));
		}
		const at = id === undefined ? -1 : this.all.findLastIndex((one) => one.id === undefined || one.id < id);
		this.all.splice(id === undefined ? this.all.length : at + 1, 0, message);
		if (this.all.length > this.most)
			this.all.splice(0, this.all.length - this.most);
	}

	/** @param {Json} record @returns {any} the message as it is now; undefined when it is not here, or was so before */
	apply(record) {
		const at = this.all.findLastIndex((one) => one.id === record.target);
		const before = this.all[at];
		const now = before && applyRecord(before, record);

		if (at >= 0)
			this.all[at] = now;
		return now === before ? undefined : now;
	}

	clear() {
		this.all = [];
	}
}
