/*
 * A stored message whose row was damaged: it is no message at all, or all its forms can be made.
 * Nine bytes of numbers, then the texts, each up to a byte 0xff.
 */
#include "core/message_record.h"

#include "core/change.h"
#include "core/topic.h"
#include "tests/fuzz/support.h"

#define INPUT_MAX 4096

static struct slice
take_text(struct slice *in)
{
	return in->p == NULL ? SLICE_NONE : slice_cut(in, '\xff');
}

static unsigned
take_number(struct slice *in)
{
	unsigned high = take_byte(in);

	return high << 8 | take_byte(in);
}

/* Damaged, too, it changes or does not. */
static void
change_it(const struct message *m)
{
	struct topic_rule rule = {.history = 10};

	for (unsigned kind = MESSAGE_EDITED; kind <= MESSAGE_REACTION && change_is_for(m); kind++) {
		struct message_change in = {.kind = (enum message_kind)kind,
		    .target = m,
		    .user = {SLICE("ada"), SLICE("Ada")},
		    .content = kind == MESSAGE_EDITED ? SLICE("new") : SLICE_NONE,
		    .emoji = SLICE("x")};
		struct message *record = change_record(&in, &rule, 1, 0);
		struct message *now = NULL;

		NEED(record != NULL);
		if (change_apply(m, record, &now) == 0)
			NEED(now->id == m->id && now->is_deleted == (kind == MESSAGE_DELETED));
		message_unref(now);
		message_unref(record);
	}
}

static void
make_forms(struct message *m)
{
	for (enum message_form form = FORM_WS_JSON; form < MESSAGE_FORMS; form++) {
		struct slice out = SLICE_NONE;

		if (form != FORM_WS_DEFLATE)
			NEED(message_form(m, form, &out) == 0 && out.p != NULL);
	}
	NEED(topic_error(m->topic) == NULL);
	change_it(m);
	NEED(message_memory(m) >= m->json.n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);
	struct message_record r = {.kind = (uint8_t)take_byte(&in)};
	unsigned flags = take_byte(&in);
	struct message *m;

	if (size > INPUT_MAX)
		return 0;
	r.is_logged = (flags & 1) != 0;
	r.is_data_text = (flags & 2) != 0;
	r.is_deleted = (flags & 32) != 0;
	r.is_off = (flags & 64) != 0;
	r.target = (flags & 128) != 0 ? UINT64_C(1700000000000000) : 0;
	r.id = (flags & 4) != 0 ? UINT64_C(1700000000000001) : 0;
	r.id_at = (uint16_t)take_number(&in);
	r.sse_at = take_number(&in) * ((flags & 8) != 0 ? 65537 : 1);
	r.sse_n = take_number(&in) * ((flags & 16) != 0 ? 65537 : 1);
	r.json = take_text(&in);
	r.topic = take_text(&in);
	r.event = take_text(&in);
	r.content = take_text(&in);
	r.name = take_text(&in);
	r.user_id = take_text(&in);
	r.key = take_text(&in);
	r.also = take_text(&in);
	m = message_from_record(&r);
	if (m != NULL)
		make_forms(m);
	message_unref(m);
	return 0;
}
