#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include "base/diag.h"
#include "base/mem.h"
#include "core/counters.h"
#include "core/hub.h"
#include "core/moderation.h"
#include "net/conn.h"
#include "proto/url.h"
#include "serve/private.h"

#define NAME_MAX_BYTES 256   /* of a local user */
#define LOOKUP_BYTES   16384 /* what getpwuid_r and getgrgid_r may need */
#define GROUPS_MAX     256

/* --- where the token is --- */

/*
 * The credentials of `Authorization: Bearer`. 1 with *out set, 0 when there are none, -1
 * refused.
 */
static int
find_authorization(const struct exchange *x, struct slice *out, struct refusal *r)
{
	unsigned count = x->head->fields[HTTP_FIELD_AUTHORIZATION];
	struct slice rest = http_field(x->head, HTTP_FIELD_AUTHORIZATION);
	struct slice scheme;

	if (count == 0)
		return 0;
	if (count > 1)
		return refuse(
		    r, ERROR_INVALID_REQUEST, "there are %u Authorization headers", count);
	scheme = slice_cut(&rest, ' ');
	if (!slice_eq_nocase(scheme, SLICE("Bearer")))
		return 0;
	rest = rest.p == NULL ? SLICE("") : slice_trim(rest);
	if (rest.n == 0)
		return refuse(
		    r, ERROR_INVALID_REQUEST, "Authorization says Bearer, but brings no token");
	/* RFC 6750, section 2.1: one b64token */
	if (memchr(rest.p, ' ', rest.n) != NULL || memchr(rest.p, ',', rest.n) != NULL ||
	    memchr(rest.p, '\t', rest.n) != NULL)
		return refuse(r, ERROR_INVALID_REQUEST,
		    "Authorization: Bearer is followed by more than one token");
	*out = rest;
	return 1;
}

/* `bearer.<token>` in the subprotocol list of an upgrade. As find_authorization. */
static int
find_subprotocol(const struct exchange *x, struct slice *out, struct refusal *r)
{
	struct http_elements names = {.head = x->head, .name = SLICE("Sec-WebSocket-Protocol")};
	const struct slice prefix = SLICE("bearer.");
	struct slice found = SLICE_NONE;
	struct slice item;

	if (!x->head->is_upgrade)
		return 0;
	while ((item = http_elements_next(&names)).p != NULL) {
		if (!slice_has_prefix(item, prefix))
			continue;
		if (found.p != NULL)
			return refuse(
			    r, ERROR_INVALID_REQUEST, "the subprotocol list brings two tokens");
		found = slice_skip(item, prefix.n);
	}
	if (found.p == NULL)
		return 0;
	if (found.n == 0)
		return refuse(
		    r, ERROR_INVALID_REQUEST, "the subprotocol 'bearer.' brings no token");
	*out = found;
	return 1;
}

/* The query parameter access_token; decoded into scratch. As find_authorization. */
static int
find_query(const struct exchange *x, struct buf *scratch, struct slice *out, struct refusal *r)
{
	struct slice rest = x->head->query;
	struct slice name;
	struct slice value;
	size_t count = 0;
	int got;

	if (rest.n == 0)
		return 0;
	/* RFC 6750, section 3.1: a parameter that comes twice is a malformed request */
	while (url_query_next(&rest, &name, &value))
		count += url_name_is(name, "access_token") ? 1 : 0;
	if (count > 1)
		return refuse(r, ERROR_INVALID_REQUEST, "access_token is there %zu times", count);
	got = url_query_get(x->head->query, "access_token", scratch, &value);
	if (got == 0)
		return 0;
	if (got < 0 && scratch->error == -ENOMEM)
		return refuse_memory(r);
	if (got < 0)
		return refuse(r, ERROR_INVALID_REQUEST, "access_token cannot be decoded");
	if (value.n == 0)
		return refuse(r, ERROR_INVALID_REQUEST, "access_token is empty");
	*out = value;
	return 1;
}

static struct slice
find_cookie(const struct exchange *x)
{
	const char *name = serve_of(x)->config->auth.cookie;

	if (name[0] == '\0' || x->head->fields[HTTP_FIELD_COOKIE] == 0)
		return SLICE_NONE;
	return http_cookie(x->head, slice_str(name));
}

int
token_locate(const struct exchange *x, struct buf *scratch, struct slice *out_token,
    enum token_place *out_place, struct refusal *r)
{
	struct slice in_header = SLICE_NONE;
	struct slice in_protocols = SLICE_NONE;
	struct slice in_query = SLICE_NONE;
	struct slice cookie = find_cookie(x);
	int header = find_authorization(x, &in_header, r);
	int protocol = header < 0 ? -1 : find_subprotocol(x, &in_protocols, r);
	int query = protocol < 0 ? -1 : find_query(x, scratch, &in_query, r);

