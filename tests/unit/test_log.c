/* core/log: ids, topics and their limit, what is known without reading, completions. */
#include "core/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/log_private.h"
#include "store/memory.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define SAY(topic, text) ck_assert_int_eq(world_say(&w, topic, text), 0)

static struct log_resume
resume(struct world *w, const char *pattern, bool is_topic, uint64_t after)
{
	struct log_filter f = {slice_str(pattern), is_topic};
	struct log_resume r;

	log_resume(w->log, &f, 1, after, &r);
	return r;
}

START_TEST(ids)
{
	struct world w;
	struct log_extent e;

	ck_assert(world_init(&w, NULL));
	log_extent(w.log, &e);
	ck_assert_uint_eq(e.begin, w.begin);
	ck_assert_uint_eq(e.last, w.begin);
	ck_assert_uint_eq(log_next_id(w.log, w.begin - 5), w.begin + 1); /* a clock set back */
	ck_assert_uint_eq(log_next_id(w.log, w.begin + 1), w.begin + 2);
	ck_assert_uint_eq(log_next_id(w.log, w.begin + 100), w.begin + 100);
	SAY("a", "m");
	SAY("live/x", "m"); /* takes no id */
	SAY("b", "m");
	log_extent(w.log, &e);
	ck_assert_uint_eq(e.last, w.begin + 102);
	ck_assert_uint_eq(e.messages, 2);
	ck_assert_uint_eq(e.topics, 2);
	ck_assert_uint_eq(log_topic_last(w.log, SLICE("a")), w.begin + 101);
	ck_assert_uint_eq(log_topic_last(w.log, SLICE("c")), 0);
	ck_assert_uint_lt(e.last, MESSAGE_ID_MAX);
	world_done(&w);
}
END_TEST

/* A clock that nobody has set yet: an id has all its digits all the same. */
START_TEST(early_ids)
{
	static const struct log_options options = {.n_workers = 1, .now_us = 5};
	struct log *l = log_new(&options, memory_store_new(1 << 20, 10));
	struct log_extent e;

	ck_assert_ptr_nonnull(l);
	log_extent(l, &e);
	ck_assert_uint_eq(e.begin, 1000000000000000);
	ck_assert_uint_eq(e.last, e.begin);
	ck_assert_uint_eq(log_next_id(l, 6), e.begin + 1);
	log_free(l);
}
END_TEST

START_TEST(resuming)
{
	const struct log_filter y = {SLICE("three/y"), true};
	const struct log_filter all = {SLICE("**"), false};
	struct world w;
	struct log_resume r;

	ck_assert(world_init(&w, NULL));
	ck_assert_uint_eq(log_oldest(w.log, &all, 1), 0);
	for (int i = 1; i <= 5; i++)
		SAY("three/x", "m");
	SAY("three/y", "m");
	ck_assert_uint_eq(log_oldest(w.log, &all, 1), w.begin + 3);
	r = resume(&w, "three/x", true, w.begin + 1);
	ck_assert_int_eq(r.reason, LOG_GAP_TRIMMED);
	ck_assert_uint_eq(r.gap_id, w.begin + 2);
	ck_assert_uint_eq(r.oldest, w.begin + 3);
	ck_assert_uint_eq(r.start, w.begin + 1);
	r = resume(&w, "three/x", true, w.begin + 2);
	ck_assert_int_eq(r.reason, LOG_GAP_NONE);
	r = resume(&w, "three/y", true, w.begin + 1);
	ck_assert_int_eq(r.reason, LOG_GAP_NONE);
	ck_assert_uint_eq(log_oldest(w.log, &y, 1), w.begin + 6);
	r = resume(&w, "three/*", false, w.begin + 1);
	ck_assert_int_eq(r.reason, LOG_GAP_TRIMMED);
	ck_assert_uint_eq(r.oldest, w.begin + 3);
	r = resume(&w, "none", true, w.begin);
	ck_assert_int_eq(r.reason, LOG_GAP_NONE);
	ck_assert_uint_eq(r.oldest, 0);
	r = resume(&w, "none", true, w.begin - 1);
	ck_assert_int_eq(r.reason, LOG_GAP_OUTSIDE);
	ck_assert_uint_eq(r.gap_id, w.begin);
	ck_assert_uint_eq(r.start, w.begin);
	r = resume(&w, "three/y", true, w.begin + 6);
	ck_assert_int_eq(r.reason, LOG_GAP_NONE);
	r = resume(&w, "three/y", true, w.begin + 7);
	ck_assert_int_eq(r.reason, LOG_GAP_OUTSIDE);
	ck_assert_uint_eq(r.start, w.begin);
	ck_assert_str_eq(log_gap_name(LOG_GAP_SLOW), "slow");
	ck_assert_str_eq(log_gap_name(LOG_GAP_OUTSIDE), "outside");
	world_done(&w);
}
END_TEST

