/*
 * Streams that resume, fall behind and catch up, against a model of the log: what a stream asked
 * for comes once, in the order of ids, or it is told of a gap before anything newer.
 * The input is steps of two bytes: what happens, and to which.
 */
#include "core/message.h"
#include "core/reader.h"
#include "core/topic.h"
#include "tests/fuzz/support.h"
#include "tests/unit/support_hub.h"

#define STEPS_MAX  300
#define STREAMS    4
#define EVENTS_MAX 4096
#define ID_UNKNOWN UINT64_C(9000000000000000)

/* With the histories of the usual rules of a world. */
static const struct {
	const char *name;
	unsigned keeps; /* 0: ephemeral */
} topics[] = {{"three/a", 3}, {"three/b", 3}, {"one/a", 1}, {"news", 1000}, {"live/x", 0}};

static const char *const patterns[][3] = {{"three/*", NULL}, {"**", NULL}, {"news", "one/a", NULL},
    {"three/a", "live/x", NULL}, {"three/a", "**", NULL}, {"one/*", "three/b", NULL}};

struct post {
	uint64_t id;
	unsigned topic;
	int64_t time_ms;
};

struct event {
	bool is_gap;
	uint64_t id; /* of a gap: gap_id */
};

struct stream_model {
	struct subscriber who;
	bool is_open;
	unsigned room;
	unsigned queued;
	const char *const *patterns;
	struct position from;
	size_t n_before; /* posts when it was opened */
	uint64_t last_id;
	struct event events[EVENTS_MAX];
	size_t n_events;
};

struct model {
	struct world world;
	struct post posts[STEPS_MAX];
	size_t n_posts;
	struct stream_model streams[STREAMS];
};

static bool
is_wanted(const struct stream_model *st, unsigned topic)
{
	for (const char *const *p = st->patterns; *p != NULL; p++) {
		if (pattern_matches(slice_str(*p), slice_str(topics[topic].name)))
			return true;
	}
	return false;
}

/* --- what a stream gets --- */

static struct stream_model *
stream_of(struct subscriber *who)
{
	return CONTAINER(who, struct stream_model, who);
}

static bool
has_room(struct subscriber *who)
{
	return stream_of(who)->queued < stream_of(who)->room;
}

static void
add_event(struct stream_model *st, bool is_gap, uint64_t id)
{
	NEED(st->n_events < EVENTS_MAX);
	st->events[st->n_events++] = (struct event){is_gap, id};
}

static void
on_push(struct subscriber *who, struct wire *w)
{
	struct stream_model *st = stream_of(who);

	st->queued++;
	NEED(w->message != NULL);
	if (!w->message->is_logged)
		return;
	NEED(w->message->id > st->last_id); /* once, and in order */
	st->last_id = w->message->id;
	add_event(st, false, w->message->id);
}

static void
on_gap(struct subscriber *who, struct sub *sub, const struct log_resume *gap, uint64_t asked,
    uint32_t dropped)
{
	(void)asked;
	if (sub != NULL) {
		NEED(dropped > 0 && gap->reason == LOG_GAP_SLOW);
		return; /* of ephemeral ones */
	}
	NEED(gap->reason != LOG_GAP_NONE);
	add_event(stream_of(who), true, gap->gap_id);
}

static void
on_fail(struct subscriber *who)
{
	(void)who;
	FAIL("there is memory");
}

static void
on_level(struct subscriber *who, struct sub *sub, bool presence_skipped)
{
	(void)who; /* streams have no members to be told of */
	(void)sub;
	(void)presence_skipped;
}

static const struct subscriber_ops ops = {
    .has_room = has_room, .push = on_push, .gap = on_gap, .fail = on_fail, .level = on_level};

/* --- what must have come --- */

/* How many of the first n posts are as new on that topic. */
static bool
was_kept(const struct model *m, size_t i, size_t n)
{
	unsigned newer = 0;

	for (size_t j = i + 1; j < n; j++)
		newer += m->posts[j].topic == m->posts[i].topic;
	return newer < topics[m->posts[i].topic].keeps;
}

