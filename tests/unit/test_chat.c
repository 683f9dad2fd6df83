/*
 * belfryctl chat: strangers' text made safe, lines wrapped, typed keys, commands, what is shown, and a
 * session over connections that come and go.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* belfryctl's files are in no library */
#include "src/ctl/chat_edit.c"
#include "src/ctl/chat_known.c"
#include "src/ctl/chat_outbox.c"
#include "src/ctl/chat_session.c"
#include "src/ctl/chat_text.c"
#include "src/ctl/chat_view.c"
#include "src/ctl/chat_words.c"
#include "src/ctl/ws_client.c"
#include "tests/unit/support_run.h"

#define TEXT_MAX 65536

static const char *
text_of(struct buf *b)
{
	(void)buf_add_char(b, '\0');
	ck_assert(!b->failed);
	b->n--;
	return b->p;
}

/* --- text --- */

static const struct {
	struct slice in;
	const char *safe;
} texts[] = {
    {{"plain", 5}, "plain"},
    {{"\x1b[31mred\x07", 9}, "^[[31mred^G"},
    {{"a\x9b"
      "31mb",
	 6},
	"a\xef\xbf\xbd"
	"31mb"},
    {{"a\xc2\x9b"
      "31mb",
	 7},
	"a<U+009B>31mb"},
    {{"abc\xe2\x80\xaetxt\xe2\x81\xa6", 12}, "abc<U+202E>txt<U+2066>"},
    {{"one\r\ntwo\tthree", 14}, "one\ntwo three"},
    {{"x\rover", 6}, "xover"},
    {{"nul\0end", 7}, "nul^@end"},
    {{"zero\xe2\x80\x8bwidth\xef\xbb\xbf", 15}, "zerowidth"},
    {{"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb", 11},
	"\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb"},
    {{"z\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81.", 14},
	"z\xcc\x81\xcc\x81\xcc\x81\xcc\x81."},
    {{"\xe2\x80\xa8line", 7}, " line"},
    {{"cut\xf0\x9f", 5}, "cut\xef\xbf\xbd\xef\xbf\xbd"},
};

START_TEST(strangers_text_is_safe)
{
	struct buf out = BUF_INIT(TEXT_MAX);

	ck_assert_int_eq(text_add_safe(&out, texts[_i].in, true), 0);
	ck_assert_str_eq(text_of(&out), texts[_i].safe);
	buf_done(&out);
}
END_TEST

START_TEST(no_byte_reaches_the_terminal_as_a_control)
{
	for (uint32_t c = 0; c < 0x3000; c++) {
		char bytes[4] = {(char)c};
		size_t n = 1;
		struct buf out = BUF_INIT(TEXT_MAX);

		if (c >= 0x800) {
			bytes[0] = (char)(0xe0 | c >> 12);
			bytes[1] = (char)(0x80 | (c >> 6 & 0x3f));
			bytes[2] = (char)(0x80 | (c & 0x3f));
			n = 3;
		} else if (c >= 0x80) {
			bytes[0] = (char)(0xc0 | c >> 6);
			bytes[1] = (char)(0x80 | (c & 0x3f));
			n = 2;
		}
		ck_assert_int_eq(text_add_safe(&out, slice_of(bytes, n), false), 0);
		ck_assert(!utf8_has_control(buf_slice(&out)));
		buf_done(&out);
	}
}
END_TEST

static const struct {
	const char *in;
	size_t width;
	const char *out;
} wraps[] = {
    {"short", 20, "short"},
    {"a sentence of some words", 15, "a sentence of\n  some words"},
    {"a sentence of some words", 0, "a sentence of some words"},
    {"loooooooooooooooooong", 12, "looooooooooo\n  ooooooong"},
    {"                    wide", 12, "wide"},
    {"a                    wide", 12, "a\n  wide"},
    {"ab loooooooooooong", 12, "ab\n  looooooooo\n  ooong"},
    {"loooooooooong\n                    x", 12, "loooooooooon\n  g\n  x"},
    {"words and         \nb", 12, "words and\n  b"},
    {"\x1b[1mwords and         \x1b[0m", 12, "\x1b[1mwords and\x1b[0m"},
    {"a\nb", 20, "a\n  b"},
    {"a\nb", 0, "a\n  b"},
    {"\x1b[1mbold words\x1b[0m here now", 12, "\x1b[1mbold words\x1b[0m\n  here now"},
    {"\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97", 11,
	"\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2\n  \xe5\xad\x97"},
};

