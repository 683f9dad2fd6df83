#include "core/field.h"

int
field_string(struct json_flat *f, const char *name, struct slice *out, struct refusal *why)
{
	struct json_value value = json_get(f, name);

	if (value.kind != JSON_IS_ABSENT && value.kind != JSON_IS_STRING)
		return refuse(why, ERROR_BAD_FIELD, "%s must be a string", name);
	return field_text(f, value, out, why);
}

int
field_data(struct json_flat *f, struct slice *json, struct slice *text, struct refusal *why)
{
	struct json_value value = json_get(f, "data");

	*json = value.raw;
	return field_text(f, value, text, why);
}
