#include "ctl/chat_edit.h"

#include "base/mem.h"
#include "ctl/chat_text.h"

#define CTRL(letter) ((letter)&0x1f)
#define ESC          0x1b
#define DEL          0x7f
#define ZWJ          0x200d

void
edit_init(struct edit *e)
{
	*e = (struct edit){.text = BUF_INIT(EDIT_LINE_MAX)};
}

void
edit_done(struct edit *e)
{
	for (size_t i = 0; i < e->n_history; i++)
		mem_free(e->history[i]);
	mem_free(e->draft);
	buf_done(&e->text);
	*e = (struct edit){.text = BUF_INIT(EDIT_LINE_MAX)};
}

/* --- places in the line --- */

/* Where the character behind `at` ends: with the marks and joined ones that belong to it. */
static size_t
next_place(const struct edit *e, size_t at)
{
	struct slice s = buf_slice(&e->text);
	size_t n;
	uint32_t c;

	if (at >= s.n)
		return s.n;
	c = text_point(slice_skip(s, at), &n);
	at += n;
	while (at < s.n) {
		bool is_joined = c == ZWJ;

		c = text_point(slice_skip(s, at), &n);
		if (!is_joined && (text_columns(c) > 0 || c < ' '))
			break;
		at += n;
	}
	return at;
}

static size_t
place_before(const struct edit *e, size_t at)
{
	size_t last = 0;
	size_t next = 0;

	while (next < at) {
		last = next;
		next = next_place(e, next);
	}
	return last;
}

static bool
is_space_at(const struct edit *e, size_t at)
{
	return e->text.p[at] == ' ' || e->text.p[at] == '\n';
}

static size_t
word_before(const struct edit *e, size_t at)
{
	while (at > 0 && is_space_at(e, at - 1))
		at--;
	while (at > 0 && !is_space_at(e, at - 1))
		at--;
	return at;
}

static size_t
word_behind(const struct edit *e, size_t at)
{
	while (at < e->text.n && is_space_at(e, at))
		at++;
	while (at < e->text.n && !is_space_at(e, at))
		at++;
	return at;
}

/* --- changes --- */

void
edit_insert(struct edit *e, struct slice text)
{
	if (buf_reserve(&e->text, text.n) < 0) {
		e->text.failed = false; /* the line stays as it was */
		return;
	}
	if (text.n == 0)
		return;
	memmove(e->text.p + e->cursor + text.n, e->text.p + e->cursor, e->text.n - e->cursor);
	memcpy(e->text.p + e->cursor, text.p, text.n);
	e->text.n += text.n;
	e->cursor += text.n;
}

static void
erase(struct edit *e, size_t from, size_t to)
{
	if (from >= to)
		return;
	memmove(e->text.p + from, e->text.p + to, e->text.n - to);
	e->text.n -= to - from;
	e->cursor = from;
}

void
edit_set(struct edit *e, struct slice text)
{
	buf_reset(&e->text);
	e->cursor = 0;
	e->left = 0;
	edit_insert(e, text);
}

/* --- history --- */

void
edit_remember(struct edit *e, struct slice line)
{
	char *copy;

	e->at = e->n_history;
	if (line.n == 0 ||
	    (e->n_history > 0 && slice_eq(slice_str(e->history[e->n_history - 1]), line)))
		return;
	copy = mem_strdup(line);
	if (copy == NULL)
		return;
	if (e->n_history == EDIT_HISTORY) {
		mem_free(e->history[0]);
		memmove((void *)e->history, (void *)(e->history + 1),
		    (EDIT_HISTORY - 1) * sizeof(e->history[0]));
		e->n_history--;
	}
	e->history[e->n_history++] = copy;
	e->at = e->n_history;
}

void
edit_take(struct edit *e)
{
	edit_remember(e, buf_slice(&e->text));
	edit_set(e, SLICE(""));
}

static void
go_back(struct edit *e)
{
	if (e->at == 0)
		return;
	if (e->at == e->n_history) {
		mem_free(e->draft);
		e->draft = mem_strdup(buf_slice(&e->text));
	}
	e->at--;
	edit_set(e, slice_str(e->history[e->at]));
}