START_TEST(lines_are_wrapped)
{
	struct buf out = BUF_INIT(TEXT_MAX);

	ck_assert_int_eq(text_add_wrapped(&out, slice_str(wraps[_i].in), 2, wraps[_i].width), 0);
	ck_assert_str_eq(text_of(&out), wraps[_i].out);
	buf_done(&out);
}
END_TEST

/* --- typing --- */

static const struct {
	const char *keys;
	const char *line;
	size_t cursor;
} typings[] = {
    {"abc", "abc", 3},
    {"abc\x7f\x7f", "a", 1},
    {"abc\x1b[D\x1b[DX", "aXbc", 2},
    {"abc\x01X\x05Y", "XabcY", 5},
    {"abc\x1b[HX\x1b[FY", "XabcY", 5},
    {"one two\x17", "one ", 4},
    {"one two\x1b[1;5D\x0b", "one ", 4},
    {"abc\x15", "", 0},
    {"abc\x02\x04", "ab", 2},
    {"abc\x1bOD\x1b[3~", "ab", 2},
    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x91\x8d\x7f\x7f", "\xc3\xa4", 2},
    {"e\xcc\x81x\x02\x02X", "Xe\xcc\x81x", 1},
    {"\x1b[200~two\rlines\x01\x1b[201~.", "two\nlines.", 10},
    {"a\x1b\rb", "a\nb", 3},
    {"\x1b[99999999999999999999999999~a", "a", 1},
    {"\xff\xfe"
     "a",
	"a", 1},
    {"abc\x1b", "abc", 3},
};

static void
type(struct edit *e, const char *keys, size_t piece)
{
	struct slice all = slice_str(keys);

	while (all.n > 0) {
		struct slice in = slice_of(all.p, min_size(piece, all.n));

		all = slice_skip(all, in.n);
		while (in.n > 0)
			(void)edit_feed(e, &in);
	}
}

START_TEST(keys_edit_the_line)
{
	for (size_t piece = 1; piece < 30; piece++) {
		struct edit e;

		edit_init(&e);
		type(&e, typings[_i].keys, piece);
		ck_assert_str_eq(text_of(&e.text), typings[_i].line);
		ck_assert_uint_eq(e.cursor, typings[_i].cursor);
		edit_done(&e);
	}
}
END_TEST

START_TEST(enter_and_history)
{
	struct slice in = SLICE("first\rsecond\r");
	struct edit e;

	edit_init(&e);
	ck_assert_int_eq(edit_feed(&e, &in), EDIT_LINE);
	ck_assert_str_eq(text_of(&e.text), "first");
	edit_take(&e);
	ck_assert_int_eq(edit_feed(&e, &in), EDIT_LINE);
	edit_take(&e);
	type(&e, "draft\x1b[A\x1b[A", 1);
	ck_assert_str_eq(text_of(&e.text), "first");
	type(&e, "\x1b[B\x1b[B", 1);
	ck_assert_str_eq(text_of(&e.text), "draft");
	in = SLICE("\x04");
	ck_assert_int_eq(edit_feed(&e, &in), EDIT_MORE);
	edit_set(&e, SLICE(""));
	in = SLICE("\x04");
	ck_assert_int_eq(edit_feed(&e, &in), EDIT_END);
	for (int i = 0; i < EDIT_HISTORY * 2; i++) {
		char line[16];

		(void)snprintf(line, sizeof(line), "%d", i);
		edit_remember(&e, slice_str(line));
	}
	ck_assert_uint_eq(e.n_history, EDIT_HISTORY);
	edit_done(&e);
}
END_TEST

