#include "ctl/bench.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NS_A_TICK (1000000000u / 100) /* of /proc/PID/stat */

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
	(void)fputs(is_json ? "}\n" : "", stdout);
}

/* --- the clock and the daemon's costs --- */

uint64_t
bench_now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* it is always there */
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The first line of a file below /proc; false when it cannot be read. */
static bool
first_line(const char *path, char *out, size_t n)
{
	FILE *f = fopen(path, "re");
	bool ok = f != NULL && fgets(out, (int)n, f) != NULL;

	if (f != NULL)
		(void)fclose(f); /* only read */
	return ok;
}

/* /proc/PID/stat counts in hundredths of a second: the way out where the kernel has no schedstat. */
static uint64_t
cpu_by_ticks(int64_t pid)
{
	char path[64];
	char line[1024];
	char *at;
	uint64_t ticks = 0;

	(void)snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
	if (!first_line(path, line, sizeof(line)))
		return 0;
	at = strrchr(line, ')'); /* the name may hold anything */
	for (unsigned field = 2; at != NULL && field < 15; field++) {
		at = strchr(at + 1, ' ');
		if (at != NULL && field >= 13)
			ticks += strtoull(at + 1, NULL, 10); /* utime, then stime */
	}
	return ticks * NS_A_TICK;
}

uint64_t
bench_cpu_ns(int64_t pid)
{
	char path[320];
	char line[128];
	const struct dirent *e;
	uint64_t sum = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%lld/task", (long long)pid);
	d = pid == 0 ? NULL : opendir(path);
	if (d == NULL)
		return 0;
	while ((e = readdir(d)) != NULL) { /* NOLINT(concurrency-mt-unsafe): a stream of ours */
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(
		    path, sizeof(path), "/proc/%lld/task/%s/schedstat", (long long)pid, e->d_name);
		if (first_line(path, line, sizeof(line)))
			sum += strtoull(line, NULL, 10);
	}
	(void)closedir(d); /* only read */
	return sum != 0 ? sum : cpu_by_ticks(pid);
}

uint64_t
bench_resident_bytes(int64_t pid)
{
	char path[64];
	char line[256];
	uint64_t bytes = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%lld/smaps_rollup", (long long)pid);
	f = pid == 0 ? NULL : fopen(path, "re");
	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "Anonymous:", 10) == 0)
			bytes = strtoull(line + 10, NULL, 10) * 1024;
	}
	(void)fclose(f); /* only read */
	return bytes;
}
