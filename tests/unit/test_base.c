/*
 * src/base: slices, buffers, maps, UTF-8, base64, and what they do without memory.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/b64.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/utf8.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_guard.h"
#include "tests/unit/support_run.h"

#define ck_slice(s, text) ck_assert_msg(slice_eq((s), slice_str(text)), "got '%.*s'", SLICE_ARG(s))

/* --- slices --- */

START_TEST(slices_compare)
{
	ck_assert(slice_eq(SLICE("ab"), SLICE("ab")));
	ck_assert(!slice_eq(SLICE("ab"), SLICE("aB")));
	ck_assert(slice_eq(SLICE_NONE, SLICE("")));
	ck_assert(slice_eq_nocase(SLICE("Content-LENGTH"), SLICE("content-length")));
	ck_assert(!slice_eq_nocase(SLICE("a"), SLICE("ab")));
	/* only letters have a case: '@' and '`', '[' and '{' are 0x20 apart as well */
	ck_assert(!slice_eq_nocase(SLICE("@["), SLICE("`{")));
	ck_assert(!slice_eq_nocase(SLICE("\xc4"), SLICE("\xe4")));
	ck_assert(slice_has_prefix(SLICE("abc"), SLICE("ab")));
	ck_assert(slice_has_prefix(SLICE("abc"), SLICE("")));
	ck_assert(!slice_has_prefix(SLICE("a"), SLICE("ab")));
	ck_assert_ptr_null(slice_str(NULL).p);
}
END_TEST

START_TEST(slices_trim_and_cut)
{
	struct slice rest = SLICE("a,,b");

	ck_slice(slice_trim(SLICE(" \t a b\t ")), "a b");
	ck_slice(slice_trim(SLICE(" \t")), "");
	ck_slice(slice_trim(SLICE("\ra\n")), "\ra\n");
	ck_slice(slice_cut(&rest, ','), "a");
	ck_slice(slice_cut(&rest, ','), "");
	ck_assert_ptr_nonnull(rest.p);
	ck_slice(slice_cut(&rest, ','), "b");
	ck_assert_ptr_null(rest.p);
	rest = SLICE("a,");
	ck_slice(slice_cut(&rest, ','), "a");
	ck_assert_ptr_nonnull(rest.p); /* an empty last part is still to come */
	ck_slice(slice_cut(&rest, ','), "");
	ck_assert_ptr_null(rest.p);
	rest = SLICE_NONE;
	ck_slice(slice_cut(&rest, ','), "");
}
END_TEST

static const struct {
	const char *text;
	int result;
	uint64_t value;
} numbers[] = {
    {"0", 0, 0},
    {"00012", 0, 12},
    {"18446744073709551615", 0, UINT64_MAX},
    {"18446744073709551616", -1, 0},
    {"99999999999999999999", -1, 0},
    {"184467440737095516150", -1, 0},
    {"", -1, 0},
    {"+1", -1, 0},
    {"-1", -1, 0},
    {" 1", -1, 0},
    {"1 ", -1, 0},
    {"0x1", -1, 0},
    {"1.0", -1, 0},
    {"\xb2", -1, 0},
};

START_TEST(slices_to_numbers)
{
	uint64_t value = 77;

	ck_assert_int_eq(slice_to_u64(slice_str(numbers[_i].text), &value), numbers[_i].result);
	ck_assert_uint_eq(value, numbers[_i].result == 0 ? numbers[_i].value : 77);
}
END_TEST

/* --- buffers --- */

static const struct {
	const char *text;
	int result;
	uint64_t value;
} hex_numbers[] = {
    {"0", 0, 0},
    {"fF", 0, 255},
    {"00000000000000010", -1, 0}, /* 17 digits */
    {"ffffffffffffffff", 0, UINT64_MAX},
    {"", -1, 0},
    {"0x1", -1, 0},
    {" 1", -1, 0},
    {"+1", -1, 0},
    {"1g", -1, 0},
};

