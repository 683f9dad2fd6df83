/*
 * A message as a store writes it down: all that is needed to make it again. Any thread.
 */
#ifndef CORE_MESSAGE_RECORD_H
#define CORE_MESSAGE_RECORD_H

#include "core/message.h"

struct message_record {
	uint8_t kind; /* enum message_kind */
	bool is_logged;
	bool is_data_text;
	bool is_deleted;
	bool is_off;
	uint16_t id_at;         /* as in struct message; 0: json holds no id */
	uint32_t sse_at, sse_n; /* the slice sse within json; sse_n 0: absent */
	uint64_t id;
	uint64_t target; /* 0: none */
	int64_t time_ms;
	int64_t expires_ms;
	uint64_t origin;
	struct slice json, topic, also, event, content, name, user_id, key; /* borrowed */
};

/* Borrows from m. */
void message_to_record(const struct message *m, struct message_record *out);
/* Whether the record can be one that was written by message_to_record. */
bool message_record_is_sound(const struct message_record *r);
/*
 * One owned reference; NULL on no memory, or when the record is not sound.
 */
MUST_CHECK struct message *message_from_record(const struct message_record *r);

#endif
