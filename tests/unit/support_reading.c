#include <ctype.h>

#include "proto/http.h"
#include "tests/unit/support_oracle.h"

/* Our parser's reading of a request, and what we refuse that others take. */

/*
 * CONNECT has no body there, and other methods than ours are refused; a header whose name only begins with Transfer-Encoding is taken for it.
 */
static bool
is_apart(const struct http_head *h)
{
	struct slice encoding = SLICE("Transfer-Encoding");

	for (size_t i = 0; i < h->n_headers; i++) {
		struct slice name = h->headers[i].name;

		if (name.n > encoding.n && slice_eq_nocase(slice_of(name.p, encoding.n), encoding))
			return true;
	}
	return h->method == HTTP_METHOD_UNKNOWN || h->method == HTTP_CONNECT;
}

/* A line that could be a trailer field which the oracle heeds, and we ignore (RFC 9110, 6.5.1). */
static bool
has_framing(struct slice in)
{
	static const char *const names[] = {
	    "Content-Length", "Transfer-Encoding", "Connection", "Proxy-Connection", "Upgrade"};

	while (in.p != NULL) {
		struct slice line = slice_cut(&in, '\n');

		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			size_t n = strlen(names[i]);

			if (line.n >= n &&
			    slice_eq_nocase(slice_of(line.p, n), slice_str(names[i])))
				return true;
		}
	}
	return false;
}

/* What could be a chunk's size with a tab behind it, which RFC 9112, 7.1.1 allows (BWS) and the oracle does not. */
static bool
has_tab_behind_size(struct slice in)
{
	while (in.p != NULL) {
		struct slice line = slice_cut(&in, '\n');
		size_t n = 0;

		while (n < line.n && isxdigit((unsigned char)line.p[n]))
			n++;
		if (n > 0 && n < line.n && line.p[n] == '\t')
			return true;
	}
	return false;
}

int
ours_read(struct slice in, size_t max, struct reading *r)
{
	struct http_head h;
	struct http_body body;
	ssize_t n = http_parse_head(in, max, &h);

	if (n <= 0)
		return (int)n;
	r->is_head_whole = true;
	r->is_apart =
	    is_apart(&h) || (h.is_chunked && (has_framing(slice_skip(in, (size_t)n)) ||
						 has_tab_behind_size(slice_skip(in, (size_t)n))));
	(void)buf_printf(
	    &r->text, "%.*s %.*s 1.%u\n", SLICE_ARG(h.method_text), SLICE_ARG(h.target), h.minor);
	for (size_t i = 0; i < h.n_headers; i++)
		(void)buf_printf(&r->text, "%.*s: %.*s\n", SLICE_ARG(h.headers[i].name),
		    SLICE_ARG(h.headers[i].value));
	(void)BUF_ADD_LIT(&r->text, "\n");
	r->keep_alive = h.keep_alive;
	r->n_bytes = (size_t)n;
	http_body_init(&body, &h, max);
	while (!body.is_done) {
		struct slice piece;

		n = http_body_decode(&body, slice_skip(in, r->n_bytes), &piece);
		if (n <= 0)
			return (int)n;
		(void)buf_add_slice(&r->text, piece);
		r->n_bytes += (size_t)n;
	}
	r->is_whole = true;
	return 0;
}

bool
oracle_agrees(struct slice in, int ours, const struct reading *r)
{
	struct reading theirs = {.text = BUF_INIT(r->text.max)};
	bool agrees = true;

	if (!oracle_is_there() || ours < 0 || r->is_apart)
		return true;
	if (!oracle_read(in, &theirs))
		agrees = !r->is_head_whole; /* ours looks at fields when all are there */
	else if (r->is_head_whole != theirs.is_head_whole)
		agrees = false;
	else if (r->is_head_whole)
		agrees = slice_eq(buf_slice(&r->text), buf_slice(&theirs.text)) &&
			 r->is_whole == theirs.is_whole &&
			 (!r->is_whole || (r->n_bytes == theirs.n_bytes &&
					      (theirs.keep_alive || !r->keep_alive)));
	buf_done(&theirs.text);
	return agrees;
}

