/*
 * Presence: which users are in which rooms, with how many connections. One table under the log's
 * lock; its changes are ephemeral messages of the tail, and a snapshot says at which place of the
 * tail it was taken. Any thread.
 */
#ifndef CORE_PRESENCE_H
#define CORE_PRESENCE_H

#include "core/log.h"

struct presence_view {
	uint64_t sequence; /* of the tail: later changes are not in it */
	size_t count;      /* users */
};
/* A member's name, to be compared with the others'. */
struct presence_name {
	struct slice key;   /* name_key (core/name.h) of it; absent: it looks like no other */
	bool is_self_given; /* must not look like one that is not */
};
#define PRESENCE_LISTED 100 /* members listed at most */

/*
 * One more connection of a user in a room. members (may be NULL): appended as a JSON array. The
 * first connection of a user is announced. 0, -ENOMEM, -ENOSPC; -EEXIST when a name that the user
 * made up looks like another member's.
 */
MUST_CHECK int presence_join(struct log *l, struct slice topic, struct message_from user,
    const struct presence_name *name, uint64_t origin, unsigned caller, struct buf *members,
    struct presence_view *out);
/* One less; the last one is announced now, or at leave_at_ms (wall clock) when that is not 0. */
void presence_leave(struct log *l, struct slice topic, struct slice user_id, uint64_t origin,
    int64_t leave_at_ms, unsigned caller);
MUST_CHECK int presence_members(
    struct log *l, struct slice topic, struct buf *members, struct presence_view *out);
struct presence_of {
	size_t members;       /* of the room */
	unsigned connections; /* of this user there */
};
/* False when nobody is there, or nobody counts. */
bool presence_look(
    struct log *l, struct slice topic, struct slice user_id, struct presence_of *out);
/*
 * Somebody there, by a name that was not made up, would be taken for this guest: key is that of the
 * guest's name. Not when it is the name by which the guest is a member, who was there before.
 */
bool presence_is_other(
    struct log *l, struct slice topic, const struct message_from *guest, struct slice key);
/* More are in the room than chat.presence_limit: who comes, goes or types is not told. */
bool presence_is_crowded(struct log *l, struct slice topic);
/*
 * Announce those whose grace is over, and once a second the count of a crowded room that has
 * changed; several times a second, main thread.
 */
void presence_expire(struct log *l, int64_t now_ms);

#endif