static void
go_forth(struct edit *e)
{
	if (e->at >= e->n_history)
		return;
	e->at++;
	edit_set(e, slice_str(e->at < e->n_history ? e->history[e->at]
			      : e->draft == NULL   ? ""
						   : e->draft));
}

/* --- keys --- */

static enum edit_event
on_control(struct edit *e, unsigned char c)
{
	switch (c) {
	case CTRL('A'):
		e->cursor = 0;
		break;
	case CTRL('B'):
		e->cursor = place_before(e, e->cursor);
		break;
	case CTRL('D'):
		if (e->text.n == 0)
			return EDIT_END;
		erase(e, e->cursor, next_place(e, e->cursor));
		break;
	case CTRL('E'):
		e->cursor = e->text.n;
		break;
	case CTRL('F'):
		e->cursor = next_place(e, e->cursor);
		break;
	case CTRL('H'):
	case DEL:
		erase(e, place_before(e, e->cursor), e->cursor);
		break;
	case CTRL('I'):
		return EDIT_TAB;
	case CTRL('K'):
		e->text.n = e->cursor;
		break;
	case CTRL('L'):
		return EDIT_REDRAW;
	case CTRL('N'):
		go_forth(e);
		break;
	case CTRL('P'):
		go_back(e);
		break;
	case CTRL('U'):
		erase(e, 0, e->cursor);
		break;
	case CTRL('W'):
		erase(e, word_before(e, e->cursor), e->cursor);
		break;
	case '\r':
	case '\n':
		return EDIT_LINE;
	default:
		break; /* other keys do nothing */
	}
	return EDIT_MORE;
}

/* ESC and what followed it, whole. */
static void
on_sequence(struct edit *e, struct slice s)
{
	static const struct {
		struct slice keys;
		char control;
	} same[] = {
	    {{"[A", 2}, CTRL('P')},
	    {{"[B", 2}, CTRL('N')},
	    {{"[C", 2}, CTRL('F')},
	    {{"[D", 2}, CTRL('B')},
	    {{"[H", 2}, CTRL('A')},
	    {{"[F", 2}, CTRL('E')},
	    {{"[1~", 3}, CTRL('A')},
	    {{"[4~", 3}, CTRL('E')},
	    {{"[7~", 3}, CTRL('A')},
	    {{"[8~", 3}, CTRL('E')},
	    {{"OA", 2}, CTRL('P')},
	    {{"OB", 2}, CTRL('N')},
	    {{"OC", 2}, CTRL('F')},
	    {{"OD", 2}, CTRL('B')},
	    {{"OH", 2}, CTRL('A')},
	    {{"OF", 2}, CTRL('E')},
	};

	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		if (slice_eq(s, same[i].keys))
			(void)on_control(e, (unsigned char)same[i].control); /* a movement */
	}
	if (slice_eq(s, SLICE("[3~")))
		erase(e, e->cursor, next_place(e, e->cursor));
	else if (slice_eq(s, SLICE("[200~")))
		e->is_pasting = true;
	else if (slice_eq(s, SLICE("[201~")))
		e->is_pasting = false;
	else if (slice_eq(s, SLICE("\r")) || slice_eq(s, SLICE("\n")))
		edit_insert(e, SLICE("\n")); /* Alt-Enter */
	else if (slice_eq(s, SLICE("b")) || slice_eq(s, SLICE("[1;5D")))
		e->cursor = word_before(e, e->cursor);
	else if (slice_eq(s, SLICE("f")) || slice_eq(s, SLICE("[1;5C")))
		e->cursor = word_behind(e, e->cursor);
	else if (slice_eq(s, SLICE("\x7f")))
		erase(e, word_before(e, e->cursor), e->cursor);
	else if (slice_eq(s, SLICE("d")))
		erase(e, e->cursor, word_behind(e, e->cursor));
}

/* Whether the bytes kept since ESC are a whole sequence (ECMA-48, 5.4). */
static bool
is_whole_sequence(const struct edit *e)
{
	unsigned char last = (unsigned char)e->key[e->key_n - 1];

	if (e->key_n < 2)
		return false;
	if (e->key[1] == '[')
		return e->key_n > 2 && last >= 0x40 && last <= 0x7e;
	return e->key[1] == 'O' ? e->key_n > 2 : true;
}

