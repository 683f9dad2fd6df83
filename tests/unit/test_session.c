/* core/session and the rest of a chat: joining, talking, leaving, several tabs of one user. */
#include "core/presence.h"
#include "core/session.h"

#include <stdio.h>

#include "tests/unit/mem_faults.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define GOT(p, text) ck_assert_str_eq(peer_take(p), text)

START_TEST(join_chat_leave)
{
	long blocks = mem_blocks();
	struct world w;
	struct peer ada;
	struct peer bob;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &ada, "ada"));
	ck_assert(peer_open(&w, 0, &bob, "bob"));
	peer_do(&ada, "{'type':'join','room':'a','ref':1}");
	world_turn(&w);
	GOT(&ada, "joined(1) a 1 [ada] #0");
	peer_do(&bob, "{'type':'Join','room':'a','last':0,'what':['ever']}");
	world_turn(&w);
	GOT(&bob, "joined a 2 [ada,bob] #0");
	GOT(&ada, "+bob");
	peer_do(&ada, "{'type':'chat','content':'hi','ref':'x'}");
	peer_do(&ada, "{'type':'chat','room':'a','content':'there'}");
	GOT(&ada, ""); /* an answer comes when it is in the log and delivered */
	world_turn(&w);
	GOT(&ada, "ack(\"x\") #1; ack #2");
	GOT(&bob, "chat/a#1 ada: hi; chat/a#2 ada: there");
	peer_do(&bob, "{'type':'typing'}");
	world_turn(&w);
	GOT(&ada, "typing bob");
	GOT(&bob, "");
	peer_do(&bob, "{'type':'leave','room':'a'}");
	world_turn(&w);
	GOT(&bob, "left a");
	GOT(&ada, "typing bob no more; -bob");
	peer_do(&bob, "{'type':'chat','room':'a','content':'?'}");
	GOT(&bob, "error not_joined");
	peer_close(&ada, false);
	peer_close(&bob, false);
	ck_assert_uint_eq(log_rooms(w.log), 0);
	world_done(&w);
	ck_assert_int_eq(mem_blocks(), blocks);
}
END_TEST

START_TEST(stored_on_joining)
{
	struct world w;
	struct peer ada;
	struct peer eve;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &ada, "ada"));
	ck_assert(peer_open(&w, 0, &eve, "eve"));
	peer_do(&ada, "{'type':'join','room':'a'}");
	for (int i = 0; i < 3; i++)
		peer_do(&ada, "{'type':'chat','content':'m%d'}", i);
	world_turn(&w);
	(void)peer_take(&ada);
	/* one's own are not sent live, but what is asked for has them */
	peer_do(&ada, "{'type':'join','room':'a','last':2}");
	peer_do(&ada, "{'type':'chat','content':'m3'}");
	world_turn(&w);
	GOT(&ada, "joined a 1 [ada] #3; chat/a#2 ada: m1; chat/a#3 ada: m2; ack #4");
	/* joining again without a question only answers */
	peer_do(&ada, "{'type':'join','room':'a'}");
	world_turn(&w);
	GOT(&ada, "joined a 1 [ada] #4");
	peer_do(
	    &eve, "{'type':'join','room':'a','after':%llu}", (unsigned long long)world_id(&w, 2));
	world_turn(&w);
	GOT(&eve, "joined a 2 [ada,eve] resumed #4; chat/a#3 ada: m2; chat/a#4 ada: m3");
	peer_do(&eve, "{'type':'join','room':'b'}");
	world_turn(&w);
	GOT(&eve, "joined b 1 [eve] #4"); /* an empty room: the log's last id */
	peer_close(&ada, false);
	peer_close(&eve, false);
	world_done(&w);
}
END_TEST

