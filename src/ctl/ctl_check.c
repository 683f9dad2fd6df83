#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "core/facts.h"
#include "core/topic.h"
#include "ctl/ctl.h"
#include "ctl/ctl_storage.h"
#include "proto/json.h"
#include "store/sqlite_private.h"

/*
 * Damage in the log's database: of the file, as SQLite sees it, then of what the store believes at its
 * start without looking: what each topic's row says that it has, and what can be read of every row.
 */

#define FINDINGS_MAX 20 /* of one kind that are told */
#define PROGRESS     10000000
#define ID_WRAPS     10000000000000000u /* an id has 16 digits in the JSON */

static const char help[] =
    "usage: belfryctl check [OPTION]... [FILE]\n"
    "\n"
    "Looks for damage in the log's database, or in FILE, a backup. Exit code 65: there is some.\n"
    "\n"
    "  -c, --config FILE    the daemon's configuration: says where the database is\n"
    "      --json           print what was found as JSON\n";

enum {
	CONFIG,
	JSON
};
static const struct ctl_option options[] = {
    [CONFIG] = {"config", 'c', true}, [JSON] = {"json", 0, false}};

struct checking {
	const char *path;
	bool is_json;
	struct db db;
	struct buf out; /* the findings, as JSON */
	size_t n;
	unsigned steps;
};

/* --- findings --- */

/* Bytes of a damaged row can be anything. */
static struct slice
sound_text(struct slice s)
{
	return utf8_is_valid(s) ? s : SLICE("(not a text)");
}

/* topic absent: it is about none. */
static void
find(struct checking *c, const char *what, struct slice topic, struct slice text)
{
	text = sound_text(text);
	c->n++;
	if (!c->is_json) {
		(void)fprintf(stderr, "belfryctl: %s: ", c->path);
		if (topic.p != NULL) {
			ctl_print_text(stderr, sound_text(topic));
			(void)fputs(": ", stderr);
		}
		ctl_print_text(stderr, text);
		(void)fputc('\n', stderr);
		return;
	}
	(void)buf_add_str(&c->out, c->n == 1 ? "{" : ",{"); /* failures stick */
	(void)json_add_member_string(&c->out, "check", slice_str(what));
	if (topic.p != NULL)
		(void)json_add_member_string(&c->out, "topic", sound_text(topic));
	(void)json_add_member_string(&c->out, "text", text);
	(void)buf_add_char(&c->out, '}');
}

static void
find_failure(struct checking *c)
{
	find(c, "file", SLICE_NONE, slice_str(sqlite3_errmsg(c->db.handle)));
}

/* --- what SQL can ask --- */

/* Ids that were given: no other id can be higher. */
#define HIGHEST                                                                                    \
	"(SELECT max(n) FROM (SELECT value AS n FROM meta WHERE name IN ('last', 'folded',"        \
	" 'begin') UNION ALL SELECT max(last) FROM topics UNION ALL SELECT max(trimmed)"           \
	" FROM topics UNION ALL SELECT max(id) FROM messages))"
#define OF_META "(SELECT max(value) FROM meta WHERE name IN ('last', 'folded'))"

/*
 * Each row is a finding: its name, a topic or NULL, words. What a topic's row may say less exactly: its
 * first message can have been a record that another made void, and its next end that of one that went.
 */
