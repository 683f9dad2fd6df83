/*
 * The configuration reader: what it makes of a file, and what it says of a wrong one.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/diag.h"
#include "daemon/config_read.h"
#include "daemon/config_table.h"
#include "daemon/config_value.h"
#include "tests/unit/mem_faults.h"
#include "tests/unit/support_run.h"

/* A folder for one test's files. */
struct folder {
	char path[64];
};

/* What every configuration has at least. */
#define WITH_KEY "auth = { secret = \"0123456789abcdef0123456789abcdef\"; }; "

static struct folder
folder_new(void)
{
	struct folder f = {"/tmp/belfry-config-XXXXXX"};

	ck_assert_ptr_nonnull(mkdtemp(f.path));
	return f;
}

static const char *
folder_put(const struct folder *f, const char *name, struct slice text, char out[256])
{
	FILE *file;

	(void)snprintf(out, 256, "%s/%s", f->path, name);
	file = fopen(out, "wb");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(text.p, 1, text.n, file), text.n);
	ck_assert_int_eq(fclose(file), 0);
	return out;
}

static void
folder_remove(const struct folder *f, const char *const *names, size_t n)
{
	char path[256];

	for (size_t i = 0; i < n; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", f->path, names[i]);
		(void)unlink(path); /* perhaps never made */
	}
	ck_assert_int_eq(rmdir(f->path), 0);
}

static struct config *
load(const char *text)
{
	struct config *c = NULL;
	struct config_error e = {.line = 0};
	int r = config_load_text(text, "/etc/belfry/belfryd.conf", &c, &e);

	ck_assert_msg(r == 0, "%s:%u: %s", e.file, e.line, e.text);
	return c;
}

START_TEST(defaults_are_those_of_the_contract)
{
	struct config *c = load(WITH_KEY);

	ck_assert_uint_eq(c->n_listeners, 1);
	ck_assert_str_eq(c->listeners[0].address, "localhost");
	ck_assert_uint_eq(c->listeners[0].port, 8080);
	ck_assert_ptr_null(c->listeners[0].unix_path);
	ck_assert_uint_eq(c->workers, 0);
	ck_assert_uint_eq(c->n_trusted_proxies, 2);
	ck_assert_uint_eq(c->trusted_proxies[0].prefix, 128);
	ck_assert_uint_eq(c->hosts.n, 0);
	ck_assert_uint_eq(c->auth.algorithms, 1u << ALG_HS256);
	ck_assert_uint_eq(c->auth.secret_n, 32);
	ck_assert_uint_eq(c->auth.leeway_ms, 30000);
	ck_assert(c->auth.require_exp && c->auth.explain);
	ck_assert_str_eq(c->auth.cookie, "belfry");
	ck_assert_uint_eq(c->auth.guest_ttl_ms, 43200000);
	ck_assert_uint_eq(c->auth.defaults.subscribe.n, 3);
	ck_assert_str_eq(c->auth.defaults.direct.v[0], "*");
	ck_assert_uint_eq(c->auth.guest_defaults.direct.n, 0);
	ck_assert_int_eq((int)c->storage.backend, STORAGE_SQLITE);
	ck_assert_uint_eq(c->storage.cache, 64u << 20);
	ck_assert_uint_eq(c->n_topics, 3);
	ck_assert_str_eq(c->topics[1].match, "chat/*");
	ck_assert_uint_eq(c->topics[1].history, 10000);
	ck_assert_uint_eq(c->topics[1].keep_ms, 30 * 86400000ull);
	ck_assert(c->topics[1].presence && !c->topics[2].presence);
	ck_assert_str_eq(c->events.topics.v[0], "notifications");
	ck_assert_uint_eq(c->events.retry_ms, 2000);
	ck_assert_str_eq(c->chat.default_room, "lobby");
	ck_assert_uint_eq(c->limits.message, 65536);
	ck_assert_uint_eq(c->limits.memory, 1u << 30);
	ck_assert_uint_eq(c->limits.burst, 40);
	ck_assert_uint_eq(c->limits.drain_ms, 10000);
	ck_assert_int_eq(c->logging.level, DIAG_INFO);
	ck_assert(!c->logging.is_json);
	ck_assert_uint_eq(c->n_feeds, 0);
	config_unref(config_ref(c));
	config_unref(c);
}
END_TEST

