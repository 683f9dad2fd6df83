#include "core/publish.h"
#include "core/reader.h"
#include "proto/http.h"
#include "proto/json.h"

/* `at`: when a message is to be published (docs/wire.md, "Later"). */

/* Seconds, as many clocks say them: a fraction may follow. Milliseconds, or -1. */
static int
seconds_parse(struct slice s, uint64_t *out_ms)
{
	struct slice rest = s;
	struct slice whole = slice_cut(&rest, '.');
	uint64_t thousandth = 100;
	uint64_t n;

	if (slice_to_u64(whole, &n) < 0 || (whole.n < s.n && rest.n == 0))
		return -1;
	n = min_u64(n, INT64_MAX / 1000 - 1) * 1000;
	for (size_t i = 0; i < rest.n; i++, thousandth /= 10) {
		if (rest.p[i] < '0' || rest.p[i] > '9')
			return -1;
		n += (uint64_t)(rest.p[i] - '0') * thousandth;
	}
	*out_ms = n;
	return 0;
}

static int
time_of_text(struct slice s, int64_t now_ms, int64_t *out_ms, struct refusal *why)
{
	/* a plus sign in a query is a space */
	bool is_while = s.n > 0 && (s.p[0] == '+' || s.p[0] == ' ');
	uint64_t n = 0;
	int64_t us;

	s = slice_trim(s);
	if (s.n > 0 && s.p[0] == '+')
		s = slice_skip(s, 1);
	if (duration_parse(s, &n) == 0 || (is_while && seconds_parse(s, &n) == 0))
		*out_ms = n > (uint64_t)(INT64_MAX - now_ms) ? INT64_MAX : now_ms + (int64_t)n;
	else if (seconds_parse(s, &n) == 0)
		*out_ms = (int64_t)n;
	else if (rfc3339_parse(s, &us) == 0)
		*out_ms = us / 1000;
	else
		return refuse(why, ERROR_BAD_FIELD, "%s", DRAFT_AT_WANTED);
	return 0;
}

int
draft_take_time(struct draft *d, int64_t now_ms, uint64_t ahead_ms, struct refusal *why)
{
	int64_t at_ms = 0;

	d->at_ms = 0;
	if (d->at_s != 0)
		at_ms = d->at_s > INT64_MAX / 1000 ? INT64_MAX : (int64_t)d->at_s * 1000;
	else if (slice_trim(d->at).n == 0)
		return 0; /* as every empty field: it is not there */
	else if (time_of_text(d->at, now_ms, &at_ms, why) < 0)
		return -1;
	if (at_ms > now_ms && (uint64_t)(at_ms - now_ms) > ahead_ms)
		return refuse_limit(why, ERROR_BAD_FIELD, "storage.scheduled_ahead", 0,
		    "at is more than %llu seconds ahead", (unsigned long long)(ahead_ms / 1000));
	d->at_ms = at_ms < now_ms ? now_ms : at_ms; /* what is over is due */
	return 0;
}

void
append_result(struct buf *b, const struct append_item *item, struct slice topic)
{
	if (item->what == APPEND_LATER) {
		(void)json_add_member_u64(b, "scheduled", item->id);
		(void)json_add_member_i64(b, "at", item->at_ms / 1000);
		if (topic.p != NULL)
			(void)json_add_member_string(b, "topic", topic);
		if (item->duplicate)
			(void)json_add_member_bool(b, "duplicate", true);
		return;
	}
	if (item->id != 0) {
		(void)JSON_ADD_KEY(b, "id");
		if (message_says_id(
			item->message, item->id)) /* its digits are there: 100 instructions */
			(void)buf_add(
			    b, item->message->json.p + item->message->id_at, MESSAGE_ID_DIGITS);
		else
			(void)buf_add_u64(b, item->id);
	}
	if (item->what == APPEND_CHANGE)
		(void)json_add_member_u64(b, "target", item->message->target);
	if (topic.p != NULL) {
		(void)JSON_ADD_KEY(b, "topic");
		(void)json_add_string(b, topic);
	}
	(void)JSON_ADD_KEY(b, "duplicate");
	(void)(item->duplicate ? BUF_ADD_LIT(b, "true") : BUF_ADD_LIT(b, "false"));
}
