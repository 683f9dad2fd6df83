#include <errno.h>

#include "base/mem.h"
#include "core/config.h"
#include "core/moderation.h"
#include "core/presence.h"
#include "core/publish.h"
#include "core/read_marker.h"
#include "core/reader.h"
#include "core/session.h"
#include "core/topic.h"
#include "proto/json.h"

/* Joining and leaving rooms, subscribing to topics. */

#define ANSWER_MAX   (64 * 1024) /* JSON of one answer */
#define FULL_RETRY_S 60          /* nothing changes unless the client leaves a room */

int
room_topic(struct buf *out, struct slice room, struct refusal *why)
{
	char clean[REFUSE_CLEAN];
	const char *error;

	(void)BUF_ADD_LIT(out, "chat/");
	if (room.n > TOPIC_MAX)
		error = "is too long";
	else if (buf_add_slice(out, room) < 0)
		return refuse_memory(why);
	else
		error = topic_error(buf_slice(out));
	if (error == NULL && topic_room(buf_slice(out)).p == NULL)
		error = "is not one segment (no '/')";
	if (room.n == 0)
		error = "is empty";
	if (error != NULL)
		return refuse(
		    why, ERROR_BAD_FIELD, "room '%s' %s", refuse_clean(room, clean), error);
	return 0;
}

static int
limit_rooms(const struct session *s, struct refusal *why)
{
	uint32_t limit = s->who.hub->config->limits.rooms_per_connection;
	uint32_t n = 0;

	for (const struct sub *sub = s->who.subs; sub != NULL && n < limit; sub = sub->next)
		n++;
	if (limit == 0 || n < limit)
		return 0;
	return refuse_limit(why, ERROR_TOO_MANY, "limits.rooms_per_connection", FULL_RETRY_S,
	    "a connection may be in %u rooms and topics (limits.rooms_per_connection); leave one first",
	    limit);
}

/*
 * Where a reader of this topic may resume from when nothing else comes: its last stored id,
 * else the log's position.
 */
static uint64_t
latest_of(struct session *s, struct slice pattern)
{
	struct hub *h = s->who.hub;
	uint64_t last = pattern_is_topic(pattern) ? log_topic_last(h->log, pattern) : 0;

	return last == 0 || last > h->position ? h->position : last;
}

/* Find or make the subscription. *is_new tells which. */
static struct sub *
open_sub(struct session *s, struct slice pattern, bool is_room, bool *is_new, struct refusal *why)
{
	struct sub *sub;
	int status = 0;

	sub = sub_find(&s->who, pattern);
	*is_new = sub == NULL;
	if (sub != NULL) {
		hub_tail(s->who.hub); /* what was live until now: reading begins behind it */
		return sub;
	}
	if (limit_rooms(s, why) < 0)
		return NULL;
	sub = hub_subscribe(s->who.hub, &s->who, pattern, is_room, &status);
	if (sub == NULL)
		(void)append_refusal(status, why);
	return sub;
}

static void
start_reading(struct session *s, struct sub *sub, const struct position *from, bool *resumed)
{
	if (reader_start(s->who.hub, &s->who, sub, from, resumed) < 0)
		s->who.ops->fail(&s->who);
}

/* What a join is made of, before and after what is unread was counted. */
struct join {
	struct caller *caller;
	struct slice topic, ref;
	struct position from;
	struct marker_state marker;
};

static void
answer_joined(struct session *s, const struct join *j, struct sub *sub, bool resumed,
    struct slice members, size_t count)
{
	struct buf b;

	answer_start(&b, "joined", j->ref);
	(void)json_add_member_string(&b, "room", topic_room(sub_pattern(sub)));
	(void)json_add_member_u64(&b, "count", count);
	(void)json_add_member_raw(&b, "members", members);
	(void)json_add_member_bool(&b, "resumed", resumed);
	(void)json_add_member_u64(&b, "latest", latest_of(s, sub_pattern(sub)));
	marker_add(&b, &j->marker);
	caller_answer(j->caller, "joined", &b);
}

/*
 * Presence of the room: the first join of this connection counts it in, a repeated one only
 * looks. A failure leaves everything as it was.
 */
static int
enter_room(struct session *s, struct sub *sub, struct buf *members, size_t *count)
{
	struct hub *h = s->who.hub;
	struct presence_view view = {0};
	bool is_first = !sub->is_present;
	struct presence_name name = {0};
	int r;

	if (!config_rule(h->config, sub_pattern(sub))->presence) {
		if (BUF_ADD_LIT(members, "[]") < 0)
			return -ENOMEM;
		*count = 0;
		sub->is_room = true;
		return 0;
	}
	if (is_first && h->config->auth.guests) {
		/* a guest must not be taken for somebody else */
		name.key = claims_name_key(s->claims);
		name.is_self_given = s->claims->is_guest;
	}
	if (is_first)
		r = presence_join(h->log, sub_pattern(sub), session_user(s), &name, s->who.number,
		    h->worker, members, &view);
	else
		r = presence_members(h->log, sub_pattern(sub), members, &view);
	if (r == 0 && members->failed) {
		r = -ENOMEM;
		if (is_first)
			presence_leave(h->log, sub_pattern(sub), slice_str(s->claims->user_id),
			    s->who.number, 0, h->worker);
	}
	if (r < 0)
		return r;
	sub->is_room = true;
	sub->is_present = true;
	sub->presence_from = view.sequence;
	*count = view.count;
	return 0;
}

