#include "core/token.h"

#include <openssl/evp.h>

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/token_private.h"

#define DIGEST       32   /* bytes of SHA-256 */
#define RECENT       64   /* tokens known by their bytes */
#define RECENT_BYTES 1024 /* longer ones are known by their digest only */
#define RECENT_END   8    /* characters that choose its place, the last of the signature */

struct cached {
	TAILQ_ENTRY(cached) link; /* most recently used first */
	struct claims *claims;    /* one reference */
	uint8_t key[sizeof(uint64_t) + DIGEST];
	uint8_t slot; /* of the recent ones, where it may be */
};

TAILQ_HEAD(cached_list, cached);

/*
 * A cached token that was there a moment ago, with its bytes: a script that POSTs on and on costs a
 * comparison in place of a digest (0.7 us). All bytes are compared whatever they are, so the time that
 * takes tells nothing of them.
 */
struct recent {
	uint64_t generation;  /* of the configuration */
	struct cached *entry; /* NULL: none */
	char *token;          /* owned */
	size_t n;
};

struct token_cache {
	struct map entries;
	struct cached_list used;
	size_t max_entries;
	uint64_t hits;
	struct recent recent[RECENT]; /* by recent_of */
};
_Static_assert(RECENT - 1 <= UINT8_MAX, "a slot's number fits");

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
recent_drop(struct recent *r)
{
	mem_free(r->token);
	*r = (struct recent){0};
}

static void
drop(struct token_cache *t, struct cached *e)
{
	if (t->recent[e->slot].entry == e)
		recent_drop(&t->recent[e->slot]);
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
	e->slot = 0;
	if (map_set(&t->entries, key_of(e), e) < 0) {
		mem_free(e);
		return;
	}
	e->claims = claims_ref(claims);
	TAILQ_INSERT_HEAD(&t->used, e, link);
}

/* Where a token may be: by its last characters, which are as good as random. */
static unsigned
recent_of(const struct token_cache *t, struct slice token)
{
	uint64_t end = 0;

	if (token.n >= RECENT_END)
		memcpy(&end, token.p + token.n - RECENT_END, RECENT_END);
	return (unsigned)((end ^ t->entries.k0) * 0x9e3779b97f4a7c15u >> 32) % RECENT;
}

static bool
is_recent(const struct recent *r, struct slice token, uint64_t generation)
{
	return r->entry != NULL && r->generation == generation &&
	       slice_eq_secret(slice_of(r->token, r->n), token);
}

/* As keep. */
static void
keep_recent(struct token_cache *t, struct slice token, unsigned slot, uint64_t generation,
    struct cached *entry)
{
	char *bytes = token.n > RECENT_BYTES ? NULL : mem_strdup(token);

	if (bytes == NULL)
		return;
	recent_drop(&t->recent[slot]);
	t->recent[slot] = (struct recent){generation, entry, bytes, token.n};
	entry->slot = (uint8_t)slot;
}

int
token_cache_check(struct token_cache *t, const struct keyring *k, const struct config *c,
    struct slice token, int64_t now_s, struct claims **out, struct token_refusal *why)
{
	unsigned slot = recent_of(t, token);
	const struct recent *recent = &t->recent[slot];
	struct cached *e = is_recent(recent, token, c->generation) ? recent->entry : NULL;
	uint8_t bytes[sizeof(uint64_t) + DIGEST];
	struct slice key = slice_of((const char *)bytes, sizeof(bytes));
	int r;

	if (e == NULL) {
		memcpy(bytes, &c->generation, sizeof(c->generation));
		if (token.n > TOKEN_MAX || EVP_Digest(token.p, token.n, bytes + sizeof(uint64_t),
					       NULL, EVP_sha256(), NULL) != 1)
			return token_check(k, &c->auth, token, now_s, out,
			    why); /* which refuses it, or goes on uncached */
		e = map_get(&t->entries, key);
		if (e != NULL)
			keep_recent(t, token, slot, c->generation, e);
	}
	if (e == NULL) {
		r = token_check(k, &c->auth, token, now_s, out, why);
		if (r == 0)
			keep(t, key, *out);
		return r;
	}
	t->hits++;
	r = token_check_times(&c->auth, e->claims->exp, e->claims->nbf, now_s, why);
	if (r < 0) {
		drop(t, e);
		return r;
	}
	if (TAILQ_FIRST(&t->used) != e) {
		TAILQ_REMOVE(&t->used, e, link);
		TAILQ_INSERT_HEAD(&t->used, e, link);
	}
	*out = claims_ref(e->claims);
	return 0;
}

uint64_t
token_cache_hits(const struct token_cache *t)
{
	return t->hits;
}
