/*
 * Messages: what is written of any fields reads back as those fields, in each form, and the event
 * streams and answers around them hold no line that nobody wrote. Three bytes choose; the fields
 * follow, each up to a byte 0xff, which is in no UTF-8.
 */
#include "base/utf8.h"
#include "core/publish.h"
#include "core/topic.h"
#include "proto/json.h"
#include "proto/sse.h"
#include "tests/fuzz/support.h"
#include "tests/fuzz/support_message.h"

#define NOW_MS    INT64_C(1700000000123)
#define ID        UINT64_C(1700000000000001)
#define INPUT_MAX 8192
#define OUT_MAX   (1u << 20)

enum {
	HAS_TITLE = 1,
	HAS_TEXT = 2,
	HAS_EVENT = 4,
	HAS_CLICK = 8,
	HAS_DATA = 16,
	HAS_KEY = 32,
	IS_LOGGED = 64
};

struct fields {
	unsigned flags;
	unsigned priority;
	struct slice topic, id, name, text, title, event, click, data, key;
	struct slice tags[DRAFT_TAGS];
	size_t n_tags;
};

/* As the callers make sure of before a message is made. */
static bool
is_one_line(struct slice s, size_t max)
{
	return s.n <= max && utf8_is_valid(s) && !utf8_has_control(s);
}

static bool
read_fields(struct slice in, struct fields *f)
{
	struct slice tags;

	f->topic = slice_cut(&in, '\xff');
	f->id = in.p == NULL ? SLICE("") : slice_cut(&in, '\xff');
	f->name = in.p == NULL ? SLICE("") : slice_cut(&in, '\xff');
	f->text = in.p == NULL ? SLICE("") : slice_cut(&in, '\xff');
	f->title = in.p == NULL ? SLICE("") : slice_cut(&in, '\xff');
	f->event = in.p == NULL ? SLICE("") : slice_cut(&in, '\xff');
	f->click = in.p == NULL ? SLICE("") : slice_cut(&in, '\xff');
	f->data = in.p == NULL ? SLICE("") : slice_cut(&in, '\xff');
	f->key = in.p == NULL ? SLICE("") : slice_cut(&in, '\xff');
	tags = in;
	while (tags.p != NULL && f->n_tags < DRAFT_TAGS) {
		f->tags[f->n_tags] = slice_cut(&tags, '\xff');
		if (!is_one_line(f->tags[f->n_tags++], DRAFT_TAG_MAX))
			return false;
	}
	return topic_error(f->topic) == NULL && is_one_line(f->id, 128) && f->id.n > 0 &&
	       is_one_line(f->name, 128) && utf8_is_valid(f->text) &&
	       is_one_line(f->title, DRAFT_TITLE_MAX) && is_one_line(f->event, DRAFT_NAME_MAX) &&
	       is_one_line(f->click, DRAFT_CLICK_MAX) && is_one_line(f->key, DRAFT_KEY_MAX);
}

static struct slice
only_if(const struct fields *f, unsigned flag, struct slice s)
{
	return (f->flags & flag) != 0 ? s : SLICE_NONE;
}

static void
check_member(const cJSON *json, const char *name, struct slice want)
{
	const cJSON *item = json_member(json, name);

	NEED((item == NULL) == (want.p == NULL));
	NEED(item == NULL || (cJSON_IsString(item) && slice_eq(json_slice(item), want)));
}

static void
check_user(const cJSON *json, const struct fields *f)
{
	NEED(slice_eq(json_slice(json_member(json, "id")), f->id));
	NEED(slice_eq(json_slice(json_member(json, "name")), f->name));
}

static void
check_data(const cJSON *json, struct slice data)
{
	cJSON *want = NULL;

	if (data.p == NULL) {
		NEED(cJSON_GetObjectItemCaseSensitive(json, "data") == NULL);
		return;
	}
	NEED(json_parse(data, &want, NULL) == 0);
	NEED(cJSON_Compare(want, cJSON_GetObjectItemCaseSensitive(json, "data"), true) == 1);
	cJSON_Delete(want);
}

static void
check_tags(const cJSON *json, const struct fields *f)
{
	const cJSON *tags = json_member(json, "tags");
	const cJSON *tag;
	size_t n = 0;

	NEED((tags == NULL) == (f->n_tags == 0));
	cJSON_ArrayForEach(tag, tags)
	{
		NEED(n < f->n_tags && slice_eq(json_slice(tag), f->tags[n]));
		n++;
	}
	NEED(n == f->n_tags);
}

static struct message *
make_chat(const struct fields *f, struct slice data, const struct topic_rule *rule)
{
	struct message_chat chat = {.topic = f->topic,
	    .from = {f->id, f->name},
	    .content = only_if(f, HAS_TEXT, f->text),
	    .data = data,
	    .key = only_if(f, HAS_KEY, f->key)};

	return message_chat(&chat, rule, NOW_MS, 1);
}

static struct message *
make_notice(struct fields *f, struct slice data, const cJSON *tree, const struct topic_rule *rule)
{
	struct message_notice notice = {.topic = f->topic,
	    .event = only_if(f, HAS_EVENT, f->event),
	    .title = only_if(f, HAS_TITLE, f->title),
	    .text = only_if(f, HAS_TEXT, f->text),
	    .click = only_if(f, HAS_CLICK, f->click),
	    .data = data,
	    .tags = f->tags,
	    .n_tags = f->n_tags,
	    .priority = f->priority,
	    .from = {f->id, f->name},
	    .key = only_if(f, HAS_KEY, f->key)};

	if (notice.event.n == 0)
		notice.event = SLICE_NONE; /* as publishing does */
	f->event = notice.event;
	return message_notice(&notice, json_slice(tree), rule, NOW_MS, 1);
}

