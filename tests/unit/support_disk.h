/*
 * What of the files that were written is on the disk: only what was flushed. A flush that fails loses
 * what it was to flush for good, as the kernel does. One disk for the process; any thread.
 */
#ifndef TESTS_UNIT_SUPPORT_DISK_H
#define TESTS_UNIT_SUPPORT_DISK_H

#include <stdbool.h>
#include <stddef.h>

/* From now on, for files that begin anew. Before that, and after disk_restore, nothing is kept. */
void disk_begin(void);
void disk_write(const char *name, const void *p, size_t n, size_t at);
void disk_truncate(const char *name, size_t n);
void disk_delete(const char *name);
void disk_flush(const char *name, bool has_failed);
/* The power goes: what comes now changes nothing on the disk. */
void disk_cut(void);
/* After a cut: all files are as the disk has them. False when they cannot be written. */
bool disk_restore(void);

#endif
