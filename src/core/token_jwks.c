#include "core/token_jwks.h"

#include <stdarg.h>
#include <stdio.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "base/b64.h"
#include "base/mem.h"
#include "proto/json.h"

#define RSA_MAX_BYTES      2048 /* of a modulus: OpenSSL verifies with none longer */
#define RSA_MAX_EXPONENT   8    /* bytes: the same */
#define EC_MAX_BYTES       66   /* of a coordinate */
#define B64_ROOM(n_bytes)  (((n_bytes) + 2) / 3 * 3 + 3) /* what b64url_decode may want for them */
#define POINT_UNCOMPRESSED 0x04                          /* SEC 1, section 2.3.3 */

/* One key being read. */
struct reading {
	const struct config_auth *auth;
	const struct keyring *keyring;
	const cJSON *jwk;
	size_t index;
	char what[96]; /* the key in words, once it is read */
	unsigned good; /* algorithms it fits */
	char *error;
	size_t error_n;
};

static const char *
path_of(const struct config_auth *auth)
{
	return auth->jwks_path != NULL ? auth->jwks_path : "jwks_file";
}

/* Says what is wrong with the key at hand; returns -1. */
static int PRINTF(2, 3) fault(const struct reading *r, const char *fmt, ...)
{
	const cJSON *kid = cJSON_GetObjectItemCaseSensitive(r->jwk, "kid");
	char clean[TOKEN_CLEAN];
	char text[192];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args); /* cut where it does not fit */
	va_end(args);
	if (!cJSON_IsString(kid))
		return token_key_complain(
		    r->error, r->error_n, "%s: keys[%zu] %s", path_of(r->auth), r->index, text);
	return token_key_complain(r->error, r->error_n, "%s: keys[%zu] (kid '%s') %s",
	    path_of(r->auth), r->index, token_clean(json_string(kid), clean), text);
}

static int
fault_memory(const struct reading *r)
{
	return token_key_complain(r->error, r->error_n, "no memory");
}

/* --- members --- */

/* Decodes a member into out; 1..max bytes, or -1 with the fault said. out has B64_ROOM(max). */
static int
read_bytes(const struct reading *r, const char *name, size_t max, uint8_t *out)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(r->jwk, name);
	struct slice text = json_string(item);
	ssize_t n;

	if (!cJSON_IsString(item))
		return fault(r, "has no member '%s' that is a string", name);
	if (text.n > (max * 4 + 2) / 3)
		return fault(r, "has a member '%s' of more than %zu bytes", name, max);
	n = b64url_decode(text, out);
	if (n <= 0)
		return fault(r, "has a member '%s' that is not base64url without padding", name);
	return (int)n;
}

/* A private key does not belong into a file that is for verifying, and that many may read. */
static int
check_private(const struct reading *r)
{
	static const char *const names[] = {"d", "p", "q", "dp", "dq", "qi", "oth"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (cJSON_GetObjectItemCaseSensitive(r->jwk, names[i]) != NULL)
			return fault(r,
			    "holds a private key (member '%s'); this file wants public keys only",
			    names[i]);
	}
	return 0;
}

/* The kid: a string that no key before has, and that may be missing from a key on its own. */
static int
check_kid(const struct reading *r)
{
	const cJSON *kid = cJSON_GetObjectItemCaseSensitive(r->jwk, "kid");

	if (kid == NULL)
		return 0;
	if (!cJSON_IsString(kid))
		return fault(r, "has a kid that is not a string");
	if (token_jwks_find(r->keyring, json_string(kid)) != NULL)
		return fault(r, "has the kid of a key before it");
	return 0;
}

/* RFC 7517, sections 4.2 and 4.3. 1: it is for encryption, and nothing to us. */
static int
check_use(const struct reading *r)
{
	const cJSON *use = cJSON_GetObjectItemCaseSensitive(r->jwk, "use");
	const cJSON *ops = cJSON_GetObjectItemCaseSensitive(r->jwk, "key_ops");
	const cJSON *op;

	if (slice_eq(json_string(use), SLICE("enc")))
		return 1;
	if (use != NULL && !slice_eq(json_string(use), SLICE("sig")))
		return fault(r, "has a use that is neither sig nor enc");
	if (ops == NULL)
		return 0;
	cJSON_ArrayForEach(op, ops)
	{
		if (cJSON_IsArray(ops) && slice_eq(json_string(op), SLICE("verify")))
			return 0;
	}
	return fault(r, "has key_ops without verify");
}

