/*
 * Reads that wait for a thread, so that each user has a turn: whoever asks a lot waits behind what
 * he asked himself, and nobody else does. Not locked.
 */
#ifndef STORE_READ_TURNS_H
#define STORE_READ_TURNS_H

#include "core/log.h"

#define READ_LANES 64 /* users are told apart by so much of log_read.user */

struct read_turns {
	struct log_read_list urgent; /* before all others, the last one first */
	struct log_read_list lanes[READ_LANES];
	unsigned lane; /* whose turn was last */
	size_t n;      /* that wait */
};

void read_turns_init(struct read_turns *q);
void read_turns_add(struct read_turns *q, struct log_read *r, bool is_urgent);
/* The next one, which waits no longer; NULL: none does. */
struct log_read *read_turns_next(struct read_turns *q);

#endif
