/* core/topic: what is a topic, what a pattern matches and contains. */
#include "core/topic.h"

#include <string.h>

#include "tests/unit/mem_faults.h"
#include "tests/unit/support_run.h"

#define LONG_200                                                                                   \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567" \
	"8901234567890123456789012345678901234567890123456789012345678901234567890123456789012345" \
	"678901234567890123456789"

START_TEST(topics)
{
	static const char *const right[] = {"a", "a/b", "1/2/3/4/5/6/7/8", "chat/caf\xc3\xa9",
	    "a b", "a*b/c*", "*a", "{sub}", "..", LONG_200};
	static const char *const wrong[] = {"", "/", "/a", "a/", "a//b", "1/2/3/4/5/6/7/8/9", "*",
	    "a/*", "a/**", "***", "a/***/b", "a\nb", "a\x7f", "a\xc2\x85", "a\xff", "a\xc3",
	    LONG_200 "x"};

	for (size_t i = 0; i < ARRAY_LEN(right); i++)
		ck_assert_msg(topic_error(slice_str(right[i])) == NULL, "%s", right[i]);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		ck_assert_msg(topic_error(slice_str(wrong[i])) != NULL, "%s", wrong[i]);
	ck_assert_ptr_nonnull(topic_error(slice_of("a\0b", 3)));
}
END_TEST

START_TEST(patterns)
{
	static const char *const right[] = {
	    "a", "*", "**", "a/*", "*/*", "a/*/**", "*/a/**", "a*b"};
	static const char *const wrong[] = {
	    "", "**/a", "a/**/b", "***", "a/***", "a//*", "*/", "1/2/3/4/5/6/7/8/**"};

	for (size_t i = 0; i < ARRAY_LEN(right); i++)
		ck_assert_msg(pattern_error(slice_str(right[i])) == NULL, "%s", right[i]);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		ck_assert_msg(pattern_error(slice_str(wrong[i])) != NULL, "%s", wrong[i]);
	ck_assert(pattern_is_topic(SLICE("a*b/c")));
	ck_assert(!pattern_is_topic(SLICE("a/*")));
	ck_assert(!pattern_is_topic(SLICE("**")));
}
END_TEST

