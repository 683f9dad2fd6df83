/*
 * Key sets: which are loaded, what is said of the others, and which key a token's kid chooses.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "base/b64.h"
#include "base/mem.h"
#include "core/token_private.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_run.h"
#include "tests/unit/support_token.h"

#define WELL "{\"sub\":\"ada\",\"exp\":1000060}"
#define ALL  ((1u << ALG_COUNT) - 1)
#define K32  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

static const char k32[] = "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20\21\22\23\24\25\26\27\30\31"
			  "\32\33\34\35\36\37";

/* --- making sets --- */

/* A number's base64url; owned (free). */
static char *
encode_number(const EVP_PKEY *key, const char *name, int n)
{
	uint8_t bytes[1024];
	BIGNUM *number = NULL;
	char *text = malloc(B64_SIZE(sizeof(bytes)));

	ck_assert_int_eq(EVP_PKEY_get_bn_param(key, name, &number), 1);
	n = n == 0 ? BN_num_bytes(number) : n;
	ck_assert_int_eq(BN_bn2binpad(number, bytes, n), n);
	(void)b64url_encode(bytes, (size_t)n, text); /* its length is of no interest */
	BN_free(number);
	return text;
}

/* The JWK of a public key with more members put in, as `"kid":"a"`; owned (free). */
static char *
jwk_of(const EVP_PKEY *key, const char *more)
{
	static const struct {
		int bits;
		const char *crv;
		int n;
	} curves[] = {{256, "P-256", 32}, {384, "P-384", 48}, {521, "P-521", 66}};
	const char *comma = more[0] == '\0' ? "" : ",";
	char *text = NULL;

	if (EVP_PKEY_is_a(key, "RSA")) {
		char *n = encode_number(key, OSSL_PKEY_PARAM_RSA_N, 0);
		char *e = encode_number(key, OSSL_PKEY_PARAM_RSA_E, 0);

		ck_assert_int_gt(asprintf(&text, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s%s}",
				     n, e, comma, more),
		    0);
		free(n);
		free(e);
		return text;
	}
	for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
		if (EVP_PKEY_get_bits(key) != curves[i].bits)
			continue;
		char *x = encode_number(key, OSSL_PKEY_PARAM_EC_PUB_X, curves[i].n);
		char *y = encode_number(key, OSSL_PKEY_PARAM_EC_PUB_Y, curves[i].n);

		ck_assert_int_gt(
		    asprintf(&text, "{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"%s%s}",
			curves[i].crv, x, y, comma, more),
		    0);
		free(x);
		free(y);
	}
	ck_assert_ptr_nonnull(text);
	return text;
}

/* {"keys":[a,b]}; b may be NULL; owned (free), and frees both. */
static char *
set_of(char *a, char *b)
{
	char *text = NULL;

	ck_assert_int_gt(
	    asprintf(&text, "{\"keys\":[%s%s%s]}", a, b == NULL ? "" : ",", b == NULL ? "" : b), 0);
	free(a);
	free(b);
	return text;
}

static struct config_auth
auth_with(char *jwks, unsigned algorithms)
{
	struct config_auth auth = make_auth();

	auth.secret = NULL;
	auth.secret_n = 0;
	auth.algorithms = algorithms;
	auth.jwks = jwks;
	return auth;
}

/* What is said of a configuration, "" when it loads. */
static const char *
complaint_of(const struct config_auth *auth, char text[512])
{
	struct keyring *k;

	text[0] = '\0';
	k = keyring_new(auth, text, 512);
	ck_assert(k == NULL || text[0] == '\0');
	ck_assert(k != NULL || text[0] != '\0');
	keyring_free(k);
	return text;
}

static void
complains(const char *jwks, unsigned algorithms, const char *want)
{
	char *copy = strdup(jwks);
	struct config_auth auth = auth_with(copy, algorithms);
	char text[512];

	(void)complaint_of(&auth, text); /* in text */
	ck_assert_msg(want == NULL ? text[0] == '\0' : strstr(text, want) != NULL,
	    "%s\n%s\nwanted: %s", jwks, text, want == NULL ? "nothing" : want);
	free(copy);
}

