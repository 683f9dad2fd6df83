/*
 * Something for another worker: base of the poster's own struct, so that posting cannot fail. It runs
 * there, soon, in order, with that worker's context (hub->owner).
 */
#ifndef CORE_INBOX_H
#define CORE_INBOX_H

#include "base/list.h"

struct serve;

struct inbox_item {
	TAILQ_ENTRY(inbox_item) link;
	void (*run)(struct serve *there, struct inbox_item *item);
};
TAILQ_HEAD(inbox, inbox_item);

/*
 * Something that visits every worker, one after the other, and comes home with what it found: base of
 * the asker's own struct, as inbox_item. One worker at a time has it, so that nothing in it needs a
 * lock. serve/tour.h sends it off.
 */
struct tour {
	struct inbox_item item; /* on its way */
	unsigned at;            /* the worker it visits */
	unsigned home;
	/* on each worker's thread */
	void (*visit)(struct serve *there, struct tour *t);
	/* at home, when it has been everywhere; it belongs to this from then on */
	void (*end)(struct serve *home, struct tour *t);
};

#endif