START_TEST(slices_to_hex_numbers)
{
	uint64_t value = 7;
	int r = slice_hex_to_u64(slice_str(hex_numbers[_i].text), &value);

	ck_assert_int_eq(r, hex_numbers[_i].result);
	ck_assert_uint_eq(value, r == 0 ? hex_numbers[_i].value : 7);
}
END_TEST

START_TEST(buffers_append)
{
	struct buf b = BUF_INIT(1000);

	ck_slice(buf_slice(&b), "");
	ck_assert_int_eq(buf_add_str(&b, "x="), 0);
	ck_assert_int_eq(buf_add_i64(&b, INT64_MIN), 0);
	ck_assert_int_eq(buf_add_char(&b, ' '), 0);
	ck_assert_int_eq(buf_add_u64(&b, UINT64_MAX), 0);
	ck_assert_int_eq(BUF_ADD_LIT(&b, " "), 0);
	ck_assert_int_eq(buf_add_u64(&b, 0), 0);
	ck_assert_int_eq(buf_printf(&b, "%s%d", "!", 7), 0);
	ck_assert_int_eq(buf_add_slice(&b, SLICE_NONE), 0);
	ck_slice(buf_slice(&b), "x=-9223372036854775808 18446744073709551615 0!7");
	buf_consume(&b, 2);
	ck_slice(buf_slice(&b), "-9223372036854775808 18446744073709551615 0!7");
	buf_consume(&b, b.n);
	ck_slice(buf_slice(&b), "");
	buf_done(&b);
	ck_assert_uint_eq(b.max, 1000);
	buf_done(&b);
}
END_TEST

START_TEST(numbers_have_their_digits)
{
	uint64_t power = 1;

	for (unsigned n = 0; n < 20; n++, power *= 10) {
		const uint64_t around[] = {power - 1, power, power + 1, power * 3 / 2};

		for (size_t i = 0; i < ARRAY_LEN(around); i++) {
			struct buf b = BUF_INIT(100);
			char want[32];

			(void)snprintf(want, sizeof(want), "%llu", (unsigned long long)around[i]);
			ck_assert_int_eq(buf_add_u64(&b, around[i]), 0);
			ck_slice(buf_slice(&b), want);
			buf_done(&b);
		}
	}
}
END_TEST

START_TEST(buffers_are_bounded)
{
	struct buf b = BUF_INIT(200);

	ck_assert_int_eq(buf_printf(&b, "%190d", 1), 0);
	ck_assert_int_eq(buf_add_str(&b, "0123456789a"), -EMSGSIZE);
	ck_assert(b.failed);
	ck_assert_uint_eq(b.n, 190);
	ck_assert_int_lt(buf_add_str(&b, "0123456789"), 0); /* what follows a missing piece */
	ck_assert_int_lt(buf_add_str(&b, ""), 0);
	b.failed = false;
	ck_assert_int_eq(buf_add_str(&b, "0123456789"), 0);
	ck_assert_int_eq(buf_add_char(&b, 'x'), -EMSGSIZE);
	b.failed = false;
	ck_assert_int_eq(buf_reserve(&b, SIZE_MAX), -EMSGSIZE);
	ck_assert_uint_eq(b.n, 200);
	buf_reset(&b);
	ck_assert(!b.failed);
	ck_assert_uint_eq(b.n, 0);
	/* a buffer of its full size lets nobody write behind it, not even a NUL */
	ck_assert_int_eq(buf_printf(&b, "%200d", 1), -EMSGSIZE);
	buf_reset(&b);
	ck_assert_int_eq(buf_printf(&b, "%199d", 1), 0);
	buf_done(&b);
	b = BUF_INIT(0);
	ck_assert_int_eq(buf_add_char(&b, 'x'), -EMSGSIZE);
	buf_done(&b);
}
END_TEST

