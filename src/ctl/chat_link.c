#include "ctl/chat_link.h"

#include <openssl/crypto.h>

#include "base/b64.h"
#include "base/rng.h"
#include "core/token.h"
#include "ctl/ws_client.h"

#define FRAME_MAX   16777216
#define HEAD_MAX    65536
#define SEND_MAX    16777216
#define SHAKE_MS    15000
#define CLOSING_MS  2000
#define READ_BYTES  16384
#define OTHERS_MAX  2
#define WAIT_MAX_MS 60000

static void
enter(struct link *l, enum link_state to, uint64_t now_ms)
{
	l->state = to;
	l->changed_ms = now_ms;
}

void
link_init(struct link *l, void (*on_message)(void *arg, struct slice json), void *arg)
{
	*l = (struct link){.in = BUF_INIT(FRAME_MAX + HEAD_MAX),
	    .out = BUF_INIT(SEND_MAX),
	    .message = BUF_INIT(FRAME_MAX),
	    .problem = BUF_INIT(HEAD_MAX),
	    .on_message = on_message,
	    .arg = arg};
}

void
link_drop(struct link *l)
{
	if (l->multi != NULL && l->handle != NULL)
		(void)curl_multi_remove_handle(l->multi, l->handle); /* both go now */
	curl_easy_cleanup(l->handle);
	if (l->multi != NULL)
		(void)curl_multi_cleanup(l->multi); /* nothing is left in it */
	l->handle = NULL;
	l->multi = NULL;
	l->state = LINK_DOWN;
	buf_reset(&l->in);
	buf_reset(&l->message);
	if (l->out.n > 0)
		OPENSSL_cleanse(l->out.p, l->out.n); /* the token may still be in it */
	buf_reset(&l->out);
}

void
link_done(struct link *l)
{
	link_drop(l);
	buf_done(&l->in);
	buf_done(&l->out);
	buf_done(&l->message);
	buf_done(&l->problem);
}

/* --- the handshake --- */

/* The request line and Host for a URL. */
static int
add_request(struct buf *out, const char *url)
{
	CURLU *u = curl_url();
	char *host = NULL;
	char *port = NULL;
	char *path = NULL;
	char *query = NULL;
	int r = -1;

	if (u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_PATH, &path, 0) == CURLUE_OK) {
		(void)curl_url_get(u, CURLUPART_PORT, &port, 0);   /* else the scheme's */
		(void)curl_url_get(u, CURLUPART_QUERY, &query, 0); /* else there is none */
		r = buf_printf(out, "GET %s%s%s HTTP/1.1\r\nHost: %s%s%s\r\n", path,
		    query == NULL ? "" : "?", query == NULL ? "" : query, host,
		    port == NULL ? "" : ":", port == NULL ? "" : port);
	}
	curl_free(host);
	curl_free(port);
	curl_free(path);
	curl_free(query);
	curl_url_cleanup(u);
	return r;
}

static int
add_handshake(struct link *l, const struct ctl_target *t, const char *url)
{
	uint8_t random[16];
	char key[25];

	rng_fill(random, sizeof(random));
	(void)b64_encode(random, sizeof(random), key); /* its length is known */
	if (ws_accept(slice_str(key), l->accept) < 0 || add_request(&l->out, url) < 0)
		return -1;
	(void)buf_add_str(&l->out, "User-Agent: belfryctl/" BELFRY_VERSION "\r\n"); /* they stick */
	if (t->token != NULL)
		(void)buf_printf(&l->out, "Authorization: Bearer %s\r\n", t->token);
	return ws_client_add_handshake(&l->out, slice_str(key), false);
}

int
link_open(struct link *l, const struct ctl_target *t, const char *url_path, uint64_t now_ms)
{
	struct curl_slist *headers = NULL;
	const char *url = NULL;
	int r = -1;

	link_drop(l);
	l->error = CURLE_OK;
	l->status = 0;
	l->close_code = 0;
	l->was_up = false;
	buf_reset(&l->problem);
	l->multi = curl_multi_init();
	l->handle = ctl_request(t, url_path, &headers);
	/* libcurl makes the connection and no more of HTTP than that */
	if (l->multi != NULL && l->handle != NULL &&
	    curl_easy_setopt(l->handle, CURLOPT_CONNECT_ONLY, 1L) == CURLE_OK &&
	    curl_easy_setopt(l->handle, CURLOPT_HTTPPROXYTUNNEL, 1L) == CURLE_OK &&
	    curl_easy_setopt(l->handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) ==
		CURLE_OK &&
	    curl_multi_add_handle(l->multi, l->handle) == CURLM_OK &&
	    curl_easy_getinfo(l->handle, CURLINFO_EFFECTIVE_URL, &url) == CURLE_OK && url != NULL)
		r = add_handshake(l, t, url);
	curl_slist_free_all(headers);
	if (r < 0) {
		link_drop(l);
		return ctl_fail(EX_USAGE, "%s: no address to chat at", t->url);
	}
	l->heard_ms = now_ms;
	enter(l, LINK_CONNECTING, now_ms);
	return 0;
}

