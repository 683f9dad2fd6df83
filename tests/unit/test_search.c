/* core/search: what history's q finds, and what SQLite is asked in its place. */
#include "core/search.h"

#include "tests/unit/support_run.h"

START_TEST(finds)
{
	static const struct {
		const char *q;
		const char *text;
		bool is_found;
	} rows[] = {
	    {"hay needle", "Needle in HAY", true},
	    {"hay straw", "Needle in HAY", false},
	    {"need", "Needle in HAY", false},
	    {"need*", "Needle in HAY", true},
	    {"NEED**", "Needle in HAY", true},
	    {"\"in hay\"", "Needle in hay", true},
	    {"\"hay in\"", "Needle in hay", false},
	    {"\"in ha\"*", "Needle, in: hay", true},
	    {"\"in ha\"", "Needle in hay", false},
	    {"\"in hay", "Needle in hay", true},
	    {"in-hay", "needle in hay", true},
	    {"in-hay", "hay in", false},
	    {"hay !!!", "hay", true},
	    {"a", "b a", true},
	    {"b a c", "a b", false},
	    {"ÄPFEL", "rote äpfel", true},
	    {"привет", "ПРИВЕТ, мир", true},
	    {"Σ*", "σας", true},
	    {"日本", "日本 語", true},
	    {"word", "“word”", true},
	    {"AND", "rock and roll", true},
	    {"x OR y", "x", false},
	    {"a", "", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		ck_assert_msg(search_matches(slice_str(rows[i].q), slice_str(rows[i].text)) ==
				  rows[i].is_found,
		    "%s in %s", rows[i].q, rows[i].text);
}
END_TEST

START_TEST(kinds)
{
	ck_assert_int_eq(search_kind(SLICE("")), SEARCH_ALL);
	ck_assert_int_eq(search_kind(SLICE(" \t\n")), SEARCH_ALL);
	ck_assert_int_eq(search_kind(SLICE("!")), SEARCH_NOTHING);
	ck_assert_int_eq(search_kind(SLICE("\"")), SEARCH_NOTHING);
	ck_assert_int_eq(search_kind(SLICE("* \"\"* -")), SEARCH_NOTHING);
	ck_assert_int_eq(search_kind(SLICE("! a")), SEARCH_WORDS);
	ck_assert_int_eq(search_kind(SLICE("\xff\xfe")), SEARCH_WORDS);
}
END_TEST

START_TEST(asked)
{
	static const char *const rows[][2] = {
	    {"hay needle", "\"hay \" \"needle \""},
	    {"\"a b\"* c*", "\"a b \"* \"c \"*"},
	    {"in-hay ! \"", "\"in hay \""},
	    {"NOT (x) NEAR:y", "\"NOT \" \"x \" \"NEAR y \""},
	    {"\"", ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT(1000);

		ck_assert_int_eq(search_to_fts5(slice_str(rows[i][0]), &b), 0);
		ck_assert_uint_eq(b.n, strlen(rows[i][1]));
		ck_assert_msg(slice_eq(buf_slice(&b), slice_str(rows[i][1])), "%.*s", (int)b.n,
		    b.p == NULL ? "" : b.p);
		buf_done(&b);
	}
}
END_TEST

START_TEST(bounded)
{
	char q[4000] = "";
	struct slice begins;

	for (int i = 0; i < 40; i++)
		strcat(q, i == 31 ? "word* \"" : "word, ");
	begins = search_bound(slice_str(q));
	ck_assert_uint_eq(begins.n, SEARCH_WORDS_MAX * 6 + 1);
	ck_assert(slice_eq(slice_skip(begins, begins.n - 7), SLICE("word* \"")));
	ck_assert_uint_eq(search_bound(SLICE("a b")).n, 3);
	ck_assert_uint_eq(search_bound(SLICE("")).n, 0);
	ck_assert_ptr_null(search_bound(SLICE_NONE).p);
	q[0] = '\0';
	for (int i = 0; i < 600; i++)
		strcat(q, i == 0 ? "x" : "\xc3\xa4");
	ck_assert_uint_eq(search_bound(slice_str(q)).n, SEARCH_BYTES_MAX - 1);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {finds, kinds, asked, bounded, NULL};

	return run_tests("search", tests);
}
