/* The store on a disk at its start: what comes back into memory, and what it costs to read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/facts.h"
#include "store/sqlite_private.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"
#include "tests/unit/support_vfs.h"

#define SAY(topic, text) ck_assert_int_eq(world_say(&w, topic, text), 0)
#define MESSAGES         1000

static struct sqlite_store *
inside(const struct world *w)
{
	return sqlite_of(w->store->inner);
}

static uint64_t
n_disk_reads(const struct world *w)
{
	return atomic_load(&inside(w)->figures.n_disk_reads);
}

/* How many messages a stream from a position gets; the last of them must be `last`. */
static unsigned
count_from(struct world *w, const char *pattern, const struct position *from, const char *last)
{
	const char *topics[] = {pattern, NULL};
	struct stream st;
	unsigned n = 0;
	unsigned long last_id = 0;
	const char *got;
	const char *end = "";

	ck_assert(stream_open(w, 0, &st, topics, from, NULL));
	world_turn(w);
	got = stream_take(&st);
	ck_assert_ptr_null(strstr(got, "gap"));
	for (const char *at = got; (at = strchr(at, '#')) != NULL; at++) {
		unsigned long id = strtoul(at + 1, NULL, 10);

		ck_assert_uint_gt(id, last_id);
		last_id = id;
		n++;
		end = at;
	}
	ck_assert_msg(strncmp(end, last, strlen(last)) == 0, "%s, not %s", end, last);
	stream_close(&st);
	return n;
}

static unsigned
count_all(struct world *w, const char *pattern, const char *last)
{
	return count_from(w, pattern, &(struct position){.kind = POSITION_ALL}, last);
}

static unsigned
count_after(struct world *w, const char *pattern, uint64_t n, const char *last)
{
	return count_from(
	    w, pattern, &(struct position){.kind = POSITION_ID, .id = world_id(w, n)}, last);
}

/* Beside the traffic: wait until it is over. */
static void
wait_until_warm(const struct world *w)
{
	struct sqlite_store *s = inside(w);
	bool is_warming = true;

	while (is_warming) {
		(void)pthread_mutex_lock(&s->lock);
		is_warming = s->is_warming;
		(void)pthread_mutex_unlock(&s->lock);
		(void)usleep(1000);
	}
}

static void
fill(struct world *w)
{
	for (int i = 0; i < MESSAGES / 4; i++) {
		ck_assert_int_eq(world_say(w, "a", "one"), 0);
		ck_assert_int_eq(world_say(w, "b/c", "two"), 0);
		ck_assert_int_eq(world_say(w, "b/d", "three"), 0);
		ck_assert_int_eq(world_say(w, "three/x", "four"), 0);
	}
}

/* All of it fits: whatever is asked for then is answered from memory. */
static void
check_all_is_warm(struct world *w)
{
	ck_assert_uint_eq(inside(w)->hot.cold_id, 0);
	ck_assert_uint_eq(inside(w)->hot.n_messages, inside(w)->n_messages);
	ck_assert_uint_eq(count_all(w, "**", "#1000 four"), MESSAGES * 3 / 4 + 3);
	ck_assert_uint_eq(count_after(w, "b/*", 1, "#999 three"), MESSAGES / 2);
	ck_assert_uint_eq(count_after(w, "a", 0, "#997 one"), MESSAGES / 4);
	ck_assert_uint_eq(count_after(w, "three/x", 996, "#1000 four"), 1);
	ck_assert_uint_eq(n_disk_reads(w), 0);
}

START_TEST(warm)
{
	struct world w;

	ck_assert(world_init(&w, NULL));
	fill(&w);
	ck_assert(world_restart(&w));
	check_all_is_warm(&w);
	w.options.warms_later = true;
	ck_assert(world_restart(&w));
	wait_until_warm(&w);
	check_all_is_warm(&w);
	world_done(&w);
}
END_TEST