START_TEST(topics_are_limited)
{
	static const struct world_options options = {.max_topics = 3};
	struct world w;
	struct peer p;
	struct log_extent e;

	ck_assert(world_init(&w, &options));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	SAY("a", "m");
	SAY("b", "m");
	SAY("live/x", "m"); /* ephemeral: needs no place */
	peer_do(&p, "{'type':'subscribe','topic':'c'}");
	ck_assert_int_eq(world_say(&w, "d", "m"), -ENOSPC);
	peer_do(&p, "{'type':'publish','topic':'d','message':'m'}");
	peer_do(&p, "{'type':'subscribe','topic':'d'}");
	peer_do(&p, "{'type':'join','room':'d'}");
	peer_do(&p, "{'type':'subscribe','topic':'*'}"); /* a pattern is no topic */
	ck_assert_str_eq(peer_take(&p), "subscribed c #2; error too_many; error too_many; "
					"error too_many; subscribed * #2");
	/* but there are as many of them at most */
	peer_do(&p, "{'type':'subscribe','topic':'x/*'}");
	peer_do(&p, "{'type':'subscribe','topic':'y/*'}");
	peer_do(&p, "{'type':'subscribe','topic':'z/*'}");
	peer_do(&p, "{'type':'unsubscribe','topic':'x/*'}");
	peer_do(&p, "{'type':'unsubscribe','topic':'y/*'}");
	peer_do(&p, "{'type':'subscribe','topic':'z/*'}");
	peer_do(&p, "{'type':'unsubscribe','topic':'z/*'}");
	ck_assert_str_eq(peer_take(&p),
	    "subscribed x/* #2; subscribed y/* #2; error too_many; unsubscribed x/*; "
	    "unsubscribed y/*; subscribed z/* #2; unsubscribed z/*");
	SAY("a", "m");
	SAY("c", "m");
	peer_do(&p, "{'type':'unsubscribe','topic':'c'}");
	log_set_max_topics(w.log, 4);
	SAY("d", "m");
	log_set_max_topics(w.log, 3);
	ck_assert_int_eq(world_say(&w, "e", "m"), -ENOSPC);
	log_set_max_topics(w.log, 0);
	SAY("e", "m");
	log_extent(w.log, &e);
	ck_assert_uint_eq(e.topics, 5);
	ck_assert_uint_eq(peer_topics(&p), 1);
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* Who looks for room in vain does so once a second, not at each attempt. */
START_TEST(room_for_topics)
{
	static const struct world_options options = {.max_topics = 2};
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, &options));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'subscribe','topic':'a'}");
	peer_do(&p, "{'type':'subscribe','topic':'b'}");
	peer_do(&p, "{'type':'unsubscribe','topic':'b'}");
	SAY("c", "m"); /* b held nothing */
	ck_assert_int_eq(world_say(&w, "d", "m"), -ENOSPC);
	peer_do(&p, "{'type':'unsubscribe','topic':'a'}");
	log_sweep(w.log, w.now_ms);
	SAY("d", "m");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* A topic that was forgotten has not forgotten what it lost. */
