#include "store/sqlite.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/search.h"
#include "store/sqlite_private.h"

/* The store's functions for the log: what is asked of it on the threads of others. */

/* --- appending --- */

static bool
needs_disk(const struct append *a)
{
	for (unsigned i = 0; i < a->n; i++) {
		if (a->items[i].message->is_logged || a->items[i].what != APPEND_NOW)
			return true;
	}
	return false;
}

static size_t
append_bytes(const struct append *a)
{
	size_t n = 0;

	for (unsigned i = 0; i < a->n; i++)
		n += message_memory(a->items[i].message);
	return n;
}

/* What nobody keeps passes through the tail alone. */
static int
pass(struct log *l, struct append *a, unsigned caller)
{
	uint64_t wakes = 0;
	int r;

	log_lock(l);
	r = log_reserve(l, a->n + 1);
	if (r == 0)
		log_publish(l, a, caller, &wakes);
	log_unlock(l);
	log_wake(l, wakes);
	return r;
}

static bool
is_stalled(struct sqlite_store *s)
{
	uint64_t since = atomic_load(&s->busy_since_us);
	uint64_t now = clock_mono_us();

	return since != 0 && now > since && now - since > SQLITE_STALL_US;
}

static int
enqueue(struct sqlite_store *s, struct append *a)
{
	size_t bytes = append_bytes(a);
	int r = -EAGAIN;

	(void)pthread_mutex_lock(&s->lock);
	if (!s->is_stopping && s->n_queued < SQLITE_QUEUE_MAX &&
	    s->queue_bytes + bytes <= SQLITE_QUEUE_BYTES) {
		s->queue[(s->queue_at + s->n_queued++) % SQLITE_QUEUE_MAX] = a;
		s->queue_bytes += bytes;
		r = 0;
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (r == 0)
		(void)pthread_cond_signal(&s->work);
	return r;
}

static int
sqlite_append(struct store *store, struct append *a, unsigned caller)
{
	struct sqlite_store *s = sqlite_of(store);
	unsigned n = a->n + 1; /* a belongs to the writer once it is queued */
	int r;

	if (!needs_disk(a))
		return pass(store->log, a, caller);
	if (is_stalled(s))
		return -EAGAIN;
	log_lock(store->log);
	r = log_promise(store->log, n);
	log_unlock(store->log);
	if (r < 0)
		return r;
	r = enqueue(s, a);
	if (r < 0) {
		log_lock(store->log);
		log_promised_done(store->log, n);
		log_unlock(store->log);
	}
	return r;
}

/* The disk has not answered for long: those who wait are told so. */
static void
turn_away(struct sqlite_store *s)
{
	struct log *l = s->store.log;
	uint64_t wakes = 0;

	log_lock(l);
	(void)pthread_mutex_lock(&s->lock);
	for (; s->n_queued > 0; s->n_queued--) {
		struct append *a = s->queue[s->queue_at];

		s->queue_at = (s->queue_at + 1) % SQLITE_QUEUE_MAX;
		a->status = -EAGAIN;
		log_promised_done(l, a->n + 1);
		log_publish(l, a, LOG_NO_WORKER, &wakes);
	}
	s->queue_bytes = 0;
	(void)pthread_mutex_unlock(&s->lock);
	log_unlock(l);
	log_wake(l, wakes);
}

static void
sqlite_sweep(struct store *store, int64_t now_ms)
{
	struct sqlite_store *s = sqlite_of(store);

	if (is_stalled(s))
		turn_away(s);
	(void)pthread_mutex_lock(&s->lock);
	s->sweep_ms = now_ms;
	(void)pthread_mutex_unlock(&s->lock);
	(void)pthread_cond_signal(&s->work);
}

/* --- reading --- */

/* The index knows words better than a walk under the lock. */
static bool
is_for_index(const struct log_read *r)
{
	return r->search.p != NULL && search_kind(r->search) == SEARCH_WORDS;
}

/*
 * Somebody waits with joining for a count: it goes first. Counts of many rooms go beside the replays.
 * Under the store's lock.
 */
static void
enqueue_read(struct sqlite_store *s, struct log_read *r, bool is_search)
{
	bool is_urgent = r->mode == LOG_COUNT && r->n_counts == 1;
	unsigned i = is_search || (r->mode == LOG_COUNT && !is_urgent) ? 1 : 0;

	read_turns_add(&s->readers[i].queue, r, is_urgent);
}

static void
sqlite_read(struct store *store, struct log_read *r)
{
	struct sqlite_store *s = sqlite_of(store);
	struct log *l = store->log;
	bool is_search = is_for_index(r);
	bool is_done = false;

	if (!is_search && r->mode != LOG_COUNT) {
		log_lock(l);
		is_done = shelves_read(&s->hot, l, r);
		if (is_done && r->mode == LOG_FORWARD)
			r->trimmed = log_trimmed(l, r->filters, r->n_filters, r->after);
		s->n_hits += is_done;
		log_unlock(l);
	}
	if (!is_done) {
		(void)pthread_mutex_lock(&s->lock);
		if (s->is_stopping) {
			r->status = -ECANCELED;
			is_done = true;
		} else {
			enqueue_read(s, r, is_search);
		}
		(void)pthread_mutex_unlock(&s->lock);
		(void)pthread_cond_broadcast(&s->reads);
	}
	if (is_done)
		r->done(r);
}

/* --- what is known --- */

static int
sqlite_unread(struct store *store, const struct log_topic *t, struct log_unread *u)
{
	return t->stored == NULL ? 0 : shelf_unread(&sqlite_of(store)->hot, shelf_of(t), u);
}

static void
sqlite_extent(struct store *store, struct log_extent *out)
{
	struct sqlite_store *s = sqlite_of(store);

	out->messages = s->n_messages;
	out->bytes = atomic_load(&s->n_bytes);
}

static int
sqlite_health(struct store *store, char *text, size_t n)
{
	struct sqlite_store *s = sqlite_of(store);
	uint64_t since = atomic_load(&s->busy_since_us);
	int r = 0;

	(void)pthread_mutex_lock(&s->lock);
	if (s->has_trouble) {
		(void)snprintf(text, n, "%s", s->trouble);
		r = -1;
	} else if (is_stalled(s)) {
		(void)snprintf(text, n, "storage: the disk has not answered for %llu s",
		    (unsigned long long)(clock_mono_us() - since) / 1000000);
		r = -1;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

/* Under the log's lock. Its rows go when the writer has time; until then it lies in the list. */
static void
sqlite_forget(struct store *store, struct log_topic *t)
{
	struct sqlite_store *s = sqlite_of(store);
	struct disk_topic *d = t->stored;

	if (d == NULL)
		return;
	t->stored = NULL;
	ring_done(&d->shelf.ring);
	if (d->tid == 0 || !s->is_running)
		mem_free(d);
	else
		TAILQ_INSERT_TAIL(&s->gone, d, link);
}

/* --- life --- */

static int
start_threads(struct sqlite_store *s)
{
	sigset_t all;
	sigset_t old;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the main thread's */
	r = pthread_create(&s->thread, NULL, sqlite_writer, s);
	s->is_running = r == 0;
	for (unsigned i = 0; r == 0 && i < SQLITE_READERS; i++) {
		r = pthread_create(&s->readers[i].thread, NULL, sqlite_reader, &s->readers[i]);
		s->readers[i].is_running = r == 0;
	}
	if (r == 0) {
		r = pthread_create(&s->mover.thread, NULL, sqlite_mover, s);
		s->mover.is_running = r == 0;
	}
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

static int
sqlite_start(struct store *store)
{
	struct sqlite_store *s = sqlite_of(store);
	int r = sqlite_load(s);

	if (r == -EIO) {
		sqlite_doubt(s, s->db.code);
		sqlite_tell(s, true, "storage.start", db_text(&s->db));
	}
	for (unsigned i = 0; r == 0 && i < SQLITE_READERS; i++)
		r = sqlite_reader_open(s, i);
	if (r == 0)
		r = sqlite_wal_open(s);
	if (r == 0)
		sqlite_warm(s);
	return r == 0 ? start_threads(s) : r;
}

/* The writer finishes what is queued; reads that wait come back as they are, and have failed. */
static void
sqlite_stop(struct store *store)
{
	struct sqlite_store *s = sqlite_of(store);

	(void)pthread_mutex_lock(&s->lock);
	s->is_stopping = true;
	(void)pthread_mutex_unlock(&s->lock);
	(void)pthread_cond_broadcast(&s->work);
	(void)pthread_cond_broadcast(&s->reads);
	(void)pthread_cond_broadcast(&s->indexed_more);
	(void)pthread_cond_broadcast(&s->moves);
	for (unsigned i = 0; i < SQLITE_READERS; i++) {
		if (s->readers[i].is_running)
			(void)pthread_join(s->readers[i].thread, NULL);
		s->readers[i].is_running = false;
	}
	if (s->is_running)
		(void)pthread_join(s->thread, NULL);
	s->is_running = false;
	if (s->mover.is_running)
		(void)pthread_join(s->mover.thread, NULL);
	s->mover.is_running = false;
}

static void
sqlite_free(struct store *store)
{
	struct sqlite_store *s = sqlite_of(store);
	struct disk_topic *d;

	sqlite_stop(store);
	for (unsigned i = 0; i < SQLITE_READERS; i++)
		sqlite_reader_close(&s->readers[i]);
	sqlite_close(s, &s->mover.db);
	sqlite_close(s, &s->db);
	while ((d = TAILQ_FIRST(&s->gone)) != NULL) {
		TAILQ_REMOVE(&s->gone, d, link);
		mem_free(d);
	}
	shelves_done(&s->hot);
	(void)pthread_cond_destroy(&s->work);
	(void)pthread_cond_destroy(&s->reads);
	(void)pthread_cond_destroy(&s->indexed_more);
	(void)pthread_cond_destroy(&s->moves);
	(void)pthread_mutex_destroy(&s->lock);
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd); /* and with it goes the lock */
	config_unref(s->config);
	mem_free(s->path);
	mem_free(s->vfs);
	mem_free(s);
}

const struct store_ops sqlite_ops = {
    .name = "sqlite",
    .start = sqlite_start,
    .stop = sqlite_stop,
    .health = sqlite_health,
    .append = sqlite_append,
    .read = sqlite_read,
    .sweep = sqlite_sweep,
    .forget = sqlite_forget,
    .extent = sqlite_extent,
    .metrics = sqlite_metrics,
    .unread = sqlite_unread,
    .free = sqlite_free,
};
