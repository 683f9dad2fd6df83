#include "store/sqlite_db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODE_AT 18 /* SQLite's file format: 1, 1 where there is no write-ahead log, else 2, 2 */

static const char *const queries[] = {
#define X(name, sql) sql,
    DB_QUERIES(X)
#undef X
};
_Static_assert(ARRAY_LEN(queries) == DB_QUERY_COUNT, "the text of each query");

const char *
db_text(const struct db *db)
{
	return db->text[0] == '\0' ? sqlite3_errstr(db->code) : db->text;
}

int
db_fail(struct db *db)
{
	db->code = db->handle == NULL ? SQLITE_CANTOPEN : sqlite3_extended_errcode(db->handle);
	(void)snprintf(db->text, sizeof(db->text), "%s",
	    db->handle == NULL ? sqlite3_errstr(db->code) : sqlite3_errmsg(db->handle));
	return -1;
}

int
db_exec(struct db *db, const char *sql)
{
	if (db->handle == NULL)
		return db_fail(db);
	return sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_fail(db);
}

static const char *
sync_pragma(enum config_sync sync)
{
	switch (sync) {
	case SYNC_FULL:
		return "PRAGMA synchronous = FULL";
	case SYNC_NORMAL:
		return "PRAGMA synchronous = NORMAL";
	case SYNC_OFF:
		break;
	}
	return "PRAGMA synchronous = OFF";
}

int
db_set_sync(struct db *db, enum config_sync sync)
{
	return db_exec(db, sync_pragma(sync));
}

int
db_init(struct db *db, const struct db_open *o)
{
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_READWRITE;

	*db = (struct db){0};
	if (sqlite3_open_v2(o->path, &db->handle, flags, o->vfs) != SQLITE_OK)
		return db_fail(db);
	(void)sqlite3_extended_result_codes(db->handle, 1);
	(void)sqlite3_busy_timeout(db->handle, DB_BUSY_MS);
	if (!o->may_write)
		return db_exec(db, "PRAGMA query_only = ON; PRAGMA cache_size = -4096");
	/* auto_vacuum has to be there before the first table */
	if (db_exec(db,
		"PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
		"PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY; PRAGMA secure_delete = FAST;"
		"PRAGMA journal_size_limit = 67108864") < 0)
		return -1;
	return db_set_sync(db, o->sync);
}

bool
db_has_strange_wal(const char *path)
{
	static const char magic[16] = "SQLite format 3";
	uint8_t head[MODE_AT + 2];
	char wal[PATH_MAX + 8];
	struct stat st;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	n = pread(fd, head, sizeof(head), 0);
	(void)close(fd);
	if (n != (ssize_t)sizeof(head) || memcmp(head, magic, sizeof(magic)) != 0 ||
	    head[MODE_AT] != 1 || head[MODE_AT + 1] != 1)
		return false;
	(void)snprintf(wal, sizeof(wal), "%.*s-wal", PATH_MAX, path);
	return stat(wal, &st) == 0 && st.st_size > 0;
}

void
db_done(struct db *db)
{
	for (size_t i = 0; i < DB_QUERY_COUNT; i++)
		(void)sqlite3_finalize(db->stmts[i]); /* tells of the last failure once more */
	if (db->handle != NULL && sqlite3_close(db->handle) != SQLITE_OK) {
		/* cannot be: nothing of it is left open */
	}
	*db = (struct db){0};
}

int
db_reopen(struct db *db, const struct db_open *o)
{
	db_done(db);
	return db_init(db, o);
}

bool
db_is_within(const struct db *db)
{
	return db->handle != NULL && !sqlite3_get_autocommit(db->handle);
}

bool
db_has_failed(const struct db *db)
{
	if (db->code == SQLITE_READONLY_DBMOVED)
		return false; /* a new one would have other files */
	switch (db->code & 0xff) {
	case SQLITE_OK: /* it was none of the database's */
	case SQLITE_FULL:
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_NOMEM:
	case SQLITE_INTERRUPT:
		return db->handle == NULL;
	default:
		return true;
	}
}

sqlite3_stmt *
db_stmt(struct db *db, enum db_query query)
{
	static const char index[] = "INSERT INTO search";
	sqlite3_stmt **s = &db->stmts[query];

	if (strncmp(queries[query], index, sizeof(index) - 1) == 0)
		db->has_indexed = true;
	if (*s == NULL) {
		if (db->handle == NULL || sqlite3_prepare_v3(db->handle, queries[query], -1,
					      SQLITE_PREPARE_PERSISTENT, s, NULL) != SQLITE_OK) {
			(void)db_fail(db);
			return NULL;
		}
	} else {
		(void)sqlite3_reset(*s); /* tells of the last failure once more */
	}
	return *s;
}

