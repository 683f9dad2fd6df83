/* core/change, core/command_change, core/mention and what the stores make of it: messages that change, direct ones. */
#include "core/change.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/known_name.h"
#include "core/mention.h"
#include "proto/json.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define GOT(p, text) ck_assert_str_eq(peer_take(p), text)

/* --- without a store: what a record makes of its target --- */

static const struct topic_rule kept = {.history = 10};
static const struct message_from ada = {{"ada", 3}, {"Ada", 3}};
static const struct message_from bob = {{"b\"b", 3}, {"Bob", 3}};

static struct message *
chat(struct message_chat in)
{
	struct message *m;

	in.from = ada;
	if (in.topic.p == NULL)
		in.topic = SLICE("chat/a");
	m = message_chat(&in, &kept, 1000, 7);
	ck_assert_ptr_nonnull(m);
	message_commit(m, 1700000000000001);
	return m;
}

/* Applies a change to *m, which becomes what it makes of it. */
static int
apply(struct message **m, struct message_change in)
{
	struct message *record;
	struct message *now = NULL;
	int r;

	in.target = *m;
	if (in.user.user_id.p == NULL)
		in.user = ada;
	record = change_record(&in, &kept, 2000, 7);
	ck_assert_ptr_nonnull(record);
	message_commit(record, 1700000000000002);
	ck_assert_int_eq(json_check(record->json, NULL), 0);
	r = change_apply(*m, record, &now);
	if (r == 0) {
		ck_assert_int_eq(json_check(now->json, NULL), 0);
		ck_assert_uint_eq(now->id, (*m)->id);
		ck_assert_uint_eq(now->origin, (*m)->origin);
		ck_assert_int_eq(now->time_ms, (*m)->time_ms);
		ck_assert(now->is_logged);
		message_unref(*m);
		*m = now;
	}
	message_unref(record);
	return r;
}

#define HAS(m, text)                                                                               \
	ck_assert_msg(memmem((m)->json.p, (m)->json.n, text, strlen(text)) != NULL, "%.*s has %s", \
	    SLICE_ARG((m)->json), text)
#define HAS_NOT(m, text) ck_assert_ptr_null(memmem((m)->json.p, (m)->json.n, text, strlen(text)))

START_TEST(edited)
{
	struct message *m = chat((struct message_chat){.content = SLICE("one"),
	    .data = SLICE("{\"x\":1}"),
	    .key = SLICE("k"),
	    .reply_to = 5,
	    .mentions = SLICE("[\"x\"]")});

	ck_assert_int_eq(
	    apply(&m, (struct message_change){.kind = MESSAGE_EDITED, .content = SLICE("two\n\"")}),
	    0);
	HAS(m, "\"content\":\"two\\n\\\"\",\"data\":{\"x\":1},\"time\":1000,\"key\":\"k\","
	       "\"reply_to\":5,\"edited\":2000}");
	HAS_NOT(m, "mentions");
	ck_assert(slice_eq(m->content, SLICE("two\n\"")) && slice_eq(m->key, SLICE("k")));
	ck_assert_int_eq(apply(&m, (struct message_change){.kind = MESSAGE_EDITED,
				       .data = SLICE("[\n2]"),
				       .mentions = SLICE("[\"y\"]")}),
	    0);
	HAS(m, "\"content\":\"two\\n\\\"\",\"data\":[ 2],");
	HAS_NOT(m, "mentions"); /* they are of the content */
	message_unref(m);
}
END_TEST

START_TEST(deleted)
{
	struct message *m = chat((struct message_chat){.content = SLICE("secret"),
	    .data = SLICE("\"secret\""),
	    .key = SLICE("secret"),
	    .reply_to = 5});

	ck_assert(change_is_for(m));
	ck_assert_int_eq(
	    apply(&m, (struct message_change){.kind = MESSAGE_REACTION, .emoji = SLICE("secret")}),
	    0);
	ck_assert_int_eq(apply(&m, (struct message_change){.kind = MESSAGE_DELETED}), 0);
	ck_assert(slice_eq(m->json,
	    SLICE("{\"type\":\"chat\",\"id\":1700000000000001,\"room\":\"a\",\"from\":{\"id\":"
		  "\"ada\",\"name\":\"Ada\"},\"time\":1000,\"deleted\":true}")));
	ck_assert(m->is_deleted && !change_is_for(m) && !message_is_counted(m));
	ck_assert_uint_eq(m->content.n + m->key.n, 0);
	message_unref(m);
}
END_TEST

