/*
 * Server-Sent Events: what is written, and that nothing can be smuggled into it.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/sse.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_guard.h"
#include "tests/unit/support_run.h"

static const struct {
	const char *name;
	uint64_t id;
	const char *data; /* NULL: absent */
	const char *block;
} events[] = {
    {"chat", 1700000000000000, "{\"a\":1}",
	"event: chat\nid: 1700000000000000\ndata: {\"a\":1}\n\n"},
    {NULL, 0, "hi", "data: hi\n\n"},
    {"", 0, "hi", "data: hi\n\n"},
    {"message", 7, "hi", "event: message\nid: 7\ndata: hi\n\n"},
    {"Message", 0, "hi", "event: Message\ndata: hi\n\n"},
    {"tick", 0, NULL, "event: tick\n\n"},
    {"tick", 0, "", "event: tick\ndata: \n\n"},
    {NULL, UINT64_MAX, NULL, "id: 18446744073709551615\n\n"},
    {NULL, 0, "a\nb", "data: a\ndata: b\n\n"},
    {NULL, 0, "a\rb", "data: a\ndata: b\n\n"},
    {NULL, 0, "a\r\nb", "data: a\ndata: b\n\n"},
    {NULL, 0, "a\n\rb", "data: a\ndata: \ndata: b\n\n"},
    {NULL, 0, "a\r\r\n\nb", "data: a\ndata: \ndata: \ndata: b\n\n"},
    {NULL, 0, "\n", "data: \ndata: \n\n"},
    {NULL, 0, "\r", "data: \ndata: \n\n"},
    {NULL, 0, "\r\n", "data: \ndata: \n\n"},
    {NULL, 0, "a\n", "data: a\ndata: \n\n"},
    {NULL, 0, "a\r\n\r\n", "data: a\ndata: \ndata: \n\n"},
    {NULL, 0, " a:b ", "data:  a:b \n\n"},
    {NULL, 0, "x\n\nevent: evil\ndata: y", "data: x\ndata: \ndata: event: evil\ndata: data: y\n\n"},
    {NULL, 0, "x\r\revent: evil", "data: x\ndata: \ndata: event: evil\n\n"},
    {"\xc3\xa9v\xc3\xa9nement", 0, "\xe2\x80\xa8",
	"event: \xc3\xa9v\xc3\xa9nement\ndata: \xe2\x80\xa8\n\n"},
    {"a\nb", 0, "x", NULL},
    {"a\rb", 0, "x", NULL},
    {"a\x7f", 0, "x", NULL},
    {"a\xc2\x85", 0, "x", NULL},
};

START_TEST(events_are_written)
{
	struct buf out = BUF_INIT(1000);
	struct guard g;
	struct slice data = slice_str(events[_i].data);
	int r;

	guard_init(&g, 100);
	ck_assert_int_eq(BUF_ADD_LIT(&out, "before\n"), 0);
	if (data.p != NULL)
		data = guard_copy(&g, data);
	r = sse_event(&out, slice_str(events[_i].name), events[_i].id, data);
	if (events[_i].block == NULL) {
		ck_assert_int_eq(r, -EINVAL);
		ck_assert(slice_eq(buf_slice(&out), SLICE("before\n")));
	} else {
		ck_assert_int_eq(r, 0);
		buf_consume(&out, 7);
		ck_assert_msg(slice_eq(buf_slice(&out), slice_str(events[_i].block)), "got '%.*s'",
		    SLICE_ARG(buf_slice(&out)));
	}
	buf_done(&out);
	guard_done(&g);
}
END_TEST

START_TEST(small_blocks_are_written)
{
	struct buf out = BUF_INIT(1000);

	ck_assert_int_eq(sse_id(&out, 42), 0);
	ck_assert_int_eq(sse_retry(&out, 2000), 0);
	ck_assert_int_eq(sse_comment(&out, SLICE("hello")), 0);
	ck_assert_int_eq(sse_comment(&out, SLICE_NONE), 0);
	ck_assert_int_eq(sse_comment(&out, SLICE("a\ndata: b")), 0);
	ck_assert(slice_eq(buf_slice(&out), SLICE("id: 42\n\nretry: 2000\n\n: hello\n\n: \n\n"
						  ": a\n: data: b\n\n")));
	buf_done(&out);
}
END_TEST

