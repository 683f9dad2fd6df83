/*
 * What the event streams share, /events and a chat over Server-Sent Events: opening one, or turning it
 * away in a form that an EventSource understands. Worker thread only.
 */
#ifndef SERVE_STREAM_H
#define SERVE_STREAM_H

#include "base/buf.h"
#include "net/exchange.h"

struct config;

/* Whether Accept likes NDJSON better than Server-Sent Events. */
bool stream_wants_lines(const struct exchange *x);
/* Whether Accept names the type, not by a wildcard: curl sends star/star. */
bool stream_accepts(const struct exchange *x, const char *type);
/*
 * A stream that should come back later: 200 with `closing`, the limit and a spread retry, then
 * the end (an EventSource gives up for ever on any other status). Others get the refusal as it
 * is.
 */
void stream_turn_away(struct exchange *x, const struct refusal *why);
/*
 * Begin the answer, which nothing in between may keep or hold back. As exchange_stream_start, without a
 * length.
 */
MUST_CHECK int stream_begin(
    struct exchange *x, const char *content_type, const struct conn_ops *ops, void *data);
/* Queue what was written, if anything, and free b; a failed one ends the connection. */
void stream_push(struct conn *c, struct buf *b);
/* When a reader that is cut off comes back, in ms: events.retry, spread. */
uint64_t stream_retry_ms(const struct config *c);

#endif