START_TEST(buffers_grow)
{
	struct buf b = BUF_INIT(100000);

	for (int i = 0; i < 100000; i++)
		ck_assert_int_eq(buf_add_char(&b, (char)('a' + i % 26)), 0);
	for (int i = 0; i < 100000; i++)
		ck_assert_int_eq(b.p[i], 'a' + i % 26);
	ck_assert_uint_le(b.cap, 100000);
	buf_done(&b);
}
END_TEST

START_TEST(buffers_without_memory)
{
	struct buf b = BUF_INIT(1000);
	long blocks = mem_blocks();

	mem_fail_at(1);
	ck_assert_int_eq(buf_add_str(&b, "abc"), -ENOMEM);
	ck_assert(b.failed);
	ck_assert_uint_eq(b.n, 0);
	ck_assert_int_lt(buf_add_str(&b, "abc"), 0);
	ck_assert(b.failed); /* until it is reset */
	buf_reset(&b);
	ck_assert_int_eq(buf_add_str(&b, "abc"), 0);
	mem_fail_at(1);
	ck_assert_int_eq(buf_reserve(&b, 900), -ENOMEM);
	ck_slice(buf_slice(&b), "abc");
	b.failed = false;
	mem_fail_at(1);
	ck_assert_int_eq(buf_printf(&b, "%500d", 1), -ENOMEM);
	ck_slice(buf_slice(&b), "abc");
	buf_done(&b);
	ck_assert_int_eq(mem_blocks(), blocks);
}
END_TEST

/* --- maps --- */

/* Against an implementation of others: CPython 3.11 hashes bytes with it, with zero keys under PYTHONHASHSEED=0. */
START_TEST(siphash_is_siphash)
{
	uint8_t bytes[64];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	ck_assert(siphash13("a", 1, 0, 0) == 0x407448d2b89b1813);
	ck_assert(siphash13("abcdefg", 7, 0, 0) == 0x6db12aae9070f506);
	ck_assert(siphash13("abcdefgh", 8, 0, 0) == 0x3f7b849c0b8e35ea);
	ck_assert(siphash13("belfry chat/lobby", 17, 0, 0) == 0x349e689765842cfc);
	ck_assert(siphash13(bytes, 64, 0, 0) == 0x75e05fd5bbc870c6);
	/* keys 00..07, 08..0f, no bytes: as in the tests of other implementations */
	ck_assert(siphash13("", 0, 0x0706050403020100, 0x0f0e0d0c0b0a0908) == 0xabac0158050fc4dc);
}
END_TEST

#define N_KEYS 2000

struct item {
	char key[16];
	bool is_in;
};

static struct slice
item_key(const struct item *item)
{
	return slice_str(item->key);
}

/* Sets and removes at random, compared with a plain array. */
START_TEST(maps_keep_what_was_put)
{
	struct item *items = calloc(N_KEYS, sizeof(*items));
	struct map m;
	size_t n_in = 0;
	size_t at = 0;
	size_t n_walked = 0;

	ck_assert_ptr_nonnull(items);
	map_init(&m);
	ck_assert_ptr_null(map_get(&m, SLICE("nothing")));
	ck_assert_ptr_null(map_remove(&m, SLICE("nothing")));
	srand(7);
	for (int i = 0; i < N_KEYS; i++)
		(void)snprintf(items[i].key, sizeof(items[i].key), "key %d", i);
	for (int i = 0; i < 20 * N_KEYS; i++) {
		struct item *item = &items[rand() % N_KEYS];

		if (rand() % 5 < 2) {
			ck_assert_ptr_eq(map_remove(&m, item_key(item)), item->is_in ? item : NULL);
			n_in -= item->is_in;
			item->is_in = false;
		} else {
			ck_assert_int_eq(map_set(&m, item_key(item), item), 0);
			n_in += !item->is_in;
			item->is_in = true;
		}
		ck_assert_uint_eq(m.n, n_in);
	}
	for (int i = 0; i < N_KEYS; i++)
		ck_assert_ptr_eq(
		    map_get(&m, item_key(&items[i])), items[i].is_in ? &items[i] : NULL);
	for (const struct item *item; (item = map_next(&m, &at)) != NULL; n_walked++)
		ck_assert(item->is_in);
	ck_assert_uint_eq(n_walked, n_in);
	map_done(&m);
	map_done(&m);
	free(items);
}
END_TEST

