#include "ctl/bench_churn.h"

#include "base/mem.h"

#define LEAVE_MS     20000 /* a client stays in a room for so long on average, … */
#define STAY_OUT_MS  4000  /* … and comes back after at most so long */
#define CUT_MS       25000 /* a connection lives so long on average, … */
#define STAY_AWAY_MS 2000  /* … and the next one comes after at most so long */
#define LOOK_NS      (20ull * 1000000u)
#define GIVE_UP_NS   (3ull * 1000000000u)  /* at the end, when nothing but pings comes */
#define RESTART_NS   (30ull * 1000000000u) /* … and the daemon may be on its way back */

/* --- clients and their rooms --- */

static struct churn_place *
place_at(struct churn *k, const struct bench_conn *c, size_t i)
{
	return &k->places[(size_t)c->number * CHURN_PLACES + i];
}

/* The client's place of that room; NULL: it has none. */
static struct churn_place *
place_of(struct churn *k, const struct bench_conn *c, uint64_t room)
{
	for (size_t i = 0; i < CHURN_PLACES; i++) {
		if (place_at(k, c, i)->room == room)
			return place_at(k, c, i);
	}
	return NULL;
}

static uint64_t
some_time_ns(struct churn *k, uint64_t max_ms)
{
	return bench_random(&k->dice) % (max_ms * 1000000u);
}

static void
send_text(struct bench *b, struct bench_conn *c)
{
	if (b->scratch.failed)
		bench_fail(b, "no memory");
	else
		bench_send(b, c, false, buf_slice(&b->scratch));
}

static void
join(struct bench *b, struct bench_conn *c, struct churn_place *p)
{
	buf_reset(&b->scratch);
	(void)buf_printf(&b->scratch, "{\"type\":\"join\",\"room\":\"%s-%u\",\"%s\":%llu}",
	    b->o.room, p->room, p->start == 0 ? "last" : "after",
	    p->start == 0 ? 0 : (unsigned long long)p->cursor);
	p->state = CHURN_JOINING;
	p->is_level = false;
	p->order = 0;
	send_text(b, c);
}

static void
leave(struct bench *b, struct churn *k, struct bench_conn *c, struct churn_place *p)
{
	buf_reset(&b->scratch);
	(void)buf_printf(
	    &b->scratch, "{\"type\":\"leave\",\"room\":\"%s-%u\"}", b->o.room, p->room);
	p->state = CHURN_LEAVING;
	k->leaves++;
	send_text(b, c);
}

static void
say(struct bench *b, struct churn *k, struct bench_conn *c, uint64_t number)
{
	const struct churn_place *p = &k->places[k->sent[number].place];
	char digits[BENCH_DIGITS];

	bench_put_digits(digits, number);
	buf_reset(&b->scratch);
	(void)buf_printf(&b->scratch,
	    "{\"type\":\"chat\",\"room\":\"%s-%u\",\"key\":\"%llx-%llu\",\"ref\":%llu,\"content\":\"#%.*s",
	    b->o.room, p->room, (unsigned long long)k->run, (unsigned long long)number,
	    (unsigned long long)number, BENCH_DIGITS, digits);
	for (uint64_t i = BENCH_DIGITS + 1; i < b->o.size; i++)
		(void)buf_add_char(&b->scratch, '.');
	(void)buf_add_str(&b->scratch, "\"}");
	send_text(b, c);
}

/* A new message: numbered, and waiting for its ack. */
static void
talk(struct bench *b, struct churn *k, struct bench_conn *c, struct churn_place *p, uint64_t at_ns)
{
	struct churn_client *client = &k->clients[c->number];
	uint64_t number = k->n_sent;

	if (number == k->max_sent) {
		bench_fail(b, "more messages than were planned");
		return;
	}
	k->sent[number] = (struct churn_sent){
	    .sent_ns = at_ns, .place = (uint32_t)(p - k->places), .next = client->pending};
	client->pending = number + 1;
	client->n_pending++;
	k->n_sent++;
	say(b, k, c, number);
}

/* It has no connection, and comes back after a while. */
static void
stay_away(struct churn *k, const struct bench_conn *c)
{
	k->clients[c->number].due_ns = bench_now_ns() + some_time_ns(k, STAY_AWAY_MS);
	for (size_t i = 0; i < CHURN_PLACES; i++) {
		if (place_at(k, c, i)->state != CHURN_OUT)
			place_at(k, c, i)->due_ns = 0;
		place_at(k, c, i)->state = CHURN_OUT;
	}
}

/* The daemon has gone, or is not there yet. */
static void
on_lost(struct bench *b, struct bench_conn *c)
{
	struct churn *k = b->mode;

	k->losses++;
	stay_away(k, c);
}

/* --- receiving --- */

/* While level, messages and acks of a connection come in one order. */
static void
check_order(struct churn *k, struct churn_place *p, uint64_t id)
{
	if (p->state != CHURN_IN || !p->is_level)
		return;
	k->faults.disordered += id <= p->order;
	p->order = max_u64(p->order, id);
}

