/*
 * The log: everything appends to it, everything reads from it (docs/architecture.md). It hands out
 * ids in commit order, keeps the tail that the workers follow, knows every topic (how far it
 * reaches, who is interested, who is present), and asks a store for what is kept. All functions may
 * be called from any thread; what completes later completes on the worker that asked.
 */
#ifndef CORE_LOG_H
#define CORE_LOG_H

#include "base/list.h"
#include "core/message.h"

#define LOG_MAX_WORKERS 64
#define LOG_NO_WORKER   LOG_MAX_WORKERS /* the main thread: no tail of its own */
#define LOG_READ_MAX    64              /* messages a read returns at most */
#define LOG_BATCH_MAX   1000            /* messages of one append */
/* How far the slowest worker may be behind, in slots and in bytes: beyond, appends are refused. */
#define LOG_TAIL_MAX   65536
#define LOG_TAIL_BYTES ((size_t)64 * 1024 * 1024)
/* Slots after which workers without interest are asked to move on, too. */
#define LOG_TAIL_EAGER 256

struct log;
struct log_topic;
struct store;

/* --- appending --- */
enum append_what {
	APPEND_NOW,
	APPEND_LATER,  /* at at_ms */
	APPEND_DUE,    /* one that was put off, whose time has come */
	APPEND_CANCEL, /* one that was put off is taken back: nothing is appended */
	APPEND_FACT,   /* nothing is appended: a fact (core/facts.h) is written */
	/*
	 * a record that changes an earlier message (core/change.h), the only one of its append. Fails
	 * with -ENOENT when that is gone, -EOVERFLOW when it takes no more reactions
	 */
	APPEND_CHANGE,
};

struct append_item {
	struct message *message; /* one reference, the append's */
	/* after done: its id, 0 when ephemeral; of one that is put off the number it has till then */
	uint64_t id;
	bool duplicate; /* the key was known: id is the first one's, nothing was appended */
	uint8_t what;   /* enum append_what */
	int64_t at_ms;  /* APPEND_LATER */
	/* what the rule of the message's second topic keeps; message has that of the first */
	uint32_t also_count;
	uint64_t also_ms;
	struct scheduled *entry; /* the log's; owned */
	struct fact_write *fact; /* APPEND_FACT; owned */
};

/*
 * A request to append 1..LOG_BATCH_MAX messages, all or none. Made by its owner, taken by
 * log_append; comes back by done() on the origin worker after its last message was met in the
 * tail and delivered there (status 0), or with a negative status when nothing was appended.
 * done() owns it again and frees it (append_free).
 */
struct append {
	unsigned worker; /* origin */
	unsigned n;
	int status;
	bool is_borrowed; /* memory of its maker's: append_begin */
	int64_t now_ms;   /* wall clock when it was made */
	void (*done)(struct append *a);
	void *owner;               /* whoever waits; set to NULL by it when it goes first */
	LIST_ENTRY(append) link;   /* in the owner's list */
	uint64_t started_us;       /* monotonic, for the latency histogram */
	char *ref;                 /* the request's ref as JSON text, owned; NULL: none */
	struct append_item *items; /* `one`, or an owned array */
	struct append_item one;
};
LIST_HEAD(append_list, append);

/* Whether it comes to the tail. */
static inline bool
append_is_published(const struct append_item *item)
{
	return item->what == APPEND_NOW || item->what == APPEND_DUE || item->what == APPEND_CHANGE;
}

/* Room for n messages; messages are set by the caller. NULL on no memory. */
MUST_CHECK struct append *append_new(unsigned n);
/*
 * The same for one message, in memory of the caller's that stays until append_free: a block less for each
 * POST /publish, of which a turn has more under way than malloc keeps spare ones of a size.
 */
struct append *append_begin(struct append *a);
/* The item's message is set: take over what its second topic's rule keeps, if it has one. */
void append_set_also(struct append_item *item, const struct config *c);
/* Unreferences the messages. NULL is fine. */
void append_free(struct append *a);

