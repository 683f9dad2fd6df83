#include "tests/fuzz/support_message.h"

#include "base/utf8.h"
#include "core/message_record.h"
#include "core/topic.h"
#include "proto/json.h"
#include "proto/ws.h"
#include "proto/ws_deflate.h"
#include "tests/fuzz/support.h"

#ifdef HAVE_JANSSON
#undef json_string
#include <jansson.h>
#endif

#define SEEN_MAX (32u << 20)

/* --- a reader of event streams --- */

void
sse_seen_init(struct sse_seen *seen)
{
	*seen = (struct sse_seen){
	    .type = BUF_INIT(SEEN_MAX), .data = BUF_INIT(SEEN_MAX), .id = BUF_INIT(SEEN_MAX)};
}

void
sse_seen_done(struct sse_seen *seen)
{
	buf_done(&seen->type);
	buf_done(&seen->data);
	buf_done(&seen->id);
}

/* The line at the front, without its end; *rest is absent when nothing follows. */
static struct slice
next_line(struct slice *rest)
{
	struct slice line = *rest;
	size_t n = 0;

	while (n < line.n && line.p[n] != '\r' && line.p[n] != '\n')
		n++;
	if (n == line.n) {
		*rest = SLICE_NONE;
		return line;
	}
	*rest = slice_skip(
	    line, line.p[n] == '\r' && n + 1 < line.n && line.p[n + 1] == '\n' ? n + 2 : n + 1);
	return slice_of(line.p, n);
}

static void
take_field(struct sse_seen *seen, struct buf *type, struct buf *data, struct slice line)
{
	struct slice value = line;
	struct slice name = slice_cut(&value, ':');

	if (value.p == NULL)
		value = SLICE("");
	else if (value.n > 0 && value.p[0] == ' ')
		value = slice_skip(value, 1);
	if (slice_eq(name, SLICE("event"))) {
		buf_reset(type);
		NEED(buf_add_slice(type, value) == 0);
	} else if (slice_eq(name, SLICE("data"))) {
		NEED(buf_add_slice(data, value) == 0 && buf_add_char(data, '\n') == 0);
	} else if (slice_eq(name, SLICE("id"))) {
		seen->n_ids++;
		if (value.n == 0 || memchr(value.p, '\0', value.n) == NULL) {
			buf_reset(&seen->id);
			NEED(buf_add_slice(&seen->id, value) == 0);
		}
	} else if (slice_eq(name, SLICE("retry"))) {
		seen->n_retries++;
	} else {
		seen->n_unknown++;
	}
}

void
sse_read(struct slice stream, struct sse_seen *seen)
{
	struct buf type = BUF_INIT(SEEN_MAX);
	struct buf data = BUF_INIT(SEEN_MAX);
	bool ends_line = stream.n == 0 || stream.p[stream.n - 1] == '\n';

	NEED(ends_line); /* the next block would go on with this line */
	while (stream.p != NULL && stream.n > 0) {
		struct slice line = next_line(&stream);

		if (line.n > 0 && line.p[0] == ':') {
			seen->n_comments++;
		} else if (line.n > 0) {
			take_field(seen, &type, &data, line);
		} else {
			if (data.n > 0) {
				seen->n_events++;
				buf_reset(&seen->type);
				buf_reset(&seen->data);
				NEED(buf_add_slice(&seen->type, buf_slice(&type)) == 0);
				NEED(buf_add(&seen->data, data.p, data.n - 1) == 0);
			}
			buf_reset(&type);
			buf_reset(&data);
		}
	}
	NEED(type.n == 0 && data.n == 0); /* the last block is closed */
	buf_done(&type);
	buf_done(&data);
}

bool
has_lines(struct slice text, struct slice lines)
{
	while (text.p != NULL && lines.p != NULL) {
		if (!slice_eq(next_line(&text), next_line(&lines)))
			return false;
	}
	return text.p == NULL && lines.p == NULL;
}

/* --- the forms of a message --- */

static const char *const types[] = {"chat", "notification", "event", "direct", "edited", "deleted",
    "reaction", "typing", "user_joined", "user_left", "count", "read"};

/* Plain text has nothing to say of it. */
static bool
is_wordless(const struct message *m)
{
	return m->kind == MESSAGE_TYPING || m->kind == MESSAGE_READ || m->is_deleted;
}

/* Kept, and read by everybody. */
static bool
is_of_log(const struct message *m)
{
	return message_is_content(m) || message_kind_is_change(m->kind);
}

