// SPDX-License-Identifier: ISC
/* The server's own figures, as the feed `server/stats` tells them. */

import { byId, make } from './dom.js';

const number = new Intl.NumberFormat();
const decimal = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

/** @param {number} bytes */
function size(bytes) {
	const units = ['B', 'KiB', 'MiB', 'GiB'];
	let unit = 0;

	for (; bytes >= 1024 && unit < units.length - 1; unit++)
		bytes /= 1024;
	return `${decimal.format(bytes)} ${units[unit]}`;
}

/** @type {Array<[string, string, (value: number) => string]>} member, words, form */
const SHOWN = [
	['connections', 'Connections', number.format],
	['rooms', 'Rooms', number.format],
	['messages_per_second', 'Messages/s', decimal.format],
	['memory', 'Memory', size],
];

export class FiguresView {
	constructor() {
		this.panel = byId('figures');
		this.list = byId('figures-list');
		/** @type {Map<string, HTMLElement>} */
		this.values = new Map();
	}

	/** @param {Record<string, number>} data */
	show(data) {
		for (const [member, words, form] of SHOWN) {
			if (typeof data[member] === 'number')
				this.valueOf(member, words).textContent = form(data[member]);
		}
		this.panel.hidden = this.values.size === 0;
	}

	/** @param {string} member @param {string} words */
	valueOf(member, words) {
		let value = this.values.get(member);

		if (value === undefined) {
			value = make('dd', { 'data-figure': member });
			this.values.set(member, value);
			this.list.append(make('div', {}, make('dt', {}, words), value));
		}
		return value;
	}
}
