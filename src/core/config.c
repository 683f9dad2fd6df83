#include "core/config.h"

#include <string.h>

#include "base/mem.h"
#include "core/topic.h"

static void
strings_done(struct strings *s)
{
	for (size_t i = 0; i < s->n; i++)
		mem_free(s->v[i]);
	mem_free(s->v);
	*s = (struct strings){NULL, 0};
}

static void
grants_done(struct config_grants *g)
{
	strings_done(&g->subscribe);
	strings_done(&g->publish);
	strings_done(&g->direct);
}

static void
auth_done(struct config_auth *a)
{
	if (a->secret != NULL)
		explicit_bzero(a->secret, a->secret_n > 0 ? a->secret_n : strlen(a->secret));
	mem_free(a->secret);
	mem_free(a->secret_path);
	mem_free(a->public_key);
	mem_free(a->public_key_path);
	if (a->jwks != NULL)
		explicit_bzero(a->jwks, strlen(a->jwks)); /* it may hold secrets too */
	mem_free(a->jwks);
	mem_free(a->jwks_path);
	mem_free(a->issuer);
	mem_free(a->audience);
	mem_free(a->cookie);
	mem_free(a->login_url);
	grants_done(&a->defaults);
	grants_done(&a->guest_defaults);
}

static void
listeners_done(struct config *c)
{
	for (size_t i = 0; i < c->n_listeners; i++) {
		struct config_listener *l = &c->listeners[i];

		mem_free(l->address);
		mem_free(l->unix_path);
		strings_done(&l->allow_users);
		strings_done(&l->allow_groups);
		mem_free(l->tls_certificate);
		mem_free(l->tls_key);
		mem_free(l->file);
	}
	mem_free(c->listeners);
}

static void
topics_done(struct config *c)
{
	for (size_t i = 0; i < c->n_topics; i++)
		mem_free(c->topics[i].match);
	mem_free(c->topics);
	for (size_t i = 0; i < c->n_feeds; i++)
		mem_free(c->feeds[i].topic);
	mem_free(c->feeds);
}

static void
storage_done(struct config *c)
{
	mem_free(c->storage.path);
	mem_free(c->redis.host);
	mem_free(c->redis.unix_path);
	mem_free(c->redis.username);
	mem_free(c->redis.password_file);
	mem_free(c->redis.prefix);
}

const struct topic_rule *
config_rule(const struct config *c, struct slice topic)
{
	static const struct topic_rule nothing_kept = {0};

	for (size_t i = 0; i < c->n_topics; i++) {
		struct slice match = slice_str(c->topics[i].match);

		/* a rule is the operator's: its leading wildcard reaches user/… too */
		if (pattern_matches(match, topic) || slice_eq(match, SLICE("**")))
			return &c->topics[i];
	}
	return &nothing_kept;
}

struct config *
config_ref(struct config *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void
config_unref(struct config *c)
{
	/* A half-built one was never shared: its count is 0 or 1. */
	if (c == NULL || (atomic_load_explicit(&c->refs, memory_order_relaxed) != 0 &&
			     atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1))
		return;
	mem_free(c->path);
	mem_free(c->auth_file);
	mem_free(c->web_root);
	mem_free(c->web_csp);
	mem_free(c->trusted_proxies);
	mem_free(c->chat.default_room);
	strings_done(&c->hosts);
	strings_done(&c->allow_origins);
	strings_done(&c->events.topics);
	listeners_done(c);
	auth_done(&c->auth);
	storage_done(c);
	topics_done(c);
	mem_free(c);
}
