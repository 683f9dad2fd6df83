#include "core/presence.h"

#include <errno.h>

#include "base/mem.h"
#include "core/presence_private.h"
#include "proto/json.h"

/*
 * Who is in which room. A user is a member while any of its connections is, and for the grace
 * after the last one was lost. A room exists while it has members.
 */

#define COUNT_EVERY_MS 1000

size_t
presence_count(const struct room *room)
{
	return room == NULL ? 0 : room->members.n;
}

static struct room *
room_new(struct log_topic *t)
{
	struct room *room = mem_alloc(sizeof(*room));

	if (room == NULL)
		return NULL;
	*room = (struct room){.topic = t};
	map_init(&room->members);
	map_init(&room->names);
	map_init(&room->mentioned);
	TAILQ_INIT(&room->order);
	return room;
}

void
presence_free_room(struct room *room)
{
	struct room_member *m;

	if (room == NULL)
		return;
	while ((m = TAILQ_FIRST(&room->order)) != NULL) {
		mention_drop(room, m);
		TAILQ_REMOVE(&room->order, m, order);
		mem_free(m);
	}
	map_done(&room->mentioned);
	map_done(&room->members);
	map_done(&room->names);
	mem_free(room);
}

static void
cancel_leaving(struct log *l, struct room_member *m)
{
	if (m->leave_at_ms == 0)
		return;
	TAILQ_REMOVE(&l->leaving, m, leaving);
	m->leave_at_ms = 0;
}

static struct room_member *
member_new(struct log_topic *t, const struct message_from *user, const struct presence_name *name)
{
	struct room_member *m =
	    mem_calloc(1, sizeof(*m) + user->user_id.n + user->name.n + name->key.n);
	char *at;

	if (m == NULL)
		return NULL;
	at = (char *)(m + 1);
	memcpy(at, user->user_id.p, user->user_id.n);
	if (user->name.n > 0)
		memcpy(at + user->user_id.n, user->name.p, user->name.n);
	m->user_id = slice_of(at, user->user_id.n);
	m->name = slice_of(at + user->user_id.n, user->name.n);
	m->topic = t;
	if (name->key.n > 0 && !name->is_self_given) {
		memcpy(at + user->user_id.n + user->name.n, name->key.p, name->key.n);
		m->name_key = slice_of(at + user->user_id.n + user->name.n, name->key.n);
	}
	if (map_set(&t->room->members, m->user_id, m) < 0) {
		mem_free(m);
		return NULL;
	}
	/* of two that look alike the later one stands for both */
	if (m->name_key.n > 0 && map_set(&t->room->names, m->name_key, m) < 0) {
		(void)map_remove(&t->room->members, m->user_id);
		mem_free(m);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&t->room->order, m, order);
	if (t->room->unkeyed == NULL)
		t->room->unkeyed = m;
	return m;
}

static void
room_remove(struct log *l, struct log_topic *t)
{
	if (t->room->is_due)
		TAILQ_REMOVE(&l->crowds, t->room, crowd);
	presence_free_room(t->room);
	t->room = NULL;
	l->n_rooms--;
}

static void
member_remove(struct log *l, struct room_member *m)
{
	struct log_topic *t = m->topic;

	cancel_leaving(l, m);
	(void)map_remove(&t->room->members, m->user_id);
	if (m->name_key.n > 0 && map_get(&t->room->names, m->name_key) == m)
		(void)map_remove(&t->room->names, m->name_key);
	mention_drop(t->room, m);
	TAILQ_REMOVE(&t->room->order, m, order);
	mem_free(m);
	if (t->room->members.n == 0)
		room_remove(l, t);
}

static void
add_members(struct buf *out, const struct room *room)
{
	struct room_member *m;
	size_t n = 0;

	(void)buf_add_char(out, '[');
	if (room != NULL) {
		TAILQ_FOREACH (m, &room->order, order) {
			if (n++ == PRESENCE_LISTED)
				break;
			if (n > 1)
				(void)buf_add_char(out, ',');
			message_add_user(out, NULL, &(struct message_from){m->user_id, m->name});
		}
	}
	(void)buf_add_char(out, ']');
}

