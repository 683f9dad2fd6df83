/*
 * Topics and patterns (docs/wire.md, "Topics and messages"). A topic is a path of 1..8 segments
 * joined by '/', at most 200 bytes of UTF-8; a pattern is a topic in which a segment `*` stands for
 * one segment and a last segment `**` for one or more. Compared as bytes. Pure. Any thread.
 */
#ifndef CORE_TOPIC_H
#define CORE_TOPIC_H

#include "base/buf.h"
#include "base/slice.h"

#define TOPIC_MAX      200 /* bytes */
#define TOPIC_SEGMENTS 8

/* NULL when s is a topic, else what is wrong with it, for people (static text). */
const char *topic_error(struct slice s);
/* NULL when s is a pattern (a topic is one as well), else what is wrong. */
const char *pattern_error(struct slice s);
/* No wildcard in it (s is a valid pattern). */
bool pattern_is_topic(struct slice s);
/* Whether a valid pattern matches a valid topic. A leading `*` or `**` never matches `user/…`. */
bool pattern_matches_path(struct slice pattern, struct slice topic);
static inline bool
pattern_matches(struct slice pattern, struct slice topic)
{
	/* most rules that do not match differ at once */
	if (pattern.n > 0 && topic.n > 0 && pattern.p[0] != '*' && pattern.p[0] != topic.p[0])
		return false;
	return pattern_matches_path(pattern, topic);
}
/* Whether everything that `inner` can match is matched by `outer` (both valid patterns). */
bool pattern_contains(struct slice outer, struct slice inner);

/*
 * Appends id as one segment: '%', '/', '*' and control bytes (C0, DEL, C1's two bytes)
 * percent-encoded in uppercase.
 */
int topic_add_segment(struct buf *out, struct slice id);
/*
 * Appends a pattern with each `{sub}` segment (exactly that segment) replaced by the encoded
 * user id: the pattern is split first, so the id cannot become a wildcard. Returns 0, or
 * negative (buf).
 */
int pattern_expand(struct buf *out, struct slice pattern, struct slice user_id);
/* The room name of a chat/<room> topic, absent for others. */
struct slice topic_room(struct slice topic);

#endif
