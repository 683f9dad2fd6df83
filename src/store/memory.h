/*
 * The log in memory: rings of messages, bounded by each topic's rule and by bytes over all.
 * Append commits at once, under the log's lock; so do reads, in bounded steps. Keys
 * (idempotency) are remembered for a day, a bounded number of them.
 */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include "core/log.h"

/* max_bytes: of all messages (storage.cache); max_keys: storage.keys. NULL on no memory. */
MUST_CHECK struct store *memory_store_new(uint64_t max_bytes, uint64_t max_keys);

#endif
