/*
 * The body of a request: so many bytes, or chunks (RFC 9112 6 and 7.1). The chunk lines go
 * through a machine of one byte at a time, so nothing has to be kept between two calls but the
 * state.
 */
#include "proto/http.h"

#include "proto/http_chars.h"

#define CHUNK_MAX_DIGITS 16 /* of a chunk's size: what 64 bits hold */
/*
 * Bytes of chunk extensions and trailers of one body. (Sizes and line ends bring at least one
 * byte of content each.)
 */
#define CHUNK_MAX_OVERHEAD 8192

enum body_state {
	BODY_SIZE, /* plus the number of digits so far: 0 .. 16 */
	BODY_LENGTH = BODY_SIZE + CHUNK_MAX_DIGITS + 1, /* content up to a known length */
	BODY_DATA,                                      /* content of a chunk */
	BODY_DATA_CR,                                   /* CR LF behind it */
	BODY_DATA_LF,
	BODY_SIZE_LF,    /* LF of the chunk line */
	BODY_EXT_BEFORE, /* BWS, then ";" */
	BODY_EXT_START,  /* behind ";": BWS, then a name */
	BODY_EXT_NAME,
	BODY_EXT_NAME_BWS, /* behind the name: "=" or ";" */
	BODY_EXT_EQUALS,   /* behind "=": BWS, then a value */
	BODY_EXT_VALUE,
	BODY_EXT_QUOTED,
	BODY_EXT_ESCAPE, /* behind a backslash in quotes */
	BODY_EXT_QUOTE,  /* behind the closing quote */
	BODY_TRAILER,    /* start of a trailer line, or of the last, empty one */
	BODY_TRAILER_NAME,
	BODY_TRAILER_VALUE,
	BODY_TRAILER_LF,
	BODY_END_LF,
	BODY_DONE,
};

void
http_body_init(struct http_body *b, const struct http_head *h, uint64_t max_bytes)
{
	*b = (struct http_body){.max = max_bytes};
	if (h->is_chunked) {
		b->state = BODY_SIZE;
	} else {
		b->left = h->content_length;
		b->is_done = b->left == 0;
		b->state = b->is_done ? BODY_DONE : BODY_LENGTH;
	}
}

/* The chunk line has ended, with the size in b->left. Returns the next state or an error. */
static int
start_chunk(const struct http_body *b)
{
	if (b->left == 0)
		return BODY_TRAILER;
	return b->left > b->max - b->received ? HTTP_E_BODY_TOO_LARGE : BODY_DATA;
}

/*
 * `c` behind so many digits of a chunk's size: strictly digits, no sign, no prefix, no space
 * but before ";".
 */
static int
step_size(struct http_body *b, char c, int n_digits)
{
	if (http_is(c, HTTP_C_HEX)) {
		unsigned digit = (unsigned char)c;

		if (n_digits == CHUNK_MAX_DIGITS)
			return HTTP_E_BAD_CHUNK;
		digit = digit <= '9' ? digit - '0' : (digit | 0x20U) - 'a' + 10;
		b->left = b->left << 4 | digit;
		return BODY_SIZE + n_digits + 1;
	}
	if (n_digits == 0)
		return HTTP_E_BAD_CHUNK;
	if (c == '\r')
		return BODY_SIZE_LF;
	if (c == ';')
		return BODY_EXT_START;
	return c == ' ' || c == '\t' ? BODY_EXT_BEFORE : HTTP_E_BAD_CHUNK;
}

/* Bytes as chunk extensions tell them apart. */
enum ext_byte {
	EXT_SPACE,
	EXT_TOKEN,
	EXT_EQUALS,
	EXT_SEMICOLON,
	EXT_QUOTE,
	EXT_BACKSLASH,
	EXT_TEXT, /* allowed in quotes only */
	EXT_CR,
	EXT_BAD,
	EXT_BYTES,
};

static enum ext_byte
ext_byte_of(char c)
{
	switch (c) {
	case ' ':
	case '\t':
		return EXT_SPACE;
	case '=':
		return EXT_EQUALS;
	case ';':
		return EXT_SEMICOLON;
	case '"':
		return EXT_QUOTE;
	case '\\':
		return EXT_BACKSLASH;
	case '\r':
		return EXT_CR;
	default:
		if (http_is(c, HTTP_C_TOKEN))
			return EXT_TOKEN;
		return http_is(c, HTTP_C_FIELD) ? EXT_TEXT : EXT_BAD;
	}
}

/*
 * chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ) (RFC 9112 7.1.1):
 * the next state for each byte; where nothing is named (0) the byte must not be.
 */
