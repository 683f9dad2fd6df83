#include <errno.h>

#include "base/mem.h"
#include "store/keys.h"
#include "store/sqlite_private.h"

/*
 * Retention: what a topic's rule no longer keeps goes in the transaction that brings the new; what
 * is too old, or too much for storage.max_size, goes in small steps beside the traffic. How far a
 * topic was trimmed is written down in the same transaction, so a gap is never missed or made up.
 */

#define KEYS_STEP   1000 /* old keys that go at once */
#define KEYS_EVERY  16   /* sweeps between two looks at them */
#define WALK_STEP   4096 /* topics looked at under the log's lock */
#define VACUUM_FREE 2048 /* unused pages that may stay in the file */
#define GONE_STEP   4096 /* rows of forgotten topics that go at once */

/* --- one topic, within a transaction --- */

/* After something went: where it begins now. */
static int
find_first(struct db *db, struct change *c)
{
	sqlite3_stmt *q = db_stmt(db, c->is_shared ? DB_OLDEST_SHARED : DB_OLDEST);
	int r;

	if (q == NULL)
		return -1;
	(void)sqlite3_bind_int64(q, 1, c->tid);
	(void)sqlite3_bind_int(q, 2, 1);
	r = db_step(db, q);
	c->first_id = r > 0 ? db_column_u64(q, 0) : 0;
	c->first_ms = r > 0 ? sqlite3_column_int64(q, 1) : 0;
	(void)sqlite3_reset(q);
	return r < 0 ? -1 : 0;
}

/* Records that change messages are among them: what is counted has to be told apart. */
static bool
has_changes(const struct change *c)
{
	return c->n_changes + c->n_new_changes > c->n_gone_changes;
}

static int
run_three(struct db *db, enum db_query query, int64_t a, uint64_t b, uint64_t c)
{
	sqlite3_stmt *q = db_stmt(db, query);

	if (q == NULL)
		return -1;
	(void)sqlite3_bind_int64(q, 1, a);
	db_bind_u64(q, 2, b);
	if (sqlite3_bind_parameter_count(q) > 2)
		db_bind_u64(q, 3, c);
	return db_run(db, q);
}

static int
drop_changes(struct db *db, struct change *c, enum db_query query, uint64_t upto)
{
	if (!has_changes(c))
		return 0;
	if (run_three(db, query, c->tid, upto, 0) < 0)
		return -1;
	c->n_gone_changes += (uint32_t)sqlite3_changes(db->handle);
	return 0;
}

/* What has ended by its ttl: no loss, so no floor. */
static int
take_ended(struct sqlite_store *s, struct change *c, int64_t now_ms)
{
	struct db *db = &s->db;
	uint64_t next = 0;
	sqlite3_stmt *q;

	if (c->next_end_ms == 0 || c->next_end_ms > now_ms)
		return 0;
	if (run_three(db, DB_UNINDEX_ENDED, c->tid, (uint64_t)now_ms, s->indexed) < 0 ||
	    drop_changes(db, c, DB_DROP_CHANGES_ENDED, (uint64_t)now_ms) < 0 ||
	    run_three(db, DB_DROP_ENDED, c->tid, (uint64_t)now_ms, 0) < 0)
		return -1;
	c->n_gone += (uint32_t)sqlite3_changes(db->handle);
	c->ended_ms = now_ms;
	q = db_stmt(db, DB_NEXT_END);
	if (q == NULL)
		return -1;
	(void)sqlite3_bind_int64(q, 1, c->tid);
	if (db_u64(db, q, &next) < 0)
		return -1;
	c->next_end_ms = (int64_t)next;
	/* nothing else may tell that these ids were given */
	return db_meta_set(db, "last", s->last) < 0 ? -1 : find_first(db, c);
}

/* How many a query says it is about, told apart; then another one is run. */
static int
count_and_run(
    struct db *db, struct change *c, enum db_query count, enum db_query run, uint64_t upto)
{
	sqlite3_stmt *q = db_stmt(db, count);
	uint32_t n = 0;
	uint32_t n_changes = 0;
	int r;

