#include "ctl/chat_view.h"

#include <time.h>

#include "base/clock.h"
#include "ctl/chat_text.h"
#include "ctl/chat_view_private.h"
#include "proto/json.h"

#define INDENT_TIME 6 /* "21:40 " */
#define INDENT      4
#define NAMES_MAX   50 /* listed at once when joining */
#define COLOURS     6

/* --- lines --- */

static void
add_str(struct view *v, const char *text)
{
	(void)buf_add_str(&v->line, text); /* failures stick */
}

static void
add_colour(struct view *v, const char *colour)
{
	if (v->is_coloured)
		(void)buf_printf(&v->line, "\x1b[%sm", colour); /* failures stick */
}

enum time_form {
	CLOCK,
	DATE_AND_CLOCK,
	DAY
};

static void
add_time(struct view *v, uint64_t ms, enum time_form form)
{
	time_t at = (time_t)(ms / 1000);
	char text[64];
	size_t n = 0;
	struct tm tm;

	if (localtime_r(&at, &tm) == NULL)
		return;
	switch (form) {
	case CLOCK:
		n = strftime(text, sizeof(text), "%H:%M", &tm);
		break;
	case DATE_AND_CLOCK:
		n = strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
		break;
	case DAY:
		n = strftime(text, sizeof(text), "--- %a %Y-%m-%d ---", &tm);
		break;
	}
	(void)buf_add(&v->line, text, n); /* failures stick */
}

/* Begin a line at that time, with a line before it when the day is another one. */
static void
begin(struct view *v, uint64_t ms, struct buf *out)
{
	time_t at = (time_t)(ms / 1000);
	struct tm tm;

	buf_reset(&v->line);
	if (!v->is_dated && localtime_r(&at, &tm) != NULL &&
	    tm.tm_year * 366 + tm.tm_yday != v->day) {
		v->day = tm.tm_year * 366 + tm.tm_yday;
		add_colour(v, "2");
		add_time(v, ms, DAY);
		add_colour(v, "0");
		(void)buf_add_slice(out, buf_slice(&v->line)); /* failures stick */
		(void)buf_add_char(out, '\n');
		buf_reset(&v->line);
	}
	add_colour(v, "2");
	add_time(v, ms, v->is_dated ? DATE_AND_CLOCK : CLOCK);
	add_colour(v, "0");
	add_str(v, " ");
}

static void
end(struct view *v, struct buf *out)
{
	add_colour(v, "0");
	(void)text_add_wrapped(
	    out, buf_slice(&v->line), v->is_dated ? INDENT : INDENT_TIME, v->width);
	(void)buf_add_char(out, '\n'); /* failures stick */
}

static void
add_safe(struct view *v, struct slice s)
{
	(void)text_add_safe(&v->line, s, false); /* failures stick */
}

/* A name in its owner's colour. */
static void
add_name(struct view *v, struct slice id, struct slice name)
{
	static const char *const colours[COLOURS] = {"31", "32", "33", "34", "35", "36"};
	unsigned hash = 0;

	for (size_t i = 0; i < id.n; i++)
		hash = hash * 31 + (unsigned char)id.p[i];
	add_colour(v, colours[hash % COLOURS]);
	add_safe(v, name.n > 0 ? name : id);
	add_colour(v, "0");
}

/* --- members of messages --- */

static uint64_t
time_of(const cJSON *m)
{
	uint64_t ms = member_u64(m, "time");

	if (ms == 0)
		ms = member_u64(m, "timestamp") * 1000;
	return ms != 0 ? ms : clock_wall_us() / 1000;
}

/* A user of a message: known from now on. */
static void
add_user(struct view *v, const cJSON *user)
{
	view_meet(v, member_string(user, "id"), member_string(user, "name"));
	add_name(v, member_string(user, "id"), member_string(user, "name"));
}

static bool
is_self(const struct view *v, struct slice id)
{
	return v->own_id != NULL && slice_eq(id, slice_str(v->own_id));
}

/* --- chats and directs --- */

/* "(to you) " and "[re …] " in front of what is said. */
static void
add_lead(struct view *v, struct slice to, uint64_t reply_to)
{
	const struct view_message *target = view_find(v, reply_to);

	if (to.p != NULL) {
		add_str(v, "(to ");
		if (is_self(v, to))
			add_str(v, "you");
		else
			add_name(v, to, view_name(v, to));
		add_str(v, ") ");
	}
	if (reply_to == 0)
		return;
	add_str(v, "[re ");
	if (target != NULL) {
		add_safe(v, view_name(v, slice_str(target->from)));
		add_str(v, ": ");
		add_str(v, target->excerpt);
	} else {
		add_str(v, "an earlier message");
	}
	add_str(v, "] ");
}

