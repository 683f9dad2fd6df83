#include <stdarg.h>

#include "core/command.h"
#include "core/topic.h"
#include "proto/http.h"
#include "proto/json.h"
#include "serve/chat.h"
#include "tests/unit/model.h"

/* --- what clients read --- */

static uint64_t
number_of(const cJSON *json, const char *name)
{
	const cJSON *item = json_member(json, name);

	return cJSON_IsNumber(item) ? (uint64_t)item->valuedouble : 0;
}

static void
copy_member(char *to, size_t size, const cJSON *json, const char *name)
{
	copy(to, size, json_string(json_member(json, name)));
}

/* A message or gap as JSON; NULL when it is neither. */
struct item *
model_add_json(struct model *m, struct items *to, struct slice text)
{
	struct item item = {.last = model_last(m)};
	cJSON *json = NULL;
	char type[24];

	NEED(json_parse(text, &json, NULL) == 0);
	copy_member(type, sizeof(type), json, "type");
	if (strcmp(type, "gap") == 0) {
		item.kind = ITEM_GAP;
		copy_member(item.reason, sizeof(item.reason), json, "reason");
		if (json_member(json, "room") != NULL) {
			char room[24];

			copy_member(room, sizeof(room), json, "room");
			(void)snprintf(item.place, sizeof(item.place), "chat/%s", room);
		} else {
			copy_member(item.place, sizeof(item.place), json, "topic");
		}
	} else {
		item.kind = ITEM_MESSAGE;
		item.id = number_of(json, "id");
		item.state.is_deleted = cJSON_IsTrue(json_member(json, "deleted"));
		item.state.is_reacted = json_member(json, "reactions") != NULL;
		copy_member(item.state.text, sizeof(item.state.text), json,
		    json_member(json, "content") != NULL ? "content" : "message");
	}
	cJSON_Delete(json);
	if (item.kind == ITEM_MESSAGE &&
	    (item.id == 0 || strcmp(type, "joined") == 0 || strcmp(type, "ack") == 0))
		return NULL;
	NEED(to->n < MODEL_ITEMS);
	to->all[to->n] = item;
	return &to->all[to->n++];
}

void
model_show(const struct model *m, const struct item *i, const char *what)
{
	static const char *const kinds[] = {"message", "gap", "id"};

	(void)fprintf(stderr, "    %s: %s #%lld %s %s cursor #%lld '%s'%s%s\n", what,
	    kinds[i->kind], (long long)(i->id - m->w.begin), i->reason, i->place,
	    (long long)(i->cursor - m->w.begin), i->state.text,
	    i->state.is_deleted ? " deleted" : "", i->state.is_reacted ? " reacted" : "");
}

/* One block of an event stream, as WHATWG's HTML standard, 9.2.6 has it. */
static void
take_block(struct conn *c, struct slice block)
{
	struct model *m = c->client->model;
	char data[8192] = "";
	char event[64] = "";
	size_t n = 0;
	struct item *item = NULL;
	uint64_t before = c->cursor;

	while (block.n > 0) {
		struct slice rest = block;
		struct slice line = slice_cut(&rest, '\n');

		if (slice_has_prefix(line, SLICE("id: ")))
			NEED(slice_to_u64(slice_skip(line, 4), &c->cursor) == 0);
		else if (slice_has_prefix(line, SLICE("event: ")))
			copy(event, sizeof(event), slice_skip(line, 7));
		else if (slice_has_prefix(line, SLICE("data: ")))
			n += (size_t)snprintf(
			    data + n, sizeof(data) - n, "%.*s", SLICE_ARG(slice_skip(line, 6)));
		block = rest.p == NULL ? SLICE_NONE : rest;
	}
	if (strcmp(event, "user") == 0)
		copy(c->session, sizeof(c->session), slice_str(data));
	else if (data[0] == '{')
		item = model_add_json(m, c->sink, slice_of(data, n));
	if (item == NULL && c->cursor != before) {
		NEED(c->sink->n < MODEL_ITEMS);
		item = &c->sink->all[c->sink->n++];
		*item = (struct item){.kind = ITEM_ID, .id = c->cursor, .last = model_last(m)};
	}
	if (item == NULL)
		return;
	item->cursor = c->cursor;
	item->connection = c->client->n_connections;
	if (item->kind == ITEM_GAP)
		item->id = c->cursor != before ? c->cursor : 0;
	if (m->is_loud)
		model_show(m, item, "got");
}

/* --- net's part --- */

static struct serve serves[WORLD_HUBS];
static struct net nets[WORLD_HUBS];
static struct counters net_counters;

void
model_serve(struct model *m)
{
	for (unsigned i = 0; i < m->w.n_hubs; i++) {
		nets[i] = (struct net){
		    .config = m->w.config, .counters = &net_counters, .owner = &serves[i]};
		serves[i] =
		    (struct serve){.hub = &m->w.hubs[i], .config = m->w.config, .net = &nets[i]};
		m->w.hubs[i].owner = &serves[i];
	}
}

