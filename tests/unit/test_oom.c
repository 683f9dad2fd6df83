/*
 * Whole scenarios in which the n-th allocation fails, for every n: nothing crashes or leaks, and
 * nothing is lost silently: whoever got less than he should was refused, or his connection ends.
 */
#include <stdio.h>
#include <string.h>

#include "core/presence.h"
#include "core/reader.h"
#include "store/memory.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define MOST 3000 /* allocations of a scenario */

struct scene {
	struct world w;
	struct peer ada;
	struct peer bob;
	struct stream st;
	bool refused; /* something that the test itself does was refused */
	char ada_got[2048];
	char bob_got[2048];
	char st_got[2048];
};

typedef void scenario(struct scene *s);

static void
keep(char to[2048], const char *text)
{
	size_t n = strlen(to);

	(void)snprintf(to + n, 2048 - n, "%s%s", n > 0 && text[0] != '\0' ? "; " : "", text);
}

static void
collect(struct scene *s)
{
	presence_expire(s->w.log, s->w.now_ms); /* who could not be announced is now */
	world_turn(&s->w);
	keep(s->ada_got, peer_take(&s->ada));
	keep(s->bob_got, peer_take(&s->bob));
	keep(s->st_got, stream_take(&s->st));
}

static void
say(struct scene *s, const char *topic, const char *text)
{
	if (world_say(&s->w, topic, text) < 0)
		s->refused = true;
}

static void
check(const struct scene *s, const struct scene *whole, long n)
{
	bool excused = s->refused || s->ada.has_error || s->bob.has_error || s->ada.has_failed ||
		       s->bob.has_failed || s->st.has_failed;

	/*
	 * who was not failed may still see less than usual, but only of what somebody was
	 * refused
	 */
	if (excused)
		return;
	ck_assert_msg(strcmp(s->ada_got, whole->ada_got) == 0, "%ld: ada got '%s', not '%s'", n,
	    s->ada_got, whole->ada_got);
	ck_assert_msg(strcmp(s->bob_got, whole->bob_got) == 0, "%ld: bob got '%s', not '%s'", n,
	    s->bob_got, whole->bob_got);
	ck_assert_msg(strcmp(s->st_got, whole->st_got) == 0, "%ld: the stream got '%s', not '%s'",
	    n, s->st_got, whole->st_got);
}

/* True when the failure came up in this run. */
static bool
play(struct scene *s, scenario *run, long n)
{
	static const struct world_options two = {.n_hubs = 2};
	long blocks = mem_blocks();
	bool came = true;

	memset(s, 0, sizeof(*s));
	ck_assert(world_init(&s->w, &two));
	ck_assert(peer_open(&s->w, 0, &s->ada, "ada"));
	ck_assert(peer_open(&s->w, 1, &s->bob, "bob"));
	mem_fail_at(n);
	run(s);
	came = !mem_fail_is_pending();
	mem_fail_at(0);
	/* afterwards all works again */
	if (!s->ada.has_failed) {
		peer_do(&s->ada, "{'type':'ping'}");
		collect(s);
		ck_assert_msg(strstr(s->ada_got, "pong") != NULL, "%ld: '%s'", n, s->ada_got);
	}
	peer_close(&s->ada, n % 2 == 0);
	peer_close(&s->bob, n % 2 == 1);
	stream_close(&s->st);
	presence_expire(s->w.log, s->w.now_ms + 100000);
	ck_assert_uint_eq(log_rooms(s->w.log), 0);
	log_sweep(s->w.log, s->w.now_ms);
	ck_assert_uint_eq(counter_get(&s->w.counters[0], COUNTER_BEHIND), 0);
	ck_assert_uint_eq(counter_get(&s->w.counters[0], COUNTER_SUBSCRIPTIONS), 0);
	world_done(&s->w);
	ck_assert_msg(mem_blocks() == blocks, "%ld: %ld blocks more", n, mem_blocks() - blocks);
	return came && n > 0;
}

static void
play_all(scenario *run)
{
	struct scene *whole = calloc(1, sizeof(*whole));
	struct scene *s = calloc(1, sizeof(*s));
	long n;

	ck_assert(whole != NULL && s != NULL);
	(void)play(whole, run, 0);
	ck_assert(!whole->refused && !whole->ada.has_error && !whole->bob.has_error);
	for (n = 1; play(s, run, n); n++) {
		check(s, whole, n);
		ck_assert_int_lt(n, MOST);
	}
	ck_assert_int_gt(n, 10);
	free(whole);
	free(s);
}

