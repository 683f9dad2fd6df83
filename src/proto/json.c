#include "proto/json.h"

#include "proto/json_text.h"

#define EXACT_MAX 9007199254740991.0 /* 2^53 - 1: above it doubles skip integers */

int
json_parse(struct slice text, cJSON **out, size_t *at)
{
	int r = json_check(text, at);
	cJSON *tree;

	if (r < 0)
		return r;
	tree = cJSON_ParseWithLength(text.p, text.n);
	if (tree == NULL) { /* it takes all that the check lets through */
		if (at != NULL)
			*at = 0;
		return JSON_E_MEMORY;
	}
	*out = tree;
	return 0;
}

#define ROW(error) [JSON_E_##error - JSON_E_SYNTAX]

const char *
json_error_text(int error)
{
	static const char *const texts[] = {
	    ROW(SYNTAX) = "not JSON",
	    ROW(UTF8) = "not valid Unicode: a byte that is not UTF-8, or half a surrogate pair",
	    ROW(DEPTH) = "nested more than 16 levels deep",
	    ROW(NUL) = "\\u0000 is not accepted",
	    ROW(DUPLICATE) = "the same member twice in one object",
	    ROW(NUMBER) = "a number that is malformed, too big or too long",
	    ROW(MEMORY) = "no memory",
	};
	size_t i = (size_t)(error - JSON_E_SYNTAX);

	return error >= JSON_E_SYNTAX && i < ARRAY_LEN(texts) ? texts[i] : "not JSON";
}

const cJSON *
json_member(const cJSON *object, const char *name)
{
	const cJSON *item;

	if (!cJSON_IsObject(object))
		return NULL;
	item = cJSON_GetObjectItemCaseSensitive(object, name);
	return cJSON_IsNull(item) ? NULL : item;
}

struct slice
json_slice(const cJSON *item)
{
	return cJSON_IsString(item) ? slice_str(item->valuestring) : SLICE_NONE;
}

int
json_exact(double d, uint64_t *out)
{
	uint64_t v;

	if (!(d >= 0) || d > EXACT_MAX)
		return -1;
	v = (uint64_t)d;
	if (d > (double)v)
		return -1; /* it had a fraction */
	*out = v;
	return 0;
}

int
json_u64(const cJSON *item, uint64_t *out)
{
	return cJSON_IsNumber(item) ? json_exact(item->valuedouble, out) : -1;
}

/* --- raw members --- */

static size_t
skip_space(struct slice s, size_t at)
{
	while (at < s.n && json_is_space(s.p[at]))
		at++;
	return at;
}

/* Where the string that opens at `at` has ended: behind its closing quote. */
static size_t
skip_string(struct slice s, size_t at)
{
	bool unused = true;

	at++;
	while (at < s.n) {
		at += json_plain_run(s.p + at, s.n - at, &unused);
		if (at < s.n && s.p[at] == '"')
			return at + 1;
		at += 2; /* an escape; the digits of \u are plain */
	}
	return s.n;
}

/* Where the value at `at` has ended. */
static size_t
skip_value(struct slice s, size_t at)
{
	size_t depth = 0;

	while (at < s.n) {
		char c = s.p[at];

		if (c == '"') {
			at = skip_string(s, at);
			if (depth == 0)
				return at;
			continue;
		}
		if ((c == ',' || c == '}' || c == ']' || json_is_space(c)) && depth == 0)
			return at; /* behind a number or a word */
		at++;
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			return at;
	}
	return s.n;
}

bool
json_name_is(struct slice key, struct slice name)
{
	struct json_bytes bytes = {.p = key.p, .end = key.p + key.n};

	for (size_t i = 0; i < name.n; i++) {
		if (json_next_byte(&bytes) != (uint8_t)name.p[i])
			return false;
	}
	return json_next_byte(&bytes) < 0;
}

struct slice
json_raw_member(struct slice object_text, const char *name)
{
	struct slice s = object_text;
	size_t at = skip_space(s, 0);

	if (at == s.n || s.p[at] != '{')
		return SLICE_NONE;
	for (;;) {
		size_t key = skip_space(s, at + 1); /* behind '{' or ',' */
		size_t value;

		if (key >= s.n || s.p[key] != '"')
			return SLICE_NONE;
		value = skip_string(s, key);
		at = skip_space(s, value);
		if (at == s.n)
			return SLICE_NONE;
		at = skip_space(s, at + 1); /* behind ':' */
		if (json_name_is(slice_of(s.p + key + 1, value - key - 2), slice_str(name)))
			return slice_of(s.p + at, skip_value(s, at) - at);
		at = skip_space(s, skip_value(s, at));
		if (at == s.n || s.p[at] != ',')
			return SLICE_NONE;
	}
}

bool
json_raw_element(struct slice *rest, struct slice *element)
{
	struct slice s = *rest;
	size_t at = skip_space(s, 0);
	size_t end;

	if (at == s.n || (s.p[at] != '[' && s.p[at] != ','))
		return false;
	at = skip_space(s, at + 1);
	if (at == s.n || s.p[at] == ']')
		return false;
	end = skip_value(s, at);
	*element = slice_of(s.p + at, end - at);
	*rest = slice_skip(s, end);
	return true;
}