int
db_step(struct db *db, sqlite3_stmt *s)
{
	int r = s == NULL ? SQLITE_NOMEM : sqlite3_step(s);

	if (r == SQLITE_ROW)
		return 1;
	if (s != NULL && r != SQLITE_DONE)
		(void)db_fail(db);
	if (s != NULL)
		(void)sqlite3_reset(s);
	return r == SQLITE_DONE ? 0 : -1;
}

int
db_run(struct db *db, sqlite3_stmt *s)
{
	int r;

	while ((r = db_step(db, s)) > 0)
		continue;
	return r;
}

int
db_u64(struct db *db, sqlite3_stmt *s, uint64_t *out)
{
	int r = db_step(db, s);

	if (r <= 0)
		return r;
	if (sqlite3_column_type(s, 0) == SQLITE_INTEGER)
		*out = db_column_u64(s, 0);
	(void)sqlite3_reset(s);
	return 0;
}

void
db_bind_text(sqlite3_stmt *s, int at, struct slice text)
{
	if (text.p == NULL)
		(void)sqlite3_bind_null(s, at);
	else
		(void)sqlite3_bind_blob64(s, at, text.p, text.n, SQLITE_STATIC);
}

/* A failure to bind is only possible for a wrong number. */
void
db_bind_u64(sqlite3_stmt *s, int at, uint64_t v)
{
	(void)sqlite3_bind_int64(s, at, (sqlite3_int64)v);
}

struct slice
db_column(sqlite3_stmt *s, int at)
{
	const void *p = sqlite3_column_blob(s, at);
	int n = sqlite3_column_bytes(s, at);

	if (sqlite3_column_type(s, at) == SQLITE_NULL)
		return SLICE_NONE;
	return p == NULL ? SLICE("") : slice_of(p, (size_t)n);
}

uint64_t
db_column_u64(sqlite3_stmt *s, int at)
{
	sqlite3_int64 v = sqlite3_column_int64(s, at);

	return v < 0 ? 0 : (uint64_t)v;
}

int
db_meta_get(struct db *db, const char *name, uint64_t *out)
{
	sqlite3_stmt *s = db_stmt(db, DB_META_GET);

	if (s == NULL)
		return -1;
	(void)sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	return db_u64(db, s, out);
}

int
db_meta_set(struct db *db, const char *name, uint64_t value)
{
	sqlite3_stmt *s = db_stmt(db, DB_META_SET);

	if (s == NULL)
		return -1;
	(void)sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	db_bind_u64(s, 2, value);
	return db_run(db, s);
}

/* --- the schema --- */

/*
 * From version i to i + 1, each in a transaction of its own. Times are wall-clock milliseconds,
 * ids microseconds since 1970; texts are blobs, compared as bytes.
 */
