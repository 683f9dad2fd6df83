/* core/publish: what all forms of publishing come down to. */
#include "core/publish.h"

#include <errno.h>
#include <string.h>

#include "core/message.h"
#include "proto/json.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"

#define LONG64 "0123456789012345678901234567890123456789012345678901234567890123"

static char *
quoted(const char *text)
{
	char *copy = strdup(text);

	ck_assert_ptr_nonnull(copy);
	for (char *at = copy; *at != '\0'; at++) {
		if (*at == '\'')
			*at = '"';
	}
	return copy;
}

/* The code's name, or NULL and the message. */
static const char *
publish(struct world *w, const struct claims *who, const char *text, struct message **out,
    struct refusal *why)
{
	struct message_from from = {slice_str(who->user_id), slice_str(who->name)};
	char *json = quoted(text);
	struct json_flat flat;
	struct append_item item = {0};
	struct draft d;
	int r;

	*why = (struct refusal){0};
	*out = NULL;
	ck_assert_msg(json_read(slice_str(json), &flat, NULL) == 0, "%s", json);
	r = draft_from_json(&flat, &d, why);
	if (r == 0)
		r = draft_message(&w->hubs[0], who, from, &d, 0, &item, why);
	*out = item.message;
	json_done(&flat);
	free(json);
	if (r == 0) {
		ck_assert_ptr_nonnull(*out);
		return NULL;
	}
	ck_assert_int_eq(r, -1);
	ck_assert_uint_gt(strlen(why->text), 0);
	return error_name(why->code);
}

static const struct {
	const char *text;
	const char *code;
} wrong[] = {
    {"5", "bad_field"},
    {"'x'", "bad_field"},
    {"{}", "bad_field"},
    {"{'topic':5,'message':'m'}", "bad_field"},
    {"{'topic':'','message':'m'}", "bad_field"},
    {"{'topic':'a/*','message':'m'}", "bad_field"},
    {"{'topic':'a//b','message':'m'}", "bad_field"},
    {"{'topic':'a','message':''}", "bad_field"},
    {"{'topic':'a','message':' \\t\\r\\n'}", "bad_field"},
    {"{'topic':'a','title':''}", "bad_field"},
    {"{'topic':'a','message':5}", "bad_field"},
    {"{'topic':'a','message':'m','title':[]}", "bad_field"},
    {"{'topic':'a','message':'m','title':'a\\nb'}", "bad_field"},
    {"{'topic':'a','message':'m','event':'a\\u0007'}", "bad_field"},
    {"{'topic':'a','message':'m','event':'" LONG64 "x'}", "bad_field"},
    {"{'topic':'a','message':'m','event':'gap'}", "bad_field"},
    {"{'topic':'a','message':'m','event':'denied'}", "bad_field"},
    {"{'topic':'a','message':'m','event':'closing'}", "bad_field"},
    {"{'topic':'a','message':'m','event':'expiring'}", "bad_field"},
    {"{'topic':'a','message':'m','event':'expired'}", "bad_field"},
    {"{'topic':'a','message':'m','event':'error'}", "bad_field"},
    {"{'topic':'a','message':'m','event':'open'}", "bad_field"},
    {"{'topic':'a','message':'m','event':'user'}", "bad_field"},
    {"{'topic':'a','message':'m','event':'problem'}", "bad_field"},
    {"{'topic':'a','message':'m','event':'heartbeat'}", "bad_field"},
    {"{'topic':'a','message':'m','priority':0}", "bad_field"},
    {"{'topic':'a','message':'m','priority':6}", "bad_field"},
    {"{'topic':'a','message':'m','priority':'5'}", "bad_field"},
    {"{'topic':'a','message':'m','priority':1.5}", "bad_field"},
    {"{'topic':'a','message':'m','tags':'x'}", "bad_field"},
    {"{'topic':'a','message':'m','tags':[1]}", "bad_field"},
    {"{'topic':'a','message':'m','tags':['" LONG64 "x']}", "bad_field"},
    {"{'topic':'a','message':'m','tags':['','','','','','','','','','','','','','','','','',"
     "'','','','','','','','','','','','','','','','']}",
	"bad_field"},
    {"{'topic':'a','message':'m','click':5}", "bad_field"},
    {"{'topic':'a','message':'m','ttl':0}", "bad_field"},
    {"{'topic':'a','message':'m','ttl':-1}", "bad_field"},
    {"{'topic':'a','message':'m','ttl':'5'}", "bad_field"},
    {"{'topic':'a','message':'m','key':5}", "bad_field"},
    {"{'topic':'a','message':'m','key':'" LONG64 "x'}", "bad_field"},
    {"{'topic':'live/a','message':'m','key':'k'}", "bad_field"},
    {"{'topic':'a','message':'m','to':'bob'}", "bad_field"},
    {"{'message':'m','to':''}", "bad_field"},
    {"{'message':'m','to':5}", "bad_field"},
    {"{'message':'m','to':'" LONG64 LONG64 "x'}", "bad_field"},
    {"{'topic':'chat/a','message':'m','title':'t'}", "bad_field"},
    {"{'topic':'chat/a','message':'m','event':'e'}", "bad_field"},
    {"{'topic':'server/stats','message':'m'}", "insufficient_scope"},
    {"{'topic':'secret','message':'m'}", "insufficient_scope"},
    {"{'message':'m','to':'carol'}", "insufficient_scope"},
};