/* The check that refuses a token, "" when none; frees the token. *why may be NULL. */
static const char *
refused_by(const struct config_auth *auth, char *token, struct token_refusal *why)
{
	static const uint8_t guest_key[32] = {1, 2, 3};
	struct token_refusal own;
	struct claims *c = NULL;
	char error[512];
	struct keyring *k = keyring_new(auth, error, sizeof(error));
	int r;

	ck_assert_msg(k != NULL, "%s", error);
	keyring_set_guest_key(k, guest_key);
	why = why == NULL ? &own : why;
	r = token_check(k, auth, slice_str(token), NOW, &c, why);
	keyring_free(k);
	free(token);
	if (r == 0)
		claims_unref(c);
	ck_assert(r == 0 || !why->signature_held);
	return r == 0 ? "" : why->check;
}

/* --- what loads --- */

static const struct {
	const char *jwks;
	const char *says;
} faults[] = {
    {"", "not JSON"},
    {"{\"keys\":[]", "not JSON"},
    {"{\"keys\":[]}x", "not JSON"},
    {"{\"keys\":[],\"keys\":[]}", "same member twice"},
    {"[]", "no key set"},
    {"{}", "no key set"},
    {"{\"keys\":{}}", "1 to 64 keys"},
    {"{\"keys\":[]}", "1 to 64 keys"},
    {"{\"keys\":[5]}", "keys[0] is not an object"},
    {"{\"keys\":[{}]}", "keys[0] has the kty '', want RSA"},
    {"{\"keys\":[{\"kty\":5}]}", "kty"},
    {"{\"keys\":[{\"kty\":\"rsa\",\"kid\":\"a\"}]}", "keys[0] (kid 'a') has the kty 'rsa'"},
    {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\",\"kid\":\"a\\\"\\n\"}]}",
	"no key for any of auth.algorithms"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"" K32 "\",\"kid\":5}]}", "kid that is not a string"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"" K32 "\",\"kid\":null}]}", "kid that is not a string"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"" K32 "\",\"kid\":\"a\"},{\"kty\":\"oct\",\"k\":\"" K32
     "\",\"kid\":\"a\"}]}",
	"keys[1] (kid 'a') has the kid of a key before it"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"" K32 "\",\"kid\":\"a\"},{\"kty\":\"oct\",\"k\":\"" K32
     "\"}]}",
	"keys[1] has no kid"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"" K32 "\",\"use\":\"other\"}]}", "neither sig nor enc"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"" K32 "\",\"use\":[\"enc\"]}]}", "neither sig nor enc"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"" K32 "\",\"key_ops\":[\"sign\"]}]}", "without verify"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"" K32 "\",\"key_ops\":\"verify\"}]}", "without verify"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"" K32 "\",\"key_ops\":{\"a\":\"verify\"}}]}",
	"without verify"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"" K32 "\",\"use\":\"enc\"}]}", "no key for any"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"" K32 "\",\"alg\":\"none\"}]}",
	"alg 'none', which the installed libjwt"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"" K32 "\",\"alg\":5}]}", "alg ''"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"" K32 "\",\"alg\":\"HS384\"}]}",
	"alg HS384, and is a secret of 32 bytes"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"" K32 "\",\"alg\":\"RS256\"}]}",
	"alg RS256, and is a secret"},
    {"{\"keys\":[{\"kty\":\"oct\"}]}", "no member 'k'"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"\"}]}", "not base64url"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"" K32 "=\"}]}", "not base64url"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg\"}]}",
	"a secret of 31 bytes, want 32"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUlJQklqQU5CZ2tx\"}]}",
	"PEM text"},
    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"" K32 "\",\"d\":\"AA\"}]}", "private key (member 'd')"},
    {"{\"keys\":[{\"kty\":\"EC\",\"use\":\"enc\",\"d\":\"AA\"}]}", "private key (member 'd')"},
    {"{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"r\",\"oth\":[]}]}", "(kid 'r') holds a private key"},
    {"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\"}]}", "no member 'e'"},
    {"{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\"}]}", "no member 'n'"},
    {"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQABAQABAQAB\"}]}", "more than 8 bytes"},
    {"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", "no RSA public key"},
    {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"secp256k1\"}]}", "no key for any of auth.algorithms"},
    {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-255\"}]}", "crv that is none of"},
    {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\"}]}", "no member 'x'"},
    {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\"}]}",
	"'x' of 3 bytes, P-256 wants 32"},
    {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" K32 "\",\"y\":\"" K32 "\"}]}",
	"no point on P-256"},
};

