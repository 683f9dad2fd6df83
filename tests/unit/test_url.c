/*
 * src/proto/url.c. Every input ends at an unreadable page.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "proto/url.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_guard.h"
#include "tests/unit/support_run.h"

#define ck_slice(s, text) ck_assert_msg(slice_eq((s), slice_str(text)), "got '%.*s'", SLICE_ARG(s))

static struct guard guard;

static void
set_up(void)
{
	guard_init(&guard, 1000);
}

static void
tear_down(void)
{
	guard_done(&guard);
}

static struct slice
guarded(const char *text)
{
	return guard_copy(&guard, slice_str(text));
}

static const struct {
	const char *text;
	bool plus_is_space;
	struct slice decoded; /* absent: refused */
} decodings[] = {
    {"", false, {"", 0}},
    {"abc", false, {"abc", 3}},
    {"a%20b%2Fc%2fd", false, {"a b/c/d", 7}},
    {"a+b%2B", false, {"a+b+", 4}},
    {"a+b%2B", true, {"a b+", 4}},
    {"%00", false, {"\0", 1}},
    {"%c3%A9", false, {"\xc3\xa9", 2}},
    {"%2525", false, {"%25", 3}},
    {"%", false, {NULL, 0}},
    {"%2", false, {NULL, 0}},
    {"a%", false, {NULL, 0}},
    {"a%4", false, {NULL, 0}},
    {"%zz", false, {NULL, 0}},
    {"%2g", false, {NULL, 0}},
    {"%g2", false, {NULL, 0}},
    {"%+1", true, {NULL, 0}},
    {"% 1", false, {NULL, 0}},
    {"%-1", false, {NULL, 0}},
    {"%%41", false, {NULL, 0}},
    {"%u0041", false, {NULL, 0}},
};

START_TEST(decode)
{
	char out[16];
	ssize_t n = url_decode(guarded(decodings[_i].text), decodings[_i].plus_is_space, out);

	if (decodings[_i].decoded.p == NULL) {
		ck_assert_int_eq(n, -1);
		return;
	}
	ck_assert_int_ge(n, 0);
	ck_assert(slice_eq(slice_of(out, (size_t)n), decodings[_i].decoded));
}
END_TEST

START_TEST(encode)
{
	struct buf b = BUF_INIT(100);

	ck_assert_int_eq(url_encode(&b, SLICE("aZ09-._~ /?%\xc3\xa9\0"), "/"), 0);
	ck_slice(buf_slice(&b), "aZ09-._~%20/%3F%25%C3%A9%00");
	buf_reset(&b);
	ck_assert_int_eq(url_encode(&b, SLICE("a b&c=d"), ""), 0);
	ck_slice(buf_slice(&b), "a%20b%26c%3Dd");
	b.max = 0;
	b.n = 0;
	buf_done(&b);
	ck_assert_int_eq(url_encode(&b, SLICE("a"), ""), -EMSGSIZE);
	buf_done(&b);
}
END_TEST

START_TEST(query_walk)
{
	struct slice rest = guarded("&a=1&&b&=2&c=&d=x=y&");
	struct slice name;
	struct slice value;

	ck_assert(url_query_next(&rest, &name, &value));
	ck_slice(name, "a");
	ck_slice(value, "1");
	ck_assert(url_query_next(&rest, &name, &value));
	ck_slice(name, "b");
	ck_assert_ptr_null(value.p);
	ck_assert(url_query_next(&rest, &name, &value));
	ck_slice(name, "");
	ck_slice(value, "2");
	ck_assert(url_query_next(&rest, &name, &value));
	ck_slice(name, "c");
	ck_assert_ptr_nonnull(value.p);
	ck_slice(value, "");
	ck_assert(url_query_next(&rest, &name, &value));
	ck_slice(name, "d");
	ck_slice(value, "x=y");
	ck_assert(!url_query_next(&rest, &name, &value));
	ck_assert(!url_query_next(&rest, &name, &value));
	rest = SLICE_NONE;
	ck_assert(!url_query_next(&rest, &name, &value));
	rest = guarded("");
	ck_assert(!url_query_next(&rest, &name, &value));
}
END_TEST

static const struct {
	const char *query;
	const char *name;
	int result;
	const char *value;
} parameters[] = {
    {"room=lobby&last=5", "room", 1, "lobby"},
    {"room=lobby&last=5", "last", 1, "5"},
    {"room=lobby&last=5", "las", 0, NULL},
    {"room=lobby&last=5", "lastx", 0, NULL},
    {"room=lobby&last=5", "", 0, NULL},
    {"a=1&a=2", "a", 1, "1"},
    {"A=1", "a", 0, NULL},
    {"q=a+b%26c%3D", "q", 1, "a b&c="},
    {"t%6Fpic=x", "topic", 1, "x"},
    {"my+name=x", "my name", 1, "x"},
    {"flag", "flag", 1, ""},
    {"flag=", "flag", 1, ""},
    {"a=b=c", "a", 1, "b=c"},
    {"a=%", "a", -1, NULL},
    {"a=%zz", "a", -1, NULL},
    {"a=%zz&b=1", "b", 1, "1"},
    {"%zz=1&b=1", "b", 1, "1"},
    {"b%00=1&b=2", "b", 1, "2"},
    {"", "a", 0, NULL},
    {"&&&", "a", 0, NULL},
};

