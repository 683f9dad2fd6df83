/*
 * Diagnostics: one event is one line, `name key=value …`, or one JSON object. Written to stderr
 * with a `<N>` priority when the journal reads it. Only the I/O and process layers log (net,
 * serve, daemon, ctl). Never a token, cookie, payload or query string; text of a peer goes
 * through diag_quote, which escapes and cuts it. Any thread (one write() a line).
 */
#ifndef BASE_DIAG_H
#define BASE_DIAG_H

#include <stdatomic.h>

#include "base/slice.h"

enum diag_level {
	DIAG_ERROR,   /* 3 of syslog: somebody must act */
	DIAG_WARNING, /* 4 */
	DIAG_NOTICE,  /* 5: start, stop, reload */
	DIAG_INFO,    /* 6: the life of connections */
	DIAG_DEBUG,   /* 7 */
};

struct diag {
	_Atomic int level; /* enum diag_level: lines above it are not written */
	_Atomic bool is_json;
	bool is_journal; /* `<N>` prefix, no time stamp */
	int fd;
	/* diag_peer's: DIAG_PEER_LINES a second at most, then one line with suppressed=N */
	_Atomic uint64_t window_s;
	_Atomic uint32_t window_lines;
	_Atomic uint32_t suppressed;
};

#define DIAG_PEER_LINES 200 /* a second */

/* To stderr, DIAG_INFO and above; is_journal when JOURNAL_STREAM names it. */
void diag_init(struct diag *d);
/*
 * A whole line for whoever starts the program, before there is a struct diag: plain text on stderr, as an
 * error where the journal reads it.
 */
void diag_say(const char *fmt, ...) PRINTF(1, 2);
/* Whether lines of this level are written: where making one costs something. */
bool diag_wants(const struct diag *d, enum diag_level level);

/*
 * diag_log(d, DIAG_INFO, "conn.close", "id=%llu reason=%s peer=%s", …): fmt makes
 * space-separated key=value pairs; a value with spaces or quotes must be passed through
 * diag_quote. The line is cut at 2 KiB.
 */
void diag_log(struct diag *d, enum diag_level level, const char *event, const char *fmt, ...)
    PRINTF(4, 5);
/* The same for what a peer can cause: rate limited. */
void diag_peer(struct diag *d, enum diag_level level, const char *event, const char *fmt, ...)
    PRINTF(4, 5);

#define DIAG_QUOTED 384 /* bytes, with the NUL */
/* A double-quoted, escaped and cut copy of s for use as a value; returns out. */
const char *diag_quote(struct slice s, char out[DIAG_QUOTED]);

#endif
