/*
 * The inside of the log, for its own files (log*.c, presence.c) and the stores. Everything here
 * is under the log's lock unless it says otherwise.
 */
#ifndef CORE_LOG_PRIVATE_H
#define CORE_LOG_PRIVATE_H

#include <pthread.h>

#include "base/map.h"
#include "core/log.h"

struct facts;
struct known_names;
struct markers;
struct room;
TAILQ_HEAD(leaving_list, room_member);
TAILQ_HEAD(crowd_list, room);

struct log_topic {
	struct slice name; /* bytes behind the struct */
	uint64_t interest; /* bit set of workers with an exact subscriber */
	/* bit set of workers with a matching pattern, of pattern_generation */
	uint64_t pattern_mask;
	uint64_t pattern_generation;
	uint64_t first_id;   /* oldest stored message; 0: none */
	uint64_t last_id;    /* newest stored message; 0: none */
	uint64_t trimmed_id; /* highest id that retention took; 0: none */
	uint32_t n_stored;   /* messages */
	uint32_t n_changes;  /* … and records that change one: they push no message out */
	uint32_t keep_count; /* of its rule, as its newest message or log_use_rules had it */
	uint64_t keep_ms;
	int64_t used_ms;              /* when it last had something */
	void *stored;                 /* the store's */
	struct room *room;            /* who is present; NULL: nobody */
	bool is_held;                 /* an append is about to need it */
	TAILQ_ENTRY(log_topic) order; /* of all */
};
TAILQ_HEAD(topic_list, log_topic);

struct log_pattern {
	struct slice text; /* owned, behind the struct */
	uint64_t mask;
};

struct log_worker {
	uint64_t taken; /* sequence of the next slot it will take */
	bool is_woken;
	void (*wake)(void *ctx);
	void *ctx;
	struct log_read_list reads; /* finished, not yet taken */
	_Atomic bool has_reads;
};

#define LOG_SWEEP_MIN   8192 /* slots of the table */
#define LOG_SWEEP_PARTS 8

/* A message that is put off. */
struct scheduled {
	TAILQ_ENTRY(scheduled) link;
	uint64_t number;
	int64_t at_ms;
	struct message *message; /* one reference */
	bool is_coming;          /* it is being written: in that list */
};
TAILQ_HEAD(scheduled_list, scheduled);

struct log {
	pthread_mutex_t lock;
	_Atomic unsigned n_waiting; /* for the lock, for log_pause */
	struct store *store;
	uint64_t begin;
	uint64_t last;
	uint64_t trimmed; /* highest trimmed id of all topics: a quick no */
	uint64_t folded;  /* highest trimmed id of topics no longer known */
	uint32_t max_topics;
	/* max_topics is reached, and nothing could be forgotten since the last sweep */
	bool is_full;
	size_t fold_at; /* where the next sweep goes on to look for idle topics */

	struct map topics;
	struct topic_list order; /* all of them, rooms first, and the places of log_walks */
	/* what was found last: an append asks three times for one topic; NULL: none */
	struct log_topic *found;
	struct log_pattern **patterns;
	size_t n_patterns;
	uint64_t pattern_generation;

	struct tail_slot *ring; /* slots [released, next) at index & (cap - 1) */
	size_t ring_cap;
	size_t ring_bytes; /* of the messages in it */
	uint64_t released;
	uint64_t next;
	size_t promised; /* slots kept for appends that a thread of the store will publish */

	struct facts *facts; /* have locks of their own */
	struct markers *markers;
	struct known_names *names;

	struct scheduled_list scheduled; /* by time, then number */
	struct scheduled_list coming;    /* those on their way to being written */
	size_t n_scheduled;              /* those on their way to being written too */
	size_t scheduled_bytes;
	uint32_t max_scheduled;
	uint32_t max_scheduled_user; /* of one user */
	uint64_t last_number;        /* of them */

	size_t n_rooms; /* topics with somebody present */
	unsigned n_workers;
	struct log_worker workers[LOG_MAX_WORKERS + 1];
	struct leaving_list leaving;
	uint32_t crowd;           /* members above which only a room's count is told; 0: never */
	struct crowd_list crowds; /* rooms whose count is to be told */
};

static inline void
log_lock(struct log *l)
{
	if (pthread_mutex_trylock(&l->lock) == 0)
		return;
	atomic_fetch_add_explicit(&l->n_waiting, 1, memory_order_relaxed);
	(void)pthread_mutex_lock(&l->lock);
	atomic_fetch_sub_explicit(&l->n_waiting, 1, memory_order_relaxed);
}

static inline void
log_unlock(struct log *l)
{
	(void)pthread_mutex_unlock(&l->lock);
}

