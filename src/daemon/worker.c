#include "daemon/worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/mem.h"
#include "core/config.h"
#include "core/limiter.h"
#include "serve/admission.h"

#define TOKENS_CACHED 20000 /* verified tokens a worker remembers */

struct setup *
setup_ref(struct setup *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void
setup_unref(struct setup *s)
{
	if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	keyring_free(s->keyring);
	config_unref(s->config);
	mem_free(s);
}

static struct worker *
worker_of(struct serve *s)
{
	return CONTAINER(s, struct worker, serve);
}

/* --- the inbox --- */

static void
wake(void *ctx)
{
	struct worker *w = ctx;
	uint64_t one = 1;

	if (!atomic_exchange(&w->is_woken, true) && write(w->wake_fd, &one, sizeof(one)) < 0) {
		/* the counter is full: then it is awake */
	}
}

void
worker_post(struct worker *w, struct inbox_item *item)
{
	(void)pthread_mutex_lock(&w->lock);
	TAILQ_INSERT_TAIL(&w->inbox, item, link);
	(void)pthread_mutex_unlock(&w->lock);
	wake(w);
}

static void
run_inbox(struct worker *w)
{
	struct inbox mine = TAILQ_HEAD_INITIALIZER(mine);
	struct inbox_item *item;

	(void)pthread_mutex_lock(&w->lock);
	TAILQ_CONCAT(&mine, &w->inbox, link);
	(void)pthread_mutex_unlock(&w->lock);
	while ((item = TAILQ_FIRST(&mine)) != NULL) {
		TAILQ_REMOVE(&mine, item, link);
		item->run(&w->serve, item);
	}
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	net_begin(
	    &w->net); /* the wheel turns, and the tail is looked at, at the end of this turn */
}

/* --- what is posted --- */

struct adopt_item {
	struct inbox_item item;
	struct net_accepted accepted;
};

static void
run_adopt(struct serve *s, struct inbox_item *item)
{
	struct adopt_item *a = CONTAINER(item, struct adopt_item, item);

	worker_of(s)->n_adopted++;
	net_adopt(&worker_of(s)->net, &a->accepted);
	mem_free(a);
}

void
worker_adopt(struct worker *w, const struct net_accepted *accepted)
{
	struct adopt_item *a = mem_alloc(sizeof(*a));

	if (a == NULL) {
		(void)close(accepted->fd);
		return;
	}
	a->item.run = run_adopt;
	a->accepted = *accepted;
	atomic_fetch_add(&w->n_conns, 1); /* at once, so that the next choice sees it */
	worker_post(w, &a->item);
}

/* --- orders: kept where they are given, so that nothing has to be allocated for them --- */

static void
use_setup(struct worker *w, struct setup *setup)
{
	setup_unref(w->setup);
	w->setup = setup_ref(setup);
	net_set_config(&w->net, setup->config);
	hub_set_config(&w->hub, setup->config);
	w->serve.config = setup->config;
	w->serve.keyring = setup->keyring;
	token_cache_clear(w->serve.tokens);
}

void
worker_reload(struct worker *w, struct setup *setup)
{
	struct setup *before;

	(void)pthread_mutex_lock(&w->lock);
	before = w->next_setup;
	w->next_setup = setup_ref(setup);
	(void)pthread_mutex_unlock(&w->lock);
	setup_unref(before); /* it was overtaken */
	wake(w);
}

void
worker_drain(struct worker *w, uint64_t spread_ms)
{
	(void)pthread_mutex_lock(&w->lock);
	w->drain_ms = max_u64(spread_ms, 1);
	(void)pthread_mutex_unlock(&w->lock);
	wake(w);
}

static void
run_orders(struct worker *w)
{
	struct setup *setup;
	uint64_t drain_ms;

	(void)pthread_mutex_lock(&w->lock);
	setup = w->next_setup;
	w->next_setup = NULL;
	drain_ms = w->drain_ms;
	w->drain_ms = 0;
	w->is_stopping = w->wants_stop;
	(void)pthread_mutex_unlock(&w->lock);
	if (setup != NULL)
		use_setup(w, setup);
	setup_unref(setup);
	if (drain_ms > 0)
		net_drain(&w->net, drain_ms);
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	uint64_t count;

	(void)what;
	net_begin(&w->net);
	if (read((int)fd, &count, sizeof(count)) < 0) {
		/* nothing was written: the inbox tells */
	}
	/*
	 * Only now, and before the inbox is looked at: a wake-up written in between would be
	 * read away here and keep all later ones from being written.
	 */
	atomic_store(&w->is_woken, false);
	run_inbox(w);
	run_orders(w);
}

/* --- the loop --- */

/* What the other workers leave of limits.memory, looked at once a millisecond at most. */
static void
share_memory(struct worker *w)
{
	size_t limit = w->net.config->limits.memory;
	size_t others = 0;

	if (w->n_all == 1 || w->shared_ms == w->net.now_ms)
		return;
	w->shared_ms = w->net.now_ms;
	for (unsigned i = 0; i < w->n_all; i++) {
		if (i != w->index)
			others += counter_get(&w->all[i].counters, COUNTER_MEMORY_BYTES);
	}
	w->net.memory_limit = limit > others ? limit - others : 0;
}

static void
on_clock(struct net *n)
{
	struct worker *w = CONTAINER(n, struct worker, net);

	w->hub.now_ms = (int64_t)(n->now_us / 1000);
	w->hub.mono_us = n->mono_us;
	share_memory(w);
}

/*
 * Take off the connections that ended since the last turn; those on their way here are counted
 * already.
 */
static void
count_ended(struct worker *w)
{
	size_t ended = w->n_adopted - w->net.n_conns;

	if (ended != w->n_ended)
		atomic_fetch_sub(&w->n_conns, ended - w->n_ended);
	w->n_ended = ended;
}

/*
 * One turn: the loop has read and carried out commands; now the tail is delivered, readers that
 * are behind read on, and what was queued is written. True when something is left to do at
 * once.
 */
static bool
turn(struct worker *w)
{
	bool more;

	net_begin(&w->net);
	hub_tail(&w->hub);
	more = hub_read(&w->hub);
	more = net_turn(&w->net) || more;
	hub_tail(&w->hub); /* connections that ended have left their rooms */
	count_ended(w);
	counter_add(&w->counters, COUNTER_TURNS, 1);
	counter_add(&w->counters, COUNTER_BUSY_US, clock_mono_us() - w->net.mono_us);
	return more || !STAILQ_EMPTY(&w->net.dirty) || !TAILQ_EMPTY(&w->hub.ready);
}

int
worker_turn(struct worker *w, bool wait)
{
	if (event_base_loop(w->base, EVLOOP_ONCE | (wait ? 0 : EVLOOP_NONBLOCK)) < 0)
		return -EIO;
	return turn(w) ? 1 : 0;
}

static void *
run(void *arg)
{
	struct worker *w = arg;
	int more = 0;

	/*
	 * In a long pass those who read what was sent, and the other workers, may be waiting for this
	 * processor: two workers and a client on two of them, one message in flight, went from 0.94 to
	 * 1.00 of one worker's deliveries, the p50 from 1.9 to 1.6 ms. Where nobody waits it costs one
	 * system call in NET_FLUSH_SLICE deliveries.
	 */
	while (!w->is_stopping && more >= 0) {
		if (more > 0)
			(void)sched_yield();
		more = worker_turn(w, more == 0);
	}
	return NULL;
}

/* --- life --- */

int
worker_init(struct worker *w, const struct worker_options *o)
{
	struct event_config *options = event_config_new();
	struct timeval second = {1, 0};

	*w =
	    (struct worker){.index = o->index, .all = o->all, .n_all = o->n_workers, .wake_fd = -1};
	TAILQ_INIT(&w->inbox);
	lock_init(&w->lock);
	if (options == NULL)
		return -ENOMEM;
	(void)event_config_set_flag(
	    options, EVENT_BASE_FLAG_NOLOCK); /* one thread only: the inbox is how others come in */
	w->base = event_base_new_with_config(options);
	event_config_free(options);
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->base == NULL || w->wake_fd < 0)
		return -ENOMEM;
	w->wake = event_new(w->base, w->wake_fd, EV_READ | EV_PERSIST, on_wake, w);
	w->tick = event_new(w->base, -1, EV_PERSIST, on_tick, w);
	if (w->wake == NULL || w->tick == NULL || event_add(w->wake, NULL) != 0 ||
	    event_add(w->tick, &second) != 0)
		return -ENOMEM;
	if (net_init(&w->net, w->base, o->index, o->setup->config, &w->counters) < 0)
		return -ENOMEM;
	hub_init(&w->hub, o->log, o->index, o->setup->config, &w->counters);
	w->net.n_workers = o->n_workers;
	w->net.diag = o->diag;
	w->net.owner = &w->serve;
	w->net.on_head = serve_on_head;
	w->net.on_request = serve_on_request;
	w->net.on_clock = on_clock;
	w->hub.owner = &w->serve;
	w->hub.deflater = w->net.deflater;
	w->hub.publishes = o->gate->publishes;
	w->hub.slow = o->gate->slow;
	w->hub.verify = serve_verify_refresh;
	w->hub.reach = serve_reach;
	w->serve = (struct serve){.hub = &w->hub,
	    .tokens = token_cache_new(TOKENS_CACHED),
	    .files = files_new(),
	    .diag = o->diag,
	    .process = o->process,
	    .guests = o->guests,
	    .gate = o->gate,
	    .net = &w->net};
	if (w->serve.tokens == NULL || w->serve.files == NULL)
		return -ENOMEM;
	use_setup(w, o->setup);
	net_clock(&w->net);
	w->net.has_clock = false; /* the first turn reads it anew */
	log_attach(o->log, o->index, wake, w);
	return 0;
}

