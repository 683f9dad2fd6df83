#include "proto/ws.h"

#include <endian.h>
#include <errno.h>

#include "base/mem.h"
#include "proto/ws_deflate.h"

#define FIN_BIT      0x80
#define RSV1_BIT     0x40
#define RSV_BITS     0x30 /* RSV2 and RSV3: no extension of ours uses them */
#define MASK_BIT     0x80
#define CONTROL_BIT  0x8
#define CODE_SIZE    2  /* of a close code */
#define DEFLATE_MORE 64 /* what deflate may add to bytes that it cannot compress, beside 1/1024 */

struct ws_head {
	bool is_fin;
	bool is_compressed; /* RSV1 */
	uint8_t opcode;
	uint8_t key[4];
	uint64_t n;  /* bytes of payload */
	uint64_t at; /* of them arrived */
};

/*
 * What is kept while something is unfinished; without an inflater also until the next call after
 * something was handed out of it.
 */
struct ws_partial {
	uint8_t head[WS_MAX_HEAD]; /* the first bytes of a frame's head */
	size_t n_head;
	bool in_frame;   /* `frame` is read but its payload is not all there */
	bool in_message; /* a data message has begun and not ended */
	bool is_spent;   /* its message was handed out: free it at the next call */
	struct ws_head frame;
	/* the message */
	uint8_t opcode;
	bool is_compressed;
	struct utf8 utf8;
	struct buf data;
	/* the control frame, which may stand between a message's frames (5.4) */
	struct utf8 reason_utf8;
	char control[WS_MAX_CONTROL];
};

/* What a step of the decoder works with. */
struct step {
	struct ws_decoder *d;
	struct ws_inflater *z;
	char *in;
	size_t n;
	size_t at; /* bytes of `in` used up */
	struct ws_message m;
};

void
ws_decoder_init(struct ws_decoder *d, uint32_t max_message, bool deflate)
{
	*d = (struct ws_decoder){.max_message = max_message, .deflate = deflate};
}

void
ws_decoder_done(struct ws_decoder *d)
{
	if (d->partial == NULL)
		return;
	buf_done(&d->partial->data);
	mem_free(d->partial);
	d->partial = NULL;
}

size_t
ws_decoder_memory(const struct ws_decoder *d)
{
	return d->partial == NULL ? 0 : sizeof(*d->partial) + d->partial->data.cap;
}

static int
fail(struct step *s, int code, const char *text)
{
	s->m = (struct ws_message){.event = WS_EV_ERROR, .close_code = code, .text = text};
	return 0;
}

/* --- keeping what is unfinished --- */

/*
 * Bytes of frames that one message may have. A compressed one may be a little longer than what it
 * inflates to.
 */
static uint64_t
max_received(const struct ws_decoder *d, bool is_compressed)
{
	uint64_t max = d->max_message;

	return is_compressed ? max + max / 1024 + DEFLATE_MORE : max;
}

static int
need_partial(struct ws_decoder *d)
{
	if (d->partial != NULL)
		return 0;
	d->partial = mem_calloc(1, sizeof(*d->partial));
	return d->partial == NULL ? -ENOMEM : 0;
}

/* Free what was handed out, and all of it when nothing is under way. */
static void
settle(struct ws_decoder *d)
{
	struct ws_partial *p = d->partial;

	if (p == NULL)
		return;
	if (p->is_spent && !p->in_message)
		buf_done(&p->data);
	p->is_spent = false;
	if (p->n_head == 0 && !p->in_frame && !p->in_message)
		ws_decoder_done(d);
}

/*
 * An event is handed out. When nothing else is under way the worker's inflater takes the memory
 * that the event lies in, so that the connection has none, even if it is never fed again.
 */
static void
hand_over(struct step *s)
{
	struct ws_partial *p = s->d->partial;

	if (p == NULL || s->z == NULL || s->m.event == WS_EV_NONE || p->in_message)
		return;
	if (p->is_spent) {
		ws_inflater_keep(s->z, p->data.p);
		p->data.p = NULL;
		ws_decoder_done(s->d);
	} else {
		ws_inflater_keep(s->z, p); /* a control frame's payload */
		s->d->partial = NULL;
	}
}

/* --- heads (5.2) --- */

