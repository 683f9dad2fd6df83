/*
 * Debian's libhttp-parser reading a request, to compare our parser with. A file of its own: its header and ours both have an
 * `enum http_method`.
 */
#ifndef TESTS_UNIT_SUPPORT_ORACLE_H
#define TESTS_UNIT_SUPPORT_ORACLE_H

#include "base/buf.h"

/* What a parser made of the first request of an input. */
struct reading {
	struct buf text; /* "GET /target 1.1\nName: value\n\nbody"; the values trimmed */
	bool is_head_whole;
	bool is_apart; /* by ours: what the oracle is known to see otherwise */
	bool is_whole; /* the end of the body was seen */
	bool keep_alive;
	size_t n_bytes;     /* up to its end, when is_whole */
	bool is_field_open; /* private to the oracle: a name, and its value to come */
};

/* False when the build has no libhttp-parser. */
bool oracle_is_there(void);
/* Reads one request; *r was zeroed and has its text initialised. False when the oracle refuses it. */
bool oracle_read(struct slice in, struct reading *r);

/* The same by our own parser, whose bodies may have max bytes. 0, or an enum http_error. */
int ours_read(struct slice in, size_t max, struct reading *r);
/*
 * What ours takes the oracle takes as well, and both read the same. ours: the result of ours_read. Without an oracle, or where ours
 * refused or does not know the method, there is nothing to compare.
 */
bool oracle_agrees(struct slice in, int ours, const struct reading *r);
/*
 * Whether a request that the oracle takes may be refused by us with that error: one of the differences that are meant, each of
 * which can be seen in the request.
 */
bool difference_is_meant(struct slice in, int error);

#endif
