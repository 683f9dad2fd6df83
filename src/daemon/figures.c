#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/config.h"
#include "daemon/server.h"
#include "net/conn.h"
#include "proto/json.h"

/* The daemon's own figures: /metrics, and the feeds that publish them as messages. */

uint64_t
server_resident_bytes(void)
{
	char line[128] = "";
	char *at = line;
	uint64_t pages;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f == NULL)
		return 0;
	if (fgets(line, sizeof(line), f) == NULL)
		line[0] = '\0';
	(void)fclose(f);             /* only read */
	(void)strtoull(at, &at, 10); /* the whole size; the second number is what is resident */
	pages = strtoull(at, NULL, 10);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Of a sanitizer's allocator, of which mallinfo2 knows nothing; NULL in an ordinary build. */
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak)); // NOLINT

/*
 * What is allocated, the allocator's own heads included. It walks what is free: for people who ask,
 * not for every turn.
 */
static uint64_t
heap_bytes(void)
{
	struct mallinfo2 m;

	if (__sanitizer_get_current_allocated_bytes != NULL)
		return __sanitizer_get_current_allocated_bytes();
	m = mallinfo2();
	return m.uordblks + m.hblkhd;
}

static size_t
all_counters(const struct server *s, const struct counters *out[SERVER_MAX_WORKERS])
{
	for (unsigned i = 0; i < s->n_workers; i++)
		out[i] = &s->workers[i].counters;
	return s->n_workers;
}

void
server_metrics(void *ctx, struct buf *out)
{
	const struct server *s = ctx;
	const struct counters *all[SERVER_MAX_WORKERS];
	size_t n = all_counters(s, all);
	struct log_extent extent;

	log_extent(s->log, &extent);
	(void)counters_write(
	    out, all, n, conn_reason_names(), CLOSE_REASON_COUNT); /* a failure sticks to out */
	(void)counters_write_one(out, "belfry_topics", "gauge", "Topics known.", extent.topics);
	(void)counters_write_one(
	    out, "belfry_log_messages", "gauge", "Messages kept in the log.", extent.messages);
	(void)counters_write_one(
	    out, "belfry_log_bytes", "gauge", "Bytes that they take.", extent.bytes);
	log_metrics(s->log, out);
	(void)counters_write_one(out, "belfry_workers", "gauge", "Worker threads.", s->n_workers);
	(void)counters_write_one(out, "process_resident_memory_bytes", "gauge",
	    "Resident memory of the process.", server_resident_bytes());
	(void)counters_write_one(out, "belfry_heap_bytes", "gauge",
	    "Memory allocated by the process, of all threads.", heap_bytes());
	(void)counters_write_one(out, "belfry_process_id", "gauge",
	    "The daemon's process: belfryctl bench looks at its CPU time.", (uint64_t)getpid());
	(void)counters_write_one(out, "process_uptime_seconds", "gauge", "Seconds since the start.",
	    (clock_mono_us() / 1000 - s->started_ms) / 1000);
}

static void
add_figures(const struct server *s, uint64_t now_ms, struct buf *b)
{
	const struct counters *all[SERVER_MAX_WORKERS];
	size_t n = all_counters(s, all);
	uint64_t websocket = counters_sum(all, n, COUNTER_CONN_WEBSOCKET);
	uint64_t streams =
	    counters_sum(all, n, COUNTER_CONN_EVENTS) + counters_sum(all, n, COUNTER_CONN_CHAT_SSE);
	struct log_extent extent;

	log_extent(s->log, &extent);
	(void)json_add_member_u64(
	    b, "uptime", (now_ms - s->started_ms) / 1000); /* failures stick */
	(void)json_add_member_u64(
	    b, "connections", counters_sum(all, n, COUNTER_CONN_HTTP) + websocket + streams);
	(void)json_add_member_u64(b, "websockets", websocket);
	(void)json_add_member_u64(b, "streams", streams);
	(void)json_add_member_u64(b, "rooms", log_rooms(s->log));
	(void)json_add_member_u64(b, "topics", extent.topics);
	(void)json_add_member_u64(b, "messages", counters_sum(all, n, COUNTER_MESSAGES_IN));
	(void)json_add_member_u64(b, "deliveries", counters_sum(all, n, COUNTER_DELIVERIES));
	(void)json_add_member_u64(b, "stored", extent.messages);
	(void)json_add_member_u64(b, "stored_bytes", extent.bytes);
	(void)json_add_member_u64(b, "behind", counters_sum(all, n, COUNTER_BEHIND));
	(void)json_add_member_u64(b, "gaps", counters_sum(all, n, COUNTER_GAPS));
	(void)json_add_member_u64(b, "queued_bytes", counters_sum(all, n, COUNTER_QUEUED_BYTES));
	(void)json_add_member_u64(b, "memory", server_resident_bytes());
}

/* The figures with the rate since the last time. */
static void
write_figures(struct server *s, uint64_t now_ms, struct buf *b)
{
	const struct counters *all[SERVER_MAX_WORKERS];
	size_t n = all_counters(s, all);
	uint64_t messages = counters_sum(all, n, COUNTER_MESSAGES_IN);
	uint64_t elapsed_ms = max_u64(1, now_ms - s->last_feed_ms);
	uint64_t since = messages - s->last_messages;
	uint64_t rate = s->last_feed_ms == 0 ? 0 : (since * 1000 + elapsed_ms / 2) / elapsed_ms;

	(void)buf_add_char(b, '{'); /* a failure sticks */
	add_figures(s, now_ms, b);
	(void)json_add_member_u64(b, "messages_per_second", rate);
	(void)buf_add_char(b, '}');
	s->last_messages = messages;
	s->last_feed_ms = now_ms;
}

void
server_stats(void *ctx, struct buf *out)
{
	const struct server *s = ctx;

	(void)json_add_member_string(
	    out, "version", slice_str(BELFRY_VERSION)); /* failures stick */
	(void)json_add_member_u64(out, "workers", s->n_workers);
	add_figures(s, clock_mono_us() / 1000, out);
}

static void
publish(struct server *s, const char *topic, struct slice figures, int64_t wall_ms)
{
	struct message_notice notice = {
	    .topic = slice_str(topic), .event = SLICE("stats"), .data = figures};
	struct append *a = append_new(1);

	if (a == NULL)
		return; /* the next figures come in a moment */
	a->worker = LOG_NO_WORKER;
	a->now_ms = wall_ms;
	a->items[0].message = message_notice(
	    &notice, SLICE_NONE, config_rule(s->setup->config, notice.topic), wall_ms, 0);
	if (a->items[0].message == NULL || log_append(s->log, a, LOG_NO_WORKER) < 0)
		append_free(a);
}

void
feeds_tick(struct server *s, uint64_t now_ms, int64_t wall_ms)
{
	const struct config *c = s->setup->config;
	struct buf b = BUF_INIT(4096);

	for (size_t i = 0; i < c->n_feeds && i < ARRAY_LEN(s->feeds); i++) {
		/* due later than it can be: a reload has made it more frequent */
		if (now_ms < s->feeds[i].due_ms &&
		    s->feeds[i].due_ms - now_ms <= c->feeds[i].every_ms)
			continue;
		s->feeds[i].due_ms = now_ms + c->feeds[i].every_ms;
		if (b.n == 0)
			write_figures(s, now_ms, &b);
		if (!b.failed)
			publish(s, c->feeds[i].topic, buf_slice(&b), wall_ms);
	}
	buf_done(&b);
}
