/* The disk fails, at every call in turn: what was acknowledged is there, and it recovers by itself. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/history.h"
#include "store/sqlite_private.h"
#include "tests/unit/support_disk.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"
#include "tests/unit/support_vfs.h"

#define APPENDS 9
#define CALLS   200 /* more than a scenario makes */

struct trial {
	struct world w;
	unsigned n_done;
	unsigned n_failed;
	uint64_t acked[APPENDS * 3];
	unsigned n_acked;
};

static struct trial *trial;

static void
on_done(struct append *a)
{
	trial->n_done++;
	if (a->status < 0) {
		ck_assert_int_eq(a->status, -EIO);
		trial->n_failed++;
	} else {
		for (unsigned i = 0; i < a->n; i++)
			trial->acked[trial->n_acked++] = a->items[i].id;
	}
	append_free(a);
}

/* Some lots of messages with keys, in a topic that keeps few and in one that keeps all. */
static void
append(struct world *w, unsigned number)
{
	struct append *a = append_new(1 + number % 3);

	ck_assert_ptr_nonnull(a);
	for (unsigned i = 0; i < a->n; i++) {
		char key[16];
		struct message_notice notice = {.topic = i == 2 ? SLICE("three/x") : SLICE("a"),
		    .text = SLICE("some words"),
		    .from = {SLICE("u"), SLICE("u")}};

		(void)snprintf(key, sizeof(key), "%u.%u", number, i);
		notice.key = slice_str(key);
		a->items[i].message = message_notice(
		    &notice, SLICE_NONE, config_rule(w->config, notice.topic), w->now_ms, 0);
		ck_assert_ptr_nonnull(a->items[i].message);
	}
	a->done = on_done;
	ck_assert_int_eq(hub_append(&w->hubs[0], a), 0);
	world_turn(w);
}

struct found {
	uint64_t ids[APPENDS * 3 + 8];
	unsigned n;
};

static void
on_page(void *ctx, int status, struct slice messages, bool more)
{
	struct found *f = ctx;
	const struct slice mark = SLICE("\"id\":1"); /* an id, not a user's */

	ck_assert_int_eq(status, 0);
	ck_assert(!more);
	for (size_t i = 0; i + mark.n <= messages.n && f->n < ARRAY_LEN(f->ids); i++) {
		if (slice_has_prefix(slice_skip(messages, i), mark))
			f->ids[f->n++] = strtoull(messages.p + i + mark.n - 1, NULL, 10);
	}
}

static void
find(struct world *w, const char *topic, struct found *f)
{
	static const struct position all = {.kind = POSITION_ALL};
	struct history_request request = {
	    .topic = slice_str(topic), .after = all, .limit = HISTORY_LIMIT};

	f->n = 0;
	ck_assert_int_eq(history_read(&w->hubs[0], &request, on_page, f), 0);
	world_turn(w);
}

/* All that was acknowledged, once, in order; of the topic that keeps three the newest three. */
static void
check_log(struct trial *t)
{
	struct found all;
	struct found few;
	unsigned at = 0;

	find(&t->w, "**", &all);
	find(&t->w, "three/x", &few);
	for (unsigned i = 1; i < all.n; i++)
		ck_assert_uint_lt(all.ids[i - 1], all.ids[i]);
	ck_assert_uint_le(few.n, 3);
	for (unsigned i = 0; i < t->n_acked; i++) {
		while (at < all.n && all.ids[at] < t->acked[i])
			at++;
		if (at < all.n && all.ids[at] == t->acked[i])
			continue;
		/* then it was trimmed: three later ones are there */
		ck_assert_uint_eq(few.n, 3);
		ck_assert_uint_lt(t->acked[i], few.ids[0]);
	}
}

/* False when nothing failed any more. */
static bool
run(enum fault fault, unsigned n, bool is_lasting, unsigned wal_pages)
{
	struct world_options options = {
	    .vfs = FAULTY_VFS, .sync = WORLD_SYNC_FULL, .wal_pages = wal_pages};
	static struct trial t;
	char why[300];
	bool has_failed;

	t = (struct trial){0};
	trial = &t;
	vfs_fail_at(FAULT_NONE, 0, false);
	disk_begin();
	ck_assert(world_init(&t.w, &options));
	append(&t.w, 2);
	vfs_fail_at(fault, n, is_lasting);
	for (unsigned i = 3; i < APPENDS; i++) {
		append(&t.w, i);
		if (i == 5)
			log_sweep(t.w.log, t.w.now_ms); /* the index */
	}
	has_failed = vfs_has_failed();
	vfs_fail_at(FAULT_NONE, 0, false);
	for (unsigned i = 0; i < 3; i++)
		log_sweep(t.w.log, t.w.now_ms);
	ck_assert_msg(log_health(t.w.log, t.w.now_ms, why, sizeof(why)) == 0, "fault %u at %u: %s",
	    fault, n, why);
	append(&t.w, APPENDS);
	ck_assert_uint_eq(t.n_done, APPENDS - 1);
	ck_assert(t.n_acked > 0);
	check_log(&t);
	disk_cut();
	ck_assert(world_restart(&t.w));
	check_log(&t);
	ck_assert(world_restart(&t.w));
	check_log(&t);
	world_done(&t.w);
	return has_failed;
}

