/* core/reader: what is missing is told, once and in its place. */
#include "core/reader.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define GOT(p, text)     ck_assert_str_eq(peer_take(p), text)
#define CAME(s, text)    ck_assert_str_eq(stream_take(s), text)
#define SAY(topic, text) ck_assert_int_eq(world_say(&w, topic, text), 0)

static const struct position from_all = {.kind = POSITION_ALL};
static const struct position from_bad = {.kind = POSITION_BAD};

static struct position
from_id(uint64_t id)
{
	return (struct position){.kind = POSITION_ID, .id = id};
}

START_TEST(trimmed)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	for (int i = 1; i <= 5; i++)
		SAY("three/x", "m");
	peer_do(&p, "{'type':'subscribe','topic':'three/x','after':%llu}",
	    (unsigned long long)world_id(&w, 1));
	GOT(&p, "subscribed three/x #5; gap three/x after=#1 oldest=#3 trimmed; three/x#3 m; "
		"three/x#4 m; three/x#5 m");
	peer_do(&p, "{'type':'subscribe','topic':'three/x','after':%llu}",
	    (unsigned long long)world_id(&w, 2));
	GOT(&p, "subscribed three/x resumed #5; three/x#3 m; three/x#4 m; three/x#5 m");
	/* a question is no position */
	peer_do(&p, "{'type':'subscribe','topic':'three/x','after':'all'}");
	GOT(&p, "subscribed three/x resumed #5; three/x#3 m; three/x#4 m; three/x#5 m");
	peer_do(&p, "{'type':'subscribe','topic':'three/x','last':100}");
	GOT(&p, "subscribed three/x #5; three/x#3 m; three/x#4 m; three/x#5 m");
	peer_do(&p, "{'type':'subscribe','topic':'three/x','after':0}");
	GOT(&p, "subscribed three/x #5; gap three/x after=0 oldest=#3 outside; three/x#3 m; "
		"three/x#4 m; three/x#5 m");
	/* the topic's neighbour lost nothing */
	SAY("three/y", "n");
	peer_do(&p, "{'type':'subscribe','topic':'three/y','after':%llu}",
	    (unsigned long long)world_id(&w, 1));
	GOT(&p, "subscribed three/y resumed #6; three/y#6 n");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* A stream is told of a gap at its place in the merge. */
START_TEST(stream_gaps)
{
	static const char *const topics[] = {"three/x", "news", NULL};
	static const char *const nothing[] = {"empty", NULL};
	struct position from;
	struct world w;
	struct stream st;
	bool resumed;

	ck_assert(world_init(&w, NULL));
	SAY("news", "1");
	for (int i = 2; i <= 6; i++)
		SAY("three/x", "x");
	SAY("news", "7");
	from = from_id(world_id(&w, 0));
	ck_assert(stream_open(&w, 0, &st, topics, &from, &resumed));
	ck_assert(!resumed);
	world_turn(&w);
	CAME(&st,
	    "news#1 1; gap@#3 after=#0 oldest=#1 trimmed; three/x#4 x; three/x#5 x; three/x#6 x; news#7 7; level");
	stream_close(&st);
	/* cut right after the gap: it is not told again, and nothing is missing */
	from = from_id(world_id(&w, 3));
	ck_assert(stream_open(&w, 0, &st, topics, &from, &resumed));
	ck_assert(resumed);
	world_turn(&w);
	CAME(&st, "three/x#4 x; three/x#5 x; three/x#6 x; news#7 7; level");
	stream_close(&st);
	from = from_id(UINT64_C(9000000000000000));
	ck_assert(stream_open(&w, 0, &st, topics, &from, &resumed));
	world_turn(&w);
	CAME(&st,
	    "news#1 1; gap@#3 after=9000000000000000 oldest=#1 outside; three/x#4 x; three/x#5 x; three/x#6 x; news#7 7; level");
	stream_close(&st);
	ck_assert(stream_open(&w, 0, &st, topics + 1, &from, &resumed));
	world_turn(&w);
	CAME(&st, "gap@#0 after=9000000000000000 oldest=#1 outside; news#1 1; news#7 7; level");
	stream_close(&st);
	from = from_id(1);
	ck_assert(stream_open(&w, 0, &st, nothing, &from, &resumed));
	world_turn(&w);
	CAME(&st, "gap@#0 after=1 oldest=- outside; level");
	stream_close(&st);
	ck_assert(stream_open(&w, 0, &st, topics, &from_bad, &resumed));
	world_turn(&w);
	CAME(&st, "gap@#7 after=0 oldest=#1 unreadable; level");
	SAY("news", "8");
	world_turn(&w);
	CAME(&st, "news#8 8");
	stream_close(&st);
	ck_assert(stream_open(&w, 0, &st, topics, &from_all, &resumed));
	world_turn(&w);
	CAME(&st, "news#1 1; three/x#4 x; three/x#5 x; three/x#6 x; news#7 7; news#8 8; level");
	stream_close(&st);
	world_done(&w);
}
END_TEST

