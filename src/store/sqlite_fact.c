#include <errno.h>

#include "core/read_marker.h"
#include "store/sqlite_private.h"

/* The table of facts (core/facts.h): a row each. */

static void
note_end(struct sqlite_store *s, int64_t until_ms)
{
	if (until_ms != 0 && (s->fact_end_ms == 0 || until_ms < s->fact_end_ms))
		s->fact_end_ms = until_ms;
}

int
sqlite_write_fact(struct sqlite_store *s, const struct fact_write *w)
{
	struct db *db = &s->db;
	struct fact f;
	bool is_over = fact_write_get(w, &f);
	sqlite3_stmt *q = db_stmt(db, is_over ? DB_FACT_DROP : DB_FACT_PUT);

	if (q == NULL)
		return -1;
	db_bind_u64(q, 1, f.kind);
	db_bind_text(q, 2, f.scope.p == NULL ? SLICE("") : f.scope);
	db_bind_text(q, 3, f.subject);
	if (is_over)
		return db_run(db, q);
	note_end(s, f.until_ms);
	db_bind_u64(q, 4, f.number);
	(void)sqlite3_bind_int64(q, 5, f.since_ms);
	(void)sqlite3_bind_int64(q, 6, f.until_ms);
	db_bind_text(q, 7, f.by);
	db_bind_text(q, 8, f.text);
	return db_run(db, q);
}

int
sqlite_drop_facts(struct sqlite_store *s, int64_t now_ms)
{
	sqlite3_stmt *q = db_stmt(&s->db, DB_FACTS_DROP_ENDED);
	uint64_t end_ms = 0;

	if (s->fact_end_ms == 0 || s->fact_end_ms > now_ms)
		return 0;
	if (q == NULL)
		return -1;
	(void)sqlite3_bind_int64(q, 1, now_ms);
	if (db_run(&s->db, q) < 0 ||
	    db_u64(&s->db, db_stmt(&s->db, DB_FACTS_NEXT_END), &end_ms) < 0)
		return -1;
	s->fact_end_ms = (int64_t)end_ms;
	return 0;
}

int
sqlite_load_facts(struct sqlite_store *s)
{
	struct db *db = &s->db;
	sqlite3_stmt *rows = db_stmt(db, DB_FACTS);
	int state = 0;
	int r = 0;

	while (r == 0 && (state = db_step(db, rows)) > 0) {
		struct fact f = {.kind = (enum fact_kind)sqlite3_column_int(rows, 0),
		    .scope = db_column(rows, 1),
		    .subject = db_column(rows, 2),
		    .number = db_column_u64(rows, 3),
		    .since_ms = sqlite3_column_int64(rows, 4),
		    .until_ms = sqlite3_column_int64(rows, 5),
		    .by = db_column(rows, 6),
		    .text = db_column(rows, 7)};

		if (f.kind >= FACT_BAN && f.kind < FACT_KINDS && f.scope.n <= FACT_SCOPE_MAX &&
		    f.subject.n <= FACT_SUBJECT_MAX)
			r = f.kind == FACT_READ ? markers_load(s->store.log->markers, &f)
						: facts_load(s->store.log->facts, &f);
		note_end(s, f.until_ms);
	}
	(void)sqlite3_reset(rows);
	return state < 0 ? -EIO : r;
}
