#include <errno.h>

#include "base/mem.h"
#include "store/sqlite_private.h"

/* Which appends are in one transaction, and that nothing fails when it is committed. The writer's. */

static bool
has_room(const struct batch *b, const struct append *a)
{
	return b->n < SQLITE_BATCH_MAX && b->bytes < SQLITE_BATCH_BYTES &&
	       (b->room == 0 || b->n_items + a->n <= b->room);
}

/* Behind those that it has. */
static void
take_queued(struct sqlite_store *s, struct batch *b)
{
	size_t before = b->bytes;

	while (s->n_queued > 0 && has_room(b, s->queue[s->queue_at])) {
		struct append *a = s->queue[s->queue_at];

		s->queue_at = (s->queue_at + 1) % SQLITE_QUEUE_MAX;
		s->n_queued--;
		for (unsigned i = 0; i < a->n; i++)
			b->bytes += message_memory(a->items[i].message);
		b->n_items += a->n;
		b->now_ms = a->now_ms;
		b->appends[b->n++] = a;
	}
	s->queue_bytes -= min_size(b->bytes - before, s->queue_bytes);
}

void
sqlite_batch_begin(struct sqlite_store *s, struct batch *b)
{
	b->n = 0;
	b->n_ready = 0;
	b->bytes = 0;
	b->n_items = 0;
	b->n_items_ready = 0;
	b->room = 0;
	take_queued(s, b);
}

/* The topic of an item, with room for the message in memory. Under the log's lock. */
static int
prepare_topic(struct sqlite_store *s, struct slice name, struct log_topic **out)
{
	int r = 0;
	struct log_topic *t = log_topic_get(s->store.log, name, &r);
	struct disk_topic *d;

	if (t == NULL)
		return r;
	if (t->stored == NULL) {
		d = mem_calloc(1, sizeof(*d));
		if (d == NULL)
			return -ENOMEM;
		d->topic = t;
		t->stored = d;
	}
	d = disk_of(t);
	if (ring_promise(&d->shelf.ring, 1) < 0)
		return -ENOMEM;
	t->is_held = true; /* it is not forgotten while the batch is under way */
	*out = t;
	return 0;
}

static int
prepare_item(struct sqlite_store *s, const struct message *m, struct log_topic **out)
{
	struct log_topic *also;
	int r = prepare_topic(s, m->topic, out);

	if (r == 0 && m->also_n > 0)
		r = prepare_topic(s, message_also(m), &also);
	return r;
}

static int
prepare_any(struct sqlite_store *s, const struct append *a, struct append_item *item,
    struct log_topic **out)
{
	item->duplicate = false;
	if (item->what == APPEND_LATER)
		return schedule_prepare(s->store.log, item, a->now_ms);
	if (!item->message->is_logged || !append_is_published(item))
		return 0;
	return prepare_item(s, item->message, out);
}

/* Those that are new in it. Under the log's lock. */
static void
prepare_new(struct sqlite_store *s, struct batch *b)
{
	for (; b->n_ready < b->n; b->n_ready++) {
		struct append *a = b->appends[b->n_ready];

		a->status = 0;
		for (unsigned k = 0; k < a->n; k++) {
			struct log_topic **t = &b->topics[b->n_items_ready++];

			if (a->status == 0)
				a->status = prepare_any(s, a, &a->items[k], t);
		}
		if (a->status < 0)
			schedule_give_up(s->store.log, a);
	}
}

int
sqlite_batch_prepare(struct sqlite_store *s, struct batch *b)
{
	size_t room = b->n_items + SQLITE_BATCH_MAX;
	int r;

	TAILQ_INIT(&b->touched);
	TAILQ_INIT(&b->changed);
	b->topics = mem_calloc(room, sizeof(struct log_topic *));
	if (b->topics == NULL)
		return -ENOMEM;
	log_lock(s->store.log);
	r = ring_promise(&s->hot.all, room);
	if (r == 0)
		prepare_new(s, b);
	log_unlock(s->store.log);
	b->room = room;
	return r;
}

void
sqlite_batch_join(struct sqlite_store *s, struct batch *b)
{
	(void)pthread_mutex_lock(&s->lock);
	take_queued(s, b);
	(void)pthread_mutex_unlock(&s->lock);
	if (b->n_ready == b->n)
		return;
	log_lock(s->store.log);
	prepare_new(s, b);
	log_unlock(s->store.log);
}
