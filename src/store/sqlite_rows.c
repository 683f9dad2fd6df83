#include "store/sqlite_private.h"

/*
 * New messages go into their table many at a time, by one statement that takes them from a virtual
 * table of SQLite's: a statement for each would open its cursors, look for the end of each tree and
 * close everything again, as much work as the row itself. The writer's thread.
 */

/* Of DB_ROW. */
enum column {
	COLUMN_ID,
	COLUMN_TID,
	COLUMN_KIND,
	COLUMN_FLAGS,
	COLUMN_TIME,
	COLUMN_ENDS,
	COLUMN_ORIGIN,
	COLUMN_TARGET,
	COLUMN_ID_AT,
	COLUMN_SSE_AT,
	COLUMN_SSE_N,
	COLUMN_CONTENT_AT,
	COLUMN_CONTENT_N,
	COLUMN_JSON,
	COLUMN_CONTENT,
	COLUMN_EVENT,
	COLUMN_NAME,
	COLUMN_USER,
	COLUMN_KEY,
	COLUMN_ALSO,
};

struct rows_table {
	sqlite3_vtab base;
	struct rows *rows;
};

struct rows_cursor {
	sqlite3_vtab_cursor base;
	const struct rows *rows;
	unsigned at;
	struct message_record record; /* of the row at hand */
	struct row_place place;
};

static int
rows_connect(
    sqlite3 *db, void *ctx, int argc, const char *const *argv, sqlite3_vtab **out, char **error)
{
	struct rows_table *t = sqlite3_malloc(sizeof(*t));
	int r = sqlite3_declare_vtab(db, "CREATE TABLE x (" DB_ROW ")");

	(void)argc;
	(void)argv;
	(void)error;
	if (r != SQLITE_OK || t == NULL) {
		sqlite3_free(t);
		return r != SQLITE_OK ? r : SQLITE_NOMEM;
	}
	*t = (struct rows_table){.rows = ctx};
	*out = &t->base;
	return SQLITE_OK;
}

static int
rows_disconnect(sqlite3_vtab *table)
{
	sqlite3_free(table);
	return SQLITE_OK;
}

/* There is one way to read it: from the first to the last. */
static int
rows_plan(sqlite3_vtab *table, sqlite3_index_info *info)
{
	(void)table;
	info->estimatedRows = SQLITE_ROWS_MAX;
	return SQLITE_OK;
}

static int
rows_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out)
{
	struct rows_cursor *c = sqlite3_malloc(sizeof(*c));

	if (c == NULL)
		return SQLITE_NOMEM;
	*c = (struct rows_cursor){.rows = ((struct rows_table *)(void *)table)->rows};
	*out = &c->base;
	return SQLITE_OK;
}

static int
rows_close(sqlite3_vtab_cursor *cursor)
{
	sqlite3_free(cursor);
	return SQLITE_OK;
}

static struct rows_cursor *
cursor_of(sqlite3_vtab_cursor *cursor)
{
	return CONTAINER(cursor, struct rows_cursor, base);
}

static int
rows_end(sqlite3_vtab_cursor *cursor)
{
	return cursor_of(cursor)->at >= cursor_of(cursor)->rows->n;
}

static void
look_at(struct rows_cursor *c, unsigned at)
{
	c->at = at;
	if (at >= c->rows->n)
		return;
	message_to_record(c->rows->all[at].message, &c->record);
	sqlite_row_place(&c->record, &c->place);
}

static int
rows_first(sqlite3_vtab_cursor *cursor, int plan, const char *name, int argc, sqlite3_value **argv)
{
	(void)plan;
	(void)name;
	(void)argc;
	(void)argv;
	look_at(cursor_of(cursor), 0);
	return SQLITE_OK;
}

static int
rows_next(sqlite3_vtab_cursor *cursor)
{
	struct rows_cursor *c = cursor_of(cursor);

	look_at(c, c->at + 1);
	return SQLITE_OK;
}

