/*
 * belfryctl: reading an event stream however it is cut, what is printed of it, and reading arguments.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* belfryctl's files are in no library */
#include "src/ctl/ctl_args.c"
#include "src/ctl/ctl_events.c"
#include "src/ctl/ctl_show.c"
#include "tests/unit/support_run.h"

int
ctl_fail(int exit_code, const char *fmt, ...)
{
	ck_abort_msg("%s", fmt);
	return exit_code;
}

/* The real one is beside libcurl. */
void
ctl_print_text(FILE *out, struct slice s)
{
	(void)fwrite(s.p, 1, s.n, out);
}

/* --- event streams --- */

struct record {
	char text[4096];
	size_t n;
};

static void
note(void *arg, const struct event *e)
{
	struct record *r = arg;

	r->n += (size_t)snprintf(r->text + r->n, sizeof(r->text) - r->n, "[%.*s|%.*s|%.*s%s]",
	    SLICE_ARG(e->name), SLICE_ARG(e->id), SLICE_ARG(e->data), e->has_data ? "" : "-");
	ck_assert_uint_lt(r->n, sizeof(r->text));
}

static const struct {
	const char *stream;
	const char *events;
} streams[] = {
    {"data: a\n\n", "[message||a]"},
    {"data:a\ndata: b\ndata\n\n", "[message||a\nb\n]"},
    {"data: a\r\rdata: b\r\n\r\ndata: c\n\n", "[message||a][message||b][message||c]"},
    {"\xef\xbb\xbf"
     "data: a\n\n",
	"[message||a]"},
    {": hello\n\nretry: 500\n\n", "[message||-][message||-]"},
    {"event: x\nid: 5\ndata: 1\n\ndata: 2\n\n", "[x|5|1][message|5|2]"},
    {"id: 6\n\n", "[message|6|-]"},
    {"id: 7\nid\ndata: a\n\n", "[message||a]"},
    {"event: x\n\ndata: a\n\n", "[x||-][message||a]"},
    {"nonsense\ndata:  a\n\n", "[message|| a]"},
    {"id: 8\ndata: cut", ""},
};

START_TEST(streams_are_read_however_cut)
{
	struct slice s = slice_str(streams[_i].stream);

	for (size_t piece = 1; piece <= s.n; piece++) {
		struct record got = {.n = 0};
		struct event_reader r;

		event_reader_init(&r, note, &got);
		for (size_t at = 0; at < s.n; at += piece)
			ck_assert_int_eq(
			    event_reader_feed(&r, slice_of(s.p + at, min_size(piece, s.n - at))),
			    0);
		ck_assert_str_eq(got.text, streams[_i].events);
		event_reader_done(&r);
	}
}
END_TEST

START_TEST(cursor_is_that_of_whole_blocks)
{
	struct record got = {.n = 0};
	struct event_reader r;

	event_reader_init(&r, note, &got);
	ck_assert_int_eq(
	    event_reader_feed(&r, SLICE("retry: 70\nid: 1\ndata: a\n\nid: 2\ndata: b\n")), 0);
	ck_assert_str_eq(r.id, "1");
	ck_assert_uint_eq(r.retry_ms, 70);
	event_reader_restart(&r);
	ck_assert_int_eq(event_reader_feed(&r, SLICE("data: c\n\n")), 0);
	ck_assert_str_eq(got.text, "[message|1|a][message|1|c]");
	event_reader_done(&r);
}
END_TEST

/* --- printing --- */

static const struct {
	const char *name;
	const char *id;
	const char *data;
	const char *json;
	const char *text; /* behind the time */
} prints[] = {
    {"notification", "5",
	"{\"id\":5,\"topic\":\"a\",\"title\":\"T\",\"message\":\"m\",\"tags\":[\"x\"],\"priority\":4}",
	"{\"type\":\"notification\",\"id\":5,\"topic\":\"a\",\"title\":\"T\",\"message\":\"m\",\"tags\":[\"x\"],\"priority\":4}\n",
	"a  T: m #x !4\n"},
    {"deploy", "5", "{\"id\":5,\"topic\":\"a\",\"message\":\"m\"}",
	"{\"type\":\"notification\",\"event\":\"deploy\",\"id\":5,\"topic\":\"a\",\"message\":\"m\"}\n",
	"a (deploy)  m\n"},
    {"deploy", "6", "{\"id\":5,\"topic\":\"a\"}",
	"{\"type\":\"event\",\"id\":6,\"event\":\"deploy\",\"data\":{\"id\":5,\"topic\":\"a\"}}\n",
	"deploy {\"id\":5,\"topic\":\"a\"}\n"},
    {"price", "5", "42", "{\"type\":\"event\",\"id\":5,\"event\":\"price\",\"data\":42}\n",
	"price 42\n"},
    {"message", "", "a \"b\"",
	"{\"type\":\"event\",\"event\":\"message\",\"data\":\"a \\\"b\\\"\"}\n",
	"message a \"b\"\n"},
    {"message", "5", "{\"a\":\n1}",
	"{\"type\":\"event\",\"id\":5,\"event\":\"message\",\"data\":{\"a\": 1}}\n",
	"message {\"a\":\n1}\n"},
    {"chat", "5",
	"{\"type\":\"chat\",\"id\":5,\"room\":\"lobby\",\"from\":{\"id\":\"u\",\"name\":\"Ada\"},\"content\":\"hi\"}",
	"{\"type\":\"chat\",\"id\":5,\"room\":\"lobby\",\"from\":{\"id\":\"u\",\"name\":\"Ada\"},\"content\":\"hi\"}\n",
	"chat/lobby <Ada> hi\n"},
    {"chat", "5",
	"{\"type\":\"chat\",\"room\":\"den\",\"from\":{\"name\":\"Ada\"},\"content\":\"ho\",\"edited\":7}",
	"{\"type\":\"chat\",\"room\":\"den\",\"from\":{\"name\":\"Ada\"},\"content\":\"ho\",\"edited\":7}\n",
	"chat/den <Ada> ho (edited)\n"},
    {"chat", "5",
	"{\"type\":\"chat\",\"room\":\"den\",\"from\":{\"name\":\"Ada\"},\"deleted\":true}",
	"{\"type\":\"chat\",\"room\":\"den\",\"from\":{\"name\":\"Ada\"},\"deleted\":true}\n",
	"chat/den <Ada> (deleted)\n"},
    {"chat", "5",
	"{\"type\":\"chat\",\"room\":\"den\",\"from\":{\"name\":\"Ada\"},\"content\":\"\",\"data\":{\"x\":1}}",
	"{\"type\":\"chat\",\"room\":\"den\",\"from\":{\"name\":\"Ada\"},\"content\":\"\",\"data\":{\"x\":1}}\n",
	"chat/den <Ada> {\"x\":1}\n"},
    {"edited", "6",
	"{\"type\":\"edited\",\"room\":\"den\",\"user\":{\"name\":\"Ada\"},\"content\":\"ho\"}",
	"{\"type\":\"edited\",\"room\":\"den\",\"user\":{\"name\":\"Ada\"},\"content\":\"ho\"}\n",
	"chat/den <Ada> edited ho\n"},
    {"gap", "5", "{\"topic\":\"a\",\"reason\":\"trimmed\"}",
	"{\"type\":\"gap\",\"topic\":\"a\",\"reason\":\"trimmed\"}\n", "* gap a: trimmed\n"},
    {"closing", "", "{}", "{\"type\":\"closing\"}\n", "* closing\n"},
};

