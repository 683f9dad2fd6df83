#include "core/token_private.h"

#include "core/topic.h"
#include "proto/json.h"

static const char *const list_names[CLAIMS_LISTS] = {"subscribe", "publish", "direct"};

/* One granted pattern, or an id of `direct`. */
static int
read_grant(
    struct claims_draft *d, enum claims_list list, const cJSON *item, struct token_refusal *why)
{
	struct slice s = json_string(item);
	char clean[TOKEN_CLEAN];
	const char *wrong;

	if (!cJSON_IsString(item))
		return token_refuse(why, "belfry", true,
		    "belfry.%s has a member that is not a string, want an array of strings",
		    list_names[list]);
	wrong = list == CLAIMS_DIRECT ? claims_sub_error(s) : pattern_error(s);
	if (wrong != NULL)
		return token_refuse(why, "belfry", true, "'%s' in belfry.%s %s",
		    token_clean(s, clean), list_names[list], wrong);
	claims_draft_add(d, list, s);
	return 0;
}

static int
read_list(
    struct claims_draft *d, enum claims_list list, const cJSON *belfry, struct token_refusal *why)
{
	const cJSON *array = cJSON_GetObjectItemCaseSensitive(belfry, list_names[list]);
	const cJSON *item;

	if (array == NULL)
		return 0; /* grants nothing */
	if (!cJSON_IsArray(array))
		return token_refuse(
		    why, "belfry", true, "belfry.%s is not an array of strings", list_names[list]);
	cJSON_ArrayForEach(item, array)
	{
		int r = read_grant(d, list, item, why);

		if (r < 0)
			return r;
	}
	return 0;
}

static int
read_role(struct claims_draft *d, const cJSON *belfry, struct token_refusal *why)
{
	const cJSON *role = cJSON_GetObjectItemCaseSensitive(belfry, "role");
	struct slice s = json_string(role);
	char clean[TOKEN_CLEAN];

	if (role == NULL)
		return 0;
	if (!cJSON_IsString(role))
		return token_refuse(why, "belfry", true, "belfry.role is not a string");
	for (int i = ROLE_USER; i <= ROLE_ADMIN; i++) {
		if (slice_eq(s, slice_str(claims_role_name((enum role)i)))) {
			d->role = (enum role)i;
			return 0;
		}
	}
	return token_refuse(why, "belfry", true,
	    "belfry.role is '%s', want 'user', 'moderator' or 'admin'", token_clean(s, clean));
}

int
claims_draft_read(struct claims_draft *d, const cJSON *belfry, struct token_refusal *why)
{
	if (!cJSON_IsObject(belfry))
		return token_refuse(why, "belfry", true, "belfry is not an object");
	for (enum claims_list list = CLAIMS_SUBSCRIBE; list < CLAIMS_LISTS; list++) {
		int r = read_list(d, list, belfry, why);

		if (r < 0)
			return r;
	}
	return read_role(d, belfry, why);
}
