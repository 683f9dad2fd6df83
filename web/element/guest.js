// SPDX-License-Identifier: ISC
/* Somebody without a token, in a page that is not the daemon's: the cookie, else a guest's name. */

import { problemOf } from '../client/common.js';
import { keep, kept } from '../page/storage.js';

const RENEW_BEFORE_S = 60;
const PATIENCE_MS = 15_000;             // a black hole must not hold up the next try

/** @typedef {{user: {id: string, name?: string} | null, guests: boolean, login_url?: string}} Standing */

/** Who we are without a token. @param {URL} base @returns {Promise<Standing>} */
export async function standing(base) {
	const answer = await fetch(new URL('token', base), { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS) });

	if (!answer.ok)
		throw await problemOf(answer);
	return answer.json();
}

/** A guest: the same one after a reload. */
export class Guest {
	/** @param {URL} base @param {string} name left empty: who it was before the reload */
	constructor(base, name) {
		this.base = base;
		this.shelf = `guest:${base.href}`;
		/** @type {{name: string, token: string | null, expires: number}} */
		this.pass = { name, token: null, expires: 0 };
		try {
			const before = JSON.parse(kept(this.shelf) ?? 'null');
			if (before !== null && (name === '' || before.name === name))
				this.pass = before;
		} catch {
			// not ours
		}
	}

	get name() {
		return this.pass.name;
	}

	/** The token function of the client library. @param {import('../belfry.d.ts').TokenContext} context */
	async token({ refused, expiring }) {
		const left = this.pass.expires - Date.now() / 1000;

		if (refused !== undefined || this.pass.token === null)
			await this.ask(null);
		else if (expiring !== undefined || left < RENEW_BEFORE_S)
			await this.ask(this.pass.token);
		return this.pass.token;
	}

	/** @param {string | null} present renews the same guest @returns {Promise<void>} */
	async ask(present) {
		/** @type {Record<string, string>} */
		const headers = { 'Content-Type': 'application/json' };

		if (present !== null)
			headers.Authorization = `Bearer ${present}`;
		const answer = await fetch(new URL('token', this.base), {
			method: 'POST', headers, body: JSON.stringify({ name: this.pass.name }), signal: AbortSignal.timeout(PATIENCE_MS),
		});
		if (answer.status === 401 && present !== null)
			return this.ask(null);
		if (!answer.ok)
			throw await problemOf(answer);
		const { token, expires } = await answer.json();
		this.pass = { name: this.pass.name, token, expires: expires ?? 0 };
		keep(this.shelf, JSON.stringify(this.pass));
	}
}