START_TEST(events_are_printed)
{
	struct event e = {.name = slice_str(prints[_i].name),
	    .id = slice_str(prints[_i].id),
	    .data = slice_str(prints[_i].data),
	    .has_data = true};
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	ck_assert_ptr_nonnull(out);
	ck_assert_int_eq(event_print_json(out, &e), 0);
	(void)fflush(out);
	ck_assert_str_eq(text, prints[_i].json);
	event_print(out, &e, 0);
	(void)fclose(out);
	ck_assert_str_eq(text + strlen(prints[_i].json) + strlen("00:00:00 "), prints[_i].text);
	free(text);
}
END_TEST

/* The day is said where it is another one. */
START_TEST(days_are_told)
{
	static const struct {
		int64_t now_s;
		const char *text;
	} days[] = {{1763726400 + 60, "12:00:00 price 1\n"},
	    {1763726400 + 86400, "2025-11-21 12:00:00 price 1\n"},
	    {1763726400 + 365 * 86400, "2025-11-21 12:00:00 price 1\n"}};
	struct event e = {.name = SLICE("price"),
	    .id = SLICE("1763726400000000"),
	    .data = SLICE("1"),
	    .has_data = true};

	ck_assert_int_eq(setenv("TZ", "UTC", 1), 0);
	tzset();
	for (size_t i = 0; i < ARRAY_LEN(days); i++) {
		char *text = NULL;
		size_t n = 0;
		FILE *out = open_memstream(&text, &n);

		ck_assert_ptr_nonnull(out);
		event_print(out, &e, days[i].now_s);
		(void)fclose(out);
		ck_assert_str_eq(text, days[i].text);
		free(text);
	}
}
END_TEST

/* --- arguments --- */

static const struct ctl_option options[] = {{"config", 'c', true}, {"json", 0, false}};

#define WORDS 16

/* Cuts line at its spaces into words; how many. */
static int
split(char *line, char *words[WORDS])
{
	int n = 0;

	for (char *at = line; at != NULL && n < WORDS; n++)
		words[n] = strsep(&at, " ");
	return n;
}

START_TEST(arguments_are_walked)
{
	static const struct {
		int option;
		const char *value;
	} want[] = {{0, "f"}, {CTL_OPERAND, "a"}, {0, "g"}, {1, NULL}, {0, ""}, {CTL_OPERAND, "-"},
	    {0, "--"}, {CTL_OPERAND, "-c"}, {CTL_END, NULL}};
	char line[] = "x -c f a -cg --json --config= - --config -- -- -c";
	char *argv[WORDS];
	struct ctl_args a;
	const char *value;

	ctl_args_init(&a, split(line, argv), argv, "usage: x\n");
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		ck_assert_int_eq(
		    ctl_args_next(&a, options, ARRAY_LEN(options), &value), want[i].option);
		ck_assert_pstr_eq(value, want[i].value);
	}
}
END_TEST

START_TEST(wrong_arguments_are_named)
{
	char lines[][16] = {"x --jso", "x -j", "x --json=1", "x -c", "x --config"};
	char *argv[WORDS];
	struct ctl_args a;
	const char *value;

	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		ctl_args_init(&a, split(lines[i], argv), argv, "usage: x\n");
		ck_assert_int_eq(ctl_args_next(&a, options, ARRAY_LEN(options), &value), CTL_WRONG);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ctl");
	TCase *events = tcase_create("events");
	TCase *args = tcase_create("args");

	tcase_add_loop_test(events, streams_are_read_however_cut, 0, (int)ARRAY_LEN(streams));
	tcase_add_test(events, cursor_is_that_of_whole_blocks);
	tcase_add_loop_test(events, events_are_printed, 0, (int)ARRAY_LEN(prints));
	tcase_add_test(events, days_are_told);
	tcase_add_test(args, arguments_are_walked);
	tcase_add_test(args, wrong_arguments_are_named);
	suite_add_tcase(s, events);
	suite_add_tcase(s, args);
	return run_suite(s);
}
