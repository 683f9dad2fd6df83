#include "ctl/bench.h"

#include <stdio.h>

#include "base/mem.h"
#include "core/topic.h"
#include "daemon/config_value.h"

static const char help[] =
    "usage: belfryctl bench [OPTION]... MODE\n"
    "\n"
    "Puts load on a daemon and checks every delivery: none lost, none repeated, all in order. Exits with 70 when\n"
    "one was. Modes:\n"
    "\n"
    "  fanout    one sender, all others in its room\n"
    "  rooms     many rooms, a sender in each\n"
    "  slow      as fanout; one reader stops for a while\n"
    "  idle      connections that only are there: the daemon's memory for each\n"
    "  connect   connections that join and go\n"
    "  echo      frames to /echo and back\n"
    "  publish   POST /publish\n"
    "  history   pages of a log with many messages\n"
    "  storm     all connections come back at a time and resume, while a room is live\n"
    "  churn     connections that join, talk, leave and come back at random\n"
    "\n"
    "  -c, --config FILE     the daemon's configuration (or BELFRY_URL and BELFRY_TOKEN)\n"
    "      --pid PID         the daemon's process, for CPU time and memory, where it is not found by itself\n"
    "  -n, --connections N   subscribers of fanout and slow, members of a room, connections else\n"
    "  -r, --rooms N         rooms; topics of publish\n"
    "  -w, --window N        messages under way at a time: the next goes out when all have one\n"
    "      --rate N          messages a second instead, late ones too; times run from the scheduled moment\n"
    "  -s, --size BYTES      of a message's content\n"
    "  -t, --time TIME       how long (3s)\n"
    "      --warmup TIME     before it, not counted (500ms)\n"
    "      --pause TIME      how long the slow reader stops (7s), the storm's clients are away (1s)\n"
    "      --within TIME     in which the storm's clients come back (1s)\n"
    "      --live N          members of the live room of a storm (1000)\n"
    "      --messages N      put into the log before history is read (10000)\n"
    "      --page N          messages in a page of history (100)\n"
    "      --seed N          of churn's dice: the same one, the same run (1)\n"
    "      --restarts        the daemon may end and come back while churn goes on\n"
    "      --busy            never sleep: for a processor of its own\n"
    "      --sse             subscribers read /events\n"
    "      --deflate         WebSockets take compressed frames\n"
    "      --tokens          a token for each connection, in place of one for all\n"
    "      --room NAME       beginning of the rooms' names (bench)\n"
    "      --json            print JSON\n"
    "\n"
    "The daemon's limits count: a bench wants limits.messages_per_second = 0 and rooms without presence.\n";

enum {
	CONFIG,
	PID,
	CONNECTIONS,
	ROOMS,
	WINDOW,
	RATE,
	SIZE,
	TIME,
	WARMUP,
	PAUSE,
	WITHIN,
	LIVE,
	MESSAGES,
	PAGE,
	SEED,
	RESTARTS,
	BUSY,
	SSE,
	DEFLATE,
	TOKENS,
	ROOM,
	JSON
};

static const struct ctl_option options[] = {
    [CONFIG] = {"config", 'c', true},
    [PID] = {"pid", 0, true},
    [CONNECTIONS] = {"connections", 'n', true},
    [ROOMS] = {"rooms", 'r', true},
    [WINDOW] = {"window", 'w', true},
    [RATE] = {"rate", 0, true},
    [SIZE] = {"size", 's', true},
    [TIME] = {"time", 't', true},
    [WARMUP] = {"warmup", 0, true},
    [PAUSE] = {"pause", 0, true},
    [WITHIN] = {"within", 0, true},
    [LIVE] = {"live", 0, true},
    [MESSAGES] = {"messages", 0, true},
    [PAGE] = {"page", 0, true},
    [SEED] = {"seed", 0, true},
    [RESTARTS] = {"restarts", 0, false},
    [BUSY] = {"busy", 0, false},
    [SSE] = {"sse", 0, false},
    [DEFLATE] = {"deflate", 0, false},
    [TOKENS] = {"tokens", 0, false},
    [ROOM] = {"room", 0, true},
    [JSON] = {"json", 0, false},
};

/* What a mode is called, and what its options are when they are not given. */
static const struct {
	const char *name;
	int (*run)(struct bench *b);
	uint64_t connections;
	uint64_t rooms;
	uint64_t window;
	uint64_t rate;
	uint64_t size;
	uint64_t seconds_ms;
	uint64_t pause_ms;
} modes[] = {
    {"fanout", bench_fanout, 1000, 1, 1, 0, 64, 3000, 0},
    {"rooms", bench_rooms, 10, 1000, 64, 0, 64, 3000, 0},
    {"slow", bench_slow, 20, 1, 1, 1000, 1024, 10000, 7000},
    {"idle", bench_idle, 10000, 1, 1, 0, 0, 3000, 0},
    {"connect", bench_connect, 5000, 1, 64, 0, 0, 3000, 0},
    {"echo", bench_echo, 1, 1, 1, 0, 16384, 3000, 0},
    {"publish", bench_publish, 16, 1, 1, 0, 64, 3000, 0},
    {"history", bench_history, 1, 1, 1, 0, 64, 3000, 0},
    {"storm", bench_storm, 5000, 50, 1, 50, 64, 3000, 1000},
    {"churn", bench_churn, 2000, 200, 1, 1000, 64, 15000, 0},
};

/* --- arguments --- */

static int
take_number(const struct ctl_args *args, int option, const char *value, uint64_t max, uint64_t *out)
{
	uint64_t n;

	if (slice_to_u64(slice_str(value), &n) < 0 || n == 0 || n > max)
		return ctl_usage(args, "--%s is '%s', want a number from 1 to %llu",
		    options[option].name, value, (unsigned long long)max);
	*out = n;
	return 0;
}

