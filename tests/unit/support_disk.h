/*
 * What of the files that were written is on the disk: what was flushed, and as much of the rest as a cut
 * of the power leaves. A flush that fails loses what it was to flush for good, as the kernel does. One
 * disk for the process; any thread.
 */
#ifndef TESTS_UNIT_SUPPORT_DISK_H
#define TESTS_UNIT_SUPPORT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What of all that was not flushed when the power went is on the disk. */
enum disk_rest {
	DISK_NOTHING,
	DISK_ALL,
	DISK_SOME, /* sectors here and there */
	DISK_RESTS
};

/* From now on, for files that begin anew. Before that nothing is kept. */
void disk_begin(void);
/* A file is opened: nothing of it may be left when the disk has none. */
void disk_open(const char *name);
void disk_write(const char *name, const void *p, size_t n, size_t at);
void disk_truncate(const char *name, size_t n);
void disk_delete(const char *name);
void disk_flush(const char *name, bool has_failed);
/* The power goes: what comes now changes nothing on the disk. */
void disk_cut(void);
/* It goes at the n-th write, flush or the like from now (1: the next); 0: not. */
void disk_cut_at(unsigned n, enum disk_rest rest, uint64_t seed);
/* Whether it has gone; until disk_restore. */
bool disk_is_cut(void);
/* After a cut: all files are as the disk has them, and it goes on. False when they cannot be written. */
bool disk_restore(void);

#endif
