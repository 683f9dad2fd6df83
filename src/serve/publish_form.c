#include "serve/publish_form.h"

#include <errno.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "core/field.h"
#include "proto/json.h"
#include "proto/url.h"
#include "serve/query.h"

/* The names, by where they may stand; the order is that of publish_fields.values. */
enum field {
	F_TOPIC,
	F_MESSAGE,
	F_DATA,
	F_TITLE,
	F_EVENT,
	F_PRIORITY,
	F_TAGS,
	F_CLICK,
	F_AT,
	F_TTL,
	F_KEY,
	F_TO
};
_Static_assert(F_TO + 1 == PUBLISH_FIELDS, "a value for each name");

#define TEXT(text)                                                                                 \
	{                                                                                          \
		(text), sizeof(text) - 1                                                           \
	}
#define HEADER_MAX 8 /* bytes of the longest header's name, without X- */

static const struct {
	struct slice name;   /* in forms and queries */
	struct slice header; /* absent: not a header; also with X- before it */
	bool in_query;
} fields[] = {
    [F_TOPIC] = {TEXT("topic"), {NULL, 0}, false},
    [F_MESSAGE] = {TEXT("message"), {NULL, 0}, false},
    [F_DATA] = {TEXT("data"), {NULL, 0}, false},
    [F_TITLE] = {TEXT("title"), TEXT("Title"), true},
    [F_EVENT] = {TEXT("event"), TEXT("Event"), true},
    [F_PRIORITY] = {TEXT("priority"), TEXT("Priority"), true},
    [F_TAGS] = {TEXT("tags"), TEXT("Tags"), true},
    [F_CLICK] = {TEXT("click"), TEXT("Click"), true},
    [F_AT] = {TEXT("at"), TEXT("At"), true},
    [F_TTL] = {TEXT("ttl"), TEXT("Ttl"), true},
    [F_KEY] = {TEXT("key"), TEXT("Key"), true},
    [F_TO] = {TEXT("to"), {NULL, 0}, false},
};

void
publish_fields_begin(struct publish_fields *f)
{
	memset(
	    f, 0, offsetof(struct publish_fields, data)); /* 400 bytes that most have no use for */
	json_begin(&f->data);
}

void
publish_fields_done(struct publish_fields *f)
{
	mem_free(f->form.p); /* most own nothing */
	mem_free(f->query.p);
	mem_free(f->quoted.p);
	json_done(&f->data);
}

static int
field_of(struct slice decoded_name)
{
	for (size_t i = 0; i < PUBLISH_FIELDS; i++) {
		if (slice_eq(decoded_name, fields[i].name))
			return (int)i;
	}
	return -1;
}

/*
 * Behind what was decoded already. There is room: nothing becomes longer, and the room for all of it
 * was made at once, so that what was decoded before stays where it is.
 */
static int
decode(struct buf *text, struct slice encoded, struct slice *out)
{
	ssize_t n = url_decode(encoded, true, text->p + text->n);

	if (n < 0)
		return -1;
	*out = slice_of(text->p + text->n, (size_t)n);
	text->n += (size_t)n;
	return 0;
}

static int
name_of(struct slice encoded)
{
	char name[32];
	ssize_t n = encoded.n > sizeof(name) ? -1 : url_decode(encoded, true, name);

	return n < 0 ? -1 : field_of(slice_of(name, (size_t)n));
}

/*
 * A form only when every pair has one of our names and a value, and message, title or data is
 * among them; curl's default type says nothing.
 */
static bool
is_form(struct slice body)
{
	struct slice rest = body;
	struct slice name;
	struct slice value;
	bool has_content = false;

	while (url_query_next(&rest, &name, &value)) {
		int f = name_of(name);

		if (f < 0 || value.p == NULL)
			return false;
		has_content = has_content || f == F_MESSAGE || f == F_TITLE || f == F_DATA;
	}
	return has_content;
}

