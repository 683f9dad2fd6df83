/*
 * permessage-deflate's codecs: there and back, bounds, bad data, no memory of the message before.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/ws_deflate.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_guard.h"
#include "tests/unit/support_run.h"

#define BIG 300000

static struct ws_inflater *inflater;
static struct ws_deflater *deflater;

static void
set_up(void)
{
	inflater = ws_inflater_new();
	deflater = ws_deflater_new();
	ck_assert(inflater != NULL && deflater != NULL);
}

static void
tear_down(void)
{
	ws_inflater_free(inflater);
	ws_deflater_free(deflater);
}

static void
there_and_back(struct slice in)
{
	struct buf packed = BUF_INIT(2 * BIG);
	struct buf out = BUF_INIT(in.n);

	ck_assert_int_eq(BUF_ADD_LIT(&packed, "head"), 0);
	ck_assert_int_eq(ws_deflate(deflater, in, &packed), 0);
	ck_assert(slice_has_prefix(buf_slice(&packed), SLICE("head")));
	ck_assert_int_eq(ws_inflate(inflater, slice_skip(buf_slice(&packed), 4), &out), 0);
	ck_assert(slice_eq(buf_slice(&out), in));
	buf_done(&packed);
	buf_done(&out);
}

static const size_t sizes[] = {0, 1, 2, 100, 511, 512, 513, 4096, 65535, 65536, 100000, BIG};

START_TEST(all_sizes_come_back)
{
	char *bytes = calloc(1, BIG);
	uint32_t noise = 1;

	ck_assert_ptr_nonnull(bytes);
	there_and_back(slice_of(bytes, sizes[_i]));
	for (size_t i = 0; i < BIG; i++)
		bytes[i] = (char)("0123456789abcdef"[i * i / 7 % 16]);
	there_and_back(slice_of(bytes, sizes[_i]));
	for (size_t i = 0; i < BIG; i++) {
		noise = noise * 1664525 + 1013904223;
		bytes[i] = (char)(noise >> 24);
	}
	there_and_back(slice_of(bytes, sizes[_i]));
	free(bytes);
}
END_TEST

START_TEST(the_tail_is_removed)
{
	struct buf out = BUF_INIT(1000);

	ck_assert_int_eq(ws_deflate(deflater, SLICE("Hello"), &out), 0);
	ck_assert_uint_eq(out.n, 7);
	ck_assert_mem_eq(out.p, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7); /* RFC 7692, 7.2.3.1 */
	buf_reset(&out);
	ck_assert_int_eq(ws_deflate(deflater, SLICE("Hello"), &out), 0);
	ck_assert_uint_eq(out.n, 7); /* the same again: no context taken over */
	buf_reset(&out);
	ck_assert_int_eq(ws_deflate(deflater, SLICE(""), &out), 0);
	ck_assert_uint_eq(out.n, 1);
	ck_assert_mem_eq(out.p, "\x00", 1); /* 7.2.3.6 */
	buf_done(&out);
}
END_TEST

START_TEST(no_room_leaves_the_buffer_alone)
{
	struct buf out = BUF_INIT(200);

	ck_assert_int_eq(buf_printf(&out, "%0*d", 190, 1), 0);
	ck_assert_int_eq(ws_deflate(deflater, SLICE("Hello, hello, hello"), &out), -EMSGSIZE);
	ck_assert_uint_eq(out.n, 190);
	buf_done(&out);
}
END_TEST

/* What the senders do: as much room as the message itself has, for longer would be no gain. */
START_TEST(no_more_room_than_the_message)
{
	char text[300];
	struct buf out = BUF_INIT(sizeof(text));

	memset(text, 'x', sizeof(text));
	ck_assert_int_eq(ws_deflate(deflater, slice_of(text, sizeof(text)), &out), 0);
	ck_assert_uint_lt(out.n, 20);
	buf_done(&out);
	out = BUF_INIT(8);
	ck_assert_int_eq(ws_deflate(deflater, SLICE("0123456789abcdef"), &out), -EMSGSIZE);
	ck_assert_uint_eq(out.n, 0);
	buf_done(&out);
	out = BUF_INIT(0);
	ck_assert_int_eq(ws_deflate(deflater, SLICE("0123456789abcdef"), &out), -EMSGSIZE);
	buf_done(&out);
}
END_TEST