static const char *
first_byte_error(const struct ws_decoder *d, uint8_t b)
{
	bool in_message = d->partial != NULL && d->partial->in_message;
	uint8_t opcode = b & 0x0f;

	if ((b & RSV_BITS) != 0)
		return "reserved bit set";
	if (opcode > WS_PONG || (opcode > WS_BINARY && opcode < WS_CLOSE))
		return "reserved opcode";
	/* RFC 7692, 6: on the first frame of a data message only */
	if ((b & RSV1_BIT) != 0 && (!d->deflate || (opcode != WS_TEXT && opcode != WS_BINARY)))
		return "reserved bit set";
	if ((opcode & CONTROL_BIT) != 0)
		return (b & FIN_BIT) != 0 ? NULL : "fragmented control frame";
	if (opcode == WS_CONTINUATION && !in_message)
		return "continuation of nothing";
	if (opcode != WS_CONTINUATION && in_message)
		return "message within a message";
	return NULL;
}

/*
 * Read the payload's length. Returns the bytes of it after the second, -EAGAIN when they are not
 * there yet, or -EINVAL for a form not allowed.
 */
static int
read_length(const uint8_t *head, size_t n, uint64_t *out)
{
	uint64_t length = head[1] & 0x7f;

	if (length < 126) {
		*out = length;
		return 0;
	}
	if (length == 126) {
		if (n < 4)
			return -EAGAIN;
		length = (uint64_t)head[2] << 8 | head[3];
		if (length < 126)
			return -EINVAL; /* 5.2: the minimal number of bytes */
		*out = length;
		return 2;
	}
	if (n < 10)
		return -EAGAIN;
	memcpy(&length, head + 2, sizeof(length));
	length = be64toh(length);
	if (length <= UINT16_MAX || length > INT64_MAX)
		return -EINVAL;
	*out = length;
	return 8;
}

/*
 * Whether a data frame of that length is too much for its message: known before its bytes are
 * stored.
 */
static bool
is_too_big(const struct ws_decoder *d, const struct ws_head *h)
{
	bool is_compressed = h->is_compressed;
	uint64_t have = 0;

	if ((h->opcode & CONTROL_BIT) != 0)
		return false;
	if (d->partial != NULL && d->partial->in_message) {
		is_compressed = d->partial->is_compressed;
		have = d->partial->data.n;
	}
	return h->n > max_received(d, is_compressed) - have;
}

/*
 * Decode the head at `p`. Each check needs only the bytes before it, so that the verdict does not
 * depend on how the bytes were cut. Returns its size; 0 when bytes are missing, or when s->m has
 * become an error.
 */
static size_t
decode_head(struct step *s, const uint8_t *p, size_t n, struct ws_head *out)
{
	struct ws_head h = {0};
	const char *text;
	size_t at;
	int r;

	if (n < 1)
		return 0;
	text = first_byte_error(s->d, p[0]);
	if (text == NULL && n < 2)
		return 0;
	if (text == NULL && (p[1] & MASK_BIT) == 0)
		text = "frame without a mask"; /* 5.1 */
	if (text == NULL && (p[0] & CONTROL_BIT) != 0 && (p[1] & 0x7f) > WS_MAX_CONTROL)
		text = "control frame too long"; /* 5.5 */
	if (text != NULL) {
		fail(s, WS_CLOSE_PROTOCOL, text);
		return 0;
	}
	h.is_fin = (p[0] & FIN_BIT) != 0;
	h.is_compressed = (p[0] & RSV1_BIT) != 0;
	h.opcode = p[0] & 0x0f;
	r = read_length(p, n, &h.n);
	if (r == -EINVAL)
		fail(s, WS_CLOSE_PROTOCOL, "frame length malformed");
	else if (r >= 0 && is_too_big(s->d, &h))
		fail(s, WS_CLOSE_TOO_BIG, "message too big");
	if (r < 0 || s->m.event == WS_EV_ERROR)
		return 0;
	at = 2 + (size_t)r;
	if (n < at + sizeof(h.key))
		return 0;
	memcpy(h.key, p + at, sizeof(h.key));
	*out = h;
	return at + sizeof(h.key);
}