/* Whether the stream asked for that post, and must have it or be told that it is gone. */
static bool
is_asked_for(const struct model *m, const struct stream_model *st, size_t i)
{
	const struct post *p = &m->posts[i];
	uint64_t end = st->n_before == 0 ? m->world.begin : m->posts[st->n_before - 1].id;

	if (!is_wanted(st, p->topic))
		return false;
	if (i >= st->n_before)
		return true;
	switch (st->from.kind) {
	case POSITION_ID:
		/* outside of the log: all that it has follows */
		if (st->from.id < m->world.begin || st->from.id > end)
			return true;
		return p->id > st->from.id;
	case POSITION_ALL: /* a question, answered with what is there when it is looked for */
		return was_kept(m, i, m->n_posts);
	case POSITION_TIME:
		return p->time_ms >= st->from.time_ms && was_kept(m, i, m->n_posts);
	case POSITION_NONE:
	case POSITION_LAST:
	case POSITION_BAD:
		break;
	}
	return false;
}

static bool
has_got(const struct stream_model *st, uint64_t id)
{
	for (size_t i = 0; i < st->n_events; i++) {
		if (!st->events[i].is_gap && st->events[i].id == id)
			return true;
	}
	return false;
}

/* A gap that reaches as far, told before anything newer. */
static bool
was_told(const struct stream_model *st, uint64_t id)
{
	uint64_t newest = 0;

	for (size_t i = 0; i < st->n_events; i++) {
		const struct event *e = &st->events[i];

		if (e->is_gap && e->id >= id && newest <= e->id)
			return true;
		if (!e->is_gap)
			newest = e->id;
	}
	return false;
}

/* For who looks into a finding: FUZZ_SHOW=1. */
static void
show(const struct model *m, const struct stream_model *st)
{
	(void)fprintf(stderr, "stream: position %d of id %lld, patterns from %s\n",
	    (int)st->from.kind, (long long)(st->from.id - m->world.begin), st->patterns[0]);
	for (size_t i = 0; i < m->n_posts; i++)
		(void)fprintf(stderr, "  post #%llu on %s%s%s\n",
		    (unsigned long long)(m->posts[i].id - m->world.begin),
		    topics[m->posts[i].topic].name, i < st->n_before ? ", before" : "",
		    is_asked_for(m, st, i) ? ", asked for" : "");
	for (size_t i = 0; i < st->n_events; i++)
		(void)fprintf(stderr, "  %s #%lld\n", st->events[i].is_gap ? "gap" : "got",
		    (long long)(st->events[i].id - m->world.begin));
}

static void
check_stream(const struct model *m, const struct stream_model *st)
{
	uint64_t asked = st->from.kind == POSITION_ID ? st->from.id : 0;
	size_t n_missing = 0;
	size_t n_gaps = 0;

	if (getenv("FUZZ_SHOW") != NULL)
		show(m, st);
	for (size_t i = 0; i < m->n_posts; i++) {
		bool has_come = has_got(st, m->posts[i].id);

		n_missing +=
		    m->posts[i].id > asked && is_wanted(st, m->posts[i].topic) && !has_come;
		if (is_asked_for(m, st, i) && !has_come)
			NEED(was_told(st, m->posts[i].id));
	}
	for (size_t i = 0; i < st->n_events; i++)
		n_gaps += st->events[i].is_gap;
	if (st->from.kind == POSITION_BAD)
		NEED(n_gaps > 0 && st->events[0].is_gap);
	/* nothing is told where nothing is missing */
	if (st->from.kind == POSITION_ID && st->from.id >= m->world.begin &&
	    st->from.id < ID_UNKNOWN)
		NEED(n_gaps == 0 || n_missing > 0);
	if (st->from.kind == POSITION_NONE || st->from.kind == POSITION_ALL)
		NEED(n_gaps == 0 || n_missing > 0);
}

/* --- steps --- */

