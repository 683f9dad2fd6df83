/*
 * What the endpoints of one worker share, and the steps that most of them take first: who asks
 * (authenticate), from where (Origin, Host), answer in the right form. Worker thread only.
 */
#ifndef SERVE_SERVE_H
#define SERVE_SERVE_H

#include "core/config.h"
#include "core/error.h"
#include "core/inbox.h"
#include "core/token.h"
#include "net/exchange.h"
#include "net/net.h"

struct hub;
struct diag;
struct files;
struct gate;
struct limiter;

struct serve {
	struct hub *hub; /* the worker's domain: log, subscriptions, counters, clock */
	struct config *config;
	struct keyring *keyring; /* of this configuration; shared by the workers */
	struct token_cache *tokens;
	struct files *files; /* cache of static files of this worker */
	struct diag *diag;
	const struct serve_process *process; /* what only the whole process knows */
	/*
	 * by address, for guest_tokens_per_minute; shared by the workers, the process's; NULL:
	 * no limit
	 */
	struct limiter *guests;
	struct gate *gate; /* connections and rates of the whole process; serve/admission.h */
	struct net *net;   /* this worker's, for the clocks of the turn */
};

/* Asked of the process; thread-safe. */
struct serve_process {
	void *ctx;
	/* Ready: 0, or 1 with a warning in text. Not ready: negative, with the reason. */
	int (*ready)(void *ctx, char *text, size_t n);
	/* Prometheus text of the whole process appended to out. */
	void (*metrics)(void *ctx, struct buf *out);
	bool (*is_draining)(void *ctx);
	/* Figures of the process: members of a JSON object. */
	void (*stats)(void *ctx, struct buf *out);
	/* As SIGHUP, and as SIGTERM. */
	void (*reload)(void *ctx);
	void (*drain)(void *ctx);
	/*
	 * Run item on another worker's thread, soon, in order, with that worker's context. The
	 * item belongs to its run from then on.
	 */
	void (*post)(void *ctx, unsigned worker, struct inbox_item *item);
	unsigned n_workers;
};

/* The time of this loop turn. */
int64_t serve_now_s(const struct serve *s);

/* The router that net calls; serve/route.c. */
void serve_on_head(struct exchange *x);
void serve_on_request(struct exchange *x);

/*
 * Who asks. Finds the token (docs/wire.md, "Tokens", has the order), verifies it, and when the
 * cookie was used on a changing request, WebSocket or stream demands an allowed Origin. 0 and *out
 * (one reference); or -1 after having answered (401/400/403).
 *
 * changes   the request changes something, or opens a WebSocket or a stream
 */
MUST_CHECK int serve_authenticate(struct exchange *x, bool changes, struct claims **out);
/*
 * The same without answering: -1 with *r filled. *found tells whether any token was there at
 * all.
 */
MUST_CHECK int serve_find_token(
    struct exchange *x, bool changes, struct claims **out, struct refusal *r, bool *found);

/* hub->verify: a token that came in a `refresh`. */
MUST_CHECK int serve_verify_refresh(
    struct hub *h, struct slice token, struct claims **out, struct refusal *r);

/* Origin allowed (absent counts as allowed)? On no: *r filled, -1. */
MUST_CHECK int serve_check_origin(struct exchange *x, struct refusal *r);
/* Host in `hosts`? On no: *r (421), -1. */
MUST_CHECK int serve_check_host(struct exchange *x, struct refusal *r);
/*
 * Adds CORS and Vary headers for the request's Origin when it is allowed. The router calls it
 * for every exchange before anything else is decided, so that every answer has them; a second
 * call adds nothing.
 */
void serve_cors(struct exchange *x);
/* Answers a preflight (OPTIONS with Access-Control-Request-Method); allow: "GET, POST". */
void serve_preflight(struct exchange *x, const char *allow);

/*
 * Answer with a refusal: problem document, WWW-Authenticate where RFC 6750 wants it,
 * Retry-After, no-store; counted by code. Before the body was read (in on_head) the connection
 * ends with the answer when a body is announced: its bytes must never be taken for a request.
 */
void serve_refuse(struct exchange *x, const struct refusal *r);
#define CHALLENGE_MAX 640
/* What WWW-Authenticate says of it (RFC 6750, section 3), appended; nothing where it is not due. */
void serve_challenge(struct buf *out, const struct refusal *r, int status);
/* Add Retry-After; 0 seconds: nothing is said. */
void serve_retry_after(struct exchange *x, uint32_t seconds);
/*
 * Every refusal on its way to a peer passes here once, whatever carries it: counted; what a token
 * does not permit is logged, and explained to its bearer with auth.explain only. Returns what to
 * tell: r, or *veiled.
 *
 * who   for the log: "request=… peer=…"
 */
const struct refusal *serve_note_refusal(
    const struct serve *s, const char *who, const struct refusal *r, struct refusal *veiled);
/* Answer with JSON that nobody stores (Cache-Control: no-store). */
void serve_json(struct exchange *x, int status, struct slice json);
/* The same with what was written into a buf, or 503 when that failed. */
void serve_json_buf(struct exchange *x, int status, const struct buf *json);

/*
 * The body's media type without its parameters, borrowed; absent when nothing is said. 0, or -1
 * with *r when it is said twice: who looks at the one may not see the other.
 */
MUST_CHECK int serve_media(const struct exchange *x, struct slice *out, struct refusal *r);

/* The worker's serve context of an exchange. */
static inline struct serve *
serve_of(const struct exchange *x)
{
	return x->net->owner;
}

/* --- endpoints: called by the router with the request whole --- */
void serve_files(struct exchange *x);
void serve_chat(struct exchange *x);
void serve_chat_post(struct exchange *x, struct slice session_id);
void serve_events(struct exchange *x);
void serve_publish(struct exchange *x,
    struct slice topic_encoded); /* what followed /publish/, absent for /publish */
void serve_cancel(struct exchange *x, struct slice number); /* DELETE of it */
void serve_scheduled(struct exchange *x);                   /* the list, for whom admin.c lets in */
void serve_history(struct exchange *x);
void serve_echo(struct exchange *x);
void serve_token(struct exchange *x);
void serve_healthz(struct exchange *x);
void serve_readyz(struct exchange *x);
void serve_metrics(struct exchange *x);
void serve_admin(struct exchange *x, struct slice path); /* what follows /api/, absent for /api */
/* What is there takes: bits of enum http_method, 0 when nothing is there. */
unsigned serve_admin_methods(struct slice path);

/* --- moderate.c --- */
struct measure;
/* hub->reach. */
void serve_reach(struct hub *h, struct measure *m);
/* POST /api/<name> of an administrator: kind is the enum measure_kind. */
void serve_measure(struct exchange *x, unsigned kind, const struct claims *who);
/* GET /api/bans and the like; tail is absent. */
void serve_bans(struct exchange *x, struct slice tail);
void serve_mutes(struct exchange *x, struct slice tail);
void serve_revocations(struct exchange *x, struct slice tail);

/* --- files_cache.c --- */
/* An empty cache; NULL on no memory. */
MUST_CHECK struct files *files_new(void);
/* NULL is fine. */
void files_free(struct files *f);

#endif
