#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/message.h"
#include "core/reader.h"
#include "core/token_private.h"
#include "proto/json.h"
#include "tests/unit/support_hub.h"

/* The peers and streams of a world, and what they write down. */

/* --- notes --- */

static void PRINTF(2, 3) note(struct notes *n, const char *fmt, ...)
{
	char line[4096];
	size_t add;
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	add = strlen(line);
	n->text = realloc(n->text, n->n + add + 3);
	if (n->text == NULL)
		abort();
	if (n->n > 0) {
		memcpy(n->text + n->n, "; ", 2);
		n->n += 2;
	}
	memcpy(n->text + n->n, line, add + 1);
	n->n += add;
}

static const char *
notes_take(struct notes *n)
{
	free(n->taken);
	n->taken = n->text;
	n->text = NULL;
	n->n = 0;
	return n->taken == NULL ? "" : n->taken;
}

static void
notes_done(struct notes *n)
{
	free(n->text);
	free(n->taken);
	*n = (struct notes){0};
}

/* "#n", or the number itself when it is no id of this log. */
static const char *
id_text(const struct world *w, uint64_t id, char out[32])
{
	if (id < w->begin || id > w->begin + UINT64_C(1000000000000))
		(void)snprintf(out, 32, "%llu", (unsigned long long)id);
	else
		(void)snprintf(out, 32, "#%llu", (unsigned long long)(id - w->begin));
	return out;
}

/* The last member of a `read`. */
static const char *
read_of(const struct world *w, const struct message *m, char out[32])
{
	const char *at = memmem(m->json.p, m->json.n, "\"read\":", 7);

	return id_text(w, at == NULL ? 0 : strtoull(at + 7, NULL, 10), out);
}

static void
note_message(const struct world *w, struct notes *n, const struct message *m)
{
	char id[32] = "";
	char target[32];

	if (m->id != 0)
		(void)id_text(w, m->id, id);
	switch ((enum message_kind)m->kind) {
	case MESSAGE_CHAT:
		note(n, "%.*s%s %.*s: %.*s", SLICE_ARG(m->topic), id, SLICE_ARG(m->name),
		    SLICE_ARG(m->content));
		break;
	case MESSAGE_DIRECT:
		note(n, "%.*s%s direct of %.*s: %.*s", SLICE_ARG(m->topic), id, SLICE_ARG(m->name),
		    SLICE_ARG(m->content));
		break;
	case MESSAGE_EDITED:
	case MESSAGE_DELETED:
	case MESSAGE_REACTION:
		note(n, "%.*s%s %.*s%s of %s by %.*s: %.*s", SLICE_ARG(m->topic), id,
		    SLICE_ARG(m->event), m->is_off ? " no more" : "", id_text(w, m->target, target),
		    SLICE_ARG(m->name), SLICE_ARG(m->content));
		break;
	case MESSAGE_NOTIFICATION:
	case MESSAGE_EVENT:
		note(n, "%.*s%s %.*s", SLICE_ARG(m->topic), id,
		    SLICE_ARG(m->content.p != NULL ? m->content : m->sse));
		break;
	case MESSAGE_TYPING:
		note(n, "typing %.*s%s", SLICE_ARG(m->name),
		    memmem(m->json.p, m->json.n, "true", 4) != NULL ? "" : " no more");
		break;
	case MESSAGE_USER_JOINED:
		note(n, "+%.*s", SLICE_ARG(m->name));
		break;
	case MESSAGE_USER_LEFT:
		note(n, "-%.*s", SLICE_ARG(m->name));
		break;
	case MESSAGE_COUNT:
		note(n, "%.*s", SLICE_ARG(slice_skip(m->json, 8)));
		break;
	case MESSAGE_READ:
		note(n, "%.*s reads %s", SLICE_ARG(m->name), read_of(w, m, id));
		break;
	case MESSAGE_RAW:
		note(n, "raw %.*s", SLICE_ARG(m->json));
		break;
	}
}

/* --- peers --- */

static struct peer *
peer_of(struct session *s)
{
	return CONTAINER(s, struct peer, session);
}

static struct peer *
peer_of_caller(struct caller *c)
{
	return peer_of(CONTAINER(c, struct session, caller));
}

static struct peer *
peer_of_subscriber(struct subscriber *who)
{
	return peer_of(session_of(who));
}

