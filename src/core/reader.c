#include "core/reader.h"

#include <errno.h>

#include "base/mem.h"
#include "core/moderation.h"
#include "core/reader_private.h"
#include "core/topic.h"

#define STEPS_AT_ONCE 8           /* of one that begins */
#define READ_BYTES    (64 * 1024) /* JSON bytes of one step */

static struct reader *
reader_new(struct hub *h, struct subscriber *s)
{
	struct reader *r = mem_calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	if (s->readers == NULL) { /* never there and empty */
		s->readers = mem_calloc(1, sizeof(*s->readers));
		if (s->readers == NULL) {
			mem_free(r);
			return NULL;
		}
		TAILQ_INIT(&s->readers->all);
	}
	r->who = s;
	r->hub = h;
	r->filters_stale = true;
	if (s->ops->claims != NULL)
		r->read.user = claims_number(s->ops->claims(s)); /* of all its reads */
	TAILQ_INSERT_TAIL(&s->readers->all, r, mine);
	counter_add(h->counters, COUNTER_BEHIND, 1);
	return r;
}

static void
reader_free(struct reader *r)
{
	struct subscriber *s = r->who;

	if (s != NULL) {
		TAILQ_REMOVE(&s->readers->all, r, mine);
		if (s->readers->catch_up == r)
			s->readers->catch_up = NULL;
		if (TAILQ_EMPTY(&s->readers->all)) {
			mem_free(s->readers);
			s->readers = NULL;
		}
		r->who = NULL;
		counter_sub(r->hub->counters, COUNTER_BEHIND, 1);
	}
	if (r->is_ready)
		TAILQ_REMOVE(&r->hub->ready, r, ready);
	r->is_ready = false;
	if (r->is_reading) {
		r->is_dead = true; /* the store still writes into it */
		log_read_forget(&r->read);
		return;
	}
	mem_free(r->filters);
	mem_free(r);
}

void
reader_schedule(struct hub *h, struct reader *r)
{
	if (r->is_ready)
		return;
	r->is_ready = true;
	TAILQ_INSERT_TAIL(&h->ready, r, ready);
}

void
hub_drained(struct hub *h, struct subscriber *s)
{
	struct reader *r;

	if (s->readers == NULL)
		return;
	TAILQ_FOREACH (r, &s->readers->all, mine) {
		if (!r->is_parked)
			reader_schedule(h, r);
	}
}

void
reader_free_all(struct subscriber *s)
{
	for (struct sub *sub = s->subs; sub != NULL; sub = sub->next)
		sub->reader = NULL;
	while (s->readers != NULL)
		reader_free(TAILQ_FIRST(&s->readers->all));
}

/* How far its subscriptions have what is live. */
static uint64_t
live_cursor(const struct reader *r)
{
	return max_u64(r->cursor, r->asked_upto);
}

static bool
has_subs(const struct reader *r)
{
	for (const struct sub *sub = r->who->subs; sub != NULL; sub = sub->next) {
		if (sub->reader == r)
			return true;
	}
	return false;
}

void
reader_drop(struct sub *sub)
{
	struct reader *r = sub->reader;
	struct reader *other;

	if (r == NULL)
		return;
	sub->reader = NULL;
	r->filters_stale = true;
	if (has_subs(r))
		return;
	reader_free(r);
	if (sub->who->readers == NULL || sub->who->readers->catch_up != NULL)
		return;
	TAILQ_FOREACH (other, &sub->who->readers->all, mine) {
		other->is_parked = false; /* nothing to wait for any more */
		reader_schedule(other->hub, other);
	}
}

void
reader_skipped(struct sub *sub, const struct message *m)
{
	if (sub->reader == NULL || m->kind == MESSAGE_READ)
		return;
	if (message_is_presence(m))
		sub->reader->presence_skipped = true;
	else if (!m->is_logged)
		sub->dropped++;
}

void
reader_fall_behind(struct hub *h, struct subscriber *s)
{
	struct reader *r = reader_new(h, s);

	if (r == NULL) {
		s->ops->fail(s);
		return;
	}
	r->is_catch_up =
	    s->readers->catch_up == NULL; /* a later one parks and is merged into the first */
	r->cursor = h->position;
	r->had_upto = h->position;
	if (r->is_catch_up)
		s->readers->catch_up = r;
	for (struct sub *sub = s->subs; sub != NULL; sub = sub->next) {
		if (sub->reader == NULL)
			sub->reader = r;
	}
	counter_add(h->counters, COUNTER_FELL_BEHIND, 1);
}

/* --- starting --- */

