#include "core/message.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "core/topic.h"
#include "proto/json.h"
#include "proto/ws.h"

#define ID_BLANK "0000000000000000"
#define ID_WRAPS 10000000000000000 /* never reached: the first number of one digit more */

/*
 * JSON as a peer wrote it: its line breaks can only be white space, and would end a line of
 * NDJSON.
 */
void
message_add_json(struct buf *b, struct slice json)
{
	size_t from = b->n;

	if (buf_add_slice(b, json) < 0)
		return;
	for (size_t i = from; i < b->n; i++) {
		if (b->p[i] == '\n' || b->p[i] == '\r')
			b->p[i] = ' ';
	}
}

static void
add_data(struct buf *b, struct slice json)
{
	(void)json_add_key(b, "data");
	message_add_json(b, json);
}

/* The struct, room for the frame's head, JSON, then the other texts. */
struct message *
message_finish(struct message_draft *d, const struct message_parts *parts)
{
	size_t title_n = parts->title.n == 0 ? 0 : parts->title.n + 1;
	size_t texts = parts->topic.n + parts->also.n + parts->event.n + title_n +
		       parts->content.n + parts->name.n + parts->user_id.n + parts->key.n;
	struct message *m = NULL;
	uint8_t head[WS_SERVER_HEAD];
	size_t head_n;
	char *at;

	if (d->json.failed)
		goto out;
	m = mem_alloc(sizeof(*m) + WS_SERVER_HEAD + d->json.n + texts);
	if (m == NULL)
		goto out;
	*m = (struct message){.id_at = (uint16_t)d->id_at};
	atomic_init(&m->refs, 1);
	at = (char *)(m + 1) + WS_SERVER_HEAD;
	m->json = slice_place(&at, buf_slice(&d->json));
	if (d->sse_at > 0)
		m->sse = slice_skip(m->json, d->sse_at);
	head_n = ws_head_encode(head, WS_TEXT, false, m->json.n);
	m->frame = (char *)(m + 1) + WS_SERVER_HEAD - head_n;
	memcpy(m->frame, head, head_n);
	m->topic = slice_place(&at, parts->topic);
	m->also_n = (uint8_t)slice_place(&at, parts->also).n; /* a topic: TOPIC_MAX bytes at most */
	m->event = slice_place(&at, parts->event);
	if (title_n > 0) {
		(void)slice_place(&at, parts->title);
		*at++ = '\n';
	}
	m->title_n = (uint32_t)title_n;
	m->content = slice_place(&at, parts->content);
	m->name = slice_place(&at, parts->name);
	m->user_id = slice_place(&at, parts->user_id);
	m->key = slice_place(&at, parts->key);
out:
	buf_done(&d->json);
	return m;
}

static void
begin(struct message_draft *d)
{
	d->json = BUF_ON(d->room, MESSAGE_JSON_MAX);
	d->id_at = 0;
	d->sse_at = 0;
}

/*
 * What is the same in every message is written as it stands in the JSON, with its comma: a member's
 * name so costs 20 instructions, by json_add_name 130. Failures stick until message_finish().
 */
#define START(d, type) (begin(d), (void)BUF_ADD_LIT(&(d)->json, "{\"type\":\"" type "\""))

void
message_start(struct message_draft *d, const char *type)
{
	begin(d);
	(void)buf_add_char(&d->json, '{');
	(void)json_add_member_string(&d->json, "type", slice_str(type));
}

static void
add_string(struct message_draft *d, struct slice value)
{
	(void)json_add_string(&d->json, value);
}

void
message_add_id(struct message_draft *d)
{
	(void)BUF_ADD_LIT(&d->json, ",\"id\":" ID_BLANK);
	d->id_at = d->json.n - MESSAGE_ID_DIGITS;
}

void
message_add_user(struct buf *b, const char *member, const struct message_from *u)
{
	if (member != NULL)
		(void)json_add_key(b, member);
	(void)BUF_ADD_LIT(b, "{\"id\":");
	(void)json_add_string(b, u->user_id);
	(void)BUF_ADD_LIT(b, ",\"name\":");
	(void)json_add_string(b, u->name);
	(void)buf_add_char(b, '}');
}

static void
set_rule(struct message *m, const struct topic_rule *rule, int64_t now_ms, uint64_t origin)
{
	m->is_logged = rule->history > 0;
	m->keep_count = rule->history;
	m->keep_ms = rule->keep_ms;
	m->time_ms = now_ms;
	m->origin = origin;
}

