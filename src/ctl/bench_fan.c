#include "ctl/bench.h"

#include <time.h>

#include "base/mem.h"

#define DRAIN_NS  (20ull * 1000000000u) /* for what is under way at the end */
#define SAMPLE_NS (100ull * 1000000u)   /* between looks at the daemon's memory */

/*
 * One sender a room (its member 0), everybody else receives. Messages are numbered over all rooms;
 * message g goes to room g modulo rooms, so the numbers that one room sees are `rooms` apart.
 */
struct fan {
	uint64_t rooms;
	uint64_t members;   /* of a room, its sender included */
	uint64_t next;      /* number of the next message */
	uint64_t in_flight; /* sent, and not with everybody yet */
	uint64_t acks;
	uint64_t deliveries;
	uint64_t due_ns;         /* open loop: when the next one is to go */
	uint64_t interval_ns;    /* open loop; 0: closed loop */
	size_t hint;             /* where the number stood in the last message */
	struct bench_conn *slow; /* or NULL */
	uint64_t slow_level_ns;  /* when it had everything again */
	uint64_t peak_bytes;     /* of the daemon's memory */
	uint64_t sampled_ns;
	struct bench_numbered message;
	struct {
		uint64_t number;
		uint64_t sent_ns;
		uint64_t left; /* to be delivered */
	} under_way[BENCH_IN_FLIGHT];
};

/* What is compared at the beginning and at the end of the time that counts. */
struct moment {
	uint64_t wall_ns;
	uint64_t cpu_ns;
	uint64_t own_ns;
	uint64_t deliveries;
	uint64_t messages;
};

/* --- receiving --- */

static void
on_chat(struct bench *b, struct fan *f, struct bench_conn *c, uint64_t number)
{
	size_t slot;

	if (number >= f->next || number % f->rooms != c->room) {
		bench_fail(b, "connection %u got a message that nobody sent", c->number);
		return;
	}
	bench_count(c, number, f->rooms);
	f->deliveries++;
	slot = number % BENCH_IN_FLIGHT;
	if (c == f->slow || f->under_way[slot].number != number || f->under_way[slot].left == 0)
		return;
	bench_times_add(&b->times, b->now_ns - f->under_way[slot].sent_ns);
	if (--f->under_way[slot].left == 0)
		f->in_flight--;
}

static void
on_message(struct bench *b, struct bench_conn *c, struct slice m)
{
	struct fan *f = b->mode;
	uint64_t number;

	if (slice_has_prefix(m, SLICE("{\"type\":\"ack\""))) {
		f->acks++;
		return;
	}
	if (bench_number_of(&f->hint, m, &number))
		on_chat(b, f, c, number);
	else if (slice_has_prefix(m, SLICE("{\"type\":\"error\"")) ||
		 slice_has_prefix(m, SLICE("{\"type\":\"closing\"")))
		bench_fail(b, "connection %u: %.*s", c->number, SLICE_ARG(m));
	else if (slice_has_prefix(m, SLICE("{\"type\":\"gap\"")) ||
		 slice_has_prefix(m, SLICE("event: gap")))
		c->gaps++;
}

/* --- sending --- */

/*
 * Another member in each room: a daemon deals connections out to its workers in turn, and one of two
 * would have all senders.
 */
static size_t
sender_of(const struct fan *f, uint64_t room)
{
	return (size_t)(room * f->members + room % f->members);
}

static void
send_next(struct bench *b, struct fan *f, uint64_t at_ns)
{
	uint64_t room = f->next % f->rooms;
	size_t slot = f->next % BENCH_IN_FLIGHT;

	if (f->under_way[slot].left > 0) {
		bench_fail(
		    b, "%d messages are under way: the daemon does not keep up", BENCH_IN_FLIGHT);
		return;
	}
	f->under_way[slot].number = f->next;
	f->under_way[slot].sent_ns = at_ns;
	f->under_way[slot].left = f->members - 1 - (f->slow != NULL ? 1 : 0);
	f->in_flight++;
	bench_send(b, &b->conns[sender_of(f, room)], false, bench_numbered(&f->message, f->next++));
}

