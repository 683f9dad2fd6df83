/*
 * Tokens: bytes as they are, which must never be taken, and, after "s\n", a header and a payload (a line each) that are signed with the right
 * key, so that what stands behind the signature is reached.
 */
#include <stdint.h>
#include <stdlib.h>

#include <openssl/hmac.h>

#include "base/b64.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "core/token.h"
#include "core/topic.h"

#define NOW      INT64_C(1000000)
#define PART_MAX 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
need(bool is_well)
{
	if (!is_well)
		abort();
}

static struct config_auth
make_auth(char *secret, char *empty, char **patterns)
{
	struct config_auth a = {.algorithms = 1u << ALG_HS256,
	    .secret = secret,
	    .secret_n = strlen(secret),
	    .issuer = empty,
	    .audience = empty,
	    .leeway_ms = 30000,
	    .require_exp = true,
	    .guests = true};

	a.defaults.subscribe = (struct strings){patterns, 1};
	a.guest_defaults = a.defaults;
	return a;
}

/* header.payload.signature of the two parts; owned. */
static char *
sign(struct slice header, struct slice payload, const char *secret)
{
	char *token = malloc(B64_SIZE(header.n) + B64_SIZE(payload.n) + 64);
	unsigned char mac[32];
	unsigned mac_n = 0;
	size_t n;

	need(token != NULL);
	n = b64url_encode(header.p, header.n, token);
	token[n++] = '.';
	n += b64url_encode(payload.p, payload.n, token + n);
	need(HMAC(EVP_sha256(), secret, (int)strlen(secret), (unsigned char *)token, n, mac,
		 &mac_n) != NULL);
	token[n++] = '.';
	(void)b64url_encode(mac, mac_n, token + n);
	return token;
}

static void
check_claims(const struct claims *c)
{
	need(claims_sub_error(slice_str(c->user_id)) == NULL);
	need(claims_name_error(slice_str(c->name)) == NULL);
	need(strncmp(c->user_id, "guest:", 6) != 0 && strncmp(c->user_id, "local:", 6) != 0);
	need(c->exp > NOW - 30 && c->exp <= TOKEN_EXP_MAX && c->nbf <= NOW + 30);
	for (size_t i = 0; i < c->subscribe.n; i++)
		need(pattern_error(slice_str(c->subscribe.v[i])) == NULL);
	for (size_t i = 0; i < c->publish.n; i++)
		need(pattern_error(slice_str(c->publish.v[i])) == NULL);
	need(!claims_may_publish(c, SLICE("server/x")));
}

static void
check_refusal(const struct token_refusal *why, bool is_signed)
{
	need(why->check != NULL && why->text[0] != '\0');
	need(is_signed || !why->signature_held);
	for (const char *p = why->text; *p != '\0'; p++)
		need(*p >= ' ' && *p <= '~' && *p != '"' && *p != '\\');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char secret[] = "0123456789abcdef0123456789abcdef";
	char pattern[] = "user/{sub}";
	char empty[] = "";
	char *patterns[] = {pattern};
	struct config_auth auth = make_auth(secret, empty, patterns);
	struct slice in = slice_of((const char *)data, size);
	bool is_signed = slice_has_prefix(in, SLICE("s\n"));
	struct token_refusal why = {.text = ""};
	struct claims *claims = NULL;
	struct keyring *k;
	char *token = NULL;
	char error[256];
	int r;

	if (size > PART_MAX)
		return 0;
	if (is_signed) {
		struct slice payload = slice_skip(in, 2);
		struct slice header = slice_cut(&payload, '\n');

		token = sign(header, payload, secret);
		in = slice_str(token);
	}
	k = keyring_new(&auth, error, sizeof(error));
	need(k != NULL);
	r = token_check(k, &auth, in, NOW, &claims, &why);
	if (r == 0) {
		need(is_signed);
		check_claims(claims);
		claims_unref(claims);
	} else {
		check_refusal(&why, is_signed);
	}
	keyring_free(k);
	free(token);
	return 0;
}