/*
 * Takes a. caller: the worker whose thread this is, or LOG_NO_WORKER (then nobody waits:
 * a->worker is LOG_NO_WORKER too and the log frees it). 0; -EAGAIN when the tail is full (a
 * stays the caller's), -ENOSPC when limits.topics is reached, -ENOMEM.
 */
MUST_CHECK int log_append(struct log *l, struct append *a, unsigned caller);

/* --- what is put off (core/schedule.c) --- */
#define LOG_SCHEDULED_BYTES ((size_t)64 * 1024 * 1024) /* of all that wait */

/*
 * Takes one back that a user put off (absent user: anybody's): an append that says so, to be handed to
 * hub_append. NULL with *status -ENOENT, -ENOMEM.
 */
MUST_CHECK struct append *log_cancel(
    struct log *l, uint64_t number, struct slice user_id, int *status);
struct log_scheduled {
	uint64_t number;
	int64_t at_ms;
	const struct message *message;
};
/* In the order of their times, under the lock; as log_each_topic. */
void log_each_scheduled(
    struct log *l, bool (*each)(const struct log_scheduled *s, void *ctx), void *ctx);
/* Appends those whose time has come; several times a second, main thread. */
void log_fire(struct log *l, int64_t now_ms);

/* --- the tail --- */
struct tail_slot {
	/* borrowed until the next log_take of this worker; NULL: only a completion */
	struct message *message;
	struct append *append; /* set on the last slot of an append of this worker */
	unsigned worker;       /* whose append it is: the others never look into it */
};

/*
 * The slots that follow what this worker took before; *sequence is the first one's number.
 * Releases the earlier ones. Returns how many (0: level).
 */
unsigned log_take(
    struct log *l, unsigned worker, struct tail_slot *out, unsigned max, uint64_t *sequence);

/*
 * wake is called (any thread, at most once until the worker's next log_take) when there is
 * something for a worker of interest.
 */
void log_attach(struct log *l, unsigned worker, void (*wake)(void *ctx), void *ctx);

/*
 * The first subscriber of a pattern on this worker comes, the last one goes. 0; -ENOMEM; -ENOSPC
 * when limits.topics is reached.
 */
MUST_CHECK int log_interest_add(struct log *l, unsigned worker, struct slice pattern);
void log_interest_remove(struct log *l, unsigned worker, struct slice pattern);

/* --- reading --- */
struct log_filter {
	struct slice pattern; /* borrowed until done */
	bool is_topic;        /* no wildcard */
};

enum log_read_mode {
	LOG_FORWARD,  /* (after, upto] ascending */
	LOG_BACKWARD, /* below `before`, the newest first */
	/*
	 * reached = the cursor after which `count` messages follow up to upto. Bounded: with
	 * `more` the same read is to be asked again (before and count say how far it is).
	 */
	LOG_SEEK_LAST,
	LOG_SEEK_TIME, /* reached = the cursor before the first message whose time is >= time_ms */
	LOG_COUNT,     /* only `counts`, each up to `count`: of a store whose unread says -1 */
};

/* How many of a topic's messages somebody has not read. */
struct log_count {
	struct slice topic;   /* both borrowed until done */
	struct slice user_id; /* whose own do not count */
	uint64_t after;
	unsigned n; /* the result */
};

