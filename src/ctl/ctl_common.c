#include "ctl/ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/token.h"
#include "ctl/chat_text.h"
#include "daemon/config_read.h"
#include "proto/json.h"

#define TARGET_TOKEN_S 3600 /* how long a token of our own is good */
#define URL_MAX_BYTES  2048
#define SAFE_GROWTH    8 /* a byte that is made visible takes no more than that */
#define INDENT         4 /* columns, of all lines but the first */

/* --- saying things --- */

static void PRINTF(1, 0) say(const char *fmt, va_list args)
{
	(void)fflush(stdout); /* so that the order on a terminal is right */
	(void)fputs("belfryctl: ", stderr);
	(void)vfprintf(stderr, fmt, args); /* nowhere else to say it */
	(void)fputc('\n', stderr);
}

int
ctl_fail(int exit_code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(fmt, args);
	va_end(args);
	return exit_code;
}

void
ctl_note(const char *fmt, ...)
{
	va_list args;

	if (!isatty(STDOUT_FILENO))
		return;
	va_start(args, fmt);
	say(fmt, args);
	va_end(args);
}

int
ctl_no_memory(void)
{
	return ctl_fail(EX_OSERR, "no memory");
}

int
ctl_put_line(struct buf *line, int code)
{
	if (line->failed)
		code = ctl_no_memory();
	else
		(void)printf("%.*s\n", (int)line->n, line->p);
	buf_done(line);
	return code;
}

void
ctl_print_text(FILE *out, struct slice s)
{
	struct buf safe = BUF_INIT(s.n * SAFE_GROWTH);
	struct buf lines = BUF_INIT(s.n * SAFE_GROWTH * 2);

	if (s.n > 0 && text_add_safe(&safe, s, true) == 0 &&
	    text_add_wrapped(&lines, buf_slice(&safe), INDENT, 0) == 0)
		(void)fwrite(lines.p, 1, lines.n, out); /* the caller asks ferror */
	buf_done(&safe);
	buf_done(&lines);
}

int64_t
ctl_now(void)
{
	return (int64_t)(clock_wall_us() / 1000000);
}

int
ctl_add_string(struct strings *list, const char *value)
{
	char **more = mem_realloc(list->v, (list->n + 1) * sizeof(*more));

	if (more == NULL)
		return -ENOMEM;
	list->v = more;
	more[list->n] = mem_strdup(slice_str(value));
	if (more[list->n] == NULL)
		return -ENOMEM;
	list->n++;
	return 0;
}

void
ctl_strings_done(struct strings *list)
{
	for (size_t i = 0; i < list->n; i++)
		mem_free(list->v[i]);
	mem_free(list->v);
	*list = (struct strings){NULL, 0};
}

/* --- where the daemon is --- */

static const char default_file[] = BELFRY_SYSCONFDIR "/belfryd.conf";

int
ctl_load_config(const char *file, struct config **out)
{
	struct config_error error = {.line = 0};
	int r = config_load(file == NULL ? default_file : file, out, &error);

	if (r == 0)
		return 0;
	if (r == -ENOMEM)
		return ctl_no_memory();
	if (error.line == 0)
		return ctl_fail(EX_CONFIG, "%s: %s", error.file, error.text);
	return ctl_fail(EX_CONFIG, "%s:%u: %s", error.file, error.line, error.text);
}

/* What a listener's address is called from this machine. */
static int
listener_url(const struct config_listener *l, struct buf *out)
{
	const char *address = l->address;
	const char *scheme = l->tls_certificate != NULL ? "https" : "http";

	if (strcmp(address, "0.0.0.0") == 0)
		address = "127.0.0.1";
	else if (strcmp(address, "::") == 0)
		address = "localhost";
	if (strchr(address, ':') != NULL)
		return buf_printf(out, "%s://[%s]:%u", scheme, address, l->port);
	return buf_printf(out, "%s://%s:%u", scheme, address, l->port);
}

static const struct config_listener *
best_listener(const struct config *c)
{
	for (size_t i = 0; i < c->n_listeners; i++) {
		if (c->listeners[i].unix_path == NULL && c->listeners[i].port != 0)
			return &c->listeners[i];
	}
	for (size_t i = 0; i < c->n_listeners; i++) {
		if (c->listeners[i].unix_path != NULL)
			return &c->listeners[i];
	}
	return NULL;
}

static int
locate(const struct config *c, struct ctl_target *out)
{
	const struct config_listener *l = best_listener(c);
	struct buf url = BUF_INIT(URL_MAX_BYTES);
	int r;

	if (l == NULL)
		return ctl_fail(EX_CONFIG,
		    "%s: no listener has a port that is known beforehand; set BELFRY_URL", c->path);
	if (l->unix_path != NULL) {
		r = buf_add_str(&url, "http://localhost");
		out->unix_path = mem_strdup(slice_str(l->unix_path));
		if (out->unix_path == NULL)
			r = -ENOMEM;
	} else {
		r = listener_url(l, &url);
	}
	out->url = r < 0 ? NULL : mem_strdup(buf_slice(&url));
	buf_done(&url);
	return out->url == NULL ? ctl_no_memory() : 0;
}

