/* core/reader: resuming, being slow, and coming back from it. */
#include "core/reader.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/mem_faults.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define GOT(p, text)     ck_assert_str_eq(peer_take(p), text)
#define CAME(s, text)    ck_assert_str_eq(stream_take(s), text)
#define SAY(topic, text) ck_assert_int_eq(world_say(&w, topic, text), 0)

static const struct position from_all = {.kind = POSITION_ALL};
static const struct position from_now = {.kind = POSITION_NONE};

START_TEST(positions)
{
	static const struct {
		const char *text;
		enum position_kind kind;
		uint64_t value;
	} cases[] = {
	    {"0", POSITION_ID, 0},
	    {"1700000000000001", POSITION_ID, UINT64_C(1700000000000001)},
	    {"18446744073709551615", POSITION_ID, UINT64_MAX},
	    {"18446744073709551616", POSITION_BAD, 0},
	    {"all", POSITION_ALL, 0},
	    {"10m", POSITION_TIME, WORLD_NOW_MS - 600000},
	    {"90s", POSITION_TIME, WORLD_NOW_MS - 90000},
	    {"7d", POSITION_TIME, WORLD_NOW_MS - 604800000},
	    {"2023-11-14T22:13:20Z", POSITION_TIME, WORLD_NOW_MS},
	    {"", POSITION_BAD, 0},
	    {"-5", POSITION_BAD, 0},
	    {" 5", POSITION_BAD, 0},
	    {"10w", POSITION_BAD, 0},
	    {"m", POSITION_BAD, 0},
	    {"99999999999d", POSITION_BAD, 0},
	    {"yesterday", POSITION_BAD, 0},
	    {"ALL", POSITION_BAD, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct position p = position_parse(slice_str(cases[i].text), WORLD_NOW_MS);

		ck_assert_msg(p.kind == cases[i].kind, "%s", cases[i].text);
		if (p.kind == POSITION_ID)
			ck_assert_uint_eq(p.id, cases[i].value);
		if (p.kind == POSITION_TIME)
			ck_assert_int_eq(p.time_ms, (int64_t)cases[i].value);
	}
}
END_TEST

START_TEST(after)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	SAY("news", "1");
	world_pass(&w, 60000);
	SAY("news", "2");
	world_pass(&w, 60000);
	SAY("news", "3");
	peer_do(&p, "{'type':'subscribe','topic':'news','after':'all'}");
	GOT(&p, "subscribed news resumed #120000000; news#1 1; news#60000000 2; news#120000000 3");
	peer_do(&p, "{'type':'subscribe','topic':'news','after':'90s'}");
	GOT(&p, "subscribed news resumed #120000000; news#60000000 2; news#120000000 3");
	peer_do(&p, "{'type':'subscribe','topic':'news','after':'60s','last':-3}");
	GOT(&p, "subscribed news resumed #120000000; news#60000000 2; news#120000000 3");
	peer_do(&p, "{'type':'subscribe','topic':'news','after':'2023-11-14T22:15:20Z'}");
	GOT(&p, "subscribed news resumed #120000000; news#120000000 3");
	peer_do(&p, "{'type':'subscribe','topic':'news','after':%llu}",
	    (unsigned long long)world_id(&w, 1));
	GOT(&p, "subscribed news resumed #120000000; news#60000000 2; news#120000000 3");
	peer_do(&p, "{'type':'subscribe','topic':'news','after':'%llu'}",
	    (unsigned long long)world_id(&w, 60000000));
	GOT(&p, "subscribed news resumed #120000000; news#120000000 3");
	peer_do(&p, "{'type':'subscribe','topic':'news','after':%llu}",
	    (unsigned long long)world_id(&w, 120000000));
	GOT(&p, "subscribed news resumed #120000000");
	peer_do(&p, "{'type':'subscribe','topic':'news','last':2}");
	GOT(&p, "subscribed news #120000000; news#60000000 2; news#120000000 3");
	peer_do(&p, "{'type':'subscribe','topic':'**','last':5000}");
	GOT(&p, "subscribed ** #120000000; news#1 1; news#60000000 2; news#120000000 3");
	peer_do(&p, "{'type':'subscribe','topic':'news','after':'soon'}");
	GOT(&p, "subscribed news #120000000; gap news after=- oldest=#1 unreadable");
	peer_do(&p, "{'type':'subscribe','topic':'news','after':-1}");
	GOT(&p, "subscribed news #120000000; gap news after=- oldest=#1 unreadable");
	peer_do(&p, "{'type':'subscribe','topic':'news','after':true}");
	peer_do(&p, "{'type':'subscribe','topic':'news','last':-1}");
	peer_do(&p, "{'type':'subscribe','topic':'news','last':'1'}");
	GOT(&p, "error bad_field; error bad_field; error bad_field");
	peer_do(&p, "{'type':'subscribe','topic':'news','after':5}");
	GOT(&p, "subscribed news #120000000; gap news after=5 oldest=#1 outside; news#1 1; "
		"news#60000000 2; news#120000000 3");
	peer_do(&p, "{'type':'subscribe','topic':'news','after':9000000000000000}");
	GOT(&p, "subscribed news #120000000; gap news after=9000000000000000 oldest=#1 outside; "
		"news#1 1; news#60000000 2; news#120000000 3");
	peer_do(&p, "{'type':'subscribe','topic':'empty','after':0}");
	GOT(&p, "subscribed empty #120000000; gap empty after=0 oldest=- outside");
	SAY("news", "4");
	world_turn(&w);
	GOT(&p, "news#120000001 4"); /* level again, after all this */
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* Once and in order, however the queue fills and drains. */
START_TEST(slow_reader)
{
	long blocks = mem_blocks();
	struct world w;
	struct peer p;
	char want[8192] = "";
	char got[8192] = "";

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'subscribe','topic':'a'}");
	(void)peer_take(&p);
	p.room = 3;
	for (int i = 1; i <= 200; i++) {
		const char *text;

		SAY("a", "m");
		(void)snprintf(want + strlen(want), sizeof(want) - strlen(want), "a#%d m; ", i);
		if (i % 7 == 0)
			world_turn(&w);
		if (i % 11 == 0) {
			peer_drain(&p);
			world_turn(&w);
		}
		text = peer_take(&p);
		if (text[0] != '\0')
			(void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s; ", text);
	}
	for (int i = 0; i < 100; i++) {
		const char *text;

		peer_drain(&p);
		world_turn(&w);
		text = peer_take(&p);
		if (text[0] != '\0')
			(void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s; ", text);
	}
	ck_assert(strcmp(got, want) == 0); /* too long to be printed */
	ck_assert_ptr_null(p.session.who.readers);
	ck_assert_uint_eq(counter_get(&w.counters[0], COUNTER_BEHIND), 0);
	peer_close(&p, false);
	world_done(&w);
	ck_assert_int_eq(mem_blocks(), blocks);
}
END_TEST

/* What is in no log is counted; the members are shown anew. */
START_TEST(slow_and_ephemeral)
{
	struct world w;
	struct peer p;
	struct peer bob;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	ck_assert(peer_open(&w, 0, &bob, "bob"));
	peer_do(&p, "{'type':'join','room':'a'}");
	peer_do(&p, "{'type':'subscribe','topic':'live/x'}");
	(void)peer_take(&p);
	p.room = 1;
	SAY("live/x", "1");
	SAY("live/x", "2");
	SAY("live/x", "3");
	peer_do(&bob, "{'type':'join','room':'a'}");
	SAY("chat/a", "m");
	world_turn(&w);
	GOT(&p, "live/x 1");
	p.room = 10;
	peer_drain(&p);
	world_turn(&w);
	GOT(&p, "chat/a#1 someone: m; gap live/x dropped=2 slow; members a 2 [ada,bob]");
	SAY("live/x", "4");
	world_turn(&w);
	GOT(&p, "live/x 4");
	peer_close(&p, false);
	peer_close(&bob, false);
	world_done(&w);
}
END_TEST

/* Live, once, however many subscriptions match and whichever of them are behind. */
START_TEST(overlap)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	SAY("news/x", "1");
	SAY("news/x", "2");
	peer_do(&p, "{'type':'subscribe','topic':'news/*'}");
	peer_do(&p, "{'type':'subscribe','topic':'**'}");
	p.room = 1;
	peer_do(&p, "{'type':'subscribe','topic':'news/x','last':10}");
	GOT(&p, "subscribed news/* #2; subscribed ** #2; subscribed news/x #2; news/x#1 1");
	p.room = 2;
	SAY("news/x", "3"); /* live by the patterns; news/x is still replaying */
	world_turn(&w);
	GOT(&p, "news/x#3 3");
	SAY("news/x", "4"); /* now the patterns fall behind too */
	SAY("other", "5");
	world_turn(&w);
	GOT(&p, "");
	p.room = 100;
	peer_drain(&p);
	world_turn(&w);
	GOT(&p, "news/x#2 2; news/x#4 4; other#5 5");
	SAY("news/x", "6");
	world_turn(&w);
	GOT(&p, "news/x#6 6");
	ck_assert_ptr_null(p.session.who.readers);
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* What came live by a topic that is then asked for anew does not come by the pattern once more. */
START_TEST(overlap_asked_anew)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'subscribe','topic':'**'}");
	(void)peer_take(&p);
	p.room = 1;
	SAY("news/x", "1");
	SAY("news/x", "2");
	world_turn(&w);
	GOT(&p, "news/x#1 1");
	p.room = 10;
	peer_do(&p, "{'type':'subscribe','topic':'news/x'}");
	SAY("news/x", "3");
	world_turn(&w);
	GOT(&p, "subscribed news/x #2; news/x#3 3");
	p.room = 0;
	peer_do(&p, "{'type':'subscribe','topic':'news/x','last':1}");
	GOT(&p, "subscribed news/x #3");
	p.room = 10;
	peer_drain(&p);
	world_turn(&w);
	GOT(&p, "news/x#2 2; news/x#3 3"); /* by the pattern; that which was asked for */
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* A pattern subscribed later does not stand for what came before it. */
START_TEST(overlap_later)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	SAY("news/x", "1");
	p.room = 0;
	peer_do(&p, "{'type':'subscribe','topic':'news/x','last':10}");
	SAY("news/x", "2");
	world_turn(&w);
	peer_do(&p, "{'type':'subscribe','topic':'news/*'}");
	SAY("news/x", "3");
	world_turn(&w);
	p.room = 100;
	peer_drain(&p);
	world_turn(&w);
	GOT(&p, "subscribed news/x #1; subscribed news/* #2; news/x#3 3; news/x#1 1; news/x#2 2");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/*
 * Subscriptions with cursors of their own, all behind at once: each gets its own, the live part
 * comes once.
 */
START_TEST(cursors)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	for (int i = 1; i <= 6; i++)
		SAY(i % 2 == 0 ? "b" : "a", "m");
	p.room = 0;
	peer_do(&p, "{'type':'subscribe','topic':'a','after':%llu}",
	    (unsigned long long)world_id(&w, 1));
	peer_do(&p, "{'type':'subscribe','topic':'b','after':%llu}",
	    (unsigned long long)world_id(&w, 4));
	peer_do(&p, "{'type':'subscribe','topic':'c'}");
	SAY("a", "m");
	SAY("c", "m");
	SAY("b", "m");
	world_turn(&w);
	(void)peer_take(&p);
	for (int i = 0; i < 10; i++) {
		p.room = 1;
		peer_drain(&p);
		world_turn(&w);
	}
	GOT(&p, "a#3 m; a#5 m; a#7 m; b#6 m; b#9 m; c#8 m");
	ck_assert_ptr_null(p.session.who.readers);
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* Asking anew while behind loses nothing of what was still to come. */
START_TEST(asked_anew)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'subscribe','topic':'a'}");
	(void)peer_take(&p);
	p.room = 1;
	for (int i = 1; i <= 5; i++)
		SAY("a", "m");
	world_turn(&w);
	GOT(&p, "a#1 m");
	peer_do(&p, "{'type':'subscribe','topic':'a','last':1}");
	p.room = 100;
	peer_drain(&p);
	world_turn(&w);
	GOT(&p, "subscribed a #5; a#2 m; a#3 m; a#4 m; a#5 m");
	/* and the other way round: unsubscribing ends it */
	p.room = p.queued;
	SAY("a", "m");
	world_turn(&w);
	peer_do(&p, "{'type':'unsubscribe','topic':'a'}");
	p.room = 100;
	peer_drain(&p);
	world_turn(&w);
	GOT(&p, "unsubscribed a");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* A store that answers later. */
