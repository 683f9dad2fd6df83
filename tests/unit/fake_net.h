/*
 * A stand-in for src/net and the other endpoints, for the tests of serve/: a request is written as text, the answer is looked at as fields. Included by the test's one file, whose
 * symbols win over the library's.
 */
#ifndef TESTS_FAKE_NET_H
#define TESTS_FAKE_NET_H

#ifndef FAKE_NET_OWN_ASSERTIONS /* a fuzzer has no test that could fail */
#include <check.h>
#endif
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "base/mem.h"
#include "core/counters.h"
#include "core/wire.h"
#include "net/conn.h"
#include "serve/serve.h"

#define NOW_S 1700000000

struct conn {
	bool is_loopback, is_trusted, is_unix;
	uint32_t uid, gid;
	struct net *net;
	const struct conn_ops *ops;
	void *data;
	int64_t length;
	size_t queue_limit;
	struct buf *sink;
	bool is_closed;
};

struct fake {
	struct exchange x;
	struct net net;
	struct serve serve;
	struct config config;
	struct config_listener listener;
	struct counters counters;
	struct diag diag;
	struct http_head head;
	struct conn conn;
	struct buf request;
	/* the answer */
	int status; /* 0: none */
	int n_answers;
	char type[128];
	struct buf body;
	/* which endpoint was called, and with what */
	char called[32];
	struct slice tail;
	struct claims *claims;
};

/* --- net --- */

void
exchange_header(struct exchange *x, const char *name, struct slice value)
{
	(void)buf_printf(&x->headers, "%s: %.*s\r\n", name, SLICE_ARG(value));
}

void
exchange_reply(struct exchange *x, int status, const char *content_type, struct slice body)
{
	struct fake *f = CONTAINER(x, struct fake, x);

	f->status = status;
	f->n_answers++;
	x->is_answered = true;
	(void)snprintf(f->type, sizeof(f->type), "%s", content_type == NULL ? "" : content_type);
	buf_reset(&f->body);
	if (x->method != HTTP_HEAD)
		(void)buf_add_slice(&f->body, body);
}

void
exchange_json(struct exchange *x, int status, struct slice json)
{
	exchange_reply(x, status, "application/json", json);
}

int
exchange_stream_start(struct exchange *x, int status, const char *content_type, int64_t length,
    const struct conn_ops *ops, void *data)
{
	struct fake *f = CONTAINER(x, struct fake, x);

	exchange_reply(x, status, content_type, SLICE(""));
	f->conn.ops = ops;
	f->conn.data = data;
	f->conn.length = length;
	f->conn.sink = &f->body;
	return 0;
}

const char *
exchange_peer(const struct exchange *x UNUSED, char out[EXCHANGE_PEER] UNUSED)
{
	return "192.0.2.7";
}

bool
conn_is_unix(const struct conn *c, unsigned *listener, uint32_t *uid, uint32_t *gid)
{
	if (!c->is_unix)
		return false;
	*listener = 0;
	*uid = c->uid;
	*gid = c->gid;
	return true;
}

bool
conn_on_loopback_listener(const struct conn *c)
{
	return c->is_loopback;
}

bool
exchange_is_local(const struct exchange *x)
{
	return x->conn != NULL && x->conn->is_loopback;
}

bool
conn_from_trusted_proxy(const struct conn *c)
{
	return c->is_trusted;
}

struct net *
conn_net(const struct conn *c)
{
	return c->net;
}

int
conn_push(struct conn *c, struct wire *w)
{
	return buf_add(c->sink, w->p, w->n);
}

bool
conn_has_room(struct conn *c)
{
	return c->sink->n < c->queue_limit;
}

void
conn_set_deadline(struct conn *c UNUSED, uint64_t at_ms UNUSED)
{
}

void
conn_close(struct conn *c, enum close_reason why UNUSED)
{
	c->is_closed = true;
}

/* --- the endpoints that are tested elsewhere --- */

static void
note_call(struct exchange *x, const char *name, struct slice tail)
{
	struct fake *f = CONTAINER(x, struct fake, x);

	(void)snprintf(f->called, sizeof(f->called), "%s", name);
	f->tail = tail;
	exchange_reply(x, 200, NULL, SLICE_NONE);
}

