#include "proto/ws.h"

#include <openssl/evp.h>

#include "base/b64.h"

#define GUID          "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, 1.3 */
#define SHA1_SIZE     20
#define KEY_CHARS     24 /* 16 bytes in base64 */
#define PROTOCOLS_MAX 32 /* subprotocols in one request: each pair is compared */
#define BITS_MIN      8  /* RFC 7692, 7.1.2: window sizes */
#define BITS_MAX      15

#define ROW(error) [WS_H_##error - WS_H_METHOD]

static const struct {
	int status;
	const char *text;
} errors[] = {
    ROW(METHOD) = {405, "a WebSocket handshake is a GET request"},
    ROW(HTTP_1_0) = {400, "a WebSocket handshake needs HTTP/1.1"},
    ROW(NO_UPGRADE) = {426, "`Upgrade: websocket` with `Connection: Upgrade` is wanted here"},
    ROW(VERSION) = {426, "Sec-WebSocket-Version must be 13"},
    ROW(KEY) = {400, "Sec-WebSocket-Key must be there once, 16 bytes in base64"},
    ROW(DOUBLE) = {400, "Sec-WebSocket-Version is there twice"},
    ROW(BODY) = {400, "a WebSocket handshake has no body"},
    ROW(EXTENSIONS) = {400, "Sec-WebSocket-Extensions is malformed"},
    ROW(PROTOCOLS) = {400, "Sec-WebSocket-Protocol must list tokens, each once"},
    ROW(BEARERS) = {400, "Sec-WebSocket-Protocol brings two tokens"},
    ROW(NO_MEMORY) = {503, "the server is short of memory; try again"},
};

int
ws_handshake_status(int error)
{
	size_t i = (size_t)(error - WS_H_METHOD);

	return error >= WS_H_METHOD && i < ARRAY_LEN(errors) ? errors[i].status : 400;
}

const char *
ws_handshake_text(int error)
{
	size_t i = (size_t)(error - WS_H_METHOD);

	if (error < WS_H_METHOD || i >= ARRAY_LEN(errors))
		return "the WebSocket handshake is malformed";
	return errors[i].text;
}

int
ws_accept(struct slice key, char out[WS_ACCEPT_SIZE])
{
	char joined[KEY_CHARS + sizeof(GUID) - 1];
	unsigned char digest[SHA1_SIZE];
	size_t n = min_size(key.n, KEY_CHARS);

	_Static_assert(B64_SIZE(SHA1_SIZE) == WS_ACCEPT_SIZE, "4.2.2: base64 of a SHA-1");
	if (n > 0)
		memcpy(joined, key.p, n);
	memcpy(joined + n, GUID, sizeof(GUID) - 1);
	n += sizeof(GUID) - 1;
	if (EVP_Digest(joined, n, digest, NULL, EVP_sha1(), NULL) != 1)
		return WS_H_NO_MEMORY;
	(void)b64_encode(digest, sizeof(digest), out);
	return 0;
}

/*
 * 22 characters of the alphabet and two '='. The four bits that 16 bytes leave over are not looked
 * at: 4.2.1 asks only that 16 bytes come out.
 */
static bool
key_is_valid(struct slice key)
{
	if (key.n != KEY_CHARS || key.p[22] != '=' || key.p[23] != '=')
		return false;
	for (size_t i = 0; i < 22; i++) {
		char c = key.p[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			c == '+' || c == '/'))
			return false;
	}
	return true;
}

/* --- subprotocols (4.1, point 10) --- */

struct protocols {
	struct slice seen[PROTOCOLS_MAX];
	size_t n;
};

static int
take_protocol(struct protocols *list, struct slice name, struct ws_handshake *hs)
{
	struct slice prefix = SLICE("bearer.");

	if (!http_is_token(name) || list->n == PROTOCOLS_MAX)
		return WS_H_PROTOCOLS;
	if (slice_has_prefix(name, prefix)) {
		if (hs->bearer.p != NULL)
			return WS_H_BEARERS; /* which of the two would count? */
		hs->bearer = slice_skip(name, prefix.n);
	}
	for (size_t i = 0; i < list->n; i++) {
		if (slice_eq(list->seen[i], name))
			return WS_H_PROTOCOLS;
	}
	list->seen[list->n++] = name;
	hs->has_protocols = true;
	if (slice_eq(name, SLICE("belfry.v1")))
		hs->offers_belfry = true;
	return 0;
}

