#include "base/mem.h"
#include "core/command_list.h"
#include "core/config.h"
#include "core/moderation.h"
#include "core/presence.h"
#include "core/topic.h"
#include "proto/json.h"

/* --- members of a command --- */

/* A string member; absent when it is not there. */
int
command_take_string(
    const struct command *cmd, const char *name, struct slice *out, struct refusal *why)
{
	return field_string(cmd->json, name, out, why);
}

static int
need_string(const struct command *cmd, const char *name, struct slice *out, struct refusal *why)
{
	if (command_take_string(cmd, name, out, why) < 0)
		return -1;
	if (out->p == NULL)
		return refuse(why, ERROR_BAD_FIELD, "%s is missing", name);
	return 0;
}

/* `after` or `last`: a position (docs/wire.md, "Words"). */
int
command_take_position(const struct command *cmd, unsigned last, int64_t now_ms,
    struct position *out, struct refusal *why)
{
	struct json_value after = json_get(cmd->json, "after");
	struct json_value count = json_get(cmd->json, "last");
	bool is_absent = after.kind == JSON_IS_ABSENT;
	struct slice text;
	uint64_t n = last;

	*out = (struct position){.kind = POSITION_LAST, .last = last};
	if (is_absent && count.kind != JSON_IS_ABSENT && json_value_count(count, &n) < 0)
		return refuse(why, ERROR_BAD_FIELD, "last must be an integer that is not negative");
	if (field_text(cmd->json, after, &text, why) < 0)
		return -1;
	if (text.p != NULL) {
		*out = position_parse(text, now_ms);
	} else if (after.kind == JSON_IS_NUMBER) {
		out->kind =
		    json_value_u64(after, &out->id) == 0 || slice_to_u64(after.raw, &out->id) == 0
			? POSITION_ID /* as a text: one above all ids is newer than all */
			: POSITION_BAD;
	} else if (!is_absent) {
		return refuse(why, ERROR_BAD_FIELD,
		    "after must be an id, a duration such as 10m, a time, or all");
	} else {
		out->last = (unsigned)min_u64(n, POSITION_LAST_MAX);
	}
	return 0;
}

struct sub *
command_only_room(const struct session *s)
{
	struct sub *sub = s->who.subs;

	while (sub != NULL && !sub->is_room)
		sub = sub->next;
	return sub;
}

int
command_room_topic(
    const struct session *s, struct slice room, struct buf *topic, struct refusal *why)
{
	const struct sub *only = s->who.n_rooms == 1 ? command_only_room(s) : NULL;

	if (room.p != NULL)
		return room_topic(topic, room, why);
	if (only == NULL)
		return refuse(why, ERROR_BAD_FIELD, "room is missing");
	return buf_add_slice(topic, sub_pattern(only)) < 0 ? refuse_memory(why) : 0;
}

/* The joined room that a command means: named, or the only one. */
static int
joined_room(struct session *s, struct slice room, struct sub **out, struct refusal *why)
{
	struct buf topic = BUF_INIT(ROOM_TOPIC_MAX);
	char clean[REFUSE_CLEAN] UNCLEARED;
	struct sub *sub = NULL;
	int r = 0;

	if (room.p != NULL) {
		r = room_topic(&topic, room, why);
		if (r == 0)
			sub = sub_find(&s->who, buf_slice(&topic));
		if (r == 0 && (sub == NULL || !sub->is_room))
			r = refuse(why, ERROR_NOT_JOINED, "not in room '%s': join it first",
			    refuse_clean(room, clean));
	} else if (s->who.n_rooms > 1) {
		r = refuse(why, ERROR_BAD_FIELD, "room is needed: this connection is in %u rooms",
		    (unsigned)s->who.n_rooms);
	} else {
		sub = command_only_room(s);
		if (sub == NULL)
			r = refuse(why, ERROR_NOT_JOINED, "not in any room: join one first");
	}
	buf_done(&topic);
	if (r != 0)
		return -1;
	*out = sub;
	return 0;
}

/* --- handlers --- */

