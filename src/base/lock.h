/*
 * Mutexes between threads that hold them for microseconds. Who finds one taken looks again for a
 * moment before it sleeps: to sleep and be woken takes longer (40 µs) than any of them is held.
 * Everything but the beginning is POSIX's. Any thread.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>

/* Ends with pthread_mutex_destroy. Takes no memory and cannot fail. */
void lock_init(pthread_mutex_t *lock);

#endif
