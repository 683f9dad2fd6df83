#include "core/token.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include <openssl/crypto.h>

#include "base/b64.h"
#include "base/mem.h"
#include "core/token_jwks.h"
#include "core/token_private.h"
#include "proto/json.h"

enum {
	PART_HEADER,
	PART_PAYLOAD,
	PART_SIGNATURE,
	PARTS
};

/* One token being read. */
struct reading {
	const struct keyring *keyring;
	const struct config_auth *auth;
	int64_t now_s;
	struct slice part[PARTS]; /* as sent, pointing into text */
	char *scratch;            /* text with its NUL, then room to decode into */
	size_t scratch_n;
	struct slice payload; /* decoded */
	cJSON *header;
	cJSON *claims;
	unsigned alg;
	struct slice key;  /* that the signature is checked with; absent: none but the guest key */
	bool may_be_guest; /* the guest key is tried too */
	bool is_guest;     /* the guest key's signature held */
	struct token_refusal *why;
};

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
refuse_form(const struct reading *r, const char *check, const char *text)
{
	return token_refuse(r->why, check, false, "%s", text);
}

/* --- form --- */

/*
 * Three parts of strict base64url; the header's and the payload's bytes are decoded into
 * scratch.
 */
static int
split(struct reading *r, struct slice token)
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
		if (n == PARTS)
			break;
		r->part[n] = slice_cut(&rest, '.');
	}
	if (n != PARTS || rest.p != NULL)
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
decode(struct reading *r, struct slice part, char *out, cJSON **tree, const char *wrong)
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
is_accepted(const struct reading *r)
{
	return (r->auth->algorithms & 1u << r->alg) != 0;
}

/* Accepted, and there is a key for it: of a key set that may not be so. */
static bool
is_listed(const struct reading *r)
{
	return is_accepted(r) && (r->keyring->algorithms & 1u << r->alg) != 0;
}

/* Guest tokens are this daemon's own affair, whatever algorithms others may use. */
static bool
may_be_guest(const struct reading *r)
{
	return r->alg == ALG_HS256 && r->auth->guests && r->keyring->has_guest_key;
}

static int
refuse_algorithm(const struct reading *r)
{
	char list[ALG_COUNT * 8] = "";
	size_t n = 0;

	for (unsigned alg = 0; alg < ALG_COUNT; alg++) {
		if ((r->auth->algorithms & r->keyring->algorithms & 1u << alg) == 0)
			continue;
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n == 0 ? "" : ", ",
		    token_algorithm_name(alg));
	}
	return token_refuse(r->why, "alg", false,
	    "alg is none of the algorithms taken here, want %s",
	    n == 0 ? "a guest token of this daemon" : list);
}

static int
check_algorithm(struct reading *r)
{
	struct slice alg = json_string(cJSON_GetObjectItemCaseSensitive(r->header, "alg"));

	for (r->alg = 0; r->alg < ALG_COUNT; r->alg++) {
		if (slice_eq(alg, slice_str(token_algorithm_name(r->alg))))
			return is_accepted(r) || may_be_guest(r) ? 0 : refuse_algorithm(r);
	}
	return refuse_algorithm(r);
}

static int
refuse_without_kid(const struct reading *r)
{
	return refuse_form(r, "kid", "kid is missing, want the id of a key of the key set");
}

/* The key of the set that kid names, and no other: not the secret, nor the guest key. */
static int
choose_by_kid(struct reading *r, struct slice kid)
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
choose_key(struct reading *r, const cJSON *kid)
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
check_header(struct reading *r)
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
check_signature(struct reading *r)
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

/* --- claims (RFC 7519, section 4.1); from here on the signature holds --- */

/*
 * An integer as it was written: no fraction, no exponent. *out is untouched when the claim is
 * absent.
 */
static int
read_integer(const struct reading *r, const char *name, bool *is_there, int64_t *out)
{
	struct slice raw;
	struct slice digits;
	uint64_t v = 0;
	bool is_negative;

	*is_there = cJSON_GetObjectItemCaseSensitive(r->claims, name) != NULL;
	if (!*is_there)
		return 0;
	raw = json_raw_member(r->payload, name);
	is_negative = raw.n > 0 && raw.p[0] == '-';
	digits = is_negative ? slice_skip(raw, 1) : raw;
	for (size_t i = 0; i < digits.n; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9')
			digits.n = 0;
	}
	if (digits.n == 0)
		return token_refuse(r->why, name, true, "%s is not an integer", name);
	if (slice_to_u64(digits, &v) < 0 || v > INT64_MAX)
		return token_refuse(r->why, name, true, "%s is out of range", name);
	*out = is_negative ? -(int64_t)v : (int64_t)v;
	return 0;
}

