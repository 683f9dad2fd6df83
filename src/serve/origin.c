#include <arpa/inet.h>
#include <netinet/in.h>

#include "core/counters.h"
#include "net/conn.h"
#include "proto/url.h"
#include "serve/private.h"

/* host and port, the default port of the Origin's scheme dropped (0) */
struct place {
	struct slice scheme;
	struct slice host;
	int port;
};

/* The default port of an Origin's scheme. */
static int
default_port(struct slice scheme)
{
	return slice_eq_nocase(scheme, SLICE("https")) ? 443 : 80;
}

static bool
place_of_origin(struct slice origin, struct place *out)
{
	return url_origin_authority(origin, &out->scheme, &out->host, &out->port) == 0;
}

/*
 * Whether an authority (of Host or X-Forwarded-Host) is the Origin's host and port. Schemes are
 * not compared: TLS may end in front of us.
 */
static bool
is_same_host(const struct place *origin, struct slice authority)
{
	struct slice host;
	int port;

	if (url_split_authority(authority, &host, &port) < 0)
		return false;
	if (port == default_port(origin->scheme))
		port = 0;
	return port == origin->port && slice_eq_nocase(host, origin->host);
}

/* An entry with a star for subdomains: the same scheme and port, and at least one label more. */
static bool
matches_wildcard(const struct place *origin, struct slice scheme, struct slice domain)
{
	struct slice host;
	int port;

	/* domain: what follows the star, with its dot */
	if (url_split_authority(slice_skip(domain, 1), &host, &port) < 0)
		return false;
	if (port == default_port(scheme))
		port = 0;
	host = slice_of(host.p - 1, host.n + 1);
	return port == origin->port && slice_eq_nocase(scheme, origin->scheme) &&
	       origin->host.n > host.n && origin->host.p[0] != '.' &&
	       slice_eq_nocase(slice_skip(origin->host, origin->host.n - host.n), host);
}

/* One entry of cors.allow_origins other than `*`. */
static bool
matches_entry(const struct place *origin, struct slice entry)
{
	struct place allowed;
	const char *colon = memchr(entry.p, ':', entry.n);

	if (colon != NULL) {
		struct slice scheme = slice_of(entry.p, (size_t)(colon - entry.p));
		struct slice rest = slice_skip(entry, scheme.n);

		if (slice_has_prefix(rest, SLICE("://*.")))
			return matches_wildcard(origin, scheme, slice_skip(rest, 4));
	}
	return place_of_origin(entry, &allowed) && allowed.port == origin->port &&
	       slice_eq_nocase(allowed.scheme, origin->scheme) &&
	       slice_eq_nocase(allowed.host, origin->host);
}

static bool
is_listed(const struct strings *list, const struct place *origin, bool *by_star)
{
	*by_star = false;
	for (size_t i = 0; i < list->n; i++) {
		if (strcmp(list->v[i], "*") == 0)
			*by_star = true;
		else if (matches_entry(origin, slice_str(list->v[i])))
			return true;
	}
	return false;
}

/*
 * The host that the client asked a trusted proxy for; absent when there is none or the peer is
 * not trusted.
 */
static struct slice
forwarded_host(const struct exchange *x)
{
	struct slice value = http_field(x->head, HTTP_FIELD_FORWARDED_HOST);

	if (value.p == NULL || x->conn == NULL || !conn_from_trusted_proxy(x->conn))
		return SLICE_NONE;
	return http_list_next(&value);
}

enum origin_kind
origin_judge(const struct exchange *x, struct slice *out_origin)
{
	unsigned count = x->head->fields[HTTP_FIELD_ORIGIN];
	struct slice origin = http_field(x->head, HTTP_FIELD_ORIGIN);
	struct slice forwarded;
	struct place place;
	bool by_star;

	*out_origin = origin;
	if (count == 0)
		return ORIGIN_ABSENT;
	if (count > 1)
		return ORIGIN_REFUSED;
	if (slice_eq_nocase(origin, SLICE("null")) || !place_of_origin(origin, &place))
		return ORIGIN_REFUSED;
	if (is_same_host(&place, x->head->authority))
		return ORIGIN_SAME;
	forwarded = forwarded_host(x);
	if (forwarded.p != NULL && is_same_host(&place, forwarded))
		return ORIGIN_SAME;
	if (is_listed(&serve_of(x)->config->allow_origins, &place, &by_star))
		return ORIGIN_LISTED;
	return by_star ? ORIGIN_STAR : ORIGIN_REFUSED;
}

int
serve_check_origin(struct exchange *x, struct refusal *r)
{
	char origin_text[REFUSE_CLEAN] UNCLEARED;
	char host_text[REFUSE_CLEAN] UNCLEARED;
	struct slice origin;
	struct slice host;

	if (origin_judge(x, &origin) != ORIGIN_REFUSED)
		return 0;
	host = forwarded_host(x);
	counter_failed(x->net->counters, CHECK_ORIGIN);
	if (host.p == NULL)
		host = x->head->authority;
	if (x->head->fields[HTTP_FIELD_ORIGIN] > 1)
		return refuse(r, ERROR_FORBIDDEN,
		    "there are %u Origin header fields, the first is '%s'; one is wanted: the host asked for, '%s', or one of cors.allow_origins",
		    x->head->fields[HTTP_FIELD_ORIGIN], refuse_clean(origin, origin_text),
		    refuse_clean(host, host_text));
	return refuse(r, ERROR_FORBIDDEN,
	    "Origin '%s' is neither the host asked for, '%s', nor in cors.allow_origins",
	    refuse_clean(origin, origin_text), refuse_clean(host, host_text));
}

