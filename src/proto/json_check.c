#include "proto/json.h"

#include <math.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "proto/json_text.h"

#define KEYS_INLINE    16    /* members of an object whose keys are compared pair by pair */
#define KEYS_FIRST_CAP 64    /* slots of the first hash table; half of them may be used */
#define SAFE_EXPONENT  300   /* a number below 10^300 is a double for certain */
#define EXPONENT_STOP  99999 /* an exponent is not counted further */

/* Of the hash table of a big object's keys. */
struct slot {
	uint32_t hash;
	uint32_t n_key; /* index + 1; 0: the slot is free */
};

/* The keys of one object, for finding one that is there twice. */
struct keys {
	struct json_place first[KEYS_INLINE];
	size_t n;
	struct json_place *all; /* NULL while they are in `first`; room for cap / 2 */
	struct slot *slots;
	size_t cap; /* slots: a power of two */
};

struct check {
	const char *p;
	size_t n;
	size_t at;
	unsigned depth;
	struct json_place last; /* the value that ended last */
	struct json_flat *flat; /* where the outermost members are noted; NULL: nowhere */
	bool has_hash_key;      /* k0 and k1 are drawn when a big object needs them */
	uint64_t k0;
	uint64_t k1;
};

static int check_value(struct check *c);

/* The byte at c->at. The end reads as NUL, which begins nothing and so needs no case of its own. */
static char
peek(const struct check *c)
{
	return c->at < c->n ? c->p[c->at] : '\0';
}

static bool
at_digit(const struct check *c)
{
	char ch = peek(c);

	return ch >= '0' && ch <= '9';
}

static void
skip_space(struct check *c)
{
	while (c->at < c->n && json_is_space(c->p[c->at]))
		c->at++;
}

/* --- strings (RFC 8259, 7) --- */

/* The unit of a \u escape that starts at p; -1 when there is none. */
static int
unit_at(const struct check *c, size_t p)
{
	if (c->n - p < 6 || c->p[p] != '\\' || c->p[p + 1] != 'u')
		return -1;
	return json_hex4(c->p + p + 2);
}

/* An escape, from its backslash. Moves on over it only when it is good. */
static int
check_escape(struct check *c)
{
	char ch = c->n - c->at < 2 ? '\0' : c->p[c->at + 1];
	int unit;

	if (ch == '\0')
		return JSON_E_SYNTAX;
	if (ch != 'u') {
		if (strchr("\"\\/bfnrt", ch) == NULL)
			return JSON_E_SYNTAX;
		c->at += 2;
		return 0;
	}
	unit = unit_at(c, c->at);
	if (unit < 0)
		return JSON_E_SYNTAX;
	if (unit == 0)
		return JSON_E_NUL; /* cJSON would end the string there */
	if (unit >= 0xd800 && unit <= 0xdfff) {
		int low = unit <= 0xdbff ? unit_at(c, c->at + 6) : -1;

		if (low < 0xdc00 || low > 0xdfff)
			return JSON_E_UTF8;
		c->at += 6;
	}
	c->at += 6;
	return 0;
}

/* Set c->at to the first byte that cannot be UTF-8. */
static int
bad_utf8(struct check *c, size_t start, size_t end)
{
	struct utf8 u = {0};

	for (c->at = start; c->at < end; c->at++) {
		if (!utf8_feed(&u, slice_of(c->p + c->at, 1)))
			break;
	}
	return JSON_E_UTF8;
}

/* A string, from its opening quote. */
static int
check_string(struct check *c, struct json_place *out)
{
	size_t start = ++c->at;
	bool is_ascii = true;
	bool is_escaped = false;

	for (;;) {
		int r;

		c->at += json_plain_run(c->p + c->at, c->n - c->at, &is_ascii);
		if (peek(c) == '"')
			break;
		if (peek(c) != '\\')
			return JSON_E_SYNTAX; /* a control byte, or the end */
		is_escaped = true;
		r = check_escape(c);
		if (r < 0)
			return r;
	}
	if (!is_ascii && !utf8_is_valid(slice_of(c->p + start, c->at - start)))
		return bad_utf8(c, start, c->at);
	*out = (struct json_place){(uint32_t)start, (uint32_t)(c->at - start), is_escaped};
	c->at++;
	return 0;
}

/* --- numbers (RFC 8259, 6) --- */

/* Digits at c->at; false when there is none. */
static bool
take_digits(struct check *c)
{
	if (!at_digit(c))
		return false;
	while (at_digit(c))
		c->at++;
	return true;
}

/* The exponent behind its e, if there is one at all. */
static int
take_exponent(struct check *c, long *out)
{
	bool is_negative;
	long exponent = 0;

	*out = 0;
	if (peek(c) != 'e' && peek(c) != 'E')
		return 0;
	c->at++;
	is_negative = peek(c) == '-';
	if (peek(c) == '-' || peek(c) == '+')
		c->at++;
	if (!at_digit(c))
		return JSON_E_NUMBER;
	for (; at_digit(c); c->at++) {
		if (exponent < EXPONENT_STOP)
			exponent = exponent * 10 + (peek(c) - '0');
	}
	*out = is_negative ? -exponent : exponent;
	return 0;
}

