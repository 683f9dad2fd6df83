/*
 * Static files below web.root: finding them so that nothing outside is reached, a bounded cache
 * of small ones with their gzip form, and big ones in pieces. Worker thread only.
 */
#ifndef SERVE_FILES_H
#define SERVE_FILES_H

#include <sys/stat.h>

#include "base/list.h"
#include "base/map.h"
#include "net/exchange.h"

#define FILES_SMALL    (1024 * 1024)      /* larger files are streamed, never cached */
#define FILES_CACHE    (16 * 1024 * 1024) /* bytes of contents and gzip forms */
#define FILES_PATH     2048               /* bytes of a path below the root */
#define FILES_GZIP_MIN 256                /* below it gzip saves no packet */

struct media {
	const char *suffix; /* without the dot */
	const char *type;
	bool is_text; /* worth compressing */
};

/* By the name's last suffix; application/octet-stream for others. Never NULL. */
const struct media *files_media(const char *path);

/*
 * Open a file below root. path starts with '/' and is normalized (url_path_normalize). No
 * symbolic link out of the root is followed and no special file waited for. Returns the
 * descriptor (of whatever is there: look at *out_st) or negative errno.
 */
MUST_CHECK int files_open(const char *root, const char *path, struct stat *out_st);
/*
 * What files_open does where there is no openat2: one step at a time below the folder root, and
 * no symbolic link at all. path has no leading slash. The descriptor or negative errno.
 */
MUST_CHECK int files_open_by_steps(int root, const char *path);

/* A small file in the cache. */
struct file {
	TAILQ_ENTRY(file) link; /* least recently used first */
	struct stat st;
	struct slice path; /* the key, behind the struct */
	char *content;     /* st.st_size bytes */
	char *gzip;        /* NULL: not made, or not smaller */
	size_t gzip_n;
	bool is_gzip_tried;
	bool is_settled; /* it had not been changed just before it was read */
	char etag[33];   /* hexadecimal digits of a hash of the contents */
};

TAILQ_HEAD(file_list, file);

struct files {
	struct map map; /* path → struct file */
	struct file_list used;
	size_t bytes;
};

/*
 * The contents of the open file, from the cache when it has not changed since. Borrowed until
 * the next call. 0, -EAGAIN (it is being changed right now), -EIO or -ENOMEM.
 */
MUST_CHECK int files_load(
    struct files *f, const char *path, int fd, const struct stat *st, struct file **out);
/* Make the gzip form when the file's type is worth it; true when there is one. */
bool files_gzip(struct files *f, struct file *file, const struct media *media);

/*
 * Answer with a big file in pieces; takes fd. Headers were added; content_type as
 * exchange_stream_start.
 */
void files_stream(struct exchange *x, const char *content_type, int fd, uint64_t size);

#endif
