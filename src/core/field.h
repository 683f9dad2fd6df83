/*
 * Members of what a client said, taken from it or refused by their names. Any thread.
 */
#ifndef CORE_FIELD_H
#define CORE_FIELD_H

#include "core/error.h"
#include "proto/json.h"

/*
 * A string member, borrowed from f or its text; absent when it is not there. 0, or -1 with *why when it
 * is something else, or there is no memory.
 */
MUST_CHECK int field_string(
    struct json_flat *f, const char *name, struct slice *out, struct refusal *why);
/* The same of a value that is a string, or whatever it is (then absent). 0, or -1 with *why. */
MUST_CHECK static inline int
field_text(struct json_flat *f, struct json_value value, struct slice *out, struct refusal *why)
{
	return json_text(f, value, out) < 0 ? refuse_memory(why) : 0;
}
/* `data`: its JSON text and, when it is a string, what that says; absent ones when it is not there. */
MUST_CHECK int field_data(
    struct json_flat *f, struct slice *json, struct slice *text, struct refusal *why);

#endif
