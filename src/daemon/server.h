/*
 * The whole daemon: listeners, workers, the log, reload and drain. Main thread; only the
 * functions behind struct serve_process are called from workers.
 */
#ifndef DAEMON_SERVER_H
#define DAEMON_SERVER_H

#include "base/diag.h"
#include "daemon/config_read.h"
#include "daemon/worker.h"
#include "net/listener.h"
#include "serve/admission.h"

#define SERVER_MAX_WORKERS 64

struct feed_state {
	uint64_t due_ms;
};

struct server {
	struct diag diag;
	struct setup *setup;
	struct setup
	    *started; /* what it began with: keys that need a restart stay as they are there */
	char *config_path;
	struct event_base *base;
	struct event *signals[3];
	struct event *tick;
	struct listeners *listeners;
	uint32_t max_connections; /* what the descriptors allow; 0: as many as configured */
	struct buf listens;       /* their addresses as text */
	struct log *log;
	struct limiter *guests;
	struct gate gate;
	struct worker *workers;
	unsigned n_workers;
	struct serve_process process;
	uint8_t guest_key[32];
	uint64_t started_ms;
	uint64_t next_sweep_ms;
	uint64_t drain_until_ms;
	uint64_t last_messages; /* of the feeds' rates */
	uint64_t last_feed_ms;
	struct feed_state feeds[64];
	unsigned rules_rounds; /* how often all topics are still to be given their rules */
	size_t rules_at;
	_Atomic bool is_ready;
	_Atomic bool is_draining;
};

/*
 * Serve until a signal ends it. setup: shares. Returns the process's exit code.
 */
int server_run(struct server *s, struct setup *setup, const char *config_path);

/*
 * Its parts, for a test that turns the loops itself, in one thread: everything up to listening,
 * without the workers' threads. EX_OK, or the process's exit code; server_close in any case.
 */
MUST_CHECK int server_open(struct server *s, struct setup *setup, const char *config_path);
void server_close(struct server *s);

/* What a configuration file becomes, or NULL with *error filled. */
MUST_CHECK struct setup *server_load(
    const char *path, const uint8_t guest_key[32], struct config_error *error);

/* figures.c: publish the figures of the server that are due. */
void feeds_tick(struct server *s, uint64_t now_ms, int64_t wall_ms);
/* The process's own figures, and those of the workers together. */
void server_metrics(void *ctx, struct buf *out);
void server_stats(void *ctx, struct buf *out);
uint64_t server_resident_bytes(void);

#endif