START_TEST(values_are_taken)
{
	struct config *c = load(
	    "listen = ( { address = \"::1\"; port = 0; },\n"
	    "           { unix = \"b.sock\"; mode = \"0600\"; allow_users = ( \"ada\" ); } );\n"
	    "auth: { secret = \"0123456789abcdef0123456789abcdef\"; algorithms = [ \"RS256\", \"ES512\" ];\n"
	    "        leeway = 5; guest_ttl = \"2h\"; };\n"
	    "trusted_proxies = [ \"10.1.2.3/8\", \"fd00::1/16\" ];\n"
	    "cors = { allow_origins = [ \"HTTPS://Example.org:443\", \"https://*.example.org\", \"*\" ]; };\n"
	    "limits = { memory = 5000000000L; queue = 0x1000; message = \"2K\"; burst = 0; };\n"
	    "topics = ( { match = \"**\"; } );\n"
	    "feeds = ( { topic = \"server/stats\"; } );\n"
	    "logging = { level = \"debug\"; format = \"json\"; };\n"
	    "web = { csp = \"\"; root = \"\"; };\n");

	ck_assert_uint_eq(c->listeners[0].port, 0);
	ck_assert_uint_eq(c->listeners[1].line, 2);
	ck_assert_ptr_null(c->listeners[1].address);
	ck_assert_str_eq(c->listeners[1].unix_path, "/etc/belfry/b.sock");
	ck_assert_uint_eq(c->listeners[1].mode, 0600);
	ck_assert_str_eq(c->listeners[1].allow_users.v[0], "ada");
	ck_assert_uint_eq(c->auth.secret_n, 32);
	ck_assert_uint_eq(c->auth.algorithms, 1u << ALG_RS256 | 1u << ALG_ES512);
	ck_assert_uint_eq(c->auth.leeway_ms, 5000);
	ck_assert_uint_eq(c->auth_line, 3);
	ck_assert_uint_eq(c->trusted_proxies[0].prefix, 104);
	ck_assert_uint_eq(c->trusted_proxies[0].address.s6_addr[12], 10);
	ck_assert_uint_eq(c->trusted_proxies[0].address.s6_addr[13], 0);
	ck_assert_str_eq(c->allow_origins.v[0], "https://example.org");
	ck_assert_uint_eq(c->limits.memory, 5000000000);
	ck_assert_uint_eq(c->limits.queue, 4096);
	ck_assert_uint_eq(c->limits.message, 2048);
	ck_assert_uint_eq(c->limits.burst, 20);
	ck_assert_uint_eq(c->n_topics, 1);
	ck_assert_uint_eq(c->feeds[0].every_ms, 1000);
	ck_assert_int_eq(c->logging.level, DIAG_DEBUG);
	ck_assert(c->logging.is_json);
	ck_assert_str_eq(c->web_csp, "");
	ck_assert_str_eq(c->web_root, "");
	config_unref(c);
}
END_TEST

