#include "core/facts.h"

#include <errno.h>
#include <pthread.h>

#include "base/lock.h"
#include "base/mem.h"
#include "core/log_private.h"
#include "core/read_marker.h"

#define KEY_MAX (2 + FACT_SCOPE_MAX + FACT_SUBJECT_MAX)
#define SHADOWS 4096 /* a power of two */

struct fact_value {
	uint64_t number;
	int64_t since_ms;
	int64_t until_ms;
	struct slice by; /* both behind the struct */
	struct slice text;
};

/* One place in the table. */
struct fact_entry {
	/* in the order in which they became true, while value is there */
	TAILQ_ENTRY(fact_entry) link;
	enum fact_kind kind;
	struct slice key; /* behind the struct: kind, scope, NUL, subject */
	struct slice scope;
	struct slice subject;
	struct fact_value *value; /* NULL: nothing is true here (yet) */
	unsigned n_writes;        /* on their way */
};

struct facts {
	pthread_mutex_t lock; /* of all but k0, k1; taken last: under it no other is */
	struct map entries;
	TAILQ_HEAD(, fact_entry) order;
	int64_t next_end_ms; /* nothing ends before; 0: nothing ends */
	uint64_t k0;         /* of the shadows */
	uint64_t k1;
	/*
	 * How many facts there are of each kind, and about subjects with the same hash: changed under the
	 * lock, looked at without.
	 */
	_Atomic uint32_t n[FACT_KINDS];
	_Atomic uint32_t shadows[SHADOWS];
};

/* Everything is allocated beforehand, so that what was committed cannot fail to be true. */
struct fact_write {
	struct facts *facts;   /* NULL: it is not in the table, but only written */
	struct markers *owner; /* then whose it is */
	struct fact_entry *entry;
	struct fact_value *value; /* NULL: it ends */
	struct fact fact;         /* what is only written; its texts behind the struct */
	bool is_end;
};

struct facts *
facts_new(void)
{
	struct facts *t = mem_calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	lock_init(&t->lock);
	map_init(&t->entries);
	TAILQ_INIT(&t->order);
	t->k0 = t->entries.k0;
	t->k1 = t->entries.k1;
	return t;
}

void
facts_free(struct facts *t)
{
	struct fact_entry *e;
	size_t at = 0;

	if (t == NULL)
		return;
	while ((e = map_next(&t->entries, &at)) != NULL) {
		mem_free(e->value);
		mem_free(e);
	}
	map_done(&t->entries);
	(void)pthread_mutex_destroy(&t->lock);
	mem_free(t);
}

static void
facts_lock(struct facts *t)
{
	(void)pthread_mutex_lock(&t->lock);
}

static void
facts_unlock(struct facts *t)
{
	(void)pthread_mutex_unlock(&t->lock);
}

/* --- the table --- */

static struct slice
key_of(enum fact_kind kind, struct slice scope, struct slice subject, char out[KEY_MAX])
{
	char *at = out;

	if (scope.n > FACT_SCOPE_MAX || subject.n > FACT_SUBJECT_MAX)
		return SLICE_NONE;
	*at++ = (char)kind;
	(void)slice_place(&at, scope);
	*at++ = '\0';
	(void)slice_place(&at, subject);
	return slice_of(out, (size_t)(at - out));
}

static struct fact_entry *
entry_find(const struct facts *t, enum fact_kind kind, struct slice scope, struct slice subject)
{
	char bytes[KEY_MAX];
	struct slice key = key_of(kind, scope, subject, bytes);

	return key.p == NULL ? NULL : map_get(&t->entries, key);
}

static struct fact_entry *
entry_new(struct facts *t, enum fact_kind kind, struct slice scope, struct slice subject)
{
	char bytes[KEY_MAX];
	struct slice key = key_of(kind, scope, subject, bytes);
	struct fact_entry *e = key.p == NULL ? NULL : mem_calloc(1, sizeof(*e) + key.n);
	char *at;

	if (e == NULL)
		return NULL;
	at = (char *)(e + 1);
	e->kind = kind;
	e->key = slice_place(&at, key);
	e->scope = slice_of(e->key.p + 1, scope.n);
	e->subject = slice_of(e->key.p + key.n - subject.n, subject.n);
	if (map_set(&t->entries, e->key, e) < 0) {
		mem_free(e);
		return NULL;
	}
	return e;
}

static size_t
shadow_of(const struct facts *t, struct slice subject)
{
	return siphash13(subject.p, subject.n, t->k0, t->k1) & (SHADOWS - 1);
}

