/*
 * Replaces src/base/mem.c in the unit tests: the same functions, and allocations that fail on demand. A test of what happens without memory
 * runs its scenario with mem_fail_at(1), (2), (3) ... until the scenario ends before the failure was used up. Any thread.
 */
#ifndef TESTS_UNIT_MEM_FAULTS_H
#define TESTS_UNIT_MEM_FAULTS_H

#include "base/mem.h"

/* The n-th allocation from now (1: the next) fails, once. 0 turns it off. */
void mem_fail_at(long n);
/* The n-th allocation from now and all that follow fail. 0 turns it off. */
void mem_fail_from(long n);
/* Whether the failure asked for is still to come. */
bool mem_fail_is_pending(void);
/* Allocations that were made to fail so far. */
unsigned long mem_failures(void);
/* Allocations and reallocations so far, failed ones too. */
unsigned long mem_count(void);
/* Blocks in use. */
long mem_blocks(void);

/*
 * One allocation of somebody who does not use base/mem.h is about to be made: true when it is to
 * fail. False within this file's own.
 */
bool mem_is_failing(void);

#endif
