/*
 * Our parser against Debian's libhttp-parser, which others wrote. It is laxer: what ours takes it takes as well, and finds the same
 * method, target, version, fields, body and end; what only it takes has something that we refuse on purpose. The requests are put
 * together at random from good and bad parts.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/http.h"
#include "tests/unit/support_oracle.h"
#include "tests/unit/support_run.h"

#define N_REQUESTS 100000
#define MAX_INPUT  4096

static const char *const lines[] = {"GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n",
    "PUT /a HTTP/1.0\r\n", "GET h:80 HTTP/1.1\r\n", "CONNECT h:80 HTTP/1.1\r\n",
    "GET https://h?q HTTP/1.1\r\n", "GET /a#b HTTP/1.1\r\n", "\r\nGET / HTTP/1.1\r\n",
    "\nGET / HTTP/1.1\r\n", "GET / HTTP/2.0\r\n", "GET / HTTP/0.9\r\n", "GET / HTTP/1.1 \r\n",
    "GET /\xc3\xa9 HTTP/1.1\r\n", "GET http://u@h/ HTTP/1.1\r\n", "OPTIONS http://h HTTP/1.1\r\n",
    "GET / HTTP/1.1\r\n", "POST /a/b?c=d HTTP/1.1\r\n", "PUT * HTTP/1.1\r\n",
    "OPTIONS * HTTP/1.1\r\n", "HEAD /x HTTP/1.0\r\n", "DELETE http://h/p?q HTTP/1.1\r\n",
    "PATCH //x HTTP/1.1\r\n", "POST  / HTTP/1.1\r\n", "get / HTTP/1.1\r\n", "GET /\r\n",
    "POST / HTTP/1.1\n", "POST / HTTP/1.2\r\n", "TRACE /a%20b;c HTTP/1.1\r\n"};
static const char *const fields[] = {"Host: h\r\n", "Host: h\r\n", "Host: h\r\n", "Host: h:80\r\n",
    "Host : h\r\n", "Content-Length: 5\r\n", "Content-Length: 5\r\n", "Content-Length: 0\r\n",
    "Content-Length: +5\r\n", "Content-Length: 5, 5\r\n", "Content-Length: 05\r\n",
    "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:\tChunked \r\n", "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: xchunked\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n",
    "Connection: x, close\r\n", "X-Long: some words \xc3\xa9 here\t\r\n", "X-Empty:\r\n", "X:1\r\n",
    "X\r\n", "X: a\r\n b\r\n", "X: a\rb\r\n", "X: a\n", "Expect: 100-continue\r\n",
    "Expect: 200-ok\r\n", "Host: h, g\r\n", "Host:\r\n", "Host: [::1]:8080\r\n", "Host: h:x\r\n",
    "Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: 18446744073709551616\r\n",
    "Content-Length:\r\n", "Content-Length: 5 \r\n", "Content-Length : 5\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: identity\r\n", "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: ,chunked\r\n", "Transfer-Encoding: \"chunked\"\r\n",
    "Transfer-Encoding:\r\n chunked\r\n", "Upgrade: websocket\r\n", "Connection: Upgrade\r\n",
    "Cookie: a=b\x01\r\n", "X: \x7f\r\n", ": x\r\n", "X@Y: x\r\n", "X\tY: x\r\n", "X: a\0b\r\n"};
static const char *const bodies[] = {"hello", "hello", "5\r\nhello\r\n0\r\n\r\n", "0\r\n\r\n",
    "5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n", "5 ;a=\"b\"\r\nhello\r\n00\r\n\r\n",
    "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n",
    "5\nhello\n0\n\n", "A\r\n0123456789\r\n0\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "",
    "5;a\r\nhello\r\n0;b\r\n\r\n", "5; a = b\r\nhello\r\n0\r\n\r\n", "5;\r\nhello\r\n0\r\n\r\n",
    "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nX : y\r\n\r\n", "5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n",
    "5\r\nhelloXX0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "00000000000000005\r\nhello\r\n0\r\n\r\n",
    "10000000000000005\r\nhello", "\r\n5\r\nhello\r\n0\r\n\r\n", " 5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n"};

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

START_TEST(ours_takes_nothing_else)
{
	struct buf in = BUF_INIT(MAX_INPUT);
	struct reading ours = {.text = BUF_INIT(2 * MAX_INPUT)};
	unsigned n_taken = 0;
	unsigned n_whole = 0;

	srand(11 + (unsigned)_i);
	for (int i = 0; i < N_REQUESTS; i++) {
		int error;

		make_request(&in);
		reset(&ours);
		error = ours_read(buf_slice(&in), MAX_INPUT, &ours);
		n_taken += error == 0;
		n_whole += ours.is_whole;
		ck_assert_msg(oracle_agrees(buf_slice(&in), error, &ours),
		    "%.*s\n--- ours (%zu bytes):\n%.*s", SLICE_ARG(buf_slice(&in)), ours.n_bytes,
		    SLICE_ARG(buf_slice(&ours.text)));
	}
	/* the mixture is not all refused */
	ck_assert_uint_gt(n_taken, N_REQUESTS / 100);
	ck_assert_uint_gt(n_whole, N_REQUESTS / 200);
	buf_done(&in);
	buf_done(&ours.text);
}
END_TEST

/* What ours refuses and others take is refused for a reason that is on the list. */
START_TEST(ours_refuses_for_a_reason)
{
	struct buf in = BUF_INIT(MAX_INPUT);
	struct reading ours = {.text = BUF_INIT(2 * MAX_INPUT)};
	struct reading theirs = {.text = BUF_INIT(2 * MAX_INPUT)};
	unsigned n_different = 0;

	srand(23 + (unsigned)_i);
	for (int i = 0; i < N_REQUESTS; i++) {
		int error;

		make_request(&in);
		reset(&ours);
		reset(&theirs);
		error = ours_read(buf_slice(&in), MAX_INPUT, &ours);
		if (error == 0 || !oracle_read(buf_slice(&in), &theirs) || !theirs.is_whole)
			continue;
		n_different++;
		ck_assert_msg(difference_is_meant(buf_slice(&in), error), "%s\n%.*s",
		    http_error_text(error), SLICE_ARG(buf_slice(&in)));
	}
	ck_assert_uint_gt(n_different, N_REQUESTS / 100);
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

	if (oracle_is_there()) {
		tcase_add_loop_test(tc, ours_takes_nothing_else, 0, 2);
		tcase_add_loop_test(tc, ours_refuses_for_a_reason, 0, 2);
	}
	suite_add_tcase(s, tc);
	return run_suite(s);
}
