/*
 * The limit that the bench compares with: a loop that does nothing but take bytes and send bytes. It speaks just enough WebSocket, Server-Sent Events and HTTP
 * for `belfryctl bench`, checks nothing and keeps nothing. A frame is encoded once a message; then
 *
 *   plain      one send() a subscriber and message, as the message comes
 *   coalesced  what one pass over the sockets brought is sent by one send() a subscriber, in one long pass
 *
 * usage: floor plain|coalesced PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES (256 * 1024)
#define ROOMS      100000
#define MAX_FD     200000
#define EVENTS     256

enum kind {
	HEAD,
	CHAT,
	ECHO,
	STREAM
};

struct client {
	int fd;
	enum kind kind;
	bool is_sender; /* gets acks, not its own messages */
	unsigned room;
	char *rest; /* unfinished input */
	size_t rest_n;
};

struct bytes {
	char *p;
	size_t n;
	size_t cap;
};

struct room {
	struct client **members;
	size_t n;
	size_t cap;
	bool is_dirty;
	struct bytes frames; /* for WebSockets, not sent yet */
	struct bytes events; /* for streams */
};

struct floor {
	bool is_coalesced;
	int epoll;
	int listener;
	uint64_t id;
	struct client *clients; /* by descriptor */
	struct room *rooms;
	unsigned *dirty;
	size_t n_dirty;
	struct bytes json;
	char *in;
};

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void *
more(void *p, size_t n)
{
	p = realloc(p, n);
	if (p == NULL)
		die("realloc");
	return p;
}

static void
add(struct bytes *b, const void *p, size_t n)
{
	if (b->n + n > b->cap) {
		b->cap = (b->n + n) * 2;
		b->p = more(b->p, b->cap);
	}
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

/* A peer that is too slow is not this program's business: what it does not take shows as loss in the bench. */
static void
out(const struct client *c, const void *p, size_t n)
{
	if (send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN &&
	    errno != EPIPE && errno != ECONNRESET)
		die("send");
}

static void
add_frame(struct bytes *b, int first, const char *p, size_t n)
{
	unsigned char head[10] = {(unsigned char)first, (unsigned char)n};
	size_t head_n = 2;

	if (n > 65535) {
		head[1] = 127;
		for (size_t i = 0; i < 8; i++)
			head[2 + i] = (unsigned char)((uint64_t)n >> (8 * (7 - i)));
		head_n = 10;
	} else if (n > 125) {
		head[1] = 126;
		head[2] = (unsigned char)(n >> 8);
		head[3] = (unsigned char)n;
		head_n = 4;
	}
	add(b, head, head_n);
	add(b, p, n);
}

static void
leave(struct floor *f, struct client *c)
{
	struct room *r = &f->rooms[c->room];

	for (size_t i = 0; (c->kind == CHAT || c->kind == STREAM) && i < r->n; i++) {
		if (r->members[i] == c)
			r->members[i] = r->members[--r->n];
	}
	close(c->fd);
	free(c->rest);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
}

/* --- messages --- */

static void
flush_room(struct room *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct bytes *b = r->members[i]->kind == CHAT ? &r->frames : &r->events;

		if (!r->members[i]->is_sender)
			out(r->members[i], b->p, b->n);
	}
	r->frames.n = r->events.n = 0;
	r->is_dirty = false;
}

/* As many bytes as the daemon sends for the same message. */
static void
encode(struct floor *f, const struct client *from, const char *content, size_t n)
{
	char text[256];
	unsigned long long id = f->id++;
	struct room *r = &f->rooms[from->room];
	struct bytes *j = &f->json;

	j->n = 0;
	add(j, text,
	    (size_t)snprintf(text, sizeof(text),
		"{\"type\":\"chat\",\"id\":%llu,\"room\":\"bench-%u\",\"from\":{\"id\":\"belfryctl\","
		"\"name\":\"belfryctl\"},\"content\":",
		id, from->room));
	add(j, content, n);
	add(j, text, (size_t)snprintf(text, sizeof(text), ",\"time\":%llu}", id / 1000));
	add_frame(&r->frames, 0x81, j->p, j->n);
	add(&r->events, text,
	    (size_t)snprintf(text, sizeof(text), "event: chat\nid: %llu\ndata: ", id));
	add(&r->events, j->p, j->n);
	add(&r->events, "\n\n", 2);
}

