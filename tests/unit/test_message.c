/* core/message and core/wire: encoding once, the id's digits, and each form in which a message leaves. */
#include "core/message.h"

#include <errno.h>
#include <string.h>

#include "core/wire.h"
#include "proto/json.h"
#include "proto/ws.h"
#include "proto/ws_deflate.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_run.h"

#define NOW_MS INT64_C(1700000000123)
#define ID     UINT64_C(1700000000000042)

static const struct topic_rule kept = {.history = 10, .keep_ms = 5000};
static const struct topic_rule ephemeral = {0};
static const struct message_from ada = {{"ada", 3}, {"Ada", 3}};

static struct message *
chat(const char *content, const struct topic_rule *rule)
{
	struct message_chat in = {
	    .topic = SLICE("chat/a"), .from = ada, .content = slice_str(content)};
	struct message *m = message_chat(&in, rule, NOW_MS, 7);

	ck_assert_ptr_nonnull(m);
	return m;
}

/* What a form says, WebSocket frames without their head. */
static void
check_form(struct message *m, enum message_form form, const char *want)
{
	struct slice got;

	ck_assert_int_eq(message_form(m, form, &got), 0);
	if (form <= FORM_WS_RAW && got.n > 0) {
		uint8_t head[WS_SERVER_HEAD];
		size_t n = ws_head_encode(head, WS_TEXT, false, strlen(want));

		ck_assert_uint_eq(got.n, n + strlen(want));
		ck_assert_mem_eq(got.p, head, n);
		got = slice_skip(got, n);
	}
	ck_assert_msg(slice_eq(got, slice_str(want)), "form %d: '%.*s', not '%s'", (int)form,
	    SLICE_ARG(got), want);
}

START_TEST(a_chat)
{
	struct message_chat in = {.topic = SLICE("chat/caf\xc3\xa9"),
	    .from = ada,
	    .content = SLICE("say \"hi\""),
	    .data = SLICE("{\"a\":\n [1,\r\n2]}"),
	    .key = SLICE("k1"),
	    .reply_to = 5};
	struct message *m = message_chat(&in, &kept, NOW_MS, 7);
	cJSON *json = NULL;

	ck_assert_ptr_nonnull(m);
	ck_assert(m->is_logged);
	ck_assert_uint_eq(m->keep_count, 10);
	ck_assert_uint_eq(m->keep_ms, 5000);
	ck_assert_uint_eq(m->origin, 7);
	ck_assert(message_is_content(m));
	message_commit(m, ID);
	check_form(m, FORM_WS_JSON,
	    "{\"type\":\"chat\",\"id\":1700000000000042,\"room\":\"caf\xc3\xa9\",\"from\":{\"id\":\"ada\","
	    "\"name\":\"Ada\"},\"content\":\"say \\\"hi\\\"\",\"data\":{\"a\":  [1,  2]},"
	    "\"time\":1700000000123,\"key\":\"k1\",\"reply_to\":5}");
	ck_assert_int_eq(json_parse(m->json, &json, NULL), 0);
	cJSON_Delete(json);
	check_form(m, FORM_WS_TEXT, "<Ada>: say \"hi\"");
	check_form(m, FORM_CHAT_SSE_TEXT,
	    "event: message\nid: 1700000000000042\ndata: <Ada>: say \"hi\"\n\n");
	check_form(m, FORM_WS_RAW, "");
	ck_assert(slice_eq(m->key, SLICE("k1")));
	ck_assert(slice_eq(m->user_id, SLICE("ada")));
	message_unref(m);
}
END_TEST

