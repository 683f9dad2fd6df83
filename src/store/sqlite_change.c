#include <errno.h>

#include "base/mem.h"
#include "core/change.h"
#include "store/sqlite_private.h"

/*
 * A message changes: its row gets its new state, and the record of it comes to the log, in one
 * transaction. Records that the new one makes void go. The writer's thread.
 */

static void
changed_free(struct changed *x)
{
	if (x == NULL)
		return;
	message_unref(x->now);
	mem_free(x->gone);
	mem_free(x);
}

void
sqlite_changed_apply(struct sqlite_store *s, struct batch *b, bool is_committed)
{
	struct changed *x;

	while ((x = TAILQ_FIRST(&b->changed)) != NULL) {
		TAILQ_REMOVE(&b->changed, x, link);
		if (is_committed) {
			s->n_rewritten++;
			shelves_replace(&s->hot, s->store.log, x->now);
			for (size_t i = 0; i < x->n_gone; i++)
				shelves_drop(&s->hot, s->store.log, x->gone[i]);
		}
		changed_free(x);
	}
}

/* The target as it is. 1 and *out (one reference); 0 when it is none that can be changed; -1. */
static int
read_target(struct db *db, const struct append *a, struct message **out)
{
	const struct message *record = a->items[0].message;
	sqlite3_stmt *q = db_stmt(db, DB_MESSAGE_GET);
	struct message_record row;
	struct message *m = NULL;
	int r;

	if (q == NULL)
		return -1;
	db_bind_u64(q, 1, record->target);
	r = db_step(db, q);
	if (r > 0) {
		sqlite_row(q, &row);
		if (row.expires_ms == 0 || row.expires_ms > a->now_ms)
			m = message_from_record(&row);
		(void)sqlite3_reset(q);
	}
	if (m != NULL && !change_is_for(m)) {
		message_unref(m);
		m = NULL;
	}
	*out = m;
	return r < 0 ? -1 : m != NULL;
}

/* The one that says what this user does with this emoji: 1, *id and *is_off; 0; -1. */
static int
read_reaction(struct db *db, const struct message *record, uint64_t *id, bool *is_off)
{
	sqlite3_stmt *q = db_stmt(db, DB_REACTED);
	int r;

	if (q == NULL)
		return -1;
	db_bind_u64(q, 1, record->target);
	db_bind_text(q, 2, record->user_id);
	db_bind_text(q, 3, record->content);
	r = db_step(db, q);
	if (r > 0) {
		*id = db_column_u64(q, 0);
		*is_off = (db_column_u64(q, 1) & SQLITE_FLAG_OFF) != 0;
		(void)sqlite3_reset(q);
	}
	return r;
}

static int
add_gone(struct changed *x, uint64_t id)
{
	uint64_t *more;

	if ((x->n_gone & (x->n_gone - 1)) == 0) { /* a power of two: it is full */
		more = mem_realloc(x->gone, (x->n_gone == 0 ? 1 : 2 * x->n_gone) * sizeof(*more));
		if (more == NULL)
			return -1;
		x->gone = more;
	}
	x->gone[x->n_gone++] = id;
	return 0;
}

/* Those that are void after it: of an edit the one before, of a deletion all. 0 or -1. */
static int
collect_gone(struct db *db, const struct message *record, struct changed *x)
{
	bool is_edit = record->kind == MESSAGE_EDITED;
	sqlite3_stmt *q = db_stmt(db, is_edit ? DB_EDITS_OF : DB_CHANGES_OF);
	int r;

	if (q == NULL)
		return -1;
	db_bind_u64(q, 1, record->target);
	if (is_edit)
		(void)sqlite3_bind_int(q, 2, MESSAGE_EDITED);
	while ((r = db_step(db, q)) > 0) {
		if (add_gone(x, db_column_u64(q, 0)) < 0) {
			(void)sqlite3_reset(q);
			return -1;
		}
	}
	return r;
}

