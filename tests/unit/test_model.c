/*
 * Nothing is lost without a word, nothing comes twice, all see one order, wherever a client is cut off: by
 * random lives against a model (model.h). BELFRY_MODEL_RUNS in the environment says how many lives
 * of each kind, BELFRY_MODEL_SEED with which they begin, MODEL_SHOW what happens.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "core/message.h"
#include "core/topic.h"
#include "tests/unit/model.h"
#include "tests/unit/support_run.h"

#define RUNS  200
#define STEPS 120

static const struct world_rule rules[] = {
    {"live/*", 0, 0, false},
    {"few/*", 4, 0, false},
    {"brief/*", 100, 60000, false},
    {"chat/c", 5, 0, false},
    {"**", 1000, 0, false},
};

static const char *const topics[] = {"chat/a", "chat/a", "chat/b", "chat/c", "few/x", "few/y",
    "brief/x", "news/x", "live/x", "user/bob", "user/eve"};

static const char *const asked[] = {"topic=few/*&topic=chat/a", "topic=**",
    "topic=few/x&topic=few/*&topic=**", "topic=brief/x&topic=few/y", "topic=chat/*",
    "topic=news/x&topic=user/bob&topic=user/eve"};
/* Of a session: none overlaps another. */
static const char *const wanted[] = {
    "chat/a", "chat/b", "chat/c", "few/*", "brief/x", "news/x", "user/*"};

static unsigned
pick(struct model *m, unsigned n)
{
	return model_random(m, n);
}

/* --- what is said --- */

static void
say(struct model *m)
{
	const char *topic = topics[pick(m, ARRAY_LEN(topics))];
	char text[24];

	(void)snprintf(text, sizeof(text), "t%u", ++m->n_texts);
	if (pick(m, 8) == 0)
		ck_assert_int_eq(world_say_ttl(&m->w, topic, text, 5 + pick(m, 30)), 0);
	else
		ck_assert_int_eq(world_say(&m->w, topic, text), 0);
}

static void
say_often(struct model *m)
{
	unsigned n = 2 + pick(m, 8);

	while (n-- > 0)
		say(m);
}

/* Somebody who changes what he and others have said. */
static void
change(struct model *m, struct peer *maker)
{
	static const char *const rooms[] = {"a", "b", "c"};
	const struct post *p;

	model_hear(m);
	if (m->n_posts == 0 || pick(m, 3) == 0) {
		peer_do(maker, "{'type':'join','room':'%s','last':0}", rooms[pick(m, 3)]);
		peer_do(maker, "{'type':'chat','room':'%s','content':'t%u'}", rooms[pick(m, 3)],
		    ++m->n_texts);
		(void)peer_take(maker);
		return;
	}
	p = &m->posts[m->n_posts - 1 - pick(m, m->n_posts < 20 ? (unsigned)m->n_posts : 20)];
	switch (pick(m, 4)) {
	case 0:
		peer_do(maker, "{'type':'delete','target':%llu}", (unsigned long long)p->id);
		break;
	case 1:
		peer_do(maker, "{'type':'react','target':%llu,'emoji':'x','on':%s}",
		    (unsigned long long)p->id, pick(m, 3) == 0 ? "false" : "true");
		break;
	default:
		peer_do(maker, "{'type':'edit','target':%llu,'content':'e%u'}",
		    (unsigned long long)p->id, ++m->n_texts);
		break;
	}
	(void)peer_take(maker);
}

/* --- clients --- */

static uint64_t
some_id(struct model *m)
{
	model_hear(m);
	if (m->n_posts == 0)
		return m->w.begin;
	return m->posts[m->n_posts - 1 - pick(m, m->n_posts < 30 ? (unsigned)m->n_posts : 30)].id -
	       pick(m, 2);
}

/* Where it begins, as a query or as JSON; the wish is as that says. */
static void
position(struct model *m, struct wish *w, bool is_json, char out[64])
{
	uint64_t last = model_last(m);
	uint64_t id;

	w->base = last;
	w->is_question = false;
	w->cursor = 0;
	out[0] = '\0';
	switch (pick(m, 8)) {
	case 0:
	case 1:
		w->is_question = true;
		(void)snprintf(out, 64, is_json ? ",'last':%u" : "&last=%u", 1 + pick(m, 12));
		break;
	case 2:
		w->is_question = true;
		(void)snprintf(out, 64, is_json ? ",'after':'%us'" : "&after=%us", 1 + pick(m, 60));
		break;
	case 3:
		w->is_question = true;
		(void)snprintf(out, 64, "%s", is_json ? ",'after':'all'" : "&after=all");
		break;
	case 4:
		(void)snprintf(out, 64, "%s", is_json ? ",'after':'bad'" : "&after=bad");
		break;
	case 5:
		w->base = 0;
		w->cursor = 1;
		(void)snprintf(out, 64, "%s", is_json ? ",'after':1" : "&after=1");
		break;
	case 6:
		(void)snprintf(out, 64, "%s", is_json ? ",'last':0" : "&last=0");
		break;
	default:
		id = some_id(m);
		w->base = w->cursor = id;
		(void)snprintf(
		    out, 64, is_json ? ",'after':%llu" : "&after=%llu", (unsigned long long)id);
		break;
	}
	w->asked_upto = last;
}