int
conn_push_bytes(struct conn *c, struct slice bytes)
{
	size_t from = 0;

	c->bytes = realloc(c->bytes, c->n + bytes.n + 1);
	NEED(c->bytes != NULL);
	memcpy(c->bytes + c->n, bytes.p, bytes.n);
	c->n += bytes.n;
	for (size_t i = 1; i < c->n; i++) {
		if (c->bytes[i] != '\n' || c->bytes[i - 1] != '\n')
			continue;
		take_block(c, slice_of(c->bytes + from, i - from));
		from = i + 1;
	}
	memmove(c->bytes, c->bytes + from, c->n - from);
	c->n -= from;
	return 0;
}

int
conn_push(struct conn *c, struct wire *w)
{
	c->queued++;
	return conn_push_bytes(c, slice_of(w->p, w->n));
}

bool
conn_has_room(struct conn *c)
{
	return c->queued < c->room;
}

void
conn_fail(struct conn *c, enum close_reason why)
{
	(void)c, (void)why;
	NEED(false);
}

void
conn_finish(struct conn *c, enum close_reason why)
{
	(void)why;
	c->is_ended = true;
}

void
conn_end_soon(struct conn *c)
{
	c->is_ended = true;
}

void
conn_set_deadline(struct conn *c, uint64_t at_ms)
{
	(void)c, (void)at_ms;
}

struct net *
conn_net(const struct conn *c)
{
	return &nets[c->client->hub];
}

uint64_t
conn_number(const struct conn *c)
{
	return c->number;
}

const char *
conn_peer(const struct conn *c, char out[EXCHANGE_PEER])
{
	(void)c;
	(void)snprintf(out, EXCHANGE_PEER, "peer");
	return out;
}

void
conn_set_kind(struct conn *c, enum counter kind)
{
	(void)c, (void)kind;
}

uint64_t
conn_last_seen_ms(const struct conn *c)
{
	(void)c;
	return 0;
}

void
exchange_header(struct exchange *x, const char *name, struct slice value)
{
	(void)x, (void)name, (void)value;
}

void
exchange_reply(struct exchange *x, int status, const char *type, struct slice body)
{
	(void)x, (void)type;
	(void)fprintf(stderr, "answered %d: %.*s\n", status, SLICE_ARG(body));
	NEED(false);
}

int
exchange_stream_start(struct exchange *x, int status, const char *type, int64_t length,
    const struct conn_ops *ops, void *data)
{
	(void)status, (void)type, (void)length;
	x->conn->ops = ops;
	x->conn->data = data;
	return 0;
}

int
serve_authenticate(struct exchange *x, bool changes, struct claims **out)
{
	static const char *const all[] = {"**", "user/**", NULL};

	(void)x, (void)changes;
	*out = world_claims("reader", all, all);
	return *out == NULL ? -1 : 0;
}

int
admission_begin(
    struct exchange *x, const struct claims *claims, struct admission *out, struct refusal *why)
{
	(void)x, (void)claims, (void)out, (void)why;
	return 0;
}

void
admission_end(struct serve *s, struct admission *a)
{
	(void)s, (void)a;
}

static void
open_stream(struct conn *conn, unsigned hub, const char *request, uint64_t cursor)
{
	static struct http_head head;
	char text[512];
	char last[64] = "";
	struct exchange x = {.conn = conn, .net = &nets[hub], .head = &head};

	if (cursor != 0)
		(void)snprintf(
		    last, sizeof(last), "Last-Event-ID: %llu\r\n", (unsigned long long)cursor);
	(void)snprintf(text, sizeof(text),
	    "GET %s HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n%s\r\n", request, last);
	NEED(http_parse_head(slice_str(text), 16384, &head) > 0);
	conn->cursor = cursor;
	conn->number = ++conn->client->model->w.n_numbers;
	if (strncmp(request, "/chat", 5) == 0)
		serve_chat_sse(&x);
	else
		serve_events(&x);
	NEED(conn->ops != NULL);
}

static void
close_stream(struct conn *c)
{
	if (c->ops != NULL)
		c->ops->on_gone(c, c->data);
	free(c->bytes);
	c->ops = NULL;
	c->bytes = NULL;
	c->n = 0;
}

/* --- clients --- */

static struct client *
client_of(struct subscriber *who)
{
	return CONTAINER(session_of(who), struct client, session);
}

static bool
session_has_room(struct subscriber *who)
{
	return client_of(who)->queued < client_of(who)->room;
}

static void
session_got(struct client *c, struct slice json)
{
	struct item *item = model_add_json(c->model, &c->items, json);

	if (item == NULL)
		return;
	item->connection = c->n_connections;
	if (c->model->is_loud)
		model_show(c->model, item, "got");
}

static void
session_push(struct subscriber *who, struct wire *w)
{
	client_of(who)->queued++;
	session_got(client_of(who), w->message->json);
}

static void
session_failed(struct subscriber *who)
{
	(void)who;
	NEED(false);
}

