// SPDX-License-Identifier: ISC
/* The little that the page needs to build its rows. Text goes in as text, never as markup. */

/**
 * @param {string} tag @param {Record<string, string>} attributes @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function make(tag, attributes = {}, ...children) {
	const node = document.createElement(tag);

	for (const [name, value] of Object.entries(attributes))
		node.setAttribute(name, value);
	node.append(...children);
	return node;
}

/** @param {string} id @returns {any} the element of index.html that has it */
export function byId(id) {
	const node = document.getElementById(id);

	if (node === null)
		throw new Error(`index.html has no #${id}`);
	return node;
}

/** Says it in a live region: again only when it is something else. @param {HTMLElement} node @param {string} words */
export function tell(node, words) {
	if (node.textContent !== words)
		node.textContent = words;
}

/** Is a key part of a composition? Safari has ended that when the Enter comes, and marks it by its code only. @param {KeyboardEvent} event */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;

/** The beginning of a long text, with no character cut in two. @param {string} text @param {number} most */
export function shortened(text, most) {
	return text.length <= most ? text : `${text.slice(0, most).replace(/[\ud800-\udbff]$/, '')}…`;
}

/**
 * The children of a list as they shall be: who stays stays untouched, with its focus and under the pointer.
 * @param {HTMLElement} list @param {HTMLElement[]} nodes
 */
export function arrange(list, nodes) {
	const wanted = new Set(nodes);

	for (const old of [...list.children]) {
		if (!wanted.has(/** @type {HTMLElement} */ (old)))
			old.remove();
	}
	nodes.forEach((node, at) => {
		if (list.children[at] !== node)
			list.insertBefore(node, list.children[at] ?? null);
	});
}

/** A colour for a person: the same everywhere, from the id. @param {string} id */
export function hueOf(id) {
	let hash = 2166136261;

	for (const char of id)
		hash = (Math.imul(hash, 16777619) ^ (char.codePointAt(0) ?? 0)) >>> 0;
	hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b) >>> 0;      // ids that differ in their last letter only
	hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35) >>> 0;
	return ((hash ^ (hash >>> 16)) >>> 0) % 360;
}

/** @param {{id: string, name?: string}} user */
export function nameOf(user) {
	return user.name || user.id;
}

/** A round sign with the first letter of the name. @param {{id: string, name?: string}} user */
export function avatar(user) {
	const first = [...nameOf(user).trim()][0] ?? '?';
	const node = make('span', { class: 'avatar', 'aria-hidden': 'true' }, first.toLocaleUpperCase());

	node.style.setProperty('--hue', String(hueOf(user.id)));
	return node;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const dayOfYear = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

/** @param {number} ms milliseconds since 1970 */
export function timeNode(ms) {
	const date = new Date(ms);

	return make('time', { datetime: date.toISOString(), title: full.format(date) }, clock.format(date));
}

/** @param {number} ms */
export function dayWords(ms) {
	const date = new Date(ms);

	return (date.getFullYear() === new Date().getFullYear() ? day : dayOfYear).format(date);
}

/** @param {number} a @param {number} b both in milliseconds since 1970 */
export function sameDay(a, b) {
	return new Date(a).toDateString() === new Date(b).toDateString();
}

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

/** What the server says, with its times as one's own clock has them. @param {string} words */
export function localTimes(words) {
	return words.replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, (time) => moment.format(new Date(time)));
}
