/*
 * durable: how many messages a second the log on disk takes with storage.sync = full, from 1, 8, 64
 * and 512 publishers at once that each wait for their acknowledgement, beside a bare loop of SQLite
 * transactions of rows of the same kind, as many in each as ours had. Without sockets: what the
 * store itself costs. The two take turns, for the disk has moods; medians of the rounds count.
 *
 *	durable [-f MS] [-o RATE] [-s SECONDS] [-r ROUNDS] [-p PUBLISHERS] [-h HISTORY] FOLDER
 *
 * -f: each flush takes that long (2, 0.5) instead of what this disk needs, and is none, for both.
 * -o: each publisher says that many messages a second, at random moments, and not the next as soon as
 *     it has its acknowledgement; the time of each counts from its moment (open loop).
 * -h: messages that the topic keeps; with few, each transaction takes as many away as it brings.
 *
 * How long the bare loop's publishers would wait is counted as for ours: as many wait as there are,
 * the loop takes the oldest of them, and who has its acknowledgement comes again at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/sqlite_private.h"

#define PUBLISHERS_MAX 512
#define SAMPLES_MAX    1000000
#define ROUNDS_MAX     99
#define WARM_US        250000 /* before it counts: the write-ahead log has its size, memory is there */

struct result {
	double per_second;
	double cpu_us; /* of the thread that writes, a message */
	double batch;  /* messages of one transaction */
	double p50_us;
	double p99_us;
	double flushes;  /* that p50 takes */
	double flush_us; /* of the disk alone, before and after, as often as there are messages */
};

/* What is measured. */
struct plan {
	const char *folder;
	const char *vfs; /* NULL: the system's own */
	unsigned publishers;
	unsigned batch; /* of the bare loop */
	uint64_t seconds;
	uint64_t rate; /* messages a second of each publisher; 0: as fast as it can */
	uint32_t history;
	uint64_t *samples;
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

/* --- a disk whose flush takes a fixed time --- */

#define SLOW_VFS   "belfry-slow"
#define TABLES_MAX 8

static sqlite3_vfs slow_vfs;
static const sqlite3_vfs *usual_vfs;
static uint64_t slow_us;

/* The usual one's functions for files, and the same with another flush. */
static struct {
	const sqlite3_io_methods *usual;
	sqlite3_io_methods slow;
} tables[TABLES_MAX];
static pthread_mutex_t tables_lock = PTHREAD_MUTEX_INITIALIZER;

static int
slow_sync(sqlite3_file *file, int flags)
{
	struct timespec until;

	(void)file;
	(void)flags;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)slow_us * 1000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
		continue;
	return SQLITE_OK;
}

static int
slow_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *flags_out)
{
	int r = usual_vfs->xOpen(vfs, name, file, flags, flags_out);
	size_t i = 0;

	if (file->pMethods == NULL)
		return r;
	(void)pthread_mutex_lock(&tables_lock);
	while (i < TABLES_MAX && tables[i].usual != NULL && tables[i].usual != file->pMethods)
		i++;
	if (i == TABLES_MAX)
		die("too many kinds of files");
	if (tables[i].usual == NULL) {
		tables[i].usual = file->pMethods;
		tables[i].slow = *file->pMethods;
		tables[i].slow.xSync = slow_sync;
	}
	file->pMethods = &tables[i].slow;
	(void)pthread_mutex_unlock(&tables_lock);
	return r;
}

static void
make_slow(uint64_t us)
{
	usual_vfs = sqlite3_vfs_find(NULL);
	slow_us = us;
	slow_vfs = *usual_vfs;
	slow_vfs.zName = SLOW_VFS;
	slow_vfs.xOpen = slow_open;
	if (sqlite3_vfs_register(&slow_vfs, 0) != SQLITE_OK)
		die("no VFS");
}

/* --- the disk alone --- */

#define FLUSHES 50

static void
wait_until(uint64_t us)
{
	while (clock_mono_us() < us)
		(void)sched_yield();
}

/* With a pause before each: a disk that had nothing to do takes longer. */
static double
flush_us(const char *folder, uint64_t pause_us)
{
	uint64_t samples[FLUSHES];
	size_t n = pause_us > 10000 ? FLUSHES / 5 : FLUSHES;
	char path[512];
	char page[4096] = "";
	int fd;

	(void)snprintf(path, sizeof(path), "%s/flush", folder);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	for (size_t i = 0; i < n; i++) {
		uint64_t start = clock_mono_us() + pause_us;

		wait_until(start);
		if (pwrite(fd, page, sizeof(page), (off_t)(i * sizeof(page))) < 0 ||
		    fdatasync(fd) != 0)
			die("the disk cannot be written");
		samples[i] = clock_mono_us() - start;
	}
	(void)close(fd);
	(void)unlink(path);
	qsort(samples, n, sizeof(*samples), compare);
	return (double)samples[n / 2];
}

