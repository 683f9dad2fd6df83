/*
 * Claims: what a verified token says of its bearer, and what it permits. They belong to one worker.
 */
#ifndef CORE_CLAIMS_H
#define CORE_CLAIMS_H

#include "base/slice.h"
#include "core/config.h"

#define TOKEN_SUB_MAX  128 /* bytes of a user id */
#define TOKEN_NAME_MAX 128 /* bytes of a display name */

/*
 * Later ends of a token are taken for this one (the year 9999), so that arithmetic on it cannot
 * overflow.
 */
#define TOKEN_EXP_MAX 253402300799

enum role {
	ROLE_USER,
	ROLE_MODERATOR,
	ROLE_ADMIN
};
/* "user", "moderator", "admin". */
const char *claims_role_name(enum role role);

/*
 * What a verified token says. One block of memory, immutable but for name_key; counted without
 * atomics: every claims object belongs to one worker.
 */
struct claims {
	unsigned refs;
	char *user_id; /* sub */
	char *name;    /* display name; the id when the token has none (then has_name is false) */
	/*
	 * "user/<encoded id>"; over TOPIC_MAX bytes, so no topic, for a long id full of
	 * percent-encoded bytes
	 */
	char *user_topic;
	bool has_name;
	bool is_guest;
	enum role role;
	int64_t exp;              /* unix seconds, 0: none; its connections end at exp + leeway */
	int64_t nbf;              /* 0: none */
	int64_t iat;              /* 0: none */
	char *jti;                /* NULL: none */
	struct strings subscribe; /* patterns, {sub} put in, valid */
	struct strings publish;
	struct strings direct; /* user id patterns: `*` or literal ids */
	char *name_key;        /* claims_name_key's, made at the first need; owned */
};

/* Adds a reference; returns c. */
struct claims *claims_ref(struct claims *c);
/* Drops one; frees with the last. NULL is fine. */
void claims_unref(struct claims *c);
/* name_key (core/name.h) of its name; absent when there is none, or no memory for it. */
struct slice claims_name_key(struct claims *c);

/* May the bearer read this pattern (contained in one granted pattern)? */
bool claims_may_subscribe(const struct claims *c, struct slice pattern);
/* May the bearer publish on this topic? `server/…` never. */
bool claims_may_publish(const struct claims *c, struct slice topic);
/* May the bearer write to this user directly? */
bool claims_may_direct(const struct claims *c, struct slice user_id);

/*
 * NULL when a display name will do (1..128 bytes of UTF-8 without control characters), else
 * what is wrong, as "is empty".
 */
const char *claims_name_error(struct slice name);
/* The same for a user id. */
const char *claims_sub_error(struct slice sub);

/*
 * Make claims without a token: the peer of a local socket (`local:<name>`, admin), or tests.
 * NULL on no memory.
 */
MUST_CHECK struct claims *claims_new_local(const char *user_name, enum role role);

/* A number of its user, the same for all of his tokens; others may have it, too. 0: c is NULL. */
uint64_t claims_number(const struct claims *c);

#endif
