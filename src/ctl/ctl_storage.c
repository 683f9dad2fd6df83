#include "ctl/ctl_storage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "core/facts.h"
#include "ctl/ctl.h"
#include "proto/json.h"
#include "store/sqlite_db.h"

/* backup works on the database itself, beside a running daemon or without one: it only reads. */

#define STEP_PAGES    1024 /* copied between two looks at the terminal */
#define BUSY_MS       10000
#define PATH_JSON_MAX 65536
#define TEXT_OF(x)    TEXT_OF_IT(x)
#define TEXT_OF_IT(x) #x

static const char backup_help[] =
    "usage: belfryctl backup [OPTION]... FILE\n"
    "\n"
    "Copies the log's database as it is at one moment, beside the running daemon; FILE must not exist.\n"
    "\n"
    "  -c, --config FILE    the daemon's configuration: says where the database is\n"
    "      --json           print what was made as JSON\n";

enum {
	CONFIG,
	JSON
};
static const struct ctl_option options[] = {
    [CONFIG] = {"config", 'c', true}, [JSON] = {"json", 0, false}};

/* --- arguments --- */

struct backup_command {
	const char *config;
	const char *path;
	bool is_json;
};

/* 0; an exit code; -1 for "done, and well". */
static int
take_arguments(struct backup_command *b, int argc, char **argv)
{
	struct ctl_args args;
	const char *value = NULL;

	ctl_args_init(&args, argc, argv, backup_help);
	for (;;) {
		switch (ctl_args_next(&args, options, ARRAY_LEN(options), &value)) {
		case CONFIG:
			b->config = value;
			break;
		case JSON:
			b->is_json = true;
			break;
		case CTL_OPERAND:
			if (b->path != NULL)
				return ctl_usage(&args, "'%s' is not expected", value);
			b->path = value;
			break;
		case CTL_END:
			if (b->path != NULL)
				return 0;
			(void)ctl_usage(&args, "the name of the new file is missing");
			return EX_USAGE;
		case CTL_HELP:
			return -1;
		default:
			return EX_USAGE;
		}
	}
}

int
ctl_find_database(const char *config, struct config **out)
{
	int code = ctl_load_config(config, out);

	if (code != EX_OK)
		return code;
	if ((*out)->storage.backend != STORAGE_SQLITE)
		return ctl_fail(EX_CONFIG, "storage.backend is not sqlite: there is no database");
	return EX_OK;
}

