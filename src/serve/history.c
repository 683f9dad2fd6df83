#include "core/history.h"
#include "core/moderation.h"
#include "core/publish.h"
#include "core/topic.h"
#include "net/conn.h"
#include "proto/json.h"
#include "serve/query.h"

/* GET /history (docs/wire.md, "History"). */

static void
on_history(void *ctx, int status, struct slice messages, bool more)
{
	struct exchange *x = ctx;
	struct buf b = BUF_INIT(messages.n + 256);
	struct refusal why = {0};

	if (status < 0) {
		(void)append_refusal(status, &why);
		serve_refuse(x, &why);
	} else {
		(void)buf_add_char(&b, '{');
		(void)json_add_member_raw(&b, "messages", messages);
		(void)json_add_member_bool(&b, "more", more);
		(void)buf_add_char(&b, '}');
		serve_json_buf(x, 200, &b);
	}
	buf_done(&b);
	exchange_release(x);
}

struct texts {
	struct buf topic;
	struct buf search;
};

static int
read_request(struct exchange *x, struct texts *t, struct history_request *out, struct refusal *why)
{
	uint64_t limit = HISTORY_DEFAULT;
	const char *error;
	char clean[REFUSE_CLEAN];
	int r;

	r = query_get(x, "topic", &t->topic, why);
	if (r == 0)
		return refuse(why, ERROR_BAD_FIELD, "the query parameter topic is missing");
	if (r < 0 || query_get(x, "q", &t->search, why) < 0 ||
	    query_u64(x, "before", &out->before, why) < 0 ||
	    query_count(x, "limit", &limit, why) < 0)
		return -1;
	error = pattern_error(buf_slice(&t->topic));
	if (error != NULL)
		return refuse(why, ERROR_BAD_FIELD, "topic '%s' %s",
		    refuse_clean(buf_slice(&t->topic), clean), error);
	if (query_has(x, "before") && out->before == 0)
		return refuse(why, ERROR_BAD_FIELD, "before must be a message id");
	if (query_has(x, "after")) {
		if (query_position(x, 0, &out->after, why) < 0)
			return -1;
		if (out->after.kind == POSITION_BAD)
			return refuse(why, ERROR_BAD_FIELD,
			    "after must be an id, a duration such as 10m, a time, or all");
	}
	out->topic = buf_slice(&t->topic);
	out->search = t->search.n > 0 ? buf_slice(&t->search) : SLICE_NONE;
	out->limit = (unsigned)max_u64(1, min_u64(limit, HISTORY_LIMIT));
	return 0;
}

void
serve_history(struct exchange *x)
{
	struct texts texts = {BUF_INIT(8192), BUF_INIT(8192)};
	struct history_request request = {0};
	struct claims *claims = NULL;
	struct refusal why = {0};
	int r;

	if (serve_authenticate(x, false, &claims) < 0)
		return;
	r = read_request(x, &texts, &request, &why);
	if (r == 0)
		r = moderation_may_read(serve_of(x)->hub, claims, request.topic, &why);
	if (r == 0) {
		request.bound = moderation_bound(serve_of(x)->hub, claims);
		request.user = claims_number(claims);
	}
	if (r == 0 && history_read(serve_of(x)->hub, &request, on_history, exchange_hold(x)) < 0) {
		exchange_release(x);
		r = refuse_memory(&why);
	}
	if (r < 0)
		serve_refuse(x, &why);
	claims_unref(claims);
	buf_done(&texts.topic);
	buf_done(&texts.search);
}
