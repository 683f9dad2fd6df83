#include <time.h>

#include "core/log_private.h"
#include "core/topic.h"

/* Walking over all topics. */

#define WALK_STEP 1024  /* topics under one hold of the lock: 0.1 ms */
#define PAUSES    5     /* looks at whether somebody still waits */
#define PAUSE_NS  20000 /* between them */

void
log_pause(struct log *l)
{
	const struct timespec moment = {0, PAUSE_NS};

	log_unlock(l);
	for (unsigned i = 0;
	     i < PAUSES && atomic_load_explicit(&l->n_waiting, memory_order_relaxed) > 0; i++)
		(void)nanosleep(&moment, NULL);
	log_lock(l);
}

void
log_walk_begin(struct log_walk *w, struct log *l)
{
	*w = (struct log_walk){.log = l};
	log_lock(l);
}

static void
pause_walk(struct log_walk *w)
{
	struct log *l = w->log;

	TAILQ_INSERT_AFTER(&l->order, w->last, &w->here, order);
	log_pause(l);
	w->last = TAILQ_PREV(&w->here, topic_list, order); /* NULL: at the beginning */
	TAILQ_REMOVE(&l->order, &w->here, order);
	w->n = 0;
}

struct log_topic *
log_walk_next(struct log_walk *w)
{
	struct log_topic *t;

	if (w->n++ == WALK_STEP)
		pause_walk(w);
	t = w->last == NULL ? TAILQ_FIRST(&w->log->order) : TAILQ_NEXT(w->last, order);
	while (t != NULL && t->name.p == NULL)
		t = TAILQ_NEXT(t, order); /* the place of another walk */
	if (t != NULL)
		w->last = t;
	return t;
}

void
log_walk_end(struct log_walk *w)
{
	log_unlock(w->log);
}

/* False when that is enough. */
static bool
show(const struct log_topic *t, bool (*each)(const struct log_topic_info *t, void *ctx), void *ctx)
{
	struct log_topic_info info = {t->name, t->n_stored, presence_count(t->room), t->last_id};

	return (info.messages == 0 && info.members == 0) || each(&info, ctx);
}

static void
each_topic(struct log *l, bool only_rooms, bool (*each)(const struct log_topic_info *t, void *ctx),
    void *ctx)
{
	const struct log_topic *t;
	struct log_walk walk;

	log_walk_begin(&walk, l);
	while ((t = log_walk_next(&walk)) != NULL) {
		if ((only_rooms && topic_room(t->name).p == NULL) || !show(t, each, ctx))
			break;
	}
	log_walk_end(&walk);
}

void
log_each_topic(struct log *l, bool (*each)(const struct log_topic_info *t, void *ctx), void *ctx)
{
	each_topic(l, false, each, ctx);
}

void
log_each_room(struct log *l, bool (*each)(const struct log_topic_info *t, void *ctx), void *ctx)
{
	each_topic(l, true, each, ctx);
}

bool
log_one_topic(struct log *l, struct slice name,
    bool (*each)(const struct log_topic_info *t, void *ctx), void *ctx)
{
	const struct log_topic *t;
	bool more;

	log_lock(l);
	t = log_topic_find(l, name);
	more = t == NULL || show(t, each, ctx);
	log_unlock(l);
	return more;
}