static int
react(struct message **m, struct message_from user, const char *emoji, bool is_off)
{
	return apply(m, (struct message_change){.kind = MESSAGE_REACTION,
			    .user = user,
			    .emoji = slice_str(emoji),
			    .is_off = is_off});
}

START_TEST(reactions)
{
	struct message *m = chat((struct message_chat){.content = SLICE("x")});
	char emoji[16];

	ck_assert_int_eq(react(&m, ada, "\"\\", false), 0);
	ck_assert_int_eq(react(&m, bob, "👍", false), 0);
	ck_assert_int_eq(react(&m, bob, "\"\\", false), 0);
	HAS(m, "\"reactions\":[{\"emoji\":\"\\\"\\\\\",\"count\":2,\"users\":[\"ada\",\"b\\\"b\"]},"
	       "{\"emoji\":\"👍\",\"count\":1,\"users\":[\"b\\\"b\"]}]}");
	ck_assert_int_eq(react(&m, ada, "\"\\", true), 0);
	ck_assert_int_eq(react(&m, bob, "👍", true), 0);
	HAS(m, "\"reactions\":[{\"emoji\":\"\\\"\\\\\",\"count\":1,\"users\":[\"b\\\"b\"]}]}");
	ck_assert_int_eq(react(&m, bob, "\"\\", true), 0);
	HAS_NOT(m, "reactions");
	for (unsigned i = 0; i < CHANGE_REACTIONS_MAX; i++) {
		(void)snprintf(emoji, sizeof(emoji), "e%u", i);
		ck_assert_int_eq(react(&m, ada, emoji, false), 0);
	}
	ck_assert_int_eq(react(&m, ada, "one more", false), -EOVERFLOW);
	ck_assert_int_eq(react(&m, bob, "e7", false), 0);
	message_unref(m);
}
END_TEST

START_TEST(reactions_of_many)
{
	struct message *m = chat((struct message_chat){.content = SLICE("x")});
	char id[16];

	for (unsigned i = 0; i < 30; i++) {
		(void)snprintf(id, sizeof(id), "u%02u", i);
		ck_assert_int_eq(
		    react(&m, (struct message_from){slice_str(id), slice_str(id)}, "x", false), 0);
	}
	HAS(m, "\"count\":30,\"users\":[\"u00\",");
	HAS(m, "\"u19\"]}]");
	ck_assert_int_eq(react(&m, (struct message_from){SLICE("u25"), SLICE("x")}, "x", true), 0);
	ck_assert_int_eq(react(&m, (struct message_from){SLICE("u03"), SLICE("x")}, "x", true), 0);
	HAS(m, "\"count\":28,");
	HAS_NOT(m, "u03");
	ck_assert_int_eq(react(&m, ada, "x", false), 0);
	HAS(m, "\"u19\",\"ada\"]}]");
	message_unref(m);
}
END_TEST

START_TEST(direct_parts)
{
	struct message *m = chat((struct message_chat){.topic = SLICE("user/b%2Fb"),
	    .also = SLICE("user/ada"),
	    .to = SLICE("\"b/b\""),
	    .content = SLICE("psst")});
	struct buf to = BUF_INIT(100);

	ck_assert_int_eq(change_receiver(m, &to), 0);
	ck_assert(slice_eq(buf_slice(&to), SLICE("b/b")));
	buf_done(&to);
	ck_assert(slice_eq(message_also(m), SLICE("user/ada")));
	ck_assert_int_eq(
	    apply(&m, (struct message_change){.kind = MESSAGE_EDITED, .content = SLICE("x")}), 0);
	HAS(m, "{\"type\":\"direct\",\"id\":1700000000000001,\"to\":\"b/b\",\"from\":");
	ck_assert(slice_eq(message_also(m), SLICE("user/ada")) && m->kind == MESSAGE_DIRECT);
	message_unref(m);
}
END_TEST

