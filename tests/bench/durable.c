/*
 * durable: how many messages a second the log on disk takes with storage.sync = full, from 1, 8, 64
 * and 512 publishers at once that each wait for their acknowledgement, beside a bare loop of SQLite
 * transactions of rows of the same kind, as many in each as ours had. Without sockets: what the
 * store itself costs. The two take turns, for the disk has moods; medians of the rounds count.
 *
 *	durable FOLDER [SECONDS [ROUNDS [HISTORY]]]
 *
 * HISTORY: messages that the topic keeps; with few, each transaction takes as many away as it brings.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/sqlite_private.h"

#define PUBLISHERS_MAX 512
#define SAMPLES_MAX    1000000
#define ROUNDS_MAX     99

struct result {
	double per_second;
	double cpu_us; /* of the thread that writes, a message */
	double batch;  /* messages of one transaction */
	double p50_us;
	double p99_us;
	double flush_us; /* of the disk alone, before and after */
};

static char text[201];

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
sum_up(struct result *r, uint64_t *samples, size_t n, uint64_t messages, uint64_t us)
{
	qsort(samples, n, sizeof(*samples), compare);
	r->per_second = (double)messages * 1e6 / (double)us;
	r->p50_us = n == 0 ? 0 : (double)samples[n / 2];
	r->p99_us = n == 0 ? 0 : (double)samples[n * 99 / 100];
}

