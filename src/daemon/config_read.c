#include "daemon/config_read.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/config_reader.h"

int
config_fail(struct config_reader *r, const char *file, unsigned line, const char *fmt, ...)
{
	struct config_error *e = r->error;
	const char *folder_end = strrchr(r->path, '/');
	va_list args;

	/* An included file's name is relative to the main file's folder, as the reader sees that. */
	if (file == NULL || file == r->path)
		(void)snprintf(e->file, sizeof(e->file), "%s", r->path);
	else if (file[0] == '/' || folder_end == NULL)
		(void)snprintf(e->file, sizeof(e->file), "%s", file);
	else
		(void)snprintf(e->file, sizeof(e->file), "%.*s/%s", (int)(folder_end - r->path),
		    r->path, file);
	e->line = line == 0 ? 1 : line;
	va_start(args, fmt);
	(void)vsnprintf(e->text, sizeof(e->text), fmt, args);
	va_end(args);
	return -EINVAL;
}

int
config_fail_memory(struct config_reader *r)
{
	(void)config_fail(r, NULL, 1, "out of memory");
	return -ENOMEM;
}

/* The absolute folder of the file, owned. */
static int
folder_of(const char *path, char **out)
{
	const char *end = strrchr(path, '/');
	struct slice folder = slice_of(path, end == NULL ? 0 : (size_t)(end - path));
	struct buf buf = BUF_INIT(2 * PATH_MAX);
	char here[PATH_MAX];

	if (path[0] != '/') {
		if (getcwd(here, sizeof(here)) == NULL)
			return -errno;
		(void)buf_printf(&buf, "%s%s", here, end == NULL ? "" : "/");
	}
	(void)buf_add_slice(&buf, folder);
	(void)buf_add_char(&buf, '\0');
	if (buf.failed) {
		buf_done(&buf);
		return -ENOMEM;
	}
	*out = buf.p;
	return 0;
}

/* Remember where `auth` stands, for whatever is found wrong with the keys. */
static int
note_auth(struct config_reader *r, const config_setting_t *root)
{
	const config_setting_t *auth = config_setting_get_member(root, "auth");
	const char *file = auth == NULL ? NULL : config_setting_source_file(auth);
	struct config_error where = {.line = 0};
	struct config_reader probe = {.path = r->path, .error = &where};

	(void)config_fail(
	    &probe, file, auth == NULL ? 1 : config_setting_source_line(auth), "auth");
	r->config->auth_line = where.line;
	r->config->auth_file = mem_strdup(slice_str(where.file));
	return r->config->auth_file == NULL ? config_fail_memory(r) : 0;
}

static int
fill(struct config_reader *r, const config_t *parsed)
{
	const config_setting_t *root = config_root_setting(parsed);
	struct config_place place = {.base = r->config, .scope = SCOPE_CONFIG};
	int status = note_auth(r, root);

	if (status == 0)
		status = config_apply_group(r, root, &place, SLICE(""));
	if (status == 0)
		status = config_apply_defaults(r, &place);
	if (status == 0)
		status = config_check_whole(r, root);
	return status;
}

/* text.p is NUL-terminated. */
static int
parse(struct config_reader *r, struct slice text)
{
	config_t parsed;
	int status = config_text_check(r, text);

	if (status < 0)
		return status;
	config_init(&parsed);
	config_set_include_dir(&parsed, r->folder);
	if (config_read_string(&parsed, text.p) == CONFIG_FALSE)
		status = config_fail(r, config_error_file(&parsed),
		    (unsigned)config_error_line(&parsed), "%s", config_error_text(&parsed));
	else
		status = fill(r, &parsed);
	config_destroy(&parsed);
	return status;
}

static int
load(struct slice text, const char *path, struct config **out, struct config_error *error)
{
	struct config_reader r = {.path = path, .error = error};
	char *folder = NULL;
	int status = folder_of(path, &folder);

	if (status < 0)
		return config_fail(
		    &r, NULL, 1, "cannot find the file's folder: %s", strerror(-status));
	r.folder = folder;
	r.config = mem_calloc(1, sizeof(*r.config));
	if (r.config != NULL)
		r.config->path = mem_strdup(slice_str(path));
	if (r.config == NULL || r.config->path == NULL)
		status = config_fail_memory(&r);
	if (status == 0)
		status = parse(&r, text);
	if (status == 0) {
		atomic_store(&r.config->refs, 1);
		*out = r.config;
		r.config = NULL;
	}
	config_unref(r.config);
	mem_free(folder);
	return status;
}

int
config_load_text(
    const char *text, const char *path, struct config **out, struct config_error *error)
{
	return load(slice_str(text), path, out, error);
}

int
config_load(const char *path, struct config **out, struct config_error *error)
{
	struct config_reader r = {.path = path, .error = error};
	struct buf text = BUF_INIT(0);
	int status = config_text_read(path, CONFIG_FILE_MAX, false, &text);

	if (status < 0) {
		(void)config_fail(&r, NULL, 1, "cannot read: %s", strerror(-status));
		return status;
	}
	status = load(buf_slice(&text), path, out, error);
	explicit_bzero(text.p, text.n); /* it may hold the secret */
	buf_done(&text);
	return status;
}
