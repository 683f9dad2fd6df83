#include "proto/ws.h"

#include <endian.h>

#define REASON_MAX (WS_MAX_CONTROL - 2)
#define FIN_BIT    0x80
#define RSV1_BIT   0x40

size_t
ws_head_encode(uint8_t *out, enum ws_opcode opcode, bool rsv1, uint64_t n)
{
	out[0] = (uint8_t)(FIN_BIT | (rsv1 ? RSV1_BIT : 0) | (unsigned)opcode);
	if (n < 126) {
		out[1] = (uint8_t)n;
		return 2;
	}
	if (n <= UINT16_MAX) {
		uint16_t be = htobe16((uint16_t)n);

		out[1] = 126;
		memcpy(out + 2, &be, sizeof(be));
		return 4;
	}
	n = htobe64(n);
	out[1] = 127;
	memcpy(out + 2, &n, sizeof(n));
	return WS_SERVER_HEAD;
}

size_t
ws_control_encode(uint8_t *out, enum ws_opcode opcode, struct slice payload)
{
	size_t n = min_size(payload.n, WS_MAX_CONTROL);
	size_t at = ws_head_encode(out, opcode, false, n);

	if (n > 0)
		memcpy(out + at, payload.p, n);
	return at + n;
}

/*
 * The reason's length after cutting it to what a close frame holds, without splitting a UTF-8
 * character.
 */
static size_t
reason_size(struct slice reason)
{
	size_t n = REASON_MAX;

	if (reason.n <= REASON_MAX)
		return reason.n;
	while (n > 0 && ((uint8_t)reason.p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

size_t
ws_close_encode(uint8_t *out, int code, struct slice reason)
{
	size_t n;
	uint16_t be;
	size_t at;

	if (!ws_close_code_is_valid(code)) /* 1005: an empty close answers an empty close */
		return ws_head_encode(out, WS_CLOSE, false, 0);
	n = reason_size(reason);
	be = htobe16((uint16_t)code);
	at = ws_head_encode(out, WS_CLOSE, false, sizeof(be) + n);
	memcpy(out + at, &be, sizeof(be));
	at += sizeof(be);
	if (n > 0)
		memcpy(out + at, reason.p, n);
	return at + n;
}

bool
ws_close_code_is_valid(int code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}

void
ws_unmask(char *p, size_t n, const uint8_t key[4], uint64_t at)
{
	uint8_t turned[8];
	uint64_t mask;
	uint64_t word;
	size_t i = 0;

	for (size_t k = 0; k < sizeof(turned); k++)
		turned[k] = key[(at + k) % 4];
	memcpy(&mask, turned, sizeof(mask));
	for (; n - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, p + i, sizeof(word));
		word ^= mask;
		memcpy(p + i, &word, sizeof(word));
	}
	for (; i < n; i++)
		p[i] = (char)((uint8_t)p[i] ^ turned[i % 4]);
}
