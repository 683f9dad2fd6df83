/*
 * The request head. It is read in two passes: the first checks the request line and the ends of
 * all lines, in the order of the bytes, so that what can never become a head is refused as soon
 * as it is seen and the same head gives the same answer whatever pieces it came in; the second,
 * once the head is whole, reads the fields. Nearly all heads come whole and well-formed: of those the
 * second pass finds the end itself, and the first is only asked when it does not (500 of 2,700
 * instructions of a POST).
 */
#include "proto/http.h"

#include "proto/http_chars.h"
#include "proto/url.h"

/*
 * Empty lines before the request line (RFC 9112 2.2 asks for one at least; clients of old send
 * one after a body).
 */
#define HTTP_MAX_EMPTY_LINES 4

/* Where the parts of the request line are, as far as it has been seen. */
struct request_line {
	struct slice method;  /* absent until its end was seen */
	struct slice target;  /* absent until its end was seen */
	struct slice version; /* absent until its end was seen */
};

/*
 * The line end that should stand at `at`. Returns the offset behind it; 0 when it is not whole
 * yet; or an enum http_error: HTTP_E_BARE_LF, HTTP_E_BARE_CR, or HTTP_E_BAD_LINE when something
 * else stands there.
 */
static ssize_t
line_end(struct slice in, size_t at)
{
	if (at >= in.n)
		return 0;
	if (in.p[at] == '\n')
		return HTTP_E_BARE_LF;
	if (in.p[at] != '\r')
		return HTTP_E_BAD_LINE;
	if (at + 1 == in.n)
		return 0;
	return in.p[at + 1] == '\n' ? (ssize_t)(at + 2) : HTTP_E_BARE_CR;
}

/*
 * The line goes on with a byte that it must not have, or ends too early: `error`, or what
 * line_end says.
 */
static ssize_t
line_broken(struct slice in, size_t at, int error)
{
	ssize_t r = line_end(in, at);

	return r > 0 || r == HTTP_E_BAD_LINE ? error : r;
}

/*
 * Leading empty lines. Returns the offset of the first byte that is in none, or an enum
 * http_error.
 */
static ssize_t
skip_empty_lines(struct slice in)
{
	size_t at = 0;

	while (at < in.n && (in.p[at] == '\r' || in.p[at] == '\n')) {
		ssize_t r = line_end(in, at);

		if (r < 0)
			return r;
		if (r == 0)
			break; /* a CR is the last byte: the request line begins with it or behind it */
		at = (size_t)r;
		if (at > 2 * (size_t)HTTP_MAX_EMPTY_LINES)
			return HTTP_E_BAD_LINE;
	}
	return (ssize_t)at;
}

/* The request target's bytes, at `at`. Returns the offset of its end, 0 or an error. */
static ssize_t
scan_target(struct slice in, size_t at)
{
	struct slice rest = slice_skip(in, at);
	size_t n;

	rest.n = min_size(rest.n, HTTP_MAX_TARGET + 1);
	n = http_span(rest, HTTP_C_PATH);
	if (n < rest.n && rest.p[n] == '?')
		n += http_span(slice_skip(rest, n), HTTP_C_QUERY);
	if (n > HTTP_MAX_TARGET)
		return HTTP_E_TARGET_TOO_LONG;
	if (at + n == in.n)
		return 0;
	if (in.p[at + n] != ' ')
		return line_broken(
		    in, at + n, in.p[at + n] == '\r' ? HTTP_E_BAD_LINE : HTTP_E_BAD_TARGET);
	return n == 0 ? HTTP_E_BAD_LINE : (ssize_t)(at + n);
}

/*
 * "HTTP/" DIGIT "." DIGIT at `at` (RFC 9112 2.3: case-sensitive). Returns the offset of its
 * end, 0 or an error.
 */
static ssize_t
scan_version(struct slice in, size_t at)
{
	static const char form[] = "HTTP/0.0";

	if (in.n - at >= sizeof(form) - 1 && memcmp(in.p + at, "HTTP/1.1", sizeof(form) - 1) == 0)
		return (ssize_t)(at + sizeof(form) - 1); /* as nearly always */
	for (size_t i = 0; i < sizeof(form) - 1; i++) {
		bool is_right;

		if (at + i == in.n)
			return 0;
		if (form[i] == '0')
			is_right = in.p[at + i] >= '0' && in.p[at + i] <= '9';
		else
			is_right = in.p[at + i] == form[i];
		if (!is_right)
			return line_broken(in, at + i, HTTP_E_BAD_LINE);
	}
	return (ssize_t)(at + sizeof(form) - 1);
}