/* A token for ourselves, if there is a secret to sign it with; else that of the environment. */
static int
sign_own(const struct config *c, struct ctl_target *out)
{
	char all[] = "**"; /* of every topic but the users' own */
	char users[] = "user/**";
	char anybody[] = "*";
	char *everything[] = {all, users};
	char *everybody[] = {anybody};
	struct token_request q = {.sub = "belfryctl",
	    .issuer = c->auth.issuer,
	    .audience = c->auth.audience,
	    .iat = ctl_now(),
	    .with_grants = true,
	    .subscribe = {everything, 2},
	    .publish = {everything, 2},
	    .direct = {everybody, 1},
	    .role = "admin"};
	const char *given = getenv("BELFRY_TOKEN"); /* NOLINT(concurrency-mt-unsafe): one thread */
	char error[256];

	q.exp = q.iat + TARGET_TOKEN_S;
	out->token = token_sign(&c->auth, &q, error, sizeof(error));
	out->can_sign = out->token != NULL;
	if (out->token != NULL || out->unix_path != NULL)
		return 0; /* on a local socket the daemon knows who asks */
	if (given == NULL)
		return ctl_fail(EX_CONFIG, "%s: %s; set BELFRY_TOKEN", c->path, error);
	out->token = mem_strdup(slice_str(given));
	return out->token == NULL ? ctl_no_memory() : 0;
}

static int
from_config(const char *file, struct ctl_target *out)
{
	struct config *c;
	int code = ctl_load_config(file, &c);

	if (code != 0 && file == NULL)
		return ctl_fail(
		    code, "BELFRY_URL and BELFRY_TOKEN, or -c FILE, say where the daemon is");
	if (code != 0)
		return code;
	code = locate(c, out);
	out->is_here = true;
	if (code == 0)
		code = sign_own(c, out);
	config_unref(c);
	return code;
}

static bool
is_loopback(const char *url)
{
	struct slice rest = slice_str(strstr(url, "://") + 3);
	struct slice host;

	if (slice_has_prefix(rest, SLICE("[::1]")))
		return true;
	rest = slice_cut(&rest, '/');
	host = slice_cut(&rest, ':');
	return slice_eq_nocase(host, SLICE("localhost")) || slice_has_prefix(host, SLICE("127."));
}

/* http or https, with a host and a port that there can be. */
static bool
is_address(const char *url)
{
	CURLU *parts = curl_url();
	bool is_good = (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0) &&
		       strcspn(strstr(url, "://") + 3, "/:") > 0 && parts != NULL &&
		       curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK;

	curl_url_cleanup(parts);
	return is_good;
}

static int
from_environment(const char *url, struct ctl_target *out)
{
	const char *token = getenv("BELFRY_TOKEN"); /* NOLINT(concurrency-mt-unsafe): one thread */
	size_t n = strlen(url);

	if (!is_address(url))
		return ctl_fail(EX_USAGE,
		    "BELFRY_URL is '%s', want an address such as http://localhost:8080", url);
	while (n > 0 && url[n - 1] == '/')
		n--;
	out->url = mem_strdup(slice_of(url, n));
	out->is_here = is_loopback(url);
	if (token != NULL && token[0] != '\0') {
		out->token = mem_strdup(slice_str(token));
		if (out->token == NULL)
			return ctl_no_memory();
	}
	return out->url == NULL ? ctl_no_memory() : 0;
}

int
ctl_target_find(const char *file, struct ctl_target *out)
{
	const char *url = getenv("BELFRY_URL"); /* NOLINT(concurrency-mt-unsafe): one thread */

	*out = (struct ctl_target){.url = NULL};
	if (file == NULL && url != NULL && url[0] != '\0')
		return from_environment(url, out);
	return from_config(file, out);
}

void
ctl_target_done(struct ctl_target *t)
{
	if (t->token != NULL)
		OPENSSL_cleanse(t->token, strlen(t->token));
	mem_free(t->token);
	mem_free(t->unix_path);
	mem_free(t->url);
	*t = (struct ctl_target){.url = NULL};
}

/* --- HTTP --- */

int
ctl_add_header(struct curl_slist **headers, const char *line)
{
	struct curl_slist *more = curl_slist_append(*headers, line);

	if (more == NULL)
		return -ENOMEM;
	*headers = more;
	return 0;
}

void
ctl_add_parameter(struct buf *path, const char *name, const char *value)
{
	struct slice so_far = buf_slice(path);
	char *escaped = value == NULL ? NULL : curl_easy_escape(NULL, value, 0);

	if (value == NULL)
		return;
	path->failed = path->failed || escaped == NULL;
	(void)buf_printf(path, "%c%s=%s", memchr(so_far.p, '?', so_far.n) == NULL ? '?' : '&', name,
	    escaped == NULL ? "" : escaped); /* sticks */
	curl_free(escaped);
}

