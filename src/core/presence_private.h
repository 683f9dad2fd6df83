/* The inside of a room, for presence.c and mention.c; under the log's lock. */
#ifndef CORE_PRESENCE_PRIVATE_H
#define CORE_PRESENCE_PRIVATE_H

#include "core/log_private.h"
#include "core/presence.h"

struct room_member {
	struct slice user_id; /* bytes behind the struct, then the name's and its key's */
	struct slice name;
	struct slice name_key;
	uint32_t connections;
	int64_t leave_at_ms; /* while no connection is left: when it is announced */
	struct log_topic *topic;
	char *mention_key; /* owned: name_key of the name; NULL: none, or not made yet */
	TAILQ_ENTRY(room_member) order;   /* in the room, by joining */
	TAILQ_ENTRY(room_member) leaving; /* in the log's list, while leave_at_ms != 0 */
};

/*
 * A room of thousands would tell thousands of each that comes: beyond a size it is crowded, and only
 * its count is told, at most once a second. It is quiet again when a quarter fewer than that are
 * left; then all are told who is there.
 */
struct room {
	struct map members; /* by user id */
	struct map names; /* by what is alike in them: names that members did not give themselves */
	struct map mentioned; /* by mention_key; of those with the same one of them */
	TAILQ_HEAD(, room_member) order;
	struct room_member *unkeyed; /* in order: from here on nobody's mention_key was made */
	bool has_twins;              /* there were two with the same one */
	struct log_topic *topic;
	bool is_crowded;
	bool is_due;        /* in the log's list of crowds: its count has changed */
	int64_t counted_ms; /* when it was told last */
	TAILQ_ENTRY(room) crowd;
};

/* A member goes: what was made of its name goes with it. While it still stands in the room. */
void mention_drop(struct room *room, struct room_member *m);

#endif
