/*
 * Reading an event stream (WHATWG HTML, section 9.2.6) and printing its events. One thread.
 */
#ifndef CTL_CTL_EVENTS_H
#define CTL_CTL_EVENTS_H

#include <stdio.h>

#include "base/buf.h"

#define EVENT_MAX 16777216 /* bytes of an event */
#define EVENT_ID  64

struct event {
	struct slice name; /* "message" when the stream names none */
	struct slice id;   /* the last one seen; empty when there was none */
	struct slice data;
	bool has_data; /* a block without data only moves the cursor */
};

struct event_reader {
	struct buf line; /* an unfinished one */
	struct buf name;
	struct buf data;
	char id[EVENT_ID]; /* cursor, as in the last whole block */
	char next_id[EVENT_ID];
	bool has_data;
	bool after_cr;     /* a LF that follows belongs to it */
	bool is_started;   /* the byte order mark is behind */
	uint64_t retry_ms; /* 0: the stream named none */
	void (*on_event)(void *arg, const struct event *e);
	void *arg;
};

void event_reader_init(
    struct event_reader *r, void (*on_event)(void *arg, const struct event *e), void *arg);
/* A new connection: unfinished blocks are forgotten, the cursor stays. */
void event_reader_restart(struct event_reader *r);
void event_reader_done(struct event_reader *r);
/* 0, or negative without memory or with an event over EVENT_MAX. */
MUST_CHECK int event_reader_feed(struct event_reader *r, struct slice bytes);

/*
 * A line (or more) for people, with its time, which is now_s where the event has none of its own; and
 * with its day where that is not the day of now_s.
 */
void event_print(FILE *out, const struct event *e, int64_t now_s);
/*
 * One JSON object on one line, of the shape of WebSocket's messages: with `type`; plain data in
 * `data`.
 */
MUST_CHECK int event_print_json(FILE *out, const struct event *e);
/* The daemon's own words about the stream, not something published: gap, closing and their like. */
bool event_is_notice(const struct event *e);

#endif
