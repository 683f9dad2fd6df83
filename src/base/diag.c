#include "base/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/utf8.h"

#define DIAG_LINE 2048

static const struct {
	const char *name;
	int priority; /* syslog's */
} levels[] = {
    [DIAG_ERROR] = {"error", 3},
    [DIAG_WARNING] = {"warning", 4},
    [DIAG_NOTICE] = {"notice", 5},
    [DIAG_INFO] = {"info", 6},
    [DIAG_DEBUG] = {"debug", 7},
};

/* JOURNAL_STREAM is device:inode of the stream the journal reads (systemd.exec(5)). */
static bool
stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char here[64];
	struct stat st;

	if (stream == NULL || fstat(STDERR_FILENO, &st) != 0)
		return false;
	(void)snprintf(here, sizeof(here), "%llu:%llu", (unsigned long long)st.st_dev,
	    (unsigned long long)st.st_ino);
	return strcmp(here, stream) == 0;
}

void
diag_init(struct diag *d)
{
	*d = (struct diag){.fd = STDERR_FILENO, .is_journal = stderr_is_journal()};
	atomic_store(&d->level, DIAG_INFO);
}

void
diag_say(const char *fmt, ...)
{
	va_list args;

	if (stderr_is_journal())
		(void)fprintf(stderr, "<%d>", levels[DIAG_ERROR].priority);
	va_start(args, fmt);
	(void)vfprintf(stderr, fmt, args); /* nowhere else to say it */
	va_end(args);
	(void)fputc('\n', stderr);
}

bool
diag_wants(const struct diag *d, enum diag_level level)
{
	return (int)level <= atomic_load_explicit(&d->level, memory_order_relaxed);
}

const char *
diag_quote(struct slice s, char out[DIAG_QUOTED])
{
	size_t at = 0;

	out[at++] = '"';
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (at + 8 > DIAG_QUOTED) {
			memcpy(out + at, "...", 3);
			at += 3;
			break;
		}
		if (c == '"' || c == '\\') {
			out[at++] = '\\';
			out[at++] = (char)c;
		} else if (c < 0x20 || c >= 0x7f) {
			at += (size_t)snprintf(out + at, DIAG_QUOTED - at, "\\x%02x", c);
		} else {
			out[at++] = (char)c;
		}
	}
	out[at++] = '"';
	out[at] = '\0';
	return out;
}

/* Text goes through as it is; bytes that are none, one by one. */
static void
add_json_escaped(struct buf *b, struct slice s)
{
	bool is_text = utf8_is_valid(s);

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\')
			(void)buf_printf(b, "\\%c", c); /* b is large enough or fails whole */
		else if (c < 0x20 || c == 0x7f || (c > 0x7f && !is_text))
			(void)buf_printf(b, "\\u%04x", c);
		else
			(void)buf_add_char(b, (char)c);
	}
}

/* What stood between the quotes before diag_quote made it so. */
static void
add_json_unquoted(struct buf *b, struct slice s)
{
	char plain[DIAG_LINE];
	size_t n = 0;

	for (size_t i = 0; i < s.n && n < sizeof(plain); i++) {
		char c = s.p[i];

		if (c == '\\' && i + 3 < s.n && s.p[i + 1] == 'x' && hex_value(s.p[i + 2]) >= 0 &&
		    hex_value(s.p[i + 3]) >= 0) {
			c = (char)(hex_value(s.p[i + 2]) << 4 | hex_value(s.p[i + 3]));
			i += 3;
		} else if (c == '\\' && i + 1 < s.n) {
			c = s.p[++i];
		}
		plain[n++] = c;
	}
	add_json_escaped(b, slice_of(plain, n));
}

/*
 * The value that starts at s: quoted up to its closing quote, else up to the next space.
 * Returns its length.
 */
static size_t
value_length(struct slice s)
{
	size_t i = 0;

	if (s.n > 0 && s.p[0] == '"') {
		for (i = 1; i < s.n && s.p[i] != '"'; i++) {
			if (s.p[i] == '\\')
				i++;
		}
		return min_size(i + 1, s.n);
	}
	while (i < s.n && s.p[i] != ' ')
		i++;
	return i;
}

/*
 * key=value pairs as JSON members: every value a string, a quoted one as it was before it was
 * quoted.
 */
