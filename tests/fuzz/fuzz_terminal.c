/*
 * A terminal chat: whatever the daemon says, its people are called, and keys a terminal sends, nothing but
 * text and line breaks is shown, the line that is typed is drawn as text on one row, and what is sent is
 * JSON. Each line of the input is one event, its first byte says of what kind: D a message of the daemon,
 * L a line, K keys, N what is sent next, X the end of the connection, T text.
 */
#include "tests/fuzz/support.h"

/* belfryctl's files are in no library */
#include "src/ctl/chat_edit.c"
#include "src/ctl/chat_known.c"
#include "src/ctl/chat_outbox.c"
#include "src/ctl/chat_session.c"
#include "src/ctl/chat_text.c"
#include "src/ctl/chat_view.c"
#include "src/ctl/chat_words.c"

#define INPUT_MAX 8192
#define WIDTH     40

/* UTF-8 without controls but line breaks. */
static void
check_shown(struct slice shown)
{
	struct slice rest = shown;

	NEED(utf8_is_valid(shown));
	while (rest.p != NULL)
		NEED(!utf8_has_control(slice_cut(&rest, '\n')));
}

static void
check_row(struct edit *e)
{
	struct buf row = BUF_INIT(EDIT_LINE_MAX * 2);
	struct slice rest;
	struct slice text;

	NEED(utf8_is_valid(buf_slice(&e->text)) && e->cursor <= e->text.n);
	NEED(edit_draw(e, SLICE("lobby> "), WIDTH, &row) == 0);
	rest = buf_slice(&row);
	text = slice_cut(&rest, '\x1b'); /* the cursor's way back ends it */
	check_shown(text);
	NEED(memchr(text.p, '\n', text.n) == NULL && columns_of(text) < WIDTH);
	NEED(rest.p == NULL || (rest.p[0] == '[' && rest.p[rest.n - 1] == 'D'));
	buf_done(&row);
}

static void
check_wrapped(struct slice s)
{
	struct buf safe = BUF_INIT(INPUT_MAX * 8);
	struct buf lines = BUF_INIT(INPUT_MAX * 64);
	struct slice rest;

	NEED(text_add_safe(&safe, s, true) == 0);
	check_shown(buf_slice(&safe));
	NEED(text_add_wrapped(&lines, buf_slice(&safe), 4, WIDTH) == 0);
	check_shown(buf_slice(&lines));
	for (rest = buf_slice(&lines); rest.p != NULL;)
		NEED(columns_of(slice_cut(&rest, '\n')) <= WIDTH);
	buf_done(&safe);
	buf_done(&lines);
}

static void
type_keys(struct session *s, struct edit *e, struct slice keys)
{
	while (keys.n > 0) {
		if (edit_feed(e, &keys) != EDIT_LINE)
			continue;
		session_line(s, buf_slice(&e->text));
		edit_take(e);
	}
	check_row(e);
}

static void
send_next(struct session *s, uint64_t now_ms)
{
	struct buf out = BUF_INIT(INPUT_MAX * 16);

	if (session_next(s, now_ms, &out) > 0)
		NEED(json_check(buf_slice(&out), NULL) == 0);
	buf_done(&out);
}

static void
take_event(struct session *s, struct edit *e, struct slice event, uint64_t now_ms)
{
	struct slice rest = slice_skip(event, 1);

	switch (event.p[0]) {
	case 'D':
		session_take(s, rest, now_ms);
		break;
	case 'L':
		session_line(s, rest);
		break;
	case 'K':
		type_keys(s, e, rest);
		break;
	case 'N':
		send_next(s, now_ms);
		break;
	case 'X':
		session_lost(s);
		break;
	default:
		check_wrapped(rest);
		break;
	}
	check_shown(buf_slice(&s->shown));
	check_shown(buf_slice(&s->notes));
	buf_reset(&s->shown);
	buf_reset(&s->notes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of((const char *)data, min_size(size, INPUT_MAX));
	struct session *s = mem_calloc(1, sizeof(*s));
	struct edit *e = mem_calloc(1, sizeof(*e));
	uint64_t now_ms = 1000;

	NEED(s != NULL && e != NULL && session_init(s, SLICE("lobby"), 20) == 0);
	edit_init(e);
	while (rest.p != NULL) {
		struct slice event = slice_cut(&rest, '\n');

		now_ms += 500;
		if (event.n > 0)
			take_event(s, e, event, now_ms);
	}
	NEED(session_unsent(s) <= INPUT_MAX);
	check_shown(buf_slice(&s->notes));
	edit_done(e);
	session_done(s);
	mem_free(e);
	mem_free(s);
	return 0;
}
