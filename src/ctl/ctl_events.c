#include "ctl/ctl_events.h"

#include <errno.h>
#include <stdlib.h>

void
event_reader_init(
    struct event_reader *r, void (*on_event)(void *arg, const struct event *e), void *arg)
{
	*r = (struct event_reader){.line = BUF_INIT(EVENT_MAX),
	    .name = BUF_INIT(EVENT_MAX),
	    .data = BUF_INIT(EVENT_MAX),
	    .on_event = on_event,
	    .arg = arg};
}

void
event_reader_restart(struct event_reader *r)
{
	buf_reset(&r->line);
	buf_reset(&r->name);
	buf_reset(&r->data);
	memcpy(r->next_id, r->id, sizeof(r->id));
	r->has_data = false;
	r->after_cr = false;
	r->is_started = false;
}

void
event_reader_done(struct event_reader *r)
{
	buf_done(&r->line);
	buf_done(&r->name);
	buf_done(&r->data);
}

static void
dispatch(struct event_reader *r)
{
	struct event e = {
	    .name = buf_slice(&r->name), .data = buf_slice(&r->data), .has_data = r->has_data};

	memcpy(r->id, r->next_id, sizeof(r->id));
	if (e.name.n == 0)
		e.name = SLICE("message");
	e.id = slice_str(r->id);
	r->on_event(r->arg, &e);
	buf_reset(&r->name);
	buf_reset(&r->data);
	r->has_data = false;
}

static void
take_id(struct event_reader *r, struct slice value)
{
	if (value.n >= sizeof(r->next_id) || memchr(value.p, '\0', value.n) != NULL)
		return;
	memcpy(r->next_id, value.p, value.n);
	r->next_id[value.n] = '\0';
}

static void
take_line(struct event_reader *r, struct slice line)
{
	struct slice value = line;
	struct slice field;
	uint64_t v;

	if (line.n == 0) {
		dispatch(r);
		return;
	}
	field = slice_cut(&value, ':');
	if (value.p == NULL)
		value = SLICE("");
	if (value.n > 0 && value.p[0] == ' ')
		value = slice_skip(value, 1);
	if (slice_eq(field, SLICE("data"))) {
		if (r->has_data)
			(void)buf_add_char(&r->data, '\n'); /* failures stick, the feeder looks */
		(void)buf_add_slice(&r->data, value);
		r->has_data = true;
	} else if (slice_eq(field, SLICE("event"))) {
		buf_reset(&r->name);
		(void)buf_add_slice(&r->name, value);
	} else if (slice_eq(field, SLICE("id"))) {
		take_id(r, value);
	} else if (slice_eq(field, SLICE("retry")) && slice_to_u64(value, &v) == 0) {
		r->retry_ms = v;
	}
}

int
event_reader_feed(struct event_reader *r, struct slice bytes)
{
	while (bytes.n > 0) {
		size_t n = 0;

		if (r->after_cr && bytes.p[0] == '\n') {
			r->after_cr = false;
			bytes = slice_skip(bytes, 1);
			continue;
		}
		r->after_cr = false;
		while (n < bytes.n && bytes.p[n] != '\n' && bytes.p[n] != '\r')
			n++;
		(void)buf_add(&r->line, bytes.p, n); /* below */
		if (n < bytes.n) {
			struct slice line = buf_slice(&r->line);

			if (!r->is_started && slice_has_prefix(line, SLICE("\xef\xbb\xbf")))
				line = slice_skip(line, 3);
			r->is_started = true;
			r->after_cr = bytes.p[n++] == '\r';
			if (!r->line.failed)
				take_line(r, line);
			if (!r->line.failed)
				buf_reset(&r->line);
		}
		if (r->line.failed || r->data.failed || r->name.failed)
			return -ENOMEM;
		bytes = slice_skip(bytes, n);
	}
	return 0;
}
