/* core/command: the table, the fields of each command, what is refused and by which code. */
#include "core/command.h"

#include <string.h>

#include "tests/unit/mem_faults.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define GOT(p, text) ck_assert_str_eq(peer_take(p), text)

static const struct {
	const char *text;
	const char *answer;
} alone[] = {
    /* before anything is joined */
    {"", "error bad_json"},
    {"{", "error bad_json"},
    {"hi", "error bad_json"},
    {"{'type':'ping'} x", "error bad_json"},
    {"{'type':'ping','type':'ping'}", "error bad_json"},
    {"[]", "error bad_request"},
    {"'ping'", "error bad_request"},
    {"null", "error bad_request"},
    {"{}", "error bad_field"},
    {"{'type':5}", "error bad_field"},
    {"{'type':null}", "error bad_field"},
    {"{'type':'dance'}", "error unknown_type"},
    {"{'type':''}", "error unknown_type"},
    {"{'type':'dance','ref':'r'}", "error(\"r\") unknown_type"},
    {"{'type':'ping','ref':{}}", "error bad_field"},
    {"{'type':'ping','ref':true}", "error bad_field"},
    {"{'type':'ping','ref':null}", "pong"},
    {"{'type':'ping','ref':-1.5e3}", "pong(-1.5e3)"},
    {"{'type':'PING','ref':'\\u0041'}", "pong(\"\\u0041\")"},
    {"{'type':'join'}", "error bad_field"},
    {"{'type':'join','room':5}", "error bad_field"},
    {"{'type':'join','room':''}", "error bad_field"},
    {"{'type':'join','room':'a/b'}", "error bad_field"},
    {"{'type':'join','room':'*'}", "error bad_field"},
    {"{'type':'join','room':'**'}", "error bad_field"},
    {"{'type':'join','room':'a\\nb'}", "error bad_field"},
    {"{'type':'join','room':'x','last':-1}", "error bad_field"},
    {"{'type':'join','room':'x','last':1.5}", "error bad_field"},
    {"{'type':'join','room':'x','after':{}}", "error bad_field"},
    {"{'type':'join','room':'private'}", "error insufficient_scope"},
    {"{'type':'leave'}", "error not_joined"},
    {"{'type':'leave','room':'a'}", "error not_joined"},
    {"{'type':'leave','room':7}", "error bad_field"},
    {"{'type':'chat'}", "error bad_field"},
    {"{'type':'chat','content':5}", "error bad_field"},
    {"{'type':'chat','content':null,'data':null}", "error bad_field"},
    {"{'type':'chat','content':'x','room':'a'}", "error not_joined"},
    {"{'type':'typing'}", "error not_joined"},
    {"{'type':'typing','room':'a'}", "error not_joined"},
    {"{'type':'members'}", "error not_joined"},
    {"{'type':'members','room':'a'}", "error not_joined"},
    {"{'type':'rooms'}", "rooms []"},
    {"{'type':'subscribe'}", "error bad_field"},
    {"{'type':'subscribe','topic':1}", "error bad_field"},
    {"{'type':'subscribe','topic':''}", "error bad_field"},
    {"{'type':'subscribe','topic':'**/a'}", "error bad_field"},
    {"{'type':'subscribe','topic':'**'}", "error insufficient_scope"},
    {"{'type':'subscribe','topic':'user/bob'}", "error insufficient_scope"},
    {"{'type':'unsubscribe'}", "error bad_field"},
    {"{'type':'unsubscribe','topic':'news'}", "error not_joined"},
    {"{'type':'publish'}", "error insufficient_scope"}, /* events.topics */
    {"{'type':'publish','topic':'news'}", "error bad_field"},
    {"{'type':'publish','topic':'private','message':'m'}", "error insufficient_scope"},
    {"{'type':'publish','topic':'server/x','message':'m'}", "error insufficient_scope"},
    {"{'type':'history'}", "error bad_field"},
    {"{'type':'refresh'}", "error bad_field"},
    {"{'type':'refresh','token':5}", "error bad_field"},
};

static const char *const some[] = {"chat/a", "chat/b", "chat/lobby", "news/*", "news", NULL};

START_TEST(not_joined)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open_as(&w, 0, &p, "ada", some, some));
	for (size_t i = 0; i < ARRAY_LEN(alone); i++) {
		const char *got;

		peer_do(&p, "%s", alone[i].text);
		world_turn(&w);
		got = peer_take(&p);
		ck_assert_msg(strcmp(got, alone[i].answer) == 0, "%s: %s", alone[i].text, got);
		ck_assert_uint_eq(p.session.caller.n_pending, 0);
		ck_assert_ptr_null(p.session.who.subs);
	}
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

