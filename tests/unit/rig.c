#include "tests/unit/rig.h"

#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/log_private.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_token.h"

#define IDLE_ROUNDS 6     /* without a byte: then nothing moves any more */
#define WAIT_MS     20000 /* a store on disk may take, on a busy machine */

/* Allocations of the libraries fail, too; a sanitizer has an allocator of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define HAS_SANITIZER
#endif
#endif
/* The test's own allocations are none of its business; other threads are the daemon's. */
static _Thread_local bool is_test_thread;
static _Thread_local bool in_daemon;
static _Atomic bool libraries_fail;

#ifndef HAS_SANITIZER
static bool
is_failing(void)
{
	return atomic_load(&libraries_fail) && (in_daemon || !is_test_thread) && mem_is_failing();
}

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *p, size_t n);

void *
malloc(size_t n)
{
	if (is_failing()) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_malloc(n);
}

void *
calloc(size_t count, size_t n)
{
	if (is_failing()) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_calloc(count, n);
}

void *
realloc(void *p, size_t n)
{
	if (is_failing()) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_realloc(p, n);
}
#endif

void
rig_fail(const struct rig *r, const char *fmt, ...)
{
	char text[4000];
	va_list args;

	mem_fail_at(0);
	atomic_store(&libraries_fail, false);
	in_daemon = false;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	ck_abort_msg("%s: %s: %s", r->name, r->what, text);
}

bool
rig_has_failed(const struct rig *r)
{
	return mem_failures() != r->failures;
}

/* --- files --- */

static void
write_file(const struct rig *r, const char *name, const char *p, size_t n)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(p, 1, n, f), n);
	ck_assert_int_eq(fclose(f), 0);
}

static char *
token_for(const char *sub, const char *grants)
{
	char payload[512];

	(void)snprintf(payload, sizeof(payload),
	    "{\"sub\":\"%s\",\"name\":\"%c%s\",\"exp\":%lld,\"belfry\":%s}", sub, sub[0] - 32,
	    sub + 1, (long long)time(NULL) + 3600, grants);
	return make_token(HS256, payload);
}

void
rig_prepare(struct rig *r)
{
	static const char all[] =
	    "{\"subscribe\":[\"**\",\"user/{sub}\"],\"publish\":[\"**\",\"user/*\"],\"direct\":[\"*\"]}";
	char conf[2048];
	char *big = calloc(1, RIG_BIG);
	int n;

	ck_assert_ptr_nonnull(big);
	is_test_thread = true;
	cJSON_InitHooks(&(cJSON_Hooks){mem_alloc, mem_free});
	event_set_mem_functions(mem_alloc, mem_realloc, mem_free);
	(void)snprintf(r->dir, sizeof(r->dir), "/tmp/belfry-rig-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(r->dir));
	(void)snprintf(r->path, sizeof(r->path), "%s/s", r->dir);
	n = snprintf(conf, sizeof(conf),
	    "listen = ({ unix = \"s\"; mode = \"0600\"; });\nworkers = %d;\nweb = { root = \".\"; };\n"
	    "auth = { secret = \"%s\"; guests = true; guest_tokens_per_minute = 0; };\n"
	    "limits = { messages_per_second = 0; queue = \"32K\"; };\nlogging = { level = \"error\"; };\n"
	    "echo = true;\nstorage = { backend = \"%s\"; path = \"belfry.db\"; sync = \"off\"; };\ntopics = ( { match = \"few/*\"; history = 3; }, { match = \"live/*\"; history = 0; },\n"
	    "{ match = \"chat/*\"; history = 1000; presence = true; }, { match = \"**\"; history = 1000; } );\n",
	    RIG_WORKERS, SECRET, r->on_disk ? "sqlite" : "memory");
	ck_assert_int_lt(n, (int)sizeof(conf));
	write_file(r, "conf", conf, (size_t)n);
	write_file(r, "index.html", "<p>hello</p>", 12);
	memset(big, 'b', RIG_BIG);
	write_file(r, "big.bin", big, RIG_BIG);
	free(big);
	r->tokens[RIG_ADA] = token_for("ada", all);
	r->tokens[RIG_BOB] = token_for("bob", all);
	r->tokens[RIG_BOB_LESS] = token_for("bob", "{\"subscribe\":[\"chat/a\"],\"publish\":[]}");
	r->tokens[RIG_ADMIN] = token_for("root", "{\"role\":\"admin\"}");
}

static void
remove_files(const struct rig *r, const char *const *names, size_t n)
{
	char path[128];

	for (size_t i = 0; i < n; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", r->dir, names[i]);
		(void)unlink(path);
	}
}

static const char *const database[] = {
    "belfry.db", "belfry.db-wal", "belfry.db-shm", "belfry.db-lock"};

void
rig_finish(struct rig *r)
{
	static const char *const names[] = {"conf", "index.html", "big.bin", "s"};

	remove_files(r, names, ARRAY_LEN(names));
	remove_files(r, database, ARRAY_LEN(database));
	(void)rmdir(r->dir);
	for (size_t i = 0; i < RIG_TOKENS; i++)
		free(r->tokens[i]);
}

/* --- the daemon --- */

void
rig_open(struct rig *r)
{
	uint8_t key[32] = {1, 2, 3};
	struct config_error error;
	char conf[128];
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL); /* the one before left its signals blocked */

	(void)snprintf(conf, sizeof(conf), "%s/conf", r->dir);
	remove_files(r, database, ARRAY_LEN(database));
	for (size_t i = 0; i < RIG_CLIENTS; i++) {
		struct rig_client *c = &r->clients[i];

		c->fd = -1;
		c->has_ended = c->is_ws = c->is_deaf = c->is_strange = false;
		c->n = c->at = c->text_n = c->frames_at = 0;
		c->close_code = 0;
		c->text[0] = '\0';
	}
	r->n_said = r->n_listeners = 0;
	r->refs = 0;
	r->is_spoilt = r->only_own = false;
	r->what = "opening";
	r->setup = server_load(conf, key, &error);
	ck_assert_msg(r->setup != NULL, "%s:%u: %s", error.file, error.line, error.text);
	r->server = mem_calloc(1, sizeof(*r->server));
	ck_assert_ptr_nonnull(r->server);
	diag_init(&r->server->diag);
	memcpy(r->server->guest_key, key, sizeof(key));
	ck_assert_int_eq(server_open(r->server, r->setup, conf), 0);
	atomic_store(&r->server->is_ready, true);
	r->failures = mem_failures();
}