/* What a message has beyond what was sent, which most have nothing of. */
static void
add_later(struct buf *b, const struct message_chat *in)
{
	if (in->mentions.p != NULL)
		(void)json_add_member_raw(b, "mentions", in->mentions);
	if (in->edited_ms != 0)
		(void)json_add_member_i64(b, "edited", in->edited_ms);
	if (in->reactions.p != NULL)
		(void)json_add_member_raw(b, "reactions", in->reactions);
}

/* Of one that was deleted: who and when, and nothing of what was said. */
static void
add_said(struct buf *b, const struct message_chat *in, int64_t now_ms)
{
	if (in->is_deleted) {
		(void)json_add_member_i64(b, "time", now_ms);
		(void)json_add_member_bool(b, "deleted", true);
		return;
	}
	(void)BUF_ADD_LIT(b, ",\"content\":");
	(void)json_add_string(b, in->content.p == NULL ? SLICE("") : in->content);
	if (in->data.p != NULL)
		add_data(b, in->data);
	(void)BUF_ADD_LIT(b, ",\"time\":");
	(void)buf_add_i64(b, now_ms);
	if (in->key.p != NULL)
		(void)json_add_member_string(b, "key", in->key);
	if (in->reply_to != 0)
		(void)json_add_member_u64(b, "reply_to", in->reply_to);
	add_later(b, in);
}

struct message *
message_chat(
    const struct message_chat *in, const struct topic_rule *rule, int64_t now_ms, uint64_t origin)
{
	bool is_direct = in->to.p != NULL;
	struct message_parts parts = {.topic = in->topic,
	    .also = in->also,
	    .content = in->content,
	    .name = in->from.name,
	    .user_id = in->from.user_id,
	    .key = in->key};
	struct message *m;
	struct message_draft d UNCLEARED;

	if (is_direct)
		START(&d, "direct");
	else
		START(&d, "chat");
	if (rule->history > 0)
		message_add_id(&d);
	if (is_direct) {
		(void)json_add_member_raw(&d.json, "to", in->to);
	} else {
		(void)BUF_ADD_LIT(&d.json, ",\"room\":");
		add_string(&d, topic_room(in->topic));
	}
	(void)BUF_ADD_LIT(&d.json, ",\"from\":");
	message_add_user(&d.json, NULL, &in->from);
	add_said(&d.json, in, now_ms);
	(void)buf_add_char(&d.json, '}');
	m = message_finish(&d, &parts);
	if (m == NULL)
		return NULL;
	m->kind = is_direct ? MESSAGE_DIRECT : MESSAGE_CHAT;
	m->event = is_direct ? SLICE("direct") : SLICE("chat");
	m->is_deleted = in->is_deleted;
	m->expires_ms = in->expires_ms;
	set_rule(m, rule, now_ms, origin);
	return m;
}

static void
add_tags(struct buf *b, const struct message_notice *in)
{
	(void)json_add_key(b, "tags");
	(void)buf_add_char(b, '[');
	for (size_t i = 0; i < in->n_tags; i++) {
		if (i > 0)
			(void)buf_add_char(b, ',');
		(void)json_add_string(b, in->tags[i]);
	}
	(void)buf_add_char(b, ']');
}

/* Members of a notification, in the order of docs/wire.md, "Event streams". */
static void
add_notice(struct buf *b, const struct message_notice *in, int64_t now_ms)
{
	if (in->title.p != NULL)
		(void)json_add_member_string(b, "title", in->title);
	if (in->text.p != NULL) {
		(void)BUF_ADD_LIT(b, ",\"message\":");
		(void)json_add_string(b, in->text);
	}
	(void)BUF_ADD_LIT(b, ",\"timestamp\":");
	(void)buf_add_i64(b, now_ms / 1000);
	if (in->priority > 0)
		(void)json_add_member_u64(b, "priority", in->priority);
	if (in->n_tags > 0)
		add_tags(b, in);
	if (in->click.p != NULL)
		(void)json_add_member_string(b, "click", in->click);
	if (in->data.p != NULL)
		add_data(b, in->data);
	if (in->from.user_id.p != NULL) {
		(void)BUF_ADD_LIT(b, ",\"from\":");
		message_add_user(b, NULL, &in->from);
	}
}