static int
take_time(const struct ctl_args *args, int option, const char *value, uint64_t *out)
{
	if (config_value_duration(slice_str(value), out) < 0 || *out == 0 || *out > 3600000)
		return ctl_usage(args, "--%s is '%s', want a time such as 500ms, 3s or 1m",
		    options[option].name, value);
	return 0;
}

static int
take_room(const struct ctl_args *args, struct bench_options *o, const char *value)
{
	for (const char *p = value; *p != '\0'; p++) {
		if (strchr("abcdefghijklmnopqrstuvwxyz0123456789-_", *p) == NULL)
			return ctl_usage(args, "--room: small letters, digits, - and _ only");
	}
	if (strlen(value) > 64 || value[0] == '\0')
		return ctl_usage(args, "--room: 1 to 64 characters");
	o->room = value;
	return 0;
}

static int
take_option(const struct ctl_args *args, struct bench_options *o, int option, const char *value)
{
	uint64_t n = 0;
	int code;

	switch (option) {
	case CONFIG:
		o->config = value;
		return 0;
	case PID:
		code = take_number(args, option, value, INT32_MAX, &n);
		o->pid = (int64_t)n;
		return code;
	case CONNECTIONS:
		return take_number(args, option, value, BENCH_MAX_CONNS, &o->connections);
	case ROOMS:
		return take_number(args, option, value, BENCH_MAX_CONNS, &o->rooms);
	case WINDOW:
		return take_number(args, option, value, BENCH_IN_FLIGHT / 2, &o->window);
	case RATE:
		return take_number(args, option, value, 1000000, &o->rate);
	case SIZE:
		return take_number(args, option, value, BENCH_MAX_SIZE, &o->size);
	case TIME:
		return take_time(args, option, value, &o->seconds_ms);
	case WARMUP:
		return take_time(args, option, value, &o->warmup_ms);
	case PAUSE:
		return take_time(args, option, value, &o->pause_ms);
	case WITHIN:
		return take_time(args, option, value, &o->within_ms);
	case LIVE:
		return take_number(args, option, value, BENCH_MAX_CONNS, &o->live);
	case MESSAGES:
		return take_number(args, option, value, 100000000, &o->messages);
	case PAGE:
		return take_number(args, option, value, 1000, &o->page);
	case SEED:
		return take_number(args, option, value, INT64_MAX, &o->seed);
	case RESTARTS:
		o->has_restarts = true;
		return 0;
	case ROOM:
		return take_room(args, o, value);
	case BUSY:
		o->is_busy = true;
		return 0;
	case SSE:
		o->is_sse = true;
		return 0;
	case DEFLATE:
		o->is_deflate = true;
		return 0;
	case TOKENS:
		o->has_token_each = true;
		return 0;
	default:
		o->is_json = true;
		return 0;
	}
}

static void
fill(uint64_t *option, uint64_t value)
{
	if (*option == 0)
		*option = value;
}

/* 0 and *mode, -1 after --help, or the exit code. */
static int
take_arguments(struct ctl_args *args, struct bench_options *o, size_t *mode)
{
	const char *value;
	int code = 0;
	int i;

	while (code == 0 &&
	       (i = ctl_args_next(args, options, ARRAY_LEN(options), &value)) != CTL_END) {
		if (i == CTL_WRONG || i == CTL_HELP)
			return i == CTL_HELP ? -1 : EX_USAGE;
		if (i == CTL_OPERAND && o->mode != NULL)
			return ctl_usage(args, "one mode is enough, '%s' is a second one", value);
		if (i == CTL_OPERAND)
			o->mode = value;
		else
			code = take_option(args, o, i, value);
	}
	if (code != 0)
		return code;
	if (o->mode == NULL)
		return ctl_usage(args, "a mode is missing");
	for (*mode = 0; *mode < ARRAY_LEN(modes); (*mode)++) {
		if (strcmp(modes[*mode].name, o->mode) == 0)
			break;
	}
	if (*mode == ARRAY_LEN(modes))
		return ctl_usage(args, "unknown mode '%s'", o->mode);
	fill(&o->connections, modes[*mode].connections);
	fill(&o->rooms, modes[*mode].rooms);
	fill(&o->window, modes[*mode].window);
	fill(&o->rate, modes[*mode].rate);
	fill(&o->size, modes[*mode].size);
	fill(&o->seconds_ms, modes[*mode].seconds_ms);
	fill(&o->pause_ms, modes[*mode].pause_ms);
	return 0;
}

int
ctl_bench(int argc, char **argv)
{
	struct bench *b = mem_calloc(1, sizeof(*b));
	struct ctl_args args;
	size_t mode = 0;
	int code;

	if (b == NULL)
		return ctl_no_memory();
	b->epoll = -1;
	b->scratch = BUF_INIT((size_t)2 * BENCH_MAX_SIZE);
	b->o.warmup_ms = 500;
	b->o.within_ms = 1000;
	b->o.live = 1000;
	b->o.messages = 10000;
	b->o.page = 100;
	b->o.seed = 1;
	b->o.room = "bench";
	ctl_args_init(&args, argc, argv, help);
	code = take_arguments(&args, &b->o, &mode);
	if (code == 0)
		code = modes[mode].run(b);
	if (code != -1 && !b->failed && b->report.n > 0)
		bench_report_print(&b->report, b->o.mode, b->o.is_json);
	if (code == 0 && b->failed)
		code = EX_UNAVAILABLE;
	buf_done(&b->report.series);
	bench_done(b);
	mem_free(b);
	return code < 0 ? EX_OK : code;
}
