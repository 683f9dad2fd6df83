/* core/counters: counting, sums over threads, the text that Prometheus reads. */
#include "core/counters.h"
#include "tests/unit/support_run.h"

#include <check.h>
#include <stdlib.h>

static bool
has(const struct buf *b, const char *text)
{
	return memmem(b->p, b->n, text, strlen(text)) != NULL;
}

START_TEST(sums)
{
	static struct counters a, b;
	const struct counters *const all[] = {&a, &b};

	counter_add(&a, COUNTER_ACCEPTED, 3);
	counter_add(&b, COUNTER_ACCEPTED, 4);
	counter_add(&a, COUNTER_CONN_HTTP, 2);
	counter_sub(&a, COUNTER_CONN_HTTP, 1);
	counter_set(&b, COUNTER_QUEUED_BYTES, 99);
	ck_assert_uint_eq(counters_sum(all, 2, COUNTER_ACCEPTED), 7);
	ck_assert_uint_eq(counters_sum(all, 2, COUNTER_CONN_HTTP), 1);
	ck_assert_uint_eq(counter_get(&b, COUNTER_QUEUED_BYTES), 99);
	/* opened on one thread, closed on another: the sum is what counts */
	counter_sub(&b, COUNTER_CONN_HTTP, 1);
	ck_assert_uint_eq(counters_sum(all, 2, COUNTER_CONN_HTTP), 0);
}
END_TEST

START_TEST(classes)
{
	static struct counters c;

	counter_answer(&c, 101);
	counter_answer(&c, 200);
	counter_answer(&c, 204);
	counter_answer(&c, 404);
	counter_answer(&c, 599);
	counter_answer(&c, 0);
	counter_answer(&c, 600);
	counter_answer(&c, -100);
	ck_assert_uint_eq(counter_get(&c, COUNTER_ANSWERS_1XX), 1);
	ck_assert_uint_eq(counter_get(&c, COUNTER_ANSWERS_2XX), 2);
	ck_assert_uint_eq(counter_get(&c, COUNTER_ANSWERS_3XX), 0);
	ck_assert_uint_eq(counter_get(&c, COUNTER_ANSWERS_4XX), 1);
	ck_assert_uint_eq(counter_get(&c, COUNTER_ANSWERS_5XX), 1);
}
END_TEST

START_TEST(text)
{
	static struct counters a, b;
	const struct counters *const all[] = {&a, &b};
	const char *const reasons[] = {"peer", "reset"};
	struct buf out = BUF_INIT(65536);

	counter_add(&a, COUNTER_ACCEPTED, 3);
	counter_add(&b, COUNTER_CONN_EVENTS, 5);
	counter_add(&a, COUNTER_BUSY_US, 1500000);
	counter_closed(&a, 1);
	counter_closed(&b, 1);
	counter_closed(&b, COUNTERS_REASONS); /* ignored */
	counter_refused(&b, ERROR_NOT_FOUND);
	counter_failed(&a, CHECK_ORIGIN);
	counter_failed_name(&b, "exp");
	counter_failed_name(&a, "exp");
	counter_failed_name(&a, "no such check");
	counter_failed_name(&a, NULL);
	ck_assert_int_eq(counters_write(&out, all, 2, reasons, 2), 0);
	ck_assert_int_eq(counters_write_one(&out, "belfry_x", "gauge", "An x.", 8), 0);
	ck_assert(has(&out, "# TYPE belfry_connections_accepted_total counter\n"
			    "belfry_connections_accepted_total 3\n"));
	ck_assert(has(&out, "# HELP belfry_connections Connections open now, by kind.\n"
			    "# TYPE belfry_connections gauge\n"
			    "belfry_connections{kind=\"http\"} 0\n"));
	ck_assert(has(&out, "\nbelfry_connections{kind=\"events\"} 5\n"));
	ck_assert(has(&out, "\nbelfry_connections_closed_total{reason=\"reset\"} 2\n"));
	ck_assert(has(&out, "\nbelfry_refusals_total{code=\"not_found\"} 1\n"));
	ck_assert(has(&out, "\nbelfry_loop_busy_seconds_total 1.500000\n"));
	ck_assert(has(&out, "\nbelfry_checks_failed_total{check=\"exp\"} 2\n"));
	ck_assert(has(&out, "\nbelfry_checks_failed_total{check=\"origin\"} 1\n"));
	ck_assert(has(&out, "\nbelfry_checks_failed_total{check=\"aud\"} 0\n"));
	ck_assert(has(&out, "# HELP belfry_x An x.\n# TYPE belfry_x gauge\nbelfry_x 8\n"));
	buf_done(&out);
}
END_TEST