/* What is true here from now on; value NULL: nothing is. Takes it; returns what was, to be freed. */
static struct fact_value *
entry_set(struct facts *t, struct fact_entry *e, struct fact_value *value)
{
	struct fact_value *before = e->value;
	_Atomic uint32_t *shadow = &t->shadows[shadow_of(t, e->subject)];

	e->value = value;
	if (before != NULL) {
		TAILQ_REMOVE(&t->order, e, link);
		atomic_fetch_sub(&t->n[e->kind], 1);
		atomic_fetch_sub(shadow, 1);
	}
	if (value == NULL)
		return before;
	TAILQ_INSERT_TAIL(&t->order, e, link);
	atomic_fetch_add(&t->n[e->kind], 1);
	atomic_fetch_add(shadow, 1);
	if (value->until_ms != 0 && (t->next_end_ms == 0 || value->until_ms < t->next_end_ms))
		t->next_end_ms = value->until_ms;
	return before;
}

static void
entry_drop_empty(struct facts *t, struct fact_entry *e)
{
	if (e->value != NULL || e->n_writes > 0)
		return;
	(void)map_remove(&t->entries, e->key);
	mem_free(e);
}

static bool
has_ended(const struct fact_value *v, int64_t now_ms)
{
	return v->until_ms != 0 && v->until_ms <= now_ms;
}

/* Under the lock. */
static void
sweep(struct facts *t, int64_t now_ms)
{
	struct fact_entry *e;
	struct fact_entry *next;

	if (t->next_end_ms == 0 || t->next_end_ms > now_ms)
		return;
	t->next_end_ms = 0;
	TAILQ_FOREACH_SAFE (e, &t->order, link, next) {
		if (has_ended(e->value, now_ms)) {
			mem_free(entry_set(t, e, NULL));
			entry_drop_empty(t, e);
		} else if (e->value->until_ms != 0 &&
			   (t->next_end_ms == 0 || e->value->until_ms < t->next_end_ms)) {
			t->next_end_ms = e->value->until_ms;
		}
	}
}

void
facts_sweep(struct facts *t, int64_t now_ms)
{
	facts_lock(t);
	sweep(t, now_ms);
	facts_unlock(t);
}

/* --- writing --- */

static struct fact_value *
value_new(const struct fact *f)
{
	struct fact_value *v = mem_alloc(sizeof(*v) + f->by.n + f->text.n);
	char *at;

	if (v == NULL)
		return NULL;
	at = (char *)(v + 1);
	*v = (struct fact_value){
	    .number = f->number, .since_ms = f->since_ms, .until_ms = f->until_ms};
	v->by = slice_place(&at, f->by);
	v->text = slice_place(&at, f->text);
	return v;
}

int
facts_load(struct facts *t, const struct fact *f)
{
	struct fact_entry *e = entry_find(t, f->kind, f->scope, f->subject);
	struct fact_value *v = value_new(f);

	if (e == NULL)
		e = v == NULL ? NULL : entry_new(t, f->kind, f->scope, f->subject);
	if (v == NULL || e == NULL) {
		mem_free(v);
		return -ENOMEM;
	}
	mem_free(entry_set(t, e, v));
	return 0;
}

struct append *
fact_append(struct fact_write **writes, unsigned n)
{
	struct append *a = append_new(n);
	/* stores want a message of each item: this one is published nowhere */
	struct message *nothing = message_crowd(SLICE("server/facts"), 0, SLICE_NONE);

	if (a == NULL || nothing == NULL) {
		append_free(a);
		message_unref(nothing);
		return NULL;
	}
	for (unsigned i = 0; i < n; i++)
		a->items[i] = (struct append_item){
		    .message = message_ref(nothing), .what = APPEND_FACT, .fact = writes[i]};
	message_unref(nothing);
	return a;
}

/* The append of w, which it takes; NULL without memory. */
static struct append *
append_of(struct fact_write *w)
{
	struct append *a = fact_append(&w, 1);

	if (a == NULL)
		fact_write_settle(w, -ENOMEM);
	return a;
}

struct fact_write *
fact_write_new(struct markers *owner, const struct fact *f, bool is_end)
{
	struct fact_write *w = mem_calloc(1, sizeof(*w) + f->scope.n + f->subject.n);
	char *at;

	if (w == NULL)
		return NULL;
	at = (char *)(w + 1);
	w->fact = *f;
	w->fact.scope = slice_place(&at, f->scope);
	w->fact.subject = slice_place(&at, f->subject);
	w->fact.by = SLICE_NONE;
	w->fact.text = SLICE_NONE;
	w->owner = owner;
	w->is_end = is_end;
	return w;
}

