#include "core/publish.h"

#include <errno.h>
#include <stdio.h>

#include "base/utf8.h"
#include "core/change.h"
#include "core/config.h"
#include "core/field.h"
#include "core/limiter.h"
#include "core/mention.h"
#include "core/moderation.h"
#include "core/name.h"
#include "core/presence.h"
#include "core/reader.h"
#include "core/slow.h"
#include "core/topic.h"
#include "proto/json.h"
#include "proto/sse.h"

/* --- from JSON --- */

static int
take_tags(struct json_flat *f, struct draft *d, struct refusal *why)
{
	struct json_value tags = json_get(f, "tags");
	struct slice rest = tags.raw;
	struct json_value tag;

	if (tags.kind == JSON_IS_ABSENT)
		return 0;
	if (tags.kind != JSON_IS_ARRAY)
		return refuse(why, ERROR_BAD_FIELD, "tags must be an array of strings");
	while (json_next_value(&rest, &tag)) {
		if (tag.kind != JSON_IS_STRING)
			return refuse(why, ERROR_BAD_FIELD, "tags must be an array of strings");
		if (d->n_tags == DRAFT_TAGS)
			return refuse(why, ERROR_BAD_FIELD, "tags may be at most %d", DRAFT_TAGS);
		if (field_text(f, tag, &d->tags[d->n_tags], why) < 0)
			return -1;
		d->n_tags++;
	}
	return 0;
}

static int
take_integer(const struct json_flat *f, const char *name, uint64_t min, uint64_t max, uint64_t *out,
    struct refusal *why)
{
	struct json_value value = json_get(f, name);

	if (value.kind == JSON_IS_ABSENT)
		return 0;
	if (json_value_u64(value, out) < 0 || *out < min || *out > max)
		return refuse(why, ERROR_BAD_FIELD, "%s must be an integer from %llu to %llu", name,
		    (unsigned long long)min, (unsigned long long)max);
	return 0;
}

static int
take_at(struct json_flat *f, struct draft *d, struct refusal *why)
{
	struct json_value at = json_get(f, "at");

	if (at.kind == JSON_IS_ABSENT)
		return 0;
	if (at.kind == JSON_IS_STRING) {
		if (field_text(f, at, &d->at, why) < 0)
			return -1;
		/* an empty field of a form is not there, but here it was to say something */
		return slice_trim(d->at).n > 0
			   ? 0
			   : refuse(why, ERROR_BAD_FIELD, "%s", DRAFT_AT_WANTED);
	}
	if (json_value_u64(at, &d->at_s) < 0) {
		if (at.kind != JSON_IS_NUMBER)
			return refuse(why, ERROR_BAD_FIELD, "%s", DRAFT_AT_WANTED);
		d->at = at.raw; /* seconds with a fraction, else what reads it refuses it */
		return 0;
	}
	d->at_s = max_u64(1, d->at_s); /* 0 means none; both are over */
	return 0;
}

int
draft_from_json(struct json_flat *f, struct draft *out, struct refusal *why)
{
	uint64_t priority = 0;

	draft_begin(out, "topic");
	if (json_whole(f).kind != JSON_IS_OBJECT)
		return refuse(why, ERROR_BAD_FIELD, "a message must be a JSON object");
	if (field_string(f, "topic", &out->topic, why) < 0 ||
	    field_string(f, "event", &out->event, why) < 0 ||
	    field_string(f, "title", &out->title, why) < 0 ||
	    field_string(f, "message", &out->text, why) < 0 ||
	    field_string(f, "click", &out->click, why) < 0 ||
	    field_string(f, "key", &out->key, why) < 0 ||
	    field_string(f, "to", &out->to, why) < 0 || take_tags(f, out, why) < 0 ||
	    take_integer(f, "priority", 1, 5, &priority, why) < 0 ||
	    take_integer(f, "ttl", 1, DRAFT_TTL_MAX, &out->ttl_s, why) < 0 ||
	    take_at(f, out, why) < 0)
		return -1;
	out->priority = (unsigned)priority;
	return field_data(f, &out->data, &out->data_text, why);
}