START_TEST(folded_topics)
{
	static const struct world_rule rules[] = {{"**", 10, 60000, false}};
	static const struct world_options options = {.rules = rules, .n_rules = 1, .max_topics = 2};
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, &options));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	SAY("a", "1");
	SAY("b", "2");
	world_pass(&w, 61000);
	log_sweep(w.log, w.now_ms);
	ck_assert_ptr_nonnull(
	    log_topic_find(w.log, SLICE("a"))); /* it was trimmed: known for a while */
	SAY("c", "3");
	ck_assert_ptr_null(log_topic_find(w.log, SLICE("a")));
	SAY("a", "4"); /* it is known again */
	peer_do(&p, "{'type':'subscribe','topic':'a','after':%llu}",
	    (unsigned long long)world_id(&w, 0));
	ck_assert_str_eq(peer_take(&p),
	    "subscribed a #61000001; gap a after=#0 oldest=#61000001 trimmed; a#61000001 4");
	peer_do(&p, "{'type':'subscribe','topic':'*','after':%llu}",
	    (unsigned long long)world_id(&w, 0));
	ck_assert_str_eq(peer_take(&p), "subscribed * #61000001; gap * after=#0 oldest=#61000000 "
					"trimmed; c#61000000 3; a#61000001 4");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* A batch whose topics are new when there is room for few: none of them is given up for the next. */
START_TEST(batch_of_new_topics)
{
	static const struct world_options options = {.max_topics = 2};
	static const char *const topics[] = {"x", "y", "z"};
	struct world w;

	ck_assert(world_init(&w, &options));
	for (unsigned n = 3; n >= 2; n--) {
		const struct topic_rule *rule = config_rule(w.config, SLICE("x"));
		struct append *a = append_new(n);
		struct log_extent e;

		ck_assert_ptr_nonnull(a);
		for (unsigned i = 0; i < n; i++) {
			struct message_notice notice = {
			    .topic = slice_str(topics[i]), .text = SLICE("m")};

			a->items[i].message =
			    message_notice(&notice, SLICE_NONE, rule, w.now_ms, 0);
			ck_assert_ptr_nonnull(a->items[i].message);
		}
		a->worker = LOG_NO_WORKER;
		a->now_ms = w.now_ms;
		if (n == 3) {
			ck_assert_int_eq(log_append(w.log, a, LOG_NO_WORKER), -ENOSPC);
			append_free(a);
			log_extent(w.log, &e);
			ck_assert_uint_eq(e.messages, 0);
			log_sweep(w.log, w.now_ms);
			log_extent(w.log, &e);
			ck_assert_uint_eq(e.topics, 0);
		} else {
			ck_assert_int_eq(log_append(w.log, a, LOG_NO_WORKER), 0);
		}
	}
	ck_assert_uint_eq(log_topic_last(w.log, SLICE("y")), w.begin + 2);
	world_done(&w);
}
END_TEST

static bool
count_topic(const struct log_topic_info *t, void *ctx)
{
	unsigned *n = ctx;

	ck_assert(t->messages > 0 || t->members > 0);
	return ++*n < 2;
}

START_TEST(each_topic)
{
	struct world w;
	struct peer p;
	unsigned n = 0;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'subscribe','topic':'nothing'}");
	log_each_topic(w.log, count_topic, &n);
	ck_assert_uint_eq(n, 0);
	peer_do(&p, "{'type':'join','room':'a'}");
	log_each_topic(w.log, count_topic, &n);
	ck_assert_uint_eq(n, 1);
	SAY("x", "m");
	SAY("y", "m");
	n = 0;
	log_each_topic(w.log, count_topic, &n);
	ck_assert_uint_eq(n, 2);
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

struct met {
	unsigned n;
	unsigned n_rooms;
	unsigned max;
};

static bool
note_topic(const struct log_topic_info *t, void *ctx)
{
	struct met *met = ctx;
	bool is_room = slice_has_prefix(t->name, SLICE("chat/"));

	ck_assert(!is_room || met->n == met->n_rooms); /* rooms come first */
	met->n++;
	met->n_rooms += is_room;
	return met->n < met->max;
}

