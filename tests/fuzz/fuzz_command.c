/*
 * A chat: what two clients send, through the command table, the sessions, the hub and the log, and
 * what comes back. The input is lines; the first byte of each says what happens:
 *
 *   {     Ada sends this line           b     Bob, who may do less, sends the rest
 *   s     Ada says the rest as text     S     so does Bob
 *   t     time passes, the next byte says how much
 *   q     Bob's queue takes the next byte's number of messages until it is drained
 *   d     Bob's queue is drained
 *   l     Bob's connection is lost and comes again     w     the rest of the world gets its turn
 */
#include <cjson/cJSON.h>

#include "base/utf8.h"
#include "core/change.h"
#include "core/measure.h"
#include "core/message.h"
#include "core/presence.h"
#include "core/read_marker.h"
#include "core/topic.h"
#include "proto/json.h"
#include "tests/fuzz/support.h"
#include "tests/fuzz/support_message.h"
#include "tests/unit/support_hub.h"

#define INPUT_MAX  8192
#define ROOMS      3 /* limits.rooms_per_connection */
#define REF_MAX    256
#define STORED_MAX 4096 /* messages of all topics at the end */

struct client {
	struct session session;
	struct world *world;
	unsigned room;
	unsigned queued;
	/* of the command under way */
	struct slice text;
	bool is_json;
	char ref[REF_MAX + 1]; /* JSON text; "": none */
	unsigned n_answers;    /* with that ref, or without any */
	bool is_refused;
};

struct chat {
	struct world world;
	struct client ada;
	struct client bob;
};

/* --- what a client gets --- */

static struct client *
client_of(struct session *s)
{
	return CONTAINER(s, struct client, session);
}

static bool
is_of(const char *type, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(type, list[i]) == 0)
			return true;
	}
	return false;
}

static void
check_sent(struct client *c, const char *type, struct slice json, bool is_answer)
{
	static const char *const answers[] = {"joined", "left", "ack", "subscribed", "unsubscribed",
	    "members", "rooms", "history", "refreshed", "pong"};
	static const char *const unasked[] = {"gap", "members", "left", "unsubscribed", "denied"};
	cJSON *tree = NULL;
	struct slice ref;

	NEED(utf8_is_valid(json) && json_parse(json, &tree, NULL) == 0);
	NEED(slice_eq(json_slice(json_member(tree, "type")), slice_str(type)));
	NEED(is_answer ? is_of(type, answers, ARRAY_LEN(answers))
		       : is_of(type, unasked, ARRAY_LEN(unasked)));
	ref = json_raw_member(json, "ref");
	NEED(ref.p == NULL || (is_answer && slice_eq(ref, slice_str(c->ref))));
	/* with a reason it is what a new token took away, and no answer */
	if (is_answer && json_member(tree, "reason") == NULL &&
	    (ref.p != NULL || c->ref[0] == '\0'))
		c->n_answers++;
	cJSON_Delete(tree);
}

static void
on_answer(struct caller *caller, const char *type, struct slice json)
{
	check_sent(client_of(CONTAINER(caller, struct session, caller)), type, json, true);
}

/* Of what is no JSON as we take it a ref may be made out; then it is one. */
static void
check_made_out(const struct client *c, struct slice ref)
{
	cJSON *json = NULL;

	NEED(ref.n > 0 && ref.n <= REF_MAX && ref.p >= c->text.p &&
	     ref.p + ref.n <= c->text.p + c->text.n);
	NEED(json_parse(ref, &json, NULL) == 0 && (cJSON_IsString(json) || cJSON_IsNumber(json)));
	cJSON_Delete(json);
}

static void
on_refused(struct caller *caller, const struct refusal *r, struct slice ref)
{
	struct client *c = client_of(CONTAINER(caller, struct session, caller));
	struct buf b = BUF_INIT(8192);
	struct slice text = slice_str(r->text);
	cJSON *json = NULL;

	NEED((int)r->code >= 0 && r->code < ERROR_CODE_COUNT && r->code != ERROR_INTERNAL);
	NEED(text.n > 0 && utf8_is_valid(text) && !utf8_has_control(text));
	if (ref.p != NULL && !c->is_json)
		check_made_out(c, ref);
	else
		NEED(ref.p == NULL || slice_eq(ref, slice_str(c->ref)));
	NEED(session_error(&b, r, ref) == 0 && json_parse(buf_slice(&b), &json, NULL) == 0);
	NEED(slice_eq(json_slice(json_member(json, "message")), text));
	NEED(slice_eq(json_raw_member(buf_slice(&b), "ref"), ref));
	cJSON_Delete(json);
	buf_done(&b);
	c->n_answers++;
	c->is_refused = true;
}

