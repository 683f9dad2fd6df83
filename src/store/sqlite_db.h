/*
 * A connection to the database with its prepared statements. A connection belongs to one thread.
 */
#ifndef STORE_SQLITE_DB_H
#define STORE_SQLITE_DB_H

#include <sqlite3.h>

#include "core/config.h"

#define DB_VERSION        6
#define DB_PAGE           4096
#define DB_BUSY_MS        5000 /* that somebody else (a backup, the sqlite3 tool) may hold the lock */
#define DB_APPLICATION_ID 0x42656c66 /* "Belf" */
/* meta.clean, how it was left */
#define DB_OPEN   0
#define DB_CLOSED 1
#define DB_COPIED 2 /* a backup: there may be a later log than this */

/* The search index: it keeps words only, so what leaves it has to be said as it came. */
#define DB_SEARCH_TABLE                                                                            \
	"CREATE VIRTUAL TABLE search USING fts5 (content, content = '',"                           \
	" tokenize = 'unicode61 remove_diacritics 2')"
#define DB_SEARCH_ANEW "DROP TABLE search; " DB_SEARCH_TABLE

/* Columns of a message in each query that reads messages, in this order. */
#define DB_MESSAGE                                                                                 \
	"m.id, m.kind, m.flags, m.time, m.ends, m.origin, m.id_at, m.sse_at, m.sse_n,"             \
	" m.content_at, m.content_n, m.json, m.content, m.event, m.name, m.user, m.key, t.name,"   \
	" m.target, a.name"
#define DB_MESSAGES                                                                                \
	"SELECT " DB_MESSAGE " FROM messages m CROSS JOIN topics t ON t.tid = m.tid"               \
	" LEFT JOIN topics a ON a.tid = m.also"
/* Columns of a new one, in the order of the table; sqlite_rows.c gives them. */
#define DB_ROW                                                                                     \
	"id, tid, kind, flags, time, ends, origin, target, id_at, sse_at, sse_n, content_at,"      \
	" content_n, json, content, event, name, user, key, also"
/*
 * What the search index has of a row: as message_words says it, from the row alone. A title is that
 * of a MESSAGE_NOTIFICATION. "" is not in the index.
 */
#define DB_WORDS                                                                                   \
	"CASE WHEN kind = 1 AND instr(json, CAST('\"title\":' AS BLOB)) > 0"                       \
	" AND json_valid(CAST(json AS TEXT))"                                                      \
	" THEN coalesce(nullif(json_extract(CAST(json AS TEXT), '$.title'), '') || char(10), '')"  \
	" ELSE '' END || coalesce(content, substr(json, content_at + 1, content_n))"
#define DB_UNINDEX                                                                                 \
	"INSERT INTO search (search, rowid, content) SELECT 'delete', id, words"                   \
	" FROM (SELECT id, " DB_WORDS " AS words FROM messages WHERE target IS NULL AND "
/* Of the kind MESSAGE_REACTION: an index is of these alone. */
#define DB_REACTION "kind = 6"
#define DB_FOUND                                                                                   \
	"SELECT " DB_MESSAGE " FROM search s CROSS JOIN messages m ON m.id = s.rowid"              \
	" CROSS JOIN topics t ON t.tid = m.tid LEFT JOIN topics a ON a.tid = m.also"               \
	" WHERE search MATCH ?1 AND s.rowid > ?2 AND"                                              \
	" s.rowid <= ?3 ORDER BY s.rowid"

