#include "ctl/chat_outbox.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/rng.h"
#include "proto/json.h"

void
outbox_init(struct outbox *o)
{
	*o = (struct outbox){.next_ref = 1};
	TAILQ_INIT(&o->entries);
	(void)snprintf(
	    o->prefix, sizeof(o->prefix), "%016llx", (unsigned long long)rng_u64()); /* it fits */
}

static void
entry_free(struct outbox_entry *e)
{
	if (e == NULL)
		return;
	mem_free(e->line);
	mem_free(e->text);
	mem_free(e->to);
	mem_free(e);
}

void
outbox_done(struct outbox *o)
{
	while (outbox_front(o) != NULL)
		outbox_pop(o);
}

struct outbox_entry *
outbox_front(const struct outbox *o)
{
	return TAILQ_FIRST(&o->entries);
}

void
outbox_pop(struct outbox *o)
{
	struct outbox_entry *e = TAILQ_FIRST(&o->entries);

	TAILQ_REMOVE(&o->entries, e, entry);
	o->n--;
	entry_free(e);
}

bool
outbox_is_text(const struct outbox_entry *e)
{
	return e->verb == WORDS_SAY || e->verb == WORDS_REPLY || e->verb == WORDS_MSG;
}

/* Put the rest of the text, behind the name that it began with, in its place. */
static int
keep_rest(struct outbox_entry *e, struct slice to, struct slice rest)
{
	char *text = mem_strdup(rest);
	char *copy = to.p == NULL ? NULL : mem_strdup(to);

	if (text == NULL || (to.p != NULL && copy == NULL)) {
		mem_free(text);
		mem_free(copy);
		return -ENOMEM;
	}
	mem_free(e->text);
	e->text = text;
	e->to = copy;
	return 0;
}

int
outbox_resolve(struct outbox_entry *e, const struct view *v, const char **wrong)
{
	struct slice text = slice_str(e->text);
	struct slice rest = text;
	struct slice to = SLICE_NONE;

	if (e->is_resolved)
		return 0;
	if (e->verb == WORDS_MSG)
		to = view_person(v, text, &rest);
	else if (e->verb == WORDS_EDIT || e->verb == WORDS_DELETE)
		e->target = view_last_own(v);
	else
		e->target = view_target(v, text, &rest);
	*wrong = rest.n == 0 && e->verb != WORDS_DELETE ? "something is missing behind the name"
		 : e->verb == WORDS_MSG || e->target != 0
		     ? NULL
		     : "there is no message of that kind to speak of";
	if (*wrong != NULL)
		return -EINVAL;
	*wrong = "no memory";
	if (keep_rest(e, to, rest) < 0)
		return -ENOMEM;
	e->is_resolved = true;
	return 0;
}

int
outbox_add(struct outbox *o, const struct words *w, struct slice line)
{
	struct outbox_entry *e = mem_calloc(1, sizeof(*e));

	if (e == NULL)
		return -ENOMEM;
	e->verb = w->verb;
	e->n = w->n;
	e->ref = o->next_ref++;
	e->is_resolved = w->verb != WORDS_MSG && w->verb != WORDS_REPLY && w->verb != WORDS_EDIT &&
			 w->verb != WORDS_DELETE && w->verb != WORDS_REACT &&
			 w->verb != WORDS_UNREACT;
	e->line = mem_strdup(line);
	e->text = mem_strdup(w->text.p == NULL ? SLICE("") : w->text);
	if (e->line == NULL || e->text == NULL) {
		entry_free(e);
		return -ENOMEM;
	}
	if (outbox_is_text(e))
		(void)snprintf(e->key, sizeof(e->key), "%s-%llu", o->prefix,
		    (unsigned long long)e->ref); /* it fits */
	TAILQ_INSERT_TAIL(&o->entries, e, entry);
	o->n++;
	return 0;
}

struct outbox_entry *
outbox_last(const struct outbox *o)
{
	return TAILQ_LAST(&o->entries, outbox_list);
}

static const char *
type_of(enum words_verb verb)
{
	static const char *const types[] = {
	    [WORDS_SAY] = "chat",
	    [WORDS_REPLY] = "chat",
	    [WORDS_MSG] = "direct",
	    [WORDS_EDIT] = "edit",
	    [WORDS_DELETE] = "delete",
	    [WORDS_REACT] = "react",
	    [WORDS_UNREACT] = "react",
	    [WORDS_HISTORY] = "history",
	    [WORDS_NAMES] = "members",
	    [WORDS_ROOMS] = "rooms",
	    [WORDS_JOIN] = "join",
	};

	return types[verb];
}

static void
write_members(const struct outbox_entry *e, const struct view *v, struct buf *out)
{
	bool has_room = e->verb == WORDS_SAY || e->verb == WORDS_REPLY ||
			e->verb == WORDS_HISTORY || e->verb == WORDS_NAMES;

	/* failures stick */
	if (has_room)
		(void)json_add_member_string(out, "room", slice_str(v->room));
	if (e->verb == WORDS_JOIN)
		(void)json_add_member_string(out, "room", slice_str(e->text));
	if (e->to != NULL)
		(void)json_add_member_string(out, "to", slice_str(e->to));
	if (outbox_is_text(e) || e->verb == WORDS_EDIT)
		(void)json_add_member_string(out, "content", slice_str(e->text));
	if (e->verb == WORDS_REPLY)
		(void)json_add_member_u64(out, "reply_to", e->target);
	else if (e->target != 0)
		(void)json_add_member_u64(out, "target", e->target);
	if (e->verb == WORDS_REACT || e->verb == WORDS_UNREACT) {
		(void)json_add_member_string(out, "emoji", slice_str(e->text));
		(void)json_add_member_bool(out, "on", e->verb == WORDS_REACT);
	}
	if (e->verb == WORDS_HISTORY || e->verb == WORDS_JOIN)
		(void)json_add_member_u64(out, e->verb == WORDS_JOIN ? "last" : "limit", e->n);
	if (e->verb == WORDS_HISTORY && v->oldest != 0)
		(void)json_add_member_u64(out, "before", v->oldest);
	if (e->key[0] != '\0')
		(void)json_add_member_string(out, "key", slice_str(e->key));
}

int
outbox_write(struct outbox *o, const struct view *v, struct buf *out, const char **wrong)
{
	struct outbox_entry *e = outbox_front(o);
	int r = outbox_resolve(e, v, wrong);

	if (r < 0)
		return r;
	(void)buf_add_char(out, '{'); /* failures stick */
	(void)json_add_member_string(out, "type", slice_str(type_of(e->verb)));
	(void)json_add_member_u64(out, "ref", e->ref);
	write_members(e, v, out);
	(void)buf_add_char(out, '}');
	return out->failed ? -ENOMEM : 0;
}
