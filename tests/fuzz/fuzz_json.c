/*
 * JSON: what the check lets through cJSON must take, what is read without a tree must be what the tree
 * has, and what we write must read back. With jansson there both must be of one mind about what is JSON.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/json.h"
#include "tests/unit/support_flat.h"

#ifdef HAVE_JANSSON
#include "tests/unit/support_jansson.h"
#endif

#define OUT_MAX (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds, const char *what)
{
	if (holds)
		return;
	(void)fprintf(stderr, "fuzz_json: %s\n", what);
	abort();
}

/* A string written by us is JSON and reads back as itself. */
static void
write_and_read(struct slice s)
{
	struct buf out = BUF_INIT(OUT_MAX);
	cJSON *tree = NULL;

	require(json_add_string(&out, s) == 0, "writing a string");
	require(json_parse(buf_slice(&out), &tree, NULL) == 0, "reading our own string");
	require(slice_eq(json_slice(tree), s), "not the string it was");
	cJSON_Delete(tree);
	buf_done(&out);
}

/* Each member of the object is found in the text, as the text of its value. */
static void
find_raw(struct slice text, const cJSON *tree)
{
	const cJSON *item;

	for (item = tree->child; item != NULL; item = item->next) {
		struct slice raw = json_raw_member(text, item->string);
		cJSON *again = NULL;

		require(raw.p != NULL, "a member without text");
		require(raw.n > 0 && raw.p >= text.p && raw.p + raw.n <= text.p + text.n, "range");
		require(json_parse(raw, &again, NULL) == 0, "the text of a member is not JSON");
		require(cJSON_Compare(item, again, true) == 1, "the text of another member");
		cJSON_Delete(again);
	}
}

static void
walk(const cJSON *item)
{
	for (; item != NULL; item = item->next) {
		if (item->string != NULL)
			write_and_read(slice_str(item->string));
		if (cJSON_IsString(item))
			write_and_read(json_slice(item));
		walk(item->child); /* at most JSON_MAX_DEPTH deep */
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = slice_of((const char *)data, size);
	size_t at = SIZE_MAX;
	cJSON *tree = NULL;
	int r = json_check(text, &at);

	(void)json_raw_member(text, "data"); /* not checked text: no more than reading within it */
	require(r == 0 || at <= size, "error outside of the text");
#ifdef HAVE_JANSSON
	require(jansson_agrees(text, r), "jansson thinks otherwise");
#endif
	require(json_parse(text, &tree, NULL) == r, "cJSON thinks otherwise");
	if (r < 0)
		return 0;
	require(flat_agrees(text, tree), "another view without a tree");
	walk(tree);
	if (cJSON_IsObject(tree))
		find_raw(text, tree);
	cJSON_Delete(tree);
	return 0;
}
