#include "ctl/ctl.h"

#include <time.h>

#include "core/position.h"
#include "proto/http.h"
#include "proto/json.h"

/* kick, ban, unban, mute, unmute, bans, mutes, revoke, unrevoke, revocations: /api in words. */

#define ANSWER_MAX (8 * 1024 * 1024)
#define BODY_MAX   (64 * 1024)
#define TIME_TEXT  40

#define COMMON_HELP                                                                                \
	"  -c, --config FILE    the daemon's configuration: says where it is and signs a token\n"  \
	"      --json           print the daemon's answer as it is\n"
#define REASON_HELP "      --reason TEXT    is told to the user, and listed\n"
#define FOR_HELP                                                                                   \
	"      --for TIME       how long: seconds, or 10m, 1h, 30d (without it: for ever)\n"
#define ROOM_HELP "\nROOM is the name of a room, or '*' for all; USER the user's id.\n\n"
#define TOKEN_HELP                                                                                 \
	"      --jti ID         the token with this jti\n"                                         \
	"      --sub USER       this user's tokens\n"

static const char kick_help[] =
    "usage: belfryctl kick [OPTION]... ROOM USER\n" ROOM_HELP
    "Sends the user away; coming back is not forbidden.\n\n" REASON_HELP COMMON_HELP;
static const char ban_help[] =
    "usage: belfryctl ban [OPTION]... ROOM USER\n" ROOM_HELP
    "Sends the user away, and keeps him out.\n\n" FOR_HELP REASON_HELP COMMON_HELP;
static const char unban_help[] = "usage: belfryctl unban [OPTION]... ROOM USER\n" ROOM_HELP
				 "Lets the user in again.\n\n" COMMON_HELP;
static const char mute_help[] =
    "usage: belfryctl mute [OPTION]... ROOM USER\n" ROOM_HELP
    "Lets the user read and not write.\n\n" FOR_HELP REASON_HELP COMMON_HELP;
static const char unmute_help[] = "usage: belfryctl unmute [OPTION]... ROOM USER\n" ROOM_HELP
				  "Lets the user write again.\n\n" COMMON_HELP;
static const char bans_help[] =
    "usage: belfryctl bans [OPTION]...\n\nLists who is banned.\n\n" COMMON_HELP;
static const char mutes_help[] =
    "usage: belfryctl mutes [OPTION]...\n\nLists who is muted.\n\n" COMMON_HELP;
static const char revoke_help[] =
    "usage: belfryctl revoke [OPTION]... --jti ID | --sub USER [--before TIME]\n"
    "\n"
    "Refuses tokens from now on and ends their connections.\n"
    "\n" TOKEN_HELP
    "      --before TIME    those issued before (unix seconds or RFC 3339; now)\n" FOR_HELP
	REASON_HELP COMMON_HELP;
static const char unrevoke_help[] = "usage: belfryctl unrevoke [OPTION]... --jti ID | --sub USER\n"
				    "\n"
				    "Takes a revocation back.\n"
				    "\n" TOKEN_HELP COMMON_HELP;
static const char revocations_help[] =
    "usage: belfryctl revocations [OPTION]...\n\nLists what is revoked.\n\n" COMMON_HELP;

enum {
	CONFIG,
	JSON,
	FOR,
	SECONDS, /* as the member of /api is called: the same */
	REASON,
	JTI,
	SUB,
	BEFORE,
	N_OPTIONS
};

static const struct ctl_option options[N_OPTIONS] = {
    [CONFIG] = {"config", 'c', true},
    [JSON] = {"json", 0, false},
    [FOR] = {"for", 0, true},
    [SECONDS] = {"seconds", 0, true},
    [REASON] = {"reason", 0, true},
    [JTI] = {"jti", 0, true},
    [SUB] = {"sub", 0, true},
    [BEFORE] = {"before", 0, true},
};

#define BIT(option) (1u << (option))
#define ALWAYS      (BIT(CONFIG) | BIT(JSON))

static const struct moderation_command {
	const char *name; /* and the path under /api */
	const char *help;
	const char *done; /* in words: "is banned from" */
	unsigned takes;
	bool has_operands; /* ROOM USER */
	bool is_list;
} commands[] = {
    {"kick", kick_help, "was kicked from", ALWAYS | BIT(REASON), true, false},
    {"ban", ban_help, "is banned from", ALWAYS | BIT(FOR) | BIT(REASON), true, false},
    {"unban", unban_help, "is no longer banned from", ALWAYS, true, false},
    {"mute", mute_help, "is muted in", ALWAYS | BIT(FOR) | BIT(REASON), true, false},
    {"unmute", unmute_help, "is no longer muted in", ALWAYS, true, false},
    {"bans", bans_help, NULL, ALWAYS, false, true},
    {"mutes", mutes_help, NULL, ALWAYS, false, true},
    {"revoke", revoke_help, NULL,
	ALWAYS | BIT(FOR) | BIT(REASON) | BIT(JTI) | BIT(SUB) | BIT(BEFORE), false, false},
    {"unrevoke", unrevoke_help, NULL, ALWAYS | BIT(JTI) | BIT(SUB), false, false},
    {"revocations", revocations_help, NULL, ALWAYS, false, true},
};

