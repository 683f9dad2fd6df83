#include "daemon/config_reader.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "daemon/config_value.h"

#define SHOWN_MAX 64 /* bytes of a value that a message repeats */

/* What a setting is, for "wants X, got Y". */
static const char *
kind_of(const config_setting_t *s)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_GROUP:
		return "a group";
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return "an integer";
	case CONFIG_TYPE_FLOAT:
		return "a number with a point";
	case CONFIG_TYPE_STRING:
		return "a text";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	case CONFIG_TYPE_ARRAY:
		return "an array";
	default:
		return "a list";
	}
}

static int
fail_kind(
    struct config_reader *r, const struct option *o, const config_setting_t *s, const char *want)
{
	return config_fail_at(r, s, "%s wants %s, got %s", o->key, want, kind_of(s));
}

static bool
is_integer(const config_setting_t *s)
{
	return config_setting_type(s) == CONFIG_TYPE_INT ||
	       config_setting_type(s) == CONFIG_TYPE_INT64;
}

static bool
is_text(const config_setting_t *s)
{
	return config_setting_type(s) == CONFIG_TYPE_STRING;
}

/* An array `[ ]` or a list `( )`. */
static bool
is_sequence(const config_setting_t *s)
{
	return config_setting_is_array(s) || config_setting_is_list(s);
}

static void *
field_of(const struct option *o, const struct config_place *place)
{
	return (char *)place->base + o->offset;
}

static void
store(const struct option *o, const struct config_place *place, uint64_t v)
{
	void *at = field_of(o, place);
	uint32_t v32 = (uint32_t)v;
	uint16_t v16 = (uint16_t)v;

	if (o->size == sizeof(bool))
		*(bool *)at = v != 0;
	else if (o->size == sizeof(v16))
		memcpy(at, &v16, sizeof(v16));
	else if (o->size == sizeof(v32))
		memcpy(at, &v32, sizeof(v32));
	else
		memcpy(at, &v, sizeof(v));
}

/* --- numbers --- */

static int
fail_range(struct config_reader *r, const struct option *o, const config_setting_t *s, bool is_zero)
{
	char low[CONFIG_VALUE_TEXT];
	char high[CONFIG_VALUE_TEXT];
	char got[CONFIG_VALUE_TEXT];

	if (o->kind == KIND_DURATION) {
		(void)config_value_show_duration(o->min, low);
		(void)config_value_show_duration(o->max, high);
	} else if (o->kind == KIND_SIZE) {
		(void)config_value_show_size(o->min, low);
		(void)config_value_show_size(o->max, high);
	} else {
		(void)snprintf(low, sizeof(low), "%llu", (unsigned long long)o->min);
		(void)snprintf(high, sizeof(high), "%llu", (unsigned long long)o->max);
	}
	if (is_text(s))
		(void)snprintf(got, sizeof(got), "%.30s", config_setting_get_string(s));
	else
		(void)snprintf(got, sizeof(got), "%lld", config_setting_get_int64(s));
	return config_fail_at(r, s, "%s is %s, want %s to %s%s%s%s", o->key, got, low, high,
	    o->unit[0] == '\0' ? "" : " ", o->unit,
	    is_zero && o->kind == KIND_SIZE ? "; it guards memory and cannot be off" : "");
}

static int
apply_number(struct config_reader *r, const struct option *o, const config_setting_t *s,
    struct config_place *place)
{
	uint64_t factor = o->kind == KIND_DURATION ? 1000 : 1;
	uint64_t v;

	if (is_integer(s)) {
		long long plain = config_setting_get_int64(s);

		if (plain < 0 || __builtin_mul_overflow((uint64_t)plain, factor, &v))
			return fail_range(r, o, s, false);
	} else if (o->kind == KIND_NUMBER) {
		return fail_kind(r, o, s, "an integer");
	} else if (!is_text(s)) {
		return fail_kind(r, o, s,
		    o->kind == KIND_SIZE ? "a size such as \"64K\" or an integer (bytes)"
					 : "a duration such as \"30s\" or an integer (seconds)");
	} else {
		struct slice text = slice_str(config_setting_get_string(s));

		if ((o->kind == KIND_SIZE ? config_value_size(text, &v)
					  : config_value_duration(text, &v)) < 0)
			return config_fail_at(r, s, "%s is \"%.*s\", want %s", o->key,
			    (int)min_size(text.n, SHOWN_MAX), text.p,
			    o->kind == KIND_SIZE
				? "a size such as \"64K\", \"1M\" or \"2G\""
				: "a duration such as \"500ms\", \"30s\", \"10m\", \"2h\" or \"7d\"");
	}
	if (v < o->min || v > o->max)
		return fail_range(r, o, s, v == 0);
	store(o, place, v);
	return 0;
}

