/*
 * belfryctl bench: a load generator that checks what it measures. One thread, one epoll loop, and a
 * client of its own for WebSocket, Server-Sent Events and HTTP that does as little as possible for
 * each message, so that one core of it can saturate one core of the daemon. Nothing here is used by
 * other commands.
 */
#ifndef CTL_BENCH_H
#define CTL_BENCH_H

#include "base/buf.h"
#include "ctl/ctl.h"
#include "proto/ws_deflate.h"

#define BENCH_SUB_BUCKETS 32 /* of each power of two: a figure is right within 3 % */
#define BENCH_BUCKETS     (64 * BENCH_SUB_BUCKETS)
#define BENCH_FIGURES     48
#define BENCH_IN_FLIGHT   65536 /* messages under way; a power of two */
#define BENCH_MAX_CONNS   1000000
#define BENCH_MAX_SIZE    (1024 * 1024)

/* --- figures: bench_report.c --- */

/* How often which time was seen, in nanoseconds. */
struct bench_times {
	uint64_t n;
	uint64_t max;
	uint64_t buckets[BENCH_BUCKETS];
};

void bench_times_add(struct bench_times *t, uint64_t ns);
/* The time that `share` (0..1) of all do not exceed; 0 when there are none. */
uint64_t bench_times_at(const struct bench_times *t, double share);

struct bench_figure {
	const char *key;   /* in JSON */
	const char *label; /* for people */
	const char *unit;
	double value;
	unsigned digits; /* behind the point */
};

struct bench_report {
	size_t n;
	struct bench_figure figures[BENCH_FIGURES];
	struct buf series; /* JSON: samples of milliseconds, heap, resident bytes; or empty */
};

/* All three texts are borrowed static ones. */
void bench_report_add(struct bench_report *r, const char *key, const char *label, const char *unit,
    double value, unsigned digits);
/* Quantiles of t as key_p50, … in microseconds. */
void bench_report_times(struct bench_report *r, const struct bench_times *t);
void bench_report_print(const struct bench_report *r, const char *mode, bool is_json);

/* Monotonic nanoseconds. */
uint64_t bench_now_ns(void);

/* --- messages with a number: bench_number.c --- */

#define BENCH_DIGITS 12 /* of a number */

/* A client's `chat` with a place for its number in the content. */
struct bench_numbered {
	struct buf json;
	size_t number_at;
};

struct bench_conn;

/* What is wrong with the deliveries: numbers of messages. */
struct bench_faults {
	uint64_t lost;
	uint64_t told; /* missing, and the daemon said so */
	uint64_t repeated;
	uint64_t disordered;
	uint64_t unacknowledged;
};

/*
 * members: borrowed JSON put before the content, such as `"room":"x",`; size: bytes of content. 0,
 * or the exit code; buf_done(&m->json) in any case.
 */
MUST_CHECK int bench_numbered_init(struct bench_numbered *m, const char *members, uint64_t size);
/* The message with that number, borrowed until the next call. */
struct slice bench_numbered(struct bench_numbered *m, uint64_t number);
/* BENCH_DIGITS digits at `at`. */
void bench_put_digits(char *at, uint64_t number);
uint64_t bench_get_digits(const char *at);
/*
 * The number that a message as the daemon sends it carries; false when it carries none. *hint
 * remembers where it stood: most often it stands there again.
 */
bool bench_number_of(size_t *hint, struct slice m, uint64_t *number);
/* The whole number behind name (quotes and colon included) in JSON; 0 when it is not there. */
uint64_t bench_member(struct slice m, const char *name);
/*
 * A connection got the message `number`; the next one in its room is `step` further. Loss shows as
 * a number passed over, a repeat or a disorder as one that is not newer than the last.
 */
void bench_count(struct bench_conn *c, uint64_t number, uint64_t step);
/* What the counts come to, of a connection that ought to have `sent` messages. */
void bench_faults_add(struct bench_faults *f, const struct bench_conn *c, uint64_t sent);
/* 0 when nobody misses anything, else EX_SOFTWARE. */
MUST_CHECK int bench_report_faults(struct bench_report *r, const struct bench_faults *f);
/* 64 bits at random, the same ones from the same *dice. */
uint64_t bench_random(uint64_t *dice);

/* --- connections: bench_conn.c --- */

enum bench_kind {
	BENCH_CHAT,   /* a WebSocket in a room; open once it has joined */
	BENCH_ECHO,   /* a WebSocket at /echo */
	BENCH_EVENTS, /* an event stream */
	BENCH_CALLS,  /* requests one after the other */
	BENCH_LOBBY   /* a WebSocket in no room; open once it is welcome */
};

enum bench_state {
	BENCH_NEW,
	BENCH_CONNECTING,
	BENCH_HANDSHAKE,
	BENCH_JOINING,
	BENCH_OPEN,
	BENCH_ENDED
};

struct bench;

struct bench_conn {
	int fd; /* -1: none */
	uint32_t number;
	uint32_t room;
	uint64_t after; /* BENCH_CHAT: resume behind this id; 0: from now on */
	uint8_t kind;
	uint8_t state;
	bool is_dirty;    /* in bench.dirty */
	bool wants_write; /* EPOLLOUT is asked for */
	bool is_paused;   /* not read */
	char *rest;       /* unfinished input */
	size_t rest_n;
	struct buf out;
	char *token; /* its own, from the first handshake on; or NULL */
	uint64_t started_ns;
	/* what has come, by bench_count; others use it as they like */
	uint64_t expected; /* the next message's number */
	uint64_t received;
	uint64_t skipped; /* numbers passed over */
	uint64_t filled;  /* … that came later */
	uint64_t repeated;
	uint32_t gaps; /* told by the daemon */
};

