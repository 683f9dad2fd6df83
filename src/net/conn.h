/*
 * Connections of one worker: a socket with a plain event, an output queue of shared wires, one
 * state, one deadline on the timer wheel. Worker thread only; a connection never changes its
 * worker.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include "base/buf.h"
#include "core/counters.h"
#include "core/wire.h"
#include "net/exchange.h"
#include "proto/ws.h"

/* Why a connection ended: one name each, counted and logged once. */
#define CLOSE_REASONS(X)                                                                           \
	X(PEER, "peer")   /* the peer closed in good order */                                      \
	X(RESET, "reset") /* reset, broken pipe, abrupt end */                                     \
	X(DONE, "done")   /* answered with Connection: close, stream ended */                      \
	X(BAD_REQUEST, "bad_request")                                                              \
	X(PROTOCOL, "protocol") /* WebSocket protocol violation */                                 \
	X(TOO_BIG, "too_big")                                                                      \
	X(TIMEOUT, "timeout") /* head, body or answer took too long */                             \
	X(IDLE, "idle")       /* keep-alive connection without a request */                        \
	X(NO_LIFE, "no_life") /* no sign of life for two heartbeats */                             \
	X(TOKEN, "token_ended")                                                                    \
	X(KICKED, "kicked")                                                                        \
	X(RATE, "rate")                                                                            \
	X(SLOW, "slow") /* a raw reader too slow */                                                \
	X(NO_MEMORY, "no_memory")                                                                  \
	X(LIMIT, "limit")                                                                          \
	X(SHUTDOWN, "shutdown")

enum close_reason {
#define X(name, text) CLOSE_##name,
	CLOSE_REASONS(X)
#undef X
	CLOSE_REASON_COUNT,
};

/*
 * Queue a wire (shares it: adds a reference) and mark the connection dirty; the bytes leave at
 * the end of the loop turn. Never blocks. The queue's limit is the caller's to look at
 * (conn_has_room) for what can be read again later; answers are always taken. 0, or -ENOMEM:
 * then the connection is closed at the end of the turn.
 */
int conn_push(struct conn *c, struct wire *w);
/* Copies bytes into a wire of their own and pushes it. */
int conn_push_bytes(struct conn *c, struct slice bytes);
/*
 * Queued bytes below limits.queue. One message always fits an empty queue. Whoever is told no
 * hears on_drain later.
 */
bool conn_has_room(struct conn *c);

/* Flush what is queued, then close in good order (streams; WebSocket after its close frame). */
void conn_finish(struct conn *c, enum close_reason why);
/* As conn_finish(DONE), but at the end of the turn. */
void conn_end_soon(struct conn *c);
/* Close now. Freed at the end of the loop turn; callbacks get their on_gone at once. */
void conn_close(struct conn *c, enum close_reason why);

/*
 * Close at the end of the turn: from within a delivery, where nothing may be called back. The first
 * reason counts.
 */
void conn_fail(struct conn *c, enum close_reason why);

/*
 * One deadline for each connection, in monotonic ms (1 s resolution, spread by the wheel); 0:
 * none. On it the state's on_tick is called.
 */
void conn_set_deadline(struct conn *c, uint64_t at_ms);

struct net *conn_net(const struct conn *c);
/* Unique in the process, never reused; the administrator's id of it. */
uint64_t conn_number(const struct conn *c);
/* The socket's peer as text: an address, or "unix:uid=1000". Returns out. */
const char *conn_peer(const struct conn *c, char out[EXCHANGE_PEER]);
/*
 * Came over a Unix socket: *listener is its index in the configuration, *uid and *gid are the
 * peer's. Else false, nothing set.
 */
bool conn_is_unix(const struct conn *c, unsigned *listener, uint32_t *uid, uint32_t *gid);
/*
 * Above limits.connections: everything is refused, but a stream is turned away in its own words.
 */
bool conn_is_extra(const struct conn *c);
/* The listener's own address is a loopback address (false for Unix sockets). */
bool conn_on_loopback_listener(const struct conn *c);
/* The socket's peer itself is one of trusted_proxies: its X-Forwarded-* headers count. */
bool conn_from_trusted_proxy(const struct conn *c);

/* Which gauge of open connections it stands in: one of COUNTER_CONN_…. */
void conn_set_kind(struct conn *c, enum counter kind);
/* Monotonic ms (to the second) of the last bytes read or written. */
uint64_t conn_last_seen_ms(const struct conn *c);
/* Names of enum close_reason, CLOSE_REASON_COUNT of them. */
const char *const *conn_reason_names(void);

/* --- administration --- */
/* A JSON object about it, appended: id, kind, peer, queued, and what its endpoint says. */
int conn_describe(const struct conn *c, struct buf *out);
/* Let its endpoint look at `what`, which may end it; nothing where it does not. */
void conn_visit(struct conn *c, void *what);
/* End it on the administrator's word: a WebSocket with 4403, others at once. */
void conn_end_by_admin(struct conn *c);
/* The open connection of that number; NULL: none. */
struct conn *net_find(struct net *n, uint64_t number);
/* Calls each for every open connection until it returns false; each may end it. */
void net_each(struct net *n, bool (*each)(struct conn *c, void *ctx), void *ctx);

/* --- WebSocket --- */
/*
 * Answer 101 and hand the connection to ops (after exchange_header calls for what else the
 * answer needs). max_message: limits.message. 0, or -1 when the peer has gone.
 */
MUST_CHECK int exchange_upgrade(struct exchange *x, const struct ws_handshake *hs, bool deflate,
    uint32_t max_message, const struct conn_ops *ops, void *data);
/*
 * Send a close frame with that code, and as much of the reason as it has room for, and end (waits
 * briefly for the peer's).
 */
void conn_ws_close(struct conn *c, int code, struct slice reason, enum close_reason why);
/*
 * Too slow to get every frame: says so (1013) and ends, as conn_ws_close, but at the end of the turn,
 * for this may be within a delivery.
 */
void conn_fail_slow(struct conn *c);
/*
 * Queue one message in a frame of its own; payload is copied. is_compressed: it went through ws_deflate.
 * Without memory the connection ends.
 */
void conn_ws_send(struct conn *c, enum ws_opcode opcode, bool is_compressed, struct slice payload);
/* A ping without payload. */
void conn_ws_ping(struct conn *c);
/* While true the socket is not read (too many unanswered requests, full queue). */
void conn_hold_reading(struct conn *c, bool hold);

#endif
