/*
 * Refusals (docs/wire.md, "Requests and errors"): one table of codes with their HTTP status; one
 * struct that carries a refusal from where a check failed to the transport that tells it. Any
 * thread.
 */
#ifndef CORE_ERROR_H
#define CORE_ERROR_H

#include "base/buf.h"
#include "base/slice.h"

/* enum name, wire name, HTTP status */
#define ERROR_CODES(X)                                                                             \
	X(BAD_JSON, "bad_json", 400)                                                               \
	X(BAD_FIELD, "bad_field", 400)                                                             \
	X(UNKNOWN_TYPE, "unknown_type", 400)                                                       \
	X(BAD_REQUEST, "bad_request", 400)                                                         \
	X(INVALID_REQUEST, "invalid_request", 400)                                                 \
	X(UNAUTHORIZED, "unauthorized", 401)                                                       \
	X(INVALID_TOKEN, "invalid_token", 401)                                                     \
	X(FORBIDDEN, "forbidden", 403)                                                             \
	X(INSUFFICIENT_SCOPE, "insufficient_scope", 403)                                           \
	X(NOT_JOINED, "not_joined", 403)                                                           \
	X(MUTED, "muted", 403)                                                                     \
	X(BANNED, "banned", 403)                                                                   \
	X(NOT_FOUND, "not_found", 404)                                                             \
	X(METHOD_NOT_ALLOWED, "method_not_allowed", 405)                                           \
	X(TIMEOUT, "timeout", 408)                                                                 \
	X(CONFLICT, "conflict", 409)                                                               \
	X(TOO_LARGE, "too_large", 413)                                                             \
	X(UNSUPPORTED_MEDIA, "unsupported_media", 415)                                             \
	X(MISDIRECTED, "misdirected", 421)                                                         \
	X(UPGRADE_REQUIRED, "upgrade_required", 426)                                               \
	X(RATE_LIMITED, "rate_limited", 429)                                                       \
	X(TOO_MANY, "too_many", 429)                                                               \
	X(INTERNAL, "internal", 500)                                                               \
	X(NOT_IMPLEMENTED, "not_implemented", 501)                                                 \
	X(UNAVAILABLE, "unavailable", 503)

enum error_code {
#define X(name, wire, status) ERROR_##name,
	ERROR_CODES(X)
#undef X
	ERROR_CODE_COUNT,
};

#define ERROR_TEXT 400 /* bytes, with the NUL */

struct refusal {
	enum error_code code;
	int status; /* 0: the code's own; e.g. 414, 431, 505 where HTTP has a finer one */
	/* configuration key of the limit that refused ("limits.message"), NULL */
	const char *limit;
	uint32_t retry_after_s; /* 0: none */
	char text[ERROR_TEXT];  /* for people: what failed and what was wanted */
};

/* The name on the wire, "bad_json"; the HTTP status. */
const char *error_name(enum error_code code);
int error_status(enum error_code code);

/*
 * Fill *r with a refusal; text of a peer in the arguments must be cleaned (refuse_clean). Called
 * through refuse() and refuse_limit(), which are -1, so that `return refuse(&why, ERROR_BAD_FIELD,
 * "…")` reads well and the compiler knows it for a failure.
 */
void refusal_fill(struct refusal *r, enum error_code code, const char *fmt, ...) PRINTF(3, 4);
/* The same with the limit's key (NULL: none) and when to try again (0: not said). */
void refusal_fill_limit(struct refusal *r, enum error_code code, const char *limit,
    uint32_t retry_after_s, const char *fmt, ...) PRINTF(5, 6);

#define refuse(...)       (refusal_fill(__VA_ARGS__), -1)
#define refuse_limit(...) (refusal_fill_limit(__VA_ARGS__), -1)

/* What could not be looked at or done for want of memory: not the peer's fault. */
#define refuse_memory(r)                                                                           \
	refuse_limit(r, ERROR_UNAVAILABLE, NULL, 1, "the server is short of memory; try again")

#define REFUSE_CLEAN 72 /* bytes, with the NUL */
/*
 * A copy of peer text fit for a sentence: printable UTF-8, no control bytes, `"` and `\`
 * replaced, cut with "…". Returns out.
 */
const char *refuse_clean(struct slice s, char out[REFUSE_CLEAN]);

/*
 * Append the problem document (RFC 9457): type, title, status, detail, code, limit?,
 * retry_after?. The type is about:blank, for which the title is the status's phrase (4.2.1).
 */
int refusal_problem(struct buf *out, const struct refusal *r);

/*
 * Append the message that says why a topic is not read, `{"type":"denied",…`, for the caller to
 * close. Failures stick to out.
 */
void refusal_denied(struct buf *out, struct slice topic, const struct refusal *r);

#endif
