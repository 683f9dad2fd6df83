#include "core/publish.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "core/config.h"
#include "net/conn.h"
#include "proto/json.h"
#include "proto/url.h"
#include "serve/publish_form.h"
#include "serve/query.h"
#include "serve/serve.h"

/* POST /publish, POST /publish/{topic} (docs/wire.md, "Publishing"). */

/* --- answering --- */

static void
add_result(struct buf *b, const struct append_item *item)
{
	(void)buf_add_char(b, '{');
	append_result(b, item, item->message->topic);
	(void)buf_add_char(b, '}');
}

static void
add_results(struct buf *b, const struct append *a)
{
	(void)buf_add_char(b, '[');
	for (unsigned i = 0; i < a->n; i++) {
		if (i > 0)
			(void)buf_add_char(b, ',');
		add_result(b, &a->items[i]);
	}
	(void)buf_add_char(b, ']');
}

/* An append belongs to its exchange, which it holds. */
static void
answer(struct append *a, bool is_array)
{
	char room[512] UNCLEARED;
	struct buf b = BUF_ON(room, (size_t)a->n * 1024 + 1024);
	struct exchange *x = a->owner;
	struct refusal why UNCLEARED;

	if (a->status < 0) {
		(void)append_refusal(a->status, &why);
		serve_refuse(x, &why);
	} else if (is_array) {
		add_results(&b, a);
	} else {
		add_result(&b, &a->items[0]);
	}
	if (b.failed)
		exchange_abandon(x); /* it is stored: 503 would bring it once more */
	else if (a->status >= 0)     /* 202: it is still to be published */
		serve_json(
		    x, !is_array && a->items[0].what == APPEND_LATER ? 202 : 200, buf_slice(&b));
	buf_done(&b);
	append_free(a); /* it may be in x */
	exchange_release(x);
}

static void
on_appended(struct append *a)
{
	answer(a, false);
}

static void
on_array_appended(struct append *a)
{
	answer(a, true);
}

/* Takes a. */
static void
submit(struct exchange *x, const struct claims *claims, struct append *a, bool is_array)
{
	struct hub *h = serve_of(x)->hub;
	struct refusal why UNCLEARED;
	int r;

	if (publish_rate(h, claims, a->n, &why) < 0) {
		append_free(a);
		serve_refuse(x, &why);
		return;
	}
	a->owner = exchange_hold(x);
	a->done = is_array ? on_array_appended : on_appended;
	counter_add(h->counters, COUNTER_MESSAGES_IN, a->n);
	r = hub_append(h, a);
	if (r == 0)
		return;
	append_free(a);
	exchange_release(x);
	(void)append_refusal(r, &why);
	serve_refuse(x, &why);
}

/* --- reading the forms --- */

struct work {
	struct exchange *x;
	struct claims *claims;
	struct slice topic; /* of the path; absent: none */
	struct refusal why;
};

/* The path's topic and the body's must be the same; the message is made. */
static int
make(struct work *w, struct draft *d, struct append *a, unsigned i)
{
	struct claims *c = w->claims;
	struct message_from from = {slice_str(c->user_id), slice_str(c->name)};

	if (d->topic.p != NULL && w->topic.p != NULL && !slice_eq(d->topic, w->topic))
		return refuse(&w->why, ERROR_BAD_FIELD,
		    "the topic in the path and the topic in the body differ");
	if (d->topic.p == NULL)
		d->topic = w->topic;
	if (d->topic_field == NULL)
		d->topic_field = "topic";
	return draft_message(serve_of(w->x)->hub, c, from, d, 0, &a->items[i], &w->why);
}

static struct append *
make_one(struct work *w, struct draft *d)
{
	struct append *a = append_begin((struct append *)(void *)w->x->scratch);

	_Static_assert(sizeof(*a) <= EXCHANGE_SCRATCH, "an append fits");
	if (make(w, d, a, 0) == 0)
		return a;
	append_free(a);
	return NULL;
}

static unsigned
count_values(struct slice array)
{
	struct slice each;
	unsigned n = 0;

	while (json_raw_element(&array, &each))
		n++;
	return n;
}

/* One of several, from its own text. */
static int
make_element(struct work *w, struct slice text, struct append *a, unsigned i)
{
	struct json_flat json UNCLEARED;
	struct draft d UNCLEARED;
	int r;

	if (json_read(text, &json, NULL) < 0) /* it was checked already */
		return refuse_memory(&w->why);
	r = draft_from_json(&json, &d, &w->why);
	if (r == 0)
		r = make(w, &d, a, i);
	json_done(&json);
	return r;
}