/* A message has one id, for everybody. */
static void
check_id(struct churn *k, uint64_t number, uint64_t id)
{
	if (k->sent[number].id == 0)
		k->sent[number].id = id;
	k->wrong += k->sent[number].id != id;
}

static void
on_chat(struct bench *b, struct churn *k, struct bench_conn *c, struct slice m, uint64_t number)
{
	struct churn_place *p = place_of(k, c, bench_member(m, k->room_marker));
	uint64_t id = bench_member(m, "\"id\":");

	if (p == NULL || number >= k->n_sent || k->places[k->sent[number].place].room != p->room) {
		bench_fail(b, "connection %u got a message that nobody sent", c->number);
		return;
	}
	k->deliveries++;
	check_id(k, number, id);
	check_order(k, p, id);
	k->faults.repeated += id == p->cursor;
	k->faults.disordered += id < p->cursor;
	if (id <= p->cursor)
		return;
	p->cursor = id;
	if (k->sent[number].place / CHURN_PLACES != c->number)
		p->received++;
	if (p->is_level && p->state == CHURN_IN)
		bench_times_add(&b->times, b->now_ns - k->sent[number].sent_ns);
	else
		k->replayed++;
	p->is_level = p->is_level || id >= p->latest;
}

static void
on_ack(struct churn *k, const struct bench_conn *c, struct slice m)
{
	struct churn_client *client = &k->clients[c->number];
	uint64_t number = bench_member(m, "\"ref\":");
	uint64_t id = bench_member(m, "\"id\":");
	bool is_duplicate = memmem(m.p, m.n, "\"duplicate\":true", 16) != NULL;
	uint64_t *at = &client->pending;

	while (*at != 0 && *at != number + 1)
		at = &k->sent[*at - 1].next;
	if (*at == 0) {
		k->wrong++; /* nobody waits for it */
		return;
	}
	*at = k->sent[number].next;
	client->n_pending--;
	k->acks++;
	k->duplicates += is_duplicate;
	check_id(k, number, id);
	if (!is_duplicate)
		check_order(k, &k->places[k->sent[number].place], id);
}

static void
on_joined(struct churn *k, struct churn_place *p, struct slice m)
{
	k->joins++;
	p->latest = bench_member(m, "\"latest\":");
	p->state = CHURN_IN;
	if (p->start == 0)
		p->start = p->cursor = p->latest;
	else
		k->wrong += memmem(m.p, m.n, "\"resumed\":true", 14) == NULL;
	p->is_level = p->cursor >= p->latest;
}

static void
on_message(struct bench *b, struct bench_conn *c, struct slice m)
{
	struct churn *k = b->mode;
	struct churn_place *p;
	uint64_t number;

	k->heard_ns = b->now_ns;
	if (slice_has_prefix(m, SLICE("{\"type\":\"chat\""))) {
		if (bench_number_of(&k->hint, m, &number))
			on_chat(b, k, c, m, number);
	} else if (slice_has_prefix(m, SLICE("{\"type\":\"ack\""))) {
		on_ack(k, c, m);
	} else if (slice_has_prefix(m, SLICE("{\"type\":\"joined\""))) {
		p = place_of(k, c, bench_member(m, k->room_marker));
		if (p != NULL)
			on_joined(k, p, m);
	} else if (slice_has_prefix(m, SLICE("{\"type\":\"left\""))) {
		p = place_of(k, c, bench_member(m, k->room_marker));
		if (p != NULL) {
			p->state = CHURN_OUT;
			p->due_ns = b->now_ns + some_time_ns(k, STAY_OUT_MS);
		}
	} else if (slice_has_prefix(m, SLICE("{\"type\":\"gap\""))) {
		k->faults.told++;
	} else if (slice_has_prefix(m, SLICE("{\"type\":\"error\"")) ||
		   slice_has_prefix(m, SLICE("{\"type\":\"closing\""))) {
		if (b->on_lost != NULL) { /* the next connection says again what was refused */
			bench_close(b, c);
			on_lost(b, c);
			return;
		}
		bench_fail(b, "connection %u: %.*s", c->number, SLICE_ARG(m));
	}
}

/* Into its rooms again, and what was not acknowledged is said again, with the same key. */
static void
on_open(struct bench *b, struct bench_conn *c)
{
	struct churn *k = b->mode;

	for (size_t i = 0; i < CHURN_PLACES; i++) {
		if (place_at(k, c, i)->due_ns <= b->now_ns)
			join(b, c, place_at(k, c, i));
	}
	for (uint64_t at = k->clients[c->number].pending; at != 0; at = k->sent[at - 1].next)
		say(b, k, c, at - 1);
}

/* --- what happens at random --- */

static void
cut(struct bench *b, struct churn *k, struct bench_conn *c)
{
	if (c->state != BENCH_OPEN)
		return;
	bench_close(b, c);
	k->cuts++;
	stay_away(k, c);
}

