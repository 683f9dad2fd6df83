/* core/facts, core/moderation, core/measure: what is true, whom it keeps from what, and how it is done. */
#include <errno.h>
#include <stdio.h>

#include "core/facts.h"
#include "core/measure.h"
#include "core/moderation.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define GOT(p, text) ck_assert_str_eq(peer_take(p), text)

#define PEERS 4

/* Peers of one or two hubs, whom measures reach in this thread. */
struct house {
	struct world w;
	struct peer peers[PEERS];
	unsigned n_closed; /* told to close, or that their token has ended */
};

static void
reach(struct hub *h, struct measure *m)
{
	struct house *house = h->owner;

	for (unsigned i = 0; measure_is_live(m) && i < PEERS; i++) {
		if (house->peers[i].is_open &&
		    measure_apply(m, &house->peers[i].session) != MEASURE_NOTHING)
			house->n_closed++;
	}
	m->done(m);
}

static void
set_reach(struct house *house)
{
	for (unsigned i = 0; i < house->w.n_hubs; i++) {
		house->w.hubs[i].owner = house;
		house->w.hubs[i].reach = reach;
	}
}

/* ann is a moderator, bob and eve are not, boss is an administrator; all are in the room `a`. */
static bool
house_open(struct house *house)
{
	static const struct world_options two = {.n_hubs = 2};
	static const char *const names[PEERS] = {"ann", "bob", "eve", "boss"};
	static const enum role roles[PEERS] = {ROLE_MODERATOR, ROLE_USER, ROLE_USER, ROLE_ADMIN};

	*house = (struct house){.n_closed = 0};
	if (!world_init(&house->w, &two))
		return false;
	set_reach(house);
	for (unsigned i = 0; i < PEERS; i++) {
		if (!peer_open(&house->w, i % 2, &house->peers[i], names[i]))
			return false;
		house->peers[i].session.claims->role = roles[i];
		peer_do(&house->peers[i], "{'type':'join','room':'a'}");
	}
	world_turn(&house->w);
	for (unsigned i = 0; i < PEERS; i++)
		(void)peer_take(&house->peers[i]);
	return true;
}

static void
house_close(struct house *house)
{
	for (unsigned i = 0; i < PEERS; i++)
		peer_close(&house->peers[i], false);
	world_done(&house->w);
}

#define ANN  (&house.peers[0])
#define BOB  (&house.peers[1])
#define EVE  (&house.peers[2])
#define BOSS (&house.peers[3])

/* --- the table --- */

static void
on_put(struct append *a)
{
	*(int *)a->owner = a->status;
	append_free(a);
}

/* What became of it: 1 for nothing (yet). */
static int
put(struct world *w, const struct fact *f, bool is_end)
{
	int status = 1;
	int result = 1;
	struct append *a = is_end ? fact_end(w->log, f->kind, f->scope, f->subject, &status)
				  : fact_put(w->log, f, &status);

	if (a == NULL)
		return status;
	a->done = on_put;
	a->owner = &result;
	if (hub_append(&w->hubs[0], a) < 0) {
		append_free(a);
		return -EAGAIN;
	}
	world_turn(w);
	return result;
}

static bool
note_fact(const struct fact *f, void *ctx)
{
	char *out = ctx;
	size_t n = strlen(out);

	(void)snprintf(out + n, 256 - n, "%s%.*s/%.*s", n > 0 ? " " : "", SLICE_ARG(f->scope),
	    SLICE_ARG(f->subject));
	return strlen(out) < 200;
}

static const char *
bans(struct world *w, char out[256])
{
	out[0] = '\0';
	fact_each(w->log, FACT_BAN, w->now_ms, note_fact, out);
	return out;
}

