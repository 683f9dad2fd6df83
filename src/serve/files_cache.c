#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <strings.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <zlib.h>

#include "base/mem.h"
#include "serve/files.h"
#include "serve/serve.h"

#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define SETTLED_S  2 /* file time stamps are coarser than a write */

static const struct media medias[] = {
    {"html", "text/html; charset=utf-8", true},
    {"htm", "text/html; charset=utf-8", true},
    {"css", "text/css; charset=utf-8", true},
    {"js", "text/javascript; charset=utf-8", true},
    {"mjs", "text/javascript; charset=utf-8", true},
    {"ts", "text/plain; charset=utf-8", true},
    {"txt", "text/plain; charset=utf-8", true},
    {"md", "text/markdown; charset=utf-8", true},
    {"csv", "text/csv; charset=utf-8", true},
    {"xml", "application/xml; charset=utf-8", true},
    {"svg", "image/svg+xml; charset=utf-8", true},
    {"json", "application/json", true},
    {"map", "application/json", true},
    {"webmanifest", "application/manifest+json", true},
    {"wasm", "application/wasm", true},
    {"ico", "image/x-icon", false},
    {"png", "image/png", false},
    {"jpg", "image/jpeg", false},
    {"jpeg", "image/jpeg", false},
    {"gif", "image/gif", false},
    {"webp", "image/webp", false},
    {"avif", "image/avif", false},
    {"woff", "font/woff", false},
    {"woff2", "font/woff2", false},
    {"ttf", "font/ttf", false},
    {"otf", "font/otf", false},
    {"mp3", "audio/mpeg", false},
    {"ogg", "audio/ogg", false},
    {"wav", "audio/wav", false},
    {"mp4", "video/mp4", false},
    {"webm", "video/webm", false},
    {"pdf", "application/pdf", false},
    {"zip", "application/zip", false},
    {"gz", "application/gzip", false},
};

static const struct media unknown_media = {"", "application/octet-stream", false};

const struct media *
files_media(const char *path)
{
	const char *name = strrchr(path, '/');
	const char *dot = strrchr(name == NULL ? path : name, '.');

	for (size_t i = 0; dot != NULL && i < ARRAY_LEN(medias); i++) {
		if (strcasecmp(dot + 1, medias[i].suffix) == 0)
			return &medias[i];
	}
	return &unknown_media;
}

int
files_open_by_steps(int root, const char *path)
{
	int at = dup(root);

	while (at >= 0) {
		const char *slash = strchr(path, '/');
		char name[NAME_MAX + 1];
		size_t n = slash == NULL ? strlen(path) : (size_t)(slash - path);
		int flags = slash == NULL ? OPEN_FLAGS : O_PATH | O_DIRECTORY | O_CLOEXEC;
		int next;
		int error;

		if (n == 0 || n > NAME_MAX) {
			(void)close(at);
			return -ENOENT;
		}
		memcpy(name, path, n);
		name[n] = '\0';
		next = openat(at, name, flags | O_NOFOLLOW);
		error = errno;
		(void)close(at);
		if (next < 0)
			return -error;
		if (slash == NULL)
			return next;
		at = next;
		path = slash + 1;
	}
	return -errno;
}

static int
open_below(int root, const char *path)
{
	const struct open_how how = {
	    .flags = OPEN_FLAGS,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));

	if (fd >= 0)
		return (int)fd;
	/* old kernels, and sandboxes that do not know the call */
	return errno == ENOSYS || errno == EPERM ? files_open_by_steps(root, path) : -errno;
}

int
files_open(const char *root, const char *path, struct stat *out_st)
{
	int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (dir < 0)
		return -errno;
	fd = open_below(dir, path + 1);
	(void)close(dir);
	if (fd < 0)
		return fd;
	if (fstat(fd, out_st) < 0) {
		int error = errno;

		(void)close(fd);
		return -error;
	}
	return fd;
}

struct files *
files_new(void)
{
	struct files *f = mem_calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	map_init(&f->map);
	TAILQ_INIT(&f->used);
	return f;
}

static void
file_free(struct file *file)
{
	if (file == NULL)
		return;
	mem_free(file->content);
	mem_free(file->gzip);
	mem_free(file);
}

static void
drop(struct files *f, struct file *file)
{
	TAILQ_REMOVE(&f->used, file, link);
	(void)map_remove(&f->map, file->path);
	f->bytes -= (size_t)file->st.st_size + file->gzip_n;
	file_free(file);
}

void
files_free(struct files *f)
{
	if (f == NULL)
		return;
	while (!TAILQ_EMPTY(&f->used))
		drop(f, TAILQ_FIRST(&f->used));
	map_done(&f->map);
	mem_free(f);
}

