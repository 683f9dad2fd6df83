#include "serve/chat.h"

#include <errno.h>

#include "base/mem.h"
#include "core/config.h"
#include "core/measure.h"
#include "core/moderation.h"
#include "proto/json.h"
#include "proto/url.h"
#include "serve/stream.h"

/* The WebSocket endpoint /chat (docs/wire.md, "Chat over WebSocket"). */

static struct chat *
chat_of(struct session *s)
{
	return CONTAINER(s, struct chat, session);
}

/* --- sending --- */

static void
send_frame(struct chat *c, struct slice payload)
{
	counter_add(c->session.who.hub->counters, COUNTER_MESSAGES_OUT, 1);
	conn_ws_send(chat_conn(c), WS_TEXT, false, payload);
}

static void
send_text_line(struct chat *c, const char *type, struct slice json)
{
	struct buf b = BUF_INIT(1024);

	if (chat_text_line(&b, type, json) < 0)
		conn_fail(chat_conn(c), CLOSE_NO_MEMORY);
	else if (b.n > 0)
		send_frame(c, buf_slice(&b));
	buf_done(&b);
}

static void
chat_send(struct session *s, const char *type, uint64_t id, struct slice json)
{
	struct chat *c = chat_of(s);

	(void)id;
	if (chat_format(c) == CHAT_JSON)
		send_frame(c, json);
	else if (chat_format(c) == CHAT_TEXT)
		send_text_line(c, type, json);
}

static void
chat_token_changed(struct session *s)
{
	struct chat *c = chat_of(s);

	lifetime_renew(&c->lifetime);
	conn_set_deadline(chat_conn(c), chat_next_deadline(c));
}

static void
chat_deadline_changed(struct session *s)
{
	struct chat *c = chat_of(s);

	conn_set_deadline(chat_conn(c), chat_next_deadline(c));
}

static struct chat *
chat_of_caller(struct caller *caller)
{
	return chat_of(CONTAINER(caller, struct session, caller));
}

static void
on_answer(struct caller *caller, const char *type, struct slice json)
{
	struct chat *c = chat_of_caller(caller);

	if (chat_format(c) == CHAT_JSON)
		send_frame(c, json);
	else if (chat_format(c) == CHAT_TEXT && strcmp(type, "left") == 0)
		send_text_line(c, type, json);
}

static void
on_refuse(struct caller *caller, const struct refusal *r, struct slice ref)
{
	struct chat *c = chat_of_caller(caller);
	struct buf b = BUF_INIT(4096);
	struct refusal veiled;

	r = chat_note_refusal(c, r, &veiled);
	if (chat_format(c) == CHAT_TEXT)
		chat_text_refusal(&b, r);
	else if (chat_format(c) == CHAT_JSON)
		(void)session_error(&b, r, ref); /* a failure sticks */
	if (b.failed)
		conn_fail(chat_conn(c), CLOSE_NO_MEMORY);
	else if (b.n > 0)
		send_frame(c, buf_slice(&b));
	buf_done(&b);
}

static void
on_lost(struct caller *caller)
{
	conn_fail(chat_conn(chat_of_caller(caller)), CLOSE_NO_MEMORY);
}

/* Too many unanswered requests, or a queue that is full: then the socket is not read. */
static void
update_hold(struct chat *c)
{
	/* what follows a join may count on it */
	bool hold = c->session.caller.n_pending >= SESSION_PENDING_MAX ||
		    session_is_joining(&c->session) || !conn_has_room(chat_conn(c));

	conn_hold_reading(chat_conn(c), hold);
}

static void
on_pending(struct caller *caller)
{
	update_hold(chat_of_caller(caller));
}

static const struct caller_ops caller_ops = {on_answer, on_refuse, on_lost, on_pending};

/* --- receiving from the hub --- */

static struct chat *
chat_of_subscriber(struct subscriber *who)
{
	return chat_of(session_of(who));
}

static bool
has_room(struct subscriber *who)
{
	return chat_format(chat_of_subscriber(who)) == CHAT_RAW || chat_has_room(who);
}

static void
push(struct subscriber *who, struct wire *w)
{
	struct chat *c = chat_of_subscriber(who);

	/* raw frames are in no log: one who cannot take them all is told so by the end (1013) */
	if (chat_format(c) == CHAT_RAW && !conn_has_room(chat_conn(c)))
		conn_fail_slow(chat_conn(c));
	else
		chat_push(who, w);
}

static const struct session_ops session_ops = {
    .who =
	{
	    .has_room = has_room,
	    .push = push,
	    .takes_runs = true,
	    .gap = session_gap,
	    .claims = session_claims,
	    .fail = chat_fail,
	    .level = session_level,
	},
    .send = chat_send,
    .token_changed = chat_token_changed,
    .deadline_changed = chat_deadline_changed,
};

