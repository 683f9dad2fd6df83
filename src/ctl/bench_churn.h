/*
 * belfryctl bench churn: clients that join, talk, leave and come back at random, each message
 * accounted for. bench_churn.c does it and checks what can be checked at once: each message has one
 * id for everybody, the ids of a room grow for each reader, acks in between at their place.
 * bench_churn_check.c counts at the end: who has been in a room, and resumed after each absence,
 * has to have all of its messages since the first time. Ids that grow, all of them of messages that
 * were sent there, and as many as there are: so it is each of them once.
 */
#ifndef CTL_BENCH_CHURN_H
#define CTL_BENCH_CHURN_H

#include "ctl/bench.h"

#define CHURN_PLACES  4  /* rooms of a client */
#define CHURN_PENDING 32 /* messages of a client without an ack: the daemon reads no more than 64 */

enum churn_state {
	CHURN_OUT,
	CHURN_JOINING,
	CHURN_IN,
	CHURN_LEAVING
};

/* What a client knows of one of its rooms. */
struct churn_place {
	uint32_t room;
	uint8_t state;
	bool is_level;     /* what was stored has come */
	uint64_t due_ns;   /* out: when to come back */
	uint64_t start;    /* everything above this id it must have; 0: never been there */
	uint64_t cursor;   /* the last id delivered */
	uint64_t latest;   /* of the last join: stored messages go up to there */
	uint64_t order;    /* the highest id of this stay, acks included */
	uint64_t received; /* messages of others */
	uint64_t own;      /* messages of its own above start; counted at the end */
};

struct churn_client {
	uint64_t due_ns;  /* away: when to come back */
	uint64_t pending; /* a list of messages without an ack: number + 1; 0: none */
	size_t n_pending;
};

struct churn_sent {
	uint64_t id; /* 0: not known yet */
	uint64_t sent_ns;
	uint64_t next; /* in the client's list */
	uint32_t place;
};

struct churn_id {
	uint32_t room;
	uint64_t id;
};

struct churn {
	uint64_t dice;
	uint64_t run; /* in the keys: those of the run before are still known */
	uint64_t all; /* of so many events … */
	uint64_t cut_share;
	uint64_t leave_share; /* from cut_share to here; the rest are messages */
	uint64_t interval_ns; /* between events */
	uint64_t looked_ns;
	uint64_t heard_ns; /* when something came */
	double seconds;
	bool is_ending;
	struct churn_client *clients;
	struct churn_place *places; /* CHURN_PLACES of each client */
	struct churn_sent *sent;    /* by number */
	uint64_t n_sent;
	uint64_t max_sent;
	size_t hint;
	char room_marker[96];
	uint64_t deliveries;
	uint64_t replayed;
	uint64_t acks;
	uint64_t duplicates; /* acks that say so */
	uint64_t joins;
	uint64_t leaves;
	uint64_t cuts;
	uint64_t losses; /* connections that the daemon ended, or did not take */
	uint64_t wrong;  /* two ids of a message, an ack nobody waits for, a resume that was none */
	struct bench_faults faults;
	struct bench_series memory;
};

/*
 * Whether everybody has everything: all are there, nothing waits for an ack, no message is missing.
 */
bool churn_is_over(const struct bench *b, struct churn *k);
/* 0, or EX_SOFTWARE: not every message is accounted for. */
MUST_CHECK int churn_report(struct bench *b, struct churn *k);

#endif
