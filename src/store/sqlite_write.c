#include <errno.h>
#include <sched.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/keys.h"
#include "store/sqlite_private.h"

/*
 * The writer: takes all that is queued and commits it in one transaction, while the next lot
 * gathers. Nothing is waited for, so a lone message is as fast as the disk, and a crowd shares it.
 */

#define MEASURE_EVERY_US 20000
#define PAUSE_SHORT_US   100 /* such a pause is not slept through */

/* --- transactions --- */

static void
note_trouble(struct sqlite_store *s, const char *what)
{
	bool is_news;

	(void)pthread_mutex_lock(&s->lock);
	is_news = !s->has_trouble;
	s->has_trouble = true;
	(void)snprintf(s->trouble, sizeof(s->trouble), "storage: nothing can be written: %s", what);
	(void)pthread_mutex_unlock(&s->lock);
	if (is_news)
		sqlite_tell(s, true, "storage.failed", what);
}

static void
note_well(struct sqlite_store *s)
{
	bool is_news;

	(void)pthread_mutex_lock(&s->lock);
	is_news = s->has_trouble;
	s->has_trouble = false;
	(void)pthread_mutex_unlock(&s->lock);
	if (is_news)
		sqlite_tell(s, false, "storage.recovered", "the database is written again");
}

/* What is done beside the traffic need not wait for the disk: the next message's fsync has it too. */
static int
be_lazy(struct sqlite_store *s, bool is_lazy)
{
	if (s->options.sync != SYNC_FULL || s->is_lazy == is_lazy)
		return 0;
	if (db_exec(&s->db, is_lazy ? "PRAGMA synchronous = NORMAL" : "PRAGMA synchronous = FULL") <
	    0)
		return -1;
	s->is_lazy = is_lazy;
	return 0;
}

int
sqlite_begin(struct sqlite_store *s, bool is_lazy)
{
	atomic_store(&s->busy_since_us, clock_mono_us());
	if (sqlite_place_check(s) < 0)
		return -1;
	if (s->must_reopen) {
		if (sqlite_wal_reopen(s) < 0)
			return -1;
		s->must_reopen = false;
		s->is_lazy = false;
	}
	s->db.code = SQLITE_OK; /* of this transaction nothing has failed */
	s->db.text[0] = '\0';
	s->db.has_indexed = false;
	s->rows.n = 0; /* of one that has failed */
	s->is_beside = is_lazy;
	if (be_lazy(s, is_lazy) < 0 || db_run(&s->db, db_stmt(&s->db, DB_BEGIN_WRITE)) < 0)
		return -1;
	return atomic_load(&s->is_doubtful) ? sqlite_renew(s, false) : 0;
}

/* SQLite prepares these two questions anew each time: traffic asks now and then. */
static bool
is_time_to_measure(const struct sqlite_store *s)
{
	return s->is_beside || atomic_load(&s->busy_since_us) - s->measured_us > MEASURE_EVERY_US;
}

void
sqlite_measure(struct sqlite_store *s)
{
	uint64_t pages = 0;
	uint64_t free = 0;

	if (db_u64(&s->db, db_stmt(&s->db, DB_PAGE_COUNT), &pages) == 0 &&
	    db_u64(&s->db, db_stmt(&s->db, DB_FREE_COUNT), &free) == 0 && pages >= free)
		atomic_store(&s->n_bytes, (pages - free) * DB_PAGE);
	s->n_free = free;
	s->measured_us = clock_mono_us();
}

int
sqlite_end(struct sqlite_store *s, int status)
{
	int code;

	if (status == 0) {
		if (is_time_to_measure(s))
			sqlite_measure(s); /* here it costs no locks of its own */
		status = db_run(&s->db, db_stmt(&s->db, DB_COMMIT));
	}
	code = s->db.code == SQLITE_OK ? SQLITE_NOMEM : s->db.code; /* its own failures are that */
	if (status < 0 && db_is_within(&s->db) &&
	    db_run(&s->db, db_stmt(&s->db, DB_ROLLBACK)) < 0) {
		/* it was rolled back by the failure itself */
	}
	atomic_store(&s->busy_since_us, 0);
	counter_bump(status == 0 ? &s->figures.n_commits : &s->figures.n_failed, 1);
	if (status < 0) {
		s->db.code = code;
		/* a connection that could not be made whole is none */
		s->must_reopen = s->must_reopen || db_has_failed(&s->db);
		sqlite_doubt(s, code);
		if ((code & 0xff) == SQLITE_CORRUPT && s->db.has_indexed)
			sqlite_index_report(s);
		note_trouble(s, db_text(&s->db));
		return -1;
	}
	note_well(s);
	return 0;
}

