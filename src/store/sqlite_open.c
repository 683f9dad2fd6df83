#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "store/sqlite_private.h"

#define CHECK_US       300000 /* a start may spend on looking for damage after an unclean end */
#define CHECK_INTERVAL 1000   /* SQLite's instructions between two looks at the clock */
#define PATH_ROOM      (PATH_MAX + 64)

/* How opening failed, for people. */
struct opening {
	const struct sqlite_options *o;
	char *error;
	size_t error_n;
	char path[PATH_ROOM]; /* without symbolic links: one file has one lock */
	char real[PATH_ROOM]; /* scratch */
	char from[PATH_ROOM];
	char to[PATH_ROOM];
};

static int
fail(struct opening *at, int status, const char *what, const char *why)
{
	(void)snprintf(at->error, at->error_n, "%s%s%s", what, why[0] == '\0' ? "" : ": ", why);
	return status;
}

static int
fail_system(struct opening *at, const char *what)
{
	int status = -errno;
	char text[128];

	return fail(at, status, what, strerror_r(-status, text, sizeof(text)));
}

void
sqlite_tell(const struct sqlite_store *s, bool is_error, const char *event, const char *text)
{
	if (s->options.tell != NULL)
		s->options.tell(s->options.ctx, is_error, event, text);
}

/* --- the file --- */

/* The folder is made when it is missing, not those above it. */
static int
find_path(struct opening *at)
{
	const char *path = at->o->path;
	const char *slash = strrchr(path, '/');
	const char *name = slash == NULL ? path : slash + 1;
	char *folder = at->from;

	if (strlen(path) >= PATH_MAX || strlen(name) > NAME_MAX - 32)
		return fail(at, -ENAMETOOLONG, "the path is too long", "");
	if (realpath(path, at->real) != NULL) {
		memcpy(at->path, at->real, strlen(at->real) + 1);
		return 0;
	}
	(void)snprintf(folder, PATH_ROOM, "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
	    slash == NULL ? "." : path);
	if (mkdir(folder, 0750) != 0 && errno != EEXIST)
		return fail_system(at, "the folder cannot be made");
	if (realpath(folder, at->real) == NULL)
		return fail_system(at, "the folder cannot be reached");
	if (strlen(at->real) + strlen(name) >= PATH_MAX)
		return fail(at, -ENAMETOOLONG, "the path is too long", "");
	(void)snprintf(at->path, PATH_ROOM, "%.*s/%.*s", strcmp(at->real, "/") == 0 ? 0 : PATH_MAX,
	    at->real, NAME_MAX, name);
	return 0;
}

/* Whoever has the lock on the file beside the database has the database. */
static int
take_lock(struct opening *at, int *out)
{
	char owner[32] = "";
	ssize_t n;
	int fd;

	(void)snprintf(at->from, PATH_ROOM, "%.*s-lock", PATH_MAX, at->path);
	fd = open(at->from, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return fail_system(at, "the lock file beside it cannot be opened");
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		n = snprintf(owner, sizeof(owner), "%ld\n", (long)getpid());
		if (ftruncate(fd, 0) != 0 || pwrite(fd, owner, (size_t)n, 0) != n) {
			/* only for who looks into it: the disk may be full */
		}
		*out = fd;
		return 0;
	}
	n = pread(fd, owner, sizeof(owner) - 1, 0);
	owner[n > 0 ? strcspn(owner, "\n") : 0] = '\0';
	(void)close(fd);
	(void)snprintf(at->error, at->error_n, "another belfryd%s%s has it open",
	    owner[0] == '\0' ? "" : ", process ", owner);
	return -EBUSY;
}

