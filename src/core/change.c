#include "core/change.h"

#include <errno.h>

#include "core/topic.h"
#include "proto/json.h"

bool
change_is_for(const struct message *target)
{
	return (target->kind == MESSAGE_CHAT || target->kind == MESSAGE_DIRECT) &&
	       !target->is_deleted && target->is_logged;
}

int
change_receiver(const struct message *target, struct buf *out)
{
	cJSON *json = NULL;
	int r = json_parse(json_raw_member(target->json, "to"), &json, NULL);

	if (r == 0)
		r = buf_add_slice(out, json_string(json));
	cJSON_Delete(json);
	return r < 0 ? -ENOMEM : 0;
}

/* --- the record --- */

#define CHANGE_USER_MAX 128 /* bytes of a user id (TOKEN_SUB_MAX) */

static const char *
name_of(enum message_kind kind)
{
	return kind == MESSAGE_EDITED ? "edited" : kind == MESSAGE_DELETED ? "deleted" : "reaction";
}

/* Where the target stands: its room, or of a direct message its two users. */
static void
add_place(struct buf *b, const struct message *target)
{
	if (target->kind == MESSAGE_CHAT) {
		(void)json_add_member_string(b, "room", topic_room(target->topic));
		return;
	}
	(void)json_add_member_raw(b, "to", json_raw_member(target->json, "to"));
	(void)json_add_member_raw(b, "from", json_raw_member(target->json, "from"));
}

static void
add_what(struct buf *b, const struct message_change *in)
{
	if (in->kind == MESSAGE_REACTION) {
		(void)json_add_member_string(b, "emoji", in->emoji);
		(void)json_add_member_bool(b, "on", !in->is_off);
	}
	if (in->content.p != NULL)
		(void)json_add_member_string(b, "content", in->content);
	if (in->data.p != NULL) {
		(void)json_add_key(b, "data");
		message_add_json(b, in->data);
	}
	if (in->mentions.p != NULL)
		(void)json_add_member_raw(b, "mentions", in->mentions);
}

struct message *
change_record(
    const struct message_change *in, const struct topic_rule *rule, int64_t now_ms, uint64_t origin)
{
	const struct message *target = in->target;
	bool is_placed = in->topic.p != NULL;
	struct message_parts parts = {.topic = is_placed ? in->topic : target->topic,
	    .also = is_placed ? in->also : message_also(target),
	    .event = slice_str(name_of(in->kind)),
	    .content = in->kind == MESSAGE_REACTION ? in->emoji : in->content,
	    .name = in->user.name,
	    .user_id = in->user.user_id};
	struct message *m;
	struct message_draft d UNCLEARED;

	message_start(&d, name_of(in->kind));
	message_add_id(&d);
	(void)json_add_member_u64(&d.json, "target", target->id);
	add_place(&d.json, target);
	message_add_user(&d.json, "user", &in->user);
	add_what(&d.json, in);
	(void)json_add_member_i64(&d.json, "time", now_ms);
	(void)buf_add_char(&d.json, '}');
	m = message_finish(&d, &parts);
	if (m == NULL)
		return NULL;
	m->kind = (uint8_t)in->kind;
	m->is_logged = true;
	m->is_off = in->is_off;
	m->target = target->id;
	m->time_ms = now_ms;
	m->expires_ms = target->expires_ms; /* what was said ends with it */
	m->origin = origin;
	m->keep_count = rule->history;
	m->keep_ms = rule->keep_ms;
	return m;
}

struct slice
change_key(const struct message *record, char out[CHANGE_KEY_MAX])
{
	size_t emoji_n = min_size(record->content.n, CHANGE_EMOJI_MAX);
	size_t user_n = min_size(record->user_id.n, CHANGE_USER_MAX);
	size_t n = sizeof(record->target);

	memcpy(out, &record->target, n);
	out[n++] = (char)record->kind;
	if (record->kind == MESSAGE_REACTION) {
		if (emoji_n > 0)
			memcpy(out + n, record->content.p, emoji_n);
		n += emoji_n;
		out[n++] = '\0';
		if (user_n > 0)
			memcpy(out + n, record->user_id.p, user_n);
		n += user_n;
	}
	return slice_of(out, n);
}
_Static_assert(
    sizeof(uint64_t) + 2 + CHANGE_EMOJI_MAX + CHANGE_USER_MAX <= CHANGE_KEY_MAX, "a key fits");

/* --- reactions: [{"emoji":"👍","count":2,"users":["ada","bob"]},…] --- */

/* One emoji of it, and what a record does to it. */
struct reaction {
	struct slice emoji; /* as JSON */
	struct slice users; /* JSON array */
	uint64_t count;
};

static bool
read_reaction(struct slice *rest, struct reaction *out)
{
	struct slice element;

	if (!json_raw_element(rest, &element))
		return false;
	*out = (struct reaction){
	    .emoji = json_raw_member(element, "emoji"), .users = json_raw_member(element, "users")};
	return out->emoji.p != NULL && out->users.p != NULL &&
	       slice_to_u64(json_raw_member(element, "count"), &out->count) == 0;
}