int
command_join(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	struct session_join how;
	struct position from;
	struct slice room;

	if (need_string(cmd, "room", &room, why) < 0 ||
	    command_take_position(cmd, SESSION_LAST, s->who.hub->now_ms, &from, why) < 0)
		return -1;
	/* joining again replays only what it asks for */
	if (json_get(cmd->json, "last").kind == JSON_IS_ABSENT &&
	    json_get(cmd->json, "after").kind == JSON_IS_ABSENT) {
		struct buf topic = BUF_INIT(ROOM_TOPIC_MAX);
		const struct sub *sub = room_topic(&topic, room, why) == 0
					    ? sub_find(&s->who, buf_slice(&topic))
					    : NULL;

		if (sub != NULL && sub->is_room)
			from = (struct position){.kind = POSITION_NONE};
		buf_done(&topic);
	}
	how = (struct session_join){.room = room, .from = &from, .ref = cmd->ref};
	return session_join(s, c, &how, why);
}

int
command_leave(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	struct slice room;
	struct sub *sub = NULL;

	if (command_take_string(cmd, "room", &room, why) < 0 || joined_room(s, room, &sub, why) < 0)
		return -1;
	session_leave(s, c, sub, NULL, cmd->ref);
	return 0;
}

/* The room a chat goes to: named, the only one, or the default, which is joined for it. */
static int
chat_room(struct session *s, struct slice room, struct sub **out, struct refusal *why)
{
	struct position none = {.kind = POSITION_NONE};

	if (room.p == NULL && s->who.n_rooms == 0) {
		struct session_join how = {.from = &none, .is_at_once = true};

		room = slice_str(s->who.hub->config->chat.default_room);
		how.room = room;
		if (session_join(s, &s->caller, &how, why) < 0)
			return -1;
	}
	return joined_room(s, room, out, why);
}

/* Make the message and hand it to the log; its ack goes to c. */
static int
send_draft(
    struct session *s, struct caller *c, struct draft *d, struct slice ref, struct refusal *why)
{
	struct append *a = append_new(1);

	if (a != NULL && ref.p != NULL) {
		a->ref = mem_strdup(ref);
		if (a->ref == NULL) {
			append_free(a);
			a = NULL;
		}
	}
	if (a == NULL)
		return refuse_memory(why);
	if (draft_message(
		s->who.hub, s->claims, session_user(s), d, s->who.number, &a->items[0], why) < 0) {
		append_free(a);
		return -1;
	}
	return caller_append(c, s->who.hub, a, why);
}

int
command_send_chat(struct session *s, struct caller *c, struct slice room, struct draft *d,
    struct slice ref, struct refusal *why)
{
	struct sub *sub = NULL;

	if (chat_room(s, room, &sub, why) < 0 || publish_rate(s->who.hub, s->claims, 1, why) < 0)
		return -1;
	session_stop_typing(s, sub);
	d->topic = sub_pattern(sub);
	return send_draft(s, c, d, ref, why);
}

/* What is said, in a room or to somebody. */
static int
take_said(const struct command *cmd, struct draft *d, struct refusal *why)
{
	struct json_value reply_to = json_get(cmd->json, "reply_to");

	if (command_take_string(cmd, "content", &d->text, why) < 0 ||
	    command_take_string(cmd, "key", &d->key, why) < 0)
		return -1;
	if (reply_to.kind != JSON_IS_ABSENT && json_value_u64(reply_to, &d->reply_to) < 0)
		return refuse(why, ERROR_BAD_FIELD, "reply_to must be a message id");
	if (field_data(cmd->json, &d->data, &d->data_text, why) < 0)
		return -1;
	if (d->text.p == NULL && d->data.p == NULL)
		return refuse(why, ERROR_BAD_FIELD, "content (a string) or data is missing");
	return 0;
}

int
command_chat(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	struct draft d UNCLEARED;
	struct slice room;

	draft_begin(&d, "room");
	if (command_take_string(cmd, "room", &room, why) < 0 || take_said(cmd, &d, why) < 0)
		return -1;
	return command_send_chat(s, c, room, &d, cmd->ref, why);
}