/*
 * Take a head from the input and what was kept of it before. Returns 1 when *out is a head, 0 when
 * not (all input kept, or an error in s->m), -ENOMEM.
 */
static int
take_head(struct step *s, struct ws_head *out)
{
	uint8_t joined[WS_MAX_HEAD];
	const uint8_t *head = (const uint8_t *)s->in + s->at;
	struct ws_partial *p = s->d->partial;
	size_t kept = p == NULL ? 0 : p->n_head;
	size_t more = min_size(sizeof(joined) - kept, s->n - s->at);
	size_t size;

	if (kept > 0) {
		memcpy(joined, p->head, kept);
		memcpy(joined + kept, head, more);
		head = joined;
	}
	size = decode_head(s, head, kept + more, out);
	if (size > 0) {
		s->at += size - kept;
		if (p != NULL)
			p->n_head = 0;
		return 1;
	}
	if (s->m.event == WS_EV_ERROR)
		return 0;
	if (need_partial(s->d) < 0)
		return -ENOMEM;
	memcpy(s->d->partial->head, head, kept + more);
	s->d->partial->n_head = kept + more;
	s->at += more;
	return 0;
}

/* --- control frames (5.5) --- */

/*
 * Check what has arrived of a close frame's payload; `piece` is what is new in it. False when s->m
 * has become an error.
 */
static bool
check_close(
    struct step *s, const struct ws_head *h, struct slice all, size_t n_piece, struct utf8 *u)
{
	bool is_whole = all.n == h->n;
	struct slice reason;
	size_t before = all.n - n_piece;

	if (h->n == 1) {
		fail(s, WS_CLOSE_PROTOCOL, "close frame of one byte");
		return false;
	}
	if (all.n < CODE_SIZE)
		return true;
	if (!ws_close_code_is_valid((uint8_t)all.p[0] << 8 | (uint8_t)all.p[1])) {
		fail(s, WS_CLOSE_PROTOCOL, "close code not allowed");
		return false;
	}
	reason = slice_skip(all, max_size(before, CODE_SIZE));
	if (!utf8_feed(u, reason) || (is_whole && !utf8_is_complete(u))) {
		fail(s, WS_CLOSE_INVALID, "close reason is not UTF-8");
		return false;
	}
	return true;
}

static void
emit_control(struct step *s, const struct ws_head *h, struct slice payload)
{
	s->m.opcode = (enum ws_opcode)h->opcode;
	s->m.payload = payload;
	if (h->opcode == WS_PING) {
		s->m.event = WS_EV_PING;
	} else if (h->opcode == WS_PONG) {
		s->m.event = WS_EV_PONG;
	} else {
		s->m.event = WS_EV_CLOSE;
		s->m.close_code = WS_CLOSE_NO_STATUS; /* 7.1.5 */
		if (payload.n >= CODE_SIZE) {
			s->m.close_code = (uint8_t)payload.p[0] << 8 | (uint8_t)payload.p[1];
			s->m.payload = slice_skip(payload, CODE_SIZE);
		}
	}
}

static int
take_control(struct step *s, struct ws_head *h, struct slice piece)
{
	bool is_whole_here = piece.n == h->n;
	struct utf8 once = {0};
	struct utf8 *u = &once;
	struct slice all = piece;
	struct ws_partial *p;

	if (!is_whole_here) {
		if (need_partial(s->d) < 0)
			return -ENOMEM;
		p = s->d->partial;
		if (h->at == 0)
			p->reason_utf8 = (struct utf8){0};
		if (piece.n > 0)
			memcpy(p->control + h->at, piece.p, piece.n);
		h->at += piece.n;
		p->frame = *h;
		p->in_frame = h->at < h->n;
		all = slice_of(p->control, (size_t)h->at);
		u = &p->reason_utf8;
	}
	if (h->opcode == WS_CLOSE && !check_close(s, h, all, piece.n, u))
		return 0;
	if (all.n == h->n)
		emit_control(s, h, all);
	return 0;
}

/* --- data frames (5.4, 5.6) --- */

static int
emit_data(struct step *s, uint8_t opcode, struct slice payload)
{
	s->m.event = WS_EV_MESSAGE;
	s->m.opcode = (enum ws_opcode)opcode;
	s->m.payload = payload;
	return 0;
}

