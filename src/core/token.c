#include "core/token.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include <openssl/crypto.h>

#include "base/b64.h"
#include "base/mem.h"
#include "core/token_jwks.h"
#include "core/token_private.h"
#include "proto/json.h"

/* --- refusing --- */

int
token_refuse(
    struct token_refusal *why, const char *check, bool signature_held, const char *fmt, ...)
{
	va_list args;

	*why = (struct token_refusal){.check = check, .signature_held = signature_held};
	va_start(args, fmt);
	(void)vsnprintf(why->text, sizeof(why->text), fmt, args); /* cut where it does not fit */
	va_end(args);
	return -EACCES;
}

const char *
token_clean(struct slice s, char out[TOKEN_CLEAN])
{
	const size_t max = TOKEN_CLEAN - 4;
	size_t n = min_size(s.n, max);

	for (size_t i = 0; i < n; i++) {
		bool is_plain = s.p[i] >= ' ' && s.p[i] <= '~' && strchr("\"\\'", s.p[i]) == NULL;

		out[i] = is_plain ? s.p[i] : '?';
	}
	(void)snprintf(out + n, TOKEN_CLEAN - n, "%s", s.n > max ? "..." : "");
	return out;
}

/* Of what stands in the header or of the form: the signature is not known yet. */
static int
refuse_form(const struct token_reading *r, const char *check, const char *text)
{
	return token_refuse(r->why, check, false, "%s", text);
}

/* --- form --- */

/*
 * Three parts of strict base64url; the header's and the payload's bytes are decoded into
 * scratch.
 */
static int
split(struct token_reading *r, struct slice token)
{
	struct slice rest;
	size_t n = 0;

	r->scratch_n = token.n * 2 + 1;
	r->scratch = mem_alloc(r->scratch_n);
	if (r->scratch == NULL)
		return -ENOMEM;
	memcpy(r->scratch, token.p, token.n);
	r->scratch[token.n] = '\0';
	for (rest = slice_of(r->scratch, token.n); rest.p != NULL; n++) {
		if (n == TOKEN_PARTS)
			break;
		r->part[n] = slice_cut(&rest, '.');
	}
	if (n != TOKEN_PARTS || rest.p != NULL)
		return refuse_form(r, "malformed", "the token is not three parts joined by dots");
	return 0;
}

/*
 * A whole number at *at: whether it is one of 64 bits, as libjwt's own parser wants; steps over
 * it.
 */
static bool
is_small_number(struct slice json, size_t *at)
{
	size_t start = *at;
	uint64_t v = 0;

	while (*at < json.n && json.p[*at] >= '0' && json.p[*at] <= '9')
		(*at)++;
	if (*at < json.n && strchr(".eE", json.p[*at]) != NULL) {
		while (*at < json.n && strchr("0123456789.eE+-", json.p[*at]) != NULL)
			(*at)++;
		return true;
	}
	return slice_to_u64(slice_of(json.p + start, *at - start), &v) == 0 && v <= INT64_MAX;
}

/* Whether all integers of checked JSON text are within 64 bits. */
static bool
has_small_numbers(struct slice json)
{
	bool in_string = false;

	for (size_t i = 0; i < json.n;) {
		char c = json.p[i];

		if (in_string || c < '0' || c > '9') {
			i += in_string && c == '\\' ? 2 : 1;
			in_string = in_string != (c == '"');
		} else if (!is_small_number(json, &i)) {
			return false;
		}
	}
	return true;
}

/* Decode one part to out; parses as a JSON object when tree is not NULL. */
static int
decode(struct token_reading *r, struct slice part, char *out, cJSON **tree, const char *wrong)
{
	ssize_t n = part.n == 0 ? -1 : b64url_decode(part, out);
	int e;

	if (n < 0)
		return refuse_form(r, "malformed",
		    "a part of the token is not base64url without padding in its one right form");
	r->payload = slice_of(out, (size_t)n);
	if (tree == NULL)
		return 0;
	e = json_parse(r->payload, tree, NULL);
	if (e == JSON_E_MEMORY)
		return -ENOMEM;
	if (e < 0 || !cJSON_IsObject(*tree) || !has_small_numbers(r->payload))
		return refuse_form(r, "malformed", wrong);
	return 0;
}

/* --- header (RFC 7515, section 4) --- */

static bool
is_accepted(const struct token_reading *r)
{
	return (r->auth->algorithms & 1u << r->alg) != 0;
}

/* Accepted, and there is a key for it: of a key set that may not be so. */
static bool
is_listed(const struct token_reading *r)
{
	return is_accepted(r) && (r->keyring->algorithms & 1u << r->alg) != 0;
}

/* Guest tokens are this daemon's own affair, whatever algorithms others may use. */
static bool
may_be_guest(const struct token_reading *r)
{
	return r->alg == ALG_HS256 && r->auth->guests && r->keyring->has_guest_key;
}

static int
refuse_algorithm(const struct token_reading *r)
{
	char list[ALG_COUNT * 8] = "";
	size_t n = 0;

	for (unsigned alg = 0; alg < ALG_COUNT; alg++) {
		if ((r->auth->algorithms & r->keyring->algorithms & 1u << alg) == 0)
			continue;
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n == 0 ? "" : ", ",
		    token_algorithm_name(alg));
	}
	return token_refuse(
	    r->why, "alg", false, "alg is none of the algorithms taken here, want %s", list);
}

static int
check_algorithm(struct token_reading *r)
{
	struct slice alg = json_string(cJSON_GetObjectItemCaseSensitive(r->header, "alg"));

	for (r->alg = 0; r->alg < ALG_COUNT; r->alg++) {
		if (slice_eq(alg, slice_str(token_algorithm_name(r->alg))))
			return is_accepted(r) || may_be_guest(r) ? 0 : refuse_algorithm(r);
	}
	return refuse_algorithm(r);
}