START_TEST(sse_of_a_chat)
{
	struct message *m = chat("hi", &kept);

	message_commit(m, ID);
	check_form(m, FORM_EVENTS,
	    "event: chat\nid: 1700000000000042\ndata: {\"type\":\"chat\",\"id\":1700000000000042,\"room\":\"a\","
	    "\"from\":{\"id\":\"ada\",\"name\":\"Ada\"},\"content\":\"hi\",\"time\":1700000000123}\n\n");
	check_form(m, FORM_CHAT_SSE,
	    "event: message\nid: 1700000000000042\ndata: {\"type\":\"chat\",\"id\":1700000000000042,\"room\":\"a\","
	    "\"from\":{\"id\":\"ada\",\"name\":\"Ada\"},\"content\":\"hi\",\"time\":1700000000123}\n\n");
	check_form(m, FORM_LINE,
	    "{\"type\":\"chat\",\"id\":1700000000000042,\"room\":\"a\","
	    "\"from\":{\"id\":\"ada\",\"name\":\"Ada\"},\"content\":\"hi\",\"time\":1700000000123}\n");
	message_unref(m);
	m = chat("hi", &ephemeral);
	ck_assert(!m->is_logged);
	check_form(m, FORM_WS_JSON,
	    "{\"type\":\"chat\",\"room\":\"a\",\"from\":{\"id\":\"ada\",\"name\":\"Ada\"},"
	    "\"content\":\"hi\",\"time\":1700000000123}");
	check_form(m, FORM_CHAT_SSE_TEXT, "event: message\ndata: <Ada>: hi\n\n");
	message_unref(m);
}
END_TEST

START_TEST(digits)
{
	struct message *m = chat("hi", &kept);

	message_commit(m, MESSAGE_ID_MAX - 1);
	ck_assert_ptr_nonnull(memmem(m->json.p, m->json.n, "\"id\":9007199254740991,", 22));
	ck_assert_uint_eq(m->id, MESSAGE_ID_MAX - 1);
	message_unref(m);
}
END_TEST

START_TEST(a_notification)
{
	struct slice tags[] = {SLICE("x"), SLICE("y")};
	struct message_notice in = {.topic = SLICE("ops/backup"),
	    .title = SLICE("T"),
	    .text = SLICE("Backup\ndone"),
	    .click = SLICE("https://example.org/"),
	    .data = SLICE("[1]"),
	    .tags = tags,
	    .n_tags = 2,
	    .priority = 5,
	    .from = ada,
	    .key = SLICE("k")};
	struct message *m = message_notice(&in, SLICE_NONE, &kept, NOW_MS, 0);

	ck_assert_ptr_nonnull(m);
	ck_assert_int_eq(m->kind, MESSAGE_NOTIFICATION);
	message_commit(m, ID);
#define BODY                                                                                                 \
	"\"id\":1700000000000042,\"topic\":\"ops/backup\",\"title\":\"T\",\"message\":\"Backup\\ndone\","    \
	"\"timestamp\":1700000000,\"priority\":5,\"tags\":[\"x\",\"y\"],\"click\":\"https://example.org/\"," \
	"\"data\":[1],\"from\":{\"id\":\"ada\",\"name\":\"Ada\"},\"key\":\"k\"}"
	check_form(m, FORM_WS_JSON, "{\"type\":\"notification\",\"event\":\"notification\"," BODY);
	check_form(
	    m, FORM_EVENTS, "event: notification\nid: 1700000000000042\ndata: {" BODY "\n\n");
	check_form(
	    m, FORM_LINE, "{\"type\":\"notification\",\"event\":\"notification\"," BODY "\n");
	check_form(m, FORM_WS_TEXT, "* ops/backup: Backup\n    done");
	check_form(m, FORM_CHAT_SSE,
	    "event: notification\nid: 1700000000000042\n"
	    "data: {\"type\":\"notification\",\"event\":\"notification\"," BODY "\n\n");
	message_unref(m);
	in = (struct message_notice){
	    .topic = SLICE("t"), .event = SLICE("al\"arm"), .title = SLICE("T")};
	m = message_notice(&in, SLICE_NONE, &ephemeral, NOW_MS, 0);
	ck_assert_ptr_nonnull(m);
	check_form(m, FORM_EVENTS,
	    "event: al\"arm\ndata: {\"topic\":\"t\",\"title\":\"T\",\"timestamp\":1700000000}\n\n");
	message_unref(m);
}
END_TEST

