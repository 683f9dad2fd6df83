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

#endif
