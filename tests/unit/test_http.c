/*
 * src/proto/http: looking into heads, tables, dates, and what the vectors cannot say about heads and bodies.
 */
#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/http.h"
#include "tests/unit/support_guard.h"
#include "tests/unit/support_run.h"

#define ck_slice(s, text) ck_assert_msg(slice_eq((s), slice_str(text)), "got '%.*s'", SLICE_ARG(s))

static struct http_head head;

/* Parses "GET / HTTP/1.1" with these header lines besides Host; the head stays in `head` and borrows from a static buffer. */
static void
parse(const char *lines)
{
	static char text[4096];
	int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", lines);

	ck_assert_int_eq(http_parse_head(slice_of(text, (size_t)n), sizeof(text), &head), n);
}

START_TEST(headers_are_found)
{
	size_t count = 7;

	parse("X-One: 1\r\nx-ONE: 2\r\nEmpty:\r\n");
	ck_slice(http_header(&head, SLICE("x-one"), &count), "1");
	ck_assert_uint_eq(count, 2);
	ck_slice(http_header(&head, SLICE("EMPTY"), NULL), "");
	ck_assert_ptr_nonnull(http_header(&head, SLICE("EMPTY"), NULL).p);
	ck_assert_ptr_null(http_header(&head, SLICE("X"), &count).p);
	ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(fields_have_numbers)
{
	static const char *const names[HTTP_FIELD_COUNT] = {
#define X(name, text) [HTTP_FIELD_##name] = text,
	    HTTP_FIELDS(X)
#undef X
	};
	struct http_head h = {0};

	for (size_t field = 1; field < HTTP_FIELD_COUNT; field++) {
		char upper[32];
		char other[32];
		size_t n = strlen(names[field]);

		for (size_t i = 0; i <= n; i++)
			upper[i] = (char)toupper(names[field][i]);
		memcpy(other, names[field], n + 1);
		other[n - 1]++;
		http_head_add(&h, slice_str(other), SLICE("no"));
		ck_assert_ptr_null(http_field(&h, (enum http_field)field).p);
		http_head_add(&h, slice_str(upper), SLICE("first"));
		http_head_add(&h, slice_str(names[field]), SLICE("second"));
		ck_slice(http_field(&h, (enum http_field)field), "first");
		ck_assert_uint_eq(h.fields[field], 2);
		ck_assert_uint_eq(h.n_headers, 3 * field);
	}
}
END_TEST

START_TEST(lists_are_walked)
{
	struct slice rest = SLICE(" , a ,\t\"b, \\\" c\" ;x ,,d=\"e,f");

	ck_slice(http_list_next(&rest), "a");
	ck_slice(http_list_next(&rest), "\"b, \\\" c\" ;x");
	ck_slice(http_list_next(&rest), "d=\"e,f");
	ck_assert_ptr_null(http_list_next(&rest).p);
	ck_assert_ptr_null(http_list_next(&rest).p);
	rest = SLICE(" ,");
	ck_assert_ptr_null(http_list_next(&rest).p);
	rest = SLICE("a\\");
	ck_slice(http_list_next(&rest), "a\\");
	rest = SLICE("\"\\");
	ck_slice(http_list_next(&rest), "\"\\");
}
END_TEST

START_TEST(tokens_in_lists)
{
	parse("Connection: keep-alive, , Upgrade\r\nOther: x\r\nConnection: Foo\r\n");
	ck_assert(http_header_has_token(&head, SLICE("connection"), SLICE("upgrade")));
	ck_assert(http_header_has_token(&head, SLICE("connection"), SLICE("foo")));
	ck_assert(!http_header_has_token(&head, SLICE("connection"), SLICE("keep")));
	ck_assert(!http_header_has_token(&head, SLICE("connection"), SLICE("x")));
	ck_assert(!http_header_has_token(&head, SLICE("connection"), SLICE("")));
}
END_TEST

START_TEST(cookies_are_found)
{
	parse("Cookie: a=1; token=abc.def; token=other;b=\"q u\"; =x; c\r\n"
	      "X: token=no\r\ncookie: late=x=y; d=\"; e=\r\n");
	ck_slice(http_cookie(&head, SLICE("a")), "1");
	ck_slice(http_cookie(&head, SLICE("token")), "abc.def");
	ck_slice(http_cookie(&head, SLICE("b")), "q u");
	ck_slice(http_cookie(&head, SLICE("late")), "x=y");
	ck_slice(http_cookie(&head, SLICE("d")), "\"");
	ck_slice(http_cookie(&head, SLICE("e")), "");
	ck_assert_ptr_nonnull(http_cookie(&head, SLICE("e")).p);
	ck_assert_ptr_null(http_cookie(&head, SLICE("c")).p);
	ck_assert_ptr_null(http_cookie(&head, SLICE("TOKEN")).p);
	ck_assert_ptr_null(http_cookie(&head, SLICE("oken")).p);
}
END_TEST

static const struct {
	const char *accept;
	const char *want;
	int quality;
} qualities[] = {
    {"text/event-stream", "text/event-stream", 1000},
    {"TEXT/Event-Stream", "text/event-stream", 1000},
    {"text/html, text/event-stream;q=0.5", "text/event-stream", 500},
    {"text/html", "text/event-stream", -1},
    {"", "text/event-stream", -1},
    {"*/*", "text/event-stream", 1000},
    {"*/*;q=0.1", "text/event-stream", 100},
    {"text/*;q=0.3, */*;q=0.1", "text/event-stream", 300},
    {"*/*, text/event-stream;q=0", "text/event-stream", 0},
    {"text/event-stream;q=0.2, text/*", "text/event-stream", 200},
    {"text/event-stream ; charset=utf-8 ; Q=0.25", "text/event-stream", 250},
    {"text/event-stream;x=\"a;q=0,\";q=0.125", "text/event-stream", 125},
    {"text/*x", "text/event-stream", -1},
    {"tex/*", "text/event-stream", -1},
    {"*", "text/event-stream", -1},
    {"a/b;q=2", "a/b", -1},
    {"a/b;q=1.001", "a/b", -1},
    {"a/b;q=0.1234", "a/b", -1},
    {"a/b;q=", "a/b", -1},
    {"a/b;q", "a/b", -1},
    {"a/b;q=-1", "a/b", -1},
    {"a/b;q=.5", "a/b", -1},
    {"a/b;q=1.000", "a/b", 1000},
    {"a/b;q=1.", "a/b", 1000},
    {"a/b;q=0", "a/b", 0},
    {"a/b;q=0.001", "a/b", 1},
    {"gzip, deflate, br", "gzip", 1000},
    {"gzip;q=0, *", "gzip", 0},
    {"*;q=0.5", "gzip", 500},
    {"identity", "gzip", -1},
    {"x-gzip", "gzip", 1000},
    {"xgzip", "gzip", -1},
};

START_TEST(qualities_are_read)
{
	ck_assert_int_eq(
	    http_accept_quality(slice_str(qualities[_i].accept), slice_str(qualities[_i].want)),
	    qualities[_i].quality);
}
END_TEST

START_TEST(lines_are_one_list)
{
	static const char text[] =
	    "GET / HTTP/1.1\r\nHost: a\r\nAccept: a/*;q=0.9\r\nX: y\r\nACCEPT: a/b;q=0.2\r\n\r\n";

	ck_assert_int_gt(http_parse_head(SLICE(text), 1000, &head), 0);
	ck_assert_int_eq(http_header_quality(&head, SLICE("Accept"), SLICE("a/b")), 200);
	ck_assert_int_eq(http_header_quality(&head, SLICE("Accept"), SLICE("a/c")), 900);
	ck_assert_int_eq(http_header_quality(&head, SLICE("Accept-Encoding"), SLICE("gzip")), -1);
}
END_TEST

START_TEST(no_accept_says_nothing)
{
	ck_assert_int_eq(http_accept_quality(SLICE_NONE, SLICE("a/b")), -1);
}
END_TEST

START_TEST(tables_are_whole)
{
	for (int e = HTTP_E_BAD_LINE; e <= HTTP_E_BODY_TOO_LARGE; e++) {
		ck_assert_str_ne(http_status_text(http_error_status(e)), "");
		ck_assert_str_ne(http_error_text(e), http_error_text(0));
	}
	ck_assert_int_eq(http_error_status(0), 400);
	for (int m = 0; m < HTTP_METHOD_UNKNOWN; m++)
		ck_assert(http_is_token(slice_str(http_method_name((enum http_method)m))));
	ck_assert_str_eq(http_method_name(HTTP_METHOD_UNKNOWN), "");
	ck_assert_str_eq(http_status_text(418), "");
	ck_assert_str_eq(http_status_text(404), "Not Found");
	ck_assert(!http_is_token(SLICE("")));
	ck_assert(!http_is_token(SLICE_NONE));
	for (int c = 0; c < 256; c++) {
		const char byte = (char)c;
		bool is_token = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
				(c >= 'a' && c <= 'z') ||
				(c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);

		ck_assert_int_eq(http_is_token(slice_of(&byte, 1)), is_token);
	}
}
END_TEST

/* --- bodies --- */

START_TEST(body_without_one_is_done)
{
	struct http_body b;

	parse("");
	http_body_init(&b, &head, 100);
	ck_assert(b.is_done);
}
END_TEST

START_TEST(body_leaves_what_follows)
{
	struct http_body b;
	struct slice piece;

	parse("Content-Length: 5\r\n");
	http_body_init(&b, &head, 5);
	ck_assert_int_eq(http_body_decode(&b, SLICE("he"), &piece), 2);
	ck_slice(piece, "he");
	ck_assert(!b.is_done);
	ck_assert_int_eq(http_body_decode(&b, SLICE(""), &piece), 0);
	ck_assert_int_eq(http_body_decode(&b, SLICE("lloGET"), &piece), 3);
	ck_slice(piece, "llo");
	ck_assert(b.is_done);
	ck_assert_uint_eq(b.received, 5);
	ck_assert_int_eq(http_body_decode(&b, SLICE("GET"), &piece), 0);
	ck_assert_uint_eq(piece.n, 0);
}
END_TEST

START_TEST(body_over_the_limit)
{
	struct http_body b;
	struct slice piece;

	parse("Content-Length: 6\r\n");
	http_body_init(&b, &head, 5);
	ck_assert(!b.is_done);
	ck_assert_int_eq(http_body_decode(&b, SLICE(""), &piece), HTTP_E_BODY_TOO_LARGE);
	http_body_init(&b, &head, 0);
	ck_assert_int_eq(http_body_decode(&b, SLICE("hello!"), &piece), HTTP_E_BODY_TOO_LARGE);
}
END_TEST

/* Chunks of one byte are allowed whatever their number: their own lines are not counted against them. */
START_TEST(body_in_many_chunks)
{
	struct http_body b;
	struct slice piece;
	size_t n = 0;

	parse("Transfer-Encoding: chunked\r\n");
	http_body_init(&b, &head, 100000);
	for (int i = 0; i < 100000; i++) {
		struct slice in = SLICE("1\r\nx\r\n");

		while (in.n > 0) {
			ssize_t r = http_body_decode(&b, in, &piece);

			ck_assert_int_gt(r, 0);
			n += piece.n;
			in = slice_skip(in, (size_t)r);
		}
	}
	ck_assert_uint_eq(n, 100000);
	ck_assert_int_eq(http_body_decode(&b, SLICE("1\r\n"), &piece), HTTP_E_BODY_TOO_LARGE);
}
END_TEST

/* --- dates --- */

static const struct {
	int64_t unix_s;
	const char *text;
} formatted[] = {
    {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
    {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
    {-1, "Wed, 31 Dec 1969 23:59:59 GMT"},
    {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
    {951868800, "Wed, 01 Mar 2000 00:00:00 GMT"},
    {1709164800, "Thu, 29 Feb 2024 00:00:00 GMT"},
    {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
    {2147483648, "Tue, 19 Jan 2038 03:14:08 GMT"},
    {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
    {-62167219200, "Sat, 01 Jan 0000 00:00:00 GMT"},
};

START_TEST(dates_there_and_back)
{
	char out[HTTP_DATE_SIZE];
	int64_t back = 0;

	ck_assert_str_eq(http_date_format(formatted[_i].unix_s, out), formatted[_i].text);
	ck_assert_int_eq(http_date_parse(slice_str(out), &back), 0);
	ck_assert_int_eq(back, formatted[_i].unix_s);
}
END_TEST

/* Each day of 270 years, against glibc. */
START_TEST(dates_of_every_day)
{
	for (int64_t day = -40000; day < 60000; day++) {
		time_t t = day * 86400 + 3661;
		struct tm tm;
		char want[64];
		char got[HTTP_DATE_SIZE];

		ck_assert_ptr_nonnull(gmtime_r(&t, &tm));
		ck_assert_uint_gt(
		    strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S GMT", &tm), 0);
		if (strcmp(http_date_format(t, got), want) != 0)
			ck_abort_msg("%s is not %s", got, want);
	}
}
END_TEST

START_TEST(dates_out_of_range)
{
	char out[HTTP_DATE_SIZE];

	ck_assert_str_eq(http_date_format(INT64_MAX, out), "Fri, 31 Dec 9999 23:59:59 GMT");
	ck_assert_str_eq(http_date_format(INT64_MIN, out), "Sat, 01 Jan 0000 00:00:00 GMT");
}
END_TEST

static const struct {
	const char *text;
	int64_t unix_s; /* -1: refused */
} dates[] = {
    {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
    {"Sun Nov  6 08:49:37 1994", 784111777},
    {"Sun Nov 06 08:49:37 1994", 784111777},
    {"Wed, 30 Jun 2012 23:59:60 GMT", 1341100800},
    {"Tuesday, 19-Jan-38 03:14:08 GMT", 2147483648},
    {"", -1},
    {"0", -1},
    {"784111777", -1},
    {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
    {"Sun, 06 Nov 1994 08:49:37", -1},
    {"Sun, 06 Nov 1994 08:49:37 GMT ", -1},
    {" Sun, 06 Nov 1994 08:49:37 GMT", -1},
    {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
    {"sun, 06 nov 1994 08:49:37 gmt", -1},
    {"Xxx, 06 Nov 1994 08:49:37 GMT", -1},
    {"Sun, 06 Xxx 1994 08:49:37 GMT", -1},
    {"Sun, 31 Nov 1994 08:49:37 GMT", -1},
    {"Sun, 00 Nov 1994 08:49:37 GMT", -1},
    {"Sun, 29 Feb 2023 08:49:37 GMT", -1},
    {"Sun, 29 Feb 1900 08:49:37 GMT", -1},
    {"Sun, 06 Nov 1994 24:00:00 GMT", -1},
    {"Sun, 06 Nov 1994 08:60:00 GMT", -1},
    {"Sun, 06 Nov 1994 08:49:61 GMT", -1},
    {"Sun, 06 Nov 1994 8:49:37 GMT", -1},
    {"Sun, 06 Nov 1994 -8:49:37 GMT", -1},
    {"Sunday, 06-Nov-1994 08:49:37 GMT", -1},
    {"Sun Nov 6 08:49:37 1994", -1},
};

START_TEST(dates_are_read)
{
	int64_t unix_s = 0;
	int r = http_date_parse(slice_str(dates[_i].text), &unix_s);

	ck_assert_int_eq(r, dates[_i].unix_s == -1 ? -1 : 0);
	if (r == 0)
		ck_assert_int_eq(unix_s, dates[_i].unix_s);
}
END_TEST

static const struct {
	const char *text;
	int result;
	int64_t unix_us;
} times[] = {
    {"1994-11-06T08:49:37Z", 0, 784111777000000},
    {"1994-11-06t08:49:37z", 0, 784111777000000},
    {"1994-11-06 08:49:37Z", 0, 784111777000000},
    {"1994-11-06T08:49:37.5Z", 0, 784111777500000},
    {"1994-11-06T08:49:37.000001Z", 0, 784111777000001},
    {"1994-11-06T08:49:37.123456789Z", 0, 784111777123456},
    {"1994-11-06T09:49:37+01:00", 0, 784111777000000},
    {"1994-11-06T03:19:37.25-05:30", 0, 784111777250000},
    {"1994-11-06T08:49:37-00:00", 0, 784111777000000},
    {"1994-11-06T09:49:37 01:00", 0, 784111777000000}, /* a plus sign in a query */
    {"1969-12-31T23:59:59.9Z", 0, -100000},
    {"2012-06-30T23:59:60Z", 0, 1341100800000000},
    {"2024-02-29T00:00:00Z", 0, 1709164800000000},
    {"", -1, 0},
    {"1994-11-06", -1, 0},
    {"1994-11-06T08:49:37", -1, 0},
    {"1994-11-06T08:49Z", -1, 0},
    {"1994-11-06T08:49:37.Z", -1, 0},
    {"1994-11-06T08:49:37,5Z", -1, 0},
    {"1994-11-06T08:49:37+0100", -1, 0},
    {"1994-11-06T08:49:37+24:00", -1, 0},
    {"1994-11-06T08:49:37+01:60", -1, 0},
    {"1994-11-06T08:49:37Z ", -1, 0},
    {"1994-11-06T08:49:37 ", -1, 0},
    {"1994-11-06T08:49:37  01:00", -1, 0},
    {" 1994-11-06T08:49:37Z", -1, 0},
    {"94-11-06T08:49:37Z", -1, 0},
    {"1994-13-06T08:49:37Z", -1, 0},
    {"1994-00-06T08:49:37Z", -1, 0},
    {"1994-11-31T08:49:37Z", -1, 0},
    {"2023-02-29T00:00:00Z", -1, 0},
    {"1994-11-06T24:00:00Z", -1, 0},
    {"1994-11-06X08:49:37Z", -1, 0},
    {"-994-11-06T08:49:37Z", -1, 0},
    {"784111777", -1, 0},
};

START_TEST(times_are_read)
{
	struct guard g;
	int64_t unix_us = 77;

	guard_init(&g, 100);
	ck_assert_int_eq(
	    rfc3339_parse(guard_copy(&g, slice_str(times[_i].text)), &unix_us), times[_i].result);
	ck_assert_int_eq(unix_us, times[_i].result == 0 ? times[_i].unix_us : 77);
	guard_done(&g);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("http");
	TCase *tc = tcase_create("http");

	tcase_add_test(tc, headers_are_found);
	tcase_add_test(tc, fields_have_numbers);
	tcase_add_test(tc, lists_are_walked);
	tcase_add_test(tc, tokens_in_lists);
	tcase_add_test(tc, cookies_are_found);
	tcase_add_loop_test(tc, qualities_are_read, 0, (int)ARRAY_LEN(qualities));
	tcase_add_test(tc, lines_are_one_list);
	tcase_add_test(tc, no_accept_says_nothing);
	tcase_add_test(tc, tables_are_whole);
	tcase_add_test(tc, body_without_one_is_done);
	tcase_add_test(tc, body_leaves_what_follows);
	tcase_add_test(tc, body_over_the_limit);
	tcase_add_test(tc, body_in_many_chunks);
	tcase_add_loop_test(tc, dates_there_and_back, 0, (int)ARRAY_LEN(formatted));
	tcase_add_test(tc, dates_of_every_day);
	tcase_add_test(tc, dates_out_of_range);
	tcase_add_loop_test(tc, dates_are_read, 0, (int)ARRAY_LEN(dates));
	tcase_add_loop_test(tc, times_are_read, 0, (int)ARRAY_LEN(times));
	suite_add_tcase(s, tc);
	return run_suite(s);
}
