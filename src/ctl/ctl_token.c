#include "ctl/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include <openssl/crypto.h>

#include "base/mem.h"
#include "core/topic.h"
#include "ctl/ctl_storage.h"
#include "daemon/config_value.h"
#include "proto/json.h"

#define DEFAULT_TTL_S 3600

static const char help[] =
    "usage: belfryctl token --sub USER [OPTION]...\n"
    "       belfryctl token --check TOKEN [--json]\n"
    "\n"
    "Prints a token signed with the configured secret, or says why the configured daemon would or\n"
    "would not take one, and what it may do (- reads it from the standard input; exit code 0 or 77).\n"
    "\n"
    "  -c, --config FILE    the daemon's configuration\n"
    "      --sub USER       user id\n"
    "      --name NAME      display name\n"
    "      --ttl TIME       how long it is good: 90s, 10m, 1h, 30d (1h)\n"
    "      --subscribe P    may read the pattern P; as often as needed\n"
    "      --publish P      may publish on P\n"
    "      --direct USER    may write to USER, or to everybody: '*'\n"
    "      --role ROLE      user, moderator or admin\n"
    "      --check TOKEN    check a token instead\n"
    "      --json           print JSON\n"
    "\n"
    "Without --subscribe, --publish, --direct and --role the token has what auth.defaults grants.\n";

enum {
	CONFIG,
	SUB,
	NAME,
	TTL,
	SUBSCRIBE,
	PUBLISH,
	DIRECT,
	ROLE,
	CHECK,
	JSON
};

static const struct ctl_option options[] = {
    [CONFIG] = {"config", 'c', true},
    [SUB] = {"sub", 0, true},
    [NAME] = {"name", 0, true},
    [TTL] = {"ttl", 0, true},
    [SUBSCRIBE] = {"subscribe", 0, true},
    [PUBLISH] = {"publish", 0, true},
    [DIRECT] = {"direct", 0, true},
    [ROLE] = {"role", 0, true},
    [CHECK] = {"check", 0, true},
    [JSON] = {"json", 0, false},
};

struct token_command {
	struct ctl_args args;
	const char *config;
	const char *check;
	bool is_json;
	uint64_t ttl_s;
	struct token_request request;
};

/* --- arguments --- */

static int
take_ttl(struct token_command *t, const char *value)
{
	uint64_t ms;

	if (config_value_duration(slice_str(value), &ms) < 0 || ms < 1000 ||
	    ms / 1000 > TOKEN_EXP_MAX / 2)
		return ctl_usage(
		    &t->args, "--ttl is '%s', want a time such as 90s, 10m, 1h or 30d", value);
	t->ttl_s = ms / 1000;
	return 0;
}

static int
take_pattern(struct token_command *t, struct strings *list, int option, const char *value)
{
	const char *wrong =
	    option == DIRECT ? claims_sub_error(slice_str(value)) : pattern_error(slice_str(value));

	if (wrong != NULL)
		return ctl_usage(&t->args, "--%s: '%s' %s", options[option].name, value, wrong);
	t->request.with_grants = true;
	return ctl_add_string(list, value) < 0 ? ctl_no_memory() : 0;
}

static int
take_role(struct token_command *t, const char *value)
{
	if (strcmp(value, "user") != 0 && strcmp(value, "moderator") != 0 &&
	    strcmp(value, "admin") != 0)
		return ctl_usage(&t->args, "--role is '%s', want user, moderator or admin", value);
	t->request.role = value;
	t->request.with_grants = true;
	return 0;
}

static int
take_option(struct token_command *t, int option, const char *value)
{
	switch (option) {
	case CONFIG:
		t->config = value;
		return 0;
	case SUB:
		t->request.sub = value;
		return 0;
	case NAME:
		t->request.name = value;
		return 0;
	case TTL:
		return take_ttl(t, value);
	case SUBSCRIBE:
		return take_pattern(t, &t->request.subscribe, option, value);
	case PUBLISH:
		return take_pattern(t, &t->request.publish, option, value);
	case DIRECT:
		return take_pattern(t, &t->request.direct, option, value);
	case ROLE:
		return take_role(t, value);
	case CHECK:
		t->check = value;
		return 0;
	default:
		t->is_json = true;
		return 0;
	}
}