static void
add_reactions(struct view *v, const cJSON *m)
{
	const cJSON *reactions = json_member(m, "reactions");
	const cJSON *r;
	const char *before = " [";

	cJSON_ArrayForEach(r, reactions)
	{
		uint64_t count = member_u64(r, "count");

		add_str(v, before);
		add_safe(v, member_string(r, "emoji"));
		if (count > 1)
			(void)buf_printf(&v->line, " %llu", (unsigned long long)count); /* sticks */
		before = ", ";
	}
	if (before[0] == ',')
		add_str(v, "]");
}

static bool
mentions_self(const struct view *v, const cJSON *m)
{
	const cJSON *id;

	cJSON_ArrayForEach(id, json_member(m, "mentions"))
	{
		if (is_self(v, json_string(id)))
			return true;
	}
	return false;
}

static void
show_chat(struct view *v, const cJSON *m, struct buf *out)
{
	const cJSON *from = json_member(m, "from");
	const cJSON *data = json_member(m, "data");
	struct slice content = member_string(m, "content");
	bool is_deleted = cJSON_IsTrue(json_member(m, "deleted"));

	begin(v, time_of(m), out);
	add_str(v, "<");
	add_user(v, from);
	add_str(v, "> ");
	add_lead(v, member_string(m, "to"), member_u64(m, "reply_to"));
	if (mentions_self(v, m))
		add_colour(v, "1");
	(void)text_add_safe(&v->line, content, true); /* failures stick */
	if (is_deleted)
		add_str(v, "(deleted)");
	else if (data != NULL)
		add_str(v, content.n > 0 ? " (and data)" : "(data)");
	if (json_member(m, "edited") != NULL)
		add_str(v, " (edited)");
	add_reactions(v, m);
	end(v, out);
	view_see(
	    v, member_u64(m, "id"), member_string(from, "id"), is_deleted ? SLICE("…") : content);
}

void
view_said(struct view *v, const struct view_said *s, struct buf *out)
{
	struct slice id = slice_str(v->own_id);

	begin(v, s->id != 0 ? s->id / 1000 : clock_wall_us() / 1000, out);
	add_str(v, "<");
	add_name(v, id, slice_str(v->own_name));
	add_str(v, "> ");
	add_lead(v, s->to, s->reply_to);
	(void)text_add_safe(&v->line, s->content, true); /* failures stick */
	end(v, out);
	view_see(v, s->id, id, s->content);
	view_made(v, s->id);
	if (v->oldest == 0 && s->to.p == NULL)
		v->oldest = s->id;
}

/* --- what changes messages --- */

/* "Ada's “excerpt”", or a message of that time. */
static void
add_target(struct view *v, const cJSON *m, bool is_content_told)
{
	uint64_t id = member_u64(m, "target");
	const struct view_message *target = view_find(v, id);
	struct slice author = target == NULL ? SLICE_NONE : slice_str(target->from);

	if (target != NULL && is_content_told) {
		add_str(v, "\"");
		add_str(v, target->excerpt);
		add_str(v, "\"");
	} else {
		add_str(v, "a message of ");
		add_time(v, id / 1000, CLOCK);
	}
	if (author.p == NULL || slice_eq(author, member_string(json_member(m, "user"), "id")))
		return;
	add_str(v, is_self(v, author) ? " of yours" : " of ");
	if (!is_self(v, author))
		add_name(v, author, view_name(v, author));
}

static void
show_edited(struct view *v, const cJSON *m, struct buf *out)
{
	struct slice content = member_string(m, "content");

	begin(v, time_of(m), out);
	add_str(v, "* ");
	add_user(v, json_member(m, "user"));
	add_str(v, " edited ");
	add_target(v, m, true);
	add_str(v, ": ");
	(void)text_add_safe(&v->line, content.p == NULL ? SLICE("(data)") : content, true);
	end(v, out);
	if (content.p != NULL)
		view_changed(v, member_u64(m, "target"), content);
}

static void
show_deleted(struct view *v, const cJSON *m, struct buf *out)
{
	begin(v, time_of(m), out);
	add_str(v, "* ");
	add_user(v, json_member(m, "user"));
	add_str(v, " deleted ");
	add_target(v, m, false);
	end(v, out);
	view_forget(v, member_u64(m, "target"));
}

static void
show_reaction(struct view *v, const cJSON *m, struct buf *out)
{
	bool is_on = !cJSON_IsFalse(json_member(m, "on"));

	begin(v, time_of(m), out);
	add_str(v, "* ");
	add_user(v, json_member(m, "user"));
	add_str(v, is_on ? " reacted " : " took back ");
	add_safe(v, member_string(m, "emoji"));
	add_str(v, is_on ? " to " : " from ");
	add_target(v, m, true);
	end(v, out);
}

