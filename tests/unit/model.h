/*
 * A world in which clients are cut off at any place: what was published, as a witness saw it; clients of
 * /events, of chats over SSE (both with the real endpoints, whose bytes are read as EventSource does) and
 * sessions as WebSockets have them; and the question whether what a client has, together with what it gets
 * when it resumes with the cursor that it has there, is everything, once, in order, or a gap that tells
 * what is missing. For tests/unit/test_model.c.
 */
#ifndef TESTS_UNIT_MODEL_H
#define TESTS_UNIT_MODEL_H

#include <stdio.h>
#include <stdlib.h>

#include "core/session.h"
#include "net/conn.h"
#include "tests/unit/support_hub.h"

#define MODEL_POSTS    2000
#define MODEL_ITEMS    4000
#define MODEL_PATTERNS 4
#define MODEL_SUBS     4
#define MODEL_CLIENTS  6

/* What was published and has an id. */
struct post {
	uint64_t id;
	uint64_t target; /* of a record; 0: a message */
	char topic[32];
	char also[32]; /* "": none */
	char text[24];
	bool is_deletion, is_reaction, is_off;
	int64_t time_ms, ends_ms;
	unsigned owner; /* the client that sent it, from 1 on; 0: none of them */
};

/* What became of a message, as far as somebody knows. */
struct state {
	char text[24];
	bool is_deleted, is_reacted;
};

enum item_kind {
	ITEM_MESSAGE,
	ITEM_GAP,
	ITEM_ID, /* moves the cursor, says nothing */
};

/* What a client got. */
struct item {
	enum item_kind kind;
	uint64_t id;     /* of a gap over SSE its place */
	uint64_t cursor; /* of a stream: EventSource's, behind it */
	uint64_t last;   /* of the log then */
	char place[32];  /* of a WebSocket's gap */
	char reason[12];
	struct state state;
	unsigned connection;
};

struct items {
	struct item *all;
	size_t n;
};

enum client_kind {
	CLIENT_EVENTS,
	CLIENT_CHAT, /* over SSE */
	CLIENT_SESSION,
};

/* What a client reads, and from where on it wants everything. */
struct wish {
	char name[32]; /* a topic or pattern; "": none */
	uint64_t base; /* it wants what is above */
	/* of a question: what is up to here need not be there any more */
	uint64_t asked_upto;
	bool is_question; /* of all that the answer begins with its first message is wanted */
	bool has_asked_again;
	bool is_left;
	uint64_t cursor; /* of a session's: the last id, or where it began; 0: none yet */
	size_t since;    /* its first item */
};

struct conn { /* of the test: stands in for net's */
	struct client *client;
	const struct conn_ops *ops;
	void *data;
	struct items *sink;
	char *bytes; /* of a block that is not whole yet */
	size_t n;
	uint64_t cursor;
	uint64_t number;
	unsigned room, queued;
	bool is_ended;
	char session[64]; /* of a chat */
};

struct client {
	struct model *model;
	enum client_kind kind;
	bool is_open;
	unsigned hub;
	struct items items;
	size_t n_checked;
	struct wish wishes[MODEL_SUBS]; /* of a chat the first is its home */
	unsigned n_wishes;
	struct conn conn;
	struct session session;
	struct caller caller;
	unsigned room, queued;
	unsigned n_connections;
	char request[256]; /* of a stream */
	char then[128];    /* what it sends as soon as it has an ack; "": nothing */
};

struct model {
	struct world w;
	struct post posts[MODEL_POSTS];
	size_t n_posts;
	struct subscriber witness;
	struct client clients[MODEL_CLIENTS];
	struct items stored; /* what the log has, at this moment */
	uint64_t seed, random;
	bool is_loud;
	unsigned n_texts;
	unsigned long n_probes;
};

static inline void
copy(char *to, size_t size, struct slice from)
{
	(void)snprintf(to, size, "%.*s", SLICE_ARG(from));
}

/* A condition of the tests themselves, or of what is never to happen. */
#define NEED(what)                                                                                 \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			(void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);           \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

bool model_open(struct model *m, uint64_t seed, const struct world_options *options);
void model_close(struct model *m);
/* All clients are closed: the daemon, with a database, ends and begins anew. */
void model_restart(struct model *m);
unsigned model_random(struct model *m, unsigned n);
/* The newest id of the log. */
uint64_t model_last(struct model *m);
/* Pages of history, in one direction and in the other, are what the log has. */
void model_check_history(struct model *m, const char *pattern, unsigned limit);
/* The witness has heard of everything. */
void model_hear(struct model *m);
const struct post *model_post(const struct model *m, uint64_t id);

/* Adds a message or gap that came as JSON; NULL when it is neither. */
struct item *model_add_json(struct model *m, struct items *to, struct slice text);
void model_show(const struct model *m, const struct item *i, const char *what);
/* The endpoints' surroundings. */
void model_serve(struct model *m);

/* query: topics of /events, or "room=…" of a chat, with where it begins. cursor 0: none. */
void client_stream(
    struct client *c, enum client_kind kind, unsigned hub, const char *query, uint64_t cursor);
void client_session(struct client *c, unsigned hub);
void client_close(struct client *c);
/* A client message, ' for ". */
void client_do(struct client *c, const char *fmt, ...) PRINTF(2, 3);
void client_drain(struct client *c);
/* Cut at every place since the last time: nothing is lost, nothing comes twice. */
void client_check(struct client *c);

#endif
