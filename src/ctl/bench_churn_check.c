#include "ctl/bench_churn.h"

#include <stdlib.h>

#include "base/mem.h"

static int
compare(const void *a, const void *b)
{
	const struct churn_id *x = a;
	const struct churn_id *y = b;

	if (x->room != y->room)
		return x->room < y->room ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* All messages by room and id; NULL: no memory. */
static struct churn_id *
sorted(const struct churn *k)
{
	struct churn_id *ids = mem_calloc(k->n_sent + 1, sizeof(*ids));

	if (ids == NULL)
		return NULL;
	for (uint64_t i = 0; i < k->n_sent; i++)
		ids[i] = (struct churn_id){k->places[k->sent[i].place].room, k->sent[i].id};
	qsort(ids, k->n_sent, sizeof(*ids), compare);
	return ids;
}

/* How many of them are smaller than this, or the same. */
static uint64_t
rank(const struct churn_id *ids, uint64_t n, struct churn_id what)
{
	uint64_t low = 0;

	while (low < n) {
		uint64_t middle = low + (n - low) / 2;

		if (compare(&ids[middle], &what) <= 0)
			low = middle + 1;
		else
			n = middle;
	}
	return low;
}

static void
count_own(const struct bench *b, struct churn *k)
{
	for (size_t i = 0; i < b->n_conns * CHURN_PLACES; i++)
		k->places[i].own = 0;
	for (uint64_t i = 0; i < k->n_sent; i++) {
		struct churn_place *p = &k->places[k->sent[i].place];

		p->own += k->sent[i].id > p->start;
	}
}

/* What is missing and what is too much, over all places. false: no memory. */
static bool
count(const struct bench *b, struct churn *k, uint64_t *missing, uint64_t *surplus)
{
	struct churn_id *ids = sorted(k);

	*missing = *surplus = 0;
	if (ids == NULL)
		return false;
	count_own(b, k);
	for (size_t i = 0; i < b->n_conns * CHURN_PLACES; i++) {
		const struct churn_place *p = &k->places[i];
		uint64_t wanted;

		if (p->start == 0)
			continue;
		wanted = rank(ids, k->n_sent, (struct churn_id){p->room, UINT64_MAX}) -
			 rank(ids, k->n_sent, (struct churn_id){p->room, p->start}) - p->own;
		if (p->received < wanted)
			*missing += wanted - p->received;
		else
			*surplus += p->received - wanted;
	}
	mem_free(ids);
	return true;
}

bool
churn_is_over(const struct bench *b, struct churn *k)
{
	uint64_t missing;
	uint64_t surplus;

	if (b->n_open < b->n_conns || k->acks < k->n_sent)
		return false;
	for (size_t i = 0; i < b->n_conns * CHURN_PLACES; i++) {
		if (k->places[i].state != CHURN_IN)
			return false;
	}
	return count(b, k, &missing, &surplus) && missing == 0;
}

int
churn_report(struct bench *b, struct churn *k)
{
	struct bench_report *r = &b->report;
	uint64_t missing;
	uint64_t surplus;
	int code;

	if (!count(b, k, &missing, &surplus))
		return ctl_no_memory();
	k->faults.lost = missing;
	k->faults.repeated += surplus;
	k->faults.unacknowledged = k->n_sent - k->acks;
	bench_report_add(r, "connections", "connections", "", (double)b->n_conns, 0);
	bench_report_add(r, "rooms", "rooms", "", (double)b->o.rooms, 0);
	bench_report_add(r, "messages", "messages", "", (double)k->n_sent, 0);
	bench_report_add(r, "messages_per_s", "… a second", "", (double)k->n_sent / k->seconds, 0);
	bench_report_add(r, "deliveries", "deliveries", "", (double)k->deliveries, 0);
	bench_report_add(r, "replayed", "… of them replayed", "", (double)k->replayed, 0);
	bench_report_add(r, "joins", "joins", "", (double)k->joins, 0);
	bench_report_add(r, "leaves", "leaves", "", (double)k->leaves, 0);
	bench_report_add(r, "reconnects", "reconnects", "", (double)k->cuts, 0);
	if (b->o.has_restarts)
		bench_report_add(r, "losses", "connections that the daemon ended, or did not take",
		    "", (double)k->losses, 0);
	bench_report_add(
	    r, "duplicates", "said twice, known as such", "", (double)k->duplicates, 0);
	bench_report_times(r, &b->times);
	bench_series_report(r, &k->memory);
	code = bench_report_faults(r, &k->faults);
	bench_report_add(r, "wrong", "wrong answers", "", (double)k->wrong, 0);
	return k->wrong > 0 ? EX_SOFTWARE : code;
}
