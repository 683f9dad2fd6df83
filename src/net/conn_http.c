#include "base/mem.h"
#include "net/conn_private.h"

/* HTTP/1.1 on a connection: heads and bodies in, exchanges to the router, answers in order. */

void
conn_http_free(struct conn *c)
{
	buf_done(&c->http->bytes);
	buf_done(&c->http->head);
	mem_free(c->http);
	c->http = NULL;
}

/* Waiting for the next request of a keep-alive connection. */
void
conn_http_expect(struct conn *c)
{
	const struct config_limits *limits = &c->net->config->limits;

	c->has_begun = false;
	conn_set_deadline(
	    c, limits->idle_timeout_ms == 0 ? 0 : c->net->now_ms + limits->idle_timeout_ms);
}

void
conn_http_hurry(struct conn *c)
{
	uint64_t limit_ms = c->net->config->limits.request_timeout_ms;

	conn_set_deadline(c, limit_ms == 0 ? 0 : c->net->now_ms + limit_ms);
}

static void
drop_body(struct conn *c)
{
	buf_done(&c->http->bytes);
	conn_count_input(c);
}

/* The exchange is over; the next request may come. */
void
conn_http_answered(struct conn *c, bool keep_alive)
{
	struct exchange *x = c->http->exchange;

	c->http->exchange = NULL;
	if (x != NULL) {
		x->conn = NULL;
		exchange_release(x);
	}
	drop_body(c);
	if (!keep_alive || (c->saw_end && conn_rest_n(c) == 0) || c->net->is_draining) {
		conn_finish(c, CLOSE_DONE);
		return;
	}
	conn_enter(c, CONN_HEAD);
	conn_http_expect(c);
	conn_resume(c);
}

/* The peer has gone while its request was being answered. */
void
conn_http_gone(struct conn *c)
{
	struct exchange *x = c->http->exchange;

	drop_body(c);
	if (x == NULL)
		return;
	c->http->exchange = NULL;
	x->conn = NULL;
	if (x->on_gone != NULL)
		x->on_gone(x);
	exchange_release(x);
}

void
conn_http_refuse(struct conn *c, const struct refusal *why)
{
	struct exchange *x = c->http->exchange;

	if (x == NULL)
		x = exchange_new(c, NULL);
	if (x == NULL) {
		conn_fail(c, CLOSE_NO_MEMORY);
		return;
	}
	c->http->exchange = x;
	conn_enter(c, CONN_ANSWER);
	counter_refused(c->net->counters, why->code);
	if (why->limit != NULL)
		counter_failed(c->net->counters, CHECK_LIMIT);
	x->keep_alive = false;
	exchange_refuse(x, why);
}

static size_t
head_limit(const struct conn *c)
{
	return min_size(c->net->config->limits.header, REST_MAX);
}

/*
 * A request that cannot be understood: answered without the router, and the end (what follows
 * cannot be framed).
 */
static void
refuse_framing(struct conn *c, int error)
{
	struct refusal r = {0};

	(void)refuse(&r, ERROR_BAD_REQUEST, "%s", http_error_text(error));
	if (error == HTTP_E_HEAD_TOO_LARGE)
		(void)refuse(&r, ERROR_TOO_LARGE, "the request's head has more than %zu bytes",
		    head_limit(c));
	else if (error == HTTP_E_BODY_TOO_LARGE && c->http->exchange != NULL)
		(void)refuse(&r, ERROR_TOO_LARGE,
		    "the body has more than the %llu bytes that are taken here",
		    (unsigned long long)c->http->exchange->body_limit);
	r.status = http_error_status(error);
	if (r.status == 413) {
		r.code = ERROR_TOO_LARGE;
		r.limit = "limits.body";
	} else if (r.status == 431 || r.status == 414) {
		r.code = ERROR_TOO_LARGE;
		r.limit = "limits.header";
	} else if (r.status == 501) {
		r.code = ERROR_NOT_IMPLEMENTED;
	}
	conn_http_refuse(c, &r);
}

/* The last answer is not written yet: as long as some of it is taken, that is life. */
static void
wait_for_reader(struct conn *c)
{
	uint64_t until_ms = conn_last_seen_ms(c) + 1000 + c->net->config->limits.idle_timeout_ms;

	if (until_ms > c->net->now_ms)
		conn_set_deadline(c, until_ms);
	else
		conn_close(c, CLOSE_TIMEOUT);
}

void
conn_http_timeout(struct conn *c)
{
	struct refusal r = {0};

	if (c->state == CONN_ANSWER)
		return; /* the endpoint's business */
	if (c->state == CONN_HEAD && c->out.n > 0) {
		wait_for_reader(c);
		return;
	}
	if (c->state == CONN_HEAD && conn_rest_n(c) == 0) {
		conn_close(c, CLOSE_IDLE);
		return;
	}
	(void)refuse_limit(&r, ERROR_TIMEOUT, "limits.request_timeout", 1,
	    "the request was not complete after %llu s (limits.request_timeout)",
	    (unsigned long long)(c->net->config->limits.request_timeout_ms / 1000));
	conn_http_refuse(c, &r);
}

