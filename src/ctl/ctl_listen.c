#include "ctl/ctl.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/topic.h"
#include "ctl/ctl_events.h"
#include "proto/json.h"

#define PROBLEM_MAX  65536 /* bytes of an answer that is no stream */
#define QUERY_MAX    65536
#define BACKOFF_MS   1000
#define ASKED_MAX_MS 300000 /* the daemon's word goes, within reason */
#define SILENCE_MS   120000 /* keep-alive comments come far more often */
#define TURN_MS      1000

static const char help[] =
    "usage: belfryctl listen [OPTION]... TOPIC...\n"
    "\n"
    "Prints what is published on the topics (patterns such as ops/* or news/** too) until Ctrl-C.\n"
    "A lost connection is made again, and what was missed is caught up with.\n"
    "\n"
    "  -c, --config FILE    the daemon's configuration: says where it is and signs a token\n"
    "      --after POS      first what came after POS: an id, 10m, an RFC 3339 time, or all\n"
    "      --last N         first the last N messages\n"
    "      --json           one JSON object a line\n";

enum {
	CONFIG,
	AFTER,
	LAST,
	JSON,
	N_OPTIONS
};

static const struct ctl_option options[N_OPTIONS] = {
    [CONFIG] = {"config", 'c', true},
    [AFTER] = {"after", 0, true},
    [LAST] = {"last", 0, true},
    [JSON] = {"json", 0, false},
};

enum stream_end {
	STREAM_RETRY,
	STREAM_OVER
};

struct listen_command {
	struct ctl_args args;
	const char *config;
	const char *after;
	const char *last;
	bool is_json;
	struct strings topics;

	struct ctl_target target;
	struct event_reader reader;
	int signal_fd;   /* readable on Ctrl-C */
	bool is_stopped; /* by a signal */
	bool was_heard;  /* some stream had begun */
	bool is_expired; /* the token ended the stream */
	int code;        /* exit code when it is over */
	unsigned failures;
	uint64_t asked_ms; /* the daemon's word on when to come back; 0: none */
	/* of the connection now */
	CURL *handle;
	long status;
	struct buf problem;
	uint64_t heard_us;
};

/* --- arguments --- */

static int
take_argument(struct listen_command *l, int i, const char *value)
{
	switch (i) {
	case CONFIG:
		l->config = value;
		return 0;
	case AFTER:
		l->after = value;
		return 0;
	case LAST:
		l->last = value;
		return 0;
	case JSON:
		l->is_json = true;
		return 0;
	default:
		if (pattern_error(slice_str(value)) != NULL)
			return ctl_usage(
			    &l->args, "the topic '%s' %s", value, pattern_error(slice_str(value)));
		return ctl_add_string(&l->topics, value) < 0 ? ctl_no_memory() : 0;
	}
}

/* 0; an exit code; -1 for "done, and well". */
static int
take_arguments(struct listen_command *l)
{
	const char *value;
	uint64_t v;
	int i;

	while ((i = ctl_args_next(&l->args, options, N_OPTIONS, &value)) != CTL_END) {
		int code;

		if (i == CTL_HELP)
			return -1;
		if (i == CTL_WRONG)
			return EX_USAGE;
		code = take_argument(l, i, value);
		if (code != 0)
			return code;
	}
	if (l->topics.n == 0)
		return ctl_usage(&l->args, "the topic is missing");
	if (l->last != NULL && slice_to_u64(slice_str(l->last), &v) < 0)
		return ctl_usage(&l->args, "--last is '%s', want a number", l->last);
	if (l->last != NULL && l->after != NULL)
		return ctl_usage(&l->args, "--after and --last together have no meaning");
	return 0;
}

/* --- what comes --- */

static void
on_event(void *arg, const struct event *e)
{
	struct listen_command *l = arg;
	cJSON *data = NULL;

	if (!e->has_data)
		return; /* the reader has moved its cursor */
	if (slice_eq(e->name, SLICE("closing")) && json_parse(e->data, &data, NULL) == 0) {
		if (json_u64(json_member(data, "retry"), &l->asked_ms) < 0)
			l->asked_ms = 0;
		cJSON_Delete(data);
	}
	if (slice_eq(e->name, SLICE("expired")))
		l->is_expired = true;
	if (!l->is_json)
		event_print(stdout, e, ctl_now());
	else if (event_print_json(stdout, e) < 0)
		l->code = ctl_no_memory();
	(void)fflush(stdout); /* its failure shows in ferror */
}

