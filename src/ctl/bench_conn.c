#include "ctl/bench.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/token.h"
#include "ctl/ws_client.h"

#define READ_BYTES    (256 * 1024)
#define EVENTS        256
#define OPENING_MAX   64 /* handshakes under way: less than a listener's backlog */
#define BEGINNING     1024
#define WHOLE_EVERY   16
#define OUT_MAX       (64 * 1024 * 1024)
#define REST_MAX      (4 * 1024 * 1024)
#define OPEN_LIMIT_NS (60ull * 1000000000u)

/* The key of RFC 6455, 1.3 and its answer: nothing here is secret, and the check stays cheap. */
static const char ws_key[] = "dGhlIHNhbXBsZSBub25jZQ==";
static const char ws_answer[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

void
bench_fail(struct bench *b, const char *fmt, ...)
{
	va_list args;

	if (b->failed)
		return;
	b->failed = true;
	(void)fputs("belfryctl bench: ", stderr);
	va_start(args, fmt);
	(void)vfprintf(stderr, fmt, args); /* nowhere else to say it */
	va_end(args);
	(void)fputc('\n', stderr);
}

/* --- where the daemon is --- */

/* http://HOST:PORT only: what TLS costs belongs to other figures. */
static int
find_address(struct bench *b)
{
	static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct slice rest = slice_str(b->target.url);
	char name[256];
	const char *port = "80";
	char *colon;

	if (b->target.unix_path != NULL || !slice_has_prefix(rest, SLICE("http://")))
		return ctl_fail(EX_USAGE, "bench wants a plain http:// address, not '%s'",
		    b->target.unix_path != NULL ? b->target.unix_path : b->target.url);
	rest = slice_skip(rest, 7);
	if (rest.n >= sizeof(b->host))
		return ctl_fail(EX_USAGE, "the address is too long");
	memcpy(b->host, rest.p, rest.n);
	memcpy(name, rest.p, rest.n);
	name[rest.n] = '\0';
	colon = strrchr(name, ':');
	if (colon != NULL && strchr(colon, ']') == NULL) {
		*colon = '\0';
		port = colon + 1;
	}
	if (name[0] == '[' && name[strlen(name) - 1] == ']') {
		name[strlen(name) - 1] = '\0';
		memmove(name, name + 1, strlen(name));
	}
	if (getaddrinfo(name, port, &hints, (struct addrinfo **)&b->address) != 0)
		return ctl_fail(EX_NOHOST, "%s: no such host", b->target.url);
	return 0;
}

static void
raise_descriptors(struct bench *b, size_t n)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* the check below tells */
	if (n + 16 > limit.rlim_cur)
		bench_fail(b, "%zu connections, but only %llu open files", n,
		    (unsigned long long)limit.rlim_cur);
}

int
bench_init(struct bench *b, size_t n)
{
	int code = ctl_target_find(b->o.config, &b->target);

	if (code == 0 && b->o.config != NULL)
		code = ctl_load_config(b->o.config, &b->config);
	if (code == 0)
		code = find_address(b);
	if (code == 0)
		code = bench_find_pid(b);
	if (code != 0)
		return code;
	raise_descriptors(b, n);
	if (b->failed)
		return EX_OSERR;
	b->epoll = epoll_create1(EPOLL_CLOEXEC);
	b->conns = mem_calloc(n, sizeof(*b->conns));
	b->dirty = mem_calloc(n, sizeof(struct bench_conn *));
	b->read_buffer = mem_alloc(READ_BYTES + REST_MAX);
	b->inflated = BUF_INIT(REST_MAX);
	if (b->o.is_deflate && (b->inflater = ws_inflater_new()) == NULL)
		return ctl_no_memory();
	if (b->epoll < 0 || b->conns == NULL || b->dirty == NULL || b->read_buffer == NULL)
		return ctl_no_memory();
	b->n_conns = n;
	for (size_t i = 0; i < n; i++) {
		b->conns[i].fd = -1;
		b->conns[i].number = (uint32_t)i;
		b->conns[i].out = BUF_INIT(OUT_MAX);
	}
	return 0;
}

