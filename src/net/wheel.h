/*
 * A timer wheel with a resolution of one second: 256 buckets, one deadline an entry; a deadline
 * further away than the wheel is looked at once a round. No allocation, O(1).
 */
#ifndef NET_WHEEL_H
#define NET_WHEEL_H

#include "base/base.h"
#include "base/list.h"

#define WHEEL_BUCKETS 256

struct wheel_entry {
	LIST_ENTRY(wheel_entry) link;
	uint32_t due_s;  /* seconds of the wheel's own count; 0: not in the wheel */
	uint32_t seen_s; /* its owner's: it would be padding */
};

LIST_HEAD(wheel_bucket, wheel_entry);

struct wheel {
	struct wheel_bucket buckets[WHEEL_BUCKETS];
	uint64_t start_ms;
	uint32_t now_s;
};

/* Empty; monotonic ms. */
void wheel_init(struct wheel *w, uint64_t now_ms);
/* Put, move or (at_ms == 0) take out. Rounded up to the next second. */
void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t at_ms);
/* Calls fire for each due entry (taken out before). */
void wheel_turn(
    struct wheel *w, uint64_t now_ms, void (*fire)(struct wheel_entry *e, void *ctx), void *ctx);

#endif
