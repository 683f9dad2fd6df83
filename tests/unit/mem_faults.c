#include "tests/unit/mem_faults.h"

#include <stdatomic.h>
#include <stdlib.h>

static _Atomic long fail_in; /* allocations until the one that fails; 0: none does */
static _Atomic unsigned long n_allocations;
static _Atomic long n_blocks;

void
mem_fail_at(long n)
{
	atomic_store(&fail_in, n);
}

bool
mem_fail_is_pending(void)
{
	return atomic_load(&fail_in) > 0;
}

unsigned long
mem_count(void)
{
	return atomic_load(&n_allocations);
}

long
mem_blocks(void)
{
	return atomic_load(&n_blocks);
}

/* Counts one allocation; true when it is the one to fail. */
static bool
is_failing(void)
{
	long left = atomic_load(&fail_in);

	(void)atomic_fetch_add(&n_allocations, 1); /* the count before is of no interest */
	while (left > 0 && !atomic_compare_exchange_weak(&fail_in, &left, left - 1))
		continue;
	return left == 1;
}

/* Counts a block in use. */
static void *
counted(void *p)
{
	if (p != NULL)
		(void)atomic_fetch_add(&n_blocks, 1); /* as above */
	return p;
}

void
mem_free(void *p)
{
	if (p != NULL)
		(void)atomic_fetch_sub(&n_blocks, 1); /* as above */
	free(p);
}

void *
mem_alloc(size_t n)
{
	return is_failing() ? NULL : counted(malloc(n == 0 ? 1 : n));
}

void *
mem_calloc(size_t count, size_t size)
{
	return is_failing() ? NULL : counted(calloc(count == 0 ? 1 : count, size == 0 ? 1 : size));
}

void *
mem_realloc(void *p, size_t n)
{
	void *block;

	if (is_failing())
		return NULL;
	block = realloc(p, n == 0 ? 1 : n);
	return p == NULL ? counted(block) : block;
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