/*
 * Lets others have the lock, of which the caller needs more: for whoever sleeps until it is free, letting it go and
 * taking it again at once is as good as keeping it.
 */
void log_pause(struct log *l);

/*
 * A walk over all topics, rooms first. It lets go of the log's lock now and then: with 100,000 topics it takes
 * milliseconds, in which nobody could publish. Whoever is there all the time is met once.
 */
struct log_walk {
	struct log *log;
	struct log_topic *last; /* met; NULL: none */
	struct log_topic
	    here;   /* keeps its place while it has not the lock: no topic, it has no name */
	unsigned n; /* met since the lock was taken */
};
/* Takes the lock. */
void log_walk_begin(struct log_walk *w, struct log *l);
/* The next topic, which is good until the next call; NULL: that was all. Only here the lock is let go. */
struct log_topic *log_walk_next(struct log_walk *w);
/* Lets go of the lock. */
void log_walk_end(struct log_walk *w);

#define LOG_AHEAD 8 /* slots of the table whose topics are fetched ahead */

/* As map_next of all topics: a third of the time, since it need not wait for each. */
static inline struct log_topic *
log_topic_next(const struct log *l, size_t *at)
{
	if (*at + LOG_AHEAD < l->topics.cap)
		__builtin_prefetch(l->topics.entries[*at + LOG_AHEAD].value);
	return map_next(&l->topics, at);
}

/*
 * How much of the topics' table one sweep looks at, under the lock: all of a small one, else an
 * eighth, for a look costs 0.1 us: 13 ms with 100,000 topics, in which nobody could publish.
 */
static inline size_t
log_sweep_share(const struct log *l)
{
	return max_size(LOG_SWEEP_MIN, l->topics.cap / LOG_SWEEP_PARTS + 1);
}

/* NULL: it is not known. */
struct log_topic *log_topic_find(struct log *l, struct slice name);
/* The topics that a message stands under, of those that are known. Returns how many. */
unsigned log_topics_of(struct log *l, const struct message *m, struct log_topic *out[2]);
/* Found or made. NULL with *status -ENOMEM or -ENOSPC. */
struct log_topic *log_topic_get(struct log *l, struct slice name, int *status);
/* The next id in commit order: max(last + 1, now). */
uint64_t log_next_id(struct log *l, uint64_t now_us);
/* Room for n more slots: 0, -EAGAIN, -ENOMEM. */
int log_reserve(struct log *l, size_t n);
/*
 * The same for later: they stay kept until log_promised_done(l, n), after which they can be linked
 * under the same hold of the lock.
 */
int log_promise(struct log *l, size_t n);
void log_promised_done(struct log *l, size_t n);
/*
 * Link one slot (log_reserve came before). Takes a reference of its own to m. Adds to *wakes
 * the workers to wake: pass it to log_wake after unlocking.
 */
void log_link(struct log *l, struct message *m, struct append *a, unsigned caller, uint64_t *wakes);
/* Without the lock. */
void log_wake(struct log *l, uint64_t wakes);
/* A committed append: its messages (ids set) and its completion. */
void log_publish(struct log *l, struct append *a, unsigned caller, uint64_t *wakes);

/* A read that a thread of the store has finished, without the lock: its worker calls done(). */
void log_read_done(struct log *l, struct log_read *r);

/* The highest id above `after` that retention took from topics of these filters; 0: none. */
uint64_t log_trimmed(struct log *l, const struct log_filter *filters, size_t n, uint64_t after);

/*
 * Give an item of APPEND_LATER its entry and number, or make it the duplicate of one with its key. 0,
 * -ENOMEM, -EDQUOT (all together), -EUSERS (one user). log_publish, or log_append when it fails, says
 * what becomes of the entry, of which those that come after know from now on.
 */
int schedule_prepare(struct log *l, struct append_item *item, int64_t now_ms);
/* An append that cannot be prepared: its entries go before anybody takes one for the first of a key. */
void schedule_give_up(struct log *l, struct append *a);
/* The item's entry is put in its place among the others. Takes it. */
void schedule_add(struct log *l, struct append_item *item);
/* The item's entry, if any, is no more: it was published, taken back, or could not be written. */
void schedule_drop(struct log *l, struct append_item *item);
/* One of those that a store has kept: at its start. Takes the reference. 0 or -ENOMEM. */
MUST_CHECK int schedule_load(struct log *l, uint64_t number, int64_t at_ms, struct message *m);
/* All of them; the log goes. */
void schedule_free(struct log *l);

/* The topic goes; NULL is fine. */
void presence_free_room(struct room *room);
/* Members; 0 of NULL. */
size_t presence_count(const struct room *room);

#endif
