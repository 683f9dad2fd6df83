#include "tests/unit/support_hub.h"

#include <errno.h>

#include "base/mem.h"
#include "core/log_private.h"
#include "core/message.h"
#include "store/memory.h"

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

static int
store_append(struct store *s, struct append *a, unsigned caller)
{
	if (store_of(s)->append_status < 0)
		return fail_append(s->log, a, store_of(s)->append_status, caller);
	return store_of(s)->inner->ops->append(store_of(s)->inner, a, caller);
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
		ws->inner->ops->read(ws->inner, r);
	}
}

static void
store_sweep(struct store *s, int64_t now_ms)
{
	store_of(s)->inner->ops->sweep(store_of(s)->inner, now_ms);
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

static void
store_free(struct store *s)
{
	store_of(s)->inner->ops->free(store_of(s)->inner);
	mem_free(store_of(s));
}

static const struct store_ops store_ops = {.name = "world",
    .append = store_append,
    .read = store_read,
    .sweep = store_sweep,
    .forget = store_forget,
    .extent = store_extent,
    .free = store_free};

static struct world_store *
make_store(const struct world_options *o)
{
	struct world_store *ws = mem_calloc(1, sizeof(*ws));

	if (ws == NULL)
		return NULL;
	ws->store.ops = &store_ops;
	ws->inner = memory_store_new(
	    o->max_bytes == 0 ? 64 << 20 : o->max_bytes, o->max_keys == 0 ? 1000 : o->max_keys);
	if (ws->inner == NULL) {
		mem_free(ws);
		return NULL;
	}
	return ws;
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

bool
world_init(struct world *w, const struct world_options *options)
{
	static const struct world_options usual = {0};
	const struct world_options *o = options == NULL ? &usual : options;
	struct log_options log = {.n_workers = o->n_hubs == 0 ? 1 : o->n_hubs,
	    .now_us = (uint64_t)WORLD_NOW_MS * 1000,
	    .max_topics = o->max_topics};

	*w = (struct world){.now_ms = WORLD_NOW_MS, .begin = log.now_us};
	w->config = make_config(o);
	w->store = make_store(o);
	if (w->store == NULL)
		return false;
	w->log = log_new(&log, &w->store->store);
	if (w->log == NULL || w->config == NULL)
		return false;
	w->store->inner->log = w->log;
	for (; w->n_hubs < log.n_workers; w->n_hubs++) {
		if (hub_init(&w->hubs[w->n_hubs], w->log, w->n_hubs, w->config,
			&w->counters[w->n_hubs]) < 0)
			return false;
		log_attach(w->log, w->n_hubs, w->n_hubs == 0 ? wake_0 : wake_1, w);
	}
	set_clock(w);
	return true;
}

void
world_done(struct world *w)
{
	for (unsigned i = 0; i < w->n_hubs; i++)
		hub_tail(&w->hubs[i]);
	for (unsigned i = 0; i < w->n_hubs; i++)
		hub_done(&w->hubs[i]);
	log_free(w->log);
	config_unref(w->config);
}

void
world_pass(struct world *w, int64_t ms)
{
	w->now_ms += ms;
	set_clock(w);
}

void
world_turn_one(struct world *w, unsigned hub)
{
	hub_tail(&w->hubs[hub]);
	for (unsigned i = 0; i < 10000 && hub_read(&w->hubs[hub]); i++)
		continue;
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
