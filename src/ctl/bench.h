/*
 * belfryctl bench: a load generator that checks what it measures. One thread, one epoll loop, and a client of its own for WebSocket, Server-Sent Events and
 * HTTP that does as little as possible for each message, so that one core of it can saturate one core of the daemon. Nothing here is used by other commands.
 */
#ifndef CTL_BENCH_H
#define CTL_BENCH_H

#include "base/buf.h"
#include "ctl/ctl.h"

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
};

/* All three texts are borrowed static ones. */
void bench_report_add(struct bench_report *r, const char *key, const char *label, const char *unit,
    double value, unsigned digits);
/* Quantiles of t as key_p50, … in microseconds. */
void bench_report_times(struct bench_report *r, const struct bench_times *t);
void bench_report_print(const struct bench_report *r, const char *mode, bool is_json);

/* Monotonic nanoseconds. */
uint64_t bench_now_ns(void);
/* CPU time that a process has used, in nanoseconds; 0 when that cannot be told. */
uint64_t bench_cpu_ns(int64_t pid);
/* Resident memory of a process that is its own (not of files), in bytes; 0 when that cannot be told. */
uint64_t bench_resident_bytes(int64_t pid);

/* --- connections: bench_conn.c --- */

enum bench_kind {
	BENCH_CHAT,   /* a WebSocket in a room; open once it has joined */
	BENCH_ECHO,   /* a WebSocket at /echo */
	BENCH_EVENTS, /* an event stream */
	BENCH_POST    /* requests one after the other */
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
	uint8_t kind;
	uint8_t state;
	bool is_dirty;    /* in bench.dirty */
	bool wants_write; /* EPOLLOUT is asked for */
	bool is_paused;   /* not read */
	char *rest;       /* unfinished input */
	size_t rest_n;
	struct buf out;
	uint64_t started_ns;
	/* what has come, by bench_fan.c; others use it as they like */
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
	bool has_token_each;
	int64_t pid; /* of the daemon; 0: not known */
	uint64_t connections;
	uint64_t rooms;
	uint64_t window;
	uint64_t rate; /* messages a second in the open loop; 0: closed loop */
	uint64_t size; /* bytes of content */
	uint64_t seconds_ms;
	uint64_t warmup_ms;
	uint64_t pause_ms;
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
	bool failed; /* said on stderr; the run ends */
	/* of the mode */
	void (*on_open)(struct bench *b, struct bench_conn *c);
	/* A WebSocket's message, an event stream's block, or an answer's body (status 200); borrowed. */
	void (*on_message)(struct bench *b, struct bench_conn *c, struct slice m);
	void *mode;
};

/* Finds the daemon and makes n connections of no kind yet. 0, or the exit code; bench_done in any case. */
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
/* Write what is queued, wait at most until until_ns for something, and handle what came. */
void bench_turn(struct bench *b, uint64_t until_ns);

/* --- modes: 0, or the exit code --- */

int bench_fanout(struct bench *b);
int bench_rooms(struct bench *b);
int bench_slow(struct bench *b);
int bench_idle(struct bench *b);
int bench_connect(struct bench *b);
int bench_echo(struct bench *b);
int bench_publish(struct bench *b);

#endif
