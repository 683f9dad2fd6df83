#include "serve/lifetime.h"

#include <stdio.h>

#include "base/rng.h"
#include "core/config.h"

#define EXPIRING_BEFORE 30 /* seconds before the end that `expiring` is said */

void
lifetime_init(struct lifetime *l, const struct hub *h, uint64_t every_ms)
{
	uint64_t first_ms = 1000 + rng_below((uint32_t)min_u64(max_u64(every_ms, 1), UINT32_MAX));

	*l = (struct lifetime){.beat_s = (uint32_t)((h->mono_us / 1000 + first_ms) / 1000)};
}

void
lifetime_renew(struct lifetime *l)
{
	l->said_expiring = false;
}

bool
lifetime_beat(struct lifetime *l, const struct hub *h, uint64_t every_ms)
{
	uint64_t now_ms = h->mono_us / 1000;

	if (now_ms / 1000 < l->beat_s)
		return false;
	l->beat_s = (uint32_t)((now_ms + max_u64(1000, every_ms)) / 1000);
	return true;
}

/* Unix second at which the connection ends with its token; 0: never. */
static int64_t
end_of(const struct hub *h, const struct claims *claims)
{
	if (claims->exp == 0)
		return 0;
	return claims->exp + (int64_t)(h->config->auth.leeway_ms / 1000);
}

enum lifetime_state
lifetime_check(struct lifetime *l, const struct hub *h, const struct claims *claims, int64_t *in_s)
{
	int64_t end = end_of(h, claims);

	if (end == 0)
		return LIFETIME_GOES_ON;
	*in_s = h->now_ms >= end * 1000 ? 0 : (end * 1000 - h->now_ms + 999) / 1000;
	if (*in_s == 0 && l->said_expiring)
		return LIFETIME_EXPIRED;
	if (l->said_expiring || *in_s > EXPIRING_BEFORE)
		return LIFETIME_GOES_ON;
	l->said_expiring = true;
	return LIFETIME_EXPIRING;
}

uint64_t
lifetime_deadline(const struct lifetime *l, const struct hub *h, const struct claims *claims)
{
	uint64_t at_ms = (uint64_t)l->beat_s * 1000;
	int64_t end = end_of(h, claims);

	if (end != 0) {
		int64_t next = l->said_expiring ? end : end - EXPIRING_BEFORE;
		int64_t in_ms = next * 1000 - h->now_ms;

		at_ms = min_u64(at_ms, h->mono_us / 1000 + (uint64_t)(in_ms > 0 ? in_ms : 0));
	}
	return at_ms;
}

struct slice
lifetime_expiring(int64_t in_s, char out[LIFETIME_JSON])
{
	int n =
	    snprintf(out, LIFETIME_JSON, "{\"type\":\"expiring\",\"in\":%lld}", (long long)in_s);

	return slice_of(out, (size_t)n);
}

struct slice
lifetime_closing(uint64_t retry_ms, char out[LIFETIME_JSON])
{
	int n = snprintf(out, LIFETIME_JSON,
	    "{\"type\":\"closing\",\"reason\":\"shutdown\",\"retry\":%llu}",
	    (unsigned long long)retry_ms);

	return slice_of(out, (size_t)n);
}
