#include "tests/unit/model.h"

#include "core/history.h"
#include "core/message.h"
#include "core/topic.h"
#include "proto/json.h"

unsigned
model_random(struct model *m, unsigned n)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return (unsigned)((m->random >> 11) % n);
}

uint64_t
model_last(struct model *m)
{
	struct log_extent e;

	log_extent(m->w.log, &e);
	return e.last;
}

const struct post *
model_post(const struct model *m, uint64_t id)
{
	size_t low = 0;
	size_t high = m->n_posts;

	while (low < high) {
		size_t at = (low + high) / 2;

		if (m->posts[at].id < id)
			low = at + 1;
		else
			high = at;
	}
	return low < m->n_posts && m->posts[low].id == id ? &m->posts[low] : NULL;
}

/* --- the witness --- */

static bool
always(struct subscriber *s)
{
	(void)s;
	return true;
}

static void
hear(struct subscriber *s, struct wire *w)
{
	struct model *m = CONTAINER(s, struct model, witness);
	const struct message *in = w->message;
	struct post *p = &m->posts[m->n_posts];

	if (in->id == 0)
		return;
	NEED(m->n_posts < MODEL_POSTS);
	NEED(m->n_posts == 0 || p[-1].id < in->id);
	m->n_posts++;
	*p = (struct post){.id = in->id,
	    .target = in->target,
	    .is_deletion = in->kind == MESSAGE_DELETED,
	    .is_reaction = in->kind == MESSAGE_REACTION,
	    .is_off = in->is_off,
	    .time_ms = in->time_ms,
	    .ends_ms = in->expires_ms};
	for (unsigned i = 0; in->origin != 0 && i < MODEL_CLIENTS; i++) {
		const struct client *c = &m->clients[i];

		if (c->is_open && in->origin == (c->kind == CLIENT_SESSION ? c->session.who.number
									   : c->conn.number))
			p->owner = i + 1;
	}
	copy(p->topic, sizeof(p->topic), in->topic);
	if (in->also_n > 0)
		copy(p->also, sizeof(p->also), message_also(in));
	copy(p->text, sizeof(p->text), in->content);
	if (m->is_loud)
		(void)fprintf(stderr, "    post #%lld on %s%s%s '%s' target #%lld\n",
		    (long long)(p->id - m->w.begin), p->topic, p->also[0] != '\0' ? " and " : "",
		    p->also, p->text, p->target == 0 ? 0 : (long long)(p->target - m->w.begin));
}

static void
no_gap(struct subscriber *s, struct sub *sub, const struct log_resume *gap, uint64_t asked,
    uint32_t dropped)
{
	(void)s, (void)sub, (void)gap, (void)asked, (void)dropped;
	NEED(false);
}

static void
no_failure(struct subscriber *s)
{
	(void)s;
	NEED(false);
}

static void
no_level(struct subscriber *s, struct sub *sub, bool presence_skipped)
{
	(void)s, (void)sub, (void)presence_skipped;
}

static const struct subscriber_ops witness_ops = {
    .has_room = always, .push = hear, .gap = no_gap, .fail = no_failure, .level = no_level};

void
model_hear(struct model *m)
{
	hub_tail(&m->w.hubs[0]);
}

static void
bear_witness(struct model *m)
{
	static const char *const all[] = {"**", "user/**"};
	int status;

	m->witness = (struct subscriber){.ops = &witness_ops,
	    .hub = &m->w.hubs[0],
	    .number = ++m->w.n_numbers,
	    .form = FORM_WS_JSON};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		NEED(hub_subscribe(&m->w.hubs[0], &m->witness, slice_str(all[i]), false, &status));
}

