#include "net/conn.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/mem.h"
#include "net/conn_private.h"

/*
 * Bytes of ours that wait in the kernel for one connection. Without it the send buffer of a reader
 * that stops grows to 4 MB and takes a piece now and then, each behind another trimmed part of the log.
 */
#define UNSENT_MAX     (128 * 1024)
#define QUEUE_SHRINKS  16    /* to this part of limits.queue, above limits.memory */
#define FINISH_WAIT_MS 2000  /* for the peer's end after ours */
#define PATIENCE_MS    60000 /* for the peer to take some of its last answer */

static const struct {
	const char *name;
	unsigned next; /* states that may follow */
} states[] = {
#define S(state) (1u << CONN_##state)
    [CONN_HEAD] = {"head", S(BODY) | S(ANSWER) | S(FINISH) | S(DEAD)},
    [CONN_BODY] = {"body", S(ANSWER) | S(HEAD) | S(FINISH) | S(DEAD)},
    [CONN_ANSWER] = {"answer", S(HEAD) | S(WS) | S(STREAM) | S(FINISH) | S(DEAD)},
    [CONN_WS] = {"websocket", S(WS_CLOSING) | S(FINISH) | S(DEAD)},
    [CONN_WS_CLOSING] = {"closing", S(FINISH) | S(DEAD)},
    [CONN_STREAM] = {"stream", S(HEAD) | S(FINISH) | S(DEAD)},
    [CONN_FINISH] = {"finish", S(DEAD)},
    [CONN_DEAD] = {"dead", 0},
#undef S
};
_Static_assert(ARRAY_LEN(states) == CONN_STATE_COUNT, "a row for each state");
_Static_assert(CLOSE_REASON_COUNT <= COUNTERS_REASONS, "a counter for each reason");

/*
 * The daemon's one assertion (tests/lint/asserts.sh). No peer reaches it: a connection ends from any
 * state (FINISH, DEAD), and who asks for another has looked. HEAD comes where an exchange is answered,
 * which is attached in ANSWER only, or a STREAM is over; ANSWER where a head or a body is read or its
 * deadline comes; WS, STREAM and WS_CLOSING are for an exchange unanswered, and for a WS.
 */
void
conn_enter(struct conn *c, enum conn_state to)
{
	if (c->state == to)
		return;
	assert((states[c->state].next & 1u << to) != 0);
	c->state = to & 15;
}

const char *const *
conn_reason_names(void)
{
	static const char *const names[] = {
#define X(name, text) text,
	    CLOSE_REASONS(X)
#undef X
	};

	return names;
}

void
conn_set_kind(struct conn *c, enum counter kind)
{
	counter_sub(c->net->counters, conn_kind(c), 1);
	c->kind = (kind - COUNTER_CONN_HTTP) & 3;
	counter_add(c->net->counters, kind, 1);
}

const struct conn_ops *
conn_ops_of(const struct conn *c)
{
	return c->state == CONN_STREAM || c->state == CONN_WS ? c->ops : NULL;
}

/* --- output --- */

static size_t
queue_limit(const struct conn *c)
{
	size_t limit = c->net->config->limits.queue;

	/*
	 * Above limits.memory queues shrink: everybody keeps a little, nobody grows. They begin to
	 * well below it, so that readers who stop, however many, do not get the others refused.
	 */
	if (net_is_full(c->net))
		return limit / QUEUE_SHRINKS;
	return c->net->memory > c->net->memory_limit / 2 ? limit / 4 : limit;
}

bool
conn_has_room(struct conn *c)
{
	if (c->out.bytes == 0 || (c->out.bytes < queue_limit(c) && c->out.n < OUTQ_MAX / 2))
		return true;
	c->was_full = true; /* also when not the queue grew but its limit shrank */
	return false;
}

static void
mark_dirty(struct conn *c)
{
	if (c->is_dirty || c->state == CONN_DEAD)
		return;
	c->is_dirty = true;
	STAILQ_INSERT_TAIL(&c->net->dirty, c, dirty);
}

