// SPDX-License-Identifier: ISC
/* Addresses in what people write become links; only http and https, and never by way of markup. */

import { make } from './dom.js';

const ADDRESS = /\bhttps?:\/\/[^\s<>"\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]+/giu;
const PAIRS = [['(', ')'], ['[', ']'], ['{', '}']];

/** @param {string} href @returns {string | null} as a browser may follow it */
export function safeAddress(href) {
	try {
		const url = new URL(href);
		return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
	} catch {
		return null;
	}
}

/** @param {string} text @param {string} href @returns {HTMLElement | string} the text alone when there is no going there */
export function link(text, href) {
	const address = safeAddress(href);

	return address === null ? text : make('a', { href: address, rel: 'noopener noreferrer', target: '_blank' }, text);
}

/** @param {string} text @returns {Array<HTMLElement | string>} */
export function withLinks(text) {
	/** @type {Array<HTMLElement | string>} */
	const parts = [];
	let at = 0;

	for (const match of text.matchAll(ADDRESS)) {
		const address = withoutTail(match[0]);
		parts.push(text.slice(at, match.index), link(address, address));
		at = match.index + address.length;
	}
	parts.push(text.slice(at));
	return parts.filter((part) => part !== '');
}

/** The sentence's own punctuation is none of the address's. @param {string} address */
function withoutTail(address) {
	/** @type {Map<string, number>} how many of each there are: somebody may end an address with thousands */
	const counts = new Map();
	let end = address.length;

	for (const sign of address)
		counts.set(sign, (counts.get(sign) ?? 0) + 1);
	for (; end > 0; end--) {
		const last = address[end - 1];
		const pair = PAIRS.find(([, close]) => close === last);
		const isLoose = pair === undefined ? /[.,;:!?'*_~»”’]/.test(last) : (counts.get(pair[0]) ?? 0) < (counts.get(last) ?? 0);
		if (!isLoose)
			break;
		counts.set(last, (counts.get(last) ?? 0) - 1);
	}
	return address.slice(0, end);
}
