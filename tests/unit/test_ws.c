/*
 * WebSocket: the handshake, frames that we write, and what the decoder keeps in memory. What it
 * makes of bytes is in the documents tests/vectors/ws_*.txt.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/ws.h"
#include "proto/ws_deflate.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_run.h"

#define ck_slice(s, text) ck_assert_msg(slice_eq((s), slice_str(text)), "got '%.*s'", SLICE_ARG(s))

/* --- handshake --- */

#define START_LINE "GET /chat HTTP/1.1\r\nHost: a\r\n"
#define UPGRADE    "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
#define VERSION    "Sec-WebSocket-Version: 13\r\n"
#define KEY        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define GOOD       START_LINE UPGRADE VERSION KEY

static int
check_head(const char *text, struct ws_handshake *out)
{
	static struct http_head head;
	struct buf b = BUF_INIT(20000);
	int r;

	ck_assert_int_eq(buf_add_str(&b, text), 0);
	ck_assert_int_eq(BUF_ADD_LIT(&b, "\r\n"), 0);
	ck_assert_int_gt(http_parse_head(buf_slice(&b), 20000, &head), 0);
	memset(out, 0x55, sizeof(*out));
	r = ws_handshake_check(&head, out);
	if (r == 0 && out->bearer.p != NULL) /* outlives the buffer only in this test */
		ck_slice(out->bearer, "a.b-c_d");
	buf_done(&b);
	return r;
}

