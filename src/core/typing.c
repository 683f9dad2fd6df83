#include <errno.h>

#include "base/mem.h"
#include "core/config.h"
#include "core/presence.h"
#include "core/session.h"

/*
 * Typing: ephemeral, told to who is in the room. What nobody ends, because the typist thinks or
 * is lost, ends by itself.
 */

struct typing {
	LIST_ENTRY(typing) link;
	const struct sub *sub;
	uint64_t due_ms; /* monotonic */
	uint64_t told_ms;
};

/* 0, or -ENOMEM. A full tail drops it: under load typing is the first to go. */
static int
tell(struct session *s, const struct sub *sub, bool typing)
{
	struct hub *h = s->who.hub;
	struct append *a;

	if (presence_is_crowded(h->log, sub_pattern(sub)))
		return 0; /* nobody could read that many */
	a = append_new(1);
	if (a != NULL)
		a->items[0].message =
		    message_typing(sub_pattern(sub), session_user(s), typing, s->who.number);
	if (a == NULL || a->items[0].message == NULL) {
		append_free(a);
		return -ENOMEM;
	}
	a->now_ms = h->now_ms;
	a->worker = LOG_NO_WORKER; /* nobody waits */
	if (log_append(h->log, a, h->worker) < 0)
		append_free(a);
	return 0;
}

static struct typing *
find(const struct session *s, const struct sub *sub)
{
	struct typing *t;

	LIST_FOREACH (t, &s->typing, link) {
		if (t->sub == sub)
			return t;
	}
	return NULL;
}

static void
end(struct session *s, struct typing *t)
{
	const struct sub *sub = t->sub;

	LIST_REMOVE(t, link);
	mem_free(t);
	(void)tell(s, sub, false); /* without memory the readers' own patience ends it */
}

int
session_type(struct session *s, struct sub *sub, bool typing, struct refusal *why)
{
	struct typing *t = find(s, sub);
	struct hub *h = s->who.hub;
	uint64_t timeout_ms = h->config->chat.typing_timeout_ms;
	uint64_t now_ms = h->mono_us / 1000;

	if (!typing) {
		if (t != NULL)
			end(s, t);
		return 0;
	}
	if (t == NULL) {
		t = mem_calloc(1, sizeof(*t));
		if (t == NULL)
			return refuse_memory(why);
		t->sub = sub;
		LIST_INSERT_HEAD(&s->typing, t, link);
	}
	t->due_ms = now_ms + timeout_ms;
	if (session_ops_of(s)->deadline_changed != NULL)
		session_ops_of(s)->deadline_changed(s);
	/* a page says so at each key: the room knows it already */
	if (t->told_ms != 0 && now_ms - t->told_ms < timeout_ms / 4)
		return 0;
	t->told_ms = now_ms;
	return tell(s, sub, true) < 0 ? refuse_memory(why) : 0;
}

void
session_stop_typing(struct session *s, const struct sub *sub)
{
	struct typing *t;
	struct typing *next;

	LIST_FOREACH_SAFE(t, &s->typing, link, next)
	{
		if (sub == NULL || t->sub == sub)
			end(s, t);
	}
}

void
session_typing_tick(struct session *s, uint64_t now_ms)
{
	struct typing *t;
	struct typing *next;

	LIST_FOREACH_SAFE(t, &s->typing, link, next)
	{
		if (t->due_ms <= now_ms)
			end(s, t);
	}
}

uint64_t
session_typing_due(const struct session *s)
{
	const struct typing *t;
	uint64_t due_ms = 0;

	LIST_FOREACH (t, &s->typing, link) {
		if (due_ms == 0 || t->due_ms < due_ms)
			due_ms = t->due_ms;
	}
	return due_ms;
}
