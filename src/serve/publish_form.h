/*
 * The fields of a text or form publish (docs/wire.md, "Publishing"): body, headers (also with X-), query
 * parameters. Worker thread only.
 */
#ifndef SERVE_PUBLISH_FORM_H
#define SERVE_PUBLISH_FORM_H

#include "core/publish.h"
#include "serve/serve.h"

enum {
	PUBLISH_FIELDS = 12
};

/* Owns the decoded values that a draft borrows. */
struct publish_fields {
	struct slice values[PUBLISH_FIELDS]; /* absent: not given */
	struct buf form;                     /* what was decoded of the body */
	struct buf query;                    /* … and of the query */
	struct buf quoted;                   /* `data` that is no JSON, as a JSON string */
	struct json_flat data;               /* `data`, or `quoted`, when it is given */
};

void publish_fields_begin(struct publish_fields *f);
void publish_fields_done(struct publish_fields *f);
/*
 * may_be_form: the body is application/x-www-form-urlencoded; it counts as a form only by the
 * rule of docs/wire.md, else it is text. 0, or -1 with *why.
 */
MUST_CHECK int publish_read_fields(struct exchange *x, bool may_be_form, struct publish_fields *f,
    struct draft *out, struct refusal *why);

#endif
