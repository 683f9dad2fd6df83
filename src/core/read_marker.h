/*
 * Read markers: up to which message a user has read a room. They only go forward, are in memory at
 * once, and are told and written down by the main thread, each at most once a second. Any thread.
 */
#ifndef CORE_READ_MARKER_H
#define CORE_READ_MARKER_H

#include "core/facts.h"
#include "core/log.h"

#define MARKERS_MAX     100000 /* of all users and rooms; the one moved longest ago goes first */
#define MARKER_ROOM_MAX 50     /* members of a room that hears who has read how far */
#define MARKER_UNREAD   1000   /* counted at most */
#define MARKER_TELL_MS  1000
#define MARKER_LIFE_MS  ((int64_t)400 * 24 * 3600 * 1000)
#define MARKER_GUEST_MS ((int64_t)7 * 24 * 3600 * 1000) /* of those who are gone tomorrow */

struct markers;
/* An empty table, the log's; NULL on no memory. */
MUST_CHECK struct markers *markers_new(void);
/* NULL is fine. */
void markers_free(struct markers *m);
/* One that a store has kept: at its start. 0 or -ENOMEM. */
MUST_CHECK int markers_load(struct markers *m, const struct fact *f);

/* A marker could not be written: the next time. */
void markers_unwritten(struct markers *m, const struct fact *f);

struct marker_move {
	struct slice topic; /* of a room */
	struct message_from user;
	uint64_t id;     /* a message's, or any id: what is not above it is read */
	uint64_t origin; /* the session that says so: it is not told */
	bool is_guest;
};
/* 0, or -ENOMEM; back is not a move. */
MUST_CHECK int marker_move(struct log *l, const struct marker_move *move, int64_t now_ms);
/* Where it stands; 0: there is none. */
uint64_t marker_get(struct log *l, struct slice topic, struct slice user_id);
struct marker_state {
	uint64_t id; /* 0: there is none, nor anything unread */
	int unread;  /* up to MARKER_UNREAD; -1: that is on the disk (LOG_COUNT) */
};
/* Where it stands, and how much of others is above it. */
void marker_look(struct log *l, struct slice topic, struct slice user_id, int64_t now_ms,
    struct marker_state *out);
/* Members `unread`, unless it is -1, and `read`, when there is a marker. Failures stick to b. */
void marker_add(struct buf *b, const struct marker_state *m);

/* Tell and write those that moved; several times a second, main thread. */
void markers_tick(struct log *l, int64_t now_ms);
/* Write what is not written yet: before the store stops. */
void markers_flush(struct log *l);

#endif