/* SQLite gives -wal and -shm the permissions of the database. */
static int
make_file(struct opening *at, bool *is_new)
{
	int fd = open(at->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	struct stat st;

	*is_new = fd >= 0;
	if (fd < 0 && errno != EEXIST)
		return fail_system(at, "it cannot be made");
	if (fd < 0)
		fd = open(at->path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return fail_system(at, "it cannot be opened");
	if ((*is_new && fchmod(fd, 0640) != 0) || fstat(fd, &st) != 0) {
		(void)close(fd);
		return fail_system(at, "it cannot be made");
	}
	if (!S_ISREG(st.st_mode)) {
		(void)close(fd);
		return fail(at, -EINVAL, "it is not a regular file", "");
	}
	*is_new = st.st_size == 0;
	(void)close(fd);
	return 0;
}

/* --- the database --- */

static bool
is_damage(int code)
{
	return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

static int
is_late(void *ctx)
{
	const uint64_t *deadline = ctx;

	return clock_mono_us() > *deadline;
}

/* 0: nothing was found in the time given; -EUCLEAN; -1. */
static int
look_for_damage(struct db *db)
{
	uint64_t deadline = clock_mono_us() + CHECK_US;
	sqlite3_stmt *s = NULL;
	int r = 0;

	if (sqlite3_prepare_v2(db->handle, "PRAGMA quick_check(1)", -1, &s, NULL) != SQLITE_OK) {
		db->code = sqlite3_extended_errcode(db->handle);
		return -1;
	}
	sqlite3_progress_handler(db->handle, CHECK_INTERVAL, is_late, &deadline);
	switch (sqlite3_step(s)) {
	case SQLITE_ROW:
		r = slice_eq(db_column(s, 0), SLICE("ok")) ? 0 : -EUCLEAN;
		break;
	case SQLITE_DONE:
	case SQLITE_INTERRUPT:
		break;
	default:
		db->code = sqlite3_extended_errcode(db->handle);
		r = -1;
		break;
	}
	sqlite3_progress_handler(db->handle, 0, NULL, NULL);
	(void)sqlite3_finalize(s);
	return r;
}

static int
fail_db(struct opening *at, const struct db *db, const char *what)
{
	if (is_damage(db->code))
		return fail(at, -EUCLEAN, "it is damaged", db_text(db));
	return fail(at, -EIO, what, db_text(db));
}

/* Of a run that was not closed there is a write-ahead log. */
static int
renew(struct sqlite_store *s)
{
	int r;

	if (db_exec(&s->db, "BEGIN IMMEDIATE") < 0)
		return -1;
	r = sqlite_renew(s, true);
	return r == 0 ? db_exec(&s->db, "COMMIT") : -1;
}

static int
open_db(struct opening *at, struct sqlite_store *s)
{
	struct db_open o = {at->path, s->vfs, true, s->options.sync};
	uint64_t left = DB_CLOSED;
	uint64_t last_sync = SYNC_FULL;
	int version = 0;
	int r;

	atomic_store(&s->is_doubtful, true); /* what is left of the last run */
	if (db_init(&s->db, &o) < 0)
		return fail_db(at, &s->db, "it cannot be opened");
	if (renew(s) < 0)
		return fail_db(at, &s->db, "it cannot be written");
	atomic_store(&s->is_doubtful, true); /* what is written until it is open */
	r = db_migrate(&s->db, &version);
	if (r == -EPROTO && version > DB_VERSION) {
		(void)snprintf(at->from, PATH_ROOM,
		    "its tables are of version %d, this one knows %d", version, DB_VERSION);
		return fail(at, r, "it was made by a later version of belfryd", at->from);
	}
	if (r == -EPROTO)
		return fail(at, r, "it is a database, but not one of belfryd", "");
	if (r < 0)
		return fail_db(at, &s->db, "its tables cannot be made");
	if (db_meta_get(&s->db, "clean", &left) < 0 || db_meta_get(&s->db, "sync", &last_sync) < 0)
		return fail_db(at, &s->db, "it cannot be read");
	s->is_copied = left == DB_COPIED;
	s->has_gap = s->is_copied || (left == DB_OPEN && last_sync != SYNC_FULL);
	r = left == DB_OPEN ? look_for_damage(&s->db) : 0;
	if (r == -EUCLEAN)
		return fail(at, r, "it is damaged", "");
	if (r < 0)
		return fail_db(at, &s->db, "it cannot be read");
	atomic_store(&s->is_doubtful, false);
	return 0;
}

/* It and what belongs to it get a name that tells when. */
static int
set_aside(struct opening *at, const struct sqlite_store *s)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	long long now = (long long)(clock_wall_us() / 1000000);

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		(void)snprintf(at->from, PATH_ROOM, "%.*s%s", PATH_MAX, at->path, suffixes[i]);
		(void)snprintf(
		    at->to, PATH_ROOM, "%.*s.corrupt-%lld%s", PATH_MAX, at->path, now, suffixes[i]);
		if (rename(at->from, at->to) != 0 && errno != ENOENT)
			return fail_system(at, "it is damaged and cannot be set aside");
	}
	(void)snprintf(at->to, PATH_ROOM,
	    "the database was damaged: its name ends in .corrupt-%lld now and a new log begins",
	    now);
	sqlite_tell(s, true, "storage.recover", at->to);
	return 0;
}

/* A backup was put in place of a database whose write-ahead log is still there. */
static int
set_wal_aside(struct opening *at, const struct sqlite_store *s)
{
	long long now = (long long)(clock_wall_us() / 1000000);

	if (!db_has_strange_wal(at->path))
		return 0;
	(void)snprintf(at->from, PATH_ROOM, "%.*s-wal", PATH_MAX, at->path);
	(void)snprintf(at->to, PATH_ROOM, "%.*s.replaced-%lld-wal", PATH_MAX, at->path, now);
	if (rename(at->from, at->to) != 0)
		return fail_system(
		    at, "the -wal beside it is another database's and cannot be set aside");
	(void)snprintf(at->to, PATH_ROOM,
	    "the write-ahead log beside the database was that of another one, which had its place: its "
	    "name ends in .replaced-%lld-wal now",
	    now);
	sqlite_tell(s, true, "storage.restored", at->to);
	return 0;
}

static int
open_or_recover(struct opening *at, struct sqlite_store *s)
{
	bool is_new_file;
	int r = make_file(at, &is_new_file);

	if (r == 0)
		r = set_wal_aside(at, s);
	if (r == 0)
		r = open_db(at, s);
	if (r != -EUCLEAN)
		return r;
	sqlite_close(s, &s->db);
	if (!s->options.recover) {
		size_t n = strlen(at->error);

		(void)snprintf(at->error + n, at->error_n - n,
		    ". Restore a backup (belfryctl backup makes them), or set storage.recover = true: "
		    "then it is set aside under another name and an empty log begins");
		return r;
	}
	r = set_aside(at, s);
	if (r == 0)
		r = make_file(at, &is_new_file);
	return r == 0 ? open_db(at, s) : r;
}

static struct sqlite_store *
store_new(const struct opening *at)
{
	struct sqlite_store *s = mem_calloc(1, sizeof(*s));
	pthread_condattr_t mono;

	if (s == NULL)
		return NULL;
	s->store.ops = &sqlite_ops;
	s->lock_fd = -1;
	s->options = *at->o;
	s->opened_us = clock_mono_us();
	s->config = config_ref(at->o->config);
	s->path = mem_strdup(slice_str(at->path));
	s->vfs = at->o->vfs == NULL ? NULL : mem_strdup(slice_str(at->o->vfs));
	s->options.path = s->path;
	s->options.vfs = s->vfs;
	TAILQ_INIT(&s->gone);
	for (unsigned i = 0; i < SQLITE_READERS; i++)
		read_turns_init(&s->readers[i].queue);
	lock_init(&s->lock);
	(void)pthread_cond_init(&s->work, NULL);
	(void)pthread_cond_init(&s->reads, NULL);
	(void)pthread_condattr_init(&mono);
	(void)pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&s->indexed_more, &mono);
	(void)pthread_condattr_destroy(&mono);
	(void)pthread_cond_init(&s->moves, NULL);
	return s;
}

static int
open_store(struct opening *at, struct store **out)
{
	struct sqlite_store *s;
	int r = find_path(at);

	if (r < 0)
		return r;
	s = store_new(at);
	if (s == NULL || s->path == NULL || (at->o->vfs != NULL && s->vfs == NULL))
		r = fail(at, -ENOMEM, "no memory", "");
	if (r == 0)
		r = take_lock(at, &s->lock_fd);
	if (r == 0)
		r = open_or_recover(at, s);
	if (r < 0) {
		if (s != NULL)
			sqlite_ops.free(&s->store);
		return r;
	}
	*out = &s->store;
	return 0;
}

int
sqlite_store_open(const struct sqlite_options *o, char *error, size_t n, struct store **out)
{
	struct opening *at = mem_calloc(1, sizeof(*at));
	int r;

	/* its count of what it has allocated has a lock, and nobody asks */
	if (sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) != SQLITE_OK) {
		/* somebody in this process has used it before: then it counts */
	}
	if (at == NULL) {
		(void)snprintf(error, n, "no memory");
		return -ENOMEM;
	}
	at->o = o;
	at->error = error;
	at->error_n = n;
	r = open_store(at, out);
	mem_free(at);
	return r;
}
