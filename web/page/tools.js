// SPDX-License-Identifier: ISC
/*
 * What one may do with a message: a few buttons that stand in the row under the pointer or the focus, one
 * set for all rows. Arrow keys go through the messages, letters act.
 */

import { make, nameOf } from './dom.js';
import { icon } from './icons.js';
import { openMenu } from './menu.js';

/** @typedef {import('./log.js').LogRow} LogRow */
/** @typedef {'reply' | 'react' | 'edit' | 'remove' | 'copy'} Deed */

export const EMOJI = ['👍', '❤️', '😂', '🎉', '🔔', '👀', '🙏', '✅', '❌', '🤔', '😢', '🚀'];
const IN_A_ROW = 6;
const DEEDS = [['react', 'React'], ['reply', 'Reply'], ['more', 'More']];
const BESIDE_PX = 6;                    // between a message and its tools

export class Tools {
	/**
	 * @param {import('./log.js').LogView} log
	 * @param {(deed: Deed, row: LogRow, more?: any) => void} act
	 * @param {(deed: Deed, row: LogRow) => boolean} may
	 */
	constructor(log, act, may) {
		this.log = log;
		this.act = act;
		this.may = may;
		this.box = log.rows.box;
		/** @type {LogRow | undefined} */
		this.row = undefined;
		this.bar = make('div', { class: 'tools', role: 'group', 'aria-live': 'off', 'aria-label': 'What to do with it' }, ...DEEDS.map(([deed, words]) =>
			make('button', { type: 'button', 'data-deed': deed, 'aria-label': words, title: words, ...(deed === 'reply' ? {} : { 'aria-haspopup': 'true' }) }, icon(deed))));
		this.bar.addEventListener('click', (event) => {
			const button = /** @type {HTMLElement} */ (event.target).closest('button');
			if (button !== null && this.row !== undefined)
				this.pressed(button.dataset.deed ?? '', button);
		});
		window.addEventListener('resize', () => this.settle());
		log.onsettled = (row) => {      // the pointer may rest on it, and does not come over it again
			if (row.node?.matches(':hover, :focus-within'))
				this.show(row);
		};
		for (const type of ['pointerover', 'focusin', 'click'])
			this.box.addEventListener(type, (event) => this.over(/** @type {Event} */ (event)));
		this.box.addEventListener('pointerleave', ({ pointerType }) => {        // a finger leaves before its click comes
			if (pointerType !== 'touch' && !this.bar.contains(document.activeElement) && this.bar.querySelector('[aria-expanded="true"]') === null)
				this.bar.remove();
		});
		this.box.addEventListener('click', (event) => this.clicked(/** @type {HTMLElement} */ (event.target)));
		this.box.addEventListener('keydown', (event) => this.key(event));
	}

	/** @param {Element | null} node @returns {LogRow | undefined} */
	rowOf(node) {
		const article = node?.closest('.message');

		return article === null ? undefined : this.log.rows.all.findLast((row) => row.node === article);
	}

	/** @param {LogRow | undefined} row */
	isOpen(row) {
		return row?.message?.id !== undefined && !row.message.deleted && row.node !== undefined;
	}

	/** @param {Event} event */
	over(event) {
		const row = this.rowOf(/** @type {Element} */ (event.target));

		if (row === undefined && event.type === 'click')
			this.bar.remove();
		this.show(row);
	}

	/** @param {LogRow | undefined} row */
	show(row) {
		if (row === undefined || !this.isOpen(row))
			return;
		this.row = row;
		this.move(row);
	}

	/** To a row. @param {LogRow} row */
	move(row) {
		if (this.bar.closest('.message') !== row.node)
			row.node?.querySelector('.bubble')?.append(this.bar);
		for (const deed of /** @type {Deed[]} */ (['react', 'reply']))
			/** @type {HTMLElement} */ (this.bar.querySelector(`[data-deed="${deed}"]`)).hidden = !this.may(deed, row);
		this.settle();
	}

	/** Beside the words of its row where there is room, else over their upper edge. */
	settle() {
		const message = /** @type {HTMLElement | null} */ (this.bar.closest('.message'));
		const bubble = /** @type {HTMLElement | null} */ (this.bar.closest('.bubble'));
		const text = /** @type {HTMLElement | null | undefined} */ (bubble?.querySelector('.text'));

		if (message === null || bubble === null || !text)
			return;
		const { offsetWidth: width, offsetHeight: height } = this.bar;
		const isBefore = message.classList.contains('mine') !== (getComputedStyle(message).direction === 'rtl');
		const [left, right] = [text.offsetLeft, text.offsetLeft + text.offsetWidth];
		const room = isBefore ? bubble.offsetLeft + left : message.clientWidth - bubble.offsetLeft - right;
		const isBeside = room >= width + BESIDE_PX;
		const x = isBeside ? [right + BESIDE_PX, left - width - BESIDE_PX] : [right - width, left];

		this.bar.style.left = `${x[Number(isBefore)]}px`;
		this.bar.style.top = `${text.offsetTop + (isBeside ? (Math.min(text.offsetHeight, 40) - height) / 2 : BESIDE_PX - height)}px`;
	}