START_TEST(faulty_sets)
{
	complains(faults[_i].jwks, ALL, faults[_i].says);
}
END_TEST

START_TEST(number_of_keys)
{
	for (unsigned n = 64; n <= 65; n++) {
		char text[16384] = "{\"keys\":[";

		for (unsigned i = 0; i < n; i++)
			(void)snprintf(text + strlen(text), 128,
			    "%s{\"kty\":\"oct\",\"kid\":\"%u\",\"k\":\"" K32 "\"}",
			    i == 0 ? "" : ",", i);
		(void)snprintf(text + strlen(text), 16, "]}");
		complains(text, 1u << ALG_HS256, n == 64 ? NULL : "1 to 64 keys");
	}
}
END_TEST

/* One key with members and a set's fault, and freed. */
static void
key_complains(const EVP_PKEY *key, const char *more, unsigned algorithms, const char *want)
{
	char *set = set_of(jwk_of(key, more), NULL);

	complains(set, algorithms, want);
	free(set);
}

START_TEST(keys_fit_their_algorithms)
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048);
	EVP_PKEY *small = EVP_RSA_gen(1024);
	EVP_PKEY *p256 = EVP_EC_gen("P-256");
	EVP_PKEY *p521 = EVP_EC_gen("P-521");
	const unsigned rs256 = 1u << ALG_RS256;
	char *x = encode_number(p256, OSSL_PKEY_PARAM_EC_PUB_X, 32);
	char *n = encode_number(rsa, OSSL_PKEY_PARAM_RSA_N, 0);
	char *text = NULL;

	key_complains(rsa, "", TOKEN_RS, NULL);
	key_complains(
	    rsa, "\"use\":\"sig\",\"key_ops\":[\"sign\",\"verify\"],\"x5c\":[\"AA\"]", rs256, NULL);
	key_complains(rsa, "\"alg\":\"RS256\"", rs256, NULL);
	key_complains(rsa, "\"alg\":\"RS512\"", rs256, "no key for any of auth.algorithms");
	key_complains(rsa, "\"alg\":\"RS256\"", TOKEN_RS, NULL);
	key_complains(rsa, "\"alg\":\"PS256\"", rs256, "no key for any of auth.algorithms");
	key_complains(rsa, "\"alg\":\"ES256\"", rs256, "alg ES256, and is an RSA key of 2048 bits");
	key_complains(rsa, "\"alg\":\"HS256\"", ALL, "alg HS256, and is an RSA key of 2048 bits");
	key_complains(rsa, "", 1u << ALG_HS256, "no key for any of auth.algorithms");
	key_complains(rsa, "", ALL, NULL);
	key_complains(small, "", rs256, "an RSA key of 1024 bits, want 2048");
	key_complains(p256, "", 1u << ALG_ES256, NULL);
	key_complains(p256, "", 1u << ALG_ES384, "no key for any");
	key_complains(
	    p256, "\"alg\":\"ES384\"", 1u << ALG_ES384, "alg ES384, and is an EC key on P-256");
	key_complains(p521, "\"alg\":\"ES512\"", 1u << ALG_ES512, NULL);
	/* x twice is no point; an exponent of 1 would let everybody sign */
	ck_assert_int_gt(
	    asprintf(&text,
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"}]}", x, x),
	    0);
	complains(text, ALL, "no point on P-256");
	free(text);
	ck_assert_int_gt(
	    asprintf(&text, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQ\"}]}", n), 0);
	complains(text, ALL, "no RSA public key");
	free(text);
	ck_assert_int_gt(
	    asprintf(&text, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"BA\"}]}", n), 0);
	complains(text, ALL, "no RSA public key");
	free(text);
	free(x);
	free(n);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(small);
	EVP_PKEY_free(p256);
	EVP_PKEY_free(p521);
}
END_TEST