/* --- the connection --- */

static void
send_raw(struct chat *c, enum ws_opcode opcode, struct slice payload)
{
	struct hub *h = c->session.who.hub;
	const struct sub *sub = c->session.who.subs;
	struct refusal why = {0};
	struct append *a;

	if (command_rate(&c->session, &why) < 0) { /* no error can be told, no frame be missing */
		counter_refused(h->counters, why.code);
		counter_failed(h->counters, CHECK_LIMIT);
		conn_ws_close(chat_conn(c), WS_CLOSE_RATE,
		    SLICE("beyond limits.messages_per_second"), CLOSE_RATE);
		return;
	}
	if (sub == NULL)
		return; /* never: it is in its room to the end */
	if (!claims_may_publish(c->session.claims, sub_pattern(sub))) { /* as above */
		counter_refused(h->counters, ERROR_INSUFFICIENT_SCOPE);
		counter_failed(h->counters, CHECK_SCOPE);
		conn_ws_close(chat_conn(c), WS_CLOSE_POLICY,
		    SLICE("the token does not permit sending here"), CLOSE_LIMIT);
		return;
	}
	if (moderation_may_send(h, c->session.claims, sub_pattern(sub), &why) < 0) { /* as above */
		conn_ws_close(
		    chat_conn(c), WS_CLOSE_KICKED, slice_str(error_name(why.code)), CLOSE_KICKED);
		return;
	}
	a = append_new(1);
	if (a != NULL)
		a->items[0].message =
		    message_raw(sub_pattern(sub), (uint8_t)opcode, payload, c->session.who.number);
	if (a == NULL || a->items[0].message == NULL) {
		append_free(a);
		conn_fail(chat_conn(c), CLOSE_NO_MEMORY);
		return;
	}
	a->worker = LOG_NO_WORKER;
	a->now_ms = h->now_ms;
	if (log_append(h->log, a, h->worker) < 0) {
		append_free(a);
		conn_fail_slow(chat_conn(c)); /* a frame would be missing */
	}
}

static void
on_message(struct conn *conn, void *data, enum ws_opcode opcode, struct slice payload)
{
	struct chat *c = data;

	if (chat_format(c) == CHAT_RAW) {
		send_raw(c, opcode, payload);
		return;
	}
	if (opcode == WS_BINARY) {
		conn_ws_close(conn, WS_CLOSE_UNSUPPORTED,
		    SLICE("text frames only; binary is for format=raw"), CLOSE_PROTOCOL);
		return;
	}
	if (chat_format(c) == CHAT_TEXT)
		command_say(&c->session, &c->session.caller, payload);
	else
		command_run(&c->session, &c->session.caller, payload);
	if (command_is_flooding(&c->session)) {
		conn_ws_close(conn, WS_CLOSE_RATE, SLICE("far beyond limits.messages_per_second"),
		    CLOSE_RATE);
		return;
	}
	update_hold(c);
}

static void
on_drain(struct conn *conn, void *data)
{
	struct chat *c = data;

	(void)conn;
	update_hold(c);
	hub_drained(c->session.who.hub, &c->session.who);
}

static void
on_tick(struct conn *conn, void *data, uint64_t now_ms)
{
	struct chat *c = data;
	uint64_t beat_ms = c->session.who.hub->config->chat.heartbeat_ms;

	session_typing_tick(&c->session, now_ms);
	session_hurry(&c->session, now_ms - SESSION_JOIN_MS);
	if (!chat_token_lives(c)) {
		conn_ws_close(
		    conn, WS_CLOSE_TOKEN_ENDED, SLICE("the token has ended"), CLOSE_TOKEN);
		return;
	}
	if (c->lifetime.was_pinged && now_ms >= chat_silent_at(c)) { /* nobody is ended unasked */
		conn_ws_close(conn, WS_CLOSE_NO_LIFE, SLICE("no sign of life for two heartbeats"),
		    CLOSE_NO_LIFE);
		return;
	}
	if (lifetime_beat(&c->lifetime, c->session.who.hub, beat_ms)) {
		conn_ws_ping(conn);
		c->lifetime.was_pinged = true;
	}
	conn_set_deadline(conn, chat_next_deadline(c));
}

static void
on_gone(struct conn *conn, void *data)
{
	struct chat *c = data;

	admission_end(conn_net(conn)->owner, &c->admission);
	session_done(&c->session, true);
	mem_free(c);
}

static void
on_drain_server(struct conn *conn, void *data, uint64_t retry_ms)
{
	struct chat *c = data;
	char json[LIFETIME_JSON];

	chat_send(&c->session, "closing", 0, lifetime_closing(retry_ms, json));
	conn_ws_close(conn, WS_CLOSE_GOING_AWAY, SLICE("the server is stopping"), CLOSE_SHUTDOWN);
}

