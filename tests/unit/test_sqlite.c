/* The store on a disk: what the one in memory does not have. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/sqlite_private.h"
#include "tests/unit/support_hub.h"
#include "tests/unit/support_run.h"
#include "tests/unit/support_vfs.h"

#define SAY(topic, text) ck_assert_int_eq(world_say(&w, topic, text), 0)
#define GOT(p, text)     ck_assert_str_eq(peer_take(p), text)
#define NTH(n)           (unsigned long long)world_id(&w, n)
#define DAY_MS           ((int64_t)24 * 3600 * 1000)

static void
path_of(const struct world *w, char out[128], const char *suffix)
{
	(void)snprintf(out, 128, "%s/log%s", w->store->folder, suffix);
}

/* What is under a pattern, from the beginning. */
static const char *
stored(struct world *w, const char *pattern, char out[2048])
{
	static const struct position all = {.kind = POSITION_ALL};
	const char *topics[] = {pattern, NULL};
	struct stream st;

	ck_assert(stream_open(w, 0, &st, topics, &all, NULL));
	world_turn(w);
	(void)snprintf(out, 2048, "%s", stream_take(&st));
	stream_close(&st);
	return out;
}

START_TEST(survives)
{
	char got[2048];
	struct world w;
	struct peer p;
	struct log_extent before;
	struct log_extent after;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(
	    &p, "{'type':'publish','topic':'a','message':'1','title':'T','tags':['x'],'key':'k'}");
	peer_do(&p, "{'type':'publish','topic':'a','data':'text'}");
	peer_do(&p, "{'type':'publish','topic':'a','data':{'n':1},'event':'price'}");
	peer_do(&p, "{'type':'join','room':'r','last':0}");
	peer_do(&p, "{'type':'chat','content':'line\\nbreak \\u00e4','room':'r'}");
	world_turn(&w);
	peer_close(&p, false);
	for (int i = 0; i < 5; i++)
		SAY("three/x", "m");
	SAY("one/x", "");
	world_pass(&w, 60000);
	log_extent(w.log, &before);
	ck_assert(world_restart(&w));
	log_extent(w.log, &after);
	ck_assert_uint_eq(after.begin, before.begin);
	ck_assert_uint_eq(after.last, before.last);
	ck_assert_uint_eq(after.messages, before.messages);
	ck_assert_uint_eq(after.topics, before.topics);
	ck_assert_str_eq(stored(&w, "**", got),
	    "a#1 1; a#2 text; a#3 {\"n\":1}; chat/r#4 ada: line\nbreak ä; three/x#7 m; three/x#8 m; three/x#9 m; "
	    "one/x#10 ; level");
	SAY("b", "m"); /* time has passed */
	ck_assert_str_eq(stored(&w, "b", got), "b#60000000 m; level");
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'subscribe','topic':'three/x','after':%llu}", NTH(5));
	GOT(&p, "subscribed three/x #9; gap three/x after=#5 oldest=#7 trimmed; three/x#7 m; "
		"three/x#8 m; three/x#9 m");
	peer_do(&p, "{'type':'subscribe','topic':'three/*','after':%llu}", NTH(6));
	GOT(&p, "subscribed three/* resumed #60000000; three/x#7 m; three/x#8 m; three/x#9 m");
	peer_do(&p, "{'type':'publish','topic':'a','message':'again','key':'k'}");
	world_turn(&w);
	GOT(&p, "ack #1 again");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* Ids go on above those given, whatever the clock does, also when the newest are gone. */
START_TEST(clock_set_back)
{
	char text[256] = "";
	char got[2048];
	struct world w;

	ck_assert(world_init(&w, NULL));
	world_pass(&w, 3600000);
	SAY("a", "1");
	ck_assert_int_eq(world_say_ttl(&w, "a", "2", 1), 0);
	world_pass(&w, 2000);
	log_sweep(w.log, w.now_ms);
	world_pass(&w, -3600000);
	ck_assert(world_restart(&w));
	SAY("a", "3");
	ck_assert_str_eq(stored(&w, "a", got), "a#3600000000 1; a#3600000002 3; level");
	ck_assert_int_eq(log_health(w.log, w.now_ms, text, sizeof(text)), 1);
	ck_assert(strstr(text, "3598 s ahead") != NULL);
	world_pass(&w, 3600000 - 60000);
	ck_assert_int_eq(log_health(w.log, w.now_ms, text, sizeof(text)), 0);
	world_done(&w);
}
END_TEST