static void
name_wishes(struct client *c, const char *query)
{
	struct slice rest = slice_str(query);

	c->n_wishes = 0;
	while (rest.p != NULL) {
		struct slice value = slice_cut(&rest, '&');
		struct slice name = slice_cut(&value, '=');

		if (!slice_eq(name, SLICE("topic")) && !slice_eq(name, SLICE("room")))
			continue;
		c->wishes[c->n_wishes] = (struct wish){.name = ""};
		(void)snprintf(c->wishes[c->n_wishes++].name, 32, "%s%.*s",
		    slice_eq(name, SLICE("room")) ? "chat/" : "", SLICE_ARG(value));
	}
}

static void
open_client(struct model *m, struct client *c)
{
	static const char *const rooms[] = {"room=a", "room=b", "room=c"};
	unsigned kind = pick(m, 3);
	unsigned hub = pick(m, m->w.n_hubs);
	char from[64];
	char query[160];

	c->items.n = 0;
	c->n_checked = 0;
	c->n_wishes = 0;
	c->n_connections = 0;
	if (kind == CLIENT_SESSION) {
		client_session(c, hub);
		return;
	}
	(void)snprintf(query, sizeof(query), "%s",
	    kind == CLIENT_CHAT ? rooms[pick(m, 3)] : asked[pick(m, ARRAY_LEN(asked))]);
	name_wishes(c, query);
	position(m, &c->wishes[0], false, from);
	if (kind == CLIENT_CHAT && from[0] == '\0')
		c->wishes[0].is_question = true; /* the last 50 */
	(void)snprintf(query + strlen(query), sizeof(query) - strlen(query), "%s", from);
	client_stream(c, kind, hub, query, 0);
}

static bool
is_room(const struct wish *w)
{
	return strncmp(w->name, "chat/", 5) == 0;
}

/* Where it was left off, or cut off. */
static void
enter_again(struct client *c, struct wish *w)
{
	w->is_left = false;
	if (is_room(w))
		client_do(c, "{'type':'join','room':'%s','after':%llu}", w->name + 5,
		    (unsigned long long)w->cursor);
	else
		client_do(c, "{'type':'subscribe','topic':'%s','after':%llu}", w->name,
		    (unsigned long long)w->cursor);
}

/* A new token that grants less, or all again. */
static void
refresh(struct model *m, struct client *c)
{
	static const char *const all[] = {"**", "user/**", NULL};
	static const char *const some[][3] = {{"chat/a", "few/*", NULL}, {"chat/*", NULL}};
	const char *const *grants = pick(m, 2) == 0 ? all : some[pick(m, 2)];
	struct claims *claims = world_claims("reader", grants, all);
	struct refusal why;

	ck_assert_ptr_nonnull(claims);
	client_check(c);
	ck_assert_int_eq(session_refresh(&c->session, claims, &why), 0);
	for (unsigned i = 0; i < c->n_wishes; i++) {
		if (sub_find(&c->session.who, slice_str(c->wishes[i].name)) == NULL)
			c->wishes[i].is_left = true;
	}
}