/* --- extensions (RFC 6455, 9.1; RFC 7692, 7.1) --- */

/* A parameter's value after unquoting: the only ones we read have one or two digits. */
struct value {
	bool is_there;
	char text[4];
	size_t n; /* may be more than text holds */
};

struct offer {
	bool is_deflate;
	bool is_bad; /* unknown, repeated or invalid parameters: decline it, look at the next */
	bool has_server_takeover;
	bool has_client_takeover;
	bool has_client_bits;
	int server_bits; /* 0: not asked for */
};

static void
skip_space(struct slice *s)
{
	while (s->n > 0 && (s->p[0] == ' ' || s->p[0] == '\t'))
		*s = slice_skip(*s, 1);
}

/* The token at the start of *s, cut off from it; empty when there is none. */
static struct slice
cut_token(struct slice *s)
{
	struct slice token = slice_of(s->p, 0);

	while (token.n < s->n && http_is_token(slice_of(s->p + token.n, 1)))
		token.n++;
	*s = slice_skip(*s, token.n);
	return token;
}

static void
add_char(struct value *v, char c)
{
	if (v->n < sizeof(v->text))
		v->text[v->n] = c;
	v->n++;
}

/*
 * A quoted string whose contents, unescaped, are a token (RFC 6455, 9.1). *s starts at the opening
 * quote.
 */
static int
cut_quoted(struct slice *s, struct value *v)
{
	*s = slice_skip(*s, 1);
	while (s->n > 0 && s->p[0] != '"') {
		if (s->p[0] == '\\')
			*s = slice_skip(*s, 1);
		if (s->n == 0 || !http_is_token(slice_of(s->p, 1)))
			return WS_H_EXTENSIONS;
		add_char(v, s->p[0]);
		*s = slice_skip(*s, 1);
	}
	if (s->n == 0 || v->n == 0)
		return WS_H_EXTENSIONS;
	*s = slice_skip(*s, 1);
	return 0;
}

/* What may follow a parameter's name: `= token` or `= "token"`. */
static int
cut_value(struct slice *s, struct value *v)
{
	struct slice token;

	*v = (struct value){0};
	skip_space(s);
	if (s->n == 0 || s->p[0] != '=')
		return 0;
	v->is_there = true;
	*s = slice_skip(*s, 1);
	skip_space(s);
	if (s->n > 0 && s->p[0] == '"')
		return cut_quoted(s, v);
	token = cut_token(s);
	if (token.n == 0)
		return WS_H_EXTENSIONS;
	for (size_t i = 0; i < token.n; i++)
		add_char(v, token.p[i]);
	return 0;
}

/* 8..15 without leading zeros (RFC 7692, 7.1.2); 0 when it is something else. */
static int
window_bits(const struct value *v)
{
	int bits = 0;

	if (v->n == 1)
		bits = v->text[0] - '0';
	else if (v->n == 2 && v->text[0] == '1' && v->text[1] >= '0' && v->text[1] <= '9')
		bits = 10 + (v->text[1] - '0');
	return bits >= BITS_MIN && bits <= BITS_MAX ? bits : 0;
}

static bool
set_once(bool *flag)
{
	bool is_first = !*flag;

	*flag = true;
	return is_first;
}

/* False when this parameter makes the offer one to decline (RFC 7692, 7.1). */
static bool
take_parameter(struct offer *o, struct slice name, const struct value *v)
{
	if (slice_eq(name, SLICE("server_no_context_takeover")))
		return set_once(&o->has_server_takeover) && !v->is_there;
	if (slice_eq(name, SLICE("client_no_context_takeover")))
		return set_once(&o->has_client_takeover) && !v->is_there;
	if (slice_eq(name, SLICE("client_max_window_bits")))
		return set_once(&o->has_client_bits) && (!v->is_there || window_bits(v) != 0);
	if (slice_eq(name, SLICE("server_max_window_bits")) && o->server_bits == 0) {
		o->server_bits = window_bits(v);
		return o->server_bits != 0;
	}
	return false;
}