START_TEST(sets_beside_other_keys)
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048);
	EVP_PKEY *ec = EVP_EC_gen("P-256");
	char *jwks = set_of(jwk_of(ec, "\"kid\":\"e\""), NULL);
	struct config_auth auth =
	    auth_with(jwks, 1u << ALG_ES256 | 1u << ALG_RS256 | 1u << ALG_HS256);
	char text[512];

	/* no key, no algorithm */
	ck_assert_str_eq(refused_by(&auth, make_token(HS256, WELL), NULL), "alg");
	auth.secret = make_auth().secret;
	auth.secret_n = strlen(SECRET);
	ck_assert_str_eq(complaint_of(&auth, text), "");
	auth.public_key = make_public_pem(rsa);
	ck_assert_str_eq(complaint_of(&auth, text), "");
	/* each door has its own key */
	ck_assert_str_eq(refused_by(&auth, make_token(HS256, WELL), NULL), "");
	ck_assert_str_eq(
	    refused_by(
		&auth, make_key_token(rsa, EVP_sha256(), 0, "{\"alg\":\"RS256\"}", WELL), NULL),
	    "");
	ck_assert_str_eq(
	    refused_by(
		&auth, make_key_token(ec, EVP_sha256(), 32, "{\"alg\":\"ES256\"}", WELL), NULL),
	    "");
	ck_assert_str_eq(
	    refused_by(&auth,
		make_key_token(ec, EVP_sha256(), 32, "{\"alg\":\"ES256\",\"kid\":\"e\"}", WELL),
		NULL),
	    "");
	/* kid names a key of the set, never the secret or the file */
	ck_assert_str_eq(
	    refused_by(&auth, make_token("{\"alg\":\"HS256\",\"kid\":\"s\"}", WELL), NULL), "kid");
	ck_assert_str_eq(
	    refused_by(&auth, make_token("{\"alg\":\"HS256\",\"kid\":\"e\"}", WELL), NULL), "alg");
	free(auth.public_key);
	free(jwks);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
}
END_TEST

/* --- which key is chosen --- */

