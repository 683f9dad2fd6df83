#include "core/session.h"

#include <errno.h>

#include "base/mem.h"
#include "core/config.h"
#include "core/moderation.h"
#include "core/publish.h"
#include "core/read_marker.h"
#include "core/topic.h"
#include "proto/json.h"

#define ACK_ROOM     160         /* of an ack that needs no memory of its own */
#define ANSWER_MAX   (64 * 1024) /* JSON of one answer that is not a page of history */
#define FULL_RETRY_S 60          /* nothing changes unless the client leaves a room */

/* --- callers --- */

void
caller_init(struct caller *c, const struct caller_ops *ops)
{
	*c = (struct caller){.ops = ops};
	LIST_INIT(&c->appends);
	LIST_INIT(&c->lookups);
}

void
caller_done(struct caller *c)
{
	struct append *a;
	struct lookup *q;

	while ((a = LIST_FIRST(&c->appends)) != NULL) {
		LIST_REMOVE(a, link);
		a->owner = NULL; /* it is committed all the same; nobody waits for the ack */
	}
	while ((q = LIST_FIRST(&c->lookups)) != NULL) {
		LIST_REMOVE(q, link);
		q->caller = NULL;
	}
	c->n_pending = 0;
}

/* Close the object and hand it over. */
void
caller_answer(struct caller *c, const char *type, struct buf *b)
{
	if (buf_add_char(b, '}') == 0 && !b->failed)
		c->ops->answer(c, type, buf_slice(b));
	else
		c->ops->lost(c);
	buf_done(b);
}

void
answer_start(struct buf *b, const char *type, struct slice ref)
{
	*b = BUF_INIT(ANSWER_MAX);
	(void)buf_add_char(b, '{'); /* failures stick until caller_answer */
	(void)json_add_member_string(b, "type", slice_str(type));
	if (ref.p != NULL)
		(void)json_add_member_raw(b, "ref", ref);
}

int
session_error(struct buf *out, const struct refusal *r, struct slice ref)
{
	(void)buf_add_char(out, '{');
	(void)json_add_member_string(out, "type", SLICE("error"));
	if (ref.p != NULL)
		(void)json_add_member_raw(out, "ref", ref);
	(void)json_add_member_string(out, "code", slice_str(error_name(r->code)));
	(void)json_add_member_string(out, "message", slice_str(r->text));
	if (r->limit != NULL)
		(void)json_add_member_string(out, "limit", slice_str(r->limit));
	if (r->retry_after_s > 0)
		(void)json_add_member_u64(out, "retry_after", r->retry_after_s);
	return buf_add_char(out, '}');
}

static void
send_ack(struct caller *c, const struct append *a)
{
	const struct append_item *item = &a->items[0];
	struct slice ref = slice_str(a->ref);
	char room[ACK_ROOM] UNCLEARED;
	struct buf b = BUF_ON(room, ANSWER_MAX);

	(void)BUF_ADD_LIT(&b, "{\"type\":\"ack\"");
	if (ref.p != NULL)
		(void)json_add_member_raw(&b, "ref", ref);
	append_result(&b, item, SLICE_NONE);
	caller_answer(c, "ack", &b);
}

static void
on_appended(struct append *a)
{
	struct caller *c = a->owner;
	struct refusal why UNCLEARED;

	if (c != NULL) {
		LIST_REMOVE(a, link);
		c->n_pending--;
		if (a->status < 0) {
			(void)append_refusal(a->status, &why);
			c->ops->refused(c, &why, slice_str(a->ref));
		} else {
			send_ack(c, a);
		}
		if (c->ops->pending != NULL)
			c->ops->pending(c);
	}
	append_free(a);
}

int
caller_append(struct caller *c, struct hub *h, struct append *a, struct refusal *why)
{
	int r;

	a->done = on_appended;
	a->owner = c;
	LIST_INSERT_HEAD(&c->appends, a, link);
	c->n_pending++;
	r = hub_append(h, a);
	if (r == 0) {
		if (c->ops->pending != NULL)
			c->ops->pending(c);
		return 0;
	}
	LIST_REMOVE(a, link);
	c->n_pending--;
	append_free(a);
	return append_refusal(r, why);
}

/* --- life --- */

int
session_init(struct session *s, struct hub *h, const struct session_ops *ops, struct claims *claims,
    struct slice name)
{
	char *copy = NULL;

