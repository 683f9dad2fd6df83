/*
 * The WebSocket handshake's two list headers: the first line of the input is the value of
 * Sec-WebSocket-Extensions, the second that of Sec-WebSocket-Protocol.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds, const char *what)
{
	if (holds)
		return;
	(void)fprintf(stderr, "fuzz_handshake: %s\n", what);
	abort();
}

static bool
lies_in(struct slice inner, struct slice outer)
{
	return inner.p >= outer.p && inner.p + inner.n <= outer.p + outer.n;
}

/* What was accepted must be what an offer can ask for. */
static void
check_result(const struct ws_handshake *hs, struct slice protocols)
{
	int bits = hs->server_max_window_bits;

	require(bits == 0 || (bits >= 8 && bits <= 15), "window bits");
	require(bits == 0 || hs->deflate, "window bits without deflate");
	require(hs->deflate_peer_small == (bits != 0 && bits < 15), "small window");
	require(strlen(ws_handshake_extensions(hs)) > 0, "answer");
	require(strlen(hs->accept) == WS_ACCEPT_SIZE - 1, "accept");
	require(!hs->offers_belfry || hs->has_protocols, "a subprotocol without a list");
	require(hs->bearer.p == NULL || lies_in(hs->bearer, protocols), "bearer out of the header");
}

static int
ask(struct slice extensions, struct slice protocols, struct ws_handshake *out)
{
	static struct http_head head;
	const struct http_header headers[] = {
	    {SLICE("Upgrade"), SLICE("websocket")},
	    {SLICE("Sec-WebSocket-Version"), SLICE("13")},
	    {SLICE("Sec-WebSocket-Key"), SLICE("dGhlIHNhbXBsZSBub25jZQ==")},
	    {SLICE("Sec-WebSocket-Extensions"), slice_trim(extensions)},
	    {SLICE("Sec-WebSocket-Protocol"), slice_trim(protocols)},
	};

	head = (struct http_head){.method = HTTP_GET, .minor = 1, .is_upgrade = true};
	head.n_headers = protocols.p == NULL ? ARRAY_LEN(headers) - 1 : ARRAY_LEN(headers);
	memcpy(head.headers, headers, head.n_headers * sizeof(headers[0]));
	return ws_handshake_check(&head, out);
}

/* One more offer behind others that are well-formed: taken only when none before it was. */
static void
offer_more(struct slice extensions, const struct ws_handshake *first)
{
	struct buf more = BUF_INIT(extensions.n + 100);
	struct ws_handshake hs;

	(void)buf_add_slice(&more, extensions);
	require(BUF_ADD_LIT(&more, ", permessage-deflate; server_max_window_bits=\"1\\0\"") == 0,
	    "memory");
	require(ask(buf_slice(&more), SLICE_NONE, &hs) == 0 && hs.deflate, "the last offer");
	require(hs.server_max_window_bits == (first->deflate ? first->server_max_window_bits : 10),
	    "another offer");
	if (first->server_max_window_bits != 0)
		require(memmem(extensions.p, extensions.n, "server_max_window_bits", 22) != NULL,
		    "bits that nobody asked for");
	buf_done(&more);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice protocols = slice_of((const char *)data, size);
	struct slice extensions = slice_cut(&protocols, '\n');
	struct ws_handshake hs;
	int r = ask(extensions, protocols, &hs);

	if (r == 0) {
		check_result(&hs, protocols);
		offer_more(extensions, &hs);
	} else {
		require(r == WS_H_EXTENSIONS || r == WS_H_PROTOCOLS || r == WS_H_BEARERS,
		    "another error");
	}
	return 0;
}