static int
read_form(struct slice body, struct publish_fields *f, struct refusal *why)
{
	struct slice rest = body;
	struct slice name;
	struct slice value;

	f->form = BUF_INIT(SIZE_MAX / 4); /* bounded by what the body may have */
	if (buf_reserve(&f->form, body.n + 1) < 0)
		return refuse_memory(why);
	while (url_query_next(&rest, &name, &value)) {
		int i = name_of(name);

		if (i >= 0 && decode(&f->form, value, &f->values[i]) == 0)
			continue;
		return refuse(why, ERROR_BAD_FIELD, "the form's %s cannot be decoded",
		    i < 0 ? "field" : fields[i].name.p);
	}
	return 0;
}

/* The fields whose headers have that many letters; 0 (no header) ends a row. A test asks for each. */
static const uint8_t headers_by_length[HEADER_MAX + 1][4] = {
    [2] = {F_AT},
    [3] = {F_TTL, F_KEY},
    [4] = {F_TAGS},
    [5] = {F_TITLE, F_EVENT, F_CLICK},
    [8] = {F_PRIORITY},
};
_Static_assert(F_TOPIC == 0, "what ends a row is no header");

static int
field_of_header(struct slice name)
{
	const uint8_t *candidates;

	if (name.n > HEADER_MAX)
		return -1;
	candidates = headers_by_length[name.n];
	for (size_t i = 0; candidates[i] != F_TOPIC; i++) {
		if (slice_eq_nocase(name, fields[candidates[i]].header))
			return candidates[i];
	}
	return -1;
}

/* RFC 9218's Priority, which browsers add by themselves, is not ours: another place may have that. */
static bool
is_foreign(int field, struct slice value)
{
	return field == F_PRIORITY && draft_priority(value) == 0;
}

/*
 * What the body did not say: the first header of that name, else of the same name behind "X-". One
 * walk over the headers for all names.
 */
static void
read_headers(const struct http_head *head, struct publish_fields *f)
{
	unsigned by_x = 0; /* bits of what a header without "X-" still changes */

	for (size_t i = 0; i < head->n_headers; i++) {
		struct slice name = head->headers[i].name;
		bool has_x = name.n > 2 && (name.p[0] | 0x20) == 'x' && name.p[1] == '-';
		int field = field_of_header(has_x ? slice_skip(name, 2) : name);
		unsigned bit = field < 0 ? 0 : 1U << field;

		if (bit == 0 || (f->values[field].p != NULL && (has_x || (by_x & bit) == 0)) ||
		    is_foreign(field, head->headers[i].value))
			continue;
		f->values[field] = head->headers[i].value;
		by_x = has_x ? by_x | bit : by_x & ~bit;
	}
}

/* Query parameters, for what nothing before them said. */
static int
read_query(struct exchange *x, struct publish_fields *f, struct refusal *why)
{
	size_t n = x->head->query.n;
	int r = 0;

	if (n == 0)
		return 0;
	f->query = BUF_INIT(SIZE_MAX / 4);                  /* bounded by what the head may have */
	if (buf_reserve(&f->query, n + PUBLISH_FIELDS) < 0) /* a NUL behind each */
		return refuse_memory(why);
	for (size_t i = 0; i < PUBLISH_FIELDS && r >= 0; i++) {
		size_t start = f->query.n;

		if (f->values[i].p != NULL || !fields[i].in_query)
			continue;
		r = query_get(x, fields[i].name.p, &f->query, why);
		if (r > 0)
			f->values[i] = slice_skip(buf_slice(&f->query), start);
	}
	return r < 0 ? -1 : 0;
}