static const char *
text_of(const cJSON *json, const char *name)
{
	const cJSON *item = json_member(json, name);

	return cJSON_IsString(item) ? item->valuestring : "-";
}

static const char *
id_of(const struct peer *p, const cJSON *json, const char *name, char out[32])
{
	const cJSON *item = json_member(json, name);

	if (!cJSON_IsNumber(item))
		return "-";
	return id_text(p->world, (uint64_t)item->valuedouble, out);
}

static void
list_of(const cJSON *json, const char *list, const char *member, char *out, size_t size)
{
	const cJSON *item;
	size_t n = 0;

	out[0] = '\0';
	cJSON_ArrayForEach(item, json_member(json, list))
	{
		n += (size_t)snprintf(
		    out + n, size - n, "%s%s", n > 0 ? "," : "", text_of(item, member));
		if (n >= size)
			break;
	}
}

static const char *
place_of(const cJSON *json)
{
	return json_member(json, "room") != NULL ? text_of(json, "room") : text_of(json, "topic");
}

static void
note_ack(struct peer *p, const cJSON *json, const char *ref)
{
	char id[32];

	if (json_member(json, "id") != NULL)
		p->last_id = (uint64_t)json_member(json, "id")->valuedouble;
	note(&p->notes, "ack%s %s%s", ref, id_of(p, json, "id", id),
	    cJSON_IsTrue(json_member(json, "duplicate")) ? " again" : "");
}

static void
note_gap(struct peer *p, const cJSON *json)
{
	const cJSON *dropped = json_member(json, "dropped");
	char after[32];
	char oldest[32];

	if (dropped != NULL)
		note(&p->notes, "gap %s dropped=%d %s", place_of(json), dropped->valueint,
		    text_of(json, "reason"));
	else
		note(&p->notes, "gap %s after=%s oldest=%s %s", place_of(json),
		    id_of(p, json, "after", after), id_of(p, json, "oldest", oldest),
		    text_of(json, "reason"));
}

static void
note_page(struct peer *p, const cJSON *json, const char *ref)
{
	const cJSON *item;
	char list[2048] = "";
	char id[32];
	size_t n = 0;

	cJSON_ArrayForEach(item, json_member(json, "messages"))
	{
		if (n < sizeof(list) - 64)
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n > 0 ? "," : "",
			    id_of(p, item, "id", id));
	}
	note(&p->notes, "history%s %s [%s]%s", ref, place_of(json), list,
	    cJSON_IsTrue(json_member(json, "more")) ? " more" : "");
}

static const char *
unread_of(const cJSON *json, char out[32])
{
	const cJSON *unread = json_member(json, "unread");

	out[0] = '\0';
	if (unread != NULL)
		(void)snprintf(out, 32, " unread %d", unread->valueint);
	return out;
}

/* Whatever is sent to the peer itself: answers, gaps, members. */
static void
note_json(struct peer *p, const char *type, struct slice text)
{
	char ref[64] = "";
	char list[2048];
	char unread[32];
	char id[32];
	cJSON *json = NULL;

	if (json_parse(text, &json, NULL) < 0 || strcmp(text_of(json, "type"), type) != 0) {
		note(&p->notes, "BROKEN %.*s", SLICE_ARG(text));
		return;
	}
	if (json_member(json, "ref") != NULL)
		(void)snprintf(ref, sizeof(ref), "(%.*s)", SLICE_ARG(json_raw_member(text, "ref")));
	if (strcmp(type, "ack") == 0) {
		note_ack(p, json, ref);
	} else if (strcmp(type, "gap") == 0) {
		note_gap(p, json);
	} else if (strcmp(type, "history") == 0) {
		note_page(p, json, ref);
	} else if (strcmp(type, "joined") == 0) {
		list_of(json, "members", "name", list, sizeof(list));
		note(&p->notes, "joined%s %s %d [%s]%s %s%s", ref, place_of(json),
		    json_member(json, "count")->valueint, list,
		    cJSON_IsTrue(json_member(json, "resumed")) ? " resumed" : "",
		    id_of(p, json, "latest", id), unread_of(json, unread));
	} else if (strcmp(type, "subscribed") == 0) {
		note(&p->notes, "subscribed%s %s%s %s", ref, place_of(json),
		    cJSON_IsTrue(json_member(json, "resumed")) ? " resumed" : "",
		    id_of(p, json, "latest", id));
	} else if (strcmp(type, "members") == 0) {
		list_of(json, "members", "name", list, sizeof(list));
		note(&p->notes, "members%s %s %d [%s]", ref, place_of(json),
		    json_member(json, "count")->valueint, list);
	} else if (strcmp(type, "rooms") == 0) {
		list_of(json, "rooms", "room", list, sizeof(list));
		note(&p->notes, "rooms%s [%s]", ref, list);
	} else if (strcmp(type, "left") == 0 || strcmp(type, "unsubscribed") == 0) {
		note(&p->notes, "%s%s %s%s", type, ref, place_of(json),
		    json_member(json, "reason") != NULL ? " for a reason" : "");
	} else if (strcmp(type, "denied") == 0) {
		note(&p->notes, "denied %s %s", place_of(json), text_of(json, "detail"));
	} else {
		note(&p->notes, "%s%s", type, ref);
	}
	cJSON_Delete(json);
}

