/*
 * JSON: reading, finding the text of a member, writing, and objects of many members. What is JSON
 * is in the document tests/vectors/json_check.txt, which this program runs.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/json.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_flat.h"
#include "tests/unit/support_guard.h"
#include "tests/unit/support_run.h"

#define MAX_CASES 400
#define MAX_TEXT  200000
#define MAX_LINE  2000

#define ck_slice(s, text) ck_assert_msg(slice_eq((s), slice_str(text)), "got '%.*s'", SLICE_ARG(s))

/* --- the document --- */

static struct vector {
	char line[MAX_LINE];
	int verdict;
	size_t at;
	struct buf text;
} cases[MAX_CASES];
static size_t n_cases;

#define E(name)                                                                                    \
	{                                                                                          \
#name, JSON_E_##name                                                               \
	}

static const struct {
	const char *name;
	int error;
} verdicts[] = {
    {"ok", 0}, E(SYNTAX), E(UTF8), E(DEPTH), E(NUL), E(DUPLICATE), E(NUMBER), E(MEMORY)};

/* Append the text of a case: \xHH is a byte, \xHH*N the same N times. */
static int
add_text(struct buf *out, const char *s)
{
	while (*s != '\0') {
		unsigned byte = (unsigned char)*s;
		unsigned times = 1;
		int n = 1;

		if (sscanf(s, "\\x%2x%n", &byte, &n) == 1 && sscanf(s + n, "*%u", &times) == 1)
			n += 1 + snprintf(NULL, 0, "%u", times);
		while (times-- > 0) {
			if (buf_add_char(out, (char)byte) < 0)
				return -1;
		}
		s += n;
	}
	return 0;
}

/* False for prose. */
static bool
read_case(const char *line, struct vector *out)
{
	char name[20];
	int n = 0;

	out->verdict = 1;
	out->at = 0;
	if (sscanf(line, "%19s%n", name, &n) != 1)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
		if (strcmp(verdicts[i].name, name) == 0)
			out->verdict = verdicts[i].error;
	}
	if (out->verdict == 1)
		return false;
	line += n;
	if (out->verdict < 0) {
		if (sscanf(line, "%zu%n", &out->at, &n) != 1)
			return false;
		line += n;
	}
	(void)snprintf(out->line, sizeof(out->line), "%.1000s", line);
	out->text = BUF_INIT(MAX_TEXT);
	return add_text(&out->text, line + strspn(line, " ")) == 0;
}

static bool
read_document(void)
{
	FILE *f = fopen(SRCDIR "/tests/vectors/json_check.txt", "r");
	char line[MAX_LINE];

	if (f == NULL)
		return false;
	while (fgets(line, sizeof(line), f) != NULL && n_cases < MAX_CASES) {
		line[strcspn(line, "\n")] = '\0';
		if (read_case(line, &cases[n_cases]))
			n_cases++;
	}
	(void)fclose(f); /* only read */
	return n_cases > 100 && n_cases < MAX_CASES;
}

START_TEST(the_document_holds)
{
	const struct vector *v = &cases[_i];
	cJSON *tree = NULL;
	struct slice text;
	struct guard g;
	size_t at = 0;
	int r;

	guard_init(&g, v->text.n + 1);
	text = guard_copy(&g, buf_slice(&v->text));
	r = json_check(text, &at);
	ck_assert_msg(r == v->verdict && (r == 0 || at == v->at), "%s: %d at %zu", v->line, r, at);
	ck_assert_int_eq(json_check(text, NULL), r);
	ck_assert_int_eq(json_parse(text, &tree, NULL), r);
	ck_assert((tree != NULL) == (r == 0));
	cJSON_Delete(tree);
	guard_done(&g);
}
END_TEST

START_TEST(empty_text_is_not_json)
{
	size_t at = 7;

	ck_assert_int_eq(json_check(SLICE(""), &at), JSON_E_SYNTAX);
	ck_assert_uint_eq(at, 0);
	ck_assert_int_eq(json_check(SLICE_NONE, NULL), JSON_E_SYNTAX);
	ck_assert_int_eq(json_check(SLICE("  "), &at), JSON_E_SYNTAX);
	ck_assert_uint_eq(at, 2);
}
END_TEST

