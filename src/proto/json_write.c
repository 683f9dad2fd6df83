#include "proto/json.h"

#include "proto/json_text.h"

#define LINE_SEPARATOR_LEAD 0xe2 /* U+2028 and U+2029 are E2 80 A8 and E2 80 A9 */

/*
 * Bytes that go out as they are: before the next '"', '\', control byte or lead byte of a line
 * separator.
 */
static size_t
plain_run(const char *p, size_t n)
{
	size_t at = 0;

	for (; n - at >= 8; at += 8) {
		uint64_t v = json_load(p + at);
		uint64_t marks = json_marks_equal(v, '"') | json_marks_equal(v, '\\') |
				 json_marks_equal(v, LINE_SEPARATOR_LEAD) |
				 json_marks_below(v, 0x20);

		if (marks != 0)
			return at + json_first_mark(marks);
	}
	while (at < n && p[at] != '"' && p[at] != '\\' && (uint8_t)p[at] >= 0x20 &&
	       (uint8_t)p[at] != LINE_SEPARATOR_LEAD)
		at++;
	return at;
}

static inline bool
is_plain16(bytes16 v)
{
	return !bytes16_any((bytes16)(v == '"') | (bytes16)(v == '\\') |
			    (bytes16)(v == LINE_SEPARATOR_LEAD) | (bytes16)(v < 0x20));
}

/* Fewer than sixteen bytes in one look: with spaces behind them, or both ends of them. */
static inline bytes16
all_of_short(struct slice s)
{
	const uint64_t spaces = JSON_ONES * ' ';
	uint64_t halves[2] = {spaces, spaces};

	if (s.n < 8) {
		halves[0] = bytes_short(s.p, s.n) | spaces << (8 * s.n);
	} else {
		halves[0] = json_load(s.p);
		halves[1] = json_load(s.p + s.n - 8);
	}
	return bytes16_load(halves);
}

/* Whether all of s goes out as it is: most names and texts. The last bytes are looked at twice. */
static bool
is_plain(struct slice s)
{
	if (s.n < 16)
		return is_plain16(all_of_short(s));
	for (size_t at = 0; s.n - at > 16; at += 16) {
		if (!is_plain16(bytes16_load(s.p + at)))
			return false;
	}
	return is_plain16(bytes16_load(s.p + s.n - 16));
}

static int
add_control(struct buf *out, uint8_t c)
{
	static const char digits[] = "0123456789abcdef";
	char text[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};

	switch (c) {
	case '\b':
		return BUF_ADD_LIT(out, "\\b");
	case '\f':
		return BUF_ADD_LIT(out, "\\f");
	case '\n':
		return BUF_ADD_LIT(out, "\\n");
	case '\r':
		return BUF_ADD_LIT(out, "\\r");
	case '\t':
		return BUF_ADD_LIT(out, "\\t");
	default:
		return buf_add(out, text, sizeof(text));
	}
}

/* Write what stands where a plain run ended; *used becomes its bytes. */
static int
add_special(struct buf *out, struct slice s, size_t *used)
{
	*used = 1;
	if (s.p[0] == '"')
		return BUF_ADD_LIT(out, "\\\"");
	if (s.p[0] == '\\')
		return BUF_ADD_LIT(out, "\\\\");
	if ((uint8_t)s.p[0] != LINE_SEPARATOR_LEAD)
		return add_control(out, (uint8_t)s.p[0]);
	if (slice_has_prefix(s, SLICE("\xe2\x80\xa8")) ||
	    slice_has_prefix(s, SLICE("\xe2\x80\xa9"))) {
		*used = 3;
		return s.p[2] == '\xa8' ? BUF_ADD_LIT(out, "\\u2028") : BUF_ADD_LIT(out, "\\u2029");
	}
	return buf_add_char(out, s.p[0]);
}

int
json_add_escaped(struct buf *out, struct slice s)
{
	int r = buf_reserve(out, s.n);

	while (s.n > 0 && r == 0) {
		size_t n = plain_run(s.p, s.n);

		r = buf_add(out, s.p, n);
		s = slice_skip(s, n);
		if (r == 0 && s.n > 0) {
			r = add_special(out, s, &n);
			s = slice_skip(s, n);
		}
	}
	return r;
}

int
json_add_string(struct buf *out, struct slice s)
{
	int r = buf_reserve(out, s.n + 2);
	char *at;

	if (r < 0)
		return r;
	at = out->p + out->n;
	*at++ = '"';
	if (is_plain(s)) { /* 180 → 60 instructions for nine letters */
		if (s.n > 0)
			memcpy(at, s.p, s.n);
		at[s.n] = '"';
		out->n += s.n + 2;
		return 0;
	}
	out->n++;
	r = json_add_escaped(out, s);
	return r < 0 ? r : buf_add_char(out, '"');
}

int
json_add_name(struct buf *out, struct slice name)
{
	char last = out->n == 0 ? '{' : out->p[out->n - 1];
	int r = buf_reserve(out, name.n + 4);
	char *at;

	if (r < 0)
		return r;
	at = out->p + out->n;
	if (last != '{' && last != '[')
		*at++ = ',';
	*at++ = '"';
	memcpy(at, name.p, name.n);
	at += name.n;
	*at++ = '"';
	*at++ = ':';
	out->n = (size_t)(at - out->p);
	return 0;
}

int
json_add_member_u64(struct buf *out, const char *name, uint64_t value)
{
	int r = json_add_key(out, name);

	return r < 0 ? r : buf_add_u64(out, value);
}

int
json_add_member_i64(struct buf *out, const char *name, int64_t value)
{
	int r = json_add_key(out, name);

	return r < 0 ? r : buf_add_i64(out, value);
}

int
json_add_member_bool(struct buf *out, const char *name, bool value)
{
	int r = json_add_key(out, name);

	if (r < 0)
		return r;
	return value ? BUF_ADD_LIT(out, "true") : BUF_ADD_LIT(out, "false");
}

int
json_add_member_raw(struct buf *out, const char *name, struct slice value)
{
	int r = json_add_key(out, name);

	return r < 0 ? r : buf_add_slice(out, value);
}
