/*
 * Making tokens of any kind, right and wrong, for tests and fuzzers. A failure ends the program.
 */
#ifndef TESTS_UNIT_SUPPORT_TOKEN_H
#define TESTS_UNIT_SUPPORT_TOKEN_H

#include <openssl/evp.h>

#include "base/slice.h"
#include "core/token.h"

#define SECRET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HS256  "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define NOW    INT64_C(1000000)

/* header.payload.signature over any bytes, by an HS algorithm's hash; owned (free). */
char *make_hmac_token(unsigned alg, struct slice key, struct slice header, struct slice payload);
/* The same with HS256 and SECRET. */
char *make_token(const char *header, const char *payload);
/* Signed by a private key, with SHA-256 (ES: r and s of coordinate_n bytes each; RS: coordinate_n is 0). */
char *make_key_token(
    EVP_PKEY *key, const EVP_MD *md, size_t coordinate_n, const char *header, const char *payload);
/* Any two decoded parts and a text for the third. */
char *make_unsigned_token(const char *header, const char *payload, const char *signature);
/* PEM of the public half; owned (free). */
char *make_public_pem(EVP_PKEY *key);

/* HS256 with SECRET, no issuer, no audience, 30 s of leeway, exp required; grants the rooms and user/{sub}. */
struct config_auth make_auth(void);

#endif
