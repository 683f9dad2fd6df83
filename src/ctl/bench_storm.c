#include "ctl/bench.h"

#include "base/mem.h"

#define ROOM_RATE 2                     /* messages a second in each of the storm's rooms */
#define LEVEL_NS  (60ull * 1000000000u) /* after which nobody waits any longer */
#define DRAIN_NS  (5ull * 1000000000u)  /* for what is under way at the end */

/*
 * A storm. Room 0 is live: a sender, `live` members, `rate` messages a second. The clients are
 * spread over the rooms 1 to `rooms`, each with a sender that goes on talking all the time. The
 * live room's times are taken while all is quiet; then all clients are cut off, and after a moment
 * (`pause`) come back, evenly spread over `within`, each with the last id that it had. It is level
 * when it has everything that was sent to its room before it was let in. In the end everybody must
 * have everything once and in order, as the numbers tell.
 *
 * Connections: the live room's sender, its members, the rooms' senders, the clients.
 */
struct storm {
	size_t first_sender;
	size_t first_client;
	struct bench_numbered message;
	size_t hint;
	uint64_t *sent;     /* messages, of each room */
	uint64_t *acked;    /* … */
	uint64_t *target;   /* of each client: level when it has so many; 0: not let in */
	uint64_t *back_ns;  /* of each client: when it was to come back */
	uint64_t *sent_ns;  /* of the live room's messages, a ring */
	uint64_t live_due;  /* when the live room's next message is to go */
	uint64_t rooms_due; /* … the next one of the other rooms */
	uint64_t next_room;
	size_t begun; /* clients on their way back */
	size_t level;
	uint64_t level_ns;              /* when the last one was */
	uint64_t storm_ns;              /* when they began to come back; 0: not yet */
	struct bench_times *live_times; /* the quiet ones or those of the storm */
	struct bench_times quiet;
	struct bench_times stormy;
	struct bench_times back; /* how long each took to be level */
	uint64_t deliveries;
};

static struct bench_conn *
client(const struct bench *b, const struct storm *s, size_t i)
{
	return &b->conns[s->first_client + i];
}

/* --- receiving --- */

static void
check_level(struct bench *b, struct storm *s, const struct bench_conn *c)
{
	size_t i = c->number - s->first_client;

	if (s->storm_ns == 0 || c->number < s->first_client || s->target[i] == 0 ||
	    c->expected + 1 < s->target[i])
		return;
	s->target[i] = 0;
	s->level++;
	s->level_ns = b->now_ns;
	bench_times_add(&s->back, b->now_ns - s->back_ns[i]);
}

static void
on_number(struct bench *b, struct storm *s, struct bench_conn *c, uint64_t number)
{
	if (number >= s->sent[c->room]) {
		bench_fail(b, "connection %u got a message that nobody sent", c->number);
		return;
	}
	bench_count(c, number, 1);
	s->deliveries++;
	if (c->room == 0) {
		bench_times_add(s->live_times, b->now_ns - s->sent_ns[number % BENCH_IN_FLIGHT]);
	} else if (c->number >= s->first_client) {
		check_level(b, s, c);
	}
}

static void
on_message(struct bench *b, struct bench_conn *c, struct slice m)
{
	struct storm *s = b->mode;
	uint64_t number;

	if (slice_has_prefix(m, SLICE("{\"type\":\"ack\""))) {
		s->acked[c->room]++;
	} else if (bench_number_of(&s->hint, m, &number)) {
		c->after = bench_member(m, "\"id\":");
		on_number(b, s, c, number);
	} else if (slice_has_prefix(m, SLICE("{\"type\":\"error\"")) ||
		   slice_has_prefix(m, SLICE("{\"type\":\"closing\""))) {
		bench_fail(b, "connection %u: %.*s", c->number, SLICE_ARG(m));
	} else if (slice_has_prefix(m, SLICE("{\"type\":\"gap\""))) {
		c->gaps++;
	}
}

/* Let in: what was sent until now is what it has to have. */
static void
on_open(struct bench *b, struct bench_conn *c)
{
	struct storm *s = b->mode;

	if (s->storm_ns == 0 || c->number < s->first_client)
		return;
	s->target[c->number - s->first_client] = s->sent[c->room] + 1;
	check_level(b, s, c);
}

