#include "daemon/config_reader.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/mem.h"

#define KEY_FILE_MAX  65536  /* bytes of a secret or of a PEM file */
#define JWKS_FILE_MAX 262144 /* of a key set: 64 keys with their certificates */

/* --- elements of lists --- */

static bool
was_seen(const struct config_place *place, const char *key)
{
	size_t n;
	const struct option *o = config_table_find(place->scope, slice_str(key));

	return o != NULL && place->seen[o - config_table(&n)];
}

static int
check_listener(struct config_reader *r, const config_setting_t *s, struct config_place *place)
{
	struct config_listener *l = place->base;
	struct config_where where = config_where(r, config_setting_source_line(s));

	l->line = where.line;
	l->file = mem_strdup(slice_str(where.file));
	if (l->file == NULL)
		return config_fail_memory(r);
	if (l->unix_path == NULL) {
		if (was_seen(place, "listen.mode") || l->allow_users.n > 0 || l->allow_groups.n > 0)
			return config_fail_at(r, s,
			    "mode, allow_users and allow_groups in listen belong to a Unix socket: 'unix' is missing");
		return 0;
	}
	if (was_seen(place, "listen.address") || was_seen(place, "listen.port"))
		return config_fail_at(
		    r, s, "listen has both 'unix' and an address or port; want one of them");
	mem_free(l->address);
	l->address = NULL;
	l->port = 0;
	return 0;
}

static int
check_named(struct config_reader *r, const config_setting_t *s, const char *name, const char *list,
    const char *member)
{
	return name != NULL ? 0 : config_fail_at(r, s, "'%s' is missing in %s", member, list);
}

int
config_check_element(struct config_reader *r, const struct option *list, const config_setting_t *s,
    struct config_place *place)
{
	struct topic_rule *rule = place->base;
	struct config_feed *feed = place->base;

	switch (list->element) {
	case SCOPE_LISTENER:
		return check_listener(r, s, place);
	case SCOPE_RULE:
		rule->line = config_where(r, config_setting_source_line(s)).line;
		return check_named(r, s, rule->match, list->key, "match");
	case SCOPE_FEED:
		feed->line = config_where(r, config_setting_source_line(s)).line;
		return check_named(r, s, feed->topic, list->key, "topic");
	case SCOPE_CONFIG:
		break;
	}
	return 0;
}

/* --- listeners against each other --- */

struct addresses { /* what a listener binds, IPv4 as v4-mapped */
	struct in6_addr v[2];
	size_t n;
	bool is_any4, is_any6;
};

static void
add_v4(struct addresses *a, in_addr_t v4)
{
	struct in6_addr *at = &a->v[a->n++];

	*at = in6addr_any;
	at->s6_addr[10] = at->s6_addr[11] = 0xff;
	memcpy(&at->s6_addr[12], &v4, sizeof(v4));
	a->is_any4 = v4 == htonl(INADDR_ANY);
}

static struct addresses
addresses_of(const struct config_listener *l)
{
	struct addresses a = {.n = 0};
	struct in_addr v4;

	if (strcmp(l->address, "localhost") == 0) {
		add_v4(&a, htonl(INADDR_LOOPBACK));
		a.v[a.n++] = in6addr_loopback;
	} else if (inet_pton(AF_INET, l->address, &v4) == 1) {
		add_v4(&a, v4.s_addr);
	} else {
		(void)inet_pton(AF_INET6, l->address, &a.v[a.n++]);
		a.is_any6 = IN6_IS_ADDR_UNSPECIFIED(&a.v[0]);
	}
	return a;
}

/* Would the second bind fail? `::` takes IPv4 too. */
static bool
listeners_collide(const struct config_listener *x, const struct config_listener *y)
{
	struct addresses a;
	struct addresses b;

	if (x->unix_path != NULL || y->unix_path != NULL)
		return x->unix_path != NULL && y->unix_path != NULL &&
		       strcmp(x->unix_path, y->unix_path) == 0;
	if (x->port != y->port || x->port == 0)
		return false;
	a = addresses_of(x);
	b = addresses_of(y);
	if (a.is_any6 || b.is_any6)
		return true;
	for (size_t i = 0; i < a.n; i++)
		for (size_t j = 0; j < b.n; j++)
			if (memcmp(&a.v[i], &b.v[j], sizeof(a.v[i])) == 0 ||
			    ((a.is_any4 || b.is_any4) && IN6_IS_ADDR_V4MAPPED(&a.v[i]) &&
				IN6_IS_ADDR_V4MAPPED(&b.v[j])))
				return true;
	return false;
}

static int
check_listeners(struct config_reader *r, const config_setting_t *root)
{
	const struct config *c = r->config;
	const config_setting_t *list = config_setting_get_member(root, "listen");

	if (list == NULL)
		return 0;
	if (c->n_listeners == 0)
		return config_fail_at(r, list, "listen is empty, want at least one");
	for (size_t i = 0; i < c->n_listeners; i++) {
		const struct config_listener *l = &c->listeners[i];

		for (size_t j = 0; j < i; j++) {
			const struct config_listener *other = &c->listeners[j];

			if (!listeners_collide(l, other))
				continue;
			if (l->unix_path != NULL)
				return config_fail_at(r, config_setting_get_elem(list, (unsigned)i),
				    "listen has %s twice, first in line %u", l->unix_path,
				    other->line);
			return config_fail_at(r, config_setting_get_elem(list, (unsigned)i),
			    "listen: %s port %u is already taken by %s port %u in line %u",
			    l->address, (unsigned)l->port, other->address, (unsigned)other->port,
			    other->line);
		}
	}
	return 0;
}

