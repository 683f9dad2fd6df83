#include "base/map.h"

#include <endian.h>
#include <errno.h>

#include "base/mem.h"
#include "base/rng.h"

#define MAP_FIRST_CAP 16

static inline uint64_t
rotl(uint64_t v, unsigned by)
{
	return v << by | v >> (64 - by);
}

struct sip {
	uint64_t a, b, c, d;
};

/* By value, so that the state stays in registers: a third of the time. */
static inline struct sip
sip_round(struct sip v)
{
	v.a += v.b;
	v.b = rotl(v.b, 13) ^ v.a;
	v.a = rotl(v.a, 32);
	v.c += v.d;
	v.d = rotl(v.d, 16) ^ v.c;
	v.a += v.d;
	v.d = rotl(v.d, 21) ^ v.a;
	v.c += v.b;
	v.b = rotl(v.b, 17) ^ v.c;
	v.c = rotl(v.c, 32);
	return v;
}

static inline struct sip
sip_word(struct sip v, uint64_t word)
{
	v.d ^= word;
	v = sip_round(v);
	v.a ^= word;
	return v;
}

uint64_t
siphash13(const void *p, size_t n, uint64_t k0, uint64_t k1)
{
	const char *at = p;
	struct sip v = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
	    k1 ^ 0x7465646279746573};
	uint64_t word = 0;
	size_t left = n;

	for (; left >= 8; left -= 8, at += 8) {
		memcpy(&word, at, 8);
		v = sip_word(v, le64toh(word));
	}
	v = sip_word(v, (uint64_t)n << 56 | bytes_short(at, left));
	v.c ^= 0xff;
	v = sip_round(sip_round(sip_round(v)));
	return v.a ^ v.b ^ v.c ^ v.d;
}

void
map_init(struct map *m)
{
	uint64_t key[2];

	rng_fill(key, sizeof(key)); /* in one system call */
	*m = (struct map){.k0 = key[0], .k1 = key[1]};
}

void
map_done(struct map *m)
{
	mem_free(m->entries);
	m->entries = NULL;
	m->n = 0;
	m->cap = 0;
}

static uint32_t
hash_key(const struct map *m, struct slice key)
{
	return (uint32_t)siphash13(key.p, key.n, m->k0, m->k1);
}

/* The slot that holds the key, or the empty slot where it would go. cap > 0 and never full. */
static size_t
find_slot(const struct map *m, struct slice key, uint32_t hash)
{
	size_t at = hash & (m->cap - 1);

	while (m->entries[at].value != NULL) {
		if (m->entries[at].hash == hash && slice_eq(m->entries[at].key, key))
			return at;
		at = (at + 1) & (m->cap - 1);
	}
	return at;
}

void *
map_get(const struct map *m, struct slice key)
{
	if (m->n == 0)
		return NULL;
	return m->entries[find_slot(m, key, hash_key(m, key))].value;
}

static int
grow(struct map *m)
{
	struct map bigger = *m;

	bigger.cap = m->cap == 0 ? MAP_FIRST_CAP : m->cap * 2;
	bigger.entries = mem_calloc(bigger.cap, sizeof(*bigger.entries));
	if (bigger.entries == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < m->cap; i++) {
		const struct map_entry *e = &m->entries[i];

		if (e->value != NULL)
			bigger.entries[find_slot(&bigger, e->key, e->hash)] = *e;
	}
	mem_free(m->entries);
	*m = bigger;
	return 0;
}

int
map_set(struct map *m, struct slice key, void *value)
{
	uint32_t hash = hash_key(m, key);
	size_t at;

	if (m->n + 1 > m->cap - m->cap / 4) {
		int r = grow(m);

		if (r < 0)
			return r;
	}
	at = find_slot(m, key, hash);
	if (m->entries[at].value == NULL)
		m->n++;
	m->entries[at] = (struct map_entry){key, value, hash};
	return 0;
}

void *
map_remove(struct map *m, struct slice key)
{
	void *value;
	size_t hole;
	size_t at;

	if (m->n == 0)
		return NULL;
	hole = find_slot(m, key, hash_key(m, key));
	value = m->entries[hole].value;
	if (value == NULL)
		return NULL;
	m->n--;
	/* Close the hole: move back what had been pushed past it (Knuth 6.4, algorithm R). */
	for (at = (hole + 1) & (m->cap - 1); m->entries[at].value != NULL;
	     at = (at + 1) & (m->cap - 1)) {
		size_t home = m->entries[at].hash & (m->cap - 1);

		if (((at - home) & (m->cap - 1)) >= ((at - hole) & (m->cap - 1))) {
			m->entries[hole] = m->entries[at];
			hole = at;
		}
	}
	m->entries[hole] = (struct map_entry){0};
	return value;
}

void *
map_next(const struct map *m, size_t *at)
{
	while (*at < m->cap) {
		void *value = m->entries[(*at)++].value;

		if (value != NULL)
			return value;
	}
	return NULL;
}