bool
model_open(struct model *m, uint64_t seed, const struct world_options *options)
{
	memset(m, 0, sizeof(*m));
	m->seed = seed;
	m->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	m->is_loud = getenv("MODEL_SHOW") != NULL;
	if (!world_init(&m->w, options))
		return false;
	model_serve(m);
	bear_witness(m);
	m->stored.all = calloc(MODEL_ITEMS, sizeof(struct item));
	for (unsigned i = 0; i < MODEL_CLIENTS; i++) {
		m->clients[i].model = m;
		m->clients[i].items.all = calloc(MODEL_ITEMS, sizeof(struct item));
		NEED(m->clients[i].items.all != NULL);
	}
	return m->stored.all != NULL;
}

void
model_restart(struct model *m)
{
	hub_forget(&m->w.hubs[0], &m->witness);
	NEED(world_restart(&m->w));
	model_serve(m);
	bear_witness(m);
}

void
model_close(struct model *m)
{
	for (unsigned i = 0; i < MODEL_CLIENTS; i++) {
		client_close(&m->clients[i]);
		free(m->clients[i].items.all);
	}
	hub_forget(&m->w.hubs[0], &m->witness);
	free(m->stored.all);
	world_done(&m->w);
}

/* --- checking --- */

static void
on_stored(struct log_read *r)
{
	(void)r;
}

/* All that the log has at this moment. */
static void
look_at_log(struct model *m)
{
	static const struct log_filter all[] = {{{"**", 2}, false}, {{"user/**", 7}, false}};
	struct log_read r = {.mode = LOG_FORWARD,
	    .filters = all,
	    .n_filters = 2,
	    .upto = model_last(m),
	    .count = LOG_READ_MAX,
	    .max_bytes = 1 << 20,
	    .now_ms = m->w.now_ms,
	    .done = on_stored};

	bool was_slow = m->w.store->is_slow;

	m->stored.n = 0;
	m->w.store->is_slow = false;
	do {
		log_read(m->w.log, &r);
		NEED(r.status == 0);
		for (unsigned i = 0; i < r.n; i++) {
			struct item *item = model_add_json(m, &m->stored, r.messages[i]->json);

			NEED(item != NULL);
		}
		r.after = r.reached;
		log_read_release(&r);
	} while (r.more);
	m->w.store->is_slow = was_slow;
}

/* --- pages --- */

struct page {
	uint64_t ids[16];
	unsigned n;
	bool more, is_done;
};

static void
on_page(void *ctx, int status, struct slice messages, bool more)
{
	struct page *p = ctx;
	const cJSON *item;
	cJSON *json = NULL;

	NEED(status == 0 && json_parse(messages, &json, NULL) == 0);
	cJSON_ArrayForEach(item, json)
	{
		NEED(p->n < 16);
		p->ids[p->n++] = (uint64_t)json_member(item, "id")->valuedouble;
		NEED(p->n == 1 || p->ids[p->n - 1] > p->ids[p->n - 2]);
	}
	cJSON_Delete(json);
	p->more = more;
	p->is_done = true;
}

static void
read_page(struct model *m, const struct history_request *q, struct page *p)
{
	bool was_slow = m->w.store->is_slow;

	*p = (struct page){.n = 0};
	m->w.store->is_slow = false;
	NEED(history_read(&m->w.hubs[0], q, on_page, p) == 0);
	NEED(p->is_done);
	m->w.store->is_slow = was_slow;
}

/* The next in that direction that is in the log and of the pattern; NULL: there is none. */
static const struct item *
next_stored(const struct model *m, const char *pattern, bool is_back, uint64_t id)
{
	for (size_t i = 0; i < m->stored.n; i++) {
		const struct item *item = &m->stored.all[is_back ? m->stored.n - 1 - i : i];
		const struct post *p = model_post(m, item->id);

		if (p != NULL && p->target == 0 && (is_back ? item->id < id : item->id > id) &&
		    (pattern_matches(slice_str(pattern), slice_str(p->topic)) ||
			(p->also[0] != '\0' &&
			    pattern_matches(slice_str(pattern), slice_str(p->also)))))
			return item;
	}
	return NULL;
}

