/* core/presence: who is in a room, and what the room is told. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/presence.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

static const struct slice room = {"chat/a", 6};

static int
enter(struct world *w, const char *id, struct presence_view *view)
{
	struct message_from user = {slice_str(id), slice_str(id)};

	static const struct presence_name not_compared = {0};

	return presence_join(w->log, room, user, &not_compared, 0, 0, NULL, view);
}

/* While a connection of the user is there, and for the grace after the last one. */
static bool
is_member(struct world *w, struct slice topic, const char *id)
{
	struct buf b = BUF_INIT(10000);
	struct presence_view view;
	char want[64];
	bool found;

	(void)snprintf(want, sizeof(want), "\"id\":\"%s\"", id);
	ck_assert_int_eq(presence_members(w->log, topic, &b, &view), 0);
	found = memmem(b.p, b.n, want, strlen(want)) != NULL;
	buf_done(&b);
	return found;
}

START_TEST(snapshot)
{
	struct buf b = BUF_INIT(1000);
	struct presence_view view;
	struct world w;

	ck_assert(world_init(&w, NULL));
	ck_assert_int_eq(presence_members(w.log, room, &b, &view), 0);
	ck_assert(slice_eq(buf_slice(&b), SLICE("[]")));
	ck_assert_uint_eq(view.count, 0);
	ck_assert_int_eq(enter(&w, "a\"b", &view), 0);
	ck_assert_int_eq(enter(&w, "c", &view), 0);
	ck_assert_uint_eq(view.count, 2);
	buf_reset(&b);
	ck_assert_int_eq(presence_members(w.log, room, &b, &view), 0);
	ck_assert(slice_eq(buf_slice(&b),
	    SLICE("[{\"id\":\"a\\\"b\",\"name\":\"a\\\"b\"},{\"id\":\"c\",\"name\":\"c\"}]")));
	ck_assert(is_member(&w, room, "c"));
	ck_assert(!is_member(&w, room, "d"));
	ck_assert(!is_member(&w, SLICE("chat/b"), "c"));
	ck_assert_uint_eq(log_rooms(w.log), 1);
	presence_leave(w.log, room, SLICE("c"), 0, 0, 0);
	presence_leave(w.log, room, SLICE("c"), 0, 0, 0); /* not there: nothing happens */
	presence_leave(w.log, SLICE("chat/b"), SLICE("c"), 0, 0, 0);
	presence_leave(w.log, room, SLICE("a\"b"), 0, 0, 0);
	ck_assert_uint_eq(log_rooms(w.log), 0);
	buf_done(&b);
	world_done(&w);
}
END_TEST

START_TEST(listed_at_most)
{
	struct buf b = BUF_INIT(100000);
	struct presence_view view;
	struct world w;
	char id[16];
	size_t n = 0;

	ck_assert(world_init(&w, NULL));
	for (int i = 0; i < 150; i++) {
		(void)snprintf(id, sizeof(id), "u%d", i);
		ck_assert_int_eq(enter(&w, id, &view), 0);
	}
	ck_assert_uint_eq(view.count, 150);
	ck_assert_int_eq(presence_members(w.log, room, &b, &view), 0);
	for (size_t i = 0; i < b.n; i++)
		n += b.p[i] == '{';
	ck_assert_uint_eq(n, PRESENCE_LISTED);
	buf_done(&b);
	world_done(&w); /* with all of them in */
}
END_TEST

/* A grace that a reload has shortened: the list is not in order, and each goes at its own time. */
START_TEST(graces)
{
	struct presence_view view;
	struct world w;

	ck_assert(world_init(&w, NULL));
	ck_assert_int_eq(enter(&w, "a", &view), 0);
	ck_assert_int_eq(enter(&w, "b", &view), 0);
	presence_leave(w.log, room, SLICE("a"), 0, 9000, 0);
	presence_leave(w.log, room, SLICE("b"), 0, 5000, 0);
	presence_expire(w.log, 4999);
	ck_assert(is_member(&w, room, "b"));
	presence_expire(w.log, 5000);
	ck_assert(!is_member(&w, room, "b"));
	ck_assert(is_member(&w, room, "a"));
	ck_assert_int_eq(enter(&w, "a", &view), 0);
	presence_expire(w.log, 10000);
	ck_assert(is_member(&w, room, "a"));
	presence_leave(w.log, room, SLICE("a"), 0, 11000, 0);
	presence_expire(w.log, 11000);
	ck_assert_uint_eq(log_rooms(w.log), 0);
	world_done(&w);
}
END_TEST

static int
enter_as(struct world *w, const char *id, const char *key, bool is_self_given)
{
	struct message_from user = {slice_str(id), slice_str(id)};
	struct presence_name name = {slice_str(key), is_self_given};
	struct presence_view view;

	return presence_join(w->log, room, user, &name, 0, 0, NULL, &view);
}