START_TEST(maps_replace_and_take_any_bytes)
{
	struct map m;
	int a = 1;
	int b = 2;

	map_init(&m);
	ck_assert_int_eq(map_set(&m, SLICE("k\0a"), &a), 0);
	ck_assert_int_eq(map_set(&m, SLICE("k\0b"), &b), 0);
	ck_assert_int_eq(map_set(&m, SLICE(""), &b), 0);
	ck_assert_ptr_eq(map_get(&m, SLICE("k\0a")), &a);
	ck_assert_int_eq(map_set(&m, SLICE("k\0a"), &b), 0);
	ck_assert_ptr_eq(map_get(&m, SLICE("k\0a")), &b);
	ck_assert_ptr_eq(map_get(&m, SLICE("")), &b);
	ck_assert_ptr_null(map_get(&m, SLICE("k")));
	ck_assert_uint_eq(m.n, 3);
	map_done(&m);
}
END_TEST

/* How far the entry that lies worst stands from where it belongs. */
static size_t
worst_place(const struct map *m)
{
	size_t worst = 0;

	for (size_t i = 0; i < m->cap; i++) {
		if (m->entries[i].value != NULL)
			worst = max_size(worst, (i - m->entries[i].hash) & (m->cap - 1));
	}
	return worst;
}

/* Keys that collide for one who does not know the map's own key: there they do not. */
START_TEST(maps_are_keyed)
{
	struct item *items = calloc(600, sizeof(*items));
	struct map m;
	struct map other;
	struct map known;
	size_t n = 0;

	ck_assert_ptr_nonnull(items);
	map_init(&m);
	map_init(&other);
	ck_assert(m.k0 != other.k0 && m.k1 != other.k1 && m.k0 != m.k1);
	known = (struct map){0};
	for (unsigned i = 0; n < 600; i++) {
		(void)snprintf(items[n].key, sizeof(items[n].key), "%u", i);
		if ((siphash13(items[n].key, strlen(items[n].key), 0, 0) & 1023) != 0)
			continue;
		ck_assert_int_eq(map_set(&known, item_key(&items[n]), items), 0);
		ck_assert_int_eq(map_set(&m, item_key(&items[n]), items), 0);
		n++;
	}
	ck_assert_uint_ge(worst_place(&known), 500);
	ck_assert_uint_lt(worst_place(&m), 100);
	map_done(&known);
	map_done(&m);
	map_done(&other);
	free(items);
}
END_TEST

START_TEST(maps_without_memory)
{
	struct item items[40];
	long blocks = mem_blocks();

	for (long n = 1;; n++) {
		struct map m;
		int n_in = 0;
		bool is_pending;

		map_init(&m);
		mem_fail_at(n);
		for (int i = 0; i < 40; i++) {
			int r;

			(void)snprintf(items[i].key, sizeof(items[i].key), "%d", i);
			r = map_set(&m, item_key(&items[i]), &items[i]);
			ck_assert(r == 0 || r == -ENOMEM);
			items[i].is_in = r == 0;
			n_in += r == 0;
		}
		is_pending = mem_fail_is_pending();
		mem_fail_at(0);
		ck_assert_int_eq(n_in, is_pending ? 40 : 39);
		for (int i = 0; i < 40; i++)
			ck_assert_ptr_eq(
			    map_get(&m, item_key(&items[i])), items[i].is_in ? &items[i] : NULL);
		map_done(&m);
		ck_assert_int_eq(mem_blocks(), blocks);
		if (is_pending)
			break;
	}
}
END_TEST

