/*
 * The inside of the SQLite store, for its own files. What a field belongs to is said with it: one
 * thread, or a lock. The log's lock is taken before `lock`, never after it.
 */
#ifndef STORE_SQLITE_PRIVATE_H
#define STORE_SQLITE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/counters.h"
#include "core/message_record.h"
#include "store/read_turns.h"
#include "store/shelf.h"
#include "store/sqlite.h"
#include "store/sqlite_db.h"

#define SQLITE_QUEUE_MAX     8192 /* appends that wait: beyond it publishers are told to come again */
#define SQLITE_QUEUE_BYTES   ((size_t)64 * 1024 * 1024)
#define SQLITE_BATCH_MAX     512 /* appends of one transaction */
#define SQLITE_BATCH_BYTES   ((size_t)16 * 1024 * 1024)
#define SQLITE_JOINS_MAX     8 /* times that a transaction takes in what came while it was written */
#define SQLITE_ROWS_MAX      512     /* messages that one statement writes */
#define SQLITE_READERS       2       /* the second is for searches */
#define SQLITE_STALL_US      2000000 /* a disk that answers no sooner is stalled */
#define SQLITE_SCAN_TOPICS   32      /* topics that one read merges; more are filtered */
#define SQLITE_SCAN_STMTS    (2 * SQLITE_SCAN_TOPICS) /* … and their second halves */
#define SQLITE_SCAN_MAX      4096                     /* rows looked at in one read */
#define SQLITE_READ_US       10000000                 /* a read that takes longer is given up */
#define SQLITE_SEARCH_US     3000000
#define SQLITE_STEP_TOPICS   64   /* topics trimmed in one step beside the traffic */
#define SQLITE_STEP_MESSAGES 512  /* messages trimmed in one step */
#define SQLITE_STEP_INDEX    64   /* messages indexed in one step */
#define SQLITE_WAL_PAGES     4096 /* the WAL's, after which they are moved into the database */
#define SQLITE_WAL_FULL      4    /* times as many: now it has to be, whoever waits */
#define SQLITE_WAL_REST      4 /* a part that the writer moves itself, so that the WAL can begin anew */
#define SQLITE_STEP_WARM     256      /* messages brought back into memory in one step */
#define SQLITE_INDEX_LAG_US  30000000 /* after which indexing waits no longer for an idle moment */

/* What one transaction changes in a topic; taken over when it is committed. */
struct change {
	bool is_in; /* in the batch's list */
	int64_t tid;
	uint32_t n_new; /* messages */
	uint32_t n_gone;
	uint32_t n_changes;     /* of the topic before */
	uint32_t n_new_changes; /* records that change one */
	uint32_t n_gone_changes;
	uint64_t last_id;  /* of the new ones */
	uint64_t first_id; /* afterwards: the oldest one there */
	int64_t first_ms;
	bool is_first_known;
	bool is_shared;   /* a user's topic: messages can stand under another one besides */
	uint64_t cut_id;  /* trimmed up to here; 0: not */
	int64_t ended_ms; /* what ended by then went; 0: not */
	int64_t next_end_ms;
	uint32_t keep_count;
	uint64_t keep_ms;
};

/* What /metrics tells of the disk; each by one thread, but n_disk_reads. */
struct sqlite_figures {
	_Atomic uint64_t n_commits;
	_Atomic uint64_t n_failed;  /* of them */
	_Atomic uint64_t n_written; /* messages */
	struct latencies commits;
	struct latencies reads[SQLITE_READERS];
	_Atomic uint64_t n_disk_reads;
	_Atomic uint64_t n_damaged;     /* messages passed over */
	_Atomic uint64_t n_checkpoints; /* by both threads */
};

/* What was written goes on into the database beside the traffic, on a thread of its own. */
struct mover {
	pthread_t thread;
	bool is_running;
	struct db db;
	bool has_failed; /* its own */
	/* under the store's lock */
	bool is_wanted;
	bool is_busy;
	/* the writer's and its own */
	_Atomic unsigned n_pages; /* in the WAL */
	_Atomic unsigned n_moved; /* of them */
};

/* log_topic.stored */
struct disk_topic {
	struct shelf shelf;
	struct log_topic *topic;
	/* written by the writer under the log's lock: others read them under it, the writer always */
	int64_t tid;                  /* 0: no row yet */
	int64_t first_ms;             /* time of the oldest message; 0: not known */
	int64_t next_end_ms;          /* no message ends by its ttl before; 0: none has one */
	int64_t ended_ms;             /* what had ended by then is gone */
	struct change change;         /* the writer's */
	TAILQ_ENTRY(disk_topic) link; /* in the batch, then in the list of forgotten ones */
};
TAILQ_HEAD(disk_topic_list, disk_topic);

