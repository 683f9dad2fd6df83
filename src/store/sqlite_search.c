#include <time.h>

#include "base/clock.h"
#include "store/sqlite_private.h"

/*
 * The search index follows the log: it is written when the writer has time, at the latest when
 * somebody searches.
 */

#define WAIT_S  3         /* that a search waits for the index */
#define ANEW_US 600000000 /* when a new index is damaged sooner, the damage is elsewhere */

int
sqlite_index_one(struct db *db, uint64_t id, struct slice text)
{
	sqlite3_stmt *add;

	if (text.n == 0)
		return 0;
	add = db_stmt(db, DB_INDEX_ADD);
	if (add == NULL)
		return -1;
	db_bind_u64(add, 1, id);
	(void)sqlite3_bind_text64(
	    add, 2, text.p, text.n, SQLITE_STATIC, SQLITE_UTF8); /* cannot fail */
	return db_run(db, add);
}

int
sqlite_index(struct db *db, unsigned n, uint64_t upto, uint64_t *indexed)
{
	sqlite3_stmt *rows = db_stmt(db, DB_TO_INDEX);
	unsigned i = 0;
	int r = -1;

	if (rows == NULL)
		return -1;
	db_bind_u64(rows, 1, *indexed);
	db_bind_u64(rows, 2, n);
	while (i < n && (r = db_step(db, rows)) > 0) {
		struct slice text = db_column(rows, 1);

		*indexed = db_column_u64(rows, 0);
		i++;
		if (sqlite_index_one(db, *indexed, text) < 0) {
			r = -1;
			break;
		}
	}
	(void)sqlite3_reset(rows); /* the connection would go on reading the log as it is now */
	if (r < 0)
		return -1;
	if (i < n)
		*indexed = max_u64(*indexed, upto);
	return db_meta_set(db, "indexed", *indexed);
}

bool
sqlite_index_step(struct sqlite_store *s)
{
	uint64_t indexed = s->indexed;
	int r;

	if (atomic_load(&s->is_index_broken) || s->indexed >= s->last)
		return false;
	r = sqlite_begin(s, true);
	if (r == 0)
		r = sqlite_index(&s->db, SQLITE_STEP_INDEX, s->last, &indexed);
	r = sqlite_end(s, r);
	(void)pthread_mutex_lock(&s->lock);
	if (r == 0)
		s->indexed = indexed;
	s->indexed_done = s->indexed;
	(void)pthread_mutex_unlock(&s->lock);
	(void)pthread_cond_broadcast(&s->indexed_more);
	return r == 0 && s->indexed < s->last;
}

void
sqlite_index_report(struct sqlite_store *s)
{
	uint64_t now = clock_mono_us();

	(void)pthread_mutex_lock(&s->lock);
	if (s->index_made_us == 0 || now - s->index_made_us > ANEW_US) {
		s->index_made_us = now;
		s->indexed_done = 0; /* who searches waits for the new one */
		atomic_store(&s->is_index_broken, true);
		(void)pthread_cond_signal(&s->work);
	}
	(void)pthread_mutex_unlock(&s->lock);
}

void
sqlite_index_anew(struct sqlite_store *s)
{
	int r = sqlite_begin(s, true);

	if (r == 0)
		r = db_exec(&s->db, DB_SEARCH_ANEW);
	if (r == 0)
		r = db_meta_set(&s->db, "indexed", 0);
	if (sqlite_end(s, r) < 0)
		return;
	sqlite_tell(s, true, "storage.index", "the search index was damaged and is made anew");
	(void)pthread_mutex_lock(&s->lock);
	s->indexed = 0;
	s->indexed_done = 0;
	(void)pthread_mutex_unlock(&s->lock);
	atomic_store(&s->is_index_broken, false);
}

void
sqlite_index_wait(struct sqlite_store *s, uint64_t upto)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until); /* what indexed_more goes by */
	until.tv_sec += WAIT_S;
	(void)pthread_mutex_lock(&s->lock);
	s->index_wanted = max_u64(s->index_wanted, upto);
	(void)pthread_cond_signal(&s->work);
	while (s->indexed_done < upto && !s->is_stopping && !s->has_trouble) {
		if (pthread_cond_timedwait(&s->indexed_more, &s->lock, &until) != 0)
			break;
	}
	(void)pthread_mutex_unlock(&s->lock);
}