static struct position
position_of(const struct model *m, unsigned which)
{
	struct position p = {.kind = POSITION_NONE};
	size_t i = which / 8;

	switch (which % 8) {
	case 0:
		p.kind = POSITION_ALL;
		break;
	case 1:
		p.kind = POSITION_BAD;
		break;
	case 2:
		p = (struct position){
		    .kind = POSITION_TIME, .time_ms = m->world.now_ms - (int64_t)i * 1000};
		break;
	case 3:
		p = (struct position){.kind = POSITION_LAST, .last = (unsigned)i};
		break;
	case 4:
		p.kind = POSITION_ID;
		p.id = i == 0 ? ID_UNKNOWN : i == 1 ? 0 : m->world.begin;
		break;
	case 5:
	case 6: /* the id of a post, or the one before it */
		p.kind = POSITION_ID;
		p.id = m->n_posts == 0 ? m->world.begin
				       : m->posts[m->n_posts - 1 - i % m->n_posts].id - which % 2;
		break;
	default:
		break;
	}
	return p;
}

static void
open_stream(struct model *m, struct stream_model *st, unsigned which, unsigned pattern)
{
	bool resumed;
	int status = 0;

	world_turn(&m->world);
	st->is_open = true;
	st->room = UINT32_MAX;
	st->queued = 0;
	st->last_id = 0;
	st->n_events = 0;
	st->n_before = m->n_posts;
	st->patterns = patterns[pattern % ARRAY_LEN(patterns)];
	st->from = position_of(m, which);
	st->who = (struct subscriber){.ops = &ops,
	    .hub = &m->world.hubs[0],
	    .number = ++m->world.n_numbers,
	    .form = FORM_EVENTS,
	    .is_stream = true};
	for (const char *const *p = st->patterns; *p != NULL; p++)
		NEED(hub_subscribe(st->who.hub, &st->who, slice_str(*p), false, &status) != NULL);
	NEED(reader_start(st->who.hub, &st->who, NULL, &st->from, &resumed) == 0);
}

/* A ready stream has all that was asked for in the end. */
static void
finish_stream(struct model *m, struct stream_model *st)
{
	size_t before;

	if (!st->is_open)
		return;
	m->world.store->is_slow = false;
	st->room = UINT32_MAX;
	do {
		before = st->n_events;
		st->queued = 0;
		hub_drained(st->who.hub, &st->who);
		world_answer_reads(&m->world);
		world_turn(&m->world);
	} while (st->n_events != before);
	check_stream(m, st);
	hub_forget(st->who.hub, &st->who);
	st->is_open = false;
}

static void
post(struct model *m, unsigned topic)
{
	uint64_t id;

	NEED(world_say(&m->world, topics[topic].name, "text") == 0);
	if (topics[topic].keeps == 0)
		return;
	id = log_topic_last(m->world.log, slice_str(topics[topic].name));
	NEED(m->n_posts == 0 || id > m->posts[m->n_posts - 1].id);
	m->posts[m->n_posts++] = (struct post){id, topic, m->world.now_ms};
}

static void
step(struct model *m, unsigned what, unsigned which)
{
	struct stream_model *st = &m->streams[which % STREAMS];

	switch (what % 16) {
	case 0:
		finish_stream(m, st);
		break;
	case 1:
	case 2:
	case 3:
		finish_stream(m, st);
		open_stream(m, st, which / STREAMS, what / 16);
		break;
	case 4:
		if (st->is_open) {
			st->queued = 0;
			hub_drained(st->who.hub, &st->who);
		}
		break;
	case 5:
		st->room = which / STREAMS;
		break;
	case 6:
		m->world.store->is_slow = which % 2 == 0;
		break;
	case 7:
		world_answer_reads(&m->world);
		break;
	case 8:
		world_pass(&m->world, which * 100);
		break;
	case 9:
		log_sweep(m->world.log, m->world.now_ms);
		break;
	case 10:
		world_turn(&m->world);
		break;
	default:
		post(m, which % (unsigned)ARRAY_LEN(topics));
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct model m; /* too large for the stack */

	if (size > 2 * STEPS_MAX)
		return 0;
	m.n_posts = 0;
	NEED(world_init(&m.world, NULL));
	for (size_t i = 0; i + 1 < size; i += 2)
		step(&m, data[i], data[i + 1]);
	for (size_t i = 0; i < STREAMS; i++)
		finish_stream(&m, &m.streams[i]);
	world_done(&m.world);
	return 0;
}