int
conn_push(struct conn *c, struct wire *w)
{
	if (c->state == CONN_DEAD || c->is_doomed || c->state == CONN_FINISH)
		return 0; /* it ends anyway */
	if (outq_push(&c->out, w) < 0) {
		conn_fail(c, CLOSE_NO_MEMORY);
		return -ENOMEM;
	}
	c->net->queued += w->n;
	c->net->memory += w->n + OUTQ_EACH;
	if (c->state == CONN_STREAM)
		c->http->left -= w->n;
	/* notes that on_drain is owed; below the smallest limit there can be (queue_limit) it is not */
	if (c->out.bytes >= c->net->config->limits.queue / QUEUE_SHRINKS ||
	    c->out.n >= OUTQ_MAX / 2)
		(void)conn_has_room(c);
	if (!c->wants_write)
		mark_dirty(c);
	return 0;
}

int
conn_push_bytes(struct conn *c, struct slice bytes)
{
	struct wire *w = wire_new(bytes);
	int r;

	if (w == NULL) {
		conn_fail(c, CLOSE_NO_MEMORY);
		return -ENOMEM;
	}
	r = conn_push(c, w);
	wire_unref(w);
	return r;
}

static void
drained(struct conn *c)
{
	const struct conn_ops *ops = conn_ops_of(c);

	c->was_full = false;
	if (ops != NULL && ops->on_drain != NULL)
		ops->on_drain(c, c->data);
	else if (c->state == CONN_HEAD)
		conn_hold_reading(c, false);
}

/*
 * Everything is written: say so with our end, and give the peer a moment to read it before the
 * socket goes (a reset would take the answer with it).
 */
static void
finished(struct conn *c)
{
	(void)shutdown(event_get_fd(&c->event), SHUT_WR); /* an error shows at the next read */
	if (c->saw_end)
		conn_close(c, (enum close_reason)c->why);
	else
		conn_set_deadline(c, c->net->now_ms + FINISH_WAIT_MS);
}

/* The last answer of a connection that nobody cuts off: as long as some of it is taken, it goes on. */
static bool
is_last_answer(const struct conn *c)
{
	return !c->has_upgraded && (c->why == CLOSE_DONE || c->why == CLOSE_PEER) &&
	       !c->net->is_draining;
}

void
conn_flush(struct conn *c)
{
	size_t before;
	size_t memory;
	ssize_t n;

	if (c->is_doomed && !c->tells_slow) {
		conn_close(c, (enum close_reason)c->why);
		return;
	}
	if (c->is_doomed) { /* a farewell that could not be said in the middle of a delivery */
		c->is_doomed = false;
		conn_ws_close(c, WS_CLOSE_TRY_LATER, SLICE("too slow to get every frame"),
		    (enum close_reason)c->why);
		return;
	}
	if (c->ends_soon) {
		c->ends_soon = false;
		conn_finish(c, CLOSE_DONE);
	}
	before = c->out.bytes;
	memory = outq_memory(&c->out);
	n = outq_flush(&c->out, event_get_fd(&c->event));
	c->net->queued -= before - c->out.bytes;
	c->net->memory -= memory - outq_memory(&c->out);
	counter_add(c->net->counters, COUNTER_BYTES_OUT, before - c->out.bytes);
	if (n < 0 && n != -EAGAIN) {
		conn_close(c, CLOSE_RESET);
		return;
	}
	if (n > 0)
		c->has_stalled = false;
	/*
	 * not read on purpose, or an answer taken slowly: then writing that makes progress is a
	 * sign of life
	 */
	if (n > 0 && (c->is_held || c->state == CONN_HEAD))
		c->timer.seen_s = (uint32_t)(c->net->now_ms / 1000);
	if (c->wants_write != (c->out.n > 0)) {
		c->wants_write = c->out.n > 0;
		conn_update_events(c);
	}
	if (c->was_full && c->out.bytes <= queue_limit(c) / 2)
		drained(c);
	if (c->state == CONN_STREAM && c->has_length && c->http->left <= 0 && c->out.n == 0)
		conn_finish(c, CLOSE_DONE);
	if (c->state == CONN_FINISH && c->out.n == 0)
		finished(c);
	else if (c->state == CONN_FINISH && n > 0 && is_last_answer(c))
		conn_set_deadline(c, c->net->now_ms + PATIENCE_MS);
}

/* --- events --- */

static void on_event(evutil_socket_t fd, short what, void *arg);

