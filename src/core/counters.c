#include "core/counters.h"

#include <errno.h>

static const struct row {
	const char *kind;
	const char *metric;
	const char *labels; /* without braces; "" for none */
	const char *help;   /* of the metric's first row */
} rows[] = {
#define X(name, kind, metric, labels, help) [COUNTER_##name] = {#kind, metric, labels, help},
    COUNTERS(X)
#undef X
};

_Static_assert(ARRAY_LEN(rows) == COUNTER_COUNT, "a row for each counter");
_Static_assert(COUNTER_ANSWERS_5XX - COUNTER_ANSWERS_1XX == 4, "the classes stand together");

void
counter_answer(struct counters *c, int status)
{
	if (status >= 100 && status <= 599)
		counter_bump(&c->values[COUNTER_ANSWERS_1XX + status / 100 - 1], 1);
}

uint64_t
counters_sum(const struct counters *const *all, size_t n, enum counter which)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += counter_get(all[i], which);
	return sum;
}

static void
add_head(struct buf *out, const char *metric, const char *kind, const char *help)
{
	(void)buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric, help, metric, kind);
}

static void
add_closed(struct buf *out, const struct counters *const *all, size_t n, const char *const *reasons,
    size_t n_reasons)
{
	const char *metric = "belfry_connections_closed_total";

	add_head(out, metric, "counter", "Connections ended, by reason.");
	for (size_t r = 0; r < min_size(n_reasons, COUNTERS_REASONS); r++) {
		uint64_t sum = 0;

		for (size_t i = 0; i < n; i++)
			sum += atomic_load_explicit(&all[i]->closed[r], memory_order_relaxed);
		(void)buf_printf(
		    out, "%s{reason=\"%s\"} %llu\n", metric, reasons[r], (unsigned long long)sum);
	}
}

static void
add_refused(struct buf *out, const struct counters *const *all, size_t n)
{
	const char *metric = "belfry_refusals_total";

	add_head(out, metric, "counter", "Requests and messages refused, by error code.");
	for (size_t code = 0; code < ERROR_CODE_COUNT; code++) {
		uint64_t sum = 0;

		for (size_t i = 0; i < n; i++)
			sum += atomic_load_explicit(&all[i]->refused[code], memory_order_relaxed);
		(void)buf_printf(out, "%s{code=\"%s\"} %llu\n", metric,
		    error_name((enum error_code)code), (unsigned long long)sum);
	}
}

static const char *const checks[CHECK_COUNT] = {
#define X(name, text) [CHECK_##name] = (text),
    CHECKS(X)
#undef X
};

void
counter_failed_name(struct counters *c, const char *check)
{
	for (size_t i = 0; check != NULL && i < CHECK_COUNT; i++) {
		if (strcmp(checks[i], check) == 0)
			counter_failed(c, (enum check)i);
	}
}

static void
add_failed(struct buf *out, const struct counters *const *all, size_t n)
{
	const char *metric = "belfry_checks_failed_total";

	add_head(
	    out, metric, "counter", "Refusals of tokens, hosts, origins and limits, by check.");
	for (size_t check = 0; check < CHECK_COUNT; check++) {
		uint64_t sum = 0;

		for (size_t i = 0; i < n; i++)
			sum += atomic_load_explicit(&all[i]->failed[check], memory_order_relaxed);
		(void)buf_printf(
		    out, "%s{check=\"%s\"} %llu\n", metric, checks[check], (unsigned long long)sum);
	}
}

static const struct {
	uint64_t us;
	const char *seconds;
} latencies[COUNTERS_LATENCIES] = {
    {100, "0.0001"},
    {500, "0.0005"},
    {1000, "0.001"},
    {2500, "0.0025"},
    {5000, "0.005"},
    {10000, "0.01"},
    {50000, "0.05"},
    {250000, "0.25"},
    {1000000, "1"},
    {5000000, "5"},
};