/* A session enters another room or topic; or leaves one; or asks one anew. */
static void
move_session(struct model *m, struct client *c)
{
	unsigned i = pick(m, MODEL_SUBS);
	struct wish *w = &c->wishes[i];
	char from[64];

	if (i > c->n_wishes)
		return;
	if (i < c->n_wishes && w->is_left && w->cursor != 0 && pick(m, 2) == 0) {
		enter_again(c, w);
		return;
	}
	if (pick(m, 12) == 0) {
		refresh(m, c);
		return;
	}
	if (i == c->n_wishes || w->is_left) {
		const char *name = wanted[pick(m, ARRAY_LEN(wanted))];

		for (unsigned k = 0; k < c->n_wishes; k++) {
			if (k != i && !c->wishes[k].is_left && strcmp(c->wishes[k].name, name) == 0)
				return;
		}
		*w = (struct wish){.since = c->items.n};
		(void)snprintf(w->name, sizeof(w->name), "%s", name);
		c->n_wishes += i == c->n_wishes;
		position(m, w, true, from);
	} else if (pick(m, 3) == 0) {
		client_check(c);
		client_do(c,
		    is_room(w) ? "{'type':'leave','room':'%s'}"
			       : "{'type':'unsubscribe','topic':'%s'}",
		    w->name + (is_room(w) ? 5 : 0));
		w->is_left = true;
		return;
	} else {
		struct wish again = *w;

		client_check(c);
		position(m, &again, true, from);
		/* the question before counts no more */
		if (w->is_question || again.is_question || again.base > w->cursor) {
			w->base = w->base > w->asked_upto ? w->base : w->asked_upto;
			w->is_question = false;
		}
		w->asked_upto = again.asked_upto;
		w->has_asked_again = true;
		if (w->cursor == 0) { /* so it says that it has what is up to there */
			w->cursor = again.cursor;
			w->base = w->base > w->cursor ? w->base : w->cursor;
		}
	}
	client_do(c,
	    is_room(w) ? "{'type':'join','room':'%s'%s}" : "{'type':'subscribe','topic':'%s'%s}",
	    w->name + (is_room(w) ? 5 : 0), from);
}

/* It leaves its first room for a while, or asks for it anew where it left off. */
static void
leave_home(struct model *m, struct client *c)
{
	struct wish *w = &c->wishes[0];

	client_check(c);
	if (pick(m, 2) == 0 && !w->is_left) {
		client_do(c, "{'type':'leave','room':'%s'}", w->name + 5);
		w->is_left = true;
	} else if (c->conn.cursor != 0) {
		client_do(c, "{'type':'join','room':'%s','after':%llu}", w->name + 5,
		    (unsigned long long)c->conn.cursor);
		w->has_asked_again = true;
		w->is_left = false;
	}
}

/* A chat over SSE goes to other rooms, too, and says something. */
static void
move_chat(struct model *m, struct client *c)
{
	static const char *const rooms[] = {"a", "b", "c"};
	struct wish other = {0};
	const char *room = rooms[pick(m, 3)];
	char from[64];

	if (strcmp(c->wishes[0].name + 5, room) == 0 && pick(m, 4) == 0) {
		leave_home(m, c);
		return;
	}
	if (strcmp(c->wishes[0].name + 5, room) == 0 || pick(m, 4) == 0) {
		client_do(c, "{'type':'chat','room':'%s','content':'t%u'}", room, ++m->n_texts);
		return;
	}
	position(m, &other, true, from);
	if (pick(m, 4) == 0)
		client_do(c, "{'type':'leave','room':'%s'}", room);
	else if (pick(m, 4) == 0)
		client_do(c, "{'type':'subscribe','topic':'few/*'%s}", from);
	else
		client_do(c, "{'type':'join','room':'%s'%s}", room, from);
}

/* It is cut off, and comes back with what it has. */
static void
come_back(struct model *m, struct client *c)
{
	unsigned hub = pick(m, m->w.n_hubs);

	client_check(c);
	if (c->kind != CLIENT_SESSION) {
		uint64_t cursor = c->conn.cursor;

		if (cursor == 0)
			return; /* it asks as it did at first */
		client_close(c);
		client_stream(c, c->kind, hub, NULL, cursor);
		c->wishes[0].is_left = false;
		return;
	}
	client_close(c);
	client_session(c, hub);
	for (unsigned i = 0; i < c->n_wishes; i++) {
		struct wish *w = &c->wishes[i];

		w->is_left = w->is_left || w->cursor == 0;
		if (!w->is_left)
			enter_again(c, w);
	}
}

static void
step_client(struct model *m, struct client *c)
{
	if (!c->is_open) {
		open_client(m, c);
		return;
	}
	switch (pick(m, 10)) {
	case 0:
		client_check(c);
		client_close(c);
		break;
	case 1:
		come_back(m, c);
		break;
	case 2:
	case 3:
		c->room = c->conn.room = pick(m, 4);
		break;
	case 4:
		c->room = c->conn.room = UINT32_MAX;
		client_drain(c);
		break;
	case 5:
	case 6:
		client_drain(c);
		break;
	default:
		if (c->kind == CLIENT_SESSION)
			move_session(m, c);
		else if (c->kind == CLIENT_CHAT)
			move_chat(m, c);
		break;
	}
}

