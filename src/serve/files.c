#include "serve/files.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/url.h"
#include "serve/private.h"

#define INDEX "index.html"

/* A file that was found. */
struct target {
	char path[FILES_PATH + sizeof(INDEX)]; /* normalized, below the root */
	int fd;
	struct stat st;
};

/* Names that start with a dot are nobody's business: .git, editors' files, uploads on their way. */
static bool
is_hidden(const char *path)
{
	return strstr(path, "/.") != NULL;
}

/*
 * The path of the file that the request's path names: "/" and "/dir/" mean their index. 0, or
 * -ENOENT for whatever is not to be found, malformed paths included.
 */
static int
name_file(const struct exchange *x, char *path)
{
	ssize_t n = url_path_normalize(x->head->path, path, FILES_PATH);

	if (n <= 0 || is_hidden(path))
		return -ENOENT;
	if (path[n - 1] == '/')
		memcpy(path + n, INDEX, sizeof(INDEX));
	return 0;
}

/*
 * Open what the request names. 0 with t->fd open on a regular file; 1 when it is a folder with
 * an index (the path lacks its slash); or negative errno.
 */
static int
find_file(const struct exchange *x, struct target *t)
{
	const char *root = serve_of(x)->config->web_root;
	int result;

	if (root[0] == '\0')
		return -ENOENT;
	result = name_file(x, t->path);
	if (result < 0)
		return result;
	t->fd = files_open(root, t->path, &t->st);
	if (t->fd < 0)
		return t->fd;
	if (S_ISREG(t->st.st_mode))
		return 0;
	(void)close(t->fd);
	if (!S_ISDIR(t->st.st_mode))
		return -ENOENT;
	(void)strncat(t->path, "/" INDEX, sizeof(t->path) - strlen(t->path) - 1);
	t->fd = files_open(root, t->path, &t->st);
	if (t->fd < 0)
		return t->fd;
	(void)close(t->fd);
	return S_ISREG(t->st.st_mode) ? 1 : -ENOENT;
}

bool
files_have(struct exchange *x)
{
	struct target t;
	int result = find_file(x, &t);

	if (result == 0)
		(void)close(t.fd);
	return result >= 0;
}

static void
refuse_file(struct exchange *x, int error)
{
	char path[REFUSE_CLEAN];
	struct refusal r;

	if (error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -EAGAIN ||
	    error == -EIO)
		(void)refuse_limit(&r, ERROR_UNAVAILABLE, NULL, 1, "the file cannot be read now");
	else
		(void)refuse(&r, ERROR_NOT_FOUND, "there is nothing at '%s'",
		    refuse_clean(x->head->path, path));
	serve_refuse(x, &r);
}

/*
 * To the same path with a slash, so that relative links in the index work. Written from the
 * normalized path: it starts with exactly one slash.
 */
static void
redirect(struct exchange *x, const struct target *t)
{
	struct buf location = BUF_INIT((size_t)4 * FILES_PATH);
	size_t n = strlen(t->path) - strlen(INDEX);

	if (url_encode(&location, slice_of(t->path, n), "/:@!$&'()*+,;=") == 0) {
		exchange_header(x, "Location", buf_slice(&location));
		exchange_header(x, "Cache-Control", SLICE("no-cache"));
		exchange_reply(x, 301, NULL, SLICE_NONE);
	} else {
		exchange_abandon(x);
	}
	buf_done(&location);
}

/* --- which form, and whether the client has it --- */

/* gzip when the client takes it and does not like the plain form better (RFC 9110, 12.5.3). */
static bool
wants_gzip(const struct exchange *x)
{
	int gzip = http_header_quality(x->head, SLICE("Accept-Encoding"), SLICE("gzip"));
	int identity = http_header_quality(x->head, SLICE("Accept-Encoding"), SLICE("identity"));

	return gzip > 0 && gzip >= identity;
}

/*
 * Whether the header lists the tag. If-None-Match compares weakly, If-Match does not (RFC 9110,
 * 13.1.1 and 13.1.2).
 */
static bool
lists_etag(const struct exchange *x, struct slice name, struct slice etag, bool weakly)
{
	struct http_elements tags = {.head = x->head, .name = name};
	struct slice tag;

	while ((tag = http_elements_next(&tags)).p != NULL) {
		if (slice_eq(tag, SLICE("*")))
			return true;
		if (weakly && slice_has_prefix(tag, SLICE("W/")))
			tag = slice_skip(tag, 2);
		if (slice_eq(tag, etag))
			return true;
	}
	return false;
}

static bool
has_header(const struct exchange *x, struct slice name)
{
	return http_header(x->head, name, NULL).p != NULL;
}

/* Whether the header is a date; *out: the file is not newer. */
static bool
is_not_after(const struct exchange *x, struct slice name, int64_t modified_s, bool *out)
{
	size_t count;
	struct slice value = http_header(x->head, name, &count);
	int64_t date_s;

	if (count != 1 || http_date_parse(value, &date_s) < 0)
		return false;
	*out = modified_s <= date_s;
	return true;
}