START_TEST(slow_store)
{
	long blocks = mem_blocks();
	struct world w;
	struct peer p;
	struct peer bob;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	ck_assert(peer_open(&w, 0, &bob, "bob"));
	SAY("chat/a", "1");
	w.store->is_slow = true;
	peer_do(&p, "{'type':'join','room':'a'}");
	peer_do(&bob, "{'type':'join','room':'a','last':0}");
	SAY("chat/a", "2");
	world_turn(&w);
	GOT(&p, "joined a 1 [ada] #1");
	for (int i = 0; i < 4; i++) {
		world_answer_reads(&w);
		world_turn(&w);
	}
	GOT(&p, "chat/a#1 someone: 1; chat/a#2 someone: 2; members a 2 [ada,bob]");
	GOT(&bob, "joined a 2 [ada,bob] #1; chat/a#2 someone: 2");
	/* what is read for a room that was left meanwhile does not come */
	p.room = 0;
	peer_do(&p, "{'type':'subscribe','topic':'b'}");
	SAY("chat/a", "3");
	SAY("b", "4");
	world_turn(&w);
	p.room = 100;
	peer_drain(&p);
	world_turn(&w);
	peer_do(&p, "{'type':'leave','room':'a'}");
	for (int i = 0; i < 4; i++) {
		world_answer_reads(&w);
		world_turn(&w);
	}
	GOT(&p, "subscribed b #2; left a; b#4 4");
	/* and one that is gone is gone */
	peer_do(&p, "{'type':'subscribe','topic':'b','last':5}");
	peer_do(&p, "{'type':'history','topic':'b'}");
	peer_close(&p, true);
	world_answer_reads(&w);
	world_turn(&w);
	/* a store that fails */
	w.store->is_slow = false;
	w.store->status = -5;
	(void)peer_take(&bob);
	peer_do(&bob, "{'type':'history','room':'a'}");
	GOT(&bob, "error unavailable");
	ck_assert(!bob.has_failed);
	peer_do(&bob, "{'type':'join','room':'a','last':5}");
	ck_assert(bob.has_failed);
	peer_close(&bob, true);
	world_done(&w);
	ck_assert_int_eq(mem_blocks(), blocks);
}
END_TEST