static int
apply_flag(struct config_reader *r, const struct option *o, const config_setting_t *s,
    struct config_place *place)
{
	if (config_setting_type(s) != CONFIG_TYPE_BOOL)
		return fail_kind(r, o, s, "true or false");
	store(o, place, config_setting_get_bool(s) != 0);
	return 0;
}

static int
apply_mode(struct config_reader *r, const struct option *o, const config_setting_t *s,
    struct config_place *place)
{
	unsigned mode;

	if (!is_text(s) || config_value_mode(slice_str(config_setting_get_string(s)), &mode) < 0)
		return config_fail_at(
		    r, s, "%s wants a text of octal digits, \"000\" to \"0777\"", o->key);
	store(o, place, mode);
	return 0;
}

/* --- words --- */

/* The word that a setting says, or NULL with the error filled. */
static const struct option_word *
find_word(struct config_reader *r, const struct option *o, const config_setting_t *s)
{
	const struct option_word *word = NULL;
	const char *text = is_text(s) ? config_setting_get_string(s) : NULL;
	char wanted[256];

	config_table_words(o->form, wanted, sizeof(wanted));
	if (text != NULL)
		word = config_table_word(o->form, slice_str(text));
	if (word != NULL && !word->is_planned)
		return word;
	if (text == NULL)
		(void)config_fail_at(r, s, "%s wants %s, got %s", o->key, wanted, kind_of(s));
	else if (word != NULL)
		(void)config_fail_at(r, s, "%s = \"%s\" is not built yet in this version, want %s",
		    o->key, text, wanted);
	else
		(void)config_fail_at(r, s, "%s is \"%.*s\"%s, want %s", o->key, SHOWN_MAX, text,
		    o->form == FORM_ALGORITHM ? ", which the installed libjwt does not have" : "",
		    wanted);
	return NULL;
}

static int
apply_choice(struct config_reader *r, const struct option *o, const config_setting_t *s,
    struct config_place *place)
{
	const struct option_word *word = find_word(r, o, s);

	if (word == NULL)
		return -EINVAL;
	store(o, place, word->value);
	return 0;
}

/* --- sequences --- */

/* Is it one, and has it a length that is allowed? */
static int
check_sequence(struct config_reader *r, const struct option *o, const config_setting_t *s)
{
	size_t n;

	if (!is_sequence(s))
		return fail_kind(r, o, s, "an array such as [ \"a\", \"b\" ]");
	n = (size_t)config_setting_length(s);
	if (n < o->min)
		return config_fail_at(r, s, "%s is empty, want at least one", o->key);
	if (n > o->max)
		return config_fail_at(r, s, "%s has %zu elements, at most %llu are allowed", o->key,
		    n, (unsigned long long)o->max);
	return 0;
}

static int
apply_bits(struct config_reader *r, const struct option *o, const config_setting_t *s,
    struct config_place *place)
{
	unsigned bits = 0;
	int status = check_sequence(r, o, s);

	if (status < 0)
		return status;
	for (int i = 0; i < config_setting_length(s); i++) {
		const struct option_word *word =
		    find_word(r, o, config_setting_get_elem(s, (unsigned)i));

		if (word == NULL)
			return -EINVAL;
		bits |= word->value;
	}
	store(o, place, bits);
	return 0;
}

/* A checked, owned copy of a text. */
static int
copy_text(struct config_reader *r, const struct option *o, const config_setting_t *s, char **out)
{
	char why[160];
	char *copy;

	if (!is_text(s))
		return fail_kind(r, o, s, "a text");
	copy = mem_strdup(slice_str(config_setting_get_string(s)));
	if (copy == NULL)
		return config_fail_memory(r);
	if (config_form_check(o->form, copy, why, sizeof(why)) < 0) {
		int status =
		    config_fail_at(r, s, "%s is \"%.*s\", want %s", o->key, SHOWN_MAX, copy, why);

		mem_free(copy);
		return status;
	}
	*out = copy;
	return 0;
}

static int
apply_texts(struct config_reader *r, const struct option *o, const config_setting_t *s,
    struct config_place *place)
{
	struct strings *list = field_of(o, place);
	size_t n;
	int status = check_sequence(r, o, s);

