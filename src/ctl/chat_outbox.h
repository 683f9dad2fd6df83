/*
 * What somebody has asked for and the daemon has not answered yet, in its order. One request is under
 * way at a time, so that the order holds over refusals and cut connections, and each text has a `key`
 * of its own, so that sending it again says it once. Pure. One thread.
 */
#ifndef CTL_CHAT_OUTBOX_H
#define CTL_CHAT_OUTBOX_H

#include "base/list.h"
#include "ctl/chat_view.h"
#include "ctl/chat_words.h"

#define OUTBOX_MAX     1000 /* requests; input waits while there are so many */
#define OUTBOX_KEY_MAX 48   /* bytes, with the NUL */

struct outbox_entry {
	TAILQ_ENTRY(outbox_entry) entry;
	enum words_verb verb;
	uint64_t ref;
	char *line;      /* as it was typed */
	char *text;      /* what to say, a sign, a room; or "" */
	char *to;        /* of WORDS_MSG: a user id; else NULL */
	uint64_t target; /* of WORDS_REPLY, EDIT, DELETE, REACT: a message */
	uint64_t n;
	char key[OUTBOX_KEY_MAX]; /* of what is said; "": the topic knows none */
	unsigned tries;
	bool is_resolved; /* it is known whom, and which message, it is about */
	bool was_sent;    /* on a connection that ended: it may have been done */
};

struct outbox {
	TAILQ_HEAD(outbox_list, outbox_entry) entries;
	size_t n;
	uint64_t next_ref;
	char prefix[20]; /* of keys, random */
};

void outbox_init(struct outbox *o);
void outbox_done(struct outbox *o);
/* Add what w asks for. 0 or -ENOMEM. */
MUST_CHECK int outbox_add(struct outbox *o, const struct words *w, struct slice line);
/*
 * Find out whom and which message it is about, as things stand now. 0; -ENOMEM or -EINVAL with *wrong
 * (static text): there is none.
 */
MUST_CHECK int outbox_resolve(struct outbox_entry *e, const struct view *v, const char **wrong);
/* The one that was added last. */
struct outbox_entry *outbox_last(const struct outbox *o);
/* The one whose turn it is; NULL when all is done. */
struct outbox_entry *outbox_front(const struct outbox *o);
void outbox_pop(struct outbox *o);
/* Whether it is something to say, which gets a message's id. */
bool outbox_is_text(const struct outbox_entry *e);
/*
 * Append the front entry, resolved, as the JSON that the daemon gets. 0, or as outbox_resolve.
 */
MUST_CHECK int outbox_write(
    struct outbox *o, const struct view *v, struct buf *out, const char **wrong);

#endif