/*
 * So slow that the log has no longer what is missing: only the topic that lost something says
 * so.
 */
START_TEST(slow_and_trimmed)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'subscribe','topic':'three/x'}");
	peer_do(&p, "{'type':'subscribe','topic':'news'}");
	(void)peer_take(&p);
	p.room = 1;
	SAY("news", "1");
	for (int i = 2; i <= 6; i++)
		SAY("three/x", "x");
	world_turn(&w);
	GOT(&p, "news#1 1");
	p.room = 10;
	peer_drain(&p);
	world_turn(&w);
	GOT(&p, "gap three/x after=#1 oldest=#4 trimmed; three/x#4 x; three/x#5 x; three/x#6 x");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* Whoever asks anew before he has read on is told what he missed live: that was no question. */
START_TEST(slow_and_asked_anew)
{
	static const char *const questions[] = {
	    "'last':1", "'last':2", "'after':'all'", "'last':100"};
	struct world w;
	struct peer p;

	for (unsigned i = 0; i < ARRAY_LEN(questions); i++) {
		ck_assert(world_init(&w, NULL));
		ck_assert(peer_open(&w, 0, &p, "ada"));
		peer_do(&p, "{'type':'subscribe','topic':'three/x'}");
		(void)peer_take(&p);
		p.room = 1;
		for (int k = 1; k <= 6; k++)
			SAY("three/x", "x");
		world_turn(&w);
		GOT(&p, "three/x#1 x");
		peer_do(&p, "{'type':'subscribe','topic':'three/x',%s}", questions[i]);
		(void)peer_take(&p);
		p.room = 10;
		peer_drain(&p);
		world_turn(&w);
		GOT(&p,
		    i == 2
			? "gap three/x after=#0 oldest=#4 trimmed; three/x#4 x; three/x#5 x; three/x#6 x"
			: "gap three/x after=#1 oldest=#4 trimmed; three/x#4 x; three/x#5 x; three/x#6 x");
		peer_close(&p, false);
		world_done(&w);
	}
}
END_TEST

/* A time that is asked for does not keep back what was live, and is still to come. */
START_TEST(slow_and_asked_by_time)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	SAY("news", "1");
	peer_do(&p, "{'type':'subscribe','topic':'news'}");
	(void)peer_take(&p);
	p.room = 1;
	SAY("news", "2");
	SAY("news", "3");
	world_turn(&w);
	GOT(&p, "news#2 2");
	world_pass(&w, 60000);
	SAY("news", "4");
	peer_do(&p, "{'type':'subscribe','topic':'news','after':'10s'}");
	(void)peer_take(&p);
	p.room = 10;
	peer_drain(&p);
	world_turn(&w);
	GOT(&p, "news#3 3; news#60000000 4");
	/* nor what is said when the clock was set back */
	p.room = 0;
	peer_do(&p, "{'type':'subscribe','topic':'news','after':'10s'}");
	(void)peer_take(&p);
	world_pass(&w, -60000);
	SAY("news", "5");
	world_turn(&w);
	p.room = 10;
	peer_drain(&p);
	world_turn(&w);
	GOT(&p, "news#60000000 4; news#60000001 5");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* Retention overtakes a reader that is in the middle of a replay. */
START_TEST(overtaken)
{
	static const struct world_rule rules[] = {{"**", 4, 0, false}};
	static const struct world_options options = {.rules = rules, .n_rules = 1};
	static const char *const topics[] = {"x", "y", NULL};
	struct world w;
	struct peer p;
	struct stream st;

	ck_assert(world_init(&w, &options));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	for (int i = 1; i <= 4; i++)
		SAY("x", "m");
	p.room = 2;
	peer_do(&p, "{'type':'subscribe','topic':'x','after':'all'}");
	ck_assert(stream_open(&w, 0, &st, topics, &from_all, NULL));
	st.room = 2;
	world_turn(&w);
	GOT(&p, "subscribed x resumed #4; x#1 m; x#2 m");
	CAME(&st, "x#1 m; x#2 m");
	SAY("y", "5");
	for (int i = 6; i <= 8; i++)
		SAY("x", "m");
	world_turn(&w);
	p.room = 100;
	st.room = 100;
	peer_drain(&p);
	stream_drain(&st);
	world_turn(&w);
	GOT(&p, "gap x after=#2 oldest=#4 trimmed; x#4 m; x#6 m; x#7 m; x#8 m");
	CAME(&st, "gap@#3 after=#2 oldest=#4 trimmed; x#4 m; y#5 5; x#6 m; x#7 m; x#8 m; level");
	peer_close(&p, false);
	stream_close(&st);
	world_done(&w);
}
END_TEST

