/* core/limiter: the bucket over time, and the bounded table of buckets. */
#include "core/limiter.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/mem_faults.h"
#include "tests/unit/support_run.h"

START_TEST(burst_then_rate)
{
	const struct rate rate = {20, 1000, 40};
	struct bucket b = {0};
	uint64_t now = 123456;

	for (int i = 0; i < 40; i++)
		ck_assert_uint_eq(bucket_take(&b, rate, 1, now), 0);
	ck_assert_uint_eq(bucket_take(&b, rate, 1, now), 50);
	ck_assert_uint_eq(bucket_take(&b, rate, 1, now), 50); /* nothing was taken */
	ck_assert_uint_eq(bucket_take(&b, rate, 1, now + 49), 1);
	ck_assert_uint_eq(bucket_take(&b, rate, 1, now + 50), 0);
	ck_assert_uint_gt(bucket_take(&b, rate, 1, now + 50), 0);
	/* full again after a long time, and not more than full */
	now += 3600000;
	ck_assert_uint_eq(bucket_take(&b, rate, 40, now), 0);
	ck_assert_uint_gt(bucket_take(&b, rate, 1, now), 0);
}
END_TEST

START_TEST(off)
{
	const struct rate rate = {0, 1000, 1};
	struct bucket b = {0};

	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(bucket_take(&b, rate, 1000, 0), 0);
}
END_TEST

START_TEST(minutes)
{
	const struct rate rate = {2, 60000, 2};
	struct bucket b = {0};

	ck_assert_uint_eq(bucket_take(&b, rate, 1, 0), 0);
	ck_assert_uint_eq(bucket_take(&b, rate, 1, 0), 0);
	ck_assert_uint_eq(bucket_take(&b, rate, 1, 0), 30000);
	ck_assert_uint_eq(limiter_retry_s(30000), 30);
	ck_assert_uint_eq(limiter_retry_s(29001), 30);
	ck_assert_uint_eq(limiter_retry_s(1), 1);
}
END_TEST

START_TEST(more_than_a_burst)
{
	const struct rate rate = {10, 1000, 5};
	struct bucket b = {0};

	ck_assert_uint_eq(bucket_take(&b, rate, 20, 1000), 0); /* full: let through */
	ck_assert_uint_eq(bucket_take(&b, rate, 1, 1000), 1600);
	ck_assert_uint_eq(bucket_take(&b, rate, 1, 2600), 0);
	ck_assert_uint_gt(bucket_take(&b, rate, 20, 2600), 0); /* not full */
}
END_TEST

START_TEST(zero_burst)
{
	const struct rate rate = {1, 1000, 0};
	struct bucket b = {0};

	ck_assert_uint_eq(bucket_take(&b, rate, 1, 5), 0);
	ck_assert_uint_eq(bucket_take(&b, rate, 1, 5), 1000);
}
END_TEST

START_TEST(keys)
{
	const struct rate rate = {1, 1000, 1};
	struct limiter *l = limiter_new(3);
	char name[16];

	ck_assert_ptr_nonnull(l);
	ck_assert_uint_eq(limiter_take(l, SLICE("a"), rate, 1, 0), 0);
	ck_assert_uint_gt(limiter_take(l, SLICE("a"), rate, 1, 0), 0);
	ck_assert_uint_eq(limiter_take(l, SLICE("b"), rate, 1, 0), 0);
	ck_assert_uint_eq(limiter_take(l, SLICE("c"), rate, 1, 0), 0);
	ck_assert_uint_gt(limiter_take(l, SLICE("a"), rate, 1, 0), 0); /* now b is the oldest */
	ck_assert_uint_eq(limiter_take(l, SLICE("d"), rate, 1, 0), 0);
	ck_assert_uint_eq(limiter_count(l), 3);
	ck_assert_uint_eq(limiter_take(l, SLICE("b"), rate, 1, 0), 0); /* was forgotten */
	ck_assert_uint_gt(limiter_take(l, SLICE("a"), rate, 1, 0), 0); /* was not */
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		(void)limiter_take(l, slice_str(name), rate, 1, 0);
		ck_assert_uint_le(limiter_count(l), 3);
	}
	ck_assert_uint_eq(limiter_take(l, SLICE_NONE, rate, 1, 0), 0);
	limiter_free(l);
	limiter_free(NULL);
}
END_TEST

static const struct {
	const char *a, *b;
	bool is_same;
} pairs[] = {
    {"192.0.2.1", "192.0.2.1", true},
    {"192.0.2.1", "192.0.2.2", false},
    {"::ffff:192.0.2.1", "192.0.2.1", true},
    {"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
    {"2001:db8::1", "2001:db8::ffff", true},
    {"2001:db8::1", "2001:db8:0:1::1", false},
    {"::1", "127.0.0.1", false},
    {"unix", "unix", true},
};

START_TEST(address_keys)
{
	char a[LIMITER_KEY_MAX], b[LIMITER_KEY_MAX];

	ck_assert(slice_eq(limiter_address_key(pairs[_i].a, a),
		      limiter_address_key(pairs[_i].b, b)) == pairs[_i].is_same);
}
END_TEST

START_TEST(no_memory)
{
	const struct rate rate = {1, 1000, 1};

	for (long n = 1;; n++) {
		struct limiter *l;
		uint64_t wait;

		mem_fail_at(n);
		l = limiter_new(10);
		if (l == NULL)
			continue;
		wait = limiter_take(l, SLICE("a"), rate, 1, 0);
		ck_assert(wait == 0 || wait == 1000);
		limiter_free(l);
		ck_assert_int_eq(mem_blocks(), 0);
		if (mem_fail_is_pending())
			break;
		ck_assert_int_lt(n, 100);
	}
	mem_fail_at(0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("limiter");
	TCase *t = tcase_create("all");

	tcase_add_test(t, burst_then_rate);
	tcase_add_test(t, off);
	tcase_add_test(t, minutes);
	tcase_add_test(t, more_than_a_burst);
	tcase_add_test(t, zero_burst);
	tcase_add_test(t, keys);
	tcase_add_loop_test(t, address_keys, 0, (int)ARRAY_LEN(pairs));
	tcase_add_test(t, no_memory);
	suite_add_tcase(s, t);
	return run_suite(s);
}
