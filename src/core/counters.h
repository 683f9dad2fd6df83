/*
 * Counters and gauges: one struct for each thread that counts, written by that thread only,
 * read by any (relaxed atomics, no locked instruction on the way of a message). One table is
 * the truth for names, kinds and help texts of /metrics. To add one, add a row.
 */
#ifndef CORE_COUNTERS_H
#define CORE_COUNTERS_H

#include <stdatomic.h>

#include "base/buf.h"
#include "core/error.h"

/*
 * enum name, kind, metric, labels, help. Rows of one metric stand together. A gauge may go
 * down; a counter never does.
 */
#define COUNTERS(X)                                                                                \
	X(CONN_HTTP, gauge, "belfry_connections", "kind=\"http\"",                                 \
	    "Connections open now, by kind.")                                                      \
	X(CONN_WEBSOCKET, gauge, "belfry_connections", "kind=\"websocket\"", "")                   \
	X(CONN_EVENTS, gauge, "belfry_connections", "kind=\"events\"", "")                         \
	X(CONN_CHAT_SSE, gauge, "belfry_connections", "kind=\"chat_sse\"", "")                     \
	X(ACCEPTED, counter, "belfry_connections_accepted_total", "", "Connections accepted.")     \
	X(REQUESTS, counter, "belfry_http_requests_total", "", "HTTP requests read.")              \
	X(ANSWERS_1XX, counter, "belfry_http_answers_total", "status=\"1xx\"",                     \
	    "HTTP answers, by class of status.")                                                   \
	X(ANSWERS_2XX, counter, "belfry_http_answers_total", "status=\"2xx\"", "")                 \
	X(ANSWERS_3XX, counter, "belfry_http_answers_total", "status=\"3xx\"", "")                 \
	X(ANSWERS_4XX, counter, "belfry_http_answers_total", "status=\"4xx\"", "")                 \
	X(ANSWERS_5XX, counter, "belfry_http_answers_total", "status=\"5xx\"", "")                 \
	X(BYTES_IN, counter, "belfry_bytes_total", "direction=\"in\"", "Bytes read and written.")  \
	X(BYTES_OUT, counter, "belfry_bytes_total", "direction=\"out\"", "")                       \
	X(MESSAGES_IN, counter, "belfry_messages_total", "direction=\"in\"",                       \
	    "Messages that came from clients and that were queued for them.")                      \
	X(MESSAGES_OUT, counter, "belfry_messages_total", "direction=\"out\"", "")                 \
	X(APPENDS, counter, "belfry_appends_total", "", "Messages given to the log.")              \
	X(DUPLICATES, counter, "belfry_duplicates_total", "", "Messages whose key was known.")     \
	X(DELIVERIES, counter, "belfry_deliveries_total", "",                                      \
	    "Messages queued for a connection, live or replayed.")                                 \
	X(REPLAYED, counter, "belfry_replayed_total", "", "Those of them that were read back.")    \
	X(BEHIND, gauge, "belfry_behind", "", "Subscriptions reading the log behind its end now.") \
	X(FELL_BEHIND, counter, "belfry_fell_behind_total", "",                                    \
	    "Times a subscription fell behind because its queue was full.")                        \
	X(GAPS, counter, "belfry_gaps_total", "", "Gaps told to readers.")                         \
	X(DROPPED, counter, "belfry_dropped_total", "",                                            \
	    "Ephemeral messages not kept for a reader too slow.")                                  \
	X(SUBSCRIPTIONS, gauge, "belfry_subscriptions", "", "Subscriptions and joined rooms now.") \
	X(QUEUED_BYTES, gauge, "belfry_queued_bytes", "", "Bytes waiting in output queues now.")   \
	X(MEMORY_BYTES, gauge, "belfry_queue_memory_bytes", "",                                    \
	    "Memory of queues and bodies, as limits.memory counts it.")                            \
	X(TOKENS_CHECKED, counter, "belfry_tokens_checked_total", "", "Tokens looked at.")         \
	X(TOKENS_CACHED, counter, "belfry_tokens_cached_total", "",                                \
	    "Those of them whose signature had been verified before.")                             \
	X(TOKENS_REFUSED, counter, "belfry_tokens_refused_total", "", "Those of them refused.")    \
	X(GUEST_TOKENS, counter, "belfry_guest_tokens_total", "", "Guest tokens given out.")       \
	X(TURNS, counter, "belfry_loop_turns_total", "", "Turns of the workers' event loops.")     \
	X(BUSY_US, counter, "belfry_loop_busy_seconds_total", "",                                  \
	    "Time the workers' event loops spent working.")

enum counter {
#define X(name, kind, metric, labels, help) COUNTER_##name,
	COUNTERS(X)
#undef X
	COUNTER_COUNT,
};

