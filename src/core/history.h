/*
 * Pages of history (/history and the `history` command; docs/wire.md, "History"): ascending ids,
 * forward from `after` or backward from `before`, at most `limit` messages and 256 KiB. Worker
 * thread only.
 */
#ifndef CORE_HISTORY_H
#define CORE_HISTORY_H

#include "core/hub.h"
#include "core/position.h"

#define HISTORY_LIMIT      1000
#define HISTORY_DEFAULT    50
#define HISTORY_PAGE_BYTES (256 * 1024)

struct history_request {
	struct slice topic; /* pattern; borrowed during the call */
	struct slice search;
	uint64_t before;       /* 0: none */
	struct position after; /* POSITION_NONE: none */
	unsigned limit;        /* 1..HISTORY_LIMIT */
	struct slice bound;    /* see struct log_read; borrowed during the call */
	uint64_t user;         /* as there */
	/* set to what is read for it, until done is called, for log_read_forget; NULL: nobody does */
	struct log_read **read;
};

typedef void history_done(void *ctx, int status, struct slice messages, bool more);
/*
 * Read a page. done is called once, possibly before this returns: messages is a JSON array,
 * borrowed; status negative when the store failed. Returns 0, or -ENOMEM with no call of done.
 */
MUST_CHECK int history_read(
    struct hub *h, const struct history_request *request, history_done *done, void *ctx);

#endif
