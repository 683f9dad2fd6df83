/*
 * HTTP/1.1 requests, strictly (RFC 9110, RFC 9112): bytes in, a head with borrowed slices out;
 * then the body's framing. Pure: no I/O, no clock, no allocation. What is ambiguous is refused:
 * a lone LF or CR, obs-fold, space before the colon, CL with TE, several or signed lengths, TE
 * other than exactly `chunked`, TE on 1.0, no or several or malformed Host, control bytes. Any
 * thread.
 */
#ifndef PROTO_HTTP_H
#define PROTO_HTTP_H

#include "base/buf.h"
#include "base/slice.h"

#define HTTP_MAX_HEADERS 200  /* below 256: http_head counts and finds them in bytes */
#define HTTP_MAX_TARGET  8000 /* bytes of a request target; RFC 9112, 3 wants that for a line */

enum http_method {
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_PATCH,
	HTTP_CONNECT,
	HTTP_TRACE,
	HTTP_METHOD_UNKNOWN, /* a well-formed token nobody defined: 501 */
	HTTP_METHODS,
};

/*
 * Why a head or body was refused. One table (http_error_status, http_error_text) maps each to a
 * status and a sentence.
 */
enum http_error {
	HTTP_E_BAD_LINE = -100,  /* request line malformed, HTTP/0.9 */
	HTTP_E_BAD_VERSION,      /* 505: HTTP/2.0 and others of the form HTTP/d.d */
	HTTP_E_TARGET_TOO_LONG,  /* 414 */
	HTTP_E_BAD_TARGET,       /* control bytes, fragment, non-ASCII, authority-form */
	HTTP_E_HEAD_TOO_LARGE,   /* 431 */
	HTTP_E_TOO_MANY_HEADERS, /* 431 */
	/* name not a token, no colon, space before it, obs-fold, bad bytes in a value */
	HTTP_E_BAD_HEADER,
	HTTP_E_BARE_LF,
	HTTP_E_BARE_CR,
	HTTP_E_NO_HOST,
	HTTP_E_MANY_HOSTS,
	HTTP_E_BAD_HOST,
	HTTP_E_BAD_LENGTH, /* Content-Length not one run of digits, overflowing, or several */
	HTTP_E_LENGTH_AND_CHUNKED,
	HTTP_E_BAD_ENCODING,     /* Transfer-Encoding that does not end with one `chunked` */
	HTTP_E_UNKNOWN_ENCODING, /* 501: another coding before it */
	HTTP_E_ENCODING_ON_1_0,
	HTTP_E_BAD_EXPECT, /* 417 */
	HTTP_E_BAD_CHUNK,  /* chunk size, extension or ending malformed */
	HTTP_E_BAD_TRAILER,
	HTTP_E_BODY_TOO_LARGE, /* 413 */
};

/*
 * Fields that every request is asked for are known by number once the head is read: a POST asks some
 * thirty times, mostly for what is not there, and a walk over the names each time was 2,400 of its
 * 26,000 instructions.
 */
#define HTTP_FIELDS(X)                                                                             \
	X(HOST, "Host")                                                                            \
	X(ORIGIN, "Origin")                                                                        \
	X(EXPECT, "Expect")                                                                        \
	X(COOKIE, "Cookie")                                                                        \
	X(UPGRADE, "Upgrade")                                                                      \
	X(CONNECTION, "Connection")                                                                \
	X(CONTENT_TYPE, "Content-Type")                                                            \
	X(AUTHORIZATION, "Authorization")                                                          \
	X(CONTENT_LENGTH, "Content-Length")                                                        \
	X(FORWARDED_FOR, "X-Forwarded-For")                                                        \
	X(FORWARDED_HOST, "X-Forwarded-Host")                                                      \
	X(CONTENT_ENCODING, "Content-Encoding")                                                    \
	X(TRANSFER_ENCODING, "Transfer-Encoding")

enum http_field {
	HTTP_FIELD_OTHER,
#define X(name, text) HTTP_FIELD_##name,
	HTTP_FIELDS(X)
#undef X
	HTTP_FIELD_COUNT,
};

struct http_header {
	struct slice name;  /* as sent; compare without case */
	struct slice value; /* trimmed */
};

struct http_head {
	enum http_method method;
	struct slice method_text;
	struct slice target; /* as sent */
	struct slice path;   /* still percent-encoded, starts with '/'; "*" for OPTIONS * */
	struct slice query;  /* without '?'; absent when there was none */
	/* host[:port]: of an absolute-form target when that was used, else the Host header */
	struct slice authority;
	struct slice host; /* its parts, as url_split_authority finds them */
	int port;
	unsigned minor;  /* 0 or 1 */
	bool keep_alive; /* RFC 9112 9.3: by version and Connection */
	bool is_upgrade; /* `Connection` lists upgrade and there is an Upgrade header (1.1 only) */
	bool is_chunked;
	bool expect_continue; /* 1.1 only; on 1.0 it is ignored */
	bool has_length;
	uint64_t content_length;            /* 0 when absent */
	uint8_t fields[HTTP_FIELD_COUNT];   /* how many there are of each */
	uint8_t first_at[HTTP_FIELD_COUNT]; /* the first one's index, where there is one */
	size_t n_headers;
	struct http_header headers[HTTP_MAX_HEADERS];
};

