#include "base/clock.h"
#include "store/sqlite_private.h"

/*
 * What was deleted is to be gone: from its row and its pages at once (secure_delete), from the search
 * index when its segments were merged, for it only notes that a word is gone, and from the
 * write-ahead log when that was emptied. The writer's thread, beside the traffic.
 */

#define MERGE_PAGES 64 /* of the index in one step */

enum sqlite_wipe {
	WIPE_NOTHING,
	WIPE_LOG,     /* only the write-ahead log is left */
	WIPE_MERGING, /* the index is being merged */
	WIPE_INDEX,   /* … and that has to begin (again) */
};

int
sqlite_be_secure(struct sqlite_store *s)
{
	if (s->is_secure)
		return 0;
	s->is_secure = db_exec(&s->db, "PRAGMA secure_delete = ON") == 0;
	return s->is_secure ? 0 : -1;
}

int
sqlite_wipe_later(struct sqlite_store *s, bool in_index)
{
	unsigned wipe = in_index ? WIPE_INDEX : WIPE_LOG;

	if (s->wipe >= wipe)
		return 0;
	s->wipe = wipe; /* write_batch takes it back */
	return db_meta_set(&s->db, "wipe", wipe);
}

int
sqlite_wipe_load(struct sqlite_store *s)
{
	uint64_t wipe = WIPE_NOTHING;

	if (db_meta_get(&s->db, "wipe", &wipe) < 0)
		return -1;
	s->wipe = (unsigned)min_u64(wipe, WIPE_INDEX);
	return 0;
}

/* A negative number of pages begins to merge all segments into one, a positive one goes on. */
static int
merge(struct sqlite_store *s, int pages, bool *is_done)
{
	sqlite3_stmt *q = db_stmt(&s->db, DB_INDEX_MERGE);
	int before = sqlite3_total_changes(s->db.handle);

	if (q == NULL)
		return -1;
	(void)sqlite3_bind_int(q, 1, pages);
	if (db_run(&s->db, q) < 0)
		return -1;
	*is_done = sqlite3_total_changes(s->db.handle) - before < 2; /* as FTS5's manual says */
	return 0;
}

static bool
merge_step(struct sqlite_store *s)
{
	bool is_first = s->wipe == WIPE_INDEX;
	bool is_done = false;
	int r;

	if (atomic_load(&s->is_index_broken))
		return false; /* it is made anew first */
	r = sqlite_begin(s, true);
	if (r == 0)
		r = sqlite_be_secure(s);
	if (r == 0)
		r = merge(s, is_first ? -MERGE_PAGES : MERGE_PAGES, &is_done);
	if (sqlite_end(s, r) < 0)
		return false;
	s->wipe = is_done ? WIPE_LOG : WIPE_MERGING;
	return !is_done;
}

/* 1: it is empty; 0: somebody reads from it; -1. */
static int
empty_log(struct sqlite_store *s)
{
	sqlite3_stmt *q = db_stmt(&s->db, DB_CHECKPOINT);
	int r;

	(void)sqlite3_busy_timeout(s->db.handle, 0); /* the next sweep comes soon */
	atomic_store(&s->busy_since_us, clock_mono_us());
	r = db_step(&s->db, q);
	if (r < 0)
		sqlite_doubt(s, s->db.code);
	if (r > 0) {
		r = sqlite3_column_int(q, 0) == 0;
		(void)sqlite3_reset(q);
	}
	atomic_store(&s->busy_since_us, 0);
	(void)sqlite3_busy_timeout(s->db.handle, DB_BUSY_MS);
	return r;
}

static void
log_step(struct sqlite_store *s)
{
	int r;

	if (atomic_load(&s->is_doubtful) || empty_log(s) <= 0)
		return;
	r = sqlite_begin(s, true);
	if (r == 0)
		r = db_meta_set(&s->db, "wipe", WIPE_NOTHING);
	if (sqlite_end(s, r) < 0)
		return;
	s->wipe = WIPE_NOTHING;
	if (db_exec(&s->db, "PRAGMA secure_delete = FAST") == 0)
		s->is_secure = false;
}

bool
sqlite_wipe_step(struct sqlite_store *s, bool is_sweep)
{
	if (s->wipe >= WIPE_MERGING)
		return merge_step(s);
	if (s->wipe == WIPE_LOG && is_sweep)
		log_step(s);
	return false;
}
