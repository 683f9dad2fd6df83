/*
 * The log's database, as the commands open it that work beside a running daemon. They say on stderr what is
 * wrong and return an exit code.
 */
#ifndef CTL_CTL_STORAGE_H
#define CTL_CTL_STORAGE_H

#include <sqlite3.h>

#include "core/config.h"
#include "core/token.h"

/* The daemon's configuration, owned; there is one only where storage.backend is sqlite. */
MUST_CHECK int ctl_find_database(const char *config, struct config **out);
/* For reading alone, all in one snapshot. *out is to be closed in any case. */
MUST_CHECK int ctl_open_database(const char *path, sqlite3 **out);
/*
 * Whether the database says that a verified token is revoked at now_s: 1 or 0; negative when it cannot be
 * asked, with nothing said.
 */
MUST_CHECK int ctl_is_revoked(const struct config *c, const struct claims *who, int64_t now_s);

#endif
