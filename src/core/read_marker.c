#include "core/read_marker.h"

#include <errno.h>
#include <pthread.h>

#include "base/lock.h"
#include "base/mem.h"
#include "core/log_private.h"
#include "core/presence.h"
#include "core/topic.h"
#include "proto/json.h"

#define KEY_MAX   (FACT_SCOPE_MAX + 1 + FACT_SUBJECT_MAX)
#define AT_ONCE   256 /* told and written in one go */
#define GOES      16  /* of one tick */
#define LAST_GOES (2 * MARKERS_MAX / AT_ONCE)
#define LOOKS     20000 /* messages looked at to count what is unread in a room */

struct marker {
	/* by when they were moved last; of those forgotten, in `gone` */
	TAILQ_ENTRY(marker) order;
	TAILQ_ENTRY(marker) moved; /* while it is to be told */
	struct slice key;          /* behind the struct: topic, NUL, user id */
	struct slice topic;
	struct slice user_id;
	char *name; /* display name; owned, NULL: as the id */
	uint64_t id;
	uint64_t origin;
	int64_t moved_ms;
	int64_t told_ms;
	uint64_t told_id; /* what was told last */
	bool is_moved;    /* in the list */
	bool is_guest;
};
TAILQ_HEAD(marker_list, marker);

struct markers {
	pthread_mutex_t lock; /* taken last: under it no other is */
	struct map all;
	struct marker_list order;
	struct marker_list moved;
	struct marker_list gone; /* forgotten: their rows are still there */
	_Atomic size_t n;
};

struct markers *
markers_new(void)
{
	struct markers *m = mem_calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	lock_init(&m->lock);
	map_init(&m->all);
	TAILQ_INIT(&m->order);
	TAILQ_INIT(&m->moved);
	TAILQ_INIT(&m->gone);
	return m;
}

static void
marker_free(struct marker *k)
{
	mem_free(k->name);
	mem_free(k);
}

static void
free_list(struct marker_list *list)
{
	struct marker *k;

	while ((k = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, k, order);
		marker_free(k);
	}
}

void
markers_free(struct markers *m)
{
	if (m == NULL)
		return;
	free_list(&m->order);
	free_list(&m->gone);
	map_done(&m->all);
	(void)pthread_mutex_destroy(&m->lock);
	mem_free(m);
}

static void
markers_lock(struct markers *m)
{
	(void)pthread_mutex_lock(&m->lock);
}

static void
markers_unlock(struct markers *m)
{
	(void)pthread_mutex_unlock(&m->lock);
}

/* --- the table, under its lock --- */

static struct slice
key_of(struct slice topic, struct slice user_id, char out[KEY_MAX])
{
	char *at = out;

	if (topic.n > FACT_SCOPE_MAX || user_id.n > FACT_SUBJECT_MAX)
		return SLICE_NONE;
	(void)slice_place(&at, topic);
	*at++ = '\0';
	(void)slice_place(&at, user_id);
	return slice_of(out, (size_t)(at - out));
}

static struct marker *
find(const struct markers *m, struct slice topic, struct slice user_id)
{
	char bytes[KEY_MAX];
	struct slice key = key_of(topic, user_id, bytes);

	return key.p == NULL ? NULL : map_get(&m->all, key);
}

/* Room for one more: the one moved longest ago goes. False when all are to be told yet. */
static bool
make_room(struct markers *m)
{
	struct marker *k = TAILQ_FIRST(&m->order);

	if (m->all.n < MARKERS_MAX)
		return true;
	while (k != NULL && k->is_moved)
		k = TAILQ_NEXT(k, order);
	if (k == NULL)
		return false;
	(void)map_remove(&m->all, k->key);
	TAILQ_REMOVE(&m->order, k, order);
	TAILQ_INSERT_TAIL(&m->gone, k, order);
	return true;
}

