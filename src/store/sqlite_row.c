#include "store/sqlite_private.h"

#define FLAG_DATA_TEXT 1
#define FLAG_EPHEMERAL 2
#define FLAG_DELETED   4

/*
 * Content mostly stands in the JSON as it is: then only where. It is the larger part of a row. Its
 * member is looked for and not the content, which is longer: should another of that name come first,
 * content has a column of its own.
 */
static bool
find_content(const struct message_record *r, size_t *at)
{
	struct slice mark =
	    r->kind == MESSAGE_CHAT ? SLICE("\"content\":\"") : SLICE("\"message\":\"");
	const char *p = NULL;

	if (r->content.n > 0)
		p = memmem(r->json.p, r->json.n, mark.p, mark.n);
	if (p == NULL)
		return false;
	*at = (size_t)(p - r->json.p) + mark.n;
	return slice_has_prefix(slice_skip(r->json, *at), r->content);
}

static int
flags_of(const struct message_record *r)
{
	return (r->is_data_text ? FLAG_DATA_TEXT : 0) | (r->is_logged ? 0 : FLAG_EPHEMERAL) |
	       (r->is_deleted ? FLAG_DELETED : 0) | (r->is_off ? SQLITE_FLAG_OFF : 0);
}

void
sqlite_row_place(const struct message_record *r, struct row_place *out)
{
	size_t content_at = 0;
	/* of a reaction it is in an index */
	bool is_in_json = r->kind != MESSAGE_REACTION && find_content(r, &content_at);

	out->flags = (unsigned)flags_of(r);
	out->content_at = is_in_json ? content_at : 0;
	out->content = is_in_json ? SLICE_NONE : r->content;
}

/* Columns 3 to 18. */
static void
bind_record(sqlite3_stmt *s, const struct message_record *r)
{
	struct row_place place;

	sqlite_row_place(r, &place);
	(void)sqlite3_bind_int(s, 3, r->kind);
	(void)sqlite3_bind_int(s, 4, (int)place.flags);
	(void)sqlite3_bind_int64(s, 5, r->time_ms);
	(void)sqlite3_bind_int64(s, 6, r->expires_ms);
	db_bind_u64(s, 7, r->origin);
	db_bind_u64(s, 8, r->id_at);
	db_bind_u64(s, 9, r->sse_at);
	db_bind_u64(s, 10, r->sse_n);
	db_bind_u64(s, 11, place.content_at);
	db_bind_u64(s, 12, r->content.n);
	db_bind_text(s, 13, r->json);
	db_bind_text(s, 14, place.content);
	db_bind_text(s, 15, r->event);
	db_bind_text(s, 16, r->name);
	db_bind_text(s, 17, r->user_id);
	db_bind_text(s, 18, r->key);
}

int
sqlite_set_message(struct db *db, const struct message *m)
{
	sqlite3_stmt *s = db_stmt(db, DB_MESSAGE_CHANGE);
	size_t content_at = 0;
	struct message_record r;
	bool is_in_json;

	if (s == NULL)
		return -1;
	message_to_record(m, &r);
	is_in_json = find_content(&r, &content_at);
	db_bind_u64(s, 1, r.id);
	(void)sqlite3_bind_int(s, 2, flags_of(&r));
	db_bind_u64(s, 3, r.id_at);
	db_bind_u64(s, 4, content_at);
	db_bind_u64(s, 5, r.content.n);
	db_bind_text(s, 6, r.json);
	db_bind_text(s, 7, is_in_json ? SLICE_NONE : r.content);
	db_bind_text(s, 8, r.key);
	return db_run(db, s);
}

int
sqlite_add_scheduled(struct db *db, const struct append_item *item)
{
	sqlite3_stmt *s = db_stmt(db, DB_LATER_ADD);
	struct message_record r;

	if (s == NULL)
		return -1;
	message_to_record(item->message, &r);
	db_bind_u64(s, 1, item->id);
	(void)sqlite3_bind_int64(s, 2, item->at_ms);
	bind_record(s, &r);
	db_bind_text(s, 19, r.topic);
	return db_run(db, s);
}

int
sqlite_drop_scheduled(struct db *db, uint64_t number)
{
	sqlite3_stmt *s = db_stmt(db, DB_LATER_DROP);

	if (s == NULL)
		return -1;
	db_bind_u64(s, 1, number);
	return db_run(db, s);
}

void
sqlite_row(sqlite3_stmt *row, struct message_record *out)
{
	struct slice json = db_column(row, 11);
	uint64_t content_at = db_column_u64(row, 9);
	uint64_t content_n = db_column_u64(row, 10);

	*out = (struct message_record){.id = db_column_u64(row, 0),
	    .kind = (uint8_t)db_column_u64(row, 1),
	    .is_logged = (db_column_u64(row, 2) & FLAG_EPHEMERAL) == 0,
	    .is_data_text = (db_column_u64(row, 2) & FLAG_DATA_TEXT) != 0,
	    .is_deleted = (db_column_u64(row, 2) & FLAG_DELETED) != 0,
	    .is_off = (db_column_u64(row, 2) & SQLITE_FLAG_OFF) != 0,
	    .time_ms = sqlite3_column_int64(row, 3),
	    .expires_ms = sqlite3_column_int64(row, 4),
	    .origin = db_column_u64(row, 5),
	    .id_at = (uint16_t)db_column_u64(row, 6),
	    .sse_at = (uint32_t)db_column_u64(row, 7),
	    .sse_n = (uint32_t)db_column_u64(row, 8),
	    .json = json,
	    .content = db_column(row, 12),
	    .event = db_column(row, 13),
	    .name = db_column(row, 14),
	    .user_id = db_column(row, 15),
	    .key = db_column(row, 16),
	    .topic = db_column(row, 17),
	    .target = db_column_u64(row, 18),
	    .also = db_column(row, 19)};
	if (out->content.p == NULL && content_n > 0 && content_at <= json.n &&
	    content_n <= json.n - content_at)
		out->content = slice_of(json.p + content_at, content_n);
}
