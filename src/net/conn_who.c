#include "net/conn.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "net/conn_private.h"

/* Who is at the other end of a connection, and through which door it came. */

struct net *
conn_net(const struct conn *c)
{
	return c->net;
}

uint64_t
conn_number(const struct conn *c)
{
	return c->number;
}

uint64_t
conn_last_seen_ms(const struct conn *c)
{
	return (uint64_t)c->timer.seen_s * 1000;
}

/* 192.0.2.1; by hand, a tenth of what inet_ntop costs. */
static const char *
four_numbers(const uint8_t address[4], char out[EXCHANGE_PEER])
{
	char *at = out;

	for (size_t i = 0; i < 4; i++) {
		unsigned v = address[i];

		if (v >= 100)
			*at++ = (char)('0' + v / 100);
		if (v >= 10)
			*at++ = (char)('0' + v / 10 % 10);
		*at++ = (char)('0' + v % 10);
		*at++ = i < 3 ? '.' : '\0';
	}
	return out;
}

const char *
conn_peer_text(bool is_unix, const struct in6_addr *address, char out[EXCHANGE_PEER])
{
	char text[INET6_ADDRSTRLEN] = "";

	if (is_unix) {
		uint32_t uid;

		memcpy(&uid, address, sizeof(uid));
		(void)snprintf(out, EXCHANGE_PEER, "unix:uid=%u", uid);
		return out;
	}
	if (IN6_IS_ADDR_V4MAPPED(address))
		return four_numbers(&address->s6_addr[12], out);
	(void)inet_ntop(AF_INET6, address, text, sizeof(text));
	(void)snprintf(out, EXCHANGE_PEER, "%s", text);
	return out;
}

const char *
conn_peer(const struct conn *c, char out[EXCHANGE_PEER])
{
	return conn_peer_text(c->is_unix, &c->address, out);
}

bool
conn_is_unix(const struct conn *c, unsigned *listener, uint32_t *uid, uint32_t *gid)
{
	uint32_t words[3];

	if (!c->is_unix)
		return false;
	memcpy(words, &c->address, sizeof(words));
	*uid = words[0];
	*gid = words[1];
	*listener = words[2];
	return true;
}

bool
conn_is_extra(const struct conn *c)
{
	return c->is_extra;
}

bool
conn_on_loopback_listener(const struct conn *c)
{
	return c->on_loopback;
}

bool
conn_from_trusted_proxy(const struct conn *c)
{
	return !c->is_unix && net_is_trusted(c->net, &c->address);
}