static bool
is_stream(CURL *h)
{
	const char *type = NULL;

	return curl_easy_getinfo(h, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK && type != NULL &&
	       slice_has_prefix(slice_str(type), SLICE("text/event-stream"));
}

static size_t
on_bytes(char *data, size_t size, size_t n, void *arg)
{
	struct listen_command *l = arg;
	struct slice bytes = slice_of(data, size * n);

	if (curl_easy_getinfo(l->handle, CURLINFO_RESPONSE_CODE, &l->status) != CURLE_OK)
		return 0;
	l->heard_us = clock_mono_us();
	if (l->status != 200) {
		(void)buf_add_slice(&l->problem, bytes); /* what does not fit is not told */
		return bytes.n;
	}
	if (!is_stream(l->handle)) {
		l->code = ctl_fail(EX_PROTOCOL, "%s/events is not an event stream", l->target.url);
		return 0;
	}
	l->was_heard = true;
	l->failures = 0;
	if (event_reader_feed(&l->reader, bytes) < 0) {
		l->code = ctl_fail(EX_PROTOCOL, "an event is too large");
		return 0;
	}
	return l->code != 0 || ferror(stdout) ? 0 : bytes.n;
}

/* --- one connection --- */

static int
make_path(const struct listen_command *l, struct buf *out)
{
	bool has_cursor = l->reader.id[0] != '\0'; /* it is newer than where it began */

	(void)buf_add_str(out, "/events"); /* failures stick */
	for (size_t i = 0; i < l->topics.n; i++)
		ctl_add_parameter(out, "topic", l->topics.v[i]);
	ctl_add_parameter(out, "after", has_cursor ? NULL : l->after);
	ctl_add_parameter(out, "last", has_cursor ? NULL : l->last);
	return buf_add_char(out, '\0');
}

/* The handle of a new request; NULL without memory. */
static CURL *
make_request(struct listen_command *l, struct curl_slist **headers)
{
	struct buf path = BUF_INIT(QUERY_MAX);
	char line[EVENT_ID + 32];
	CURL *h = make_path(l, &path) < 0 ? NULL : ctl_request(&l->target, path.p, headers);

	buf_done(&path);
	if (h == NULL)
		return NULL;
	(void)snprintf(line, sizeof(line), "Last-Event-ID: %s", l->reader.id); /* it fits */
	if (ctl_add_header(headers, "Accept: text/event-stream") == 0 &&
	    (l->reader.id[0] == '\0' || ctl_add_header(headers, line) == 0) &&
	    curl_easy_setopt(h, CURLOPT_HTTPHEADER, *headers) == CURLE_OK &&
	    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_bytes) == CURLE_OK &&
	    curl_easy_setopt(h, CURLOPT_WRITEDATA, l) == CURLE_OK)
		return h;
	curl_easy_cleanup(h);
	return NULL;
}

/* Drive the transfer to its end, a signal, or too long a silence. */
static CURLcode
transfer(struct listen_command *l, CURLM *multi)
{
	struct curl_waitfd stop = {.fd = l->signal_fd, .events = CURL_WAIT_POLLIN};
	int running = 1;
	int left;
	const CURLMsg *m;

	while (running > 0) {
		if (curl_multi_perform(multi, &running) != CURLM_OK)
			return CURLE_FAILED_INIT;
		if (running == 0)
			break;
		stop.revents = 0;
		if (curl_multi_poll(multi, &stop, 1, TURN_MS, NULL) != CURLM_OK)
			return CURLE_FAILED_INIT;
		if (stop.revents != 0) {
			l->is_stopped = true;
			return CURLE_OK;
		}
		if (clock_mono_us() - l->heard_us > SILENCE_MS * UINT64_C(1000))
			return CURLE_OPERATION_TIMEDOUT;
	}
	m = curl_multi_info_read(multi, &left);
	return m == NULL || m->msg != CURLMSG_DONE ? CURLE_FAILED_INIT : m->data.result;
}