int
draft_set_tags(struct draft *d, struct slice list, struct refusal *why)
{
	struct slice rest = list;

	while (rest.p != NULL) {
		struct slice tag = slice_trim(slice_cut(&rest, ','));

		if (tag.n == 0)
			continue;
		if (d->n_tags == DRAFT_TAGS)
			return refuse(why, ERROR_BAD_FIELD, "tags may be at most %d", DRAFT_TAGS);
		d->tags[d->n_tags++] = tag;
	}
	return 0;
}

unsigned
draft_priority(struct slice s)
{
	return s.n == 1 && s.p[0] >= '1' && s.p[0] <= '5' ? (unsigned)(s.p[0] - '0') : 0;
}

/* --- checks --- */

static int
resolve_topic(
    struct draft *d, const struct config *c, const struct claims *who, struct refusal *why)
{
	struct buf b = BUF_INIT(sizeof(d->topic_room));
	int r = 0;

	if (d->to.p != NULL) {
		(void)BUF_ADD_LIT(&b, "user/");
		r = d->to.n == 0 || d->to.n > TOKEN_SUB_MAX ? -1 : topic_add_segment(&b, d->to);
		if (r == 0 && d->topic.p != NULL && !slice_eq(d->topic, buf_slice(&b)))
			r = refuse(why, ERROR_BAD_FIELD,
			    "topic and to name different topics: give one of them");
		else if (r == -ENOMEM)
			r = append_refusal(r, why);
		else if (r < 0 || b.n > TOPIC_MAX)
			r = refuse(why, ERROR_BAD_FIELD, "to must be a user id of 1 to 128 bytes");
	} else if (d->topic.p == NULL) {
		if (c->events.topics.n == 0)
			return refuse(
			    why, ERROR_BAD_FIELD, "topic is missing and events.topics is empty");
		r = pattern_expand(&b, slice_str(c->events.topics.v[0]), slice_str(who->user_id));
		if (r == -ENOMEM)
			r = append_refusal(r, why);
		else if (r < 0)
			r = refuse(why, ERROR_BAD_FIELD,
			    "topic is missing, and the first of events.topics cannot be used");
	}
	if (r == 0 && b.n > 0) {
		memcpy(d->topic_room, b.p, b.n);
		d->topic = slice_of(d->topic_room, b.n);
	}
	buf_done(&b);
	return r < 0 ? -1 : 0;
}

static int
check_topic(struct draft *d, const struct claims *who, struct refusal *why)
{
	const char *error = topic_error(d->topic);
	char clean[REFUSE_CLEAN] UNCLEARED;

	if (error != NULL)
		return refuse(why, ERROR_BAD_FIELD, "%s '%s' %s", d->topic_field,
		    refuse_clean(d->topic, clean), error);
	if (slice_has_prefix(d->topic, SLICE("server/")))
		return refuse(why, ERROR_INSUFFICIENT_SCOPE,
		    "topic '%s' is the server's own: nobody publishes under server/",
		    refuse_clean(d->topic, clean));
	if (d->is_direct && !claims_may_direct(who, d->to))
		return refuse(why, ERROR_INSUFFICIENT_SCOPE, "user '%s' is not in belfry.direct",
		    refuse_clean(d->to, clean));
	if (!d->is_direct && !claims_may_publish(who, d->topic))
		return refuse(why, ERROR_INSUFFICIENT_SCOPE, "topic '%s' is not in belfry.publish",
		    refuse_clean(d->topic, clean));
	return 0;
}

/* Names that streams use themselves: a publisher cannot fake them (docs/wire.md, "Event streams"). */
static bool
is_reserved_event(struct slice event)
{
	static const char *const reserved[] = {"gap", "denied", "closing", "expiring", "expired",
	    "error", "open", "user", "problem", "heartbeat"};

	for (size_t i = 0; event.p != NULL && i < ARRAY_LEN(reserved); i++) {
		if (slice_eq(event, slice_str(reserved[i])))
			return true;
	}
	return false;
}

