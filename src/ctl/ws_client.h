/*
 * A client's half of the WebSocket protocol (RFC 6455) without I/O: the handshake's headers and the
 * check of its answer, masked frames out, the server's frames in. Any thread.
 */
#ifndef CTL_WS_CLIENT_H
#define CTL_WS_CLIENT_H

#include "proto/ws.h"

#define WS_CLIENT_RSV1 0x40 /* in a frame's first byte: compressed (RFC 7692, 6) */

struct ws_client_frame {
	uint8_t first;        /* FIN, RSV1 and opcode, as on the wire */
	struct slice payload; /* borrowed from the input */
};

/*
 * Append the headers of a handshake (4.1) and the empty line; the request line and Host stand in front.
 * key: 16 bytes in base64. 0, or negative as buf_add (it sticks).
 */
int ws_client_add_handshake(struct buf *out, struct slice key, bool offers_deflate);
/* Whether the head of an answer takes the handshake: status 101 and the accept value wanted (4.1). */
MUST_CHECK bool ws_client_is_accepted(struct slice head, struct slice accept);
/*
 * The first frame of the input. Bytes it takes; 0 while it is not whole; negative a close code when it
 * is not a server's frame (masked, RSV2 or RSV3, a bad control frame) or longer than max.
 */
MUST_CHECK ssize_t ws_client_decode(struct slice in, size_t max, struct ws_client_frame *out);
/* Append a whole frame, masked with key (5.3). 0, or negative as buf_add: then nothing is appended. */
MUST_CHECK int ws_client_encode(
    struct buf *out, enum ws_opcode opcode, const uint8_t key[4], struct slice payload);

#endif