static const char *const questions[] = {
    "WITH has AS (SELECT tid AS t, id, target, ends FROM messages UNION ALL SELECT also, id, target, 0"
    " FROM messages WHERE also IS NOT NULL), sums AS (SELECT t, count(*) - count(target) AS n,"
    " count(target) AS c, min(id) AS a, max(id) AS z, min(nullif(ends, 0)) AS e FROM has GROUP BY t),"
    " both AS MATERIALIZED (SELECT * FROM topics LEFT JOIN sums ON t = tid)"
    " SELECT 'topic.messages', name, printf('its row says that it has %d messages and %d changes of"
    " messages, but there are %d and %d', messages, changes, coalesce(n, 0), coalesce(c, 0))"
    " FROM both WHERE messages <> coalesce(n, 0) OR changes <> coalesce(c, 0)"
    " UNION ALL SELECT 'topic.first', name, printf('its row says that it begins with message %d, but"
    " there is message %d', first, a) FROM both WHERE a IS NOT NULL AND (first = 0 OR first > a)"
    " UNION ALL SELECT 'topic.last', name, printf('its row says that its last message is %d, but there"
    " is message %d', last, z) FROM both WHERE last < z"
    " UNION ALL SELECT 'topic.ends', name, printf('its row says that no message ends before %d ms, but"
    " one ends at %d ms', ends, e) FROM both WHERE e IS NOT NULL AND (ends = 0 OR ends > e)",
    "SELECT 'topic.floor', name, printf('it is said to have been trimmed up to %d, but no such id was"
    " given', trimmed) FROM topics WHERE trimmed > max(last, " OF_META ")",
    "SELECT 'topic.messages', NULL, printf('%d messages are of no topic, the first is %d', count(*),"
    " min(id)) FROM messages WHERE tid NOT IN (SELECT tid FROM topics) HAVING count(*) > 0",
    "SELECT 'topic.messages', NULL, printf('%d messages stand under a second topic that is not there,"
    " the first is %d', count(*), min(id)) FROM messages WHERE also IS NOT NULL"
    " AND also NOT IN (SELECT tid FROM topics) HAVING count(*) > 0",
    "SELECT 'log.begin', NULL, printf('the log is said to begin after %d, but there is message %d',"
    " value, (SELECT min(id) FROM messages)) FROM meta WHERE name = 'begin'"
    " AND value > (SELECT min(id) FROM messages)",
    "SELECT 'log.begin', NULL, printf('the log''s ''%s'' is missing', name) FROM (SELECT 'begin' AS name"
    " UNION ALL SELECT 'last') WHERE name NOT IN (SELECT name FROM meta)",
    "SELECT 'key.id', NULL, printf('a key stands for message %d, but no such id was given', id)"
    " FROM keys WHERE id > " HIGHEST,
    "SELECT 'key.id', topics.name, printf('a key stands for message %d, which has none', m.id) FROM keys k"
    " JOIN messages m ON m.id = k.id JOIN topics USING (tid) WHERE m.key IS NULL AND m.flags & 4 = 0",
    "SELECT 'fact', scope, printf('a fact about %s cannot be understood', CAST(subject AS TEXT))"
    " FROM facts WHERE kind NOT BETWEEN ?1 AND ?2 OR length(scope) > ?3 OR length(subject) > ?4",
    "SELECT 'fact.read', scope, printf('%s is said to have read up to %d, but no such id was given',"
    " CAST(subject AS TEXT), number) FROM facts WHERE kind = ?5 AND number > " HIGHEST,
};

static void
bind_limits(sqlite3_stmt *s)
{
	static const int limits[] = {
	    FACT_BAN, FACT_KINDS - 1, FACT_SCOPE_MAX, FACT_SUBJECT_MAX, FACT_READ};

	for (int i = 0; i < sqlite3_bind_parameter_count(s); i++)
		(void)sqlite3_bind_int(s, i + 1, limits[i]);
}

static void
ask(struct checking *c, const char *sql)
{
	sqlite3_stmt *s = NULL;
	unsigned n = 0;
	int r = sqlite3_prepare_v2(c->db.handle, sql, -1, &s, NULL);

	if (r == SQLITE_OK)
		bind_limits(s);
	while (r == SQLITE_OK || r == SQLITE_ROW) {
		r = sqlite3_step(s);
		if (r != SQLITE_ROW)
			break;
		if (n++ < FINDINGS_MAX)
			find(c, (const char *)sqlite3_column_text(s, 0), db_column(s, 1),
			    db_column(s, 2));
	}
	if (r != SQLITE_DONE)
		find_failure(c);
	if (n > FINDINGS_MAX)
		find(c, "more", SLICE_NONE, SLICE("… and more of this kind"));
	(void)sqlite3_finalize(s);
}

/* --- what has to be read --- */

static bool
has_its_id(const struct message_record *r)
{
	uint64_t id = 0;

	if (r->id_at == 0)
		return true;
	return slice_to_u64(slice_of(r->json.p + r->id_at, MESSAGE_ID_DIGITS), &id) == 0 &&
	       id == r->id % ID_WRAPS;
}

/* Rows of DB_MESSAGE. */
static void
read_rows(struct checking *c, enum db_query query, const char *what, bool has_id)
{
	sqlite3_stmt *rows = db_stmt(&c->db, query);
	unsigned n = 0;
	int r = -1;

	if (rows != NULL && sqlite3_bind_parameter_count(rows) > 0) {
		db_bind_u64(rows, 2, 0);
		db_bind_u64(rows, 3, INT64_MAX);
	}
	while (n <= FINDINGS_MAX && rows != NULL && (r = db_step(&c->db, rows)) > 0) {
		struct message_record record;
		char text[128];
		bool is_sound;

		sqlite_row(rows, &record);
		is_sound = message_record_is_sound(&record);
		if (is_sound && (!has_id || has_its_id(&record)))
			continue;
		(void)snprintf(text, sizeof(text), "%s %llu %s", what,
		    (unsigned long long)record.id,
		    is_sound ? "says another id in its text" : "cannot be one");
		find(c, "message", record.topic, slice_str(text));
		n++;
	}
	if (rows != NULL)
		(void)sqlite3_reset(rows);
	if (r < 0)
		find_failure(c);
}