/*
 * One element of the list: `name; param; param=value`. 0, or WS_H_EXTENSIONS when its form is
 * wrong.
 */
static int
take_extension(struct slice s, struct ws_handshake *hs)
{
	struct offer offer = {0};
	struct slice name = cut_token(&s);
	struct value v;

	if (name.n == 0)
		return WS_H_EXTENSIONS;
	offer.is_deflate = slice_eq(name, SLICE("permessage-deflate"));
	for (skip_space(&s); s.n > 0; skip_space(&s)) {
		int r;

		if (s.p[0] != ';')
			return WS_H_EXTENSIONS;
		s = slice_skip(s, 1);
		skip_space(&s);
		name = cut_token(&s);
		if (name.n == 0)
			return WS_H_EXTENSIONS;
		r = cut_value(&s, &v);
		if (r < 0)
			return r;
		if (offer.is_deflate && !take_parameter(&offer, name, &v))
			offer.is_bad = true;
	}
	if (offer.is_deflate && !offer.is_bad && !hs->deflate) {
		hs->deflate = true;
		hs->server_max_window_bits = offer.server_bits;
		hs->deflate_peer_small = offer.server_bits != 0 && offer.server_bits < BITS_MAX;
	}
	return 0;
}

/* Walk the two list headers, which may come several times. */
static int
take_lists(const struct http_head *h, struct ws_handshake *hs)
{
	struct http_elements names = {.head = h, .name = SLICE("sec-websocket-protocol")};
	struct http_elements offers = {.head = h, .name = SLICE("sec-websocket-extensions")};
	struct protocols protocols = {.n = 0};
	struct slice part;
	int r = 0;

	while (r == 0 && (part = http_elements_next(&names)).p != NULL)
		r = take_protocol(&protocols, part, hs);
	while (r == 0 && (part = http_elements_next(&offers)).p != NULL)
		r = take_extension(part, hs);
	return r;
}

int
ws_handshake_check(const struct http_head *h, struct ws_handshake *out)
{
	struct ws_handshake hs = {0};
	struct slice value;
	size_t count;
	int r;

	if (h->method != HTTP_GET)
		return WS_H_METHOD;
	if (h->minor == 0)
		return WS_H_HTTP_1_0;
	if (!h->is_upgrade || !http_header_has_token(h, SLICE("upgrade"), SLICE("websocket")))
		return WS_H_NO_UPGRADE;
	if (h->is_chunked || h->content_length > 0)
		return WS_H_BODY;
	value = http_header(h, SLICE("sec-websocket-version"), &count);
	if (count > 1)
		return WS_H_DOUBLE;
	if (count == 0 || !slice_eq(value, SLICE("13")))
		return WS_H_VERSION;
	value = http_header(h, SLICE("sec-websocket-key"), &count);
	if (count != 1 || !key_is_valid(value))
		return WS_H_KEY;
	r = take_lists(h, &hs);
	if (r < 0)
		return r;
	r = ws_accept(value, hs.accept);
	if (r < 0)
		return r;
	*out = hs;
	return 0;
}

#define ANSWER "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

/*
 * An offer with server_max_window_bits is accepted by repeating it (RFC 7692, 7.1.2.1). It binds
 * only what we compress: a peer with a small window gets plain frames.
 */
const char *
ws_handshake_extensions(const struct ws_handshake *hs)
{
	static const char *const answers[] = {
	    ANSWER "; server_max_window_bits=8",
	    ANSWER "; server_max_window_bits=9",
	    ANSWER "; server_max_window_bits=10",
	    ANSWER "; server_max_window_bits=11",
	    ANSWER "; server_max_window_bits=12",
	    ANSWER "; server_max_window_bits=13",
	    ANSWER "; server_max_window_bits=14",
	    ANSWER "; server_max_window_bits=15",
	};

	_Static_assert(ARRAY_LEN(answers) == BITS_MAX - BITS_MIN + 1, "one for each size");
	if (hs->server_max_window_bits < BITS_MIN || hs->server_max_window_bits > BITS_MAX)
		return ANSWER;
	return answers[hs->server_max_window_bits - BITS_MIN];
}
