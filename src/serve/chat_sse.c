#include <stdio.h>

#include "base/mem.h"
#include "core/config.h"
#include "core/measure.h"
#include "core/publish.h"
#include "net/conn.h"
#include "proto/json.h"
#include "proto/sse.h"
#include "serve/chat.h"
#include "serve/stream.h"

/*
 * Chat over Server-Sent Events (docs/wire.md, "Chat over an event stream"): the stream is the
 * session; POST /chat/{session} (chat_post.c) sends into it.
 */

struct chat_stream {
	struct chat chat;
	char id[CHAT_ID_SIZE]; /* key in hub->sessions */
	bool is_back;          /* it came with a position: it has a cursor */
	uint64_t cursor;       /* the last id it was given; 0: none */
	char home[];           /* the topic of the room in its address */
};

static struct chat_stream *
stream_of(struct session *s)
{
	return CONTAINER(CONTAINER(s, struct chat, session), struct chat_stream, chat);
}

static void
push_buf(struct chat_stream *st, struct buf *b)
{
	stream_push(chat_conn(&st->chat), b);
}

/* The room in its address; NULL: it was left. */
static const struct sub *
home_of(const struct chat_stream *st)
{
	return sub_find(&st->chat.session.who, slice_str(st->home));
}

/*
 * A browser that was cut off comes back to the stream's first room alone, after the last id that it
 * saw. What else it reads by what was sent in a POST stands in the same stream, and none of that may
 * bring the id behind what the first room has had, nor past what is still to come of it, nor past what is
 * said there while it is left: that may be asked for yet.
 */
static bool
moves_cursor(const struct chat_stream *st, uint64_t id)
{
	const struct sub *home;

	if (id <= st->cursor)
		return false;
	home = home_of(st);
	if (home == NULL)
		return false;
	return home->reader == NULL || home->reader == home->who->readers->passing ||
	       session_has_one(&st->chat.session);
}

/* The id to say: this one, or 0. */
static uint64_t
next_cursor(struct chat_stream *st, uint64_t id)
{
	if (!moves_cursor(st, id))
		return 0;
	st->cursor = id;
	return id;
}

/* A bare id: moves the browser's cursor, says nothing. */
static void
push_id(struct chat_stream *st, uint64_t id)
{
	struct buf b = BUF_INIT(64);

	if (next_cursor(st, id) == 0)
		return;
	(void)sse_id(&b, id);
	push_buf(st, &b);
}

/* An event of the stream's own. */
static void
push_event(struct chat_stream *st, const char *name, uint64_t id, struct slice data)
{
	struct buf b = BUF_INIT(data.n * 2 + 4096);

	(void)sse_event(&b, slice_str(name), next_cursor(st, id), data);
	counter_add(st->chat.session.who.hub->counters, COUNTER_MESSAGES_OUT, 1);
	push_buf(st, &b);
}

/* Every message of a chat is an event named by its type. */
static void
stream_send(struct session *s, const char *type, uint64_t id, struct slice json)
{
	struct chat_stream *st = stream_of(s);
	struct buf line = BUF_INIT(1024);

	if (chat_format(&st->chat) != CHAT_TEXT)
		push_event(st, type, id, json);
	else if (chat_text_line(&line, type, json) < 0)
		conn_fail(chat_conn(&st->chat), CLOSE_NO_MEMORY);
	else if (line.n > 0)
		push_event(st, type, id, buf_slice(&line));
	else if (id != 0)
		push_id(st, id);
	buf_done(&line);
}

static void
stream_token_changed(struct session *s)
{
	struct chat_stream *st = stream_of(s);

	lifetime_renew(&st->chat.lifetime);
	conn_set_deadline(chat_conn(&st->chat), chat_next_deadline(&st->chat));
}

static void
stream_deadline_changed(struct session *s)
{
	struct chat *c = &stream_of(s)->chat;

	conn_set_deadline(chat_conn(c), chat_next_deadline(c));
}

/*
 * A browser comes back with the last id that it saw. When its room has nothing to say yet, `joined`
 * gives it one, or what comes while it is away could be more than it asks for then. 0: none.
 */
static uint64_t
first_cursor(struct session *s)
{
	const struct hub *h = s->who.hub;

	if (stream_of(s)->is_back || !session_has_one(s))
		return 0;
	if (s->who.readers != NULL && log_topic_last(h->log, sub_pattern(s->who.subs)) != 0)
		return 0; /* what is stored follows, with ids of its own */
	return h->position;
}

/* Answers to what the stream itself asked for (its room, a default room joined for a chat). */
static void
on_answer(struct caller *caller, const char *type, struct slice json)
{
	struct session *s = CONTAINER(caller, struct session, caller);

	stream_send(s, type, strcmp(type, "joined") == 0 ? first_cursor(s) : 0, json);
}

