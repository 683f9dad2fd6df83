/*
 * Query parameters of endpoints: decoded text and positions (docs/wire.md, "Words"). Worker thread
 * only.
 */
#ifndef SERVE_QUERY_H
#define SERVE_QUERY_H

#include "core/position.h"
#include "serve/serve.h"

/* Whether the parameter is there. */
bool query_has(const struct exchange *x, const char *name);
/*
 * The parameter's decoded value appended to *out, which is the caller's own buffer. 1, 0 when
 * it is absent, -1 with *why for a bad escape or bytes that are not UTF-8.
 */
MUST_CHECK int query_get(
    const struct exchange *x, const char *name, struct buf *out, struct refusal *why);
/*
 * `after`, else `last` (at most POSITION_LAST_MAX; where that is not there either, the argument). 0, or
 * -1 with *why.
 */
MUST_CHECK int query_position(
    const struct exchange *x, unsigned last, struct position *out, struct refusal *why);
/*
 * Where an event stream begins (docs/wire.md, "Event streams"), by the first that is there: header
 * Last-Event-ID, last_event_id, lastEventID, after; else `last`. What cannot be read is a position
 * too, which the reader tells by `gap`: an EventSource gives up on anything but 200.
 */
MUST_CHECK int query_resume(
    const struct exchange *x, unsigned last, struct position *out, struct refusal *why);
/* An unsigned integer; *out untouched when absent. 0, or -1 with *why. */
MUST_CHECK int query_u64(
    const struct exchange *x, const char *name, uint64_t *out, struct refusal *why);
/* As query_u64, of what is clamped anyway: what is below 0 is 0. */
MUST_CHECK int query_count(
    const struct exchange *x, const char *name, uint64_t *out, struct refusal *why);

#endif
