#include <errno.h>

#include "base/clock.h"
#include "store/sqlite_private.h"

/*
 * SQLite writes into a file beside the database (the WAL), and somebody has to move that into the
 * database now and then, which takes some flushes. Within a COMMIT (SQLite's own way) all who wait for
 * it would wait for that too; here a thread of its own does it, while the writer goes on.
 *
 * The WAL begins anew only when all of it was moved, and under load there is always more. So the
 * writer moves the rest itself when it is small, and all of it when the file grows beyond a bound. It
 * must not be read from in that moment, either, and while the readers have a lot to do one of them
 * always does: then the writer waits for them a little.
 */

#define READERS_MS    250     /* that it waits for those who read from the WAL */
#define READERS_AGAIN 5000000 /* microseconds before it waits again, when that was in vain */

static unsigned
soft_bound(const struct sqlite_store *s)
{
	return s->options.wal_pages == 0 ? SQLITE_WAL_PAGES : s->options.wal_pages;
}

/* After a transaction of the writer's connection. */
static int
on_commit(void *ctx, sqlite3 *db, const char *name, int n_pages)
{
	struct sqlite_store *s = ctx;

	(void)db;
	(void)name;
	if (n_pages < (int)atomic_load(&s->mover.n_pages))
		atomic_store(&s->mover.n_moved, 0); /* it has begun anew */
	atomic_store(&s->mover.n_pages, (unsigned)n_pages);
	return SQLITE_OK;
}

/* SQLITE_CHECKPOINT_PASSIVE neither waits for anybody nor makes anybody wait. 0; -EBUSY; -1. */
static int
move(struct sqlite_store *s, struct db *db, int mode)
{
	int n_pages = 0;
	int n_moved = 0;
	int r = db->handle == NULL
		    ? SQLITE_CANTOPEN
		    : sqlite3_wal_checkpoint_v2(db->handle, NULL, mode, &n_pages, &n_moved);

	if ((r == SQLITE_OK || r == SQLITE_BUSY) && n_moved >= 0) {
		atomic_store(&s->mover.n_moved, (unsigned)n_moved);
		atomic_fetch_add(&s->figures.n_checkpoints, 1);
	}
	if (r == SQLITE_OK)
		return 0;
	sqlite_doubt(s, r);
	return (r & 0xff) == SQLITE_BUSY || (r & 0xff) == SQLITE_LOCKED ? -EBUSY : -1;
}

/* Whether the writer is to move what there is, and not the mover. */
static bool
is_writers(struct sqlite_store *s, bool is_full, unsigned rest)
{
	struct mover *m = &s->mover;
	bool is_mine;

	(void)pthread_mutex_lock(&s->lock);
	is_mine =
	    !m->is_busy && !m->is_wanted && (is_full || rest <= soft_bound(s) / SQLITE_WAL_REST);
	m->is_wanted = m->is_wanted || (!is_mine && !m->is_busy);
	(void)pthread_mutex_unlock(&s->lock);
	if (!is_mine)
		(void)pthread_cond_signal(&s->moves);
	return is_mine;
}

/* All of it, and that the next transaction begins it anew. */
static void
empty(struct sqlite_store *s)
{
	uint64_t now = clock_mono_us();
	bool may_wait = s->waited_us == 0 || now - s->waited_us > READERS_AGAIN;
	int r;

	(void)sqlite3_busy_timeout(s->db.handle, READERS_MS);
	r = move(s, &s->db, may_wait ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE);
	if (may_wait)
		s->waited_us = r < 0 ? now : 0;
	(void)sqlite3_busy_timeout(s->db.handle, DB_BUSY_MS);
}

void
sqlite_wal_look(struct sqlite_store *s)
{
	unsigned n_pages = atomic_load(&s->mover.n_pages);
	unsigned n_moved = atomic_load(&s->mover.n_moved);
	bool is_full = n_pages >= soft_bound(s) * SQLITE_WAL_FULL;

	if (n_pages < soft_bound(s) || n_pages <= n_moved || atomic_load(&s->is_doubtful) ||
	    !is_writers(s, is_full, n_pages - n_moved))
		return;
	atomic_store(&s->busy_since_us, clock_mono_us());
	if (is_full) {
		empty(s);
	} else if (move(s, &s->db, SQLITE_CHECKPOINT_PASSIVE) < 0) {
		/* the mover tells of it; the next transaction tries again */
	}
	atomic_store(&s->busy_since_us, 0);
}

/* What became of the mover's work is told once; after a failure it has a new connection. */
static void
look_after(struct sqlite_store *s, int status)
{
	struct db_open o = {s->path, s->vfs, true, s->options.sync};
	struct mover *m = &s->mover;

	if (status == -EBUSY)
		return;
	if (status < 0 && !m->has_failed)
		sqlite_tell(s, true, "storage.checkpoint", sqlite3_errmsg(m->db.handle));
	if (status == 0 && m->has_failed)
		sqlite_tell(
		    s, false, "storage.checkpoint", "the database takes what was written again");
	m->has_failed = status < 0;
	if (status < 0 && db_reopen(&m->db, &o) == 0)
		(void)sqlite3_wal_autocheckpoint(m->db.handle, 0);
}

void *
sqlite_mover(void *arg)
{
	struct sqlite_store *s = arg;
	struct mover *m = &s->mover;

	(void)pthread_mutex_lock(&s->lock);
	for (;;) {
		while (!m->is_wanted && !s->is_stopping)
			(void)pthread_cond_wait(&s->moves, &s->lock);
		if (s->is_stopping)
			break;
		m->is_wanted = false;
		m->is_busy = true;
		(void)pthread_mutex_unlock(&s->lock);
		if (!atomic_load(&s->is_doubtful))
			look_after(s, move(s, &m->db, SQLITE_CHECKPOINT_PASSIVE));
		(void)pthread_mutex_lock(&s->lock);
		m->is_busy = false;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return NULL;
}

int
sqlite_wal_reopen(struct sqlite_store *s)
{
	struct db_open o = {s->path, s->vfs, true, s->options.sync};

	if (db_reopen(&s->db, &o) < 0 || sqlite_rows_open(s) < 0)
		return -1;
	s->is_secure = false;
	(void)sqlite3_wal_hook(s->db.handle, on_commit, s);
	return 0;
}

int
sqlite_wal_open(struct sqlite_store *s)
{
	struct db_open o = {s->path, s->vfs, true, s->options.sync};

	if (db_init(&s->mover.db, &o) < 0 || sqlite_rows_open(s) < 0)
		return -EIO;
	(void)sqlite3_wal_autocheckpoint(s->mover.db.handle, 0);
	(void)sqlite3_wal_hook(s->db.handle, on_commit, s); /* in place of SQLite's own */
	sqlite_place_note(s);
	return 0;
}
