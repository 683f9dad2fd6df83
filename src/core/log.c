#include "core/log.h"

#include <errno.h>

#include "base/lock.h"
#include "base/mem.h"
#include "core/facts.h"
#include "core/hub.h"
#include "core/known_name.h"
#include "core/log_private.h"
#include "core/read_marker.h"
#include "core/topic.h"

#define RING_FIRST_CAP 256
/*
 * In 2001. An id has 16 digits, whatever a clock says that nobody has set yet (a board without one
 * begins in 1970): with zeros before it it would be no number in JSON.
 */
#define LOG_LEAST_ID    UINT64_C(1000000000000000)
#define RULES_STEP      1024 /* topics that are given their rule under one lock */
#define FORGET_AFTER_MS ((int64_t)30 * 24 * 3600 * 1000) /* of a topic that was trimmed */

struct append *
append_new(unsigned n)
{
	struct append *a = mem_calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->n = n;
	a->items = &a->one;
	if (n > 1) {
		a->items = mem_calloc(n, sizeof(*a->items));
		if (a->items == NULL) {
			mem_free(a);
			return NULL;
		}
	}
	return a;
}

struct append *
append_begin(struct append *a)
{
	memset(a, 0, sizeof(*a));
	a->is_borrowed = true;
	a->n = 1;
	a->items = &a->one;
	return a;
}

void
append_free(struct append *a)
{
	if (a == NULL)
		return;
	for (unsigned i = 0; i < a->n; i++) {
		message_unref(a->items[i].message);
		fact_write_settle(a->items[i].fact, -ECANCELED);
	}
	if (a->items != &a->one)
		mem_free(a->items);
	mem_free(a->ref);
	if (!a->is_borrowed)
		mem_free(a);
}

void
append_set_also(struct append_item *item, const struct config *c)
{
	const struct topic_rule *rule;

	if (item->message->also_n == 0)
		return;
	rule = config_rule(c, message_also(item->message));
	item->also_count = rule->history;
	item->also_ms = rule->keep_ms;
}

const char *
log_gap_name(enum log_gap_reason reason)
{
	static const char *const names[] = {"none", "trimmed", "outside", "unreadable", "slow"};

	return names[reason];
}

static bool
parts_new(struct log *l)
{
	l->ring = mem_calloc(RING_FIRST_CAP, sizeof(*l->ring));
	l->facts = facts_new();
	l->markers = markers_new();
	l->names = known_names_new();
	return l->ring != NULL && l->facts != NULL && l->markers != NULL && l->names != NULL;
}

static void
parts_free(struct log *l)
{
	facts_free(l->facts);
	known_names_free(l->names);
	markers_free(l->markers);
	mem_free(l->ring);
}

struct log *
log_new(const struct log_options *options, struct store *store)
{
	struct log *l = mem_calloc(1, sizeof(*l));

	if (l == NULL || !parts_new(l) || store == NULL) {
		if (l != NULL)
			parts_free(l);
		mem_free(l);
		if (store != NULL)
			store->ops->free(store);
		return NULL;
	}
	lock_init(&l->lock);
	map_init(&l->topics);
	TAILQ_INIT(&l->order);
	TAILQ_INIT(&l->leaving);
	TAILQ_INIT(&l->scheduled);
	TAILQ_INIT(&l->coming);
	TAILQ_INIT(&l->crowds);
	l->crowd = options->crowd;
	l->max_scheduled = options->scheduled;
	l->max_scheduled_user = options->scheduled_per_user;
	l->ring_cap = RING_FIRST_CAP;
	l->n_workers = options->n_workers;
	l->begin = max_u64(options->now_us, LOG_LEAST_ID);
	l->last = l->begin;
	l->max_topics = options->max_topics;
	l->store = store;
	store->log = l;
	for (unsigned i = 0; i <= LOG_MAX_WORKERS; i++)
		TAILQ_INIT(&l->workers[i].reads);
	if (store->ops->start != NULL && store->ops->start(store) < 0) {
		log_free(l);
		return NULL;
	}
	return l;
}

