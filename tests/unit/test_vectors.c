/*
 * Runs the documents tests/vectors/http_*.txt. In them a line that starts with
 *
 *   "## "  begins a case; the rest is its name
 *   "! "   sets a limit: max-head, max-body (bytes)
 *   "> "   is input, with C escapes (\r \n \t \0 \\ \xHH) and \{N*text} for N times the text; all such lines are joined
 *   "= "   is what is expected, one event a line, with the same escapes
 *
 * and any other line is prose. Events: `request METHOD path[?query] host=authority 1.minor flags…`; `header name: value` (only
 * compared when a case mentions one); `body bytes`; `end` of a request; `close` when no other may follow on the connection; `more` when
 * the input ends inside a request; `error status name`, after which nothing is read. Each case runs whole, byte by byte and cut
 * in two at each position, and the input always ends at an unreadable page.
 */
#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "proto/http.h"
#include "tests/unit/support_guard.h"
#include "tests/unit/support_run.h"

#define MAX_VECTORS 1000
#define MAX_INPUT   200000
#define MAX_CUTS    400 /* of one case; longer input is cut at equal distances */

struct vector {
	char name[200];
	struct buf input;
	struct buf expected;
	size_t max_head;
	uint64_t max_body;
	bool has_headers;
};

static struct vector vectors[MAX_VECTORS];
static size_t n_vectors;

#define E(name)                                                                                    \
	{                                                                                          \
		HTTP_E_##name, #name                                                               \
	}
static const struct {
	int error;
	const char *name;
} error_names[] = {E(BAD_LINE), E(BAD_VERSION), E(TARGET_TOO_LONG), E(BAD_TARGET),
    E(HEAD_TOO_LARGE), E(TOO_MANY_HEADERS), E(BAD_HEADER), E(BARE_LF), E(BARE_CR), E(NO_HOST),
    E(MANY_HOSTS), E(BAD_HOST), E(BAD_LENGTH), E(LENGTH_AND_CHUNKED), E(BAD_ENCODING),
    E(UNKNOWN_ENCODING), E(ENCODING_ON_1_0), E(BAD_EXPECT), E(BAD_CHUNK), E(BAD_TRAILER),
    E(BODY_TOO_LARGE)};

/* --- reading the documents --- */

static _Noreturn void
stop(const char *path, size_t line, const char *what)
{
	(void)fprintf(stderr, "%s:%zu: %s\n", path, line, what);
	exit(EXIT_FAILURE);
}

static bool add_unescaped(struct buf *out, const char *s);

/* "{N*text}", as add_escape. */
static size_t
add_repeated(struct buf *out, const char *s)
{
	const char *close = strchr(s, '}');
	char text[1000];
	char *end;
	unsigned long n = strtoul(s + 1, &end, 10);

	if (close == NULL || *end != '*' || close - end > (ptrdiff_t)sizeof(text))
		return 0;
	(void)snprintf(text, sizeof(text), "%.*s", (int)(close - end - 1), end + 1); /* fits */
	for (unsigned long i = 0; i < n; i++) {
		if (!add_unescaped(out, text))
			return 0;
	}
	return (size_t)(close - s) + 1;
}

/* One escape behind the backslash; returns the bytes it takes in s, 0 when it is none. */
static size_t
add_escape(struct buf *out, const char *s)
{
	static const char letters[] = "rnt0\\";
	static const char values[] = "\r\n\t\0\\";
	const char *letter = s[0] == '\0' ? NULL : strchr(letters, s[0]);
	char *end = NULL;
	unsigned long n;

	if (letter != NULL)
		return buf_add_char(out, values[letter - letters]) == 0 ? 1 : 0;
	if (s[0] == 'x') {
		const char digits[3] = {s[1], s[1] == '\0' ? '\0' : s[2], '\0'};

		n = strtoul(digits, &end, 16);
		return *end == '\0' && strlen(digits) == 2 && buf_add_char(out, (char)n) == 0 ? 3
											      : 0;
	}
	return s[0] == '{' ? add_repeated(out, s) : 0;
}

static bool
add_unescaped(struct buf *out, const char *s)
{
	while (*s != '\0') {
		size_t n;

		if (*s != '\\') {
			if (buf_add_char(out, *s++) < 0)
				return false;
			continue;
		}
		n = add_escape(out, s + 1);
		if (n == 0)
			return false;
		s += n + 1;
	}
	return true;
}

