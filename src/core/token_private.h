/*
 * What the files of the token check share: refusing in words, the signature, and claims under
 * construction. Nothing else includes it.
 */
#ifndef CORE_TOKEN_PRIVATE_H
#define CORE_TOKEN_PRIVATE_H

#include <cjson/cJSON.h>
#include <openssl/types.h>

#include "base/buf.h"
#include "core/token.h"

#define TOKEN_PEM_MAX    16384 /* bytes of a public key as text */
#define TOKEN_SECRET_MAX 65536 /* bytes */

#define TOKEN_GUEST_PREFIX "guest:"
#define TOKEN_LOCAL_PREFIX "local:"

/* Sets of enum config_algorithm: the families, each with keys of its own kind. */
#define TOKEN_HS (1u << ALG_HS256 | 1u << ALG_HS384 | 1u << ALG_HS512)
#define TOKEN_RS (1u << ALG_RS256 | 1u << ALG_RS384 | 1u << ALG_RS512)
#define TOKEN_ES (1u << ALG_ES256 | 1u << ALG_ES384 | 1u << ALG_ES512)

/* One key of a key set. */
struct token_key {
	char *kid;           /* NUL-terminated; NULL: none */
	unsigned algorithms; /* of auth.algorithms those it is good for; perhaps none */
	char *bytes;         /* HMAC secret, or public key in PEM */
	size_t n;
};

/* Immutable once it is published. */
struct keyring {
	unsigned algorithms; /* bit set of enum config_algorithm: those with a key */
	uint8_t *secret;     /* of the HS algorithms */
	size_t secret_n;
	char *pem; /* public key of the RS and ES algorithms, as OpenSSL writes it */
	size_t pem_n;
	unsigned pem_algorithms;
	struct token_key *keys; /* of the key set */
	size_t n_keys;
	bool has_guest_key;
	uint8_t guest_key[TOKEN_GUEST_KEY];
};

static inline bool
token_is_hmac(unsigned alg)
{
	return alg <= ALG_HS512;
}

/* --- token_key.c: what keys from any source must be --- */

/* Fills error, cut where it does not fit; returns -1. */
int token_key_complain(char *error, size_t error_n, const char *fmt, ...) PRINTF(3, 4);
/* Which HS algorithms a secret of n bytes is long enough for; none below 32. */
unsigned token_key_secret_algorithms(size_t n);
/* Whether it is PEM text: everybody has a public key, which as a secret would let everybody sign. */
bool token_key_looks_public(struct slice secret);
/*
 * The algorithms a public key is good for; what gets its description. 0: none, or an RSA key below
 * 2048 bits.
 */
unsigned token_key_algorithms(const EVP_PKEY *key, char *what, size_t what_n);
/*
 * The key as libjwt reads it: what it was checked as is what is used. *out is owned and
 * NUL-terminated; -1 without memory.
 */
MUST_CHECK int token_key_write(EVP_PKEY *key, char **out, size_t *out_n);

#define TOKEN_MAC_MAX 64 /* bytes: SHA-512's */
/* HMAC of bytes by an HS algorithm's hash into out. Its length, or negative. */
MUST_CHECK int token_mac(
    unsigned alg, struct slice key, struct slice bytes, uint8_t out[TOKEN_MAC_MAX]);

/*
 * The one use of libjwt (token_verify.c). token is NUL-terminated and of checked form; key is what
 * alg needs: HMAC secret or PEM text.
 *
 * Returns 0 when the signature holds, -EACCES when not, -ENOMEM.
 */
MUST_CHECK int token_verify(unsigned alg, struct slice key, const char *token);

/* Fill *why; returns -EACCES. */
int token_refuse(struct token_refusal *why, const char *check, bool signature_held, const char *fmt,
    ...) PRINTF(4, 5);
#define TOKEN_CLEAN 68 /* bytes, with the NUL */
/* A copy of s for a refusal: printable ASCII without quotes and backslashes, cut. Returns out. */
const char *token_clean(struct slice s, char out[TOKEN_CLEAN]);

enum {
	TOKEN_HEADER,
	TOKEN_PAYLOAD,
	TOKEN_SIGNATURE,
	TOKEN_PARTS
};

/* One token being read. */
struct token_reading {
	const struct keyring *keyring;
	const struct config_auth *auth;
	int64_t now_s;
	struct slice part[TOKEN_PARTS]; /* as sent, pointing into text */
	char *scratch;                  /* text with its NUL, then room to decode into */
	size_t scratch_n;
	struct slice payload; /* decoded */
	cJSON *header;
	cJSON *claims;
	unsigned alg;
	struct slice key;  /* that the signature is checked with; absent: none but the guest key */
	bool may_be_guest; /* the guest key is tried too */
	bool is_guest;     /* the guest key's signature held */
	struct token_refusal *why;
};

/*
 * Make claims of a payload whose signature holds. 0 and *out (one reference), -EACCES with r->why, or
 * -ENOMEM.
 */
MUST_CHECK int token_read_claims(struct token_reading *r, struct claims **out);

/* exp and nbf against the clock: 0, or -EACCES with *why. */
int token_check_times(const struct config_auth *auth, int64_t exp, int64_t nbf, int64_t now_s,
    struct token_refusal *why);

/*
 * Claims under construction: the strings one after the other, each with its NUL, in the order id,
 * name, user topic, jti, then the three lists.
 */
enum claims_list {
	CLAIMS_SUBSCRIBE,
	CLAIMS_PUBLISH,
	CLAIMS_DIRECT,
	CLAIMS_LISTS
};

struct claims_draft {
	struct buf text;
	size_t n[CLAIMS_LISTS];
	struct slice sub; /* borrowed */
	bool has_name;
	bool has_jti;
	bool is_guest;
	enum role role;
	int64_t exp;
	int64_t nbf;
	int64_t iat;
};

/* Starts with the user's strings; name and jti may be absent. Memory failures stick to d->text. */
void claims_draft_init(
    struct claims_draft *d, struct slice sub, struct slice name, struct slice jti);
/* Frees the strings; what was finished has copies. */
void claims_draft_done(struct claims_draft *d);
/* The next string of a list; the lists are filled in their order. */
void claims_draft_add(struct claims_draft *d, enum claims_list list, struct slice pattern);
/* All three lists of a configuration. */
void claims_draft_add_grants(struct claims_draft *d, const struct config_grants *g);
/* The `belfry` claim: 0, -EACCES with *why naming the member. */
MUST_CHECK int claims_draft_read(
    struct claims_draft *d, const cJSON *belfry, struct token_refusal *why);
/* One block with one reference; NULL without memory. */
MUST_CHECK struct claims *claims_draft_finish(const struct claims_draft *d);

#endif
