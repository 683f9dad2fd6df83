#include "ctl/ctl_storage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "ctl/ctl.h"

/* backup works on the database itself, beside a running daemon or without one: it only reads. */

#define STEP_PAGES 1024 /* copied between two looks at the terminal */
#define BUSY_MS    10000

static const char backup_help[] =
    "usage: belfryctl backup [OPTION]... FILE\n"
    "\n"
    "Copies the log's database as it is at one moment, beside the running daemon; FILE must not exist.\n"
    "\n"
    "  -c, --config FILE    the daemon's configuration: says where the database is\n";

static const struct ctl_option options[] = {{"config", 'c', true}};

/* --- arguments --- */

/* -c FILE and at most one operand: EX_OK and *is_over false to go on. */
static int
take_args(int argc, char **argv, const char *help, const char **config, const char **operand,
    bool *is_over)
{
	struct ctl_args args;
	const char *value = NULL;

	ctl_args_init(&args, argc, argv, help);
	*is_over = true;
	for (;;) {
		switch (ctl_args_next(&args, options, ARRAY_LEN(options), &value)) {
		case 0:
			*config = value;
			break;
		case CTL_OPERAND:
			if (*operand != NULL)
				return ctl_usage(&args, "'%s' is not expected", value);
			*operand = value;
			break;
		case CTL_END:
			*is_over = false;
			return EX_OK;
		case CTL_HELP:
			return EX_OK;
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
	if (sqlite3_open_v2(path, out, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK &&
	    sqlite3_open_v2(path, out, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
		return ctl_fail(EX_NOINPUT, "%s: %s", path, sqlite3_errmsg(*out));
	(void)sqlite3_busy_timeout(*out, BUSY_MS);
	if (sqlite3_exec(*out, "PRAGMA query_only = ON; BEGIN; SELECT count(*) FROM sqlite_schema",
		NULL, NULL, NULL) != SQLITE_OK)
		return ctl_fail(EX_DATAERR, "%s: %s", path, sqlite3_errmsg(*out));
	return EX_OK;
}

static void
show_progress(const char *what, int percent)
{
	if (isatty(STDERR_FILENO))
		(void)fprintf(stderr, "\r%s %3d %%%s", what, percent, percent == 100 ? "\n" : "");
}

/* --- backup --- */

static int
copy(sqlite3 *from, sqlite3 *to, const char *path)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
	int r = b == NULL ? SQLITE_NOMEM : SQLITE_OK;

	while (b != NULL && (r = sqlite3_backup_step(b, STEP_PAGES)) == SQLITE_OK) {
		int all = sqlite3_backup_pagecount(b);

		if (all > 0)
			show_progress("copied", (all - sqlite3_backup_remaining(b)) * 100 / all);
	}
	if (b != NULL)
		(void)sqlite3_backup_finish(b); /* tells r once more */
	if (r != SQLITE_DONE)
		return ctl_fail(EX_IOERR, "%s: %s", path, sqlite3_errstr(r));
	show_progress("copied", 100);
	return EX_OK;
}

/* It is a database of its own, closed in order, for whoever opens it. */
static int
finish(sqlite3 *to, const char *path)
{
	if (sqlite3_exec(to,
		"PRAGMA journal_mode = DELETE; UPDATE meta SET value = 1 WHERE name = 'clean'",
		NULL, NULL, NULL) != SQLITE_OK)
		return ctl_fail(EX_IOERR, "%s: %s", path, sqlite3_errmsg(to));
	return EX_OK;
}

static int
backup(const char *database, const char *path)
{
	sqlite3 *from = NULL;
	sqlite3 *to = NULL;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	int code;

	if (fd < 0)
		return ctl_fail(EX_CANTCREAT, "%s: %s", path, strerrordesc_np(errno));
	(void)close(fd);
	code = ctl_open_database(database, &from);
	if (code == EX_OK && sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		code = ctl_fail(EX_CANTCREAT, "%s: %s", path, sqlite3_errmsg(to));
	if (code == EX_OK)
		code = copy(from, to, path);
	if (code == EX_OK)
		code = finish(to, path);
	(void)sqlite3_close(to); /* nothing is open in it */
	(void)sqlite3_close(from);
	if (code != EX_OK)
		(void)unlink(path);
	return code;
}

int
ctl_backup(int argc, char **argv)
{
	struct config *config = NULL;
	const char *file = NULL;
	const char *path = NULL;
	bool is_over;
	int code = take_args(argc, argv, backup_help, &file, &path, &is_over);

	if (is_over)
		return code;
	if (path == NULL)
		return ctl_fail(EX_USAGE, "backup: the file to write is missing");
	code = ctl_find_database(file, &config);
	if (code == EX_OK)
		code = backup(config->storage.path, path);
	config_unref(config);
	return code;
}
