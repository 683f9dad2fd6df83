#include "ctl/chat_text.h"

#include <unicode/uchar.h>

#include "base/utf8.h"

#define REPLACEMENT 0xfffd
#define ZWNJ        0x200c
#define ZWJ         0x200d
#define MARKS_MAX   4  /* combining marks in a row: scripts use up to three */
#define INDENT_MAX  16 /* columns */

uint32_t
text_point(struct slice s, size_t *n)
{
	unsigned char first = (unsigned char)s.p[0];
	size_t length = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	uint32_t c = length == 1 ? first : first & (0x7fu >> length);

	*n = 1;
	if (length > s.n || !utf8_is_valid(slice_of(s.p, length)))
		return REPLACEMENT;
	for (size_t i = 1; i < length; i++)
		c = c << 6 | ((unsigned char)s.p[i] & 0x3fu);
	*n = length;
	return c;
}

unsigned
text_columns(uint32_t point)
{
	UChar32 c = (UChar32)point;
	int width;

	switch (u_charType(c)) {
	case U_NON_SPACING_MARK:
	case U_ENCLOSING_MARK:
	case U_FORMAT_CHAR:
	case U_CONTROL_CHAR:
		return 0;
	default:
		break;
	}
	width = u_getIntPropertyValue(c, UCHAR_EAST_ASIAN_WIDTH);
	return width == U_EA_WIDE || width == U_EA_FULLWIDTH ? 2 : 1;
}

static bool
is_mark(uint32_t point)
{
	int8_t type = u_charType((UChar32)point);

	return type == U_NON_SPACING_MARK || type == U_ENCLOSING_MARK;
}

/* What is no plain character of text. */
static void
add_special(struct buf *out, uint32_t c, bool keep_lines)
{
	bool is_bidi = u_hasBinaryProperty((UChar32)c, UCHAR_BIDI_CONTROL) != 0;

	if (c == '\n' && keep_lines)
		(void)buf_add_char(out, '\n'); /* failures stick, here and below */
	else if (c == '\n' || c == '\t' || c == 0x2028 || c == 0x2029)
		(void)buf_add_char(out, ' ');
	else if (c == '\r')
		return; /* of CR LF; alone it would begin the line anew */
	else if (c < 0x20 || c == 0x7f)
		(void)buf_printf(out, "^%c", (int)(c ^ 0x40));
	else if (c < 0xa0 || is_bidi)
		(void)buf_printf(out, "<U+%04X>", (unsigned)c);
}

static bool
is_special(uint32_t c)
{
	int8_t type = u_charType((UChar32)c);

	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 ||
	       (type == U_FORMAT_CHAR && c != ZWJ && c != ZWNJ);
}

int
text_add_safe(struct buf *out, struct slice s, bool keep_lines)
{
	unsigned marks = 0;
	size_t n;

	for (; s.n > 0; s = slice_skip(s, n)) {
		uint32_t c = text_point(s, &n);

		if (is_special(c)) {
			add_special(out, c, keep_lines);
			marks = 0;
			continue;
		}
		marks = is_mark(c) ? marks + 1 : 0;
		if (marks > MARKS_MAX)
			continue;
		if (c == REPLACEMENT)
			(void)BUF_ADD_LIT(out, "\xef\xbf\xbd"); /* failures stick */
		else
			(void)buf_add(out, s.p, n);
	}
	return out->failed ? out->error : 0;
}

int
text_add_excerpt(struct buf *out, struct slice s, size_t n)
{
	size_t begin = out->n;
	size_t columns = 0;
	size_t length;

	if (text_add_safe(out, s, false) < 0)
		return out->error;
	for (size_t at = begin; at < out->n; at += length) {
		uint32_t c = text_point(slice_skip(buf_slice(out), at), &length);

		columns += text_columns(c);
		if (columns > n) {
			out->n = at;
			return BUF_ADD_LIT(out, "\xe2\x80\xa6");
		}
	}
	return 0;
}

/* Bytes of a colour at the beginning of s; 0 when there is none. */
static size_t
colour_length(struct slice s)
{
	size_t n = 2;

	if (s.n < 2 || s.p[0] != '\x1b' || s.p[1] != '[')
		return 0;
	while (n < s.n && s.p[n] != 'm')
		n++;
	return n < s.n ? n + 1 : 0;
}

struct wrap {
	struct buf *out;
	size_t indent;
	size_t width;
	size_t start; /* the column where this line begins */
	size_t column;
};

static void
next_line(struct wrap *w)
{
	static const char spaces[INDENT_MAX + 1] = "                ";

	(void)buf_add_char(w->out, '\n'); /* failures stick, here and below */
	(void)buf_add(w->out, spaces, w->indent);
	w->start = w->indent;
	w->column = w->start;
}

static size_t
columns_of(struct slice s)
{
	size_t columns = 0;
	size_t n;

	for (; s.n > 0; s = slice_skip(s, n)) {
		n = colour_length(s);
		if (n == 0)
			columns += text_columns(text_point(s, &n));
	}
	return columns;
}

/* A word, cut where it is longer than a line. */
static void
add_word(struct wrap *w, struct slice s)
{
	size_t n;

	for (; s.n > 0; s = slice_skip(s, n)) {
		unsigned columns = 0;

		n = colour_length(s);
		if (n == 0)
			columns = text_columns(text_point(s, &n));
		if (w->width > 0 && w->column + columns > w->width)
			next_line(w);
		w->column += columns;
		(void)buf_add(w->out, s.p, n); /* failures stick */
	}
}

int
text_add_wrapped(struct buf *out, struct slice s, size_t indent, size_t width)
{
	struct wrap w = {out, min_size(indent, INDENT_MAX), width, 0, 0};

	if (width > 0 && width <= w.indent + 8)
		w.width = 0; /* so narrow a terminal breaks lines itself */
	while (s.n > 0) {
		size_t space = 0;
		size_t word;
		size_t columns;

		if (s.p[0] == '\n') {
			next_line(&w);
			s = slice_skip(s, 1);
			continue;
		}
		while (space < s.n && s.p[space] == ' ')
			space++;
		word = space;
		while (word < s.n && s.p[word] != ' ' && s.p[word] != '\n')
			word++;
		columns = columns_of(slice_of(s.p + space, word - space));
		if (w.width > 0 && w.column + space + columns > w.width && space > 0) {
			/* the spaces go; at a line's beginning or end nothing else is needed */
			if (w.column > w.start && columns > 0)
				next_line(&w);
		} else {
			w.column += space;
			(void)buf_add(out, s.p, space); /* failures stick */
		}
		add_word(&w, slice_of(s.p + space, word - space));
		s = slice_skip(s, word);
	}
	return out->failed ? out->error : 0;
}
