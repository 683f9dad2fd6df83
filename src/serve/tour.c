#include "serve/tour.h"

#include "core/hub.h"
#include "serve/serve.h"

static void visit(struct serve *there, struct inbox_item *item);

static void
end(struct serve *home, struct inbox_item *item)
{
	struct tour *t = CONTAINER(item, struct tour, item);

	t->end(home, t);
}

/* Post it to where it has to be next; from then on it is no longer ours. */
static void
send_on(const struct serve *here, struct tour *t)
{
	const struct serve_process *process = here->process;
	bool is_over = t->at == process->n_workers;

	t->item.run = is_over ? end : visit;
	process->post(process->ctx, is_over ? t->home : t->at, &t->item);
}

static void
visit(struct serve *there, struct inbox_item *item)
{
	struct tour *t = CONTAINER(item, struct tour, item);

	t->visit(there, t);
	t->at++;
	send_on(there, t);
}

void
tour_start(struct serve *home, struct tour *t)
{
	t->home = home->hub->worker;
	t->at = 0;
	send_on(home, t);
}
