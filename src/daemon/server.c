#include "daemon/server.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "core/config.h"
#include "core/limiter.h"
#include "core/presence.h"
#include "core/read_marker.h"
#include "daemon/notify.h"
#include "daemon/storage.h"

#define TICK_MS       100
#define SWEEP_MS      1000
#define GUEST_BUCKETS 65536
#define EXTRA_CONNS   32 /* above limits.connections: only told so, each in its own words */
#define RULES_ROUNDS  30 /* ticks: longer than an append that was made before a reload may take */
#define FDS_BESIDE                                                                                 \
	(64 + EXTRA_CONNS) /* descriptors that are not connections: listeners, loops, files */
#define FDS_START  32      /* without that many, and those of each worker, it does not start */
#define FDS_WORKER 4

/* --- loading --- */

struct setup *
server_load(const char *path, const uint8_t guest_key[32], struct config_error *error)
{
	struct setup *setup = mem_calloc(1, sizeof(*setup));

	if (setup == NULL) {
		*error = (struct config_error){.line = 1, .text = "out of memory"};
		(void)snprintf(error->file, sizeof(error->file), "%s", path);
		return NULL;
	}
	atomic_init(&setup->refs, 1);
	if (config_load(path, &setup->config, error) < 0) {
		setup_unref(setup);
		return NULL;
	}
	setup->keyring = keyring_new(&setup->config->auth, error->text, sizeof(error->text));
	if (setup->keyring == NULL) {
		(void)snprintf(error->file, sizeof(error->file), "%s", setup->config->auth_file);
		error->line = setup->config->auth_line;
		setup_unref(setup);
		return NULL;
	}
	keyring_set_guest_key(setup->keyring, guest_key);
	return setup;
}

static void
use_logging(struct server *s)
{
	atomic_store(&s->diag.level, s->setup->config->logging.level);
	atomic_store(&s->diag.is_json, s->setup->config->logging.is_json);
}

/*
 * As many descriptors as connections are wanted; where that cannot be had, fewer connections
 * and a warning.
 */
static void
raise_descriptors(struct server *s, const struct config *c)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t)c->limits.connections + FDS_BESIDE;

	s->max_connections = 0;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	if (limit.rlim_max < wanted && c->limits.connections != 0) {
		struct rlimit more = {wanted, wanted};

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return;
	}
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* never fails up to the maximum */
	if (c->limits.connections == 0 || limit.rlim_cur < wanted)
		s->max_connections =
		    limit.rlim_cur > FDS_BESIDE
			? (uint32_t)min_u64(limit.rlim_cur - FDS_BESIDE, UINT32_MAX)
			: 1;
}

/* libevent ends the process where it cannot have its own. */
static bool
has_descriptors(const struct server *s)
{
	struct rlimit limit;
	unsigned wanted = FDS_START + FDS_WORKER * s->n_workers;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return true;
	diag_say(
	    "only %llu files may be open (ulimit -n, LimitNOFILE of a unit); with %u worker%s it takes %u",
	    (unsigned long long)limit.rlim_cur, s->n_workers, s->n_workers == 1 ? "" : "s", wanted);
	return false;
}

/*
 * Before any other thread sees the configuration: no more connections than there are
 * descriptors.
 */
static void
clamp_connections(struct server *s, struct config *c)
{
	uint32_t max = s->max_connections;

	if (max == 0 || (c->limits.connections != 0 && c->limits.connections <= max))
		return;
	if (c->limits.connections != 0)
		diag_log(&s->diag, DIAG_WARNING, "server.limit",
		    "limits.connections=%u lowered_to=%u reason=\"the limit of open files\"",
		    c->limits.connections, max);
	c->limits.connections = max;
}

/* --- what the workers ask of the process --- */

static int
process_ready(void *ctx, char *text, size_t n)
{
	struct server *s = ctx;

	if (atomic_load(&s->is_draining)) {
		(void)snprintf(text, n, "the server is stopping");
		return -1;
	}
	if (!atomic_load(&s->is_ready)) {
		(void)snprintf(text, n, "the server is starting");
		return -1;
	}
	return log_health(s->log, (int64_t)(clock_wall_us() / 1000), text, n);
}

static bool
process_is_draining(void *ctx)
{
	struct server *s = ctx;

	return atomic_load(&s->is_draining);
}

static void
process_post(void *ctx, unsigned worker, struct inbox_item *item)
{
	struct server *s = ctx;

	worker_post(&s->workers[worker], item);
}