static void
check_json(const struct message *m)
{
	cJSON *json = NULL;
	int r = json_parse(m->json, &json, NULL);

	NEED(memchr(m->json.p, '\n', m->json.n) == NULL &&
	     memchr(m->json.p, '\r', m->json.n) == NULL);
	NEED(utf8_is_valid(m->json));
	/* what is read from peers may have no \u0000, but a text/plain body may */
	NEED(r == 0 || r == JSON_E_NUL);
	if (r == 0) {
		NEED(cJSON_IsObject(json));
		NEED(slice_eq(json_slice(json_member(json, "type")), slice_str(types[m->kind])));
		if (m->id != 0)
			NEED((uint64_t)cJSON_GetNumberValue(json_member(json, "id")) == m->id);
		else
			NEED(json_member(json, "id") == NULL || m->is_logged);
		cJSON_Delete(json);
	}
#ifdef HAVE_JANSSON
	{
		json_t *tree = json_loadb(m->json.p, m->json.n,
		    JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);

		NEED(tree != NULL);
		json_decref(tree);
	}
#endif
}

/* The payload of one whole server frame (RFC 6455, 5.2). */
static struct slice
read_frame(struct slice frame, unsigned first_byte)
{
	uint64_t n;
	size_t at = 2;

	NEED(frame.n >= 2 && (unsigned char)frame.p[0] == first_byte);
	n = (unsigned char)frame.p[1];
	NEED(n <= 127); /* not masked */
	if (n >= 126) {
		size_t n_bytes = n == 126 ? 2 : 8;

		NEED(frame.n >= 2 + n_bytes);
		for (n = 0; at < 2 + n_bytes; at++)
			n = n << 8 | (unsigned char)frame.p[at];
		NEED(n_bytes == 2 ? n >= 126 : n > 65535);
	}
	NEED(frame.n - at == n);
	return slice_skip(frame, at);
}

/* Nobody fakes a speaker, and nothing steers a terminal. */
static void
check_line(const struct message *m, struct slice line)
{
	struct slice rest = line;
	struct slice first = slice_cut(&rest, '\n');

	NEED(m->kind == MESSAGE_CHAT || m->kind == MESSAGE_DIRECT
		 ? slice_has_prefix(first, SLICE("<"))
		 : slice_has_prefix(first, SLICE("* ")));
	while (rest.p != NULL)
		NEED(slice_has_prefix(slice_cut(&rest, '\n'), SLICE("    ")));
	NEED(utf8_is_valid(line));
	rest = line;
	while (rest.p != NULL) {
		struct slice one = slice_cut(&rest, '\n');

		for (size_t i = 0; i < one.n; i++)
			NEED((unsigned char)one.p[i] >= 0x20 ? one.p[i] != 0x7f : one.p[i] == '\t');
		NEED(memmem(one.p, one.n, "\xe2\x80\xa8", 3) == NULL);
		NEED(memmem(one.p, one.n, "\xc2\x85", 2) == NULL);
		NEED(memmem(one.p, one.n, "\xc2\x9b", 2) == NULL);
	}
}

/* One block: its name, its id, and data of these lines. */
static void
check_block(const struct message *m, struct slice block, struct slice name, struct slice data)
{
	struct sse_seen seen;
	char id[32] = "";

	sse_seen_init(&seen);
	sse_read(block, &seen);
	if (m->id != 0)
		(void)snprintf(id, sizeof(id), "%llu", (unsigned long long)m->id);
	/* an event whose data is one empty line is not dispatched: the standard's, not ours */
	NEED(seen.n_events == 1);
	NEED(seen.n_comments == 0 && seen.n_retries == 0 && seen.n_unknown == 0);
	NEED(seen.n_ids == (m->id != 0));
	NEED(slice_eq(buf_slice(&seen.id), slice_str(id)));
	NEED(slice_eq(buf_slice(&seen.type), name) ||
	     (seen.type.n == 0 && slice_eq(name, SLICE("message"))));
	NEED(has_lines(buf_slice(&seen.data), data));
	sse_seen_done(&seen);
}

static struct slice
form_of(struct message *m, enum message_form form)
{
	struct slice out = SLICE_NONE;
	struct slice again = SLICE_NONE;

	NEED(message_form(m, form, &out) == 0 && out.p != NULL);
	NEED(message_form(m, form, &again) == 0 && again.p == out.p && again.n == out.n);
	return out;
}

