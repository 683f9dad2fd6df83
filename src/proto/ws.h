/*
 * WebSocket (RFC 6455) and permessage-deflate (RFC 7692) without I/O: the handshake's answer,
 * frame heads, and the assembly of messages from client frames. Any thread.
 */
#ifndef PROTO_WS_H
#define PROTO_WS_H

#include "base/buf.h"
#include "base/slice.h"
#include "base/utf8.h"
#include "proto/http.h"

enum ws_opcode {
	WS_CONTINUATION = 0x0,
	WS_TEXT = 0x1,
	WS_BINARY = 0x2,
	WS_CLOSE = 0x8,
	WS_PING = 0x9,
	WS_PONG = 0xa,
};

enum ws_close_code {
	WS_CLOSE_NORMAL = 1000,
	WS_CLOSE_GOING_AWAY = 1001,
	WS_CLOSE_PROTOCOL = 1002,
	WS_CLOSE_UNSUPPORTED = 1003,
	WS_CLOSE_NO_STATUS = 1005, /* never on the wire */
	WS_CLOSE_ABNORMAL = 1006,  /* never on the wire */
	WS_CLOSE_INVALID = 1007,   /* bad UTF-8, bad deflate data */
	WS_CLOSE_POLICY = 1008,
	WS_CLOSE_TOO_BIG = 1009,
	WS_CLOSE_INTERNAL = 1011,
	WS_CLOSE_TRY_LATER = 1013,
	WS_CLOSE_TOKEN_ENDED = 4401,
	WS_CLOSE_KICKED = 4403,
	WS_CLOSE_NO_LIFE = 4408,
	WS_CLOSE_RATE = 4429,
};

#define WS_ACCEPT_SIZE 29  /* 28 characters and a NUL */
#define WS_MAX_HEAD    14  /* bytes of the longest frame head */
#define WS_MAX_CONTROL 125 /* payload of a control frame (5.5) */
#define WS_SERVER_HEAD 10  /* bytes of the longest head a server sends (never masked) */

/* --- handshake (section 4) --- */
enum ws_handshake_error {
	WS_H_METHOD = -200, /* 405: not GET */
	WS_H_HTTP_1_0,      /* 400 */
	WS_H_NO_UPGRADE,    /* 426: no `Upgrade: websocket` with `Connection: Upgrade` */
	WS_H_VERSION,       /* 426 with Sec-WebSocket-Version: 13 */
	WS_H_KEY,           /* 400: missing, double, or not 16 bytes in base64 */
	WS_H_DOUBLE,        /* 400: Sec-WebSocket-Version twice */
	WS_H_BODY,          /* 400: a body with the handshake */
	WS_H_EXTENSIONS,    /* 400: Sec-WebSocket-Extensions malformed */
	WS_H_PROTOCOLS,     /* 400: Sec-WebSocket-Protocol malformed (not tokens, one twice) */
	WS_H_BEARERS,       /* 400: two `bearer.` among the subprotocols */
	WS_H_NO_MEMORY,     /* 503: the answer's digest could not be made */
};

struct ws_handshake {
	char accept[WS_ACCEPT_SIZE]; /* Sec-WebSocket-Accept */
	bool has_protocols;          /* a subprotocol list was there */
	bool offers_belfry;          /* it has `belfry.v1` */
	struct slice bearer;     /* token of `bearer.<token>` or absent; borrowed from the head */
	bool deflate;            /* permessage-deflate accepted: see ws_handshake_extensions */
	bool deflate_peer_small; /* the peer's window is below 15 bits: it gets plain frames */
	int server_max_window_bits; /* asked for by the client, 0 when not */
};