struct log_read {
	enum log_read_mode mode;
	const struct log_filter *filters;
	size_t n_filters;
	uint64_t after;
	uint64_t upto;
	uint64_t before;
	/* LOG_SEEK_LAST; LOG_FORWARD, LOG_BACKWARD: at most that many, <= LOG_READ_MAX */
	unsigned count;
	size_t max_bytes; /* of JSON; at least one message is returned */
	int64_t time_ms;
	int64_t now_ms;      /* for what has expired */
	struct slice search; /* words that content must have (history's q); absent: all */
	/* a user: rooms that this one is banned from are left out; borrowed until done; absent: nobody */
	struct slice bound;
	uint64_t user;   /* claims_number of who asks: each has his turn; 0: nobody in particular */
	struct log *log; /* set by log_read */
	struct log_count *counts;
	size_t n_counts;
	bool may_skip;   /* what a disk will not give is passed over, not a failure; `lost` tells */
	unsigned worker; /* where done is called */
	_Atomic bool is_unwanted; /* log_read_forget */
	/* results */
	int status; /* -ETIMEDOUT: ask again; -ECANCELED: the log stops, or it was not wanted any more */
	unsigned n;
	struct message *messages[LOG_READ_MAX]; /* one reference each, the reader's */
	/*
	 * LOG_FORWARD: nothing of (after, reached] is missing; LOG_BACKWARD: nothing of
	 * [reached, before)
	 */
	uint64_t reached;
	bool more; /* there is more in that direction */
	/*
	 * LOG_FORWARD: highest id above `after` that retention took from these topics; 0: none
	 */
	uint64_t trimmed;
	uint64_t lost;                    /* highest id that may have been passed over; 0: none */
	void (*done)(struct log_read *r); /* possibly before log_read returns */
	TAILQ_ENTRY(log_read) link;       /* the store's, then the log's, until done */
};
TAILQ_HEAD(log_read_list, log_read);

/* Ask the store: done is called later, or before this returns. r is the store's until then. */
void log_read(struct log *l, struct log_read *r);
/* Nobody wants it any more: it may come back without having been carried out. */
static inline void
log_read_forget(struct log_read *r)
{
	atomic_store_explicit(&r->is_unwanted, true, memory_order_relaxed);
}
/* Drop the references a read returned. */
void log_read_release(struct log_read *r);
/* Calls done() of this worker's reads that a thread of the store has finished. */
void log_reads_finish(struct log *l, unsigned worker);

enum log_gap_reason {
	LOG_GAP_NONE,
	LOG_GAP_TRIMMED,
	LOG_GAP_OUTSIDE,
	LOG_GAP_UNREADABLE,
	LOG_GAP_SLOW
};
/* "trimmed", as `gap` says it. */
const char *log_gap_name(enum log_gap_reason reason);

struct log_resume {
	enum log_gap_reason reason; /* LOG_GAP_NONE: nothing after `after` is missing */
	/* of a gap: the first id still there on these topics, 0: none */
	uint64_t oldest;
	uint64_t gap_id; /* highest trimmed id, else the log's beginning */
	/* where reading starts: `after`, or the log's beginning when it lies outside */
	uint64_t start;
};
/* What a reader that resumes after that id must be told. */
void log_resume(struct log *l, const struct log_filter *filters, size_t n, uint64_t after,
    struct log_resume *out);
/* The first id still there on these topics; 0: none. Walks all topics for a pattern. */
uint64_t log_oldest(struct log *l, const struct log_filter *filters, size_t n);

struct log_extent {
	uint64_t begin; /* the log's beginning: every id is above it */
	uint64_t last;  /* the newest id handed out, or begin */
	size_t topics;
	size_t messages;
	size_t bytes;
};
/* Where the log begins and ends, and how much it has. */
void log_extent(struct log *l, struct log_extent *out);
/* What the store tells of itself, as Prometheus text; any thread. Failures stick to out. */
void log_metrics(struct log *l, struct buf *out);
/* Newest id stored on a topic; 0 when there is none. */
uint64_t log_topic_last(struct log *l, struct slice topic);

/* Rooms with somebody in them. */
size_t log_rooms(struct log *l);

/*
 * Walk topics that have messages or members, the rooms first. each is called under the lock: keep it
 * short. It is let go in between, so what comes or goes meanwhile may be met or not. Stops when each
 * returns false.
 */
struct log_topic_info {
	struct slice name;
	size_t messages;
	size_t members;
	uint64_t last_id;
};
void log_each_topic(
    struct log *l, bool (*each)(const struct log_topic_info *t, void *ctx), void *ctx);
