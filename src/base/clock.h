/*
 * Clocks. The domain never reads one: it is given the time, so that tests can bring their own.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Wall-clock microseconds since 1970 (CLOCK_REALTIME). */
uint64_t clock_wall_us(void);
/* Monotonic microseconds since some fixed point. */
uint64_t clock_mono_us(void);

#endif
