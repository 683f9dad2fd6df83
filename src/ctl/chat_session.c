#include "ctl/chat_session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "core/error.h"
#include "core/topic.h"
#include "proto/json.h"

#define SHOWN_MAX   67108864
#define QUIET_MS    1000  /* without anything new, stored messages are taken for all there */
#define PATIENCE_MS 60000 /* a request that may be made again later is put off for so long */
#define TRIES_MAX   10
#define AGAIN_MS    1000
#define NOTE_MAX    400
#define REF_JOIN    "join"
#define REF_OWN     "own"
#define REF_LEAVE   "leave"
#define REF_MOVED   "moved"

int
session_init(struct session *s, struct slice room, uint64_t last)
{
	*s = (struct session){
	    .last = last, .shown = BUF_INIT(SHOWN_MAX), .notes = BUF_INIT(SHOWN_MAX)};
	view_init(&s->view);
	outbox_init(&s->outbox);
	return view_set_room(&s->view, room);
}

void
session_done(struct session *s)
{
	outbox_done(&s->outbox);
	view_done(&s->view);
	buf_done(&s->shown);
	buf_done(&s->notes);
	mem_free(s->returned);
	mem_free(s->left);
	s->returned = NULL;
	s->left = NULL;
}

void
session_note(struct session *s, const char *fmt, ...)
{
	char text[NOTE_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args); /* what does not fit is left out */
	va_end(args);
	view_note(&s->view, slice_str(text), &s->notes);
}

static void
end_with(struct session *s, int code)
{
	if (!s->is_over)
		s->code = code;
	s->is_over = true;
}

/* --- lines --- */

static void
refuse_line(struct session *s, struct slice line, const char *why)
{
	session_note(s, "%s", why);
	if (s->refused == 0)
		s->refused = EX_DATAERR;
	mem_free(s->returned);
	s->returned = mem_strdup(line); /* without memory it is not given back */
}

/*
 * What is said of a message means the one that stood there while it was typed. While what is stored
 * still comes, and of one's own that may be under way, that is found out when its turn comes.
 */
static void
resolve_early(struct session *s)
{
	struct outbox_entry *e = outbox_last(&s->outbox);
	const char *wrong;

	if (s->is_level && e->verb != WORDS_EDIT && e->verb != WORDS_DELETE &&
	    outbox_resolve(e, &s->view, &wrong) < 0)
		return; /* it is tried again */
}

void
session_line(struct session *s, struct slice line)
{
	const struct outbox_entry *last = outbox_last(&s->outbox);
	struct words w = words_read(line);

	if (last != NULL && last->verb == WORDS_QUIT)
		return; /* nothing is said after the farewell */
	if (!utf8_is_valid(line) || memchr(line.p, '\0', line.n) != NULL) {
		refuse_line(s, SLICE(""), "not sent: a line that is no UTF-8 text");
		return;
	}
	if (w.verb == WORDS_JOIN && slice_has_prefix(w.text, SLICE("chat/")))
		w.text = slice_skip(w.text, 5);
	switch ((int)w.verb) {
	case WORDS_NOTHING:
		return;
	case WORDS_WRONG:
		refuse_line(s, line, w.wrong);
		return;
	case WORDS_HELP:
		view_note(&s->view, slice_of(words_help, strlen(words_help) - 1), &s->notes);
		return;
	default:
		break;
	}
	if (w.verb == WORDS_JOIN)
		w.n = s->last;
	if (outbox_add(&s->outbox, &w, line) < 0)
		refuse_line(s, line, "no memory");
	else
		resolve_early(s);
}

size_t
session_unsent(struct session *s)
{
	struct outbox_entry *e;
	size_t n = 0;

	TAILQ_FOREACH (e, &s->outbox.entries, entry) {
		if (e->verb == WORDS_QUIT)
			continue;
		n++;
		session_note(s, "%s: %s", e->was_sent ? "perhaps not sent" : "not sent", e->line);
	}
	return n;
}

/* --- what is sent --- */

static void
write_join(struct session *s, struct buf *out)
{
	struct view *v = &s->view;

	(void)buf_printf(out, "{\"type\":\"join\",\"ref\":\"" REF_JOIN "\",\"room\":"); /* sticks */
	(void)json_add_string(out, slice_str(v->room));
	/* behind the last one that came; when none had, behind what there was on joining */
	if (v->cursor != 0 || v->latest != 0)
		(void)json_add_member_u64(out, "after", v->cursor != 0 ? v->cursor : v->latest);
	else
		(void)json_add_member_u64(out, "last", s->last);
	(void)buf_add_char(out, '}');
	s->is_join_sent = true;
}

