#include "core/slow.h"

#include <pthread.h>

#include "base/lock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"

#define SETS 4096 /* a power of two */
#define WAYS 4    /* places of a set */

struct spoken {
	uint64_t who; /* hash of user and room; 0: nobody */
	uint64_t key; /* of the key; 0: it had none */
	uint64_t at_ms;
};

struct slow {
	pthread_mutex_t lock; /* of `all`; taken last: under it no other is */
	uint64_t k0;
	uint64_t k1;
	struct spoken *all; /* SETS * WAYS of them, made at the first need */
};

struct slow *
slow_new(void)
{
	struct slow *s = mem_calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	lock_init(&s->lock);
	s->k0 = rng_u64();
	s->k1 = rng_u64();
	return s;
}

void
slow_free(struct slow *s)
{
	if (s == NULL)
		return;
	(void)pthread_mutex_destroy(&s->lock);
	mem_free(s->all);
	mem_free(s);
}

/* Never 0. */
static uint64_t
hash(const struct slow *s, struct slice text, uint64_t salt)
{
	return siphash13(text.p, text.n, s->k0 ^ salt, s->k1) | 1;
}

/* The user's place, or the one to be taken: of the set, who spoke longest ago. */
static struct spoken *
place_of(struct slow *s, uint64_t who)
{
	struct spoken *set = &s->all[(who >> 1 & (SETS - 1)) * WAYS];
	struct spoken *found = set;

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].who == who)
			return &set[i];
		if (set[i].who == 0 || (found->who != 0 && set[i].at_ms < found->at_ms))
			found = &set[i];
	}
	return found;
}

uint64_t
slow_take(struct slow *s, struct slice user, struct slice topic, struct slice key,
    uint64_t every_ms, uint64_t now_ms)
{
	uint64_t who = hash(s, user, hash(s, topic, 0));
	uint64_t key_hash = key.n > 0 ? hash(s, key, 0) : 0;
	uint64_t wait_ms = 0;
	struct spoken *at;

	(void)pthread_mutex_lock(&s->lock);
	if (s->all == NULL)
		s->all = mem_calloc((size_t)SETS * WAYS, sizeof(*s->all));
	if (s->all == NULL) { /* without memory nobody is held up */
		(void)pthread_mutex_unlock(&s->lock);
		return 0;
	}
	at = place_of(s, who);
	if (at->who == who && now_ms < at->at_ms + every_ms)
		wait_ms = at->at_ms + every_ms - now_ms;
	if (wait_ms > 0 && key_hash != 0 && key_hash == at->key)
		wait_ms = 0;
	else if (wait_ms == 0)
		*at = (struct spoken){who, key_hash, now_ms};
	(void)pthread_mutex_unlock(&s->lock);
	return wait_ms;
}
