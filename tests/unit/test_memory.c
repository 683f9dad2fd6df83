/* The store in memory: what is kept and for how long, keys, batches, reads. */
#include "store/memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/log_private.h"
#include "store/keys.h"
#include "store/ring.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define SAY(topic, text) ck_assert_int_eq(world_say(&w, topic, text), 0)
#define DAY_MS           ((int64_t)24 * 3600 * 1000)

/* "#1,#2" of all that a pattern finds. */
static const char *
stored(struct world *w, const char *pattern, char out[512])
{
	static const struct position all = {.kind = POSITION_ALL};
	const char *topics[] = {pattern, NULL};
	struct stream st;

	ck_assert(stream_open(w, 0, &st, topics, &all, NULL));
	world_turn(w);
	(void)snprintf(out, 512, "%s", stream_take(&st));
	stream_close(&st);
	return out;
}

/* Many topics are swept in parts; after a few sweeps all of them. */
START_TEST(sweep_of_many_topics)
{
	static const struct world_rule rules[] = {{"**", 10, 50000, false}};
	static const struct world_options options = {.rules = rules, .n_rules = 1};
	const unsigned n = 20000;
	struct world w;
	struct log_extent e;

	ck_assert(world_init(&w, &options));
	for (unsigned i = 0; i < n; i++) {
		char topic[32];

		(void)snprintf(topic, sizeof(topic), "t/%u", i);
		SAY(topic, "x");
	}
	world_pass(&w, 60000);
	log_sweep(w.log, w.now_ms);
	log_extent(w.log, &e);
	ck_assert_uint_gt(e.messages, n / 2);
	for (unsigned i = 0; i < LOG_SWEEP_PARTS; i++)
		log_sweep(w.log, w.now_ms);
	log_extent(w.log, &e);
	ck_assert_uint_eq(e.messages, 0);
	world_done(&w);
}
END_TEST

START_TEST(by_count)
{
	char got[512];
	struct world w;

	ck_assert(world_init(&w, NULL));
	for (int i = 1; i <= 4; i++) {
		SAY("three/a", "m");
		SAY("three/b", "m");
	}
	ck_assert_str_eq(
	    stored(&w, "three/a", got), "three/a#3 m; three/a#5 m; three/a#7 m; level");
	SAY("one/a", "1");
	SAY("one/a", "2");
	ck_assert_str_eq(stored(&w, "one/a", got), "one/a#10 2; level");
	ck_assert_str_eq(stored(&w, "live/a", got), "level");
	world_done(&w);
}
END_TEST

/* Many that went from between those that stay. */
START_TEST(holes)
{
	char got[512];
	struct world w;
	struct log_extent e;

	ck_assert(world_init(&w, NULL));
	SAY("a", "first");
	ck_assert_int_eq(world_say_often(&w, "three/x", "m", 2501), 0);
	SAY("a", "second");
	ck_assert_int_eq(world_say_often(&w, "three/x", "m", 2499), 0);
	ck_assert_str_eq(stored(&w, "**", got),
	    "a#1 first; a#2503 second; three/x#5000 m; three/x#5001 m; three/x#5002 m; level");
	log_extent(w.log, &e);
	ck_assert_uint_eq(e.messages, 5);
	world_done(&w);
}
END_TEST

START_TEST(by_age)
{
	static const struct world_rule rules[] = {{"**", 100, 60000, false}};
	static const struct world_options options = {.rules = rules, .n_rules = 1};
	char got[512];
	struct world w;
	struct log_extent e;

	ck_assert(world_init(&w, &options));
	SAY("a", "1");
	world_pass(&w, 30000);
	SAY("a", "2");
	world_pass(&w, 30000);
	log_sweep(w.log, w.now_ms);
	ck_assert_str_eq(stored(&w, "a", got), "a#30000000 2; level");
	world_pass(&w, 30000);
	log_sweep(w.log, w.now_ms);
	ck_assert_str_eq(stored(&w, "*", got), "level");
	log_extent(w.log, &e);
	ck_assert_uint_eq(e.messages, 0);
	if (!world_is_sqlite()) /* a database is never empty */
		ck_assert_uint_eq(e.bytes, 0);
	world_done(&w);
}
END_TEST

START_TEST(by_bytes)
{
	static const struct world_options options = {.max_bytes = 20000};
	char text[1000];
	struct world w;
	struct log_extent e;

	ck_assert(world_init(&w, &options));
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 5000; i++) {
		char topic[16];

		(void)snprintf(topic, sizeof(topic), "t%d", i % 7);
		SAY(topic, text);
		if (i % 100 == 0)
			world_turn(&w);
	}
	log_extent(w.log, &e);
	ck_assert_uint_le(e.bytes, 20000);
	ck_assert_uint_gt(e.bytes, 15000);
	ck_assert_uint_eq(log_topic_last(w.log, SLICE("t1")), w.begin + 5000);
	world_done(&w);
}
END_TEST

