#include "core/known_name.h"

#include <pthread.h>

#include "base/lock.h"
#include "base/mem.h"
#include "core/log_private.h"

struct known_name {
	TAILQ_ENTRY(known_name) link; /* by when it was noted */
	struct slice user_id;         /* behind the struct, as is the next */
	struct slice name;
};

struct known_names {
	pthread_mutex_t lock; /* taken last: under it no other is */
	struct map all;
	TAILQ_HEAD(, known_name) order;
};

struct known_names *
known_names_new(void)
{
	struct known_names *k = mem_calloc(1, sizeof(*k));

	if (k == NULL)
		return NULL;
	lock_init(&k->lock);
	map_init(&k->all);
	TAILQ_INIT(&k->order);
	return k;
}

static void
drop(struct known_names *k, struct known_name *e)
{
	(void)map_remove(&k->all, e->user_id);
	TAILQ_REMOVE(&k->order, e, link);
	mem_free(e);
}

void
known_names_free(struct known_names *k)
{
	if (k == NULL)
		return;
	while (!TAILQ_EMPTY(&k->order))
		drop(k, TAILQ_FIRST(&k->order));
	map_done(&k->all);
	(void)pthread_mutex_destroy(&k->lock);
	mem_free(k);
}

/* Under the lock. */
static void
add(struct known_names *k, struct message_from user)
{
	struct known_name *e = mem_alloc(sizeof(*e) + user.user_id.n + user.name.n);
	char *at;

	if (e == NULL)
		return;
	at = (char *)(e + 1);
	e->user_id = slice_place(&at, user.user_id);
	e->name = slice_place(&at, user.name);
	if (k->all.n >= KNOWN_NAMES_MAX)
		drop(k, TAILQ_FIRST(&k->order));
	if (map_set(&k->all, e->user_id, e) < 0) {
		mem_free(e);
		return;
	}
	TAILQ_INSERT_TAIL(&k->order, e, link);
}

void
known_name_note(struct log *l, struct message_from user)
{
	struct known_names *k = l->names;
	struct known_name *e;

	if (user.name.n == 0 || user.name.n > KNOWN_NAME_MAX || slice_eq(user.name, user.user_id))
		return;
	(void)pthread_mutex_lock(&k->lock);
	e = map_get(&k->all, user.user_id);
	if (e != NULL && slice_eq(e->name, user.name)) {
		TAILQ_REMOVE(&k->order, e, link);
		TAILQ_INSERT_TAIL(&k->order, e, link);
	} else {
		if (e != NULL)
			drop(k, e);
		add(k, user);
	}
	(void)pthread_mutex_unlock(&k->lock);
}

struct slice
known_name_of(struct log *l, struct slice user_id, char out[KNOWN_NAME_MAX])
{
	struct known_names *k = l->names;
	const struct known_name *e;
	struct slice name = SLICE_NONE;

	(void)pthread_mutex_lock(&k->lock);
	e = map_get(&k->all, user_id);
	if (e != NULL)
		name = slice_place(&out, e->name);
	(void)pthread_mutex_unlock(&k->lock);
	return name;
}
