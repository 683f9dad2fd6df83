/*
 * The power fails, at each write and flush in turn: what was acknowledged is there, and what a start
 * believes without looking is true. With BELFRY_TEST_LONG at every one of them, else at some.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log_private.h"
#include "store/sqlite_private.h"
#include "tests/unit/support_disk.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"
#include "tests/unit/support_vfs.h"

static const struct world_options full = {.vfs = FAULTY_VFS, .sync = WORLD_SYNC_FULL};

/* Between two cuts of a run. */
static unsigned
stride(unsigned usual)
{
	return getenv("BELFRY_TEST_LONG") != NULL ? 1 : usual;
}

static sqlite3 *
look_into(const struct world *w, const char *vfs)
{
	sqlite3 *db = NULL;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/log", w->store->folder);
	ck_assert_int_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, vfs), SQLITE_OK);
	return db;
}

static int
note_value(void *ctx, int n, char **values, char **names)
{
	(void)n;
	(void)names;
	(void)snprintf(ctx, 200, "%s", values[0]);
	return 0;
}

static void
must_be(sqlite3 *db, const char *sql, const char *what)
{
	char found[200] = "";

	ck_assert_int_eq(sqlite3_exec(db, sql, note_value, found, NULL), SQLITE_OK);
	ck_assert_msg(strcmp(found, what) == 0, "%s: %s", sql, found);
}

