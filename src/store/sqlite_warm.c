#include "base/clock.h"
#include "store/sqlite_private.h"

/*
 * After a start the newest part of the log comes back into memory, so that everybody who resumes
 * then is answered from there: what there is time for before anybody is let in, the rest beside the
 * traffic. It goes from the newest down, until storage.cache is full or something was pushed out.
 */

#define LEAST_SHARE 3 /* of the time is left for it, whatever the start did before */

/* Messages as they are on the disk, from the newest down. */
struct page {
	struct message *messages[SQLITE_STEP_WARM];
	unsigned n;
	uint64_t upto; /* the newest could be this one */
	uint64_t n_rewritten;
	bool is_end; /* there are none below */
	bool is_bad; /* what is below cannot be read */
};

static void
take_row(struct page *p, sqlite3_stmt *row)
{
	struct message_record record;
	struct message *m;

	sqlite_row(row, &record);
	m = message_from_record(&record);
	if (m == NULL)
		p->is_bad = true; /* a read that comes to it says so */
	else
		p->messages[p->n++] = m;
}

static void
fetch(struct db *db, struct page *p)
{
	sqlite3_stmt *rows = db_stmt(db, DB_SCAN_DOWN);
	int state = -1;

	if (rows != NULL) {
		db_bind_u64(rows, 2, 0);
		db_bind_u64(rows, 3, p->upto);
		while (p->n < SQLITE_STEP_WARM && !p->is_bad && (state = db_step(db, rows)) > 0)
			take_row(p, rows);
		(void)sqlite3_reset(rows); /* tells of the last failure once more */
	}
	p->is_bad = p->is_bad || state < 0;
	p->is_end = state == 0;
}

/* It went while it was read. (How far a topic was trimmed does not tell: after an unclean end it is all.) */
static bool
is_gone(const struct log_topic *t, const struct message *m)
{
	return t == NULL || t->stored == NULL || t->first_id == 0 || m->id < t->first_id ||
	       (m->expires_ms != 0 && m->expires_ms <= disk_of(t)->ended_ms);
}

/* How far down its topic is in memory with this one. */
static void
note_cold(const struct log_topic *t, const struct message *m)
{
	struct shelf *shelf = &disk_of(t)->shelf;

	shelf->cold_id = shelf_count(shelf) >= t->n_stored + t->n_changes ? 0 : m->id - 1;
}

/* Under one of its topics, of which it has not gone. 0; -ENOMEM. */
static int
put_under(struct sqlite_store *s, struct log_topic *t, struct message *m, bool is_first)
{
	int r = is_first ? shelves_push_below(&s->hot, &disk_of(t)->shelf, m)
			 : shelf_push_also_below(&disk_of(t)->shelf, m);

	if (r == 0)
		note_cold(t, m);
	return r;
}

/* One message; false when there is no room for it. */
static bool
put(struct sqlite_store *s, struct message *m)
{
	struct log_topic *topics[2];
	unsigned n = log_topics_of(s->store.log, m, topics);
	bool is_in = false;

	for (unsigned i = 0; i < n; i++) {
		if (is_gone(topics[i], m))
			continue;
		if (!is_in && shelves_bytes(&s->hot) + message_memory(m) > s->options.cache)
			return false;
		/* without memory for the second half: what is below is read from the disk */
		if (put_under(s, topics[i], m, !is_in) < 0)
			return false;
		is_in = true;
	}
	s->hot.cold_id = m->id - 1;
	return true;
}

/* True when more can follow. Under the log's lock. */
static bool
put_all(struct sqlite_store *s, const struct page *p)
{
	if (s->hot.cold_id != p->upto)
		return false; /* something was pushed out: it is full */
	if (s->n_rewritten != p->n_rewritten)
		return true; /* it is read again */
	for (unsigned i = 0; i < p->n; i++) {
		if (!put(s, p->messages[i]))
			return false;
	}
	if (p->is_end)
		s->hot.cold_id = 0;
	return !p->is_end && !p->is_bad;
}

bool
sqlite_warm_step(struct sqlite_store *s, struct db *db)
{
	struct log *l = s->store.log;
	struct page p = {.n = 0};
	bool more = false;

	log_lock(l);
	p.upto = s->hot.cold_id;
	p.n_rewritten = s->n_rewritten;
	log_unlock(l);
	if (p.upto == 0)
		return false;
	fetch(db, &p);
	log_lock(l);
	more = put_all(s, &p);
	log_unlock(l);
	for (unsigned i = 0; i < p.n; i++)
		message_unref(p.messages[i]);
	return more;
}

void
sqlite_warm(struct sqlite_store *s)
{
	uint64_t share = s->options.warm_us / LEAST_SHARE;
	uint64_t until = max_u64(s->opened_us + s->options.warm_us, clock_mono_us() + share);

	s->is_warming = true;
	while (s->is_warming && clock_mono_us() < until)
		s->is_warming = sqlite_warm_step(s, &s->db);
}