START_TEST(the_line_takes_one_row)
{
	struct buf out = BUF_INIT(TEXT_MAX);
	struct edit e;

	edit_init(&e);
	type(&e, "0123456789abcdefghij", 1);
	ck_assert_int_eq(edit_draw(&e, SLICE("> "), 12, &out), 0);
	ck_assert_str_eq(text_of(&out), "> cdefghij");
	type(&e, "\x01", 1);
	buf_reset(&out);
	ck_assert_int_eq(edit_draw(&e, SLICE("> "), 12, &out), 0);
	ck_assert_str_eq(text_of(&out), "> 012345678\x1b[9D");
	edit_set(&e, SLICE("a\n\x1b[31mb"));
	buf_reset(&out);
	ck_assert_int_eq(edit_draw(&e, SLICE("> "), 40, &out), 0);
	ck_assert_str_eq(text_of(&out), "> a\xe2\x86\xb5^[[31mb");
	for (size_t width = 0; width < 20; width++) {
		buf_reset(&out);
		ck_assert_int_eq(edit_draw(&e, SLICE("prompt> "), width, &out), 0);
	}
	buf_done(&out);
	edit_done(&e);
}
END_TEST

/* --- commands --- */

static const struct {
	const char *line;
	enum words_verb verb;
	const char *text;
} lines[] = {
    {"", WORDS_NOTHING, ""},
    {"  \t", WORDS_NOTHING, ""},
    {"hello", WORDS_SAY, "hello"},
    {"  indented", WORDS_SAY, "  indented"},
    {"//help", WORDS_SAY, "/help"},
    {"/help", WORDS_HELP, ""},
    {"/HELP", WORDS_HELP, ""},
    {"/names now", WORDS_WRONG, ""},
    {"/msg Ada  psst ", WORDS_MSG, "Ada  psst"},
    {"/msg", WORDS_WRONG, ""},
    {"/edit  new text", WORDS_EDIT, "new text"},
    {"/reply\nlines", WORDS_REPLY, "lines"},
    {"/history", WORDS_HISTORY, ""},
    {"/history 5", WORDS_HISTORY, "5"},
    {"/history x", WORDS_WRONG, ""},
    {"/history 0", WORDS_WRONG, ""},
    {"/history 100000", WORDS_WRONG, ""},
    {"/etc/passwd is long", WORDS_WRONG, ""},
    {"/ x", WORDS_WRONG, ""},
    {"/quit", WORDS_QUIT, ""},
};

START_TEST(lines_are_understood)
{
	struct words w = words_read(slice_str(lines[_i].line));

	ck_assert_int_eq((int)w.verb, (int)lines[_i].verb);
	ck_assert(slice_eq(w.text, slice_str(lines[_i].text)));
	ck_assert(w.verb != WORDS_WRONG || w.wrong != NULL);
	ck_assert(w.verb != WORDS_HISTORY || w.n == (w.text.n == 0 ? 20 : 5));
}
END_TEST

/* --- frames --- */