/* --- keys --- */

/* Makes "" of an optional path NULL, as struct config says. */
static void
drop_empty(char **path)
{
	if (*path == NULL || (*path)[0] != '\0')
		return;
	mem_free(*path);
	*path = NULL;
}

static int
read_key_file(struct config_reader *r, const config_setting_t *auth, const char *name,
    const char *path, size_t max, struct buf *out)
{
	const config_setting_t *s = auth == NULL ? NULL : config_setting_get_member(auth, name);
	int status = config_text_read(path, max, true, out);

	if (status == 0 || s == NULL)
		return status;
	return config_fail_at(r, s, "auth.%s: cannot read %s: %s", name, path,
	    status == -EINVAL ? "not a regular file" : strerror(-status));
}

static int
fail_auth(struct config_reader *r, const char *text)
{
	return config_fail(r, r->config->auth_file, r->config->auth_line, "%s", text);
}

static int
read_secret(struct config_reader *r, const config_setting_t *auth)
{
	struct config_auth *a = &r->config->auth;
	struct buf text = BUF_INIT(0);
	int status;

	drop_empty(&a->secret);
	drop_empty(&a->secret_path);
	if (a->secret != NULL && a->secret_path != NULL)
		return fail_auth(r, "auth has both 'secret' and 'secret_file'; want one of them");
	a->secret_n = a->secret == NULL ? 0 : strlen(a->secret);
	if (a->secret_path == NULL)
		return 0;
	status = read_key_file(r, auth, "secret_file", a->secret_path, KEY_FILE_MAX, &text);
	if (status < 0)
		return status;
	if (text.n > 0 && text.p[text.n - 1] == '\n')
		text.n--;
	a->secret = text.p;
	a->secret_n = text.n;
	return text.n > 0
		   ? 0
		   : fail_auth(r, "auth.secret_file is empty; `belfryctl secret FILE` makes one");
}

static int
read_public_key(struct config_reader *r, const config_setting_t *auth)
{
	struct config_auth *a = &r->config->auth;
	struct buf text = BUF_INIT(0);
	int status;

	drop_empty(&a->public_key_path);
	if (a->public_key_path == NULL)
		return 0;
	status = read_key_file(r, auth, "public_key_file", a->public_key_path, KEY_FILE_MAX, &text);
	if (status < 0)
		return status;
	a->public_key = text.p;
	if (text.n == 0 || memchr(text.p, '\0', text.n) != NULL)
		return fail_auth(r, "auth.public_key_file holds no PEM key");
	return 0;
}

static int
read_key_set(struct config_reader *r, const config_setting_t *auth)
{
	struct config_auth *a = &r->config->auth;
	struct buf text = BUF_INIT(0);
	int status;

	drop_empty(&a->jwks_path);
	if (a->jwks_path == NULL)
		return 0;
	status = read_key_file(r, auth, "jwks_file", a->jwks_path, JWKS_FILE_MAX, &text);
	if (status < 0)
		return status;
	a->jwks = text.p;
	if (text.n == 0 || memchr(text.p, '\0', text.n) != NULL)
		return fail_auth(r, "auth.jwks_file holds no JSON");
	return 0;
}

static int
check_auth(struct config_reader *r, const config_setting_t *root)
{
	const config_setting_t *auth = config_setting_get_member(root, "auth");
	const struct config_auth *a = &r->config->auth;
	int status = read_secret(r, auth);

	if (status == 0)
		status = read_public_key(r, auth);
	if (status == 0)
		status = read_key_set(r, auth);
	if (status == 0 && a->secret == NULL && a->public_key == NULL && a->jwks_path == NULL)
		status = fail_auth(r,
		    "auth has no key: set secret_file (`belfryctl secret FILE` makes one), secret, "
		    "public_key_file or jwks_file");
	return status;
}

/* --- the rest --- */

static int
check_web_root(struct config_reader *r, const config_setting_t *root)
{
	const config_setting_t *web = config_setting_get_member(root, "web");
	const config_setting_t *s = web == NULL ? NULL : config_setting_get_member(web, "root");
	const char *path = r->config->web_root;
	struct stat st;

	if (s == NULL || path[0] == '\0')
		return 0; /* a default folder that is not there serves nothing, and says so as 404 */
	if (stat(path, &st) < 0)
		return config_fail_at(r, s, "web.root: cannot read %s: %s", path, strerror(errno));
	return S_ISDIR(st.st_mode) ? 0 : config_fail_at(r, s, "web.root: %s is not a folder", path);
}

int
config_check_whole(struct config_reader *r, const config_setting_t *root)
{
	struct config_limits *limits = &r->config->limits;
	int status = check_listeners(r, root);

	if (status == 0)
		status = check_web_root(r, root);
	if (status == 0)
		status = check_auth(r, root);
	if (limits->burst == 0)
		limits->burst = limits->messages_per_second;
	return status;
}
