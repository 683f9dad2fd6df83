#include "core/token.h"

#include <stdio.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/b64.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "core/token_private.h"
#include "proto/json.h"

#define GUEST_RANDOM 12 /* bytes of a guest's id: 96 bits, 16 characters */

int
token_mac(unsigned alg, struct slice key, struct slice bytes, uint8_t out[TOKEN_MAC_MAX])
{
	const EVP_MD *md = alg == ALG_HS256   ? EVP_sha256()
			   : alg == ALG_HS384 ? EVP_sha384()
					      : EVP_sha512();
	unsigned n = 0;

	if (!token_is_hmac(alg) || key.n == 0 || key.n > TOKEN_SECRET_MAX)
		return -1;
	if (HMAC(md, key.p, (int)key.n, (const unsigned char *)bytes.p, bytes.n, out, &n) == NULL)
		return -1;
	return (int)n;
}

static void
add_base64(struct buf *out, struct slice s)
{
	if (buf_reserve(out, B64_SIZE(s.n)) == 0)
		out->n += b64url_encode(s.p, s.n, out->p + out->n);
}

/* header.payload.signature; owned, or NULL. */
static char *
sign(unsigned alg, struct slice key, struct slice payload)
{
	struct buf out = BUF_INIT(TOKEN_MAX + 1);
	uint8_t mac[TOKEN_MAC_MAX];
	char header[48];
	char *token = NULL;
	int n = snprintf(
	    header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\"}", token_algorithm_name(alg));

	add_base64(&out, slice_of(header, (size_t)n));
	(void)buf_add_char(&out, '.'); /* failures stick */
	add_base64(&out, payload);
	n = out.failed ? -1 : token_mac(alg, key, buf_slice(&out), mac);
	if (n > 0) {
		(void)buf_add_char(&out, '.');
		add_base64(&out, slice_of((const char *)mac, (size_t)n));
		if (!out.failed && out.n <= TOKEN_MAX)
			token = mem_strdup(buf_slice(&out));
	}
	OPENSSL_cleanse(mac, sizeof(mac));
	if (out.p != NULL)
		OPENSSL_cleanse(out.p, out.n);
	buf_done(&out);
	return token;
}

static void
add_optional(struct buf *out, const char *name, const char *value)
{
	if (value != NULL && value[0] != '\0')
		(void)json_add_member_string(out, name, slice_str(value)); /* failures stick */
}

void
token_add_list(struct buf *out, const char *name, const struct strings *list)
{
	(void)json_add_key(out, name); /* failures stick */
	(void)buf_add_char(out, '[');
	for (size_t i = 0; i < list->n; i++) {
		if (i > 0)
			(void)buf_add_char(out, ',');
		(void)json_add_string(out, slice_str(list->v[i]));
	}
	(void)buf_add_char(out, ']');
}

static void
add_claims(struct buf *out, const struct token_request *q)
{
	(void)buf_add_char(out, '{'); /* failures stick */
	(void)json_add_member_string(out, "sub", slice_str(q->sub));
	add_optional(out, "name", q->name);
	add_optional(out, "iss", q->issuer);
	add_optional(out, "aud", q->audience);
	(void)json_add_member_i64(out, "iat", q->iat);
	if (q->exp != 0)
		(void)json_add_member_i64(out, "exp", q->exp);
	if (q->with_grants) {
		(void)json_add_key(out, "belfry");
		(void)buf_add_char(out, '{');
		token_add_list(out, "subscribe", &q->subscribe);
		token_add_list(out, "publish", &q->publish);
		token_add_list(out, "direct", &q->direct);
		add_optional(out, "role", q->role);
		(void)buf_add_char(out, '}');
	}
	(void)buf_add_char(out, '}');
}

static bool
is_text(const char *s)
{
	return s == NULL || utf8_is_valid(slice_str(s));
}

static bool
are_text(const struct strings *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (!is_text(s->v[i]))
			return false;
	}
	return true;
}

/* NULL when it can be signed. */
static const char *
request_error(const struct token_request *q)
{
	const char *wrong = claims_sub_error(slice_str(q->sub));

	if (wrong != NULL)
		return wrong;
	if (!is_text(q->name) || !is_text(q->issuer) || !is_text(q->audience) ||
	    !is_text(q->role) || !are_text(&q->subscribe) || !are_text(&q->publish) ||
	    !are_text(&q->direct))
		return "comes with text that is not UTF-8";
	return NULL;
}

char *
token_sign(
    const struct config_auth *auth, const struct token_request *r, char *error, size_t error_n)
{
	struct buf payload = BUF_INIT(TOKEN_MAX);
	const char *wrong = request_error(r);
	char *token;
	unsigned alg;

	for (alg = ALG_HS256; token_is_hmac(alg) && (auth->algorithms & 1u << alg) == 0; alg++)
		continue;
	if (wrong != NULL) {
		(void)snprintf(error, error_n, "sub %s", wrong); /* fits what callers bring */
		return NULL;
	}
	if (!token_is_hmac(alg) || auth->secret == NULL || auth->secret_n == 0) {
		(void)snprintf(error, error_n,
		    "the configuration has no secret to sign with (secret or secret_file, and one of HS256, HS384, HS512)");
		return NULL;
	}
	add_claims(&payload, r);
	token = payload.failed
		    ? NULL
		    : sign(alg, slice_of(auth->secret, auth->secret_n), buf_slice(&payload));
	if (token == NULL)
		(void)snprintf(error, error_n,
		    "the token would be longer than %d bytes, or memory ran out", TOKEN_MAX);
	buf_done(&payload);
	return token;
}

char *
token_sign_guest(const struct keyring *k, const struct config_auth *auth, const char *user_id,
    const char *name, int64_t now_s, char id_out[TOKEN_GUEST_ID])
{
	struct buf payload = BUF_INIT(TOKEN_MAX);
	struct token_request q = {.name = name, .iat = now_s};
	char id[TOKEN_GUEST_ID] = TOKEN_GUEST_PREFIX;
	char random[GUEST_RANDOM];
	char *token = NULL;

	if (!k->has_guest_key || claims_name_error(slice_str(name)) != NULL)
		return NULL;
	if (user_id == NULL) {
		rng_fill(random, sizeof(random));
		_Static_assert(sizeof(id) >= sizeof(TOKEN_GUEST_PREFIX) + B64_SIZE(GUEST_RANDOM),
		    "an id fits");
		(void)b64url_encode(random, sizeof(random), id + strlen(id));
	} else {
		size_t n = strlen(user_id);

		if (n >= sizeof(id) ||
		    !slice_has_prefix(slice_of(user_id, n), SLICE(TOKEN_GUEST_PREFIX)))
			return NULL;
		memcpy(id, user_id, n + 1);
	}
	q.sub = id;
	q.exp = now_s + (int64_t)(auth->guest_ttl_ms / 1000);
	add_claims(&payload, &q);
	if (!payload.failed)
		token = sign(ALG_HS256, slice_of((const char *)k->guest_key, TOKEN_GUEST_KEY),
		    buf_slice(&payload));
	buf_done(&payload);
	if (token != NULL && id_out != NULL)
		memcpy(id_out, id, sizeof(id));
	return token;
}
