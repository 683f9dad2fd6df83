/*
 * The whole daemon in the test's own thread, behind a real listener, and clients on real sockets: its
 * main loop and two workers are turned by hand until nothing moves any more, so that a run is the same
 * each time and the n-th allocation is always the same one; with a store on disk nearly so. The clients
 * allocate nothing.
 */
#ifndef TESTS_UNIT_RIG_H
#define TESTS_UNIT_RIG_H

#include "daemon/server.h"
#include "proto/json.h"
#include "proto/ws.h"

#define RIG_CLIENTS 8
#define RIG_WORKERS 2
#define RIG_SAID    96
#define RIG_BIG     (300 * 1024) /* bytes of big.bin, which is streamed */

enum rig_token {
	RIG_ADA,
	RIG_BOB,
	RIG_BOB_LESS, /* the same user, with fewer grants */
	RIG_ADMIN,
	RIG_TOKENS,
};

struct rig_client {
	int fd; /* -1: not connected */
	char in[1024 * 1024];
	size_t n;
	size_t at;              /* of what was looked at already: the next answer's start */
	char text[1024 * 1024]; /* WebSocket: messages, a line each; a stream: its body */
	size_t text_n;
	size_t frames_at; /* of `in` */
	bool is_ws;
	bool is_json; /* … without format=text or raw */
	bool has_ended;
	bool is_deaf;    /* does not read */
	bool is_strange; /* sent what no server sends */
	int close_code;
};

/* A message that a life has sent. */
struct rig_said {
	char topic[64];
	char text[32]; /* of its own */
	int client;    /* whose WebSocket: the ack is there; -1: it was a POST */
	unsigned ref;
	bool is_acked;
	bool is_refused;
};

struct rig_listener {
	int client;
	char topic[64];
	size_t from; /* messages said before */
};

struct rig {
	struct server *server;
	struct setup *setup;
	char dir[64];
	char path[80]; /* of the listener */
	char *tokens[RIG_TOKENS];
	struct rig_client clients[RIG_CLIENTS];
	struct rig_said said[RIG_SAID];
	size_t n_said;
	struct rig_listener listeners[16];
	size_t n_listeners;
	unsigned refs;
	unsigned long failures; /* before this step */
	bool only_own;          /* the libraries' allocations do not fail */
	bool on_disk;           /* the log is in SQLite: its threads run beside this one */
	bool is_spoilt;         /* a failure was felt: what follows may be refused for its sake */
	const char *what;       /* the step, for messages */
	char name[80];          /* the run */
};

/* Files, configuration and tokens, once for a test program's process. on_disk is set before. */
void rig_prepare(struct rig *r);
void rig_finish(struct rig *r);
/* A fresh daemon; and its end, all memory given back. */
void rig_open(struct rig *r);
void rig_close(struct rig *r);
/* Turns everything until nothing moves, and nothing that was handed to the store is under way. */
void rig_pump(struct rig *r);
/* For what a thread of the store is still at: waits a moment. False when it has been too long. */
bool rig_wait(struct rig *r, unsigned *waited);

/* Whether an allocation has failed since the step began, so that it may be refused. */
bool rig_has_failed(const struct rig *r);
/* Ends the test, naming the step. */
void rig_fail(const struct rig *r, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

/* --- connections --- */
void rig_connect(struct rig *r, int client);
void rig_hang_up(struct rig *r, int client);
void rig_send(struct rig *r, int client, const char *p, size_t n);

struct rig_answer {
	int status; /* 0: none, the connection was closed */
	const char *head;
	const char *body;
	size_t n;
};
/*
 * One request on a connection of its own or the one that stands; its answer, which is `wanted`, or
 * after a failure 500, 503 or the connection's end. status 0 and nothing else tells of those.
 */
struct rig_answer rig_ask(struct rig *r, int client, int wanted, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* --- WebSocket and streams --- */
/* True when it was opened. */
bool rig_ws(struct rig *r, int client, enum rig_token token, const char *query, bool deflate);
/* One text message, its JSON with ' for ". False when it has ended. */
bool rig_say(struct rig *r, int client, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void rig_frame(struct rig *r, int client, unsigned first_byte, const char *p, size_t n);
bool rig_stream(
    struct rig *r, int client, enum rig_token token, const char *path, const char *headers);
/* Whether the text has come (and the connection is a sound one). */
bool rig_has(const struct rig *r, int client, const char *text);
size_t rig_count(const struct rig *r, int client, const char *text);

/* --- what must hold --- */
/* A request of this client, with a ref of its own, that has an answer or the connection's end. */
unsigned rig_ref(struct rig *r);
/* Registers a message to be said: its text. NULL client: a POST. */
struct rig_said *rig_message(struct rig *r, const char *topic, int client);
void rig_chat(struct rig *r, int client, const char *room);
void rig_publish(
    struct rig *r, int client, const char *topic, const char *type, const char *body_fmt);
void rig_listen(struct rig *r, int client, const char *topic);
/* The end of a life, the failure switched off: everything that was promised holds. */
void rig_audit(struct rig *r);

#endif
