#include "ctl/chat_screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define OUT_MAX     1048576
#define WIDTH       80
#define PROMPT_MAX  4096
#define CLEAR_ROW   "\r\x1b[K"
#define CLEAR_ALL   "\x1b[H\x1b[2J"
#define PASTE_MARKS "\x1b[?2004h" /* pasted text is told from typed keys */
#define PASTE_PLAIN "\x1b[?2004l"

static bool
is_dumb(void)
{
	const char *term = getenv("TERM"); /* NOLINT(concurrency-mt-unsafe): one thread */

	return term == NULL || term[0] == '\0' || strcmp(term, "dumb") == 0;
}

void
screen_init(struct screen *s, bool may_colour, bool may_edit)
{
	*s = (struct screen){.prompt = BUF_INIT(PROMPT_MAX), .row = BUF_INIT(OUT_MAX)};
	edit_init(&s->edit);
	s->is_terminal = isatty(STDOUT_FILENO) != 0;
	s->is_coloured = may_colour && s->is_terminal && !is_dumb();
	s->is_edited = may_edit && s->is_terminal && !is_dumb() && isatty(STDIN_FILENO) != 0 &&
		       tcgetattr(STDIN_FILENO, &s->before) == 0;
	screen_measure(s);
	screen_take(s);
}

void
screen_measure(struct screen *s)
{
	struct winsize size;

	if (!s->is_terminal)
		return;
	s->width = WIDTH;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		s->width = size.ws_col;
}

void
screen_take(struct screen *s)
{
	struct termios raw = s->before;

	if (!s->is_edited)
		return;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | IEXTEN);
	raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL | INLCR);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &raw); /* else keys come a line at a time */
	(void)fputs(PASTE_MARKS, stdout);
	(void)fflush(stdout); /* its failure shows in ferror */
}

void
screen_release(struct screen *s)
{
	if (!s->is_edited)
		return;
	if (s->is_drawn)
		(void)fputs(CLEAR_ROW, stdout);
	s->is_drawn = false;
	(void)fputs(PASTE_PLAIN, stdout);
	(void)fflush(stdout);
	(void)tcsetattr(STDIN_FILENO, TCSADRAIN, &s->before); /* nothing better can be done */
}

void
screen_done(struct screen *s)
{
	screen_release(s);
	edit_done(&s->edit);
	buf_done(&s->prompt);
	buf_done(&s->row);
}

/* What stands on the last row already is not written again. */
static void
redraw(struct screen *s)
{
	struct buf row = BUF_INIT(OUT_MAX);

	(void)BUF_ADD_LIT(&row, CLEAR_ROW); /* failures stick */
	if (edit_draw(&s->edit, buf_slice(&s->prompt), s->width, &row) < 0 ||
	    (s->is_drawn && slice_eq(buf_slice(&row), buf_slice(&s->row)))) {
		buf_done(&row);
		return;
	}
	(void)fwrite(row.p, 1, row.n, stdout); /* ferror tells */
	buf_done(&s->row);
	s->row = row;
	s->is_drawn = true;
}

void
screen_show(struct screen *s, struct slice lines, bool err)
{
	FILE *to = err && !s->is_terminal ? stderr : stdout;

	if (lines.n == 0)
		return;
	if (s->is_drawn)
		(void)fputs(CLEAR_ROW, stdout);
	s->is_drawn = false;                   /* screen_draw comes before the next wait */
	(void)fwrite(lines.p, 1, lines.n, to); /* ferror tells */
	if (!s->is_edited)
		(void)fflush(to);
}

void
screen_draw(struct screen *s, struct slice prompt)
{
	if (!s->is_edited)
		return;
	buf_reset(&s->prompt);
	(void)buf_add_slice(&s->prompt, prompt); /* else there is none */
	redraw(s);
	(void)fflush(stdout);
}

void
screen_clear(struct screen *s)
{
	if (s->is_edited)
		(void)fputs(CLEAR_ALL, stdout);
	s->is_drawn = false;
}