START_TEST(kid_chooses)
{
	static const struct {
		unsigned alg;
		const char *curve; /* NULL: RSA */
		size_t coordinate_n;
		const char *name;
	} cases[] = {
	    {ALG_RS256, NULL, 0, "RS256"},
	    {ALG_RS384, NULL, 0, "RS384"},
	    {ALG_RS512, NULL, 0, "RS512"},
	    {ALG_ES256, "P-256", 32, "ES256"},
	    {ALG_ES384, "P-384", 48, "ES384"},
	    {ALG_ES512, "P-521", 66, "ES512"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *curve = cases[i].curve;
		EVP_PKEY *a = curve == NULL ? EVP_RSA_gen(2048) : EVP_EC_gen(curve);
		EVP_PKEY *b = curve == NULL ? EVP_RSA_gen(2048) : EVP_EC_gen(curve);
		const EVP_MD *md = cases[i].alg % 3 == 0   ? EVP_sha256()
				   : cases[i].alg % 3 == 1 ? EVP_sha384()
							   : EVP_sha512();
		char *jwks = set_of(jwk_of(a, "\"kid\":\"a\""), jwk_of(b, "\"kid\":\"b\""));
		struct config_auth auth = auth_with(jwks, 1u << cases[i].alg);
		char header[3][64];

		(void)snprintf(header[0], 64, "{\"alg\":\"%s\",\"kid\":\"a\"}", cases[i].name);
		(void)snprintf(header[1], 64, "{\"alg\":\"%s\",\"kid\":\"b\"}", cases[i].name);
		(void)snprintf(header[2], 64, "{\"alg\":\"%s\"}", cases[i].name);
		for (unsigned h = 0; h < 3; h++) {
			const size_t n = cases[i].coordinate_n;
			static const char *const by_a[] = {"", "signature", "kid"};
			static const char *const by_b[] = {"signature", "", "kid"};

			ck_assert_str_eq(
			    refused_by(&auth, make_key_token(a, md, n, header[h], WELL), NULL),
			    by_a[h]);
			ck_assert_str_eq(
			    refused_by(&auth, make_key_token(b, md, n, header[h], WELL), NULL),
			    by_b[h]);
		}
		free(jwks);
		EVP_PKEY_free(a);
		EVP_PKEY_free(b);
	}
}
END_TEST

START_TEST(alg_pins)
{
	EVP_PKEY *a = EVP_RSA_gen(2048);
	EVP_PKEY *b = EVP_RSA_gen(2048);
	char *jwks =
	    set_of(jwk_of(a, "\"kid\":\"a\",\"alg\":\"RS256\""), jwk_of(b, "\"kid\":\"b\""));
	struct config_auth auth = auth_with(jwks, 1u << ALG_RS256 | 1u << ALG_RS512);
	const char *a256 = "{\"alg\":\"RS256\",\"kid\":\"a\"}";
	const char *a512 = "{\"alg\":\"RS512\",\"kid\":\"a\"}";
	const char *b512 = "{\"alg\":\"RS512\",\"kid\":\"b\"}";
	const char *b384 = "{\"alg\":\"RS384\",\"kid\":\"b\"}";

	ck_assert_str_eq(
	    refused_by(&auth, make_key_token(a, EVP_sha256(), 0, a256, WELL), NULL), "");
	ck_assert_str_eq(
	    refused_by(&auth, make_key_token(a, EVP_sha512(), 0, a512, WELL), NULL), "alg");
	ck_assert_str_eq(
	    refused_by(&auth, make_key_token(b, EVP_sha512(), 0, b512, WELL), NULL), "");
	ck_assert_str_eq(
	    refused_by(&auth, make_key_token(b, EVP_sha384(), 0, b384, WELL), NULL), "alg");
	free(jwks);
	EVP_PKEY_free(a);
	EVP_PKEY_free(b);
}
END_TEST

START_TEST(one_key_needs_no_kid)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	EVP_PKEY *other = EVP_EC_gen("P-256");
	const char *bare = "{\"alg\":\"ES256\"}";
	const char *named = "{\"alg\":\"ES256\",\"kid\":\"a\"}";
	char *with = set_of(jwk_of(key, "\"kid\":\"a\""), jwk_of(other, "\"use\":\"enc\""));
	char *without = set_of(jwk_of(key, ""), NULL);
	struct config_auth auth = auth_with(with, 1u << ALG_ES256);

	ck_assert_str_eq(
	    refused_by(&auth, make_key_token(key, EVP_sha256(), 32, named, WELL), NULL), "");
	ck_assert_str_eq(
	    refused_by(&auth, make_key_token(key, EVP_sha256(), 32, bare, WELL), NULL), "");
	ck_assert_str_eq(
	    refused_by(&auth, make_key_token(other, EVP_sha256(), 32, bare, WELL), NULL),
	    "signature");
	auth.jwks = without;
	ck_assert_str_eq(
	    refused_by(&auth, make_key_token(key, EVP_sha256(), 32, bare, WELL), NULL), "");
	ck_assert_str_eq(
	    refused_by(&auth, make_key_token(key, EVP_sha256(), 32, named, WELL), NULL), "kid");
	free(with);
	free(without);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}
END_TEST