START_TEST(keys)
{
	struct message *m = chat((struct message_chat){.content = SLICE("x")});
	struct message_change in = {.kind = MESSAGE_REACTION, .target = m, .user = ada};
	char a[CHANGE_KEY_MAX];
	char b[CHANGE_KEY_MAX];
	struct message *one;
	struct message *two;

	in.emoji = SLICE("x");
	one = change_record(&in, &kept, 1, 0);
	in.is_off = true;
	two = change_record(&in, &kept, 2, 0);
	ck_assert(slice_eq(change_key(one, a), change_key(two, b)));
	message_unref(two);
	in.emoji = SLICE("xa");
	two = change_record(&in, &kept, 2, 0);
	ck_assert(!slice_eq(change_key(one, a), change_key(two, b)));
	message_unref(two);
	in.kind = MESSAGE_EDITED;
	two = change_record(&in, &kept, 2, 0);
	ck_assert(!slice_eq(change_key(one, a), change_key(two, b)));
	message_unref(two);
	message_unref(one);
	message_unref(m);
}
END_TEST

/* --- with the stores --- */

static const struct world_rule rules[] = {
    {"chat/few", 3, 0, true},
    {"chat/old", 1000, 60000, true},
    {"user/bob", 2, 0, false},
    {"chat/*", 1000, 0, true},
    {"**", 1000, 0, false},
};
static const struct world_options options = {
    .n_hubs = 2, .rules = rules, .n_rules = ARRAY_LEN(rules)};
static const char *const some[] = {"chat/*", NULL};

struct scene {
	struct world w;
	struct peer ada; /* may all */
	struct peer bob; /* of the room */
};

static void
begin(struct scene *s, const char *room)
{
	ck_assert(world_init(&s->w, &options));
	ck_assert(peer_open(&s->w, 0, &s->ada, "ada"));
	ck_assert(peer_open_as(&s->w, 1, &s->bob, "bob", some, some));
	peer_do(&s->ada, "{'type':'join','room':'%s'}", room);
	peer_do(&s->bob, "{'type':'join','room':'%s'}", room);
	world_turn(&s->w);
	(void)peer_take(&s->ada);
	(void)peer_take(&s->bob);
}

static void
end(struct scene *s)
{
	peer_close(&s->ada, false);
	peer_close(&s->bob, false);
	world_done(&s->w);
}

/* A request about message #n; more: further members, with a comma before them. */
static void
ask(struct peer *p, const char *type, uint64_t n, const char *more)
{
	peer_do(p, "{'type':'%s','target':%llu%s}", type, (unsigned long long)world_id(p->world, n),
	    more);
	world_turn(p->world);
}

static void
say(struct peer *p, const char *text)
{
	peer_do(p, "{'type':'chat','content':'%s'}", text);
	world_turn(p->world);
}

START_TEST(told)
{
	struct scene s;

	begin(&s, "a");
	say(&s.ada, "one");
	say(&s.bob, "two");
	GOT(&s.ada, "ack #1; chat/a#2 bob: two");
	GOT(&s.bob, "chat/a#1 ada: one; ack #2");
	ask(&s.ada, "edit", 1, ",'content':'uno'");
	ask(&s.bob, "react", 1, ",'emoji':'x'");
	ask(&s.bob, "react", 1, ",'emoji':'x'");
	ask(&s.bob, "react", 1, ",'emoji':'x','on':false");
	ask(&s.bob, "delete", 2, "");
	GOT(&s.ada, "ack #3; chat/a#4 reaction of #1 by bob: x; chat/a#5 reaction no more of #1 by "
		    "bob: x; chat/a#6 deleted of #2 by bob: ");
	GOT(&s.bob, "chat/a#3 edited of #1 by ada: uno; ack #4; ack #4 again; ack #5; ack #6");
	ask(&s.bob, "edit", 1, ",'content':'x'");
	GOT(&s.bob, "error forbidden");
	ask(&s.bob, "edit", 2, ",'content':'x'");
	GOT(&s.bob, "error not_found");
	ask(&s.bob, "delete", 3, "");
	GOT(&s.bob, "error bad_field");
	ask(&s.bob, "react", 9, ",'emoji':'x'");
	GOT(&s.bob, "error not_found");
	peer_do(&s.bob, "{'type':'history','room':'a'}");
	world_turn(&s.w);
	GOT(&s.bob, "history a [#1,#2]");
	end(&s);
}
END_TEST