static const struct {
	const char *text;
	unsigned line;
	const char *says;
} faults[] = {
    /* what is not there */
    {"", 1, "auth has no key"},
    {"\n\nauth = { secret = \"\"; };", 3, "auth has no key"},
    {"\nauth = { guests = true; };", 2, "auth has no key"},
    {"auth = { secret = \"a\"; secret_file = \"b\"; };", 1, "both"},
    {"topics = ( { history = 3; } );", 1, "'match' is missing in topics"},
    {"feeds = (\n { every = 1; } );", 2, "'topic' is missing in feeds"},
    /* unknown keys */
    {"auth = {\n secrt = \"x\"; };", 2, "unknown key 'secrt' in auth; did you mean 'secret'?"},
    {"heartbeat = 3;", 1, "did you mean 'chat.heartbeat'?"},
    {"zzzzzz = 3;", 1, "unknown key 'zzzzzz'"},
    {"listen = ( { prot = 1; } );", 1, "unknown key 'prot' in listen; did you mean 'port'?"},
    {"auth = { defaults = { subscribes = [ ]; }; };", 1,
	"in auth.defaults; did you mean 'subscribe'?"},
    /* wrong kinds */
    {"auth = { guests = 1; };", 1, "auth.guests wants true or false, got an integer"},
    {"workers = \"2\";", 1, "workers wants an integer, got a text"},
    {"workers = 2.5;", 1, "got a number with a point"},
    {"chat = { heartbeat = true; };", 1, "wants a duration"},
    {"auth = 3;", 1, "auth wants a group"},
    {"hosts = \"example.org\";", 1, "hosts wants an array"},
    {"hosts = [ 1, 2 ];", 1, "hosts wants a text, got an integer"},
    {"listen = { port = 1; };", 1, "listen wants a list of groups"},
    {"listen = ( 1 );", 1, "listen wants groups"},
    {"echo = \"yes\";", 1, "echo wants true or false"},
    {"auth = { secret = 5; };", 1, "auth.secret wants a text"},
    /* ranges */
    {"limits = {\n\n message = 0; };", 3, "limits.message is 0, want 1 to 64M; it guards memory"},
    {"limits = { body = \"0\"; };", 1, "guards memory"},
    {"limits = { header = 0; };", 1, "guards memory"},
    {"limits = { queue = 0; };", 1, "guards memory"},
    {"limits = { memory = 0; };", 1, "guards memory"},
    {"limits = { connections = -1; };", 1, "limits.connections is -1, want 0 to 10000000"},
    {"listen = ( { port = 65536; } );", 1, "listen.port is 65536, want 0 to 65535"},
    {"auth = { leeway = \"2d\"; };", 1, "auth.leeway is 2d, want 0 to 1d"},
    {"chat = { heartbeat = 0; };", 1, "want 1s to 1h"},
    {"auth = { leeway = \"5x\"; };", 1, "want a duration"},
    {"limits = { body = \"1 M\"; };", 1, "want a size"},
    {"limits = { body = \"99999999999999999999K\"; };", 1, "want a size"},
    {"events = { topics = [ ]; };", 1, "events.topics is empty"},
    /* what libconfig misreads */
    {"workers = 1;\n/* all of this\nbogus = 1;\n", 2, "a comment begins here and does not end"},
    {"workers = 1;\n\"bogus = 1;\nechos = 2;", 2, "a text begins here and does not end"},
    {"chat = { default_room = \"lobby\\\"; };\n", 1, "a text begins here and does not end"},
    {"workers = 010;", 1, "leading zero"},
    {"workers = -01;", 1, "leading zero"},
    {"# 010 5000000000\nhosts = [ \"010\" ]; /* 09\n09 */\nworkers = 4294967297;", 4,
	"does not fit 32 bits"},
    {"limits = { queue = 0xffffffff; };", 1, "does not fit 32 bits"},
    {"limits = { queue = -2147483649; };", 1, "does not fit 32 bits"},
    {"limits = { memory = 99999999999999999999L; };", 1, "does not fit 64 bits"},
    {"a = 5\nb", 2, "syntax error"},
    {"echo = true; echo = false;", 1, "duplicate setting name"},
    {"@include \"/nonexistent/belfry.conf\"", 1, "cannot include"},
    /* listeners */
    {"listen = ( );", 1, "listen is empty"},
    {"listen = ( { port = 8080; },\n { address = \"127.0.0.1\"; port = 8080; } );", 2,
	"already taken by localhost"},
    {"listen = ( { address = \"::1\"; },\n\n { } );", 3, "already taken by ::1"},
    {"listen = ( { address = \"::\"; }, { address = \"192.0.2.1\"; } );", 1, "already taken"},
    {"listen = ( { address = \"0.0.0.0\"; }, { address = \"192.0.2.1\"; } );", 1, "already taken"},
    {"listen = ( { unix = \"a\"; }, { unix = \"/etc/belfry/a\"; } );", 1, "twice"},
    {"listen = ( { unix = \"a\"; port = 8080; } );", 1, "both 'unix' and"},
    {"listen = ( { mode = \"0600\"; } );", 1, "'unix' is missing"},
    {"listen = ( { unix = \"a\"; mode = \"0800\"; } );", 1, "octal"},
    {"listen = ( { unix = \"a\"; mode = 660; } );", 1, "octal"},
    {"listen = ( { address = \"example.org\"; } );", 1, "numeric address"},
    /* forms */
    {"topics = ( { match = \"a//b\"; } );", 1, "want a pattern"},
    {"topics = ( { match = \"**/b\"; } );", 1, "want a pattern"},
    {"feeds = ( { topic = \"a/*\"; } );", 1, "want a topic"},
    {"auth = { defaults = { subscribe = [ \"chat/*\", \"\" ]; }; };", 1, "auth.defaults.subscribe"},
    {"chat = { default_room = \"a/b\"; };", 1, "want a room's name"},
    {"chat = { default_room = \"*\"; };", 1, "want a room's name"},
    {"trusted_proxies = [ \"10.0.0.0/33\" ];", 1, "wants networks"},
    {"trusted_proxies = [ \"proxy\" ];", 1, "wants networks"},
    {"cors = { allow_origins = [ \"null\" ]; };", 1, "want an origin"},
    {"cors = { allow_origins = [ \"https://example.org/\" ]; };", 1, "want an origin"},
    {"hosts = [ \"https://example.org\" ];", 1, "want a host name"},
    {"auth = { cookie = \"a b\"; };", 1, "cookie's name"},
    {"auth = { login_url = \"javascript:alert(1)\"; };", 1, "http or https"},
    {"web = { csp = \"a\\nb\"; };", 1, "control characters"},
    {"web = { root = \"/nonexistent/belfry\"; };", 1, "cannot read"},
    {"web = { root = \"/etc/passwd\"; };", 1, "not a folder"},
    {"auth = { algorithms = [ \"none\" ]; };", 1, "which the installed libjwt does not have"},
    {"auth = { algorithms = [ \"PS256\" ]; };", 1, "which the installed libjwt does not have"},
    {"auth = { algorithms = [ ]; };", 1, "auth.algorithms is empty"},
    {"logging = { level = \"loud\"; };", 1, "\"info\" or \"debug\""},
    {"auth = {\n secret_file = \"/nonexistent/belfry\"; };", 2, "cannot read"},
    {"auth = {\n secret_file = \"/dev/null\"; };", 2, "not a regular file"},
    {"auth = { public_key_file = \"/etc\"; };", 1, "Is a directory"},
    {"auth = {\n jwks_file = \"/nonexistent/belfry\"; };", 2, "auth.jwks_file: cannot read"},
    /* not built yet */
    {"storage = { backend = \"redis\"; };", 1, "storage.backend = \"redis\" is not built yet"},
    {"redis = { host = \"x\"; };", 1, "redis is not built yet"},
    {"hooks = ( { match = \"presence\"; } );", 1, "hooks is not built yet"},
    {"listen = ( { tls = { certificate = \"a\"; }; } );", 1, "listen.tls is not built yet"},
};

