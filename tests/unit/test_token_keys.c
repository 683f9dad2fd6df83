/*
 * Keys: which configurations load, which key is good for which algorithm; signing, guests and the cache.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "base/mem.h"
#include "core/token.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_run.h"
#include "tests/unit/support_token.h"

#define WELL "{\"sub\":\"ada\",\"exp\":1000060}"

static const uint8_t guest_key[32] = {1, 2, 3};

/* What is said of a configuration, "" when it loads. */
static const char *
complaint(const struct config_auth *auth, char text[256])
{
	struct keyring *k;

	text[0] = '\0';
	k = keyring_new(auth, text, 256);
	ck_assert(k == NULL || text[0] == '\0');
	ck_assert(k != NULL || text[0] != '\0');
	keyring_free(k);
	return text;
}

static const char *
refused_by(const struct config_auth *auth, const char *token)
{
	char error[256];
	struct keyring *k = keyring_new(auth, error, sizeof(error));
	struct token_refusal why;
	struct claims *c = NULL;
	int r;

	ck_assert_msg(k != NULL, "%s", error);
	keyring_set_guest_key(k, guest_key);
	r = token_check(k, auth, slice_str(token), NOW, &c, &why);
	keyring_free(k);
	if (r == 0)
		claims_unref(c);
	return r == 0 ? "" : why.check;
}

START_TEST(secrets_are_long_enough)
{
	struct config_auth auth = make_auth();
	char text[256];
	char pem[] =
	    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA\n-----END PUBLIC KEY-----\n";
	static const size_t least[] = {[ALG_HS256] = 32, [ALG_HS384] = 48, [ALG_HS512] = 64};

	for (unsigned alg = ALG_HS256; alg <= ALG_HS512; alg++) {
		auth.algorithms = 1u << alg;
		auth.secret_n = least[alg];
		ck_assert_str_eq(complaint(&auth, text), "");
		auth.secret_n--;
		ck_assert_ptr_nonnull(strstr(complaint(&auth, text), token_algorithm_name(alg)));
	}
	auth.algorithms = 1u << ALG_HS256;
	auth.secret_n = 0;
	ck_assert_ptr_nonnull(strstr(complaint(&auth, text), "empty"));
	auth.secret = NULL;
	ck_assert_ptr_nonnull(strstr(complaint(&auth, text), "missing"));
	auth.secret = pem;
	auth.secret_n = strlen(pem);
	ck_assert_ptr_nonnull(strstr(complaint(&auth, text), "PEM"));
	auth = make_auth();
	auth.algorithms = 0;
	ck_assert_ptr_nonnull(strstr(complaint(&auth, text), "empty"));
	auth.algorithms = 1u << ALG_RS256;
	ck_assert_ptr_nonnull(strstr(complaint(&auth, text), "none of HS256"));
	auth.secret = NULL;
	ck_assert_ptr_nonnull(strstr(complaint(&auth, text), "missing"));
}
END_TEST

/* --- public keys --- */

struct pair {
	EVP_PKEY *key;
	char *pem;
};

static struct pair
make_pair(EVP_PKEY *key)
{
	ck_assert_ptr_nonnull(key);
	return (struct pair){key, make_public_pem(key)};
}

static void
pair_done(struct pair *p)
{
	EVP_PKEY_free(p->key);
	free(p->pem);
}

static struct config_auth
auth_with(const struct pair *p, unsigned algorithms)
{
	struct config_auth auth = make_auth();

	auth.secret = NULL;
	auth.secret_n = 0;
	auth.public_key = p->pem;
	auth.algorithms = algorithms;
	return auth;
}