/* The main thread's loop has no locks: its signals are the way in. */
static void
process_reload(void *ctx)
{
	(void)ctx;
	(void)kill(getpid(), SIGHUP);
}

static void
process_drain(void *ctx)
{
	(void)ctx;
	(void)kill(getpid(), SIGTERM);
}

/* --- accepting --- */

static size_t
total_conns(const struct server *s)
{
	size_t n = 0;

	for (unsigned i = 0; i < s->n_workers; i++)
		n += atomic_load(&s->workers[i].n_conns);
	return n;
}

/* Full: said in plain HTTP, whatever was going to be asked. */
static void
turn_away(struct server *s, int fd)
{
	static const char body[] =
	    "{\"type\":\"about:blank\",\"title\":\"Unavailable\",\"status\":503,"
	    "\"detail\":\"the server has as many connections as limits.connections allows\","
	    "\"code\":\"unavailable\",\"limit\":\"limits.connections\",\"retry_after\":5}";
	char answer[1024];
	int n = snprintf(answer, sizeof(answer),
	    "HTTP/1.1 503 Service Unavailable\r\nX-Request-Id: %016llx\r\n"
	    "Content-Type: application/problem+json\r\nCache-Control: no-store\r\n"
	    "Retry-After: 5\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
	    (unsigned long long)rng_u64(), sizeof(body) - 1, body);

	if (n > 0 && send(fd, answer, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		/* it has gone */
	}
	(void)close(fd);
	diag_peer(&s->diag, DIAG_WARNING, "conn.refused", "reason=limits.connections limit=%u",
	    s->setup->config->limits.connections);
}

static void
on_accepted(void *ctx, const struct net_accepted *a)
{
	struct server *s = ctx;
	struct worker *best = &s->workers[0];
	struct net_accepted mine = *a;
	size_t n = total_conns(s);
	size_t limit = s->setup->config->limits.connections;

	if (n >= limit + EXTRA_CONNS) {
		turn_away(s, a->fd);
		return;
	}
	mine.is_extra = n >= limit;
	for (unsigned i = 1; i < s->n_workers; i++) {
		if (atomic_load(&s->workers[i].n_conns) < atomic_load(&best->n_conns))
			best = &s->workers[i];
	}
	worker_adopt(best, &mine);
}

/* Remember where we listen, for the line that says that we serve. */
static void
on_bound(void *ctx, const char *address, unsigned port)
{
	struct server *s = ctx;
	const char *space = s->listens.n > 0 ? " " : "";
	bool is_v6 = strchr(address, ':') != NULL && port != 0;

	if (port == 0) {
		diag_log(&s->diag, DIAG_NOTICE, "server.listen", "unix=%s", address);
		(void)buf_printf(&s->listens, "%s%s", space, address); /* only for a log line */
		return;
	}
	diag_log(&s->diag, DIAG_NOTICE, "server.listen", "address=%s port=%u", address, port);
	(void)buf_printf(
	    &s->listens, "%s%s%s%s:%u", space, is_v6 ? "[" : "", address, is_v6 ? "]" : "", port);
}

/* --- signals --- */

/* The old configuration stays. */
static void
say_kept(struct server *s, const struct config_error *e)
{
	char text[sizeof(e->file) + sizeof(e->text) + 32];
	char quoted[DIAG_QUOTED];

	(void)snprintf(text, sizeof(text), "%s:%u: %s", e->file, e->line, e->text);
	diag_log(&s->diag, DIAG_ERROR, "server.reload", "result=kept_old reason=%s",
	    diag_quote(slice_str(text), quoted));
}

static void
reload(struct server *s)
{
	struct setup *setup;
	struct config_error error;
	struct buf changed = BUF_INIT(4096);
	char stamp[64];

	(void)snprintf(stamp, sizeof(stamp), "RELOADING=1\nMONOTONIC_USEC=%llu",
	    (unsigned long long)clock_mono_us());
	notify(stamp);
	setup = server_load(s->config_path, s->guest_key, &error);
	if (setup == NULL) {
		say_kept(s, &error);
		notify("READY=1");
		return;
	}
	setup->config->generation = s->setup->config->generation + 1;
	raise_descriptors(s, setup->config);
	clamp_connections(s, setup->config);
	if (config_changed_keys(s->started->config, setup->config, &changed) > 0)
		diag_log(&s->diag, DIAG_WARNING, "server.reload", "needs_restart=\"%.*s\"",
		    SLICE_ARG(buf_slice(&changed)));
	buf_done(&changed);
	for (unsigned i = 0; i < s->n_workers; i++)
		worker_reload(&s->workers[i], setup);
	log_set_max_topics(s->log, setup->config->limits.topics);
	log_set_crowd(s->log, setup->config->chat.presence_limit);
	setup_unref(s->setup);
	s->setup = setup;
	s->rules_rounds = RULES_ROUNDS;
	s->rules_at = 0;
	use_logging(s);
	diag_log(&s->diag, DIAG_NOTICE, "server.reload", "result=ok generation=%llu",
	    (unsigned long long)setup->config->generation);
	notify("READY=1");
}

static void
drain(struct server *s)
{
	uint64_t limit_ms = s->setup->config->limits.drain_ms;

	if (atomic_exchange(&s->is_draining, true)) {
		diag_log(&s->diag, DIAG_NOTICE, "server.stop", "reason=second_signal");
		(void)event_base_loopbreak(s->base);
		return;
	}
	notify("STOPPING=1");
	diag_log(&s->diag, DIAG_NOTICE, "server.drain", "connections=%zu limit_ms=%llu",
	    total_conns(s), (unsigned long long)limit_ms);
	listeners_free(s->listeners);
	s->listeners = NULL;
	s->drain_until_ms = clock_mono_us() / 1000 + limit_ms;
	for (unsigned i = 0; i < s->n_workers; i++)
		worker_drain(&s->workers[i], limit_ms);
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct server *s = arg;

	(void)what;
	if (number == SIGHUP)
		reload(s);
	else
		drain(s);
}

/* --- the clockwork --- */

/* After a reload: topics go by the new rules, those too on which nothing new is published. */
static void
rules_tick(struct server *s)
{
	if (s->rules_rounds == 0 || log_use_rules(s->log, s->setup->config, &s->rules_at))
		return;
	s->rules_at = 0;
	s->rules_rounds--;
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	uint64_t now_ms = clock_mono_us() / 1000;
	int64_t wall_ms = (int64_t)(clock_wall_us() / 1000);

	(void)fd;
	(void)what;
	presence_expire(s->log, wall_ms);
	log_fire(s->log, wall_ms);
	markers_tick(s->log, wall_ms);
	rules_tick(s);
	if (now_ms >= s->next_sweep_ms) {
		s->next_sweep_ms = now_ms + SWEEP_MS;
		log_sweep(s->log, wall_ms);
	}
	feeds_tick(s, now_ms, wall_ms);
	listeners_tick(s->listeners);
	if (!atomic_load(&s->is_draining))
		return;
	if (total_conns(s) == 0 || now_ms >= s->drain_until_ms) {
		diag_log(&s->diag, DIAG_NOTICE, "server.stop", "reason=drained left=%zu",
		    total_conns(s));
		(void)event_base_loopbreak(s->base);
	}
}

/* --- life --- */

static unsigned
choose_workers(const struct config *c)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (c->workers > 0)
		return c->workers > SERVER_MAX_WORKERS ? SERVER_MAX_WORKERS : c->workers;
	return processors <= 2 ? 1
			       : (unsigned)min_u64((uint64_t)processors - 1, SERVER_MAX_WORKERS);
}

