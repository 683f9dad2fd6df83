#include "core/token.h"

#include <stdarg.h>
#include <stdio.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/mem.h"
#include "core/token_jwks.h"
#include "core/token_private.h"

#define RSA_MIN_BITS 2048

static const char *const names[ALG_COUNT] = {
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512"};
/* RFC 7518, section 3.2: a key of the hash's size or larger must be used. */
static const size_t secret_min[] = {[ALG_HS256] = 32, [ALG_HS384] = 48, [ALG_HS512] = 64};

const char *
token_algorithm_name(unsigned alg)
{
	return names[alg];
}

/* The name of the lowest algorithm of a set that is not empty. */
static const char *
first_name(unsigned set)
{
	return names[__builtin_ctz(set)];
}

int
token_key_complain(char *error, size_t error_n, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(error, error_n, fmt, args); /* as said */
	va_end(args);
	return -1;
}

/* --- HS --- */

unsigned
token_key_secret_algorithms(size_t n)
{
	unsigned good = 0;

	for (unsigned alg = ALG_HS256; alg <= ALG_HS512; alg++)
		good |= n >= secret_min[alg] ? 1u << alg : 0;
	return good;
}

bool
token_key_looks_public(struct slice secret)
{
	return memmem(secret.p, secret.n, "-----BEGIN", 10) != NULL;
}

static int
load_secret(struct keyring *k, const struct config_auth *auth, char *error, size_t error_n)
{
	unsigned wanted = auth->algorithms & TOKEN_HS;
	const char *where = auth->secret_path != NULL ? auth->secret_path : "secret";

	if (wanted == 0) {
		if (auth->secret == NULL || auth->secret_n == 0)
			return 0;
		return token_key_complain(error, error_n,
		    "%s is set, but auth.algorithms has none of HS256, HS384, HS512", where);
	}
	if (auth->secret == NULL && auth->jwks != NULL)
		return 0; /* the set may have some */
	if (auth->secret == NULL || auth->secret_n == 0)
		return token_key_complain(error, error_n,
		    "the secret is %s: %s wants secret or secret_file (`belfryctl secret FILE` makes one)",
		    auth->secret == NULL ? "missing" : "empty", first_name(wanted));
	if (auth->secret_n > TOKEN_SECRET_MAX)
		return token_key_complain(error, error_n, "%s is longer than 64 KiB", where);
	for (unsigned alg = ALG_HS256; alg <= ALG_HS512; alg++) {
		if ((wanted & 1u << alg) != 0 && auth->secret_n < secret_min[alg])
			return token_key_complain(error, error_n,
			    "the secret has %zu bytes, %s wants %zu or more", auth->secret_n,
			    names[alg], secret_min[alg]);
	}
	if (token_key_looks_public(slice_of(auth->secret, auth->secret_n)))
		return token_key_complain(error, error_n,
		    "%s is a PEM file; a random secret is wanted for %s", where,
		    first_name(wanted));
	k->secret = mem_alloc(auth->secret_n);
	if (k->secret == NULL)
		return token_key_complain(error, error_n, "no memory");
	memcpy(k->secret, auth->secret, auth->secret_n);
	k->secret_n = auth->secret_n;
	k->algorithms |= wanted;
	return 0;
}

/* --- RS, ES --- */

unsigned
token_key_algorithms(const EVP_PKEY *key, char *what, size_t what_n)
{
	static const struct {
		const char *group;
		unsigned alg;
		const char *name;
	} curves[] = {
	    {"prime256v1", ALG_ES256, "P-256"},
	    {"secp384r1", ALG_ES384, "P-384"},
	    {"secp521r1", ALG_ES512, "P-521"},
	};
	char group[64] = "";

	if (EVP_PKEY_is_a(key, "RSA")) {
		int bits = EVP_PKEY_get_bits(key);

		(void)snprintf(what, what_n, "an RSA key of %d bits", bits);
		return bits >= RSA_MIN_BITS ? TOKEN_RS : 0;
	}
	if (!EVP_PKEY_is_a(key, "EC")) {
		(void)snprintf(what, what_n, "a key of type %s", EVP_PKEY_get0_type_name(key));
		return 0;
	}
	if (EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1)
		(void)snprintf(group, sizeof(group), "explicit parameters");
	for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
		if (strcmp(group, curves[i].group) == 0) {
			(void)snprintf(what, what_n, "an EC key on %s", curves[i].name);
			return 1u << curves[i].alg;
		}
	}
	(void)snprintf(what, what_n, "an EC key on %s", group);
	return 0;
}

