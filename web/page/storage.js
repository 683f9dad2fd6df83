// SPDX-License-Identifier: ISC
/* What this tab keeps over a reload, and what outlives it. A browser may forbid either; then it is forgotten. */

/** @returns {Storage | undefined} */
export function tabStorage() {
	try {
		return globalThis.sessionStorage;
	} catch {
		return undefined;
	}
}

/** @returns {Storage | undefined} */
export function longStorage() {
	try {
		return globalThis.localStorage;
	} catch {
		return undefined;
	}
}

/** @param {Storage | undefined} storage @param {string} name @param {string | null} value null: no longer */
function put(storage, name, value) {
	try {
		if (value === null)
			storage?.removeItem(`belfry.${name}`);
		else
			storage?.setItem(`belfry.${name}`, value);
	} catch {
		// full
	}
}

/** @param {string} name @returns {string | null} */
export const kept = (name) => tabStorage()?.getItem(`belfry.${name}`) ?? null;

/** @param {string} name @param {string | null} value */
export const keep = (name, value) => put(tabStorage(), name, value);

/** @param {string} name @returns {string | null} */
export const keptLong = (name) => longStorage()?.getItem(`belfry.${name}`) ?? null;

/** @param {string} name @param {string | null} value */
export const keepLong = (name, value) => put(longStorage(), name, value);

/** @param {string} name @returns {string[]} */
export function keptList(name) {
	try {
		const list = JSON.parse(kept(name) ?? '[]');
		return Array.isArray(list) ? list.filter((one) => typeof one === 'string') : [];
	} catch {
		return [];
	}
}
