/* core/hub: who gets what, on one worker and on two. */
#include "core/hub.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/mem_faults.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define GOT(p, text)     ck_assert_str_eq(peer_take(p), text)
#define SAY(topic, text) ck_assert_int_eq(world_say(&w, topic, text), 0)

static const struct world_options two = {.n_hubs = 2};

START_TEST(patterns)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'subscribe','topic':'*'}");
	peer_do(&p, "{'type':'subscribe','topic':'a/*'}");
	peer_do(&p, "{'type':'subscribe','topic':'a/**'}");
	peer_do(&p, "{'type':'subscribe','topic':'a/b'}");
	peer_do(&p, "{'type':'subscribe','topic':'user/ada'}");
	(void)peer_take(&p);
	SAY("a", "1");
	SAY("a/b", "2");
	SAY("a/b/c", "3");
	SAY("b/a", "4");
	SAY("user/ada", "5");
	SAY("user/bob", "6");
	world_turn(&w);
	GOT(&p, "a#1 1; a/b#2 2; a/b/c#3 3; user/ada#5 5");
	peer_do(&p, "{'type':'unsubscribe','topic':'a/**'}");
	peer_do(&p, "{'type':'unsubscribe','topic':'a/b'}");
	peer_do(&p, "{'type':'unsubscribe','topic':'*'}");
	SAY("a", "1");
	SAY("a/b", "2");
	SAY("a/b/c", "3");
	world_turn(&w);
	GOT(&p, "unsubscribed a/**; unsubscribed a/b; unsubscribed *; a/b#8 2");
	peer_close(&p, false);
	ck_assert_uint_eq(w.hubs[0].n_patterns, 0);
	ck_assert_uint_eq(w.hubs[0].topics.n, 0);
	world_done(&w);
}
END_TEST

START_TEST(joined_and_subscribed)
{
	struct world w;
	struct peer p;
	struct peer bob;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	ck_assert(peer_open(&w, 0, &bob, "bob"));
	peer_do(&p, "{'type':'subscribe','topic':'chat/*'}");
	peer_do(&p, "{'type':'subscribe','topic':'**'}");
	peer_do(&p, "{'type':'join','room':'a'}");
	peer_do(&bob, "{'type':'join','room':'a'}");
	peer_do(&bob, "{'type':'typing'}");
	peer_do(&bob, "{'type':'chat','content':'hi'}");
	peer_do(&p, "{'type':'chat','content':'own'}");
	world_turn(&w);
	GOT(&p,
	    "subscribed chat/* #0; subscribed ** #0; joined a 1 [ada] #0; +bob; typing bob; typing bob no more; "
	    "chat/a#1 bob: hi; ack #2");
	GOT(&bob, "joined a 2 [ada,bob] #0; ack #1; chat/a#2 ada: own");
	peer_close(&p, false);
	peer_close(&bob, false);
	world_done(&w);
}
END_TEST

START_TEST(two_workers)
{
	long blocks = mem_blocks();
	struct world w;
	struct peer p[4];
	char first[512];

	ck_assert(world_init(&w, &two));
	for (unsigned i = 0; i < 4; i++) {
		ck_assert(peer_open(&w, i % 2, &p[i], i % 2 == 0 ? "ada" : "bob"));
		peer_do(&p[i], "{'type':'join','room':'a'}");
	}
	world_turn(&w);
	GOT(&p[0], "joined a 1 [ada] #0; +bob");
	GOT(&p[1], "joined a 2 [ada,bob] #0");
	GOT(&p[2], "joined a 2 [ada,bob] #0");
	(void)peer_take(&p[3]);
	peer_do(&p[1], "{'type':'chat','content':'1'}");
	peer_do(&p[0], "{'type':'chat','content':'2'}");
	peer_do(&p[1], "{'type':'chat','content':'3'}");
	world_turn_one(&w, 0);
	GOT(&p[0], "chat/a#1 bob: 1; ack #2; chat/a#3 bob: 3");
	GOT(&p[1], "");
	world_turn_one(&w, 1);
	GOT(&p[1], "ack #1; chat/a#2 ada: 2; ack #3");
	(void)strncpy(first, peer_take(&p[2]), sizeof(first) - 1);
	first[sizeof(first) - 1] = '\0';
	ck_assert_str_eq(first, "chat/a#1 bob: 1; chat/a#2 ada: 2; chat/a#3 bob: 3");
	GOT(&p[3], first); /* one order */
	ck_assert_uint_eq(w.hubs[0].position, w.hubs[1].position);
	for (unsigned i = 0; i < 4; i++)
		peer_close(&p[i], false);
	world_done(&w);
	ck_assert_int_eq(mem_blocks(), blocks);
}
END_TEST

