#include <errno.h>

#include "base/mem.h"
#include "core/message.h"
#include "proto/sse.h"
#include "proto/ws.h"
#include "proto/ws_deflate.h"

/*
 * Bytes of a character that breaks a line or steers a terminal, 0 of any other: C0 (but tab),
 * DEL, C1, U+2028, U+2029. s is UTF-8.
 */
static size_t
control_at(struct slice s, size_t i, bool *is_break)
{
	unsigned char c = (unsigned char)s.p[i];

	*is_break = false;
	if (c < 0x20 || c == 0x7f) {
		*is_break = c >= '\n' && c <= '\r';
		if (c == '\r' && i + 1 < s.n && s.p[i + 1] == '\n')
			return 2;
		return c == '\t' ? 0 : 1;
	}
	if (c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] <= 0x9f) {
		*is_break = (unsigned char)s.p[i + 1] == 0x85; /* NEL */
		return 2;
	}
	if (c == 0xe2 && i + 2 < s.n && s.p[i + 1] == '\x80' &&
	    (s.p[i + 2] == '\xa8' || s.p[i + 2] == '\xa9')) {
		*is_break = true;
		return 3;
	}
	return 0;
}

/*
 * Content with its line breaks indented: a reader sees at once that no new speaker begins. What
 * could move a terminal's cursor goes.
 */
static void
add_indented(struct buf *out, struct slice s)
{
	bool is_break;

	for (size_t i = 0; i < s.n;) {
		size_t control = control_at(s, i, &is_break);

		if (is_break)
			(void)BUF_ADD_LIT(out, "\n    ");
		else if (control == 0)
			(void)buf_add_char(out, s.p[i]);
		i += control == 0 ? 1 : control;
	}
}

/* A name or topic on one line; without the characters of `but`. */
static void
add_line(struct buf *out, struct slice s, const char *but)
{
	bool is_break;

	for (size_t i = 0; i < s.n;) {
		size_t control = control_at(s, i, &is_break);

		if (control == 0 && strchr(but, s.p[i]) == NULL)
			(void)buf_add_char(out, s.p[i]);
		i += control == 0 ? 1 : control;
	}
}

/* Without what could end the brackets. */
static void
add_name(struct buf *out, struct slice s)
{
	add_line(out, s, "<>");
}

/* What became of a message. */
static void
add_change(struct buf *out, const struct message *m)
{
	(void)BUF_ADD_LIT(out, "* ");
	add_name(out, m->name);
	if (m->kind == MESSAGE_DELETED) {
		(void)BUF_ADD_LIT(out, " deleted a message");
		return;
	}
	if (m->kind == MESSAGE_EDITED)
		(void)BUF_ADD_LIT(out, " edited: ");
	else if (m->is_off)
		(void)BUF_ADD_LIT(out, " took back: ");
	else
		(void)BUF_ADD_LIT(out, " reacted: ");
	add_indented(out, m->content);
}

int
message_line(struct buf *out, const struct message *m)
{
	switch ((enum message_kind)m->kind) {
	case MESSAGE_CHAT:
	case MESSAGE_DIRECT:
		if (m->is_deleted)
			break;
		(void)buf_add_char(out, '<');
		add_name(out, m->name);
		if (m->kind == MESSAGE_DIRECT)
			(void)BUF_ADD_LIT(out, "> (direct): ");
		else
			(void)BUF_ADD_LIT(out, ">: ");
		add_indented(out, m->content);
		break;
	case MESSAGE_EDITED:
	case MESSAGE_DELETED:
	case MESSAGE_REACTION:
		add_change(out, m);
		break;
	case MESSAGE_USER_JOINED:
	case MESSAGE_USER_LEFT:
		(void)BUF_ADD_LIT(out, "* ");
		add_name(out, m->name);
		(void)buf_add_str(out, m->kind == MESSAGE_USER_JOINED ? " joined" : " left");
		break;
	case MESSAGE_NOTIFICATION:
	case MESSAGE_EVENT:
		(void)BUF_ADD_LIT(out, "* ");
		add_line(out, m->topic, "");
		(void)BUF_ADD_LIT(out, ": ");
		add_indented(out, m->content.p != NULL ? m->content : m->sse);
		break;
	case MESSAGE_COUNT:
	case MESSAGE_TYPING:
	case MESSAGE_READ:
	case MESSAGE_RAW:
		break;
	}
	return out->failed ? -ENOMEM : 0;
}

