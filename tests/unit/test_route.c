/* serve/route, authenticate, reply, token, status: what each request is answered before an endpoint sees it. */
#include "tests/unit/fake_net.h"
#include "tests/unit/support_run.h"

#include <unistd.h>

#include "core/limiter.h"

static struct fake f;

static void
setup(void)
{
	fake_init(&f);
}

static void
teardown(void)
{
	fake_done(&f);
}

/* --- which endpoint, which methods --- */

static const struct {
	const char *line;
	int status;
	const char *called; /* "" : none */
	const char *allow;  /* NULL: no Allow */
} routed[] = {
    {"GET /chat", 200, "chat", NULL},
    {"GET /chat?room=x", 200, "chat", NULL},
    {"HEAD /chat", 200, "chat", NULL},
    {"GET /%63hat", 200, "chat", NULL},
    {"POST /chat", 405, "", "GET, HEAD, OPTIONS"},
    {"POST /chat/abc", 200, "chat_post", NULL},
    {"GET /chat/abc", 405, "", "POST, OPTIONS"},
    {"HEAD /chat/abc", 405, "", "POST, OPTIONS"},
    {"PUT /chat/abc", 405, "", "POST, OPTIONS"},
    {"POST /chat/", 404, "", NULL},
    {"GET /chat/", 404, "", NULL},
    {"POST /chat/a/b", 404, "", NULL},
    {"GET /events", 200, "events", NULL},
    {"POST /events", 405, "", "GET, HEAD, OPTIONS"},
    {"GET /events/x", 404, "", NULL},
    {"POST /publish", 200, "publish", NULL},
    {"POST /publish/a/b%2Fc", 200, "publish", NULL},
    {"GET /publish", 405, "", "POST, OPTIONS"},
    {"HEAD /publish/x", 405, "", "POST, OPTIONS"},
    {"HEAD /publish/17", 405, "", "POST, DELETE, OPTIONS"},
    {"DELETE /publish", 405, "", "POST, OPTIONS"},
    {"DELETE /publish/x", 405, "", "POST, OPTIONS"},
    {"DELETE /publish/1x", 405, "", "POST, OPTIONS"},
    {"DELETE /publish/17/1", 405, "", "POST, OPTIONS"},
    {"DELETE /publish/17", 200, "publish", NULL},
    {"GET /history?topic=a", 200, "history", NULL},
    {"DELETE /history", 405, "", "GET, HEAD, OPTIONS"},
    {"GET /echo", 404, "", NULL},
    {"POST /echo", 404, "", NULL},
    {"PUT /token", 405, "", "GET, HEAD, POST, OPTIONS"},
    {"GET /healthz", 200, "", NULL},
    {"HEAD /healthz", 200, "", NULL},
    {"POST /healthz", 405, "", "GET, HEAD, OPTIONS"},
    {"TRACE /healthz", 405, "", "GET, HEAD, OPTIONS"},
    {"GET /readyz", 200, "", NULL},
    {"GET /metrics", 200, "", NULL},
    {"GET /api/stats", 200, "admin", NULL},
    {"POST /api/x/y", 200, "admin", NULL},
    {"DELETE /api/x/y", 200, "admin", NULL},
    {"POST /api/stats", 200, "admin", NULL},
    {"PUT /api/stats", 405, "", "GET, HEAD, OPTIONS"},
    {"PATCH /api/kick", 405, "", "POST, OPTIONS"},
    {"PUT /api/x/y", 404, "", NULL},
    {"GET /api", 404, "", NULL},
    {"OPTIONS /api/stats", 204, "", "GET, HEAD, OPTIONS"},
    {"OPTIONS /api/kick", 204, "", "POST, OPTIONS"},
    {"OPTIONS /api/x/y", 404, "", NULL},
    {"GET /", 404, "", NULL},
    {"POST /", 404, "", NULL},
    {"GET /nothing", 404, "", NULL},
    {"POST /nothing", 404, "", NULL},
    {"OPTIONS /nothing", 404, "", NULL},
    {"BREW /chat", 501, "", NULL},
    {"BREW /nothing", 501, "", NULL},
    {"get /chat", 501, "", NULL},
    {"OPTIONS /chat", 204, "", "GET, HEAD, OPTIONS"},
    {"OPTIONS /publish/x", 204, "", "POST, OPTIONS"},
    {"OPTIONS *", 204, "", "GET, HEAD, POST, DELETE, OPTIONS"},
    {"CONNECT localhost:80", 405, "", "GET, HEAD, POST, DELETE, OPTIONS"},
    {"CONNECT /chat", 405, "", "GET, HEAD, POST, DELETE, OPTIONS"},
};