static void
cover(struct reader *r, struct sub *only)
{
	for (struct sub *sub = r->who->subs; sub != NULL; sub = sub->next) {
		if (only == NULL || sub == only)
			sub->reader = r;
	}
}

static int
make_filters(struct reader *r)
{
	struct subscriber *s = r->who;
	struct slice bound =
	    s->may_be_banned ? moderation_bound(r->hub, s->ops->claims(s)) : SLICE_NONE;
	size_t n = 0;
	size_t bytes = bound.n;
	char *text;

	for (const struct sub *sub = r->who->subs; sub != NULL; sub = sub->next) {
		if (sub->reader == r) {
			n++;
			bytes += sub_pattern(sub).n;
		}
	}
	mem_free(r->filters);
	r->n_filters = 0;
	r->filters = mem_alloc(n * sizeof(*r->filters) + bytes);
	if (r->filters == NULL)
		return -ENOMEM;
	text = (char *)(r->filters + n);
	for (const struct sub *sub = r->who->subs; sub != NULL; sub = sub->next) {
		struct slice pattern = sub_pattern(sub);

		if (sub->reader != r)
			continue;
		memcpy(text, pattern.p, pattern.n);
		r->filters[r->n_filters++] =
		    (struct log_filter){slice_of(text, pattern.n), sub->at->is_topic};
		text += pattern.n;
	}
	r->read.bound = bound.p == NULL ? SLICE_NONE : slice_place(&text, bound);
	r->filters_stale = false;
	return 0;
}

static void
start_at_id(struct reader *r, uint64_t id)
{
	log_resume(r->hub->log, r->filters, r->n_filters, id, &r->gap);
	r->cursor = r->gap.start;
	r->gap_asked = id;
	/*
	 * Retention may be ahead of this worker, which has yet to bring it from the tail what is gone from
	 * the store; if it falls behind before, the read will tell.
	 */
	if (r->gap.reason == LOG_GAP_TRIMMED && id >= r->hub->position)
		return;
	r->gap_due = r->gap.reason != LOG_GAP_NONE;
	r->known_trimmed = r->gap.gap_id;
	if (!r->who->is_stream)
		r->gap.gap_id = 0; /* told before anything else */
}

static void
start_at_beginning(struct reader *r)
{
	struct log_extent all;

	log_extent(r->hub->log, &all);
	r->cursor = all.begin;
	r->accept_trimmed = true;
}

static void
start_unreadable(struct reader *r)
{
	r->cursor = r->hub->position;
	r->gap = (struct log_resume){.reason = LOG_GAP_UNREADABLE,
	    .oldest = log_oldest(r->hub->log, r->filters, r->n_filters),
	    .gap_id = r->cursor};
	r->gap_due = true;
}

static void
start_seek(struct reader *r, const struct position *from)
{
	r->is_seeking = true;
	r->accept_trimmed = true;
	r->min_time_ms = from->kind == POSITION_TIME ? from->time_ms : 0;
	r->read.mode = from->kind == POSITION_TIME ? LOG_SEEK_TIME : LOG_SEEK_LAST;
	r->read.time_ms = from->time_ms;
	r->read.count = from->last;
	r->read.before = 0;
}

static void
start_at(struct reader *r, const struct position *from)
{
	switch (from->kind) {
	case POSITION_ID:
		start_at_id(r, from->id);
		break;
	case POSITION_BAD:
		start_unreadable(r);
		break;
	case POSITION_LAST:
	case POSITION_TIME:
		start_seek(r, from);
		break;
	case POSITION_ALL:
	case POSITION_NONE:
		start_at_beginning(r);
		break;
	}
}

/* A reader whose subscription is asked for anew: what was live and is still to come does come. */
static void
inherit(struct reader *r, const struct reader *before)
{
	r->seek_limit = live_cursor(before);
	r->presence_skipped = before->presence_skipped;
}

int
reader_start(struct hub *h, struct subscriber *s, struct sub *sub, const struct position *from,
    bool *resumed)
{
	struct reader *r;

	*resumed = false;
	if (from->kind == POSITION_NONE || (from->kind == POSITION_LAST && from->last == 0))
		return 0;
	r = reader_new(h, s);
	if (r == NULL)
		return -ENOMEM;
	if (sub != NULL && sub->reader != NULL) {
		inherit(r, sub->reader);
		reader_drop(sub);
	}
	cover(r, sub);
	if (make_filters(r) < 0) {
		for (struct sub *each = s->subs; each != NULL; each = each->next) {
			if (each->reader == r)
				each->reader = NULL;
		}
		reader_free(r);
		return -ENOMEM;
	}
	r->asked_upto = h->position;
	r->state_upto = h->position;
	start_at(r, from);
	r->had_upto = from->kind == POSITION_ID ? max_u64(r->cursor, r->seek_limit) : r->seek_limit;
	if (r->seek_limit != 0 && !r->is_seeking)
		r->cursor = min_u64(r->cursor, r->seek_limit);
	*resumed = !r->gap_due && from->kind != POSITION_LAST;
	reader_schedule(h, r);
	return 0;
}