START_TEST(frames_are_read_and_written)
{
	static const uint8_t key[4] = {1, 2, 3, 4};
	struct buf out = BUF_INIT(TEXT_MAX * 4);
	struct buf text = BUF_INIT(TEXT_MAX * 4);
	struct ws_client_frame f;

	ck_assert_int_eq(ws_client_decode(SLICE("\x81\x02hi"), 10, &f), 4);
	ck_assert(slice_eq(f.payload, SLICE("hi")) && f.first == 0x81);
	ck_assert_int_eq(ws_client_decode(SLICE("\x81\x02h"), 10, &f), 0);
	ck_assert_int_eq(ws_client_decode(SLICE("\x81"), 10, &f), 0);
	ck_assert_int_eq(ws_client_decode(SLICE("\x81\x7e\x00"), 10, &f), 0);
	ck_assert_int_eq(ws_client_decode(SLICE("\x81\x0b"), 10, &f), -WS_CLOSE_TOO_BIG);
	ck_assert_int_eq(ws_client_decode(SLICE("\x81\x82xxxxhi"), 10, &f), -WS_CLOSE_PROTOCOL);
	ck_assert_int_eq(ws_client_decode(SLICE("\xa1\x02hi"), 10, &f), -WS_CLOSE_PROTOCOL);
	ck_assert_int_eq(ws_client_decode(SLICE("\x09\x02hi"), 10, &f), -WS_CLOSE_PROTOCOL);
	ck_assert_int_eq(ws_client_decode(SLICE("\x89\x7e\x00\x7e"), 1000, &f), -WS_CLOSE_PROTOCOL);
	for (size_t n = 0; n < 70000; n = n * 7 + 1) {
		struct ws_decoder d;
		struct ws_message m;
		size_t used;

		buf_reset(&out);
		buf_reset(&text);
		for (size_t i = 0; i < n; i++)
			ck_assert_int_eq(buf_add_char(&text, (char)('a' + i % 26)), 0);
		ck_assert_int_eq(ws_client_encode(&out, WS_TEXT, key, buf_slice(&text)), 0);
		ws_decoder_init(&d, 100000, false);
		ck_assert_int_eq(ws_decode(&d, out.p, out.n, NULL, &used, &m), 0);
		ck_assert_int_eq((int)m.event, WS_EV_MESSAGE);
		ck_assert(used == out.n && slice_eq(m.payload, buf_slice(&text)));
		ws_decoder_done(&d);
	}
	buf_done(&out);
	buf_done(&text);
}
END_TEST

/* --- a session --- */

static struct session *
session(void)
{
	struct session *s = mem_calloc(1, sizeof(*s));

	ck_assert_ptr_nonnull(s);
	ck_assert_int_eq(session_init(s, SLICE("lobby"), 20), 0);
	return s;
}

static void
end_session(struct session *s)
{
	session_done(s);
	mem_free(s);
}

static void
gets(struct session *s, const char *json)
{
	session_take(s, slice_str(json), 1000);
}

/* What it sends now holds all of this; NULL: nothing is sent. */
static void
sends(struct session *s, const char *part)
{
	struct buf out = BUF_INIT(TEXT_MAX);
	int r = session_next(s, 1000, &out);

	ck_assert_int_eq(r, part != NULL);
	if (part != NULL && strstr(text_of(&out), part) == NULL)
		ck_abort_msg("no %s in %s", part, out.p);
	buf_done(&out);
}

/* What it has shown and noted since the last time, without times. */
static void
shows(struct session *s, const char *part)
{
	struct buf all = BUF_INIT(TEXT_MAX);

	(void)buf_add_slice(&all, buf_slice(&s->shown));
	(void)buf_add_slice(&all, buf_slice(&s->notes));
	buf_reset(&s->shown);
	buf_reset(&s->notes);
	if (part == NULL)
		ck_assert_str_eq(text_of(&all), "");
	else if (strstr(text_of(&all), part) == NULL)
		ck_abort_msg("no %s in %s", part, all.p);
	buf_done(&all);
}

#define WELCOME                                                                                    \
	"{\"type\":\"welcome\",\"user\":{\"id\":\"ada\",\"name\":\"Ada\"},\"heartbeat\":30,"       \
	"\"limits\":{\"message\":300}}"
#define JOINED(latest)                                                                             \
	"{\"type\":\"joined\",\"ref\":\"join\",\"room\":\"lobby\",\"count\":2,\"members\":"        \
	"[{\"id\":\"ada\",\"name\":\"Ada\"},{\"id\":\"bob\",\"name\":\"Bob B\"}],"                 \
	"\"resumed\":false,\"latest\":" latest "}"
#define CHAT(id, content)                                                                          \
	"{\"type\":\"chat\",\"id\":" id ",\"room\":\"lobby\",\"from\":{\"id\":\"bob\","            \
	"\"name\":\"Bob B\"},\"content\":\"" content "\",\"time\":1000}"

static void
connect_it(struct session *s, const char *joins)
{
	gets(s, WELCOME);
	sends(s, joins);
	gets(s, JOINED("500"));
	gets(s, CHAT("500", "stored"));
	shows(s, "<Bob B> stored");
	sends(s, "user/ada");
}

