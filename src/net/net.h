/*
 * Networking of one worker: its event base, connections, timer wheel, shared read buffer, dirty
 * list. Made by daemon/worker, driven by its loop: event_base_loop, then net_turn. Worker
 * thread only.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <event2/event.h>

#include "base/list.h"
#include "core/config.h"
#include "net/exchange.h"
#include "net/wheel.h"

#define NET_READ_BUFFER (256 * 1024) /* with 64 KiB, messages of 16 KiB cost 1.9 times the floor */
#define NET_FLUSH_SLICE 128 /* connections flushed before the sockets are looked at again */
#define NET_COMMON_HEAD 128 /* bytes of net_common_head */

struct diag;
struct counters;
struct ws_inflater;
struct ws_deflater;

TAILQ_HEAD(conn_list, conn);
STAILQ_HEAD(conn_queue, conn);

struct net {
	struct event_base *base;
	struct config *config; /* the current one; replaced by net_set_config */
	struct diag *diag;
	struct counters *counters;
	void *owner; /* serve's context */
	void (*on_head)(struct exchange *x);
	void (*on_request)(struct exchange *x);
	struct wheel wheel;
	void (*on_clock)(struct net *n); /* the clocks were read: let the domain know */
	bool has_clock;                  /* read in this turn */
	uint64_t now_ms;                 /* monotonic, of this turn */
	uint64_t now_us;                 /* wall clock, of this turn */
	uint64_t mono_us;                /* monotonic */
	char common[NET_COMMON_HEAD];    /* net_common_head's */
	size_t common_n;                 /* bytes of it */
	int64_t date_s;                  /* the second that it tells; 0: none yet */
	char *read_buffer;
	struct http_head *head; /* scratch for parsing */
	struct conn_list conns;
	struct conn_queue dirty;
	struct conn_list dead;
	size_t n_conns;
	uint32_t n_requests;
	uint64_t next_number; /* connection numbers: worker index in the top byte */
	size_t memory;        /* bytes in queues and unfinished input of this worker */
	size_t memory_limit;  /* what it may have of limits.memory: what the others leave */
	size_t queued;        /* bytes waiting in its queues */
	size_t input;         /* of memory: unfinished input */
	unsigned n_workers;   /* that divide limits.memory; 1 until said otherwise */
	uint64_t looked_ms;   /* when stalled readers were last looked for */
	bool is_draining;
	uint32_t drain_spread_ms;
	struct ws_inflater *inflater;
	struct ws_deflater *deflater;
};

/*
 * Shares config; base and counters must outlive n. The caller then sets diag, owner and the on_…. 0 or
 * -ENOMEM.
 */
MUST_CHECK int net_init(struct net *n, struct event_base *base, unsigned worker,
    struct config *config, struct counters *counters);
/* Closes what is open, each with its on_gone. */
void net_done(struct net *n);
/* The configuration of a reload; shares it. */
void net_set_config(struct net *n, struct config *config);
/* Read the clocks. */
void net_clock(struct net *n);
/* First thing of every event callback: the clocks of this turn, read once. */
static inline void
net_begin(struct net *n)
{
	if (!n->has_clock)
		net_clock(n);
}

/*
 * The lines that begin every answer, of which the last one, X-Request-Id, waits for its value; made
 * once a second, with the time of this turn. Borrowed until the next call.
 */
struct slice net_common_head(struct net *n);

struct net_accepted { /* a socket handed over by the listener's thread */
	int fd;
	struct in6_addr address; /* peer, v4-mapped; zero for Unix sockets */
	bool is_unix;
	bool is_extra; /* above limits.connections: to be refused whatever it asks */
	/* the listener's own address is loopback: `hosts` default, /metrics */
	bool is_loopback_listener;
	uint32_t uid, gid; /* of a Unix peer */
	unsigned listener; /* index in the configuration */
};
/* Takes fd, even on failure. */
void net_adopt(struct net *n, const struct net_accepted *a);

/*
 * End of a loop turn: run due deadlines, flush up to NET_FLUSH_SLICE dirty connections, free
 * the dead. Returns true when dirty connections are left: then loop without waiting.
 */
bool net_turn(struct net *n);

/* More is waiting than limits.memory allows: queues shrink, and who asks for more is refused. */
static inline bool
net_is_full(const struct net *n)
{
	return n->memory > n->memory_limit;
}
/* Is the address one of trusted_proxies? */
bool net_is_trusted(const struct net *n, const struct in6_addr *address);

/*
 * Start the drain: every stream and WebSocket is told with its own retry hint spread over
 * spread_ms; idle HTTP connections close.
 */
void net_drain(struct net *n, uint64_t spread_ms);

#endif