static double
cpu_us(clockid_t clock)
{
	struct timespec t = {0};

	(void)clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void
die(const char *what)
{
	(void)fprintf(stderr, "durable: %s\n", what);
	exit(1);
}

/* --- the disk alone --- */

#define FLUSHES 50

static double
flush_us(const char *folder)
{
	uint64_t samples[FLUSHES];
	char path[512];
	char page[4096] = "";
	int fd;

	(void)snprintf(path, sizeof(path), "%s/flush", folder);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	for (size_t i = 0; i < FLUSHES; i++) {
		uint64_t start = clock_mono_us();

		if (pwrite(fd, page, sizeof(page), (off_t)(i * sizeof(page))) < 0 ||
		    fdatasync(fd) != 0)
			die("the disk cannot be written");
		samples[i] = clock_mono_us() - start;
	}
	(void)close(fd);
	(void)unlink(path);
	qsort(samples, FLUSHES, sizeof(*samples), compare);
	return (double)samples[FLUSHES / 2];
}

/* --- the bare loop --- */

static void
bare(const char *folder, unsigned batch, uint64_t seconds, uint64_t *samples, struct result *r)
{
	static const char insert[] =
	    "INSERT INTO messages (id, tid, kind, flags, time, ends, origin, id_at, sse_at, sse_n,"
	    " content_at, content_n, json, event, name, user) VALUES (?1, 1, 1, 0, ?1, 0, 0, 45,"
	    " 40, 300, 100, 200, ?2, 'notification', 'u', 'u')";
	char path[512];
	struct db db;
	sqlite3_stmt *s = NULL;
	char json[350];
	uint64_t start;
	double cpu;
	uint64_t id = 1;
	size_t n = 0;
	int version = 0;

	(void)snprintf(path, sizeof(path), "%s/bare", folder);
	(void)close(open(path, O_RDWR | O_CREAT, 0600));
	memset(json, 'x', sizeof(json));
	if (db_init(&db, &(struct db_open){path, NULL, true, SYNC_FULL}) < 0 ||
	    db_migrate(&db, &version) < 0 ||
	    sqlite3_prepare_v2(db.handle, insert, -1, &s, NULL) != SQLITE_OK)
		die(db_text(&db));
	cpu = cpu_us(CLOCK_THREAD_CPUTIME_ID);
	start = clock_mono_us();
	while (clock_mono_us() - start < seconds * 1000000 && n < SAMPLES_MAX) {
		uint64_t began = clock_mono_us();

		if (db_exec(&db, "BEGIN IMMEDIATE") < 0)
			die(db_text(&db));
		for (unsigned i = 0; i < batch; i++) {
			db_bind_u64(s, 1, id++);
			db_bind_text(s, 2, slice_of(json, sizeof(json)));
			if (db_run(&db, s) < 0)
				die(db_text(&db));
		}
		if (db_exec(&db, "COMMIT") < 0)
			die(db_text(&db));
		samples[n++] = clock_mono_us() - began;
	}
	sum_up(r, samples, n, id - 1, clock_mono_us() - start);
	r->cpu_us = (cpu_us(CLOCK_THREAD_CPUTIME_ID) - cpu) / (double)(id - 1);
	(void)sqlite3_finalize(s);
	db_done(&db);
}

/* --- ours --- */

struct waiting {
	pthread_mutex_t lock;
	pthread_cond_t more;
	bool is_woken;
};

static void
on_wake(void *ctx)
{
	struct waiting *w = ctx;

	(void)pthread_mutex_lock(&w->lock);
	w->is_woken = true;
	(void)pthread_mutex_unlock(&w->lock);
	(void)pthread_cond_signal(&w->more);
}

static void
wait_for(struct waiting *w)
{
	(void)pthread_mutex_lock(&w->lock);
	while (!w->is_woken)
		(void)pthread_cond_wait(&w->more, &w->lock);
	w->is_woken = false;
	(void)pthread_mutex_unlock(&w->lock);
}

static void
publish(struct log *l, const struct topic_rule *rule)
{
	int64_t now_ms = (int64_t)(clock_wall_us() / 1000);
	struct append *a = append_new(1);
	struct message_notice notice = {.topic = SLICE("bench/topic"),
	    .text = slice_str(text),
	    .from = {SLICE("u"), SLICE("u")}};

	if (a == NULL)
		die("no memory");
	a->now_ms = now_ms;
	a->started_us = clock_mono_us();
	a->items[0].message = message_notice(&notice, SLICE_NONE, rule, now_ms, 0);
	if (a->items[0].message == NULL || log_append(l, a, 0) < 0)
		die("the log takes nothing");
}

static void
ours(const char *folder, unsigned publishers, uint64_t seconds, uint32_t history, uint64_t *samples,
    struct result *r)
{
	static struct waiting w = {
	    .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};
	static char any[] = "**";
	struct topic_rule rule = {.match = any, .history = history};
	struct config config = {.refs = 1, .topics = &rule, .n_topics = 1};
	struct log_options options = {.n_workers = 1, .now_us = clock_wall_us()};
	struct sqlite_options o = {
	    .sync = SYNC_FULL, .cache = 64 << 20, .keys = 1000, .config = &config};
	static struct tail_slot slots[256];
	char path[512];
	char error[512];
	struct store *store = NULL;
	struct log *l;
	const struct sqlite_figures *figures;
	uint64_t sequence = 0;
	uint64_t start;
	clockid_t clock;
	double cpu;
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "%s/ours", folder);
	o.path = path;
	if (sqlite_store_open(&o, error, sizeof(error), &store) < 0)
		die(error);
	l = log_new(&options, store);
	if (l == NULL)
		die("no log");
	log_attach(l, 0, on_wake, &w);
	if (pthread_getcpuclockid(sqlite_of(store)->thread, &clock) != 0)
		die("no clock");
	cpu = cpu_us(clock);
	start = clock_mono_us();
	for (unsigned i = 0; i < publishers; i++)
		publish(l, &rule);
	for (size_t left = publishers; left > 0;) {
		unsigned got;

		wait_for(&w);
		while ((got = log_take(l, 0, slots, 256, &sequence)) > 0) {
			sequence += got;
			for (unsigned i = 0; i < got; i++) {
				struct append *a = slots[i].append;

				if (a == NULL)
					continue;
				if (a->status < 0)
					die("a message could not be stored");
				if (n < SAMPLES_MAX)
					samples[n++] = clock_mono_us() - a->started_us;
				append_free(a);
				left--;
				if (clock_mono_us() - start < seconds * 1000000) {
					publish(l, &rule);
					left++;
				}
			}
		}
	}
	sum_up(r, samples, n, n, clock_mono_us() - start);
	figures = &sqlite_of(store)->figures;
	r->cpu_us = (cpu_us(clock) - cpu) / (double)n;
	r->batch =
	    (double)atomic_load(&figures->n_written) / (double)atomic_load(&figures->n_commits);
	log_free(l);
}

