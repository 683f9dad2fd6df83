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

/* Of every store the same: none of his own, of what was deleted, has ended, or changes others. */
START_TEST(what_is_unread)
{
	static const struct world_rule rules[] = {{"chat/*", 2000, 0, true}};
	static const struct world_options options = {.rules = rules, .n_rules = 1};
	struct world w;
	struct peer ada;
	struct peer bob;

	ck_assert(world_init(&w, &options));
	ck_assert(peer_open(&w, 0, &ada, "ada") && peer_open(&w, 0, &bob, "bob"));
	peer_do(&bob, "{'type':'join','room':'a'}");
	for (unsigned i = 0; i < 5; i++) {
		peer_do(&bob, "{'type':'chat','content':'m'}");
		world_turn(&w);
	}
	peer_do(&bob, "{'type':'delete','target':%llu}", (unsigned long long)world_id(&w, 4));
	peer_do(&bob, "{'type':'react','target':%llu,'emoji':'x'}",
	    (unsigned long long)world_id(&w, 5));
	peer_do(&bob, "{'type':'edit','target':%llu,'content':'n'}",
	    (unsigned long long)world_id(&w, 3));
	world_turn(&w);
	ck_assert_int_eq(world_say_ttl(&w, "chat/a", "ends", 5), 0);
	ck_assert_int_eq(world_say_ttl(&w, "chat/a", "ends later", 500), 0);
	peer_do(&ada, "{'type':'publish','topic':'chat/a','message':'own'}");
	world_turn(&w);
	move(&w, "ada", 2);
	world_pass(&w, 6000);
	tick(&w);
	(void)peer_take(&ada);
	peer_do(&ada, "{'type':'join','room':'a','last':0}");
	world_turn(&w);
	ck_assert(strstr(peer_take(&ada), " unread 3") != NULL); /* 3, 5, "ends later" */
	ck_assert_int_eq(world_say_often(&w, "chat/a", "n", 1005), 0);
	peer_do(&ada, "{'type':'leave'}");
	peer_do(&ada, "{'type':'join','room':'a','last':0}");
	world_turn(&w);
	ck_assert(strstr(peer_take(&ada), " unread 1000") != NULL);
	peer_close(&ada, false);
	peer_close(&bob, false);
	world_done(&w);
}
END_TEST

/* It is on the disk: who joins waits for it, but not for ever, and what comes next does not. */
START_TEST(unread_on_disk)
{
	static const struct world_options cold = {.cache = 1};
	struct peer ada;
	struct world w;

	if (!world_is_sqlite())
		return;
	ck_assert(world_init(&w, &cold));
	for (unsigned i = 0; i < 9; i++)
		ck_assert_int_eq(world_say(&w, "chat/a", "m"), 0);
	move(&w, "ada", 2);
	ck_assert(peer_open(&w, 0, &ada, "ada"));
	w.store->is_slow = true;
	peer_do(&ada, "{'type':'join','room':'a','last':0}");
	world_turn(&w);
	GOT(&ada, "");
	ck_assert(session_is_joining(&ada.session) && ada.session.caller.n_pending == 1);
	world_answer_reads(&w);
	world_turn(&w);
	GOT(&ada, "joined a 1 [ada] #9 unread 7");
	ck_assert(!session_is_joining(&ada.session) && ada.session.caller.n_pending == 0);
	/* again, and something comes behind it; the disk's answer is too late */
	peer_do(&ada, "{'type':'leave'}");
	peer_do(&ada, "{'type':'join','room':'a','last':0}");
	peer_do(&ada, "{'type':'chat','content':'x'}");
	world_turn(&w);
	GOT(&ada, "left a; joined a 1 [ada] #9; ack #10");
	/* its time is over */
	peer_do(&ada, "{'type':'join','room':'a','last':0}");
	session_hurry(&ada.session, w.hubs[0].mono_us / 1000 - 1);
	GOT(&ada, "");
	session_hurry(&ada.session, w.hubs[0].mono_us / 1000);
	GOT(&ada, "joined a 1 [ada] #10");
	/* the disk fails; he is sent away meanwhile; he goes */
	world_answer_reads(&w);
	w.store->is_slow = false;
	w.store->status = -EIO;
	peer_do(&ada, "{'type':'join','room':'a','last':0}");
	peer_do(&ada, "{'type':'rooms'}");
	world_turn(&w);
	GOT(&ada, "joined a 1 [ada] #10; rooms [a]");
	w.store->status = 0;
	w.store->is_slow = true;
	peer_do(&ada, "{'type':'leave'}");
	peer_do(&ada, "{'type':'join','room':'a','last':0}");
	{
		struct fact f = {.kind = FACT_BAN, .scope = SLICE("*"), .subject = SLICE("ada")};
		int status = 0;
		struct append *a = fact_put(w.log, &f, &status);

		ck_assert_ptr_nonnull(a);
		a->worker = LOG_NO_WORKER;
		ck_assert_int_eq(log_append(w.log, a, LOG_NO_WORKER), 0);
		world_turn(&w);
		world_answer_reads(&w);
		GOT(&ada, "left a; error banned");
		a = fact_end(w.log, FACT_BAN, f.scope, f.subject, &status);
		a->worker = LOG_NO_WORKER;
		ck_assert_int_eq(log_append(w.log, a, LOG_NO_WORKER), 0);
	}
	peer_do(&ada, "{'type':'join','room':'a','last':0}");
	peer_do(&ada, "{'type':'rooms'}");
	peer_do(&ada, "{'type':'join','room':'a','last':0}");
	peer_close(&ada, true);
	world_answer_reads(&w);
	world_turn(&w);
	world_done(&w);
}
END_TEST

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
	const TTest *const tests[] = {
	    forward_once_a_second, crowds, what_is_unread, unread_on_disk, kept, NULL};
	const TTest *const memory_only[] = {without_memory, many, NULL};

	return world_run_tests("read_marker", tests, memory_only);
}
