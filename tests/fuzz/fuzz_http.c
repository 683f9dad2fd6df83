/*
 * HTTP heads and bodies. The first two bytes say where the rest is cut; the answer must be the same whole, cut, and byte by
 * byte, and everything handed out must lie inside the input. What is taken libhttp-parser must take, and read the same, where the
 * build has it.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "proto/http.h"
#include "tests/unit/support_oracle.h"

#define MAX_HEAD 2000
#define MAX_BODY 3000
#define MAX_TEXT (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
	struct slice in; /* as much as has arrived */
	struct buf text; /* what was read so far */
	struct http_body body;
	size_t at;
	bool in_body;
	bool keep_alive;
	bool is_over;
};

#define REQUIRE(what)                                                                              \
	do {                                                                                       \
		if (!(what))                                                                       \
			abort();                                                                   \
	} while (0)

static void
check_inside(struct slice in, struct slice part)
{
	REQUIRE(part.n == 0 || (part.p >= in.p && part.p + part.n <= in.p + in.n) ||
		slice_eq(part, SLICE("/")) || slice_eq(part, SLICE("*")));
}

static void
look_into_head(struct run *t, const struct http_head *h)
{
	static const char *const names[] = {"Host", "Accept", "Connection", "Cookie", "X"};
	struct slice rest;
	struct slice element;
	int64_t when;
	size_t count;

	check_inside(t->in, h->method_text);
	check_inside(t->in, h->target);
	check_inside(t->in, h->path);
	check_inside(t->in, h->query);
	check_inside(t->in, h->authority);
	REQUIRE(h->n_headers <= HTTP_MAX_HEADERS && h->path.n > 0);
	REQUIRE(h->method == HTTP_CONNECT || h->path.p[0] == '/' || h->path.p[0] == '*');
	REQUIRE(!(h->is_chunked && h->has_length) && (h->has_length || h->content_length == 0));
	for (size_t i = 0; i < h->n_headers; i++) {
		check_inside(t->in, h->headers[i].name);
		check_inside(t->in, h->headers[i].value);
		REQUIRE(http_is_token(h->headers[i].name));
		REQUIRE(memchr(h->headers[i].value.p, '\n', h->headers[i].value.n) == NULL);
		rest = h->headers[i].value;
		while ((element = http_list_next(&rest)).p != NULL)
			REQUIRE(element.n > 0);
		(void)http_accept_quality(h->headers[i].value, SLICE("text/event-stream"));
		(void)http_accept_quality(h->headers[i].value, SLICE("gzip"));
		if (http_date_parse(h->headers[i].value, &when) == 0) {
			char text[HTTP_DATE_SIZE];
			int64_t again;

			REQUIRE(
			    http_date_parse(slice_str(http_date_format(when, text)), &again) == 0);
			REQUIRE(again == when || when > 253402300799);
		}
		if (rfc3339_parse(h->headers[i].value, &when) == 0)
			REQUIRE(when / 1000000 <= 253402300799 + 86400);
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)http_header(h, slice_str(names[i]), &count);
		(void)http_cookie(h, slice_str(names[i]));
	}
}

static bool
step_head(struct run *t, struct slice in)
{
	struct http_head h;
	ssize_t n = http_parse_head(in, MAX_HEAD, &h);

	REQUIRE(n <= (ssize_t)in.n && n <= MAX_HEAD);
	if (n < 0) {
		(void)buf_printf(&t->text, "error %zd\n", n);
		t->is_over = true;
	}
	if (n <= 0)
		return false;
	look_into_head(t, &h);
	(void)buf_printf(&t->text, "%.*s %.*s %.*s %u %d %d %d %d %llu %zu\n",
	    SLICE_ARG(h.method_text), SLICE_ARG(h.path), SLICE_ARG(h.authority), h.minor,
	    h.keep_alive, h.is_upgrade, h.is_chunked, h.expect_continue,
	    (unsigned long long)h.content_length, h.n_headers);
	t->at += (size_t)n;
	t->keep_alive = h.keep_alive;
	http_body_init(&t->body, &h, MAX_BODY);
	t->in_body = !t->body.is_done;
	t->is_over = !t->in_body && !t->keep_alive;
	return true;
}

static bool
step_body(struct run *t, struct slice in)
{
	struct slice piece = SLICE_NONE;
	ssize_t n = http_body_decode(&t->body, in, &piece);

	REQUIRE(n <= (ssize_t)in.n);
	if (n < 0) {
		(void)buf_printf(&t->text, "error %zd\n", n);
		t->is_over = true;
		return false;
	}
	check_inside(slice_of(in.p, (size_t)n), piece);
	REQUIRE(t->body.received <= MAX_BODY);
	(void)buf_add_slice(&t->text, piece);
	t->at += (size_t)n;
	if (t->body.is_done) {
		(void)buf_add_char(&t->text, '\n');
		t->in_body = false;
		t->is_over = !t->keep_alive;
	}
	return n > 0;
}

/* The input has grown to its first n bytes, which lie in a block of that size. */
static void
feed(struct run *t, struct slice all, size_t n)
{
	char *block = malloc(n == 0 ? 1 : n);
	bool goes_on = true;

	REQUIRE(block != NULL);
	if (n > 0)
		memcpy(block, all.p, n);
	t->in = slice_of(block, n);
	while (goes_on && !t->is_over) {
		struct slice rest = slice_skip(t->in, t->at);

		goes_on = t->in_body ? step_body(t, rest) : step_head(t, rest);
	}
	free(block);
}

static struct buf
run(struct slice all, size_t first, size_t step)
{
	struct run t = {.text = BUF_INIT(MAX_TEXT)};

	for (size_t n = first; n < all.n && !t.is_over; n += step)
		feed(&t, all, n);
	feed(&t, all, all.n);
	REQUIRE(!t.text.failed);
	return t.text;
}

static void
ask_oracle(struct slice in)
{
	struct reading r = {.text = BUF_INIT(MAX_TEXT)};
	int ours = ours_read(in, MAX_HEAD, &r);

	REQUIRE(oracle_agrees(in, ours, &r));
	buf_done(&r.text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all;
	struct buf whole;
	struct buf cut;
	struct buf bytes;
	size_t at;

	if (size < 2)
		return 0;
	at = (size_t)data[0] << 8 | data[1];
	all = slice_of((const char *)data + 2, size - 2);
	ask_oracle(all);
	whole = run(all, all.n, 1);
	cut = run(all, all.n == 0 ? 0 : at % all.n, all.n + 1);
	REQUIRE(slice_eq(buf_slice(&whole), buf_slice(&cut)));
	if (all.n <= 1000) { /* it is the square of the length */
		bytes = run(all, 0, 1);
		REQUIRE(slice_eq(buf_slice(&whole), buf_slice(&bytes)));
		buf_done(&bytes);
	}
	buf_done(&whole);
	buf_done(&cut);
	return 0;
}
