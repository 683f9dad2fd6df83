#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "core/config.h"
#include "core/measure.h"
#include "core/moderation.h"
#include "core/publish.h"
#include "core/reader.h"
#include "core/session.h"
#include "core/topic.h"
#include "net/conn.h"
#include "proto/json.h"
#include "proto/sse.h"
#include "proto/url.h"
#include "serve/admission.h"
#include "serve/lifetime.h"
#include "serve/query.h"
#include "serve/stream.h"

/*
 * GET /events (docs/wire.md, "Event streams"): one stream, fixed topics, one merged cursor;
 * Server-Sent Events or NDJSON.
 */

/* Topics of one request that are looked at, whatever limits.topics_per_stream says. */
#define TOPICS_MAX_READ 1024
#define FRESH_EVERY_S   60 /* a bare id at most that often */

struct stream {
	struct subscriber who; /* its outlet is the connection */
	struct claims *claims;
	struct admission admission;
	struct lifetime lifetime;
	uint32_t fresh_s; /* when a bare id may be sent again */
	uint64_t sent_id; /* the last id that went out */
	bool is_lines;    /* NDJSON */
	bool wants_heartbeat;
	bool ends_when_level; /* wait=0 */
};

static struct stream *
stream_of(struct subscriber *who)
{
	return CONTAINER(who, struct stream, who);
}

static struct conn *
conn_of(const struct stream *st)
{
	return st->who.outlet;
}

/* --- sending --- */

static void
push_buf(struct stream *st, struct buf *b)
{
	stream_push(conn_of(st), b);
}

/* An event of the stream itself: json has its type. */
static void
say(struct stream *st, const char *event, uint64_t id, struct slice json)
{
	struct buf b = BUF_INIT(json.n * 2 + 1024);

	counter_add(st->who.hub->counters, COUNTER_MESSAGES_OUT, 1);
	if (st->is_lines) {
		(void)buf_add_slice(&b, json);
		(void)buf_add_char(&b, '\n');
	} else {
		(void)sse_event(&b, slice_str(event), id, json);
	}
	push_buf(st, &b);
}

static void
send_id(struct stream *st, uint64_t id)
{
	struct buf b = BUF_INIT(64);

	if (st->is_lines || id == 0)
		return;
	(void)sse_id(&b, id);
	push_buf(st, &b);
	st->sent_id = id;
	st->fresh_s = (uint32_t)(st->who.hub->mono_us / 1000000) + FRESH_EVERY_S;
}

/*
 * Level: everything up to the hub's position is queued, so that is the cursor of all its
 * topics, the quiet ones too.
 */
static void
freshen(struct stream *st)
{
	const struct hub *h = st->who.hub;

	if (st->who.readers == NULL && h->position > st->sent_id &&
	    h->mono_us / 1000000 >= st->fresh_s)
		send_id(st, h->position);
}

/* --- from the hub --- */

static bool
has_room(struct subscriber *who)
{
	return conn_has_room(who->outlet);
}

static void
push(struct subscriber *who, struct wire *w)
{
	struct stream *st = stream_of(who);

	counter_add(who->hub->counters, COUNTER_MESSAGES_OUT, 1);
	if (w->message != NULL)
		st->sent_id = max_u64(st->sent_id, w->message->id);
	conn_push(conn_of(st), w);
}

static void
fail(struct subscriber *who)
{
	conn_fail(who->outlet, CLOSE_NO_MEMORY);
}

static void
gap(struct subscriber *who, struct sub *sub, const struct log_resume *g, uint64_t asked,
    uint32_t dropped)
{
	struct stream *st = stream_of(who);
	struct buf b = BUF_INIT(4096);

	(void)buf_add_char(&b, '{');
	(void)json_add_member_string(&b, "type", SLICE("gap"));
	if (sub != NULL)
		(void)json_add_member_string(&b, "topic", sub_pattern(sub));
	gap_write(&b, g, asked, dropped);
	if (buf_add_char(&b, '}') < 0)
		conn_fail(conn_of(st), CLOSE_NO_MEMORY);
	else
		say(st, "gap", sub == NULL ? g->gap_id : 0, buf_slice(&b));
	buf_done(&b);
}