START_TEST(query_get)
{
	struct buf b = BUF_INIT(100);
	struct slice value = SLICE_NONE;

	ck_assert_int_eq(buf_add_str(&b, "before"), 0);
	ck_assert_int_eq(
	    url_query_get(guarded(parameters[_i].query), parameters[_i].name, &b, &value),
	    parameters[_i].result);
	if (parameters[_i].result == 1) {
		ck_slice(value, parameters[_i].value);
		ck_assert_int_eq(value.p[value.n], '\0');
		ck_assert_uint_eq(b.n, strlen("before") + value.n + 1);
	} else {
		ck_assert_ptr_null(value.p);
		ck_assert_uint_eq(b.n, strlen("before"));
	}
	buf_done(&b);
}
END_TEST

START_TEST(query_get_without_room)
{
	struct buf b = BUF_INIT(3);
	struct slice value;
	long blocks = mem_blocks();

	ck_assert_int_eq(url_query_get(SLICE_NONE, "a", &b, &value), 0);
	mem_fail_at(1);
	ck_assert_int_eq(url_query_get(SLICE("a=b"), "a", &b, &value), -1);
	ck_assert_int_eq(mem_blocks(), blocks);
	b.max = 200;
	buf_reset(&b);
	ck_assert_int_eq(url_query_get(SLICE("a=b"), "a", &b, &value), 1);
	ck_slice(value, "b");
	buf_done(&b);
}
END_TEST

static const struct {
	const char *path;
	const char *normal; /* NULL: refused */
} paths[] = {
    {"/", "/"},
    {"/index.html", "/index.html"},
    {"/a/b/", "/a/b/"},
    {"/caf%c3%a9", "/caf\xc3\xa9"},
    {"/a%20b+c", "/a b+c"},
    {"/./a/./b/.", "/a/b/"},
    {"/a/b/../c", "/a/c"},
    {"/a/b/..", "/a/"},
    {"/a/..", "/"},
    {"/a/../", "/"},
    {"/a/../b", "/b"},
    {"/%2e/a", "/a"},
    {"/a/%2E%2e/b", "/b"},
    {"/a/.%2e/b", "/b"},
    {"/...", "/..."},
    {"/.hidden", "/.hidden"},
    {"/..a", "/..a"},
    {"/a..", "/a.."},
    {"/%252e%252e/a", "/%2e%2e/a"},
    {"/a%3fb%23c", "/a?b#c"},
    {"", NULL},
    {"a", NULL},
    {"*", NULL},
    {"/..", NULL},
    {"/../", NULL},
    {"/../a", NULL},
    {"/a/../..", NULL},
    {"/a/../../a", NULL},
    {"/%2e%2e/etc/passwd", NULL},
    {"/%2E%2E%2Fetc", NULL},
    {"/..%2fetc", NULL},
    {"/a%2fb", NULL},
    {"/a%2Fb", NULL},
    {"/a%5cb", NULL},
    {"/a\\b", NULL},
    {"/..\\a", NULL},
    {"/a%00", NULL},
    {"/a%00/b", NULL},
    {"/%00", NULL},
    {"//", NULL},
    {"//a", NULL},
    {"/a//b", NULL},
    {"/a/..//b", NULL},
    {"/a//", NULL},
    {"/%", NULL},
    {"/%2", NULL},
    {"/a%zz", NULL},
};

START_TEST(path)
{
	char out[64];
	ssize_t n = url_path_normalize(guarded(paths[_i].path), out, sizeof(out));

	if (paths[_i].normal == NULL) {
		ck_assert_int_eq(n, -1);
		return;
	}
	ck_assert_int_eq(n, (ssize_t)strlen(paths[_i].normal));
	ck_assert_str_eq(out, paths[_i].normal);
}
END_TEST

START_TEST(path_needs_room)
{
	char out[10];

	memset(out, 'x', sizeof(out));
	ck_assert_int_eq(url_path_normalize(SLICE("/"), out, 0), -1);
	ck_assert_int_eq(url_path_normalize(SLICE("/"), out, 1), -1);
	ck_assert_int_eq(out[0], 'x');
	ck_assert_int_eq(url_path_normalize(SLICE("/"), out, 3), 1);
	for (size_t cap = 0; cap < 9; cap++) {
		ssize_t n = url_path_normalize(SLICE("/ab/cd"), out, cap);

		ck_assert(n == -1 || (n == 6 && cap >= 7));
		ck_assert_int_eq(out[9], 'x');
	}
}
END_TEST

