/* core/history and the command: pages of stored messages, forward and backward. */
#include "core/history.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/mem_faults.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define SAY(topic, text) ck_assert_int_eq(world_say(&w, topic, text), 0)
#define GOT(p, text)     ck_assert_str_eq(peer_take(p), text)
#define NTH(n)           (unsigned long long)world_id(&w, n)

START_TEST(pages)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	for (int i = 1; i <= 6; i++)
		SAY(i % 2 == 0 ? "b" : "a", i == 3 ? "Needle in HAY" : "straw");
	peer_do(&p, "{'type':'history','topic':'a','ref':1}");
	GOT(&p, "history(1) a [#1,#3,#5]");
	peer_do(&p, "{'type':'history','topic':'a','limit':2}");
	GOT(&p, "history a [#3,#5] more");
	peer_do(&p, "{'type':'history','topic':'a','limit':3}");
	GOT(&p, "history a [#1,#3,#5]");
	peer_do(&p, "{'type':'history','topic':'*','limit':2,'before':%llu}", NTH(4));
	GOT(&p, "history * [#2,#3] more");
	peer_do(&p, "{'type':'history','topic':'*','limit':2,'before':%llu}", NTH(2));
	GOT(&p, "history * [#1]");
	peer_do(&p, "{'type':'history','topic':'*','before':1}");
	GOT(&p, "history * []");
	peer_do(&p, "{'type':'history','topic':'*','limit':2,'after':%llu}", NTH(2));
	GOT(&p, "history * [#3,#4] more");
	peer_do(&p, "{'type':'history','topic':'*','limit':2,'after':%llu}", NTH(4));
	GOT(&p, "history * [#5,#6]");
	peer_do(&p, "{'type':'history','topic':'*','after':%llu}", NTH(6));
	GOT(&p, "history * []");
	peer_do(&p, "{'type':'history','topic':'*','after':'all','limit':1}");
	GOT(&p, "history * [#1] more");
	peer_do(&p, "{'type':'history','topic':'*','after':%llu,'before':%llu}", NTH(2), NTH(5));
	GOT(&p, "history * [#3,#4]");
	peer_do(&p, "{'type':'history','topic':'*','after':9000000000000000}");
	GOT(&p, "history * []");
	peer_do(&p, "{'type':'history','topic':'**','q':'hay needle'}");
	GOT(&p, "history ** [#3]");
	peer_do(&p, "{'type':'history','topic':'**','q':'hay straw'}");
	GOT(&p, "history ** []");
	peer_do(&p, "{'type':'history','topic':'**','q':' '}");
	GOT(&p, "history ** [#1,#2,#3,#4,#5,#6]");
	peer_do(&p, "{'type':'history','topic':'none'}");
	GOT(&p, "history none []");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

struct asked {
	bool is_done;
	int status;
	bool is_empty;
};

static void
on_asked(void *ctx, int status, struct slice messages, bool more)
{
	*(struct asked *)ctx = (struct asked){true, status, slice_eq(messages, SLICE("[]"))};
	ck_assert(!more);
}

static bool
finds(struct world *w, struct slice q)
{
	struct history_request request = {.topic = SLICE("a"), .search = q, .limit = 10};
	struct asked asked = {.is_done = false};

	ck_assert_int_eq(history_read(&w->hubs[0], &request, on_asked, &asked), 0);
	world_turn(w);
	ck_assert(asked.is_done);
	ck_assert_int_eq(asked.status, 0);
	return !asked.is_empty;
}

/* Any input is a question; of a very long one the beginning is asked. */
START_TEST(long_question)
{
	static char q[60000];
	struct world w;

	ck_assert(world_init(&w, NULL));
	SAY("a", "some words");
	SAY("a", "n o");
	for (size_t i = 0; i < sizeof(q); i++)
		q[i] = i % 2 == 0 ? 'n' : ' ';
	ck_assert(finds(&w, slice_of(q, sizeof(q))));
	q[0] = '"';
	ck_assert(!finds(&w, slice_of(q, sizeof(q))));
	memset(q, 'w', sizeof(q));
	ck_assert(!finds(&w, slice_of(q, sizeof(q))));
	world_done(&w);
}
END_TEST