static void
describe(void *data, struct buf *out)
{
	const struct chat *c = data;

	session_describe(&c->session, out);
}

/* A measure of a moderator comes by. */
static void
visit(struct conn *conn, void *data, void *what)
{
	struct chat *c = data;
	struct measure *m = what;

	switch (measure_apply(m, &c->session)) {
	case MEASURE_TOKEN:
		conn_ws_close(conn, WS_CLOSE_TOKEN_ENDED, SLICE("token revoked"), CLOSE_TOKEN);
		break;
	case MEASURE_ENDS:
		conn_ws_close(conn, WS_CLOSE_KICKED, slice_str(m->text), CLOSE_KICKED);
		break;
	case MEASURE_NOTHING:
		break;
	}
}

static const struct conn_ops conn_ops = {
    .on_message = on_message,
    .on_drain = on_drain,
    .on_tick = on_tick,
    .on_gone = on_gone,
    .on_drain_server = on_drain_server,
    .describe = describe,
    .visit = visit,
};

/* --- opening --- */

static void
welcome(struct chat *c)
{
	struct buf b = BUF_INIT(4096);
	char id[CHAT_ID_SIZE];

	chat_new_id(c->session.who.hub->worker, id);
	if (session_welcome(&b, &c->session, slice_str(id)) == 0)
		chat_send(&c->session, "welcome", 0, buf_slice(&b));
	else
		conn_fail(chat_conn(c), CLOSE_NO_MEMORY);
	buf_done(&b);
}

static enum message_form
form_of(enum chat_format format, bool deflate)
{
	static const enum message_form forms[] = {
	    [CHAT_JSON] = FORM_WS_JSON, [CHAT_TEXT] = FORM_WS_TEXT, [CHAT_RAW] = FORM_WS_RAW};

	return format == CHAT_JSON && deflate ? FORM_WS_DEFLATE : forms[format];
}

/*
 * The room of the query. Whoever could not get into it is ended: what is said next, naming no
 * room, would go to the default one. False then.
 */
static bool
join_first(struct chat *c, const struct chat_request *request)
{
	struct session_join how = {.room = buf_slice(&request->room), .from = &request->from};
	struct refusal why = {0};

	if (request->room.n == 0 ||
	    session_join(&c->session, &c->session.caller, &how, &why) == 0) {
		update_hold(c);
		return true;
	}
	on_refuse(&c->session.caller, &why, SLICE_NONE);
	if (why.code == ERROR_UNAVAILABLE)
		conn_ws_close(chat_conn(c), WS_CLOSE_INTERNAL,
		    SLICE("the room could not be joined now"), CLOSE_NO_MEMORY);
	else
		conn_ws_close(chat_conn(c), WS_CLOSE_POLICY, slice_str(why.text), CLOSE_LIMIT);
	return false;
}

/* Takes claims. The upgrade is done; say welcome and join. */
static void
open_chat(struct exchange *x, const struct ws_handshake *hs, const struct chat_request *request,
    struct claims *claims)
{
	struct serve *serve = serve_of(x);
	struct hub *h = serve->hub;
	struct chat *c = mem_calloc(1, sizeof(*c));
	bool deflate = hs->deflate && h->config->chat.compression;
	struct refusal why = {0};

	if (c == NULL || session_init(&c->session, h, &session_ops, claims,
			     slice_trim(buf_slice(&request->name))) < 0) {
		if (c == NULL)
			claims_unref(claims);
		mem_free(c);
		(void)refuse_memory(&why);
		serve_refuse(x, &why);
		return;
	}
	if (admission_begin(x, claims, &c->admission, &why) < 0) {
		session_done(&c->session, true);
		mem_free(c);
		serve_refuse(x, &why);
		return;
	}
	c->session.who.outlet = x->conn;
	c->session.who.form = (uint8_t)form_of(request->format, deflate && !hs->deflate_peer_small);
	c->session.who.number = conn_number(x->conn);
	caller_init(&c->session.caller, &caller_ops);
	lifetime_init(&c->lifetime, h, h->config->chat.heartbeat_ms);
	if (exchange_upgrade(x, hs, deflate, h->config->limits.message, &conn_ops, c) < 0) {
		admission_end(serve, &c->admission);
		session_done(&c->session, true);
		mem_free(c);
		return;
	}
	if (request->format == CHAT_JSON)
		welcome(c);
	(void)chat_token_lives(c); /* it does; one with little time left is told at once */
	if (join_first(c, request))
		conn_set_deadline(chat_conn(c), chat_next_deadline(c));
}

