#include "base/slice.h"

#define SAFE_DIGITS 19 /* so many cannot overflow */

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool
slice_eq_nocase_same_length(struct slice a, struct slice b)
{
	if (a.n == 0 || memcmp(a.p, b.p, a.n) == 0)
		return true; /* most are written as they are asked for */
	for (size_t i = 0; i < a.n; i++) {
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	}
	return true;
}

/* Sixteen bytes at a time: 110 instructions for a token. */
bool
slice_eq_secret(struct slice a, struct slice b)
{
	bytes16 differs = {0};
	uint8_t rest = 0;
	size_t at = 0;

	if (a.n != b.n)
		return false;
	for (; a.n - at >= sizeof(bytes16); at += sizeof(bytes16))
		differs |= bytes16_load(a.p + at) ^ bytes16_load(b.p + at);
	for (; at < a.n; at++)
		rest |= (uint8_t)(a.p[at] ^ b.p[at]);
	return !bytes16_any(differs) && rest == 0;
}

struct slice
slice_trim_spaces(struct slice s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

struct slice
slice_cut(struct slice *rest, char sep)
{
	struct slice part = *rest;
	const char *at = part.n == 0 ? NULL : memchr(part.p, sep, part.n);

	if (at == NULL) {
		*rest = SLICE_NONE;
		return part;
	}
	part.n = (size_t)(at - part.p);
	*rest = slice_skip(*rest, part.n + 1);
	return part;
}

int
slice_to_u64(struct slice s, uint64_t *out)
{
	uint64_t v = 0;
	size_t i = 0;

	if (s.n == 0)
		return -1;
	for (; i < min_size(s.n, SAFE_DIGITS); i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

		if (digit > 9)
			return -1;
		v = v * 10 + digit;
	}
	for (; i < s.n; i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

		if (digit > 9 || v > (UINT64_MAX - digit) / 10)
			return -1;
		v = v * 10 + digit;
	}
	*out = v;
	return 0;
}

int
slice_hex_to_u64(struct slice s, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0 || s.n > 16)
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		int digit = hex_value(s.p[i]);

		if (digit < 0)
			return -1;
		v = v << 4 | (unsigned)digit;
	}
	*out = v;
	return 0;
}