struct reader_thread {
	struct sqlite_store *store;
	pthread_t thread;
	bool is_running;
	struct db db;
	/* for reads of a few topics, made at their first need */
	sqlite3_stmt *up[SQLITE_SCAN_STMTS];
	sqlite3_stmt *down[SQLITE_SCAN_STMTS];
	uint64_t deadline_us;
	bool has_failed; /* the last read did, whatever was tried */
	_Atomic uint64_t n_failed;
	struct read_turns queue; /* under lock */
};

/* A message that has changed: what memory has of it follows when the change is committed. */
struct changed {
	TAILQ_ENTRY(changed) link;
	struct message *now; /* one reference */
	uint64_t *gone;      /* owned: records that are no more */
	size_t n_gone;
};
TAILQ_HEAD(changed_list, changed);

/* A transaction in the making; the writer's. */
struct batch {
	struct append *appends[SQLITE_BATCH_MAX];
	unsigned n;
	unsigned n_ready; /* of them: prepared */
	size_t bytes;
	size_t n_items;
	size_t n_items_ready;
	size_t room;               /* for items, once it was prepared; 0: as many as come */
	struct log_topic **topics; /* of each item, in order; NULL: none */
	struct disk_topic_list touched;
	struct changed_list changed;
	uint64_t last;
	int64_t now_ms;
	uint64_t n_keys;
	bool is_unfinished; /* a topic still has more than its rule keeps */
};

/* New messages of the transaction that are not in the table yet. */
struct rows {
	unsigned n;
	struct row {
		const struct message *message; /* borrowed: it is the batch's */
		int64_t tid;
		int64_t also; /* the second topic; 0: none */
	} all[SQLITE_ROWS_MAX];
};

#define SQLITE_FILES 2 /* the database and its WAL */
struct file_place {
	dev_t device;
	ino_t inode; /* 0: not known */
};

/* How far a sweep is. */
struct sweep {
	bool is_tidied;
	size_t topic; /* in the log's map */
};

struct sqlite_store {
	struct store store;
	char *path;
	char *vfs;
	int lock_fd;
	struct config *config;
	struct sqlite_options options; /* its pointers are the fields above */
	uint64_t opened_us;
	bool has_gap;   /* an unclean end may have lost something, or it is an older copy */
	bool is_copied; /* it is a backup that was put in place */

	/* under the log's lock */
	struct shelves hot;
	size_t n_messages;
	uint64_t n_hits; /* reads answered from memory */
	/*
	 * moves whenever a stored message was changed or taken by other means than retention: what a
	 * reader has in hand may be out of date
	 */
	uint64_t n_rewritten;
	struct disk_topic_list gone; /* forgotten: their rows are still there */
	uint64_t folded;             /* of the log, as it is written down */

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t work;  /* for the writer */
	pthread_cond_t reads; /* for the readers */
	pthread_cond_t indexed_more;
	pthread_cond_t moves; /* for the mover */
	struct append *queue[SQLITE_QUEUE_MAX];
	unsigned queue_at;
	_Atomic unsigned n_queued; /* looked at without the lock, too */
	size_t queue_bytes;
	int64_t sweep_ms; /* a sweep is due; 0: not */
	uint64_t index_wanted;
	uint64_t indexed_done;    /* as committed */
	uint64_t index_made_us;   /* when the index was last found damaged; 0: never */
	_Atomic bool is_stopping; /* a read under way looks without the lock */
	bool is_warming;          /* there is more to bring back into memory */
	bool is_resting;          /* the writer has nothing to do */
	bool has_trouble;
	char trouble[256];

	_Atomic uint64_t busy_since_us; /* the writer waits for the disk; 0: not */
	_Atomic uint64_t n_bytes;       /* of the database */
	struct sqlite_figures figures;
	_Atomic bool is_index_broken;
	_Atomic uint64_t damaged_id; /* the message that was told of last */

	/* the writer's */
	pthread_t thread;
	bool is_running;
	struct db db;
	uint64_t last;    /* newest id given */
	uint64_t indexed; /* messages up to this id are in the search index */
	uint64_t n_keys;
	uint64_t n_free; /* unused pages of the file */
	uint64_t measured_us;
	uint64_t waited_us;  /* when it last waited in vain for readers of the WAL; 0: not */
	uint64_t pause_us;   /* that nothing was queued when the writer had last nothing to do */
	int64_t fact_end_ms; /* no fact ends before; 0: none ends */
	unsigned n_sweeps;
	unsigned wipe;    /* enum sqlite_wipe: what a deletion has left to do */
	bool must_reopen; /* the disk or the file has failed */
	struct file_place places[SQLITE_FILES];
	uint64_t placed_us; /* when they were last seen there */
	/*
	 * a flush failed, perhaps in the last run: something that was written may never reach the disk.
	 * Nobody moves the WAL then, and no transaction ends
	 */
	_Atomic bool is_doubtful;
	bool is_secure; /* pages that are given up are overwritten at this moment */
	bool is_beside; /* this transaction is none of the publishers' */
	bool is_lazy;   /* the connection does not wait for the disk at this moment */
	struct batch batch;
	struct rows rows;