/* --- UTF-8 --- */

static const struct {
	struct slice text;
	bool is_valid;
} utf8_texts[] = {
    {{"", 0}, true},
    {{"plain text, longer than eight bytes", 35}, true},
    {{"\xc2\x80 \xdf\xbf", 5}, true},
    {{"\xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf", 15}, true},
    {{"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf", 9}, true},
    {{"ascii\0nul", 9}, true},
    {{"\x80", 1}, false},
    {{"\xbf", 1}, false},
    {{"\xc0\x80", 2}, false},         /* overlong NUL */
    {{"\xc1\xbf", 2}, false},         /* overlong */
    {{"\xe0\x9f\xbf", 3}, false},     /* overlong */
    {{"\xf0\x8f\xbf\xbf", 4}, false}, /* overlong */
    {{"\xed\xa0\x80", 3}, false},     /* U+D800 */
    {{"\xed\xbf\xbf", 3}, false},     /* U+DFFF */
    {{"\xf4\x90\x80\x80", 4}, false}, /* U+110000 */
    {{"\xf5\x80\x80\x80", 4}, false},
    {{"\xff", 1}, false},
    {{"\xfe", 1}, false},
    {{"\xc2", 1}, false}, /* cut off */
    {{"\xe2\x82", 2}, false},
    {{"\xf0\x9f\x98", 3}, false},
    {{"\xc2 ", 2}, false},
    {{"\xe2\x82\x41", 3}, false},
    {{"\xf0\x9f\x98\xc2\x80", 5}, false},
    {{"0123456\xff", 8}, false},
    {{"01234567\xff", 9}, false},
};

START_TEST(utf8_is_checked)
{
	struct slice text = utf8_texts[_i].text;
	struct guard g;

	guard_init(&g, 64);
	text = guard_copy(&g, text);
	ck_assert_int_eq(utf8_is_valid(text), utf8_texts[_i].is_valid);
	for (size_t cut = 0; cut <= text.n; cut++) {
		struct utf8 u = {0};
		bool ok = utf8_feed(&u, slice_of(text.p, cut)) &&
			  utf8_feed(&u, slice_skip(text, cut)) && utf8_is_complete(&u);

		ck_assert_int_eq(ok, utf8_texts[_i].is_valid);
	}
	guard_done(&g);
}
END_TEST

static size_t
utf8_put(char s[4], uint32_t c)
{
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const uint8_t leads[5] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (size_t i = 0; i < n; i++)
		s[i] = (char)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3f));
	s[0] = (char)(leads[n] | (c >> (6 * (n - 1))));
	return n;
}

/* Every code point, encoded here, is accepted but for the surrogates. */
START_TEST(utf8_takes_every_character)
{
	for (uint32_t c = 0x80; c <= 0x10ffff; c++) {
		char s[4];
		size_t n = utf8_put(s, c);

		if (utf8_is_valid(slice_of(s, n)) != (c < 0xd800 || c > 0xdfff))
			ck_abort_msg("U+%04X", c);
	}
}
END_TEST

START_TEST(utf8_controls_are_seen)
{
	ck_assert(!utf8_has_control(SLICE("a \xc3\xa9 \xe2\x80\xa8 \xf0\x9f\x98\x80 \xc2\xa0")));
	ck_assert(utf8_has_control(SLICE("a\nb")));
	ck_assert(utf8_has_control(SLICE("a\0b")));
	ck_assert(utf8_has_control(SLICE("\x7f")));
	ck_assert(utf8_has_control(SLICE("a\xc2\x85")));
	ck_assert(utf8_has_control(SLICE("\xc2\x9f")));
}
END_TEST

