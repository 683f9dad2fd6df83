// SPDX-License-Identifier: ISC
/*
 * Tabs in bad weather, out of a seed (support/sea/voyage.mjs): each hears everything once and in order, or of a gap, and says everything once.
 * BELFRY_VOYAGES=600 sails for so many seconds from a seed of its own.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const seconds = Number(process.env.BELFRY_VOYAGES ?? 0);

test('whatever happens to the connection, everything comes once', async () => {
	const seed = seconds > 0 ? Date.now() % 1e9 : 1;
	const voyage = fileURLToPath(new URL('support/sea/voyage.mjs', import.meta.url));
	const { code, said } = await new Promise((resolve) => {
		execFile(process.execPath, [voyage, '--seed', String(seed), '--runs', seconds > 0 ? '1000000000' : '60', '--seconds', String(seconds || 600)],
			(error, stdout, stderr) => resolve({ code: error?.code ?? 0, said: stdout + stderr }));
	});

	assert.equal(code, 0, said);
});
