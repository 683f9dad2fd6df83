/*
 * A hash map from bytes to pointers: open addressing, keyed SipHash-1-3 so that a peer cannot
 * choose colliding keys. The key's bytes are borrowed: they must live as long as the entry
 * (they usually lie inside the value). Not shared between threads without the owner's lock.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/slice.h"

struct map_entry {
	struct slice key;
	void *value; /* never NULL in use */
	uint32_t hash;
};

struct map {
	struct map_entry *entries;
	size_t n;    /* entries in use */
	size_t cap;  /* power of two, or 0 */
	uint64_t k0; /* hash key */
	uint64_t k1;
};

/* Keyed from the kernel's random numbers; allocates nothing. */
void map_init(struct map *m);
/* Frees the table; the values are the caller's. */
void map_done(struct map *m);
/* The value, or NULL. */
void *map_get(const struct map *m, struct slice key);
/*
 * Sets or replaces (then `key` replaces the borrowed key bytes too). value must not be NULL. 0,
 * or -ENOMEM.
 */
MUST_CHECK int map_set(struct map *m, struct slice key, void *value);
/* Removes and returns the value, or NULL. */
void *map_remove(struct map *m, struct slice key);
/*
 * Walk: start with *at = 0; returns the next value or NULL at the end. The current entry may be
 * removed only by collecting keys first: removal moves entries.
 */
void *map_next(const struct map *m, size_t *at);

/* SipHash-1-3 of bytes under a 128-bit key. */
uint64_t siphash13(const void *p, size_t n, uint64_t k0, uint64_t k1);

#endif