int
ctl_open_database(const char *path, sqlite3 **out)
{
	if (db_has_strange_wal(path))
		return ctl_fail(EX_DATAERR,
		    "%s: the -wal beside it is that of the database that had its place before; belfryd "
		    "sets it aside at its start, or move it away",
		    path);
	if (sqlite3_open_v2(path, out, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK &&
	    sqlite3_open_v2(path, out, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
		return ctl_fail(EX_NOINPUT, "%s: %s", path, sqlite3_errmsg(*out));
	(void)sqlite3_busy_timeout(*out, BUSY_MS);
	if (sqlite3_exec(*out, "PRAGMA query_only = ON; BEGIN; SELECT count(*) FROM sqlite_schema",
		NULL, NULL, NULL) != SQLITE_OK)
		return ctl_fail(EX_DATAERR, "%s: %s", path, sqlite3_errmsg(*out));
	return EX_OK;
}

/* As moderation_is_revoked asks the memory of a daemon. */
static int
ask_revoked(sqlite3 *db, const struct claims *who, int64_t now_s)
{
	static const char sql[] =
	    "SELECT 1 FROM facts WHERE scope = ?1 AND (until = 0 OR until > ?2)"
	    " AND (kind = ?3 AND subject = ?4 OR kind = ?5 AND subject = ?6 AND number > ?7)";
	sqlite3_stmt *q = NULL;
	int r = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK) {
		db_bind_text(q, 1, SLICE(""));
		(void)sqlite3_bind_int64(q, 2, now_s * 1000);
		(void)sqlite3_bind_int(q, 3, FACT_TOKEN);
		if (who->jti != NULL) /* else NULL, which equals nothing */
			db_bind_text(q, 4, slice_str(who->jti));
		(void)sqlite3_bind_int(q, 5, FACT_TOKENS);
		db_bind_text(q, 6, slice_str(who->user_id));
		(void)sqlite3_bind_int64(q, 7, who->iat <= 0 ? 0 : who->iat);
		r = sqlite3_step(q);
		r = r == SQLITE_ROW ? 1 : r == SQLITE_DONE ? 0 : -1;
	}
	(void)sqlite3_finalize(q);
	return r;
}

int
ctl_is_revoked(const struct config *c, const struct claims *who, int64_t now_s)
{
	sqlite3 *db = NULL;
	int r = -1;

	if (c->storage.backend != STORAGE_SQLITE)
		return -1;
	if (access(c->storage.path, F_OK) != 0 && errno == ENOENT)
		return 0; /* it has never run */
	if (db_has_strange_wal(c->storage.path))
		return -1;
	if (sqlite3_open_v2(c->storage.path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK) {
		(void)sqlite3_busy_timeout(db, BUSY_MS);
		r = ask_revoked(db, who, now_s);
	}
	(void)sqlite3_close(db);
	return r;
}

static void
show_progress(const char *what, int percent)
{
	if (isatty(STDERR_FILENO))
		(void)fprintf(stderr, "\r%s %3d %%%s", what, percent, percent == 100 ? "\n" : "");
}

/* --- backup --- */

static bool
is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

/* Ctrl-C ends it between two steps, so that no half a copy is left. */
static int
copy(sqlite3 *from, sqlite3 *to, const char *path, int signals)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
	int r = b == NULL ? SQLITE_NOMEM : SQLITE_OK;

	while (r == SQLITE_OK) {
		int all;

		r = is_readable(signals) ? SQLITE_INTERRUPT : sqlite3_backup_step(b, STEP_PAGES);
		all = sqlite3_backup_pagecount(b);
		if (r == SQLITE_OK && all > 0)
			show_progress("copied", (all - sqlite3_backup_remaining(b)) * 100 / all);
	}
	if (b != NULL)
		(void)sqlite3_backup_finish(b); /* tells r once more */
	if (r != SQLITE_DONE)
		return ctl_fail(EX_IOERR, "%s: %s", path, sqlite3_errstr(r));
	show_progress("copied", 100);
	return EX_OK;
}

/*
 * It is a database of its own, without a write-ahead log, and says that it is a copy: a daemon that
 * gets it tells whoever resumes that something may be missing.
 */
static int
finish(sqlite3 *to, const char *path)
{
	if (sqlite3_exec(to,
		"PRAGMA journal_mode = DELETE;"
		"UPDATE meta SET value = " TEXT_OF(DB_COPIED) " WHERE name = 'clean'",
		NULL, NULL, NULL) != SQLITE_OK)
		return ctl_fail(EX_IOERR, "%s: %s", path, sqlite3_errmsg(to));
	return EX_OK;
}

static int
backup(const char *database, const char *path)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
	sqlite3 *from = NULL;
	sqlite3 *to = NULL;
	int signals = -1;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	int code;

	if (fd < 0)
		return ctl_fail(EX_CANTCREAT, "%s: %s", path, strerrordesc_np(errno));
	(void)close(fd);
	code = ctl_catch_signals(ends, ARRAY_LEN(ends), &signals);
	if (code == EX_OK)
		code = ctl_open_database(database, &from);
	if (code == EX_OK && sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		code = ctl_fail(EX_CANTCREAT, "%s: %s", path, sqlite3_errmsg(to));
	/* else its journal may be back after a power failure, and undo the copy */
	if (code == EX_OK &&
	    sqlite3_exec(to, "PRAGMA synchronous = EXTRA", NULL, NULL, NULL) != SQLITE_OK)
		code = ctl_fail(EX_IOERR, "%s: %s", path, sqlite3_errmsg(to));
	if (code == EX_OK)
		code = copy(from, to, path, signals);
	if (code == EX_OK)
		code = finish(to, path);
	(void)sqlite3_close(to); /* nothing is open in it */
	(void)sqlite3_close(from);
	if (signals >= 0)
		(void)close(signals);
	if (code != EX_OK)
		(void)unlink(path);
	return code;
}

/* For programs: where the copy is, and how large. */
static int
print_backup(const char *path)
{
	struct buf out = BUF_INIT(PATH_JSON_MAX);
	struct stat st = {.st_size = 0};

	(void)stat(path, &st);         /* it was just written; else 0 */
	(void)buf_add_char(&out, '{'); /* failures stick */
	(void)json_add_member_string(&out, "path", slice_str(path));
	(void)json_add_member_u64(&out, "bytes", (uint64_t)st.st_size);
	(void)buf_add_char(&out, '}');
	return ctl_put_line(&out, EX_OK);
}

int
ctl_backup(int argc, char **argv)
{
	struct backup_command b = {.config = NULL};
	struct config *config = NULL;
	int code = take_arguments(&b, argc, argv);

	if (code == 0)
		code = ctl_find_database(b.config, &config);
	if (code == 0)
		code = backup(config->storage.path, b.path);
	if (code == 0 && b.is_json)
		code = print_backup(b.path);
	config_unref(config);
	return code < 0 ? EX_OK : code;
}
