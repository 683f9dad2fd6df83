#include <errno.h>
#include <stdio.h>

#include "base/rng.h"
#include "core/measure.h"
#include "core/moderation.h"
#include "core/name.h"
#include "core/publish.h"
#include "proto/json.h"
#include "serve/chat.h"

void
chat_request_done(struct chat_request *r)
{
	buf_done(&r->room);
	buf_done(&r->name);
}

static int
read_format(const struct exchange *x, enum chat_format *out, struct refusal *why)
{
	static const char *const names[] = {
	    [CHAT_JSON] = "json", [CHAT_TEXT] = "text", [CHAT_RAW] = "raw"};
	struct buf b = BUF_INIT(256);
	int r = query_get(x, "format", &b, why);

	if (r > 0) {
		r = refuse(why, ERROR_BAD_FIELD, "format must be json, text or raw");
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			if (!slice_eq(buf_slice(&b), slice_str(names[i])))
				continue;
			*out = (enum chat_format)i;
			r = 0;
		}
	}
	buf_done(&b);
	return r;
}

/* What the query gave becomes what is shown. */
static int
check_name(struct buf *name, struct refusal *why)
{
	struct buf clean = BUF_INIT(4096);

	if (name->n == 0)
		return 0;
	if (name_take(buf_slice(name), &clean, why) < 0)
		return -1;
	buf_done(name);
	*name = clean;
	return 0;
}

int
chat_request_read(struct exchange *x, bool is_stream, struct chat_request *out, struct refusal *why)
{
	int r;

	*out = (struct chat_request){.room = BUF_INIT(4096), .name = BUF_INIT(4096)};
	r = query_get(x, "room", &out->room, why);
	if (r > 0 && out->room.n == 0)
		r = refuse(why, ERROR_BAD_FIELD, "room is empty");
	if (r >= 0)
		r = query_get(x, "name", &out->name, why);
	if (r >= 0)
		r = check_name(&out->name, why);
	if (r >= 0 && is_stream)
		r = query_resume(x, SESSION_LAST, &out->from, why);
	else if (r >= 0)
		r = query_position(x, SESSION_LAST, &out->from, why);
	if (r >= 0)
		r = read_format(x, &out->format, why);
	if (r >= 0 && out->format == CHAT_RAW) /* nothing is kept of it, nothing is waited for */
		out->from = (struct position){.kind = POSITION_NONE};
	/* formats without a join of their own are in the default room */
	if (r >= 0 && out->room.n == 0 && out->format != CHAT_JSON)
		r = buf_add_str(&out->room, serve_of(x)->config->chat.default_room) < 0
			? refuse_memory(why)
			: 0;
	if (r < 0)
		chat_request_done(out);
	return r < 0 ? -1 : 0;
}

int
chat_check_room(const struct hub *h, const struct chat_request *r, const struct claims *claims,
    struct refusal *why)
{
	struct message_from user = {slice_str(claims->user_id), slice_str(claims->name)};
	struct buf topic = BUF_INIT(ROOM_TOPIC_MAX);
	int status = 0;

	if (r->room.n == 0)
		return 0;
	status = room_topic(&topic, buf_slice(&r->room), why);
	if (status == 0)
		status = moderation_may_read(h, claims, buf_slice(&topic), why);
	if (status == 0)
		status = publish_check_name(h, claims, &user, buf_slice(&topic), why);
	buf_done(&topic);
	return status;
}

void
chat_new_id(unsigned worker, char out[CHAT_ID_SIZE])
{
	uint64_t id[2];

	rng_fill(id, sizeof(id)); /* in one system call */
	(void)snprintf(out, CHAT_ID_SIZE, "%02x%016llx%016llx", worker & 0xff,
	    (unsigned long long)id[0], (unsigned long long)id[1]);
}

uint64_t
chat_silent_at(const struct chat *c)
{
	/* the last sign of life is known to the second, rounded down */
	return conn_last_seen_ms(chat_conn(c)) + 1000 +
	       2 * c->session.who.hub->config->chat.heartbeat_ms;
}

uint64_t
chat_next_deadline(const struct chat *c)
{
	uint64_t typing_ms = session_typing_due(&c->session);
	uint64_t at_ms = lifetime_deadline(&c->lifetime, c->session.who.hub, c->session.claims);

	if (c->lifetime.was_pinged)
		at_ms = min_u64(at_ms, chat_silent_at(c));
	if (session_is_joining(&c->session))
		at_ms = min_u64(at_ms, c->session.who.hub->mono_us / 1000 + SESSION_JOIN_MS);
	return typing_ms == 0 ? at_ms : min_u64(at_ms, typing_ms);
}

static struct conn *
conn_of(struct subscriber *who)
{
	return who->outlet;
}

bool
chat_has_room(struct subscriber *who)
{
	return conn_has_room(conn_of(who));
}

void
chat_push(struct subscriber *who, struct wire *w)
{
	counter_add(who->hub->counters, COUNTER_MESSAGES_OUT, 1);
	conn_push(conn_of(who), w);
}

void
chat_fail(struct subscriber *who)
{
	conn_fail(conn_of(who), CLOSE_NO_MEMORY);
}

const struct refusal *
chat_note_refusal(const struct chat *c, const struct refusal *r, struct refusal *veiled)
{
	char peer[EXCHANGE_PEER];
	char who[80];

	(void)snprintf(who, sizeof(who), "peer=%s", conn_peer(chat_conn(c), peer));
	return serve_note_refusal(conn_net(chat_conn(c))->owner, who, r, veiled);
}

int
chat_text_line(struct buf *out, const char *type, struct slice json)
{
	bool is_closing = strcmp(type, "closing") == 0;
	cJSON *tree = NULL;

	if (strcmp(type, "gap") == 0)
		return BUF_ADD_LIT(out, "* gap");
	if ((is_closing || strcmp(type, "left") == 0) && json_parse(json, &tree, NULL) == 0) {
		struct slice reason = json_string(json_member(tree, "reason"));

		if (reason.p != NULL)
			(void)buf_printf(out, "* %s: %.*s", type, SLICE_ARG(reason));
	}
	cJSON_Delete(tree);
	return out->failed ? -ENOMEM : 0;
}

void
chat_text_refusal(struct buf *out, const struct refusal *r)
{
	(void)buf_printf(out, "! %s: %s", error_name(r->code), r->text);
}

static void
say_expiring(struct chat *c, int64_t in_s)
{
	char json[LIFETIME_JSON];

	session_ops_of(&c->session)
	    ->send(&c->session, "expiring", 0, lifetime_expiring(in_s, json));
}

bool
chat_token_lives(struct chat *c)
{
	const struct hub *h = c->session.who.hub;
	int64_t in_s = 0;

	switch (lifetime_check(&c->lifetime, h, c->session.claims, &in_s)) {
	case LIFETIME_EXPIRED:
		return false;
	case LIFETIME_EXPIRING:
		say_expiring(c, in_s);
		return in_s > 0;
	case LIFETIME_GOES_ON:
		break;
	}
	return true;
}
