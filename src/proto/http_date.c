/*
 * Dates of HTTP (RFC 9110 5.6.7) and of JSON (RFC 3339), computed on the proleptic Gregorian
 * calendar without the C library's time zone.
 */
#include <stdio.h>

#include "proto/http.h"

#define DAY_SECONDS 86400

static const char day_names[] = "Sun\0Mon\0Tue\0Wed\0Thu\0Fri\0Sat";
static const char *const long_day_names[] = {
    "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
static const char month_names[] = "Jan\0Feb\0Mar\0Apr\0May\0Jun\0Jul\0Aug\0Sep\0Oct\0Nov\0Dec";

struct civil {
	int64_t year;
	int month; /* 1 .. 12 */
	int day;   /* 1 .. 31 */
	int hour;
	int minute;
	int second; /* 0 .. 60 */
};

/*
 * Days from 1970-01-01 to that day. Years are counted from March, so that the leap day is the
 * last of its year.
 */
static int64_t
days_of(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* The day that is so many days after 1970-01-01. */
static void
civil_of(int64_t days, struct civil *out)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t day = z - era * 146097;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t of_year = day - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * of_year + 2) / 153;

	out->day = (int)(of_year - (153 * month + 2) / 5 + 1);
	out->month = (int)(month < 10 ? month + 3 : month - 9);
	out->year = year + era * 400 + (out->month <= 2 ? 1 : 0);
}

static bool
is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* 0 and the seconds since 1970, or -1 when there is no such day or time. */
static int
seconds_of(const struct civil *c, int64_t *out)
{
	static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int max_day;

	if (c->month < 1 || c->month > 12)
		return -1;
	max_day = month_days[c->month - 1] + (c->month == 2 && is_leap(c->year) ? 1 : 0);
	if (c->day < 1 || c->day > max_day || c->hour > 23 || c->minute > 59 || c->second > 60)
		return -1;
	*out = days_of(c->year, c->month, c->day) * DAY_SECONDS + c->hour * 3600 + c->minute * 60 +
	       c->second;
	return 0;
}

