#include <errno.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "core/change.h"
#include "core/command_list.h"
#include "core/mention.h"
#include "core/moderation.h"
#include "core/name.h"
#include "core/topic.h"
#include "proto/json.h"

/*
 * `edit`, `delete` and `react`: the target is looked up first, for it says where it stands and whose it
 * is; then the change is appended, and the store looks once more whether the target is still there.
 */

/* What is asked, until the target is found. The session may be gone by then. */
struct asking {
	struct lookup lookup;
	struct log_read read;
	struct hub *hub;
	struct claims *claims; /* one reference */
	uint64_t origin;
	enum message_kind kind;
	bool is_off;
	uint64_t target;
	/* all behind the struct */
	struct slice name, ref, room, content, data, emoji;
};

static const struct log_filter everything[] = {
    {.pattern = {"**", 2}},
    {.pattern = {"user/**", 7}}, /* which a leading wildcard does not reach */
};

static void
asking_free(struct asking *q)
{
	claims_unref(q->claims);
	mem_free(q);
}

/* --- whether it may be --- */

static bool
may_read(const struct claims *c, const struct message *m)
{
	return claims_may_subscribe(c, m->topic) ||
	       (m->also_n > 0 && claims_may_subscribe(c, message_also(m)));
}

static int
refuse_unknown(uint64_t target, struct refusal *why)
{
	return refuse(why, ERROR_NOT_FOUND,
	    "there is no message %llu: it never was, is kept no longer, was deleted, or may not be read",
	    (unsigned long long)target);
}

/* What is one's own can be changed for a while; moderators are not bound. */
static int
check_owner(const struct asking *q, const struct message *m, struct refusal *why)
{
	uint64_t window_ms = q->hub->config->chat.edit_window_ms;
	const char *what = q->kind == MESSAGE_EDITED ? "edited" : "deleted";

	bool is_own = slice_eq(m->user_id, slice_str(q->claims->user_id));

	/* who is banned or muted there does not moderate there, either */
	if (q->claims->role >= ROLE_MODERATOR)
		return is_own ? 0 : moderation_may_send(q->hub, q->claims, m->topic, why);
	if (!is_own)
		return refuse(why, ERROR_FORBIDDEN,
		    "message %llu is somebody else's: only moderators may have it %s",
		    (unsigned long long)m->id, what);
	if (window_ms != 0 && q->hub->now_ms - m->time_ms > (int64_t)window_ms)
		return refuse_limit(why, ERROR_FORBIDDEN, "chat.edit_window", 0,
		    "message %llu is %lld s old: after %llu s (chat.edit_window) it can no longer be %s",
		    (unsigned long long)m->id, (long long)((q->hub->now_ms - m->time_ms) / 1000),
		    (unsigned long long)window_ms / 1000, what);
	return 0;
}

/* May one write there: in its room; or to the other one, of a direct message. */
static int
check_publish(const struct asking *q, const struct message *m, struct slice to, struct refusal *why)
{
	bool is_direct = m->kind == MESSAGE_DIRECT;
	bool is_sender = slice_eq(m->user_id, slice_str(q->claims->user_id));
	struct slice other = is_sender ? to : m->user_id;
	char clean[REFUSE_CLEAN];

	if (is_direct && !claims_may_direct(q->claims, other))
		return refuse(why, ERROR_INSUFFICIENT_SCOPE, "user '%s' is not in belfry.direct",
		    refuse_clean(other, clean));
	if (!is_direct && !claims_may_publish(q->claims, m->topic))
		return refuse(why, ERROR_INSUFFICIENT_SCOPE, "topic '%s' is not in belfry.publish",
		    refuse_clean(m->topic, clean));
	/* who is muted may still take back what was said */
	return q->kind == MESSAGE_DELETED ? 0
					  : moderation_may_send(q->hub, q->claims, m->topic, why);
}

/* What is edited, with what is kept of it, is a message like others. */
static int
check_size(const struct asking *q, const struct message *m, struct refusal *why)
{
	uint32_t limit = q->hub->config->limits.message;
	size_t n = q->content.p != NULL ? q->content.n : m->content.n;

	n += q->data.p != NULL ? q->data.n : json_raw_member(m->json, "data").n;
	if (n <= limit)
		return 0;
	return refuse_limit(why, ERROR_TOO_LARGE, "limits.message", 0,
	    "the message would have %zu bytes, limits.message allows %u", n, limit);
}

