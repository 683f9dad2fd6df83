#include <errno.h>

#include "base/mem.h"
#include "core/hub.h"
#include "core/measure.h"
#include "core/presence.h"
#include "core/topic.h"
#include "net/conn.h"
#include "proto/json.h"
#include "proto/url.h"
#include "serve/listing.h"
#include "serve/serve.h"
#include "serve/tour.h"

/* /api (docs/wire.md, "Administration"): role admin, or a local socket's allowed peer. */

#define ANSWER_MAX  ((size_t)4 * 1024 * 1024)
#define NUMBER_SIZE 16 /* hex digits of a connection's id */
#define GET_ALLOW   "GET, HEAD, OPTIONS"
#define POST_ALLOW  "POST, OPTIONS"

static void
reply(struct exchange *x, struct buf *b)
{
	serve_json_buf(x, 200, b);
	buf_done(b);
}

/* --- figures and topics --- */

static void
get_stats(struct exchange *x, struct slice tail)
{
	const struct serve_process *process = serve_of(x)->process;
	struct buf b = BUF_INIT(ANSWER_MAX);

	(void)tail;
	(void)buf_add_char(&b, '{'); /* failures stick */
	process->stats(process->ctx, &b);
	(void)buf_add_char(&b, '}');
	reply(x, &b);
}

static bool
add_topic(const struct log_topic_info *t, void *ctx)
{
	struct listing *list = ctx;

	if (!listing_next(list))
		return false;
	(void)buf_add_char(&list->out, '{');
	(void)json_add_member_string(&list->out, "topic", t->name);
	(void)json_add_member_u64(&list->out, "messages", t->messages);
	(void)json_add_member_u64(&list->out, "members", t->members);
	(void)json_add_member_u64(&list->out, "latest", t->last_id);
	return buf_add_char(&list->out, '}') == 0;
}

static void
get_topics(struct exchange *x, struct slice tail)
{
	struct listing list;

	(void)tail;
	listing_begin(&list, "topics");
	log_each_topic(serve_of(x)->hub->log, add_topic, &list);
	listing_reply(x, &list);
}

/* topics/{topic}/members */
static void
get_members(struct exchange *x, struct slice tail)
{
	const struct slice suffix = SLICE("/members");
	struct buf members = BUF_INIT(ANSWER_MAX);
	struct buf topic = BUF_INIT(8192);
	struct presence_view view = {0};
	struct buf b = BUF_INIT(ANSWER_MAX);
	struct refusal why = {0};
	ssize_t n = -1;

	tail.n -= suffix.n;
	if (buf_reserve(&topic, tail.n + 1) == 0)
		n = url_decode(tail, false, topic.p);
	topic.n = n < 0 ? 0 : (size_t)n;
	if (topic.error == -ENOMEM) {
		(void)refuse_memory(&why);
		serve_refuse(x, &why);
	} else if (n < 0 || topic_error(buf_slice(&topic)) != NULL) {
		(void)refuse(&why, ERROR_BAD_FIELD, "this is not a topic");
		serve_refuse(x, &why);
	} else {
		b.failed =
		    presence_members(serve_of(x)->hub->log, buf_slice(&topic), &members, &view) < 0;
		(void)buf_add_char(&b, '{'); /* failures stick */
		(void)json_add_member_string(&b, "topic", buf_slice(&topic));
		(void)json_add_member_u64(&b, "count", view.count);
		(void)json_add_member_raw(&b, "members", buf_slice(&members));
		(void)buf_add_char(&b, '}');
		reply(x, &b);
	}
	buf_done(&members);
	buf_done(&topic);
}

static void
get_scheduled(struct exchange *x, struct slice tail)
{
	(void)tail;
	serve_scheduled(x);
}

/* --- connections: a request that visits each worker in turn and comes home --- */

struct visit {
	struct tour tour;
	struct exchange *x; /* held; touched at home only */
	uint64_t number;    /* to end; 0: list them */
	bool found;
	struct listing list;
};

static bool
list_conn(struct conn *c, void *ctx)
{
	struct visit *v = ctx;

	return listing_next(&v->list) && conn_describe(c, &v->list.out) == 0;
}

static void
come_home(struct serve *s, struct tour *t)
{
	struct visit *v = CONTAINER(t, struct visit, tour);
	struct refusal why = {0};

	(void)s;
	if (v->number == 0) {
		listing_reply(v->x, &v->list);
	} else if (v->found) {
		exchange_reply(v->x, 204, NULL, SLICE(""));
	} else {
		(void)refuse(&why, ERROR_NOT_FOUND, "there is no connection of this id");
		serve_refuse(v->x, &why);
	}
	exchange_release(v->x);
	mem_free(v);
}

static void
visit_here(struct serve *s, struct tour *t)
{
	struct visit *v = CONTAINER(t, struct visit, tour);
	struct conn *c;

	if (v->number == 0) {
		net_each(s->net, list_conn, v);
	} else {
		c = net_find(s->net, v->number);
		v->found = v->found || c != NULL;
		if (c != NULL && (t->at != t->home || c != v->x->conn))
			conn_end_by_admin(c);
	}
}

static void
visit_start(struct exchange *x, uint64_t number)
{
	struct visit *v = mem_calloc(1, sizeof(*v));
	struct refusal why;

	if (v == NULL) {
		(void)refuse_memory(&why);
		serve_refuse(x, &why);
		return;
	}
	v->x = exchange_hold(x);
	v->tour.visit = visit_here;
	v->tour.end = come_home;
	v->number = number;
	if (number == 0)
		listing_begin(&v->list, "connections");
	tour_start(serve_of(x), &v->tour);
}

