/*
 * Reading the configuration: a libconfig file becomes one immutable struct config, or one error
 * with file and line (belfryd.conf(5)). Main thread, at start and on reload. (Not called
 * config_read: libconfig has a function of that name.)
 */
#ifndef DAEMON_CONFIG_READ_H
#define DAEMON_CONFIG_READ_H

#include "base/buf.h"
#include "core/config.h"

#define CONFIG_FILE_MAX 1048576 /* bytes of one file, also of an included one */

struct config_error { /* print as "FILE:LINE: TEXT" */
	char file[512];
	unsigned line;
	char text[512];
};

/*
 * Read, check and complete the file at `path` and what it includes; reads the key files it names.
 * Keys are looked at by keyring_new, whose complaints belong to (*out)->auth_file and auth_line.
 *
 * Returns 0 and *out (owned, one reference), or negative with *error filled: -EINVAL (the file is
 * wrong), -ENOMEM, or the errno of a file that could not be read.
 */
MUST_CHECK int config_load(const char *path, struct config **out, struct config_error *error);

/*
 * The same from memory; `path` (borrowed) names it in messages and its folder is where paths
 * start.
 */
MUST_CHECK int config_load_text(
    const char *text, const char *path, struct config **out, struct config_error *error);

/*
 * Append the keys that differ between two configurations and that only a restart can change, as
 * "listen, workers". Returns how many, or negative as buf_add.
 */
MUST_CHECK int config_changed_keys(
    const struct config *from, const struct config *to, struct buf *out);

#endif
