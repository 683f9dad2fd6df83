/*
 * A chat over connections that come and go: lines of its user and messages of the daemon in; what to
 * show, what to send and how it ended out. No I/O and no clock: the caller says what time it is. One
 * thread.
 */
#ifndef CTL_CHAT_SESSION_H
#define CTL_CHAT_SESSION_H

#include "ctl/chat_outbox.h"
#include "ctl/chat_view.h"

struct session {
	struct view view;
	struct outbox outbox;
	uint64_t last; /* stored messages on joining */
	bool is_json;  /* nothing of the daemon's messages is shown as text */

	struct buf shown; /* lines to show; the caller empties it */
	struct buf notes; /* words of the program's own; likewise */
	char *returned; /* a line that was refused, to be typed on; the caller takes it; or NULL */

	/* of the connection now */
	bool is_welcome;
	bool is_join_sent;
	bool is_joined;
	bool is_level;    /* what is stored has come */
	bool is_own_sent; /* the own topic was subscribed to */
	bool is_front_sent;
	bool is_leave_sent;
	uint64_t heard_ms;
	uint64_t heartbeat_ms;
	uint64_t max_message; /* bytes of a message; 0: not known yet */

	bool was_cut;           /* some connection has ended before its time */
	char *left;             /* the room that was left for another */
	uint64_t not_before_ms; /* the front request waits until then */
	uint64_t retry_ms;      /* the daemon's word on when to come back; 0: none */
	bool is_input_over;     /* after the last answer it leaves */
	bool is_quitting;       /* it leaves at once */
	bool wants_token;       /* the daemon says that the token ends soon */
	bool is_over;
	int code;    /* exit code when it is over: of a refusal that ends it */
	int refused; /* exit code of the first refused line; 0: none */
};

/* 0 or -ENOMEM; session_done in any case. */
MUST_CHECK int session_init(struct session *s, struct slice room, uint64_t last);
void session_done(struct session *s);

/* A line was typed. */
void session_line(struct session *s, struct slice line);
/* A message of the daemon came. */
void session_take(struct session *s, struct slice json, uint64_t now_ms);
/* Append the next message to send: 1; 0 when there is none for now. */
MUST_CHECK int session_next(struct session *s, uint64_t now_ms, struct buf *out);
/* In how many milliseconds session_next may have something without anything having come. */
uint64_t session_wait_ms(const struct session *s, uint64_t now_ms);
/* The connection is gone; what it did not answer is sent again on the next one. */
void session_lost(struct session *s);
/* Tell, in notes, of each line that was not sent. How many. */
size_t session_unsent(struct session *s);
/* Words of the program's own, for people. */
void session_note(struct session *s, const char *fmt, ...) PRINTF(2, 3);

#endif
