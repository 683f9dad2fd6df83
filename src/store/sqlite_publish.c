#include "base/mem.h"
#include "store/sqlite_private.h"

/*
 * What a transaction has changed is made known: memory and the log's topics follow, then the messages
 * are linked into the tail. The writer's thread, under the log's lock.
 */

/* What went from the disk goes from memory. */
static void
drop_hot(struct sqlite_store *s, struct disk_topic *d)
{
	const struct change *c = &d->change;
	struct shelf *shelf = &d->shelf;

	if (c->ended_ms != 0)
		(void)shelves_take_ended(&s->hot, shelf, c->ended_ms, NULL, NULL);
	while (shelf->ring.n > 0 && ring_at(&shelf->ring, 0)->id <= c->cut_id)
		message_unref(shelves_pop(&s->hot, s->store.log, shelf));
	if (shelf->cold_id <= c->cut_id ||
	    shelf_count(shelf) >= d->topic->n_stored + d->topic->n_changes)
		shelf->cold_id = 0; /* nothing of it is left on the disk alone */
}

/* After its new messages were put in. */
static void
apply(struct sqlite_store *s, struct disk_topic *d, int64_t now_ms)
{
	struct log_topic *t = d->topic;
	struct change *c = &d->change;
	struct log *l = s->store.log;

	d->tid = c->tid;
	d->first_ms = c->first_ms;
	d->next_end_ms = c->next_end_ms;
	t->n_stored = t->n_stored + c->n_new - c->n_gone;
	t->n_changes = t->n_changes + c->n_new_changes - c->n_gone_changes;
	s->n_messages = s->n_messages + c->n_new - c->n_gone;
	t->first_id = t->n_stored + t->n_changes == 0 ? 0 : c->first_id;
	if (c->last_id != 0)
		t->last_id = c->last_id;
	if (c->n_new + c->n_new_changes > 0) { /* retention brings no rule, and may take long */
		t->keep_count = c->keep_count;
		t->keep_ms = c->keep_ms;
	}
	t->used_ms = now_ms;
	if (c->ended_ms != 0)
		d->ended_ms = c->ended_ms;
	if (c->cut_id > t->trimmed_id)
		t->trimmed_id = c->cut_id;
	l->trimmed = max_u64(l->trimmed, t->trimmed_id);
	drop_hot(s, d);
	c->is_in = false;
}

/* The oldest leave the memory; they are on the disk. */
static void
evict(struct sqlite_store *s)
{
	struct shelves *hot = &s->hot;

	while (shelves_bytes(hot) > s->options.cache && hot->all.n > 0) {
		struct disk_topic *d = disk_of(shelves_oldest(hot, s->store.log));
		struct message *m = shelves_pop(hot, s->store.log, &d->shelf);

		d->shelf.cold_id = m->id;
		hot->cold_id = m->id;
		message_unref(m);
	}
}

static void
push(struct sqlite_store *s, struct log_topic *t, struct message *m)
{
	shelves_push(&s->hot, shelf_of(t), m);
	if (m->also_n > 0)
		shelf_push_also(shelf_of(log_topic_find(s->store.log, message_also(m))), m);
}

static void
push_hot(struct sqlite_store *s, struct batch *b)
{
	size_t at = 0;

	for (unsigned i = 0; i < b->n; i++) {
		struct append *a = b->appends[i];

		for (unsigned k = 0; k < a->n; k++, at++) {
			if (a->status == 0 && b->topics[at] != NULL && !a->items[k].duplicate)
				push(s, b->topics[at], a->items[k].message);
		}
	}
}

static void
release(struct log_topic *t)
{
	if (t == NULL)
		return;
	t->is_held = false;
	if (t->stored != NULL)
		disk_of(t)->shelf.ring.promised = 0;
}

/* Those that have second topics were appended alone. */
static void
release_topics(struct log *l, struct batch *b)
{
	for (size_t i = 0; b->topics != NULL && i < b->n_items; i++)
		release(b->topics[i]);
	for (unsigned i = 0; i < b->n; i++) {
		const struct message *m = b->appends[i]->one.message;

		if (m != NULL && m->also_n > 0)
			release(log_topic_find(l, message_also(m)));
	}
}

void
sqlite_publish(struct sqlite_store *s, struct batch *b, int status)
{
	struct log *l = s->store.log;
	struct disk_topic *d;
	uint64_t wakes = 0;

	log_lock(l);
	for (unsigned i = 0; status < 0 && i < b->n; i++)
		b->appends[i]->status = status;
	if (status == 0) {
		l->last = b->last;
		push_hot(s, b);
	}
	sqlite_changed_apply(s, b, status == 0);
	while ((d = TAILQ_FIRST(&b->touched)) != NULL) {
		TAILQ_REMOVE(&b->touched, d, link);
		d->topic->is_held = false;
		d->change.is_in = false;
		if (status == 0)
			apply(s, d, b->now_ms);
	}
	release_topics(l, b);
	s->hot.all.promised = 0;
	for (unsigned i = 0; i < b->n; i++) {
		log_promised_done(l, b->appends[i]->n + 1);
		log_publish(l, b->appends[i], LOG_NO_WORKER, &wakes);
	}
	log_unlock(l);
	log_wake(l, wakes);
	log_lock(l); /* nobody waits for this */
	evict(s);
	log_unlock(l);
	mem_free(b->topics);
	b->topics = NULL;
}