START_TEST(tabs)
{
	struct world w;
	struct peer tab[3];
	struct peer bob;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &bob, "bob"));
	peer_do(&bob, "{'type':'join','room':'a'}");
	for (int i = 0; i < 3; i++) {
		ck_assert(peer_open(&w, 0, &tab[i], "ada"));
		peer_do(&tab[i], "{'type':'join','room':'a'}");
	}
	world_turn(&w);
	GOT(&bob, "joined a 1 [bob] #0; +ada");
	GOT(&tab[2], "joined a 2 [bob,ada] #0");
	peer_do(&tab[0], "{'type':'chat','content':'hi'}");
	(void)peer_take(&tab[0]);
	world_turn(&w);
	GOT(&tab[0], "ack #1");
	GOT(&tab[1], "joined a 2 [bob,ada] #0; chat/a#1 ada: hi");
	GOT(&bob, "chat/a#1 ada: hi");
	peer_do(&tab[0], "{'type':'leave'}");
	peer_close(&tab[1], true);
	presence_expire(w.log, w.now_ms);
	world_turn(&w);
	GOT(&bob, "");
	peer_close(&tab[2], true);
	presence_expire(w.log, w.now_ms + 4999);
	world_turn(&w);
	GOT(&bob, ""); /* the grace */
	peer_do(&tab[0], "{'type':'join','room':'a'}");
	presence_expire(w.log, w.now_ms + 6000);
	world_turn(&w);
	GOT(&bob, "");
	peer_close(&tab[0], true);
	presence_expire(w.log, w.now_ms + 5000);
	world_turn(&w);
	GOT(&bob, "-ada");
	peer_close(&bob, false);
	ck_assert_uint_eq(log_rooms(w.log), 0);
	world_done(&w);
}
END_TEST

START_TEST(presence_off)
{
	struct world w;
	struct peer ada;
	struct peer bob;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &ada, "ada"));
	ck_assert(peer_open(&w, 0, &bob, "bob"));
	peer_do(&ada, "{'type':'join','room':'quiet'}");
	peer_do(&bob, "{'type':'join','room':'quiet'}");
	peer_do(&bob, "{'type':'members','room':'quiet'}");
	peer_do(&bob, "{'type':'chat','content':'psst'}");
	world_turn(&w);
	GOT(&bob, "joined quiet 0 [] #0; members quiet 0 []; ack #1");
	GOT(&ada, "joined quiet 0 [] #0; chat/quiet#1 bob: psst");
	peer_close(&ada, false);
	peer_close(&bob, true);
	world_done(&w);
}
END_TEST

/* A reload that turns presence on or off while somebody is inside. */
START_TEST(presence_changed)
{
	static const struct world_rule on[] = {{"**", 10, 0, true}};
	static const struct world_options with = {.rules = on, .n_rules = 1};
	struct world w;
	struct peer ada;
	struct peer tab;
	char match[] = "chat/*";

	ck_assert(world_init(&w, &with));
	ck_assert(peer_open(&w, 0, &ada, "ada"));
	peer_do(&ada, "{'type':'join','room':'a'}");
	w.config->topics[0].presence = false;
	peer_do(&ada, "{'type':'leave','room':'a'}");
	ck_assert_uint_eq(log_rooms(w.log), 0);
	peer_do(&ada, "{'type':'join','room':'a'}"); /* not counted */
	w.config->topics[0].presence = true;
	ck_assert(peer_open(&w, 0, &tab, "ada"));
	peer_do(&tab, "{'type':'join','room':'a'}");
	peer_do(&ada, "{'type':'leave','room':'a'}");
	ck_assert_uint_eq(log_rooms(w.log), 1); /* the tab is still there */
	ck_assert_str_eq(match, "chat/*");
	peer_close(&ada, false);
	peer_close(&tab, false);
	ck_assert_uint_eq(log_rooms(w.log), 0);
	world_done(&w);
}
END_TEST

START_TEST(default_room)
{
	struct world w;
	struct peer ada;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &ada, "ada"));
	peer_do(&ada, "{'type':'chat','content':'hi'}");
	world_turn(&w);
	GOT(&ada, "joined lobby 1 [ada] #0; ack #1");
	peer_do(&ada, "{'type':'join','room':'b','last':0}");
	peer_do(&ada, "{'type':'chat','content':'which?'}");
	GOT(&ada, "joined b 1 [ada] #1; error bad_field");
	command_say(&ada.session, &ada.session.caller, SLICE("plain"));
	GOT(&ada, "error bad_field");
	peer_do(&ada, "{'type':'leave','room':'b'}");
	command_say(&ada.session, &ada.session.caller, SLICE("plain"));
	world_turn(&w);
	GOT(&ada, "left b; ack #2");
	peer_close(&ada, false);
	world_done(&w);
}
END_TEST

