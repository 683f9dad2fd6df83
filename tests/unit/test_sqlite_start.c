/* The store on a disk at its start: what comes back into memory, and what it costs to read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/sqlite_private.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define SAY(topic, text) ck_assert_int_eq(world_say(&w, topic, text), 0)
#define MESSAGES         1000

static struct sqlite_store *
inside(const struct world *w)
{
	return sqlite_of(w->store->inner);
}

static uint64_t
n_disk_reads(const struct world *w)
{
	return atomic_load(&inside(w)->figures.n_disk_reads);
}

/* How many messages a stream from a position gets; the last of them must be `last`. */
static unsigned
count_from(struct world *w, const char *pattern, const struct position *from, const char *last)
{
	const char *topics[] = {pattern, NULL};
	struct stream st;
	unsigned n = 0;
	const char *got;
	const char *end = "";

	ck_assert(stream_open(w, 0, &st, topics, from, NULL));
	world_turn(w);
	got = stream_take(&st);
	ck_assert_ptr_null(strstr(got, "gap"));
	for (const char *at = got; (at = strchr(at, '#')) != NULL; at++) {
		n++;
		end = at;
	}
	ck_assert_msg(strncmp(end, last, strlen(last)) == 0, "%s, not %s", end, last);
	stream_close(&st);
	return n;
}

static unsigned
count_all(struct world *w, const char *pattern, const char *last)
{
	return count_from(w, pattern, &(struct position){.kind = POSITION_ALL}, last);
}

static unsigned
count_after(struct world *w, const char *pattern, uint64_t n, const char *last)
{
	return count_from(
	    w, pattern, &(struct position){.kind = POSITION_ID, .id = world_id(w, n)}, last);
}

/* Beside the traffic: wait until it is over. */
static void
wait_until_warm(const struct world *w)
{
	struct sqlite_store *s = inside(w);
	bool is_warming = true;

	while (is_warming) {
		(void)pthread_mutex_lock(&s->lock);
		is_warming = s->is_warming;
		(void)pthread_mutex_unlock(&s->lock);
		(void)usleep(1000);
	}
}

static void
fill(struct world *w)
{
	for (int i = 0; i < MESSAGES / 4; i++) {
		ck_assert_int_eq(world_say(w, "a", "one"), 0);
		ck_assert_int_eq(world_say(w, "b/c", "two"), 0);
		ck_assert_int_eq(world_say(w, "b/d", "three"), 0);
		ck_assert_int_eq(world_say(w, "three/x", "four"), 0);
	}
}

/* All of it fits: whatever is asked for then is answered from memory. */
static void
check_all_is_warm(struct world *w)
{
	ck_assert_uint_eq(inside(w)->hot.cold_id, 0);
	ck_assert_uint_eq(inside(w)->hot.n_messages, inside(w)->n_messages);
	ck_assert_uint_eq(count_all(w, "**", "#1000 four"), MESSAGES * 3 / 4 + 3);
	ck_assert_uint_eq(count_after(w, "b/*", 1, "#999 three"), MESSAGES / 2);
	ck_assert_uint_eq(count_after(w, "a", 0, "#997 one"), MESSAGES / 4);
	ck_assert_uint_eq(count_after(w, "three/x", 996, "#1000 four"), 1);
	ck_assert_uint_eq(n_disk_reads(w), 0);
}

START_TEST(warm)
{
	struct world w;

	ck_assert(world_init(&w, NULL));
	fill(&w);
	ck_assert(world_restart(&w));
	check_all_is_warm(&w);
	w.options.warms_later = true;
	ck_assert(world_restart(&w));
	wait_until_warm(&w);
	check_all_is_warm(&w);
	world_done(&w);
}
END_TEST

