/* Messages that are put off: when, by whom they are taken back, once, and across restarts. */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define GOT(p, text) ck_assert_str_eq(peer_take(p), text)

struct scene {
	struct world w;
	struct peer p;
	struct peer bob;
};

static void
begin(struct scene *s)
{
	ck_assert(world_init(&s->w, NULL));
	ck_assert(peer_open(&s->w, 0, &s->p, "ada"));
	ck_assert(peer_open(&s->w, 0, &s->bob, "bob"));
	peer_do(&s->bob, "{'type':'subscribe','topic':'**'}");
	(void)peer_take(&s->bob);
}

static void
end(struct scene *s)
{
	peer_close(&s->p, false);
	peer_close(&s->bob, false);
	world_done(&s->w);
}

static void
pass(struct scene *s, int64_t ms)
{
	world_pass(&s->w, ms);
	log_fire(s->w.log, s->w.now_ms);
	world_turn(&s->w);
}

struct list {
	uint64_t numbers[16];
	size_t n;
};

static bool
note(const struct log_scheduled *s, void *ctx)
{
	struct list *l = ctx;

	l->numbers[l->n++] = s->number;
	return l->n < 16;
}

static struct list
list(struct world *w)
{
	struct list l = {.n = 0};

	log_each_scheduled(w->log, note, &l);
	return l;
}

START_TEST(in_order)
{
	struct scene s;

	begin(&s);
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'late','at':'+3s'}");
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'soon','at':'+1s'}");
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'too','at':%lld}",
	    (long long)(s.w.now_ms / 1000 + 3));
	peer_do(&s.p, "{'type':'publish','topic':'live/x','message':'kept by nobody','at':'+3s'}");
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'now','at':null}");
	world_turn(&s.w);
	ck_assert_uint_eq(list(&s.w).n, 4);
	GOT(&s.bob, "a#1 now");
	pass(&s, 999);
	GOT(&s.bob, "");
	pass(&s, 1);
	GOT(&s.bob, "a#1000000 soon");
	pass(&s, 5000);
	GOT(&s.bob, "a#6000000 late; a#6000001 too; live/x kept by nobody");
	ck_assert_uint_eq(list(&s.w).n, 0);
	ck_assert(!s.p.has_error);
	end(&s);
}
END_TEST

START_TEST(wrong_times)
{
	static const char *const wrong[] = {"'soon'", "-1", "-1.5", "''", "' '", "'1.'", "true",
	    "[]", "'+10x'", "'+400d'", "99999999999999", "'2999-01-01T00:00:00Z'",
	    "'99999999999999999999'"};
	struct scene s;

	begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		peer_do(&s.p, "{'type':'publish','topic':'a','message':'m','at':%s}", wrong[i]);
		ck_assert_msg(strstr(peer_take(&s.p), "bad_field") != NULL, "%s", wrong[i]);
	}
	/* what is over is due */
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'m','at':'2001-01-01T00:00:00Z'}");
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'n','at':0}");
	pass(&s, 0);
	GOT(&s.bob, "a#1 m; a#2 n");
	end(&s);
}
END_TEST

static int cancelled;

static void
on_cancelled(struct append *a)
{
	cancelled = a->status == 0 ? 1 : -1;
	append_free(a);
}

static int
cancel(struct world *w, uint64_t number, const char *user)
{
	int r = 0;
	struct append *a = log_cancel(w->log, number, slice_str(user), &r);

	if (a == NULL)
		return r;
	a->done = on_cancelled;
	cancelled = 0;
	ck_assert_int_eq(hub_append(&w->hubs[0], a), 0);
	world_turn(w);
	return cancelled;
}

START_TEST(taken_back)
{
	struct scene s;
	struct list l;

	begin(&s);
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'1','at':'+1s','key':'k'}");
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'2','at':'+1s'}");
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'3','at':'+1s'}");
	world_turn(&s.w);
	l = list(&s.w);
	ck_assert_uint_eq(l.n, 3);
	ck_assert_int_eq(cancel(&s.w, l.numbers[0], "bob"), -ENOENT);
	ck_assert_int_eq(cancel(&s.w, 1, "ada"), -ENOENT);
	ck_assert_int_eq(cancel(&s.w, l.numbers[0], "ada"), 1);
	ck_assert_int_eq(cancel(&s.w, l.numbers[0], "ada"), -ENOENT);
	ck_assert_int_eq(cancel(&s.w, l.numbers[1], NULL), 1); /* an administrator */
	ck_assert_uint_eq(list(&s.w).n, 1);
	pass(&s, 1000);
	GOT(&s.bob, "a#1000000 3");
	end(&s);
}
END_TEST

START_TEST(keyed)
{
	struct scene s;

	begin(&s);
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'1','at':'+1s','key':'k'}");
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'1','at':'+1s','key':'k'}");
	world_turn(&s.w);
	ck_assert_uint_eq(list(&s.w).n, 1);
	pass(&s, 1000);
	GOT(&s.bob, "a#1000000 1");
	(void)peer_take(&s.p);
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'1','at':'+1s','key':'k'}");
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'1','key':'k'}");
	world_turn(&s.w);
	GOT(&s.p, "ack #1000000 again; ack #1000000 again");
	/* one that was overtaken by the same key is not published again */
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'2','at':'+1s','key':'j'}");
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'2','key':'j'}");
	pass(&s, 1000);
	GOT(&s.bob, "a#1000001 2");
	ck_assert_uint_eq(list(&s.w).n, 0);
	end(&s);
}
END_TEST

