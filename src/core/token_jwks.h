/*
 * JSON Web Key Sets (RFC 7517): auth.jwks_file as keys that tokens choose from by `kid`. Part of
 * the keyring; nothing but the files of the token check includes it.
 */
#ifndef CORE_TOKEN_JWKS_H
#define CORE_TOKEN_JWKS_H

#include "core/token_private.h"

#define TOKEN_JWKS_KEYS 64 /* keys of a set, at most */

/*
 * The keys of auth->jwks, a JSON text, into k, with what they add to k->algorithms. Keys with
 * `use` "enc" are left out; anything else that could not verify a token is an error that names the
 * key, as is a private key. A key that auth.algorithms has no use for is kept, so that the refusal
 * can say so; at least one is of use. An algorithm without a key is none, since a set may change at
 * each reload: no token of it is taken. Does nothing when auth->jwks is NULL.
 *
 * Returns 0; -1 with the reason in error, and k with perhaps some of them.
 */
MUST_CHECK int token_jwks_load(
    struct keyring *k, const struct config_auth *auth, char *error, size_t error_n);
/* Wipes and frees the keys of the set. */
void token_jwks_done(struct keyring *k);
/*
 * The key of that id, borrowed from k; NULL: none. Ids are compared as bytes, and nothing else is
 * done with them.
 */
const struct token_key *token_jwks_find(const struct keyring *k, struct slice kid);

#endif
