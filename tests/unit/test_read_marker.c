/* core/read_marker: only forward, told and written once a second, to whom it concerns. */
#include "core/read_marker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/mem_faults.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define GOT(p, text) ck_assert_str_eq(peer_take(p), text)
#define READ(p, n)                                                                                 \
	peer_do(p, "{'type':'read','room':'a','id':%llu}", (unsigned long long)world_id(&w, n))

static void
tick(struct world *w)
{
	markers_tick(w->log, w->now_ms);
	world_turn(w);
}

START_TEST(forward_once_a_second)
{
	struct world w;
	struct peer ada;
	struct peer tab;
	struct peer bob;

	ck_assert(world_init(&w, &(struct world_options){.n_hubs = 2}));
	ck_assert(peer_open(&w, 0, &ada, "ada") && peer_open(&w, 1, &tab, "ada") &&
		  peer_open(&w, 1, &bob, "bob"));
	peer_do(&ada, "{'type':'join','room':'a'}");
	peer_do(&tab, "{'type':'join','room':'a'}");
	peer_do(&bob, "{'type':'join','room':'a'}");
	for (unsigned i = 0; i < 3; i++)
		peer_do(&bob, "{'type':'chat','content':'m'}");
	world_turn(&w);
	(void)peer_take(&ada);
	(void)peer_take(&tab);
	(void)peer_take(&bob);
	READ(&ada, 2);
	READ(&ada, 1);
	GOT(&ada, "");
	tick(&w);
	GOT(&ada, "");
	GOT(&tab, "ada reads #2");
	GOT(&bob, "ada reads #2");
	READ(&tab, 3);
	READ(&ada, 99); /* not there yet */
	tick(&w);
	GOT(&bob, ""); /* not yet */
	world_pass(&w, 1000);
	tick(&w);
	tick(&w);
	GOT(&ada, "ada reads #3"); /* the other was first, and is not told */
	GOT(&tab, "");
	GOT(&bob, "ada reads #3");
	ck_assert_uint_eq(marker_get(w.log, SLICE("chat/a"), SLICE("ada")), world_id(&w, 3));
	ck_assert_uint_eq(marker_get(w.log, SLICE("chat/a"), SLICE("bob")), 0);
	peer_do(&bob, "{'type':'chat','content':'m'}");
	peer_do(&ada, "{'type':'chat','content':'my own'}");
	world_turn(&w);
	(void)peer_take(&ada);
	peer_do(&ada, "{'type':'join','room':'a'}");
	world_turn(&w);
	GOT(&ada, "joined a 2 [ada,bob] #1000001 unread 1");
	peer_close(&ada, false);
	peer_close(&tab, false);
	peer_close(&bob, false);
	world_done(&w);
}
END_TEST

/* Above 50 members only his own others hear it; where nobody is counted, too. */
START_TEST(crowds)
{
	struct world w;
	struct peer *all = calloc(54, sizeof(*all));

	ck_assert(all != NULL && world_init(&w, &(struct world_options){.n_hubs = 2}));
	for (unsigned i = 0; i < 54; i++) {
		char name[8];

		(void)snprintf(name, sizeof(name), "u%u", i < 2 ? 0 : i);
		ck_assert(peer_open(&w, i % 2, &all[i], name));
		peer_do(&all[i], "{'type':'join','room':'%s'}", i < 52 ? "a" : "quiet");
	}
	ck_assert_int_eq(world_say(&w, "chat/a", "m"), 0);
	ck_assert_int_eq(world_say(&w, "chat/quiet", "m"), 0);
	world_turn(&w);
	for (unsigned i = 0; i < 54; i++)
		(void)peer_take(&all[i]);
	READ(&all[0], 1);
	READ(&all[5], 1); /* who has no other */
	tick(&w);
	GOT(&all[1], "u0 reads #1"); /* 51 members */
	GOT(&all[5], "");
	GOT(&all[6], "");
	peer_do(&all[51], "{'type':'leave','room':'a'}");
	world_turn(&w);
	for (unsigned i = 0; i < 54; i++)
		(void)peer_take(&all[i]);
	READ(&all[7], 1);
	peer_do(&all[52], "{'type':'read','id':%llu}", (unsigned long long)world_id(&w, 2));
	tick(&w);
	GOT(&all[8], "u7 reads #1");
	GOT(&all[53], "");
	for (unsigned i = 0; i < 54; i++)
		peer_close(&all[i], false);
	world_done(&w);
	free(all);
}
END_TEST

