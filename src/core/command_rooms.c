#include "base/map.h"
#include "base/mem.h"
#include "core/command_list.h"
#include "core/moderation.h"
#include "core/read_marker.h"
#include "core/topic.h"
#include "proto/json.h"

/*
 * `rooms`: those that may be joined, and how much of each is unread. They are listed first; what is
 * unread is counted room by room afterwards, so that the log is locked for one room's time only, and
 * what memory cannot tell is asked of the disk.
 */

#define ROOMS_LISTED 1000
#define ROOM_BYTES   (2 * TOPIC_MAX + 160) /* of JSON */

struct room {
	size_t name_at; /* in names */
	size_t name_n;
	size_t members;
	uint64_t latest;
	struct marker_state marker;
};

struct rooms {
	struct lookup lookup;
	struct log_read read;
	struct hub *hub;
	const struct claims *claims; /* while they are listed, as is the next */
	struct slice bound;          /* the user may be banned from some rooms; absent: from none */
	struct slice ref;            /* behind the struct, as is the next */
	struct slice user_id;
	struct buf names;
	struct log_count *counts; /* of those that memory cannot tell; NULL: none */
	size_t n_counts;
	size_t n;
	struct room all[ROOMS_LISTED];
};

static void
rooms_free(struct rooms *rooms)
{
	buf_done(&rooms->names);
	mem_free(rooms->counts);
	mem_free(rooms);
}

static struct slice
topic_of(const struct rooms *rooms, const struct room *room)
{
	return slice_of(rooms->names.p + room->name_at, room->name_n);
}

/* Under the log's lock. */
static bool
take_room(const struct log_topic_info *t, void *ctx)
{
	struct rooms *rooms = ctx;
	const struct hub *h = rooms->hub;

	if (!claims_may_subscribe(rooms->claims, t->name) ||
	    (rooms->bound.p != NULL && moderation_bars(h->log, t->name, rooms->bound, h->now_ms)))
		return true;
	rooms->all[rooms->n++] = (struct room){.name_at = rooms->names.n,
	    .name_n = t->name.n,
	    .members = t->members,
	    .latest = t->last_id};
	return buf_add_slice(&rooms->names, t->name) == 0 && rooms->n < ROOMS_LISTED;
}

/* The name of the only room that a grant reaches; absent when it reaches none. */
static struct slice
only_room(struct slice grant)
{
	struct slice room = grant;
	struct slice first = slice_cut(&room, '/');

	if (!slice_eq(first, SLICE("chat")) && !slice_eq(first, SLICE("*")))
		return SLICE_NONE;
	return room.n == 0 || memchr(room.p, '/', room.n) != NULL ? SLICE_NONE : room;
}

/* Whoever may join few rooms need not look at all that others have. */
static void
take_granted(struct rooms *rooms)
{
	const struct strings *grants = &rooms->claims->subscribe;
	struct buf topic = BUF_INIT(2 * TOPIC_MAX);
	struct map seen;
	bool more = true;

	map_init(&seen);
	for (size_t i = 0; i < grants->n && more; i++) {
		struct slice room = only_room(slice_str(grants->v[i]));

		if (room.p == NULL || map_get(&seen, room) != NULL)
			continue;
		topic.n = 0;
		(void)BUF_ADD_LIT(&topic, "chat/");
		if (buf_add_slice(&topic, room) < 0 || map_set(&seen, room, rooms) < 0) {
			rooms->names.failed = true;
			break;
		}
		more = log_one_topic(rooms->hub->log, buf_slice(&topic), take_room, rooms);
	}
	map_done(&seen);
	buf_done(&topic);
}

static void
take_rooms(struct rooms *rooms)
{
	if (claims_may_subscribe(rooms->claims, SLICE("chat/*")))
		log_each_room(rooms->hub->log, take_room, rooms);
	else
		take_granted(rooms);
}

/* Failures stick to b. */
static void
describe(const struct rooms *rooms, const struct room *room, struct buf *b)
{
	(void)buf_add_char(b, '{');
	(void)json_add_member_string(b, "room", topic_room(topic_of(rooms, room)));
	(void)json_add_member_u64(b, "count", room->members);
	(void)json_add_member_u64(b, "latest", room->latest);
	if (room->marker.id != 0 && room->marker.unread >= 0)
		(void)json_add_member_u64(b, "unread", (uint64_t)room->marker.unread);
	(void)buf_add_char(b, '}');
}