static void
on_refuse(struct caller *caller, const struct refusal *r, struct slice ref)
{
	struct chat_stream *st = stream_of(CONTAINER(caller, struct session, caller));
	struct buf data = BUF_INIT(4096);
	struct refusal veiled;

	r = chat_note_refusal(&st->chat, r, &veiled);
	if (chat_format(&st->chat) == CHAT_TEXT)
		chat_text_refusal(&data, r);
	else
		(void)session_error(&data, r, ref); /* a failure sticks */
	if (data.failed)
		caller->ops->lost(caller);
	else /* not `error`: that is an EventSource's own */
		push_event(st, "problem", 0, buf_slice(&data));
	buf_done(&data);
}

static void
on_lost(struct caller *caller)
{
	conn_fail(CONTAINER(caller, struct session, caller)->who.outlet, CLOSE_NO_MEMORY);
}

static const struct caller_ops caller_ops = {on_answer, on_refuse, on_lost, NULL};

/* --- from the hub --- */

static struct chat_stream *
stream_of_subscriber(struct subscriber *who)
{
	return stream_of(session_of(who));
}

/*
 * The stream's own messages (a POST's chat) are not sent to it: a bare id moves the browser's
 * cursor past them.
 */
static void
own(struct subscriber *who, uint64_t id)
{
	push_id(stream_of_subscriber(who), id);
}

/* All that the room has is queued: whoever has no cursor yet gets one, and what had no id is passed. */
static void
level(struct subscriber *who, struct sub *sub, bool presence_skipped)
{
	struct chat_stream *st = stream_of_subscriber(who);

	session_level(who, sub, presence_skipped);
	if (sub != NULL && sub == home_of(st))
		push_id(st, who->hub->position);
}

static void
push(struct subscriber *who, struct wire *w)
{
	struct chat_stream *st = stream_of_subscriber(who);
	uint64_t id = w->message->id; /* in a run all are logged, and this is the last */
	struct buf b = BUF_INIT(w->n);

	if (id == 0 || next_cursor(st, id) != 0) {
		chat_push(who, w);
		return;
	}
	(void)sse_without_ids(&b, slice_of(w->p, w->n));
	counter_add(who->hub->counters, COUNTER_MESSAGES_OUT, 1);
	push_buf(st, &b);
}

static const struct session_ops session_ops = {
    .who =
	{
	    .has_room = chat_has_room,
	    .push = push,
	    .takes_runs = true,
	    .own = own,
	    .gap = session_gap,
	    .claims = session_claims,
	    .fail = chat_fail,
	    .level = level,
	},
    .send = stream_send,
    .token_changed = stream_token_changed,
    .deadline_changed = stream_deadline_changed,
};

/* --- the connection --- */

static void
on_drain(struct conn *conn, void *data)
{
	struct chat_stream *st = data;

	(void)conn;
	hub_drained(st->chat.session.who.hub, &st->chat.session.who);
}

static void
end_expired(struct chat_stream *st)
{
	push_event(st, "expired", 0, SLICE("{\"type\":\"expired\"}"));
	conn_finish(chat_conn(&st->chat), CLOSE_TOKEN);
}

static void
on_tick(struct conn *conn, void *data, uint64_t now_ms)
{
	struct chat_stream *st = data;
	struct session *s = &st->chat.session;
	const struct config *c = s->who.hub->config;

	session_typing_tick(&st->chat.session, now_ms);
	session_hurry(&st->chat.session, now_ms - SESSION_JOIN_MS);
	if (!chat_token_lives(&st->chat)) {
		end_expired(st);
		return;
	}
	if (lifetime_beat(&st->chat.lifetime, s->who.hub, c->events.keepalive_ms)) {
		struct buf b = BUF_INIT(64);

		(void)sse_comment(&b, SLICE("keep-alive"));
		push_buf(st, &b);
	}
	conn_set_deadline(conn, chat_next_deadline(&st->chat));
}

static void
on_gone(struct conn *conn, void *data)
{
	struct chat_stream *st = data;

	admission_end(conn_net(conn)->owner, &st->chat.admission);
	(void)map_remove(&st->chat.session.who.hub->sessions, slice_str(st->id));
	session_done(&st->chat.session, true);
	mem_free(st);
}

static void
on_drain_server(struct conn *conn, void *data, uint64_t retry_ms)
{
	struct chat_stream *st = data;
	struct buf b = BUF_INIT(64);
	char json[LIFETIME_JSON];

	(void)sse_retry(&b, retry_ms);
	push_buf(st, &b);
	stream_send(&st->chat.session, "closing", 0, lifetime_closing(retry_ms, json));
	conn_finish(conn, CLOSE_SHUTDOWN);
}

static void
describe(void *data, struct buf *out)
{
	const struct chat_stream *st = data;

	session_describe(&st->chat.session, out);
}

static void
visit(struct conn *conn, void *data, void *what)
{
	struct chat_stream *st = data;

	switch (measure_apply(what, &st->chat.session)) {
	case MEASURE_TOKEN:
		end_expired(st);
		break;
	case MEASURE_ENDS:
		conn_finish(conn, CLOSE_KICKED);
		break;
	case MEASURE_NOTHING:
		break;
	}
}

