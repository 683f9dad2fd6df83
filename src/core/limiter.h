/*
 * Rates: a token bucket of eight bytes, and a bounded table of them by key (addresses, users).
 * The time is given, in milliseconds of one monotonic clock.
 *
 * The bucket is kept as the time at which it will be full again (the generic cell rate
 * algorithm), so that an all-zero bucket is a full one and nothing needs a timer.
 */
#ifndef CORE_LIMITER_H
#define CORE_LIMITER_H

#include "base/slice.h"

struct rate {
	uint32_t count;  /* so many … ; 0: no limit */
	uint32_t per_ms; /* … in this time; > 0 */
	uint32_t burst;  /* at once, from a full bucket; at least 1 counts */
};

struct bucket {
	uint64_t full_ns; /* when it is full again */
};

/*
 * Take n (>= 1) at now_ms. Returns 0 when they were there, else the milliseconds (>= 1) after
 * which the same would succeed; then nothing was taken. More than a burst is let through from a
 * full bucket only, which is then that much longer in coming back.
 */
uint64_t bucket_take(struct bucket *b, struct rate rate, uint32_t n, uint64_t now_ms);

/* Seconds for Retry-After: rounded up, at least 1. */
uint32_t limiter_retry_s(uint64_t wait_ms);

/*
 * Buckets by key; shared between threads (one short lock). When full, the one unused for
 * longest is forgotten.
 */
struct limiter;

#define LIMITER_KEY_MAX 128 /* bytes of a key that count */

/* NULL on no memory. */
MUST_CHECK struct limiter *limiter_new(size_t max_keys);
/* NULL is fine. */
void limiter_free(struct limiter *l);
/* As bucket_take on the key's bucket. Out of memory counts as empty: try again in a second. */
uint64_t limiter_take(
    struct limiter *l, struct slice key, struct rate rate, uint32_t n, uint64_t now_ms);
/*
 * The key of a peer address in text: a /64 is one household, so of IPv6 only the network
 * counts; v4 (mapped or not) whole. Anything else is its own key. Writes into out and returns
 * the key's bytes.
 */
struct slice limiter_address_key(const char *address, char out[LIMITER_KEY_MAX]);
/* Keys held now. */
size_t limiter_count(struct limiter *l);

#endif