static int
check_given(const char *name, struct slice s, size_t max, bool one_line, struct refusal *why)
{
	if (!utf8_is_valid(s))
		return refuse(why, ERROR_BAD_FIELD, "%s is not UTF-8", name);
	if (memchr(s.p, '\0', s.n) != NULL) /* JSON may not bring one either */
		return refuse(why, ERROR_BAD_FIELD, "%s has a NUL character", name);
	if (s.n > max)
		return refuse(why, ERROR_BAD_FIELD, "%s has %zu bytes, at most %zu are allowed",
		    name, s.n, max);
	if (one_line && utf8_has_control(s))
		return refuse(why, ERROR_BAD_FIELD, "%s has a control character", name);
	return 0;
}

/* Most are not given. */
static inline int
check_text(const char *name, struct slice s, size_t max, bool one_line, struct refusal *why)
{
	return s.p == NULL ? 0 : check_given(name, s, max, one_line, why);
}

static int
check_fields(struct hub *h, struct draft *d, struct refusal *why)
{
	/* what it is called where it came from: a chat or a direct message has no title */
	bool is_said = d->is_direct || strcmp(d->topic_field, "room") == 0;
	size_t size = d->title.n + d->text.n + d->data.n;

	if (d->key.n == 0)
		d->key = SLICE_NONE; /* an empty key is none */
	if (d->event.n == 0)
		d->event = SLICE_NONE;
	if (utf8_is_blank(d->title))
		d->title = SLICE_NONE;
	if (d->text.n == 0)
		d->text = SLICE_NONE;
	if (check_text("event", d->event, DRAFT_NAME_MAX, true, why) < 0 ||
	    check_text("title", d->title, DRAFT_TITLE_MAX, true, why) < 0 ||
	    check_text(is_said ? "content" : "message", d->text, SIZE_MAX, false, why) < 0 ||
	    check_text("click", d->click, DRAFT_CLICK_MAX, true, why) < 0 ||
	    check_text("key", d->key, DRAFT_KEY_MAX, true, why) < 0)
		return -1;
	for (size_t i = 0; i < d->n_tags; i++) {
		if (check_text("tags", d->tags[i], DRAFT_TAG_MAX, true, why) < 0)
			return -1;
	}
	if (is_reserved_event(d->event))
		return refuse(why, ERROR_BAD_FIELD,
		    "event '%.*s' is reserved for the stream itself", SLICE_ARG(d->event));
	if (size > h->config->limits.message)
		return refuse_limit(why, ERROR_TOO_LARGE, "limits.message", 0,
		    "the message has %zu bytes, limits.message allows %u", size,
		    h->config->limits.message);
	if (utf8_is_blank(d->text) && d->title.p == NULL && d->data.p == NULL)
		return refuse(why, ERROR_BAD_FIELD, "the message is empty: %s is needed",
		    is_said ? "content or data" : "message, title or data");
	return 0;
}

/* The message's own time: when it is heard. */
static int64_t
time_of(const struct hub *h, const struct draft *d)
{
	return d->at_ms != 0 ? d->at_ms : h->now_ms;
}

int
publish_check_name(const struct hub *h, const struct claims *who, const struct message_from *from,
    struct slice topic, struct refusal *why)
{
	struct buf key = BUF_INIT(NAME_KEY_MAX);
	int r = 0;

	if (!who->is_guest || topic_room(topic).p == NULL)
		return 0;
	if (name_key(from->name, &key) == -ENOMEM)
		r = refuse_memory(why);
	else if (presence_is_other(h->log, topic, from, buf_slice(&key)))
		r = refuse_name(from->name, why);
	buf_done(&key);
	return r;
}

