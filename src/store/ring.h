/*
 * A growable ring of messages in ascending id order: push at the end, pop at the front, binary
 * search. Under the log's lock. References are its user's business.
 */
#ifndef STORE_RING_H
#define STORE_RING_H

#include "core/message.h"

struct ring_entry {
	uint64_t id;
	struct message *message; /* NULL: taken out */
};

struct ring {
	struct ring_entry *entries;
	size_t cap; /* power of two, or 0 */
	size_t head;
	size_t n;
	size_t promised; /* entries that are kept free for pushes to come */
};

void ring_done(struct ring *r);
/* Room for `more` pushes that cannot fail, besides those that are promised. 0 or -ENOMEM. */
MUST_CHECK int ring_reserve(struct ring *r, size_t more);
/*
 * The same for later, whatever others push until then. The pushes do not count down: whoever made the
 * promises sets `promised` to 0 when he has kept them.
 */
MUST_CHECK int ring_promise(struct ring *r, size_t more);
void ring_push(struct ring *r, uint64_t id, struct message *m);
/* Before all others; with room, as ring_push. */
void ring_push_front(struct ring *r, uint64_t id, struct message *m);
/* n > 0. */
struct message *ring_pop(struct ring *r);
/* The i-th oldest, i < n. */
static inline struct ring_entry *
ring_at(const struct ring *r, size_t i)
{
	return &r->entries[(r->head + i) & (r->cap - 1)];
}
/* Index of the first entry whose id is above `id`; n when there is none. */
size_t ring_above(const struct ring *r, uint64_t id);
struct ring_entry *ring_find(const struct ring *r, uint64_t id);
/* Drop the entries without a message. */
void ring_pack(struct ring *r);

#endif
