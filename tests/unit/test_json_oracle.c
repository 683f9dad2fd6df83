/*
 * The JSON check and cJSON against jansson, and the view without a tree against cJSON, over texts made
 * from pieces by a generator with a fixed seed: they must be of one mind about what is JSON and what it
 * says. Without jansson nothing is tested here.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/json.h"

#ifdef HAVE_JANSSON
#include "tests/unit/support_flat.h"
#include "tests/unit/support_jansson.h"
#include "tests/unit/support_run.h"

#define ROUNDS     200000
#define MAX_PIECES 12

/* As cJSON has it. */
static bool
is_read_well(struct slice text)
{
	cJSON *tree = NULL;
	bool agrees;

	if (json_parse(text, &tree, NULL) < 0)
		return false;
	agrees = flat_agrees(text, tree);
	cJSON_Delete(tree);
	return agrees;
}

static const char *const pieces[] = {"{", "}", "[", "]", ":", ",", "\"", "\"a\"", "\"b\"",
    "\"a\":", "\"\\u0061\":", "{\"a\":1", ",\"b\":2}", "[1,", "]}", "0", "1", "-", ".", "e", "E+",
    "01", "1.5", "1e308", "e400", "true", "false", "null", "nul", " ", "\n", "\t", "\\", "\\n",
    "\\\"", "\\u", "\\u0000", "\\ud83d", "\\ude00", "\xc3\xa9", "\xc3", "\xe2\x82\xac", "\xff",
    "\x01", "x", "/**/", "\"\\ud83d\\ude00\"", "\"\\u00e9\\/\\b\\f\\r\\t\"", "-0", "1e-400",
    "123456789012345678901234567890", "\"\\uFFFF\\uD7FF\\uE000\"", "[1,2,{\"c\":[]}]", "{\"\":0}",
    "{\"k\":[{}]}", "[[[[[[", "]]]]]]"};

START_TEST(jansson_and_we_agree)
{
	uint32_t seed = (uint32_t)_i + 1;
	unsigned good = 0;

	for (int round = 0; round < ROUNDS; round++) {
		char text[400];
		size_t n = 0;
		size_t left;
		int r;

		seed = seed * 1664525 + 1013904223;
		for (left = 1 + (seed >> 16) % MAX_PIECES; left > 0; left--) {
			const char *piece;

			seed = seed * 1664525 + 1013904223;
			piece = pieces[(seed >> 10) % ARRAY_LEN(pieces)];
			memcpy(text + n, piece, strlen(piece));
			n += strlen(piece);
		}
		r = json_check(slice_of(text, n), NULL);
		good += r == 0;
		ck_assert_msg(jansson_agrees(slice_of(text, n), r), "%d: %.*s", r, (int)n, text);
		ck_assert_msg(r < 0 || is_read_well(slice_of(text, n)), "%.*s", (int)n, text);
	}
	ck_assert_uint_gt(good, ROUNDS / 1000);
}
END_TEST
#endif

int
main(void)
{
	Suite *s = suite_create("json_oracle");
	TCase *tc = tcase_create("json_oracle");

#ifdef HAVE_JANSSON
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, jansson_and_we_agree, 0, 2);
#endif
	suite_add_tcase(s, tc);
	return run_suite(s);
}