/* A copy of the files as they are now: what a crash leaves behind. */
static void
copy_file(const char *from, const char *to)
{
	char bytes[65536];
	int in = open(from, O_RDONLY);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n;

	ck_assert_int_ge(out, 0);
	while (in >= 0 && (n = read(in, bytes, sizeof(bytes))) > 0)
		ck_assert_int_eq(write(out, bytes, (size_t)n), n);
	(void)close(in);
	(void)close(out);
}

static void
keep(struct world *w)
{
	static const char *const suffixes[] = {"", "-wal"};
	char from[128];
	char to[160];

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		path_of(w, from, suffixes[i]);
		(void)snprintf(to, sizeof(to), "%s.kept", from);
		copy_file(from, to);
	}
	w->crashed = true;
}

static void
crash(struct world *w, enum world_sync sync)
{
	keep(w);
	w->options.sync = sync;
	ck_assert(world_restart(w));
}

START_TEST(unclean_end)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, &(struct world_options){.sync = WORLD_SYNC_FULL}));
	SAY("a", "1");
	SAY("a", "2");
	crash(&w, WORLD_SYNC_FULL); /* every message was safe */
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'subscribe','topic':'a','after':%llu}", NTH(1));
	GOT(&p, "subscribed a resumed #2; a#2 2");
	peer_close(&p, false);
	world_done(&w);

	ck_assert(world_init(&w, &(struct world_options){.sync = WORLD_SYNC_NORMAL}));
	SAY("a", "1");
	SAY("a", "2");
	crash(&w, WORLD_SYNC_NORMAL); /* the newest may be lost */
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'subscribe','topic':'a','after':%llu}", NTH(1));
	GOT(&p, "subscribed a #2; gap a after=#1 oldest=#1 trimmed; a#2 2");
	peer_do(&p, "{'type':'subscribe','topic':'*','after':%llu}", NTH(2));
	GOT(&p, "subscribed * #3; gap * after=#2 oldest=#1 trimmed");
	peer_do(&p, "{'type':'subscribe','topic':'new','after':%llu}", NTH(2));
	GOT(&p, "subscribed new #3; gap new after=#2 oldest=- trimmed");
	SAY("a", "3");
	world_turn(&w);
	(void)peer_take(&p);
	peer_do(&p, "{'type':'subscribe','topic':'a','after':%llu}", NTH(3));
	GOT(&p, "subscribed a resumed #4; a#4 3");
	peer_close(&p, false);
	ck_assert(world_restart(&w)); /* a clean end: nothing more to tell */
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'subscribe','topic':'a','after':%llu}", NTH(3));
	GOT(&p, "subscribed a resumed #4; a#4 3");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/*
 * The power fails: of the write-ahead log there is what was flushed. That the last run had begun was,
 * so what followed is not lost in silence.
 */
static void
fail_power(enum world_sync sync)
{
	const struct world_options options = {.vfs = FAULTY_VFS, .sync = sync};
	char path[128];
	char kept[160];
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, &options));
	SAY("a", "1");
	ck_assert(world_restart(&w));
	SAY("a", "2");
	keep(&w);
	path_of(&w, path, "-wal");
	(void)snprintf(kept, sizeof(kept), "%s.kept", path);
	ck_assert_int_eq(truncate(kept, vfs_flushed()), 0);
	world_pass(&w, 1000);
	ck_assert(world_restart(&w));
	SAY("a", "new");
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'subscribe','topic':'a','after':%llu}", NTH(2));
	GOT(&p, "subscribed a #1000001; gap a after=#2 oldest=#1 trimmed; a#1000001 new");
	peer_close(&p, false);
	world_done(&w);
}

