#include "net/conn.h"
#include "proto/url.h"
#include "serve/admission.h"
#include "serve/private.h"

#define SMALL_BODY (64 * 1024) /* of requests whose body is ignored or a few fields */

#define BIT(method)  (1U << HTTP_##method)
#define GET_METHODS  (BIT(GET) | BIT(HEAD) | BIT(OPTIONS))
#define POST_METHODS (BIT(POST) | BIT(OPTIONS))
/* What some resource takes: the answer to OPTIONS *. */
#define SERVER_METHODS (GET_METHODS | BIT(POST) | BIT(DELETE))

enum tail {
	TAIL_NONE,    /* the path ends with the name */
	TAIL_NUMBER,  /* name/123, digits only */
	TAIL_SEGMENT, /* name/one, one of any bytes but '/' */
	TAIL_REST,    /* name/all that follows */
};

#define NAME(text)                                                                                 \
	{                                                                                          \
		(text), sizeof(text) - 1                                                           \
	}

/*
 * The endpoints. What no row names is a file. Rows of one name with different tails are
 * different resources.
 */
static const struct route {
	struct slice name; /* the first segment */
	enum tail tail;
	unsigned methods; /* bits of enum http_method */
	bool is_big;      /* bodies up to limits.body */
	void (*run)(struct exchange *x);
	void (*run_tail)(struct exchange *x, struct slice tail);
} routes[] = {
    {NAME("chat"), TAIL_NONE, GET_METHODS, false, serve_chat, NULL},
    {NAME("chat"), TAIL_SEGMENT, POST_METHODS, true, NULL, serve_chat_post},
    {NAME("events"), TAIL_NONE, GET_METHODS, false, serve_events, NULL},
    {NAME("publish"), TAIL_NONE, POST_METHODS, true, NULL, serve_publish},
    {NAME("publish"), TAIL_NUMBER, POST_METHODS | BIT(DELETE), true, NULL, serve_publish},
    {NAME("publish"), TAIL_REST, POST_METHODS, true, NULL, serve_publish},
    {NAME("history"), TAIL_NONE, GET_METHODS, false, serve_history, NULL},
    {NAME("echo"), TAIL_NONE, GET_METHODS, false, serve_echo, NULL},
    {NAME("token"), TAIL_NONE, GET_METHODS | BIT(POST), false, serve_token, NULL},
    {NAME("healthz"), TAIL_NONE, GET_METHODS, false, serve_healthz, NULL},
    {NAME("readyz"), TAIL_NONE, GET_METHODS, false, serve_readyz, NULL},
    {NAME("metrics"), TAIL_NONE, GET_METHODS, false, serve_metrics, NULL},
    {NAME("api"), TAIL_REST, SERVER_METHODS, false, NULL, serve_admin},
};

static const struct route files_route = {
    NAME(""), TAIL_REST, GET_METHODS, false, serve_files, NULL};

#define NAME_MAX_BYTES 32 /* of an encoded segment that may name an endpoint */

/*
 * An encoded path segment in plain characters, absent when it cannot name an endpoint: escapes of
 * unreserved characters mean the character (RFC 3986, 6.2.2.2).
 */
static struct slice
plain_segment(struct slice segment, char out[NAME_MAX_BYTES])
{
	ssize_t n;

	if (segment.n <= NAME_MAX_BYTES && memchr(segment.p, '%', segment.n) == NULL)
		return segment;
	n = segment.n > NAME_MAX_BYTES ? -1 : url_decode(segment, false, out);
	return n < 0 ? SLICE_NONE : slice_of(out, (size_t)n);
}

static size_t
count_digits(struct slice s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	return n;
}

static bool
fits_tail(enum tail tail, struct slice rest)
{
	switch (tail) {
	case TAIL_NONE:
		return rest.p == NULL;
	case TAIL_NUMBER:
		return rest.n > 0 && count_digits(rest) == rest.n;
	case TAIL_SEGMENT:
		return rest.p != NULL && rest.n > 0 && memchr(rest.p, '/', rest.n) == NULL;
	case TAIL_REST:
		return rest.p != NULL;
	}
	return false;
}