/* --- stepping --- */

static bool
is_of(const struct sub *sub, const struct message *m)
{
	return pattern_matches(sub_pattern(sub), m->topic) ||
	       (m->also_n > 0 && pattern_matches(sub_pattern(sub), message_also(m)));
}

/* Its target comes, or came, as this has made it. */
static bool
is_in_target(const struct reader *r, const struct message *m)
{
	return m->target != 0 &&
	       (m->target > r->read.after || (m->target > r->had_upto && m->id <= r->state_upto));
}

/* What was live for its subscriptions came up to here, the same asked for anew or not. */
static uint64_t
had_live(const struct reader *r)
{
	return max_u64(r->cursor, r->seek_limit != 0 ? r->seek_limit : r->asked_upto);
}

/*
 * Live, a connection gets a message once: another subscription that matches it, and was there
 * before it, has passed it already.
 */
static bool
came_otherwise(const struct reader *r, const struct message *m)
{
	if (m->id <= r->asked_upto)
		return false; /* a replay belongs to the subscription that asked */
	for (const struct sub *sub = r->who->subs; sub != NULL; sub = sub->next) {
		bool has_passed =
		    sub->reader == NULL || (sub->reader != r && had_live(sub->reader) >= m->id);

		if (has_passed && sub->since < m->id && is_of(sub, m))
			return true;
	}
	return false;
}

/* A time is asked of what was before the question: what was live then, and still is to come, does come. */
static bool
is_too_old(const struct reader *r, const struct message *m)
{
	return m->time_ms < r->min_time_ms &&
	       m->id <= (r->seek_limit != 0 ? r->seek_limit : r->asked_upto);
}

/*
 * Queue one message that was read. 0: it is behind us; 1: the queue is full, it stays for
 * later; -ENOMEM.
 */
static int
pass_on(struct reader *r, struct message *m)
{
	struct subscriber *s = r->who;
	bool is_own = m->origin != 0 && m->origin == s->number && m->id > r->asked_upto;
	struct slice bytes;
	struct wire *w;

	if (is_too_old(r, m) || is_in_target(r, m) || came_otherwise(r, m))
		return 0;
	if (s->may_be_banned && moderation_withholds(s, m))
		return 0;
	if (!s->ops->has_room(s))
		return 1;
	if (is_own) {
		if (s->ops->own != NULL)
			s->ops->own(s, m->id);
		return 0;
	}
	if (hub_form(r->hub, m, (enum message_form)s->form, &bytes) < 0)
		return -ENOMEM;
	if (bytes.n == 0)
		return 0;
	w = wire_of_message(m, bytes);
	if (w == NULL)
		return -ENOMEM;
	s->ops->push(s, w);
	wire_unref(w);
	counter_add(r->hub->counters, COUNTER_DELIVERIES, 1);
	counter_add(r->hub->counters, COUNTER_REPLAYED, 1);
	return 0;
}

static void
pass_on_all(struct reader *r)
{
	struct log_read *read = &r->read;

	reader_note_missing(r);
	for (unsigned i = 0; i < read->n; i++) {
		struct message *m = read->messages[i];
		int status;

		if (r->gap_due && m->id > r->gap.gap_id)
			reader_tell_gap(r);
		status = pass_on(r, m);
		if (status < 0) {
			r->who->ops->fail(r->who);
			return;
		}
		if (status > 0)
			return;
		r->cursor = m->id;
	}
	r->cursor = max_u64(r->cursor, read->reached);
}

static void
on_found(struct reader *r)
{
	r->is_seeking = r->read.more; /* bounded: it goes on from where it stopped */
	r->cursor = r->read.reached;
	if (r->seek_limit != 0)
		r->cursor = min_u64(r->cursor, r->seek_limit);
	if (r->read.lost == 0)
		return;
	r->has_lost = true;
	reader_miss(r, r->cursor);
}

static void
on_read(struct log_read *read)
{
	struct reader *r = CONTAINER(read, struct reader, read);

	r->is_reading = false;
	if (r->is_dead) {
		log_read_release(read);
		reader_free(r);
		return;
	}
	if (read->status < 0 && read->status != -ETIMEDOUT) {
		r->who->ops->fail(r->who);
	} else if (read->status < 0) {
		/* it is asked again */
	} else if (r->is_seeking) {
		on_found(r);
	} else if (!r->filters_stale) { /* else: read for what is no longer wanted */
		r->who->readers->passing = r;
		pass_on_all(r);
		r->who->readers->passing = NULL;
	}
	log_read_release(read);
	if (r->who->ops->has_room(r->who))
		reader_schedule(r->hub, r);
}

