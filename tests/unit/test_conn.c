/*
 * net/conn: what a connection counts for in limits.memory, to the byte, and what happens above it.
 * A real loop, and a pair of sockets in place of a network.
 */
#include "net/conn.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/diag.h"
#include "core/config.h"
#include "core/counters.h"
#include "net/conn_private.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_run.h"

#define HEAD_10 "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n"
#define CHUNKED "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
#define UPGRADE "GET /ws HTTP/1.1\r\nHost: h\r\n\r\n"

struct place {
	struct net net;
	struct config *config;
	struct counters counters;
	struct diag diag;
	int peer;
	size_t n_body; /* of the last request */
	size_t n_message;
	unsigned n_gone;
	bool answers_later;
	struct exchange *held;
};

static struct place p;

/* --- the endpoint --- */

static void
on_message(struct conn *c, void *data, enum ws_opcode opcode, struct slice payload)
{
	(void)c;
	(void)data;
	(void)opcode;
	p.n_message = payload.n;
}

static void
on_drain(struct conn *c, void *data)
{
	(void)data;
	conn_hold_reading(c, false);
}

static void
on_tick(struct conn *c, void *data, uint64_t now_ms)
{
	(void)c;
	(void)data;
	(void)now_ms;
}

static void
on_gone(struct conn *c, void *data)
{
	(void)c;
	(void)data;
	p.n_gone++;
}

static void
on_drain_server(struct conn *c, void *data, uint64_t retry_ms)
{
	(void)c;
	(void)data;
	(void)retry_ms;
}

static const struct conn_ops ws_ops = {
    .on_message = on_message,
    .on_drain = on_drain,
    .on_tick = on_tick,
    .on_gone = on_gone,
    .on_drain_server = on_drain_server,
};

static void
on_head(struct exchange *x)
{
	x->body_limit = 1024 * 1024;
}

static void
on_request(struct exchange *x)
{
	static const struct ws_handshake hs = {.accept = "x"};

	p.n_body = x->body.n;
	if (slice_eq(x->head->path, SLICE("/ws")))
		ck_assert_int_eq(exchange_upgrade(x, &hs, true, 65536, &ws_ops, &p), 0);
	else if (p.answers_later)
		p.held = exchange_hold(x);
	else
		exchange_reply(x, 200, NULL, SLICE("ok"));
}

/* --- the loop --- */

static void
turn(void)
{
	for (int i = 0; i < 4; i++) {
		ck_assert_int_ge(event_base_loop(p.net.base, EVLOOP_NONBLOCK), 0);
		net_begin(&p.net);
		(void)net_turn(&p.net);
	}
}

static void
tell(const void *bytes, size_t n)
{
	ck_assert_int_eq(send(p.peer, bytes, n, 0), (ssize_t)n);
	turn();
}

static void
say(const char *text)
{
	tell(text, strlen(text));
}

/* A masked frame, its mask 0; n bytes of payload follow when there is one. */
static size_t
frame(char *out, uint8_t first, size_t n, size_t n_here)
{
	size_t at = 2;

	out[0] = (char)first;
	if (n < 126) {
		out[1] = (char)(0x80 | n);
	} else {
		out[1] = (char)(0x80 | 126);
		out[2] = (char)(n >> 8);
		out[3] = (char)n;
		at = 4;
	}
	memset(out + at, 0, 4);
	memset(out + at + 4, 'x', n_here);
	return at + 4 + n_here;
}

/* What came; the end of it as text. */
static const char *
hear(size_t *n)
{
	static char text[256 * 1024 + 1];
	size_t have = 0;
	ssize_t got;

	while (have < sizeof(text) - 1 &&
	       (got = recv(p.peer, text + have, sizeof(text) - 1 - have, MSG_DONTWAIT)) > 0)
		have += (size_t)got;
	text[have] = '\0';
	if (n != NULL)
		*n = have;
	turn();
	return text;
}

static struct conn *
the_conn(void)
{
	return TAILQ_FIRST(&p.net.conns);
}