/* localhost and loopback addresses: names that nobody's DNS server can point at us. */
static bool
is_loopback_name(struct slice host)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr v6;
	struct in_addr v4;

	if (slice_eq_nocase(host, SLICE("localhost")) || slice_eq(host, SLICE("127.0.0.1")))
		return true; /* what nearly all say: without inet_pton, 250 instructions */
	if (host.n > 2 && host.p[0] == '[')
		host = slice_of(host.p + 1, host.n - 2);
	if (host.n >= sizeof(text))
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (inet_pton(AF_INET, text, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, text, &v6) == 1 &&
	       (IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127));
}

/*
 * An entry of `hosts`: a name (any port), or name:port; IPv6 with or without brackets; `*` for
 * all.
 */
static bool
is_host_entry(const char *entry, struct slice host, int port)
{
	struct slice want;
	int want_port;

	if (strcmp(entry, "*") == 0)
		return true;
	if (url_split_authority(slice_str(entry), &want, &want_port) < 0) {
		want = slice_str(entry);
		want_port = 0;
		if (host.n > 2 && host.p[0] == '[')
			host = slice_of(host.p + 1, host.n - 2);
	}
	return slice_eq_nocase(want, host) && (want_port == 0 || want_port == port);
}

static bool
is_listed_host(const struct strings *hosts, struct slice host, int port)
{
	for (size_t i = 0; i < hosts->n; i++) {
		if (is_host_entry(hosts->v[i], host, port))
			return true;
	}
	return false;
}

int
serve_check_host(struct exchange *x, struct refusal *r)
{
	const struct strings *hosts = &serve_of(x)->config->hosts;
	bool on_loopback = x->conn != NULL && conn_on_loopback_listener(x->conn);
	char text[REFUSE_CLEAN] UNCLEARED;
	unsigned listener;
	uint32_t uid;
	uint32_t gid;
	struct slice host = x->head->host;

	if (hosts->n == 0 && !on_loopback)
		return 0;
	/* No browser is on a Unix socket or speaks HTTP/1.0 without Host: nothing to rebind. */
	if (x->conn != NULL && conn_is_unix(x->conn, &listener, &uid, &gid))
		return 0;
	if (x->minor == 0 && x->head->fields[HTTP_FIELD_HOST] == 0 && x->head->authority.n == 0)
		return 0;
	if (host.p != NULL &&
	    (hosts->n == 0 ? is_loopback_name(host) : is_listed_host(hosts, host, x->head->port)))
		return 0;
	counter_failed(x->net->counters, CHECK_HOST);
	return refuse(r, ERROR_MISDIRECTED, "Host '%s' is not %s",
	    refuse_clean(x->head->authority, text),
	    hosts->n == 0 ? "localhost or a loopback address, and `hosts` is not set"
			  : "in `hosts`");
}

#define EXPOSED "X-Request-Id, Retry-After, WWW-Authenticate, ETag"

void
serve_cors(struct exchange *x)
{
	enum origin_kind kind;
	struct slice origin;

	if (x->headers.n > 0 &&
	    memmem(x->headers.p, x->headers.n, "Vary: Origin", strlen("Vary: Origin")) != NULL)
		return;
	exchange_header_line(x, SLICE("Vary: Origin\r\n"));
	kind = origin_judge(x, &origin);
	if (kind != ORIGIN_LISTED && kind != ORIGIN_STAR)
		return;
	/*
	 * Fetch, 3.2: with `*` a browser sends no credentials, and a cookie does not count here
	 * either.
	 */
	exchange_header(
	    x, "Access-Control-Allow-Origin", kind == ORIGIN_STAR ? SLICE("*") : origin);
	if (kind == ORIGIN_LISTED)
		exchange_header(x, "Access-Control-Allow-Credentials", SLICE("true"));
	exchange_header(x, "Access-Control-Expose-Headers", SLICE(EXPOSED));
}

#define ALLOWED_HEADERS                                                                              \
	"Authorization, Content-Type, Last-Event-ID, Title, Event, Priority, Tags, Click, At, Ttl, " \
	"Key, X-Title, X-Event, X-Priority, X-Tags, X-Click, X-At, X-Ttl, X-Key"

void
serve_preflight(struct exchange *x, const char *allow)
{
	struct refusal r;

	if (serve_check_origin(x, &r) < 0) {
		serve_refuse(x, &r);
		return;
	}
	serve_cors(x);
	exchange_header(x, "Allow", slice_str(allow));
	exchange_header(x, "Access-Control-Allow-Methods", slice_str(allow));
	exchange_header(x, "Access-Control-Allow-Headers", SLICE(ALLOWED_HEADERS));
	exchange_header(x, "Access-Control-Max-Age", SLICE("600"));
	exchange_header(x, "Cache-Control", SLICE("no-store"));
	exchange_reply(x, 204, NULL, SLICE_NONE);
}