static const char *const grants[] = {
    "a", "live/*", "chat/*", "user/bob", "user/a%2Fb", "server/**", "notifications", NULL};

START_TEST(refused)
{
	struct claims *who = world_claims("ada", grants, grants);
	struct refusal why;
	struct message *m;
	struct world w;

	ck_assert(world_init(&w, NULL));
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		const char *code = publish(&w, who, wrong[i].text, &m, &why);

		ck_assert_msg(code != NULL && strcmp(code, wrong[i].code) == 0, "%s: %s (%s)",
		    wrong[i].text, code == NULL ? "taken" : code, why.text);
	}
	claims_unref(who);
	world_done(&w);
}
END_TEST

static const struct {
	const char *text;
	const char *topic;
	enum message_kind kind;
	const char *has;
} right[] = {
    {"{'message':'m'}", "notifications", MESSAGE_NOTIFICATION, "\"message\":\"m\""},
    {"{'topic':null,'message':'m','title':null,'key':null,'priority':null,'tags':null}",
	"notifications", MESSAGE_NOTIFICATION, "\"message\":\"m\""},
    {"{'topic':'a','title':'t'}", "a", MESSAGE_NOTIFICATION, "\"title\":\"t\""},
    {"{'topic':'a','data':0}", "a", MESSAGE_EVENT, "\"data\":0}"},
    {"{'topic':'a','data':false,'event':'" LONG64 "'}", "a", MESSAGE_EVENT, LONG64},
    {"{'topic':'a','data':' '}", "a", MESSAGE_EVENT, "\"data\":\" \""},
    {"{'topic':'a','message':'','data':{}}", "a", MESSAGE_EVENT, "\"data\":{}"},
    {"{'topic':'a','message':'m','data':{ 'x' : [ 1 ] },'event':'chat'}", "a", MESSAGE_NOTIFICATION,
	"\"data\":{ \"x\" : [ 1 ] }"},
    {"{'topic':'a','message':'m','priority':5,'tags':['x'],'click':'c','ttl':1}", "a",
	MESSAGE_NOTIFICATION, "\"priority\":5,\"tags\":[\"x\"],\"click\":\"c\""},
    {"{'topic':'a','message':'m','tags':[],'click':'','event':''}", "a", MESSAGE_NOTIFICATION,
	"\"from\":{\"id\":\"ada\""},
    {"{'topic':'a','message':'m','key':'" LONG64 "'}", "a", MESSAGE_NOTIFICATION, LONG64},
    {"{'topic':'live/a','message':'m','key':''}", "live/a", MESSAGE_NOTIFICATION,
	"{\"type\":\"notification\",\"event\":\"notification\",\"topic\""},
    {"{'message':'m','to':'bob'}", "user/bob", MESSAGE_NOTIFICATION, "\"topic\":\"user/bob\""},
    {"{'message':'m','to':'a/b'}", "user/a%2Fb", MESSAGE_NOTIFICATION, "user/a%2Fb"},
    {"{'message':'m','to':'bob','topic':'user/bob'}", "user/bob", MESSAGE_NOTIFICATION, "m"},
    {"{'topic':'chat/a','message':'m','data':1}", "chat/a", MESSAGE_CHAT,
	"\"content\":\"m\",\"data\":1"},
    {"{'topic':'chat/a','data':1}", "chat/a", MESSAGE_CHAT, "\"content\":\"\",\"data\":1"},
};