static int
make_ws_text(struct buf *out, const struct message *m)
{
	struct buf line = BUF_INIT(MESSAGE_JSON_MAX);
	uint8_t head[WS_SERVER_HEAD];
	size_t head_n;
	int r = message_line(&line, m);

	if (r == 0 && line.n > 0) {
		head_n = ws_head_encode(head, WS_TEXT, false, line.n);
		(void)buf_add(out, head, head_n);
		r = buf_add_slice(out, buf_slice(&line));
	}
	buf_done(&line);
	return r;
}

/* Of /events: notifications without their type and event, bare data as it came, chat whole. */
static int
make_events(struct buf *out, const struct message *m)
{
	struct buf data = BUF_INIT(MESSAGE_JSON_MAX);
	struct slice body = m->json;
	int r = 0;

	switch ((enum message_kind)m->kind) {
	case MESSAGE_NOTIFICATION:
		(void)buf_add_char(&data, '{');
		r = buf_add_slice(&data, slice_skip(m->sse, 1)); /* its first byte is the comma */
		body = buf_slice(&data);
		break;
	case MESSAGE_EVENT:
		body = m->is_data_text ? m->content : m->sse;
		break;
	case MESSAGE_CHAT:
	case MESSAGE_DIRECT:
	case MESSAGE_EDITED:
	case MESSAGE_DELETED:
	case MESSAGE_REACTION:
		break;
	case MESSAGE_COUNT:
	case MESSAGE_TYPING:
	case MESSAGE_READ:
	case MESSAGE_USER_JOINED:
	case MESSAGE_USER_LEFT:
	case MESSAGE_RAW:
		return 0;
	}
	if (r == 0)
		r = sse_event(out, m->event, m->id, body);
	buf_done(&data);
	return r;
}

static int
make_chat_sse(struct buf *out, const struct message *m, bool as_text)
{
	struct buf line = BUF_INIT(MESSAGE_JSON_MAX);
	struct slice name = m->event;
	struct slice data = m->json;
	int r = 0;

	if (m->kind == MESSAGE_RAW)
		return 0;
	/* every message of a chat is named by its type, `chat` as `message` */
	if (m->kind == MESSAGE_CHAT)
		name = SLICE("message");
	else if (m->kind == MESSAGE_NOTIFICATION)
		name = SLICE("notification");
	else if (m->kind == MESSAGE_EVENT)
		name = SLICE("event");
	if (as_text) {
		r = message_line(&line, m);
		data = buf_slice(&line);
		if (r == 0 && data.n > 0)
			r = sse_event(out, name, m->id, data);
	} else {
		r = sse_event(out, name, m->id, data);
	}
	buf_done(&line);
	return r;
}

static int
make_line(struct buf *out, const struct message *m)
{
	if (!message_is_content(m) && !message_kind_is_change(m->kind))
		return 0;
	(void)buf_add_slice(out, m->json);
	return buf_add_char(out, '\n');
}

static int
make(struct buf *out, const struct message *m, enum message_form form)
{
	switch (form) {
	case FORM_WS_TEXT:
		return make_ws_text(out, m);
	case FORM_EVENTS:
		return make_events(out, m);
	case FORM_CHAT_SSE:
		return make_chat_sse(out, m, false);
	case FORM_CHAT_SSE_TEXT:
		return make_chat_sse(out, m, true);
	case FORM_LINE:
		return make_line(out, m);
	case FORM_WS_JSON:
	case FORM_WS_RAW:
	case FORM_WS_DEFLATE:
	case MESSAGE_FORMS:
		break;
	}
	return 0;
}

