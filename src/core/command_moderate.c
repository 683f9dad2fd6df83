#include "base/mem.h"
#include "core/command_list.h"
#include "core/measure.h"
#include "core/moderation.h"
#include "core/topic.h"
#include "proto/json.h"

/* kick, ban, unban, mute, unmute: for moderators, in the rooms that they may read. */

/* Who waits for the ack of a measure: the caller may go before it comes. */
struct measure_answer {
	struct lookup lookup;
	struct slice ref; /* behind the struct */
};

static void
answer(const struct measure *m, struct caller *c, struct slice ref)
{
	struct slice room = topic_room(m->scope);
	struct buf b;

	answer_start(&b, "ack", ref);
	(void)json_add_member_string(&b, "room", room.p == NULL ? m->scope : room);
	(void)json_add_member_string(&b, "user", m->user);
	if (m->until_ms != 0)
		(void)json_add_member_i64(&b, "until", m->until_ms / 1000);
	caller_answer(c, "ack", &b);
}

static void
on_done(struct measure *m)
{
	struct measure_answer *w = m->owner;
	struct caller *c = lookup_end(&w->lookup);
	struct refusal why;

	if (c != NULL) {
		if (measure_result(m, &why) < 0)
			c->ops->refused(c, &why, w->ref);
		else
			answer(m, c, w->ref);
		caller_tell_pending(c);
	}
	mem_free(w);
	measure_free(m);
}

/* Whether this session may do so there. */
static int
check_right(const struct session *s, const struct measure_request *r, struct refusal *why)
{
	bool everywhere = slice_eq(r->scope, SLICE(MODERATION_ALL));
	char clean[REFUSE_CLEAN];

	if (s->claims->role == ROLE_USER)
		return refuse(why, ERROR_INSUFFICIENT_SCOPE,
		    "%s is for the roles moderator and admin", measure_name(r->kind));
	if (s->claims->role == ROLE_ADMIN)
		return 0;
	if (everywhere)
		return refuse(
		    why, ERROR_INSUFFICIENT_SCOPE, "all rooms at once are for the role admin");
	if (!claims_may_subscribe(s->claims, r->scope))
		return refuse(why, ERROR_INSUFFICIENT_SCOPE,
		    "topic '%s' is not in belfry.subscribe", refuse_clean(r->scope, clean));
	/* who is banned or muted frees nobody */
	return moderation_may_send(s->who.hub, s->claims, r->scope, why);
}

/* The room's topic, or `*`: named, or the only one this session is in. */
static int
take_scope(
    const struct session *s, const struct command *cmd, struct buf *scope, struct refusal *why)
{
	struct slice room;

	if (command_take_string(cmd, "room", &room, why) < 0)
		return -1;
	if (!slice_eq(room, SLICE(MODERATION_ALL)))
		return command_room_topic(s, room, scope, why);
	return buf_add_slice(scope, room) < 0 ? refuse_memory(why) : 0;
}

static int
take_request(const struct command *cmd, struct measure_request *r, struct refusal *why)
{
	struct json_value seconds = json_get(cmd->json, "seconds");

	if (command_take_string(cmd, "user", &r->user, why) < 0 ||
	    command_take_string(cmd, "reason", &r->reason, why) < 0)
		return -1;
	if (r->user.p == NULL)
		return refuse(why, ERROR_BAD_FIELD, "user is missing");
	if (seconds.kind != JSON_IS_ABSENT &&
	    (json_value_u64(seconds, &r->seconds) < 0 || r->seconds == 0 ||
		r->seconds > MEASURE_SECONDS_MAX))
		return refuse(why, ERROR_BAD_FIELD, "seconds must be an integer from 1 to %llu",
		    (unsigned long long)MEASURE_SECONDS_MAX);
	return measure_check(r, why);
}

static struct measure_answer *
answer_new(struct caller *c, struct slice ref)
{
	struct measure_answer *w = mem_calloc(1, sizeof(*w) + ref.n);
	char *at;

	if (w == NULL)
		return NULL;
	at = (char *)(w + 1);
	w->ref = slice_place(&at, ref);
	lookup_begin(&w->lookup, c);
	return w;
}

static int
start(struct session *s, struct caller *c, const struct measure_request *r, struct slice ref,
    struct refusal *why)
{
	struct measure_answer *w = answer_new(c, ref);

	if (w == NULL)
		return refuse_memory(why);
	if (measure_start(s->who.hub, r, on_done, w, why) == 0)
		return 0;
	(void)lookup_end(&w->lookup); /* it is refused, not answered */
	mem_free(w);
	return -1;
}

static int
moderate(struct session *s, struct caller *c, const struct command *cmd, enum measure_kind kind,
    struct refusal *why)
{
	struct measure_request r = {
	    .kind = kind, .by = session_user(s).name, .is_admin = s->claims->role == ROLE_ADMIN};
	struct buf scope = BUF_INIT(ROOM_TOPIC_MAX);
	int result = -1;

	if (take_scope(s, cmd, &scope, why) < 0 || take_request(cmd, &r, why) < 0)
		goto out;
	r.scope = buf_slice(&scope);
	if (check_right(s, &r, why) < 0)
		goto out;
	if (slice_eq(r.user, slice_str(s->claims->user_id))) {
		result = refuse(why, ERROR_BAD_FIELD, "user is yourself");
		goto out;
	}
	result = start(s, c, &r, cmd->ref, why);
out:
	buf_done(&scope);
	return result;
}

int
command_kick(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	return moderate(s, c, cmd, MEASURE_KICK, why);
}

int
command_ban(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	return moderate(s, c, cmd, MEASURE_BAN, why);
}

int
command_unban(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	return moderate(s, c, cmd, MEASURE_UNBAN, why);
}

int
command_mute(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	return moderate(s, c, cmd, MEASURE_MUTE, why);
}

int
command_unmute(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	return moderate(s, c, cmd, MEASURE_UNMUTE, why);
}