/*
 * The conditions, in the order of RFC 9110, 13.2.2: dates count only without tags. 0: answer; or
 * the status to answer instead, 304 or 412.
 */
static int
judge_conditions(const struct exchange *x, struct slice etag, int64_t modified_s)
{
	const struct slice match = SLICE("If-Match");
	const struct slice none_match = SLICE("If-None-Match");
	bool is_old = false;

	if (has_header(x, match)) {
		if (!lists_etag(x, match, etag, false))
			return 412;
	} else if (is_not_after(x, SLICE("If-Unmodified-Since"), modified_s, &is_old) && !is_old) {
		return 412;
	}
	if (has_header(x, none_match))
		return lists_etag(x, none_match, etag, true) ? 304 : 0;
	if (is_not_after(x, SLICE("If-Modified-Since"), modified_s, &is_old) && is_old)
		return 304;
	return 0;
}

/* --- the answer --- */

/* What a browser may do with whatever it finds here, a refusal included. */
static void
add_policies(struct exchange *x)
{
	const char *csp = serve_of(x)->config->web_csp;

	if (csp[0] != '\0')
		exchange_header(x, "Content-Security-Policy", slice_str(csp));
	exchange_header(x, "Referrer-Policy", SLICE("no-referrer"));
	exchange_header(x, "Cross-Origin-Opener-Policy", SLICE("same-origin"));
	exchange_header(x, "Cross-Origin-Resource-Policy", SLICE("same-origin"));
}

/*
 * Answer instead of the content where the conditions say so; else add what describes it. True
 * when it is answered.
 */
static bool
answer_condition(
    struct exchange *x, const struct media *media, struct slice etag, int64_t modified_s)
{
	int status = judge_conditions(x, etag, modified_s);
	char date[HTTP_DATE_SIZE];
	struct refusal r;

	if (status == 412) {
		(void)refuse(&r, ERROR_BAD_REQUEST,
		    "the file is not as If-Match or If-Unmodified-Since want it");
		r.status = status;
		serve_refuse(x, &r);
		return true;
	}
	exchange_header(x, "ETag", etag);
	exchange_header(x, "Last-Modified", slice_str(http_date_format(modified_s, date)));
	exchange_header(x, "Cache-Control", SLICE("no-cache"));
	if (media->is_text)
		exchange_header(x, "Vary", SLICE("Accept-Encoding"));
	if (status == 304)
		exchange_reply(x, 304, NULL, SLICE_NONE);
	return status == 304;
}

/* A date in the future would be no validator (RFC 9110, 8.8.2.1). */
static int64_t
modified(const struct exchange *x, const struct stat *st)
{
	int64_t now_s = serve_now_s(serve_of(x));

	return st->st_mtim.tv_sec < now_s ? st->st_mtim.tv_sec : now_s;
}

static void
answer_small(struct exchange *x, const struct target *t)
{
	const struct media *media = files_media(t->path);
	int64_t modified_s = modified(x, &t->st);
	struct files *f = serve_of(x)->files;
	struct file *file;
	char quoted[sizeof(file->etag) + 8];
	struct slice etag;
	bool is_gzip;
	int result = files_load(f, t->path, t->fd, &t->st, &file);

	if (result < 0) {
		refuse_file(x, result);
		return;
	}
	is_gzip = wants_gzip(x) && files_gzip(f, file, media);
	(void)snprintf(quoted, sizeof(quoted), "\"%s%s\"", file->etag, is_gzip ? "-gz" : "");
	etag = slice_str(quoted);
	if (answer_condition(x, media, etag, modified_s))
		return;
	if (is_gzip) {
		exchange_header(x, "Content-Encoding", SLICE("gzip"));
		exchange_reply(x, 200, media->type, slice_of(file->gzip, file->gzip_n));
	} else {
		exchange_reply(
		    x, 200, media->type, slice_of(file->content, (size_t)file->st.st_size));
	}
}

/* Takes t->fd. A big file has no hash: its times and size are its validator. */
static void
answer_big(struct exchange *x, const struct target *t)
{
	const struct media *media = files_media(t->path);
	int64_t modified_s = modified(x, &t->st);
	char etag[80];

	(void)snprintf(etag, sizeof(etag), "\"%llx-%llx-%llx\"", (unsigned long long)t->st.st_size,
	    (unsigned long long)t->st.st_mtim.tv_sec * 1000000000 +
		(unsigned long long)t->st.st_mtim.tv_nsec,
	    (unsigned long long)t->st.st_ino);
	if (answer_condition(x, media, slice_str(etag), modified_s))
		(void)close(t->fd);
	else
		files_stream(x, media->type, t->fd, (uint64_t)t->st.st_size);
}

void
serve_files(struct exchange *x)
{
	struct target t;
	int result = find_file(x, &t);

	add_policies(x);
	if (result < 0) {
		refuse_file(x, result);
	} else if (result == 1) {
		redirect(x, &t);
	} else if (t.st.st_size > FILES_SMALL) {
		answer_big(x, &t);
	} else {
		answer_small(x, &t);
		(void)close(t.fd);
	}
}