/* Takes msg, NULL for no memory. 0, -ENOMEM, or -EAGAIN when the tail is full. */
static int
tell(struct log *l, struct message *msg, unsigned caller, uint64_t *wakes)
{
	int r = msg == NULL ? -ENOMEM : log_reserve(l, 1);

	if (r == 0)
		log_link(l, msg, NULL, caller, wakes);
	message_unref(msg);
	return r;
}

/* Tell the room, now or, if it is crowded, its count soon. As tell. */
static int
announce(struct log *l, const struct room_member *m, bool joined, size_t count, uint64_t origin,
    unsigned caller, uint64_t *wakes)
{
	struct message_from user = {m->user_id, m->name};
	struct room *room = m->topic->room;

	room->is_crowded = room->is_crowded || (l->crowd != 0 && count > l->crowd);
	if (!room->is_crowded)
		return tell(l, message_presence(m->topic->name, user, joined, count, origin),
		    caller, wakes);
	if (!room->is_due)
		TAILQ_INSERT_TAIL(&l->crowds, room, crowd);
	room->is_due = true;
	return 0;
}

/* What a crowded room is told after a while. 0, -ENOMEM or -EAGAIN: it is tried again. */
static int
tell_count(struct log *l, struct room *room, uint64_t *wakes)
{
	bool is_crowded = l->crowd != 0 && room->members.n > l->crowd - l->crowd / 4;
	struct buf members = BUF_INIT(64 * 1024);
	struct message *msg;
	int r;

	if (!is_crowded)
		add_members(&members, room);
	msg = members.failed ? NULL
			     : message_crowd(room->topic->name, room->members.n,
				   is_crowded ? SLICE_NONE : buf_slice(&members));
	buf_done(&members);
	r = tell(l, msg, LOG_NO_WORKER, wakes);
	if (r == 0)
		room->is_crowded = is_crowded;
	return r;
}

static void
tell_counts(struct log *l, int64_t now_ms, uint64_t *wakes)
{
	struct room *room;
	struct room *next;

	TAILQ_FOREACH_SAFE (room, &l->crowds, crowd, next) {
		/* the clock may have been set back */
		bool is_early =
		    room->counted_ms + COUNT_EVERY_MS > now_ms && room->counted_ms <= now_ms;

		if (is_early || tell_count(l, room, wakes) < 0)
			continue;
		TAILQ_REMOVE(&l->crowds, room, crowd);
		room->is_due = false;
		room->counted_ms = now_ms;
	}
}

/* Whom the room was not told of stays until it can be told: presence_expire tries again. */
static void
leave_now(struct log *l, struct room_member *m, uint64_t origin, unsigned caller, uint64_t *wakes)
{
	if (announce(l, m, false, m->topic->room->members.n - 1, origin, caller, wakes) == 0) {
		member_remove(l, m);
	} else if (m->leave_at_ms == 0) {
		m->leave_at_ms = 1;
		TAILQ_INSERT_TAIL(&l->leaving, m, leaving);
	}
}

int
presence_join(struct log *l, struct slice topic, struct message_from user,
    const struct presence_name *name, uint64_t origin, unsigned caller, struct buf *members,
    struct presence_view *out)
{
	struct room_member *m = NULL;
	struct log_topic *t;
	uint64_t wakes = 0;
	int r = 0;

