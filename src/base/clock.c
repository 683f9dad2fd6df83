#include "base/clock.h"

#include <time.h>

static uint64_t
read_clock(clockid_t which)
{
	struct timespec now = {0};

	(void)clock_gettime(which, &now); /* cannot fail for these two clocks */
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t
clock_wall_us(void)
{
	return read_clock(CLOCK_REALTIME);
}

uint64_t
clock_mono_us(void)
{
	return read_clock(CLOCK_MONOTONIC);
}