static void
level(struct subscriber *who, struct sub *sub, bool presence_skipped)
{
	struct stream *st = stream_of(who);

	(void)presence_skipped;
	if (sub != NULL)
		return;
	if (who->hub->position > st->sent_id)
		send_id(st, who->hub->position);
	if (st->ends_when_level) /* not now: the reader that says this still looks at who */
		conn_end_soon(conn_of(st));
}

static const struct claims *
bearer(struct subscriber *who)
{
	return stream_of(who)->claims;
}

static const struct subscriber_ops subscriber_ops = {
    .has_room = has_room,
    .push = push,
    .takes_runs = true,
    .claims = bearer,
    .gap = gap,
    .fail = fail,
    .level = level,
};

/* --- the connection --- */

static void
stream_free(struct stream *st)
{
	counter_sub(st->who.hub->counters, COUNTER_SUBSCRIPTIONS, 1);
	admission_end(st->who.hub->owner, &st->admission);
	hub_forget(st->who.hub, &st->who);
	claims_unref(st->claims);
	mem_free(st);
}

static void
on_drain(struct conn *conn, void *data)
{
	struct stream *st = data;

	(void)conn;
	hub_drained(st->who.hub, &st->who);
}

static void
set_deadline(struct stream *st)
{
	conn_set_deadline(conn_of(st), lifetime_deadline(&st->lifetime, st->who.hub, st->claims));
}

static void
end_expired(struct stream *st)
{
	say(st, "expired", 0, SLICE("{\"type\":\"expired\"}"));
	conn_finish(conn_of(st), CLOSE_TOKEN);
}

/* The token's warning and end. True when the stream has ended. */
static bool
check_token(struct stream *st)
{
	int64_t in_s = 0;
	char json[LIFETIME_JSON];

	switch (lifetime_check(&st->lifetime, st->who.hub, st->claims, &in_s)) {
	case LIFETIME_EXPIRED:
		end_expired(st);
		return true;
	case LIFETIME_EXPIRING:
		say(st, "expiring", 0, lifetime_expiring(in_s, json));
		if (in_s == 0)
			return check_token(st); /* late: the end follows at once */
		break;
	case LIFETIME_GOES_ON:
		break;
	}
	return false;
}

static void
beat(struct stream *st)
{
	struct buf b = BUF_INIT(128);

	if (st->is_lines)
		(void)buf_add_str(&b, "{\"type\":\"keepalive\"}\n");
	else if (st->wants_heartbeat)
		(void)sse_event(&b, SLICE("heartbeat"), 0, SLICE("ping"));
	else
		(void)sse_comment(&b, SLICE("keep-alive"));
	if (st->is_lines || st->wants_heartbeat)
		counter_add(st->who.hub->counters, COUNTER_MESSAGES_OUT, 1);
	push_buf(st, &b);
}

static void
on_tick(struct conn *conn, void *data, uint64_t now_ms)
{
	struct stream *st = data;
	const struct hub *h = st->who.hub;

	(void)now_ms;
	if (check_token(st))
		return;
	/* where bytes wait already, they keep it alive */
	if (lifetime_beat(&st->lifetime, h, h->config->events.keepalive_ms) && conn_has_room(conn))
		beat(st);
	freshen(st);
	set_deadline(st);
}

static void
on_gone(struct conn *conn, void *data)
{
	(void)conn;
	stream_free(data);
}

static void
on_drain_server(struct conn *conn, void *data, uint64_t retry_ms)
{
	struct stream *st = data;
	char json[LIFETIME_JSON];

	if (!st->is_lines) {
		struct buf b = BUF_INIT(64);

		(void)sse_retry(&b, retry_ms);
		push_buf(st, &b);
	}
	say(st, "closing", 0, lifetime_closing(retry_ms, json));
	conn_finish(conn, CLOSE_SHUTDOWN);
}