/* Sends what may go now; returns when to come again at the latest. */
static uint64_t
send_some(struct bench *b, struct fan *f, uint64_t now)
{
	if (f->interval_ns == 0) {
		while (f->in_flight < b->o.window && !b->failed)
			send_next(b, f, now);
		return now + SAMPLE_NS;
	}
	while (f->due_ns <= now && !b->failed) {
		send_next(b, f, f->due_ns); /* its time runs from here, however late it goes */
		f->due_ns += f->interval_ns;
	}
	return f->due_ns;
}

/* --- the run --- */

static struct moment
look(const struct bench *b, const struct fan *f)
{
	struct timespec own;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own); /* it is always there */
	return (struct moment){.wall_ns = bench_now_ns(),
	    .cpu_ns = bench_cpu_ns(b->o.pid),
	    .own_ns = (uint64_t)own.tv_sec * 1000000000u + (uint64_t)own.tv_nsec,
	    .deliveries = f->deliveries,
	    .messages = f->next};
}

/* How many messages a member of this room ought to have. */
static uint64_t
sent_to(const struct fan *f, uint64_t room)
{
	return (f->next + f->rooms - 1 - room) / f->rooms;
}

static bool
has_all(const struct fan *f, const struct bench_conn *c)
{
	return c->received + 1 > sent_to(f, c->room) || c->expected >= f->next;
}

static void
mind_slow(struct bench *b, struct fan *f, uint64_t start, uint64_t now)
{
	uint64_t resumed = start + b->o.pause_ms * 1000000u;

	if (f->slow == NULL)
		return;
	if (now > f->sampled_ns + SAMPLE_NS) {
		f->sampled_ns = now;
		f->peak_bytes = max_u64(f->peak_bytes, bench_resident_bytes(b->o.pid));
	}
	if (now >= start && now < resumed && !f->slow->is_paused)
		bench_pause(b, f->slow, true);
	else if (now >= resumed && f->slow->is_paused)
		bench_pause(b, f->slow, false);
	else if (now >= resumed && f->slow_level_ns == 0 &&
		 f->slow->expected + f->rooms * 2 > f->next)
		f->slow_level_ns = now - resumed;
}

static bool
is_over(const struct fan *f)
{
	return f->in_flight == 0 && f->acks == f->next && (f->slow == NULL || has_all(f, f->slow));
}

static void
run(struct bench *b, struct fan *f, struct moment *from, struct moment *to)
{
	uint64_t begin = bench_now_ns();
	uint64_t start = begin + b->o.warmup_ms * 1000000u;
	uint64_t end = start + b->o.seconds_ms * 1000000u;

	f->due_ns = begin;
	while (!b->failed) {
		uint64_t now = bench_now_ns();
		uint64_t until = now + SAMPLE_NS;

		if (from->wall_ns == 0 && now >= start) {
			memset(&b->times, 0, sizeof(b->times));
			*from = look(b, f);
		}
		if (to->wall_ns == 0 && now >= end)
			*to = look(b, f);
		mind_slow(b, f, start, now);
		if (to->wall_ns == 0)
			until = min_u64(end, send_some(b, f, now));
		else if (is_over(f) || now > end + DRAIN_NS)
			break;
		bench_turn(b, until);
	}
}

/* --- what came out --- */

static int
report_faults(struct bench *b, const struct fan *f)
{
	struct bench_faults faults = {.unacknowledged = f->next - f->acks};

	for (size_t i = 0; i < b->n_conns; i++) {
		if (i != sender_of(f, i / f->members))
			bench_faults_add(&faults, &b->conns[i], sent_to(f, b->conns[i].room));
	}
	return bench_report_faults(&b->report, &faults);
}