START_TEST(matches)
{
	static const struct {
		const char *pattern;
		const char *topic;
		bool matches;
	} cases[] = {
	    {"a", "a", true},
	    {"a", "b", false},
	    {"a", "a/b", false},
	    {"a/b", "a", false},
	    {"*", "a", true},
	    {"*", "a/b", false},
	    {"a/*", "a/b", true},
	    {"a/*", "a", false},
	    {"a/*/c", "a/b/c", true},
	    {"a/*/c", "a/b/d", false},
	    {"**", "a", true},
	    {"**", "a/b/c/d/e/f/g/h", true},
	    {"a/**", "a", false},
	    {"a/**", "a/b", true},
	    {"a/**", "a/b/c", true},
	    {"a/**", "b/a", false},
	    {"*/**", "a", false},
	    {"*/**", "a/b", true},
	    {"a*b", "a*b", true},
	    {"a*b", "axb", false},
	    {"**", "user/ada", false},
	    {"*/**", "user/ada", false},
	    {"*/ada", "user/ada", false},
	    {"*/*", "user/ada", false},
	    {"user/*", "user/ada", true},
	    {"user/**", "user/ada/x", true},
	    {"*", "user", true},
	    {"**", "users/ada", true},
	    {"a/user/*", "a/user/b", true},
	    {"A", "a", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ck_assert_msg(pattern_matches(slice_str(cases[i].pattern),
				  slice_str(cases[i].topic)) == cases[i].matches,
		    "%s %s", cases[i].pattern, cases[i].topic);
}
END_TEST

START_TEST(contains)
{
	static const struct {
		const char *outer;
		const char *inner;
		bool contains;
	} cases[] = {
	    {"a", "a", true},
	    {"a", "*", false},
	    {"*", "a", true},
	    {"*", "*", true},
	    {"*", "**", false},
	    {"**", "*", true},
	    {"**", "**", true},
	    {"**", "a/**", true},
	    {"a/**", "a", false},
	    {"a/**", "a/*", true},
	    {"a/**", "a/*/b/**", true},
	    {"a/*", "a/**", false},
	    {"a/*", "a/b", true},
	    {"a/*", "a/b/c", false},
	    {"a/*/**", "a/**", false},
	    {"a/*/**", "a/b/c", true},
	    {"chat/*", "chat/lobby", true},
	    {"chat/*", "**", false},
	    {"chat/lobby", "chat/*", false},
	    {"**", "user/ada", false},
	    {"**", "user/*", false},
	    {"**", "user/**", false},
	    {"*/*", "user/ada", false},
	    {"*/ada", "user/ada", false},
	    {"user/*", "user/ada", true},
	    {"user/ada", "user/ada", true},
	    {"user/ada", "user/*", false},
	    {"user/*", "*/*", false},
	    {"user/**", "**", false},
	    {"*/*", "*/ada", true},                        /* neither reaches user/ */
	    {"1/2/3/4/5/6/7/*", "1/2/3/4/5/6/7/**", true}, /* no ninth segment can be */
	    {"1/2/3/4/5/6/*", "1/2/3/4/5/6/**", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ck_assert_msg(pattern_contains(slice_str(cases[i].outer),
				  slice_str(cases[i].inner)) == cases[i].contains,
		    "%s %s", cases[i].outer, cases[i].inner);
}
END_TEST

/* Containment against its definition, over every path of up to three segments from a small alphabet. */
START_TEST(contains_by_matching)
{
	static const char *const segments[] = {"user", "a", "*", "**"};
	char paths[200][32];
	size_t n = 0;

	for (size_t i = 0; i < 4 + 16 + 64; i++) {
		size_t length = i < 4 ? 1 : i < 20 ? 2 : 3;
		size_t code = i < 4 ? i : i < 20 ? i - 4 : i - 20;

		paths[n][0] = '\0';
		for (size_t k = 0; k < length; k++, code /= 4) {
			(void)strcat(paths[n], k > 0 ? "/" : "");
			(void)strcat(paths[n], segments[code % 4]);
		}
		if (pattern_error(slice_str(paths[n])) == NULL)
			n++;
	}
	for (size_t o = 0; o < n; o++) {
		for (size_t i = 0; i < n; i++) {
			if (!pattern_contains(slice_str(paths[o]), slice_str(paths[i])))
				continue;
			for (size_t t = 0; t < n; t++) {
				struct slice topic = slice_str(paths[t]);

				if (topic_error(topic) == NULL &&
				    pattern_matches(slice_str(paths[i]), topic))
					ck_assert_msg(pattern_matches(slice_str(paths[o]), topic),
					    "%s %s %s", paths[o], paths[i], paths[t]);
			}
		}
	}
}
END_TEST

START_TEST(segments)
{
	static const struct {
		const char *pattern;
		const char *id;
		const char *expanded;
	} cases[] = {
	    {"user/{sub}", "ada", "user/ada"},
	    {"user/{sub}", "*", "user/%2A"},
	    {"user/{sub}", "**", "user/%2A%2A"},
	    {"user/{sub}/**", "a/b", "user/a%2Fb/**"},
	    {"{sub}/{sub}", "100%", "100%25/100%25"},
	    {"x{sub}", "ada", "x{sub}"},
	    {"user/{sub}", "{sub}", "user/{sub}"},
	    {"a", "ada", "a"},
	    {"{sub}", "\x01\x1f\x7f\xc2\x80\xc2\x9f\xc2\xa0", "%01%1F%7F%C2%80%C2%9F\xc2\xa0"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b = BUF_INIT(200);

		ck_assert_int_eq(
		    pattern_expand(&b, slice_str(cases[i].pattern), slice_str(cases[i].id)), 0);
		ck_assert_int_eq(buf_add_char(&b, '\0'), 0);
		ck_assert_str_eq(b.p, cases[i].expanded);
		buf_done(&b);
	}
}
END_TEST

START_TEST(does_not_fit)
{
	struct buf b = BUF_INIT(8);

	ck_assert_int_lt(pattern_expand(&b, SLICE("user/{sub}"), SLICE("ada lovelace")), 0);
	ck_assert_int_lt(topic_add_segment(&b, SLICE("****")), 0);
	buf_done(&b);
	mem_fail_at(1);
	ck_assert_int_lt(pattern_expand(&b, SLICE("{sub}"), SLICE("ada")), 0);
	mem_fail_at(0);
	buf_done(&b);
}
END_TEST

START_TEST(rooms)
{
	ck_assert(slice_eq(topic_room(SLICE("chat/a")), SLICE("a")));
	ck_assert_ptr_null(topic_room(SLICE("chat/")).p);
	ck_assert_ptr_null(topic_room(SLICE("chat")).p);
	ck_assert_ptr_null(topic_room(SLICE("chat/a/b")).p);
	ck_assert_ptr_null(topic_room(SLICE("chats/a")).p);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {topics, patterns, matches, contains, contains_by_matching,
	    segments, does_not_fit, rooms, NULL};

	return run_tests("topic", tests);
}
