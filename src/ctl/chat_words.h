/*
 * What a line that somebody typed asks for: something to say, or a command. Pure. Any thread.
 */
#ifndef CTL_CHAT_WORDS_H
#define CTL_CHAT_WORDS_H

#include "base/slice.h"

enum words_verb {
	WORDS_NOTHING, /* an empty line */
	WORDS_WRONG,   /* `wrong` says what is */
	WORDS_SAY,
	WORDS_REPLY,
	WORDS_MSG, /* text: whom, and behind a space what */
	WORDS_EDIT,
	WORDS_DELETE,
	WORDS_REACT, /* text: a sign */
	WORDS_UNREACT,
	WORDS_HISTORY, /* n: how many */
	WORDS_NAMES,
	WORDS_ROOMS,
	WORDS_JOIN, /* text: a room */
	WORDS_HELP,
	WORDS_QUIT,
};

#define WORDS_HISTORY_MAX 1000 /* messages asked for at once */

struct words {
	enum words_verb verb;
	struct slice text; /* borrowed from the line; behind a command trimmed */
	uint64_t n;
	const char *wrong;
};

/*
 * Read a line without its line break. A first `/` begins a command, `//` a text with one slash less.
 */
struct words words_read(struct slice line);
/* All commands, a line each. */
extern const char words_help[];
/* The i-th command with its slash; NULL behind the last. */
const char *words_command(size_t i);

#endif
