// SPDX-License-Identifier: ISC
/* A daemon of a few lines and BroadcastChannels, for tabs that are objects in one process. */

/** Rooms with a log; each connection has one reader a room, and its own messages are acked only. */
export class Tower {
	constructor() {
		this.log = [];
		this.connections = new Set();
		this.lastId = 1000;
		this.opened = 0;
		const tower = this;
		this.WebSocket = class {
			constructor(_url, protocols) {
				this.rooms = new Map(); // name: position
				this.user = { id: protocols[1]?.split('.')[1] ?? 'u1', name: 'Ada' };
				tower.opened++;
				setTimeout(() => {
					if (this.isClosed)
						return;
					tower.connections.add(this);
					this.tell({ type: 'welcome', user: this.user, session: 's', heartbeat: 30, limits: {} });
				}, 1);
			}

			tell(message) {
				const text = JSON.stringify(message);
				setTimeout(() => !this.isClosed && this.onmessage?.({ data: text }), 1);
			}

			send(text) {
				setTimeout(() => !this.isClosed && tower.take(this, JSON.parse(text)), 1);
			}

			close(code = 1000, reason = '') {
				if (this.isClosed)
					return;
				this.isClosed = true;
				tower.connections.delete(this);
				this.onclose?.({ code, reason });
			}
		};
	}

	take(connection, message) {
		const { type, ref, room } = message;

		if (type === 'join') {
			const stored = this.log.filter((one) => one.room === room);
			const from = message.after !== undefined ? stored.filter(({ id }) => id > message.after) : stored.slice(-(message.last ?? 50) || stored.length);
			connection.tell({ type: 'joined', ref, room, count: 1, members: [], resumed: true, latest: stored.at(-1)?.id ?? this.lastId });
			connection.rooms.set(room, message.last === 0 ? this.lastId : (from[0]?.id ?? this.lastId + 1) - 1);
			this.pump(connection, true);
		} else if (type === 'leave') {
			connection.rooms.delete(room);
			connection.tell({ type: 'left', ref, room });
		} else if (type === 'chat') {
			const known = this.log.find(({ key, from }) => key === message.key && from.id === connection.user.id);
			const id = known?.id ?? this.append(room, message.content, connection.user, message.key, connection);
			connection.tell({ type: 'ack', ref, id, duplicate: known !== undefined });
		} else if (type === 'ping') {
			connection.tell({ type: 'pong', ref });
		} else {
			connection.tell({ type: 'ack', ref, id: ++this.lastId });
		}
	}

	append(room, content, from, key, sender) {
		const id = ++this.lastId;

		this.log.push({ type: 'chat', id, room, from, content, key, time: 1, sender });
		for (const connection of this.connections)
			this.pump(connection);
		return id;
	}

	pump(connection, isReplay = false) {
		for (const [room, position] of connection.rooms) {
			for (const { sender, ...one } of this.log.filter((message) => message.room === room && message.id > position)) {
				if (isReplay || sender !== connection)
					connection.tell(one);
				connection.rooms.set(room, one.id);
			}
		}
	}
}

/** What a tab has of the browser; `die()` takes it away without a word, `sleep()` for a while. */
export class Tab {
	static channels = new Map();

	constructor(locks) {
		const tab = this;

		this.mine = [];
		this.isAsleep = this.isDead = false;
		this.late = [];
		this.locks = { request: (name, options, act) => locks.request(this, name, options, act) };
		this.die = () => {
			this.isDead = true;
			this.mine.forEach((channel) => channel.close());
			locks.drop(this);
		};
		this.BroadcastChannel = class {
			constructor(name) {
				this.name = name;
				Tab.channels.set(name, [...(Tab.channels.get(name) ?? []), this]);
				tab.mine.push(this);
			}

			postMessage(data) {
				if (tab.isDead || tab.isAsleep)
					return;
				const copy = structuredClone(data);
				for (const other of Tab.channels.get(this.name) ?? [])
					if (other !== this)
						setTimeout(() => other.take(copy), 1);
			}

			take(data) {
				if (tab.isAsleep)
					tab.late.push(() => this.take(data));
				else
					this.onmessage?.({ data });
			}

			close() {
				this.onmessage = null;
				Tab.channels.set(this.name, (Tab.channels.get(this.name) ?? []).filter((one) => one !== this));
			}
		};
	}

	sleep() {
		this.isAsleep = true;
	}

	wake() {
		this.isAsleep = false;
		this.late.splice(0).forEach((act) => act());
	}
}
