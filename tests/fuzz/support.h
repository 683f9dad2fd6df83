/*
 * What the fuzzers share: a check that says what failed, and cutting an input into its parts.
 */
#ifndef TESTS_FUZZ_SUPPORT_H
#define TESTS_FUZZ_SUPPORT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the program, which is how a fuzzer reports, unless it holds. */
#define NEED(holds) need((holds), #holds, __FILE__, __LINE__)
/* Where nothing may come. */
#define FAIL(what) need(false, what, __FILE__, __LINE__)

static inline void
need(bool holds, const char *what, const char *file, int line)
{
	if (holds)
		return;
	(void)fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

/* A byte of the input's head off its front; 0 when nothing is left. */
static inline unsigned
take_byte(struct slice *in)
{
	unsigned value;

	if (in->n == 0)
		return 0;
	value = (unsigned char)in->p[0];
	*in = slice_skip(*in, 1);
	return value;
}

/* The part before the next line feed; there and empty when nothing is left. */
static inline struct slice
take_line(struct slice *in)
{
	return in->p == NULL ? SLICE("") : slice_cut(in, '\n');
}

#endif