static int
rows_number(sqlite3_vtab_cursor *cursor, sqlite3_int64 *out)
{
	*out = cursor_of(cursor)->at;
	return SQLITE_OK;
}

/* Absent: NULL. What it points to stays until the statement has ended. */
static void
give_text(sqlite3_context *out, struct slice text)
{
	if (text.p != NULL)
		sqlite3_result_blob64(out, text.p, text.n, SQLITE_STATIC);
}

/* 0: NULL. */
static void
give_reference(sqlite3_context *out, uint64_t id)
{
	if (id != 0)
		sqlite3_result_int64(out, (sqlite3_int64)id);
}

static void
give_number(const struct rows_cursor *c, sqlite3_context *out, int column)
{
	const struct message_record *r = &c->record;
	uint64_t v = 0;

	switch (column) {
	case COLUMN_ID:
		v = r->id;
		break;
	case COLUMN_TID:
		v = (uint64_t)c->rows->all[c->at].tid;
		break;
	case COLUMN_KIND:
		v = r->kind;
		break;
	case COLUMN_FLAGS:
		v = c->place.flags;
		break;
	case COLUMN_TIME:
		v = (uint64_t)r->time_ms;
		break;
	case COLUMN_ENDS:
		v = (uint64_t)r->expires_ms;
		break;
	case COLUMN_ORIGIN:
		v = r->origin;
		break;
	case COLUMN_ID_AT:
		v = r->id_at;
		break;
	case COLUMN_SSE_AT:
		v = r->sse_at;
		break;
	case COLUMN_SSE_N:
		v = r->sse_n;
		break;
	case COLUMN_CONTENT_AT:
		v = c->place.content_at;
		break;
	default:
		v = r->content.n;
		break;
	}
	sqlite3_result_int64(out, (sqlite3_int64)v);
}

static int
rows_column(sqlite3_vtab_cursor *cursor, sqlite3_context *out, int column)
{
	const struct rows_cursor *c = cursor_of(cursor);
	const struct message_record *r = &c->record;

	switch (column) {
	case COLUMN_TARGET:
		give_reference(out, r->target);
		break;
	case COLUMN_ALSO:
		give_reference(out, (uint64_t)c->rows->all[c->at].also);
		break;
	case COLUMN_JSON:
		give_text(out, r->json);
		break;
	case COLUMN_CONTENT:
		give_text(out, c->place.content);
		break;
	case COLUMN_EVENT:
		give_text(out, r->event);
		break;
	case COLUMN_NAME:
		give_text(out, r->name);
		break;
	case COLUMN_USER:
		give_text(out, r->user_id);
		break;
	case COLUMN_KEY:
		give_text(out, r->key);
		break;
	default:
		give_number(c, out, column);
		break;
	}
	return SQLITE_OK;
}

/* Without xCreate: it is there by its name, and in no schema. */
static const sqlite3_module module = {
    .xConnect = rows_connect,
    .xBestIndex = rows_plan,
    .xDisconnect = rows_disconnect,
    .xOpen = rows_open,
    .xClose = rows_close,
    .xFilter = rows_first,
    .xNext = rows_next,
    .xEof = rows_end,
    .xColumn = rows_column,
    .xRowid = rows_number,
};

int
sqlite_rows_open(struct sqlite_store *s)
{
	s->rows.n = 0;
	return sqlite3_create_module(s->db.handle, "new_messages", &module, &s->rows) == SQLITE_OK
		   ? 0
		   : -1;
}

int
sqlite_rows_write(struct sqlite_store *s)
{
	int r;

	if (s->rows.n == 0)
		return 0;
	r = db_run(&s->db, db_stmt(&s->db, DB_MESSAGES_ADD));
	s->rows.n = 0;
	return r;
}

int
sqlite_rows_add(struct sqlite_store *s, const struct message *m, int64_t tid, int64_t also)
{
	struct rows *rows = &s->rows;

	rows->all[rows->n++] = (struct row){m, tid, also};
	return rows->n < SQLITE_ROWS_MAX ? 0 : sqlite_rows_write(s);
}