	if (status < 0)
		return status;
	n = (size_t)config_setting_length(s);
	if (n == 0)
		return 0;
	list->v = mem_calloc(n, sizeof(*list->v));
	if (list->v == NULL)
		return config_fail_memory(r);
	while (status == 0 && list->n < n) {
		status = copy_text(
		    r, o, config_setting_get_elem(s, (unsigned)list->n), &list->v[list->n]);
		list->n += status == 0;
	}
	return status;
}

static int
apply_networks(struct config_reader *r, const struct option *o, const config_setting_t *s)
{
	struct config *c = r->config;
	size_t n;
	int status = check_sequence(r, o, s);

	if (status < 0)
		return status;
	n = (size_t)config_setting_length(s);
	c->trusted_proxies = mem_calloc(n, sizeof(*c->trusted_proxies));
	if (c->trusted_proxies == NULL)
		return config_fail_memory(r);
	for (size_t i = 0; i < n; i++) {
		const config_setting_t *element = config_setting_get_elem(s, (unsigned)i);

		if (!is_text(element) || config_value_network(config_setting_get_string(element),
					     &c->trusted_proxies[i]) < 0)
			return config_fail_at(r, element,
			    "%s wants networks such as \"10.0.0.0/8\" or \"::1\"", o->key);
	}
	c->n_trusted_proxies = n;
	return 0;
}

/* --- texts --- */

static int
apply_text(struct config_reader *r, const struct option *o, const config_setting_t *s,
    struct config_place *place)
{
	size_t n;

	if (is_text(s)) {
		n = strlen(config_setting_get_string(s));
		if (n < o->min || n > o->max)
			return config_fail_at(r, s, "%s has %zu bytes, want %llu to %llu", o->key,
			    n, (unsigned long long)o->min, (unsigned long long)o->max);
	}
	return copy_text(r, o, s, field_of(o, place));
}

/* Relative to the folder of the file it stands in; "" stays what it is. */
static int
apply_path(struct config_reader *r, const struct option *o, const config_setting_t *s,
    struct config_place *place)
{
	char **field = field_of(o, place);
	struct buf path = BUF_INIT(8192);
	int status = apply_text(r, o, s, place);

	if (status < 0 || (*field)[0] == '\0' || (*field)[0] == '/')
		return status;
	status = config_folder(config_where(r, config_setting_source_line(s)).file, &path);
	(void)buf_printf(&path, "/%s", *field);
	(void)buf_add_char(&path, '\0');
	if (status < 0 || path.failed) {
		buf_done(&path);
		return config_fail_at(r, s, "%s: cannot find the folder of the file", o->key);
	}
	mem_free(*field);
	*field = path.p;
	if (path.n - 1 > o->max)
		return config_fail_at(r, s, "%s: %s has %zu bytes, at most %llu are allowed",
		    o->key, *field, path.n - 1, (unsigned long long)o->max);
	return 0;
}

/* --- lists of groups --- */

static int
apply_element(
    struct config_reader *r, const struct option *o, const config_setting_t *s, void *base)
{
	struct config_place place = {.base = base, .scope = o->element};
	int status;

	if (!config_setting_is_group(s))
		return config_fail_at(
		    r, s, "%s wants groups { … } in its list, got %s", o->key, kind_of(s));
	status = config_apply_group(r, s, &place, slice_str(o->key));
	if (status == 0)
		status = config_apply_defaults(r, &place);
	if (status == 0)
		status = config_check_element(r, o, s, &place);
	return status;
}

static int
apply_list(struct config_reader *r, const struct option *o, const config_setting_t *s,
    struct config_place *place)
{
	void **list = field_of(o, place);
	size_t *count = (void *)((char *)place->base + o->count_offset);
	size_t n;
	int status = 0;

	if (!config_setting_is_list(s) &&
	    !(config_setting_is_array(s) && config_setting_length(s) == 0))
		return fail_kind(r, o, s, "a list of groups such as ( { … }, { … } )");
	n = (size_t)config_setting_length(s);
	if (n > o->max)
		return config_fail_at(r, s, "%s has %zu elements, at most %llu are allowed", o->key,
		    n, (unsigned long long)o->max);
	*list = mem_calloc(n, o->size);
	if (*list == NULL)
		return config_fail_memory(r);
	/* Counted first: a half-read element is freed with the rest. */
	for (*count = 0; status == 0 && *count < n;) {
		const config_setting_t *element = config_setting_get_elem(s, (unsigned)*count);
		void *base = (char *)*list + *count * o->size;

		++*count;
		status = apply_element(r, o, element, base);
	}
	return status;
}

