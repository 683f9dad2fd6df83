/* net/wheel: deadlines to the second. */
#include "net/wheel.h"

#include "tests/unit/support_run.h"

struct entry {
	struct wheel_entry timer;
	unsigned n_fired;
	uint64_t fired_ms;
	uint64_t again_ms;    /* set anew when fired */
	struct entry *cancel; /* taken out when fired */
};

struct clock {
	struct wheel w;
	uint64_t now_ms;
};

static void
fire(struct wheel_entry *e, void *ctx)
{
	struct entry *x = CONTAINER(e, struct entry, timer);
	struct clock *c = ctx;

	ck_assert_uint_eq(e->due_s, 0);
	x->n_fired++;
	x->fired_ms = c->now_ms;
	if (x->again_ms != 0)
		wheel_set(&c->w, e, x->again_ms);
	if (x->cancel != NULL)
		wheel_set(&c->w, &x->cancel->timer, 0);
}

static void
turn(struct clock *c, uint64_t now_ms)
{
	c->now_ms = now_ms;
	wheel_turn(&c->w, now_ms, fire, c);
}

START_TEST(rounded_up)
{
	struct clock c;
	struct entry e[5] = {0};

	wheel_init(&c.w, 12345);
	wheel_set(&c.w, &e[0].timer, 12345 + 1);
	wheel_set(&c.w, &e[1].timer, 12345 + 1000);
	wheel_set(&c.w, &e[2].timer, 12345 + 1001);
	wheel_set(&c.w, &e[3].timer, 12345 + 256000); /* the same bucket, a round later */
	wheel_set(&c.w, &e[4].timer, 5);              /* long past: at the next second */
	turn(&c, 12345 + 999);
	ck_assert_uint_eq(e[0].n_fired + e[4].n_fired, 0);
	turn(&c, 12345 + 1000);
	ck_assert_uint_eq(e[0].n_fired, 1);
	ck_assert_uint_eq(e[1].n_fired, 1);
	ck_assert_uint_eq(e[4].n_fired, 1);
	ck_assert_uint_eq(e[2].n_fired, 0);
	turn(&c, 12345 + 2000);
	ck_assert_uint_eq(e[2].n_fired, 1);
	turn(&c, 12345 + 255999);
	ck_assert_uint_eq(e[3].n_fired, 0);
	turn(&c, 12345 + 256000);
	ck_assert_uint_eq(e[3].n_fired, 1);
	turn(&c, 12345 + 600000);
	for (int i = 0; i < 5; i++)
		ck_assert_uint_eq(e[i].n_fired, 1);
}
END_TEST

START_TEST(moved)
{
	struct clock c;
	struct entry e = {0};

	wheel_init(&c.w, 0);
	wheel_set(&c.w, &e.timer, 5000);
	wheel_set(&c.w, &e.timer, 2000);
	turn(&c, 2000);
	ck_assert_uint_eq(e.n_fired, 1);
	turn(&c, 6000);
	ck_assert_uint_eq(e.n_fired, 1);
	wheel_set(&c.w, &e.timer, 8000);
	wheel_set(&c.w, &e.timer, 0);
	wheel_set(&c.w, &e.timer, 0);
	turn(&c, 9000);
	ck_assert_uint_eq(e.n_fired, 1);
	/* never, as far as this wheel counts */
	wheel_set(&c.w, &e.timer, UINT64_MAX);
	turn(&c, 3000000);
	ck_assert_uint_eq(e.n_fired, 1);
	ck_assert_uint_ne(e.timer.due_s, 0);
	wheel_set(&c.w, &e.timer, 0);
}
END_TEST

/* Firing sets anew, and takes out others of the same second. */
START_TEST(while_firing)
{
	struct clock c;
	struct entry a = {0};
	struct entry b = {0};

	wheel_init(&c.w, 0);
	a.cancel = &b;
	b.cancel = &a;
	wheel_set(&c.w, &a.timer, 1000);
	wheel_set(&c.w, &b.timer, 1000);
	turn(&c, 1000);
	ck_assert_uint_eq(a.n_fired + b.n_fired, 1);
	a = (struct entry){.again_ms = 500}; /* past: once a second, not for ever */
	wheel_set(&c.w, &a.timer, 2000);
	turn(&c, 4000);
	ck_assert_uint_eq(a.n_fired, 3);
	wheel_set(&c.w, &a.timer, 0);
}
END_TEST

START_TEST(many)
{
	struct entry *e = calloc(5000, sizeof(*e));
	struct clock c;

	ck_assert_ptr_nonnull(e);
	wheel_init(&c.w, 7);
	for (unsigned i = 0; i < 5000; i++)
		wheel_set(&c.w, &e[i].timer, 7 + (uint64_t)i * 137);
	for (uint64_t now = 7; now < 7 + 5000 * 137 + 2000; now += 333)
		turn(&c, now);
	for (unsigned i = 0; i < 5000; i++) {
		ck_assert_uint_eq(e[i].n_fired, 1);
		ck_assert_uint_ge(e[i].fired_ms, 7 + (uint64_t)i * 137);
		ck_assert_uint_lt(e[i].fired_ms, 7 + (uint64_t)i * 137 + 1400);
	}
	free(e);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {rounded_up, moved, while_firing, many, NULL};

	return run_tests("wheel", tests);
}
