// SPDX-License-Identifier: ISC
/*
 * Who is at the keyboard: the token of the address, else the cookie, else a guest's token. A token
 * is kept for this tab only, so that a reload stays the same person and a second tab may be another.
 */

import { keep, keepLong, kept, keptLong } from './storage.js';

const STORED = 'token';
const LAST_NAME = 'name';
const RENEW_BEFORE_S = 60;
const PATIENCE_MS = 15_000;             // a black hole must not hold up the next try

export class Identity {
	constructor() {
		/** @type {{id: string, name?: string} | null} */
		this.user = null;
		this.guests = false;
		this.loginUrl = '';
		/** @type {string} why the token that was there is no good, in words */
		this.problem = '';
		/** @type {'given' | 'guest' | 'none'} */
		this.kind = 'none';
		/** @type {string | null} */
		this.secret = null;
		this.expires = 0;
	}

	/** What the server says of us. Takes `#token=…` out of the address before anything else. */
	async load() {
		this.take();
		let answer = await this.ask();

		if (answer.status === 401 && this.secret !== null) {
			if (this.kind === 'given')
				this.problem = await words(answer);
			this.forget();
			answer = await this.ask();
		}
		if (!answer.ok) {
			this.problem ||= await words(answer);
			return;
		}
		const { user, expires, guests, login_url: loginUrl } = await answer.json();
		this.user = user ?? null;
		this.expires = expires ?? 0;
		this.guests = guests === true;
		this.loginUrl = loginUrl ?? '';
	}

	/** Does somebody have to say a name before joining? */
	get needsName() {
		return this.user === null ? this.guests : !this.user.name;
	}

	get lastName() {
		return keptLong(LAST_NAME) ?? '';
	}

	/** A name by which drafts are found again: of a guest, who is somebody else each time, what he is called. */
	get owner() {
		return this.kind === 'guest' || this.user === null ? `guest ${this.user?.name ?? this.lastName}` : this.user.id;
	}

	/** Another name for the same guest. @param {string} name */
	async rename(name) {
		keepLong(LAST_NAME, name);
		await this.guestToken(name, this.secret);
	}

	/** @param {string} name */
	async becomeGuest(name) {
		keepLong(LAST_NAME, name);
		await this.guestToken(name, null);
	}

	/**
	 * The token function of the client library.
	 * @param {import('../belfry.d.ts').TokenContext} context
	 */
	async token({ refused, expiring }) {
		if (this.kind !== 'guest')
			return this.secret;
		const left = this.expires - Date.now() / 1000;

		if (refused !== undefined)      // a restarted server has a new key: be a guest anew
			await this.guestToken(this.user?.name ?? this.lastName, null);
		else if (expiring !== undefined || left < RENEW_BEFORE_S)
			await this.guestToken(this.user?.name ?? this.lastName, this.secret);
		return this.secret;
	}

	take() {
		const fragment = new URLSearchParams(location.hash.slice(1));
		const given = fragment.get('token');

		if (given !== null) {
			fragment.delete('token');
			const rest = fragment.toString();
			history.replaceState(null, '', location.pathname + location.search + (rest ? `#${rest}` : ''));
			return this.keep('given', given);
		}
		try {
			const { kind, secret } = JSON.parse(kept(STORED) ?? '{}');
			if (kind && secret)
				this.keep(kind, secret);
		} catch {
			this.forget();
		}
	}

	/** @param {'given' | 'guest'} kind @param {string} secret */
	keep(kind, secret) {
		this.kind = kind;
		this.secret = secret;
		keep(STORED, JSON.stringify({ kind, secret }));
	}

	forget() {
		this.kind = 'none';
		this.secret = null;
		keep(STORED, null);
	}

	ask() {
		return reach({ headers: bearer(this.secret), cache: 'no-store' });
	}

	/** @param {string} name @param {string | null} present renews the same guest @returns {Promise<void>} */
	async guestToken(name, present) {
		const answer = await reach({
			method: 'POST',
			headers: { ...bearer(present), 'Content-Type': 'application/json' },
			body: JSON.stringify({ name }),
		});

		if (answer.status === 401 && present !== null)
			return this.guestToken(name, null);
		if (!answer.ok)
			throw new Error(await words(answer));
		const { token, user, expires } = await answer.json();
		this.keep('guest', token);
		this.user = user;
		this.expires = expires ?? 0;
	}
}

/** @param {RequestInit} request */
async function reach(request) {
	try {
		return await fetch('token', { ...request, signal: AbortSignal.timeout(PATIENCE_MS) });
	} catch (cause) {
		throw new Error('The server cannot be reached.', { cause });
	}
}

/** @param {string | null} token @returns {Record<string, string>} */
function bearer(token) {
	return token === null ? {} : { Authorization: `Bearer ${token}` };
}

/** @param {Response} answer */
async function words(answer) {
	try {
		const problem = await answer.json();
		return problem.detail ?? problem.title ?? `The server answered ${answer.status}.`;
	} catch {
		return `The server answered ${answer.status}.`;
	}
}