/* The resource that the path names, and what follows its name; NULL: there is none. */
static const struct route *
find_route(struct exchange *x, struct slice *out_tail)
{
	struct slice rest = x->head->path;
	char plain[NAME_MAX_BYTES];
	struct slice name;
	bool is_known = false;

	if (rest.n == 0 || rest.p[0] != '/')
		return NULL;
	rest = slice_skip(rest, 1);
	name = plain_segment(slice_cut(&rest, '/'), plain);
	*out_tail = rest;
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (!slice_eq(name, routes[i].name))
			continue;
		is_known = true;
		if (routes[i].run == serve_echo && !serve_of(x)->config->echo)
			continue;
		if (fits_tail(routes[i].tail, rest))
			return &routes[i];
	}
	if (is_known || slice_eq(name, SLICE("api")))
		return NULL;
	/*
	 * Whether a file is there matters before the method does: what is not there has no
	 * methods.
	 */
	if (x->method != HTTP_GET && x->method != HTTP_HEAD && !files_have(x))
		return NULL;
	return &files_route;
}

#define ALLOW_MAX 64

/* The value of Allow: what the resource takes. */
static const char *
list_methods(unsigned methods, char out[ALLOW_MAX])
{
	size_t n = 0;

	for (int m = 0; m < HTTP_METHOD_UNKNOWN; m++) {
		const char *name = http_method_name((enum http_method)m);
		size_t length = strlen(name);

		if ((methods & 1U << m) == 0 || n + length + 3 > ALLOW_MAX)
			continue;
		if (n > 0) {
			out[n++] = ',';
			out[n++] = ' ';
		}
		memcpy(out + n, name, length);
		n += length;
	}
	out[n] = '\0';
	return out;
}

/* OPTIONS * asks about the server, not about a resource (RFC 9110, 9.3.7). */
static bool
is_server_options(const struct exchange *x)
{
	return x->method == HTTP_OPTIONS && slice_eq(x->head->path, SLICE("*"));
}

/* What the resource takes that the path names; 0: it names none. */
static unsigned
methods_of(const struct route *route, struct slice tail)
{
	return route->run_tail == serve_admin ? serve_admin_methods(tail) : route->methods;
}

static int
check_method(struct exchange *x, const struct route *route, struct slice tail, struct refusal *r)
{
	char allow[ALLOW_MAX] UNCLEARED;
	char method[REFUSE_CLEAN] UNCLEARED;
	char path[REFUSE_CLEAN] UNCLEARED;
	unsigned methods = methods_of(route, tail);

	if ((methods & 1U << x->method) != 0)
		return 0;
	/* what some of /api takes is for serve_admin to judge, which asks first for whom */
	if (x->method != HTTP_OPTIONS && (route->methods & 1U << x->method) != 0)
		return 0;
	if (methods == 0)
		return refuse(r, ERROR_NOT_FOUND, "there is nothing at '%s'",
		    refuse_clean(x->head->path, path));
	exchange_header(x, "Allow", slice_str(list_methods(methods, allow)));
	return refuse(r, ERROR_METHOD_NOT_ALLOWED, "'%s' takes %s, not %s",
	    refuse_clean(x->head->path, path), allow, refuse_clean(x->head->method_text, method));
}

static int
check_route(struct exchange *x, const struct route **out, struct refusal *r)
{
	char allow[ALLOW_MAX] UNCLEARED;
	char method[REFUSE_CLEAN] UNCLEARED;
	char path[REFUSE_CLEAN] UNCLEARED;
	const struct route *route;
	struct slice tail;

	if (x->method == HTTP_METHOD_UNKNOWN)
		return refuse(r, ERROR_NOT_IMPLEMENTED, "there is no method '%s'",
		    refuse_clean(x->head->method_text, method));
	if (x->method == HTTP_CONNECT) {
		x->keep_alive = false; /* what follows may be meant for the tunnel */
		exchange_header(x, "Allow", slice_str(list_methods(SERVER_METHODS, allow)));
		return refuse(r, ERROR_METHOD_NOT_ALLOWED, "there are no tunnels here");
	}
	route = find_route(x, &tail);
	if (route == NULL)
		return refuse(r, ERROR_NOT_FOUND, "there is nothing at '%s'",
		    refuse_clean(x->head->path, path));
	if (check_method(x, route, tail, r) < 0)
		return -1;
	*out = route;
	return 0;
}

/* A body is taken as it is: one in a coding would be kept or read as nonsense (RFC 9110 8.4). */
static int
check_coding(struct exchange *x, struct refusal *r)
{
	struct http_elements codings = {.head = x->head, .name = SLICE("Content-Encoding")};
	char clean[REFUSE_CLEAN] UNCLEARED;
	struct slice coding;

	if (!x->has_body || x->head->fields[HTTP_FIELD_CONTENT_ENCODING] == 0)
		return 0;
	while ((coding = http_elements_next(&codings)).p != NULL) {
		if (slice_eq_nocase(coding, SLICE("identity")))
			continue;
		exchange_header(x, "Accept-Encoding", SLICE("identity"));
		return refuse(r, ERROR_UNSUPPORTED_MEDIA,
		    "Content-Encoding '%s' is not taken here: send the body as it is",
		    refuse_clean(coding, clean));
	}
	return 0;
}

