#include "ctl/ctl.h"

#include <curl/curl.h>

#include "base/mem.h"
#include "ctl/ctl_events.h"
#include "proto/json.h"

#define ANSWER_MAX 16777216

static const char help[] =
    "usage: belfryctl history [OPTION]... TOPIC\n"
    "\n"
    "Prints what is stored on a topic, or on all that a pattern matches, the oldest first.\n"
    "\n"
    "  -c, --config FILE    the daemon's configuration: says where it is and signs a token\n"
    "      --after WHERE    from there on: an id, 10m, an RFC 3339 time, or all\n"
    "      --before ID      what is older than that\n"
    "  -n, --limit N        at most so many (50), the newest unless --after is given\n"
    "  -q, --query TEXT     only those with these words: word, \"a phrase\", begin*\n"
    "      --json           print the daemon's answer as it is\n";

enum {
	CONFIG,
	AFTER,
	BEFORE,
	LIMIT,
	QUERY,
	JSON,
	N_OPTIONS
};

static const struct ctl_option options[N_OPTIONS] = {
    [CONFIG] = {"config", 'c', true},
    [AFTER] = {"after", 0, true},
    [BEFORE] = {"before", 0, true},
    [LIMIT] = {"limit", 'n', true},
    [QUERY] = {"query", 'q', true},
    [JSON] = {"json", 0, false},
};

/* As `listen` prints it: the name and the data that it has on a stream. */
static void
print_message(const cJSON *m, struct slice text)
{
	struct slice type = json_string(json_member(m, "type"));
	struct event e = {.name = type, .data = text, .has_data = true};
	char id[EVENT_ID] = "";
	uint64_t n;

	if (json_member(m, "event") != NULL)
		e.name = json_string(json_member(m, "event"));
	if (json_u64(json_member(m, "id"), &n) == 0)
		(void)snprintf(id, sizeof(id), "%llu", (unsigned long long)n); /* it fits */
	e.id = slice_str(id);
	/* as it was published, not in the envelope that it has here */
	if (slice_eq(type, SLICE("event")))
		e.data = cJSON_IsString(json_member(m, "data"))
			     ? json_string(json_member(m, "data"))
			     : json_raw_member(text, "data");
	event_print(stdout, &e, ctl_now());
}

/* How to see what did not fit: what is printed has no ids. */
static void
say_more(const cJSON *messages, bool is_forward)
{
	int at = is_forward ? cJSON_GetArraySize(messages) - 1 : 0;
	uint64_t id = 0;

	if (json_u64(json_member(cJSON_GetArrayItem(messages, at), "id"), &id) == 0)
		(void)fprintf(stderr, "belfryctl: there is more: %s %llu shows it\n",
		    is_forward ? "--after" : "--before", (unsigned long long)id);
}

static int
print_answer(struct slice answer, bool is_forward)
{
	struct slice rest = json_raw_member(answer, "messages");
	struct slice text;
	cJSON *tree = NULL;
	const cJSON *m;

	if (json_parse(answer, &tree, NULL) < 0 || rest.p == NULL) {
		cJSON_Delete(tree);
		return ctl_fail(EX_PROTOCOL, "the daemon's answer is no history");
	}
	cJSON_ArrayForEach(m, json_member(tree, "messages"))
	{
		if (json_raw_element(&rest, &text))
			print_message(m, text);
	}
	(void)fflush(stdout); /* so that the order on a terminal is right */
	if (cJSON_IsTrue(json_member(tree, "more")))
		say_more(json_member(tree, "messages"), is_forward);
	else if (cJSON_GetArraySize(json_member(tree, "messages")) == 0)
		ctl_note("nothing of that is stored");
	cJSON_Delete(tree);
	return EX_OK;
}

static int
run(const char *const value[N_OPTIONS], const char *topic)
{
	struct ctl_target target = {.url = NULL};
	struct buf answer = BUF_INIT(ANSWER_MAX);
	struct buf path = BUF_INIT(65536);
	long status = 0;
	int code = ctl_target_find(value[CONFIG], &target);

	(void)BUF_ADD_LIT(&path, "/history"); /* failures stick */
	ctl_add_parameter(&path, "topic", topic);
	ctl_add_parameter(&path, "after", value[AFTER]);
	ctl_add_parameter(&path, "before", value[BEFORE]);
	ctl_add_parameter(&path, "limit", value[LIMIT]);
	ctl_add_parameter(&path, "q", value[QUERY]);
	(void)buf_add_char(&path, '\0');
	if (code == EX_OK && path.failed)
		code = ctl_no_memory();
	if (code == EX_OK)
		code = ctl_fetch(&target, path.p, SLICE_NONE, &answer, &status);
	if (code == EX_OK && (status < 200 || status > 299))
		code = ctl_problem(status, buf_slice(&answer));
	else if (code == EX_OK && value[JSON] != NULL)
		(void)printf("%.*s\n", SLICE_ARG(slice_trim(buf_slice(&answer))));
	else if (code == EX_OK)
		code = print_answer(buf_slice(&answer), value[AFTER] != NULL);
	ctl_target_done(&target);
	buf_done(&answer);
	buf_done(&path);
	return code;
}

int
ctl_history(int argc, char **argv)
{
	const char *values[N_OPTIONS] = {NULL};
	const char *topic = NULL;
	const char *value = NULL;
	struct ctl_args args;

	ctl_args_init(&args, argc, argv, help);
	for (;;) {
		int option = ctl_args_next(&args, options, N_OPTIONS, &value);

		switch (option) {
		case CTL_END:
			if (topic == NULL)
				return ctl_usage(&args, "the topic is missing");
			return run(values, topic);
		case CTL_HELP:
			return EX_OK;
		case CTL_WRONG:
			return EX_USAGE;
		case CTL_OPERAND:
			if (topic != NULL)
				return ctl_usage(&args, "'%s' is not expected", value);
			topic = value;
			break;
		default:
			values[option] = option == JSON ? "" : value;
			break;
		}
	}
}