START_TEST(every_error_has_a_text)
{
	for (int e = JSON_E_SYNTAX; e <= JSON_E_MEMORY; e++)
		ck_assert_uint_gt(strlen(json_error_text(e)), 0);
	ck_assert_ptr_nonnull(json_error_text(0));
	ck_assert_ptr_nonnull(json_error_text(JSON_E_SYNTAX - 1));
}
END_TEST

/* --- many members --- */

/* {"k0":0,"k1":0,…} with the digits of every third key as escapes; `extra` is put behind them. */
static void
build_wide(struct buf *b, size_t n, const char *extra)
{
	buf_reset(b);
	ck_assert_int_eq(buf_add_char(b, '{'), 0);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(buf_printf(b, "%s\"%s%zu\":0", i == 0 ? "" : ",",
				     i % 3 == 0 ? "\\u006b" : "k", i),
		    0);
	ck_assert_int_eq(buf_printf(b, "%s}", extra), 0);
}

static const size_t widths[] = {1, 15, 16, 17, 18, 31, 32, 33, 47, 48, 49, 64, 65, 1000, 80000};

START_TEST(wide_objects_are_searched_for_doubles)
{
	struct buf b = BUF_INIT(10u << 20);
	size_t n = widths[_i];
	char last[40];
	size_t at;

	build_wide(&b, n, "");
	ck_assert_int_eq(json_check(buf_slice(&b), NULL), 0);
	build_wide(&b, n, ",\"other\":1");
	ck_assert_int_eq(json_check(buf_slice(&b), NULL), 0);
	build_wide(&b, n, ",\"k0\":1");
	ck_assert_int_eq(json_check(buf_slice(&b), &at), JSON_E_DUPLICATE);
	ck_assert_uint_eq(at, b.n - strlen("\"k0\":1}"));
	(void)snprintf(last, sizeof(last), ",\"\\u006B%zu\":1", n - 1); /* fits */
	build_wide(&b, n, last);
	ck_assert_int_eq(json_check(buf_slice(&b), NULL), JSON_E_DUPLICATE);
	buf_done(&b);
}
END_TEST

START_TEST(checking_without_memory)
{
	struct buf b = BUF_INIT(10000);
	long blocks = mem_blocks();
	bool failed = true;

	build_wide(&b, 100, ",\"nested\":{\"a\":1}");
	blocks = mem_blocks();
	for (long nth = 1; failed; nth++) {
		int r;

		mem_fail_at(nth);
		r = json_check(buf_slice(&b), NULL);
		failed = !mem_fail_is_pending();
		mem_fail_at(0);
		ck_assert_int_eq(r, failed ? JSON_E_MEMORY : 0);
		ck_assert_int_eq(mem_blocks(), blocks);
		ck_assert_int_lt(nth, 200);
	}
	buf_done(&b);
}
END_TEST

START_TEST(small_objects_allocate_nothing)
{
	unsigned long before = mem_count();

	ck_assert_int_eq(
	    json_check(SLICE("{\"type\":\"chat\",\"room\":\"lobby\",\"content\":\"hi\"}"), NULL),
	    0);
	ck_assert_uint_eq(mem_count(), before);
}
END_TEST

/* --- reading --- */

static cJSON *
parse(const char *text)
{
	cJSON *tree = NULL;

	ck_assert_int_eq(json_parse(slice_str(text), &tree, NULL), 0);
	return tree;
}

START_TEST(members_are_found)
{
	cJSON *tree = parse("{\"Room\":\"x\",\"room\":\"lobby\",\"none\":null,\"n\":1,\"e\":\"\"}");
	cJSON *array = parse("[\"room\"]");

	ck_slice(json_slice(json_member(tree, "room")), "lobby");
	ck_assert_ptr_null(json_member(tree, "ROOM"));
	ck_assert_ptr_null(json_member(tree, "none"));
	ck_assert_ptr_null(json_member(tree, "absent"));
	ck_assert_ptr_null(json_member(array, "room"));
	ck_assert_ptr_null(json_member(NULL, "room"));
	ck_assert_ptr_null(json_slice(json_member(tree, "n")).p);
	ck_assert_ptr_null(json_slice(NULL).p);
	ck_assert_ptr_nonnull(json_slice(json_member(tree, "e")).p);
	cJSON_Delete(tree);
	cJSON_Delete(array);
}
END_TEST

