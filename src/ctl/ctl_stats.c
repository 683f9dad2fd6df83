#include "ctl/ctl.h"

#include "proto/json.h"

#define ANSWER_MAX 1048576

static const char help[] =
    "usage: belfryctl stats [OPTION]...\n"
    "\n"
    "Prints the figures of the running daemon; its token must have the role admin.\n"
    "\n"
    "  -c, --config FILE    the daemon's configuration: says where it is and signs a token\n"
    "      --json           print the daemon's answer as it is\n";

enum {
	CONFIG,
	JSON,
	N_OPTIONS
};

static const struct ctl_option options[N_OPTIONS] = {
    [CONFIG] = {"config", 'c', true},
    [JSON] = {"json", 0, false},
};

/* The figures in the order of importance; what the daemon adds beside them is only in --json. */
static const struct {
	const char *member;
	const char *text;
	bool is_bytes;
} rows[] = {
    {"uptime", "seconds up", false},
    {"workers", "workers", false},
    {"connections", "connections", false},
    {"websockets", "  of them WebSockets", false},
    {"streams", "  of them event streams", false},
    {"rooms", "rooms with somebody in them", false},
    {"topics", "topics", false},
    {"messages", "messages received", false},
    {"deliveries", "deliveries", false},
    {"stored", "messages stored", false},
    {"stored_bytes", "  in", true},
    {"behind", "readers behind", false},
    {"gaps", "gaps told", false},
    {"queued_bytes", "waiting in queues", true},
    {"memory", "resident memory", true},
};

static void
print_row(const char *text, uint64_t value, bool is_bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double shown = (double)value;
	size_t unit = 0;

	if (!is_bytes) {
		(void)printf("%-30s %12llu\n", text, (unsigned long long)value);
		return;
	}
	while (shown >= 1024 && unit + 1 < ARRAY_LEN(units)) {
		shown /= 1024;
		unit++;
	}
	(void)printf("%-30s %12.*f %s\n", text, unit == 0 ? 0 : 1, shown, units[unit]);
}

static int
print_answer(struct slice answer)
{
	cJSON *tree = NULL;
	uint64_t value;

	if (json_parse(answer, &tree, NULL) < 0)
		return ctl_fail(EX_PROTOCOL, "the daemon's answer is no JSON");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (json_u64(json_member(tree, rows[i].member), &value) == 0)
			print_row(rows[i].text, value, rows[i].is_bytes);
	}
	cJSON_Delete(tree);
	return EX_OK;
}

static int
run(const char *config, bool as_json)
{
	struct ctl_target target = {.url = NULL};
	struct buf answer = BUF_INIT(ANSWER_MAX);
	long status = 0;
	int code = ctl_target_find(config, &target);

	if (code == EX_OK)
		code = ctl_fetch(&target, "/api/stats", SLICE_NONE, &answer, &status);
	if (code == EX_OK && (status < 200 || status > 299))
		code = ctl_problem(status, buf_slice(&answer));
	else if (code == EX_OK && as_json)
		(void)printf("%.*s\n", SLICE_ARG(slice_trim(buf_slice(&answer))));
	else if (code == EX_OK)
		code = print_answer(buf_slice(&answer));
	ctl_target_done(&target);
	buf_done(&answer);
	return code;
}

int
ctl_stats(int argc, char **argv)
{
	const char *config = NULL;
	const char *value = NULL;
	bool as_json = false;
	struct ctl_args args;

	ctl_args_init(&args, argc, argv, help);
	for (;;) {
		int option = ctl_args_next(&args, options, N_OPTIONS, &value);

		switch (option) {
		case CONFIG:
			config = value;
			break;
		case JSON:
			as_json = true;
			break;
		case CTL_END:
			return run(config, as_json);
		case CTL_HELP:
			return EX_OK;
		case CTL_OPERAND:
			return ctl_usage(&args, "'%s' is not expected", value);
		default:
			return EX_USAGE;
		}
	}
}