void
rig_close(struct rig *r)
{
	server_close(r->server);
	setup_unref(r->setup);
	mem_free(r->server);
}

/* --- reading --- */

static void
add_text(struct rig_client *c, const char *p, size_t n)
{
	if (c->text_n + n + 2 > sizeof(c->text)) {
		c->is_strange = true;
		return;
	}
	memcpy(c->text + c->text_n, p, n);
	c->text_n += n;
	c->text[c->text_n] = '\0';
}

/* One whole frame at the start of p, or 0. */
static size_t
read_frame(struct rig_client *c, const uint8_t *p, size_t n)
{
	uint64_t length;
	size_t head = 2;

	if (n < 2)
		return 0;
	length = p[1] & 127;
	if (length == 126)
		head = 4;
	else if (length == 127)
		head = 10;
	if (n < head)
		return 0;
	if (head > 2)
		length = 0;
	for (size_t i = 2; i < head; i++)
		length = length << 8 | p[i];
	if ((p[1] & 128) != 0 || length > sizeof(c->in))
		c->is_strange = true; /* a server masks nothing */
	if (c->is_strange || n - head < length)
		return 0;
	if (p[0] == (128 | WS_TEXT) || p[0] == (128 | WS_BINARY)) {
		add_text(c, (const char *)p + head, (size_t)length);
		add_text(c, "\n", 1);
	} else if (p[0] == (128 | 64 | WS_TEXT)) {
		add_text(c, "(deflated)\n", 11);
	} else if (p[0] == (128 | WS_CLOSE)) {
		c->close_code = length >= 2 ? p[head] << 8 | p[head + 1] : 1005;
		c->has_ended = true;
	} else if (p[0] != (128 | WS_PONG) && p[0] != (128 | WS_PING)) {
		c->is_strange = true;
	}
	return head + (size_t)length;
}

static void
read_frames(struct rig_client *c)
{
	size_t n;

	do {
		n = read_frame(c, (const uint8_t *)c->in + c->frames_at, c->n - c->frames_at);
		c->frames_at += n;
	} while (n > 0);
}

static bool
client_read(struct rig_client *c)
{
	ssize_t n;

	if (c->fd < 0 || c->is_deaf || c->has_ended)
		return false;
	if (c->n == sizeof(c->in)) {
		c->is_strange = true;
		return false;
	}
	n = recv(c->fd, c->in + c->n, sizeof(c->in) - c->n, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		c->has_ended = true;
		return true;
	}
	c->n += (size_t)n;
	if (c->is_ws)
		read_frames(c);
	return true;
}

/* An append waits for the store. */
static bool
is_writing(const struct rig *r)
{
	struct log *l = r->server->log;
	bool yes;

	log_lock(l);
	yes = l->promised > 0;
	log_unlock(l);
	return yes;
}