START_TEST(every_call)
{
	enum fault fault = (enum fault)(_i / 2 + 1);
	unsigned n = 1;

	ck_assert(vfs_init());
	while (run(fault, n, _i % 2 == 1, 0)) {
		n++;
		ck_assert_uint_lt(n, CALLS);
	}
	ck_assert_uint_gt(n, fault == FAULT_READ ? 0 : 3);
}
END_TEST

/* The same while what was written is moved into the database all the time. */
START_TEST(every_move)
{
	enum fault fault = (enum fault)(_i / 2 + 1);

	ck_assert(vfs_init());
	for (unsigned n = 1; n < 60; n += 2)
		(void)run(fault, n, _i % 2 == 1, 2);
}
END_TEST

/* Reads that fail are told, and hurt nobody else. */
START_TEST(reads)
{
	static const struct world_options options = {.vfs = FAULTY_VFS};
	struct world w;
	struct peer p;

	ck_assert(vfs_init());
	(void)setenv("BELFRY_TEST_STORE", "cold", 1);
	ck_assert(world_init(&w, &options));
	ck_assert_int_eq(world_say_often(&w, "a", "m", 200), 0);
	ck_assert(world_restart(&w));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	vfs_fail_at(FAULT_READ, 1, true);
	peer_do(&p, "{'type':'history','topic':'a'}");
	world_turn(&w);
	ck_assert_str_eq(peer_take(&p), "error unavailable");
	vfs_fail_at(FAULT_NONE, 0, false);
	peer_do(&p, "{'type':'history','topic':'a','limit':2}");
	world_turn(&w);
	ck_assert_str_eq(peer_take(&p), "history a [#199,#200] more");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* A reader whose disk fails for good is told of a gap and goes on with what is live. */
START_TEST(reader_goes_on)
{
	static const struct world_options options = {.vfs = FAULTY_VFS};
	static const struct position all = {.kind = POSITION_ALL};
	static const char *const topics[] = {"a", NULL};
	struct world w;
	struct stream st;
	struct peer p;

	ck_assert(vfs_init());
	(void)setenv("BELFRY_TEST_STORE", "cold", 1);
	ck_assert(world_init(&w, &options));
	ck_assert_int_eq(world_say_often(&w, "a", "m", 200), 0);
	ck_assert(world_restart(&w));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	vfs_fail_at(_i == 0 ? FAULT_READ : FAULT_DAMAGE, 1, true);
	peer_do(&p, "{'type':'subscribe','topic':'a','after':%llu}",
	    (unsigned long long)world_id(&w, 5));
	peer_do(&p, "{'type':'join','room':'r','last':5}");
	ck_assert(stream_open(&w, 0, &st, (const char **)(uintptr_t)topics, &all, NULL));
	world_turn(&w);
	ck_assert_str_eq(peer_take(&p),
	    "subscribed a resumed #200; gap a after=#5 oldest=#1 trimmed; joined r 1 [ada] #200");
	ck_assert_str_eq(stream_take(&st), "gap@#200 after=#0 oldest=#1 trimmed; level");
	vfs_fail_at(FAULT_NONE, 0, false);
	ck_assert_int_eq(world_say(&w, "a", "live"), 0);
	world_turn(&w);
	ck_assert_str_eq(peer_take(&p), "a#201 live");
	ck_assert_str_eq(stream_take(&st), "a#201 live");
	stream_close(&st);
	peer_do(&p, "{'type':'subscribe','topic':'a','after':%llu}",
	    (unsigned long long)world_id(&w, 199));
	world_turn(&w);
	ck_assert_str_eq(peer_take(&p), "subscribed a resumed #201; a#200 m; a#201 live");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* The writer meets damage: it says so, and goes on when it is over, without a restart. */
START_TEST(writer_recovers)
{
	static const struct world_options options = {.vfs = FAULTY_VFS, .sync = WORLD_SYNC_FULL};
	static struct trial t;
	char why[300];

	ck_assert(vfs_init());
	trial = &t;
	ck_assert(world_init(&t.w, &options));
	append(&t.w, 1);
	append(&t.w, 2);
	ck_assert(world_restart(&t.w));
	world_settle(&t.w); /* until then the connection is the writer's */
	/* it has to look at the disk again */
	(void)sqlite3_db_release_memory(sqlite_of(t.w.store->inner)->db.handle);
	vfs_fail_at(FAULT_DAMAGE, 1, true);
	append(&t.w, 3);
	ck_assert_uint_eq(t.n_failed, 1);
	ck_assert_int_eq(log_health(t.w.log, t.w.now_ms, why, sizeof(why)), -1);
	ck_assert_msg(strstr(why, "storage: ") == why, "%s", why);
	log_sweep(t.w.log, t.w.now_ms);
	append(&t.w, 4);
	ck_assert_uint_eq(t.n_failed, 2);
	vfs_fail_at(FAULT_NONE, 0, false);
	log_sweep(t.w.log, t.w.now_ms);
	ck_assert_int_eq(log_health(t.w.log, t.w.now_ms, why, sizeof(why)), 0);
	append(&t.w, 5);
	ck_assert_uint_eq(t.n_failed, 2);
	check_log(&t);
	ck_assert(world_restart(&t.w));
	check_log(&t);
	world_done(&t.w);
}
END_TEST

/* Neither can it open the database again, at first. */
START_TEST(writer_reopens)
{
	static const struct world_options options = {.vfs = FAULTY_VFS, .sync = WORLD_SYNC_FULL};
	static struct trial t;
	char why[300];

	ck_assert(vfs_init());
	trial = &t;
	ck_assert(world_init(&t.w, &options));
	append(&t.w, 1);
	vfs_fail_at(FAULT_WRITE, 1, true);
	append(&t.w, 2);
	ck_assert_uint_eq(t.n_failed, 1);
	vfs_fail_at(FAULT_OPEN, 1, true);
	append(&t.w, 3);
	log_sweep(t.w.log, t.w.now_ms);
	append(&t.w, 4);
	ck_assert(vfs_has_failed());
	ck_assert_uint_eq(t.n_failed, 3);
	ck_assert_int_eq(log_health(t.w.log, t.w.now_ms, why, sizeof(why)), -1);
	vfs_fail_at(FAULT_NONE, 0, false);
	log_sweep(t.w.log, t.w.now_ms);
	append(&t.w, 5);
	ck_assert_uint_eq(t.n_failed, 3);
	ck_assert_int_eq(log_health(t.w.log, t.w.now_ms, why, sizeof(why)), 0);
	check_log(&t);
	world_done(&t.w);
}
END_TEST

static void
spoil(const struct world *w, const char *sql)
{
	sqlite3 *db = NULL;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/log", w->store->folder);
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

/* A row that cannot be a message is passed over, and who reads across it is told of a gap. */
START_TEST(damaged_row)
{
	static const struct position all = {.kind = POSITION_ALL};
	static const char *const topics[] = {"a", NULL};
	char sql[128];
	struct world w;
	struct stream st;
	struct peer p;

	(void)setenv("BELFRY_TEST_STORE", _i == 0 ? "cold" : "sqlite", 1);
	ck_assert(world_init(&w, NULL));
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(world_say(&w, "a", "m"), 0);
	(void)snprintf(sql, sizeof(sql), "UPDATE messages SET kind = 200 WHERE id = %llu",
	    (unsigned long long)world_id(&w, 3));
	spoil(&w, sql);
	ck_assert(world_restart(&w));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	ck_assert(stream_open(&w, 0, &st, (const char **)(uintptr_t)topics, &all, NULL));
	peer_do(&p, "{'type':'subscribe','topic':'a','after':%llu}",
	    (unsigned long long)world_id(&w, 1));
	peer_do(&p, "{'type':'history','topic':'a'}");
	world_turn(&w);
	ck_assert_str_eq(stream_take(&st),
	    "a#1 m; a#2 m; gap@#3 after=#0 oldest=#1 trimmed; a#4 m; a#5 m; level");
	ck_assert_str_eq(peer_take(&p),
	    "subscribed a resumed #5; gap a after=#1 oldest=#1 trimmed; a#2 m; a#4 m; a#5 m; "
	    "history a [#1,#2,#4,#5]");
	stream_close(&st);
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* A damaged search index costs nobody a message: a new one is made. */
START_TEST(damaged_index)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(world_say(&w, "three/x", "some words"), 0);
	peer_do(&p, "{'type':'history','topic':'three/x','q':'words'}");
	world_turn(&w);
	ck_assert_str_eq(peer_take(&p), "history three/x [#1,#2,#3]");
	spoil(&w, "UPDATE search_data SET block = x'00ff00ff00ff00ff' WHERE id > 10");
	ck_assert_int_eq(world_say(&w, "three/x", "more words"), 0); /* the first one goes */
	log_sweep(w.log, w.now_ms);
	ck_assert_int_eq(world_say(&w, "three/x", "words again"), 0);
	log_sweep(w.log, w.now_ms);
	peer_do(&p, "{'type':'history','topic':'three/x','q':'words'}");
	world_turn(&w);
	ck_assert_str_eq(peer_take(&p), "history three/x [#3,#4,#5]");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("sqlite_faults");
	TCase *t = tcase_create("all");

	(void)setenv("BELFRY_TEST_STORE", "sqlite", 1);
	tcase_set_timeout(t, 240);
	tcase_add_loop_test(t, every_call, 0, (FAULTS - 1) * 2);
	tcase_add_loop_test(t, every_move, 0, (FAULTS - 1) * 2);
	tcase_add_test(t, reads);
	tcase_add_loop_test(t, reader_goes_on, 0, 2);
	tcase_add_test(t, writer_recovers);
	tcase_add_test(t, writer_reopens);
	tcase_add_loop_test(t, damaged_row, 0, 2);
	tcase_add_test(t, damaged_index);
	suite_add_tcase(s, t);
	return run_suite(s);
}
