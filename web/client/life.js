// SPDX-License-Identifier: ISC
/* Is the line alive? Browsers hide the server's pings, so one asks when it has been quiet for long. */

const PONG_TIMEOUT_MS = 10_000;

export class Life {
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	#timer = undefined;
	#heardAt = 0;
	#quietMs = 30_000;
	/** @type {object} another one for each connection */
	#turn = {};

	/** @param {() => Promise<unknown>} ping @param {() => void} dead @param {number} [patienceMs] for the answer */
	constructor(ping, dead, patienceMs = PONG_TIMEOUT_MS) {
		this.ping = ping;
		this.dead = dead;
		this.patienceMs = patienceMs;
	}

	/** A connection is open. @param {number} quietMs of silence make one ask */
	start(quietMs) {
		this.stop();
		this.#quietMs = quietMs;
		this.#watch();
	}

	stop() {
		clearTimeout(this.#timer);
		this.#turn = {};
	}

	heard() {
		this.#heardAt = Date.now();
	}

	#watch() {
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => {
			const quiet = Date.now() - this.#heardAt;
			if (quiet >= 0 && quiet < this.#quietMs)        // less than nothing: the clock was set back
				this.#watch();
			else
				this.ask();
		}, this.#quietMs);
	}

	/** Find out now. */
	async ask() {
		const turn = this.#turn;
		const late = setTimeout(() => turn === this.#turn && this.dead(), this.patienceMs);

		try {
			await this.ping();
		} catch {
			// an answer of any kind is life; the end of a connection is seen elsewhere
		}
		clearTimeout(late);
		if (turn === this.#turn)
			this.#watch();
	}
}
