#include "serve/query.h"

#include "base/utf8.h"
#include "core/hub.h"
#include "proto/url.h"

#define VALUE_MAX 8192

bool
query_has(const struct exchange *x, const char *name)
{
	struct buf b = BUF_INIT(VALUE_MAX);
	struct slice value;
	int r = url_query_get(x->head->query, name, &b, &value);

	buf_done(&b);
	return r != 0;
}

int
query_get(const struct exchange *x, const char *name, struct buf *out, struct refusal *why)
{
	struct slice value;
	int r = url_query_get(x->head->query, name, out, &value);

	if (r < 0 && out->error == -ENOMEM)
		return refuse_memory(why);
	if (r < 0)
		return refuse(
		    why, ERROR_BAD_FIELD, "the query parameter %s cannot be decoded", name);
	if (r == 0)
		return 0;
	if (!utf8_is_valid(value))
		return refuse(why, ERROR_BAD_FIELD, "the query parameter %s is not UTF-8", name);
	out->n = (size_t)(value.p - out->p) + value.n;
	return 1;
}

/* Digits, however many: what 64 bits do not hold is the most that they do. */
static int
read_number(struct slice s, uint64_t *out)
{
	if (slice_to_u64(s, out) == 0)
		return 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -1;
	}
	if (s.n == 0)
		return -1;
	*out = UINT64_MAX;
	return 0;
}

int
query_u64(const struct exchange *x, const char *name, uint64_t *out, struct refusal *why)
{
	struct buf b = BUF_INIT(VALUE_MAX);
	int r = query_get(x, name, &b, why);

	if (r > 0 && read_number(buf_slice(&b), out) < 0)
		r = refuse(why, ERROR_BAD_FIELD,
		    "the query parameter %s must be an integer that is not negative", name);
	buf_done(&b);
	return r < 0 ? -1 : 0;
}

int
query_count(const struct exchange *x, const char *name, uint64_t *out, struct refusal *why)
{
	struct buf b = BUF_INIT(VALUE_MAX);
	int r = query_get(x, name, &b, why);
	struct slice s = buf_slice(&b);
	bool is_below = s.n > 1 && s.p[0] == '-';

	if (r > 0 && read_number(is_below ? slice_skip(s, 1) : s, out) < 0)
		r = refuse(why, ERROR_BAD_FIELD, "the query parameter %s must be an integer", name);
	else if (r > 0 && is_below)
		*out = 0;
	buf_done(&b);
	return r < 0 ? -1 : 0;
}

/* `last`, else the default; above POSITION_LAST_MAX it is that. */
static int
read_last(const struct exchange *x, unsigned by_default, struct position *out, struct refusal *why)
{
	uint64_t last = by_default;

	if (query_u64(x, "last", &last, why) < 0)
		return -1;
	*out = (struct position){
	    .kind = POSITION_LAST, .last = (unsigned)min_u64(last, POSITION_LAST_MAX)};
	return 0;
}

int
query_position(const struct exchange *x, unsigned last, struct position *out, struct refusal *why)
{
	struct buf b = BUF_INIT(VALUE_MAX);
	int r = query_get(x, "after", &b, why);

	if (r > 0)
		*out = position_parse(buf_slice(&b), serve_of(x)->hub->now_ms);
	buf_done(&b);
	if (r != 0)
		return r < 0 ? -1 : 0;
	return read_last(x, last, out, why);
}

int
query_resume(const struct exchange *x, unsigned last, struct position *out, struct refusal *why)
{
	static const char *const names[] = {"last_event_id", "lastEventID", "after"};
	struct slice header = http_header(x->head, SLICE("Last-Event-ID"), NULL);
	int64_t now_ms = serve_of(x)->hub->now_ms;

	if (header.n > 0) {
		*out = position_parse(header, now_ms);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct buf b = BUF_INIT(VALUE_MAX);
		int r = query_get(x, names[i], &b, why);
		bool is_there = r < 0 || (r > 0 && b.n > 0);

		if (r < 0 && why->code == ERROR_UNAVAILABLE) {
			buf_done(&b);
			return -1;
		}
		if (r < 0)
			*out = (struct position){.kind = POSITION_BAD};
		else if (is_there)
			*out = position_parse(buf_slice(&b), now_ms);
		buf_done(&b);
		if (is_there)
			return 0;
	}
	return read_last(x, last, out, why);
}