/* More than one read, one scan, one turn. */
START_TEST(long_replay)
{
	static const struct world_rule rules[] = {{"**", 20000, 0, false}};
	static const struct world_options options = {.rules = rules, .n_rules = 1};
	static const char *const rare[] = {"rare/*", NULL};
	struct position last = {.kind = POSITION_LAST, .last = 2};
	struct world w;
	struct stream st;
	struct peer p;
	const char *text;
	unsigned n = 0;

	ck_assert(world_init(&w, &options));
	SAY("rare/1", "a");
	SAY("rare/2", "b");
	ck_assert_int_eq(world_say_often(&w, "often", "m", 10000), 0);
	SAY("rare/1", "c");
	ck_assert(stream_open(&w, 0, &st, rare, &last, NULL));
	world_turn(&w);
	CAME(&st, "rare/2#2 b; rare/1#10003 c; level");
	stream_close(&st);
	ck_assert(stream_open(&w, 0, &st, rare, &from_all, NULL));
	world_turn(&w);
	CAME(&st, "rare/1#1 a; rare/2#2 b; rare/1#10003 c; level");
	stream_close(&st);
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'subscribe','topic':'often','last':1000}");
	world_turn(&w);
	for (text = peer_take(&p); (text = strstr(text, "often#")) != NULL; text++)
		n++;
	ck_assert_uint_eq(n, 1000);
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