/* The users of a reaction with `user` (as JSON) put at its end, or taken out. */
static void
add_users(struct buf *b, struct slice users, struct slice user, bool is_off)
{
	struct slice each;
	unsigned n = 0;

	(void)json_add_key(b, "users");
	(void)buf_add_char(b, '[');
	while (json_raw_element(&users, &each) && n < CHANGE_LISTED) {
		if (slice_eq(each, user))
			continue;
		if (n++ > 0)
			(void)buf_add_char(b, ',');
		(void)buf_add_slice(b, each);
	}
	if (!is_off && n < CHANGE_LISTED) {
		if (n > 0)
			(void)buf_add_char(b, ',');
		(void)buf_add_slice(b, user);
	}
	(void)buf_add_char(b, ']');
}

static void
add_reaction(
    struct buf *b, const struct reaction *t, struct slice user, bool is_changed, bool is_off)
{
	uint64_t count = !is_changed ? t->count : is_off ? t->count - 1 : t->count + 1;

	if (count == 0)
		return;
	if (b->n > 1)
		(void)buf_add_char(b, ',');
	(void)buf_add_char(b, '{');
	(void)json_add_member_raw(b, "emoji", t->emoji);
	(void)json_add_member_u64(b, "count", count);
	if (is_changed)
		add_users(b, t->users, user, is_off);
	else
		(void)json_add_member_raw(b, "users", t->users);
	(void)buf_add_char(b, '}');
}

/* The array after a record, nothing when it is empty then. 0, -EOVERFLOW, -ENOMEM. */
static int
react(struct slice before, const struct message *record, struct buf *out)
{
	char emoji_bytes[2 * CHANGE_EMOJI_MAX];
	char user_bytes[512];
	struct buf emoji = BUF_ON(emoji_bytes, sizeof(emoji_bytes) * 8);
	struct buf user = BUF_ON(user_bytes, sizeof(user_bytes) * 8);
	struct reaction t;
	bool is_found = false;
	unsigned n = 0;
	int r = 0;

	(void)json_add_string(&emoji, record->content);
	(void)json_add_string(&user, record->user_id);
	(void)buf_add_char(out, '[');
	for (; read_reaction(&before, &t); n++) {
		bool is_it = slice_eq(t.emoji, buf_slice(&emoji));

		is_found = is_found || is_it;
		add_reaction(out, &t, buf_slice(&user), is_it, record->is_off);
	}
	if (!is_found && !record->is_off) {
		t = (struct reaction){.emoji = buf_slice(&emoji), .users = SLICE("[]")};
		add_reaction(out, &t, buf_slice(&user), true, false);
		r = n >= CHANGE_REACTIONS_MAX ? -EOVERFLOW : 0;
	}
	(void)buf_add_char(out, ']');
	if (emoji.failed || user.failed || out->failed)
		r = -ENOMEM;
	buf_done(&emoji);
	buf_done(&user);
	return r;
}

/* --- the target's new state --- */

/* What a message was made of. */
static void
take_apart(const struct message *m, struct message_chat *out)
{
	*out = (struct message_chat){.topic = m->topic,
	    .also = message_also(m),
	    .from = {m->user_id, m->name},
	    .content = m->content,
	    .data = json_raw_member(m->json, "data"),
	    .key = m->key,
	    .expires_ms = m->expires_ms,
	    .mentions = json_raw_member(m->json, "mentions"),
	    .reactions = json_raw_member(m->json, "reactions")};
	uint64_t edited = 0;

	if (m->kind == MESSAGE_DIRECT)
		out->to = json_raw_member(m->json, "to");
	if (slice_to_u64(json_raw_member(m->json, "reply_to"), &out->reply_to) < 0)
		out->reply_to = 0;
	if (slice_to_u64(json_raw_member(m->json, "edited"), &edited) == 0)
		out->edited_ms = (int64_t)edited;
}

static void
edit(struct message_chat *to, const struct message *record)
{
	struct slice data = json_raw_member(record->json, "data");

	if (record->content.p != NULL) {
		to->content = record->content;
		to->mentions = json_raw_member(record->json, "mentions");
	}
	if (data.p != NULL)
		to->data = data;
	to->edited_ms = record->time_ms;
}

static void
wipe(struct message_chat *to)
{
	to->is_deleted = true;
	to->content = SLICE_NONE;
	to->key = SLICE_NONE; /* a client may have put anything there */
}

int
change_apply(const struct message *target, const struct message *record, struct message **out)
{
	/* what is remade is logged, as it was */
	struct topic_rule rule = {.history = 1};
	struct buf reactions = BUF_INIT(MESSAGE_JSON_MAX);
	struct message_chat parts;
	struct message *m = NULL;
	int r = json_check(target->json, NULL);

	/* it may come from a disk */
	if (r < 0 && r != JSON_E_NUL)
		return r == JSON_E_MEMORY ? -ENOMEM : -ENOENT;
	r = 0;
	take_apart(target, &parts);
	if (record->kind == MESSAGE_EDITED) {
		edit(&parts, record);
	} else if (record->kind == MESSAGE_DELETED) {
		wipe(&parts);
	} else {
		r = react(parts.reactions, record, &reactions);
		parts.reactions = reactions.n > 2 ? buf_slice(&reactions) : SLICE_NONE;
	}
	if (r == 0)
		m = message_chat(&parts, &rule, target->time_ms, target->origin);
	buf_done(&reactions);
	if (m == NULL)
		return r < 0 ? r : -ENOMEM;
	m->keep_count = target->keep_count;
	m->keep_ms = target->keep_ms;
	message_commit(m, target->id);
	*out = m;
	return 0;
}
