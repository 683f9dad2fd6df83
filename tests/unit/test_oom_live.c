/*
 * Connections' lives over real sockets in which the n-th allocation fails, for every n: once, and from there
 * on until the life is over. Whoever is touched is refused (503, 500, an error) or his connection ends; no
 * answer is half or wrong, nothing that was acknowledged is lost, what was refused is not there, and
 * afterwards the daemon serves on and has given everything back.
 *
 * OOM_LIVE=all in the environment takes every n; else about RUNS of them, spread over the life.
 */
#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/mem_faults.h"
#include "tests/unit/rig.h"
#include "tests/unit/support_run.h"

#define RUNS  80
#define FEWER 20    /* of a life on disk */
#define MOST  20000 /* allocations of a life */
#define PLAIN "HTTP/1.1\r\nHost: localhost\r\n"

typedef void life(struct rig *r);

/* --- the lives --- */

static void
get_files(struct rig *r)
{
	struct rig_answer a;

	r->what = "files";
	a = rig_ask(r, 0, 200, "GET / " PLAIN "\r\n");
	if (a.status == 200 && (a.n != 12 || memcmp(a.body, "<p>hello</p>", 12) != 0 ||
				   memmem(a.head, (size_t)(a.body - a.head),
				       "Content-Security-Policy: ", 25) == NULL ||
				   memmem(a.head, (size_t)(a.body - a.head), "nosniff", 7) == NULL))
		rig_fail(r, "a file is answered with %.600s", a.head);
	(void)rig_ask(r, 0, 200, "HEAD /index.html " PLAIN "\r\n");
	(void)rig_ask(r, 0, 200, "GET /index.html " PLAIN "Accept-Encoding: gzip\r\n\r\n");
	(void)rig_ask(r, 0, 304, "GET /index.html " PLAIN "If-None-Match: *\r\n\r\n");
	a = rig_ask(r, 0, 200, "GET /big.bin " PLAIN "\r\n");
	if (a.status == 200 && a.n != RIG_BIG)
		rig_fail(r, "big.bin has %zu bytes", a.n);
	(void)rig_ask(r, 0, 404, "GET /none " PLAIN "\r\n");
	(void)rig_ask(r, 0, 405, "POST /index.html " PLAIN "Content-Length: 0\r\n\r\n");
}

