/* serve/origin: Host, Origin and CORS. */
#include "tests/unit/fake_net.h"
#include "tests/unit/support_run.h"

#define ORIGINS "https://app.example.org https://*.example.net:8443 https://*.example.com"
#define HOSTS   "chat.example.org ::1 fixed.example:8080"

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

static const struct {
	const char *host;
	const char *origin; /* NULL: none */
	bool is_allowed;
} origin_cases[] = {
    {"localhost:8080", NULL, true},
    {"localhost:8080", "http://localhost:8080", true},
    {"localhost:8080", "https://localhost:8080", true}, /* TLS may end in front of us */
    {"localhost:8080", "http://LOCALHOST:8080", true},
    {"localhost:8080", "http://localhost", false},
    {"localhost:8080", "http://localhost:8081", false},
    {"localhost:8080", "http://127.0.0.1:8080", false},
    {"localhost", "http://localhost", true},
    {"localhost", "http://localhost:80", true},
    {"localhost", "https://localhost:443", true},
    {"localhost:80", "http://localhost", true},
    {"localhost:443", "https://localhost", true},
    {"localhost:443", "http://localhost", false},
    {"[::1]:8080", "http://[::1]:8080", true},
    {"localhost", "null", false},
    {"localhost", "", false},
    {"localhost", "localhost", false},
    {"localhost", "http://localhost/", false},
    {"localhost", "http://localhost http://evil.example", false},
    {"localhost", "http://localhost.evil.example", false},
    {"localhost", "http://evil.example", false},
    {"localhost", "https://app.example.org", true},
    {"localhost", "https://APP.example.org", true},
    {"localhost", "https://app.example.org:443", true},
    {"localhost", "https://app.example.org:444", false},
    {"localhost", "http://app.example.org", false},
    {"localhost", "https://x.app.example.org", false},
    {"localhost", "https://a.example.net:8443", true},
    {"localhost", "https://a.b.example.net:8443", true},
    {"localhost", "https://a.example.net", false},
    {"localhost", "https://example.net:8443", false},
    {"localhost", "https://evilexample.net:8443", false},
    {"localhost", "http://a.example.net:8443", false},
    {"localhost", "https://a.example.com", true},
    {"localhost", "https://a.example.com:443", true},
    {"localhost", "https://.example.com", false},
    {"localhost", "https://a.example.com.evil.example", false},
};

START_TEST(origin)
{
	char text[300];
	struct refusal r;
	int result;

	fake_list(&f.config.allow_origins, ORIGINS);
	(void)snprintf(text, sizeof(text), "POST /publish HTTP/1.1\nHost: %s%s%s",
	    origin_cases[_i].host, origin_cases[_i].origin == NULL ? "" : "\nOrigin: ",
	    origin_cases[_i].origin == NULL ? "" : origin_cases[_i].origin);
	fake_request(&f, text, SLICE_NONE);
	result = serve_check_origin(&f.x, &r);
	ck_assert_int_eq(result, origin_cases[_i].is_allowed ? 0 : -1);
	if (result == 0)
		return;
	ck_assert_int_eq(r.code, ERROR_FORBIDDEN);
	ck_assert_ptr_nonnull(strstr(r.text, origin_cases[_i].host)); /* names both */
	if (strlen(origin_cases[_i].origin) < 60)
		ck_assert_ptr_nonnull(strstr(r.text, origin_cases[_i].origin));
}
END_TEST

START_TEST(origin_twice)
{
	struct refusal r;

	fake_request(&f,
	    "POST /publish HTTP/1.1\nHost: localhost\nOrigin: http://localhost\n"
	    "Origin: http://localhost",
	    SLICE_NONE);
	ck_assert_int_eq(serve_check_origin(&f.x, &r), -1);
}
END_TEST

START_TEST(forwarded_host)
{
	const char *text = "POST /publish HTTP/1.1\nHost: localhost\n"
			   "X-Forwarded-Host: chat.example.org\nOrigin: https://chat.example.org";
	struct refusal r;

	fake_request(&f, text, SLICE_NONE);
	ck_assert_int_eq(serve_check_origin(&f.x, &r), -1);
	f.conn.is_trusted = true;
	ck_assert_int_eq(serve_check_origin(&f.x, &r), 0);
	fake_request(&f,
	    "POST /publish HTTP/1.1\nHost: localhost\n"
	    "X-Forwarded-Host: other.example\nOrigin: https://chat.example.org",
	    SLICE_NONE);
	ck_assert_int_eq(serve_check_origin(&f.x, &r), -1);
	ck_assert_ptr_nonnull(strstr(r.text, "other.example"));
}
END_TEST

START_TEST(null_and_star)
{
	struct refusal r;

	fake_list(&f.config.allow_origins, "*");
	fake_request(
	    &f, "POST /publish HTTP/1.1\nHost: localhost\nOrigin: https://any.example", SLICE_NONE);
	ck_assert_int_eq(serve_check_origin(&f.x, &r), 0);
	fake_request(&f, "POST /publish HTTP/1.1\nHost: localhost\nOrigin: null", SLICE_NONE);
	ck_assert_int_eq(serve_check_origin(&f.x, &r), -1);
}
END_TEST

