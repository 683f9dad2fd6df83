/* core/typing: told to the room, ended by what is sent, by leaving, by going, and by itself. */
#include "core/session.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define GOT(p, text) ck_assert_str_eq(peer_take(p), text)

#define TIMEOUT_MS 6000

/* Ada reads what Bob does in the rooms a and b. */
static void
begin(struct world *w, struct peer *ada, struct peer *bob)
{
	ck_assert(world_init(w, NULL));
	w->config->chat.typing_timeout_ms = TIMEOUT_MS;
	ck_assert(peer_open(w, 0, ada, "ada"));
	ck_assert(peer_open(w, 0, bob, "bob"));
	for (const char *room = "ab"; *room != '\0'; room++) {
		peer_do(ada, "{'type':'join','room':'%c'}", *room);
		peer_do(bob, "{'type':'join','room':'%c'}", *room);
	}
	world_turn(w);
	(void)peer_take(ada);
	(void)peer_take(bob);
}

static void
end(struct world *w, struct peer *ada, struct peer *bob)
{
	peer_close(ada, false);
	if (bob->is_open)
		peer_close(bob, false);
	world_done(w);
}

static uint64_t
mono_ms(const struct world *w)
{
	return w->hubs[0].mono_us / 1000;
}

START_TEST(ends_by_itself)
{
	struct world w;
	struct peer ada;
	struct peer bob;
	uint64_t due;

	begin(&w, &ada, &bob);
	ck_assert_uint_eq(session_typing_due(&bob.session), 0);
	peer_do(&bob, "{'type':'typing','room':'a'}");
	world_turn(&w);
	GOT(&ada, "typing bob");
	due = mono_ms(&w) + TIMEOUT_MS;
	ck_assert_uint_eq(session_typing_due(&bob.session), due);
	/* another room has its own time, and the first one is due first */
	world_pass(&w, 1000);
	peer_do(&bob, "{'type':'typing','room':'b','typing':true}");
	world_turn(&w);
	GOT(&ada, "typing bob");
	ck_assert_uint_eq(session_typing_due(&bob.session), due);
	/* said at each key, it is told once in a while */
	peer_do(&bob, "{'type':'typing','room':'b'}");
	world_turn(&w);
	GOT(&ada, "");
	/* said again, it lasts longer */
	world_pass(&w, 1000);
	peer_do(&bob, "{'type':'typing','room':'a'}");
	world_turn(&w);
	GOT(&ada, "typing bob");
	ck_assert_uint_eq(session_typing_due(&bob.session), due + 1000);
	session_typing_tick(&bob.session, due + 999);
	world_turn(&w);
	GOT(&ada, "");
	session_typing_tick(&bob.session, due + 1000);
	world_turn(&w);
	GOT(&ada, "typing bob no more");
	ck_assert_uint_eq(session_typing_due(&bob.session), due + 2000);
	session_typing_tick(&bob.session, due + 100000);
	session_typing_tick(&bob.session, due + 200000);
	world_turn(&w);
	GOT(&ada, "typing bob no more");
	ck_assert_uint_eq(session_typing_due(&bob.session), 0);
	GOT(&bob, "");
	end(&w, &ada, &bob);
}
END_TEST

START_TEST(ends_with_what_was_typed)
{
	struct world w;
	struct peer ada;
	struct peer bob;

	begin(&w, &ada, &bob);
	peer_do(&bob, "{'type':'typing','room':'a'}");
	peer_do(&bob, "{'type':'typing','room':'b'}");
	world_turn(&w);
	GOT(&ada, "typing bob; typing bob");
	/* only where it is said */
	peer_do(&bob, "{'type':'typing','room':'a','typing':false}");
	world_turn(&w);
	GOT(&ada, "typing bob no more");
	/* what had not begun does not end */
	peer_do(&bob, "{'type':'typing','room':'a','typing':false}");
	world_turn(&w);
	GOT(&ada, "");
	ck_assert_uint_ne(session_typing_due(&bob.session), 0);
	peer_close(&bob, true);
	ck_assert(session_typing_due(&ada.session) == 0);
	world_turn(&w);
	ck_assert_ptr_nonnull(strstr(peer_take(&ada), "typing bob no more"));
	end(&w, &ada, &bob);
}
END_TEST

START_TEST(leaving_ends_it)
{
	struct world w;
	struct peer ada;
	struct peer bob;

	begin(&w, &ada, &bob);
	peer_do(&bob, "{'type':'typing','room':'b'}");
	peer_do(&bob, "{'type':'leave','room':'a'}");
	world_turn(&w);
	GOT(&ada, "typing bob; -bob");
	peer_do(&bob, "{'type':'leave','room':'b'}");
	world_turn(&w);
	GOT(&ada, "typing bob no more; -bob");
	ck_assert_uint_eq(session_typing_due(&bob.session), 0);
	end(&w, &ada, &bob);
}
END_TEST

/* Without memory it is refused or not told, and ends all the same. */
START_TEST(no_memory)
{
	struct world w;
	struct peer ada;
	struct peer bob;
	struct refusal why;
	bool is_over = false;

	begin(&w, &ada, &bob);
	for (long n = 1; !is_over; n++) {
		struct sub *sub = sub_find(&bob.session.who, SLICE("chat/a"));
		int r;

		ck_assert_ptr_nonnull(sub);
		ck_assert_int_lt(n, 100);
		mem_fail_at(n);
		r = session_type(&bob.session, sub, true, &why);
		session_stop_typing(&bob.session, NULL);
		is_over = mem_fail_is_pending();
		mem_fail_at(0);
		ck_assert(r == 0 || why.code == ERROR_UNAVAILABLE);
		ck_assert_uint_eq(session_typing_due(&bob.session), 0);
		world_turn(&w);
		if (is_over)
			GOT(&ada, "typing bob; typing bob no more");
		else
			(void)peer_take(&ada);
	}
	end(&w, &ada, &bob);
	ck_assert_int_eq(mem_blocks(), 0);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
	    ends_by_itself, ends_with_what_was_typed, leaving_ends_it, no_memory, NULL};

	return run_tests("typing", tests);
}