START_TEST(keys_are_bound_to_their_algorithms)
{
	struct pair rsa = make_pair(EVP_RSA_gen(2048));
	struct pair small = make_pair(EVP_RSA_gen(1024));
	struct pair p256 = make_pair(EVP_EC_gen("P-256"));
	struct pair p384 = make_pair(EVP_EC_gen("P-384"));
	struct pair k256 = make_pair(EVP_EC_gen("secp256k1"));
	struct pair ed = make_pair(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
	const unsigned rs = 1u << ALG_RS256 | 1u << ALG_RS512;
	const struct {
		const struct pair *key;
		unsigned algorithms;
		const char *text; /* NULL: loads */
	} cases[] = {
	    {&rsa, rs, NULL},
	    {&rsa, rs | 1u << ALG_ES256, "RSA key of 2048 bits, which is no key for ES256"},
	    {&small, rs, "want 2048"},
	    {&p256, 1u << ALG_ES256, NULL},
	    {&p256, 1u << ALG_ES384, "P-256"},
	    {&p256, rs, "EC key on P-256, which is no key for RS256"},
	    {&p384, 1u << ALG_ES384, NULL},
	    {&p384, 1u << ALG_ES256, "P-384"},
	    {&k256, 1u << ALG_ES256, "secp256k1"},
	    {&ed, 1u << ALG_ES256, "ED25519"},
	};
	char text[256];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config_auth auth = auth_with(cases[i].key, cases[i].algorithms);

		(void)complaint(&auth, text); /* in text */
		ck_assert_msg(
		    cases[i].text == NULL ? text[0] == '\0' : strstr(text, cases[i].text) != NULL,
		    "%zu: %s", i, text);
	}
	struct config_auth auth = auth_with(&rsa, rs);
	char junk[] = "hello";

	auth.public_key = junk;
	ck_assert_ptr_nonnull(strstr(complaint(&auth, text), "PEM public key"));
	auth = make_auth();
	auth.public_key = rsa.pem; /* a key without an algorithm */
	ck_assert_ptr_nonnull(strstr(complaint(&auth, text), "none of RS256"));
	pair_done(&rsa);
	pair_done(&small);
	pair_done(&p256);
	pair_done(&p384);
	pair_done(&k256);
	pair_done(&ed);
}
END_TEST

