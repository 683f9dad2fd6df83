/*
 * One worker's part of the domain: who on this worker subscribes to what; delivering the log's
 * tail to them; readers that are behind. Worker thread only.
 *
 * A subscription is *level* when it is fed from the tail, or *behind* when a reader
 * (core/reader.h) brings it what the log has between its cursor and the worker's position.
 */
#ifndef CORE_HUB_H
#define CORE_HUB_H

#include "base/list.h"
#include "base/map.h"
#include "core/counters.h"
#include "core/log.h"
#include "core/wire.h"

struct config;
struct hub;
struct reader;
struct subscriber;
struct session;
struct claims;
struct ws_deflater;
struct limiter;
struct slow;
struct refusal;
struct measure;
TAILQ_HEAD(reader_list, reader);
struct joining; /* a join that waits until what is unread is counted; core/session_room.c */
LIST_HEAD(joining_list, joining);

/* A subscription: one pattern of one subscriber. */
struct sub {
	struct subscriber *who;
	struct hub_topic *at;  /* the pattern and all its subscriptions here */
	struct reader *reader; /* NULL: level */
	struct sub *next;      /* of the same subscriber */
	/* tail sequence: earlier presence changes are in the snapshot it was given */
	uint64_t presence_from;
	uint64_t since;        /* the position where it began: later messages are live for it */
	uint32_t slot;         /* index in at->subs */
	uint32_t dropped : 29; /* ephemeral messages not kept for it while it was behind */
	bool is_present : 1;   /* counted among the room's members */
	bool is_room : 1;      /* joined: presence and typing too */
	bool is_named : 1;     /* subscribed by its topic: of a room beside joining it */
};

/* A pattern, and who subscribes to it on this worker. */
struct hub_topic {
	struct slice pattern; /* behind the struct */
	bool is_topic;        /* no wildcard in it */
	uint32_t n;           /* of subs */
	uint32_t n_left;      /* of a run: these, in front, look at each message */
	uint32_t cap;
	struct sub **subs; /* in no order; each knows its slot */
};

/* How a subscriber is reached: implemented by the endpoints over net, and by the tests. */
struct subscriber_ops {
	/* Room for one more message in the queue? */
	bool (*has_room)(struct subscriber *s);
	/* Shares w. A failure ends the connection, but not within this call. */
	void (*push)(struct subscriber *s, struct wire *w);
	/* w may hold several messages, one behind the other; w->message is the last of them. */
	bool takes_runs;
	/*
	 * A subscription (or the whole stream, sub NULL) learns that something is missing;
	 * dropped: ephemeral messages not kept for it. gap_id: where it stands in a stream's
	 * merge.
	 */
	void (*gap)(struct subscriber *s, struct sub *sub, const struct log_resume *gap,
	    uint64_t asked, uint32_t dropped);
	/*
	 * A logged message of its own passed in the log: its cursor may pass it too. May be
	 * NULL.
	 */
	void (*own)(struct subscriber *s, uint64_t id);
	/* Whose connection it is. Every session has it; NULL: nobody's. */
	const struct claims *(*claims)(struct subscriber *s);
	/* No memory to let it fall behind: it must end (later, not in this call). */
	void (*fail)(struct subscriber *s);
	/* A reader brought it level: rooms get fresh members when presence changes were skipped. */
	void (*level)(struct subscriber *s, struct sub *sub, bool presence_skipped);
};

/* The readers of one subscriber; made by the first, freed with the last. */
struct readers {
	struct reader_list all;
	struct reader *catch_up; /* of those that were level when its queue filled; NULL: none */
	struct reader *passing;  /* whose message is being pushed; NULL: the tail's */
};

