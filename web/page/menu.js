// SPDX-License-Identifier: ISC
/* Menus and dialogs: made when they are asked for, gone when they are closed. */

import { localTimes, make } from './dom.js';

/** @typedef {{words: string, act: () => void, isBad?: boolean, hint?: string}} Item */

const TOAST_GAP_PX = 10;

/** @type {(() => void) | null} */
let closeOpen = null;

/**
 * A menu at a button; `kind` is a class of its own, and a picker stands above rather than below.
 * @param {HTMLElement} button @param {Item[]} items @param {{header?: HTMLElement, kind?: string}} [more]
 */
export function openMenu(button, items, { header, kind = '' } = {}) {
	closeOpen?.();
	const nodes = items.map(({ words, act, isBad, hint }) => {
		const node = make('button', { role: 'menuitem', type: 'button', tabindex: '-1', class: isBad ? 'bad' : '' }, words,
			...(hint ? [make('kbd', { 'aria-hidden': 'true' }, hint)] : []));
		node.addEventListener('click', () => {
			close();
			act();
		});
		return node;
	});
	const list = make('div', { role: 'menu', 'aria-label': button.getAttribute('aria-label') ?? button.textContent ?? '' }, ...nodes);
	const menu = make('div', { class: `menu ${kind}` }, ...(header === undefined ? [] : [header]), list);
	const stop = new AbortController();

	function close() {
		if (!menu.isConnected)
			return;
		const hadFocus = menu.contains(document.activeElement);
		stop.abort();
		menu.remove();
		button.setAttribute('aria-expanded', 'false');
		closeOpen = null;
		if (hadFocus && button.isConnected)
			button.focus();
	}

	closeOpen = close;
	(document.querySelector('main') ?? document.body).append(menu);
	button.setAttribute('aria-expanded', 'true');
	place(menu, button, kind === 'picker');
	nodes[0]?.focus();
	menu.addEventListener('keydown', (event) => {
		const at = nodes.indexOf(/** @type {HTMLElement} */ (document.activeElement));
		const to = event.key === 'ArrowDown' ? at + 1 : event.key === 'ArrowUp' ? at - 1 : event.key === 'Home' ? 0 : event.key === 'End' ? -1 : undefined;
		if (to !== undefined)
			nodes.at(to % nodes.length)?.focus();
		else if (event.key === 'Escape' || event.key === 'Tab')
			close();
		else
			return;
		event.preventDefault();
		event.stopPropagation();
	});
	document.addEventListener('pointerdown', (event) => {
		if (!menu.contains(/** @type {Node} */ (event.target)))
			close();
	}, { signal: stop.signal, capture: true });
	window.addEventListener('resize', () => button.offsetParent === null ? close() : place(menu, button, kind === 'picker'), { signal: stop.signal });
	return close;
}

/** Below the button, or above where there is more room; inside the window. @param {HTMLElement} node @param {HTMLElement} at @param {boolean} [isAbove] rather above */
export function place(node, at, isAbove = false) {
	const { left, right, top, bottom } = at.getBoundingClientRect();
	const { offsetWidth: width, offsetHeight: height } = node;
	const isRtl = getComputedStyle(at).direction === 'rtl';
	const x = isRtl || left + width > innerWidth - 8 ? right - width : left;
	const fitsAbove = top - height - 4 >= 8;
	const fitsBelow = bottom + height + 8 <= innerHeight;
	const y = (isAbove && fitsAbove) || (!fitsBelow && bottom >= innerHeight - top) ? top - height - 4 : bottom + 4;

	node.style.left = `${Math.max(8, Math.min(x, innerWidth - width - 8))}px`;
	node.style.top = `${Math.max(8, Math.min(y, innerHeight - height - 8))}px`;
}

/**
 * A dialog with a title, gone when it is closed. @param {string} title @param {...(Node | string)} content
 * @returns {HTMLDialogElement}
 */
export function openDialog(title, ...content) {
	const before = /** @type {HTMLElement | null} */ (document.activeElement);
	const x = make('button', { class: 'quiet x', type: 'button', 'aria-label': 'Close' }, '✕');
	const heading = make('h2', { id: 'dialog-title' }, title);
	const dialog = /** @type {HTMLDialogElement} */ (make('dialog', { class: 'dialog', 'aria-labelledby': 'dialog-title' },
		make('header', { class: 'dialog-head' }, heading, x), make('div', { class: 'dialog-body' }, ...content)));

	closeOpen?.();
	document.querySelector('dialog.dialog')?.remove();
	x.addEventListener('click', () => dialog.close());
	dialog.addEventListener('close', () => {
		dialog.remove();
		if (before?.isConnected && (document.activeElement === null || document.activeElement === document.body))
			before.focus();
	});
	let isBeside = false;           // a press; text that is marked may end there, too
	dialog.addEventListener('pointerdown', (event) => (isBeside = event.target === dialog));
	dialog.addEventListener('click', (event) => {
		if (event.target === dialog && isBeside)
			dialog.close();
	});
	document.body.append(dialog);
	dialog.showModal();
	return dialog;
}

/** A question with a form: resolves with what was said, or null. @param {string} title @param {string} ok @param {boolean} isBad @param {...Node} fields
 * @returns {Promise<FormData | null>} */
export function ask(title, ok, isBad, ...fields) {
	return new Promise((resolve) => {
		const cancel = make('button', { class: 'quiet', type: 'button' }, 'Cancel');
		const form = /** @type {HTMLFormElement} */ (make('form', { class: 'ask', autocomplete: 'off' }, ...fields,
			make('p', { class: 'ask-foot' }, cancel, make('button', { class: isBad ? 'primary bad' : 'primary', type: 'submit' }, ok))));
		const dialog = openDialog(title, form);
		/** @type {FormData | null} */
		let said = null;

		cancel.addEventListener('click', () => dialog.close());
		form.addEventListener('submit', (event) => {
			event.preventDefault();
			said = new FormData(form);
			dialog.close();
		});
		dialog.addEventListener('close', () => resolve(said));
		/** @type {HTMLElement | null} */ (form.querySelector('input, select, textarea') ?? form.querySelector('.primary'))?.focus();
	});
}

/** @param {string} words @param {HTMLElement} input */
export function field(words, input) {
	input.id = `field-${input.getAttribute('name')}`;
	return make('p', { class: 'field' }, make('label', { for: input.id }, words), input);
}

/** A few words that pass by. @param {string} words */
export function toast(words) {
	const box = document.getElementById('toasts');
	const form = document.getElementById('composer');
	const node = make('p', { class: 'toast' }, localTimes(words));

	[...box?.children ?? []].find((other) => other.textContent === node.textContent)?.remove();
	if (box !== null)               // over the box to write in, however high that is by now
		box.style.bottom = form?.offsetParent ? `${innerHeight - form.getBoundingClientRect().top + TOAST_GAP_PX}px` : '';
	box?.append(node);
	setTimeout(() => node.remove(), 6000);
}