static int
emit_inflated(struct step *s, uint8_t opcode, struct slice compressed)
{
	struct buf *out;
	int r;

	if (s->z == NULL)
		return fail(s, WS_CLOSE_INTERNAL, "no inflater");
	out = ws_inflater_scratch(s->z, s->d->max_message);
	r = ws_inflate(s->z, compressed, out);
	if (r == -EMSGSIZE)
		return fail(s, WS_CLOSE_TOO_BIG, "message too big");
	if (r == -EINVAL)
		return fail(s, WS_CLOSE_INVALID, "compressed data malformed");
	if (r < 0)
		return r;
	if (opcode == WS_TEXT && !utf8_is_valid(buf_slice(out)))
		return fail(s, WS_CLOSE_INVALID, "text is not UTF-8");
	return emit_data(s, opcode, buf_slice(out));
}

/* A message in one frame that lies in the input whole: handed out from there. */
static int
take_whole(struct step *s, const struct ws_head *h, struct slice piece)
{
	if (h->is_compressed)
		return emit_inflated(s, h->opcode, piece);
	if (h->opcode == WS_TEXT && !utf8_is_valid(piece))
		return fail(s, WS_CLOSE_INVALID, "text is not UTF-8");
	return emit_data(s, h->opcode, piece);
}

static void
begin_message(struct ws_decoder *d, const struct ws_head *h)
{
	struct ws_partial *p = d->partial;

	p->in_message = true;
	p->opcode = h->opcode;
	p->is_compressed = h->is_compressed;
	p->utf8 = (struct utf8){0};
	p->data = BUF_INIT((size_t)max_received(d, h->is_compressed));
}

static int
take_data(struct step *s, struct ws_head *h, struct slice piece)
{
	struct ws_partial *p = s->d->partial;
	bool has_begun = p != NULL && p->in_message;
	bool is_text;

	if (!has_begun && h->is_fin && piece.n == h->n)
		return take_whole(s, h, piece);
	if (need_partial(s->d) < 0)
		return -ENOMEM;
	p = s->d->partial;
	if (!has_begun)
		begin_message(s->d, h);
	is_text = p->opcode == WS_TEXT && !p->is_compressed;
	if (is_text && !utf8_feed(&p->utf8, piece)) /* 8.1, before the frame is whole */
		return fail(s, WS_CLOSE_INVALID, "text is not UTF-8");
	if (buf_add_slice(&p->data, piece) < 0)
		return -ENOMEM; /* the size was checked with the head */
	h->at += piece.n;
	p->frame = *h;
	p->in_frame = h->at < h->n;
	if (p->in_frame || !h->is_fin)
		return 0;
	if (is_text && !utf8_is_complete(&p->utf8))
		return fail(s, WS_CLOSE_INVALID, "text is not UTF-8");
	p->in_message = false;
	p->is_spent = true;
	if (p->is_compressed)
		return emit_inflated(s, p->opcode, buf_slice(&p->data));
	return emit_data(s, p->opcode, buf_slice(&p->data));
}

/* Take one frame, or what there is of it. */
static int
take_frame(struct step *s)
{
	struct ws_head h;
	struct slice piece;

	if (s->d->partial != NULL && s->d->partial->in_frame) {
		h = s->d->partial->frame;
		s->d->partial->in_frame = false; /* until it is known again */
	} else {
		int r = take_head(s, &h);

		if (r <= 0)
			return r;
	}
	piece = slice_of(s->in + s->at, (size_t)min_u64(h.n - h.at, s->n - s->at));
	ws_unmask(s->in + s->at, piece.n, h.key, h.at);
	s->at += piece.n;
	return (h.opcode & CONTROL_BIT) != 0 ? take_control(s, &h, piece) : take_data(s, &h, piece);
}

int
ws_decode(struct ws_decoder *d, char *in, size_t n, struct ws_inflater *z, size_t *consumed,
    struct ws_message *out)
{
	struct step s = {.d = d, .z = z, .n = n};

	s.in = in;
	settle(d);
	while (s.at < n && s.m.event == WS_EV_NONE) {
		int r = take_frame(&s);

		if (r < 0)
			return r;
	}
	hand_over(&s);
	*consumed = s.at;
	*out = s.m;
	return 0;
}
