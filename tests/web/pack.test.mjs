// SPDX-License-Identifier: ISC
/* What `npm pack` makes of web/: all that it imports and declares, nothing of the page, usable by its name. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { ROOT } from './support/daemon.mjs';

const run = promisify(execFile);

test('the package has what it needs, and can be imported', async () => {
	const folder = await mkdtemp(path.join(tmpdir(), 'belfry-pack-'));

	try {
		const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: path.join(ROOT, 'web') });
		const [{ filename, files }] = JSON.parse(stdout.slice(stdout.indexOf('[')));
		const packed = new Set(files.map((file) => file.path));

		for (const want of ['package.json', 'README.md', 'belfry.js', 'belfry.d.ts', 'belfry-chat.js', 'belfry-chat.d.ts'])
			assert.ok(packed.has(want), `${want} is missing`);
		for (const file of packed) {
			assert.ok(!/html|css|svg|^app\.js/.test(file), `${file} belongs to the page`);
			if (!/\.(js|d\.ts)$/.test(file))
				continue;
			const text = await readFile(path.join(ROOT, 'web', file), 'utf8');
			for (const [, other] of text.matchAll(/(?:from |import\()'(\.[^']+)'/g))
				assert.ok(packed.has(path.join(path.dirname(file), other)), `${file} imports ${other}, which is missing`);
		}
		await run('tar', ['-xzf', path.join(folder, filename), '-C', folder]);
		await mkdir(path.join(folder, 'node_modules'));
		await rename(path.join(folder, 'package'), path.join(folder, 'node_modules/belfry'));
		const script = "import { Chat, Events } from 'belfry'; console.log(new Chat('http://x').state, typeof Events, import.meta.resolve('belfry/belfry-chat.js'))";
		const { stdout: said } = await run('node', ['--input-type=module', '-e', script], { cwd: folder });
		assert.match(said, /^closed function file:.*belfry-chat\.js\n$/);
	} finally {
		await rm(folder, { recursive: true });
	}
});
