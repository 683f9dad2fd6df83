/*
 * Positions (docs/wire.md, "Words"): where a reader wants to begin, as clients say it. Pure. Any
 * thread.
 */
#ifndef CORE_POSITION_H
#define CORE_POSITION_H

#include "base/slice.h"

enum position_kind {
	POSITION_NONE, /* nothing asked: live only */
	POSITION_LAST, /* the newest n */
	POSITION_ID,
	POSITION_TIME, /* since a wall-clock time */
	POSITION_ALL,
	POSITION_BAD, /* unreadable: told so, then live */
};

struct position {
	enum position_kind kind;
	uint64_t id;     /* POSITION_ID */
	int64_t time_ms; /* POSITION_TIME; wall clock */
	unsigned last;   /* POSITION_LAST */
};

#define POSITION_LAST_MAX 1000 /* messages */

/* `90s`, `10m`, `2h`, `7d`: milliseconds. 0 or -1. */
MUST_CHECK int duration_parse(struct slice s, uint64_t *out_ms);
/* `after` as text: an id, `10m`, an RFC 3339 time, `all`; anything else is POSITION_BAD. */
struct position position_parse(struct slice s, int64_t now_ms);

#endif