static int
check_number(struct check *c)
{
	size_t start = c->at;
	size_t end;
	long exponent;

	if (peek(c) == '-')
		c->at++;
	if (peek(c) == '0') {
		c->at++;
		if (at_digit(c))
			return JSON_E_NUMBER;
	} else if (!take_digits(c)) {
		return JSON_E_NUMBER;
	}
	if (peek(c) == '.') {
		c->at++;
		if (!take_digits(c))
			return JSON_E_NUMBER;
	}
	end = c->at;
	if (take_exponent(c, &exponent) < 0)
		return JSON_E_NUMBER;
	if (c->at - start <= JSON_NUMBER_MAX && exponent < SAFE_EXPONENT - JSON_NUMBER_MAX)
		return 0;
	if (c->at - start <= JSON_NUMBER_MAX &&
	    isinf(json_decimal(slice_of(c->p + start, end - start), exponent)) == 0)
		return 0;
	c->at = start;
	return JSON_E_NUMBER;
}

/* --- keys --- */

static bool
keys_equal(const struct check *c, const struct json_place *a, const struct json_place *b)
{
	struct json_bytes in_a = {.p = c->p + a->at, .end = c->p + a->at + a->n};
	struct json_bytes in_b = {.p = c->p + b->at, .end = c->p + b->at + b->n};
	int byte;

	if (!a->is_escaped && !b->is_escaped)
		return a->n == b->n && memcmp(in_a.p, in_b.p, a->n) == 0;
	do {
		byte = json_next_byte(&in_a);
		if (byte != json_next_byte(&in_b))
			return false;
	} while (byte >= 0);
	return true;
}

/* Hash what the key stands for, in *out. 0, or JSON_E_MEMORY. */
static int
hash_key(const struct check *c, const struct json_place *key, uint32_t *out)
{
	struct json_bytes bytes = {.p = c->p + key->at, .end = c->p + key->at + key->n};
	size_t n = 0;
	char *plain;
	int byte;

	if (!key->is_escaped) {
		*out = (uint32_t)siphash13(bytes.p, key->n, c->k0, c->k1);
		return 0;
	}
	plain = mem_alloc(key->n); /* an escape is never shorter than its bytes */
	if (plain == NULL)
		return JSON_E_MEMORY;
	for (byte = json_next_byte(&bytes); byte >= 0; byte = json_next_byte(&bytes))
		plain[n++] = (char)byte;
	*out = (uint32_t)siphash13(plain, n, c->k0, c->k1);
	mem_free(plain);
	return 0;
}

/* Put a key into the table, which has room. JSON_E_DUPLICATE when its like is there. */
static int
insert_key(const struct check *c, struct keys *k, const struct json_place *key, uint32_t hash)
{
	size_t i = hash & (k->cap - 1);

	for (; k->slots[i].n_key != 0; i = (i + 1) & (k->cap - 1)) {
		if (k->slots[i].hash == hash && keys_equal(c, &k->all[k->slots[i].n_key - 1], key))
			return JSON_E_DUPLICATE;
	}
	k->all[k->n++] = *key;
	k->slots[i] = (struct slot){hash, (uint32_t)k->n};
	return 0;
}

static int
grow_keys(struct keys *k)
{
	size_t cap = k->cap == 0 ? KEYS_FIRST_CAP : k->cap * 2;
	struct slot *slots = mem_calloc(cap, sizeof(*slots));
	struct json_place *all = slots == NULL ? NULL : mem_realloc(k->all, cap / 2 * sizeof(*all));

	if (all == NULL) {
		mem_free(slots);
		return JSON_E_MEMORY;
	}
	for (size_t from = 0; from < k->cap; from++) {
		size_t to = k->slots[from].hash & (cap - 1);

		if (k->slots[from].n_key == 0)
			continue;
		while (slots[to].n_key != 0)
			to = (to + 1) & (cap - 1);
		slots[to] = k->slots[from];
	}
	mem_free(k->slots);
	k->slots = slots;
	k->all = all;
	k->cap = cap;
	return 0;
}

/* From pairs to the table. */
static int
spread_keys(struct check *c, struct keys *k)
{
	size_t n = k->n;

	if (!c->has_hash_key) {
		c->k0 = rng_u64();
		c->k1 = rng_u64();
		c->has_hash_key = true;
	}
	if (grow_keys(k) < 0)
		return JSON_E_MEMORY;
	k->n = 0;
	for (size_t i = 0; i < n; i++) {
		uint32_t hash;

		if (hash_key(c, &k->first[i], &hash) < 0 ||
		    insert_key(c, k, &k->first[i], hash) < 0)
			return JSON_E_MEMORY; /* they differ: compared before */
	}
	return 0;
}

