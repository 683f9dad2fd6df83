/*
 * An exchange is one HTTP request being answered. Endpoints see exchanges, not sockets. Worker
 * thread only.
 *
 * Life: net makes it when a head is parsed, calls the router's on_head (refuse early, choose
 * the body limit), collects the body, calls on_request. The handler answers now or later with
 * exchange_reply / exchange_refuse / exchange_stream_start / exchange_upgrade — exactly once;
 * until then the connection reads no further request. `head` and `body` are borrowed and valid
 * only during on_head/on_request: a handler that answers later keeps copies. If the peer goes
 * first, on_gone is called (when set) and later answers are dropped; whoever answers later
 * holds a reference (exchange_hold).
 */
#ifndef NET_EXCHANGE_H
#define NET_EXCHANGE_H

#include <netinet/in.h>

#include "base/buf.h"
#include "base/slice.h"
#include "core/error.h"
#include "proto/http.h"
#include "proto/ws.h"

struct conn;
struct net;

#define EXCHANGE_PEER 64 /* bytes of an address as text */
/* Bytes of the handler's that live as long as the exchange: room for an append. */
#define EXCHANGE_SCRATCH 192
#define EXCHANGE_ROOM    256 /* bytes of headers that need no memory of their own */

struct exchange {
	struct conn *conn; /* NULL when the peer has gone */
	struct net *net;   /* the worker's networking state; net->owner is serve's context */
	const struct http_head *head; /* NULL outside on_head/on_request */
	struct slice body;            /* whole; only in on_request */
	uint64_t body_limit;          /* set by on_head; what is above it is 413 */
	const void *route;            /* the router's: what it found for the head */
	unsigned refs;
	enum http_method method;
	uint8_t minor;   /* HTTP/1.minor */
	bool keep_alive; /* after this answer; a handler may clear it */
	bool is_answered;
	bool has_body;                       /* a body is announced and not read yet */
	uint64_t number;                     /* X-Request-Id, printed as 16 hex digits */
	bool is_unix;                        /* of the connection's peer */
	struct in6_addr address;             /* as the connection has it */
	struct buf headers;                  /* response headers added so far, bounded */
	void (*on_gone)(struct exchange *x); /* the peer went before the answer */
	void *data;                          /* the handler's, for answering later */
	/* from here on nothing is cleared */
	_Alignas(max_align_t) char scratch[EXCHANGE_SCRATCH]; /* the handler's */
	char proxied[EXCHANGE_PEER]; /* the client's address, behind trusted proxies; "": none */
	char room[EXCHANGE_ROOM];    /* where headers begin */
};

/*
 * Add a response header line. A value with control bytes is dropped (never split a response);
 * too many are dropped. Without memory for it there will be no answer.
 */
void exchange_header(struct exchange *x, const char *name, struct slice value);

/* The same for one known to be right: the line with its CRLF. */
void exchange_header_line(struct exchange *x, struct slice line);

/*
 * Answer with a whole body. content_type NULL: none. HEAD and 1xx/204/304 send no body
 * (Content-Length is kept for HEAD). The body is copied.
 */
void exchange_reply(struct exchange *x, int status, const char *content_type, struct slice body);
/* exchange_reply with application/json. */
void exchange_json(struct exchange *x, int status, struct slice json);
/* Problem document with Retry-After and, on 401, WWW-Authenticate already added by the caller. */
void exchange_refuse(struct exchange *x, const struct refusal *r);

/*
 * No answer can be made of what may have been done: the connection ends without one, and nobody
 * takes it for refused.
 */
void exchange_abandon(struct exchange *x);

/* For answering later: adds a reference; returns x. */
struct exchange *exchange_hold(struct exchange *x);
/* Drops one; frees with the last. NULL is fine. */
void exchange_release(struct exchange *x);

/*
 * Who is called in the course of a streamed answer or a WebSocket, with its data. Each may be NULL
 * but on_gone, and a WebSocket's on_message.
 */
struct conn_ops {
	/* A whole text or binary message of a WebSocket; payload is borrowed. */
	void (*on_message)(struct conn *c, void *data, enum ws_opcode opcode, struct slice payload);
	/* The queue has drained below half of its limit: more may be pushed. */
	void (*on_drain)(struct conn *c, void *data);
	/* The deadline set by conn_set_deadline came. */
	void (*on_tick)(struct conn *c, void *data, uint64_t now_ms);
	/* Always called once, last: free data. */
	void (*on_gone)(struct conn *c, void *data);
	/* The daemon is stopping: say goodbye and conn_finish. */
	void (*on_drain_server)(struct conn *c, void *data, uint64_t retry_ms);
	/* Members for the administrator: who it is, what it reads. */
	void (*describe)(void *data, struct buf *out);
	/* What comes by conn_visit. */
	void (*visit)(struct conn *c, void *data, void *what);
};
/*
 * A streamed answer (event streams, big files): sends the head now, with `Connection: close`
 * and no length, or with a length when length >= 0 (then keep-alive holds, and exactly that
 * many bytes must be written). Afterwards the connection belongs to the stream: see net/conn.h
 * (conn_push, conn_finish). The exchange ends with this call. 0; or -1 when the peer has gone, memory
 * is short or the request was a HEAD, which has its answer then: data is still the caller's.
 */
MUST_CHECK int exchange_stream_start(struct exchange *x, int status, const char *content_type,
    int64_t length, const struct conn_ops *ops, void *data);

/*
 * Client address as text (after trusted proxies), for logs and limits; made in `out` when it is asked
 * for, since most requests never do. Borrowed of both.
 */
const char *exchange_peer(const struct exchange *x, char out[EXCHANGE_PEER]);
/*
 * Whoever asks is on this machine: over a loopback listener, and no proxy there asks for somebody
 * elsewhere, or for whom it is not believed. While the request is served (its head is looked at).
 */
bool exchange_is_local(const struct exchange *x);

#endif
