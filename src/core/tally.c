#include "core/tally.h"

#include <errno.h>
#include <pthread.h>

#include "base/lock.h"
#include "base/map.h"
#include "base/mem.h"

struct tally_entry {
	struct slice key; /* behind the struct */
	uint32_t n;
};

struct tally {
	pthread_mutex_t lock; /* of the entries, too; taken last: under it no other is */
	struct map entries;
};

struct tally *
tally_new(void)
{
	struct tally *t = mem_alloc(sizeof(*t));

	if (t == NULL)
		return NULL;
	lock_init(&t->lock);
	map_init(&t->entries);
	return t;
}

void
tally_free(struct tally *t)
{
	struct tally_entry *e;
	size_t at = 0;

	if (t == NULL)
		return;
	while ((e = map_next(&t->entries, &at)) != NULL)
		mem_free(e);
	map_done(&t->entries);
	(void)pthread_mutex_destroy(&t->lock);
	mem_free(t);
}

static struct tally_entry *
entry_new(struct tally *t, struct slice key)
{
	struct tally_entry *e = mem_alloc(sizeof(*e) + key.n);

	if (e == NULL)
		return NULL;
	memcpy(e + 1, key.p, key.n);
	*e = (struct tally_entry){.key = slice_of((const char *)(e + 1), key.n)};
	if (map_set(&t->entries, e->key, e) < 0) {
		mem_free(e);
		return NULL;
	}
	return e;
}

int
tally_add(struct tally *t, struct slice key, uint32_t max, struct tally_entry **out)
{
	struct tally_entry *e;
	int r = 0;

	(void)pthread_mutex_lock(&t->lock);
	e = map_get(&t->entries, key);
	if (e != NULL && e->n >= max) {
		r = -EBUSY;
	} else if (e == NULL) {
		e = entry_new(t, key);
		r = e == NULL ? -ENOMEM : 0;
	}
	if (r == 0) {
		e->n++;
		*out = e;
	}
	(void)pthread_mutex_unlock(&t->lock);
	return r;
}

void
tally_remove(struct tally *t, struct tally_entry *e)
{
	if (e == NULL)
		return;
	(void)pthread_mutex_lock(&t->lock);
	if (--e->n == 0) {
		(void)map_remove(&t->entries, e->key);
		mem_free(e);
	}
	(void)pthread_mutex_unlock(&t->lock);
}