static const struct {
	const char *text;
	const char *host; /* NULL: refused */
	int port;
} authorities[] = {
    {"a", "a", 0},
    {"a:80", "a", 80},
    {"a:", "a", 0},
    {"a:00080", "a", 80},
    {"Ex-am_ple.org.:65535", "Ex-am_ple.org.", 65535},
    {"192.0.2.1:1", "192.0.2.1", 1},
    {"[::1]", "[::1]", 0},
    {"[::1]:443", "[::1]", 443},
    {"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.1]", 1},
    {"", NULL, 0},
    {":80", NULL, 0},
    {"a:0", NULL, 0},
    {"a:65536", NULL, 0},
    {"a:99999999999999999999", NULL, 0},
    {"a:8 0", NULL, 0},
    {"a:-1", NULL, 0},
    {"a:+1", NULL, 0},
    {"a:b", NULL, 0},
    {"a:80:80", NULL, 0},
    {"a b", NULL, 0},
    {" a", NULL, 0},
    {"a ", NULL, 0},
    {"a,b", NULL, 0},
    {"a/b", NULL, 0},
    {"u@a", NULL, 0},
    {"::1", NULL, 0},
    {"[", NULL, 0},
    {"[]", NULL, 0},
    {"[::1", NULL, 0},
    {"[::1]x", NULL, 0},
    {"[::g]", NULL, 0},
    {"[1.2.3.4]", NULL, 0},
    {"[fe80::1%25e]", NULL, 0},
    {"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]", NULL, 0},
    {"\xc3\xa9", NULL, 0},
};

START_TEST(authority)
{
	struct slice host = SLICE("untouched");
	int port = -7;
	int r = url_split_authority(guarded(authorities[_i].text), &host, &port);

	ck_assert_int_eq(r, authorities[_i].host == NULL ? -1 : 0);
	ck_slice(host, r == 0 ? authorities[_i].host : "untouched");
	ck_assert_int_eq(port, r == 0 ? authorities[_i].port : -7);
}
END_TEST

static const struct {
	const char *text;
	const char *scheme; /* NULL: refused */
	const char *host;
	int port;
} origins[] = {
    {"http://a", "http", "a", 0},
    {"http://a:80", "http", "a", 0},
    {"HTTPS://a:443", "HTTPS", "a", 0},
    {"https://a:80", "https", "a", 80},
    {"http://a:443", "http", "a", 443},
    {"http://localhost:8080", "http", "localhost", 8080},
    {"http://[::1]:8080", "http", "[::1]", 8080},
    {"chrome-extension://abc", "chrome-extension", "abc", 0},
    {"null", NULL, NULL, 0},
    {"", NULL, NULL, 0},
    {"a", NULL, NULL, 0},
    {"a:80", NULL, NULL, 0},
    {"http:", NULL, NULL, 0},
    {"http:/a", NULL, NULL, 0},
    {"http://", NULL, NULL, 0},
    {"http://a/", NULL, NULL, 0},
    {"http://a/b", NULL, NULL, 0},
    {"http://a?b", NULL, NULL, 0},
    {"http://a#b", NULL, NULL, 0},
    {"http://u@a", NULL, NULL, 0},
    {"http://a http://b", NULL, NULL, 0},
    {"http://a, http://b", NULL, NULL, 0},
    {"http://a\\@b", NULL, NULL, 0},
    {"://a", NULL, NULL, 0},
    {"1http://a", NULL, NULL, 0},
    {"ht tp://a", NULL, NULL, 0},
    {"file://", NULL, NULL, 0},
};

START_TEST(origin)
{
	struct slice scheme;
	struct slice host;
	int port = -7;
	int r = url_origin_authority(guarded(origins[_i].text), &scheme, &host, &port);

	ck_assert_int_eq(r, origins[_i].scheme == NULL ? -1 : 0);
	if (r < 0)
		return;
	ck_slice(scheme, origins[_i].scheme);
	ck_slice(host, origins[_i].host);
	ck_assert_int_eq(port, origins[_i].port);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("url");
	TCase *tc = tcase_create("url");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_loop_test(tc, decode, 0, (int)ARRAY_LEN(decodings));
	tcase_add_test(tc, encode);
	tcase_add_test(tc, query_walk);
	tcase_add_loop_test(tc, query_get, 0, (int)ARRAY_LEN(parameters));
	tcase_add_test(tc, query_get_without_room);
	tcase_add_loop_test(tc, path, 0, (int)ARRAY_LEN(paths));
	tcase_add_test(tc, path_needs_room);
	tcase_add_loop_test(tc, authority, 0, (int)ARRAY_LEN(authorities));
	tcase_add_loop_test(tc, origin, 0, (int)ARRAY_LEN(origins));
	suite_add_tcase(s, tc);
	return run_suite(s);
}
