#include "tests/unit/rig.h"

#include <stdio.h>
#include <stdlib.h>

#include <check.h>

/* What must hold whatever failed: answers, the log, listeners, the daemon afterwards. */

static const char *
find(const char *p, size_t n, const char *text)
{
	return memmem(p, n, text, strlen(text));
}

unsigned
rig_ref(struct rig *r)
{
	return ++r->refs;
}

struct rig_said *
rig_message(struct rig *r, const char *topic, int client)
{
	struct rig_said *s = &r->said[r->n_said];

	ck_assert_uint_lt(r->n_said, RIG_SAID);
	*s = (struct rig_said){.client = client};
	(void)snprintf(s->topic, sizeof(s->topic), "%s", topic);
	(void)snprintf(s->text, sizeof(s->text), "m-%03zu.", r->n_said);
	r->n_said++;
	return s;
}

/* How the answer to a ref begins, in a frame of its own; NULL: there is none. */
static const char *
answer_to(const struct rig *r, int client, unsigned ref)
{
	const struct rig_client *c = &r->clients[client];
	const char *at;
	char text[32];

	(void)snprintf(text, sizeof(text), "\"ref\":%u,", ref);
	at = find(c->text, c->text_n, text);
	while (at != NULL && at > c->text && at[-1] != '\n')
		at--;
	return at;
}

/* Must have an answer if its connection stands. */
static const char *
expect_answer(struct rig *r, int client, unsigned ref)
{
	const char *at = answer_to(r, client, ref);

	if (at == NULL && !r->clients[client].has_ended)
		rig_fail(r, "ref %u has no answer, and the connection goes on: %s", ref,
		    r->clients[client].text);
	if (at != NULL && strncmp(at, "{\"type\":\"error\"", 15) == 0) {
		if (find(at, strcspn(at, "\n"), "\"unavailable\"") == NULL && !r->is_spoilt)
			rig_fail(r, "refused: %.300s", at);
		r->is_spoilt = true;
	}
	if (at == NULL)
		r->is_spoilt = true;
	return at;
}

void
rig_chat(struct rig *r, int client, const char *room)
{
	char topic[64];
	struct rig_said *s;
	const char *at;

	if (r->clients[client].fd < 0 || r->clients[client].has_ended)
		return;
	(void)snprintf(topic, sizeof(topic), "chat/%s", room);
	s = rig_message(r, topic, client);
	s->ref = rig_ref(r);
	(void)rig_say(r, client, "{'type':'chat','room':'%s','content':'%s','ref':%u}", room,
	    s->text, s->ref);
	at = expect_answer(r, client, s->ref);
	s->is_acked = at != NULL && strncmp(at, "{\"type\":\"ack\"", 13) == 0;
	s->is_refused = at != NULL && !s->is_acked;
}

void
rig_publish(struct rig *r, int client, const char *topic, const char *type, const char *body_fmt)
{
	struct rig_said *s = rig_message(r, topic, -1);
	char body[4096];
	struct rig_answer a;

	(void)snprintf(body, sizeof(body), "%s", body_fmt);
	for (char *at; (at = strstr(body, "TEXT")) != NULL;) {
		char rest[4096];

		(void)snprintf(rest, sizeof(rest), "%s", at + 4);
		(void)snprintf(at, sizeof(body) - (size_t)(at - body), "%s%s", s->text, rest);
	}
	a = rig_ask(r, client, 200,
	    "POST /publish/%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
	    "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
	    topic, r->tokens[RIG_ADA], type, strlen(body), body);
	s->is_acked = a.status == 200;
	s->is_refused = a.status != 200 && a.status != 0;
	if (s->is_acked && find(a.body, a.n, "\"duplicate\":false}") == NULL)
		rig_fail(r, "a publish is answered with %.*s", (int)a.n, a.body);
}

void
rig_listen(struct rig *r, int client, const char *topic)
{
	struct rig_listener *l = &r->listeners[r->n_listeners++];

	ck_assert_uint_le(r->n_listeners, ARRAY_LEN(r->listeners));
	l->client = client;
	l->from = r->n_said;
	(void)snprintf(l->topic, sizeof(l->topic), "%s", topic);
}

static void
audit_listener(struct rig *r, const struct rig_listener *l)
{
	const struct rig_client *c = &r->clients[l->client];
	bool is_told = rig_has(r, l->client, "gap");

	for (size_t i = l->from; i < r->n_said; i++) {
		const struct rig_said *s = &r->said[i];
		size_t n = rig_count(r, l->client, s->text);

		if (strcmp(s->topic, l->topic) != 0)
			continue;
		if (s->client == l->client)
			continue;
		if (n > 1)
			rig_fail(
			    r, "client %d got %s %zu times: %s", l->client, s->text, n, c->text);
		if (n > 0 && s->is_refused)
			rig_fail(r, "client %d got %s, which was refused", l->client, s->text);
		if (n == 0 && s->is_acked && !is_told && !c->has_ended)
			rig_fail(r, "client %d, level and untold, did not get %s on %s: %s",
			    l->client, s->text, s->topic, c->is_ws ? c->text : c->in);
	}
}

