/*
 * Checked allocation. Everything the daemon allocates itself comes from here, so that the tests
 * can replace this one file (tests/unit/mem_faults.c) and let the n-th allocation fail. Failure
 * returns NULL; the caller closes or refuses what it was doing and goes on. Any thread.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/slice.h"

void mem_free(void *p);
/* n bytes, not cleared. NULL on failure. */
MUST_CHECK void *mem_alloc(size_t n);
/* count * size bytes, zeroed; an overflow of the product is a failure. */
MUST_CHECK void *mem_calloc(size_t count, size_t size);
/* As realloc: on failure NULL and the old block stays the caller's. */
MUST_CHECK void *mem_realloc(void *p, size_t n);
/* An owned, NUL-terminated copy; NULL on failure. */
MUST_CHECK char *mem_strdup(struct slice s);

#endif