/* One cache line: delivering looks at each of thousands. */
struct subscriber {
	const struct subscriber_ops *ops;
	void *outlet; /* what push writes to, the endpoint's; only fetched ahead of it here */
	/* sequence + 1 of the last slot delivered: once, however many subscriptions match */
	uint64_t seen;
	uint64_t number; /* unique in the process, never reused: the origin of what it sends */
	struct hub *hub;
	struct sub *subs;        /* its subscriptions */
	struct readers *readers; /* NULL when level everywhere: owned */
	uint32_t n_rooms;        /* of a session: rooms it has joined */
	uint16_t n_over_rate;    /* … and its messages in a row that were too many */
	uint8_t form;            /* enum message_form */
	bool is_stream : 1;      /* one merged cursor for all its subscriptions (SSE) */
	/* moderation_withholds is to be asked before a room's message comes by a pattern */
	bool may_be_banned : 1;
	bool is_joining : 1; /* of a session; core/session_room.c */
};
_Static_assert(sizeof(struct subscriber) == 64, "a subscriber is one cache line");

struct hub {
	struct log *log;
	unsigned worker;
	struct config *config;
	struct counters *counters;
	int64_t now_ms;    /* wall clock of this turn */
	uint64_t mono_us;  /* monotonic */
	uint64_t position; /* P: the id up to which the tail was delivered */
	uint64_t sequence; /* of the next slot */
	bool in_tail;
	struct map topics; /* exact, by name */
	struct hub_topic **patterns;
	size_t n_patterns;
	struct reader_list ready; /* readers with something to do */
	struct map sessions;      /* chats over SSE by session id */
	struct joining_list joinings;
	/* limits.publishes_per_second, by user; borrowed, NULL: no limit */
	struct limiter *publishes;
	struct slow *slow;            /* slow mode; borrowed, NULL: there is none */
	struct ws_deflater *deflater; /* of FORM_WS_DEFLATE; borrowed, NULL: none is made */
	/*
	 * Verify a token sent in a `refresh`: set by serve. 0 and *out (one reference), or -1
	 * with *why.
	 */
	int (*verify)(struct hub *h, struct slice token, struct claims **out, struct refusal *why);
	/*
	 * Bring a measure to the connections of all workers, then home, where its done is called: set by
	 * serve. NULL: there are none.
	 */
	void (*reach)(struct hub *h, struct measure *m);
	/* the workers' threads have ended: nothing travels between them any more */
	bool is_leaving;
	void *owner; /* serve's context */
};

/*
 * The position starts at the log's end. Shares config; log and counters must outlive h. What others set
 * (publishes, slow, deflater, verify, reach, owner) is NULL.
 */
void hub_init(struct hub *h, struct log *log, unsigned worker, struct config *config,
    struct counters *counters);
/* Frees its tables; every subscriber has gone (hub_forget). */
void hub_done(struct hub *h);
/* The configuration of a reload; shares it. */
void hub_set_config(struct hub *h, struct config *config);

/*
 * Deliver what the tail has. Called at the end of a turn, and before a subscription starts so
 * that the position is the log's.
 */
void hub_tail(struct hub *h);
/* Let readers that are behind read on, each one bounded step. True when some are left to do. */
bool hub_read(struct hub *h);

/*
 * Subscribe, level from the current position. Returns the subscription (owned by the
 * subscriber), or NULL with *status -ENOMEM / -ENOSPC. Not twice for one pattern: see sub_find.
 */
MUST_CHECK struct sub *hub_subscribe(
    struct hub *h, struct subscriber *s, struct slice pattern, bool is_room, int *status);
/* Ends and frees it, with what it was still to be told. */
void hub_unsubscribe(struct hub *h, struct sub *sub);
/* Ends every subscription and reader. */
void hub_forget(struct hub *h, struct subscriber *s);
/* The subscription to exactly this pattern; NULL: there is none. */
struct sub *sub_find(const struct subscriber *s, struct slice pattern);
static inline struct slice
sub_pattern(const struct sub *sub)
{
	return sub->at->pattern;
}

/* The queue of a subscriber has drained: its readers may go on. */
void hub_drained(struct hub *h, struct subscriber *s);

/* The bytes of a message in a subscriber's form. As message_form. */
MUST_CHECK int hub_form(
    struct hub *h, struct message *m, enum message_form form, struct slice *out);

/* Append on behalf of this worker: sets worker and times. As log_append. */
MUST_CHECK int hub_append(struct hub *h, struct append *a);

#endif
