/*
 * The `belfry` claim. The first line is a user id, the rest JSON: what is read of it is what the
 * JSON says and no more, and no id put in for {sub} becomes a wildcard or a second segment.
 */
#include "core/token_private.h"
#include "core/topic.h"
#include "proto/json.h"
#include "tests/fuzz/support.h"

#define EXPANDED_MAX (TOPIC_SEGMENTS * (3 * TOKEN_SUB_MAX + 1) + TOPIC_MAX)

static const char *const list_names[CLAIMS_LISTS] = {"subscribe", "publish", "direct"};

static const struct strings *
list_of(const struct claims *c, enum claims_list list)
{
	return list == CLAIMS_SUBSCRIBE ? &c->subscribe
	       : list == CLAIMS_PUBLISH ? &c->publish
					: &c->direct;
}

/* The pattern with the id put in, as docs/wire.md says; longer than any topic when it grants nothing. */
static struct slice
expand(struct slice pattern, struct slice id, char out[EXPANDED_MAX])
{
	size_t n = 0;

	while (pattern.p != NULL) {
		struct slice part = slice_cut(&pattern, '/');
		bool is_sub = slice_eq(part, SLICE("{sub}"));

		part = is_sub ? id : part;
		for (size_t i = 0; i < part.n; i++) {
			unsigned c = (unsigned char)part.p[i];

			if (is_sub && (c == '%' || c == '/' || c == '*'))
				n += (size_t)sprintf(out + n, "%%%02X", c);
			else
				out[n++] = (char)c;
		}
		if (pattern.p != NULL)
			out[n++] = '/';
	}
	return slice_of(out, n);
}

/* What is granted are the JSON's patterns in their order, less those that became too long. */
static void
check_list(const struct claims *c, enum claims_list list, const cJSON *array, struct slice id)
{
	const struct strings *granted = list_of(c, list);
	char expanded[EXPANDED_MAX];
	const cJSON *item;
	size_t n = 0;

	cJSON_ArrayForEach(item, array)
	{
		struct slice want = json_slice(item);

		if (list != CLAIMS_DIRECT) {
			NEED(pattern_error(want) == NULL);
			want = expand(want, id, expanded);
			if (want.n > TOPIC_MAX)
				continue;
			NEED(pattern_error(want) == NULL);
		}
		NEED(n < granted->n && slice_eq(want, slice_str(granted->v[n])));
		n++;
	}
	NEED(n == granted->n);
}

static void
check_use(const struct claims *c, struct slice id)
{
	NEED(!claims_may_publish(c, SLICE("server/x")) &&
	     !claims_may_publish(c, SLICE("server/a/b")));
	for (size_t i = 0; i < c->subscribe.n; i++)
		NEED(claims_may_subscribe(c, slice_str(c->subscribe.v[i])));
	for (size_t i = 0; i < c->publish.n; i++) {
		struct slice p = slice_str(c->publish.v[i]);

		if (pattern_is_topic(p) && !slice_has_prefix(p, SLICE("server/")))
			NEED(claims_may_publish(c, p));
	}
	for (size_t i = 0; i < c->direct.n; i++)
		NEED(claims_may_direct(c, slice_str(c->direct.v[i])));
	NEED(slice_eq(slice_str(c->user_id), id));
	NEED(strncmp(c->user_topic, "user/", 5) == 0);
	NEED(strlen(c->user_topic) > TOPIC_MAX || topic_error(slice_str(c->user_topic)) == NULL);
}

static void
check_read(struct slice id, const cJSON *belfry)
{
	struct token_refusal why = {.text = ""};
	struct claims_draft d;
	struct claims *c;
	int r;

	claims_draft_init(&d, id, SLICE_NONE, SLICE_NONE);
	r = claims_draft_read(&d, belfry, &why);
	if (r < 0) {
		NEED(why.signature_held && why.text[0] != '\0');
		NEED(strcmp(why.check, "belfry") == 0);
		for (const char *p = why.text; *p != '\0'; p++)
			NEED(*p >= ' ' && *p <= '~' && *p != '"' && *p != '\\');
		claims_draft_done(&d);
		return;
	}
	c = claims_draft_finish(&d);
	NEED(c != NULL);
	for (enum claims_list list = CLAIMS_SUBSCRIBE; list < CLAIMS_LISTS; list++)
		check_list(c, list, cJSON_GetObjectItemCaseSensitive(belfry, list_names[list]), id);
	NEED(c->role == ROLE_USER ||
	     cJSON_IsString(cJSON_GetObjectItemCaseSensitive(belfry, "role")));
	check_use(c, id);
	claims_unref(c);
	claims_draft_done(&d);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);
	struct slice id = take_line(&in);
	cJSON *json = NULL;

	if (claims_sub_error(id) != NULL || in.p == NULL || json_parse(in, &json, NULL) < 0)
		return 0;
	check_read(id, json);
	cJSON_Delete(json);
	return 0;
}
