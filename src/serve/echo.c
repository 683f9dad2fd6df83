#include "core/config.h"
#include "core/message.h"
#include "net/conn.h"
#include "proto/ws.h"
#include "proto/ws_deflate.h"
#include "serve/chat.h"

/* GET /echo: every message comes back; for trying clients and proxies, and for Autobahn. */

static void
send_back(struct conn *conn, enum ws_opcode opcode, bool is_packed, struct slice payload)
{
	counter_add(conn_net(conn)->counters, COUNTER_MESSAGES_IN, 1);
	counter_add(conn_net(conn)->counters, COUNTER_MESSAGES_OUT, 1);
	conn_ws_send(conn, opcode, is_packed, payload);
	conn_hold_reading(conn, !conn_has_room(conn));
}

static void
on_message(struct conn *conn, void *data, enum ws_opcode opcode, struct slice payload)
{
	(void)data;
	send_back(conn, opcode, false, payload);
}

/* The peer takes compressed frames. */
static void
on_message_deflate(struct conn *conn, void *data, enum ws_opcode opcode, struct slice payload)
{
	struct buf packed = BUF_INIT(payload.n);
	bool is_packed = payload.n >= MESSAGE_DEFLATE_MIN &&
			 ws_deflate(conn_net(conn)->deflater, payload, &packed) == 0;

	(void)data;
	send_back(conn, opcode, is_packed, is_packed ? buf_slice(&packed) : payload);
	buf_done(&packed);
}

static void
on_drain(struct conn *conn, void *data)
{
	(void)data;
	conn_hold_reading(conn, false);
}

static void
on_tick(struct conn *conn, void *data, uint64_t now_ms)
{
	uint64_t beat_ms = conn_net(conn)->config->chat.heartbeat_ms;
	uint64_t silent_ms = conn_last_seen_ms(conn) + 2 * beat_ms + 1000;

	(void)data;
	if (now_ms >= silent_ms) {
		conn_ws_close(conn, WS_CLOSE_NO_LIFE, SLICE("no sign of life for two heartbeats"),
		    CLOSE_NO_LIFE);
		return;
	}
	conn_ws_ping(conn);
	conn_set_deadline(conn, min_u64(now_ms + beat_ms, silent_ms));
}

static void
on_gone(struct conn *conn, void *data)
{
	(void)conn;
	(void)data;
}

static void
on_drain_server(struct conn *conn, void *data, uint64_t retry_ms)
{
	(void)data;
	(void)retry_ms;
	conn_ws_close(conn, WS_CLOSE_GOING_AWAY, SLICE("the server is stopping"), CLOSE_SHUTDOWN);
}

static const struct conn_ops plain_ops = {
    .on_message = on_message,
    .on_drain = on_drain,
    .on_tick = on_tick,
    .on_gone = on_gone,
    .on_drain_server = on_drain_server,
};

static const struct conn_ops deflate_ops = {
    .on_message = on_message_deflate,
    .on_drain = on_drain,
    .on_tick = on_tick,
    .on_gone = on_gone,
    .on_drain_server = on_drain_server,
};

void
serve_echo(struct exchange *x)
{
	const struct config *c = serve_of(x)->config;
	struct ws_handshake hs;
	struct conn *conn = x->conn;
	const struct conn_ops *ops;
	bool deflate;
	struct refusal why = {0};
	/* HEAD asks what GET without an upgrade would answer */
	int r = x->method == HTTP_HEAD ? WS_H_NO_UPGRADE : ws_handshake_check(x->head, &hs);

	if (r < 0) {
		chat_refuse_handshake(x, r);
		return;
	}
	if (serve_check_origin(x, &why) < 0) {
		serve_refuse(x, &why);
		return;
	}
	deflate = hs.deflate && c->chat.compression;
	ops = deflate && !hs.deflate_peer_small ? &deflate_ops : &plain_ops;
	if (exchange_upgrade(x, &hs, deflate, c->limits.message, ops, NULL) == 0)
		conn_set_deadline(conn, serve_of(x)->net->now_ms + c->chat.heartbeat_ms);
}