static bool
set_limit(struct vector *v, const char *line)
{
	char name[20];
	unsigned long long value;

	if (sscanf(line, "%19s %llu", name, &value) != 2)
		return false;
	if (strcmp(name, "max-head") == 0)
		v->max_head = (size_t)value;
	else if (strcmp(name, "max-body") == 0)
		v->max_body = value;
	else
		return false;
	return true;
}

static bool
read_line(struct vector *v, const char *line)
{
	if (line[0] == '!')
		return set_limit(v, line + 2);
	if (line[0] == '>')
		return add_unescaped(&v->input, line + 2);
	v->has_headers = v->has_headers || strncmp(line + 2, "header ", 7) == 0;
	return add_unescaped(&v->expected, line + 2) && buf_add_char(&v->expected, '\n') == 0;
}

static void
read_document(const char *path)
{
	FILE *f = fopen(path, "r");
	const char *base = strrchr(path, '/');
	char line[4096];
	size_t at = 0;
	size_t n_before = n_vectors;

	if (f == NULL)
		stop(path, 0, "cannot be read");
	while (fgets(line, sizeof(line), f) != NULL) {
		at++;
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "## ", 3) == 0) {
			if (n_vectors == MAX_VECTORS)
				stop(path, at, "too many cases");
			vectors[n_vectors] = (struct vector){.input = BUF_INIT(MAX_INPUT),
			    .expected = BUF_INIT(MAX_INPUT),
			    .max_head = 16384,
			    .max_body = 1048576};
			(void)snprintf(vectors[n_vectors].name, sizeof(vectors[0].name),
			    "%.40s:%zu %.120s", base == NULL ? path : base + 1, at,
			    line + 3); /* only for people */
			n_vectors++;
		} else if (line[0] != '\0' && strchr("!>=", line[0]) != NULL && line[1] == ' ') {
			if (n_vectors == n_before || !read_line(&vectors[n_vectors - 1], line))
				stop(path, at, "bad line");
		}
	}
	(void)fclose(f); /* was only read */
}

/* --- running them --- */

struct run {
	const struct vector *v;
	struct buf events;
	struct buf content;
	struct http_body body;
	size_t at; /* consumed of the input */
	bool in_body;
	bool keep_alive;
	bool is_over;
};

static void
add_request(struct run *t, const struct http_head *h)
{
	struct buf *e = &t->events;

	(void)buf_printf(e, "request %.*s %.*s%s%.*s host=%.*s 1.%u %s", SLICE_ARG(h->method_text),
	    SLICE_ARG(h->path), h->query.p == NULL ? "" : "?", SLICE_ARG(h->query),
	    SLICE_ARG(h->authority), h->minor, h->keep_alive ? "keep-alive" : "close");
	if (h->method == HTTP_METHOD_UNKNOWN)
		(void)BUF_ADD_LIT(e, " unknown");
	if (h->is_upgrade)
		(void)BUF_ADD_LIT(e, " upgrade");
	if (h->is_chunked)
		(void)BUF_ADD_LIT(e, " chunked");
	if (h->has_length)
		(void)buf_printf(e, " length=%llu", (unsigned long long)h->content_length);
	if (h->expect_continue)
		(void)BUF_ADD_LIT(e, " continue");
	(void)buf_add_char(e, '\n');
	for (size_t i = 0; t->v->has_headers && i < h->n_headers; i++) {
		(void)BUF_ADD_LIT(e, "header ");
		(void)buf_add_slice(e, h->headers[i].name);
		(void)BUF_ADD_LIT(e, ": ");
		(void)buf_add_slice(e, h->headers[i].value);
		(void)buf_add_char(e, '\n');
	}
}

static void
add_error(struct run *t, ssize_t error)
{
	const char *name = "?";

	for (size_t i = 0; i < ARRAY_LEN(error_names); i++) {
		if (error_names[i].error == error)
			name = error_names[i].name;
	}
	(void)buf_printf(&t->events, "error %d %s\n", http_error_status((int)error), name);
	t->is_over = true;
}

static void
add_content(struct run *t)
{
	if (t->content.n == 0)
		return;
	(void)BUF_ADD_LIT(&t->events, "body ");
	(void)buf_add_slice(&t->events, buf_slice(&t->content));
	(void)buf_add_char(&t->events, '\n');
	buf_reset(&t->content);
}

