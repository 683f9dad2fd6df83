/*
 * Listening sockets: bound at start, accepting on the main thread, handing each socket to
 * whoever `accepted` chooses. When descriptors or memory run out, accepting pauses until the next
 * listeners_tick. Main thread.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "net/net.h"

struct listeners;

struct listener_ops {
	void *ctx;
	/* Takes a->fd. */
	void (*accepted)(void *ctx, const struct net_accepted *a);
	/* A listening address, for the log: "127.0.0.1", 8080; or a path, 0. */
	void (*bound)(void *ctx, const char *address, unsigned port);
};

/* Bind all of the configuration's listeners. NULL with the reason in error, as FILE:LINE: text. */
MUST_CHECK struct listeners *listeners_open(const struct config *c, char *error, size_t error_n);
/* Start accepting. 0 or -ENOMEM. */
MUST_CHECK int listeners_start(struct listeners *l, struct event_base *base, struct diag *diag,
    const struct listener_ops *ops);
/* A few times a second: those that had to pause try again. */
void listeners_tick(struct listeners *l);
/* Stop accepting and close; removes socket files. */
void listeners_free(struct listeners *l);

#endif
