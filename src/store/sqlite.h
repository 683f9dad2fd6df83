/*
 * The log in an SQLite database (WAL): one thread writes what is queued in one transaction after
 * another, others read on connections of their own, and the newest part of the log is kept in
 * memory as well. A message is acknowledged and delivered after its transaction is as safe as
 * storage.sync says. docs/architecture.md has the whole picture.
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include "core/config.h"
#include "core/log.h"

struct sqlite_options {
	const char *path;
	enum config_sync sync;
	uint64_t max_size; /* bytes; 0: no limit */
	uint64_t cache;    /* bytes of messages kept in memory */
	uint64_t keys;
	uint64_t warm_us;   /* that a start may spend on filling the cache; the rest follows */
	unsigned wal_pages; /* after which what was written moves into the database; 0: the usual */
	bool recover;       /* a corrupt database is set aside */
	struct config
	    *config; /* shared: its rules say what is kept of topics that nobody writes to */
	/* Something an operator must know: event as in diag_log. Any thread. May be NULL. */
	void (*tell)(void *ctx, bool is_error, const char *event, const char *text);
	void *ctx;
	const char *vfs; /* NULL: SQLite's own */
};

/*
 * Opens the database, makes or migrates it: nothing else of the process uses it yet. 0 and *out; or
 * negative and an explanation in error: -EBUSY another daemon has it, -EUCLEAN it is corrupt,
 * -EPROTO it is not ours or of a later version, others as the system says.
 */
MUST_CHECK int sqlite_store_open(
    const struct sqlite_options *o, char *error, size_t n, struct store **out);

#endif
