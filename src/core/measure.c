#include "core/measure.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "core/facts.h"
#include "core/moderation.h"
#include "core/publish.h"
#include "core/topic.h"

static const struct {
	const char *name;
	const char *told; /* to who must leave */
	enum fact_kind fact;
	bool is_end; /* takes the fact back */
} kinds[] = {
    [MEASURE_KICK] = {"kick", "kicked", 0, false},
    [MEASURE_BAN] = {"ban", "banned", FACT_BAN, false},
    [MEASURE_UNBAN] = {"unban", NULL, FACT_BAN, true},
    [MEASURE_MUTE] = {"mute", NULL, FACT_MUTE, false},
    [MEASURE_UNMUTE] = {"unmute", NULL, FACT_MUTE, true},
    [MEASURE_REVOKE_TOKEN] = {"revoke", NULL, FACT_TOKEN, false},
    [MEASURE_REVOKE_USER] = {"revoke", NULL, FACT_TOKENS, false},
    [MEASURE_UNREVOKE_TOKEN] = {"unrevoke", NULL, FACT_TOKEN, true},
    [MEASURE_UNREVOKE_USER] = {"unrevoke", NULL, FACT_TOKENS, true},
};
_Static_assert(ARRAY_LEN(kinds) == MEASURE_KINDS, "a row for each kind");

const char *
measure_name(enum measure_kind kind)
{
	return kinds[kind].name;
}

static bool
is_about_token(enum measure_kind kind)
{
	return kinds[kind].fact == FACT_TOKEN || kinds[kind].fact == FACT_TOKENS;
}

bool
measure_is_live(const struct measure *m)
{
	return m->kind == MEASURE_KICK || m->kind == MEASURE_BAN ||
	       m->kind == MEASURE_REVOKE_TOKEN || m->kind == MEASURE_REVOKE_USER;
}

int
measure_check(const struct measure_request *r, struct refusal *why)
{
	const char *error = claims_sub_error(r->user);

	if (kinds[r->kind].fact == FACT_TOKEN)
		error = r->user.n == 0                 ? "is empty"
			: r->user.n > FACT_SUBJECT_MAX ? "is longer than 256 bytes"
						       : NULL;
	if (error != NULL)
		return refuse(why, ERROR_BAD_FIELD, "%s %s",
		    kinds[r->kind].fact == FACT_TOKEN    ? "jti"
		    : kinds[r->kind].fact == FACT_TOKENS ? "sub"
							 : "user",
		    error);
	if (r->reason.n > MEASURE_REASON_MAX)
		return refuse(why, ERROR_BAD_FIELD, "reason has %zu bytes, at most %d are allowed",
		    r->reason.n, MEASURE_REASON_MAX);
	if (utf8_has_control(r->reason))
		return refuse(why, ERROR_BAD_FIELD, "reason has a control character");
	return 0;
}

/* --- carrying out --- */

void
measure_free(struct measure *m)
{
	mem_free(m);
}

/* What those inside are told. */
static void
make_text(struct measure *m)
{
	const char *told = kinds[m->kind].told;
	char when[MODERATION_TIME] = "";

	if (told == NULL)
		return;
	if (m->until_ms != 0)
		(void)moderation_time(m->until_ms, when);
	(void)snprintf(m->text, sizeof(m->text), "%s by %.*s%s%s%s%.*s", told, SLICE_ARG(m->by),
	    m->until_ms != 0 ? " until " : "", when, m->reason.n > 0 ? ": " : "",
	    SLICE_ARG(m->reason));
}

static struct measure *
measure_new(const struct hub *h, const struct measure_request *r)
{
	struct slice by = slice_of(r->by.p, min_size(r->by.n, FACT_BY_MAX));
	struct measure *m = mem_calloc(1, sizeof(*m) + r->scope.n + r->user.n + by.n + r->reason.n);
	char *at;

	if (m == NULL)
		return NULL;
	at = (char *)(m + 1);
	m->kind = r->kind;
	m->is_admin = r->is_admin;
	m->scope = slice_place(&at, r->scope);
	m->user = slice_place(&at, r->user);
	m->by = slice_place(&at, by);
	m->reason = slice_place(&at, r->reason);
	m->before_s = r->before_s;
	if (r->seconds != 0)
		m->until_ms = h->now_ms + (int64_t)r->seconds * 1000;
	make_text(m);
	return m;
}

/* It is written, or needs no writing. */
static void
carry_out(struct hub *h, struct measure *m)
{
	if (h->reach != NULL && m->status == 0)
		h->reach(h, m);
	else
		m->done(m);
}

struct measure_append {
	struct measure *m;
	struct hub *h;
};

static void
on_written(struct append *a)
{
	struct measure_append *w = a->owner;

	w->m->status = a->status;
	carry_out(w->h, w->m);
	mem_free(w);
	append_free(a);
}

static struct append *
append_of(const struct hub *h, const struct measure *m, int *status)
{
	struct fact f = {.kind = kinds[m->kind].fact,
	    .scope = m->scope,
	    .subject = m->user,
	    .by = m->by,
	    .text = m->reason,
	    .number = m->before_s,
	    .since_ms = h->now_ms,
	    .until_ms = m->until_ms};

	if (kinds[m->kind].is_end)
		return fact_end(h->log, f.kind, f.scope, f.subject, status);
	return fact_put(h->log, &f, status);
}

