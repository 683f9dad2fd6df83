/*
 * What the JSON files share: scanning sixteen or eight bytes at a time, and the bytes that a string with
 * escapes stands for. Private to json*.c. Pure. Any thread.
 */
#ifndef PROTO_JSON_TEXT_H
#define PROTO_JSON_TEXT_H

#include <endian.h>

#include "base/slice.h"

#define JSON_NUMBER_MAX 63 /* cJSON 1.7 copies a number into 64 bytes and cuts what is longer */

#define JSON_ONES  0x0101010101010101u
#define JSON_HIGHS 0x8080808080808080u

/*
 * The high bit of bytes in v that equal c, or are below `below` (at most 0x80). A byte above a
 * true one may be marked wrongly, so only the lowest mark counts: of several of these or-ed
 * together too.
 */
static inline uint64_t
json_marks_equal(uint64_t v, uint8_t c)
{
	uint64_t x = v ^ (JSON_ONES * c);

	return (x - JSON_ONES) & ~x & JSON_HIGHS;
}

static inline uint64_t
json_marks_below(uint64_t v, uint8_t below)
{
	return (v - JSON_ONES * below) & ~v & JSON_HIGHS;
}

/* Eight bytes, the first one lowest. */
static inline uint64_t
json_load(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* Index of the lowest marked byte; marks != 0. */
static inline size_t
json_first_mark(uint64_t marks)
{
	return (size_t)__builtin_ctzll(marks) / 8;
}

static inline bool
json_is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/*
 * Bytes before the next '"', '\' or control byte, or n. *is_ascii becomes false when a byte above
 * 0x7f is among them.
 */
static inline size_t
json_plain_run(const char *p, size_t n, bool *is_ascii)
{
	uint64_t seen = 0;
	size_t at = 0;

	for (; n - at >= 16; at += 16) {
		bytes16 v = bytes16_load(p + at);
		size_t more =
		    bytes16_first((bytes16)(v == '"') | (bytes16)(v == '\\') | (bytes16)(v < 0x20));
		size_t odd = bytes16_first((bytes16)(v >= 0x80));

		if (odd < more)
			*is_ascii = false;
		if (more < 16)
			return at + more;
	}
	for (; n - at >= 8; at += 8) {
		uint64_t v = json_load(p + at);
		uint64_t marks = json_marks_equal(v, '"') | json_marks_equal(v, '\\') |
				 json_marks_below(v, 0x20);

		if (marks != 0) {
			size_t more = json_first_mark(marks);

			seen |= v & (((uint64_t)1 << (8 * more)) - 1);
			at += more;
			goto out;
		}
		seen |= v;
	}
	for (; at < n && p[at] != '"' && p[at] != '\\' && (uint8_t)p[at] >= 0x20; at++)
		seen |= (uint8_t)p[at];
out:
	if ((seen & JSON_HIGHS) != 0)
		*is_ascii = false;
	return at;
}

/*
 * digits * 10^exponent, without a sign; infinite when it is too big. The digits of `text` (a number up
 * to its exponent, JSON_NUMBER_MAX bytes at most) are read without their point, so that the locale has
 * no say.
 */
double json_decimal(struct slice text, long exponent);

/* The value of four hexadecimal digits; -1 when they are none. */
int json_hex4(const char p[4]);

/* Whether a key, given by the bytes between its quotes, is that name. */
bool json_name_is(struct slice key, struct slice name);
/* A double that is an integer from 0 to 2^53-1: 0, or -1. */
MUST_CHECK int json_exact(double d, uint64_t *out);

struct json_flat;
struct json_place;
/* Note a member of the outermost object. 0, or JSON_E_MEMORY. */
MUST_CHECK int json_flat_add(
    struct json_flat *f, const struct json_place *name, const struct json_place *value);

/* Walks the bytes that the inside of a checked string stands for. Set p and end, rest zero. */
struct json_bytes {
	const char *p;
	const char *end;
	char pending[4]; /* of an escape that stands for several bytes */
	unsigned n_pending;
	unsigned at_pending;
};

/* The next byte, 0..255, or -1 at the end. */
int json_next_byte(struct json_bytes *b);

#endif