START_TEST(wakes)
{
	struct world w;
	struct peer p;
	struct peer bob;

	ck_assert(world_init(&w, &two));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	ck_assert(peer_open(&w, 1, &bob, "bob"));
	peer_do(&p, "{'type':'subscribe','topic':'a'}");
	SAY("b", "nobody's");
	ck_assert_uint_eq(w.wakes[0] + w.wakes[1], 0);
	SAY("a", "1");
	SAY("a", "2");
	ck_assert_uint_eq(w.wakes[0], 1); /* once until it has looked */
	ck_assert_uint_eq(w.wakes[1], 0);
	world_turn(&w);
	SAY("a", "3");
	ck_assert_uint_eq(w.wakes[0], 2);
	world_turn(&w);
	peer_do(&bob, "{'type':'subscribe','topic':'*'}");
	SAY("b", "1");
	ck_assert_uint_eq(w.wakes[0], 2);
	ck_assert_uint_eq(w.wakes[1], 1);
	world_turn(&w);
	/* a worker does not wake itself: it looks at the end of its turn */
	peer_do(&bob, "{'type':'publish','topic':'b','message':'m'}");
	ck_assert_uint_eq(w.wakes[1], 1);
	world_turn(&w);
	peer_do(&p, "{'type':'publish','topic':'b','message':'m'}");
	ck_assert_uint_eq(w.wakes[1], 2);
	ck_assert_uint_eq(w.wakes[0], 2);
	world_turn(&w);
	peer_do(&bob, "{'type':'unsubscribe','topic':'*'}");
	peer_do(&p, "{'type':'unsubscribe','topic':'a'}");
	SAY("a", "4");
	SAY("b", "5");
	ck_assert_uint_eq(w.wakes[0], 2);
	ck_assert_uint_eq(w.wakes[1], 2);
	/* a worker that was not woken has the position at its next turn */
	world_turn(&w);
	ck_assert_uint_eq(w.hubs[1].position, w.hubs[0].position);
	peer_close(&p, false);
	peer_close(&bob, false);
	world_done(&w);
}
END_TEST

/* A reader on a worker that lags is judged by the log, and reads no further than its worker is. */
START_TEST(lagging_worker)
{
	struct world w;
	struct peer p;
	struct peer bob;

	ck_assert(world_init(&w, &two));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	ck_assert(peer_open(&w, 1, &bob, "bob"));
	peer_do(&bob, "{'type':'subscribe','topic':'a'}");
	SAY("a", "1");
	SAY("a", "2");
	world_turn_one(&w, 0);
	peer_do(&bob, "{'type':'subscribe','topic':'a','after':%llu}",
	    (unsigned long long)world_id(&w, 2));
	GOT(&bob, "subscribed a #0; a#1 1; a#2 2; subscribed a resumed #2");
	SAY("a", "3");
	peer_do(&bob, "{'type':'subscribe','topic':'a','last':1}");
	SAY("a", "4");
	world_turn(&w);
	GOT(&bob, "a#3 3; subscribed a #3; a#3 3; a#4 4");
	peer_close(&p, false);
	peer_close(&bob, false);
	world_done(&w);
}
END_TEST