int
worker_start(struct worker *w)
{
	sigset_t all;
	sigset_t old;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the main thread's */
	r = pthread_create(&w->thread, NULL, run, w);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->is_running = r == 0;
	return -r;
}

void
worker_stop(struct worker *w)
{
	if (!w->is_running)
		return;
	(void)pthread_mutex_lock(&w->lock);
	w->wants_stop = true;
	(void)pthread_mutex_unlock(&w->lock);
	wake(w);
	(void)pthread_join(w->thread, NULL);
	w->is_running = false;
}

void
worker_leave(struct worker *w)
{
	if (w->setup == NULL)
		return;
	run_inbox(w);
	net_done(&w->net);
	hub_tail(&w->hub);       /* completions that were under way find their owners gone */
	(void)hub_read(&w->hub); /* and so do reads */
}

void
worker_done(struct worker *w)
{
	if (w->setup == NULL && w->base == NULL)
		return;
	if (w->setup != NULL) {
		run_inbox(w); /* answers that came from another worker's completions */
		hub_done(&w->hub);
	}
	token_cache_free(w->serve.tokens);
	files_free(w->serve.files);
	if (w->wake != NULL)
		event_free(w->wake);
	if (w->tick != NULL)
		event_free(w->tick);
	if (w->base != NULL)
		event_base_free(w->base);
	if (w->wake_fd >= 0)
		(void)close(w->wake_fd);
	setup_unref(w->next_setup);
	setup_unref(w->setup);
	w->next_setup = NULL;
	w->setup = NULL;
	w->base = NULL;
	(void)pthread_mutex_destroy(&w->lock);
}
