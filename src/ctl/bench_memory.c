#include "ctl/bench.h"

#define SAMPLE_NS (1000000000u)

/* The daemon's memory over a run: a sample a second, and whether it grew in the second half. */

void
bench_series_take(struct bench *b, struct bench_series *s, uint64_t now_ns)
{
	struct bench_metrics m;

	if (now_ns < s->due_ns || s->n == ARRAY_LEN(s->samples))
		return;
	if (s->n == 0)
		s->began_ns = s->due_ns = now_ns;
	if (bench_ask(b, &m) != EX_OK) {
		bench_fail(b, "the daemon does not tell its memory");
		return;
	}
	s->samples[s->n++] = (struct bench_sample){
	    .at_ms = (now_ns - s->began_ns) / 1000000u,
	    .heap_bytes = m.heap_bytes,
	    .resident_bytes = m.resident_bytes,
	};
	s->due_ns += SAMPLE_NS;
}

static double
value_of(const struct bench_sample *m, bool is_heap)
{
	return (double)(is_heap ? m->heap_bytes : m->resident_bytes);
}

/*
 * A straight line through the samples of the second half: how much it rises there, in per cent of
 * their mean.
 */
static double
growth(const struct bench_series *s, bool is_heap)
{
	size_t n = s->n - s->n / 2;
	const struct bench_sample *half = &s->samples[s->n / 2];
	double mean_x = 0;
	double mean_y = 0;
	double xy = 0;
	double xx = 0;

	for (size_t i = 0; i < n; i++) {
		mean_x += (double)half[i].at_ms / (double)n;
		mean_y += value_of(&half[i], is_heap) / (double)n;
	}
	for (size_t i = 0; i < n; i++) {
		double x = (double)half[i].at_ms - mean_x;

		xy += x * (value_of(&half[i], is_heap) - mean_y);
		xx += x * x;
	}
	if (xx <= 0 || mean_y <= 0)
		return 0;
	return xy / xx * (double)(half[n - 1].at_ms - half[0].at_ms) / mean_y * 100;
}

void
bench_series_report(struct bench_report *r, const struct bench_series *s)
{
	struct buf *json = &r->series;

	if (s->n < 4)
		return;
	bench_report_add(r, "heap_bytes", "heap of the daemon, at the end", "bytes",
	    (double)s->samples[s->n - 1].heap_bytes, 0);
	bench_report_add(r, "heap_growth", "… more in the second half", "%", growth(s, true), 2);
	bench_report_add(r, "resident_bytes", "resident, at the end", "bytes",
	    (double)s->samples[s->n - 1].resident_bytes, 0);
	bench_report_add(
	    r, "resident_growth", "… more in the second half", "%", growth(s, false), 2);
	*json = BUF_INIT(BENCH_MAX_SIZE);
	for (size_t i = 0; i < s->n; i++)
		(void)buf_printf(json, "%c[%llu,%llu,%llu]",
		    i == 0 ? '[' : ',', /* failures stick */
		    (unsigned long long)s->samples[i].at_ms,
		    (unsigned long long)s->samples[i].heap_bytes,
		    (unsigned long long)s->samples[i].resident_bytes);
	(void)buf_add_str(json, "]");
}