	if (name.n > 0 && !claims->has_name) {
		copy = mem_strdup(name);
		if (copy == NULL) {
			claims_unref(claims);
			return -ENOMEM;
		}
	}
	s->who.ops = &ops->who;
	s->who.hub = h;
	s->who.may_be_banned = moderation_bound(h, claims).p != NULL;
	s->claims = claims;
	s->name = copy;
	return 0;
}

void
session_done(struct session *s, bool lost)
{
	struct hub *h = s->who.hub;

	if (s->claims == NULL)
		return;
	caller_done(&s->caller);
	session_stop_typing(s, NULL);
	for (const struct sub *sub = s->who.subs; sub != NULL; sub = sub->next) {
		int64_t leave_at = lost ? h->now_ms + (int64_t)h->config->chat.leave_grace_ms : 0;

		if (sub->is_present)
			presence_leave(h->log, sub_pattern(sub), slice_str(s->claims->user_id),
			    s->who.number, leave_at, h->worker);
		counter_sub(h->counters, COUNTER_SUBSCRIPTIONS, 1);
	}
	hub_forget(h, &s->who);
	claims_unref(s->claims);
	s->claims = NULL;
	mem_free(s->name);
	s->name = NULL;
}

struct message_from
session_user(const struct session *s)
{
	return (struct message_from){
	    slice_str(s->claims->user_id), slice_str(s->name != NULL ? s->name : s->claims->name)};
}

void
session_add_expires(struct buf *b, const struct session *s)
{
	if (s->claims->exp != 0)
		(void)json_add_member_i64(b, "expires", s->claims->exp); /* a failure sticks */
	else
		(void)json_add_member_raw(b, "expires", SLICE("null"));
}

int
session_welcome(struct buf *b, const struct session *s, struct slice session_id)
{
	static const char *const roles[] = {"user", "moderator", "admin"};
	const struct config *c = s->who.hub->config;
	struct message_from user = session_user(s);

	(void)buf_add_char(b, '{');
	(void)json_add_member_string(b, "type", SLICE("welcome"));
	message_add_user(b, "user", &user);
	(void)json_add_member_string(b, "role", slice_str(roles[s->claims->role]));
	(void)json_add_member_bool(b, "direct", s->claims->direct.n > 0);
	(void)json_add_member_string(b, "session", session_id);
	(void)json_add_member_i64(b, "time", s->who.hub->now_ms);
	(void)json_add_member_u64(b, "heartbeat", c->chat.heartbeat_ms / 1000);
	(void)json_add_key(b, "limits");
	(void)buf_add_char(b, '{');
	(void)json_add_member_u64(b, "message", c->limits.message);
	(void)json_add_member_u64(b, "queue", c->limits.queue);
	(void)json_add_member_u64(b, "rooms_per_connection", c->limits.rooms_per_connection);
	(void)json_add_member_u64(b, "messages_per_second", c->limits.messages_per_second);
	(void)json_add_member_u64(b, "burst", c->limits.burst);
	(void)json_add_member_u64(b, "in_flight", SESSION_PENDING_MAX);
	(void)json_add_member_u64(b, "edit_window", c->chat.edit_window_ms / 1000);
	(void)buf_add_char(b, '}');
	session_add_expires(b, s);
	return buf_add_char(b, '}');
}

/* --- what a subscription is called in messages: room or topic --- */

static void
add_place(struct buf *b, const struct sub *sub)
{
	struct slice room = sub->is_room ? topic_room(sub_pattern(sub)) : SLICE_NONE;

	if (room.p != NULL)
		(void)json_add_member_string(b, "room", room);
	else
		(void)json_add_member_string(b, "topic", sub_pattern(sub));
}

/* What the session is told unasked must not get lost: without memory it ends. */
static void
send_own(struct session *s, const char *type, struct buf *b)
{
	if (buf_add_char(b, '}') == 0 && !b->failed)
		session_ops_of(s)->send(s, type, 0, buf_slice(b));
	else
		s->who.ops->fail(&s->who);
	buf_done(b);
}

void
session_deny(struct session *s, struct slice topic, const struct refusal *why)
{
	struct buf b = BUF_INIT(ANSWER_MAX);

	refusal_denied(&b, topic, why);
	send_own(s, "denied", &b);
}

