#include "store/shelf.h"

#include <errno.h>

#include "core/moderation.h"
#include "core/search.h"
#include "core/topic.h"

#define SCAN_MAX       4096         /* messages looked at under the lock in one read */
#define SEARCH_MAX     (128 * 1024) /* … and bytes of text in which words are looked for */
#define HOLES_ALLOWED  1024
#define HOLES_IN_SHELF 16

void
shelves_done(struct shelves *s)
{
	for (size_t i = 0; i < s->all.n; i++) {
		struct message *m = ring_at(&s->all, i)->message;

		if (m == NULL)
			continue;
		/* a connection that still holds it must not find an account that is gone */
		message_unaccount(m);
		message_unref(m);
	}
	ring_done(&s->all);
}

static void
count_in(struct shelves *s, struct shelf *shelf, struct message *m)
{
	if (m->expires_ms != 0 && (shelf->next_end_ms == 0 || m->expires_ms < shelf->next_end_ms))
		shelf->next_end_ms = m->expires_ms;
	s->bytes += message_memory(m);
	message_account(m, &s->forms_bytes);
	s->n_messages++;
}

void
shelves_push(struct shelves *s, struct shelf *shelf, struct message *m)
{
	ring_push(&shelf->ring, m->id, message_ref(m));
	ring_push(&s->all, m->id, m); /* one reference serves all: the last shelf takes it along */
	count_in(s, shelf, m);
}

void
shelf_push_also(struct shelf *shelf, struct message *m)
{
	ring_push(&shelf->ring, m->id, m);
}

int
shelves_push_below(struct shelves *s, struct shelf *shelf, struct message *m)
{
	if (ring_reserve(&shelf->ring, 1) < 0 || ring_reserve(&s->all, 1) < 0)
		return -ENOMEM;
	ring_push_front(&shelf->ring, m->id, message_ref(m));
	ring_push_front(&s->all, m->id, m);
	count_in(s, shelf, m);
	return 0;
}

int
shelf_push_also_below(struct shelf *shelf, struct message *m)
{
	if (ring_reserve(&shelf->ring, 1) < 0)
		return -ENOMEM;
	ring_push_front(&shelf->ring, m->id, m);
	return 0;
}

/* Its place in `all` becomes a hole. */
static void
leave_hole(struct shelves *s, struct message *m)
{
	struct ring_entry *hole = ring_find(&s->all, m->id);

	s->bytes -= message_memory(m);
	message_unaccount(m);
	s->n_messages--;
	if (hole != NULL) {
		hole->message = NULL;
		s->n_holes++;
	}
	while (s->all.n > 0 && ring_at(&s->all, 0)->message == NULL) {
		(void)ring_pop(&s->all);
		s->n_holes--;
	}
	if (s->n_holes > HOLES_ALLOWED && s->n_holes > s->all.n / 2) {
		ring_pack(&s->all);
		s->n_holes = 0;
	}
}

/* The front of a shelf is a message; holes elsewhere are few. */
static void
tidy(struct shelf *shelf)
{
	while (shelf->ring.n > 0 && ring_at(&shelf->ring, 0)->message == NULL) {
		(void)ring_pop(&shelf->ring);
		shelf->n_holes--;
	}
	if (shelf->n_holes > HOLES_IN_SHELF && shelf->n_holes > shelf->ring.n / 2) {
		ring_pack(&shelf->ring);
		shelf->n_holes = 0;
	}
}

bool
shelf_has(const struct shelf *shelf, uint64_t id)
{
	const struct ring_entry *e = shelf == NULL ? NULL : ring_find(&shelf->ring, id);

	return e != NULL && e->message != NULL;
}

bool
shelves_stands(struct log *l, const struct message *m)
{
	struct log_topic *topics[2];
	unsigned n = log_topics_of(l, m, topics);

	for (unsigned i = 0; i < n; i++) {
		if (shelf_has(topics[i]->stored, m->id))
			return true;
	}
	return false;
}

struct log_topic *
shelves_oldest(const struct shelves *s, struct log *l)
{
	const struct message *m = ring_at(&s->all, 0)->message;
	struct log_topic *t = log_topic_find(l, m->topic);

	return m->also_n == 0 || (t != NULL && shelf_has(t->stored, m->id))
		   ? t
		   : log_topic_find(l, message_also(m));
}

struct message *
shelves_pop(struct shelves *s, struct log *l, struct shelf *shelf)
{
	struct message *m = ring_pop(&shelf->ring);

	tidy(shelf);
	if (m->also_n > 0 && shelves_stands(l, m))
		return message_ref(m);
	leave_hole(s, m);
	return m;
}