static int
check_body(struct exchange *x, const struct route *route, struct refusal *r)
{
	const struct config_limits *limits = &serve_of(x)->config->limits;

	x->body_limit =
	    route != NULL && route->is_big ? limits->body : min_u64(limits->body, SMALL_BODY);
	if (x->head->has_length && x->head->content_length > x->body_limit)
		return refuse_limit(r, ERROR_TOO_LARGE, "limits.body", 0,
		    "the body has %llu bytes, at most %llu are taken here",
		    (unsigned long long)x->head->content_length, (unsigned long long)x->body_limit);
	if (route != NULL && route->is_big &&
	    x->net->memory + x->head->content_length > x->net->memory_limit)
		return refuse_limit(r, ERROR_UNAVAILABLE, "limits.memory", 1,
		    "the daemon's memory for queues and bodies is used up");
	return 0;
}

/*
 * Expect: 100-continue asks whether the body is wanted (RFC 9110, 10.1.1): one that comes without a
 * good token is not. The token is looked at again when the request is run.
 */
static int
check_expected(struct exchange *x, struct refusal *r)
{
	struct claims *claims = NULL;
	bool found;

	if (serve_find_token(x, true, &claims, r, &found) < 0)
		return -1;
	claims_unref(claims);
	return 0;
}

/*
 * Where there is no room only what opens a connection for long is looked at: admission turns it
 * away in its own words. What tells how the daemon fares is told, too.
 */
static int
check_room(const struct exchange *x, const struct route *route, struct refusal *r)
{
	bool is_figure =
	    route != NULL && (route->run == serve_healthz || route->run == serve_readyz ||
				 route->run == serve_metrics);

	if (route != NULL && (route->run == serve_chat || route->run == serve_events))
		return 0;
	return is_figure && !conn_is_extra(x->conn) ? 0 : admission_room(x, r);
}

void
serve_on_head(struct exchange *x)
{
	const struct route *route = NULL;
	struct refusal r UNCLEARED;
	int result;

	x->body_limit = SMALL_BODY;
	serve_cors(x);
	result = serve_check_host(x, &r);
	if (result == 0 && !is_server_options(x))
		result = check_route(x, &route, &r);
	x->route = route;
	if (result == 0)
		result = check_room(x, route, &r);
	if (result == 0)
		result = check_body(x, route, &r);
	if (result == 0)
		result = check_coding(x, &r);
	if (result == 0 && x->head->expect_continue && x->method == HTTP_POST && route != NULL &&
	    route->is_big)
		result = check_expected(x, &r);
	if (result == 0)
		return;
	/* The body was not read, and must not be read as the next request. */
	if (x->has_body)
		x->keep_alive = false;
	serve_refuse(x, &r);
}

static void
answer_options(struct exchange *x, unsigned methods)
{
	char allow[ALLOW_MAX] UNCLEARED;

	(void)list_methods(methods, allow);
	if (x->head->fields[HTTP_FIELD_ORIGIN] > 0 &&
	    http_header(x->head, SLICE("Access-Control-Request-Method"), NULL).p != NULL) {
		serve_preflight(x, allow);
		return;
	}
	exchange_header(x, "Allow", slice_str(allow));
	exchange_header(x, "Cache-Control", SLICE("no-store"));
	exchange_reply(x, 204, NULL, SLICE_NONE);
}

/* What the head was found to name; a file may have gone since. */
static const struct route *
route_again(struct exchange *x, struct slice *out_tail)
{
	if (x->route == NULL || x->route == &files_route)
		return find_route(x, out_tail);
	*out_tail = slice_skip(x->head->path, 1);
	(void)slice_cut(out_tail, '/');
	return x->route;
}

void
serve_on_request(struct exchange *x)
{
	const struct route *route;
	struct slice tail;
	struct refusal r UNCLEARED;

	if (is_server_options(x)) {
		answer_options(x, SERVER_METHODS);
		return;
	}
	route = route_again(x, &tail);
	if (route == NULL) { /* a file that has gone since the head was looked at */
		(void)refuse(&r, ERROR_NOT_FOUND, "it has just gone");
		serve_refuse(x, &r);
	} else if (x->method == HTTP_OPTIONS) {
		answer_options(x, methods_of(route, tail));
	} else if (route->run_tail != NULL) {
		route->run_tail(x, tail);
	} else {
		route->run(x);
	}
}