START_TEST(faults_have_a_line)
{
	struct config *c = NULL;
	struct config_error e = {.line = 0};
	int r = config_load_text(faults[_i].text, "/etc/belfry/belfryd.conf", &c, &e);

	ck_assert_msg(r < 0, "taken: %s", faults[_i].text);
	ck_assert_ptr_null(c);
	ck_assert_str_eq(e.file, "/etc/belfry/belfryd.conf");
	ck_assert_msg(e.line == faults[_i].line, "%u, not %u: %s", e.line, faults[_i].line, e.text);
	ck_assert_msg(strstr(e.text, faults[_i].says) != NULL, "%s", e.text);
}
END_TEST

/* A value in a file: the key inside its groups, or inside the one element of its list, in line 2. */
static void
write_value(char *out, size_t n, const struct option *o, const char *value)
{
	const char *at = o->key;
	const char *dot;
	int depth = 0;
	size_t used = 0;

	while ((dot = strchr(at, '.')) != NULL) {
		bool is_list = o->scope != SCOPE_CONFIG && depth == 0;

		used += (size_t)snprintf(
		    out + used, n - used, "%.*s = %s", (int)(dot - at), at, is_list ? "( {" : "{");
		at = dot + 1;
		depth++;
	}
	used += (size_t)snprintf(out + used, n - used, "\n%s = %s;", at, value);
	while (depth-- > 0)
		used += (size_t)snprintf(out + used, n - used, "%s",
		    o->scope != SCOPE_CONFIG && depth == 0 ? " } );" : " };");
}

