/*
 * The token check: what is taken, what is refused and in which words, and what a token permits.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/token.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_guard.h"
#include "tests/unit/support_run.h"
#include "tests/unit/support_token.h"

/* The claims of a token that is well, with more members behind. */
#define WELL       "{\"sub\":\"ada\",\"exp\":1000060"
#define WITH(more) WELL "," more "}"

static struct keyring *
load(const struct config_auth *auth)
{
	char error[256] = "";
	struct keyring *k = keyring_new(auth, error, sizeof(error));

	ck_assert_msg(k != NULL, "%s", error);
	return k;
}

/* Checks at NOW; the token ends at an unreadable page. */
static int
check_slice(const struct config_auth *auth, struct slice token, struct claims **out,
    struct token_refusal *why)
{
	struct keyring *k = load(auth);
	struct guard g;
	int r;

	guard_init(&g, token.n);
	*out = NULL;
	r = token_check(k, auth, guard_copy(&g, token), NOW, out, why);
	guard_done(&g);
	keyring_free(k);
	return r;
}

/* The failing check, or "" when the token is taken. */
static const char *
refused_by(const struct config_auth *auth, struct slice token, struct token_refusal *why)
{
	struct claims *c;
	int r = check_slice(auth, token, &c, why);

	if (r == 0) {
		claims_unref(c);
		return "";
	}
	ck_assert_int_eq(r, -EACCES);
	ck_assert_ptr_null(c);
	for (const char *p = why->text; *p != '\0'; p++)
		ck_assert_msg(*p >= ' ' && *p <= '~' && *p != '"' && *p != '\\', "%s", why->text);
	return why->check;
}

struct token_case {
	const char *header; /* NULL: HS256 */
	const char *payload;
	const char *check; /* "" when it is taken */
	const char *text;  /* NULL: not looked at */
};

static void
run_cases(const struct config_auth *auth, const struct token_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct token_case *c = &cases[i];
		char *token = make_token(c->header == NULL ? HS256 : c->header, c->payload);
		struct token_refusal why = {.text = ""};

		ck_assert_msg(strcmp(refused_by(auth, slice_str(token), &why), c->check) == 0,
		    "%s . %s: %s (%s), want %s", c->header, c->payload, why.check, why.text,
		    c->check);
		if (c->text != NULL)
			ck_assert_str_eq(why.text, c->text);
		free(token);
	}
}

