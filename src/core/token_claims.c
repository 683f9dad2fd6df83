#include "core/token_private.h"

#include <errno.h>
#include <inttypes.h>

#include "proto/json.h"

/* The claims of a token (RFC 7519, section 4.1). The signature holds: what they say may be told. */

/*
 * An integer as it was written: no fraction, no exponent. *out is untouched when the claim is
 * absent.
 */
static int
read_integer(const struct token_reading *r, const char *name, bool *is_there, int64_t *out)
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
read_times(struct token_reading *r, struct claims_draft *d)
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
check_issuer(const struct token_reading *r)
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
check_audience(const struct token_reading *r)
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
check_sub(const struct token_reading *r)
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
check_labels(const struct token_reading *r)
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
read_iat(const struct token_reading *r, struct claims_draft *d)
{
	const cJSON *iat = json_member(r->claims, "iat");
	double v = cJSON_IsNumber(iat) ? iat->valuedouble : 0;

	if (iat != NULL && !cJSON_IsNumber(iat))
		return token_refuse(r->why, "iat", true, "iat is not a number");
	d->iat = v <= 0 ? 0 : v >= (double)TOKEN_EXP_MAX ? TOKEN_EXP_MAX : (int64_t)v;
	return 0;
}

static int
read_grants(const struct token_reading *r, struct claims_draft *d)
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

int
token_read_claims(struct token_reading *r, struct claims **out)
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
