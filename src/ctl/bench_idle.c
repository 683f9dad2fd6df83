#include "ctl/bench.h"

#include "base/mem.h"

#define SETTLE_NS  (1500ull * 1000000u) /* until what a handshake left behind is gone */
#define WARM_CONNS 16 /* there before memory is looked at: caches and tables exist then */

static void
ignore(struct bench *b, struct bench_conn *c, struct slice m)
{
	(void)b;
	(void)c;
	(void)m;
}

/* --- the daemon's memory --- */

static void
wait_ns(struct bench *b, uint64_t ns)
{
	uint64_t until = bench_now_ns() + ns;

	while (!b->failed && bench_now_ns() < until)
		bench_turn(b, until);
}

int
bench_idle(struct bench *b)
{
	struct bench_metrics told[2];
	uint64_t resident[2] = {0, 0};
	size_t n = b->o.connections;
	uint64_t began;
	double seconds;
	int code = bench_init(b, n + WARM_CONNS);

	if (code != 0)
		return code;
	b->on_message = ignore;
	for (size_t i = 0; i < b->n_conns; i++)
		b->conns[i].kind = b->o.is_sse ? BENCH_EVENTS : BENCH_CHAT;
	bench_open_all(b, 0, WARM_CONNS);
	wait_ns(b, SETTLE_NS);
	if (b->failed || (code = bench_ask(b, &told[0])) != 0)
		return code == 0 ? EX_UNAVAILABLE : code;
	resident[0] = bench_resident_bytes(b->o.pid);
	began = bench_now_ns();
	bench_open_all(b, WARM_CONNS, b->n_conns);
	seconds = (double)(bench_now_ns() - began) / 1e9;
	wait_ns(b, SETTLE_NS);
	if (b->failed || (code = bench_ask(b, &told[1])) != 0)
		return code == 0 ? EX_UNAVAILABLE : code;
	resident[1] = bench_resident_bytes(b->o.pid);
	bench_report_add(&b->report, "connections", "connections", "", (double)n, 0);
	bench_report_add(&b->report, "opened_per_s", "opened a second", "", (double)n / seconds, 0);
	if (told[1].heap_bytes > 0)
		bench_report_add(&b->report, "heap_bytes", "heap of the daemon, a connection",
		    "bytes", ((double)told[1].heap_bytes - (double)told[0].heap_bytes) / (double)n,
		    1);
	if (b->o.pid != 0)
		bench_report_add(&b->report, "resident_bytes", "resident, a connection", "bytes",
		    ((double)resident[1] - (double)resident[0]) / (double)n, 1);
	return 0;
}

/* --- connect rate --- */

struct connects {
	uint64_t done;
	uint64_t begun;
	uint64_t due_ns;      /* open loop: when the next one is to begin */
	uint64_t interval_ns; /* open loop; 0: closed loop */
};

static void
on_open(struct bench *b, struct bench_conn *c)
{
	struct connects *k = b->mode;

	bench_times_add(&b->times, b->now_ns - c->started_ns);
	k->done++;
	c->expected = 1; /* closed at the end of the turn: its input is still being looked at */
}

/* Ends who has joined, begins what is due; returns when to come again at the latest. */
static uint64_t
begin_some(struct bench *b, struct connects *k)
{
	uint64_t now = bench_now_ns();

	for (size_t i = 0; i < b->n_conns && !b->failed; i++) {
		struct bench_conn *c = &b->conns[i];

		if (c->fd >= 0 && c->expected == 1)
			bench_close(b, c);
		if (c->fd >= 0 || k->due_ns > now || k->begun == b->o.connections)
			continue;
		c->kind = b->o.is_sse ? BENCH_EVENTS : BENCH_CHAT;
		c->expected = 0;
		c->number = (uint32_t)(k->begun++);
		mem_free(c->token);
		c->token = NULL; /* that was somebody else's */
		bench_open(b, c);
		if (k->interval_ns > 0)
			c->started_ns = k->due_ns; /* its time runs from here */
		k->due_ns += k->interval_ns;
	}
	return k->interval_ns > 0 && k->due_ns > now ? k->due_ns : now + 1000000000u;
}

int
bench_connect(struct bench *b)
{
	struct connects k = {.interval_ns = b->o.rate == 0 ? 0 : 1000000000u / b->o.rate};
	uint64_t start;
	uint64_t cpu;
	double seconds;
	int code = bench_init(b, b->o.window);

	if (code != 0)
		return code;
	b->on_message = ignore;
	b->on_open = on_open;
	b->mode = &k; /* cppcheck-suppress autoVariables; until the end of this call */
	start = bench_now_ns();
	k.due_ns = start;
	cpu = bench_cpu_ns(b->o.pid);
	while (!b->failed && k.done < b->o.connections)
		bench_turn(b, begin_some(b, &k));
	b->mode = NULL;
	if (b->failed)
		return EX_UNAVAILABLE;
	seconds = (double)(bench_now_ns() - start) / 1e9;
	cpu = bench_cpu_ns(b->o.pid) - cpu;
	bench_report_add(&b->report, "connections", "connections", "", (double)k.done, 0);
	bench_report_add(
	    &b->report, "connects_per_s", "joined a second", "", (double)k.done / seconds, 0);
	bench_report_times(&b->report, &b->times);
	if (cpu > 0)
		bench_report_add(&b->report, "cpu_ns_per_connection",
		    "CPU of the daemon, a connection", "ns", (double)cpu / (double)k.done, 0);
	return 0;
}
