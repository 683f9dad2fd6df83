#include "base/mem.h"

#include <stdlib.h>

#define CLEARED_BY_HAND 1024 /* bytes that are not worth a look whether they are zero already */

void
mem_release(void *p)
{
	free(p);
}

void *
mem_alloc(size_t n)
{
	return malloc(n == 0 ? 1 : n);
}

/*
 * glibc's calloc goes past the thread's cache of freed blocks: 200 instructions more than malloc and a
 * memset, and as many again when the block is freed.
 */
void *
mem_calloc(size_t count, size_t size)
{
	size_t n;
	void *p;

	if (__builtin_mul_overflow(count, size, &n) || n > CLEARED_BY_HAND)
		return calloc(count == 0 ? 1 : count, size == 0 ? 1 : size);
	p = mem_alloc(n);
	if (p != NULL)
		memset(p, 0, n);
	return p;
}

void *
mem_realloc(void *p, size_t n)
{
	return realloc(p, n == 0 ? 1 : n);
}

char *
mem_strdup(struct slice s)
{
	char *copy = mem_alloc(s.n + 1);

	if (copy == NULL)
		return NULL;
	if (s.n > 0)
		memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	return copy;
}
