#include "net/conn.h"
#include "proto/json.h"
#include "serve/serve.h"

#define REASON_MAX  300
#define METRICS_MAX (1024 * 1024)

void
serve_healthz(struct exchange *x)
{
	serve_json(x, 200, SLICE("{\"status\":\"ok\"}"));
}

/* A problem document whose `reason` says the same as `detail`, for those who look for it there. */
static void
answer_not_ready(struct exchange *x, const char *reason)
{
	struct buf body = BUF_INIT(2048);
	struct refusal r;

	(void)refuse(&r, ERROR_UNAVAILABLE, "%s", reason);
	if (refusal_problem(&body, &r) == 0) {
		body.n--; /* the closing brace */
		(void)json_add_member_string(&body, "reason", slice_str(reason));
		(void)buf_add_char(&body, '}');
	}
	if (body.failed)
		body.n = 0; /* the status says it, too */
	exchange_header(x, "Cache-Control", SLICE("no-store"));
	exchange_header(x, "Retry-After", SLICE("1"));
	exchange_reply(x, 503, "application/problem+json", buf_slice(&body));
	buf_done(&body);
}

static void
answer_with_warning(struct exchange *x, const char *warning)
{
	struct buf body = BUF_INIT(2048);

	(void)BUF_ADD_LIT(&body, "{\"status\":\"ok\""); /* failures stick */
	(void)json_add_member_string(&body, "warning", slice_str(warning));
	(void)buf_add_char(&body, '}');
	serve_json(x, 200, body.failed ? SLICE("{\"status\":\"ok\"}") : buf_slice(&body));
	buf_done(&body);
}

void
serve_readyz(struct exchange *x)
{
	const struct serve_process *p = serve_of(x)->process;
	char reason[REASON_MAX] = "";
	int r = 0;

	if (p != NULL)
		r = p->ready(p->ctx, reason, sizeof(reason));
	if (x->net->is_draining || (p != NULL && p->is_draining(p->ctx)))
		answer_not_ready(x, "the daemon is stopping");
	else if (r < 0)
		answer_not_ready(x, reason[0] != '\0' ? reason : "not ready yet");
	else if (r > 0)
		answer_with_warning(x, reason);
	else
		serve_json(x, 200, SLICE("{\"status\":\"ok\"}"));
}

/* Figures are for everybody on this machine, elsewhere for administrators. */
static bool
may_read_metrics(struct exchange *x)
{
	struct claims *claims;
	struct refusal r;
	bool is_admin;

	if (exchange_is_local(x))
		return true;
	if (serve_authenticate(x, false, &claims) < 0)
		return false;
	is_admin = claims->role == ROLE_ADMIN;
	claims_unref(claims);
	if (!is_admin) {
		(void)refuse(&r, ERROR_INSUFFICIENT_SCOPE,
		    "belfry.role is not 'admin', which this address wants for /metrics");
		serve_refuse(x, &r);
	}
	return is_admin;
}

void
serve_metrics(struct exchange *x)
{
	const struct serve_process *p = serve_of(x)->process;
	struct buf text = BUF_INIT(METRICS_MAX);
	struct refusal r;

	if (!may_read_metrics(x))
		return;
	if (p != NULL)
		p->metrics(p->ctx, &text);
	if (text.failed) {
		(void)refuse_memory(&r);
		serve_refuse(x, &r);
	} else {
		exchange_header(x, "Cache-Control", SLICE("no-store"));
		exchange_reply(
		    x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&text));
	}
	buf_done(&text);
}