/* Titles are searched as well, and go from the index with their message. */
START_TEST(titles)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p,
	    "{'type':'publish','topic':'three/a','title':'Disk \\u00e4rger','message':'on host seven'}");
	peer_do(&p, "{'type':'publish','topic':'three/a','title':'Only a title'}");
	peer_do(&p,
	    "{'type':'publish','topic':'b','data':{'title':'nested','timestamp':1},'event':'e'}");
	peer_do(&p, "{'type':'publish','topic':'b','message':'m','data':{'title':'nested'}}");
	peer_do(&p,
	    "{'type':'publish','topic':'b','title':'','message':'disk again','tags':['title']}");
	world_turn(&w);
	(void)peer_take(&p);
	peer_do(&p, "{'type':'history','topic':'**','q':'disk'}");
	peer_do(&p, "{'type':'history','topic':'**','q':'\\u00c4RG* seven'}");
	peer_do(&p, "{'type':'history','topic':'**','q':'\\'only a title\\''}");
	peer_do(&p, "{'type':'history','topic':'**','q':'nested'}");
	GOT(&p, "history ** [#1,#5]; history ** [#1]; history ** [#2]; history ** []");
	for (int i = 0; i < 3; i++)
		SAY("three/a", "disk");
	log_sweep(w.log, w.now_ms);
	peer_do(&p, "{'type':'history','topic':'**','q':'disk'}");
	peer_do(&p, "{'type':'history','topic':'**','q':'title'}");
	GOT(&p, "history ** [#5,#6,#7,#8]; history ** []");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

START_TEST(of_a_room)
{
	static const char *const a[] = {"chat/a", NULL};
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open_as(&w, 0, &p, "ada", a, a));
	SAY("chat/a", "1");
	peer_do(&p, "{'type':'history','room':'a'}"); /* need not be joined */
	peer_do(&p, "{'type':'history'}");
	peer_do(&p, "{'type':'join','room':'a','last':0}");
	peer_do(&p, "{'type':'chat','content':'mine'}");
	world_turn(&w);
	peer_do(&p, "{'type':'history'}"); /* the only one */
	peer_do(&p, "{'type':'history','room':'b'}");
	peer_do(&p, "{'type':'history','topic':'chat/*'}");
	peer_do(&p, "{'type':'history','room':'a/b'}");
	peer_do(&p, "{'type':'history','topic':'**/a'}");
	GOT(&p,
	    "history a [#1]; error bad_field; joined a 1 [ada] #1; ack #2; history a [#1,#2]; "
	    "error insufficient_scope; error insufficient_scope; error bad_field; error bad_field");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* What became of messages is no more to come. */
START_TEST(records_are_no_more)
{
	static const char *const a[] = {"chat/a", NULL};
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open_as(&w, 0, &p, "ada", a, a));
	SAY("chat/a", "1");
	for (unsigned i = 0; i < 10; i++) {
		peer_do(&p, "{'type':'react','target':%llu,'emoji':'%u'}",
		    (unsigned long long)world_id(&w, 1), i);
		world_turn(&w);
	}
	(void)peer_take(&p);
	peer_do(&p, "{'type':'history','room':'a','limit':1}");
	peer_do(&p, "{'type':'history','room':'a','limit':1,'after':'all'}");
	SAY("chat/a", "12");
	peer_do(&p, "{'type':'history','room':'a','limit':1}");
	peer_do(&p, "{'type':'history','room':'a','limit':1,'after':'all'}");
	GOT(&p, "history a [#1]; history a [#1]; history a [#12] more; history a [#1] more");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

START_TEST(fields)
{
	static const char *const wrong[] = {"'before':0", "'before':-1", "'before':'x'",
	    "'before':1.5", "'limit':-1.5", "'limit':'2'", "'limit':1.5", "'q':5", "'after':'soon'",
	    "'after':true", "'after':-3"};
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		peer_do(&p, "{'type':'history','topic':'a',%s,'ref':%zu}", wrong[i], i);
		ck_assert_msg(strstr(peer_take(&p), "bad_field") != NULL, "%s", wrong[i]);
	}
	SAY("a", "1");
	SAY("a", "2");
	/* clamped */
	peer_do(&p, "{'type':'history','topic':'a','limit':0}");
	peer_do(&p, "{'type':'history','topic':'a','limit':100000}");
	GOT(&p, "history a [#2] more; history a [#1,#2]");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

