#include "daemon/config_reader.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

#include "base/utf8.h"
#include "core/topic.h"

static int
wanted(char *why, size_t why_n, const char *text)
{
	(void)snprintf(why, why_n, "%s", text);
	return -1;
}

static int
check_address(const char *text, char *why, size_t why_n)
{
	struct in6_addr address;

	if (strcmp(text, "localhost") == 0 || inet_pton(AF_INET, text, &address) == 1 ||
	    inet_pton(AF_INET6, text, &address) == 1)
		return 0;
	return wanted(
	    why, why_n, "a numeric address such as 127.0.0.1, 0.0.0.0 or ::, or localhost");
}

static bool
has_only_letters_digits_or(struct slice s, const char *others)
{
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) && strchr(others, s.p[i]) == NULL)
			return false;
	return s.n > 0;
}

/* Letters, digits, '-', '_' and '.', or an IPv6 address in brackets; then perhaps a port. */
static bool
is_host(struct slice s, bool may_star)
{
	bool has_brackets = s.n > 0 && s.p[0] == '[';
	struct slice port = s;
	struct slice host = slice_cut(&port, has_brackets ? ']' : ':');
	uint64_t number;

	if (has_brackets) {
		if (port.p == NULL || (port.n > 0 && port.p[0] != ':'))
			return false;
		host = slice_skip(host, 1);
		port = port.n == 0 ? SLICE_NONE : slice_skip(port, 1);
	} else if (may_star && slice_has_prefix(host, SLICE("*."))) {
		host = slice_skip(host, 2);
	}
	return host.n <= 255 && has_only_letters_digits_or(host, has_brackets ? ":." : "-_.") &&
	       (port.p == NULL || (slice_to_u64(port, &number) == 0 && number <= 65535));
}

static void
lower(char *text)
{
	for (; *text != '\0'; text++)
		*text = (char)tolower((unsigned char)*text);
}

/* Browsers leave the scheme's own port out of `Origin`; so do we. */
static void
drop_default_port(char *origin)
{
	static const struct {
		struct slice scheme, port;
	} known[] = {{SLICE("http://"), SLICE(":80")}, {SLICE("https://"), SLICE(":443")}};
	size_t n = strlen(origin);

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		size_t port = known[i].port.n;

		if (slice_has_prefix(slice_of(origin, n), known[i].scheme) && n > port &&
		    slice_eq(slice_of(origin + n - port, port), known[i].port))
			origin[n - port] = '\0';
	}
}

static int
check_origin(char *text, char *why, size_t why_n)
{
	struct slice s;
	size_t scheme = 0;

	if (strcmp(text, "*") == 0)
		return 0;
	lower(text);
	s = slice_str(text);
	while (scheme < s.n &&
	       (isalnum((unsigned char)s.p[scheme]) || strchr("+-.", s.p[scheme]) != NULL))
		scheme++;
	if (scheme == 0 || !slice_has_prefix(slice_skip(s, scheme), SLICE("://")) ||
	    !is_host(slice_skip(s, scheme + 3), true))
		return wanted(why, why_n,
		    "an origin such as \"https://example.org\" or \"https://*.example.org\" (no path), or \"*\"");
	drop_default_port(text);
	return 0;
}

/* RFC 6265 4.1.1: a token of RFC 9110. */
static int
check_cookie(const char *text, char *why, size_t why_n)
{
	for (; *text != '\0'; text++)
		if (!isalnum((unsigned char)*text) && strchr("!#$%&'*+-.^_`|~", *text) == NULL)
			return wanted(
			    why, why_n, "a cookie's name: letters, digits and !#$%&'*+-.^_`|~");
	return 0;
}

static int
check_link(const char *text, char *why, size_t why_n)
{
	struct slice s = slice_str(text);

	if (s.n > 0 && s.p[0] != '/' && !slice_has_prefix(s, SLICE("https://")) &&
	    !slice_has_prefix(s, SLICE("http://")))
		return wanted(why, why_n, "an http or https address, or a path from /");
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("\"<>\\", s.p[i]) != NULL)
			return wanted(
			    why, why_n, "an address with spaces and the like percent-encoded");
	return 0;
}

static int
check_header(const char *text, char *why, size_t why_n)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			return wanted(why, why_n, "printable ASCII, as it goes into a header");
	return 0;
}

static int
check_room(const char *text, char *why, size_t why_n)
{
	char topic[TOPIC_MAX + 16];
	const char *fault;

	(void)snprintf(topic, sizeof(topic), "chat/%s", text);
	fault = strchr(text, '/') != NULL ? "a room is one segment, without /"
					  : topic_error(slice_str(topic));
	if (fault == NULL)
		return 0;
	(void)snprintf(why, why_n, "a room's name (%s)", fault);
	return -1;
}

static int
check_topic(bool is_pattern, const char *text, char *why, size_t why_n)
{
	const char *fault =
	    is_pattern ? pattern_error(slice_str(text)) : topic_error(slice_str(text));

	if (fault == NULL)
		return 0;
	(void)snprintf(why, why_n, "a %s (%s)", is_pattern ? "pattern" : "topic", fault);
	return -1;
}

static int
check_host(char *text, char *why, size_t why_n)
{
	lower(text);
	if (is_host(slice_str(text), false))
		return 0;
	return wanted(
	    why, why_n, "a host name such as \"chat.example.org\", without scheme or path");
}

static int
check_some(struct slice s, size_t max, char *why, size_t why_n)
{
	if (s.n > 0 && s.n <= max)
		return 0;
	(void)snprintf(why, why_n, "1 to %zu bytes", max);
	return -1;
}

int
config_form_check(enum option_form form, char *text, char *why, size_t why_n)
{
	struct slice s = slice_str(text);

	if (form != FORM_SECRET && (!utf8_is_valid(s) || utf8_has_control(s)))
		return wanted(why, why_n, "UTF-8 without control characters");
	switch (form) {
	case FORM_ADDRESS:
		return check_address(text, why, why_n);
	case FORM_ACCOUNT:
		return check_some(s, 32, why, why_n);
	case FORM_USER:
		return check_some(s, 128, why, why_n);
	case FORM_HEADER:
		return check_header(text, why, why_n);
	case FORM_HOST:
		return check_host(text, why, why_n);
	case FORM_ORIGIN:
		return check_origin(text, why, why_n);
	case FORM_COOKIE:
		return check_cookie(text, why, why_n);
	case FORM_LINK:
		return check_link(text, why, why_n);
	case FORM_PATTERN:
	case FORM_GRANT:
		return check_topic(true, text, why, why_n);
	case FORM_TOPIC:
		return check_topic(false, text, why, why_n);
	case FORM_ROOM:
		return check_room(text, why, why_n);
	case FORM_NONE:
	case FORM_PLAIN:
	case FORM_SECRET:
	case FORM_ALGORITHM:
	case FORM_BACKEND:
	case FORM_SYNC:
	case FORM_LEVEL:
	case FORM_FORMAT:
		break;
	}
	return 0;
}