START_TEST(an_event)
{
	struct message_notice in = {.topic = SLICE("price"),
	    .event = SLICE("price"),
	    .data = SLICE("{\"p\":\n1}"),
	    .from = ada};
	struct message *m = message_notice(&in, SLICE_NONE, &kept, NOW_MS, 0);

	ck_assert_ptr_nonnull(m);
	message_commit(m, ID);
	check_form(m, FORM_WS_JSON,
	    "{\"type\":\"event\",\"event\":\"price\",\"id\":1700000000000042,\"topic\":\"price\",\"data\":{\"p\": 1}}");
	check_form(m, FORM_EVENTS, "event: price\nid: 1700000000000042\ndata: {\"p\": 1}\n\n");
	check_form(m, FORM_LINE,
	    "{\"type\":\"event\",\"event\":\"price\",\"id\":1700000000000042,\"topic\":\"price\",\"data\":{\"p\": 1}}\n");
	check_form(m, FORM_WS_TEXT, "* price: {\"p\": 1}");
	message_unref(m);
	/* a string goes line by line; without a name it is the browser's own `message` */
	in = (struct message_notice){
	    .topic = SLICE("log"), .data = SLICE("\"one\\ntwo\""), .key = SLICE("k")};
	m = message_notice(&in, SLICE("one\ntwo"), &kept, NOW_MS, 0);
	ck_assert_ptr_nonnull(m);
	message_commit(m, ID);
	check_form(
	    m, FORM_EVENTS, "event: message\nid: 1700000000000042\ndata: one\ndata: two\n\n");
	check_form(m, FORM_WS_JSON,
	    "{\"type\":\"event\",\"event\":\"message\",\"id\":1700000000000042,\"topic\":\"log\","
	    "\"data\":\"one\\ntwo\",\"key\":\"k\"}");
	message_unref(m);
	in = (struct message_notice){.topic = SLICE("log"), .data = SLICE("\"\"")};
	m = message_notice(&in, SLICE(""), &ephemeral, NOW_MS, 0);
	ck_assert_ptr_nonnull(m);
	check_form(m, FORM_EVENTS, "event: message\ndata: \n\n");
	message_unref(m);
}
END_TEST

/* Nobody can write lines that look like another's, nor move a terminal's cursor to do so. */
START_TEST(no_false_speakers)
{
	static const struct {
		const char *content;
		const char *line;
	} cases[] = {
	    {"a\n<Bob>: b", "<Ada>: a\n    <Bob>: b"},
	    {"a\r\n<Bob>: b", "<Ada>: a\n    <Bob>: b"},
	    {"a\r<Bob>: b", "<Ada>: a\n    <Bob>: b"},
	    {"a\x0b<Bob>: b\x0c!", "<Ada>: a\n    <Bob>: b\n    !"},
	    {"a\xc2\x85<Bob>: b", "<Ada>: a\n    <Bob>: b"},
	    {"a\xe2\x80\xa8<Bob>\xe2\x80\xa9: b", "<Ada>: a\n    <Bob>\n    : b"},
	    {"\x1b[1G<Bob>:\x08\x7f b", "<Ada>: [1G<Bob>: b"},
	    {"\xc2\x9b"
	     "1G\tx",
		"<Ada>: 1G\tx"},
	    {"caf\xc3\xa9 \xe2\x80\x94 \xc2\xa9", "<Ada>: caf\xc3\xa9 \xe2\x80\x94 \xc2\xa9"},
	    {"\r\n", "<Ada>: \n    "},
	    {"", "<Ada>: "},
	};
	struct message_chat in = {.topic = SLICE("chat/a"),
	    .from = {SLICE("x"), SLICE("A>: <d\na\xc2\x85")},
	    .content = SLICE("hi")};
	struct message_notice notice = {
	    .topic = SLICE("a\xe2\x80\xa8<b>"), .text = SLICE("hi\n* c")};
	struct message *m;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		m = chat(cases[i].content, &kept);
		check_form(m, FORM_WS_TEXT, cases[i].line);
		message_unref(m);
	}
	m = message_chat(&in, &kept, NOW_MS, 0);
	ck_assert_ptr_nonnull(m);
	check_form(m, FORM_WS_TEXT, "<A: da>: hi");
	message_unref(m);
	m = message_notice(&notice, SLICE_NONE, &kept, NOW_MS, 0);
	ck_assert_ptr_nonnull(m);
	check_form(m, FORM_WS_TEXT, "* a<b>: hi\n    * c");
	message_unref(m);
	m = chat("one\ntwo", &kept);
	message_commit(m, ID);
	check_form(m, FORM_CHAT_SSE_TEXT,
	    "event: message\nid: 1700000000000042\ndata: <Ada>: one\ndata:     two\n\n");
	message_unref(m);
}
END_TEST

