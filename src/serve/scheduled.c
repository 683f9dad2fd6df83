#include <errno.h>

#include "core/log.h"
#include "core/publish.h"
#include "proto/json.h"
#include "serve/query.h"
#include "serve/serve.h"

/* DELETE /publish/{scheduled} and GET /api/scheduled (docs/wire.md, "Later"). */

#define LISTED_MAX 1000
#define LIST_BYTES ((size_t)4 * 1024 * 1024)

/* --- taking one back --- */

static void
on_cancelled(struct append *a)
{
	struct exchange *x = a->owner;
	struct refusal why;

	if (a->status < 0) {
		(void)append_refusal(a->status, &why);
		serve_refuse(x, &why);
	} else {
		exchange_reply(x, 204, NULL, SLICE(""));
	}
	exchange_release(x);
	append_free(a);
}

/* What is somebody else's is not there. */
static void
cancel(struct exchange *x, const struct claims *claims, uint64_t number)
{
	struct slice user = claims->role == ROLE_ADMIN ? SLICE_NONE : slice_str(claims->user_id);
	struct hub *h = serve_of(x)->hub;
	struct refusal why;
	int r = 0;
	struct append *a = log_cancel(h->log, number, user, &r);

	if (a != NULL) {
		a->done = on_cancelled;
		a->owner = exchange_hold(x);
		r = hub_append(h, a);
		if (r == 0)
			return;
		exchange_release(x);
		append_free(a);
	}
	if (r == -ENOENT)
		(void)refuse(&why, ERROR_NOT_FOUND,
		    "nothing of this number is scheduled by this user (any more)");
	else
		(void)append_refusal(r, &why);
	serve_refuse(x, &why);
}

void
serve_cancel(struct exchange *x, struct slice number)
{
	struct claims *claims = NULL;
	struct refusal why;
	uint64_t n = 0;

	if (serve_authenticate(x, true, &claims) < 0)
		return;
	if (slice_to_u64(number, &n) < 0) {
		(void)refuse(&why, ERROR_NOT_FOUND,
		    "what is deleted here is what was scheduled, by the number in its answer");
		serve_refuse(x, &why);
	} else {
		cancel(x, claims, n);
	}
	claims_unref(claims);
}

/* --- the list, for administrators --- */

struct listing {
	struct buf *out;
	uint64_t after; /* that one and those before it are not listed; 0: all are */
	uint64_t limit;
	size_t n;
	bool more;
};

static bool
add_one(const struct log_scheduled *s, void *ctx)
{
	struct listing *list = ctx;

	if (list->after != 0) {
		if (s->number == list->after)
			list->after = 0;
		return true;
	}
	if (list->n == list->limit) {
		list->more = true;
		return false;
	}
	if (list->n++ > 0)
		(void)buf_add_char(list->out, ',');
	(void)buf_add_char(list->out, '{');
	(void)json_add_member_u64(list->out, "scheduled", s->number);
	(void)json_add_member_i64(list->out, "at", s->at_ms / 1000);
	(void)json_add_member_string(list->out, "topic", s->message->topic);
	if (s->message->user_id.n > 0)
		(void)json_add_member_string(list->out, "user", s->message->user_id);
	return buf_add_char(list->out, '}') == 0;
}

static int
read_query(struct exchange *x, struct listing *list, struct refusal *why)
{
	int r = query_u64(x, "after", &list->after, why);

	if (r == 0)
		r = query_u64(x, "limit", &list->limit, why);
	list->limit = max_u64(1, min_u64(list->limit, LISTED_MAX));
	return r;
}

void
serve_scheduled(struct exchange *x)
{
	struct buf b = BUF_INIT(LIST_BYTES);
	struct listing list = {.out = &b, .limit = LISTED_MAX};
	struct refusal why;

	if (read_query(x, &list, &why) < 0) {
		serve_refuse(x, &why);
		return;
	}
	(void)BUF_ADD_LIT(&b, "{\"scheduled\":["); /* failures stick */
	log_each_scheduled(serve_of(x)->hub->log, add_one, &list);
	if (list.after != 0) { /* it has gone: what came before it went first */
		list.after = 0;
		log_each_scheduled(serve_of(x)->hub->log, add_one, &list);
	}
	(void)buf_add_char(&b, ']');
	(void)json_add_member_bool(&b, "more", list.more);
	(void)buf_add_char(&b, '}');
	serve_json_buf(x, 200, &b);
	buf_done(&b);
}