static void
expect(const struct option *o, const char *value, const char *says)
{
	struct config *c = NULL;
	struct config_error e = {.line = 0};
	char text[512];
	int r;

	write_value(text, sizeof(text), o, value);
	r = config_load_text(text, "/etc/belfry/belfryd.conf", &c, &e);
	config_unref(c);
	if (says == NULL) { /* taken; what is missing besides is another matter */
		ck_assert_msg(r == 0 || e.line != 2 || strstr(e.text, o->key) == NULL, "%s: %s",
		    text, e.text);
		return;
	}
	ck_assert_msg(r < 0, "taken: %s", text);
	ck_assert_msg(e.line == 2 && strstr(e.text, o->key) != NULL && strstr(e.text, says) != NULL,
	    "%s: line %u: %s", text, e.line, e.text);
}

/* Every number, duration and size is taken at both ends of its range, and not beyond; 0 only where it is off. */
START_TEST(every_range_has_two_ends)
{
	size_t n;
	const struct option *table = config_table(&n);
	unsigned tried = 0;

	for (size_t i = 0; i < n; i++) {
		const struct option *o = &table[i];
		const char *unit = o->kind == KIND_DURATION ? "ms" : "";
		const char *quote = o->kind == KIND_NUMBER ? "" : "\"";
		char value[64];

		if (o->is_planned ||
		    (o->kind != KIND_NUMBER && o->kind != KIND_DURATION && o->kind != KIND_SIZE))
			continue;
		tried++;
		(void)snprintf(value, sizeof(value), "%s%llu%s%s", quote,
		    (unsigned long long)o->min, unit, quote);
		expect(o, value, NULL);
		(void)snprintf(value, sizeof(value), "%s%llu%s%s", quote,
		    (unsigned long long)o->max, unit, quote);
		expect(o, value, NULL);
		(void)snprintf(value, sizeof(value), "%s%llu%s%s", quote,
		    (unsigned long long)o->max + 1, unit, quote);
		expect(o, value, "want ");
		if (o->min > 0) {
			(void)snprintf(value, sizeof(value), "%s%llu%s%s", quote,
			    (unsigned long long)o->min - 1, unit, quote);
			expect(o, value, "want ");
			expect(o, "0", "want ");
		}
		expect(o, "-1", "want ");
		expect(o, "true", "wants ");
		expect(o, "1.5", "wants ");
	}
	ck_assert_uint_ge(tried, 30);
}
END_TEST

/* And texts, lists of texts and flags: their kind, and how long they may be. */
START_TEST(every_text_has_a_length)
{
	size_t n;
	const struct option *table = config_table(&n);

	for (size_t i = 0; i < n; i++) {
		const struct option *o = &table[i];

		if (o->is_planned)
			continue;
		if (o->kind == KIND_FLAG || o->kind == KIND_TEXT || o->kind == KIND_PATH ||
		    o->kind == KIND_CHOICE || o->kind == KIND_BITS || o->kind == KIND_TEXTS ||
		    o->kind == KIND_NETWORKS)
			expect(o, "5", "wants ");
		if (o->kind == KIND_CHOICE)
			expect(o, "\"nonsense\"", "want");
		if ((o->kind == KIND_TEXT || o->kind == KIND_PATH) && o->max < 300) {
			char value[400];

			memset(value, 'x', sizeof(value));
			value[0] = value[o->max + 2] = '"';
			value[o->max + 3] = '\0';
			expect(o, value, "want ");
		}
		if ((o->kind == KIND_TEXT || o->kind == KIND_PATH) && o->min > 0)
			expect(o, "\"\"", "want ");
	}
}
END_TEST

