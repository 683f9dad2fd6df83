#include "base/mem.h"
#include "proto/json.h"
#include "serve/chat.h"

/*
 * POST /chat/{session}: one client message into a chat over SSE. The stream may live on another
 * worker: the request travels there, the command runs there with the request as its caller, and
 * the answer travels back.
 */

struct post {
	struct caller caller;
	struct inbox_item item;
	struct serve *home;      /* where the exchange lives */
	struct exchange *x;      /* held; touched at home only */
	struct serve *there;     /* where the session lives */
	struct session *session; /* valid while the command runs */
	unsigned home_worker;
	bool is_json;
	bool is_answered;
	bool is_lost; /* there is no memory for the answer */
	int status;
	uint32_t retry_after_s;  /* 0: not said */
	struct slice session_id; /* all three behind the struct */
	struct slice user_id;
	struct slice body;
	struct buf answer;
	struct buf challenge; /* of WWW-Authenticate; empty: none is due */
};

static void
post_free(struct post *p)
{
	caller_done(&p->caller);
	exchange_release(p->x);
	buf_done(&p->answer);
	buf_done(&p->challenge);
	mem_free(p);
}

/* At home again. */
static void
reply(struct serve *home, struct inbox_item *item)
{
	struct post *p = CONTAINER(item, struct post, item);

	(void)home;
	serve_retry_after(p->x, p->retry_after_s);
	if (p->challenge.n > 0)
		exchange_header(p->x, "WWW-Authenticate", buf_slice(&p->challenge));
	if (p->is_lost)
		exchange_abandon(p->x);
	else if (p->status == 204)
		exchange_reply(p->x, 204, NULL, SLICE(""));
	else
		serve_json(p->x, p->status, buf_slice(&p->answer));
	post_free(p);
}

/* The one answer of this request: takes p. */
static void
send_home(struct post *p)
{
	const struct serve_process *process = p->there->process;

	p->item.run = reply;
	if (p->home == p->there)
		reply(p->home, &p->item);
	else
		process->post(process->ctx, p->home_worker, &p->item);
}

static struct post *
post_of(struct caller *c)
{
	return CONTAINER(c, struct post, caller);
}

static void
on_answer(struct caller *c, const char *type, struct slice json)
{
	struct post *p = post_of(c);

	(void)type;
	if (p->is_answered)
		return;
	p->status = 200;
	p->is_lost = buf_add_slice(&p->answer, json) < 0;
	p->is_answered = true;
}

static void
on_refuse(struct caller *c, const struct refusal *r, struct slice ref)
{
	struct post *p = post_of(c);
	struct refusal veiled;

	if (p->is_answered)
		return;
	r = serve_note_refusal(p->there, "door=post", r, &veiled);
	p->status = r->status != 0 ? r->status : error_status(r->code);
	p->retry_after_s = r->retry_after_s;
	serve_challenge(&p->challenge, r, p->status);
	p->is_lost = session_error(&p->answer, r, ref) < 0 || p->challenge.failed;
	p->is_answered = true;
}

static void
on_lost(struct caller *c)
{
	struct post *p = post_of(c);

	p->is_lost = p->is_lost || !p->is_answered;
	p->is_answered = true;
}

/* An append came back: the answer is complete. */
static void
on_pending(struct caller *c)
{
	struct post *p = post_of(c);

	if (p->session == NULL && c->n_pending == 0 && p->is_answered)
		send_home(p);
}

static const struct caller_ops caller_ops = {on_answer, on_refuse, on_lost, on_pending};

static void
not_found(struct post *p)
{
	struct refusal why;

	(void)refuse(
	    &why, ERROR_NOT_FOUND, "there is no such chat session of yours, or it has ended");
	on_refuse(&p->caller, &why, SLICE_NONE);
	send_home(p);
}