static int
add_key(struct check *c, struct keys *k, const struct json_place *key)
{
	uint32_t hash;
	int r = 0;

	if (k->cap == 0 && k->n < KEYS_INLINE) {
		for (size_t i = 0; i < k->n; i++) {
			if (keys_equal(c, &k->first[i], key))
				return JSON_E_DUPLICATE;
		}
		k->first[k->n++] = *key;
		return 0;
	}
	if (k->cap == 0)
		r = spread_keys(c, k);
	else if (k->n == k->cap / 2)
		r = grow_keys(k);
	if (r == 0)
		r = hash_key(c, key, &hash);
	return r == 0 ? insert_key(c, k, key, hash) : r;
}

/* --- values --- */

/* From behind the brace. */
static int
check_members(struct check *c, struct keys *keys)
{
	struct json_place key;
	int r;

	skip_space(c);
	if (peek(c) == '}') {
		c->at++;
		return 0;
	}
	for (;;) {
		if (peek(c) != '"')
			return JSON_E_SYNTAX;
		r = check_string(c, &key);
		if (r < 0)
			return r;
		r = add_key(c, keys, &key);
		if (r < 0) {
			c->at = key.at - 1;
			return r;
		}
		skip_space(c);
		if (peek(c) != ':')
			return JSON_E_SYNTAX;
		c->at++;
		r = check_value(c);
		if (r == 0 && c->depth == 1 && c->flat != NULL)
			r = json_flat_add(c->flat, &key, &c->last);
		if (r < 0)
			return r;
		if (peek(c) != ',')
			break;
		c->at++;
		skip_space(c);
	}
	if (peek(c) != '}')
		return JSON_E_SYNTAX;
	c->at++;
	return 0;
}

static int
check_object(struct check *c)
{
	struct keys keys;
	int r;

	keys.n = 0;
	keys.all = NULL;
	keys.slots = NULL;
	keys.cap = 0;
	r = check_members(c, &keys);
	mem_free(keys.all);
	mem_free(keys.slots);
	return r;
}

static int
check_array(struct check *c)
{
	skip_space(c);
	if (peek(c) != ']') {
		for (;;) {
			int r = check_value(c);

			if (r < 0)
				return r;
			if (peek(c) != ',')
				break;
			c->at++;
		}
		if (peek(c) != ']')
			return JSON_E_SYNTAX;
	}
	c->at++;
	return 0;
}

static int
check_literal(struct check *c, struct slice word)
{
	if (!slice_has_prefix(slice_of(c->p + c->at, c->n - c->at), word))
		return JSON_E_SYNTAX;
	c->at += word.n;
	return 0;
}

static int
check_container(struct check *c)
{
	bool is_object = c->p[c->at] == '{';
	int r;

	if (c->depth == JSON_MAX_DEPTH)
		return JSON_E_DEPTH;
	c->depth++;
	c->at++;
	r = is_object ? check_object(c) : check_array(c);
	c->depth--;
	return r;
}

/* A value and the white space around it. Recursion ends at JSON_MAX_DEPTH. */
static int
check_value(struct check *c)
{
	struct json_place string = {0};
	size_t start;
	int r;

	skip_space(c);
	start = c->at;
	switch (peek(c)) {
	case '"':
		r = check_string(c, &string);
		break;
	case '{':
	case '[':
		r = check_container(c);
		break;
	case 't':
		r = check_literal(c, SLICE("true"));
		break;
	case 'f':
		r = check_literal(c, SLICE("false"));
		break;
	case 'n':
		r = check_literal(c, SLICE("null"));
		break;
	default:
		r = peek(c) == '-' || at_digit(c) ? check_number(c) : JSON_E_SYNTAX;
		break;
	}
	if (r < 0)
		return r;
	c->last =
	    (struct json_place){(uint32_t)start, (uint32_t)(c->at - start), string.is_escaped};
	skip_space(c);
	return 0;
}

/* All of a text; the members are noted in `flat`, unless that is NULL. */
static int
check_text(struct slice text, struct json_flat *flat, struct json_place *value, size_t *at)
{
	struct check c = {.p = text.p, .n = text.n, .flat = flat};
	int r = text.n > UINT32_MAX / 2 ? JSON_E_MEMORY : check_value(&c);

	*value = c.last;
	if (r == 0 && c.at < c.n)
		r = JSON_E_SYNTAX;
	if (r < 0 && at != NULL)
		*at = c.at;
	return r;
}

int
json_check(struct slice text, size_t *at)
{
	struct json_place unused;

	return check_text(text, NULL, &unused, at);
}

int
json_read(struct slice text, struct json_flat *out, size_t *at)
{
	int r;

	json_begin(out);
	out->text = text.p;
	r = check_text(text, out, &out->value, at);
	if (r < 0)
		json_done(out);
	return r;
}
