/*
 * The terminal, or the pipe, that a chat is held on: what is shown, and above which line it stands. One
 * thread.
 */
#ifndef CTL_CHAT_SCREEN_H
#define CTL_CHAT_SCREEN_H

#include <termios.h>

#include "ctl/chat_edit.h"

struct screen {
	bool is_edited;   /* the line is typed here, key by key */
	bool is_coloured; /* standard output is a terminal that shows colours */
	bool is_terminal; /* standard output is one */
	bool is_drawn;    /* the line stands on the last row */
	size_t width;     /* columns; 0 when standard output is no terminal */
	struct termios before;
	struct edit edit;
	struct buf prompt;
	struct buf row; /* as it was drawn last */
};

/* may_edit: standard input may be read key by key where it is a terminal. */
void screen_init(struct screen *s, bool may_colour, bool may_edit);
/* Give the terminal back as it was. */
void screen_done(struct screen *s);
/* Look how wide the terminal is now. */
void screen_measure(struct screen *s);
/* Take the terminal, or give it back for a while. */
void screen_take(struct screen *s);
void screen_release(struct screen *s);

/*
 * Show lines above the one that is typed, which is gone until screen_draw. err: on standard error where
 * that is not the same.
 */
void screen_show(struct screen *s, struct slice lines, bool err);
/* Draw the line anew behind this prompt. */
void screen_draw(struct screen *s, struct slice prompt);
/* Clear the screen, as Ctrl-L does. */
void screen_clear(struct screen *s);

#endif
