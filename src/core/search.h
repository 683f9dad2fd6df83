/*
 * What history's q asks for (docs/wire.md, "History"): words and "phrases" that a message must all
 * have, in any order; a * behind one takes every word that begins so. Any input is a question.
 * Pure. Any thread.
 */
#ifndef CORE_SEARCH_H
#define CORE_SEARCH_H

#include "base/buf.h"

/* Of a question: FTS5 keeps some memory for each word, and 10,000 of them have cost gigabytes. */
#define SEARCH_WORDS_MAX 32
#define SEARCH_BYTES_MAX 1024

enum search_kind {
	SEARCH_ALL,     /* white space: restricts nothing */
	SEARCH_NOTHING, /* no word in it: nothing can have it */
	SEARCH_WORDS,
};

/* The part of a question, from its beginning, that is asked: at most so many words and bytes. */
struct slice search_bound(struct slice q);
/* What a question is; any bytes. */
enum search_kind search_kind(struct slice q);
/*
 * Whether a text has what q, of kind SEARCH_WORDS, asks for. A word is a run of letters and
 * digits; case does not count (beyond Latin, Greek and Cyrillic letters it does).
 */
bool search_matches(struct slice q, struct slice text);
/* The same question to SQLite's FTS5, whatever is in q. 0, or negative as buf. */
MUST_CHECK int search_to_fts5(struct slice q, struct buf *out);

#endif