struct moderation {
	const struct moderation_command *command;
	struct ctl_args args;
	const char *values[N_OPTIONS];
	bool as_json;
	const char *room;
	const char *user;
};

/* --- arguments --- */

static int
take_option(struct moderation *m, int option, const char *value)
{
	if (option == SECONDS)
		option = FOR;
	if ((m->command->takes & BIT(option)) == 0)
		return ctl_usage(&m->args, "--%s is not for this command", options[option].name);
	m->values[option] = value;
	m->as_json = m->as_json || option == JSON;
	return EX_OK;
}

static int
take_operand(struct moderation *m, const char *value)
{
	if (m->command->has_operands && m->room == NULL)
		m->room = strncmp(value, "chat/", 5) == 0 ? value + 5 : value;
	else if (m->command->has_operands && m->user == NULL)
		m->user = value;
	else
		return ctl_usage(&m->args, "'%s' is not expected", value);
	return EX_OK;
}

static int
check_args(struct moderation *m)
{
	if (m->command->has_operands && m->user == NULL)
		return ctl_usage(&m->args, "the room and the user are needed");
	if ((m->command->takes & BIT(JTI)) != 0 &&
	    (m->values[JTI] == NULL) == (m->values[SUB] == NULL))
		return ctl_usage(&m->args, "one of --jti and --sub is needed");
	if (m->values[BEFORE] != NULL && m->values[SUB] == NULL)
		return ctl_usage(&m->args, "--before is for --sub only");
	return EX_OK;
}

/* --- the request --- */

static void
add_string(struct buf *b, const char *name, const char *value)
{
	if (value != NULL)
		(void)json_add_member_string(b, name, slice_str(value)); /* a failure sticks */
}

static int
add_times(struct moderation *m, struct buf *b)
{
	const char *duration = m->values[FOR];
	const char *before = m->values[BEFORE];
	uint64_t n = 0;
	int64_t us = 0;

	if (duration != NULL && slice_to_u64(slice_str(duration), &n) < 0) {
		if (duration_parse(slice_str(duration), &n) < 0)
			return ctl_usage(&m->args,
			    "--for is '%s', want seconds, or a time such as 10m, 1h or 30d",
			    duration);
		n /= 1000;
	}
	if (duration != NULL && n == 0)
		return ctl_usage(&m->args, "--for is '%s', want a second at least", duration);
	if (duration != NULL)
		(void)json_add_member_u64(b, "seconds", n);
	if (before == NULL)
		return EX_OK;
	if (slice_to_u64(slice_str(before), &n) < 0) {
		if (rfc3339_parse(slice_str(before), &us) < 0 || us < 0)
			return ctl_usage(&m->args,
			    "--before is '%s', want unix seconds or an RFC 3339 time", before);
		n = (uint64_t)us / 1000000;
	}
	(void)json_add_member_u64(b, "before", n);
	return EX_OK;
}

static int
make_body(struct moderation *m, struct buf *b)
{
	int code;

	(void)buf_add_char(b, '{');
	add_string(b, "room", m->room);
	add_string(b, "user", m->user);
	add_string(b, "reason", m->values[REASON]);
	add_string(b, "jti", m->values[JTI]);
	add_string(b, "sub", m->values[SUB]);
	code = add_times(m, b);
	(void)buf_add_char(b, '}');
	return code == EX_OK && b->failed ? ctl_no_memory() : code;
}

/* --- the answer --- */

