#include "base/rng.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void
rng_fill(void *p, size_t n)
{
	char *at = p;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			abort(); /* a kernel without getrandom: nothing secret could be made */
		at += got;
		n -= (size_t)got;
	}
}

uint64_t
rng_u64(void)
{
	uint64_t v;

	rng_fill(&v, sizeof(v));
	return v;
}

uint32_t
rng_below(uint32_t below)
{
	return (uint32_t)(rng_u64() % below);
}
