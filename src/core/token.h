/*
 * Tokens (RFC 7519; docs/wire.md, "Tokens"): JWTs checked behind guards around libjwt (see
 * token_verify.c), and what they permit. The keyring is immutable and shared by threads; a cache
 * belongs to one worker.
 */
#ifndef CORE_TOKEN_H
#define CORE_TOKEN_H

#include "base/buf.h"
#include "core/claims.h"
#include "core/config.h"

#define TOKEN_MAX 8192 /* bytes of a token */

/* Why a token is not taken (401 invalid_token), in words. */
struct token_refusal {
	/*
	 * short static name of the failing check, for metrics and the log: "signature", "exp",
	 * "aud", …
	 */
	const char *check;
	/*
	 * for people; no " or \ and no control bytes in it; never any part of a token before its
	 * signature held, but the kid that names no key, cleaned and cut
	 */
	char text[320];
	/*
	 * before, text says what was wanted of a token's form and holds nothing of its claims
	 */
	bool signature_held;
};

struct keyring;

/*
 * Load the keys of a configuration: checks lengths (HMAC secrets at least as long as the hash:
 * 32, 48, 64 bytes), refuses HS with a PEM-looking secret, algorithms without a key (unless there
 * is a key set, whose keys may change) and keys without an algorithm. NULL on failure with the
 * reason in error (for `-t`).
 */
MUST_CHECK struct keyring *keyring_new(const struct config_auth *auth, char *error, size_t error_n);
#define TOKEN_GUEST_KEY 32 /* bytes */
/* The key that signs and verifies guest tokens: random at start, kept over reloads by the caller. */
void keyring_set_guest_key(struct keyring *k, const uint8_t key[TOKEN_GUEST_KEY]);
/* Wipes and frees; NULL is fine. */
void keyring_free(struct keyring *k);

/*
 * Verify a token at now_s. 0 and *out owned (one reference), or -EACCES with *why filled, or
 * -ENOMEM.
 */
MUST_CHECK int token_check(const struct keyring *k, const struct config_auth *auth,
    struct slice token, int64_t now_s, struct claims **out, struct token_refusal *why);

struct token_request { /* what `belfryctl token` and guest tokens ask for */
	const char *sub;
	const char *name;
	const char *issuer, *audience; /* NULL or "": left out */
	int64_t iat, exp;
	bool with_grants; /* write the `belfry` claim */
	struct strings subscribe, publish, direct;
	const char *role; /* NULL: none */
};

/* The wire name of an algorithm ("HS256"); alg < ALG_COUNT. */
const char *token_algorithm_name(unsigned alg);

/* Append "name":[…], as a token's claims and what is told of them have it. Failures stick. */
void token_add_list(struct buf *out, const char *name, const struct strings *list);
/*
 * Sign with a config's own key (HMAC secrets only). Owned text, or NULL with the reason in
 * error.
 */
MUST_CHECK char *token_sign(
    const struct config_auth *auth, const struct token_request *r, char *error, size_t error_n);
#define TOKEN_GUEST_ID 64 /* bytes of a guest's user id, with its NUL */
/*
 * A guest token for `guest:<random>` (user_id NULL) or the same id again; it ends at now_s +
 * auth.guest_ttl. name as claims_name_error wants it. Owned text; NULL without memory or with an
 * id or name that will not do. id_out (may be NULL) gets the user id.
 */
MUST_CHECK char *token_sign_guest(const struct keyring *k, const struct config_auth *auth,
    const char *user_id, const char *name, int64_t now_s, char id_out[TOKEN_GUEST_ID]);

/* --- a worker's cache of verified tokens --- */
struct token_cache;
/* max_entries > 0. NULL on no memory. */
MUST_CHECK struct token_cache *token_cache_new(size_t max_entries);
/* NULL is fine. */
void token_cache_free(struct token_cache *t);
/* Drop everything (reload, revocation). */
void token_cache_clear(struct token_cache *t);
/*
 * As token_check, but a token seen before is not verified again (its time claims are). Bounded,
 * least recently used out first. The key is SHA-256 of the token and the generation.
 */
MUST_CHECK int token_cache_check(struct token_cache *t, const struct keyring *k,
    const struct config *c, struct slice token, int64_t now_s, struct claims **out,
    struct token_refusal *why);
/* How many tokens had been seen before, since the cache was made. */
uint64_t token_cache_hits(const struct token_cache *t);

#endif