START_TEST(routes)
{
	char text[200];

	(void)snprintf(text, sizeof(text), "%s HTTP/1.1\nHost: localhost", routed[_i].line);
	ck_assert_int_eq(fake_ask(&f, text), routed[_i].status);
	ck_assert_str_eq(f.called, routed[_i].called);
	ck_assert(slice_eq(slice_trim(fake_header(&f, "Allow")), slice_str(routed[_i].allow)));
	ck_assert(fake_has(&f, "Vary: Origin"));
	if (routed[_i].status >= 400)
		ck_assert_str_eq(f.type, "application/problem+json");
}
END_TEST

START_TEST(tails)
{
	(void)fake_ask(&f, "POST /publish HTTP/1.1\nHost: localhost");
	ck_assert_ptr_null(f.tail.p);
	(void)fake_ask(&f, "POST /publish/ HTTP/1.1\nHost: localhost");
	ck_assert_ptr_nonnull(f.tail.p);
	ck_assert_uint_eq(f.tail.n, 0);
	(void)fake_ask(&f, "POST /publish/a/b%2Fc?x=1 HTTP/1.1\nHost: localhost");
	ck_assert(slice_eq(f.tail, SLICE("a/b%2Fc")));
	(void)fake_ask(&f, "POST /chat/SESSION HTTP/1.1\nHost: localhost");
	ck_assert(slice_eq(f.tail, SLICE("SESSION")));
	f.config.echo = true;
	ck_assert_int_eq(fake_ask(&f, "GET /echo HTTP/1.1\nHost: localhost"), 200);
	ck_assert_str_eq(f.called, "echo");
}
END_TEST

START_TEST(wrong_host)
{
	ck_assert_int_eq(
	    fake_ask(&f, "POST /publish HTTP/1.1\nHost: evil.example\nContent-Length: 3"), 421);
	ck_assert(fake_says(&f, "\"misdirected\""));
	ck_assert(!f.x.keep_alive);
}
END_TEST

START_TEST(coded_bodies)
{
	ck_assert_int_eq(fake_ask(&f, "POST /publish HTTP/1.1\nHost: localhost\nContent-Length: 3\n"
				      "Content-Encoding: identity\nContent-Encoding: , GZIP"),
	    415);
	ck_assert(fake_says(&f, "GZIP"));
	ck_assert(fake_has(&f, "Accept-Encoding: identity"));
	ck_assert(!f.x.keep_alive);
	ck_assert_int_eq(fake_ask(&f, "POST /publish HTTP/1.1\nHost: localhost\nContent-Length: 3\n"
				      "Content-Encoding: identity"),
	    200);
	ck_assert_int_eq(
	    fake_ask(&f, "POST /publish HTTP/1.1\nHost: localhost\nContent-Encoding: gzip"), 200);
}
END_TEST

START_TEST(refused_before_the_body)
{
	ck_assert_int_eq(
	    fake_ask(&f, "PUT /chat HTTP/1.1\nHost: localhost\nContent-Length: 9"), 405);
	ck_assert(!f.x.keep_alive);
	ck_assert_int_eq(
	    fake_ask(&f, "PUT /chat HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked"), 405);
	ck_assert(!f.x.keep_alive);
	ck_assert_int_eq(fake_ask(&f, "PUT /chat HTTP/1.1\nHost: localhost"), 405);
	ck_assert(f.x.keep_alive);
}
END_TEST

