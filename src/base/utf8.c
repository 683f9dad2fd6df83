#include "base/utf8.h"

#define ONES      0x0101010101010101u
#define HIGH_BITS 0x8080808080808080u

static uint64_t
word_at(struct slice s, size_t at)
{
	uint64_t word;

	memcpy(&word, s.p + at, sizeof(word));
	return word;
}

/*
 * The number of leading bytes that are ASCII, eight at a time; the last eight overlap those before, so
 * that no bytes are left over.
 */
static size_t
ascii_run(struct slice s)
{
	size_t at = 0;

	while (s.n - at >= 8) {
		if ((word_at(s, at) & HIGH_BITS) != 0)
			break;
		at += 8;
	}
	if (s.n - at < 8 && s.n >= 8 && (word_at(s, s.n - 8) & HIGH_BITS) == 0)
		return s.n;
	while (at < s.n && (s.p[at] & 0x80) == 0)
		at++;
	return at;
}

static bool
start_sequence(struct utf8 *u, uint8_t lead)
{
	u->lower = 0x80;
	u->upper = 0xbf;
	if (lead >= 0xc2 && lead <= 0xdf) {
		u->need = 1;
	} else if (lead >= 0xe0 && lead <= 0xef) {
		u->need = 2;
		if (lead == 0xe0)
			u->lower = 0xa0; /* shorter forms exist */
		if (lead == 0xed)
			u->upper = 0x9f; /* surrogates */
	} else if (lead >= 0xf0 && lead <= 0xf4) {
		u->need = 3;
		if (lead == 0xf0)
			u->lower = 0x90;
		if (lead == 0xf4)
			u->upper = 0x8f; /* above U+10FFFF */
	} else {
		return false;
	}
	return true;
}

bool
utf8_feed(struct utf8 *u, struct slice bytes)
{
	size_t at = 0;

	while (at < bytes.n) {
		uint8_t b = (uint8_t)bytes.p[at];

		if (u->need == 0) {
			at += ascii_run(slice_skip(bytes, at));
			if (at == bytes.n)
				break;
			if (!start_sequence(u, (uint8_t)bytes.p[at]))
				return false;
		} else {
			if (b < u->lower || b > u->upper)
				return false;
			u->lower = 0x80;
			u->upper = 0xbf;
			u->need--;
		}
		at++;
	}
	return true;
}

/* Of eight bytes some is a control byte, DEL or none of ASCII. */
static bool
is_odd(uint64_t word)
{
	uint64_t del = word ^ ONES * 0x7f;

	return (((word - ONES * 0x20) | (del - ONES) | word) & HIGH_BITS) != 0;
}

bool
utf8_is_plain(struct slice s)
{
	size_t at = 0;

	for (; s.n - at >= 8; at += 8) {
		if (is_odd(word_at(s, at)))
			return false;
	}
	if (s.n >= 8)
		return !is_odd(word_at(s, s.n - 8));
	for (; at < s.n; at++) {
		uint8_t b = (uint8_t)s.p[at];

		if (b < 0x20 || b >= 0x7f)
			return false;
	}
	return true;
}

bool
utf8_is_valid(struct slice s)
{
	struct utf8 u = {0};

	if (ascii_run(s) == s.n)
		return true;
	return utf8_feed(&u, s) && utf8_is_complete(&u);
}

bool
utf8_has_control(struct slice s)
{
	if (utf8_is_plain(s))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t b = (uint8_t)s.p[i];

		if (b < 0x20 || b == 0x7f)
			return true;
		/* C1 is U+0080..U+009F: the two bytes C2 80..C2 9F */
		if (b == 0xc2 && i + 1 < s.n && (uint8_t)s.p[i + 1] <= 0x9f)
			return true;
	}
	return false;
}

/* Bytes of the white space at the start of s, which is not empty; 0 when something else is there. */
static size_t
span_space(struct slice s)
{
	uint8_t a = (uint8_t)s.p[0];
	uint8_t b = s.n > 1 ? (uint8_t)s.p[1] : 0;
	uint8_t c = s.n > 2 ? (uint8_t)s.p[2] : 0;

	if (a == ' ' || (a >= '\t' && a <= '\r'))
		return 1;
	if (a == 0xc2) /* U+0085, U+00A0 */
		return b == 0x85 || b == 0xa0 ? 2 : 0;
	if (a == 0xe1 || a == 0xe3) /* U+1680, U+3000 */
		return b == (a == 0xe1 ? 0x9a : 0x80) && c == 0x80 ? 3 : 0;
	if (a != 0xe2)
		return 0;
	if (b == 0x81) /* U+205F */
		return c == 0x9f ? 3 : 0;
	/* U+2000 to U+200A, U+2028, U+2029, U+202F */
	return b == 0x80 && (c <= 0x8a || c == 0xa8 || c == 0xa9 || c == 0xaf) && c >= 0x80 ? 3 : 0;
}

bool
utf8_is_blank(struct slice s)
{
	while (s.n > 0) {
		size_t n = span_space(s);

		if (n == 0)
			return false;
		s = slice_skip(s, n);
	}
	return true;
}