static void
on_answer(struct caller *c, const char *type, struct slice json)
{
	note_json(peer_of_caller(c), type, json);
}

static void
on_refuse(struct caller *c, const struct refusal *r, struct slice ref)
{
	struct peer *p = peer_of_caller(c);

	p->has_error = true;
	if (ref.p != NULL)
		note(&p->notes, "error(%.*s) %s", SLICE_ARG(ref), error_name(r->code));
	else
		note(&p->notes, "error %s", error_name(r->code));
}

static void
on_lost(struct caller *c)
{
	peer_of_caller(c)->has_failed = true;
}

static void
on_pending(struct caller *c)
{
	peer_of_caller(c)->n_pending_calls++;
}

static const struct caller_ops caller_ops = {on_answer, on_refuse, on_lost, on_pending};

static void
peer_send(struct session *s, const char *type, uint64_t id, struct slice json)
{
	(void)id;
	note_json(peer_of(s), type, json);
}

static void
peer_token_changed(struct session *s)
{
	peer_of(s)->token_changed = true;
}

static bool
peer_has_room(struct subscriber *who)
{
	const struct peer *p = peer_of_subscriber(who);

	return p->queued < p->room;
}

static void
peer_push(struct subscriber *who, struct wire *w)
{
	struct peer *p = peer_of_subscriber(who);

	p->queued++;
	if (p->has_failed)
		return; /* its connection is about to end */
	if (w->message == NULL || w->n == 0)
		note(&p->notes, "BROKEN wire");
	else
		note_message(p->world, &p->notes, w->message);
}

static void
peer_fail(struct subscriber *who)
{
	peer_of_subscriber(who)->has_failed = true;
}

static const struct session_ops peer_ops = {.who = {.has_room = peer_has_room,
						.push = peer_push,
						.gap = session_gap,
						.claims = session_claims,
						.fail = peer_fail,
						.level = session_level},
    .send = peer_send,
    .token_changed = peer_token_changed};

static void
peer_own(struct subscriber *who, uint64_t id)
{
	struct peer *p = peer_of_subscriber(who);
	char text[32];

	note(&p->notes, "own %s", id_text(p->world, id, text));
}

static const struct session_ops own_ops = {.who = {.has_room = peer_has_room,
					       .push = peer_push,
					       .gap = session_gap,
					       .own = peer_own,
					       .claims = session_claims,
					       .fail = peer_fail,
					       .level = session_level},
    .send = peer_send,
    .token_changed = peer_token_changed};

unsigned
peer_topics(const struct peer *p)
{
	unsigned n = 0;

	for (const struct sub *sub = p->session.who.subs; sub != NULL; sub = sub->next)
		n += !sub->is_room;
	return n;
}

void
peer_hear_own(struct peer *p)
{
	p->session.who.ops = &own_ops.who;
}

struct claims *
world_claims(const char *name, const char *const *subscribe, const char *const *publish)
{
	struct claims_draft d;
	struct claims *c;

	claims_draft_init(&d, slice_str(name), slice_str(name), SLICE_NONE);
	for (; *subscribe != NULL; subscribe++)
		claims_draft_add(&d, CLAIMS_SUBSCRIBE, slice_str(*subscribe));
	for (; *publish != NULL; publish++)
		claims_draft_add(&d, CLAIMS_PUBLISH, slice_str(*publish));
	claims_draft_add(&d, CLAIMS_DIRECT, SLICE("*"));
	c = claims_draft_finish(&d);
	claims_draft_done(&d);
	return c;
}

