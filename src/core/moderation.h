/*
 * Moderation: what a ban, a mute or a revocation forbids. Asked on the way of every message, so
 * without a lock unless somebody of this name is concerned. Worker thread only.
 *
 * A scope is a room's topic, or `*`: all rooms. Who has the role admin is neither banned nor muted.
 */
#ifndef CORE_MODERATION_H
#define CORE_MODERATION_H

#include "core/claims.h"
#include "core/error.h"
#include "core/hub.h"

#define MODERATION_ALL "*"

/* May the bearer join the room, or read its topic? 0, or -1 with *why (banned). */
MUST_CHECK int moderation_may_join(
    const struct hub *h, const struct claims *who, struct slice topic, struct refusal *why);
/*
 * May the bearer read what a topic or pattern brings: by the token's grant, and not banned there. 0, or
 * -1 with *why (insufficient_scope, banned).
 */
MUST_CHECK int moderation_may_read(
    const struct hub *h, const struct claims *who, struct slice pattern, struct refusal *why);
/*
 * May the bearer send there: chat, edit, react, type, publish on a room's topic; on user/<id> a
 * direct, which only those who are banned or muted in all rooms may not. 0, or -1 with *why
 * (banned, muted).
 */
MUST_CHECK int moderation_may_send(
    const struct hub *h, const struct claims *who, struct slice topic, struct refusal *why);

/*
 * Whether a user is banned from the room of this topic, or from all; false for what is no room's. Any
 * thread.
 */
bool moderation_bars(struct log *l, struct slice topic, struct slice user, int64_t now_ms);
/* The id of a user who may be banned somewhere; absent for nearly everybody. Borrowed from who. */
struct slice moderation_bound(const struct hub *h, const struct claims *who);
/*
 * Whether a message that a pattern brings is of a room from which this subscriber, who may_be_banned,
 * is banned. Clears that bit when nobody of this name is banned anywhere any more.
 */
bool moderation_withholds(struct subscriber *s, const struct message *m);
/* Whether a pattern may bring something of a scope, which is a room's topic or `*`. */
bool moderation_is_about(struct slice scope, struct slice pattern);
#define MODERATION_TOLD 16 /* rooms */
/*
 * Call each for the rooms of a pattern from which the bearer is banned: the topic, and why, in
 * words. For a ban from all rooms the topic is `chat/` and a star. The first MODERATION_TOLD of
 * them.
 */
void moderation_each_bar(const struct hub *h, const struct claims *who, struct slice pattern,
    void (*each)(struct slice topic, const struct refusal *why, void *ctx), void *ctx);

/* Whether what this user has put off must not be published there now. Any thread. */
bool moderation_silences(struct log *l, struct slice topic, struct slice user, int64_t now_ms);

/* Whether a verified token is revoked, by its jti or by its user and time. */
bool moderation_is_revoked(const struct hub *h, const struct claims *who);

#define MODERATION_TIME 32 /* bytes, with the NUL */
/* A wall-clock time in words, RFC 3339. Returns out. */
const char *moderation_time(int64_t ms, char out[MODERATION_TIME]);

#endif
