#include "tests/unit/mem_faults.h"

#include <stdatomic.h>
#include <stdlib.h>

static _Atomic long fail_in; /* allocations until the one that fails; 0: none does */
static _Atomic bool goes_on; /* after that one all others fail, too */
static _Atomic unsigned long n_failures;
static _Thread_local volatile bool is_inside; /* malloc is called from here: counted already */
static _Atomic unsigned long n_allocations;
static _Atomic long n_blocks;

void
mem_fail_at(long n)
{
	atomic_store(&goes_on, false);
	atomic_store(&fail_in, n);
}

void
mem_fail_from(long n)
{
	atomic_store(&fail_in, n);
	atomic_store(&goes_on, n > 0);
}

bool
mem_fail_is_pending(void)
{
	return atomic_load(&fail_in) > 0;
}

unsigned long
mem_failures(void)
{
	return atomic_load(&n_failures);
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
	if (left != 1 && (left != 0 || !atomic_load(&goes_on)))
		return false;
	(void)atomic_fetch_add(&n_failures, 1); /* as above */
	return true;
}

bool
mem_is_failing(void)
{
	return !is_inside && is_failing();
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
mem_release(void *p)
{
	(void)atomic_fetch_sub(&n_blocks, 1); /* as above */
	free(p);
}

static void *
resize(void *p, size_t n)
{
	void *block;

	is_inside = true;
	block = realloc(p, n == 0 ? 1 : n);
	is_inside = false;
	return block;
}

void *
mem_alloc(size_t n)
{
	return is_failing() ? NULL : counted(resize(NULL, n));
}

void *
mem_calloc(size_t count, size_t size)
{
	void *block;

	if (is_failing())
		return NULL;
	is_inside = true;
	block = calloc(count == 0 ? 1 : count, size == 0 ? 1 : size);
	is_inside = false;
	return counted(block);
}

void *
mem_realloc(void *p, size_t n)
{
	void *block;

	if (is_failing())
		return NULL;
	block = resize(p, n);
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