void
gap_write(struct buf *b, const struct log_resume *gap, uint64_t asked, uint32_t dropped)
{
	if (gap->reason == LOG_GAP_UNREADABLE)
		(void)json_add_member_raw(b, "after", SLICE("null"));
	else
		(void)json_add_member_u64(b, "after", asked);
	if (gap->oldest == 0)
		(void)json_add_member_raw(b, "oldest", SLICE("null"));
	else
		(void)json_add_member_u64(b, "oldest", gap->oldest);
	(void)json_add_member_string(b, "reason", slice_str(log_gap_name(gap->reason)));
	if (dropped > 0)
		(void)json_add_member_u64(b, "dropped", dropped);
}

void
session_gap(struct subscriber *who, struct sub *sub, const struct log_resume *gap, uint64_t asked,
    uint32_t dropped)
{
	struct session *s = session_of(who);
	struct buf b = BUF_INIT(ANSWER_MAX);

	(void)buf_add_char(&b, '{');
	(void)json_add_member_string(&b, "type", SLICE("gap"));
	if (sub != NULL)
		add_place(&b, sub);
	gap_write(&b, gap, asked, dropped);
	send_own(s, "gap", &b);
}

const struct claims *
session_claims(struct subscriber *who)
{
	return session_of(who)->claims;
}

static void
add_members(struct session *s, struct buf *b, struct slice topic, uint64_t *sequence)
{
	struct buf members = BUF_INIT(ANSWER_MAX);
	struct presence_view view = {0};

	if (presence_members(s->who.hub->log, topic, &members, &view) < 0)
		b->failed = true;
	(void)json_add_member_u64(b, "count", view.count);
	(void)json_add_member_raw(b, "members", buf_slice(&members));
	*sequence = view.sequence;
	buf_done(&members);
}

void
session_level(struct subscriber *who, struct sub *sub, bool presence_skipped)
{
	struct session *s = session_of(who);
	struct buf b = BUF_INIT(ANSWER_MAX);

	if (sub == NULL || !presence_skipped)
		return;
	(void)buf_add_char(&b, '{');
	(void)json_add_member_string(&b, "type", SLICE("members"));
	add_place(&b, sub);
	add_members(s, &b, sub_pattern(sub), &sub->presence_from);
	send_own(s, "members", &b);
}

/* --- rooms and topics --- */

