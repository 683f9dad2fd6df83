/* The disk fails, at every call in turn: what was acknowledged is there, and it recovers by itself. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/history.h"
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

int
main(void)
{
	Suite *s = suite_create("sqlite_faults");
	TCase *t = tcase_create("all");
	SRunner *runner;
	int n_failed;

	(void)setenv("BELFRY_TEST_STORE", "sqlite", 1);
	tcase_set_timeout(t, 240);
	tcase_add_loop_test(t, every_call, 0, (FAULTS - 1) * 2);
	tcase_add_loop_test(t, every_move, 0, (FAULTS - 1) * 2);
	tcase_add_test(t, reads);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
