#include "serve/stream.h"

#include "base/rng.h"
#include "core/config.h"
#include "core/counters.h"
#include "net/conn.h"
#include "proto/json.h"
#include "proto/sse.h"
#include "serve/serve.h"

bool
stream_accepts(const struct exchange *x, const char *type)
{
	struct http_elements ranges = {.head = x->head, .name = SLICE("Accept")};
	struct slice range;

	while ((range = http_elements_next(&ranges)).p != NULL) {
		if (slice_eq_nocase(slice_trim(slice_cut(&range, ';')), slice_str(type)))
			return http_header_quality(x->head, SLICE("Accept"), slice_str(type)) > 0;
	}
	return false;
}

bool
stream_wants_lines(const struct exchange *x)
{
	int lines = http_header_quality(x->head, SLICE("Accept"), SLICE("application/x-ndjson"));
	int events = http_header_quality(x->head, SLICE("Accept"), SLICE("text/event-stream"));

	if (lines <= 0 || lines != events)
		return lines > 0 && lines > events;
	/* where both will do, that which is named */
	return stream_accepts(x, "application/x-ndjson") && !stream_accepts(x, "text/event-stream");
}

void
stream_turn_away(struct exchange *x, const struct refusal *why)
{
	uint64_t retry_ms = (uint64_t)why->retry_after_s * 1000 + rng_below(3000);
	struct buf json = BUF_INIT(1024);
	struct buf b = BUF_INIT(2048);

	if (stream_wants_lines(x) || why->retry_after_s == 0) {
		serve_refuse(x, why);
		return;
	}
	(void)buf_add_char(&json, '{'); /* failures stick */
	(void)json_add_member_string(&json, "type", SLICE("closing"));
	(void)json_add_member_string(&json, "reason", slice_str(why->text));
	if (why->limit != NULL)
		(void)json_add_member_string(&json, "limit", slice_str(why->limit));
	(void)json_add_member_u64(&json, "retry", retry_ms);
	(void)buf_add_char(&json, '}');
	(void)sse_retry(&b, retry_ms);
	(void)sse_event(&b, SLICE("closing"), 0, buf_slice(&json));
	if (b.failed || json.failed) {
		exchange_abandon(x);
	} else {
		counter_refused(x->net->counters, why->code);
		counter_failed(x->net->counters, CHECK_LIMIT);
		counter_add(x->net->counters, COUNTER_MESSAGES_OUT, 1);
		x->keep_alive = false;
		exchange_header(x, "Cache-Control", SLICE("no-cache, no-transform"));
		exchange_reply(x, 200, "text/event-stream", buf_slice(&b));
	}
	buf_done(&json);
	buf_done(&b);
}

int
stream_begin(struct exchange *x, const char *content_type, const struct conn_ops *ops, void *data)
{
	exchange_header(x, "Cache-Control", SLICE("no-cache, no-transform"));
	exchange_header(x, "X-Accel-Buffering", SLICE("no"));
	return exchange_stream_start(x, 200, content_type, -1, ops, data);
}

void
stream_push(struct conn *c, struct buf *b)
{
	if (b->failed)
		conn_fail(c, CLOSE_NO_MEMORY);
	else if (b->n > 0)
		conn_push_bytes(c, buf_slice(b));
	buf_done(b);
}

uint64_t
stream_retry_ms(const struct config *c)
{
	uint64_t retry_ms = c->events.retry_ms;

	return retry_ms / 2 + rng_below((uint32_t)retry_ms + 1);
}