/* The newest part fits: those who resume within it read nothing from disk, the others do. */
START_TEST(partly_warm)
{
	struct world w;
	uint64_t cold;

	ck_assert(world_init(&w, NULL));
	w.options.cache = 100000;
	w.options.warms_later = true;
	fill(&w);
	ck_assert(world_restart(&w));
	wait_until_warm(&w);
	cold = inside(&w)->hot.cold_id - w.begin;
	ck_assert_uint_gt(cold, 500);
	ck_assert_uint_lt(cold, 980);
	ck_assert_uint_le(shelves_bytes(&inside(&w)->hot), 100000);
	ck_assert_uint_gt(count_after(&w, "b/*", cold, "#999 three"), 10);
	ck_assert_uint_gt(count_after(&w, "a", cold, "#997 one"), 3);
	ck_assert_uint_eq(n_disk_reads(&w), 0);
	ck_assert_uint_eq(count_after(&w, "a", 0, "#997 one"), MESSAGES / 4);
	ck_assert_uint_gt(n_disk_reads(&w), 0);
	for (int i = 0; i < 200; i++)
		SAY("a", "more"); /* and they push out what came back */
	ck_assert_uint_gt(inside(&w)->hot.cold_id - w.begin, cold);
	ck_assert_uint_le(shelves_bytes(&inside(&w)->hot), 100000);
	ck_assert_uint_eq(count_all(&w, "a", "#1200 more"), MESSAGES / 4 + 200);
	ck_assert_uint_eq(count_all(&w, "b/c", "#998 two"), MESSAGES / 4);
	world_done(&w);
}
END_TEST

