#include "ctl/bench.h"

#include <stdlib.h>

#include "base/mem.h"

#define FILL_MESSAGES 1000 /* in one request: the daemon takes no more in an array */
#define TOPIC_DIGITS  7
#define ID_DIGITS     16
#define STOP_NS       (5ull * 1000000000u) /* for what is under way at the end */

/*
 * Requests and answers: frames to /echo, POST /publish, GET /history. In the closed loop each
 * connection has `window` (echo) or one under way. In the open loop a call is due at fixed times
 * and goes to a connection that has none under way; when all have, it waits, and its time runs.
 */
enum call_kind {
	CALL_ECHO,
	CALL_PUBLISH,
	CALL_HISTORY
};

struct calls {
	enum call_kind kind;
	bool is_filling;
	bool is_stopping;
	struct buf request; /* the payload, or the whole request */
	size_t number_at;   /* in the request: of the topic or id that is put there, … */
	unsigned digits;    /* … so long; 0: all requests are the same */
	struct buf fill;    /* what fills the log before the time that counts */
	uint64_t fill_left; /* requests */
	uint64_t done;
	uint64_t under_way;
	uint64_t wrong; /* other bytes, ids that do not grow, too few messages */
	uint64_t first_id;
	uint64_t last_id;
	uint64_t dice;
	uint64_t window;
	uint64_t *started_ns; /* of each connection's calls, in a ring of `window` */
	uint64_t due_ns;      /* open loop: when the next one is to go */
	uint64_t interval_ns; /* open loop; 0: closed loop */
	struct bench_conn **idle;
	size_t n_idle;
};

/* --- calling --- */

static void
put_number(struct calls *k, uint64_t number)
{
	for (size_t i = k->digits; i-- > 0; number /= 10)
		k->request.p[k->number_at + i] = (char)('0' + number % 10);
}

/* Which topic, or the id before which is read: any. */
static uint64_t
choose_number(struct bench *b, struct calls *k)
{
	if (k->kind == CALL_HISTORY)
		return k->first_id + 1 +
		       bench_random(&k->dice) % max_u64(1, k->last_id - k->first_id);
	return bench_random(&k->dice) % b->o.rooms;
}

static void
call(struct bench *b, struct calls *k, struct bench_conn *c, uint64_t started_ns)
{
	k->started_ns[c->number * k->window + c->filled++ % k->window] = started_ns;
	k->under_way++;
	if (k->is_filling && k->fill.n > 0) {
		bench_send_raw(b, c, buf_slice(&k->fill));
		return;
	}
	if (k->digits > 0)
		put_number(k, k->is_filling ? k->fill_left : choose_number(b, k));
	if (k->kind == CALL_ECHO)
		bench_send(b, c, true, buf_slice(&k->request));
	else
		bench_send_raw(b, c, buf_slice(&k->request));
}

/* A connection has nothing under way, or room for one more. */
static void
next_call(struct bench *b, struct calls *k, struct bench_conn *c)
{
	uint64_t now = b->now_ns;

	if (k->is_stopping)
		return;
	if (k->is_filling && k->fill_left > 0) {
		k->fill_left--;
		call(b, k, c, now);
	} else if (!k->is_filling && k->interval_ns == 0) {
		call(b, k, c, now);
	} else if (!k->is_filling && k->due_ns <= now) {
		call(b, k, c, k->due_ns); /* its time runs from here, however late it goes */
		k->due_ns += k->interval_ns;
	} else {
		k->idle[k->n_idle++] = c;
	}
}

/* --- answers --- */

/* The id in {"id":1795266321451000,…} or the first one of an array; 0 when there is none. */
static uint64_t
id_of(struct slice answer)
{
	static const char name[] = "{\"id\":";

	if (slice_has_prefix(answer, SLICE("[")))
		answer = slice_skip(answer, 1);
	if (!slice_has_prefix(answer, SLICE(name)))
		return 0;
	return strtoull(answer.p + sizeof(name) - 1, NULL, 10);
}

