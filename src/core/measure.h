/*
 * Measures: what a moderator or an administrator does to somebody, carried out: written down as a fact
 * where it lasts, then brought to the connections of every worker, then told to who asked. Worker
 * thread only, but for its way from worker to worker.
 */
#ifndef CORE_MEASURE_H
#define CORE_MEASURE_H

#include "core/inbox.h"
#include "core/session.h"

#define MEASURE_SECONDS_MAX ((uint64_t)10 * 365 * 24 * 3600)
#define MEASURE_REASON_MAX  200 /* bytes */
#define MEASURE_TEXT_MAX    512 /* of what those who must leave are told */

enum measure_kind {
	MEASURE_KICK,
	MEASURE_BAN,
	MEASURE_UNBAN,
	MEASURE_MUTE,
	MEASURE_UNMUTE,
	MEASURE_REVOKE_TOKEN, /* user: the jti */
	MEASURE_REVOKE_USER,  /* tokens from before a second */
	MEASURE_UNREVOKE_TOKEN,
	MEASURE_UNREVOKE_USER,
	MEASURE_KINDS
};

/* What is asked for; all slices borrowed. */
struct measure_request {
	enum measure_kind kind;
	struct slice scope; /* a room's topic, or `*`; empty for revocations */
	struct slice user;  /* the user's id; of a token its jti */
	struct slice reason;
	struct slice by;  /* display name of who asks */
	bool is_admin;    /* who asks */
	uint64_t seconds; /* 0: for ever */
	uint64_t before_s;
};

struct measure {
	struct tour tour; /* to every worker's connections */
	enum measure_kind kind;
	bool is_admin;
	struct slice scope; /* these behind the struct */
	struct slice user;
	struct slice by;
	struct slice reason;
	int64_t until_ms; /* 0: for ever */
	uint64_t before_s;
	char text[MEASURE_TEXT_MAX]; /* "kicked by ann: spam" */
	/* results */
	int status;         /* negative: it was not written */
	unsigned n_reached; /* connections that left, lost a topic or ended */
	unsigned n_spared;  /* administrators' connections, which a moderator leaves alone */
	/* called at home, when it is done or has failed; then measure_free */
	void (*done)(struct measure *m);
	void *owner; /* whoever waits */
};

/* The name of a kind: "kick". */
const char *measure_name(enum measure_kind kind);

/*
 * Check what a client sent: the user's id, the reason. 0, or -1 with *why.
 */
MUST_CHECK int measure_check(const struct measure_request *r, struct refusal *why);
/* Begin; done is called later, or -1 with *why and it is not. */
MUST_CHECK int measure_start(struct hub *h, const struct measure_request *r,
    void (*done)(struct measure *m), void *owner, struct refusal *why);
/* NULL is fine. */
void measure_free(struct measure *m);
/* How it ended: 0, or -1 with *why. */
MUST_CHECK int measure_result(const struct measure *m, struct refusal *why);

/* Whether connections have to be visited. */
bool measure_is_live(const struct measure *m);

enum measure_effect {
	MEASURE_NOTHING,
	MEASURE_ENDS,  /* it was in nothing else: close it (4403) */
	MEASURE_TOKEN, /* its token is revoked: end it (4401) */
};
/*
 * Whether it is a ban that holds for this bearer; then its subscriber may be banned from now on
 * (core/moderation.h).
 */
bool measure_bans(const struct measure *m, struct subscriber *s, const struct claims *who);
/* Whether it is about this subscription: a room's topic, or a pattern that may bring one's. */
bool measure_is_about(const struct measure *m, const struct sub *sub);
/* The topic that those are told of who have a pattern. */
struct slice measure_topic(const struct measure *m);
/* What it does to a chat, which has left the room when this returns. */
enum measure_effect measure_apply(struct measure *m, struct session *s);
/* Whether it ends a connection of this bearer; counted. */
bool measure_ends_token(struct measure *m, const struct claims *who);

#endif
