/*
 * cJSON's tree as the judge of what is read without one (json_flat).
 */
#ifndef TESTS_UNIT_SUPPORT_FLAT_H
#define TESTS_UNIT_SUPPORT_FLAT_H

#include "proto/json.h"

static inline enum json_kind
flat_kind_of(const cJSON *item)
{
	if (cJSON_IsObject(item))
		return JSON_IS_OBJECT;
	if (cJSON_IsArray(item))
		return JSON_IS_ARRAY;
	if (cJSON_IsString(item))
		return JSON_IS_STRING;
	if (cJSON_IsNumber(item))
		return JSON_IS_NUMBER;
	if (cJSON_IsBool(item))
		return cJSON_IsTrue(item) ? JSON_IS_TRUE : JSON_IS_FALSE;
	return JSON_IS_ABSENT;
}

/* Whether v is what item is: its kind, what a string says, what integer a number is. */
static inline bool
flat_value_agrees(struct json_flat *f, struct json_value v, const cJSON *item)
{
	uint64_t number = 7;
	uint64_t wanted = 7;
	struct slice text;

	if (v.kind != flat_kind_of(item) || (v.raw.p == NULL) != (v.kind == JSON_IS_ABSENT))
		return false;
	if (json_text(f, v, &text) < 0 || (text.p == NULL) != (v.kind != JSON_IS_STRING))
		return false;
	return slice_eq(text, json_slice(item)) &&
	       json_value_u64(v, &number) == json_u64(item, &wanted) && number == wanted;
}

static inline bool
flat_elements_agree(struct json_flat *f, struct slice array, const cJSON *item)
{
	struct json_value v;

	for (item = item->child; item != NULL; item = item->next) {
		if (!json_next_value(&array, &v) || !flat_value_agrees(f, v, item))
			return false;
	}
	return !json_next_value(&array, &v);
}

/* Whether the text, read without a tree, has the tree's members and values. */
static inline bool
flat_agrees(struct slice text, const cJSON *tree)
{
	struct json_flat f;
	const cJSON *item = cJSON_IsObject(tree) ? tree->child : NULL;
	size_t n = 0;
	bool agrees;

	if (json_read(text, &f, NULL) < 0)
		return false;
	agrees = flat_value_agrees(&f, json_whole(&f), tree);
	for (; agrees && item != NULL; item = item->next, n++) {
		struct json_value v = json_get(&f, item->string);

		agrees = flat_value_agrees(&f, v, item) &&
			 (v.kind == JSON_IS_ABSENT ||
			     slice_eq(v.raw, json_raw_member(text, item->string))) &&
			 (v.kind != JSON_IS_ARRAY || flat_elements_agree(&f, v.raw, item));
	}
	agrees = agrees && n == f.n &&
		 (json_whole(&f).kind != JSON_IS_ARRAY ||
		     flat_elements_agree(&f, json_whole(&f).raw, tree));
	json_done(&f);
	return agrees;
}

#endif
