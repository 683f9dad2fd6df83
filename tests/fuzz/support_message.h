/*
 * A message in each of its wire forms, each read back by a reader that was written from the
 * standard and not from the writer.
 */
#ifndef TESTS_FUZZ_SUPPORT_MESSAGE_H
#define TESTS_FUZZ_SUPPORT_MESSAGE_H

#include "core/message.h"

/* One event as a browser dispatches it (WHATWG HTML, 9.2.6). */
struct sse_seen {
	struct buf type; /* empty: message */
	struct buf data;
	struct buf id; /* as it is after the event */
	unsigned n_events;
	unsigned n_ids;      /* `id` lines */
	unsigned n_comments; /* lines that start with a colon */
	unsigned n_retries;
	unsigned n_unknown; /* lines with another field's name */
};

void sse_seen_init(struct sse_seen *seen);
void sse_seen_done(struct sse_seen *seen);
/* Reads a whole stream; the fields are those of its last event. */
void sse_read(struct slice stream, struct sse_seen *seen);

/* Whether text has these lines, however they end. Breaks are CR, LF and CRLF. */
bool has_lines(struct slice text, struct slice lines);

/* Ends the program unless all the forms of the message say what its JSON says. */
void message_must_be_well(struct message *m);

#endif
