#include "proto/ws_deflate.h"

#include <errno.h>

#define ZLIB_CONST /* its input is const */
#include <zlib.h>

#include "base/mem.h"

#define WINDOW_BITS   (-15) /* raw deflate, 32 KiB */
#define MEMORY_LEVEL  8
#define AT_BLOCK_EDGE 128        /* in z_stream.data_type: between two blocks */
#define BITS_LEFT     63         /* in z_stream.data_type: unused bits of the last byte */
#define FIRST_ROOM    512        /* bytes of output asked for at first */
#define KEEP_SCRATCH  (1u << 18) /* a bigger scratch buffer is given back after use */

/* What Z_SYNC_FLUSH ends with; not sent (RFC 7692, 7.2.1). */
static const uint8_t tail[4] = {0x00, 0x00, 0xff, 0xff};

struct ws_inflater {
	z_stream z;
	struct buf scratch;
	void *kept;
	Bytef aside; /* where the first byte over the limit goes */
};

struct ws_deflater {
	z_stream z;
};

static void *
zlib_alloc(void *unused, unsigned count, unsigned size)
{
	(void)unused;
	return mem_calloc(count, size);
}

static void
zlib_free(void *unused, void *p)
{
	(void)unused;
	mem_free(p);
}

struct ws_inflater *
ws_inflater_new(void)
{
	struct ws_inflater *z = mem_calloc(1, sizeof(*z));

	if (z == NULL)
		return NULL;
	z->z.zalloc = zlib_alloc;
	z->z.zfree = zlib_free;
	if (inflateInit2(&z->z, WINDOW_BITS) != Z_OK) {
		mem_free(z);
		return NULL;
	}
	return z;
}

void
ws_inflater_free(struct ws_inflater *z)
{
	if (z == NULL)
		return;
	(void)inflateEnd(&z->z); /* fails only on a broken state, and frees what it can */
	buf_done(&z->scratch);
	mem_free(z->kept);
	mem_free(z);
}

void
ws_inflater_keep(struct ws_inflater *z, void *block)
{
	mem_free(z->kept);
	z->kept = block;
}

void
ws_inflater_trim(struct ws_inflater *z)
{
	mem_free(z->kept);
	z->kept = NULL;
	if (z->scratch.cap > KEEP_SCRATCH)
		buf_done(&z->scratch);
}

struct buf *
ws_inflater_scratch(struct ws_inflater *z, size_t max)
{
	buf_reset(&z->scratch);
	z->scratch.max = max;
	return &z->scratch;
}

/*
 * Let zlib write into the room that out has, making some first; at the limit, one byte more is
 * offered aside: if zlib writes it, the message is too big. Returns zlib's answer, or -EMSGSIZE /
 * -ENOMEM (zlib's own numbers are above those: Z_VERSION_ERROR is -6).
 */
static int
inflate_some(struct ws_inflater *inflater, struct buf *out)
{
	z_stream *z = &inflater->z;
	size_t room;
	int r;

	if (out->n >= out->max) {
		z->next_out = &inflater->aside;
		z->avail_out = 1;
		r = inflate(z, Z_SYNC_FLUSH);
		return z->avail_out == 0 ? -EMSGSIZE : r;
	}
	if (out->cap == out->n) {
		r = buf_reserve(out, min_size(max_size(out->n, FIRST_ROOM), out->max - out->n));
		if (r < 0)
			return r;
	}
	room = min_size(min_size(out->cap, out->max) - out->n, UINT32_MAX);
	z->next_out = (Bytef *)out->p + out->n;
	z->avail_out = (uInt)room;
	r = inflate(z, Z_SYNC_FLUSH);
	out->n += room - z->avail_out;
	return r;
}

/*
 * Inflate all of one piece of input. A block marked final ends zlib's stream but not the message
 * (RFC 7692, 7.2.3.4): start again behind it. Returns 0; 1 when the piece ended together with a
 * final block; or -EINVAL, -EMSGSIZE, -ENOMEM.
 */