START_TEST(body_limits)
{
	ck_assert_int_eq(
	    fake_ask(&f, "POST /publish HTTP/1.1\nHost: localhost\nContent-Length: 1048576"), 200);
	ck_assert_uint_eq(f.x.body_limit, 1048576);
	ck_assert_int_eq(
	    fake_ask(&f, "POST /publish HTTP/1.1\nHost: localhost\nContent-Length: 1048577"), 413);
	ck_assert(fake_says(&f, "\"limit\":\"limits.body\""));
	ck_assert(!f.x.keep_alive);
	ck_assert_int_eq(
	    fake_ask(&f, "POST /token HTTP/1.1\nHost: localhost\nContent-Length: 100000"), 413);
	ck_assert_int_eq(
	    fake_ask(&f, "GET /events HTTP/1.1\nHost: localhost\nContent-Length: 10"), 200);
	ck_assert_uint_eq(f.x.body_limit, 65536);
	f.net.memory = f.net.memory_limit;
	ck_assert_int_eq(
	    fake_ask(&f, "POST /publish HTTP/1.1\nHost: localhost\nContent-Length: 1"), 503);
	ck_assert(fake_has(&f, "Retry-After: 1"));
	ck_assert(fake_says(&f, "\"limit\":\"limits.memory\""));
}
END_TEST

/* --- tokens --- */

#define UPGRADE "Connection: Upgrade\nUpgrade: websocket\n"

static const struct {
	const char *rest; /* of the request: its target, then its header lines */
	bool changes;
	int status;      /* 0: claims */
	const char *who; /* or the error code */
} tokens[] = {
    {"/history", false, 401, "unauthorized"},
    {"/history|Authorization: Bearer good", false, 0, "ada"},
    {"/history|authorization: bearer good", false, 0, "ada"},
    {"/history|Authorization: Bearer   good ", false, 0, "ada"},
    {"/history|Authorization: Basic good", false, 401, "unauthorized"},
    {"/history|Authorization: Bearerx good", false, 401, "unauthorized"},
    {"/history|Authorization: Bearer", false, 400, "invalid_request"},
    {"/history|Authorization: Bearer ", false, 400, "invalid_request"},
    {"/history|Authorization: Bearer good good", false, 400, "invalid_request"},
    {"/history|Authorization: Bearer good\nAuthorization: Bearer good", false, 400,
	"invalid_request"},
    {"/history|Authorization: Bearer forged", false, 401, "invalid_token"},
    {"/history?access_token=good", false, 0, "ada"},
    {"/history?a=b&access_token=go%6fd&c", false, 0, "ada"},
    {"/history?access_token=", false, 400, "invalid_request"},
    {"/history?access_token=%zz", false, 400, "invalid_request"},
    {"/history?access_token=good&access_token=good", false, 400, "invalid_request"},
    {"/history?access_token=good|Authorization: Bearer good", false, 400, "invalid_request"},
    {"/history?access_token=good|Authorization: Basic x", false, 0, "ada"},
    {"/history|Sec-WebSocket-Protocol: belfry.v1, bearer.good", false, 401, "unauthorized"},
    {"/chat|" UPGRADE "Sec-WebSocket-Protocol: belfry.v1, bearer.good", true, 0, "ada"},
    {"/chat|" UPGRADE "Sec-WebSocket-Protocol: belfry.v1\nSec-WebSocket-Protocol: bearer.good",
	true, 0, "ada"},
    {"/chat|" UPGRADE "Sec-WebSocket-Protocol: bearer.good, bearer.good", true, 400,
	"invalid_request"},
    {"/chat|" UPGRADE "Sec-WebSocket-Protocol: belfry.v1, bearer.", true, 400, "invalid_request"},
    {"/chat?access_token=good|" UPGRADE "Sec-WebSocket-Protocol: belfry.v1, bearer.good", true, 400,
	"invalid_request"},
    {"/chat|" UPGRADE "Sec-WebSocket-Protocol: belfry.v1, bearer.good\nAuthorization: Bearer good",
	true, 400, "invalid_request"},
    {"/history|Cookie: belfry=good", false, 0, "ada"},
    {"/history|Cookie: other=good", false, 401, "unauthorized"},
    {"/history|Cookie: belfry=", false, 401, "unauthorized"},
    {"/history|Cookie: belfry=forged\nAuthorization: Bearer good", false, 0, "ada"},
    {"/history?access_token=forged|Cookie: belfry=good", false, 401, "invalid_token"},
    {"/chat|Cookie: belfry=good", true, 403, "forbidden"},
    {"/chat|Cookie: belfry=good\nOrigin: http://localhost", true, 0, "ada"},
    {"/chat|Cookie: belfry=good\nOrigin: http://evil.example", true, 403, "forbidden"},
    {"/chat|Cookie: belfry=good\nOrigin: null", true, 403, "forbidden"},
    {"/chat|Cookie: belfry=good\nAuthorization: Bearer good", true, 0, "ada"},
    {"/chat|Authorization: Bearer good\nOrigin: http://evil.example", true, 403, "forbidden"},
    {"/history|Authorization: Bearer good\nOrigin: http://evil.example", false, 0, "ada"},
};