/* The file, and what the topics' rows say that they have. */
static void
check_file(const struct world *w, const char *n_messages)
{
	sqlite3 *db = look_into(w, NULL);

	must_be(db, "PRAGMA integrity_check(1)", "ok");
	must_be(db,
	    "SELECT count(*) FROM topics WHERE messages + changes <> (SELECT count(*)"
	    " FROM messages m WHERE m.tid = topics.tid OR m.also = topics.tid)",
	    "0");
	if (n_messages != NULL)
		must_be(db, "SELECT count(*) FROM messages", n_messages);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void
must_not_be_found(const struct world *w, const char *text)
{
	sqlite3 *db = look_into(w, NULL);
	char sql[128];

	(void)snprintf(sql, sizeof(sql),
	    "SELECT count(*) FROM messages WHERE instr(CAST(json AS TEXT), '%s') > 0", text);
	must_be(db, sql, "0");
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void
say_some(struct world *w, const char *topic, unsigned n, unsigned ttl_s)
{
	for (unsigned i = 0; i < n; i++)
		ck_assert_int_eq(world_say_ttl(w, topic, "some words that take a place", ttl_s), 0);
}

static void
must_be_well(struct world *w)
{
	char why[300];

	ck_assert_msg(log_health(w->log, w->now_ms, why, sizeof(why)) == 0, "%s", why);
}

static void
begin(struct world *w, const struct world_options *options)
{
	vfs_fail_at(FAULT_NONE, 0, false);
	disk_begin();
	ck_assert(world_init(w, options));
}

/* --- a flush fails, then the power --- */

/*
 * The flush that fails was to have what was done beside the traffic, too. What it has not must not go into
 * the database before the WAL has it once more. False: the power went after all of it.
 */
static bool
run_lost_wal(unsigned n_cut, enum disk_rest rest)
{
	struct world w;
	bool is_cut;

	begin(&w, &full);
	say_some(&w, "ended", 30, 5);
	ck_assert(world_restart(&w)); /* and with it a new WAL */
	say_some(&w, "a", 3, 0);
	world_pass(&w, 6000);
	log_sweep(w.log, w.now_ms);
	vfs_fail_at(FAULT_SYNC, 1, false);
	say_some(&w, "a", 1, 0); /* refused */
	ck_assert(vfs_has_failed());
	disk_cut_at(n_cut, rest, n_cut);
	log_sweep(w.log, w.now_ms);
	must_be_well(&w);
	say_some(&w, "a", 3, 0);
	is_cut = disk_is_cut();
	disk_cut();
	ck_assert(world_restart(&w));
	check_file(&w, is_cut ? NULL : "6");
	ck_assert_uint_ge(w.log->last, world_id(&w, is_cut ? 3 : 6000003));
	world_done(&w);
	return is_cut;
}

START_TEST(lost_wal)
{
	unsigned n = 1;

	ck_assert(vfs_init());
	while (run_lost_wal(n, (enum disk_rest)_i))
		n += stride(3);
	ck_assert_uint_gt(n, 20);
}
END_TEST

/* Emptying the WAL after a deletion fails: what was written beside the traffic is as doubtful then. */
static void
run_lost_wipe(unsigned n_fault, enum disk_rest rest)
{
	struct world w;
	struct peer p;

	begin(&w, &full);
	disk_cut_at(0, rest, n_fault);
	ck_assert(peer_open(&w, 0, &p, "ada"));
	say_some(&w, "ended", 30, 5);
	peer_do(&p, "{'type':'join','room':'r'}");
	peer_do(&p, "{'type':'chat','content':'to be deleted'}");
	world_turn(&w);
	peer_do(&p, "{'type':'delete','target':%llu}", (unsigned long long)p.last_id);
	world_turn(&w);
	peer_close(&p, false);
	world_pass(&w, 6000);
	log_sweep(w.log, w.now_ms); /* the index is merged, then the WAL is emptied */
	vfs_fail_at(FAULT_SYNC, n_fault, false);
	log_sweep(w.log, w.now_ms);
	vfs_fail_at(FAULT_NONE, 0, false);
	say_some(&w, "a", 3, 0);
	disk_cut();
	ck_assert(world_restart(&w));
	check_file(&w, NULL);
	ck_assert_uint_ge(w.log->last, world_id(&w, 6000002));
	world_done(&w);
}

START_TEST(lost_wipe)
{
	ck_assert(vfs_init());
	for (unsigned n = 1; n <= 3; n++)
		run_lost_wipe(n, (enum disk_rest)_i);
}
END_TEST

/*
 * While somebody reads, what was written goes into the database in parts, and is not flushed there before
 * the last one: when that flush fails, all of them are lost.
 */
static bool
run_lost_part(unsigned n_fault, enum disk_rest rest)
{
	struct world w;
	sqlite3 *reader;
	bool has_failed;

	begin(&w, &full);
	disk_cut_at(0, rest, n_fault);
	say_some(&w, "a", 40, 0);
	reader = look_into(&w, FAULTY_VFS);
	ck_assert_int_eq(
	    sqlite3_exec(reader, "BEGIN; SELECT * FROM meta", NULL, NULL, NULL), SQLITE_OK);
	sqlite_of(w.store->inner)->options.wal_pages = 4;
	say_some(&w, "b", 3, 0);
	ck_assert_int_eq(sqlite3_exec(reader, "END", NULL, NULL, NULL), SQLITE_OK);
	vfs_fail_at(FAULT_SYNC, n_fault, false);
	say_some(&w, "c", 3, 0);
	has_failed = vfs_has_failed();
	vfs_fail_at(FAULT_NONE, 0, false);
	for (unsigned i = 0; i < 3; i++) /* each connection hears of it once */
		log_sweep(w.log, w.now_ms);
	must_be_well(&w);
	say_some(&w, "d", 6, 0); /* the WAL begins anew */
	disk_cut();
	ck_assert_int_eq(sqlite3_close(reader), SQLITE_OK);
	ck_assert(world_restart(&w));
	check_file(&w, NULL);
	ck_assert_uint_ge(w.store->inner->log->last, world_id(&w, 51));
	world_done(&w);
	return has_failed;
}

START_TEST(lost_part)
{
	unsigned n = 1;

	ck_assert(vfs_init());
	while (run_lost_part(n, (enum disk_rest)_i))
		n++;
	ck_assert_uint_gt(n, 5);
}
END_TEST

/* --- the power, and nothing else --- */

/* One step of a log's life; each is acknowledged before the next one. */
static void
live(struct world *w, struct peer *p, unsigned step)
{
	switch (step % 6) {
	case 0:
		say_some(w, "a", 2, 0);
		break;
	case 1:
		say_some(w, "three/x", 5, 0); /* older ones go */
		break;
	case 2:
		say_some(w, "ended", 3, 5);
		peer_do(p, "{'type':'chat','content':'to be deleted'}");
		break;
	case 3:
		peer_do(p, "{'type':'delete','target':%llu}", (unsigned long long)p->last_id);
		peer_do(p, "{'type':'direct','to':'bob','content':'m'}");
		break;
	case 4:
		peer_do(p, "{'type':'publish','topic':'a','message':'later','at':'+1s'}");
		world_pass(w, 6000);
		log_fire(w->log, w->now_ms);
		world_turn(w);
		break;
	default:
		log_sweep(w->log, w->now_ms);
		break;
	}
	world_turn(w);
}

static size_t
n_stored(struct world *w, const char *topic)
{
	struct log_topic *t;
	size_t n;

	log_lock(w->log);
	t = log_topic_find(w->log, slice_str(topic));
	n = t == NULL ? 0 : t->n_stored;
	log_unlock(w->log);
	return n;
}

/* False: it went after all of it. */
static bool
run_life(unsigned n_cut, enum disk_rest rest)
{
	struct world_options options = full;
	struct world w;
	struct peer p;
	uint64_t last = 0;
	size_t n = 0;
	unsigned n_steps = 0;
	bool is_cut;

	options.wal_pages = n_cut % 2 == 0 ? 2 : 8;
	begin(&w, &options);
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'join','room':'r'}");
	disk_cut_at(n_cut, rest, n_cut);
	for (unsigned i = 0; i < 12 && !disk_is_cut(); i++) {
		live(&w, &p, i);
		if (disk_is_cut())
			break; /* it was acknowledged to nobody */
		last = w.log->last;
		n = n_stored(&w, "a");
		n_steps = i + 1;
	}
	is_cut = disk_is_cut();
	disk_cut();
	peer_close(&p, false);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert(world_restart(&w));
		check_file(&w, NULL);
		ck_assert_uint_ge(w.log->last, last);
		ck_assert_uint_ge(n_stored(&w, "a"), n);
		if (n_steps % 6 >= 4 || n_steps == 12)
			must_not_be_found(&w, "to be deleted");
	}
	world_done(&w);
	return is_cut;
}

START_TEST(life)
{
	unsigned n = 1 + (unsigned)_i;

	ck_assert(vfs_init());
	while (run_life(n, (enum disk_rest)_i))
		n += stride(23);
	ck_assert_uint_gt(n, 100);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("sqlite_power");
	TCase *t = tcase_create("all");
	SRunner *runner;
	int n_failed;

	(void)setenv("BELFRY_TEST_STORE", "sqlite", 1);
	tcase_set_timeout(t, 3000);
	tcase_add_loop_test(t, lost_wal, 0, DISK_RESTS);
	tcase_add_loop_test(t, lost_wipe, 0, DISK_RESTS);
	tcase_add_loop_test(t, lost_part, 0, DISK_RESTS);
	tcase_add_loop_test(t, life, 0, DISK_RESTS);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
