#include "base/b64.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t
encode(const unsigned char *in, size_t n, char *out, const char *alphabet)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i += 3) {
		size_t have = min_size(n - i, 3);
		uint32_t v = (uint32_t)in[i] << 16;

		if (have > 1)
			v |= (uint32_t)in[i + 1] << 8;
		if (have > 2)
			v |= in[i + 2];
		out[at++] = alphabet[v >> 18 & 63];
		out[at++] = alphabet[v >> 12 & 63];
		if (have > 1)
			out[at++] = alphabet[v >> 6 & 63];
		if (have > 2)
			out[at++] = alphabet[v & 63];
	}
	out[at] = '\0';
	return at;
}

size_t
b64_encode(const void *p, size_t n, char *out)
{
	size_t at = encode(p, n, out, standard);

	while (at % 4 != 0)
		out[at++] = '=';
	out[at] = '\0';
	return at;
}

size_t
b64url_encode(const void *p, size_t n, char *out)
{
	return encode(p, n, out, url);
}

static int
value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

ssize_t
b64url_decode(struct slice s, void *out)
{
	unsigned char *at = out;
	uint32_t v = 0;
	unsigned bits = 0;
	ssize_t n = 0;

	if (s.n % 4 == 1)
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		int six = value_of(s.p[i]);

		if (six < 0)
			return -1;
		v = v << 6 | (uint32_t)six;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			at[n++] = (unsigned char)(v >> bits);
			v &= (1u << bits) - 1;
		}
	}
	return v == 0 ? n : -1; /* left-over bits must be zero: one text for each value */
}