struct append *
fact_put(struct log *l, const struct fact *f, int *status)
{
	struct facts *t = l->facts;
	struct fact_write *w = mem_calloc(1, sizeof(*w));
	struct fact_value *v = value_new(f);
	struct fact_entry *e = NULL;

	*status = -ENOMEM;
	if (w == NULL || v == NULL) {
		mem_free(w);
		mem_free(v);
		return NULL;
	}
	facts_lock(t);
	sweep(t, f->since_ms);
	e = entry_find(t, f->kind, f->scope, f->subject);
	if (e == NULL && t->entries.n >= FACTS_MAX)
		*status = -EDQUOT;
	else if (e == NULL)
		e = entry_new(t, f->kind, f->scope, f->subject);
	if (e != NULL)
		e->n_writes++;
	facts_unlock(t);
	if (e == NULL) {
		mem_free(w);
		mem_free(v);
		return NULL;
	}
	*w = (struct fact_write){.facts = t, .entry = e, .value = v};
	return append_of(w);
}

struct append *
fact_end(struct log *l, enum fact_kind kind, struct slice scope, struct slice subject, int *status)
{
	struct facts *t = l->facts;
	struct fact_write *w = mem_calloc(1, sizeof(*w));
	struct fact_entry *e;

	*status = -ENOMEM;
	if (w == NULL)
		return NULL;
	facts_lock(t);
	e = entry_find(t, kind, scope, subject);
	if (e != NULL && e->value == NULL)
		e = NULL; /* it is only about to be true */
	if (e != NULL)
		e->n_writes++;
	facts_unlock(t);
	if (e == NULL) {
		mem_free(w);
		*status = -ENOENT;
		return NULL;
	}
	*w = (struct fact_write){.facts = t, .entry = e};
	return append_of(w);
}

bool
fact_write_get(const struct fact_write *w, struct fact *out)
{
	if (w->facts == NULL) {
		*out = w->fact;
		return w->is_end;
	}
	*out = (struct fact){
	    .kind = w->entry->kind, .scope = w->entry->scope, .subject = w->entry->subject};
	if (w->value == NULL)
		return true;
	out->by = w->value->by;
	out->text = w->value->text;
	out->number = w->value->number;
	out->since_ms = w->value->since_ms;
	out->until_ms = w->value->until_ms;
	return false;
}

void
fact_write_settle(struct fact_write *w, int status)
{
	struct fact_value *over;

	if (w != NULL && w->facts == NULL && status < 0)
		markers_unwritten(w->owner, &w->fact);
	if (w == NULL || w->facts == NULL) {
		mem_free(w);
		return;
	}
	over = w->value;
	facts_lock(w->facts);
	w->entry->n_writes--;
	if (status == 0)
		over = entry_set(w->facts, w->entry, w->value);
	entry_drop_empty(w->facts, w->entry);
	facts_unlock(w->facts);
	mem_free(over);
	mem_free(w);
}

/* --- asking --- */

bool
fact_concerns(const struct log *l, enum fact_kind kind, struct slice subject)
{
	const struct facts *t = l->facts;

	return atomic_load_explicit(&t->n[kind], memory_order_relaxed) > 0 &&
	       atomic_load_explicit(&t->shadows[shadow_of(t, subject)], memory_order_relaxed) > 0;
}

static struct slice
copy_text(struct slice s, size_t max, char **at)
{
	return slice_place(at, slice_of(s.p, min_size(s.n, max)));
}

bool
fact_find(struct log *l, enum fact_kind kind, struct slice scope, struct slice subject,
    int64_t now_ms, struct fact_found *out)
{
	struct facts *t = l->facts;
	const struct fact_entry *e;
	bool is_true;

	if (!fact_concerns(l, kind, subject))
		return false;
	facts_lock(t);
	e = entry_find(t, kind, scope, subject);
	is_true = e != NULL && e->value != NULL && !has_ended(e->value, now_ms);
	if (is_true && out != NULL) {
		const struct fact_value *v = e->value;
		char *at = out->texts;

		out->number = v->number;
		out->since_ms = v->since_ms;
		out->until_ms = v->until_ms;
		out->by = copy_text(v->by, FACT_BY_MAX, &at);
		out->text = copy_text(v->text, FACT_TEXT_MAX, &at);
	}
	facts_unlock(t);
	return is_true;
}

void
fact_each(struct log *l, enum fact_kind kind, int64_t now_ms,
    bool (*each)(const struct fact *f, void *ctx), void *ctx)
{
	struct facts *t = l->facts;
	const struct fact_entry *e;

	facts_lock(t);
	TAILQ_FOREACH (e, &t->order, link) {
		const struct fact_value *v = e->value;
		struct fact f = {e->kind, e->scope, e->subject, v->by, v->text, v->number,
		    v->since_ms, v->until_ms};

		if (e->kind == kind && !has_ended(v, now_ms) && !each(&f, ctx))
			break;
	}
	facts_unlock(t);
}
