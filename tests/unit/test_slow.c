/* core/slow: one message a while, of each user in each room. */
#include "core/slow.h"

#include <stdio.h>

#include "tests/unit/mem_faults.h"
#include "tests/unit/support_run.h"

#define TAKE(user, topic, key, now) slow_take(s, SLICE(user), SLICE(topic), key, 1000, now)

START_TEST(waits)
{
	struct slow *s = slow_new();

	ck_assert(s != NULL);
	ck_assert_uint_eq(TAKE("ada", "chat/a", SLICE_NONE, 0), 0);
	ck_assert_uint_eq(TAKE("ada", "chat/a", SLICE_NONE, 1), 999);
	ck_assert_uint_eq(TAKE("ada", "chat/b", SLICE_NONE, 1), 0);
	ck_assert_uint_eq(TAKE("bob", "chat/a", SLICE_NONE, 1), 0);
	ck_assert_uint_eq(TAKE("ada", "chat/a", SLICE_NONE, 999), 1);
	ck_assert_uint_eq(TAKE("ada", "chat/a", SLICE("k"), 1000), 0);
	ck_assert_uint_eq(TAKE("ada", "chat/a", SLICE("k"), 1500), 0); /* the same once more */
	ck_assert_uint_eq(TAKE("ada", "chat/a", SLICE("l"), 1500), 500);
	ck_assert_uint_eq(TAKE("ada", "chat/a", SLICE(""), 1500), 500);
	ck_assert_uint_eq(TAKE("ada", "chat/a", SLICE("l"), 2000), 0);
	slow_free(s);
	slow_free(NULL);
}
END_TEST

/* Of more than there is room for those who spoke last are known. */
START_TEST(many)
{
	struct slow *s = slow_new();
	unsigned n_known = 0;
	char user[16];

	ck_assert(s != NULL);
	for (unsigned i = 0; i < 100000; i++) {
		int n = snprintf(user, sizeof(user), "%u", i);

		ck_assert_uint_eq(slow_take(s, slice_of(user, (size_t)n), SLICE("chat/a"),
				      SLICE_NONE, 1000000, i),
		    0);
	}
	for (unsigned i = 99000; i < 100000; i++) {
		int n = snprintf(user, sizeof(user), "%u", i);

		n_known += slow_take(s, slice_of(user, (size_t)n), SLICE("chat/a"), SLICE_NONE,
			       1000000, 100000) > 0
			       ? 1
			       : 0;
	}
	ck_assert_uint_ge(n_known, 950);
	slow_free(s);
}
END_TEST

START_TEST(without_memory)
{
	struct slow *s;

	mem_fail_at(1);
	ck_assert(slow_new() == NULL);
	s = slow_new();
	ck_assert(s != NULL);
	mem_fail_at(1);
	ck_assert_uint_eq(TAKE("ada", "chat/a", SLICE_NONE, 0), 0);
	ck_assert_uint_eq(TAKE("ada", "chat/a", SLICE_NONE, 0), 0);
	ck_assert_uint_eq(TAKE("ada", "chat/a", SLICE_NONE, 0), 1000);
	slow_free(s);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {waits, many, without_memory, NULL};

	return run_tests("slow", tests);
}