START_TEST(harmless_things_are_taken)
{
	config_unref(load(WITH_KEY
	    "hooks = ( ); feeds = [ ];\n"
	    "listen = ( { }, { port = 0; }, { port = 0; } );\n"
	    "limits = { connections = 0; messages_per_second = 0x10; drain = 0; topics = 10L; };\n"
	    "topics = ( ); chat = { leave_grace = \"0s\"; };"));
}
END_TEST

START_TEST(secret_file_loses_one_newline)
{
	static const char *const names[] = {"belfryd.conf", "secret", "keys.conf"};
	struct folder f = folder_new();
	char path[256], other[256];
	struct config *c = NULL;
	struct config_error e = {.line = 0};

	folder_put(&f, "secret",
	    SLICE("01234567\0"
		  "89abcdef0123456789abcdef\n\n"),
	    other);
	folder_put(&f, "keys.conf", SLICE("\nauth = { secret_file = \"secret\"; };\n"), other);
	folder_put(&f, "belfryd.conf", SLICE("echo = true;\n@include \"keys.conf\"\n"), path);
	ck_assert_msg(config_load(path, &c, &e) == 0, "%s:%u: %s", e.file, e.line, e.text);
	ck_assert_uint_eq(c->auth.secret_n, 34);
	ck_assert_int_eq(c->auth.secret[33], '\n');
	ck_assert_str_eq(c->auth_file, other);
	ck_assert_uint_eq(c->auth_line, 2);
	config_unref(c);

	folder_put(&f, "secret", SLICE("\n"), other);
	ck_assert_int_eq(config_load(path, &c, &e), -EINVAL);
	ck_assert_uint_eq(e.line, 2);
	ck_assert_ptr_nonnull(strstr(e.text, "secret_file is empty"));
	folder_remove(&f, names, ARRAY_LEN(names));
}
END_TEST

START_TEST(key_set_is_read_as_text)
{
	static const char *const names[] = {"belfryd.conf", "keys.json"};
	static const struct slice wrong[] = {SLICE(""), SLICE("{}\0")};
	struct folder f = folder_new();
	char path[256], other[256];
	struct config *c = NULL;
	struct config_error e = {.line = 0};

	folder_put(&f, "keys.json", SLICE("{\"keys\": []}\n"), other);
	folder_put(&f, "belfryd.conf", SLICE("\nauth = { jwks_file = \"keys.json\"; };\n"), path);
	ck_assert_msg(config_load(path, &c, &e) == 0, "%s:%u: %s", e.file, e.line, e.text);
	ck_assert_str_eq(
	    c->auth.jwks, "{\"keys\": []}\n"); /* what it says is the keyring's affair */
	ck_assert_str_eq(c->auth.jwks_path, other);
	config_unref(c);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		folder_put(&f, "keys.json", wrong[i], other);
		ck_assert_int_eq(config_load(path, &c, &e), -EINVAL);
		ck_assert_uint_eq(e.line, 2);
		ck_assert_ptr_nonnull(strstr(e.text, "jwks_file holds no JSON"));
	}
	folder_remove(&f, names, ARRAY_LEN(names));
}
END_TEST

START_TEST(included_files_are_named)
{
	static const char *const names[] = {"belfryd.conf", "inner.conf"};
	static const struct slice inner[] = {SLICE("echo =\n010;"), SLICE("\necho = 3;"),
	    SLICE("\necho = ;"), SLICE("\necho\0 = 3;")};
	struct folder f = folder_new();
	char path[256], other[256];
	struct config *c = NULL;
	struct config_error e = {.line = 0};

	folder_put(&f, "belfryd.conf", SLICE("workers = 1;\n  @include \"inner.conf\"\n"), path);
	for (size_t i = 0; i < ARRAY_LEN(inner); i++) {
		folder_put(&f, "inner.conf", inner[i], other);
		ck_assert_int_eq(config_load(path, &c, &e), -EINVAL);
		ck_assert_str_eq(e.file, other);
		ck_assert_uint_eq(e.line, 2);
	}
	folder_put(&f, "inner.conf", SLICE("@include \"inner.conf\"\n"), other);
	ck_assert_int_eq(config_load(path, &c, &e), -EINVAL);
	ck_assert_ptr_nonnull(strstr(e.text, "nested"));
	folder_remove(&f, names, ARRAY_LEN(names));
}
END_TEST