START_TEST(power_fails)
{
	ck_assert(vfs_init());
	fail_power(WORLD_SYNC_NORMAL);
	fail_power(WORLD_SYNC_OFF);
}
END_TEST

static int
open_again(const char *path, bool recover, char error[512])
{
	struct config c = {.refs = 1};
	struct sqlite_options o = {
	    .path = path, .cache = 1 << 20, .keys = 10, .recover = recover, .config = &c};
	struct store *store = NULL;
	int r = sqlite_store_open(&o, error, 512, &store);

	if (r == 0)
		store->ops->free(store);
	return r;
}

START_TEST(one_daemon)
{
	char path[128];
	char error[512];
	struct world w;
	struct stat st;

	ck_assert(world_init(&w, NULL));
	path_of(&w, path, "");
	ck_assert_int_eq(open_again(path, false, error), -EBUSY);
	ck_assert(strstr(error, "another belfryd, process ") != NULL);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	path_of(&w, path, "-wal");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	world_done(&w);
}
END_TEST

static void
spoil(const char *path, off_t at, const char *bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, strlen(bytes), at), (ssize_t)strlen(bytes));
	(void)close(fd);
}

START_TEST(not_ours)
{
	char folder[] = "/tmp/belfry-test-XXXXXX";
	char path[128];
	char error[512];
	sqlite3 *h = NULL;
	struct stat st;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/sub/log", folder);
	ck_assert_int_eq(open_again(path, false, error), 0);
	(void)snprintf(path, sizeof(path), "%s/sub", folder);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0750);
	ck_assert_int_lt(open_again(path, false, error), 0); /* a folder */
	(void)snprintf(path, sizeof(path), "%s/none/sub/log", folder);
	ck_assert_int_eq(open_again(path, false, error), -ENOENT);

	(void)snprintf(path, sizeof(path), "%s/foreign", folder);
	ck_assert_int_eq(sqlite3_open(path, &h), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(h, "CREATE TABLE x (y)", NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(h);
	ck_assert_int_eq(open_again(path, true, error), -EPROTO);
	ck_assert(strstr(error, "not one of belfryd") != NULL);

	(void)snprintf(path, sizeof(path), "%s/later", folder);
	ck_assert_int_eq(open_again(path, false, error), 0);
	ck_assert_int_eq(sqlite3_open(path, &h), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(h, "PRAGMA user_version = 999", NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(h);
	ck_assert_int_eq(open_again(path, true, error), -EPROTO);
	ck_assert(strstr(error,
		      "later version of belfryd: its tables are of version 999, this one knows ") !=
		  NULL);
	(void)snprintf(path, sizeof(path), "rm -r %s", folder);
	ck_assert_int_eq(system(path), 0);
}
END_TEST

START_TEST(damaged)
{
	char folder[] = "/tmp/belfry-test-XXXXXX";
	char path[128];
	char command[160];
	char error[512];

	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/log", folder);
	spoil(path, 0, "this is no database at all, whatever its name says");
	ck_assert_int_eq(open_again(path, false, error), -EUCLEAN);
	ck_assert(strstr(error, "storage.recover = true") != NULL);
	ck_assert_int_eq(open_again(path, false, error), -EUCLEAN); /* and nothing was touched */
	ck_assert_int_eq(open_again(path, true, error), 0);
	(void)snprintf(command, sizeof(command), "grep -q 'no database' %s.corrupt-*", path);
	ck_assert_int_eq(system(command), 0);
	(void)snprintf(command, sizeof(command), "rm -r %s", folder);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

/* A rule that became smaller between two runs is carried out, in steps. */
START_TEST(smaller_rule)
{
	static const struct world_rule smaller[] = {
	    {"a", 2, 0, false}, {"none", 0, 0, false}, {"**", 5000, 0, false}};
	static const struct world_rule larger[] = {{"**", 5000, 0, false}};
	char got[2048];
	struct world w;
	struct log_extent e;

	ck_assert(world_init(&w, &(struct world_options){.rules = larger, .n_rules = 1}));
	for (int i = 0; i < 1200; i++)
		SAY("a", "m");
	SAY("none", "m");
	SAY("b", "m");
	w.options.rules = smaller;
	w.options.n_rules = 3;
	ck_assert(world_restart(&w));
	log_sweep(w.log, w.now_ms);
	ck_assert_str_eq(stored(&w, "**", got), "a#1199 m; a#1200 m; b#1202 m; level");
	log_extent(w.log, &e);
	ck_assert_uint_eq(e.messages, 3);
	world_done(&w);
}
END_TEST

START_TEST(size_is_bounded)
{
	static const struct world_options options = {.max_size = 400000};
	char text[1000];
	struct world w;
	struct log_extent e;

	ck_assert(world_init(&w, &options));
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 1500; i++) {
		char topic[16];

		(void)snprintf(topic, sizeof(topic), "t%d", i % 7);
		SAY(topic, text);
		if (i % 100 == 99)
			log_sweep(w.log, w.now_ms);
	}
	log_extent(w.log, &e);
	ck_assert_uint_le(e.bytes, 400000);
	ck_assert_uint_gt(e.messages, 20);
	ck_assert_uint_lt(e.messages, 400);
	world_done(&w);
}
END_TEST

/* Topics that hold nothing any more leave their rows; how far they were trimmed is known for ever. */
START_TEST(forgotten_topics)
{
	static const struct world_rule rules[] = {{"**", 100, 60000, false}};
	struct world w;
	struct peer p;
	struct log_extent e;

	ck_assert(world_init(&w, &(struct world_options){.rules = rules, .n_rules = 1}));
	SAY("a", "1");
	SAY("a", "2");
	SAY("b", "1");
	world_pass(&w, 60000);
	log_sweep(w.log, w.now_ms);
	log_extent(w.log, &e);
	ck_assert_uint_eq(e.messages, 0);
	ck_assert_uint_eq(e.topics, 2);
	ck_assert(world_restart(&w));
	log_extent(w.log, &e);
	ck_assert_uint_eq(e.topics, 2);
	world_pass(&w, 31 * DAY_MS);
	log_sweep(w.log, w.now_ms);
	log_sweep(w.log, w.now_ms);
	log_extent(w.log, &e);
	ck_assert_uint_eq(e.topics, 0);
	ck_assert(world_restart(&w));
	log_extent(w.log, &e);
	ck_assert_uint_eq(e.topics, 0);
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'subscribe','topic':'a','after':%llu}", NTH(1));
	GOT(&p, "subscribed a #3; gap a after=#1 oldest=- trimmed");
	peer_do(&p, "{'type':'subscribe','topic':'b','after':%llu}", NTH(3));
	GOT(&p, "subscribed b resumed #3");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* A topic that is forgotten and comes back before its row was gone. */
START_TEST(forgotten_and_back)
{
	static const struct world_rule rules[] = {{"**", 100, 1000, false}};
	static const struct world_options options = {.rules = rules, .n_rules = 1, .max_topics = 2};
	char got[2048];
	struct world w;

	ck_assert(world_init(&w, &options));
	for (int i = 0; i < 20; i++) {
		static const char *const names[] = {"a", "b", "c"};

		SAY(names[i % 3], "m");
		world_pass(&w, 2000);
		log_sweep(w.log, w.now_ms);
	}
	SAY("a", "last");
	ck_assert_str_eq(stored(&w, "**", got), "a#40000000 last; level");
	ck_assert(world_restart(&w));
	ck_assert_str_eq(stored(&w, "**", got), "a#40000000 last; level");
	world_done(&w);
}
END_TEST

START_TEST(searched)
{
	struct world w;
	struct peer p;

	ck_assert(world_init(&w, NULL));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	SAY("three/a", "old words");
	SAY("three/a", "some other words");
	log_sweep(w.log, w.now_ms);
	peer_do(&p, "{'type':'history','topic':'**','q':'words'}");
	SAY("three/a", "Übung macht den Meister");
	SAY("three/a", "a fourth");
	SAY("b", "WORDS, again");
	peer_do(&p, "{'type':'history','topic':'**','q':'words'}");
	peer_do(&p, "{'type':'history','topic':'three/*','q':'wor* \\\"other words\\\"'}");
	peer_do(&p, "{'type':'history','topic':'**','q':'ubung'}");
	peer_do(&p, "{'type':'history','topic':'**','q':'old'}");
	peer_do(&p, "{'type':'history','topic':'**','q':'words','limit':1}");
	peer_do(&p, "{'type':'history','topic':'**','q':'words','limit':1,'after':'all'}");
	peer_do(&p, "{'type':'history','topic':'**','q':'words\\\" AND ( NEAR^*:'}");
	peer_do(&p, "{'type':'history','topic':'**','q':'!?'}");
	GOT(&p, "history ** [#1,#2]; history ** [#2,#5]; history three/* [#2]; history ** [#3]; "
		"history ** []; history ** [#5] more; history ** [#2] more; history ** []; "
		"history ** []");
	peer_close(&p, false);
	ck_assert(world_restart(&w));
	ck_assert(peer_open(&w, 0, &p, "ada"));
	peer_do(&p, "{'type':'history','topic':'**','q':'words'}");
	GOT(&p, "history ** [#2,#5]");
	peer_close(&p, false);
	world_done(&w);
}
END_TEST

/* Many topics: more than one read merges, and patterns over all of them. */
START_TEST(many_topics)
{
	char got[2048];
	struct world w;
	size_t n = 0;

	ck_assert(world_init(&w, NULL));
	for (int i = 0; i < 100; i++) {
		char topic[16];

		(void)snprintf(topic, sizeof(topic), "%s/%d", i % 2 == 0 ? "even" : "odd", i % 50);
		SAY(topic, "m");
	}
	ck_assert(world_restart(&w));
	(void)stored(&w, "odd/*", got);
	for (const char *at = got; (at = strstr(at, "odd/")) != NULL; at++)
		n++;
	ck_assert_uint_eq(n, 50);
	ck_assert_ptr_null(strstr(got, "even"));
	ck_assert(strncmp(got, "odd/1#2 m; odd/3#4 m", 20) == 0);
	world_done(&w);
}
END_TEST

/* What is written moves into the database beside the traffic: the file before it stays small. */
START_TEST(wal_is_bounded)
{
	static const struct world_options options = {.wal_pages = 64};
	char text[1000];
	char path[128];
	char got[2048];
	struct world w;
	struct stat st;

	ck_assert(world_init(&w, &options));
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(world_say_often(&w, "a", text, 100), 0);
	SAY("b", "m");
	ck_assert_uint_gt(atomic_load(&sqlite_of(w.store->inner)->figures.n_checkpoints), 1);
	path_of(&w, path, "-wal");
	ck_assert_int_eq(stat(path, &st), 0);
	/* and what one transaction can bring */
	ck_assert_int_le(st.st_size, (64 * SQLITE_WAL_FULL + 300) * 4096);
	crash(&w, WORLD_SYNC_FULL);
	ck_assert_str_eq(stored(&w, "b", got), "b#2001 m; level");
	world_done(&w);
}
END_TEST

struct always_reading {
	char path[128];
	pthread_t thread;
	_Atomic bool is_over;
};

/* There is no moment without a transaction that reads, and none lasts long. */
static void *
read_always(void *arg)
{
	struct always_reading *r = arg;
	struct db dbs[2];
	unsigned at = 0;

	for (unsigned i = 0; i < 2; i++)
		ck_assert_int_eq(
		    db_init(&dbs[i], &(struct db_open){r->path, NULL, false, SYNC_OFF}), 0);
	for (; !atomic_load(&r->is_over); at = !at) {
		ck_assert_int_eq(db_exec(&dbs[at], "BEGIN; SELECT count(*) FROM topics"), 0);
		if (db_is_within(&dbs[!at]))
			ck_assert_int_eq(db_exec(&dbs[!at], "COMMIT"), 0);
		(void)usleep(2000);
	}
	for (unsigned i = 0; i < 2; i++)
		db_done(&dbs[i]);
	return NULL;
}

/* … nor does it grow while the readers always have something to do. */
START_TEST(wal_is_read)
{
	static const struct world_options options = {.wal_pages = 16};
	struct always_reading r = {.is_over = false};
	char text[1000];
	char path[128];
	struct world w;
	struct stat st;

	ck_assert(world_init(&w, &options));
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	path_of(&w, r.path, "");
	ck_assert_int_eq(pthread_create(&r.thread, NULL, read_always, &r), 0);
	for (int i = 0; i < 30; i++)
		ck_assert_int_eq(world_say_often(&w, "a", text, 50), 0);
	path_of(&w, path, "-wal");
	ck_assert_int_eq(stat(path, &st), 0);
	atomic_store(&r.is_over, true);
	ck_assert_int_eq(pthread_join(r.thread, NULL), 0);
	ck_assert_int_le(st.st_size, (16 * SQLITE_WAL_FULL + 300) * 4096);
	world_done(&w);
}
END_TEST

/* A number that the database itself gives. */
static uint64_t
asked(const struct world *w, const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *s = NULL;
	uint64_t n;
	char path[128];

	path_of(w, path, "");
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(s), SQLITE_ROW);
	n = (uint64_t)sqlite3_column_int64(s, 0);
	(void)sqlite3_finalize(s);
	(void)sqlite3_close(db);
	return n;
}

/* More messages at once than a statement takes: each is written, with what belongs to it. */
START_TEST(large_batch)
{
	const unsigned n = 2 * SQLITE_ROWS_MAX + 7;
	struct append *a = append_new(n);
	struct world w;
	char text[16];

	ck_assert(world_init(&w, NULL));
	ck_assert_ptr_nonnull(a);
	for (unsigned i = 0; i < n; i++) {
		struct message_notice notice = {.topic = i % 2 == 0 ? SLICE("even") : SLICE("odd"),
		    .text = slice_str(text),
		    .from = {i % 3 == 0 ? SLICE("ada") : SLICE("bob"), SLICE("Ada")}};

		(void)snprintf(text, sizeof(text), "m%u", i);
		notice.text = slice_str(text);
		a->items[i].message = message_notice(
		    &notice, SLICE_NONE, config_rule(w.config, notice.topic), w.now_ms, 0);
		ck_assert_ptr_nonnull(a->items[i].message);
	}
	a->worker = LOG_NO_WORKER;
	a->now_ms = w.now_ms;
	ck_assert_int_eq(log_append(w.log, a, LOG_NO_WORKER), 0);
	world_turn(&w);
	ck_assert(world_restart(&w));
	ck_assert_uint_eq(
	    asked(&w, "SELECT count(*) FROM messages JOIN topics USING (tid)"
		      " WHERE topics.name = iif((id - (SELECT min(id) FROM messages)) % 2,"
		      " CAST('odd' AS BLOB), CAST('even' AS BLOB))"
		      " AND substr(json, content_at + 1, content_n) ="
		      " CAST('m' || (id - (SELECT min(id) FROM messages)) AS BLOB)"
		      " AND key IS NULL AND target IS NULL AND also IS NULL"
		      " AND user = iif((id - (SELECT min(id) FROM messages)) % 3,"
		      " CAST('bob' AS BLOB), CAST('ada' AS BLOB))"),
	    n);
	world_done(&w);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {survives, clock_set_back, unclean_end, power_fails,
	    one_daemon, not_ours, damaged, smaller_rule, size_is_bounded, forgotten_topics,
	    forgotten_and_back, searched, many_topics, wal_is_bounded, wal_is_read, large_batch,
	    NULL};

	(void)setenv("BELFRY_TEST_STORE", "sqlite", 1);
	return run_tests("sqlite", tests);
}