/* The last id of an array or a page in which all ids grow; 0 when they do not, or there is none. */
static uint64_t
last_id_of(struct slice answer)
{
	static const char name[] = "\"id\":1"; /* no user's: that is a string */
	const char *end = answer.p + answer.n;
	const char *at = answer.p;
	uint64_t last = 0;

	while ((at = memmem(at, (size_t)(end - at), name, sizeof(name) - 1)) != NULL) {
		uint64_t id = strtoull(at + sizeof(name) - 2, NULL, 10);

		if (id <= last)
			return 0;
		last = id;
		at += sizeof(name) - 1;
	}
	return last;
}

static void
check_answer(struct calls *k, struct bench_conn *c, struct slice m)
{
	uint64_t id;

	if (k->kind == CALL_ECHO) {
		k->wrong += !slice_eq(m, buf_slice(&k->request));
	} else if (k->kind == CALL_HISTORY && !k->is_filling) {
		k->wrong += last_id_of(m) == 0;
	} else {
		id = id_of(m);
		k->wrong += id <= c->expected;
		c->expected = id;
		if (k->first_id == 0)
			k->first_id = id;
		if (k->kind == CALL_HISTORY)
			k->last_id = max_u64(k->last_id, last_id_of(m));
	}
}

static void
on_message(struct bench *b, struct bench_conn *c, struct slice m)
{
	struct calls *k = b->mode;

	check_answer(k, c, m);
	bench_times_add(&b->times,
	    b->now_ns - k->started_ns[c->number * k->window + c->received++ % k->window]);
	k->under_way--;
	k->done++;
	next_call(b, k, c);
}

/* --- requests --- */

static void
add_head(struct bench *b, struct buf *s, const char *type, size_t body)
{
	(void)buf_printf(s, " HTTP/1.1\r\nHost: %s\r\n", b->host); /* failures stick */
	if (b->target.token != NULL)
		(void)buf_printf(s, "Authorization: Bearer %s\r\n", b->target.token);
	if (type != NULL)
		(void)buf_printf(s, "Content-Type: %s\r\nContent-Length: %zu\r\n", type, body);
	(void)buf_add_str(s, "\r\n");
}

static void
add_letters(struct bench *b, struct buf *s)
{
	for (uint64_t i = 0; i < b->o.size; i++)
		(void)buf_add_char(s, (char)('a' + i % 23));
}

/* `rooms` topics, chosen at random; all of them are filled once before, so that they are there. */
static void
make_publish(struct bench *b, struct calls *k)
{
	struct buf *s = &k->request;

	(void)buf_printf(s, "POST /publish/%s", b->o.room);
	if (b->o.rooms > 1) {
		k->digits = TOPIC_DIGITS;
		k->number_at = s->n + 1;
		(void)buf_printf(s, "/%0*d", TOPIC_DIGITS, 0);
		k->fill_left = b->o.rooms;
	}
	add_head(b, s, "text/plain", b->o.size);
	add_letters(b, s);
}

/* Pages of one topic with `messages` in it, each before any id. */
static void
make_history(struct bench *b, struct calls *k)
{
	struct buf *s = &k->request;
	struct buf body = BUF_INIT((size_t)16 * BENCH_MAX_SIZE);
	uint64_t n = b->o.messages < FILL_MESSAGES ? max_u64(1, b->o.messages) : FILL_MESSAGES;

	(void)buf_printf(s, "GET /history?topic=%s/history&limit=%llu&before=", b->o.room,
	    (unsigned long long)b->o.page);
	k->digits = ID_DIGITS;
	k->number_at = s->n;
	(void)buf_printf(s, "%0*d", ID_DIGITS, 0);
	add_head(b, s, NULL, 0);
	for (uint64_t i = 0; i < n; i++) {
		(void)buf_printf(&body, "%c{\"topic\":\"%s/history\",\"message\":\"",
		    i == 0 ? '[' : ',', b->o.room);
		add_letters(b, &body);
		(void)buf_add_str(&body, "\"}");
	}
	(void)buf_add_char(&body, ']');
	(void)buf_add_str(&k->fill, "POST /publish");
	add_head(b, &k->fill, "application/json", body.n);
	(void)buf_add_slice(&k->fill, buf_slice(&body));
	k->fill.failed = k->fill.failed || body.failed;
	k->fill_left = (b->o.messages + n - 1) / n;
	buf_done(&body);
}