/* Who has gone by then is not read for. */
START_TEST(gone)
{
	static const char *const topics[] = {"**", NULL};
	static const struct position all = {.kind = POSITION_ALL};
	struct world w;
	struct stream st;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	SAY("a", "m");
	w.options.cache = 1;
	ck_assert(world_restart(&w));
	w.store->is_slow = true;
	ck_assert(stream_open(&w, 0, &st, topics, &all, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'history','topic':'a'}");
	world_turn(&w);
	ck_assert_uint_eq(w.store->n_waiting, 2);
	stream_close(&st);
	peer_close(&p, true);
	world_answer_reads(&w);
	world_turn(&w);
	ck_assert_uint_eq(n_disk_reads(&w), 0);
	w.store->is_slow = false;
	ck_assert_uint_eq(count_all(&w, "**", "#1 m"), 1);
	ck_assert_uint_gt(n_disk_reads(&w), 0);
	world_done(&w);
}
END_TEST

static struct store *
only_store(const struct world *w)
{
	return w->store->inner;
}

/* What is written, trimmed, ended or changed while a page is read is not brought back. */
START_TEST(overtaken)
{
	struct world w;
	struct sqlite_store *s;
	struct db db;
	char path[128];

	ck_assert(world_init(&w, NULL));
	w.options.cache = 1;
	for (int i = 0; i < 3; i++)
		SAY("three/x", "m");
	ck_assert_int_eq(world_say_ttl(&w, "a", "ends", 1), 0);
	ck_assert(world_restart(&w));
	s = inside(&w);
	(void)snprintf(path, sizeof(path), "%s/log", w.store->folder);
	ck_assert_int_eq(db_init(&db, &(struct db_open){path, NULL, false, SYNC_OFF}), 0);
	ck_assert_int_eq(db_run(&db, db_stmt(&db, DB_BEGIN_READ)), 0);
	ck_assert_int_eq(db_run(&db, db_stmt(&db, DB_LAST_ID)), 0); /* what it sees is of now */
	log_lock(w.log);
	s->options.cache = 1 << 20;
	log_unlock(w.log);
	world_pass(&w, 5000);
	log_sweep(w.log, w.now_ms);
	SAY("three/x", "m"); /* 1 goes */
	ck_assert_uint_eq(s->hot.cold_id, w.begin + 4);
	ck_assert(!sqlite_warm_step(s, &db));
	ck_assert_uint_eq(s->hot.cold_id, 0);
	ck_assert_uint_eq(s->hot.n_messages, 3);
	ck_assert_int_eq(db_run(&db, db_stmt(&db, DB_COMMIT)), 0);
	db_done(&db);
	ck_assert_uint_eq(count_all(&w, "**", "#5000000 m"), 3);
	ck_assert_uint_eq(n_disk_reads(&w), 0);
	world_done(&w);
}
END_TEST

/*
 * What comes back into memory while a transaction is under way does not take the room that was kept
 * for its messages: here each ring is full to the last entry by then.
 */
START_TEST(overtakes)
{
	static const struct world_options options = {.vfs = FAULTY_VFS, .sync = WORLD_SYNC_FULL};
	const uint64_t n = 4 * SQLITE_STEP_WARM;
	struct world w;
	struct sqlite_store *s;
	struct db db;
	char path[128];

	ck_assert(vfs_init());
	ck_assert(world_init(&w, &options));
	w.options.cache = 1;
	ck_assert_int_eq(world_say_often(&w, "b", "m", (unsigned)n / 2), 0);
	ck_assert_int_eq(world_say_often(&w, "c", "m", (unsigned)n / 2 - 8), 0);
	ck_assert_int_eq(world_say_often(&w, "a", "m", 8), 0);
	ck_assert(world_restart(&w));
	s = inside(&w);
	(void)snprintf(path, sizeof(path), "%s/log", w.store->folder);
	ck_assert_int_eq(db_init(&db, &(struct db_open){path, NULL, false, SYNC_OFF}), 0);
	log_lock(w.log);
	s->options.cache = 1 << 24;
	log_unlock(w.log);
	w.store->is_hasty = true;
	vfs_hold(true);
	SAY("a", "last");
	while (!vfs_is_waiting())
		(void)usleep(100);
	while (sqlite_warm_step(s, &db))
		continue;
	ck_assert_uint_eq(s->hot.all.n, n);
	vfs_hold(false);
	w.store->is_hasty = false;
	world_settle(&w);
	db_done(&db);
	ck_assert_uint_eq(s->hot.n_messages, n + 1);
	ck_assert_uint_eq(count_all(&w, "a", "#1025 last"), 9);
	ck_assert_uint_eq(count_all(&w, "**", "#1025 last"), n + 1);
	ck_assert_uint_eq(n_disk_reads(&w), 0);
	world_done(&w);
}
END_TEST

/* The tables as the first version made them, and what each later one has added. */
static const char *const versions[] = {
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE topics (tid INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE,"
    " trimmed INTEGER NOT NULL, used INTEGER NOT NULL);"
    "CREATE TABLE messages (id INTEGER PRIMARY KEY, tid INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " flags INTEGER NOT NULL, time INTEGER NOT NULL, ends INTEGER NOT NULL,"
    " origin INTEGER NOT NULL, target INTEGER, id_at INTEGER NOT NULL, sse_at INTEGER NOT NULL,"
    " sse_n INTEGER NOT NULL, content_at INTEGER NOT NULL, content_n INTEGER NOT NULL,"
    " json BLOB NOT NULL, content BLOB, event BLOB, name BLOB, user BLOB, key BLOB);"
    "CREATE INDEX messages_of_topic ON messages (tid);"
    "CREATE INDEX messages_that_end ON messages (tid, ends) WHERE ends > 0;"
    "CREATE INDEX messages_that_change ON messages (target) WHERE target IS NOT NULL;"
    "CREATE TABLE keys (text BLOB PRIMARY KEY, id INTEGER NOT NULL, time INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE INDEX keys_by_age ON keys (id);"
    "CREATE VIRTUAL TABLE search USING fts5 (content, content = '',"
    " tokenize = 'unicode61 remove_diacritics 2');"
    "PRAGMA application_id = 1113943142;",
    "CREATE TABLE scheduled (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " flags INTEGER NOT NULL, time INTEGER NOT NULL, ends INTEGER NOT NULL,"
    " origin INTEGER NOT NULL, id_at INTEGER NOT NULL, sse_at INTEGER NOT NULL,"
    " sse_n INTEGER NOT NULL, content_at INTEGER NOT NULL, content_n INTEGER NOT NULL,"
    " json BLOB NOT NULL, content BLOB, event BLOB, name BLOB, user BLOB, key BLOB,"
    " topic BLOB NOT NULL);",
    "CREATE TABLE facts (kind INTEGER NOT NULL, scope BLOB NOT NULL, subject BLOB NOT NULL,"
    " number INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, by_whom BLOB,"
    " reason BLOB, PRIMARY KEY (kind, scope, subject)) WITHOUT ROWID;"
    "CREATE INDEX facts_that_end ON facts (until) WHERE until > 0;",
    "ALTER TABLE messages ADD COLUMN also INTEGER;"
    "CREATE INDEX messages_also ON messages (also) WHERE also IS NOT NULL;"
    "CREATE INDEX messages_reacted ON messages (target, user, content) WHERE kind = 6;",
    "ALTER TABLE topics ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE topics ADD COLUMN changes INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE topics ADD COLUMN first INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE topics ADD COLUMN last INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE topics ADD COLUMN ends INTEGER NOT NULL DEFAULT 0;",
};
#define HAS_SCHEDULED 2 /* since that version */
#define HAS_FACTS     3
#define HAS_CHANGES   4 /* and direct messages */

/* What each would have had in them. */
static const char *const contents[] = {
    "INSERT INTO meta SELECT name, value FROM now.meta WHERE name IN"
    " ('begin', 'last', 'folded', 'sync');"
    "INSERT INTO meta VALUES ('clean', 1), ('indexed', (SELECT max(id) - 2 FROM now.messages));"
    "INSERT INTO topics (tid, name, trimmed, used) SELECT tid, name, trimmed, used FROM now.topics;"
    "INSERT INTO messages (id, tid, kind, flags, time, ends, origin, target, id_at, sse_at,"
    " sse_n, content_at, content_n, json, content, event, name, user, key) SELECT id, tid, kind, flags, time, ends, origin, NULL, id_at, sse_at,"
    " sse_n, content_at, content_n, json, content, event, name, user, key FROM now.messages;"
    "INSERT INTO keys SELECT * FROM now.keys;"
    "INSERT INTO search (rowid, content) SELECT id, CAST(coalesce(content,"
    " substr(json, content_at + 1, content_n)) AS TEXT) FROM messages"
    " WHERE id <= (SELECT value FROM meta WHERE name = 'indexed') AND content_n > 0;",
    "INSERT INTO scheduled SELECT * FROM now.scheduled;",
    "INSERT INTO facts VALUES (1, CAST('chat/r' AS BLOB), CAST('eve' AS BLOB), 0, 1, 0,"
    " CAST('Root' AS BLOB), CAST('spam' AS BLOB));",
    "UPDATE messages SET (target, also) = (SELECT target, also FROM now.messages n"
    " WHERE n.id = messages.id);",
    "UPDATE topics SET (messages, changes, first, last, ends) = (SELECT messages, changes, first,"
    " last, ends FROM now.topics n WHERE n.tid = topics.tid);",
};
_Static_assert(ARRAY_LEN(contents) == ARRAY_LEN(versions), "each has something");
_Static_assert(ARRAY_LEN(versions) == DB_VERSION - 1, "every older version is tried");

static void
execute(sqlite3 *db, const char *sql)
{
	ck_assert_msg(
	    sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
}

/* The world's database as that version would have it takes its place. */
static void
restart_from_version(struct world *w, unsigned version)
{
	sqlite3 *db = NULL;
	char path[128];
	char sql[160];
	FILE *wal;

	(void)snprintf(path, sizeof(path), "%s/log.kept", w->store->folder);
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	for (unsigned i = 0; i < version; i++)
		execute(db, versions[i]);
	(void)snprintf(sql, sizeof(sql), "PRAGMA user_version = %u; ATTACH '%s/log' AS now",
	    version, w->store->folder);
	execute(db, sql);
	for (unsigned i = 0; i < version; i++)
		execute(db, contents[i]);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	(void)snprintf(path, sizeof(path), "%s/log-wal.kept", w->store->folder);
	wal = fopen(path, "w"); /* empty */
	ck_assert_ptr_nonnull(wal);
	(void)fclose(wal);
	w->crashed = true;
	ck_assert(world_restart(w));
}

static bool
count_scheduled(const struct log_scheduled *each, void *ctx)
{
	unsigned *n = ctx;

	(void)each;
	++*n;
	return true;
}

/* What a later version had beside the messages. */
static void
say_what_came_later(struct world *w, struct peer *p, unsigned version)
{
	char id[64];

	if (version >= HAS_SCHEDULED)
		peer_do(p, "{'type':'publish','topic':'a','message':'late','at':'+10m'}");
	if (version < HAS_CHANGES)
		return;
	(void)snprintf(id, sizeof(id), "%llu", (unsigned long long)world_id(w, 9));
	peer_do(p, "{'type':'direct','to':'bob','content':'hush'}");
	world_turn(w);
	peer_do(p, "{'type':'react','target':%s,'emoji':'+1'}", id);
	world_turn(w);
}

static void
check_what_came_later(struct world *w, unsigned version)
{
	struct peer bob;
	unsigned n = 0;

	log_each_scheduled(w->log, count_scheduled, &n);
	ck_assert_uint_eq(n, version >= HAS_SCHEDULED);
	ck_assert_int_eq(
	    fact_find(w->log, FACT_BAN, SLICE("chat/r"), SLICE("eve"), w->now_ms, NULL),
	    version >= HAS_FACTS);
	ck_assert(peer_open(w, 0, &bob, "bob"));
	peer_do(&bob, "{'type':'history','topic':'user/bob'}");
	world_turn(w);
	ck_assert_str_eq(peer_take(&bob),
	    version >= HAS_CHANGES ? "history user/bob [#9]" : "history user/bob []");
	peer_close(&bob, false);
}

/* A database of an older version is brought up to now, and has everything. */
static void
migrate(unsigned version)
{
	struct log_extent before;
	struct log_extent after;
	struct world w;
	struct peer p;
	size_t n_later = version >= HAS_CHANGES ? 2 : 0; /* it stands in two topics */

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	for (int i = 0; i < 5; i++)
		SAY("three/x", "some words");
	peer_do(&p, "{'type':'join','room':'r','last':0}");
	peer_do(&p, "{'type':'chat','content':'line\\nbreak words','room':'r','key':'k'}");
	peer_do(&p, "{'type':'publish','topic':'a','data':{'n':1},'event':'price'}");
	peer_do(&p, "{'type':'publish','topic':'a','title':'T','message':'more words','ttl':60}");
	world_turn(&w);
	say_what_came_later(&w, &p, version);
	world_turn(&w);
	peer_close(&p, false);
	world_pass(&w, 60000);
	log_extent(w.log, &before);
	restart_from_version(&w, version);
	log_extent(w.log, &after);
	ck_assert_uint_eq(after.messages, before.messages);
	ck_assert_uint_eq(after.topics, before.topics);
	ck_assert_uint_eq(after.last, before.last);
	world_pass(&w, -30000);
	ck_assert_uint_eq(count_all(&w, "**", "#8 more words; level"), 6);
	ck_assert_uint_eq(n_disk_reads(&w), 0);
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'history','topic':'**','q':'words'}");
	peer_do(&p, "{'type':'subscribe','topic':'three/x','after':%llu}",
	    (unsigned long long)world_id(&w, 1));
	peer_do(&p, "{'type':'join','room':'r','last':0}");
	peer_do(&p, "{'type':'chat','content':'again','room':'r','key':'k'}");
	world_turn(&w);
	ck_assert_str_eq(peer_take(&p),
	    "history ** [#3,#4,#5,#6,#8]; subscribed three/x #5; "
	    "gap three/x after=#1 oldest=#3 trimmed; three/x#3 some words; three/x#4 some words; "
	    "three/x#5 some words; joined r 1 [ada] #6; ack #6 again");
	peer_close(&p, false);
	check_what_came_later(&w, version);
	world_pass(&w, 60000);
	SAY("three/x", "later");
	log_sweep(w.log, w.now_ms); /* what ends does so */
	log_extent(w.log, &after);
	ck_assert_uint_eq(after.messages, 5 + n_later);
	ck_assert(world_restart(&w));
	log_extent(w.log, &after);
	ck_assert_uint_eq(after.messages, 5 + n_later);
	world_done(&w);
}

START_TEST(migrated)
{
	for (unsigned version = 1; version < DB_VERSION; version++)
		migrate(version);
}
END_TEST

/* What a topic has is written down in each transaction: the next start counts nothing. */
START_TEST(counted)
{
	static const char check[] =
	    "SELECT count(*) FROM topics t WHERE (messages, changes, first, last, ends) IS NOT"
	    " (SELECT count(*) - count(target), count(target), coalesce(min(id), 0),"
	    " coalesce(max(id), t.last), coalesce(min(ends) FILTER (WHERE ends > 0), 0)"
	    " FROM messages m WHERE t.tid IN (m.tid, m.also))";
	sqlite3_stmt *q = NULL;
	sqlite3 *db = NULL;
	char path[128];
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'join','room':'r','last':0}");
	for (int i = 0; i < 12; i++) {
		SAY("three/x", "m");
		SAY("one/y", "m");
		ck_assert_int_eq(world_say_ttl(&w, "b", "m", (unsigned)i + 1), 0);
		peer_do(&p, "{'type':'chat','content':'hi'}");
		world_turn(&w);
		peer_do(&p, "{'type':'edit','target':%llu,'content':'there'}",
		    (unsigned long long)p.last_id);
		world_turn(&w);
		peer_do(&p, "{'type':'direct','to':'bob','content':'psst'}");
		world_turn(&w);
		world_pass(&w, 500);
		log_sweep(w.log, w.now_ms);
	}
	peer_close(&p, false);
	(void)snprintf(path, sizeof(path), "%s/log", w.store->folder);
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db, check, -1, &q, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(q), SQLITE_ROW);
	ck_assert_int_eq(sqlite3_column_int(q, 0), 0);
	(void)sqlite3_finalize(q);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	world_done(&w);
}
END_TEST

