/*
 * What a reader of a room sees: the daemon's messages become lines of text, and what was seen is
 * remembered as far as answering it, resuming behind it and not showing it twice need. Pure. One thread.
 */
#ifndef CTL_CHAT_VIEW_H
#define CTL_CHAT_VIEW_H

#include "base/buf.h"
#include "proto/json.h"

#define VIEW_PEOPLE 512  /* of whom the name is known */
#define VIEW_SEEN   256  /* messages that can be answered or told from new ones */
#define VIEW_OWN    1024 /* ids of what was said here and acknowledged */

struct view_person {
	char *id;
	char *name;
};

struct view_message {
	uint64_t id;
	char *from; /* a user id */
	char *excerpt;
};

struct view {
	/* set by the caller */
	bool is_coloured;
	bool is_dated; /* each line has the date; else a line tells of a new day */
	size_t width;  /* columns; 0: lines are not wrapped */

	char *own_id;
	char *own_name;
	char *room;
	uint64_t cursor;        /* of the room: the last id that was delivered; 0: none yet */
	uint64_t latest;        /* up to which stored messages follow on joining */
	uint64_t direct_cursor; /* of the own topic */
	uint64_t oldest;        /* message of the room that was shown; 0: none */
	struct view_person people[VIEW_PEOPLE];
	size_t n_people; /* ever: the place of the next one, modulo */
	struct view_message seen[VIEW_SEEN];
	size_t n_seen; /* likewise */
	uint64_t own[VIEW_OWN];
	size_t n_own; /* likewise */
	int day;      /* of the last line */
	struct buf line;
};

void view_init(struct view *v);
void view_done(struct view *v);
/* Who the reader is. 0 or -ENOMEM. */
MUST_CHECK int view_set_self(struct view *v, struct slice id, struct slice name);
/* Go to a room: nothing of it has been seen. 0 or -ENOMEM. */
MUST_CHECK int view_set_room(struct view *v, struct slice room);

/*
 * Append the lines that a message of the daemon makes, each with its line break; nothing for what
 * need not be seen. Failures stick in out.
 */
void view_take(struct view *v, const cJSON *m, struct buf *out);
/* The same for the answer to a question for members, rooms or history. */
void view_answer(struct view *v, const cJSON *m, struct buf *out);
/* Words of the program's own, as a line. */
void view_note(struct view *v, struct slice text, struct buf *out);

/* Something that was said here has its id now. */
struct view_said {
	uint64_t id;     /* 0: the topic keeps nothing */
	struct slice to; /* a direct's user id, else absent */
	struct slice content;
	uint64_t reply_to; /* 0: none */
};
/* It is shown, and known from now on. */
void view_said(struct view *v, const struct view_said *s, struct buf *out);
/* Another change with this id was made here (its echo is not shown). */
void view_made(struct view *v, uint64_t id);

/*
 * The user whose name or id text begins with, the longest one that fits, followed by a space or the
 * end; *rest is what follows. Else the first word as an id.
 */
struct slice view_person(const struct view *v, struct slice text, struct slice *rest);
/*
 * The message that text is about: `@NAME …` the last one of NAME, else the last one of another; *rest is
 * what follows. 0: there is none.
 */
uint64_t view_target(const struct view *v, struct slice text, struct slice *rest);
/* The reader's last message, 0 when there is none; it is forgotten by view_forget. */
uint64_t view_last_own(const struct view *v);
void view_forget(struct view *v, uint64_t id);
/* A message has another content now. */
void view_changed(struct view *v, uint64_t id, struct slice content);
/* The excerpt of a message, absent when it is not known. */
struct slice view_excerpt(const struct view *v, uint64_t id);
/* What a person is called; his id where no name is known. */
struct slice view_name(const struct view *v, struct slice id);

/* A member of a message; 0, or absent, where there is none of that kind. */
static inline uint64_t
member_u64(const cJSON *m, const char *name)
{
	uint64_t n = 0;

	return json_u64(json_member(m, name), &n) < 0 ? 0 : n;
}
static inline struct slice
member_string(const cJSON *m, const char *name)
{
	return json_string(json_member(m, name));
}

#endif
