#include "store/memory.h"

#include <errno.h>

#include "base/mem.h"
#include "core/log_private.h"
#include "core/topic.h"
#include "store/keys.h"
#include "store/ring.h"

#define SCAN_MAX 4096 /* messages looked at under the lock in one read */

struct memory_store {
	struct store store;
	/* every stored message by id; taken ones leave a hole until the ring is packed */
	struct ring all;
	size_t n_holes;
	size_t bytes; /* of the messages without their forms */
	_Atomic int64_t forms_bytes;
	size_t n_messages;
	uint64_t max_bytes;
	struct keys keys;
};

/* What the store keeps of a topic. */
struct shelf {
	struct ring ring;
	int64_t next_end_ms; /* no message here ends by its ttl before; 0: none has one */
};

static struct memory_store *
of(struct store *s)
{
	return CONTAINER(s, struct memory_store, store);
}

static bool
has_expired(const struct message *m, int64_t now_ms)
{
	return m->expires_ms != 0 && m->expires_ms <= now_ms;
}

static size_t
all_bytes(const struct memory_store *s)
{
	int64_t forms = atomic_load_explicit(&s->forms_bytes, memory_order_relaxed);

	return s->bytes + (forms > 0 ? (size_t)forms : 0);
}

/* --- retention --- */

/* A message that its topic has given up goes. Its place in `all` becomes a hole. */
static void
drop(struct memory_store *s, struct message *m)
{
	struct ring_entry *hole = ring_find(&s->all, m->id);

	s->bytes -= message_memory(m);
	message_unaccount(m);
	s->n_messages--;
	if (hole != NULL) {
		hole->message = NULL;
		s->n_holes++;
	}
	message_unref(m);
	while (s->all.n > 0 && ring_at(&s->all, 0)->message == NULL) {
		(void)ring_pop(&s->all);
		s->n_holes--;
	}
	if (s->n_holes > 1024 && s->n_holes > s->all.n / 2) {
		ring_pack(&s->all);
		s->n_holes = 0;
	}
}

static void
shrunk(struct log_topic *t, const struct ring *ring, int64_t now_ms)
{
	t->n_stored = (uint32_t)ring->n;
	t->first_id = ring->n == 0 ? 0 : ring_at(ring, 0)->id;
	t->used_ms = now_ms;
}

static void
take_oldest(struct memory_store *s, struct log_topic *t, int64_t now_ms)
{
	struct shelf *shelf = t->stored;
	struct message *m = ring_pop(&shelf->ring);

	if (!has_expired(m, now_ms)) { /* what ended by its own ttl is no gap */
		t->trimmed_id = m->id;
		s->store.log->trimmed = max_u64(s->store.log->trimmed, m->id);
	}
	drop(s, m);
	shrunk(t, &shelf->ring, now_ms);
}

/* What has ended by its ttl goes, wherever it stands: it shall not count for what is kept. */
static void
take_expired(struct memory_store *s, struct log_topic *t, int64_t now_ms)
{
	struct shelf *shelf = t->stored;

	if (shelf->next_end_ms == 0 || shelf->next_end_ms > now_ms)
		return;
	shelf->next_end_ms = 0;
	for (size_t i = 0; i < shelf->ring.n; i++) {
		struct ring_entry *e = ring_at(&shelf->ring, i);
		int64_t end = e->message->expires_ms;

		if (has_expired(e->message, now_ms)) {
			drop(s, e->message);
			e->message = NULL;
		} else if (end != 0 && (shelf->next_end_ms == 0 || end < shelf->next_end_ms)) {
			shelf->next_end_ms = end;
		}
	}
	ring_pack(&shelf->ring);
	shrunk(t, &shelf->ring, now_ms);
}

static bool
is_old(const struct log_topic *t, const struct message *m, int64_t now_ms)
{
	return t->keep_ms != 0 && m->time_ms + (int64_t)t->keep_ms <= now_ms;
}

static void
trim_topic(struct memory_store *s, struct log_topic *t, int64_t now_ms)
{
	struct shelf *shelf = t->stored;

	if (t->n_stored > t->keep_count)
		take_expired(s, t, now_ms);
	while (shelf->ring.n > 0 && (t->n_stored > t->keep_count ||
					is_old(t, ring_at(&shelf->ring, 0)->message, now_ms)))
		take_oldest(s, t, now_ms);
}

static void
trim_all(struct memory_store *s, int64_t now_ms)
{
	while (all_bytes(s) > s->max_bytes && s->all.n > 0) {
		const struct message *m = ring_at(&s->all, 0)->message;

		take_oldest(s, log_topic_find(s->store.log, m->topic), now_ms);
	}
}

static void
memory_sweep(struct store *store, int64_t now_ms)
{
	struct memory_store *s = of(store);
	struct log_topic *t;
	size_t at = 0;

	log_lock(store->log);
	while ((t = map_next(&store->log->topics, &at)) != NULL) {
		if (t->stored == NULL)
			continue;
		take_expired(s, t, now_ms);
		trim_topic(s, t, now_ms);
	}
	trim_all(s, now_ms); /* forms may have been made since the last append */
	keys_expire(&s->keys, now_ms);
	log_unlock(store->log);
}