static void
ask_all(struct rig *r)
{
	struct rig_answer a;

	r->what = "requests";
	(void)rig_ask(r, 0, 200, "GET /healthz " PLAIN "\r\n");
	(void)rig_ask(r, 0, 200, "GET /readyz " PLAIN "\r\n");
	(void)rig_ask(r, 0, 204,
	    "OPTIONS /publish " PLAIN
	    "Origin: http://localhost\r\nAccess-Control-Request-Method: POST\r\n\r\n");
	(void)rig_ask(r, 0, 401, "POST /publish " PLAIN "Content-Length: 1\r\n\r\nx");
	(void)rig_ask(r, 0, 200, "GET /token " PLAIN "\r\n");
	a = rig_ask(r, 0, 200,
	    "POST /token " PLAIN
	    "Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"name\":\"Eve\"}");
	if (a.status == 200 &&
	    (memmem(a.body, a.n, "\"token\":\"ey", 11) == NULL || a.body[a.n - 1] != '}'))
		rig_fail(r, "a guest gets %.*s", (int)a.n, a.body);
	(void)rig_ask(r, 0, 400,
	    "POST /token " PLAIN "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
	    "{\"name\":\"%0*d\"}",
	    100 + 11, 100, 7);
	(void)rig_ask(r, 0, 400,
	    "GET /chat?room=x&name=%0*d " PLAIN "Authorization: Bearer %s\r\n\r\n", 100, 7,
	    r->tokens[RIG_ADA]);
	(void)rig_ask(r, 0, 303, "GET /chat?room=x " PLAIN "Accept: text/html\r\n\r\n");
	(void)rig_ask(r, 0, 426, "GET /chat?room=x " PLAIN "Authorization: Bearer %s\r\n\r\n",
	    r->tokens[RIG_ADA]);
	a = rig_ask(r, 0, 200, "GET /metrics " PLAIN "Authorization: Bearer %s\r\n\r\n",
	    r->tokens[RIG_ADMIN]);
	if (a.status == 200 && memmem(a.body, a.n, "process_uptime_seconds", 22) == NULL)
		rig_fail(r, "metrics without their end");
	(void)rig_ask(r, 0, 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
}

static void
administer(struct rig *r)
{
	const char *admin = r->tokens[RIG_ADMIN];
	struct rig_answer a;

	r->what = "administration";
	(void)rig_ws(r, 1, RIG_ADA, "room=a", false);
	(void)rig_stream(r, 2, RIG_BOB, "/events?topic=x", "");
	rig_publish(r, 0, "x/y", "text/plain", "TEXT");
	a = rig_ask(r, 0, 200, "GET /api/stats " PLAIN "Authorization: Bearer %s\r\n\r\n", admin);
	if (a.status == 200 && memmem(a.body, a.n, "\"workers\":2,", 12) == NULL)
		rig_fail(r, "stats: %.*s", (int)a.n, a.body);
	(void)rig_ask(
	    r, 0, 200, "GET /api/topics " PLAIN "Authorization: Bearer %s\r\n\r\n", admin);
	(void)rig_ask(r, 0, 200,
	    "GET /api/topics/chat%%2Fa/members " PLAIN "Authorization: Bearer %s\r\n\r\n", admin);
	a = rig_ask(
	    r, 0, 200, "GET /api/connections " PLAIN "Authorization: Bearer %s\r\n\r\n", admin);
	if (a.status == 200 &&
	    (a.body[a.n - 1] != '}' || json_check(slice_of(a.body, a.n), NULL) < 0))
		rig_fail(r, "connections: %.*s", (int)a.n, a.body);
	(void)rig_ask(r, 0, 404,
	    "POST /api/kick " PLAIN "Authorization: Bearer %s\r\nContent-Length: 25\r\n\r\n"
	    "{\"room\":\"a\",\"user\":\"eve\"}",
	    admin);
	(void)rig_ask(r, 0, 200,
	    "POST /api/mute " PLAIN "Authorization: Bearer %s\r\nContent-Length: 38\r\n\r\n"
	    "{\"room\":\"a\",\"user\":\"eve\",\"seconds\":60}",
	    admin);
	(void)rig_ask(r, 0, 200,
	    "POST /api/revoke " PLAIN "Authorization: Bearer %s\r\nContent-Length: 13\r\n\r\n"
	    "{\"sub\":\"eve\"}",
	    admin);
	(void)rig_ask(
	    r, 0, 200, "GET /api/revocations " PLAIN "Authorization: Bearer %s\r\n\r\n", admin);
	(void)rig_ask(r, 0, 404,
	    "DELETE /api/connections/0123456789abcdef " PLAIN "Authorization: Bearer %s\r\n\r\n",
	    admin);
}

static void
publish(struct rig *r)
{
	char array[256];
	struct rig_answer a;

	r->what = "publishing";
	if (rig_stream(r, 1, RIG_BOB, "/events?topic=news", ""))
		rig_listen(r, 1, "news");
	if (rig_ws(r, 2, RIG_ADA, "", false)) {
		unsigned ref = rig_ref(r);
		char text[64];

		(void)rig_say(r, 2, "{'type':'subscribe','topic':'news','ref':%u}", ref);
		(void)snprintf(text, sizeof(text), "{\"type\":\"subscribed\",\"ref\":%u,", ref);
		if (rig_has(r, 2, text))
			rig_listen(r, 2, "news");
		else if (!rig_has_failed(r))
			rig_fail(r, "not subscribed: %s", r->clients[2].text);
	}
	rig_publish(r, 0, "news", "text/plain", "TEXT");
	rig_publish(r, 0, "news", "application/json",
	    "{\"topic\":\"news\",\"title\":\"t\",\"message\":\"TEXT\",\"tags\":[\"a\",\"b\"],\"priority\":4}");
	rig_publish(
	    r, 0, "news", "application/json", "{\"data\":{\"of\":[\"TEXT\",1,2]},\"event\":\"e\"}");
	rig_publish(
	    r, 0, "news", "application/x-www-form-urlencoded", "message=TEXT&title=a%20b&tags=x,y");
	(void)snprintf(array, sizeof(array),
	    "[{\"topic\":\"n1\",\"message\":\"one.\"},{\"topic\":\"n2\",\"message\":\"two.\"},"
	    "{\"topic\":\"n1\",\"message\":\"three.\"}]");
	a = rig_ask(r, 0, 200,
	    "POST /publish " PLAIN "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
	    "Content-Length: %zu\r\n\r\n%s",
	    r->tokens[RIG_ADA], strlen(array), array);
	if (a.status == 200 && (a.body[0] != '[' || a.body[a.n - 1] != ']'))
		rig_fail(r, "an array is answered with %.*s", (int)a.n, a.body);
	/* the body piece by piece, and in chunks */
	rig_connect(r, 3);
	rig_send(r, 3, "POST /publish/pieces HTTP/1.1\r\nHost: local", 42);
	rig_pump(r);
	if (r->clients[3].has_ended)
		return;
	a = rig_ask(r, 3, 200,
	    "host\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
	    r->tokens[RIG_ADA]);
}

static void
read_back(struct rig *r)
{
	struct rig_answer a;

	r->what = "reading";
	for (unsigned i = 0; i < 5; i++)
		rig_publish(r, 0, "old", "text/plain", "TEXT");
	a = rig_ask(r, 0, 200,
	    "GET /history?topic=old&limit=3 " PLAIN "Authorization: Bearer %s\r\n\r\n",
	    r->tokens[RIG_BOB]);
	if (a.status == 200 && r->said[4].is_acked && memmem(a.body, a.n, "m-004.", 6) == NULL)
		rig_fail(r, "history: %.*s", (int)a.n, a.body);
	(void)rig_ask(r, 0, 200,
	    "GET /history?topic=old&q=m&before=9999999999999999 " PLAIN
	    "Authorization: Bearer %s\r\n\r\n",
	    r->tokens[RIG_BOB]);
	if (rig_stream(r, 1, RIG_BOB, "/events?topic=old&topic=other&after=all",
		"Accept: text/event-stream\r\n")) {
		rig_listen(r, 1, "old");
		r->listeners[r->n_listeners - 1].from = 0;
	}
	if (rig_stream(r, 2, RIG_BOB, "/events?topic=old&last=2&heartbeat=1",
		"Accept: application/x-ndjson\r\n"))
		rig_listen(r, 2, "old");
	if (rig_stream(r, 3, RIG_BOB, "/events?topic=old", "Last-Event-ID: 12\r\n") &&
	    !rig_has_failed(r) && !rig_has(r, 3, "event: gap"))
		rig_fail(r, "an old position is no gap: %s", r->clients[3].in);
	a = rig_ask(r, 4, 200,
	    "GET /events?topic=old&last=3&wait=0 " PLAIN "Authorization: Bearer %s\r\n\r\n",
	    r->tokens[RIG_BOB]);
	if (a.status == 200 && !r->clients[4].has_ended)
		rig_fail(r, "wait=0 does not end");
	rig_publish(r, 0, "old", "text/plain", "TEXT");
}

static bool
join(struct rig *r, int client, const char *room, const char *more)
{
	unsigned ref = rig_ref(r);
	char text[64];

	(void)snprintf(text, sizeof(text), "{\"type\":\"joined\",\"ref\":%u,", ref);
	if (!rig_say(r, client, "{'type':'join','room':'%s','ref':%u%s}", room, ref, more))
		return false;
	(void)snprintf(text, sizeof(text), "{\"type\":\"joined\",\"ref\":%u,", ref);
	if (rig_has(r, client, text))
		return true;
	(void)snprintf(text, sizeof(text), "{\"type\":\"error\",\"ref\":%u,", ref);
	if (!rig_has(r, client, text) || !rig_has_failed(r))
		rig_fail(r, "joining %s: %s", room, r->clients[client].text);
	r->is_spoilt = true;
	return false;
}

/* A request whose answer has a type of its own, or is an error. */
static void
request(struct rig *r, int client, const char *type, const char *fmt)
{
	unsigned ref = rig_ref(r);
	char text[96];

	if (!rig_say(r, client, "{%s,'ref':%u}", fmt, ref))
		return;
	(void)snprintf(text, sizeof(text), "{\"type\":\"%s\",\"ref\":%u", type, ref);
	if (rig_has(r, client, text))
		return;
	(void)snprintf(text, sizeof(text), "{\"type\":\"error\",\"ref\":%u,", ref);
	if (!rig_has(r, client, text) || (!rig_has_failed(r) && !r->is_spoilt))
		rig_fail(r, "%s: %s", fmt, r->clients[client].text);
	r->is_spoilt = true;
}

static void
chat(struct rig *r)
{
	char refresh[2048];

	r->what = "chatting";
	if (rig_ws(r, 0, RIG_ADA, "room=a&last=5&name=Ada", false) && rig_has(r, 0, "\"joined\""))
		rig_listen(r, 0, "chat/a");
	if (rig_ws(r, 1, RIG_BOB, "", false) && join(r, 1, "a", ",'last':3"))
		rig_listen(r, 1, "chat/a");
	if (rig_ws(r, 2, RIG_BOB, "room=a&format=text", false) && rig_has(r, 2, "(never)"))
		rig_listen(r, 2, "chat/a");
	rig_chat(r, 0, "a");
	rig_chat(r, 1, "a");
	rig_chat(r, 0, "a");
	(void)rig_say(r, 0, "{'type':'typing','room':'a'}");
	if (r->clients[2].fd >= 0 && !r->clients[2].has_ended)
		rig_frame(r, 2, 128 | WS_TEXT, "plain words", 11);
	request(r, 0, "members", "'type':'members','room':'a'");
	request(r, 0, "rooms", "'type':'rooms'");
	request(r, 1, "ack", "'type':'publish','topic':'n','title':'t','message':'m','key':'k'");
	request(r, 1, "ack", "'type':'publish','topic':'n','title':'t','message':'m','key':'k'");
	request(r, 1, "subscribed", "'type':'subscribe','topic':'n','last':2");
	request(r, 1, "unsubscribed", "'type':'unsubscribe','topic':'n'");
	request(r, 0, "pong", "'type':'ping'");
	(void)snprintf(
	    refresh, sizeof(refresh), "'type':'refresh','token':'%s'", r->tokens[RIG_BOB]);
	request(r, 1, "refreshed", refresh);
	rig_chat(r, 1, "a");
}

static void
leave(struct rig *r)
{
	char refresh[2048];

	r->what = "leaving";
	if (rig_ws(r, 0, RIG_ADA, "room=a", false) && rig_has(r, 0, "\"joined\""))
		rig_listen(r, 0, "chat/a");
	(void)rig_ws(r, 1, RIG_BOB, "room=a", false);
	(void)join(r, 1, "b", "");
	rig_chat(r, 0, "a");
	(void)snprintf(
	    refresh, sizeof(refresh), "'type':'refresh','token':'%s'", r->tokens[RIG_BOB_LESS]);
	request(r, 1, "refreshed", refresh); /* it leaves b */
	request(r, 1, "history", "'type':'history','room':'a','limit':5");
	request(r, 1, "left", "'type':'leave','room':'a'");
	rig_chat(r, 0, "a");
	if (r->clients[1].fd >= 0 && !r->clients[1].has_ended)
		rig_frame(r, 1, 128 | WS_CLOSE, "\x03\xe8", 2);
	(void)rig_ws(r, 1, RIG_BOB, "room=a&after=all", false);
	rig_hang_up(r, 1);
	rig_pump(r);
	rig_chat(r, 0, "a");
}

/* Fragments, pings between them, a compressed message in and out, raw frames. */
static void
frames(struct rig *r)
{
	/* {"type":"ping","ref":999} by raw deflate, its end cut off */
	static const char squeezed[] = "\x03\x00";

	r->what = "frames";
	if (rig_ws(r, 0, RIG_ADA, "room=a", false) && rig_has(r, 0, "\"joined\""))
		rig_listen(r, 0, "chat/a");
	if (rig_ws(r, 1, RIG_BOB, "room=a", true)) {
		rig_frame(r, 1, 128 | 64 | WS_TEXT, squeezed, 2);
		rig_frame(r, 1, WS_TEXT, "{\"type\":\"chat\",\"content\":\"", 26);
		rig_frame(r, 1, 128 | WS_PING, "life", 4);
		rig_frame(r, 1, 0, "in pieces", 9);
		rig_frame(r, 1, 128, "\"}", 2);
	}
	rig_chat(r, 0, "a");
	if (rig_ws(r, 2, RIG_ADA, "room=raw&format=raw", false) &&
	    rig_ws(r, 3, RIG_BOB, "room=raw&format=raw", false)) {
		rig_frame(r, 2, 128 | WS_BINARY, "\x01\x02", 2);
		rig_frame(r, 3, 128 | WS_TEXT, "raw words", 9);
	}
}

static void
chat_over_sse(struct rig *r)
{
	char id[64] = "none";
	const char *at;
	struct rig_said *s;
	struct rig_answer a;

	r->what = "chatting over SSE";
	if (rig_ws(r, 0, RIG_ADA, "room=a", false) && rig_has(r, 0, "\"joined\""))
		rig_listen(r, 0, "chat/a");
	(void)rig_ask(
	    r, 4, 200, "GET /healthz " PLAIN "\r\n"); /* the next goes to the other worker */
	if (rig_stream(r, 1, RIG_BOB, "/chat?room=a&last=3", "Accept: text/event-stream\r\n")) {
		if (rig_has(r, 1, "event: joined"))
			rig_listen(r, 1, "chat/a");
		else if (!rig_has_failed(r))
			rig_fail(r, "no room: %s", r->clients[1].in);
		at = strstr(r->clients[1].in, "event: user\ndata: ");
		if (at != NULL)
			(void)snprintf(id, sizeof(id), "%.34s", at + 18);
	}
	rig_chat(r, 0, "a");
	for (int client = 2; client < 4 && id[0] != 'n'; client++) {
		char body[128];

		s = rig_message(r, "chat/a", -1);
		(void)snprintf(
		    body, sizeof(body), "{\"type\":\"chat\",\"content\":\"%s\"}", s->text);
		a = rig_ask(r, client, r->clients[1].has_ended ? 404 : 200,
		    "POST /chat/%s " PLAIN
		    "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
		    "Content-Length: %zu\r\n\r\n%s",
		    id, r->tokens[RIG_BOB], strlen(body), body);
		s->is_acked = a.status == 200 && !r->clients[1].has_ended;
		s->is_refused = a.status != 200 && a.status != 0;
		s->client = 1; /* its own stream does not get it */
		if (a.status == 200 && memcmp(a.body, "{\"type\":\"ack\",", 14) != 0)
			rig_fail(r, "a POST into a chat is answered with %.*s", (int)a.n, a.body);
		(void)rig_ask(r, client, 404,
		    "POST /chat/00112233445566778899aabbccddeeff00 " PLAIN
		    "Authorization: Bearer %s\r\n"
		    "Content-Length: 1\r\n\r\nx",
		    r->tokens[RIG_BOB]);
	}
	rig_chat(r, 0, "a");
}

/* A reader that stops, falls behind while much is said, and reads on. */
static void
lag(struct rig *r)
{
	static char much[4000];
	bool has_few;

	r->what = "being slow";
	memset(much, 'x', sizeof(much) - 1);
	memcpy(much, "TEXT", 4);
	if (rig_ws(r, 0, RIG_ADA, "", false)) {
		request(r, 0, "subscribed", "'type':'subscribe','topic':'s'");
		if (rig_has(r, 0, "\"subscribed\""))
			rig_listen(r, 0, "s");
		request(r, 0, "subscribed", "'type':'subscribe','topic':'live/x'");
	}
	if (rig_stream(r, 1, RIG_BOB, "/events?topic=s", ""))
		rig_listen(r, 1, "s");
	has_few = rig_stream(r, 2, RIG_BOB, "/events?topic=few/x", "");
	if (has_few)
		rig_listen(r, 2, "few/x");
	for (int i = 0; i < 3; i++)
		r->clients[i].is_deaf = true;
	for (unsigned i = 0; i < 80; i++)
		rig_publish(r, 4,
		    i % 8 == 0   ? "few/x"
		    : i % 8 == 1 ? "live/x"
				 : "s",
		    "text/plain", much);
	for (int i = 0; i < 3; i++)
		r->clients[i].is_deaf = false;
	rig_pump(r);
	rig_publish(r, 4, "s", "text/plain", "TEXT");
}

static void
reload(struct rig *r)
{
	struct setup *before = r->server->setup;

	r->what = "reloading";
	r->only_own = true; /* libconfig 1.5 does not look at what malloc says */
	if (rig_ws(r, 0, RIG_ADA, "room=a", false) && rig_has(r, 0, "\"joined\""))
		rig_listen(r, 0, "chat/a");
	(void)rig_ask(r, 1, 202,
	    "POST /api/reload " PLAIN "Authorization: Bearer %s\r\nContent-Length: 0\r\n\r\n",
	    r->tokens[RIG_ADMIN]);
	rig_pump(r);
	if (!rig_has_failed(r) && !r->is_spoilt && r->server->setup == before)
		rig_fail(r, "not reloaded");
	rig_chat(r, 0, "a");
	(void)rig_ws(r, 2, RIG_BOB, "room=a&last=9", false);
}

/* The daemon stops: everybody is told, or just ended. */
static void
drain(struct rig *r)
{
	r->what = "draining";
	(void)rig_ws(r, 0, RIG_ADA, "room=a", false);
	(void)rig_stream(r, 1, RIG_BOB, "/chat?room=a", "Accept: text/event-stream\r\n");
	(void)rig_stream(r, 2, RIG_BOB, "/events?topic=x", "");
	(void)rig_ask(r, 3, 200, "GET / " PLAIN "\r\n");
	(void)raise(SIGTERM);
	rig_pump(r);
	for (int i = 0; i < 4; i++) {
		struct rig_client *c = &r->clients[i];

		if (c->is_ws && !c->has_ended && c->close_code == 0)
			rig_fail(r, "client %d was not told: %s", i, c->text);
		if (!c->is_ws && c->fd >= 0 && !c->has_ended)
			rig_fail(r, "client %d was not ended", i);
	}
}

/* --- playing them --- */

static unsigned
open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir) != NULL)
		n++;
	(void)closedir(dir);
	return n;
}