START_TEST(limits)
{
	struct world w;
	struct peer ada;

	ck_assert(world_init(&w, NULL));
	w.config->limits.rooms_per_connection = 2;
	w.config->limits.messages_per_second = 1;
	w.config->limits.burst = 5;
	ck_assert(peer_open(&w, 0, &ada, "ada"));
	peer_do(&ada, "{'type':'join','room':'a','last':0}");
	peer_do(&ada, "{'type':'subscribe','topic':'x'}");
	peer_do(&ada, "{'type':'join','room':'c'}");
	peer_do(&ada, "{'type':'join','room':'a'}"); /* again: no further one */
	peer_do(&ada, "{'type':'ping'}");
	GOT(&ada,
	    "joined a 1 [ada] #0; subscribed x #0; error too_many; joined a 1 [ada] #0; pong");
	peer_do(&ada, "{'type':'ping','ref':'r1'}");
	peer_do(&ada, "{'type':'ping','ref':[1]}");
	peer_do(&ada, "{'type':'ping','ref':-1.5}");
	peer_do(&ada, "{'type'");
	GOT(&ada,
	    "error(\"r1\") rate_limited; error rate_limited; error(-1.5) rate_limited; error rate_limited");
	ck_assert(!command_is_flooding(&ada.session));
	world_pass(&w, 1000);
	peer_do(&ada, "{'type':'ping'}");
	GOT(&ada, "pong");
	for (int i = 0; i < 1000; i++)
		peer_do(&ada, "{'type':'ping'}");
	ck_assert(command_is_flooding(&ada.session));
	peer_close(&ada, false);
	world_done(&w);
}
END_TEST

/* 0 is off: more than 65,535 of them are counted, found and left again. */
START_TEST(rooms_without_limit)
{
	struct world w;
	struct peer ada;
	char text[64];
	unsigned n = 0;

	ck_assert(world_init(&w, NULL));
	w.config->limits.rooms_per_connection = 0;
	ck_assert(peer_open(&w, 0, &ada, "ada"));
	for (; n < 66000; n++) {
		(void)snprintf(text, sizeof(text), "{'type':'%s','%s':'r%u','last':0}",
		    n % 2 == 0 ? "subscribe" : "join", n % 2 == 0 ? "topic" : "room", n);
		peer_do(&ada, "%s", text);
		ck_assert(!ada.has_error);
		if (n % 100 == 0)
			(void)peer_take(&ada);
	}
	ck_assert_uint_eq(ada.session.who.n_rooms, n / 2);
	ck_assert_uint_eq(peer_topics(&ada), n / 2);
	ck_assert_uint_eq(counter_get(&w.counters[0], COUNTER_SUBSCRIPTIONS), n);
	(void)peer_take(&ada);
	w.config->limits.rooms_per_connection = n; /* as many as there are */
	peer_do(&ada, "{'type':'join','room':'r1'}");
	peer_do(&ada, "{'type':'join','room':'more'}");
	peer_do(&ada, "{'type':'leave','room':'r65999'}");
	peer_do(&ada, "{'type':'join','room':'more'}");
	peer_do(&ada, "{'type':'unsubscribe','topic':'r0'}");
	GOT(&ada,
	    "joined r1 1 [ada] #0; error too_many; left r65999; joined more 1 [ada] #0; unsubscribed r0");
	peer_close(&ada, false);
	ck_assert_uint_eq(counter_get(&w.counters[0], COUNTER_SUBSCRIPTIONS), 0);
	world_done(&w);
}
END_TEST

static struct claims *next_claims;

static int
give_claims(struct hub *h, struct slice token, struct claims **out, struct refusal *why)
{
	(void)h;
	if (!slice_eq(token, SLICE("good")))
		return refuse(why, ERROR_INVALID_TOKEN, "bad");
	*out = next_claims;
	return 0;
}

START_TEST(refresh)
{
	static const char *const some[] = {"chat/a", "news", NULL};
	struct world w;
	struct peer ada;
	struct peer bob;

	ck_assert(world_init(&w, NULL));
	w.hubs[0].verify = give_claims;
	ck_assert(peer_open(&w, 0, &ada, "ada"));
	ck_assert(peer_open(&w, 0, &bob, "bob"));
	peer_do(&bob, "{'type':'join','room':'b'}");
	peer_do(&ada, "{'type':'join','room':'a'}");
	peer_do(&ada, "{'type':'join','room':'b'}");
	peer_do(&ada, "{'type':'subscribe','topic':'news'}");
	peer_do(&ada, "{'type':'subscribe','topic':'**'}");
	world_turn(&w);
	(void)peer_take(&ada);
	(void)peer_take(&bob);
	peer_do(&ada, "{'type':'refresh','token':'bad'}");
	GOT(&ada, "error invalid_token");
	next_claims = world_claims("eve", some, some);
	peer_do(&ada, "{'type':'refresh','token':'good'}");
	GOT(&ada, "error forbidden");
	ck_assert(!ada.token_changed);
	next_claims = world_claims("ada", some, some);
	peer_do(&ada, "{'type':'refresh','token':'good','ref':7}");
	world_turn(&w);
	GOT(&ada, "unsubscribed ** for a reason; left b for a reason; refreshed(7)");
	GOT(&bob, "-ada");
	ck_assert(ada.token_changed);
	ck_assert_uint_eq(ada.session.who.n_rooms, 1);
	ck_assert_uint_eq(peer_topics(&ada), 1);
	peer_do(&ada, "{'type':'refresh'}");
	GOT(&ada, "error bad_field");
	peer_close(&ada, false);
	peer_close(&bob, false);
	world_done(&w);
}
END_TEST