static int64_t
subtract(int64_t a, int64_t b)
{
	int64_t d;

	if (__builtin_sub_overflow(a, b, &d))
		return a < b ? INT64_MIN : INT64_MAX;
	return d;
}

/* exp and nbf are 0 when absent; a 0 that was written counts as 1, as long ago. */
int
token_check_times(const struct config_auth *auth, int64_t exp, int64_t nbf, int64_t now_s,
    struct token_refusal *why)
{
	int64_t leeway_s = (int64_t)min_u64(auth->leeway_ms / 1000, INT32_MAX);

	if (exp != 0 && subtract(now_s, exp) >= leeway_s)
		return token_refuse(
		    why, "exp", true, "exp was %" PRId64 " s ago", subtract(now_s, exp));
	if (nbf != 0 && subtract(nbf, now_s) > leeway_s)
		return token_refuse(
		    why, "nbf", true, "nbf is in %" PRId64 " s", subtract(nbf, now_s));
	return 0;
}

static int
read_times(struct reading *r, struct claims_draft *d)
{
	bool has_exp;
	bool has_nbf;
	int e = read_integer(r, "exp", &has_exp, &d->exp);

	if (e == 0)
		e = read_integer(r, "nbf", &has_nbf, &d->nbf);
	if (e < 0)
		return e;
	if (!has_exp && r->auth->require_exp)
		return token_refuse(r->why, "exp", true, "exp is missing, want an integer");
	if (has_exp && d->exp == 0)
		d->exp = 1;
	return token_check_times(r->auth, d->exp, d->nbf, r->now_s, r->why);
}

static int
check_issuer(const struct reading *r)
{
	const cJSON *iss = cJSON_GetObjectItemCaseSensitive(r->claims, "iss");
	struct slice want = slice_str(r->auth->issuer);
	char have_clean[TOKEN_CLEAN];
	char want_clean[TOKEN_CLEAN];

	if (want.n == 0 || (cJSON_IsString(iss) && slice_eq(json_string(iss), want)))
		return 0;
	(void)token_clean(want, want_clean);
	if (iss == NULL)
		return token_refuse(r->why, "iss", true, "iss is missing, want '%s'", want_clean);
	if (!cJSON_IsString(iss))
		return token_refuse(
		    r->why, "iss", true, "iss is not a string, want '%s'", want_clean);
	return token_refuse(r->why, "iss", true, "iss is '%s', want '%s'",
	    token_clean(json_string(iss), have_clean), want_clean);
}

/* aud as an array: 1 when want is in it, 0 when not, -1 when it is not all strings. */
static int
find_audience(const cJSON *array, struct slice want)
{
	const cJSON *item;
	int found = 0;

	cJSON_ArrayForEach(item, array)
	{
		if (!cJSON_IsString(item))
			return -1;
		if (slice_eq(json_string(item), want))
			found = 1;
	}
	return found;
}

static int
check_audience(const struct reading *r)
{
	const cJSON *aud = cJSON_GetObjectItemCaseSensitive(r->claims, "aud");
	const cJSON *first = cJSON_IsArray(aud) ? aud->child : aud;
	struct slice want = slice_str(r->auth->audience);
	char have_clean[TOKEN_CLEAN];
	char want_clean[TOKEN_CLEAN];
	int found;

	if (want.n == 0)
		return 0;
	if (cJSON_IsArray(aud))
		found = find_audience(aud, want);
	else
		found = !cJSON_IsString(aud) ? -1 : slice_eq(json_string(aud), want);
	if (found == 1)
		return 0;
	(void)token_clean(want, want_clean);
	if (aud == NULL)
		return token_refuse(r->why, "aud", true, "aud is missing, want '%s'", want_clean);
	if (found < 0)
		return token_refuse(r->why, "aud", true,
		    "aud is not a string or an array of strings, want '%s'", want_clean);
	if (first == NULL)
		return token_refuse(r->why, "aud", true, "aud is empty, want '%s'", want_clean);
	return token_refuse(r->why, "aud", true, "aud is '%s'%s, want '%s'",
	    token_clean(json_string(first), have_clean),
	    first->next != NULL && first != aud ? " and others" : "", want_clean);
}

