/* core/error: the table, texts made of peers' bytes, problem documents. */
#include "core/error.h"

#include <check.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "proto/http.h"
#include "proto/json.h"
#include "tests/unit/support_run.h"

START_TEST(table_is_whole)
{
	for (int i = 0; i < ERROR_CODE_COUNT; i++) {
		enum error_code code = (enum error_code)i;

		ck_assert_ptr_nonnull(error_name(code));
		ck_assert_int_ge(error_status(code), 400);
		ck_assert_int_le(error_status(code), 599);
		ck_assert_int_gt((int)strlen(http_status_text(error_status(code))), 0);
	}
	ck_assert_str_eq(error_name(ERROR_MISDIRECTED), "misdirected");
	ck_assert_int_eq(error_status(ERROR_MISDIRECTED), 421);
}
END_TEST

static const struct {
	struct slice in;
	const char *out;
} cleaned[] = {
    {{"plain", 5}, "plain"},
    {{"", 0}, ""},
    {{NULL, 0}, ""},
    {{"a\"b\\c", 5}, "a'b/c"},
    {{"a\0b\nc\x7f", 6}, "a?b?c?"},
    {{"\xc2\x85", 2}, "?"},
    {{"gr\xc3\xbc\xc3\x9f", 6}, "gr\xc3\xbc\xc3\x9f"},
    {{"\xff\xc3", 2}, "??"},
    {{"\xf0\x9f\x94\x94", 4}, "\xf0\x9f\x94\x94"},
};

START_TEST(cleans)
{
	char out[REFUSE_CLEAN];

	ck_assert_str_eq(refuse_clean(cleaned[_i].in, out), cleaned[_i].out);
}
END_TEST

START_TEST(cleans_long)
{
	char in[400], out[REFUSE_CLEAN];

	/* characters of 1, 2, 3 and 4 bytes against the end of the room */
	for (size_t pad = 0; pad < 80; pad++) {
		size_t n = pad;

		memset(in, 'a', pad);
		while (n + 4 <= sizeof(in)) {
			memcpy(in + n, "\xf0\x9f\x94\x94", 4);
			n += 4;
		}
		(void)refuse_clean(slice_of(in, n), out);
		ck_assert_uint_lt(strlen(out), sizeof(out));
		ck_assert(utf8_is_valid(slice_str(out)));
		ck_assert_str_eq(out + strlen(out) - 3, "\xe2\x80\xa6");
	}
}
END_TEST

START_TEST(cuts_at_a_character)
{
	char text[2 * ERROR_TEXT];
	struct refusal r;

	for (size_t pad = 0; pad < 4; pad++) {
		memset(text, 0, sizeof(text));
		memset(text, 'a', pad);
		for (size_t n = pad; n + 4 < sizeof(text); n += 4)
			memcpy(text + n, "\xf0\x9f\x94\x94", 4);
		ck_assert_int_eq(refuse(&r, ERROR_BAD_FIELD, "%s", text), -1);
		ck_assert_uint_lt(strlen(r.text), sizeof(r.text));
		ck_assert_uint_gt(strlen(r.text), sizeof(r.text) - 8);
		ck_assert(utf8_is_valid(slice_str(r.text)));
	}
}
END_TEST

START_TEST(problem)
{
	struct buf out = BUF_INIT(1024);
	struct refusal r;
	cJSON *json;

	ck_assert_int_eq(
	    refuse_limit(&r, ERROR_TOO_LARGE, "limits.body", 3, "%d bytes \"x\"", 7), -1);
	ck_assert_int_eq(refusal_problem(&out, &r), 0);
	ck_assert_int_eq(json_parse(buf_slice(&out), &json, NULL), 0);
	ck_assert_str_eq(json_string(json_member(json, "type")).p, "about:blank");
	ck_assert_str_eq(json_string(json_member(json, "title")).p, "Content Too Large");
	ck_assert_str_eq(json_string(json_member(json, "detail")).p, "7 bytes \"x\"");
	ck_assert_str_eq(json_string(json_member(json, "code")).p, "too_large");
	ck_assert_str_eq(json_string(json_member(json, "limit")).p, "limits.body");
	ck_assert_int_eq(json_member(json, "status")->valueint, 413);
	ck_assert_int_eq(json_member(json, "retry_after")->valueint, 3);
	cJSON_Delete(json);
	buf_reset(&out);
	(void)refuse(&r, ERROR_BAD_REQUEST, "x");
	r.status = 431;
	ck_assert_int_eq(refusal_problem(&out, &r), 0);
	ck_assert_ptr_nonnull(memmem(out.p, out.n, "\"status\":431", 12));
	ck_assert_ptr_null(memmem(out.p, out.n, "limit", 5));
	buf_done(&out);
}
END_TEST

START_TEST(problem_without_room)
{
	struct buf out = BUF_INIT(40);
	struct refusal r;

	(void)refuse(&r, ERROR_BAD_REQUEST, "too long for the buffer");
	ck_assert_int_lt(refusal_problem(&out, &r), 0);
	buf_done(&out);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("error");
	TCase *t = tcase_create("all");

	tcase_add_test(t, table_is_whole);
	tcase_add_loop_test(t, cleans, 0, (int)ARRAY_LEN(cleaned));
	tcase_add_test(t, cleans_long);
	tcase_add_test(t, cuts_at_a_character);
	tcase_add_test(t, problem);
	tcase_add_test(t, problem_without_room);
	suite_add_tcase(s, t);
	return run_suite(s);
}