static void
audit_log(struct rig *r)
{
	for (size_t i = 0; i < r->n_said; i++) {
		const struct rig_said *s = &r->said[i];
		struct rig_answer a;
		size_t n;

		if (strncmp(s->topic, "live/", 5) == 0 || strncmp(s->topic, "few/", 4) == 0)
			continue;
		rig_hang_up(r, 7);
		a = rig_ask(r, 7, 200,
		    "GET /history?topic=%s&limit=1000 HTTP/1.1\r\nHost: localhost\r\n"
		    "Authorization: Bearer %s\r\n\r\n",
		    s->topic, r->tokens[RIG_ADA]);
		n = rig_count(r, 7, s->text);
		if (n > 1 || (n == 0 && s->is_acked) || (n == 1 && s->is_refused))
			rig_fail(r, "%s, %s, is %zu times in the log: %.*s", s->text,
			    s->is_acked     ? "acknowledged"
			    : s->is_refused ? "refused"
					    : "unanswered",
			    n, (int)a.n, a.body);
	}
}

static void
audit_client(struct rig *r, int client)
{
	struct rig_client *c = &r->clients[client];
	size_t left;

	if (c->is_strange)
		rig_fail(r, "client %d got what no server sends: %s", client, c->text);
	if (!c->is_ws)
		return;
	left = c->n - c->frames_at;
	if (left > 0 && !c->has_ended)
		rig_fail(r, "client %d got half a frame, and the connection goes on", client);
	if (c->close_code != 0 && c->close_code != 1011 && c->close_code != 1013 &&
	    c->close_code != 1001 && c->close_code != 1000)
		rig_fail(r, "client %d was closed with %d", client, c->close_code);
	for (char *at = c->text; *at != '\0';) {
		size_t n = strcspn(at, "\n");

		if (at[0] == '{' && json_check(slice_of(at, n), NULL) < 0)
			rig_fail(r, "client %d got half a message: %.*s", client, (int)n, at);
		at += n + (at[n] == '\n');
	}
}

/* Connections that stand go on as if nothing had been. */
static void
audit_life(struct rig *r)
{
	char text[256];
	unsigned waited = 0;
	unsigned ref = 0;

	r->what = "afterwards";
	rig_hang_up(r, 7);
	/* a disk that could not be written is tried again within a second */
	while (r->on_disk && log_health(r->server->log, 0, text, sizeof(text)) < 0 &&
	       rig_wait(r, &waited))
		rig_pump(r);
	(void)rig_ask(r, 7, 200, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
	for (size_t i = 0; i < r->n_listeners; i++) {
		const struct rig_listener *l = &r->listeners[i];

		if (r->clients[l->client].fd >= 0 && !r->clients[l->client].has_ended &&
		    strncmp(l->topic, "chat/", 5) != 0)
			rig_publish(r, 7, l->topic, "text/plain", "TEXT");
	}
	for (int i = 0; i < 7; i++) {
		struct rig_client *c = &r->clients[i];

		c->is_deaf = false;
		if (!c->is_json || !c->is_ws || c->has_ended || c->fd < 0)
			continue;
		ref = rig_ref(r);
		(void)rig_say(r, i, "{'type':'ping','ref':%u}", ref);
		if (!c->has_ended && answer_to(r, i, ref) == NULL && !rig_has(r, i, "(deflated)"))
			rig_fail(r, "client %d has no answer to a ping: %s", i, c->text);
	}
	rig_pump(r);
}

void
rig_audit(struct rig *r)
{
	audit_life(r);
	for (int i = 0; i < 7; i++)
		audit_client(r, i);
	for (size_t i = 0; i < r->n_listeners; i++)
		audit_listener(r, &r->listeners[i]);
	audit_log(r);
	for (int i = 0; i < RIG_CLIENTS; i++)
		rig_hang_up(r, i);
	rig_pump(r);
	for (unsigned i = 0; i < r->server->n_workers; i++) {
		struct worker *w = &r->server->workers[i];

		ck_assert_uint_eq(w->net.n_conns, 0);
		ck_assert_uint_eq(w->net.memory, 0);
		ck_assert_uint_eq(w->n_conns, 0);
		ck_assert_uint_eq(counter_get(&w->counters, COUNTER_BEHIND), 0);
		ck_assert_uint_eq(counter_get(&w->counters, COUNTER_SUBSCRIPTIONS), 0);
		for (int kind = COUNTER_CONN_HTTP; kind <= COUNTER_CONN_CHAT_SSE; kind++)
			ck_assert_uint_eq(counter_get(&w->counters, (enum counter)kind), 0);
		ck_assert_ptr_eq(w->serve.config, r->server->setup->config);
	}
}
