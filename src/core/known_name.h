/*
 * Known names: what the users who were here last call themselves, so that somebody can be named who is
 * in no room with one. Forgotten with the process. Any thread.
 */
#ifndef CORE_KNOWN_NAME_H
#define CORE_KNOWN_NAME_H

#include "core/log.h"

#define KNOWN_NAMES_MAX 10000 /* the one that was noted longest ago goes first */
#define KNOWN_NAME_MAX  128   /* bytes; of a longer one nothing is noted */

struct known_names;
/* An empty table, the log's; NULL on no memory. */
MUST_CHECK struct known_names *known_names_new(void);
/* NULL is fine. */
void known_names_free(struct known_names *k);

/* A user with a name other than the id is here. Without memory it is not noted. */
void known_name_note(struct log *l, struct message_from user);
/* The user's name, copied to out; absent when none is known. */
struct slice known_name_of(struct log *l, struct slice user_id, char out[KNOWN_NAME_MAX]);

#endif
