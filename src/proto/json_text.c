#include "proto/json_text.h"

#include <stdio.h>
#include <stdlib.h>

int
json_hex4(const char p[4])
{
	int value = 0;

	for (size_t i = 0; i < 4; i++) {
		int digit = hex_value(p[i]);

		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

static void
put_utf8(struct json_bytes *b, uint32_t c)
{
	unsigned n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (unsigned i = n - 1; i > 0; i--) {
		b->pending[i] = (char)(0x80 | (c & 0x3f));
		c >>= 6;
	}
	b->pending[0] = (char)(leads[n] | c);
	b->n_pending = n;
	b->at_pending = 0;
}

/* A \u escape, behind its u; two of them when they are a pair of surrogates. */
static void
take_unicode(struct json_bytes *b)
{
	int unit = b->end - b->p < 4 ? -1 : json_hex4(b->p);
	int low = -1;
	uint32_t c;

	if (unit < 0) { /* not a checked string */
		b->p = b->end;
		return;
	}
	b->p += 4;
	c = (uint32_t)unit;
	if (c >= 0xd800 && c <= 0xdbff && b->end - b->p >= 6 && b->p[0] == '\\' && b->p[1] == 'u')
		low = json_hex4(b->p + 2);
	if (low >= 0xdc00 && low <= 0xdfff) {
		c = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
		b->p += 6;
	}
	put_utf8(b, c);
}

static char
simple_escape(char c)
{
	switch (c) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return c;
	}
}

int
json_next_byte(struct json_bytes *b)
{
	char c;

	if (b->at_pending < b->n_pending)
		return (uint8_t)b->pending[b->at_pending++];
	if (b->p == b->end)
		return -1;
	c = *b->p++;
	if (c != '\\' || b->p == b->end)
		return (uint8_t)c;
	c = *b->p++;
	if (c != 'u')
		return (uint8_t)simple_escape(c);
	b->n_pending = 0;
	b->at_pending = 0;
	take_unicode(b);
	return json_next_byte(b);
}

double
json_decimal(struct slice text, long exponent)
{
	char digits[JSON_NUMBER_MAX + 32];
	size_t n = 0;
	bool is_fraction = false;

	for (size_t i = 0; i < min_size(text.n, JSON_NUMBER_MAX); i++) {
		if (text.p[i] >= '0' && text.p[i] <= '9') {
			digits[n++] = text.p[i];
			exponent -= is_fraction ? 1 : 0;
		}
		is_fraction = is_fraction || text.p[i] == '.';
	}
	/* it fits: at most 63 digits and 22 bytes */
	(void)snprintf(digits + n, sizeof(digits) - n, "e%ld", exponent);
	return strtod(digits, NULL);
}
