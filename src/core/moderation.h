/*
 * Moderation: what a ban, a mute or a revocation forbids. Asked on the way of every message, so
 * without a lock unless somebody of this name is concerned. Worker thread only.
 *
 * A scope is a room's topic, or `*`: all rooms. Who has the role admin is neither banned nor muted.
 */
#ifndef CORE_MODERATION_H
#define CORE_MODERATION_H

#include "core/error.h"
#include "core/hub.h"
#include "core/token.h"

#define MODERATION_ALL "*"

/* May he join the room, or read its topic? 0, or -1 with *why (banned). */
MUST_CHECK int moderation_may_join(
    const struct hub *h, const struct claims *who, struct slice topic, struct refusal *why);
/*
 * May he send there: chat, edit, react, type, publish on a room's topic; on user/<id> a direct, which
 * only those who are banned or muted in all rooms may not. 0, or -1 with *why (banned, muted).
 */
MUST_CHECK int moderation_may_send(
    const struct hub *h, const struct claims *who, struct slice topic, struct refusal *why);

/* Whether what this user has put off must not be published there now. Any thread. */
bool moderation_silences(struct log *l, struct slice topic, struct slice user, int64_t now_ms);

/* Whether a verified token is revoked, by its jti or by its user and time. */
bool moderation_is_revoked(const struct hub *h, const struct claims *who);

/* A time in words, RFC 3339. Returns out. */
#define MODERATION_TIME 32
const char *moderation_time(int64_t ms, char out[MODERATION_TIME]);

#endif