START_TEST(public_keys_verify)
{
	static const struct {
		unsigned alg;
		const char *curve; /* NULL: RSA */
		size_t coordinate_n;
		const char *header;
	} cases[] = {
	    {ALG_RS256, NULL, 0, "{\"alg\":\"RS256\"}"},
	    {ALG_RS512, NULL, 0, "{\"alg\":\"RS512\"}"},
	    {ALG_ES256, "P-256", 32, "{\"alg\":\"ES256\"}"},
	    {ALG_ES384, "P-384", 48, "{\"alg\":\"ES384\"}"},
	    {ALG_ES512, "P-521", 66, "{\"alg\":\"ES512\"}"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *curve = cases[i].curve;
		struct pair own = make_pair(curve == NULL ? EVP_RSA_gen(2048) : EVP_EC_gen(curve));
		struct pair other =
		    make_pair(curve == NULL ? EVP_RSA_gen(2048) : EVP_EC_gen(curve));
		struct config_auth auth = auth_with(&own, 1u << cases[i].alg);
		const EVP_MD *md = cases[i].alg == ALG_ES384 ? EVP_sha384()
				   : cases[i].alg == ALG_RS512 || cases[i].alg == ALG_ES512
				       ? EVP_sha512()
				       : EVP_sha256();
		char *good =
		    make_key_token(own.key, md, cases[i].coordinate_n, cases[i].header, WELL);
		char *bad =
		    make_key_token(other.key, md, cases[i].coordinate_n, cases[i].header, WELL);

		ck_assert_msg(refused_by(&auth, good)[0] == '\0', "%s", cases[i].header);
		ck_assert_str_eq(refused_by(&auth, bad), "signature");
		free(good);
		free(bad);
		good = make_unsigned_token(cases[i].header, WELL, "AAAA");
		ck_assert_str_eq(refused_by(&auth, good), "signature");
		free(good);
		pair_done(&own);
		pair_done(&other);
	}
}
END_TEST

/* The public key, known to everybody, must not be taken for an HMAC secret. */
START_TEST(keys_are_not_confused)
{
	struct pair rsa = make_pair(EVP_RSA_gen(2048));
	struct config_auth auth = auth_with(&rsa, 1u << ALG_RS256);
	char *token;

	token = make_hmac_token(ALG_HS256, slice_str(rsa.pem), SLICE(HS256), SLICE(WELL));
	ck_assert_str_eq(refused_by(&auth, token), "alg");
	free(token);
	token = make_hmac_token(
	    ALG_HS256, slice_str(rsa.pem), SLICE("{\"alg\":\"RS256\"}"), SLICE(WELL));
	ck_assert_str_eq(refused_by(&auth, token), "signature");
	free(token);
	/* with both families configured, each has its own key */
	auth.secret = make_auth().secret;
	auth.secret_n = strlen(SECRET);
	auth.algorithms |= 1u << ALG_HS256;
	token = make_hmac_token(ALG_HS256, slice_str(rsa.pem), SLICE(HS256), SLICE(WELL));
	ck_assert_str_eq(refused_by(&auth, token), "signature");
	free(token);
	token = make_token(HS256, WELL);
	ck_assert_str_eq(refused_by(&auth, token), "");
	free(token);
	token = make_key_token(rsa.key, EVP_sha256(), 0, HS256, WELL);
	ck_assert_str_eq(refused_by(&auth, token), "signature");
	free(token);
	/* another hash of the same family */
	token = make_key_token(rsa.key, EVP_sha512(), 0, "{\"alg\":\"RS512\"}", WELL);
	ck_assert_str_eq(refused_by(&auth, token), "alg");
	free(token);
	pair_done(&rsa);
}
END_TEST

/* --- signing --- */

START_TEST(signed_tokens_are_taken)
{
	static const unsigned algs[] = {ALG_HS256, ALG_HS384, ALG_HS512};
	char pattern[] = "a/**";
	char *patterns[] = {pattern};
	struct token_request q = {.sub = "ada \"x\"",
	    .name = "Ada",
	    .issuer = "i",
	    .audience = "",
	    .iat = NOW,
	    .exp = NOW + 60,
	    .with_grants = true,
	    .subscribe = {patterns, 1},
	    .role = "admin"};
	char error[256];

	for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
		struct config_auth auth = make_auth();
		char *token;

		auth.algorithms = 1u << algs[i];
		token = token_sign(&auth, &q, error, sizeof(error));
		ck_assert_ptr_nonnull(token);
		ck_assert_str_eq(refused_by(&auth, token), "");
		mem_free(token);
	}
	struct config_auth auth = make_auth();

	q.sub = "";
	ck_assert_ptr_null(token_sign(&auth, &q, error, sizeof(error)));
	ck_assert_str_eq(error, "sub is empty");
	q.sub = "ada";
	q.name = "\xff";
	ck_assert_ptr_null(token_sign(&auth, &q, error, sizeof(error)));
	q.name = NULL;
	auth.algorithms = 1u << ALG_RS256;
	ck_assert_ptr_null(token_sign(&auth, &q, error, sizeof(error)));
}
END_TEST

