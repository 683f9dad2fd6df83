#include <stdio.h>

#include "base/diag.h"
#include "core/counters.h"
#include "net/conn.h"
#include "serve/private.h"

#define PROBLEM_MAX 4096
#define REALM       "Bearer realm=\"belfry\""

/* The error attribute of RFC 6750, section 3.1; NULL where it has none. */
static const char *
bearer_error(enum error_code code)
{
	if (code == ERROR_INVALID_TOKEN || code == ERROR_INVALID_REQUEST ||
	    code == ERROR_INSUFFICIENT_SCOPE)
		return error_name(code);
	return NULL;
}

/* RFC 6750, section 3: error_description is printable ASCII without '"' and '\'. */
static void
add_description(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		bool is_ascii = *text >= 0x20 && *text <= 0x7e;
		bool is_quoting = *text == '"' || *text == '\\';

		(void)buf_add_char(out, is_quoting ? '\'' : is_ascii ? *text : '?');
	}
}

void
serve_challenge(struct buf *out, const struct refusal *r, int status)
{
	const char *error = bearer_error(r->code);

	/* Without a token only the scheme is told, no error (RFC 6750, 3.1). */
	if (error == NULL && status != 401)
		return;
	(void)BUF_ADD_LIT(out, REALM);
	if (error != NULL) {
		(void)buf_printf(out, ", error=\"%s\", error_description=\"", error);
		add_description(out, r->text);
		(void)buf_add_char(out, '"');
	}
}

static void
add_challenge(struct exchange *x, const struct refusal *r, int status)
{
	struct buf value = BUF_INIT(CHALLENGE_MAX);

	serve_challenge(&value, r, status);
	if (value.n > 0 || value.failed)
		exchange_header(
		    x, "WWW-Authenticate", value.failed ? SLICE(REALM) : buf_slice(&value));
	buf_done(&value);
}

void
serve_retry_after(struct exchange *x, uint32_t seconds)
{
	struct buf value = BUF_INIT(16);

	if (seconds > 0 && buf_add_u64(&value, seconds) == 0)
		exchange_header(x, "Retry-After", buf_slice(&value));
	buf_done(&value);
}

const char *
serve_who(const struct exchange *x, char out[SERVE_WHO])
{
	char peer[EXCHANGE_PEER];

	(void)snprintf(out, SERVE_WHO, "request=%016llx peer=%s", (unsigned long long)x->number,
	    exchange_peer(x, peer));
	return out;
}

const struct refusal *
serve_note_refusal(
    const struct serve *s, const char *who, const struct refusal *r, struct refusal *veiled)
{
	char quoted[DIAG_QUOTED];

	counter_refused(s->net->counters, r->code);
	if (r->limit != NULL)
		counter_failed(s->net->counters, CHECK_LIMIT);
	if (r->code != ERROR_INSUFFICIENT_SCOPE)
		return r;
	counter_failed(s->net->counters, CHECK_SCOPE);
	diag_peer(s->diag, DIAG_INFO, "auth.refused", "%s check=scope reason=%s", who,
	    diag_quote(slice_str(r->text), quoted));
	if (s->config->auth.explain)
		return r;
	(void)refuse(veiled, r->code, "the token does not permit this");
	return veiled;
}

void
serve_refuse(struct exchange *x, const struct refusal *r)
{
	int status = r->status != 0 ? r->status : error_status(r->code);
	struct buf body = BUF_INIT(PROBLEM_MAX);
	struct refusal veiled;
	char who[SERVE_WHO];

	r = serve_note_refusal(serve_of(x), serve_who(x, who), r, &veiled);
	add_challenge(x, r, status);
	serve_retry_after(x, r->retry_after_s);
	exchange_header(x, "Cache-Control", SLICE("no-store"));
	if (refusal_problem(&body, r) < 0)
		exchange_reply(x, status, NULL, SLICE_NONE);
	else
		exchange_reply(x, status, "application/problem+json", buf_slice(&body));
	buf_done(&body);
}

void
serve_json(struct exchange *x, int status, struct slice json)
{
	exchange_header_line(x, SLICE("Cache-Control: no-store\r\n"));
	exchange_json(x, status, json);
}

void
serve_json_buf(struct exchange *x, int status, const struct buf *json)
{
	struct refusal why;

	if (!json->failed) {
		serve_json(x, status, buf_slice(json));
		return;
	}
	(void)refuse_memory(&why);
	serve_refuse(x, &why);
}

int
serve_media(const struct exchange *x, struct slice *out, struct refusal *r)
{
	struct slice rest = http_field(x->head, HTTP_FIELD_CONTENT_TYPE);

	if (x->head->fields[HTTP_FIELD_CONTENT_TYPE] > 1)
		return refuse(
		    r, ERROR_BAD_REQUEST, "there is more than one Content-Type header field");
	*out = rest.p == NULL ? SLICE_NONE : slice_trim(slice_cut(&rest, ';'));
	return 0;
}

int64_t
serve_now_s(const struct serve *s)
{
	return (int64_t)(s->net->now_us / 1000000);
}