/* --- key material (RFC 7518, section 6) --- */

/* A public key of these parameters that holds good, as a point on its curve. NULL: none. */
static EVP_PKEY *
make_key(const char *type, OSSL_PARAM *params)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;
	bool is_good;

	if (ctx == NULL || params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(ctx);
	ctx = key == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	is_good = ctx != NULL && EVP_PKEY_public_check(ctx) == 1;
	EVP_PKEY_CTX_free(ctx);
	if (is_good)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

static int
keep_public(struct reading *r, EVP_PKEY *key, struct token_key *out)
{
	r->good = token_key_algorithms(key, r->what, sizeof(r->what));
	if (r->good == 0)
		return fault(r, "is %s, want 2048 or more", r->what);
	return token_key_write(key, &out->bytes, &out->n) < 0 ? fault_memory(r) : 0;
}

static int
read_rsa(struct reading *r, struct token_key *out)
{
	uint8_t n[B64_ROOM(RSA_MAX_BYTES)];
	uint8_t e[B64_ROOM(RSA_MAX_EXPONENT)];
	int n_n = read_bytes(r, "n", RSA_MAX_BYTES, n);
	int e_n = n_n < 0 ? -1 : read_bytes(r, "e", RSA_MAX_EXPONENT, e);
	BIGNUM *modulus = e_n < 0 ? NULL : BN_bin2bn(n, n_n, NULL);
	BIGNUM *exponent = e_n < 0 ? NULL : BN_bin2bn(e, e_n, NULL);
	OSSL_PARAM_BLD *build = e_n < 0 ? NULL : OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key;
	int status;

	if (build != NULL && modulus != NULL && exponent != NULL &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
		params = OSSL_PARAM_BLD_to_param(build);
	key = make_key("RSA", params);
	if (e_n < 0)
		status = -1;
	else if (key == NULL)
		status = fault(r, "has n and e that are no RSA public key");
	else
		status = keep_public(r, key, out);
	EVP_PKEY_free(key);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	BN_free(modulus);
	BN_free(exponent);
	return status;
}

/*
 * Registered (RFC 7518, RFC 8037, RFC 8812), but nothing that libjwt can check: issuers publish such keys
 * beside others, and a set is no worse for them (RFC 7517, section 5). What nobody registered is a
 * slip of the pen, and told.
 */
static bool
is_foreign(struct slice name)
{
	static const char *const names[] = {
	    "OKP", "EdDSA", "PS256", "PS384", "PS512", "ES256K", "secp256k1"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (slice_eq(name, slice_str(names[i])))
			return true;
	}
	return false;
}

/* Coordinates are always written whole (RFC 7518, section 6.2.1.2). */
struct curve {
	const char *crv;
	size_t n; /* bytes of a coordinate */
};

static const struct curve *
find_curve(const struct reading *r)
{
	static const struct curve curves[] = {
	    {"P-256", 32}, {"P-384", 48}, {"P-521", EC_MAX_BYTES}};
	struct slice crv = json_string(cJSON_GetObjectItemCaseSensitive(r->jwk, "crv"));

	for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
		if (slice_eq(crv, slice_str(curves[i].crv)))
			return &curves[i];
	}
	return NULL;
}

/* 0x04, x, y; out has room for one more decoding. */
static int
read_point(const struct reading *r, const struct curve *c, uint8_t *out)
{
	static const char *const names[] = {"x", "y"};

	out[0] = POINT_UNCOMPRESSED;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int n = read_bytes(r, names[i], EC_MAX_BYTES, out + 1 + i * c->n);

		if (n < 0)
			return -1;
		if ((size_t)n != c->n)
			return fault(r, "has a member '%s' of %d bytes, %s wants %zu", names[i], n,
			    c->crv, c->n);
	}
	return 0;
}