START_TEST(metrics)
{
	static const char *const lines[] = {"\nbelfry_storage_commits_total ",
	    "\nbelfry_storage_commits_failed_total 0\n", "\nbelfry_storage_written_total 2\n",
	    "\nbelfry_storage_commit_seconds_count 2\n", "\nbelfry_storage_queue 0\n",
	    "\nbelfry_storage_reads_waiting 0\n", "\nbelfry_storage_disk_reads_total 1\n",
	    "\nbelfry_storage_read_seconds_count 1\n", "\nbelfry_storage_cache_messages 0\n",
	    "\nbelfry_storage_cache_bytes 0\n", "\nbelfry_storage_cache_hits_total 0\n",
	    "\nbelfry_storage_database_bytes ", "\nbelfry_storage_wal_bytes "};
	struct buf out = BUF_INIT(65536);
	struct world w;

	ck_assert(world_init(&w, &(struct world_options){.cache = 1}));
	SAY("a", "1");
	SAY("a", "2");
	ck_assert_uint_eq(count_all(&w, "a", "#2 2"), 2);
	only_store(&w)->ops->metrics(only_store(&w), &out);
	(void)buf_add_char(&out, '\0');
	ck_assert(!out.failed);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		ck_assert_msg(strstr(out.p, lines[i]) != NULL, "%s in %s", lines[i], out.p);
	buf_done(&out);
	world_done(&w);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
	    warm, partly_warm, gone, overtaken, overtakes, migrated, counted, metrics, NULL};

	(void)setenv("BELFRY_TEST_STORE", "sqlite", 1);
	return run_tests("sqlite_start", tests);
}