static void
ask_claims(const char *rest, bool changes, int status, const char *who)
{
	const char *bar = strchr(rest, '|');
	struct claims *claims = NULL;
	char text[600];
	int n = bar == NULL ? (int)strlen(rest) : (int)(bar - rest);

	(void)snprintf(text, sizeof(text), "GET %.*s HTTP/1.1\nHost: localhost%s%s", n, rest,
	    bar == NULL ? "" : "\n", bar == NULL ? "" : bar + 1);
	fake_request(&f, text, SLICE_NONE);
	if (status == 0) {
		ck_assert_int_eq(serve_authenticate(&f.x, changes, &claims), 0);
		ck_assert_str_eq(claims->user_id, who);
		ck_assert_int_eq(f.n_answers, 0);
		claims_unref(claims);
		return;
	}
	ck_assert_int_eq(serve_authenticate(&f.x, changes, &claims), -1);
	ck_assert_int_eq(f.n_answers, 1);
	ck_assert_int_eq(f.status, status);
	ck_assert(fake_says(&f, who));
	ck_assert(!fake_says(&f, "good")); /* no token in an answer */
	ck_assert(!fake_says(&f, "forged"));
}

START_TEST(authenticates)
{
	ask_claims(tokens[_i].rest, tokens[_i].changes, tokens[_i].status, tokens[_i].who);
}
END_TEST

START_TEST(cookie_and_star)
{
	fake_list(&f.config.allow_origins, "*");
	ask_claims("/chat|Cookie: belfry=good\nOrigin: http://localhost", true, 0, "ada");
	ask_claims(
	    "/chat|Cookie: belfry=good\nOrigin: http://any.example", true, 401, "unauthorized");
	ask_claims(
	    "/history|Cookie: belfry=good\nOrigin: http://any.example", false, 401, "unauthorized");
	ask_claims("/chat|Authorization: Bearer good\nOrigin: http://any.example", true, 0, "ada");
	fake_list(&f.config.allow_origins, "* http://any.example");
	ask_claims("/chat|Cookie: belfry=good\nOrigin: http://any.example", true, 0, "ada");
}
END_TEST