/* --- sending --- */

static void
talk(struct bench *b, struct storm *s, uint32_t room)
{
	struct bench_conn *sender = &b->conns[room == 0 ? 0 : s->first_sender + room - 1];

	bench_send(b, sender, false, bench_numbered(&s->message, s->sent[room]++));
}

/* Sends what is due; returns when to come again. */
static uint64_t
talk_on(struct bench *b, struct storm *s)
{
	uint64_t now = bench_now_ns();
	uint64_t rooms = b->o.rooms;

	while (s->live_due <= now) {
		s->sent_ns[s->sent[0] % BENCH_IN_FLIGHT] =
		    s->live_due; /* its time runs from here */
		talk(b, s, 0);
		s->live_due += 1000000000u / b->o.rate;
	}
	while (s->rooms_due <= now) {
		talk(b, s, (uint32_t)(1 + s->next_room++ % rooms));
		s->rooms_due += 1000000000u / (ROOM_RATE * rooms);
	}
	return min_u64(s->live_due, s->rooms_due);
}

static void
talk_until(struct bench *b, struct storm *s, uint64_t until)
{
	while (!b->failed && bench_now_ns() < until)
		bench_turn(b, min_u64(until, talk_on(b, s)));
}

/* --- the run --- */

static void
cut_off(struct bench *b, struct storm *s)
{
	for (size_t i = 0; i < b->o.connections; i++)
		bench_close(b, client(b, s, i));
}

static void
come_back(struct bench *b, struct storm *s)
{
	uint64_t n = b->o.connections;
	uint64_t apart_ns = b->o.within_ms * 1000000u / max_u64(1, n);
	uint64_t limit;

	s->live_times = &s->stormy;
	s->storm_ns = bench_now_ns();
	limit = s->storm_ns + LEVEL_NS;
	while (!b->failed && s->level < n) {
		uint64_t now = bench_now_ns();
		uint64_t next = talk_on(b, s);

		for (; s->begun < n && !b->failed; s->begun++) {
			uint64_t due = s->storm_ns + s->begun * apart_ns;

			next = min_u64(next, due);
			if (due > now)
				break;
			s->back_ns[s->begun] = due;
			bench_open(b, client(b, s, s->begun));
		}
		if (now > limit)
			break;
		bench_turn(b, next);
	}
}

static bool
is_over(const struct bench *b, const struct storm *s)
{
	for (size_t room = 0; room <= b->o.rooms; room++) {
		if (s->acked[room] < s->sent[room])
			return false;
	}
	for (size_t i = 1; i < b->n_conns; i++) {
		const struct bench_conn *c = &b->conns[i];
		bool is_sender = i >= s->first_sender && i < s->first_client;

		if (!is_sender && c->expected < s->sent[c->room])
			return false;
	}
	return true;
}

static void
run(struct bench *b, struct storm *s)
{
	uint64_t begin = bench_now_ns();
	uint64_t end;

	s->live_times = &b->times; /* not counted */
	s->live_due = s->rooms_due = begin;
	/* until each client has a place to come back to */
	talk_until(b, s, begin + max_u64(b->o.warmup_ms, 2000 / ROOM_RATE) * 1000000u);
	s->live_times = &s->quiet;
	talk_until(b, s, bench_now_ns() + b->o.seconds_ms * 1000000u);
	s->live_times = &b->times;
	cut_off(b, s);
	talk_until(b, s, bench_now_ns() + b->o.pause_ms * 1000000u);
	come_back(b, s);
	s->live_times = &b->times;
	talk_until(b, s, bench_now_ns() + 500u * 1000000u);
	end = bench_now_ns() + DRAIN_NS;
	while (!b->failed && !is_over(b, s) && bench_now_ns() < end)
		bench_turn(b, min_u64(end, bench_now_ns() + 10000000u));
}

/* --- what came out --- */

static int
report_faults(struct bench *b, const struct storm *s)
{
	struct bench_faults f = {.lost = 0};

	for (size_t i = 1; i < b->n_conns; i++) {
		const struct bench_conn *c = &b->conns[i];

		if (i < s->first_sender || i >= s->first_client)
			bench_faults_add(&f, c, s->sent[c->room]);
	}
	for (size_t room = 0; room <= b->o.rooms; room++)
		f.unacknowledged += s->sent[room] - s->acked[room];
	return bench_report_faults(&b->report, &f);
}

