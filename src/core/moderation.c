#include "core/moderation.h"

#include <stdio.h>
#include <time.h>

#include "core/facts.h"
#include "core/topic.h"

const char *
moderation_time(int64_t ms, char out[MODERATION_TIME])
{
	time_t at = (time_t)(ms / 1000);
	struct tm tm;

	if (gmtime_r(&at, &tm) == NULL ||
	    strftime(out, MODERATION_TIME, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		(void)snprintf(out, MODERATION_TIME, "then");
	return out;
}

/* "you are banned from this room until … by ann: spam" */
static int
refuse_found(const struct hub *h, enum fact_kind kind, bool everywhere, const struct fact_found *f,
    struct refusal *why)
{
	bool is_ban = kind == FACT_BAN;
	const char *place = everywhere ? "all rooms" : "this room";
	char when[MODERATION_TIME] = "";
	char reason[REFUSE_CLEAN] = "";
	char by[REFUSE_CLEAN] = "";
	uint32_t retry_s = 0;

	if (f->until_ms != 0) {
		(void)moderation_time(f->until_ms, when);
		retry_s =
		    (uint32_t)min_u64((uint64_t)(f->until_ms - h->now_ms + 999) / 1000, UINT32_MAX);
	}
	return refuse_limit(why, is_ban ? ERROR_BANNED : ERROR_MUTED, NULL, retry_s,
	    "you are %s %s%s%s%s%s%s%s", is_ban ? "banned from" : "muted in", place,
	    f->until_ms != 0 ? " until " : "", when, f->by.n > 0 ? " by " : "",
	    refuse_clean(f->by, by), f->text.n > 0 ? ": " : "", refuse_clean(f->text, reason));
}

/* A fact of this kind is true of the user in the room, or in all. */
static bool
is_true(struct log *l, enum fact_kind kind, struct slice topic, struct slice user, int64_t now_ms,
    struct fact_found *out, bool *everywhere)
{
	*everywhere = false;
	if (topic_room(topic).p != NULL && fact_find(l, kind, topic, user, now_ms, out))
		return true;
	*everywhere = true;
	return fact_find(l, kind, SLICE(MODERATION_ALL), user, now_ms, out);
}

static int
check(const struct hub *h, const struct claims *who, enum fact_kind kind, struct slice topic,
    struct refusal *why)
{
	struct slice user = slice_str(who->user_id);
	struct fact_found f;
	bool everywhere;

	if (who->role == ROLE_ADMIN ||
	    !is_true(h->log, kind, topic, user, h->now_ms, &f, &everywhere))
		return 0;
	return refuse_found(h, kind, everywhere, &f, why);
}

/* Rooms are moderated, and what users write to each other. */
static bool
is_moderated(struct slice topic)
{
	return topic_room(topic).p != NULL || slice_has_prefix(topic, SLICE("user/"));
}

int
moderation_may_join(
    const struct hub *h, const struct claims *who, struct slice topic, struct refusal *why)
{
	if (!fact_concerns(h->log, FACT_BAN, slice_str(who->user_id)) ||
	    topic_room(topic).p == NULL)
		return 0;
	return check(h, who, FACT_BAN, topic, why);
}

int
moderation_may_read(
    const struct hub *h, const struct claims *who, struct slice pattern, struct refusal *why)
{
	char clean[REFUSE_CLEAN];

	if (!claims_may_subscribe(who, pattern))
		return refuse(why, ERROR_INSUFFICIENT_SCOPE,
		    "topic '%s' is not in belfry.subscribe", refuse_clean(pattern, clean));
	return moderation_may_join(h, who, pattern, why);
}

int
moderation_may_send(
    const struct hub *h, const struct claims *who, struct slice topic, struct refusal *why)
{
	struct slice user = slice_str(who->user_id);

	if ((!fact_concerns(h->log, FACT_BAN, user) && !fact_concerns(h->log, FACT_MUTE, user)) ||
	    !is_moderated(topic))
		return 0;
	if (check(h, who, FACT_BAN, topic, why) < 0)
		return -1;
	return check(h, who, FACT_MUTE, topic, why);
}

/* --- what patterns bring --- */

bool
moderation_bars(struct log *l, struct slice topic, struct slice user, int64_t now_ms)
{
	bool everywhere;

	return topic_room(topic).p != NULL &&
	       is_true(l, FACT_BAN, topic, user, now_ms, NULL, &everywhere);
}

struct slice
moderation_bound(const struct hub *h, const struct claims *who)
{
	struct slice user = slice_str(who->user_id);

	return who->role == ROLE_ADMIN || !fact_concerns(h->log, FACT_BAN, user) ? SLICE_NONE
										 : user;
}

bool
moderation_withholds(struct subscriber *s, const struct message *m)
{
	const struct hub *h = s->hub;
	struct slice user = moderation_bound(h, s->ops->claims(s));

	s->may_be_banned = user.p != NULL;
	return s->may_be_banned && moderation_bars(h->log, m->topic, user, h->now_ms);
}

bool
moderation_is_about(struct slice scope, struct slice pattern)
{
	const char *end;

	if (!slice_eq(scope, SLICE(MODERATION_ALL)))
		return pattern_matches(pattern, scope);
	end = pattern.n == 0 ? NULL : memchr(pattern.p, '/', pattern.n);
	if (end != NULL)
		pattern.n = (size_t)(end - pattern.p);
	return slice_eq(pattern, SLICE("chat")) || slice_eq(pattern, SLICE("*")) ||
	       slice_eq(pattern, SLICE("**"));
}

/* The rooms found; told when the table is no longer locked. */
struct bars {
	struct slice user;
	struct slice pattern;
	unsigned n;
	struct {
		size_t n;
		char text[TOPIC_MAX];
	} topics[MODERATION_TOLD];
};

static bool
note_bar(const struct fact *f, void *ctx)
{
	struct bars *bars = ctx;
	bool is_all = slice_eq(f->scope, SLICE(MODERATION_ALL));
	struct slice topic = is_all ? SLICE("chat/" MODERATION_ALL) : f->scope;

	if (!slice_eq(f->subject, bars->user) || !moderation_is_about(f->scope, bars->pattern))
		return true;
	memcpy(bars->topics[bars->n].text, topic.p, min_size(topic.n, TOPIC_MAX));
	bars->topics[bars->n++].n = min_size(topic.n, TOPIC_MAX);
	return bars->n < MODERATION_TOLD;
}

void
moderation_each_bar(const struct hub *h, const struct claims *who, struct slice pattern,
    void (*each)(struct slice topic, const struct refusal *why, void *ctx), void *ctx)
{
	struct bars bars UNCLEARED;
	struct refusal why;

	bars.user = moderation_bound(h, who);
	bars.pattern = pattern;
	bars.n = 0;
	if (bars.user.p != NULL && !pattern_is_topic(pattern))
		fact_each(h->log, FACT_BAN, h->now_ms, note_bar, &bars);
	for (unsigned i = 0; i < bars.n; i++) {
		struct slice topic = slice_of(bars.topics[i].text, bars.topics[i].n);

		if (check(h, who, FACT_BAN, topic, &why) < 0)
			each(topic, &why, ctx);
	}
}

bool
moderation_silences(struct log *l, struct slice topic, struct slice user, int64_t now_ms)
{
	bool everywhere;

	return is_moderated(topic) &&
	       (is_true(l, FACT_BAN, topic, user, now_ms, NULL, &everywhere) ||
		   is_true(l, FACT_MUTE, topic, user, now_ms, NULL, &everywhere));
}

bool
moderation_is_revoked(const struct hub *h, const struct claims *who)
{
	struct slice user = slice_str(who->user_id);
	struct slice jti = slice_str(who->jti);
	struct fact_found f;

	if (jti.p != NULL && fact_find(h->log, FACT_TOKEN, SLICE(""), jti, h->now_ms, NULL))
		return true;
	return fact_find(h->log, FACT_TOKENS, SLICE(""), user, h->now_ms, &f) &&
	       (who->iat <= 0 || (uint64_t)who->iat < f.number);
}