static int
join(struct session *s, const struct join *j, struct refusal *why)
{
	struct buf members = BUF_INIT(ANSWER_MAX);
	bool resumed = false;
	bool was_room;
	bool is_new;
	struct sub *sub;
	size_t count = 0;
	int r;

	sub = open_sub(s, j->topic, true, &is_new, why);
	if (sub == NULL)
		return -1;
	was_room = !is_new && sub->is_room;
	r = enter_room(s, sub, &members, &count);
	if (r < 0) {
		if (is_new)
			hub_unsubscribe(s->who.hub, sub);
		buf_done(&members);
		return r == -EEXIST ? refuse_name(session_user(s).name, why)
				    : append_refusal(r, why);
	}
	if (is_new)
		counter_add(s->who.hub->counters, COUNTER_SUBSCRIPTIONS, 1);
	if (!was_room) /* it may have been subscribed as a topic */
		s->who.n_rooms++;
	start_reading(s, sub, &j->from, &resumed);
	answer_joined(s, j, sub, resumed, buf_slice(&members), count);
	reader_advance(s->who.hub, sub);
	buf_done(&members);
	return 0;
}

/* --- what is unread is on the disk: joining waits until it is counted --- */

struct joining {
	LIST_ENTRY(joining) link; /* of the hub, until it has joined */
	struct session *session;  /* NULL: it has joined without, or is gone */
	struct join join;         /* texts behind the struct */
	struct log_count count;
	struct log_read read;
	uint64_t since_ms; /* monotonic */
};

static void
joining_end(struct joining *g)
{
	LIST_REMOVE(g, link);
	g->session->who.is_joining = false;
	g->session = NULL;
	log_read_forget(&g->read);
}

/* It joins, with what is known by then. */
static void
joining_go_on(struct joining *g)
{
	struct session *s = g->session;
	struct caller *c = g->join.caller;
	struct refusal why;

	joining_end(g);
	c->n_pending--;
	/* much may have happened since it asked */
	if (moderation_may_read(s->who.hub, s->claims, g->join.topic, &why) < 0 ||
	    join(s, &g->join, &why) < 0) {
		c->ops->refused(c, &why, g->join.ref);
		/* of the query: what comes next, naming no room, would go to the default one */
		if (c == &s->caller && g->join.ref.p == NULL && why.code == ERROR_UNAVAILABLE)
			s->who.ops->fail(&s->who);
	}
	caller_tell_pending(c);
}

static void
on_counted(struct log_read *r)
{
	struct joining *g = CONTAINER(r, struct joining, read);

	if (g->session != NULL) {
		g->join.marker.unread = r->status < 0 ? -1 : (int)g->count.n;
		joining_go_on(g);
	}
	mem_free(g);
}

static int
join_later(struct session *s, const struct join *j, struct refusal *why)
{
	struct slice user = slice_str(s->claims->user_id);
	struct joining *g = mem_calloc(1, sizeof(*g) + j->topic.n + j->ref.n + user.n);
	struct hub *h = s->who.hub;
	char *at;

	if (g == NULL)
		return refuse_memory(why);
	at = (char *)(g + 1);
	g->session = s;
	g->join = *j;
	g->join.topic = slice_place(&at, j->topic);
	g->join.ref = slice_place(&at, j->ref);
	g->count = (struct log_count){g->join.topic, slice_place(&at, user), j->marker.id, 0};
	g->since_ms = h->mono_us / 1000;
	LIST_INSERT_HEAD(&h->joinings, g, link);
	s->who.is_joining = true;
	j->caller->n_pending++;
	g->read = (struct log_read){.mode = LOG_COUNT,
	    .counts = &g->count,
	    .n_counts = 1,
	    .count = MARKER_UNREAD,
	    .now_ms = h->now_ms,
	    .worker = h->worker,
	    .done = on_counted};
	if (session_ops_of(s)->deadline_changed != NULL)
		session_ops_of(s)->deadline_changed(s);
	log_read(h->log, &g->read); /* may free g */
	return 0;
}

/* That of a session, which has one at most: what follows a join waits for it, or hurries it. */
static struct joining *
joining_of(const struct session *s)
{
	struct joining *g = NULL;

	if (s->who.is_joining)
		g = LIST_FIRST(&s->who.hub->joinings);
	while (g != NULL && g->session != s)
		g = LIST_NEXT(g, link);
	return g;
}

void
session_hurry(struct session *s, uint64_t upto_ms)
{
	struct joining *g = joining_of(s);

	if (g != NULL && g->since_ms <= upto_ms)
		joining_go_on(g);
}

