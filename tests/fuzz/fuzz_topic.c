/*
 * Topics and patterns against a matcher that is written from docs/wire.md alone, and containment
 * against witnesses. Lines: an outer pattern, an inner pattern, topics.
 */
#include "core/topic.h"

#include "base/utf8.h"
#include "tests/fuzz/support.h"

#define PARTS    9 /* one more than there may be */
#define SEG_MAX  (TOPIC_MAX + 1)
#define TEXT_MAX 4096

struct path {
	struct slice part[PARTS];
	size_t n;
};

/* Whether it has at most PARTS segments. */
static bool
split(struct slice s, struct path *out)
{
	struct slice rest = s;

	out->n = 0;
	while (rest.p != NULL) {
		if (out->n == PARTS)
			return false;
		out->part[out->n++] = slice_cut(&rest, '/');
	}
	return true;
}

static bool
has_control(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned c = (unsigned char)s.p[i];
		unsigned next = i + 1 < s.n ? (unsigned char)s.p[i + 1] : 0;

		if (c < 0x20 || c == 0x7f || (c == 0xc2 && next >= 0x80 && next <= 0x9f))
			return true;
	}
	return false;
}

static bool
is_star(struct slice s, size_t n)
{
	return s.n == n && memcmp(s.p, "****", n) == 0;
}

/* docs/wire.md, "Topics and messages", word by word. */
static bool
is_path(struct slice s, bool is_pattern)
{
	struct path p;

	if (s.n < 1 || s.n > TOPIC_MAX || !utf8_is_valid(s) || has_control(s) || !split(s, &p) ||
	    p.n > TOPIC_SEGMENTS)
		return false;
	for (size_t i = 0; i < p.n; i++) {
		size_t stars = 0;

		while (stars < p.part[i].n && p.part[i].p[stars] == '*')
			stars++;
		if (p.part[i].n == 0)
			return false;
		if (stars < p.part[i].n)
			continue;
		if (!is_pattern || stars > 2 || (stars == 2 && i + 1 < p.n))
			return false;
	}
	return true;
}

static bool
matches(const struct path *pattern, const struct path *topic, size_t i)
{
	if (i == pattern->n || i == topic->n)
		return pattern->n == topic->n;
	if (i == 0 && topic->n > 1 && slice_eq(topic->part[0], SLICE("user")) &&
	    !slice_eq(pattern->part[0], SLICE("user")))
		return false;
	if (is_star(pattern->part[i], 2))
		return true;
	return (is_star(pattern->part[i], 1) || slice_eq(pattern->part[i], topic->part[i])) &&
	       matches(pattern, topic, i + 1);
}

static bool
reference_matches(struct slice pattern, struct slice topic)
{
	struct path p;
	struct path t;

	return split(pattern, &p) && split(topic, &t) && matches(&p, &t, 0);
}

/*
 * A topic that the pattern matches: each wildcard becomes a segment that neither pattern has, `**`
 * that many. Returns its size; 0 when it would have too many segments, or too many bytes
 * (*is_cut).
 */
static size_t
make_witness(
    struct slice pattern, size_t n_last, const char *fresh, char out[TEXT_MAX], bool *is_cut)
{
	struct path p;
	size_t n = 0;

	NEED(split(pattern, &p));
	if (is_star(p.part[p.n - 1], 2) && p.n - 1 + n_last > TOPIC_SEGMENTS)
		return 0;
	for (size_t i = 0; i < p.n; i++) {
		bool is_last = is_star(p.part[i], 2);
		size_t repeat = is_last ? n_last : 1;

		for (; repeat > 0; repeat--) {
			struct slice part =
			    is_last || is_star(p.part[i], 1) ? slice_str(fresh) : p.part[i];

			if (n > 0)
				out[n++] = '/';
			memcpy(out + n, part.p, part.n);
			n += part.n;
		}
	}
	if (n <= TOPIC_MAX)
		return n;
	*is_cut = true;
	return 0;
}

/* A segment that neither has: "~" repeated once more than the longest run in either. */
static const char *
fresh_segment(struct slice a, struct slice b, char out[SEG_MAX])
{
	size_t n = 0;

	memset(out, '~', SEG_MAX);
	do {
		out[n++] = '~';
		out[n] = '\0';
	} while (n + 1 < SEG_MAX &&
		 (memmem(a.p, a.n, out, n) != NULL || memmem(b.p, b.n, out, n) != NULL));
	return out;
}