static size_t
utf8_length(unsigned char first)
{
	if (first < 0xc0 || first >= 0xf8)
		return 1;
	return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static enum edit_event
on_byte(struct edit *e, char byte)
{
	unsigned char c = (unsigned char)byte;
	struct slice keys;
	size_t n;

	if (e->key_n == 0 && c != ESC && (c < ' ' || c == DEL)) {
		if (!e->is_pasting)
			return on_control(e, c);
		if (c == '\r' || c == '\n' || c == '\t')
			edit_insert(e, c == '\t' ? SLICE("\t") : SLICE("\n"));
		return EDIT_MORE; /* other controls are no text */
	}
	if (c == ESC || (e->key_n > 0 && e->key[0] != ESC && (c & 0xc0) != 0x80))
		e->key_n = 0; /* what was begun is given up for this */
	if (e->key_n == EDIT_KEY_MAX)
		e->key_n--; /* no sequence of ours is so long: only its end is waited for */
	e->key[e->key_n++] = byte;
	keys = slice_of(e->key, e->key_n);
	if (keys.p[0] == ESC) {
		if (!is_whole_sequence(e))
			return EDIT_MORE;
		on_sequence(e, slice_skip(keys, 1));
		e->key_n = 0;
	} else if (keys.n >= utf8_length((unsigned char)keys.p[0])) {
		if (text_point(keys, &n) != 0xfffd && n == keys.n)
			edit_insert(e, keys);
		e->key_n = 0; /* what is no UTF-8 cannot be said */
	}
	return EDIT_MORE;
}

enum edit_event
edit_feed(struct edit *e, struct slice *in)
{
	while (in->n > 0) {
		enum edit_event event = on_byte(e, in->p[0]);

		*in = slice_skip(*in, 1);
		if (event != EDIT_MORE)
			return event;
	}
	return EDIT_MORE;
}

/* --- drawing --- */

/* A piece of the line as it is drawn: controls would move the cursor. */
static size_t
add_piece(struct buf *out, struct slice s)
{
	size_t begin = out->n;
	size_t columns = 0;
	size_t n;

	if (s.p[0] == '\n')
		(void)BUF_ADD_LIT(out, "\xe2\x86\xb5"); /* failures stick, here and below */
	else
		(void)text_add_safe(out, s, false);
	for (size_t at = begin; at < out->n; at += n)
		columns += text_columns(text_point(slice_skip(buf_slice(out), at), &n));
	return columns;
}

/* Scroll sideways, so that the cursor is within `room` columns. */
static void
scroll(struct edit *e, size_t room)
{
	struct buf scratch = BUF_INIT(EDIT_LINE_MAX);
	struct slice line = buf_slice(&e->text);
	size_t columns = 0;
	size_t next;

	if (e->left > e->cursor)
		e->left = e->cursor;
	for (size_t at = e->left; at < e->cursor; at = next) {
		next = next_place(e, at);
		buf_reset(&scratch);
		columns += add_piece(&scratch, slice_of(line.p + at, next - at));
	}
	while (e->left < e->cursor && columns >= room) {
		next = next_place(e, e->left);
		buf_reset(&scratch);
		columns -= add_piece(&scratch, slice_of(line.p + e->left, next - e->left));
		e->left = next;
	}
	buf_done(&scratch);
}

int
edit_draw(struct edit *e, struct slice prompt, size_t width, struct buf *out)
{
	struct slice line = buf_slice(&e->text);
	size_t columns = 0;
	size_t behind = 0; /* columns behind the cursor */
	size_t room;
	size_t n;

	(void)buf_add_slice(out, prompt); /* failures stick, here and below */
	for (size_t at = 0; at < prompt.n; at += n)
		columns += text_columns(text_point(slice_skip(prompt, at), &n));
	room = width > columns + 2 ? width - columns - 1 : 1;
	scroll(e, room);
	columns = 0;
	for (size_t at = e->left; at < e->text.n;) {
		size_t next = next_place(e, at);
		size_t before = out->n;
		size_t more = add_piece(out, slice_of(line.p + at, next - at));

		if (columns + more > room) {
			out->n = before;
			break;
		}
		columns += more;
		behind += at >= e->cursor ? more : 0;
		at = next;
	}
	if (behind > 0)
		(void)buf_printf(out, "\x1b[%zuD", behind);
	return out->failed ? out->error : 0;
}
