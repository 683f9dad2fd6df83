/*
 * Runs the documents tests/vectors/ws_*.txt. In them a line that starts with
 *
 *   "## "  begins a case; the rest is its name
 *   "! "   sets something: `deflate` (it was negotiated), `max-message N`
 *   "> "   is input. `hex 81 85 ...` is bytes as they are. Otherwise it is a frame of the client,
 *          masked and with the right length: `[fin] [rsv1] [rsv2] [rsv3] [unmasked] opcode[ payload]`. The
 *          opcode is continuation, text, binary, close, ping, pong, or `op` and a hexadecimal
 *          digit; the payload has C escapes (\r \n \t \0 \\ \xHH) and \{N*text} for N times the
 *          text
 *   "= "   is what is expected: `text T`, `binary B`, `ping P`, `pong P`, `close CODE REASON`,
 *          `error CODE`; then `at N`: the last of them is known as soon as N bytes of all input are
 *          there; or `more`: something is left unfinished
 *
 * and any other line is prose. Each case runs whole, byte by byte and cut in two at each position;
 * the input ends at an unreadable page. Where nothing is left unfinished the decoder must hold no
 * memory.
 */
#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "proto/ws.h"
#include "proto/ws_deflate.h"
#include "tests/unit/support_guard.h"
#include "tests/unit/support_run.h"

#define MAX_VECTORS 400
#define MAX_INPUT   400000
#define MAX_CUTS    400 /* of one case; longer input is cut at equal distances */
#define MAX_LINE    4000

struct vector {
	char name[200];
	struct buf input;
	struct buf expected; /* lines */
	uint32_t max_message;
	bool deflate;
	size_t known_at; /* 0: not said */
};

static struct vector vectors[MAX_VECTORS];
static size_t n_vectors;
static struct guard guard;
static struct ws_inflater *inflater;

/* --- reading the documents --- */

static _Noreturn void
stop(const char *path, size_t line, const char *what)
{
	(void)fprintf(stderr, "%s:%zu: %s\n", path, line, what);
	exit(EXIT_FAILURE);
}

static int add_unescaped(struct buf *out, const char *s);

/* What follows a backslash. Returns the bytes it takes in s, 0 when it is no escape. */
static size_t
add_escape(struct buf *out, const char *s)
{
	static const char letters[] = "rnt0\\";
	static const char values[] = "\r\n\t\0\\";
	const char *letter = *s == '\0' ? NULL : strchr(letters, *s);
	char text[200];
	unsigned times;
	unsigned byte;
	int n = 0;

	if (letter != NULL)
		return buf_add_char(out, values[letter - letters]) == 0 ? 1 : 0;
	if (sscanf(s, "x%2x", &byte) == 1)
		return buf_add_char(out, (char)byte) == 0 ? 3 : 0;
	if (sscanf(s, "{%u*%199[^}]}%n", &times, text, &n) != 2 || n == 0)
		return 0;
	while (times-- > 0) {
		if (add_unescaped(out, text) < 0)
			return 0;
	}
	return (size_t)n;
}

static int
add_unescaped(struct buf *out, const char *s)
{
	while (*s != '\0') {
		size_t n = 1;

		if (*s != '\\') {
			if (buf_add_char(out, *s) < 0)
				return -1;
		} else {
			n = add_escape(out, s + 1);
			if (n == 0)
				return -1;
			n++;
		}
		s += n;
	}
	return 0;
}

static int
add_hex(struct buf *out, const char *s)
{
	unsigned byte;
	int n;

	while (sscanf(s, " %2x%n", &byte, &n) == 1) {
		if (buf_add_char(out, (char)byte) < 0)
			return -1;
		s += n;
	}
	return *s == '\0' ? 0 : -1;
}

static int
opcode_of(const char *word)
{
	static const char *const names[16] = {[0] = "continuation",
	    [1] = "text",
	    [2] = "binary",
	    [8] = "close",
	    [9] = "ping",
	    [10] = "pong"};
	unsigned digit;

	for (int i = 0; i < 16; i++) {
		if (names[i] != NULL && strcmp(names[i], word) == 0)
			return i;
	}
	return sscanf(word, "op%1x", &digit) == 1 ? (int)digit : -1;
}

