#include <stdio.h>

#include "core/log_private.h"
#include "core/topic.h"

#define AHEAD_MAX_S 60   /* that ids may run before the clock without a warning */
#define RESUME_STEP 2048 /* topics under one hold of the lock */

/* Reading the log, and what is known of it without reading. */

void
log_read(struct log *l, struct log_read *r)
{
	r->n = 0;
	r->status = 0;
	r->more = false;
	r->lost = 0;
	r->log = l;
	l->store->ops->read(l->store, r);
}

void
log_read_release(struct log_read *r)
{
	for (unsigned i = 0; i < r->n; i++)
		message_unref(r->messages[i]);
	r->n = 0;
}

void
log_read_done(struct log *l, struct log_read *r)
{
	struct log_worker *w = &l->workers[r->worker];
	bool wakes;

	log_lock(l);
	TAILQ_INSERT_TAIL(&w->reads, r, link);
	atomic_store_explicit(&w->has_reads, true, memory_order_release);
	wakes = !w->is_woken && w->wake != NULL;
	w->is_woken = w->is_woken || wakes;
	log_unlock(l);
	if (wakes)
		w->wake(w->ctx);
}

void
log_reads_finish(struct log *l, unsigned worker)
{
	struct log_worker *w = &l->workers[worker];
	struct log_read_list mine = TAILQ_HEAD_INITIALIZER(mine);
	struct log_read *r;

	if (!atomic_load_explicit(&w->has_reads, memory_order_acquire))
		return;
	log_lock(l);
	TAILQ_CONCAT(&mine, &w->reads, link);
	atomic_store_explicit(&w->has_reads, false, memory_order_relaxed);
	log_unlock(l);
	while ((r = TAILQ_FIRST(&mine)) != NULL) {
		TAILQ_REMOVE(&mine, r, link);
		r->done(r);
	}
}

struct extent_of {
	uint64_t trimmed;
	uint64_t oldest;
};

static void
add_topic(struct extent_of *e, const struct log_topic *t)
{
	e->trimmed = max_u64(e->trimmed, t->trimmed_id);
	if (t->first_id != 0 && (e->oldest == 0 || t->first_id < e->oldest))
		e->oldest = t->first_id;
}

/* Whether the topic would change what is known: few do, and to match is dearer. */
static bool
is_news(const struct extent_of *e, const struct log_topic *t)
{
	return t->trimmed_id > e->trimmed ||
	       (t->first_id != 0 && (e->oldest == 0 || t->first_id < e->oldest));
}

static void
add_if_matching(
    struct extent_of *e, const struct log_topic *t, const struct log_filter *filters, size_t n)
{
	for (size_t i = 0; i < n && is_news(e, t); i++) {
		if (!filters[i].is_topic && pattern_matches(filters[i].pattern, t->name))
			add_topic(e, t);
	}
}

/*
 * All that patterns match. The lock may be let go in between; what is trimmed or moves in the table then may be
 * left out. Whoever reads from here on is told by the read (log_read.trimmed), which is of one moment.
 */
static void
add_matching(
    struct log *l, struct extent_of *e, const struct log_filter *filters, size_t n, bool may_pause)
{
	const struct log_topic *t;
	size_t cap = l->topics.cap;
	size_t at = 0;
	unsigned met = 0;

	while ((t = log_topic_next(l, &at)) != NULL) {
		add_if_matching(e, t, filters, n);
		if (!may_pause || ++met % RESUME_STEP != 0)
			continue;
		log_pause(l);
		at = l->topics.cap == cap ? at : 0; /* it has grown: all have new places */
		cap = l->topics.cap;
	}
	e->trimmed = max_u64(e->trimmed, l->folded);
}

static void
add_filters(
    struct log *l, struct extent_of *e, const struct log_filter *filters, size_t n, bool may_pause)
{
	bool has_pattern = false;

	for (size_t i = 0; i < n; i++) {
		const struct log_topic *t =
		    filters[i].is_topic ? log_topic_find(l, filters[i].pattern) : NULL;

		has_pattern = has_pattern || !filters[i].is_topic;
		if (t != NULL)
			add_topic(e, t);
		else
			e->trimmed = max_u64(e->trimmed, l->folded);
	}
	if (has_pattern)
		add_matching(l, e, filters, n, may_pause);
}

uint64_t
log_trimmed(struct log *l, const struct log_filter *filters, size_t n, uint64_t after)
{
	struct extent_of e = {0};

	if (l->trimmed <= after)
		return 0;
	add_filters(l, &e, filters, n, false);
	return e.trimmed > after ? e.trimmed : 0;
}

void
log_resume(struct log *l, const struct log_filter *filters, size_t n, uint64_t after,
    struct log_resume *out)
{
	struct extent_of e = {0};
	bool is_outside;

	*out = (struct log_resume){.start = after};
	log_lock(l);
	is_outside = after > l->last || after < l->begin;
	if (is_outside || l->trimmed > after) /* else nobody need look at each topic */
		add_filters(l, &e, filters, n, true);
	if (is_outside) {
		out->reason = LOG_GAP_OUTSIDE;
		out->gap_id = e.trimmed != 0 ? e.trimmed : l->begin;
		out->start = l->begin; /* all that the log has follows */
	} else if (e.trimmed > after) {
		out->reason = LOG_GAP_TRIMMED;
		out->gap_id = e.trimmed;
	}
	if (out->reason != LOG_GAP_NONE)
		out->oldest = e.oldest;
	log_unlock(l);
}

uint64_t
log_oldest(struct log *l, const struct log_filter *filters, size_t n)
{
	struct extent_of e = {0};

	log_lock(l);
	add_filters(l, &e, filters, n, true);
	log_unlock(l);
	return e.oldest;
}

void
log_extent(struct log *l, struct log_extent *out)
{
	log_lock(l);
	*out = (struct log_extent){.begin = l->begin, .last = l->last, .topics = l->topics.n};
	l->store->ops->extent(l->store, out);
	log_unlock(l);
}

void
log_metrics(struct log *l, struct buf *out)
{
	if (l->store->ops->metrics != NULL)
		l->store->ops->metrics(l->store, out);
}

uint64_t
log_topic_last(struct log *l, struct slice topic)
{
	struct log_topic *t;
	uint64_t last;

	log_lock(l);
	t = log_topic_find(l, topic);
	last = t == NULL ? 0 : t->last_id;
	log_unlock(l);
	return last;
}

size_t
log_rooms(struct log *l)
{
	size_t n;

	log_lock(l);
	n = l->n_rooms;
	log_unlock(l);
	return n;
}

int
log_health(struct log *l, int64_t now_ms, char *text, size_t n)
{
	int64_t ahead_s;
	uint64_t last;

	if (l->store->ops->health != NULL && l->store->ops->health(l->store, text, n) < 0)
		return -1;
	log_lock(l);
	last = l->last;
	log_unlock(l);
	ahead_s = ((int64_t)(last / 1000) - now_ms) / 1000;
	if (ahead_s <= AHEAD_MAX_S)
		return 0;
	(void)snprintf(text, n,
	    "the newest message id is %lld s ahead of the clock: the clock was set back, ids go on "
	    "by ones until it is there again",
	    (long long)ahead_s);
	return 1;
}
