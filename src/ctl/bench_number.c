#include "ctl/bench.h"

/* Messages that carry a number, so that every one of them can be accounted for. */

static const char marker[] = "\"content\":\"#";

/*
 * Text that compresses as text does, to a third: words of a small language, some of them more
 * frequent than others.
 */
static void
add_words(struct buf *to, size_t n)
{
	static const char syllables[16][3] = {"ba", "ne", "ro", "ti", "lu", "ka", "so", "me", "di",
	    "gu", "pa", "el", "or", "an", "is", "ut"};
	uint64_t dice = 1;
	size_t end = to->n + n;

	while (to->n < end && !to->failed) {
		uint64_t word = (bench_random(&dice) % 64) * (bench_random(&dice) % 64) / 16;

		for (uint64_t i = 0; i < 2 + word % 2 && to->n + 2 < end; i++)
			(void)buf_add_str(to, syllables[word >> (4 * i) & 15]);
		(void)buf_add_char(to, ' ');
	}
}

int
bench_numbered_init(struct bench_numbered *m, const char *members, uint64_t size)
{
	m->json = BUF_INIT((size_t)2 * BENCH_MAX_SIZE);
	(void)buf_printf(&m->json, "{\"type\":\"chat\",%s%s#", members, "\"content\":\"");
	m->number_at = m->json.n;
	for (size_t i = 0; i < BENCH_DIGITS; i++)
		(void)buf_add_char(&m->json, '0');
	add_words(&m->json, (size_t)max_u64(size, BENCH_DIGITS + 1) - BENCH_DIGITS - 1);
	return BUF_ADD_LIT(&m->json, "\"}") < 0 ? ctl_no_memory() : 0;
}

void
bench_put_digits(char *at, uint64_t number)
{
	for (size_t i = BENCH_DIGITS; i-- > 0; number /= 10)
		at[i] = (char)('0' + number % 10);
}

uint64_t
bench_get_digits(const char *at)
{
	uint64_t number = 0;

	for (size_t i = 0; i < BENCH_DIGITS; i++)
		number = number * 10 + (uint64_t)(at[i] - '0');
	return number;
}

struct slice
bench_numbered(struct bench_numbered *m, uint64_t number)
{
	bench_put_digits(m->json.p + m->number_at, number);
	return buf_slice(&m->json);
}

bool
bench_number_of(size_t *hint, struct slice m, uint64_t *number)
{
	const size_t n = sizeof(marker) - 1;
	const char *at = m.p + *hint;

	if (*hint + n + BENCH_DIGITS > m.n || memcmp(at, marker, n) != 0) {
		at = memmem(m.p, m.n, marker, n);
		if (at == NULL || (size_t)(at - m.p) + n + BENCH_DIGITS > m.n)
			return false;
		*hint = (size_t)(at - m.p);
	}
	*number = bench_get_digits(at + n);
	return true;
}

uint64_t
bench_member(struct slice m, const char *name)
{
	size_t n = strlen(name);
	const char *at = memmem(m.p, m.n, name, n);
	uint64_t value = 0;

	if (at == NULL)
		return 0;
	for (at += n; at < m.p + m.n && *at >= '0' && *at <= '9'; at++)
		value = value * 10 + (uint64_t)(*at - '0');
	return value;
}

void
bench_count(struct bench_conn *c, uint64_t number, uint64_t step)
{
	c->received++;
	if (number == c->expected) {
		c->expected += step;
	} else if (number > c->expected) {
		c->skipped += (number - c->expected) / step;
		c->expected = number + step;
	} else if (c->filled < c->skipped) {
		c->filled++;
	} else {
		c->repeated++;
	}
}

void
bench_faults_add(struct bench_faults *f, const struct bench_conn *c, uint64_t sent)
{
	uint64_t missing = sent - (c->received - c->repeated);

	f->repeated += c->repeated;
	f->disordered += c->filled;
	if (c->gaps > 0)
		f->told += missing;
	else
		f->lost += missing;
}

int
bench_report_faults(struct bench_report *r, const struct bench_faults *f)
{
	bench_report_add(r, "lost", "lost", "", (double)f->lost, 0);
	bench_report_add(r, "told", "missing, told by a gap", "", (double)f->told, 0);
	bench_report_add(r, "repeated", "repeated", "", (double)f->repeated, 0);
	bench_report_add(r, "disordered", "out of order", "", (double)f->disordered, 0);
	bench_report_add(r, "unacknowledged", "without an ack", "", (double)f->unacknowledged, 0);
	return f->lost + f->repeated + f->disordered + f->unacknowledged > 0 ? EX_SOFTWARE : 0;
}

uint64_t
bench_random(uint64_t *dice)
{
	uint64_t z = *dice += 0x9e3779b97f4a7c15u; /* splitmix64: from one seed the same run */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}
