#include "daemon/config_table.h"

#include <stdio.h>

#include "base/diag.h"
#include "core/config.h"

/* Where a build without its own places looks: those of the package. */
#ifndef BELFRY_DATADIR
#define BELFRY_DATADIR "/usr/share/belfry"
#endif
#ifndef BELFRY_STATEDIR
#define BELFRY_STATEDIR "/var/lib/belfry"
#endif

#define MS(n)  (n)
#define S(n)   (1000ull * (n))
#define M(n)   (60 * S(n))
#define H(n)   (60 * M(n))
#define D(n)   (24 * H(n))
#define KIB(n) (1024ull * (n))
#define MIB(n) (1024 * KIB(n))
#define GIB(n) (1024 * MIB(n))
#define TIB(n) (1024 * GIB(n))

#define STRUCT_CONFIG   struct config
#define STRUCT_LISTENER struct config_listener
#define STRUCT_RULE     struct topic_rule
#define STRUCT_FEED     struct config_feed

#define WHEN_LIVE    false
#define WHEN_RESTART true

enum state {
	STATE_BUILT,
	STATE_PLANNED
};

#define FIELD_SIZE(type, field) sizeof(((type *)0)->field)

#define OPTION(                                                                                    \
    scope_, key_, kind_, form_, field_, initial_, min_, max_, unit_, when_, state_, text_)         \
	{                                                                                          \
	    .key = (key_),                                                                         \
	    .scope = SCOPE_##scope_,                                                               \
	    .kind = KIND_##kind_,                                                                  \
	    .form = FORM_##form_,                                                                  \
	    .offset = offsetof(STRUCT_##scope_, field_),                                           \
	    .size = FIELD_SIZE(STRUCT_##scope_, field_),                                           \
	    .initial = (initial_),                                                                 \
	    .min = (min_),                                                                         \
	    .max = (max_),                                                                         \
	    .unit = (unit_),                                                                       \
	    .needs_restart = WHEN_##when_,                                                         \
	    .is_planned = STATE_##state_ == STATE_PLANNED,                                         \
	    .text = (text_),                                                                       \
	},
#define LIST(key_, field_, element_, initial_, max_, when_, state_, text_)                         \
	{                                                                                          \
	    .key = (key_),                                                                         \
	    .scope = SCOPE_CONFIG,                                                                 \
	    .kind = KIND_LIST,                                                                     \
	    .offset = offsetof(struct config, field_),                                             \
	    .size = sizeof(STRUCT_##element_),                                                     \
	    .count_offset = offsetof(struct config, n_##field_),                                   \
	    .element = SCOPE_##element_,                                                           \
	    .initial = (initial_),                                                                 \
	    .max = (max_),                                                                         \
	    .unit = "",                                                                            \
	    .needs_restart = WHEN_##when_,                                                         \
	    .is_planned = STATE_##state_ == STATE_PLANNED,                                         \
	    .text = (text_),                                                                       \
	},
#define RESERVED(key_, kind_, initial_, text_)                                                     \
	{                                                                                          \
	    .key = (key_),                                                                         \
	    .scope = SCOPE_CONFIG,                                                                 \
	    .kind = KIND_##kind_,                                                                  \
	    .initial = (initial_),                                                                 \
	    .unit = "",                                                                            \
	    .is_planned = true,                                                                    \
	    .text = (text_),                                                                       \
	},
#define WORD(form_, word_, value_, state_)

static const struct option options[] = {
#include "core/config_options.def"
};
_Static_assert(ARRAY_LEN(options) <= OPTIONS_MAX, "tables beside the table are large enough");

#undef OPTION
#undef LIST
#undef RESERVED
#undef WORD
#define OPTION(...)
#define LIST(...)
#define RESERVED(...)
#define WORD(form_, word_, value_, state_)                                                         \
	{FORM_##form_, (word_), (unsigned)(value_), STATE_##state_ == STATE_PLANNED},

static const struct option_word words[] = {
#include "core/config_options.def"
};

const struct option *
config_table(size_t *n)
{
	*n = ARRAY_LEN(options);
	return options;
}

const struct option *
config_table_find(enum option_scope scope, struct slice key)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (options[i].scope == scope && slice_eq(slice_str(options[i].key), key))
			return &options[i];
	return NULL;
}

/* What follows "group." in a row's key; absent when the row is of another group. */
static struct slice
name_in_group(const struct option *o, struct slice group)
{
	struct slice key = slice_str(o->key);

	if (group.n == 0)
		return key;
	if (!slice_has_prefix(key, group) || key.n <= group.n || key.p[group.n] != '.')
		return SLICE_NONE;
	return slice_skip(key, group.n + 1);
}

bool
config_table_is_group(enum option_scope scope, struct slice key, bool *is_planned)
{
	bool found = false;

	*is_planned = true;
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (options[i].scope != scope || name_in_group(&options[i], key).p == NULL)
			continue;
		found = true;
		*is_planned = *is_planned && options[i].is_planned;
	}
	return found;
}

#define GUESS_MAX 48 /* bytes of a name that are compared */

/* Levenshtein's distance: how many letters to insert, drop or change. */
static size_t
letters_apart(struct slice a, struct slice b)
{
	size_t row[GUESS_MAX + 1];

	if (a.n > GUESS_MAX || b.n > GUESS_MAX)
		return GUESS_MAX;
	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t changed = diagonal + (a.p[i - 1] == b.p[j - 1] ? 0 : 1);

			diagonal = row[j];
			row[j] = min_size(changed, min_size(row[j], row[j - 1]) + 1);
		}
	}
	return row[b.n];
}

static struct slice
last_name(struct slice key, struct slice *group)
{
	size_t at = key.n;

	while (at > 0 && key.p[at - 1] != '.')
		at--;
	*group = slice_of(key.p, at == 0 ? 0 : at - 1);
	return slice_skip(key, at);
}

bool
config_table_guess(enum option_scope scope, struct slice key, char *out, size_t out_n)
{
	struct slice group;
	struct slice unused;
	struct slice best = SLICE_NONE;
	struct slice name = last_name(key, &group);
	size_t least = name.n / 3 + 2;

	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		struct slice rest = name_in_group(&options[i], group);
		struct slice candidate;
		size_t apart;

		if (options[i].scope != scope || rest.p == NULL)
			continue;
		candidate = slice_cut(&rest, '.');
		apart = letters_apart(name, candidate);
		if (apart < least) {
			least = apart;
			best = candidate;
		}
	}
	for (size_t i = 0; best.p == NULL && i < ARRAY_LEN(options); i++)
		if (slice_eq(last_name(slice_str(options[i].key), &unused), name))
			best = slice_str(options[i].key);
	if (best.p == NULL)
		return false;
	(void)snprintf(out, out_n, "%.*s", SLICE_ARG(best));
	return true;
}

const struct option_word *
config_table_word(enum option_form form, struct slice word)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (words[i].form == form && slice_eq(slice_str(words[i].word), word))
			return &words[i];
	return NULL;
}

void
config_table_words(enum option_form form, char *out, size_t out_n)
{
	const char *pending = NULL;
	size_t at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(words) && at < out_n; i++) {
		if (words[i].form != form || words[i].is_planned)
			continue;
		if (pending != NULL)
			at += (size_t)snprintf(
			    out + at, out_n - at, "%s\"%s\"", at == 0 ? "" : ", ", pending);
		pending = words[i].word;
	}
	if (pending != NULL && at < out_n)
		(void)snprintf(out + at, out_n - at, "%s\"%s\"", at == 0 ? "" : " or ", pending);
}
