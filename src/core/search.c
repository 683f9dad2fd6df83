#include "core/search.h"

/* A part of the question. */
struct term {
	struct slice text; /* may hold several words: they must follow each other */
	bool is_prefix;    /* of its last word */
};

static bool
is_space(char c)
{
	return (unsigned char)c <= ' ';
}

/* False at the end. */
static bool
next_term(struct slice *rest, struct term *out)
{
	struct slice s = *rest;
	bool is_phrase;
	size_t n = 0;

	while (s.n > 0 && is_space(s.p[0]))
		s = slice_skip(s, 1);
	if (s.n == 0)
		return false;
	is_phrase = s.p[0] == '"';
	if (is_phrase)
		s = slice_skip(s, 1);
	while (n < s.n && s.p[n] != '"' && (is_phrase || !is_space(s.p[n])))
		n++;
	*out = (struct term){.text = slice_of(s.p, n)};
	s = slice_skip(s, n);
	if (is_phrase && s.n > 0)
		s = slice_skip(s, 1);
	if (is_phrase && s.n > 0 && s.p[0] == '*') {
		out->is_prefix = true;
		s = slice_skip(s, 1);
	}
	while (!is_phrase && out->text.n > 0 && out->text.p[out->text.n - 1] == '*') {
		out->is_prefix = true;
		out->text.n--;
	}
	*rest = s;
	return true;
}

/* --- words --- */

/* One character of valid UTF-8 (anything else is taken byte by byte), cut off. */
static uint32_t
next_char(struct slice *s)
{
	unsigned char c = (unsigned char)s->p[0];
	size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
	uint32_t code;

	if (n > s->n)
		n = 1;
	code = n == 1 ? c : c & (0x7fu >> n);
	for (size_t i = 1; i < n; i++)
		code = code << 6 | ((unsigned char)s->p[i] & 0x3f);
	*s = slice_skip(*s, n);
	return code;
}

static uint32_t
fold(uint32_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c + 32;
	if (c < 0xc0)
		return c;
	if ((c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3a9) || (c >= 0x410 && c <= 0x42f))
		return c + 32;
	if (c >= 0x400 && c <= 0x40f)
		return c + 80;
	if ((c >= 0x100 && c <= 0x137) || (c >= 0x14a && c <= 0x177) || (c >= 0x460 && c <= 0x481))
		return c | 1;
	return c;
}

static bool
is_word_char(uint32_t c)
{
	if (c < 0x80)
		return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
	return c >= 0xc0 && c != 0xd7 && c != 0xf7 && (c < 0x2000 || c > 0x206f) &&
	       (c < 0x3000 || c > 0x3003);
}

/* The next word, cut off from what stands before it and from s; empty at the end. */
static struct slice
next_word(struct slice *s)
{
	struct slice before;
	const char *start;

	do {
		before = *s;
		if (s->n == 0)
			return slice_of(s->p, 0);
	} while (!is_word_char(next_char(s)));
	start = before.p;
	do {
		before = *s;
	} while (s->n > 0 && is_word_char(next_char(s)));
	*s = before;
	return slice_of(start, (size_t)(before.p - start));
}

static bool
word_eq(struct slice want, struct slice word, bool is_prefix)
{
	while (want.n > 0 && word.n > 0) {
		if (fold(next_char(&want)) != fold(next_char(&word)))
			return false;
	}
	return want.n == 0 && (is_prefix || word.n == 0);
}

/* Whether the words of the term stand where text begins. */
static bool
stands_here(const struct term *t, struct slice text)
{
	struct slice words = t->text;
	struct slice want = next_word(&words);

	while (want.n > 0) {
		struct slice after = words;
		struct slice next = next_word(&after);
		struct slice word = next_word(&text);

		if (word.n == 0 || !word_eq(want, word, t->is_prefix && next.n == 0))
			return false;
		want = next;
		words = after;
	}
	return true;
}

static bool
has_term(const struct term *t, struct slice text)
{
	for (;;) {
		if (stands_here(t, text))
			return true;
		if (next_word(&text).n == 0)
			return false;
	}
}

struct slice
search_bound(struct slice q)
{
	struct slice rest;
	struct slice word;
	unsigned n = 0;

	if (q.n > SEARCH_BYTES_MAX) {
		q.n = SEARCH_BYTES_MAX;
		while (q.n > 0 && ((unsigned char)q.p[q.n] & 0xc0) == 0x80)
			q.n--; /* it ends with a whole character */
	}
	rest = q;
	while ((word = next_word(&rest)).n > 0) {
		if (++n > SEARCH_WORDS_MAX)
			return slice_of(q.p, (size_t)(word.p - q.p));
	}
	return q;
}

enum search_kind
search_kind(struct slice q)
{
	struct slice rest = q;
	enum search_kind kind = SEARCH_ALL;
	struct term t;

	while (next_term(&rest, &t)) {
		if (next_word(&t.text).n > 0)
			return SEARCH_WORDS;
		kind = SEARCH_NOTHING;
	}
	return kind;
}

bool
search_matches(struct slice q, struct slice text)
{
	struct slice rest = q;
	struct term t;

	while (next_term(&rest, &t)) {
		if (!has_term(&t, text))
			return false;
	}
	return true;
}

/*
 * Each term becomes a string of FTS5 ("strings" hold anything but a quote, which no term has, and
 * NUL, which ends a query). One without a word would find nothing, so it is left out.
 */
int
search_to_fts5(struct slice q, struct buf *out)
{
	struct slice rest = q;
	struct term t;

	while (next_term(&rest, &t)) {
		struct slice words = t.text;
		struct slice word = next_word(&words);

		if (word.n == 0)
			continue;
		(void)buf_add_str(out, out->n > 0 ? " \"" : "\""); /* failures stick */
		for (; word.n > 0; word = next_word(&words)) {
			(void)buf_add_slice(out, word);
			(void)buf_add_char(out, ' ');
		}
		(void)buf_add_str(out, t.is_prefix ? "\"*" : "\"");
	}
	return out->failed ? out->error : 0;
}