/* A guest is not taken for a member; a member is not kept out by a guest. */
START_TEST(alike)
{
	struct world w;

	ck_assert(world_init(&w, NULL));
	ck_assert_int_eq(enter_as(&w, "ada", "ada", false), 0);
	ck_assert_int_eq(enter_as(&w, "guest:1", "ada", true), -EEXIST);
	ck_assert_int_eq(enter_as(&w, "guest:1", "bob", true), 0);
	ck_assert_int_eq(enter_as(&w, "guest:1", "bob", true), 0); /* a second window */
	ck_assert_int_eq(
	    enter_as(&w, "guest:2", "bob", true), 0); /* of guests many are called so */
	ck_assert_int_eq(enter_as(&w, "bob", "bob", false), 0);
	ck_assert_int_eq(enter_as(&w, "guest:3", "bob", true), -EEXIST);
	ck_assert_int_eq(enter_as(&w, "bob2", "bob", false), 0);
	presence_leave(w.log, room, SLICE("bob"), 0, 0, 0);
	ck_assert_int_eq(
	    enter_as(&w, "guest:3", "bob", true), -EEXIST); /* the other one is there */
	presence_leave(w.log, room, SLICE("bob2"), 0, 0, 0);
	ck_assert_int_eq(enter_as(&w, "guest:3", "bob", true), 0);
	presence_leave(w.log, room, SLICE("ada"), 0, 0, 0);
	ck_assert_int_eq(enter_as(&w, "guest:4", "ada", true), 0);
	world_done(&w);
}
END_TEST

/* Beyond chat.presence_limit only the count is told, once a second; then all who are there. */
START_TEST(crowds)
{
	struct presence_view view;
	struct world w;
	struct peer bob;
	char id[2] = "c";

	ck_assert(world_init(&w, NULL));
	log_set_crowd(w.log, 4);
	ck_assert(peer_open(&w, 0, &bob, "bob"));
	peer_do(&bob, "{'type':'join','room':'a'}");
	(void)peer_take(&bob);
	for (; id[0] < 'f'; id[0]++)
		ck_assert_int_eq(enter(&w, id, &view), 0);
	world_turn(&w);
	ck_assert_str_eq(peer_take(&bob), "+c; +d; +e");
	ck_assert(!presence_is_crowded(w.log, room));
	for (; id[0] < 'k'; id[0]++)
		ck_assert_int_eq(enter(&w, id, &view), 0);
	ck_assert(presence_is_crowded(w.log, room));
	world_turn(&w);
	ck_assert_str_eq(peer_take(&bob), "");
	peer_do(&bob, "{'type':'typing','room':'a'}");
	presence_expire(w.log, w.now_ms);
	world_turn(&w);
	ck_assert_str_eq(peer_take(&bob), "\"count\",\"room\":\"a\",\"count\":9}");
	/* the next one only a second later, or when the clock was set back */
	presence_leave(w.log, room, SLICE("c"), 0, 0, 0);
	presence_expire(w.log, w.now_ms + 999);
	world_turn(&w);
	ck_assert_str_eq(peer_take(&bob), "");
	presence_expire(w.log, w.now_ms + 1000);
	world_turn(&w);
	ck_assert_str_eq(peer_take(&bob), "\"count\",\"room\":\"a\",\"count\":8}");
	for (id[0] = 'd'; id[0] < 'i'; id[0]++)
		presence_leave(w.log, room, slice_str(id), 0, 0, 0);
	presence_expire(w.log, w.now_ms - 5000);
	world_turn(&w);
	ck_assert_str_eq(peer_take(&bob),
	    "\"members\",\"room\":\"a\",\"count\":3,\"members\":[{\"id\":\"bob\",\"name\":\"bob\"},"
	    "{\"id\":\"i\",\"name\":\"i\"},{\"id\":\"j\",\"name\":\"j\"}]}");
	presence_leave(w.log, room, SLICE("i"), 0, 0, 0);
	world_turn(&w);
	ck_assert_str_eq(peer_take(&bob), "-i");
	peer_close(&bob, false);
	world_done(&w);
}
END_TEST

/* Without memory to tell the room nobody enters, and nobody is gone. */
START_TEST(no_memory)
{
	struct presence_view view;
	struct world w;
	struct peer bob;
	long n;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &bob, "bob"));
	peer_do(&bob, "{'type':'join','room':'a'}");
	(void)peer_take(&bob);
	for (n = 1;; n++) {
		int r;

		mem_fail_at(n);
		r = enter(&w, "ada", &view);
		mem_fail_at(0);
		world_turn(&w);
		if (r == 0)
			break;
		ck_assert_int_eq(r, -ENOMEM);
		ck_assert_str_eq(peer_take(&bob), "");
		ck_assert(!is_member(&w, room, "ada"));
	}
	ck_assert_int_gt(n, 2);
	ck_assert_str_eq(peer_take(&bob), "+ada");
	mem_fail_at(1);
	presence_leave(w.log, room, SLICE("ada"), 0, 0, 0);
	mem_fail_at(0);
	world_turn(&w);
	ck_assert_str_eq(peer_take(&bob), "");
	presence_expire(w.log, w.now_ms);
	world_turn(&w);
	ck_assert_str_eq(peer_take(&bob), "-ada");
	peer_close(&bob, false);
	world_done(&w);
}
END_TEST

START_TEST(topics_limit)
{
	static const struct world_options options = {.max_topics = 1};
	struct presence_view view;
	struct world w;

	ck_assert(world_init(&w, &options));
	ck_assert_int_eq(world_say(&w, "a", "m"), 0);
	ck_assert_int_eq(enter(&w, "ada", &view), -ENOSPC);
	ck_assert_uint_eq(log_rooms(w.log), 0);
	world_done(&w);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
	    snapshot, listed_at_most, graces, alike, crowds, no_memory, topics_limit, NULL};

	return world_run_tests("presence", tests, NULL);
}
