#include "core/token.h"

#include <errno.h>

#include <openssl/evp.h>

#include "base/list.h"
#include "base/mem.h"
#include "core/token_private.h"

#define DIGEST 32 /* bytes of SHA-256 */

struct cached {
	TAILQ_ENTRY(cached) link; /* most recently used first */
	struct claims *claims;    /* one reference */
	uint8_t key[sizeof(uint64_t) + DIGEST];
};

TAILQ_HEAD(cached_list, cached);

struct token_cache {
	struct map entries;
	struct cached_list used;
	size_t max_entries;
};

struct token_cache *
token_cache_new(size_t max_entries)
{
	struct token_cache *t = mem_calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	map_init(&t->entries);
	TAILQ_INIT(&t->used);
	t->max_entries = max_size(max_entries, 1);
	return t;
}

static struct slice
key_of(const struct cached *e)
{
	return slice_of((const char *)e->key, sizeof(e->key));
}

static void
drop(struct token_cache *t, struct cached *e)
{
	(void)map_remove(&t->entries, key_of(e)); /* it is e itself */
	TAILQ_REMOVE(&t->used, e, link);
	claims_unref(e->claims);
	mem_free(e);
}

void
token_cache_clear(struct token_cache *t)
{
	struct cached *e;
	struct cached *next;

	TAILQ_FOREACH_SAFE (e, &t->used, link, next)
		drop(t, e);
}

void
token_cache_free(struct token_cache *t)
{
	if (t == NULL)
		return;
	token_cache_clear(t);
	map_done(&t->entries);
	mem_free(t);
}

/* Remember claims; a failure only means that the next check is slow again. */
static void
keep(struct token_cache *t, struct slice key, struct claims *claims)
{
	struct cached *e = mem_alloc(sizeof(*e));

	if (e == NULL)
		return;
	if (t->entries.n >= t->max_entries)
		drop(t, TAILQ_LAST(&t->used, cached_list));
	memcpy(e->key, key.p, sizeof(e->key));
	if (map_set(&t->entries, key_of(e), e) < 0) {
		mem_free(e);
		return;
	}
	e->claims = claims_ref(claims);
	TAILQ_INSERT_HEAD(&t->used, e, link);
}

int
token_cache_check(struct token_cache *t, const struct keyring *k, const struct config *c,
    struct slice token, int64_t now_s, struct claims **out, struct token_refusal *why)
{
	uint8_t bytes[sizeof(uint64_t) + DIGEST];
	struct slice key = slice_of((const char *)bytes, sizeof(bytes));
	struct cached *e;
	int r;

	memcpy(bytes, &c->generation, sizeof(c->generation));
	if (token.n > TOKEN_MAX ||
	    EVP_Digest(token.p, token.n, bytes + sizeof(uint64_t), NULL, EVP_sha256(), NULL) != 1)
		return token_check(k, &c->auth, token, now_s, out,
		    why); /* which refuses it, or goes on uncached */
	e = map_get(&t->entries, key);
	if (e == NULL) {
		r = token_check(k, &c->auth, token, now_s, out, why);
		if (r == 0)
			keep(t, key, *out);
		return r;
	}
	r = token_check_times(&c->auth, e->claims->exp, e->claims->nbf, now_s, why);
	if (r < 0) {
		drop(t, e);
		return r;
	}
	TAILQ_REMOVE(&t->used, e, link);
	TAILQ_INSERT_HEAD(&t->used, e, link);
	*out = claims_ref(e->claims);
	return 0;
}