static struct marker *
marker_new(struct markers *m, struct slice topic, struct slice user_id)
{
	char bytes[KEY_MAX];
	struct slice key = key_of(topic, user_id, bytes);
	struct marker *k = NULL;
	char *at;

	if (key.p != NULL && make_room(m))
		k = mem_calloc(1, sizeof(*k) + key.n);
	if (k == NULL)
		return NULL;
	at = (char *)(k + 1);
	k->key = slice_place(&at, key);
	k->topic = slice_of(k->key.p, topic.n);
	k->user_id = slice_of(k->key.p + topic.n + 1, user_id.n);
	if (map_set(&m->all, k->key, k) < 0) {
		mem_free(k);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&m->order, k, order);
	atomic_store(&m->n, m->all.n);
	return k;
}

static void
set_moved(struct markers *m, struct marker *k)
{
	if (!k->is_moved)
		TAILQ_INSERT_TAIL(&m->moved, k, moved);
	k->is_moved = true;
}

static void
set_name(struct marker *k, struct slice name)
{
	char *copy;

	if (k->name != NULL && slice_eq(slice_str(k->name), name))
		return;
	copy = mem_strdup(name);
	if (copy == NULL)
		return; /* the one before will do */
	mem_free(k->name);
	k->name = copy;
}

int
marker_move(struct log *l, const struct marker_move *move, int64_t now_ms)
{
	struct markers *m = l->markers;
	struct marker *k;
	int r = 0;

	markers_lock(m);
	k = find(m, move->topic, move->user.user_id);
	if (k == NULL)
		k = marker_new(m, move->topic, move->user.user_id);
	if (k == NULL) {
		r = -ENOMEM;
	} else if (move->id > k->id) {
		k->id = move->id;
		k->origin = move->origin;
		k->moved_ms = now_ms;
		k->is_guest = move->is_guest;
		set_name(k, move->user.name);
		set_moved(m, k);
		TAILQ_REMOVE(&m->order, k, order);
		TAILQ_INSERT_TAIL(&m->order, k, order);
	}
	markers_unlock(m);
	return r;
}

uint64_t
marker_get(struct log *l, struct slice topic, struct slice user_id)
{
	struct markers *m = l->markers;
	const struct marker *k;
	uint64_t id;

	if (atomic_load_explicit(&m->n, memory_order_relaxed) == 0)
		return 0;
	markers_lock(m);
	k = find(m, topic, user_id);
	id = k == NULL ? 0 : k->id;
	markers_unlock(m);
	return id;
}

int
markers_load(struct markers *m, const struct fact *f)
{
	struct marker *k = find(m, f->scope, f->subject);

	if (k == NULL)
		k = marker_new(m, f->scope, f->subject);
	if (k == NULL)
		return -ENOMEM;
	k->id = f->number;
	k->moved_ms = f->since_ms;
	return 0;
}

/* --- what is unread --- */

void
marker_look(struct log *l, struct slice topic, struct slice user_id, int64_t now_ms,
    struct marker_state *out)
{
	struct log_unread u = {
	    marker_get(l, topic, user_id), user_id, now_ms, MARKER_UNREAD, LOOKS};
	const struct log_topic *t;

	*out = (struct marker_state){.id = u.after};
	if (u.after == 0)
		return;
	log_lock(l);
	t = log_topic_find(l, topic);
	if (t != NULL && t->last_id > u.after && l->store->ops->unread != NULL)
		out->unread = l->store->ops->unread(l->store, t, &u);
	log_unlock(l);
}

void
marker_add(struct buf *b, const struct marker_state *m)
{
	if (m->id != 0 && m->unread >= 0)
		(void)json_add_member_u64(b, "unread", (uint64_t)m->unread);
	if (m->id != 0)
		(void)json_add_member_u64(b, "read", m->id);
}

/* --- telling and writing: the main thread --- */

struct news {
	struct message *told[AT_ONCE]; /* NULL: only to be written */
	struct fact_write *writes[AT_ONCE];
	unsigned n;
};

static struct fact_write *
write_of(struct markers *m, const struct marker *k, bool is_end)
{
	struct fact f = {.kind = FACT_READ,
	    .scope = k->topic,
	    .subject = k->user_id,
	    .number = k->id,
	    .since_ms = k->moved_ms,
	    .until_ms = k->moved_ms + (k->is_guest ? MARKER_GUEST_MS : MARKER_LIFE_MS)};

	return fact_write_new(m, &f, is_end);
}

