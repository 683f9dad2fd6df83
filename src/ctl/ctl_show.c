#include "ctl/ctl_events.h"

#include <time.h>

#include "ctl/ctl.h"
#include "proto/json.h"

#define US_FIRST UINT64_C(1000000000000000) /* ids of the log have 16 digits */

/* The daemon's own words about the stream. */
static const char *const notices[] = {
    "gap", "denied", "closing", "expiring", "expired", "heartbeat", "error"};
/* Other events whose data is a whole message, with its type in the event's name. */
static const char *const messages[] = {
    "notification", "chat", "direct", "edited", "deleted", "reaction"};

static bool
is_among(struct slice name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (slice_eq(name, slice_str(list[i])))
			return true;
	}
	return false;
}

bool
event_is_notice(const struct event *e)
{
	return is_among(e->name, notices, ARRAY_LEN(notices));
}

/* A notification under a name of its own: data that names its id and topic itself. */
static bool
is_notification(const struct event *e, const cJSON *data)
{
	uint64_t own = 0;
	uint64_t id = 0;

	return json_u64(json_member(data, "id"), &own) == 0 && slice_to_u64(e->id, &id) == 0 &&
	       own == id && cJSON_IsString(json_member(data, "topic"));
}

static cJSON *
parse(const struct event *e)
{
	cJSON *tree = NULL;

	return json_parse(e->data, &tree, NULL) == 0 ? tree : NULL;
}

/* --- for people --- */

/* The time of day, and the day where it is another one than today. */
static void
print_time(FILE *out, const struct event *e, const cJSON *data, int64_t now_s)
{
	const cJSON *timestamp = json_member(data, "timestamp");
	const cJSON *time_ms = json_member(data, "time");
	char text[32];
	struct tm tm;
	struct tm today;
	uint64_t v;
	time_t now = (time_t)now_s;
	time_t at = now;
	bool is_today;

	if (json_u64(timestamp, &v) == 0)
		at = (time_t)v;
	else if (json_u64(time_ms, &v) == 0)
		at = (time_t)(v / 1000);
	else if (slice_to_u64(e->id, &v) == 0 && v >= US_FIRST)
		at = (time_t)(v / 1000000); /* plain data says no time, its id does */
	if (localtime_r(&at, &tm) == NULL || localtime_r(&now, &today) == NULL)
		return;
	is_today = tm.tm_year == today.tm_year && tm.tm_yday == today.tm_yday;
	if (strftime(text, sizeof(text), is_today ? "%H:%M:%S " : "%Y-%m-%d %H:%M:%S ", &tm) > 0)
		(void)fputs(text, out);
}

static void
print_member(
    FILE *out, const char *before, const cJSON *object, const char *name, const char *after)
{
	struct slice s = json_string(json_member(object, name));

	if (s.n == 0)
		return;
	(void)fputs(before, out);
	ctl_print_text(out, s);
	(void)fputs(after, out);
}

static void
print_notification(FILE *out, const struct event *e, const cJSON *data)
{
	const cJSON *tags = json_member(data, "tags");
	const cJSON *tag;
	uint64_t priority;

	print_member(out, "", data, "topic", "");
	if (!slice_eq(e->name, SLICE("notification"))) {
		(void)fputs(" (", out);
		ctl_print_text(out, e->name);
		(void)fputc(')', out);
	}
	print_member(out, "  ", data, "title", json_member(data, "message") != NULL ? ":" : "");
	print_member(out, json_member(data, "title") != NULL ? " " : "  ", data, "message", "");
	cJSON_ArrayForEach(tag, tags)
	{
		(void)fputs(" #", out);
		ctl_print_text(out, json_string(tag));
	}
	if (json_u64(json_member(data, "priority"), &priority) == 0)
		(void)fprintf(out, " !%llu", (unsigned long long)priority);
	print_member(out, " ", data, "click", "");
}

static void
print_chat(FILE *out, const struct event *e, const cJSON *data)
{
	const cJSON *who = json_member(data, "from");
	struct slice raw = SLICE_NONE;

	if (who == NULL)
		who = json_member(data, "user"); /* of a change */
	if (json_string(json_member(data, "content")).n == 0)
		raw = json_raw_member(e->data, "data");
	print_member(out, "chat/", data, "room", "");
	print_member(out, "to ", data, "to", "");
	print_member(out, " <", who, "name", ">");
	if (!slice_eq(e->name, SLICE("chat")) && !slice_eq(e->name, SLICE("direct"))) {
		(void)fputc(' ', out);
		ctl_print_text(out, e->name);
	}
	print_member(out, " ", data, "content", "");
	print_member(out, " ", data, "emoji", "");
	if (raw.n > 0) {
		(void)fputc(' ', out);
		ctl_print_text(out, raw);
	}
	if (cJSON_IsTrue(json_member(data, "deleted")))
		(void)fputs(" (deleted)", out);
	else if (json_member(data, "edited") != NULL)
		(void)fputs(" (edited)", out);
}