START_TEST(a_line_is_said_once)
{
	struct session *s = session();
	char key[OUTBOX_KEY_MAX];
	char echo[512];

	session_line(s, SLICE("before there is a connection"));
	sends(s, NULL);
	connect_it(s, "\"last\":20");
	sends(s, "before there is");
	(void)snprintf(key, sizeof(key), "%s", outbox_front(&s->outbox)->key);
	session_line(s, SLICE("second"));
	sends(s, NULL); /* one at a time */
	session_lost(s);
	gets(s, WELCOME);
	sends(s, "\"after\":500");
	gets(s, JOINED("500"));
	sends(s, "user/ada");
	/* it had been said: the replay has it, with its key */
	(void)snprintf(echo, sizeof(echo),
	    "{\"type\":\"chat\",\"id\":510,\"room\":\"lobby\",\"from\":{\"id\":\"ada\"},"
	    "\"content\":\"before there is a connection\",\"key\":\"%s\"}",
	    key);
	shows(s, "in lobby");
	gets(s, echo);
	shows(s, "<Ada> before there is a connection\n");
	ck_assert_uint_eq(s->view.cursor, 510);
	sends(s, "second");
	gets(s, "{\"type\":\"ack\",\"ref\":2,\"id\":520,\"duplicate\":false}");
	shows(s, "<Ada> second");
	gets(s, "{\"type\":\"ack\",\"ref\":1,\"id\":510,\"duplicate\":true}");
	shows(s, NULL);
	session_lost(s);
	gets(s, WELCOME);
	sends(s, "\"after\":510"); /* an ack moves no cursor */
	gets(s, JOINED("520"));
	shows(s, "in lobby");
	gets(s,
	    "{\"type\":\"chat\",\"id\":520,\"room\":\"lobby\",\"from\":{\"id\":\"ada\"},\"content\":\"second\"}");
	shows(s, NULL);
	end_session(s);
}
END_TEST

START_TEST(refusals_are_told)
{
	struct session *s = session();

	connect_it(s, "lobby");
	session_line(s, SLICE("loud"));
	sends(s, "loud");
	gets(s, "{\"type\":\"error\",\"ref\":1,\"code\":\"muted\",\"message\":\"you are muted\"}");
	shows(s, "not done: you are muted (muted): loud");
	ck_assert_str_eq(s->returned, "loud");
	ck_assert_int_eq(s->refused, EX_NOPERM);
	session_line(s, SLICE("soon"));
	sends(s, "soon");
	gets(s,
	    "{\"type\":\"error\",\"ref\":2,\"code\":\"rate_limited\",\"message\":\"slow\",\"retry_after\":5}");
	shows(s, "said in 5 s");
	sends(s, NULL);
	ck_assert_uint_eq(session_wait_ms(s, 1000), 5000);
	ck_assert_uint_eq(s->outbox.n, 1);
	s->not_before_ms = 0;
	sends(s, "\"key\"");
	gets(s,
	    "{\"type\":\"error\",\"ref\":2,\"code\":\"bad_field\",\"message\":\"key cannot be given\"}");
	{
		struct buf out = BUF_INIT(TEXT_MAX);

		ck_assert_int_eq(session_next(s, 1000, &out), 1);
		ck_assert_ptr_null(strstr(text_of(&out), "key"));
		buf_done(&out);
	}
	gets(s, "{\"type\":\"ack\",\"ref\":2}");
	shows(s, "<Ada> soon");
	session_line(s, SLICE("not\xff text"));
	shows(s, "UTF-8");
	{
		char text[400];

		memset(text, 'x', sizeof(text));
		session_line(s, slice_of(text, sizeof(text)));
		sends(s, NULL);
		shows(s, "longer than");
	}
	gets(s, "{\"type\":\"left\",\"room\":\"lobby\",\"reason\":\"kicked\\u001b[2J\"}");
	shows(s, "lobby: kicked^[[2J");
	ck_assert(s->is_over && s->code == EX_NOPERM);
	end_session(s);
}
END_TEST