static void
answer(const struct rooms *rooms, struct caller *c)
{
	struct buf b;

	answer_start(&b, "rooms", rooms->ref);
	b.max = ROOMS_LISTED * ROOM_BYTES;
	(void)json_add_key(&b, "rooms");
	(void)buf_add_char(&b, '[');
	for (size_t i = 0; i < rooms->n && !rooms->names.failed; i++) {
		if (i > 0)
			(void)buf_add_char(&b, ',');
		describe(rooms, &rooms->all[i], &b);
	}
	(void)buf_add_char(&b, ']');
	b.failed = b.failed || rooms->names.failed;
	caller_answer(c, "rooms", &b);
}

static void
on_counted(struct log_read *r)
{
	struct rooms *rooms = CONTAINER(r, struct rooms, read);
	struct caller *c = lookup_end(&rooms->lookup);
	size_t k = 0;

	for (size_t i = 0; i < rooms->n && r->status >= 0; i++) {
		if (rooms->all[i].marker.unread < 0)
			rooms->all[i].marker.unread = (int)rooms->counts[k++].n;
	}
	if (c != NULL) {
		answer(rooms, c);
		caller_tell_pending(c);
	}
	rooms_free(rooms);
}

/* What memory tells. How many rooms are left for the disk. */
static size_t
look(struct rooms *rooms)
{
	struct hub *h = rooms->hub;
	size_t n = 0;

	for (size_t i = 0; i < rooms->n && !rooms->names.failed; i++) {
		struct room *room = &rooms->all[i];

		marker_look(
		    h->log, topic_of(rooms, room), rooms->user_id, h->now_ms, &room->marker);
		n += room->marker.unread < 0;
	}
	return n;
}

/* What is to be counted of n rooms; without memory it stays unsaid. */
static void
make_counts(struct rooms *rooms, size_t n)
{
	rooms->counts = n == 0 ? NULL : mem_calloc(n, sizeof(*rooms->counts));
	for (size_t i = 0; i < rooms->n && rooms->counts != NULL; i++) {
		const struct room *room = &rooms->all[i];

		if (room->marker.unread < 0)
			rooms->counts[rooms->n_counts++] = (struct log_count){
			    topic_of(rooms, room), rooms->user_id, room->marker.id, 0};
	}
}

static struct rooms *
rooms_new(const struct session *s, struct slice ref)
{
	struct slice user_id = slice_str(s->claims->user_id);
	struct rooms *rooms = mem_calloc(1, sizeof(*rooms) + ref.n + user_id.n);
	char *at;

	if (rooms == NULL)
		return NULL;
	at = (char *)(rooms + 1);
	rooms->hub = s->who.hub;
	rooms->claims = s->claims;
	rooms->bound = moderation_bound(s->who.hub, s->claims);
	rooms->ref = slice_place(&at, ref);
	rooms->user_id = slice_place(&at, user_id);
	rooms->names = BUF_INIT(ROOMS_LISTED * TOPIC_MAX);
	return rooms;
}

int
command_rooms(struct session *s, struct caller *c, const struct command *cmd, struct refusal *why)
{
	struct rooms *rooms = rooms_new(s, cmd->ref);
	struct hub *h = s->who.hub;

	if (rooms == NULL)
		return refuse_memory(why);
	take_rooms(rooms);
	make_counts(rooms, look(rooms));
	if (rooms->n_counts == 0) {
		answer(rooms, c);
		rooms_free(rooms);
		return 0;
	}
	rooms->lookup.read = &rooms->read;
	lookup_begin(&rooms->lookup, c);
	rooms->read = (struct log_read){.mode = LOG_COUNT,
	    .counts = rooms->counts,
	    .n_counts = rooms->n_counts,
	    .count = MARKER_UNREAD,
	    .now_ms = h->now_ms,
	    .user = claims_number(s->claims),
	    .worker = h->worker,
	    .done = on_counted};
	log_read(h->log, &rooms->read);
	return 0;
}
