/*
 * Between the files of serve/ that judge requests: no endpoint needs it. Worker thread only.
 */
#ifndef SERVE_PRIVATE_H
#define SERVE_PRIVATE_H

#include "serve/serve.h"

enum origin_kind {
	ORIGIN_ABSENT,
	ORIGIN_SAME,    /* the host asked for, or X-Forwarded-Host of a trusted proxy */
	ORIGIN_LISTED,  /* in cors.allow_origins by name or as a subdomain */
	ORIGIN_STAR,    /* by `*` only: then no cookie counts */
	ORIGIN_REFUSED, /* another, `null`, malformed or twice */
};

/*
 * What the request's Origin is; *out_origin is the header's value, borrowed (absent when there
 * is none).
 */
enum origin_kind origin_judge(const struct exchange *x, struct slice *out_origin);

/* Where a token was found. */
enum token_place {
	TOKEN_NOWHERE,
	TOKEN_AUTHORIZATION,
	TOKEN_SUBPROTOCOL,
	TOKEN_QUERY,
	TOKEN_COOKIE,
};

/*
 * Where the request brings a token. Two of the first three, or a malformed one: *r filled
 * (400), -1. The token itself: serve_find_token.
 */
MUST_CHECK int token_locate(const struct exchange *x, struct buf *scratch, struct slice *out_token,
    enum token_place *out_place, struct refusal *r);

#define SERVE_WHO 128
/* Who asks, for the log: "request=… peer=…". Returns out. */
const char *serve_who(const struct exchange *x, char out[SERVE_WHO]);

/* Whether web.root has a file (or a folder with a page) for the request's path. */
bool files_have(struct exchange *x);

#endif