static const struct {
	struct slice in;
	size_t max;
	int result;
	struct slice out;
} messages[] = {
    {{"\xf2\x48\xcd\xc9\xc9\x07\x00", 7}, 5, 0, {"Hello", 5}},
    {{"\xf2\x48\xcd\xc9\xc9\x07\x00", 7}, 4, -EMSGSIZE, {NULL, 0}},
    {{"\xf2\x48\xcd\xc9\xc9\x07\x00", 7}, 0, -EMSGSIZE, {NULL, 0}}, {{"\x00", 1}, 0, 0, {"", 0}},
    {{"", 0}, 0, 0, {"", 0}}, {{"\x00\x05\x00\xfa\xffHello\x00", 11}, 100, 0, {"Hello", 5}},
    {{"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8}, 100, 0, {"Hello", 5}},
    {{"\xf3\x48\xcd\xc9\xc9\x07\x00", 7}, 100, 0, {"Hello", 5}},
    /* a final block and a whole other one behind it */
    {{"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00", 14}, 100, 0, {"HelloHello", 10}},
    {{"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00", 14}, 9, -EMSGSIZE, {NULL, 0}},
    {{"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13}, 100, 0, {"Hello", 5}},
    /* the sender forgot to remove the tail */
    {{"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff", 11}, 100, 0, {"Hello", 5}},
    {{"\xf2\x48\xcd", 3}, 100, -EINVAL, {NULL, 0}},
    {{"\x00\x05\x00\xfa\xffHel", 8}, 100, -EINVAL, {NULL, 0}},
    {{"\x00\x05\x00\xfb\xffHello\x00", 11}, 100, -EINVAL, {NULL, 0}},
    {{"\x06", 1}, 100, -EINVAL, {NULL, 0}}, /* block type 3 */
    {{"\xff\xff\xff\xff", 4}, 100, -EINVAL, {NULL, 0}},
    {{"\xf2\x00\x11\x00\x00", 5}, 100, -EINVAL, {NULL, 0}}, /* refers to before its beginning */
};

START_TEST(messages_are_inflated)
{
	struct buf out = BUF_INIT(messages[_i].max);
	struct guard g;
	int r;

	guard_init(&g, 100);
	r = ws_inflate(inflater, guard_copy(&g, messages[_i].in), &out);
	ck_assert_int_eq(r, messages[_i].result);
	if (r == 0)
		ck_assert(slice_eq(buf_slice(&out), messages[_i].out));
	buf_done(&out);
	guard_done(&g);
}
END_TEST

/* A megabyte of zeros in a kilobyte: stopped at the limit, with no more memory than that. */
START_TEST(bombs_are_stopped)
{
	char *zeros = calloc(1, BIG);
	struct buf packed = BUF_INIT(2 * BIG);
	struct buf out = BUF_INIT(BIG - 1);

	ck_assert_ptr_nonnull(zeros);
	ck_assert_int_eq(ws_deflate(deflater, slice_of(zeros, BIG), &packed), 0);
	ck_assert_uint_lt(packed.n, BIG / 100);
	ck_assert_int_eq(ws_inflate(inflater, buf_slice(&packed), &out), -EMSGSIZE);
	ck_assert_uint_le(out.cap, BIG - 1);
	buf_done(&out);
	out = BUF_INIT(1000);
	ck_assert_int_eq(ws_inflate(inflater, buf_slice(&packed), &out), -EMSGSIZE);
	ck_assert_uint_le(out.cap, 1000);
	buf_done(&out);
	buf_done(&packed);
	free(zeros);
}
END_TEST

/* The limit holds also where the buffer is bigger, from a message with a higher one. */
START_TEST(the_scratch_keeps_to_its_limit)
{
	struct slice hello = SLICE("\xf2\x48\xcd\xc9\xc9\x07\x00");
	struct buf *out = ws_inflater_scratch(inflater, 1000);

	ck_assert_int_eq(ws_inflate(inflater, hello, out), 0);
	out = ws_inflater_scratch(inflater, 4);
	ck_assert_uint_eq(out->n, 0);
	ck_assert_int_eq(ws_inflate(inflater, hello, out), -EMSGSIZE);
	out = ws_inflater_scratch(inflater, 5);
	ck_assert_int_eq(ws_inflate(inflater, hello, out), 0);
	ck_assert_int_eq(buf_reserve(ws_inflater_scratch(inflater, 1u << 20), 1u << 20), 0);
	ck_assert_uint_eq(ws_inflater_scratch(inflater, 1000)->cap, 1u << 20);
	ws_inflater_trim(inflater); /* at the end of the turn it is given back */
	ck_assert_uint_eq(ws_inflater_scratch(inflater, 1000)->cap, 0);
	ck_assert_int_eq(buf_reserve(ws_inflater_scratch(inflater, 1000), 1000), 0);
	ws_inflater_trim(inflater);
	ck_assert_uint_ge(ws_inflater_scratch(inflater, 1000)->cap, 1000); /* a small one is kept */
}
END_TEST

START_TEST(codecs_without_memory)
{
	long blocks = mem_blocks();
	bool failed = true;

	for (long nth = 1; failed; nth++) {
		struct buf packed = BUF_INIT(1000);
		struct buf out = BUF_INIT(1000);
		struct ws_deflater *d;
		struct ws_inflater *z;
		int r = 0;

		mem_fail_at(nth);
		d = ws_deflater_new();
		z = ws_inflater_new();
		r = d == NULL || z == NULL ? -ENOMEM : ws_deflate(d, SLICE("Hello"), &packed);
		if (r == 0)
			r = ws_inflate(z, buf_slice(&packed), &out);
		failed = !mem_fail_is_pending();
		mem_fail_at(0);
		ck_assert_int_eq(r, failed ? -ENOMEM : 0);
		ws_deflater_free(d);
		ws_inflater_free(z);
		buf_done(&packed);
		buf_done(&out);
		ck_assert_int_eq(mem_blocks(), blocks);
		ck_assert_int_lt(nth, 50);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("deflate");
	TCase *tc = tcase_create("deflate");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, all_sizes_come_back, 0, (int)ARRAY_LEN(sizes));
	tcase_add_test(tc, the_tail_is_removed);
	tcase_add_test(tc, no_room_leaves_the_buffer_alone);
	tcase_add_test(tc, no_more_room_than_the_message);
	tcase_add_loop_test(tc, messages_are_inflated, 0, (int)ARRAY_LEN(messages));
	tcase_add_test(tc, bombs_are_stopped);
	tcase_add_test(tc, the_scratch_keeps_to_its_limit);
	tcase_add_test(tc, codecs_without_memory);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