static void
open_place(void)
{
	struct net_accepted a = {.is_unix = true};
	int fds[2];

	p = (struct place){0};
	p.config = mem_calloc(1, sizeof(*p.config));
	ck_assert_ptr_nonnull(p.config);
	atomic_init(&p.config->refs, 1);
	p.config->limits.header = 16384;
	p.config->limits.body = 1024 * 1024;
	p.config->limits.queue = 65536;
	p.config->limits.memory = 1024 * 1024;
	diag_init(&p.diag);
	ck_assert_int_eq(net_init(&p.net, event_base_new(), 0, p.config, &p.counters), 0);
	p.net.diag = &p.diag;
	p.net.on_head = on_head;
	p.net.on_request = on_request;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	p.peer = fds[0];
	a.fd = fds[1];
	net_adopt(&p.net, &a);
	turn();
	ck_assert_uint_eq(p.net.memory, 0);
}

static void
close_place(void)
{
	struct event_base *base = p.net.base;

	(void)close(p.peer);
	turn();
	net_done(&p.net);
	ck_assert_uint_eq(p.net.memory, 0);
	ck_assert_uint_eq(p.net.queued, 0);
	ck_assert_uint_eq(p.net.input, 0);
	event_base_free(base);
	config_unref(p.config);
	ck_assert_int_eq(mem_blocks(), 0);
}

/* --- counting --- */

START_TEST(heads)
{
	open_place();
	say("GET /x HTTP/1.1\r\nHo");
	ck_assert_uint_eq(p.net.memory, 19);
	say("st: h");
	ck_assert_uint_eq(p.net.memory, 24);
	say("\r\n\r\nGET");
	ck_assert_uint_eq(p.net.memory, 3);
	ck_assert(strstr(hear(NULL), "\r\n\r\nok") != NULL);
	ck_assert_uint_eq(counter_get(&p.counters, COUNTER_MEMORY_BYTES), 3);
	close_place();
}
END_TEST