START_TEST(taken)
{
	struct claims *who = world_claims("ada", grants, grants);
	struct refusal why;
	struct message *m;
	struct world w;

	ck_assert(world_init(&w, NULL));
	for (size_t i = 0; i < ARRAY_LEN(right); i++) {
		const char *code = publish(&w, who, right[i].text, &m, &why);

		ck_assert_msg(code == NULL, "%s: %s", right[i].text, why.text);
		ck_assert(slice_eq(m->topic, slice_str(right[i].topic)));
		ck_assert_int_eq(m->kind, right[i].kind);
		ck_assert_msg(
		    memmem(m->json.p, m->json.n, right[i].has, strlen(right[i].has)) != NULL,
		    "%.*s", SLICE_ARG(m->json));
		message_unref(m);
	}
	ck_assert_ptr_null(publish(&w, who, "{'topic':'a','message':'m','ttl':5}", &m, &why));
	ck_assert_int_eq(m->expires_ms, WORLD_NOW_MS + 5000);
	message_unref(m);
	/* its time is when it is heard, and its life begins then */
	ck_assert_ptr_null(
	    publish(&w, who, "{'topic':'a','message':'m','at':'+10m','ttl':5}", &m, &why));
	ck_assert_int_eq(m->time_ms, WORLD_NOW_MS + 600000);
	ck_assert_int_eq(m->expires_ms, WORLD_NOW_MS + 605000);
	message_unref(m);
	w.config->limits.message = 3;
	ck_assert_str_eq(publish(&w, who, "{'topic':'a','message':'1234'}", &m, &why), "too_large");
	ck_assert_str_eq(why.limit, "limits.message");
	w.config->events.topics.n = 0;
	ck_assert_str_eq(publish(&w, who, "{'message':'m'}", &m, &why), "bad_field");
	w.config->events.topics.n = 1;
	claims_unref(who);
	world_done(&w);
}
END_TEST

START_TEST(headers)
{
	struct draft d = {0};
	struct refusal why;

	ck_assert_int_eq(draft_set_tags(&d, SLICE(" a, b ,,c,"), &why), 0);
	ck_assert_uint_eq(d.n_tags, 3);
	ck_assert(slice_eq(d.tags[1], SLICE("b")));
	while (d.n_tags < DRAFT_TAGS)
		ck_assert_int_eq(draft_set_tags(&d, SLICE("x"), &why), 0);
	ck_assert_int_eq(draft_set_tags(&d, SLICE("x"), &why), -1);
	ck_assert_int_eq(why.code, ERROR_BAD_FIELD);
	ck_assert_uint_eq(draft_priority(SLICE("1")), 1);
	ck_assert_uint_eq(draft_priority(SLICE("5")), 5);
	ck_assert_uint_eq(draft_priority(SLICE("0")), 0);
	ck_assert_uint_eq(draft_priority(SLICE("6")), 0);
	ck_assert_uint_eq(draft_priority(SLICE("u=1, i")), 0);
	ck_assert_uint_eq(draft_priority(SLICE("")), 0);
}
END_TEST

START_TEST(failed_appends)
{
	static const struct {
		int status;
		enum error_code code;
		const char *word;
	} cases[] = {{-EAGAIN, ERROR_UNAVAILABLE, "cannot take more"},
	    {-ENOSPC, ERROR_TOO_MANY, "limits.topics"},
	    {-ENOMEM, ERROR_UNAVAILABLE, "short of memory"}, {-EIO, ERROR_UNAVAILABLE, "disk"},
	    {-ETIMEDOUT, ERROR_UNAVAILABLE, "too long"},
	    {-ECANCELED, ERROR_UNAVAILABLE, "going down"}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct refusal why;

		ck_assert_int_eq(append_refusal(cases[i].status, &why), -1);
		ck_assert_int_eq(why.code, cases[i].code);
		ck_assert_uint_gt(why.retry_after_s, 0);
		ck_assert_ptr_nonnull(strstr(why.text, cases[i].word));
	}
}
END_TEST

START_TEST(no_memory)
{
	struct claims *who = world_claims("ada", grants, grants);
	struct refusal why;
	struct message *m;
	struct world w;

	ck_assert(world_init(&w, NULL));
	for (long n = 1;; n++) {
		const char *code;

		mem_fail_at(n);
		code = publish(&w, who, "{'message':'m','to':'bob','tags':['x']}", &m, &why);
		if (mem_fail_is_pending())
			break;
		mem_fail_at(0);
		ck_assert_ptr_nonnull(code);
		ck_assert_str_eq(code, "unavailable");
		ck_assert_ptr_null(m);
	}
	mem_fail_at(0);
	message_unref(m);
	claims_unref(who);
	world_done(&w);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {refused, taken, headers, failed_appends, no_memory, NULL};

	return world_run_tests("publish", tests, NULL);
}
