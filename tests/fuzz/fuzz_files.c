/*
 * Static files: a request's path (first line) and headers (the other lines) against a small tree
 * that has something to hide around and inside it. Nothing outside is reached, nothing special
 * opened, and what is there is found.
 */
#include "serve/files.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <unistd.h>

#include <zlib.h>

#include "proto/url.h"
#include "tests/fuzz/support_net.h"

#define INPUT_MAX 4096
#define SECRET    "this is what nobody may see"
#define CONTENT   "here it is: "

static const char *const folders[] = {"web", "web/dir", "web/dir/deep", "web/.git", "web/empty"};
/* The content of each is CONTENT and its name; those outside and the hidden ones have SECRET. */
static const char *const public_files[] = {"index.html", "a.txt", "a b+c.css", "100%.js",
    "dir/index.html", "dir/deep/x.json", "caf\xc3\xa9.svg"};
static const char *const secret_files[] = {"secret", "web/.hidden", "web/.git/config", "web.txt"};
static const char *const links[][2] = {{"a.txt", "web/in"}, {"dir", "web/indir"},
    {"../secret", "web/out"}, {"..", "web/up"}, {"/etc", "web/abs"}, {"loop", "web/loop"},
    {"../../secret", "web/dir/out"}};

static char root[PATH_MAX];