START_TEST(by_time)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	SAY("a", "1");
	world_pass(&w, 60000);
	SAY("a", "2");
	world_pass(&w, 60000);
	peer_do(&p, "{'type':'history','topic':'a','after':'90s'}");
	peer_do(&p, "{'type':'history','topic':'a','after':'10s'}");
	peer_do(&p, "{'type':'history','topic':'a','after':'9999d'}");
	GOT(&p, "history a [#60000000]; history a []; history a [#1,#60000000]");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

struct page {
	size_t n; /* bytes */
	unsigned messages;
	int status;
	bool more;
	unsigned calls;
};

static void
on_page(void *ctx, int status, struct slice messages, bool more)
{
	struct page *page = ctx;

	*page = (struct page){messages.n, 0, status, more, page->calls + 1};
	for (const char *at = messages.p;
	     (at = memmem(at, messages.n - (size_t)(at - messages.p), "\"topic\"", 7)) != NULL;
	     at++)
		page->messages++;
}

START_TEST(big_ones)
{
	static const struct world_rule rules[] = {{"**", 20000, 0, false}};
	static const struct world_options options = {.rules = rules, .n_rules = 1};
	struct history_request request = {.topic = SLICE("big"), .limit = HISTORY_LIMIT};
	struct page page = {0};
	char text[10000];
	struct world w;

	ck_assert(world_init(&w, &options));
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 30; i++)
		SAY("big", text);
	ck_assert_int_eq(history_read(&w.hubs[0], &request, on_page, &page), 0);
	ck_assert_uint_eq(page.calls, 1);
	ck_assert_uint_le(page.n, HISTORY_PAGE_BYTES + 1000);
	ck_assert_uint_eq(page.messages, 25);
	ck_assert(page.more);
	request.before = world_id(&w, 6);
	ck_assert_int_eq(history_read(&w.hubs[0], &request, on_page, &page), 0);
	ck_assert_uint_eq(page.messages, 5);
	ck_assert(!page.more);
	/* 1,000 and one more; the scan of the others' messages is bounded, and goes on */
	ck_assert_int_eq(world_say_often(&w, "small", "s", 1001), 0);
	request = (struct history_request){.topic = SLICE("small"), .limit = HISTORY_LIMIT};
	ck_assert_int_eq(history_read(&w.hubs[0], &request, on_page, &page), 0);
	ck_assert_uint_eq(page.messages, 1000);
	ck_assert(page.more);
	ck_assert_int_eq(world_say_often(&w, "other", "o", 9000), 0);
	request = (struct history_request){.topic = SLICE("small/**"), .limit = 10};
	ck_assert_int_eq(history_read(&w.hubs[0], &request, on_page, &page), 0);
	ck_assert_uint_eq(page.messages, 0);
	ck_assert(!page.more);
	request =
	    (struct history_request){.topic = SLICE("*"), .search = SLICE("s"), .limit = 1001};
	ck_assert_int_eq(history_read(&w.hubs[0], &request, on_page, &page), 0);
	ck_assert_uint_eq(page.messages, 1001);
	ck_assert(!page.more); /* though the limit was reached before the scan was */
	world_done(&w);
}
END_TEST

START_TEST(no_memory)
{
	struct world w;
	struct peer p;
	long n;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	for (int i = 1; i <= 100; i++)
		SAY("a", "m");
	for (n = 1;; n++) {
		long blocks = mem_blocks();
		const char *got;

		mem_fail_at(n);
		peer_do(&p, "{'type':'history','topic':'a','limit':90,'ref':'r'}");
		if (mem_fail_is_pending())
			break;
		mem_fail_at(0);
		got = peer_take(&p);
		ck_assert_msg(strcmp(got, "error(\"r\") unavailable") == 0 ||
				  (strncmp(got, "history(\"r\") a [#11,", 20) == 0 &&
				      strstr(got, "#100] more") != NULL),
		    "%ld: %s", n, got);
		ck_assert_int_eq(mem_blocks(), blocks);
		ck_assert_uint_eq(p.session.caller.n_pending, 0);
		ck_assert_int_lt(n, 200);
	}
	mem_fail_at(0);
	ck_assert_int_gt(n, 3);
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {pages, long_question, titles, of_a_room, records_are_no_more,
	    fields, by_time, big_ones, no_memory, NULL};

	return world_run_tests("history", tests, NULL);
}
