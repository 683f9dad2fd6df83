#include "proto/url.h"

#include <arpa/inet.h>

#define URL_MAX_PORT 65535

/* RFC 3986 2.3 */
static bool
is_unreserved(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

/*
 * One character off the front of *s, decoded. Returns its value 0 .. 255, or -1 for a bad escape.
 */
static int
take_decoded(struct slice *s, bool plus_is_space)
{
	char c = s->p[0];
	size_t n = 1;
	int value = (unsigned char)c;

	if (c == '%') {
		int high = s->n < 3 ? -1 : hex_value(s->p[1]);
		int low = s->n < 3 ? -1 : hex_value(s->p[2]);

		if (high < 0 || low < 0)
			return -1;
		value = high * 16 + low;
		n = 3;
	} else if (c == '+' && plus_is_space) {
		value = ' ';
	}
	*s = slice_skip(*s, n);
	return value;
}

ssize_t
url_decode(struct slice s, bool plus_is_space, char *out)
{
	size_t n = 0;

	/* the common case in one step: a path with its topic, 200 instructions less */
	if (s.n > 0 && memchr(s.p, '%', s.n) == NULL &&
	    (!plus_is_space || memchr(s.p, '+', s.n) == NULL)) {
		memmove(out, s.p, s.n);
		return (ssize_t)s.n;
	}
	while (s.n > 0) {
		int c = (unsigned char)s.p[0];

		if (c != '%' && c != '+') {
			out[n++] = (char)c;
			s = slice_skip(s, 1);
			continue;
		}
		c = take_decoded(&s, plus_is_space);
		if (c < 0)
			return -1;
		out[n++] = (char)c;
	}
	return (ssize_t)n;
}

int
url_add_escape(struct buf *out, unsigned char c)
{
	static const char digits[] = "0123456789ABCDEF";
	const char escape[3] = {'%', digits[c >> 4], digits[c & 15]};

	return buf_add(out, escape, sizeof(escape));
}

int
url_encode(struct buf *out, struct slice s, const char *keep)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool is_kept = is_unreserved(s.p[i]) || (c != 0 && strchr(keep, c) != NULL);
		int r = is_kept ? buf_add_char(out, s.p[i]) : url_add_escape(out, c);

		if (r < 0)
			return r;
	}
	return 0;
}

bool
url_query_next(struct slice *rest, struct slice *name, struct slice *value)
{
	while (rest->p != NULL) {
		struct slice pair = slice_cut(rest, '&');

		if (pair.n == 0)
			continue;
		*value = pair;
		*name = slice_cut(value, '=');
		return true;
	}
	return false;
}

/* Whether the encoded name is `name`; one with a bad escape is none at all. */
bool
url_name_is(struct slice encoded, const char *name)
{
	while (encoded.n > 0) {
		int c = take_decoded(&encoded, true);

		if (c < 0 || c != (unsigned char)*name || *name == '\0')
			return false;
		name++;
	}
	return *name == '\0';
}

/* Append the decoded value and a NUL. 1 or -1, as url_query_get. */
static int
add_decoded(struct buf *out, struct slice encoded, struct slice *value)
{
	size_t start = out->n;
	ssize_t n;

	if (buf_reserve(out, encoded.n + 1) < 0)
		return -1;
	n = url_decode(encoded, true, out->p + start);
	if (n < 0)
		return -1;
	out->p[start + (size_t)n] = '\0';
	out->n = start + (size_t)n + 1;
	*value = slice_of(out->p + start, (size_t)n);
	return 1;
}

int
url_query_get(struct slice query, const char *name, struct buf *out, struct slice *value)
{
	struct slice this_name;
	struct slice this_value;

	while (url_query_next(&query, &this_name, &this_value)) {
		/* an escape makes a name only longer */
		if (this_name.n >= strlen(name) && url_name_is(this_name, name))
			return add_decoded(out, this_value, value);
	}
	return 0;
}

/*
 * Take the last segment off the `n` bytes of a path that ends with '/'. Returns the new length,
 * or -1 at the root.
 */
static ssize_t
drop_segment(const char *path, size_t n)
{
	if (n <= 1)
		return -1;
	n--;
	while (path[n - 1] != '/')
		n--;
	return (ssize_t)n;
}

/*
 * One decoded segment has been written to out[start..end). Returns the length of the path now,
 * or -1 when the segment must not be there.
 */