static size_t
content_length(struct slice head)
{
	static const char name[] = "\r\nContent-Length: ";
	const char *at = memmem(head.p, head.n, name, sizeof(name) - 1);
	struct slice rest = SLICE_NONE;
	uint64_t n;

	if (at == NULL)
		return 0;
	rest = slice_of(at + sizeof(name) - 1, (size_t)(head.p + head.n - at) - sizeof(name) + 1);
	return slice_to_u64(slice_trim(slice_cut(&rest, '\r')), &n) < 0 ? 0 : (size_t)n;
}

/* The handshake's answer, when it is whole. */
static void
take_answer(struct link *l, uint64_t now_ms)
{
	struct slice in = buf_slice(&l->in);
	const char *end = memmem(in.p, in.n, "\r\n\r\n", 4);
	struct slice head;
	struct slice body;
	uint64_t status;

	if (end == NULL)
		return;
	head = slice_of(in.p, (size_t)(end - in.p) + 4);
	if (ws_client_is_accepted(head, slice_str(l->accept))) {
		buf_consume(&l->in, head.n);
		l->was_up = true;
		enter(l, LINK_UP, now_ms);
		return;
	}
	body = slice_skip(in, head.n);
	if (body.n < min_size(content_length(head), HEAD_MAX))
		return;
	if (!slice_has_prefix(head, SLICE("HTTP/1.1 ")) || head.n < 13 ||
	    slice_to_u64(slice_of(head.p + 9, 3), &status) < 0)
		status = 101; /* it speaks something else */
	l->status = (long)status;
	(void)buf_add_slice(&l->problem, body); /* what does not fit is not told */
	link_drop(l);
}

/* --- frames --- */

static void
send_frame(struct link *l, enum ws_opcode opcode, struct slice payload)
{
	uint8_t key[4];

	rng_fill(key, sizeof(key));
	if (ws_client_encode(&l->out, opcode, key, payload) < 0)
		l->out.failed = true;
}

void
link_send(struct link *l, struct slice text)
{
	if (l->state == LINK_UP)
		send_frame(l, WS_TEXT, text);
}

void
link_close(struct link *l, uint64_t now_ms)
{
	if (l->state != LINK_UP)
		return;
	send_frame(l, WS_CLOSE, SLICE("\x03\xe8")); /* 1000 */
	enter(l, LINK_CLOSING, now_ms);
}

static void
take_close(struct link *l, struct slice payload, uint64_t now_ms)
{
	if (payload.n >= 2)
		l->close_code = (unsigned char)payload.p[0] << 8 | (unsigned char)payload.p[1];
	else
		l->close_code = WS_CLOSE_NO_STATUS;
	if (l->state == LINK_UP)
		send_frame(l, WS_CLOSE, slice_of(payload.p, min_size(payload.n, 2)));
	enter(l, LINK_CLOSING, now_ms);
}

static void
take_frame(struct link *l, const struct ws_client_frame *f, uint64_t now_ms)
{
	bool is_final = (f->first & 0x80) != 0;

	switch ((enum ws_opcode)(f->first & 0x0f)) {
	case WS_TEXT:
	case WS_CONTINUATION:
		if (l->state != LINK_UP)
			return;
		if (is_final && l->message.n == 0) {
			l->on_message(l->arg, f->payload);
			return;
		}
		(void)buf_add_slice(&l->message, f->payload); /* failures stick, below */
		if (is_final && !l->message.failed)
			l->on_message(l->arg, buf_slice(&l->message));
		if (is_final)
			buf_reset(&l->message);
		return;
	case WS_PING:
		send_frame(l, WS_PONG, f->payload);
		return;
	case WS_CLOSE:
		take_close(l, f->payload, now_ms);
		return;
	case WS_PONG:
	case WS_BINARY:
		return; /* nothing that was asked for */
	}
}