/* to: of a direct message the receiver. */
static int
check_target(const struct asking *q, const struct message *m, struct slice to, struct refusal *why)
{
	char clean[REFUSE_CLEAN];

	if (m == NULL || m->id != q->target || m->is_deleted || !may_read(q->claims, m))
		return refuse_unknown(q->target, why);
	if (!change_is_for(m))
		return refuse(why, ERROR_BAD_FIELD,
		    "target %llu is no chat message: only those can be edited, deleted or reacted to",
		    (unsigned long long)m->id);
	if (q->room.p != NULL && !slice_eq(q->room, topic_room(m->topic)))
		return refuse(why, ERROR_BAD_FIELD, "message %llu is not in room '%s'",
		    (unsigned long long)m->id, refuse_clean(q->room, clean));
	if (check_publish(q, m, to, why) < 0)
		return -1;
	if (q->kind == MESSAGE_REACTION)
		return 0;
	if (check_owner(q, m, why) < 0)
		return -1;
	return q->kind == MESSAGE_EDITED ? check_size(q, m, why) : 0;
}

/* --- when it is found --- */

/* The record of a change to a direct message goes to both users, also when one's topic has lost it. */
struct places {
	struct slice to;
	struct buf topic, also;
	char topic_bytes[TOPIC_MAX], also_bytes[TOPIC_MAX];
};

static int
add_user_topic(struct buf *b, struct slice user_id)
{
	(void)BUF_ADD_LIT(b, "user/");
	(void)topic_add_segment(b, user_id);
	return b->failed ? -ENOMEM : 0;
}

/* A sender whose id makes no topic has none; then the receiver's is the only one. */
static int
find_places(const struct message *m, struct slice to, struct places *out)
{
	out->to = to;
	out->topic = BUF_ON(out->topic_bytes, 4 * TOPIC_MAX);
	out->also = BUF_ON(out->also_bytes, 4 * TOPIC_MAX);
	if (add_user_topic(&out->topic, to) < 0 || add_user_topic(&out->also, m->user_id) < 0)
		return -ENOMEM;
	if (out->also.n > TOPIC_MAX || slice_eq(buf_slice(&out->topic), buf_slice(&out->also)))
		out->also.n = 0;
	return 0;
}

/* Of what is said now. to: of a direct message the receiver. */
static int
find_mentions(
    const struct asking *q, const struct message *target, struct slice to, struct buf *out)
{
	struct message_from sender = {target->user_id, target->name};

	if (q->content.p == NULL)
		return 0;
	if (target->kind == MESSAGE_DIRECT)
		return mention_find_direct(q->hub->log, sender, to, q->content, out);
	return mention_find(q->hub->log, target->topic, q->content, out);
}

static int
append(struct asking *q, struct caller *c, const struct message *target, struct places *places,
    struct refusal *why)
{
	struct buf mentions = BUF_INIT(MENTIONS_BYTES);
	struct message_change change = {.kind = q->kind,
	    .target = target,
	    .user = {slice_str(q->claims->user_id), q->name},
	    .content = q->content,
	    .data = q->data,
	    .emoji = q->emoji,
	    .is_off = q->is_off};
	struct append *a = append_new(1);

	if (q->ref.p != NULL && a != NULL)
		a->ref = mem_strdup(q->ref);
	if (a == NULL || (q->ref.p != NULL && a->ref == NULL) ||
	    find_mentions(q, target, places->to, &mentions) < 0)
		goto out;
	if (mentions.n > 0)
		change.mentions = buf_slice(&mentions);
	if (target->kind == MESSAGE_DIRECT) {
		change.topic = buf_slice(&places->topic);
		change.also = places->also.n == 0 ? SLICE_NONE : buf_slice(&places->also);
	}
	a->one.what = APPEND_CHANGE;
	a->one.message = change_record(&change,
	    config_rule(q->hub->config, change.topic.p == NULL ? target->topic : change.topic),
	    q->hub->now_ms, q->origin);
out:
	buf_done(&mentions);
	if (a == NULL || a->one.message == NULL) {
		append_free(a);
		return refuse_memory(why);
	}
	append_set_also(&a->one, q->hub->config);
	return caller_append(c, q->hub, a, why);
}

/* m: what was found at the id; NULL: nothing. */
static int
carry_out(struct asking *q, struct caller *c, const struct message *m, struct refusal *why)
{
	struct buf to = BUF_INIT(TOKEN_SUB_MAX);
	struct places places;
	int r = 0;

	places.topic = places.also = BUF_INIT(0);
	places.to = SLICE_NONE;
	if (m != NULL && m->kind == MESSAGE_DIRECT &&
	    (change_receiver(m, &to) < 0 || find_places(m, buf_slice(&to), &places) < 0))
		r = refuse_memory(why);
	if (r == 0)
		r = check_target(q, m, buf_slice(&to), why);
	if (r == 0)
		r = append(q, c, m, &places, why);
	buf_done(&to);
	buf_done(&places.topic);
	buf_done(&places.also);
	return r;
}

