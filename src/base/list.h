/*
 * Intrusive lists: glibc's sys/queue.h plus the loops that allow removal of the current element.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <sys/queue.h>

#define TAILQ_FOREACH_SAFE(var, head, field, next_var)                                             \
	for ((var) = TAILQ_FIRST(head); (var) != NULL && ((next_var) = TAILQ_NEXT(var, field), 1); \
	     (var) = (next_var))

#define LIST_FOREACH_SAFE(var, head, field, next_var)                                              \
	for ((var) = LIST_FIRST(head); (var) != NULL && ((next_var) = LIST_NEXT(var, field), 1);   \
	     (var) = (next_var))

#endif