static const struct caller_ops caller_ops = {.answer = on_answer, .refused = on_refused};

static void
on_send(struct session *s, const char *type, uint64_t id, struct slice json)
{
	NEED(id == 0 || strcmp(type, "gap") == 0);
	check_sent(client_of(s), type, json, false);
}

static void
on_token_changed(struct session *s)
{
	(void)s; /* nothing is timed here */
}

static bool
has_room(struct subscriber *who)
{
	const struct client *c = client_of(session_of(who));

	return c->queued < c->room;
}

static bool
stands_under(struct slice pattern, const struct message *m)
{
	return pattern_matches(pattern, m->topic) ||
	       (m->also_n > 0 && pattern_matches(pattern, message_also(m)));
}

static void
on_push(struct subscriber *who, struct wire *w)
{
	struct client *c = client_of(session_of(who));
	bool is_his = false;

	c->queued++;
	NEED(w->message != NULL && w->n > 0);
	message_must_be_well(w->message);
	for (const struct sub *sub = who->subs; sub != NULL; sub = sub->next)
		is_his = is_his || stands_under(sub_pattern(sub), w->message);
	NEED(is_his);
	NEED(claims_may_subscribe(c->session.claims, w->message->topic) ||
	     (w->message->also_n > 0 &&
		 claims_may_subscribe(c->session.claims, message_also(w->message))));
}

static void
on_fail(struct subscriber *who)
{
	(void)who;
	FAIL("there is memory");
}

static const struct session_ops session_ops = {.who = {.has_room = has_room,
						   .push = on_push,
						   .claims = session_claims,
						   .gap = session_gap,
						   .fail = on_fail,
						   .level = session_level},
    .send = on_send,
    .token_changed = on_token_changed};

/* --- the world around them --- */

static const char *const everything[] = {"**", "user/**", NULL};
static const char *const chats[] = {"chat/*", "news/**", NULL};
static const char *const lobby[] = {"chat/lobby", "chat/quiet", "live/*", NULL};

/* `refresh`: "same" and "less" are tokens of Bob's, "other" is another's. */
static int
verify(struct hub *h, struct slice token, struct claims **out, struct refusal *why)
{
	(void)h;
	if (slice_eq(token, SLICE("same")))
		*out = world_claims("bob", chats, lobby);
	else if (slice_eq(token, SLICE("less")))
		*out = world_claims("bob", lobby, lobby);
	else if (slice_eq(token, SLICE("other")))
		*out = world_claims("eve", everything, everything);
	else
		return refuse(why, ERROR_INVALID_TOKEN, "the signature does not match");
	NEED(*out != NULL);
	return 0;
}

static void
open_client(struct chat *t, struct client *c, const char *name, const char *const *subscribe,
    const char *const *publish)
{
	struct claims *claims = world_claims(name, subscribe, publish);

	*c = (struct client){.world = &t->world, .room = UINT32_MAX};
	NEED(claims != NULL);
	NEED(session_init(&c->session, &t->world.hubs[0], &session_ops, claims, SLICE_NONE) == 0);
	c->session.who.form = FORM_WS_JSON;
	c->session.who.number = ++t->world.n_numbers;
	caller_init(&c->session.caller, &caller_ops);
}

static void
open_bob(struct chat *t)
{
	open_client(t, &t->bob, "bob", chats, lobby);
}

/* What Ada, a moderator, does to somebody. */
static void
reach(struct hub *h, struct measure *m)
{
	struct chat *t = h->owner;

	if (measure_is_live(m) && measure_apply(m, &t->bob.session) == MEASURE_ENDS)
		NEED(t->bob.session.who.subs == NULL);
	m->done(m);
}

/* --- one line --- */