static void
print_notice(FILE *out, const struct event *e, const cJSON *data)
{
	(void)fputs("* ", out);
	ctl_print_text(out, e->name);
	print_member(out, " ", data, "room", "");
	print_member(out, " ", data, "topic", "");
	print_member(out, ": ", data, "reason", "");
	print_member(out, ": ", data, "message", "");
	print_member(out, ": ", data, "detail", "");
	print_member(out, " (", data, "limit", ")");
}

void
event_print(FILE *out, const struct event *e, int64_t now_s)
{
	cJSON *data = parse(e);

	if (slice_eq(e->name, SLICE("heartbeat"))) {
		cJSON_Delete(data);
		return; /* tells people nothing */
	}
	print_time(out, e, data, now_s);
	if (event_is_notice(e)) {
		print_notice(out, e, data);
	} else if (slice_eq(e->name, SLICE("notification")) || is_notification(e, data)) {
		print_notification(out, e, data);
	} else if (cJSON_IsObject(data) && is_among(e->name, messages, ARRAY_LEN(messages))) {
		print_chat(out, e, data);
	} else {
		ctl_print_text(out, e->name);
		(void)fputc(' ', out);
		ctl_print_text(out, e->data);
	}
	(void)fputc('\n', out);
	cJSON_Delete(data);
}

/* --- for programs --- */

/* Checked JSON text on one line: what breaks it is white space between values. */
static void
add_flat(struct buf *out, struct slice json)
{
	for (size_t i = 0; i < json.n; i++) {
		char c = json.p[i];

		(void)buf_add_char(out, c == '\n' || c == '\r' ? ' ' : c); /* failures stick */
	}
}

/* The members of the object that the data is, behind a type of its own. */
static void
add_members(struct buf *out, const char *type, const struct event *e, const cJSON *data)
{
	struct slice rest = slice_trim(e->data);

	(void)buf_add_char(out, '{'); /* failures stick */
	if (json_member(data, "type") == NULL)
		(void)json_add_member_string(out, "type", type == NULL ? e->name : slice_str(type));
	if (type != NULL && json_member(data, "event") == NULL)
		(void)json_add_member_string(out, "event", e->name);
	while (rest.n > 0 && rest.p[0] != '{')
		rest = slice_skip(rest, 1);
	if (data->child != NULL && out->p != NULL && out->p[out->n - 1] != '{')
		(void)buf_add_char(out, ',');
	add_flat(out, slice_skip(rest, 1)); /* with the closing brace */
}

static void
add_plain(struct buf *out, const struct event *e, const cJSON *data)
{
	uint64_t id;

	(void)buf_add_char(out, '{'); /* failures stick */
	(void)json_add_member_string(out, "type", SLICE("event"));
	if (slice_to_u64(e->id, &id) == 0)
		(void)json_add_member_u64(out, "id", id);
	(void)json_add_member_string(out, "event", e->name);
	(void)json_add_key(out, "data");
	if (data != NULL)
		add_flat(out, e->data);
	else
		(void)json_add_string(out, e->data);
	(void)buf_add_char(out, '}');
}

int
event_print_json(FILE *out, const struct event *e)
{
	struct buf line = BUF_INIT((size_t)EVENT_MAX * 2);
	cJSON *data = parse(e);
	bool is_object = data != NULL && cJSON_IsObject(data);
	int r = 0;

	if (is_object && (event_is_notice(e) || is_among(e->name, messages, ARRAY_LEN(messages))))
		add_members(&line, NULL, e, data);
	else if (is_object && is_notification(e, data))
		add_members(&line, "notification", e, data);
	else
		add_plain(&line, e, data);
	(void)buf_add_char(&line, '\n');
	if (line.failed)
		r = -1;
	else
		(void)fwrite(line.p, 1, line.n, out); /* the caller asks ferror */
	buf_done(&line);
	cJSON_Delete(data);
	return r;
}