void
log_stop(struct log *l)
{
	if (l == NULL || l->store->ops->stop == NULL)
		return;
	markers_flush(l);
	l->store->ops->stop(l->store);
}

static void
topic_free(struct log *l, struct log_topic *t)
{
	if (l->found == t)
		l->found = NULL;
	presence_free_room(t->room);
	l->store->ops->forget(l->store, t);
	TAILQ_REMOVE(&l->order, t, order);
	mem_free(t);
}

void
log_free(struct log *l)
{
	struct log_topic *t;
	size_t at = 0;

	if (l == NULL)
		return;
	log_stop(l);
	for (; l->released < l->next; l->released++) {
		struct tail_slot *slot = &l->ring[l->released & (l->ring_cap - 1)];

		message_unref(slot->message);
		/* one that its worker has met is its worker's */
		if (slot->append != NULL && l->released >= l->workers[slot->worker].taken)
			append_free(slot->append);
	}
	schedule_free(l);
	while ((t = map_next(&l->topics, &at)) != NULL)
		topic_free(l, t);
	map_done(&l->topics);
	for (size_t i = 0; i < l->n_patterns; i++)
		mem_free(l->patterns[i]);
	mem_free(l->patterns);
	l->store->ops->free(l->store);
	parts_free(l);
	(void)pthread_mutex_destroy(&l->lock);
	mem_free(l);
}

void
log_set_max_topics(struct log *l, uint32_t max)
{
	log_lock(l);
	l->max_topics = max;
	l->is_full = false;
	log_unlock(l);
}

void
log_set_crowd(struct log *l, uint32_t members)
{
	log_lock(l);
	l->crowd = members;
	log_unlock(l);
}

bool
log_use_rules(struct log *l, const struct config *c, size_t *at)
{
	struct log_topic *t = NULL;

	log_lock(l);
	for (unsigned i = 0; i < RULES_STEP; i++) {
		const struct topic_rule *rule;

		t = map_next(&l->topics, at);
		if (t == NULL)
			break;
		rule = config_rule(c, t->name);
		t->keep_count = rule->history;
		t->keep_ms = rule->keep_ms;
	}
	log_unlock(l);
	return t != NULL;
}

/* --- topics --- */

struct log_topic *
log_topic_find(struct log *l, struct slice name)
{
	struct log_topic *t = l->found;

	if (t != NULL && slice_eq(t->name, name))
		return t;
	t = map_get(&l->topics, name);
	if (t != NULL)
		l->found = t;
	return t;
}

unsigned
log_topics_of(struct log *l, const struct message *m, struct log_topic *out[2])
{
	unsigned n = 0;

	out[n] = log_topic_find(l, m->topic);
	n += out[n] != NULL;
	if (m->also_n > 0) {
		out[n] = log_topic_find(l, message_also(m));
		n += out[n] != NULL;
	}
	return n;
}

static bool
topic_is_idle(const struct log_topic *t)
{
	return t->n_stored == 0 && t->n_changes == 0 && t->interest == 0 && t->room == NULL &&
	       !t->is_held;
}

/*
 * Forget topics that hold nothing; those that were trimmed only after a while, or when room is
 * needed. How far they were trimmed lives on in `folded`. Looks at the table from slot `at` to `end`;
 * returns where to go on, 0 after all of it.
 */
static size_t
fold_topics(struct log *l, int64_t now_ms, bool make_room, size_t at, size_t end)
{
	while (at < min_size(end, l->topics.cap)) {
		struct log_topic *t = l->topics.entries[at].value;

		if (t == NULL || !topic_is_idle(t) ||
		    (t->trimmed_id != 0 && !make_room && now_ms - t->used_ms < FORGET_AFTER_MS)) {
			at++;
			continue;
		}
		l->folded = max_u64(l->folded, t->trimmed_id);
		/* another may move into this slot: it is looked at again */
		(void)map_remove(&l->topics, t->name);
		topic_free(l, t);
	}
	return at < l->topics.cap ? at : 0;
}

