/*
 * A session is somebody in a chat: a WebSocket or a chat over SSE. It carries out commands
 * (core/command.h) and receives what its rooms and topics bring. Worker thread only.
 */
#ifndef CORE_SESSION_H
#define CORE_SESSION_H

#include "core/claims.h"
#include "core/error.h"
#include "core/hub.h"
#include "core/limiter.h"
#include "core/position.h"
#include "core/topic.h"

#define SESSION_PENDING_MAX 64 /* unanswered requests of a connection */
#define SESSION_LAST        50 /* stored messages on joining, where nothing else is asked */

struct session;
struct caller;

/* Where the answer of a command goes: the session's own connection, or the POST that brought it. */
struct caller_ops {
	void (*answer)(struct caller *c, const char *type, struct slice json);
	/* ref: JSON text, absent if none. */
	void (*refused)(struct caller *c, const struct refusal *r, struct slice ref);
	/*
	 * An answer could not be made of what may have been done: the connection that waits for it
	 * ends, so that nobody takes it for refused, nor waits for ever.
	 */
	void (*lost)(struct caller *c);
	/* One command more or less is unanswered. May be NULL. */
	void (*pending)(struct caller *c);
};

/* A question to the log that is under way for a caller; base of the asker's own struct. */
struct lookup {
	LIST_ENTRY(lookup) link;
	struct caller *caller; /* NULL: it has gone */
	/* under way for it, of no use to anybody else; NULL: there is none */
	struct log_read *read;
};
LIST_HEAD(lookup_list, lookup);

struct caller {
	const struct caller_ops *ops;
	struct append_list appends; /* under way for it */
	struct lookup_list lookups;
	unsigned n_pending; /* commands of its that are unanswered */
};

/* From now on c waits for what q finds. */
void lookup_begin(struct lookup *q, struct caller *c);
/*
 * It was found, or not asked at all. Returns who waited, to be answered and then told with
 * caller_tell_pending; NULL when it has gone.
 */
struct caller *lookup_end(struct lookup *q);
/* n_pending has changed, and whatever was to be answered is. */
void caller_tell_pending(struct caller *c);

struct session_ops {
	struct subscriber_ops who; /* first: its subscriber's `ops` points at it */
	/*
	 * One message to this session: JSON of that type. id: of one that is logged, or a place up to which
	 * nothing more comes; else 0.
	 */
	void (*send)(struct session *s, const char *type, uint64_t id, struct slice json);
	/* The token changed (refresh): arm the deadline anew. */
	void (*token_changed)(struct session *s);
	/* Something is due earlier than before: arm the deadline anew. May be NULL. */
	void (*deadline_changed)(struct session *s);
};

struct typing; /* a room in which it is typing now; core/typing.c */
LIST_HEAD(typing_list, typing);

struct session {
	struct subscriber who;
	struct caller caller; /* for its own connection */
	struct claims *claims;
	char *name; /* display name asked for; NULL: the token's */
	struct bucket rate;
	struct typing_list typing;
};

/* Takes the reference to claims; name may be absent (copied). 0 or -ENOMEM. */
MUST_CHECK int session_init(struct session *s, struct hub *h, const struct session_ops *ops,
    struct claims *claims, struct slice name);
/* Leaves everything; lost: rooms keep the user for leave_grace. */
void session_done(struct session *s, bool lost);

static inline struct session *
session_of(struct subscriber *who)
{
	return CONTAINER(who, struct session, who);
}
static inline const struct session_ops *
session_ops_of(const struct session *s)
{
	return (const struct session_ops *)(const void *)s->who.ops;
}
/* It is in one room or topic, so that a place in the log is a place in all that it reads. */
static inline bool
session_has_one(const struct session *s)
{
	return s->who.subs != NULL && s->who.subs->next == NULL && s->who.subs->at->is_topic;
}
/* Id and display name, borrowed from s and its claims. */
struct message_from session_user(const struct session *s);

/* Members `after`, `oldest`, `reason` and `dropped` of a gap; failures stick to b. */
void gap_write(struct buf *b, const struct log_resume *gap, uint64_t asked, uint32_t dropped);
/* gap, claims and level of subscriber_ops, the same for every session. */
void session_gap(struct subscriber *who, struct sub *sub, const struct log_resume *gap,
    uint64_t asked, uint32_t dropped);