/* --- who is here --- */

static void
add_members(struct view *v, const cJSON *m)
{
	const cJSON *members = json_member(m, "members");
	uint64_t count = member_u64(m, "count");
	uint64_t n = 0;
	const cJSON *user;

	(void)buf_printf(&v->line, "%llu here", (unsigned long long)count); /* failures stick */
	cJSON_ArrayForEach(user, members)
	{
		view_meet(v, member_string(user, "id"), member_string(user, "name"));
		if (n < NAMES_MAX) {
			add_str(v, n == 0 ? ": " : ", ");
			add_user(v, user);
		}
		n++;
	}
	if (count > NAMES_MAX)
		add_str(v, ", …");
}

static void
show_joined(struct view *v, const cJSON *m, struct buf *out)
{
	uint64_t unread = member_u64(m, "unread");

	v->latest = member_u64(m, "latest");
	begin(v, clock_wall_us() / 1000, out);
	add_str(v, cJSON_IsTrue(json_member(m, "resumed")) ? "* again in " : "* in ");
	add_safe(v, member_string(m, "room"));
	if (member_u64(m, "count") > 0) { /* else nobody is told who is there */
		add_str(v, ", ");
		add_members(v, m);
	}
	if (unread > 0)
		(void)buf_printf(
		    &v->line, " (%llu unread)", (unsigned long long)unread); /* sticks */
	end(v, out);
}

static void
show_presence(struct view *v, const cJSON *m, const char *what, struct buf *out)
{
	begin(v, clock_wall_us() / 1000, out);
	add_str(v, "* ");
	add_user(v, json_member(m, "user"));
	(void)buf_printf(&v->line, " %s (%llu here)", what,
	    (unsigned long long)member_u64(m, "count")); /* failures stick */
	end(v, out);
}

static void
show_left(struct view *v, const cJSON *m, struct buf *out)
{
	struct slice reason = member_string(m, "reason");

	if (reason.p == NULL)
		return; /* asked for */
	begin(v, clock_wall_us() / 1000, out);
	add_str(v, "* you are no longer in ");
	add_safe(v, member_string(m, "room"));
	add_str(v, member_string(m, "topic").p != NULL ? "your own topic: " : ": ");
	add_safe(v, reason);
	end(v, out);
}

/* --- the rest --- */

static void
show_gap(struct view *v, const cJSON *m, struct buf *out)
{
	struct slice reason = member_string(m, "reason");
	uint64_t dropped = member_u64(m, "dropped");

	begin(v, clock_wall_us() / 1000, out);
	add_str(v, "* gap: ");
	if (slice_eq(reason, SLICE("slow")))
		(void)buf_printf(&v->line, "%llu messages came too fast to be read here",
		    (unsigned long long)dropped); /* failures stick */
	else if (slice_eq(reason, SLICE("trimmed")))
		add_str(v, "some messages since then are kept no more; what is kept follows");
	else if (slice_eq(reason, SLICE("outside")))
		add_str(v, "the daemon's log is another one now; what it has follows");
	else
		add_str(v, "where to go on is not known; some messages may be missing");
	end(v, out);
}

static void
show_notification(struct view *v, const cJSON *m, struct buf *out)
{
	struct slice title = member_string(m, "title");

	begin(v, time_of(m), out);
	add_str(v, "* [");
	add_safe(v, member_string(m, "topic"));
	add_str(v, "] ");
	add_safe(v, title);
	add_str(v, title.n > 0 && member_string(m, "message").n > 0 ? ": " : "");
	(void)text_add_safe(&v->line, member_string(m, "message"), true); /* failures stick */
	if (slice_eq(member_string(m, "type"), SLICE("event")))
		add_safe(v, member_string(m, "event"));
	end(v, out);
}

static void
show_error(struct view *v, const cJSON *m, struct buf *out)
{
	begin(v, clock_wall_us() / 1000, out);
	add_str(v, "! ");
	add_safe(v, member_string(m, "code"));
	add_str(v, ": ");
	add_safe(v, member_string(m, "message"));
	end(v, out);
}

static void
show_closing(struct view *v, const cJSON *m, struct buf *out)
{
	begin(v, clock_wall_us() / 1000, out);
	add_str(v, "* the daemon ends this connection: ");
	add_safe(v, member_string(m, "reason"));
	end(v, out);
}

void
view_note(struct view *v, struct slice text, struct buf *out)
{
	begin(v, clock_wall_us() / 1000, out);
	add_str(v, "* ");
	(void)text_add_safe(&v->line, text, true); /* failures stick */
	end(v, out);
}