/* The own topic brings what others say to this user alone. */
static void
write_own(struct session *s, struct buf *out)
{
	struct view *v = &s->view;
	struct buf topic = BUF_INIT(4096);

	(void)BUF_ADD_LIT(&topic, "user/"); /* failures stick */
	(void)topic_add_segment(&topic, slice_str(v->own_id));
	(void)buf_printf(out, "{\"type\":\"subscribe\",\"ref\":\"" REF_OWN "\",\"topic\":");
	(void)json_add_string(out, buf_slice(&topic));
	if (v->direct_cursor != 0)
		(void)json_add_member_u64(out, "after", v->direct_cursor);
	(void)buf_add_char(out, '}');
	buf_done(&topic);
	s->is_own_sent = true;
}

static void
write_leave(const char *room, const char *ref, struct buf *out)
{
	(void)buf_printf(out, "{\"type\":\"leave\",\"ref\":\"%s\",\"room\":", ref); /* sticks */
	(void)json_add_string(out, slice_str(room));
	(void)buf_add_char(out, '}');
}

/* Stored messages are there, as far as can be told: what was deleted never comes. */
static void
look_level(struct session *s, uint64_t now_ms)
{
	if (s->view.cursor >= s->view.latest || now_ms - s->heard_ms > QUIET_MS)
		s->is_level = true;
}

static int
front_next(struct session *s, uint64_t now_ms, struct buf *out)
{
	struct outbox_entry *e = outbox_front(&s->outbox);
	const char *wrong = "no memory";

	if (e != NULL && e->verb == WORDS_QUIT) {
		s->is_quitting = true;
		return 0;
	}
	if (e == NULL || s->is_front_sent || now_ms < s->not_before_ms)
		return 0;
	if ((!e->is_resolved || e->verb == WORDS_HISTORY) && !s->is_level)
		return 0;
	if (outbox_write(&s->outbox, &s->view, out, &wrong) < 0) {
		refuse_line(s, slice_str(e->line), wrong);
		outbox_pop(&s->outbox);
		return 0;
	}
	if (s->max_message != 0 && out->n > s->max_message) {
		refuse_line(s, slice_str(e->line), "not sent: it is longer than the daemon takes");
		outbox_pop(&s->outbox);
		buf_reset(out);
		return 0;
	}
	s->is_front_sent = true;
	e->was_sent = true;
	return 1;
}

int
session_next(struct session *s, uint64_t now_ms, struct buf *out)
{
	size_t n;

	if (!s->is_welcome || s->is_over || s->is_leave_sent)
		return 0;
	if (!s->is_join_sent) {
		write_join(s, out);
		return 1;
	}
	if (!s->is_joined)
		return 0;
	look_level(s, now_ms);
	if (!s->is_own_sent) {
		write_own(s, out);
		return 1;
	}
	if (s->left != NULL) {
		write_leave(s->left, REF_MOVED, out);
		mem_free(s->left);
		s->left = NULL;
		return 1;
	}
	do { /* one that is wrong makes room for the next */
		n = s->outbox.n;
		if (!s->is_quitting && front_next(s, now_ms, out) > 0)
			return 1;
	} while (s->outbox.n < n);
	if (!s->is_quitting && !(s->is_input_over && s->outbox.n == 0 && s->is_level))
		return 0;
	write_leave(s->view.room, REF_LEAVE, out);
	s->is_leave_sent = true;
	return 1;
}

uint64_t
session_wait_ms(const struct session *s, uint64_t now_ms)
{
	if (s->outbox.n > 0 && now_ms < s->not_before_ms)
		return s->not_before_ms - now_ms;
	return s->is_input_over || s->outbox.n > 0 ? QUIET_MS / 4 : UINT64_MAX;
}

void
session_lost(struct session *s)
{
	s->was_cut = true;
	s->is_welcome = false;
	s->is_join_sent = false;
	s->is_joined = false;
	s->is_level = false;
	s->is_own_sent = false;
	s->is_front_sent = false;
	mem_free(s->left);
	s->left = NULL; /* the connection was all that stood in it */
	if (s->is_leave_sent)
		s->is_over = true;
}

/* --- answers --- */

