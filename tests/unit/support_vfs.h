/*
 * An SQLite VFS over the system's own whose calls fail on demand: for the tests of what happens
 * when a disk does. Nothing is really flushed; the disk of support_disk.h is kept, and restored
 * when the first file is opened after its power was cut.
 */
#ifndef TESTS_UNIT_SUPPORT_VFS_H
#define TESTS_UNIT_SUPPORT_VFS_H

#include <stdbool.h>

#define FAULTY_VFS "belfry-faulty"

enum fault {
	FAULT_NONE,
	FAULT_WRITE, /* EIO */
	FAULT_FULL,  /* ENOSPC */
	FAULT_SHORT, /* half of it is written, then EIO */
	FAULT_SYNC,
	FAULT_READ,
	FAULTS,
	FAULT_DAMAGE, /* what is read of the database is something else */
	FAULT_OPEN    /* of the database, for a reason of its own */
};

/* Registers it. False when SQLite will not. */
bool vfs_init(void);
/* The n-th call from now (1: the next) that can fail so fails, once; or it and all after it. */
void vfs_fail_at(enum fault fault, unsigned n, bool is_lasting);
/* Whether a call has failed since. */
bool vfs_has_failed(void);
/* Bytes of the write-ahead log that were there when it was flushed last. */
long long vfs_flushed(void);
/* Who flushes waits until it is false again; whether somebody does. */
void vfs_hold(bool is_held);
bool vfs_is_waiting(void);

#endif