static int
make_requests(struct bench *b, struct calls *k)
{
	k->request = BUF_INIT((size_t)2 * BENCH_MAX_SIZE);
	k->fill = BUF_INIT((size_t)16 * BENCH_MAX_SIZE);
	switch (k->kind) {
	case CALL_ECHO:
		add_letters(b, &k->request);
		break;
	case CALL_PUBLISH:
		make_publish(b, k);
		break;
	case CALL_HISTORY:
		make_history(b, k);
		break;
	}
	return k->request.failed || k->fill.failed ? ctl_no_memory() : 0;
}

/* --- the run --- */

static void
turns_until(struct bench *b, struct calls *k, uint64_t until)
{
	while (!b->failed && (b->now_ns = bench_now_ns()) < until) {
		while (k->interval_ns > 0 && k->n_idle > 0 && k->due_ns <= b->now_ns)
			next_call(b, k, k->idle[--k->n_idle]);
		bench_turn(
		    b, k->interval_ns > 0 && k->n_idle > 0 ? min_u64(until, k->due_ns) : until);
	}
}

static void
begin(struct bench *b, struct calls *k)
{
	uint64_t each = k->interval_ns > 0 ? 1 : k->window;

	b->now_ns = bench_now_ns();
	k->due_ns = b->now_ns;
	for (size_t i = 0; i < b->n_conns; i++) {
		for (uint64_t n = 0; n < each; n++)
			next_call(b, k, &b->conns[i]);
	}
}

static void
stop(struct bench *b, struct calls *k)
{
	uint64_t until = bench_now_ns() + STOP_NS;

	k->is_stopping = true;
	while (!b->failed && k->under_way > 0 && bench_now_ns() < until)
		bench_turn(b, until);
}

static int
report(struct bench *b, const struct calls *k, double calls, double seconds, double cpu_ns)
{
	struct bench_report *r = &b->report;

	bench_report_add(r, "connections", "connections", "", (double)b->n_conns, 0);
	bench_report_add(r, "calls", k->kind == CALL_ECHO ? "frames" : "requests", "", calls, 0);
	bench_report_add(r, "calls_per_s", "… a second", "", calls / seconds, 0);
	bench_report_times(r, &b->times);
	if (cpu_ns > 0 && calls > 0)
		bench_report_add(
		    r, "cpu_ns_per_call", "CPU of the daemon, each", "ns", cpu_ns / calls, 0);
	bench_report_add(r, "lost", "without an answer", "", (double)k->under_way, 0);
	bench_report_add(r, "wrong", "wrong answers", "", (double)k->wrong, 0);
	return k->under_way + k->wrong > 0 ? EX_SOFTWARE : 0;
}

/* What the messages and topics that were filled in have cost. */
static void
report_fill(struct bench *b, const struct bench_metrics *before, const struct bench_metrics *after)
{
	double heap = (double)after->heap_bytes - (double)before->heap_bytes;

	bench_report_add(&b->report, "topics", "topics", "", (double)after->topics, 0);
	bench_report_add(&b->report, "stored", "messages stored", "", (double)after->messages, 0);
	if (after->topics > before->topics + 1)
		bench_report_add(&b->report, "heap_bytes_per_topic", "heap of the daemon, a topic",
		    "bytes", heap / (double)(after->topics - before->topics), 1);
	else if (after->messages > before->messages)
		bench_report_add(&b->report, "heap_bytes_per_message",
		    "heap of the daemon, a message", "bytes",
		    heap / (double)(after->messages - before->messages), 1);
}

