/*
 * How durations, sizes and other small values are written in the configuration file. Pure. Any
 * thread.
 */
#ifndef DAEMON_CONFIG_VALUE_H
#define DAEMON_CONFIG_VALUE_H

#include "base/slice.h"
#include "core/config.h"

/* "500ms", "30s", "10m", "2h", "7d"; digits alone are seconds. Milliseconds, or -1. */
MUST_CHECK int config_value_duration(struct slice s, uint64_t *out_ms);
/* "64K", "1M", "1G", "2T" (powers of 1024); digits alone are bytes. Bytes, or -1. */
MUST_CHECK int config_value_size(struct slice s, uint64_t *out_bytes);
/* "0660": octal digits, at most 0777; or -1. */
MUST_CHECK int config_value_mode(struct slice s, unsigned *out);
/* "10.0.0.0/8", "::1/128", or an address alone; bits behind the prefix are cleared; or -1. */
MUST_CHECK int config_value_network(const char *s, struct config_network *out);
/* The value as it would be written, with the largest unit that is exact. */
#define CONFIG_VALUE_TEXT 32
const char *config_value_show_duration(uint64_t ms, char out[CONFIG_VALUE_TEXT]);
const char *config_value_show_size(uint64_t bytes, char out[CONFIG_VALUE_TEXT]);

#endif