/* Who resumes is told what became of what he had, and only that; the void ones are gone. */
START_TEST(replayed)
{
	struct scene s;
	struct peer cid;

	begin(&s, "a");
	say(&s.ada, "one");
	say(&s.ada, "two");
	ask(&s.ada, "edit", 1, ",'content':'uno'");
	ask(&s.ada, "edit", 1, ",'content':'une'");
	ask(&s.ada, "edit", 2, ",'content':'due'");
	ask(&s.bob, "react", 1, ",'emoji':'x'");
	ask(&s.bob, "react", 1, ",'emoji':'x','on':false");
	ck_assert(peer_open(&s.w, 0, &cid, "cid"));
	peer_do(&cid, "{'type':'subscribe','topic':'chat/a','after':%llu}",
	    (unsigned long long)world_id(&s.w, 1));
	world_turn(&s.w);
	GOT(&cid,
	    "subscribed chat/a resumed #7; chat/a#2 ada: due; chat/a#4 edited of #1 by ada: une; "
	    "chat/a#7 reaction no more of #1 by bob: x");
	peer_do(&cid, "{'type':'subscribe','topic':'chat/a','last':1}");
	world_turn(&s.w);
	GOT(&cid, "subscribed chat/a #7; chat/a#2 ada: due");
	ask(&s.ada, "delete", 1, "");
	GOT(&cid, "chat/a#8 deleted of #1 by ada: ");
	peer_do(&cid, "{'type':'subscribe','topic':'chat/*','after':%llu}",
	    (unsigned long long)world_id(&s.w, 2));
	world_turn(&s.w);
	GOT(&cid,
	    "subscribed chat/* resumed #8; chat/a#5 edited of #2 by ada: due; chat/a#8 deleted "
	    "of #1 by ada: ");
	peer_do(&cid, "{'type':'subscribe','topic':'chat/a','last':2}");
	world_turn(&s.w);
	/* what was deleted counts: nobody gets more than was asked for */
	GOT(&cid, "subscribed chat/a #8; chat/a#1 ada: ; chat/a#2 ada: due");
	peer_close(&cid, false);
	end(&s);
}
END_TEST

/* Records push nothing out; they go when what is newer goes. */
START_TEST(counted_apart)
{
	struct scene s;
	struct log_extent e;

	begin(&s, "few");
	for (int i = 0; i < 3; i++)
		say(&s.ada, "m");
	for (int i = 0; i < 10; i++) {
		ask(&s.ada, "edit", 1 + (uint64_t)i % 3, ",'content':'n'");
		ask(&s.bob, "react", 1 + (uint64_t)i % 3, i < 5 ? ",'emoji':'x'" : ",'emoji':'y'");
	}
	(void)peer_take(&s.bob);
	peer_do(&s.bob, "{'type':'history','room':'few'}");
	world_turn(&s.w);
	GOT(&s.bob, "history few [#1,#2,#3]");
	say(&s.ada, "m");
	(void)peer_take(&s.bob);
	ask(&s.bob, "react", 1, ",'emoji':'z'");
	GOT(&s.bob, "error not_found");
	for (int i = 0; i < 3; i++)
		say(&s.ada, "m");
	(void)peer_take(&s.bob);
	log_extent(s.w.log, &e);
	ck_assert_uint_eq(e.messages, 3); /* and no record */
	peer_do(&s.bob, "{'type':'join','room':'few','after':%llu}",
	    (unsigned long long)world_id(&s.w, 3));
	world_turn(&s.w);
	ck_assert_ptr_nonnull(strstr(peer_take(&s.bob), "gap"));
	end(&s);
}
END_TEST

