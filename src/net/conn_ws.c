#include "net/conn_private.h"

#define CLOSE_WAIT_MS 3000 /* for the peer's close frame after ours */

/*
 * A WebSocket on a connection: frames in, messages to the endpoint; pings answered, closes
 * echoed.
 */

void
conn_ws_send(struct conn *c, enum ws_opcode opcode, bool is_compressed, struct slice payload)
{
	struct wire *w = wire_sized(WS_SERVER_HEAD + payload.n);
	uint8_t head[WS_SERVER_HEAD];
	size_t head_n;

	if (w == NULL) {
		conn_fail(c, CLOSE_NO_MEMORY);
		return;
	}
	head_n = ws_head_encode(head, opcode, is_compressed, payload.n);
	memcpy(wire_room(w), head, head_n);
	if (payload.n > 0)
		memcpy(wire_room(w) + head_n, payload.p, payload.n);
	w->n = (uint32_t)(head_n + payload.n);
	(void)conn_push(c, w); /* a failure ends it */
	wire_unref(w);
}

static void
push_control(struct conn *c, const uint8_t *frame, size_t n)
{
	(void)conn_push_bytes(c, slice_of((const char *)frame, n)); /* a failure dooms it */
}

void
conn_ws_ping(struct conn *c)
{
	uint8_t frame[2 + WS_MAX_CONTROL];

	push_control(c, frame, ws_control_encode(frame, WS_PING, SLICE("")));
}

static void
on_ping(struct conn *c, struct slice payload)
{
	uint8_t frame[2 + WS_MAX_CONTROL];

	/*
	 * RFC 6455 5.5.3: only the most recent ping need be answered; one who does not read
	 * gets no pile of pongs
	 */
	if (!conn_has_room(c))
		return;
	push_control(c, frame, ws_control_encode(frame, WS_PONG, payload));
}

void
conn_ws_close(struct conn *c, int code, struct slice reason, enum close_reason why)
{
	uint8_t frame[2 + WS_MAX_CONTROL];

	if (c->state != CONN_WS || c->is_doomed)
		return;
	push_control(c, frame, ws_close_encode(frame, code, reason));
	conn_tell_gone(c);
	c->why = (uint8_t)why;
	c->is_held = false;
	conn_enter(c, CONN_WS_CLOSING);
	conn_set_deadline(c, c->net->now_ms + CLOSE_WAIT_MS);
	conn_resume(c);
}

static void
on_close(struct conn *c, const struct ws_message *m)
{
	uint8_t frame[2 + WS_MAX_CONTROL];

	if (c->state == CONN_WS_CLOSING) { /* the answer to ours */
		conn_finish(c, (enum close_reason)c->why);
		return;
	}
	if (m->close_code == WS_CLOSE_NO_STATUS)
		push_control(c, frame, ws_control_encode(frame, WS_CLOSE, SLICE("")));
	else
		push_control(c, frame, ws_close_encode(frame, m->close_code, SLICE("")));
	conn_finish(c, CLOSE_PEER);
}

void
conn_ws_fail(struct conn *c, int code, const char *text, enum close_reason why)
{
	uint8_t frame[2 + WS_MAX_CONTROL];

	if (c->state == CONN_WS)
		push_control(c, frame, ws_close_encode(frame, code, slice_str(text)));
	conn_finish(c, why);
}

size_t
conn_ws_input(struct conn *c, char *in, size_t n)
{
	size_t at = 0;

	while (at < n && (c->state == CONN_WS || c->state == CONN_WS_CLOSING) && !c->is_held &&
	       !c->is_doomed) {
		struct ws_message m = {0};
		size_t used = 0;

		if (ws_decode(&c->decoder, in + at, n - at, c->net->inflater, &used, &m) < 0) {
			conn_fail(c, CLOSE_NO_MEMORY);
			return n;
		}
		at += used;
		switch (m.event) {
		case WS_EV_NONE:
			return n;
		case WS_EV_MESSAGE:
			if (c->state == CONN_WS)
				c->ops->on_message(c, c->data, m.opcode, m.payload);
			break;
		case WS_EV_PING:
			if (c->state == CONN_WS)
				on_ping(c, m.payload);
			break;
		case WS_EV_PONG:
			break;
		case WS_EV_CLOSE:
			on_close(c, &m);
			return n;
		case WS_EV_ERROR:
			conn_ws_fail(c, m.close_code, m.text,
			    m.close_code == WS_CLOSE_TOO_BIG ? CLOSE_TOO_BIG : CLOSE_PROTOCOL);
			return n;
		}
	}
	return at;
}

void
conn_fail_slow(struct conn *c)
{
	if (c->is_doomed || c->state != CONN_WS)
		return;
	c->tells_slow = true;
	conn_fail(c, CLOSE_SLOW);
}
