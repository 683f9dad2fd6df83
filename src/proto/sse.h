/*
 * Server-Sent Events (WHATWG HTML, section 9.2): writing event blocks. Nothing can be injected:
 * line breaks (CR, LF, CRLF) in data become several data lines, in names they are refused. Pure.
 */
#ifndef PROTO_SSE_H
#define PROTO_SSE_H

#include "base/buf.h"
#include "base/slice.h"

/*
 * Append one block: `event:` unless name is absent; `id:` unless id is 0; a `data:`
 * line for each line of data (data absent: none); an empty line. Name must have no control
 * characters (the caller checked it): a name with one is -EINVAL. 0 or negative (buf errors).
 */
int sse_event(struct buf *out, struct slice name, uint64_t id, struct slice data);
/* Append blocks that sse_event has written, without their ids. 0 or negative (buf errors). */
int sse_without_ids(struct buf *out, struct slice blocks);
/* A bare id block: moves the reader's cursor, dispatches nothing. */
int sse_id(struct buf *out, uint64_t id);
/* ": text\n\n" */
int sse_comment(struct buf *out, struct slice text);
/* "retry: N\n\n" milliseconds */
int sse_retry(struct buf *out, uint64_t ms);
/* A name clients may give to a published event: 1..64 bytes of UTF-8 without control characters. */
bool sse_name_is_valid(struct slice name);

#endif