/* The row that went was one of this topic, if there is one. */
static void
count_gone(struct change *c, sqlite3_stmt *row)
{
	if (c != NULL && c->tid != 0 &&
	    (c->tid == sqlite3_column_int64(row, 0) || c->tid == sqlite3_column_int64(row, 1)))
		c->n_gone_changes++;
}

static int
drop_gone(struct db *db, const struct changed *x, struct change *c, struct change *also)
{
	int r;

	for (size_t i = 0; i < x->n_gone; i++) {
		sqlite3_stmt *q = db_stmt(db, DB_MESSAGE_DROP);

		if (q == NULL)
			return -1;
		db_bind_u64(q, 1, x->gone[i]);
		while ((r = db_step(db, q)) > 0) {
			count_gone(c, q);
			count_gone(also, q);
		}
		if (r < 0)
			return -1;
	}
	return 0;
}

static int
unindex(struct db *db, uint64_t id)
{
	sqlite3_stmt *q = db_stmt(db, DB_UNINDEX_ONE);

	if (q == NULL)
		return -1;
	db_bind_u64(q, 1, id);
	return db_run(db, q);
}

/* The target's row, and what the search index has of it. 0 or -1. */
static int
write_target(struct sqlite_store *s, const struct message *record, const struct message *now)
{
	bool is_indexed = now->id <= s->indexed &&
			  (record->kind == MESSAGE_DELETED ||
			      (record->kind == MESSAGE_EDITED && record->content.p != NULL));

	if (record->kind != MESSAGE_REACTION && sqlite_be_secure(s) < 0)
		return -1;
	if ((is_indexed && unindex(&s->db, now->id) < 0) || sqlite_set_message(&s->db, now) < 0)
		return -1;
	if (is_indexed && sqlite_index_one(&s->db, now->id, now->content) < 0)
		return -1;
	if (record->kind == MESSAGE_REACTION)
		return 0;
	/* merging the whole index for each edit would cost more than all else that is written */
	return sqlite_wipe_later(s, is_indexed && record->kind == MESSAGE_DELETED);
}

/* 1: it is news, and x has what it makes void; 0: it is none, or the append has failed; -1. */
static int
look(struct db *db, struct append *a, struct changed *x)
{
	struct append_item *item = &a->items[0];
	bool is_off = true;
	uint64_t id = 0;
	int r;

	if (item->message->kind != MESSAGE_REACTION)
		return collect_gone(db, item->message, x) < 0 ? -1 : 1;
	r = read_reaction(db, item->message, &id, &is_off);
	if (r < 0)
		return -1;
	if (is_off == item->message->is_off) {
		item->duplicate = true;
		item->id = id;
		return 0;
	}
	return r == 0 || add_gone(x, id) == 0 ? 1 : -1;
}

static int
write_change(struct sqlite_store *s, struct batch *b, struct append *a, struct log_topic *t,
    struct changed *x)
{
	struct log_topic *also = sqlite_also(s, a->items[0].message);

	if (drop_gone(&s->db, x, sqlite_touch(b, t), also == NULL ? NULL : sqlite_touch(b, also)) <
		0 ||
	    write_target(s, a->items[0].message, x->now) < 0)
		return -1;
	return sqlite_write_message(s, b, a, &a->items[0], t);
}

int
sqlite_change(struct sqlite_store *s, struct batch *b, struct append *a, struct log_topic *t)
{
	struct changed *x = mem_calloc(1, sizeof(*x));
	struct message *target = NULL;
	int r = x == NULL ? -1 : sqlite_rows_write(s);

	if (r == 0)
		r = read_target(&s->db, a, &target);
	if (r == 0)
		a->status = -ENOENT;
	if (r > 0)
		r = look(&s->db, a, x);
	if (r > 0) {
		a->status = change_apply(target, a->items[0].message, &x->now);
		r = a->status < 0 ? 0 : 1;
	}
	message_unref(target);
	if (r > 0)
		r = write_change(s, b, a, t, x) < 0 ? -1 : 1;
	if (r > 0)
		TAILQ_INSERT_TAIL(&b->changed, x, link);
	else
		changed_free(x);
	return r < 0 ? -1 : 0;
}