static int
flag_of(const char *word)
{
	static const struct {
		const char *name;
		int bit;
	} flags[] = {
	    {"fin", 0x80}, {"rsv1", 0x40}, {"rsv2", 0x20}, {"rsv3", 0x10}, {"unmasked", 0x100}};

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (strcmp(flags[i].name, word) == 0)
			return flags[i].bit;
	}
	return 0;
}

/* A client's frame with that first byte; flags 0x100: without mask. */
static int
put_frame(struct buf *out, int flags, struct slice payload)
{
	static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
	uint8_t head[WS_MAX_HEAD];
	size_t n = ws_head_encode(head, WS_TEXT, false, payload.n);
	size_t start;

	head[0] = (uint8_t)flags;
	if ((flags & 0x100) == 0) {
		head[1] |= 0x80;
		memcpy(head + n, key, sizeof(key));
		n += sizeof(key);
	}
	if (buf_add(out, head, n) < 0)
		return -1;
	start = out->n;
	if (buf_add_slice(out, payload) < 0)
		return -1;
	if ((flags & 0x100) == 0 && payload.n > 0)
		ws_unmask(out->p + start, payload.n, key, 0);
	return 0;
}

static int
add_frame(struct buf *out, const char *s)
{
	struct buf payload = BUF_INIT(MAX_INPUT);
	char word[20];
	int flags = 0;
	int opcode = -1;
	int n = 0;
	int r;

	if (strncmp(s, "hex ", 4) == 0)
		return add_hex(out, s + 4);
	while (opcode < 0) {
		int flag;

		if (sscanf(s, "%19s%n", word, &n) != 1)
			return -1;
		s += n;
		s += *s == ' ' ? 1 : 0;
		flag = flag_of(word);
		flags |= flag;
		opcode = flag != 0 ? -1 : opcode_of(word);
		if (flag == 0 && opcode < 0)
			return -1;
	}
	r = add_unescaped(&payload, s);
	if (r == 0)
		r = put_frame(out, flags | opcode, buf_slice(&payload));
	buf_done(&payload);
	return r;
}

static int
read_setting(struct vector *v, const char *s)
{
	if (strcmp(s, "deflate") == 0) {
		v->deflate = true;
		return 0;
	}
	return sscanf(s, "max-message %u", &v->max_message) == 1 ? 0 : -1;
}

static int
read_expected(struct vector *v, const char *s)
{
	if (sscanf(s, "at %zu", &v->known_at) == 1)
		return 0;
	if (add_unescaped(&v->expected, s) < 0)
		return -1;
	return buf_add_char(&v->expected, '\n');
}

static void
read_document(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[MAX_LINE];
	struct vector *v = NULL;

	if (f == NULL)
		stop(path, 0, "cannot be read");
	for (size_t n = 1; fgets(line, sizeof(line), f) != NULL; n++) {
		int r = 0;

		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "## ", 3) == 0) {
			if (n_vectors == MAX_VECTORS)
				stop(path, n, "too many cases");
			v = &vectors[n_vectors++];
			v->input = BUF_INIT(MAX_INPUT);
			v->expected = BUF_INIT(MAX_INPUT);
			v->max_message = 70000;
			(void)snprintf(v->name, sizeof(v->name), "%s:%zu: %.100s",
			    strrchr(path, '/') + 1, n, line + 3);
		} else if (line[0] != '\0' && strchr("!>=", line[0]) != NULL && line[1] == ' ') {
			if (v == NULL)
				stop(path, n, "before the first case");
			r = line[0] == '!'   ? read_setting(v, line + 2)
			    : line[0] == '>' ? add_frame(&v->input, line + 2)
					     : read_expected(v, line + 2);
		}
		if (r < 0)
			stop(path, n, "cannot be understood");
	}
	(void)fclose(f); /* only read */
}

/* --- running them --- */