	log_lock(l);
	t = log_topic_get(l, topic, &r);
	if (t == NULL)
		goto out;
	if (t->room == NULL) {
		t->room = room_new(t);
		if (t->room == NULL) {
			r = -ENOMEM;
			goto out;
		}
		l->n_rooms++;
	}
	m = map_get(&t->room->members, user.user_id);
	if (m == NULL) {
		if (name->is_self_given && map_get(&t->room->names, name->key) != NULL)
			r = -EEXIST; /* somebody else's: the user is no member */
		else
			m = member_new(t, &user, name);
		if (m == NULL) {
			r = r < 0 ? r : -ENOMEM;
			if (t->room->members.n == 0)
				room_remove(l, t);
			goto out;
		}
		r = announce(l, m, true, t->room->members.n, origin, caller, &wakes);
		if (r < 0) {
			member_remove(l, m);
			goto out;
		}
	}
	cancel_leaving(l, m);
	m->connections++;
	if (members != NULL)
		add_members(members, t->room);
	*out = (struct presence_view){l->next, t->room->members.n};
out:
	log_unlock(l);
	log_wake(l, wakes);
	return r;
}

void
presence_leave(struct log *l, struct slice topic, struct slice user_id, uint64_t origin,
    int64_t leave_at_ms, unsigned caller)
{
	struct room_member *m = NULL;
	struct log_topic *t;
	uint64_t wakes = 0;

	log_lock(l);
	t = log_topic_find(l, topic);
	if (t != NULL && t->room != NULL)
		m = map_get(&t->room->members, user_id);
	if (m == NULL || m->connections == 0 || --m->connections > 0)
		goto out;
	if (leave_at_ms != 0) {
		m->leave_at_ms = leave_at_ms;
		TAILQ_INSERT_TAIL(&l->leaving, m, leaving);
	} else {
		leave_now(l, m, origin, caller, &wakes);
	}
out:
	log_unlock(l);
	log_wake(l, wakes);
}

int
presence_members(struct log *l, struct slice topic, struct buf *members, struct presence_view *out)
{
	struct log_topic *t;

	log_lock(l);
	t = log_topic_find(l, topic);
	add_members(members, t == NULL ? NULL : t->room);
	*out = (struct presence_view){l->next, t == NULL ? 0 : presence_count(t->room)};
	log_unlock(l);
	return members->failed ? -ENOMEM : 0;
}

bool
presence_look(struct log *l, struct slice topic, struct slice user_id, struct presence_of *out)
{
	const struct log_topic *t;
	const struct room_member *m;
	bool is_known;

	log_lock(l);
	t = log_topic_find(l, topic);
	is_known = t != NULL && t->room != NULL;
	if (is_known) {
		m = map_get(&t->room->members, user_id);
		out->members = t->room->members.n;
		out->connections = m == NULL ? 0 : m->connections;
	}
	log_unlock(l);
	return is_known;
}

bool
presence_is_other(
    struct log *l, struct slice topic, const struct message_from *guest, struct slice key)
{
	const struct room_member *m;
	struct log_topic *t;
	bool is_other;

	log_lock(l);
	t = log_topic_find(l, topic);
	is_other =
	    t != NULL && t->room != NULL && key.n > 0 && map_get(&t->room->names, key) != NULL;
	m = is_other ? map_get(&t->room->members, guest->user_id) : NULL;
	is_other = is_other && (m == NULL || !slice_eq(m->name, guest->name));
	log_unlock(l);
	return is_other;
}

bool
presence_is_crowded(struct log *l, struct slice topic)
{
	struct log_topic *t;
	bool is_crowded;

	log_lock(l);
	t = log_topic_find(l, topic);
	is_crowded = t != NULL && t->room != NULL && t->room->is_crowded;
	log_unlock(l);
	return is_crowded;
}

void
presence_expire(struct log *l, int64_t now_ms)
{
	struct room_member *m;
	struct room_member *next;
	uint64_t wakes = 0;

	log_lock(l);
	TAILQ_FOREACH_SAFE (m, &l->leaving, leaving, next) {
		if (m->leave_at_ms > now_ms)
			continue; /* a reload may have changed the grace: the list is not quite in order */
		leave_now(l, m, 0, LOG_NO_WORKER, &wakes);
	}
	tell_counts(l, now_ms, &wakes);
	log_unlock(l);
	log_wake(l, wakes);
}