static const struct {
	const char *header;
	const char *check;
	const char *says; /* NULL: nothing of interest */
} kids[] = {
    {"{\"alg\":\"HS256\",\"kid\":\"a\"}", "", NULL},
    {"{\"alg\":\"HS256\",\"kid\":\"\\u0061\"}", "", NULL},
    {"{\"alg\":\"HS256\",\"kid\":\"A\"}", "kid", "'A'"},
    {"{\"alg\":\"HS256\",\"kid\":\"\"}", "kid", "''"},
    {"{\"alg\":\"HS256\",\"kid\":\"a \"}", "kid", "'a '"},
    {"{\"alg\":\"HS256\",\"kid\":\"../../../../dev/null\"}", "kid", "'../../../../dev/null'"},
    {"{\"alg\":\"HS256\",\"kid\":\"a' OR '1'='1\"}", "kid", "'a? OR ?1?=?1'"},
    {"{\"alg\":\"HS256\",\"kid\":\"x\\\"\\r\\nSet-Cookie: a\\u00e9\"}", "kid",
	"'x???Set-Cookie: a?\?'"},
    {"{\"alg\":\"HS256\",\"kid\":\"0123456789012345678901234567890123456789012345678901234567890123456789\"}",
	"kid", "'0123456789012345678901234567890123456789012345678901234567890123...'"},
    {"{\"alg\":\"HS256\",\"kid\":\"b\"}", "alg", "kid names"},
    {"{\"alg\":\"RS256\",\"kid\":\"a\"}", "alg", "kid names"},
    {"{\"alg\":\"RS512\",\"kid\":\"b\"}", "alg", "none of"},
    {"{\"alg\":\"RS256\",\"kid\":\"b\"}", "signature", NULL},
    {"{\"alg\":\"ES256\",\"kid\":\"a\"}", "alg", "is none of the algorithms taken here"},
    {"{\"alg\":\"none\",\"kid\":\"a\"}", "alg", NULL},
    {"{\"alg\":\"HS256\",\"kid\":0}", "kid", "not a string"},
    {"{\"alg\":\"HS256\",\"kid\":null}", "kid", "not a string"},
    {"{\"alg\":\"HS256\",\"kid\":[\"a\"]}", "kid", "not a string"},
    {"{\"alg\":\"HS256\",\"kid\":{\"kid\":\"a\"}}", "kid", "not a string"},
    {"{\"alg\":\"HS256\",\"kid\":\"x\",\"kid\":\"a\"}", "malformed", NULL},
    {"{\"alg\":\"HS256\",\"kid\":\"a\\u0000\"}", "malformed", NULL},
    {"{\"alg\":\"HS256\"}", "kid", "missing"},
};

/* All are signed with the secret of the key "a"; "b" is an RSA key. */
START_TEST(kid_is_compared_and_nothing_else)
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048);
	char *jwks = set_of(strdup("{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"" K32 "\"}"),
	    jwk_of(rsa, "\"kid\":\"b\",\"alg\":\"RS256\""));
	struct config_auth auth = auth_with(jwks, 1u << ALG_HS256 | 1u << ALG_RS256);
	struct slice key = slice_of(k32, 32);

	for (size_t i = 0; i < ARRAY_LEN(kids); i++) {
		struct token_refusal why = {.text = ""};
		char *token =
		    make_hmac_token(ALG_HS256, key, slice_str(kids[i].header), SLICE(WELL));

		ck_assert_msg(strcmp(refused_by(&auth, token, &why), kids[i].check) == 0, "%s: %s",
		    kids[i].header, why.text);
		ck_assert_msg(kids[i].says == NULL || strstr(why.text, kids[i].says) != NULL,
		    "%s: %s", kids[i].header, why.text);
	}
	free(jwks);
	EVP_PKEY_free(rsa);
}
END_TEST

/* What everybody knows of a public key is no secret, by whatever way it is named. */
START_TEST(keys_are_not_confused)
{
	static const char *const headers[] = {"{\"alg\":\"HS256\"}",
	    "{\"alg\":\"HS256\",\"kid\":\"r\"}", "{\"alg\":\"HS256\",\"kid\":\"s\"}",
	    "{\"alg\":\"RS256\",\"kid\":\"r\"}", "{\"alg\":\"RS256\",\"kid\":\"s\"}"};
	EVP_PKEY *rsa = EVP_RSA_gen(2048);
	char *jwk = jwk_of(rsa, "\"kid\":\"r\"");
	char *n = encode_number(rsa, OSSL_PKEY_PARAM_RSA_N, 0);
	char *pem = make_public_pem(rsa);
	char *jwks =
	    set_of(strdup(jwk), strdup("{\"kty\":\"oct\",\"kid\":\"s\",\"k\":\"" K32 "\"}"));
	struct config_auth auth = auth_with(jwks, 1u << ALG_HS256 | 1u << ALG_RS256);
	const struct slice secrets[] = {slice_str(pem), slice_of(pem, strlen(pem) - 1),
	    slice_str(n), slice_str(jwk), SLICE(K32)};

	for (size_t h = 0; h < ARRAY_LEN(headers); h++) {
		for (size_t s = 0; s < ARRAY_LEN(secrets); s++)
			ck_assert_str_ne(refused_by(&auth,
					     make_hmac_token(ALG_HS256, secrets[s],
						 slice_str(headers[h]), SLICE(WELL)),
					     NULL),
			    "");
	}
	ck_assert_str_eq(
	    refused_by(&auth, make_key_token(rsa, EVP_sha256(), 0, headers[3], WELL), NULL), "");
	ck_assert_str_eq(
	    refused_by(&auth, make_key_token(rsa, EVP_sha256(), 0, headers[2], WELL), NULL),
	    "signature");
	free(jwk);
	free(n);
	free(pem);
	free(jwks);
	EVP_PKEY_free(rsa);
}
END_TEST