/* clang-format off */
#define DB_QUERIES(X)                                                                              \
	X(BEGIN_WRITE, "BEGIN IMMEDIATE")                                                          \
	X(BEGIN_READ, "BEGIN")                                                                     \
	X(COMMIT, "COMMIT")                                                                        \
	X(ROLLBACK, "ROLLBACK")                                                                    \
	X(META_GET, "SELECT value FROM meta WHERE name = ?1")                                      \
	X(META_SET, "INSERT INTO meta VALUES (?1, ?2)"                                             \
		" ON CONFLICT (name) DO UPDATE SET value = ?2")                                    \
	X(TOPIC_ADD, "INSERT INTO topics (name, trimmed, used) VALUES (?1, ?2, ?3)"                \
		" ON CONFLICT (name) DO UPDATE SET trimmed = ?2, used = ?3 RETURNING tid")         \
	X(TOPIC_TRIMMED, "UPDATE topics SET trimmed = max(trimmed, ?2), used = ?3 WHERE tid = ?1")               \
	X(TOPIC_DROP, "DELETE FROM topics WHERE tid = ?1")                                         \
	X(TOPIC_TRIM_GET, "SELECT trimmed FROM topics WHERE tid = ?1")                             \
	X(TOPICS_TRIMMED_MAX, "SELECT max(trimmed) FROM topics")                                   \
	X(TOPICS_TRIMMED, "SELECT name, trimmed FROM topics WHERE trimmed > ?1")                   \
	X(TOPICS, "SELECT tid, name, trimmed, used, messages, changes, first, last, ends"          \
		" FROM topics")                                                                    \
	X(TOPIC_STATE, "UPDATE topics SET used = ?2, messages = ?3, changes = ?4, first = ?5,"     \
		" last = ?6, ends = ?7 WHERE tid = ?1")                                            \
	X(TOPICS_RAISE, "UPDATE topics SET trimmed = ?1 WHERE trimmed < ?1")                       \
	X(LAST_ID, "SELECT max(id) FROM messages")                                                 \
	X(MESSAGES_ADD, "INSERT INTO messages (" DB_ROW ") SELECT " DB_ROW " FROM new_messages")   \
	X(MESSAGE_GET, DB_MESSAGES " WHERE m.id = ?1")                                             \
	X(MESSAGE_CHANGE, "UPDATE messages SET flags = ?2, id_at = ?3, content_at = ?4,"           \
		" content_n = ?5, json = ?6, content = ?7, key = ?8 WHERE id = ?1")                \
	X(MESSAGE_DROP, "DELETE FROM messages WHERE id = ?1 RETURNING tid, also")                  \
	X(COUNT_HOME, "SELECT count(*), count(target) FROM messages WHERE tid = ?1 AND id <= ?2"   \
		" AND also IS NOT NULL")                                                           \
	X(MOVE_HOME, "UPDATE messages SET tid = also, also = NULL WHERE tid = ?1 AND id <= ?2"     \
		" AND also IS NOT NULL")                                                           \
	X(COUNT_ALSO, "SELECT count(*), count(target) FROM messages WHERE also = ?1 AND id <= ?2") \
	X(DROP_ALSO, "UPDATE messages SET also = NULL WHERE also = ?1 AND id <= ?2")               \
	X(NTH_SHARED, "SELECT id FROM (SELECT id FROM messages WHERE tid = ?1 AND target IS NULL"  \
		" UNION ALL SELECT id FROM messages WHERE also = ?1 AND target IS NULL)"           \
		" ORDER BY id LIMIT 1 OFFSET ?2")                                                  \
	X(OLDEST_SHARED, "SELECT id, time, ends FROM (SELECT id, time, ends FROM messages"         \
		" WHERE tid = ?1 UNION ALL SELECT id, time, ends FROM messages WHERE also = ?1)"   \
		" ORDER BY id LIMIT ?2")                                                           \
	X(CHANGES_OF, "SELECT id FROM messages WHERE target = ?1")                                 \
	X(EDITS_OF, "SELECT id FROM messages WHERE target = ?1 AND kind = ?2")                     \
	X(REACTED, "SELECT id, flags FROM messages WHERE " DB_REACTION                             \
		" AND target = ?1 AND user = ?2 AND content = ?3")                                 \
	X(NTH_MESSAGE, "SELECT id FROM messages WHERE tid = ?1 AND target IS NULL"                 \
		" ORDER BY id LIMIT 1 OFFSET ?2")                                                  \
	X(DROP_CHANGES_UPTO, "DELETE FROM messages WHERE tid = ?1 AND id <= ?2"                    \
		" AND target IS NOT NULL")                                                         \
	X(DROP_CHANGES_ENDED, "DELETE FROM messages WHERE tid = ?1 AND ends > 0 AND ends <= ?2"    \
		" AND target IS NOT NULL")                                                         \
	X(UNINDEX_ONE, DB_UNINDEX "id = ?1) WHERE words <> ''")                                    \
	X(INDEX_MERGE, "INSERT INTO search (search, rank) VALUES ('merge', ?1)")                   \
	X(CHECKPOINT, "PRAGMA wal_checkpoint(TRUNCATE)")                                           \
	X(NTH_OLDEST, "SELECT id FROM messages WHERE tid = ?1 ORDER BY id LIMIT 1 OFFSET ?2")      \
	X(OLDEST, "SELECT id, time, ends FROM messages WHERE tid = ?1 ORDER BY id LIMIT ?2")       \
	X(OLDEST_OF_ALL, "SELECT t.name, m.id FROM messages m CROSS JOIN topics t"                 \
		" ON t.tid = m.tid ORDER BY m.id LIMIT ?1")                                        \
	X(NEXT_END, "SELECT min(ends) FROM messages WHERE tid = ?1 AND ends > 0")                  \
	X(DROP_UPTO, "DELETE FROM messages WHERE tid = ?1 AND id <= ?2")                           \
	X(DROP_ENDED, "DELETE FROM messages WHERE tid = ?1 AND ends > 0 AND ends <= ?2")           \
	X(UNINDEX_UPTO, DB_UNINDEX "tid = ?1 AND id <= min(?2, ?3)) WHERE words <> ''")            \
	X(UNINDEX_ENDED, DB_UNINDEX "tid = ?1 AND ends > 0 AND ends <= ?2 AND id <= ?3)"           \
		" WHERE words <> ''")                                                              \
	X(TO_INDEX, "SELECT id, " DB_WORDS " FROM messages WHERE id > ?1 AND target IS NULL"       \
		" ORDER BY id LIMIT ?2")                                                           \
	X(INDEX_ADD, "INSERT INTO search (rowid, content) VALUES (?1, ?2)")                        \
	X(KEY_GET, "SELECT id, time FROM keys WHERE text = ?1")                                    \
	X(KEY_ADD, "INSERT OR REPLACE INTO keys VALUES (?1, ?2, ?3)")                              \
	X(KEY_COUNT, "SELECT count(*) FROM keys")                                                  \
	X(KEY_DROP_OLDEST, "DELETE FROM keys WHERE id IN"                                          \
		" (SELECT id FROM keys ORDER BY id LIMIT ?1)")                                     \
	X(KEY_DROP_OLD, "DELETE FROM keys WHERE id IN"                                             \
		" (SELECT id FROM keys ORDER BY id LIMIT ?1) AND time <= ?2")                      \
	X(PAGE_COUNT, "PRAGMA page_count")                                                         \
	X(FREE_COUNT, "PRAGMA freelist_count")                                                     \
	X(VACUUM, "PRAGMA incremental_vacuum(256)")                                                \
	X(LATER_ADD, "INSERT INTO scheduled (number, at, kind, flags, time, ends, origin, id_at,"  \
		" sse_at, sse_n, content_at, content_n, json, content, event, name, user, key,"    \
		" topic) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19)") \
	X(LATER_DROP, "DELETE FROM scheduled WHERE number = ?1")                                   \
	X(LATER, "SELECT number, kind, flags, time, ends, origin, id_at, sse_at, sse_n,"           \
		" content_at, content_n, json, content, event, name, user, key, topic,"       \
		" NULL, NULL, at"         \
		" FROM scheduled ORDER BY at, number")                                             \
	X(FACT_PUT, "INSERT OR REPLACE INTO facts (kind, scope, subject, number, since, until, by_whom," \
		" reason) VALUES (?1,?2,?3,?4,?5,?6,?7,?8)")                                       \
	X(FACT_DROP, "DELETE FROM facts WHERE kind = ?1 AND scope = ?2 AND subject = ?3")          \
	X(FACTS_DROP_ENDED, "DELETE FROM facts WHERE until > 0 AND until <= ?1")                   \
	X(FACTS_NEXT_END, "SELECT min(until) FROM facts WHERE until > 0")                          \
	X(FACTS, "SELECT kind, scope, subject, number, since, until, by_whom, reason FROM facts"   \
		" ORDER BY since")                                                                 \
	X(SCAN_UP, DB_MESSAGES " WHERE m.id > ?2 AND m.id <= ?3 ORDER BY m.id")                    \
	X(SCAN_DOWN, DB_MESSAGES " WHERE m.id > ?2 AND m.id <= ?3 ORDER BY m.id DESC")             \
	X(FIND_UP, DB_FOUND)                                                                       \
	X(FIND_DOWN, DB_FOUND " DESC")                                                             \
	/* 4: what was deleted; see sqlite_row.c */                                                \
	X(UNREAD, "SELECT count(*) FROM (SELECT 1 FROM messages WHERE tid = ?1 AND id > ?2"        \
		" AND target IS NULL AND flags & 4 = 0 AND (ends = 0 OR ends > ?3)"                 \
		" AND user IS NOT ?4 LIMIT ?5)")                                                   \
	X(SINCE, "SELECT id FROM messages WHERE id > ?1 AND time >= ?2 ORDER BY id LIMIT 1")