/* Make room, but keep the one in use. */
static void
shrink(struct files *f, const struct file *keep)
{
	while (f->bytes > FILES_CACHE) {
		struct file *oldest = TAILQ_FIRST(&f->used);

		if (oldest == keep)
			return;
		drop(f, oldest);
	}
}

static bool
is_same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool
is_unchanged(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       is_same_time(a->st_mtim, b->st_mtim) && is_same_time(a->st_ctim, b->st_ctim);
}

/* The whole file; it must not change on the way. */
static int
read_whole(int fd, const struct stat *st, char *out)
{
	size_t size = (size_t)st->st_size;
	size_t n = 0;
	struct stat after;

	while (n < size) {
		ssize_t got = pread(fd, out + n, size - n, (off_t)n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -EIO;
		if (got == 0)
			return -EAGAIN;
		n += (size_t)got;
	}
	if (fstat(fd, &after) < 0)
		return -EIO;
	return is_unchanged(st, &after) ? 0 : -EAGAIN;
}

/*
 * A strong validator: the same after a restart or on another machine, another after any change.
 * Not a secret: fixed keys.
 */
static void
set_etag(struct file *file)
{
	size_t n = (size_t)file->st.st_size;

	(void)snprintf(file->etag, sizeof(file->etag), "%016llx%016llx",
	    (unsigned long long)siphash13(file->content, n, 0x62656c66, 1),
	    (unsigned long long)siphash13(file->content, n, 0x62656c66, 2));
}

static int
read_file(const char *path, int fd, const struct stat *st, struct file **out)
{
	size_t path_n = strlen(path);
	struct file *file = mem_calloc(1, sizeof(*file) + path_n + 1);
	int result = -ENOMEM;
	char *key;

	if (file == NULL)
		return -ENOMEM;
	key = (char *)(file + 1);
	file->st = *st;
	file->content = mem_alloc(max_size((size_t)st->st_size, 1));
	if (file->content == NULL)
		goto out;
	result = read_whole(fd, st, file->content);
	if (result < 0)
		goto out;
	memcpy(key, path, path_n + 1);
	file->path = slice_of(key, path_n);
	file->is_settled = time(NULL) > st->st_ctim.tv_sec + SETTLED_S;
	set_etag(file);
	*out = file;
	file = NULL;
out:
	file_free(file);
	return result;
}

int
files_load(struct files *f, const char *path, int fd, const struct stat *st, struct file **out)
{
	struct file *file = map_get(&f->map, slice_str(path));
	int result;

	if (file != NULL && file->is_settled && is_unchanged(&file->st, st)) {
		TAILQ_REMOVE(&f->used, file, link);
		TAILQ_INSERT_TAIL(&f->used, file, link);
		*out = file;
		return 0;
	}
	if (file != NULL)
		drop(f, file);
	result = read_file(path, fd, st, &file);
	if (result < 0)
		return result;
	if (map_set(&f->map, file->path, file) < 0) {
		file_free(file);
		return -ENOMEM;
	}
	TAILQ_INSERT_TAIL(&f->used, file, link);
	f->bytes += (size_t)st->st_size;
	shrink(f, file);
	*out = file;
	return 0;
}

static void *
zlib_alloc(void *ctx UNUSED, unsigned count, unsigned size)
{
	return mem_calloc(count, size);
}

static void
zlib_free(void *ctx UNUSED, void *p)
{
	mem_free(p);
}

/* The gzip form in *out (owned) when it is smaller than the contents; its size, or 0. */
static size_t
compress_gzip(struct slice in, char **out)
{
	z_stream z = {.zalloc = zlib_alloc, .zfree = zlib_free};
	Bytef *copy = NULL;
	char *room = NULL;
	size_t n = 0;

	/* 16: a gzip head and trailer instead of zlib's */
	if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) !=
	    Z_OK)
		return 0;
	room = mem_alloc(in.n);
	copy = mem_alloc(in.n); /* zlib's next_in is not const */
	if (room != NULL && copy != NULL) {
		memcpy(copy, in.p, in.n);
		z.next_in = copy;
		z.avail_in = (uInt)in.n;
		z.next_out = (Bytef *)room;
		z.avail_out = (uInt)in.n - 1;
		if (deflate(&z, Z_FINISH) == Z_STREAM_END) {
			n = z.total_out;
			*out = room;
			room = NULL;
		}
	}
	(void)deflateEnd(&z);
	mem_free(room);
	mem_free(copy);
	return n;
}

bool
files_gzip(struct files *f, struct file *file, const struct media *media)
{
	size_t size = (size_t)file->st.st_size;

	if (!file->is_gzip_tried && media->is_text && size >= FILES_GZIP_MIN) {
		file->is_gzip_tried = true;
		file->gzip_n = compress_gzip(slice_of(file->content, size), &file->gzip);
		f->bytes += file->gzip_n;
		shrink(f, file);
	}
	return file->gzip != NULL;
}
