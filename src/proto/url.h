/*
 * Percent-encoding, paths and query strings (RFC 3986; application/x-www-form-urlencoded as the
 * URL Standard says). Pure. Any thread.
 */
#ifndef PROTO_URL_H
#define PROTO_URL_H

#include "base/buf.h"
#include "base/slice.h"

/*
 * Decode %XX (and '+' as space when plus_is_space) into out, which has room for s.n bytes.
 * Returns the length, or -1 for a bad escape ("%", "%zz"). %00 decodes to a NUL byte: the
 * caller's checks refuse it.
 */
MUST_CHECK ssize_t url_decode(struct slice s, bool plus_is_space, char *out);

/*
 * Append s with everything but unreserved characters (RFC 3986 2.3) and those in `keep`
 * percent-encoded, uppercase hex.
 */
int url_encode(struct buf *out, struct slice s, const char *keep);

/* Append the escape of one byte, "%2F". */
int url_add_escape(struct buf *out, unsigned char c);

/*
 * Walk a query or form body: start with *rest = text; each call sets the raw (still encoded)
 * name and value; value is absent when there was no '='. Empty pairs ("&&") are skipped.
 * Returns false at the end.
 */
bool url_query_next(struct slice *rest, struct slice *name, struct slice *value);

/* Whether a still encoded name means this one. */
bool url_name_is(struct slice encoded, const char *name);

/*
 * The decoded value of the first parameter of that (decoded) name, appended to *out and
 * NUL-terminated there (the NUL not counted in the result). Returns 1 with *value set (a slice
 * into out->p, valid until the next change of *out), 0 when absent, -1 for a bad escape or no
 * room.
 */
MUST_CHECK int url_query_get(
    struct slice query, const char *name, struct buf *out, struct slice *value);

/*
 * A file path from a URL path: decodes, resolves "." and "..", refuses NUL, backslash, an
 * escape above the root, encoded slashes, empty segments ("//"). Result starts with '/'.
 * Returns the length written to out (cap bytes, NUL-terminated), or -1.
 */
MUST_CHECK ssize_t url_path_normalize(struct slice path, char *out, size_t cap);

/*
 * host[:port] of an Origin ("scheme://host[:port]"), default port of its scheme dropped. -1
 * when malformed or "null".
 */
MUST_CHECK int url_origin_authority(
    struct slice origin, struct slice *scheme, struct slice *host, int *port);
/*
 * Splits "host", "host:port", "[v6]", "[v6]:port"; port 0 when absent. host keeps its brackets.
 * -1 when malformed.
 */
MUST_CHECK int url_split_authority(struct slice authority, struct slice *host, int *port);

#endif