static void
move(struct world *w, const char *user, uint64_t n)
{
	struct marker_move m = {.topic = SLICE("chat/a"),
	    .user = {slice_str(user), slice_str(user)},
	    .id = world_id(w, n)};

	ck_assert_int_eq(marker_move(w->log, &m, w->now_ms), 0);
}

START_TEST(kept)
{
	struct world w;

	if (!world_is_sqlite())
		return;
	ck_assert(world_init(&w, NULL));
	for (unsigned i = 0; i < 5; i++)
		ck_assert_int_eq(world_say(&w, "chat/a", "m"), 0);
	move(&w, "ada", 2);
	tick(&w);
	move(&w, "ada", 3); /* not due, but written at the end */
	move(&w, "bob", 4);
	/* what could not be written is, later */
	w.store->append_status = -EIO;
	move(&w, "eve", 5);
	tick(&w);
	w.store->append_status = 0;
	world_pass(&w, 1000);
	tick(&w);
	ck_assert(world_restart(&w));
	ck_assert_uint_eq(marker_get(w.log, SLICE("chat/a"), SLICE("ada")), world_id(&w, 3));
	ck_assert_uint_eq(marker_get(w.log, SLICE("chat/a"), SLICE("bob")), world_id(&w, 4));
	ck_assert_uint_eq(marker_get(w.log, SLICE("chat/a"), SLICE("eve")), world_id(&w, 5));
	world_done(&w);
}
END_TEST

START_TEST(without_memory)
{
	for (long n = 1;; n++) {
		long blocks = mem_blocks();
		struct world w;
		struct peer ada;
		struct peer bob;
		bool came;

		ck_assert(world_init(&w, NULL));
		ck_assert(peer_open(&w, 0, &ada, "ada") && peer_open(&w, 0, &bob, "bob"));
		peer_do(&ada, "{'type':'join','room':'a'}");
		peer_do(&bob, "{'type':'join','room':'a'}");
		ck_assert_int_eq(world_say(&w, "chat/a", "m"), 0);
		world_turn(&w);
		(void)peer_take(&bob);
		mem_fail_at(n);
		READ(&ada, 1);
		tick(&w);
		came = !mem_fail_is_pending();
		mem_fail_at(0);
		if (!ada.has_error)
			ck_assert_uint_eq(
			    marker_get(w.log, SLICE("chat/a"), SLICE("ada")), world_id(&w, 1));
		READ(&ada, 1);
		world_pass(&w, 1000);
		tick(&w);
		peer_close(&ada, false);
		peer_close(&bob, false);
		world_done(&w);
		ck_assert_int_eq(mem_blocks(), blocks);
		if (!came)
			break;
		ck_assert_int_lt(n, 200);
	}
}
END_TEST

/* Of too many the one that was moved longest ago goes. */
START_TEST(many)
{
	struct world w;
	char user[16];

	ck_assert(world_init(&w, NULL));
	for (unsigned i = 0; i <= MARKERS_MAX; i++) {
		(void)snprintf(user, sizeof(user), "u%u", i);
		move(&w, user, 1);
		if (i == 0 || i == 1)
			tick(&w);
	}
	ck_assert_uint_eq(marker_get(w.log, SLICE("chat/a"), SLICE("u0")), 0);
	ck_assert_uint_ne(marker_get(w.log, SLICE("chat/a"), SLICE("u1")), 0);
	world_done(&w);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {forward_once_a_second, crowds, kept, NULL};
	const TTest *const memory_only[] = {without_memory, many, NULL};

	return world_run_tests("read_marker", tests, memory_only);
}
