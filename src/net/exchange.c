#include "net/exchange.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "net/conn_private.h"

#define HEADERS_MAX (16 * 1024) /* response headers an endpoint may add */
#define HEAD_MAX    (HEADERS_MAX + 1024)
#define HEAD_ROOM   768 /* of a head that needs no memory of its own */

/*
 * One header line, from its right end. True when all its addresses are trusted: then the line
 * before it counts too. An empty place is no address.
 */
static bool
follow_proxies(struct exchange *x, struct slice rest)
{
	char text[64];

	for (bool is_first = false; !is_first;) {
		size_t start = rest.n;
		struct slice last;
		struct in6_addr address;
		struct in_addr four;

		while (start > 0 && rest.p[start - 1] != ',')
			start--;
		last = slice_trim(slice_skip(rest, start));
		is_first = start == 0;
		rest.n = is_first ? 0 : start - 1;
		if (last.n == 0 || last.n >= sizeof(text))
			return false;
		memcpy(text, last.p, last.n);
		text[last.n] = '\0';
		if (inet_pton(AF_INET, text, &four) == 1) {
			memset(&address, 0, sizeof(address));
			address.s6_addr[10] = 0xff;
			address.s6_addr[11] = 0xff;
			memcpy(&address.s6_addr[12], &four, sizeof(four));
		} else if (inet_pton(AF_INET6, text, &address) != 1) {
			return false; /* not an address: what is left of it cannot be trusted */
		}
		(void)snprintf(x->proxied, sizeof(x->proxied), "%s", text);
		if (!net_is_trusted(x->net, &address))
			return false;
	}
	return true;
}

/*
 * The address of the client behind trusted proxies: the rightmost one in X-Forwarded-For that
 * is not itself trusted. Some proxies add a line of their own, so the last line comes first.
 */
static void
find_peer(struct exchange *x, const struct http_head *head)
{
	x->proxied[0] = '\0';
	x->address = x->conn->address;
	x->is_unix = x->conn->is_unix;
	if (head == NULL || head->fields[HTTP_FIELD_FORWARDED_FOR] == 0 ||
	    !conn_from_trusted_proxy(x->conn))
		return;
	for (size_t i = head->n_headers; i-- > 0;) {
		const struct http_header *h = &head->headers[i];

		if (slice_eq_nocase(h->name, SLICE("X-Forwarded-For")) &&
		    !follow_proxies(x, h->value))
			return;
	}
}

bool
exchange_is_local(const struct exchange *x)
{
	struct in6_addr six;

	if (x->conn == NULL || !conn_on_loopback_listener(x->conn))
		return false;
	if (x->head == NULL || x->head->fields[HTTP_FIELD_FORWARDED_FOR] == 0)
		return true;
	/* a proxy on this machine asks for somebody, whom it must be believed to be here, too */
	return strncmp(x->proxied, "127.", 4) == 0 ||
	       (inet_pton(AF_INET6, x->proxied, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six));
}

struct exchange *
exchange_new(struct conn *c, const struct http_head *head)
{
	struct exchange *x = mem_alloc(sizeof(*x));

	if (x == NULL)
		return NULL;
	memset(x, 0, offsetof(struct exchange, scratch)); /* and what is written below */
	x->conn = c;
	x->net = c->net;
	x->refs = 1;
	x->minor = 1;
	x->body_limit = c->net->config->limits.body;
	x->number = c->number ^ (uint64_t)++c->net->n_requests << 20;
	x->headers = BUF_ON(x->room, HEADERS_MAX);
	if (head != NULL) {
		x->head = head;
		x->method = head->method;
		x->minor = (uint8_t)head->minor;
		x->keep_alive = head->keep_alive && !c->is_extra;
		x->has_body = head->is_chunked || head->content_length > 0;
	}
	find_peer(x, head);
	return x;
}

struct exchange *
exchange_hold(struct exchange *x)
{
	x->refs++;
	return x;
}

void
exchange_release(struct exchange *x)
{
	if (x == NULL || --x->refs > 0)
		return;
	buf_done(&x->headers);
	mem_free(x);
}

