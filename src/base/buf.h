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
	size_t n;    /* bytes in use */
	size_t cap;  /* bytes allocated */
	size_t max;  /* hard limit of n */
	int error;   /* how it failed, negative; of no meaning otherwise */
	bool failed; /* some append did not fit or had no memory */
};

#define BUF_INIT(limit) ((struct buf){.max = (limit)})

/* Frees the bytes and zeroes the struct but for `max`. */
void buf_done(struct buf *b);
/* Keeps the memory; clears `failed`. */
void buf_reset(struct buf *b);
/* Room for `more` further bytes. 0, or -ENOMEM / -EMSGSIZE (sets failed). */
int buf_reserve(struct buf *b, size_t more);
/* Append; 0, or negative as buf_reserve. */
int buf_add(struct buf *b, const void *p, size_t n);
int buf_add_slice(struct buf *b, struct slice s);
int buf_add_str(struct buf *b, const char *s);
int buf_add_char(struct buf *b, char c);
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
