/*
 * Base64 (RFC 4648, sections 4 and 5). Decoding is strict: no white space, canonical (unused bits
 * zero). Any thread.
 */
#ifndef BASE_B64_H
#define BASE_B64_H

#include "base/slice.h"

/* Bytes that b64_encode writes for n input bytes, with the NUL. */
#define B64_SIZE(n) (((n) + 2) / 3 * 4 + 1)

/* Padded standard alphabet; out has B64_SIZE(n) bytes. Returns the length without the NUL. */
size_t b64_encode(const void *p, size_t n, char *out);
/* URL alphabet, no padding. */
size_t b64url_encode(const void *p, size_t n, char *out);
/* Decode the URL alphabet without padding; out needs s.n / 4 * 3 + 3 bytes. The length, or -1. */
MUST_CHECK ssize_t b64url_decode(struct slice s, void *out);

#endif