START_TEST(kept_as_long)
{
	struct scene s;

	begin(&s, "old");
	say(&s.ada, "m");
	ask(&s.ada, "edit", 1, ",'content':'n'");
	world_pass(&s.w, 59000);
	say(&s.ada, "later");
	world_pass(&s.w, 2000);
	log_sweep(s.w.log, s.w.now_ms);
	world_settle(&s.w);
	world_turn(&s.w);
	(void)peer_take(&s.bob);
	ask(&s.bob, "react", 1, ",'emoji':'x'");
	GOT(&s.bob, "error not_found");
	peer_do(&s.bob, "{'type':'history','room':'old'}");
	world_turn(&s.w);
	ck_assert_ptr_nonnull(strstr(peer_take(&s.bob), "history old [#59000000"));
	world_pass(&s.w, 120000);
	log_sweep(s.w.log, s.w.now_ms);
	world_settle(&s.w);
	world_turn(&s.w);
	ck_assert_uint_eq(log_topic_last(s.w.log, SLICE("chat/old")), world_id(&s.w, 59000000));
	end(&s);
}
END_TEST

/* Each of the two topics keeps a direct message for as long as its own rule says. */
START_TEST(direct)
{
	struct scene s;
	struct peer boss;

	begin(&s, "a");
	ck_assert(peer_open(&s.w, 1, &boss, "bob"));
	peer_do(&boss, "{'type':'subscribe','topic':'user/bob'}");
	peer_do(&s.ada, "{'type':'subscribe','topic':'user/ada'}");
	(void)peer_take(&s.ada);
	(void)peer_take(&boss);
	for (int i = 0; i < 3; i++) {
		peer_do(&s.ada, "{'type':'direct','to':'bob','content':'m'}");
		world_turn(&s.w);
	}
	GOT(&s.ada, "ack #1; ack #2; ack #3");
	GOT(&boss, "user/bob#1 direct of ada: m; user/bob#2 direct of ada: m; "
		   "user/bob#3 direct of ada: m");
	ask(&boss, "react", 3, ",'emoji':'x'");
	GOT(&s.ada, "user/bob#4 reaction of #3 by bob: x");
	ask(&s.ada, "edit", 1, ",'content':'n'");
	GOT(&boss, "ack #4; user/bob#5 edited of #1 by ada: n");
	peer_do(&boss, "{'type':'history','topic':'user/bob'}");
	peer_do(&s.ada, "{'type':'history','topic':'user/ada'}");
	world_turn(&s.w);
	GOT(&boss, "history user/bob [#2,#3]");
	GOT(&s.ada, "ack #5; history user/ada [#1,#2,#3]");
	ask(&s.ada, "delete", 1, "");
	ask(&s.ada, "delete", 2, "");
	GOT(&s.ada, "ack #6; ack #7");
	peer_do(&s.ada, "{'type':'subscribe','topic':'user/*','after':%llu}",
	    (unsigned long long)world_id(&s.w, 3));
	world_turn(&s.w);
	ck_assert_ptr_nonnull(strstr(peer_take(&s.ada), "reaction of #3"));
	peer_close(&boss, false);
	end(&s);
}
END_TEST

START_TEST(over_a_restart)
{
	struct scene s;

	begin(&s, "few");
	for (int i = 0; i < 3; i++)
		say(&s.ada, "m");
	ask(&s.ada, "edit", 2, ",'content':'n'");
	ask(&s.bob, "react", 2, ",'emoji':'x'");
	ask(&s.ada, "delete", 3, "");
	peer_do(&s.ada, "{'type':'direct','to':'bob','content':'m'}");
	world_turn(&s.w);
	peer_close(&s.ada, false);
	peer_close(&s.bob, false);
	if (!world_is_sqlite()) {
		world_done(&s.w);
		return;
	}
	ck_assert(world_restart(&s.w));
	ck_assert(peer_open(&s.w, 0, &s.ada, "ada"));
	ck_assert(peer_open_as(&s.w, 1, &s.bob, "bob", some, some));
	peer_do(&s.bob, "{'type':'join','room':'few','last':5}");
	world_turn(&s.w);
	ck_assert_ptr_nonnull(strstr(peer_take(&s.bob), "chat/few#1 ada: m; chat/few#2 ada: n"));
	ask(&s.bob, "react", 2, ",'emoji':'x'");
	GOT(&s.bob, "ack #5 again");
	ask(&s.bob, "react", 3, ",'emoji':'x'");
	GOT(&s.bob, "error not_found");
	peer_do(&s.ada, "{'type':'history','topic':'user/ada'}");
	world_turn(&s.w);
	GOT(&s.ada, "history user/ada [#7]");
	end(&s);
}
END_TEST

