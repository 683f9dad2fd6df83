#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/search.h"
#include "core/topic.h"
#include "store/sqlite_private.h"

/*
 * Reading what is not in memory, on threads and connections of their own. A read sees one snapshot:
 * what it finds and how far retention had come then are of the same moment, so nothing can go
 * unnoticed between the two.
 */

#define PROGRESS   1000  /* SQLite's instructions between two looks at the clock */
#define TRIES      6     /* of a read that fails */
#define FIRST_WAIT 20000 /* microseconds before the second; then twice as many each */

/* Messages in the order of their ids, of one query or merged from one for each topic. */
struct scan {
	struct db *db;
	unsigned n;
	bool is_down;
	sqlite3_stmt *stmts[SQLITE_SCAN_STMTS];
	uint64_t ids[SQLITE_SCAN_STMTS]; /* of the row under each; 0: at its end */
	unsigned at;                     /* the one whose row was given out last */
	bool has_given;
	uint64_t given; /* its id: the same message can stand in two of them */
	unsigned n_looked;
};

/* The topics that a read is about, when they are few. */
struct plan {
	unsigned n;
	bool is_many;    /* more: look at everything */
	bool has_shared; /* there are users' topics among them: those have two halves */
	/* the log's, which the database has only after the next sweep */
	uint64_t folded;
	int64_t tids[SQLITE_SCAN_TOPICS];
};

static void
plan_add(struct plan *p, const struct log_topic *t)
{
	const struct disk_topic *d = t == NULL ? NULL : disk_of(t);

	if (d == NULL || d->tid == 0)
		return;
	for (unsigned i = 0; i < p->n; i++) {
		if (p->tids[i] == d->tid)
			return;
	}
	p->has_shared = p->has_shared || sqlite_is_shared(t);
	if (p->n == SQLITE_SCAN_TOPICS)
		p->is_many = true;
	else
		p->tids[p->n++] = d->tid;
}

/* Under the lock. */
static void
plan_named(struct log *l, const struct log_read *r, struct plan *p)
{
	for (size_t i = 0; i < r->n_filters && !p->is_many; i++) {
		if (r->filters[i].is_topic)
			plan_add(p, log_topic_find(l, r->filters[i].pattern));
	}
}

static bool
is_matched(const struct log_read *r, const struct log_topic *t)
{
	for (size_t i = 0; i < r->n_filters; i++) {
		if (!r->filters[i].is_topic && pattern_matches(r->filters[i].pattern, t->name))
			return true;
	}
	return false;
}

static bool
has_pattern(const struct log_read *r)
{
	for (size_t i = 0; i < r->n_filters; i++) {
		if (!r->filters[i].is_topic)
			return true;
	}
	return false;
}

/* A topic that comes while the others are walked has nothing up to where this read goes. */
static void
make_plan(struct sqlite_store *s, const struct log_read *r, struct plan *p)
{
	struct log *l = s->store.log;
	const struct log_topic *t;
	struct log_walk walk;

	*p = (struct plan){.n = 0};
	log_walk_begin(&walk, l);
	plan_named(l, r, p);
	while (has_pattern(r) && !p->is_many && (t = log_walk_next(&walk)) != NULL) {
		if (is_matched(r, t))
			plan_add(p, t);
	}
	p->folded = l->folded;
	log_walk_end(&walk);
}

/* --- scanning --- */

/* To the next row of one query. 0 or -1. */
static int
scan_step(struct scan *sc, unsigned i)
{
	int r = db_step(sc->db, sc->stmts[i]);

	sc->ids[i] = r > 0 ? db_column_u64(sc->stmts[i], 0) : 0;
	return r < 0 ? -1 : 0;
}

/* The one of the queries whose row is next; n when all are at their end. */
static unsigned
scan_best(const struct scan *sc)
{
	unsigned best = sc->n;

	for (unsigned i = 0; i < sc->n; i++) {
		if (sc->ids[i] != 0 &&
		    (best == sc->n || (sc->ids[i] < sc->ids[best]) != sc->is_down))
			best = i;
	}
	return best;
}

/* The next row in order: 1; 0 at the end; -1. */
static int
scan_next(struct scan *sc, sqlite3_stmt **out)
{
	do {
		if (sc->has_given && scan_step(sc, sc->at) < 0)
			return -1;
		sc->at = scan_best(sc);
		sc->has_given = sc->at < sc->n;
		if (!sc->has_given)
			return 0;
	} while (sc->ids[sc->at] == sc->given);
	sc->given = sc->ids[sc->at];
	sc->n_looked++;
	*out = sc->stmts[sc->at];
	return 1;
}