/* --- the bare loop --- */

/* Those who wait, by when they came, the oldest first; each of them takes part in one transaction. */
struct crowd {
	uint64_t since[PUBLISHERS_MAX];
	unsigned n;
	unsigned at;
};

/* The transaction is over: who was in it comes again. */
static size_t
acknowledge(struct crowd *c, unsigned batch, uint64_t *samples, size_t n)
{
	uint64_t now = clock_mono_us();

	for (unsigned i = 0; i < batch; i++) {
		if (n < SAMPLES_MAX)
			samples[n++] = now - c->since[c->at];
		c->since[c->at] = now;
		c->at = (c->at + 1) % c->n;
	}
	return n;
}

static void
bare_transaction(struct db *db, sqlite3_stmt *s, unsigned batch, uint64_t *id)
{
	static char json[355];

	memset(json, 'x', sizeof(json));
	if (db_exec(db, "BEGIN IMMEDIATE") < 0)
		die(db_text(db));
	for (unsigned i = 0; i < batch; i++) {
		db_bind_u64(s, 1, (*id)++);
		db_bind_text(s, 2, slice_of(json, sizeof(json)));
		if (db_run(db, s) < 0)
			die(db_text(db));
	}
	if (db_exec(db, "COMMIT") < 0)
		die(db_text(db));
}