static void
note_read(struct log_read *r)
{
	(void)r; /* the memory store is done before log_read returns */
}

/* Every message of the log is asked for in another form, as replays do. */
static void
make_forms(struct log *l, enum message_form form)
{
	struct log_filter all = {.pattern = SLICE("**")};
	struct log_read r = {
	    .mode = LOG_FORWARD, .filters = &all, .n_filters = 1, .upto = UINT64_MAX};
	struct slice bytes;

	r.count = LOG_READ_MAX;
	r.max_bytes = SIZE_MAX;
	r.done = note_read;
	log_read(l, &r);
	ck_assert_int_eq(r.status, 0);
	for (unsigned i = 0; i < r.n; i++) {
		ck_assert_int_eq(message_form(r.messages[i], form, &bytes), 0);
		ck_assert_uint_gt(bytes.n, 1000);
	}
	log_read_release(&r);
}

/* The forms that readers have had made take memory, too, and the bound holds for all of it. */
START_TEST(by_bytes_of_forms)
{
	static const struct world_options options = {.max_bytes = 20000};
	char text[1000];
	struct world w;
	struct log_extent before;
	struct log_extent e;

	ck_assert(world_init(&w, &options));
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 5; i++)
		SAY("a", text);
	world_turn(&w);
	log_extent(w.log, &before);
	make_forms(w.log, FORM_EVENTS);
	make_forms(w.log, FORM_EVENTS);
	log_extent(w.log, &e);
	ck_assert_uint_eq(e.messages, 5);
	ck_assert_uint_gt(e.bytes, before.bytes + 5 * 1000);
	ck_assert_uint_lt(e.bytes, before.bytes + 5 * 2000);
	make_forms(w.log, FORM_LINE);
	make_forms(w.log, FORM_CHAT_SSE);
	log_extent(w.log, &e);
	ck_assert_uint_gt(e.bytes, 20000);
	log_sweep(w.log, w.now_ms);
	log_extent(w.log, &e);
	ck_assert_uint_le(e.bytes, 20000);
	ck_assert_uint_ge(e.messages, 3);
	for (int i = 0; i < 20; i++)
		SAY("b", text);
	log_extent(w.log, &e);
	ck_assert_uint_ge(e.messages, 7); /* what went has taken its forms along */
	world_done(&w);
}
END_TEST