static void
scan_done(struct scan *sc)
{
	for (unsigned i = 0; i < sc->n; i++)
		(void)sqlite3_reset(sc->stmts[i]);
}

/* i: of a topic, or beyond those the other half of one. */
static sqlite3_stmt *
topic_stmt(struct reader_thread *t, unsigned i, bool is_down)
{
	static const char *const texts[2][2] = {
	    {DB_TOPIC_UP, DB_TOPIC_DOWN}, {DB_ALSO_UP, DB_ALSO_DOWN}};
	sqlite3_stmt **s = is_down ? &t->down[i] : &t->up[i];

	if (*s == NULL && sqlite3_prepare_v3(t->db.handle, texts[i >= SQLITE_SCAN_TOPICS][is_down],
			      -1, SQLITE_PREPARE_PERSISTENT, s, NULL) != SQLITE_OK)
		return NULL;
	return *s;
}

static int
scan_add(struct scan *sc, sqlite3_stmt *s, int64_t tid, uint64_t after, uint64_t upto)
{
	unsigned i = sc->n;

	if (s == NULL)
		return -1;
	sc->stmts[sc->n++] = s;
	(void)sqlite3_reset(s);
	if (tid != 0)
		(void)sqlite3_bind_int64(s, 1, tid);
	db_bind_u64(s, 2, after);
	db_bind_u64(s, 3, min_u64(upto, INT64_MAX));
	return scan_step(sc, i);
}

/* Messages with after < id <= upto. 0 or -1; scan_done is due in both cases. */
static int
scan_init(
    struct scan *sc, struct reader_thread *t, const struct plan *p, uint64_t after, uint64_t upto)
{
	sc->db = &t->db;
	if (p->is_many)
		return scan_add(
		    sc, db_stmt(&t->db, sc->is_down ? DB_SCAN_DOWN : DB_SCAN_UP), 0, after, upto);
	for (unsigned i = 0; i < p->n; i++) {
		if (scan_add(sc, topic_stmt(t, i, sc->is_down), p->tids[i], after, upto) < 0)
			return -1;
	}
	for (unsigned i = 0; p->has_shared && i < p->n; i++) {
		if (scan_add(sc, topic_stmt(t, SQLITE_SCAN_TOPICS + i, sc->is_down), p->tids[i],
			after, upto) < 0)
			return -1;
	}
	return 0;
}

/* The same of what a search finds; text must live until scan_done. */
static int
scan_init_search(
    struct scan *sc, struct reader_thread *t, struct slice text, uint64_t after, uint64_t upto)
{
	sqlite3_stmt *s = db_stmt(&t->db, sc->is_down ? DB_FIND_DOWN : DB_FIND_UP);

	sc->db = &t->db;
	if (s == NULL)
		return -1;
	sc->stmts[sc->n++] = s;
	(void)sqlite3_bind_text64(s, 1, text.p, text.n, SQLITE_STATIC, SQLITE_UTF8);
	db_bind_u64(s, 2, after);
	db_bind_u64(s, 3, min_u64(upto, INT64_MAX));
	return scan_step(sc, 0);
}

/* --- the reads --- */

/* A row that nobody can have written: told once, and passed over. */
static void
note_damage(struct sqlite_store *s, struct log_read *r, uint64_t id)
{
	char text[128];

	r->lost = max_u64(r->lost, id);
	counter_bump(&s->figures.n_damaged, 1);
	if (atomic_exchange(&s->damaged_id, id) == id)
		return;
	(void)snprintf(text, sizeof(text),
	    "message %llu is damaged: whoever reads it is told of a gap (belfryctl check)",
	    (unsigned long long)id);
	sqlite_tell(s, true, "storage.damaged", text);
}

static bool
is_wanted(const struct log_read *r, const struct message_record *record)
{
	return read_wants(r, record->topic, record->expires_ms) ||
	       (record->also.n > 0 && read_wants(r, record->also, record->expires_ms));
}

/* One row for a page: 1 it is in, or not wanted; 0 the page is full; negative. */
static int
take_row(struct sqlite_store *s, struct log_read *r, sqlite3_stmt *row, size_t *bytes)
{
	struct message_record record;
	struct message *m;
	bool fits;

	sqlite_row(row, &record);
	if (!is_wanted(r, &record))
		return 1;
	if (!message_record_is_sound(&record)) {
		note_damage(s, r, record.id);
		return 1;
	}
	m = message_from_record(&record);
	if (m == NULL)
		return -ENOMEM;
	fits = read_take(r, m, bytes);
	message_unref(m);
	return fits ? 1 : 0;
}

