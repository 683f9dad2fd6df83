// SPDX-License-Identifier: ISC
/* The few signs on buttons: lines in the colour of the text. What they mean is said in words beside them. */

const NS = 'http://www.w3.org/2000/svg';

/** @type {Record<string, string>} */
const LINES = {
	search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16.2 16.2 20.5 20.5',
	invite: 'M10 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM3 20c.6-3.6 3.4-5.5 7-5.5 1.3 0 2.5.2 3.5.7M18 14v6M15 17h6',
	leave: 'M12.5 4.5H6A1.5 1.5 0 0 0 4.5 6v12A1.5 1.5 0 0 0 6 19.5h6.5M10 12h10M16.5 8.5 20 12l-3.5 3.5',
	close: 'M6.5 6.5l11 11M17.5 6.5l-11 11',
	menu: 'M4 7h16M4 12h16M4 17h16',
	react: 'M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM8.3 14c.8 1.4 2.1 2.1 3.7 2.1s2.9-.7 3.7-2.1M9 9.5v.4M15 9.5v.4',
	reply: 'M9.5 6.5 4.5 11.5l5 5M5 11.5h9a5.5 5.5 0 0 1 5.5 5.5v1.5',
	more: 'M5.5 12h.01M12 12h.01M18.5 12h.01',
};
const TURNED = new Set(['leave', 'reply']);     // where one reads from right to left

/** @param {string} name of LINES */
export function icon(name) {
	const node = document.createElementNS(NS, 'svg');
	const path = document.createElementNS(NS, 'path');

	node.setAttribute('class', `icon ${name === 'more' ? 'dots' : TURNED.has(name) ? 'turned' : ''}`);
	node.setAttribute('viewBox', '0 0 24 24');
	node.setAttribute('aria-hidden', 'true');
	node.setAttribute('focusable', 'false');
	path.setAttribute('d', LINES[name] ?? '');
	node.append(path);
	return node;
}

/** Puts them where index.html wants them. */
export function showIcons() {
	for (const node of document.querySelectorAll('[data-icon]'))
		node.prepend(icon(/** @type {HTMLElement} */ (node).dataset.icon ?? ''));
}