bool
rig_wait(struct rig *r, unsigned *waited)
{
	if (!r->on_disk || *waited >= WAIT_MS)
		return false;
	(void)usleep(1000);
	++*waited;
	return true;
}

void
rig_pump(struct rig *r)
{
	struct server *s = r->server;
	unsigned waited = 0;

	atomic_store(&libraries_fail, !r->only_own);
	for (unsigned idle = 0; idle < IDLE_ROUNDS; idle++) {
		in_daemon = true;
		if (event_base_loop(s->base, EVLOOP_ONCE | EVLOOP_NONBLOCK) < 0)
			rig_fail(r, "the main loop is broken");
		for (unsigned i = 0; i < s->n_workers; i++) {
			int more = worker_turn(&s->workers[i], false);

			if (more < 0)
				rig_fail(r, "a worker's loop is broken");
			if (more > 0)
				idle = 0;
		}
		in_daemon = false;
		for (size_t i = 0; i < RIG_CLIENTS; i++) {
			if (client_read(&r->clients[i]))
				idle = 0;
		}
		if (r->on_disk && is_writing(r) && rig_wait(r, &waited))
			idle = 0;
	}
}

/* --- connections --- */

void
rig_connect(struct rig *r, int client)
{
	struct rig_client *c = &r->clients[client];
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	if (c->fd >= 0 && !c->has_ended)
		return;
	rig_hang_up(r, client);
	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%s", r->path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(c->fd, 0);
	if (connect(c->fd, (const struct sockaddr *)&to, sizeof(to)) != 0)
		rig_fail(r, "cannot connect: %s", strerror(errno));
}

void
rig_hang_up(struct rig *r, int client)
{
	struct rig_client *c = &r->clients[client];

	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	c->has_ended = c->is_ws = c->is_deaf = false;
	c->n = c->at = c->frames_at = c->text_n = 0;
	c->text[0] = '\0';
	c->close_code = 0;
}

void
rig_send(struct rig *r, int client, const char *p, size_t n)
{
	struct rig_client *c = &r->clients[client];

	for (unsigned tries = 0; n > 0 && !c->has_ended && c->fd >= 0; tries++) {
		ssize_t sent = send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN) {
			rig_pump(r); /* what it said before it ended */
			c->has_ended = true;
			return;
		}
		if (sent > 0) {
			p += sent;
			n -= (size_t)sent;
		}
		if (sent < 0)
			rig_pump(r);
		if (tries > 10000)
			rig_fail(r, "the daemon does not read");
	}
}

static const char *
find(const char *p, size_t n, const char *text)
{
	return memmem(p, n, text, strlen(text));
}

/* The answer at c->at: 1; 0 not whole yet; -1 none that HTTP knows. */
static int
parse_answer(struct rig_client *c, bool is_head, struct rig_answer *out)
{
	const char *p = c->in + c->at;
	size_t n = c->n - c->at;
	const char *end = find(p, n, "\r\n\r\n");
	const char *length;
	size_t head_n;

	*out = (struct rig_answer){0};
	if (end == NULL)
		return 0;
	head_n = (size_t)(end - p) + 4;
	if (n < 12 || memcmp(p, "HTTP/1.1 ", 9) != 0)
		return -1;
	out->status = atoi(p + 9);
	out->head = p;
	out->body = p + head_n;
	length = find(p, head_n, "Content-Length: ");
	if (length != NULL)
		out->n = (size_t)atol(length + 16);
	else if (out->status >= 200 && out->status != 204 && out->status != 304)
		out->n = n - head_n; /* a stream */
	if (is_head || out->status == 304)
		out->n = 0;
	if (n < head_n + out->n)
		return 0;
	c->at += head_n + out->n;
	return 1;
}

static void
begin(struct rig *r)
{
	r->failures = mem_failures();
}

