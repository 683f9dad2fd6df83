#include "core/mention.h"

#include <errno.h>

#include "base/mem.h"
#include "core/known_name.h"
#include "core/name.h"
#include "core/presence_private.h"
#include "proto/json.h"

#define ATS_MAX    32  /* `@` looked at in one text */
#define WORDS_MAX  4   /* words of a name */
#define NAME_BYTES 128 /* of a name */
/* Members whose keys are made in one go: it is done under the log's lock. */
#define KEYS_AT_ONCE 500

/* A part of the text that may be a name: its key. */
struct part {
	size_t at; /* in the bytes of all keys */
	size_t n;
	bool is_longest; /* the first one behind its `@` */
};

struct parts {
	struct part all[ATS_MAX * WORDS_MAX];
	unsigned n;
	struct buf keys;
};

/* --- the text: what may be a name is cut out of it, without the lock --- */

static bool
is_word(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 0x80 || (u >= '0' && u <= '9') || ((u | 0x20) >= 'a' && (u | 0x20) <= 'z') ||
	       u == '_' || u == '-' || u == '\'';
}

/* The ends of the first, second, … word of s. Returns how many. */
static unsigned
word_ends(struct slice s, size_t ends[WORDS_MAX])
{
	size_t max = min_size(s.n, NAME_BYTES);
	unsigned n = 0;
	size_t at = 0;

	while (n < WORDS_MAX && at < max && is_word(s.p[at])) {
		while (at < max && is_word(s.p[at]))
			at++;
		ends[n++] = at;
		while (at < max && (s.p[at] == ' ' || s.p[at] == '.'))
			at++;
	}
	return n;
}

/* A name that is cut within a character, or has no key, is none. */
static int
add_part(struct parts *p, struct slice name, bool *is_first)
{
	size_t before = p->keys.n;

	if (name_key(name, &p->keys) == -ENOMEM)
		return -ENOMEM;
	if (p->keys.n == before)
		return 0;
	p->all[p->n++] = (struct part){before, p->keys.n - before, *is_first};
	*is_first = false;
	return 0;
}

