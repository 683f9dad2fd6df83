#include "store/memory.h"

#include <errno.h>

#include "base/mem.h"
#include "core/log_private.h"
#include "store/change_index.h"
#include "store/keys.h"
#include "store/shelf.h"

struct memory_store {
	struct store store;
	struct shelves shelves;
	uint64_t max_bytes;
	struct keys keys;
	struct change_index changes;
	size_t sweep_at; /* where the next sweep goes on in the topics' table */
};

static struct memory_store *
of(struct store *s)
{
	return CONTAINER(s, struct memory_store, store);
}

/* --- retention --- */

static void
shrunk(struct log_topic *t, const struct ring *ring, int64_t now_ms)
{
	t->first_id = ring->n == 0 ? 0 : ring_at(ring, 0)->id;
	t->used_ms = now_ms;
}

/* It goes from its topic: t, or the one it says. */
static void
discount(struct memory_store *s, struct log_topic *t, const struct message *m)
{
	if (m->target == 0) {
		t->n_stored--;
		return;
	}
	t->n_changes--;
	if (m->also_n == 0 || !shelves_stands(s->store.log, m))
		change_index_drop(&s->changes, m);
}

static void
take_oldest(struct memory_store *s, struct log_topic *t, int64_t now_ms)
{
	struct shelf *shelf = t->stored;
	struct message *m = shelves_pop(&s->shelves, s->store.log, shelf);

	discount(s, t, m);
	if (!message_has_ended(m, now_ms)) { /* what ended by its own ttl is no gap */
		t->trimmed_id = m->id;
		s->store.log->trimmed = max_u64(s->store.log->trimmed, m->id);
	}
	message_unref(m);
	shrunk(t, &shelf->ring, now_ms);
}

struct ending {
	struct memory_store *store;
	struct log_topic *topic;
};

static void
on_ended(struct message *m, void *ctx)
{
	const struct ending *e = ctx;

	discount(e->store, e->topic, m);
}

/* What has ended by its ttl shall not count for what is kept. */
static void
take_ended(struct memory_store *s, struct log_topic *t, int64_t now_ms)
{
	struct ending ending = {s, t};
	struct shelf *shelf = t->stored;

	if (shelves_take_ended(&s->shelves, shelf, now_ms, on_ended, &ending))
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
		take_ended(s, t, now_ms);
	while (shelf->ring.n > 0 && (t->n_stored > t->keep_count ||
					is_old(t, ring_at(&shelf->ring, 0)->message, now_ms)))
		take_oldest(s, t, now_ms);
}

static void
trim_all(struct memory_store *s, int64_t now_ms)
{
	const struct shelves *all = &s->shelves;

	while (shelves_bytes(all) > s->max_bytes && all->all.n > 0)
		take_oldest(s, shelves_oldest(all, s->store.log), now_ms);
}