struct rig_answer
rig_ask(struct rig *r, int client, int wanted, const char *fmt, ...)
{
	struct rig_client *c = &r->clients[client];
	struct rig_answer a;
	static char request[64 * 1024];
	va_list args;
	unsigned waited = 0;
	int got;
	int n;

	begin(r);
	va_start(args, fmt);
	n = vsnprintf(request, sizeof(request), fmt, args);
	va_end(args);
	ck_assert_int_lt(n, (int)sizeof(request));
	rig_connect(r, client);
	rig_send(r, client, request, (size_t)n);
	do {
		rig_pump(r);
		got = parse_answer(c, memcmp(request, "HEAD", 4) == 0, &a);
	} while (got == 0 && !c->has_ended && rig_wait(r, &waited));
	if (got < 0)
		rig_fail(r, "no HTTP: %.200s", c->in + c->at);
	if (got == 0 && !c->has_ended)
		rig_fail(r, "no answer to %.60s, only %zu bytes: %.200s", request, c->n - c->at,
		    c->in + c->at);
	if (got == 0 && c->n > c->at)
		rig_fail(r, "half an answer to %.60s: %.300s", request, c->in + c->at);
	if (got == 1 && a.status == wanted)
		return a;
	if (!rig_has_failed(r))
		rig_fail(r, "%.60s: %d, not %d, though nothing failed: %.500s", request, a.status,
		    wanted, a.body == NULL ? "" : a.body);
	if (got == 1 && a.status != 503 && a.status != 500)
		rig_fail(r, "%.60s: %d: %.500s", request, a.status, a.head);
	if (got == 1 && a.n > 0 && (a.body[0] != '{' || a.body[a.n - 1] != '}'))
		rig_fail(r, "half a refusal of %.60s: %.500s", request, a.head);
	if (got == 0)
		a = (struct rig_answer){0};
	r->is_spoilt = true;
	return a;
}

/* --- WebSocket and streams --- */

bool
rig_ws(struct rig *r, int client, enum rig_token token, const char *query, bool deflate)
{
	struct rig_client *c = &r->clients[client];
	struct rig_answer a;

	rig_hang_up(r, client);
	a = rig_ask(r, client, 101,
	    "GET /chat?%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	    "Sec-WebSocket-Protocol: belfry.v1, bearer.%s\r\n%s\r\n",
	    query, r->tokens[token],
	    deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
	if (a.status != 101)
		return false;
	if (find(a.head, (size_t)(a.body - a.head),
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") == NULL ||
	    find(a.head, (size_t)(a.body - a.head), "Sec-WebSocket-Protocol: belfry.v1\r\n") ==
		NULL ||
	    (find(a.head, (size_t)(a.body - a.head), "Sec-WebSocket-Extensions: ") != NULL) !=
		deflate)
		rig_fail(r, "a handshake is answered with %.500s", a.head);
	c->is_ws = true;
	c->frames_at = (size_t)(a.body - c->in);
	read_frames(c);
	c->is_json = find(query, strlen(query), "format=") == NULL;
	if (rig_has(r, client, "{\"type\":\"error\"")) { /* the room of the query */
		if (!rig_has_failed(r))
			rig_fail(r, "%s: %s", query, c->text);
		r->is_spoilt = true;
	}
	return !c->has_ended;
}

void
rig_frame(struct rig *r, int client, unsigned first_byte, const char *p, size_t n)
{
	static char frame[64 * 1024];
	static const uint8_t mask[4] = {1, 2, 3, 4};
	size_t head = 2;

	begin(r);
	ck_assert_uint_lt(n, sizeof(frame) - 8);
	frame[0] = (char)first_byte;
	frame[1] = (char)(128 | (n < 126 ? n : 126));
	if (n >= 126) {
		frame[2] = (char)(n >> 8);
		frame[3] = (char)n;
		head = 4;
	}
	memcpy(frame + head, mask, 4);
	for (size_t i = 0; i < n; i++)
		frame[head + 4 + i] = (char)(p[i] ^ mask[i % 4]);
	rig_send(r, client, frame, head + 4 + n);
	rig_pump(r);
}

bool
rig_say(struct rig *r, int client, const char *fmt, ...)
{
	char text[4096];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	ck_assert_int_lt(n, (int)sizeof(text));
	for (char *at = text; *at != '\0'; at++)
		*at = *at == '\'' ? '"' : *at;
	if (r->clients[client].fd < 0 || r->clients[client].has_ended)
		return false;
	rig_frame(r, client, 128 | WS_TEXT, text, (size_t)n);
	return !r->clients[client].has_ended;
}

bool
rig_stream(struct rig *r, int client, enum rig_token token, const char *path, const char *headers)
{
	struct rig_client *c = &r->clients[client];

	rig_hang_up(r, client);
	return rig_ask(r, client, 200,
		   "GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n%s\r\n", path,
		   r->tokens[token], headers)
		       .status == 200 &&
	       !c->has_ended;
}

static const char *
text_of(const struct rig_client *c, size_t *n)
{
	*n = c->is_ws ? c->text_n : c->n;
	return c->is_ws ? c->text : c->in;
}

size_t
rig_count(const struct rig *r, int client, const char *text)
{
	size_t left;
	const char *p = text_of(&r->clients[client], &left);
	size_t count = 0;

	for (const char *at; (at = find(p, left, text)) != NULL; count++) {
		left -= (size_t)(at - p) + 1;
		p = at + 1;
	}
	return count;
}

bool
rig_has(const struct rig *r, int client, const char *text)
{
	return rig_count(r, client, text) > 0;
}