	if (q == NULL)
		return -1;
	(void)sqlite3_bind_int64(q, 1, c->tid);
	db_bind_u64(q, 2, upto);
	r = db_step(db, q);
	if (r > 0) {
		n = (uint32_t)db_column_u64(q, 0);
		n_changes = (uint32_t)db_column_u64(q, 1);
		(void)sqlite3_reset(q);
	}
	if (r < 0 || (n > 0 && run_three(db, run, c->tid, upto, 0) < 0))
		return -1;
	c->n_gone += n - n_changes;
	c->n_gone_changes += n_changes;
	return 0;
}

/* What stands under another topic, too, stays there when this one lets it go. */
static int
let_go(struct db *db, struct change *c, uint64_t upto)
{
	if (count_and_run(db, c, DB_COUNT_HOME, DB_MOVE_HOME, upto) < 0)
		return -1;
	return count_and_run(db, c, DB_COUNT_ALSO, DB_DROP_ALSO, upto);
}

/* Everything up to an id. */
static int
cut(struct sqlite_store *s, struct change *c, uint64_t upto, int64_t now_ms)
{
	struct db *db = &s->db;

	if ((c->is_shared && let_go(db, c, upto) < 0) ||
	    run_three(db, DB_UNINDEX_UPTO, c->tid, upto, s->indexed) < 0 ||
	    drop_changes(db, c, DB_DROP_CHANGES_UPTO, upto) < 0 ||
	    run_three(db, DB_DROP_UPTO, c->tid, upto, 0) < 0)
		return -1;
	c->n_gone += (uint32_t)sqlite3_changes(db->handle);
	c->cut_id = upto;
	if (run_three(db, DB_TOPIC_TRIMMED, c->tid, upto, (uint64_t)now_ms) < 0)
		return -1;
	return find_first(db, c);
}

static uint32_t
n_there(const struct log_topic *t, const struct change *c)
{
	return t->n_stored + c->n_new - c->n_gone;
}

/* A rule that became smaller is not made up for at once: what it wants gone goes in steps. */
static int
trim_by_count(struct sqlite_store *s, struct batch *b, const struct log_topic *t, struct change *c)
{
	sqlite3_stmt *q;
	uint64_t last = 0;
	uint32_t excess;

	if (n_there(t, c) <= c->keep_count)
		return 0;
	if (take_ended(s, c, b->now_ms) < 0)
		return -1;
	if (n_there(t, c) <= c->keep_count)
		return 0;
	excess = n_there(t, c) - c->keep_count;
	if (excess > SQLITE_STEP_MESSAGES + 2 * c->n_new) {
		excess = SQLITE_STEP_MESSAGES + 2 * c->n_new;
		b->is_unfinished = true;
	}
	q = db_stmt(&s->db, c->is_shared     ? DB_NTH_SHARED
			    : has_changes(c) ? DB_NTH_MESSAGE
					     : DB_NTH_OLDEST);
	if (q == NULL)
		return -1;
	(void)sqlite3_bind_int64(q, 1, c->tid);
	(void)sqlite3_bind_int64(q, 2, excess - 1);
	if (db_u64(&s->db, q, &last) < 0)
		return -1;
	return last == 0 ? 0 : cut(s, c, last, b->now_ms);
}

int
sqlite_trim_batch(struct sqlite_store *s, struct batch *b)
{
	struct disk_topic *d;

	TAILQ_FOREACH (d, &b->touched, link) {
		if (trim_by_count(s, b, d->topic, &d->change) < 0)
			return -1;
	}
	return 0;
}

/* The oldest ones that are too old, in steps. */
static int
trim_by_age(struct sqlite_store *s, struct batch *b, struct change *c)
{
	sqlite3_stmt *q = db_stmt(&s->db, c->is_shared ? DB_OLDEST_SHARED : DB_OLDEST);
	unsigned n = 0;
	uint64_t upto = 0;
	int r;

	if (q == NULL)
		return -1;
	(void)sqlite3_bind_int64(q, 1, c->tid);
	(void)sqlite3_bind_int(q, 2, SQLITE_STEP_MESSAGES);
	while ((r = db_step(&s->db, q)) > 0) {
		if (upto == 0)
			c->first_ms = sqlite3_column_int64(q, 1);
		if (sqlite3_column_int64(q, 1) + (int64_t)c->keep_ms > b->now_ms)
			break;
		upto = db_column_u64(q, 0);
		n++;
	}
	(void)sqlite3_reset(q);
	if (r < 0)
		return -1;
	b->is_unfinished = b->is_unfinished || n == SQLITE_STEP_MESSAGES;
	return upto == 0 ? 0 : cut(s, c, upto, b->now_ms);
}