/* What comes in now belongs to the next request: it waits in the socket. */
static bool
is_answering(const struct conn *c)
{
	return c->state == CONN_ANSWER || (c->state == CONN_STREAM && c->has_length);
}

void
conn_update_events(struct conn *c)
{
	short what = EV_PERSIST;
	int fd = event_get_fd(&c->event);

	if (c->state == CONN_DEAD)
		return;
	if (!is_answering(c))
		c->came_early = false;
	/* while it answers it is disarmed only if something comes: that saves two epoll_ctl a request */
	if (!c->saw_end && !c->is_held &&
	    (!is_answering(c) || (!c->came_early && (event_get_events(&c->event) & EV_READ) != 0)))
		what |= EV_READ;
	if (c->wants_write)
		what |= EV_WRITE;
	if (event_get_events(&c->event) == what)
		return;
	(void)event_del(&c->event); /* fails only for an event never assigned */
	(void)event_assign(&c->event, c->net->base, fd, what, on_event, c);
	if ((what & (EV_READ | EV_WRITE)) != 0 && event_add(&c->event, NULL) != 0)
		conn_fail(c, CLOSE_NO_MEMORY);
	if (c->is_resumed)
		event_active(&c->event, EV_READ, 0); /* event_del has taken it back */
}

/* Keep what was not used up. */
static void
keep_rest(struct conn *c, const char *in, size_t n)
{
	if (n == 0 && c->rest == NULL)
		return;
	if (n == 0) {
		mem_free(c->rest);
		c->rest = NULL;
		return;
	}
	if (n != conn_rest_n(c)) {
		struct conn_rest *bigger = mem_realloc(c->rest, sizeof(*bigger) + n);

		if (bigger == NULL) {
			conn_fail(c, CLOSE_NO_MEMORY);
			return;
		}
		bigger->n = (uint32_t)n;
		c->rest = bigger;
	}
	memcpy(c->rest->bytes, in, n);
}

/*
 * The state's input function takes what it can; a state that waits for its endpoint takes
 * nothing.
 */
static void
process(struct conn *c, char *in, size_t n, size_t *consumed)
{
	size_t at = 0;

	while (at < n) {
		size_t used = 0;

		switch ((enum conn_state)c->state) {
		case CONN_HEAD:
			/* who asks on and on without reading the answers waits, too */
			if (!conn_has_room(c))
				conn_hold_reading(c, true);
			used = c->is_held ? 0 : conn_http_input(c, in + at, n - at);
			break;
		case CONN_BODY:
			used = conn_http_input(c, in + at, n - at);
			break;
		case CONN_WS:
		case CONN_WS_CLOSING:
			used = c->is_held ? 0 : conn_ws_input(c, in + at, n - at);
			break;
		case CONN_STREAM:
			/*
			 * a file may be followed by another request; to an event stream nobody
			 * listens
			 */
			used = c->has_length ? 0 : n - at;
			break;
		case CONN_FINISH:
		case CONN_DEAD:
			used = n - at; /* nobody listens any more */
			break;
		case CONN_ANSWER:
			break;
		}
		if (used == 0 || c->is_doomed)
			break;
		at += used;
	}
	*consumed = c->is_doomed || c->state == CONN_DEAD ? n : at;
}

static void
on_end(struct conn *c)
{
	c->saw_end = true;
	switch ((enum conn_state)c->state) {
	case CONN_ANSWER: /* it may have ended only its side: the answer still goes out */
		conn_update_events(c);
		break;
	case CONN_FINISH:
		if (c->out.n == 0)
			conn_close(c, (enum close_reason)c->why);
		else
			conn_update_events(c);
		break;
	case CONN_HEAD:
		if (c->is_held && conn_rest_n(c) > 0) /* requests wait for room in the queue */
			conn_update_events(c);
		else if (c->out.n > 0)
			conn_finish(c, CLOSE_PEER);
		else
			conn_close(c, CLOSE_PEER);
		break;
	case CONN_STREAM:
		if (c->has_length) /* as ANSWER */
			conn_update_events(c);
		else
			conn_close(c, CLOSE_PEER);
		break;
	case CONN_BODY:
	case CONN_WS_CLOSING:
		conn_close(c, CLOSE_PEER);
		break;
	case CONN_WS:
		conn_close(c, CLOSE_RESET); /* without a close frame: 1006 */
		break;
	case CONN_DEAD:
		break;
	}
}

