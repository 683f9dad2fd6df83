#include "daemon/config_value.h"

#include <arpa/inet.h>
#include <stdio.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
static const struct unit size_units[] = {
    {"K", 1ull << 10}, {"M", 1ull << 20}, {"G", 1ull << 30}, {"T", 1ull << 40}};

/* Digits and one of the units; digits alone are multiples of `plain`. */
static int
parse_units(struct slice s, const struct unit *units, size_t n_units, uint64_t plain, uint64_t *out)
{
	size_t digits = 0;
	uint64_t factor = 0;
	uint64_t value;
	struct slice unit;

	while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
		digits++;
	if (digits == 0 || slice_to_u64(slice_of(s.p, digits), &value) < 0)
		return -1;
	unit = slice_skip(s, digits);
	if (unit.n == 0)
		factor = plain;
	for (size_t i = 0; i < n_units; i++)
		if (slice_eq(unit, slice_str(units[i].name)))
			factor = units[i].factor;
	if (factor == 0 || __builtin_mul_overflow(value, factor, &value))
		return -1;
	*out = value;
	return 0;
}

int
config_value_duration(struct slice s, uint64_t *out_ms)
{
	return parse_units(s, duration_units, ARRAY_LEN(duration_units), 1000, out_ms);
}

int
config_value_size(struct slice s, uint64_t *out_bytes)
{
	return parse_units(s, size_units, ARRAY_LEN(size_units), 1, out_bytes);
}

int
config_value_mode(struct slice s, unsigned *out)
{
	unsigned mode = 0;

	if (s.n == 0 || s.n > 4)
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '7')
			return -1;
		mode = mode << 3 | (unsigned)(s.p[i] - '0');
	}
	if (mode > 0777)
		return -1;
	*out = mode;
	return 0;
}

static void
clear_behind(struct in6_addr *address, unsigned prefix)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned kept = prefix <= 8 * i ? 0 : prefix - 8 * i;

		if (kept < 8)
			address->s6_addr[i] &= (uint8_t)(0xff00u >> kept);
	}
}

int
config_value_network(const char *s, struct config_network *out)
{
	struct slice bits = slice_str(s);
	struct slice head = slice_cut(&bits, '/');
	struct config_network net = {.prefix = 128};
	struct in_addr v4;
	char address[INET6_ADDRSTRLEN];
	uint64_t longest = 128;
	uint64_t prefix;

	if (head.n >= sizeof(address))
		return -1;
	memcpy(address, head.p, head.n);
	address[head.n] = '\0';
	if (inet_pton(AF_INET, address, &v4) == 1) {
		longest = 32;
		net.address.s6_addr[10] = net.address.s6_addr[11] = 0xff;
		memcpy(&net.address.s6_addr[12], &v4, sizeof(v4));
	} else if (inet_pton(AF_INET6, address, &net.address) != 1) {
		return -1;
	}
	if (bits.p != NULL) {
		if (slice_to_u64(bits, &prefix) < 0 || prefix > longest)
			return -1;
		net.prefix = (unsigned)(prefix + 128 - longest);
	}
	clear_behind(&net.address, net.prefix);
	*out = net;
	return 0;
}

static const char *
show_units(uint64_t v, const struct unit *units, size_t n_units, char out[CONFIG_VALUE_TEXT])
{
	(void)snprintf(out, CONFIG_VALUE_TEXT, "%llu", (unsigned long long)v);
	for (size_t i = 0; i < n_units && v != 0; i++)
		if (v % units[i].factor == 0)
			(void)snprintf(out, CONFIG_VALUE_TEXT, "%llu%s",
			    (unsigned long long)(v / units[i].factor), units[i].name);
	return out;
}

const char *
config_value_show_duration(uint64_t ms, char out[CONFIG_VALUE_TEXT])
{
	return show_units(ms, duration_units, ARRAY_LEN(duration_units), out);
}

const char *
config_value_show_size(uint64_t bytes, char out[CONFIG_VALUE_TEXT])
{
	return show_units(bytes, size_units, ARRAY_LEN(size_units), out);
}