START_TEST(header_is_read_strictly)
{
	static const struct token_case cases[] = {
	    {"{\"alg\":\"HS256\"}", WELL "}", "", NULL},
	    {"{\"alg\":\"HS256\",\"typ\":\"jwt\"}", WELL "}", "", NULL},
	    {"{\"typ\":\"JWT\",\"alg\":\"HS256\",\"kid\":\"../../dev/null\"}", WELL "}", "", NULL},
	    {"{\"alg\":\"HS256\",\"jku\":\"https://x/\",\"x5u\":\"https://x/\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"},\"x5c\":[\"AA\"]}",
		WELL "}", "", NULL},
	    {"{\"alg\":\"none\"}", WELL "}", "alg", NULL},
	    {"{\"alg\":\"None\"}", WELL "}", "alg", NULL},
	    {"{\"alg\":\"NONE\"}", WELL "}", "alg", NULL},
	    {"{\"alg\":\"nOnE\"}", WELL "}", "alg", NULL},
	    {"{\"alg\":\" none\"}", WELL "}", "alg", NULL},
	    {"{\"alg\":\"\"}", WELL "}", "alg", NULL},
	    {"{\"alg\":null}", WELL "}", "alg", NULL},
	    {"{\"alg\":0}", WELL "}", "alg", NULL},
	    {"{\"alg\":[\"HS256\"]}", WELL "}", "alg", NULL},
	    {"{}", WELL "}", "alg", NULL},
	    {"{\"typ\":\"JWT\"}", WELL "}", "alg", NULL},
	    {"{\"alg\":\"hs256\"}", WELL "}", "alg", NULL},
	    {"{\"alg\":\"HS256 \"}", WELL "}", "alg", NULL},
	    {"{\"Alg\":\"HS256\"}", WELL "}", "alg", NULL},
	    {"{\"alg\":\"HS384\"}", WELL "}", "alg",
		"alg is none of the algorithms taken here, want HS256"},
	    {"{\"alg\":\"RS256\"}", WELL "}", "alg", NULL},
	    {"{\"alg\":\"ES256\"}", WELL "}", "alg", NULL},
	    {"{\"alg\":\"PS256\"}", WELL "}", "alg", NULL},
	    {"{\"alg\":\"EdDSA\"}", WELL "}", "alg", NULL},
	    {"{\"alg\":\"HS256\",\"alg\":\"none\"}", WELL "}", "malformed", NULL},
	    {"{\"alg\":\"none\",\"\\u0061lg\":\"HS256\"}", WELL "}", "malformed", NULL},
	    {"{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}", WELL "}", "typ", NULL},
	    {"{\"alg\":\"HS256\",\"typ\":\"JWE\"}", WELL "}", "typ", NULL},
	    {"{\"alg\":\"HS256\",\"typ\":1}", WELL "}", "typ", NULL},
	    {"{\"alg\":\"HS256\",\"typ\":null}", WELL "}", "typ", NULL},
	    {"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", WELL "}", "crit", NULL},
	    {"{\"alg\":\"HS256\",\"crit\":[]}", WELL "}", "crit", NULL},
	    {"{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", WELL "}", "crit", NULL},
	    {"{\"alg\":\"HS256\",\"kid\":1}", WELL "}", "kid", NULL},
	    {"{\"alg\":\"HS256\",\"kid\":\"a\\u0000b\"}", WELL "}", "malformed", NULL},
	    {"[\"HS256\"]", WELL "}", "malformed", NULL},
	    {"\"HS256\"", WELL "}", "malformed", NULL},
	    {"{\"alg\":\"HS256\"} x", WELL "}", "malformed", NULL},
	    {"{\"alg\":\"HS256\",}", WELL "}", "malformed", NULL},
	    {"\xef\xbb\xbf{\"alg\":\"HS256\"}", WELL "}", "malformed", NULL},
	    {"{\"alg\":\"HS256\",\"x\":\"\xff\"}", WELL "}", "malformed", NULL},
	    {"{\"alg\":\"HS256\",\"x\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}", WELL "}",
		"malformed", NULL},
	};
	struct config_auth auth = make_auth();

	run_cases(&auth, cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(payload_is_read_strictly)
{
	static const struct token_case cases[] = {
	    {NULL, WITH("\"x\":{\"a\":[1,2,{\"b\":null}]}"), "", NULL},
	    {NULL,
		WITH(
		    "\"x\":[-9223372036854775807,9223372036854775807,1e30,99999999999999999999.5]"),
		"", NULL},
	    {NULL, WITH("\"x\":[\"\\\"99999999999999999999\"]"), "", NULL},
	    {NULL, WITH("\"x\":[99999999999999999999]"), "malformed", NULL},
	    {NULL, WITH("\"x\":-9223372036854775809"), "malformed", NULL},
	    {NULL, WITH("\"sub\":\"eve\""), "malformed", NULL},
	    {NULL, WITH("\"s\\u0075b\":\"eve\""), "malformed", NULL},
	    {NULL, WITH("\"exp\":9999999999"), "malformed", NULL},
	    {NULL, WITH("\"x\":{\"a\":1,\"a\":2}"), "malformed", NULL},
	    {NULL, WITH("\"x\":\"\\u0000\""), "malformed", NULL},
	    {NULL, WITH("\"x\":\"\xc0\x80\""), "malformed", NULL},
	    {NULL, WITH("\"x\":\"\\ud800\""), "malformed", NULL},
	    {NULL, WITH("\"x\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]"), "malformed", NULL},
	    {NULL, "[1]", "malformed", NULL},
	    {NULL, "null", "malformed", NULL},
	    {NULL, "", "malformed", NULL},
	    {NULL, "{}{}", "malformed", NULL},
	    {NULL, "eyJhbGciOiJub25lIn0", "malformed", NULL},
	};
	struct config_auth auth = make_auth();

	run_cases(&auth, cases, ARRAY_LEN(cases));
}
END_TEST

/* exp, nbf and sub with nothing else wrong. */
#define EXP(v)   "{\"sub\":\"ada\",\"exp\":" v "}"
#define SUB(v)   "{\"sub\":" v ",\"exp\":1000060}"
#define CHARS_64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

START_TEST(times_are_integers_and_in_force)
{
	static const struct token_case cases[] = {
	    {NULL, EXP("1000001"), "", NULL},
	    {NULL, EXP("999971"), "", NULL},
	    {NULL, EXP("999970"), "exp", "exp was 30 s ago"},
	    {NULL, EXP("999958"), "exp", "exp was 42 s ago"},
	    {NULL, EXP("0"), "exp", NULL},
	    {NULL, EXP("-1"), "exp", NULL},
	    {NULL, EXP("-9223372036854775807"), "exp", NULL},
	    {NULL, EXP("9223372036854775807"), "", NULL},
	    {NULL, EXP("9223372036854775808"), "malformed", NULL},
	    {NULL, EXP("99999999999999999999999999"), "malformed", NULL},
	    {NULL, EXP("1000060.0"), "exp", "exp is not an integer"},
	    {NULL, EXP("1000060.5"), "exp", "exp is not an integer"},
	    {NULL, EXP("1e300"), "exp", "exp is not an integer"},
	    {NULL, EXP("1e400"), "malformed", NULL},
	    {NULL, EXP("1E9"), "exp", "exp is not an integer"},
	    {NULL, EXP("\"1000060\""), "exp", "exp is not an integer"},
	    {NULL, EXP("null"), "exp", "exp is not an integer"},
	    {NULL, EXP("true"), "exp", "exp is not an integer"},
	    {NULL, EXP("[1000060]"), "exp", "exp is not an integer"},
	    {NULL, EXP("{\"exp\":1000060}"), "exp", "exp is not an integer"},
	    {NULL, "{\"sub\":\"ada\"}", "exp", "exp is missing, want an integer"},
	    {NULL, "{\"sub\":\"ada\",\"EXP\":1000060}", "exp", "exp is missing, want an integer"},
	    {NULL, "{\"sub\":\"ada\",\"x\":{\"exp\":1000060}}", "exp",
		"exp is missing, want an integer"},
	    {NULL, "{\"sub\":\"ada\",\"\\u0065xp\":1000060.0}", "exp", "exp is not an integer"},
	    {NULL, WITH("\"nbf\":1000000"), "", NULL},
	    {NULL, WITH("\"nbf\":1000030"), "", NULL},
	    {NULL, WITH("\"nbf\":1000031"), "nbf", "nbf is in 31 s"},
	    {NULL, WITH("\"nbf\":1000042"), "nbf", "nbf is in 42 s"},
	    {NULL, WITH("\"nbf\":9223372036854775807"), "nbf", NULL},
	    {NULL, WITH("\"nbf\":-9223372036854775807"), "", NULL},
	    {NULL, WITH("\"nbf\":0"), "", NULL},
	    {NULL, WITH("\"nbf\":1.5"), "nbf", "nbf is not an integer"},
	    {NULL, WITH("\"nbf\":\"0\""), "nbf", "nbf is not an integer"},
	    {NULL, WITH("\"nbf\":null"), "nbf", "nbf is not an integer"},
	    {NULL, WITH("\"iat\":999999"), "", NULL},
	    {NULL, WITH("\"iat\":999999.5"), "", NULL},
	    {NULL, WITH("\"iat\":2000000"), "", NULL},
	    {NULL, WITH("\"iat\":\"999999\""), "iat", "iat is not a number"},
	};
	static const struct token_case no_exp[] = {
	    {NULL, "{\"sub\":\"ada\"}", "", NULL},
	    {NULL, EXP("999958"), "exp", "exp was 42 s ago"},
	    {NULL, EXP("0"), "exp", NULL},
	    {NULL, EXP("null"), "exp", "exp is not an integer"},
	};
	struct config_auth auth = make_auth();

	run_cases(&auth, cases, ARRAY_LEN(cases));
	auth.require_exp = false;
	run_cases(&auth, no_exp, ARRAY_LEN(no_exp));
}
END_TEST

START_TEST(users_are_named)
{
	static const struct token_case cases[] = {
	    {NULL, SUB("\"a\""), "", NULL},
	    {NULL, SUB("\"" CHARS_64 CHARS_64 "\""), "", NULL},
	    {NULL, SUB("\"" CHARS_64 CHARS_64 "a\""), "sub", NULL},
	    {NULL, SUB("\"\xd0\x96\""), "", NULL},
	    {NULL, SUB("\"\""), "sub",
		"sub is empty, want 1 to 128 bytes without control characters"},
	    {NULL, SUB("\"a\\nb\""), "sub", NULL},
	    {NULL, SUB("\"a\\u007f\""), "sub", NULL},
	    {NULL, SUB("\"a\\u0085\""), "sub", NULL},
	    {NULL, SUB("42"), "sub", "sub is not a string"},
	    {NULL, SUB("null"), "sub", "sub is not a string"},
	    {NULL, SUB("[\"ada\"]"), "sub", "sub is not a string"},
	    {NULL, SUB("\"guest:1\""), "sub", NULL},
	    {NULL, SUB("\"local:root\""), "sub", NULL},
	    {NULL, "{\"exp\":1000060}", "sub", "sub is missing, want a string"},
	    {NULL, "{\"Sub\":\"ada\",\"exp\":1000060}", "sub", "sub is missing, want a string"},
	    {NULL, WITH("\"name\":\"Ada \xe2\x98\x83\""), "", NULL},
	    {NULL, WITH("\"name\":\"\""), "", NULL},
	    {NULL, WITH("\"name\":null"), "", NULL},
	    {NULL, WITH("\"name\":42"), "name", "name is not a string"},
	    {NULL, WITH("\"name\":[\"Ada\"]"), "name", "name is not a string"},
	    {NULL, WITH("\"name\":\"A\\r\\nb\""), "name", "name has a control character"},
	    {NULL, WITH("\"name\":\"" CHARS_64 CHARS_64 "a\""), "name",
		"name is longer than 128 bytes"},
	    {NULL, WITH("\"jti\":\"1\""), "", NULL},
	    {NULL, WITH("\"jti\":1"), "jti", "jti is not a string"},
	};
	struct config_auth auth = make_auth();

	run_cases(&auth, cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(issuer_and_audience_when_configured)
{
	static const struct token_case cases[] = {
	    {NULL, WITH("\"iss\":\"me\",\"aud\":\"y\""), "", NULL},
	    {NULL, WITH("\"iss\":\"me\",\"aud\":[\"x\",\"y\"]"), "", NULL},
	    {NULL, WITH("\"iss\":\"ME\",\"aud\":\"y\""), "iss", "iss is 'ME', want 'me'"},
	    {NULL, WITH("\"iss\":\"me \",\"aud\":\"y\""), "iss", NULL},
	    {NULL, WITH("\"iss\":\"a\\\"b\\\\c'd\\ne\xc3\xa9\",\"aud\":\"y\""), "iss",
		"iss is 'a?b?c?d?e?"
		"?', want 'me'"},
	    {NULL, WITH("\"iss\":\"" CHARS_64 "aaaa\",\"aud\":\"y\""), "iss",
		"iss is '" CHARS_64 "...', want 'me'"},
	    {NULL, WITH("\"aud\":\"y\""), "iss", "iss is missing, want 'me'"},
	    {NULL, WITH("\"iss\":[\"me\"],\"aud\":\"y\""), "iss", "iss is not a string, want 'me'"},
	    {NULL, WITH("\"iss\":\"me\""), "aud", "aud is missing, want 'y'"},
	    {NULL, WITH("\"iss\":\"me\",\"aud\":\"x\""), "aud", "aud is 'x', want 'y'"},
	    {NULL, WITH("\"iss\":\"me\",\"aud\":\"yy\""), "aud", NULL},
	    {NULL, WITH("\"iss\":\"me\",\"aud\":[]"), "aud", "aud is empty, want 'y'"},
	    {NULL, WITH("\"iss\":\"me\",\"aud\":[\"x\"]"), "aud", "aud is 'x', want 'y'"},
	    {NULL, WITH("\"iss\":\"me\",\"aud\":[\"x\",\"z\"]"), "aud",
		"aud is 'x' and others, want 'y'"},
	    {NULL, WITH("\"iss\":\"me\",\"aud\":[\"y\",1]"), "aud", NULL},
	    {NULL, WITH("\"iss\":\"me\",\"aud\":[[\"y\"]]"), "aud", NULL},
	    {NULL, WITH("\"iss\":\"me\",\"aud\":{\"y\":\"y\"}"), "aud", NULL},
	    {NULL, WITH("\"iss\":\"me\",\"aud\":null"), "aud", NULL},
	};
	struct config_auth auth = make_auth();
	char issuer[] = "me";
	char audience[] = "y";

	auth.issuer = issuer;
	auth.audience = audience;
	run_cases(&auth, cases, ARRAY_LEN(cases));
}
END_TEST

#define BELFRY(v) WITH("\"belfry\":" v)

START_TEST(grants_are_read_strictly)
{
	static const struct token_case cases[] = {
	    {NULL, BELFRY("{}"), "", NULL},
	    {NULL,
		BELFRY(
		    "{\"x\":1,\"subscribe\":[],\"publish\":[\"a/{sub}/**\"],\"direct\":[\"*\",\"bob\"],\"role\":\"admin\"}"),
		"", NULL},
	    {NULL, BELFRY("null"), "belfry", "belfry is not an object"},
	    {NULL, BELFRY("[]"), "belfry", "belfry is not an object"},
	    {NULL, BELFRY("\"admin\""), "belfry", "belfry is not an object"},
	    {NULL, BELFRY("{\"subscribe\":\"**\"}"), "belfry",
		"belfry.subscribe is not an array of strings"},
	    {NULL, BELFRY("{\"publish\":null}"), "belfry",
		"belfry.publish is not an array of strings"},
	    {NULL, BELFRY("{\"direct\":{}}"), "belfry", "belfry.direct is not an array of strings"},
	    {NULL, BELFRY("{\"publish\":[1]}"), "belfry", NULL},
	    {NULL, BELFRY("{\"publish\":[null]}"), "belfry", NULL},
	    {NULL, BELFRY("{\"subscribe\":[\"a//b\"]}"), "belfry",
		"'a//b' in belfry.subscribe has an empty segment"},
	    {NULL, BELFRY("{\"subscribe\":[\"**/a\"]}"), "belfry", NULL},
	    {NULL, BELFRY("{\"subscribe\":[\"\"]}"), "belfry", NULL},
	    {NULL, BELFRY("{\"subscribe\":[\"a/b\\u0007\"]}"), "belfry", NULL},
	    {NULL, BELFRY("{\"direct\":[\"\"]}"), "belfry", NULL},
	    {NULL, BELFRY("{\"role\":\"root\"}"), "belfry",
		"belfry.role is 'root', want 'user', 'moderator' or 'admin'"},
	    {NULL, BELFRY("{\"role\":\"Admin\"}"), "belfry", NULL},
	    {NULL, BELFRY("{\"role\":null}"), "belfry", "belfry.role is not a string"},
	    {NULL, BELFRY("{\"role\":[\"admin\"]}"), "belfry", "belfry.role is not a string"},
	};
	struct config_auth auth = make_auth();

	run_cases(&auth, cases, ARRAY_LEN(cases));
}
END_TEST

START_TEST(form_is_strict)
{
	struct config_auth auth = make_auth();
	struct token_refusal why;
	char *good = make_token(HS256, WELL "}");
	char *more = NULL;
	char *big = malloc(TOKEN_MAX + 1);
	size_t dot = strcspn(good, ".");

	ck_assert_str_eq(refused_by(&auth, slice_str(good), &why), "");
	for (size_t n = 0; n < strlen(good); n++)
		ck_assert_str_ne(refused_by(&auth, slice_of(good, n), &why), "");
	for (size_t i = 0; i < strlen(good); i++) {
		char was = good[i];

		good[i] = was == 'A' ? 'B' : 'A';
		ck_assert_str_ne(refused_by(&auth, slice_str(good), &why), "");
		ck_assert(!why.signature_held);
		good[i] = was;
	}
	static const char *const shapes[] = {
	    "%s=", "%s==", "%s.", "%s.e30", " %s", "%s ", "%s\n", ".%s", "Bearer %s", "%s%%00"};
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		ck_assert_int_gt(asprintf(&more, shapes[i], good), 0);
#pragma GCC diagnostic pop
		ck_assert_str_eq(refused_by(&auth, slice_str(more), &why), "malformed");
		free(more);
	}
	ck_assert_str_eq(
	    refused_by(&auth, slice_of(good, strlen(good) + 1), &why), "malformed"); /* its NUL */
	good[dot + 4] = '+';
	ck_assert_str_eq(refused_by(&auth, slice_str(good), &why), "malformed");
	free(good);
	ck_assert_ptr_nonnull(big);
	memset(big, 'a', TOKEN_MAX + 1);
	ck_assert_str_eq(refused_by(&auth, slice_of(big, TOKEN_MAX + 1), &why), "too_long");
	ck_assert_str_eq(refused_by(&auth, slice_of(big, TOKEN_MAX), &why), "malformed");
	free(big);
	ck_assert_str_eq(refused_by(&auth, SLICE("."), &why), "malformed");
	ck_assert_str_eq(refused_by(&auth, SLICE(".."), &why), "malformed");
	ck_assert_str_eq(refused_by(&auth, SLICE("eyJhbGciOiJIUzI1NiJ9.."), &why), "malformed");
}
END_TEST

/* The last character of a base64url text may carry unused bits: a second spelling of the same bytes. */
START_TEST(base64_has_one_spelling)
{
	struct config_auth auth = make_auth();
	struct token_refusal why;
	char *token =
	    make_token(HS256, WELL "}"); /* 32 bytes of signature: 4 of the last 6 bits are used */
	size_t last = strlen(token) - 1;
	unsigned taken = 0;

	for (char c = '-'; c <= 'z'; c++) {
		token[last] = c;
		taken += refused_by(&auth, slice_str(token), &why)[0] == '\0';
	}
	ck_assert_uint_eq(taken, 1);
	free(token);
}
END_TEST

START_TEST(signature_comes_first)
{
	struct config_auth auth = make_auth();
	struct token_refusal why;
	static const char *const payloads[] = {WELL "}", EXP("5"), SUB("42"), BELFRY("[]"), "{}"};
	char *token;

	for (size_t i = 0; i < ARRAY_LEN(payloads); i++) {
		static const char *const signatures[] = {"AA", "e30", CHARS_64};

		token = make_hmac_token(ALG_HS256, SLICE("another key of thirty-two bytes!"),
		    SLICE(HS256), slice_str(payloads[i]));
		ck_assert_str_eq(refused_by(&auth, slice_str(token), &why), "signature");
		ck_assert(!why.signature_held);
		free(token);
		for (size_t j = 0; j < ARRAY_LEN(signatures); j++) {
			token = make_unsigned_token(HS256, payloads[i], signatures[j]);
			ck_assert_str_eq(refused_by(&auth, slice_str(token), &why), "signature");
			free(token);
		}
		token = make_unsigned_token("{\"alg\":\"none\"}", payloads[i], "");
		ck_assert_str_eq(refused_by(&auth, slice_str(token), &why), "alg");
		free(token);
		token = make_unsigned_token(HS256, payloads[i], "");
		ck_assert_str_eq(refused_by(&auth, slice_str(token), &why), "malformed");
		free(token);
	}
}
END_TEST

/* --- what a token permits --- */

static struct claims *
taken(const struct config_auth *auth, const char *payload)
{
	char *token = make_token(HS256, payload);
	struct token_refusal why = {.text = ""};
	struct claims *c;

	ck_assert_msg(check_slice(auth, slice_str(token), &c, &why) == 0, "%s", why.text);
	free(token);
	return c;
}

START_TEST(claims_say_who_and_what)
{
	struct config_auth auth = make_auth();
	struct claims *c = taken(&auth,
	    "{\"sub\":\"a/*b\",\"name\":\"Ada\",\"exp\":1000060,\"nbf\":7,\"iat\":8,\"jti\":\"j\","
	    "\"belfry\":{\"subscribe\":[\"x/{sub}\",\"y{sub}\",\"server/**\"],\"publish\":[\"**\"],"
	    "\"direct\":[\"bob\",\"{sub}\"],\"role\":\"moderator\"}}");

	ck_assert_str_eq(c->user_id, "a/*b");
	ck_assert_str_eq(c->name, "Ada");
	ck_assert(c->has_name && !c->is_guest);
	ck_assert_str_eq(c->user_topic, "user/a%2F%2Ab");
	ck_assert_str_eq(c->jti, "j");
	ck_assert_int_eq(c->exp, 1000060);
	ck_assert_int_eq(c->nbf, 7);
	ck_assert_int_eq(c->iat, 8);
	ck_assert_int_eq(c->role, ROLE_MODERATOR);
	ck_assert_uint_eq(c->subscribe.n, 3);
	ck_assert_str_eq(c->subscribe.v[0], "x/a%2F%2Ab");
	ck_assert(claims_may_subscribe(c, SLICE("x/a%2F%2Ab")));
	ck_assert(!claims_may_subscribe(c, SLICE("x/bob")));
	ck_assert(!claims_may_subscribe(c, SLICE("x/*")));
	ck_assert(claims_may_subscribe(c, SLICE("server/stats")));
	ck_assert(claims_may_publish(c, SLICE("any/thing")));
	ck_assert(!claims_may_publish(c, SLICE("server/stats")));
	ck_assert(!claims_may_publish(c, SLICE("user/bob")));
	ck_assert(claims_may_direct(c, SLICE("bob")) && !claims_may_direct(c, SLICE("a/*b")));
	ck_assert_ptr_eq(claims_ref(c), c);
	claims_unref(c);
	claims_unref(c);
	claims_unref(NULL);
}
END_TEST

START_TEST(defaults_without_the_claim)
{
	struct config_auth auth = make_auth();
	struct claims *c = taken(&auth, WELL "}");

	ck_assert_str_eq(c->name, "ada");
	ck_assert(!c->has_name);
	ck_assert_ptr_null(c->jti);
	ck_assert(claims_may_subscribe(c, SLICE("user/ada")) &&
		  !claims_may_subscribe(c, SLICE("user/bob")));
	ck_assert(
	    claims_may_publish(c, SLICE("chat/lobby")) && !claims_may_direct(c, SLICE("bob")));
	claims_unref(c);
	c = taken(&auth,
	    BELFRY("{\"role\":\"admin\"}")); /* a claim without a member grants nothing for it */
	ck_assert(!claims_may_subscribe(c, SLICE("chat/lobby")) &&
		  !claims_may_publish(c, SLICE("chat/lobby")));
	claims_unref(c);
	/* a user called as a wildcard, and one whose encoded id makes no topic */
	c = taken(&auth, SUB("\"**\""));
	ck_assert_str_eq(c->subscribe.v[1], "user/%2A%2A");
	claims_unref(c);
	c = taken(&auth,
	    SUB("\"//////////////////////////////////////////////////////////////////////\""));
	ck_assert_uint_eq(c->subscribe.n, 1);
	claims_unref(c);
	c = taken(&auth, EXP("9223372036854775807"));
	ck_assert_int_eq(c->exp, TOKEN_EXP_MAX);
	claims_unref(c);
}
END_TEST

START_TEST(local_users)
{
	struct claims *c = claims_new_local("root", ROLE_ADMIN);

	ck_assert_str_eq(c->user_id, "local:root");
	ck_assert_str_eq(c->name, "root");
	ck_assert_int_eq(c->role, ROLE_ADMIN);
	ck_assert_int_eq(c->exp, 0);
	ck_assert(
	    claims_may_subscribe(c, SLICE("**")) && claims_may_subscribe(c, SLICE("user/bob")));
	ck_assert(claims_may_publish(c, SLICE("user/bob")) && claims_may_direct(c, SLICE("bob")));
	ck_assert(!claims_may_publish(c, SLICE("server/x")));
	claims_unref(c);
}
END_TEST

START_TEST(no_memory_is_no_claims)
{
	struct config_auth auth = make_auth();
	struct keyring *k = load(&auth);
	char *token = make_token(HS256,
	    "{\"sub\":\"ada\",\"exp\":1000060,\"belfry\":{\"subscribe\":[\"a\",\"b\",\"c/{sub}/**\"],\"direct\":[\"*\"]}}");
	long blocks = mem_blocks();
	int r = -ENOMEM;

	for (long n = 1; r != 0; n++) {
		struct claims *c = NULL;
		struct token_refusal why;

		ck_assert_int_lt(n, 1000);
		mem_fail_at(n);
		r = token_check(k, &auth, slice_str(token), NOW, &c, &why);
		if (r == 0)
			claims_unref(c);
		else
			ck_assert_int_eq(r, -ENOMEM);
		ck_assert_int_eq(mem_blocks(), blocks);
	}
	mem_fail_at(0);
	free(token);
	keyring_free(k);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("token");
	TCase *refused = tcase_create("refused");
	TCase *permits = tcase_create("permits");

	tcase_add_test(refused, header_is_read_strictly);
	tcase_add_test(refused, payload_is_read_strictly);
	tcase_add_test(refused, times_are_integers_and_in_force);
	tcase_add_test(refused, users_are_named);
	tcase_add_test(refused, issuer_and_audience_when_configured);
	tcase_add_test(refused, grants_are_read_strictly);
	tcase_add_test(refused, form_is_strict);
	tcase_add_test(refused, base64_has_one_spelling);
	tcase_add_test(refused, signature_comes_first);
	tcase_add_test(permits, claims_say_who_and_what);
	tcase_add_test(permits, defaults_without_the_claim);
	tcase_add_test(permits, local_users);
	tcase_add_test(permits, no_memory_is_no_claims);
	suite_add_tcase(s, refused);
	suite_add_tcase(s, permits);
	return run_suite(s);
}