/* --- differences --- */

/* The head without the empty line at its end, however its lines end. */
static struct slice
head_of(struct slice in)
{
	for (size_t i = 0; i + 1 < in.n; i++) {
		if (i > 0 && in.p[i] == '\n' &&
		    (in.p[i + 1] == '\n' ||
			(i + 2 < in.n && in.p[i + 1] == '\r' && in.p[i + 2] == '\n')))
			return slice_of(in.p, i + 1);
	}
	return in;
}

/* How many lines of the head are a header of that name; *value is that of the last. */
static unsigned
count_headers(struct slice in, const char *name, struct slice *value)
{
	struct slice rest = head_of(in);
	unsigned n = 0;

	*value = SLICE("");
	while (rest.p != NULL) {
		struct slice line = slice_cut(&rest, '\n');
		struct slice this_value = line;
		struct slice this_name = slice_trim(slice_cut(&this_value, ':'));

		if (this_value.p == NULL || !slice_eq_nocase(this_name, slice_str(name)))
			continue;
		if (this_value.n > 0 && this_value.p[this_value.n - 1] == '\r')
			this_value.n--;
		*value = slice_trim(this_value);
		n++;
	}
	return n;
}

static bool
has_bare(struct slice in, char what)
{
	for (size_t i = 0; i < in.n; i++) {
		bool is_pair = what == '\n' ? i > 0 && in.p[i - 1] == '\r'
					    : i + 1 < in.n && in.p[i + 1] == '\n';

		if (in.p[i] == what && !is_pair)
			return true;
	}
	return false;
}