static const struct {
	const char *text;
	bool is_good;
	uint64_t value;
} integers[] = {
    {"0", true, 0},
    {"-0", true, 0},
    {"1700000000000000", true, 1700000000000000},
    {"9007199254740991", true, 9007199254740991},
    {"1e3", true, 1000},
    {"2.0", true, 2},
    {"9007199254740992", false, 0},
    {"1e300", false, 0},
    {"-1", false, 0},
    {"0.5", false, 0},
    {"1.0000001", false, 0},
    {"\"1\"", false, 0},
    {"true", false, 0},
    {"null", false, 0},
    {"[]", false, 0},
};

START_TEST(integers_are_exact)
{
	cJSON *tree = parse(integers[_i].text);
	uint64_t value = 99;

	ck_assert_int_eq(json_u64(tree, &value), integers[_i].is_good ? 0 : -1);
	ck_assert_uint_eq(value, integers[_i].is_good ? integers[_i].value : 99);
	ck_assert_int_eq(json_u64(NULL, &value), -1);
	cJSON_Delete(tree);
}
END_TEST

static const struct {
	const char *text;
	const char *raw; /* NULL: absent */
} raws[] = {
    {"{\"data\":1}", "1"},
    {" { \"data\" : [1, 2] } ", "[1, 2]"},
    {"{\"a\":{\"data\":1},\"data\":{\"b\":\"}\"}}", "{\"b\":\"}\"}"},
    {"{\"a\":\"\\\"data\\\":1\",\"data\":\"\\\\\"}", "\"\\\\\""},
    {"{\"a\":[\"]\",{}],\"data\":-1.5e3,\"b\":0}", "-1.5e3"},
    {"{\"data\":null}", "null"},
    {"{\"data\":true\n}", "true"},
    {"{\"d\\u0061ta\":\"\"}", "\"\""},
    {"{\"data2\":1,\"dat\":2}", NULL},
    {"{\"Data\":1}", NULL},
    {"{}", NULL},
    {"[\"data\"]", NULL},
    {"\"data\"", NULL},
    {"", NULL},
    /* not checked text: nothing but staying inside matters */
    {"{\"data\"", NULL},
    {"{\"dat\\", NULL},
    {"{\"a\":\"\\", NULL},
    {"{\"a\":[[[", NULL},
};

START_TEST(raw_members_are_found)
{
	struct guard g;
	struct slice raw;

	guard_init(&g, 200);
	raw = json_raw_member(guard_copy(&g, slice_str(raws[_i].text)), "data");
	if (raws[_i].raw == NULL)
		ck_assert_ptr_null(raw.p);
	else
		ck_slice(raw, raws[_i].raw);
	guard_done(&g);
}
END_TEST

/* --- without a tree --- */

static const char *const flats[] = {
    "{}",
    " [ ] ",
    "null",
    "\"\\u00e9\\n\"",
    "[\"a\\\"b\",null,1e2,{\"x\":[]},[1],true]",
    "{\"type\":\"chat\",\"content\":\"h\\u00e9\\ud83d\\ude00\\\"\",\"ref\":17}",
    "{ \"a\" : null , \"b\":false,\"c\":true , \"d\":-0, \"e\" : [ 1 , \"\\\\\" ] }",
    "{\"\\u0074ype\":\"escaped\",\"Type\":\"other\",\"typ\":1,\"type2\":2,\"\":3}",
    "{\"n\":9007199254740991,\"o\":9007199254740992,\"p\":1e3,\"q\":2.0,\"r\":1.0000001,"
    "\"s\":123456789012345,\"t\":1234567890123456,\"u\":1e-400,\"v\":-1,\"w\":12.5E+1}",
    /* more members than there is room for at first */
    "{\"a\":0,\"b\":1,\"c\":2,\"d\":3,\"e\":4,\"f\":5,\"g\":6,\"h\":7,\"i\":8,\"j\":9,\"k\":10,"
    "\"l\":11,\"m\":12,\"n\":13,\"o\":14,\"p\":15,\"q\":16,\"r\":\"\\t\",\"s\":18,\"t\":[19]}",
};