	/** @param {HTMLElement} target */
	clicked(target) {
		const button = /** @type {HTMLElement | null} */ (target.closest('[data-act]'));
		const row = this.rowOf(target);

		if (button?.dataset.act === 'jump')
			this.log.goTo(Number(button.dataset.to));
		else if (button?.dataset.act === 'react' && row !== undefined && this.may('react', row))
			this.act('react', row, { emoji: button.dataset.emoji, on: button.getAttribute('aria-pressed') !== 'true' });
	}

	/** @param {string} deed @param {HTMLElement} button */
	pressed(deed, button) {
		const row = /** @type {LogRow} */ (this.row);

		if (deed === 'react')
			this.pick(row, button);
		else if (deed === 'reply')
			this.act('reply', row);
		else
			this.more(row, button);
	}

	/** @param {LogRow} row @param {HTMLElement} button */
	more(row, button) {
		/** @type {Array<[Deed, string, string]>} */
		const deeds = [['reply', 'Reply', 'R'], ['copy', 'Copy the text', 'C'], ['edit', 'Edit', 'E'], ['remove', 'Delete', 'Del']];

		openMenu(button, deeds.filter(([deed]) => this.may(deed, row)).map(([deed, words, hint]) => ({
			words, hint, isBad: deed === 'remove', act: () => this.act(deed, row),
		})));
	}

	/** The picker of reactions: arrow keys, or a pointer. @param {LogRow} row @param {HTMLElement} button */
	pick(row, button) {
		const close = openMenu(button, EMOJI.map((emoji) => ({
			words: emoji, act: () => this.act('react', row, { emoji, on: true }),
		})), { kind: 'picker' });
		const menu = /** @type {HTMLElement} */ (document.querySelector('.menu'));

		menu.addEventListener('keydown', (event) => {
			const all = [...menu.querySelectorAll('button')];
			const at = all.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
			const isRtl = getComputedStyle(menu).direction === 'rtl';
			const step = { ArrowRight: isRtl ? -1 : 1, ArrowLeft: isRtl ? 1 : -1, ArrowDown: IN_A_ROW, ArrowUp: -IN_A_ROW }[event.key];
			if (step === undefined)
				return;
			all.at((at + step + all.length) % all.length)?.focus();
			event.preventDefault();
			event.stopPropagation();
		}, { capture: true });
		return close;
	}

	/** @param {KeyboardEvent} event */
	key(event) {
		const target = /** @type {HTMLElement} */ (event.target);
		const row = this.rowOf(target);

		const isBar = this.bar.contains(target);

		if ((target !== this.box && !target.matches('.message') && !isBar) || event.ctrlKey || event.altKey || event.metaKey)
			return;
		if (event.key === 'ArrowUp' || event.key === 'ArrowDown')
			this.step(row, event.key === 'ArrowUp' ? -1 : 1);
		else if (isBar || row === undefined || !this.isOpen(row) || !this.letter(event.key, row))
			return;
		event.preventDefault();
	}

	/** @param {string} key @param {LogRow} row */
	letter(key, row) {
		const deed = /** @type {Deed | undefined} */ ({ r: 'reply', e: 'edit', c: 'copy', Delete: 'remove', '+': 'react' }[key.length === 1 ? key.toLowerCase() : key]);
		const button = /** @type {HTMLElement} */ (this.bar.querySelector(`[data-deed="${deed === 'react' ? 'react' : 'more'}"]`));

		if (key !== 'Enter' && (deed === undefined || !this.may(deed, row)))
			return false;
		this.row = row;
		this.move(row);
		if (key === 'Enter')
			this.more(row, button);
		else if (deed === 'react')
			this.pick(row, button);
		else if (deed !== undefined)
			this.act(deed, row);
		return true;
	}

	/** To the next message that is in the document; from the log itself to the newest. @param {LogRow | undefined} row @param {number} step */
	step(row, step) {
		const all = this.log.rows.all.filter((one) => one.kind === 'message' && one.node !== undefined);
		const next = row === undefined ? all.at(-1) : all[all.indexOf(row) + step];

		if (next?.node === undefined)
			return;
		next.node.setAttribute('aria-label', `${nameOf(next.from ?? { id: '' })}: ${next.message?.deleted ? 'taken back' : next.text}`);
		next.node.addEventListener('blur', ({ target }) => /** @type {HTMLElement} */ (target).removeAttribute('aria-label'), { once: true });
		next.node.focus({ preventScroll: true });
		next.node.scrollIntoView({ block: 'nearest' });
	}
}