static void
talk(struct scene *s)
{
	peer_do(&s->ada, "{'type':'join','room':'a','ref':1}");
	peer_do(&s->bob, "{'type':'join','room':'a'}");
	peer_do(&s->ada, "{'type':'chat','content':'hi','data':{'x':1},'key':'k1','ref':'two'}");
	collect(s);
	peer_do(&s->bob, "{'type':'chat','content':'hi'}");
	peer_do(&s->ada, "{'type':'chat','content':'hi','key':'k1'}");
	collect(s);
	peer_do(&s->ada, "{'type':'members','room':'a'}");
	peer_do(&s->bob, "{'type':'rooms'}");
	peer_do(&s->bob, "{'type':'history','room':'a','ref':3}");
	peer_do(&s->ada, "{'type':'leave','room':'a'}");
	collect(s);
}

START_TEST(talking)
{
	play_all(talk);
}
END_TEST

/* About the last message that a peer has an ack for. */
static void
ask(struct scene *s, struct peer *p, const struct peer *whose, const char *type, const char *more)
{
	peer_do(p, "{'type':'%s','target':%llu%s}", type, (unsigned long long)whose->last_id, more);
	collect(s);
}

static void
change(struct scene *s)
{
	struct peer said = {0};

	peer_do(&s->ada, "{'type':'join','room':'a'}");
	peer_do(&s->bob, "{'type':'join','room':'a'}");
	peer_do(&s->bob, "{'type':'subscribe','topic':'user/bob'}");
	collect(s);
	peer_do(&s->ada, "{'type':'chat','content':'hi @bob and @ada'}");
	collect(s);
	said.last_id = s->ada.last_id;
	ask(s, &s->ada, &said, "edit", ",'content':'ho @bob','data':[1]");
	ask(s, &s->bob, &said, "react", ",'emoji':'x','ref':1");
	ask(s, &s->ada, &said, "react", ",'emoji':'x'");
	ask(s, &s->bob, &said, "react", ",'emoji':'x','on':false");
	ask(s, &s->ada, &said, "edit", ",'content':'ha'");
	peer_do(
	    &s->bob, "{'type':'join','room':'a','after':%llu}", (unsigned long long)said.last_id);
	collect(s);
	ask(s, &s->ada, &said, "delete", "");
	peer_do(&s->ada, "{'type':'direct','to':'bob','content':'psst'}");
	collect(s);
	said.last_id = s->ada.last_id;
	ask(s, &s->bob, &said, "react", ",'emoji':'y'");
	ask(s, &s->ada, &said, "delete", "");
	peer_do(&s->ada, "{'type':'history','topic':'user/ada'}");
	collect(s);
}

START_TEST(changing)
{
	play_all(change);
}
END_TEST

static void
hear(struct scene *s)
{
	static const char *const topics[] = {"news/*", "three/x", NULL};
	struct position all = {.kind = POSITION_ALL};

	for (int i = 0; i < 5; i++)
		say(s, "three/x", "x");
	say(s, "news/a", "a");
	if (!stream_open(&s->w, 0, &s->st, topics, &all, NULL))
		s->refused = true;
	peer_do(&s->ada, "{'type':'subscribe','topic':'news/*','last':5}");
	peer_do(&s->bob, "{'type':'subscribe','topic':'three/x','after':5}");
	collect(s);
	peer_do(&s->bob,
	    "{'type':'publish','topic':'news/b','title':'t','message':'m','tags':['x','y']}");
	say(s, "news/c", "c");
	collect(s);
	peer_do(&s->ada, "{'type':'unsubscribe','topic':'news/*'}");
	collect(s);
}

START_TEST(listening)
{
	play_all(hear);
}
END_TEST

