#include "tests/unit/support_guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void
guard_init(struct guard *g, size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	g->size = (n / page + 1) * page;
	p = mmap(NULL, g->size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED || mprotect((char *)p + g->size, page, PROT_NONE) != 0) {
		perror("guard_init");
		abort();
	}
	g->pages = p;
}

void
guard_done(struct guard *g)
{
	if (g->pages != NULL)
		(void)munmap(g->pages, g->size + (size_t)sysconf(_SC_PAGESIZE)); /* was mapped so */
	g->pages = NULL;
}

char *
guard_put(struct guard *g, struct slice s)
{
	char *at = g->pages + g->size - s.n;

	if (s.n > g->size)
		abort();
	if (s.n > 0)
		memcpy(at, s.p, s.n);
	return at;
}

struct slice
guard_copy(struct guard *g, struct slice s)
{
	return slice_of(guard_put(g, s), s.n);
}