static void
describe(void *data, struct buf *out)
{
	const struct stream *st = data;
	struct message_from user = {slice_str(st->claims->user_id), slice_str(st->claims->name)};
	bool is_first = true;

	message_add_user(out, "user", &user); /* a failure sticks */
	(void)json_add_key(out, "topics");
	(void)buf_add_char(out, '[');
	for (const struct sub *sub = st->who.subs; sub != NULL; sub = sub->next) {
		if (!is_first)
			(void)buf_add_char(out, ',');
		is_first = false;
		(void)json_add_string(out, sub_pattern(sub));
	}
	(void)buf_add_char(out, ']');
}

/* --- what it may not read --- */

static int
check_topic(const struct stream *st, struct slice topic, struct refusal *why)
{
	return moderation_may_read(st->who.hub, st->claims, topic, why);
}

static void
say_denied(struct stream *st, struct slice topic, const struct refusal *why)
{
	struct buf b = BUF_INIT(4096);
	char peer[EXCHANGE_PEER];
	char who[80];
	struct refusal veiled;
	const struct refusal *told;

	(void)snprintf(who, sizeof(who), "peer=%s", conn_peer(conn_of(st), peer));
	told = serve_note_refusal(conn_net(conn_of(st))->owner, who, why, &veiled);
	refusal_denied(&b, topic, told);
	if (buf_add_char(&b, '}') == 0)
		say(st, "denied", 0, buf_slice(&b));
	else
		conn_fail(conn_of(st), CLOSE_NO_MEMORY);
	buf_done(&b);
}

/* Of a ban: the room's own topic ends, patterns go on without it; both are told. */
static void
narrow(struct stream *st, struct measure *m)
{
	bool is_narrowed = false;
	bool is_reached = false;
	struct refusal why;
	struct sub *next;

	for (struct sub *sub = st->who.subs; sub != NULL; sub = next) {
		next = sub->next;
		if (!measure_is_about(m, sub))
			continue;
		is_reached = true;
		is_narrowed = is_narrowed || !sub->at->is_topic;
		if (!sub->at->is_topic || check_topic(st, sub_pattern(sub), &why) == 0)
			continue;
		say_denied(st, sub_pattern(sub), &why);
		hub_unsubscribe(st->who.hub, sub);
	}
	m->n_reached += is_reached ? 1 : 0;
	if (is_narrowed && moderation_may_join(st->who.hub, st->claims, measure_topic(m), &why) < 0)
		say_denied(st, measure_topic(m), &why);
	if (st->who.subs == NULL)
		conn_finish(conn_of(st), CLOSE_KICKED);
}

static void
visit(struct conn *conn, void *data, void *what)
{
	struct stream *st = data;

	(void)conn;
	if (measure_ends_token(what, st->claims))
		end_expired(st);
	else if (measure_bans(what, &st->who, st->claims))
		narrow(st, what);
}

static const struct conn_ops conn_ops = {
    .on_drain = on_drain,
    .on_tick = on_tick,
    .on_gone = on_gone,
    .on_drain_server = on_drain_server,
    .describe = describe,
    .visit = visit,
};

/* --- what is asked for --- */

struct request {
	struct buf *topics; /* TOPICS_MAX_READ of them */
	size_t n_topics;
	struct position from;
	bool is_lines;
	bool wants_heartbeat;
	bool no_wait;
};

static void
request_done(struct request *r)
{
	for (size_t i = 0; i < r->n_topics; i++)
		buf_done(&r->topics[i]);
	mem_free(r->topics);
}

