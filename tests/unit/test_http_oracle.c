/*
 * Our parser against Debian's libhttp-parser, which others wrote. It is laxer, so only one direction must hold: what ours takes it
 * takes as well, and finds the same method, target, version, fields, body and end. The requests are put together at random from
 * good and bad parts.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/http.h"
#include "tests/unit/support_oracle.h"

#define N_REQUESTS 100000
#define MAX_INPUT  4096

static const char *const lines[] = {"GET / HTTP/1.1\r\n", "POST /a/b?c=d HTTP/1.1\r\n",
    "PUT * HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n", "HEAD /x HTTP/1.0\r\n",
    "DELETE http://h/p?q HTTP/1.1\r\n", "PATCH //x HTTP/1.1\r\n", "POST  / HTTP/1.1\r\n",
    "get / HTTP/1.1\r\n", "GET /\r\n", "POST / HTTP/1.1\n", "POST / HTTP/1.2\r\n",
    "TRACE /a%20b;c HTTP/1.1\r\n"};
static const char *const fields[] = {"Host: h\r\n", "Host: h\r\n", "Host: h\r\n", "Host: h:80\r\n",
    "Host : h\r\n", "Content-Length: 5\r\n", "Content-Length: 5\r\n", "Content-Length: 0\r\n",
    "Content-Length: +5\r\n", "Content-Length: 5, 5\r\n", "Content-Length: 05\r\n",
    "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:\tChunked \r\n", "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: xchunked\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n",
    "Connection: x, close\r\n", "X-Long: some words \xc3\xa9 here\t\r\n", "X-Empty:\r\n", "X:1\r\n",
    "X\r\n", "X: a\r\n b\r\n", "X: a\rb\r\n", "X: a\n", "Expect: 100-continue\r\n"};
static const char *const bodies[] = {"hello", "hello", "5\r\nhello\r\n0\r\n\r\n", "0\r\n\r\n",
    "5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n", "5 ;a=\"b\"\r\nhello\r\n00\r\n\r\n",
    "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n",
    "5\nhello\n0\n\n", "A\r\n0123456789\r\n0\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", ""};

static const char *
pick(const char *const *from, size_t n)
{
	return from[(size_t)rand() % n];
}

/* A request of random parts; now and then one byte of it is another. */
static void
make_request(struct buf *out)
{
	int n_fields = 1 + rand() % 4;

	buf_reset(out);
	(void)buf_add_str(out, pick(lines, ARRAY_LEN(lines)));
	for (int i = 0; i < n_fields; i++)
		(void)buf_add_str(out, pick(fields, ARRAY_LEN(fields)));
	(void)BUF_ADD_LIT(out, "\r\n");
	(void)buf_add_str(out, pick(bodies, ARRAY_LEN(bodies)));
	if (rand() % 4 == 0)
		out->p[(size_t)rand() % out->n] = (char)(rand() % 256);
	ck_assert(!out->failed);
}

static void
reset(struct reading *r)
{
	struct buf text = r->text;

	buf_reset(&text);
	*r = (struct reading){.text = text};
}

static bool
read_ours(struct slice in, struct reading *r)
{
	struct http_head h;
	struct http_body body;
	ssize_t n = http_parse_head(in, MAX_INPUT, &h);

	if (n < 0 || (n > 0 && h.method == HTTP_METHOD_UNKNOWN))
		return false;
	if (n == 0)
		return true;
	r->is_head_whole = true;
	(void)buf_printf(
	    &r->text, "%.*s %.*s 1.%u\n", SLICE_ARG(h.method_text), SLICE_ARG(h.target), h.minor);
	for (size_t i = 0; i < h.n_headers; i++)
		(void)buf_printf(&r->text, "%.*s: %.*s\n", SLICE_ARG(h.headers[i].name),
		    SLICE_ARG(h.headers[i].value));
	(void)BUF_ADD_LIT(&r->text, "\n");
	r->keep_alive = h.keep_alive;
	r->n_bytes = (size_t)n;
	http_body_init(&body, &h, MAX_INPUT);
	while (!body.is_done) {
		struct slice piece;

		n = http_body_decode(&body, slice_skip(in, r->n_bytes), &piece);
		if (n < 0)
			return false;
		if (n == 0)
			return true;
		(void)buf_add_slice(&r->text, piece);
		r->n_bytes += (size_t)n;
	}
	r->is_whole = true;
	return true;
}

START_TEST(ours_takes_nothing_else)
{
	struct buf in = BUF_INIT(MAX_INPUT);
	struct reading ours = {.text = BUF_INIT(2 * MAX_INPUT)};
	struct reading theirs = {.text = BUF_INIT(2 * MAX_INPUT)};
	unsigned n_taken = 0;
	unsigned n_whole = 0;

	srand(11);
	for (int i = 0; i < N_REQUESTS; i++) {
		make_request(&in);
		reset(&ours);
		if (!read_ours(buf_slice(&in), &ours))
			continue;
		reset(&theirs);
		n_taken++;
		n_whole += ours.is_whole;
		ck_assert_msg(oracle_read(buf_slice(&in), &theirs), "only ours takes:\n%.*s",
		    SLICE_ARG(buf_slice(&in)));
		ck_assert_int_eq(ours.is_head_whole, theirs.is_head_whole);
		if (!ours.is_head_whole)
			continue;
		ck_assert_msg(slice_eq(buf_slice(&ours.text), buf_slice(&theirs.text)) &&
				  ours.is_whole == theirs.is_whole &&
				  (!ours.is_whole || (ours.n_bytes == theirs.n_bytes &&
							 (theirs.keep_alive || !ours.keep_alive))),
		    "%.*s\n--- ours (%zu bytes):\n%.*s\n--- theirs (%zu bytes):\n%.*s",
		    SLICE_ARG(buf_slice(&in)), ours.n_bytes, SLICE_ARG(buf_slice(&ours.text)),
		    theirs.n_bytes, SLICE_ARG(buf_slice(&theirs.text)));
	}
	/* the mixture is not all refused */
	ck_assert_uint_gt(n_taken, N_REQUESTS / 100);
	ck_assert_uint_gt(n_whole, N_REQUESTS / 200);
	buf_done(&in);
	buf_done(&ours.text);
	buf_done(&theirs.text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("http_oracle");
	TCase *tc = tcase_create("http_oracle");
	SRunner *runner;
	int n_failed;

	if (oracle_is_there())
		tcase_add_test(tc, ours_takes_nothing_else);
	suite_add_tcase(s, tc);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
