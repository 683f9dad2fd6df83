// SPDX-License-Identifier: ISC
/* What stands beside the conversation where there is room, and over it where there is none. */

import { byId } from './dom.js';

export class Panels {
	constructor() {
		this.unseen = 0;
		for (const id of ['places', 'panels'])
			byId(`${id}-toggle`).addEventListener('click', () => this.isShown(id) ? this.close() : this.open(id));
		for (const type of ['pointerdown', 'focusin'])          // beside it; nobody shall write behind it
			byId('talk').addEventListener(type, () => this.close());
	}

	/** @param {string} id */
	isShown(id) {
		return byId(id).classList.contains('shown');
	}

	/** @param {string} id `places` or `panels` */
	open(id) {
		this.close();
		byId(id).classList.add('shown');
		byId(`${id}-toggle`).setAttribute('aria-expanded', 'true');
		if (id === 'panels') {
			this.unseen = 0;
			byId('panels-badge').hidden = true;
		}
		byId(id).focus({ preventScroll: true });        // Tab goes on in it
	}

	/** @returns {boolean} something was open */
	close() {
		const open = ['places', 'panels'].filter((id) => this.isShown(id));

		for (const id of open) {
			if (byId(id).contains(document.activeElement))
				byId(`${id}-toggle`).focus();
			byId(id).classList.remove('shown');
			byId(`${id}-toggle`).setAttribute('aria-expanded', 'false');
		}
		return open.some((id) => byId(`${id}-toggle`).offsetParent !== null);
	}

	/** A notification has come that nobody may have seen. */
	count() {
		if (this.isShown('panels'))
			return;
		this.unseen++;
		byId('panels-badge').textContent = this.unseen > 99 ? '99+' : String(this.unseen);
		byId('panels-badge').hidden = false;
	}
}