static int
add_topic(struct exchange *x, struct request *r, struct slice encoded, struct refusal *why)
{
	uint32_t limit = serve_of(x)->config->limits.topics_per_stream;
	struct buf *b = &r->topics[r->n_topics];
	char clean[REFUSE_CLEAN];
	const char *error;
	ssize_t n;

	if (r->n_topics == TOPICS_MAX_READ || (limit != 0 && r->n_topics >= limit))
		return refuse_limit(why, ERROR_TOO_MANY, "limits.topics_per_stream", 60,
		    "a stream may have %zu topics (limits.topics_per_stream)",
		    min_size(limit == 0 ? TOPICS_MAX_READ : limit, TOPICS_MAX_READ));
	*b = BUF_INIT(4096);
	r->n_topics++;
	if (buf_reserve(b, encoded.n + 1) < 0 && b->error == -ENOMEM)
		return refuse_memory(why);
	if (b->failed)
		return refuse(why, ERROR_BAD_FIELD, "a topic is longer than %d bytes", TOPIC_MAX);
	n = url_decode(encoded, true, b->p);
	if (n < 0)
		return refuse(why, ERROR_BAD_FIELD, "a topic cannot be decoded");
	b->n = (size_t)n;
	error = pattern_error(buf_slice(b));
	return error == NULL ? 0
			     : refuse(why, ERROR_BAD_FIELD, "topic '%s' %s",
				   refuse_clean(buf_slice(b), clean), error);
}

static int
read_topics(struct exchange *x, struct request *r, const struct claims *claims, struct refusal *why)
{
	const struct strings *defaults = &serve_of(x)->config->events.topics;
	struct slice rest = x->head->query;
	struct slice name;
	struct slice value;

	while (url_query_next(&rest, &name, &value)) {
		if (url_name_is(name, "topic") && add_topic(x, r, value, why) < 0)
			return -1;
	}
	if (r->n_topics > 0)
		return 0;
	for (size_t i = 0; i < defaults->n && i < TOPICS_MAX_READ; i++) {
		struct buf *b = &r->topics[r->n_topics++];

		*b = BUF_INIT(4096);
		if (pattern_expand(b, slice_str(defaults->v[i]), slice_str(claims->user_id)) < 0)
			return refuse_memory(why);
	}
	if (r->n_topics == 0)
		return refuse(why, ERROR_BAD_FIELD, "topic is missing and events.topics is empty");
	return 0;
}

static int
read_request(
    struct exchange *x, const struct claims *claims, struct request *r, struct refusal *why)
{
	struct buf b = BUF_INIT(256);
	int got;

	r->is_lines = stream_wants_lines(x);
	got = query_get(x, "heartbeat", &b, why);
	r->wants_heartbeat = got > 0 && slice_eq(buf_slice(&b), SLICE("1"));
	buf_done(&b);
	if (got < 0 && why->code == ERROR_UNAVAILABLE)
		return -1;
	got = query_get(x, "wait", &b, why);
	r->no_wait = got > 0 && slice_eq(buf_slice(&b), SLICE("0"));
	buf_done(&b);
	if (got < 0 && why->code == ERROR_UNAVAILABLE)
		return -1;
	if (query_resume(x, 0, &r->from, why) < 0)
		return -1;
	return read_topics(x, r, claims, why);
}

/* --- opening --- */

static void
deny_room(struct slice topic, const struct refusal *why, void *ctx)
{
	say_denied(ctx, topic, why);
}

static bool
is_repeated(const struct request *r, size_t i)
{
	for (size_t before = 0; before < i; before++) {
		if (slice_eq(buf_slice(&r->topics[before]), buf_slice(&r->topics[i])))
			return true;
	}
	return false;
}

static void
say_hello(struct stream *st)
{
	struct buf b = BUF_INIT(256);

	if (st->is_lines)
		return;
	(void)sse_retry(&b, stream_retry_ms(st->who.hub->config));
	(void)sse_comment(&b, SLICE("belfry"));
	push_buf(st, &b);
}