static const char *
time_text(const cJSON *seconds, char out[TIME_TEXT])
{
	uint64_t at_s = 0;
	time_t at;
	struct tm tm;

	out[0] = '\0';
	if (seconds == NULL || json_u64(seconds, &at_s) < 0)
		return out;
	at = (time_t)at_s;
	if (gmtime_r(&at, &tm) == NULL ||
	    strftime(out, TIME_TEXT, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		out[0] = '\0';
	return out;
}

static void
print_member(const cJSON *object, const char *name)
{
	ctl_print_text(stdout, json_string(json_member(object, name)));
}

/* "bob is banned from lobby until …", "the tokens of bob from before … are revoked: 2 …" */
static void
print_done(const struct moderation *m, const cJSON *answer)
{
	const cJSON *revoked = json_member(answer, "revoked");
	const cJSON *closed = json_member(answer, revoked != NULL ? "closed" : "reached");
	char when[TIME_TEXT];
	uint64_t n = 0;

	if (m->command->done != NULL) {
		print_member(answer, "user");
		(void)printf(" %s ", m->command->done);
		if (strcmp(m->room, "*") == 0)
			(void)fputs("all rooms", stdout);
		else
			print_member(answer, "room");
		if (time_text(json_member(answer, "until"), when)[0] != '\0')
			(void)printf(" until %s", when);
	} else {
		bool is_one = m->values[JTI] != NULL;

		(void)printf("%s %s %s %srevoked", is_one ? "token" : "the tokens of",
		    m->values[is_one ? JTI : SUB], is_one ? "is" : "are",
		    revoked == NULL ? "no longer " : "");
		if (time_text(json_member(revoked, "before"), when)[0] != '\0')
			(void)printf(", those from before %s", when);
	}
	/* who is sent away from one room may go on in others */
	if (closed != NULL && json_u64(closed, &n) == 0)
		(void)printf("; %llu connection%s %s", (unsigned long long)n, n == 1 ? "" : "s",
		    revoked != NULL ? "ended" : "sent away");
	(void)putchar('\n');
}

static void
print_entry(const cJSON *entry)
{
	char when[TIME_TEXT];

	if (json_member(entry, "room") != NULL) {
		print_member(entry, "user");
		(void)fputs(" in ", stdout);
		if (slice_eq(json_string(json_member(entry, "room")), SLICE("*")))
			(void)fputs("all rooms", stdout);
		else
			print_member(entry, "room");
	} else if (json_member(entry, "jti") != NULL) {
		(void)fputs("token ", stdout);
		print_member(entry, "jti");
	} else {
		(void)fputs("tokens of ", stdout);
		print_member(entry, "sub");
		(void)printf(" from before %s", time_text(json_member(entry, "before"), when));
	}
	(void)printf(", since %s", time_text(json_member(entry, "since"), when));
	if (time_text(json_member(entry, "until"), when)[0] != '\0')
		(void)printf(", until %s", when);
	(void)fputs(", by ", stdout);
	print_member(entry, "by");
	if (json_string(json_member(entry, "reason")).n > 0) {
		(void)fputs(": ", stdout);
		print_member(entry, "reason");
	}
	(void)putchar('\n');
}

static int
print_answer(const struct moderation *m, struct slice answer)
{
	cJSON *tree = NULL;
	const cJSON *entry;

	if (json_parse(answer, &tree, NULL) < 0)
		return ctl_fail(EX_PROTOCOL, "the daemon's answer is no JSON");
	if (m->command->is_list) {
		const cJSON *list = json_member(tree, m->command->name);

		cJSON_ArrayForEach(entry, list)
		{
			print_entry(entry);
		}
		if (cJSON_GetArraySize(list) == 0)
			ctl_note("no %s are in force", m->command->name);
		if (cJSON_IsTrue(json_member(tree, "more")))
			(void)puts("… and more");
	} else {
		print_done(m, tree);
	}
	cJSON_Delete(tree);
	return EX_OK;
}

static int
run(struct moderation *m)
{
	struct ctl_target target = {.url = NULL};
	struct buf answer = BUF_INIT(ANSWER_MAX);
	struct buf body = BUF_INIT(BODY_MAX);
	struct slice sent = SLICE_NONE;
	char path[32];
	long status = 0;
	int code = check_args(m);

	if (code == EX_OK && !m->command->is_list) {
		code = make_body(m, &body);
		sent = buf_slice(&body);
	}
	(void)snprintf(path, sizeof(path), "/api/%s", m->command->name);
	if (code == EX_OK)
		code = ctl_target_find(m->values[CONFIG], &target);
	if (code == EX_OK)
		code = ctl_fetch(&target, path, sent, &answer, &status);
	if (code == EX_OK && (status < 200 || status > 299))
		code = ctl_problem(status, buf_slice(&answer));
	else if (code == EX_OK && m->as_json)
		(void)printf("%.*s\n", SLICE_ARG(slice_trim(buf_slice(&answer))));
	else if (code == EX_OK)
		code = print_answer(m, buf_slice(&answer));
	ctl_target_done(&target);
	buf_done(&body);
	buf_done(&answer);
	return code;
}

int
ctl_moderate(int argc, char **argv)
{
	struct moderation m = {.command = NULL};
	const char *value = NULL;
	int code = EX_OK;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(argv[0], commands[i].name) == 0)
			m.command = &commands[i];
	}
	if (m.command == NULL)
		return ctl_fail(EX_USAGE, "unknown command '%s'", argv[0]);
	ctl_args_init(&m.args, argc, argv, m.command->help);
	while (code == EX_OK) {
		int option = ctl_args_next(&m.args, options, N_OPTIONS, &value);

		switch (option) {
		case CTL_OPERAND:
			code = take_operand(&m, value);
			break;
		case CTL_END:
			return run(&m);
		case CTL_HELP:
			return EX_OK;
		case CTL_WRONG:
			return EX_USAGE;
		default:
			code = take_option(&m, option, value);
		}
	}
	return code;
}