/* Rows until the page is full, enough was looked at, or the end. */
static int
fill_page(struct sqlite_store *s, struct log_read *r, struct scan *sc)
{
	size_t bytes = 0;
	sqlite3_stmt *row;
	int state;

	while ((state = scan_next(sc, &row)) > 0) {
		uint64_t id = db_column_u64(row, 0);
		int taken = sc->n_looked > SQLITE_SCAN_MAX ? 0 : take_row(s, r, row, &bytes);

		if (taken < 0)
			return taken;
		if (taken == 0) {
			r->reached = sc->is_down ? id + 1 : id - 1;
			r->more = true;
			return 0;
		}
	}
	return state < 0 ? -EIO : 0;
}

/* Where a page that goes down begins: what is committed may not be published yet. */
static uint64_t
below(const struct log_read *r)
{
	uint64_t upto = r->upto == 0 ? INT64_MAX : r->upto;

	return r->before == 0 ? upto : min_u64(r->before - 1, upto);
}

static int
read_page(struct reader_thread *t, struct log_read *r, const struct plan *p)
{
	struct scan sc = {.is_down = r->mode == LOG_BACKWARD};
	uint64_t after = sc.is_down ? 0 : r->after;
	uint64_t upto = sc.is_down ? below(r) : r->upto;
	struct buf text = BUF_INIT(64 * 1024);
	int status = 0;

	r->reached = sc.is_down ? 0 : r->upto;
	if (r->search.p == NULL || search_kind(r->search) == SEARCH_ALL)
		status = scan_init(&sc, t, p, after, upto);
	else if (search_to_fts5(r->search, &text) < 0)
		status = -ENOMEM;
	else
		status = scan_init_search(&sc, t, buf_slice(&text), after, upto);
	if (status == 0)
		status = fill_page(t->store, r, &sc);
	scan_done(&sc);
	buf_done(&text);
	return status;
}

static int
seek_last(struct reader_thread *t, struct log_read *r, const struct plan *p)
{
	struct scan sc = {.is_down = true};
	sqlite3_stmt *row;
	int state = -1;

	if (r->before == 0)
		r->reached = r->upto;
	if (scan_init(&sc, t, p, 0, r->before == 0 ? r->upto : r->before - 1) == 0) {
		while (r->count > 0 && (state = scan_next(&sc, &row)) > 0) {
			struct message_record record;

			sqlite_row(row, &record);
			if (sc.n_looked > SQLITE_SCAN_MAX) {
				r->before = record.id + 1;
				r->more = true;
				break;
			}
			if (!is_wanted(r, &record) || record.target != 0)
				continue;
			r->count--;
			r->reached = record.id - 1;
		}
	}
	scan_done(&sc);
	return state < 0 ? -EIO : 0;
}

static int
seek_time(struct reader_thread *t, struct log_read *r)
{
	sqlite3_stmt *s = db_stmt(&t->db, DB_SINCE);
	uint64_t id = 0;

	if (s == NULL)
		return -EIO;
	/* see shelf.c: ids are never below their messages' times */
	db_bind_u64(s, 1, r->time_ms <= 0 ? 0 : (uint64_t)r->time_ms * 1000 - 1);
	(void)sqlite3_bind_int64(s, 2, r->time_ms);
	if (db_u64(&t->db, s, &id) < 0)
		return -EIO;
	r->reached = id == 0 ? r->upto : min_u64(id - 1, r->upto);
	return 0;
}

/* --- what is unread --- */

static int64_t
tid_of(struct log *l, struct slice topic)
{
	const struct log_topic *t;
	int64_t tid;

	log_lock(l);
	t = log_topic_find(l, topic);
	tid = t == NULL || disk_of(t) == NULL ? 0 : disk_of(t)->tid;
	log_unlock(l);
	return tid;
}

static int
count_all(struct reader_thread *t, struct log_read *r)
{
	for (size_t i = 0; i < r->n_counts; i++) {
		struct log_count *c = &r->counts[i];
		sqlite3_stmt *s = db_stmt(&t->db, DB_UNREAD);
		uint64_t n = 0;

		if (s == NULL)
			return -EIO;
		(void)sqlite3_bind_int64(s, 1, tid_of(t->store->store.log, c->topic));
		db_bind_u64(s, 2, c->after);
		(void)sqlite3_bind_int64(s, 3, r->now_ms);
		db_bind_text(s, 4, c->user_id);
		(void)sqlite3_bind_int64(s, 5, r->count);
		if (db_u64(&t->db, s, &n) < 0)
			return -EIO;
		c->n = (unsigned)n;
	}
	return 0;
}