/* What is answered gives a cursor to whoever has none. */
static void
session_told(struct client *c, const char *type, struct slice text)
{
	cJSON *json = NULL;
	char name[32];

	if (strcmp(type, "gap") == 0)
		session_got(c, text);
	if (strcmp(type, "joined") != 0 && strcmp(type, "subscribed") != 0)
		return;
	NEED(json_parse(text, &json, NULL) == 0);
	if (type[0] == 'j') {
		char room[24];

		copy_member(room, sizeof(room), json, "room");
		(void)snprintf(name, sizeof(name), "chat/%s", room);
	} else {
		copy_member(name, sizeof(name), json, "topic");
	}
	for (unsigned i = 0; i < c->n_wishes; i++) {
		struct wish *wish = &c->wishes[i];

		if (strcmp(wish->name, name) == 0 && wish->cursor == 0 && !wish->is_question &&
		    !wish->has_asked_again)
			wish->cursor = number_of(json, "latest");
	}
	cJSON_Delete(json);
}

static void
session_say(struct session *s, const char *type, uint64_t id, struct slice json)
{
	(void)id;
	session_told(CONTAINER(s, struct client, session), type, json);
}

static void
session_token(struct session *s)
{
	(void)s;
}

static const struct session_ops client_ops = {.who = {.has_room = session_has_room,
						  .push = session_push,
						  .gap = session_gap,
						  .claims = session_claims,
						  .fail = session_failed,
						  .level = session_level},
    .send = session_say,
    .token_changed = session_token};

static void
on_answer(struct caller *caller, const char *type, struct slice json)
{
	struct client *c = CONTAINER(caller, struct client, caller);
	char then[sizeof(c->then)];

	session_told(c, type, json);
	if (c->then[0] == '\0' || strcmp(type, "ack") != 0)
		return;
	memcpy(then, c->then, sizeof(then));
	c->then[0] = '\0';
	client_do(c, "%s", then);
}

static void
on_refused(struct caller *caller, const struct refusal *r, struct slice ref)
{
	(void)ref;
	if (CONTAINER(caller, struct client, caller)->model->is_loud)
		(void)fprintf(stderr, "    refused: %s\n", r->text);
}

static void
on_lost(struct caller *caller)
{
	(void)caller;
	NEED(false);
}

static const struct caller_ops answers = {on_answer, on_refused, on_lost, NULL};

void
client_stream(
    struct client *c, enum client_kind kind, unsigned hub, const char *query, uint64_t cursor)
{
	c->kind = kind;
	c->hub = hub;
	c->is_open = true;
	caller_init(&c->caller, &answers);
	c->n_connections++;
	if (query != NULL)
		(void)snprintf(c->request, sizeof(c->request), "%s?%s",
		    kind == CLIENT_CHAT ? "/chat" : "/events", query);
	c->conn = (struct conn){.client = c, .sink = &c->items, .room = UINT32_MAX};
	if (c->model->is_loud)
		(void)fprintf(stderr, "  client %u: GET %s, cursor #%lld, on %u\n",
		    (unsigned)(c - c->model->clients), c->request,
		    (long long)(cursor - c->model->w.begin), hub);
	open_stream(&c->conn, hub, c->request, cursor);
}

void
client_session(struct client *c, unsigned hub)
{
	static const char *const all[] = {"**", "user/**", NULL};
	struct claims *claims = world_claims("reader", all, all);

	NEED(claims != NULL);
	c->kind = CLIENT_SESSION;
	c->hub = hub;
	c->is_open = true;
	c->n_connections++;
	c->room = UINT32_MAX;
	c->queued = 0;
	memset(&c->session, 0, sizeof(c->session));
	NEED(session_init(&c->session, &c->model->w.hubs[hub], &client_ops, claims, SLICE_NONE) ==
	     0);
	c->session.who.form = FORM_WS_JSON;
	c->session.who.number = ++c->model->w.n_numbers;
	caller_init(&c->session.caller, &answers);
	caller_init(&c->caller, &answers);
}

void
client_close(struct client *c)
{
	if (!c->is_open)
		return;
	c->is_open = false;
	caller_done(&c->caller);
	if (c->kind == CLIENT_SESSION)
		session_done(&c->session, true);
	else
		close_stream(&c->conn);
}

void
client_do(struct client *c, const char *fmt, ...)
{
	struct session *s = &c->session;
	char text[512];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (char *at = text; *at != '\0'; at++)
		*at = *at == '\'' ? '"' : *at;
	if (c->model->is_loud)
		(void)fprintf(stderr, "  client %u: %s\n", (unsigned)(c - c->model->clients), text);
	if (c->kind == CLIENT_CHAT)
		s = map_get(&c->model->w.hubs[c->hub].sessions, slice_str(c->conn.session));
	NEED(s != NULL);
	command_run(s, &c->caller, slice_str(text));
}

void
client_drain(struct client *c)
{
	c->queued = 0;
	c->conn.queued = 0;
	if (c->kind == CLIENT_SESSION)
		hub_drained(c->session.who.hub, &c->session.who);
	else
		c->conn.ops->on_drain(&c->conn, c->conn.data);
}