int
command_direct(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	struct draft d UNCLEARED;

	draft_begin(&d, "to");
	d.is_direct = true;
	if (need_string(cmd, "to", &d.to, why) < 0 || take_said(cmd, &d, why) < 0 ||
	    publish_rate(s->who.hub, s->claims, 1, why) < 0)
		return -1;
	return send_draft(s, c, &d, cmd->ref, why);
}

int
command_typing(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	enum json_kind typing = json_get(cmd->json, "typing").kind;
	struct slice room;
	struct sub *sub = NULL;

	(void)c; /* typing has no answer */
	if (command_take_string(cmd, "room", &room, why) < 0 || joined_room(s, room, &sub, why) < 0)
		return -1;
	if (typing != JSON_IS_ABSENT && typing != JSON_IS_TRUE && typing != JSON_IS_FALSE)
		return refuse(why, ERROR_BAD_FIELD, "typing must be true or false");
	if (!claims_may_publish(s->claims, sub_pattern(sub)))
		return refuse(why, ERROR_INSUFFICIENT_SCOPE, "this room is not in belfry.publish");
	if (moderation_may_send(s->who.hub, s->claims, sub_pattern(sub), why) < 0)
		return -1;
	return session_type(s, sub, typing != JSON_IS_FALSE, why);
}

int
command_members(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	struct buf members = BUF_INIT(64 * 1024);
	struct presence_view view;
	struct slice room;
	struct sub *sub = NULL;
	struct buf b;

	if (command_take_string(cmd, "room", &room, why) < 0 || joined_room(s, room, &sub, why) < 0)
		return -1;
	if (presence_members(s->who.hub->log, sub_pattern(sub), &members, &view) < 0) {
		buf_done(&members);
		return refuse_memory(why);
	}
	answer_start(&b, "members", cmd->ref);
	(void)json_add_member_string(&b, "room", topic_room(sub_pattern(sub)));
	(void)json_add_member_u64(&b, "count", view.count);
	(void)json_add_member_raw(&b, "members", buf_slice(&members));
	caller_answer(c, "members", &b);
	buf_done(&members);
	return 0;
}

int
command_ping(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	struct buf b;

	(void)why;
	answer_start(&b, "pong", cmd->ref);
	(void)json_add_member_i64(&b, "time", s->who.hub->now_ms);
	caller_answer(c, "pong", &b);
	return 0;
}

/* --- topics --- */

int
command_subscribe(
    struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	struct position from;
	struct slice topic;

	if (need_string(cmd, "topic", &topic, why) < 0 ||
	    command_take_position(cmd, 0, s->who.hub->now_ms, &from, why) < 0)
		return -1;
	return session_subscribe(s, c, topic, &from, cmd->ref, why);
}

int
command_unsubscribe(
    struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	char clean[REFUSE_CLEAN] UNCLEARED;
	struct slice topic;
	struct sub *sub = NULL;

	if (need_string(cmd, "topic", &topic, why) < 0)
		return -1;
	sub = sub_find(&s->who, topic);
	if (sub == NULL || !sub->is_named)
		return refuse(
		    why, ERROR_NOT_JOINED, "not subscribed to '%s'", refuse_clean(topic, clean));
	session_unsubscribe(s, c, sub, NULL, cmd->ref);
	return 0;
}

int
command_publish(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	struct draft d UNCLEARED;

	if (draft_from_json(cmd->json, &d, why) < 0 ||
	    publish_rate(s->who.hub, s->claims, 1, why) < 0)
		return -1;
	return send_draft(s, c, &d, cmd->ref, why);
}

int
command_refresh(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	struct claims *claims = NULL;
	struct slice token;
	struct buf b;

	if (need_string(cmd, "token", &token, why) < 0)
		return -1;
	if (s->who.hub->verify(s->who.hub, token, &claims, why) < 0 ||
	    session_refresh(s, claims, why) < 0)
		return -1;
	answer_start(&b, "refreshed", cmd->ref);
	session_add_expires(&b, s);
	caller_answer(c, "refreshed", &b);
	return 0;
}