static int
forget(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static void
remove_tree(void)
{
	(void)nftw(root, forget, 16, FTW_DEPTH | FTW_PHYS); /* what is left is in /tmp */
}

static void
write_file(const char *path, const char *what, const char *name)
{
	int fd = openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	char text[600];
	int n = snprintf(text, sizeof(text), "%s%s", what, name);

	NEED(fd >= 0);
	while (n < 500) /* long enough for a gzip form */
		text[n++] = '.';
	NEED(write(fd, text, 500) == 500);
	(void)close(fd);
}

static void
make_tree(void)
{
	char path[2 * PATH_MAX];

	if (root[0] != '\0')
		return;
	(void)snprintf(path, sizeof(path), "/tmp/belfry-fuzz-files-XXXXXX");
	NEED(mkdtemp(path) != NULL && realpath(path, root) != NULL);
	(void)atexit(remove_tree);
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", root, folders[i]);
		NEED(mkdir(path, 0700) == 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(public_files); i++) {
		(void)snprintf(path, sizeof(path), "%s/web/%s", root, public_files[i]);
		write_file(path, CONTENT, public_files[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(secret_files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", root, secret_files[i]);
		write_file(path, SECRET, "");
	}
	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", root, links[i][1]);
		NEED(symlink(links[i][0], path) == 0);
	}
	(void)snprintf(path, sizeof(path), "%s/web/pipe", root);
	NEED(mkfifo(path, 0600) == 0);
}

/* --- finding --- */

/* Where the descriptor's file is. */
static void
check_is_below(int fd)
{
	char link[64];
	char path[PATH_MAX];
	char web[PATH_MAX + 8];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	NEED(n > 0);
	path[n] = '\0';
	n = snprintf(web, sizeof(web), "%s/web", root);
	NEED(strncmp(path, web, (size_t)n) == 0 && (path[n] == '/' || path[n] == '\0'));
}

static void
check_open(const char *web, const char *path)
{
	struct stat st;
	struct stat again;
	int dir = open(web, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = files_open(web, path, &st);
	int by_steps;

	NEED(dir >= 0);
	by_steps = path[1] == '\0' ? -1 : files_open_by_steps(dir, path + 1);
	if (fd >= 0)
		check_is_below(fd);
	if (by_steps >= 0) {
		check_is_below(by_steps);
		NEED(fd >= 0 && fstat(by_steps, &again) == 0 && again.st_ino == st.st_ino);
		(void)close(by_steps);
	}
	if (fd >= 0)
		(void)close(fd);
	(void)close(dir);
}

static void
try_path(const char *web, struct slice url)
{
	char path[FILES_PATH];
	ssize_t n = url_path_normalize(url, path, sizeof(path));

	if (n > 0)
		check_open(web, path);
}

/* --- answering --- */

static void
check_body(const struct fake *f)
{
	char plain[1024];
	struct slice body = buf_slice(&f->body);
	z_stream z = {0};

	if (fake_has(f, "Content-Encoding: gzip")) {
		NEED(inflateInit2(&z, 15 + 16) == Z_OK);
		z.next_in = (unsigned char *)f->body.p;
		z.avail_in = (unsigned)f->body.n;
		z.next_out = (unsigned char *)plain;
		z.avail_out = sizeof(plain);
		NEED(inflate(&z, Z_FINISH) == Z_STREAM_END);
		body = slice_of(plain, z.total_out);
		(void)inflateEnd(&z);
	}
	NEED(body.n == 500 && slice_has_prefix(body, SLICE(CONTENT)));
	NEED(fake_header(f, "ETag").n > 2 && fake_header(f, "Last-Modified").p != NULL);
	NEED(fake_header(f, "Content-Security-Policy").p != NULL);
}

static void
check_answer(const struct fake *f)
{
	struct slice location = slice_trim(fake_header(f, "Location"));

	NEED(memmem(f->body.p == NULL ? "" : f->body.p, f->body.n, SECRET, strlen(SECRET)) == NULL);
	switch (f->status) {
	case 200:
		check_body(f);
		break;
	case 301:
		NEED(location.n > 1 && location.p[0] == '/' && location.p[1] != '/');
		NEED(location.p[1] != '\\' && location.p[location.n - 1] == '/');
		break;
	case 304:
		NEED(f->body.n == 0 && fake_header(f, "ETag").n > 2);
		break;
	case 412: /* If-Match, If-Unmodified-Since */
		NEED(memmem(f->body.p, f->body.n, "\"status\":412", 12) != NULL);
		break;
	default:
		NEED(f->status == 404);
		break;
	}
}

static bool
is_plain(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f || s.p[i] == '?' ||
		    s.p[i] == '#')
			return false;
	}
	return s.n > 0 && s.p[0] == '/';
}

/* What is there is found, however it is written. */
static void
check_found(const struct fake *f, struct slice url)
{
	char plain[INPUT_MAX];
	ssize_t n = url_decode(url, false, plain);

	for (size_t i = 0; i < ARRAY_LEN(public_files) && n > 0; i++) {
		if (slice_eq(slice_of(plain + 1, (size_t)n - 1), slice_str(public_files[i])) &&
		    memmem(url.p, url.n, "%2f", 3) == NULL &&
		    memmem(url.p, url.n, "%2F", 3) == NULL)
			NEED(f->status == 200 || f->status == 304 || f->status == 412);
	}
}

static void
try_request(char *web, struct slice url, struct slice headers)
{
	static char csp[] = "default-src 'self'";
	static struct fake f;
	struct buf text = BUF_INIT(3 * INPUT_MAX);
	struct buf check = BUF_INIT(3 * INPUT_MAX);
	static struct http_head head;
	bool is_good;

	(void)buf_printf(&text, "GET %.*s HTTP/1.1\nHost: localhost", SLICE_ARG(url));
	if (headers.n > 0)
		(void)buf_printf(&text, "\n%.*s", SLICE_ARG(headers));
	(void)buf_add_char(&text, '\0');
	NEED(!text.failed);
	for (const char *p = text.p; *p != '\0'; p++) {
		if (*p == '\n')
			(void)buf_add_char(&check, '\r');
		(void)buf_add_char(&check, *p);
	}
	(void)BUF_ADD_LIT(&check, "\r\n\r\n");
	is_good = http_parse_head(buf_slice(&check), 16384, &head) == (ssize_t)check.n &&
		  !head.is_chunked && head.content_length == 0;
	if (is_good) {
		fake_init(&f);
		f.config.web_root = web;
		f.config.web_csp = csp;
		f.serve.files = files_new();
		NEED(f.serve.files != NULL);
		fake_request(&f, text.p, SLICE_NONE);
		serve_files(&f.x);
		NEED(f.n_answers == 1);
		check_answer(&f);
		check_found(&f, url);
		files_free(f.serve.files);
		fake_done(&f);
	}
	buf_done(&text);
	buf_done(&check);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);
	char web[PATH_MAX + 8];
	struct slice url;

	if (size == 0 || size > INPUT_MAX || memchr(data, '\0', size) != NULL)
		return 0;
	make_tree();
	(void)snprintf(web, sizeof(web), "%s/web", root);
	url = take_line(&in);
	try_path(web, url);
	if (is_plain(url))
		try_request(web, url, in.p == NULL ? SLICE("") : in);
	return 0;
}