const char *
http_date_format(int64_t unix_s, char out[HTTP_DATE_SIZE])
{
	struct civil c = {0};
	int64_t days = unix_s / DAY_SECONDS;
	int64_t rest = unix_s % DAY_SECONDS;
	unsigned weekday;

	if (rest < 0) {
		days--;
		rest += DAY_SECONDS;
	}
	civil_of(days, &c);
	if (c.year < 0 || c.year > 9999) /* the form has four digits */
		return http_date_format(c.year < 0 ? -62167219200 : 253402300799, out);
	weekday = (unsigned)(((days + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
	(void)snprintf(out, HTTP_DATE_SIZE, "%s, %02d %s %04d %02d:%02d:%02d GMT",
	    &day_names[(size_t)weekday * 4], c.day, &month_names[(size_t)(c.month - 1) * 4],
	    (int)c.year, (int)(rest / 3600), (int)(rest / 60 % 60),
	    (int)(rest % 60)); /* has its fixed length */
	return out;
}

/* --- reading: each part takes its bytes off the front of *s and returns 0, or -1 --- */

static int
take_literal(struct slice *s, const char *text)
{
	struct slice want = slice_str(text);

	if (!slice_has_prefix(*s, want))
		return -1;
	*s = slice_skip(*s, want.n);
	return 0;
}

static int
take_digits(struct slice *s, size_t n, int *out)
{
	uint64_t v;

	if (s->n < n || slice_to_u64(slice_of(s->p, n), &v) < 0)
		return -1;
	*out = (int)v;
	*s = slice_skip(*s, n);
	return 0;
}

/* hh:mm:ss */
static int
take_time(struct slice *s, struct civil *c)
{
	if (take_digits(s, 2, &c->hour) < 0 || take_literal(s, ":") < 0 ||
	    take_digits(s, 2, &c->minute) < 0 || take_literal(s, ":") < 0)
		return -1;
	return take_digits(s, 2, &c->second);
}

/* One of n three-letter names, each four bytes apart. */
static int
take_name(struct slice *s, const char *names, int n, int *out)
{
	for (int i = 0; i < n; i++) {
		if (take_literal(s, names + (size_t)i * 4) == 0) {
			*out = i;
			return 0;
		}
	}
	return -1;
}

static int
take_month(struct slice *s, struct civil *c)
{
	if (take_name(s, month_names, 12, &c->month) < 0)
		return -1;
	c->month++;
	return 0;
}

static int
take_year(struct slice *s, struct civil *c)
{
	int year;

	if (take_digits(s, 4, &year) < 0)
		return -1;
	c->year = year;
	return 0;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static int
parse_imf_fixdate(struct slice s, struct civil *c)
{
	int weekday;

	if (take_name(&s, day_names, 7, &weekday) < 0 || take_literal(&s, ", ") < 0 ||
	    take_digits(&s, 2, &c->day) < 0 || take_literal(&s, " ") < 0 || take_month(&s, c) < 0 ||
	    take_literal(&s, " ") < 0 || take_year(&s, c) < 0 || take_literal(&s, " ") < 0 ||
	    take_time(&s, c) < 0 || take_literal(&s, " GMT") < 0)
		return -1;
	return s.n == 0 ? 0 : -1;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT" */
static int
parse_rfc850(struct slice s, struct civil *c)
{
	int year;

	for (size_t i = 0; i < ARRAY_LEN(long_day_names); i++) {
		if (take_literal(&s, long_day_names[i]) == 0)
			break;
	}
	if (take_literal(&s, ", ") < 0 || take_digits(&s, 2, &c->day) < 0 ||
	    take_literal(&s, "-") < 0 || take_month(&s, c) < 0 || take_literal(&s, "-") < 0 ||
	    take_digits(&s, 2, &year) < 0 || take_literal(&s, " ") < 0 || take_time(&s, c) < 0 ||
	    take_literal(&s, " GMT") < 0)
		return -1;
	/* no clock here for the sliding window of 5.6.7; nothing on the web is older than this */
	c->year = year + (year < 70 ? 2000 : 1900);
	return s.n == 0 ? 0 : -1;
}

/* "Sun Nov  6 08:49:37 1994" */
static int
parse_asctime(struct slice s, struct civil *c)
{
	int weekday;
	int r;

	if (take_name(&s, day_names, 7, &weekday) < 0 || take_literal(&s, " ") < 0 ||
	    take_month(&s, c) < 0 || take_literal(&s, " ") < 0)
		return -1;
	r = take_literal(&s, " ") == 0 ? take_digits(&s, 1, &c->day) : take_digits(&s, 2, &c->day);
	if (r < 0 || take_literal(&s, " ") < 0 || take_time(&s, c) < 0 ||
	    take_literal(&s, " ") < 0 || take_year(&s, c) < 0)
		return -1;
	return s.n == 0 ? 0 : -1;
}

int
http_date_parse(struct slice s, int64_t *unix_s)
{
	struct civil c = {0};

	if (parse_imf_fixdate(s, &c) < 0 && parse_rfc850(s, &c) < 0 && parse_asctime(s, &c) < 0)
		return -1;
	return seconds_of(&c, unix_s);
}

/* [ "." 1*DIGIT ]: microseconds; further digits are cut off. */
static int
take_fraction(struct slice *s, int64_t *us)
{
	int64_t unit = 100000;

	*us = 0;
	if (take_literal(s, ".") < 0)
		return 0;
	if (s->n == 0 || s->p[0] < '0' || s->p[0] > '9')
		return -1;
	while (s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9') {
		*us += (s->p[0] - '0') * unit;
		unit /= 10;
		*s = slice_skip(*s, 1);
	}
	return 0;
}

/* "Z" or +hh:mm or -hh:mm: seconds east of Greenwich. */
static int
take_offset(struct slice *s, int64_t *offset_s)
{
	int sign = 1;
	int hours;
	int minutes;

	*offset_s = 0;
	if (take_literal(s, "Z") == 0 || take_literal(s, "z") == 0)
		return 0;
	if (take_literal(s, "-") == 0)
		sign = -1;
	else if (take_literal(s, "+") < 0 && take_literal(s, " ") < 0) /* as a query has it */
		return -1;
	if (take_digits(s, 2, &hours) < 0 || take_literal(s, ":") < 0 ||
	    take_digits(s, 2, &minutes) < 0 || hours > 23 || minutes > 59)
		return -1;
	*offset_s = (int64_t)sign * (hours * 3600 + minutes * 60);
	return 0;
}

int
rfc3339_parse(struct slice s, int64_t *unix_us)
{
	struct civil c = {0};
	int64_t seconds;
	int64_t offset_s;
	int64_t us;

	if (take_year(&s, &c) < 0 || take_literal(&s, "-") < 0 ||
	    take_digits(&s, 2, &c.month) < 0 || take_literal(&s, "-") < 0 ||
	    take_digits(&s, 2, &c.day) < 0)
		return -1;
	/* 5.6: lower case is allowed, and a space for people's sake */
	if (take_literal(&s, "T") < 0 && take_literal(&s, "t") < 0 && take_literal(&s, " ") < 0)
		return -1;
	if (take_time(&s, &c) < 0 || take_fraction(&s, &us) < 0 || take_offset(&s, &offset_s) < 0)
		return -1;
	if (s.n > 0 || seconds_of(&c, &seconds) < 0)
		return -1;
	*unix_us = (seconds - offset_s) * 1000000 + us;
	return 0;
}
