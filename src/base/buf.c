#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

#define BUF_FIRST_CAP 128

void
buf_done(struct buf *b)
{
	if (!b->is_borrowed)
		mem_free(b->p);
	*b = BUF_INIT(b->max);
}

void
buf_reset(struct buf *b)
{
	b->n = 0;
	b->failed = false;
	b->error = 0;
}

static int
fail(struct buf *b, int error)
{
	b->failed = true;
	b->error = error;
	return error;
}

/* How it failed before; writers set `failed` themselves too. */
static int
sticky(const struct buf *b)
{
	return b->error < 0 ? b->error : -ENOMEM;
}

int
buf_grow(struct buf *b, size_t more)
{
	size_t cap = b->cap == 0 ? min_size(BUF_FIRST_CAP, b->max) : b->cap;
	char *p;

	if (b->failed)
		return sticky(b); /* what came after a missing piece would be wrong */
	if (b->n > b->max || more > b->max - b->n)
		return fail(b, -EMSGSIZE);
	if (more == 0 || (b->p != NULL && more <= b->cap - b->n))
		return 0;
	while (cap - b->n < more)
		cap = cap > b->max / 2 ? b->max : cap * 2;
	p = b->is_borrowed ? mem_alloc(cap) : mem_realloc(b->p, cap);
	if (p == NULL)
		return fail(b, -ENOMEM);
	if (b->is_borrowed && b->p != NULL && b->n > 0)
		memcpy(p, b->p, b->n);
	b->is_borrowed = false;
	b->p = p;
	b->cap = cap;
	return 0;
}

int
buf_add_slowly(struct buf *b, const void *p, size_t n)
{
	int r;

	if (n == 0)
		return b->failed ? sticky(b) : 0;
	r = buf_reserve(b, n);
	if (r < 0)
		return r;
	memcpy(b->p + b->n, p, n);
	b->n += n;
	return 0;
}

/* Four digits a step: a quarter of the long divisions. An id has 16 digits, and each message two of them. */
char *
digits_before(char *end, uint64_t v)
{
	static const char pairs[] =
	    "00010203040506070809101112131415161718192021222324252627282930313233"
	    "34353637383940414243444546474849505152535455565758596061626364656667"
	    "6869707172737475767778798081828384858687888990919293949596979899";

	uint32_t left;

	for (; v >= 10000; v /= 10000) {
		uint32_t four = (uint32_t)(v % 10000);

		end -= 4;
		memcpy(end, pairs + four / 100 * 2, 2);
		memcpy(end + 2, pairs + four % 100 * 2, 2);
	}
	left = (uint32_t)v;
	if (left >= 100) {
		end -= 2;
		memcpy(end, pairs + left % 100 * 2, 2);
		left /= 100;
	}
	if (left >= 10) {
		end -= 2;
		memcpy(end, pairs + left * 2, 2);
	} else {
		*--end = (char)('0' + left);
	}
	return end;
}

/* The eight digits of a half, the highest in the lowest byte: four bits to a byte, then to a letter. */
static uint64_t
hex_half(uint32_t v)
{
	uint64_t x = __builtin_bswap32(v);
	uint64_t letters;

	x = (x << 16 | x) & 0x0000ffff0000ffffu;
	x = (x << 8 | x) & 0x00ff00ff00ff00ffu;
	x = (x << 8 | x >> 4) & 0x0f0f0f0f0f0f0f0fu;
	letters = (x + 0x0606060606060606u) >> 4 & 0x0101010101010101u;
	return x + 0x3030303030303030u + letters * ('a' - '0' - 10);
}

/* Eight digits a step: 40 instructions in place of 110, once for each answer. */
void
hex16(char out[16], uint64_t v)
{
	uint64_t half = htole64(hex_half((uint32_t)(v >> 32)));

	memcpy(out, &half, 8);
	half = htole64(hex_half((uint32_t)v));
	memcpy(out + 8, &half, 8);
}

int
buf_add_u64(struct buf *b, uint64_t v)
{
	char digits[U64_DIGITS] UNCLEARED;
	const char *first = digits_before(digits + sizeof(digits), v);

	return buf_add(b, first, (size_t)(digits + sizeof(digits) - first));
}

int
buf_add_i64(struct buf *b, int64_t v)
{
	if (v >= 0)
		return buf_add_u64(b, (uint64_t)v);
	(void)buf_add_char(b, '-'); /* a failure is sticky */
	return buf_add_u64(b, 0 - (uint64_t)v);
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	int n;
	int r;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (n < 0)
		return fail(b, -EINVAL);
	r = buf_reserve(b, (size_t)n + 1);
	if (r < 0)
		return r;
	va_start(args, fmt);
	(void)vsnprintf(b->p + b->n, (size_t)n + 1, fmt, args); /* measured above */
	va_end(args);
	b->n += (size_t)n;
	return 0;
}

void
buf_consume(struct buf *b, size_t n)
{
	if (n == 0)
		return;
	b->n -= n;
	if (b->n > 0)
		memmove(b->p, b->p + n, b->n);
}