static void
check_counts(const struct client *c)
{
	unsigned n_rooms = 0;
	unsigned n_topics = 0;

	for (const struct sub *sub = c->session.who.subs; sub != NULL; sub = sub->next) {
		n_rooms += sub->is_room;
		n_topics += !sub->is_room;
		NEED(claims_may_subscribe(c->session.claims, sub_pattern(sub)));
		NEED(!sub->is_room || topic_room(sub_pattern(sub)).p != NULL);
	}
	NEED(n_rooms == c->session.who.n_rooms);
	NEED(n_rooms + n_topics <= ROOMS);
	NEED(c->session.caller.n_pending == 0);
}

/* The ref that an answer must repeat, and whether there may be an answer at all. */
static bool
expects_answer(struct client *c, struct slice text)
{
	bool is_silent = false;
	cJSON *json = NULL;

	c->text = text;
	c->ref[0] = '\0';
	c->is_json = json_parse(text, &json, NULL) == 0;
	if (!c->is_json)
		return true;
	if (cJSON_IsObject(json)) {
		const cJSON *type = json_member(json, "type");
		const cJSON *ref = json_member(json, "ref");
		struct slice raw = json_raw_member(text, "ref");

		is_silent = slice_eq_nocase(json_slice(type), SLICE("typing")) ||
			    slice_eq_nocase(json_slice(type), SLICE("read"));
		if ((cJSON_IsString(ref) || cJSON_IsNumber(ref)) && raw.n <= REF_MAX) {
			memcpy(c->ref, raw.p, raw.n);
			c->ref[raw.n] = '\0';
		}
	}
	cJSON_Delete(json);
	return !is_silent;
}

/* A request has one answer; a chat in no room is told of the room it came to as well. */
static void
check_answered(const struct client *c, bool expects, unsigned n_rooms)
{
	unsigned n_most = c->ref[0] == '\0' && n_rooms == 0 ? 2 : 1;

	if (!expects)
		NEED(c->n_answers <= 1 && (c->n_answers == 0 || c->is_refused));
	else
		NEED(c->n_answers >= 1 && c->n_answers <= n_most);
}

static void
send_line(struct chat *t, struct client *c, struct slice text, bool is_plain)
{
	unsigned n_rooms = c->session.who.n_rooms;
	bool expects = true;

	c->n_answers = 0;
	c->is_refused = false;
	if (is_plain) {
		c->ref[0] = '\0';
		/* the decoder of WebSockets lets no other text through; U+0000 reads back with no cJSON */
		if (!utf8_is_valid(text) || (text.n > 0 && memchr(text.p, '\0', text.n) != NULL))
			return;
		command_say(&c->session, &c->session.caller, text);
	} else {
		expects = expects_answer(c, text);
		command_run(&c->session, &c->session.caller, text);
	}
	world_turn(&t->world);
	check_answered(c, expects, n_rooms);
	check_counts(&t->ada);
	check_counts(&t->bob);
}

static void
run_line(struct chat *t, struct slice line)
{
	struct slice rest = line;
	unsigned what = take_byte(&rest);

	switch (what) {
	case '{':
		send_line(t, &t->ada, line, false);
		break;
	case 'b':
		send_line(t, &t->bob, rest, false);
		break;
	case 's':
		send_line(t, &t->ada, rest, true);
		break;
	case 'S':
		send_line(t, &t->bob, rest, true);
		break;
	case 't':
		world_pass(&t->world, (int64_t)take_byte(&rest) * 400);
		presence_expire(t->world.log, t->world.now_ms);
		log_sweep(t->world.log, t->world.now_ms);
		markers_tick(t->world.log, t->world.now_ms);
		session_typing_tick(&t->ada.session, t->world.hubs[0].mono_us / 1000);
		session_typing_tick(&t->bob.session, t->world.hubs[0].mono_us / 1000);
		break;
	case 'q':
		t->bob.room = take_byte(&rest);
		break;
	case 'd':
		t->bob.queued = 0;
		hub_drained(&t->world.hubs[0], &t->bob.session.who);
		break;
	case 'l':
		session_done(&t->bob.session, true);
		open_bob(t);
		break;
	default:
		break;
	}
	world_turn(&t->world);
}

/* --- what is stored then --- */

/* All of the log, as it is read at the end. */
struct stored {
	struct world *world;
	struct log_read read;
	struct message *all[STORED_MAX];
	unsigned n;
};

static void
on_read(struct log_read *r)
{
	struct stored *s = CONTAINER(r, struct stored, read);

	NEED(r->status == 0);
	for (unsigned i = 0; i < r->n; i++) {
		NEED(s->n < STORED_MAX && (s->n == 0 || r->messages[i]->id > s->all[s->n - 1]->id));
		s->all[s->n++] = message_ref(r->messages[i]);
	}
	log_read_release(r);
}

