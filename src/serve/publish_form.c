#include "serve/publish_form.h"

#include <errno.h>

#include "base/utf8.h"
#include "proto/json.h"
#include "proto/url.h"
#include "serve/query.h"

#define FIELD_MAX (8 * 1024)
#define TTL_MAX_S ((uint64_t)10 * 365 * 24 * 3600)

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

static const struct {
	const char *name;   /* in forms and queries */
	const char *header; /* NULL: not a header; also with X- before it */
	bool in_query;
} fields[] = {
    [F_TOPIC] = {"topic", NULL, false},
    [F_MESSAGE] = {"message", NULL, false},
    [F_DATA] = {"data", NULL, false},
    [F_TITLE] = {"title", "Title", true},
    [F_EVENT] = {"event", "Event", true},
    [F_PRIORITY] = {"priority", "Priority", true},
    [F_TAGS] = {"tags", "Tags", true},
    [F_CLICK] = {"click", "Click", true},
    [F_AT] = {"at", "At", true},
    [F_TTL] = {"ttl", "Ttl", true},
    [F_KEY] = {"key", "Key", true},
    [F_TO] = {"to", NULL, false},
};

void
publish_fields_init(struct publish_fields *f)
{
	*f = (struct publish_fields){0};
	for (size_t i = 0; i < PUBLISH_FIELDS; i++)
		f->values[i] =
		    BUF_INIT(SIZE_MAX / 4); /* bounded by what the body and the head may have */
}

void
publish_fields_done(struct publish_fields *f)
{
	for (size_t i = 0; i < PUBLISH_FIELDS; i++)
		buf_done(&f->values[i]);
	cJSON_Delete(f->data);
}

static int
field_of(struct slice decoded_name)
{
	for (size_t i = 0; i < PUBLISH_FIELDS; i++) {
		if (slice_eq(decoded_name, slice_str(fields[i].name)))
			return (int)i;
	}
	return -1;
}

