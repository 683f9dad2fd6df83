/*
 * Facts: what stays true until somebody takes it back or its time is over: who is banned or muted
 * where, which tokens are revoked. A small table, whole in memory and kept by the store, written like a
 * message: an append that says so, in force when it is committed. Any thread.
 */
#ifndef CORE_FACTS_H
#define CORE_FACTS_H

#include "core/log.h"

#define FACTS_MAX        100000 /* facts at most; what has ended goes first */
#define FACT_SCOPE_MAX   200    /* bytes */
#define FACT_SUBJECT_MAX 256
#define FACT_BY_MAX      128
#define FACT_TEXT_MAX    200

enum fact_kind { /* kept by the store: numbers are for ever */
	FACT_BAN = 1,
	FACT_MUTE = 2,
	FACT_TOKEN = 3,  /* a revoked token; subject: its jti */
	FACT_TOKENS = 4, /* a user's revoked tokens; number: those from before this second */
	FACT_READ = 5,   /* how far a user has read; number: a message's id. core/read_marker.c */
	FACT_KINDS
};

/* Slices are borrowed. Subject and scope are not longer than above, and the scope has no NUL. */
struct fact {
	enum fact_kind kind;
	struct slice scope;   /* a room's topic, or `*` for all; empty where there is none */
	struct slice subject; /* user id, or jti */
	struct slice by;      /* display name of who said so */
	struct slice text;    /* the reason */
	uint64_t number;
	int64_t since_ms; /* wall clock */
	int64_t until_ms; /* 0: for ever */
};

/* A fact that was found, with its texts. */
struct fact_found {
	uint64_t number;
	int64_t since_ms;
	int64_t until_ms;
	struct slice by; /* both in texts */
	struct slice text;
	char texts[FACT_BY_MAX + FACT_TEXT_MAX];
};

/* A fact on its way to be written: an append_item's. */
struct fact_write;

/*
 * An append that makes f true, in place of what was true of the same kind, scope and subject, for
 * log_append. NULL with *status -ENOMEM, or -EDQUOT when there are FACTS_MAX.
 */
MUST_CHECK struct append *fact_put(struct log *l, const struct fact *f, int *status);
/* The same that takes one back. NULL with *status -ENOENT, -ENOMEM. */
MUST_CHECK struct append *fact_end(
    struct log *l, enum fact_kind kind, struct slice scope, struct slice subject, int *status);

/*
 * Whether there may be a fact of this kind about the subject: no lock, and false nearly always when
 * there is none, so that asking before every message costs nothing.
 */
bool fact_concerns(const struct log *l, enum fact_kind kind, struct slice subject);
/* The fact that is true at now_ms. out may be NULL. */
bool fact_find(struct log *l, enum fact_kind kind, struct slice scope, struct slice subject,
    int64_t now_ms, struct fact_found *out);
/* Walk those of a kind that are true, the oldest first, under the table's lock, until each says no. */
void fact_each(struct log *l, enum fact_kind kind, int64_t now_ms,
    bool (*each)(const struct fact *f, void *ctx), void *ctx);

/* --- for the log and its stores --- */
struct facts;
/* An empty table, the log's; NULL on no memory. */
MUST_CHECK struct facts *facts_new(void);
/* NULL is fine; nothing may be on its way to be written. */
void facts_free(struct facts *t);
/* Forget those that have ended; their rows are the store's to forget. */
void facts_sweep(struct facts *t, int64_t now_ms);
/* One that a store has kept: at its start. 0 or -ENOMEM. */
MUST_CHECK int facts_load(struct facts *t, const struct fact *f);
struct markers;
/*
 * A fact that is true in memory by another's doing and only to be written; is_end: its row goes. What
 * could not be written is told by markers_unwritten. NULL on no memory.
 */
MUST_CHECK struct fact_write *fact_write_new(
    struct markers *owner, const struct fact *f, bool is_end);
/* An append that writes n of them, which it takes; NULL on no memory, and they stay the caller's. */
MUST_CHECK struct append *fact_append(struct fact_write **writes, unsigned n);
/* What is to be written, borrowed from w; true: that it is so no more. */
bool fact_write_get(const struct fact_write *w, struct fact *out);
/* It was committed (status 0), or it was not. Takes w; NULL is fine. */
void fact_write_settle(struct fact_write *w, int status);

#endif
