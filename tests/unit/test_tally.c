/* core/tally: bounded counts by key, from several threads. */
#include "core/tally.h"

#include <errno.h>
#include <pthread.h>

#include "tests/unit/mem_faults.h"
#include "tests/unit/support_run.h"

START_TEST(bounded)
{
	struct tally *t = tally_new();
	struct tally_entry *a[3];
	struct tally_entry *b;
	struct tally_entry *more = NULL;

	ck_assert_ptr_nonnull(t);
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		ck_assert_int_eq(tally_add(t, SLICE("a"), 3, &a[i]), 0);
	ck_assert_int_eq(tally_add(t, SLICE("a"), 3, &more), -EBUSY);
	ck_assert_ptr_null(more);
	/* a key for itself, and one of no bytes */
	ck_assert_int_eq(tally_add(t, SLICE("ab"), 1, &b), 0);
	ck_assert_int_eq(tally_add(t, SLICE("ab"), 1, &more), -EBUSY);
	ck_assert_int_eq(tally_add(t, SLICE(""), 1, &more), 0);
	tally_remove(t, more);
	/* the bound is the caller's: a reload may have changed it */
	ck_assert_int_eq(tally_add(t, SLICE("a"), 4, &more), 0);
	tally_remove(t, more);
	tally_remove(t, a[0]);
	ck_assert_int_eq(tally_add(t, SLICE("a"), 2, &more), -EBUSY);
	tally_remove(t, a[1]);
	ck_assert_int_eq(tally_add(t, SLICE("a"), 2, &a[0]), 0);
	tally_remove(t, a[0]);
	tally_remove(t, a[2]);
	tally_remove(t, b);
	tally_remove(t, NULL);
	tally_free(t);
	tally_free(NULL);
	ck_assert_int_eq(mem_blocks(), 0);
}
END_TEST

START_TEST(forgotten_with_the_last)
{
	struct tally *t = tally_new();
	struct tally_entry *e;
	long blocks;

	ck_assert_ptr_nonnull(t);
	ck_assert_int_eq(tally_add(t, SLICE("first"), 1, &e), 0);
	tally_remove(t, e);
	blocks = mem_blocks();
	for (char c = 'a'; c <= 'z'; c++) {
		ck_assert_int_eq(tally_add(t, slice_of(&c, 1), 1, &e), 0); /* the key is copied */
		tally_remove(t, e);
	}
	ck_assert_int_eq(mem_blocks(), blocks);
	/* what is still counted goes with the tally */
	ck_assert_int_eq(tally_add(t, SLICE("left"), 1, &e), 0);
	tally_free(t);
	ck_assert_int_eq(mem_blocks(), 0);
}
END_TEST

#define ROUNDS 20000
#define KEEP   3

static void *
add_and_remove(void *arg)
{
	struct tally *t = arg;
	struct tally_entry *mine[KEEP] = {NULL};
	uintptr_t n_refused = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct tally_entry **e = &mine[i % KEEP];

		tally_remove(t, *e);
		*e = NULL;
		if (tally_add(t, SLICE("all"), 2 * KEEP - 1, e) < 0)
			n_refused++;
	}
	for (int i = 0; i < KEEP; i++)
		tally_remove(t, mine[i]);
	return (void *)n_refused; /* NOLINT(performance-no-int-to-ptr) */
}

START_TEST(threads)
{
	struct tally *t = tally_new();
	struct tally_entry *e;
	pthread_t other;
	void *refused;

	ck_assert_ptr_nonnull(t);
	ck_assert_int_eq(pthread_create(&other, NULL, add_and_remove, t), 0);
	ck_assert_uint_lt((uintptr_t)add_and_remove(t), ROUNDS);
	ck_assert_int_eq(pthread_join(other, &refused), 0);
	ck_assert_uint_lt((uintptr_t)refused, ROUNDS);
	/* nobody is counted any more */
	ck_assert_int_eq(tally_add(t, SLICE("all"), 1, &e), 0);
	tally_remove(t, e);
	tally_free(t);
}
END_TEST

START_TEST(no_memory)
{
	bool is_over = false;

	for (long n = 1; !is_over; n++) {
		struct tally_entry *e = NULL;
		struct tally *t;
		int r;

		ck_assert_int_lt(n, 100);
		mem_fail_at(n);
		t = tally_new();
		if (t != NULL) {
			r = tally_add(t, SLICE("a"), 1, &e);
			ck_assert(r == 0 || (r == -ENOMEM && e == NULL));
			is_over = mem_fail_is_pending();
			mem_fail_at(0);
			if (r < 0) /* and it goes on */
				ck_assert_int_eq(tally_add(t, SLICE("a"), 1, &e), 0);
			tally_remove(t, e);
		}
		tally_free(t);
		ck_assert_int_eq(mem_blocks(), 0);
	}
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {bounded, forgotten_with_the_last, threads, no_memory, NULL};

	return run_tests("tally", tests);
}