/* A form was added to those of the message: its store counts it, unless it has let go of it. */
static void
count(struct message *m, size_t n)
{
	uint32_t had = atomic_load_explicit(&m->forms_bytes, memory_order_relaxed);

	do {
		if (had == MESSAGE_UNCOUNTED)
			return;
	} while (!atomic_compare_exchange_weak_explicit(
	    &m->forms_bytes, &had, had + (uint32_t)n, memory_order_relaxed, memory_order_relaxed));
	if (m->account != NULL)
		atomic_fetch_add_explicit(m->account, (int64_t)n, memory_order_relaxed);
}

/* Keep what was made; another thread may have been first: then its blob serves. */
static int
keep(struct message *m, enum message_form form, struct slice made, struct slice *out)
{
	struct message_blob *blob = mem_alloc(sizeof(*blob) + made.n);
	struct message_blob *first = NULL;

	if (blob == NULL)
		return -ENOMEM;
	blob->n = made.n;
	if (made.n > 0)
		memcpy(blob->bytes, made.p, made.n);
	if (!atomic_compare_exchange_strong(&m->forms[form], &first, blob)) {
		mem_free(blob);
		blob = first;
	} else {
		count(m, sizeof(*blob) + made.n);
	}
	*out = slice_of(blob->bytes, blob->n);
	return 0;
}

int
message_form(struct message *m, enum message_form form, struct slice *out)
{
	struct message_blob *blob;
	struct buf b = BUF_INIT(2 * MESSAGE_JSON_MAX);
	int r;

	if (form == FORM_WS_JSON || form == FORM_WS_RAW) {
		bool fits = (m->kind == MESSAGE_RAW) == (form == FORM_WS_RAW);

		*out = fits ? slice_of(m->frame, (size_t)(m->json.p - m->frame) + m->json.n)
			    : SLICE("");
		return 0;
	}
	blob = atomic_load_explicit(&m->forms[form], memory_order_acquire);
	if (blob != NULL) {
		*out = slice_of(blob->bytes, blob->n);
		return 0;
	}
	r = make(&b, m, form);
	if (r == 0)
		r = keep(m, form, buf_slice(&b), out);
	buf_done(&b);
	return r;
}

/* Head and compressed bytes appended to out; leaves it empty when the plain frame is as short. */
static int
make_deflated(struct buf *out, const struct message *m, struct ws_deflater *z)
{
	struct buf packed = BUF_INIT(m->json.n); /* longer than this is no gain */
	uint8_t head[WS_SERVER_HEAD];
	int r = ws_deflate(z, m->json, &packed);

	if (r == 0) {
		(void)buf_add(out, head, ws_head_encode(head, WS_TEXT, true, packed.n));
		r = buf_add_slice(out, buf_slice(&packed));
	}
	buf_done(&packed);
	return r == -EMSGSIZE ? 0 : r;
}

int
message_form_deflated(struct message *m, struct ws_deflater *z, struct slice *out)
{
	struct message_blob *blob;
	struct buf b = BUF_INIT(2 * MESSAGE_JSON_MAX);
	int r = 0;

	if (z == NULL || m->kind == MESSAGE_RAW || m->json.n < MESSAGE_DEFLATE_MIN)
		return message_form(m, FORM_WS_JSON, out);
	blob = atomic_load_explicit(&m->forms[FORM_WS_DEFLATE], memory_order_acquire);
	if (blob != NULL) {
		*out = slice_of(blob->bytes, blob->n);
	} else {
		r = make_deflated(&b, m, z);
		if (r == 0)
			r = keep(m, FORM_WS_DEFLATE, buf_slice(&b), out);
		buf_done(&b);
	}
	if (r == 0 && out->n == 0)
		return message_form(m, FORM_WS_JSON, out);
	return r;
}