static int
exit_code(struct slice code)
{
	for (int i = 0; i < ERROR_CODE_COUNT; i++) {
		int status = error_status((enum error_code)i);

		if (!slice_eq(code, slice_str(error_name((enum error_code)i))))
			continue;
		if (status == 401 || status == 403)
			return EX_NOPERM;
		if (status == 408 || status == 429 || status == 503)
			return EX_TEMPFAIL;
		return status >= 500 ? EX_UNAVAILABLE : EX_DATAERR;
	}
	return EX_PROTOCOL;
}

static void
front_pop(struct session *s)
{
	outbox_pop(&s->outbox);
	s->is_front_sent = false;
	s->not_before_ms = 0;
}

/* What was asked for is done: tell it, as others are told. */
static void
on_ack(struct session *s, uint64_t id)
{
	const struct outbox_entry *e = outbox_front(&s->outbox);
	struct slice text = slice_str(e->text);
	struct slice old = view_excerpt(&s->view, e->target);

	if (outbox_is_text(e)) {
		struct view_said said = {
		    .id = id, .to = slice_str(e->to), .content = text, .reply_to = e->target};

		view_said(&s->view, &said, &s->shown);
		front_pop(s);
		return;
	}
	view_made(&s->view, id);
	if (e->verb == WORDS_EDIT) {
		session_note(s, "you edited \"%.*s\"", SLICE_ARG(old));
		view_changed(&s->view, e->target, text);
	} else if (e->verb == WORDS_DELETE) {
		session_note(s, "you deleted \"%.*s\"", SLICE_ARG(old));
		view_forget(&s->view, e->target);
	} else {
		session_note(s, "you %s %s %s \"%.*s\"",
		    e->verb == WORDS_REACT ? "reacted" : "took back", e->text,
		    e->verb == WORDS_REACT ? "to" : "from", SLICE_ARG(old));
	}
	front_pop(s);
}

/* Whether a refusal is only for now; then the front request is made again. */
static bool
put_off(struct session *s, struct slice code, const cJSON *m, uint64_t now_ms)
{
	struct outbox_entry *e = outbox_front(&s->outbox);
	bool is_for_now = slice_eq(code, SLICE("rate_limited")) ||
			  slice_eq(code, SLICE("unavailable")) || slice_eq(code, SLICE("timeout"));
	uint64_t wait_ms = max_u64(member_u64(m, "retry_after") * 1000, AGAIN_MS);

	if (!is_for_now || wait_ms > PATIENCE_MS || ++e->tries > TRIES_MAX)
		return false;
	if (e->tries == 1 && wait_ms > AGAIN_MS * 2)
		session_note(s, "%.*s; said in %llu s", SLICE_ARG(member_string(m, "message")),
		    (unsigned long long)(wait_ms / 1000));
	s->is_front_sent = false;
	s->not_before_ms = now_ms + wait_ms;
	return true;
}

static void
on_refused(struct session *s, const cJSON *m, uint64_t now_ms)
{
	struct outbox_entry *e = outbox_front(&s->outbox);
	struct slice code = member_string(m, "code");
	struct slice why = member_string(m, "message");

	if (slice_eq(code, SLICE("bad_field")) && e->key[0] != '\0' &&
	    slice_has_prefix(why, SLICE("key "))) {
		e->key[0] = '\0'; /* a room that keeps nothing knows no keys */
		s->is_front_sent = false;
		return;
	}
	if (put_off(s, code, m, now_ms))
		return;
	if (e->verb == WORDS_DELETE && slice_eq(code, SLICE("not_found")) && s->was_cut) {
		view_forget(&s->view, e->target); /* done, on a connection that was cut off */
		front_pop(s);
		return;
	}
	session_note(s, "not done: %.*s (%.*s): %s", SLICE_ARG(why), SLICE_ARG(code), e->line);
	if (s->refused == 0)
		s->refused = exit_code(code);
	mem_free(s->returned);
	s->returned = mem_strdup(slice_str(e->line)); /* without memory it is not given back */
	front_pop(s);
}

/* /join was answered: this is the room now, the other one is left. */
static void
on_moved(struct session *s, const cJSON *m)
{
	struct slice room = member_string(m, "room");

	if (!slice_eq(room, slice_str(s->view.room))) {
		mem_free(s->left);
		s->is_level = false;
		s->left = mem_strdup(slice_str(s->view.room)); /* else we stay in both */
		if (view_set_room(&s->view, room) < 0)
			end_with(s, EX_OSERR);
	}
	view_take(&s->view, m, &s->shown);
	front_pop(s);
}