static int
make_chat(const struct draft *d, struct message_from from, const struct topic_rule *rule,
    struct hub *h, uint64_t origin, struct message **out, struct refusal *why)
{
	struct message_chat chat = {.topic = d->topic,
	    .from = from,
	    .content = d->text,
	    .data = d->data,
	    .key = d->key,
	    .reply_to = d->reply_to};
	struct buf mentions = BUF_INIT(MENTIONS_BYTES);

	if (d->title.p != NULL || d->event.p != NULL)
		return refuse(why, ERROR_BAD_FIELD,
		    "%s cannot be given on a chat room: message is the content",
		    d->title.p != NULL ? "title" : "event");
	if (d->ttl_s != 0)
		chat.expires_ms = time_of(h, d) + (int64_t)d->ttl_s * 1000;
	if (mention_find(h->log, d->topic, d->text, &mentions) == 0) {
		if (mentions.n > 0)
			chat.mentions = buf_slice(&mentions);
		*out = message_chat(&chat, rule, time_of(h, d), origin);
	}
	buf_done(&mentions);
	return 0;
}

/* One message under both users' topics; to oneself, or when the sender can have none, under one. */
static void
make_direct(const struct draft *d, const struct claims *who, struct message_from from,
    const struct topic_rule *rule, struct hub *h, uint64_t origin, struct message **out)
{
	struct slice own = slice_str(who->user_topic);
	char to_room[256];
	struct buf to = BUF_ON(to_room, 8 * TOKEN_SUB_MAX);
	struct buf mentions = BUF_INIT(MENTIONS_BYTES);
	struct message_chat direct = {.topic = d->topic,
	    .from = from,
	    .content = d->text,
	    .data = d->data,
	    .key = d->key,
	    .reply_to = d->reply_to};

	if (own.n <= TOPIC_MAX && !slice_eq(own, d->topic))
		direct.also = own;
	if (json_add_string(&to, d->to) == 0 &&
	    mention_find_direct(h->log, from, d->to, d->text, &mentions) == 0) {
		direct.to = buf_slice(&to);
		if (mentions.n > 0)
			direct.mentions = buf_slice(&mentions);
		*out = message_chat(&direct, rule, time_of(h, d), origin);
	}
	buf_done(&mentions);
	buf_done(&to);
}

static void
make_notice(const struct draft *d, struct message_from from, const struct topic_rule *rule,
    struct hub *h, uint64_t origin, struct message **out)
{
	struct message_notice notice = {.topic = d->topic,
	    .event = d->event,
	    .title = d->title,
	    .text = d->text,
	    .click = d->click.n == 0 ? SLICE_NONE : d->click,
	    .data = d->data,
	    .tags = d->tags,
	    .n_tags = d->n_tags,
	    .priority = d->priority,
	    .from = from,
	    .key = d->key};

	if (d->ttl_s != 0)
		notice.expires_ms = time_of(h, d) + (int64_t)d->ttl_s * 1000;
	*out = message_notice(&notice, d->data_text, rule, time_of(h, d), origin);
}

/* The rule `slow` of a room: who moderates may speak at any time. */
static int
check_slow(struct hub *h, const struct claims *who, const struct draft *d,
    const struct topic_rule *rule, struct refusal *why)
{
	uint64_t wait_ms;

	if (rule->slow_ms == 0 || h->slow == NULL || who->role != ROLE_USER)
		return 0;
	wait_ms = slow_take(
	    h->slow, slice_str(who->user_id), d->topic, d->key, rule->slow_ms, h->mono_us / 1000);
	if (wait_ms == 0)
		return 0;
	return refuse_limit(why, ERROR_RATE_LIMITED, "topics.slow", limiter_retry_s(wait_ms),
	    "this room is in slow mode: one message in %llu s of each user (topics.slow)",
	    (unsigned long long)(rule->slow_ms + 999) / 1000);
}