START_TEST(facts)
{
	struct fact f = {.kind = FACT_BAN,
	    .scope = SLICE("chat/a"),
	    .subject = SLICE("bob"),
	    .by = SLICE("Ann"),
	    .text = SLICE("spam")};
	struct fact_found found;
	struct world w;
	char got[256];

	ck_assert(world_init(&w, NULL));
	f.since_ms = w.now_ms;
	ck_assert(!fact_concerns(w.log, FACT_BAN, f.subject));
	ck_assert_int_eq(put(&w, &f, true), -ENOENT);
	ck_assert_int_eq(put(&w, &f, false), 0);
	ck_assert(fact_concerns(w.log, FACT_BAN, f.subject));
	ck_assert(!fact_concerns(w.log, FACT_MUTE, f.subject));
	ck_assert(fact_find(w.log, FACT_BAN, f.scope, f.subject, w.now_ms, &found));
	ck_assert(slice_eq(found.by, f.by) && slice_eq(found.text, f.text));
	ck_assert(!fact_find(w.log, FACT_BAN, SLICE("*"), f.subject, w.now_ms, NULL));
	ck_assert(!fact_find(w.log, FACT_BAN, f.scope, SLICE("bo"), w.now_ms, NULL));
	/* said again it is what was said last, in its new place */
	f.scope = SLICE("*");
	ck_assert_int_eq(put(&w, &f, false), 0);
	f.scope = SLICE("chat/a");
	f.text = SLICE_NONE;
	f.until_ms = w.now_ms + 1000;
	ck_assert_int_eq(put(&w, &f, false), 0);
	ck_assert_str_eq(bans(&w, got), "*/bob chat/a/bob");
	ck_assert(fact_find(w.log, FACT_BAN, f.scope, f.subject, w.now_ms, &found));
	ck_assert_uint_eq(found.text.n, 0);
	ck_assert_int_eq(found.until_ms, f.until_ms);
	/* its time is over: at once, and out of the table with the next sweep */
	world_pass(&w, 1000);
	ck_assert(!fact_find(w.log, FACT_BAN, f.scope, f.subject, w.now_ms, NULL));
	ck_assert_str_eq(bans(&w, got), "*/bob");
	log_sweep(w.log, w.now_ms);
	ck_assert_int_eq(put(&w, &f, true), -ENOENT);
	f.scope = SLICE("*");
	ck_assert_int_eq(put(&w, &f, true), 0);
	ck_assert(!fact_concerns(w.log, FACT_BAN, f.subject));
	world_done(&w);
}
END_TEST

/* What the store could not write is not true, and what it could not take back still is. */
START_TEST(facts_not_written)
{
	struct fact f = {.kind = FACT_BAN, .scope = SLICE("*"), .subject = SLICE("bob")};
	struct world w;
	char got[256];

	ck_assert(world_init(&w, NULL));
	w.store->append_status = -EIO;
	ck_assert_int_eq(put(&w, &f, false), -EIO);
	ck_assert_str_eq(bans(&w, got), "");
	ck_assert(!fact_concerns(w.log, FACT_BAN, f.subject));
	w.store->append_status = 0;
	ck_assert_int_eq(put(&w, &f, false), 0);
	w.store->append_status = -EIO;
	ck_assert_int_eq(put(&w, &f, true), -EIO);
	ck_assert_str_eq(bans(&w, got), "*/bob");
	w.store->append_status = 0;
	world_done(&w);
}
END_TEST

START_TEST(facts_kept)
{
	struct fact f = {.kind = FACT_BAN, .subject = SLICE("bob"), .by = SLICE("Ann")};
	struct fact_found found;
	struct world w;
	char got[256];

	if (!world_is_sqlite())
		return;
	ck_assert(world_init(&w, NULL));
	f.since_ms = w.now_ms;
	f.scope = SLICE("chat/z");
	ck_assert_int_eq(put(&w, &f, false), 0);
	f.scope = SLICE("chat/a");
	f.since_ms++;
	f.until_ms = w.now_ms + 5000;
	ck_assert_int_eq(put(&w, &f, false), 0);
	f.scope = SLICE("chat/b");
	f.until_ms = w.now_ms + 60000;
	f.text = SLICE("a\xc3\xa4");
	ck_assert_int_eq(put(&w, &f, false), 0);
	f.scope = SLICE("chat/c");
	ck_assert_int_eq(put(&w, &f, false), 0);
	ck_assert_int_eq(put(&w, &f, true), 0);
	f.kind = FACT_TOKENS;
	f.scope = SLICE("");
	f.number = 4711;
	ck_assert_int_eq(put(&w, &f, false), 0);
	ck_assert(world_restart(&w));
	ck_assert_str_eq(bans(&w, got), "chat/z/bob chat/a/bob chat/b/bob");
	ck_assert(fact_find(w.log, FACT_BAN, SLICE("chat/b"), f.subject, w.now_ms, &found));
	ck_assert(slice_eq(found.text, f.text) && slice_eq(found.by, f.by));
	ck_assert(fact_find(w.log, FACT_TOKENS, SLICE(""), f.subject, w.now_ms, &found));
	ck_assert_uint_eq(found.number, 4711);
	world_pass(&w, 6000);
	log_sweep(w.log, w.now_ms);
	ck_assert(world_restart(&w));
	world_pass(&w, -6000); /* its row has gone, whatever the clock says */
	ck_assert_str_eq(bans(&w, got), "chat/z/bob chat/b/bob");
	world_done(&w);
}
END_TEST

