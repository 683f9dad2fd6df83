#include "core/session.h"

#include <errno.h>

#include "base/mem.h"
#include "core/config.h"
#include "core/known_name.h"
#include "core/moderation.h"
#include "core/presence.h"
#include "core/publish.h"
#include "core/read_marker.h"
#include "core/topic.h"
#include "proto/json.h"

#define ACK_BYTES  160         /* of an ack that needs no memory of its own */
#define ANSWER_MAX (64 * 1024) /* JSON of one answer that is not a page of history */

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
		if (q->read != NULL)
			log_read_forget(q->read);
	}
	c->n_pending = 0;
}

void
caller_tell_pending(struct caller *c)
{
	if (c->ops->pending != NULL)
		c->ops->pending(c);
}

void
lookup_begin(struct lookup *q, struct caller *c)
{
	q->caller = c;
	LIST_INSERT_HEAD(&c->lookups, q, link);
	c->n_pending++;
}

struct caller *
lookup_end(struct lookup *q)
{
	if (q->caller != NULL) {
		LIST_REMOVE(q, link);
		q->caller->n_pending--;
	}
	return q->caller;
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
	char bytes[ACK_BYTES] UNCLEARED;
	struct buf b = BUF_ON(bytes, ANSWER_MAX);

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
		caller_tell_pending(c);
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
		caller_tell_pending(c);
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
	known_name_note(h->log, session_user(s));
	return 0;
}

void
session_done(struct session *s, bool lost)
{
	struct hub *h = s->who.hub;

	if (s->claims == NULL)
		return;
	session_give_up_joining(s);
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
	const struct config *c = s->who.hub->config;
	struct message_from user = session_user(s);

	(void)buf_add_char(b, '{');
	(void)json_add_member_string(b, "type", SLICE("welcome"));
	message_add_user(b, "user", &user);
	(void)json_add_member_string(b, "role", slice_str(claims_role_name(s->claims->role)));
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
send_own(struct session *s, const char *type, uint64_t id, struct buf *b)
{
	if (buf_add_char(b, '}') == 0 && !b->failed)
		session_ops_of(s)->send(s, type, id, buf_slice(b));
	else
		s->who.ops->fail(&s->who);
	buf_done(b);
}

void
session_deny(struct session *s, struct slice topic, const struct refusal *why)
{
	struct buf b = BUF_INIT(ANSWER_MAX);

	refusal_denied(&b, topic, why);
	send_own(s, "denied", 0, &b);
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
	send_own(s, "gap", session_has_one(s) ? gap->gap_id : 0, &b);
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
	send_own(s, "members", 0, &b);
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
			reason = why->text; /* it was an administrator's before */
		if (reason != NULL)
			session_lose(s, sub, reason);
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
		if (rooms ? !sub->is_room : !sub->is_named)
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
