/*
 * UTF-8 checking as bytes arrive (RFC 3629: no overlongs, no surrogates, nothing above
 * U+10FFFF). Any thread.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/slice.h"

/* Zero-initialise. Carries an unfinished sequence over the end of one piece. */
struct utf8 {
	uint8_t need;  /* continuation bytes still wanted */
	uint8_t lower; /* bounds of the next continuation byte */
	uint8_t upper;
};

/* False as soon as a byte cannot be part of valid UTF-8. */
MUST_CHECK bool utf8_feed(struct utf8 *u, struct slice bytes);
/* True when no sequence is left unfinished. */
static inline bool
utf8_is_complete(const struct utf8 *u)
{
	return u->need == 0;
}
/* The whole of s at once. */
MUST_CHECK bool utf8_is_valid(struct slice s);
/* True when all bytes are printable ASCII, as most names and topics are: nothing else needs a look. */
MUST_CHECK bool utf8_is_plain(struct slice s);
/* True when s (valid UTF-8) holds a C0, DEL or C1 control character. */
bool utf8_has_control(struct slice s);
/* True when s is empty or nothing but white space (Unicode's White_Space). */
bool utf8_is_blank(struct slice s);

#endif
