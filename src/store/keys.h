/*
 * Idempotency keys: (user, topic, key) → the id of the first message, for a day, a bounded
 * number of them, the oldest out first. Under the log's lock.
 */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#include "base/list.h"
#include "base/map.h"
#include "core/message.h"

#define KEYS_LIFE_MS ((int64_t)24 * 3600 * 1000)

#define KEY_TEXT_MAX 512 /* user 128, topic 200, key 64, two NULs */

/* `user NUL topic NUL key` of a message: what its key is unique by. */
struct slice key_text(const struct message *m, char out[KEY_TEXT_MAX]);

TAILQ_HEAD(key_list, key_entry);

struct keys {
	struct map map;
	struct key_list order; /* the oldest first */
	uint64_t n;            /* in order */
	uint64_t max;
	struct key_list spare; /* reserved entries, not yet in use */
};

void keys_init(struct keys *k, uint64_t max);
void keys_done(struct keys *k);
/* Makes an entry so that keys_add of this message cannot fail. 0 or -ENOMEM. */
MUST_CHECK int keys_reserve(struct keys *k, const struct message *m, int64_t now_ms);
/* Was this key used on this topic by this user within the day? *id: by which message. */
bool keys_find(const struct keys *k, const struct message *m, uint64_t *id);
/* Remember m (its id set). */
void keys_add(struct keys *k, const struct message *m, int64_t now_ms);
void keys_expire(struct keys *k, int64_t now_ms);

#endif
