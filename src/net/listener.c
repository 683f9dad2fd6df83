#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/diag.h"
#include "base/mem.h"

#define BACKLOG        4096
#define ACCEPTS_A_TURN 64
#define TOLD_EVERY_MS  10000 /* that accepting pauses */
#define SOCKETS_MAX    128   /* 64 listeners, two addresses for localhost */

struct listening {
	struct event event;
	struct listeners *all;
	int fd;
	unsigned index; /* of the listener in the configuration */
	unsigned port;
	bool is_unix;
	bool is_loopback;
	bool is_paused; /* not accepting until the next tick */
	char address[108];
};

struct listeners {
	struct listening sockets[SOCKETS_MAX];
	size_t n;
	struct event_base *base; /* NULL: not started */
	struct diag *diag;
	struct listener_ops ops;
	uint64_t told_ms;  /* monotonic, when it was last told that accepting pauses; 0: never */
	uint64_t short_ms; /* since when something is short; 0: nothing is */
	bool is_told;      /* of this time */
};

union address {
	struct sockaddr any;
	struct sockaddr_in four;
	struct sockaddr_in6 six;
	struct sockaddr_un local;
};

/* --- binding --- */

static int
listen_on(const struct sockaddr *address, socklen_t n, int v6_only)
{
	int on = 1;
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int saved;

	if (fd < 0)
		return -errno;
	if (address->sa_family != AF_UNIX)
		/* a failure shows in bind */
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only));
	if (bind(fd, address, n) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	saved = errno;
	(void)close(fd);
	return -saved;
}

static struct listening *
add_socket(struct listeners *l, int fd, unsigned index)
{
	struct listening *s = &l->sockets[l->n++];

	s->all = l;
	s->fd = fd;
	s->index = index;
	return s;
}

static unsigned
bound_port(int fd)
{
	union address address = {0};
	socklen_t n = sizeof(address);

	if (getsockname(fd, &address.any, &n) != 0)
		return 0;
	return ntohs(
	    address.any.sa_family == AF_INET6 ? address.six.sin6_port : address.four.sin_port);
}

/* One numeric address. 0 or -errno. */
static int
open_address(struct listeners *l, const char *address, unsigned port, unsigned index)
{
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	struct listening *s;
	bool is_loopback;
	int fd;

	if (inet_pton(AF_INET, address, &four.sin_addr) == 1) {
		fd = listen_on((const struct sockaddr *)&four, sizeof(four), 0);
		is_loopback = (ntohl(four.sin_addr.s_addr) >> 24) == 127;
	} else if (inet_pton(AF_INET6, address, &six.sin6_addr) == 1) {
		fd = listen_on((const struct sockaddr *)&six, sizeof(six),
		    !IN6_IS_ADDR_UNSPECIFIED(&six.sin6_addr));
		is_loopback = IN6_IS_ADDR_LOOPBACK(&six.sin6_addr);
	} else {
		return -EINVAL;
	}
	if (fd < 0)
		return fd;
	s = add_socket(l, fd, index);
	s->port = bound_port(fd);
	s->is_loopback = is_loopback;
	(void)snprintf(s->address, sizeof(s->address), "%s", address);
	return 0;
}

/*
 * Both loopbacks; a machine without one of the families has the other. Port 0: the second takes
 * the first one's choice.
 */
static int
open_localhost(struct listeners *l, unsigned port, unsigned index)
{
	int r = open_address(l, "127.0.0.1", port, index);
	int second;

	if (r == 0 && port == 0)
		port = l->sockets[l->n - 1].port;
	if (r == -EADDRINUSE)
		return r;
	second = open_address(l, "::1", port, index);
	if (second == -EADDRINUSE)
		return second;
	return r == 0 || second == 0 ? 0 : r;
}

static int
open_unix(struct listeners *l, const struct config_listener *c, unsigned index)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct listening *s;
	struct stat st;
	int fd;

	if (strlen(c->unix_path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", c->unix_path);
	/* what a daemon left that did not end well: a socket nobody listens on */
	if (lstat(c->unix_path, &st) == 0) {
		int probe;
		bool is_alive;

		if (!S_ISSOCK(st.st_mode))
			return -ENOTSOCK;
		probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		is_alive = probe >= 0 &&
			   connect(probe, (const struct sockaddr *)&address, sizeof(address)) == 0;
		if (probe >= 0)
			(void)close(probe);
		if (is_alive)
			return -EADDRINUSE;
		(void)unlink(c->unix_path);
	}
	fd = listen_on((const struct sockaddr *)&address, sizeof(address), 0);
	if (fd < 0)
		return fd;
	if (chmod(c->unix_path, c->mode) != 0) {
		int saved = errno;

		(void)close(fd);
		(void)unlink(c->unix_path);
		return -saved;
	}
	s = add_socket(l, fd, index);
	s->is_unix = true;
	(void)snprintf(s->address, sizeof(s->address), "%s", c->unix_path);
	return 0;
}

static void
explain(const struct config_listener *c, int status, char *error, size_t n)
{
	char where[160];
	int at = snprintf(error, n, "%s:%u: ", c->file == NULL ? "" : c->file, c->line);

	if (at < 0 || (size_t)at >= n)
		return; /* a name that fills it */
	error += at;
	n -= (size_t)at;
	if (c->unix_path != NULL)
		(void)snprintf(where, sizeof(where), "%s", c->unix_path);
	else
		(void)snprintf(where, sizeof(where), "%s port %u", c->address, c->port);
	if (status == -EADDRINUSE)
		(void)snprintf(error, n,
		    "cannot listen on %s: it is in use by another program; stop that or choose another %s",
		    where, c->unix_path != NULL ? "path" : "port");
	else if (status == -ENOTSOCK)
		(void)snprintf(error, n,
		    "cannot listen on %s: it is there and is no socket; move it away or choose another path",
		    where);
	else
		(void)snprintf(error, n, "cannot listen on %s: %s", where, strerror(-status));
}

struct listeners *
listeners_open(const struct config *c, char *error, size_t error_n)
{
	struct listeners *l = mem_calloc(1, sizeof(*l));

	if (l == NULL) {
		(void)snprintf(error, error_n, "no memory");
		return NULL;
	}
	for (unsigned i = 0; i < c->n_listeners && l->n + 2 <= SOCKETS_MAX; i++) {
		const struct config_listener *at = &c->listeners[i];
		int r;

		if (at->unix_path != NULL)
			r = open_unix(l, at, i);
		else if (strcmp(at->address, "localhost") == 0)
			r = open_localhost(l, at->port, i);
		else
			r = open_address(l, at->address, at->port, i);
		if (r < 0) {
			explain(at, r, error, error_n);
			listeners_free(l);
			return NULL;
		}
	}
	return l;
}

/* --- accepting --- */

/*
 * Errors that belong to the one connection that was being accepted (accept(2) hands on what its
 * network has noted): the next may be sound.
 */
static bool
is_of_the_peer(int error)
{
	static const int errors[] = {EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, ENOPROTOOPT,
	    EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, ETIMEDOUT};

	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		if (error == errors[i])
			return true;
	}
	return false;
}