/*
 * The request line at `at` (RFC 9112 3): single spaces, nothing after the version. Returns the
 * offset behind its end, 0 when more bytes are needed, or an enum http_error; *line has the
 * parts whose end was seen.
 */
static ssize_t
scan_request_line(struct slice in, size_t at, struct request_line *line)
{
	size_t start = at;
	ssize_t r;

	at += http_span(slice_skip(in, at), HTTP_C_TOKEN);
	if (at == in.n)
		return 0;
	if (in.p[at] != ' ')
		return line_broken(in, at, HTTP_E_BAD_LINE);
	if (at == start)
		return HTTP_E_BAD_LINE;
	line->method = slice_of(in.p + start, at - start);

	start = at + 1;
	r = scan_target(in, start);
	if (r <= 0)
		return r;
	line->target = slice_of(in.p + start, (size_t)r - start);

	start = (size_t)r + 1;
	r = scan_version(in, start);
	if (r <= 0)
		return r;
	line->version = slice_of(in.p + start, (size_t)r - start);
	return line_end(in, (size_t)r);
}

/*
 * The ends of the header lines from `at` on. Returns the head's size, 0 when its end is not
 * there yet, or an enum http_error.
 */
static ssize_t
scan_header_lines(struct slice in, size_t at)
{
	size_t n_lines = 0;

	while (at < in.n) {
		const char *lf = memchr(in.p + at, '\n', in.n - at);
		size_t end = lf == NULL ? in.n : (size_t)(lf - in.p);
		const char *cr = memchr(in.p + at, '\r', end - at);
		ssize_t r = line_end(in, cr == NULL ? end : (size_t)(cr - in.p));

		if (r <= 0)
			return r;
		if (in.p[at] == '\r')
			return r;
		if (++n_lines > HTTP_MAX_HEADERS)
			return HTTP_E_TOO_MANY_HEADERS;
		at = (size_t)r;
	}
	return 0;
}

/* What it means that the limit is reached and the head has no end. */
static int
too_large(const struct request_line *line)
{
	if (line->method.p == NULL)
		return HTTP_E_BAD_LINE;
	return line->target.p == NULL ? HTTP_E_TARGET_TOO_LONG : HTTP_E_HEAD_TOO_LARGE;
}

/*
 * The name that begins a header line: most have their colon within sixteen bytes, and are known; then
 * its bytes need no look.
 */
static size_t
span_name(struct slice lines, enum http_field *field)
{
	size_t n = 16;

	if (lines.n >= sizeof(bytes16))
		n = bytes16_first((bytes16)(bytes16_load(lines.p) == ':'));
	*field = n == 16 ? HTTP_FIELD_OTHER : http_field_of(slice_of(lines.p, n));
	if (*field != HTTP_FIELD_OTHER)
		return n;
	n = http_span(lines, HTTP_C_TOKEN);
	*field = http_field_of(slice_of(lines.p, n));
	return n;
}

/*
 * The header line at the start of `lines` (RFC 9112 5.1). Returns its size with its end, or an enum
 * http_error, of which HTTP_E_BAD_HEADER counts only when the first pass has found that the line ends.
 */
static ssize_t
parse_header(struct slice lines, struct http_head *h)
{
	enum http_field field;
	size_t n = span_name(lines, &field);
	struct slice value;

	/* no name, white space before the colon, no colon, obs-fold (5.2) */
	if (n == 0 || n == lines.n || lines.p[n] != ':')
		return HTTP_E_BAD_HEADER;
	value = slice_skip(lines, n + 1);
	value.n = http_span_field(value);
	if (lines.n < n + 1 + value.n + 2 || memcmp(value.p + value.n, "\r\n", 2) != 0)
		return HTTP_E_BAD_HEADER;
	if (h->n_headers == HTTP_MAX_HEADERS)
		return HTTP_E_TOO_MANY_HEADERS;
	if (value.n > 0 && value.p[0] == ' ') /* as nearly always: the rest needs no trimming */
		http_head_put(h, field, slice_of(lines.p, n), slice_trim(slice_skip(value, 1)));
	else
		http_head_put(h, field, slice_of(lines.p, n), slice_trim(value));
	return (ssize_t)(n + 1 + value.n + 2);
}

/*
 * All header lines up to the empty one, each with its CRLF. Returns their size with that of the empty
 * one, or an enum http_error as parse_header.
 */