void
bench_done(struct bench *b)
{
	for (size_t i = 0; i < b->n_conns; i++) {
		bench_close(b, &b->conns[i]);
		buf_done(&b->conns[i].out);
		mem_free(b->conns[i].token);
	}
	if (b->address != NULL)
		freeaddrinfo(b->address);
	if (b->epoll >= 0)
		(void)close(b->epoll);
	mem_free(b->conns);
	mem_free((void *)b->dirty);
	mem_free(b->read_buffer);
	buf_done(&b->scratch);
	buf_done(&b->inflated);
	ws_inflater_free(b->inflater);
	config_unref(b->config);
	ctl_target_done(&b->target);
}

/* --- epoll --- */

static void
watch(struct bench *b, struct bench_conn *c, int operation)
{
	struct epoll_event e = {.data.ptr = c};

	e.events =
	    (c->is_paused ? 0u : (uint32_t)EPOLLIN) | (c->wants_write ? (uint32_t)EPOLLOUT : 0u);
	if (epoll_ctl(b->epoll, operation, c->fd, &e) != 0)
		bench_fail(b, "epoll_ctl: %s", strerrordesc_np(errno));
}

void
bench_pause(struct bench *b, struct bench_conn *c, bool pause)
{
	c->is_paused = pause;
	watch(b, c, EPOLL_CTL_MOD);
}

void
bench_close(struct bench *b, struct bench_conn *c)
{
	const struct linger reset = {1, 0};

	if (c->fd < 0)
		return;
	if (c->state == BENCH_OPEN)
		b->n_open--;
	else
		b->n_opening--;
	c->state = BENCH_ENDED;
	(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)); /* see the header */
	(void)close(c->fd);
	c->fd = -1;
	mem_free(c->rest);
	c->rest = NULL;
	c->rest_n = 0;
	c->wants_write = false;
	buf_reset(&c->out);
}

/* The mode takes it as it comes. */
static bool
lost(struct bench *b, struct bench_conn *c)
{
	if (b->on_lost == NULL)
		return false;
	bench_close(b, c);
	b->on_lost(b, c);
	return true;
}

static void
ended(struct bench *b, struct bench_conn *c, const char *why)
{
	static const char *const when[] = {
	    [BENCH_CONNECTING] = "while connecting",
	    [BENCH_HANDSHAKE] = "before its answer",
	    [BENCH_JOINING] = "while joining",
	    [BENCH_OPEN] = "while open",
	};

	if (lost(b, c))
		return;
	bench_fail(b, "connection %u %s, %llu ms old: %s", c->number, when[c->state],
	    (unsigned long long)((bench_now_ns() - c->started_ns) / 1000000u), why);
	bench_close(b, c);
}

/* --- opening --- */

/* A token of this connection alone. */
static char *
own_token(struct bench *b, const struct bench_conn *c)
{
	char sub[32];
	char error[256] = "-c FILE is needed, with a secret";
	char all[] = "**";
	char *everything[] = {all};
	struct token_request q = {.sub = sub,
	    .iat = ctl_now(),
	    .with_grants = true,
	    .subscribe = {everything, 1},
	    .publish = {everything, 1}};
	char *token = NULL;

	(void)snprintf(sub, sizeof(sub), "bench-%u", c->number);
	q.exp = q.iat + 3600;
	if (b->config != NULL) {
		q.issuer = b->config->auth.issuer;
		q.audience = b->config->auth.audience;
		token = token_sign(&b->config->auth, &q, error, sizeof(error));
	}
	if (token == NULL)
		bench_fail(b, "no token for connection %u: %s", c->number, error);
	return token;
}

static void
add_path(struct bench *b, const struct bench_conn *c)
{
	struct buf *s = &b->scratch;

	if (c->kind == BENCH_CHAT && c->after > 0)
		(void)buf_printf(s, "GET /chat?after=%llu&room=%s-%u", (unsigned long long)c->after,
		    b->o.room, c->room);
	else if (c->kind == BENCH_CHAT)
		(void)buf_printf(s, "GET /chat?last=0&room=%s-%u", b->o.room, c->room);
	else if (c->kind == BENCH_LOBBY)
		(void)buf_add_str(s, "GET /chat");
	else if (c->kind == BENCH_EVENTS)
		(void)buf_printf(s, "GET /events?topic=chat/%s-%u", b->o.room, c->room);
	else
		(void)buf_add_str(s, "GET /echo");
	(void)buf_printf(s, " HTTP/1.1\r\nHost: %s\r\n", b->host);
}