/*
 * recv() without what glibc does in threads that may be cancelled: two atomic exchanges, 1.3 % of a
 * POST.
 */
static ssize_t
receive(int fd, char *p, size_t n)
{
	return syscall(SYS_recvfrom, fd, p, n, MSG_DONTWAIT, NULL, NULL);
}

static void
on_readable(struct conn *c)
{
	struct net *net = c->net;
	size_t have = conn_rest_n(c);
	size_t room = net_is_full(net) ? READ_SPARED : NET_READ_BUFFER;
	size_t consumed = 0;
	ssize_t got = -1;

	if (have > 0)
		memcpy(net->read_buffer, c->rest->bytes, have);
	if (have <= REST_MAX) { /* more is pipelined far ahead of the answers: first that */
		got = receive(event_get_fd(&c->event), net->read_buffer + have,
		    min_size(room, NET_READ_BUFFER - have));
		if (got < 0 && errno != EAGAIN && errno != EINTR) {
			conn_close(c, CLOSE_RESET);
			return;
		}
	}
	if (got > 0) {
		c->timer.seen_s = (uint32_t)(net->now_ms / 1000);
		counter_add(net->counters, COUNTER_BYTES_IN, (uint64_t)got);
		have += (size_t)got;
	}
	if (have > 0) {
		process(c, net->read_buffer, have, &consumed);
		if (c->state != CONN_DEAD)
			keep_rest(c, net->read_buffer + consumed, have - consumed);
		conn_check_input(c);
	}
	if (got == 0 && c->state != CONN_DEAD && !c->is_doomed)
		on_end(c);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	net_begin(c->net);
	if ((what & EV_READ) != 0 && is_answering(c) && !c->is_resumed) {
		c->came_early = true;
		conn_update_events(c);
	}
	if ((what & EV_READ) != 0)
		c->is_resumed = false;
	if (c->is_doomed) {
		mark_dirty(c);
		return;
	}
	if ((what & EV_WRITE) != 0)
		conn_flush(c);
	if ((what & EV_READ) != 0 && c->state != CONN_DEAD && !c->is_held && !is_answering(c))
		on_readable(c);
}

void
conn_resume(struct conn *c)
{
	conn_update_events(c);
	if (conn_rest_n(c) == 0 || c->state == CONN_DEAD)
		return;
	c->is_resumed = true;
	event_active(&c->event, EV_READ, 0);
}

void
conn_hold_reading(struct conn *c, bool hold)
{
	if (c->is_held == hold || c->state == CONN_DEAD)
		return;
	c->is_held = hold;
	conn_update_events(c);
	if (!hold)
		conn_resume(c);
}

/* --- deadlines --- */

void
conn_set_deadline(struct conn *c, uint64_t at_ms)
{
	if (c->state != CONN_DEAD)
		wheel_set(&c->net->wheel, &c->timer, at_ms);
}

void
conn_tick(struct conn *c)
{
	switch ((enum conn_state)c->state) {
	case CONN_HEAD:
	case CONN_BODY:
	case CONN_ANSWER:
		conn_http_timeout(c);
		break;
	case CONN_WS:
	case CONN_STREAM:
		if (c->ops->on_tick != NULL)
			c->ops->on_tick(c, c->data, c->net->now_ms);
		break;
	case CONN_WS_CLOSING:
	case CONN_FINISH:
		conn_close(c, (enum close_reason)c->why);
		break;
	case CONN_DEAD:
		break;
	}
}

/* --- the end --- */

void
conn_tell_gone(struct conn *c)
{
	const struct conn_ops *ops = conn_ops_of(c);
	void *data = c->data;

	c->data = NULL;
	if (ops != NULL && data != NULL)
		ops->on_gone(c, data);
	else if (!c->has_upgraded)
		conn_http_gone(c);
}

void
conn_fail(struct conn *c, enum close_reason why)
{
	if (c->is_doomed || c->state == CONN_DEAD)
		return;
	c->is_doomed = true;
	c->why = (uint8_t)why;
	mark_dirty(c);
}

void
conn_end_soon(struct conn *c)
{
	c->ends_soon = true;
	mark_dirty(c);
}