/* On the worker where the session lives. */
static void
run_there(struct serve *there, struct inbox_item *item)
{
	struct post *p = CONTAINER(item, struct post, item);
	struct session *s = map_get(&there->hub->sessions, p->session_id);

	p->there = there;
	if (s == NULL || !slice_eq(slice_str(s->claims->user_id), p->user_id)) {
		not_found(p);
		return;
	}
	p->session = s;
	if (p->is_json)
		command_run(s, &p->caller, p->body);
	else
		command_say(s, &p->caller, p->body);
	p->session = NULL;
	if (p->caller.n_pending > 0)
		return; /* on_pending brings it home */
	if (!p->is_answered)
		p->status = 204; /* typing and read have no answer */
	send_home(p);
}

/* text/plain (fetch's default for a string) or application/json. */
static int
body_kind(struct exchange *x, bool *is_json, struct refusal *why)
{
	struct slice name;
	char clean[REFUSE_CLEAN];

	if (serve_media(x, &name, why) < 0)
		return -1;
	if (name.p == NULL)
		name = SLICE("text/plain");
	*is_json = slice_eq_nocase(name, SLICE("application/json"));
	if (*is_json || slice_eq_nocase(name, SLICE("text/plain")))
		return 0;
	return refuse(why, ERROR_UNSUPPORTED_MEDIA,
	    "Content-Type '%s' is not taken here: application/json or text/plain",
	    refuse_clean(name, clean));
}

static struct post *
post_new(struct exchange *x, struct slice session_id, const struct claims *claims, bool is_json)
{
	struct slice user_id = slice_str(claims->user_id);
	struct post *p = mem_calloc(1, sizeof(*p) + session_id.n + user_id.n + x->body.n);
	char *at;

	if (p == NULL)
		return NULL;
	at = (char *)(p + 1);
	caller_init(&p->caller, &caller_ops);
	p->home = serve_of(x);
	p->home_worker = p->home->hub->worker;
	p->x = exchange_hold(x);
	p->is_json = is_json;
	p->answer = BUF_INIT(2 * MESSAGE_JSON_MAX);
	p->challenge = BUF_INIT(CHALLENGE_MAX);
	p->session_id = slice_place(&at, session_id);
	p->user_id = slice_place(&at, user_id);
	p->body = slice_place(&at, x->body);
	return p;
}

/* The worker that a session id names; n_workers when it names none. */
static unsigned
worker_of(struct slice id, unsigned n_workers)
{
	uint64_t worker;

	if (id.n < 2 || slice_hex_to_u64(slice_of(id.p, 2), &worker) < 0)
		return n_workers;
	return (unsigned)min_u64(worker, n_workers);
}

void
serve_chat_post(struct exchange *x, struct slice session_id)
{
	struct serve *serve = serve_of(x);
	const struct serve_process *process = serve->process;
	unsigned worker = worker_of(session_id, process->n_workers);
	struct claims *claims = NULL;
	struct refusal why = {0};
	struct post *p = NULL;
	bool is_json;

	if (serve_authenticate(x, true, &claims) < 0)
		return;
	if (body_kind(x, &is_json, &why) < 0)
		goto refused;
	if (x->body.n > serve->config->limits.message) {
		(void)refuse_limit(&why, ERROR_TOO_LARGE, "limits.message", 0,
		    "the message has %zu bytes, limits.message allows %u", x->body.n,
		    serve->config->limits.message);
		goto refused;
	}
	if (worker == process->n_workers) {
		(void)refuse(&why, ERROR_NOT_FOUND,
		    "there is no such chat session of yours, or it has ended");
		goto refused;
	}
	p = post_new(x, session_id, claims, is_json);
	if (p == NULL) {
		(void)refuse_memory(&why);
		goto refused;
	}
	claims_unref(claims);
	p->item.run = run_there;
	if (worker == serve->hub->worker)
		run_there(serve, &p->item);
	else
		process->post(process->ctx, worker, &p->item);
	return;
refused:
	claims_unref(claims);
	serve_refuse(x, &why);
}