static void
send_handshake(struct bench *b, struct bench_conn *c)
{
	struct buf *s = &b->scratch;
	const char *token = b->target.token;

	if (b->o.has_token_each && c->token == NULL)
		c->token = own_token(b, c);
	if (c->token != NULL)
		token = c->token;
	buf_reset(s);
	add_path(b, c);
	if (token != NULL)
		(void)buf_printf(s, "Authorization: Bearer %s\r\n", token);
	if (c->kind == BENCH_EVENTS)
		(void)buf_add_str(s, "Accept: text/event-stream\r\n\r\n");
	else
		(void)ws_client_add_handshake(s, slice_str(ws_key), b->inflater != NULL);
	if (s->failed)
		bench_fail(b, "no memory");
	bench_send_raw(b, c, buf_slice(s));
}

void
bench_open(struct bench *b, struct bench_conn *c)
{
	const struct addrinfo *a = b->address;
	int on = 1;

	c->started_ns = bench_now_ns();
	c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
	if (c->fd < 0) {
		bench_fail(b, "socket: %s", strerrordesc_np(errno));
		return;
	}
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* slower without */
	c->state = BENCH_CONNECTING;
	c->wants_write = true;
	b->n_opening++;
	watch(b, c, EPOLL_CTL_ADD);
	if (connect(c->fd, a->ai_addr, a->ai_addrlen) != 0 && errno != EINPROGRESS)
		ended(b, c, strerrordesc_np(errno));
}

static void
opened(struct bench *b, struct bench_conn *c)
{
	c->state = BENCH_OPEN;
	b->n_opening--;
	b->n_open++;
	if (b->on_open != NULL)
		b->on_open(b, c);
}

static void
connected(struct bench *b, struct bench_conn *c)
{
	int error = 0;
	socklen_t n = sizeof(error);

	(void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n); /* then error stays 0 */
	if (error != 0) {
		ended(b, c, strerrordesc_np(error));
		return;
	}
	c->wants_write = false;
	watch(b, c, EPOLL_CTL_MOD);
	if (c->kind == BENCH_CALLS) {
		opened(b, c);
		return;
	}
	c->state = BENCH_HANDSHAKE;
	send_handshake(b, c);
}

void
bench_open_all(struct bench *b, size_t from, size_t to)
{
	uint64_t limit = bench_now_ns() + OPEN_LIMIT_NS;

	while ((from < to || b->n_opening > 0) && !b->failed) {
		while (from < to && b->n_opening < OPENING_MAX && !b->failed)
			bench_open(b, &b->conns[from++]);
		bench_turn(b, limit);
		if (bench_now_ns() > limit)
			bench_fail(b, "%zu of %zu connections are open after 60 s", b->n_open, to);
	}
}

/* --- output --- */

static void
mark_dirty(struct bench *b, struct bench_conn *c)
{
	if (c->is_dirty)
		return;
	c->is_dirty = true;
	b->dirty[b->n_dirty++] = c;
}

void
bench_send_raw(struct bench *b, struct bench_conn *c, struct slice bytes)
{
	if (buf_add_slice(&c->out, bytes) < 0)
		bench_fail(b, "no memory");
	mark_dirty(b, c);
}

void
bench_send(struct bench *b, struct bench_conn *c, bool is_binary, struct slice payload)
{
	static const uint8_t key[4] = {0x5a, 0x17, 0xc3, 0x8e};

	if (ws_client_encode(&c->out, is_binary ? WS_BINARY : WS_TEXT, key, payload) < 0)
		bench_fail(b, "no memory");
	mark_dirty(b, c);
}

static void
flush(struct bench *b, struct bench_conn *c)
{
	bool wants_write;
	ssize_t n;

	if (c->fd < 0 || c->out.n == 0)
		return;
	n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN) {
		ended(b, c, strerrordesc_np(errno));
		return;
	}
	if (n > 0)
		buf_consume(&c->out, (size_t)n);
	wants_write = c->out.n > 0;
	if (wants_write != c->wants_write) {
		c->wants_write = wants_write;
		watch(b, c, EPOLL_CTL_MOD);
	}
}

