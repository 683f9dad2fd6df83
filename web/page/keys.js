// SPDX-License-Identifier: ISC
/* Keyboard shortcuts of the whole page; those of a message are with its tools. */

/** Is somebody writing? @param {EventTarget | null} target */
const isBox = (target) => target instanceof HTMLElement && target.matches('input, textarea, select');

/** @param {Record<'help' | 'search' | 'rooms' | 'write' | 'escape' | 'up' | 'down', () => void>} acts */
export function listenToKeys(acts) {
	document.addEventListener('keydown', (event) => {
		const act = actOf(event);

		if (act === undefined || event.defaultPrevented || event.isComposing || document.querySelector('dialog[open]') !== null)
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
	if (isBox(target))
		return undefined;
	return key === '?' ? 'help' : key === '/' ? 'write' : undefined;
}