/* --- topics --- */

bool
sqlite_is_shared(const struct log_topic *t)
{
	return slice_has_prefix(t->name, SLICE("user/"));
}

struct change *
sqlite_touch(struct batch *b, struct log_topic *t)
{
	struct disk_topic *d = disk_of(t);
	struct change *c = &d->change;

	if (c->is_in)
		return c;
	*c = (struct change){.is_in = true,
	    .is_shared = sqlite_is_shared(t),
	    .tid = d->tid,
	    .first_id = t->first_id,
	    .first_ms = d->first_ms,
	    .next_end_ms = d->next_end_ms,
	    .n_changes = t->n_changes,
	    .keep_count = t->keep_count,
	    .keep_ms = t->keep_ms};
	TAILQ_INSERT_TAIL(&b->touched, d, link);
	return c;
}

/* --- writing --- */

/* It was forgotten and is back: its row stays. */
static void
keep_row(struct sqlite_store *s, int64_t tid)
{
	struct disk_topic *d;

	log_lock(s->store.log);
	TAILQ_FOREACH (d, &s->gone, link) {
		if (d->tid == tid)
			break;
	}
	if (d != NULL)
		TAILQ_REMOVE(&s->gone, d, link);
	log_unlock(s->store.log);
	mem_free(d);
}

static int
add_topic(
    struct sqlite_store *s, const struct batch *b, const struct log_topic *t, struct change *c)
{
	sqlite3_stmt *q = db_stmt(&s->db, DB_TOPIC_ADD);
	int r;

	if (q == NULL)
		return -1;
	db_bind_text(q, 1, t->name);
	db_bind_u64(q, 2, t->trimmed_id);
	(void)sqlite3_bind_int64(q, 3, b->now_ms);
	r = db_step(&s->db, q);
	if (r > 0)
		c->tid = sqlite3_column_int64(q, 0);
	if (r < 0 || db_run(&s->db, q) < 0)
		return -1;
	keep_row(s, c->tid);
	return 0;
}

/* 1 when the key was used within a day: *id by which message. 0, or -1. */
static int
find_key(struct sqlite_store *s, struct slice key, int64_t now_ms, uint64_t *id, bool *is_old)
{
	sqlite3_stmt *q = db_stmt(&s->db, DB_KEY_GET);
	int r;

	*is_old = false;
	if (q == NULL)
		return -1;
	db_bind_text(q, 1, key);
	r = db_step(&s->db, q);
	if (r <= 0)
		return r;
	*is_old = sqlite3_column_int64(q, 1) + KEYS_LIFE_MS <= now_ms;
	*id = db_column_u64(q, 0);
	(void)sqlite3_reset(q);
	return *is_old ? 0 : 1;
}

static int
add_key(struct sqlite_store *s, struct batch *b, struct slice key, uint64_t id, int64_t now_ms)
{
	sqlite3_stmt *q = db_stmt(&s->db, DB_KEY_ADD);

	if (q == NULL)
		return -1;
	db_bind_text(q, 1, key);
	db_bind_u64(q, 2, id);
	(void)sqlite3_bind_int64(q, 3, now_ms);
	if (db_run(&s->db, q) < 0)
		return -1;
	if (b->n_keys <= s->options.keys)
		return 0;
	q = db_stmt(&s->db, DB_KEY_DROP_OLDEST);
	if (q == NULL)
		return -1;
	db_bind_u64(q, 1, b->n_keys - s->options.keys);
	b->n_keys = s->options.keys;
	return db_run(&s->db, q);
}