/* clang-format on */

/* Of one topic; a read of several topics has several of them. */
#define DB_TOPIC_UP   DB_MESSAGES " WHERE m.tid = ?1 AND m.id > ?2 AND m.id <= ?3 ORDER BY m.id"
#define DB_TOPIC_DOWN DB_TOPIC_UP " DESC"
/* … and those that stand under it besides their own. */
#define DB_ALSO_UP   DB_MESSAGES " WHERE m.also = ?1 AND m.id > ?2 AND m.id <= ?3 ORDER BY m.id"
#define DB_ALSO_DOWN DB_ALSO_UP " DESC"

enum db_query {
#define X(name, sql) DB_##name,
	DB_QUERIES(X)
#undef X
	DB_QUERY_COUNT
};

struct db {
	sqlite3 *handle;
	sqlite3_stmt *stmts[DB_QUERY_COUNT];
	int code;         /* SQLite's, of the last failure */
	bool has_indexed; /* the search index was changed since this was cleared */
	char text[128];
};

struct db_open {
	const char *path;
	const char *vfs;
	bool may_write;
	enum config_sync sync;
};

/* 0; or -1, why is in db->code (db_done is still due). */
MUST_CHECK int db_init(struct db *db, const struct db_open *o);
void db_done(struct db *db);
/* Once more, after a failure. As db_init. */
MUST_CHECK int db_reopen(struct db *db, const struct db_open *o);
/* How safe a commit is from now on. 0 or -1. */
MUST_CHECK int db_set_sync(struct db *db, enum config_sync sync);
/*
 * Whether the write-ahead log beside a database is not its own, but was left by the file that had
 * this name before: SQLite would put it into this one, which is damaged then. A backup has none, as
 * its head tells.
 */
