#include "daemon/config_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define INCLUDE_DEPTH 10
#define WHOLE_MAX     (4 * CONFIG_FILE_MAX)
#define INCLUDE_NAME  1024 /* bytes of an included file's path */

static int
read_all(int fd, struct buf *out)
{
	for (;;) {
		ssize_t got;
		int r = buf_reserve(out, min_size(65536, out->max - out->n));

		if (r < 0)
			return r;
		if (out->n == out->max)
			return -EFBIG;
		got = read(fd, out->p + out->n, min_size(out->cap, out->max) - out->n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return 0;
		out->n += (size_t)got;
	}
}

int
config_text_read(const char *path, size_t max, bool only_regular, struct buf *out)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (only_regular ? O_NONBLOCK : 0));
	int r;

	if (fd < 0)
		return -errno;
	*out = BUF_INIT(max + 2); /* one to see that there is more, one for the NUL */
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (S_ISDIR(st.st_mode))
		r = -EISDIR;
	else if (only_regular && !S_ISREG(st.st_mode))
		r = -EINVAL;
	else
		r = read_all(fd, out);
	if (r == 0 && out->n > max)
		r = -EFBIG;
	if (r == 0)
		r = buf_add_char(out, '\0');
	if (r == 0)
		out->n--;
	else
		buf_done(out);
	(void)close(fd); /* only read */
	return r;
}

void
config_text_done(struct config_text *t)
{
	for (size_t i = 0; i < t->n; i++)
		mem_free(t->pieces[i].file);
	mem_free(t->pieces);
	if (t->whole.p != NULL)
		explicit_bzero(t->whole.p, t->whole.n); /* it may hold the secret */
	buf_done(&t->whole);
	*t = (struct config_text){.n = 0};
}

struct config_where
config_where(const struct config_reader *r, unsigned line)
{
	const struct config_text *t = r->text;
	struct config_where where = {r->path, 1};

	for (size_t i = 0; !r->is_default && i < t->n && t->pieces[i].at_line <= line; i++) {
		where.file = t->pieces[i].file;
		where.line = t->pieces[i].line + (line - t->pieces[i].at_line);
	}
	return where;
}

/* A walk over one file's text, which is copied into the whole. */
struct scan {
	struct config_reader *r;
	const char *file;
	struct slice text;
	size_t at;
	size_t copied; /* bytes that are in the whole already */
	unsigned line;
	unsigned depth;
	bool is_line_start; /* only blanks since the line began */
};

/* What is added to the whole from now on stands in sc->file from sc->line on. */
static int
begin_piece(struct scan *sc)
{
	struct config_text *t = sc->r->text;
	struct config_piece *more = mem_realloc(t->pieces, (t->n + 1) * sizeof(*more));
	char *file;

	if (more == NULL)
		return config_fail_memory(sc->r);
	t->pieces = more;
	file = mem_strdup(slice_str(sc->file));
	if (file == NULL)
		return config_fail_memory(sc->r);
	more[t->n++] = (struct config_piece){t->n_lines, sc->line, file};
	return 0;
}

static int
copy(struct scan *sc, struct slice part)
{
	struct config_text *t = sc->r->text;

	if (buf_add_slice(&t->whole, part) == -ENOMEM)
		return config_fail_memory(sc->r);
	if (t->whole.failed)
		return config_fail(sc->r, sc->file, sc->line,
		    "with all that it includes the file is larger than %d bytes", WHOLE_MAX);
	for (size_t i = 0; i < part.n; i++)
		t->n_lines += part.p[i] == '\n';
	return 0;
}

