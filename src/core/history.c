#include "core/history.h"

#include <errno.h>

#include "base/mem.h"
#include "core/search.h"
#include "core/topic.h"

#define LOOKED_AT 8 /* at least, by one read */

struct history {
	struct hub *hub;
	history_done *done;
	void *ctx;
	/* the bytes of all three lie behind the struct */
	struct log_filter filter;
	struct slice search;
	struct slice bound;
	struct message **messages; /* in the order read */
	unsigned n;
	unsigned limit;
	size_t bytes;
	bool backward;
	bool is_seeking;
	struct log_read read;
};

static void read_page(struct history *y);

static void
history_free(struct history *y)
{
	for (unsigned i = 0; i < y->n; i++)
		message_unref(y->messages[i]);
	mem_free(y->messages);
	mem_free(y);
}

static void
finish(struct history *y, int status, bool more)
{
	struct buf b = BUF_INIT(HISTORY_PAGE_BYTES + MESSAGE_JSON_MAX);

	(void)buf_add_char(&b, '[');
	for (unsigned i = 0; i < y->n; i++) {
		const struct message *m = y->messages[y->backward ? y->n - 1 - i : i];

		if (i > 0)
			(void)buf_add_char(&b, ',');
		(void)buf_add_slice(&b, m->json);
	}
	(void)buf_add_char(&b, ']');
	y->done(y->ctx, b.failed ? -ENOMEM : status, buf_slice(&b), more);
	buf_done(&b);
	history_free(y);
}

/* Take what a step brought; false when the page is full before its end. */
static bool
take_all(struct history *y)
{
	struct log_read *r = &y->read;
	bool fits = true;

	for (unsigned i = 0; i < r->n; i++) {
		struct message *m = r->messages[i];

		if (!message_is_content(m))
			continue; /* nor is it more to come */
		fits = fits && y->n < y->limit &&
		       (y->n == 0 || y->bytes + m->json.n <= HISTORY_PAGE_BYTES);
		if (fits) {
			y->bytes += m->json.n;
			y->messages[y->n++] = message_ref(m);
		}
	}
	log_read_release(r);
	return fits;
}

static void
on_read(struct log_read *r)
{
	struct history *y = CONTAINER(r, struct history, read);

	if (r->status < 0) {
		finish(y, r->status, false);
		return;
	}
	if (y->is_seeking) {
		y->is_seeking = false;
		r->after = r->reached;
		read_page(y);
		return;
	}
	if (!take_all(y)) {
		finish(y, 0, true);
	} else if (!r->more) {
		finish(y, 0, false);
	} else {
		if (y->backward)
			r->before = r->reached;
		else
			r->after = r->reached;
		read_page(y);
	}
}

static void
read_page(struct history *y)
{
	struct log_read *r = &y->read;

	r->mode = y->backward ? LOG_BACKWARD : LOG_FORWARD;
	/* one more tells whether there is more; of records, which are none, some may stand before it */
	r->count = (unsigned)max_size(y->limit - y->n + 1, LOOKED_AT);
	r->count = (unsigned)min_size(r->count, LOG_READ_MAX);
	r->max_bytes = HISTORY_PAGE_BYTES;
	r->search = y->search;
	r->bound = y->bound;
	log_read(y->hub->log, r);
}

static void
start(struct history *y, const struct history_request *request)
{
	struct log_read *r = &y->read;
	struct log_extent extent;

	if (request->read != NULL)
		*request->read = r;
	log_extent(y->hub->log, &extent);
	*r = (struct log_read){.filters = &y->filter,
	    .n_filters = 1,
	    .upto = extent.last,
	    .before = request->before,
	    .now_ms = y->hub->now_ms,
	    .user = request->user,
	    .worker = y->hub->worker,
	    .done = on_read};
	y->backward = request->after.kind == POSITION_NONE;
	if (request->after.kind == POSITION_ID)
		r->after = request->after.id;
	if (!y->backward && request->before != 0)
		r->upto = min_u64(extent.last, request->before - 1);
	if (request->after.kind == POSITION_TIME) {
		y->is_seeking = true;
		r->mode = LOG_SEEK_TIME;
		r->time_ms = request->after.time_ms;
		log_read(y->hub->log, r);
		return;
	}
	read_page(y);
}

int
history_read(struct hub *h, const struct history_request *request, history_done *done, void *ctx)
{
	struct slice search = search_bound(request->search);
	struct history *y =
	    mem_calloc(1, sizeof(*y) + request->topic.n + search.n + request->bound.n);
	char *text;

	if (y == NULL)
		return -ENOMEM;
	text = (char *)(y + 1);
	y->messages = mem_calloc(request->limit, sizeof(struct message *));
	if (y->messages == NULL) {
		mem_free(y);
		return -ENOMEM;
	}
	y->hub = h;
	y->done = done;
	y->ctx = ctx;
	y->limit = request->limit;
	y->filter = (struct log_filter){
	    slice_place(&text, request->topic), pattern_is_topic(request->topic)};
	if (search.n > 0)
		y->search = slice_place(&text, search);
	y->bound = slice_place(&text, request->bound);
	start(y, request);
	return 0;
}
