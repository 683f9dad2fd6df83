// SPDX-License-Identifier: ISC
/*
 * The box at the bottom: Enter sends, Shift+Enter breaks the line, and the others see that you write. It
 * may also answer a message, or be another wording of one.
 */

import { Drafts } from '../client/drafts.js';
import { byId, isComposing } from './dom.js';
import { longStorage } from './storage.js';

const TYPING_EVERY_MS = 3_000;

/** @typedef {{kind: 'reply' | 'edit', id: number, name: string, text: string}} About */

export class Composer {
	/**
	 * @param {(text: string, about: About | null) => unknown} send false: it stays in the box @param {(isTyping: boolean) => void} typing
	 * @param {{form: any, box: any, about?: any}} [parts] left out: those of index.html
	 */
	constructor(send, typing, parts = { form: byId('composer'), box: byId('message'), about: byId('about') }) {
		this.form = parts.form;
		this.box = parts.box;
		this.banner = parts.about;
		this.typing = typing;
		this.saidAt = 0;
		this.room = '';
		this.drafts = new Drafts(longStorage(), '');
		/** @type {About | null} */
		this.about = null;
		/** @type {() => void} ArrowUp in an empty box */
		this.onup = () => {};
		/** @type {(event: KeyboardEvent) => boolean} a list over the box has taken it */
		this.onkey = () => false;
		this.form.addEventListener('submit', (/** @type {Event} */ event) => {
			event.preventDefault();
			const text = this.box.value.trim();
			const { about } = this;
			if (text !== '' && send(text, about) === false)
				return;
			this.setAbout(null);
			if (about?.kind === 'edit' && this.saidAt !== 0)
				this.typing(false);     // no message follows that would say so
			if (about?.kind === 'edit')
				this.box.value = this.drafts.get(this.room);
			else
				this.set('');
			this.saidAt = 0;
			this.fit();
			this.box.focus();
		});
		this.box.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => this.key(event));
		this.box.addEventListener('input', () => {
			this.fit();
			this.tell();
			this.keep();
		});
		this.banner?.querySelector('button').addEventListener('click', () => this.cancel());
	}

	/** The window may have another width. @param {AbortSignal} [signal] until then; left out: as long as the page is there */
	watch(signal) {
		window.addEventListener('resize', () => this.fit(), { signal });
	}

	/** @param {KeyboardEvent} event */
	key(event) {
		if (isComposing(event) || this.onkey(event))
			return;
		if (event.key === 'Enter' && !event.shiftKey) {
			event.preventDefault();
			this.form.requestSubmit();
		} else if (event.key === 'Escape' && this.about !== null) {
			event.stopPropagation();
			this.cancel();
		} else if (event.key === 'ArrowUp' && !event.altKey && !event.ctrlKey && this.box.value === '' && this.about === null) {
			event.preventDefault();
			this.onup();
		}
	}

	/** Whose drafts they are. @param {string} owner */
	ownedBy(owner) {
		this.drafts = new Drafts(longStorage(), owner);
	}

	/** Another room, with what was begun there. @param {string} room */
	enter(room) {
		this.setAbout(null);
		this.room = room;
		this.box.value = this.drafts.get(room);
		this.saidAt = 0;
		this.fit();
	}

	/** @param {About} about */
	begin(about) {
		if (about.kind === 'edit')
			this.box.value = about.text;
		this.setAbout(about);
		this.fit();
		this.box.focus();
		if (about.kind === 'edit')
			this.box.setSelectionRange(about.text.length, about.text.length);
	}

	cancel() {
		if (this.about?.kind === 'edit')
			this.box.value = this.drafts.get(this.room);
		this.setAbout(null);
		this.tell();
		this.fit();
		this.box.focus();
	}

	/** @param {About | null} about */
	setAbout(about) {
		this.about = about;
		if (this.banner === undefined)
			return;
		this.banner.hidden = about === null;
		if (about === null)
			return;
		this.banner.querySelector('strong').textContent = about.kind === 'edit' ? 'Another wording' : `Answer to ${about.name}`;
		this.banner.querySelector('span').textContent = about.text;
	}

	/** Puts words in where the cursor is. @param {string} words */
	insert(words) {
		const { selectionStart, selectionEnd, value } = this.box;
		const space = selectionStart > 0 && !/\s$/.test(value.slice(0, selectionStart)) ? ' ' : '';

		this.box.setRangeText(`${space}${words} `, selectionStart, selectionEnd, 'end');
		this.box.focus();
		this.fit();
		this.keep();
	}

	/** @param {string} text */
	set(text) {
		this.box.value = text;
		this.keep();
	}

	keep() {
		if (this.about?.kind !== 'edit')
			this.drafts.set(this.room, this.box.value);
	}

	tell() {
		const isWriting = this.box.value.trim() !== '';
		const now = Date.now();

		if (isWriting && Math.abs(now - this.saidAt) < TYPING_EVERY_MS)
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
