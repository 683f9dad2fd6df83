#include "base/mem.h"
#include "core/counters.h"
#include "core/limiter.h"
#include "core/name.h"
#include "proto/json.h"
#include "serve/private.h"

#define ANSWER_MAX (TOKEN_MAX + 2048)

static void
add_user(struct buf *out, struct slice id, struct slice name)
{
	(void)json_add_key(out, "user");
	(void)buf_add_char(out, '{');
	(void)json_add_member_string(out, "id", id);
	(void)json_add_member_string(out, "name", name);
	(void)buf_add_char(out, '}');
}

/* GET: who am I, and how does one get a token here. */
static void
tell(struct exchange *x)
{
	const struct config_auth *auth = &serve_of(x)->config->auth;
	struct buf json = BUF_INIT(ANSWER_MAX);
	struct claims *claims = NULL;
	struct refusal r;
	bool found;

	if (serve_find_token(x, false, &claims, &r, &found) < 0 && found) {
		serve_refuse(x, &r);
		return;
	}
	(void)buf_add_char(&json, '{');
	if (claims != NULL)
		add_user(&json, slice_str(claims->user_id), slice_str(claims->name));
	else
		(void)json_add_member_raw(&json, "user", SLICE("null"));
	if (claims != NULL && claims->exp != 0)
		(void)json_add_member_i64(&json, "expires", claims->exp);
	else
		(void)json_add_member_raw(&json, "expires", SLICE("null"));
	(void)json_add_member_bool(&json, "guests", auth->guests);
	(void)json_add_member_string(&json, "login_url", slice_str(auth->login_url));
	(void)buf_add_char(&json, '}');
	serve_json_buf(x, 200, &json);
	buf_done(&json);
	claims_unref(claims);
}

static int
keep_name(const struct claims *old, char **out, struct refusal *r)
{
	*out = mem_strdup(slice_str(old->name));
	return *out != NULL ? 0 : refuse_memory(r);
}

/* The name that a JSON body asks for: owned and trimmed in *out. 0, or -1 with *r. */
static int
check_name(const cJSON *body, const struct claims *old, char **out, struct refusal *r)
{
	char room[4 * NAME_MAX_BYTES] UNCLEARED;
	struct buf clean = BUF_ON(room, 4096);
	const cJSON *item;

	if (!cJSON_IsObject(body))
		return refuse(
		    r, ERROR_BAD_FIELD, "the body is not an object: {\"name\": \"Ada\"} is wanted");
	item = json_member(body, "name");
	if (item == NULL && old != NULL)
		return keep_name(old, out, r);
	if (item == NULL)
		return refuse(r, ERROR_BAD_FIELD, "name is missing");
	if (!cJSON_IsString(item))
		return refuse(r, ERROR_BAD_FIELD, "name is not a string");
	if (name_take(slice_trim(json_string(item)), &clean, r) < 0)
		return -1;
	*out = mem_strdup(buf_slice(&clean));
	buf_done(&clean);
	if (*out == NULL)
		return refuse_memory(r);
	return 0;
}

/*
 * The name of the new token, owned: from the body, or for a renewal without one the old one.
 * 0, or -1 with *r.
 */
static int
read_name(const struct exchange *x, const struct claims *old, char **out, struct refusal *r)
{
	cJSON *body = NULL;
	struct slice type;
	size_t at = 0;
	bool is_json;
	bool may_be_json;
	int result;

	if (x->body.n == 0 && old != NULL)
		return keep_name(old, out, r);
	if (serve_media(x, &type, r) < 0)
		return -1;
	is_json = slice_eq_nocase(type, SLICE("application/json"));
	/* curl's -d says that it is a form, unless it is told what it is */
	may_be_json = is_json || type.p == NULL ||
		      slice_eq_nocase(type, SLICE("application/x-www-form-urlencoded"));
	result = may_be_json ? json_parse(x->body, &body, &at) : -1;
	if (may_be_json && result == JSON_E_MEMORY)
		return refuse_memory(r);
	if (result < 0 && !is_json)
		return refuse(r, ERROR_UNSUPPORTED_MEDIA,
		    "Content-Type is not application/json: {\"name\": \"Ada\"} is wanted");
	if (result < 0)
		return refuse(
		    r, ERROR_BAD_JSON, "%s at byte %zu of the body", json_error_text(result), at);
	result = check_name(body, old, out, r);
	cJSON_Delete(body);
	return result;
}

