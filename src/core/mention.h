/*
 * Mentions: the members of a room whose names stand behind an `@` in what is said there; in a direct
 * message the two between whom it is. Any thread.
 */
#ifndef CORE_MENTION_H
#define CORE_MENTION_H

#include "core/log.h"

#define MENTIONS_MAX   20                    /* users named in one message at most */
#define MENTIONS_BYTES (MENTIONS_MAX * 1024) /* … as JSON */

/*
 * Append the ids of those a text names, in the order of their appearance, as a JSON array; nothing
 * when there are none. Names are compared as name_key (core/name.h) does, the longest that fits
 * counts. 0 or -ENOMEM.
 */
MUST_CHECK int mention_find(struct log *l, struct slice topic, struct slice text, struct buf *out);
/*
 * The same between two people: by their ids, by the sender's name, and by the name with which the
 * receiver was here last.
 */
MUST_CHECK int mention_find_direct(
    struct log *l, struct message_from sender, struct slice to, struct slice text, struct buf *out);

#endif