/* --- all of them --- */

static int
apply_kind(struct config_reader *r, const struct option *o, const config_setting_t *s,
    struct config_place *place)
{
	switch (o->kind) {
	case KIND_FLAG:
		return apply_flag(r, o, s, place);
	case KIND_NUMBER:
	case KIND_DURATION:
	case KIND_SIZE:
		return apply_number(r, o, s, place);
	case KIND_CHOICE:
		return apply_choice(r, o, s, place);
	case KIND_BITS:
		return apply_bits(r, o, s, place);
	case KIND_MODE:
		return apply_mode(r, o, s, place);
	case KIND_TEXT:
		return apply_text(r, o, s, place);
	case KIND_PATH:
		return apply_path(r, o, s, place);
	case KIND_TEXTS:
		return apply_texts(r, o, s, place);
	case KIND_NETWORKS:
		return apply_networks(r, o, s);
	case KIND_LIST:
		return apply_list(r, o, s, place);
	}
	return -EINVAL;
}

int
config_apply(struct config_reader *r, const struct option *o, const config_setting_t *s,
    struct config_place *place)
{
	bool is_empty_list =
	    o->kind == KIND_LIST && is_sequence(s) && config_setting_length(s) == 0;

	if (!o->is_planned)
		return apply_kind(r, o, s, place);
	if (r->is_default)
		return o->size == 0 ? 0 : apply_kind(r, o, s, place);
	if (is_empty_list)
		return 0;
	return config_fail_at(r, s, "%s is not built yet in this version", o->key);
}

static int
fail_unknown(struct config_reader *r, const config_setting_t *s, struct config_place *place,
    struct slice group, struct slice key)
{
	char guess[64];
	bool has_guess = config_table_guess(place->scope, key, guess, sizeof(guess));

	return config_fail_at(r, s, "unknown key '%.*s'%s%.*s%s%s%s", SHOWN_MAX,
	    config_setting_name(s), group.n == 0 ? "" : " in ", SLICE_ARG(group),
	    has_guess ? "; did you mean '" : "", has_guess ? guess : "", has_guess ? "'?" : "");
}

static int
apply_member(struct config_reader *r, const config_setting_t *s, struct config_place *place,
    struct slice group)
{
	char key[256];
	int n = snprintf(key, sizeof(key), "%.*s%s%s", SLICE_ARG(group), group.n == 0 ? "" : ".",
	    config_setting_name(s));
	struct slice name = slice_of(key, min_size((size_t)n, sizeof(key) - 1));
	const struct option *o = config_table_find(place->scope, name);
	size_t n_rows;
	bool is_planned;

	if (o != NULL) {
		place->seen[o - config_table(&n_rows)] = true;
		return config_apply(r, o, s, place);
	}
	if (!config_table_is_group(place->scope, name, &is_planned))
		return fail_unknown(r, s, place, group, name);
	if (is_planned)
		return config_fail_at(r, s, "%s is not built yet in this version", key);
	if (!config_setting_is_group(s))
		return config_fail_at(r, s, "%s wants a group { … }, got %s", key, kind_of(s));
	return config_apply_group(r, s, place, name);
}

int
config_apply_group(struct config_reader *r, const config_setting_t *group,
    struct config_place *place, struct slice path)
{
	int status = 0;

	for (int i = 0; status == 0 && i < config_setting_length(group); i++)
		status = apply_member(r, config_setting_get_elem(group, (unsigned)i), place, path);
	return status;
}

/* A default is written as in a file, and is read as if it stood in one. */
static int
apply_default(struct config_reader *r, const struct option *o, struct config_place *place)
{
	bool was_default = r->is_default;
	char text[512];
	config_t parsed;
	int status;

	config_init(&parsed);
	(void)snprintf(text, sizeof(text), "value = %s;", o->initial);
	r->is_default = true;
	if (config_read_string(&parsed, text) == CONFIG_FALSE)
		status =
		    config_fail(r, r->path, 1, "the default of %s is broken: %s", o->key, text);
	else
		status = config_apply(r, o, config_lookup(&parsed, "value"), place);
	r->is_default = was_default;
	config_destroy(&parsed);
	return status;
}

int
config_apply_defaults(struct config_reader *r, struct config_place *place)
{
	size_t n;
	const struct option *table = config_table(&n);
	int status = 0;

	for (size_t i = 0; status == 0 && i < n; i++)
		if (table[i].scope == place->scope && !place->seen[i] && table[i].initial != NULL)
			status = apply_default(r, &table[i], place);
	return status;
}