static int
inflate_piece(struct ws_inflater *inflater, const void *p, size_t n, struct buf *out)
{
	z_stream *z = &inflater->z;

	z->next_in = p;
	z->avail_in = (uInt)n;
	for (;;) {
		int r = inflate_some(inflater, out);

		if (r == Z_STREAM_END) {
			if (inflateReset(z) != Z_OK)
				return -EINVAL;
			if (z->avail_in == 0)
				return 1;
		} else if (r == Z_MEM_ERROR || r == -ENOMEM) {
			return -ENOMEM;
		} else if (r == -EMSGSIZE) {
			return r;
		} else if (r != Z_OK && r != Z_BUF_ERROR) {
			return -EINVAL;
		} else if (z->avail_in == 0 && z->avail_out > 0) {
			return 0;
		}
	}
}

static bool
is_at_edge(const z_stream *z)
{
	return (z->data_type & AT_BLOCK_EDGE) != 0 && (z->data_type & BITS_LEFT) == 0;
}

int
ws_inflate(struct ws_inflater *z, struct slice in, struct buf *out)
{
	int r;

	if (in.n > UINT32_MAX)
		return -EMSGSIZE;
	if (in.n == 0)
		return 0; /* a compressor that had nothing to flush: an empty message */
	if (inflateReset(&z->z) != Z_OK)
		return -EINVAL;
	r = inflate_piece(z, in.p, in.n, out);
	if (r < 0)
		return r;
	if (r == 1 || is_at_edge(&z->z))
		return 0;
	r = inflate_piece(z, tail, sizeof(tail), out);
	if (r < 0)
		return r;
	return r == 1 || is_at_edge(&z->z) ? 0 : -EINVAL; /* cut in the middle of a block */
}

struct ws_deflater *
ws_deflater_new(void)
{
	struct ws_deflater *z = mem_calloc(1, sizeof(*z));

	if (z == NULL)
		return NULL;
	z->z.zalloc = zlib_alloc;
	z->z.zfree = zlib_free;
	if (deflateInit2(&z->z, Z_BEST_SPEED, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL,
		Z_DEFAULT_STRATEGY) != Z_OK) {
		mem_free(z);
		return NULL;
	}
	return z;
}

void
ws_deflater_free(struct ws_deflater *z)
{
	if (z == NULL)
		return;
	(void)deflateEnd(&z->z); /* Z_DATA_ERROR: input was left, which we do not want any more */
	mem_free(z);
}

int
ws_deflate(struct ws_deflater *z, struct slice in, struct buf *out)
{
	size_t start = out->n;
	size_t room;
	int r;

	if (in.n > UINT32_MAX / 2)
		return -EMSGSIZE;
	if (deflateReset(&z->z) != Z_OK)
		return -ENOMEM;
	/*
	 * deflateBound speaks of Z_FINISH; the flush adds at most one more block head and the tail.
	 * Less room is no failure yet: most messages get by with much less than the bound.
	 */
	room = min_size(deflateBound(&z->z, (uLong)in.n) + 16, out->max - out->n);
	if (room == 0)
		return -EMSGSIZE;
	r = buf_reserve(out, room);
	if (r < 0)
		return r;
	z->z.next_in = (const Bytef *)in.p;
	z->z.avail_in = (uInt)in.n;
	z->z.next_out = (Bytef *)out->p + out->n;
	z->z.avail_out = (uInt)min_size(out->cap - out->n, UINT32_MAX);
	out->n += z->z.avail_out;
	r = deflate(&z->z, Z_SYNC_FLUSH);
	out->n -= z->z.avail_out;
	/* avail_out 0 would mean that the flush may be unfinished */
	if (r != Z_OK || z->z.avail_in > 0 || z->z.avail_out == 0 ||
	    out->n - start < sizeof(tail)) {
		out->n = start;
		return -EMSGSIZE;
	}
	out->n -= sizeof(tail);
	return 0;
}