static void
fill_turns(struct bench *b, struct calls *k)
{
	k->is_filling = true;
	b->now_ns = bench_now_ns();
	for (size_t i = 0; i < b->n_conns; i++)
		next_call(b, k, &b->conns[i]);
	while (!b->failed && k->under_way > 0)
		bench_turn(b, bench_now_ns() + STOP_NS);
	k->is_filling = false;
	k->n_idle = 0;
}

/* Topics and messages that have to be there before: 0, or the exit code. */
static int
fill(struct bench *b, struct calls *k)
{
	struct bench_metrics before;
	struct bench_metrics after;
	int code;

	if (k->fill_left == 0)
		return 0;
	code = bench_ask(b, &before);
	if (code != 0)
		return code;
	fill_turns(b, k);
	code = bench_ask(b, &after);
	if (code != 0)
		return code;
	report_fill(b, &before, &after);
	if (k->kind == CALL_HISTORY && after.messages < b->o.messages)
		return ctl_fail(EX_CONFIG,
		    "the daemon keeps %llu messages: a rule { match = \"%s/history\"; history = %llu; } "
		    "is needed",
		    (unsigned long long)after.messages, b->o.room,
		    (unsigned long long)b->o.messages);
	return 0;
}

static int
measure(struct bench *b, struct calls *k)
{
	uint64_t start;
	uint64_t done;
	uint64_t cpu;
	double seconds;
	int code = fill(b, k);

	if (code != 0)
		return code;
	begin(b, k);
	turns_until(b, k, bench_now_ns() + b->o.warmup_ms * 1000000u);
	memset(&b->times, 0, sizeof(b->times));
	done = k->done;
	cpu = bench_cpu_ns(b->o.pid);
	start = bench_now_ns();
	turns_until(b, k, start + b->o.seconds_ms * 1000000u);
	seconds = (double)(bench_now_ns() - start) / 1e9;
	cpu = bench_cpu_ns(b->o.pid) - cpu;
	done = k->done - done;
	stop(b, k);
	return b->failed ? EX_UNAVAILABLE : report(b, k, (double)done, seconds, (double)cpu);
}

static int
calls_run(struct bench *b, enum call_kind kind)
{
	struct calls k = {.kind = kind, .dice = 1, .window = kind == CALL_ECHO ? b->o.window : 1};
	int code = bench_init(b, b->o.connections);

	if (code == 0)
		code = make_requests(b, &k);
	if (code == 0) {
		k.interval_ns = b->o.rate == 0 ? 0 : 1000000000u / b->o.rate;
		k.started_ns = mem_calloc(b->n_conns * k.window, sizeof(*k.started_ns));
		k.idle = mem_calloc(b->n_conns, sizeof(struct bench_conn *));
		if (k.started_ns == NULL || k.idle == NULL)
			code = ctl_no_memory();
	}
	if (code == 0) {
		b->on_message = on_message;
		b->mode = &k; /* cppcheck-suppress autoVariables; until the end of this call */
		for (size_t i = 0; i < b->n_conns; i++)
			b->conns[i].kind = kind == CALL_ECHO ? BENCH_ECHO : BENCH_CALLS;
		bench_open_all(b, 0, b->n_conns);
		code = measure(b, &k);
	}
	buf_done(&k.request);
	buf_done(&k.fill);
	mem_free(k.started_ns);
	mem_free((void *)k.idle);
	b->mode = NULL;
	return code;
}

int
bench_echo(struct bench *b)
{
	return calls_run(b, CALL_ECHO);
}

int
bench_publish(struct bench *b)
{
	return calls_run(b, CALL_PUBLISH);
}

int
bench_history(struct bench *b)
{
	return calls_run(b, CALL_HISTORY);
}
