#include "core/message_record.h"

#include "base/mem.h"
#include "core/topic.h"
#include "proto/sse.h"
#include "proto/ws.h"

void
message_to_record(const struct message *m, struct message_record *out)
{
	*out = (struct message_record){.kind = m->kind,
	    .is_logged = m->is_logged,
	    .is_data_text = m->is_data_text,
	    .is_deleted = m->is_deleted,
	    .is_off = m->is_off,
	    .target = m->target,
	    .id_at = m->id_at,
	    .id = m->id,
	    .time_ms = m->time_ms,
	    .expires_ms = m->expires_ms,
	    .origin = m->origin,
	    .json = m->json,
	    .topic = m->topic,
	    .also = message_also(m),
	    .event = m->event,
	    .content = m->content,
	    .name = m->name,
	    .user_id = m->user_id,
	    .key = m->key};
	if (m->sse.p != NULL && m->sse.n > 0) {
		out->sse_at = (uint32_t)(m->sse.p - m->json.p);
		out->sse_n = (uint32_t)m->sse.n;
	}
}

/* What is published with a tail of the JSON: its forms need that and a name. */
static bool
has_tail(const struct message_record *r)
{
	return r->sse_n > 0 && r->event.n > 0;
}

/*
 * What is read from a disk is believed only where it cannot lead outside, and where no form of it
 * would fail: a reader would come to it again and again.
 */
bool
message_record_is_sound(const struct message_record *r)
{
	if (r->json.n == 0 || r->json.n > MESSAGE_JSON_MAX || r->kind > MESSAGE_RAW ||
	    r->sse_n > r->json.n || r->sse_at > r->json.n - r->sse_n)
		return false;
	if (r->id_at == 0 ? r->is_logged : (size_t)r->id_at + MESSAGE_ID_DIGITS > r->json.n)
		return false;
	if ((r->kind == MESSAGE_NOTIFICATION || r->kind == MESSAGE_EVENT) && !has_tail(r))
		return false;
	if (message_kind_is_change(r->kind) != (r->target != 0) ||
	    (r->also.n > 0 && topic_error(r->also) != NULL))
		return false;
	return topic_error(r->topic) == NULL && (r->event.n == 0 || sse_name_is_valid(r->event));
}

struct message *
message_from_record(const struct message_record *r)
{
	uint8_t head[WS_SERVER_HEAD];
	struct message *m;
	size_t head_n;
	char *at;

	if (!message_record_is_sound(r))
		return NULL;
	m = mem_alloc(sizeof(*m) + WS_SERVER_HEAD + r->json.n + r->topic.n + r->also.n +
		      r->event.n + r->content.n + r->name.n + r->user_id.n + r->key.n);
	if (m == NULL)
		return NULL;
	*m = (struct message){.kind = r->kind,
	    .is_logged = r->is_logged,
	    .is_data_text = r->is_data_text,
	    .is_deleted = r->is_deleted,
	    .is_off = r->is_off,
	    .target = r->target,
	    .id_at = r->id_at,
	    .id = r->id,
	    .time_ms = r->time_ms,
	    .expires_ms = r->expires_ms,
	    .origin = r->origin};
	atomic_init(&m->refs, 1);
	at = (char *)(m + 1) + WS_SERVER_HEAD;
	m->json = slice_place(&at, r->json);
	head_n = ws_head_encode(head, WS_TEXT, false, m->json.n);
	m->frame = (char *)(m + 1) + WS_SERVER_HEAD - head_n;
	memcpy(m->frame, head, head_n);
	if (r->sse_n > 0)
		m->sse = slice_of(m->json.p + r->sse_at, r->sse_n);
	m->topic = slice_place(&at, r->topic);
	m->also_n = (uint8_t)slice_place(&at, r->also).n;
	m->event = slice_place(&at, r->event);
	m->content = slice_place(&at, r->content);
	m->name = slice_place(&at, r->name);
	m->user_id = slice_place(&at, r->user_id);
	m->key = slice_place(&at, r->key);
	return m;
}
