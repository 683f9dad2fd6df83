/*
 * Two workers on threads of their own, and a third thread beside them, on one log: one order,
 * once. For ThreadSanitizer above all.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/presence.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define ROUNDS 400

struct part {
	struct world *w;
	struct peer listener;
	struct peer talker;
	unsigned hub;
	unsigned n_acks;
	_Atomic bool *is_over;
	pthread_t thread;
};

static unsigned
count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static void
step(struct part *p, unsigned i)
{
	struct peer *t = &p->talker;

	switch (i % 8) {
	case 0:
		peer_do(t, "{'type':'join','room':'r%u','last':3}", i % 3);
		break;
	case 1:
		peer_do(t, "{'type':'publish','topic':'t/%u','message':'m%u','key':'k%u'}", i % 5,
		    i, i % 7);
		break;
	case 2:
		peer_do(t, "{'type':'subscribe','topic':'t/*','after':'all'}");
		break;
	case 3:
		peer_do(t, "{'type':'publish','topic':'live/x','message':'m'}");
		break;
	case 4:
		peer_do(t, "{'type':'history','topic':'**'}");
		break;
	case 5:
		peer_do(t, "{'type':'rooms'}");
		break;
	case 6:
		peer_do(t, "{'type':'leave'}");
		break;
	default:
		peer_do(t, "{'type':'unsubscribe','topic':'t/*'}");
		break;
	}
}

static void *
work(void *arg)
{
	struct part *p = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		step(p, i);
		world_turn_one(p->w, p->hub);
		p->n_acks += count(peer_take(&p->talker), "ack");
		if (i % 50 == 49) {
			peer_close(&p->talker, i % 100 == 49);
			if (!peer_open(p->w, p->hub, &p->talker, "talker"))
				return NULL;
		}
	}
	while (!atomic_load(p->is_over))
		world_turn_one(p->w, p->hub);
	world_turn_one(p->w, p->hub);
	return NULL;
}

START_TEST(one_order)
{
	static const struct world_options two = {.n_hubs = 2};
	long blocks = mem_blocks();
	_Atomic bool is_over = false;
	struct part parts[2] = {0};
	struct world w;
	const char *first;
	const char *second;

	ck_assert(world_init(&w, &two));
	for (unsigned i = 0; i < 2; i++) {
		parts[i].w = &w;
		parts[i].hub = i;
		parts[i].is_over = &is_over;
		ck_assert(peer_open(&w, i, &parts[i].listener, "listener"));
		peer_do(&parts[i].listener, "{'type':'subscribe','topic':'**'}");
		ck_assert_str_eq(peer_take(&parts[i].listener), "subscribed ** #0");
		ck_assert(peer_open(&w, i, &parts[i].talker, "talker"));
	}
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&parts[i].thread, NULL, work, &parts[i]), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		(void)world_say(&w, i % 2 == 0 ? "main" : "chat/r1", "x");
		presence_expire(w.log, WORLD_NOW_MS + i);
		if (i % 20 == 0)
			log_sweep(w.log, WORLD_NOW_MS);
	}
	atomic_store(&is_over, true);
	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(parts[i].thread, NULL), 0);
	world_turn(&w);
	first = peer_take(&parts[0].listener);
	second = peer_take(&parts[1].listener);
	ck_assert(strcmp(first, second) == 0); /* too long to be printed */
	ck_assert_uint_eq(count(first, "main#"), ROUNDS / 2);
	ck_assert_uint_eq(count(first, "chat/r1#"), ROUNDS / 2);
	ck_assert_uint_eq(parts[0].n_acks, ROUNDS / 4);
	ck_assert_uint_eq(parts[1].n_acks, ROUNDS / 4);
	ck_assert_uint_eq(count(first, "live/x"), ROUNDS / 4);
	for (unsigned i = 0; i < 2; i++) {
		peer_close(&parts[i].listener, false);
		peer_close(&parts[i].talker, false);
	}
	presence_expire(w.log, WORLD_NOW_MS + 100000);
	ck_assert_uint_eq(log_rooms(w.log), 0);
	world_done(&w);
	ck_assert_int_eq(mem_blocks(), blocks);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {one_order, NULL};

	return world_run_tests("threads", tests, NULL);
}
