#include <errno.h>

#include "core/log.h"
#include "core/publish.h"
#include "proto/json.h"
#include "serve/listing.h"
#include "serve/query.h"
#include "serve/serve.h"

/* DELETE /publish/{scheduled} and GET /api/scheduled (docs/wire.md, "Later"). */

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

struct page {
	struct listing list;
	uint64_t after; /* that one and those before it are not listed; 0: all are */
};

static bool
add_one(const struct log_scheduled *s, void *ctx)
{
	struct page *page = ctx;
	struct buf *out = &page->list.out;

	if (page->after != 0) {
		if (s->number == page->after)
			page->after = 0;
		return true;
	}
	if (!listing_next(&page->list))
		return false;
	(void)buf_add_char(out, '{');
	(void)json_add_member_u64(out, "scheduled", s->number);
	(void)json_add_member_i64(out, "at", s->at_ms / 1000);
	(void)json_add_member_string(out, "topic", s->message->topic);
	if (s->message->user_id.n > 0)
		(void)json_add_member_string(out, "user", s->message->user_id);
	return buf_add_char(out, '}') == 0;
}

void
serve_scheduled(struct exchange *x)
{
	uint64_t limit = LISTING_MAX;
	struct page page = {.after = 0};
	struct refusal why;

	if (query_u64(x, "after", &page.after, &why) < 0 ||
	    query_u64(x, "limit", &limit, &why) < 0) {
		serve_refuse(x, &why);
		return;
	}
	listing_begin(&page.list, "scheduled");
	page.list.max = max_u64(1, min_u64(limit, LISTING_MAX));
	log_each_scheduled(serve_of(x)->hub->log, add_one, &page);
	if (page.after != 0) { /* it has gone: what came before it went first */
		page.after = 0;
		log_each_scheduled(serve_of(x)->hub->log, add_one, &page);
	}
	listing_reply(x, &page.list);
}
