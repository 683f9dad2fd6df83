/*
 * A wire is a run of bytes on its way to one or many connections of one worker: either its own
 * bytes or a borrowed form of a message, which it keeps alive. Counted plainly: it never leaves
 * its worker. One allocation however many recipients.
 */
#ifndef CORE_WIRE_H
#define CORE_WIRE_H

#include "base/slice.h"

struct message;

struct wire {
	uint32_t refs;
	uint32_t n;              /* bytes */
	const char *p;           /* own bytes behind the struct, or the message's */
	struct message *message; /* kept alive (one atomic reference), or NULL */
};

/* Own copy of bytes; one reference. NULL on no memory. */
MUST_CHECK struct wire *wire_new(struct slice bytes);
/* Borrow bytes that live as long as m does; adds a reference to m. */
MUST_CHECK struct wire *wire_of_message(struct message *m, struct slice bytes);
/* Room for n bytes of its own at (char *)wire_room(w), to be filled before it is pushed. */
MUST_CHECK struct wire *wire_sized(size_t n);
static inline char *
wire_room(struct wire *w)
{
	return (char *)(w + 1);
}
static inline struct wire *
wire_ref(struct wire *w)
{
	w->refs++;
	return w;
}
/* Drops one; frees with the last. NULL is fine. */
void wire_unref(struct wire *w);

#endif