/* So many that the lock is let go in between: each is met once, whatever comes and goes. */
START_TEST(each_of_many)
{
	struct met met = {.max = 10000};
	struct world w;
	char topic[32];

	ck_assert(world_init(&w, NULL));
	for (unsigned i = 0; i < 3000; i++) {
		(void)snprintf(topic, sizeof(topic), i % 2 == 0 ? "t/%u" : "chat/r%u", i);
		SAY(topic, "m");
	}
	log_each_topic(w.log, note_topic, &met);
	ck_assert_uint_eq(met.n, 3000);
	ck_assert_uint_eq(met.n_rooms, 1500);
	met = (struct met){.max = 10000};
	log_each_room(w.log, note_topic, &met);
	ck_assert_uint_eq(met.n, 1500);
	met = (struct met){.max = 1200};
	log_each_room(w.log, note_topic, &met);
	ck_assert_uint_eq(met.n, 1200);
	met = (struct met){.max = 2};
	ck_assert(log_one_topic(w.log, SLICE("chat/r1"), note_topic, &met));
	ck_assert(log_one_topic(w.log, SLICE("chat/none"), note_topic, &met));
	ck_assert(!log_one_topic(w.log, SLICE("chat/r3"), note_topic, &met));
	ck_assert_uint_eq(met.n, 2);
	ck_assert_uint_eq(resume(&w, "chat/*", false, w.begin - 1).oldest, world_id(&w, 2));
	world_done(&w);
}
END_TEST

START_TEST(walks_cross)
{
	struct log_walk a;
	struct log_walk b;
	struct world w;
	unsigned n = 0;

	ck_assert(world_init(&w, NULL));
	SAY("x", "m");
	SAY("chat/a", "m");
	SAY("chat/b", "m");
	log_walk_begin(&a, w.log);
	ck_assert_ptr_nonnull(log_walk_next(&a));
	a.n = UINT_MAX / 2;                                        /* it keeps the lock */
	TAILQ_INSERT_AFTER(&w.log->order, a.last, &a.here, order); /* as while it has it not */
	b = (struct log_walk){.log = w.log};
	while (log_walk_next(&b) != NULL)
		n++;
	ck_assert_uint_eq(n, 3);
	TAILQ_REMOVE(&w.log->order, &a.here, order);
	ck_assert_ptr_nonnull(log_walk_next(&a));
	ck_assert_ptr_nonnull(log_walk_next(&a));
	ck_assert_ptr_null(log_walk_next(&a));
	log_walk_end(&a);
	world_done(&w);
}
END_TEST

static void
never(struct append *a)
{
	(void)a;
	ck_abort_msg("nobody met it");
}

/* What was never met is freed with the log; what was met is its owner's, though a worker still lags. */
START_TEST(ends_in_between)
{
	static const struct world_options two = {.n_hubs = 2};
	long blocks = mem_blocks();
	struct world w;
	struct peer p;
	struct append *a;

	ck_assert(world_init(&w, &two));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'publish','topic':'a','message':'m'}");
	world_turn_one(&w, 0);
	ck_assert_str_eq(peer_take(&p), "ack #1");
	peer_close(&p, false);
	a = append_new(1);
	ck_assert_ptr_nonnull(a);
	a->items[0].message =
	    message_typing(SLICE("chat/a"), (struct message_from){SLICE("u"), SLICE("u")}, true, 0);
	ck_assert_ptr_nonnull(a->items[0].message);
	a->done = never;
	ck_assert_int_eq(hub_append(&w.hubs[0], a), 0);
	/* the second worker meets the first one's append, which is long gone */
	{
		struct tail_slot slots[4];
		uint64_t sequence = 0;

		ck_assert_uint_eq(log_take(w.log, 1, slots, 4, &sequence), 2);
		ck_assert_ptr_null(slots[0].append);
		ck_assert_ptr_null(slots[1].append);
	}
	hub_done(&w.hubs[0]);
	hub_done(&w.hubs[1]);
	log_free(w.log);
	config_unref(w.config);
	ck_assert_int_eq(mem_blocks(), blocks);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
	    resuming, folded_topics, each_topic, each_of_many, walks_cross, ends_in_between, NULL};
	const TTest *const memory_only[] = {
	    ids, early_ids, topics_are_limited, room_for_topics, batch_of_new_topics, NULL};

	return world_run_tests("log", tests, memory_only);
}