/* The request line without its end; empty lines may be before it. */
static struct slice
first_line(struct slice in)
{
	struct slice line;

	while (slice_has_prefix(in, SLICE("\r\n")))
		in = slice_skip(in, 2);
	line = slice_cut(&in, '\n');
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

/* The request line is no "token target HTTP/d.d" with single spaces. */
static bool
has_bad_line(struct slice in)
{
	struct slice rest = first_line(in);
	struct slice method = slice_cut(&rest, ' ');
	struct slice target = rest.p == NULL ? SLICE("") : slice_cut(&rest, ' ');

	return !http_is_token(method) || target.n == 0 || rest.n != 8 ||
	       !slice_has_prefix(rest, SLICE("HTTP/"));
}

/* Before the path more than letters, digits, dots and hyphens, and a port of digits. */
static bool
has_odd_host(struct slice s)
{
	bool in_port = false;
	size_t n = 0;

	for (; n < s.n && memchr("/?", s.p[n], 2) == NULL; n++) {
		if (in_port ? !isdigit((unsigned char)s.p[n])
			    : !isalnum((unsigned char)s.p[n]) && memchr(".-:", s.p[n], 3) == NULL)
			return true;
		in_port = in_port || s.p[n] == ':';
	}
	return n == 0 || s.p[0] == ':';
}

/* Bytes that RFC 3986 has in no path or query; authority-form; `*` for what is no OPTIONS. */
static bool
has_bad_target(struct slice in)
{
	struct slice rest = first_line(in);
	struct slice method = slice_cut(&rest, ' ');
	struct slice target = rest.p == NULL ? SLICE("") : slice_cut(&rest, ' ');
	struct slice scheme;

	for (size_t i = 0; i < target.n; i++) {
		if (strchr("#\"<>\\^`{|}[]", target.p[i]) != NULL ||
		    (unsigned char)target.p[i] >= 0x7f || (unsigned char)target.p[i] <= ' ')
			return true;
	}
	if (slice_eq(target, SLICE("*")))
		return !slice_eq(method, SLICE("OPTIONS"));
	rest = target;
	scheme = slice_cut(&rest, ':');
	if (slice_eq_nocase(scheme, SLICE("http")) || slice_eq_nocase(scheme, SLICE("https")))
		return !slice_has_prefix(rest, SLICE("//")) || has_odd_host(slice_skip(rest, 2));
	return target.n == 0 || target.p[0] != '/';
}

/* A line of the head that is no "token: value", or folded, or with a control byte. */
static bool
has_bad_header(struct slice in)
{
	struct slice rest = head_of(in);

	while (slice_has_prefix(rest, SLICE("\r\n")))
		rest = slice_skip(rest, 2);
	(void)slice_cut(&rest, '\n'); /* the request line */
	while (rest.p != NULL && rest.n > 0) {
		struct slice value = slice_cut(&rest, '\n');
		struct slice name = slice_cut(&value, ':');

		if (!http_is_token(name) || value.p == NULL)
			return true;
		for (size_t i = 0; i < value.n; i++) {
			unsigned char c = (unsigned char)value.p[i];

			if ((c < ' ' && c != '\t' && c != '\r') || c == 0x7f)
				return true;
		}
	}
	return false;
}

static bool
is_number(struct slice s)
{
	uint64_t n;

	return slice_to_u64(s, &n) == 0;
}

bool
difference_is_meant(struct slice in, int error)
{
	struct slice length;
	struct slice encoding;
	struct slice host;
	struct slice expect;
	unsigned n_lengths = count_headers(in, "Content-Length", &length);
	unsigned n_encodings = count_headers(in, "Transfer-Encoding", &encoding);
	unsigned n_hosts = count_headers(in, "Host", &host);

	switch (error) {
	case HTTP_E_BARE_LF: /* RFC 9112, 2.2: may be taken; a proxy in front may not */
		return has_bare(in, '\n');
	case HTTP_E_BARE_CR:
		return has_bare(in, '\r');
	case HTTP_E_BAD_LINE: /* HTTP/0.9, more than one space */
		return has_bad_line(in);
	case HTTP_E_BAD_VERSION:
		return memmem(first_line(in).p, first_line(in).n, "HTTP/1.", 7) == NULL;
	case HTTP_E_BAD_TARGET:
		return has_bad_target(in);
	case HTTP_E_BAD_HEADER: /* 5.1, 5.2: obs-fold and space before the colon */
		return has_bad_header(in);
	case HTTP_E_NO_HOST: /* 3.2 */
		return n_hosts == 0;
	case HTTP_E_MANY_HOSTS:
		return n_hosts > 1;
	case HTTP_E_BAD_HOST:
		return n_hosts == 1 && !slice_eq(host, SLICE("h")) &&
		       !slice_eq(host, SLICE("h:80"));
	case HTTP_E_BAD_LENGTH: /* 6.3: the same twice may be taken as one */
		return n_lengths > 1 || !is_number(length);
	case HTTP_E_LENGTH_AND_CHUNKED: /* 6.3, 6.1: may be taken by forgetting the length */
		return n_lengths > 0 && n_encodings > 0;
	case HTTP_E_UNKNOWN_ENCODING:
	case HTTP_E_BAD_ENCODING:
		return n_encodings > 1 || !slice_eq_nocase(encoding, SLICE("chunked"));
	case HTTP_E_ENCODING_ON_1_0: /* 6.1 */
		return n_encodings > 0 && memmem(in.p, in.n, "HTTP/1.0", 8) != NULL;
	case HTTP_E_BAD_EXPECT:
		return count_headers(in, "Expect", &expect) > 1 ||
		       !slice_eq_nocase(expect, SLICE("100-continue"));
	case HTTP_E_BAD_CHUNK: /* extensions that are none, spaces, sizes without end */
	case HTTP_E_BAD_TRAILER:
		return n_encodings == 1;
	default: /* sizes: ours are smaller */
		return error == HTTP_E_BODY_TOO_LARGE;
	}
}