int
room_topic(struct buf *out, struct slice room, struct refusal *why)
{
	char clean[REFUSE_CLEAN];
	const char *error;

	(void)BUF_ADD_LIT(out, "chat/");
	if (room.n > TOPIC_MAX)
		error = "is too long";
	else if (buf_add_slice(out, room) < 0)
		return append_refusal(-ENOMEM, why);
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

static void
answer_joined(struct session *s, struct caller *c, struct sub *sub, struct slice ref, bool resumed,
    struct slice members, size_t count)
{
	struct buf b;

	answer_start(&b, "joined", ref);
	(void)json_add_member_string(&b, "room", topic_room(sub_pattern(sub)));
	(void)json_add_member_u64(&b, "count", count);
	(void)json_add_member_raw(&b, "members", members);
	(void)json_add_member_bool(&b, "resumed", resumed);
	(void)json_add_member_u64(&b, "latest", latest_of(s, sub_pattern(sub)));
	marker_add(&b, s->who.hub->log, sub_pattern(sub), slice_str(s->claims->user_id),
	    s->who.hub->now_ms);
	caller_answer(c, "joined", &b);
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
refuse_name(const struct session *s, struct refusal *why)
{
	char clean[REFUSE_CLEAN];

	return refuse(why, ERROR_CONFLICT,
	    "the name '%s' is, or looks like, that of somebody else in this room: choose another",
	    refuse_clean(session_user(s).name, clean));
}

int
session_join(struct session *s, struct caller *c, struct slice room, const struct position *from,
    struct slice ref, struct refusal *why)
{
	struct buf topic = BUF_INIT(TOPIC_MAX + 64);
	struct buf members = BUF_INIT(ANSWER_MAX);
	char clean[REFUSE_CLEAN];
	bool resumed = false;
	bool was_room;
	bool is_new;
	struct sub *sub;
	size_t count = 0;
	int r = room_topic(&topic, room, why);

	if (r < 0)
		goto out;
	if (!claims_may_subscribe(s->claims, buf_slice(&topic))) {
		r = refuse(why, ERROR_INSUFFICIENT_SCOPE,
		    "topic 'chat/%s' is not in belfry.subscribe", refuse_clean(room, clean));
		goto out;
	}
	r = moderation_may_join(s->who.hub, s->claims, buf_slice(&topic), why);
	if (r < 0)
		goto out;
	sub = open_sub(s, buf_slice(&topic), true, &is_new, why);
	r = sub == NULL ? -1 : 0;
	if (r < 0)
		goto out;
	was_room = !is_new && sub->is_room;
	r = enter_room(s, sub, &members, &count);
	if (r < 0) {
		if (is_new)
			hub_unsubscribe(s->who.hub, sub);
		r = r == -EEXIST ? refuse_name(s, why) : append_refusal(r, why);
		goto out;
	}
	if (is_new)
		counter_add(s->who.hub->counters, COUNTER_SUBSCRIPTIONS, 1);
	if (!was_room) /* it may have been subscribed as a topic */
		s->who.n_rooms++;
	start_reading(s, sub, from, &resumed);
	answer_joined(s, c, sub, ref, resumed, buf_slice(&members), count);
	reader_advance(s->who.hub, sub);
out:
	buf_done(&topic);
	buf_done(&members);
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
	counter_sub(h->counters, COUNTER_SUBSCRIPTIONS, 1);
	hub_unsubscribe(h, sub);
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
	if (!claims_may_subscribe(s->claims, pattern))
		return refuse(why, ERROR_INSUFFICIENT_SCOPE,
		    "topic '%s' is not in belfry.subscribe", refuse_clean(pattern, clean));
	if (moderation_may_join(s->who.hub, s->claims, pattern, why) < 0)
		return -1;
	sub = open_sub(s, pattern, false, &is_new, why);
	if (sub == NULL)
		return -1;
	if (is_new)
		counter_add(s->who.hub->counters, COUNTER_SUBSCRIPTIONS, 1);
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
	counter_sub(s->who.hub->counters, COUNTER_SUBSCRIPTIONS, 1);
	hub_unsubscribe(s->who.hub, sub);
}

int
session_refresh(struct session *s, struct claims *claims, struct refusal *why)
{
	struct hub *h = s->who.hub;
	struct sub *sub;
	struct sub *next;

	if (strcmp(claims->user_id, s->claims->user_id) != 0) {
		claims_unref(claims);
		return refuse(why, ERROR_FORBIDDEN,
		    "the new token is for another user: sub must stay the same");
	}
	claims_unref(s->claims);
	s->claims = claims;
	s->who.may_be_banned = moderation_bound(h, claims).p != NULL;
	if (claims->has_name) { /* a token's name goes before one that was asked for */
		mem_free(s->name);
		s->name = NULL;
	}
	for (sub = s->who.subs; sub != NULL; sub = next) {
		const char *reason = NULL;

		next = sub->next;
		if (!claims_may_subscribe(claims, sub_pattern(sub)))
			reason = "the new token does not permit it";
		else if (sub->at->is_topic &&
			 moderation_may_join(h, claims, sub_pattern(sub), why) < 0)
			reason = why->text; /* he was an administrator */
		if (reason != NULL && sub->is_room)
			session_leave(s, &s->caller, sub, reason, SLICE_NONE);
		else if (reason != NULL)
			session_unsubscribe(s, &s->caller, sub, reason, SLICE_NONE);
	}
	session_ops_of(s)->token_changed(s);
	return 0;
}

static void
describe_subs(const struct session *s, bool rooms, struct buf *out)
{
	bool is_first = true;

	(void)json_add_key(out, rooms ? "rooms" : "topics"); /* a failure sticks */
	(void)buf_add_char(out, '[');
	for (const struct sub *sub = s->who.subs; sub != NULL; sub = sub->next) {
		if (sub->is_room != rooms)
			continue;
		if (!is_first)
			(void)buf_add_char(out, ',');
		is_first = false;
		(void)json_add_string(out, rooms ? topic_room(sub_pattern(sub)) : sub_pattern(sub));
	}
	(void)buf_add_char(out, ']');
}

void
session_describe(const struct session *s, struct buf *out)
{
	struct message_from user = session_user(s);

	message_add_user(out, "user", &user);
	describe_subs(s, true, out);
	describe_subs(s, false, out);
}