START_TEST(of_rooms)
{
	struct message *m = message_typing(SLICE("chat/a"), ada, true, 3);

	ck_assert_ptr_nonnull(m);
	ck_assert(!message_is_content(m) && !m->is_logged);
	check_form(m, FORM_WS_JSON,
	    "{\"type\":\"typing\",\"room\":\"a\",\"user\":{\"id\":\"ada\",\"name\":\"Ada\"},\"typing\":true}");
	check_form(m, FORM_WS_TEXT, "");
	check_form(m, FORM_CHAT_SSE_TEXT, "");
	check_form(m, FORM_EVENTS, "");
	check_form(m, FORM_LINE, "");
	check_form(m, FORM_CHAT_SSE,
	    "event: typing\ndata: {\"type\":\"typing\",\"room\":\"a\","
	    "\"user\":{\"id\":\"ada\",\"name\":\"Ada\"},\"typing\":true}\n\n");
	message_unref(m);
	m = message_presence(SLICE("chat/a"), ada, true, 2, 0);
	ck_assert_ptr_nonnull(m);
	check_form(m, FORM_WS_JSON,
	    "{\"type\":\"user_joined\",\"room\":\"a\",\"user\":{\"id\":\"ada\",\"name\":\"Ada\"},\"count\":2}");
	check_form(m, FORM_WS_TEXT, "* Ada joined");
	check_form(m, FORM_CHAT_SSE_TEXT, "event: user_joined\ndata: * Ada joined\n\n");
	message_unref(m);
	m = message_presence(SLICE("chat/a"), ada, false, 1, 0);
	ck_assert_ptr_nonnull(m);
	check_form(m, FORM_WS_TEXT, "* Ada left");
	check_form(m, FORM_EVENTS, "");
	message_unref(m);
}
END_TEST

START_TEST(raw)
{
	struct message *m = message_raw(SLICE("chat/a"), WS_BINARY, SLICE("\0\n\r\xff"), 1);
	struct slice got;

	ck_assert_ptr_nonnull(m);
	ck_assert_int_eq(message_form(m, FORM_WS_RAW, &got), 0);
	ck_assert(slice_eq(got, SLICE("\x82\x04\0\n\r\xff")));
	check_form(m, FORM_WS_JSON, "");
	check_form(m, FORM_LINE, "");
	check_form(m, FORM_EVENTS, "");
	check_form(m, FORM_CHAT_SSE, "");
	message_unref(m);
	m = message_raw(SLICE("chat/a"), WS_TEXT, SLICE(""), 1);
	ck_assert_ptr_nonnull(m);
	ck_assert_int_eq(message_form(m, FORM_WS_RAW, &got), 0);
	ck_assert(slice_eq(got, SLICE("\x81\0")));
	message_unref(m);
}
END_TEST