static int
refuse_without_kid(const struct token_reading *r)
{
	return refuse_form(r, "kid", "kid is missing, want the id of a key of the key set");
}

/* The key of the set that kid names, and no other: not the secret, nor the guest key. */
static int
choose_by_kid(struct token_reading *r, struct slice kid)
{
	const struct token_key *key = token_jwks_find(r->keyring, kid);
	char clean[TOKEN_CLEAN];

	if (key == NULL)
		return token_refuse(r->why, "kid", false,
		    "no key of the id '%s' is known, want one of the key set",
		    token_clean(kid, clean));
	if ((key->algorithms & r->auth->algorithms & 1u << r->alg) == 0)
		return refuse_form(
		    r, "alg", "alg is none of the algorithms taken for the key that kid names");
	r->key = slice_of(key->bytes, key->n);
	return 0;
}

/*
 * Each algorithm has keys of its own kind only. Without a key set there is nothing to choose, and
 * kid is not looked at.
 */
static int
choose_key(struct token_reading *r, const cJSON *kid)
{
	const struct keyring *k = r->keyring;

	if (kid != NULL && !cJSON_IsString(kid))
		return refuse_form(r, "kid", "kid is not a string");
	if (kid != NULL && k->n_keys > 0)
		return choose_by_kid(r, json_string(kid));
	r->may_be_guest = may_be_guest(r);
	if (!is_listed(r))
		return r->may_be_guest ? 0 : refuse_algorithm(r);
	if (token_is_hmac(r->alg) && k->secret != NULL)
		r->key = slice_of((const char *)k->secret, k->secret_n);
	else if ((k->pem_algorithms & 1u << r->alg) != 0)
		r->key = slice_of(k->pem, k->pem_n);
	else if (k->n_keys == 1 && (k->keys[0].algorithms & 1u << r->alg) != 0)
		r->key = slice_of(k->keys[0].bytes, k->keys[0].n);
	else if (!r->may_be_guest)
		return refuse_without_kid(r);
	return 0;
}

/* Keys that a token brings along (jwk, jku, x5u, x5c) are never looked at. */
static int
check_header(struct token_reading *r)
{
	const cJSON *typ = cJSON_GetObjectItemCaseSensitive(r->header, "typ");
	const cJSON *kid = cJSON_GetObjectItemCaseSensitive(r->header, "kid");
	const cJSON *b64 = cJSON_GetObjectItemCaseSensitive(r->header, "b64");
	int e = check_algorithm(r);

	if (e < 0)
		return e;
	if (typ != NULL && !slice_eq_nocase(json_string(typ), SLICE("JWT")))
		return refuse_form(r, "typ", "typ is not JWT (at+jwt of RFC 9068 is not taken)");
	if (cJSON_GetObjectItemCaseSensitive(r->header, "crit") != NULL)
		return refuse_form(r, "crit", "crit names extensions, and none is understood here");
	if (b64 != NULL && !cJSON_IsTrue(b64)) /* RFC 7797, section 7: never in a JWT */
		return refuse_form(r, "b64", "b64 is not true, as it is in every JWT");
	return choose_key(r, kid);
}

static int
check_signature(struct token_reading *r)
{
	const struct keyring *k = r->keyring;
	int e = -EACCES;

	if (r->key.p != NULL)
		e = token_verify(r->alg, r->key, r->scratch);
	if (e == -EACCES && r->may_be_guest) {
		e = token_verify(
		    ALG_HS256, slice_of((const char *)k->guest_key, TOKEN_GUEST_KEY), r->scratch);
		r->is_guest = e == 0;
	}
	if (e != -EACCES)
		return e;
	if (r->key.p == NULL)
		return is_listed(r) ? refuse_without_kid(r) : refuse_algorithm(r);
	return refuse_form(
	    r, "signature", "the signature does not hold (another key, or a changed token)");
}

static int
read_token(struct token_reading *r, struct slice token, struct claims **out)
{
	char *decoded;
	int e = split(r, token);

	if (e < 0)
		return e;
	decoded = r->scratch + token.n + 1;
	e = decode(r, r->part[TOKEN_HEADER], decoded, &r->header,
	    "the header is not a JSON object in strict form");
	if (e == 0)
		e = check_header(r);
	if (e == 0)
		e = decode(r, r->part[TOKEN_SIGNATURE], decoded, NULL, NULL);
	if (e == 0)
		e = decode(r, r->part[TOKEN_PAYLOAD], decoded, &r->claims,
		    "the claims are not a JSON object in strict form (UTF-8, each member once, no NUL, integers of 64 bits, 16 deep)");
	if (e == 0)
		e = check_signature(r);
	return e < 0 ? e : token_read_claims(r, out);
}

int
token_check(const struct keyring *k, const struct config_auth *auth, struct slice token,
    int64_t now_s, struct claims **out, struct token_refusal *why)
{
	struct token_reading r = {.keyring = k, .auth = auth, .now_s = now_s, .why = why};
	int e;

	if (token.n > TOKEN_MAX)
		return refuse_form(&r, "too_long", "the token is longer than 8192 bytes");
	if (token.n == 0 || memchr(token.p, '\0', token.n) != NULL)
		return refuse_form(&r, "malformed", "the token is not three parts joined by dots");
	e = read_token(&r, token, out);
	cJSON_Delete(r.header);
	cJSON_Delete(r.claims);
	if (r.scratch != NULL)
		OPENSSL_cleanse(r.scratch, r.scratch_n);
	mem_free(r.scratch);
	return e;
}