/* As a reload does; the last rule's. */
static void
change_rules(struct model *m)
{
	size_t at = 0;

	world_settle(&m->w);
	m->w.config->topics[ARRAY_LEN(rules) - 1].history =
	    pick(m, 2) == 0 ? 1000 : 3 + pick(m, 20);
	while (log_use_rules(m->w.log, m->w.config, &at))
		continue;
}

static void
step(struct model *m, struct peer *maker)
{
	switch (pick(m, 16)) {
	case 0:
		m->w.store->is_slow = pick(m, 2) == 0;
		break;
	case 1:
		world_answer_reads(&m->w);
		break;
	case 2:
		world_pass(&m->w, 100 * (int64_t)pick(m, 200));
		break;
	case 3:
		if (pick(m, 6) == 0)
			change_rules(m);
		log_sweep(m->w.log, m->w.now_ms);
		break;
	case 4:
		world_turn(&m->w);
		break;
	case 5:
		world_turn_one(&m->w, pick(m, m->w.n_hubs));
		break;
	case 6:
		world_read_one(&m->w, pick(m, m->w.n_hubs));
		break;
	case 7:
		say_often(m);
		break;
	case 8:
	case 9:
		change(m, maker);
		break;
	case 10:
		say(m);
		break;
	case 11:
		if (pick(m, 4) == 0)
			model_check_history(m, wanted[pick(m, ARRAY_LEN(wanted))], 1 + pick(m, 12));
		client_check(&m->clients[pick(m, MODEL_CLIENTS)]);
		break;
	default:
		step_client(m, &m->clients[pick(m, MODEL_CLIENTS)]);
		break;
	}
}

/* All have read on. */
static void
settle(struct model *m)
{
	m->w.store->is_slow = false;
	world_answer_reads(&m->w);
	for (unsigned i = 0; i < MODEL_CLIENTS; i++) {
		struct client *c = &m->clients[i];

		if (!c->is_open)
			continue;
		c->room = c->conn.room = UINT32_MAX;
		client_drain(c);
	}
	world_turn(&m->w);
	for (unsigned i = 0; i < MODEL_CLIENTS; i++) {
		struct client *c = &m->clients[i];

		client_check(c);
		/* or what is said while it is away is lost, when its address brings less than that */
		if (c->is_open && c->kind != CLIENT_SESSION && !c->conn.is_ended)
			ck_assert_msg(
			    c->conn.cursor != 0 || c->wishes[0].cursor != 0 || c->wishes[0].is_left,
			    "seed %llu: client %u has no cursor", (unsigned long long)m->seed, i);
	}
}

static void
open_maker(struct model *m, struct peer *maker)
{
	ck_assert(peer_open(&m->w, 0, maker, "bob"));
	maker->session.claims->role = ROLE_MODERATOR;
}

/* The daemon ends and begins anew; all come back. */
static void
restart(struct model *m, struct peer *maker)
{
	bool was_open[MODEL_CLIENTS];

	m->w.store->is_slow = false;
	world_answer_reads(&m->w);
	peer_close(maker, false);
	for (unsigned i = 0; i < MODEL_CLIENTS; i++) {
		was_open[i] = m->clients[i].is_open;
		client_check(&m->clients[i]);
		client_close(&m->clients[i]);
	}
	model_restart(m);
	open_maker(m, maker);
	for (unsigned i = 0; i < MODEL_CLIENTS; i++) {
		if (was_open[i])
			come_back(m, &m->clients[i]);
	}
}

/* How many cuts there were. */
static unsigned long
live(uint64_t seed)
{
	static struct model m;
	static struct peer maker;
	struct world_options options = {
	    .rules = rules, .n_rules = ARRAY_LEN(rules), .n_hubs = 1 + (unsigned)(seed % 2)};

	ck_assert(model_open(&m, seed, &options));
	open_maker(&m, &maker);
	if (m.is_loud)
		(void)fprintf(stderr, "life %llu\n", (unsigned long long)seed);
	for (unsigned i = 0; i < STEPS; i++) {
		step(&m, &maker);
		if (i == STEPS / 2 && world_is_sqlite())
			restart(&m, &maker);
	}
	settle(&m);
	peer_close(&maker, false);
	model_close(&m);
	return m.n_probes;
}

static unsigned long
number_from(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text == NULL ? otherwise : strtoul(text, NULL, 10);
}