/* --- measures --- */

START_TEST(kick)
{
	struct house house;

	ck_assert(house_open(&house));
	peer_do(BOB, "{'type':'join','room':'b'}");
	world_turn(&house.w);
	(void)peer_take(BOB);
	peer_do(ANN, "{'type':'kick','user':'bob','reason':'spam','ref':1}");
	world_turn(&house.w);
	GOT(ANN, "ack(1) -; -bob");
	GOT(BOB, "left a for a reason");
	ck_assert_uint_eq(house.n_closed, 0);
	peer_do(BOB, "{'type':'chat','content':'still in b'}");
	peer_do(ANN, "{'type':'kick','room':'b','user':'bob'}");
	world_turn(&house.w);
	GOT(BOB, "left b for a reason; ack #1");
	ck_assert_uint_eq(house.n_closed, 1);
	(void)peer_take(ANN);
	peer_do(ANN, "{'type':'kick','room':'b','user':'bob'}");
	peer_do(ANN, "{'type':'kick','user':'boss'}");
	peer_do(ANN, "{'type':'kick','user':'ann'}");
	peer_do(ANN, "{'type':'kick','room':'*','user':'eve'}");
	peer_do(ANN, "{'type':'kick'}");
	peer_do(ANN, "{'type':'kick','user':''}");
	peer_do(ANN, "{'type':'kick','user':'x','reason':'\\u0007'}");
	GOT(ANN, "error not_found; error forbidden; error bad_field; error insufficient_scope; "
		 "error bad_field; error bad_field; error bad_field");
	peer_do(EVE, "{'type':'kick','user':'ann'}");
	world_turn(&house.w);
	GOT(EVE, "-bob; error insufficient_scope");
	peer_do(BOSS, "{'type':'kick','room':'*','user':'ann'}");
	world_turn(&house.w);
	GOT(ANN, "left a for a reason");
	house_close(&house);
}
END_TEST

START_TEST(ban_and_mute)
{
	struct house house;

	ck_assert(house_open(&house));
	peer_do(ANN, "{'type':'ban','user':'bob','seconds':60,'ref':1}");
	world_turn(&house.w);
	GOT(ANN, "ack(1) -; -bob");
	GOT(BOB, "left a for a reason");
	peer_do(BOB, "{'type':'join','room':'a'}");
	peer_do(BOB, "{'type':'subscribe','topic':'chat/a'}");
	peer_do(BOB, "{'type':'history','room':'a'}");
	peer_do(BOB, "{'type':'publish','topic':'chat/a','message':'x'}");
	GOT(BOB, "error banned; error banned; error banned; error banned");
	world_pass(&house.w, 60000);
	peer_do(BOB, "{'type':'join','room':'a'}");
	world_turn(&house.w);
	GOT(BOB, "joined a 4 [ann,eve,boss,bob] #0");
	(void)peer_take(EVE);
	peer_do(ANN, "{'type':'mute','user':'bob'}");
	peer_do(ANN, "{'type':'mute','user':'boss'}");
	world_turn(&house.w);
	peer_do(BOB, "{'type':'chat','content':'x'}");
	peer_do(BOB, "{'type':'typing'}");
	peer_do(BOSS, "{'type':'chat','content':'I may'}");
	GOT(BOB, "error muted; error muted");
	peer_do(ANN, "{'type':'unmute','user':'bob'}");
	world_turn(&house.w);
	peer_do(BOB, "{'type':'chat','content':'thanks'}");
	world_turn(&house.w);
	GOT(EVE, "chat/a#60000000 boss: I may; chat/a#60000001 bob: thanks");
	peer_do(ANN, "{'type':'unmute','user':'bob'}");
	peer_do(BOSS, "{'type':'mute','room':'*','user':'ann'}");
	world_turn(&house.w);
	(void)peer_take(ANN);
	peer_do(ANN, "{'type':'unmute','user':'boss'}");
	peer_do(ANN, "{'type':'publish','topic':'a/bell','message':'x'}");
	world_turn(&house.w);
	ck_assert_str_eq(peer_take(ANN), "error muted; ack #60000002");
	house_close(&house);
}
END_TEST