static void
on_answer(struct session *s, struct slice type, const cJSON *m, uint64_t now_ms)
{
	if (slice_eq(type, SLICE("ack"))) {
		on_ack(s, member_u64(m, "id"));
	} else if (slice_eq(type, SLICE("error"))) {
		on_refused(s, m, now_ms);
	} else if (slice_eq(type, SLICE("joined"))) {
		on_moved(s, m);
	} else {
		view_answer(&s->view, m, &s->shown);
		front_pop(s);
	}
}

static void
on_welcome(struct session *s, const cJSON *m)
{
	const cJSON *user = json_member(m, "user");
	const cJSON *limits = json_member(m, "limits");

	s->is_welcome = true;
	s->heartbeat_ms = member_u64(m, "heartbeat") * 1000;
	s->max_message = member_u64(limits, "message");
	if (view_set_self(&s->view, member_string(user, "id"), member_string(user, "name")) < 0)
		end_with(s, EX_OSERR);
}

static void
on_join_refused(struct session *s, const cJSON *m)
{
	int code = exit_code(member_string(m, "code"));

	session_note(s, "%.*s (%.*s)", SLICE_ARG(member_string(m, "message")),
	    SLICE_ARG(member_string(m, "code")));
	end_with(s, code);
}

/* Sent out of the room, or told why the connection has to end. */
static void
on_left(struct session *s, struct slice ref, const cJSON *m)
{
	view_take(&s->view, m, &s->shown);
	if (slice_eq(ref, SLICE(REF_LEAVE)))
		s->is_over = true;
	else if (member_string(m, "reason").p != NULL &&
		 slice_eq(member_string(m, "room"), slice_str(s->view.room)))
		end_with(s, EX_NOPERM);
}

/*
 * One's own text comes back in a replay before its ack was seen: that is its ack.
 */
static bool
is_front_message(const struct session *s, const cJSON *m)
{
	const struct outbox_entry *e = outbox_front(&s->outbox);
	struct slice key = member_string(m, "key");

	return e != NULL && key.n > 0 && slice_eq(key, slice_str(e->key)) &&
	       slice_eq(member_string(json_member(m, "from"), "id"), slice_str(s->view.own_id));
}

static void
on_message(struct session *s, struct slice type, const cJSON *m)
{
	if (slice_eq(type, SLICE("chat")) || slice_eq(type, SLICE("direct"))) {
		if (is_front_message(s, m))
			on_ack(s, member_u64(
				      m, "id")); /* its own ack may still come, and finds nothing */
	} else if (slice_eq(type, SLICE("closing"))) {
		s->retry_ms = member_u64(m, "retry");
	} else if (slice_eq(type, SLICE("expiring"))) {
		s->wants_token = true;
	}
	view_take(&s->view, m, &s->shown);
}

void
session_take(struct session *s, struct slice json, uint64_t now_ms)
{
	const struct outbox_entry *front = outbox_front(&s->outbox);
	cJSON *m = NULL;
	struct slice type;
	struct slice ref;
	uint64_t n;

	if (json_parse(json, &m, NULL) < 0) {
		session_note(s, "the daemon sent what is no message");
		end_with(s, EX_PROTOCOL);
		return;
	}
	s->heard_ms = now_ms;
	type = member_string(m, "type");
	ref = member_string(m, "ref");
	if (front != NULL && s->is_front_sent && json_u64(json_member(m, "ref"), &n) == 0 &&
	    n == front->ref) {
		on_answer(s, type, m, now_ms);
	} else if (slice_eq(type, SLICE("welcome"))) {
		on_welcome(s, m);
	} else if (slice_eq(type, SLICE("joined"))) {
		s->is_joined = true;
		view_take(&s->view, m, &s->shown);
	} else if (slice_eq(type, SLICE("error")) && slice_eq(ref, SLICE(REF_JOIN))) {
		on_join_refused(s, m);
	} else if (slice_eq(type, SLICE("left"))) {
		on_left(s, ref, m);
	} else if (slice_eq(type, SLICE("error")) && slice_eq(ref, SLICE(REF_LEAVE))) {
		s->is_over = true; /* it stands in the room no more */
	} else if (!slice_eq(type, SLICE("error")) || ref.p == NULL) {
		on_message(s, type, m); /* a token need not grant its own topic */
	}
	cJSON_Delete(m);
	if (s->is_json)
		buf_reset(&s->shown);
}