/* Subscribe to what the token grants. How many, or -1 with *why. */
static int
subscribe(struct stream *st, const struct request *r, struct refusal *why)
{
	struct refusal denied = {0};
	int n = 0;

	for (size_t i = 0; i < r->n_topics; i++) {
		struct slice topic = buf_slice(&r->topics[i]);
		int status = 0;

		if (check_topic(st, topic, &denied) < 0 || sub_find(&st->who, topic) != NULL)
			continue;
		if (hub_subscribe(st->who.hub, &st->who, topic, false, &status) == NULL)
			return append_refusal(status, why);
		n++;
	}
	if (n == 0 && r->n_topics > 1)
		(void)check_topic(st, buf_slice(&r->topics[0]), &denied);
	if (n == 0)
		return refuse(why, denied.code, "%.300s%s", denied.text,
		    r->n_topics > 1 ? ", nor is any other that was asked for" : "");
	return n;
}

static void
start(struct stream *st, const struct request *r)
{
	struct refusal denied;
	bool resumed;

	say_hello(st);
	for (size_t i = 0; i < r->n_topics; i++) {
		if (check_topic(st, buf_slice(&r->topics[i]), &denied) < 0 && !is_repeated(r, i))
			say_denied(st, buf_slice(&r->topics[i]), &denied);
	}
	for (const struct sub *sub = st->who.subs; sub != NULL; sub = sub->next)
		moderation_each_bar(st->who.hub, st->claims, sub_pattern(sub), deny_room, st);
	if (reader_start(st->who.hub, &st->who, NULL, &r->from, &resumed) < 0)
		conn_fail(conn_of(st), CLOSE_NO_MEMORY);
	else if (st->who.readers == NULL)
		level(&st->who, NULL, false);
	if (!check_token(st))
		set_deadline(st);
}

/* Takes claims. */
static void
open_stream(struct exchange *x, const struct request *r, struct claims *claims)
{
	struct hub *h = serve_of(x)->hub;
	struct stream *st = mem_calloc(1, sizeof(*st));
	struct refusal why = {0};

	if (st == NULL) {
		claims_unref(claims);
		(void)refuse_memory(&why);
		stream_turn_away(x, &why);
		return;
	}
	st->who = (struct subscriber){.ops = &subscriber_ops,
	    .outlet = x->conn,
	    .hub = h,
	    .number = conn_number(x->conn),
	    .form = r->is_lines ? FORM_LINE : FORM_EVENTS,
	    .is_stream = true,
	    .may_be_banned = moderation_bound(h, claims).p != NULL};
	st->claims = claims;
	st->is_lines = r->is_lines;
	st->wants_heartbeat = r->wants_heartbeat;
	st->ends_when_level = r->no_wait;
	lifetime_init(&st->lifetime, h, h->config->events.keepalive_ms);
	counter_add(h->counters, COUNTER_SUBSCRIPTIONS, 1);
	if (subscribe(st, r, &why) < 0) {
		stream_free(st);
		stream_turn_away(x, &why);
		return;
	}
	if (admission_begin(x, claims, &st->admission, &why) < 0) {
		stream_free(st);
		stream_turn_away(x, &why);
		return;
	}
	if (stream_begin(
		x, r->is_lines ? "application/x-ndjson" : "text/event-stream", &conn_ops, st) < 0) {
		stream_free(st);
		return;
	}
	conn_set_kind(conn_of(st), COUNTER_CONN_EVENTS);
	start(st, r);
}

void
serve_events(struct exchange *x)
{
	struct request r = {0};
	struct claims *claims = NULL;
	struct refusal why = {0};

	if (serve_authenticate(x, true, &claims) < 0)
		return;
	r.topics = mem_calloc(TOPICS_MAX_READ, sizeof(struct buf));
	if (r.topics == NULL) {
		claims_unref(claims);
		(void)refuse_memory(&why);
		serve_refuse(x, &why);
		return;
	}
	if (read_request(x, claims, &r, &why) < 0) {
		claims_unref(claims);
		serve_refuse(x, &why);
	} else {
		open_stream(x, &r, claims);
	}
	request_done(&r);
}