/* Every character of Unicode's White_Space, and none beside. */
START_TEST(blank_text_is_seen)
{
	static const uint32_t spaces[] = {9, 10, 11, 12, 13, 0x20, 0x85, 0xa0, 0x1680, 0x2000,
	    0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a, 0x2028,
	    0x2029, 0x202f, 0x205f, 0x3000};
	unsigned n_found = 0;

	for (uint32_t c = 0; c < 0x11000; c++) {
		char s[4];
		size_t n = utf8_put(s, c);

		if (!utf8_is_blank(slice_of(s, n)))
			continue;
		ck_assert_uint_lt(n_found, ARRAY_LEN(spaces));
		ck_assert_uint_eq(c, spaces[n_found++]);
		ck_assert(!utf8_is_blank(slice_of(s, n - 1)) || n == 1); /* cut off */
	}
	ck_assert_uint_eq(n_found, ARRAY_LEN(spaces));
	ck_assert(utf8_is_blank(SLICE_NONE));
	ck_assert(utf8_is_blank(SLICE(" \t\r\n\xc2\xa0\xe3\x80\x80 ")));
	ck_assert(!utf8_is_blank(SLICE(" \xe3\x80\x80x")));
}
END_TEST

START_TEST(few_bytes_are_a_number)
{
	static const char text[] = "\x01\x82\x03\xff\x05\x96\x07";
	struct guard g;

	guard_init(&g, 8);
	for (size_t n = 0; n < 8; n++) {
		uint64_t want = 0;

		for (size_t i = 0; i < n; i++)
			want |= (uint64_t)(unsigned char)text[i] << (8 * i);
		ck_assert_uint_eq(bytes_short(guard_copy(&g, slice_of(text, n)).p, n), want);
	}
	guard_done(&g);
}
END_TEST

START_TEST(hex_digits_are_printfs)
{
	uint64_t v = 0x0123456789abcdefu;

	for (int i = 0; i < 1000; i++) {
		char want[20];
		char got[17] = {0};

		(void)snprintf(want, sizeof(want), "%016llx", (unsigned long long)v);
		hex16(got, v);
		ck_assert_str_eq(got, want);
		v = v * 6364136223846793005u + 1442695040888963407u;
	}
}
END_TEST

START_TEST(secrets_are_compared_whole)
{
	char a[40];
	char b[40];

	memset(a, 'x', sizeof(a));
	for (size_t n = 0; n <= sizeof(a); n++) {
		memcpy(b, a, sizeof(a));
		ck_assert(slice_eq_secret(slice_of(a, n), slice_of(b, n)));
		ck_assert(n == 0 || !slice_eq_secret(slice_of(a, n), slice_of(b, n - 1)));
		for (size_t at = 0; at < n; at++) {
			b[at] = 'y';
			ck_assert(!slice_eq_secret(slice_of(a, n), slice_of(b, n)));
			b[at] = 'x';
		}
	}
}
END_TEST

/* Each byte at each place of short and longer texts. */
START_TEST(plain_text_is_seen)
{
	struct guard g;

	guard_init(&g, 32);
	for (size_t n = 1; n <= 20; n++) {
		for (size_t at = 0; at < n; at++) {
			for (unsigned byte = 0; byte < 256; byte++) {
				char text[20];

				memset(text, 'a', n);
				text[at] = (char)byte;
				if (utf8_is_plain(guard_copy(&g, slice_of(text, n))) !=
				    (byte >= 0x20 && byte < 0x7f))
					ck_abort_msg("byte %u at %zu of %zu", byte, at, n);
			}
		}
	}
	ck_assert(utf8_is_plain(SLICE("")));
	guard_done(&g);
}
END_TEST

/* --- base64 --- */