static void
report_slow(struct bench *b, const struct fan *f)
{
	struct bench_report *r = &b->report;

	bench_report_add(
	    r, "slow_received", "the slow reader got", "messages", (double)f->slow->received, 0);
	bench_report_add(
	    r, "slow_missed", "… and misses", "messages", (double)(f->next - f->slow->received), 0);
	bench_report_add(r, "slow_gaps", "… told by gaps", "", f->slow->gaps, 0);
	bench_report_add(
	    r, "slow_level_s", "… was level again after", "s", (double)f->slow_level_ns / 1e9, 3);
	if (b->o.pid != 0)
		bench_report_add(r, "peak_bytes", "the daemon's memory, at most", "bytes",
		    (double)f->peak_bytes, 0);
}

static int
report(struct bench *b, const struct fan *f, const struct moment *from, const struct moment *to)
{
	struct bench_report *r = &b->report;
	double seconds = (double)(to->wall_ns - from->wall_ns) / 1e9;
	double deliveries = (double)(to->deliveries - from->deliveries);

	bench_report_add(r, "connections", "connections", "", (double)b->n_conns, 0);
	bench_report_add(r, "messages", "messages", "", (double)(to->messages - from->messages), 0);
	bench_report_add(r, "deliveries", "deliveries", "", deliveries, 0);
	bench_report_add(r, "deliveries_per_s", "deliveries a second", "", deliveries / seconds, 0);
	bench_report_times(r, &b->times);
	if (to->cpu_ns > from->cpu_ns && deliveries > 0) {
		double cpu_ns = (double)(to->cpu_ns - from->cpu_ns);

		bench_report_add(r, "cpu_ns_per_delivery", "CPU of the daemon, a delivery", "ns",
		    cpu_ns / deliveries, 0);
		bench_report_add(r, "cpu_share", "… of one core", "%", cpu_ns / seconds / 1e7, 1);
	}
	bench_report_add(r, "own_share", "own CPU, of one core", "%",
	    (double)(to->own_ns - from->own_ns) / seconds / 1e7, 1);
	if (f->slow != NULL)
		report_slow(b, f);
	return report_faults(b, f);
}

/* --- modes --- */

static void
begin_conns(struct bench *b, const struct fan *f)
{
	for (size_t i = 0; i < b->n_conns; i++) {
		struct bench_conn *c = &b->conns[i];

		c->room = (uint32_t)(i / f->members);
		c->kind = b->o.is_sse && i != sender_of(f, c->room) ? BENCH_EVENTS : BENCH_CHAT;
		c->expected = c->room;
	}
}

static int
fan_run(struct bench *b, uint64_t rooms, uint64_t members, bool with_slow)
{
	struct fan *f = mem_calloc(1, sizeof(*f));
	struct moment from = {0};
	struct moment to = {0};
	int code;

	if (f == NULL)
		return ctl_no_memory();
	f->rooms = rooms;
	f->members = members;
	f->interval_ns = b->o.rate == 0 ? 0 : 1000000000u / b->o.rate;
	b->mode = f;
	b->on_message = on_message;
	code = rooms * members > BENCH_MAX_CONNS
		   ? ctl_fail(EX_USAGE, "%d connections are the most", BENCH_MAX_CONNS)
		   : bench_init(b, rooms * members);
	if (code == 0)
		code = bench_numbered_init(&f->message, "", b->o.size);
	if (code == 0) {
		begin_conns(b, f);
		f->slow = with_slow ? &b->conns[1] : NULL;
		bench_open_all(b, 0, b->n_conns);
		run(b, f, &from, &to);
	}
	if (code == 0 && !b->failed)
		code = report(b, f, &from, &to);
	buf_done(&f->message.json);
	mem_free(f);
	b->mode = NULL;
	return code;
}

int
bench_fanout(struct bench *b)
{
	return fan_run(b, 1, b->o.connections + 1, false);
}

int
bench_rooms(struct bench *b)
{
	if (b->o.connections < 2)
		return ctl_fail(EX_USAGE, "a room needs two members");
	return fan_run(b, b->o.rooms, b->o.connections, false);
}

int
bench_slow(struct bench *b)
{
	if (b->o.connections < 2)
		return ctl_fail(EX_USAGE, "beside the slow reader one more is needed");
	return fan_run(b, 1, b->o.connections + 1, true);
}