/* Walking all topics for room is done once until the next sweep, not at each attempt. */
static bool
has_room_for_topic(struct log *l)
{
	if (l->max_topics == 0 || l->topics.n < l->max_topics)
		return true;
	if (!l->is_full)
		l->fold_at = fold_topics(l, 0, true, 0, SIZE_MAX);
	l->is_full = l->topics.n >= l->max_topics;
	return !l->is_full;
}

struct log_topic *
log_topic_get(struct log *l, struct slice name, int *status)
{
	struct log_topic *t = log_topic_find(l, name);

	if (t != NULL)
		return t;
	if (!has_room_for_topic(l)) {
		*status = -ENOSPC;
		return NULL;
	}
	t = mem_calloc(1, sizeof(*t) + name.n);
	if (t == NULL) {
		*status = -ENOMEM;
		return NULL;
	}
	memcpy(t + 1, name.p, name.n);
	t->name = slice_of((const char *)(t + 1), name.n);
	t->trimmed_id = l->folded; /* it may have been known before, and trimmed up to there */
	if (map_set(&l->topics, t->name, t) < 0) {
		mem_free(t);
		*status = -ENOMEM;
		return NULL;
	}
	if (topic_room(name).p != NULL)
		TAILQ_INSERT_HEAD(&l->order, t, order);
	else
		TAILQ_INSERT_TAIL(&l->order, t, order);
	return t;
}

/* The workers that may want a message of this topic. */
static uint64_t
interested(struct log *l, struct slice name)
{
	struct log_topic *t = log_topic_find(l, name);
	uint64_t mask = 0;

	if (t != NULL && t->pattern_generation == l->pattern_generation)
		return t->interest | t->pattern_mask;
	for (size_t i = 0; i < l->n_patterns; i++) {
		if (pattern_matches(l->patterns[i]->text, name))
			mask |= l->patterns[i]->mask;
	}
	if (t == NULL)
		return mask;
	t->pattern_mask = mask;
	t->pattern_generation = l->pattern_generation;
	return t->interest | mask;
}

static struct log_pattern *
pattern_find(struct log *l, struct slice text, size_t *at)
{
	for (size_t i = 0; i < l->n_patterns; i++) {
		if (slice_eq(l->patterns[i]->text, text)) {
			*at = i;
			return l->patterns[i];
		}
	}
	return NULL;
}

static int
pattern_add(struct log *l, unsigned worker, struct slice text)
{
	size_t at;
	struct log_pattern *p = pattern_find(l, text, &at);
	struct log_pattern **more;

	l->pattern_generation++;
	if (p != NULL) {
		p->mask |= 1ull << worker;
		return 0;
	}
	more = mem_realloc(l->patterns, (l->n_patterns + 1) * sizeof(struct log_pattern *));
	if (more == NULL)
		return -ENOMEM;
	l->patterns = more;
	if (l->max_topics != 0 && l->n_patterns >= l->max_topics) /* a count of their own */
		return -ENOSPC;
	p = mem_alloc(sizeof(*p) + text.n);
	if (p == NULL)
		return -ENOMEM;
	memcpy(p + 1, text.p, text.n);
	*p = (struct log_pattern){slice_of((const char *)(p + 1), text.n), 1ull << worker};
	l->patterns[l->n_patterns++] = p;
	return 0;
}

int
log_interest_add(struct log *l, unsigned worker, struct slice pattern)
{
	int r = 0;

	log_lock(l);
	if (pattern_is_topic(pattern)) {
		struct log_topic *t = log_topic_get(l, pattern, &r);

		if (t != NULL)
			t->interest |= 1ull << worker;
	} else {
		r = pattern_add(l, worker, pattern);
	}
	log_unlock(l);
	return r;
}

