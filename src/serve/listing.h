/*
 * The lists of /api, `{"NAME":[…],"more":false}`: bounded, and written as they are walked. Worker thread
 * only.
 */
#ifndef SERVE_LISTING_H
#define SERVE_LISTING_H

#include "base/buf.h"
#include "net/exchange.h"

#define LISTING_MAX 1000 /* elements */

struct listing {
	struct buf out; /* failures stick until listing_reply */
	size_t n;
	size_t max; /* elements; LISTING_MAX or less */
	bool more;  /* there are more than that */
};

/* Begin with the list of that name, which is empty. */
void listing_begin(struct listing *l, const char *name);
/* Whether one more element may be appended to out; `more` says so when not. */
bool listing_next(struct listing *l);
/* Answer with it, or with 503, and free it. */
void listing_reply(struct exchange *x, struct listing *l);

#endif
