#include "tests/unit/support_oracle.h"

#ifdef HAVE_HTTP_PARSER

#include <http_parser.h>

static int
on_url(http_parser *p, const char *at, size_t n)
{
	struct reading *r = p->data;

	return buf_printf(
	    &r->text, "%s %.*s", http_method_str((enum http_method)p->method), (int)n, at);
}

static int
on_field(http_parser *p, const char *at, size_t n)
{
	struct reading *r = p->data;

	if (r->is_head_whole) /* a trailer */
		return 0;
	if (memchr(r->text.p, '\n', r->text.n) == NULL)
		(void)buf_printf(&r->text, " 1.%d\n", p->http_minor > 0 ? 1 : 0);
	r->is_field_open = true;
	return buf_printf(&r->text, "%.*s: ", (int)n, at);
}

static int
on_value(http_parser *p, const char *at, size_t n)
{
	struct reading *r = p->data;

	if (!r->is_field_open)
		return 0;
	r->is_field_open = false;
	return buf_printf(&r->text, "%.*s\n", SLICE_ARG(slice_trim(slice_of(at, n))));
}

static int
on_headers_complete(http_parser *p)
{
	struct reading *r = p->data;

	if (r->text.n > 0 && memchr(r->text.p, '\n', r->text.n) == NULL)
		(void)buf_printf(&r->text, " 1.%d\n", p->http_minor > 0 ? 1 : 0);
	r->is_head_whole = true;
	return buf_add_char(&r->text, '\n');
}

static int
on_body(http_parser *p, const char *at, size_t n)
{
	struct reading *r = p->data;

	return buf_add(&r->text, at, n);
}

static int
on_message_complete(http_parser *p)
{
	struct reading *r = p->data;

	r->is_whole = true;
	r->keep_alive = http_should_keep_alive(p) != 0;
	http_parser_pause(p, 1);
	return 0;
}

bool
oracle_is_there(void)
{
	return true;
}

bool
oracle_read(struct slice in, struct reading *r)
{
	static const http_parser_settings settings = {
	    .on_url = on_url,
	    .on_header_field = on_field,
	    .on_header_value = on_value,
	    .on_headers_complete = on_headers_complete,
	    .on_body = on_body,
	    .on_message_complete = on_message_complete,
	};
	http_parser p;

	http_parser_init(&p, HTTP_REQUEST);
	p.data = r;
	r->n_bytes = http_parser_execute(&p, &settings, in.p, in.n);
	return !r->text.failed && (p.http_errno == HPE_OK || r->is_whole);
}

#else

bool
oracle_is_there(void)
{
	return false;
}

bool
oracle_read(struct slice in, struct reading *r)
{
	(void)in; /* nothing to read it with */
	(void)r;
	return false;
}

#endif
