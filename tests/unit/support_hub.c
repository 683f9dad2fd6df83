#include "tests/unit/support_hub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "core/log_private.h"
#include "core/message.h"
#include "store/memory.h"
#include "store/sqlite_private.h"
#include "tests/unit/support_run.h"

/* --- configuration --- */

static const struct world_rule usual_rules[] = {
    {"server/**", 0, 0, false},
    {"live/**", 0, 0, false},
    {"one/**", 1, 0, false},
    {"three/**", 3, 0, false},
    {"chat/quiet", 10, 0, false},
    {"chat/*", 100, 0, true},
    {"**", 1000, 0, false},
};

static struct config *
make_config(const struct world_options *o)
{
	const struct world_rule *rules = o->rules != NULL ? o->rules : usual_rules;
	size_t n = o->rules != NULL ? o->n_rules : ARRAY_LEN(usual_rules);
	struct config *c = mem_calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	atomic_init(&c->refs, 1);
	c->chat.default_room = mem_strdup(SLICE("lobby"));
	c->chat.leave_grace_ms = 5000;
	c->chat.heartbeat_ms = 30000;
	c->limits.message = 65536;
	c->storage.scheduled_ahead_ms = (uint64_t)366 * 24 * 3600 * 1000;
	c->limits.queue = 262144;
	c->limits.rooms_per_connection = 10;
	c->topics = mem_calloc(n, sizeof(*c->topics));
	c->events.topics.v = mem_calloc(1, sizeof(char *));
	if (c->topics == NULL || c->chat.default_room == NULL || c->events.topics.v == NULL)
		goto fail;
	c->events.topics.v[0] = mem_strdup(SLICE("notifications"));
	if (c->events.topics.v[0] == NULL)
		goto fail;
	c->events.topics.n = 1;
	for (; c->n_topics < n; c->n_topics++) {
		const struct world_rule *r = &rules[c->n_topics];

		c->topics[c->n_topics] =
		    (struct topic_rule){.match = mem_strdup(slice_str(r->match)),
			.history = r->history,
			.keep_ms = r->keep_ms,
			.presence = r->presence};
		if (c->topics[c->n_topics].match == NULL)
			goto fail;
	}
	return c;
fail:
	config_unref(c);
	return NULL;
}

/* --- a store whose reads can be slow, or fail --- */

static struct world_store *
store_of(struct store *s)
{
	return CONTAINER(s, struct world_store, store);
}

/* As a store with a thread of its own does it: taken, and failed afterwards. */
static int
fail_append(struct log *l, struct append *a, int status, unsigned caller)
{
	uint64_t wakes = 0;
	int r;

	log_lock(l);
	r = log_reserve(l, 1);
	a->status = status;
	if (r == 0)
		log_publish(l, a, caller, &wakes);
	log_unlock(l);
	log_wake(l, wakes);
	return r;
}

bool
world_is_sqlite(void)
{
	const char *store = getenv("BELFRY_TEST_STORE");

	return store != NULL;
}

/* With nothing of the log in memory: every read asks the disk. */
static bool
is_cold(void)
{
	const char *store = getenv("BELFRY_TEST_STORE");

	return store != NULL && strcmp(store, "cold") == 0;
}