static int
report(struct bench *b, const struct storm *s)
{
	struct bench_report *r = &b->report;
	uint64_t n = b->o.connections;
	double quiet = (double)bench_times_at(&s->quiet, 0.99) / 1000;
	double stormy = (double)bench_times_at(&s->stormy, 0.99) / 1000;

	bench_report_add(r, "connections", "clients", "", (double)n, 0);
	bench_report_add(r, "deliveries", "deliveries in all", "", (double)s->deliveries, 0);
	bench_report_add(r, "level", "level again", "clients", (double)s->level, 0);
	bench_report_add(r, "level_s", "… the last one after", "s",
	    s->level < n ? 0 : (double)(s->level_ns - s->storm_ns) / 1e9, 3);
	bench_report_add(r, "back_p50_us", "… half of them within", "us",
	    (double)bench_times_at(&s->back, 0.5) / 1000, 0);
	bench_report_add(r, "back_p99_us", "… 99 % within", "us",
	    (double)bench_times_at(&s->back, 0.99) / 1000, 0);
	bench_report_add(r, "quiet_p50_us", "quiet: half within", "us",
	    (double)bench_times_at(&s->quiet, 0.5) / 1000, 0);
	bench_report_add(r, "quiet_p99_us", "quiet: 99 % within", "us", quiet, 0);
	bench_report_add(r, "storm_p50_us", "in the storm: half within", "us",
	    (double)bench_times_at(&s->stormy, 0.5) / 1000, 0);
	bench_report_add(r, "storm_p99_us", "in the storm: 99 % within", "us", stormy, 0);
	bench_report_add(
	    r, "storm_max_us", "in the storm: the slowest", "us", (double)s->stormy.max / 1000, 0);
	if (quiet > 0)
		bench_report_add(r, "p99_ratio", "… 99 % to quiet", "times", stormy / quiet, 2);
	return report_faults(b, s) != 0 || s->level < n ? EX_SOFTWARE : 0;
}

/* --- the mode --- */

static int
begin_storm(struct bench *b, struct storm *s)
{
	uint64_t rooms = b->o.rooms;
	uint64_t n = b->o.connections;

	s->first_sender = b->o.live + 1;
	s->first_client = s->first_sender + rooms;
	s->sent = mem_calloc(rooms + 1, sizeof(uint64_t));
	s->acked = mem_calloc(rooms + 1, sizeof(uint64_t));
	s->target = mem_calloc(n, sizeof(uint64_t));
	s->back_ns = mem_calloc(n, sizeof(uint64_t));
	s->sent_ns = mem_calloc(BENCH_IN_FLIGHT, sizeof(uint64_t));
	if (s->sent == NULL || s->acked == NULL || s->target == NULL || s->back_ns == NULL ||
	    s->sent_ns == NULL)
		return ctl_no_memory();
	for (size_t i = 0; i < b->n_conns; i++) {
		struct bench_conn *c = &b->conns[i];

		c->kind = BENCH_CHAT;
		if (i >= s->first_client)
			c->room = (uint32_t)(1 + (i - s->first_client) % rooms);
		else if (i >= s->first_sender)
			c->room = (uint32_t)(1 + i - s->first_sender);
	}
	return bench_numbered_init(&s->message, "", b->o.size);
}

int
bench_storm(struct bench *b)
{
	struct storm *s = mem_calloc(1, sizeof(*s));
	int code;

	if (s == NULL)
		return ctl_no_memory();
	b->mode = s;
	b->on_message = on_message;
	b->on_open = on_open;
	code = bench_init(b, b->o.live + 1 + b->o.rooms + b->o.connections);
	if (code == 0)
		code = begin_storm(b, s);
	if (code == 0) {
		bench_open_all(b, 0, b->n_conns);
		run(b, s);
	}
	if (code == 0 && !b->failed)
		code = report(b, s);
	buf_done(&s->message.json);
	mem_free(s->sent);
	mem_free(s->acked);
	mem_free(s->target);
	mem_free(s->back_ns);
	mem_free(s->sent_ns);
	mem_free(s);
	b->mode = NULL;
	return code;
}