static int
refuse_write(const struct measure_request *r, int status, struct refusal *why)
{
	char clean[REFUSE_CLEAN];

	if (status == -ENOENT)
		return refuse(why, ERROR_NOT_FOUND, "'%s' is not %s%s",
		    refuse_clean(r->user, clean),
		    is_about_token(r->kind)    ? "revoked"
		    : r->kind == MEASURE_UNBAN ? "banned"
					       : "muted",
		    is_about_token(r->kind) ? "" : " there");
	if (status == -EDQUOT)
		return refuse_limit(why, ERROR_TOO_MANY, NULL, 60,
		    "there are %d bans, mutes and revocations, as many as there may be", FACTS_MAX);
	return append_refusal(status, why);
}

int
measure_start(struct hub *h, const struct measure_request *r, void (*done)(struct measure *m),
    void *owner, struct refusal *why)
{
	struct measure *m = measure_new(h, r);
	struct measure_append *w;
	struct append *a = NULL;
	int status = -ENOMEM;

	if (m == NULL)
		return refuse_memory(why);
	m->done = done;
	m->owner = owner;
	if (kinds[m->kind].fact == 0) {
		carry_out(h, m);
		return 0;
	}
	w = mem_alloc(sizeof(*w));
	if (w != NULL)
		a = append_of(h, m, &status);
	if (a != NULL) {
		*w = (struct measure_append){m, h};
		a->done = on_written;
		a->owner = w;
		status = hub_append(h, a);
		if (status == 0)
			return 0;
		append_free(a);
	}
	mem_free(w);
	measure_free(m);
	return refuse_write(r, status, why);
}

int
measure_result(const struct measure *m, struct refusal *why)
{
	char clean[REFUSE_CLEAN];

	if (m->status < 0)
		return append_refusal(m->status, why);
	if (m->kind != MEASURE_KICK || m->n_reached > 0)
		return 0;
	(void)refuse_clean(m->user, clean);
	if (m->n_spared > 0)
		return refuse(why, ERROR_FORBIDDEN, "'%s' is an administrator", clean);
	return refuse(why, ERROR_NOT_FOUND, "'%s' is not there", clean);
}

/* --- what it does to connections --- */

static bool
is_in_scope(const struct measure *m, const struct sub *sub)
{
	if (slice_eq(m->scope, SLICE(MODERATION_ALL)))
		return topic_room(sub_pattern(sub)).p != NULL && pattern_is_topic(sub_pattern(sub));
	return slice_eq(m->scope, sub_pattern(sub));
}

bool
measure_is_about(const struct measure *m, const struct sub *sub)
{
	if (sub->at->is_topic)
		return is_in_scope(m, sub);
	return m->kind == MEASURE_BAN && moderation_is_about(m->scope, sub_pattern(sub));
}

struct slice
measure_topic(const struct measure *m)
{
	bool is_all = slice_eq(m->scope, SLICE(MODERATION_ALL));

	return is_all ? SLICE("chat/" MODERATION_ALL) : m->scope;
}

static bool
is_inside(const struct measure *m, const struct session *s)
{
	for (const struct sub *sub = s->who.subs; sub != NULL; sub = sub->next) {
		if (measure_is_about(m, sub))
			return true;
	}
	return false;
}

/* A pattern stays, without the room, and is told so once. */
static void
leave(const struct measure *m, struct session *s)
{
	bool is_narrowed = false;
	struct refusal why;
	struct sub *next;

	for (struct sub *sub = s->who.subs; sub != NULL; sub = next) {
		next = sub->next;
		if (!measure_is_about(m, sub))
			continue;
		if (!sub->at->is_topic)
			is_narrowed = true;
		else
			session_lose(s, sub, m->text);
	}
	if (is_narrowed && moderation_may_join(s->who.hub, s->claims, measure_topic(m), &why) < 0)
		session_deny(s, measure_topic(m), &why);
}

bool
measure_bans(const struct measure *m, struct subscriber *s, const struct claims *who)
{
	if (m->kind != MEASURE_BAN || !slice_eq(slice_str(who->user_id), m->user))
		return false;
	s->may_be_banned = moderation_bound(s->hub, who).p != NULL;
	return s->may_be_banned;
}

bool
measure_ends_token(struct measure *m, const struct claims *who)
{
	bool ends = false;

	if (m->kind == MEASURE_REVOKE_TOKEN)
		ends = who->jti != NULL && slice_eq(slice_str(who->jti), m->user);
	else if (m->kind == MEASURE_REVOKE_USER)
		ends = slice_eq(slice_str(who->user_id), m->user) &&
		       (who->iat <= 0 || (uint64_t)who->iat < m->before_s);
	m->n_reached += ends ? 1 : 0;
	return ends;
}

enum measure_effect
measure_apply(struct measure *m, struct session *s)
{
	bool is_spared;

	if (is_about_token(m->kind))
		return measure_ends_token(m, s->claims) ? MEASURE_TOKEN : MEASURE_NOTHING;
	(void)measure_bans(m, &s->who, s->claims);
	if (!slice_eq(slice_str(s->claims->user_id), m->user) || !is_inside(m, s))
		return MEASURE_NOTHING;
	is_spared = s->claims->role == ROLE_ADMIN && (m->kind == MEASURE_BAN || !m->is_admin);
	if (is_spared) {
		m->n_spared++;
		return MEASURE_NOTHING;
	}
	m->n_reached++;
	leave(m, s);
	return s->who.subs == NULL ? MEASURE_ENDS : MEASURE_NOTHING;
}
