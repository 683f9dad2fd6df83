#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/sqlite_private.h"

/*
 * A flush that fails loses what it was to flush: the kernel takes those pages for clean, and no later
 * flush has them, though all that read them see them. What is acknowledged behind them would be lost with
 * them when the power fails, and were they moved into the database, what is on the disk would be a
 * mixture. So before anything else is written or moved, what is there is written once more as it is: the
 * write-ahead log, then those pages of the database that may have come from it, for SQLite moves in parts
 * and flushes the database only after the last one.
 *
 * The layout is that of SQLite's "WAL-mode File Format"; so are the numbers of its locks.
 */

#define WAL_HEAD      32
#define WAL_PAGE_AT   8
#define WAL_SALT_AT   16
#define FRAME_HEAD    24
#define FRAME_SALT_AT 8
#define SALT          8
#define PAGE_MAX      65536
#define CHECKPOINTER  1    /* the lock of who moves the log into the database */
#define BUSY_PAUSE_US 1000 /* between two looks at it */

/* Both files, within a transaction of the writer: nobody else writes the log. */
struct renewal {
	sqlite3_file *db;
	sqlite3_file *wal;
	sqlite3_int64 db_n;
	sqlite3_int64 wal_n;
	int page;
	unsigned char salt[SALT];
	unsigned char frame[FRAME_HEAD + PAGE_MAX];
};

static uint32_t
number_at(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int
rewrite(sqlite3_file *f, void *room, int n, sqlite3_int64 at)
{
	int r = f->pMethods->xRead(f, room, n, at);

	return r == SQLITE_OK ? f->pMethods->xWrite(f, room, n, at) : r;
}

/* Its page as the database has it; an older log's frame has another salt. */
static int
rewrite_page(struct renewal *at)
{
	sqlite3_int64 page = (sqlite3_int64)number_at(at->frame) - 1;

	if (memcmp(at->frame + FRAME_SALT_AT, at->salt, SALT) != 0 || page < 0 ||
	    (page + 1) * at->page > at->db_n)
		return SQLITE_OK;
	return rewrite(at->db, at->frame, at->page, page * at->page);
}

static int
renew_wal(struct renewal *at)
{
	sqlite3_file *f = at->wal;
	int r = rewrite(f, at->frame, WAL_HEAD, 0);

	at->page = (int)number_at(at->frame + WAL_PAGE_AT);
	at->page = at->page == 1 ? PAGE_MAX : at->page; /* its way to say that in 16 bits */
	memcpy(at->salt, at->frame + WAL_SALT_AT, SALT);
	if (r == SQLITE_OK && (at->page < 512 || at->page > PAGE_MAX))
		at->page = PAGE_MAX; /* it is none: only its bytes count */
	for (sqlite3_int64 i = WAL_HEAD; r == SQLITE_OK && i < at->wal_n;
	     i += FRAME_HEAD + at->page)
		r = rewrite(f, at->frame,
		    (int)min_u64((uint64_t)(at->wal_n - i), FRAME_HEAD + (uint64_t)at->page), i);
	return r == SQLITE_OK ? f->pMethods->xSync(f, SQLITE_SYNC_NORMAL) : r;
}

static int
renew_pages(struct renewal *at)
{
	sqlite3_int64 n = FRAME_HEAD + at->page;
	int r = SQLITE_OK;

	for (sqlite3_int64 i = WAL_HEAD; r == SQLITE_OK && i + n <= at->wal_n; i += n) {
		r = at->wal->pMethods->xRead(at->wal, at->frame, FRAME_HEAD, i);
		if (r == SQLITE_OK)
			r = rewrite_page(at);
	}
	return r == SQLITE_OK ? at->db->pMethods->xSync(at->db, SQLITE_SYNC_NORMAL) : r;
}

/* Nobody moves anything meanwhile, not even another process. */
static int
lock_moving(sqlite3_file *db)
{
	uint64_t start_us = clock_mono_us();
	int r;

	for (;;) {
		r = db->pMethods->xShmLock(
		    db, CHECKPOINTER, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
		if (r != SQLITE_BUSY || clock_mono_us() - start_us > DB_BUSY_MS * UINT64_C(1000))
			return r;
		(void)usleep(BUSY_PAUSE_US);
	}
}

static int
renew(struct renewal *at, bool is_start)
{
	int r = lock_moving(at->db);

	if (r != SQLITE_OK)
		return r;
	r = renew_wal(at);
	if (r == SQLITE_OK && !is_start) /* then all of the log will be moved once more */
		r = renew_pages(at);
	(void)at->db->pMethods->xShmLock(
	    at->db, CHECKPOINTER, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
	return r;
}

static int
find_files(struct renewal *at, sqlite3 *handle)
{
	int r = sqlite3_file_control(handle, "main", SQLITE_FCNTL_FILE_POINTER, &at->db);

	if (r == SQLITE_OK)
		r = sqlite3_file_control(handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &at->wal);
	if (r == SQLITE_OK && at->wal->pMethods != NULL) /* else there is no log */
		r = at->wal->pMethods->xFileSize(at->wal, &at->wal_n);
	if (r == SQLITE_OK)
		r = at->db->pMethods->xFileSize(at->db, &at->db_n);
	return r;
}

int
sqlite_renew(struct sqlite_store *s, bool is_start)
{
	struct renewal *at = mem_calloc(1, sizeof(*at));
	int r = at == NULL ? SQLITE_NOMEM : find_files(at, s->db.handle);

	if (r == SQLITE_OK && at->wal_n > WAL_HEAD)
		r = renew(at, is_start);
	mem_free(at);
	if (r == SQLITE_OK) {
		atomic_store(&s->is_doubtful, false);
		return 0;
	}
	s->db.code = r;
	s->db.text[0] = '\0';
	return -1;
}

void
sqlite_doubt(struct sqlite_store *s, int code)
{
	if (code == SQLITE_IOERR_FSYNC)
		atomic_store(&s->is_doubtful, true);
}

void
sqlite_close(struct sqlite_store *s, struct db *db)
{
	/* the last one to close would move the log */
	if (atomic_load(&s->is_doubtful) && db->handle != NULL)
		(void)sqlite3_db_config(
		    db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
	db_done(db);
}
