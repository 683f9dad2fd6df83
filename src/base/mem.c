#include "base/mem.h"

#include <stdlib.h>

void
mem_free(void *p)
{
	free(p);
}

void *
mem_alloc(size_t n)
{
	return malloc(n == 0 ? 1 : n);
}

void *
mem_calloc(size_t count, size_t size)
{
	return calloc(count == 0 ? 1 : count, size == 0 ? 1 : size);
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
