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
	bool is_whole; /* the end of the body was seen */
	bool keep_alive;
	size_t n_bytes;     /* up to its end, when is_whole */
	bool is_field_open; /* private to the oracle: a name, and its value to come */
};

/* False when the build has no libhttp-parser. */
bool oracle_is_there(void);
/* Reads one request; *r was zeroed and has its text initialised. False when the oracle refuses it. */
bool oracle_read(struct slice in, struct reading *r);

#endif
