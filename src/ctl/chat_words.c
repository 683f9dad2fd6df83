#include "ctl/chat_words.h"

const char words_help[] =
    "/msg NAME TEXT      say it to NAME alone\n"
    "/reply [@NAME] TEXT answer the last message of another, or of NAME\n"
    "/edit TEXT          put TEXT in place of your last message\n"
    "/delete             take your last message back\n"
    "/react [@NAME] SIGN react to the last message, with an emoji; /unreact takes it back\n"
    "/history [N]        N older messages (20)\n"
    "/names              who is here\n"
    "/rooms              which rooms there are\n"
    "/join ROOM          go to another room\n"
    "/quit               leave, as do Ctrl-D and Ctrl-C\n"
    "//TEXT              say a text that begins with a slash\n";

enum want {
	NONE,   /* no more words */
	TEXT,   /* something */
	NUMBER, /* or nothing */
};

static const struct {
	const char *name;
	enum words_verb verb;
	enum want want;
	const char *missing;
} commands[] = {
    {"/help", WORDS_HELP, NONE, NULL},
    {"/names", WORDS_NAMES, NONE, NULL},
    {"/msg", WORDS_MSG, TEXT, "whom, and what: /msg NAME TEXT"},
    {"/reply", WORDS_REPLY, TEXT, "what: /reply TEXT"},
    {"/edit", WORDS_EDIT, TEXT, "what: /edit TEXT"},
    {"/delete", WORDS_DELETE, NONE, NULL},
    {"/react", WORDS_REACT, TEXT, "with what: /react \360\237\221\215"},
    {"/unreact", WORDS_UNREACT, TEXT, "which: /unreact \360\237\221\215"},
    {"/history", WORDS_HISTORY, NUMBER, NULL},
    {"/rooms", WORDS_ROOMS, NONE, NULL},
    {"/join", WORDS_JOIN, TEXT, "which room: /join ROOM"},
    {"/quit", WORDS_QUIT, NONE, NULL},
};

#define HISTORY_DEFAULT 20

const char *
words_command(size_t i)
{
	return i < ARRAY_LEN(commands) ? commands[i].name : NULL;
}

static struct words
wrong(const char *why)
{
	return (struct words){.verb = WORDS_WRONG, .wrong = why};
}

static struct words
read_command(size_t i, struct slice rest)
{
	struct words w = {.verb = commands[i].verb, .text = rest, .n = HISTORY_DEFAULT};

	switch (commands[i].want) {
	case NONE:
		return rest.n == 0 ? w : wrong("nothing belongs behind this command");
	case TEXT:
		return rest.n > 0 ? w : wrong(commands[i].missing);
	case NUMBER:
		if (rest.n > 0 &&
		    (slice_to_u64(rest, &w.n) < 0 || w.n == 0 || w.n > WORDS_HISTORY_MAX))
			return wrong("how many: a number from 1 to 1000");
		return w;
	}
	return w;
}

struct words
words_read(struct slice line)
{
	struct slice name;
	struct slice rest;
	size_t n = 0;

	if (slice_trim(line).n == 0)
		return (struct words){.verb = WORDS_NOTHING};
	if (line.p[0] != '/')
		return (struct words){.verb = WORDS_SAY, .text = line};
	if (line.n > 1 && line.p[1] == '/')
		return (struct words){.verb = WORDS_SAY, .text = slice_skip(line, 1)};
	while (n < line.n && line.p[n] != ' ' && line.p[n] != '\n')
		n++;
	name = slice_of(line.p, n);
	rest = slice_skip(line, n < line.n ? n + 1 : n);
	rest = slice_trim(rest);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (slice_eq_nocase(name, slice_str(commands[i].name)))
			return read_command(i, rest);
	}
	return wrong("no such command: /help lists them, and // begins a text with a slash");
}
