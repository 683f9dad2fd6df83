/*
 * Opening the store that the configuration names. Main thread.
 */
#ifndef DAEMON_STORAGE_H
#define DAEMON_STORAGE_H

#include "base/diag.h"
#include "core/config.h"
#include "core/log.h"

/*
 * The store, owned; or NULL: what is wrong was printed to stderr, and *exit_code (sysexits) is what
 * the process ends with.
 */
MUST_CHECK struct store *storage_open(struct config *c, struct diag *diag, int *exit_code);
const char *storage_name(const struct config *c);

#endif