/*
 * What a request must pass before it is served; the names of a token's checks are those of the
 * log (struct token_refusal).
 */
#define CHECKS(X)                                                                                  \
	X(TOO_LONG, "too_long")                                                                    \
	X(MALFORMED, "malformed")                                                                  \
	X(ALG, "alg")                                                                              \
	X(TYP, "typ")                                                                              \
	X(CRIT, "crit")                                                                            \
	X(B64, "b64")                                                                              \
	X(KID, "kid")                                                                              \
	X(SIGNATURE, "signature")                                                                  \
	X(EXP, "exp")                                                                              \
	X(NBF, "nbf")                                                                              \
	X(ISS, "iss")                                                                              \
	X(AUD, "aud")                                                                              \
	X(SUB, "sub")                                                                              \
	X(NAME, "name")                                                                            \
	X(JTI, "jti")                                                                              \
	X(IAT, "iat")                                                                              \
	X(BELFRY, "belfry")                                                                        \
	X(REVOKED, "revoked")                                                                      \
	X(SCOPE, "scope")   /* what the token permits */                                           \
	X(ORIGIN, "origin") /* where the page is from */                                           \
	X(HOST, "host")                                                                            \
	X(LIMIT, "limit") /* any of limits and rates */

enum check {
#define X(name, text) CHECK_##name,
	CHECKS(X)
#undef X
	CHECK_COUNT,
};

#define COUNTERS_REASONS 24 /* room for net's close reasons, asserted there */

/* Upper bounds of the latency histograms, in microseconds; what is above them all is counted too. */
#define COUNTERS_LATENCIES 10

/* How long something took, as a histogram: by one thread. */
struct latencies {
	_Atomic uint64_t counts[COUNTERS_LATENCIES + 1]; /* of those that took up to … */
	_Atomic uint64_t us;                             /* of all together */
};

struct counters {
	_Atomic uint64_t values[COUNTER_COUNT];
	_Atomic uint64_t closed[COUNTERS_REASONS]; /* by enum close_reason */
	_Atomic uint64_t refused[ERROR_CODE_COUNT];
	_Atomic uint64_t failed[CHECK_COUNT];
	struct latencies latencies; /* of appends */
};

/* One writer: a plain add, which other threads see whole. */
static inline void
counter_bump(_Atomic uint64_t *value, uint64_t n)
{
	uint64_t now = atomic_load_explicit(value, memory_order_relaxed);

	atomic_store_explicit(value, now + n, memory_order_relaxed);
}

static inline void
counter_add(struct counters *c, enum counter which, uint64_t n)
{
	counter_bump(&c->values[which], n);
}

/* Of gauges only. */
static inline void
counter_sub(struct counters *c, enum counter which, uint64_t n)
{
	counter_bump(&c->values[which], 0 - n);
}

static inline void
counter_set(struct counters *c, enum counter which, uint64_t value)
{
	atomic_store_explicit(&c->values[which], value, memory_order_relaxed);
}

static inline uint64_t
counter_get(const struct counters *c, enum counter which)
{
	return atomic_load_explicit(&c->values[which], memory_order_relaxed);
}

static inline void
counter_closed(struct counters *c, unsigned reason)
{
	if (reason < COUNTERS_REASONS)
		counter_bump(&c->closed[reason], 1);
}

static inline void
counter_refused(struct counters *c, enum error_code code)
{
	counter_bump(&c->refused[code], 1);
}

static inline void
counter_failed(struct counters *c, enum check check)
{
	counter_bump(&c->failed[check], 1);
}

/* The check by its name; one that is not in the table is not counted. */
void counter_failed_name(struct counters *c, const char *check);
/* An append came back committed after so long. */
void counter_latency(struct counters *c, uint64_t us);
/* Something took so long; by the thread whose histogram it is. */
void latencies_add(struct latencies *l, uint64_t us);
/* A histogram with its HELP and TYPE lines; failures stick to out. */
void latencies_write(
    struct buf *out, const char *metric, const char *help, const struct latencies *l);
/* HTTP answers by class; status 100..599. */
void counter_answer(struct counters *c, int status);

/* The sum over n structs. */
uint64_t counters_sum(const struct counters *const *all, size_t n, enum counter which);

/*
 * Prometheus text (exposition format 0.0.4) of the sums over n structs, appended.
 *
 * reasons  borrowed names of the close reasons, by their number; at most COUNTERS_REASONS of
 *          n_reasons are written
 *
 * 0, or negative (buf).
 */
int counters_write(struct buf *out, const struct counters *const *all, size_t n,
    const char *const *reasons, size_t n_reasons);
/*
 * One more metric of the process, with its HELP and TYPE lines: kind is "gauge" or "counter".
 * 0, or negative (buf).
 */
int counters_write_one(
    struct buf *out, const char *metric, const char *kind, const char *help, uint64_t value);

#endif
