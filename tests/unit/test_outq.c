/* net/outq: what is queued comes out once and in order, whatever the socket takes at a time. */
#include "net/outq.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/mem_faults.h"
#include "tests/unit/support_run.h"

static void
push(struct outq *q, struct slice s)
{
	struct wire *w = wire_new(s);

	ck_assert_ptr_nonnull(w);
	ck_assert_int_eq(outq_push(q, w), 0);
	wire_unref(w);
}

START_TEST(in_order)
{
	long blocks = mem_blocks();
	struct outq q = {0};
	char got[4096] = "";
	char want[4096] = "";
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	ck_assert_int_eq(outq_flush(&q, fd[0]), 0);
	for (int i = 0; i < 300; i++) { /* more than one gather write */
		char text[16];

		(void)snprintf(text, sizeof(text), "%d,", i);
		(void)strcat(want, text);
		push(&q, slice_str(text));
	}
	ck_assert_uint_eq(q.bytes, strlen(want));
	ck_assert_int_eq(outq_flush(&q, fd[0]), (int)strlen(want));
	ck_assert_ptr_null(q.slots); /* an empty one owns nothing */
	ck_assert_uint_eq(q.bytes, 0);
	ck_assert_int_eq(read(fd[1], got, sizeof(got) - 1), (int)strlen(want));
	ck_assert_str_eq(got, want);
	ck_assert_int_eq(mem_blocks(), blocks);
	(void)close(fd[0]);
	(void)close(fd[1]);
}
END_TEST

/* A socket that takes a part at a time, in the middle of wires. */
START_TEST(in_parts)
{
	const size_t size = 50000;
	long blocks = mem_blocks();
	struct outq q = {0};
	char *big = malloc(size);
	char *got = malloc(size);
	size_t n_read = 0;
	size_t written = 0;
	unsigned n_pushed = 0;
	int fd[2];

	ck_assert(big != NULL && got != NULL);
	for (size_t i = 0; i < size; i++)
		big[i] = (char)(i % 251);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	while (n_read < 40 * size) {
		ssize_t n;

		if (n_pushed < 40) {
			push(&q, slice_of(big, size));
			push(&q, SLICE("")); /* nothing, and in nobody's way */
			n_pushed++;
		}
		n = outq_flush(&q, fd[0]);
		ck_assert(n >= 0 || n == -EAGAIN);
		written += n > 0 ? (size_t)n : 0;
		n = read(fd[1], got, 7777);
		for (ssize_t i = 0; i < n; i++)
			ck_assert(got[i] == big[(n_read + (size_t)i) % size]);
		n_read += n > 0 ? (size_t)n : 0;
	}
	while (q.n > 0)
		ck_assert_int_ge(outq_flush(&q, fd[0]), 0);
	ck_assert_uint_eq(written, 40 * size);
	ck_assert_int_eq(mem_blocks(), blocks);
	push(&q, slice_of(big, size));
	(void)close(fd[1]);
	ck_assert_int_eq(outq_flush(&q, fd[0]), -EPIPE);
	outq_done(&q);
	ck_assert_int_eq(mem_blocks(), blocks);
	(void)close(fd[0]);
	free(big);
	free(got);
}
END_TEST

START_TEST(bounded)
{
	long blocks = mem_blocks();
	struct wire *w = wire_new(SLICE("x"));
	struct outq q = {0};
	unsigned n = 0;

	ck_assert_ptr_nonnull(w);
	while (outq_push(&q, w) == 0)
		n++;
	ck_assert_uint_eq(n, OUTQ_MAX);
	ck_assert_uint_eq(w->refs, OUTQ_MAX + 1);
	ck_assert_uint_eq(q.bytes, OUTQ_MAX);
	outq_done(&q);
	ck_assert_uint_eq(w->refs, 1);
	for (long at = 1;; at++) {
		bool failed = false;

		mem_fail_at(at);
		for (unsigned i = 0; i < 100 && !failed; i++)
			failed = outq_push(&q, w) < 0;
		mem_fail_at(0);
		ck_assert_uint_eq(w->refs, 1u + q.n); /* what failed was not shared */
		outq_done(&q);
		if (!failed)
			break;
	}
	wire_unref(w);
	ck_assert_int_eq(mem_blocks(), blocks);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {in_order, in_parts, bounded, NULL};

	return run_tests("outq", tests);
}