static void
finish_request(struct run *t)
{
	add_content(t);
	(void)BUF_ADD_LIT(&t->events, "end\n");
	t->in_body = false;
	if (!t->keep_alive) {
		(void)BUF_ADD_LIT(&t->events, "close\n");
		t->is_over = true;
	}
}

/* Both return whether something was consumed. */
static bool
drive_head(struct run *t, struct slice in)
{
	struct http_head h;
	ssize_t r;

	memset(&h, 0xaa, sizeof(h));
	r = http_parse_head(in, t->v->max_head, &h);
	if (r < 0)
		add_error(t, r);
	if (r <= 0) {
		ck_assert_uint_eq(h.n_headers, (size_t)0xaaaaaaaaaaaaaaaa); /* untouched */
		return false;
	}
	t->at += (size_t)r;
	add_request(t, &h);
	t->keep_alive = h.keep_alive;
	t->in_body = true;
	http_body_init(&t->body, &h, t->v->max_body);
	if (t->body.is_done)
		finish_request(t);
	return true;
}

static bool
drive_body(struct run *t, struct slice in)
{
	struct slice piece = SLICE_NONE;
	ssize_t r = http_body_decode(&t->body, in, &piece);

	if (r < 0) {
		add_content(t);
		add_error(t, r);
		return false;
	}
	ck_assert_uint_le((size_t)r, in.n);
	ck_assert_uint_le(piece.n, (size_t)r);
	t->at += (size_t)r;
	(void)buf_add_slice(&t->content, piece);
	if (t->body.is_done)
		finish_request(t);
	return r > 0;
}

/* The input has grown to its first n bytes. */
static void
drive(struct run *t, struct guard *g, size_t n)
{
	struct slice in = guard_copy(g, slice_of(t->v->input.p, n));
	bool goes_on = true;

	while (goes_on && !t->is_over) {
		struct slice rest = slice_skip(in, t->at);

		goes_on = t->in_body ? drive_body(t, rest) : drive_head(t, rest);
	}
}

/* The input in pieces: up to `first`, then by `step` bytes. */
static void
run_pieces(const struct vector *v, struct guard *g, size_t first, size_t step)
{
	struct run t = {.v = v, .events = BUF_INIT(MAX_INPUT), .content = BUF_INIT(MAX_INPUT)};

	for (size_t n = first; n < v->input.n && !t.is_over; n += step)
		drive(&t, g, n);
	drive(&t, g, v->input.n);
	if (!t.is_over && (t.in_body || t.at < v->input.n)) {
		add_content(&t);
		(void)BUF_ADD_LIT(&t.events, "more\n");
	}
	ck_assert_msg(slice_eq(buf_slice(&t.events), buf_slice(&v->expected)) && !t.events.failed,
	    "%s: first %zu bytes, then %zu at a time:\n%.*sexpected:\n%.*s", v->name, first, step,
	    SLICE_ARG(buf_slice(&t.events)), SLICE_ARG(buf_slice(&v->expected)));
	buf_done(&t.events);
	buf_done(&t.content);
}

START_TEST(vector)
{
	const struct vector *v = &vectors[_i];
	struct guard g;

	guard_init(&g, v->input.n);
	run_pieces(v, &g, v->input.n, 1);
	run_pieces(v, &g, 1, 1);
	for (size_t cut = 1; cut < v->input.n; cut += v->input.n / MAX_CUTS + 1)
		run_pieces(v, &g, cut, v->input.n);
	guard_done(&g);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("vectors");
	TCase *tc = tcase_create("http");
	glob_t found;
	int status;

	if (glob(SRCDIR "/tests/vectors/http_*.txt", 0, NULL, &found) != 0)
		stop(SRCDIR, 0, "no vectors");
	for (size_t i = 0; i < found.gl_pathc; i++)
		read_document(found.gl_pathv[i]);
	globfree(&found);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, vector, 0, (int)n_vectors);
	suite_add_tcase(s, tc);
	status = run_suite(s);
	for (size_t i = 0; i < n_vectors; i++) {
		buf_done(&vectors[i].input);
		buf_done(&vectors[i].expected);
	}
	return status;
}
