/*
 * What every file may use: attributes, array length, minimum and maximum, alignment of
 * untrusted pointers. Any thread.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MUST_CHECK        __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED            __attribute__((unused))
/*
 * A big local array that is written before it is read: the compiler, told to clear what it does not
 * see written (hardening), leaves it alone.
 */
#define UNCLEARED          __attribute__((uninitialized))
#define ARRAY_LEN(a)       (sizeof(a) / sizeof((a)[0]))
#define CONTAINER(p, t, m) ((t *)(void *)((char *)(p)-offsetof(t, m)))

/* n < 8 bytes as a number, the first one lowest, in a step or two: most names are that short. */
static inline uint64_t
bytes_short(const char *p, size_t n)
{
	const unsigned char *bytes = (const unsigned char *)p;
	uint32_t low;
	uint32_t high;

	if (n == 0)
		return 0;
	if (n < 4) /* of two or three bytes some are taken twice */
		return bytes[0] | (uint64_t)bytes[n / 2] << (8 * (n / 2)) |
		       (uint64_t)bytes[n - 1] << (8 * (n - 1));
	__builtin_memcpy(&low, p, sizeof(low));
	__builtin_memcpy(&high, p + n - 4, sizeof(high));
	return le32toh(low) | (uint64_t)le32toh(high) << (8 * (n - 4));
}

/* Sixteen bytes that the compiler compares at once, on any processor: a true byte is 0xff. */
typedef uint8_t bytes16 __attribute__((vector_size(16)));

static inline bytes16
bytes16_load(const void *p)
{
	bytes16 v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

/* The index of the first true byte; 16 when there is none. */
static inline size_t
bytes16_first(bytes16 v)
{
#ifdef __SSE2__
	typedef char chars16 __attribute__((vector_size(16)));
	unsigned bits = (unsigned)__builtin_ia32_pmovmskb128((chars16)v);

	return bits == 0 ? 16 : (size_t)__builtin_ctz(bits);
#else
	uint8_t bytes[16];
	size_t i = 0;

	__builtin_memcpy(bytes, &v, sizeof(v));
	while (i < sizeof(bytes) && bytes[i] == 0)
		i++;
	return i;
#endif
}

static inline bool
bytes16_any(bytes16 v)
{
	uint64_t halves[2];

	__builtin_memcpy(halves, &v, sizeof(v));
	return (halves[0] | halves[1]) != 0;
}

static inline size_t
min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline size_t
max_size(size_t a, size_t b)
{
	return a > b ? a : b;
}

static inline uint64_t
min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t
max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

#endif