/* The newest part fits: those who resume within it read nothing from disk, the others do. */
START_TEST(partly_warm)
{
	struct world w;
	uint64_t cold;

	ck_assert(world_init(&w, NULL));
	w.options.cache = 100000;
	w.options.warms_later = true;
	fill(&w);
	ck_assert(world_restart(&w));
	wait_until_warm(&w);
	cold = inside(&w)->hot.cold_id - w.begin;
	ck_assert_uint_gt(cold, 500);
	ck_assert_uint_lt(cold, 980);
	ck_assert_uint_le(shelves_bytes(&inside(&w)->hot), 100000);
	ck_assert_uint_gt(count_after(&w, "b/*", cold, "#999 three"), 10);
	ck_assert_uint_gt(count_after(&w, "a", cold, "#997 one"), 3);
	ck_assert_uint_eq(n_disk_reads(&w), 0);
	ck_assert_uint_eq(count_after(&w, "a", 0, "#997 one"), MESSAGES / 4);
	ck_assert_uint_gt(n_disk_reads(&w), 0);
	for (int i = 0; i < 200; i++)
		SAY("a", "more"); /* and they push out what came back */
	ck_assert_uint_gt(inside(&w)->hot.cold_id - w.begin, cold);
	ck_assert_uint_le(shelves_bytes(&inside(&w)->hot), 100000);
	ck_assert_uint_eq(count_all(&w, "a", "#1200 more"), MESSAGES / 4 + 200);
	ck_assert_uint_eq(count_all(&w, "b/c", "#998 two"), MESSAGES / 4);
	world_done(&w);
}
END_TEST

static struct store *
only_store(const struct world *w)
{
	return w->store->inner;
}

/* What is written, trimmed, ended or changed while a page is read is not brought back. */
START_TEST(overtaken)
{
	struct world w;
	struct sqlite_store *s;
	struct db db;
	char path[128];

	ck_assert(world_init(&w, NULL));
	w.options.cache = 1;
	for (int i = 0; i < 3; i++)
		SAY("three/x", "m");
	ck_assert_int_eq(world_say_ttl(&w, "a", "ends", 1), 0);
	ck_assert(world_restart(&w));
	s = inside(&w);
	(void)snprintf(path, sizeof(path), "%s/log", w.store->folder);
	ck_assert_int_eq(db_init(&db, &(struct db_open){path, NULL, false, SYNC_OFF}), 0);
	ck_assert_int_eq(db_run(&db, db_stmt(&db, DB_BEGIN_READ)), 0);
	ck_assert_int_eq(db_run(&db, db_stmt(&db, DB_LAST_ID)), 0); /* what it sees is of now */
	log_lock(w.log);
	s->options.cache = 1 << 20;
	log_unlock(w.log);
	world_pass(&w, 5000);
	log_sweep(w.log, w.now_ms);
	SAY("three/x", "m"); /* 1 goes */
	ck_assert_uint_eq(s->hot.cold_id, w.begin + 4);
	ck_assert(!sqlite_warm_step(s, &db));
	ck_assert_uint_eq(s->hot.cold_id, 0);
	ck_assert_uint_eq(s->hot.n_messages, 3);
	ck_assert_int_eq(db_run(&db, db_stmt(&db, DB_COMMIT)), 0);
	db_done(&db);
	ck_assert_uint_eq(count_all(&w, "**", "#5000000 m"), 3);
	ck_assert_uint_eq(n_disk_reads(&w), 0);
	world_done(&w);
}
END_TEST

START_TEST(metrics)
{
	static const char *const lines[] = {"\nbelfry_storage_commits_total ",
	    "\nbelfry_storage_commits_failed_total 0\n", "\nbelfry_storage_written_total 2\n",
	    "\nbelfry_storage_commit_seconds_count 2\n", "\nbelfry_storage_queue 0\n",
	    "\nbelfry_storage_reads_waiting 0\n", "\nbelfry_storage_disk_reads_total 1\n",
	    "\nbelfry_storage_read_seconds_count 1\n", "\nbelfry_storage_cache_messages 0\n",
	    "\nbelfry_storage_cache_bytes 0\n", "\nbelfry_storage_cache_hits_total 0\n",
	    "\nbelfry_storage_database_bytes ", "\nbelfry_storage_wal_bytes "};
	struct buf out = BUF_INIT(65536);
	struct world w;

	ck_assert(world_init(&w, &(struct world_options){.cache = 1}));
	SAY("a", "1");
	SAY("a", "2");
	ck_assert_uint_eq(count_all(&w, "a", "#2 2"), 2);
	only_store(&w)->ops->metrics(only_store(&w), &out);
	(void)buf_add_char(&out, '\0');
	ck_assert(!out.failed);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		ck_assert_msg(strstr(out.p, lines[i]) != NULL, "%s in %s", lines[i], out.p);
	buf_done(&out);
	world_done(&w);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {warm, partly_warm, overtaken, metrics, NULL};

	(void)setenv("BELFRY_TEST_STORE", "sqlite", 1);
	return run_tests("sqlite_start", tests);
}
