/*
 * The inside of a connection, for net's own files.
 */
#ifndef NET_CONN_PRIVATE_H
#define NET_CONN_PRIVATE_H

#include <event2/event_struct.h>

#include "core/counters.h"
#include "net/conn.h"
#include "net/net.h"
#include "net/outq.h"

/*
 * The life of a connection. HEAD → BODY → ANSWER → HEAD … ; from ANSWER to WS or STREAM when
 * the endpoint says so; every state → FINISH (flush, then a short wait for the peer's end) or
 * DEAD.
 */
#define CONN_STATES(X)                                                                             \
	X(HEAD, "head")     /* waiting for, or in the middle of, a request head */                 \
	X(BODY, "body")     /* reading a request body */                                           \
	X(ANSWER, "answer") /* the endpoint has the request */                                     \
	X(WS, "websocket")                                                                         \
	X(WS_CLOSING, "closing") /* our close frame is sent; the peer's is awaited */              \
	X(STREAM, "stream")                                                                        \
	X(FINISH, "finish")                                                                        \
	X(DEAD, "dead")

enum conn_state {
#define X(name, text) CONN_##name,
	CONN_STATES(X)
#undef X
};
#define CONN_STATE_COUNT (CONN_DEAD + 1)

/* What only a connection that speaks HTTP needs; freed by an upgrade. */
struct conn_http {
	struct exchange *exchange; /* NULL between requests */
	struct http_body body;
	struct buf bytes; /* the body so far, when it did not come whole */
	struct buf head;  /* the head's bytes, kept until the body is whole */
	int64_t left;     /* of a streamed answer with a length: bytes to write */
};

/* Unfinished input. */
struct conn_rest {
	uint32_t n;
	char bytes[];
};

/* Members are placed so that an idle connection is small: see the assertion below. */
struct conn {
	struct event event;
	/* what a delivery touches, together */
	struct outq out;
	struct net *net;
	STAILQ_ENTRY(conn) dirty; /* net->dirty; one that is closed stays in it until its turn */
	uint8_t state : 4;        /* enum conn_state */
	uint8_t kind : 2;         /* its gauge, counted from COUNTER_CONN_HTTP */
	bool has_upgraded : 1;    /* there is a decoder in place of `http` */
	bool tells_slow : 1;      /* a doomed WebSocket is told that it was too slow */
	uint8_t why;              /* enum close_reason once it ends */
	bool is_dirty : 1;
	bool is_doomed : 1;   /* closed at the end of the turn: `why` */
	bool is_held : 1;     /* the endpoint wants nothing more to be read */
	bool wants_write : 1; /* the last write was not complete */
	bool was_full : 1;    /* on_drain is owed */
	bool ends_soon : 1;   /* conn_finish at the end of the turn */
	bool has_length : 1;  /* a streamed answer with a length: ends by itself */
	bool keep_alive : 1;  /* … and the connection goes on */
	bool is_unix : 1;
	bool is_extra : 1; /* above limits.connections */
	bool on_loopback : 1;
	bool saw_end : 1;    /* the peer has ended its side */
	bool came_early : 1; /* input arrived while it was answering, and waits in the socket */
	bool is_resumed : 1; /* its event is active for the sake of `rest` */
	bool has_begun : 1;  /* a part of a request head is there: its deadline runs */
	/* took nothing of its queue since limits.memory was last looked after */
	bool has_stalled : 1;
	uint32_t input;             /* bytes of unfinished input that are counted in net->memory */
	struct conn_rest *rest;     /* NULL: none */
	const struct conn_ops *ops; /* of a stream or a WebSocket */
	void *data;
	struct wheel_entry timer; /* its seen_s: monotonic second of the last sign of life */
	TAILQ_ENTRY(conn) all;    /* net->conns, then net->dead */
	union {                   /* by has_upgraded */
		struct conn_http *http;
		struct ws_decoder decoder;
	};
	uint64_t number;
	/* of the peer, v4-mapped; a Unix peer's uid, gid and listener in its first three words */
	struct in6_addr address;
};

/*
 * 600 bytes for an idle connection joined to a room is the target (docs/performance.md); this is
 * its largest part: with the allocator's head 288.
 */
