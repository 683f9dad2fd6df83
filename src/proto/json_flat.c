/*
 * A value without a tree: its outermost members as places in the text.
 */
#include "base/mem.h"
#include "proto/json.h"
#include "proto/json_text.h"

#define INTEGER_DIGITS 15 /* so many are below 2^53 for certain */
#define EXPONENT_STOP  99999
#define COUNT_END      9007199254740992.0 /* 2^53: doubles from here on are integers */

/* A string that had escapes. */
struct json_text {
	struct json_text *next;
	char bytes[];
};

void
json_done(struct json_flat *f)
{
	struct json_text *next;

	for (; f->texts != NULL; f->texts = next) {
		next = f->texts->next;
		mem_free(f->texts);
	}
	if (f->members != f->first)
		mem_free(f->members);
	json_begin(f);
}

static int
grow(struct json_flat *f)
{
	bool is_first = f->members == f->first;
	struct json_member *more =
	    mem_realloc(is_first ? NULL : f->members, 2 * f->cap * sizeof(*more));

	if (more == NULL)
		return JSON_E_MEMORY;
	if (is_first)
		memcpy(more, f->first, f->n * sizeof(*more));
	f->members = more;
	f->cap *= 2;
	return 0;
}

int
json_flat_add(struct json_flat *f, const struct json_place *name, const struct json_place *value)
{
	if (f->n == f->cap && grow(f) < 0)
		return JSON_E_MEMORY;
	f->members[f->n++] = (struct json_member){*name, *value};
	return 0;
}

/* What begins with that byte, in a checked text. */
static enum json_kind
kind_of(char first)
{
	switch (first) {
	case '{':
		return JSON_IS_OBJECT;
	case '[':
		return JSON_IS_ARRAY;
	case '"':
		return JSON_IS_STRING;
	case 't':
		return JSON_IS_TRUE;
	case 'f':
		return JSON_IS_FALSE;
	case 'n':
		return JSON_IS_ABSENT;
	default:
		return JSON_IS_NUMBER;
	}
}

static struct json_value
value_of(struct slice raw, bool is_escaped)
{
	enum json_kind kind = kind_of(raw.p[0]);

	if (kind == JSON_IS_ABSENT)
		return (struct json_value){.kind = JSON_IS_ABSENT};
	return (struct json_value){raw, kind, is_escaped};
}

static struct json_value
value_at(const struct json_flat *f, const struct json_place *place)
{
	return value_of(slice_of(f->text + place->at, place->n), place->is_escaped);
}

struct json_value
json_whole(const struct json_flat *f)
{
	return value_at(f, &f->value);
}

struct json_value
json_find(const struct json_flat *f, struct slice name)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct json_place *key = &f->members[i].name;
		struct slice raw = slice_of(f->text + key->at, key->n);

		if (key->is_escaped ? json_name_is(raw, name) : slice_eq(raw, name))
			return value_at(f, &f->members[i].value);
	}
	return (struct json_value){.kind = JSON_IS_ABSENT};
}

/* Its bytes are never more than it has with its escapes. */
int
json_unescape(struct json_flat *f, struct json_value v, struct slice *out)
{
	struct json_bytes bytes = {.p = v.raw.p + 1, .end = v.raw.p + v.raw.n - 1};
	struct json_text *text = mem_alloc(sizeof(*text) + v.raw.n);
	size_t n = 0;

	if (text == NULL)
		return JSON_E_MEMORY;
	for (int byte = json_next_byte(&bytes); byte >= 0; byte = json_next_byte(&bytes))
		text->bytes[n++] = (char)byte;
	text->next = f->texts;
	f->texts = text;
	*out = slice_of(text->bytes, n);
	return 0;
}

/* The number, as strtod would read it. */
static double
double_of(struct slice raw)
{
	bool is_negative = raw.p[0] == '-';
	bool is_below = false;
	long exponent = 0;
	double size;
	size_t at = 0;
	size_t end;

	while (at < raw.n && (raw.p[at] | 0x20) != 'e')
		at++;
	end = at;
	for (at++; at < raw.n; at++) {
		if (raw.p[at] == '-')
			is_below = true;
		else if (raw.p[at] != '+' && exponent < EXPONENT_STOP)
			exponent = exponent * 10 + (raw.p[at] - '0');
	}
	size = json_decimal(slice_of(raw.p, end), is_below ? -exponent : exponent);
	return is_negative ? -size : size;
}

int
json_value_u64(struct json_value v, uint64_t *out)
{
	if (v.kind != JSON_IS_NUMBER)
		return -1;
	if (v.raw.n <= INTEGER_DIGITS && slice_to_u64(v.raw, out) == 0)
		return 0; /* as nearly always */
	return json_exact(double_of(v.raw), out);
}

int
json_value_count(struct json_value v, uint64_t *out)
{
	if (json_value_u64(v, out) == 0)
		return 0;
	if (v.kind != JSON_IS_NUMBER || double_of(v.raw) < COUNT_END)
		return -1;
	*out = UINT64_MAX; /* a double of that size has no fraction */
	return 0;
}

bool
json_next_value(struct slice *rest, struct json_value *out)
{
	struct slice raw;

	if (!json_raw_element(rest, &raw))
		return false;
	*out = value_of(raw, raw.p[0] == '"' && memchr(raw.p, '\\', raw.n) != NULL);
	return true;
}