START_TEST(clock_set_back)
{
	static const char *const topics[] = {"a", NULL};
	struct world w;
	struct stream st;
	struct position from;

	ck_assert(world_init(&w, NULL));
	world_pass(&w, 60000);
	SAY("a", "late");
	world_pass(&w, -30000);
	SAY("a", "early");
	from = position_parse(SLICE("10s"), w.now_ms);
	ck_assert(stream_open(&w, 0, &st, topics, &from, NULL));
	world_turn(&w);
	CAME(&st, "a#60000000 late; a#60000001 early; level");
	stream_close(&st);
	from.time_ms = w.now_ms + 1; /* only the one whose clock was later */
	ck_assert(stream_open(&w, 0, &st, topics, &from, NULL));
	world_turn(&w);
	CAME(&st, "a#60000000 late; level");
	stream_close(&st);
	ck_assert(stream_open(&w, 0, &st, topics, &from_now, NULL));
	world_turn(&w);
	CAME(&st, "");
	stream_close(&st);
	world_done(&w);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {positions, after, slow_reader, slow_and_ephemeral, overlap,
	    overlap_asked_anew, overlap_later, cursors, asked_anew, slow_store, long_replay,
	    clock_set_back, NULL};

	return world_run_tests("reader", tests, NULL);
}
