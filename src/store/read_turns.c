#include "store/read_turns.h"

void
read_turns_init(struct read_turns *q)
{
	TAILQ_INIT(&q->urgent);
	for (unsigned i = 0; i < READ_LANES; i++)
		TAILQ_INIT(&q->lanes[i]);
	q->lane = 0;
	q->n = 0;
}

void
read_turns_add(struct read_turns *q, struct log_read *r, bool is_urgent)
{
	if (is_urgent)
		TAILQ_INSERT_HEAD(&q->urgent, r, link);
	else
		TAILQ_INSERT_TAIL(&q->lanes[r->user % READ_LANES], r, link);
	q->n++;
}

static struct log_read *
take(struct read_turns *q, struct log_read_list *from)
{
	struct log_read *r = TAILQ_FIRST(from);

	if (r != NULL) {
		TAILQ_REMOVE(from, r, link);
		q->n--;
	}
	return r;
}

struct log_read *
read_turns_next(struct read_turns *q)
{
	struct log_read *r = take(q, &q->urgent);

	for (unsigned i = 0; r == NULL && q->n > 0 && i < READ_LANES; i++) {
		q->lane = (q->lane + 1) % READ_LANES;
		r = take(q, &q->lanes[q->lane]);
	}
	return r;
}