	if (query < 0)
		return -1;
	if (header + protocol + query > 1)
		return refuse(r, ERROR_INVALID_REQUEST,
		    "the request brings more than one token: it may be in Authorization, in the "
		    "subprotocol list or in access_token, but in one of them only");
	*out_place = TOKEN_NOWHERE;
	if (header > 0) {
		*out_token = in_header;
		*out_place = TOKEN_AUTHORIZATION;
	} else if (protocol > 0) {
		*out_token = in_protocols;
		*out_place = TOKEN_SUBPROTOCOL;
	} else if (query > 0) {
		*out_token = in_query;
		*out_place = TOKEN_QUERY;
	} else if (cookie.n > 0) {
		*out_token = cookie;
		*out_place = TOKEN_COOKIE;
	}
	return 0;
}

/* --- who is at the other end of a Unix socket --- */

static bool
has_string(const struct strings *list, const char *s)
{
	for (size_t i = 0; i < list->n; i++) {
		if (strcmp(list->v[i], s) == 0)
			return true;
	}
	return false;
}

static bool
is_group_listed(const struct strings *groups, gid_t gid, char *scratch)
{
	struct group entry;
	struct group *found = NULL;
	char number[24];

	(void)snprintf(number, sizeof(number), "%u", (unsigned)gid);
	if (has_string(groups, number))
		return true;
	return getgrgid_r(gid, &entry, scratch, LOOKUP_BYTES, &found) == 0 && found != NULL &&
	       has_string(groups, found->gr_name);
}

/* The peer's own group, or one that the group database gives its user. */
static bool
is_in_groups(const struct strings *groups, const char *user, gid_t gid, char *scratch)
{
	gid_t gids[GROUPS_MAX];
	int n = GROUPS_MAX;

	if (groups->n == 0)
		return false;
	if (is_group_listed(groups, gid, scratch))
		return true;
	if (user[0] == '\0')
		return false;
	if (getgrouplist(user, gid, gids, &n) < 0)
		n = GROUPS_MAX;
	for (int i = 0; i < n; i++) {
		if (is_group_listed(groups, gids[i], scratch))
			return true;
	}
	return false;
}

/*
 * The claims of a local peer that needs no token: 1 and *out; 0 when it needs one, -ENOMEM.
 */
static int
find_local(const struct exchange *x, struct claims **out)
{
	const struct config *config = serve_of(x)->config;
	const struct config_listener *l;
	char name[NAME_MAX_BYTES] = "";
	char number[24];
	struct passwd entry;
	struct passwd *found = NULL;
	unsigned listener;
	uint32_t uid;
	uint32_t gid;
	char *scratch;
	int result = 0;

	if (x->conn == NULL || !conn_is_unix(x->conn, &listener, &uid, &gid) ||
	    listener >= config->n_listeners)
		return 0;
	l = &config->listeners[listener];
	if (l->unix_path == NULL || (l->allow_users.n == 0 && l->allow_groups.n == 0))
		return 0;
	scratch = mem_alloc(LOOKUP_BYTES);
	if (scratch == NULL)
		return -ENOMEM;
	(void)snprintf(number, sizeof(number), "%u", (unsigned)uid);
	if (getpwuid_r(uid, &entry, scratch, LOOKUP_BYTES, &found) == 0 && found != NULL)
		(void)snprintf(name, sizeof(name), "%s", found->pw_name);
	if ((name[0] != '\0' && has_string(&l->allow_users, name)) ||
	    has_string(&l->allow_users, number) ||
	    is_in_groups(&l->allow_groups, name, gid, scratch)) {
		*out = claims_new_local(name[0] != '\0' ? name : number, ROLE_ADMIN);
		result = *out == NULL ? -ENOMEM : 1;
	}
	mem_free(scratch);
	return result;
}

/* --- what it is worth --- */

/*
 * Verify, and ask whether it was revoked; counted. 0 and *out (one reference), or -EACCES with *why, or
 * -ENOMEM.
 */
