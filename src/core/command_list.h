/*
 * The handlers behind the command table, for command*.c only. A handler returns 0 when it has
 * answered or will, -1 with *why.
 */
#ifndef CORE_COMMAND_LIST_H
#define CORE_COMMAND_LIST_H

#include "core/command.h"
#include "core/field.h"
#include "core/publish.h"

#define COMMAND_REF_MAX 256 /* bytes of ref as JSON */

typedef int command_handler(
    struct session *s, struct caller *c, const struct command *cmd, struct refusal *why);

command_handler command_join, command_leave, command_chat, command_typing, command_subscribe,
    command_unsubscribe, command_publish, command_members, command_rooms, command_history,
    command_refresh, command_ping, command_direct, command_edit, command_delete, command_react,
    command_kick, command_ban, command_unban, command_mute, command_unmute, command_read;

/* Append a chat message to a room (absent: the only one, or the default, joined for it). */
MUST_CHECK int command_send_chat(struct session *s, struct caller *c, struct slice room,
    struct draft *d, struct slice ref, struct refusal *why);

/* A string member; absent when it is not there. 0, or -1 with *why. */
MUST_CHECK int command_take_string(
    const struct command *cmd, const char *name, struct slice *out, struct refusal *why);
/* `after`, else `last` (default: last). 0, or -1 with *why. */
MUST_CHECK int command_take_position(const struct command *cmd, unsigned last, int64_t now_ms,
    struct position *out, struct refusal *why);
/* The first room of a session; NULL when it is in none. */
struct sub *command_only_room(const struct session *s);
/*
 * Append the topic of a room, or, of an absent one, of the only room the session is in. 0, or -1 with
 * *why.
 */
MUST_CHECK int command_room_topic(
    const struct session *s, struct slice room, struct buf *topic, struct refusal *why);

#endif
