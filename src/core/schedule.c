#include <errno.h>

#include "base/mem.h"
#include "core/log_private.h"
#include "core/moderation.h"

/*
 * Messages that are put off until a time (docs/wire.md, "Later"). They lie in memory, in order, and
 * in the store, which writes down that one is there and takes it away in the same step that
 * publishes it.
 */

#define FIRE_AT_ONCE 64 /* appends that one tick makes */

static size_t
entry_bytes(const struct scheduled *e)
{
	return sizeof(*e) + message_memory(e->message);
}

static void
insert(struct log *l, struct scheduled *e)
{
	struct scheduled *before = TAILQ_LAST(&l->scheduled, scheduled_list);

	while (before != NULL && (before->at_ms > e->at_ms ||
				     (before->at_ms == e->at_ms && before->number > e->number)))
		before = TAILQ_PREV(before, scheduled_list, link);
	if (before == NULL)
		TAILQ_INSERT_HEAD(&l->scheduled, e, link);
	else
		TAILQ_INSERT_AFTER(&l->scheduled, before, e, link);
}

static struct scheduled *
entry_new(struct log *l, uint64_t number, int64_t at_ms, struct message *m)
{
	struct scheduled *e = mem_calloc(1, sizeof(*e));

	if (e == NULL)
		return NULL;
	e->number = number;
	e->at_ms = at_ms;
	e->message = m;
	l->n_scheduled++;
	l->scheduled_bytes += entry_bytes(e);
	l->last_number = max_u64(l->last_number, number);
	return e;
}

static void
entry_free(struct log *l, struct scheduled *e)
{
	l->n_scheduled--;
	l->scheduled_bytes -= entry_bytes(e);
	message_unref(e->message);
	mem_free(e);
}

static size_t
count_of_user(const struct scheduled_list *list, struct slice user_id)
{
	const struct scheduled *e;
	size_t n = 0;

	TAILQ_FOREACH (e, list, link)
		n += slice_eq(e->message->user_id, user_id);
	return n;
}

/* The number of one with the same user, topic and key; 0: none. */
static uint64_t
find_key(const struct scheduled_list *list, const struct message *m)
{
	const struct scheduled *e;

	TAILQ_FOREACH (e, list, link) {
		if (slice_eq(e->message->key, m->key) && slice_eq(e->message->topic, m->topic) &&
		    slice_eq(e->message->user_id, m->user_id))
			return e->number;
	}
	return 0;
}

int
schedule_prepare(struct log *l, struct append_item *item, int64_t now_ms)
{
	uint64_t number = max_u64(l->last_number + 1, (uint64_t)now_ms * 1000);
	const struct message *m = item->message;
	uint64_t known = m->key.n == 0 ? 0 : find_key(&l->scheduled, m);

	if (known == 0 && m->key.n > 0)
		known = find_key(&l->coming, m);
	if (known != 0) {
		item->id = known;
		item->duplicate = true;
		return 0;
	}
	if (l->n_scheduled >= l->max_scheduled || l->scheduled_bytes >= LOG_SCHEDULED_BYTES)
		return -EDQUOT;
	if (count_of_user(&l->scheduled, m->user_id) + count_of_user(&l->coming, m->user_id) >=
	    l->max_scheduled_user)
		return -EUSERS;
	item->entry = entry_new(l, number, item->at_ms, item->message);
	if (item->entry == NULL)
		return -ENOMEM;
	(void)message_ref(item->message);
	item->entry->is_coming = true;
	TAILQ_INSERT_TAIL(&l->coming, item->entry, link);
	item->id = number;
	return 0;
}

/* It has arrived, or it does not. */
static void
stop_coming(struct log *l, struct scheduled *e)
{
	if (e->is_coming)
		TAILQ_REMOVE(&l->coming, e, link);
	e->is_coming = false;
}

void
schedule_add(struct log *l, struct append_item *item)
{
	stop_coming(l, item->entry);
	insert(l, item->entry);
	item->entry = NULL;
}

void
schedule_drop(struct log *l, struct append_item *item)
{
	if (item->entry != NULL) {
		stop_coming(l, item->entry);
		entry_free(l, item->entry);
	}
	item->entry = NULL;
}

void
schedule_give_up(struct log *l, struct append *a)
{
	for (unsigned i = 0; i < a->n; i++) {
		if (a->items[i].what == APPEND_LATER)
			schedule_drop(l, &a->items[i]);
	}
}

int
schedule_load(struct log *l, uint64_t number, int64_t at_ms, struct message *m)
{
	struct scheduled *e = entry_new(l, number, at_ms, m);

	if (e == NULL) {
		message_unref(m);
		return -ENOMEM;
	}
	insert(l, e);
	return 0;
}

void
schedule_free(struct log *l)
{
	struct scheduled *e;

	while ((e = TAILQ_FIRST(&l->scheduled)) != NULL) {
		TAILQ_REMOVE(&l->scheduled, e, link);
		entry_free(l, e);
	}
}

/* An append about an entry, which leaves the list; NULL and it stays. */
static struct append *
take_out(struct log *l, struct scheduled *e, enum append_what what)
{
	struct append *a = append_new(1);

	if (a == NULL)
		return NULL;
	TAILQ_REMOVE(&l->scheduled, e, link);
	a->one = (struct append_item){.message = message_ref(e->message),
	    .id = e->number,
	    .what = (uint8_t)what,
	    .at_ms = e->at_ms,
	    .entry = e};
	return a;
}

struct append *
log_cancel(struct log *l, uint64_t number, struct slice user_id, int *status)
{
	struct append *a = NULL;
	struct scheduled *e;

	*status = -ENOENT;
	log_lock(l);
	TAILQ_FOREACH (e, &l->scheduled, link) {
		if (e->number == number &&
		    (user_id.p == NULL || slice_eq(e->message->user_id, user_id)))
			break;
	}
	if (e != NULL) {
		*status = -ENOMEM;
		a = take_out(l, e, APPEND_CANCEL);
	}
	log_unlock(l);
	return a;
}

void
log_each_scheduled(struct log *l, bool (*each)(const struct log_scheduled *s, void *ctx), void *ctx)
{
	const struct scheduled *e;

	log_lock(l);
	TAILQ_FOREACH (e, &l->scheduled, link) {
		struct log_scheduled s = {e->number, e->at_ms, e->message};

		if (!each(&s, ctx))
			break;
	}
	log_unlock(l);
}

/* By then its sender may have been banned or muted. */
static bool
is_silenced(struct log *l, const struct message *m, int64_t now_ms)
{
	return moderation_silences(l, m->topic, m->user_id, now_ms);
}

void
log_fire(struct log *l, int64_t now_ms)
{
	for (unsigned i = 0; i < FIRE_AT_ONCE; i++) {
		struct append *a = NULL;
		struct scheduled *e;

		log_lock(l);
		e = TAILQ_FIRST(&l->scheduled);
		if (e != NULL && e->at_ms <= now_ms)
			a = take_out(
			    l, e, is_silenced(l, e->message, now_ms) ? APPEND_CANCEL : APPEND_DUE);
		if (a != NULL)
			message_set_time(e->message, now_ms); /* it is heard now */
		log_unlock(l);
		if (a == NULL)
			return;
		a->worker = LOG_NO_WORKER;
		a->now_ms = now_ms;
		if (log_append(l, a, LOG_NO_WORKER) < 0) {
			append_free(a); /* it has its place in the list again */
			return;
		}
	}
}
