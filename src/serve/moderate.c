#include "base/diag.h"
#include "core/facts.h"
#include "core/measure.h"
#include "core/moderation.h"
#include "core/topic.h"
#include "net/conn.h"
#include "proto/json.h"
#include "serve/listing.h"
#include "serve/serve.h"
#include "serve/tour.h"

/*
 * Measures on their way through the workers, and the part of /api that begins them and lists what they
 * have left (docs/wire.md, "Moderation and revocation").
 */

/* --- from worker to worker --- */

static void
note(const struct serve *s, const struct measure *m)
{
	char user[DIAG_QUOTED];
	char scope[DIAG_QUOTED];
	char by[DIAG_QUOTED];

	diag_log(s->diag, DIAG_NOTICE, "moderation", "what=%s user=%s where=%s by=%s reached=%u",
	    measure_name(m->kind), diag_quote(m->user, user), diag_quote(m->scope, scope),
	    diag_quote(m->by, by), m->n_reached);
}

static void
come_home(struct serve *s, struct tour *t)
{
	struct measure *m = CONTAINER(t, struct measure, tour);

	note(s, m);
	m->done(m);
}

static bool
visit(struct conn *c, void *ctx)
{
	conn_visit(c, ctx);
	return true;
}

static void
visit_here(struct serve *s, struct tour *t)
{
	net_each(s->net, visit, CONTAINER(t, struct measure, tour));
}

void
serve_reach(struct hub *h, struct measure *m)
{
	struct serve *s = h->owner;

	m->tour.visit = visit_here;
	m->tour.end = come_home;
	if (h->is_leaving || !measure_is_live(m))
		come_home(s, &m->tour);
	else
		tour_start(s, &m->tour);
}

/* --- POST /api/kick and the like --- */

static bool
is_revocation(enum measure_kind kind)
{
	return kind == MEASURE_REVOKE_TOKEN || kind == MEASURE_REVOKE_USER;
}

static void
add_room(struct buf *b, struct slice scope)
{
	struct slice room = topic_room(scope);

	(void)json_add_member_string(b, "room", room.p == NULL ? scope : room);
}

static void
add_token(struct buf *b, enum measure_kind kind, struct slice subject, uint64_t before_s)
{
	if (kind == MEASURE_REVOKE_TOKEN || kind == MEASURE_UNREVOKE_TOKEN) {
		(void)json_add_member_string(b, "jti", subject);
		return;
	}
	(void)json_add_member_string(b, "sub", subject);
	if (kind == MEASURE_REVOKE_USER)
		(void)json_add_member_u64(b, "before", before_s);
}

/* What was done; failures stick to b. */
static void
describe(struct buf *b, const struct measure *m)
{
	(void)buf_add_char(b, '{');
	if (is_revocation(m->kind)) {
		(void)BUF_ADD_LIT(b, "\"revoked\":{");
		add_token(b, m->kind, m->user, m->before_s);
		(void)buf_add_char(b, '}');
		(void)json_add_member_u64(b, "closed", m->n_reached);
	} else {
		(void)json_add_member_bool(b, "ok", true);
		if (m->scope.n > 0) {
			add_room(b, m->scope);
			(void)json_add_member_string(b, "user", m->user);
		} else {
			add_token(b, m->kind, m->user, 0);
		}
		if (m->until_ms != 0)
			(void)json_add_member_i64(b, "until", m->until_ms / 1000);
		if (measure_is_live(m))
			(void)json_add_member_u64(b, "reached", m->n_reached);
	}
	(void)buf_add_char(b, '}');
}

static void
on_done(struct measure *m)
{
	struct exchange *x = m->owner;
	struct buf b = BUF_INIT(8192);
	struct refusal why;

	if (measure_result(m, &why) < 0) {
		serve_refuse(x, &why);
	} else {
		describe(&b, m);
		serve_json_buf(x, 200, &b);
	}
	buf_done(&b);
	exchange_release(x);
	measure_free(m);
}

static int
take_string(const cJSON *json, const char *name, struct slice *out, struct refusal *why)
{
	const cJSON *item = json_member(json, name);

	*out = json_string(item);
	if (item != NULL && !cJSON_IsString(item))
		return refuse(why, ERROR_BAD_FIELD, "%s must be a string", name);
	return 0;
}

static int
take_number(const cJSON *json, const char *name, uint64_t max, uint64_t *out, struct refusal *why)
{
	const cJSON *item = json_member(json, name);

	if (item == NULL)
		return 0;
	if (json_u64(item, out) < 0 || *out == 0 || *out > max)
		return refuse(why, ERROR_BAD_FIELD, "%s must be an integer from 1 to %llu", name,
		    (unsigned long long)max);
	return 0;
}

/* Of kick, ban and the like: the room into scope. */
static int
take_room(const cJSON *json, struct measure_request *r, struct buf *scope, struct refusal *why)
{
	struct slice room;

	if (take_string(json, "room", &room, why) < 0 ||
	    take_string(json, "user", &r->user, why) < 0 ||
	    take_number(json, "seconds", MEASURE_SECONDS_MAX, &r->seconds, why) < 0)
		return -1;
	if (room.p == NULL || r->user.p == NULL)
		return refuse(why, ERROR_BAD_FIELD, "room and user are needed");
	if (!slice_eq(room, SLICE(MODERATION_ALL)))
		return room_topic(scope, room, why);
	return buf_add_slice(scope, room) < 0 ? refuse_memory(why) : 0;
}

