/*
 * A reader brings subscriptions that are behind what the log has from their cursor on, in
 * bounded steps as the queue drains, until they are level. Joining with `last` or `after`,
 * resuming and having been too slow are all this; there is no other replay code. Worker thread
 * only.
 */
#ifndef CORE_READER_H
#define CORE_READER_H

#include "core/hub.h"
#include "core/position.h"

/*
 * Start reading for a subscription (stream: for all subscriptions of the subscriber, sub NULL)
 * from a position. *resumed: nothing is missing after the id asked for. A gap is told through
 * ops->gap. What the subscriber has sent itself is included up to the hub's position, for it was asked
 * for. 0, or -ENOMEM.
 */
MUST_CHECK int reader_start(struct hub *h, struct subscriber *s, struct sub *sub,
    const struct position *from, bool *resumed);

/* The queue is full: every level subscription falls behind at the hub's position. */
void reader_fall_behind(struct hub *h, struct subscriber *s);

/*
 * One bounded step. False when it has nothing to do until something is drained or read. May
 * free r.
 */
bool reader_step(struct hub *h, struct reader *r);
/* It has something to do: hub_read lets it take a step. */
void reader_schedule(struct hub *h, struct reader *r);
/*
 * The first steps of a reader that has just begun, after the answer was given: most are level
 * then, and hear of the next to join as everybody else does.
 */
void reader_advance(struct hub *h, const struct sub *sub);
/* Drops a subscription from its reader, if it has one; frees a reader without any. */
void reader_drop(struct sub *sub);
/* The subscriber goes. */
void reader_free_all(struct subscriber *s);
/* A message of the tail was skipped for this sub because it is behind. */
void reader_skipped(struct sub *sub, const struct message *m);

#endif
