#include <errno.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/error.h"
#include "core/wire.h"
#include "net/conn.h"
#include "net/net.h"
#include "serve/files.h"
#include "serve/serve.h"

#define PIECE       (64 * 1024) /* bytes read and queued at once */
#define PATIENCE_MS 60000       /* without the peer taking anything */

struct big_file {
	int fd;
	uint64_t at;
	uint64_t size;
};

/*
 * The next piece; false when it could not be read or queued: the answer cannot be finished any
 * more.
 */
static bool
push_piece(struct conn *c, struct big_file *b)
{
	size_t want = (size_t)min_u64(PIECE, b->size - b->at);
	struct wire *w = wire_sized(want);
	ssize_t got;
	bool is_queued;

	if (w == NULL)
		return false;
	do
		got = pread(b->fd, wire_room(w), want, (off_t)b->at);
	while (got < 0 && errno == EINTR);
	/* Nothing more: the file was cut short after its length was promised. */
	if (got > 0)
		w->n = (uint32_t)got;
	is_queued = got > 0 && conn_push(c, w) == 0;
	wire_unref(w);
	if (is_queued)
		b->at += (uint64_t)got;
	return is_queued;
}

static void
push_pieces(struct conn *c, struct big_file *b)
{
	conn_set_deadline(c, conn_net(c)->now_ms + PATIENCE_MS);
	while (b->at < b->size && conn_has_room(c)) {
		if (!push_piece(c, b)) {
			conn_close(c, CLOSE_RESET);
			return;
		}
	}
}

static void
on_drain(struct conn *c, void *data)
{
	push_pieces(c, data);
}

static void
on_tick(struct conn *c, void *data UNUSED, uint64_t now_ms UNUSED)
{
	conn_close(c, CLOSE_TIMEOUT);
}

static void
on_gone(struct conn *c UNUSED, void *data)
{
	struct big_file *b = data;

	(void)close(b->fd);
	mem_free(b);
}

/* A download under way may finish within the drain. */
static void
on_drain_server(struct conn *c UNUSED, void *data UNUSED, uint64_t retry_ms UNUSED)
{
}

static const struct conn_ops ops = {
    .on_drain = on_drain,
    .on_tick = on_tick,
    .on_gone = on_gone,
    .on_drain_server = on_drain_server,
};

void
files_stream(struct exchange *x, const char *content_type, int fd, uint64_t size)
{
	struct big_file *b = mem_calloc(1, sizeof(*b));
	struct conn *c = x->conn;
	struct refusal r;

	if (b == NULL) {
		(void)close(fd);
		(void)refuse_memory(&r);
		serve_refuse(x, &r);
		return;
	}
	*b = (struct big_file){.fd = fd, .size = size};
	if (exchange_stream_start(x, 200, content_type, (int64_t)size, &ops, b) < 0) {
		on_gone(c, b);
		return;
	}
	push_pieces(c, b);
}
