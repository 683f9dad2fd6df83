// SPDX-License-Identifier: ISC
/* What the page makes of the words of others, however they are meant; against a document of a few lines. */

import assert from 'node:assert/strict';
import { before, test } from 'node:test';

before(() => {
	globalThis.document = {
		createElement: (tag) => ({
			tag, parts: [], attributes: {},
			setAttribute(name, value) {
				this.attributes[name] = value;
			},
			append(...parts) {
				this.parts.push(...parts);
			},
		}),
	};
});

const plain = (parts) => parts.map((part) => typeof part === 'string' ? part : part.parts.join('')).join('');
const marked = (parts) => parts.filter((part) => typeof part !== 'string').map((part) => part.parts.join(''));

test('an address ends before the marks of its sentence', async () => {
	const { withLinks } = await import('../../web/page/links.js');

	for (const [text, want] of [
		['see https://a.example/b_(c).', ['https://a.example/b_(c)']], ['(https://a.example/(x))', ['https://a.example/(x)']],
		['https://a.example/x)))...', ['https://a.example/x']], ['https://a.example/[1]]', ['https://a.example/[1]']],
	])
		assert.deepEqual(marked(withLinks(text)), want);
});

test('an address with a long tail holds nobody up', async () => {
	const { withLinks } = await import('../../web/page/links.js');
	const text = `http://a.example/${')'.repeat(60_000)}`;
	const begun = process.cpuUsage().user;

	assert.deepEqual(marked(withLinks(text)), ['http://a.example/']);
	assert.ok(process.cpuUsage(undefined).user - begun < 3_000_000);
});

test('names are marked, the longest that fits; and however many there are', async () => {
	const { named } = await import('../../web/page/message.js');
	const names = [['@ada lovelace', 'u2'], ['@ada', 'u1']];
	const many = '@ada '.repeat(13_000);

	assert.deepEqual(named('hi @Ada, @ada lovelace and @adam; a@ada', names, 'u1').map((part) => part.parts?.[0] ?? part),
		['hi ', '@Ada', ', ', '@ada lovelace', ' and @adam; a@ada']);
	assert.equal(plain(named(many, names, 'u1')), many);
	assert.equal(marked(named(many, names, 'u1')).length, 13_000);
});

test('a text is never cut in the middle of a character', async () => {
	const { shortened } = await import('../../web/page/dom.js');

	assert.equal(shortened('ab🔔cd', 3), 'ab…');
	assert.equal(shortened('ab🔔cd', 4), 'ab🔔…');
	assert.equal(shortened('ab', 3), 'ab');
});
