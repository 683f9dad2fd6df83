/* net/listener: accepting when the kernel has something against it. */
#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/diag.h"
#include "tests/unit/support_run.h"

/* --- accept4, which fails as it is told --- */

static int errors[300]; /* of the next calls; 0: the real one */
static size_t n_errors;
static size_t n_calls;

int
accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict n, int flags)
{
	size_t call = n_calls++;

	if (call < n_errors && errors[call] != 0) {
		errno = errors[call];
		return -1;
	}
	return (int)syscall(SYS_accept4, fd, address, n, flags);
}

static void
fail_with(int error, size_t times)
{
	for (size_t i = 0; i < times; i++)
		errors[i] = error;
	n_errors = times;
	n_calls = 0;
}

/* --- a listener and its log --- */

struct scene {
	struct event_base *base;
	struct listeners *l;
	struct diag diag;
	int log[2];
	unsigned port;
	unsigned n_accepted;
	int clients[4];
	unsigned n_clients;
};

static void
on_accepted(void *ctx, const struct net_accepted *a)
{
	struct scene *s = ctx;

	s->n_accepted++;
	ck_assert_int_eq(close(a->fd), 0);
}

static void
on_bound(void *ctx, const char *address, unsigned port)
{
	struct scene *s = ctx;

	ck_assert_str_eq(address, "127.0.0.1");
	s->port = port;
}

static void
begin(struct scene *s)
{
	struct config_listener at = {.address = (char *)(uintptr_t) "127.0.0.1"};
	struct config c = {.listeners = &at, .n_listeners = 1};
	struct listener_ops ops = {s, on_accepted, on_bound};
	char error[256];

	*s = (struct scene){.base = event_base_new()};
	ck_assert_int_eq(pipe(s->log), 0);
	diag_init(&s->diag);
	s->diag.fd = s->log[1];
	s->l = listeners_open(&c, error, sizeof(error));
	ck_assert_ptr_nonnull(s->l);
	ck_assert_int_eq(listeners_start(s->l, s->base, &s->diag, &ops), 0);
}

static void
end(struct scene *s)
{
	for (unsigned i = 0; i < s->n_clients; i++)
		(void)close(s->clients[i]);
	listeners_free(s->l);
	event_base_free(s->base);
	(void)close(s->log[0]);
	(void)close(s->log[1]);
}

static void
knock(struct scene *s)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)s->port),
	    .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	s->clients[s->n_clients++] = fd;
}

static void
turn(const struct scene *s, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		ck_assert_int_ge(event_base_loop(s->base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
}

/* What the log has, and how many lines. */
static unsigned
read_log(const struct scene *s, char *text, size_t size)
{
	unsigned lines = 0;
	ssize_t n;

	ck_assert_int_eq(write(s->log[1], "", 1), 1); /* so that there is something to read */
	n = read(s->log[0], text, size - 1);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	for (ssize_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	return lines;
}

START_TEST(exhaustion)
{
	static const int all[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EINVAL};
	struct scene s;
	char text[4096];

	begin(&s);
	fail_with(all[_i], 50);
	knock(&s);
	turn(&s, 100);
	ck_assert_uint_eq(n_calls, 1); /* it does not spin */
	for (unsigned i = 2; i <= 50; i++) {
		listeners_tick(s.l);
		turn(&s, 3);
		ck_assert_uint_eq(n_calls, i);
	}
	ck_assert_uint_eq(s.n_accepted, 0);
	ck_assert_uint_eq(read_log(&s, text, sizeof(text)), 1); /* and is told once */
	ck_assert_ptr_nonnull(strstr(text, "warning server.accept state=paused error=\""));
	ck_assert_ptr_nonnull(strstr(text, strerror(all[_i])));
	knock(&s);
	listeners_tick(s.l);
	turn(&s, 3);
	ck_assert_uint_eq(s.n_accepted, 2);
	ck_assert_uint_eq(read_log(&s, text, sizeof(text)), 1);
	ck_assert_ptr_nonnull(strstr(text, "notice  server.accept state=goes_on after_ms="));
	/* again at once: not told again */
	fail_with(all[_i], 1);
	knock(&s);
	turn(&s, 3);
	listeners_tick(s.l);
	turn(&s, 3);
	ck_assert_uint_eq(s.n_accepted, 3);
	ck_assert_uint_eq(read_log(&s, text, sizeof(text)), 0);
	end(&s);
}
END_TEST

START_TEST(of_one_connection)
{
	static const int all[] = {ECONNABORTED, EINTR, EPROTO, EPERM, ENETDOWN, EHOSTUNREACH,
	    ENETUNREACH, ETIMEDOUT, EOPNOTSUPP};
	struct scene s;
	char text[4096];

	begin(&s);
	fail_with(all[_i], 3);
	knock(&s);
	turn(&s, 1);
	ck_assert_uint_eq(s.n_accepted, 1); /* nobody waits for another's sake */
	ck_assert_uint_eq(read_log(&s, text, sizeof(text)), 0);
	/* without end it is bounded for a turn, and goes on in the next */
	fail_with(all[_i], 200);
	knock(&s);
	turn(&s, 1);
	ck_assert_uint_lt(n_calls, 200);
	turn(&s, 10);
	ck_assert_uint_eq(s.n_accepted, 2);
	end(&s);
}
END_TEST

START_TEST(gone_while_paused)
{
	struct scene s;

	begin(&s);
	fail_with(EMFILE, 1);
	knock(&s);
	turn(&s, 2);
	listeners_tick(NULL);
	end(&s);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("listener");
	TCase *t = tcase_create("all");

	tcase_add_loop_test(t, exhaustion, 0, 5);
	tcase_add_loop_test(t, of_one_connection, 0, 9);
	tcase_add_test(t, gone_while_paused);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
