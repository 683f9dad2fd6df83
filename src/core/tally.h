/*
 * How many of something each key has now (connections of an address, of a user): a bounded count by
 * key, shared between threads under one short lock.
 */
#ifndef CORE_TALLY_H
#define CORE_TALLY_H

#include "base/slice.h"

struct tally;
struct tally_entry;

/* NULL on no memory. */
MUST_CHECK struct tally *tally_new(void);
/* NULL is fine; nothing may be counted any more. */
void tally_free(struct tally *t);
/*
 * One more of key, unless it has max already (max > 0). Returns 0 and *out, to be given back with
 * tally_remove; -EBUSY when it has max; -ENOMEM.
 */
MUST_CHECK int tally_add(struct tally *t, struct slice key, uint32_t max, struct tally_entry **out);
/* One less. NULL is fine. */
void tally_remove(struct tally *t, struct tally_entry *e);

#endif
