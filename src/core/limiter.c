#include "core/limiter.h"

#include <arpa/inet.h>
#include <pthread.h>

#include "base/list.h"
#include "base/lock.h"
#include "base/map.h"
#include "base/mem.h"

#define NS_PER_MS 1000000U

uint64_t
bucket_take(struct bucket *b, struct rate rate, uint32_t n, uint64_t now_ms)
{
	uint64_t now = now_ms * NS_PER_MS;
	uint64_t each;
	uint64_t room;
	uint64_t full;

	if (rate.count == 0)
		return 0;
	each = (uint64_t)rate.per_ms * NS_PER_MS / rate.count;
	room = each * max_u64(max_u64(rate.burst, 1), n);
	full = max_u64(b->full_ns, now) + each * n;
	if (full > now + room)
		return (full - now - room + NS_PER_MS - 1) / NS_PER_MS;
	b->full_ns = full;
	return 0;
}

uint32_t
limiter_retry_s(uint64_t wait_ms)
{
	return (uint32_t)max_u64(1, min_u64((wait_ms + 999) / 1000, UINT32_MAX));
}

struct keyed {
	TAILQ_ENTRY(keyed) link; /* least recently used first */
	struct bucket bucket;
	size_t n;
	char key[]; /* n bytes */
};

TAILQ_HEAD(keyed_list, keyed);

struct limiter {
	pthread_mutex_t lock; /* of all below, but max_keys; taken last: under it no other is */
	struct map map;
	struct keyed_list used;
	size_t max_keys;
};

struct limiter *
limiter_new(size_t max_keys)
{
	struct limiter *l = mem_calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	lock_init(&l->lock);
	map_init(&l->map);
	TAILQ_INIT(&l->used);
	l->max_keys = max_size(max_keys, 1);
	return l;
}

static void
forget_oldest(struct limiter *l)
{
	struct keyed *k = TAILQ_FIRST(&l->used);

	TAILQ_REMOVE(&l->used, k, link);
	(void)map_remove(&l->map, slice_of(k->key, k->n));
	mem_free(k);
}

void
limiter_free(struct limiter *l)
{
	if (l == NULL)
		return;
	while (!TAILQ_EMPTY(&l->used))
		forget_oldest(l);
	map_done(&l->map);
	(void)pthread_mutex_destroy(&l->lock);
	mem_free(l);
}

/* The key's entry, made when it is new; NULL on no memory. */
static struct keyed *
find_or_add(struct limiter *l, struct slice key)
{
	struct keyed *k = map_get(&l->map, key);

	if (k != NULL) {
		TAILQ_REMOVE(&l->used, k, link);
		TAILQ_INSERT_TAIL(&l->used, k, link);
		return k;
	}
	if (l->map.n >= l->max_keys)
		forget_oldest(l);
	k = mem_calloc(1, sizeof(*k) + key.n);
	if (k == NULL)
		return NULL;
	k->n = key.n;
	memcpy(k->key, key.p, key.n);
	if (map_set(&l->map, slice_of(k->key, k->n), k) < 0) {
		mem_free(k);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&l->used, k, link);
	return k;
}

uint64_t
limiter_take(struct limiter *l, struct slice key, struct rate rate, uint32_t n, uint64_t now_ms)
{
	struct keyed *k;
	uint64_t wait_ms = 1000;

	if (rate.count == 0)
		return 0;
	if (key.p == NULL)
		key = SLICE("");
	key.n = min_size(key.n, LIMITER_KEY_MAX);
	(void)pthread_mutex_lock(&l->lock);
	k = find_or_add(l, key);
	if (k != NULL)
		wait_ms = bucket_take(&k->bucket, rate, n, now_ms);
	(void)pthread_mutex_unlock(&l->lock);
	return wait_ms;
}

struct slice
limiter_address_key(const char *address, char out[LIMITER_KEY_MAX])
{
	struct in6_addr v6;
	struct slice text = slice_str(address);

	if (inet_pton(AF_INET6, address, &v6) == 1 && !IN6_IS_ADDR_V4MAPPED(&v6)) {
		out[0] = '6'; /* no text starts with that and eight such bytes by chance */
		memcpy(out + 1, v6.s6_addr, 8);
		return slice_of(out, 9);
	}
	if (strncasecmp(address, "::ffff:", 7) == 0 && strchr(address, '.') != NULL)
		text = slice_skip(text, 7);
	text.n = min_size(text.n, LIMITER_KEY_MAX);
	memcpy(out, text.p, text.n);
	return slice_of(out, text.n);
}

size_t
limiter_count(struct limiter *l)
{
	size_t n;

	(void)pthread_mutex_lock(&l->lock);
	n = l->map.n;
	(void)pthread_mutex_unlock(&l->lock);
	return n;
}