/* As log_each_topic, but rooms only. */
void log_each_room(
    struct log *l, bool (*each)(const struct log_topic_info *t, void *ctx), void *ctx);
/* The same of one topic. False when each returned that. */
bool log_one_topic(struct log *l, struct slice name,
    bool (*each)(const struct log_topic_info *t, void *ctx), void *ctx);

/* --- life --- */
struct log_options {
	unsigned n_workers;
	uint64_t now_us;     /* wall clock: a new log begins here */
	uint32_t max_topics; /* limits.topics; 0: no limit */
	uint32_t crowd;      /* chat.presence_limit; 0: no limit */
	uint32_t scheduled;  /* storage.scheduled */
	uint32_t scheduled_per_user;
};

/* Takes the store, even on failure. NULL on no memory, or when the store cannot start. */
MUST_CHECK struct log *log_new(const struct log_options *options, struct store *store);
/*
 * Before the workers' hubs go: what is under way in the store is finished, or fails; from then on
 * nothing is appended, and what is read fails at once.
 */
void log_stop(struct log *l);
/* With log_stop; what nobody met in the tail goes. NULL is fine. */
void log_free(struct log *l);
/* limits.topics of a reload. */
void log_set_max_topics(struct log *l, uint32_t max);
/* chat.presence_limit of a reload. */
void log_set_crowd(struct log *l, uint32_t members);
/*
 * Lets topics go by the rules of c from now on, not only from their next message on: some of them, from *at
 * on (0: from the beginning). False when those were the last. A message that is under way brings the rule
 * along that it was made with, so after a reload this is done more than once.
 */
bool log_use_rules(struct log *l, const struct config *c, size_t *at);
/* Retention; once a second, main thread. */
void log_sweep(struct log *l, int64_t now_ms);
/*
 * How the store is: 0; 1 with a warning in text; -1 when it takes nothing, with the reason. Any
 * thread.
 */
int log_health(struct log *l, int64_t now_ms, char *text, size_t n);

struct log_unread {
	uint64_t after;
	struct slice user_id; /* whose own do not count */
	int64_t now_ms;       /* what has ended by then does not either */
	unsigned max;
	unsigned looks; /* messages that may still be looked at: counts down */
};

/* --- the store behind the log: what a file under src/store/ provides --- */
struct store_ops {
	const char *name;
	/*
	 * The log is there, its options set: tell it what is stored (begin, last, topics), start
	 * threads. 0 or negative. May be NULL.
	 */
	int (*start)(struct store *s);
	/* See log_stop. May be NULL. */
	void (*stop)(struct store *s);
	/* 0, or -1 with the reason why nothing can be stored. Any thread. May be NULL. */
	int (*health)(struct store *s, char *text, size_t n);
	/*
	 * Assigns ids and keeps the messages, then log_publish. Called without the log's lock,
	 * on any thread; may finish later on a thread of its own (log_promise before, so that
	 * there is room in the tail then). On failure sets a->status and publishes that.
	 */
	int (*append)(struct store *s, struct append *a, unsigned caller);
	/* Without the lock. Calls r->done here and now, or log_read_done on a thread of its own. */
	void (*read)(struct store *s, struct log_read *r);
	void (*sweep)(struct store *s, int64_t now_ms);
	/* Under the lock: the topic goes, free its part. */
	void (*forget)(struct store *s, struct log_topic *t);
	/* Under the lock: sets messages and bytes. */
	void (*extent)(struct store *s, struct log_extent *out);
	/* Its own metrics as Prometheus reads them; any thread. May be NULL. */
	void (*metrics)(struct store *s, struct buf *out);
	/*
	 * Under the lock: how many messages of a topic somebody has not read; -1 when what is in
	 * memory does not tell: LOG_COUNT does. May be NULL.
	 */
	int (*unread)(struct store *s, const struct log_topic *t, struct log_unread *u);
	void (*free)(struct store *s);
};

struct store {
	const struct store_ops *ops;
	struct log *log; /* set by log_new */
};

#endif