/* Check the upgrade request. 0, or an enum ws_handshake_error (out untouched). */
MUST_CHECK int ws_handshake_check(const struct http_head *h, struct ws_handshake *out);
/* HTTP status and sentence for people of an enum ws_handshake_error. */
int ws_handshake_status(int error);
const char *ws_handshake_text(int error);
/* Value of Sec-WebSocket-Extensions to answer when deflate was accepted. */
const char *ws_handshake_extensions(const struct ws_handshake *hs);
/* base64(sha1(key + GUID)), NUL-terminated (4.2.2). 0, or WS_H_NO_MEMORY. */
MUST_CHECK int ws_accept(struct slice key, char out[WS_ACCEPT_SIZE]);

/* --- frames (section 5) --- */
/*
 * Write a server frame's head (unmasked, FIN set) for n payload bytes; rsv1 marks a compressed
 * message. Returns its size, 2..10.
 */
size_t ws_head_encode(uint8_t *out, enum ws_opcode opcode, bool rsv1, uint64_t n);
/*
 * Whole control frames; out has 2 + WS_MAX_CONTROL bytes. reason is cut to 123 bytes at a
 * character boundary. Return the size.
 */
size_t ws_close_encode(uint8_t *out, int code, struct slice reason);
size_t ws_control_encode(uint8_t *out, enum ws_opcode opcode, struct slice payload);
/* Close codes a peer may send (7.4): 1000-1003, 1007-1014, 3000-4999. */
bool ws_close_code_is_valid(int code);
/*
 * XOR with the masking key in place, starting at offset `at` of the payload (5.3); eight bytes at
 * a time.
 */
void ws_unmask(char *p, size_t n, const uint8_t key[4], uint64_t at);

/* --- messages from a client --- */
enum ws_event {
	WS_EV_NONE = 0, /* all input consumed, nothing whole yet */
	WS_EV_MESSAGE,  /* text or binary: opcode, payload */
	WS_EV_PING,
	WS_EV_PONG,
	WS_EV_CLOSE, /* close_code (1005 when empty) and payload = reason */
	WS_EV_ERROR, /* close_code says with what to close; reason text in `text` */
};

struct ws_inflater; /* one a worker; proto/ws_deflate.h */

/*
 * The decoder of one connection. Idle between messages it owns nothing: `partial` is allocated
 * when a message or control frame does not arrive whole and freed when it is done. Zero-initialise
 * through ws_decoder_init.
 */
struct ws_decoder {
	struct ws_partial *partial; /* NULL: nothing is unfinished */
	uint32_t max_message;       /* limits.message: bytes of one message, after inflating */
	bool deflate;               /* permessage-deflate was negotiated: RSV1 is allowed */
};

struct ws_message {
	enum ws_event event;
	enum ws_opcode opcode;
	struct slice payload; /* borrowed until the next call with the same decoder or inflater */
	int close_code;
	const char *text;
};

/* Idle; deflate: permessage-deflate was negotiated. */
void ws_decoder_init(struct ws_decoder *d, uint32_t max_message, bool deflate);
/* Frees what is unfinished. */
void ws_decoder_done(struct ws_decoder *d);

/*
 * Feed bytes; they are unmasked IN PLACE (in is writable memory). Consumes up to the end of the
 * next event.
 *
 * consumed  how many bytes of `in` were used up; call again with the rest
 * out       the event; WS_EV_NONE means that all of `in` was consumed and kept where needed
 * z         the worker's inflater. It also takes over the memory of a message that came in pieces;
 *           NULL when deflate was not negotiated: then the decoder keeps it until the next call
 *
 * UTF-8 of text is checked as it arrives, over fragments (8.1); close reasons too. A message over
 * max_message is WS_CLOSE_TOO_BIG, known from the frame head, before its bytes are stored. After
 * WS_EV_ERROR, WS_EV_CLOSE or -ENOMEM the decoder must not be fed again. Returns 0, or -ENOMEM.
 */
MUST_CHECK int ws_decode(struct ws_decoder *d, char *in, size_t n, struct ws_inflater *z,
    size_t *consumed, struct ws_message *out);
/* Bytes of memory the decoder holds now. */
size_t ws_decoder_memory(const struct ws_decoder *d);

#endif