/* --- a sweep --- */

static bool
is_due(const struct log_topic *t, int64_t now_ms)
{
	const struct disk_topic *d = disk_of(t);

	if (d == NULL || (t->n_stored == 0 && t->n_changes == 0))
		return false;
	if (d->next_end_ms != 0 && d->next_end_ms <= now_ms)
		return true;
	if (t->n_stored > t->keep_count)
		return true; /* the rule has changed */
	/* not known: it has to be looked at */
	return t->keep_ms != 0 && d->first_ms + (int64_t)t->keep_ms <= now_ms;
}

/* Some of the topics that are due, from where the last step ended. False: that was all. */
static bool
collect(struct sqlite_store *s, struct batch *b, size_t *at)
{
	struct log *l = s->store.log;
	struct log_topic *t = NULL;
	unsigned n = 0;

	log_lock(l);
	for (unsigned i = 0; i < WALK_STEP && n < SQLITE_STEP_TOPICS; i++) {
		t = map_next(&l->topics, at);
		if (t == NULL)
			break;
		if (!is_due(t, b->now_ms))
			continue;
		t->is_held = true;
		(void)sqlite_touch(b, t);
		n++;
	}
	log_unlock(l);
	return t != NULL;
}

static int
trim_due(struct sqlite_store *s, struct batch *b)
{
	struct disk_topic *d;

	TAILQ_FOREACH (d, &b->touched, link) {
		struct change *c = &d->change;

		if (take_ended(s, c, b->now_ms) < 0 || trim_by_count(s, b, d->topic, c) < 0 ||
		    (c->keep_ms != 0 && trim_by_age(s, b, c) < 0))
			return -1;
	}
	return 0;
}

/* How many messages are about as much as there is too much. */
static int
n_too_many(struct sqlite_store *s)
{
	uint64_t bytes = atomic_load(&s->n_bytes);
	uint64_t over = bytes - min_u64(bytes, s->options.max_size);
	uint64_t n = 0;

	log_lock(s->store.log);
	n = s->n_messages;
	log_unlock(s->store.log);
	n = bytes == 0 ? 0 : over * n / bytes;
	return (int)min_u64(n + 1, SQLITE_STEP_MESSAGES);
}

/* The oldest messages of all topics: their topics, each with the last of its messages to go. */
static int
collect_oldest(struct sqlite_store *s, struct batch *b)
{
	sqlite3_stmt *q = db_stmt(&s->db, DB_OLDEST_OF_ALL);
	struct log *l = s->store.log;
	int r;

	if (q == NULL)
		return -1;
	(void)sqlite3_bind_int(q, 1, n_too_many(s));
	while ((r = db_step(&s->db, q)) > 0) {
		struct log_topic *t;

		log_lock(l);
		t = log_topic_find(l, db_column(q, 0));
		if (t != NULL && t->stored != NULL) {
			t->is_held = true;
			sqlite_touch(b, t)->last_id = db_column_u64(q, 1);
		}
		log_unlock(l);
	}
	return r;
}

static int
trim_oldest(struct sqlite_store *s, struct batch *b)
{
	struct disk_topic *d;

	if (collect_oldest(s, b) < 0)
		return -1;
	TAILQ_FOREACH (d, &b->touched, link) {
		uint64_t upto = d->change.last_id;

		d->change.last_id = 0;
		if (take_ended(s, &d->change, b->now_ms) < 0)
			return -1;
		if (d->change.first_id != 0 && d->change.first_id <= upto &&
		    cut(s, &d->change, upto, b->now_ms) < 0)
			return -1;
	}
	return 0;
}

/* The rows of topics that the log has forgotten; how far they were trimmed lives on in `folded`. */
static int
drop_gone(struct sqlite_store *s, struct disk_topic_list *gone, uint64_t folded)
{
	struct disk_topic *d;

	TAILQ_FOREACH (d, gone, link) {
		sqlite3_stmt *q = db_stmt(&s->db, DB_TOPIC_DROP);

		if (q == NULL)
			return -1;
		(void)sqlite3_bind_int64(q, 1, d->tid);
		if (db_run(&s->db, q) < 0)
			return -1;
	}
	if (folded != s->folded && db_meta_set(&s->db, "folded", folded) < 0)
		return -1;
	return 0;
}