CURL *
ctl_request(const struct ctl_target *t, const char *url_path, struct curl_slist **headers)
{
	struct buf b = BUF_INIT(TOKEN_MAX + URL_MAX_BYTES * 16);
	CURL *h = curl_easy_init();
	int r = h == NULL ? -ENOMEM : 0;

	if (r == 0)
		r = buf_printf(&b, "%s%s%c", t->url, url_path, '\0');
	/* nothing is followed: the token is for this daemon */
	if (r == 0 &&
	    (curl_easy_setopt(h, CURLOPT_URL, b.p) != CURLE_OK ||
		curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L) != CURLE_OK ||
		curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, 10L) != CURLE_OK ||
		curl_easy_setopt(h, CURLOPT_USERAGENT, "belfryctl/" BELFRY_VERSION) != CURLE_OK))
		r = -ENOMEM;
	/* the token is not for a proxy either */
	if (r == 0 && t->is_here && curl_easy_setopt(h, CURLOPT_PROXY, "") != CURLE_OK)
		r = -ENOMEM;
	if (r == 0 && t->unix_path != NULL &&
	    curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, t->unix_path) != CURLE_OK)
		r = -ENOMEM;
	buf_reset(&b);
	if (r == 0 && t->token != NULL) {
		r = buf_printf(&b, "Authorization: Bearer %s%c", t->token, '\0');
		if (r == 0)
			r = ctl_add_header(headers, b.p);
		OPENSSL_cleanse(b.p, b.n);
	}
	buf_done(&b);
	if (r == 0)
		return h;
	curl_easy_cleanup(h);
	return NULL;
}

static int
status_exit(long status)
{
	switch (status) {
	case 401:
	case 403:
		return EX_NOPERM;
	case 408:
	case 429:
	case 503:
		return EX_TEMPFAIL;
	case 501:
		return EX_UNAVAILABLE;
	default:
		return status >= 500 ? EX_UNAVAILABLE : status >= 400 ? EX_DATAERR : EX_PROTOCOL;
	}
}

/* Without a problem document it is a proxy's word, or what answers is something else. */
static int
say_status(long status)
{
	int code = status_exit(status);

	if (status >= 500)
		return ctl_fail(
		    code, "the answer has status %ld and no reason: a proxy's, perhaps", status);
	return ctl_fail(code == EX_DATAERR ? EX_PROTOCOL : code,
	    "the answer has status %ld and no reason: what answers is no belfryd", status);
}

int
ctl_problem(long status, struct slice body)
{
	cJSON *problem = NULL;
	struct slice detail = SLICE_NONE;
	struct slice code = SLICE_NONE;

	if (json_parse(body, &problem, NULL) == 0) {
		detail = json_string(json_member(problem, "detail"));
		code = json_string(json_member(problem, "code"));
	}
	if (detail.n == 0 || code.n == 0) {
		cJSON_Delete(problem);
		return say_status(status);
	}
	(void)fflush(stdout); /* so that the order on a terminal is right */
	(void)fputs("belfryctl: ", stderr);
	ctl_print_text(stderr, detail);
	(void)fputs(" (", stderr);
	ctl_print_text(stderr, code);
	(void)fputc(')', stderr);
	if (slice_eq(code, SLICE("unauthorized")))
		(void)fputs("; set BELFRY_TOKEN, `belfryctl token` makes one", stderr);
	(void)fputc('\n', stderr);
	cJSON_Delete(problem);
	return status_exit(status);
}

int
ctl_unreachable(const struct ctl_target *t, CURLcode code)
{
	return ctl_fail(EX_UNAVAILABLE, "%s: %s%s", t->unix_path != NULL ? t->unix_path : t->url,
	    curl_easy_strerror(code),
	    code == CURLE_COULDNT_CONNECT ? ": is belfryd running, and is this its address?" : "");
}

#define TIMEOUT_S 60

static size_t
on_answer(char *data, size_t size, size_t n, void *arg)
{
	return buf_add(arg, data, size * n) < 0 ? 0 : size * n;
}

/* For a body: what POST needs beside it. */
static bool
set_body(CURL *h, struct slice body, struct curl_slist **headers)
{
	if (body.p == NULL)
		return true;
	return ctl_add_header(headers, "Content-Type: application/json") == 0 &&
	       ctl_add_header(headers, "Expect:") == 0 &&
	       curl_easy_setopt(h, CURLOPT_POSTFIELDS, body.p) == CURLE_OK &&
	       curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n) == CURLE_OK;
}

int
ctl_fetch(const struct ctl_target *t, const char *url_path, struct slice body, struct buf *answer,
    long *status)
{
	struct curl_slist *headers = NULL;
	CURL *h = ctl_request(t, url_path, &headers);
	CURLcode r = CURLE_OUT_OF_MEMORY;

	if (h != NULL && set_body(h, body, &headers) &&
	    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
	    curl_easy_setopt(h, CURLOPT_TIMEOUT, (long)TIMEOUT_S) == CURLE_OK &&
	    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK &&
	    curl_easy_setopt(h, CURLOPT_WRITEDATA, answer) == CURLE_OK)
		r = curl_easy_perform(h);
	if (r == CURLE_OK)
		r = curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, status);
	curl_easy_cleanup(h);
	curl_slist_free_all(headers);
	return r == CURLE_OK ? EX_OK : ctl_unreachable(t, r);
}
