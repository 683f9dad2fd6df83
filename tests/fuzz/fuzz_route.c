/*
 * A request at the door: routes, Host, Origin and CORS, where its token is. The first byte chooses
 * the configuration and the connection; then a head without its last empty line, its line breaks
 * LF, then an empty line and the body. Each request has one answer, whose headers and problem are
 * well-formed; Host and Origin are judged as docs/wire.md says, in a second way; no token shows.
 */
#include <arpa/inet.h>

#include "base/utf8.h"
#include "core/limiter.h"
#include "proto/json.h"
#include "serve/private.h"
#include "tests/fuzz/support_net.h"

#define INPUT_MAX 4096
#define TOKEN_MIN 12 /* a shorter one may be in an answer by chance */

enum {
	HAS_HOSTS = 1,
	HAS_STAR = 2,
	IS_LOOPBACK = 4,
	IS_TRUSTED = 8,
	IS_UNIX = 16,
	GUESTS = 32,
	NO_EXPLAIN = 64
};

/* --- a second way to say what Host and Origin are --- */

struct place {
	char scheme[16];
	char host[300]; /* lower case */
	long port;      /* 0: the scheme's own */
};

static long
default_port(const char *scheme)
{
	return strcmp(scheme, "https") == 0 ? 443 : 80;
}

static bool
has_only(const char *s, const char *set)
{
	return strspn(s, set) == strlen(s);
}

#define NAME "abcdefghijklmnopqrstuvwxyz0123456789-._~"

/* text: host, host:port, [v6], [v6]:port in lower case; scheme was set. */
static bool
read_place(char *text, struct place *out)
{
	char *colon = strrchr(text, ':');
	struct in6_addr v6;
	size_t n;

	out->port = 0;
	if (colon != NULL && strchr(colon, ']') == NULL) {
		if (!has_only(colon + 1, "0123456789") || strlen(colon) > 12)
			return false;
		out->port = strtol(colon + 1, NULL, 10);
		if (colon[1] != '\0' && (out->port < 1 || out->port > 65535))
			return false;
		*colon = '\0';
	}
	if (out->port == default_port(out->scheme))
		out->port = 0;
	n = strlen(text);
	if (n == 0 || n >= sizeof(out->host))
		return false;
	memcpy(out->host, text, n + 1);
	if (text[0] != '[')
		return has_only(text, NAME);
	if (text[n - 1] != ']')
		return false;
	text[n - 1] = '\0';
	return inet_pton(AF_INET6, text + 1, &v6) == 1;
}

static bool
lower(struct slice s, char *out, size_t size)
{
	if (s.n >= size || (s.n > 0 && memchr(s.p, '\0', s.n) != NULL))
		return false;
	for (size_t i = 0; i < s.n; i++)
		out[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);
	out[s.n] = '\0';
	return true;
}

/* Only the schemes that browsers have in an Origin; *is_web tells whether it is one of them. */
static bool
read_origin(struct slice s, struct place *out, bool *is_web)
{
	char text[400];
	char *rest;

	*is_web = true;
	if (!lower(s, text, sizeof(text)))
		return false;
	*is_web = strncmp(text, "http:", 5) == 0 || strncmp(text, "https:", 6) == 0;
	rest = strstr(text, "://");
	if (!*is_web || rest == NULL || rest > text + 5)
		return false;
	*rest = '\0';
	if (strcmp(text, "http") != 0 && strcmp(text, "https") != 0)
		return false;
	memcpy(out->scheme, text, strlen(text) + 1); /* http or https */
	return read_place(rest + 3, out);
}

static bool
is_same(const struct place *origin, struct slice authority)
{
	struct place host;
	char text[400];

	memcpy(host.scheme, origin->scheme, sizeof(host.scheme));
	return lower(authority, text, sizeof(text)) && read_place(text, &host) &&
	       host.port == origin->port && strcmp(host.host, origin->host) == 0;
}

/* https://app.example.org https://<any>.example.com:8443, as the configuration has them. */
static bool
is_listed(const struct place *origin)
{
	size_t n = strlen(origin->host);

	if (strcmp(origin->scheme, "https") != 0)
		return false;
	if (strcmp(origin->host, "app.example.org") == 0)
		return origin->port == 0;
	return n > 12 && strcmp(origin->host + n - 12, ".example.com") == 0 &&
	       origin->host[0] != '.' && origin->port == 8443;
}

