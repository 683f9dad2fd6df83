/*
 * The table of core/config_options.def as data, and the questions asked of it. Constant. Any
 * thread.
 */
#ifndef DAEMON_CONFIG_TABLE_H
#define DAEMON_CONFIG_TABLE_H

#include "base/slice.h"

enum option_scope {
	SCOPE_CONFIG,
	SCOPE_LISTENER,
	SCOPE_RULE,
	SCOPE_FEED
};

enum option_kind {
	KIND_FLAG,
	KIND_NUMBER,
	KIND_DURATION,
	KIND_SIZE,
	KIND_CHOICE,
	KIND_BITS,
	KIND_MODE,
	KIND_TEXT,
	KIND_PATH,
	KIND_TEXTS,
	KIND_NETWORKS,
	KIND_LIST,
};

enum option_form { /* what a text looks like, or which words there are */
	FORM_NONE,
	FORM_PLAIN,
	FORM_SECRET,
	FORM_ADDRESS,
	FORM_ACCOUNT,
	FORM_HEADER,
	FORM_HOST,
	FORM_ORIGIN,
	FORM_COOKIE,
	FORM_LINK,
	FORM_PATTERN,
	FORM_GRANT,
	FORM_USER,
	FORM_TOPIC,
	FORM_ROOM,
	FORM_ALGORITHM,
	FORM_BACKEND,
	FORM_SYNC,
	FORM_LEVEL,
	FORM_FORMAT,
};

struct option {
	const char *key; /* "limits.queue" */
	enum option_scope scope;
	enum option_kind kind;
	enum option_form form;
	size_t offset;             /* of the field in its struct */
	size_t size;               /* of the field; of a list's element */
	size_t count_offset;       /* lists: of their count */
	enum option_scope element; /* lists */
	const char *initial;       /* as in a file; NULL: left unset */
	uint64_t min, max;
	const char *unit;
	bool needs_restart;
	bool is_planned; /* known, but not built yet */
	const char *text;
};

struct option_word {
	enum option_form form;
	const char *word;
	unsigned value;
	bool is_planned;
};

#define OPTIONS_MAX 128 /* a size for tables beside the table */

/* The rows; *n gets how many (at most OPTIONS_MAX). */
const struct option *config_table(size_t *n);
/* The row of a key inside a struct, or NULL. */
const struct option *config_table_find(enum option_scope scope, struct slice key);
/* Whether some row's key begins with "key."; *is_planned: and none of these is built. */
bool config_table_is_group(enum option_scope scope, struct slice key, bool *is_planned);
/*
 * The key that was probably meant by an unknown `key`: one of the same group with few letters
 * changed, else one of the same last name elsewhere. Writes its name (cut) to out; false: none.
 */
bool config_table_guess(enum option_scope scope, struct slice key, char *out, size_t out_n);
/* The word of a form, or NULL. */
const struct option_word *config_table_word(enum option_form form, struct slice word);
/* Writes the built words of a form for people: `"full", "normal" or "off"` (cut). */
void config_table_words(enum option_form form, char *out, size_t out_n);

#endif