void
session_give_up_joining(struct session *s)
{
	struct joining *g = joining_of(s);
	struct caller *c = g == NULL ? NULL : g->join.caller;
	struct refusal why;

	if (g == NULL)
		return;
	joining_end(g);
	if (c == &s->caller)
		return;
	c->n_pending--; /* of a POST, which is answered whatever becomes of the stream */
	(void)refuse(&why, ERROR_NOT_FOUND, "the chat session has ended");
	c->ops->refused(c, &why, g->join.ref);
	caller_tell_pending(c);
}

/* Whether this session's own answers are seen: others have no use for a count. */
static bool
shows_answers(const struct session *s, const struct caller *c)
{
	enum message_form form = (enum message_form)s->who.form;

	return c != &s->caller || form == FORM_WS_JSON || form == FORM_WS_DEFLATE ||
	       form == FORM_CHAT_SSE;
}

int
session_join(
    struct session *s, struct caller *c, const struct session_join *how, struct refusal *why)
{
	struct buf topic = BUF_INIT(ROOM_TOPIC_MAX);
	struct join j = {.caller = c, .ref = how->ref, .from = *how->from};
	int r = room_topic(&topic, how->room, why);

	if (r == 0)
		r = moderation_may_read(s->who.hub, s->claims, buf_slice(&topic), why);
	if (r < 0)
		goto out;
	j.topic = buf_slice(&topic);
	if (shows_answers(s, c))
		marker_look(s->who.hub->log, j.topic, slice_str(s->claims->user_id),
		    s->who.hub->now_ms, &j.marker);
	if (j.marker.unread < 0 && !how->is_at_once)
		r = join_later(s, &j, why);
	else
		r = join(s, &j, why);
out:
	buf_done(&topic);
	return r;
}

static void
answer_ended(struct caller *c, const char *type, const char *member, struct slice name,
    const char *reason, struct slice ref)
{
	struct buf b;

	answer_start(&b, type, ref);
	(void)json_add_member_string(&b, member, name);
	if (reason != NULL)
		(void)json_add_member_string(&b, "reason", slice_str(reason));
	caller_answer(c, type, &b);
}

/* A room may be joined and subscribed by its topic, too: one goes without the other. */
static void
drop_unwanted(struct session *s, struct sub *sub)
{
	if (sub->is_room || sub->is_named)
		return;
	counter_sub(s->who.hub->counters, COUNTER_SUBSCRIPTIONS, 1);
	hub_unsubscribe(s->who.hub, sub);
}

void
session_leave(
    struct session *s, struct caller *c, struct sub *sub, const char *reason, struct slice ref)
{
	struct hub *h = s->who.hub;

	session_stop_typing(s, sub);
	if (sub->is_present)
		presence_leave(h->log, sub_pattern(sub), slice_str(s->claims->user_id),
		    s->who.number, 0, h->worker);
	answer_ended(c, "left", "room", topic_room(sub_pattern(sub)), reason, ref);
	s->who.n_rooms--;
	sub->is_room = false;
	sub->is_present = false;
	drop_unwanted(s, sub);
}

static void
deny(struct slice topic, const struct refusal *why, void *ctx)
{
	session_deny(ctx, topic, why);
}

int
session_subscribe(struct session *s, struct caller *c, struct slice pattern,
    const struct position *from, struct slice ref, struct refusal *why)
{
	struct buf b;
	const char *error = pattern_error(pattern);
	char clean[REFUSE_CLEAN];
	bool resumed = false;
	struct sub *sub;
	bool is_new;

	if (error != NULL)
		return refuse(
		    why, ERROR_BAD_FIELD, "topic '%s' %s", refuse_clean(pattern, clean), error);
	if (moderation_may_read(s->who.hub, s->claims, pattern, why) < 0)
		return -1;
	sub = open_sub(s, pattern, false, &is_new, why);
	if (sub == NULL)
		return -1;
	if (is_new)
		counter_add(s->who.hub->counters, COUNTER_SUBSCRIPTIONS, 1);
	sub->is_named = true;
	start_reading(s, sub, from, &resumed);
	answer_start(&b, "subscribed", ref);
	(void)json_add_member_string(&b, "topic", pattern);
	(void)json_add_member_bool(&b, "resumed", resumed);
	(void)json_add_member_u64(&b, "latest", latest_of(s, pattern));
	caller_answer(c, "subscribed", &b);
	moderation_each_bar(s->who.hub, s->claims, pattern, deny, s);
	reader_advance(s->who.hub, sub);
	return 0;
}

void
session_unsubscribe(
    struct session *s, struct caller *c, struct sub *sub, const char *reason, struct slice ref)
{
	answer_ended(c, "unsubscribed", "topic", sub_pattern(sub), reason, ref);
	sub->is_named = false;
	drop_unwanted(s, sub);
}

void
session_lose(struct session *s, struct sub *sub, const char *reason)
{
	bool is_room = sub->is_room;
	bool is_named = sub->is_named; /* then it is still there when the room was left */

	if (is_room)
		session_leave(s, &s->caller, sub, reason, SLICE_NONE);
	if (is_named)
		session_unsubscribe(s, &s->caller, sub, reason, SLICE_NONE);
}
