/*
 * Who is behind proxies: each line of the input is one X-Forwarded-For, and the answer is what a
 * walk from the right over one list of all of them gives. The first byte chooses the peer.
 */
#include <arpa/inet.h>

#include "net/conn_private.h"
#include "net/exchange.h"
#include "tests/fuzz/support.h"

#define INPUT_MAX 2048
#define LINES     20
#define ELEMENTS  (INPUT_MAX + LINES)

static const struct {
	const char *address; /* v4-mapped */
	unsigned prefix;     /* of it */
} trusted[] = {
    {"::ffff:127.0.0.0", 104}, {"::1", 128}, {"::ffff:10.1.2.0", 121}, {"2001:db8::", 33}};

static const char *const peers[] = {"::ffff:127.0.0.1", "::1", "::ffff:10.1.2.127",
    "::ffff:10.1.2.128", "2001:db8:7fff::1", "2001:db8:8000::1", "::ffff:192.0.2.1", "fe80::1"};

static struct in6_addr
address_of(const char *text)
{
	struct in6_addr a;

	NEED(inet_pton(AF_INET6, text, &a) == 1);
	return a;
}

/* An address as text, v4-mapped. */
static bool
read_address(struct slice s, char text[64], struct in6_addr *out)
{
	char mapped[80];
	struct in_addr four;

	if (s.n == 0 || s.n >= 64 || memchr(s.p, '\0', s.n) != NULL)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	(void)snprintf(mapped, sizeof(mapped), "::ffff:%s", text);
	return inet_pton(AF_INET, text, &four) == 1 ? inet_pton(AF_INET6, mapped, out) == 1
						    : inet_pton(AF_INET6, text, out) == 1;
}

/* Bit by bit. */
static bool
is_trusted(const struct in6_addr *a)
{
	for (size_t i = 0; i < ARRAY_LEN(trusted); i++) {
		struct in6_addr net = address_of(trusted[i].address);
		unsigned bit = 0;

		while (bit < trusted[i].prefix &&
		       ((a->s6_addr[bit / 8] ^ net.s6_addr[bit / 8]) & (0x80 >> bit % 8)) == 0)
			bit++;
		if (bit == trusted[i].prefix)
			return true;
	}
	return false;
}

static void
reference(const struct http_head *head, const struct in6_addr *peer, char out[64])
{
	static struct slice list[ELEMENTS];
	struct in6_addr address = *peer;
	size_t n = 0;

	for (size_t i = 0; i < head->n_headers; i++) {
		struct slice rest = head->headers[i].value;

		while (rest.p != NULL && n < ELEMENTS)
			list[n++] = slice_trim(slice_cut(&rest, ','));
	}
	while (n-- > 0 && is_trusted(&address)) {
		char text[64];

		if (!read_address(list[n], text, &address))
			break;
		memcpy(out, text, strlen(text) + 1);
	}
}

static void
configure(struct config *c, struct config_network networks[ARRAY_LEN(trusted)])
{
	*c = (struct config){.trusted_proxies = networks, .n_trusted_proxies = ARRAY_LEN(trusted)};
	for (size_t i = 0; i < ARRAY_LEN(trusted); i++)
		networks[i] =
		    (struct config_network){address_of(trusted[i].address), trusted[i].prefix};
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_head head;
	struct config_network networks[ARRAY_LEN(trusted)];
	struct slice in = slice_of((const char *)data, size);
	unsigned which = take_byte(&in) % (unsigned)ARRAY_LEN(peers);
	struct config config;
	struct net net = {.config = &config};
	struct conn conn = {.net = &net, .address = address_of(peers[which])};
	struct exchange *x;
	char want[64];
	char got[EXCHANGE_PEER];

	if (size > INPUT_MAX || (in.n > 0 && memchr(in.p, '\0', in.n) != NULL)) /* in no header */
		return 0;
	configure(&config, networks);
	head = (struct http_head){.method = HTTP_GET, .minor = 1};
	while (in.p != NULL && head.n_headers < LINES)
		http_head_add(&head, SLICE("x-forwarded-for"), slice_trim(take_line(&in)));
	(void)conn_peer(&conn, want);
	reference(&head, &conn.address, want);
	x = exchange_new(&conn, &head);
	NEED(x != NULL && strcmp(exchange_peer(x, got), want) == 0);
	exchange_release(x);
	return 0;
}