static void
memory_sweep(struct store *store, int64_t now_ms)
{
	struct memory_store *s = of(store);
	struct log_topic *t;
	size_t end;

	log_lock(store->log);
	end = s->sweep_at + log_sweep_share(store->log);
	while (s->sweep_at < end && (t = map_next(&store->log->topics, &s->sweep_at)) != NULL) {
		if (t->stored == NULL)
			continue;
		take_ended(s, t, now_ms);
		trim_topic(s, t, now_ms);
	}
	if (s->sweep_at >= store->log->topics.cap)
		s->sweep_at = 0;
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
/* To be put off, unless its key is known. */
static int
prepare_later(struct memory_store *s, struct append_item *item, int64_t now_ms)
{
	if (item->message->key.n > 0 && keys_find(&s->keys, item->message, &item->id)) {
		item->what = APPEND_NOW; /* it was published already */
		item->duplicate = true;
		return 0;
	}
	return schedule_prepare(s->store.log, item, now_ms);
}

/* Topics are needed one after the other. */
static bool
has_several(const struct append *a)
{
	return a->n > 1 || (a->one.message != NULL && a->one.message->also_n > 0);
}

/* Room for n messages under a topic. */
static int
prepare_topic(struct log *l, struct slice name, unsigned n, bool is_held)
{
	int r = 0;
	struct log_topic *t = log_topic_get(l, name, &r);

	if (t == NULL)
		return r;
	t->is_held = is_held; /* room for the next topic is not made out of this one */
	if (t->stored == NULL)
		t->stored = mem_calloc(1, sizeof(struct shelf));
	return t->stored == NULL ? -ENOMEM : ring_reserve(&shelf_of(t)->ring, n);
}

static int
prepare_places(struct memory_store *s, const struct append *a, const struct message *m)
{
	struct log *l = s->store.log;
	int r = prepare_topic(l, m->topic, a->n, has_several(a));

	if (r == 0 && m->also_n > 0)
		r = prepare_topic(l, message_also(m), a->n, true);
	return r;
}

static int
prepare(struct memory_store *s, struct append *a)
{
	struct log *l = s->store.log;
	int r = log_reserve(l, a->n + 1);

	if (r == 0)
		r = ring_reserve(&s->shelves.all, a->n);
	for (unsigned i = 0; r == 0 && i < a->n; i++) {
		const struct message *m = a->items[i].message;

		if (a->items[i].what == APPEND_LATER) {
			r = prepare_later(s, &a->items[i], a->now_ms);
			continue;
		}
		if (!m->is_logged || !append_is_published(&a->items[i]))
			continue;
		r = prepare_places(s, a, m);
		if (r == 0 && m->key.n > 0)
			r = keys_reserve(&s->keys, m, a->now_ms);
	}
	return r;
}

static void
release_topics(struct log *l, const struct append *a)
{
	for (unsigned i = 0; has_several(a) && i < a->n; i++) {
		struct log_topic *topics[2];
		unsigned n = log_topics_of(l, a->items[i].message, topics);

		for (unsigned k = 0; k < n; k++)
			topics[k]->is_held = false;
	}
}

static void
note_stored(struct memory_store *s, struct log_topic *t, const struct message *m,
    uint32_t keep_count, uint64_t keep_ms, int64_t now_ms)
{
	if (m->target == 0)
		t->n_stored++;
	else
		t->n_changes++;
	t->last_id = m->id;
	if (t->first_id == 0)
		t->first_id = m->id;
	t->keep_count = keep_count;
	t->keep_ms = keep_ms;
	t->used_ms = now_ms;
	trim_topic(s, t, now_ms);
}

static void
store_message(struct memory_store *s, const struct append_item *item, int64_t now_ms)
{
	struct message *m = item->message;
	struct log_topic *t = log_topic_find(s->store.log, m->topic);
	struct log_topic *also =
	    m->also_n == 0 ? NULL : log_topic_find(s->store.log, message_also(m));

	shelves_push(&s->shelves, t->stored, m);
	if (also != NULL)
		shelf_push_also(also->stored, m);
	note_stored(s, t, m, m->keep_count, m->keep_ms, now_ms);
	if (also != NULL)
		note_stored(s, also, m, item->also_count, item->also_ms, now_ms);
}

/* --- changes --- */

/* 1: somebody takes back what he has not said, or says it again: nothing is appended. */
static int
is_no_news(const struct memory_store *s, struct append_item *item)
{
	const struct message *record = item->message;
	const struct message *before = change_index_find(&s->changes, record);

	if (record->kind != MESSAGE_REACTION ||
	    (before == NULL || before->is_off) != record->is_off)
		return 0;
	item->duplicate = true;
	item->id = before == NULL ? 0 : before->id;
	return 1;
}

/*
 * All that can fail. 0, and the target's new state and the record that this one makes void (NULL:
 * none), which stands in the index no more; 1 when it is no news; negative.
 */
static int
prepare_change(
    struct memory_store *s, struct append *a, struct message **changed, struct message **before)
{
	struct message *record = a->items[0].message;
	const struct message *target = shelves_find(&s->shelves, record->target);
	int r = log_reserve(s->store.log, 2);

	if (r < 0)
		return r;
	if (target == NULL || !change_is_for(target) || message_has_ended(target, a->now_ms))
		return -ENOENT;
	if (is_no_news(s, &a->items[0]))
		return 1;
	r = ring_reserve(&s->shelves.all, 1);
	if (r == 0)
		r = prepare_places(s, a, record);
	release_topics(s->store.log, a);
	if (r == 0)
		r = change_apply(target, record, changed);
	if (r < 0)
		return r;
	*before = change_index_find(&s->changes, record);
	r = change_index_add(&s->changes, record);
	if (r < 0)
		message_unref(*changed);
	return r;
}

/* A record that nobody needs any more; it stands in the index no more. */
static void
drop_record(struct memory_store *s, uint64_t id)
{
	struct log *l = s->store.log;
	struct message *m = shelves_find(&s->shelves, id);
	struct log_topic *topics[2];
	unsigned n = log_topics_of(l, m, topics);

	for (unsigned i = 0; i < n; i++)
		topics[i]->n_changes -= shelf_has(topics[i]->stored, id) ? 1 : 0;
	shelves_drop(&s->shelves, l, id);
	for (unsigned i = 0; i < n; i++)
		shrunk(topics[i], &shelf_of(topics[i])->ring, topics[i]->used_ms);
}

/* The target as it is now takes the place of what it was; takes the reference. */
static void
change(struct memory_store *s, struct append *a, struct message *changed, struct message *before)
{
	struct log *l = s->store.log;
	struct append_item *item = &a->items[0];
	struct message *record = item->message;

	if (before != NULL)
		drop_record(s, before->id);
	shelves_replace(&s->shelves, l, changed);
	message_unref(changed);
	while (record->kind == MESSAGE_DELETED &&
	       (before = change_index_other(&s->changes, record->target, record)) != NULL) {
		change_index_drop(&s->changes, before);
		drop_record(s, before->id);
	}
	item->id = log_next_id(l, (uint64_t)a->now_ms * 1000);
	message_commit(record, item->id);
	store_message(s, item, a->now_ms);
}

static int
append_change(struct memory_store *s, struct append *a, unsigned caller)
{
	struct log *l = s->store.log;
	struct message *changed = NULL;
	struct message *before = NULL;
	uint64_t wakes = 0;
	int r;

	log_lock(l);
	r = prepare_change(s, a, &changed, &before);
	if (r == 0) {
		change(s, a, changed, before);
		trim_all(s, a->now_ms);
	}
	if (r >= 0)
		log_publish(l, a, caller, &wakes);
	log_unlock(l);
	log_wake(l, wakes);
	return r < 0 ? r : 0;
}

static int
memory_append(struct store *store, struct append *a, unsigned caller)
{
	struct memory_store *s = of(store);
	struct log *l = store->log;
	uint64_t wakes = 0;
	int r;

	if (a->items[0].what == APPEND_CHANGE)
		return append_change(s, a, caller);
	log_lock(l);
	r = prepare(s, a);
	release_topics(l, a);
	if (r < 0) {
		schedule_give_up(l, a);
		log_unlock(l);
		return r;
	}
	for (unsigned i = 0; i < a->n; i++) {
		struct append_item *item = &a->items[i];
		struct message *m = item->message;

		if (!m->is_logged || item->duplicate || !append_is_published(item))
			continue;
		if (m->key.n > 0 && keys_find(&s->keys, m, &item->id)) {
			item->duplicate = true;
			continue;
		}
		item->id = log_next_id(l, (uint64_t)a->now_ms * 1000);
		message_commit(m, item->id);
		if (m->key.n > 0)
			keys_add(&s->keys, m, a->now_ms);
		store_message(s, item, a->now_ms);
	}
	trim_all(s, a->now_ms);
	log_publish(l, a, caller, &wakes);
	log_unlock(l);
	log_wake(l, wakes);
	return 0;
}

/* --- reading --- */

static void
memory_read(struct store *store, struct log_read *r)
{
	struct log *l = store->log;

	log_lock(l);
	if (!shelves_read(&of(store)->shelves, l, r))
		r->status = -EIO; /* never: all of it is here */
	if (r->mode == LOG_FORWARD)
		r->trimmed = log_trimmed(l, r->filters, r->n_filters, r->after);
	log_unlock(l);
	r->done(r);
}

/* --- life --- */

static int
memory_unread(struct store *store, const struct log_topic *t, struct log_unread *u)
{
	return t->stored == NULL ? 0 : shelf_unread(&of(store)->shelves, shelf_of(t), u);
}

static void
memory_extent(struct store *store, struct log_extent *out)
{
	const struct memory_store *s = of(store);

	out->messages = s->shelves.n_messages;
	out->bytes = shelves_bytes(&s->shelves);
}

static void
memory_free(struct store *store)
{
	struct memory_store *s = of(store);

	change_index_done(&s->changes);
	shelves_done(&s->shelves);
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
    .unread = memory_unread,
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
	change_index_init(&s->changes);
	return &s->store;
}