START_TEST(guests_have_a_key_of_their_own)
{
	struct config_auth auth = make_auth();
	char error[256];
	struct keyring *k = keyring_new(&auth, error, sizeof(error));
	struct slice key = slice_of((const char *)guest_key, sizeof(guest_key));
	struct token_refusal why;
	struct claims *c = NULL;
	char again[64];
	char id[64];
	char *token;

	ck_assert_ptr_null(token_sign_guest(k, &auth, NULL, "Ada", NOW, id)); /* no key yet */
	keyring_set_guest_key(k, guest_key);
	auth.guests = true;
	token = token_sign_guest(k, &auth, NULL, "Ada", NOW, id);
	ck_assert_ptr_nonnull(token);
	ck_assert_int_eq(token_check(k, &auth, slice_str(token), NOW, &c, &why), 0);
	ck_assert(c->is_guest);
	ck_assert_str_eq(c->user_id, id);
	ck_assert_str_eq(c->name, "Ada");
	ck_assert_int_eq(c->exp, NOW + 3600);
	ck_assert_uint_eq(c->publish.n, 0); /* guest_defaults */
	claims_unref(c);
	ck_assert_int_eq(token_check(k, &auth, slice_str(token), NOW + 3630, &c, &why), -EACCES);
	ck_assert_str_eq(why.check, "exp");
	auth.guests = false;
	ck_assert_str_eq(refused_by(&auth, token), "signature");
	auth.guests = true;
	mem_free(token);
	/* the same guest again */
	token = token_sign_guest(k, &auth, id, "Bea", NOW, again);
	ck_assert_str_eq(id, again);
	ck_assert_str_eq(refused_by(&auth, token), "");
	mem_free(token);
	ck_assert_ptr_null(token_sign_guest(k, &auth, "ada", "Bea", NOW, NULL));
	ck_assert_ptr_null(token_sign_guest(k, &auth, NULL, "", NOW, NULL));
	ck_assert_ptr_null(token_sign_guest(k, &auth, NULL, "a\nb", NOW, NULL));
	/* the guest key is good for guests only, and nobody else's for them */
	token = make_hmac_token(ALG_HS256, key, SLICE(HS256), SLICE(WELL));
	ck_assert_str_eq(refused_by(&auth, token), "sub");
	free(token);
	token = make_token(HS256, "{\"sub\":\"guest:x\",\"exp\":1000060}");
	ck_assert_str_eq(refused_by(&auth, token), "sub");
	free(token);
	/* what a guest's token says of grants is nothing to us */
	token = make_hmac_token(ALG_HS256, key, SLICE(HS256),
	    SLICE(
		"{\"sub\":\"guest:x\",\"exp\":1000060,\"belfry\":{\"role\":\"admin\",\"publish\":[\"**\"]}}"));
	ck_assert_int_eq(token_check(k, &auth, slice_str(token), NOW, &c, &why), 0);
	ck_assert_int_eq(c->role, ROLE_USER);
	ck_assert_uint_eq(c->publish.n, 0);
	claims_unref(c);
	free(token);
	keyring_free(k);
}
END_TEST

/* Guests come in whatever algorithms others use. */
START_TEST(guests_beside_public_keys)
{
	struct pair p256 = make_pair(EVP_EC_gen("P-256"));
	struct config_auth auth = auth_with(&p256, 1u << ALG_ES256);
	struct slice key = slice_of((const char *)guest_key, sizeof(guest_key));
	char *token = make_hmac_token(
	    ALG_HS256, key, SLICE(HS256), SLICE("{\"sub\":\"guest:x\",\"exp\":1000060}"));
	char *forged = make_token(HS256, "{\"sub\":\"guest:x\",\"exp\":1000060}");

	ck_assert_str_eq(refused_by(&auth, token), "alg");
	auth.guests = true;
	ck_assert_str_eq(refused_by(&auth, token), "");
	ck_assert_str_eq(refused_by(&auth, forged), "alg");
	free(token);
	free(forged);
	pair_done(&p256);
}
END_TEST

/* --- the cache --- */

static struct config *
make_config(void)
{
	struct config *c = calloc(1, sizeof(*c));

	ck_assert_ptr_nonnull(c);
	c->auth = make_auth();
	c->generation = 1;
	return c;
}

static struct claims *
cached(struct token_cache *t, const struct keyring *k, const struct config *c, const char *token,
    int64_t now_s)
{
	struct claims *claims = NULL;
	struct token_refusal why = {.text = ""};

	ck_assert_msg(token_cache_check(t, k, c, slice_str(token), now_s, &claims, &why) == 0, "%s",
	    why.text);
	return claims;
}