static ssize_t
close_segment(char *out, size_t start, size_t end)
{
	struct slice segment = slice_of(out + start, end - start);

	if (memchr(segment.p, '/', segment.n) != NULL ||
	    memchr(segment.p, '\\', segment.n) != NULL ||
	    memchr(segment.p, '\0', segment.n) != NULL)
		return -1;
	if (slice_eq(segment, SLICE(".")))
		return (ssize_t)start;
	if (slice_eq(segment, SLICE("..")))
		return drop_segment(out, start);
	return (ssize_t)end;
}

/*
 * The path is decoded segment by segment: an encoded dot is a dot, an encoded slash is refused,
 * and nothing is decoded twice.
 */
ssize_t
url_path_normalize(struct slice path, char *out, size_t cap)
{
	struct slice rest = path;
	size_t n = 0;

	if (path.n == 0 || path.p[0] != '/')
		return -1;
	rest = slice_skip(rest, 1);
	if (cap < 2)
		return -1;
	out[n++] = '/';
	while (rest.p != NULL) {
		struct slice segment = slice_cut(&rest, '/');
		ssize_t decoded;
		ssize_t closed;

		if (segment.n == 0 && rest.p != NULL)
			return -1;
		if (segment.n + 2 > cap - n) /* what is written, a slash and the NUL */
			return -1;
		decoded = url_decode(segment, false, out + n);
		if (decoded < 0)
			return -1;
		closed = close_segment(out, n, n + (size_t)decoded);
		if (closed < 0)
			return -1;
		n = (size_t)closed;
		if (rest.p != NULL && out[n - 1] != '/')
			out[n++] = '/';
	}
	out[n] = '\0';
	return (ssize_t)n;
}

/*
 * "[" IPv6address "]" at the start of s (RFC 3986 3.2.2; no zone, no future forms). Returns its
 * length, or -1.
 */
static ssize_t
span_ipv6(struct slice s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;
	const char *end = memchr(s.p, ']', s.n);
	size_t n;

	if (end == NULL)
		return -1;
	n = (size_t)(end - s.p) - 1;
	if (n >= sizeof(text) || memchr(s.p, '\0', n) != NULL)
		return -1;
	memcpy(text, s.p + 1, n);
	text[n] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1 ? (ssize_t)(n + 2) : -1;
}

/*
 * A registered name or IPv4 address. RFC 3986 would allow sub-delims and escapes as well, but
 * no name in use has them, and a comma in Host is more likely two of them joined into one.
 */
static ssize_t
span_name(struct slice s)
{
	size_t n = 0;

	while (n < s.n && is_unreserved(s.p[n]))
		n++;
	return n == 0 ? -1 : (ssize_t)n;
}

int
url_split_authority(struct slice authority, struct slice *host, int *port)
{
	uint64_t number = 0;
	struct slice rest;
	ssize_t n;

	if (authority.n == 0)
		return -1;
	n = authority.p[0] == '[' ? span_ipv6(authority) : span_name(authority);
	if (n < 0)
		return -1;
	rest = slice_skip(authority, (size_t)n);
	if (rest.n > 0) {
		if (rest.p[0] != ':')
			return -1;
		rest = slice_skip(rest, 1);
		/* RFC 3986 3.2.3: the port may be empty */
		if (rest.n > 0 &&
		    (slice_to_u64(rest, &number) < 0 || number == 0 || number > URL_MAX_PORT))
			return -1;
	}
	*host = slice_of(authority.p, (size_t)n);
	*port = (int)number;
	return 0;
}

/* The default port of a scheme, 0 when it has none that we know. */
static int
default_port(struct slice scheme)
{
	if (slice_eq_nocase(scheme, SLICE("http")) || slice_eq_nocase(scheme, SLICE("ws")))
		return 80;
	if (slice_eq_nocase(scheme, SLICE("https")) || slice_eq_nocase(scheme, SLICE("wss")))
		return 443;
	return 0;
}

/* RFC 3986 3.1 */
static bool
is_scheme(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		bool is_letter =
		    (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z');
		bool is_other = (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '+' ||
				s.p[i] == '-' || s.p[i] == '.';

		if (!is_letter && (i == 0 || !is_other))
			return false;
	}
	return s.n > 0;
}

int
url_origin_authority(struct slice origin, struct slice *scheme, struct slice *host, int *port)
{
	struct slice rest = origin;
	struct slice this_scheme = slice_cut(&rest, ':');
	struct slice this_host;
	int this_port;

	if (rest.p == NULL || !is_scheme(this_scheme) || !slice_has_prefix(rest, SLICE("//")))
		return -1;
	if (url_split_authority(slice_skip(rest, 2), &this_host, &this_port) < 0)
		return -1;
	*scheme = this_scheme;
	*host = this_host;
	*port = this_port == default_port(this_scheme) ? 0 : this_port;
	return 0;
}
