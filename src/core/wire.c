#include "core/wire.h"

#include "base/mem.h"
#include "core/message.h"

struct wire *
wire_sized(size_t n)
{
	struct wire *w = mem_alloc(sizeof(*w) + n);

	if (w == NULL)
		return NULL;
	*w = (struct wire){.refs = 1, .n = (uint32_t)n, .p = (const char *)(w + 1)};
	return w;
}

struct wire *
wire_new(struct slice bytes)
{
	struct wire *w = wire_sized(bytes.n);

	if (w != NULL && bytes.n > 0)
		memcpy(wire_room(w), bytes.p, bytes.n);
	return w;
}

struct wire *
wire_of_message(struct message *m, struct slice bytes)
{
	struct wire *w = mem_alloc(sizeof(*w));

	if (w == NULL)
		return NULL;
	*w = (struct wire){
	    .refs = 1, .n = (uint32_t)bytes.n, .p = bytes.p, .message = message_ref(m)};
	return w;
}

void
wire_unref(struct wire *w)
{
	if (w == NULL || --w->refs > 0)
		return;
	message_unref(w->message);
	mem_free(w);
}