/*
 * Parse a request head from the start of `in` (leading empty lines, at most a few CRLF, are
 * skipped: RFC 9112 2.2).
 *
 * in        borrowed; the slices of *out point into it
 * max_bytes limit of the whole head (limits.header); a target above HTTP_MAX_TARGET is 414, a
 * head above max_bytes 431
 * out       written on success only (a big struct: keep one a worker)
 *
 * Returns the head's size in bytes; 0 when more bytes are needed; or an enum http_error.
 */
MUST_CHECK ssize_t http_parse_head(struct slice in, size_t max_bytes, struct http_head *out);

/* One more header, counted by its number; there must be room for it. */
void http_head_add(struct http_head *h, struct slice name, struct slice value);
/* The same when its number is known. */
static inline void
http_head_put(struct http_head *h, enum http_field field, struct slice name, struct slice value)
{
	if (h->fields[field]++ == 0)
		h->first_at[field] = (uint8_t)h->n_headers;
	h->headers[h->n_headers++] = (struct http_header){name, value};
}
/* The number of a name (no case); HTTP_FIELD_OTHER when it has none. */
enum http_field http_field_of(struct slice name);

/* The first header of that number, absent if none; h->fields says how many there are. */
static inline struct slice
http_field(const struct http_head *h, enum http_field field)
{
	return h->fields[field] == 0 ? SLICE_NONE : h->headers[h->first_at[field]].value;
}

/*
 * The first header of that name (no case), absent if none. *count (may be NULL): how many there
 * are.
 */
struct slice http_header(const struct http_head *h, struct slice name, size_t *count);

/*
 * Whether a comma-separated list header (all its occurrences) has that token (no case), e.g.
 * Connection: upgrade.
 */
bool http_header_has_token(const struct http_head *h, struct slice name, struct slice token);

/*
 * Walk the comma-separated elements of a header value; quoted strings are kept whole. Start
 * with *rest = value; empty elements are skipped; absent at the end.
 */
struct slice http_list_next(struct slice *rest);

/* The elements of a list header in all its occurrences, in order. */
struct http_elements {
	const struct http_head *head;
	struct slice name; /* no case */
	size_t n_walked;   /* private, and what follows */
	struct slice rest;
};
/* The next one, as http_list_next; {head, name} is the beginning. */
struct slice http_elements_next(struct http_elements *e);

/*
 * One cookie of all Cookie headers (RFC 6265 5.4 as servers read it); the first of that name;
 * surrounding double quotes removed. Absent if none.
 */
struct slice http_cookie(const struct http_head *h, struct slice name);

/* The decoder of a request body. */
struct http_body {
	uint64_t left;     /* bytes left of the content or of the current chunk */
	uint64_t received; /* body bytes handed out so far */
	uint64_t max;      /* limit of received; above it HTTP_E_BODY_TOO_LARGE */
	size_t overhead;   /* chunk lines and trailers so far: bounded too */
	uint8_t state;     /* private */
	bool is_done;
};

/* Of the request with that head; max_bytes: of the content. */
void http_body_init(struct http_body *b, const struct http_head *h, uint64_t max_bytes);

/*
 * Take body bytes from `in`.
 *
 * piece     set to the body bytes found at the start of what was consumed (borrowed from in;
 *           may be empty)
 *
 * Returns the bytes consumed (may be 0 when more are needed; b->is_done tells the end), or an
 * enum http_error. Call again while it consumes something and not is_done. Trailers are read,
 * checked for form and dropped.
 */
MUST_CHECK ssize_t http_body_decode(struct http_body *b, struct slice in, struct slice *piece);

/* Status code and sentence for people of an enum http_error. */
int http_error_status(int error);
const char *http_error_text(int error);

/* HTTP_METHOD_UNKNOWN when it is none of ours. */
enum http_method http_method_of(struct slice name);
/* "GET", … ; "" for unknown. */
const char *http_method_name(enum http_method m);
/* Reason phrase; "" when unknown. */
const char *http_status_text(int status);

/* True when s is a token (RFC 9110 5.6.2), at least one byte. */
bool http_is_token(struct slice s);

/* --- dates (RFC 9110 5.6.7) --- */
#define HTTP_DATE_SIZE 30
/* "Sun, 06 Nov 1994 08:49:37 GMT"; returns out. */
const char *http_date_format(int64_t unix_s, char out[HTTP_DATE_SIZE]);
/* IMF-fixdate, RFC 850 and asctime forms. 0 or -1. */
MUST_CHECK int http_date_parse(struct slice s, int64_t *unix_s);

/* RFC 3339 time with Z or offset, optional fraction → microseconds since 1970. 0 or -1. */
MUST_CHECK int rfc3339_parse(struct slice s, int64_t *unix_us);

/*
 * q-value of a media type or coding in an Accept-like header: 0..1000, -1 when not mentioned.
 * For `accept_quality(accept, "text/event-stream")` wildcards count when nothing more specific
 * is there (`*` for codings).
 */
int http_accept_quality(struct slice accept, struct slice want);
/* The same over all lines of that header, which are one list (RFC 9110 5.3). */
int http_header_quality(const struct http_head *h, struct slice name, struct slice want);

#endif
