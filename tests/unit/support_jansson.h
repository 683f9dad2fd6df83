/*
 * jansson as the judge of what is JSON: strict by default, and it can refuse a key that is there
 * twice.
 */
#ifndef TESTS_UNIT_SUPPORT_JANSSON_H
#define TESTS_UNIT_SUPPORT_JANSSON_H

#include <ctype.h>

#include "proto/json.h"
#undef json_string
#include <jansson.h>

/* A number longer than cJSON reads is refused by us alone. */
static inline bool
has_long_number(struct slice text)
{
	size_t run = 0;

	for (size_t i = 0; i < text.n; i++) {
		run = isdigit((unsigned char)text.p[i]) || strchr("+-.eE", text.p[i]) != NULL
			  ? run + 1
			  : 0;
		if (run > 63)
			return true;
	}
	return false;
}

/* Whether jansson says of the text what json_check said of it. */
static inline bool
jansson_agrees(struct slice text, int verdict)
{
	json_t *tree;

	if (verdict == JSON_E_DEPTH || verdict == JSON_E_MEMORY)
		return true; /* our limits */
	if (text.n > 0 && memchr(text.p, '\0', text.n) != NULL)
		return verdict < 0; /* jansson takes one behind a value for the end */
	if (verdict == JSON_E_NUMBER && has_long_number(text))
		return true;
	tree = json_loadb(text.p, text.n,
	    JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
	if (tree == NULL)
		return verdict < 0;
	json_decref(tree);
	return verdict == 0;
}

#endif