static int
check_sub(const struct reading *r)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(r->claims, "sub");
	struct slice sub = json_string(item);
	const char *wrong;

	if (item == NULL)
		return token_refuse(r->why, "sub", true, "sub is missing, want a string");
	if (!cJSON_IsString(item))
		return token_refuse(r->why, "sub", true, "sub is not a string");
	wrong = claims_sub_error(sub);
	if (wrong != NULL)
		return token_refuse(r->why, "sub", true,
		    "sub %s, want 1 to 128 bytes without control characters", wrong);
	if (slice_has_prefix(sub, SLICE(TOKEN_GUEST_PREFIX)) != r->is_guest)
		return token_refuse(r->why, "sub", true, "sub is that of a %s",
		    r->is_guest ? "user, and the key is good for guests only"
				: "guest, and only this daemon lets those in");
	if (slice_has_prefix(sub, SLICE(TOKEN_LOCAL_PREFIX)))
		return token_refuse(
		    r->why, "sub", true, "sub begins with local:, which is kept for local sockets");
	return 0;
}

/* name and jti: strings, or absent. */
static int
check_labels(const struct reading *r)
{
	const cJSON *name = json_member(r->claims, "name");
	const cJSON *jti = json_member(r->claims, "jti");
	const char *wrong;

	if (name != NULL && !cJSON_IsString(name))
		return token_refuse(r->why, "name", true, "name is not a string");
	wrong = json_string(name).n == 0 ? NULL : claims_name_error(json_string(name));
	if (wrong != NULL)
		return token_refuse(r->why, "name", true, "name %s", wrong);
	if (jti != NULL && !cJSON_IsString(jti))
		return token_refuse(r->why, "jti", true, "jti is not a string");
	return 0;
}

/* iat: any number (RFC 7519, section 4.1.6); revocation compares whole seconds. */
static int
read_iat(const struct reading *r, struct claims_draft *d)
{
	const cJSON *iat = json_member(r->claims, "iat");
	double v = cJSON_IsNumber(iat) ? iat->valuedouble : 0;

	if (iat != NULL && !cJSON_IsNumber(iat))
		return token_refuse(r->why, "iat", true, "iat is not a number");
	d->iat = v <= 0 ? 0 : v >= (double)TOKEN_EXP_MAX ? TOKEN_EXP_MAX : (int64_t)v;
	return 0;
}

static int
read_grants(const struct reading *r, struct claims_draft *d)
{
	const cJSON *belfry = cJSON_GetObjectItemCaseSensitive(r->claims, "belfry");

	if (r->is_guest)
		claims_draft_add_grants(d, &r->auth->guest_defaults);
	else if (belfry == NULL)
		claims_draft_add_grants(d, &r->auth->defaults);
	else
		return claims_draft_read(d, belfry, r->why);
	return 0;
}

static int
read_claims(struct reading *r, struct claims **out)
{
	struct claims_draft times = {0};
	struct claims_draft d;
	struct claims *c;
	int e = read_times(r, &times);

	if (e == 0 && !r->is_guest)
		e = check_issuer(r);
	if (e == 0 && !r->is_guest)
		e = check_audience(r);
	if (e == 0)
		e = check_sub(r);
	if (e == 0)
		e = check_labels(r);
	if (e == 0)
		e = read_iat(r, &times);
	if (e < 0)
		return e;
	claims_draft_init(&d, json_string(json_member(r->claims, "sub")),
	    json_string(json_member(r->claims, "name")),
	    json_string(json_member(r->claims, "jti")));
	d.exp = times.exp;
	d.nbf = times.nbf;
	d.iat = times.iat;
	d.is_guest = r->is_guest;
	e = read_grants(r, &d);
	c = e < 0 ? NULL : claims_draft_finish(&d);
	claims_draft_done(&d);
	if (c == NULL)
		return e < 0 ? e : -ENOMEM;
	*out = c;
	return 0;
}

static int
read_token(struct reading *r, struct slice token, struct claims **out)
{
	char *decoded;
	int e = split(r, token);

	if (e < 0)
		return e;
	decoded = r->scratch + token.n + 1;
	e = decode(r, r->part[PART_HEADER], decoded, &r->header,
	    "the header is not a JSON object in strict form");
	if (e == 0)
		e = check_header(r);
	if (e == 0)
		e = decode(r, r->part[PART_SIGNATURE], decoded, NULL, NULL);
	if (e == 0)
		e = decode(r, r->part[PART_PAYLOAD], decoded, &r->claims,
		    "the claims are not a JSON object in strict form (UTF-8, each member once, no NUL, integers of 64 bits, 16 deep)");
	if (e == 0)
		e = check_signature(r);
	return e < 0 ? e : read_claims(r, out);
}

int
token_check(const struct keyring *k, const struct config_auth *auth, struct slice token,
    int64_t now_s, struct claims **out, struct token_refusal *why)
{
	struct reading r = {.keyring = k, .auth = auth, .now_s = now_s, .why = why};
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