START_TEST(compressed)
{
	struct ws_deflater *z = ws_deflater_new();
	struct ws_inflater *back = ws_inflater_new();
	struct buf plain = BUF_INIT(10000);
	struct message *m = chat("short", &kept);
	char content[1001];
	struct slice got;
	struct slice json;

	ck_assert(z != NULL && back != NULL);
	ck_assert_int_eq(message_form_deflated(m, z, &got), 0);
	ck_assert_int_eq(message_form(m, FORM_WS_JSON, &json), 0);
	ck_assert_ptr_eq(got.p, json.p); /* too short for it */
	message_unref(m);
	memset(content, 'x', sizeof(content) - 1);
	content[sizeof(content) - 1] = '\0';
	m = chat(content, &kept);
	message_commit(m, ID);
	ck_assert_int_eq(message_form_deflated(m, z, &got), 0);
	ck_assert_uint_lt(got.n, 200);
	ck_assert_int_eq((unsigned char)got.p[0], 0xc1); /* FIN, RSV1, text */
	got = slice_skip(got, got.n < 128 ? 2 : 4);
	ck_assert_int_eq(ws_inflate(back, got, &plain), 0);
	ck_assert(slice_eq(buf_slice(&plain), m->json));
	ck_assert_int_eq(message_form_deflated(m, NULL, &got), 0); /* nobody compresses */
	ck_assert_uint_gt(got.n, 1000);
	message_unref(m);
	/* what does not shrink goes as it is */
	for (size_t i = 0; i < sizeof(content) - 1; i++)
		content[i] = (char)('0' + (i * i * 2654435761u >> 7) % 75);
	m = chat(content, &kept);
	for (long n = 1;; n++) {
		int r;

		mem_fail_at(n);
		r = message_form_deflated(m, z, &got);
		if (mem_fail_is_pending())
			break;
		mem_fail_at(0);
		ck_assert_int_eq(r, -ENOMEM);
	}
	mem_fail_at(0);
	ck_assert_uint_gt(got.n, 500);
	message_unref(m);
	buf_done(&plain);
	ws_deflater_free(z);
	ws_inflater_free(back);
}
END_TEST

/* Frame heads of every length stand right before the JSON. */
START_TEST(lengths)
{
	char content[70000];

	memset(content, 'x', sizeof(content));
	for (size_t n = 1; n < sizeof(content); n += n < 300 ? 1 : 34567) {
		struct message_chat in = {
		    .topic = SLICE("chat/a"), .from = ada, .content = slice_of(content, n)};
		struct message *m = message_chat(&in, &kept, NOW_MS, 0);
		uint8_t head[WS_SERVER_HEAD];
		struct slice got;
		size_t head_n;

		ck_assert_ptr_nonnull(m);
		ck_assert_int_eq(message_form(m, FORM_WS_JSON, &got), 0);
		head_n = ws_head_encode(head, WS_TEXT, false, m->json.n);
		ck_assert_uint_eq(got.n, head_n + m->json.n);
		ck_assert_mem_eq(got.p, head, head_n);
		ck_assert_ptr_eq(got.p + head_n, m->json.p);
		ck_assert_uint_ge(message_memory(m), m->json.n + n);
		message_unref(m);
	}
}
END_TEST

START_TEST(made_once)
{
	struct message *m = chat("hi", &kept);
	struct slice first;
	struct slice again;

	message_commit(m, ID);
	ck_assert_int_eq(message_form(m, FORM_EVENTS, &first), 0);
	ck_assert_int_eq(message_form(m, FORM_EVENTS, &again), 0);
	ck_assert_ptr_eq(first.p, again.p);
	message_unref(m);
}
END_TEST

START_TEST(wires)
{
	long blocks = mem_blocks();
	struct message *m = chat("hi", &kept);
	struct wire *w;

	w = wire_of_message(m, m->json);
	ck_assert_ptr_nonnull(w);
	message_unref(m);
	ck_assert_ptr_eq(wire_ref(w), w);
	wire_unref(w);
	ck_assert(slice_has_prefix(slice_of(w->p, w->n), SLICE("{\"type\""))); /* kept alive */
	wire_unref(w);
	w = wire_new(SLICE("own"));
	ck_assert_ptr_nonnull(w);
	ck_assert(slice_eq(slice_of(w->p, w->n), SLICE("own")));
	wire_unref(w);
	wire_unref(NULL);
	ck_assert_int_eq(mem_blocks(), blocks);
}
END_TEST