static int
drop_old_keys(struct sqlite_store *s, struct batch *b)
{
	sqlite3_stmt *q = db_stmt(&s->db, DB_KEY_DROP_OLD);

	if (q == NULL)
		return -1;
	(void)sqlite3_bind_int(q, 1, KEYS_STEP);
	(void)sqlite3_bind_int64(q, 2, b->now_ms - KEYS_LIFE_MS);
	if (db_run(&s->db, q) < 0)
		return -1;
	b->n_keys -= min_u64(b->n_keys, (uint64_t)sqlite3_changes(s->db.handle));
	return 0;
}

static void
take_gone(struct sqlite_store *s, struct disk_topic_list *gone, uint64_t *folded)
{
	struct disk_topic *d;

	log_lock(s->store.log);
	for (unsigned i = 0; i < GONE_STEP && (d = TAILQ_FIRST(&s->gone)) != NULL; i++) {
		TAILQ_REMOVE(&s->gone, d, link);
		TAILQ_INSERT_TAIL(gone, d, link);
	}
	*folded = s->store.log->folded;
	log_unlock(s->store.log);
}

static void
give_back(struct sqlite_store *s, struct disk_topic_list *gone)
{
	log_lock(s->store.log);
	TAILQ_CONCAT(&s->gone, gone, link);
	log_unlock(s->store.log);
}

static void
free_gone(struct disk_topic_list *gone)
{
	struct disk_topic *d;

	while ((d = TAILQ_FIRST(gone)) != NULL) {
		TAILQ_REMOVE(gone, d, link);
		mem_free(d);
	}
}

static bool
is_untidy(
    struct sqlite_store *s, const struct disk_topic_list *gone, uint64_t folded, int64_t now_ms)
{
	return !TAILQ_EMPTY(gone) || folded != s->folded || s->n_free > VACUUM_FREE ||
	       (s->fact_end_ms != 0 && s->fact_end_ms <= now_ms) ||
	       (s->n_keys > 0 && s->n_sweeps++ % KEYS_EVERY == 0);
}

/* What is done once a sweep: forgotten topics, old keys, pages that nobody uses. */
static void
tidy(struct sqlite_store *s, struct batch *b)
{
	struct disk_topic_list gone = TAILQ_HEAD_INITIALIZER(gone);
	uint64_t folded = 0;
	int r;

	take_gone(s, &gone, &folded);
	if (!is_untidy(s, &gone, folded, b->now_ms))
		return;
	r = sqlite_begin(s, true);
	if (r == 0)
		r = drop_gone(s, &gone, folded);
	if (r == 0)
		r = drop_old_keys(s, b);
	if (r == 0)
		r = sqlite_drop_facts(s, b->now_ms);
	if (r == 0 && s->n_free > VACUUM_FREE)
		r = db_run(&s->db, db_stmt(&s->db, DB_VACUUM));
	if (sqlite_end(s, r) < 0) {
		give_back(s, &gone);
		return;
	}
	free_gone(&gone);
	s->folded = folded;
	s->n_keys = b->n_keys;
}

bool
sqlite_sweep_step(struct sqlite_store *s, int64_t now_ms, struct sweep *at)
{
	struct batch b = {.now_ms = now_ms, .last = s->last, .n_keys = s->n_keys};
	bool is_over;
	bool more = true;
	int r;

	TAILQ_INIT(&b.touched);
	TAILQ_INIT(&b.changed);
	if (!at->is_tidied) {
		tidy(s, &b);
		sqlite_measure(s);
	}
	at->is_tidied = true;
	is_over = s->options.max_size != 0 && atomic_load(&s->n_bytes) > s->options.max_size;
	if (!is_over) {
		more = collect(s, &b, &at->topic);
		if (TAILQ_EMPTY(&b.touched))
			return more;
	}
	r = sqlite_begin(s, true);
	if (r == 0)
		r = is_over ? trim_oldest(s, &b) : trim_due(s, &b);
	if (r == 0)
		r = sqlite_write_topics(s, &b);
	more = more && (!is_over || !TAILQ_EMPTY(&b.touched));
	r = sqlite_end(s, r);
	sqlite_publish(s, &b, r);
	if (b.is_unfinished && !more)
		*at = (struct sweep){.is_tidied = true}; /* the walk begins anew */
	return r == 0 && (more || b.is_unfinished);
}
