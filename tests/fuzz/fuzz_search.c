/*
 * What history's q asks for: the first line is q, the rest the text. SQLite takes every question
 * that we put to it, and of plain ASCII finds what our own matcher finds.
 */
#include <sqlite3.h>

#include "base/utf8.h"
#include "core/search.h"
#include "tests/fuzz/support.h"

#define INPUT_MAX 2048

enum {
	INSERT,
	SEARCH,
	FORGET
};

static const char *const texts[] = {"INSERT INTO search (rowid, content) VALUES (1, ?)",
    "SELECT rowid FROM search WHERE search MATCH ?", "DELETE FROM search"};

static sqlite3_stmt *statements[ARRAY_LEN(texts)];

/* With the tokenizer of the log's own table. */
static void
open_index(void)
{
	sqlite3 *db = NULL;

	NEED(sqlite3_open(":memory:", &db) == SQLITE_OK);
	NEED(sqlite3_exec(db,
		 "CREATE VIRTUAL TABLE search USING fts5 (content,"
		 " tokenize = 'unicode61 remove_diacritics 2')",
		 NULL, NULL, NULL) == SQLITE_OK);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		NEED(sqlite3_prepare_v2(db, texts[i], -1, &statements[i], NULL) == SQLITE_OK);
}

/* Whether there was a row. */
static bool
run(int which, struct slice text)
{
	sqlite3_stmt *s = statements[which];
	int r;

	if (text.p != NULL)
		NEED(sqlite3_bind_text64(s, 1, text.p, text.n, SQLITE_STATIC, SQLITE_UTF8) ==
		     SQLITE_OK);
	r = sqlite3_step(s);
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		(void)fprintf(stderr, "%s\n", sqlite3_errmsg(sqlite3_db_handle(s)));
	NEED(r == SQLITE_ROW || r == SQLITE_DONE);
	(void)sqlite3_reset(s); /* repeats what the step said */
	return r == SQLITE_ROW;
}

static bool
is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] >= 0x80 || s.p[i] == '\0')
			return false;
	}
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of((const char *)data, size);
	struct slice q = take_line(&text);
	struct buf query = BUF_INIT(8 * INPUT_MAX);
	enum search_kind kind = search_kind(q);
	bool is_found;

	if (text.p == NULL || size > INPUT_MAX || !utf8_is_valid(q) || !utf8_is_valid(text))
		return 0;
	if (statements[0] == NULL)
		open_index();
	NEED(search_to_fts5(q, &query) == 0);
	NEED((query.n > 0) == (kind == SEARCH_WORDS));
	if (kind == SEARCH_WORDS) {
		(void)run(INSERT, text);
		is_found = run(SEARCH, buf_slice(&query));
		(void)run(FORGET, SLICE_NONE);
		if (is_ascii(q) && is_ascii(text))
			NEED(search_matches(q, text) == is_found);
		else
			(void)search_matches(q, text);
	}
	buf_done(&query);
	return 0;
}