/* Of revoke and unrevoke: jti, or sub with before. */
static int
take_token(const cJSON *json, struct measure_request *r, int64_t now_s, struct refusal *why)
{
	bool is_end = r->kind == MEASURE_UNREVOKE_TOKEN;
	struct slice jti;
	struct slice sub;

	if (take_string(json, "jti", &jti, why) < 0 || take_string(json, "sub", &sub, why) < 0 ||
	    take_number(json, "before", TOKEN_EXP_MAX, &r->before_s, why) < 0 ||
	    take_number(json, "seconds", MEASURE_SECONDS_MAX, &r->seconds, why) < 0)
		return -1;
	if ((jti.p == NULL) == (sub.p == NULL))
		return refuse(why, ERROR_BAD_FIELD, "one of jti and sub is needed");
	if (jti.p != NULL && r->before_s != 0)
		return refuse(why, ERROR_BAD_FIELD, "before is for sub only");
	r->user = jti.p != NULL ? jti : sub;
	if (sub.p != NULL)
		r->kind = is_end ? MEASURE_UNREVOKE_USER : MEASURE_REVOKE_USER;
	/* a token of this very second is one of those that are meant */
	if (r->before_s == 0)
		r->before_s = (uint64_t)now_s + 1;
	return 0;
}

static void
start(struct exchange *x, struct measure_request *r, const cJSON *json)
{
	struct buf scope = BUF_INIT(1024);
	struct refusal why = {0};
	bool is_token = r->kind == MEASURE_REVOKE_TOKEN || r->kind == MEASURE_UNREVOKE_TOKEN;
	int result;

	if (is_token)
		result = take_token(json, r, serve_now_s(serve_of(x)), &why);
	else
		result = take_room(json, r, &scope, &why);
	if (result == 0)
		result = take_string(json, "reason", &r->reason, &why);
	if (result == 0)
		result = measure_check(r, &why);
	if (result == 0) {
		r->scope = buf_slice(&scope);
		if (measure_start(serve_of(x)->hub, r, on_done, exchange_hold(x), &why) < 0) {
			exchange_release(x);
			result = -1;
		}
	}
	if (result < 0)
		serve_refuse(x, &why);
	buf_done(&scope);
}

void
serve_measure(struct exchange *x, unsigned kind, const struct claims *who)
{
	struct measure_request r = {
	    .kind = (enum measure_kind)kind, .by = slice_str(who->name), .is_admin = true};
	struct refusal why = {0};
	cJSON *json = NULL;
	size_t at = 0;
	int result = json_parse(x->body, &json, &at);

	if (result == JSON_E_MEMORY)
		(void)refuse_memory(&why);
	else if (result < 0)
		(void)refuse(&why, ERROR_BAD_JSON, "%s (at byte %zu)", json_error_text(result), at);
	else if (!cJSON_IsObject(json))
		(void)refuse(&why, ERROR_BAD_FIELD, "the body must be a JSON object");
	if (result < 0 || !cJSON_IsObject(json))
		serve_refuse(x, &why);
	else
		start(x, &r, json);
	cJSON_Delete(json);
}

/* --- GET /api/bans and the like --- */

static bool
add_fact(const struct fact *f, void *ctx)
{
	struct listing *list = ctx;
	struct buf *out = &list->out;
	bool is_token = f->kind == FACT_TOKEN || f->kind == FACT_TOKENS;

	if (!listing_next(list))
		return false;
	(void)buf_add_char(out, '{');
	if (is_token) {
		add_token(out, f->kind == FACT_TOKEN ? MEASURE_REVOKE_TOKEN : MEASURE_REVOKE_USER,
		    f->subject, f->number);
	} else {
		add_room(out, f->scope);
		(void)json_add_member_string(out, "user", f->subject);
	}
	(void)json_add_member_string(out, "by", f->by);
	(void)json_add_member_string(out, "reason", f->text);
	(void)json_add_member_i64(out, "since", f->since_ms / 1000);
	if (f->until_ms != 0)
		(void)json_add_member_i64(out, "until", f->until_ms / 1000);
	else
		(void)json_add_member_raw(out, "until", SLICE("null"));
	return buf_add_char(out, '}') == 0;
}

static void
list_facts(struct exchange *x, const char *name, enum fact_kind kind, enum fact_kind other)
{
	const struct hub *h = serve_of(x)->hub;
	struct listing list;

	listing_begin(&list, name);
	fact_each(h->log, kind, h->now_ms, add_fact, &list);
	if (other != kind)
		fact_each(h->log, other, h->now_ms, add_fact, &list);
	listing_reply(x, &list);
}

void
serve_bans(struct exchange *x, struct slice tail)
{
	(void)tail;
	list_facts(x, "bans", FACT_BAN, FACT_BAN);
}

void
serve_mutes(struct exchange *x, struct slice tail)
{
	(void)tail;
	list_facts(x, "mutes", FACT_MUTE, FACT_MUTE);
}

void
serve_revocations(struct exchange *x, struct slice tail)
{
	(void)tail;
	list_facts(x, "revocations", FACT_TOKEN, FACT_TOKENS);
}
