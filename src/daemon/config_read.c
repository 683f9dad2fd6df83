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
	va_list args;

	(void)snprintf(e->file, sizeof(e->file), "%s", file);
	e->line = line;
	va_start(args, fmt);
	(void)vsnprintf(e->text, sizeof(e->text), fmt, args);
	va_end(args);
	return -EINVAL;
}

int
config_fail_memory(struct config_reader *r)
{
	(void)config_fail(r, r->path, 1, "out of memory");
	return -ENOMEM;
}

int
config_folder(const char *file, struct buf *out)
{
	const char *end = strrchr(file, '/');
	char here[PATH_MAX];

	if (file[0] != '/') {
		if (getcwd(here, sizeof(here)) == NULL)
			return -errno;
		(void)buf_printf(out, "%s%s", here, end == NULL ? "" : "/");
	}
	(void)buf_add(out, file, end == NULL ? 0 : (size_t)(end - file));
	return out->failed ? -ENOMEM : 0;
}

/* Remember where `auth` stands, for whatever is found wrong with the keys. */
static int
note_auth(struct config_reader *r, const config_setting_t *root)
{
	const config_setting_t *auth = config_setting_get_member(root, "auth");
	struct config_where where = {r->path, 1};

	if (auth != NULL)
		where = config_where(r, config_setting_source_line(auth));
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

static int
parse(struct config_reader *r, struct slice text)
{
	config_t parsed;
	struct config_where where;
	int status = config_text_expand(r, text);

	if (status < 0)
		return status;
	config_init(&parsed);
	if (config_read_string(&parsed, r->text->whole.p) == CONFIG_FALSE) {
		where = config_where(r, (unsigned)config_error_line(&parsed));
		status = config_fail(r, where.file, where.line, "%s", config_error_text(&parsed));
	} else {
		status = fill(r, &parsed);
	}
	config_destroy(&parsed);
	return status;
}

static int
load(struct slice text, const char *path, struct config **out, struct config_error *error)
{
	struct config_text whole = {.n = 0};
	struct config_reader r = {.path = path, .error = error, .text = &whole};
	int status = 0;

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
	config_text_done(&whole);
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
		(void)config_fail(&r, path, 1, "cannot read: %s", strerror(-status));
		return status;
	}
	status = load(buf_slice(&text), path, out, error);
	explicit_bzero(text.p, text.n); /* it may hold the secret */
	buf_done(&text);
	return status;
}