	struct reader_thread readers[SQLITE_READERS];
	struct mover mover;
};

static inline struct sqlite_store *
sqlite_of(struct store *s)
{
	return CONTAINER(s, struct sqlite_store, store);
}

static inline struct disk_topic *
disk_of(const struct log_topic *t)
{
	return t->stored;
}

/* --- sqlite.c --- */
extern const struct store_ops sqlite_ops;

/* --- sqlite_open.c, sqlite_load.c --- */
/* What the log has to know of what is stored; no thread runs yet. 0 or negative. */
MUST_CHECK int sqlite_load(struct sqlite_store *s);
void sqlite_tell(const struct sqlite_store *s, bool is_error, const char *event, const char *text);

/* --- sqlite_write.c --- */
void *sqlite_writer(void *arg);
/* A new connection for the writer, which then is in care of sqlite_wal.c. 0 or -1. */
MUST_CHECK int sqlite_wal_reopen(struct sqlite_store *s);
/* BEGIN, and COMMIT or ROLLBACK; note how the disk is. 0 or -1. */
MUST_CHECK int sqlite_begin(struct sqlite_store *s, bool is_lazy);
MUST_CHECK int sqlite_end(struct sqlite_store *s, int status);
/* How large the database is. */
void sqlite_measure(struct sqlite_store *s);
/* Give the item's message its id, and write it under its topic and the second one. 0 or -1. */
MUST_CHECK int sqlite_write_message(struct sqlite_store *s, struct batch *b, const struct append *a,
    struct append_item *item, struct log_topic *t);
/* The second topic of a message in the batch; NULL: it has none. */
struct log_topic *sqlite_also(struct sqlite_store *s, const struct message *m);
/* A user's: of direct messages. */
bool sqlite_is_shared(const struct log_topic *t);
/* Within the batch's transaction, at its end: what its topics have then. 0 or -1. */
MUST_CHECK int sqlite_write_topics(struct sqlite_store *s, const struct batch *b);
/* The topic is in the batch from here on. */
struct change *sqlite_touch(struct batch *b, struct log_topic *t);

/* --- sqlite_batch.c --- */
/* A new one of what is queued. Under the store's lock. */
void sqlite_batch_begin(struct sqlite_store *s, struct batch *b);
/*
 * Make sure that nothing can fail once its transaction is committed. What cannot be has its status then;
 * negative: nothing can. There is room for some more to join.
 */
MUST_CHECK int sqlite_batch_prepare(struct sqlite_store *s, struct batch *b);
/*
 * What came while the others were written: who was answered after the last transaction has said more by
 * now, and need not wait for the next one.
 */
void sqlite_batch_join(struct sqlite_store *s, struct batch *b);

/* --- sqlite_publish.c --- */
/* The batch's transaction is over: 0, or negative: nothing of it was kept. */
void sqlite_publish(struct sqlite_store *s, struct batch *b, int status);

/* --- sqlite_trim.c --- */
/* Within the batch's transaction: what the rules no longer keep of the topics it has touched. */
MUST_CHECK int sqlite_trim_batch(struct sqlite_store *s, struct batch *b);
/* One step of what a sweep has to do, in a transaction of its own. True when there is more. */
bool sqlite_sweep_step(struct sqlite_store *s, int64_t now_ms, struct sweep *at);

/* --- sqlite_row.c --- */
/* What a row has of its content: where it stands in the JSON, or itself. */
struct row_place {
	unsigned flags;
	uint64_t content_at;
	struct slice content; /* absent: it stands in the JSON */
};
void sqlite_row_place(const struct message_record *r, struct row_place *out);
/* The new state of one that is there. */
MUST_CHECK int sqlite_set_message(struct db *db, const struct message *m);
#define SQLITE_FLAG_OFF 8 /* of messages.flags: a reaction that was taken back */
MUST_CHECK int sqlite_add_scheduled(struct db *db, const struct append_item *item);
MUST_CHECK int sqlite_drop_scheduled(struct db *db, uint64_t number);
/* The row under a statement of DB_MESSAGE; what it borrows lives until the next step. */
void sqlite_row(sqlite3_stmt *row, struct message_record *out);

/* --- sqlite_rows.c --- */
/* The writer's connection is new. 0 or -1. */
MUST_CHECK int sqlite_rows_open(struct sqlite_store *s);
/*
 * A new message for the table; tid and also: its topics, also 0: it has one. It is borrowed until the next
 * sqlite_rows_write or the transaction's end. 0 or -1.
 */