static uint64_t
next_id(const struct batch *b, const struct append *a)
{
	return max_u64(b->last + 1, (uint64_t)a->now_ms * 1000);
}

/* 1: it is known already, nothing is written. 0, or -1. */
static int
check_key(struct sqlite_store *s, struct batch *b, const struct append *a, struct append_item *item)
{
	char text[KEY_TEXT_MAX];
	struct slice key = key_text(item->message, text);
	bool is_old;
	int r = find_key(s, key, a->now_ms, &item->id, &is_old);

	if (r != 0)
		return r;
	if (!is_old)
		b->n_keys++;
	return add_key(s, b, key, next_id(b, a), a->now_ms);
}

static void
count_new(struct change *c, const struct message *m)
{
	if (m->target == 0)
		c->n_new++;
	else
		c->n_new_changes++;
	c->last_id = m->id;
	if (c->first_id == 0) {
		c->first_id = m->id;
		c->first_ms = m->time_ms;
	}
	c->keep_count = m->keep_count;
	c->keep_ms = m->keep_ms;
	if (m->expires_ms != 0 && (c->next_end_ms == 0 || m->expires_ms < c->next_end_ms))
		c->next_end_ms = m->expires_ms;
}

/* To be put off, unless its key is known. */
static int
write_later(struct sqlite_store *s, const struct append *a, struct append_item *item)
{
	char text[KEY_TEXT_MAX];
	uint64_t id = 0;
	bool is_old;
	int r = 0;

	if (item->message->key.n > 0)
		r = find_key(s, key_text(item->message, text), a->now_ms, &id, &is_old);
	if (r == 0 && item->duplicate)
		return 0; /* of one that waits */
	if (r <= 0)
		return r < 0 ? -1 : sqlite_add_scheduled(&s->db, item);
	item->what = APPEND_NOW; /* it was published already */
	item->id = id;
	item->duplicate = true;
	return 0;
}

struct log_topic *
sqlite_also(struct sqlite_store *s, const struct message *m)
{
	struct log_topic *t;

	if (m->also_n == 0)
		return NULL;
	log_lock(s->store.log);
	t = log_topic_find(s->store.log, message_also(m));
	log_unlock(s->store.log);
	return t;
}

/* The topic is in the batch, and has a row; NULL: it cannot have one. */
static struct change *
touch_row(struct sqlite_store *s, struct batch *b, struct log_topic *t)
{
	struct change *c = sqlite_touch(b, t);

	return c->tid == 0 && add_topic(s, b, t, c) < 0 ? NULL : c;
}

int
sqlite_write_message(struct sqlite_store *s, struct batch *b, const struct append *a,
    struct append_item *item, struct log_topic *t)
{
	struct log_topic *also_t = sqlite_also(s, item->message);
	struct change *c = touch_row(s, b, t);
	struct change *also = also_t == NULL ? NULL : touch_row(s, b, also_t);

	if (c == NULL || (also_t != NULL && also == NULL))
		return -1;
	b->last = next_id(b, a);
	item->id = b->last;
	message_commit(item->message, item->id);
	count_new(c, item->message);
	if (also != NULL) {
		count_new(also, item->message);
		also->keep_count = item->also_count;
		also->keep_ms = item->also_ms;
	}
	return sqlite_rows_add(s, item->message, c->tid, also == NULL ? 0 : also->tid);
}

static int
write_item(struct sqlite_store *s, struct batch *b, struct append *a, struct append_item *item,
    struct log_topic *t)
{
	struct message *m = item->message;
	int r = 0;

	if (item->what == APPEND_LATER)
		return write_later(s, a, item);
	if (item->fact != NULL)
		return sqlite_write_fact(s, item->fact);
	if (item->entry != NULL && sqlite_be_secure(s) < 0)
		return -1;
	if (item->entry != NULL && sqlite_drop_scheduled(&s->db, item->entry->number) < 0)
		return -1;
	if (t == NULL)
		return 0; /* nobody keeps it */
	if (item->what == APPEND_CHANGE)
		return sqlite_change(s, b, a, t);
	if (m->key.n > 0)
		r = check_key(s, b, a, item);
	item->duplicate = r > 0;
	if (r != 0)
		return r < 0 ? -1 : 0;
	return sqlite_write_message(s, b, a, item, t);
}