_Static_assert(sizeof(struct conn) <= 280, "an idle connection must stay small");
_Static_assert(CONN_STATE_COUNT <= 16, "a state fits its bits");
_Static_assert(COUNTER_CONN_CHAT_SSE - COUNTER_CONN_HTTP == 3, "a kind fits its bits");

static inline uint32_t
conn_rest_n(const struct conn *c)
{
	return c->rest == NULL ? 0 : c->rest->n;
}

/* The gauge that counts it. */
static inline enum counter
conn_kind(const struct conn *c)
{
	return (enum counter)(COUNTER_CONN_HTTP + c->kind);
}

/* Unfinished input that is kept, in bytes: there is always room to read more. */
#define REST_MAX (NET_READ_BUFFER - 16 * 1024)
/* Bytes of unfinished input that everybody may have, whatever limits.memory says. */
#define INPUT_SPARED 4096
#define READ_SPARED  2048 /* bytes that are read at once above limits.memory */
#define STALLED_MS   30000
/* So much of limits.memory (1/8) is for unfinished input, whatever the queues take. */
#define INPUT_SHARE 8

/* --- conn_memory.c --- */
/* Count what it holds of unfinished input anew: after anything that takes or frees some. */
void conn_count_input(struct conn *c);
/*
 * As conn_count_input, after reading. Above limits.memory one whose unfinished input has grown is
 * turned away: a request with 503, a WebSocket with 1013.
 */
void conn_check_input(struct conn *c);
/*
 * Above limits.memory, each STALLED_MS: who has taken nothing of a queue since the last time is
 * let go, or would keep others out for ever.
 */
void conn_drop_stalled(struct net *n);

/* --- conn.c --- */
/* Change the state; it must be one that may follow (CONN_STATES). */
void conn_enter(struct conn *c, enum conn_state to);
/* Wait for what the state and the flags say: reading, writing, or neither. */
void conn_update_events(struct conn *c);
/* Look at input that waits in `rest` again, soon. */
void conn_resume(struct conn *c);
/* Write what the socket takes; ends what is doomed, or done when its queue is empty. May close c. */
void conn_flush(struct conn *c);
/* Its deadline has come. */
void conn_tick(struct conn *c);
/* A dead one, when the turn ends. */
void conn_free(struct conn *c);
/* Who is to be called in STREAM, and in WS. */
/* Who is called for a stream or a WebSocket; NULL in any other state. */
const struct conn_ops *conn_ops_of(const struct conn *c);
/* Tell the endpoint that its connection is gone. */
void conn_tell_gone(struct conn *c);

/* --- conn_who.c --- */
/* An address as conn_peer says it. */
const char *conn_peer_text(bool is_unix, const struct in6_addr *address, char out[EXCHANGE_PEER]);

/* --- conn_http.c --- */
/* Take what a head or body needs of the input; returns the bytes used. */
size_t conn_http_input(struct conn *c, char *in, size_t n);
/* The exchange is over: wait for the next request, or end. */
void conn_http_answered(struct conn *c, bool keep_alive);
/* The deadline of HEAD, BODY or ANSWER has come. */
void conn_http_timeout(struct conn *c);
/* Refuse what is being received, a head or a body, and end. */
void conn_http_refuse(struct conn *c, const struct refusal *why);
/* The peer has gone: tell the exchange, if there is one. */
void conn_http_gone(struct conn *c);
/* Free what only HTTP needs. */
void conn_http_free(struct conn *c);
/* limits.idle_timeout from now, for the next request. */
void conn_http_expect(struct conn *c);
/* limits.request_timeout from now, for a head or a body. */
void conn_http_hurry(struct conn *c);

/* --- conn_ws.c --- */
/* Decode frames and hand the messages on; returns the bytes used. Unmasks in place. */
size_t conn_ws_input(struct conn *c, char *in, size_t n);
/* Say why in a close frame and end at once: nothing more of the peer is looked at. */
void conn_ws_fail(struct conn *c, int code, const char *text, enum close_reason why);

/* --- net.c --- */
/* A stream or WebSocket is told that the server stops; others are left alone. */
void net_say_goodbye(struct conn *c);

/* --- exchange.c --- */
/* One reference; head NULL: it could not be read. NULL on no memory. */
struct exchange *exchange_new(struct conn *c, const struct http_head *head);

#endif
