#include "proto/sse.h"

#include <errno.h>

#include "base/utf8.h"

#define NAME_MAX_BYTES 64

/*
 * Cut the first line off *rest; CR, LF and CRLF end one. rest->p becomes NULL when it was the
 * last. Text without any CR, nearly all of it, is cut at the speed of memchr.
 */
static struct slice
cut_line(struct slice *rest, bool has_cr)
{
	struct slice line = *rest;
	size_t n = 0;

	if (!has_cr)
		return slice_cut(rest, '\n');
	while (n < line.n && line.p[n] != '\n' && line.p[n] != '\r')
		n++;
	if (n == line.n) {
		*rest = SLICE_NONE;
		return line;
	}
	if (line.p[n] == '\r' && n + 1 < line.n && line.p[n + 1] == '\n')
		*rest = slice_skip(line, n + 2);
	else
		*rest = slice_skip(line, n + 1);
	line.n = n;
	return line;
}

/* One line with that prefix for each line of the text: an empty text is one empty line. */
static void
add_lines(struct buf *out, struct slice prefix, struct slice text)
{
	bool has_cr = text.n > 0 && memchr(text.p, '\r', text.n) != NULL;

	if (text.p == NULL)
		text.p = "";
	while (text.p != NULL) {
		struct slice line = cut_line(&text, has_cr);

		/* failures are sticky: finish looks at them */
		(void)buf_add_slice(out, prefix);
		(void)buf_add_slice(out, line);
		(void)buf_add_char(out, '\n');
	}
}

static void
add_id(struct buf *out, uint64_t id)
{
	(void)BUF_ADD_LIT(out, "id: ");
	(void)buf_add_u64(out, id);
	(void)buf_add_char(out, '\n');
}

/* The empty line that dispatches; or, when something did not fit, nothing of the block at all. */
static int
finish(struct buf *out, size_t start)
{
	int r = buf_add_char(out, '\n');

	if (!out->failed)
		return 0;
	out->n = start;
	return r < 0 ? r : -EMSGSIZE;
}

int
sse_event(struct buf *out, struct slice name, uint64_t id, struct slice data)
{
	size_t start = out->n;

	if (utf8_has_control(name))
		return -EINVAL;
	if (name.n > 0)
		add_lines(out, SLICE("event: "), name);
	if (id != 0)
		add_id(out, id);
	if (data.p != NULL)
		add_lines(out, SLICE("data: "), data);
	return finish(out, start);
}

int
sse_without_ids(struct buf *out, struct slice blocks)
{
	size_t start = out->n;

	while (blocks.n > 0) {
		struct slice rest = blocks;
		struct slice line = slice_cut(&rest, '\n');

		if (!slice_has_prefix(line, SLICE("id: ")))
			(void)buf_add(out, line.p, line.n + 1); /* a failure sticks */
		blocks = rest;
	}
	if (!out->failed)
		return 0;
	out->n = start;
	return out->error;
}

int
sse_id(struct buf *out, uint64_t id)
{
	size_t start = out->n;

	add_id(out, id);
	return finish(out, start);
}

int
sse_comment(struct buf *out, struct slice text)
{
	size_t start = out->n;

	add_lines(out, SLICE(": "), text);
	return finish(out, start);
}

int
sse_retry(struct buf *out, uint64_t ms)
{
	size_t start = out->n;

	(void)BUF_ADD_LIT(out, "retry: ");
	(void)buf_add_u64(out, ms);
	(void)buf_add_char(out, '\n');
	return finish(out, start);
}

bool
sse_name_is_valid(struct slice name)
{
	return name.n >= 1 && name.n <= NAME_MAX_BYTES && utf8_is_valid(name) &&
	       !utf8_has_control(name);
}