bool
shelves_take_ended(struct shelves *s, struct shelf *shelf, int64_t now_ms,
    void (*gone)(struct message *m, void *ctx), void *ctx)
{
	if (shelf->next_end_ms == 0 || shelf->next_end_ms > now_ms)
		return false;
	shelf->next_end_ms = 0;
	for (size_t i = 0; i < shelf->ring.n; i++) {
		struct ring_entry *e = ring_at(&shelf->ring, i);
		int64_t end = e->message == NULL ? 0 : e->message->expires_ms;

		if (e->message != NULL && message_has_ended(e->message, now_ms)) {
			if (gone != NULL)
				gone(e->message, ctx);
			leave_hole(s, e->message);
			message_unref(e->message);
			e->message = NULL;
		} else if (end != 0 && (shelf->next_end_ms == 0 || end < shelf->next_end_ms)) {
			shelf->next_end_ms = end;
		}
	}
	ring_pack(&shelf->ring);
	shelf->n_holes = 0;
	return true;
}

/* --- what changes --- */

struct message *
shelves_find(const struct shelves *s, uint64_t id)
{
	const struct ring_entry *e = ring_find(&s->all, id);

	return e == NULL ? NULL : e->message;
}

static void
put(struct ring *ring, struct message *m)
{
	struct ring_entry *e = ring_find(ring, m->id);

	if (e != NULL)
		e->message = m;
}

void
shelves_replace(struct shelves *s, struct log *l, struct message *m)
{
	struct message *old = shelves_find(s, m->id);
	struct log_topic *topics[2];
	unsigned n;

	if (old == NULL)
		return;
	n = log_topics_of(l, old, topics);
	s->bytes -= message_memory(old);
	message_unaccount(old);
	put(&s->all, message_ref(m));
	for (unsigned i = 0; i < n; i++) {
		if (topics[i]->stored != NULL)
			put(&shelf_of(topics[i])->ring, m);
	}
	s->bytes += message_memory(m);
	message_account(m, &s->forms_bytes);
	message_unref(old);
}

void
shelves_drop(struct shelves *s, struct log *l, uint64_t id)
{
	struct message *m = shelves_find(s, id);
	struct log_topic *topics[2];
	unsigned n = m == NULL ? 0 : log_topics_of(l, m, topics);

	for (unsigned i = 0; i < n; i++) {
		struct shelf *shelf = shelf_of(topics[i]);

		if (!shelf_has(topics[i]->stored, id))
			continue;
		ring_find(&shelf->ring, id)->message = NULL;
		shelf->n_holes++;
		tidy(shelf);
	}
	if (m == NULL)
		return;
	leave_hole(s, m);
	message_unref(m);
}

/* --- reading --- */

int
shelf_unread(const struct shelves *s, const struct shelf *shelf, struct log_unread *u)
{
	unsigned n = 0;

	for (size_t i = ring_above(&shelf->ring, u->after);
	     i < shelf->ring.n && n < u->max && u->looks > 0; i++, u->looks--) {
		const struct message *m = ring_at(&shelf->ring, i)->message;

		if (m != NULL && message_is_counted(m) && !message_has_ended(m, u->now_ms) &&
		    !slice_eq(m->user_id, u->user_id))
			n++;
	}
	/* all that is newer than the newest cold one of all topics is here */
	if (min_u64(shelf->cold_id, s->cold_id) > u->after && n < u->max)
		return -1;
	return (int)n;
}

bool
read_wants(const struct log_read *r, struct slice topic, int64_t expires_ms)
{
	if (expires_ms != 0 && expires_ms <= r->now_ms)
		return false;
	if (r->bound.p != NULL && moderation_bars(r->log, topic, r->bound, r->now_ms))
		return false;
	for (size_t i = 0; i < r->n_filters; i++) {
		const struct log_filter *f = &r->filters[i];

		if (f->is_topic ? slice_eq(f->pattern, topic) : pattern_matches(f->pattern, topic))
			return true;
	}
	return false;
}

static bool
is_wanted(const struct log_read *r, const struct message *m)
{
	return read_wants(r, m->topic, m->expires_ms) ||
	       (m->also_n > 0 && read_wants(r, message_also(m), m->expires_ms));
}

bool
read_take(struct log_read *r, struct message *m, size_t *bytes)
{
	if (r->n == min_size(r->count, LOG_READ_MAX) ||
	    (r->n > 0 && *bytes + m->json.n > r->max_bytes))
		return false;
	*bytes += m->json.n;
	r->messages[r->n++] = message_ref(m);
	return true;
}

/* Where a read looks, and what lies below it. */
struct place {
	const struct ring *ring;
	uint64_t cold_id;
	enum search_kind search;
	size_t searched; /* bytes, so far */
};

