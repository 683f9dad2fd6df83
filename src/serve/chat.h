/*
 * What the two transports of a chat share: the session with its format, its deadlines, and the
 * first steps of GET /chat. Worker thread only.
 */
#ifndef SERVE_CHAT_H
#define SERVE_CHAT_H

#include "core/command.h"
#include "core/session.h"
#include "net/conn.h"
#include "serve/admission.h"
#include "serve/lifetime.h"
#include "serve/query.h"
#include "serve/serve.h"

enum chat_format {
	CHAT_JSON,
	CHAT_TEXT,
	CHAT_RAW
};

#define CHAT_ID_SIZE 36 /* session id: two hex digits of the worker, 32 random ones, a NUL, spare */

struct chat {
	struct session session; /* its subscriber's outlet is the connection */
	struct admission admission;
	struct lifetime lifetime;
};
_Static_assert(sizeof(struct chat) <= 152, "an idle chat must stay small");

static inline struct conn *
chat_conn(const struct chat *c)
{
	return c->session.who.outlet;
}

static inline enum chat_format
chat_format(const struct chat *c)
{
	unsigned form = c->session.who.form;

	if (form == FORM_WS_RAW)
		return CHAT_RAW;
	return form == FORM_WS_TEXT || form == FORM_CHAT_SSE_TEXT ? CHAT_TEXT : CHAT_JSON;
}

/* What GET /chat asks for. */
struct chat_request {
	struct buf room; /* n == 0: none */
	struct buf name;
	struct position from;
	enum chat_format format;
};

/* Frees what chat_request_read has made. */
void chat_request_done(struct chat_request *r);
/*
 * Reads room, name, format and where to begin: last and after, of an event stream also what an
 * EventSource says of its cursor. 0, or -1 with *why.
 */
MUST_CHECK int chat_request_read(
    struct exchange *x, bool is_stream, struct chat_request *out, struct refusal *why);
/*
 * Whether the room may be read, and a guest not taken for somebody else, so that a refusal comes
 * before the upgrade. 0, or -1 with *why.
 */
MUST_CHECK int chat_check_room(const struct hub *h, const struct chat_request *r,
    const struct claims *claims, struct refusal *why);

/* Fresh, unguessable. */
void chat_new_id(unsigned worker, char out[CHAT_ID_SIZE]);

/* When two heartbeats without a sign of life are over, in monotonic ms; of a WebSocket. */
uint64_t chat_silent_at(const struct chat *c);
/*
 * When the connection must be looked at next, in monotonic ms: the next beat, the token's
 * warning or end, the end of a peer that is silent.
 */
uint64_t chat_next_deadline(const struct chat *c);
/* has_room, push and fail of subscriber_ops, the same for both transports. */
bool chat_has_room(struct subscriber *who);
void chat_push(struct subscriber *who, struct wire *w);
void chat_fail(struct subscriber *who);

/* serve_note_refusal for what a chat is told. */
const struct refusal *chat_note_refusal(
    const struct chat *c, const struct refusal *r, struct refusal *veiled);
/*
 * What format=text has to say of the daemon's own message of this type: gaps, farewells. json
 * has its reason. Nothing is appended of all others. 0, or negative (buf).
 */
MUST_CHECK int chat_text_line(struct buf *out, const char *type, struct slice json);
/* The same of a refusal: `! code: text`, on one line; a failure sticks to out. */
void chat_text_refusal(struct buf *out, const struct refusal *r);

/* Looks at the token: says `expiring` when it is time. False when it has ended. */
bool chat_token_lives(struct chat *c);

/* Answers an upgrade request that is none: by name, with what a WebSocket client looks for. */
void chat_refuse_handshake(struct exchange *x, int error);
/* GET /chat of who accepts an event stream; chat_sse.c. */
void serve_chat_sse(struct exchange *x);

#endif
