/*
 * Which records in memory change which message, and which of them counts (change_key of
 * core/change.h). Under the log's lock. The records are borrowed: who takes one out of the store says
 * so here first.
 */
#ifndef STORE_CHANGE_INDEX_H
#define STORE_CHANGE_INDEX_H

#include "base/map.h"
#include "core/change.h"

struct change_index {
	struct map by_key;
	struct map by_target;
};

void change_index_init(struct change_index *x);
void change_index_done(struct change_index *x);
/* The record with the key of this one; NULL when there is none. */
struct message *change_index_find(const struct change_index *x, const struct message *record);
/* Put it in; it takes the place of one with its key. 0 or -ENOMEM. */
MUST_CHECK int change_index_add(struct change_index *x, struct message *record);
/* It goes; unless another has its place already. */
void change_index_drop(struct change_index *x, const struct message *record);
/* Any record of a target but `but`; NULL when there is none. */
struct message *change_index_other(
    const struct change_index *x, uint64_t target, const struct message *but);

#endif