/* Those that are due; without memory they stay for the next time. False when that was all. */
static bool
take_due(struct markers *m, int64_t now_ms, bool is_last, struct news *out)
{
	struct marker *k;
	struct marker *next;

	TAILQ_FOREACH_SAFE (k, &m->moved, moved, next) {
		struct message_from user = {
		    k->user_id, k->name == NULL ? k->user_id : slice_str(k->name)};
		bool is_due = is_last || now_ms >= k->told_ms + MARKER_TELL_MS ||
			      now_ms < k->told_ms; /* the clock was set back */
		struct message *told = NULL;
		struct fact_write *w;
		bool is_news;

		if (!is_due)
			continue;
		if (out->n == AT_ONCE)
			return true;
		is_news = !is_last && k->id != k->told_id;
		if (is_news)
			told = message_read(k->topic, user, k->id, k->origin);
		w = told == NULL && is_news ? NULL : write_of(m, k, false);
		if (w == NULL) {
			message_unref(told);
			return false;
		}
		TAILQ_REMOVE(&m->moved, k, moved);
		k->is_moved = false;
		k->told_ms = now_ms;
		k->told_id = k->id;
		out->told[out->n] = told;
		out->writes[out->n++] = w;
	}
	return false;
}

/* Their rows go, too. */
static void
take_gone(struct markers *m, struct news *out)
{
	struct marker *k;

	while (out->n < AT_ONCE && (k = TAILQ_FIRST(&m->gone)) != NULL) {
		struct fact_write *w = write_of(m, k, true);

		if (w == NULL)
			return;
		TAILQ_REMOVE(&m->gone, k, order);
		marker_free(k);
		out->told[out->n] = NULL;
		out->writes[out->n++] = w;
	}
}

/* To a small room, or to the user's own other connections there, if any. Takes m. */
static void
tell(struct log *l, struct message *m, int64_t now_ms)
{
	struct presence_of who = {0};
	bool is_known = presence_look(l, m->topic, m->user_id, &who);
	struct append *a;

	m->is_private = !is_known || who.members > MARKER_ROOM_MAX;
	if (is_known && m->is_private && who.connections < 2) {
		message_unref(m); /* nobody is there to hear it */
		return;
	}
	a = append_new(1);
	if (a == NULL) {
		message_unref(m);
		return;
	}
	a->one.message = m;
	a->now_ms = now_ms;
	a->worker = LOG_NO_WORKER; /* nobody waits */
	if (log_append(l, a, LOG_NO_WORKER) < 0)
		append_free(a); /* under load it is the first to go */
}

void
markers_unwritten(struct markers *m, const struct fact *f)
{
	struct marker *k;

	markers_lock(m);
	k = find(m, f->scope, f->subject);
	if (k != NULL)
		set_moved(m, k);
	markers_unlock(m);
}

static void
write_down(struct log *l, struct news *news, int64_t now_ms)
{
	struct append *a = fact_append(news->writes, news->n);

	for (unsigned i = 0; a == NULL && i < news->n; i++)
		fact_write_settle(news->writes[i], -ENOMEM);
	if (a == NULL)
		return;
	a->now_ms = now_ms;
	a->worker = LOG_NO_WORKER;
	if (log_append(l, a, LOG_NO_WORKER) < 0)
		append_free(a);
}

static void
go(struct log *l, int64_t now_ms, bool is_last)
{
	struct markers *m = l->markers;
	bool more = true;

	for (unsigned i = 0; more && i < (is_last ? LAST_GOES : GOES); i++) {
		struct news news = {.n = 0};

		markers_lock(m);
		more = take_due(m, now_ms, is_last, &news);
		take_gone(m, &news);
		markers_unlock(m);
		if (news.n == 0)
			return;
		for (unsigned k = 0; k < news.n; k++) {
			if (news.told[k] != NULL)
				tell(l, news.told[k], now_ms);
		}
		write_down(l, &news, now_ms);
	}
}

void
markers_tick(struct log *l, int64_t now_ms)
{
	go(l, now_ms, false);
}

void
markers_flush(struct log *l)
{
	go(l, 0, true);
}
