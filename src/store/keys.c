#include "store/keys.h"

#include <errno.h>

#include "base/mem.h"

struct key_entry {
	TAILQ_ENTRY(key_entry) order;
	uint64_t id; /* 0: reserved, not committed */
	int64_t time_ms;
	struct slice text; /* user NUL topic NUL key, behind the struct */
};

/* The parts hold no NUL, so the text is unambiguous. */
struct slice
key_text(const struct message *m, char out[KEY_TEXT_MAX])
{
	const struct slice parts[] = {m->user_id, m->topic, m->key};
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		size_t part = min_size(parts[i].n, KEY_TEXT_MAX - 1 - n);

		if (part > 0)
			memcpy(out + n, parts[i].p, part);
		n += part;
		if (n < KEY_TEXT_MAX - 1)
			out[n++] = '\0';
	}
	return slice_of(out, n);
}

void
keys_init(struct keys *k, uint64_t max)
{
	map_init(&k->map);
	TAILQ_INIT(&k->order);
	TAILQ_INIT(&k->spare);
	k->n = 0;
	k->max = max;
}

static void
drop(struct keys *k, struct key_list *from, struct key_entry *e)
{
	TAILQ_REMOVE(from, e, order);
	if (e->id != 0)
		k->n--;
	if (map_get(&k->map, e->text) == e)
		(void)map_remove(&k->map, e->text);
	mem_free(e);
}

void
keys_done(struct keys *k)
{
	struct key_entry *e;

	while ((e = TAILQ_FIRST(&k->order)) != NULL)
		drop(k, &k->order, e);
	while ((e = TAILQ_FIRST(&k->spare)) != NULL)
		drop(k, &k->spare, e);
	map_done(&k->map);
}

int
keys_reserve(struct keys *k, const struct message *m, int64_t now_ms)
{
	char text[KEY_TEXT_MAX];
	struct slice key = key_text(m, text);
	struct key_entry *e = map_get(&k->map, key);

	if (e != NULL && e->id != 0 && e->time_ms + KEYS_LIFE_MS <= now_ms) {
		drop(k, &k->order, e);
		e = NULL;
	}
	if (e != NULL)
		return 0;
	e = mem_alloc(sizeof(*e) + key.n);
	if (e == NULL)
		return -ENOMEM;
	memcpy(e + 1, key.p, key.n);
	*e = (struct key_entry){.text = slice_of((const char *)(e + 1), key.n)};
	if (map_set(&k->map, e->text, e) < 0) {
		mem_free(e);
		return -ENOMEM;
	}
	TAILQ_INSERT_TAIL(&k->spare, e, order);
	return 0;
}

bool
keys_find(const struct keys *k, const struct message *m, uint64_t *id)
{
	char text[KEY_TEXT_MAX];
	const struct key_entry *e = map_get(&k->map, key_text(m, text));

	if (e == NULL || e->id == 0)
		return false;
	*id = e->id;
	return true;
}

void
keys_add(struct keys *k, const struct message *m, int64_t now_ms)
{
	char text[KEY_TEXT_MAX];
	struct key_entry *e = map_get(&k->map, key_text(m, text));

	if (e == NULL || e->id != 0)
		return;
	e->id = m->id;
	e->time_ms = now_ms;
	TAILQ_REMOVE(&k->spare, e, order);
	TAILQ_INSERT_TAIL(&k->order, e, order);
	k->n++;
	if (k->max != 0 && k->n > k->max)
		drop(k, &k->order, TAILQ_FIRST(&k->order));
}

void
keys_expire(struct keys *k, int64_t now_ms)
{
	struct key_entry *e;

	while ((e = TAILQ_FIRST(&k->spare)) !=
	       NULL) /* of batches that failed half-way through their preparation */
		drop(k, &k->spare, e);
	while ((e = TAILQ_FIRST(&k->order)) != NULL && e->time_ms + KEYS_LIFE_MS <= now_ms)
		drop(k, &k->order, e);
}