static const struct conn_ops conn_ops = {
    .on_drain = on_drain,
    .on_tick = on_tick,
    .on_gone = on_gone,
    .on_drain_server = on_drain_server,
    .describe = describe,
    .visit = visit,
};

/* --- opening --- */

static void
say_hello(struct chat_stream *st)
{
	const struct hub *h = st->chat.session.who.hub;
	struct buf b = BUF_INIT(64);
	struct buf json = BUF_INIT(4096);

	(void)sse_retry(&b, stream_retry_ms(h->config));
	push_buf(st, &b);
	push_event(st, "user", 0, slice_str(st->id));
	if (chat_format(&st->chat) == CHAT_JSON) {
		if (session_welcome(&json, &st->chat.session, slice_str(st->id)) == 0)
			push_event(st, "welcome", 0, buf_slice(&json));
		else
			conn_fail(chat_conn(&st->chat), CLOSE_NO_MEMORY);
	}
	buf_done(&json);
}

/* Takes claims. */
static void
open_stream(struct exchange *x, const struct chat_request *request, struct claims *claims)
{
	struct serve *serve = serve_of(x);
	struct hub *h = serve->hub;
	struct slice room = buf_slice(&request->room);
	size_t home_n = sizeof("chat/") + room.n;
	struct chat_stream *st = mem_calloc(1, sizeof(*st) + home_n);
	struct conn *conn = x->conn;
	struct session_join how;
	struct log_extent extent;
	struct session *s;
	struct refusal why = {0};
	int r;

	if (st == NULL || session_init(&st->chat.session, h, &session_ops, claims,
			      slice_trim(buf_slice(&request->name))) < 0) {
		if (st == NULL)
			claims_unref(claims);
		mem_free(st);
		(void)refuse_memory(&why);
		stream_turn_away(x, &why);
		return;
	}
	(void)snprintf(st->home, home_n, "chat/%.*s", (int)room.n, room.p);
	s = &st->chat.session;
	if (admission_begin(x, claims, &st->chat.admission, &why) < 0) {
		session_done(s, true);
		mem_free(st);
		stream_turn_away(x, &why);
		return;
	}
	st->chat.session.who.outlet = conn;
	lifetime_init(&st->chat.lifetime, h, h->config->events.keepalive_ms);
	s->who.form = request->format == CHAT_TEXT ? FORM_CHAT_SSE_TEXT : FORM_CHAT_SSE;
	s->who.number = conn_number(conn);
	caller_init(&s->caller, &caller_ops);
	chat_new_id(h->worker, st->id);
	st->is_back = request->from.kind == POSITION_ID || request->from.kind == POSITION_BAD;
	log_extent(h->log, &extent);
	if (request->from.kind == POSITION_ID && request->from.id <= extent.last)
		st->cursor = request->from.id; /* else it is none, and another comes with the gap */
	r = map_set(&h->sessions, slice_str(st->id), s);
	if (r < 0 || stream_begin(x, "text/event-stream", &conn_ops, st) < 0) {
		admission_end(serve, &st->chat.admission);
		(void)map_remove(&h->sessions, slice_str(st->id));
		session_done(s, true);
		mem_free(st);
		if (r < 0) {
			(void)append_refusal(r, &why);
			stream_turn_away(x, &why);
		}
		return;
	}
	conn_set_kind(conn, COUNTER_CONN_CHAT_SSE);
	say_hello(st);
	(void)chat_token_lives(&st->chat); /* it does; one with little time left is told at once */
	how = (struct session_join){.room = room, .from = &request->from};
	if (session_join(s, &s->caller, &how, &why) < 0) {
		on_refuse(&s->caller, &why, SLICE_NONE);
		/* as over WebSocket; it comes back by itself */
		conn_finish(conn, why.code == ERROR_UNAVAILABLE ? CLOSE_NO_MEMORY : CLOSE_LIMIT);
		return;
	}
	conn_set_deadline(conn, chat_next_deadline(&st->chat));
}

void
serve_chat_sse(struct exchange *x)
{
	struct chat_request request;
	struct claims *claims = NULL;
	struct refusal why = {0};
	int r = 0;

	if (serve_authenticate(x, true, &claims) < 0)
		return;
	if (chat_request_read(x, true, &request, &why) < 0) {
		claims_unref(claims);
		serve_refuse(x, &why);
		return;
	}
	if (request.room.n == 0 &&
	    buf_add_str(&request.room, serve_of(x)->config->chat.default_room) < 0)
		r = refuse_memory(&why);
	if (r == 0 && request.format == CHAT_RAW)
		r = refuse(&why, ERROR_BAD_FIELD,
		    "format=raw is for WebSocket; an event stream takes json or text");
	if (r == 0)
		r = chat_check_room(serve_of(x)->hub, &request, claims, &why);
	if (r < 0) {
		claims_unref(claims);
		serve_refuse(x, &why);
	} else {
		open_stream(x, &request, claims);
	}
	chat_request_done(&request);
}