/* What ended by its own time is not there, and was no loss. */
START_TEST(by_ttl)
{
	char got[512];
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	ck_assert_int_eq(world_say_ttl(&w, "a", "1", 10), 0);
	SAY("a", "2");
	ck_assert_int_eq(world_say_ttl(&w, "a", "3", 20), 0);
	SAY("a", "4");
	world_pass(&w, 10000);
	ck_assert_str_eq(stored(&w, "a", got), "a#2 2; a#3 3; a#4 4; level");
	log_sweep(w.log, w.now_ms);
	world_pass(&w, 10000);
	ck_assert_str_eq(stored(&w, "a", got), "a#2 2; a#4 4; level");
	peer_do(&p, "{'type':'subscribe','topic':'a','after':%llu}",
	    (unsigned long long)world_id(&w, 0));
	ck_assert_str_eq(peer_take(&p), "subscribed a resumed #4; a#2 2; a#4 4");
	peer_do(&p, "{'type':'history','topic':'a'}");
	ck_assert_str_eq(peer_take(&p), "history a [#2,#4]");
	peer_do(&p, "{'type':'subscribe','topic':'a','last':2}");
	ck_assert_str_eq(peer_take(&p), "subscribed a #4; a#2 2; a#4 4");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* Messages with a time to live do not push out those without. */
START_TEST(ttl_and_count)
{
	char got[512];
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	SAY("three/a", "1");
	ck_assert_int_eq(world_say_ttl(&w, "three/a", "2", 5), 0);
	ck_assert_int_eq(world_say_ttl(&w, "three/a", "3", 5), 0);
	world_pass(&w, 6000);
	SAY("three/a", "4");
	SAY("three/a", "5");
	ck_assert_str_eq(
	    stored(&w, "three/a", got), "three/a#1 1; three/a#6000000 4; three/a#6000001 5; level");
	peer_do(&p, "{'type':'subscribe','topic':'three/a','after':%llu}",
	    (unsigned long long)world_id(&w, 0));
	ck_assert_str_eq(peer_take(&p), "subscribed three/a resumed #6000001; three/a#1 1; "
					"three/a#6000000 4; three/a#6000001 5");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

START_TEST(keyed)
{
	struct world w;
	struct peer p;
	struct peer bob;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	ck_assert(peer_open(&w, 0, &bob, "bob"));
	peer_do(&bob, "{'type':'subscribe','topic':'**'}");
	peer_do(&p, "{'type':'publish','topic':'a','message':'1','key':'k'}");
	peer_do(&p, "{'type':'publish','topic':'a','message':'2','key':'k'}"); /* on its way */
	world_turn(&w);
	peer_do(&p, "{'type':'publish','topic':'a','message':'3','key':'k'}");
	peer_do(&p, "{'type':'publish','topic':'a','message':'4','key':'K'}");
	peer_do(&p, "{'type':'publish','topic':'b','message':'5','key':'k'}");
	peer_do(&bob, "{'type':'publish','topic':'a','message':'6','key':'k'}");
	world_turn(&w);
	ck_assert_str_eq(peer_take(&p), "ack #1; ack #1 again; ack #1 again; ack #2; ack #3");
	ck_assert_str_eq(peer_take(&bob), "subscribed ** #0; a#1 1; a#2 4; b#3 5; ack #4");
	peer_do(&p, "{'type':'publish','topic':'live/a','message':'m','key':'k'}");
	peer_do(&p, "{'type':'publish','topic':'a','message':'m','key':''}");
	peer_do(&p, "{'type':'publish','topic':'a','message':'m','key':null}");
	world_turn(&w);
	ck_assert_str_eq(peer_take(&p), "error bad_field; ack #5; ack #6");
	world_pass(&w, DAY_MS - 1);
	log_sweep(w.log, w.now_ms);
	peer_do(&p, "{'type':'publish','topic':'a','message':'m','key':'k'}");
	world_turn(&w);
	ck_assert_str_eq(peer_take(&p), "ack #1 again");
	world_pass(&w, 1);
	peer_do(&p, "{'type':'publish','topic':'a','message':'m','key':'k'}");
	world_turn(&w);
	ck_assert_str_eq(peer_take(&p), "ack #86400000000");
	world_pass(&w, 10);
	peer_do(&p, "{'type':'publish','topic':'a','message':'m','key':'k'}");
	world_turn(&w);
	ck_assert_str_eq(peer_take(&p), "ack #86400000000 again");
	world_pass(&w, 2 * DAY_MS);
	log_sweep(w.log, w.now_ms);
	peer_close(&p, false);
	peer_close(&bob, false);
	world_done(&w);
}
END_TEST

START_TEST(keys_are_bounded)
{
	static const struct world_options options = {.max_keys = 3};
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, &options));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	for (int i = 1; i <= 4; i++)
		peer_do(&p, "{'type':'publish','topic':'a','message':'m','key':'%d'}", i);
	for (int i = 4; i >= 1; i--)
		peer_do(&p, "{'type':'publish','topic':'a','message':'m','key':'%d'}", i);
	world_turn(&w);
	ck_assert_str_eq(peer_take(&p),
	    "ack #1; ack #2; ack #3; ack #4; ack #4 again; ack #3 again; ack #2 again; ack #5");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

static struct append *done_append;

static void
on_done(struct append *a)
{
	done_append = a;
}

START_TEST(batch)
{
	static const char *const keys[] = {"x", "y", "x", NULL, "x"};
	static const char *const topics[] = {"a", "a", "a", "live/a", "b"};
	static const uint64_t ids[] = {2, 3, 2, 0, 4};
	struct world w;
	struct peer bob;
	struct append *a;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &bob, "bob"));
	SAY("z", "m");
	peer_do(&bob, "{'type':'subscribe','topic':'**'}");
	(void)peer_take(&bob);
	a = append_new(5);
	ck_assert_ptr_nonnull(a);
	for (unsigned i = 0; i < 5; i++) {
		struct message_notice notice = {.topic = slice_str(topics[i]),
		    .text = SLICE("m"),
		    .from = {SLICE("u"), SLICE("u")},
		    .key = slice_str(keys[i])};

		a->items[i].message = message_notice(
		    &notice, SLICE_NONE, config_rule(w.config, notice.topic), w.now_ms, 0);
		ck_assert_ptr_nonnull(a->items[i].message);
	}
	a->done = on_done;
	ck_assert_int_eq(hub_append(&w.hubs[0], a), 0);
	done_append = NULL;
	world_turn(&w);
	ck_assert_ptr_eq(done_append, a);
	ck_assert_int_eq(a->status, 0);
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_uint_eq(a->items[i].id, ids[i] == 0 ? 0 : world_id(&w, ids[i]));
		ck_assert_int_eq(a->items[i].duplicate, i == 2);
	}
	ck_assert_str_eq(peer_take(&bob), "a#2 m; a#3 m; live/a m; b#4 m");
	append_free(a);
	peer_close(&bob, false);
	world_done(&w);
}
END_TEST