START_TEST(challenges)
{
	ask_claims("/history", false, 401, "unauthorized");
	ck_assert(fake_has(&f, "WWW-Authenticate: Bearer realm=\"belfry\""));
	ask_claims("/history|Authorization: Bearer old", false, 401, "exp was 42 s ago");
	ck_assert(fake_has(&f, "WWW-Authenticate: Bearer realm=\"belfry\", "
			       "error=\"invalid_token\", error_description=\"exp was 42 s ago\""));
	ck_assert(fake_has(&f, "Cache-Control: no-store"));
	/* what was not signed by us is told which check it failed, and nothing of itself */
	ask_claims("/history|Authorization: Bearer forged", false, 401, "invalid_token");
	ck_assert(fake_says(&f, "the signature does not match"));
	f.config.auth.explain = false;
	ask_claims("/history|Authorization: Bearer old", false, 401, "invalid_token");
	ck_assert(!fake_says(&f, "42"));
	ck_assert(
	    fake_has(&f, "WWW-Authenticate: Bearer realm=\"belfry\", error=\"invalid_token\", "
			 "error_description=\"the token was refused\""));
}
END_TEST

START_TEST(challenge_is_quoted_well)
{
	struct refusal r;

	fake_request(&f, "GET / HTTP/1.1\nHost: localhost", SLICE_NONE);
	(void)refuse(&r, ERROR_INVALID_TOKEN, "a \"b\" \\ \xc3\xa9 c");
	serve_refuse(&f.x, &r);
	ck_assert(
	    fake_has(&f, "WWW-Authenticate: Bearer realm=\"belfry\", error=\"invalid_token\", "
			 "error_description=\"a 'b' ' ?? c\""));
}
END_TEST

START_TEST(local_peers)
{
	char uid[16], gid[16];
	static char path[] = "/run/x";

	(void)snprintf(uid, sizeof(uid), "%u", (unsigned)getuid());
	(void)snprintf(gid, sizeof(gid), "%u", (unsigned)getgid());
	f.conn.is_unix = true;
	f.conn.uid = getuid();
	f.conn.gid = getgid();
	f.listener.unix_path = path;
	ask_claims("/history", true, 401, "unauthorized");
	fake_list(&f.listener.allow_users, "nobody-of-that-name");
	ask_claims("/history", true, 401, "unauthorized");
	fake_list(&f.listener.allow_users, uid);
	fake_request(&f, "GET /history HTTP/1.1\nHost: localhost", SLICE_NONE);
	ck_assert_int_eq(serve_authenticate(&f.x, true, &f.claims), 0);
	ck_assert_int_eq(f.claims->role, ROLE_ADMIN);
	ck_assert_int_eq(strncmp(f.claims->user_id, "local:", 6), 0);
	claims_unref(f.claims);
	fake_unlist(&f.listener.allow_users);
	fake_list(&f.listener.allow_groups, gid);
	fake_request(&f, "GET /history HTTP/1.1\nHost: localhost", SLICE_NONE);
	ck_assert_int_eq(serve_authenticate(&f.x, true, &f.claims), 0);
	claims_unref(f.claims);
	/* a token that is there counts, good or bad */
	ask_claims("/history|Authorization: Bearer good", true, 0, "ada");
	ask_claims("/history|Authorization: Bearer old", true, 401, "invalid_token");
	f.conn.is_unix = false;
	ask_claims("/history", true, 401, "unauthorized");
}
END_TEST

/* --- /token --- */

#define POST_TOKEN "POST /token HTTP/1.1\nHost: localhost\n"
#define AS_JSON    POST_TOKEN "Content-Type: application/json; charset=utf-8"

START_TEST(token_get)
{
	ck_assert_int_eq(fake_ask(&f, "GET /token HTTP/1.1\nHost: localhost"), 200);
	ck_assert(slice_eq(buf_slice(&f.body),
	    SLICE("{\"user\":null,\"expires\":null,\"guests\":false,\"login_url\":\"\"}")));
	ck_assert(fake_has(&f, "Cache-Control: no-store"));
	f.config.auth.guests = true;
	ck_assert_int_eq(
	    fake_ask(&f, "GET /token HTTP/1.1\nHost: localhost\nAuthorization: Bearer good"), 200);
	ck_assert(slice_eq(buf_slice(&f.body),
	    SLICE("{\"user\":{\"id\":\"ada\",\"name\":\"Ada\"},\"expires\":1700003600,"
		  "\"guests\":true,\"login_url\":\"\"}")));
	ck_assert_int_eq(
	    fake_ask(&f, "GET /token HTTP/1.1\nHost: localhost\nAuthorization: Bearer old"), 401);
}
END_TEST