START_TEST(no_memory)
{
	size_t sizes[MESSAGE_FORMS] = {0};
	struct message *whole = chat("a\nb", &kept);
	long blocks;

	for (unsigned form = 0; form < MESSAGE_FORMS; form++) {
		struct slice out = SLICE_NONE;

		if (form != FORM_WS_DEFLATE)
			ck_assert_int_eq(message_form(whole, (enum message_form)form, &out), 0);
		sizes[form] = out.n;
	}
	message_unref(whole);
	blocks = mem_blocks();
	for (long n = 1;; n++) {
		struct message_chat in = {
		    .topic = SLICE("chat/a"), .from = ada, .content = SLICE("a\nb")};
		struct message_notice notice = {.topic = SLICE("t"), .data = SLICE("1")};
		struct message *m;
		struct message *e;
		bool failed;

		mem_fail_at(n);
		m = message_chat(&in, &kept, NOW_MS, 0);
		e = message_notice(&notice, SLICE_NONE, &kept, NOW_MS, 0);
		failed = m == NULL || e == NULL;
		for (unsigned form = 0; form < MESSAGE_FORMS && !failed; form++) {
			struct slice out;

			failed = form != FORM_WS_DEFLATE &&
				 (message_form(m, (enum message_form)form, &out) < 0 ||
				     message_form(e, (enum message_form)form, &out) < 0);
		}
		for (unsigned form = 0; m != NULL && form < MESSAGE_FORMS; form++) {
			struct slice out = SLICE_NONE;

			mem_fail_at(0);
			if (form != FORM_WS_DEFLATE)
				ck_assert_int_eq(message_form(m, (enum message_form)form, &out), 0);
			ck_assert_uint_eq(out.n, sizes[form]); /* whole, or not at all */
		}
		mem_fail_at(0);
		message_unref(m);
		message_unref(e);
		ck_assert_int_eq(mem_blocks(), blocks);
		if (!failed)
			break;
		ck_assert_int_lt(n, 200);
	}
}
END_TEST

static bool
says(const struct message *m, const char *text)
{
	return memmem(m->json.p, m->json.n, text, strlen(text)) != NULL;
}

/* One that was put off is heard when it fires, whatever looks the same in it. */
START_TEST(another_time)
{
	struct message_chat talk = {.topic = SLICE("chat/a"),
	    .from = ada,
	    .content = SLICE("a,\"time\":1700000000123"),
	    .data = SLICE("{\"a\":1,\"time\":1700000000123}"),
	    .expires_ms = NOW_MS + 5000};
	struct message_notice notice = {.topic = SLICE("a"),
	    .title = SLICE(",\"timestamp\":1700000000"),
	    .text = SLICE("t"),
	    .data = SLICE("{\"a\":1,\"timestamp\":1700000000}")};
	struct message *m = message_chat(&talk, &kept, NOW_MS, 7);

	ck_assert_ptr_nonnull(m);
	message_set_time(m, NOW_MS + 60000);
	ck_assert_int_eq(m->time_ms, NOW_MS + 60000);
	ck_assert_int_eq(m->expires_ms, NOW_MS + 65000);
	ck_assert(says(m, "1,\"time\":1700000000123},\"time\":1700000060123"));
	message_unref(m);
	m = message_notice(&notice, SLICE_NONE, &kept, NOW_MS, 7);
	ck_assert_ptr_nonnull(m);
	message_set_time(m, NOW_MS + 60000);
	ck_assert(says(m, "\"t\",\"timestamp\":1700000060,"));
	ck_assert(says(m, "1,\"timestamp\":1700000000}"));
	message_unref(m);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {a_chat, sse_of_a_chat, digits, a_notification, an_event,
	    no_false_speakers, of_rooms, raw, compressed, lengths, made_once, wires, no_memory,
	    another_time, NULL};

	return run_tests("message", tests);
}