START_TEST(rings)
{
	struct ring r = {0};
	struct ring_entry *e;
	char some;
	struct message *m = (struct message *)(void *)&some; /* only carried */

	ck_assert_uint_eq(ring_above(&r, 5), 0);
	for (uint64_t id = 1; id <= 100; id++) {
		ck_assert_int_eq(ring_reserve(&r, 1), 0);
		ring_push(&r, id * 2, m);
		if (id % 3 == 0)
			(void)ring_pop(&r);
	}
	ck_assert_uint_eq(r.n, 67);
	ck_assert_uint_eq(ring_at(&r, 0)->id, 68);
	ck_assert_uint_eq(ring_above(&r, 0), 0);
	ck_assert_uint_eq(ring_above(&r, 68), 1);
	ck_assert_uint_eq(ring_above(&r, 69), 1);
	ck_assert_uint_eq(ring_above(&r, 200), 67);
	ck_assert_ptr_null(ring_find(&r, 69));
	ck_assert_ptr_null(ring_find(&r, 202));
	for (uint64_t id = 70; id <= 200; id += 4) {
		e = ring_find(&r, id);
		ck_assert_ptr_nonnull(e);
		e->message = NULL;
	}
	ring_pack(&r);
	ck_assert_uint_eq(r.n, 34);
	ck_assert_uint_eq(ring_at(&r, 1)->id, 72);
	mem_fail_at(1);
	ck_assert_int_eq(ring_reserve(&r, 1000), -ENOMEM);
	mem_fail_at(0);
	ring_done(&r);
}
END_TEST

/* After a reload topics go by the new rules, with nothing new published on them. */
START_TEST(new_rules)
{
	static const struct world_rule rules[] = {{"**", 100, 60000, false}};
	static const struct world_options options = {.rules = rules, .n_rules = 1};
	char a[] = "a";
	char kept[] = "kept";
	struct topic_rule fresh[] = {{.match = a, .history = 2}, {.match = kept, .history = 100}};
	struct config config = {.topics = fresh, .n_topics = ARRAY_LEN(fresh)};
	char got[512];
	struct world w;
	size_t at = 0;

	ck_assert(world_init(&w, &options));
	SAY("kept", "1");
	for (int i = 0; i < 5; i++)
		SAY("a", "m");
	SAY("none", "1");
	while (log_use_rules(w.log, &config, &at))
		continue;
	log_sweep(w.log, w.now_ms);
	ck_assert_str_eq(stored(&w, "a", got), "a#5 m; a#6 m; level");
	ck_assert_str_eq(stored(&w, "none", got), "level"); /* no rule is its */
	world_pass(&w, 120000);
	log_sweep(w.log, w.now_ms);
	ck_assert_str_eq(stored(&w, "kept", got), "kept#1 1; level");
	world_done(&w);
}
END_TEST

/* A step at a time, and all of them in the end. */
START_TEST(new_rules_of_many_topics)
{
	static const struct world_rule rules[] = {{"**", 100, 0, false}};
	static const struct world_options options = {.rules = rules, .n_rules = 1};
	struct config config = {.n_topics = 0}; /* nothing is kept */
	struct log_extent e;
	char topic[32];
	struct world w;
	size_t at = 0;
	unsigned steps = 1;

	ck_assert(world_init(&w, &options));
	for (int i = 0; i < 3000; i++) {
		(void)snprintf(topic, sizeof(topic), "t%d", i);
		SAY(topic, "m");
	}
	while (log_use_rules(w.log, &config, &at))
		steps++;
	ck_assert_uint_ge(steps, 3);
	for (int i = 0; i < 16; i++)
		log_sweep(w.log, w.now_ms);
	log_extent(w.log, &e);
	ck_assert_uint_eq(e.messages, 0);
	world_done(&w);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {by_count, holes, by_age, by_ttl, ttl_and_count, keyed,
	    keys_are_bounded, batch, new_rules, new_rules_of_many_topics, NULL};
	const TTest *const memory_only[] = {
	    by_bytes, by_bytes_of_forms, rings, sweep_of_many_topics, NULL};

	return world_run_tests("memory", tests, memory_only);
}