const struct claims *session_claims(struct subscriber *who);
void session_level(struct subscriber *who, struct sub *sub, bool presence_skipped);

/* How to join a room; all borrowed. */
struct session_join {
	struct slice room;           /* its name */
	const struct position *from; /* what is brought of what was said before */
	struct slice ref;            /* JSON text, or absent */
	/* what comes next counts on it: `unread` is left out rather than waited for */
	bool is_at_once;
};
/*
 * Join a room as the query or a command asked. Answers `joined` through caller; later, when the
 * disk has to be asked for what is unread, and until then session_is_joining. 0, or -1 with *why.
 */
MUST_CHECK int session_join(
    struct session *s, struct caller *c, const struct session_join *how, struct refusal *why);
static inline bool
session_is_joining(const struct session *s)
{
	return s->who.is_joining;
}
#define SESSION_JOIN_MS 1000 /* that it waits, and at most twice that */
/* It waits no longer if it has since upto_ms (monotonic): it joins without `unread`. */
void session_hurry(struct session *s, uint64_t upto_ms);
/* The session ends. */
void session_give_up_joining(struct session *s);
/*
 * Leave a room; answers `left` through c. reason: why it must, in words; NULL: the client asked.
 * Frees sub, unless it was subscribed by its topic, too.
 */
void session_leave(
    struct session *s, struct caller *c, struct sub *sub, const char *reason, struct slice ref);
/* Subscribe to a topic or pattern; answers `subscribed` through c. 0, or -1 with *why. */
MUST_CHECK int session_subscribe(struct session *s, struct caller *c, struct slice pattern,
    const struct position *from, struct slice ref, struct refusal *why);
/* As session_leave, of a topic or pattern: `unsubscribed`. */
void session_unsubscribe(
    struct session *s, struct caller *c, struct sub *sub, const char *reason, struct slice ref);
/* The daemon ends both, and the session is told why. Frees sub. */
void session_lose(struct session *s, struct sub *sub, const char *reason);
/* A pattern of its own does not bring this topic: it is told why. */
void session_deny(struct session *s, struct slice topic, const struct refusal *why);

/*
 * A new token: same user; what it no longer grants is left, and said. Takes claims. 0, or -1
 * with *why.
 */
MUST_CHECK int session_refresh(struct session *s, struct claims *claims, struct refusal *why);

/* The member `expires`: when the token ends, null where it does not. A failure sticks. */
void session_add_expires(struct buf *b, const struct session *s);
/* The `welcome` message's JSON. */
int session_welcome(struct buf *out, const struct session *s, struct slice session_id);
/* Hand an append to the log; its ack goes to c. Takes a. 0, or -1 with *why. */
MUST_CHECK int caller_append(
    struct caller *c, struct hub *h, struct append *a, struct refusal *why);
/* Nothing is under way for it. */
void caller_init(struct caller *c, const struct caller_ops *ops);
/* It goes: what is under way goes on, and nobody is answered. */
void caller_done(struct caller *c);

/* Members "user", "rooms" and "topics" of an object, for the administrator. */
void session_describe(const struct session *s, struct buf *out);

/* --- typing (core/typing.c) --- */
/* Tell the room; true ends by itself after chat.typing_timeout. 0, or -1 with *why. */
MUST_CHECK int session_type(struct session *s, struct sub *sub, bool typing, struct refusal *why);
/*
 * It sent what it was typing, left, or was lost: the room hears the end of typing, if there was
 * any. sub NULL: in every room.
 */
void session_stop_typing(struct session *s, const struct sub *sub);
/* Ends what is due at now_ms (monotonic). */
void session_typing_tick(struct session *s, uint64_t now_ms);
/* When the next one is due, monotonic ms; 0: none. */
uint64_t session_typing_due(const struct session *s);

/* {"type":"error",…} of a refusal. */
int session_error(struct buf *out, const struct refusal *r, struct slice ref);

/* An answer in the making: {"type":…,"ref":…; caller_answer closes and sends it, and frees b. */
void answer_start(struct buf *b, const char *type, struct slice ref);
void caller_answer(struct caller *c, const char *type, struct buf *b);

#define ROOM_TOPIC_MAX (sizeof("chat/") + TOPIC_MAX) /* bytes that room_topic may append */
/* "chat/<room>" appended; 0, or -1 with *why when room is no room name. */
MUST_CHECK int room_topic(struct buf *out, struct slice room, struct refusal *why);

#endif