START_TEST(guests_beside_a_set)
{
	char *jwks = strdup("{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"" K32 "\"},"
			    "{\"kty\":\"oct\",\"kid\":\"b\",\"k\":\"" K32 "\"}]}");
	struct config_auth auth = auth_with(jwks, 1u << ALG_HS256);
	static const uint8_t guest_key[32] = {1, 2, 3};
	struct slice key = slice_of((const char *)guest_key, 32);
	const char *guest = "{\"sub\":\"guest:x\",\"exp\":1000060}";

	auth.guests = true;
	ck_assert_str_eq(refused_by(&auth,
			     make_hmac_token(ALG_HS256, key, SLICE(HS256), slice_str(guest)), NULL),
	    "");
	ck_assert_str_eq(refused_by(&auth,
			     make_hmac_token(ALG_HS256, key,
				 SLICE("{\"alg\":\"HS256\",\"kid\":\"a\"}"), slice_str(guest)),
			     NULL),
	    "signature");
	ck_assert_str_eq(
	    refused_by(&auth,
		make_hmac_token(ALG_HS256, slice_of(k32, 32), SLICE(HS256), SLICE(WELL)), NULL),
	    "kid");
	free(jwks);
}
END_TEST

/* Each allocation fails once: an error every time, and nothing left behind. */
START_TEST(without_memory)
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048);
	char *jwks = set_of(jwk_of(rsa, "\"kid\":\"a\""),
	    strdup("{\"kty\":\"oct\",\"kid\":\"b\",\"k\":\"" K32 "\"}"));
	struct config_auth auth = auth_with(jwks, 1u << ALG_HS256 | 1u << ALG_RS256);
	long before = mem_blocks();
	bool is_pending = false;

	for (long n = 1; !is_pending; n++) {
		char text[512] = "";
		struct keyring *k;

		mem_fail_at(n);
		k = keyring_new(&auth, text, sizeof(text));
		is_pending = mem_fail_is_pending();
		mem_fail_at(0);
		ck_assert(is_pending == (k != NULL));
		ck_assert(k != NULL || strstr(text, "no memory") != NULL);
		keyring_free(k);
		ck_assert_int_eq(mem_blocks(), before);
		ck_assert_int_lt(n, 100);
	}
	free(jwks);
	EVP_PKEY_free(rsa);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("jwks");
	TCase *loading = tcase_create("loading");
	TCase *choosing = tcase_create("choosing");

	tcase_set_timeout(loading, 60); /* keys take their time under sanitizers */
	tcase_set_timeout(choosing, 60);
	tcase_add_loop_test(loading, faulty_sets, 0, (int)ARRAY_LEN(faults));
	tcase_add_test(loading, number_of_keys);
	tcase_add_test(loading, keys_fit_their_algorithms);
	tcase_add_test(loading, sets_beside_other_keys);
	tcase_add_test(loading, without_memory);
	tcase_add_test(choosing, kid_chooses);
	tcase_add_test(choosing, alg_pins);
	tcase_add_test(choosing, one_key_needs_no_kid);
	tcase_add_test(choosing, kid_is_compared_and_nothing_else);
	tcase_add_test(choosing, keys_are_not_confused);
	tcase_add_test(choosing, guests_beside_a_set);
	suite_add_tcase(s, loading);
	suite_add_tcase(s, choosing);
	return run_suite(s);
}