static const char *const steps[] = {
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    /* trimmed: the highest id that retention took */
    "CREATE TABLE topics (tid INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE,"
    " trimmed INTEGER NOT NULL, used INTEGER NOT NULL);"
    /*
     * flags: 1 data was a string. content NULL: it stands in json as it is, at content_at. target:
     * the message that a record of another kind changes.
     */
    "CREATE TABLE messages (id INTEGER PRIMARY KEY, tid INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " flags INTEGER NOT NULL, time INTEGER NOT NULL, ends INTEGER NOT NULL,"
    " origin INTEGER NOT NULL, target INTEGER, id_at INTEGER NOT NULL, sse_at INTEGER NOT NULL,"
    " sse_n INTEGER NOT NULL, content_at INTEGER NOT NULL, content_n INTEGER NOT NULL,"
    " json BLOB NOT NULL, content BLOB, event BLOB, name BLOB, user BLOB, key BLOB);"
    "CREATE INDEX messages_of_topic ON messages (tid);" /* the id is behind it anyway */
    "CREATE INDEX messages_that_end ON messages (tid, ends) WHERE ends > 0;"
    "CREATE INDEX messages_that_change ON messages (target) WHERE target IS NOT NULL;"
    "CREATE TABLE keys (text BLOB PRIMARY KEY, id INTEGER NOT NULL, time INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE INDEX keys_by_age ON keys (id);" DB_SEARCH_TABLE,
    /* flags: 2 it is not logged */
    "CREATE TABLE scheduled (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " flags INTEGER NOT NULL, time INTEGER NOT NULL, ends INTEGER NOT NULL,"
    " origin INTEGER NOT NULL, id_at INTEGER NOT NULL, sse_at INTEGER NOT NULL,"
    " sse_n INTEGER NOT NULL, content_at INTEGER NOT NULL, content_n INTEGER NOT NULL,"
    " json BLOB NOT NULL, content BLOB, event BLOB, name BLOB, user BLOB, key BLOB,"
    " topic BLOB NOT NULL);",
    /* core/facts.h says what they are. until: 0 for ever */
    "CREATE TABLE facts (kind INTEGER NOT NULL, scope BLOB NOT NULL, subject BLOB NOT NULL,"
    " number INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, by_whom BLOB,"
    " reason BLOB, PRIMARY KEY (kind, scope, subject)) WITHOUT ROWID;"
    "CREATE INDEX facts_that_end ON facts (until) WHERE until > 0;",
    /*
     * flags: 4 deleted, 8 a reaction taken back. also: the second topic of a direct message and of
     * what changes one. The index is for what one user has done with one emoji (DB_REACTION).
     */
    "ALTER TABLE messages ADD COLUMN also INTEGER;"
    "CREATE INDEX messages_also ON messages (also) WHERE also IS NOT NULL;"
    "CREATE INDEX messages_reacted ON messages (target, user, content) WHERE " DB_REACTION ";",
    /*
     * What a topic has, so that a start need not count: messages, records that change one, the ids of
     * the first and last, when the first of those with a ttl ends. Each transaction keeps it.
     */
    "ALTER TABLE topics ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE topics ADD COLUMN changes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE topics ADD COLUMN first INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE topics ADD COLUMN last INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE topics ADD COLUMN ends INTEGER NOT NULL DEFAULT 0;"
    "UPDATE topics SET (messages, first, last) = (SELECT count(*), coalesce(min(id), 0),"
    " coalesce(max(id), 0) FROM messages m WHERE m.tid = topics.tid);"
    "UPDATE topics SET changes = c.n, messages = messages - c.n FROM (SELECT tid, count(*) AS n"
    " FROM messages WHERE target IS NOT NULL GROUP BY tid) AS c WHERE c.tid = topics.tid;"
    "UPDATE topics SET messages = messages + c.n - c.m, changes = changes + c.m,"
    " first = iif(first = 0, c.a, min(first, c.a)), last = max(last, c.z) FROM (SELECT also,"
    " count(*) AS n, count(target) AS m, min(id) AS a, max(id) AS z FROM messages"
    " WHERE also IS NOT NULL GROUP BY also) AS c WHERE c.also = topics.tid;"
    "UPDATE topics SET ends = e.ends FROM (SELECT tid, min(ends) AS ends FROM messages"
    " WHERE ends > 0 GROUP BY tid) AS e WHERE e.tid = topics.tid;",
    /* titles are searched, too: the index is made anew (DB_WORDS) */
    "PRAGMA secure_delete = ON;" DB_SEARCH_ANEW "; DELETE FROM meta WHERE name = 'indexed';"
    "PRAGMA secure_delete = FAST;",
};
_Static_assert(ARRAY_LEN(steps) == DB_VERSION, "a step to each version");

static int
pragma_get(struct db *db, const char *sql, int *out)
{
	sqlite3_stmt *s = NULL;
	int r = -1;

	if (sqlite3_prepare_v2(db->handle, sql, -1, &s, NULL) == SQLITE_OK &&
	    sqlite3_step(s) == SQLITE_ROW) {
		*out = sqlite3_column_int(s, 0);
		r = 0;
	} else {
		(void)db_fail(db);
	}
	(void)sqlite3_finalize(s);
	return r;
}

static int
take_step(struct db *db, int version)
{
	char pragmas[128];

	(void)snprintf(pragmas, sizeof(pragmas),
	    "PRAGMA user_version = %d; PRAGMA application_id = %d", version + 1, DB_APPLICATION_ID);
	if (db_exec(db, "BEGIN IMMEDIATE") < 0)
		return -1;
	if (db_exec(db, steps[version]) < 0 || db_exec(db, pragmas) < 0 ||
	    db_exec(db, "COMMIT") < 0) {
		int code = db->code;

		if (db_exec(db, "ROLLBACK") < 0) {
			/* it was rolled back by the failure itself */
		}
		db->code = code;
		return -1;
	}
	return 0;
}

int
db_migrate(struct db *db, int *version)
{
	int application = 0;
	int tables = 0;

	if (pragma_get(db, "PRAGMA user_version", version) < 0 ||
	    pragma_get(db, "PRAGMA application_id", &application) < 0 ||
	    pragma_get(db, "SELECT count(*) FROM sqlite_schema", &tables) < 0)
		return -1;
	if (tables > 0 && application != DB_APPLICATION_ID)
		return -EPROTO;
	if (*version > DB_VERSION || *version < 0)
		return -EPROTO;
	for (int at = *version; at < DB_VERSION; at++) {
		if (take_step(db, at) < 0)
			return -1;
	}
	return 0;
}