/* What follows from how a connection ended. */
static enum stream_end
judge(struct listen_command *l, CURLcode r)
{
	bool may_pass = l->status == 408 || l->status == 429 || l->status >= 500;

	if (l->is_stopped || l->code != 0)
		return STREAM_OVER;
	if (ferror(stdout)) {
		l->code = EX_IOERR;
		return STREAM_OVER;
	}
	if (l->status == 204)
		return STREAM_OVER; /* never again, says the daemon */
	if (l->status == 0 && r != CURLE_OK && !l->was_heard) {
		l->code = ctl_unreachable(&l->target, r);
		return STREAM_OVER;
	}
	if (l->status != 0 && l->status != 200 && (!may_pass || !l->was_heard)) {
		l->code = ctl_problem(l->status, buf_slice(&l->problem));
		return STREAM_OVER;
	}
	if (l->is_expired && !l->target.can_sign) {
		l->code = ctl_fail(EX_NOPERM, "the token has ended");
		return STREAM_OVER;
	}
	return STREAM_RETRY;
}

static enum stream_end
connect_once(struct listen_command *l)
{
	struct curl_slist *headers = NULL;
	CURLM *multi = curl_multi_init();
	CURLcode r = CURLE_OUT_OF_MEMORY;
	enum stream_end end;

	l->status = 0;
	l->asked_ms = 0;
	l->is_expired = false;
	l->heard_us = clock_mono_us();
	buf_reset(&l->problem);
	event_reader_restart(&l->reader);
	l->handle = make_request(l, &headers);
	if (l->handle == NULL || multi == NULL) {
		l->code = ctl_no_memory();
	} else if (curl_multi_add_handle(multi, l->handle) == CURLM_OK) {
		r = transfer(l, multi);
		if (l->status == 0)
			(void)curl_easy_getinfo(
			    l->handle, CURLINFO_RESPONSE_CODE, &l->status); /* stays 0 */
		(void)curl_multi_remove_handle(multi, l->handle);           /* it was added */
	}
	end = judge(l, r);
	curl_easy_cleanup(l->handle);
	(void)curl_multi_cleanup(multi); /* nothing is left in it */
	curl_slist_free_all(headers);
	return end;
}

/* --- again and again --- */

static uint64_t
next_delay(const struct listen_command *l)
{
	if (l->asked_ms > 0)
		return min_u64(l->asked_ms, ASKED_MAX_MS);
	return ctl_backoff_ms(max_u64(l->reader.retry_ms, BACKOFF_MS), l->failures);
}

static void
pause_for(struct listen_command *l, uint64_t ms)
{
	struct pollfd p = {.fd = l->signal_fd, .events = POLLIN};

	if (poll(&p, 1, (int)ms) > 0)
		l->is_stopped = true;
}

static int
listen_on(struct listen_command *l)
{
	while (connect_once(l) == STREAM_RETRY) {
		uint64_t ms = next_delay(l);

		l->failures++;
		if (l->is_expired)
			ms = 0;
		else
			(void)fprintf(stderr, "belfryctl: the connection ended; again in %.1f s\n",
			    (double)ms / 1000);
		pause_for(l, ms);
		if (l->is_stopped)
			break;
		if (l->target.can_sign) {
			/* ours are short-lived */
			int code = ctl_target_renew(l->config, &l->target);

			if (code != 0)
				return code;
		}
	}
	return l->code;
}

int
ctl_listen(int argc, char **argv)
{
	static const int signals[] = {SIGINT, SIGTERM};
	struct listen_command l = {.signal_fd = -1, .problem = BUF_INIT(PROBLEM_MAX)};
	int code;

	ctl_args_init(&l.args, argc, argv, help);
	event_reader_init(&l.reader, on_event, &l);
	code = take_arguments(&l);
	if (code == 0)
		code = ctl_target_find(l.config, &l.target);
	if (code == 0)
		code = ctl_catch_signals(signals, ARRAY_LEN(signals), &l.signal_fd);
	if (code == 0)
		code = listen_on(&l);
	if (l.signal_fd >= 0)
		(void)close(l.signal_fd); /* nothing was written to it */
	event_reader_done(&l.reader);
	buf_done(&l.problem);
	ctl_strings_done(&l.topics);
	ctl_target_done(&l.target);
	return code < 0 ? EX_OK : code;
}
