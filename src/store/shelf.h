/*
 * The part of the log that is in memory: all messages above some id, in one ring and in one more
 * for each topic (a shelf). The memory store has everything here; a store with a disk keeps its
 * newest part, and each shelf knows how far down it reaches. Under the log's lock.
 */
#ifndef STORE_SHELF_H
#define STORE_SHELF_H

#include "core/log_private.h"
#include "store/ring.h"

/* What is here of a topic; log_topic.stored points at it, or at a struct that begins with it. */
struct shelf {
	struct ring ring; /* its first entry is never a hole */
	size_t n_holes;
	int64_t next_end_ms; /* no message here ends by its ttl before; 0: none has one */
	/* the topic's newest message that is stored elsewhere only; 0: all are here */
	uint64_t cold_id;
};

struct shelves {
	/* every message by id; those that were taken leave a hole until the ring is packed */
	struct ring all;
	size_t n_holes;
	size_t n_messages;
	size_t bytes; /* of the messages without their forms */
	_Atomic int64_t forms_bytes;
	uint64_t cold_id; /* the newest of all that is stored elsewhere only; 0: all are here */
};

void shelves_done(struct shelves *s);

static inline size_t
shelves_bytes(const struct shelves *s)
{
	int64_t forms = atomic_load_explicit(&s->forms_bytes, memory_order_relaxed);

	return s->bytes + (forms > 0 ? (size_t)forms : 0);
}

static inline struct shelf *
shelf_of(const struct log_topic *t)
{
	return t == NULL ? NULL : t->stored;
}

static inline bool
message_has_ended(const struct message *m, int64_t now_ms)
{
	return m->expires_ms != 0 && m->expires_ms <= now_ms;
}

/*
 * Put the newest message in, with a reference of its own. Room for it was reserved in both rings.
 */
void shelves_push(struct shelves *s, struct shelf *shelf, struct message *m);
/*
 * Put a message below all others, as far down as this part then reaches; with a reference of its
 * own. 0 or -ENOMEM.
 */
MUST_CHECK int shelves_push_below(struct shelves *s, struct shelf *shelf, struct message *m);
/* One that was put in stands in the shelf of its second topic, too; room for it was reserved. */
void shelf_push_also(struct shelf *shelf, struct message *m);
/* The same before all others. 0 or -ENOMEM. */
MUST_CHECK int shelf_push_also_below(struct shelf *shelf, struct message *m);
/* The shelf's oldest goes; not empty. Returns it with a reference. */
MUST_CHECK struct message *shelves_pop(struct shelves *s, struct log *l, struct shelf *shelf);
/* A topic in whose shelf the oldest of all stands; there is one. */
struct log_topic *shelves_oldest(const struct shelves *s, struct log *l);
/* shelf: NULL is an empty one. */
bool shelf_has(const struct shelf *shelf, uint64_t id);
/* Whether a message is in the shelf of one of its topics. */
bool shelves_stands(struct log *l, const struct message *m);
/* What has ended by its ttl goes, wherever it stands, each told to `gone`. True when something went. */
bool shelves_take_ended(struct shelves *s, struct shelf *shelf, int64_t now_ms,
    void (*gone)(struct message *m, void *ctx), void *ctx);

/* One of this id, in its current state; NULL when it is not here. Borrowed. */
struct message *shelves_find(const struct shelves *s, uint64_t id);
/* The new state of a message that is here: it stands where the old one stood. */
void shelves_replace(struct shelves *s, struct log *l, struct message *m);
/* One goes from the middle; it may not be here. */
void shelves_drop(struct shelves *s, struct log *l, uint64_t id);
/* Messages of a shelf. */
static inline size_t
shelf_count(const struct shelf *shelf)
{
	return shelf->ring.n - shelf->n_holes;
}

/* Of the shelf's messages those that somebody has not read; -1 when there may be more of them below. */
int shelf_unread(const struct shelves *s, const struct shelf *shelf, struct log_unread *u);

/*
 * Answer a read (without r->trimmed and without calling done), as far down as this part reaches.
 * False, and nothing is changed, when it would have to begin below.
 */
MUST_CHECK bool shelves_read(const struct shelves *s, struct log *l, struct log_read *r);

/* What a read asks for is here down to the first id above this one. */
uint64_t shelves_reach(const struct shelves *s, struct log *l, const struct log_read *r);

/* Whether a message of this topic and end (0: none) is one of those that a read asks for. */
bool read_wants(const struct log_read *r, struct slice topic, int64_t expires_ms);
/* One more result, if it fits: its bytes are added to *bytes. Adds a reference. */
bool read_take(struct log_read *r, struct message *m, size_t *bytes);

#endif
