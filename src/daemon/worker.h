/*
 * A worker: one thread with its event loop, connections, hub and endpoints. Everything in it
 * belongs to that thread; others reach it through its inbox.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include <pthread.h>

#include "core/hub.h"
#include "net/net.h"
#include "serve/serve.h"

/* What a configuration becomes: swapped whole, freed when the last worker has let go of it. */
struct setup {
	_Atomic unsigned refs;
	struct config *config;
	struct keyring *keyring;
};

struct setup *setup_ref(struct setup *s);
void setup_unref(struct setup *s);

struct worker {
	pthread_t thread;
	unsigned index;
	const struct worker *all; /* the workers, for what they tell of themselves in counters */
	unsigned n_all;
	uint64_t shared_ms; /* monotonic, when limits.memory was last divided */
	struct setup *setup;
	struct event_base *base;
	struct event *wake;
	struct event *tick;
	int wake_fd;
	struct net net;
	struct hub hub;
	struct serve serve;
	struct counters counters;
	pthread_mutex_t lock; /* of inbox and the orders */
	struct inbox inbox;
	struct setup *next_setup; /* orders: to be used; NULL: none */
	uint64_t drain_ms;        /* to say goodbye within; 0: no */
	bool wants_stop;
	_Atomic bool is_woken;
	_Atomic size_t n_conns; /* for the listener's choice and the drain */
	size_t n_adopted;       /* of all time, and how many of them have ended */
	size_t n_ended;
	bool is_stopping;
	bool is_running; /* the thread was started */
};

struct worker_options {
	unsigned index;
	const struct worker *all; /* n_workers of them, this one included; borrowed */
	unsigned n_workers;
	struct setup *setup; /* shares */
	struct log *log;
	struct diag *diag;
	struct limiter *guests;
	struct gate *gate;
	const struct serve_process *process;
};

/* 0, or -ENOMEM and nothing is left (worker_done may still be called). */
MUST_CHECK int worker_init(struct worker *w, const struct worker_options *o);
MUST_CHECK int worker_start(struct worker *w);
/*
 * One turn of its loop, as its thread does them without end: 1 when something is left to do at
 * once, 0, or negative when the loop is broken. The worker's thread, or a test without threads.
 */
MUST_CHECK int worker_turn(struct worker *w, bool wait);
/* Any thread: run item there, soon, in order. */
void worker_post(struct worker *w, struct inbox_item *item);
/* Any thread: hand over a socket. Takes a->fd, even on failure. */
void worker_adopt(struct worker *w, const struct net_accepted *a);
/* Any thread: a new configuration. */
void worker_reload(struct worker *w, struct setup *setup);
/* Any thread: say goodbye to everybody over spread_ms. */
void worker_drain(struct worker *w, uint64_t spread_ms);
/* Ends the thread, closing what is left, and waits for it. */
void worker_stop(struct worker *w);
/*
 * After every thread has ended, before any worker is done: what is still under way between workers
 * finds both there.
 */
void worker_leave(struct worker *w);
void worker_done(struct worker *w);

#endif