static void
check_pages(struct model *m, const char *pattern, unsigned limit, bool is_back)
{
	struct history_request q = {.topic = slice_str(pattern), .limit = limit};
	uint64_t at = is_back ? UINT64_MAX : 0;
	struct page p;

	if (!is_back)
		q.after.kind = POSITION_ALL;
	do {
		read_page(m, &q, &p);
		for (unsigned i = 0; i < p.n; i++) {
			const struct item *item = next_stored(m, pattern, is_back, at);

			at = p.ids[is_back ? p.n - 1 - i : i];
			NEED(item != NULL && item->id == at);
		}
		NEED(p.more == (next_stored(m, pattern, is_back, at) != NULL));
		q.before = is_back ? at : 0;
		q.after =
		    (struct position){.kind = is_back ? POSITION_NONE : POSITION_ID, .id = at};
	} while (p.more);
}

void
model_check_history(struct model *m, const char *pattern, unsigned limit)
{
	model_hear(m);
	look_at_log(m);
	check_pages(m, pattern, limit, false);
	check_pages(m, pattern, limit, true);
}

/* --- cuts --- */

static const struct item *
find_stored(const struct model *m, uint64_t id)
{
	for (size_t i = 0; i < m->stored.n; i++) {
		if (m->stored.all[i].id == id)
			return &m->stored.all[i];
	}
	return NULL;
}

static bool
is_of(const struct client *c, const struct wish *wish, const struct post *p)
{
	for (unsigned i = 0; i < c->n_wishes; i++) {
		const struct wish *w = c->kind == CLIENT_EVENTS ? &c->wishes[i] : wish;

		if (pattern_matches(slice_str(w->name), slice_str(p->topic)) ||
		    (p->also[0] != '\0' && pattern_matches(slice_str(w->name), slice_str(p->also))))
			return true;
	}
	return false;
}

struct cut {
	struct client *client;
	struct wish *wish;
	size_t n_had; /* of the items */
	uint64_t cursor;
	struct items all; /* those of the wish, the resumed ones behind them */
	size_t n_before;  /* of all: before the cut */
	uint64_t base;
};

static void
fail_cut(const struct cut *k, const char *what, uint64_t id)
{
	const struct model *m = k->client->model;

	(void)fprintf(stderr,
	    "seed %llu: client %u (kind %u, %s): cut behind #%lld (base #%lld): #%lld %s\n",
	    (unsigned long long)m->seed, (unsigned)(k->client - m->clients), k->client->kind,
	    k->wish->name, (long long)(k->cursor - m->w.begin), (long long)(k->base - m->w.begin),
	    (long long)(id - m->w.begin), what);
	for (size_t i = 0; i < k->all.n; i++)
		model_show(m, &k->all.all[i], i < k->n_before ? "had" : "resumed");
	for (size_t i = 0; i < m->stored.n; i++) {
		const struct post *p = model_post(m, m->stored.all[i].id);

		if (p != NULL && is_of(k->client, k->wish, p))
			model_show(m, &m->stored.all[i], "stored");
	}
	abort();
}

/* Those before the cut that are of this wish; what was asked for twice counts once. */
static void
take_items(struct cut *k, const struct items *from, size_t n)
{
	const struct model *m = k->client->model;

	for (size_t i = k->wish->since; i < n; i++) {
		const struct item *item = &from->all[i];
		const struct post *p;
		bool is_known = false;

		if (item->kind == ITEM_GAP &&
		    (item->place[0] != '\0' && strcmp(item->place, k->wish->name) != 0))
			continue;
		if (item->kind == ITEM_MESSAGE) {
			p = model_post(m, item->id);
			if (p == NULL)
				fail_cut(k, "was never published", item->id);
			if (!is_of(k->client, k->wish, p))
				continue;
			for (size_t j = 0; k->wish->has_asked_again && j < k->all.n; j++)
				is_known = is_known || (k->all.all[j].kind == ITEM_MESSAGE &&
							   k->all.all[j].id == item->id);
		}
		if (!is_known && item->kind != ITEM_ID) {
			k->all.all[k->all.n++] = *item;
		} else if (is_known) {
			for (size_t j = 0; j < k->all.n; j++) {
				if (k->all.all[j].id == item->id)
					k->all.all[j].state = item->state;
			}
		}
	}
}