static int
init_workers(struct server *s)
{
	for (unsigned i = 0; i < s->n_workers; i++) {
		struct worker_options o = {.index = i,
		    .all = s->workers,
		    .n_workers = s->n_workers,
		    .setup = s->setup,
		    .log = s->log,
		    .diag = &s->diag,
		    .guests = s->guests,
		    .gate = &s->gate,
		    .process = &s->process};

		if (worker_init(&s->workers[i], &o) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int
start_workers(struct server *s)
{
	for (unsigned i = 0; i < s->n_workers; i++) {
		if (worker_start(&s->workers[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int
prepare_loop(struct server *s)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
	struct timeval every = {0, TICK_MS * 1000};
	sigset_t all;

	s->base = event_base_new();
	if (s->base == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		s->signals[i] = evsignal_new(s->base, numbers[i], on_signal, s);
		if (s->signals[i] == NULL || event_add(s->signals[i], NULL) != 0)
			return -ENOMEM;
	}
	(void)sigemptyset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, NULL); /* a reload may have been asked for */
	s->tick = event_new(s->base, -1, EV_PERSIST, on_tick, s);
	return s->tick == NULL || event_add(s->tick, &every) != 0 ? -ENOMEM : 0;
}

static int
prepare(struct server *s, int *exit_code)
{
	const struct config *c = s->setup->config;
	struct log_options options = {.n_workers = s->n_workers,
	    .now_us = clock_wall_us(),
	    .max_topics = c->limits.topics,
	    .crowd = c->chat.presence_limit,
	    .scheduled = c->storage.scheduled,
	    .scheduled_per_user = c->storage.scheduled_per_user};

	struct store *store = storage_open(s->setup->config, &s->diag, exit_code);

	if (store == NULL)
		return -1;
	s->log = log_new(&options, store);
	s->guests = limiter_new(GUEST_BUCKETS);
	s->workers = mem_calloc(s->n_workers, sizeof(*s->workers));
	if (gate_init(&s->gate) < 0 || s->log == NULL || s->guests == NULL || s->workers == NULL)
		return -ENOMEM;
	return prepare_loop(s);
}

void
server_close(struct server *s)
{
	sigset_t signals;

	/*
	 * libevent gives the signals their old meaning back: one that comes now must not end the
	 * process its own way
	 */
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
	listeners_free(s->listeners);
	for (unsigned i = 0; s->workers != NULL && i < s->n_workers; i++)
		worker_stop(&s->workers[i]);
	for (unsigned i = 0; s->workers != NULL && i < s->n_workers; i++)
		s->workers[i].hub.is_leaving = true;
	log_stop(s->log);
	for (unsigned i = 0; s->workers != NULL && i < s->n_workers; i++)
		worker_leave(&s->workers[i]);
	for (unsigned i = 0; s->workers != NULL && i < s->n_workers; i++)
		worker_done(&s->workers[i]);
	mem_free(s->workers);
	log_free(s->log);
	limiter_free(s->guests);
	gate_done(&s->gate);
	for (size_t i = 0; i < ARRAY_LEN(s->signals); i++) {
		if (s->signals[i] != NULL)
			event_free(s->signals[i]);
	}
	if (s->tick != NULL)
		event_free(s->tick);
	if (s->base != NULL)
		event_base_free(s->base);
	setup_unref(s->setup);
	setup_unref(s->started);
	mem_free(s->config_path);
	buf_done(&s->listens);
}

int
server_open(struct server *s, struct setup *setup, const char *config_path)
{
	struct listener_ops ops = {.ctx = s, .accepted = on_accepted, .bound = on_bound};
	char error[1024];
	int code = EX_OSERR;
	int r;

	s->setup = setup_ref(setup);
	s->started = setup_ref(setup);
	s->config_path = mem_strdup(slice_str(config_path));
	s->started_ms = clock_mono_us() / 1000;
	s->n_workers = choose_workers(setup->config);
	s->process = (struct serve_process){.ctx = s,
	    .ready = process_ready,
	    .metrics = server_metrics,
	    .stats = server_stats,
	    .reload = process_reload,
	    .drain = process_drain,
	    .is_draining = process_is_draining,
	    .post = process_post,
	    .n_workers = s->n_workers};
	s->listens = BUF_INIT(8192);
	use_logging(s);
	raise_descriptors(s, setup->config);
	clamp_connections(s, setup->config);
	if (!has_descriptors(s))
		return EX_OSERR;
	s->listeners = listeners_open(setup->config, error, sizeof(error));
	if (s->listeners == NULL) {
		diag_say("%s", error);
		return EX_UNAVAILABLE; /* not the file's fault: it may be another moment's */
	}
	r = s->config_path == NULL ? -ENOMEM : prepare(s, &code);
	if (r == 0)
		r = init_workers(s);
	if (r == 0)
		r = listeners_start(s->listeners, s->base, &s->diag, &ops);
	if (r < 0) {
		if (code == EX_OSERR)
			diag_say("not enough memory to start");
		return code;
	}
	return EX_OK;
}

static void
say_ready(struct server *s)
{
	atomic_store(&s->is_ready, true);
	diag_log(&s->diag, DIAG_NOTICE, "server.ready",
	    "version=%s workers=%u storage=%s pid=%d listen=\"%.*s\"", BELFRY_VERSION, s->n_workers,
	    storage_name(s->setup->config), (int)getpid(), SLICE_ARG(buf_slice(&s->listens)));
	notify("READY=1");
}

int
server_run(struct server *s, struct setup *setup, const char *config_path)
{
	int code = server_open(s, setup, config_path);

	if (code == EX_OK && start_workers(s) < 0) {
		diag_say("not enough threads to start");
		code = EX_OSERR;
	}
	if (code == EX_OK) {
		say_ready(s);
		(void)event_base_dispatch(s->base);
	}
	server_close(s);
	return code;
}
