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

/* Whether both trees hold the same: members by name, elements in their order. At most JSON_MAX_DEPTH deep. */
static inline bool
jansson_same(json_t *theirs, const cJSON *ours)
{
	const cJSON *item;
	size_t n = 0;

	switch (json_typeof(theirs)) {
	case JSON_OBJECT:
		cJSON_ArrayForEach(item, ours)
		{
			json_t *member = json_object_get(theirs, item->string);

			if (member == NULL || !jansson_same(member, item))
				return false;
			n++;
		}
		return cJSON_IsObject(ours) && n == json_object_size(theirs);
	case JSON_ARRAY:
		cJSON_ArrayForEach(item, ours)
		{
			if (n >= json_array_size(theirs) ||
			    !jansson_same(json_array_get(theirs, n), item))
				return false;
			n++;
		}
		return cJSON_IsArray(ours) && n == json_array_size(theirs);
	case JSON_STRING:
		return cJSON_IsString(ours) &&
		       slice_eq(json_slice(ours),
			   slice_of(json_string_value(theirs), json_string_length(theirs)));
	case JSON_INTEGER:
	case JSON_REAL:
		return cJSON_IsNumber(ours) && json_number_value(theirs) >= ours->valuedouble &&
		       json_number_value(theirs) <= ours->valuedouble;
	case JSON_TRUE:
		return cJSON_IsTrue(ours);
	case JSON_FALSE:
		return cJSON_IsFalse(ours);
	case JSON_NULL:
		break;
	}
	return cJSON_IsNull(ours);
}

/* Whether jansson says of the text what json_check said of it, and reads of it what cJSON does. */
static inline bool
jansson_agrees(struct slice text, int verdict)
{
	cJSON *ours = NULL;
	json_t *theirs;
	bool agrees;

	if (verdict == JSON_E_DEPTH || verdict == JSON_E_MEMORY)
		return true; /* our limits */
	if (text.n > 0 && memchr(text.p, '\0', text.n) != NULL)
		return verdict < 0; /* jansson takes one behind a value for the end */
	if (verdict == JSON_E_NUMBER && has_long_number(text))
		return true;
	theirs = json_loadb(text.p, text.n,
	    JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
	if (theirs == NULL)
		return verdict < 0;
	agrees = verdict == 0 && json_parse(text, &ours, NULL) == 0 && jansson_same(theirs, ours);
	cJSON_Delete(ours);
	json_decref(theirs);
	return agrees;
}

#endif