START_TEST(cut_anywhere)
{
	unsigned long n_cuts = 0;
	unsigned long first = number_from("BELFRY_MODEL_SEED", 1);
	unsigned long runs = number_from("BELFRY_MODEL_RUNS", world_is_sqlite() ? RUNS / 20 : RUNS);

	for (unsigned long i = 0; i < runs; i++)
		n_cuts += live(first + i);
	(void)printf("%lu lives, from seed %lu: %lu cuts\n", runs, first, n_cuts);
}
END_TEST

/* --- what lives have found --- */

static struct model *
open_world(void)
{
	static struct model m;
	static const struct world_options options = {.rules = rules, .n_rules = ARRAY_LEN(rules)};

	ck_assert(model_open(&m, 1, &options));
	return &m;
}

static uint64_t
cursor_of(struct client *c)
{
	world_turn(&c->model->w);
	return c->conn.cursor - c->model->w.begin;
}

#define SAY(topic) ck_assert_int_eq(world_say(&m->w, topic, "text"), 0)

/* A browser that came back has the cursor it came with: what else it reads must not bring that back. */
START_TEST(chat_comes_back)
{
	struct model *m = open_world();
	struct client *c = &m->clients[0];

	SAY("few/x");
	SAY("chat/a");
	client_stream(c, CLIENT_CHAT, 0, "room=a", world_id(&m->w, 2));
	ck_assert_uint_eq(cursor_of(c), 2);
	client_do(c, "{'type':'subscribe','topic':'few/*','after':'all'}");
	ck_assert_uint_eq(cursor_of(c), 2);
	SAY("chat/a");
	ck_assert_uint_eq(cursor_of(c), 3);
	model_close(m);
}
END_TEST

/* Where nothing of what is stored comes, or is shown, there is a cursor all the same. */
START_TEST(chat_begins)
{
	static const char *const queries[] = {
	    "room=a", "room=a&after=10m", "room=a&format=text", "room=b&format=text&last=0"};
	struct model *m = open_world();
	struct client *c = &m->clients[0];

	ck_assert_int_eq(world_say_ttl(&m->w, "chat/a", "text", 1), 0);
	world_pass(&m->w, 2000);
	for (unsigned i = 0; i < ARRAY_LEN(queries); i++) {
		client_stream(c, CLIENT_CHAT, 0, queries[i], 0);
		ck_assert_uint_eq(cursor_of(c), 1);
		client_close(c);
	}
	model_close(m);
}
END_TEST

/* What is said in the room while it is left may be asked for when it is joined again. */
START_TEST(chat_leaves)
{
	struct model *m = open_world();
	struct client *c = &m->clients[0];

	SAY("chat/a");
	client_stream(c, CLIENT_CHAT, 0, "room=a", 0);
	client_do(c, "{'type':'join','room':'b'}");
	ck_assert_uint_eq(cursor_of(c), 1);
	client_do(c, "{'type':'leave','room':'a'}");
	SAY("chat/a");
	SAY("chat/a");
	SAY("chat/b");
	ck_assert_uint_eq(cursor_of(c), 1);
	c->conn.room = 1;
	c->conn.queued = 0;
	client_do(
	    c, "{'type':'join','room':'a','after':%llu}", (unsigned long long)world_id(&m->w, 1));
	ck_assert_uint_eq(cursor_of(c), 2);
	client_drain(c);
	ck_assert_uint_eq(cursor_of(c), 3);
	client_drain(c);
	ck_assert_uint_eq(cursor_of(c), 4);
	model_close(m);
}
END_TEST

/* A command that waited for an ack is carried out in the middle of what the tail brings. */
START_TEST(resumed_in_the_tail)
{
	struct model *m = open_world();
	struct client *c = &m->clients[0];

	client_session(c, 0);
	client_do(c, "{'type':'join','room':'a'}");
	world_turn(&m->w);
	client_do(c, "{'type':'chat','room':'a','content':'text'}");
	SAY("news/x");
	SAY("news/x");
	(void)snprintf(c->then, sizeof(c->then),
	    "{'type':'subscribe','topic':'news/x','after':%llu}",
	    (unsigned long long)world_id(&m->w, 2)); /* from another worker, which was faster */
	world_turn(&m->w);
	ck_assert_uint_eq(c->items.n, 1);
	ck_assert_uint_eq(c->items.all[0].id, world_id(&m->w, 3));
	ck_assert_ptr_null(c->session.who.readers);
	model_close(m);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
	    chat_comes_back, chat_begins, chat_leaves, resumed_in_the_tail, cut_anywhere, NULL};

	return world_run_tests("model", tests, NULL);
}