static void
get_connections(struct exchange *x, struct slice tail)
{
	(void)tail;
	visit_start(x, 0);
}

static void
delete_connection(struct exchange *x, struct slice tail)
{
	struct refusal why = {0};
	uint64_t number = 0;

	if (tail.n != NUMBER_SIZE || slice_hex_to_u64(tail, &number) < 0 || number == 0) {
		(void)refuse(&why, ERROR_NOT_FOUND, "there is no connection of this id");
		serve_refuse(x, &why);
		return;
	}
	visit_start(x, number);
}

/* --- the process --- */

static void
post_reload(struct exchange *x, struct slice tail)
{
	const struct serve_process *process = serve_of(x)->process;

	(void)tail;
	process->reload(process->ctx);
	serve_json(x, 202, SLICE("{\"reload\":\"started; the log tells how it ended\"}"));
}

static void
post_drain(struct exchange *x, struct slice tail)
{
	const struct serve_process *process = serve_of(x)->process;

	(void)tail;
	serve_json(x, 202, SLICE("{\"drain\":\"started\"}"));
	process->drain(process->ctx);
}

/* --- which --- */

static const struct {
	const char *name;
	const char *suffix; /* NULL: nothing may follow the name; else it ends the path */
	enum http_method method;
	const char *allow;
	void (*run)(struct exchange *x, struct slice tail); /* NULL: measure */
	enum measure_kind measure;
} resources[] = {
    {"stats", NULL, HTTP_GET, GET_ALLOW, get_stats, 0},
    {"topics", NULL, HTTP_GET, GET_ALLOW, get_topics, 0},
    {"topics", "/members", HTTP_GET, GET_ALLOW, get_members, 0},
    {"scheduled", NULL, HTTP_GET, GET_ALLOW, get_scheduled, 0},
    {"connections", NULL, HTTP_GET, GET_ALLOW, get_connections, 0},
    {"connections", "", HTTP_DELETE, "DELETE, OPTIONS", delete_connection, 0},
    {"bans", NULL, HTTP_GET, GET_ALLOW, serve_bans, 0},
    {"mutes", NULL, HTTP_GET, GET_ALLOW, serve_mutes, 0},
    {"revocations", NULL, HTTP_GET, GET_ALLOW, serve_revocations, 0},
    {"kick", NULL, HTTP_POST, POST_ALLOW, NULL, MEASURE_KICK},
    {"ban", NULL, HTTP_POST, POST_ALLOW, NULL, MEASURE_BAN},
    {"unban", NULL, HTTP_POST, POST_ALLOW, NULL, MEASURE_UNBAN},
    {"mute", NULL, HTTP_POST, POST_ALLOW, NULL, MEASURE_MUTE},
    {"unmute", NULL, HTTP_POST, POST_ALLOW, NULL, MEASURE_UNMUTE},
    {"revoke", NULL, HTTP_POST, POST_ALLOW, NULL, MEASURE_REVOKE_TOKEN},
    {"unrevoke", NULL, HTTP_POST, POST_ALLOW, NULL, MEASURE_UNREVOKE_TOKEN},
    {"reload", NULL, HTTP_POST, POST_ALLOW, post_reload, 0},
    {"drain", NULL, HTTP_POST, POST_ALLOW, post_drain, 0},
};

static bool
is_resource(size_t i, struct slice name, struct slice rest)
{
	struct slice suffix = slice_str(resources[i].suffix);

	if (!slice_eq(name, slice_str(resources[i].name)))
		return false;
	if (suffix.p == NULL || rest.p == NULL)
		return suffix.p == NULL && rest.p == NULL;
	return rest.n > suffix.n && slice_eq(slice_skip(rest, rest.n - suffix.n), suffix);
}

unsigned
serve_admin_methods(struct slice path)
{
	struct slice rest = path;
	struct slice name = path.p == NULL ? SLICE("") : slice_cut(&rest, '/');
	unsigned methods = 0;

	for (size_t i = 0; i < ARRAY_LEN(resources); i++) {
		if (!is_resource(i, name, rest))
			continue;
		methods |= 1U << resources[i].method | 1U << HTTP_OPTIONS;
		if (resources[i].method == HTTP_GET)
			methods |= 1U << HTTP_HEAD;
	}
	return methods;
}

void
serve_admin(struct exchange *x, struct slice path)
{
	struct slice rest = path;
	struct slice name = path.p == NULL ? SLICE("") : slice_cut(&rest, '/');
	struct claims *claims = NULL;
	struct refusal why = {0};

	if (serve_authenticate(x, x->method != HTTP_GET && x->method != HTTP_HEAD, &claims) < 0)
		return;
	if (claims->role != ROLE_ADMIN) {
		(void)refuse(
		    &why, ERROR_INSUFFICIENT_SCOPE, "belfry.role is not 'admin', which /api wants");
		serve_refuse(x, &why);
		goto out;
	}
	for (size_t i = 0; i < ARRAY_LEN(resources); i++) {
		if (!is_resource(i, name, rest))
			continue;
		if (x->method == resources[i].method ||
		    (x->method == HTTP_HEAD && resources[i].method == HTTP_GET)) {
			if (resources[i].run != NULL)
				resources[i].run(x, rest);
			else
				serve_measure(x, resources[i].measure, claims);
			goto out;
		}
		exchange_header(x, "Allow", slice_str(resources[i].allow));
		(void)refuse(&why, ERROR_METHOD_NOT_ALLOWED, "this takes %s", resources[i].allow);
		serve_refuse(x, &why);
		goto out;
	}
	(void)refuse(&why, ERROR_NOT_FOUND, "there is nothing here in /api");
	serve_refuse(x, &why);
out:
	claims_unref(claims);
}