bool
peer_open_as(struct world *w, unsigned hub, struct peer *p, const char *name,
    const char *const *subscribe, const char *const *publish)
{
	struct claims *claims = world_claims(name, subscribe, publish);

	*p = (struct peer){.world = w, .room = PEER_ROOMY};
	if (claims == NULL)
		return false;
	if (session_init(&p->session, &w->hubs[hub], &peer_ops, claims, SLICE_NONE) < 0)
		return false;
	p->session.who.form = FORM_WS_JSON;
	p->session.who.number = ++w->n_numbers;
	caller_init(&p->session.caller, &caller_ops);
	p->is_open = true;
	return true;
}

bool
peer_open(struct world *w, unsigned hub, struct peer *p, const char *name)
{
	static const char *const all[] = {"**", "user/**", NULL};

	return peer_open_as(w, hub, p, name, all, all);
}

void
peer_close(struct peer *p, bool lost)
{
	if (p->is_open)
		session_done(&p->session, lost);
	p->is_open = false;
	notes_done(&p->notes);
}

void
peer_do(struct peer *p, const char *fmt, ...)
{
	char text[8192];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(text))
		abort();
	for (char *at = text; *at != '\0'; at++) {
		if (*at == '\'')
			*at = '"';
	}
	command_run(&p->session, &p->session.caller, slice_str(text));
}

void
peer_drain(struct peer *p)
{
	p->queued = 0;
	hub_drained(p->session.who.hub, &p->session.who);
}

const char *
peer_take(struct peer *p)
{
	return notes_take(&p->notes);
}

/* --- streams --- */

static struct stream *
stream_of(struct subscriber *who)
{
	return CONTAINER(who, struct stream, who);
}

static bool
stream_has_room(struct subscriber *who)
{
	return stream_of(who)->queued < stream_of(who)->room;
}

static void
stream_push(struct subscriber *who, struct wire *w)
{
	struct stream *st = stream_of(who);

	st->queued++;
	if (!st->has_failed)
		note_message(st->world, &st->notes, w->message);
}

static void
stream_gap(struct subscriber *who, struct sub *sub, const struct log_resume *gap, uint64_t asked,
    uint32_t dropped)
{
	struct stream *st = stream_of(who);
	char id[32];
	char after[32];
	char oldest[32];

	if (sub != NULL)
		note(&st->notes, "gap %.*s dropped=%u %s", SLICE_ARG(sub_pattern(sub)), dropped,
		    log_gap_name(gap->reason));
	else
		note(&st->notes, "gap@%s after=%s oldest=%s %s",
		    id_text(st->world, gap->gap_id, id), id_text(st->world, asked, after),
		    gap->oldest == 0 ? "-" : id_text(st->world, gap->oldest, oldest),
		    log_gap_name(gap->reason));
}

static void
stream_fail(struct subscriber *who)
{
	stream_of(who)->has_failed = true;
}

static void
stream_level(struct subscriber *who, struct sub *sub, bool presence_skipped)
{
	(void)presence_skipped;
	if (sub == NULL)
		note(&stream_of(who)->notes, "level");
}

static const struct subscriber_ops stream_ops = {.has_room = stream_has_room,
    .push = stream_push,
    .gap = stream_gap,
    .fail = stream_fail,
    .level = stream_level};

bool
stream_open(struct world *w, unsigned hub, struct stream *st, const char *const *topics,
    const struct position *from, bool *resumed)
{
	bool unused;
	int status = 0;

	*st = (struct stream){.world = w, .room = PEER_ROOMY};
	st->who = (struct subscriber){.ops = &stream_ops,
	    .hub = &w->hubs[hub],
	    .number = ++w->n_numbers,
	    .form = FORM_EVENTS,
	    .is_stream = true};
	st->is_open = true;
	for (; *topics != NULL; topics++) {
		if (hub_subscribe(st->who.hub, &st->who, slice_str(*topics), false, &status) ==
		    NULL)
			return false;
	}
	return reader_start(
		   st->who.hub, &st->who, NULL, from, resumed == NULL ? &unused : resumed) == 0;
}

void
stream_close(struct stream *st)
{
	if (st->is_open)
		hub_forget(st->who.hub, &st->who);
	st->is_open = false;
	notes_done(&st->notes);
}

void
stream_drain(struct stream *st)
{
	st->queued = 0;
	hub_drained(st->who.hub, &st->who);
}

const char *
stream_take(struct stream *st)
{
	return notes_take(&st->notes);
}