START_TEST(bodies)
{
	char body[10000];

	open_place();
	memset(body, 'x', sizeof(body));
	/* whole in one piece: nothing is kept */
	p.answers_later = true;
	say("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
	ck_assert_uint_eq(p.n_body, 3);
	ck_assert_uint_eq(p.net.memory, 0);
	exchange_reply(p.held, 200, NULL, SLICE("ok"));
	exchange_release(p.held);
	turn();
	(void)hear(NULL);
	/* in pieces: the body, and the head until it is answered */
	say(HEAD_10);
	ck_assert_uint_gt(p.net.memory, sizeof(HEAD_10) - 2);
	ck_assert_uint_le(p.net.memory, sizeof(HEAD_10) + 128);
	tell(body, 9999);
	ck_assert_uint_ge(p.net.memory, 10000 + sizeof(HEAD_10) - 1);
	ck_assert_uint_le(p.net.memory, 10000 + sizeof(HEAD_10) + 128);
	tell(body, 1);
	ck_assert_uint_eq(p.n_body, 10000);
	ck_assert_uint_eq(
	    p.net.memory, 10000); /* answered later: it may look at a copy only, but still */
	exchange_reply(p.held, 200, NULL, SLICE("ok"));
	exchange_release(p.held);
	ck_assert_uint_eq(p.net.memory, p.net.queued + OUTQ_EACH);
	turn();
	ck_assert_uint_eq(p.net.memory, 0);
	/* chunked; its peer goes in the middle */
	say(CHUNKED "5\r\nhello\r\n");
	ck_assert_uint_ge(p.net.memory, sizeof(CHUNKED) + 4);
	(void)shutdown(p.peer, SHUT_RDWR);
	turn();
	ck_assert_uint_eq(p.net.memory, 0);
	close_place();
}
END_TEST

START_TEST(frames)
{
	char in[40000];
	size_t n;

	open_place();
	say(UPGRADE);
	(void)hear(NULL);
	ck_assert_uint_eq(p.net.memory, 0);
	/* a piece of a frame's head, of its payload, of a message */
	n = frame(in, 0x01, 30000, 30000);
	tell(in, 3);
	ck_assert_uint_eq(p.net.memory, ws_decoder_memory(&the_conn()->decoder));
	ck_assert_uint_gt(p.net.memory, 0);
	tell(in + 3, 20000);
	ck_assert_uint_eq(p.net.memory, ws_decoder_memory(&the_conn()->decoder));
	ck_assert_uint_gt(p.net.memory, 19000);
	tell(in + 20003, n - 20003);
	ck_assert_uint_gt(p.net.memory, 30000);
	ck_assert_uint_eq(p.n_message, 0);
	tell(in, frame(in, 0x80, 0, 0));
	ck_assert_uint_eq(p.n_message, 30000);
	ck_assert_uint_eq(p.net.memory, 0);
	/* its peer goes in the middle */
	tell(in, frame(in, 0x01, 100, 50));
	ck_assert_uint_gt(p.net.memory, 100);
	(void)shutdown(p.peer, SHUT_RDWR);
	turn();
	ck_assert_uint_eq(p.net.memory, 0);
	ck_assert_uint_eq(p.n_gone, 1);
	close_place();
}
END_TEST

START_TEST(queues)
{
	struct wire *w;
	unsigned n = 0;
	size_t heard = 0;

	open_place();
	say(UPGRADE);
	(void)hear(NULL);
	w = wire_new(SLICE("0123456789"));
	ck_assert_ptr_nonnull(w);
	for (; n < 1000; n++)
		ck_assert_int_eq(conn_push(the_conn(), w), 0);
	ck_assert_uint_eq(p.net.queued, 10 * n);
	ck_assert_uint_eq(p.net.memory, (10 + OUTQ_EACH) * n);
	turn();
	ck_assert_uint_eq(counter_get(&p.counters, COUNTER_QUEUED_BYTES), p.net.queued);
	(void)hear(&heard);
	ck_assert_uint_eq(heard, 10 * n);
	ck_assert_uint_eq(p.net.memory, 0);
	/* small ones are many: the queue is full long before it cannot take an answer */
	for (n = 0; conn_has_room(the_conn()); n++)
		ck_assert_int_eq(conn_push(the_conn(), w), 0);
	ck_assert_uint_eq(n, (65536 + 9) / 10);
	p.config->limits.queue = 1u << 30;
	for (; conn_has_room(the_conn()); n++)
		ck_assert_int_eq(conn_push(the_conn(), w), 0);
	ck_assert_uint_eq(n, OUTQ_MAX / 2);
	ck_assert_int_eq(conn_push(the_conn(), w), 0);
	ck_assert_uint_eq(p.net.memory, (10 + OUTQ_EACH) * (n + 1));
	conn_close(the_conn(), CLOSE_DONE);
	ck_assert_uint_eq(p.net.memory, 0);
	wire_unref(w);
	close_place();
}
END_TEST

/* --- at the limit --- */

static void
set_limit(size_t n)
{
	p.config->limits.memory = n;
	p.net.memory_limit = n;
}

static void
refused_503(void)
{
	const char *text = hear(NULL);

	ck_assert_msg(strncmp(text, "HTTP/1.1 503 ", 13) == 0, "'%s'", text);
	ck_assert(strstr(text, "\"limit\":\"limits.memory\"") != NULL);
	ck_assert(strstr(text, "\r\nRetry-After: ") != NULL);
	ck_assert(strstr(text, "\r\nConnection: close\r\n") != NULL);
	ck_assert_uint_eq(p.net.memory, 0); /* given back before the peer has read it */
	ck_assert_uint_eq(counter_get(&p.counters, COUNTER_MEMORY_BYTES), 0);
}

START_TEST(last_byte_of_a_head)
{
	char head[6001];

	memset(head, 'x', sizeof(head));
	memcpy(head, "GET /", 5);
	open_place();
	set_limit(6000);
	tell(head, 6000);
	ck_assert_uint_eq(p.net.memory, 6000);
	ck_assert_str_eq(hear(NULL), "");
	tell(head + 6000, 1);
	refused_503();
	close_place();
}
END_TEST

START_TEST(last_byte_of_a_body)
{
	char body[4097];
	size_t most;

	memset(body, 'x', sizeof(body));
	open_place();
	say(CHUNKED "2000\r\n");
	tell(body, 4096); /* the buffer doubles */
	most = p.net.memory;
	set_limit(most + 4096 - 1);
	ck_assert_str_eq(hear(NULL), "");
	tell(body, 1);
	refused_503();
	close_place();
	open_place();
	say(CHUNKED "2000\r\n");
	tell(body, 4096);
	set_limit(most + 4096);
	tell(body, 1);
	ck_assert_uint_eq(p.net.memory, most + 4096);
	ck_assert_str_eq(hear(NULL), "");
	close_place();
}
END_TEST

START_TEST(last_byte_of_a_message)
{
	const char *text;
	char in[9000];
	size_t most;
	size_t n;

	open_place();
	say(UPGRADE);
	(void)hear(NULL);
	tell(in, frame(in, 0x01, 4096, 4096));
	most = p.net.memory;
	set_limit(most);
	tell(in, frame(in, 0x00, 0, 0)); /* nothing more of it */
	ck_assert_str_eq(hear(NULL), "");
	tell(in, frame(in, 0x00, 1, 1));
	text = hear(&n);
	ck_assert_uint_gt(n, 4);
	ck_assert_int_eq(text[0], (char)0x88);
	ck_assert_int_eq((unsigned char)text[2] << 8 | (unsigned char)text[3], WS_CLOSE_TRY_LATER);
	ck_assert_ptr_nonnull(strstr(text + 4, "limits.memory"));
	ck_assert_uint_eq(p.net.memory, 0);
	ck_assert_uint_eq(p.n_gone, 1);
	ck_assert_uint_eq(
	    counter_get(&p.counters, COUNTER_CONN_WEBSOCKET), 1); /* until the peer ends, too */
	close_place();
}
END_TEST

/* Full of what others are to be told: a message that is under way goes on, up to a share of its own. */
START_TEST(queues_cut_no_input)
{
	char in[9000];

	open_place();
	say(UPGRADE);
	(void)hear(NULL);
	set_limit(80000);
	p.net.memory = 100000; /* queues */
	tell(in, frame(in, 0x01, 8000, 8000));
	ck_assert_uint_ge(p.net.input, 8000);
	ck_assert_uint_le(p.net.input, 10000);
	ck_assert_uint_eq(p.n_gone, 0);
	tell(in, frame(in, 0x00, 8000, 8000));
	ck_assert_uint_eq(p.n_gone, 1);
	ck_assert_uint_eq(p.net.input, 0);
	ck_assert_uint_ge(p.net.memory, 100000);
	p.net.memory -= 100000;
	close_place();
}
END_TEST

/* Whatever others have, everybody may begin: a small message is never the one too many. */
START_TEST(a_little_is_spared)
{
	char in[2000];
	size_t n = frame(in, 0x81, 1500, 1500);

	open_place();
	say(UPGRADE);
	(void)hear(NULL);
	set_limit(0);
	p.net.memory = 5000; /* others' */
	tell(in, 1);
	tell(in + 1, n - 2);
	ck_assert_str_eq(hear(NULL), "");
	tell(in + n - 1, 1);
	ck_assert_uint_eq(p.n_message, 1500);
	ck_assert_uint_eq(p.n_gone, 0);
	ck_assert_uint_eq(p.net.memory, 5000);
	p.net.memory = 0;
	close_place();
}
END_TEST

/* One who is not read does not grow: he keeps what he has. */
START_TEST(held_ones_are_spared)
{
	char in[60000];
	size_t n = 0;

	open_place();
	say(UPGRADE);
	(void)hear(NULL);
	while (n < 50000)
		n += frame(in + n, 0x81, 1000, 1000);
	conn_hold_reading(the_conn(), true);
	ck_assert_int_eq(send(p.peer, in, n, 0), (ssize_t)n);
	turn();
	ck_assert_uint_eq(p.net.memory, 0); /* it waits in the socket */
	set_limit(0);
	p.net.memory = 5000;
	conn_hold_reading(the_conn(), false);
	turn();
	ck_assert_uint_eq(p.n_message, 1000);
	ck_assert_uint_eq(p.n_gone, 0); /* read in small pieces, so that little is left over */
	p.net.memory -= 5000;
	ck_assert_uint_le(p.net.memory, READ_SPARED);
	close_place();
}
END_TEST

/* Queues shrink above the limit and above half of it, and nobody is told that he has room while he has none. */
START_TEST(queues_shrink)
{
	char bytes[1024] = "";

	open_place();
	say(UPGRADE);
	(void)hear(NULL);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(conn_push_bytes(the_conn(), slice_of(bytes, sizeof(bytes))), 0);
	ck_assert_uint_eq(p.net.memory, 4 * (1024 + OUTQ_EACH));
	p.net.memory_limit = p.net.memory;
	ck_assert(conn_has_room(the_conn()));
	p.net.memory_limit--;
	ck_assert(!conn_has_room(the_conn())); /* 65536 / 16 */
	ck_assert(the_conn()->was_full);
	p.net.memory_limit++;
	ck_assert(conn_has_room(the_conn())); /* 65536 / 4 */
	for (int i = 0; i < 12; i++)
		ck_assert_int_eq(conn_push_bytes(the_conn(), slice_of(bytes, sizeof(bytes))), 0);
	p.net.memory_limit = 2 * p.net.memory - 2;
	ck_assert(!conn_has_room(the_conn()));
	p.net.memory_limit += 2;
	ck_assert(conn_has_room(the_conn())); /* half of the limit or less: 65536 */
	close_place();
}
END_TEST

static void
pass(uint64_t ms)
{
	net_clock(&p.net);
	p.net.now_ms += ms;
	(void)net_turn(&p.net);
}

/* Above the limit, who takes nothing goes; who takes a little stays. */
START_TEST(stalled_ones_go)
{
	static char some[300000]; /* more than the socket takes */
	static char piece[sizeof(some)];
	unsigned n;

	open_place();
	say(UPGRADE);
	(void)hear(NULL);
	p.net.memory_limit = 100000;
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(conn_push_bytes(the_conn(), slice_of(some, sizeof(some))), 0);
	turn();
	ck_assert(net_is_full(&p.net));
	for (n = 1; n < 4; n++) {
		while (recv(p.peer, piece, sizeof(piece), MSG_DONTWAIT) > 0)
			;
		turn();
		pass(n * STALLED_MS);
		ck_assert_uint_eq(p.n_gone, 0);
		ck_assert(net_is_full(&p.net));
	}
	p.net.memory_limit = 10000000; /* with room for all it may take its time */
	for (; n < 8; n++)
		pass(n * STALLED_MS);
	ck_assert_uint_eq(p.n_gone, 0);
	while (recv(p.peer, piece, sizeof(piece), MSG_DONTWAIT) > 0)
		;
	turn();
	p.net.memory_limit = 100000;
	pass(n * STALLED_MS);
	ck_assert_uint_eq(p.n_gone, 0);
	pass((n + 1) * STALLED_MS - 1000);
	ck_assert_uint_eq(p.n_gone, 0);
	pass((n + 1) * STALLED_MS + 1000);
	ck_assert_uint_eq(p.n_gone, 1);
	ck_assert_uint_eq(p.net.memory, 0);
	close_place();
}
END_TEST

/* What is left of the last answer is waited for as long as some of it is taken, whatever limits.drain says. */
START_TEST(last_answers_may_take_long)
{
	static char body[2000000]; /* more than the socket takes */
	static char piece[100000];

	for (unsigned is_draining = 0; is_draining <= 1; is_draining++) {
		open_place();
		p.net.memory_limit = 10000000;
		p.answers_later = true;
		say("GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
		p.net.is_draining = is_draining == 1;
		exchange_reply(p.held, 200, NULL, slice_of(body, sizeof(body)));
		exchange_release(p.held);
		turn();
		ck_assert_uint_gt(p.net.queued, 0);
		pass(30000);
		ck_assert_int_eq(the_conn() == NULL, is_draining);
		if (is_draining == 0) {
			while (recv(p.peer, piece, sizeof(piece), MSG_DONTWAIT) > 0)
				;
			conn_flush(the_conn()); /* 30 s later, by the net's clock */
			pass(80000);
			ck_assert_ptr_nonnull(the_conn());
			pass(200000);
			ck_assert_ptr_null(the_conn());
		}
		close_place();
	}
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {heads, bodies, frames, queues, last_byte_of_a_head,
	    last_byte_of_a_body, last_byte_of_a_message, a_little_is_spared, queues_cut_no_input,
	    held_ones_are_spared, queues_shrink, stalled_ones_go, last_answers_may_take_long, NULL};

	return run_tests("conn", tests);
}