static void
add_json_fields(struct buf *b, struct slice fields)
{
	while (fields.n > 0) {
		const char *eq = memchr(fields.p, '=', fields.n);
		struct slice value;
		size_t n;

		if (eq == NULL)
			break;
		(void)buf_add_str(b, ",\"");
		add_json_escaped(b, slice_of(fields.p, (size_t)(eq - fields.p)));
		(void)buf_add_str(b, "\":\"");
		value = slice_skip(fields, (size_t)(eq - fields.p) + 1);
		n = value_length(value);
		if (n >= 2 && value.p[0] == '"')
			add_json_unquoted(b, slice_of(value.p + 1, n - 2));
		else
			add_json_escaped(b, slice_of(value.p, n));
		(void)buf_add_char(b, '"');
		fields = slice_skip(value, n);
		if (fields.n > 0)
			fields = slice_skip(fields, 1);
	}
}

static void
write_line(struct diag *d, enum diag_level level, const char *event, struct slice fields)
{
	struct buf b = BUF_INIT(4 * DIAG_LINE);
	uint64_t now = clock_wall_us();
	time_t seconds = (time_t)(now / 1000000);
	char stamp[32] = "";
	struct tm tm;

	if (gmtime_r(&seconds, &tm) != NULL)
		(void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	if (d->is_journal)
		(void)buf_printf(&b, "<%d>", levels[level].priority);
	if (atomic_load_explicit(&d->is_json, memory_order_relaxed)) {
		(void)buf_printf(&b, "{\"time\":\"%s.%03uZ\",\"level\":\"%s\",\"event\":\"%s\"",
		    stamp, (unsigned)(now / 1000 % 1000), levels[level].name, event);
		add_json_fields(&b, fields);
		(void)buf_add_char(&b, '}');
	} else {
		if (!d->is_journal)
			(void)buf_printf(&b, "%s.%03uZ %-7s ", stamp, (unsigned)(now / 1000 % 1000),
			    levels[level].name);
		(void)buf_printf(&b, "%s%s%.*s", event, fields.n > 0 ? " " : "", SLICE_ARG(fields));
	}
	(void)buf_add_char(&b, '\n');
	if (b.failed) { /* no half lines: the fields stay away */
		char plain[128];
		int n = snprintf(plain, sizeof(plain), "%s.%03uZ %-7s %s (no memory for more)\n",
		    stamp, (unsigned)(now / 1000 % 1000), levels[level].name, event);

		if (n > 0 && write(d->fd, plain, min_size((size_t)n, sizeof(plain) - 1)) < 0) {
			/* nowhere left to say it */
		}
	} else if (write(d->fd, b.p, b.n) < 0) {
		/* as above */
	}
	buf_done(&b);
}

static void PRINTF(4, 0) log_args(
    struct diag *d, enum diag_level level, const char *event, const char *fmt, va_list args)
{
	char fields[DIAG_LINE];
	int n = vsnprintf(fields, sizeof(fields), fmt, args);

	if (n < 0)
		n = 0;
	write_line(d, level, event, slice_of(fields, min_size((size_t)n, sizeof(fields) - 1)));
}

void
diag_log(struct diag *d, enum diag_level level, const char *event, const char *fmt, ...)
{
	va_list args;

	if (!diag_wants(d, level))
		return;
	va_start(args, fmt);
	log_args(d, level, event, fmt, args);
	va_end(args);
}

/* Whether one more line of a peer's making may be written in this second. */
static bool
peer_line_allowed(struct diag *d)
{
	uint64_t now_s = clock_mono_us() / 1000000;

	if (atomic_exchange(&d->window_s, now_s) != now_s) {
		uint32_t suppressed = atomic_exchange(&d->suppressed, 0);

		atomic_store(&d->window_lines, 0);
		if (suppressed > 0)
			diag_log(d, DIAG_WARNING, "log.suppressed", "suppressed=%u", suppressed);
	}
	if (atomic_fetch_add(&d->window_lines, 1) < DIAG_PEER_LINES)
		return true;
	atomic_fetch_add(&d->suppressed, 1);
	return false;
}

void
diag_peer(struct diag *d, enum diag_level level, const char *event, const char *fmt, ...)
{
	va_list args;

	if (!diag_wants(d, level) || !peer_line_allowed(d))
		return;
	va_start(args, fmt);
	log_args(d, level, event, fmt, args);
	va_end(args);
}
