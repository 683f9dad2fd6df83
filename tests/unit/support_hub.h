/*
 * A small world without sockets: a log with the memory store, one or two hubs, a clock that only
 * the tests move, and peers (sessions) and streams that write down what they get, as short texts.
 * What they write with is plain malloc, so that failing allocations fail only what is under test.
 *
 * Ids are written as `#n`, n microseconds after the log's beginning: in a world whose clock stands
 * still the first message is #1.
 */
#ifndef TESTS_UNIT_SUPPORT_HUB_H
#define TESTS_UNIT_SUPPORT_HUB_H

#include <check.h>
#include <stdatomic.h>

#include "core/command.h"
#include "core/config.h"
#include "core/hub.h"
#include "core/publish.h"
#include "core/session.h"

#define WORLD_HUBS   2
#define WORLD_NOW_MS INT64_C(1700000000000)

#define WORLD_SCHEDULED      150
#define WORLD_SCHEDULED_USER 100

struct world_rule {
	const char *match;
	uint32_t history;
	uint64_t keep_ms;
	bool presence;
};

enum world_sync {
	WORLD_SYNC_OFF,
	WORLD_SYNC_NORMAL,
	WORLD_SYNC_FULL
};

struct world_options {
	unsigned n_hubs; /* 0: one */
	const struct world_rule
	    *rules; /* NULL: server 0, live 0, one 1, three 3, chat/<any> with presence, all 1000 */
	size_t n_rules;
	uint32_t max_topics;
	uint64_t max_bytes; /* 0: 64 MiB */
	uint64_t max_keys;  /* 0: 1000 */
	uint64_t max_size;  /* of the database; 0: any */
	uint64_t cache;     /* of the database; 0: 64 MiB, or nothing */
	unsigned wal_pages; /* of the database; 0: the usual */
	bool warms_later;   /* the database fills its cache beside the traffic */
	const char *vfs;    /* of the database; NULL: SQLite's own */
	enum world_sync sync;
};

#define WORLD_READS 32

struct world_store {
	struct store store;
	struct store *inner;
	char folder[64]; /* of the database; "": the store in memory */
	bool is_kept;    /* the folder outlives it */
	bool is_hasty;   /* appends are not waited for */
	struct log_read *waiting[WORLD_READS];
	unsigned n_waiting;
	bool is_slow;      /* reads wait until world_answer_reads */
	int status;        /* what reads end with, when negative */
	int append_status; /* what appends end with, later, when negative */
};

struct world {
	struct world_options options;
	struct config *config;
	struct world_store *store;
	struct log *log;
	unsigned n_hubs;
	struct hub hubs[WORLD_HUBS];
	struct counters counters[WORLD_HUBS];
	_Atomic unsigned wakes[WORLD_HUBS];
	int64_t now_ms;
	uint64_t begin;
	bool crashed;
	_Atomic uint64_t n_numbers;
};

/*
 * Whether worlds have their log in a database, as the environment's BELFRY_TEST_STORE says. What
 * the store does on threads of its own is waited for, so that tests see the same as with the one in
 * memory.
 */
bool world_is_sqlite(void);
/*
 * As run_tests, on each of the two stores; memory_only (may be NULL) on the one in memory, as they look
 * at when something happens, or at limits of memory.
 */
int world_run_tests(const char *name, const TTest *const *tests, const TTest *const *memory_only);
/* Wait until the database's writer has nothing to do. */
void world_settle(struct world *w);
/* world_say of the same n times, a turn now and then; what it did is waited for at the end only. */
int world_say_often(struct world *w, const char *topic, const char *text, unsigned n);
/*
 * End the world as a clean stop of the daemon does, and begin it anew on the same database; after a
 * crash on what log.kept and log-wal.kept beside it hold.
 */
bool world_restart(struct world *w);

/* False without memory: then world_done all the same. */
bool world_init(struct world *w, const struct world_options *options);
void world_done(struct world *w);
/* Move the clock. */
void world_pass(struct world *w, int64_t ms);
/* One turn of one hub. */
void world_turn_one(struct world *w, unsigned hub);
/* Its readers only: it takes nothing from the tail. */
void world_read_one(struct world *w, unsigned hub);
/* Turns of all until nothing is left to do. */
void world_turn(struct world *w);
/* Finish the reads that wait. */
void world_answer_reads(struct world *w);
/* The id that is written as `#n`. */
uint64_t world_id(const struct world *w, uint64_t n);

/* What a peer or stream got, since it was last taken. */
struct notes {
	char *text;
	size_t n;
	char *taken; /* the last one handed out */
};

struct peer {
	struct session session;
	struct world *world;
	struct notes notes;
	unsigned room; /* messages its queue takes until it is drained */
	unsigned queued;
	unsigned n_pending_calls;
	bool has_failed;
	bool has_error; /* some refusal */
	bool token_changed;
	bool is_open;
	uint64_t last_id; /* of the last ack */
};

#define PEER_ROOMY 100000

/* Its subscriptions that are no rooms. */
unsigned peer_topics(const struct peer *p);

/*
 * Opens a session of a user (claims as claims_new_local makes them: everything; the id is
 * "local:<name>"). False without memory.
 */
bool peer_open(struct world *w, unsigned hub, struct peer *p, const char *name);
/* The same with other grants: NULL-terminated lists. */
bool peer_open_as(struct world *w, unsigned hub, struct peer *p, const char *name,
    const char *const *subscribe, const char *const *publish);
struct claims *world_claims(
    const char *name, const char *const *subscribe, const char *const *publish);
/* It notes its own messages as they pass in the log, as a chat over SSE does. */
void peer_hear_own(struct peer *p);
void peer_close(struct peer *p, bool lost);
/* Carry out one client message; single quotes stand for double ones. */
void peer_do(struct peer *p, const char *fmt, ...) PRINTF(2, 3);
/* The queue is written out. */
void peer_drain(struct peer *p);
/* Everything noted since the last time, "; " in between. Valid until the next call. */
const char *peer_take(struct peer *p);

struct stream {
	struct subscriber who;
	struct world *world;
	struct notes notes;
	unsigned room;
	unsigned queued;
	bool has_failed;
	bool is_open;
};

/* topics: NULL-terminated. resumed may be NULL. */
bool stream_open(struct world *w, unsigned hub, struct stream *st, const char *const *topics,
    const struct position *from, bool *resumed);
void stream_close(struct stream *st);
void stream_drain(struct stream *st);
const char *stream_take(struct stream *st);

/*
 * Append one message by nobody (no acknowledgement): text on a topic, or an ephemeral one where
 * the rule says so. 0 or negative.
 */
int world_say(struct world *w, const char *topic, const char *text);
/* The same with a time to live in seconds. */
int world_say_ttl(struct world *w, const char *topic, const char *text, unsigned ttl_s);

#endif
