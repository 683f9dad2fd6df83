#include "tests/unit/support_vfs.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/support_disk.h"

struct faulty_file {
	sqlite3_file base;
	sqlite3_file *real; /* behind the struct */
	const char *name;   /* SQLite's: it lives as long */
	bool is_database;
	bool is_wal;
	unsigned n_told; /* failed flushes that this one knows of, or has not to */
};

static sqlite3_vfs faulty;
static sqlite3_vfs *real_vfs;
static _Atomic int armed;
static _Atomic int left;
static _Atomic bool lasting;
static _Atomic bool failed;
static _Atomic bool held;
static _Atomic unsigned n_waiting;
static _Atomic unsigned n_open;
static _Atomic long long flushed;
static _Atomic unsigned n_unflushed[2]; /* of other files, of the WAL: flushes that failed */

static sqlite3_file *
real(sqlite3_file *f)
{
	return ((struct faulty_file *)(void *)f)->real;
}

/* Those without a name are nobody's but SQLite's. */
static const char *
name_of(sqlite3_file *f)
{
	const char *name = ((struct faulty_file *)(void *)f)->name;

	return name == NULL ? "(temporary)" : name;
}

static bool
fails(enum fault fault)
{
	int n;

	if (atomic_load(&armed) != (int)fault)
		return false;
	n = atomic_fetch_sub(&left, 1);
	if (n > 1 || (n < 1 && !atomic_load(&lasting)))
		return false;
	atomic_store(&failed, true);
	return true;
}

void
vfs_fail_at(enum fault fault, unsigned n, bool is_lasting)
{
	atomic_store(&armed, FAULT_NONE);
	atomic_store(&left, (int)n);
	atomic_store(&lasting, is_lasting);
	atomic_store(&failed, false);
	atomic_store(&armed, (int)fault);
}

bool
vfs_has_failed(void)
{
	return atomic_load(&failed);
}

void
vfs_hold(bool is_held)
{
	atomic_store(&held, is_held);
}

long long
vfs_flushed(void)
{
	return atomic_load(&flushed);
}

bool
vfs_is_waiting(void)
{
	return atomic_load(&n_waiting) > 0;
}

/* --- files --- */

static int
file_close(sqlite3_file *f)
{
	atomic_fetch_sub(&n_open, 1);
	return real(f)->pMethods->xClose(real(f));
}

static int
file_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	if (fails(FAULT_READ))
		return SQLITE_IOERR_READ;
	if (((struct faulty_file *)(void *)f)->is_database && fails(FAULT_DAMAGE)) {
		memset(p, 0x5a, (size_t)n);
		return SQLITE_OK;
	}
	return real(f)->pMethods->xRead(real(f), p, n, at);
}

static int
write_real(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	disk_write(name_of(f), p, (size_t)n, (size_t)at);
	return real(f)->pMethods->xWrite(real(f), p, n, at);
}

static int
file_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	if (fails(FAULT_WRITE))
		return SQLITE_IOERR_WRITE;
	if (fails(FAULT_FULL))
		return SQLITE_FULL;
	if (fails(FAULT_SHORT)) {
		(void)write_real(f, p, n / 2, at);
		return SQLITE_IOERR_WRITE;
	}
	return write_real(f, p, n, at);
}

static int
file_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	if (fails(FAULT_WRITE))
		return SQLITE_IOERR_TRUNCATE;
	disk_truncate(name_of(f), (size_t)n);
	return real(f)->pMethods->xTruncate(real(f), n);
}

static void
note_flushed(sqlite3_file *f)
{
	sqlite3_int64 n = 0;

	if (((struct faulty_file *)(void *)f)->is_wal &&
	    real(f)->pMethods->xFileSize(real(f), &n) == SQLITE_OK)
		atomic_store(&flushed, n);
}

/* As Linux does it: whoever had the file open is told once. */
static bool
is_told(struct faulty_file *f, bool has_failed)
{
	_Atomic unsigned *n = &n_unflushed[f->is_wal];
	unsigned now = has_failed ? atomic_fetch_add(n, 1) + 1 : atomic_load(n);
	bool is_news = now != f->n_told;

	f->n_told = now;
	return is_news;
}

