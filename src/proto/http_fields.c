/*
 * Looking into the fields of a head: by name, lists, cookies, quality values.
 */
#include "proto/http.h"

#include "proto/http_chars.h"

static inline bool
is_exactly(struct slice name, struct slice known)
{
	return name.n == known.n && memcmp(name.p, known.p, known.n) == 0;
}

/* Most write names as the standards do; a comparison with a constant is a few instructions. */
static enum http_field
field_as_written(struct slice name)
{
	unsigned found = HTTP_FIELD_OTHER;

#define X(field, text) found |= is_exactly(name, SLICE(text)) ? HTTP_FIELD_##field : 0u;
	HTTP_FIELDS(X)
#undef X
	return (enum http_field)found;
}

enum http_field
http_field_of(struct slice name)
{
	unsigned found = field_as_written(name);

	if (found != HTTP_FIELD_OTHER)
		return (enum http_field)found;
#define X(field, text) found |= slice_eq_nocase(name, SLICE(text)) ? HTTP_FIELD_##field : 0u;
	HTTP_FIELDS(X)
#undef X
	return (enum http_field)found;
}

void
http_head_add(struct http_head *h, struct slice name, struct slice value)
{
	http_head_put(h, http_field_of(name), name, value);
}

struct slice
http_header(const struct http_head *h, struct slice name, size_t *count)
{
	struct slice first = SLICE_NONE;
	size_t n = 0;

	for (size_t i = 0; i < h->n_headers; i++) {
		if (!slice_eq_nocase(h->headers[i].name, name))
			continue;
		if (n++ == 0)
			first = h->headers[i].value;
	}
	if (count != NULL)
		*count = n;
	return first;
}

/* Bytes before the first separator that stands outside a quoted string; all when there is none. */
static size_t
span_unquoted(struct slice s, char sep)
{
	bool is_quoted = false;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			is_quoted = !is_quoted;
		else if (s.p[i] == '\\' && is_quoted)
			i++;
		else if (s.p[i] == sep && !is_quoted)
			return i;
	}
	return s.n;
}

/* Like slice_cut, but a separator inside a quoted string is none. */
static struct slice
cut_unquoted(struct slice *rest, char sep)
{
	struct slice whole = *rest;
	size_t n = span_unquoted(whole, sep);

	*rest = n < whole.n ? slice_skip(whole, n + 1) : SLICE_NONE;
	return slice_of(whole.p, n);
}

struct slice
http_list_next(struct slice *rest)
{
	while (rest->p != NULL) {
		struct slice element = slice_trim(cut_unquoted(rest, ','));

		if (element.n > 0)
			return element;
	}
	return SLICE_NONE;
}

struct slice
http_elements_next(struct http_elements *e)
{
	struct slice element = http_list_next(&e->rest);

	while (element.p == NULL && e->n_walked < e->head->n_headers) {
		size_t i = e->n_walked++;

		if (!slice_eq_nocase(e->head->headers[i].name, e->name))
			continue;
		e->rest = e->head->headers[i].value;
		element = http_list_next(&e->rest);
	}
	return element;
}

bool
http_header_has_token(const struct http_head *h, struct slice name, struct slice token)
{
	struct http_elements all = {.head = h, .name = name};
	struct slice element;

	while ((element = http_elements_next(&all)).p != NULL) {
		if (slice_eq_nocase(element, token))
			return true;
	}
	return false;
}

/* The cookie of that name in one Cookie header's value (RFC 6265 4.2.1). */
static struct slice
find_cookie(struct slice rest, struct slice name)
{
	while (rest.p != NULL) {
		struct slice value = slice_cut(&rest, ';');
		struct slice key = slice_cut(&value, '=');

		if (value.p == NULL || !slice_eq(slice_trim(key), name))
			continue;
		value = slice_trim(value);
		if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
			value = slice_of(value.p + 1, value.n - 2);
		return value;
	}
	return SLICE_NONE;
}

struct slice
http_cookie(const struct http_head *h, struct slice name)
{
	for (size_t i = 0; i < h->n_headers; i++) {
		struct slice value;

		if (!slice_eq_nocase(h->headers[i].name, SLICE("Cookie")))
			continue;
		value = find_cookie(h->headers[i].value, name);
		if (value.p != NULL)
			return value;
	}
	return SLICE_NONE;
}

/* qvalue = "0" [ "." 0*3DIGIT ] / "1" [ "." 0*3"0" ] (RFC 9110 12.4.2) in thousandths, or -1. */
static int
parse_quality(struct slice s)
{
	int value;

	if (s.n == 0 || s.n > 5 || (s.p[0] != '0' && s.p[0] != '1') || (s.n > 1 && s.p[1] != '.'))
		return -1;
	value = (s.p[0] - '0') * 1000;
	for (size_t i = 2, unit = 100; i < s.n; i++, unit /= 10) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
		value += (s.p[i] - '0') * (int)unit;
	}
	return value <= 1000 ? value : -1;
}

/*
 * The quality among the parameters `rest` of an element; 1000 when there is none, -1 when it is
 * malformed.
 */
static int
find_quality(struct slice rest)
{
	while (rest.p != NULL) {
		struct slice value = cut_unquoted(&rest, ';');
		struct slice name = slice_cut(&value, '=');

		if (slice_eq_nocase(slice_trim(name), SLICE("q")))
			return value.p == NULL ? -1 : parse_quality(slice_trim(value));
	}
	return 1000;
}

/*
 * How closely a range names `want`: 3 exactly, 2 by its type and a wildcard, 1 by the wildcard
 * for all, 0 not at all.
 */
static int
range_rank(struct slice range, struct slice want)
{
	const char *slash = want.n == 0 ? NULL : memchr(want.p, '/', want.n);
	size_t n_type;

	if (slice_eq_nocase(range, want))
		return 3;
	/* RFC 9110 8.4.1.3: an old name of the same coding */
	if (slice_eq(want, SLICE("gzip")) && slice_eq_nocase(range, SLICE("x-gzip")))
		return 3;
	if (slash == NULL)
		return slice_eq(range, SLICE("*")) ? 1 : 0;
	if (slice_eq(range, SLICE("*/*")))
		return 1;
	n_type = (size_t)(slash - want.p) + 1;
	if (range.n == n_type + 1 && range.p[n_type] == '*' &&
	    slice_eq_nocase(slice_of(range.p, n_type), slice_of(want.p, n_type)))
		return 2;
	return 0;
}

/* The best that lists have said of what is wanted. */
struct preference {
	int rank;
	int quality;
};

static void
read_preference(struct slice accept, struct slice want, struct preference *best)
{
	struct slice element;

	while ((element = http_list_next(&accept)).p != NULL) {
		struct slice rest = element;
		struct slice range = slice_trim(cut_unquoted(&rest, ';'));
		int rank = range_rank(range, want);
		int quality = rank == 0 ? -1 : find_quality(rest);

		if (quality < 0 || rank < best->rank ||
		    (rank == best->rank && quality <= best->quality))
			continue;
		best->rank = rank;
		best->quality = quality;
	}
}

int
http_accept_quality(struct slice accept, struct slice want)
{
	struct preference best = {0, -1};

	read_preference(accept, want, &best);
	return best.quality;
}

int
http_header_quality(const struct http_head *h, struct slice name, struct slice want)
{
	struct preference best = {0, -1};

	for (size_t i = 0; i < h->n_headers; i++) {
		if (slice_eq_nocase(h->headers[i].name, name))
			read_preference(h->headers[i].value, want, &best);
	}
	return best.quality;
}
