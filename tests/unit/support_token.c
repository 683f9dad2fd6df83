#include "tests/unit/support_token.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/pem.h>

#include "base/b64.h"
#include "core/token_private.h"

static void
need(bool is_well)
{
	if (!is_well)
		abort();
}

static char *
join(struct slice header, struct slice payload, struct slice signature)
{
	char *token = malloc(B64_SIZE(header.n) + B64_SIZE(payload.n) + B64_SIZE(signature.n) + 2);
	size_t n;

	need(token != NULL);
	n = b64url_encode(header.p, header.n, token);
	token[n++] = '.';
	n += b64url_encode(payload.p, payload.n, token + n);
	if (signature.p == NULL)
		return token;
	token[n++] = '.';
	(void)b64url_encode(signature.p, signature.n, token + n); /* its length is of no interest */
	return token;
}

char *
make_hmac_token(unsigned alg, struct slice key, struct slice header, struct slice payload)
{
	char *head = join(header, payload, SLICE_NONE);
	uint8_t mac[TOKEN_MAC_MAX];
	int n = token_mac(alg, key, slice_str(head), mac);

	need(n > 0);
	free(head);
	return join(header, payload, slice_of((const char *)mac, (size_t)n));
}

char *
make_token(const char *header, const char *payload)
{
	return make_hmac_token(ALG_HS256, SLICE(SECRET), slice_str(header), slice_str(payload));
}

/* ECDSA's DER to the two fixed-length numbers of RFC 7518, section 3.4; the new length. */
static size_t
flatten(uint8_t *signature, size_t n, size_t coordinate_n)
{
	const uint8_t *at = signature;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)n);

	need(sig != NULL);
	need(BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, (int)coordinate_n) > 0);
	need(BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + coordinate_n, (int)coordinate_n) > 0);
	ECDSA_SIG_free(sig);
	return 2 * coordinate_n;
}

char *
make_key_token(
    EVP_PKEY *key, const EVP_MD *md, size_t coordinate_n, const char *header, const char *payload)
{
	char *head = join(slice_str(header), slice_str(payload), SLICE_NONE);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t signature[1024];
	size_t n = sizeof(signature);

	need(ctx != NULL && EVP_DigestSignInit(ctx, NULL, md, NULL, key) == 1);
	need(EVP_DigestSign(ctx, signature, &n, (const uint8_t *)head, strlen(head)) == 1);
	EVP_MD_CTX_free(ctx);
	free(head);
	if (coordinate_n > 0)
		n = flatten(signature, n, coordinate_n);
	return join(slice_str(header), slice_str(payload), slice_of((const char *)signature, n));
}

char *
make_unsigned_token(const char *header, const char *payload, const char *signature)
{
	char *head = join(slice_str(header), slice_str(payload), SLICE_NONE);
	char *token = NULL;

	need(asprintf(&token, "%s.%s", head, signature) > 0);
	free(head);
	return token;
}

char *
make_public_pem(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p = NULL;
	char *pem;
	long n;

	need(bio != NULL && PEM_write_bio_PUBKEY(bio, key) == 1);
	n = BIO_get_mem_data(bio, &p);
	pem = strndup(p, (size_t)n);
	need(pem != NULL);
	BIO_free(bio);
	return pem;
}

/* The configuration's own type is not const; nobody writes there. */
static char *
constant(const char *s)
{
	char *p;

	memcpy(&p, &s, sizeof(p));
	return p;
}

struct config_auth
make_auth(void)
{
	static const char *const patterns[] = {"chat/*", "user/{sub}"};
	struct config_auth a = {.algorithms = 1u << ALG_HS256,
	    .secret = constant(SECRET),
	    .secret_n = strlen(SECRET),
	    .issuer = constant(""),
	    .audience = constant(""),
	    .leeway_ms = 30000,
	    .require_exp = true,
	    .explain = true,
	    .guest_ttl_ms = 3600000};
	const char *const *p = patterns;

	memcpy(&a.defaults.subscribe.v, &p, sizeof(p));
	a.defaults.subscribe.n = 2;
	a.defaults.publish = (struct strings){a.defaults.subscribe.v, 1};
	a.guest_defaults.subscribe = a.defaults.subscribe;
	return a;
}
