/*
 * One WebSocket to the daemon, over whatever libcurl reaches it by (TCP, TLS, a Unix socket, a proxy).
 * It never blocks: link_wait waits for it and for others. One thread.
 */
#ifndef CTL_CHAT_LINK_H
#define CTL_CHAT_LINK_H

#include <poll.h>

#include "ctl/ctl.h"
#include "proto/ws.h"

enum link_state {
	LINK_DOWN,
	LINK_CONNECTING,
	LINK_SHAKING, /* the handshake's answer is awaited */
	LINK_UP,
	LINK_CLOSING, /* our close frame is on its way, or the daemon's was answered */
};

struct link {
	enum link_state state;
	CURLM *multi;
	CURL *handle;
	struct buf in;
	struct buf out;
	struct buf message; /* of fragments */
	char accept[WS_ACCEPT_SIZE];
	uint64_t changed_ms; /* when the state did */
	uint64_t heard_ms;   /* when the daemon's last bytes came */
	/* called with each message */
	void (*on_message)(void *arg, struct slice json);
	void *arg;
	/* how the last one ended; they stay until the next link_open */
	CURLcode error;
	long status;        /* HTTP's, when it was not the handshake's; else 0 */
	struct buf problem; /* that answer's body */
	int close_code;     /* 0: no close frame came */
	bool was_up;
};

void link_init(struct link *l, void (*on_message)(void *arg, struct slice json), void *arg);
void link_done(struct link *l);
/*
 * Begin to connect: url_path is path and query. 0, or an exit code (said on stderr). Then it is
 * LINK_CONNECTING, and goes on in link_turn.
 */
MUST_CHECK int link_open(
    struct link *l, const struct ctl_target *t, const char *url_path, uint64_t now_ms);
/* Queue a text message. Failures show as the end of the link. */
void link_send(struct link *l, struct slice text);
/* Queue a close frame (1000). */
void link_close(struct link *l, uint64_t now_ms);
/* End it at once. */
void link_drop(struct link *l);
/*
 * Wait until something is there on the link, or can be read from one of the n other descriptors (n at
 * most 2; their revents are set), at most ms.
 */
void link_wait(struct link *l, struct pollfd *others, unsigned n, uint64_t ms);
/* Do what can be done without waiting. The state says how far it is. */
void link_turn(struct link *l, uint64_t now_ms);

#endif
