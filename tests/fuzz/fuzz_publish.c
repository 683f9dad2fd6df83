/*
 * POST /publish from the request to the log and its readers. The input's first line is what
 * follows "/publish" in the target, then header lines up to an empty one, then the body. A request
 * has one answer; a refusal says why and leaves nothing behind; what is answered with 200 was
 * delivered, once, in well-formed messages that say what was published.
 */
#include "base/utf8.h"
#include "core/message.h"
#include "core/token_private.h"
#include "core/topic.h"
#include "net/exchange.h"
#include "proto/json.h"
#include "serve/serve.h"
#include "tests/fuzz/support.h"
#include "tests/fuzz/support_message.h"
#include "tests/unit/support_hub.h"

#define INPUT_MAX  8192
#define HEADERS    20
#define ANSWER_MAX (1u << 20)

struct request {
	struct exchange x;
	struct net net;
	struct serve serve;
	struct http_head head;
	struct world world;
	struct claims *claims;
	struct subscriber reader;
	unsigned n_answers;
	bool is_later; /* 202: it is put off */
	bool is_refused;
	struct refusal why;
	struct buf answer;
	unsigned n_messages; /* that the reader got */
	uint64_t last_id;
	struct message *first;
};

static struct request *
request_of(struct exchange *x)
{
	return CONTAINER(x, struct request, x);
}

/* --- what stands in for the rest of the daemon --- */

int
serve_authenticate(struct exchange *x, bool changes, struct claims **out)
{
	NEED(changes);
	*out = claims_ref(request_of(x)->claims);
	return 0;
}

void
serve_refuse(struct exchange *x, const struct refusal *r)
{
	struct request *q = request_of(x);
	struct slice text = slice_str(r->text);

	q->n_answers++;
	q->is_refused = true;
	q->why = *r;
	NEED((int)r->code >= 0 && r->code < ERROR_CODE_COUNT && r->code != ERROR_INTERNAL);
	NEED(text.n > 0 && utf8_is_valid(text) && !utf8_has_control(text));
}

void
serve_json(struct exchange *x, int status, struct slice json)
{
	struct request *q = request_of(x);

	NEED(status == 200 || status == 202);
	q->n_answers++;
	q->is_later = status == 202;
	NEED(buf_add_slice(&q->answer, json) == 0);
}

struct exchange *
exchange_hold(struct exchange *x)
{
	x->refs++;
	return x;
}

void
exchange_release(struct exchange *x)
{
	if (x != NULL)
		x->refs--;
}

/* --- a reader of everything --- */

static bool
reader_has_room(struct subscriber *s)
{
	(void)s; /* always */
	return true;
}

static void
reader_push(struct subscriber *s, struct wire *w)
{
	struct request *q = CONTAINER(s, struct request, reader);

	NEED(w->message != NULL);
	message_must_be_well(w->message);
	NEED(claims_may_publish(q->claims, w->message->topic));
	if (w->message->is_logged) {
		NEED(w->message->id > q->last_id);
		q->last_id = w->message->id;
	}
	q->n_messages++;
	if (q->first == NULL)
		q->first = message_ref(w->message);
}

static void
reader_gap(struct subscriber *s, struct sub *sub, const struct log_resume *gap, uint64_t asked,
    uint32_t dropped)
{
	(void)s;
	(void)sub;
	(void)gap;
	(void)asked;
	(void)dropped;
	FAIL("a level reader misses nothing");
}

static void
reader_fail(struct subscriber *s)
{
	(void)s;
	FAIL("there is memory");
}

static const struct subscriber_ops reader_ops = {
    .has_room = reader_has_room, .push = reader_push, .gap = reader_gap, .fail = reader_fail};

/* --- the request --- */