static int
read_ec(struct reading *r, struct token_key *out)
{
	uint8_t point[1 + EC_MAX_BYTES + B64_ROOM(EC_MAX_BYTES)];
	const struct curve *c = find_curve(r);
	OSSL_PARAM_BLD *build;
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key;
	int status;

	if (c == NULL && is_foreign(json_string(cJSON_GetObjectItemCaseSensitive(r->jwk, "crv"))))
		return 1;
	if (c == NULL)
		return fault(r, "has a crv that is none of P-256, P-384, P-521");
	if (read_point(r, c, point) < 0)
		return -1;
	build = OSSL_PARAM_BLD_new();
	if (build != NULL &&
	    OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, c->crv, 0) == 1 &&
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * c->n) ==
		1)
		params = OSSL_PARAM_BLD_to_param(build);
	key = make_key("EC", params);
	if (key == NULL)
		status = fault(r, "has x and y that are no point on %s", c->crv);
	else
		status = keep_public(r, key, out);
	EVP_PKEY_free(key);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	return status;
}

static int
read_oct(struct reading *r, struct token_key *out)
{
	struct slice text = json_string(cJSON_GetObjectItemCaseSensitive(r->jwk, "k"));
	int n;

	if (text.n > TOKEN_SECRET_MAX)
		return fault(r, "has a secret of more than 64 KiB");
	out->bytes = mem_alloc(B64_ROOM(text.n));
	if (out->bytes == NULL)
		return fault_memory(r);
	n = read_bytes(r, "k", TOKEN_SECRET_MAX, (uint8_t *)out->bytes);
	if (n < 0)
		return -1;
	out->n = (size_t)n;
	r->good = token_key_secret_algorithms(out->n);
	(void)snprintf(r->what, sizeof(r->what), "a secret of %zu bytes", out->n);
	if (r->good == 0)
		return fault(r, "is %s, want 32 or more", r->what);
	if (token_key_looks_public(slice_of(out->bytes, out->n)))
		return fault(r, "is PEM text as a secret, want random bytes");
	return 0;
}

/* Without alg, all that the key fits. */
static int
read_algorithm(const struct reading *r, struct token_key *out)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(r->jwk, "alg");
	char clean[TOKEN_CLEAN];
	unsigned alg = 0;

	out->algorithms = r->good & r->auth->algorithms;
	if (item == NULL)
		return 0;
	while (
	    alg < ALG_COUNT && !slice_eq(json_string(item), slice_str(token_algorithm_name(alg))))
		alg++;
	(void)token_clean(json_string(item), clean);
	if (alg == ALG_COUNT && is_foreign(json_string(item)))
		return 1;
	if (alg == ALG_COUNT)
		return fault(
		    r, "has the alg '%s', which the installed libjwt does not have", clean);
	if ((r->good & 1u << alg) == 0)
		return fault(r, "has the alg %s, and is %s", clean, r->what);
	out->algorithms &= 1u << alg;
	return 0;
}

static int
read_material(struct reading *r, struct token_key *out)
{
	struct slice kty = json_string(cJSON_GetObjectItemCaseSensitive(r->jwk, "kty"));
	char clean[TOKEN_CLEAN];

	if (slice_eq(kty, SLICE("RSA")))
		return read_rsa(r, out);
	if (slice_eq(kty, SLICE("EC")))
		return read_ec(r, out);
	if (slice_eq(kty, SLICE("oct")))
		return read_oct(r, out);
	if (is_foreign(kty))
		return 1;
	return fault(r, "has the kty '%s', want RSA, EC or oct", token_clean(kty, clean));
}

/* --- the set --- */

static void
key_done(struct token_key *key)
{
	if (key->bytes != NULL)
		OPENSSL_cleanse(key->bytes, key->n);
	mem_free(key->bytes);
	mem_free(key->kid);
}