/* Comes back what is due, or, at the end, all that there is. */
static void
come_back(struct bench *b, struct churn *k, uint64_t now)
{
	for (size_t i = 0; i < b->n_conns && !b->failed; i++) {
		struct bench_conn *c = &b->conns[i];

		if (c->fd < 0 &&
		    (k->clients[i].due_ns <= now || (k->is_ending && b->on_lost == NULL)))
			bench_open(b, c);
		for (size_t n = 0; c->state == BENCH_OPEN && n < CHURN_PLACES; n++) {
			struct churn_place *p = place_at(k, c, n);

			if (p->state == CHURN_OUT && (p->due_ns <= now || k->is_ending))
				join(b, c, p);
		}
	}
	k->looked_ns = now;
}

static void
happen(struct bench *b, struct churn *k, uint64_t at_ns)
{
	struct bench_conn *c = &b->conns[bench_random(&k->dice) % b->n_conns];
	struct churn_place *p = place_at(k, c, bench_random(&k->dice) % CHURN_PLACES);
	uint64_t what = bench_random(&k->dice) % k->all;

	if (what < k->cut_share)
		cut(b, k, c);
	else if (c->state != BENCH_OPEN || p->state != CHURN_IN)
		return;
	else if (what < k->leave_share && k->clients[c->number].n_pending == 0)
		leave(b, k, c, p);
	else if (what >= k->leave_share && k->clients[c->number].n_pending < CHURN_PENDING)
		talk(b, k, c, p, at_ns);
}

static void
run(struct bench *b, struct churn *k)
{
	uint64_t begin = bench_now_ns();
	uint64_t end = begin + b->o.seconds_ms * 1000000u;
	uint64_t due = begin;
	uint64_t patience = b->on_lost == NULL ? GIVE_UP_NS : RESTART_NS;
	uint64_t now;

	while (!b->failed && (now = bench_now_ns()) < end) {
		for (; due <= now && !b->failed; due += k->interval_ns)
			happen(b, k, due);
		if (now > k->looked_ns + LOOK_NS)
			come_back(b, k, now);
		if (b->on_lost == NULL)
			bench_series_take(b, &k->memory, now);
		bench_turn(b, min_u64(due, end));
	}
	k->seconds = (double)(bench_now_ns() - begin) / 1e9;
	k->is_ending = true;
	k->heard_ns = bench_now_ns();
	while (
	    !b->failed && !churn_is_over(b, k) && (now = bench_now_ns()) < k->heard_ns + patience) {
		come_back(b, k, now);
		bench_turn(b, now + LOOK_NS);
	}
}

/* --- the mode --- */

/* How often what happens: a message each time, and now and then something else. */
static void
set_shares(struct bench *b, struct churn *k)
{
	double leaves = (double)b->n_conns * CHURN_PLACES * 1000 / LEAVE_MS;
	double cuts = (double)b->n_conns * 1000 / CUT_MS;
	double all = (double)b->o.rate + leaves + cuts;

	k->all = 1000000;
	k->cut_share = (uint64_t)(cuts / all * 1e6);
	k->leave_share = k->cut_share + (uint64_t)(leaves / all * 1e6);
	k->interval_ns = (uint64_t)(1e9 / all) + 1;
	k->max_sent = b->o.rate * (b->o.seconds_ms + 2000) / 1000 * 2;
}

static int
begin(struct bench *b, struct churn *k)
{
	set_shares(b, k);
	k->dice = b->o.seed;
	k->run = bench_now_ns();
	k->clients = mem_calloc(b->n_conns, sizeof(*k->clients));
	k->places = mem_calloc(b->n_conns * CHURN_PLACES, sizeof(*k->places));
	k->sent = mem_calloc(k->max_sent, sizeof(*k->sent));
	if (k->clients == NULL || k->places == NULL || k->sent == NULL)
		return ctl_no_memory();
	(void)snprintf(k->room_marker, sizeof(k->room_marker), "\"room\":\"%s-", b->o.room);
	for (size_t i = 0; i < b->n_conns; i++) {
		uint64_t first = bench_random(&k->dice) % b->o.rooms;

		b->conns[i].kind = BENCH_LOBBY;
		for (size_t n = 0; n < CHURN_PLACES; n++) /* different ones */
			place_at(k, &b->conns[i], n)->room =
			    (uint32_t)((first + n * (b->o.rooms / CHURN_PLACES)) % b->o.rooms);
	}
	return 0;
}

int
bench_churn(struct bench *b)
{
	struct churn *k = mem_calloc(1, sizeof(*k));
	int code;

	if (k == NULL)
		return ctl_no_memory();
	b->mode = k;
	b->on_message = on_message;
	b->on_open = on_open;
	code = b->o.rooms < CHURN_PLACES
		   ? ctl_fail(EX_USAGE, "churn wants %d rooms or more", CHURN_PLACES)
		   : bench_init(b, b->o.connections);
	if (code == 0)
		code = begin(b, k);
	if (code == 0) {
		bench_open_all(b, 0, b->n_conns);
		if (b->o.has_restarts)
			b->on_lost = on_lost;
		run(b, k);
	}
	if (code == 0 && !b->failed)
		code = churn_report(b, k);
	mem_free(k->clients);
	mem_free(k->places);
	mem_free(k->sent);
	mem_free(k);
	b->mode = NULL;
	b->on_lost = NULL;
	return code;
}