/* A pattern leaves out the rooms from which somebody is banned, from the ban to its end. */
START_TEST(ban_and_patterns)
{
	struct house house;
	struct world *w = &house.w;

	ck_assert(house_open(&house));
	peer_do(BOB, "{'type':'leave'}");
	peer_do(BOB, "{'type':'subscribe','topic':'chat/*'}");
	peer_do(BOB, "{'type':'subscribe','topic':'*/b'}");
	world_turn(w);
	(void)peer_take(BOB);
	(void)peer_take(ANN);
	ck_assert_int_eq(world_say(w, "chat/a", "before"), 0); /* #1 */
	world_turn(w);
	GOT(BOB, "chat/a#1 someone: before");
	peer_do(ANN, "{'type':'ban','user':'bob','seconds':60,'reason':'spam','ref':1}");
	world_turn(w);
	GOT(ANN, "chat/a#1 someone: before; ack(1) -");
	GOT(BOB,
	    "denied chat/a you are banned from this room until 2023-11-14T22:14:20Z by ann: spam");
	ck_assert_uint_eq(house.n_closed, 0);
	/* live: alone, in a run, and what changes a message */
	ck_assert_int_eq(world_say(w, "chat/a", "1"), 0);
	world_turn(w);
	ck_assert_int_eq(world_say_often(w, "chat/a", "n", 3), 0);
	peer_do(EVE, "{'type':'chat','content':'x'}");
	world_turn(w);
	peer_do(
	    EVE, "{'type':'edit','target':%llu,'content':'y'}", (unsigned long long)EVE->last_id);
	ck_assert_int_eq(world_say(w, "chat/b", "elsewhere"), 0);
	world_turn(w);
	GOT(BOB, "chat/b#8 someone: elsewhere");
	/* replayed: `last` counts what he may have; a position; history; what was missed for want of room */
	peer_do(BOB, "{'type':'subscribe','topic':'chat/*','last':2}");
	world_turn(w);
	GOT(BOB, "subscribed chat/* #8; denied chat/a you are banned from this room until "
		 "2023-11-14T22:14:20Z by ann: spam; chat/b#8 someone: elsewhere");
	peer_do(BOB, "{'type':'subscribe','topic':'chat/**','after':'all'}");
	world_turn(w);
	ck_assert_str_eq(strrchr(peer_take(BOB), ';'), "; chat/b#8 someone: elsewhere");
	peer_do(BOB, "{'type':'history','topic':'**'}");
	peer_do(BOB, "{'type':'history','topic':'chat/*','after':'all','limit':1}");
	peer_do(BOB, "{'type':'rooms'}");
	peer_do(BOB, "{'type':'read','room':'a','id':%llu}", (unsigned long long)world_id(w, 1));
	world_turn(w);
	GOT(BOB, "history ** [#8]; history chat/* [#8]; rooms [b]; error banned");
	BOB->room = BOB->queued;
	ck_assert_int_eq(world_say(w, "chat/a", "2"), 0);
	ck_assert_int_eq(world_say(w, "chat/b", "3"), 0);
	world_turn(w);
	GOT(BOB, "");
	BOB->room = PEER_ROOMY;
	peer_drain(BOB);
	world_turn(w);
	GOT(BOB, "chat/b#10 someone: 3");
	/* it ends by itself */
	world_pass(w, 60000);
	ck_assert_int_eq(world_say(w, "chat/a", "4"), 0);
	world_turn(w);
	ck_assert(strstr(peer_take(BOB), ": 4") != NULL);
	ck_assert(!BOB->has_failed);
	house_close(&house);
}
END_TEST

START_TEST(ban_of_all_and_patterns)
{
	static const char *const all[] = {"**", NULL};
	struct house house;
	struct world *w = &house.w;

	ck_assert(house_open(&house));
	peer_do(BOB, "{'type':'leave'}");
	peer_do(BOB, "{'type':'subscribe','topic':'**'}");
	peer_do(EVE, "{'type':'subscribe','topic':'**'}");
	peer_do(BOSS, "{'type':'ban','room':'*','user':'bob'}");
	world_turn(w);
	(void)peer_take(EVE);
	ck_assert(strstr(peer_take(BOB), "denied chat/* you are banned from all rooms by boss"));
	ck_assert(BOB->session.who.may_be_banned && !EVE->session.who.may_be_banned);
	ck_assert_int_eq(world_say(w, "chat/a", "1"), 0);
	ck_assert_int_eq(world_say(w, "news/a", "2"), 0);
	world_turn(w);
	GOT(BOB, "news/a#2 2");
	GOT(EVE, "chat/a#1 someone: 1; news/a#2 2");
	/* who comes later is told what there is */
	peer_close(EVE, false);
	ck_assert(peer_open(w, 0, EVE, "bob"));
	peer_do(EVE, "{'type':'subscribe','topic':'**'}");
	GOT(EVE, "subscribed ** #2; denied chat/* you are banned from all rooms by boss");
	/* an administrator, who is bound by nothing, until his token is another one */
	BOB->session.claims->role = ROLE_ADMIN;
	BOB->session.who.may_be_banned = false;
	peer_do(BOB, "{'type':'join','room':'a'}");
	ck_assert_int_eq(world_say(w, "chat/b", "3"), 0);
	world_turn(w);
	ck_assert(strstr(peer_take(BOB), "chat/b#3 someone: 3") != NULL);
	{
		struct claims *user = world_claims("bob", all, all);
		struct refusal why;

		ck_assert_ptr_nonnull(user);
		ck_assert_int_eq(session_refresh(&BOB->session, user, &why), 0);
	}
	GOT(BOB, "left a for a reason");
	ck_assert_int_eq(world_say(w, "chat/b", "4"), 0);
	world_turn(w);
	GOT(BOB, "");
	/* taken back: nobody is asked about any more */
	peer_do(BOSS, "{'type':'unban','room':'*','user':'bob'}");
	ck_assert_int_eq(world_say(w, "chat/b", "5"), 0);
	world_turn(w);
	GOT(BOB, "chat/b#5 someone: 5");
	GOT(EVE, "chat/b#5 someone: 5");
	ck_assert(!BOB->session.who.may_be_banned);
	house_close(&house);
}
END_TEST