static int
decode_into(struct buf *out, struct slice encoded)
{
	ssize_t n;

	buf_reset(out);
	if (buf_reserve(out, encoded.n + 1) < 0)
		return -1;
	n = url_decode(encoded, true, out->p);
	if (n < 0)
		return -1;
	out->n = (size_t)n;
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
read_form(
    struct slice body, struct publish_fields *f, bool present[PUBLISH_FIELDS], struct refusal *why)
{
	struct slice rest = body;
	struct slice name;
	struct slice value;

	while (url_query_next(&rest, &name, &value)) {
		int i = name_of(name);

		if (i >= 0 && decode_into(&f->values[i], value) == 0) {
			present[i] = true;
			continue;
		}
		if (i >= 0 && f->values[i].error == -ENOMEM)
			return refuse_memory(why);
		return refuse(why, ERROR_BAD_FIELD, "the form's %s cannot be decoded",
		    i < 0 ? "field" : fields[i].name);
	}
	return 0;
}

/* The header of that name, else of the same name behind "X-". */
static struct slice
find_header(const struct http_head *head, struct slice name)
{
	struct slice with_x = SLICE_NONE;

	for (size_t i = 0; i < head->n_headers; i++) {
		const struct http_header *h = &head->headers[i];

		if (slice_eq_nocase(h->name, name))
			return h->value;
		if (with_x.p == NULL && h->name.n == name.n + 2 &&
		    slice_eq_nocase(slice_of(h->name.p, 2), SLICE("X-")) &&
		    slice_eq_nocase(slice_skip(h->name, 2), name))
			with_x = h->value;
	}
	return with_x;
}

/* Headers, then query parameters, for what the body did not say. */
static int
read_rest(
    struct exchange *x, struct publish_fields *f, bool present[PUBLISH_FIELDS], struct refusal *why)
{
	struct query q = QUERY_INIT(x);
	int r = 0;

	for (size_t i = 0; i < PUBLISH_FIELDS && r >= 0; i++) {
		struct slice value = fields[i].header == NULL
					 ? SLICE_NONE
					 : find_header(x->head, slice_str(fields[i].header));

		if (present[i] || (value.p == NULL && !fields[i].in_query))
			continue;
		if (value.p != NULL) {
			f->values[i] = buf_of(value, SIZE_MAX / 4);
			present[i] = true;
			continue;
		}
		if (x->head->query.n == 0)
			continue;
		r = query_get(&q, fields[i].name, &f->values[i], why);
		present[i] = r > 0;
	}
	query_done(&q);
	return r < 0 ? -1 : 0;
}

/* `data` of a form is JSON when it parses, else a string. */
static int
take_data(struct publish_fields *f, struct draft *d, struct refusal *why)
{
	struct buf *b = &f->values[F_DATA];
	struct buf quoted = BUF_INIT(b->n * 6 + 16);

	int r = json_parse(buf_slice(b), &f->data, NULL);

	if (r == JSON_E_MEMORY)
		return refuse_memory(why); /* it may be JSON */
	if (r == 0) {
		d->data = buf_slice(b);
		d->data_text = json_string(f->data);
		return 0;
	}
	if (!utf8_is_valid(buf_slice(b)))
		return refuse(why, ERROR_BAD_FIELD, "data is not UTF-8");
	r = json_add_string(&quoted, buf_slice(b)) < 0
		? JSON_E_MEMORY
		: json_parse(buf_slice(&quoted), &f->data, NULL);
	if (r < 0) {
		buf_done(&quoted);
		if (r == JSON_E_MEMORY)
			return refuse_memory(why);
		return refuse(why, ERROR_BAD_FIELD, "data cannot be a JSON text or a string");
	}
	buf_done(b);
	*b = quoted;
	d->data = buf_slice(b);
	d->data_text = json_string(f->data);
	return 0;
}

static int
take_ttl(const struct publish_fields *f, struct draft *d, struct refusal *why)
{
	struct slice s = slice_trim(buf_slice(&f->values[F_TTL]));

	if (slice_to_u64(s, &d->ttl_s) < 0 || d->ttl_s == 0 || d->ttl_s > TTL_MAX_S)
		return refuse(why, ERROR_BAD_FIELD, "ttl must be seconds from 1 to %llu",
		    (unsigned long long)TTL_MAX_S);
	return 0;
}

static int
take_all(struct publish_fields *f, const bool present[PUBLISH_FIELDS], struct draft *d,
    struct refusal *why)
{
	struct {
		enum field field;
		struct slice *to;
	} texts[] = {{F_TOPIC, &d->topic}, {F_MESSAGE, &d->text}, {F_TITLE, &d->title},
	    {F_EVENT, &d->event}, {F_CLICK, &d->click}, {F_KEY, &d->key}, {F_TO, &d->to},
	    {F_AT, &d->at}};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (present[texts[i].field])
			*texts[i].to = buf_slice(&f->values[texts[i].field]);
	}
	for (size_t i = 0; i < PUBLISH_FIELDS; i++) {
		if (i != F_MESSAGE && present[i] && !utf8_is_valid(buf_slice(&f->values[i])))
			return refuse(why, ERROR_BAD_FIELD, "%s is not UTF-8", fields[i].name);
	}
	if (present[F_PRIORITY]) /* other values are those of RFC 9218, for proxies */
		d->priority = draft_priority(buf_slice(&f->values[F_PRIORITY]));
	if (present[F_TTL] && take_ttl(f, d, why) < 0)
		return -1;
	if (present[F_TAGS] && draft_set_tags(d, buf_slice(&f->values[F_TAGS]), why) < 0)
		return -1;
	return present[F_DATA] ? take_data(f, d, why) : 0;
}

int
publish_read_fields(struct exchange *x, bool may_be_form, struct publish_fields *f,
    struct draft *out, struct refusal *why)
{
	bool present[PUBLISH_FIELDS] = {false};

	if (may_be_form && is_form(x->body)) {
		if (read_form(x->body, f, present, why) < 0)
			return -1;
	} else {
		f->values[F_MESSAGE] = buf_of(x->body, SIZE_MAX / 4);
		present[F_MESSAGE] = true;
	}
	if (read_rest(x, f, present, why) < 0)
		return -1;
	return take_all(f, present, out, why);
}
