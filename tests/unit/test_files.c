/* serve/files: what is found below the root and what is not, validators, gzip, large files, the cache's bound. */
#include "serve/files.h"

#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>

#include <zlib.h>

#include "tests/unit/fake_net.h"
#include "tests/unit/support_run.h"

static struct fake f;
static char root[] = "/tmp/belfry-test-files-XXXXXX";
static char base[sizeof(root)];
static char web[sizeof(root) + 8];
static char csp[] = "default-src 'self'";

static void
write_file(const char *name, const char *content, size_t n)
{
	char path[300];
	const struct timespec old[2] = {{1600000000, 0}, {1600000000, 0}};
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", base, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, content, n), (ssize_t)n);
	ck_assert_int_eq(futimens(fd, old), 0);
	(void)close(fd);
}

static void
make_dir(const char *name)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/%s", base, name);
	ck_assert_int_eq(mkdir(path, 0700), 0);
}

static void
make_link(const char *to, const char *name)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/%s", base, name);
	ck_assert_int_eq(symlink(to, path), 0);
}

static char page[4000];

static void
setup(void)
{
	char path[300];

	memset(page, 'a', sizeof(page));
	fake_init(&f);
	memcpy(base, root, sizeof(root));
	ck_assert_ptr_nonnull(mkdtemp(base));
	(void)snprintf(web, sizeof(web), "%s/web", base);
	make_dir("web");
	make_dir("web/dir");
	make_dir("web/empty");
	make_dir("web/.git");
	write_file("secret.txt", "secret", 6);
	write_file("web/index.html", page, sizeof(page));
	write_file("web/app.js", "let a;", 6);
	write_file("web/a b.css", "x", 1);
	write_file("web/pic.png", page, sizeof(page));
	write_file("web/none", "", 0);
	write_file("web/.hidden", "secret", 6);
	write_file("web/.git/config", "secret", 6);
	write_file("web/dir/index.html", "dir", 3);
	make_link("app.js", "web/inside.js");
	make_link("../secret.txt", "web/outside.txt");
	make_link("..", "web/up");
	make_link("/etc/passwd", "web/absolute");
	(void)snprintf(path, sizeof(path), "%s/web/fifo", base);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	f.config.web_root = web;
	f.config.web_csp = csp;
	f.serve.files = files_new();
	ck_assert_ptr_nonnull(f.serve.files);
}

static int
remove_one(const char *path, const struct stat *st UNUSED, int type UNUSED, struct FTW *at UNUSED)
{
	return remove(path);
}

