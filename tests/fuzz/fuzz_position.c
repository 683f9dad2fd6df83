/*
 * Positions as text: against regular expressions and the C library's calendar. The
 * same text as a query parameter means the same.
 */
#include <errno.h>
#include <regex.h>
#include <time.h>

#include "core/position.h"
#include "proto/url.h"
#include "tests/fuzz/support.h"

#define NOW_MS   INT64_C(1700000000000)
#define TEXT_MAX 200

#define DIGITS   "^[0-9]+$"
#define DURATION "^([0-9]{1,11})([smhd])$"
#define TIMESTAMP                                                                                  \
	"^([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(\\.[0-9]+)?"       \
	"([Zz]|[+ -][0-9]{2}:[0-9]{2})$"

enum form {
	FORM_DIGITS,
	FORM_DURATION,
	FORM_TIMESTAMP,
	FORM_COUNT
};

static bool
finds(enum form form, const char *text, regmatch_t *groups, size_t n_groups)
{
	static const char *const expressions[] = {DIGITS, DURATION, TIMESTAMP};
	static regex_t compiled[FORM_COUNT];
	static bool is_compiled;

	for (size_t i = 0; i < FORM_COUNT && !is_compiled; i++)
		NEED(regcomp(&compiled[i], expressions[i], REG_EXTENDED) == 0);
	is_compiled = true;
	return regexec(&compiled[form], text, n_groups, groups, 0) == 0;
}

static int
number_at(const char *text, regmatch_t group)
{
	char digits[8] = {0};

	memcpy(digits, text + group.rm_so, (size_t)(group.rm_eo - group.rm_so) % sizeof(digits));
	return atoi(digits);
}

/* The time of an RFC 3339 text in milliseconds, as the C library counts. False: no such time. */
static bool
reference_time(const char *text, int64_t *out_ms)
{
	regmatch_t g[9];
	struct tm tm = {0};
	struct tm again;
	time_t seconds;
	int us = 0;
	int second;

	if (!finds(FORM_TIMESTAMP, text, g, ARRAY_LEN(g)))
		return false;
	second = number_at(text, g[6]);
	tm.tm_year = number_at(text, g[1]) - 1900;
	tm.tm_mon = number_at(text, g[2]) - 1;
	tm.tm_mday = number_at(text, g[3]);
	tm.tm_hour = number_at(text, g[4]);
	tm.tm_min = number_at(text, g[5]);
	if (tm.tm_hour > 23 || tm.tm_min > 59 || second > 60 || tm.tm_mon < 0 || tm.tm_mon > 11)
		return false;
	again = tm;
	seconds = timegm(&again);
	if (again.tm_mday != tm.tm_mday || again.tm_mon != tm.tm_mon)
		return false; /* there is no such day */
	seconds += second;
	if (g[7].rm_so >= 0) {
		char digits[7] = "000000";

		for (size_t i = 0; i < 6 && g[7].rm_so + 1 + (int)i < g[7].rm_eo; i++)
			digits[i] = text[g[7].rm_so + 1 + (int)i];
		us = atoi(digits);
	}
	if (g[8].rm_eo - g[8].rm_so > 1) {
		const char *offset = text + g[8].rm_so;
		int hours = (offset[1] - '0') * 10 + offset[2] - '0';
		int minutes = (offset[4] - '0') * 10 + offset[5] - '0';

		if (hours > 23 || minutes > 59)
			return false;
		seconds -= (offset[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
	}
	*out_ms = ((int64_t)seconds * 1000000 + us) / 1000;
	return true;
}

static struct position
reference(const char *text)
{
	struct position p = {.kind = POSITION_BAD};
	regmatch_t g[3];

	if (strcmp(text, "all") == 0) {
		p.kind = POSITION_ALL;
	} else if (finds(FORM_DIGITS, text, g, 1)) {
		errno = 0;
		p.id = strtoull(text, NULL, 10);
		p.kind = errno == 0 ? POSITION_ID : POSITION_BAD;
	} else if (finds(FORM_DURATION, text, g, ARRAY_LEN(g))) {
		static const char units[] = "smhd";
		static const int64_t ms[] = {1000, 60000, 3600000, 86400000};
		size_t unit = (size_t)(strchr(units, text[g[2].rm_so]) - units);
		int64_t back_ms = (int64_t)strtoll(text, NULL, 10) * ms[unit]; /* it fits */

		/* 73 million years */
		p.kind = back_ms > INT64_MAX / 4 ? POSITION_BAD : POSITION_TIME;
		p.time_ms = NOW_MS - back_ms;
	} else if (reference_time(text, &p.time_ms)) {
		p.kind = POSITION_TIME;
	}
	return p;
}

static void
check_same(struct position a, struct position b)
{
	NEED(a.kind == b.kind);
	NEED(a.kind != POSITION_ID || a.id == b.id);
	NEED(a.kind != POSITION_TIME || a.time_ms == b.time_ms);
}

/* What a browser makes of it in ?after=… is the same position. */
static void
check_query(struct slice s, struct position p)
{
	struct buf query = BUF_INIT(4 * TEXT_MAX + 16);
	struct buf out = BUF_INIT(4 * TEXT_MAX);
	struct slice value;

	NEED(BUF_ADD_LIT(&query, "x=1&after=") == 0 && url_encode(&query, s, "") == 0);
	NEED(url_query_get(buf_slice(&query), "after", &out, &value) == 1);
	NEED(slice_eq(value, s));
	check_same(position_parse(value, NOW_MS), p);
	buf_done(&query);
	buf_done(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice s = slice_of((const char *)data, size);
	char text[TEXT_MAX + 1];
	struct position p;

	if (size > TEXT_MAX)
		return 0;
	p = position_parse(s, NOW_MS);
	check_query(s, p);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	if (strlen(text) != size) /* a NUL byte is in no position */
		NEED(p.kind == POSITION_BAD);
	else
		check_same(p, reference(text));
	return 0;
}
