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
