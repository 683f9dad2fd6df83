#include "ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "core/topic.h"
#include "daemon/config_value.h"
#include "proto/json.h"

#define INPUT_MAX  16777216 /* bytes of a message; the daemon's own limits.body is far below */
#define ANSWER_MAX 1048576

static const char help[] =
    "usage: belfryctl publish [OPTION]... TOPIC [MESSAGE|-]\n"
    "       belfryctl publish [OPTION]... --to USER [MESSAGE|-]\n"
    "\n"
    "Publishes one message; - reads it from the standard input, as a missing one does that is piped in.\n"
    "\n"
    "  -c, --config FILE    the daemon's configuration: says where it is and signs a token\n"
    "      --title TEXT     title\n"
    "      --event NAME     event name for listeners (notification)\n"
    "      --priority N     1 (lowest) to 5\n"
    "      --tags A,B       tags\n"
    "      --click URL      what a click opens\n"
    "      --at TIME        later: +10m, unix seconds or RFC 3339\n"
    "      --ttl TIME       how long it is kept: 90s, 10m, 1h\n"
    "      --key KEY        published once, however often it is sent\n"
    "      --data JSON      structured data\n"
    "      --to USER        on that user's own topic\n"
    "      --json           print the daemon's answer as it is\n";

enum {
	CONFIG,
	TITLE,
	EVENT,
	PRIORITY,
	TAGS,
	CLICK,
	AT,
	TTL,
	KEY,
	DATA,
	TO,
	JSON,
	N_OPTIONS
};

static const struct ctl_option options[N_OPTIONS] = {
    [CONFIG] = {"config", 'c', true},
    [TITLE] = {"title", 0, true},
    [EVENT] = {"event", 0, true},
    [PRIORITY] = {"priority", 0, true},
    [TAGS] = {"tags", 0, true},
    [CLICK] = {"click", 0, true},
    [AT] = {"at", 0, true},
    [TTL] = {"ttl", 0, true},
    [KEY] = {"key", 0, true},
    [DATA] = {"data", 0, true},
    [TO] = {"to", 0, true},
    [JSON] = {"json", 0, false},
};

struct publish_command {
	struct ctl_args args;
	const char *value[N_OPTIONS]; /* NULL: not given */
	const char *topic;
	const char *message;
	bool is_input;
	struct buf input; /* from the standard input, with is_input */
};

/* --- arguments --- */

static int
take_operand(struct publish_command *p, const char *value)
{
	if (p->topic == NULL)
		p->topic = value;
	else if (p->message == NULL)
		p->message = value;
	else
		return ctl_usage(&p->args,
		    "one message is enough, '%s' is a second one (quotes keep words together)",
		    value);
	return 0;
}

/* 0; an exit code; -1 for "done, and well". */
static int
take_arguments(struct publish_command *p)
{
	const char *value;
	int i;

	while ((i = ctl_args_next(&p->args, options, N_OPTIONS, &value)) != CTL_END) {
		int code = 0;

		if (i == CTL_HELP)
			return -1;
		if (i == CTL_WRONG)
			return EX_USAGE;
		if (i == CTL_OPERAND)
			code = take_operand(p, value);
		else
			p->value[i] = value == NULL ? "" : value;
		if (code != 0)
			return code;
	}
	if (p->value[TO] != NULL) {
		if (p->message != NULL)
			return ctl_usage(&p->args, "--to takes the place of the topic");
		p->message = p->topic;
		p->topic = NULL;
	} else if (p->topic == NULL) {
		return ctl_usage(&p->args, "the topic is missing");
	} else if (topic_error(slice_str(p->topic)) != NULL) {
		return ctl_usage(
		    &p->args, "the topic '%s' %s", p->topic, topic_error(slice_str(p->topic)));
	}
	return 0;
}

static int
fail_missing(struct publish_command *p)
{
	return ctl_usage(&p->args, "the message is missing (- reads it from the standard input)");
}

static int
read_input(struct publish_command *p)
{
	char piece[4096];
	size_t n;

	while ((n = fread(piece, 1, sizeof(piece), stdin)) > 0) {
		if (buf_add(&p->input, piece, n) < 0)
			return ctl_fail(
			    EX_DATAERR, "the message is longer than %d bytes", INPUT_MAX);
	}
	if (ferror(stdin))
		return ctl_fail(EX_IOERR, "reading the standard input failed");
	if (p->input.n > 0 && p->input.p[p->input.n - 1] == '\n')
		p->input.n--;
	return 0;
}

/*
 * What - stands for; and for no message at all, where nothing else makes one and something may be
 * piped in. 0, or the exit code.
 */
static int
take_input(struct publish_command *p)
{
	bool is_missing = p->message == NULL && p->value[TITLE] == NULL && p->value[DATA] == NULL;
	int code;

	if (is_missing && isatty(STDIN_FILENO))
		return fail_missing(p);
	if (!is_missing && (p->message == NULL || strcmp(p->message, "-") != 0))
		return 0;
	code = read_input(p);
	if (code == 0 && is_missing && p->input.n == 0)
		return fail_missing(p);
	p->is_input = true;
	return code;
}

/* --- the request --- */