static const struct {
	const char *head;
	int result;
	int status;
} handshakes[] = {
    {GOOD, 0, 0},
    {GOOD "Content-Length: 0\r\n", 0, 0},
    {START_LINE "upgrade: h2c, WebSocket\r\nconnection: UPGRADE\r\n" VERSION KEY, 0, 0},
    {"POST /chat HTTP/1.1\r\nHost: a\r\n" UPGRADE VERSION KEY, WS_H_METHOD, 405},
    {"HEAD /chat HTTP/1.1\r\nHost: a\r\n" UPGRADE VERSION KEY, WS_H_METHOD, 405},
    {"GET /chat HTTP/1.0\r\nHost: a\r\n" UPGRADE VERSION KEY, WS_H_HTTP_1_0, 400},
    {START_LINE VERSION KEY, WS_H_NO_UPGRADE, 426},
    {START_LINE "Upgrade: websocket\r\n" VERSION KEY, WS_H_NO_UPGRADE, 426},
    {START_LINE "Connection: Upgrade\r\n" VERSION KEY, WS_H_NO_UPGRADE, 426},
    {START_LINE "Connection: Upgrade\r\nUpgrade: h2c\r\n" VERSION KEY, WS_H_NO_UPGRADE, 426},
    {START_LINE UPGRADE KEY, WS_H_VERSION, 426},
    {START_LINE UPGRADE "Sec-WebSocket-Version: 8\r\n" KEY, WS_H_VERSION, 426},
    {START_LINE UPGRADE "Sec-WebSocket-Version: 13, 8\r\n" KEY, WS_H_VERSION, 426},
    {START_LINE UPGRADE "Sec-WebSocket-Version: 013\r\n" KEY, WS_H_VERSION, 426},
    {GOOD VERSION, WS_H_DOUBLE, 400},
    {START_LINE UPGRADE VERSION, WS_H_KEY, 400},
    {GOOD KEY, WS_H_KEY, 400},
    {START_LINE UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n", WS_H_KEY, 400},
    {START_LINE UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWE=\r\n", WS_H_KEY, 400},
    {START_LINE UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25-ZQ==\r\n", WS_H_KEY, 400},
    {START_LINE UPGRADE VERSION "Sec-WebSocket-Key:\r\n", WS_H_KEY, 400},
    {START_LINE UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAB==\r\n", 0, 0},
    {GOOD "Content-Length: 1\r\n", WS_H_BODY, 400},
    {GOOD "Transfer-Encoding: chunked\r\n", WS_H_BODY, 400},
    {GOOD "Sec-WebSocket-Protocol: belfry.v1, bel fry\r\n", WS_H_PROTOCOLS, 400},
    {GOOD "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n", WS_H_PROTOCOLS, 400},
    {GOOD "Sec-WebSocket-Protocol: belfry.v1, bearer.a, bearer.b\r\n", WS_H_BEARERS, 400},
    {GOOD "Sec-WebSocket-Protocol: belfry.v1, bearer.a, bearer.a\r\n", WS_H_BEARERS, 400},
    {GOOD "Sec-WebSocket-Protocol:\r\n", 0, 0},
};

START_TEST(handshakes_are_checked)
{
	struct ws_handshake hs;
	int r = check_head(handshakes[_i].head, &hs);

	ck_assert_msg(r == handshakes[_i].result, "%s: %d", handshakes[_i].head, r);
	if (r == 0)
		return;
	ck_assert_int_eq(ws_handshake_status(r), handshakes[_i].status);
	ck_assert_ptr_nonnull(ws_handshake_text(r));
}
END_TEST

START_TEST(handshake_tells_what_was_asked)
{
	struct ws_handshake hs;

	ck_assert_int_eq(check_head(GOOD, &hs), 0);
	ck_assert_str_eq(hs.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); /* RFC 6455, 1.3 */
	ck_assert(!hs.has_protocols && !hs.offers_belfry && !hs.deflate && hs.bearer.p == NULL);
	ck_assert_int_eq(check_head(GOOD "Sec-WebSocket-Protocol: x, bearer.a.b-c_d\r\n"
					 "Sec-WebSocket-Protocol: belfry.v1\r\n",
			     &hs),
	    0);
	ck_assert(hs.has_protocols && hs.offers_belfry && hs.bearer.p != NULL);
	ck_assert_int_eq(check_head(GOOD "Sec-WebSocket-Protocol: Belfry.v1\r\n", &hs), 0);
	ck_assert(hs.has_protocols && !hs.offers_belfry && hs.bearer.p == NULL);
	ck_assert_int_eq(ws_handshake_status(-1), 400);
	ck_assert_int_eq(ws_handshake_status(WS_H_METHOD - 1), 400);
	ck_assert_ptr_nonnull(ws_handshake_text(0));
}
END_TEST

START_TEST(handshake_bounds_subprotocols)
{
	struct buf b = BUF_INIT(20000);
	struct ws_handshake hs;

	ck_assert_int_eq(buf_add_str(&b, GOOD "Sec-WebSocket-Protocol: a"), 0);
	for (int i = 0; i < 31; i++)
		ck_assert_int_eq(buf_printf(&b, ", p%d", i), 0);
	ck_assert_int_eq(buf_add(&b, "\r\n", 3), 0);
	ck_assert_int_eq(check_head(b.p, &hs), 0);
	b.n -= 3;
	ck_assert_int_eq(buf_add(&b, ", q\r\n", 6), 0);
	ck_assert_int_eq(check_head(b.p, &hs), WS_H_PROTOCOLS);
	buf_done(&b);
}
END_TEST

#define PMD    "permessage-deflate"
#define ANSWER PMD "; server_no_context_takeover; client_no_context_takeover"

static const struct {
	const char *offer;
	const char *answer; /* NULL: not accepted; "": malformed */
	bool is_small;
} offers[] = {
    {PMD, ANSWER, false},
    {PMD "; client_max_window_bits", ANSWER, false},
    {PMD ";client_max_window_bits=8", ANSWER, false},
    {PMD " ; client_max_window_bits = \"15\" ; server_no_context_takeover", ANSWER, false},
    {PMD "; server_no_context_takeover; client_no_context_takeover", ANSWER, false},
    {PMD "; server_max_window_bits=15", ANSWER "; server_max_window_bits=15", false},
    {PMD "; server_max_window_bits=14", ANSWER "; server_max_window_bits=14", true},
    {PMD "; server_max_window_bits=10", ANSWER "; server_max_window_bits=10", true},
    {PMD "; server_max_window_bits=\"9\"", ANSWER "; server_max_window_bits=9", true},
    {PMD "; server_max_window_bits=\"\\9\"", ANSWER "; server_max_window_bits=9", true},
    {PMD "; server_max_window_bits=8", ANSWER "; server_max_window_bits=8", true},
    /* offers to decline */
    {PMD "; server_max_window_bits", NULL, false},
    {PMD "; server_max_window_bits=7", NULL, false},
    {PMD "; server_max_window_bits=16", NULL, false},
    {PMD "; server_max_window_bits=09", NULL, false},
    {PMD "; server_max_window_bits=1000", NULL, false},
    {PMD "; server_max_window_bits=1a", NULL, false},
    {PMD "; client_max_window_bits=x", NULL, false},
    {PMD "; client_max_window_bits=7", NULL, false},
    {PMD "; server_no_context_takeover=1", NULL, false},
    {PMD "; client_no_context_takeover=true", NULL, false},
    {PMD "; unknown", NULL, false},
    {PMD "; server_no_context_takeover; server_no_context_takeover", NULL, false},
    {PMD "; client_max_window_bits; client_max_window_bits=9", NULL, false},
    {PMD "; server_max_window_bits=9; server_max_window_bits=9", NULL, false},
    {"x-webkit-deflate-frame", NULL, false},
    {"permessage-bzip2; a=\"b\"", NULL, false},
    /* the next one is looked at */
    {PMD "; unknown=1, " PMD, ANSWER, false},
    {"foo;bar=\"b\", " PMD "; server_max_window_bits=16, , " PMD
     "; server_max_window_bits=12, " PMD,
	ANSWER "; server_max_window_bits=12", true},
    {PMD ", " PMD "; server_max_window_bits=9", ANSWER, false},
    /* malformed */
    {PMD "; ", "", false},
    {PMD ";; client_max_window_bits", "", false},
    {PMD "; client_max_window_bits=", "", false},
    {PMD "; client_max_window_bits=\"\"", "", false},
    {PMD "; client_max_window_bits=\"1", "", false},
    {PMD "; client_max_window_bits=\"1 0\"", "", false},
    {PMD "; client_max_window_bits=\"10\" x", "", false},
    {PMD " client_max_window_bits", "", false},
    {"=x", "", false},
    {PMD ", a b", "", false},
};

START_TEST(deflate_is_negotiated)
{
	struct buf b = BUF_INIT(4000);
	struct ws_handshake hs;
	const char *want = offers[_i].answer;
	int r;

	ck_assert_int_eq(
	    buf_printf(&b, GOOD "Sec-WebSocket-Extensions: %s\r\n", offers[_i].offer), 0);
	ck_assert_int_eq(buf_add_char(&b, '\0'), 0);
	r = check_head(b.p, &hs);
	buf_done(&b);
	if (want != NULL && *want == '\0') {
		ck_assert_msg(r == WS_H_EXTENSIONS, "%s: %d", offers[_i].offer, r);
		return;
	}
	ck_assert_msg(r == 0, "%s: %d", offers[_i].offer, r);
	ck_assert_msg(hs.deflate == (want != NULL), "%s", offers[_i].offer);
	ck_assert(hs.deflate_peer_small == offers[_i].is_small);
	if (want != NULL)
		ck_assert_str_eq(ws_handshake_extensions(&hs), want);
}
END_TEST

START_TEST(offers_may_lie_in_several_headers)
{
	struct ws_handshake hs;

	ck_assert_int_eq(check_head(GOOD "Sec-WebSocket-Extensions: " PMD "; x\r\n"
					 "sec-websocket-extensions: " PMD "\r\n",
			     &hs),
	    0);
	ck_assert(hs.deflate);
}
END_TEST

/* --- frames that we write --- */

static const struct {
	uint64_t n;
	size_t size;
	uint8_t head[WS_SERVER_HEAD];
} heads[] = {
    {0, 2, {0x81, 0}},
    {125, 2, {0x81, 125}},
    {126, 4, {0x81, 126, 0, 126}},
    {65535, 4, {0x81, 126, 0xff, 0xff}},
    {65536, 10, {0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
    {0x123456789a, 10, {0x81, 127, 0, 0, 0, 0x12, 0x34, 0x56, 0x78, 0x9a}},
};

START_TEST(heads_are_written)
{
	uint8_t head[WS_SERVER_HEAD];

	ck_assert_uint_eq(ws_head_encode(head, WS_TEXT, false, heads[_i].n), heads[_i].size);
	ck_assert_mem_eq(head, heads[_i].head, heads[_i].size);
	ck_assert_uint_eq(ws_head_encode(head, WS_BINARY, true, heads[_i].n), heads[_i].size);
	ck_assert_uint_eq(head[0], 0xc2);
}
END_TEST

START_TEST(control_frames_are_written)
{
	uint8_t out[2 + WS_MAX_CONTROL];
	char long_reason[200];

	ck_assert_uint_eq(ws_control_encode(out, WS_PING, SLICE_NONE), 2);
	ck_assert_mem_eq(out, "\x89\x00", 2);
	ck_assert_uint_eq(ws_control_encode(out, WS_PONG, SLICE("ab")), 4);
	ck_assert_mem_eq(out,
	    "\x8a\x02"
	    "ab",
	    4);
	ck_assert_uint_eq(ws_close_encode(out, 1000, SLICE("bye")), 7);
	ck_assert_mem_eq(out,
	    "\x88\x05\x03\xe8"
	    "bye",
	    7);
	ck_assert_uint_eq(ws_close_encode(out, 4401, SLICE_NONE), 4);
	ck_assert_mem_eq(out, "\x88\x02\x11\x31", 4);
	ck_assert_uint_eq(ws_close_encode(out, WS_CLOSE_NO_STATUS, SLICE("x")), 2);
	ck_assert_mem_eq(out, "\x88\x00", 2);
	memset(long_reason, 'r', sizeof(long_reason));
	ck_assert_uint_eq(ws_close_encode(out, 1000, slice_of(long_reason, 123)), 127);
	ck_assert_uint_eq(ws_close_encode(out, 1000, slice_of(long_reason, 200)), 127);
	memcpy(long_reason + 120, "\xf0\x9f\x98\x80", 4); /* would be cut in its middle */
	ck_assert_uint_eq(ws_close_encode(out, 1000, slice_of(long_reason, 200)), 124);
	long_reason[123] = 'r';
	memcpy(long_reason + 119, "\xf0\x9f\x98\x80", 4); /* just fits */
	ck_assert_uint_eq(ws_close_encode(out, 1000, slice_of(long_reason, 200)), 127);
}
END_TEST

START_TEST(masks_are_taken_off)
{
	static const uint8_t key[4] = {0x12, 0x9a, 0x00, 0xff};
	char bytes[80];

	for (size_t n = 0; n <= 40; n++) {
		for (size_t at = 0; at < 8; at++) {
			for (size_t i = 0; i < sizeof(bytes); i++)
				bytes[i] = (char)i;
			ws_unmask(bytes + 3, n, key, at);
			for (size_t i = 0; i < sizeof(bytes); i++) {
				uint8_t mask = i >= 3 && i < 3 + n ? key[(i - 3 + at) % 4] : 0;

				ck_assert_uint_eq((uint8_t)bytes[i], (uint8_t)i ^ mask);
			}
		}
	}
}
END_TEST

/* --- what the decoder keeps --- */

/* a masked "Hello", and the same in two frames; the mask is zero */
#define WHOLE "\x81\x85\0\0\0\0Hello"
#define FIRST "\x01\x83\0\0\0\0Hel"
#define LAST  "\x80\x82\0\0\0\0lo"
#define PING  "\x89\x81\0\0\0\0p"

static struct ws_message
decode(struct ws_decoder *d, char *in, size_t n, size_t want_used)
{
	struct ws_message m;
	size_t used;

	ck_assert_int_eq(ws_decode(d, in, n, NULL, &used, &m), 0);
	ck_assert_uint_eq(used, want_used);
	return m;
}

START_TEST(whole_messages_are_not_copied)
{
	char in[] = WHOLE PING WHOLE;
	unsigned long before = mem_count();
	struct ws_decoder d;
	struct ws_message m;

	ws_decoder_init(&d, 100, false);
	m = decode(&d, in, sizeof(in) - 1, 11);
	ck_assert_int_eq(m.event, WS_EV_MESSAGE);
	ck_assert_ptr_eq(m.payload.p, in + 6);
	m = decode(&d, in + 11, sizeof(in) - 12, 7);
	ck_assert_int_eq(m.event, WS_EV_PING);
	m = decode(&d, in + 18, sizeof(in) - 19, 11);
	ck_slice(m.payload, "Hello");
	ck_assert_uint_eq(mem_count(), before);
	ck_assert_uint_eq(ws_decoder_memory(&d), 0);
	ws_decoder_done(&d);
}
END_TEST

START_TEST(what_came_in_pieces_is_freed)
{
	char in[] = FIRST PING LAST;
	long before = mem_blocks();
	struct ws_decoder d;
	struct ws_message m;

	ws_decoder_init(&d, 100, false);
	m = decode(&d, in, 9, 9);
	ck_assert_int_eq(m.event, WS_EV_NONE);
	ck_assert_uint_gt(ws_decoder_memory(&d), 0);
	m = decode(&d, in + 9, 7, 7);
	ck_slice(m.payload, "p");
	m = decode(&d, in + 16, 8, 8);
	ck_slice(m.payload, "Hello");
	m = decode(&d, in, 0, 0);
	ck_assert_int_eq(m.event, WS_EV_NONE);
	ck_assert_uint_eq(ws_decoder_memory(&d), 0);
	ck_assert_int_eq(mem_blocks(), before);
}
END_TEST

/* With the worker's inflater a connection that is level holds nothing, even before the next call. */
START_TEST(level_connections_hold_nothing)
{
	char in[] = PING FIRST PING LAST;
	struct ws_inflater *z = ws_inflater_new();
	struct ws_decoder d;
	struct ws_message m;
	size_t used;

	ws_decoder_init(&d, 100, false);
	for (size_t at = 0; at < sizeof(in) - 1; at++) {
		ck_assert_int_eq(ws_decode(&d, in + at, 1, z, &used, &m), 0);
		ck_assert_uint_eq(used, 1);
		ck_assert((m.event != WS_EV_NONE) == (at == 6 || at == 22 || at == 30));
		if (at == 6 || at == 22)
			ck_slice(m.payload, "p");
		ck_assert((ws_decoder_memory(&d) == 0) == (at == 6 || at == 30));
	}
	ck_slice(m.payload, "Hello");
	ws_inflater_free(z);
	ws_inflater_free(NULL);
}
END_TEST

/* A head that promises much makes the decoder keep only what came. */
START_TEST(promises_cost_nothing)
{
	char in[] = "\x82\xff\0\0\0\0\x10\0\0\0\0\0\0\0x";
	struct ws_decoder d;
	struct ws_message m;

	ws_decoder_init(&d, 1u << 30, false);
	m = decode(&d, in, sizeof(in) - 1, sizeof(in) - 1);
	ck_assert_int_eq(m.event, WS_EV_NONE);
	ck_assert_uint_lt(ws_decoder_memory(&d), 1000);
	ws_decoder_done(&d);
	ws_decoder_done(&d);
}
END_TEST

/* Each allocation in turn fails: -ENOMEM, and nothing is left behind. */
START_TEST(decoding_without_memory)
{
	static const char text[] = FIRST PING LAST;
	static const char packed[] =
	    "\x41\x83\0\0\0\0\xf2\x48\xcd" PING "\x80\x84\0\0\0\0\xc9\xc9\x07\0";
	struct slice inputs[] = {SLICE(text), SLICE(packed)};
	struct slice input = inputs[_i];
	long blocks = mem_blocks();
	bool failed = true;

	for (long nth = 1; failed; nth++) {
		struct ws_inflater *z = ws_inflater_new();
		struct ws_message m = {0};
		struct ws_decoder d;
		int r = 0;

		ck_assert_ptr_nonnull(z);
		ws_decoder_init(&d, 1000, true);
		mem_fail_at(nth);
		for (size_t at = 0; at < input.n && r == 0; at++) {
			char byte = input.p[at];
			size_t used;

			r = ws_decode(&d, &byte, 1, z, &used, &m);
		}
		failed = !mem_fail_is_pending();
		mem_fail_at(0);
		ck_assert_int_eq(r, failed ? -ENOMEM : 0);
		if (!failed)
			ck_slice(m.payload, "Hello");
		ws_decoder_done(&d);
		ws_inflater_free(z);
		ck_assert_int_eq(mem_blocks(), blocks);
		ck_assert_int_lt(nth, 100);
	}
}
END_TEST

START_TEST(deflate_without_inflater_is_our_fault)
{
	char in[] = "\xc1\x81\0\0\0\0\0";
	struct ws_decoder d;
	struct ws_message m;

	ws_decoder_init(&d, 100, true);
	m = decode(&d, in, sizeof(in) - 1, sizeof(in) - 1);
	ck_assert_int_eq(m.event, WS_EV_ERROR);
	ck_assert_int_eq(m.close_code, WS_CLOSE_INTERNAL);
	ws_decoder_done(&d);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ws");
	TCase *tc = tcase_create("ws");

	tcase_add_loop_test(tc, handshakes_are_checked, 0, (int)ARRAY_LEN(handshakes));
	tcase_add_test(tc, handshake_tells_what_was_asked);
	tcase_add_test(tc, handshake_bounds_subprotocols);
	tcase_add_loop_test(tc, deflate_is_negotiated, 0, (int)ARRAY_LEN(offers));
	tcase_add_test(tc, offers_may_lie_in_several_headers);
	tcase_add_loop_test(tc, heads_are_written, 0, (int)ARRAY_LEN(heads));
	tcase_add_test(tc, control_frames_are_written);
	tcase_add_test(tc, masks_are_taken_off);
	tcase_add_test(tc, whole_messages_are_not_copied);
	tcase_add_test(tc, what_came_in_pieces_is_freed);
	tcase_add_test(tc, level_connections_hold_nothing);
	tcase_add_test(tc, promises_cost_nothing);
	tcase_add_loop_test(tc, decoding_without_memory, 0, 2);
	tcase_add_test(tc, deflate_without_inflater_is_our_fault);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