/*
 * Out of descriptors or memory: a moment's rest, or the loop would spin on the same connection. Who
 * waits stays in the kernel's queue. It is told once in a while only.
 */
static void
pause_accepting(struct listening *s, int error)
{
	struct listeners *l = s->all;
	uint64_t now_ms = clock_mono_us() / 1000;

	(void)event_del(&s->event);
	s->is_paused = true;
	if (l->short_ms == 0) {
		l->short_ms = now_ms;
		l->is_told = false;
	}
	if (l->told_ms != 0 && now_ms - l->told_ms < TOLD_EVERY_MS)
		return;
	l->told_ms = now_ms;
	l->is_told = true;
	diag_log(
	    l->diag, DIAG_WARNING, "server.accept", "state=paused error=\"%s\"", strerror(error));
}

/* All that waited are in. */
static void
note_recovery(struct listeners *l)
{
	if (l->short_ms == 0)
		return;
	if (l->is_told)
		diag_log(l->diag, DIAG_NOTICE, "server.accept", "state=goes_on after_ms=%llu",
		    (unsigned long long)(clock_mono_us() / 1000 - l->short_ms));
	l->short_ms = 0;
}

void
listeners_tick(struct listeners *l)
{
	for (size_t i = 0; l != NULL && i < l->n; i++) {
		struct listening *s = &l->sockets[i];

		if (s->is_paused) /* a failure tries again at the next tick */
			s->is_paused = event_add(&s->event, NULL) != 0;
	}
}

static void
fill_peer(const struct listening *s, int fd, const union address *from, struct net_accepted *a)
{
	a->fd = fd;
	a->listener = s->index;
	a->is_unix = s->is_unix;
	a->is_loopback_listener = s->is_loopback;
	if (s->is_unix) {
		struct ucred peer = {.uid = UINT32_MAX, .gid = UINT32_MAX};
		socklen_t n = sizeof(peer);

		(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n); /* nobody, if it fails */
		a->uid = peer.uid;
		a->gid = peer.gid;
	} else if (from->any.sa_family == AF_INET6) {
		a->address = from->six.sin6_addr;
	} else {
		a->address.s6_addr[10] = 0xff;
		a->address.s6_addr[11] = 0xff;
		memcpy(&a->address.s6_addr[12], &from->four.sin_addr, 4);
	}
}

static void
on_acceptable(evutil_socket_t listening_fd, short what, void *arg)
{
	struct listening *s = arg;

	(void)what;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		union address from = {0};
		struct net_accepted a = {0};
		socklen_t n = sizeof(from);
		int fd = accept4(listening_fd, &from.any, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && is_of_the_peer(errno))
			continue;
		if (fd < 0) {
			if (errno == EAGAIN)
				note_recovery(s->all);
			else
				pause_accepting(s, errno);
			return;
		}
		fill_peer(s, fd, &from, &a);
		s->all->ops.accepted(s->all->ops.ctx, &a);
	}
}

int
listeners_start(
    struct listeners *l, struct event_base *base, struct diag *diag, const struct listener_ops *ops)
{
	l->base = base;
	l->diag = diag;
	l->ops = *ops;
	for (size_t i = 0; i < l->n; i++) {
		struct listening *s = &l->sockets[i];

		if (event_assign(&s->event, base, s->fd, EV_READ | EV_PERSIST, on_acceptable, s) !=
			0 ||
		    event_add(&s->event, NULL) != 0)
			return -ENOMEM;
		ops->bound(ops->ctx, s->address, s->port);
	}
	return 0;
}

void
listeners_free(struct listeners *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->n; i++) {
		struct listening *s = &l->sockets[i];

		if (l->base != NULL)
			(void)event_del(&s->event);
		(void)close(s->fd);
		if (s->is_unix)
			(void)unlink(s->address);
	}
	mem_free(l);
}