static void
on_chat(struct floor *f, struct client *c, char *p, size_t n)
{
	static const char name[] = "\"content\":";
	char *content = memmem(p, n, name, sizeof(name) - 1);
	struct room *r = &f->rooms[c->room];
	char ack[128];
	struct bytes answer = {0};

	if (content == NULL)
		return;
	content += sizeof(name) - 1;
	encode(f, c, content, n - (size_t)(content - p) - 1);
	/* the daemon acknowledges too: one send() more */
	add_frame(&answer, 0x81, ack,
	    (size_t)snprintf(ack, sizeof(ack), "{\"type\":\"ack\",\"id\":%llu,\"duplicate\":false}",
		(unsigned long long)f->id));
	c->is_sender = true;
	out(c, answer.p, answer.n);
	free(answer.p);
	if (!f->is_coalesced) {
		flush_room(r);
	} else if (!r->is_dirty) {
		r->is_dirty = true;
		f->dirty[f->n_dirty++] = c->room;
	}
}

static void
unmask(char *p, size_t n, const char key[4])
{
	uint64_t wide;
	uint64_t eight;
	size_t i = 0;

	memcpy(&wide, key, 4);
	memcpy((char *)&wide + 4, key, 4);
	for (; i + 8 <= n; i += 8) {
		memcpy(&eight, p + i, 8);
		eight ^= wide;
		memcpy(p + i, &eight, 8);
	}
	for (; i < n; i++)
		p[i] ^= key[i & 3];
}

static size_t
take_frame(struct floor *f, struct client *c, char *p, size_t n)
{
	size_t head = 2;
	uint64_t length;

	if (n < 2)
		return 0;
	length = (unsigned char)p[1] & 0x7f;
	if (length == 126)
		head = 4;
	else if (length == 127)
		head = 10;
	if (n < head + 4)
		return 0;
	if (head > 2) {
		length = 0;
		for (size_t i = 2; i < head; i++)
			length = length << 8 | (unsigned char)p[i];
	}
	if (n - head - 4 < length)
		return 0;
	unmask(p + head + 4, length, p + head);
	if (c->kind == CHAT) {
		on_chat(f, c, p + head + 4, length);
	} else { /* the answer's head fits in front of its payload */
		memmove(p + 4, p, head);
		p[4 + 1] = (char)(p[4 + 1] & 0x7f);
		out(c, p + 4, head + length);
	}
	return head + 4 + length;
}

/* --- HTTP --- */

static void
join(struct floor *f, struct client *c, const char *head)
{
	const char *name = strstr(head, "bench-");
	struct room *r;

	c->room = name == NULL ? 0 : (unsigned)strtoul(name + 6, NULL, 10) % ROOMS;
	r = &f->rooms[c->room];
	if (r->n == r->cap) {
		r->cap = r->cap * 2 + 16;
		r->members = more(r->members, r->cap * sizeof(*r->members));
	}
	r->members[r->n++] = c;
}

static void
upgrade(struct floor *f, struct client *c, const char *head)
{
	/* the answer to the key that the bench sends */
	static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
				     "Connection: Upgrade\r\n"
				     "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
	static const char joined[] = "\x81\x11{\"type\":\"joined\"}";

	c->kind = strncmp(head, "GET /echo", 9) == 0 ? ECHO : CHAT;
	out(c, answer, sizeof(answer) - 1);
	if (c->kind == CHAT) {
		join(f, c, head);
		out(c, joined, sizeof(joined) - 1);
	}
}