#define FAKE_ENDPOINT(name)                                                                        \
	void serve_##name(struct exchange *x)                                                      \
	{                                                                                          \
		note_call(x, #name, SLICE_NONE);                                                   \
	}
#define FAKE_ENDPOINT_WITH_TAIL(name)                                                              \
	void serve_##name(struct exchange *x, struct slice tail)                                   \
	{                                                                                          \
		note_call(x, #name, tail);                                                         \
	}
FAKE_ENDPOINT(chat)
FAKE_ENDPOINT(events)
FAKE_ENDPOINT(history)
FAKE_ENDPOINT(echo)
FAKE_ENDPOINT_WITH_TAIL(publish)
FAKE_ENDPOINT_WITH_TAIL(chat_post)
FAKE_ENDPOINT_WITH_TAIL(admin)

unsigned
serve_admin_methods(struct slice path)
{
	if (slice_eq(path, SLICE("stats")))
		return 1U << HTTP_GET | 1U << HTTP_HEAD | 1U << HTTP_OPTIONS;
	return slice_eq(path, SLICE("kick")) ? 1U << HTTP_POST | 1U << HTTP_OPTIONS : 0;
}

/* --- tokens: "good", "guest", "admin" are taken, "old" is signed but has ended, others are forged --- */

static struct claims *
fake_claims(const char *id, const char *name, enum role role)
{
	struct claims *c = mem_calloc(1, sizeof(*c));

	ck_assert_ptr_nonnull(c);
	c->refs = 1;
	c->user_id = mem_strdup(slice_str(id));
	c->name = mem_strdup(slice_str(name));
	c->role = role;
	c->exp = NOW_S + 3600;
	c->is_guest = strncmp(id, "guest:", 6) == 0;
	return c;
}

void
claims_unref(struct claims *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	mem_free(c->user_id);
	mem_free(c->name);
	mem_free(c);
}

struct claims *
claims_new_local(const char *user_name, enum role role)
{
	char id[64];

	(void)snprintf(id, sizeof(id), "local:%s", user_name);
	return fake_claims(id, user_name, role);
}

uint64_t
token_cache_hits(const struct token_cache *t UNUSED)
{
	return 0;
}

int
token_cache_check(struct token_cache *t UNUSED, const struct keyring *k UNUSED,
    const struct config *c UNUSED, struct slice token, int64_t now_s, struct claims **out,
    struct token_refusal *why)
{
	ck_assert_int_eq(now_s, NOW_S);
	if (slice_eq(token, SLICE("good")))
		*out = fake_claims("ada", "Ada", ROLE_USER);
	else if (slice_eq(token, SLICE("guest")))
		*out = fake_claims("guest:77", "Gus", ROLE_USER);
	else if (slice_eq(token, SLICE("admin")))
		*out = fake_claims("root", "Root", ROLE_ADMIN);
	else if (slice_eq(token, SLICE("old"))) {
		*why = (struct token_refusal){"exp", "exp was 42 s ago", true};
		return -EACCES;
	} else {
		*why = (struct token_refusal){"signature", "the signature does not match", false};
		return -EACCES;
	}
	return 0;
}

char *
token_sign_guest(const struct keyring *k UNUSED, const struct config_auth *auth UNUSED,
    const char *user_id, const char *name, int64_t now_s, char id_out[64])
{
	char text[256];

	ck_assert_int_eq(now_s, NOW_S);
	(void)snprintf(id_out, 64, "%s", user_id == NULL ? "guest:new" : user_id);
	(void)snprintf(text, sizeof(text), "signed(%s,%s)", id_out, name);
	return mem_strdup(slice_str(text));
}

/* --- asking --- */

static void
fake_init(struct fake *f)
{
	static char empty[] = "";
	static char cookie[] = "belfry";

	*f = (struct fake){0};
	f->conn = (struct conn){.is_loopback = true, .net = &f->net, .queue_limit = 256 * 1024};
	diag_init(&f->diag);
	f->diag.level = DIAG_ERROR;
	f->net.config = &f->config;
	f->net.counters = &f->counters;
	f->net.owner = &f->serve;
	f->net.now_us = (uint64_t)NOW_S * 1000000;
	f->net.now_ms = 5000;
	f->serve.config = &f->config;
	f->serve.net = &f->net;
	f->serve.diag = &f->diag;
	f->config.web_root = f->config.web_csp = empty;
	f->config.auth.cookie = cookie;
	f->config.auth.login_url = empty;
	f->config.auth.explain = true;
	f->config.limits.body = 1024 * 1024;
	f->net.memory_limit = 1024 * 1024 * 1024;
	f->config.listeners = &f->listener;
	f->config.n_listeners = 1;
	f->request.max = 65536;
	f->x.headers.max = 65536;
	f->body.max = 32 * 1024 * 1024;
}

static void
fake_unlist(struct strings *list)
{
	for (size_t i = 0; i < list->n; i++)
		mem_free(list->v[i]);
	mem_free(list->v);
	*list = (struct strings){0};
}

/* Set a list of the configuration from words; fake_done frees it. */
static inline void
fake_list(struct strings *list, const char *words)
{
	struct slice rest = slice_str(words);

	fake_unlist(list);
	list->v = mem_calloc(16, sizeof(*list->v));
	ck_assert_ptr_nonnull(list->v);
	while (rest.p != NULL) {
		list->v[list->n] = mem_strdup(slice_cut(&rest, ' '));
		ck_assert_ptr_nonnull(list->v[list->n++]);
	}
}

static void
fake_done(struct fake *f)
{
	fake_unlist(&f->config.hosts);
	fake_unlist(&f->config.allow_origins);
	fake_unlist(&f->listener.allow_users);
	fake_unlist(&f->listener.allow_groups);
	buf_done(&f->request);
	buf_done(&f->x.headers);
	buf_done(&f->body);
}

/* Make the exchange of a request written as "GET /x HTTP/1.1\nHost: …" (the last empty line left out). */
static void
fake_request(struct fake *f, const char *text, struct slice body)
{
	struct buf headers = f->x.headers;
	ssize_t n;

	buf_reset(&headers);
	buf_reset(&f->request);
	buf_reset(&f->body);
	f->status = f->n_answers = 0;
	f->type[0] = f->called[0] = '\0';
	for (; *text != '\0'; text++) {
		if (*text == '\n')
			(void)buf_add_char(&f->request, '\r');
		(void)buf_add_char(&f->request, *text);
	}
	(void)buf_add_str(&f->request, "\r\n\r\n");
	n = http_parse_head(buf_slice(&f->request), 16384, &f->head);
	ck_assert_msg(n > 0, "the head was refused: %s", http_error_text((int)n));
	f->x = (struct exchange){
	    .conn = &f->conn,
	    .net = &f->net,
	    .head = &f->head,
	    .body = body,
	    .refs = 1,
	    .method = f->head.method,
	    .minor = (uint8_t)f->head.minor,
	    .keep_alive = f->head.keep_alive,
	    .has_body = f->head.has_length || f->head.is_chunked,
	    .number = 1,
	    .headers = headers,
	};
}

/* The whole way: early, then with its body. Returns the status. */
static int
fake_ask_body(struct fake *f, const char *text, const char *body)
{
	fake_request(f, text, slice_str(body));
	serve_on_head(&f->x);
	if (!f->x.is_answered)
		serve_on_request(&f->x);
	ck_assert_int_eq(f->n_answers, 1);
	return f->status;
}

static inline int
fake_ask(struct fake *f, const char *text)
{
	return fake_ask_body(f, text, "");
}

/* Whether the answer's headers have this whole line. */
static inline bool
fake_has(const struct fake *f, const char *line)
{
	struct slice rest = buf_slice(&f->x.headers);

	while (rest.p != NULL) {
		struct slice one = slice_cut(&rest, '\n');

		if (one.n > 0 && slice_eq(slice_of(one.p, one.n - 1), slice_str(line)))
			return true;
	}
	return false;
}

/* The value of an answer's header; absent if none. */
static inline struct slice
fake_header(const struct fake *f, const char *name)
{
	struct slice rest = buf_slice(&f->x.headers);

	while (rest.p != NULL) {
		struct slice value = slice_cut(&rest, '\n');
		struct slice this_name = slice_cut(&value, ':');

		if (value.p != NULL && slice_eq(this_name, slice_str(name)))
			return slice_of(value.p + 1, value.n - 2);
	}
	return SLICE_NONE;
}

/* Whether the body has this text. */
static inline bool
fake_says(const struct fake *f, const char *text)
{
	return f->body.n > 0 && memmem(f->body.p, f->body.n, text, strlen(text)) != NULL;
}

#endif
