/*
 * The line that somebody is typing, without I/O: keys in as a terminal sends them, the line as it is
 * drawn out. It takes one row and scrolls sideways, so that whatever is printed above it never has to
 * know how many rows it has.
 *
 * Why no library: libedit's callback interface waits for the rest of an escape sequence, and what others
 * say would wait with it; it keeps its state for the whole process, knows nothing of pasted line breaks,
 * and needs a locale for UTF-8. Pure. One thread.
 */
#ifndef CTL_CHAT_EDIT_H
#define CTL_CHAT_EDIT_H

#include "base/buf.h"

#define EDIT_LINE_MAX 65536 /* bytes */
#define EDIT_HISTORY  100   /* lines */
#define EDIT_KEY_MAX  16    /* bytes of an escape sequence */

enum edit_event {
	EDIT_MORE,   /* all input is used up */
	EDIT_LINE,   /* Enter: the line is in text; edit_take it */
	EDIT_TAB,    /* complete what stands before the cursor, with edit_insert */
	EDIT_END,    /* Ctrl-D in an empty line */
	EDIT_REDRAW, /* Ctrl-L */
};

struct edit {
	struct buf text;
	size_t cursor;          /* bytes before it */
	size_t left;            /* bytes of text that are scrolled out */
	char key[EDIT_KEY_MAX]; /* an unfinished escape sequence or character */
	size_t key_n;
	bool is_pasting; /* between the marks of bracketed paste: line breaks are text */
	char *history[EDIT_HISTORY]; /* oldest first */
	size_t n_history;
	size_t at;   /* shown from history; n_history: none, what is typed now */
	char *draft; /* what was typed when history was gone into */
};

void edit_init(struct edit *e);
void edit_done(struct edit *e);
/* Take keys from *in until something is to be done: *in becomes the rest. */
enum edit_event edit_feed(struct edit *e, struct slice *in);
/*
 * The line is sent: it goes into the history (unless it is the same as the last one) and is empty
 * again. Without memory it is not remembered.
 */
void edit_take(struct edit *e);
/* Put this in place of the line, cursor at its end. */
void edit_set(struct edit *e, struct slice text);
/* Remember a line that was not typed here. */
void edit_remember(struct edit *e, struct slice line);
/* Insert at the cursor; what does not fit is left out. */
void edit_insert(struct edit *e, struct slice text);
/*
 * Append what draws it over a cleared row `width` columns wide: prompt (of text that is safe to
 * show), line, and the cursor put in its place. 0, or negative as buf_add (it sticks).
 */
int edit_draw(struct edit *e, struct slice prompt, size_t width, struct buf *out);

#endif
