#include "ctl/ws_client.h"

#define FIRST_FIN   0x80
#define FIRST_RSV23 0x30
#define OP_CONTROL  0x08
#define MASKED      0x80

int
ws_client_add_handshake(struct buf *out, struct slice key, bool offers_deflate)
{
	return buf_printf(out,
	    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Key: %.*s\r\n%s\r\n",
	    SLICE_ARG(key),
	    offers_deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
}

bool
ws_client_is_accepted(struct slice head, struct slice accept)
{
	return slice_has_prefix(head, SLICE("HTTP/1.1 101 ")) &&
	       memmem(head.p, head.n, accept.p, accept.n) != NULL;
}

ssize_t
ws_client_decode(struct slice in, size_t max, struct ws_client_frame *out)
{
	const unsigned char *p = (const unsigned char *)in.p;
	size_t head = 2;
	uint64_t n;

	if (in.n < 2)
		return 0;
	n = p[1];
	if ((n & MASKED) != 0 || (p[0] & FIRST_RSV23) != 0 ||
	    ((p[0] & OP_CONTROL) != 0 && ((p[0] & FIRST_FIN) == 0 || n > WS_MAX_CONTROL)))
		return -WS_CLOSE_PROTOCOL; /* 5.1, 5.2, 5.5 */
	if (n == 126)
		head = 4;
	else if (n == 127)
		head = 10;
	if (in.n < head)
		return 0;
	if (head > 2) {
		n = 0;
		for (size_t i = 2; i < head; i++)
			n = n << 8 | p[i];
	}
	if (n > max)
		return -WS_CLOSE_TOO_BIG;
	if (in.n - head < n)
		return 0;
	*out = (struct ws_client_frame){p[0], slice_of(in.p + head, (size_t)n)};
	return (ssize_t)(head + (size_t)n);
}

int
ws_client_encode(struct buf *out, enum ws_opcode opcode, const uint8_t key[4], struct slice payload)
{
	uint8_t head[WS_MAX_HEAD];
	size_t n = ws_head_encode(head, opcode, false, payload.n);
	int r = buf_reserve(out, n + 4 + payload.n);

	if (r < 0)
		return r;
	head[1] |= MASKED;           /* clients mask (5.1) */
	(void)buf_add(out, head, n); /* there is room, for the next two as well */
	(void)buf_add(out, key, 4);
	(void)buf_add_slice(out, payload);
	ws_unmask(out->p + out->n - payload.n, payload.n, key, 0);
	return 0;
}