static struct append *
make_json_array(struct work *w, struct slice array)
{
	unsigned n = count_values(array);
	struct slice text;
	struct append *a;

	if (n == 0 || n > LOG_BATCH_MAX) {
		(void)refuse(&w->why, n == 0 ? ERROR_BAD_FIELD : ERROR_TOO_LARGE,
		    "an array must have 1 to %d messages, this one has %u", LOG_BATCH_MAX, n);
		return NULL;
	}
	a = append_new(n);
	if (a == NULL) {
		(void)refuse_memory(&w->why);
		return NULL;
	}
	for (unsigned i = 0; json_raw_element(&array, &text); i++) {
		char told[ERROR_TEXT];

		if (make_element(w, text, a, i) == 0)
			continue;
		(void)snprintf(told, sizeof(told), "%s", w->why.text);
		(void)snprintf(w->why.text, sizeof(w->why.text), "message %u: %.300s", i, told);
		append_free(a);
		return NULL;
	}
	return a;
}

static void
publish_json(struct work *w)
{
	struct append *a = NULL;
	struct json_flat json UNCLEARED;
	struct draft d UNCLEARED;
	size_t at = 0;
	bool is_array = false;
	int r = json_read(w->x->body, &json, &at);

	if (r == JSON_E_MEMORY) {
		(void)refuse_memory(&w->why);
	} else if (r < 0) {
		(void)refuse(&w->why, ERROR_BAD_JSON, "%s (at byte %zu)", json_error_text(r), at);
	} else if (json_whole(&json).kind == JSON_IS_ARRAY) {
		is_array = true;
		a = make_json_array(w, json_whole(&json).raw);
	} else if (draft_from_json(&json, &d, &w->why) == 0) {
		a = make_one(w, &d);
	}
	if (a == NULL)
		serve_refuse(w->x, &w->why);
	else
		submit(w->x, w->claims, a, is_array);
	json_done(&json);
}

/* Text or a form: fields from the body, then headers and query parameters. */
static void
publish_text(struct work *w, bool may_be_form)
{
	struct publish_fields fields UNCLEARED;
	struct append *a = NULL;
	struct draft d UNCLEARED;

	publish_fields_begin(&fields);
	draft_begin(&d, "topic");
	if (publish_read_fields(w->x, may_be_form, &fields, &d, &w->why) == 0)
		a = make_one(w, &d);
	if (a == NULL)
		serve_refuse(w->x, &w->why);
	else
		submit(w->x, w->claims, a, false);
	publish_fields_done(&fields);
}

static bool
is_type(struct slice type, const char *name)
{
	return slice_eq_nocase(type, slice_str(name));
}

static void
publish_body(struct work *w)
{
	struct slice type;
	char clean[REFUSE_CLEAN] UNCLEARED;

	if (serve_media(w->x, &type, &w->why) < 0) {
		serve_refuse(w->x, &w->why);
		return;
	}
	if (type.p == NULL)
		type = SLICE("text/plain");
	if (is_type(type, "application/json")) {
		publish_json(w);
	} else if (is_type(type, "application/x-www-form-urlencoded")) {
		publish_text(w, true);
	} else if ((type.n >= 5 && is_type(slice_of(type.p, 5), "text/")) ||
		   is_type(type, "application/octet-stream")) {
		publish_text(w, false);
	} else {
		(void)refuse(&w->why, ERROR_UNSUPPORTED_MEDIA,
		    "Content-Type '%s' is not taken here: text/plain, application/json or application/x-www-form-urlencoded",
		    refuse_clean(type, clean));
		serve_refuse(w->x, &w->why);
	}
}

void
serve_publish(struct exchange *x, struct slice topic_encoded)
{
	struct work w UNCLEARED;
	char room[256] UNCLEARED;
	struct buf topic = BUF_ON(room, 8192);
	ssize_t n;

	if (x->method == HTTP_DELETE) {
		serve_cancel(x, topic_encoded);
		return;
	}
	w.x = x;
	w.claims = NULL;
	w.topic = SLICE_NONE;
	if (serve_authenticate(x, true, &w.claims) < 0)
		return;
	if (topic_encoded.p != NULL && topic_encoded.n > 0) {
		if (buf_reserve(&topic, topic_encoded.n + 1) < 0 && topic.error == -ENOMEM) {
			(void)refuse_memory(&w.why);
			serve_refuse(x, &w.why);
			goto out;
		}
		if (topic.failed || (n = url_decode(topic_encoded, false, topic.p)) < 0) {
			(void)refuse(
			    &w.why, ERROR_BAD_FIELD, "the topic in the path cannot be decoded");
			serve_refuse(x, &w.why);
			goto out;
		}
		w.topic = slice_of(topic.p, (size_t)n);
	}
	publish_body(&w);
out:
	claims_unref(w.claims);
	buf_done(&topic);
}