static void
add_tags(struct buf *out, const char *tags)
{
	struct slice rest = slice_str(tags);
	bool is_first = true;

	(void)json_add_key(out, "tags"); /* failures stick */
	(void)buf_add_char(out, '[');
	while (rest.p != NULL) {
		struct slice tag = slice_trim(slice_cut(&rest, ','));

		if (tag.n == 0)
			continue;
		if (!is_first)
			(void)buf_add_char(out, ',');
		(void)json_add_string(out, tag);
		is_first = false;
	}
	(void)buf_add_char(out, ']');
}

/* Those members that are not plain strings. 0, or the exit code. */
static int
add_special(struct publish_command *p, struct buf *out)
{
	uint64_t v;

	if (p->value[PRIORITY] != NULL) {
		if (slice_to_u64(slice_str(p->value[PRIORITY]), &v) < 0 || v < 1 || v > 5)
			return ctl_usage(
			    &p->args, "--priority is '%s', want 1 to 5", p->value[PRIORITY]);
		(void)json_add_member_u64(out, "priority", v); /* failures stick */
	}
	if (p->value[TTL] != NULL) {
		if (config_value_duration(slice_str(p->value[TTL]), &v) < 0 || v < 1000)
			return ctl_usage(&p->args, "--ttl is '%s', want a time such as 90s or 1h",
			    p->value[TTL]);
		(void)json_add_member_u64(out, "ttl", v / 1000);
	}
	if (p->value[DATA] != NULL) {
		cJSON *tree = NULL;
		int e = json_parse(slice_str(p->value[DATA]), &tree, NULL);

		cJSON_Delete(tree);
		if (e < 0)
			return ctl_usage(&p->args, "--data: %s", json_error_text(e));
		(void)json_add_member_raw(out, "data", slice_str(p->value[DATA]));
	}
	if (p->value[TAGS] != NULL)
		add_tags(out, p->value[TAGS]);
	return 0;
}

static int
add_text(struct buf *out, const char *name, struct slice s)
{
	if (s.p == NULL)
		return 0;
	if (!utf8_is_valid(s))
		return ctl_fail(EX_DATAERR, "%s is not UTF-8", name);
	(void)json_add_member_string(out, name, s); /* failures stick */
	return 0;
}

/* The JSON body. 0, or the exit code. */
static int
make_body(struct publish_command *p, struct buf *out)
{
	static const int texts[] = {TITLE, EVENT, CLICK, AT, KEY, TO};
	int code = take_input(p);

	if (code != 0)
		return code;
	(void)buf_add_char(out, '{'); /* failures stick */
	code = add_text(out, "topic", slice_str(p->topic));
	if (code == 0)
		code = add_text(
		    out, "message", p->is_input ? buf_slice(&p->input) : slice_str(p->message));
	for (size_t i = 0; i < ARRAY_LEN(texts) && code == 0; i++)
		code = add_text(out, options[texts[i]].name, slice_str(p->value[texts[i]]));
	if (code == 0)
		code = add_special(p, out);
	(void)buf_add_char(out, '}');
	return code == 0 && out->failed ? ctl_no_memory() : code;
}

/* --- the answer --- */

static void
print_answer(struct slice answer)
{
	cJSON *tree = NULL;
	const cJSON *duplicate;
	uint64_t id = 0;

	if (json_parse(answer, &tree, NULL) < 0) {
		(void)puts("published");
		return;
	}
	if (json_u64(json_member(tree, "scheduled"), &id) == 0) {
		(void)printf("scheduled, number %llu\n", (unsigned long long)id);
	} else {
		duplicate = json_member(tree, "duplicate");
		(void)fputs(
		    cJSON_IsTrue(duplicate) ? "was published before on " : "published on ", stdout);
		ctl_print_text(stdout, json_string(json_member(tree, "topic")));
		if (json_u64(json_member(tree, "id"), &id) == 0)
			(void)printf(", id %llu", (unsigned long long)id);
		(void)puts("");
	}
	cJSON_Delete(tree);
}

static int
show(const struct publish_command *p, long status, struct slice answer)
{
	if (status < 200 || status > 299)
		return ctl_problem(status, answer);
	if (p->value[JSON] == NULL)
		print_answer(answer);
	else
		(void)printf("%.*s\n", SLICE_ARG(slice_trim(answer)));
	return EX_OK;
}

static int
post(const struct publish_command *p, const struct ctl_target *target, const struct buf *body)
{
	struct buf answer = BUF_INIT(ANSWER_MAX);
	long status = 0;
	int code = ctl_fetch(target, "/publish", buf_slice(body), &answer, &status);

	if (code == EX_OK)
		code = show(p, status, buf_slice(&answer));
	buf_done(&answer);
	return code;
}

int
ctl_publish(int argc, char **argv)
{
	struct publish_command p = {.input = BUF_INIT(INPUT_MAX)};
	struct ctl_target target = {.url = NULL};
	struct buf body = BUF_INIT((size_t)INPUT_MAX * 2);
	int code;

	ctl_args_init(&p.args, argc, argv, help);
	code = take_arguments(&p);
	if (code == 0)
		code = make_body(&p, &body);
	if (code == 0)
		code = ctl_target_find(p.value[CONFIG], &target);
	if (code == 0)
		code = post(&p, &target, &body);
	ctl_target_done(&target);
	buf_done(&body);
	buf_done(&p.input);
	return code < 0 ? EX_OK : code;
}