static void
on_found(struct log_read *r)
{
	struct asking *q = CONTAINER(r, struct asking, read);
	struct caller *c = lookup_end(&q->lookup);
	const struct message *m = r->n == 0 ? NULL : r->messages[0];
	struct refusal why;
	int status;

	if (c == NULL)
		goto out;
	if (r->status < 0)
		status = append_refusal(r->status, &why);
	else
		status = carry_out(q, c, m, &why);
	if (status < 0)
		c->ops->refused(c, &why, q->ref);
	caller_tell_pending(c);
out:
	log_read_release(r);
	asking_free(q);
}

/* --- asking --- */

static struct asking *
asking_new(struct session *s, const struct asking *what)
{
	struct slice name = session_user(s).name;
	struct asking *q = mem_alloc(sizeof(*q) + name.n + what->ref.n + what->room.n +
				     what->content.n + what->data.n + what->emoji.n);
	char *at;

	if (q == NULL)
		return NULL;
	*q = *what;
	at = (char *)(q + 1);
	q->name = slice_place(&at, name);
	q->ref = slice_place(&at, what->ref);
	q->room = slice_place(&at, what->room);
	q->content = slice_place(&at, what->content);
	q->data = slice_place(&at, what->data);
	q->emoji = slice_place(&at, what->emoji);
	q->hub = s->who.hub;
	q->claims = claims_ref(s->claims);
	q->origin = s->who.number;
	return q;
}

/* Members that all of them have. */
static int
take_target(const struct command *cmd, struct asking *out, struct refusal *why)
{
	struct json_value target = json_get(cmd->json, "target");

	if (target.kind == JSON_IS_ABSENT)
		return refuse(why, ERROR_BAD_FIELD, "target (a message id) is missing");
	if (json_value_u64(target, &out->target) < 0 || out->target == 0)
		return refuse(why, ERROR_BAD_FIELD, "target must be a message id");
	out->ref = cmd->ref;
	return command_take_string(cmd, "room", &out->room, why);
}

static int
ask(struct session *s, struct caller *c, const struct asking *what, struct refusal *why)
{
	struct asking *q;
	struct log_read *r;

	if (publish_rate(s->who.hub, s->claims, 1, why) < 0)
		return -1;
	q = asking_new(s, what);
	if (q == NULL)
		return refuse_memory(why);
	lookup_begin(&q->lookup, c);
	r = &q->read;
	*r = (struct log_read){.mode = LOG_BACKWARD,
	    .filters = everything,
	    .n_filters = ARRAY_LEN(everything),
	    .before = q->target + 1,
	    .count = 1,
	    .max_bytes = 1,
	    .now_ms = q->hub->now_ms,
	    .worker = q->hub->worker,
	    .done = on_found};
	log_read(q->hub->log, r);
	return 0;
}

int
command_edit(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	uint32_t limit = s->who.hub->config->limits.message;
	struct asking q = {.kind = MESSAGE_EDITED};

	if (take_target(cmd, &q, why) < 0 ||
	    command_take_string(cmd, "content", &q.content, why) < 0)
		return -1;
	q.data = json_get(cmd->json, "data").raw;
	if (q.content.p == NULL && q.data.p == NULL)
		return refuse(why, ERROR_BAD_FIELD, "content (a string) or data is missing");
	if (q.content.p != NULL && q.data.p == NULL && utf8_is_blank(q.content))
		return refuse(why, ERROR_BAD_FIELD,
		    "the message would be empty: `delete` takes it back altogether");
	if (q.content.n + q.data.n > limit)
		return refuse_limit(why, ERROR_TOO_LARGE, "limits.message", 0,
		    "the message has %zu bytes, limits.message allows %u", q.content.n + q.data.n,
		    limit);
	return ask(s, c, &q, why);
}

int
command_delete(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	struct asking q = {.kind = MESSAGE_DELETED};

	return take_target(cmd, &q, why) < 0 ? -1 : ask(s, c, &q, why);
}

int
command_react(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	enum json_kind on = json_get(cmd->json, "on").kind;
	struct asking q = {.kind = MESSAGE_REACTION, .is_off = on == JSON_IS_FALSE};

	if (take_target(cmd, &q, why) < 0 || command_take_string(cmd, "emoji", &q.emoji, why) < 0)
		return -1;
	if (on != JSON_IS_ABSENT && on != JSON_IS_TRUE && on != JSON_IS_FALSE)
		return refuse(why, ERROR_BAD_FIELD, "on must be true or false");
	if (q.emoji.p == NULL)
		return refuse(why, ERROR_BAD_FIELD, "emoji is missing");
	if (q.emoji.n == 0 || q.emoji.n > CHANGE_EMOJI_MAX || !name_is_sign(q.emoji))
		return refuse(why, ERROR_BAD_FIELD,
		    "emoji must be 1 to %d bytes without spaces, control and direction characters",
		    CHANGE_EMOJI_MAX);
	return ask(s, c, &q, why);
}