/* --- input --- */

/* A number behind a header's name in an answer's head; absent: 0. */
static size_t
header_number(struct slice head, const char *name)
{
	const char *at = memmem(head.p, head.n, name, strlen(name));

	return at == NULL ? 0 : (size_t)strtoull(at + strlen(name), NULL, 10);
}

/* The head of an answer that ends at an empty line; its length, or 0 while it is not whole. */
static size_t
head_end(struct slice in)
{
	const char *end = memmem(in.p, in.n, "\r\n\r\n", 4);

	return end == NULL ? 0 : (size_t)(end - in.p) + 4;
}

static size_t
take_handshake(struct bench *b, struct bench_conn *c, struct slice in)
{
	size_t n = head_end(in);
	struct slice head = slice_of(in.p, n);
	bool is_taken = c->kind == BENCH_EVENTS ? slice_has_prefix(head, SLICE("HTTP/1.1 200 "))
						: ws_client_is_accepted(head, slice_str(ws_answer));

	if (n == 0)
		return 0;
	if (!is_taken && lost(b, c))
		return in.n;
	if (!is_taken) {
		bench_fail(b, "connection %u: the answer is %.*s", c->number,
		    (int)min_size(in.n, 700), in.p);
		bench_close(b, c);
		return in.n;
	}
	if (b->inflater != NULL && c->kind != BENCH_EVENTS &&
	    memmem(head.p, head.n, "permessage-deflate", 18) == NULL)
		bench_fail(b, "the daemon does not compress");
	if (c->kind == BENCH_CHAT || c->kind == BENCH_LOBBY)
		c->state = BENCH_JOINING;
	else
		opened(b, c);
	return n;
}

static void
on_frame(struct bench *b, struct bench_conn *c, unsigned opcode, struct slice payload)
{
	if (opcode == WS_CLOSE && lost(b, c))
		return;
	if (opcode == WS_CLOSE) {
		bench_fail(b, "connection %u: closed by the daemon: %.*s", c->number,
		    payload.n < 2 ? 0 : (int)payload.n - 2, payload.p + (payload.n < 2 ? 0 : 2));
		bench_close(b, c);
	} else if (opcode == WS_PING) {
		/* an unmasked pong would be an error; an empty one is a sign of life too */
		bench_send_raw(b, c, SLICE("\x8a\x80\0\0\0\0"));
	} else if (c->state == BENCH_JOINING) {
		if (slice_has_prefix(payload, c->kind == BENCH_LOBBY
						  ? SLICE("{\"type\":\"welcome\"")
						  : SLICE("{\"type\":\"joined\"")))
			opened(b, c);
		else if (slice_has_prefix(payload, SLICE("{\"type\":\"error\"")))
			bench_fail(b, "%.*s", SLICE_ARG(payload));
	} else if (opcode == WS_TEXT || opcode == WS_BINARY) {
		b->on_message(b, c, payload);
	}
}

/*
 * A compressed frame (RFC 7692, 6). Echoes are compared whole, and each sixteenth message; of the others
 * the beginning is enough, where the number is: this one process stands for many machines, and has
 * only what processor the daemon leaves.
 */
static int
inflate_frame(struct bench *b, const struct bench_conn *c, struct slice *payload)
{
	bool is_whole = c->kind == BENCH_ECHO || b->n_inflated++ % WHOLE_EVERY == 0;
	int r;

	if (b->inflater == NULL)
		return -EINVAL;
	buf_reset(&b->inflated);
	b->inflated.max = is_whole ? REST_MAX : BEGINNING;
	r = ws_inflate(b->inflater, *payload, &b->inflated);
	*payload = buf_slice(&b->inflated);
	return r == -EMSGSIZE && !is_whole ? 0 : r;
}

static void
on_whole_frame(struct bench *b, struct bench_conn *c, unsigned first, struct slice payload)
{
	if ((first & WS_CLIENT_RSV1) != 0 && inflate_frame(b, c, &payload) < 0) {
		ended(b, c, "a frame that cannot be inflated");
		return;
	}
	on_frame(b, c, first & 0x0f, payload);
}