void
latencies_add(struct latencies *l, uint64_t us)
{
	size_t i = 0;

	while (i < COUNTERS_LATENCIES && us > latencies[i].us)
		i++;
	counter_bump(&l->counts[i], 1);
	counter_bump(&l->us, us);
}

void
counter_latency(struct counters *c, uint64_t us)
{
	latencies_add(&c->latencies, us);
}

/* Each bucket counts what the smaller ones do too (Prometheus' histogram). */
void
latencies_write(struct buf *out, const char *metric, const char *help, const struct latencies *l)
{
	uint64_t us = atomic_load_explicit(&l->us, memory_order_relaxed);
	unsigned long long total = 0;

	add_head(out, metric, "histogram", help);
	for (size_t i = 0; i <= COUNTERS_LATENCIES; i++) {
		total += atomic_load_explicit(&l->counts[i], memory_order_relaxed);
		(void)buf_printf(out, "%s_bucket{le=\"%s\"} %llu\n", metric,
		    i < COUNTERS_LATENCIES ? latencies[i].seconds : "+Inf", total);
	}
	(void)buf_printf(out, "%s_sum %llu.%06llu\n%s_count %llu\n", metric,
	    (unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000), metric, total);
}

static void
add_latencies(struct buf *out, const struct counters *const *all, size_t n)
{
	struct latencies sums = {0};

	for (size_t w = 0; w < n; w++) {
		const struct latencies *l = &all[w]->latencies;

		for (size_t i = 0; i <= COUNTERS_LATENCIES; i++)
			counter_bump(&sums.counts[i],
			    atomic_load_explicit(&l->counts[i], memory_order_relaxed));
		counter_bump(&sums.us, atomic_load_explicit(&l->us, memory_order_relaxed));
	}
	latencies_write(out, "belfry_publish_seconds",
	    "From the request to the commit of a published message.", &sums);
}

/* The work of each worker, so that one that has all of it is seen. */
static void
add_turns(struct buf *out, const struct counters *const *all, size_t n)
{
	add_head(out, "belfry_worker_turns_total", "counter", "Turns of one worker's event loop.");
	for (size_t w = 0; w < n; w++)
		(void)buf_printf(out, "belfry_worker_turns_total{worker=\"%zu\"} %llu\n", w,
		    (unsigned long long)counter_get(all[w], COUNTER_TURNS));
}

/* Prometheus wants base units: what is counted in microseconds is told in seconds. */
static void
add_value(struct buf *out, enum counter which, uint64_t v)
{
	if (which == COUNTER_BUSY_US)
		(void)buf_printf(out, " %llu.%06llu\n", (unsigned long long)(v / 1000000),
		    (unsigned long long)(v % 1000000));
	else
		(void)buf_printf(out, " %llu\n", (unsigned long long)v);
}

int
counters_write(struct buf *out, const struct counters *const *all, size_t n,
    const char *const *reasons, size_t n_reasons)
{
	const char *last = "";

	for (size_t i = 0; i < COUNTER_COUNT; i++) {
		const struct row *row = &rows[i];
		bool is_labelled = row->labels[0] != '\0';

		if (strcmp(last, row->metric) != 0)
			add_head(out, row->metric, row->kind, row->help);
		last = row->metric;
		(void)buf_printf(out, "%s%s%s%s", row->metric, is_labelled ? "{" : "", row->labels,
		    is_labelled ? "}" : "");
		add_value(out, (enum counter)i, counters_sum(all, n, (enum counter)i));
	}
	add_closed(out, all, n, reasons, n_reasons);
	add_refused(out, all, n);
	add_failed(out, all, n);
	add_latencies(out, all, n);
	add_turns(out, all, n);
	return out->failed ? -ENOMEM : 0;
}

int
counters_write_one(
    struct buf *out, const char *metric, const char *kind, const char *help, uint64_t value)
{
	add_head(out, metric, kind, help);
	return buf_printf(out, "%s %llu\n", metric, (unsigned long long)value);
}