static void
memory_forget(struct store *store, struct log_topic *t)
{
	struct shelf *shelf = t->stored;

	(void)store;
	if (shelf == NULL)
		return;
	ring_done(&shelf->ring);
	mem_free(shelf);
	t->stored = NULL;
}

/* --- appending --- */

/*
 * Make sure that nothing can fail once the first message of the batch is in: topics, rings, the
 * tail.
 */
static int
prepare(struct memory_store *s, const struct append *a)
{
	struct log *l = s->store.log;
	int r = log_reserve(l, a->n + 1);

	if (r == 0)
		r = ring_reserve(&s->all, a->n);
	for (unsigned i = 0; r == 0 && i < a->n; i++) {
		const struct message *m = a->items[i].message;
		struct log_topic *t;

		if (!m->is_logged)
			continue;
		t = log_topic_get(l, m->topic, &r);
		if (t == NULL)
			return r;
		t->is_held =
		    a->n > 1; /* room for the batch's next topic is not made out of this one */
		if (t->stored == NULL)
			t->stored = mem_calloc(1, sizeof(struct shelf));
		r = t->stored == NULL ? -ENOMEM
				      : ring_reserve(&((struct shelf *)t->stored)->ring, a->n);
		if (r == 0 && m->key.n > 0)
			r = keys_reserve(&s->keys, m, a->now_ms);
	}
	return r;
}

static void
release_topics(struct log *l, const struct append *a)
{
	for (unsigned i = 0; a->n > 1 && i < a->n; i++) {
		struct log_topic *t = log_topic_find(l, a->items[i].message->topic);

		if (t != NULL)
			t->is_held = false;
	}
}

static void
store_message(struct memory_store *s, struct message *m, int64_t now_ms)
{
	struct log_topic *t = log_topic_find(s->store.log, m->topic);
	struct shelf *shelf = t->stored;

	ring_push(&shelf->ring, m->id, message_ref(m));
	if (m->expires_ms != 0 && (shelf->next_end_ms == 0 || m->expires_ms < shelf->next_end_ms))
		shelf->next_end_ms = m->expires_ms;
	ring_push(&s->all, m->id, m); /* one reference serves both: they are taken together */
	s->bytes += message_memory(m);
	message_account(m, &s->forms_bytes);
	s->n_messages++;
	t->n_stored++;
	t->last_id = m->id;
	if (t->first_id == 0)
		t->first_id = m->id;
	t->keep_count = m->keep_count;
	t->keep_ms = m->keep_ms;
	t->used_ms = now_ms;
	trim_topic(s, t, now_ms);
}

static int
memory_append(struct store *store, struct append *a, unsigned caller)
{
	struct memory_store *s = of(store);
	struct log *l = store->log;
	uint64_t wakes = 0;
	int r;

	log_lock(l);
	r = prepare(s, a);
	release_topics(l, a);
	if (r < 0) {
		log_unlock(l);
		return r;
	}
	for (unsigned i = 0; i < a->n; i++) {
		struct append_item *item = &a->items[i];
		struct message *m = item->message;

		if (!m->is_logged)
			continue;
		if (m->key.n > 0 && keys_find(&s->keys, m, &item->id)) {
			item->duplicate = true;
			continue;
		}
		item->id = log_next_id(l, (uint64_t)a->now_ms * 1000);
		message_commit(m, item->id);
		if (m->key.n > 0)
			keys_add(&s->keys, m, a->now_ms);
		store_message(s, m, a->now_ms);
	}
	trim_all(s, a->now_ms);
	log_publish(l, a, caller, &wakes);
	log_unlock(l);
	log_wake(l, wakes);
	return 0;
}

/* --- reading --- */

static bool
matches(const struct log_read *r, const struct message *m)
{
	if (has_expired(m, r->now_ms))
		return false;
	for (size_t i = 0; i < r->n_filters; i++) {
		const struct log_filter *f = &r->filters[i];

		if (f->is_topic ? slice_eq(f->pattern, m->topic)
				: pattern_matches(f->pattern, m->topic))
			return true;
	}
	return false;
}

static bool
contains_word(struct slice text, struct slice word)
{
	for (size_t i = 0; i + word.n <= text.n; i++) {
		if (slice_eq_nocase(slice_of(text.p + i, word.n), word))
			return true;
	}
	return false;
}

/* Every word of the question, in any order. */
static bool
is_found(struct slice question, const struct message *m)
{
	struct slice rest = question;

	while (rest.p != NULL) {
		struct slice word = slice_trim(slice_cut(&rest, ' '));

		if (word.n > 0 && !contains_word(m->content, word))
			return false;
	}
	return true;
}

/*
 * The ring that holds all that a read can want: a single topic's own, else the one of
 * everything. NULL: nothing is stored.
 */