static void
read_all(struct stored *s, struct world *w)
{
	static const struct log_filter all[] = {
	    {.pattern = {"**", 2}}, {.pattern = {"user/**", 7}}};

	s->world = w;
	s->n = 0;
	s->read = (struct log_read){.mode = LOG_FORWARD,
	    .filters = all,
	    .n_filters = ARRAY_LEN(all),
	    .upto = UINT64_MAX >> 1,
	    .count = LOG_READ_MAX,
	    .max_bytes = SIZE_MAX,
	    .now_ms = w->now_ms,
	    .done = on_read};
	do {
		s->read.after = s->n == 0 ? 0 : s->all[s->n - 1]->id;
		log_read(w->log, &s->read);
	} while (s->read.more);
}

/* What one emoji says of a message: how many, by the message's own account. */
static uint64_t
reacted(const struct message *m, struct slice emoji)
{
	struct slice list = json_raw_member(m->json, "reactions");
	struct buf name = BUF_INIT(1024);
	struct slice each;
	uint64_t n = 0;

	NEED(json_add_string(&name, emoji) == 0);
	while (list.p != NULL && json_raw_element(&list, &each)) {
		if (slice_eq(json_raw_member(each, "emoji"), buf_slice(&name)))
			NEED(slice_to_u64(json_raw_member(each, "count"), &n) == 0 && n > 0);
	}
	buf_done(&name);
	return n;
}

/* A record tells what its target is; of those with the same key there is one. */
static void
check_change(const struct stored *s, const struct message *record)
{
	char a[CHANGE_KEY_MAX];
	char b[CHANGE_KEY_MAX];
	const struct message *target = NULL;
	uint64_t n = 0;

	NEED(record->target != 0 && record->target < record->id);
	for (unsigned i = 0; i < s->n; i++) {
		const struct message *m = s->all[i];

		if (m->id == record->target)
			target = m;
		if (m->target != record->target)
			continue;
		NEED(m == record || !slice_eq(change_key(m, a), change_key(record, b)));
		n += m->kind == MESSAGE_REACTION && !m->is_off && record->kind == m->kind &&
		     slice_eq(m->content, record->content);
	}
	if (target == NULL)
		return; /* retention took it */
	NEED(target->kind == MESSAGE_CHAT || target->kind == MESSAGE_DIRECT);
	NEED(target->is_deleted == (record->kind == MESSAGE_DELETED));
	if (record->kind == MESSAGE_REACTION)
		NEED(reacted(target, record->content) == n);
	if (record->kind == MESSAGE_EDITED && record->content.p != NULL)
		NEED(slice_eq(target->content, record->content));
}

static void
check_stored(struct world *w)
{
	static struct stored s; /* too large for the stack */

	read_all(&s, w);
	for (unsigned i = 0; i < s.n; i++) {
		message_must_be_well(s.all[i]);
		if (!message_is_content(s.all[i]))
			check_change(&s, s.all[i]);
	}
	while (s.n > 0)
		message_unref(s.all[--s.n]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct chat t; /* too large for the stack */
	struct slice in = slice_of((const char *)data, size);

	if (size > INPUT_MAX)
		return 0;
	t = (struct chat){0};
	NEED(world_init(&t.world, NULL));
	t.world.config->limits.rooms_per_connection = ROOMS;
	t.world.config->limits.message = 2000;
	t.world.config->limits.messages_per_second = 20;
	t.world.config->limits.burst = 40;
	t.world.config->chat.typing_timeout_ms = 6000;
	t.world.hubs[0].verify = verify;
	t.world.hubs[0].owner = &t;
	t.world.hubs[0].reach = reach;
	open_client(&t, &t.ada, "ada", everything, everything);
	t.ada.session.claims->role = ROLE_MODERATOR;
	open_bob(&t);
	while (in.p != NULL)
		run_line(&t, take_line(&in));
	session_done(&t.ada.session, false);
	session_done(&t.bob.session, false);
	check_stored(&t.world);
	presence_expire(t.world.log, t.world.now_ms + 1000000);
	world_turn(&t.world);
	NEED(log_rooms(t.world.log) == 0);
	world_done(&t.world);
	return 0;
}