MUST_CHECK int sqlite_rows_add(
    struct sqlite_store *s, const struct message *m, int64_t tid, int64_t also);
/* Before anybody reads the table. 0 or -1. */
MUST_CHECK int sqlite_rows_write(struct sqlite_store *s);

/* --- sqlite_fact.c --- */
struct fact_write;
MUST_CHECK int sqlite_write_fact(struct sqlite_store *s, const struct fact_write *w);
/* The rows of those that have ended. 0 or -1. */
MUST_CHECK int sqlite_drop_facts(struct sqlite_store *s, int64_t now_ms);
/* All that are true, into the log's table. 0, -EIO or -ENOMEM. */
MUST_CHECK int sqlite_load_facts(struct sqlite_store *s);
/* --- sqlite_change.c --- */
/*
 * Write a record of APPEND_CHANGE and what it makes of its target. 0: done, or a->status says why
 * not, or the item is a duplicate; -1.
 */
MUST_CHECK int sqlite_change(
    struct sqlite_store *s, struct batch *b, struct append *a, struct log_topic *t);
/* After the transaction: memory follows (under the log's lock), or nothing was changed. */
void sqlite_changed_apply(struct sqlite_store *s, struct batch *b, bool is_committed);

/* --- sqlite_wipe.c --- */
/*
 * From now on what is given up is overwritten: within the transaction that gives it up. 0 or -1.
 */
MUST_CHECK int sqlite_be_secure(struct sqlite_store *s);
/*
 * Within a deletion's or an edit's transaction: what was there has to go from the write-ahead log, too,
 * and its words from the search index (in_index). 0 or -1.
 */
MUST_CHECK int sqlite_wipe_later(struct sqlite_store *s, bool in_index);
/* One step of that, beside the traffic; once a sweep it may wait for the disk. True: there is more. */
bool sqlite_wipe_step(struct sqlite_store *s, bool is_sweep);
/* What the last run left to do. 0 or -1. */
MUST_CHECK int sqlite_wipe_load(struct sqlite_store *s);

/* --- sqlite_search.c --- */
/*
 * Up to n messages more, within a transaction; upto: the newest id. 0 or -1; *indexed is how far it
 * is then.
 */
MUST_CHECK int sqlite_index(struct db *db, unsigned n, uint64_t upto, uint64_t *indexed);
/* The words of one message. 0 or -1. */
MUST_CHECK int sqlite_index_one(struct db *db, uint64_t id, struct slice text);
/* A step of indexing in a transaction of its own. True: there is more. */
bool sqlite_index_step(struct sqlite_store *s);
/* A search has met damage in the index. */
void sqlite_index_report(struct sqlite_store *s);
/* Nothing that was said is lost by that: an empty one takes its place, and is filled again. */
void sqlite_index_anew(struct sqlite_store *s);
/* Wait until what was there when it was asked can be found, or the time is over. Readers. */
void sqlite_index_wait(struct sqlite_store *s, uint64_t upto);

/* --- sqlite_warm.c --- */
/*
 * Bring the next messages below those in memory back into it. True: there is more to come. Before
 * the threads start with the writer's connection, then the second reader with its own.
 */
bool sqlite_warm_step(struct sqlite_store *s, struct db *db);
/* At the start, as much as there is time for. */
void sqlite_warm(struct sqlite_store *s);

/* --- sqlite_wal.c --- */
/* Its connection and the writer's care; before the threads. 0 or -EIO. */
MUST_CHECK int sqlite_wal_open(struct sqlite_store *s);
void *sqlite_mover(void *arg);
/* After each of the writer's transactions. */
void sqlite_wal_look(struct sqlite_store *s);

/* --- sqlite_place.c --- */
/* The files are made: these are the ones. */
void sqlite_place_note(struct sqlite_store *s);
/* Whether they still are. 0, or -1 with the db's failure. The writer, before it writes. */
MUST_CHECK int sqlite_place_check(struct sqlite_store *s);

/* --- sqlite_renew.c --- */
/* What a flush may have lost is written and flushed once more. Within a transaction of the writer. 0 or -1. */
MUST_CHECK int sqlite_renew(struct sqlite_store *s, bool is_start);
/* A call has failed with this code of SQLite's: note when that was a flush. Any thread. */
void sqlite_doubt(struct sqlite_store *s, int code);
/* db_done; in doubt the WAL stays as it is. */
void sqlite_close(struct sqlite_store *s, struct db *db);

/* --- sqlite_figures.c --- */
void sqlite_metrics(struct store *store, struct buf *out);

/* --- sqlite_read.c --- */
void *sqlite_reader(void *arg);
MUST_CHECK int sqlite_reader_open(struct sqlite_store *s, unsigned i);
void sqlite_reader_close(struct reader_thread *t);

#endif
