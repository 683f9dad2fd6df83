#include "core/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"
#include "proto/http.h"
#include "proto/json.h"

static const struct {
	const char *name;
	int status;
} codes[] = {
#define X(name, wire, status) [ERROR_##name] = {wire, status},
    ERROR_CODES(X)
#undef X
};

_Static_assert(ARRAY_LEN(codes) == ERROR_CODE_COUNT, "a row for each code");

const char *
error_name(enum error_code code)
{
	return codes[code].name;
}

int
error_status(enum error_code code)
{
	return codes[code].status;
}

/* A cut must not leave half a character: the text goes into JSON and close frames. */
static void
drop_partial_character(char *text)
{
	size_t n = strlen(text);
	size_t back = 0;

	while (back < 3 && back < n && ((unsigned char)text[n - 1 - back] & 0xc0) == 0x80)
		back++;
	if (n > back && !utf8_is_valid(slice_of(text + n - 1 - back, back + 1)))
		text[n - 1 - back] = '\0';
}

static void PRINTF(2, 0) set_text(struct refusal *r, const char *fmt, va_list args)
{
	int n = vsnprintf(r->text, sizeof(r->text), fmt, args);

	if (n < 0)
		r->text[0] = '\0';
	else if ((size_t)n >= sizeof(r->text))
		drop_partial_character(r->text);
}

void
refusal_fill(struct refusal *r, enum error_code code, const char *fmt, ...)
{
	va_list args;

	*r = (struct refusal){.code = code};
	va_start(args, fmt);
	set_text(r, fmt, args);
	va_end(args);
}

void
refusal_fill_limit(struct refusal *r, enum error_code code, const char *limit,
    uint32_t retry_after_s, const char *fmt, ...)
{
	va_list args;

	*r = (struct refusal){.code = code, .limit = limit, .retry_after_s = retry_after_s};
	va_start(args, fmt);
	set_text(r, fmt, args);
	va_end(args);
}

/* Bytes of the valid UTF-8 character at the start of s; 0 when there is none. */
static size_t
character_size(struct slice s)
{
	unsigned char lead = (unsigned char)s.p[0];
	size_t n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

	return n <= s.n && utf8_is_valid(slice_of(s.p, n)) ? n : 0;
}

#define ELLIPSIS "\xe2\x80\xa6"

const char *
refuse_clean(struct slice s, char out[REFUSE_CLEAN])
{
	const size_t room = REFUSE_CLEAN - sizeof(ELLIPSIS);
	size_t at = 0;

	while (s.n > 0) {
		size_t n = character_size(s);

		if (at + max_size(n, 1) > room) {
			memcpy(out + at, ELLIPSIS, sizeof(ELLIPSIS) - 1);
			at += sizeof(ELLIPSIS) - 1;
			break;
		}
		if (n == 0 || utf8_has_control(slice_of(s.p, n)))
			out[at++] = '?';
		else if (s.p[0] == '"')
			out[at++] = '\'';
		else if (s.p[0] == '\\')
			out[at++] = '/';
		else
			for (size_t i = 0; i < n; i++)
				out[at++] = s.p[i];
		s = slice_skip(s, max_size(n, 1));
	}
	out[at] = '\0';
	return out;
}

int
refusal_problem(struct buf *out, const struct refusal *r)
{
	int status = r->status != 0 ? r->status : error_status(r->code);

	(void)buf_add_char(out, '{');
	(void)json_add_member_string(out, "type", SLICE("about:blank"));
	(void)json_add_member_string(out, "title", slice_str(http_status_text(status)));
	(void)json_add_member_i64(out, "status", status);
	(void)json_add_member_string(out, "detail", slice_str(r->text));
	(void)json_add_member_string(out, "code", slice_str(error_name(r->code)));
	if (r->limit != NULL)
		(void)json_add_member_string(out, "limit", slice_str(r->limit));
	if (r->retry_after_s > 0)
		(void)json_add_member_u64(out, "retry_after", r->retry_after_s);
	(void)buf_add_char(out, '}');
	return out->failed ? -ENOMEM : 0;
}

void
refusal_denied(struct buf *out, struct slice topic, const struct refusal *r)
{
	(void)buf_add_char(out, '{');
	(void)json_add_member_string(out, "type", SLICE("denied"));
	(void)json_add_member_string(out, "topic", topic);
	(void)json_add_member_string(out, "code", slice_str(error_name(r->code)));
	(void)json_add_member_string(out, "detail", slice_str(r->text));
	if (r->retry_after_s > 0)
		(void)json_add_member_u64(out, "retry_after", r->retry_after_s);
}