/* What a 426 must say (RFC 9110 15.5.22 and 7.8, RFC 6455 4.4). */
static void
offer_websocket(struct exchange *x)
{
	exchange_header(x, "Upgrade", SLICE("websocket"));
	exchange_header(x, "Connection", SLICE("Upgrade"));
	exchange_header(x, "Sec-WebSocket-Version", SLICE("13"));
}

void
chat_refuse_handshake(struct exchange *x, int error)
{
	struct refusal why = {0};
	int status = ws_handshake_status(error);
	enum error_code code = ERROR_BAD_REQUEST;

	if (error == WS_H_BEARERS)
		code = ERROR_INVALID_REQUEST;
	else if (status == 503)
		code = ERROR_UNAVAILABLE;
	else if (status == 426)
		code = ERROR_UPGRADE_REQUIRED;
	(void)refuse(&why, code, "%s", ws_handshake_text(error));
	why.status = status;
	if (status == 426)
		offer_websocket(x);
	serve_refuse(x, &why);
}

/* A browser's navigation belongs on the page. */
static void
redirect(struct exchange *x)
{
	struct buf room = BUF_INIT(1024);
	struct buf to = BUF_INIT(4096);
	struct refusal why;

	(void)buf_add_char(&to, '/');
	if (query_get(x, "room", &room, &why) > 0 && room.n > 0) {
		(void)BUF_ADD_LIT(&to, "?room=");
		(void)url_encode(&to, buf_slice(&room), "");
	}
	if (to.failed || room.error == -ENOMEM) {
		(void)refuse_memory(&why);
		serve_refuse(x, &why);
	} else {
		exchange_header(x, "Location", buf_slice(&to));
		exchange_header(x, "Cache-Control", SLICE("no-store"));
		exchange_reply(x, 303, NULL, SLICE(""));
	}
	buf_done(&to);
	buf_done(&room);
}

/* The same checks as an upgrade, for a client that wants to know why its WebSocket was refused. */
static void
explain(struct exchange *x)
{
	struct chat_request request;
	struct admission admission;
	struct claims *claims = NULL;
	struct refusal why = {0};

	if (serve_check_origin(x, &why) < 0) {
		serve_refuse(x, &why);
		return;
	}
	if (serve_authenticate(x, true, &claims) < 0)
		return;
	if (chat_request_read(x, false, &request, &why) == 0) {
		if (chat_check_room(serve_of(x)->hub, &request, claims, &why) == 0 &&
		    admission_begin(x, claims, &admission, &why) == 0) {
			admission_end(serve_of(x), &admission);
			(void)refuse(&why, ERROR_UPGRADE_REQUIRED,
			    "all is well: /chat speaks WebSocket (Upgrade: websocket), or "
			    "Server-Sent Events (Accept: text/event-stream)");
		}
		chat_request_done(&request);
	}
	claims_unref(claims);
	if (why.code == ERROR_UPGRADE_REQUIRED)
		offer_websocket(x);
	serve_refuse(x, &why);
}

static void
upgrade(struct exchange *x)
{
	struct chat_request request;
	struct claims *claims = NULL;
	struct ws_handshake hs;
	struct refusal why = {0};
	int r = ws_handshake_check(x->head, &hs);

	if (r < 0) {
		chat_refuse_handshake(x, r);
		return;
	}
	if (hs.has_protocols && !hs.offers_belfry) {
		(void)refuse(&why, ERROR_BAD_REQUEST,
		    "the subprotocol list does not have 'belfry.v1', the one spoken here");
		serve_refuse(x, &why);
		return;
	}
	if (serve_check_origin(x, &why) < 0) {
		serve_refuse(x, &why);
		return;
	}
	if (serve_authenticate(x, true, &claims) < 0)
		return;
	if (chat_request_read(x, false, &request, &why) < 0) {
		claims_unref(claims);
		serve_refuse(x, &why);
		return;
	}
	if (chat_check_room(serve_of(x)->hub, &request, claims, &why) < 0) {
		claims_unref(claims);
		serve_refuse(x, &why);
	} else {
		open_chat(x, &hs, &request, claims);
	}
	chat_request_done(&request);
}

void
serve_chat(struct exchange *x)
{
	/* another protocol, such as the h2c of some HTTP clients, is passed over (RFC 9110, 7.8) */
	bool asks_upgrade =
	    (x->head->fields[HTTP_FIELD_UPGRADE] > 0 &&
		http_header_has_token(x->head, SLICE("upgrade"), SLICE("websocket"))) ||
	    http_header(x->head, SLICE("Sec-WebSocket-Key"), NULL).p != NULL;

	if (asks_upgrade && x->method == HTTP_GET)
		upgrade(x);
	else if (stream_accepts(x, "text/event-stream"))
		serve_chat_sse(x);
	else if (stream_accepts(x, "text/html"))
		redirect(x);
	else
		explain(x);
}