static void
take_frames(struct link *l, uint64_t now_ms)
{
	size_t at = 0;

	while (l->state == LINK_UP || l->state == LINK_CLOSING) {
		struct ws_client_frame f;
		ssize_t n = ws_client_decode(slice_skip(buf_slice(&l->in), at), FRAME_MAX, &f);

		if (n < 0) {
			l->close_code = (int)-n;
			link_drop(l);
			return;
		}
		if (n == 0)
			break;
		at += (size_t)n;
		take_frame(l, &f, now_ms);
	}
	buf_consume(&l->in, at);
}

/* --- bytes --- */

static void
write_out(struct link *l)
{
	while (l->out.n > 0 && l->state != LINK_DOWN) {
		size_t n = 0;
		CURLcode r = curl_easy_send(l->handle, l->out.p, l->out.n, &n);

		if (r == CURLE_AGAIN)
			return;
		if (r != CURLE_OK) {
			link_drop(l);
			return;
		}
		buf_consume(&l->out, n);
	}
	if (l->out.failed)
		link_drop(l);
}

static void
read_in(struct link *l, uint64_t now_ms)
{
	while (l->state != LINK_DOWN) {
		size_t n = 0;
		CURLcode r;

		if (buf_reserve(&l->in, READ_BYTES) < 0) {
			link_drop(l);
			return;
		}
		r = curl_easy_recv(l->handle, l->in.p + l->in.n, READ_BYTES, &n);
		if (r == CURLE_AGAIN)
			return;
		if (r != CURLE_OK || n == 0) {
			link_drop(l); /* its end */
			return;
		}
		l->in.n += n;
		l->heard_ms = now_ms;
		if (l->state == LINK_SHAKING)
			take_answer(l, now_ms);
		take_frames(l, now_ms);
	}
}

static void
connect_on(struct link *l, uint64_t now_ms)
{
	int running = 0;
	int left;
	const CURLMsg *m;

	if (curl_multi_perform(l->multi, &running) != CURLM_OK) {
		l->error = CURLE_FAILED_INIT;
		link_drop(l);
		return;
	}
	m = curl_multi_info_read(l->multi, &left);
	if (m == NULL || m->msg != CURLMSG_DONE)
		return;
	l->error = m->data.result;
	if (l->error != CURLE_OK)
		link_drop(l);
	else
		enter(l, LINK_SHAKING, now_ms);
}

void
link_turn(struct link *l, uint64_t now_ms)
{
	if (l->state == LINK_CONNECTING)
		connect_on(l, now_ms);
	if (l->state == LINK_DOWN || l->state == LINK_CONNECTING)
		return;
	write_out(l);
	read_in(l, now_ms);
	write_out(l);
	if ((l->state == LINK_SHAKING && now_ms - l->changed_ms > SHAKE_MS) ||
	    (l->state == LINK_CLOSING && now_ms - l->changed_ms > CLOSING_MS)) {
		l->error = CURLE_OPERATION_TIMEDOUT;
		link_drop(l);
	}
}

void
link_wait(struct link *l, struct pollfd *others, unsigned n, uint64_t ms)
{
	struct pollfd fds[OTHERS_MAX + 1];
	struct curl_waitfd while_connecting[OTHERS_MAX];
	curl_socket_t socket = CURL_SOCKET_BAD;
	nfds_t n_fds = n;
	int limit = (int)min_u64(ms, WAIT_MAX_MS);

	if (l->state == LINK_CONNECTING) {
		for (unsigned i = 0; i < n; i++)
			while_connecting[i] =
			    (struct curl_waitfd){.fd = others[i].fd, .events = CURL_WAIT_POLLIN};
		(void)curl_multi_poll(l->multi, while_connecting, n, limit, NULL); /* else now */
		for (unsigned i = 0; i < n; i++)
			others[i].revents = while_connecting[i].revents;
		return;
	}
	for (unsigned i = 0; i < n; i++)
		fds[i] = others[i];
	if (l->state != LINK_DOWN &&
	    curl_easy_getinfo(l->handle, CURLINFO_ACTIVESOCKET, &socket) == CURLE_OK &&
	    socket != CURL_SOCKET_BAD)
		fds[n_fds++] = (struct pollfd){
		    .fd = socket, .events = (short)(POLLIN | (l->out.n > 0 ? POLLOUT : 0))};
	if (poll(fds, n_fds, limit) < 0)
		n_fds = 0; /* a signal: the caller comes back */
	for (unsigned i = 0; i < n; i++)
		others[i].revents = n_fds == 0 ? 0 : fds[i].revents;
}