/* 0; or an exit code, -1 for "done, and well". */
static int
take_arguments(struct token_command *t)
{
	const char *value;
	int i;

	while ((i = ctl_args_next(&t->args, options, ARRAY_LEN(options), &value)) != CTL_END) {
		int code;

		if (i == CTL_HELP)
			return -1;
		if (i == CTL_WRONG)
			return EX_USAGE;
		if (i == CTL_OPERAND)
			return ctl_usage(&t->args, "nothing is known to do with '%s'", value);
		code = take_option(t, i, value);
		if (code != 0)
			return code;
	}
	if (t->check == NULL && t->request.sub == NULL)
		return ctl_usage(&t->args, "--sub is missing");
	if (t->check != NULL && (t->request.sub != NULL || t->request.with_grants))
		return ctl_usage(&t->args, "--check goes with no option that makes a token");
	return 0;
}

/* --- saying what a token may do --- */

static void
print_list(const char *what, const struct strings *list)
{
	(void)printf("%-14s", what);
	for (size_t i = 0; i < list->n; i++) {
		(void)fputs(i == 0 ? "" : ", ", stdout);
		ctl_print_text(stdout, slice_str(list->v[i]));
	}
	(void)puts(list->n == 0 ? "nothing" : "");
}

static void
print_end(int64_t exp, int64_t now_s)
{
	char when[64];
	struct tm tm;
	time_t at = (time_t)exp;

	if (exp == 0) {
		(void)printf("%-14snever\n", "ends");
		return;
	}
	if (gmtime_r(&at, &tm) == NULL ||
	    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		when[0] = '\0';
	if (exp > now_s)
		(void)printf("%-14s%s, in %lld s\n", "ends", when, (long long)(exp - now_s));
	else
		(void)printf("%-14s%s, %lld s ago, within the leeway\n", "ended", when,
		    (long long)(now_s - exp));
}

static const char *
role_name(enum role role)
{
	return role == ROLE_ADMIN ? "admin" : role == ROLE_MODERATOR ? "moderator" : "user";
}

static void
print_claims(const struct claims *c, int64_t now_s)
{
	(void)puts("The daemon takes this token.");
	(void)printf("%-14s", "user");
	ctl_print_text(stdout, slice_str(c->user_id));
	if (c->has_name) {
		(void)fputs(" (", stdout);
		ctl_print_text(stdout, slice_str(c->name));
		(void)fputs(")", stdout);
	}
	(void)printf("\n%-14s%s\n", "role", role_name(c->role));
	print_end(c->exp, now_s);
	print_list("may read", &c->subscribe);
	print_list("may publish", &c->publish);
	print_list("may write to", &c->direct);
}

/* c, or the refusal when it is NULL. */
static int
print_json(const struct claims *c, const struct token_refusal *why)
{
	struct buf out = BUF_INIT(1048576);
	int code = 0;

	(void)buf_add_char(&out, '{'); /* failures stick */
	(void)json_add_member_bool(&out, "valid", c != NULL);
	if (c == NULL) {
		(void)json_add_member_string(&out, "check", slice_str(why->check));
		(void)json_add_member_string(&out, "detail", slice_str(why->text));
	} else {
		(void)json_add_key(&out, "user");
		(void)buf_add_char(&out, '{');
		(void)json_add_member_string(&out, "id", slice_str(c->user_id));
		(void)json_add_member_string(&out, "name", slice_str(c->name));
		(void)buf_add_char(&out, '}');
		(void)json_add_member_string(&out, "role", slice_str(role_name(c->role)));
		if (c->exp != 0)
			(void)json_add_member_i64(&out, "expires", c->exp);
		token_add_list(&out, "subscribe", &c->subscribe);
		token_add_list(&out, "publish", &c->publish);
		token_add_list(&out, "direct", &c->direct);
	}
	(void)buf_add_char(&out, '}');
	return ctl_put_line(&out, code);
}

/* --- the two jobs --- */

static int
load_keyring(const struct config *c, struct keyring **out)
{
	char error[256];

	*out = keyring_new(&c->auth, error, sizeof(error));
	if (*out != NULL)
		return 0;
	return ctl_fail(EX_CONFIG, "%s:%u: %s", c->auth_file, c->auth_line, error);
}

/* What is to be known of a refusal, or of a token that is taken, beside the words of token_check. */
static const char *
more_words(const struct config *c, const struct token_refusal *why, int is_revoked)
{
	if (strcmp(why->check, "signature") == 0 && c->auth.guests)
		return "(A guest's token can be checked by the running daemon only.)";
	if (is_revoked >= 0)
		return NULL;
	return c->storage.backend == STORAGE_SQLITE
		   ? "(Whether it was revoked is not known: the database cannot be read.)"
		   : "(Only the running daemon knows whether it was revoked.)";
}

/* Says it; c's daemon takes the token when claims is not NULL. */
static int
tell_checked(const struct token_command *t, const struct config *c, const struct claims *claims,
    const struct token_refusal *why, int is_revoked)
{
	const char *more = more_words(c, why, is_revoked);

	if (t->is_json)
		return print_json(claims, why);
	if (claims != NULL)
		print_claims(claims, ctl_now());
	else
		(void)printf("The daemon refuses this token: %s.\n", why->text);
	if (more != NULL)
		(void)puts(more);
	return EX_OK;
}

static int
check(const struct token_command *t, const struct config *c, const struct keyring *k)
{
	struct buf input = BUF_INIT(TOKEN_MAX + 2);
	struct slice token = slice_str(t->check);
	struct claims *claims = NULL;
	struct token_refusal why = {.check = ""};
	int64_t now_s = ctl_now();
	int is_revoked = 0;
	int code;
	int r;

	if (strcmp(t->check, "-") == 0) {
		if (buf_reserve(&input, TOKEN_MAX + 2) < 0)
			return ctl_no_memory();
		input.n = fread(input.p, 1, TOKEN_MAX + 2, stdin);
		token = slice_trim(buf_slice(&input));
		while (
		    token.n > 0 && (token.p[token.n - 1] == '\n' || token.p[token.n - 1] == '\r'))
			token.n--;
	}
	r = token_check(k, &c->auth, token, now_s, &claims, &why);
	if (input.p != NULL)
		OPENSSL_cleanse(input.p, input.n);
	buf_done(&input);
	if (r == -ENOMEM)
		return ctl_no_memory();
	if (r == 0)
		is_revoked = ctl_is_revoked(c, claims, now_s);
	if (is_revoked > 0) {
		claims_unref(claims);
		claims = NULL;
		why = (struct token_refusal){.check = "revoked", .text = "this token was revoked"};
	}
	code = tell_checked(t, c, claims, &why, is_revoked);
	if (claims == NULL && code == EX_OK)
		code = EX_NOPERM;
	claims_unref(claims);
	return code;
}

static int
make(struct token_command *t, const struct config *c, const struct keyring *k)
{
	struct claims *claims = NULL;
	struct token_refusal why = {.check = ""};
	char error[256];
	char *token;
	int code = EX_OK;
	int r;

	t->request.iat = ctl_now();
	t->request.exp = t->request.iat + (int64_t)t->ttl_s;
	t->request.issuer = c->auth.issuer;
	t->request.audience = c->auth.audience;
	token = token_sign(&c->auth, &t->request, error, sizeof(error));
	if (token == NULL)
		return ctl_fail(EX_DATAERR, "%s", error);
	r = token_check(k, &c->auth, slice_str(token), t->request.iat, &claims, &why);
	if (r == -ENOMEM)
		code = ctl_no_memory();
	else if (r < 0)
		code = ctl_fail(EX_DATAERR, "the daemon would refuse such a token: %s", why.text);
	else if (t->is_json)
		(void)printf(
		    "{\"token\":\"%s\",\"expires\":%lld}\n", token, (long long)t->request.exp);
	else
		(void)puts(token);
	claims_unref(claims);
	OPENSSL_cleanse(token, strlen(token));
	mem_free(token);
	return code;
}

int
ctl_token(int argc, char **argv)
{
	struct token_command t = {.ttl_s = DEFAULT_TTL_S};
	struct config *c = NULL;
	struct keyring *k = NULL;
	int code;

	ctl_args_init(&t.args, argc, argv, help);
	code = take_arguments(&t);
	if (code == 0)
		code = ctl_load_config(t.config, &c);
	if (code == 0)
		code = load_keyring(c, &k);
	if (code == 0)
		code = t.check != NULL ? check(&t, c, k) : make(&t, c, k);
	keyring_free(k);
	config_unref(c);
	ctl_strings_done(&t.request.subscribe);
	ctl_strings_done(&t.request.publish);
	ctl_strings_done(&t.request.direct);
	return code < 0 ? EX_OK : code;
}
