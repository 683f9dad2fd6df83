#include <errno.h>

#include "base/mem.h"
#include "core/config.h"
#include "store/sqlite_private.h"

/* What the log has to know at its start: its beginning and end, and each topic. No thread runs. */

struct load {
	struct sqlite_store *s;
	struct log *l;
	uint64_t last;
};

static void
take_counts(struct load *at, struct log_topic *t, sqlite3_stmt *row)
{
	struct disk_topic *d = disk_of(t);
	uint64_t last = db_column_u64(row, 7);

	t->n_stored = (uint32_t)min_u64(db_column_u64(row, 4), UINT32_MAX);
	t->n_changes = (uint32_t)min_u64(db_column_u64(row, 5), UINT32_MAX);
	at->s->n_messages += t->n_stored;
	at->last = max_u64(at->last, max_u64(last, t->trimmed_id));
	if (t->n_stored + t->n_changes == 0)
		return;
	t->first_id = db_column_u64(row, 6);
	t->last_id = last;
	d->next_end_ms = sqlite3_column_int64(row, 8);
	d->shelf.cold_id = last;
	at->s->hot.cold_id = max_u64(at->s->hot.cold_id, last);
}

static int
add_topic(struct load *at, sqlite3_stmt *row)
{
	struct slice name = db_column(row, 1);
	const struct topic_rule *rule = config_rule(at->s->config, name);
	struct disk_topic *d = mem_calloc(1, sizeof(*d));
	int r = -ENOMEM;
	struct log_topic *t = d == NULL ? NULL : log_topic_get(at->l, name, &r);

	if (t == NULL) {
		mem_free(d);
		return r;
	}
	d->topic = t;
	d->tid = sqlite3_column_int64(row, 0);
	t->stored = d;
	t->trimmed_id = db_column_u64(row, 2);
	t->used_ms = sqlite3_column_int64(row, 3);
	t->keep_count = rule->history;
	t->keep_ms = rule->keep_ms;
	at->l->trimmed = max_u64(at->l->trimmed, t->trimmed_id);
	take_counts(at, t, row);
	return 0;
}

static int
load_topics(struct load *at)
{
	struct db *db = &at->s->db;
	sqlite3_stmt *rows = db_stmt(db, DB_TOPICS);
	int state = 0;
	int r = 0;

	while (r == 0 && (state = db_step(db, rows)) > 0)
		r = add_topic(at, rows);
	(void)sqlite3_reset(rows); /* it may not stand in its rows when they are written */
	return state < 0 ? -EIO : r;
}

/* What is put off. Its rule is that of today. */
static int
load_scheduled(struct load *at)
{
	struct db *db = &at->s->db;
	sqlite3_stmt *rows = db_stmt(db, DB_LATER);
	int state = 0;
	int r = 0;

	while (r == 0 && (state = db_step(db, rows)) > 0) {
		struct message_record record;
		const struct topic_rule *rule;
		struct message *m;

		sqlite_row(rows, &record);
		m = message_from_record(&record);
		if (m == NULL) {
			r = -ENOMEM;
			break;
		}
		m->id = 0;
		rule = config_rule(at->s->config, m->topic);
		m->keep_count = rule->history;
		m->keep_ms = rule->keep_ms;
		r = schedule_load(at->l, record.id, sqlite3_column_int64(rows, 20), m);
	}
	(void)sqlite3_reset(rows);
	return state < 0 ? -EIO : r;
}

/* The rest was lost, how much nobody knows: who resumes is told so. */
static int
mark_gap(struct load *at)
{
	struct log_topic *t;
	size_t i = 0;
	sqlite3_stmt *s = db_stmt(&at->s->db, DB_TOPICS_RAISE);

	at->last = max_u64(at->last + 1, at->l->begin); /* which is now, in a log just made */
	at->s->folded = at->last;
	while ((t = map_next(&at->l->topics, &i)) != NULL)
		t->trimmed_id = at->last;
	at->l->trimmed = at->last;
	if (s == NULL)
		return -1;
	db_bind_u64(s, 1, at->last);
	if (at->s->is_copied)
		sqlite_tell(at->s, true, "storage.restored",
		    "the database is a copy that belfryctl backup made: what was published since is not "
		    "in it, and whoever resumes is told of a gap");
	else
		sqlite_tell(at->s, true, "storage.unclean",
		    "the last run ended without closing the database, and storage.sync is not full: its "
		    "last messages may be lost, and whoever resumes is told of a gap");
	return db_run(&at->s->db, s);
}

/* From now on until it is closed the database counts as not closed. */
static int
write_start(struct load *at, uint64_t begin)
{
	struct sqlite_store *s = at->s;

	if (db_run(&s->db, db_stmt(&s->db, DB_BEGIN_WRITE)) < 0 ||
	    (s->has_gap && mark_gap(at) < 0) || db_meta_set(&s->db, "begin", begin) < 0 ||
	    db_meta_set(&s->db, "last", at->last) < 0 ||
	    db_meta_set(&s->db, "folded", s->folded) < 0 ||
	    db_meta_set(&s->db, "clean", DB_OPEN) < 0 ||
	    db_meta_set(&s->db, "sync", (uint64_t)s->options.sync) < 0 ||
	    db_run(&s->db, db_stmt(&s->db, DB_COMMIT)) < 0)
		return -EIO;
	return 0;
}

/*
 * It is on the disk before anything else is, whatever storage.sync says: were it lost together with what
 * came after it, the next start would take the end before for the last one, and tell nobody.
 */
static int
write_start_safely(struct load *at, uint64_t begin)
{
	struct sqlite_store *s = at->s;
	int r = db_set_sync(&s->db, SYNC_FULL) < 0 ? -EIO : write_start(at, begin);
	int code = SQLITE_OK;

	/* nothing more will be flushed then: the write-ahead log that is left may be an older one */
	if (r == 0 && s->options.sync == SYNC_OFF)
		code = sqlite3_wal_checkpoint_v2(
		    s->db.handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	if ((code & 0xff) != SQLITE_OK && (code & 0xff) != SQLITE_BUSY)
		r = -EIO;
	if (r == 0 && db_set_sync(&s->db, s->options.sync) < 0)
		r = -EIO;
	return r;
}

int
sqlite_load(struct sqlite_store *s)
{
	struct log *l = s->store.log;
	struct load at = {.s = s, .l = l};
	uint32_t max_topics = l->max_topics;
	uint64_t begin = l->begin;
	int r;

	if (db_meta_get(&s->db, "begin", &begin) < 0 || db_meta_get(&s->db, "last", &at.last) < 0 ||
	    db_meta_get(&s->db, "folded", &s->folded) < 0 ||
	    db_meta_get(&s->db, "indexed", &s->indexed) < 0 || sqlite_wipe_load(s) < 0)
		return -EIO;
	l->max_topics = 0; /* what is there is there */
	r = load_topics(&at);
	if (r == 0)
		r = load_scheduled(&at);
	if (r == 0)
		r = sqlite_load_facts(s);
	l->max_topics = max_topics;
	if (r < 0)
		return r;
	at.last = max_u64(at.last, max_u64(begin, s->folded));
	r = write_start_safely(&at, begin);
	if (r < 0) {
		if (db_is_within(&s->db) && db_exec(&s->db, "ROLLBACK") < 0)
			r = -EIO;
		return r;
	}
	l->begin = begin;
	l->last = at.last;
	l->folded = s->folded;
	l->trimmed = max_u64(l->trimmed, s->folded);
	s->last = at.last;
	s->indexed_done = s->indexed;
	return 0;
}