int
world_run_tests(const char *name, const TTest *const *tests, const TTest *const *memory_only)
{
	char other[64];
	bool is_well;

	(void)unsetenv("BELFRY_TEST_STORE");
	is_well = run_tests(name, tests) == EXIT_SUCCESS;
	(void)snprintf(other, sizeof(other), "%s_memory", name);
	if (memory_only != NULL)
		is_well = run_tests(other, memory_only) == EXIT_SUCCESS && is_well;
	(void)setenv("BELFRY_TEST_STORE", "sqlite", 1);
	(void)snprintf(other, sizeof(other), "%s_sqlite", name);
	is_well = run_tests(other, tests) == EXIT_SUCCESS && is_well;
	(void)setenv("BELFRY_TEST_STORE", "cold", 1);
	(void)snprintf(other, sizeof(other), "%s_cold", name);
	return run_tests(other, tests) == EXIT_SUCCESS && is_well ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void
settle(struct world_store *ws)
{
	struct sqlite_store *s = sqlite_of(ws->inner);
	bool is_resting = ws->folder[0] == '\0';

	while (!is_resting) {
		(void)pthread_mutex_lock(&s->lock);
		is_resting = s->is_resting && s->n_queued == 0 && s->sweep_ms == 0;
		(void)pthread_mutex_unlock(&s->lock);
		if (!is_resting)
			(void)usleep(50);
	}
}

void
world_settle(struct world *w)
{
	settle(w->store);
}

static int
store_append(struct store *s, struct append *a, unsigned caller)
{
	struct world_store *ws = store_of(s);
	int r;

	if (ws->append_status < 0)
		return fail_append(s->log, a, ws->append_status, caller);
	r = ws->inner->ops->append(ws->inner, a, caller);
	if (!ws->is_hasty)
		settle(ws);
	return r;
}

/* Reads of the database that are not answered yet, of all threads. */
static struct {
	struct log_read *read;
	void (*done)(struct log_read *r);
} asked[WORLD_READS];
static pthread_mutex_t asked_lock = PTHREAD_MUTEX_INITIALIZER;

static void
on_answered(struct log_read *r)
{
	(void)pthread_mutex_lock(&asked_lock);
	for (unsigned i = 0; i < WORLD_READS; i++) {
		if (asked[i].read == r) {
			asked[i].read = NULL;
			r->done = asked[i].done;
		}
	}
	(void)pthread_mutex_unlock(&asked_lock);
	r->done(r);
}

static unsigned
note_asked(struct log_read *r)
{
	unsigned i = 0;

	(void)pthread_mutex_lock(&asked_lock);
	while (asked[i].read != NULL)
		i++;
	asked[i].read = r;
	asked[i].done = r->done;
	r->done = on_answered;
	(void)pthread_mutex_unlock(&asked_lock);
	return i;
}

static bool
is_asked(unsigned i, const struct log_read *r)
{
	bool is;

	(void)pthread_mutex_lock(&asked_lock);
	is = asked[i].read == r;
	(void)pthread_mutex_unlock(&asked_lock);
	return is;
}

/* The answer of a database comes before the question returns, as that of the memory does. */
static void
ask(struct world_store *ws, struct log_read *r)
{
	struct log *l = ws->store.log;
	unsigned worker = r->worker;
	unsigned i;

	if (ws->folder[0] == '\0') {
		ws->inner->ops->read(ws->inner, r);
		return;
	}
	i = note_asked(r);
	ws->inner->ops->read(ws->inner, r);
	while (is_asked(i, r)) {
		(void)usleep(50);
		log_reads_finish(l, worker);
	}
}

static void
store_read(struct store *s, struct log_read *r)
{
	struct world_store *ws = store_of(s);

	if (ws->is_slow && ws->n_waiting < WORLD_READS) {
		ws->waiting[ws->n_waiting++] = r;
	} else if (ws->status < 0) {
		r->status = ws->status;
		r->done(r);
	} else {
		ask(ws, r);
	}
}

static void
store_sweep(struct store *s, int64_t now_ms)
{
	store_of(s)->inner->ops->sweep(store_of(s)->inner, now_ms);
	settle(store_of(s));
}

static int
store_start(struct store *s)
{
	struct store *inner = store_of(s)->inner;

	inner->log = s->log;
	return inner->ops->start == NULL ? 0 : inner->ops->start(inner);
}

static void
store_stop(struct store *s)
{
	struct store *inner = store_of(s)->inner;

	if (inner->ops->stop != NULL)
		inner->ops->stop(inner);
}

static void
store_forget(struct store *s, struct log_topic *t)
{
	store_of(s)->inner->ops->forget(store_of(s)->inner, t);
}

static void
store_extent(struct store *s, struct log_extent *out)
{
	store_of(s)->inner->ops->extent(store_of(s)->inner, out);
}

static int
store_health(struct store *s, char *text, size_t n)
{
	struct store *inner = store_of(s)->inner;

	return inner->ops->health == NULL ? 0 : inner->ops->health(inner, text, n);
}

static int
store_unread(struct store *s, const struct log_topic *t, struct log_unread *u)
{
	return store_of(s)->inner->ops->unread(store_of(s)->inner, t, u);
}

static void
remove_folder(const char *folder)
{
	static const char *const names[] = {"log", "log-wal", "log-shm", "log-lock"};
	char path[96];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(folder);
}

static void
store_free(struct store *s)
{
	store_of(s)->inner->ops->free(store_of(s)->inner);
	if (store_of(s)->folder[0] != '\0' && !store_of(s)->is_kept)
		remove_folder(store_of(s)->folder);
	mem_free(store_of(s));
}

static const struct store_ops store_ops = {.name = "world",
    .start = store_start,
    .stop = store_stop,
    .health = store_health,
    .append = store_append,
    .read = store_read,
    .sweep = store_sweep,
    .forget = store_forget,
    .extent = store_extent,
    .unread = store_unread,
    .free = store_free};

static struct store *
open_database(const struct world_options *o, struct world_store *ws, struct config *c)
{
	static const enum config_sync syncs[] = {SYNC_OFF, SYNC_NORMAL, SYNC_FULL};
	char path[96];
	struct sqlite_options options = {.path = path,
	    .sync = syncs[o->sync],
	    .max_size = o->max_size,
	    .cache = o->cache != 0 ? o->cache
		     : is_cold()   ? 1
				   : 64 << 20,
	    .wal_pages = o->wal_pages,
	    .warm_us = o->warms_later ? 0 : 60000000,
	    .keys = o->max_keys == 0 ? 1000 : o->max_keys,
	    .config = c,
	    .vfs = o->vfs};
	char error[512] = "";
	struct store *store = NULL;

	(void)snprintf(path, sizeof(path), "%s/log", ws->folder);
	if (sqlite_store_open(&options, error, sizeof(error), &store) < 0)
		(void)fprintf(stderr, "%s: %s\n", path, error);
	return store;
}

/* folder: of an earlier world's database; NULL: a new one. */
static struct world_store *
make_store(const struct world_options *o, struct config *c, const char *folder)
{
	struct world_store *ws = mem_calloc(1, sizeof(*ws));

	if (ws == NULL || c == NULL)
		goto fail;
	ws->store.ops = &store_ops;
	if (!world_is_sqlite()) {
		ws->inner = memory_store_new(o->max_bytes == 0 ? 64 << 20 : o->max_bytes,
		    o->max_keys == 0 ? 1000 : o->max_keys);
	} else {
		(void)snprintf(ws->folder, sizeof(ws->folder), "%s",
		    folder != NULL ? folder : "/tmp/belfry-test-XXXXXX");
		if (folder == NULL && mkdtemp(ws->folder) == NULL)
			goto fail;
		ws->inner = open_database(o, ws, c);
	}
	if (ws->inner != NULL)
		return ws;
fail:
	mem_free(ws);
	return NULL;
}

void
world_answer_reads(struct world *w)
{
	struct world_store *ws = w->store;
	bool was_slow = ws->is_slow;

	ws->is_slow = false;
	for (unsigned i = 0; i < ws->n_waiting; i++)
		store_read(&ws->store, ws->waiting[i]);
	ws->n_waiting = 0;
	ws->is_slow = was_slow;
}

/* --- the world --- */

uint64_t
world_id(const struct world *w, uint64_t n)
{
	return w->begin + n;
}

static void
wake_0(void *ctx)
{
	((struct world *)ctx)->wakes[0]++;
}

static void
wake_1(void *ctx)
{
	((struct world *)ctx)->wakes[1]++;
}

static void
set_clock(struct world *w)
{
	for (unsigned i = 0; i < w->n_hubs; i++) {
		w->hubs[i].now_ms = w->now_ms;
		w->hubs[i].mono_us = (uint64_t)(w->now_ms - WORLD_NOW_MS + 1000000) * 1000;
	}
}

static bool
begin(struct world *w, const char *folder)
{
	const struct world_options *o = &w->options;
	struct log_options log = {.n_workers = o->n_hubs == 0 ? 1 : o->n_hubs,
	    .now_us = (uint64_t)w->now_ms * 1000,
	    .max_topics = o->max_topics,
	    .scheduled = WORLD_SCHEDULED,
	    .scheduled_per_user = WORLD_SCHEDULED_USER};

	w->config = make_config(o);
	w->store = make_store(o, w->config, folder);
	if (w->store == NULL)
		return false;
	w->log = log_new(&log, &w->store->store);
	if (w->log == NULL || w->config == NULL)
		return false;
	for (; w->n_hubs < log.n_workers; w->n_hubs++) {
		hub_init(
		    &w->hubs[w->n_hubs], w->log, w->n_hubs, w->config, &w->counters[w->n_hubs]);
		log_attach(w->log, w->n_hubs, w->n_hubs == 0 ? wake_0 : wake_1, w);
	}
	set_clock(w);
	return true;
}

bool
world_init(struct world *w, const struct world_options *options)
{
	*w = (struct world){.now_ms = WORLD_NOW_MS, .begin = (uint64_t)WORLD_NOW_MS * 1000};
	if (options != NULL)
		w->options = *options;
	return begin(w, NULL);
}

static void
end(struct world *w)
{
	log_stop(w->log);
	for (unsigned i = 0; i < w->n_hubs; i++) {
		hub_tail(&w->hubs[i]);
		log_reads_finish(w->log, i);
	}
	for (unsigned i = 0; i < w->n_hubs; i++)
		hub_done(&w->hubs[i]);
	w->n_hubs = 0;
	log_free(w->log);
	config_unref(w->config);
}

void
world_done(struct world *w)
{
	end(w);
}

static void
take_kept(const char *folder)
{
	static const char *const names[] = {"log", "log-wal"};
	char from[96];
	char to[96];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(from, sizeof(from), "%s/%s.kept", folder, names[i]);
		(void)snprintf(to, sizeof(to), "%s/%s", folder, names[i]);
		(void)rename(from, to);
	}
}