static ssize_t
parse_headers(struct slice lines, struct http_head *h)
{
	size_t at = 0;

	while (lines.n - at >= 2 && memcmp(lines.p + at, "\r\n", 2) != 0) {
		ssize_t n = parse_header(slice_skip(lines, at), h);

		if (n < 0)
			return n;
		at += (size_t)n;
	}
	return lines.n - at < 2 ? HTTP_E_BAD_HEADER : (ssize_t)(at + 2);
}

static void
split_query(struct slice target, struct http_head *h)
{
	h->query = target;
	h->path = slice_cut(&h->query, '?');
}

/*
 * "http://authority/path?query" (RFC 9112 3.2.2); our own scheme names only. 0 or
 * HTTP_E_BAD_TARGET.
 */
static int
parse_absolute_form(struct slice target, struct http_head *h)
{
	size_t scheme = 0;
	size_t n = 0;

	if (target.n > 7 && slice_eq_nocase(slice_of(target.p, 7), SLICE("http://")))
		scheme = 7;
	else if (target.n > 8 && slice_eq_nocase(slice_of(target.p, 8), SLICE("https://")))
		scheme = 8;
	else
		return HTTP_E_BAD_TARGET;
	target = slice_skip(target, scheme);
	while (n < target.n && target.p[n] != '/' && target.p[n] != '?')
		n++;
	h->authority = slice_of(target.p, n);
	/* RFC 9110 4.2.4: user information is an error as well, and no host has an '@' */
	if (url_split_authority(h->authority, &h->host, &h->port) < 0)
		return HTTP_E_BAD_TARGET;
	split_query(slice_skip(target, n), h);
	if (h->path.n == 0) /* 3.2.4: this is how OPTIONS * comes through a proxy */
		h->path = h->method == HTTP_OPTIONS && h->query.p == NULL ? SLICE("*") : SLICE("/");
	return 0;
}

/* The four forms of RFC 9112 3.2. 0 or HTTP_E_BAD_TARGET. */
static int
parse_target(struct http_head *h)
{
	if (h->method == HTTP_CONNECT) { /* refused by name, so its form does not matter */
		h->path = h->target;
		return 0;
	}
	if (h->target.p[0] == '/') {
		split_query(h->target, h);
		return 0;
	}
	if (slice_eq(h->target, SLICE("*"))) {
		h->path = h->target;
		return h->method == HTTP_OPTIONS ? 0 : HTTP_E_BAD_TARGET;
	}
	return parse_absolute_form(h->target, h);
}

/* RFC 9112 3.2: exactly one, well-formed, whatever the target says; HTTP/1.0 may have none. */
static int
check_host(struct http_head *h)
{
	struct slice value = http_field(h, HTTP_FIELD_HOST);
	struct slice host;
	int port;

	if (h->fields[HTTP_FIELD_HOST] > 1)
		return HTTP_E_MANY_HOSTS;
	if (value.p == NULL)
		return h->minor == 0 ? 0 : HTTP_E_NO_HOST;
	if (url_split_authority(value, &host, &port) < 0)
		return HTTP_E_BAD_HOST;
	if (h->authority.p != NULL) /* the target's counts */
		return 0;
	h->authority = value;
	h->host = host;
	h->port = port;
	return 0;
}

/*
 * Transfer-Encoding that is not one plain `chunked`: something before a final chunked is a
 * coding that we do not have (RFC 9112 6.1, 501); anything else leaves the body's end unknown
 * (6.3, 400).
 */
static int
refuse_encoding(const struct http_head *h)
{
	bool is_final = false;
	size_t n_chunked = 0;
	size_t n_codings = 0;

	for (size_t i = 0; i < h->n_headers; i++) {
		struct slice rest = h->headers[i].value;

		if (!slice_eq_nocase(h->headers[i].name, SLICE("Transfer-Encoding")))
			continue;
		do { /* not http_list_next: empty elements are refused here */
			struct slice coding = slice_trim(slice_cut(&rest, ','));

			if (!http_is_token(coding))
				return HTTP_E_BAD_ENCODING;
			is_final = slice_eq_nocase(coding, SLICE("chunked"));
			n_chunked += is_final;
			n_codings++;
		} while (rest.p != NULL);
	}
	return is_final && n_chunked == 1 && n_codings > 1 ? HTTP_E_UNKNOWN_ENCODING
							   : HTTP_E_BAD_ENCODING;
}

