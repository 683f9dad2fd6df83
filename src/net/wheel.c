#include "net/wheel.h"

void
wheel_init(struct wheel *w, uint64_t now_ms)
{
	for (size_t i = 0; i < WHEEL_BUCKETS; i++)
		LIST_INIT(&w->buckets[i]);
	w->start_ms = now_ms;
	w->now_s = 1; /* 0 means "not in the wheel" */
}

void
wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t at_ms)
{
	uint64_t seconds = at_ms <= w->start_ms ? 0 : (at_ms - w->start_ms - 1) / 1000 + 1;
	uint32_t due = (uint32_t)min_u64(seconds, UINT32_MAX - 1) + 1;

	if (due <= w->now_s)
		due = w->now_s + 1;
	if (at_ms == 0)
		due = 0;
	if (due == e->due_s)
		return; /* of one second with the last one, as a request's mostly is */
	if (e->due_s != 0)
		LIST_REMOVE(e, link);
	e->due_s = due;
	if (due != 0)
		LIST_INSERT_HEAD(&w->buckets[due % WHEEL_BUCKETS], e, link);
}

static void
turn_bucket(struct wheel *w, struct wheel_bucket *bucket,
    void (*fire)(struct wheel_entry *e, void *ctx), void *ctx)
{
	struct wheel_bucket due = LIST_HEAD_INITIALIZER(due);
	struct wheel_entry *e;
	struct wheel_entry *next;

	/*
	 * what is due is moved aside first: firing may put entries back into any bucket or take
	 * others out of this list
	 */
	LIST_FOREACH_SAFE(e, bucket, link, next)
	{
		if (e->due_s > w->now_s)
			continue; /* of a later round */
		LIST_REMOVE(e, link);
		LIST_INSERT_HEAD(&due, e, link);
	}
	while ((e = LIST_FIRST(&due)) != NULL) {
		LIST_REMOVE(e, link);
		e->due_s = 0;
		fire(e, ctx);
	}
}

void
wheel_turn(
    struct wheel *w, uint64_t now_ms, void (*fire)(struct wheel_entry *e, void *ctx), void *ctx)
{
	uint32_t now_s = (uint32_t)((now_ms - w->start_ms) / 1000) + 1;

	while (w->now_s < now_s) {
		w->now_s++;
		turn_bucket(w, &w->buckets[w->now_s % WHEEL_BUCKETS], fire, ctx);
	}
}