/* Allocations of the life when none fails (n is 0), else whether the failure came up. */
static unsigned long
play(struct rig *r, life *run, long n, bool goes_on)
{
	long blocks = mem_blocks();
	unsigned files = open_files();
	unsigned long count;
	bool came;

	rig_open(r);
	count = mem_count();
	if (goes_on)
		mem_fail_from(n);
	else
		mem_fail_at(n);
	run(r);
	came = !mem_fail_is_pending();
	mem_fail_at(0);
	count = mem_count() - count;
	if (!atomic_load(&r->server->is_draining))
		rig_audit(r);
	for (int i = 0; i < RIG_CLIENTS; i++)
		rig_hang_up(r, i);
	rig_close(r);
	ck_assert_msg(
	    mem_blocks() == blocks, "%s: %ld blocks more", r->what, mem_blocks() - blocks);
	ck_assert_uint_eq(open_files(), files);
	return n == 0 ? count : came;
}

static void
play_on(const char *name, life *run, bool on_disk)
{
	struct rig *r = calloc(1, sizeof(*r));
	const char *all = getenv("OOM_LIVE");
	unsigned long n_allocations;
	unsigned long step;
	unsigned runs = on_disk ? FEWER : run == lag ? RUNS / 2 : RUNS; /* a long one */

	ck_assert_ptr_nonnull(r);
	r->on_disk = on_disk;
	rig_prepare(r);
	(void)snprintf(r->name, sizeof(r->name), "%s", name);
	(void)play(r, run, 0, false); /* what libraries keep for good is there now */
	n_allocations = play(r, run, 0, false);
	ck_assert_msg(!r->is_spoilt, "spoilt without a failure");
	ck_assert_uint_gt(n_allocations, 20);
	ck_assert_uint_lt(n_allocations, MOST);
	step = all != NULL ? 1 : n_allocations / runs + 1;
	if (all != NULL)
		printf("%s: %lu allocations\n", r->name, n_allocations);
	for (unsigned long n = 1; n <= n_allocations + step; n += step) {
		/* the environment names one of them: for looking into it */
		if (all != NULL && atol(all) > 0 && (long)n != atol(all))
			continue;
		(void)snprintf(r->name, sizeof(r->name), "%s, allocation %lu", name, n);
		(void)play(r, run, (long)n, false);
		(void)snprintf(
		    r->name, sizeof(r->name), "%s, from allocation %lu", name, n + step / 2);
		(void)play(r, run, (long)(n + step / 2), true);
	}
	rig_finish(r);
	free(r);
}

