/*
 * Tours (core/inbox.h): from worker to worker through their inboxes. A worker's thread has it from the
 * post that brings it to the post that sends it on.
 */
#ifndef SERVE_TOUR_H
#define SERVE_TOUR_H

#include "core/inbox.h"

/*
 * Send it off from this worker, its home; visit and end are set. It comes to the first worker later, not
 * within this call.
 */
void tour_start(struct serve *home, struct tour *t);

#endif