static void
teardown(void)
{
	files_free(f.serve.files);
	fake_done(&f);
	(void)nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int
get(const char *target, const char *headers)
{
	char text[600];

	(void)snprintf(text, sizeof(text), "GET %s HTTP/1.1\nHost: localhost%s%s", target,
	    headers == NULL ? "" : "\n", headers == NULL ? "" : headers);
	return fake_ask(&f, text);
}

static const struct {
	const char *target;
	int status;
	const char *type; /* or Location of a 301 */
} found[] = {
    {"/", 200, "text/html; charset=utf-8"},
    {"/index.html", 200, "text/html; charset=utf-8"},
    {"/?room=x", 200, "text/html; charset=utf-8"},
    {"/app.js", 200, "text/javascript; charset=utf-8"},
    {"/app%2ejs", 200, "text/javascript; charset=utf-8"},
    {"/inside.js", 200, "text/javascript; charset=utf-8"},
    {"/dir/../app.js", 200, "text/javascript; charset=utf-8"},
    {"/a%20b.css", 200, "text/css; charset=utf-8"},
    {"/pic.png", 200, "image/png"},
    {"/none", 200, "application/octet-stream"},
    {"/dir/", 200, "text/html; charset=utf-8"},
    {"/dir", 301, "/dir/"},
    {"/dir/.", 200, "text/html; charset=utf-8"},
    {"/empty", 404, NULL},
    {"/empty/", 404, NULL},
    {"/app.js/", 404, NULL},
    {"/app.js/x", 404, NULL},
    {"/nothing.js", 404, NULL},
    {"/.hidden", 404, NULL},
    {"/%2ehidden", 404, NULL},
    {"/.git/config", 404, NULL},
    {"/outside.txt", 404, NULL},
    {"/absolute", 404, NULL},
    {"/up/secret.txt", 404, NULL},
    {"/up/web/app.js", 404, NULL},
    {"/fifo", 404, NULL},
    {"/../secret.txt", 404, NULL},
    {"/dir/../../secret.txt", 404, NULL},
    {"/%2e%2e/secret.txt", 404, NULL},
    {"/.%2e/secret.txt", 404, NULL},
    {"/..%2fsecret.txt", 404, NULL},
    {"/%2e%2e%2fsecret.txt", 404, NULL},
    {"/..%5csecret.txt", 404, NULL},
    {"/%252e%252e/secret.txt", 404, NULL},
    {"/%c0%ae%c0%ae/secret.txt", 404, NULL},
    {"//etc/passwd", 404, NULL},
    {"//dir", 404, NULL},
    {"/dir//index.html", 404, NULL},
    {"/app.js%00", 404, NULL},
    {"/app.js%00.html", 404, NULL},
    {"/%zz", 404, NULL},
    {"/proc/self/fd/0", 404, NULL},
};

START_TEST(finds)
{
	ck_assert_int_eq(get(found[_i].target, NULL), found[_i].status);
	ck_assert(!fake_says(&f, "\"secret\"") && !slice_eq(buf_slice(&f.body), SLICE("secret")));
	if (found[_i].status == 200) {
		ck_assert_str_eq(f.type, found[_i].type);
		ck_assert(fake_has(&f, "Cache-Control: no-cache"));
		ck_assert(fake_has(&f, "Content-Security-Policy: default-src 'self'"));
	} else if (found[_i].status == 301) {
		ck_assert(
		    slice_eq(slice_trim(fake_header(&f, "Location")), slice_str(found[_i].type)));
	}
}
END_TEST

START_TEST(no_root)
{
	f.config.web_root = csp; /* no folder */
	ck_assert_int_eq(get("/", NULL), 404);
	f.config.web_root = csp + strlen(csp); /* "" */
	ck_assert_int_eq(get("/", NULL), 404);
}
END_TEST

static const struct {
	const char *path;
	bool is_there;
} stepped[] = {
    {"app.js", true},
    {"dir/index.html", true},
    {"dir", true},
    {"nothing", false},
    {"app.js/x", false},
    {"dir//index.html", false},
    {"", false},
    {"inside.js", false}, /* a link */
    {"outside.txt", false},
    {"absolute", false},
    {"up/secret.txt", false},
    {"up/web/app.js", false},
};

START_TEST(without_openat2)
{
	int dir = open(web, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = files_open_by_steps(dir, stepped[_i].path);

	ck_assert_int_eq(fd >= 0, stepped[_i].is_there);
	if (fd >= 0)
		(void)close(fd);
	(void)close(dir);
}
END_TEST

START_TEST(methods)
{
	ck_assert_int_eq(fake_ask(&f, "HEAD / HTTP/1.1\nHost: localhost"), 200);
	ck_assert_int_eq(fake_ask(&f, "POST / HTTP/1.1\nHost: localhost"), 405);
	ck_assert(fake_has(&f, "Allow: GET, HEAD, OPTIONS"));
	ck_assert_int_eq(fake_ask(&f, "DELETE /app.js HTTP/1.1\nHost: localhost"), 405);
	ck_assert_int_eq(fake_ask(&f, "OPTIONS /app.js HTTP/1.1\nHost: localhost"), 204);
	ck_assert_int_eq(fake_ask(&f, "OPTIONS /dir HTTP/1.1\nHost: localhost"), 204);
	ck_assert_int_eq(fake_ask(&f, "POST /up/secret.txt HTTP/1.1\nHost: localhost"), 404);
}
END_TEST

/* A condition header with the answer's own ETag: how is %s written? */
static int
get_if(const char *target, const char *fmt_before, const char *fmt_after, struct slice etag)
{
	char line[300];

	(void)snprintf(line, sizeof(line), "%s%.*s%s", fmt_before, SLICE_ARG(etag), fmt_after);
	return get(target, line);
}

START_TEST(validators)
{
	char copy[100];
	struct slice etag;

	ck_assert_int_eq(get("/", NULL), 200);
	ck_assert(fake_has(&f, "Last-Modified: Sun, 13 Sep 2020 12:26:40 GMT"));
	etag = slice_trim(fake_header(&f, "ETag"));
	ck_assert_uint_eq(etag.n, 34);
	ck_assert(etag.p[0] == '"' && etag.p[33] == '"');
	memcpy(copy, etag.p, etag.n);
	etag = slice_of(copy, etag.n);
	ck_assert_int_eq(get_if("/", "If-None-Match: ", "", etag), 304);
	ck_assert_uint_eq(f.body.n, 0);
	ck_assert_str_eq(f.type, "");
	ck_assert(slice_eq(slice_trim(fake_header(&f, "ETag")), etag));
	ck_assert(fake_has(&f, "Cache-Control: no-cache"));
	ck_assert(fake_has(&f, "Vary: Accept-Encoding"));
	ck_assert_int_eq(get_if("/", "If-None-Match: W/", "", etag), 304);
	ck_assert_int_eq(get_if("/", "If-None-Match: \"x\", ", ", \"y\"", etag), 304);
	ck_assert_int_eq(get_if("/", "If-None-Match: \"x\"\nIf-None-Match: ", "", etag), 304);
	ck_assert_int_eq(get("/", "If-None-Match: *"), 304);
	ck_assert_int_eq(get("/", "If-None-Match: \"x\""), 200);
	ck_assert_int_eq(get("/nothing", "If-None-Match: *"), 404);
	ck_assert_int_eq(get("/", "If-Modified-Since: Sun, 13 Sep 2020 12:26:40 GMT"), 304);
	ck_assert_int_eq(get("/", "If-Modified-Since: Sun, 13 Sep 2020 12:26:39 GMT"), 200);
	ck_assert_int_eq(get("/", "If-Modified-Since: yesterday"), 200);
	/* If-None-Match goes first */
	ck_assert_int_eq(
	    get("/", "If-None-Match: \"x\"\nIf-Modified-Since: Sun, 13 Sep 2020 12:26:40 GMT"),
	    200);
}
END_TEST

START_TEST(notices_changes)
{
	char before[64];
	struct slice etag;

	ck_assert_int_eq(get("/app.js", NULL), 200);
	etag = slice_trim(fake_header(&f, "ETag"));
	(void)snprintf(before, sizeof(before), "%.*s", SLICE_ARG(etag));
	write_file("web/app.js", "let b;", 6); /* the same size and time */
	ck_assert_int_eq(get("/app.js", NULL), 200);
	ck_assert(slice_eq(buf_slice(&f.body), SLICE("let b;")));
	ck_assert(!slice_eq(slice_trim(fake_header(&f, "ETag")), slice_str(before)));
}
END_TEST

static const struct {
	const char *accept; /* NULL: no header */
	bool is_gzip;
} encodings[] = {
    {NULL, false},
    {"", false},
    {"gzip", true},
    {"deflate, gzip, br", true},
    {"gzip;q=0", false},
    {"gzip;q=0.5", true},
    {"gzip;q=0.5, identity", false},
    {"gzip;q=0.5, identity;q=0.4", true},
    {"identity", false},
    {"*", true},
    {"*;q=0", false},
    {"br, *;q=0.1", true},
    {"gzip;q=0, *", false},
    {"br", false},
};

START_TEST(gzip)
{
	char line[100];
	char out[sizeof(page) + 1];
	z_stream z = {0};
	bool is_gzip;

	(void)snprintf(line, sizeof(line), "Accept-Encoding: %s",
	    encodings[_i].accept == NULL ? "" : encodings[_i].accept);
	ck_assert_int_eq(get("/", encodings[_i].accept == NULL ? NULL : line), 200);
	is_gzip = fake_has(&f, "Content-Encoding: gzip");
	ck_assert_int_eq(is_gzip, encodings[_i].is_gzip);
	ck_assert(fake_has(&f, "Vary: Accept-Encoding"));
	if (!is_gzip) {
		ck_assert_uint_eq(f.body.n, sizeof(page));
		return;
	}
	ck_assert_ptr_nonnull(memmem(f.x.headers.p, f.x.headers.n, "-gz\"", 4));
	ck_assert_uint_lt(f.body.n, sizeof(page));
	ck_assert_int_eq(inflateInit2(&z, 15 + 16), Z_OK);
	z.next_in = (Bytef *)f.body.p;
	z.avail_in = (uInt)f.body.n;
	z.next_out = (Bytef *)out;
	z.avail_out = sizeof(out);
	ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
	ck_assert_uint_eq(z.total_out, sizeof(page));
	ck_assert_mem_eq(out, page, sizeof(page));
	(void)inflateEnd(&z);
}
END_TEST

START_TEST(not_gzipped)
{
	ck_assert_int_eq(get("/app.js", "Accept-Encoding: gzip"), 200); /* too small */
	ck_assert(!fake_has(&f, "Content-Encoding: gzip"));
	ck_assert_int_eq(get("/pic.png", "Accept-Encoding: gzip"), 200); /* not text */
	ck_assert(!fake_has(&f, "Content-Encoding: gzip"));
	ck_assert(!fake_has(&f, "Vary: Accept-Encoding"));
}
END_TEST

START_TEST(big)
{
	const size_t size = 3 * 1024 * 1024 + 7;
	char *content = malloc(size);
	char line[200];
	struct slice etag;

	ck_assert_ptr_nonnull(content);
	for (size_t i = 0; i < size; i++)
		content[i] = (char)(i * 7 + i / 251);
	write_file("web/big.bin", content, size);
	ck_assert_int_eq(get("/big.bin", NULL), 200);
	ck_assert_int_eq(f.conn.length, (int64_t)size);
	ck_assert_uint_lt(f.body.n, size); /* the queue's limit */
	while (f.body.n < size) {
		f.conn.queue_limit += 256 * 1024;
		f.conn.ops->on_drain(&f.conn, f.conn.data);
		ck_assert(!f.conn.is_closed);
	}
	ck_assert_mem_eq(f.body.p, content, size);
	f.conn.ops->on_gone(&f.conn, f.conn.data);
	etag = slice_trim(fake_header(&f, "ETag"));
	(void)snprintf(line, sizeof(line), "If-None-Match: %.*s", SLICE_ARG(etag));
	ck_assert_int_eq(get("/big.bin", line), 304);
	free(content);
}
END_TEST

START_TEST(big_cut_short)
{
	const size_t size = 3 * 1024 * 1024;
	char *content = calloc(1, size);
	char path[300];

	ck_assert_ptr_nonnull(content);
	write_file("web/big.bin", content, size);
	ck_assert_int_eq(get("/big.bin", NULL), 200);
	(void)snprintf(path, sizeof(path), "%s/web/big.bin", base);
	ck_assert_int_eq(truncate(path, 300000), 0);
	f.conn.queue_limit = 8 * size;
	f.conn.ops->on_drain(&f.conn, f.conn.data);
	ck_assert(f.conn.is_closed);
	f.conn.ops->on_gone(&f.conn, f.conn.data);
	free(content);
}
END_TEST

START_TEST(bounded)
{
	const size_t size = 1024 * 1024;
	char *content = calloc(1, size);
	char name[32];

	ck_assert_ptr_nonnull(content);
	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "web/%d.txt", i);
		write_file(name, content, size);
	}
	for (int i = 0; i < 60; i++) {
		(void)snprintf(name, sizeof(name), "/%d.txt", i % 20);
		ck_assert_int_eq(get(name, i % 2 == 0 ? NULL : "Accept-Encoding: gzip"), 200);
		ck_assert_uint_le(f.serve.files->bytes, FILES_CACHE);
	}
	free(content);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("files");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, finds, 0, (int)ARRAY_LEN(found));
	tcase_add_test(t, no_root);
	tcase_add_loop_test(t, without_openat2, 0, (int)ARRAY_LEN(stepped));
	tcase_add_test(t, methods);
	tcase_add_test(t, validators);
	tcase_add_test(t, notices_changes);
	tcase_add_loop_test(t, gzip, 0, (int)ARRAY_LEN(encodings));
	tcase_add_test(t, not_gzipped);
	tcase_add_test(t, big);
	tcase_add_test(t, big_cut_short);
	tcase_add_test(t, bounded);
	suite_add_tcase(s, t);
	return run_suite(s);
}