static void
add_event(struct buf *log, const struct ws_message *m)
{
	static const char *const names[] = {[WS_EV_MESSAGE] = "binary",
	    [WS_EV_PING] = "ping",
	    [WS_EV_PONG] = "pong",
	    [WS_EV_CLOSE] = "close",
	    [WS_EV_ERROR] = "error"};
	bool has_code = m->event == WS_EV_CLOSE || m->event == WS_EV_ERROR;

	(void)buf_add_str(log, m->opcode == WS_TEXT ? "text" : names[m->event]);
	if (has_code)
		(void)buf_printf(log, " %d", m->close_code);
	if (m->payload.n > 0) {
		(void)buf_add_char(log, ' ');
		(void)buf_add_slice(log, m->payload);
	}
	ck_assert_int_eq(buf_add_char(log, '\n'), 0);
}

/* Feed one piece; false when the decoder has ended. */
static bool
feed(struct ws_decoder *d, struct slice piece, struct buf *log)
{
	char *in = guard_put(&guard, piece);
	struct ws_message m = {0};
	size_t at = 0;

	do {
		size_t used = SIZE_MAX;

		ck_assert_int_eq(ws_decode(d, in + at, piece.n - at, inflater, &used, &m), 0);
		ck_assert_uint_le(used, piece.n - at);
		at += used;
		if (m.event != WS_EV_NONE)
			add_event(log, &m);
	} while (m.event != WS_EV_NONE && m.event != WS_EV_ERROR && m.event != WS_EV_CLOSE);
	ck_assert(m.event != WS_EV_NONE || at == piece.n);
	ck_assert(m.event != WS_EV_ERROR || m.text != NULL);
	return m.event == WS_EV_NONE;
}

/* Feed pieces of `first` bytes, then of `step` bytes. */
static void
run(const struct vector *v, size_t first, size_t step)
{
	struct slice in = buf_slice(&v->input);
	struct buf log = BUF_INIT(MAX_INPUT);
	struct ws_decoder d;
	bool is_open = true;
	size_t logged_at = 0;

	ws_decoder_init(&d, v->max_message, v->deflate);
	for (size_t n = first; in.n > 0 && is_open; n = step) {
		size_t before = log.n;

		n = min_size(n, in.n);
		is_open = feed(&d, slice_of(in.p, n), &log);
		in = slice_skip(in, n);
		if (log.n > before)
			logged_at = v->input.n - in.n;
	}
	if (is_open && ws_decoder_memory(&d) > 0)
		(void)buf_add_str(&log, "more\n");
	ck_assert_msg(slice_eq(buf_slice(&log), buf_slice(&v->expected)),
	    "%s: in pieces of %zu and %zu, expected:\n%.*s\ngot:\n%.*s", v->name, first, step,
	    SLICE_ARG(buf_slice(&v->expected)), SLICE_ARG(buf_slice(&log)));
	if (step == 1 && v->known_at != 0)
		ck_assert_msg(logged_at == v->known_at, "%s: known at %zu, expected %zu", v->name,
		    logged_at, v->known_at);
	ws_decoder_done(&d);
	ck_assert_uint_eq(ws_decoder_memory(&d), 0);
	buf_done(&log);
}

START_TEST(vectors_hold)
{
	const struct vector *v = &vectors[_i];
	size_t n = v->input.n;
	size_t distance = n / MAX_CUTS + 1;

	run(v, n, n);
	run(v, 1, 1);
	for (size_t cut = 1; cut < n; cut += distance)
		run(v, cut, n);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ws_vectors");
	TCase *tc = tcase_create("ws_vectors");
	glob_t paths;
	int status;

	if (glob(SRCDIR "/tests/vectors/ws_*.txt", 0, NULL, &paths) != 0)
		stop("tests/vectors", 0, "no documents");
	for (size_t i = 0; i < paths.gl_pathc; i++)
		read_document(paths.gl_pathv[i]);
	globfree(&paths);
	guard_init(&guard, MAX_INPUT);
	inflater = ws_inflater_new();
	if (inflater == NULL)
		return EXIT_FAILURE;
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, vectors_hold, 0, (int)n_vectors);
	suite_add_tcase(s, tc);
	status = run_suite(s);
	ws_inflater_free(inflater);
	guard_done(&guard);
	for (size_t i = 0; i < n_vectors; i++) {
		buf_done(&vectors[i].input);
		buf_done(&vectors[i].expected);
	}
	return status;
}