static void
read_names(struct checking *c)
{
	sqlite3_stmt *rows = db_stmt(&c->db, DB_TOPICS);
	int r = -1;

	while (rows != NULL && (r = db_step(&c->db, rows)) > 0) {
		const char *why = topic_error(db_column(rows, 1));

		if (why != NULL)
			find(c, "topic.name", db_column(rows, 1), slice_str(why));
	}
	if (r < 0)
		find_failure(c);
}

/* --- all of it --- */

static int
on_progress(void *arg)
{
	struct checking *c = arg;

	if (isatty(STDERR_FILENO))
		(void)fprintf(stderr, "\rchecking %c", "|/-\\"[c->steps++ % 4]);
	return 0;
}

static int
number(struct checking *c, const char *sql)
{
	sqlite3_stmt *s = NULL;
	int v = -1;

	if (sqlite3_prepare_v2(c->db.handle, sql, -1, &s, NULL) == SQLITE_OK &&
	    sqlite3_step(s) == SQLITE_ROW)
		v = sqlite3_column_int(s, 0);
	(void)sqlite3_finalize(s);
	return v;
}

/* Each row that is not "ok" is a finding. */
static void
check_file(struct checking *c)
{
	ask(c, "SELECT 'file', NULL, integrity_check FROM pragma_integrity_check(20)"
	       " WHERE integrity_check <> 'ok'");
}

static void
check_contents(struct checking *c)
{
	int version = number(c, "PRAGMA user_version");

	if (number(c, "PRAGMA application_id") != DB_APPLICATION_ID) {
		find(c, "file", SLICE_NONE, SLICE("it is a database, but not one of belfryd"));
		return;
	}
	if (version != DB_VERSION) {
		/* belfryd brings an older one up at its start, and counts then */
		if (version > DB_VERSION)
			find(c, "file", SLICE_NONE,
			    SLICE("it was made by a later version of belfryd"));
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(questions); i++)
		ask(c, questions[i]);
	read_names(c);
	read_rows(c, DB_SCAN_UP, "message", true);
	read_rows(c, DB_LATER, "scheduled message", false);
}

static int
report(struct checking *c)
{
	struct buf out = BUF_INIT(SIZE_MAX);
	int code = c->n == 0 ? EX_OK : EX_DATAERR;

	if (!c->is_json) {
		if (c->n == 0)
			(void)printf("%s is sound\n", c->path);
		return code;
	}
	(void)buf_add_char(&out, '{'); /* failures stick */
	(void)json_add_member_bool(&out, "sound", c->n == 0);
	(void)json_add_member_string(&out, "path", slice_str(c->path));
	(void)json_add_key(&out, "findings");
	(void)buf_add_char(&out, '[');
	(void)buf_add(&out, c->out.p, c->out.n);
	(void)buf_add_str(&out, "]}");
	out.failed = out.failed || c->out.failed;
	return ctl_put_line(&out, code);
}

static int
check(const char *path, bool is_json)
{
	struct checking c = {.path = path, .is_json = is_json, .out = BUF_INIT(SIZE_MAX)};
	int code = ctl_open_database(path, &c.db.handle);

	if (code == EX_OK) {
		sqlite3_progress_handler(c.db.handle, PROGRESS, on_progress, &c);
		check_file(&c);
		if (c.n == 0)
			check_contents(&c);
		if (c.steps > 0)
			(void)fputs("\r           \r", stderr);
		code = report(&c);
	}
	db_done(&c.db);
	buf_done(&c.out);
	return code;
}

int
ctl_check(int argc, char **argv)
{
	struct ctl_args args;
	struct config *config = NULL;
	const char *file = NULL;
	const char *path = NULL;
	const char *value = NULL;
	bool is_json = false;
	int code = EX_OK;

	ctl_args_init(&args, argc, argv, help);
	for (;;) {
		switch (ctl_args_next(&args, options, ARRAY_LEN(options), &value)) {
		case CONFIG:
			file = value;
			continue;
		case JSON:
			is_json = true;
			continue;
		case CTL_OPERAND:
			if (path != NULL)
				return ctl_usage(&args, "'%s' is not expected", value);
			path = value;
			continue;
		case CTL_END:
			break;
		case CTL_HELP:
			return EX_OK;
		default:
			return EX_USAGE;
		}
		break;
	}
	if (path == NULL)
		code = ctl_find_database(file, &config);
	if (code == EX_OK)
		code = check(path == NULL ? config->storage.path : path, is_json);
	config_unref(config);
	return code;
}