const char *
exchange_peer(const struct exchange *x, char out[EXCHANGE_PEER])
{
	return x->proxied[0] != '\0' ? x->proxied : conn_peer_text(x->is_unix, &x->address, out);
}

void
exchange_header(struct exchange *x, const char *name, struct slice value)
{
	size_t before = x->headers.n;

	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return; /* never split a response */
	}
	(void)buf_add_str(&x->headers, name);
	(void)buf_add_str(&x->headers, ": ");
	(void)buf_add_slice(&x->headers, value);
	(void)buf_add_str(&x->headers, "\r\n");
	if (x->headers.failed && x->headers.error != -ENOMEM) { /* too many: whole lines only */
		x->headers.n = before;
		x->headers.failed = false;
	}
}

void
exchange_header_line(struct exchange *x, struct slice line)
{
	(void)buf_add_slice(&x->headers, line); /* a failure sticks: no such answer */
}

static void
add_header(struct buf *b, const char *name, const char *value)
{
	(void)buf_add_str(b, name);
	(void)buf_add_str(b, value);
	(void)BUF_ADD_LIT(b, "\r\n");
}

/*
 * Pieces, not formats: a head is most of what an answer costs beside the system calls. What all
 * answers of a second have in common is one piece.
 */
static void
add_head(struct buf *b, struct exchange *x, int status, const char *content_type)
{
	char number[16] UNCLEARED;

	if (status == 200) {
		(void)BUF_ADD_LIT(b, "HTTP/1.1 200 OK\r\n");
	} else {
		(void)BUF_ADD_LIT(b, "HTTP/1.1 ");
		(void)buf_add_u64(b, (uint64_t)status);
		add_header(b, " ", http_status_text(status));
	}
	(void)buf_add_slice(b, net_common_head(x->net));
	hex16(number, x->number);
	(void)buf_add(b, number, sizeof(number));
	(void)BUF_ADD_LIT(b, "\r\n");
	if (content_type != NULL)
		add_header(b, "Content-Type: ", content_type);
	(void)buf_add_slice(b, buf_slice(&x->headers));
	b->failed = b->failed || x->headers.failed; /* one is missing: no such answer */
}

static void
add_length(struct buf *b, uint64_t n)
{
	(void)BUF_ADD_LIT(b, "Content-Length: ");
	(void)buf_add_u64(b, n);
	(void)BUF_ADD_LIT(b, "\r\n");
}

static void
add_connection(struct buf *b, const struct exchange *x)
{
	if (!x->keep_alive)
		(void)buf_add_str(b, "Connection: close\r\n");
	else if (x->minor == 0)
		(void)buf_add_str(b, "Connection: keep-alive\r\n");
}

/* Take the exchange's connection for an answer; NULL when there is none any more. */
static struct conn *
answering(struct exchange *x, int status)
{
	if (x->is_answered || x->conn == NULL)
		return NULL;
	x->is_answered = true;
	if (x->net->is_draining)
		x->keep_alive = false;
	counter_answer(x->net->counters, status);
	return x->conn;
}

static bool
has_body(const struct exchange *x, int status)
{
	return x->method != HTTP_HEAD && status != 204 && status != 304;
}

/* Head and body in one wire. 0 or -ENOMEM. */
static int
push_two(struct conn *c, struct slice head, struct slice body)
{
	struct wire *w = wire_sized(head.n + body.n);
	int r;

	if (w == NULL)
		return -ENOMEM;
	memcpy(wire_room(w), head.p, head.n);
	if (body.n > 0)
		memcpy(wire_room(w) + head.n, body.p, body.n);
	r = conn_push(c, w);
	wire_unref(w);
	return r;
}

void
exchange_reply(struct exchange *x, int status, const char *content_type, struct slice body)
{
	char room[HEAD_ROOM] UNCLEARED;
	struct buf b = BUF_ON(room, HEAD_MAX);
	struct conn *c = answering(x, status);

	if (c == NULL)
		return;
	/* an unread body must not be taken for the next request */
	if (x->has_body)
		x->keep_alive = false;
	add_head(&b, x, status, content_type);
	add_connection(&b, x);
	if (status != 204 && status != 304)
		add_length(&b, body.n);
	(void)buf_add_str(&b, "\r\n");
	if (b.failed || push_two(c, buf_slice(&b), has_body(x, status) ? body : SLICE_NONE) < 0)
		conn_fail(c, CLOSE_NO_MEMORY);
	buf_done(&b);
	conn_http_answered(c, x->keep_alive);
}

