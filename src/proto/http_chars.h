/*
 * Classes of bytes in HTTP/1.1 messages, one table for the parts of the parser. Private to
 * src/proto/http_*.c. Any thread.
 */
#ifndef PROTO_HTTP_CHARS_H
#define PROTO_HTTP_CHARS_H

#include "base/slice.h"

#define HTTP_C_TOKEN 0x01 /* tchar (RFC 9110 5.6.2) */
#define HTTP_C_FIELD 0x02 /* field-vchar, obs-text, SP and HTAB (RFC 9110 5.5) */
#define HTTP_C_PATH  0x04 /* of a request target before '?' */
#define HTTP_C_QUERY 0x08 /* of a request target from '?' on */
#define HTTP_C_HEX   0x10

extern const uint8_t http_byte_classes[256];

/* Whether c is in one of the classes of `mask`. */
static inline bool
http_is(char c, unsigned mask)
{
	return (http_byte_classes[(unsigned char)c] & mask) != 0;
}

/* How many bytes at the start of s are in one of the classes of `mask`. */
static inline size_t
http_span(struct slice s, unsigned mask)
{
	size_t n = 0;

	while (n < s.n && http_is(s.p[n], mask))
		n++;
	return n;
}

/*
 * http_span of HTTP_C_FIELD, sixteen bytes at a time while none of them is a control byte: a token has
 * some 300, which cost 700 instructions eight at a time, and 250 so.
 */
static inline size_t
http_span_field(struct slice s)
{
	size_t n = 0;

	for (; s.n - n >= sizeof(bytes16); n += sizeof(bytes16)) {
		bytes16 v = bytes16_load(s.p + n);

		size_t at = bytes16_first((bytes16)(v < 0x20) | (bytes16)(v == 0x7f));

		if (at < sizeof(bytes16)) { /* as a rule the CR behind the value */
			n += at;
			if (s.p[n] == '\r')
				return n;
			break;
		}
	}
	return n + http_span(slice_skip(s, n), HTTP_C_FIELD);
}

#endif