void
log_interest_remove(struct log *l, unsigned worker, struct slice pattern)
{
	struct log_pattern *p;
	struct log_topic *t;
	size_t at;

	log_lock(l);
	t = pattern_is_topic(pattern) ? log_topic_find(l, pattern) : NULL;
	if (t != NULL)
		t->interest &= ~(1ull << worker);
	p = t == NULL ? pattern_find(l, pattern, &at) : NULL;
	if (p != NULL) {
		l->pattern_generation++;
		p->mask &= ~(1ull << worker);
		if (p->mask == 0) {
			l->patterns[at] = l->patterns[--l->n_patterns];
			mem_free(p);
		}
	}
	log_unlock(l);
}

/* --- the tail --- */

uint64_t
log_next_id(struct log *l, uint64_t now_us)
{
	l->last = max_u64(l->last + 1, now_us);
	return l->last;
}

int
log_reserve(struct log *l, size_t n)
{
	size_t used = (size_t)(l->next - l->released) + l->promised;
	size_t cap = l->ring_cap;
	struct tail_slot *bigger;

	if (used + n > LOG_TAIL_MAX || l->ring_bytes > LOG_TAIL_BYTES)
		return -EAGAIN;
	while (cap < used + n)
		cap *= 2;
	if (cap == l->ring_cap)
		return 0;
	bigger = mem_calloc(cap, sizeof(*bigger));
	if (bigger == NULL)
		return -ENOMEM;
	for (uint64_t s = l->released; s < l->next; s++)
		bigger[s & (cap - 1)] = l->ring[s & (l->ring_cap - 1)];
	mem_free(l->ring);
	l->ring = bigger;
	l->ring_cap = cap;
	return 0;
}

int
log_promise(struct log *l, size_t n)
{
	int r = log_reserve(l, n);

	if (r == 0)
		l->promised += n;
	return r;
}

void
log_promised_done(struct log *l, size_t n)
{
	l->promised -= n;
}

static uint64_t
all_workers(const struct log *l)
{
	return l->n_workers >= 64 ? UINT64_MAX : (1ull << l->n_workers) - 1;
}

void
log_link(struct log *l, struct message *m, struct append *a, unsigned caller, uint64_t *wakes)
{
	struct tail_slot *slot = &l->ring[l->next & (l->ring_cap - 1)];
	uint64_t mask = m == NULL ? 0 : interested(l, m->topic);
	size_t before = l->ring_bytes;

	if (m != NULL && m->also_n > 0)
		mask |= interested(l, message_also(m));
	*slot = (struct tail_slot){
	    m == NULL ? NULL : message_ref(m), a, a == NULL ? LOG_NO_WORKER : a->worker};
	l->next++;
	l->ring_bytes += m == NULL ? 0 : message_memory(m);
	/* a worker without interest would hold what it does not look at until its next second */
	if ((l->next - l->released) % LOG_TAIL_EAGER == 0 || before >> 20 != l->ring_bytes >> 20)
		mask = all_workers(l);
	if (a != NULL && a->worker < l->n_workers)
		mask |= 1ull << a->worker;
	if (caller < LOG_MAX_WORKERS)
		mask &= ~(1ull << caller); /* it looks at the tail at the end of this turn anyway */
	for (uint64_t left = mask; left != 0; left &= left - 1) {
		struct log_worker *w = &l->workers[__builtin_ctzll(left)];

		if (!w->is_woken && w->wake != NULL) {
			w->is_woken = true;
			*wakes |= left & -left;
		}
	}
}

void
log_wake(struct log *l, uint64_t wakes)
{
	for (; wakes != 0; wakes &= wakes - 1) {
		struct log_worker *w = &l->workers[__builtin_ctzll(wakes)];

		w->wake(w->ctx);
	}
}