/* One element into out; 1: it is left out. */
static int
read_key(struct reading *r, struct token_key *out)
{
	const cJSON *kid = cJSON_GetObjectItemCaseSensitive(r->jwk, "kid");
	int status;

	if (!cJSON_IsObject(r->jwk))
		return fault(r, "is not an object");
	status = check_private(r);
	if (status == 0)
		status = check_use(r);
	if (status == 0)
		status = check_kid(r);
	if (status == 0)
		status = read_material(r, out);
	if (status == 0)
		status = read_algorithm(r, out);
	if (status != 0 || kid == NULL)
		return status;
	out->kid = mem_strdup(json_string(kid));
	return out->kid == NULL ? fault_memory(r) : 0;
}

/* Several keys need ids: one without could never be chosen. */
static int
check_ids(struct reading *r, const cJSON *keys)
{
	if (r->keyring->n_keys < 2)
		return 0;
	r->index = 0;
	cJSON_ArrayForEach(r->jwk, keys)
	{
		if (cJSON_GetObjectItemCaseSensitive(r->jwk, "kid") == NULL && check_use(r) == 0)
			return fault(r, "has no kid, by which tokens choose among several keys");
		r->index++;
	}
	return 0;
}

static int
read_keys(struct keyring *k, struct reading *r, const cJSON *keys)
{
	unsigned found = 0;

	k->keys = mem_calloc(TOKEN_JWKS_KEYS, sizeof(*k->keys));
	if (k->keys == NULL)
		return fault_memory(r);
	cJSON_ArrayForEach(r->jwk, keys)
	{
		struct token_key key = {0};
		int status = read_key(r, &key);

		if (status != 0)
			key_done(&key);
		if (status < 0)
			return -1;
		if (status == 0) {
			k->keys[k->n_keys++] = key;
			found |= key.algorithms;
		}
		r->index++;
	}
	if (check_ids(r, keys) < 0)
		return -1;
	k->algorithms |= found;
	return found != 0 ? 0
			  : token_key_complain(r->error, r->error_n,
				"%s has no key for any of auth.algorithms", path_of(r->auth));
}

/* The secrets among the keys do not stay behind in freed memory. */
static void
wipe_tree(cJSON *keys)
{
	cJSON *key;

	cJSON_ArrayForEach(key, keys)
	{
		cJSON *k = cJSON_GetObjectItemCaseSensitive(key, "k");

		if (cJSON_IsString(k))
			OPENSSL_cleanse(k->valuestring, strlen(k->valuestring));
	}
}

int
token_jwks_load(struct keyring *k, const struct config_auth *auth, char *error, size_t error_n)
{
	struct reading r = {.auth = auth, .keyring = k, .error = error, .error_n = error_n};
	cJSON *tree = NULL;
	cJSON *keys;
	int n;
	int status;

	if (auth->jwks == NULL)
		return 0;
	status = json_parse(slice_str(auth->jwks), &tree, NULL);
	if (status < 0)
		return token_key_complain(
		    error, error_n, "%s: %s", path_of(auth), json_error_text(status));
	keys = cJSON_GetObjectItemCaseSensitive(tree, "keys");
	n = cJSON_IsArray(keys) ? cJSON_GetArraySize(keys) : 0;
	if (n < 1 || n > TOKEN_JWKS_KEYS)
		status = token_key_complain(error, error_n,
		    "%s is no key set, want {\"keys\": [...]} with 1 to %d keys", path_of(auth),
		    TOKEN_JWKS_KEYS);
	else
		status = read_keys(k, &r, keys);
	wipe_tree(keys);
	cJSON_Delete(tree);
	return status;
}

void
token_jwks_done(struct keyring *k)
{
	for (size_t i = 0; i < k->n_keys; i++)
		key_done(&k->keys[i]);
	mem_free(k->keys);
	k->keys = NULL;
	k->n_keys = 0;
}

const struct token_key *
token_jwks_find(const struct keyring *k, struct slice kid)
{
	for (size_t i = 0; i < k->n_keys; i++) {
		if (k->keys[i].kid != NULL && slice_eq(slice_str(k->keys[i].kid), kid))
			return &k->keys[i];
	}
	return NULL;
}