START_TEST(included_files_are_beside_the_including_one)
{
	static const char *const names[] = {
	    "belfryd.conf", "sub/a.conf", "sub/b.conf", "sub/key", "sub"};
	struct folder f = folder_new();
	char path[256], other[256], text[512];
	struct config *c = NULL;
	struct config_error e = {.line = 0};
	int r;

	(void)snprintf(other, sizeof(other), "%s/sub", f.path);
	ck_assert_int_eq(mkdir(other, 0700), 0);
	folder_put(&f, "sub/key", SLICE("0123456789abcdef0123456789abcdef"), other);
	folder_put(&f, "sub/b.conf", SLICE("workers = 2; // without a newline"), other);
	folder_put(&f, "sub/a.conf",
	    SLICE("@include \"b.conf\" echo = true;\nauth = { secret_file = \"key\"; };"), other);
	(void)snprintf(text, sizeof(text), "# one\n@include \"%s\" # two\nhosts = 3;", other);
	folder_put(&f, "belfryd.conf", slice_str(text), path);
	ck_assert_int_eq(config_load(path, &c, &e), -EINVAL);
	ck_assert_str_eq(e.file, path);
	ck_assert_uint_eq(e.line, 3);
	ck_assert_ptr_nonnull(strstr(e.text, "hosts"));

	folder_put(&f, "belfryd.conf", SLICE("@include \"sub/a.conf\""), path);
	r = config_load(path, &c, &e);
	ck_assert_msg(r == 0, "%s:%u: %s", e.file, e.line, e.text);
	ck_assert_uint_eq(c->workers, 2);
	ck_assert(c->echo);
	ck_assert_uint_eq(c->auth.secret_n, 32);
	ck_assert_str_eq(c->auth_file, other);
	ck_assert_uint_eq(c->auth_line, 2);
	config_unref(c);
	(void)snprintf(other, sizeof(other), "%s/sub", f.path);
	for (size_t i = 1; i < ARRAY_LEN(names) - 1; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", f.path, names[i]);
		(void)unlink(path); /* the folder's removal would tell */
	}
	ck_assert_int_eq(rmdir(other), 0);
	folder_remove(&f, names, 1);
}
END_TEST

START_TEST(unreadable_file_is_an_error)
{
	struct config *c = NULL;
	struct config_error e = {.line = 0};

	ck_assert_int_eq(config_load("/nonexistent/belfryd.conf", &c, &e), -ENOENT);
	ck_assert_str_eq(e.file, "/nonexistent/belfryd.conf");
	ck_assert_int_eq(config_load("/tmp", &c, &e), -EISDIR);
}
END_TEST

START_TEST(changed_keys_that_need_a_restart)
{
	struct config *a = load(WITH_KEY);
	struct config *b = load(WITH_KEY "limits = { message = 10; }; echo = true;");
	struct config *c = load(WITH_KEY "workers = 2; storage = { cache = \"1M\"; };\n"
					 "listen = ( { port = 81; } );");
	struct buf out = BUF_INIT(1024);

	ck_assert_int_eq(config_changed_keys(a, b, &out), 0);
	ck_assert_uint_eq(out.n, 0);
	ck_assert_int_eq(config_changed_keys(a, c, &out), 3);
	ck_assert(slice_eq(buf_slice(&out), SLICE("listen, workers, storage.cache")));
	buf_done(&out);
	config_unref(a);
	config_unref(b);
	config_unref(c);
}
END_TEST