int
sqlite_write_topics(struct sqlite_store *s, const struct batch *b)
{
	const struct disk_topic *d;

	TAILQ_FOREACH (d, &b->touched, link) {
		const struct log_topic *t = d->topic;
		const struct change *c = &d->change;
		sqlite3_stmt *q = db_stmt(&s->db, DB_TOPIC_STATE);

		if (q == NULL)
			return -1;
		(void)sqlite3_bind_int64(q, 1, c->tid);
		(void)sqlite3_bind_int64(q, 2, b->now_ms);
		db_bind_u64(q, 3, t->n_stored + c->n_new - c->n_gone);
		db_bind_u64(q, 4, t->n_changes + c->n_new_changes - c->n_gone_changes);
		db_bind_u64(q, 5, c->first_id);
		db_bind_u64(q, 6, c->last_id != 0 ? c->last_id : t->last_id);
		(void)sqlite3_bind_int64(q, 7, c->next_end_ms);
		if (db_run(&s->db, q) < 0)
			return -1;
	}
	return 0;
}

/* The appends from the `first` on, whose items begin at *at. */
static int
write_some(struct sqlite_store *s, struct batch *b, unsigned first, size_t *at)
{
	for (unsigned i = first; i < b->n; i++) {
		struct append *a = b->appends[i];

		for (unsigned k = 0; k < a->n; k++, (*at)++) {
			if (a->status == 0 && write_item(s, b, a, &a->items[k], b->topics[*at]) < 0)
				return -1;
		}
	}
	return sqlite_rows_write(s);
}

static int
write_all(struct sqlite_store *s, struct batch *b)
{
	unsigned n_written = 0;
	size_t at = 0;

	for (unsigned i = 0; n_written < b->n; i++) {
		unsigned first = n_written;

		n_written = b->n;
		if (write_some(s, b, first, &at) < 0)
			return -1;
		if (i < SQLITE_JOINS_MAX)
			sqlite_batch_join(s, b);
	}
	return 0;
}

static void
write_batch(struct sqlite_store *s, struct batch *b)
{
	uint64_t start_us = clock_mono_us();
	unsigned wipe = s->wipe;
	int r = sqlite_batch_prepare(s, b);

	if (r < 0) {
		sqlite_publish(s, b, r);
		return;
	}
	b->last = s->last;
	b->n_keys = s->n_keys;
	b->is_unfinished = false;
	r = sqlite_begin(s, false);
	if (r == 0)
		r = write_all(s, b);
	if (r == 0)
		r = sqlite_trim_batch(s, b);
	if (r == 0)
		r = sqlite_write_topics(s, b);
	r = sqlite_end(s, r);
	s->last = b->last; /* an id is never given twice, whatever became of it */
	if (r < 0)
		s->wipe = wipe; /* else the next deletion would not write it down */
	if (r == 0) {
		s->n_keys = b->n_keys;
		counter_bump(&s->figures.n_written, b->n_items);
		latencies_add(&s->figures.commits, clock_mono_us() - start_us);
	}
	sqlite_publish(s, b, r < 0 ? -EIO : 0);
}

/* --- the thread --- */

/* Nothing can be written: look whether that is still so. */
static void
probe(struct sqlite_store *s)
{
	int r = sqlite_begin(s, false);

	if (r == 0)
		r = db_meta_set(&s->db, "last", s->last);
	if (sqlite_end(s, r) < 0) {
		/* noted, and told */
	}
}

/* What the writer is to do next; the queue comes first. */
struct agenda {
	bool is_stopping;
	bool has_trouble;
	int64_t sweep_ms; /* 0: no sweep */
	struct sweep sweep;
	bool may_index;
	bool is_new_sweep;
	bool may_wipe;
	uint64_t index_wanted;
};

/*
 * Who has been answered often has more to say at once. To sleep until then costs 13 µs of the
 * thread that wakes the writer, and 25 µs until it runs; so while the pauses are short it only
 * looks: 64 publishers went from 0.77 to 0.82 of the bare loop's rate, 8 from 0.79 to 0.88
 * (make bench-durable).
 */