/* A topic that was subscribed and then joined is counted as one, and each ends without the other. */
START_TEST(subscribe_then_join)
{
	struct world w;
	struct peer ada;
	struct peer bob;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &ada, "ada"));
	ck_assert(peer_open(&w, 0, &bob, "bob"));
	peer_do(&ada, "{'type':'subscribe','topic':'chat/a'}");
	peer_do(&bob, "{'type':'join','room':'a'}");
	peer_do(&bob, "{'type':'chat','content':'1'}");
	world_turn(&w);
	GOT(&ada, "subscribed chat/a #0; chat/a#1 bob: 1"); /* no presence for who only listens */
	peer_do(&ada, "{'type':'chat','room':'a','content':'2'}");
	GOT(&ada, "error not_joined");
	peer_do(&ada, "{'type':'join','room':'a','last':0}");
	world_turn(&w);
	GOT(&ada, "joined a 2 [bob,ada] #1");
	ck_assert_uint_eq(ada.session.who.n_rooms, 1);
	ck_assert_uint_eq(peer_topics(&ada), 0);
	peer_do(&ada, "{'type':'unsubscribe','topic':'chat/a'}");
	GOT(&ada, "unsubscribed chat/a");
	peer_do(&ada, "{'type':'unsubscribe','topic':'chat/a'}");
	GOT(&ada, "error not_joined");
	peer_do(&bob, "{'type':'chat','content':'3'}");
	peer_do(&ada, "{'type':'subscribe','topic':'chat/a'}");
	GOT(&ada, "chat/a#2 bob: 3; subscribed chat/a #2");
	peer_do(&ada, "{'type':'leave','room':'a'}");
	GOT(&ada, "left a");
	ck_assert_uint_eq(ada.session.who.n_rooms, 0);
	ck_assert_uint_eq(peer_topics(&ada), 1);
	peer_do(&bob, "{'type':'chat','content':'4'}");
	world_turn(&w);
	GOT(&ada, "chat/a#3 bob: 4");
	peer_do(&ada, "{'type':'unsubscribe','topic':'chat/a'}");
	GOT(&ada, "unsubscribed chat/a");
	ck_assert_ptr_null(ada.session.who.subs);
	peer_close(&ada, false);
	peer_close(&bob, false);
	world_done(&w);
}
END_TEST

/* What is under way when its sender goes is appended all the same. */
START_TEST(gone_before_the_ack)
{
	struct world w;
	struct peer ada;
	struct peer bob;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &ada, "ada"));
	ck_assert(peer_open(&w, 0, &bob, "bob"));
	peer_do(&ada, "{'type':'join','room':'a'}");
	peer_do(&bob, "{'type':'join','room':'a'}");
	peer_do(&ada, "{'type':'chat','content':'last words'}");
	ck_assert_uint_eq(ada.session.caller.n_pending, 1);
	peer_close(&ada, false);
	world_turn(&w);
	GOT(&bob, "joined a 2 [ada,bob] #0; chat/a#1 ada: last words; -ada");
	peer_close(&bob, false);
	world_done(&w);
}
END_TEST