static int
verify(struct serve *s, struct slice token, struct claims **out, struct token_refusal *why)
{
	struct counters *counters = s->net->counters;
	int result;

	counter_add(counters, COUNTER_TOKENS_CHECKED, 1);
	result =
	    token_cache_check(s->tokens, s->keyring, s->config, token, serve_now_s(s), out, why);
	counter_set(counters, COUNTER_TOKENS_CACHED, token_cache_hits(s->tokens));
	if (result == 0 && s->hub != NULL && moderation_is_revoked(s->hub, *out)) {
		claims_unref(*out);
		*out = NULL;
		*why = (struct token_refusal){
		    .check = "revoked", .text = "this token was revoked", .signature_held = true};
		result = -EACCES;
	}
	return result;
}

/*
 * The log always gets the reason; the peer when auth.explain is on. Before the signature held
 * it says nothing of the claims. who: as of serve_note_refusal.
 */
static int
refuse_token(
    const struct serve *s, const char *who, const struct token_refusal *why, struct refusal *r)
{
	char quoted[DIAG_QUOTED];

	counter_add(s->net->counters, COUNTER_TOKENS_REFUSED, 1);
	counter_failed_name(s->net->counters, why->check);
	diag_peer(s->diag, DIAG_INFO, "auth.refused", "%s check=%s reason=%s", who, why->check,
	    diag_quote(slice_str(why->text), quoted));
	return refuse(r, ERROR_INVALID_TOKEN, "%s",
	    s->config->auth.explain ? why->text : "the token was refused");
}

static int
check_token(struct exchange *x, struct slice token, struct claims **out, struct refusal *r)
{
	struct token_refusal why UNCLEARED;
	int result = verify(serve_of(x), token, out, &why);
	char who[SERVE_WHO] UNCLEARED;

	if (result == 0)
		return 0;
	if (result != -EACCES)
		return refuse_memory(r);
	return refuse_token(serve_of(x), serve_who(x, who), &why, r);
}

int
serve_verify_refresh(struct hub *h, struct slice token, struct claims **out, struct refusal *r)
{
	struct serve *s = h->owner;
	struct token_refusal why UNCLEARED;
	int result = verify(s, token, out, &why);

	if (result == 0)
		return 0;
	if (result != -EACCES)
		return refuse_memory(r);
	return refuse_token(s, "command=refresh", &why, r);
}

/*
 * A page of ours opens a stream. To a GET of its own origin a browser adds no Origin (Fetch, 3.2), but
 * says that in its own words, which no page can choose.
 */
static bool
is_own_page(const struct exchange *x)
{
	size_t count;
	struct slice site = http_header(x->head, SLICE("Sec-Fetch-Site"), &count);

	return (x->method == HTTP_GET || x->method == HTTP_HEAD) && !x->head->is_upgrade &&
	       count == 1 && slice_eq(site, SLICE("same-origin"));
}

/*
 * A cookie comes along without its user knowing: what changes something must come from a page
 * of ours.
 */
static int
check_cookie_origin(const struct exchange *x, bool changes, bool *counts, struct refusal *r)
{
	struct slice origin;
	enum origin_kind kind = origin_judge(x, &origin);

	*counts = kind != ORIGIN_STAR;
	if (!changes || kind != ORIGIN_ABSENT || is_own_page(x))
		return 0;
	counter_failed(x->net->counters, CHECK_ORIGIN);
	return refuse(
	    r, ERROR_FORBIDDEN, "a cookie alone does not permit this: the request has no Origin");
}

int
serve_find_token(
    struct exchange *x, bool changes, struct claims **out, struct refusal *r, bool *found)
{
	struct buf scratch = BUF_INIT(2 * TOKEN_MAX);
	struct slice token = SLICE_NONE;
	enum token_place place = TOKEN_NOWHERE;
	bool counts = true;
	int result = -1;

	*found = false;
	if (changes && serve_check_origin(x, r) < 0)
		return -1;
	if (token_locate(x, &scratch, &token, &place, r) < 0) {
		*found = true;
		goto out;
	}
	if (place == TOKEN_COOKIE && check_cookie_origin(x, changes, &counts, r) < 0) {
		*found = true;
		goto out;
	}
	if (place != TOKEN_NOWHERE && counts) {
		*found = true;
		result = check_token(x, token, out, r);
		goto out;
	}
	result = find_local(x, out);
	*found = result != 0;
	if (result > 0)
		result = 0;
	else if (result < 0)
		result = refuse_memory(r);
	else
		result =
		    refuse(r, ERROR_UNAUTHORIZED, "this needs a token: Authorization: Bearer …");
out:
	buf_done(&scratch);
	return result;
}

int
serve_authenticate(struct exchange *x, bool changes, struct claims **out)
{
	struct refusal r UNCLEARED;
	bool found;

	if (serve_find_token(x, changes, out, &r, &found) == 0)
		return 0;
	serve_refuse(x, &r);
	return -1;
}