static void
watch_queue(struct sqlite_store *s)
{
	uint64_t start_us = clock_mono_us();

	while (s->pause_us <= PAUSE_SHORT_US && atomic_load(&s->n_queued) == 0 &&
	       clock_mono_us() - start_us < PAUSE_SHORT_US)
		(void)sched_yield();
}

static void
look(struct sqlite_store *s, struct batch *b, struct agenda *next, bool is_idle)
{
	uint64_t start_us = clock_mono_us();

	if (is_idle)
		watch_queue(s);
	(void)pthread_mutex_lock(&s->lock);
	while (is_idle && s->n_queued == 0 && s->sweep_ms == 0 && !s->is_stopping &&
	       (s->has_trouble ||
		   (s->index_wanted <= s->indexed && !atomic_load(&s->is_index_broken)))) {
		s->is_resting = true;
		(void)pthread_cond_wait(&s->work, &s->lock);
	}
	s->is_resting = false;
	if (is_idle)
		s->pause_us = clock_mono_us() - start_us;
	sqlite_batch_begin(s, b);
	if (s->sweep_ms != 0) {
		if (next->sweep_ms == 0)
			next->sweep.topic = 0;
		/* else the last one was not through the topics: those further on come first */
		next->sweep.is_tidied = false;
		next->sweep_ms = s->sweep_ms;
		next->may_index = true;
		next->is_new_sweep = true;
		s->sweep_ms = 0;
	}
	next->is_stopping = s->is_stopping && b->n == 0;
	next->has_trouble = s->has_trouble;
	next->index_wanted = s->index_wanted;
	(void)pthread_mutex_unlock(&s->lock);
}

/* One step of what is done beside the traffic. True when there is more of it. */
static bool
do_beside(struct sqlite_store *s, struct agenda *next, bool has_traffic)
{
	bool is_asked = next->index_wanted > s->indexed;

	if (next->has_trouble) {
		if (next->sweep_ms != 0 && !has_traffic)
			probe(s);
		next->sweep_ms = 0;
		return false;
	}
	next->may_wipe = sqlite_wipe_step(s, next->is_new_sweep);
	next->is_new_sweep = false;
	if (next->sweep_ms != 0 && !sqlite_sweep_step(s, next->sweep_ms, &next->sweep))
		next->sweep_ms = 0;
	if (is_asked ||
	    (next->may_index && (!has_traffic || s->last - s->indexed > SQLITE_INDEX_LAG_US)))
		next->may_index = sqlite_index_step(s);
	return next->sweep_ms != 0 || next->may_index || next->may_wipe;
}

/* That it was closed in order is the last thing written; all that was is flushed once, at least. */
static void
close_clean(struct sqlite_store *s)
{
	int r = db_set_sync(&s->db, SYNC_FULL);

	if (r == 0)
		r = sqlite_begin(s, false);
	if (r == 0)
		r = db_meta_set(&s->db, "last", s->last);
	if (r == 0)
		r = db_meta_set(&s->db, "clean", DB_CLOSED);
	if (sqlite_end(s, r) < 0) {
		/* then the next start takes it for what it is */
	}
}

void *
sqlite_writer(void *arg)
{
	struct sqlite_store *s = arg;
	struct batch *b = &s->batch;
	struct agenda next = {0};
	bool is_idle = false;

	if (db_u64(&s->db, db_stmt(&s->db, DB_KEY_COUNT), &s->n_keys) < 0)
		note_trouble(s, db_text(&s->db));
	sqlite_measure(s);
	for (;;) {
		bool has_traffic;

		look(s, b, &next, is_idle);
		if (next.is_stopping)
			break;
		has_traffic = b->n > 0;
		if (atomic_load(&s->is_index_broken) && (!next.has_trouble || next.sweep_ms != 0))
			sqlite_index_anew(s);
		if (has_traffic)
			write_batch(s, b);
		is_idle = !do_beside(s, &next, has_traffic) && !has_traffic;
		sqlite_wal_look(s);
	}
	if (!next.has_trouble) /* else the next start looks closely */
		close_clean(s);
	return NULL;
}