static int
cut_parts(struct slice text, struct parts *p)
{
	unsigned n_ats = 0;

	for (size_t i = 0; i + 1 < text.n && n_ats < ATS_MAX; i++) {
		size_t ends[WORDS_MAX];
		unsigned n;
		bool is_first = true;

		if (text.p[i] != '@' || (i > 0 && is_word(text.p[i - 1])))
			continue;
		n_ats++;
		n = word_ends(slice_skip(text, i + 1), ends);
		while (n-- > 0) {
			if (add_part(p, slice_of(text.p + i + 1, ends[n]), &is_first) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

/* --- the members: under the lock --- */

static struct slice
key_of(const struct room_member *m)
{
	return slice_str(m->mention_key);
}

/* Without memory for it, or in the map, nobody can mention the member until it comes again. */
static void
key_member(struct room *room, struct room_member *m)
{
	struct buf key = BUF_INIT(NAME_KEY_MAX);

	if (name_key(m->name, &key) == 0 && key.n > 0)
		m->mention_key = mem_strdup(buf_slice(&key));
	buf_done(&key);
	if (m->mention_key == NULL)
		return;
	if (map_get(&room->mentioned, key_of(m)) != NULL) {
		room->has_twins = true;
	} else if (map_set(&room->mentioned, key_of(m), m) < 0) {
		mem_free(m->mention_key);
		m->mention_key = NULL;
	}
}

/* Somebody else of this name, who stands for it from now on. */
static void
let_inherit(struct room *room, const struct room_member *m)
{
	struct room_member *twin;

	TAILQ_FOREACH (twin, &room->order, order) {
		if (twin != m && twin->mention_key != NULL && slice_eq(key_of(twin), key_of(m)))
			break;
	}
	if (twin != NULL && map_set(&room->mentioned, key_of(twin), twin) < 0)
		return;
}

void
mention_drop(struct room *room, struct room_member *m)
{
	if (room->unkeyed == m)
		room->unkeyed = TAILQ_NEXT(m, order);
	if (m->mention_key == NULL)
		return;
	if (map_get(&room->mentioned, key_of(m)) == m) {
		(void)map_remove(&room->mentioned, key_of(m));
		if (room->has_twins)
			let_inherit(room, m);
	}
	mem_free(m->mention_key);
	m->mention_key = NULL;
}

static void
key_members(struct room *room)
{
	for (unsigned i = 0; i < KEYS_AT_ONCE && room->unkeyed != NULL; i++) {
		key_member(room, room->unkeyed);
		room->unkeyed = TAILQ_NEXT(room->unkeyed, order);
	}
}

struct found {
	const struct room_member *all[MENTIONS_MAX];
	unsigned n;
};

static void
add_found(struct found *f, const struct room_member *m)
{
	for (unsigned i = 0; i < f->n; i++) {
		if (f->all[i] == m)
			return;
	}
	if (f->n < MENTIONS_MAX)
		f->all[f->n++] = m;
}

/* Whoever has this name: several can. False when nobody has. */
static bool
find_named(const struct room *room, struct slice key, struct found *f)
{
	const struct room_member *m = map_get(&room->mentioned, key);

	if (m == NULL)
		return false;
	add_found(f, m);
	if (!room->has_twins)
		return true;
	TAILQ_FOREACH (m, &room->order, order) {
		if (m->mention_key != NULL && slice_eq(key_of(m), key))
			add_found(f, m);
	}
	return true;
}

static void
find_all(struct room *room, const struct parts *p, struct buf *out)
{
	struct found f = {.n = 0};
	bool is_done = false; /* with this `@` */

	key_members(room);
	for (unsigned i = 0; i < p->n; i++) {
		const struct part *part = &p->all[i];

		is_done = is_done && !part->is_longest;
		if (!is_done)
			is_done = find_named(room, slice_of(p->keys.p + part->at, part->n), &f);
	}
	for (unsigned i = 0; i < f.n; i++) {
		(void)buf_add_char(out, i == 0 ? '[' : ','); /* failures stick */
		(void)json_add_string(out, f.all[i]->user_id);
	}
	if (f.n > 0)
		(void)buf_add_char(out, ']');
}

/* --- between two people --- */

#define TWO 2

struct person {
	struct slice user_id;
	struct buf keys[TWO]; /* of the id and of the name; empty: none */
	bool is_found;
};

static int
person_init(struct person *p, struct slice user_id, struct slice name)
{
	*p = (struct person){.user_id = user_id};
	p->keys[0] = BUF_INIT(NAME_KEY_MAX);
	p->keys[1] = BUF_INIT(NAME_KEY_MAX);
	return name_key(user_id, &p->keys[0]) == -ENOMEM || name_key(name, &p->keys[1]) == -ENOMEM
		   ? -ENOMEM
		   : 0;
}

static void
person_done(struct person *p)
{
	buf_done(&p->keys[0]);
	buf_done(&p->keys[1]);
}

static bool
is_called(const struct person *p, struct slice key)
{
	return slice_eq(buf_slice(&p->keys[0]), key) || slice_eq(buf_slice(&p->keys[1]), key);
}

/* Those who are called so and were not found yet. False when nobody is called so. */
static bool
add_called(struct person people[TWO], unsigned n, struct slice key, struct buf *out)
{
	bool is_name = false;

	for (unsigned i = 0; i < n; i++) {
		struct person *p = &people[i];

		if (!is_called(p, key))
			continue;
		is_name = true;
		if (p->is_found)
			continue;
		p->is_found = true;
		(void)buf_add_char(out, out->n == 0 ? '[' : ','); /* failures stick */
		(void)json_add_string(out, p->user_id);
	}
	return is_name;
}

static int
find_between(struct person people[TWO], unsigned n, struct slice text, struct buf *out)
{
	struct parts p UNCLEARED;
	bool is_done = false; /* with this `@` */
	int r;

	p.n = 0;
	p.keys = BUF_INIT(ATS_MAX * WORDS_MAX * NAME_KEY_MAX);
	r = cut_parts(text, &p);
	for (unsigned i = 0; r == 0 && i < p.n; i++) {
		const struct part *part = &p.all[i];

		is_done = is_done && !part->is_longest;
		if (!is_done)
			is_done =
			    add_called(people, n, slice_of(p.keys.p + part->at, part->n), out);
	}
	if (out->n > 0)
		(void)buf_add_char(out, ']');
	buf_done(&p.keys);
	return r < 0 || out->failed ? -ENOMEM : 0;
}

int
mention_find_direct(
    struct log *l, struct message_from sender, struct slice to, struct slice text, struct buf *out)
{
	unsigned n = slice_eq(sender.user_id, to) ? 1 : TWO;
	struct person people[TWO];
	char name[KNOWN_NAME_MAX];
	int r;

	if (text.n == 0 || memchr(text.p, '@', text.n) == NULL)
		return 0;
	r = person_init(&people[0], sender.user_id, sender.name);
	if (person_init(&people[1], to, known_name_of(l, to, name)) < 0)
		r = -ENOMEM;
	if (r == 0)
		r = find_between(people, n, text, out);
	person_done(&people[0]);
	person_done(&people[1]);
	return r;
}

/* --- in a room --- */

int
mention_find(struct log *l, struct slice topic, struct slice text, struct buf *out)
{
	struct parts p UNCLEARED;
	struct log_topic *t;
	int r;

	if (text.n == 0 || memchr(text.p, '@', text.n) == NULL)
		return 0;
	p.n = 0;
	p.keys = BUF_INIT(ATS_MAX * WORDS_MAX * NAME_KEY_MAX);
	r = cut_parts(text, &p);
	if (r == 0 && p.n > 0) {
		log_lock(l);
		t = log_topic_find(l, topic);
		if (t != NULL && t->room != NULL)
			find_all(t->room, &p, out);
		log_unlock(l);
	}
	buf_done(&p.keys);
	return r < 0 || out->failed ? -ENOMEM : 0;
}
