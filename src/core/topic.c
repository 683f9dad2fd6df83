#include "core/topic.h"

#include "base/utf8.h"
#include "proto/url.h"

static const struct slice star = {"*", 1};
static const struct slice star_star = {"**", 2};
static const struct slice sub_placeholder = {"{sub}", 5};

/* A segment that begins with a star; is_last: nothing follows. */
static const char *
stars_error(struct slice segment, bool is_last, bool is_pattern)
{
	for (size_t i = 0; i < segment.n; i++) {
		if (segment.p[i] != '*')
			return NULL;
	}
	if (!is_pattern)
		return "has a segment made of '*' only";
	if (segment.n > 2)
		return "has a segment of more than two '*'";
	if (segment.n == 2 && !is_last)
		return "has '**' before its last segment";
	return NULL;
}

/* Each segment by its own rule; most have no star to begin with. */
static const char *
segments_error(struct slice s, bool is_pattern)
{
	struct slice rest = s;
	unsigned segments = 0;

	while (rest.p != NULL) {
		struct slice segment = slice_cut(&rest, '/');
		const char *error;

		if (segment.n == 0)
			return "has an empty segment";
		if (++segments > TOPIC_SEGMENTS)
			return "has more than 8 segments";
		if (segment.p[0] != '*')
			continue;
		error = stars_error(segment, rest.p == NULL, is_pattern);
		if (error != NULL)
			return error;
	}
	return NULL;
}

/* What topics and patterns have in common; then each segment by its own rule. */
static const char *
path_error(struct slice s, bool is_pattern)
{
	if (s.n == 0)
		return "is empty";
	if (s.n > TOPIC_MAX)
		return "is longer than 200 bytes";
	if (!utf8_is_plain(s)) {
		if (!utf8_is_valid(s))
			return "is not UTF-8";
		if (utf8_has_control(s))
			return "has a control character";
	}
	return segments_error(s, is_pattern);
}

const char *
topic_error(struct slice s)
{
	return path_error(s, false);
}

const char *
pattern_error(struct slice s)
{
	return path_error(s, true);
}

static bool
is_wildcard(struct slice segment)
{
	return slice_eq(segment, star) || slice_eq(segment, star_star);
}

bool
pattern_is_topic(struct slice s)
{
	struct slice rest = s;

	while (rest.p != NULL) {
		if (is_wildcard(slice_cut(&rest, '/')))
			return false;
	}
	return true;
}

/* user/…: a user's own topics, which only the literal segment reaches. */
static bool
is_private(struct slice path)
{
	return slice_has_prefix(path, SLICE("user/"));
}

static bool
ends_segment(struct slice path, size_t at)
{
	return at == path.n || path.p[at] == '/';
}

/* How many bytes of stars the segment at `at` is made of: 1 or 2 when it is a wildcard, else 0. */
static inline size_t
wildcard_at(struct slice pattern, size_t at)
{
	if (at == pattern.n || pattern.p[at] != '*')
		return 0;
	if (ends_segment(pattern, at + 1))
		return 1;
	return pattern.p[at + 1] == '*' && ends_segment(pattern, at + 2) ? 2 : 0;
}

/* Where the first segment begins in which they differ, or that is a wildcard's. */
static size_t
same_segments(struct slice pattern, struct slice topic)
{
	size_t n = min_size(pattern.n, topic.n);
	size_t at = 0;

	while (at < n && pattern.p[at] == topic.p[at])
		at++;
	while (at > 0 && pattern.p[at - 1] != '/')
		at--;
	return at;
}

/* Byte by byte, since rules and grants are asked for each message: cut into slices it is thrice as much. */
bool
pattern_matches_path(struct slice pattern, struct slice topic)
{
	size_t p = same_segments(pattern, topic);
	size_t t = p;

	if (wildcard_at(pattern, 0) > 0 && is_private(topic))
		return false;
	for (;; p++, t++) { /* at the start of a segment of both */
		size_t stars = wildcard_at(pattern, p);

		if (stars == 2)
			return true; /* always the last: one segment or more is there */
		p += stars;
		if (stars == 1) {
			while (!ends_segment(topic, t))
				t++;
		} else {
			while (!ends_segment(pattern, p) && t < topic.n &&
			       pattern.p[p] == topic.p[t]) {
				p++;
				t++;
			}
		}
		if (!ends_segment(pattern, p) || !ends_segment(topic, t))
			return false;
		if (p == pattern.n || t == topic.n)
			return p == pattern.n && t == topic.n;
	}
}

bool
pattern_contains(struct slice outer, struct slice inner)
{
	struct slice o = outer;
	struct slice i = inner;
	unsigned at = 0;

	if (is_private(inner) && is_wildcard(slice_cut(&(struct slice){o.p, o.n}, '/')))
		return false;
	for (; o.p != NULL && i.p != NULL; at++) {
		struct slice want = slice_cut(&o, '/');
		struct slice have;

		if (slice_eq(want, star_star))
			return true;
		have = slice_cut(&i, '/');
		if (slice_eq(want, star)) {
			/* `**` in the last possible place is one segment only */
			if (slice_eq(have, star_star) && at + 1 < TOPIC_SEGMENTS)
				return false;
		} else if (!slice_eq(want, have)) {
			return false;
		}
	}
	return o.p == NULL && i.p == NULL;
}

int
topic_add_segment(struct buf *out, struct slice id)
{
	for (size_t i = 0; i < id.n; i++) {
		unsigned char c = (unsigned char)id.p[i];
		bool is_c1 = c == 0xc2 && i + 1 < id.n && (unsigned char)id.p[i + 1] <= 0x9f;
		int r;

		if (is_c1) {
			r = url_add_escape(out, c);
			if (r < 0)
				return r;
			r = url_add_escape(out, (unsigned char)id.p[++i]);
		} else if (c < 0x20 || c == 0x7f || c == '%' || c == '/' || c == '*') {
			r = url_add_escape(out, c);
		} else {
			r = buf_add_char(out, (char)c);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int
pattern_expand(struct buf *out, struct slice pattern, struct slice user_id)
{
	struct slice rest = pattern;
	bool is_first = true;

	while (rest.p != NULL) {
		struct slice segment = slice_cut(&rest, '/');
		int r = is_first ? 0 : buf_add_char(out, '/');

		is_first = false;
		if (r == 0)
			r = slice_eq(segment, sub_placeholder) ? topic_add_segment(out, user_id)
							       : buf_add_slice(out, segment);
		if (r < 0)
			return r;
	}
	return 0;
}

struct slice
topic_room(struct slice topic)
{
	struct slice prefix = SLICE("chat/");

	if (!slice_has_prefix(topic, prefix) || topic.n == prefix.n)
		return SLICE_NONE;
	topic = slice_skip(topic, prefix.n);
	return memchr(topic.p, '/', topic.n) == NULL ? topic : SLICE_NONE;
}
