// SPDX-License-Identifier: ISC
/* Chromium spoken to by hand: playwright keeps every tab awake, here they can be put to sleep. */

import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';

const WebSocket = createRequire(import.meta.url)('ws');
const PATIENCE_MS = 60_000;

/** @returns the value of a question asked again until it has one */
export async function until(what, ask) {
	const end = Date.now() + PATIENCE_MS;

	for (;;) {
		const value = await ask();
		if (value)
			return value;
		if (Date.now() > end)
			throw new Error(`waited for ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 50));
	}
}

export class RawBrowser {
	#last = 0;
	#waiting = new Map();

	async start() {
		this.folder = await mkdtemp(path.join(tmpdir(), 'belfry-chromium-'));
		this.process = spawn(process.env.CHROMIUM ?? '/usr/bin/chromium', ['--headless', '--no-sandbox', '--remote-debugging-port=0',
			'--disable-background-networking', '--disable-component-update', '--no-first-run', `--user-data-dir=${this.folder}`, 'about:blank'], { stdio: 'ignore' });
		this.ended = new Promise((resolve) => this.process.once('exit', resolve));
		const [port, file] = await until('Chromium', async () => {
			try {
				const lines = (await readFile(path.join(this.folder, 'DevToolsActivePort'), 'utf8')).split('\n');
				return lines.length === 2 && lines;
			} catch {
				return undefined;
			}
		});
		this.socket = new WebSocket(`ws://127.0.0.1:${port}${file}`);
		this.socket.on('message', (text) => {
			const { id, result, error } = JSON.parse(text);
			this.#waiting.get(id)?.(error ? Promise.reject(new Error(error.message)) : result);
			this.#waiting.delete(id);
		});
		await new Promise((resolve, reject) => this.socket.once('open', resolve).once('error', reject));
		return this;
	}

	send(method, params = {}, sessionId = undefined) {
		return new Promise((resolve) => {
			this.#waiting.set(++this.#last, resolve);
			this.socket.send(JSON.stringify({ id: this.#last, method, params, sessionId }));
		});
	}

	async open(url) {
		const { targetId } = await this.send('Target.createTarget', { url });
		const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });

		return {
			/* undefined, too, while the page is not there yet */
			evaluate: async (expression) => (await this.send('Runtime.evaluate', { expression, returnByValue: true }, sessionId).catch(() => ({}))).result?.value,
			sleep: () => this.send('Page.setWebLifecycleState', { state: 'frozen' }, sessionId),
			wake: () => this.send('Page.setWebLifecycleState', { state: 'active' }, sessionId),
			close: () => this.send('Target.closeTarget', { targetId }),
		};
	}

	async end() {
		this.socket?.close();
		this.process.kill();
		await this.ended;
		await rm(this.folder, { recursive: true, maxRetries: 5 });
	}
}