START_TEST(commands_are_sent)
{
	struct session *s = session();

	connect_it(s, "lobby");
	session_line(s, SLICE("/reply @bob b right"));
	sends(s, "\"content\":\"right\",\"reply_to\":500");
	gets(s, "{\"type\":\"ack\",\"ref\":1,\"id\":600}");
	shows(s, "<Ada> [re Bob B: stored] right");
	session_line(s, SLICE("/edit wrong"));
	sends(s, "\"type\":\"edit\",\"ref\":2,\"content\":\"wrong\",\"target\":600");
	gets(s, "{\"type\":\"ack\",\"ref\":2,\"id\":601}");
	shows(s, "you edited \"right\"");
	session_line(s, SLICE("/react \xf0\x9f\x91\x8d"));
	sends(s, "\"target\":500,\"emoji\":\"\xf0\x9f\x91\x8d\",\"on\":true");
	gets(s, "{\"type\":\"ack\",\"ref\":3,\"id\":602}");
	shows(s, "to \"stored\"");
	session_line(s, SLICE("/msg Bob B psst"));
	sends(s, "\"to\":\"bob\",\"content\":\"psst\"");
	gets(s, "{\"type\":\"ack\",\"ref\":4,\"id\":603}");
	shows(s, "<Ada> (to Bob B) psst");
	session_line(s, SLICE("/history 3"));
	sends(s, "\"limit\":3,\"before\":500");
	gets(s, "{\"type\":\"history\",\"ref\":5,\"room\":\"lobby\",\"messages\":[" CHAT(
		    "400", "old") "],\"more\":true}");
	shows(s, "<Bob B> old");
	ck_assert_uint_eq(s->view.oldest, 400);
	session_line(s, SLICE("/join tower"));
	sends(s, "\"type\":\"join\",\"ref\":6,\"room\":\"tower\",\"last\":20");
	gets(s, CHAT("610", "meanwhile"));
	shows(s, "meanwhile");
	gets(s, "{\"type\":\"joined\",\"ref\":6,\"room\":\"tower\",\"count\":1,\"latest\":0}");
	shows(s, "in tower");
	sends(s, "{\"type\":\"leave\",\"ref\":\"moved\",\"room\":\"lobby\"}");
	gets(s, CHAT("611", "not here any more"));
	shows(s, NULL);
	session_line(s, SLICE("/delete"));
	sends(s, NULL);
	shows(s, "there is no message");
	session_line(s, SLICE("/quit"));
	sends(s, "\"type\":\"leave\",\"ref\":\"leave\",\"room\":\"tower\"");
	gets(s, "{\"type\":\"left\",\"ref\":\"leave\",\"room\":\"tower\"}");
	ck_assert(s->is_over && s->code == 0);
	end_session(s);
}
END_TEST