void
exchange_json(struct exchange *x, int status, struct slice json)
{
	exchange_reply(x, status, "application/json", json);
}

void
exchange_refuse(struct exchange *x, const struct refusal *r)
{
	struct buf b = BUF_INIT(4096);
	int status = r->status != 0 ? r->status : error_status(r->code);

	if (r->retry_after_s > 0) {
		char seconds[16];

		(void)snprintf(seconds, sizeof(seconds), "%u", r->retry_after_s);
		exchange_header(x, "Retry-After", slice_str(seconds));
	}
	exchange_header(x, "Cache-Control", SLICE("no-store"));
	if (refusal_problem(&b, r) < 0)
		exchange_reply(x, status, NULL, SLICE_NONE);
	else
		exchange_reply(x, status, "application/problem+json", buf_slice(&b));
	buf_done(&b);
}

void
exchange_abandon(struct exchange *x)
{
	if (x->is_answered || x->conn == NULL)
		return;
	x->is_answered = true;
	conn_fail(x->conn, CLOSE_NO_MEMORY);
}

int
exchange_stream_start(struct exchange *x, int status, const char *content_type, int64_t length,
    const struct conn_ops *ops, void *data)
{
	struct buf b = BUF_INIT(HEAD_MAX);
	struct conn *c = answering(x, status);
	bool is_head = x->method == HTTP_HEAD;
	int r = -1;

	if (c == NULL)
		return -1;
	if (length < 0)
		x->keep_alive = false;
	add_head(&b, x, status, content_type);
	add_connection(&b, x);
	if (length >= 0)
		add_length(&b, (uint64_t)length);
	(void)buf_add_str(&b, "\r\n");
	if (b.failed || conn_push_bytes(c, buf_slice(&b)) < 0) {
		conn_fail(c, CLOSE_NO_MEMORY);
	} else if (is_head) {
		conn_http_answered(c, x->keep_alive);
	} else {
		c->http->exchange = NULL;
		c->http->left = length < 0 ? 0 : length;
		c->has_length = length >= 0;
		c->keep_alive = length >= 0 && x->keep_alive;
		c->ops = ops;
		c->data = data;
		conn_enter(c, CONN_STREAM);
		conn_set_deadline(c, 0);
		conn_update_events(c);
		x->conn = NULL;
		exchange_release(x);
		r = 0;
	}
	buf_done(&b);
	return r;
}

int
exchange_upgrade(struct exchange *x, const struct ws_handshake *hs, bool deflate,
    uint32_t max_message, const struct conn_ops *ops, void *data)
{
	struct buf b = BUF_INIT(HEAD_MAX);
	struct conn *c = answering(x, 101);

	if (c == NULL)
		return -1;
	add_head(&b, x, 101, NULL);
	(void)buf_printf(&b,
	    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n",
	    hs->accept);
	if (hs->offers_belfry)
		(void)buf_add_str(&b, "Sec-WebSocket-Protocol: belfry.v1\r\n");
	if (deflate)
		(void)buf_printf(
		    &b, "Sec-WebSocket-Extensions: %s\r\n", ws_handshake_extensions(hs));
	(void)buf_add_str(&b, "\r\n");
	if (b.failed || conn_push_bytes(c, buf_slice(&b)) < 0) {
		conn_fail(c, CLOSE_NO_MEMORY);
		buf_done(&b);
		return -1;
	}
	buf_done(&b);
	c->http->exchange = NULL;
	x->conn = NULL;
	conn_http_free(c);
	c->has_upgraded = true;
	ws_decoder_init(&c->decoder, max_message, deflate);
	c->ops = ops;
	c->data = data;
	conn_enter(c, CONN_WS);
	conn_set_kind(c, COUNTER_CONN_WEBSOCKET);
	conn_set_deadline(c, 0);
	conn_update_events(c);
	exchange_release(x);
	return 0;
}