static void
check_content(const struct message *m, const struct fields *f, struct slice data)
{
	bool is_event = m->kind == MESSAGE_EVENT;
	cJSON *json = NULL;

	if (json_parse(m->json, &json, NULL) < 0) {
		NEED(memchr(f->text.p, '\0', f->text.n) != NULL);
		return;
	}
	check_data(json, data);
	check_member(json, "key", only_if(f, HAS_KEY, f->key));
	if (m->kind == MESSAGE_CHAT) {
		check_member(json, "room", topic_room(f->topic));
		check_member(json, "content", (f->flags & HAS_TEXT) != 0 ? f->text : SLICE(""));
		check_user(json_member(json, "from"), f);
	} else {
		check_member(json, "topic", f->topic);
		check_member(json, "title", only_if(f, HAS_TITLE, f->title));
		check_member(json, "message", only_if(f, HAS_TEXT, f->text));
		check_member(json, "event",
		    f->event.p != NULL ? f->event
		    : is_event         ? SLICE("message")
				       : SLICE("notification"));
	}
	if (m->kind == MESSAGE_NOTIFICATION) {
		check_member(json, "click", only_if(f, HAS_CLICK, f->click));
		check_tags(json, f);
		check_user(json_member(json, "from"), f);
		NEED(f->priority == 0 ||
		     json_member(json, "priority")->valueint == (int)f->priority);
	}
	cJSON_Delete(json);
}

/* As json_raw_member gives it. */
static struct slice
trim_json(struct slice s)
{
	while (s.n > 0 && memchr(" \t\r\n", s.p[0], 4) != NULL)
		s = slice_skip(s, 1);
	while (s.n > 0 && memchr(" \t\r\n", s.p[s.n - 1], 4) != NULL)
		s.n--;
	return s;
}

/* chat, notification, event: the first with a room's topic. */
static void
try_content(struct fields *f)
{
	struct topic_rule rule = {.history = (f->flags & IS_LOGGED) != 0 ? 10 : 0};
	struct slice data = trim_json(only_if(f, HAS_DATA, f->data));
	struct message *m;
	cJSON *tree = NULL;

	if (data.p != NULL && json_parse(data, &tree, NULL) < 0)
		return;
	if (topic_room(f->topic).p == NULL && (f->flags & (HAS_TITLE | HAS_TEXT | HAS_DATA)) == 0)
		return; /* an empty one is refused before */
	m = topic_room(f->topic).p != NULL ? make_chat(f, data, &rule)
					   : make_notice(f, data, tree, &rule);
	NEED(m != NULL);
	if (m->is_logged)
		message_commit(m, ID);
	message_must_be_well(m);
	check_content(m, f, data);
	message_unref(m);
	cJSON_Delete(tree);
}

static void
try_presence(struct fields *f)
{
	struct message_from user = {f->id, f->name};
	cJSON *json = NULL;
	struct message *m;

	if (topic_room(f->topic).p == NULL)
		return;
	m = f->priority % 2 == 0
		? message_typing(f->topic, user, (f->flags & 1) != 0, 1)
		: message_presence(f->topic, user, (f->flags & 1) != 0, f->flags, 1);
	NEED(m != NULL);
	message_must_be_well(m);
	NEED(json_parse(m->json, &json, NULL) == 0);
	check_member(json, "room", topic_room(f->topic));
	check_user(json_member(json, "user"), f);
	cJSON_Delete(json);
	message_unref(m);
}

static void
check_frame_of_stream(
    const struct buf *out, unsigned n_events, unsigned n_comments, unsigned n_retries)
{
	struct sse_seen seen;

	sse_seen_init(&seen);
	sse_read(buf_slice(out), &seen);
	NEED(seen.n_events == n_events && seen.n_retries == n_retries && seen.n_unknown == 0);
	NEED(n_comments == 0 ? seen.n_comments == 0 : seen.n_comments >= n_comments);
	sse_seen_done(&seen);
}

/* The stream's own lines, with any bytes: the topic as the name, the rest as the data. */
static void
try_stream(struct slice in, unsigned flags)
{
	struct slice data = in;
	struct slice name = slice_cut(&data, '\xff');
	struct buf out = BUF_INIT(OUT_MAX);
	struct sse_seen seen;
	int r = sse_event(&out, name, flags, data);

	sse_seen_init(&seen);
	if (r == 0) {
		sse_read(buf_slice(&out), &seen);
		NEED(seen.n_events == (data.p != NULL) && seen.n_ids == (flags != 0));
		NEED(seen.n_comments == 0 && seen.n_retries == 0 && seen.n_unknown == 0);
		NEED(data.p == NULL || has_lines(buf_slice(&seen.data), data));
		NEED(data.p == NULL || slice_eq(buf_slice(&seen.type), name) ||
		     slice_eq(name, SLICE("message")));
	} else {
		NEED(out.n == 0 && utf8_has_control(name));
	}
	sse_seen_done(&seen);
	buf_reset(&out);
	NEED(sse_comment(&out, in) == 0);
	check_frame_of_stream(&out, 0, 1, 0);
	buf_reset(&out);
	NEED(sse_retry(&out, flags) == 0 && sse_id(&out, flags + 1) == 0);
	check_frame_of_stream(&out, 0, 0, 1);
	buf_done(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);
	unsigned what = take_byte(&in) % 4;
	struct fields f = {.flags = take_byte(&in), .priority = take_byte(&in) % 6};

	if (size < 4 || size > INPUT_MAX)
		return 0;
	if (what == 3)
		try_stream(in, f.flags);
	else if (!read_fields(in, &f))
		return 0;
	else if (what == 2)
		try_presence(&f);
	else
		try_content(&f);
	return 0;
}