int
draft_message(struct hub *h, const struct claims *who, struct message_from from, struct draft *d,
    uint64_t origin, struct append_item *out, struct refusal *why)
{
	const struct topic_rule *rule;
	struct message *m = NULL;

	if (resolve_topic(d, h->config, who, why) < 0 || check_topic(d, who, why) < 0 ||
	    moderation_may_send(h, who, d->topic, why) < 0 || check_fields(h, d, why) < 0 ||
	    publish_check_name(h, who, &from, d->topic, why) < 0 ||
	    draft_take_time(d, h->now_ms, h->config->storage.scheduled_ahead_ms, why) < 0)
		return -1;
	if (d->at_ms != 0)
		origin = 0; /* by then nobody's connection: all hear it */
	rule = config_rule(h->config, d->topic);
	if (rule->history == 0 && d->key.p != NULL)
		return refuse(why, ERROR_BAD_FIELD,
		    "key cannot be given: this topic keeps no history to know it by");
	if (d->is_direct) {
		make_direct(d, who, from, rule, h, origin, &m);
	} else if (topic_room(d->topic).p != NULL) {
		if (make_chat(d, from, rule, h, origin, &m, why) < 0)
			return -1;
		if (m != NULL && check_slow(h, who, d, rule, why) < 0) {
			message_unref(m);
			return -1;
		}
	} else {
		make_notice(d, from, rule, h, origin, &m);
	}
	if (m == NULL)
		return refuse_memory(why);
	*out = (struct append_item){
	    .message = m, .what = d->at_ms == 0 ? APPEND_NOW : APPEND_LATER, .at_ms = d->at_ms};
	append_set_also(out, h->config);
	return 0;
}

int
publish_rate(struct hub *h, const struct claims *who, unsigned n, struct refusal *why)
{
	uint32_t limit = h->config->limits.publishes_per_second;
	struct rate rate = {limit, 1000, limit};
	uint64_t wait_ms;

	if (limit == 0 || h->publishes == NULL)
		return 0;
	wait_ms = limiter_take(h->publishes, slice_str(who->user_id), rate, n, h->mono_us / 1000);
	if (wait_ms == 0)
		return 0;
	return refuse_limit(why, ERROR_RATE_LIMITED, "limits.publishes_per_second",
	    limiter_retry_s(wait_ms), "more than %u messages a second of one user", limit);
}

int
refuse_name(struct slice name, struct refusal *why)
{
	char clean[REFUSE_CLEAN];

	return refuse(why, ERROR_CONFLICT,
	    "the name '%s' is, or looks like, that of somebody else in this room: choose another",
	    refuse_clean(name, clean));
}

int
append_refusal(int status, struct refusal *why)
{
	if (status == -EAGAIN)
		return refuse_limit(why, ERROR_UNAVAILABLE, NULL, 1,
		    "the log cannot take more at this moment; try again");
	if (status == -ENOENT)
		return refuse(
		    why, ERROR_NOT_FOUND, "the message is no more: it was deleted just now");
	if (status == -EOVERFLOW)
		return refuse_limit(why, ERROR_TOO_MANY, "chat.reactions", 0,
		    "a message takes at most %d different reactions", CHANGE_REACTIONS_MAX);
	if (status == -EDQUOT)
		return refuse_limit(why, ERROR_TOO_MANY, "storage.scheduled", 60,
		    "as many messages are scheduled as storage.scheduled allows");
	if (status == -EUSERS)
		return refuse_limit(why, ERROR_TOO_MANY, "storage.scheduled_per_user", 60,
		    "this user has scheduled as many messages as storage.scheduled_per_user allows");
	if (status == -ENOSPC)
		return refuse_limit(why, ERROR_TOO_MANY, "limits.topics", 60,
		    "the server knows as many topics as limits.topics allows");
	if (status == -EIO)
		return refuse_limit(why, ERROR_UNAVAILABLE, NULL, 1,
		    "the log's disk fails at this moment; try again");
	if (status == -ETIMEDOUT)
		return refuse_limit(
		    why, ERROR_UNAVAILABLE, NULL, 1, "reading the log took too long; ask for less");
	if (status == -ECANCELED)
		return refuse_limit(
		    why, ERROR_UNAVAILABLE, NULL, 1, "the server is going down; try again");
	return refuse_memory(why);
}
