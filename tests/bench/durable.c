/*
 * durable: how many messages a second the log on disk takes with storage.sync = full, from 1, 8, 64
 * and 512 publishers at once that each wait for their acknowledgement, beside a bare loop of SQLite
 * transactions of as many rows of the same kind. Without sockets: what the store itself costs.
 *
 *	durable FOLDER [SECONDS]
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

struct result {
	double per_second;
	uint64_t p50_us;
	uint64_t p99_us;
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
	r->p50_us = n == 0 ? 0 : samples[n / 2];
	r->p99_us = n == 0 ? 0 : samples[n * 99 / 100];
}

static void
die(const char *what)
{
	(void)fprintf(stderr, "durable: %s\n", what);
	exit(1);
}

/* --- the disk alone --- */

static uint64_t
flush_us(const char *folder)
{
	static uint64_t samples[200];
	char path[512];
	char page[4096] = "";
	int fd;

	(void)snprintf(path, sizeof(path), "%s/flush", folder);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	for (size_t i = 0; i < 200; i++) {
		uint64_t start = clock_mono_us();

		if (pwrite(fd, page, sizeof(page), (off_t)(i * sizeof(page))) < 0 ||
		    fdatasync(fd) != 0)
			die("the disk cannot be written");
		samples[i] = clock_mono_us() - start;
	}
	(void)close(fd);
	(void)unlink(path);
	qsort(samples, 200, sizeof(*samples), compare);
	return samples[100];
}

/* --- the bare loop --- */

static void
bare(const char *folder, unsigned batch, uint64_t seconds, uint64_t *samples, struct result *r)
{
	static const char insert[] =
	    "INSERT INTO messages VALUES (?1, 1, 1, 0, ?1, 0, 0, NULL, 45,"
	    " 40, 300, 100, 200, ?2, NULL, 'notification', 'u', 'u', NULL)";
	char path[512];
	struct db db;
	sqlite3_stmt *s = NULL;
	char json[350];
	uint64_t start;
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
ours(const char *folder, unsigned publishers, uint64_t seconds, uint64_t *samples, struct result *r)
{
	static struct waiting w = {
	    .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};
	static char any[] = "**";
	struct topic_rule rule = {.match = any, .history = 10000000};
	struct config config = {.refs = 1, .topics = &rule, .n_topics = 1};
	struct log_options options = {.n_workers = 1, .now_us = clock_wall_us()};
	struct sqlite_options o = {
	    .sync = SYNC_FULL, .cache = 64 << 20, .keys = 1000, .config = &config};
	struct tail_slot slots[256];
	char path[512];
	char error[512];
	struct store *store = NULL;
	struct log *l;
	uint64_t sequence = 0;
	uint64_t start;
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "%s/ours", folder);
	o.path = path;
	if (sqlite_store_open(&o, error, sizeof(error), &store) < 0)
		die(error);
	l = log_new(&options, store);
	if (l == NULL)
		die("no log");
	log_attach(l, 0, on_wake, &w);
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

int
main(int argc, char **argv)
{
	static const unsigned publishers[] = {1, 8, 64, PUBLISHERS_MAX};
	uint64_t *samples = calloc(SAMPLES_MAX, sizeof(*samples));
	uint64_t seconds = argc > 2 ? strtoull(argv[2], NULL, 10) : 3;

	if (argc < 2 || samples == NULL)
		die("usage: durable FOLDER [SECONDS]");
	memset(text, 't', sizeof(text) - 1);
	(void)printf(
	    "one flush of this disk: %llu us (p50)\n", (unsigned long long)flush_us(argv[1]));
	(void)printf("%10s %12s %12s %7s %10s %10s\n", "publishers", "bare/s", "ours/s", "ratio",
	    "ack p50 us", "p99 us");
	for (size_t i = 0; i < ARRAY_LEN(publishers); i++) {
		struct result floor = {0};
		struct result r = {0};

		clean(argv[1]);
		bare(argv[1], publishers[i], seconds, samples, &floor);
		ours(argv[1], publishers[i], seconds, samples, &r);
		(void)printf("%10u %12.0f %12.0f %7.2f %10llu %10llu\n", publishers[i],
		    floor.per_second, r.per_second, r.per_second / floor.per_second,
		    (unsigned long long)r.p50_us, (unsigned long long)r.p99_us);
		clean(argv[1]);
	}
	free(samples);
	return 0;
}