/* One's own messages are passed in the log, level or behind; what is asked for has them. */
START_TEST(own_messages)
{
	struct world w;
	struct peer ada;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &ada, "ada"));
	peer_hear_own(&ada);
	peer_do(&ada, "{'type':'join','room':'a'}");
	peer_do(&ada, "{'type':'subscribe','topic':'chat/*'}");
	peer_do(&ada, "{'type':'chat','content':'1'}");
	world_turn(&w);
	GOT(&ada, "joined a 1 [ada] #0; subscribed chat/* #0; own #1; ack #1");
	ada.room = 1;
	ck_assert_int_eq(world_say(&w, "chat/a", "2"), 0);
	ck_assert_int_eq(world_say(&w, "chat/a", "3"), 0);
	world_turn(&w);
	peer_do(&ada, "{'type':'chat','content':'4'}");
	ck_assert_int_eq(world_say(&w, "chat/a", "5"), 0);
	world_turn(&w);
	GOT(&ada, "chat/a#2 someone: 2; ack #4");
	ada.room = 100;
	peer_drain(&ada);
	world_turn(&w);
	GOT(&ada, "chat/a#3 someone: 3; own #4; chat/a#5 someone: 5");
	peer_do(&ada, "{'type':'join','room':'a','last':2}");
	GOT(&ada, "joined a 1 [ada] #5; chat/a#4 ada: 4; chat/a#5 someone: 5");
	peer_close(&ada, false);
	world_done(&w);
}
END_TEST

/* A store that fails after it has taken a message. */
START_TEST(failed_later)
{
	static const struct world_options two = {.n_hubs = 2};
	long blocks = mem_blocks();
	struct world w;
	struct peer ada;
	struct peer bob;

	ck_assert(world_init(&w, &two));
	ck_assert(peer_open(&w, 0, &ada, "ada"));
	ck_assert(peer_open(&w, 1, &bob, "bob"));
	peer_do(&bob, "{'type':'join','room':'a'}");
	peer_do(&ada, "{'type':'join','room':'a'}");
	world_turn(&w);
	(void)peer_take(&ada);
	(void)peer_take(&bob);
	w.store->append_status = -5;
	peer_do(&ada, "{'type':'chat','content':'lost','ref':1}");
	peer_do(&bob, "{'type':'chat','content':'lost'}");
	peer_close(&bob, true); /* nobody is left to hear it */
	world_turn(&w);
	GOT(&ada, "error(1) unavailable");
	ck_assert_uint_eq(ada.session.caller.n_pending, 0);
	w.store->append_status = 0;
	peer_do(&ada, "{'type':'chat','content':'kept','ref':2}");
	world_turn(&w);
	GOT(&ada, "ack(2) #1");
	peer_close(&ada, false);
	world_done(&w);
	ck_assert_int_eq(mem_blocks(), blocks);
}
END_TEST

START_TEST(errors)
{
	struct refusal r;
	struct buf b = BUF_INIT(1000);

	(void)refuse_limit(&r, ERROR_RATE_LIMITED, "limits.x", 3, "too \"fast\"");
	ck_assert_int_eq(session_error(&b, &r, SLICE("\"a\"")), 0);
	ck_assert(slice_eq(buf_slice(&b),
	    SLICE("{\"type\":\"error\",\"ref\":\"a\",\"code\":\"rate_limited\","
		  "\"message\":\"too \\\"fast\\\"\",\"limit\":\"limits.x\",\"retry_after\":3}")));
	buf_reset(&b);
	(void)refuse(&r, ERROR_BAD_FIELD, "x");
	ck_assert_int_eq(session_error(&b, &r, SLICE_NONE), 0);
	ck_assert(slice_eq(
	    buf_slice(&b), SLICE("{\"type\":\"error\",\"code\":\"bad_field\",\"message\":\"x\"}")));
	buf_done(&b);
}
END_TEST

START_TEST(welcome)
{
	struct buf b = BUF_INIT(4096);
	struct world w;
	struct peer ada;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &ada, "ada"));
	ada.session.claims->exp = 1234;
	ck_assert_int_eq(session_welcome(&b, &ada.session, SLICE("s1")), 0);
	ck_assert_int_eq(buf_add_char(&b, '\0'), 0);
	ck_assert_str_eq(b.p,
	    "{\"type\":\"welcome\",\"user\":{\"id\":\"ada\",\"name\":\"ada\"},\"role\":\"user\","
	    "\"direct\":true,\"session\":\"s1\","
	    "\"time\":1700000000000,\"heartbeat\":30,\"limits\":{\"message\":65536,\"queue\":262144,"
	    "\"rooms_per_connection\":10,\"messages_per_second\":0,\"burst\":0,\"in_flight\":64,"
	    "\"edit_window\":0},"
	    "\"expires\":1234}");
	buf_done(&b);
	peer_close(&ada, false);
	world_done(&w);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {join_chat_leave, stored_on_joining, tabs, presence_off,
	    presence_changed, default_room, limits, rooms_without_limit, refresh,
	    subscribe_then_join, gone_before_the_ack, own_messages, failed_later, errors, welcome,
	    NULL};

	return world_run_tests("session", tests, NULL);
}
