#include "ctl/bench.h"

#include <stdlib.h>

#include "base/mem.h"
#include "proto/json.h"

/* Requests and answers: frames to /echo, and POST /publish. Each connection has `window` (echo) or one (publish) under way. */

struct calls {
	uint64_t done;
	bool is_stopping;
	bool is_echo;
	struct buf request; /* the payload, or the whole request */
	uint64_t under_way;
	uint64_t wrong; /* other bytes, or ids that do not grow */
};

static void
call(struct bench *b, struct calls *k, struct bench_conn *c)
{
	k->under_way++;
	if (k->is_echo)
		bench_send(b, c, true, buf_slice(&k->request));
	else
		bench_send_raw(b, c, buf_slice(&k->request));
}

/* With one call at a time its time runs from here. */
static void
on_open(struct bench *b, struct bench_conn *c)
{
	struct calls *k = b->mode;

	c->started_ns = bench_now_ns();
	for (uint64_t i = 0; i < (k->is_echo ? b->o.window : 1); i++)
		call(b, k, c);
}

/* The id in {"id":1795266321451000,…}; 0 when there is none. */
static uint64_t
id_of(struct slice answer)
{
	static const char name[] = "{\"id\":";

	if (!slice_has_prefix(answer, SLICE(name)))
		return 0;
	return strtoull(answer.p + sizeof(name) - 1, NULL, 10);
}

static void
on_message(struct bench *b, struct bench_conn *c, struct slice m)
{
	struct calls *k = b->mode;
	uint64_t id;

	k->under_way--;
	k->done++;
	if (k->is_echo) {
		k->wrong += !slice_eq(m, buf_slice(&k->request));
	} else {
		id = id_of(m);
		k->wrong += id <= c->expected;
		c->expected = id;
	}
	bench_times_add(&b->times, b->now_ns - c->started_ns);
	c->started_ns = b->now_ns;
	if (!k->is_stopping)
		call(b, k, c);
}

static int
make_request(struct bench *b, struct calls *k)
{
	struct buf *s = &k->request;

	*s = BUF_INIT((size_t)2 * BENCH_MAX_SIZE);
	if (!k->is_echo) {
		(void)buf_printf(s,
		    "POST /publish/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: text/plain\r\n",
		    b->o.room, b->host);
		if (b->target.token != NULL)
			(void)buf_printf(s, "Authorization: Bearer %s\r\n", b->target.token);
		(void)buf_printf(s, "Content-Length: %llu\r\n\r\n", (unsigned long long)b->o.size);
	}
	for (uint64_t i = 0; i < b->o.size; i++)
		(void)buf_add_char(s, (char)('a' + i % 23));
	return s->failed ? ctl_no_memory() : 0;
}

static void
turns_until(struct bench *b, uint64_t until)
{
	while (!b->failed && bench_now_ns() < until)
		bench_turn(b, until);
}

static int
report(struct bench *b, const struct calls *k, double calls, double seconds, double cpu_ns)
{
	struct bench_report *r = &b->report;

	bench_report_add(r, "connections", "connections", "", (double)b->n_conns, 0);
	bench_report_add(r, "calls", k->is_echo ? "frames" : "requests", "", calls, 0);
	bench_report_add(r, "calls_per_s", "… a second", "", calls / seconds, 0);
	bench_report_times(r, &b->times);
	if (cpu_ns > 0)
		bench_report_add(
		    r, "cpu_ns_per_call", "CPU of the daemon, each", "ns", cpu_ns / calls, 0);
	bench_report_add(r, "lost", "without an answer", "", (double)k->under_way, 0);
	bench_report_add(r, "wrong", "wrong answers", "", (double)k->wrong, 0);
	return k->under_way + k->wrong > 0 ? EX_SOFTWARE : 0;
}

static int
calls_run(struct bench *b, bool is_echo)
{
	struct calls k = {.is_echo = is_echo};
	uint64_t done;
	uint64_t start;
	uint64_t cpu;
	double seconds;
	int code = bench_init(b, b->o.connections);

	if (code == 0)
		code = make_request(b, &k);
	if (code == 0) {
		b->on_message = on_message;
		b->on_open = on_open;
		b->mode = &k;
		for (size_t i = 0; i < b->n_conns; i++)
			b->conns[i].kind = is_echo ? BENCH_ECHO : BENCH_POST;
		bench_open_all(b, 0, b->n_conns);
		turns_until(b, bench_now_ns() + b->o.warmup_ms * 1000000u);
		memset(&b->times, 0, sizeof(b->times));
		done = k.done;
		cpu = bench_cpu_ns(b->o.pid);
		start = bench_now_ns();
		turns_until(b, start + b->o.seconds_ms * 1000000u);
		seconds = (double)(bench_now_ns() - start) / 1e9;
		cpu = bench_cpu_ns(b->o.pid) - cpu;
		done = k.done - done;
		k.is_stopping = true;
		start = bench_now_ns();
		while (!b->failed && k.under_way > 0 && bench_now_ns() < start + 5000000000u)
			bench_turn(b, start + 5000000000u);
		if (!b->failed)
			code = report(b, &k, (double)done, seconds, (double)cpu);
	}
	buf_done(&k.request);
	b->mode = NULL;
	return code;
}

int
bench_echo(struct bench *b)
{
	return calls_run(b, true);
}

int
bench_publish(struct bench *b)
{
	return calls_run(b, false);
}
