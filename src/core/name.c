#include "core/name.h"

#include <errno.h>

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uspoof.h>
#include <unicode/ustring.h>

#include "base/utf8.h"

/*
 * UTF-16 units: of a name of 128 bytes, and of what normalizing (18-fold at most) and replacing by
 * look-alikes makes of it.
 */
#define UNITS_IN  256
#define UNITS_OUT 1024
#define MARKS_MAX 3 /* combining marks in a row: more stand above and below their line */

/* UTF-16 of some UTF-8; -1 when it is none, or too long. */
static int32_t
to_units(struct slice in, UChar *out, int32_t cap)
{
	UErrorCode e = U_ZERO_ERROR;
	int32_t n = 0;

	if (in.n > (size_t)cap)
		return -1;
	(void)u_strFromUTF8(out, cap, &n, in.p == NULL ? "" : in.p, (int32_t)in.n, &e);
	return U_FAILURE(e) ? -1 : n;
}

static int
add_units(struct buf *out, const UChar *units, int32_t n)
{
	UErrorCode e = U_ZERO_ERROR;
	int32_t got = 0;

	if (buf_reserve(out, (size_t)n * 3 + 1) < 0)
		return -ENOMEM;
	(void)u_strToUTF8(out->p + out->n, n * 3 + 1, &got, units, n, &e);
	if (U_FAILURE(e))
		return -ENOMEM;
	out->n += (size_t)got;
	return 0;
}

/* The code point at *at; ICU's macro for it mixes signs. */
static UChar32
next_code(const UChar *units, int32_t n, int32_t *at)
{
	UChar32 c = units[(*at)++];

	if (c >= 0xd800 && c < 0xdc00 && *at < n && U16_IS_TRAIL(units[*at]))
		c = 0x10000 + ((c - 0xd800) << 10) + (units[(*at)++] - 0xdc00);
	return c;
}

static bool
is_joiner(UChar32 c)
{
	return c == 0x200c || c == 0x200d; /* of Persian words and of emoji */
}

static bool
is_mark(int8_t category)
{
	return category == U_NON_SPACING_MARK || category == U_ENCLOSING_MARK;
}

static bool
is_dropped(UChar32 c, int8_t category)
{
	if (is_joiner(c))
		return false;
	return category == U_CONTROL_CHAR || category == U_FORMAT_CHAR || category == U_SURROGATE ||
	       category == U_PRIVATE_USE_CHAR || category == U_UNASSIGNED ||
	       u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT);
}

/* Copies what is shown; in may be out. Returns the units. */
static int32_t
keep_shown(const UChar *in, int32_t n, UChar *out)
{
	int32_t to = 0;
	unsigned marks = 0;
	bool is_gap = false;

	for (int32_t at = 0; at < n;) {
		UChar32 c;
		int8_t category;

		c = next_code(in, n, &at);
		category = u_charType(c);
		if (u_isUWhiteSpace(c)) {
			is_gap = to > 0;
			continue;
		}
		marks = is_mark(category) ? marks + 1 : 0;
		if (is_dropped(c, category) || marks > MARKS_MAX ||
		    (is_joiner(c) && (to == 0 || is_gap)))
			continue;
		if (is_gap)
			out[to++] = ' ';
		is_gap = false;
		U16_APPEND_UNSAFE(out, to, c);
	}
	while (to > 0 && is_joiner(out[to - 1]))
		to--;
	return to;
}

/* A failure of ICU is one of memory, or of what it was given. */
static int
failure(UErrorCode e)
{
	return e == U_MEMORY_ALLOCATION_ERROR ? -ENOMEM : -EINVAL;
}

