/*
 * Random bytes from the kernel. Any thread.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include "base/base.h"

/*
 * Fills p with n random bytes; the kernel's generator cannot fail once it is seeded, so a
 * failure ends the process.
 */
void rng_fill(void *p, size_t n);
/* 64 random bits; as rng_fill. */
uint64_t rng_u64(void);
/* Uniform enough for jitter: 0 .. below-1; below > 0. */
uint32_t rng_below(uint32_t below);

#endif