/* `data` of a form is JSON when it parses, else a string. */
static int
take_data(struct publish_fields *f, struct draft *d, struct refusal *why)
{
	struct slice text = f->values[F_DATA];
	int r = json_read(text, &f->data, NULL);

	if (r == JSON_E_MEMORY)
		return refuse_memory(why); /* it may be JSON */
	if (r < 0 && !utf8_is_valid(text))
		return refuse(why, ERROR_BAD_FIELD, "data is not UTF-8");
	if (r < 0) {
		f->quoted = BUF_INIT(text.n * 6 + 16);
		r = json_add_string(&f->quoted, text) < 0
			? JSON_E_MEMORY
			: json_read(buf_slice(&f->quoted), &f->data, NULL);
		if (r == JSON_E_MEMORY)
			return refuse_memory(why);
		if (r < 0)
			return refuse(
			    why, ERROR_BAD_FIELD, "data cannot be a JSON text or a string");
		text = buf_slice(&f->quoted);
	}
	d->data = text;
	return field_text(&f->data, json_whole(&f->data), &d->data_text, why);
}

/*
 * Tags are a list: the lines of a header are one value (RFC 9110, 5.3). The first line is in values,
 * these are the others of that name.
 */
static int
take_more_tags(const struct http_head *head, const struct publish_fields *f, struct draft *d,
    struct refusal *why)
{
	struct slice name = SLICE_NONE;

	for (size_t i = 0; i < head->n_headers; i++) {
		const struct http_header *h = &head->headers[i];

		if (name.p == NULL && h->value.p == f->values[F_TAGS].p)
			name = h->name;
		else if (name.p == NULL || !slice_eq_nocase(h->name, name))
			continue;
		else if (!utf8_is_valid(h->value))
			return refuse(why, ERROR_BAD_FIELD, "tags is not UTF-8");
		else if (draft_set_tags(d, h->value, why) < 0)
			return -1;
	}
	return 0;
}

static int
take_ttl(const struct publish_fields *f, struct draft *d, struct refusal *why)
{
	struct slice s = slice_trim(f->values[F_TTL]);

	if (slice_to_u64(s, &d->ttl_s) < 0 || d->ttl_s == 0 || d->ttl_s > DRAFT_TTL_MAX)
		return refuse(why, ERROR_BAD_FIELD, "ttl must be seconds from 1 to %llu",
		    (unsigned long long)DRAFT_TTL_MAX);
	return 0;
}

static int
take_all(
    const struct http_head *head, struct publish_fields *f, struct draft *d, struct refusal *why)
{
	const struct slice *values = f->values;

	d->topic = values[F_TOPIC];
	d->text = values[F_MESSAGE];
	d->title = values[F_TITLE];
	d->event = values[F_EVENT];
	d->click = values[F_CLICK];
	d->key = values[F_KEY];
	d->to = values[F_TO];
	d->at = values[F_AT];
	for (size_t i = 0; i < PUBLISH_FIELDS; i++) {
		if (i != F_MESSAGE && values[i].p != NULL && !utf8_is_valid(values[i]))
			return refuse(why, ERROR_BAD_FIELD, "%s is not UTF-8", fields[i].name.p);
	}
	if (values[F_PRIORITY].p != NULL) /* other values are those of RFC 9218, for proxies */
		d->priority = draft_priority(values[F_PRIORITY]);
	/* as every empty field of a form, or header: it is not there */
	if (!utf8_is_blank(values[F_TTL]) && take_ttl(f, d, why) < 0)
		return -1;
	if (values[F_TAGS].p != NULL &&
	    (draft_set_tags(d, values[F_TAGS], why) < 0 || take_more_tags(head, f, d, why) < 0))
		return -1;
	return utf8_is_blank(values[F_DATA]) ? 0 : take_data(f, d, why);
}

int
publish_read_fields(struct exchange *x, bool may_be_form, struct publish_fields *f,
    struct draft *out, struct refusal *why)
{
	if (may_be_form && is_form(x->body)) {
		if (read_form(x->body, f, why) < 0)
			return -1;
	} else {
		f->values[F_MESSAGE] = x->body;
	}
	read_headers(x->head, f);
	if (read_query(x, f, why) < 0)
		return -1;
	return take_all(x->head, f, out, why);
}
