// SPDX-License-Identifier: ISC
/* Keyboard shortcuts of the whole page; those of a message are with its tools. */

import { isComposing } from './dom.js';
import { keepLong, keptLong } from './storage.js';

/** Who speaks to the computer, or hits keys by mistake, may turn them off (WCAG 2.1.4). */
export const hasSingleKeys = () => keptLong('keys') !== 'off';

/** @param {boolean} isOn */
export const setSingleKeys = (isOn) => keepLong('keys', isOn ? null : 'off');

/** Is somebody writing? @param {EventTarget | null} target */
const isBox = (target) => target instanceof HTMLElement && target.matches('input, textarea, select');

/** @param {Record<'help' | 'search' | 'rooms' | 'write' | 'escape' | 'up' | 'down', () => void>} acts */
export function listenToKeys(acts) {
	document.addEventListener('keydown', (event) => {
		const act = actOf(event);

		if (act === undefined || event.defaultPrevented || isComposing(event) || document.querySelector('dialog[open]') !== null)
			return;
		if (act !== 'escape')
			event.preventDefault();
		acts[act]();
	});
}

/** @param {KeyboardEvent} event @returns {'help' | 'search' | 'rooms' | 'write' | 'escape' | 'up' | 'down' | undefined} */
function actOf({ key, ctrlKey, metaKey, altKey, shiftKey, target }) {
	const isCommand = ctrlKey || metaKey;

	if (isCommand && !altKey)
		return key.toLowerCase() === 'k' && !shiftKey ? 'rooms' : key.toLowerCase() === 'f' && shiftKey ? 'search' : undefined;
	if (altKey)
		return key === 'ArrowUp' ? 'up' : key === 'ArrowDown' ? 'down' : undefined;
	if (key === 'Escape')
		return 'escape';
	if (isBox(target) || !hasSingleKeys())
		return undefined;
	return key === '?' ? 'help' : key === '/' ? 'write' : undefined;
}
