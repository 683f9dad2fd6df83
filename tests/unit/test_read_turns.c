/* Reads that wait: each user has a turn. */
#include "store/read_turns.h"

#include "tests/unit/support_run.h"

#define READS 9

static unsigned
next(struct read_turns *q, const struct log_read *reads)
{
	const struct log_read *r = read_turns_next(q);

	return r == NULL ? READS : (unsigned)(r - reads);
}

/* One who asks often waits behind himself; each gets what he asked for in order. */
START_TEST(one_after_the_other)
{
	static const uint64_t users[READS] = {7, 7, 7, 7, 7, 8, 8, 3, 0};
	static struct log_read reads[READS];
	struct read_turns q;

	read_turns_init(&q);
	ck_assert_uint_eq(next(&q, reads), READS);
	for (unsigned i = 0; i < READS; i++) {
		reads[i].user = users[i];
		read_turns_add(&q, &reads[i], false);
	}
	ck_assert_uint_eq(q.n, READS);
	ck_assert_uint_eq(next(&q, reads), 7);
	ck_assert_uint_eq(next(&q, reads), 0);
	ck_assert_uint_eq(next(&q, reads), 5);
	ck_assert_uint_eq(next(&q, reads), 8);
	ck_assert_uint_eq(next(&q, reads), 1);
	ck_assert_uint_eq(next(&q, reads), 6);
	for (unsigned i = 2; i < 5; i++)
		ck_assert_uint_eq(next(&q, reads), i);
	ck_assert_uint_eq(q.n, 0);
	ck_assert_uint_eq(next(&q, reads), READS);
}
END_TEST

START_TEST(urgent_ones_first)
{
	static struct log_read reads[READS];
	struct read_turns q;

	read_turns_init(&q);
	for (unsigned i = 0; i < 4; i++) {
		reads[i].user = i;
		read_turns_add(&q, &reads[i], i == 3);
	}
	ck_assert_uint_eq(next(&q, reads), 3);
	ck_assert_uint_eq(next(&q, reads), 1);
	ck_assert_uint_eq(next(&q, reads), 2);
	ck_assert_uint_eq(next(&q, reads), 0);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {one_after_the_other, urgent_ones_first, NULL};

	return run_tests("read_turns", tests);
}