/* What was put off: it waits (again), or it is done with. */
static void
settle_scheduled(struct log *l, struct append *a, int status)
{
	for (unsigned i = 0; i < a->n; i++) {
		struct append_item *item = &a->items[i];
		bool waits = item->what == APPEND_LATER ? status == 0 && !item->duplicate
							: status < 0 && item->what != APPEND_NOW;

		if (item->entry == NULL)
			continue;
		if (waits)
			schedule_add(l, item);
		else
			schedule_drop(l, item);
	}
}

/* What was to be true is, or it is not. */
static void
settle_facts(struct append *a, int status)
{
	for (unsigned i = 0; i < a->n; i++) {
		fact_write_settle(a->items[i].fact, status);
		a->items[i].fact = NULL;
	}
}

void
log_publish(struct log *l, struct append *a, unsigned caller, uint64_t *wakes)
{
	bool has_origin = a->worker < l->n_workers;
	bool is_done = false;

	settle_scheduled(l, a, a->status);
	settle_facts(a, a->status);
	for (unsigned i = 0; i < a->n; i++) {
		bool is_last = has_origin && i + 1 == a->n;

		if (a->status < 0 || a->items[i].duplicate || !append_is_published(&a->items[i]))
			continue;
		log_link(l, a->items[i].message, is_last ? a : NULL, caller, wakes);
		is_done = is_last;
	}
	if (!has_origin)
		append_free(a); /* nobody waits; the tail has references of its own */
	else if (!is_done)
		log_link(l, NULL, a, caller, wakes);
}

int
log_append(struct log *l, struct append *a, unsigned caller)
{
	int r = l->store->ops->append(l->store, a, caller);

	if (r < 0) {
		log_lock(l);
		settle_scheduled(l, a, r);
		log_unlock(l);
		settle_facts(a, r);
	}
	return r;
}

void
log_attach(struct log *l, unsigned worker, void (*wake)(void *ctx), void *ctx)
{
	log_lock(l);
	l->workers[worker].wake = wake;
	l->workers[worker].ctx = ctx;
	l->workers[worker].taken = l->next;
	log_unlock(l);
}

/* Slots that every worker has passed go. */
static void
release_passed(struct log *l)
{
	uint64_t slowest = l->next;

	for (unsigned i = 0; i < l->n_workers; i++)
		slowest = min_u64(slowest, l->workers[i].taken);
	for (; l->released < slowest; l->released++) {
		struct message *m = l->ring[l->released & (l->ring_cap - 1)].message;

		l->ring_bytes -= m == NULL ? 0 : message_memory(m);
		message_unref(m);
	}
}

/*
 * A slot is released at the first take of the slowest worker after it was handed out, so what a
 * worker was given stays until it comes again: `taken` moves past a batch only then.
 */
unsigned
log_take(struct log *l, unsigned worker, struct tail_slot *out, unsigned max, uint64_t *sequence)
{
	struct log_worker *w = &l->workers[worker];
	unsigned n = 0;

	log_lock(l);
	w->is_woken = false;
	if (w->taken < *sequence) {
		w->taken = *sequence;
		release_passed(l);
	} else {
		*sequence = w->taken;
	}
	for (; n < max && w->taken + n < l->next; n++) {
		struct tail_slot *slot = &l->ring[(w->taken + n) & (l->ring_cap - 1)];

		out[n] = *slot;
		if (slot->append == NULL)
			continue;
		if (slot->append->worker == worker)
			slot->append = NULL; /* its owner frees it: nobody looks at it here again */
		else
			out[n].append = NULL;
	}
	log_unlock(l);
	return n;
}

/* --- retention --- */

void
log_sweep(struct log *l, int64_t now_ms)
{
	l->store->ops->sweep(l->store, now_ms);
	facts_sweep(l->facts, now_ms);
	log_lock(l);
	l->fold_at = fold_topics(l, now_ms, false, l->fold_at, l->fold_at + log_sweep_share(l));
	l->is_full = false;
	log_unlock(l);
}