START_TEST(revocation)
{
	struct measure m = {.kind = MEASURE_REVOKE_TOKEN, .user = SLICE("j")};
	struct fact f = {.kind = FACT_TOKENS, .scope = SLICE(""), .subject = SLICE("bob")};
	char jti[] = "j";
	struct house house;
	struct claims *bob;

	ck_assert(house_open(&house));
	bob = BOB->session.claims;
	ck_assert(!measure_ends_token(&m, bob));
	bob->jti = jti;
	ck_assert(measure_ends_token(&m, bob));
	ck_assert(!moderation_is_revoked(&house.w.hubs[0], bob));
	f.number = 100;
	ck_assert_int_eq(put(&house.w, &f, false), 0);
	ck_assert(moderation_is_revoked(&house.w.hubs[0], bob)); /* it does not say when */
	bob->iat = 99;
	ck_assert(moderation_is_revoked(&house.w.hubs[0], bob));
	bob->iat = 100;
	ck_assert(!moderation_is_revoked(&house.w.hubs[0], bob));
	f.kind = FACT_TOKEN;
	f.subject = SLICE("j");
	ck_assert_int_eq(put(&house.w, &f, false), 0);
	ck_assert(moderation_is_revoked(&house.w.hubs[0], bob));
	bob->jti = NULL;
	ck_assert(!moderation_is_revoked(&house.w.hubs[0], bob));
	house_close(&house);
}
END_TEST

/* Whoever asked goes before the measure is written: it is done all the same. */
START_TEST(asker_goes)
{
	struct house house;
	char got[256];

	ck_assert(house_open(&house));
	peer_do(ANN, "{'type':'ban','user':'bob'}");
	peer_close(ANN, true);
	world_turn(&house.w);
	ck_assert_str_eq(bans(&house.w, got), "chat/a/bob");
	GOT(BOB, "left a for a reason");
	house_close(&house);
}
END_TEST

/* The n-th allocation fails: it is refused and not done, or done. */
START_TEST(without_memory)
{
	for (long n = 1;; n++) {
		struct house house;
		long blocks = mem_blocks();
		bool came;
		char got[256];
		const char *said;
		bool is_banned;

		ck_assert(house_open(&house));
		mem_fail_at(n);
		peer_do(ANN, "{'type':'ban','user':'bob','ref':1}");
		world_turn(&house.w);
		came = !mem_fail_is_pending();
		mem_fail_at(0);
		is_banned = strcmp(bans(&house.w, got), "chat/a/bob") == 0;
		said = peer_take(ANN);
		if (!ANN->has_failed)
			ck_assert_msg(strstr(said, is_banned ? "ack(1)" : "error(1)") != NULL,
			    "%ld: '%s' banned: %d", n, said, is_banned);
		ck_assert_msg(!is_banned || BOB->has_failed ||
				  sub_find(&BOB->session.who, SLICE("chat/a")) == NULL,
		    "%ld", n);
		house_close(&house);
		ck_assert_int_eq(mem_blocks(), blocks);
		if (!came)
			break;
		ck_assert_int_lt(n, 200);
	}
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {facts, facts_not_written, facts_kept, kick, ban_and_mute,
	    ban_and_patterns, ban_of_all_and_patterns, revocation, asker_goes, NULL};
	const TTest *const memory_only[] = {without_memory, NULL};

	return world_run_tests("moderation", tests, memory_only);
}
