// SPDX-License-Identifier: ISC
/* What this tab keeps over a reload. A browser may forbid it; then it is forgotten. */

/** @returns {Storage | undefined} */
export function tabStorage() {
	try {
		return globalThis.sessionStorage;
	} catch {
		return undefined;
	}
}

/** @param {string} name @returns {string | null} */
export function kept(name) {
	return tabStorage()?.getItem(`belfry.${name}`) ?? null;
}

/** @param {string} name @param {string | null} value null: no longer */
export function keep(name, value) {
	try {
		if (value === null)
			tabStorage()?.removeItem(`belfry.${name}`);
		else
			tabStorage()?.setItem(`belfry.${name}`, value);
	} catch {
		// full
	}
}