static const struct {
	const char *head;
	const char *body;
	int status;
	const char *says;
} posts[] = {
    {AS_JSON, "{\"name\":\" Ada \"}", 200, "\"user\":{\"id\":\"guest:new\",\"name\":\"Ada\"}"},
    {AS_JSON, "{\"name\":\"Ada\",\"x\":1}", 200, "\"token\":\"signed(guest:new,Ada)\""},
    {AS_JSON, "{\"name\":\"Ada\"}", 200, "\"expires\":1700043200"},
    {AS_JSON "\nOrigin: http://localhost", "{\"name\":\"Ada\"}", 200, "guest:new"},
    {AS_JSON "\nOrigin: http://evil.example", "{\"name\":\"Ada\"}", 403, "evil.example"},
    {AS_JSON "\nAuthorization: Bearer guest", "{\"name\":\"Eve\"}", 200,
	"\"user\":{\"id\":\"guest:77\",\"name\":\"Eve\"}"},
    {POST_TOKEN "Authorization: Bearer guest", "", 200,
	"\"user\":{\"id\":\"guest:77\",\"name\":\"Gus\"}"},
    {AS_JSON "\nAuthorization: Bearer good", "{\"name\":\"Ada\"}", 200, "guest:new"},
    {AS_JSON "\nAuthorization: Bearer old", "{\"name\":\"Ada\"}", 401, "invalid_token"},
    {AS_JSON "\nOrigin: http://localhost\nCookie: belfry=old", "{\"name\":\"Ada\"}", 200,
	"guest:new"},
    {AS_JSON, "", 400, "bad_json"},
    {AS_JSON, "{", 400, "bad_json"},
    {AS_JSON, "[]", 400, "bad_field"},
    {AS_JSON, "{}", 400, "bad_field"},
    {AS_JSON, "{\"name\":null}", 400, "bad_field"},
    {AS_JSON, "{\"name\":7}", 400, "bad_field"},
    {AS_JSON, "{\"name\":\"  \"}", 400, "bad_field"},
    {AS_JSON, "{\"name\":\"a\\nb\"}", 400, "bad_field"},
    {AS_JSON, "{\"name\":\"1234567890123456789012345678901234567890123456789012345678901234\"}",
	200, "guest:new"},
    {AS_JSON, "{\"name\":\"12345678901234567890123456789012345678901234567890123456789012345\"}",
	400, "longer than 64 bytes"},
    {POST_TOKEN "Content-Type: text/plain", "{\"name\":\"Ada\"}", 415, "unsupported_media"},
    {POST_TOKEN "X: y", "{\"name\":\"Ada\"}", 200, "\"user\""},
    {POST_TOKEN "X: y", "name=Ada", 415, "unsupported_media"},
    {POST_TOKEN "Content-Type: application/x-www-form-urlencoded", "{\"name\":\"Ada\"}", 200,
	"\"user\""},
    {POST_TOKEN "Content-Type: application/x-www-form-urlencoded", "name=Ada", 415,
	"unsupported_media"},
};

START_TEST(token_post)
{
	f.config.auth.guests = true;
	f.config.auth.guest_ttl_ms = (uint64_t)43200 * 1000;
	ck_assert_int_eq(fake_ask_body(&f, posts[_i].head, posts[_i].body), posts[_i].status);
	ck_assert_msg(fake_says(&f, posts[_i].says), "%.*s", (int)f.body.n, f.body.p);
}
END_TEST