static int
file_sync(sqlite3_file *f, int flags)
{
	bool has_failed;

	(void)flags;
	note_flushed(f);
	atomic_fetch_add(&n_waiting, 1);
	while (atomic_load(&held))
		(void)usleep(100);
	atomic_fetch_sub(&n_waiting, 1);
	has_failed = fails(FAULT_SYNC);
	disk_flush(name_of(f), has_failed);
	return is_told((struct faulty_file *)(void *)f, has_failed) ? SQLITE_IOERR_FSYNC
								    : SQLITE_OK;
}

static int
file_size(sqlite3_file *f, sqlite3_int64 *out)
{
	return real(f)->pMethods->xFileSize(real(f), out);
}

static int
file_lock(sqlite3_file *f, int how)
{
	return real(f)->pMethods->xLock(real(f), how);
}

static int
file_unlock(sqlite3_file *f, int how)
{
	return real(f)->pMethods->xUnlock(real(f), how);
}

static int
file_is_reserved(sqlite3_file *f, int *out)
{
	return real(f)->pMethods->xCheckReservedLock(real(f), out);
}

static int
file_control(sqlite3_file *f, int op, void *arg)
{
	return real(f)->pMethods->xFileControl(real(f), op, arg);
}

static int
file_sector(sqlite3_file *f)
{
	return real(f)->pMethods->xSectorSize(real(f));
}

static int
file_character(sqlite3_file *f)
{
	return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static int
file_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	return real(f)->pMethods->xShmMap(real(f), page, size, extend, out);
}

static int
file_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return real(f)->pMethods->xShmLock(real(f), at, n, flags);
}

static void
file_shm_barrier(sqlite3_file *f)
{
	real(f)->pMethods->xShmBarrier(real(f));
}

static int
file_shm_unmap(sqlite3_file *f, int gone)
{
	return real(f)->pMethods->xShmUnmap(real(f), gone);
}

static const sqlite3_io_methods methods = {.iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_is_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_character,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap};

static int
vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags, int *out)
{
	struct faulty_file *file = (struct faulty_file *)(void *)f;
	sqlite3_int64 n = 0;
	int r;

	(void)vfs;
	file->real = (sqlite3_file *)(void *)(file + 1);
	file->is_database = (flags & SQLITE_OPEN_MAIN_DB) != 0;
	f->pMethods = NULL;
	if (file->is_database && fails(FAULT_OPEN))
		return SQLITE_PERM;
	if (atomic_load(&n_open) == 0 && !disk_restore())
		return SQLITE_CANTOPEN;
	file->name = name;
	disk_open(name_of(f));
	r = real_vfs->xOpen(real_vfs, name, file->real, flags, out);
	f->pMethods = file->real->pMethods == NULL ? NULL : &methods;
	if (f->pMethods != NULL) /* then it will be closed */
		atomic_fetch_add(&n_open, 1);
	file->is_wal = (flags & SQLITE_OPEN_WAL) != 0;
	file->n_told = atomic_load(&n_unflushed[file->is_wal]);
	if (r == SQLITE_OK && file->is_wal &&
	    real(f)->pMethods->xFileSize(real(f), &n) == SQLITE_OK && n == 0)
		atomic_store(&flushed, 0); /* a new one */
	return r;
}

static int
vfs_delete(sqlite3_vfs *vfs, const char *name, int must_sync)
{
	(void)vfs;
	disk_delete(name);
	return real_vfs->xDelete(real_vfs, name, must_sync);
}

bool
vfs_init(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	if (real_vfs == NULL)
		return false;
	faulty = *real_vfs; /* all but opening a file is the system's own */
	faulty.zName = FAULTY_VFS;
	faulty.pNext = NULL;
	faulty.szOsFile = (int)sizeof(struct faulty_file) + real_vfs->szOsFile;
	faulty.xOpen = vfs_open;
	faulty.xDelete = vfs_delete;
	return sqlite3_vfs_register(&faulty, 0) == SQLITE_OK;
}