/* Retention goes on before a gap is told, and before a question is looked for. */
START_TEST(overtaken_before_reading)
{
	static const char *const topics[] = {"three/x", "news", NULL};
	struct position from;
	struct world w;
	struct stream st;
	struct stream all;

	ck_assert(world_init(&w, NULL));
	for (int i = 1; i <= 6; i++)
		SAY("three/x", "x");
	from = from_id(world_id(&w, 1));
	w.store->is_slow = true;
	ck_assert(stream_open(&w, 0, &st, topics, &from, NULL));
	ck_assert(stream_open(&w, 0, &all, topics, &from_all, NULL));
	for (int i = 7; i <= 10; i++)
		SAY("three/x", "x");
	world_answer_reads(&w);
	world_turn(&w);
	world_answer_reads(&w);
	world_turn(&w);
	CAME(&st,
	    "gap@#7 after=#1 oldest=#8 trimmed; three/x#8 x; three/x#9 x; three/x#10 x; level");
	/* those up to 6 were gone when it was looked; 7 came while it was there already */
	CAME(&all,
	    "gap@#7 after=#0 oldest=#8 trimmed; three/x#8 x; three/x#9 x; three/x#10 x; level");
	stream_close(&st);
	stream_close(&all);
	world_done(&w);
}
END_TEST

/*
 * A worker is not as far as retention: what it has yet to take from the tail still comes, so no gap may
 * stand before it that has a newer id.
 */
START_TEST(ahead_of_worker)
{
	static const struct world_options two = {.n_hubs = 2};
	static const char *const topics[] = {"three/x", "news", NULL};
	struct position from;
	struct world w;
	struct stream st;
	bool resumed;

	ck_assert(world_init(&w, &two));
	SAY("news", "1");
	for (int i = 2; i <= 6; i++)
		SAY("three/x", "x");
	world_turn(&w);
	SAY("news", "7");
	for (int i = 8; i <= 12; i++)
		SAY("three/x", "x");
	/* as if another worker had said this after ours has looked: all there is comes */
	w.hubs[1].in_tail = true;
	from = from_id(world_id(&w, 6));
	ck_assert(stream_open(&w, 1, &st, topics, &from, &resumed));
	ck_assert(resumed);
	world_read_one(&w, 1);
	w.hubs[1].in_tail = false;
	world_turn(&w);
	CAME(&st,
	    "level; news#7 7; three/x#8 x; three/x#9 x; three/x#10 x; three/x#11 x; three/x#12 x");
	stream_close(&st);
	SAY("news", "13");
	for (int i = 14; i <= 18; i++)
		SAY("three/x", "x");
	from = from_id(world_id(&w, 8));
	w.hubs[1].in_tail = true;
	ck_assert(stream_open(&w, 1, &st, topics, &from, &resumed));
	ck_assert(!resumed);
	world_read_one(&w, 1);
	w.hubs[1].in_tail = false;
	world_turn(&w);
	CAME(&st,
	    "gap@#12 after=#8 oldest=#1 trimmed; level; news#13 13; three/x#14 x; three/x#15 x; three/x#16 x; three/x#17 x; three/x#18 x");
	stream_close(&st);
	/* the worker goes on before the reader has begun: what it brought then is gone for it */
	SAY("news", "19");
	for (int i = 20; i <= 24; i++)
		SAY("three/x", "x");
	from = from_id(world_id(&w, 18));
	w.hubs[1].in_tail = true;
	ck_assert(stream_open(&w, 1, &st, topics, &from, NULL));
	w.hubs[1].in_tail = false;
	world_turn(&w);
	CAME(&st,
	    "news#19 19; gap@#21 after=#18 oldest=#1 trimmed; three/x#22 x; three/x#23 x; three/x#24 x; level");
	stream_close(&st);
	world_done(&w);
}
END_TEST

/* What went with a topic that the log then forgot, before the database knew of that. */
START_TEST(forgotten_meanwhile)
{
	static const struct world_rule rules[] = {
	    {"old/**", 100, 1000, false}, {"**", 100, 0, false}};
	static const struct world_options options = {.rules = rules, .n_rules = 2, .max_topics = 2};
	static const char *const topics[] = {"**", NULL};
	static const char *const other[] = {"c", NULL};
	static const struct position none = {.kind = POSITION_NONE};
	struct position from;
	struct world w;
	struct stream st;
	struct stream new;

	ck_assert(world_init(&w, &options));
	SAY("old/x", "1");
	SAY("b", "2");
	from = from_id(world_id(&w, 0));
	w.store->is_slow = true;
	ck_assert(stream_open(&w, 0, &st, topics, &from, NULL));
	world_turn(&w);
	world_pass(&w, 2000);
	log_sweep(w.log, w.now_ms);
	if (world_is_sqlite())
		world_settle(&w);
	ck_assert(stream_open(&w, 0, &new, other, &none, NULL)); /* room is made for it */
	world_answer_reads(&w);
	world_turn(&w);
	world_answer_reads(&w);
	world_turn(&w);
	CAME(&st, "gap@#1 after=#0 oldest=#2 trimmed; b#2 2; level");
	stream_close(&st);
	stream_close(&new);
	world_done(&w);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {trimmed, stream_gaps, slow_and_trimmed, slow_and_asked_anew,
	    slow_and_asked_by_time, overtaken, overtaken_before_reading, ahead_of_worker,
	    forgotten_meanwhile, NULL};

	return world_run_tests("gaps", tests, NULL);
}
