/* Of the view: who and what has been seen. */
#include "base/mem.h"
#include "ctl/chat_text.h"
#include "ctl/chat_view.h"
#include "ctl/chat_view_private.h"

#define EXCERPT 32 /* columns */

void
view_init(struct view *v)
{
	*v = (struct view){.line = BUF_INIT(VIEW_LINE_MAX), .day = -1};
}

void
view_done(struct view *v)
{
	for (size_t i = 0; i < VIEW_PEOPLE; i++) {
		mem_free(v->people[i].id);
		mem_free(v->people[i].name);
	}
	for (size_t i = 0; i < VIEW_SEEN; i++) {
		mem_free(v->seen[i].from);
		mem_free(v->seen[i].excerpt);
	}
	mem_free(v->own_id);
	mem_free(v->own_name);
	mem_free(v->room);
	buf_done(&v->line);
	view_init(v);
}

static int
set_string(char **to, struct slice s)
{
	char *copy = mem_strdup(s.p == NULL ? SLICE("") : s);

	if (copy == NULL)
		return -1;
	mem_free(*to);
	*to = copy;
	return 0;
}

int
view_set_self(struct view *v, struct slice id, struct slice name)
{
	view_meet(v, id, name);
	return set_string(&v->own_id, id) < 0 || set_string(&v->own_name, name) < 0 ? -ENOMEM : 0;
}

int
view_set_room(struct view *v, struct slice room)
{
	v->cursor = 0;
	v->latest = 0;
	v->oldest = 0;
	for (size_t i = 0; i < VIEW_SEEN; i++)
		v->seen[i].id = 0;
	return set_string(&v->room, room) < 0 ? -ENOMEM : 0;
}

/* --- people --- */

static struct view_person *
find_person(const struct view *v, struct slice id)
{
	for (size_t i = 0; i < min_size(v->n_people, VIEW_PEOPLE); i++) {
		if (slice_eq(slice_str(v->people[i].id), id))
			return (struct view_person *)(uintptr_t)&v->people[i];
	}
	return NULL;
}

void
view_meet(struct view *v, struct slice id, struct slice name)
{
	struct view_person *p = find_person(v, id);

	if (id.n == 0 || (p != NULL && slice_eq(slice_str(p->name), name)))
		return;
	if (p == NULL)
		p = &v->people[v->n_people++ % VIEW_PEOPLE];
	/* without memory the old one stays: it is only about names */
	if (set_string(&p->name, name.n > 0 ? name : id) == 0)
		(void)set_string(&p->id, id);
}

struct slice
view_name(const struct view *v, struct slice id)
{
	const struct view_person *p = find_person(v, id);

	return p == NULL || p->name == NULL ? id : slice_str(p->name);
}

static bool
begins_with(struct slice text, struct slice name)
{
	return name.n > 0 && text.n >= name.n && slice_eq_nocase(slice_of(text.p, name.n), name) &&
	       (text.n == name.n || text.p[name.n] == ' ' || text.p[name.n] == '\n');
}

struct slice
view_person(const struct view *v, struct slice text, struct slice *rest)
{
	struct slice found = SLICE_NONE;
	size_t n = 0;

	if (text.n > 0 && text.p[0] == '@')
		text = slice_skip(text, 1);
	for (size_t i = 0; i < min_size(v->n_people, VIEW_PEOPLE); i++) {
		struct slice id = slice_str(v->people[i].id);
		struct slice name = slice_str(v->people[i].name);

		if (begins_with(text, name) && name.n > n) {
			n = name.n;
			found = id;
		}
		if (begins_with(text, id) && id.n >= n) {
			n = id.n; /* an id is never mistaken for a name */
			found = id;
		}
	}
	while (n < text.n && found.p == NULL && text.p[n] != ' ' && text.p[n] != '\n')
		n++;
	*rest = slice_trim(slice_skip(text, n));
	return found.p != NULL ? found : slice_of(text.p, n);
}

/* --- messages --- */

struct view_message *
view_find(const struct view *v, uint64_t id)
{
	for (size_t i = 0; i < min_size(v->n_seen, VIEW_SEEN) && id != 0; i++) {
		if (v->seen[i].id == id)
			return (struct view_message *)(uintptr_t)&v->seen[i];
	}
	return NULL;
}

void
view_see(struct view *v, uint64_t id, struct slice from, struct slice content)
{
	struct view_message *m = view_find(v, id);
	struct buf excerpt = BUF_INIT(VIEW_LINE_MAX);

	if (id == 0)
		return;
	if (m == NULL)
		m = &v->seen[v->n_seen++ % VIEW_SEEN];
	m->id = id;
	/* without memory it is known by its id alone */
	if (text_add_excerpt(&excerpt, content, EXCERPT) < 0 ||
	    set_string(&m->excerpt, buf_slice(&excerpt)) < 0 ||
	    (from.p != m->from && set_string(&m->from, from) < 0))
		m->id = 0;
	buf_done(&excerpt);
}

struct slice
view_excerpt(const struct view *v, uint64_t id)
{
	const struct view_message *m = view_find(v, id);

	return m == NULL ? SLICE_NONE : slice_str(m->excerpt);
}

void
view_forget(struct view *v, uint64_t id)
{
	struct view_message *m = view_find(v, id);

	if (m != NULL)
		m->id = 0;
}

void
view_changed(struct view *v, uint64_t id, struct slice content)
{
	const struct view_message *m = view_find(v, id);

	if (m != NULL)
		view_see(v, id, slice_str(m->from), content);
}

/* The newest one of which `from` is (or, absent, is not) the author. */
static uint64_t
newest(const struct view *v, struct slice from)
{
	struct slice own = slice_str(v->own_id);
	uint64_t id = 0;

	for (size_t i = 0; i < min_size(v->n_seen, VIEW_SEEN); i++) {
		struct slice author = slice_str(v->seen[i].from);
		bool fits = from.p != NULL ? slice_eq(author, from) : !slice_eq(author, own);

		if (fits && v->seen[i].id > id)
			id = v->seen[i].id;
	}
	return id;
}

uint64_t
view_last_own(const struct view *v)
{
	return v->own_id == NULL ? 0 : newest(v, slice_str(v->own_id));
}

uint64_t
view_target(const struct view *v, struct slice text, struct slice *rest)
{
	if (text.n > 1 && text.p[0] == '@') {
		struct slice who = view_person(v, text, rest);

		return newest(v, who);
	}
	*rest = text;
	return newest(v, SLICE_NONE);
}

void
view_made(struct view *v, uint64_t id)
{
	if (id != 0)
		v->own[v->n_own++ % VIEW_OWN] = id;
}

bool
view_is_own(const struct view *v, uint64_t id)
{
	for (size_t i = 0; i < min_size(v->n_own, VIEW_OWN) && id != 0; i++) {
		if (v->own[i] == id)
			return true;
	}
	return false;
}