/*
 * The JSON begins {"type":…,"event":…,"id":… so that the data of an event stream, which has
 * neither type nor event, is its tail: a '{' in the place of the comma before `id` or `topic`
 * is put in when the form is made.
 */
struct message *
message_notice(const struct message_notice *in, struct slice data_text,
    const struct topic_rule *rule, int64_t now_ms, uint64_t origin)
{
	bool is_event = in->title.p == NULL && in->text.p == NULL;
	struct slice event = in->event.p != NULL ? in->event
			     : is_event          ? SLICE("message")
						 : SLICE("notification");
	struct message_parts parts = {.topic = in->topic,
	    .event = event,
	    .title = in->title,
	    .content = is_event ? data_text : in->text,
	    .name = in->from.name,
	    .user_id = in->from.user_id,
	    .key = in->key};
	struct message *m;
	struct message_draft d UNCLEARED;

	if (is_event)
		START(&d, "event");
	else
		START(&d, "notification");
	if (in->event.p != NULL) {
		(void)BUF_ADD_LIT(&d.json, ",\"event\":");
		add_string(&d, event);
	} else if (is_event) {
		(void)BUF_ADD_LIT(&d.json, ",\"event\":\"message\"");
	} else {
		(void)BUF_ADD_LIT(&d.json, ",\"event\":\"notification\"");
	}
	d.sse_at = d.json.n;
	if (rule->history > 0)
		message_add_id(&d);
	(void)BUF_ADD_LIT(&d.json, ",\"topic\":");
	add_string(&d, in->topic);
	if (is_event) {
		(void)json_add_key(&d.json, "data");
		d.sse_at = d.json.n;
		message_add_json(&d.json, in->data);
	} else {
		add_notice(&d.json, in, now_ms);
	}
	if (in->key.p != NULL)
		(void)json_add_member_string(&d.json, "key", in->key);
	(void)buf_add_char(&d.json, '}');
	m = message_finish(&d, &parts);
	if (m == NULL)
		return NULL;
	m->kind = is_event ? MESSAGE_EVENT : MESSAGE_NOTIFICATION;
	if (is_event)
		m->sse.n = in->data.n; /* the value alone, without what follows it */
	m->is_data_text = is_event && data_text.p != NULL;
	m->expires_ms = in->expires_ms;
	set_rule(m, rule, now_ms, origin);
	return m;
}

static void
add_room(struct message_draft *d, struct slice topic)
{
	(void)json_add_member_string(&d->json, "room", topic_room(topic));
}

/* Of what is told once and not kept: all its members are there. */
static struct message *
finish_passing(struct message_draft *d, struct slice topic, struct message_from user,
    enum message_kind kind, struct slice event, uint64_t origin)
{
	struct message_parts parts = {.topic = topic, .name = user.name, .user_id = user.user_id};
	struct message *m;

	(void)buf_add_char(&d->json, '}');
	m = message_finish(d, &parts);
	if (m == NULL)
		return NULL;
	m->kind = (uint8_t)kind;
	m->event = event;
	m->origin = origin;
	return m;
}

struct message *
message_typing(struct slice topic, struct message_from user, bool typing, uint64_t origin)
{
	struct message_draft d UNCLEARED;

	START(&d, "typing");
	add_room(&d, topic);
	message_add_user(&d.json, "user", &user);
	(void)json_add_member_bool(&d.json, "typing", typing);
	return finish_passing(&d, topic, user, MESSAGE_TYPING, SLICE("typing"), origin);
}

struct message *
message_read(struct slice topic, struct message_from user, uint64_t id, uint64_t origin)
{
	struct message_draft d UNCLEARED;

	START(&d, "read");
	add_room(&d, topic);
	message_add_user(&d.json, "user", &user);
	(void)json_add_member_u64(&d.json, "read", id);
	return finish_passing(&d, topic, user, MESSAGE_READ, SLICE("read"), origin);
}

struct message *
message_presence(
    struct slice topic, struct message_from user, bool joined, size_t count, uint64_t origin)
{
	struct message_draft d UNCLEARED;

	if (joined)
		START(&d, "user_joined");
	else
		START(&d, "user_left");
	add_room(&d, topic);
	message_add_user(&d.json, "user", &user);
	(void)json_add_member_u64(&d.json, "count", count);
	return joined
		   ? finish_passing(
			 &d, topic, user, MESSAGE_USER_JOINED, SLICE("user_joined"), origin)
		   : finish_passing(&d, topic, user, MESSAGE_USER_LEFT, SLICE("user_left"), origin);
}

