#include "core/claims.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "core/name.h"
#include "core/token_private.h"
#include "core/topic.h"

#define DRAFT_MAX 1048576 /* bytes; a token of TOKEN_MAX bytes stays far below it */

/* --- under construction --- */

static void
add_text(struct claims_draft *d, struct slice s)
{
	(void)buf_add_slice(&d->text, s); /* sticky */
	(void)buf_add_char(&d->text, '\0');
}

void
claims_draft_init(struct claims_draft *d, struct slice sub, struct slice name, struct slice jti)
{
	*d = (struct claims_draft){.text = BUF_INIT(DRAFT_MAX), .sub = sub, .role = ROLE_USER};
	d->has_name = name.n > 0;
	d->has_jti = jti.n > 0;
	add_text(d, sub);
	add_text(d, d->has_name ? name : sub);
	(void)BUF_ADD_LIT(&d->text, "user/");
	(void)topic_add_segment(&d->text, sub);
	(void)buf_add_char(&d->text, '\0');
	add_text(d, jti);
}

void
claims_draft_done(struct claims_draft *d)
{
	buf_done(&d->text);
}

void
claims_draft_add(struct claims_draft *d, enum claims_list list, struct slice pattern)
{
	size_t start = d->text.n;

	if (list == CLAIMS_DIRECT) {
		add_text(d,
		    pattern); /* ids: nothing is put in, for a user called `*` would gain a wildcard */
		d->n[list]++;
		return;
	}
	(void)pattern_expand(&d->text, pattern, d->sub);
	/* With a long id in it the pattern may match no topic at all: it grants nothing. */
	if (!d->text.failed && d->text.n - start > TOPIC_MAX) {
		d->text.n = start;
		return;
	}
	(void)buf_add_char(&d->text, '\0');
	d->n[list]++;
}

static void
add_strings(struct claims_draft *d, enum claims_list list, const struct strings *s)
{
	for (size_t i = 0; i < s->n; i++)
		claims_draft_add(d, list, slice_str(s->v[i]));
}

void
claims_draft_add_grants(struct claims_draft *d, const struct config_grants *g)
{
	add_strings(d, CLAIMS_SUBSCRIBE, &g->subscribe);
	add_strings(d, CLAIMS_PUBLISH, &g->publish);
	add_strings(d, CLAIMS_DIRECT, &g->direct);
}

/* The next of the strings that lie one after the other. */
static char *
take_text(char **at)
{
	char *s = *at;

	*at += strlen(s) + 1;
	return s;
}

static struct strings
take_strings(char ***slots, char **at, size_t n)
{
	struct strings s = {*slots, n};

	for (size_t i = 0; i < n; i++)
		s.v[i] = take_text(at);
	*slots += n;
	return s;
}

struct claims *
claims_draft_finish(const struct claims_draft *d)
{
	size_t n = d->n[CLAIMS_SUBSCRIBE] + d->n[CLAIMS_PUBLISH] + d->n[CLAIMS_DIRECT];
	struct claims *c;
	char **slots;
	char *at;
	char *jti;

	if (d->text.failed)
		return NULL;
	c = mem_alloc(sizeof(*c) + n * sizeof(char *) + d->text.n);
	if (c == NULL)
		return NULL;
	slots = (char **)(void *)(c + 1);
	at = (char *)(slots + n);
	memcpy(at, d->text.p, d->text.n);
	*c = (struct claims){.refs = 1};
	c->user_id = take_text(&at);
	c->name = take_text(&at);
	c->user_topic = take_text(&at);
	jti = take_text(&at);
	c->jti = d->has_jti ? jti : NULL;
	c->has_name = d->has_name;
	c->is_guest = d->is_guest;
	c->role = d->role;
	c->exp = d->exp > TOKEN_EXP_MAX ? TOKEN_EXP_MAX : d->exp;
	c->nbf = d->nbf;
	c->iat = d->iat;
	c->subscribe = take_strings(&slots, &at, d->n[CLAIMS_SUBSCRIBE]);
	c->publish = take_strings(&slots, &at, d->n[CLAIMS_PUBLISH]);
	c->direct = take_strings(&slots, &at, d->n[CLAIMS_DIRECT]);
	return c;
}