static void
resume(struct cut *k)
{
	struct client *c = k->client;
	struct model *m = c->model;
	struct world_store *store = m->w.store;
	static struct client probe;
	unsigned hub = model_random(m, m->w.n_hubs);
	bool was_slow = store->is_slow;
	bool was_loud = m->is_loud;
	size_t n;

	m->n_probes++;
	m->is_loud = false;
	store->is_slow = false;
	probe = (struct client){
	    .model = m, .kind = c->kind, .hub = hub, .items = k->all, .n_wishes = 0};
	(void)snprintf(probe.request, sizeof(probe.request), "%s", c->request);
	if (c->kind == CLIENT_SESSION) {
		client_session(&probe, hub);
		if (strncmp(k->wish->name, "chat/", 5) == 0)
			client_do(&probe, "{'type':'join','room':'%s','after':%llu}",
			    k->wish->name + 5, (unsigned long long)k->cursor);
		else
			client_do(&probe, "{'type':'subscribe','topic':'%s','after':%llu}",
			    k->wish->name, (unsigned long long)k->cursor);
	} else {
		client_stream(&probe, c->kind, hub, NULL, k->cursor);
	}
	do {
		n = probe.items.n;
		world_turn_one(&m->w, hub);
	} while (probe.items.n != n);
	client_close(&probe);
	k->all = probe.items;
	store->is_slow = was_slow;
	m->is_loud = was_loud;
}

/* A gap tells of it, before anything newer. */
static bool
is_told(const struct cut *k, uint64_t id)
{
	uint64_t newest = 0;

	for (size_t i = 0; i < k->all.n; i++) {
		const struct item *item = &k->all.all[i];

		if (item->kind == ITEM_MESSAGE)
			newest = item->id > newest ? item->id : newest;
		if (item->kind != ITEM_GAP || strcmp(item->reason, "slow") == 0)
			continue;
		if (item->id != 0 ? item->id >= id && newest <= item->id
				  : newest < id && id <= item->last)
			return true;
	}
	return false;
}

static bool
has_come(const struct cut *k, uint64_t id)
{
	for (size_t i = 0; i < k->all.n; i++) {
		if (k->all.all[i].kind == ITEM_MESSAGE && k->all.all[i].id == id)
			return true;
	}
	return false;
}

/* What a client takes a message to be. */
static struct state
state_of(const struct cut *k, uint64_t id)
{
	const struct model *m = k->client->model;
	struct state s = {"", false, false};

	for (size_t i = 0; i < k->all.n; i++) {
		const struct item *item = &k->all.all[i];
		const struct post *p = item->kind == ITEM_MESSAGE ? model_post(m, item->id) : NULL;

		if (p == NULL)
			continue;
		if (p->id == id) {
			s = item->state;
		} else if (p->target == id && p->is_deletion) {
			s = (struct state){"", true, false};
		} else if (p->target == id && p->is_reaction) {
			s.is_reacted = !p->is_off;
		} else if (p->target == id) {
			copy(s.text, sizeof(s.text), slice_str(item->state.text));
		}
	}
	return s;
}

/* Its own, what has ended, and records: those show in what they change. */
static bool
is_excused(const struct cut *k, const struct post *p)
{
	return p->owner == k->client - k->client->model->clients + 1 || p->target != 0 ||
	       (p->ends_ms != 0 && p->ends_ms <= k->client->model->w.now_ms);
}

static void
check_one(struct cut *k, const struct post *p)
{
	const struct model *m = k->client->model;
	const struct item *stored = find_stored(m, p->id);
	struct state s;

	if (p->id <= k->base || is_excused(k, p))
		return;
	if (!has_come(k, p->id)) {
		if (stored != NULL)
			fail_cut(k, "is lost, and the log has it", p->id);
		if (k->wish->is_question && p->id <= k->wish->asked_upto)
			return;
		if (!is_told(k, p->id))
			fail_cut(k, "is lost, and no gap tells of it", p->id);
		return;
	}
	if (stored == NULL)
		return;
	s = state_of(k, p->id);
	if (s.is_deleted != stored->state.is_deleted ||
	    (!s.is_deleted && (s.is_reacted != stored->state.is_reacted ||
				  strcmp(s.text, stored->state.text) != 0)))
		fail_cut(k, "is not as the log has it", p->id);
}

