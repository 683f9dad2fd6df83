/*
 * Key sets: what loads is of use and told apart by kid, what does not says why; a token that nobody
 * signed is taken with none of the keys.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "core/token_jwks.h"

#define SET_MAX 8192
#define NOW     INT64_C(1000000)
/* {"alg":"RS256","kid":"a"} and {"alg":"HS256","kid":"a"}, claims of sub and exp, and 32 bytes */
#define RS  "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ"
#define HS  "eyJhbGciOiJIUzI1NiIsImtpZCI6ImEifQ"
#define SUB ".eyJzdWIiOiJhZGEiLCJleHAiOjEwMDAwNjB9.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
need(bool is_well)
{
	if (!is_well)
		abort();
}

static void
check_keys(const struct keyring *k)
{
	need(k->n_keys > 0 && k->n_keys <= TOKEN_JWKS_KEYS && k->algorithms != 0);
	for (size_t i = 0; i < k->n_keys; i++) {
		const struct token_key *key = &k->keys[i];
		bool is_public = token_key_looks_public(slice_of(key->bytes, key->n));
		unsigned hmac = key->algorithms & TOKEN_HS;

		need(key->n > 0 && key->algorithms != 0 && (k->algorithms & key->algorithms) != 0);
		need(hmac == 0 || hmac == key->algorithms);
		need(is_public == (hmac == 0) && (is_public || key->n >= 32));
		need(key->kid != NULL || k->n_keys == 1);
		need(key->kid == NULL || token_jwks_find(k, slice_str(key->kid)) == key);
	}
}

static void
check_refusal(const struct keyring *k, const struct config_auth *auth, struct slice token)
{
	struct token_refusal why;
	struct claims *claims = NULL;

	need(token_check(k, auth, token, NOW, &claims, &why) < 0);
	need(why.text[0] != '\0' && !why.signature_held);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[512] = "";
	struct config_auth auth = {.algorithms = (1u << ALG_COUNT) - 1, .require_exp = true};
	struct keyring *k;

	if (size > SET_MAX)
		return 0;
	auth.jwks = mem_strdup(slice_of((const char *)data, size));
	need(auth.jwks != NULL);
	k = keyring_new(&auth, error, sizeof(error));
	need((k == NULL) == (error[0] != '\0'));
	for (const char *p = error; *p != '\0'; p++)
		need(*p >= ' ' && *p <= '~');
	if (k != NULL) {
		check_keys(k);
		check_refusal(k, &auth, SLICE(RS SUB));
		check_refusal(k, &auth, SLICE(HS SUB));
	}
	keyring_free(k);
	mem_free(auth.jwks);
	return 0;
}