START_TEST(cache_shares_claims)
{
	struct config *c = make_config();
	char error[256];
	struct keyring *k = keyring_new(&c->auth, error, sizeof(error));
	struct token_cache *t = token_cache_new(2);
	char *a = make_token(HS256, "{\"sub\":\"a\",\"exp\":1000060}");
	char *b = make_token(HS256, "{\"sub\":\"b\",\"exp\":1000060,\"nbf\":1000000}");
	char *d = make_token(HS256, "{\"sub\":\"d\",\"exp\":1000060}");
	struct claims *first = cached(t, k, c, a, NOW);
	struct claims *second = cached(t, k, c, b, NOW);
	struct claims *again = cached(t, k, c, a, NOW);
	struct token_refusal why;

	ck_assert_ptr_eq(first, again);
	ck_assert_ptr_ne(first, second);
	ck_assert_uint_eq(first->refs, 3);
	claims_unref(again);
	/* the least recently used one goes */
	again = cached(t, k, c, d, NOW);
	claims_unref(again);
	ck_assert_uint_eq(second->refs, 1);
	ck_assert_uint_eq(first->refs, 2);
	again = cached(t, k, c, b, NOW);
	ck_assert_ptr_ne(again, second);
	claims_unref(again);
	/* known by its bytes, too, when it comes again and again */
	for (int i = 0; i < 3; i++) {
		claims_unref(cached(t, k, c, b, NOW));
		ck_assert_uint_eq(again->refs, 1);
	}
	/* the clock is looked at again, in both directions */
	ck_assert_int_eq(token_cache_check(t, k, c, slice_str(b), NOW - 31, &again, &why), -EACCES);
	ck_assert_str_eq(why.check, "nbf");
	again = cached(t, k, c, b, NOW);
	claims_unref(again);
	ck_assert_int_eq(token_cache_check(t, k, c, slice_str(b), NOW + 90, &again, &why), -EACCES);
	ck_assert_str_eq(why.text, "exp was 30 s ago");
	/* another generation of the configuration checks again */
	again = cached(t, k, c, d, NOW);
	c->generation++;
	claims_unref(again);
	ck_assert_uint_eq(again->refs, 1);
	claims_unref(second);
	again = cached(t, k, c, d, NOW);
	claims_unref(again);
	token_cache_clear(t);
	ck_assert_uint_eq(first->refs, 1);
	claims_unref(first);
	/* a refusal is not remembered */
	a[strlen(a) - 2] = a[strlen(a) - 2] == 'A' ? 'B' : 'A';
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(
		    token_cache_check(t, k, c, slice_str(a), NOW, &again, &why), -EACCES);
	token_cache_free(t);
	token_cache_free(NULL);
	keyring_free(k);
	free(a);
	free(b);
	free(d);
	free(c);
}
END_TEST

START_TEST(cache_lives_without_memory)
{
	struct config *c = make_config();
	char *token = make_token(HS256, WELL);
	long blocks = mem_blocks();
	bool is_done = false;

	for (long n = 1; !is_done; n++) {
		struct token_cache *t = NULL;
		struct claims *claims = NULL;
		struct token_refusal why;
		char error[256];
		struct keyring *k;

		ck_assert_int_lt(n, 200);
		mem_fail_at(n);
		k = keyring_new(&c->auth, error, sizeof(error));
		t = k == NULL ? NULL : token_cache_new(4);
		if (t != NULL &&
		    token_cache_check(t, k, c, slice_str(token), NOW, &claims, &why) == 0) {
			struct claims *again = NULL;

			ck_assert_int_eq(
			    token_cache_check(t, k, c, slice_str(token), NOW, &again, &why) == 0,
			    again != NULL);
			is_done = mem_fail_is_pending();
			claims_unref(again);
		}
		mem_fail_at(0);
		claims_unref(claims);
		token_cache_free(t);
		keyring_free(k);
		ck_assert_int_eq(mem_blocks(), blocks);
	}
	free(token);
	free(c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("token_keys");
	TCase *keys = tcase_create("keys");
	TCase *cache = tcase_create("cache");

	tcase_set_timeout(keys, 30);
	tcase_add_test(keys, secrets_are_long_enough);
	tcase_add_test(keys, keys_are_bound_to_their_algorithms);
	tcase_add_test(keys, public_keys_verify);
	tcase_add_test(keys, keys_are_not_confused);
	tcase_add_test(keys, signed_tokens_are_taken);
	tcase_add_test(keys, guests_have_a_key_of_their_own);
	tcase_add_test(keys, guests_beside_public_keys);
	tcase_add_test(cache, cache_shares_claims);
	tcase_add_test(cache, cache_lives_without_memory);
	suite_add_tcase(s, keys);
	suite_add_tcase(s, cache);
	return run_suite(s);
}