START_TEST(the_view_without_a_tree_is_the_trees)
{
	struct guard g;
	struct slice text;
	cJSON *tree = parse(flats[_i]);

	guard_init(&g, 400);
	text = guard_copy(&g, slice_str(flats[_i]));
	ck_assert_msg(flat_agrees(text, tree), "%s", flats[_i]);
	cJSON_Delete(tree);
	guard_done(&g);
}
END_TEST

START_TEST(reading_allocates_only_what_it_must)
{
	unsigned long before = mem_count();
	struct json_flat f;
	struct slice text;

	ck_assert_int_eq(json_read(SLICE("{\"type\":\"chat\",\"content\":\"hi\"}"), &f, NULL), 0);
	ck_assert_int_eq(json_text(&f, json_get(&f, "content"), &text), 0);
	ck_slice(text, "hi");
	ck_assert_int_eq(json_get(&f, "Content").kind, JSON_IS_ABSENT);
	json_done(&f);
	ck_assert_uint_eq(mem_count(), before);
}
END_TEST

/* Each allocation in turn fails: nothing is lost, and what is told is that there is no memory. */
START_TEST(reading_without_memory)
{
	long blocks = mem_blocks();

	for (size_t i = 0; i < ARRAY_LEN(flats); i++) {
		for (long nth = 1;; nth++) {
			struct json_flat f;
			struct slice text;
			bool failed;
			int r;

			mem_fail_at(nth);
			r = json_read(slice_str(flats[i]), &f, NULL);
			for (size_t k = 0; r == 0 && k < f.n; k++)
				r = json_text(&f,
				    json_find(&f, slice_of(f.text + f.members[k].name.at,
						      f.members[k].name.n)),
				    &text);
			failed = !mem_fail_is_pending();
			mem_fail_at(0);
			ck_assert_int_eq(r, failed ? JSON_E_MEMORY : 0);
			json_done(&f);
			ck_assert_int_eq(mem_blocks(), blocks);
			if (!failed)
				break;
		}
	}
}
END_TEST

/* --- writing --- */

static const struct {
	struct slice in;
	const char *out;
} strings[] = {
    {{NULL, 0}, "\"\""},
    {{"", 0}, "\"\""},
    {{"hello", 5}, "\"hello\""},
    {{"a\"b\\c/", 6}, "\"a\\\"b\\\\c/\""},
    {{"\b\f\n\r\t\0\x1f\x7f", 8}, "\"\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\""},
    {{"12345678\"90123456\n", 18}, "\"12345678\\\"90123456\\n\""},
    {{"\xe2\x80\xa8\xe2\x80\xa9", 6}, "\"\\u2028\\u2029\""},
    {{"abcdefg\xe2\x80\xa8", 10}, "\"abcdefg\\u2028\""},
    {{"\xe2\x80\xaa\xe2\x82\xac\xe2\x81\xa8", 9}, "\"\xe2\x80\xaa\xe2\x82\xac\xe2\x81\xa8\""},
    {{"\xe4\xb8\xad\xf0\x9f\x98\x80", 7}, "\"\xe4\xb8\xad\xf0\x9f\x98\x80\""},
    {{"</script>", 9}, "\"</script>\""},
};

START_TEST(strings_are_written)
{
	struct buf out = BUF_INIT(1000);
	struct guard g;
	struct slice in = strings[_i].in;

	guard_init(&g, 100);
	if (in.p != NULL)
		in = guard_copy(&g, in);
	ck_assert_int_eq(json_add_string(&out, in), 0);
	ck_slice(buf_slice(&out), strings[_i].out);
	buf_reset(&out);
	ck_assert_int_eq(json_add_escaped(&out, in), 0);
	ck_assert_uint_eq(out.n, strlen(strings[_i].out) - 2);
	buf_done(&out);
	guard_done(&g);
}
END_TEST

