/*
 * permessage-deflate's codecs (RFC 7692, section 7.2), without context takeover: one inflater and
 * one deflater a worker, reset for each message. Not shared between threads.
 */
#ifndef PROTO_WS_DEFLATE_H
#define PROTO_WS_DEFLATE_H

#include "base/buf.h"
#include "base/slice.h"

struct ws_inflater;
struct ws_deflater;

/* NULL on failure. */
MUST_CHECK struct ws_inflater *ws_inflater_new(void);
/* NULL is fine, here and below. */
void ws_inflater_free(struct ws_inflater *z);
/*
 * The inflater's own buffer, emptied, with that limit: where ws_decode inflates to. Borrowed until
 * the next call.
 */
struct buf *ws_inflater_scratch(struct ws_inflater *z, size_t max);
/*
 * Takes a block of memory (mem_alloc), frees the one taken before. So a message that came in pieces
 * outlives its connection's decoder state until the worker's next one.
 */
void ws_inflater_keep(struct ws_inflater *z, void *block);
/* Free what it took over, and a scratch buffer that has grown big: nothing borrowed is looked at any more. */
void ws_inflater_trim(struct ws_inflater *z);
/*
 * Inflate one whole message (the 00 00 ff ff tail is added here) into out (out->max is the bound,
 * checked while inflating). 0; -EMSGSIZE when it would exceed out->max; -EINVAL for bad data;
 * -ENOMEM.
 */
MUST_CHECK int ws_inflate(struct ws_inflater *z, struct slice in, struct buf *out);

/* NULL on failure. */
MUST_CHECK struct ws_deflater *ws_deflater_new(void);
void ws_deflater_free(struct ws_deflater *z);
/*
 * Deflate one message (level 1, sync flush, tail removed) appended to out. 0, or -ENOMEM /
 * -EMSGSIZE (then send it plain).
 */
MUST_CHECK int ws_deflate(struct ws_deflater *z, struct slice in, struct buf *out);

#endif