/* --- in use --- */

struct claims *
claims_ref(struct claims *c)
{
	c->refs++;
	return c;
}

void
claims_unref(struct claims *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	mem_free(c->name_key);
	mem_free(c);
}

struct slice
claims_name_key(struct claims *c)
{
	struct buf key = BUF_INIT(NAME_KEY_MAX);

	if (c->name_key == NULL && name_key(slice_str(c->name), &key) == 0 && key.n > 0)
		c->name_key = mem_strdup(buf_slice(&key));
	buf_done(&key);
	return slice_str(c->name_key);
}

bool
claims_may_subscribe(const struct claims *c, struct slice pattern)
{
	for (size_t i = 0; i < c->subscribe.n; i++) {
		if (pattern_contains(slice_str(c->subscribe.v[i]), pattern))
			return true;
	}
	return false;
}

bool
claims_may_publish(const struct claims *c, struct slice topic)
{
	if (slice_has_prefix(topic, SLICE("server/")))
		return false;
	for (size_t i = 0; i < c->publish.n; i++) {
		if (pattern_matches(slice_str(c->publish.v[i]), topic))
			return true;
	}
	return false;
}

bool
claims_may_direct(const struct claims *c, struct slice user_id)
{
	for (size_t i = 0; i < c->direct.n; i++) {
		struct slice who = slice_str(c->direct.v[i]);

		if (slice_eq(who, SLICE("*")) || slice_eq(who, user_id))
			return true;
	}
	return false;
}

struct claims *
claims_new_local(const char *user_name, enum role role)
{
	struct buf sub = BUF_INIT(TOPIC_MAX * 2);
	struct claims_draft d;
	struct claims *c = NULL;

	(void)BUF_ADD_LIT(&sub, TOKEN_LOCAL_PREFIX);
	(void)buf_add_str(&sub, user_name);
	if (sub.failed) {
		buf_done(&sub);
		return NULL;
	}
	claims_draft_init(&d, buf_slice(&sub), slice_str(user_name), SLICE_NONE);
	d.role = role;
	/* `**` reaches no user's own topics, only the literal segment does */
	claims_draft_add(&d, CLAIMS_SUBSCRIBE, SLICE("**"));
	claims_draft_add(&d, CLAIMS_SUBSCRIBE, SLICE("user/**"));
	claims_draft_add(&d, CLAIMS_PUBLISH, SLICE("**"));
	claims_draft_add(&d, CLAIMS_PUBLISH, SLICE("user/**"));
	claims_draft_add(&d, CLAIMS_DIRECT, SLICE("*"));
	c = claims_draft_finish(&d);
	claims_draft_done(&d);
	buf_done(&sub);
	return c;
}

/* --- ids, names and roles --- */

const char *
claims_role_name(enum role role)
{
	static const char *const names[] = {
	    [ROLE_USER] = "user", [ROLE_MODERATOR] = "moderator", [ROLE_ADMIN] = "admin"};

	return names[role];
}

static const char *
label_error(struct slice s, size_t max, const char *too_long)
{
	if (s.n == 0)
		return "is empty";
	if (s.n > max)
		return too_long;
	if (!utf8_is_valid(s))
		return "is not UTF-8";
	return utf8_has_control(s) ? "has a control character" : NULL;
}

const char *
claims_name_error(struct slice name)
{
	return label_error(name, TOKEN_NAME_MAX, "is longer than 128 bytes");
}

const char *
claims_sub_error(struct slice sub)
{
	return label_error(sub, TOKEN_SUB_MAX, "is longer than 128 bytes");
}

uint64_t
claims_number(const struct claims *c)
{
	return c == NULL ? 0 : siphash13(c->user_id, strlen(c->user_id), 0, 0) | 1u << 31;
}
