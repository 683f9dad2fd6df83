/*
 * Slow mode (the rule `slow`): when each user has last spoken in each room, shared by the workers under
 * one short lock, which only rooms with such a rule take. Bounded: of too many the one who spoke longest
 * ago is forgotten. Any thread.
 */
#ifndef CORE_SLOW_H
#define CORE_SLOW_H

#include "base/slice.h"

struct slow;

/* NULL on no memory. */
MUST_CHECK struct slow *slow_new(void);
/* NULL is fine. */
void slow_free(struct slow *s);
/*
 * A user wants to speak now (now_ms, monotonic): 0, and it is noted; or the milliseconds after which
 * that is allowed again. A message with the key (absent: none) of the user's last one is that one sent
 * again, which the store will know: it may pass.
 */
uint64_t slow_take(struct slow *s, struct slice user, struct slice topic, struct slice key,
    uint64_t every_ms, uint64_t now_ms);

#endif