/* Where the catch-up reader must stop for one that waits for it; its position otherwise. */
static uint64_t
bound(const struct reader *r)
{
	uint64_t upto = r->hub->position;
	const struct reader *other;

	if (!r->is_catch_up)
		return upto;
	TAILQ_FOREACH (other, &r->who->readers->all, mine) {
		if (other->is_parked)
			upto = min_u64(upto, other->cursor);
	}
	return upto;
}

/*
 * Readers parked at the catch-up reader's cursor become part of it: nobody gets a message
 * twice. True when there was one.
 */
static bool
merge_parked(struct reader *r)
{
	struct reader *other;
	struct reader *next;
	bool merged = false;

	TAILQ_FOREACH_SAFE (other, &r->who->readers->all, mine, next) {
		if (!other->is_parked || other->cursor > r->cursor)
			continue;
		for (struct sub *sub = r->who->subs; sub != NULL; sub = sub->next) {
			if (sub->reader == other)
				sub->reader = r;
		}
		r->presence_skipped = r->presence_skipped || other->presence_skipped;
		r->had_upto = max_u64(r->had_upto, other->had_upto);
		r->state_upto = min_u64(r->state_upto, other->state_upto);
		reader_free(other);
		r->filters_stale = true;
		merged = true;
	}
	return merged;
}

/* Level: from here on the tail feeds its subscriptions. */
static void
finish(struct reader *r)
{
	struct subscriber *s = r->who;
	bool presence_skipped = r->presence_skipped;

	if (r->gap_due) {
		/* retention may be ahead of this worker: what is newer comes from the tail */
		r->gap.gap_id = min_u64(r->gap.gap_id, r->cursor);
		reader_tell_gap(r);
	}
	for (struct sub *sub = s->subs; sub != NULL; sub = sub->next) {
		if (sub->reader != r)
			continue;
		reader_tell_dropped(r, sub);
		sub->reader = NULL;
		s->ops->level(s, sub, presence_skipped && sub->is_room);
	}
	if (s->is_stream)
		s->ops->level(s, NULL, false);
	reader_free(r);
}

static void
read_on(struct reader *r, uint64_t upto)
{
	struct log_read *read = &r->read;

	if (!r->is_seeking) {
		read->mode = LOG_FORWARD;
		read->count = LOG_READ_MAX;
	}
	read->filters = r->filters;
	read->n_filters = r->n_filters;
	read->after = r->cursor;
	if (r->state_upto == 0)
		r->state_upto = r->hub->position;
	read->upto = r->is_seeking ? r->asked_upto : upto; /* what comes later is not counted */
	read->max_bytes = READ_BYTES;
	read->now_ms = r->hub->now_ms;
	read->may_skip = true;
	read->worker = r->hub->worker;
	read->done = on_read;
	r->is_reading = true;
	log_read(r->hub->log, read);
}

bool
reader_step(struct hub *h, struct reader *r)
{
	uint64_t upto;

	if (r->is_ready) {
		TAILQ_REMOVE(&h->ready, r, ready);
		r->is_ready = false;
	}
	if (r->is_reading || r->is_parked)
		return false;
	if (r->gap_due && r->cursor >= r->gap.gap_id)
		reader_tell_gap(r);
	if (r->filters_stale && make_filters(r) < 0) {
		r->who->ops->fail(r->who);
		return false;
	}
	upto = bound(r);
	if (h->in_tail && r->cursor > h->position)
		return true; /* it has, from another worker, what this walk of the tail has yet to bring */
	if (r->is_seeking || r->cursor < upto) {
		if (!r->who->ops->has_room(r->who))
			return false; /* hub_drained comes back to it */
		read_on(r, upto);
		return false; /* on_read schedules it again */
	}
	if (r->is_catch_up && merge_parked(r))
		return true;
	if (!r->is_catch_up && r->who->readers->catch_up != NULL) {
		r->is_parked = true;
		reader_schedule(h, r->who->readers->catch_up);
		return false;
	}
	finish(r);
	return false;
}

void
reader_advance(struct hub *h, const struct sub *sub)
{
	for (unsigned i = 0; i < STEPS_AT_ONCE && sub->reader != NULL && sub->reader->is_ready;
	     i++) {
		if (reader_step(h, sub->reader))
			reader_schedule(h, sub->reader);
	}
}
