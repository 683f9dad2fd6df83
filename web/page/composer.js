// SPDX-License-Identifier: ISC
/* The box at the bottom: Enter sends, Shift+Enter breaks the line, and the others see that you write. */

import { byId } from './dom.js';
import { keep, kept } from './storage.js';

const TYPING_EVERY_MS = 3_000;

export class Composer {
	/**
	 * @param {(text: string) => void} send @param {(isTyping: boolean) => void} typing
	 * @param {{form: any, box: any}} [parts] left out: those of index.html
	 */
	constructor(send, typing, parts = { form: byId('composer'), box: byId('message') }) {
		this.form = parts.form;
		this.box = parts.box;
		this.typing = typing;
		this.saidAt = 0;
		this.room = '';
		this.form.addEventListener('submit', (/** @type {Event} */ event) => {
			event.preventDefault();
			const text = this.box.value.trim();
			if (text !== '')
				send(text);
			this.box.value = '';
			this.saidAt = 0;
			this.keep();
			this.fit();
			this.box.focus();
		});
		this.box.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
			if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
				event.preventDefault();
				this.form.requestSubmit();
			}
		});
		this.box.addEventListener('input', () => {
			this.fit();
			this.tell();
			this.keep();
		});
	}

	/** Another room, with what was begun there. @param {string} room */
	enter(room) {
		this.room = room;
		this.box.value = kept(`draft:${room}`) ?? '';
		this.saidAt = 0;
		this.fit();
	}

	keep() {
		keep(`draft:${this.room}`, this.box.value || null);
	}

	tell() {
		const isWriting = this.box.value.trim() !== '';
		const now = Date.now();

		if (isWriting && now - this.saidAt < TYPING_EVERY_MS)
			return;
		if (!isWriting && this.saidAt === 0)
			return;
		this.saidAt = isWriting ? now : 0;
		this.typing(isWriting);
	}

	/** As high as its text, up to the maximum of the style sheet. */
	fit() {
		this.box.style.height = 'auto';
		this.box.style.height = `${this.box.scrollHeight + 2}px`;
	}

	focus() {
		this.box.focus();
	}
}