static const struct {
	const char *host;
	bool by_default; /* on a loopback listener, `hosts` not set */
	bool by_list;    /* with `hosts` set as above */
} host_cases[] = {
    {"localhost", true, false},
    {"LocalHost:8080", true, false},
    {"127.0.0.1:1", true, false},
    {"127.255.0.9", true, false},
    {"128.0.0.1", false, false},
    {"127.0.0.1.evil.example", false, false},
    {"127.1", false, false},
    {"[::1]", true, true},
    {"[::1]:9", true, true},
    {"[::ffff:127.0.0.1]", true, false},
    {"[::2]", false, false},
    {"localhost.evil.example", false, false},
    {"evil.example:8080", false, false},
    {"chat.example.org", false, true},
    {"CHAT.example.org:99", false, true},
    {"x.chat.example.org", false, false},
    {"fixed.example:8080", false, true},
    {"fixed.example", false, false},
};

START_TEST(host)
{
	char text[200];
	struct refusal r;

	(void)snprintf(text, sizeof(text), "GET / HTTP/1.1\nHost: %s", host_cases[_i].host);
	fake_request(&f, text, SLICE_NONE);
	ck_assert_int_eq(serve_check_host(&f.x, &r), host_cases[_i].by_default ? 0 : -1);
	f.conn.is_loopback = false;
	ck_assert_int_eq(serve_check_host(&f.x, &r), 0);
	fake_list(&f.config.hosts, HOSTS);
	ck_assert_int_eq(serve_check_host(&f.x, &r), host_cases[_i].by_list ? 0 : -1);
	f.conn.is_loopback = true;
	ck_assert_int_eq(serve_check_host(&f.x, &r), host_cases[_i].by_list ? 0 : -1);
	f.conn.is_unix = true;
	ck_assert_int_eq(serve_check_host(&f.x, &r), 0);
	f.conn.is_unix = false;
	fake_list(&f.config.hosts, "*");
	ck_assert_int_eq(serve_check_host(&f.x, &r), 0);
}
END_TEST

START_TEST(host_of_http_1_0)
{
	struct refusal r;

	fake_request(&f, "GET / HTTP/1.0", SLICE_NONE);
	ck_assert_int_eq(serve_check_host(&f.x, &r), 0);
	fake_request(&f, "GET / HTTP/1.0\nHost: evil.example", SLICE_NONE);
	ck_assert_int_eq(serve_check_host(&f.x, &r), -1);
	ck_assert_int_eq(r.code, ERROR_MISDIRECTED);
}
END_TEST

#define PREFLIGHT                                                                                  \
	"OPTIONS /publish HTTP/1.1\nHost: localhost\nAccess-Control-Request-Method: POST\n"        \
	"Access-Control-Request-Headers: authorization\nOrigin: "

START_TEST(preflight)
{
	fake_list(&f.config.allow_origins, ORIGINS);
	ck_assert_int_eq(fake_ask(&f, PREFLIGHT "https://app.example.org"), 204);
	ck_assert(fake_has(&f, "Access-Control-Allow-Origin: https://app.example.org"));
	ck_assert(fake_has(&f, "Access-Control-Allow-Credentials: true"));
	ck_assert(fake_has(&f, "Access-Control-Allow-Methods: POST, OPTIONS"));
	ck_assert(fake_has(&f, "Vary: Origin"));
	ck_assert_ptr_nonnull(
	    strstr(fake_header(&f, "Access-Control-Allow-Headers").p, "Last-Event-ID"));
	ck_assert_int_eq(fake_ask(&f, PREFLIGHT "https://evil.example"), 403);
	ck_assert(!fake_has(&f, "Access-Control-Allow-Origin: https://evil.example"));
	ck_assert_ptr_null(fake_header(&f, "Access-Control-Allow-Methods").p);
	fake_list(&f.config.allow_origins, "*");
	ck_assert_int_eq(fake_ask(&f, PREFLIGHT "https://evil.example"), 204);
	ck_assert(fake_has(&f, "Access-Control-Allow-Origin: *"));
	ck_assert_ptr_null(fake_header(&f, "Access-Control-Allow-Credentials").p);
}
END_TEST

START_TEST(cors_on_errors)
{
	fake_list(&f.config.allow_origins, ORIGINS);
	ck_assert_int_eq(fake_ask(&f, "GET /nothing HTTP/1.1\nHost: localhost\n"
				      "Origin: https://app.example.org"),
	    404);
	ck_assert(fake_has(&f, "Access-Control-Allow-Origin: https://app.example.org"));
	ck_assert(fake_has(&f, "Vary: Origin"));
	serve_cors(&f.x); /* again: nothing is added */
	ck_assert_ptr_null(strstr(strstr(f.x.headers.p, "Vary: Origin") + 1, "Vary: Origin"));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("origin");
	TCase *t = tcase_create("all");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, origin, 0, (int)ARRAY_LEN(origin_cases));
	tcase_add_test(t, origin_twice);
	tcase_add_test(t, forwarded_host);
	tcase_add_test(t, null_and_star);
	tcase_add_loop_test(t, host, 0, (int)ARRAY_LEN(host_cases));
	tcase_add_test(t, host_of_http_1_0);
	tcase_add_test(t, preflight);
	tcase_add_test(t, cors_on_errors);
	suite_add_tcase(s, t);
	return run_suite(s);
}
