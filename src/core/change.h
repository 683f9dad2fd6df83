/*
 * What becomes of a message after it was sent: it is edited, deleted, reacted to. Each is a record
 * of its own in the log (MESSAGE_EDITED, MESSAGE_DELETED, MESSAGE_REACTION), and makes the message
 * it names, its target, anew: whoever reads that later gets it in its current state. Any thread.
 */
#ifndef CORE_CHANGE_H
#define CORE_CHANGE_H

#include "core/message.h"

#define CHANGE_EMOJI_MAX     64 /* bytes of an emoji */
#define CHANGE_REACTIONS_MAX 50 /* different emoji of one message */
#define CHANGE_LISTED        20 /* users named with an emoji; the others are only counted */

struct message_change {
	enum message_kind kind;
	const struct message *target; /* as it was looked up: who sent it, and where it stands */
	/* where the record goes: absent, to where the target stands; also: see struct message */
	struct slice topic, also;
	struct message_from user; /* who changes it */
	struct slice content;     /* MESSAGE_EDITED; absent: it stays */
	struct slice data;        /* the same, JSON text */
	struct slice mentions;    /* JSON array; absent: none */
	struct slice emoji;       /* MESSAGE_REACTION */
	bool is_off;
};

/* The user id that a direct message is to, appended. 0 or -ENOMEM. */
MUST_CHECK int change_receiver(const struct message *target, struct buf *out);

/* Only people's own messages can be changed, and not what is no more. */
bool change_is_for(const struct message *target);

/* The record, ready to be appended as APPEND_CHANGE. One owned reference; NULL on no memory. */
MUST_CHECK struct message *change_record(const struct message_change *in,
    const struct topic_rule *rule, int64_t now_ms, uint64_t origin);

/*
 * The target as it is after a record, with its id, times and topics. A reaction must be news (see
 * change_key). 0 and *out (one reference); -EOVERFLOW beyond CHANGE_REACTIONS_MAX, -ENOMEM.
 */
MUST_CHECK int change_apply(
    const struct message *target, const struct message *record, struct message **out);

#define CHANGE_KEY_MAX 256 /* bytes */
/*
 * Of records with the same key only the newest counts: of the edits of a message, of what one
 * user has done with one emoji. The key's bytes, in out.
 */
struct slice change_key(const struct message *record, char out[CHANGE_KEY_MAX]);

#endif