static size_t
take_frame(struct bench *b, struct bench_conn *c, struct slice in)
{
	struct ws_client_frame f;
	ssize_t n = ws_client_decode(in, REST_MAX - WS_SERVER_HEAD, &f);

	if (n < 0) {
		ended(b, c, "a frame that is too long, or no server's");
		return in.n;
	}
	if (n > 0)
		on_whole_frame(b, c, f.first, f.payload);
	return (size_t)n;
}

static size_t
take_block(struct bench *b, struct bench_conn *c, struct slice in)
{
	const char *end = memmem(in.p, in.n, "\n\n", 2);
	size_t n = end == NULL ? 0 : (size_t)(end - in.p) + 2;

	if (n > 0)
		b->on_message(b, c, slice_of(in.p, n));
	return n;
}

static size_t
take_answer(struct bench *b, struct bench_conn *c, struct slice in)
{
	size_t n = head_end(in);
	size_t body;

	if (n == 0)
		return 0;
	body = header_number(slice_of(in.p, n), "\r\nContent-Length:");
	if (in.n - n < body)
		return 0;
	if (slice_has_prefix(in, SLICE("HTTP/1.1 200 ")))
		b->on_message(b, c, slice_of(in.p + n, body));
	else
		bench_fail(b, "the answer is %.*s", (int)min_size(in.n, 700), in.p);
	return n + body;
}

static size_t
take(struct bench *b, struct bench_conn *c, struct slice in)
{
	if (c->state == BENCH_HANDSHAKE)
		return take_handshake(b, c, in);
	switch ((enum bench_kind)c->kind) {
	case BENCH_CHAT:
	case BENCH_LOBBY:
	case BENCH_ECHO:
		return take_frame(b, c, in);
	case BENCH_EVENTS:
		return take_block(b, c, in);
	case BENCH_CALLS:
		return take_answer(b, c, in);
	}
	return 0;
}

static void
keep_rest(struct bench *b, struct bench_conn *c, struct slice rest)
{
	char *kept = NULL;

	if (rest.n > 0) {
		kept = rest.n > REST_MAX ? NULL : mem_alloc(rest.n);
		if (kept == NULL) {
			bench_fail(b, "no memory");
			return;
		}
		memcpy(kept, rest.p, rest.n);
	}
	mem_free(c->rest);
	c->rest = kept;
	c->rest_n = rest.n;
}

static void
on_readable(struct bench *b, struct bench_conn *c)
{
	size_t have = c->rest_n;
	size_t at = 0;
	size_t used = 1;
	ssize_t got;

	if (have > 0)
		memcpy(b->read_buffer, c->rest, have);
	got = recv(c->fd, b->read_buffer + have, READ_BYTES, 0);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		ended(b, c, got == 0 ? "ended by the daemon" : strerrordesc_np(errno));
		return;
	}
	b->now_ns = bench_now_ns();
	have += (size_t)got;
	while (at < have && used > 0 && c->fd >= 0 && !b->failed) {
		used = take(b, c, slice_of(b->read_buffer + at, have - at));
		at += used;
	}
	if (c->fd >= 0 && (at < have || c->rest_n > 0))
		keep_rest(b, c, slice_of(b->read_buffer + at, have - at));
}

void
bench_turn(struct bench *b, uint64_t until_ns)
{
	struct epoll_event events[EVENTS];
	uint64_t now = bench_now_ns();
	uint64_t wait = until_ns > now && !b->o.is_busy ? until_ns - now : 0;
	struct timespec limit = {(time_t)(wait / 1000000000u), (long)(wait % 1000000000u)};
	int n;

	for (size_t i = 0; i < b->n_dirty; i++) {
		b->dirty[i]->is_dirty = false;
		flush(b, b->dirty[i]);
	}
	b->n_dirty = 0;
	n = epoll_pwait2(b->epoll, events, EVENTS, &limit, NULL);
	for (int i = 0; i < n && !b->failed; i++) {
		struct bench_conn *c = events[i].data.ptr;

		if (c->state == BENCH_CONNECTING) {
			connected(b, c);
			continue;
		}
		if ((events[i].events & EPOLLOUT) != 0)
			flush(b, c);
		if (c->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
			on_readable(b, c);
	}
}