static void
check_origin(const struct exchange *x, unsigned flags)
{
	struct slice origin;
	enum origin_kind kind = origin_judge(x, &origin);
	struct slice forwarded = http_header(x->head, SLICE("X-Forwarded-Host"), NULL);
	struct place place;
	bool is_web;
	size_t count;

	(void)http_header(x->head, SLICE("Origin"), &count);
	NEED((kind == ORIGIN_ABSENT) == (count == 0));
	if (count > 1)
		NEED(kind == ORIGIN_REFUSED);
	if (count != 1)
		return;
	if (!read_origin(origin, &place, &is_web)) {
		NEED(!is_web || kind == ORIGIN_REFUSED);
		return;
	}
	forwarded = (flags & IS_TRUSTED) != 0 ? http_list_next(&forwarded) : SLICE_NONE;
	if (is_same(&place, x->head->authority) ||
	    (forwarded.p != NULL && is_same(&place, forwarded)))
		NEED(kind == ORIGIN_SAME);
	else if (is_listed(&place))
		NEED(kind == ORIGIN_LISTED);
	else
		NEED(kind == ((flags & HAS_STAR) != 0 ? ORIGIN_STAR : ORIGIN_REFUSED));
}

static bool
is_known_host(struct slice authority, unsigned flags)
{
	struct place place = {.scheme = "http"};
	struct in6_addr v6;
	struct in_addr v4;
	char text[400];
	size_t n;

	if (!lower(authority, text, sizeof(text)) || !read_place(text, &place))
		return false;
	if ((flags & HAS_HOSTS) != 0)
		return strcmp(place.host, "chat.example.org") == 0 ||
		       (strcmp(place.host, "fixed.example") == 0 && place.port == 8080);
	if (strcmp(place.host, "localhost") == 0)
		return true;
	n = strlen(place.host);
	if (place.host[0] == '[') {
		place.host[n - 1] = '\0';
		return inet_pton(AF_INET6, place.host + 1, &v6) == 1 &&
		       (IN6_IS_ADDR_LOOPBACK(&v6) ||
			   (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127));
	}
	return inet_pton(AF_INET, place.host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

/* --- the answer --- */

static void
check_headers(struct slice rest)
{
	while (rest.n > 0) {
		struct slice value = slice_cut(&rest, '\n');
		struct slice name;

		NEED(value.n > 0 && value.p[value.n - 1] == '\r' && rest.p != NULL);
		value.n--;
		name = slice_cut(&value, ':');
		NEED(http_is_token(name) && value.p != NULL);
		for (size_t i = 0; i < value.n; i++)
			NEED((unsigned char)value.p[i] >= 0x20 && value.p[i] != 0x7f);
	}
}

static void
check_problem(const struct fake *f)
{
	cJSON *json = NULL;

	if (f->x.method == HTTP_HEAD)
		return;
	NEED(strcmp(f->type, "application/problem+json") == 0);
	NEED(json_parse(buf_slice(&f->body), &json, NULL) == 0);
	NEED(json_member(json, "status")->valueint == f->status);
	NEED(json_slice(json_member(json, "code")).n > 0);
	NEED(json_slice(json_member(json, "detail")).n > 0);
	NEED(json_slice(json_member(json, "title")).n > 0);
	NEED(!utf8_has_control(json_slice(json_member(json, "detail"))));
	cJSON_Delete(json);
	NEED(f->status != 401 || fake_header(f, "WWW-Authenticate").p != NULL);
	NEED(f->status != 405 || fake_header(f, "Allow").p != NULL);
	NEED(f->called[0] == '\0');
}

static void
check_cors(const struct fake *f)
{
	struct slice allowed = slice_trim(fake_header(f, "Access-Control-Allow-Origin"));
	struct slice origin;
	enum origin_kind kind = origin_judge(&f->x, &origin);

	NEED(fake_has(f, "Vary: Origin"));
	if (allowed.p != NULL)
		NEED(kind == ORIGIN_STAR ? slice_eq(allowed, SLICE("*"))
					 : kind == ORIGIN_LISTED && slice_eq(allowed, origin));
	if (fake_header(f, "Access-Control-Allow-Credentials").p != NULL)
		NEED(kind == ORIGIN_LISTED);
}

/* A token that is in one place of the request is in no place of the answer. */
static void
check_secret(const struct fake *f, struct slice token, struct slice answer)
{
	struct slice request = buf_slice(&f->request);
	const char *first;

	if (token.n < TOKEN_MIN || answer.n == 0)
		return;
	first = memmem(request.p, request.n, token.p, token.n);
	if (first == NULL || memmem(first + 1, (size_t)(request.p + request.n - first - 1), token.p,
				 token.n) != NULL)
		return;
	NEED(memmem(answer.p, answer.n, token.p, token.n) == NULL);
}

static void
check_token(struct fake *f)
{
	struct buf scratch = BUF_INIT(65536);
	struct refusal why = {0};
	struct claims *claims = NULL;
	enum token_place where = TOKEN_NOWHERE;
	struct slice token = SLICE_NONE;
	bool found = false;
	int r = token_locate(&f->x, &scratch, &token, &where, &why);

	if (r == 0) {
		NEED((where == TOKEN_NOWHERE) == (token.p == NULL));
		check_secret(f, token, buf_slice(&f->body));
		check_secret(f, token, buf_slice(&f->x.headers));
	} else {
		NEED(error_status(why.code) == 400 && why.text[0] != '\0');
	}
	if (!f->conn.is_unix && serve_find_token(&f->x, true, &claims, &why, &found) == 0) {
		struct slice origin;

		NEED(r == 0);
		if (where == TOKEN_COOKIE)
			NEED(origin_judge(&f->x, &origin) == ORIGIN_SAME ||
			     origin_judge(&f->x, &origin) == ORIGIN_LISTED);
		NEED(!found || slice_eq(token, SLICE("good")) || slice_eq(token, SLICE("guest")) ||
		     slice_eq(token, SLICE("admin")));
		claims_unref(claims);
	} else if (!f->conn.is_unix) {
		NEED(why.text[0] != '\0');
	}
	buf_done(&scratch);
}

static bool
head_is_good(const char *text)
{
	static struct http_head head;
	struct buf b = BUF_INIT(3 * INPUT_MAX);
	bool is_good;

	for (; *text != '\0'; text++) {
		if (*text == '\n')
			(void)buf_add_char(&b, '\r');
		(void)buf_add_char(&b, *text);
	}
	is_good = BUF_ADD_LIT(&b, "\r\n\r\n") == 0 &&
		  http_parse_head(buf_slice(&b), 16384, &head) == (ssize_t)b.n;
	buf_done(&b);
	return is_good;
}

static void
configure(struct fake *f, unsigned flags)
{
	fake_init(f);
	fake_list(&f->config.allow_origins,
	    (flags & HAS_STAR) != 0 ? "https://app.example.org https://*.example.com:8443 *"
				    : "https://app.example.org https://*.example.com:8443");
	if ((flags & HAS_HOSTS) != 0)
		fake_list(&f->config.hosts, "chat.example.org fixed.example:8080");
	f->conn.is_loopback = (flags & IS_LOOPBACK) != 0;
	f->conn.is_trusted = (flags & IS_TRUSTED) != 0;
	f->conn.is_unix = (flags & IS_UNIX) != 0;
	f->config.auth.guests = (flags & GUESTS) != 0;
	f->config.auth.explain = (flags & NO_EXPLAIN) == 0;
	f->config.auth.guest_tokens_per_minute = 30;
}

static void
ask(const char *text, const char *body, unsigned flags)
{
	static struct fake f;
	int status;

	configure(&f, flags);
	status = fake_ask_body(&f, text, body);
	NEED(status >= 200 && status <= 505 && f.x.is_answered);
	check_headers(buf_slice(&f.x.headers));
	check_origin(&f.x, flags);
	check_cors(&f);
	if (status >= 400)
		check_problem(&f);
	/* behind a name that is not ours nothing is answered; HTTP/1.0 may come without any */
	if ((flags & IS_UNIX) == 0 && (flags & (HAS_HOSTS | IS_LOOPBACK)) != 0 && status < 400 &&
	    (f.x.minor > 0 || f.head.authority.n > 0))
		NEED(is_known_host(f.head.authority, flags));
	check_token(&f);
	fake_done(&f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);
	unsigned flags = take_byte(&in);
	char text[INPUT_MAX + 1];
	const char *body = "";
	char *end;

	if (in.n == 0 || in.n > INPUT_MAX || memchr(in.p, '\0', in.n) != NULL)
		return 0;
	memcpy(text, in.p, in.n);
	text[in.n] = '\0';
	end = strstr(text, "\n\n");
	if (end != NULL) {
		*end = '\0';
		body = end + 2;
	}
	if (head_is_good(text))
		ask(text, body, flags);
	return 0;
}
