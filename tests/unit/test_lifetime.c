/* serve/lifetime: beats, and the warning and the end of a token. */
#include "serve/lifetime.h"

#include "core/config.h"
#include "tests/unit/support_run.h"

#define NOW_S INT64_C(1700000000)

static void
set_clock(struct hub *h, int64_t passed_ms)
{
	h->now_ms = NOW_S * 1000 + passed_ms;
	h->mono_us = (uint64_t)(5000 + passed_ms) * 1000;
}

START_TEST(first_beats_are_spread)
{
	struct config config = {0};
	struct hub h = {.config = &config};
	unsigned seen[10] = {0};

	set_clock(&h, 0);
	for (int i = 0; i < 1000; i++) {
		struct lifetime l;

		lifetime_init(&l, &h, 10000);
		ck_assert_uint_ge(l.beat_s, 6);
		ck_assert_uint_le(l.beat_s, 15);
		seen[l.beat_s - 6]++;
	}
	for (size_t i = 0; i < ARRAY_LEN(seen); i++)
		ck_assert_uint_gt(seen[i], 0);
}
END_TEST

START_TEST(beats)
{
	struct config config = {0};
	struct hub h = {.config = &config};
	struct lifetime l = {.beat_s = 7};

	set_clock(&h, 0);
	ck_assert(!lifetime_beat(&l, &h, 10000));
	set_clock(&h, 1999);
	ck_assert(!lifetime_beat(&l, &h, 10000));
	set_clock(&h, 2000);
	ck_assert(lifetime_beat(&l, &h, 10000));
	ck_assert(!lifetime_beat(&l, &h, 10000));
	ck_assert_uint_eq(l.beat_s, 17);
	/* a turn that came late does not make up for what it missed */
	set_clock(&h, 47500);
	ck_assert(lifetime_beat(&l, &h, 10000));
	ck_assert(!lifetime_beat(&l, &h, 10000));
	ck_assert_uint_eq(l.beat_s, 62);
	/* never in the same second, however short the interval */
	set_clock(&h, 60000);
	ck_assert(lifetime_beat(&l, &h, 0));
	ck_assert(!lifetime_beat(&l, &h, 0));
	lifetime_init(&l, &h, 0);
	ck_assert(!lifetime_beat(&l, &h, 0));
}
END_TEST

START_TEST(no_end)
{
	struct config config = {0};
	struct hub h = {.config = &config};
	const struct claims claims = {.exp = 0};
	struct lifetime l = {.beat_s = 100};
	int64_t in_s = -1;

	set_clock(&h, 0);
	ck_assert_int_eq(lifetime_check(&l, &h, &claims, &in_s), LIFETIME_GOES_ON);
	ck_assert_uint_eq(lifetime_deadline(&l, &h, &claims), 100000);
}
END_TEST

START_TEST(warns_once_and_ends)
{
	struct config config = {.auth.leeway_ms = 10000};
	struct hub h = {.config = &config};
	struct claims claims = {.exp = NOW_S + 90}; /* so it lasts for 100 s */
	struct lifetime l = {.beat_s = 1000000};
	int64_t in_s = -1;

	set_clock(&h, 0);
	ck_assert_int_eq(lifetime_check(&l, &h, &claims, &in_s), LIFETIME_GOES_ON);
	ck_assert_uint_eq(lifetime_deadline(&l, &h, &claims), 75000);
	set_clock(&h, 69999);
	ck_assert_int_eq(lifetime_check(&l, &h, &claims, &in_s), LIFETIME_GOES_ON);
	set_clock(&h, 70000);
	ck_assert_int_eq(lifetime_check(&l, &h, &claims, &in_s), LIFETIME_EXPIRING);
	ck_assert_int_eq(in_s, 30);
	ck_assert_int_eq(lifetime_check(&l, &h, &claims, &in_s), LIFETIME_GOES_ON);
	ck_assert_uint_eq(lifetime_deadline(&l, &h, &claims), 105000);
	set_clock(&h, 99999);
	ck_assert_int_eq(lifetime_check(&l, &h, &claims, &in_s), LIFETIME_GOES_ON);
	/* renewed at the last moment, for as short a time */
	lifetime_renew(&l);
	claims.exp = NOW_S + 100;
	ck_assert_int_eq(lifetime_check(&l, &h, &claims, &in_s), LIFETIME_EXPIRING);
	ck_assert_int_eq(in_s, 11);
	set_clock(&h, 110000);
	ck_assert_int_eq(lifetime_check(&l, &h, &claims, &in_s), LIFETIME_EXPIRED);
	ck_assert_uint_eq(lifetime_deadline(&l, &h, &claims), 115000); /* at once */
	set_clock(&h, 3600000);
	ck_assert_int_eq(lifetime_check(&l, &h, &claims, &in_s), LIFETIME_EXPIRED);
	ck_assert_uint_eq(lifetime_deadline(&l, &h, &claims), 3605000);
}
END_TEST

START_TEST(far_away)
{
	struct config config = {.auth.leeway_ms = 3600000};
	struct hub h = {.config = &config};
	const struct claims claims = {.exp = TOKEN_EXP_MAX};
	struct lifetime l = {.beat_s = UINT32_MAX};
	int64_t in_s = -1;

	set_clock(&h, 0);
	ck_assert_int_eq(lifetime_check(&l, &h, &claims, &in_s), LIFETIME_GOES_ON);
	ck_assert_uint_eq(lifetime_deadline(&l, &h, &claims), UINT32_MAX * UINT64_C(1000));
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
	    first_beats_are_spread, beats, no_end, warns_once_and_ends, far_away, NULL};

	return run_tests("lifetime", tests);
}
