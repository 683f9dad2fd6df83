// SPDX-License-Identifier: ISC
/* Names behind an `@`: who is offered while one is written. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isMentionable, matching } from '../../web/page/mentions.js';

const PEOPLE = ['Ben', 'Ada Lovelace', 'Ada', 'Zoë', 'נועה כהן', 'User 10', 'User 9', '<b>', 'Dr. Bell'].map((name, n) => ({ id: `u${n}`, name }));
const names = (typed, people = PEOPLE) => matching(typed, people).map(({ name }) => name);

test('who is begun comes first, by words and in any case', () => {
	assert.deepEqual(names(''), ['Ada', 'Ada Lovelace', 'Ben', 'Dr. Bell', 'User 9', 'User 10', 'Zoë', 'נועה כהן']);
	assert.deepEqual(names('be'), ['Ben', 'Dr. Bell']);
	assert.deepEqual(names('LOVE'), ['Ada Lovelace']);
	assert.deepEqual(names('ada l'), ['Ada Lovelace']);
	assert.deepEqual(names('zoe'), []);
	assert.deepEqual(names('zo'), ['Zoë']);
	assert.deepEqual(names('dr b'), ['Dr. Bell']);
	assert.deepEqual(names('כ'), ['נועה כהן']);
	assert.deepEqual(names('nobody'), []);
});

test('a name that is written out leaves nothing to choose', () => {
	assert.deepEqual(names('ben'), []);
	assert.deepEqual(names('ada'), ['Ada', 'Ada Lovelace']);
	assert.deepEqual(names('ada '), []);
	assert.deepEqual(names('ada lovelace'), []);
});

test('names that the server would not find are not offered', () => {
	for (const name of ['Ada', 'Ada Lovelace', "O'Neil", 'Dr. Bell', 'a b c d', 'נועה', '山田 太郎'])
		assert.ok(isMentionable(name), name);
	for (const name of ['<b>', 'a b c d e', 'Ada (home)', 'J. R.', '', 'é'.repeat(65)])
		assert.ok(!isMentionable(name), name);
});