bool
world_restart(struct world *w)
{
	char folder[64];

	(void)snprintf(folder, sizeof(folder), "%s", w->store->folder);
	w->store->is_kept = true;
	end(w);
	if (w->crashed)
		take_kept(folder);
	w->crashed = false;
	return begin(w, folder);
}

void
world_pass(struct world *w, int64_t ms)
{
	w->now_ms += ms;
	set_clock(w);
}

void
world_read_one(struct world *w, unsigned hub)
{
	for (unsigned i = 0; i < 10000 && hub_read(&w->hubs[hub]); i++)
		continue;
}

void
world_turn_one(struct world *w, unsigned hub)
{
	hub_tail(&w->hubs[hub]);
	world_read_one(w, hub);
	hub_tail(&w->hubs[hub]);
}

void
world_turn(struct world *w)
{
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < w->n_hubs; i++)
			world_turn_one(w, i);
	}
}

static int
say(struct world *w, const char *topic, const char *text, unsigned ttl_s)
{
	const struct topic_rule *rule = config_rule(w->config, slice_str(topic));
	struct append *a = append_new(1);
	int64_t expires = ttl_s == 0 ? 0 : w->now_ms + (int64_t)ttl_s * 1000;
	int r;

	if (a == NULL)
		return -ENOMEM;
	if (strncmp(topic, "chat/", 5) == 0) {
		struct message_chat chat = {.topic = slice_str(topic),
		    .from = {SLICE("someone"), SLICE("someone")},
		    .content = slice_str(text),
		    .expires_ms = expires};

		a->items[0].message = message_chat(&chat, rule, w->now_ms, 0);
	} else {
		struct message_notice notice = {
		    .topic = slice_str(topic), .text = slice_str(text), .expires_ms = expires};

		a->items[0].message = message_notice(&notice, SLICE_NONE, rule, w->now_ms, 0);
	}
	a->worker = LOG_NO_WORKER;
	a->now_ms = w->now_ms;
	r = a->items[0].message == NULL ? -ENOMEM : log_append(w->log, a, LOG_NO_WORKER);
	if (r < 0)
		append_free(a);
	return r;
}

int
world_say(struct world *w, const char *topic, const char *text)
{
	return say(w, topic, text, 0);
}

int
world_say_ttl(struct world *w, const char *topic, const char *text, unsigned ttl_s)
{
	return say(w, topic, text, ttl_s);
}

int
world_say_often(struct world *w, const char *topic, const char *text, unsigned n)
{
	int r = 0;

	w->store->is_hasty = true;
	for (unsigned i = 0; r == 0 && i < n; i++) {
		r = world_say(w, topic, text);
		if (i % 1000 == 0) {
			world_settle(w);
			world_turn(w);
		}
	}
	w->store->is_hasty = false;
	world_settle(w);
	return r;
}
