#include "base/utf8.h"

#define HIGH_BITS 0x8080808080808080u

/* The number of leading bytes that are ASCII, eight at a time. */
static size_t
ascii_run(struct slice s)
{
	size_t at = 0;

	while (s.n - at >= 8) {
		uint64_t word;

		memcpy(&word, s.p + at, 8);
		if ((word & HIGH_BITS) != 0)
			break;
		at += 8;
	}
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

bool
utf8_is_valid(struct slice s)
{
	struct utf8 u = {0};

	return utf8_feed(&u, s) && utf8_is_complete(&u);
}

bool
utf8_has_control(struct slice s)
{
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
