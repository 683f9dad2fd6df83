/*
 * What the files of the configuration reader share: one reading under way, and how it fails.
 * Private to daemon/config_*.c. Main thread.
 */
#ifndef DAEMON_CONFIG_READER_H
#define DAEMON_CONFIG_READER_H

#include <libconfig.h>

#include "daemon/config_read.h"
#include "daemon/config_table.h"

/* Where lines of the whole text come from. */
struct config_piece {
	unsigned at_line; /* of the whole */
	unsigned line;    /* of the file */
	char *file;       /* owned */
};

/* The main file's text with all that it includes. */
struct config_text {
	struct buf whole;
	unsigned n_lines;
	struct config_piece *pieces;
	size_t n;
};

struct config_reader {
	struct config *config;      /* being filled */
	struct config_error *error; /* the caller's */
	const char *path;           /* of the main file, as given */
	struct config_text *text;
	bool is_default; /* a default is being applied: it stands nowhere */
};

struct config_where {
	const char *file; /* borrowed from the reader */
	unsigned line;
};

/* One place where the keys of one struct go. */
struct config_place {
	void *base;
	enum option_scope scope;
	bool seen[OPTIONS_MAX]; /* by row: the file set it */
};

/* Fill the error; returns -EINVAL. */
int config_fail(struct config_reader *r, const char *file, unsigned line, const char *fmt, ...)
    PRINTF(4, 5);
/* The same at a setting. */
#define config_fail_at(r, s, ...)                                                                  \
	config_fail((r), config_where((r), config_setting_source_line(s)).file,                    \
	    config_where((r), config_setting_source_line(s)).line, __VA_ARGS__)
/* "out of memory"; returns -ENOMEM. */
int config_fail_memory(struct config_reader *r);

/* --- config_text.c: files, and what libconfig would misread in them --- */

/*
 * The whole of a file, NUL-terminated behind out->n. Negative errno; -EINVAL: not a regular
 * file.
 */
MUST_CHECK int config_text_read(const char *path, size_t max, bool only_regular, struct buf *out);
/*
 * Put the main file's text and all that it includes into r->text, NUL-terminated, and refuse
 * numbers that libconfig would misread. 0, or negative with the error filled.
 */
MUST_CHECK int config_text_expand(struct config_reader *r, struct slice text);
void config_text_done(struct config_text *t);
/* The file and line of a line of the whole text. */
struct config_where config_where(const struct config_reader *r, unsigned line);

/* --- config_form.c --- */

/*
 * Check a text against its form; some forms are brought into a normal shape in place. 0, or -1
 * with what was wanted in why (at most why_n bytes).
 */
MUST_CHECK int config_form_check(enum option_form form, char *text, char *why, size_t why_n);

/* --- config_read.c --- */

/* Append the folder of a file, absolute. 0 or negative. */
MUST_CHECK int config_folder(const char *file, struct buf *out);

/* --- config_apply.c: one setting into its field --- */

MUST_CHECK int config_apply(struct config_reader *r, const struct option *o,
    const config_setting_t *s, struct config_place *place);
/* Walk a group's members into a place; path is its key, empty at the root. */
MUST_CHECK int config_apply_group(struct config_reader *r, const config_setting_t *group,
    struct config_place *place, struct slice path);
/* What the file left out of a place. */
MUST_CHECK int config_apply_defaults(struct config_reader *r, struct config_place *place);

/* --- config_check.c: what one value alone cannot tell --- */

/* An element of a list, just read. */
MUST_CHECK int config_check_element(struct config_reader *r, const struct option *list,
    const config_setting_t *s, struct config_place *place);
/* The whole; reads the key files. */
MUST_CHECK int config_check_whole(struct config_reader *r, const config_setting_t *root);

#endif
