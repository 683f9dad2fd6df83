// SPDX-License-Identifier: ISC
/* A wire between page and daemon that a test can cut. */

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

export class Proxy {
	constructor(port) {
		this.target = port;
		this.sockets = new Set();
		this.isCut = false;
		this.server = createServer((near) => {
			if (this.isCut)
				return near.destroy();
			const far = connect(this.target, '127.0.0.1');
			for (const [one, other] of [[near, far], [far, near]]) {
				this.sockets.add(one);
				one.on('error', () => other.destroy());
				one.on('close', () => {
					this.sockets.delete(one);
					other.destroy();
				});
				one.pipe(other);
			}
		});
	}

	async start() {
		this.server.listen(0, '127.0.0.1');
		await once(this.server, 'listening');
		this.url = `http://127.0.0.1:${this.server.address().port}`;
		return this;
	}

	cut() {
		this.isCut = true;
		for (const socket of this.sockets)
			socket.destroy();
	}

	mend() {
		this.isCut = false;
	}

	async end() {
		this.cut();
		this.server.close();
		await once(this.server, 'close');
	}
}