static char
peek(const struct scan *sc, size_t ahead)
{
	return sc->at + ahead < sc->text.n ? sc->text.p[sc->at + ahead] : '\0';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_name(char c)
{
	return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '*';
}

/* What is not closed would take in all that follows, which libconfig says nothing about. */
static int
fail_unclosed(struct scan *sc, unsigned line, const char *what)
{
	return config_fail(sc->r, sc->file, line, "%s begins here and does not end", what);
}

/* Over a string, from behind its opening quote. */
static int
skip_string(struct scan *sc)
{
	unsigned line = sc->line;

	while (sc->at < sc->text.n && peek(sc, 0) != '"') {
		if (peek(sc, 0) == '\\')
			sc->at++;
		if (peek(sc, 0) == '\n')
			sc->line++;
		sc->at++;
	}
	if (sc->at >= sc->text.n)
		return fail_unclosed(sc, line, "a text");
	sc->at++;
	return 0;
}

static void
skip_line_comment(struct scan *sc)
{
	while (sc->at < sc->text.n && peek(sc, 0) != '\n')
		sc->at++;
}

static int
skip_block_comment(struct scan *sc)
{
	unsigned line = sc->line;

	for (sc->at += 2; sc->at < sc->text.n; sc->at++) {
		if (peek(sc, 0) == '\n')
			sc->line++;
		if (peek(sc, 0) == '*' && peek(sc, 1) == '/') {
			sc->at += 2;
			return 0;
		}
	}
	return fail_unclosed(sc, line, "a comment");
}

/*
 * An integer as libconfig has it: without `L` it is cut to 32 bits, with it to 63, in silence, and
 * 010 is ten. (Its hexadecimal numbers are unsigned there, so 0xffffffff is -1.)
 */
static int
check_integer(struct scan *sc, struct slice digits, struct slice whole, bool is_hex, bool is_long)
{
	uint64_t limit = is_long ? INT64_MAX : INT32_MAX;
	uint64_t v = 0;
	unsigned base = is_hex ? 16 : 10;

	if (!is_hex && digits.n > 1 && digits.p[0] == '0')
		return config_fail(sc->r, sc->file, sc->line,
		    "%.*s has a leading zero, which looks octal but would be read as decimal: write it without",
		    SLICE_ARG(whole));
	for (size_t i = 0; i < digits.n; i++) {
		char c = digits.p[i];
		unsigned digit =
		    is_digit(c) ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);

		if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit, &v) ||
		    v > limit)
			return config_fail(sc->r, sc->file, sc->line,
			    is_long
				? "%.*s does not fit 64 bits"
				: "%.*s does not fit 32 bits and would be misread: append L, or write "
				  "a text with a unit such as \"5G\" or \"90d\"",
			    SLICE_ARG(whole));
	}
	return 0;
}

static int
scan_number(struct scan *sc)
{
	size_t start = sc->at;
	size_t first;
	bool is_hex, is_long;
	struct slice digits;

	if (peek(sc, 0) == '-' || peek(sc, 0) == '+')
		sc->at++;
	is_hex = sc->at == start && peek(sc, 0) == '0' && (peek(sc, 1) | 0x20) == 'x';
	if (is_hex)
		sc->at += 2;
	first = sc->at;
	while (is_digit(peek(sc, 0)) ||
	       (is_hex && (peek(sc, 0) | 0x20) >= 'a' && (peek(sc, 0) | 0x20) <= 'f'))
		sc->at++;
	digits = slice_of(sc->text.p + first, sc->at - first);
	if (!is_hex && (peek(sc, 0) == '.' || (peek(sc, 0) | 0x20) == 'e')) {
		while (is_digit(peek(sc, 0)) || peek(sc, 0) == '.' || (peek(sc, 0) | 0x20) == 'e' ||
		       ((peek(sc, 0) == '-' || peek(sc, 0) == '+') &&
			   (sc->text.p[sc->at - 1] | 0x20) == 'e'))
			sc->at++;
		return 0; /* a float: no key takes one, which is said where it stands */
	}
	is_long = peek(sc, 0) == 'L';
	while (peek(sc, 0) == 'L')
		sc->at++;
	return check_integer(sc, digits, slice_of(sc->text.p + start, min_size(sc->at - start, 64)),
	    is_hex, is_long);
}

static int scan_text(struct scan *sc);

/* The path of an included file: beside the file that includes it. */
static int
join(const struct scan *sc, struct slice name, char *out, size_t out_n)
{
	const char *end = strrchr(sc->file, '/');
	int n = end == NULL || (name.n > 0 && name.p[0] == '/')
		    ? snprintf(out, out_n, "%.*s", SLICE_ARG(name))
		    : snprintf(out, out_n, "%.*s/%.*s", (int)(end - sc->file), sc->file,
			  SLICE_ARG(name));

	return n < 0 || (size_t)n >= out_n ? -1 : 0;
}