START_TEST(token_post_limits)
{
	ck_assert_int_eq(fake_ask_body(&f, AS_JSON, "{\"name\":\"Ada\"}"), 403);
	ck_assert(fake_says(&f, "auth.guests"));
	f.config.auth.guests = true;
	f.config.auth.guest_tokens_per_minute = 2;
	f.serve.guests = limiter_new(100);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(fake_ask_body(&f, AS_JSON, "{\"name\":\"Ada\"}"), 200);
	ck_assert_int_eq(fake_ask_body(&f, AS_JSON, "{\"name\":\"Ada\"}"), 429);
	ck_assert(fake_has(&f, "Retry-After: 30"));
	ck_assert(fake_says(&f, "\"limit\":\"auth.guest_tokens_per_minute\""));
	ck_assert(fake_says(&f, "\"retry_after\":30"));
	f.net.now_ms += 30000;
	ck_assert_int_eq(fake_ask_body(&f, AS_JSON, "{\"name\":\"Ada\"}"), 200);
	limiter_free(f.serve.guests);
}
END_TEST

/* --- status --- */

static int
not_ready(void *ctx UNUSED, char *text, size_t n)
{
	(void)snprintf(text, n, "the store is being read");
	return -1;
}

static void
metrics(void *ctx UNUSED, struct buf *out)
{
	(void)buf_add_str(out, "belfry_x 1\n");
}

static bool
is_draining(void *ctx UNUSED)
{
	return false;
}

START_TEST(status)
{
	static const struct serve_process process = {
	    .ready = not_ready, .metrics = metrics, .is_draining = is_draining};

	ck_assert_int_eq(fake_ask(&f, "GET /readyz HTTP/1.1\nHost: localhost"), 200);
	ck_assert(fake_says(&f, "{\"status\":\"ok\"}"));
	f.serve.process = &process;
	ck_assert_int_eq(fake_ask(&f, "GET /readyz HTTP/1.1\nHost: localhost"), 503);
	ck_assert(fake_says(&f, "\"reason\":\"the store is being read\"}"));
	f.net.is_draining = true;
	ck_assert_int_eq(fake_ask(&f, "GET /readyz HTTP/1.1\nHost: localhost"), 503);
	ck_assert(fake_says(&f, "stopping"));
	ck_assert_int_eq(fake_ask(&f, "GET /healthz HTTP/1.1\nHost: localhost"), 200);
	ck_assert_int_eq(fake_ask(&f, "GET /metrics HTTP/1.1\nHost: localhost"), 200);
	ck_assert_str_eq(f.type, "text/plain; version=0.0.4; charset=utf-8");
	ck_assert(fake_says(&f, "belfry_x 1\n"));
	f.conn.is_loopback = false;
	ck_assert_int_eq(fake_ask(&f, "GET /metrics HTTP/1.1\nHost: localhost"), 401);
	ck_assert_int_eq(
	    fake_ask(&f, "GET /metrics HTTP/1.1\nHost: localhost\nAuthorization: Bearer good"),
	    403);
	ck_assert(fake_says(&f, "insufficient_scope"));
	ck_assert_ptr_nonnull(strstr(fake_header(&f, "WWW-Authenticate").p, "insufficient_scope"));
	ck_assert_int_eq(
	    fake_ask(&f, "GET /metrics HTTP/1.1\nHost: localhost\nAuthorization: Bearer admin"),
	    200);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("route");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, routes, 0, (int)ARRAY_LEN(routed));
	tcase_add_test(t, tails);
	tcase_add_test(t, wrong_host);
	tcase_add_test(t, refused_before_the_body);
	tcase_add_test(t, coded_bodies);
	tcase_add_test(t, body_limits);
	tcase_add_loop_test(t, authenticates, 0, (int)ARRAY_LEN(tokens));
	tcase_add_test(t, cookie_and_star);
	tcase_add_test(t, challenges);
	tcase_add_test(t, challenge_is_quoted_well);
	tcase_add_test(t, local_peers);
	tcase_add_test(t, token_get);
	tcase_add_loop_test(t, token_post, 0, (int)ARRAY_LEN(posts));
	tcase_add_test(t, token_post_limits);
	tcase_add_test(t, status);
	suite_add_tcase(s, t);
	return run_suite(s);
}