void
conn_finish(struct conn *c, enum close_reason why)
{
	if (c->state == CONN_DEAD || c->state == CONN_FINISH || c->is_doomed)
		return;
	if (c->state == CONN_STREAM && c->keep_alive && c->http->left <= 0 &&
	    !c->net->is_draining && !(c->saw_end && conn_rest_n(c) == 0)) {
		conn_tell_gone(c);
		conn_set_kind(c, COUNTER_CONN_HTTP);
		conn_enter(c, CONN_HEAD);
		conn_http_expect(c);
		conn_resume(c);
		return;
	}
	conn_tell_gone(c);
	c->why = (uint8_t)why;
	c->is_held = false;
	conn_enter(c, CONN_FINISH);
	conn_update_events(c);
	conn_set_deadline(c,
	    c->net->now_ms + (is_last_answer(c) ? PATIENCE_MS : c->net->config->limits.drain_ms));
	mark_dirty(c);
}

/*
 * What is still queued will not come. A body that the end of the connection ends must not look whole
 * then: the peer gets a reset (RFC 9112, 8).
 */
static void
close_socket(const struct conn *c)
{
	const struct linger reset = {.l_onoff = 1};
	int fd = event_get_fd(&c->event);

	if (c->out.bytes > 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	(void)close(fd);
}

void
conn_close(struct conn *c, enum close_reason why)
{
	struct net *net = c->net;
	char peer[EXCHANGE_PEER];

	if (c->state == CONN_DEAD)
		return;
	conn_tell_gone(c);
	wheel_set(&net->wheel, &c->timer, 0);
	(void)event_del(&c->event);
	close_socket(c);
	net->queued -= c->out.bytes;
	net->memory -= outq_memory(&c->out) + c->input;
	net->input -= c->input;
	c->input = 0;
	outq_done(&c->out);
	counter_closed(net->counters, why);
	counter_sub(net->counters, conn_kind(c), 1);
	if (diag_wants(net->diag, DIAG_DEBUG))
		diag_peer(net->diag, DIAG_DEBUG, "conn.close", "id=%llx peer=%s state=%s reason=%s",
		    (unsigned long long)c->number, conn_peer(c, peer), states[c->state].name,
		    conn_reason_names()[why]);
	conn_enter(c, CONN_DEAD);
	TAILQ_REMOVE(&net->conns, c, all);
	net->n_conns--;
	TAILQ_INSERT_TAIL(&net->dead, c, all);
}

void
conn_free(struct conn *c)
{
	if (c->has_upgraded)
		ws_decoder_done(&c->decoder);
	else
		conn_http_free(c);
	mem_free(c->rest);
	mem_free(c);
}

/* Both only make it better: a failure leaves a connection that works. */
static void
set_options(int fd)
{
	int on = 1;
	int unsent = UNSENT_MAX;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

void
net_adopt(struct net *n, const struct net_accepted *a)
{
	struct conn *c = mem_calloc(1, sizeof(*c));

	if (c != NULL)
		c->http = mem_calloc(1, sizeof(*c->http));
	if (c == NULL || c->http == NULL) {
		mem_free(c);
		(void)close(a->fd);
		return;
	}
	if (!a->is_unix)
		set_options(a->fd);
	c->net = n;
	c->number = n->next_number++;
	c->address = a->address;
	c->is_unix = a->is_unix;
	c->is_extra = a->is_extra;
	c->on_loopback = a->is_loopback_listener;
	if (a->is_unix)
		memcpy(&c->address, (const uint32_t[]){a->uid, a->gid, a->listener},
		    3 * sizeof(uint32_t));
	c->http->bytes = BUF_INIT(0);
	c->http->head = BUF_INIT(n->config->limits.header);
	c->timer.seen_s = (uint32_t)(n->now_ms / 1000);
	TAILQ_INSERT_TAIL(&n->conns, c, all);
	n->n_conns++;
	counter_add(n->counters, COUNTER_CONN_HTTP, 1);
	counter_add(n->counters, COUNTER_ACCEPTED, 1);
	(void)event_assign(&c->event, n->base, a->fd, EV_READ | EV_PERSIST, on_event, c);
	if (event_add(&c->event, NULL) != 0) {
		conn_close(c, CLOSE_NO_MEMORY);
		return;
	}
	conn_http_hurry(c);
}