/* How long the body is (RFC 9112 6). 0 or an enum http_error. */
static int
check_framing(struct http_head *h)
{
	unsigned n_lengths = h->fields[HTTP_FIELD_CONTENT_LENGTH];
	unsigned n_encodings = h->fields[HTTP_FIELD_TRANSFER_ENCODING];
	struct slice length = http_field(h, HTTP_FIELD_CONTENT_LENGTH);
	struct slice encoding = http_field(h, HTTP_FIELD_TRANSFER_ENCODING);

	if (n_lengths > 1 || (n_lengths == 1 && slice_to_u64(length, &h->content_length) < 0))
		return HTTP_E_BAD_LENGTH;
	if (n_lengths > 0 && n_encodings > 0)
		return HTTP_E_LENGTH_AND_CHUNKED;
	h->has_length = n_lengths == 1;
	if (n_encodings == 0)
		return 0;
	if (h->minor == 0)
		return HTTP_E_ENCODING_ON_1_0;
	if (n_encodings > 1 || !slice_eq_nocase(encoding, SLICE("chunked")))
		return refuse_encoding(h);
	h->is_chunked = true;
	return 0;
}

/* RFC 9110 10.1.1: on HTTP/1.0 it is ignored, and without a body there is nothing to wait for. */
static int
check_expect(struct http_head *h)
{
	if (h->minor == 0 || h->fields[HTTP_FIELD_EXPECT] == 0)
		return 0;
	for (size_t i = 0; i < h->n_headers; i++) {
		struct slice rest = h->headers[i].value;

		if (!slice_eq_nocase(h->headers[i].name, SLICE("Expect")))
			continue;
		do {
			struct slice what = slice_trim(slice_cut(&rest, ','));

			if (!slice_eq_nocase(what, SLICE("100-continue")))
				return HTTP_E_BAD_EXPECT;
		} while (rest.p != NULL);
		h->expect_continue = h->is_chunked || h->content_length > 0;
	}
	return 0;
}

/* RFC 9112 9.3 and RFC 9110 7.8. */
static void
read_connection(struct http_head *h)
{
	struct slice upgrade = http_field(h, HTTP_FIELD_UPGRADE);
	bool has_close;

	h->keep_alive = h->minor > 0;
	if (h->fields[HTTP_FIELD_CONNECTION] == 0)
		return;
	has_close = http_header_has_token(h, SLICE("Connection"), SLICE("close"));
	if (h->minor == 0)
		h->keep_alive = !has_close &&
				http_header_has_token(h, SLICE("Connection"), SLICE("keep-alive"));
	else
		h->keep_alive = !has_close;
	h->is_upgrade = h->minor > 0 && upgrade.n > 0 &&
			http_header_has_token(h, SLICE("Connection"), SLICE("upgrade"));
}

/* What the head says, once its lines are read. 0 or an enum http_error. */
static int
read_head(const struct request_line *line, struct http_head *h)
{
	int r;

	h->method_text = line->method;
	h->method = http_method_of(line->method);
	h->target = line->target;
	/* RFC 9110 2.5: a higher minor version is read as the highest we know */
	h->minor = line->version.p[line->version.n - 1] == '0' ? 0 : 1;
	r = parse_target(h);
	if (r == 0)
		r = check_host(h);
	if (r == 0)
		r = check_framing(h);
	if (r == 0)
		r = check_expect(h);
	if (r == 0)
		read_connection(h);
	return r;
}

ssize_t
http_parse_head(struct slice in, size_t max_bytes, struct http_head *out)
{
	bool is_full = in.n >= max_bytes;
	struct request_line line = {0};
	struct http_head h UNCLEARED;
	struct slice lines;
	ssize_t end;
	ssize_t n;
	int r;

	if (in.n == 0)
		return 0;
	in.n = min_size(in.n, max_bytes);
	end = skip_empty_lines(in);
	if (end < 0)
		return end;
	end = scan_request_line(in, (size_t)end, &line);
	if (end > 0 && line.version.p[sizeof("HTTP/") - 1] != '1')
		return HTTP_E_BAD_VERSION;
	if (end < 0)
		return end;
	memset(&h, 0, offsetof(struct http_head, headers));
	r = 0;
	if (end > 0) {
		lines = slice_skip(in, (size_t)end);
		n = parse_headers(lines, &h);
		if (n < 0) { /* what is wrong, or missing, in the order of the bytes */
			end = scan_header_lines(in, (size_t)end);
			r = (int)n;
		} else {
			end += n;
		}
	}
	if (end < 0)
		return end;
	if (end == 0)
		return is_full ? too_large(&line) : 0;
	if (r == 0)
		r = read_head(&line, &h);
	if (r < 0)
		return r;
	memcpy(out, &h, offsetof(struct http_head, headers) + h.n_headers * sizeof(h.headers[0]));
	return end;
}