static void
check_deflated(struct message *m)
{
	static struct ws_deflater *deflater; /* large: one for all inputs, as a worker has it */
	static struct ws_inflater *inflater;
	struct buf back = BUF_INIT(m->json.n);
	struct slice frame = SLICE_NONE;

	if (deflater == NULL)
		deflater = ws_deflater_new();
	if (inflater == NULL)
		inflater = ws_inflater_new();
	NEED(deflater != NULL && inflater != NULL);
	NEED(message_form_deflated(m, deflater, &frame) == 0);
	if ((unsigned char)frame.p[0] == 0x81) {
		NEED(slice_eq(read_frame(frame, 0x81), m->json));
	} else {
		NEED(m->json.n >= MESSAGE_DEFLATE_MIN);
		NEED(ws_inflate(inflater, read_frame(frame, 0xc1), &back) == 0);
		NEED(slice_eq(buf_slice(&back), m->json));
	}
	buf_done(&back);
}

/* Of /events: the object without type and event, or what was published as it came. */
static void
check_events(struct message *m)
{
	struct slice block = form_of(m, FORM_EVENTS);
	struct buf data = BUF_INIT(SEEN_MAX);

	if (!is_of_log(m)) {
		NEED(block.n == 0);
		return;
	}
	NEED(m->event.n > 0);
	if (m->kind == MESSAGE_NOTIFICATION) {
		struct slice raw = m->json;
		const char *comma = memmem(
		    raw.p, raw.n, m->is_logged ? ",\"id\":" : ",\"topic\":", m->is_logged ? 6 : 9);

		NEED(comma != NULL);
		NEED(BUF_ADD_LIT(&data, "{") == 0);
		NEED(buf_add(&data, comma + 1, (size_t)(raw.p + raw.n - comma) - 1) == 0);
		NEED(json_check(buf_slice(&data), NULL) == 0 || json_check(m->json, NULL) < 0);
	} else if (m->kind == MESSAGE_EVENT) {
		struct slice raw = json_raw_member(m->json, "data");

		NEED(raw.p != NULL);
		NEED(buf_add_slice(&data, m->is_data_text ? m->content : raw) == 0);
	} else {
		NEED(buf_add_slice(&data, m->json) == 0);
	}
	check_block(m, block, m->event, buf_slice(&data));
	buf_done(&data);
}

static void
check_chat_sse(struct message *m)
{
	struct slice name = m->kind == MESSAGE_CHAT ? SLICE("message") : slice_str(types[m->kind]);
	struct buf line = BUF_INIT(SEEN_MAX);
	struct slice block = form_of(m, FORM_CHAT_SSE_TEXT);

	check_block(m, form_of(m, FORM_CHAT_SSE), name, m->json);
	NEED(message_line(&line, m) == 0);
	if (is_wordless(m))
		NEED(block.n == 0 && line.n == 0);
	else
		check_block(m, block, name, buf_slice(&line));
	buf_done(&line);
}

/* As a store keeps it and makes it again. */
static void
check_record(struct message *m)
{
	static const enum message_form forms[] = {
	    FORM_WS_JSON, FORM_WS_TEXT, FORM_EVENTS, FORM_CHAT_SSE, FORM_CHAT_SSE_TEXT, FORM_LINE};
	struct message_record r;
	struct message *again;

	message_to_record(m, &r);
	again = message_from_record(&r);
	NEED(again != NULL);
	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		NEED(slice_eq(form_of(m, forms[i]), form_of(again, forms[i])));
	NEED(again->id == m->id && again->kind == m->kind && slice_eq(again->topic, m->topic));
	NEED(slice_eq(again->key, m->key) && slice_eq(again->user_id, m->user_id));
	NEED(again->target == m->target && again->is_deleted == m->is_deleted);
	NEED(slice_eq(message_also(again), message_also(m)) && again->is_off == m->is_off);
	NEED(again->time_ms == m->time_ms && again->expires_ms == m->expires_ms);
	message_unref(again);
}

void
message_must_be_well(struct message *m)
{
	struct slice text = form_of(m, FORM_WS_TEXT);
	struct slice line = form_of(m, FORM_LINE);

	NEED(topic_error(m->topic) == NULL);
	check_json(m);
	NEED(slice_eq(read_frame(form_of(m, FORM_WS_JSON), 0x81), m->json));
	NEED(form_of(m, FORM_WS_RAW).n == 0);
	if (is_wordless(m))
		NEED(text.n == 0);
	else
		check_line(m, read_frame(text, 0x81));
	if (is_of_log(m)) {
		NEED(line.n == m->json.n + 1 && line.p[line.n - 1] == '\n');
		NEED(slice_eq(slice_of(line.p, m->json.n), m->json));
	} else {
		NEED(line.n == 0);
	}
	check_events(m);
	check_chat_sse(m);
	check_deflated(m);
	check_record(m);
}