static void
be_slow(struct scene *s)
{
	static const char *const topics[] = {"news/*", "three/x", NULL};
	struct position none = {.kind = POSITION_NONE};

	if (!stream_open(&s->w, 0, &s->st, topics, &none, NULL))
		s->refused = true;
	peer_do(&s->ada, "{'type':'subscribe','topic':'news/*'}");
	peer_do(&s->ada, "{'type':'subscribe','topic':'news/a','last':3}");
	peer_do(&s->ada, "{'type':'subscribe','topic':'live/x'}");
	peer_do(&s->bob, "{'type':'subscribe','topic':'three/x','after':'all'}");
	s->ada.room = 2;
	s->st.room = 2;
	s->bob.room = 0;
	for (int i = 0; i < 10; i++) {
		say(s, i % 2 == 0 ? "news/a" : "three/x", "m");
		say(s, "live/x", "l");
		collect(s);
	}
	for (int i = 0; i < 4; i++) {
		s->ada.room = 3;
		s->bob.room = 1;
		s->st.room = 4;
		peer_drain(&s->ada);
		peer_drain(&s->bob);
		if (s->st.is_open)
			stream_drain(&s->st);
		collect(s);
	}
	s->ada.room = s->bob.room = s->st.room = PEER_ROOMY;
	peer_drain(&s->ada);
	peer_drain(&s->bob);
	if (s->st.is_open)
		stream_drain(&s->st);
	collect(s);
}

START_TEST(slow)
{
	play_all(be_slow);
}
END_TEST

static void
batch(struct scene *s)
{
	struct append *a;
	const struct topic_rule *rule = config_rule(s->w.config, SLICE("x"));

	peer_do(&s->ada, "{'type':'subscribe','topic':'x/*'}");
	a = append_new(3);
	for (unsigned i = 0; a != NULL && i < 3; i++) {
		static const char *const topics[] = {"x/1", "x/2", "x/1"};
		struct message_notice notice = {.topic = slice_str(topics[i]),
		    .text = SLICE("m"),
		    .key = SLICE("k"),
		    .from = {SLICE("u"), SLICE("u")}};

		a->items[i].message = message_notice(&notice, SLICE_NONE, rule, s->w.now_ms, 0);
		if (a->items[i].message == NULL) {
			append_free(a);
			a = NULL;
		}
	}
	s->refused = a == NULL;
	if (a != NULL) {
		a->worker = LOG_NO_WORKER;
		a->now_ms = s->w.now_ms;
		if (log_append(s->w.log, a, LOG_NO_WORKER) < 0) {
			append_free(a);
			s->refused = true;
		}
	}
	collect(s);
	/* all or none */
	ck_assert(s->ada.has_error || s->ada.has_failed ||
		  strcmp(s->ada_got, "subscribed x/* #0; x/1#1 m; x/2#2 m") == 0 ||
		  (s->refused && strcmp(s->ada_got, "subscribed x/* #0") == 0));
	for (int i = 0; i < 300; i++)
		say(s, "many", "m"); /* the tail and the rings grow */
	collect(s);
}

START_TEST(batches)
{
	play_all(batch);
}
END_TEST

static void
visit(struct scene *s)
{
	peer_do(&s->ada, "{'type':'join','room':'a'}");
	peer_do(&s->ada, "{'type':'chat','content':'x'}");
	peer_do(&s->ada, "{'type':'typing'}");
	peer_do(&s->ada, "{'type':'join','room':'quiet','last':0}");
	peer_do(&s->bob, "{'type':'chat','content':'default'}");
	collect(s);
	command_say(&s->bob.session, &s->bob.session.caller, SLICE("plain"));
	peer_do(&s->ada, "{'type':'join','room':'a','last':10}");
	collect(s);
}

START_TEST(rooms)
{
	play_all(visit);
}
END_TEST

START_TEST(beginnings)
{
	const struct log_options options = {.n_workers = 1, .now_us = 1000};
	long blocks = mem_blocks();

	for (long n = 1;; n++) {
		struct store *store;
		struct log *l = NULL;

		mem_fail_at(n);
		store = memory_store_new(1000, 10);
		if (store != NULL)
			l = log_new(&options, store); /* takes the store in any case */
		mem_fail_at(0);
		log_free(l);
		ck_assert_int_eq(mem_blocks(), blocks);
		if (l != NULL)
			break;
		ck_assert_int_lt(n, 100);
	}
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
	    talking, changing, listening, slow, batches, rooms, beginnings, NULL};

	return run_tests("oom", tests);
}
