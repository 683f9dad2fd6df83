/*
 * permessage-deflate: any bytes are inflated within a limit, and what we deflate inflates to what
 * it was. The first byte chooses the limit.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/ws_deflate.h"

#define ROUND_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds, const char *what)
{
	if (holds)
		return;
	(void)fprintf(stderr, "fuzz_deflate: %s\n", what);
	abort();
}

static void
inflate_anything(struct ws_inflater *z, struct slice in, size_t max)
{
	struct buf bounded = BUF_INIT(max);
	struct buf again = BUF_INIT(max);
	int r = ws_inflate(z, in, &bounded);

	require(r == 0 || r == -EMSGSIZE || r == -EINVAL, "no other answer is possible");
	require(bounded.n <= max, "more than the limit");
	require(ws_inflate(z, in, &again) == r, "the inflater remembers");
	require(slice_eq(buf_slice(&bounded), buf_slice(&again)), "the inflater remembers");
	buf_done(&bounded);
	buf_done(&again);
}

static void
there_and_back(struct ws_inflater *z, struct slice in)
{
	struct ws_deflater *deflater = ws_deflater_new();
	struct buf packed = BUF_INIT(ROUND_MAX);
	struct buf back = BUF_INIT(in.n);

	require(deflater != NULL, "memory");
	require(ws_deflate(deflater, in, &packed) == 0, "deflating");
	require(ws_inflate(z, buf_slice(&packed), &back) == 0, "inflating our own");
	require(slice_eq(in, buf_slice(&back)), "not what it was");
	buf_done(&packed);
	buf_done(&back);
	ws_deflater_free(deflater);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ws_inflater *z;
	struct slice in;

	if (size == 0)
		return 0;
	z = ws_inflater_new();
	require(z != NULL, "memory");
	in = slice_of((const char *)data + 1, size - 1);
	inflate_anything(z, in, (size_t)data[0] * data[0]);
	there_and_back(z, in);
	ws_inflater_free(z);
	return 0;
}