static struct ring *
ring_of(struct memory_store *s, const struct log_read *r)
{
	struct log_topic *t;

	if (r->n_filters != 1 || !r->filters[0].is_topic)
		return &s->all;
	t = log_topic_find(s->store.log, r->filters[0].pattern);
	return t == NULL || t->stored == NULL ? NULL : &((struct shelf *)t->stored)->ring;
}

static bool
take(struct log_read *r, struct message *m, size_t *bytes)
{
	if (r->n == min_size(r->count, LOG_READ_MAX) ||
	    (r->n > 0 && *bytes + m->json.n > r->max_bytes))
		return false;
	*bytes += m->json.n;
	r->messages[r->n++] = message_ref(m);
	return true;
}

static void
read_forward(struct log_read *r, const struct ring *ring)
{
	size_t at = ring_above(ring, r->after);
	size_t end = at + SCAN_MAX;
	size_t bytes = 0;

	r->reached = r->upto;
	for (; at < ring->n; at++) {
		const struct ring_entry *e = ring_at(ring, at);

		if (e->id > r->upto)
			return;
		if (at == end || (e->message != NULL && matches(r, e->message) &&
				     (r->search.p == NULL || is_found(r->search, e->message)) &&
				     !take(r, e->message, &bytes))) {
			r->reached = e->id - 1;
			r->more = true;
			return;
		}
	}
}

static void
read_backward(struct log_read *r, const struct ring *ring)
{
	size_t at = r->before == 0 ? ring->n : ring_above(ring, r->before - 1);
	size_t scanned = 0;
	size_t bytes = 0;

	r->reached = 0;
	while (at > 0) {
		const struct ring_entry *e = ring_at(ring, --at);

		if (++scanned > SCAN_MAX ||
		    (e->message != NULL && matches(r, e->message) &&
			(r->search.p == NULL || is_found(r->search, e->message)) &&
			!take(r, e->message, &bytes))) {
			r->reached = e->id + 1;
			r->more = true;
			return;
		}
	}
}

static void
seek_last(struct log_read *r, const struct ring *ring)
{
	size_t at = ring_above(ring, r->before == 0 ? r->upto : r->before - 1);
	unsigned scanned = 0;

	if (r->before == 0)
		r->reached = r->upto;
	while (at > 0 && r->count > 0) {
		const struct ring_entry *e = ring_at(ring, --at);

		if (scanned++ == SCAN_MAX) {
			r->before = e->id + 1;
			r->more = true;
			return;
		}
		if (e->message == NULL || !matches(r, e->message) ||
		    !message_is_content(e->message))
			continue;
		r->count--;
		r->reached = e->id - 1;
	}
}

static void
seek_time(struct log_read *r, const struct ring *ring)
{
	/*
	 * an id is never below its message's time: only a clock set back makes the first of
	 * these an older one
	 */
	uint64_t least = r->time_ms <= 0 ? 0 : (uint64_t)r->time_ms * 1000 - 1;

	r->reached = r->upto;
	for (size_t at = ring_above(ring, least); at < ring->n; at++) {
		const struct ring_entry *e = ring_at(ring, at);

		if (e->message != NULL && e->message->time_ms >= r->time_ms) {
			r->reached = min_u64(e->id - 1, r->upto);
			return;
		}
	}
}

static void
memory_read(struct store *store, struct log_read *r)
{
	const struct ring empty = {0};
	const struct ring *ring;

	log_lock(store->log);
	ring = ring_of(of(store), r);
	if (ring == NULL)
		ring = &empty;
	switch (r->mode) {
	case LOG_FORWARD:
		r->trimmed = log_trimmed(store->log, r->filters, r->n_filters, r->after);
		read_forward(r, ring);
		break;
	case LOG_BACKWARD:
		read_backward(r, ring);
		break;
	case LOG_SEEK_LAST:
		seek_last(r, ring);
		break;
	case LOG_SEEK_TIME:
		seek_time(r, ring);
		break;
	}
	log_unlock(store->log);
	r->done(r);
}

/* --- life --- */

static void
memory_extent(struct store *store, struct log_extent *out)
{
	const struct memory_store *s = of(store);

	out->messages = s->n_messages;
	out->bytes = all_bytes(s);
}

/* A connection that still holds it must not find the account of a store that is gone. */
static void
drop_last(struct message *m)
{
	if (m == NULL)
		return;
	message_unaccount(m);
	message_unref(m);
}

static void
memory_free(struct store *store)
{
	struct memory_store *s = of(store);

	for (size_t i = 0; i < s->all.n; i++)
		drop_last(ring_at(&s->all, i)->message);
	ring_done(&s->all);
	keys_done(&s->keys);
	mem_free(s);
}

static const struct store_ops memory_ops = {
    .name = "memory",
    .append = memory_append,
    .read = memory_read,
    .sweep = memory_sweep,
    .forget = memory_forget,
    .extent = memory_extent,
    .free = memory_free,
};

struct store *
memory_store_new(uint64_t max_bytes, uint64_t max_keys)
{
	struct memory_store *s = mem_calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->store.ops = &memory_ops;
	s->max_bytes = max_bytes;
	keys_init(&s->keys, max_keys);
	return &s->store;
}
