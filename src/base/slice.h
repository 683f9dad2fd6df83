/*
 * A slice is borrowed bytes: a pointer and a length, not NUL-terminated, never owned. A slice
 * with p == NULL is "absent"; an empty slice with a pointer is "there and empty". Any thread.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <string.h>

#include "base/base.h"

struct slice {
	const char *p;
	size_t n; /* bytes */
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})
#define SLICE_NONE     ((struct slice){NULL, 0})
/* for printf("%.*s", SLICE_ARG(s)) */
#define SLICE_ARG(s) (int)(s).n, (s).p == NULL ? "" : (s).p

static inline struct slice
slice_of(const char *p, size_t n)
{
	return (struct slice){p, n};
}

/* Of a NUL-terminated string; NULL gives the absent slice. */
static inline struct slice
slice_str(const char *s)
{
	return (struct slice){s, s == NULL ? 0 : strlen(s)};
}

static inline bool
slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* slice_eq in a time that says nothing about where they differ. */
bool slice_eq_secret(struct slice a, struct slice b);
/* slice_eq_nocase of what is as long. */
bool slice_eq_nocase_same_length(struct slice a, struct slice b);
/* ASCII letters compare without case. Most names that are compared differ in length. */
static inline bool
slice_eq_nocase(struct slice a, struct slice b)
{
	return a.n == b.n && slice_eq_nocase_same_length(a, b);
}

static inline bool
slice_has_prefix(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

/* Without its first n bytes (n <= s.n). */
static inline struct slice
slice_skip(struct slice s, size_t n)
{
	return (struct slice){s.p + n, s.n - n};
}

/* Copies s to *at, moves *at behind it and returns the copy; absent stays absent. */
static inline struct slice
slice_place(char **at, struct slice s)
{
	char *to = *at;

	if (s.p == NULL)
		return SLICE_NONE;
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	*at += s.n;
	return slice_of(to, s.n);
}

/* slice_trim of what has something to trim. */
struct slice slice_trim_spaces(struct slice s);
/*
 * Without leading and trailing bytes for which is_space or tab (0x20, 0x09) holds. Inline, since most
 * have none of them.
 */
static inline struct slice
slice_trim(struct slice s)
{
	if (s.n > 0 && (unsigned char)s.p[0] > ' ' && (unsigned char)s.p[s.n - 1] > ' ')
		return s;
	return slice_trim_spaces(s);
}

/*
 * Cut at the first `sep`: `*rest` becomes what follows it (absent when there was none), the
 * part before it is returned. Start with *rest = whole; the walk ends when rest->p == NULL.
 */
struct slice slice_cut(struct slice *rest, char sep);

/*
 * Digits only, no sign, no space, no overflow, leading zeros allowed. Returns 0 and sets *out,
 * or -1.
 */
MUST_CHECK int slice_to_u64(struct slice s, uint64_t *out);
/* The value of a hexadecimal digit, or -1. */
static inline int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
/* Hexadecimal digits only, 1 to 16 of them. Returns 0 and sets *out, or -1. */
MUST_CHECK int slice_hex_to_u64(struct slice s, uint64_t *out);

#endif
