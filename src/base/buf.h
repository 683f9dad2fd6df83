/*
 * A growable, bounded byte buffer. Growth doubles up to the hard maximum given at init; what
 * does not fit fails and leaves the contents as they were. The failure is sticky: until a reset
 * every later append fails too, so that a writer may append many pieces and check only the last
 * one, or `failed`. Not shared between threads.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/slice.h"

struct buf {
	char *p;
	size_t n;         /* bytes in use */
	size_t cap;       /* bytes allocated; at most max */
	size_t max;       /* hard limit of n */
	int error;        /* how it failed, negative; of no meaning otherwise */
	bool failed;      /* some append did not fit or had no memory */
	bool is_borrowed; /* p is memory of the caller's, until more is needed */
};

#define BUF_INIT(limit) ((struct buf){.max = (limit)})
/* One that begins in an array of the caller's (at most `limit` bytes), without an allocation. */
#define BUF_ON(array, limit)                                                                       \
	((struct buf){.p = (array), .cap = sizeof(array), .max = (limit), .is_borrowed = true})

/* One that reads bytes of somebody else's as they are; an append copies them first. */
static inline struct buf
buf_of(struct slice s, size_t limit)
{
	return (struct buf){
	    .p = (char *)(uintptr_t)s.p, .n = s.n, .cap = s.n, .max = limit, .is_borrowed = true};
}

/* Frees the bytes and zeroes the struct but for `max`. */
void buf_done(struct buf *b);
/* Keeps the memory; clears `failed`. */
void buf_reset(struct buf *b);
/* buf_reserve for what does not fit yet. */
int buf_grow(struct buf *b, size_t more);
/* Room for `more` further bytes. 0, or -ENOMEM / -EMSGSIZE (sets failed). */
static inline int
buf_reserve(struct buf *b, size_t more)
{
	return b->p != NULL && !b->failed && more <= b->cap - b->n ? 0 : buf_grow(b, more);
}
/* buf_add for what needs more than a copy. */
int buf_add_slowly(struct buf *b, const void *p, size_t n);
/*
 * Append; 0, or negative as buf_reserve: then nothing was appended. Inline, since an answer is some
 * fifty short pieces, most of a length known here.
 */
static inline int
buf_add(struct buf *b, const void *p, size_t n)
{
	if (b->p == NULL || b->failed || n == 0 || n > b->cap - b->n)
		return buf_add_slowly(b, p, n);
	memcpy(b->p + b->n, p, n);
	b->n += n;
	return 0;
}
static inline int
buf_add_slice(struct buf *b, struct slice s)
{
	return buf_add(b, s.p, s.n);
}
static inline int
buf_add_str(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}
static inline int
buf_add_char(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}
#define U64_DIGITS 20 /* decimal digits of 64 bits at most */
/* Write v in decimal so that it ends right before `end`; returns where it begins. */
char *digits_before(char *end, uint64_t v);
/* Sixteen hexadecimal digits, in lower case. */
void hex16(char out[16], uint64_t v);
/* Append a number in decimal, or what printf makes; as buf_add. */
int buf_add_u64(struct buf *b, uint64_t v);
int buf_add_i64(struct buf *b, int64_t v);
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
/* Drop the first n bytes (n <= b->n), moving the rest to the front. */
void buf_consume(struct buf *b, size_t n);
/* The contents, borrowed until the next change. */
static inline struct slice
buf_slice(const struct buf *b)
{
	return (struct slice){b->p == NULL ? "" : b->p, b->n};
}

#define BUF_ADD_LIT(b, literal) buf_add((b), (literal), sizeof(literal) - 1)

#endif