static int
scan_file(struct scan *from, struct slice name)
{
	struct buf text = BUF_INIT(0);
	struct scan sc = {.r = from->r, .line = 1, .depth = from->depth + 1, .is_line_start = true};
	char path[INCLUDE_NAME];
	int r;

	if (sc.depth > INCLUDE_DEPTH)
		return config_fail(from->r, from->file, from->line,
		    "includes are nested more than %d deep", INCLUDE_DEPTH);
	if (join(from, name, path, sizeof(path)) < 0)
		return config_fail(
		    from->r, from->file, from->line, "the included file's name is too long");
	r = config_text_read(path, CONFIG_FILE_MAX, true, &text);
	if (r < 0)
		return config_fail(from->r, from->file, from->line, "cannot include %s: %s", path,
		    r == -EINVAL ? "not a regular file" : strerror(-r));
	sc.file = path;
	sc.text = buf_slice(&text);
	r = scan_text(&sc);
	explicit_bzero(text.p, text.n); /* it may hold the secret */
	buf_done(&text);
	return r;
}

/*
 * The file's name in an `@include "NAME"` at the start of text, and what follows; absent: it is
 * none.
 */
static struct slice
include_name(struct slice text, struct slice *rest)
{
	struct slice name;

	*rest = text;
	if (!slice_has_prefix(*rest, SLICE("@include")))
		return SLICE_NONE;
	*rest = slice_skip(*rest, 8);
	while (rest->n > 0 && (rest->p[0] == ' ' || rest->p[0] == '\t'))
		*rest = slice_skip(*rest, 1);
	if (rest->n == 0 || rest->p[0] != '"')
		return SLICE_NONE;
	*rest = slice_skip(*rest, 1);
	name = slice_cut(rest, '"');
	return rest->p == NULL || memchr(name.p, '\n', name.n) != NULL ? SLICE_NONE : name;
}

/*
 * At an '@' where a line begins. The included text takes its place: libconfig would look for it
 * in one folder only, and for "/a/b" there too.
 */
static int
scan_include(struct scan *sc)
{
	struct slice rest;
	struct slice name = include_name(slice_skip(sc->text, sc->at), &rest);
	int r;

	if (name.p == NULL) {
		sc->at++; /* libconfig will call it a syntax error */
		return 0;
	}
	r = copy(sc, slice_of(sc->text.p + sc->copied, sc->at - sc->copied));
	if (r == 0)
		r = scan_file(sc, name);
	if (r == 0)
		r = copy(sc, SLICE("\n"));
	sc->at = sc->copied = (size_t)(rest.p - sc->text.p);
	return r < 0 ? r : begin_piece(sc);
}

static int
scan_token(struct scan *sc)
{
	char c = peek(sc, 0);
	char next = peek(sc, 1);

	if (c == '"') {
		sc->at++;
		return skip_string(sc);
	} else if (c == '#' || (c == '/' && next == '/')) {
		skip_line_comment(sc);
	} else if (c == '/' && next == '*') {
		return skip_block_comment(sc);
	} else if (is_letter(c) || c == '*') {
		while (is_name(peek(sc, 0)))
			sc->at++;
	} else if (is_digit(c) || ((c == '-' || c == '+') && is_digit(next))) {
		return scan_number(sc);
	} else if (c == '@' && sc->is_line_start) {
		return scan_include(sc);
	} else {
		sc->at++;
	}
	return 0;
}

static int
check_nul(const struct scan *sc)
{
	const char *nul = memchr(sc->text.p, '\0', sc->text.n);
	unsigned line = 1;

	if (nul == NULL)
		return 0;
	for (const char *p = sc->text.p; p < nul; p++)
		line += *p == '\n';
	return config_fail(sc->r, sc->file, line, "a NUL byte");
}

static int
scan_text(struct scan *sc)
{
	int r = check_nul(sc);

	if (r == 0)
		r = begin_piece(sc);
	while (r == 0 && sc->at < sc->text.n) {
		char c = peek(sc, 0);

		if (c == '\n' || c == ' ' || c == '\t' || c == '\r') {
			sc->line += c == '\n';
			sc->is_line_start = sc->is_line_start || c == '\n';
			sc->at++;
			continue;
		}
		r = scan_token(sc);
		sc->is_line_start = false;
	}
	return r < 0 ? r : copy(sc, slice_skip(sc->text, sc->copied));
}

int
config_text_expand(struct config_reader *r, struct slice text)
{
	struct scan sc = {.r = r, .file = r->path, .text = text, .line = 1, .is_line_start = true};
	int status;

	r->text->whole = BUF_INIT(WHOLE_MAX);
	r->text->n_lines = 1;
	status = scan_text(&sc);
	if (status == 0)
		status = copy(&sc, slice_of("", 1)); /* libconfig wants a NUL */
	return status;
}
