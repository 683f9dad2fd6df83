#include "core/position.h"

#include "proto/http.h"

int
duration_parse(struct slice s, uint64_t *out_ms)
{
	static const struct {
		char unit;
		uint64_t ms;
	} units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
	uint64_t n;

	if (s.n < 2 || s.n > 12 || slice_to_u64(slice_of(s.p, s.n - 1), &n) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (s.p[s.n - 1] != units[i].unit)
			continue;
		if (n > (uint64_t)INT64_MAX / 4 / units[i].ms)
			return -1;
		*out_ms = n * units[i].ms;
		return 0;
	}
	return -1;
}

struct position
position_parse(struct slice s, int64_t now_ms)
{
	struct position p = {.kind = POSITION_BAD};
	uint64_t ms;
	int64_t us;

	if (slice_eq(s, SLICE("all"))) {
		p.kind = POSITION_ALL;
	} else if (slice_to_u64(s, &p.id) == 0) {
		p.kind = POSITION_ID;
	} else if (duration_parse(s, &ms) == 0) {
		p.kind = POSITION_TIME;
		p.time_ms = now_ms - (int64_t)ms;
	} else if (rfc3339_parse(s, &us) == 0) {
		p.kind = POSITION_TIME;
		p.time_ms = us / 1000;
	}
	return p;
}
