/*
 * An output queue: references to wires in a ring, flushed by one gather write. It owns no memory
 * while it is empty, nor while one wire waits: a fan-out of single messages allocates nothing.
 * Worker thread only.
 */
#ifndef NET_OUTQ_H
#define NET_OUTQ_H

#include "core/wire.h"

struct outq {
	union {
		struct wire *one;    /* cap 0: all there is, when n is 1 */
		struct wire **slots; /* else a ring */
	};
	uint32_t bytes;  /* not yet written */
	uint32_t offset; /* bytes of the first wire that are written already */
	uint16_t head;
	uint16_t n;
	uint16_t cap; /* power of two, or 0 */
};

#define OUTQ_MAX  32768 /* wires */
#define OUTQ_EACH 48    /* bytes that a waiting wire takes beside its own, for limits.memory */

/* What the queue counts for in limits.memory. */
static inline size_t
outq_memory(const struct outq *q)
{
	return q->bytes + (size_t)q->n * OUTQ_EACH;
}

/*
 * Shares w. 0, or -ENOMEM (also when OUTQ_MAX wires or 4 GiB wait: then they were queued without
 * end).
 */
MUST_CHECK int outq_push(struct outq *q, struct wire *w);
/* Drops all wires and the ring; the queue is empty then. */
void outq_done(struct outq *q);
/*
 * Write what the socket takes. Returns the bytes written (0: nothing was queued), -EAGAIN when
 * it takes no more now, or -errno.
 */
MUST_CHECK ssize_t outq_flush(struct outq *q, int fd);

#endif
