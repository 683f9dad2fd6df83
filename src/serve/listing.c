#include "serve/listing.h"

#include "proto/json.h"
#include "serve/serve.h"

#define LISTING_BYTES ((size_t)4 * 1024 * 1024)

void
listing_begin(struct listing *l, const char *name)
{
	*l = (struct listing){.out = BUF_INIT(LISTING_BYTES), .max = LISTING_MAX};
	(void)buf_add_char(&l->out, '{');
	(void)json_add_key(&l->out, name);
	(void)buf_add_char(&l->out, '[');
}

bool
listing_next(struct listing *l)
{
	if (l->n == l->max) {
		l->more = true;
		return false;
	}
	if (l->n++ > 0)
		(void)buf_add_char(&l->out, ',');
	return true;
}

void
listing_reply(struct exchange *x, struct listing *l)
{
	(void)buf_add_char(&l->out, ']');
	(void)json_add_member_bool(&l->out, "more", l->more);
	(void)buf_add_char(&l->out, '}');
	serve_json_buf(x, 200, &l->out);
	buf_done(&l->out);
}
