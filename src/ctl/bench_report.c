#include "ctl/bench.h"

#include <stdio.h>
#include <time.h>

/* --- times --- */

static size_t
bucket_of(uint64_t ns)
{
	unsigned power;

	if (ns < BENCH_SUB_BUCKETS)
		return ns;
	power = 63u - (unsigned)__builtin_clzll(ns);
	return (size_t)(power - 4) * BENCH_SUB_BUCKETS +
	       (size_t)(ns >> (power - 5) & (BENCH_SUB_BUCKETS - 1));
}

/* The middle of a bucket. */
static uint64_t
bucket_time(size_t i)
{
	size_t power = i / BENCH_SUB_BUCKETS + 4;
	uint64_t low;

	if (i < BENCH_SUB_BUCKETS)
		return i;
	low = (uint64_t)(BENCH_SUB_BUCKETS + i % BENCH_SUB_BUCKETS) << (power - 5);
	return low + (1ull << (power - 5)) / 2;
}

void
bench_times_add(struct bench_times *t, uint64_t ns)
{
	t->n++;
	t->max = max_u64(t->max, ns);
	t->buckets[bucket_of(ns)]++;
}

uint64_t
bench_times_at(const struct bench_times *t, double share)
{
	uint64_t wanted = (uint64_t)((double)t->n * share + 0.5);
	uint64_t seen = 0;

	for (size_t i = 0; i < BENCH_BUCKETS; i++) {
		seen += t->buckets[i];
		if (seen >= wanted && seen > 0)
			return min_u64(bucket_time(i), t->max);
	}
	return t->max;
}

/* --- the report --- */

void
bench_report_add(struct bench_report *r, const char *key, const char *label, const char *unit,
    double value, unsigned digits)
{
	if (r->n < BENCH_FIGURES)
		r->figures[r->n++] = (struct bench_figure){key, label, unit, value, digits};
}

void
bench_report_times(struct bench_report *r, const struct bench_times *t)
{
	static const struct {
		const char *key;
		const char *label;
		double share;
	} rows[] = {
	    {"p50_us", "half of them within", 0.5},
	    {"p99_us", "99 % within", 0.99},
	    {"p999_us", "99.9 % within", 0.999},
	    {"max_us", "the slowest", 1},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		bench_report_add(r, rows[i].key, rows[i].label, "us",
		    (double)bench_times_at(t, rows[i].share) / 1000, 0);
}

void
bench_report_print(const struct bench_report *r, const char *mode, bool is_json)
{
	if (is_json)
		(void)printf("{\"mode\":\"%s\"", mode);
	else
		(void)printf("%s\n", mode);
	for (size_t i = 0; i < r->n; i++) {
		const struct bench_figure *f = &r->figures[i];

		if (is_json)
			(void)printf(",\"%s\":%.*f", f->key, (int)f->digits, f->value);
		else
			(void)printf(
			    "  %-28s %14.*f %s\n", f->label, (int)f->digits, f->value, f->unit);
	}
	if (is_json && r->series.n > 0 && !r->series.failed)
		(void)printf(",\"memory\":%.*s", SLICE_ARG(buf_slice(&r->series)));
	(void)fputs(is_json ? "}\n" : "", stdout);
}

/* --- the clock --- */

uint64_t
bench_now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* it is always there */
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