static void
check_order(struct cut *k)
{
	uint64_t newest = 0;

	for (size_t i = 0; i < k->all.n; i++) {
		const struct item *item = &k->all.all[i];

		if (item->kind != ITEM_MESSAGE)
			continue;
		if (k->wish->has_asked_again && i < k->n_before) {
			newest = item->id > newest ? item->id : newest;
			continue;
		}
		if (item->id == newest ||
		    has_come(&(struct cut){.client = k->client, .all = {k->all.all, i}}, item->id))
			fail_cut(k, "comes twice", item->id);
		if (item->id < newest)
			fail_cut(k, "comes behind a newer one", item->id);
		newest = item->id;
	}
}

/* A gap is told where nothing is missing. */
static void
check_gaps(struct cut *k)
{
	const struct model *m = k->client->model;
	bool has_gap = false;

	for (size_t i = k->n_before; i < k->all.n; i++)
		has_gap = has_gap || k->all.all[i].kind == ITEM_GAP;
	if (!has_gap || k->cursor < m->w.begin)
		return;
	for (size_t i = 0; i < m->n_posts; i++) {
		if (m->posts[i].id > k->cursor && is_of(k->client, k->wish, &m->posts[i]) &&
		    find_stored(m, m->posts[i].id) == NULL)
			return;
	}
	fail_cut(k, "a gap of nothing", 0);
}

static void
check_cut(struct client *c, struct wish *wish, size_t n_had, uint64_t cursor)
{
	static struct item items[MODEL_ITEMS];
	struct model *m = c->model;
	struct cut k = {
	    .client = c, .wish = wish, .n_had = n_had, .cursor = cursor, .all = {items, 0}};

	take_items(&k, &c->items, n_had);
	k.n_before = k.all.n;
	resume(&k);
	k.base = wish->base;
	if (wish->is_question) {
		uint64_t first = wish->asked_upto + 1;

		for (size_t i = 0; i < k.all.n; i++) {
			if (k.all.all[i].kind == ITEM_MESSAGE && k.all.all[i].id < first)
				first = k.all.all[i].id;
		}
		k.base = first - 1;
	}
	check_order(&k);
	for (size_t i = 0; i < m->n_posts; i++) {
		if (is_of(c, wish, &m->posts[i]))
			check_one(&k, &m->posts[i]);
	}
	check_gaps(&k);
}

void
client_check(struct client *c)
{
	struct model *m = c->model;

	if (!c->is_open)
		return;
	model_hear(m);
	look_at_log(m);
	for (size_t n = c->n_checked; n <= c->items.n; n++) {
		const struct item *item = n == 0 ? NULL : &c->items.all[n - 1];

		if (c->kind != CLIENT_SESSION) {
			uint64_t cursor = item == NULL ? 0 : item->cursor;

			if (cursor != 0 && item->connection == c->n_connections)
				check_cut(c, &c->wishes[0], n, cursor);
			continue;
		}
		for (unsigned i = 0; i < c->n_wishes; i++) {
			struct wish *w = &c->wishes[i];
			const struct post *p = item == NULL || item->kind != ITEM_MESSAGE
						   ? NULL
						   : model_post(m, item->id);
			bool is_mine = p != NULL && is_of(c, w, p);

			if (w->is_left || n < w->since)
				continue;
			if (is_mine && n > c->n_checked && item->id > w->cursor)
				w->cursor = item->id;
			if (w->cursor != 0 && (is_mine || n == c->items.n))
				check_cut(c, w, n, w->cursor);
		}
	}
	c->n_checked = c->items.n;
}
