#include "serve/admission.h"

#include <errno.h>

#include "base/rng.h"
#include "core/config.h"
#include "core/limiter.h"
#include "core/slow.h"
#include "net/conn.h"

#define PUBLISHERS_MAX 65536 /* users whose rate is remembered */

int
gate_init(struct gate *g)
{
	*g = (struct gate){
	    tally_new(), tally_new(), limiter_new(1), limiter_new(PUBLISHERS_MAX), slow_new()};
	return g->addresses == NULL || g->users == NULL || g->upgrades == NULL ||
		       g->publishes == NULL || g->slow == NULL
		   ? -ENOMEM
		   : 0;
}

void
gate_done(struct gate *g)
{
	tally_free(g->addresses);
	tally_free(g->users);
	limiter_free(g->upgrades);
	limiter_free(g->publishes);
	slow_free(g->slow);
}

/* Retry hints are spread, or all who were refused come back at once. */
static uint32_t
soon(void)
{
	return 2 + rng_below(8);
}

static int
count_in(struct tally *t, struct slice key, uint32_t max, const char *limit, const char *whose,
    struct tally_entry **out, struct refusal *why)
{
	int r = max == 0 ? 0 : tally_add(t, key, max, out);

	if (r == -EBUSY)
		return refuse_limit(why, ERROR_TOO_MANY, limit, soon(),
		    "this %s has %u connections, as many as %s allows", whose, max, limit);
	if (r < 0)
		return refuse_memory(why);
	return 0;
}

int
admission_room(const struct exchange *x, struct refusal *why)
{
	if (conn_is_extra(x->conn))
		return refuse_limit(why, ERROR_UNAVAILABLE, "limits.connections", soon(),
		    "the server has %u connections, as many as limits.connections allows",
		    serve_of(x)->config->limits.connections);
	if (net_is_full(x->net))
		return refuse_limit(why, ERROR_UNAVAILABLE, "limits.memory", soon(),
		    "the daemon's memory for queues and bodies is used up");
	return 0;
}

int
admission_begin(
    struct exchange *x, const struct claims *claims, struct admission *out, struct refusal *why)
{
	struct serve *s = serve_of(x);
	const struct config_limits *limits = &s->config->limits;
	struct rate rate = {limits->upgrades_per_second, 1000, limits->upgrades_per_second};
	uint64_t wait_ms =
	    limits->upgrades_per_second == 0
		? 0
		: limiter_take(s->gate->upgrades, SLICE("all"), rate, 1, x->net->now_ms);
	char key[LIMITER_KEY_MAX];
	char peer[EXCHANGE_PEER];

	*out = (struct admission){0};
	if (admission_room(x, why) < 0)
		return -1;
	if (wait_ms > 0)
		return refuse_limit(why, ERROR_RATE_LIMITED, "limits.upgrades_per_second",
		    limiter_retry_s(wait_ms) + rng_below(3),
		    "more than %u new connections a second", limits->upgrades_per_second);
	if (count_in(s->gate->addresses, limiter_address_key(exchange_peer(x, peer), key),
		limits->connections_per_address, "limits.connections_per_address", "address",
		&out->address, why) < 0)
		return -1;
	if (count_in(s->gate->users, slice_str(claims->user_id), limits->connections_per_user,
		"limits.connections_per_user", "user", &out->user, why) < 0) {
		admission_end(s, out);
		return -1;
	}
	return 0;
}

void
admission_end(struct serve *s, struct admission *a)
{
	tally_remove(s->gate->addresses, a->address);
	tally_remove(s->gate->users, a->user);
	*a = (struct admission){0};
}