bool db_has_strange_wal(const char *path);
/* Whether a transaction is open. */
bool db_is_within(const struct db *db);
/*
 * Whether a new connection may be better after the last failure: not where the disk is full, somebody
 * else has the lock or memory is short, for then this one is as good.
 */
bool db_has_failed(const struct db *db);
/* Keep what SQLite's last call, which has failed, says of it. -1. */
int db_fail(struct db *db);
/* Of the last failure, for people. */
const char *db_text(const struct db *db);
/* Run SQL without results. 0 or -1. */
MUST_CHECK int db_exec(struct db *db, const char *sql);
/*
 * A statement, ready to be bound: the db's, until the next call with the same query. NULL on
 * failure.
 */
MUST_CHECK sqlite3_stmt *db_stmt(struct db *db, enum db_query query);
/* 1: a row; 0: the end, and the statement is reset; -1. s may be NULL (-1). */
MUST_CHECK int db_step(struct db *db, sqlite3_stmt *s);
/* Step to the end. 0 or -1. */
MUST_CHECK int db_run(struct db *db, sqlite3_stmt *s);
/* The first column of the first row of a statement; *out stays when there is none or NULL. */
MUST_CHECK int db_u64(struct db *db, sqlite3_stmt *s, uint64_t *out);
/* Absent: NULL. Borrowed until the statement was stepped. */
void db_bind_text(sqlite3_stmt *s, int at, struct slice text);
void db_bind_u64(sqlite3_stmt *s, int at, uint64_t v);
struct slice db_column(sqlite3_stmt *s, int at);
uint64_t db_column_u64(sqlite3_stmt *s, int at);

/* Rows of the table meta. *out stays when the name is not there. 0 or -1. */
MUST_CHECK int db_meta_get(struct db *db, const char *name, uint64_t *out);
MUST_CHECK int db_meta_set(struct db *db, const char *name, uint64_t value);

/*
 * Make the tables, or bring an older database up to this version. 0; -1; or -EPROTO when it is
 * no database of ours, or of a later version.
 */
MUST_CHECK int db_migrate(struct db *db, int *version);

#endif
