#include "base/mem.h"
#include "core/command_list.h"
#include "core/history.h"
#include "core/moderation.h"
#include "core/topic.h"
#include "proto/json.h"

/* A page on its way: the caller may go before it comes. */
struct history_answer {
	struct lookup lookup;
	struct slice ref; /* behind the struct, then name */
	struct slice name;
	bool is_room;
};

static void
on_history(void *ctx, int status, struct slice messages, bool more)
{
	struct history_answer *answer = ctx;
	struct caller *c = lookup_end(&answer->lookup);
	struct refusal why;
	struct buf b;

	if (c == NULL)
		goto out;
	if (status < 0) {
		(void)append_refusal(status, &why);
		c->ops->refused(c, &why, answer->ref);
	} else {
		answer_start(&b, "history", answer->ref);
		b.max = messages.n + 4096;
		(void)json_add_member_string(&b, answer->is_room ? "room" : "topic", answer->name);
		(void)json_add_member_raw(&b, "messages", messages);
		(void)json_add_member_bool(&b, "more", more);
		if (buf_reserve(&b, 1) == 0) {
			caller_answer(c, "history", &b);
		} else { /* nothing was done: it may be asked again */
			(void)refuse_memory(&why);
			c->ops->refused(c, &why, answer->ref);
			buf_done(&b);
		}
	}
	caller_tell_pending(c);
out:
	mem_free(answer);
}

static struct history_answer *
answer_new(struct caller *c, struct slice ref, struct slice name, bool is_room)
{
	struct history_answer *answer = mem_calloc(1, sizeof(*answer) + ref.n + name.n);
	char *at;

	if (answer == NULL)
		return NULL;
	at = (char *)(answer + 1);
	answer->ref = slice_place(&at, ref);
	answer->name = slice_place(&at, name);
	answer->is_room = is_room;
	lookup_begin(&answer->lookup, c);
	return answer;
}

/* `limit` is clamped, so what is below its range is no error. */
static int
take_limit(const struct command *cmd, unsigned *out, struct refusal *why)
{
	struct json_value limit = json_get(cmd->json, "limit");
	bool is_below = limit.kind == JSON_IS_NUMBER && limit.raw.p[0] == '-';
	uint64_t n = HISTORY_DEFAULT;

	if (is_below)
		limit.raw = slice_skip(limit.raw, 1);
	if (limit.kind != JSON_IS_ABSENT && json_value_count(limit, &n) < 0)
		return refuse(
		    why, ERROR_BAD_FIELD, "limit must be an integer from 1 to %d", HISTORY_LIMIT);
	*out = is_below ? 1 : (unsigned)max_u64(1, min_u64(n, HISTORY_LIMIT));
	return 0;
}

static int
take_page(const struct command *cmd, const struct hub *h, struct history_request *out,
    struct refusal *why)
{
	struct json_value before = json_get(cmd->json, "before");

	if (before.kind != JSON_IS_ABSENT &&
	    (json_value_u64(before, &out->before) < 0 || out->before == 0))
		return refuse(why, ERROR_BAD_FIELD, "before must be a message id");
	if (take_limit(cmd, &out->limit, why) < 0)
		return -1;
	if (command_take_string(cmd, "q", &out->search, why) < 0)
		return -1;
	if (json_get(cmd->json, "after").kind == JSON_IS_ABSENT)
		return 0;
	if (command_take_position(cmd, 0, h->now_ms, &out->after, why) < 0)
		return -1;
	if (out->after.kind == POSITION_BAD)
		return refuse(why, ERROR_BAD_FIELD,
		    "after must be an id, a duration such as 10m, a time, or all");
	return 0;
}

/* The pattern that `topic`, `room` or the only room means; name: what the answer calls it. */
static int
take_place(struct session *s, const struct command *cmd, struct buf *pattern, struct slice *name,
    bool *is_room, struct refusal *why)
{
	char clean[REFUSE_CLEAN];
	struct slice topic;
	const char *error;

	if (command_take_string(cmd, "room", name, why) < 0 ||
	    command_take_string(cmd, "topic", &topic, why) < 0)
		return -1;
	*is_room = topic.p == NULL;
	if (*is_room) {
		const struct sub *only = s->who.n_rooms == 1 ? command_only_room(s) : NULL;

		if (name->p == NULL && only != NULL)
			*name = topic_room(sub_pattern(only));
		if (name->p == NULL)
			return refuse(why, ERROR_BAD_FIELD, "room or topic is missing");
		return room_topic(pattern, *name, why);
	}
	*name = topic;
	error = pattern_error(topic);
	if (error != NULL)
		return refuse(
		    why, ERROR_BAD_FIELD, "topic '%s' %s", refuse_clean(topic, clean), error);
	return buf_add_slice(pattern, topic) < 0 ? refuse_memory(why) : 0;
}

int
command_history(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	struct buf pattern = BUF_INIT(ROOM_TOPIC_MAX);
	struct history_request request = {0};
	struct history_answer *answer;
	struct slice name;
	bool is_room = false;
	int r = take_page(cmd, s->who.hub, &request, why);

	if (r == 0)
		r = take_place(s, cmd, &pattern, &name, &is_room, why);
	if (r < 0)
		goto out;
	request.topic = buf_slice(&pattern);
	r = moderation_may_read(s->who.hub, s->claims, request.topic, why);
	if (r < 0)
		goto out;
	request.bound = moderation_bound(s->who.hub, s->claims);
	request.user = claims_number(s->claims);
	answer = answer_new(c, cmd->ref, name, is_room);
	if (answer != NULL)
		request.read = &answer->lookup.read;
	if (answer == NULL) {
		r = refuse_memory(why);
	} else if (history_read(s->who.hub, &request, on_history, answer) < 0) {
		(void)lookup_end(&answer->lookup); /* it is refused, not answered */
		mem_free(answer);
		r = refuse_memory(why);
	}
out:
	buf_done(&pattern);
	return r;
}
