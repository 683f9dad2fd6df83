#include "store/ring.h"

#include <errno.h>

#include "base/mem.h"

#define RING_FIRST 8

void
ring_done(struct ring *r)
{
	mem_free(r->entries);
	*r = (struct ring){0};
}

int
ring_reserve(struct ring *r, size_t more)
{
	size_t cap = r->cap == 0 ? RING_FIRST : r->cap;
	struct ring_entry *bigger;

	while (cap < r->n + r->promised + more)
		cap *= 2;
	if (cap == r->cap)
		return 0;
	bigger = mem_alloc(cap * sizeof(*bigger));
	if (bigger == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < r->n; i++)
		bigger[i] = *ring_at(r, i);
	mem_free(r->entries);
	r->entries = bigger;
	r->cap = cap;
	r->head = 0;
	return 0;
}

int
ring_promise(struct ring *r, size_t more)
{
	int status = ring_reserve(r, more);

	if (status == 0)
		r->promised += more;
	return status;
}

void
ring_push(struct ring *r, uint64_t id, struct message *m)
{
	*ring_at(r, r->n) = (struct ring_entry){id, m};
	r->n++;
}

void
ring_push_front(struct ring *r, uint64_t id, struct message *m)
{
	r->head = (r->head - 1) & (r->cap - 1);
	r->n++;
	*ring_at(r, 0) = (struct ring_entry){id, m};
}

struct message *
ring_pop(struct ring *r)
{
	struct message *m = ring_at(r, 0)->message;

	r->head = (r->head + 1) & (r->cap - 1);
	r->n--;
	return m;
}

size_t
ring_above(const struct ring *r, uint64_t id)
{
	size_t low = 0;
	size_t high = r->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ring_at(r, middle)->id > id)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

struct ring_entry *
ring_find(const struct ring *r, uint64_t id)
{
	size_t at = r->n > 0 && ring_at(r, 0)->id == id ? 0 : ring_above(r, id - 1);

	return at < r->n && ring_at(r, at)->id == id ? ring_at(r, at) : NULL;
}

void
ring_pack(struct ring *r)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->n; i++) {
		struct ring_entry e = *ring_at(r, i);

		if (e.message != NULL)
			*ring_at(r, kept++) = e;
	}
	r->n = kept;
}