/* A worker that never looks: what it holds up is bounded, and appends say so. */
START_TEST(tail_is_bounded)
{
	static const struct world_rule rules[] = {{"**", 1, 0, false}};
	static const struct world_options options = {.n_hubs = 2, .rules = rules, .n_rules = 1};
	struct world w;
	struct peer p;
	unsigned n = 0;

	ck_assert(world_init(&w, &options));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	while (world_say(&w, "a", "m") == 0) {
		if (++n % 100 == 0)
			world_turn_one(&w, 0);
	}
	ck_assert_uint_gt(n, LOG_TAIL_MAX - 10);
	ck_assert_uint_le(n, LOG_TAIL_MAX);
	world_turn_one(&w, 0);
	ck_assert_int_eq(world_say(&w, "a", "m"), -EAGAIN);
	peer_do(&p, "{'type':'publish','topic':'a','message':'m','ref':1}");
	GOT(&p, "error(1) unavailable");
	ck_assert_uint_eq(p.session.caller.n_pending, 0);
	world_turn(&w);
	peer_do(&p, "{'type':'publish','topic':'a','message':'m','ref':1}");
	world_turn(&w);
	ck_assert(strncmp(peer_take(&p), "ack(1) #", 8) == 0);
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

START_TEST(raw_frames)
{
	struct world w;
	struct peer p;
	struct peer bob;
	struct peer eve;
	struct append *a;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	ck_assert(peer_open(&w, 0, &bob, "bob"));
	ck_assert(peer_open(&w, 0, &eve, "eve"));
	p.session.who.form = FORM_WS_RAW;
	bob.session.who.form = FORM_WS_RAW;
	peer_do(&p, "{'type':'join','room':'a'}");
	peer_do(&bob, "{'type':'join','room':'a'}");
	peer_do(&eve, "{'type':'join','room':'a'}");
	world_turn(&w);
	(void)peer_take(&p);
	(void)peer_take(&bob);
	(void)peer_take(&eve);
	a = append_new(1);
	ck_assert_ptr_nonnull(a);
	a->items[0].message =
	    message_raw(SLICE("chat/a"), 2, SLICE("\x01 two"), p.session.who.number);
	a->worker = LOG_NO_WORKER;
	ck_assert_int_eq(log_append(w.log, a, 0), 0);
	peer_do(&eve, "{'type':'chat','content':'json'}");
	world_turn(&w);
	GOT(&bob, "raw \x01 two");
	GOT(&p, "");
	GOT(&eve, "ack #1");
	peer_close(&p, false);
	peer_close(&bob, false);
	peer_close(&eve, false);
	world_done(&w);
}
END_TEST

START_TEST(rules)
{
	static const struct world_rule list[] = {
	    {"user/ada", 1, 0, false}, {"*/x", 2, 0, false}, {"**", 3, 0, false}};
	static const struct world_options options = {.rules = list, .n_rules = 3};
	static const struct world_options none = {.rules = list, .n_rules = 0};
	struct world w;

	ck_assert(world_init(&w, &options));
	ck_assert_uint_eq(config_rule(w.config, SLICE("user/ada"))->history, 1);
	ck_assert_uint_eq(config_rule(w.config, SLICE("a/x"))->history, 2);
	ck_assert_uint_eq(config_rule(w.config, SLICE("user/bob"))->history, 3);
	ck_assert_uint_eq(config_rule(w.config, SLICE("a"))->history, 3);
	world_done(&w);
	ck_assert(world_init(&w, &none));
	ck_assert_uint_eq(config_rule(w.config, SLICE("a"))->history, 0);
	world_done(&w);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
	    joined_and_subscribed, two_workers, lagging_worker, raw_frames, NULL};
	const TTest *const memory_only[] = {wakes, tail_is_bounded, rules, patterns, NULL};

	return world_run_tests("hub", tests, memory_only);
}
