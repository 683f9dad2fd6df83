// SPDX-License-Identifier: ISC
/* What one may do with a person, and with oneself. */

import { askName, askSentence, showHelp } from './dialogs.js';
import { avatar, byId, make, nameOf } from './dom.js';
import { openDialog, openMenu, toast } from './menu.js';

/** @typedef {import('../belfry.d.ts').User} User */

/** @type {Array<['kick' | 'mute' | 'ban', string, string, boolean]>} call, words, what was done, has an end */
const SENTENCES = [['kick', 'Put out', 'was put out', false], ['mute', 'Mute', 'is muted', true], ['ban', 'Ban', 'is banned', true]];

/**
 * @param {User} user @param {HTMLElement} button
 * @param {{place: import('./places.js').Place | null, chat: import('../belfry.js').Chat | null, mention: (user: User) => void, direct: (user: User) => void}} with_
 */
export function personMenu(user, button, { place, chat, mention, direct }) {
	const name = nameOf(user);
	const isModerator = place?.kind === 'room' && (chat?.role === 'moderator' || chat?.role === 'admin');
	const header = make('div', { class: 'menu-head' }, avatar(user), make('div', {}, make('b', { dir: 'auto' }, name), make('small', {}, user.id)));
	/** @type {import('./menu.js').Item[]} */
	const items = [{ words: 'Mention', act: () => mention(user) }];

	if (chat?.mayDirect !== false)
		items.push({ words: 'Write directly', act: () => direct(user) });
	for (const [call, words, done, hasTime] of isModerator ? SENTENCES : []) {
		items.push({
			words: `${words}…`, isBad: true, act: async () => {
				const sentence = await askSentence(`${words}: ${name}`, words, hasTime);
				if (sentence !== null)
					attempt(() => place?.feed[call](user.id, sentence), `${name} ${done}.`);
			},
		});
	}
	if (isModerator) {
		items.push({ words: 'Unmute', act: () => attempt(() => place?.feed.unmute(user.id), `${name} may write again.`) });
		items.push({ words: 'Lift a ban', act: () => attempt(() => place?.feed.unban(user.id), `${name} may come again.`) });
	}
	openMenu(button, items, { header });
}

/** @param {() => Promise<void>} act @param {string} done */
async function attempt(act, done) {
	try {
		await act();
		toast(done);
	} catch (error) {
		const { code, message } = /** @type {import('../belfry.js').BelfryError} */ (error);
		toast(code === 'not_implemented' ? 'This server cannot do that.' : `The server refused: ${message}`);
	}
}

/** @param {import('./identity.js').Identity} identity @param {{name: () => string, renamed: (name: string) => void, signOut: () => void}} acts */
export function ownMenu(identity, { name, renamed, signOut }) {
	/** @type {import('./menu.js').Item[]} */
	const items = [{ words: 'Keyboard shortcuts', hint: '?', act: showHelp }];
	const canRename = identity.kind === 'guest' || !identity.user?.name;

	if (canRename) {
		items.unshift({
			words: 'Change your name…', act: async () => {
				const wanted = await askName(name());
				if (wanted)
					renamed(wanted);
			},
		});
	}
	if (identity.kind === 'none' && identity.user !== null)
		items.push({ words: 'Sign out…', act: () => openDialog('Sign out', make('p', {}, 'You are signed in by a cookie of this site: sign out where you signed in.'),
			...(identity.loginUrl ? [make('p', {}, make('a', { href: identity.loginUrl }, 'Go there'))] : [])) });
	else
		items.push({ words: 'Sign out', act: signOut });
	openMenu(byId('whoami'), items);
}