int
token_key_write(EVP_PKEY *key, char **out, size_t *out_n)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *copy = NULL;
	char *p = NULL;
	long n = 0;

	if (bio == NULL)
		return -1;
	if (PEM_write_bio_PUBKEY(bio, key) == 1)
		n = BIO_get_mem_data(bio, &p);
	if (n > 0 && n <= TOKEN_PEM_MAX)
		copy = mem_strdup(slice_of(p, (size_t)n));
	BIO_free(bio);
	if (copy == NULL)
		return -1;
	*out = copy;
	*out_n = (size_t)n;
	return 0;
}

static EVP_PKEY *
read_public_key(const char *pem)
{
	size_t n = strlen(pem);
	BIO *bio = n > TOKEN_PEM_MAX ? NULL : BIO_new_mem_buf(pem, (int)n);
	EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);

	BIO_free(bio);
	return key;
}

static int
load_public_key(struct keyring *k, const struct config_auth *auth, char *error, size_t error_n)
{
	unsigned wanted = auth->algorithms & (TOKEN_RS | TOKEN_ES);
	bool has_set = auth->jwks != NULL;
	const char *where =
	    auth->public_key_path != NULL ? auth->public_key_path : "public_key_file";
	char what[96];
	EVP_PKEY *key;
	unsigned good;
	int r = 0;

	if (auth->public_key == NULL || auth->public_key[0] == '\0') {
		if (auth->public_key == NULL && (wanted == 0 || has_set))
			return 0;
		return token_key_complain(error, error_n,
		    "the public key is missing: %s wants public_key_file",
		    wanted == 0 ? "it" : first_name(wanted));
	}
	if (wanted == 0)
		return token_key_complain(error, error_n,
		    "%s is set, but auth.algorithms has none of RS256 … ES512", where);
	key = read_public_key(auth->public_key);
	if (key == NULL)
		return token_key_complain(error, error_n,
		    "%s is not a PEM public key (-----BEGIN PUBLIC KEY-----)", where);
	good = token_key_algorithms(key, what, sizeof(what));
	if ((wanted & good) == 0 || ((wanted & ~good) != 0 && !has_set)) {
		if (good == 0 && EVP_PKEY_is_a(key, "RSA"))
			r = token_key_complain(error, error_n, "%s holds %s, want %d or more",
			    where, what, RSA_MIN_BITS);
		else
			r = token_key_complain(error, error_n,
			    "%s holds %s, which is no key for %s of auth.algorithms", where, what,
			    first_name(wanted & ~good));
	} else if (token_key_write(key, &k->pem, &k->pem_n) < 0) {
		r = token_key_complain(error, error_n, "no memory");
	}
	EVP_PKEY_free(key);
	if (r == 0)
		k->pem_algorithms = wanted & good;
	k->algorithms |= k->pem_algorithms;
	return r;
}

struct keyring *
keyring_new(const struct config_auth *auth, char *error, size_t error_n)
{
	struct keyring *k = mem_calloc(1, sizeof(*k));
	int r;

	if (k == NULL) {
		(void)token_key_complain(error, error_n, "no memory"); /* NULL says it */
		return NULL;
	}
	if (auth->algorithms == 0)
		r = token_key_complain(error, error_n, "auth.algorithms is empty");
	else
		r = load_secret(k, auth, error, error_n);
	if (r == 0)
		r = load_public_key(k, auth, error, error_n);
	if (r == 0)
		r = token_jwks_load(k, auth, error, error_n);
	ERR_clear_error();
	if (r == 0)
		return k;
	keyring_free(k);
	return NULL;
}

void
keyring_set_guest_key(struct keyring *k, const uint8_t key[TOKEN_GUEST_KEY])
{
	memcpy(k->guest_key, key, TOKEN_GUEST_KEY);
	k->has_guest_key = true;
}

void
keyring_free(struct keyring *k)
{
	if (k == NULL)
		return;
	if (k->secret != NULL)
		OPENSSL_cleanse(k->secret, k->secret_n);
	mem_free(k->secret);
	mem_free(k->pem);
	token_jwks_done(k);
	OPENSSL_cleanse(k, sizeof(*k));
	mem_free(k);
}