static void
bare(const struct plan *p, struct result *r)
{
	static const char insert[] =
	    "INSERT INTO messages (id, tid, kind, flags, time, ends, origin, id_at, sse_at, sse_n,"
	    " content_at, content_n, json, event, name, user) VALUES (?1, 1, 1, 0, ?1, 0, 0, 45,"
	    " 40, 300, 100, 200, ?2, 'notification', 'u', 'u')";
	struct crowd crowd = {.n = p->publishers};
	char path[512];
	struct db db;
	sqlite3_stmt *s = NULL;
	uint64_t start;
	double cpu;
	uint64_t id = 1;
	uint64_t first;
	size_t n = 0;
	int version = 0;

	(void)snprintf(path, sizeof(path), "%s/bare", p->folder);
	(void)close(open(path, O_RDWR | O_CREAT, 0600));
	if (db_init(&db, &(struct db_open){path, p->vfs, true, SYNC_FULL}) < 0 ||
	    db_migrate(&db, &version) < 0 ||
	    sqlite3_prepare_v2(db.handle, insert, -1, &s, NULL) != SQLITE_OK)
		die(db_text(&db));
	start = clock_mono_us();
	while (clock_mono_us() - start < WARM_US)
		bare_transaction(&db, s, p->batch, &id);
	cpu = cpu_us(CLOCK_THREAD_CPUTIME_ID);
	start = clock_mono_us();
	first = id;
	for (unsigned i = 0; i < crowd.n; i++)
		crowd.since[i] = start;
	while (clock_mono_us() - start < p->seconds * 1000000) {
		bare_transaction(&db, s, p->batch, &id);
		n = acknowledge(&crowd, p->batch, p->samples, n);
	}
	sum_up(r, p->samples, n, id - first, clock_mono_us() - start);
	r->cpu_us = (cpu_us(CLOCK_THREAD_CPUTIME_ID) - cpu) / (double)(id - first);
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
publish(struct log *l, const struct topic_rule *rule, uint64_t started_us)
{
	int64_t now_ms = (int64_t)(clock_wall_us() / 1000);
	struct append *a = append_new(1);
	struct message_notice notice = {.topic = SLICE("bench/topic"),
	    .text = slice_str(text),
	    .from = {SLICE("u"), SLICE("u")}};

	if (a == NULL)
		die("no memory");
	a->now_ms = now_ms;
	a->started_us = started_us;
	a->items[0].message = message_notice(&notice, SLICE_NONE, rule, now_ms, 0);
	if (a->items[0].message == NULL || log_append(l, a, 0) < 0)
		die("the log takes nothing");
}

/* What runs: the store, and those who publish. */
struct run {
	const struct plan *plan;
	struct log *l;
	struct topic_rule rule;
	uint64_t sequence;
	unsigned left; /* that wait */
	size_t n;      /* samples */
	uint64_t messages;
};

/* Everybody has its acknowledgement, and says more while there is time. */
static void
answer(struct run *x, struct append *a, bool is_over)
{
	if (a->status < 0)
		die("a message could not be stored");
	if (x->n < SAMPLES_MAX)
		x->plan->samples[x->n++] = clock_mono_us() - a->started_us;
	append_free(a);
	x->messages++;
	if (is_over)
		x->left--;
	else
		publish(x->l, &x->rule, clock_mono_us());
}

/* Until the time is over, and then, to leave, until everybody was answered. */
static void
go_on(struct run *x, struct waiting *w, uint64_t until_us, bool to_leave)
{
	static struct tail_slot slots[256];
	bool is_over = false;

	while (x->left > 0 && (to_leave || !is_over)) {
		unsigned got;

		wait_for(w);
		while ((got = log_take(x->l, 0, slots, 256, &x->sequence)) > 0) {
			x->sequence += got;
			for (unsigned i = 0; i < got; i++) {
				is_over = clock_mono_us() >= until_us;
				if (slots[i].append != NULL)
					answer(x, slots[i].append, is_over && to_leave);
			}
		}
	}
}

/* Until when the next of the crowd has something to say: at random, as often as it should be. */
static uint64_t
next_pause_us(const struct plan *p, uint64_t *random)
{
	*random = *random * 6364136223846793005u + 1442695040888963407u;
	return (*random >> 33) % (2000000 / (p->rate * p->publishers) + 1);
}

/* Each at its moment, but never more than there are publishers. For `us`, and until all are answered. */
static void
pace(struct run *x, uint64_t us)
{
	static struct tail_slot slots[256];
	uint64_t random = us;
	uint64_t due = clock_mono_us();
	uint64_t until = due + us;

	x->left = 0;
	while (due < until || x->left > 0) {
		unsigned got = log_take(x->l, 0, slots, 256, &x->sequence);

		x->sequence += got;
		for (unsigned i = 0; i < got; i++) {
			if (slots[i].append != NULL)
				answer(x, slots[i].append, true);
		}
		while (due < until && due <= clock_mono_us() && x->left < x->plan->publishers) {
			publish(x->l, &x->rule, due);
			x->left++;
			due += next_pause_us(x->plan, &random);
		}
		(void)sched_yield();
	}
}

static void
crowd(struct run *x, struct waiting *w, uint64_t us, bool to_leave)
{
	if (x->plan->rate > 0)
		pace(x, us);
	else
		go_on(x, w, clock_mono_us() + us, to_leave);
}

static void
measure_ours(struct run *x, struct waiting *w, struct sqlite_store *s, struct result *r)
{
	uint64_t start = clock_mono_us();
	uint64_t commits;
	uint64_t written;
	clockid_t clock;
	double cpu;

	if (pthread_getcpuclockid(s->thread, &clock) != 0)
		die("no clock");
	for (x->left = 0; x->plan->rate == 0 && x->left < x->plan->publishers; x->left++)
		publish(x->l, &x->rule, clock_mono_us());
	crowd(x, w, WARM_US, false);
	x->n = 0;
	x->messages = 0;
	commits = atomic_load(&s->figures.n_commits);
	written = atomic_load(&s->figures.n_written);
	cpu = cpu_us(clock);
	start = clock_mono_us();
	crowd(x, w, x->plan->seconds * 1000000, true);
	sum_up(r, x->plan->samples, x->n, x->messages, clock_mono_us() - start);
	r->cpu_us = (cpu_us(clock) - cpu) / (double)x->messages;
	r->batch = (double)(atomic_load(&s->figures.n_written) - written) /
		   (double)(atomic_load(&s->figures.n_commits) - commits);
}

static void
ours(const struct plan *p, struct result *r)
{
	static struct waiting w = {
	    .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER};
	static char any[] = "**";
	struct run x = {.plan = p, .rule = {.match = any, .history = p->history}};
	struct config config = {.refs = 1, .topics = &x.rule, .n_topics = 1};
	struct log_options options = {.n_workers = 1, .now_us = clock_wall_us()};
	struct sqlite_options o = {
	    .sync = SYNC_FULL, .cache = 64 << 20, .keys = 1000, .config = &config, .vfs = p->vfs};
	char path[512];
	char error[512];
	struct store *store = NULL;

	(void)snprintf(path, sizeof(path), "%s/ours", p->folder);
	o.path = path;
	if (sqlite_store_open(&o, error, sizeof(error), &store) < 0)
		die(error);
	x.l = log_new(&options, store);
	if (x.l == NULL)
		die("no log");
	log_attach(x.l, 0, on_wake, &w);
	measure_ours(&x, &w, sqlite_of(store), r);
	log_free(x.l);
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
print_both(unsigned publishers, const struct result *floor, const struct result *r,
    const struct result *ratio, size_t n_rounds)
{
	(void)printf(
	    "%10u %6.1f %8.0f %8.0f %6.2f %7.2f %7.2f %9.0f %8.0f %6.1f %8.0f %6.1f %8.0f %8.0f\n",
	    publishers, MEDIAN(r, batch), MEDIAN(floor, per_second), MEDIAN(r, per_second),
	    MEDIAN(ratio, per_second), MEDIAN(floor, cpu_us), MEDIAN(r, cpu_us),
	    MEDIAN(r, flush_us), MEDIAN(floor, p50_us), MEDIAN(floor, flushes), MEDIAN(r, p50_us),
	    MEDIAN(r, flushes), MEDIAN(floor, p99_us), MEDIAN(r, p99_us));
}

static void
measure(struct plan *p, size_t n_rounds)
{
	static struct result floor[ROUNDS_MAX];
	static struct result r[ROUNDS_MAX];
	static struct result ratio[ROUNDS_MAX];
	uint64_t pause_us = p->rate == 0 ? 0 : 1000000 / (p->rate * p->publishers);

	for (size_t i = 0; i < n_rounds; i++) {
		clean(p->folder);
		r[i].flush_us = flush_us(p->folder, pause_us);
		ours(p, &r[i]);
		p->batch = (unsigned)(r[i].batch + 0.5);
		if (p->rate == 0)
			bare(p, &floor[i]);
		ratio[i].per_second = r[i].per_second / floor[i].per_second;
		clean(p->folder);
		r[i].flush_us = p->vfs != NULL
				    ? (double)slow_us
				    : (r[i].flush_us + flush_us(p->folder, pause_us)) / 2;
		r[i].flushes = r[i].p50_us / r[i].flush_us;
		floor[i].flushes = floor[i].p50_us / r[i].flush_us;
	}
	if (p->rate == 0)
		print_both(p->publishers, floor, r, ratio, n_rounds);
	else
		(void)printf("%10u %6.1f %8.0f %9.0f %8.0f %6.1f %17.0f\n", p->publishers,
		    MEDIAN(r, batch), MEDIAN(r, per_second), MEDIAN(r, flush_us), MEDIAN(r, p50_us),
		    MEDIAN(r, flushes), MEDIAN(r, p99_us));
	(void)fflush(stdout);
}

static void
print_head(bool is_paced)
{
	if (is_paced) {
		(void)printf("%10s %6s %8s %9s %15s %17s\n", "publishers", "in one", "a second",
		    "flush", "p50 of the ack", "p99 of the ack");
		(void)printf(
		    "%10s %6s %8s %9s %15s %17s\n", "", "", "", "us", "us, in flushes", "us");
		return;
	}
	(void)printf("%10s %6s %8s %8s %6s %7s %7s %9s %15s %15s %17s\n", "publishers", "in one",
	    "messages", "a second", "ratio", "CPU a", "message", "flush", "p50 of the ack",
	    "of ours", "p99 of the ack");
	(void)printf("%10s %6s %8s %8s %6s %7s %7s %9s %15s %15s %8s %8s\n", "", "", "bare", "ours",
	    "", "bare us", "ours us", "us", "bare us, in fl.", "us, in flushes", "bare us",
	    "ours us");
}

/* A number of an option. */
static uint64_t
number(const char *value, uint64_t max)
{
	char *end = NULL;
	uint64_t v = strtoull(value, &end, 10);

	if (*end != '\0' || v < 1 || v > max)
		die("an option's number cannot be that");
	return v;
}

int
main(int argc, char **argv)
{
	static const unsigned crowds[] = {1, 8, 64, PUBLISHERS_MAX};
	struct plan p = {.seconds = 1, .history = 10000000};
	uint64_t n_rounds = 5;
	uint64_t only = 0;
	int option;

	while ((option = getopt(argc, argv, "f:o:s:r:p:h:")) != -1) {
		if (option == 'f') {
			make_slow((uint64_t)(strtod(optarg, NULL) * 1000));
			p.vfs = SLOW_VFS;
		} else if (option == 'o') {
			p.rate = number(optarg, 1000000 / PUBLISHERS_MAX);
		} else if (option == 's') {
			p.seconds = number(optarg, 3600);
		} else if (option == 'r') {
			n_rounds = number(optarg, ROUNDS_MAX);
		} else if (option == 'p') {
			only = number(optarg, PUBLISHERS_MAX);
		} else if (option == 'h') {
			p.history = (uint32_t)number(optarg, UINT32_MAX);
		} else {
			return 64;
		}
	}
	p.samples = calloc(SAMPLES_MAX, sizeof(*p.samples));
	p.folder = argv[optind];
	if (p.folder == NULL || p.samples == NULL)
		die("usage: durable [-f MS] [-o RATE] [-s SECONDS] [-r ROUNDS] [-p PUBLISHERS] [-h HISTORY] FOLDER");
	memset(text, 't', sizeof(text) - 1);
	print_head(p.rate > 0);
	for (size_t i = 0; i < ARRAY_LEN(crowds); i++) {
		p.publishers = crowds[i];
		if (only == 0 || only == crowds[i])
			measure(&p, n_rounds);
	}
	free(p.samples);
	return 0;
}