/* A single topic's own ring, else the one of everything. */
static struct place
place_of(const struct shelves *s, struct log *l, const struct log_read *r)
{
	static const struct ring empty = {0};
	struct place p = {.ring = &s->all};
	bool are_topics = true;

	p.search = r->search.p == NULL ? SEARCH_ALL : search_kind(r->search);
	for (size_t i = 0; i < r->n_filters; i++) {
		const struct shelf *shelf = NULL;

		are_topics = are_topics && r->filters[i].is_topic;
		if (!are_topics)
			break;
		shelf = shelf_of(log_topic_find(l, r->filters[i].pattern));
		/* all that is newer than the newest cold one of all topics is here */
		p.cold_id =
		    max_u64(p.cold_id, shelf == NULL ? 0 : min_u64(shelf->cold_id, s->cold_id));
		if (r->n_filters == 1)
			p.ring = shelf == NULL ? &empty : &shelf->ring;
	}
	if (!are_topics)
		p.cold_id = s->cold_id;
	return p;
}

uint64_t
shelves_reach(const struct shelves *s, struct log *l, const struct log_read *r)
{
	return place_of(s, l, r).cold_id;
}

static bool
is_found(struct place *p, const struct log_read *r, const struct message *m)
{
	if (p->search != SEARCH_WORDS || !message_is_content(m))
		return p->search == SEARCH_ALL;
	p->searched += message_words(m).n;
	return search_matches(r->search, message_words(m));
}

static bool
read_forward(struct log_read *r, struct place *p)
{
	size_t at = ring_above(p->ring, r->after);
	size_t end = at + SCAN_MAX;
	size_t bytes = 0;

	if (r->after < p->cold_id)
		return false;
	r->reached = r->upto;
	for (; at < p->ring->n; at++) {
		const struct ring_entry *e = ring_at(p->ring, at);

		if (e->id > r->upto)
			break;
		if (at == end || p->searched > SEARCH_MAX ||
		    (e->message != NULL && is_wanted(r, e->message) && is_found(p, r, e->message) &&
			!read_take(r, e->message, &bytes))) {
			r->reached = e->id - 1;
			r->more = true;
			break;
		}
	}
	return true;
}

static bool
read_backward(struct log_read *r, struct place *p)
{
	size_t at = r->before == 0 ? p->ring->n : ring_above(p->ring, r->before - 1);
	size_t scanned = 0;
	size_t bytes = 0;

	if (p->cold_id != 0 && (r->before == 0 ? at == 0 : r->before <= p->cold_id + 1))
		return false;
	r->reached = 0;
	while (at > 0) {
		const struct ring_entry *e = ring_at(p->ring, --at);

		if (++scanned > SCAN_MAX || p->searched > SEARCH_MAX ||
		    (e->message != NULL && is_wanted(r, e->message) && is_found(p, r, e->message) &&
			!read_take(r, e->message, &bytes))) {
			r->reached = e->id + 1;
			r->more = true;
			return true;
		}
	}
	if (p->cold_id != 0) {
		r->reached = p->cold_id + 1;
		r->more = true;
	}
	return true;
}

static bool
seek_last(struct log_read *r, const struct place *p)
{
	uint64_t upto = r->before == 0 ? r->upto : r->before - 1;
	size_t at = ring_above(p->ring, upto);
	unsigned scanned = 0;

	if (p->cold_id != 0 && upto <= p->cold_id)
		return false;
	if (r->before == 0)
		r->reached = r->upto;
	while (at > 0 && r->count > 0) {
		const struct ring_entry *e = ring_at(p->ring, --at);

		if (scanned++ == SCAN_MAX) {
			r->before = e->id + 1;
			r->more = true;
			return true;
		}
		if (e->message == NULL || !is_wanted(r, e->message) ||
		    !message_is_content(e->message))
			continue;
		r->count--;
		r->reached = e->id - 1;
	}
	if (r->count > 0 && p->cold_id != 0) {
		r->before = p->cold_id + 1;
		r->more = true;
	}
	return true;
}

static bool
seek_time(struct log_read *r, const struct place *p)
{
	/*
	 * an id is never below its message's time: only a clock set back makes the first of
	 * these an older one
	 */
	uint64_t least = r->time_ms <= 0 ? 0 : (uint64_t)r->time_ms * 1000 - 1;

	if (least < p->cold_id)
		return false;
	r->reached = r->upto;
	for (size_t at = ring_above(p->ring, least); at < p->ring->n; at++) {
		const struct ring_entry *e = ring_at(p->ring, at);

		if (e->message != NULL && e->message->time_ms >= r->time_ms) {
			r->reached = min_u64(e->id - 1, r->upto);
			break;
		}
	}
	return true;
}

bool
shelves_read(const struct shelves *s, struct log *l, struct log_read *r)
{
	struct place p = place_of(s, l, r);

	switch (r->mode) {
	case LOG_FORWARD:
		return read_forward(r, &p);
	case LOG_BACKWARD:
		return read_backward(r, &p);
	case LOG_SEEK_LAST:
		return seek_last(r, &p);
	case LOG_SEEK_TIME:
		return seek_time(r, &p);
	case LOG_COUNT:
		return false; /* shelf_unread does, as far as it can */
	}
	return true;
}