static const struct {
	const char *plain;
	const char *padded;
	const char *url;
} b64_texts[] = {
    /* RFC 4648, section 10 */
    {"", "", ""},
    {"f", "Zg==", "Zg"},
    {"fo", "Zm8=", "Zm8"},
    {"foo", "Zm9v", "Zm9v"},
    {"foob", "Zm9vYg==", "Zm9vYg"},
    {"fooba", "Zm9vYmE=", "Zm9vYmE"},
    {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
    {"\xfb\xff\xbf", "+/+/", "-_-_"},
};

START_TEST(b64_there_and_back)
{
	struct slice plain = slice_str(b64_texts[_i].plain);
	char text[B64_SIZE(8)];
	char back[16];

	ck_assert_uint_eq(b64_encode(plain.p, plain.n, text), strlen(b64_texts[_i].padded));
	ck_assert_str_eq(text, b64_texts[_i].padded);
	ck_assert_uint_eq(b64url_encode(plain.p, plain.n, text), strlen(b64_texts[_i].url));
	ck_assert_str_eq(text, b64_texts[_i].url);
	ck_assert_int_eq(b64url_decode(slice_str(text), back), (ssize_t)plain.n);
	ck_assert_int_eq(memcmp(back, plain.p, plain.n), 0);
}
END_TEST

static const char *const bad_b64url[] = {
    "Z", "Zh", "Zm9", "Zg==", "Zm8=", "+/+/", "Zm9vY", "Zm 9v", "Zm9v\n", "Zm9.", "="};

START_TEST(b64url_refuses)
{
	char out[32];

	ck_assert_msg(b64url_decode(slice_str(bad_b64url[_i]), out) == -1, "%s", bad_b64url[_i]);
}
END_TEST

/* --- memory --- */

START_TEST(memory_fails_when_asked)
{
	unsigned long before = mem_count();
	char *copy;

	mem_fail_at(2);
	copy = mem_strdup(SLICE("x"));
	ck_assert_str_eq(copy, "x");
	ck_assert_ptr_null(mem_realloc(copy, 100));
	ck_assert(!mem_fail_is_pending());
	ck_assert_int_eq(copy[0], 'x');
	mem_free(copy);
	mem_free(NULL);
	ck_assert_ptr_null(mem_calloc(SIZE_MAX / 2, 3));
	ck_assert_uint_eq(mem_count() - before, 3);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("base");
	TCase *tc = tcase_create("base");

	tcase_add_test(tc, slices_compare);
	tcase_add_test(tc, slices_trim_and_cut);
	tcase_add_loop_test(tc, slices_to_numbers, 0, (int)ARRAY_LEN(numbers));
	tcase_add_loop_test(tc, slices_to_hex_numbers, 0, (int)ARRAY_LEN(hex_numbers));
	tcase_add_test(tc, buffers_append);
	tcase_add_test(tc, numbers_have_their_digits);
	tcase_add_test(tc, buffers_are_bounded);
	tcase_add_test(tc, buffers_grow);
	tcase_add_test(tc, buffers_without_memory);
	tcase_add_test(tc, siphash_is_siphash);
	tcase_add_test(tc, maps_keep_what_was_put);
	tcase_add_test(tc, maps_replace_and_take_any_bytes);
	tcase_add_test(tc, maps_are_keyed);
	tcase_add_test(tc, maps_without_memory);
	tcase_add_loop_test(tc, utf8_is_checked, 0, (int)ARRAY_LEN(utf8_texts));
	tcase_add_test(tc, utf8_takes_every_character);
	tcase_add_test(tc, utf8_controls_are_seen);
	tcase_add_test(tc, blank_text_is_seen);
	tcase_add_test(tc, plain_text_is_seen);
	tcase_add_test(tc, few_bytes_are_a_number);
	tcase_add_test(tc, hex_digits_are_printfs);
	tcase_add_test(tc, secrets_are_compared_whole);
	tcase_add_loop_test(tc, b64_there_and_back, 0, (int)ARRAY_LEN(b64_texts));
	tcase_add_loop_test(tc, b64url_refuses, 0, (int)ARRAY_LEN(bad_b64url));
	tcase_add_test(tc, memory_fails_when_asked);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
