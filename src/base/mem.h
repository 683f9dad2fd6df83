/*
 * Checked allocation. Everything the daemon allocates itself comes from here, so that the tests
 * can replace this one file (tests/unit/mem_faults.c) and let the n-th allocation fail. Failure
 * returns NULL; the caller closes or refuses what it was doing and goes on. Any thread.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/slice.h"

/* Of a block that is there. */
void mem_release(void *p);
/* NULL: nothing. Inline, since most that a request or message could own it does not: 17 of 21 calls. */
static inline void
mem_free(void *p)
{
	if (p != NULL)
		mem_release(p);
}
/* n bytes, not cleared. NULL on failure. */
MUST_CHECK void *mem_alloc(size_t n);
/* count * size bytes, zeroed; an overflow of the product is a failure. */
MUST_CHECK void *mem_calloc(size_t count, size_t size);
/* As realloc: on failure NULL and the old block stays the caller's. */
MUST_CHECK void *mem_realloc(void *p, size_t n);
/* An owned, NUL-terminated copy; NULL on failure. */
MUST_CHECK char *mem_strdup(struct slice s);

#endif