static size_t
take_post(struct floor *f, struct client *c, const char *p, size_t head, size_t n)
{
	const char *length = memmem(p, head, "\r\nContent-Length:", 17);
	size_t body = length == NULL ? 0 : strtoul(length + 17, NULL, 10);
	char text[512];

	if (n - head < body)
		return 0;
	out(c, text,
	    (size_t)snprintf(text, sizeof(text),
		"HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 13:05:21 GMT\r\n"
		"X-Request-Id: 0001000000300003\r\nContent-Type: application/json\r\n"
		"X-Content-Type-Options: nosniff\r\nVary: Origin\r\nCache-Control: no-store\r\n"
		"Content-Length: 57\r\n\r\n{\"id\":%llu,\"topic\":\"bench\",\"duplicate\":false}",
		(unsigned long long)f->id++));
	return head + body;
}

static size_t
take_head(struct floor *f, struct client *c, char *p, size_t n)
{
	static const char stream[] =
	    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: floor\n\n";
	char *end = memmem(p, n, "\r\n\r\n", 4);
	size_t head;

	if (end == NULL)
		return 0;
	head = (size_t)(end - p) + 4;
	if (strncmp(p, "POST", 4) == 0)
		return take_post(f, c, p, head, n);
	*end = '\0';
	if (strncmp(p, "GET /events", 11) == 0) {
		c->kind = STREAM;
		out(c, stream, sizeof(stream) - 1);
		join(f, c, p);
	} else {
		upgrade(f, c, p);
	}
	return head;
}

/* --- the loop --- */

static void
on_readable(struct floor *f, struct client *c)
{
	size_t have = c->rest_n;
	size_t at = 0;
	size_t used = 1;
	ssize_t got;

	if (have > 0)
		memcpy(f->in, c->rest, have);
	got = recv(c->fd, f->in + have, READ_BYTES, MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		leave(f, c);
		return;
	}
	have += (size_t)got;
	while (at < have && used > 0) {
		used = c->kind == HEAD ? take_head(f, c, f->in + at, have - at)
				       : take_frame(f, c, f->in + at, have - at);
		at += used;
	}
	c->rest_n = have - at;
	if (c->rest_n > 0) {
		c->rest = more(c->rest, c->rest_n);
		memcpy(c->rest, f->in + at, c->rest_n);
	}
}

static void
on_accept(struct floor *f)
{
	int on = 1;
	int fd;

	while ((fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

		if (fd >= MAX_FD)
			die("too many connections");
		f->clients[fd] = (struct client){.fd = fd};
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &e) != 0)
			die("epoll_ctl");
	}
}

static void
start(struct floor *f, unsigned port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event e = {.events = EPOLLIN};
	struct rlimit limit;
	int on = 1;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(f->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(f->listener, (struct sockaddr *)&a, sizeof(a)) != 0 ||
	    listen(f->listener, 1024) != 0)
		die("listen");
	f->epoll = epoll_create1(EPOLL_CLOEXEC);
	e.data.fd = f->listener;
	if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->listener, &e) != 0)
		die("epoll_ctl");
	puts("ready");
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	struct floor f = {.id = 1795266321451000};
	struct epoll_event events[EVENTS];

	if (argc != 3 || (strcmp(argv[1], "plain") != 0 && strcmp(argv[1], "coalesced") != 0)) {
		fprintf(stderr, "usage: floor plain|coalesced PORT\n");
		return 64;
	}
	f.is_coalesced = strcmp(argv[1], "coalesced") == 0;
	f.clients = calloc(MAX_FD, sizeof(*f.clients));
	f.rooms = calloc(ROOMS, sizeof(*f.rooms));
	f.dirty = calloc(ROOMS, sizeof(*f.dirty));
	f.in = malloc(READ_BYTES * 8);
	if (f.clients == NULL || f.rooms == NULL || f.dirty == NULL || f.in == NULL)
		die("malloc");
	start(&f, (unsigned)strtoul(argv[2], NULL, 10));
	for (;;) {
		int n = epoll_wait(f.epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == f.listener)
				on_accept(&f);
			else
				on_readable(&f, &f.clients[events[i].data.fd]);
		}
		for (size_t i = 0; i < f.n_dirty; i++)
			flush_room(&f.rooms[f.dirty[i]]);
		f.n_dirty = 0;
	}
}
