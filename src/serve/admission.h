/*
 * Who may open one more WebSocket or stream: connections of an address and of a user, upgrades
 * a second of the whole daemon.
 */
#ifndef SERVE_ADMISSION_H
#define SERVE_ADMISSION_H

#include "core/tally.h"
#include "serve/serve.h"

/* What one connection counts in; part of its endpoint's own struct. */
struct admission {
	struct tally_entry *address; /* NULL: not counted */
	struct tally_entry *user;
};

/* Shared by the workers; the process's. */
struct gate {
	struct tally *addresses;
	struct tally *users;
	struct limiter *upgrades;  /* one key */
	struct limiter *publishes; /* by user */
	struct slow *slow;         /* slow mode of rooms */
};

/* 0; or -ENOMEM, gate_done is due all the same. */
MUST_CHECK int gate_init(struct gate *g);
void gate_done(struct gate *g);

/* Room for anything more at all: limits.connections, limits.memory. 0, or -1 with *why (503). */
MUST_CHECK int admission_room(const struct exchange *x, struct refusal *why);
/* Count it in. 0, or -1 with *why (429, the limit named). */
MUST_CHECK int admission_begin(
    struct exchange *x, const struct claims *claims, struct admission *out, struct refusal *why);
/* Count it out; nothing where it was not counted in. */
void admission_end(struct serve *s, struct admission *a);

#endif
