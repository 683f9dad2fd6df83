/*
 * The WebSocket decoder, differential: the same bytes fed whole, byte by byte and in random pieces
 * must give the same events; a short input is cut at every place. The first four bytes choose deflate, the limit and the pieces.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "proto/ws.h"
#include "proto/ws_deflate.h"

#define OPTION_BYTES 4
#define LOG_MAX      (64u << 20)
#define CUT_MAX      48 /* bytes of an input that is cut at each place */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds, const char *what)
{
	if (holds)
		return;
	(void)fprintf(stderr, "fuzz_ws: %s\n", what);
	abort();
}

static void
log_event(struct buf *log, const struct ws_message *m)
{
	require(buf_printf(log, "%d %d %d %zu:", (int)m->event, (int)m->opcode, m->close_code,
		    m->payload.n) == 0,
	    "log");
	require(buf_add_slice(log, m->payload) == 0, "log");
}

/* What must hold for each event by itself. */
static void
check_event(const struct ws_decoder *d, const struct ws_message *m, size_t used, size_t n)
{
	bool is_text = m->event == WS_EV_MESSAGE && m->opcode == WS_TEXT;

	require(used <= n, "consumed more than there was");
	require(m->event != WS_EV_NONE || used == n, "nothing whole, but input left");
	if (m->event == WS_EV_MESSAGE)
		require(m->payload.n <= d->max_message, "message over its limit");
	if (is_text || m->event == WS_EV_CLOSE)
		require(utf8_is_valid(m->payload), "text is not UTF-8");
	if (m->event == WS_EV_PING || m->event == WS_EV_PONG || m->event == WS_EV_CLOSE)
		require(m->payload.n <= WS_MAX_CONTROL, "control frame too long");
	require(ws_decoder_memory(d) <= 2 * (size_t)d->max_message + 4096, "too much kept");
}

/* Feed one piece until nothing whole is left. False when the decoder has ended. */
static bool
feed(struct ws_decoder *d, struct ws_inflater *z, struct slice piece, struct buf *log)
{
	char *copy =
	    malloc(piece.n == 0 ? 1 : piece.n); /* its own block: a sanitizer sees the end */
	struct ws_message m = {.event = WS_EV_PING};
	size_t at = 0;

	require(copy != NULL, "memory");
	if (piece.n > 0)
		memcpy(copy, piece.p, piece.n);
	while (m.event == WS_EV_MESSAGE || m.event == WS_EV_PING || m.event == WS_EV_PONG) {
		size_t used;

		require(ws_decode(d, copy + at, piece.n - at, z, &used, &m) == 0, "memory");
		check_event(d, &m, used, piece.n - at);
		at += used;
		if (m.event != WS_EV_NONE)
			log_event(log, &m);
	}
	free(copy);
	return m.event == WS_EV_NONE;
}

/*
 * Feed all of it: a first piece of that many bytes (0: none), then pieces of 1..max_piece bytes,
 * chosen by the seed.
 */
static void
run(const uint8_t *options, struct slice in, size_t first, size_t max_piece, struct ws_inflater *z,
    struct buf *log)
{
	uint32_t max_message =
	    (uint32_t)(options[1] & 15) * 37 + ((options[1] & 16) != 0 ? 70000 : 1);
	uint32_t seed = (uint32_t)options[2] << 8 | options[3];
	struct ws_decoder d;

	ws_decoder_init(&d, max_message, (options[0] & 1) != 0);
	while (in.n > 0) {
		size_t n;

		seed = seed * 1664525 + 1013904223;
		n = min_size(1 + (seed >> 8) % max_piece, in.n);
		if (max_piece >= in.n)
			n = in.n;
		if (first > 0)
			n = min_size(first, in.n);
		first = 0;
		if (!feed(&d, z, slice_of(in.p, n), log))
			break;
		in = slice_skip(in, n);
	}
	ws_decoder_done(&d);
	require(ws_decoder_memory(&d) == 0, "memory after the end");
}

static void
must_be_same(const uint8_t *options, struct slice in, size_t first, size_t max_piece,
    struct ws_inflater *z, const struct buf *whole)
{
	struct buf cut = BUF_INIT(LOG_MAX);

	run(options, in, first, max_piece, z, &cut);
	require(slice_eq(buf_slice(whole), buf_slice(&cut)), "events depend on the pieces");
	buf_done(&cut);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t pieces[] = {1, 7, 200, SIZE_MAX};
	struct buf whole = BUF_INIT(LOG_MAX);
	struct ws_inflater *z;
	struct slice in;

	if (size < OPTION_BYTES)
		return 0;
	z = ws_inflater_new();
	require(z != NULL, "memory");
	in = slice_of((const char *)data + OPTION_BYTES, size - OPTION_BYTES);
	run(data, in, 0, SIZE_MAX, z, &whole);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
		must_be_same(data, in, 1 + data[2] % max_size(in.n, 1), pieces[i], z, &whole);
	for (size_t cut = 1; in.n <= CUT_MAX && cut < in.n; cut++)
		must_be_same(data, in, cut, SIZE_MAX, z, &whole);
	buf_done(&whole);
	ws_inflater_free(z);
	return 0;
}