START_TEST(no_memory_leaks_nothing)
{
	static const char text[] =
	    "listen = ( { unix = \"b.sock\"; allow_users = [ \"ada\", \"bob\" ]; } ); hosts = [ \"a.b\" ];\n"
	    "auth = { guests = true; secret = \"0123456789abcdef0123456789abcdef\"; issuer = \"x\"; };\n"
	    "topics = ( { match = \"a/*\"; }, { match = \"**\"; } ); web = { root = \"\"; };";
	long n = 0, before = mem_blocks();
	struct config *c = NULL;
	struct config_error e = {.line = 0};
	int r;

	do {
		mem_fail_at(++n);
		r = config_load_text(text, "belfryd.conf", &c, &e);
		ck_assert(r < 0 || !mem_fail_is_pending() || n > 1);
		if (r < 0)
			ck_assert_int_eq(mem_blocks(), before);
	} while (r < 0 && n < 1000);
	mem_fail_at(0);
	ck_assert_int_eq(r, 0);
	ck_assert_int_gt(n, 20);
	config_unref(c);
	ck_assert_int_eq(mem_blocks(), before);
}
END_TEST

static const struct {
	const char *text;
	uint64_t ms;
	const char *shown;
} durations[] = {{"500ms", 500, "500ms"}, {"30s", 30000, "30s"}, {"30", 30000, "30s"},
    {"90m", 5400000, "90m"}, {"24h", 86400000, "1d"}, {"7d", 604800000, "7d"}, {"0", 0, "0"}};

START_TEST(durations_are_read_and_shown)
{
	char shown[CONFIG_VALUE_TEXT];
	uint64_t ms = 1;

	ck_assert_int_eq(config_value_duration(slice_str(durations[_i].text), &ms), 0);
	ck_assert_uint_eq(ms, durations[_i].ms);
	ck_assert_str_eq(config_value_show_duration(ms, shown), durations[_i].shown);
}
END_TEST

START_TEST(bad_values_are_refused)
{
	static const char *const bad[] = {
	    "", "s", "-1s", "1.5h", "1 s", "10S", "1h30m", "99999999999999999d"};
	static const char *const bad_networks[] = {"", "/8", "10.0.0.0/", "10.0.0.0/-1", "::1/129",
	    "1.2.3/8", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	struct config_network net;
	uint64_t v;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(config_value_duration(slice_str(bad[i]), &v) < 0, "%s", bad[i]);
	ck_assert_int_lt(config_value_size(SLICE("64k"), &v), 0);
	ck_assert_int_lt(config_value_size(SLICE("64KB"), &v), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad_networks); i++)
		ck_assert_msg(
		    config_value_network(bad_networks[i], &net) < 0, "%s", bad_networks[i]);
}
END_TEST

START_TEST(samples_are_right)
{
	static const char *const samples[] = {
	    SRCDIR "/etc/belfryd.conf", SRCDIR "/etc/belfryd-dev.conf"};
	struct config *c = NULL;
	struct config_error e = {.line = 0};

	for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
		int r = config_load(samples[i], &c, &e);

		/* The keys are not there, and the page need not be. Everything else is. */
		if (r == 0)
			config_unref(c);
		else
			ck_assert_msg(strstr(e.text, "auth.secret_file: cannot read") != NULL ||
					  strstr(e.text, "web.root: cannot read") != NULL,
			    "%s:%u: %s", e.file, e.line, e.text);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("config");
	TCase *tc = tcase_create("config");

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, defaults_are_those_of_the_contract);
	tcase_add_test(tc, values_are_taken);
	tcase_add_loop_test(tc, faults_have_a_line, 0, ARRAY_LEN(faults));
	tcase_add_test(tc, harmless_things_are_taken);
	tcase_add_test(tc, secret_file_loses_one_newline);
	tcase_add_test(tc, key_set_is_read_as_text);
	tcase_add_test(tc, included_files_are_named);
	tcase_add_test(tc, included_files_are_beside_the_including_one);
	tcase_add_test(tc, unreadable_file_is_an_error);
	tcase_add_test(tc, changed_keys_that_need_a_restart);
	tcase_add_test(tc, every_range_has_two_ends);
	tcase_add_test(tc, every_text_has_a_length);
	tcase_add_test(tc, no_memory_leaks_nothing);
	tcase_add_loop_test(tc, durations_are_read_and_shown, 0, ARRAY_LEN(durations));
	tcase_add_test(tc, bad_values_are_refused);
	tcase_add_test(tc, samples_are_right);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