/* --- what retention took, in the same snapshot --- */

static int
trimmed_of_few(struct reader_thread *t, const struct plan *p, uint64_t *out)
{
	for (unsigned i = 0; i < p->n; i++) {
		sqlite3_stmt *s = db_stmt(&t->db, DB_TOPIC_TRIM_GET);
		uint64_t trimmed = 0;

		if (s == NULL)
			return -EIO;
		(void)sqlite3_bind_int64(s, 1, p->tids[i]);
		if (db_u64(&t->db, s, &trimmed) < 0)
			return -EIO;
		*out = max_u64(*out, trimmed);
	}
	return 0;
}

static int
trimmed_of_many(struct reader_thread *t, const struct log_read *r, uint64_t *out)
{
	sqlite3_stmt *s = db_stmt(&t->db, DB_TOPICS_TRIMMED_MAX);
	uint64_t most = 0;
	int state;

	if (db_u64(&t->db, s, &most) < 0)
		return -EIO;
	if (most <= max_u64(r->after, *out))
		return 0;
	s = db_stmt(&t->db, DB_TOPICS_TRIMMED);
	if (s == NULL)
		return -EIO;
	db_bind_u64(s, 1, max_u64(r->after, *out));
	while ((state = db_step(&t->db, s)) > 0) {
		if (read_wants(r, db_column(s, 0), 0))
			*out = max_u64(*out, db_column_u64(s, 1));
	}
	return state < 0 ? -EIO : 0;
}

/* As log_trimmed: topics that were forgotten count for patterns, and for a topic not known. */
static int
find_trimmed(struct reader_thread *t, struct log_read *r, const struct plan *p)
{
	bool has_unknown = p->is_many || p->n < r->n_filters;
	uint64_t trimmed = 0;
	int status = 0;

	for (size_t i = 0; i < r->n_filters; i++)
		has_unknown = has_unknown || !r->filters[i].is_topic;
	if (has_unknown && db_meta_get(&t->db, "folded", &trimmed) < 0)
		return -EIO;
	if (has_unknown)
		trimmed = max_u64(trimmed, p->folded);
	status = p->is_many ? trimmed_of_many(t, r, &trimmed) : trimmed_of_few(t, p, &trimmed);
	r->trimmed = trimmed > r->after ? trimmed : 0;
	return status;
}

/* --- the thread --- */

static int
is_late(void *ctx)
{
	struct reader_thread *t = ctx;

	return clock_mono_us() > t->deadline_us || atomic_load(&t->store->is_stopping);
}

static int
answer(struct reader_thread *t, struct log_read *r, const struct plan *p)
{
	int status = 0;

	switch (r->mode) {
	case LOG_FORWARD:
		status = find_trimmed(t, r, p);
		return status < 0 ? status : read_page(t, r, p);
	case LOG_BACKWARD:
		return read_page(t, r, p);
	case LOG_SEEK_LAST:
		return seek_last(t, r, p);
	case LOG_SEEK_TIME:
		return seek_time(t, r);
	case LOG_COUNT:
		return count_all(t, r);
	}
	return status;
}

static int
attempt(struct reader_thread *t, struct log_read *r, const struct plan *p)
{
	int status;

	t->db.code = SQLITE_OK;
	t->deadline_us =
	    clock_mono_us() + (t == &t->store->readers[1] ? SQLITE_SEARCH_US : SQLITE_READ_US);
	status = db_run(&t->db, db_stmt(&t->db, DB_BEGIN_READ)) < 0 ? -EIO : answer(t, r, p);
	if (status < 0 && status != -ENOMEM)
		status = t->db.code == SQLITE_INTERRUPT ? -ETIMEDOUT : -EIO;
	if (db_is_within(&t->db) && db_run(&t->db, db_stmt(&t->db, DB_COMMIT)) < 0 && status == 0)
		status = -EIO;
	if (status < 0)
		log_read_release(r);
	return status;
}

/* Wait until all that is there now can be found. */
static void
wait_for_index(struct sqlite_store *s)
{
	uint64_t last;

	log_lock(s->store.log);
	last = s->store.log->last;
	log_unlock(s->store.log);
	sqlite_index_wait(s, last);
}