/* Each metric has one HELP and one TYPE line, before all its samples; each sample line is name, labels, number. */
START_TEST(form)
{
	static struct counters a;
	const struct counters *const all[] = {&a};
	const char *const reasons[] = {"peer"};
	struct buf out = BUF_INIT(65536);
	struct slice rest, line, type = SLICE("-");

	ck_assert_int_eq(counters_write(&out, all, 1, reasons, 1), 0);
	rest = buf_slice(&out);
	while ((line = slice_cut(&rest, '\n')).p != NULL && rest.p != NULL) {
		if (slice_has_prefix(line, SLICE("# HELP "))) {
			struct slice help = slice_skip(line, 7);
			struct slice name = slice_cut(&help, ' ');

			ck_assert_uint_gt(help.n, 0);
			line = slice_cut(&rest, '\n');
			ck_assert(slice_has_prefix(line, SLICE("# TYPE ")));
			type = slice_skip(line, 7);
			type.n = name.n;
			ck_assert(slice_eq(type, name));
		} else {
			ck_assert(slice_has_prefix(line, type));
			/* a histogram's samples have names of their own: _bucket, _sum, _count */
			ck_assert(memchr(" {_", line.p[type.n], 3) != NULL);
			ck_assert(line.p[line.n - 1] == '0');
		}
	}
	buf_done(&out);
}
END_TEST

START_TEST(latencies)
{
	static struct counters a;
	static struct counters b;
	const struct counters *const all[] = {&a, &b};
	struct buf out = BUF_INIT(1 << 20);

	counter_latency(&a, 0);
	counter_latency(&a, 100);
	counter_latency(&b, 101);
	counter_latency(&b, 5000000);
	counter_latency(&a, 5000001);
	ck_assert_int_eq(counters_write(&out, all, 2, NULL, 0), 0);
	ck_assert(has(&out, "_seconds_bucket{le=\"0.0001\"} 2\n"));
	ck_assert(has(&out, "_seconds_bucket{le=\"0.0005\"} 3\n"));
	ck_assert(has(&out, "_seconds_bucket{le=\"1\"} 3\n"));
	ck_assert(has(&out, "_seconds_bucket{le=\"5\"} 4\n"));
	ck_assert(has(&out, "_seconds_bucket{le=\"+Inf\"} 5\n"));
	ck_assert(has(&out, "_seconds_sum 10.000202\n"));
	ck_assert(has(&out, "_seconds_count 5\n"));
	buf_done(&out);
}
END_TEST

START_TEST(no_room)
{
	static struct counters a;
	const struct counters *const all[] = {&a};
	struct buf out = BUF_INIT(100);

	ck_assert_int_lt(counters_write(&out, all, 1, NULL, 0), 0);
	buf_done(&out);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("counters");
	TCase *t = tcase_create("all");

	tcase_add_test(t, sums);
	tcase_add_test(t, classes);
	tcase_add_test(t, text);
	tcase_add_test(t, form);
	tcase_add_test(t, latencies);
	tcase_add_test(t, no_room);
	suite_add_tcase(s, t);
	return run_suite(s);
}
