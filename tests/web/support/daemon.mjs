// SPDX-License-Identifier: ISC
/* Starts the built daemon on a port and in a folder of its own. */

import { spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = path.resolve(fileURLToPath(import.meta.url), '../../../..');
const BELFRYD = path.resolve(process.env.BELFRYD ?? path.join(ROOT, 'build/belfryd'));
const READY_MS = 5_000;

/** A port that nobody has now; asked for beforehand so that a restart has the same one. */
export async function freePort() {
	const server = createServer().listen(0, '127.0.0.1');

	await once(server, 'listening');
	const { port } = server.address();
	server.close();
	await once(server, 'close');
	return port;
}

/** A value in libconfig's words: arrays of objects are lists, objects groups. */
function conf(value) {
	if (Array.isArray(value)) {
		const items = value.map(conf).join(', ');
		return value.some((item) => typeof item === 'object') ? `( ${items} )` : `[ ${items} ]`;
	}
	if (typeof value === 'object')
		return `{ ${Object.entries(value).map(([key, one]) => `${key} = ${conf(one)};`).join(' ')} }`;
	return JSON.stringify(value);
}

const EVERYTHING = ['**', 'user/**'];

export class Daemon {
	/** @param settings merged over the basic ones, group by group */
	constructor(settings = {}) {
		this.settings = settings;
		this.secret = randomBytes(32).toString('hex');
		this.log = '';
	}

	get url() {
		return `http://127.0.0.1:${this.port}`;
	}

	async start() {
		this.port ??= await freePort();
		this.folder ??= await mkdtemp(path.join(tmpdir(), 'belfry-web-'));
		await writeFile(path.join(this.folder, 'secret'), this.secret, { mode: 0o600 });
		await writeFile(path.join(this.folder, 'belfryd.conf'), this.text());
		this.process = spawn(BELFRYD, ['-c', path.join(this.folder, 'belfryd.conf')], { stdio: ['ignore', 'ignore', 'pipe'] });
		this.process.stderr.on('data', (text) => (this.log += text));
		this.process.on('error', (error) => (this.log += String(error)));
		this.ended = new Promise((resolve) => this.process.once('exit', (code, signal) => resolve(code ?? signal)));
		await this.ready();
		return this;
	}

	text() {
		const basic = {
			listen: [{ address: '127.0.0.1', port: this.port }],
			workers: 2,
			echo: true,
			web: { root: path.join(ROOT, 'web') },
			auth: { secret_file: 'secret' },
			storage: { backend: 'memory' },
			chat: { leave_grace: '1s' },
			limits: { drain: '2s' },
		};
		const all = { ...basic };

		for (const [key, value] of Object.entries(this.settings))
			all[key] = Array.isArray(value) || typeof value !== 'object' ? value : { ...basic[key], ...value };
		return Object.entries(all).map(([key, value]) => `${key} = ${conf(value)};\n`).join('');
	}

	async ready() {
		const end = Date.now() + READY_MS;

		for (;;) {
			try {
				const answer = await fetch(`${this.url}/readyz`);
				if (answer.ok)
					return;
			} catch {
				// not yet listening
			}
			if (Date.now() > end || this.process.exitCode !== null)
				throw new Error(`the daemon is not ready:\n${this.log}`);
			await new Promise((resolve) => setTimeout(resolve, 20));
		}
	}

	/** @param {NodeJS.Signals} signal @returns the exit status */
	async stop(signal = 'SIGTERM') {
		if (this.process === undefined)
			return undefined;
		this.process.kill(signal);
		const late = setTimeout(() => this.process.kill('SIGKILL'), 10_000);
		const status = await this.ended;
		clearTimeout(late);
		return status;
	}

	/** Ends it, cleanly; a daemon that has died on the way is a failure whatever else the test saw. */
	async end() {
		const died = this.process?.exitCode ?? this.process?.signalCode ?? null;
		const status = await this.stop();

		if (this.folder !== undefined)
			await rm(this.folder, { recursive: true });
		if (died !== null || (status !== 0 && status !== undefined))
			throw new Error(`the daemon ended with ${died ?? status}:\n${this.log}`);
	}

	/** A token of HS256, good for so many seconds. */
	token(sub, name, grants = { subscribe: EVERYTHING, publish: EVERYTHING, direct: ['*'] }, seconds = 3600) {
		const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
		const claims = { sub, name, exp: Math.floor(Date.now() / 1000) + seconds, belfry: grants };
		const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;

		return `${signed}.${createHmac('sha256', this.secret).update(signed).digest('base64url')}`;
	}

	async publish(topic, body) {
		const answer = await fetch(`${this.url}/publish/${topic}`, {
			method: 'POST',
			headers: { Authorization: `Bearer ${this.token('ringer', 'Ringer')}`, 'Content-Type': 'application/json' },
			body: JSON.stringify(body),
		});

		if (!answer.ok)
			throw new Error(`publish: ${answer.status} ${await answer.text()}`);
		return answer.json();
	}
}