static void
clean(const char *folder)
{
	static const char *const names[] = {
	    "bare", "bare-wal", "bare-shm", "ours", "ours-wal", "ours-shm", "ours-lock"};
	char path[512];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		(void)unlink(path);
	}
}

/* --- rounds --- */

static int
compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Of one figure in each of the results. */
static double
median(const struct result *all, size_t n, size_t at)
{
	double v[ROUNDS_MAX];

	for (size_t i = 0; i < n; i++)
		v[i] = *(const double *)(const void *)((const char *)&all[i] + at);
	qsort(v, n, sizeof(*v), compare_doubles);
	return v[n / 2];
}

#define MEDIAN(all, member) median(all, n_rounds, offsetof(struct result, member))

static void
measure(const char *folder, unsigned publishers, uint64_t seconds, size_t n_rounds,
    uint32_t history, uint64_t *samples)
{
	static struct result floor[ROUNDS_MAX];
	static struct result r[ROUNDS_MAX];
	static struct result ratio[ROUNDS_MAX];

	for (size_t i = 0; i < n_rounds; i++) {
		clean(folder);
		r[i].flush_us = flush_us(folder);
		ours(folder, publishers, seconds, history, samples, &r[i]);
		bare(folder, (unsigned)(r[i].batch + 0.5), seconds, samples, &floor[i]);
		ratio[i].per_second = r[i].per_second / floor[i].per_second;
		clean(folder);
		r[i].flush_us = (r[i].flush_us + flush_us(folder)) / 2;
	}
	(void)printf("%10u %7.1f %10.0f %10.0f %6.2f %9.2f %9.2f %10.0f %10.0f %10.0f\n",
	    publishers, MEDIAN(r, batch), MEDIAN(floor, per_second), MEDIAN(r, per_second),
	    MEDIAN(ratio, per_second), MEDIAN(floor, cpu_us), MEDIAN(r, cpu_us),
	    MEDIAN(r, flush_us), MEDIAN(r, p50_us), MEDIAN(r, p99_us));
	(void)fflush(stdout);
}

int
main(int argc, char **argv)
{
	static const unsigned publishers[] = {1, 8, 64, PUBLISHERS_MAX};
	uint64_t *samples = calloc(SAMPLES_MAX, sizeof(*samples));
	uint64_t seconds = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	uint64_t n_rounds = argc > 3 ? strtoull(argv[3], NULL, 10) : 5;
	uint64_t history = argc > 4 ? strtoull(argv[4], NULL, 10) : 10000000;

	if (argc < 2 || samples == NULL || n_rounds < 1 || n_rounds > ROUNDS_MAX)
		die("usage: durable FOLDER [SECONDS [ROUNDS [HISTORY]]]");
	memset(text, 't', sizeof(text) - 1);
	(void)printf("%10s %7s %10s %10s %6s %9s %9s %10s %10s %10s\n", "publishers", "batch",
	    "bare/s", "ours/s", "ratio", "bare cpu", "our cpu", "flush us", "ack p50 us", "p99 us");
	for (size_t i = 0; i < ARRAY_LEN(publishers); i++) {
		if (argc > 5 && publishers[i] != strtoull(argv[5], NULL, 10))
			continue;
		measure(argv[1], publishers[i], seconds, n_rounds, (uint32_t)history, samples);
	}
	free(samples);
	return 0;
}