/* Every byte below 0x80 at every place of a word is read back as itself. */
START_TEST(strings_come_back)
{
	for (int c = 1; c < 0x80; c++) {
		for (size_t at = 0; at < 20; at++) {
			char text[20];
			struct buf out = BUF_INIT(1000);
			cJSON *tree = NULL;

			memset(text, 'x', sizeof(text));
			text[at] = (char)c;
			ck_assert_int_eq(json_add_string(&out, slice_of(text, sizeof(text))), 0);
			ck_assert_int_eq(json_parse(buf_slice(&out), &tree, NULL), 0);
			ck_assert(slice_eq(json_slice(tree), slice_of(text, sizeof(text))));
			cJSON_Delete(tree);
			buf_done(&out);
		}
	}
}
END_TEST

START_TEST(members_are_written)
{
	struct buf out = BUF_INIT(1000);

	ck_assert_int_eq(buf_add_char(&out, '{'), 0);
	ck_assert_int_eq(json_add_member_string(&out, "s", SLICE("{")), 0);
	ck_assert_int_eq(json_add_member_u64(&out, "u", UINT64_MAX), 0);
	ck_assert_int_eq(json_add_member_i64(&out, "i", INT64_MIN), 0);
	ck_assert_int_eq(json_add_member_bool(&out, "t", true), 0);
	ck_assert_int_eq(json_add_member_bool(&out, "f", false), 0);
	ck_assert_int_eq(json_add_key(&out, "a"), 0);
	ck_assert_int_eq(buf_add_str(&out, "[{"), 0);
	ck_assert_int_eq(json_add_member_raw(&out, "r", SLICE("[1]")), 0);
	ck_assert_int_eq(buf_add_str(&out, "}]}"), 0);
	ck_slice(buf_slice(&out),
	    "{\"s\":\"{\",\"u\":18446744073709551615,\"i\":-9223372036854775808,"
	    "\"t\":true,\"f\":false,\"a\":[{\"r\":[1]}]}");
	buf_done(&out);
}
END_TEST

START_TEST(writing_over_the_limit_is_told)
{
	struct slice text = SLICE("one \"two\" three");

	for (size_t max = 128; max < 128 + 40; max++) {
		struct buf out = BUF_INIT(max);
		bool fits;

		ck_assert_int_eq(buf_printf(&out, "%0*d", 127, 1), 0);
		(void)json_add_member_string(&out, "key", text);
		fits = max >= 127 + strlen(",\"key\":\"one \\\"two\\\" three\"");
		ck_assert(out.failed == !fits);
		ck_assert_uint_le(out.n, max);
		buf_done(&out);
	}
}
END_TEST

static void
add_tests(TCase *tc)
{
	tcase_add_loop_test(tc, the_document_holds, 0, (int)n_cases);
	tcase_add_test(tc, empty_text_is_not_json);
	tcase_add_test(tc, every_error_has_a_text);
	tcase_add_loop_test(tc, wide_objects_are_searched_for_doubles, 0, (int)ARRAY_LEN(widths));
	tcase_add_test(tc, checking_without_memory);
	tcase_add_test(tc, small_objects_allocate_nothing);
	tcase_add_test(tc, members_are_found);
	tcase_add_loop_test(tc, integers_are_exact, 0, (int)ARRAY_LEN(integers));
	tcase_add_loop_test(tc, the_view_without_a_tree_is_the_trees, 0, (int)ARRAY_LEN(flats));
	tcase_add_test(tc, reading_allocates_only_what_it_must);
	tcase_add_test(tc, reading_without_memory);
	tcase_add_loop_test(tc, raw_members_are_found, 0, (int)ARRAY_LEN(raws));
	tcase_add_loop_test(tc, strings_are_written, 0, (int)ARRAY_LEN(strings));
	tcase_add_test(tc, strings_come_back);
	tcase_add_test(tc, members_are_written);
	tcase_add_test(tc, writing_over_the_limit_is_told);
}

int
main(void)
{
	Suite *s = suite_create("json");
	TCase *tc = tcase_create("json");
	int status;

	if (!read_document()) {
		(void)fprintf(stderr, "tests/vectors/json_check.txt: cannot be read\n");
		return EXIT_FAILURE;
	}
	add_tests(tc);
	suite_add_tcase(s, tc);
	status = run_suite(s);
	for (size_t i = 0; i < n_cases; i++)
		buf_done(&cases[i].text);
	return status;
}
