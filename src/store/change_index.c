#include "store/change_index.h"

#include <errno.h>

#include "base/list.h"
#include "base/mem.h"

struct entry {
	struct message *record;
	struct of_target *of;
	LIST_ENTRY(entry) link;
	struct slice key; /* behind the struct */
};

struct of_target {
	uint64_t target;
	LIST_HEAD(, entry) entries;
};

void
change_index_init(struct change_index *x)
{
	map_init(&x->by_key);
	map_init(&x->by_target);
}

void
change_index_done(struct change_index *x)
{
	void *p;
	size_t at = 0;

	while ((p = map_next(&x->by_key, &at)) != NULL)
		mem_free(p);
	at = 0;
	while ((p = map_next(&x->by_target, &at)) != NULL)
		mem_free(p);
	map_done(&x->by_key);
	map_done(&x->by_target);
}

static struct slice
target_key(const uint64_t *target)
{
	return slice_of((const char *)target, sizeof(*target));
}

static struct entry *
find(const struct change_index *x, const struct message *record)
{
	char text[CHANGE_KEY_MAX];

	return map_get(&x->by_key, change_key(record, text));
}

struct message *
change_index_find(const struct change_index *x, const struct message *record)
{
	const struct entry *e = find(x, record);

	return e == NULL ? NULL : e->record;
}

static struct of_target *
get_target(struct change_index *x, uint64_t target)
{
	struct of_target *of = map_get(&x->by_target, target_key(&target));

	if (of != NULL)
		return of;
	of = mem_alloc(sizeof(*of));
	if (of == NULL)
		return NULL;
	of->target = target;
	LIST_INIT(&of->entries);
	if (map_set(&x->by_target, target_key(&of->target), of) < 0) {
		mem_free(of);
		return NULL;
	}
	return of;
}

static void
free_if_empty(struct change_index *x, struct of_target *of)
{
	if (of == NULL || !LIST_EMPTY(&of->entries))
		return;
	(void)map_remove(&x->by_target, target_key(&of->target));
	mem_free(of);
}

int
change_index_add(struct change_index *x, struct message *record)
{
	char text[CHANGE_KEY_MAX];
	struct slice key = change_key(record, text);
	struct entry *e = map_get(&x->by_key, key);
	struct of_target *of;

	if (e != NULL) {
		e->record = record;
		return 0;
	}
	of = get_target(x, record->target);
	e = of == NULL ? NULL : mem_alloc(sizeof(*e) + key.n);
	if (e == NULL) {
		free_if_empty(x, of);
		return -ENOMEM;
	}
	memcpy(e + 1, key.p, key.n);
	*e = (struct entry){
	    .record = record, .of = of, .key = slice_of((const char *)(e + 1), key.n)};
	if (map_set(&x->by_key, e->key, e) < 0) {
		mem_free(e);
		free_if_empty(x, of);
		return -ENOMEM;
	}
	LIST_INSERT_HEAD(&of->entries, e, link);
	return 0;
}

void
change_index_drop(struct change_index *x, const struct message *record)
{
	struct entry *e = find(x, record);

	if (e == NULL || e->record != record)
		return;
	(void)map_remove(&x->by_key, e->key);
	LIST_REMOVE(e, link);
	free_if_empty(x, e->of);
	mem_free(e);
}

struct message *
change_index_other(const struct change_index *x, uint64_t target, const struct message *but)
{
	const struct of_target *of = map_get(&x->by_target, target_key(&target));
	const struct entry *e = of == NULL ? NULL : LIST_FIRST(&of->entries);

	if (e != NULL && e->record == but)
		e = LIST_NEXT(e, link);
	return e == NULL ? NULL : e->record;
}
