#include "net/net.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "net/conn_private.h"
#include "proto/ws_deflate.h"

int
net_init(struct net *n, struct event_base *base, unsigned worker, struct config *config,
    struct counters *counters)
{
	*n = (struct net){.base = base, .n_workers = 1, .counters = counters};
	TAILQ_INIT(&n->conns);
	STAILQ_INIT(&n->dirty);
	TAILQ_INIT(&n->dead);
	n->next_number = (uint64_t)(worker + 1) << 48 | 1;
	n->read_buffer = mem_alloc(NET_READ_BUFFER);
	n->head = mem_alloc(sizeof(*n->head));
	n->inflater = ws_inflater_new();
	n->deflater = ws_deflater_new();
	net_clock(n);
	wheel_init(&n->wheel, n->now_ms);
	if (n->read_buffer == NULL || n->head == NULL || n->inflater == NULL ||
	    n->deflater == NULL) {
		net_done(n);
		return -ENOMEM;
	}
	net_set_config(n, config);
	return 0;
}

/* Those that still stand in the queue of dirty ones wait until they are taken from it. */
static void
free_dead(struct net *n)
{
	struct conn *c;
	struct conn *next;

	TAILQ_FOREACH_SAFE (c, &n->dead, all, next) {
		if (c->is_dirty)
			continue;
		TAILQ_REMOVE(&n->dead, c, all);
		conn_free(c);
	}
}

static struct conn *
take_dirty(struct net *n)
{
	struct conn *c = STAILQ_FIRST(&n->dirty);

	if (c == NULL)
		return NULL;
	STAILQ_REMOVE_HEAD(&n->dirty, dirty);
	c->is_dirty = false;
	return c;
}

void
net_done(struct net *n)
{
	struct conn *c;

	while ((c = TAILQ_FIRST(&n->conns)) != NULL)
		conn_close(c, CLOSE_SHUTDOWN);
	while (take_dirty(n) != NULL) {
	}
	free_dead(n);
	ws_inflater_free(n->inflater);
	ws_deflater_free(n->deflater);
	mem_free(n->head);
	mem_free(n->read_buffer);
	config_unref(n->config);
	n->config = NULL;
}

void
net_set_config(struct net *n, struct config *config)
{
	(void)config_ref(config);
	config_unref(n->config);
	n->config = config;
	n->memory_limit = config->limits.memory;
}

void
net_clock(struct net *n)
{
	n->mono_us = clock_mono_us();
	n->now_ms = n->mono_us / 1000;
	n->now_us = clock_wall_us();
	n->has_clock = true;
	if (n->on_clock != NULL)
		n->on_clock(n);
}

struct slice
net_common_head(struct net *n)
{
	int64_t now_s = (int64_t)(n->now_us / 1000000);
	char date[HTTP_DATE_SIZE];

	if (n->date_s != now_s)
		n->common_n = (size_t)snprintf(n->common, sizeof(n->common),
		    "Date: %s\r\nX-Content-Type-Options: nosniff\r\nX-Request-Id: ",
		    http_date_format(now_s, date));
	n->date_s = now_s;
	return slice_of(n->common, n->common_n);
}

static bool
in_network(const struct in6_addr *address, const struct config_network *network)
{
	unsigned whole = network->prefix / 8;
	unsigned bits = network->prefix % 8;
	uint8_t mask = (uint8_t)(0xff00u >> bits);

	if (memcmp(address, &network->address, whole) != 0)
		return false;
	return bits == 0 ||
	       ((address->s6_addr[whole] ^ network->address.s6_addr[whole]) & mask) == 0;
}

bool
net_is_trusted(const struct net *n, const struct in6_addr *address)
{
	for (size_t i = 0; i < n->config->n_trusted_proxies; i++) {
		if (in_network(address, &n->config->trusted_proxies[i]))
			return true;
	}
	return false;
}

static void
on_due(struct wheel_entry *e, void *ctx)
{
	(void)ctx;
	conn_tick(CONTAINER(e, struct conn, timer));
}

/* The next connection is fetched while the kernel writes this one's bytes. */
static void
prefetch(const struct conn *c)
{
	if (c == NULL)
		return;
	__builtin_prefetch(&c->event.ev_fd);
	__builtin_prefetch(&c->out);
	__builtin_prefetch(&c->ops);
}

bool
net_turn(struct net *n)
{
	struct conn *c;

	wheel_turn(&n->wheel, n->now_ms, on_due, n);
	for (unsigned i = 0; i < NET_FLUSH_SLICE && (c = take_dirty(n)) != NULL; i++) {
		prefetch(STAILQ_FIRST(&n->dirty));
		if (c->state != CONN_DEAD)
			conn_flush(c);
	}
	if (net_is_full(n))
		conn_drop_stalled(n);
	free_dead(n);
	ws_inflater_trim(n->inflater);
	counter_set(n->counters, COUNTER_MEMORY_BYTES, n->memory);
	counter_set(n->counters, COUNTER_QUEUED_BYTES, n->queued);
	n->has_clock = false;
	return !STAILQ_EMPTY(&n->dirty);
}

void
net_say_goodbye(struct conn *c)
{
	uint64_t retry_ms = 100 + rng_below(c->net->drain_spread_ms);
	const struct conn_ops *ops = conn_ops_of(c);

	if (ops != NULL && ops->on_drain_server != NULL)
		ops->on_drain_server(c, c->data, retry_ms);
}

void
net_drain(struct net *n, uint64_t spread_ms)
{
	struct conn *c;
	struct conn *next;

	n->is_draining = true;
	n->drain_spread_ms = (uint32_t)min_u64(max_u64(1, spread_ms), UINT32_MAX);
	TAILQ_FOREACH_SAFE (c, &n->conns, all, next) {
		if (c->state == CONN_HEAD && conn_rest_n(c) == 0)
			conn_finish(c, CLOSE_SHUTDOWN);
		else
			net_say_goodbye(c);
	}
}