static void
run(struct conn *c, struct slice body)
{
	struct exchange *x = exchange_hold(c->http->exchange);
	struct net *net = c->net;

	conn_enter(c, CONN_ANSWER); /* the deadline may come meanwhile: then nothing happens */
	x->body = body;
	x->has_body = false; /* read: an answer need not end the connection for its sake */
	x->head = net->head;
	net->on_request(x);
	x->head = NULL;
	x->body = SLICE_NONE;
	exchange_release(x);
	if (c->state == CONN_ANSWER)
		conn_update_events(c); /* it answers later: nothing is read until then */
	else if (net->is_draining)
		net_say_goodbye(c); /* opened while everybody is told to go */
}

/*
 * The body is whole, collected piece by piece: the head is parsed once more from its kept
 * bytes, since the shared buffer has seen other connections meanwhile.
 */
static void
run_collected(struct conn *c)
{
	struct http_head *head = c->net->head;
	ssize_t n = http_parse_head(buf_slice(&c->http->head), c->http->head.n, head);

	if (n <= 0)
		conn_fail(c, CLOSE_BAD_REQUEST); /* it parsed before: cannot happen */
	else
		run(c, buf_slice(&c->http->bytes));
	if (!c->has_upgraded)
		buf_done(&c->http->head);
}

static bool
keep_head(struct conn *c, struct slice head)
{
	struct buf *b = &c->http->head;

	b->max = head.n;
	buf_reset(b);
	if (buf_add_slice(b, head) == 0)
		return true;
	conn_fail(c, CLOSE_NO_MEMORY);
	return false;
}

/* Body bytes. Returns what was consumed. */
static size_t
take_body(struct conn *c, struct slice in)
{
	struct conn_http *http = c->http;
	size_t at = 0;

	while (!http->body.is_done) {
		struct slice piece = SLICE_NONE;
		ssize_t n = http_body_decode(&http->body, slice_skip(in, at), &piece);

		if (n < 0) {
			refuse_framing(c, (int)n);
			return in.n;
		}
		if (piece.n > 0 && buf_add_slice(&http->bytes, piece) < 0) {
			conn_fail(c, CLOSE_NO_MEMORY);
			return in.n;
		}
		at += (size_t)n;
		if (n == 0)
			break;
	}
	if (http->body.is_done)
		run_collected(c);
	return at;
}

static void
ask_to_continue(struct conn *c)
{
	(void)conn_push_bytes(c, SLICE("HTTP/1.1 100 Continue\r\n\r\n")); /* a failure dooms it */
}

/*
 * A head is whole: let the router look at it, then run it or collect its body. Returns the
 * bytes used of what follows the head.
 */
static size_t
start_exchange(
    struct conn *c, const struct http_head *head, struct slice head_bytes, struct slice follows)
{
	struct conn_http *http = c->http;
	struct exchange *x = exchange_new(c, head);
	bool refused;

	counter_add(c->net->counters, COUNTER_REQUESTS, 1);
	http->exchange = x;
	if (x == NULL) {
		conn_fail(c, CLOSE_NO_MEMORY);
		return 0;
	}
	conn_enter(c, CONN_ANSWER);
	(void)exchange_hold(x);
	c->net->on_head(x);
	refused = x->is_answered;
	exchange_release(x);
	if (refused || c->state != CONN_ANSWER)
		return 0;
	if (!x->has_body) {
		run(c, SLICE(""));
		return 0;
	}
	if (!head->is_chunked && head->content_length > x->body_limit) {
		refuse_framing(c, HTTP_E_BODY_TOO_LARGE);
		return 0;
	}
	if (!head->is_chunked && head->content_length <= follows.n) {
		size_t n = (size_t)head->content_length;

		run(c, slice_of(follows.p, n)); /* whole in the buffer: no copy */
		return n;
	}
	http_body_init(&http->body, head, x->body_limit);
	http->bytes = BUF_INIT(head->is_chunked ? x->body_limit + 1 : head->content_length);
	if (!keep_head(c, head_bytes))
		return 0;
	c->state = CONN_BODY; /* the one step back: the endpoint has only seen the head */
	if (head->expect_continue && follows.n == 0)
		ask_to_continue(c);
	x->head = NULL;
	conn_http_hurry(c);
	return take_body(c, follows);
}

/* Not understood, but who asks for a head gets no body (RFC 9110 9.3.2). */
static void
refuse_head(struct conn *c, int error, struct slice bytes)
{
	while (bytes.n > 0 && (bytes.p[0] == '\r' || bytes.p[0] == '\n'))
		bytes = slice_skip(bytes, 1);
	c->http->exchange = exchange_new(c, NULL);
	if (c->http->exchange != NULL && bytes.n > 5 && memcmp(bytes.p, "HEAD ", 5) == 0)
		c->http->exchange->method = HTTP_HEAD;
	refuse_framing(c, error);
}

size_t
conn_http_input(struct conn *c, char *in, size_t n)
{
	struct slice bytes = slice_of(in, n);
	ssize_t head_n;

	if (c->state == CONN_BODY)
		return take_body(c, bytes);
	head_n = http_parse_head(bytes, head_limit(c), c->net->head);
	if (head_n == 0) {
		if (!c->has_begun) /* the first bytes of a request: from now on it has a deadline */
			conn_http_hurry(c);
		c->has_begun = true;
		return 0;
	}
	c->has_begun = false;
	if (head_n < 0) {
		refuse_head(c, (int)head_n, bytes);
		return n;
	}
	return (size_t)head_n + start_exchange(c, c->net->head, slice_of(in, (size_t)head_n),
				    slice_of(in + head_n, n - (size_t)head_n));
}