/* --- mentions --- */

static void
check_mentions(struct world *w, const char *text, const char *want)
{
	struct buf out = BUF_INIT(MENTIONS_BYTES);

	ck_assert_int_eq(mention_find(w->log, SLICE("chat/a"), slice_str(text), &out), 0);
	ck_assert_msg(slice_eq(buf_slice(&out), slice_str(want)), "%s: %.*s, not %s", text,
	    SLICE_ARG(buf_slice(&out)), want);
	buf_done(&out);
}

START_TEST(mentions)
{
	struct scene s;
	struct peer twin;

	begin(&s, "a");
	check_mentions(&s.w, "@ada and @BOB!", "[\"ada\",\"bob\"]");
	check_mentions(&s.w, "a@bob @bobo @ bob", "");
	check_mentions(&s.w, "@", "");
	ck_assert(peer_open(&s.w, 0, &twin, "BOB"));
	peer_do(&twin, "{'type':'join','room':'a'}");
	world_turn(&s.w);
	check_mentions(&s.w, "@bob", "[\"bob\",\"BOB\"]");
	peer_do(&s.bob, "{'type':'leave','room':'a'}");
	world_turn(&s.w);
	check_mentions(&s.w, "@bob", "[\"BOB\"]");
	peer_close(&twin, false);
	world_turn(&s.w);
	check_mentions(&s.w, "@bob", "");
	end(&s);
}
END_TEST

static void
check_direct(struct world *w, const char *to, const char *text, const char *want)
{
	struct message_from sender = {SLICE("a1"), SLICE("Ada")};
	struct buf out = BUF_INIT(MENTIONS_BYTES);

	ck_assert_int_eq(
	    mention_find_direct(w->log, sender, slice_str(to), slice_str(text), &out), 0);
	ck_assert_msg(slice_eq(buf_slice(&out), slice_str(want)), "%s: %.*s, not %s", text,
	    SLICE_ARG(buf_slice(&out)), want);
	buf_done(&out);
}

static void
note_name(struct world *w, const char *user_id, const char *name)
{
	known_name_note(w->log, (struct message_from){slice_str(user_id), slice_str(name)});
}

START_TEST(mentions_between_two)
{
	char room[KNOWN_NAME_MAX];
	char id[16];
	struct world w;

	ck_assert(world_init(&w, NULL));
	check_direct(&w, "b1", "@ada, @bob, @B1, @a1", "[\"a1\",\"b1\"]");
	check_direct(&w, "b1", "@Bob Builder @eve", "");
	note_name(&w, "b1", "Bob");
	note_name(&w, "b1", "Bob Builder");
	note_name(&w, "e1", "Eve");
	check_direct(&w, "b1", "@bob @eve", "");
	check_direct(&w, "b1", "(@bob  builder) @Ada's @ada", "[\"b1\",\"a1\"]");
	check_direct(&w, "a1", "@ada @a1", "[\"a1\"]");
	check_direct(&w, "b1", "a@ada", "");
	/* as many as there may be: who was not noted again goes */
	for (unsigned i = 0; i < KNOWN_NAMES_MAX - 1; i++) {
		(void)snprintf(id, sizeof(id), "u%u", i);
		note_name(&w, id, "U");
		note_name(&w, "b1", "Bob Builder");
	}
	ck_assert(known_name_of(w.log, SLICE("e1"), room).p == NULL);
	ck_assert(slice_eq(known_name_of(w.log, SLICE("b1"), room), SLICE("Bob Builder")));
	ck_assert(known_name_of(w.log, SLICE("a1"), room).p == NULL);
	world_done(&w);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {edited, deleted, reactions, reactions_of_many, direct_parts,
	    keys, told, replayed, counted_apart, kept_as_long, direct, over_a_restart, mentions,
	    mentions_between_two, NULL};

	return world_run_tests("change", tests, NULL);
}