static void
play_all(const char *name, life *run)
{
	play_on(name, run, false);
}

START_TEST(http)
{
	play_all("get_files", get_files);
	play_all("ask_all", ask_all);
}
END_TEST

START_TEST(admin)
{
	play_all("administer", administer);
}
END_TEST

START_TEST(publishing)
{
	play_all("publish", publish);
}
END_TEST

START_TEST(reading)
{
	play_all("read_back", read_back);
}
END_TEST

START_TEST(websocket)
{
	play_all("chat", chat);
	play_all("frames", frames);
}
END_TEST

START_TEST(leaving)
{
	play_all("leave", leave);
}
END_TEST

START_TEST(chat_streams)
{
	play_all("chat_over_sse", chat_over_sse);
}
END_TEST

START_TEST(slow)
{
	play_all("lag", lag);
}
END_TEST

START_TEST(reloading)
{
	play_all("reload", reload);
}
END_TEST

START_TEST(draining)
{
	play_all("drain", drain);
}
END_TEST

START_TEST(disk_publishing)
{
	play_on("publish on disk", publish, true);
}
END_TEST

START_TEST(disk_reading)
{
	play_on("read_back on disk", read_back, true);
}
END_TEST

START_TEST(disk_chat)
{
	play_on("chat on disk", chat, true);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {http, admin, publishing, reading, websocket, leaving,
	    chat_streams, slow, reloading, draining, disk_publishing, disk_reading, disk_chat,
	    NULL};

	return run_tests("oom_live", tests);
}