struct message *
message_crowd(struct slice topic, size_t count, struct slice members)
{
	struct message_from nobody = {SLICE_NONE, SLICE_NONE};
	struct message_draft d UNCLEARED;

	if (members.p == NULL)
		START(&d, "count");
	else
		START(&d, "members");
	add_room(&d, topic);
	(void)json_add_member_u64(&d.json, "count", count);
	if (members.p != NULL)
		(void)json_add_member_raw(&d.json, "members", members);
	return finish_passing(&d, topic, nobody, MESSAGE_COUNT,
	    members.p == NULL ? SLICE("count") : SLICE("members"), 0);
}

struct message *
message_raw(struct slice topic, uint8_t opcode, struct slice payload, uint64_t origin)
{
	struct message_parts parts = {.topic = topic};
	struct message_draft d UNCLEARED;
	uint8_t head[WS_SERVER_HEAD];
	struct message *m;
	size_t head_n;

	d.json = buf_of(payload, payload.n + 1);
	d.id_at = 0;
	d.sse_at = 0;
	m = message_finish(&d, &parts);
	if (m == NULL)
		return NULL;
	head_n = ws_head_encode(head, (enum ws_opcode)opcode, false, payload.n);
	memcpy(m->frame, head, head_n); /* of the same size: only the opcode differs */
	m->kind = MESSAGE_RAW;
	m->opcode = opcode;
	m->origin = origin;
	return m;
}

struct message *
message_ref(struct message *m)
{
	atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	return m;
}

void
message_unref(struct message *m)
{
	if (m == NULL || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < MESSAGE_FORMS; i++)
		mem_free(atomic_load_explicit(&m->forms[i], memory_order_relaxed));
	mem_free(m);
}

/*
 * A member's number is another one. Texts are escaped, so only `data` can have what looks the same;
 * it stands behind the first of a notification, before the last of a chat.
 */
static void
put_number(struct slice json, bool is_last, const char *member, int64_t before, int64_t after)
{
	char old[64];
	char new[64];
	int n = snprintf(old, sizeof(old), ",\"%s\":%lld", member, (long long)before);
	char *found = NULL;
	char *at;

	if (snprintf(new, sizeof(new), ",\"%s\":%lld", member, (long long)after) != n)
		return; /* it has a digit more: not in this era */
	while ((at = memmem(json.p, json.n, old, (size_t)n)) != NULL) {
		json = slice_skip(json, (size_t)(at - json.p) + 1);
		if (found == NULL || is_last)
			found = at;
	}
	if (found != NULL)
		memcpy(found, new, (size_t)n);
}

void
message_set_time(struct message *m, int64_t now_ms)
{
	if (m->kind == MESSAGE_NOTIFICATION)
		put_number(m->json, false, "timestamp", m->time_ms / 1000, now_ms / 1000);
	else if (m->kind != MESSAGE_EVENT)
		put_number(m->json, true, "time", m->time_ms, now_ms);
	if (m->expires_ms != 0)
		m->expires_ms += now_ms - m->time_ms;
	m->time_ms = now_ms;
}

void
message_commit(struct message *m, uint64_t id)
{
	char *digits = m->frame + ((m->json.p - m->frame) + m->id_at);

	m->id = id;
	memset(digits, '0', MESSAGE_ID_DIGITS);
	(void)digits_before(digits + MESSAGE_ID_DIGITS, id % ID_WRAPS);
}

size_t
message_memory(const struct message *m)
{
	return sizeof(*m) + WS_SERVER_HEAD + m->json.n + m->topic.n + m->also_n + m->title_n +
	       m->content.n + m->name.n + m->user_id.n + m->key.n + 32;
}

void
message_account(struct message *m, _Atomic int64_t *account)
{
	uint32_t n = atomic_load_explicit(&m->forms_bytes, memory_order_relaxed);

	m->account = account;
	if (n != 0) /* most have none: an atomic addition of nothing costs as much as one */
		atomic_fetch_add_explicit(account, n, memory_order_relaxed);
}

void
message_unaccount(struct message *m)
{
	uint32_t n =
	    atomic_exchange_explicit(&m->forms_bytes, MESSAGE_UNCOUNTED, memory_order_relaxed);

	if (m->account != NULL && n != MESSAGE_UNCOUNTED && n != 0)
		atomic_fetch_sub_explicit(m->account, n, memory_order_relaxed);
}
