// SPDX-License-Identifier: ISC
/* One message as a row: who, when, what, what it answers, what others make of it. */

import { isNamed } from '../client/records.js';
import { avatar, dayWords, make, nameOf, shortened, timeNode } from './dom.js';
import { withLinks } from './links.js';

/** @typedef {import('./log.js').LogRow} LogRow */
/** @typedef {import('../belfry.d.ts').User} User */

/** A few signs and nothing else. */
const SIGNS = /^(?:(?:\p{Extended_Pictographic}(?:\uFE0F|\p{Emoji_Modifier}|\u200D\p{Extended_Pictographic})*|\p{Regional_Indicator}{2})\s*){1,3}$/u;
const QUOTED = 120;                     // characters of what is answered
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

/**
 * What a row needs to know of the conversation.
 * @typedef {object} Surroundings
 * @property {string} me
 * @property {(id: number) => {name: string, text: string} | null | undefined} quoted null: being looked up
 * @property {(id: string) => User | undefined} person
 * @property {() => User[]} present who may be meant in what one has just written
 */

/** @param {LogRow} row @param {Surroundings} around @returns {HTMLElement} */
export function buildMessage(row, around) {
	const user = /** @type {User} */ (row.from);
	const isMine = user.id === around.me || row.outgoing !== undefined;
	const node = make('article', { class: isMine ? 'message mine' : 'message', tabindex: '-1' },
		make('p', { class: 'day', hidden: '' }, dayWords(row.time)),
		avatar(user),
		make('div', { class: 'bubble' },
			make('p', { class: 'byline' }, make('span', { class: 'author', dir: 'auto' }, nameOf(user)), ' ', timeNode(row.time)),
			make('p', { class: 'text', dir: 'auto' }),
			make('p', { class: 'mark', hidden: '' })));

	updateMessage(row, node, around);
	return node;
}

/** The node as the message is by now; what has the focus keeps it. @param {LogRow} row @param {HTMLElement} node @param {Surroundings} around */
export function updateMessage(row, node, around) {
	const message = row.message ?? {};
	const text = /** @type {HTMLElement} */ (node.querySelector('.text'));
	const focused = node.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement).dataset.emoji : undefined;

	node.classList.toggle('deleted', message.deleted === true);
	node.classList.toggle('signs', !message.deleted && SIGNS.test(row.text));
	node.classList.toggle('for-me', !message.deleted && message.from?.id !== around.me && isNamed(message, around.person(around.me) ?? null));
	if (message.deleted) {
		text.replaceChildren('This was taken back.');
		withoutTools(node);
	} else {
		text.replaceChildren(...withMentions(row, around));
	}
	for (const old of node.querySelectorAll('.quote, .edited'))
		old.remove();
	const replyTo = message.reply_to ?? row.outgoing?.body.reply_to;
	if (replyTo !== undefined && !message.deleted)
		text.before(quote(replyTo, around));
	node.querySelector('.reactions')?.remove();
	const edited = message.edited && !message.deleted ? [make('p', { class: 'edited', title: full.format(new Date(message.edited)) }, 'edited')] : [];
	text.after(...(message.reactions?.length > 0 ? [reactions(message.reactions, around, edited)] : edited));
	if (focused !== undefined)
		/** @type {HTMLElement | undefined} */ ([...node.querySelectorAll('[data-emoji]')].find((one) => /** @type {HTMLElement} */ (one).dataset.emoji === focused))?.focus();
}

/** There is nothing to be done with it any more. @param {HTMLElement} node of a message */
function withoutTools(node) {
	const tools = node.querySelector('.tools');
	const hadFocus = tools?.contains(document.activeElement);

	tools?.remove();
	if (hadFocus)
		node.focus({ preventScroll: true });
}

/** @param {number} id of what is answered @param {Surroundings} around */
function quote(id, around) {
	const found = around.quoted(id);
	const words = found === null ? '…' : found === undefined ? 'Something said earlier' : shortened(found.text, QUOTED);

	return make('button', { class: 'quote', type: 'button', 'data-act': 'jump', 'data-to': String(id), dir: 'auto' },
		make('span', { class: 'unseen' }, 'In answer to '), ...(found ? [make('strong', {}, found.name), ' '] : []), words);
}

/** @param {any[]} all @param {Surroundings} around @param {HTMLElement[]} more behind them */
function reactions(all, around, more) {
	return make('div', { class: 'reactions' }, ...all.map(({ emoji, count, users }) => {
		const isMine = users.includes(around.me);
		const names = users.map((/** @type {string} */ id) => id === around.me ? 'you' : nameOf(around.person(id) ?? { id }));
		const who = names.length < count ? `${names.join(', ')} and ${count - names.length} more` : names.join(', ');

		return make('button', {
			class: 'reaction', type: 'button', 'data-act': 'react', 'data-emoji': emoji, 'aria-pressed': String(isMine), title: who,
			'aria-label': `${emoji} ${count}: ${who}`,
		}, emoji, ' ', make('span', {}, String(count)));
	}), ...more);
}

/** Links, and the names of those who are meant; of what is one's own the server does not say. @param {LogRow} row @param {Surroundings} around */
function withMentions(row, around) {
	const message = row.message ?? {};
	const text = row.text || (message.data === undefined ? '' : JSON.stringify(message.data));
	const me = around.person(around.me) ?? null;
	const meant = message.mentions ?? (row.state !== undefined ? around.present().map(({ id }) => id) : isNamed(message, me) ? [around.me] : []);
	const names = meant.flatMap((/** @type {string} */ id) => {
		const name = around.person(id)?.name;
		return [[`@${id}`, id], ...(name ? [[`@${name}`, id]] : [])];
	}).sort((/** @type {string[]} */ a, /** @type {string[]} */ b) => b[0].length - a[0].length);

	return withLinks(text).flatMap((part) => typeof part === 'string' ? named(part, names, around.me) : [part]);
}

/** @param {string} text @param {string[][]} names the longest first @param {string} me @returns {Array<HTMLElement | string>} */
export function named(text, names, me) {
	const lower = text.toLowerCase();
	const wanted = names.map(([name, id]) => ({ name: name.toLowerCase(), id }));
	/** @type {Array<HTMLElement | string>} */
	const parts = [];
	let done = 0;

	if (lower.length !== text.length)
		return [text];
	for (let at = lower.indexOf('@'); at >= 0; at = lower.indexOf('@', at + 1)) {
		const found = /[\p{L}\p{N}_]/u.test(lower[at - 1] ?? '') ? undefined : wanted.find(({ name }) => lower.startsWith(name, at) && !/^[\p{L}\p{N}_]/u.test(lower.slice(at + name.length, at + name.length + 2)));
		if (found === undefined)
			continue;
		const end = at + found.name.length;
		parts.push(text.slice(done, at), make('span', { class: found.id === me ? 'mention me' : 'mention' }, text.slice(at, end)));
		done = end;
		at = end - 1;
	}
	parts.push(text.slice(done));
	return parts.filter((part) => part !== '');
}