static const uint8_t ext_next[][EXT_BYTES] = {
#define ROW(state) [BODY_EXT_##state - BODY_EXT_BEFORE]
    ROW(BEFORE) = {[EXT_SPACE] = BODY_EXT_BEFORE, [EXT_SEMICOLON] = BODY_EXT_START},
    ROW(START) = {[EXT_SPACE] = BODY_EXT_START, [EXT_TOKEN] = BODY_EXT_NAME},
    ROW(NAME) = {[EXT_TOKEN] = BODY_EXT_NAME,
	[EXT_SPACE] = BODY_EXT_NAME_BWS,
	[EXT_EQUALS] = BODY_EXT_EQUALS,
	[EXT_SEMICOLON] = BODY_EXT_START,
	[EXT_CR] = BODY_SIZE_LF},
    ROW(NAME_BWS) = {[EXT_SPACE] = BODY_EXT_NAME_BWS,
	[EXT_EQUALS] = BODY_EXT_EQUALS,
	[EXT_SEMICOLON] = BODY_EXT_START},
    ROW(EQUALS) = {[EXT_SPACE] = BODY_EXT_EQUALS,
	[EXT_TOKEN] = BODY_EXT_VALUE,
	[EXT_QUOTE] = BODY_EXT_QUOTED},
    ROW(VALUE) = {[EXT_TOKEN] = BODY_EXT_VALUE,
	[EXT_SPACE] = BODY_EXT_BEFORE,
	[EXT_SEMICOLON] = BODY_EXT_START,
	[EXT_CR] = BODY_SIZE_LF},
    ROW(QUOTED) = {[EXT_SPACE] = BODY_EXT_QUOTED,
	[EXT_TOKEN] = BODY_EXT_QUOTED,
	[EXT_EQUALS] = BODY_EXT_QUOTED,
	[EXT_SEMICOLON] = BODY_EXT_QUOTED,
	[EXT_TEXT] = BODY_EXT_QUOTED,
	[EXT_QUOTE] = BODY_EXT_QUOTE,
	[EXT_BACKSLASH] = BODY_EXT_ESCAPE},
    ROW(ESCAPE) = {[EXT_SPACE] = BODY_EXT_QUOTED,
	[EXT_TOKEN] = BODY_EXT_QUOTED,
	[EXT_EQUALS] = BODY_EXT_QUOTED,
	[EXT_SEMICOLON] = BODY_EXT_QUOTED,
	[EXT_TEXT] = BODY_EXT_QUOTED,
	[EXT_QUOTE] = BODY_EXT_QUOTED,
	[EXT_BACKSLASH] = BODY_EXT_QUOTED},
    ROW(QUOTE) =
	{[EXT_SPACE] = BODY_EXT_BEFORE, [EXT_SEMICOLON] = BODY_EXT_START, [EXT_CR] = BODY_SIZE_LF},
#undef ROW
};

_Static_assert(ARRAY_LEN(ext_next) == BODY_TRAILER - BODY_EXT_BEFORE, "a row for each state");

static int
step_ext(int state, char c)
{
	int next = ext_next[state - BODY_EXT_BEFORE][ext_byte_of(c)];

	return next == 0 ? HTTP_E_BAD_CHUNK : next;
}

/* Trailer fields have the form of header fields (RFC 9112 7.1.2); what they say is dropped. */
static int
step_trailer(int state, char c)
{
	switch (state) {
	case BODY_TRAILER:
		if (c == '\r')
			return BODY_END_LF;
		return http_is(c, HTTP_C_TOKEN) ? BODY_TRAILER_NAME : HTTP_E_BAD_TRAILER;
	case BODY_TRAILER_NAME:
		if (c == ':')
			return BODY_TRAILER_VALUE;
		return http_is(c, HTTP_C_TOKEN) ? state : HTTP_E_BAD_TRAILER;
	case BODY_TRAILER_VALUE:
		if (c == '\r')
			return BODY_TRAILER_LF;
		return http_is(c, HTTP_C_FIELD) ? state : HTTP_E_BAD_TRAILER;
	case BODY_TRAILER_LF:
		return c == '\n' ? BODY_TRAILER : HTTP_E_BAD_TRAILER;
	default:
		return c == '\n' ? BODY_DONE : HTTP_E_BAD_TRAILER;
	}
}

/* One byte of the framing. Returns the next state or an enum http_error. */
static int
step(struct http_body *b, char c)
{
	int state = b->state;

	if (state <= BODY_SIZE + CHUNK_MAX_DIGITS)
		return step_size(b, c, state - BODY_SIZE);
	if (state == BODY_DATA_CR)
		return c == '\r' ? BODY_DATA_LF : HTTP_E_BAD_CHUNK;
	if (state == BODY_DATA_LF)
		return c == '\n' ? BODY_SIZE : HTTP_E_BAD_CHUNK;
	if (state == BODY_SIZE_LF)
		return c == '\n' ? start_chunk(b) : HTTP_E_BAD_CHUNK;
	if (++b->overhead > CHUNK_MAX_OVERHEAD)
		return state >= BODY_TRAILER ? HTTP_E_BAD_TRAILER : HTTP_E_BAD_CHUNK;
	return state >= BODY_TRAILER ? step_trailer(state, c) : step_ext(state, c);
}

/* Content: as much as there is of what is left. */
static ssize_t
take_content(struct http_body *b, struct slice in, struct slice *piece)
{
	size_t n = b->left < in.n ? (size_t)b->left : in.n;

	if (b->left > b->max - b->received)
		return HTTP_E_BODY_TOO_LARGE;
	b->left -= n;
	b->received += n;
	if (b->left == 0) {
		b->is_done = b->state == BODY_LENGTH;
		b->state = b->is_done ? BODY_DONE : BODY_DATA_CR;
	}
	*piece = slice_of(in.p, n);
	return (ssize_t)n;
}

ssize_t
http_body_decode(struct http_body *b, struct slice in, struct slice *piece)
{
	size_t at = 0;

	if (b->state == BODY_LENGTH || b->state == BODY_DATA)
		return take_content(b, in, piece);
	while (at < in.n && !b->is_done && b->state != BODY_DATA) {
		int next = step(b, in.p[at]);

		if (next < 0)
			return next;
		b->state = (uint8_t)next;
		b->is_done = next == BODY_DONE;
		at++;
	}
	*piece = slice_of(in.p, 0);
	return (ssize_t)at;
}