static const struct {
	const char *json;
	const char *shown;
} messages[] = {
    {CHAT("501", "a\\nb"), "<Bob B> a\n    b\n"},
    {CHAT("501", "\\u001b]0;title\\u0007"), "<Bob B> ^[]0;title^G\n"},
    {"{\"type\":\"edited\",\"id\":502,\"target\":500,\"room\":\"lobby\",\"user\":{\"id\":\"bob\",\"name\":\"Bob B\"},\"content\":\"new\"}",
	"* Bob B edited \"stored\": new\n"},
    {"{\"type\":\"deleted\",\"id\":502,\"target\":500,\"room\":\"lobby\",\"user\":{\"id\":\"eve\",\"name\":\"E\"}}",
	" of Bob B\n"},
    {"{\"type\":\"reaction\",\"id\":502,\"target\":500,\"room\":\"lobby\",\"user\":{\"id\":\"eve\",\"name\":\"Eve\\n* Bob\"},\"emoji\":\"+\",\"on\":false}",
	"* Eve * Bob took back + from \"stored\" of Bob B\n"},
    {"{\"type\":\"user_joined\",\"room\":\"lobby\",\"user\":{\"id\":\"e\",\"name\":\"Eve\"},\"count\":3}",
	"* Eve joined (3 here)\n"},
    {"{\"type\":\"user_left\",\"room\":\"lobby\",\"user\":{\"id\":\"e\"},\"count\":3}",
	"* e left (3 here)\n"},
    {"{\"type\":\"user_left\",\"room\":\"other\",\"user\":{\"id\":\"e\"},\"count\":3}", NULL},
    {"{\"type\":\"typing\",\"room\":\"lobby\",\"user\":{\"id\":\"e\"},\"typing\":true}", NULL},
    {"{\"type\":\"gap\",\"room\":\"lobby\",\"after\":1,\"oldest\":null,\"reason\":\"trimmed\"}",
	"kept no more"},
    {"{\"type\":\"gap\",\"room\":\"lobby\",\"reason\":\"slow\",\"dropped\":7}", "7 messages"},
    {"{\"type\":\"gap\",\"room\":\"lobby\",\"reason\":\"outside\"}", "another one now"},
    {"{\"type\":\"error\",\"code\":\"bad_json\",\"message\":\"no\"}", "! bad_json: no\n"},
    {"{\"type\":\"closing\",\"reason\":\"shutdown\",\"retry\":100}", "shutdown"},
    {"{\"type\":\"chat\",\"id\":503,\"room\":\"lobby\",\"from\":{\"id\":\"bob\"},\"deleted\":true}",
	"<bob> (deleted)\n"},
    {"{\"type\":\"chat\",\"id\":503,\"room\":\"lobby\",\"from\":{\"id\":\"bob\"},\"data\":{}}",
	"<bob> (data)\n"},
    {"{\"type\":\"chat\",\"id\":503,\"room\":\"lobby\",\"from\":{\"id\":\"bob\"},\"content\":\"x\",\"edited\":1,"
     "\"reactions\":[{\"emoji\":\"+\",\"count\":2},{\"emoji\":\"-\",\"count\":1}]}",
	"<bob> x (edited) [+ 2, -]\n"},
    {"{\"type\":\"direct\",\"id\":503,\"to\":\"ada\",\"from\":{\"id\":\"bob\"},\"content\":\"x\"}",
	"<bob> (to you) x\n"},
    {"{\"type\":\"notification\",\"id\":503,\"topic\":\"user/ada\",\"title\":\"T\",\"message\":\"m\"}",
	"* [user/ada] T: m\n"},
    {"{\"type\":\"what\",\"room\":5}", NULL},
    {"[]", NULL},
    {"{\"type\":\"chat\",\"id\":\"x\",\"room\":\"lobby\"}", "<> \n"},
};

START_TEST(messages_are_shown)
{
	struct session *s = session();

	s->view.is_dated = true;
	connect_it(s, "lobby");
	gets(s, messages[_i].json);
	shows(s, messages[_i].shown);
	end_session(s);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("chat");
	TCase *text = tcase_create("text");
	TCase *typing = tcase_create("typing");
	TCase *talk = tcase_create("session");

	tcase_add_loop_test(text, strangers_text_is_safe, 0, (int)ARRAY_LEN(texts));
	tcase_add_test(text, no_byte_reaches_the_terminal_as_a_control);
	tcase_add_loop_test(text, lines_are_wrapped, 0, (int)ARRAY_LEN(wraps));
	tcase_add_loop_test(typing, keys_edit_the_line, 0, (int)ARRAY_LEN(typings));
	tcase_add_test(typing, enter_and_history);
	tcase_add_test(typing, the_line_takes_one_row);
	tcase_add_loop_test(typing, lines_are_understood, 0, (int)ARRAY_LEN(lines));
	tcase_add_test(talk, frames_are_read_and_written);
	tcase_add_test(talk, a_line_is_said_once);
	tcase_add_test(talk, refusals_are_told);
	tcase_add_test(talk, commands_are_sent);
	tcase_add_loop_test(talk, messages_are_shown, 0, (int)ARRAY_LEN(messages));
	suite_add_tcase(s, text);
	suite_add_tcase(s, typing);
	suite_add_tcase(s, talk);
	return run_suite(s);
}