static const struct {
	const char *text;
	const char *answer;
} joined[] = {
    {"{'type':'chat','content':''}", "error bad_field"},
    {"{'type':'chat','content':' \\n'}", "error bad_field"},
    {"{'type':'chat','content':'x','key':5}", "error bad_field"},
    {"{'type':'chat','content':'x','reply_to':'5'}", "error bad_field"},
    {"{'type':'chat','content':'x','reply_to':-5}", "error bad_field"},
    {"{'type':'chat','content':'x','room':'b'}", "error not_joined"},
    {"{'type':'chat','content':'x','room':'a/b'}", "error bad_field"},
    {"{'type':'chat','content':'x','key':"
     "'12345678901234567890123456789012345678901234567890123456789012345'}",
	"error bad_field"},
    {"{'type':'chat','content':'x','key':'a\\nb'}", "error bad_field"},
    {"{'type':'typing','typing':'yes'}", "error bad_field"},
    {"{'type':'typing','typing':false}", ""},
    {"{'type':'members','room':[]}", "error bad_field"},
    {"{'type':'members','ref':9}", "members(9) a 1 [ada]"},
    {"{'type':'rooms'}", "rooms [a]"},
    {"{'type':'chat','data':[1],'unknown':{'x':[]}}", "ack #1"},
    {"{'type':'Chat','content':'x','room':null,'key':null,'reply_to':12}", "ack #2"},
    {"{'type':'publish','topic':'chat/a','message':'m'}", "ack #3"},
    {"{'type':'publish','topic':'chat/a','message':'m','title':'t'}", "error bad_field"},
    {"{'type':'publish','topic':'chat/a','message':'m','event':'e'}", "error bad_field"},
    {"{'type':'subscribe','topic':'news/*','ref':''}", "subscribed(\"\") news/* #3"},
    {"{'type':'subscribe','topic':'news/*'}", "subscribed news/* #3"},
    {"{'type':'unsubscribe','topic':'news/x'}", "error not_joined"},
    {"{'type':'unsubscribe','topic':'news/*','ref':1}", "unsubscribed(1) news/*"},
    {"{'type':'leave','ref':'z'}", "left(\"z\") a"},
};

START_TEST(in_a_room)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open_as(&w, 0, &p, "ada", some, some));
	peer_do(&p, "{'type':'join','room':'a'}");
	(void)peer_take(&p);
	for (size_t i = 0; i < ARRAY_LEN(joined); i++) {
		const char *got;

		peer_do(&p, "%s", joined[i].text);
		world_turn(&w);
		got = peer_take(&p);
		ck_assert_msg(strcmp(got, joined[i].answer) == 0, "%s: %s", joined[i].text, got);
	}
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* Who may read a room may not always write in it. */
START_TEST(read_only)
{
	static const char *const none[] = {NULL};
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open_as(&w, 0, &p, "ada", some, none));
	peer_do(&p, "{'type':'join','room':'a'}");
	peer_do(&p, "{'type':'chat','content':'x','ref':1}");
	peer_do(&p, "{'type':'typing','ref':2}");
	peer_do(&p, "{'type':'publish','topic':'news/x','message':'x'}");
	GOT(&p, "joined a 1 [ada] #0; error(1) insufficient_scope; error(2) insufficient_scope; "
		"error insufficient_scope");
	peer_close(&p, false);
	/* and who may do neither in the default room is told, and is not in it */
	ck_assert(peer_open_as(&w, 0, &p, "eve", none, none));
	peer_do(&p, "{'type':'chat','content':'x'}");
	GOT(&p, "error insufficient_scope");
	ck_assert_uint_eq(log_rooms(w.log), 0);
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

START_TEST(refs)
{
	char ref[300];
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	memset(ref, 'r', sizeof(ref));
	peer_do(&p, "{'type':'ping','ref':'%.254s'}", ref);
	ck_assert(strncmp(peer_take(&p), "pong(\"rrr", 9) == 0);
	peer_do(&p, "{'type':'ping','ref':'%.255s'}", ref);
	GOT(&p, "error bad_field");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

START_TEST(too_large)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	w.config->limits.message = 10;
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'publish','topic':'a','message':'1234567890'}");
	peer_do(&p, "{'type':'publish','topic':'a','message':'12345678901'}");
	peer_do(&p, "{'type':'publish','topic':'a','message':'12345','data':'12345'}");
	world_turn(&w);
	GOT(&p, "error too_large; error too_large; ack #1");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {not_joined, in_a_room, read_only, refs, too_large, NULL};

	return world_run_tests("command", tests, NULL);
}