/* A disk that fails may be better in a moment, and a new connection believes nothing of the old one. */
static int
attempt_often(struct reader_thread *t, struct log_read *r, const struct plan *p)
{
	uint64_t before = r->before; /* what an attempt changes of the question */
	unsigned count = r->count;
	unsigned tries = t->has_failed ? 2 : TRIES; /* it has failed for all others, too */
	unsigned wait_us = FIRST_WAIT;
	bool is_searcher = t == &t->store->readers[1];
	int status = attempt(t, r, p);

	for (unsigned i = 1; status == -EIO && i < tries; i++) {
		if (is_searcher && (t->db.code & 0xff) == SQLITE_CORRUPT) {
			sqlite_index_report(t->store);
			wait_for_index(t->store);
		}
		(void)usleep(wait_us);
		wait_us *= 2;
		r->before = before;
		r->count = count;
		r->more = false;
		r->lost = 0;
		sqlite_reader_close(t);
		status = sqlite_reader_open(t->store, (unsigned)(t - t->store->readers));
		if (status == 0)
			status = attempt(t, r, p);
	}
	if (status != -ETIMEDOUT)
		t->has_failed = status == -EIO;
	return status;
}

/* What the disk has of it cannot be read: it goes on where the memory begins, and is told so. */
static void
skip(struct sqlite_store *s, struct log_read *r)
{
	struct log *l = s->store.log;

	log_lock(l);
	r->reached = min_u64(shelves_reach(&s->hot, l, r), r->upto);
	log_unlock(l);
	r->lost = max_u64(r->reached, 1);
	r->more = r->reached < r->upto && r->mode == LOG_FORWARD;
}

static void
carry_out(struct reader_thread *t, struct log_read *r, bool is_search)
{
	struct sqlite_store *s = t->store;
	uint64_t start_us;
	bool is_known = t->has_failed;
	struct plan p;

	/* when many come and go the disk is for those who are still there */
	r->status = -ECANCELED;
	if (atomic_load_explicit(&r->is_unwanted, memory_order_relaxed))
		return;
	if (is_search)
		wait_for_index(s);
	make_plan(s, r, &p);
	atomic_fetch_add_explicit(&s->figures.n_disk_reads, 1, memory_order_relaxed);
	start_us = clock_mono_us();
	r->status = attempt_often(t, r, &p);
	latencies_add(&s->figures.reads[t - s->readers], clock_mono_us() - start_us);
	if (r->status != -EIO)
		return;
	counter_bump(&t->n_failed, 1);
	if (!is_known)
		sqlite_tell(s, true, "storage.read", db_text(&t->db));
	if (r->may_skip) {
		r->status = 0;
		skip(s, r);
	}
}

/* The next read to carry out; NULL when the store stops. Under the store's lock. */
static struct log_read *
next_read(struct reader_thread *t)
{
	struct sqlite_store *s = t->store;
	bool is_searcher = t == &s->readers[1];
	struct log_read *r;

	while ((r = read_turns_next(&t->queue)) == NULL && !s->is_stopping) {
		if (is_searcher && s->is_warming) {
			bool more;

			(void)pthread_mutex_unlock(&s->lock);
			t->deadline_us = clock_mono_us() + SQLITE_READ_US;
			more = sqlite_warm_step(s, &t->db);
			(void)pthread_mutex_lock(&s->lock);
			s->is_warming = more;
		} else {
			(void)pthread_cond_wait(&s->reads, &s->lock);
		}
	}
	return r;
}

void *
sqlite_reader(void *arg)
{
	struct reader_thread *t = arg;
	struct sqlite_store *s = t->store;
	struct log_read *r;

	(void)pthread_mutex_lock(&s->lock);
	while ((r = next_read(t)) != NULL) {
		bool is_over = s->is_stopping;

		(void)pthread_mutex_unlock(&s->lock);
		r->status = -ECANCELED;
		if (!is_over)
			carry_out(t, r, t == &s->readers[1] && r->mode != LOG_COUNT);
		log_read_done(s->store.log, r);
		(void)pthread_mutex_lock(&s->lock);
	}
	(void)pthread_mutex_unlock(&s->lock);
	return NULL;
}

int
sqlite_reader_open(struct sqlite_store *s, unsigned i)
{
	struct db_open o = {s->path, s->vfs, false, s->options.sync};
	struct reader_thread *t = &s->readers[i];

	int r;

	t->store = s;
	r = db_init(&t->db, &o);
	if (t->db.handle != NULL) /* one that is not whole may be read from, too */
		sqlite3_progress_handler(t->db.handle, PROGRESS, is_late, t);
	return r < 0 ? -EIO : 0;
}

void
sqlite_reader_close(struct reader_thread *t)
{
	for (unsigned i = 0; i < SQLITE_SCAN_STMTS; i++) {
		(void)sqlite3_finalize(t->up[i]);
		(void)sqlite3_finalize(t->down[i]);
		t->up[i] = NULL;
		t->down[i] = NULL;
	}
	db_done(&t->db);
}