static void
check_containment(struct slice outer, struct slice inner)
{
	bool contains = pattern_contains(outer, inner);
	bool has_exception = false;
	bool was_cut = false;
	char fresh[SEG_MAX];
	char topic[TEXT_MAX];

	(void)fresh_segment(outer, inner, fresh);
	for (size_t n_last = 1; n_last <= TOPIC_SEGMENTS; n_last++) {
		size_t n = make_witness(inner, n_last, fresh, topic, &was_cut);

		if (n == 0)
			continue;
		NEED(topic_error(slice_of(topic, n)) == NULL);
		NEED(pattern_matches(inner, slice_of(topic, n)));
		if (!pattern_matches(outer, slice_of(topic, n)))
			has_exception = true;
	}
	NEED(!contains || !has_exception);
	/* no witness of a size that is allowed is no proof */
	NEED(contains || has_exception || was_cut);
}

static void
check_pattern(struct slice s)
{
	char room[TEXT_MAX];

	NEED(pattern_contains(s, s));
	NEED(pattern_is_topic(s) == (topic_error(s) == NULL));
	NEED(!pattern_is_topic(s) || pattern_matches(s, s));
	if (topic_room(s).p == NULL)
		return;
	memcpy(room, "chat/", 5);
	memcpy(room + 5, topic_room(s).p, topic_room(s).n);
	NEED(slice_eq(s, slice_of(room, 5 + topic_room(s).n)));
	NEED(memchr(topic_room(s).p, '/', topic_room(s).n) == NULL);
}

static void
check_errors(struct slice s)
{
	const char *as_topic = topic_error(s);
	const char *as_pattern = pattern_error(s);

	NEED((as_topic == NULL) == is_path(s, false));
	NEED((as_pattern == NULL) == is_path(s, true));
	NEED(as_topic != NULL || as_pattern == NULL);
	NEED(as_topic == NULL || as_topic[0] != '\0');
	if (as_pattern == NULL)
		check_pattern(s);
}

/* An id as one segment: no wildcard, no second segment, and told apart from every other id. */
static void
check_segment(struct slice id)
{
	struct buf b = BUF_INIT(TEXT_MAX);
	size_t i = 0;

	NEED(topic_add_segment(&b, id) == 0);
	NEED(b.n == 0 || (memchr(b.p, '/', b.n) == NULL && memchr(b.p, '*', b.n) == NULL));
	NEED(!utf8_is_valid(id) || (utf8_is_valid(buf_slice(&b)) && !has_control(buf_slice(&b))));
	for (size_t at = 0; at < b.n; i++) {
		char hex[3] = {0};

		NEED(i < id.n);
		if (b.p[at] != '%') {
			NEED(b.p[at++] == id.p[i]);
			continue;
		}
		NEED(at + 3 <= b.n);
		memcpy(hex, b.p + at + 1, 2);
		NEED(strpbrk(hex, "abcdef") == NULL);
		NEED((char)strtoul(hex, NULL, 16) == id.p[i]);
		at += 3;
	}
	NEED(i == id.n);
	buf_done(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of((const char *)data, size);
	struct slice outer;
	struct slice inner;
	bool are_patterns;

	if (size == 0 || size > 1024)
		return 0;
	outer = take_line(&in);
	inner = take_line(&in);
	check_errors(outer);
	check_errors(inner);
	check_segment(outer);
	are_patterns = pattern_error(outer) == NULL && pattern_error(inner) == NULL;
	if (are_patterns)
		check_containment(outer, inner);
	while (in.p != NULL) {
		struct slice topic = take_line(&in);

		check_errors(topic);
		if (!are_patterns || topic_error(topic) != NULL)
			continue;
		NEED(pattern_matches(outer, topic) == reference_matches(outer, topic));
		NEED(pattern_matches(inner, topic) == reference_matches(inner, topic));
		if (pattern_contains(outer, inner) && pattern_matches(inner, topic))
			NEED(pattern_matches(outer, topic));
	}
	return 0;
}