START_TEST(bounded)
{
	struct scene s;

	begin(&s);
	for (int i = 0; i < WORLD_SCHEDULED_USER; i++) {
		peer_do(&s.p, "{'type':'publish','topic':'a','message':'m','at':'+1h'}");
		if (i % 50 == 0)
			world_turn(&s.w);
	}
	world_turn(&s.w);
	ck_assert(!s.p.has_error);
	(void)peer_take(&s.p);
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'m','at':'+1h'}");
	world_turn(&s.w);
	GOT(&s.p, "error too_many");
	peer_do(&s.bob, "{'type':'publish','topic':'a','message':'m','at':'+1h'}");
	world_turn(&s.w);
	ck_assert(!s.bob.has_error);
	for (int i = WORLD_SCHEDULED_USER + 1; i < WORLD_SCHEDULED; i++)
		peer_do(&s.bob, "{'type':'publish','topic':'a','message':'m','at':'+1h'}");
	world_turn(&s.w);
	ck_assert(!s.bob.has_error);
	(void)peer_take(&s.bob);
	peer_do(&s.bob, "{'type':'publish','topic':'a','message':'m','at':'+1h'}");
	world_turn(&s.w);
	GOT(&s.bob, "error too_many");
	end(&s);
}
END_TEST

struct several {
	int status;
	bool is_done;
	unsigned n_duplicates;
	uint64_t first;
};

static void
on_several(struct append *a)
{
	struct several *s = a->owner;

	s->is_done = true;
	s->status = a->status;
	s->first = a->items[0].id;
	for (unsigned i = 1; a->status == 0 && i < a->n; i++)
		s->n_duplicates += a->items[i].duplicate && a->items[i].id == s->first;
	append_free(a);
}

/* n messages at once, in an hour; what became of them, without having published any. */
static struct several
put_off(struct scene *s, unsigned n, const char *key)
{
	struct several out = {.status = 1};
	struct append *a = append_new(n);

	ck_assert_ptr_nonnull(a);
	for (unsigned i = 0; i < n; i++) {
		struct message_notice notice = {.topic = SLICE("a"),
		    .text = SLICE("m"),
		    .key = key == NULL ? SLICE_NONE : slice_str(key),
		    .from = {SLICE("eve"), SLICE("Eve")}};

		a->items[i].message = message_notice(
		    &notice, SLICE_NONE, config_rule(s->w.config, notice.topic), s->w.now_ms, 0);
		ck_assert_ptr_nonnull(a->items[i].message);
		a->items[i].what = APPEND_LATER;
		a->items[i].at_ms = s->w.now_ms + 3600000;
	}
	a->done = on_several;
	a->owner = &out;
	out.status = hub_append(&s->w.hubs[0], a);
	if (out.status < 0)
		append_free(a);
	else
		world_turn(&s->w);
	ck_assert(out.is_done || out.status < 0);
	return out;
}

/* Those that come together know of each other. */
START_TEST(together)
{
	struct scene s;
	struct several got;

	begin(&s);
	got = put_off(&s, WORLD_SCHEDULED_USER + 1, NULL);
	ck_assert_int_eq(got.status, -EUSERS);
	ck_assert_uint_eq(list(&s.w).n, 0);
	got = put_off(&s, 3, "k");
	ck_assert_int_eq(got.status, 0);
	ck_assert_uint_eq(got.n_duplicates, 2);
	ck_assert_uint_eq(list(&s.w).n, 1);
	ck_assert_uint_eq(list(&s.w).numbers[0], got.first);
	got = put_off(&s, WORLD_SCHEDULED_USER, NULL);
	ck_assert_int_eq(got.status, -EUSERS);
	got = put_off(&s, WORLD_SCHEDULED_USER - 1, NULL);
	ck_assert_int_eq(got.status, 0);
	end(&s);
}
END_TEST

START_TEST(restarted)
{
	struct scene s;

	begin(&s);
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'1','at':'+1s'}");
	peer_do(
	    &s.p, "{'type':'publish','topic':'a','data':{'n':2},'event':'x','at':'+2s','ttl':60}");
	peer_do(&s.p, "{'type':'publish','topic':'live/x','message':'3','at':'+3s'}");
	peer_do(&s.p, "{'type':'publish','topic':'a','message':'4','at':'+1h'}");
	world_turn(&s.w);
	pass(&s, 1000);
	GOT(&s.bob, "a#1000000 1");
	peer_close(&s.p, false);
	peer_close(&s.bob, false);
	if (!world_is_sqlite()) {
		world_done(&s.w);
		return;
	}
	world_pass(&s.w, 60000);
	ck_assert(world_restart(&s.w));
	ck_assert(peer_open(&s.w, 0, &s.p, "ada"));
	ck_assert(peer_open(&s.w, 0, &s.bob, "bob"));
	peer_do(&s.bob, "{'type':'subscribe','topic':'**'}");
	(void)peer_take(&s.bob);
	pass(&s, 0); /* what is overdue, in order */
	GOT(&s.bob, "a#61000000 {\"n\":2}; live/x 3");
	ck_assert_uint_eq(list(&s.w).n, 1);
	peer_close(&s.p, false);
	peer_close(&s.bob, false);
	ck_assert(world_restart(&s.w));
	ck_assert_uint_eq(list(&s.w).n, 1);
	world_done(&s.w);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {
	    in_order, wrong_times, taken_back, keyed, bounded, together, restarted, NULL};

	return world_run_tests("schedule", tests, NULL);
}