/* As the parser of heads leaves it: token names, values without control bytes, trimmed. */
static bool
is_value(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static void
read_headers(struct slice *in, struct http_head *head)
{
	while (in->p != NULL) {
		struct slice line = take_line(in);
		struct slice value = line;
		struct slice name = slice_cut(&value, ':');

		if (line.n == 0)
			break;
		if (value.p == NULL || !http_is_token(name) || !is_value(value) ||
		    head->n_headers == HEADERS)
			continue;
		http_head_add(head, name, slice_trim(value));
	}
}

static void
setup(struct request *q)
{
	static const char *const publish[] = {
	    "chat/*", "news/**", "live/**", "user/*", "notifications", "one/**", NULL};
	static const char *const subscribe[] = {NULL};
	static const char *const topics[] = {"**", "user/*"};
	int status = 0;

	*q = (struct request){.answer = BUF_INIT(ANSWER_MAX)};
	NEED(world_init(&q->world, NULL));
	q->world.config->limits.message = 2000;
	q->claims = world_claims("ada", subscribe, publish);
	NEED(q->claims != NULL);
	q->serve.hub = &q->world.hubs[0];
	q->serve.config = q->world.config;
	q->net.owner = &q->serve;
	q->x = (struct exchange){.net = &q->net, .head = &q->head, .method = HTTP_POST, .refs = 1};
	q->reader = (struct subscriber){.ops = &reader_ops,
	    .hub = &q->world.hubs[0],
	    .number = 1,
	    .form = FORM_EVENTS,
	    .is_stream = true};
	for (size_t i = 0; i < ARRAY_LEN(topics); i++)
		NEED(hub_subscribe(&q->world.hubs[0], &q->reader, slice_str(topics[i]), false,
			 &status) != NULL);
}

static void
teardown(struct request *q)
{
	hub_forget(&q->world.hubs[0], &q->reader);
	message_unref(q->first);
	NEED(q->claims->refs == 1);
	claims_unref(q->claims);
	world_done(&q->world);
	buf_done(&q->answer);
}

/* --- what must hold --- */

static bool
check_result(const struct request *q, const cJSON *one)
{
	struct slice topic = json_slice(json_member(one, "topic"));
	const cJSON *id = json_member(one, "id");
	const cJSON *at = json_member(one, "at");

	if (json_member(one, "scheduled") != NULL) { /* nobody hears of it yet */
		NEED(cJSON_IsNumber(json_member(one, "scheduled")) && cJSON_IsNumber(at));
		return false;
	}
	NEED(topic_error(topic) == NULL && claims_may_publish(q->claims, topic));
	NEED(cJSON_IsBool(json_member(one, "duplicate")));
	NEED((id == NULL) == slice_has_prefix(topic, SLICE("live/")));
	return cJSON_IsFalse(json_member(one, "duplicate"));
}

static void
check_same_string(const cJSON *asked, const char *name, const cJSON *got, const char *got_name)
{
	const cJSON *want = json_member(asked, name);
	const cJSON *item = json_member(got, got_name);

	if (want == NULL || want->valuestring[0] == '\0')
		return; /* the topic may be the path's, the event the usual one */
	NEED(item != NULL && slice_eq(json_slice(want), json_slice(item)));
}

/* One JSON object was published: the message has its members. */
static void
check_said(const struct request *q, const cJSON *asked)
{
	const cJSON *data = cJSON_GetObjectItemCaseSensitive(asked, "data");
	bool is_chat = q->first->kind == MESSAGE_CHAT;
	cJSON *got = NULL;

	NEED(json_parse(q->first->json, &got, NULL) == 0);
	check_same_string(asked, "message", got, is_chat ? "content" : "message");
	check_same_string(asked, "title", got, "title");
	check_same_string(asked, "event", got, "event");
	check_same_string(asked, "key", got, "key");
	if (q->first->kind == MESSAGE_NOTIFICATION)
		check_same_string(asked, "click", got, "click");
	if (!is_chat)
		check_same_string(asked, "topic", got, "topic");
	if (data != NULL && !cJSON_IsNull(data))
		NEED(cJSON_Compare(data, cJSON_GetObjectItemCaseSensitive(got, "data"), true) == 1);
	if (q->first->kind == MESSAGE_NOTIFICATION && json_member(asked, "tags") != NULL &&
	    cJSON_GetArraySize(json_member(asked, "tags")) > 0)
		NEED(
		    cJSON_Compare(json_member(asked, "tags"), json_member(got, "tags"), true) == 1);
	cJSON_Delete(got);
}

static void
check_taken(const struct request *q)
{
	cJSON *answer = NULL;
	cJSON *asked = NULL;
	const cJSON *one;
	unsigned n_new = 0;

	NEED(json_parse(buf_slice(&q->answer), &answer, NULL) == 0);
	NEED(!q->is_later || json_member(answer, "scheduled") != NULL);
	if (cJSON_IsObject(answer))
		n_new = check_result(q, answer);
	else
		cJSON_ArrayForEach(one, answer) n_new += check_result(q, one);
	NEED(n_new == q->n_messages);
	if (cJSON_IsObject(answer) && q->first != NULL) {
		struct slice type = http_header(&q->head, SLICE("Content-Type"), NULL);

		NEED(slice_eq(json_slice(json_member(answer, "topic")), q->first->topic));
		if (slice_eq(type, SLICE("application/json"))) {
			NEED(json_parse(q->x.body, &asked, NULL) == 0);
			check_said(q, asked);
			cJSON_Delete(asked);
		}
	}
	cJSON_Delete(answer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct request q; /* too large for the stack */
	struct slice in = slice_of((const char *)data, size);
	struct slice tail;
	struct slice path;

	if (size > INPUT_MAX)
		return 0;
	setup(&q);
	tail = take_line(&in);
	path = slice_cut(&tail, '?');
	q.head.query = tail.p == NULL ? SLICE("") : tail;
	read_headers(&in, &q.head);
	q.x.body = in.p == NULL ? SLICE("") : in;
	serve_publish(&q.x, path.n > 0 && path.p[0] == '/' ? slice_skip(path, 1) : SLICE_NONE);
	world_turn(&q.world);
	NEED(q.n_answers == 1 && q.x.refs == 1);
	if (q.is_refused)
		NEED(q.n_messages == 0);
	else
		check_taken(&q);
	teardown(&q);
	return 0;
}
