/* core/name: what is shown of a name, and which names look alike. */
#include "core/name.h"
#include "tests/unit/support_run.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

static const struct {
	const char *in;
	const char *out;   /* NULL: refused */
	const char *error; /* then: why */
} names[] = {
    {"Ada", "Ada", NULL},
    {"  Ada \t Lovelace  ", "Ada Lovelace", NULL},
    {"Ada\u00a0\u2003L", "Ada L", NULL},
    {"A\u202eda\u202c", "Ada", NULL}, /* bidirectional overrides */
    {"A\u2066d\u2069a\u200f", "Ada", NULL},
    {"A\u200bd\ufeffa", "Ada", NULL},
    {"A\ada", "Ada", NULL},
    {"A\u030a", "\u00c5", NULL},                                    /* composed */
    {"a\u0351\u0352\u0357\u035b", "a\u0351\u0352\u0357", NULL},     /* heaped marks */
    {"\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e", NULL}, /* a joiner within a word */
    {"\u200cA\u200d", "A", NULL},
    {"\U0001f469\u200d\U0001f467", "\U0001f469\u200d\U0001f467", NULL},
    {"", NULL, "is empty"},
    {" \u200b\u3164 ", NULL, "is empty"},
    {"\xff", NULL, "is not UTF-8"},
    {"\xed\xa0\x80", NULL, "is not UTF-8"},
    {"0123456789012345678901234567890123456789012345678901234567890123",
	"0123456789012345678901234567890123456789012345678901234567890123", NULL},
    {"01234567890123456789012345678901234567890123456789012345678901234", NULL,
	"is longer than 64 bytes"},
};

START_TEST(is_cleaned)
{
	struct buf b = BUF_INIT(4096);
	const char *error = "";
	int r;

	ck_assert_int_eq(BUF_ADD_LIT(&b, "x"), 0);
	r = name_clean(slice_str(names[_i].in), &b, &error);
	if (names[_i].error == NULL) {
		ck_assert_msg(r == 0, "'%s' %s", names[_i].in, error);
		ck_assert_msg(slice_eq(slice_skip(buf_slice(&b), 1), slice_str(names[_i].out)),
		    "'%s' is '%.*s', want '%s'", names[_i].in, SLICE_ARG(buf_slice(&b)),
		    names[_i].out);
	} else {
		ck_assert_msg(r == -EINVAL, "'%s': %d", names[_i].in, r);
		ck_assert_str_eq(error, names[_i].error);
		ck_assert_uint_eq(b.n, 1);
	}
	buf_done(&b);
}
END_TEST

static const struct {
	const char *a;
	const char *b;
	bool alike;
} pairs[] = {
    {"Ada", "ADA", true},
    {"Ada", "a d a", true},
    {"Ada", "\u0410d\u0430", true},      /* Cyrillic */
    {"Ada", "\uff21\uff44\uff41", true}, /* full width */
    {"Ivan", "lvan", true},
    {"Ivan", "1van", true},
    {"mary", "rnary", true},
    {"Stra\u00dfe", "STRASSE", true},
    {"Bob", "B\u03bfb", true}, /* Greek */
    {"O0", "00", true},
    {"Ada", "Eda", false},
    {"Ada", "Adam", false},
    {"\u674e", "\u738b", false},
    {"\U0001f469", "\U0001f467", false},
};

START_TEST(look_alike)
{
	struct buf a = BUF_INIT(NAME_KEY_MAX);
	struct buf b = BUF_INIT(NAME_KEY_MAX);

	ck_assert_int_eq(name_key(slice_str(pairs[_i].a), &a), 0);
	ck_assert_int_eq(name_key(slice_str(pairs[_i].b), &b), 0);
	ck_assert_msg(slice_eq(buf_slice(&a), buf_slice(&b)) == pairs[_i].alike,
	    "'%s' and '%s': '%.*s' and '%.*s'", pairs[_i].a, pairs[_i].b, SLICE_ARG(buf_slice(&a)),
	    SLICE_ARG(buf_slice(&b)));
	buf_done(&a);
	buf_done(&b);
}
END_TEST

START_TEST(key_of_anything)
{
	struct buf b = BUF_INIT(NAME_KEY_MAX);
	char big[400];

	ck_assert_int_eq(name_key(SLICE("\xff\xfe"), &b), -EINVAL);
	memset(big, 'a', sizeof(big));
	ck_assert_int_eq(name_key(slice_of(big, sizeof(big)), &b), -EINVAL);
	ck_assert_int_eq(name_key(slice_of(big, 128), &b), 0);
	ck_assert_uint_eq(b.n, 128);
	buf_reset(&b);
	ck_assert_int_eq(name_key(SLICE_NONE, &b), 0);
	ck_assert_uint_eq(b.n, 0);
	buf_done(&b);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("name");
	TCase *cases = tcase_create("all");

	tcase_add_loop_test(cases, is_cleaned, 0, (int)ARRAY_LEN(names));
	tcase_add_loop_test(cases, look_alike, 0, (int)ARRAY_LEN(pairs));
	tcase_add_test(cases, key_of_anything);
	suite_add_tcase(suite, cases);
	return run_suite(suite);
}
