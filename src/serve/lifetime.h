/*
 * The clock of a connection that lives long: its next beat (a ping, a keep-alive), and the warning
 * and the end of its token. Worker thread only.
 */
#ifndef SERVE_LIFETIME_H
#define SERVE_LIFETIME_H

#include "core/claims.h"
#include "core/hub.h"

struct lifetime {
	uint32_t beat_s; /* monotonic second of the next beat */
	bool said_expiring;
	bool was_pinged; /* a beat asked for a sign of life */
};

/* The first beat somewhere within the interval (ms), so that many connections spread theirs. */
void lifetime_init(struct lifetime *l, const struct hub *h, uint64_t every_ms);
/* The token was renewed: it will be warned of again. */
void lifetime_renew(struct lifetime *l);

/* True when a beat is due; the next one is then an interval later. */
bool lifetime_beat(struct lifetime *l, const struct hub *h, uint64_t every_ms);

enum lifetime_state {
	LIFETIME_GOES_ON,
	LIFETIME_EXPIRING, /* said once, always before the end: *in_s seconds are left */
	LIFETIME_EXPIRED,
};
/* Where the token stands now: it ends its connection at exp + leeway. */
enum lifetime_state lifetime_check(
    struct lifetime *l, const struct hub *h, const struct claims *claims, int64_t *in_s);

/* When to look again, in monotonic ms: the next beat, the token's warning or its end. */
uint64_t lifetime_deadline(
    const struct lifetime *l, const struct hub *h, const struct claims *claims);

#define LIFETIME_JSON 96 /* bytes that are room for either */
/* The message `expiring`: the token ends in so many seconds. Borrowed of out. */
struct slice lifetime_expiring(int64_t in_s, char out[LIFETIME_JSON]);
/* The message `closing` of a daemon that stops. Borrowed of out. */
struct slice lifetime_closing(uint64_t retry_ms, char out[LIFETIME_JSON]);

#endif