static int
take_from_limit(const struct exchange *x, struct refusal *r)
{
	const struct serve *s = serve_of(x);
	uint32_t count = s->config->auth.guest_tokens_per_minute;
	const struct rate rate = {count, 60000, count};
	char key[LIMITER_KEY_MAX];
	char peer[EXCHANGE_PEER];
	uint64_t wait_ms;

	if (s->guests == NULL || count == 0)
		return 0;
	wait_ms = limiter_take(
	    s->guests, limiter_address_key(exchange_peer(x, peer), key), rate, 1, x->net->now_ms);
	if (wait_ms == 0)
		return 0;
	return refuse_limit(r, ERROR_RATE_LIMITED, "auth.guest_tokens_per_minute",
	    limiter_retry_s(wait_ms), "more than %u guest tokens a minute from one address", count);
}

/*
 * The token that a POST brings. A live guest token is renewed; another user's counts for
 * nothing here. A cookie that has ended must not keep a browser, which cannot leave it out,
 * from becoming a guest. 0 and *out or NULL; or -1 with *r.
 */
static int
find_old(struct exchange *x, struct claims **out, struct refusal *r)
{
	struct buf scratch = BUF_INIT(2 * TOKEN_MAX);
	struct claims *claims = NULL;
	enum token_place place = TOKEN_NOWHERE;
	struct slice token;
	bool found;
	int result = serve_find_token(x, true, &claims, r, &found);

	*out = NULL;
	if (result == 0) {
		if (claims->is_guest)
			*out = claims;
		else
			claims_unref(claims);
		return 0;
	}
	if (r->code == ERROR_UNAUTHORIZED)
		return 0;
	if (r->code == ERROR_INVALID_TOKEN) {
		struct refusal ignored;

		if (token_locate(x, &scratch, &token, &place, &ignored) == 0 &&
		    place == TOKEN_COOKIE)
			result = 0;
		buf_done(&scratch);
	}
	return result;
}

static int
sign(struct exchange *x, const struct claims *old, const char *name, struct refusal *r)
{
	const struct serve *s = serve_of(x);
	const struct config_auth *auth = &s->config->auth;
	struct buf json = BUF_INIT(ANSWER_MAX);
	char id[TOKEN_GUEST_ID] = "";
	char *token = token_sign_guest(
	    s->keyring, auth, old == NULL ? NULL : old->user_id, name, serve_now_s(s), id);

	if (token == NULL)
		return refuse(r, ERROR_INTERNAL, "the token could not be signed");
	counter_add(x->net->counters, COUNTER_GUEST_TOKENS, 1);
	(void)buf_add_char(&json, '{');
	(void)json_add_member_string(&json, "token", slice_str(token));
	add_user(&json, slice_str(old == NULL ? id : old->user_id), slice_str(name));
	(void)json_add_member_i64(
	    &json, "expires", serve_now_s(s) + (int64_t)(auth->guest_ttl_ms / 1000));
	(void)buf_add_char(&json, '}');
	serve_json_buf(x, 200, &json);
	buf_done(&json);
	mem_free(token);
	return 0;
}

/* POST: a guest token, for a name. */
static void
give(struct exchange *x)
{
	struct claims *old = NULL;
	char *name = NULL;
	struct refusal r;
	int result;

	if (!serve_of(x)->config->auth.guests)
		result = refuse(
		    &r, ERROR_FORBIDDEN, "there are no guest tokens here: auth.guests is false");
	else
		result = find_old(x, &old, &r);
	if (result == 0)
		result = read_name(x, old, &name, &r);
	if (result == 0)
		result = take_from_limit(x, &r);
	if (result == 0)
		result = sign(x, old, name, &r);
	if (result < 0)
		serve_refuse(x, &r);
	mem_free(name);
	claims_unref(old);
}

void
serve_token(struct exchange *x)
{
	if (x->method == HTTP_POST)
		give(x);
	else
		tell(x);
}