int
name_clean(struct slice in, struct buf *out, const char **wrong)
{
	UChar raw[UNITS_IN] UNCLEARED;
	UChar units[UNITS_OUT] UNCLEARED;
	UErrorCode e = U_ZERO_ERROR;
	const UNormalizer2 *nfc = unorm2_getNFCInstance(&e);
	size_t before = out->n;
	int32_t n = to_units(in, raw, UNITS_IN);

	*wrong = in.n > UNITS_IN ? "is longer than 64 bytes" : "is not UTF-8";
	if (n < 0)
		return -EINVAL;
	if (U_SUCCESS(e))
		n = unorm2_normalize(nfc, raw, n, units, UNITS_OUT, &e);
	*wrong = "cannot be read";
	if (U_FAILURE(e))
		return failure(e);
	n = keep_shown(units, n, units);
	*wrong = "is empty";
	if (n == 0)
		return -EINVAL;
	if (add_units(out, units, n) < 0)
		return -ENOMEM;
	*wrong = "is longer than 64 bytes";
	if (out->n - before <= NAME_MAX_BYTES)
		return 0;
	out->n = before;
	return -EINVAL;
}

int
name_take(struct slice in, struct buf *out, struct refusal *why)
{
	const char *wrong = "has a control character";
	int r = utf8_has_control(in) ? -EINVAL : name_clean(in, out, &wrong);

	if (r == 0)
		return 0;
	buf_done(out);
	if (r == -ENOMEM)
		return refuse_memory(why);
	return refuse(why, ERROR_BAD_FIELD, "name %s", wrong);
}

/* Without white space, and without what is not seen. */
static int32_t
squeeze(UChar *units, int32_t n)
{
	int32_t to = 0;

	for (int32_t at = 0; at < n;) {
		UChar32 c;

		c = next_code(units, n, &at);
		if (!u_isUWhiteSpace(c) && !is_joiner(c) && !is_dropped(c, u_charType(c)))
			U16_APPEND_UNSAFE(units, to, c);
	}
	return to;
}

int
name_key(struct slice name, struct buf *out)
{
	UChar a[UNITS_OUT] UNCLEARED;
	UChar b[UNITS_OUT] UNCLEARED;
	UErrorCode e = U_ZERO_ERROR;
	const UNormalizer2 *folded = unorm2_getNFKCCasefoldInstance(&e);
	USpoofChecker *checker = uspoof_open(&e); /* its tables are loaded once */
	int32_t n = to_units(name, a, UNITS_IN);

	if (n < 0)
		e = U_ILLEGAL_ARGUMENT_ERROR;
	if (U_SUCCESS(e))
		n = squeeze(b, unorm2_normalize(folded, a, n, b, UNITS_OUT, &e));
	if (U_SUCCESS(e)) /* 'l' stands for I, 1 and | there */
		n = uspoof_getSkeleton(checker, 0, b, n, a, UNITS_OUT, &e);
	if (U_SUCCESS(e)) /* and capitals for some look-alikes of small letters */
		n = unorm2_normalize(folded, a, n, b, UNITS_OUT, &e);
	uspoof_close(checker);
	if (U_FAILURE(e))
		return failure(e);
	for (int32_t i = 0; i < n; i++) { /* I looks like l, and is i */
		if (b[i] == 'l')
			b[i] = 'i';
	}
	return add_units(out, b, n);
}

/* What emoji are put together with: joiners, their two styles, and the tags of flags. */
static bool
is_of_emoji(UChar32 c)
{
	return is_joiner(c) || c == 0xfe0e || c == 0xfe0f || (c >= 0xe0020 && c <= 0xe007f);
}

/* There are new ones every year, which this library may not know yet. */
static bool
is_future_emoji(UChar32 c, int8_t category)
{
	return category == U_UNASSIGNED && c >= 0x1f000 && c <= 0x1fbff;
}

bool
name_is_sign(struct slice in)
{
	UChar units[UNITS_IN] UNCLEARED;
	int32_t n = to_units(in, units, UNITS_IN);
	bool is_seen = false;

	if (n <= 0)
		return false;
	for (int32_t at = 0; at < n;) {
		UChar32 c = next_code(units, n, &at);
		int8_t category = u_charType(c);

		if (is_of_emoji(c))
			continue;
		if (u_isUWhiteSpace(c) ||
		    (is_dropped(c, category) && !is_future_emoji(c, category)))
			return false;
		is_seen = is_seen || !is_mark(category);
	}
	return is_seen;
}