/* A message with an id was delivered: where a resume would begin. False: it was seen before. */
static bool
deliver(struct view *v, const cJSON *m, bool is_message)
{
	struct slice room = member_string(m, "room");
	uint64_t id = member_u64(m, "id");
	uint64_t *cursor = room.p != NULL ? &v->cursor : &v->direct_cursor;

	if (room.p != NULL && (v->room == NULL || !slice_eq(room, slice_str(v->room))))
		return false; /* one that was just left */
	if (id == 0)
		return true;
	*cursor = max_u64(*cursor, id);
	if (is_message && room.p != NULL && (v->oldest == 0 || id < v->oldest))
		v->oldest = id;
	return !view_is_own(v, id) && !(is_message && view_find(v, id) != NULL);
}

void
view_take(struct view *v, const cJSON *m, struct buf *out)
{
	static const struct {
		const char *type;
		void (*show)(struct view *v, const cJSON *m, struct buf *out);
		bool is_delivered; /* what deliver is for */
		bool is_message;
	} shows[] = {
	    {"chat", show_chat, true, true},
	    {"direct", show_chat, true, true},
	    {"edited", show_edited, true, false},
	    {"deleted", show_deleted, true, false},
	    {"reaction", show_reaction, true, false},
	    {"notification", show_notification, true, false},
	    {"event", show_notification, true, false},
	    {"joined", show_joined, false, false},
	    {"left", show_left, false, false},
	    {"gap", show_gap, false, false},
	    {"error", show_error, false, false},
	    {"closing", show_closing, false, false},
	};
	struct slice type = member_string(m, "type");

	for (size_t i = 0; i < ARRAY_LEN(shows); i++) {
		if (!slice_eq(type, slice_str(shows[i].type)))
			continue;
		if (!shows[i].is_delivered || deliver(v, m, shows[i].is_message))
			shows[i].show(v, m, out);
		return;
	}
	if (v->room == NULL || !slice_eq(member_string(m, "room"), slice_str(v->room)))
		return;
	if (slice_eq(type, SLICE("user_joined")))
		show_presence(v, m, "joined", out);
	else if (slice_eq(type, SLICE("user_left")))
		show_presence(v, m, "left", out);
}

/* --- answers --- */

static void
answer_rooms(struct view *v, const cJSON *m, struct buf *out)
{
	const cJSON *r;

	if (cJSON_GetArraySize(json_member(m, "rooms")) == 0)
		view_note(v, SLICE("no rooms"), out);
	cJSON_ArrayForEach(r, json_member(m, "rooms"))
	{
		uint64_t unread = member_u64(r, "unread");

		begin(v, clock_wall_us() / 1000, out);
		add_str(v, "* ");
		add_safe(v, member_string(r, "room"));
		(void)buf_printf(&v->line, ": %llu here",
		    (unsigned long long)member_u64(r, "count")); /* failures stick */
		if (unread > 0)
			(void)buf_printf(&v->line, ", %llu unread", (unsigned long long)unread);
		end(v, out);
	}
}

static void
answer_history(struct view *v, const cJSON *m, struct buf *out)
{
	const cJSON *messages = json_member(m, "messages");
	int n = cJSON_GetArraySize(messages);
	struct buf note = BUF_INIT(VIEW_LINE_MAX);
	const cJSON *c;

	if (n == 0)
		(void)BUF_ADD_LIT(&note, "nothing older is kept"); /* failures stick */
	else
		(void)buf_printf(&note, "%d older:", n);
	view_note(v, buf_slice(&note), out);
	buf_done(&note);
	cJSON_ArrayForEach(c, messages)
	{
		uint64_t id = member_u64(c, "id");

		show_chat(v, c, out);
		if (v->oldest == 0 || id < v->oldest)
			v->oldest = id;
	}
	if (n > 0)
		view_note(v,
		    cJSON_IsTrue(json_member(m, "more")) ? SLICE("so far; /history has more")
							 : SLICE("so far, from the beginning"),
		    out);
}

void
view_answer(struct view *v, const cJSON *m, struct buf *out)
{
	struct slice type = member_string(m, "type");

	if (slice_eq(type, SLICE("members"))) {
		begin(v, clock_wall_us() / 1000, out);
		add_str(v, "* ");
		add_safe(v, member_string(m, "room"));
		add_str(v, ", ");
		add_members(v, m);
		end(v, out);
	} else if (slice_eq(type, SLICE("rooms"))) {
		answer_rooms(v, m, out);
	} else if (slice_eq(type, SLICE("history"))) {
		answer_history(v, m, out);
	}
}