struct bench_options {
	const char *config;
	const char *mode;
	const char *room;
	bool is_json;
	bool is_sse;
	bool is_deflate; /* offer compression */
	bool is_busy;    /* look at the sockets without a pause, see bench_turn */
	bool has_token_each;
	bool has_restarts; /* the daemon may end and come back */
	int64_t pid;       /* of the daemon; 0: not known */
	uint64_t connections;
	uint64_t rooms;
	uint64_t window;
	uint64_t rate; /* messages a second in the open loop; 0: closed loop */
	uint64_t size; /* bytes of content */
	uint64_t seconds_ms;
	uint64_t warmup_ms;
	uint64_t pause_ms;
	uint64_t within_ms; /* in which the storm's clients come back */
	uint64_t live;      /* members of the room that is live in a storm */
	uint64_t messages;  /* in the log before history is read */
	uint64_t page;      /* messages read at a time */
	uint64_t seed;
};

struct bench {
	struct bench_options o;
	struct bench_report report;
	struct bench_times times;
	struct ctl_target target;
	struct config *config; /* NULL: none was given */
	void *address;         /* struct addrinfo of the daemon */
	char host[256];        /* as in the header */
	int epoll;
	struct bench_conn *conns;
	size_t n_conns;
	size_t n_open;
	size_t n_opening;
	struct bench_conn **dirty; /* with output to flush */
	size_t n_dirty;
	char *read_buffer;
	uint64_t now_ns; /* of the last read */
	struct buf scratch;
	struct ws_inflater *inflater; /* NULL: no compression was offered */
	struct buf inflated;
	uint64_t n_inflated;
	bool failed; /* said on stderr; the run ends */
	/* of the mode */
	void (*on_open)(struct bench *b, struct bench_conn *c);
	/* It is closed, and not by us. NULL: then the run fails. */
	void (*on_lost)(struct bench *b, struct bench_conn *c);
	/*
	 * A WebSocket's message, an event stream's block, or an answer's body (status 200);
	 * borrowed.
	 */
	void (*on_message)(struct bench *b, struct bench_conn *c, struct slice m);
	void *mode;
};

/*
 * Finds the daemon and makes n connections of no kind yet. 0, or the exit code; bench_done in any
 * case.
 */
MUST_CHECK int bench_init(struct bench *b, size_t n);
void bench_done(struct bench *b);
/* Say why the run ends, once. */
void bench_fail(struct bench *b, const char *fmt, ...) PRINTF(2, 3);
/* Start to open one: its kind and room are set. */
void bench_open(struct bench *b, struct bench_conn *c);
/* Open connections [from, to), some at a time, and wait for them. */
void bench_open_all(struct bench *b, size_t from, size_t to);
/* A reset, so that no port of ours waits. */
void bench_close(struct bench *b, struct bench_conn *c);
/* Queue a masked frame: it goes out at the next bench_turn. */
void bench_send(struct bench *b, struct bench_conn *c, bool is_binary, struct slice payload);
/* Queue bytes as they are. */
void bench_send_raw(struct bench *b, struct bench_conn *c, struct slice bytes);
/* Read it no more, or again. */
void bench_pause(struct bench *b, struct bench_conn *c, bool pause);
/* Write what is queued, wait at most until until_ns for something (--busy: not at all), and handle what came. */
void bench_turn(struct bench *b, uint64_t until_ns);

/* --- the daemon: bench_daemon.c --- */

/* What the daemon tells of itself; 0: it does not. */
struct bench_metrics {
	uint64_t heap_bytes;
	uint64_t resident_bytes;
	uint64_t topics;
	uint64_t messages; /* in its log */
	uint64_t pid;
};

/* Ask /metrics; waits for the answer. 0, or the exit code, said on stderr: nobody answers. */
MUST_CHECK int bench_ask(const struct bench *b, struct bench_metrics *out);
/*
 * Set b->o.pid, unless it was given, if the daemon is on this machine and tells it. As bench_ask.
 */
MUST_CHECK int bench_find_pid(struct bench *b);
/* CPU time that a process has used, in nanoseconds; 0 when that cannot be told. */
uint64_t bench_cpu_ns(int64_t pid);
/*
 * Resident memory of a process that is its own (not of files), in bytes; 0 when that cannot be
 * told.
 */
uint64_t bench_resident_bytes(int64_t pid);

/* --- the daemon's memory over a run: bench_memory.c --- */

#define BENCH_SAMPLES 4096 /* one a second, an hour and more */

struct bench_sample {
	uint64_t at_ms; /* since the first one */
	uint64_t heap_bytes;
	uint64_t resident_bytes;
};

struct bench_series {
	size_t n;
	uint64_t began_ns;
	uint64_t due_ns;
	struct bench_sample samples[BENCH_SAMPLES];
};

/* Takes a sample when one is due; waits for the daemon's answer. */
void bench_series_take(struct bench *b, struct bench_series *s, uint64_t now_ns);
/* The last sample, and by how much memory grew in the second half; nothing when there are few. */
void bench_series_report(struct bench_report *r, const struct bench_series *s);

/* --- modes: 0, or the exit code --- */

int bench_fanout(struct bench *b);
int bench_rooms(struct bench *b);
int bench_slow(struct bench *b);
int bench_idle(struct bench *b);
int bench_connect(struct bench *b);
int bench_echo(struct bench *b);
int bench_publish(struct bench *b);
int bench_history(struct bench *b);
int bench_storm(struct bench *b);
int bench_churn(struct bench *b);

#endif
