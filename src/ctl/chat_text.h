/*
 * Text of strangers on a terminal: nothing in it is obeyed or reorders what stands around it, and it is
 * wrapped between words. Pure. Any thread.
 */
#ifndef CTL_CHAT_TEXT_H
#define CTL_CHAT_TEXT_H

#include "base/buf.h"

/*
 * The code point at the beginning of s (not empty) and *n, its bytes; U+FFFD and 1 where there is no
 * valid one.
 */
uint32_t text_point(struct slice s, size_t *n);
/* Columns that a code point takes on a terminal: 0 (it joins the one before), 1 or 2. */
unsigned text_columns(uint32_t point);

/*
 * Append s (any bytes) as a terminal may show it: controls as ^X, C1 and bidirectional controls as
 * <U+202E>, other format characters not at all (but the joiners of emoji and scripts), at most four
 * combining marks in a row, a tab as a space. Line breaks stay with keep_lines, else they are spaces.
 * 0, or negative as buf_add (it sticks).
 */
int text_add_safe(struct buf *out, struct slice s, bool keep_lines);
/* The same, no more than n columns, cut with an ellipsis. */
int text_add_excerpt(struct buf *out, struct slice s, size_t n);
/*
 * Append a line (or several, by their line breaks) so that none is wider than `width` columns (0: no
 * limit): broken between words where there are any, all but the first indented by `indent` columns.
 * Colours (ESC [ … m) are passed on and take no room. No line break at the end. As above.
 */
int text_add_wrapped(struct buf *out, struct slice s, size_t indent, size_t width);

#endif
