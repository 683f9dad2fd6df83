/*
 * The small pieces that look at every byte: UTF-8, base64, numbers, and texts made fit for a
 * sentence; each against a second way to say the same. The first byte says where the text is cut.
 */
#include <errno.h>

#include "base/b64.h"
#include "base/utf8.h"
#include "core/error.h"
#include "core/token_private.h"
#include "proto/json.h"
#include "tests/fuzz/support.h"

#define INPUT_MAX 2048

/* The character at the front (RFC 3629), its size in *n; -1 for none. */
static long
decode(struct slice s, size_t *n)
{
	static const long least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned lead = (unsigned char)s.p[0];
	long c;

	*n = lead < 0x80   ? 1
	     : lead < 0xc0 ? 0
	     : lead < 0xe0 ? 2
	     : lead < 0xf0 ? 3
	     : lead < 0xf8 ? 4
			   : 0;
	if (*n == 0 || *n > s.n)
		return -1;
	c = *n == 1 ? (long)lead : (long)(lead & (0x7fu >> *n));
	for (size_t i = 1; i < *n; i++) {
		if (((unsigned char)s.p[i] & 0xc0) != 0x80)
			return -1;
		c = c << 6 | ((unsigned char)s.p[i] & 0x3f);
	}
	return c < least[*n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? -1 : c;
}

static bool
reference_utf8(struct slice s, bool *has_control)
{
	*has_control = false;
	while (s.n > 0) {
		size_t n;
		long c = decode(s, &n);

		if (c < 0)
			return false;
		*has_control = *has_control || c < 0x20 || (c >= 0x7f && c < 0xa0);
		s = slice_skip(s, n);
	}
	return true;
}

static void
check_utf8(struct slice s, size_t cut)
{
	struct utf8 u = {0};
	bool has_control;
	bool is_valid = reference_utf8(s, &has_control);
	bool fed;

	NEED(utf8_is_valid(s) == is_valid);
	if (is_valid)
		NEED(utf8_has_control(s) == has_control);
	fed = utf8_feed(&u, slice_of(s.p, cut)) && utf8_feed(&u, slice_skip(s, cut));
	NEED((fed && utf8_is_complete(&u)) == is_valid);
	u = (struct utf8){0};
	fed = true;
	for (size_t i = 0; i < s.n && fed; i++)
		fed = utf8_feed(&u, slice_of(s.p + i, 1));
	NEED((fed && utf8_is_complete(&u)) == is_valid);
}

/* What decodes encodes to itself; what is encoded decodes. */
static void
check_base64(struct slice s)
{
	static char text[B64_SIZE(INPUT_MAX)];
	static char again[B64_SIZE(INPUT_MAX)];
	static char bytes[B64_SIZE(INPUT_MAX)];
	ssize_t n = b64url_decode(s, bytes);

	if (n >= 0) {
		NEED((size_t)n <= s.n / 4 * 3 + 3);
		NEED(slice_eq(slice_of(text, b64url_encode(bytes, (size_t)n, text)), s));
	}
	n = b64url_decode(slice_of(text, b64url_encode(s.p, s.n, text)), again);
	NEED(n >= 0 && slice_eq(slice_of(again, (size_t)n), s));
}

static void
check_number(struct slice s)
{
	char text[64] = "";
	uint64_t v = 7;
	bool is_number = s.n > 0 && s.n < sizeof(text);
	int r;

	if (s.n >= sizeof(text))
		return;
	memcpy(text, s.p, s.n);
	for (size_t i = 0; i < s.n; i++)
		is_number = is_number && text[i] >= '0' && text[i] <= '9';
	r = slice_to_u64(s, &v);
	errno = 0;
	if (is_number && strtoull(text, NULL, 10) == v && errno == 0)
		NEED(r == 0);
	else
		NEED(r < 0 && v == 7);
}

/* What a peer said, in a sentence of ours: a refusal, a log line, a header. */
static void
check_clean(struct slice s)
{
	char clean[REFUSE_CLEAN];
	char token[TOKEN_CLEAN];
	struct slice out = slice_str(refuse_clean(s, clean));
	struct buf problem = BUF_INIT(8192);
	struct refusal why;
	cJSON *json = NULL;

	NEED(out.n < REFUSE_CLEAN && utf8_is_valid(out) && !utf8_has_control(out));
	NEED(memchr(out.p, '"', out.n) == NULL && memchr(out.p, '\\', out.n) == NULL);
	for (const char *p = token_clean(s, token); *p != '\0'; p++)
		NEED(*p >= ' ' && *p <= '~' && *p != '"' && *p != '\\');
	refusal_fill(
	    &why, ERROR_BAD_FIELD, "%s %s %s %s %s %s", clean, clean, clean, clean, clean, clean);
	NEED(strlen(why.text) < ERROR_TEXT && utf8_is_valid(slice_str(why.text)));
	NEED(refusal_problem(&problem, &why) == 0);
	NEED(json_parse(buf_slice(&problem), &json, NULL) == 0);
	NEED(slice_eq(json_slice(json_member(json, "detail")), slice_str(why.text)));
	NEED(slice_eq(json_slice(json_member(json, "code")), SLICE("bad_field")));
	cJSON_Delete(json);
	buf_done(&problem);
}

static void
check_slices(struct slice s)
{
	struct slice trimmed = slice_trim(s);
	struct slice rest = s;
	size_t n = 0;

	NEED(trimmed.n <= s.n && trimmed.p >= s.p && trimmed.p + trimmed.n <= s.p + s.n);
	NEED(trimmed.n == 0 || (strchr(" \t", trimmed.p[0]) == NULL || trimmed.p[0] == '\0'));
	while (rest.p != NULL)
		n += slice_cut(&rest, ',').n + (rest.p != NULL);
	NEED(n == s.n);
	NEED(slice_eq_nocase(s, s));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);
	size_t cut = take_byte(&in);

	if (size == 0 || in.n > INPUT_MAX)
		return 0;
	check_utf8(in, in.n == 0 ? 0 : cut % (in.n + 1));
	check_base64(in);
	check_number(in);
	check_clean(in);
	check_slices(in);
	return 0;
}
