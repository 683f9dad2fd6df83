#include "core/command.h"

#include <stdio.h>

#include "core/command_list.h"
#include "core/config.h"
#include "core/field.h"
#include "core/publish.h"
#include "proto/json.h"

/* Messages beyond the rate in a row after which a connection is cut: it does not listen. */
#define RATE_PATIENCE 1000

static const struct {
	const char *name;
	command_handler *run;
} commands[] = {
    {"join", command_join},
    {"leave", command_leave},
    {"chat", command_chat},
    {"typing", command_typing},
    {"subscribe", command_subscribe},
    {"unsubscribe", command_unsubscribe},
    {"publish", command_publish},
    {"members", command_members},
    {"rooms", command_rooms},
    {"history", command_history},
    {"direct", command_direct},
    {"edit", command_edit},
    {"delete", command_delete},
    {"react", command_react},
    {"refresh", command_refresh},
    {"read", command_read},
    {"kick", command_kick},
    {"ban", command_ban},
    {"unban", command_unban},
    {"mute", command_mute},
    {"unmute", command_unmute},
    {"ping", command_ping},
};

#define KNOWN_MAX 300 /* bytes of all their names; a refusal has room for ERROR_TEXT */

/* `join, leave, …`, of the table. */
static const char *
list_known(char out[KNOWN_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		int more =
		    snprintf(out + n, KNOWN_MAX - n, "%s%s", i == 0 ? "" : ", ", commands[i].name);

		n = min_size(n + (more < 0 ? 0 : (size_t)more), KNOWN_MAX - 1);
	}
	return out;
}

static int
find(struct slice type, command_handler **out, struct refusal *why)
{
	char clean[REFUSE_CLEAN] UNCLEARED;
	char known[KNOWN_MAX] UNCLEARED;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (slice_eq_nocase(type, slice_str(commands[i].name))) {
			*out = commands[i].run;
			return 0;
		}
	}
	return refuse(why, ERROR_UNKNOWN_TYPE, "unknown type '%s'; known are %s",
	    refuse_clean(type, clean), list_known(known));
}

int
command_rate(struct session *s, struct refusal *why)
{
	const struct config_limits *limits = &s->who.hub->config->limits;
	struct rate rate = {limits->messages_per_second, 1000, limits->burst};
	uint64_t wait;

	counter_add(s->who.hub->counters, COUNTER_MESSAGES_IN, 1);
	if (limits->messages_per_second == 0)
		return 0;
	wait = bucket_take(&s->rate, rate, 1, s->who.hub->mono_us / 1000);
	if (wait == 0) {
		s->who.n_over_rate = 0;
		return 0;
	}
	if (s->who.n_over_rate < RATE_PATIENCE)
		s->who.n_over_rate++;
	return refuse_limit(why, ERROR_RATE_LIMITED, "limits.messages_per_second",
	    limiter_retry_s(wait), "more than %u messages a second (burst %u)",
	    limits->messages_per_second, limits->burst);
}

bool
command_is_flooding(const struct session *s)
{
	return s->who.n_over_rate >= RATE_PATIENCE;
}

static int
take_ref(struct command *cmd, struct refusal *why)
{
	struct json_value ref = json_get(cmd->json, "ref");

	if (ref.kind == JSON_IS_ABSENT)
		return 0;
	if (ref.kind != JSON_IS_STRING && ref.kind != JSON_IS_NUMBER)
		return refuse(why, ERROR_BAD_FIELD, "ref must be a string or a number");
	if (ref.raw.n > COMMAND_REF_MAX)
		return refuse(why, ERROR_BAD_FIELD, "ref is longer than %d bytes", COMMAND_REF_MAX);
	cmd->ref = ref.raw;
	return 0;
}

/*
 * The ref of a message that is not looked at any further, or is not JSON as we take it: whoever waits
 * for its answer shall hear of it. Absent when it cannot be made out.
 */
static struct slice
peek_ref(struct slice text)
{
	struct slice ref = json_raw_member(text, "ref");

	if (ref.n == 0 || ref.n > COMMAND_REF_MAX || json_check(ref, NULL) < 0 ||
	    strchr("\"-0123456789", ref.p[0]) == NULL)
		return SLICE_NONE;
	return ref;
}

static int
run(struct session *s, struct caller *c, struct command *cmd, struct refusal *why)
{
	struct json_value type = json_get(cmd->json, "type");
	command_handler *handler = NULL;
	struct slice name;

	if (json_whole(cmd->json).kind != JSON_IS_OBJECT)
		return refuse(why, ERROR_BAD_REQUEST,
		    "a message must be a JSON object such as {\"type\":\"chat\",\"content\":\"hi\"}");
	if (take_ref(cmd, why) < 0)
		return -1;
	if (type.kind != JSON_IS_STRING)
		return refuse(why, ERROR_BAD_FIELD, "type must be a string");
	if (field_text(cmd->json, type, &name, why) < 0 || find(name, &handler, why) < 0)
		return -1;
	return handler(s, c, cmd, why);
}

void
command_run(struct session *s, struct caller *c, struct slice text)
{
	struct json_flat json UNCLEARED;
	struct command cmd = {.json = &json};
	struct refusal why UNCLEARED;
	size_t at = 0;
	int r;

	/* only a POST can come before an earlier join is done */
	session_hurry(s, UINT64_MAX);
	if (command_rate(s, &why) < 0) {
		c->ops->refused(c, &why, peek_ref(text));
		return;
	}
	r = json_read(text, &json, &at);
	if (r < 0)
		cmd.ref = peek_ref(text);
	if (r == JSON_E_MEMORY)
		r = refuse_memory(&why);
	else if (r < 0)
		r = refuse(&why, ERROR_BAD_JSON, "%s (at byte %zu)", json_error_text(r), at);
	else
		r = run(s, c, &cmd, &why);
	if (r < 0)
		c->ops->refused(c, &why, cmd.ref);
	json_done(&json);
}

void
command_say(struct session *s, struct caller *c, struct slice content)
{
	struct draft d UNCLEARED;
	struct refusal why UNCLEARED;

	session_hurry(s, UINT64_MAX);
	draft_begin(&d, "room");
	d.text = content;
	if (command_rate(s, &why) < 0 ||
	    command_send_chat(s, c, SLICE_NONE, &d, SLICE_NONE, &why) < 0)
		c->ops->refused(c, &why, SLICE_NONE);
}