/* Only what is an id loses its line. */
START_TEST(ids_are_left_out)
{
	struct buf with = BUF_INIT(1000);
	struct buf without = BUF_INIT(1000);
	struct buf small = BUF_INIT(40);

	for (uint64_t id = 7; id < 9; id++)
		ck_assert_int_eq(sse_event(&with, SLICE("id: 1"), id, SLICE("id: 5\n\nx")), 0);
	ck_assert_int_eq(sse_id(&with, 9), 0);
	ck_assert_int_eq(sse_without_ids(&without, buf_slice(&with)), 0);
	ck_assert(slice_eq(
	    buf_slice(&without), SLICE("event: id: 1\ndata: id: 5\ndata: \ndata: x\n\n"
				       "event: id: 1\ndata: id: 5\ndata: \ndata: x\n\n\n")));
	ck_assert_int_eq(sse_without_ids(&small, buf_slice(&with)), -EMSGSIZE);
	ck_assert_uint_eq(small.n, 0);
	buf_done(&small);
	buf_done(&without);
	buf_done(&with);
}
END_TEST

/* Where a block does not fit there is none of it. */
START_TEST(no_half_blocks)
{
	char data[200];
	size_t size = 12 + 7 + 206 + 1 + 1; /* event, id, data, their empty line */

	memset(data, 'd', sizeof(data));
	for (size_t max = size - 50; max < size + 3; max++) {
		struct buf out = BUF_INIT(max);
		int r = sse_event(&out, SLICE("name"), 12, slice_of(data, sizeof(data)));

		ck_assert_int_eq(r, max < size ? -EMSGSIZE : 0);
		ck_assert_uint_eq(out.n, max < size ? 0 : size);
		ck_assert(out.failed == (max < size));
		buf_done(&out);
	}
	mem_fail_at(1);
	{
		struct buf out = BUF_INIT(100);

		ck_assert_int_lt(sse_event(&out, SLICE_NONE, 0, SLICE("x")), 0);
		ck_assert_uint_eq(out.n, 0);
		buf_done(&out);
	}
	mem_fail_at(0);
}
END_TEST

START_TEST(many_line_ends_take_linear_time)
{
	size_t n = 400000;
	char *data = malloc(n);
	struct buf out = BUF_INIT(8 * n);

	ck_assert_ptr_nonnull(data);
	memset(data, '\r', n);
	ck_assert_int_eq(sse_event(&out, SLICE_NONE, 0, slice_of(data, n)), 0);
	ck_assert_uint_eq(out.n, (n + 1) * 7 + 1);
	buf_done(&out);
	free(data);
}
END_TEST

START_TEST(names_are_checked)
{
	char name[65];

	memset(name, 'n', sizeof(name));
	ck_assert(sse_name_is_valid(SLICE("price")));
	ck_assert(sse_name_is_valid(SLICE("\xc3\xa9 x")));
	ck_assert(sse_name_is_valid(slice_of(name, 64)));
	ck_assert(!sse_name_is_valid(slice_of(name, 65)));
	ck_assert(!sse_name_is_valid(SLICE("")));
	ck_assert(!sse_name_is_valid(SLICE("a\n")));
	ck_assert(!sse_name_is_valid(SLICE("a\0b")));
	ck_assert(!sse_name_is_valid(SLICE("\xc3")));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("sse");
	TCase *tc = tcase_create("sse");

	tcase_add_loop_test(tc, events_are_written, 0, (int)ARRAY_LEN(events));
	tcase_add_test(tc, small_blocks_are_written);
	tcase_add_test(tc, ids_are_left_out);
	tcase_add_test(tc, no_half_blocks);
	tcase_add_test(tc, many_line_ends_take_linear_time);
	tcase_add_test(tc, names_are_checked);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
