/*
 * Input that ends at an unreadable page: reading one byte too far is a fault.
 */
#ifndef TESTS_UNIT_SUPPORT_GUARD_H
#define TESTS_UNIT_SUPPORT_GUARD_H

#include "base/slice.h"

struct guard {
	char *pages;
	size_t size; /* bytes that can be used; the unreadable page follows */
};

/* Room for n bytes; ends the test program when there is none. */
void guard_init(struct guard *g, size_t n);
void guard_done(struct guard *g);
/* Copies s (s.n <= g->size) to the end of the pages; valid and writable until the next copy. */
char *guard_put(struct guard *g, struct slice s);
struct slice guard_copy(struct guard *g, struct slice s);

#endif
